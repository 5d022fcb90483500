//! The ledgers of many accounts in one MariaDB or MySQL database, for a desk: every row belongs to one of them.
//!
//! A commit that has returned is in the database; whether it survives the server's machine is the server's setting
//! ([`MysqlLedger::check_durable`]). There is no lock beside the epoch: whoever opens a ledger for writing takes it over, and
//! the worker before him can commit nothing more. A lost connection is made anew, with the credentials as they are then.
//! Nothing written here leans on an isolation level: each change is conditional in itself.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use smol_str::SmolStr;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, MySql, Transaction};
use tradewind_core::name::Uid;
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;

use crate::backup::Backup;
use crate::error::LedgerError;
use crate::place::Place;
use crate::sql::{Context, Dialect, Patience, Scope, SqlLedger, SqlReader, calls};

mod connect;
mod fault;
mod open;
mod schema;

pub use schema::{SCHEMA, statements};

/// A ledger opened for writing. Whoever opens it later takes it over.
pub type MysqlLedger = SqlLedger<MySql>;

/// A ledger opened for reading, also while a worker writes.
pub type MysqlReader = SqlReader<MySql>;

/// Where the database is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlServer {
    /// Name or address of the server.
    pub host: String,
    /// Its port, mostly 3306.
    pub port: u16,
    /// The database. It must be empty at first, and hold ledgers only.
    pub database: String,
    /// A directory with the files `username`, `password` and, if the server's certificate is not from a public
    /// authority, `ca.crt` (PEM). Read at each connection.
    pub credentials: PathBuf,
    /// How the connection is kept from others.
    pub tls: Tls,
    /// At which level transactions write; both are safe.
    pub isolation: Isolation,
    /// How long the server is waited for.
    pub patience: Patience,
}

impl MysqlServer {
    /// How long a server is waited for, unless something else is said: ten seconds an attempt, thirty in all.
    pub const PATIENCE: Patience =
        Patience { attempt: Some(Duration::from_secs(10)), total: Duration::from_secs(30) };

    /// What messages call the ledger of that name.
    pub(crate) fn place(&self, name: &str) -> Place {
        let server = format!("{}:{}", self.host, self.port).into();
        Place::Database { server, database: self.database.as_str().into(), name: name.into() }
    }

    /// Whether nothing leaves the machine.
    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// How the connection is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Always: the certificate must be valid, name the host, and come from a public authority or that in `ca.crt`.
    Required,
    /// Not at all; refused for a host that is not loopback.
    PlainText,
}

/// The isolation level of transactions that write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Fewer locks.
    #[default]
    ReadCommitted,
    /// The default of the servers.
    RepeatableRead,
}

/// How a ledger is opened for writing.
#[derive(Debug, Clone)]
pub struct MysqlOptions {
    /// The database.
    pub server: MysqlServer,
    /// The account the ledger must belong to.
    pub account: Uid,
    /// The account's name; the ledger goes by it, so it must tell accounts of different namespaces apart.
    pub account_name: SmolStr,
    /// Who opens it (worker and pod, say), for people who look into the database.
    pub owner: String,
    /// The present time, for people.
    pub now: Timestamp,
    /// Tag of all client order ids if the ledger is new; an existing ledger keeps its own. Must be random.
    pub incarnation: Incarnation,
}

/// What keeps rows of the chain from being changed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOnly {
    /// Triggers of the database refuse it.
    Triggers,
    /// The user who made the schema may not make triggers: only the chain tells of it, afterwards.
    ChainAlone,
}

impl Dialect for MySql {
    type Door = connect::Door;
    type Lock = ();
    const REMOTE: bool = true;

    async fn connect(door: &connect::Door, place: &Place) -> Result<MySqlConnection, LedgerError> {
        connect::connect(door, place).await
    }

    fn patience(door: &connect::Door) -> Patience {
        door.server.patience
    }

    async fn begin_reading(conn: &mut MySqlConnection) -> Result<Transaction<'_, MySql>, sqlx::Error> {
        // For the next transaction alone.
        let level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
        sqlx::raw_sql(level).execute(&mut *conn).await?;
        conn.begin_with("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY").await
    }

    async fn begin_writing(conn: &mut MySqlConnection) -> Result<Transaction<'_, MySql>, sqlx::Error> {
        conn.begin().await
    }

    async fn begin_alone<'c>(
        conn: &'c mut MySqlConnection,
        context: &mut Context,
    ) -> Result<Transaction<'c, MySql>, sqlx::Error> {
        // One message, on the way of every order. What is read is not looked at: the end of the commit compares it.
        let lock = "START TRANSACTION; SELECT 1 FROM chain_head WHERE OWN(chain_head) FOR UPDATE";
        conn.begin_with(context.statement(lock)).await
    }

    async fn roll_back(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
        // One that was begun along with its lock is open also where the lock was refused.
        sqlx::raw_sql("ROLLBACK").execute(conn).await.map(drop)
    }

    fn fault(place: &Place, error: sqlx::Error) -> LedgerError {
        fault::sql(place, error)
    }

    calls!(MySql);
}

impl SqlLedger<MySql> {
    /// Takes the ledger of the account over, or makes it.
    ///
    /// Fails with [`LedgerError::OtherAccount`] if the ledger of that name is of another account (one that was deleted,
    /// or of another cluster), and with the variants for a newer schema, a changed row, a server that cannot be reached,
    /// refuses the user or may not be written; then nothing was changed.
    pub async fn open(options: &MysqlOptions) -> Result<Self, LedgerError> {
        open::writer(options, crate::sql::open::Owner::Ours).await
    }

    /// As [`MysqlLedger::open`], but whoever's ledger it is; [`MysqlLedger::account`] tells. For a worker that starts
    /// halted on a ledger it does not know, instead of not at all. Who had the ledger of that tag open before gets
    /// [`LedgerError::OpenedSince`] when another worker has opened it since, and nothing is changed then; workers are told
    /// apart by `owner`.
    pub async fn open_any(options: &MysqlOptions, known: Option<Incarnation>) -> Result<Self, LedgerError> {
        open::writer(options, crate::sql::open::Owner::Anyone { known }).await
    }

    /// As [`MysqlLedger::open`], for a change that a person makes: who opened it last as a worker stays so, though a worker
    /// that runs can commit nothing more.
    pub async fn visit(options: &MysqlOptions) -> Result<Self, LedgerError> {
        open::writer(options, crate::sql::open::Owner::Visitor).await
    }

    /// Makes a ledger out of a backup, in a database that has none of that name yet. It is halted
    /// ([`HaltOrigin::LedgerUnknown`]) until a person resumes it. Nothing is left of a restore that fails.
    ///
    /// [`HaltOrigin::LedgerUnknown`]: tradewind_core::halt::HaltOrigin::LedgerUnknown
    pub async fn restore(server: &MysqlServer, backup: Backup, now: Timestamp) -> Result<(), LedgerError> {
        open::restore(server, backup, now).await
    }

    /// Fails with [`LedgerError::NotDurable`] unless what is committed survives a crash of the server's machine. Live
    /// trading needs that.
    pub async fn check_durable(&mut self) -> Result<(), LedgerError> {
        self.db.ask(open::check_durable).await
    }

    /// What keeps rows of the chain from being changed or deleted.
    pub async fn append_only(&mut self) -> Result<AppendOnly, LedgerError> {
        self.db.ask(async |db: &mut Scope<'_, MySql>| schema::append_only(db).await).await
    }

    /// Ends the connection.
    pub async fn close(self) -> Result<(), LedgerError> {
        let place = self.db.context.place.clone();
        match self.db.into_connection() {
            Some(conn) => conn.close().await.map_err(|e| fault::sql(&place, e)),
            None => Ok(()),
        }
    }
}

impl SqlReader<MySql> {
    /// Opens the ledger of that name for reading, whatever account it belongs to.
    pub async fn open(server: &MysqlServer, name: &str) -> Result<Self, LedgerError> {
        open::reader(server, name).await
    }
}
