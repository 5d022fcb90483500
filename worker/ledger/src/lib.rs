//! The ledger: what was decided, sent, filled and halted, durable before anything leaves the machine.
//!
//! [`Ledger`] is the port the worker is written against; [`sqlite::SqliteLedger`] keeps it on disk and
//! [`memory::MemoryLedger`] for backtests and tests, both held to the same test suite. A commit is all or nothing, and
//! fails when another worker has taken the ledger over. Nothing here decides anything, reads a clock or a venue.

#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod backup;
pub mod error;
pub mod memory;
pub mod mysql;
pub mod outbox;
pub mod port;
pub mod sqlite;

mod balances;
mod chain;
mod conflict;
mod place;
mod rows;
mod sql;

pub use backup::{Backup, TableColumns};
pub use chain::{ChainHead, ChainHeadError, Value};
pub use error::LedgerError;
pub use memory::MemoryLedger;
pub use mysql::{MysqlLedger, MysqlOptions, MysqlReader, MysqlServer};
pub use outbox::{Backlog, Outbox, OutboxOptions, OutboxReader, OutboxRow, Tap};
pub use place::Place;
pub use port::{
    BalanceRow, Batch, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger, LedgerReader, OutcomeCount,
    Pruned, TradeRow,
};
pub use sql::{Dialect, Patience, SqlLedger, SqlReader};
pub use sqlite::{SqliteLedger, SqliteOptions, SqliteReader};
