//! What can go wrong with a ledger. Each message is one sentence: what, which file, what to do.

use std::path::PathBuf;

use tradewind_core::money::MoneyError;
use tradewind_core::name::Symbol;
use tradewind_core::order::{Epoch, IntentId};

/// Why the ledger did not do what it was asked. After any of them nothing of the batch was written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Another worker has it.
    #[error(
        "{path}: the ledger is in use by {by}; stop that worker, or run this one on another data directory"
    )]
    Locked {
        /// The ledger.
        path: PathBuf,
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
        "{path}: the ledger has schema {found}, this version knows up to {supported}; run the newer version again"
    )]
    NewerSchema {
        /// The ledger.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest one known here.
        supported: i64,
    },
    /// A migration failed; the schema is as it was.
    #[error("{path}: the ledger's schema could not be brought up to date; restore the file from a backup")]
    Migration {
        /// The ledger.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// Cannot be written.
    #[error(
        "{path}: the ledger cannot be written; give the worker write permission on the file and its directory"
    )]
    ReadOnly {
        /// The ledger.
        path: PathBuf,
    },
    /// No room.
    #[error(
        "{path}: no room left for the ledger; free disk space or enlarge the volume, then restart the worker"
    )]
    DiskFull {
        /// The ledger.
        path: PathBuf,
    },
    /// A row is not what was written.
    #[error(
        "{path}: row {seq} of {table} was changed outside the worker; restore the file from a backup, or move it away \
         and check every position against the venue before starting anew"
    )]
    Tampered {
        /// The ledger.
        path: PathBuf,
        /// The table; `chain` for a row that is missing altogether.
        table: &'static str,
        /// Its place in the chain; the row's id where it has none.
        seq: u64,
    },
    /// Made for another account.
    #[error("{path}: the ledger belongs to account {found}, not to {wanted}; use another data directory")]
    OtherAccount {
        /// The ledger.
        path: PathBuf,
        /// Name and uid it was made for.
        found: String,
        /// Name and uid it was opened for.
        wanted: String,
    },
    /// Not a ledger at all, or a damaged one.
    #[error("{path}: the file is no ledger or is damaged; restore it from a backup or move it away")]
    Corrupt {
        /// The ledger.
        path: PathBuf,
    },
    /// There is none to read.
    #[error("{path}: there is no ledger; start the worker once, or name the data directory it runs with")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file or its directory cannot be used.
    #[error("{path}: the file cannot be opened; check that the path is right and on a working volume")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
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
    #[error("{path}: the ledger's database failed; check the volume, then restart the worker")]
    Sql {
        /// The ledger.
        path: PathBuf,
        /// Its words.
        #[source]
        source: sqlx::Error,
    },
}
