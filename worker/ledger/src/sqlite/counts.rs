//! Small questions about many rows: how decisions ended, how many fills there are, in which instruments.

use std::path::Path;

use smol_str::SmolStr;
use sqlx::SqliteConnection;
use tradewind_core::name::Symbol;

use super::fault;
use super::read::Cells;
use crate::error::LedgerError;
use crate::port::OutcomeCount;

pub(super) async fn outcomes(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<OutcomeCount>, LedgerError> {
    let sql = "SELECT decisions, strategy_name, stage, outcome FROM outcomes \
        ORDER BY strategy_name, stage, outcome";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let count = |row| {
        let cells = Cells::new(row, path, "outcomes");
        Ok(OutcomeCount {
            count: cells.number(0)?,
            strategy_name: cells.smol(1)?,
            stage: cells.smol(2)?,
            outcome: cells.smol(3)?,
        })
    };
    rows.iter().map(count).collect()
}

pub(super) async fn fill_counts(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
    let sql = "SELECT COUNT(*), i.strategy_name FROM fills f JOIN intents i ON i.id = f.intent \
        GROUP BY i.strategy_name ORDER BY i.strategy_name";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let count = |row| {
        let cells = Cells::new(row, path, "fills");
        Ok((cells.smol(1)?, cells.number(0)?))
    };
    rows.iter().map(count).collect()
}

pub(super) async fn symbols(conn: &mut SqliteConnection, path: &Path) -> Result<Vec<Symbol>, LedgerError> {
    let sql = "SELECT 0, symbol FROM intents GROUP BY symbol ORDER BY symbol";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    rows.iter().map(|row| Cells::new(row, path, "intents").parsed(1, |text| text.parse().ok())).collect()
}
