//! Whose signal is being evaluated, for whoever must tell after it has ended the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::decision::StrategyId;

/// No strategy.
pub(super) const NOBODY: u32 = u32::MAX;

/// Shared with the engine; the engine writes it and never reads it.
#[derive(Debug, Clone)]
pub struct Probe(Arc<AtomicU32>);

impl Default for Probe {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(NOBODY)))
    }
}

impl Probe {
    /// The strategy whose signal is being evaluated at this moment; none outside of signals.
    pub fn evaluating(&self) -> Option<StrategyId> {
        u16::try_from(self.0.load(Ordering::Relaxed)).ok().map(StrategyId)
    }

    /// A probe that tells of that strategy; for tests of those who ask.
    pub fn of(strategy: StrategyId) -> Self {
        Self(Arc::new(AtomicU32::new(u32::from(strategy.0))))
    }

    #[inline]
    pub(super) fn watch<T>(&self, strategy: u32, evaluate: impl FnOnce() -> T) -> T {
        self.0.store(strategy, Ordering::Relaxed);
        let value = evaluate();
        self.0.store(NOBODY, Ordering::Relaxed);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_tells_who_is_evaluated_and_only_while_it_is() {
        let probe = Probe::default();
        let outside = probe.clone();
        assert_eq!(outside.evaluating(), None);
        assert_eq!(probe.watch(7, || outside.evaluating()), Some(StrategyId(7)));
        assert_eq!(outside.evaluating(), None);
    }
}
