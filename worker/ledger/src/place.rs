//! Where a ledger is, as messages name it, and what helps there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In a database, among the ledgers of other accounts.
    Database {
        /// The server, `host:port`.
        server: Arc<str>,
        /// The database.
        database: Arc<str>,
        /// The name of the ledger in it: its account's.
        name: Arc<str>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Database { server, database, name } => write!(f, "ledger {name} in {server}/{database}"),
        }
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Self::File(path.to_path_buf())
    }
}

impl Place {
    /// What to do so that it can be written.
    pub(crate) fn to_write(&self) -> &'static str {
        match self {
            Self::File(_) => "give the worker write permission on the file and its directory",
            Self::Database { .. } => {
                "make the server writable, and grant the user SELECT, INSERT, UPDATE and DELETE on the database"
            }
        }
    }

    /// What to do when there is no room.
    pub(crate) fn to_make_room(&self) -> &'static str {
        match self {
            Self::File(_) => "free disk space or enlarge the volume",
            Self::Database { .. } => "free disk space on the database server",
        }
    }

    /// What to do when it is not what was written.
    pub(crate) fn to_go_back(&self) -> &'static str {
        match self {
            Self::File(_) => "restore the file from a backup, or move it away",
            Self::Database { .. } => "restore the ledger from a backup, or start anew in another database",
        }
    }

    /// How to use another ledger.
    pub(crate) fn another(&self) -> &'static str {
        match self {
            Self::File(_) => "use another data directory",
            Self::Database { .. } => "use another database",
        }
    }
}
