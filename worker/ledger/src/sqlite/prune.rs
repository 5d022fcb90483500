//! Bounded growth: what people read is deleted by age, a little at a time; what money rests on never is.

use sqlx::{Connection, SqliteConnection};
use tradewind_core::time::Timestamp;

use super::{SqliteLedger, fault};
use crate::error::LedgerError;
use crate::port::{Ledger, Pruned};
use crate::rows::whole;

/// Rows of a table deleted in one transaction: some ten milliseconds, so that no order waits longer for it.
const CHUNK: i64 = 5_000;

// The inner select is wrapped because MySQL takes no LIMIT directly in an IN.
const DECISIONS: &str = "DELETE FROM decisions WHERE id IN \
    (SELECT id FROM (SELECT id FROM decisions WHERE at < ? ORDER BY at LIMIT ?) AS old)";
const EQUITY: &str = "DELETE FROM equity WHERE id IN \
    (SELECT id FROM (SELECT id FROM equity WHERE at < ? ORDER BY at LIMIT ?) AS old)";

impl SqliteLedger {
    pub(super) async fn delete_old(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        let identity = self.identity();
        let path = &self.db.path;
        let sql = |e| fault::sql(path, e);
        let mut tx = self.db.conn.begin_with("BEGIN IMMEDIATE").await.map_err(sql)?;
        let held = sqlx::query("UPDATE chain_head SET epoch = epoch WHERE id = 1 AND epoch = ?")
            .bind(whole("epoch", identity.epoch.0)?)
            .execute(&mut *tx)
            .await
            .map_err(sql)?;
        if held.rows_affected() != 1 {
            let theirs = super::read::writer_row(&mut tx, path).await?.epoch;
            return Err(LedgerError::Fenced { ours: identity.epoch, theirs });
        }
        let decisions = delete(&mut tx, DECISIONS, before).await.map_err(sql)?;
        let equity = delete(&mut tx, EQUITY, before).await.map_err(sql)?;
        tx.commit().await.map_err(sql)?;
        let full = u64::try_from(CHUNK).unwrap_or(u64::MAX);
        Ok(Pruned { decisions, equity, more: decisions == full || equity == full })
    }
}

async fn delete(
    conn: &mut SqliteConnection,
    sql: &'static str,
    before: Timestamp,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(sql).bind(before.0).bind(CHUNK).execute(conn).await?;
    Ok(done.rows_affected())
}
