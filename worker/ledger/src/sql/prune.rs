//! Bounded growth: what people read is deleted by age, a little at a time; what money rests on never is.

use tradewind_core::order::Epoch;
use tradewind_core::time::Timestamp;

use super::{Dialect, Scope};
use crate::chain::Value;
use crate::error::LedgerError;
use crate::port::Pruned;
use crate::rows::whole;

/// Rows of a table deleted in one transaction: some ten milliseconds, so that no order waits longer for it.
const CHUNK: i64 = 5_000;

// The inner select is wrapped because MySQL takes no LIMIT directly in an IN.
const DECISIONS: &str = "DELETE FROM decisions WHERE OWN(decisions) AND id IN \
    (SELECT id FROM (SELECT id FROM decisions WHERE OWN(decisions) AND at < ? ORDER BY at LIMIT ?) AS old)";
const EQUITY: &str = "DELETE FROM equity WHERE OWN(equity) AND id IN \
    (SELECT id FROM (SELECT id FROM equity WHERE OWN(equity) AND at < ? ORDER BY at LIMIT ?) AS old)";

/// Deletes what is older, as the writer of that epoch. Repeating it deletes no more than it should.
pub(crate) async fn delete_old<D: Dialect>(
    db: &mut Scope<'_, D>,
    ours: Epoch,
    before: Timestamp,
) -> Result<Pruned, LedgerError> {
    let context = &mut *db.context;
    let mut tx = D::begin_writing(db.conn).await.map_err(|e| D::fault(&context.place, e))?;
    let mut scope = Scope::<D> { conn: &mut tx, context };
    let hold = "UPDATE chain_head SET epoch = epoch WHERE OWN(chain_head) AND epoch = ?";
    if scope.execute(hold, vec![Value::Int(whole("epoch", ours.0)?)]).await? != 1 {
        let theirs = super::read::writer_row(&mut scope).await?.epoch;
        return Err(LedgerError::Fenced { ours, theirs });
    }
    let oldest = || vec![Value::Int(before.0), Value::Int(CHUNK)];
    let decisions = scope.execute(DECISIONS, oldest()).await?;
    let equity = scope.execute(EQUITY, oldest()).await?;
    tx.commit().await.map_err(|e| D::fault(&context.place, e))?;
    let full = u64::try_from(CHUNK).unwrap_or(u64::MAX);
    Ok(Pruned { decisions, equity, more: decisions == full || equity == full })
}
