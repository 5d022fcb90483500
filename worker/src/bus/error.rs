//! Why events cannot be told at present. Each message is one sentence: what, and what to do. None holds a secret.

use std::path::PathBuf;

use tradewind_ledger::LedgerError;

/// Why events cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No answer, no connection, one that broke, or a replica.
    #[error("{place} cannot be used at present ({source}); events wait in the ledger until it can")]
    Unreachable {
        /// The Redis.
        place: String,
        /// Why.
        #[source]
        source: redis::RedisError,
    },
    /// It answers, and refuses.
    #[error(
        "{place} refuses ({source}); check its memory, and user, password and rights of the bus's Secret"
    )]
    Refused {
        /// The Redis.
        place: String,
        /// Why.
        #[source]
        source: redis::RedisError,
    },
    /// Somebody keeps something else under the name of a stream.
    #[error("key {key} of {place} is no stream; rename or delete it, then events go on")]
    KeyTaken {
        /// The Redis.
        place: String,
        /// The key.
        key: String,
    },
    /// A file of the Secret cannot be read.
    #[error("{} cannot be read ({source}); put it into the Secret that the account names", path.display())]
    Credentials {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nobody said where the Secret lies.
    #[error(
        "the account names the Secret {secret} for its bus; say with --bus-credentials in which folder its files lie"
    )]
    NoFolder {
        /// Its name.
        secret: String,
    },
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An event is not what this version wrote.
    #[error("event {sequence} of the outbox cannot be read ({source}); run the version that wrote it")]
    Event {
        /// Its number.
        sequence: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// What keeps events from being told, for conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// It does not answer.
    Unreachable,
    /// It refuses.
    Refused,
    /// A key of ours is taken.
    KeyTaken,
    /// What it takes to be let in is missing.
    NoCredentials,
    /// The ledger cannot be read.
    Ledger,
}

impl BusError {
    /// It did not answer in time.
    pub fn silent(place: &str) -> Self {
        let source = std::io::Error::from(std::io::ErrorKind::TimedOut).into();
        Self::Unreachable { place: place.to_owned(), source }
    }

    /// What kind of trouble it is.
    pub(super) fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable { .. } => Trouble::Unreachable,
            Self::Refused { .. } => Trouble::Refused,
            Self::KeyTaken { .. } => Trouble::KeyTaken,
            Self::Credentials { .. } | Self::NoFolder { .. } => Trouble::NoCredentials,
            Self::Ledger(_) | Self::Event { .. } => Trouble::Ledger,
        }
    }
}
