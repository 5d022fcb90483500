//! What happened in runs, counted: a fault that never strikes and a step that is never taken prove nothing.

use std::collections::BTreeMap;

use strum::IntoEnumIterator;
use tradewind_core::order::OrderState;

/// What can go wrong, or is done from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::EnumIter)]
pub enum Fault {
    /// A process was killed, before or after a call or in the midst of it.
    Crash,
    /// A process was killed before it had settled what its predecessor left.
    CrashInRecovery,
    /// A process stood still and went on later.
    Pause,
    /// A second worker took the ledger over while the first was alive.
    TakeOver,
    /// As `TakeOver`, on another node's copy of the ledger; the first goes on with its own until its Lease runs out.
    Split,
    /// A request reached the venue late.
    LateRequest,
    /// An order reached the venue after its signature had run out.
    ExpiredRequest,
    /// A request never reached the venue.
    LostRequest,
    /// The venue answered late.
    LateAnswer,
    /// The venue did what was asked, and the answer never came.
    LostAnswer,
    /// A cancel reached the venue twice.
    RepeatedCancel,
    /// A later request overtook an earlier one on its way.
    Reordered,
    /// Trades were told again.
    RepeatedFills,
    /// An order did not show yet when it was asked for.
    HiddenByLag,
    /// The venue no longer knew the id of an order that had ended.
    ForgottenId,
    /// The venue did not find an order by its id that was there.
    NotFoundById,
    /// The clock of a process's machine was set before it started.
    ClockStep,
    /// It was set while processes ran.
    ClockSet,
    /// The ledger lost its last commit.
    LostCommit,
    /// A commit failed and was not made.
    FailedCommit,
    /// A commit was made, and the worker was told that it failed.
    UnansweredCommit,
    /// A commit took seconds.
    SlowCommit,
    /// The bus did not answer, or lost what it was told.
    BusAway,
    /// The bus was told, and its answer never came.
    BusAnswerLost,
    /// The bus lost all it had been told.
    BusEmptied,
    /// The venue went into maintenance.
    Maintenance,
    /// The venue ended a resting order by itself.
    EndedByVenue,
    /// The venue refused an order.
    Refusal,
    /// An entry was not sent, since the adapter does not take such an order.
    Denial,
    /// The venue showed an order that it had refused when it was looked up.
    ShownRefusal,
    /// An order was held back at the venue's gate.
    HeldBack,
    /// An order filled in parts.
    PartialFill,
    /// A fill crossed a cancel on the wire.
    FillCrossedCancel,
    /// Entries were halted.
    Halt,
    /// A halt was resumed.
    Resume,
}

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    faults: BTreeMap<Fault, u64>,
    steps: BTreeMap<(OrderState, OrderState), u64>,
    /// Intents that became durable.
    pub intents: u64,
    /// Orders the venue accepted.
    pub accepted: u64,
    /// Trades at the venue.
    pub trades: u64,
    /// Processes that were started.
    pub starts: u64,
}

/// The steps an order takes in the ledger: all that the table of the protocol has, but for those that no run can take (see the test).
pub const STEPS: &[(OrderState, OrderState)] = &[
    (OrderState::Intended, OrderState::Sent),
    (OrderState::Intended, OrderState::Unknown),
    (OrderState::Intended, OrderState::Absent),
    (OrderState::Intended, OrderState::Expired),
    (OrderState::Sent, OrderState::Intended),
    (OrderState::Sent, OrderState::Accepted),
    (OrderState::Sent, OrderState::Unknown),
    (OrderState::Sent, OrderState::Rejected),
    (OrderState::Sent, OrderState::Denied),
    (OrderState::Unknown, OrderState::Accepted),
    (OrderState::Unknown, OrderState::PartiallyFilled),
    (OrderState::Unknown, OrderState::Filled),
    (OrderState::Unknown, OrderState::Absent),
    (OrderState::Unknown, OrderState::Rejected),
    (OrderState::Absent, OrderState::Intended),
    (OrderState::Accepted, OrderState::PartiallyFilled),
    (OrderState::Accepted, OrderState::Filled),
    (OrderState::Accepted, OrderState::Cancelled),
    (OrderState::Accepted, OrderState::Expired),
    (OrderState::PartiallyFilled, OrderState::Filled),
    (OrderState::PartiallyFilled, OrderState::Cancelled),
    (OrderState::PartiallyFilled, OrderState::Expired),
];

impl Coverage {
    pub(crate) fn count(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn step(&mut self, from: OrderState, to: OrderState) {
        *self.steps.entry((from, to)).or_default() += 1;
    }

    /// How often that fault struck.
    pub fn times(&self, fault: Fault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// Adds what happened in another run.
    pub fn add(&mut self, other: &Self) {
        for (fault, times) in &other.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
        for (step, times) in &other.steps {
            *self.steps.entry(*step).or_default() += times;
        }
        self.intents += other.intents;
        self.accepted += other.accepted;
        self.trades += other.trades;
        self.starts += other.starts;
    }

    /// Faults and steps with how often they occurred, those that never did included.
    pub fn lines(&self) -> Vec<(String, u64)> {
        let mut steps: BTreeMap<_, u64> = STEPS.iter().map(|step| (*step, 0)).collect();
        steps.extend(&self.steps);
        let faults = Fault::iter().map(|fault| (fault.to_string(), self.times(fault)));
        let steps = steps.into_iter().map(|((from, to), times)| (format!("{from} -> {to}"), times));
        faults.chain(steps).collect()
    }

    /// What occurred fewer times than that.
    pub fn rarer_than(&self, least: u64) -> Vec<(String, u64)> {
        let listed = |name: &str| {
            Fault::iter().any(|fault| fault.to_string() == *name)
                || STEPS.iter().any(|(from, to)| format!("{from} -> {to}") == *name)
        };
        self.lines().into_iter().filter(|(name, times)| *times < least && listed(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tradewind_core::money::Quantity;
    use tradewind_core::protocol::{End, OrderInput, Stage, VenueTerms, transition};
    use tradewind_core::time::{Millis, Timestamp};

    use super::*;

    const TERMS: VenueTerms =
        VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(500), query_lag: Millis(5_000) };

    /// Steps of the table that no run can take, and why: they are there for drivers and venues that are not these.
    const NOT_TAKEN: &[(OrderState, OrderState, &str)] = &[
        (
            OrderState::Sent,
            OrderState::PartiallyFilled,
            "a sending is over, one way or other, before fills are read",
        ),
        (OrderState::Sent, OrderState::Filled, "as before"),
        (
            OrderState::Sent,
            OrderState::Cancelled,
            "a cancel is sent when the venue has said that it has the order",
        ),
        (
            OrderState::Sent,
            OrderState::Expired,
            "an end is read in a look-up, which tells first that the venue has it",
        ),
        (OrderState::Unknown, OrderState::Cancelled, "as before"),
        (OrderState::Unknown, OrderState::Expired, "as before"),
        (OrderState::Cancelled, OrderState::Filled, "this venue's word of how much was executed is true"),
        (OrderState::Expired, OrderState::Filled, "as before"),
    ];

    fn inputs() -> Vec<OrderInput> {
        let (signature, some) = (TERMS.sign(Timestamp(1)), Quantity(1));
        vec![
            OrderInput::Durable,
            OrderInput::Send { at: Timestamp(1) },
            OrderInput::Throttle,
            OrderInput::Withhold,
            OrderInput::Renew { signature },
            OrderInput::Accept,
            OrderInput::FillPart { quantity: some },
            OrderInput::FillRest,
            OrderInput::Cancel { missing: Quantity(0) },
            OrderInput::Cancel { missing: some },
            OrderInput::Expire { missing: Quantity(0) },
            OrderInput::Expire { missing: some },
            OrderInput::Lapse,
            OrderInput::Reject,
            OrderInput::Deny,
            OrderInput::LoseTrack,
            OrderInput::NotFound { asked_at: Timestamp(i64::MAX) },
        ]
    }

    /// All that can be reached from the beginning of an order, or of one that a worker left behind.
    fn of_the_table() -> BTreeSet<(OrderState, OrderState)> {
        let signature = TERMS.sign(Timestamp(1));
        let mut known = vec![Stage::Intended { signature }, Stage::Orphaned { signature }];
        known.extend([End::Cancelled, End::Expired].map(|end| Stage::Ending { end, missing: Quantity(1) }));
        let mut steps = BTreeSet::new();
        let mut next = 0;
        while let Some(from) = known.get(next).copied() {
            next += 1;
            for to in inputs().into_iter().filter_map(|input| transition(from, input, &TERMS).ok()) {
                steps.insert((from.state(), to.state()));
                if !known.contains(&to) {
                    known.push(to);
                }
            }
        }
        steps.retain(|(from, to)| from != to);
        steps
    }

    #[test]
    fn every_step_of_the_table_is_counted_or_has_a_reason_why_it_is_not_taken() {
        let taken = STEPS.iter().copied();
        let not_taken = NOT_TAKEN.iter().map(|(from, to, _)| (*from, *to));
        let listed: BTreeSet<_> = taken.chain(not_taken).collect();
        assert_eq!(listed, of_the_table());
        assert_eq!(listed.len(), STEPS.len() + NOT_TAKEN.len(), "one is listed twice");
    }
}
