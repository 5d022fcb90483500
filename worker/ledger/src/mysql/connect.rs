//! Connecting: credentials from their files as they are now, TLS, and what each session is set to.

use std::path::Path;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions, Executor};

use super::{Isolation, MysqlServer, Tls, fault};
use crate::error::LedgerError;
use crate::place::Place;

/// A value that does not fit is an error, whatever the server is set to. A session waits for rows of another no longer
/// than this many seconds; then it begins anew.
const SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
    SESSION innodb_lock_wait_timeout = 3, SESSION lock_wait_timeout = 5, SESSION autocommit = 1";
const READ_COMMITTED: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
const REPEATABLE_READ: &str = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

/// A process that is paused in the midst of a transaction holds the ledger's rows as long as its session lives. The server
/// ends it when it has been idle for this many seconds, as long as one try of a commit may take, so that a successor can open
/// the ledger. MySQL has no such setting and takes it for a comment: there the session lives until `wait_timeout`.
const NOT_IDLE: &str = "SET SESSION autocommit = 1 /*M!100300 , SESSION idle_transaction_timeout = 10 */";

/// A server, and what its connections are for.
#[derive(Debug, Clone)]
pub struct Door {
    pub(super) server: MysqlServer,
    /// Readers hold no rows that anybody waits for, and may be slow to take in what they read.
    pub(super) writes: bool,
}

pub(super) async fn connect(door: &Door, place: &Place) -> Result<MySqlConnection, LedgerError> {
    let Door { server, writes } = door;
    let options = options(server, place)?;
    let mut conn = options.connect().await.map_err(|e| fault::connecting(place, e))?;
    let level = match server.isolation {
        Isolation::ReadCommitted => READ_COMMITTED,
        Isolation::RepeatableRead => REPEATABLE_READ,
    };
    for sql in [SESSION, level].into_iter().chain(writes.then_some(NOT_IDLE)) {
        conn.execute(sql).await.map_err(|e| fault::connecting(place, e))?;
    }
    Ok(conn)
}

/// Holds the password: never shown, never kept longer than it takes to connect.
fn options(server: &MysqlServer, place: &Place) -> Result<MySqlConnectOptions, LedgerError> {
    let read = |name: &str| {
        let path = server.credentials.join(name);
        std::fs::read_to_string(&path).map_err(|source| LedgerError::Io { path, source })
    };
    let options = MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port)
        .database(&server.database)
        .username(line(&read("username")?))
        .password(line(&read("password")?))
        .charset("utf8mb4")
        .disable_statement_logging();
    match server.tls {
        Tls::PlainText if server.is_loopback() => Ok(options.ssl_mode(MySqlSslMode::Disabled)),
        Tls::PlainText => Err(LedgerError::PlainText { place: place.clone() }),
        Tls::Required => {
            let options = options.ssl_mode(MySqlSslMode::VerifyIdentity);
            let authority = server.credentials.join("ca.crt");
            Ok(if exists(&authority)? { options.ssl_ca(authority) } else { options })
        }
    }
}

fn exists(path: &Path) -> Result<bool, LedgerError> {
    path.try_exists().map_err(|source| LedgerError::Io { path: path.to_path_buf(), source })
}

/// A file of one line often ends in a line break that is no part of it.
fn line(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}
