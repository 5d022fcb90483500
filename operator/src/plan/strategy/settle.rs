//! When a strategy that is being deleted may go.
//!
//! Pure. Its worker carries the deletionPolicy out and says so; everything else here keeps a deletion from hanging:
//! nothing ever ran, nobody is left to settle it, the time is over, or a person lets it go.

use std::time::Duration;

use jiff::Timestamp;
use tradewind_crds::names;
use tradewind_crds::reasons::Reason;
use tradewind_crds::trading_strategy::{DeletionPolicy, TradingStrategy};

/// How long a deletion waits for the worker.
const PATIENCE: Duration = Duration::from_mins(2);
/// The same when what is held is to be sold.
const LIQUIDATE_PATIENCE: Duration = Duration::from_mins(10);

/// What is there of the account a strategy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that do not depend on each other")]
pub struct WorkerSeen {
    /// The account exists and is not being deleted.
    pub account_stays: bool,
    /// The worker's pod exists.
    pub pod: bool,
    /// The worker's StatefulSet exists.
    pub stateful_set: bool,
    /// The claim of its ledger exists: something may have been traded.
    pub ledger: bool,
}

/// What becomes of a strategy that is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// Waits for the worker, at most that long.
    Wait(Duration, String),
    /// Goes now. `ReleasedUnsettled` is worth a warning.
    Release(Reason, String),
}

/// Decides whether a strategy that is being deleted may go. `granted` says whether the account records a grant for it,
/// without which it never ran.
pub(super) fn settle(
    strategy: &TradingStrategy,
    settled: bool,
    granted: bool,
    worker: WorkerSeen,
    now: Timestamp,
) -> Settle {
    let policy = policy_word(strategy.spec.deletion_policy);
    let unsettled = |why: &str| {
        let text = format!(
            "released although {policy} was not confirmed: {why}; check the account's open orders and positions"
        );
        Settle::Release(Reason::ReleasedUnsettled, text)
    };
    let applied = strategy.status.as_ref().is_some_and(|status| status.applied.is_some());
    if settled {
        return Settle::Release(Reason::Settled, format!("{policy} is carried out"));
    }
    let nothing_left = !worker.pod && !worker.ledger;
    if !applied && (!granted || nothing_left) {
        return Settle::Release(Reason::Settled, "no worker has ever run it".to_owned());
    }
    if is_let_go(strategy) {
        return unsettled(&format!("the annotation {} says so", names::LET_GO));
    }
    if nothing_left {
        return unsettled("its worker and the ledger are gone");
    }
    if !worker.pod && !worker.stateful_set && !worker.account_stays {
        return unsettled("the worker of its account is gone");
    }
    let left = left(strategy, now);
    if left.is_zero() {
        return unsettled("the worker did not do so in time");
    }
    let text = format!(
        "waits for the worker to carry out {policy}, at most {} s more; the annotation {}=true lets it go at once",
        left.as_secs().max(1),
        names::LET_GO
    );
    Settle::Wait(left, text)
}

fn is_let_go(strategy: &TradingStrategy) -> bool {
    let annotations = strategy.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(names::LET_GO)).is_some_and(|value| value == "true")
}

/// The time left for the worker.
fn left(strategy: &TradingStrategy, now: Timestamp) -> Duration {
    let patience = match strategy.spec.deletion_policy {
        DeletionPolicy::Retain | DeletionPolicy::CancelEntries => PATIENCE,
        DeletionPolicy::Liquidate => LIQUIDATE_PATIENCE,
    };
    let since = strategy.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    patience.saturating_sub(waited)
}

fn policy_word(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::Retain => "deletionPolicy Retain",
        DeletionPolicy::CancelEntries => "deletionPolicy CancelEntries",
        DeletionPolicy::Liquidate => "deletionPolicy Liquidate",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixtures::{self, at};

    const WORKS: WorkerSeen = WorkerSeen { account_stays: true, pod: true, stateful_set: true, ledger: true };

    fn strategy(policy: DeletionPolicy, applied: bool) -> TradingStrategy {
        let mut strategy = fixtures::strategy("btc");
        strategy.metadata.deletion_timestamp = Some(fixtures::time(1_000));
        strategy.spec.deletion_policy = policy;
        if applied {
            fixtures::applied(&mut strategy, "hash", &[]);
        }
        strategy
    }

    fn reason(settle: &Settle) -> Option<Reason> {
        match settle {
            Settle::Wait(..) => None,
            Settle::Release(reason, _) => Some(*reason),
        }
    }

    #[test]
    fn a_strategy_goes_when_its_worker_has_settled_it_and_not_before() {
        let strategy = strategy(DeletionPolicy::CancelEntries, true);
        let waits = settle(&strategy, false, true, WORKS, at(1_030));
        let Settle::Wait(left, text) = &waits else { panic!("{waits:?}") };
        assert_eq!(left.as_secs(), 90, "120 s less the 30 that passed");
        assert!(text.contains("CancelEntries") && text.contains("tradewind.dev/let-go=true"), "{text}");
        assert_eq!(reason(&settle(&strategy, true, true, WORKS, at(1_030))), Some(Reason::Settled));
    }

    #[test]
    fn the_time_box_is_two_minutes_and_ten_for_selling() {
        let cases = [
            (DeletionPolicy::CancelEntries, 1_119, None),
            (DeletionPolicy::CancelEntries, 1_120, Some(Reason::ReleasedUnsettled)),
            (DeletionPolicy::Retain, 1_120, Some(Reason::ReleasedUnsettled)),
            (DeletionPolicy::Liquidate, 1_599, None),
            (DeletionPolicy::Liquidate, 1_600, Some(Reason::ReleasedUnsettled)),
        ];
        for (policy, second, expected) in cases {
            let strategy = strategy(policy, true);
            let found = settle(&strategy, false, true, WORKS, at(second));
            assert_eq!(reason(&found), expected, "{policy:?} at {second}");
        }
    }

    #[test]
    fn nothing_waits_for_a_worker_that_is_not_there() {
        let ran = strategy(DeletionPolicy::Liquidate, true);
        let never = strategy(DeletionPolicy::Liquidate, false);
        let nothing = WorkerSeen::default();
        let gone = WorkerSeen { ledger: true, ..nothing };
        let restarts = WorkerSeen { pod: false, ..WORKS };
        let cases = [
            ("never granted, never run", &never, false, WORKS, Some(Reason::Settled)),
            ("granted, not yet reported", &never, true, WORKS, None),
            ("granted, no pod and no ledger", &never, true, nothing, Some(Reason::Settled)),
            ("it ran, and pod and ledger are gone", &ran, true, nothing, Some(Reason::ReleasedUnsettled)),
            ("the account is gone, its ledger is not", &ran, true, gone, Some(Reason::ReleasedUnsettled)),
            ("the pod is being replaced", &ran, true, restarts, None),
        ];
        for (case, strategy, granted, worker, expected) in cases {
            assert_eq!(reason(&settle(strategy, false, granted, worker, at(1_001))), expected, "{case}");
        }
    }

    #[test]
    fn a_person_may_let_it_go_with_true_and_nothing_else() {
        for (value, expected) in [("true", Some(Reason::ReleasedUnsettled)), ("yes", None), ("", None)] {
            let mut strategy = strategy(DeletionPolicy::Liquidate, true);
            strategy.metadata.annotations =
                Some([("tradewind.dev/let-go".to_owned(), value.to_owned())].into());
            assert_eq!(reason(&settle(&strategy, false, true, WORKS, at(1_001))), expected, "{value:?}");
        }
    }
}
