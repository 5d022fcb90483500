//! The schema: brought up to date forward only, statement by statement.
//!
//! The server commits each statement of a schema at once, so a migration can be cut off after any of them. Each statement can
//! therefore be run again, and a version counts only once all of them have run. Starters at the same time wait for each
//! other.

use sqlx::mysql::MySqlConnection;
use sqlx::{Executor, MySql};

use super::{AppendOnly, fault};
use crate::error::LedgerError;
use crate::place::Place;
use crate::rows::CHAINED;
use crate::sql::{Dialect, Scope};

/// The newest schema known here.
pub const SCHEMA: i64 = 4;

/// All versions, oldest first.
const VERSIONS: [(i64, &str); 4] = [
    (1, include_str!("../../migrations/mysql/0001_ledger.sql")),
    (2, include_str!("../../migrations/mysql/0002_outbox.sql")),
    (3, include_str!("../../migrations/mysql/0003_externals.sql")),
    (4, include_str!("../../migrations/mysql/0004_denied.sql")),
];

/// Starters of one database wait this many seconds for each other.
const LOCK: &str = "SELECT CAST(GET_LOCK(CONCAT('tradewind.', MD5(DATABASE())), 8) AS SIGNED)";
const UNLOCK: &str = "DO RELEASE_LOCK(CONCAT('tradewind.', MD5(DATABASE())))";

/// The statements of a version: blocks of lines, apart by an empty line. Comments are no statements.
pub fn statements(version: i64) -> impl Iterator<Item = &'static str> {
    let texts = VERSIONS.iter().filter(move |(known, _)| *known == version).map(|(_, text)| *text);
    texts.flat_map(|text| text.split("\n\n")).filter(|block| {
        block.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    })
}

/// The schema the database has; zero when it is empty or half-way to the first. A newer one than ours, and a database
/// with other tables, are refused before anything is written.
pub(super) async fn check(conn: &mut MySqlConnection, place: &Place) -> Result<i64, LedgerError> {
    let sql = |e| fault::sql(place, e);
    let count =
        "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.tables WHERE table_schema = DATABASE()";
    let named = "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_name = 'schema_version'";
    let ours: i64 = sqlx::query_scalar(named).fetch_one(&mut *conn).await.map_err(sql)?;
    if ours == 0 {
        let tables: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.map_err(sql)?;
        return if tables == 0 { Ok(0) } else { Err(LedgerError::Corrupt { place: place.clone() }) };
    }
    let newest = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
    let found: i64 = sqlx::query_scalar(newest).fetch_one(&mut *conn).await.map_err(sql)?;
    if found > SCHEMA {
        return Err(LedgerError::NewerSchema { place: place.clone(), found, supported: SCHEMA });
    }
    Ok(found)
}

/// Brings the schema up to date. Where it is, nothing is changed and no right to change it is needed.
pub(super) async fn bring_up(conn: &mut MySqlConnection, place: &Place) -> Result<(), LedgerError> {
    match check(conn, place).await {
        Ok(SCHEMA) => return Ok(()),
        // Another may be at it: what is half-way is looked at again once nobody is.
        Ok(_) | Err(LedgerError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    let locked: Option<i64> =
        sqlx::query_scalar(LOCK).fetch_one(&mut *conn).await.map_err(|e| fault::sql(place, e))?;
    if locked != Some(1) {
        let by = "another worker that brings its schema up to date".to_owned();
        return Err(LedgerError::Locked { place: place.clone(), by });
    }
    let done = raise(conn, place).await;
    conn.execute(UNLOCK).await.map_err(|e| fault::sql(place, e))?;
    done
}

async fn raise(conn: &mut MySqlConnection, place: &Place) -> Result<(), LedgerError> {
    let have = check(conn, place).await?;
    for (version, _) in VERSIONS.iter().filter(|(version, _)| *version > have) {
        for sql in statements(*version) {
            match conn.execute(sqlx::raw_sql(sql)).await {
                Ok(_) => {}
                Err(error) if is_trigger(sql) && is(&error, &fault::NO_TRIGGERS) => {}
                Err(error) if is(&error, &fault::DENIED) => {
                    return Err(LedgerError::SchemaForbidden { place: place.clone(), source: error });
                }
                Err(error) => return Err(fault::sql(place, error)),
            }
        }
        let done = sqlx::query("INSERT IGNORE INTO schema_version (version) VALUES (?)").bind(version);
        done.execute(&mut *conn).await.map_err(|e| fault::sql(place, e))?;
    }
    Ok(())
}

fn is(error: &sqlx::Error, numbers: &[u16]) -> bool {
    fault::number(error).is_some_and(|number| numbers.contains(&number))
}

fn is_trigger(sql: &str) -> bool {
    sql.lines().any(|line| line.starts_with("CREATE TRIGGER"))
}

/// What keeps rows of the chain: triggers, if each of its tables has both.
pub(super) async fn append_only(db: &mut Scope<'_, MySql>) -> Result<AppendOnly, LedgerError> {
    let sql = "SELECT event_object_table FROM information_schema.triggers \
        WHERE trigger_schema = DATABASE() AND event_manipulation IN ('UPDATE', 'DELETE')";
    let rows = db.rows(sql, Vec::new()).await?;
    let tables: Vec<&str> = rows.iter().filter_map(|row| MySql::text(row, 0).ok().flatten()).collect();
    let all =
        CHAINED.iter().all(|chained| tables.iter().filter(|table| **table == chained.name).count() >= 2);
    Ok(if all { AppendOnly::Triggers } else { AppendOnly::ChainAlone })
}
