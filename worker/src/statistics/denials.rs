//! Why nothing was done, counted.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};

use tradewind_core::decision::Stage;
use tradewind_core::denial::Denial;

/// Counts denials by reason. Most bars repeat the reason of the bar before, so that one is looked at first.
#[derive(Debug, Clone, Default)]
pub struct Denials {
    tallies: Vec<Tally>,
    latest: usize,
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    kind: Discriminant<Denial>,
    code: &'static str,
    stage: Stage,
    count: u64,
}

impl Denials {
    /// One more.
    #[inline]
    pub fn count(&mut self, denial: &Denial) {
        let kind = discriminant(denial);
        match self.tallies.get_mut(self.latest) {
            Some(latest) if latest.kind == kind => latest.count += 1,
            _ => self.count_other(kind, denial),
        }
    }

    fn count_other(&mut self, kind: Discriminant<Denial>, denial: &Denial) {
        self.latest = self.tallies.iter().position(|count| count.kind == kind).unwrap_or(self.tallies.len());
        match self.tallies.get_mut(self.latest) {
            Some(found) => found.count += 1,
            None => self.tallies.push(Tally { kind, code: denial.code(), stage: denial.stage(), count: 1 }),
        }
    }

    /// All reasons with their counts, by code.
    pub fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.tallies.iter().map(|count| (count.code, count.count)).collect()
    }

    /// Signals that asked for a trade and were refused: all denials but those of the stages data and signal.
    pub fn refused_signals(&self) -> u64 {
        let refused = |count: &&Tally| !matches!(count.stage, Stage::Data | Stage::Signal);
        self.tallies.iter().filter(refused).map(|count| count.count).sum()
    }
}

#[cfg(test)]
mod tests {
    use tradewind_core::money::Cash;

    use super::*;

    #[test]
    fn denials_are_counted_by_reason_whatever_their_values() {
        let mut denials = Denials::default();
        for denial in [
            Denial::NoSignal,
            Denial::NoSignal,
            Denial::MaxPosition { notional: Cash(2), limit: Cash(1) },
            Denial::WarmingUp { bars: 1, needed: 2 },
            Denial::MaxPosition { notional: Cash(5), limit: Cash(1) },
            Denial::NoSignal,
            Denial::BelowLot { size: Cash(1), lot: Cash(2) },
        ] {
            denials.count(&denial);
        }
        let wanted = [("BelowLot", 1), ("MaxPosition", 2), ("NoSignal", 3), ("WarmingUp", 1)];
        assert_eq!(denials.by_reason(), BTreeMap::from(wanted));
        assert_eq!(denials.refused_signals(), 3);
    }
}
