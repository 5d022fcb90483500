//! Opening: file, lock, schema, identity, a quick check, and the next epoch.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqlSafeStr, Sqlite, SqliteConnection};
use tradewind_core::time::Timestamp;

use super::{SqliteLedger, SqliteOptions, SqliteReader, fault, lock};
use crate::backup::Backup;
use crate::error::LedgerError;
use crate::outbox::Limits;
use crate::place::Place;
use crate::rows::whole;
use crate::sql::ledger::Db;
use crate::sql::open::Opener;
use crate::sql::{Context, Scope, open};

pub(super) use crate::sql::open::Owner;

/// The newest schema known here.
const SCHEMA: i64 = 7;
/// Readers never block a writer in WAL mode; only a foreign program can, and not for long.
const BUSY: Duration = Duration::from_secs(2);

fn migrator() -> Migrator {
    let ledger = include_str!("../../migrations/sqlite/0001_ledger.sql");
    let signings = include_str!("../../migrations/sqlite/0002_signings.sql");
    let successions = include_str!("../../migrations/sqlite/0003_successions.sql");
    let readers = include_str!("../../migrations/sqlite/0004_commits_and_views.sql");
    let outbox = include_str!("../../migrations/sqlite/0005_outbox.sql");
    let externals = include_str!("../../migrations/sqlite/0006_externals.sql");
    let denied = include_str!("../../migrations/sqlite/0007_denied.sql");
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "ledger", ledger),
        migration(2, "signings", signings),
        migration(3, "successions", successions),
        migration(4, "commits and views", readers),
        migration(5, "outbox", outbox),
        migration(6, "externals", externals),
        migration(SCHEMA, "denied", denied),
    ])
}

/// Pages (of 4 KiB) that the log of writes may hold before a commit carries them over into the file, which takes that one
/// commit some ten milliseconds: one order of several hundred, where SQLite's own thousand would be one of a hundred.
const CHECKPOINT_PAGES: &str = "4000";

/// KiB of pages a connection keeps (negative is SQLite's way to say KiB): a commit touches some dozen, at the ends of
/// tables and indices. SQLite's own two thousand would fill with pages nobody asks for again.
const CACHE_KIB: &str = "-512";

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
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", CACHE_KIB)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .disable_statement_logging();
    let place = &Place::from(path);
    let mut conn = connect.connect().await.map_err(|e| fault::sql(place, e))?;
    if let Some(bytes) = options.max_bytes {
        limit_size(&mut conn, place, bytes).await?;
    }
    check_schema(&mut conn, place).await?;
    migrator().run(&mut conn).await.map_err(|e| fault::migration(place, e))?;
    let opener = Opener {
        account: options.account,
        account_name: options.account_name.clone(),
        owner: options.owner.clone(),
        now: options.now,
        incarnation: options.incarnation,
    };
    found(&mut conn, place, &opener).await?;
    let mut context = Context::new(place.clone(), None);
    let mut scope = Scope::<Sqlite> { conn: &mut conn, context: &mut context };
    let identity = open::adopt(&mut scope, &opener, owner).await?;
    Ok(SqliteLedger {
        db: Db::new(conn, connect, context),
        identity,
        cache: None,
        tap: Arc::default(),
        limits: Limits::default(),
        failed_attempts: 0,
        lock,
    })
}

pub(super) async fn reader(path: &Path) -> Result<SqliteReader, LedgerError> {
    let place = &Place::from(path);
    let missing = || LedgerError::Missing { place: place.clone() };
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
                && !beside(path, "-wal").exists() =>
        {
            try_read(&connect.clone().immutable(true)).await
        }
        other => other,
    }
    .map_err(|e| fault::sql(place, e))?;
    if check_schema(&mut conn, place).await? < SCHEMA {
        return Err(missing());
    }
    Ok(SqliteReader { db: Db::new(conn, connect, Context::new(place.clone(), None)) })
}

async fn try_read(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut conn = options.connect().await?;
    sqlx::query("SELECT COUNT(*) FROM sqlite_master").fetch_one(&mut conn).await?;
    Ok(conn)
}

/// The file of that name with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// An empty file is an empty database; made here so that only its owner can read it (SQLite gives the log the same
/// mode).
fn create_file(path: &Path) -> Result<(), LedgerError> {
    create_directory(path)?;
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map(drop).map_err(|e| fault::io(path, e))
}

fn create_directory(path: &Path) -> Result<(), LedgerError> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        created.map_err(|e| fault::io(directory, e))?;
    }
    Ok(())
}

async fn limit_size(conn: &mut SqliteConnection, place: &Place, bytes: u64) -> Result<(), LedgerError> {
    let page: i64 = sqlx::query_scalar("PRAGMA page_size")
        .fetch_one(&mut *conn)
        .await
        .map_err(|e| fault::sql(place, e))?;
    let page = u64::try_from(page).unwrap_or(4096).max(1);
    let pages = whole("page limit", bytes / page)?;
    let set = sqlx::query(AssertSqlSafe(format!("PRAGMA max_page_count = {pages}")));
    set.execute(conn).await.map_err(|e| fault::sql(place, e))?;
    Ok(())
}

/// The schema the file has; zero when it is new. A newer one than ours, and a file of another program, are refused
/// before anything is written.
async fn check_schema(conn: &mut SqliteConnection, place: &Place) -> Result<i64, LedgerError> {
    let sql = |e| fault::sql(place, e);
    let count = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    let ours: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.map_err(sql)?;
    if ours == 0 {
        let all = "SELECT COUNT(*) FROM sqlite_master";
        let tables: i64 = sqlx::query_scalar(all).fetch_one(&mut *conn).await.map_err(sql)?;
        return if tables == 0 { Ok(0) } else { Err(LedgerError::Corrupt { place: place.clone() }) };
    }
    let newest = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
    let found: i64 = sqlx::query_scalar(newest).fetch_one(&mut *conn).await.map_err(sql)?;
    if found > SCHEMA {
        return Err(LedgerError::NewerSchema { place: place.clone(), found, supported: SCHEMA });
    }
    Ok(found)
}

/// Makes a ledger out of a backup beside its place, and puts it there when it is whole.
pub(super) async fn restore(path: &Path, backup: Backup, now: Timestamp) -> Result<(), LedgerError> {
    let place = &Place::from(path);
    create_directory(path)?;
    let lock = lock::Lock::take(path, "restore", now)?;
    if path.try_exists().map_err(|e| fault::io(path, e))? {
        return Err(LedgerError::Exists { place: place.clone() });
    }
    let made = beside(path, ".restored");
    let done = restore_to(&made, place, backup, now).await;
    let done = done.and_then(|()| std::fs::rename(&made, path).map_err(|e| fault::io(path, e)));
    if done.is_err() {
        for file in [made.clone(), beside(&made, "-wal"), beside(&made, "-shm")] {
            std::fs::remove_file(file).ok();
        }
    }
    drop(lock);
    done
}

async fn restore_to(made: &Path, place: &Place, backup: Backup, now: Timestamp) -> Result<(), LedgerError> {
    let sql = |e| fault::sql(place, e);
    match std::fs::remove_file(made) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault::io(made, error)),
        _ => create_file(made)?,
    }
    let connect = SqliteConnectOptions::new()
        .filename(made)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging();
    let mut conn = connect.connect().await.map_err(sql)?;
    migrator().run(&mut conn).await.map_err(|e| fault::migration(place, e))?;
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(sql)?;
    let mut context = Context::new(place.clone(), None);
    let mut scope = Scope::<Sqlite> { conn: &mut tx, context: &mut context };
    scope.execute(IDENTITY, open::identity_row(&backup.opener())).await?;
    backup.write(&mut scope, now).await?;
    tx.commit().await.map_err(sql)?;
    conn.close().await.map_err(sql)
}

const IDENTITY: &str =
    "INSERT INTO ledger (account, account_name, incarnation, created_at) VALUES (?, ?, ?, ?)";

/// Writes the single rows of a new ledger, once.
async fn found(conn: &mut SqliteConnection, place: &Place, opener: &Opener) -> Result<(), LedgerError> {
    let sql = |e| fault::sql(place, e);
    let rows: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM ledger").fetch_one(&mut *conn).await.map_err(sql)?;
    if rows != 0 {
        return Ok(());
    }
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(sql)?;
    let mut context = Context::new(place.clone(), None);
    let mut scope = Scope::<Sqlite> { conn: &mut tx, context: &mut context };
    scope.execute(IDENTITY, open::identity_row(opener)).await?;
    open::found(&mut scope, opener).await?;
    tx.commit().await.map_err(sql)
}
