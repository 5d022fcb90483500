//! Which ledger a command means: the file in a data directory, or one of a database.

use std::path::{Path, PathBuf};

use smol_str::SmolStr;
use tradewind_ledger::MysqlServer;
use tradewind_ledger::mysql::{Isolation, Tls};

use super::CommandError;
use crate::session::LEDGER_FILE;

/// Which ledger is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct Where {
    /// The worker's data directory, with the ledger's SQLite file.
    #[arg(long, value_name = "DIR", default_value = ".tradewind/data")]
    pub data_dir: PathBuf,
    /// Instead of a file: a MariaDB or MySQL database, as `host:port/database`.
    #[arg(long, value_name = "DATABASE", requires = "credentials", conflicts_with = "data_dir")]
    pub mysql: Option<Database>,
    /// Directory with the files `username`, `password` and, for a private authority, `ca.crt`.
    #[arg(long, value_name = "DIR", requires = "mysql")]
    pub credentials: Option<PathBuf>,
    /// Do not use TLS; on loopback only.
    #[arg(long, requires = "mysql")]
    pub plain_text: bool,
}

/// A database on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    host: String,
    port: u16,
    name: String,
}

impl std::str::FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (server, name) = text.rsplit_once('/')?;
            let (host, port) = server.rsplit_once(':')?;
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let found = Self { host: host.to_owned(), port: port.parse().ok()?, name: name.to_owned() };
            (!found.host.is_empty() && !found.name.is_empty()).then_some(found)
        };
        read().ok_or_else(|| "write it like db.example:3306/tradewind".to_owned())
    }
}

impl Where {
    /// The server, if it is in a database.
    pub(super) fn server(&self) -> Option<MysqlServer> {
        let (database, credentials) = (self.mysql.clone()?, self.credentials.clone()?);
        Some(MysqlServer {
            host: database.host,
            port: database.port,
            database: database.name,
            credentials,
            tls: if self.plain_text { Tls::PlainText } else { Tls::Required },
            isolation: Isolation::default(),
            patience: MysqlServer::PATIENCE,
        })
    }

    /// The file, if it is in one.
    pub(super) fn file(&self) -> PathBuf {
        self.data_dir.join(LEDGER_FILE)
    }
}

/// Which ledger is read.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    #[command(flatten)]
    place: Where,
    /// In a database of many ledgers: whose, as `namespace/account`.
    #[arg(long, value_name = "NAME", requires = "mysql")]
    ledger: Option<SmolStr>,
}

/// Where a ledger is that can be opened.
#[derive(Debug)]
pub(super) enum Found {
    /// The file.
    File(PathBuf),
    /// The database, and the ledger's name in it.
    Database(MysqlServer, SmolStr),
}

impl Which {
    /// The ledger that is meant.
    pub(super) fn found(&self) -> Result<Found, CommandError> {
        let Some(server) = self.place.server() else { return Ok(Found::File(self.place.file())) };
        let unnamed = || CommandError::Usage("name the ledger with --ledger namespace/account".to_owned());
        Ok(Found::Database(server, self.ledger.clone().ok_or_else(unnamed)?))
    }

    /// The worker's data directory; none if the ledger is in a database.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.place.mysql.is_none().then_some(self.place.data_dir.as_path())
    }
}

impl std::fmt::Display for Where {
    /// The flags that name it again, each after a space.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(Database { host, port, name }) = &self.mysql else {
            return write!(f, " --data-dir {}", self.data_dir.display());
        };
        write!(f, " --mysql {host}:{port}/{name}")?;
        if let Some(credentials) = &self.credentials {
            write!(f, " --credentials {}", credentials.display())?;
        }
        if self.plain_text { f.write_str(" --plain-text") } else { Ok(()) }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.place)?;
        self.ledger.as_ref().map_or(Ok(()), |ledger| write!(f, " --ledger {ledger}"))
    }
}
