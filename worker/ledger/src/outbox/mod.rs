//! The outbox: what happened on an account, waiting in its ledger to be told to others.
//!
//! An event is written in the transaction that causes it, so that none is told that did not happen and none is lost that
//! did. Whoever relays reads the rows in the order of their numbers and notes in the [`Tap`] how far they are delivered;
//! the ledger alone deletes, with a later commit. Rows of orders, fills and halts wait for ever; of the others the oldest
//! are dropped and counted when too many wait. An account without a bus has no outbox and pays nothing for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;
use tokio::sync::watch;
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;

use crate::error::LedgerError;

pub mod event;
pub(crate) mod map;

pub use event::{Event, Happened, Kind};

/// An event as it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number.
    pub sequence: u64,
    /// Its kind.
    pub kind: Kind,
    /// What it is about.
    pub key: String,
    /// The event, JSON text of [`Event`].
    pub body: String,
}

/// How an outbox is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxOptions {
    /// `namespace/name` of the account, as events call it.
    pub account: SmolStr,
    /// The present time. Numbers of events are never below it in microseconds, so that they rise across every ledger the
    /// account ever has, restored ones included.
    pub now: Timestamp,
    /// How much of it.
    pub limits: Limits,
}

/// How many rows an outbox keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Rows that may be dropped: when there are more, the oldest go.
    pub droppable: u64,
    /// Delivered rows that are kept, to be delivered again where the bus has lost them.
    pub tail: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { droppable: 100_000, tail: 10_000 }
    }
}

/// How an outbox stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// All events up to this number were delivered.
    pub relayed: u64,
    /// Events after that.
    pub waiting: u64,
    /// Events that were dropped undelivered since the ledger began, by kind.
    pub dropped: BTreeMap<Kind, u64>,
}

/// What the ledger and whoever relays tell each other.
#[derive(Debug)]
pub struct Tap {
    written: watch::Sender<u64>,
    relayed: AtomicU64,
}

impl Default for Tap {
    fn default() -> Self {
        Self { written: watch::Sender::new(0), relayed: AtomicU64::new(0) }
    }
}

impl Tap {
    /// Tells the number of the last event that is durable, each time there is a new one.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Notes that all events up to that number are delivered. From then on the ledger may delete them.
    pub fn note_relayed(&self, sequence: u64) {
        self.relayed.fetch_max(sequence, Ordering::AcqRel);
    }

    /// How far events were delivered, as far as was noted here.
    pub fn relayed(&self) -> u64 {
        self.relayed.load(Ordering::Acquire)
    }

    pub(crate) fn note_written(&self, sequence: u64) {
        self.written.send_if_modified(|last| {
            let new = sequence > *last;
            *last = sequence.max(*last);
            new
        });
    }
}

/// Reading an outbox.
#[expect(async_fn_in_trait, reason = "only dispatched statically; callers see the concrete futures")]
pub trait OutboxReader {
    /// Events after that number in their order, at most so many.
    async fn events_after(&mut self, sequence: u64, limit: u32) -> Result<Vec<OutboxRow>, LedgerError>;

    /// How it stands, when it is known that all events up to that number are delivered.
    async fn backlog(&mut self, known: u64) -> Result<Backlog, LedgerError>;
}

/// Keeping an outbox.
#[expect(async_fn_in_trait, reason = "only dispatched statically; callers see the concrete futures")]
pub trait Outbox: OutboxReader {
    /// From now on, and after each later opening, what happens is written to an outbox; with none it is not. What waits
    /// stays.
    async fn publish(&mut self, options: Option<&OutboxOptions>) -> Result<(), LedgerError>;

    /// What the ledger and whoever relays tell each other.
    fn tap(&self) -> std::sync::Arc<Tap>;
}

/// Whose events these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// `namespace/name`.
    pub(crate) name: SmolStr,
    /// The ledger's tag.
    pub(crate) incarnation: Incarnation,
}

impl Account {
    pub(crate) fn event_id(&self, sequence: u64) -> String {
        format!("{:08x}-{sequence}", self.incarnation.0)
    }
}

/// The outbox of a ledger, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) account: Account,
    /// The last number given.
    pub(crate) last: u64,
    /// Delivered up to here.
    pub(crate) relayed: u64,
    /// What `relayed` was when delivered rows were deleted last.
    pub(crate) trimmed: u64,
    /// Rows that may be dropped.
    pub(crate) droppable: u64,
}

/// The least number an event may have that is written after that time.
pub(crate) fn least(now: Timestamp) -> u64 {
    u64::try_from(now.0).unwrap_or(0).saturating_mul(1_000)
}
