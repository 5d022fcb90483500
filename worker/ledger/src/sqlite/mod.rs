//! The ledger in one SQLite file: write-ahead log, full sync on each commit, one writer, any number of readers.
//!
//! A commit that has returned survives a crash of the process, the kernel and the machine. The file is opened by one
//! worker at a time, held apart by a lock file and, where that fails, by the epoch each commit checks.

use std::path::Path;
use std::time::Duration;

use smol_str::SmolStr;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Sqlite, Transaction};
use tradewind_core::name::Uid;
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;

use crate::backup::Backup;
use crate::error::LedgerError;
use crate::place::Place;
use crate::sql::{Context, Dialect, Patience, SqlLedger, SqlReader, calls};

mod fault;
mod lock;
mod open;

/// How a ledger is opened for writing.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The account it must belong to.
    pub account: Uid,
    /// The account's name, for messages.
    pub account_name: SmolStr,
    /// Who opens it (worker and pod, say), for the message a second worker gets.
    pub owner: String,
    /// The present time, for people.
    pub now: Timestamp,
    /// Tag of all client order ids if the ledger is new; an existing ledger keeps its own. Must be random.
    pub incarnation: Incarnation,
    /// The file does not grow beyond this; commits then fail with [`LedgerError::DiskFull`]. None: no limit but the
    /// volume's.
    pub max_bytes: Option<u64>,
}

/// A ledger opened for writing. Dropped, it gives up its lock; [`SqliteLedger::close`] also waits for the file.
pub type SqliteLedger = SqlLedger<Sqlite>;

/// A ledger opened for reading: no lock, no change, also while a worker writes.
pub type SqliteReader = SqlReader<Sqlite>;

impl Dialect for Sqlite {
    type Door = SqliteConnectOptions;
    type Lock = lock::Lock;
    const REMOTE: bool = false;

    async fn connect(door: &SqliteConnectOptions, place: &Place) -> Result<SqliteConnection, LedgerError> {
        door.connect().await.map_err(|e| fault::sql(place, e))
    }

    fn patience(_: &SqliteConnectOptions) -> Patience {
        Patience { attempt: None, total: Duration::ZERO }
    }

    async fn begin_reading(conn: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        conn.begin().await
    }

    async fn begin_writing(conn: &mut SqliteConnection) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
        conn.begin_with("BEGIN IMMEDIATE").await
    }

    async fn begin_alone<'c>(
        conn: &'c mut SqliteConnection,
        _: &mut Context,
    ) -> Result<Transaction<'c, Sqlite>, sqlx::Error> {
        Self::begin_writing(conn).await
    }

    async fn roll_back(conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        // Only a transaction can leave one open, and that is rolled back as it is dropped.
        conn.ping().await
    }

    fn fault(place: &Place, error: sqlx::Error) -> LedgerError {
        fault::sql(place, error)
    }

    calls!(Sqlite);
}

impl SqlLedger<Sqlite> {
    /// Fails with [`LedgerError::Locked`] while another worker has it, and with the variants for a newer schema, another
    /// account, a changed row, a damaged, unwritable or full file; then nothing was changed.
    pub async fn open(path: &Path, options: &SqliteOptions) -> Result<Self, LedgerError> {
        open::writer(path, options, open::Owner::Ours).await
    }

    /// As [`SqliteLedger::open`], but whoever's ledger it is; [`SqliteLedger::account`] tells. For a worker that starts
    /// halted on a ledger it does not know, instead of not at all. Who had the ledger of that tag open before gets
    /// [`LedgerError::OpenedSince`] when another worker has opened it since, and nothing is changed then; workers are told
    /// apart by `owner`.
    pub async fn open_any(
        path: &Path,
        options: &SqliteOptions,
        known: Option<Incarnation>,
    ) -> Result<Self, LedgerError> {
        open::writer(path, options, open::Owner::Anyone { known }).await
    }

    /// As [`SqliteLedger::open`], for a change that a person makes while no worker runs: who opened it last stays so.
    pub async fn visit(path: &Path, options: &SqliteOptions) -> Result<Self, LedgerError> {
        open::writer(path, options, open::Owner::Visitor).await
    }

    /// Makes a ledger out of a backup, in a file that is not there yet. It is halted ([`HaltOrigin::LedgerUnknown`])
    /// until a person resumes it. Nothing is left of a restore that fails.
    ///
    /// [`HaltOrigin::LedgerUnknown`]: tradewind_core::halt::HaltOrigin::LedgerUnknown
    pub async fn restore(path: &Path, backup: Backup, now: Timestamp) -> Result<(), LedgerError> {
        open::restore(path, backup, now).await
    }

    /// Closes the file and then gives up the lock.
    pub async fn close(self) -> Result<(), LedgerError> {
        let Self { db, lock, .. } = self;
        let place = db.context.place.clone();
        if let Some(conn) = db.into_connection() {
            conn.close().await.map_err(|e| fault::sql(&place, e))?;
        }
        drop(lock);
        Ok(())
    }
}

impl SqlReader<Sqlite> {
    /// Opens an existing ledger for reading, whatever account it belongs to.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        open::reader(path).await
    }
}
