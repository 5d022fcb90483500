//! What can go wrong with a ledger. Each message is one sentence: what, which ledger, what to do.

use std::path::PathBuf;
use std::time::Duration;

use tradewind_core::money::MoneyError;
use tradewind_core::name::Symbol;
use tradewind_core::order::{Epoch, IntentId};

use crate::place::Place;

/// Why the ledger did not do what it was asked. After any of them nothing of the batch was written, but for
/// [`LedgerError::Unreachable`], [`LedgerError::Slow`] and [`LedgerError::Busy`] of a commit: whether that was made is
/// found out by the next one, or at the next start.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another worker has it.
    #[error(
        "{place}: the ledger is in use by {by}; stop that worker, or {} for this one", place.another()
    )]
    Locked {
        /// The ledger.
        place: Place,
        /// Who has it, with process id and since when.
        by: String,
    },
    /// Another worker has taken the ledger over since it was opened.
    #[error("the ledger was taken over by epoch {}, this worker is epoch {}; stop this worker", theirs.0, ours.0)]
    Fenced {
        /// The epoch of this worker.
        ours: Epoch,
        /// The epoch in the ledger.
        theirs: Epoch,
    },
    /// Another worker has opened the ledger since this one had it open.
    #[error("{place}: the ledger was opened by {by} since this worker had it; stop one of the two")]
    OpenedSince {
        /// The ledger.
        place: Place,
        /// Who has opened it.
        by: String,
    },
    /// A row contradicts the ledger: it exists already, or its order stands elsewhere.
    #[error("intent {} conflicts with the ledger: {what}; nothing was written, restart the worker to recover", intent.0)]
    Conflict {
        /// The intent the row belongs to.
        intent: IntentId,
        /// What contradicts what.
        what: String,
    },
    /// Written by a newer version.
    #[error(
        "{place}: the ledger has schema {found}, this version knows up to {supported}; run the newer version again"
    )]
    NewerSchema {
        /// The ledger.
        place: Place,
        /// Its schema version.
        found: i64,
        /// The newest one known here.
        supported: i64,
    },
    /// A migration failed; it goes on where it stopped at the next start.
    #[error("{place}: the ledger's schema could not be brought up to date; {}", place.to_go_back())]
    Migration {
        /// The ledger.
        place: Place,
        /// Why.
        #[source]
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// The user may not change the schema, and it is not up to date.
    #[error(
        "{place}: the schema is not up to date and the user may not change it; let a user with CREATE, ALTER, INDEX, \
         CREATE VIEW and, for triggers, TRIGGER on the database start the worker once"
    )]
    SchemaForbidden {
        /// The ledger.
        place: Place,
        /// The server's words.
        #[source]
        source: sqlx::Error,
    },
    /// Cannot be written.
    #[error("{place}: the ledger cannot be written; {}", place.to_write())]
    ReadOnly {
        /// The ledger.
        place: Place,
    },
    /// No room.
    #[error("{place}: no room left for the ledger; {}, then restart the worker", place.to_make_room())]
    DiskFull {
        /// The ledger.
        place: Place,
    },
    /// A row is not what was written.
    #[error(
        "{place}: row {seq} of {table} was changed outside the worker; {} and check every position against the venue \
         before starting anew", place.to_go_back()
    )]
    Tampered {
        /// The ledger.
        place: Place,
        /// The table; `chain` for a row that is missing altogether.
        table: &'static str,
        /// Its place in the chain; the row's id where it has none.
        seq: u64,
    },
    /// Made for another account.
    #[error("{place}: the ledger belongs to account {found}, not to {wanted}; {}", place.another())]
    OtherAccount {
        /// The ledger.
        place: Place,
        /// Name and uid it was made for.
        found: String,
        /// Name and uid it was opened for.
        wanted: String,
    },
    /// Not a ledger at all, or a damaged one.
    #[error("{place}: this is no ledger or it is damaged; restore it from a backup or move it away")]
    Corrupt {
        /// The ledger.
        place: Place,
    },
    /// There is none to read.
    #[error("{place}: there is no ledger; start the worker once, or name the place it runs with")]
    Missing {
        /// Where it should be.
        place: Place,
    },
    /// A file or its directory cannot be used.
    #[error("{path}: the file cannot be opened; check that the path is right and on a working volume")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server does not answer.
    #[error(
        "{place}: the database server cannot be reached; check that it runs, its address and the network"
    )]
    Unreachable {
        /// The ledger.
        place: Place,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The server answers too slowly.
    #[error("{place}: the database server did not answer within {within:?}; check its load and its disk")]
    Slow {
        /// The ledger.
        place: Place,
        /// How long it was given.
        within: Duration,
    },
    /// Others hold the rows, or gave way to each other.
    #[error("{place}: other sessions hold the ledger's rows; end them, then restart the worker")]
    Busy {
        /// The ledger.
        place: Place,
        /// The server's words.
        #[source]
        source: sqlx::Error,
    },
    /// The server refuses the user.
    #[error(
        "{place}: the database server refuses the user; check username and password in the Secret, and the user's \
         rights on the database"
    )]
    Refused {
        /// The ledger.
        place: Place,
        /// The server's words.
        #[source]
        source: sqlx::Error,
    },
    /// The connection cannot be made secure.
    #[error(
        "{place}: no secure connection to the database server: its certificate must be valid, name the host and come \
         from the authority in ca.crt"
    )]
    Insecure {
        /// The ledger.
        place: Place,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Plain text to another machine.
    #[error("{place}: TLS may be off on loopback only; turn it on")]
    PlainText {
        /// The ledger.
        place: Place,
    },
    /// What a commit wrote could be lost with the machine.
    #[error(
        "{place}: live trading needs a database that forgets no commit, but {what}; set innodb_flush_log_at_trx_commit \
         and, with a binary log, sync_binlog to 1"
    )]
    NotDurable {
        /// The ledger.
        place: Place,
        /// Which setting stands how.
        what: String,
    },
    /// There is one where one should be restored.
    #[error("{place}: there is a ledger already; restore to another place, or move this one away first")]
    Exists {
        /// Where.
        place: Place,
    },
    /// A copy of a ledger could not be written or read.
    #[error("the copy of the ledger cannot be written or read; check its file and the room on the disk")]
    Copy {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A backup is not as it was written.
    #[error("line {line} of the backup is not as it was written; use another backup")]
    BadCopy {
        /// Which line, from 1.
        line: usize,
    },
    /// The batch lacks the rules of an instrument.
    #[error(
        "no instrument rules for {symbol} in the batch; pass the rules of every instrument of the account"
    )]
    UnknownInstrument {
        /// The instrument.
        symbol: Symbol,
    },
    /// A balance or number does not fit.
    #[error("an amount cannot be kept in the ledger; check the venue's numbers")]
    Money {
        /// Why.
        #[from]
        source: MoneyError,
    },
    /// A value cannot be written as text.
    #[error("a value cannot be written to the ledger as JSON; report this as a defect")]
    Encode {
        /// Why.
        #[from]
        source: serde_json::Error,
    },
    /// A number is outside of what a column holds.
    #[error("{what} {value} is too large for the ledger; report this as a defect")]
    TooLarge {
        /// Which.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// Anything else the database says.
    #[error("{place}: the ledger's database failed; check it, then restart the worker")]
    Sql {
        /// The ledger.
        place: Place,
        /// Its words.
        #[source]
        source: sqlx::Error,
    },
}

impl LedgerError {
    /// Whether the same may go well a moment later: the server comes back, others let go, a Secret is exchanged.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Slow { .. } | Self::Busy { .. } | Self::Refused { .. }
        )
    }

    /// Whether a row is there already that may be there once.
    pub(crate) fn is_unique_violation(&self) -> bool {
        let Self::Sql { source, .. } = self else { return false };
        source.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
    }
}
