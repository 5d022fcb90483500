//! Whether the worker sees: halts could go unseen while a watch is dead, so that no entries are made then.
//!
//! Pure: instants are passed in, all of one local monotonic clock. No other clock is asked, so that neither a wrong one
//! nor another machine's can make a blind worker believe that it sees.

use std::time::Duration;

use tokio::time::Instant;
use tradewind_core::halt::EntryBlock;

/// A watch must have delivered something, or been opened anew, within this time.
pub const SEEN_WITHIN: Duration = Duration::from_secs(15);

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Which {
    /// The account's ConfigMap. Read once it may go unseen: the last configuration holds.
    Configuration,
    /// The account's strategies.
    Strategies,
    /// Halts of the account's namespace.
    Halts,
    /// Halts of the operator's namespace, when that is another.
    #[strum(serialize = "halts of the operator's namespace")]
    OperatorHalts,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    which: Which,
    listed: bool,
    seen: Option<Instant>,
}

/// When each watch was last known to be alive.
#[derive(Debug, Clone)]
pub struct Sight {
    watches: Vec<Watched>,
    /// Whether the configuration was read since the start; what is mounted then may be older than what was in force.
    configured: bool,
}

impl Sight {
    /// Nothing was seen yet. Only these watches make blind, and the configuration until it was listed once.
    pub fn new(watches: &[Which]) -> Self {
        let unseen = |which: &Which| Watched { which: *which, listed: false, seen: None };
        Self { watches: watches.iter().map(unseen).collect(), configured: false }
    }

    /// The watch was alive at that instant.
    pub fn saw(&mut self, which: Which, at: Instant) {
        for watched in self.watches.iter_mut().filter(|watched| watched.which == which) {
            watched.seen = watched.seen.max(Some(at));
        }
    }

    /// The watch's list was complete at that instant.
    pub fn listed(&mut self, which: Which, at: Instant) {
        for watched in self.watches.iter_mut().filter(|watched| watched.which == which) {
            watched.listed = true;
        }
        self.configured |= which == Which::Configuration;
        self.saw(which, at);
    }

    /// The first watch that is not alive, if there is one.
    pub fn blind(&self, now: Instant) -> Option<Which> {
        let alive = |watched: &Watched| {
            watched.listed && watched.seen.is_some_and(|at| now.saturating_duration_since(at) < SEEN_WITHIN)
        };
        let dead = self.watches.iter().find(|watched| !alive(watched)).map(|watched| watched.which);
        dead.or_else(|| (!self.configured).then_some(Which::Configuration))
    }
}

/// Why no entry may leave; none when one may. What a person would look at first comes first.
pub fn gate(blind: bool, lease_held: bool, format_known: bool) -> Option<EntryBlock> {
    match (blind, lease_held, format_known) {
        (true, _, _) => Some(EntryBlock::Blind),
        (_, false, _) => Some(EntryBlock::LeaseLost),
        (_, _, false) => Some(EntryBlock::UnknownFormat),
        (false, true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_sees_when_every_watch_was_listed_and_alive_within_fifteen_seconds() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut sight = Sight::new(&[Which::Strategies, Which::Halts]);
        assert_eq!(sight.blind(at(0)), Some(Which::Strategies));
        sight.listed(Which::Strategies, at(0));
        sight.saw(Which::Halts, at(0));
        assert_eq!(sight.blind(at(0)), Some(Which::Halts), "open, but its list is not complete");
        sight.listed(Which::Halts, at(1));
        sight.saw(Which::Configuration, at(1));
        assert_eq!(sight.blind(at(1)), Some(Which::Configuration), "what is mounted may be old");
        sight.listed(Which::Configuration, at(1));
        assert_eq!(sight.blind(at(14)), None);
        assert_eq!(sight.blind(at(15)), Some(Which::Strategies));
        sight.saw(Which::Strategies, at(15));
        assert_eq!(sight.blind(at(15)), None);
        assert_eq!(sight.blind(at(16)), Some(Which::Halts));
        sight.saw(Which::Halts, at(12));
        assert_eq!(sight.blind(at(27)), Some(Which::Halts), "one watch alive does not make up for another");
    }

    #[test]
    fn what_is_not_watched_does_not_make_blind_and_an_older_sighting_does_not_age_a_newer_one() {
        let start = Instant::now();
        let mut sight = Sight::new(&[Which::Halts]);
        sight.listed(Which::Configuration, start);
        sight.listed(Which::Halts, start + Duration::from_secs(10));
        sight.saw(Which::Halts, start);
        sight.saw(Which::Strategies, start);
        assert_eq!(sight.blind(start + Duration::from_secs(24)), None);
    }

    #[test]
    fn any_cause_closes_the_gate() {
        for (blind, held, known) in (0..8).map(|n| (n & 1 > 0, n & 2 > 0, n & 4 > 0)) {
            assert_eq!(gate(blind, held, known).is_none(), !blind && held && known);
        }
    }
}
