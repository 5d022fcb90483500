//! What the worker tells of itself in the status of its account and strategies, under its own field manager.
//!
//! A [`Report`] is made by the loop whenever people are shown something new; everything from there on is pure until the
//! [`Writer`], a task of its own that trading never waits for. Each write carries the manager's whole set.
//!
//! Times in a status are the clock's, when this worker saw the thing happen: `kubectl` prints ages of them, and an age of
//! a replayed bar would be years. The bars' own times are in the ledger and at the HTTP endpoints.

mod conditions;
mod figures;
mod status;
mod store;
mod throttle;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use smol_str::SmolStr;
use tradewind_core::halt::EntryBlock;
use tradewind_core::name::Uid;

use crate::snapshot::Snapshot;

pub use conditions::{Wanted, differences_text, settled_conditions};
pub use figures::{Figure, Figures, FiguresNow};
pub use status::{Seen, Status, account_status, strategy_status};
pub use store::{ApiStore, Kind, Outcome, StatusError, Store};
pub use throttle::{Due, Importance, Pace, Printed};
pub use writer::{Target, Writer};

/// Everything a status is made of.
#[derive(Debug, Clone)]
pub struct Report {
    /// What the worker shows everywhere.
    pub snapshot: Arc<Snapshot>,
    /// What a snapshot does not tell.
    pub figures: FiguresNow,
    /// TradingHalt objects of halts in force, by the halt's name.
    pub published: BTreeMap<SmolStr, Uid>,
    /// What the worker knows of itself.
    pub worker: WorkerInput,
    /// Each strategy object that names the account, run or not.
    pub strategies: Vec<StrategyInput>,
}

/// What the worker knows of itself and no snapshot tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkerInput {
    /// The account's configuration in force.
    pub applied: Option<InForce>,
    /// Why the worker itself lets no entry through at present.
    pub block: Option<EntryBlock>,
    /// How the market data are.
    pub feed: Feed,
    /// What is wrong with the ledger, in one sentence, if it cannot be written.
    pub ledger_fault: Option<String>,
    /// Strategies that wait for what one of their name has left, and for what they wait, in one sentence.
    pub waiting: BTreeMap<Uid, String>,
}

/// A configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// `metadata.generation` of the spec it was resolved from.
    pub generation: i64,
    /// Its digest, as it was published.
    pub hash: String,
}

/// How the market data are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Feed {
    /// Bars come in as they should, or have ended as they should.
    #[default]
    Streaming,
    /// They cannot be read, or have not come for long; why, in one sentence.
    Unavailable(String),
}

/// What is known of a strategy object and no snapshot tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyInput {
    /// `metadata.name`.
    pub name: SmolStr,
    /// `metadata.uid`.
    pub uid: Uid,
    /// Its configuration in force, also of one that does not run; none while nothing is published for it.
    pub applied: Option<InForce>,
    /// Why its instruments cannot be traded with these market data, in one sentence; it does not run then.
    pub unavailable: Option<String>,
    /// Why its signal is not evaluated any more, in one sentence.
    pub quarantined: Option<String>,
    /// How far its deletion is.
    pub settling: Settling,
}

/// How far the deletion of a strategy is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Settling {
    /// It is not being deleted.
    #[default]
    No,
    /// Its deletionPolicy is being carried out; what is left, in one sentence.
    UnderWay(String),
    /// Its deletionPolicy was carried out; the dust that stays, such as `0.0004 BTC`.
    Done(Vec<String>),
}
