//! What must hold in every run, and how it did not.

use tradewind_core::name::Symbol;
use tradewind_core::order::{Epoch, IntentId};

/// An invariant that did not hold, with what was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// I1: an intent is executed once at most.
    #[error("I1: intent {} was executed twice at the venue", .0.0)]
    ExecutedTwice(IntentId),
    /// I2: what the venue traded is what the ledger holds, to the last digit.
    #[error("I2: {0}")]
    Books(String),
    /// I2: no intent is lost: what the ledger calls refused or absent is not at the venue.
    #[error("I2: the ledger calls intent {} {state}, and the venue has it", .intent.0)]
    Lost {
        /// Which.
        intent: IntentId,
        /// What the ledger says of it.
        state: String,
    },
    /// I3: what the venue accepted was durable before, as it was sent.
    #[error("I3: the venue accepted intent {}, whose sending was not durable", .0.0)]
    NotDurable(IntentId),
    /// I4: what has filled, is open or may be stays within every limit.
    #[error("I4: {0}")]
    Exposure(String),
    /// I4: no more is sold than was bought.
    #[error("I4: more {0} was sold than was bought")]
    Oversold(Symbol),
    /// I5: nothing adds risk after a halt.
    #[error("I5: entry {} was accepted {late} ms after halt {halt}", .intent.0)]
    AfterHalt {
        /// Which.
        intent: IntentId,
        /// The halt's name.
        halt: String,
        /// How long after it.
        late: i64,
    },
    /// I6: a worker that was succeeded has no order accepted after its successor.
    #[error("I6: an order of epoch {} was accepted after one of epoch {}", .late.0, .seen.0)]
    EpochWentBack {
        /// Whose it was.
        late: Epoch,
        /// Whose was accepted before.
        seen: Epoch,
    },
    /// I7: every committed event is told, in its order, and what was told is what the ledger says.
    #[error("I7: {0}")]
    Events(String),
    /// I8: the audit chain has no gap.
    #[error("I8: {0}")]
    Chain(String),
    /// I12: when faults stop, every order's story comes to an end and the worker trades.
    #[error("I12: {0}")]
    Unrest(String),
    /// The engine was told something that its table calls illegal, or could not compute.
    #[error("the engine reported {0}")]
    Reported(String),
}
