//! Small questions about many rows: how decisions ended, how many fills there are, in which instruments.

use smol_str::SmolStr;
use tradewind_core::name::Symbol;

use super::cells::Cells;
use super::{Dialect, Scope};
use crate::error::LedgerError;
use crate::port::OutcomeCount;

pub(crate) async fn outcomes<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<OutcomeCount>, LedgerError> {
    let sql = "SELECT decisions, strategy_name, stage, outcome FROM outcomes \
        WHERE OWN(outcomes) ORDER BY strategy_name, stage, outcome";
    let rows = db.rows(sql, Vec::new()).await?;
    let count = |row| {
        let cells = Cells::<D>::new(row, db.place(), "outcomes");
        Ok(OutcomeCount {
            count: cells.number(0)?,
            strategy_name: cells.smol(1)?,
            stage: cells.smol(2)?,
            outcome: cells.smol(3)?,
        })
    };
    rows.iter().map(count).collect()
}

pub(crate) async fn fill_counts<D: Dialect>(
    db: &mut Scope<'_, D>,
) -> Result<Vec<(SmolStr, u64)>, LedgerError> {
    let sql = "SELECT COUNT(*), i.strategy_name FROM fills f JOIN intents i ON OWN(i) AND i.id = f.intent \
        WHERE OWN(f) GROUP BY i.strategy_name ORDER BY i.strategy_name";
    let rows = db.rows(sql, Vec::new()).await?;
    let count = |row| {
        let cells = Cells::<D>::new(row, db.place(), "fills");
        Ok((cells.smol(1)?, cells.number(0)?))
    };
    rows.iter().map(count).collect()
}

pub(crate) async fn symbols<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<Symbol>, LedgerError> {
    let sql = "SELECT 0, symbol FROM intents WHERE OWN(intents) GROUP BY symbol ORDER BY symbol";
    let rows = db.rows(sql, Vec::new()).await?;
    rows.iter()
        .map(|row| Cells::<D>::new(row, db.place(), "intents").parsed(1, |text| text.parse().ok()))
        .collect()
}
