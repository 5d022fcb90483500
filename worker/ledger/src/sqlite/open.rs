//! Opening: file, lock, schema, identity, a quick check, and the next epoch.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, SqliteConnection};
use tradewind_core::order::Epoch;
use tradewind_core::recovery::LedgerIdentity;

use super::{SqliteLedger, SqliteOptions, SqliteReader, commit, fault, lock, read, verify};
use crate::chain::genesis;
use crate::error::LedgerError;
use crate::rows::whole;

/// The newest schema known here.
const SCHEMA: i64 = 3;
/// Readers never block a writer in WAL mode; only a foreign program can, and not for long.
const BUSY: Duration = Duration::from_secs(2);

fn migrator() -> Migrator {
    let step = |version, name: &'static str, text: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        step(1, "ledger", include_str!("../../migrations/sqlite/0001_ledger.sql")),
        step(2, "signings", include_str!("../../migrations/sqlite/0002_signings.sql")),
        step(SCHEMA, "successions", include_str!("../../migrations/sqlite/0003_successions.sql")),
    ])
}

/// Whose ledger may be opened for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// That of the account in the options alone.
    Ours,
    /// Any account's.
    Anyone,
}

pub(super) async fn writer(
    path: &Path,
    options: &SqliteOptions,
    owner: Owner,
) -> Result<SqliteLedger, LedgerError> {
    create_file(path)?;
    let lock = lock::Lock::take(path, &options.owner, options.now)?;
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let mut conn = connect.connect().await.map_err(|e| fault::sql(path, e))?;
    if let Some(bytes) = options.max_bytes {
        limit_size(&mut conn, path, bytes).await?;
    }
    check_schema(&mut conn, path).await?;
    migrator().run(&mut conn).await.map_err(|e| fault::migration(path, e))?;
    found(&mut conn, path, options).await?;
    let identity = adopt(&mut conn, path, options, owner).await?;
    let mut db = SqliteReader { conn, path: path.to_path_buf() };
    let cache = Some(commit::load(&mut db).await?);
    Ok(SqliteLedger { db, identity, cache, sql: commit::BulkSql::default(), _lock: lock })
}

pub(super) async fn reader(path: &Path) -> Result<SqliteReader, LedgerError> {
    let missing = || LedgerError::Missing { path: path.to_path_buf() };
    let exists = path.try_exists().map_err(|e| fault::io(path, e))?;
    if !exists {
        return Err(missing());
    }
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let mut conn = match try_read(&connect).await {
        // In a directory that cannot be written, SQLite cannot make the shared memory file of the log. Without a log
        // nobody writes, and the file can be read as it is.
        Err(error)
            if matches!(fault::code(&error), Some(fault::CANTOPEN | fault::READONLY))
                && !log_of(path).exists() =>
        {
            try_read(&connect.immutable(true)).await
        }
        other => other,
    }
    .map_err(|e| fault::sql(path, e))?;
    if check_schema(&mut conn, path).await? < SCHEMA {
        return Err(missing());
    }
    Ok(SqliteReader { conn, path: path.to_path_buf() })
}

async fn try_read(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut conn = options.connect().await?;
    sqlx::query("SELECT COUNT(*) FROM sqlite_master").fetch_one(&mut conn).await?;
    Ok(conn)
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// An empty file is an empty database; made here so that only its owner can read it (SQLite gives the log the same
/// mode).
fn create_file(path: &Path) -> Result<(), LedgerError> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        created.map_err(|e| fault::io(directory, e))?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map(drop).map_err(|e| fault::io(path, e))
}

async fn limit_size(conn: &mut SqliteConnection, path: &Path, bytes: u64) -> Result<(), LedgerError> {
    let page: i64 = sqlx::query_scalar("PRAGMA page_size")
        .fetch_one(&mut *conn)
        .await
        .map_err(|e| fault::sql(path, e))?;
    let page = u64::try_from(page).unwrap_or(4096).max(1);
    let pages = whole("page limit", bytes / page)?;
    let set = sqlx::query(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")));
    set.execute(conn).await.map_err(|e| fault::sql(path, e))?;
    Ok(())
}

/// The schema the file has; zero when it is new. A newer one than ours, and a file of another program, are refused
/// before anything is written.
async fn check_schema(conn: &mut SqliteConnection, path: &Path) -> Result<i64, LedgerError> {
    let sql = |e| fault::sql(path, e);
    let count = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    let ours: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.map_err(sql)?;
    if ours == 0 {
        let all = "SELECT COUNT(*) FROM sqlite_master";
        let tables: i64 = sqlx::query_scalar(all).fetch_one(&mut *conn).await.map_err(sql)?;
        return if tables == 0 { Ok(0) } else { Err(LedgerError::Corrupt { path: path.to_path_buf() }) };
    }
    let newest = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
    let found: i64 = sqlx::query_scalar(newest).fetch_one(&mut *conn).await.map_err(sql)?;
    if found > SCHEMA {
        return Err(LedgerError::NewerSchema { path: path.to_path_buf(), found, supported: SCHEMA });
    }
    Ok(found)
}

/// Writes the single rows of a new ledger, once.
async fn found(conn: &mut SqliteConnection, path: &Path, options: &SqliteOptions) -> Result<(), LedgerError> {
    let sql = |e| fault::sql(path, e);
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM ledger").fetch_one(&mut *conn).await.map_err(sql)?;
    if rows != 0 {
        return Ok(());
    }
    let account = options.account.to_string();
    let incarnation = i64::from(options.incarnation.0);
    let hash = genesis(&account, &options.account_name, incarnation, options.now.0);
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(sql)?;
    sqlx::query(
        "INSERT INTO ledger (id, account, account_name, incarnation, created_at) VALUES (1, ?, ?, ?, ?)",
    )
    .bind(account)
    .bind(options.account_name.as_str())
    .bind(incarnation)
    .bind(options.now.0)
    .execute(&mut *tx)
    .await
    .map_err(sql)?;
    sqlx::query("INSERT INTO chain_head (id, seq, hash, epoch, owner, opened_at) VALUES (1, 0, ?, 0, '', 0)")
        .bind(hash.to_hex().to_string())
        .execute(&mut *tx)
        .await
        .map_err(sql)?;
    let checkpoint = "INSERT INTO checkpoint (id, body, hash) VALUES (1, '', '')";
    sqlx::query(checkpoint).execute(&mut *tx).await.map_err(sql)?;
    tx.commit().await.map_err(sql)
}

/// Checks whose ledger it is and that its end is as written, and makes it ours.
async fn adopt(
    conn: &mut SqliteConnection,
    path: &Path,
    options: &SqliteOptions,
    owner: Owner,
) -> Result<LedgerIdentity, LedgerError> {
    let row = read::ledger_row(conn, path).await?;
    if owner == Owner::Ours && row.account != options.account.to_string() {
        return Err(LedgerError::OtherAccount {
            path: path.to_path_buf(),
            found: format!("{} ({})", row.account_name, row.account),
            wanted: format!("{} ({})", options.account_name, options.account),
        });
    }
    let present = verify::tail(conn, path).await?;
    let epoch = Epoch(present.epoch.0.saturating_add(1));
    let raise = "UPDATE chain_head SET epoch = ?, owner = ?, opened_at = ? WHERE id = 1 AND epoch = ?";
    let raised = sqlx::query(raise)
        .bind(whole("epoch", epoch.0)?)
        .bind(options.owner.as_str())
        .bind(options.now.0)
        .bind(whole("epoch", present.epoch.0)?)
        .execute(&mut *conn)
        .await
        .map_err(|e| fault::sql(path, e))?;
    if raised.rows_affected() == 1 {
        Ok(LedgerIdentity { incarnation: row.incarnation, epoch })
    } else {
        Err(LedgerError::Locked {
            path: path.to_path_buf(),
            by: "another worker that has just opened it".to_owned(),
        })
    }
}
