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
    /// The clock of a process's machine was set.
    ClockStep,
    /// The ledger lost its last commit.
    LostCommit,
    /// A commit failed and was not made.
    FailedCommit,
    /// A commit was made, and the worker was told that it failed.
    UnansweredCommit,
    /// A commit took seconds.
    SlowCommit,
    /// The venue went into maintenance.
    Maintenance,
    /// The venue ended a resting order by itself.
    EndedByVenue,
    /// The venue refused an order.
    Refusal,
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

/// The steps an order can take in the ledger, by the table of the protocol and the engine that applies it.
pub const STEPS: &[(OrderState, OrderState)] = &[
    (OrderState::Intended, OrderState::Sent),
    (OrderState::Intended, OrderState::Unknown),
    (OrderState::Intended, OrderState::Absent),
    (OrderState::Intended, OrderState::Expired),
    (OrderState::Sent, OrderState::Intended),
    (OrderState::Sent, OrderState::Accepted),
    (OrderState::Sent, OrderState::Unknown),
    (OrderState::Sent, OrderState::Rejected),
    (OrderState::Unknown, OrderState::Accepted),
    (OrderState::Unknown, OrderState::PartiallyFilled),
    (OrderState::Unknown, OrderState::Filled),
    (OrderState::Unknown, OrderState::Absent),
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
