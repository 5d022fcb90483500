//! The outbox in a database: written with what causes its events, read in order, kept within bounds.
//!
//! All changes of it are part of a transaction of the ledger's writer, so that a writer that was superseded changes nothing
//! here either.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use tradewind_core::order::OrderKind;

use super::cells::Cells;
use super::{Dialect, Scope, read};
use crate::chain::Value;
use crate::error::LedgerError;
use crate::outbox::event::Order;
use crate::outbox::map::{self, Told};
use crate::outbox::{Account, Backlog, Kind, Limits, OutboxOptions, OutboxRow, Standing, least};
use crate::rows::{insert_sql, named, uid, whole};

pub(crate) const OUTBOX_COLUMNS: [&str; 5] = ["sequence", "kept", "kind", "event_key", "body"];
pub(crate) const STATE_COLUMNS: [&str; 3] = ["account", "last_sequence", "relayed"];
pub(crate) const DROPPED_COLUMNS: [&str; 2] = ["kind", "events"];

/// Rows of one insert of many.
const BULK: usize = 32;
/// Delivered rows deleted in one commit at the most, so that no order waits long for it.
const CHUNK: i64 = 2_000;

static INSERT_EVENTS: LazyLock<String> = LazyLock::new(|| insert_sql("outbox", &OUTBOX_COLUMNS, BULK));
static INSERT_EVENT: LazyLock<String> = LazyLock::new(|| insert_sql("outbox", &OUTBOX_COLUMNS, 1));

/// How the outbox stands; none when the account has no bus.
pub(crate) async fn standing<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Option<Standing>, LedgerError> {
    let sql = "SELECT last_sequence, account, relayed FROM outbox_state WHERE OWN(outbox_state)";
    let Some(row) = db.row(sql, Vec::new()).await? else { return Ok(None) };
    let cells = Cells::<D>::new(&row, db.place(), "outbox_state");
    let (last, name, relayed) = (cells.number(0)?, cells.smol(1)?, cells.number(2)?);
    if name.is_empty() {
        return Ok(None);
    }
    let incarnation = read::ledger_row(db).await?.incarnation;
    let count = "SELECT COUNT(*) FROM outbox WHERE OWN(outbox) AND kept = 0";
    let droppable = db.number(count, Vec::new()).await?;
    Ok(Some(Standing {
        account: Account { name, incarnation },
        last,
        relayed,
        trimmed: 0,
        droppable: u64::try_from(droppable).unwrap_or(0),
    }))
}

/// Says whether there is an outbox, and under which name.
pub(crate) async fn set<D: Dialect>(
    db: &mut Scope<'_, D>,
    options: Option<&OutboxOptions>,
) -> Result<(), LedgerError> {
    let account = options.map_or("", |options| options.account.as_str());
    let least = whole("event number", options.map_or(0, |options| least(options.now)))?;
    let raise = "UPDATE outbox_state SET last_sequence = CASE WHEN last_sequence < ? THEN ? ELSE last_sequence END \
        WHERE OWN(outbox_state)";
    db.execute(raise, vec![Value::Int(least), Value::Int(least)]).await?;
    let found = db.number("SELECT COUNT(*) FROM outbox_state WHERE OWN(outbox_state)", Vec::new()).await?;
    let (sql, values) = if found == 0 {
        let insert =
            "INSERT INTO outbox_state (OWNER, account, last_sequence, relayed) VALUES (OWNER(), ?, ?, 0)";
        (insert, vec![Value::text(account.to_owned()), Value::Int(least)])
    } else {
        let name = "UPDATE outbox_state SET account = ? WHERE OWN(outbox_state)";
        (name, vec![Value::text(account.to_owned())])
    };
    db.execute(sql, values).await.map(drop)
}

/// Writes events and what follows for the outbox; `relayed` is how far they are delivered by now.
pub(crate) async fn write<D: Dialect>(
    db: &mut Scope<'_, D>,
    standing: &mut Standing,
    told: Vec<Told>,
    (relayed, limits): (u64, Limits),
) -> Result<(), LedgerError> {
    let relayed = relayed.min(standing.last).max(standing.relayed);
    let moved = !told.is_empty() || relayed != standing.relayed;
    standing.relayed = relayed;
    insert(db, standing, told).await?;
    trim(db, standing, limits).await?;
    drop_oldest(db, standing, limits).await?;
    if moved {
        let update = "UPDATE outbox_state SET last_sequence = ?, relayed = ? WHERE OWN(outbox_state)";
        let numbers = [whole("event number", standing.last)?, whole("event number", standing.relayed)?];
        db.execute(update, numbers.map(Value::Int).into()).await?;
    }
    Ok(())
}

async fn insert<D: Dialect>(
    db: &mut Scope<'_, D>,
    standing: &mut Standing,
    told: Vec<Told>,
) -> Result<(), LedgerError> {
    let mut rows = Vec::with_capacity(told.len());
    for told in told {
        standing.last = standing.last.saturating_add(1);
        let row = told.row(&standing.account, standing.last)?;
        standing.droppable = standing.droppable.saturating_add(u64::from(!row.kind.is_kept()));
        rows.push(row);
    }
    let (bulks, rest) = rows.as_chunks::<BULK>();
    for bulk in bulks {
        let mut values = Vec::with_capacity(BULK.saturating_mul(OUTBOX_COLUMNS.len()));
        for row in bulk {
            values.extend(columns(row)?);
        }
        db.execute(&INSERT_EVENTS, values).await?;
    }
    for row in rest {
        db.execute(&INSERT_EVENT, columns(row)?.into()).await?;
    }
    Ok(())
}

fn columns(row: &OutboxRow) -> Result<[Value<'_>; 5], LedgerError> {
    Ok([
        Value::Int(whole("event number", row.sequence)?),
        Value::Int(i64::from(row.kind.is_kept())),
        Value::Text(Cow::Borrowed(row.kind.into())),
        Value::Text(Cow::Borrowed(&row.key)),
        Value::Text(Cow::Borrowed(&row.body)),
    ])
}

/// Deletes delivered rows but for the newest, a bounded number, each time so many more are delivered that it is worth it.
async fn trim<D: Dialect>(
    db: &mut Scope<'_, D>,
    standing: &mut Standing,
    limits: Limits,
) -> Result<(), LedgerError> {
    if standing.relayed.saturating_sub(standing.trimmed) <= limits.tail / 10 {
        return Ok(());
    }
    // The newest delivered row that is not to be kept, and the last one that one commit may delete.
    let newest = "SELECT sequence FROM outbox WHERE OWN(outbox) AND sequence <= ? ORDER BY sequence DESC LIMIT 1 OFFSET ?";
    let values =
        vec![Value::Int(whole("event number", standing.relayed)?), Value::Int(whole("events", limits.tail)?)];
    let newest = db.number(newest, values).await?;
    let last = "SELECT sequence FROM outbox WHERE OWN(outbox) ORDER BY sequence LIMIT 1 OFFSET ?";
    let last = db.number(last, vec![Value::Int(CHUNK)]).await?;
    let cut = if last == 0 { newest } else { newest.min(last) };
    if cut != 0 {
        let delete = "DELETE FROM outbox WHERE OWN(outbox) AND kept = ? AND sequence <= ?";
        let gone = db.execute(delete, vec![Value::Int(0), Value::Int(cut)]).await?;
        standing.droppable = standing.droppable.saturating_sub(gone);
        db.execute(delete, vec![Value::Int(1), Value::Int(cut)]).await?;
    }
    if cut == newest {
        standing.trimmed = standing.relayed;
    }
    Ok(())
}

/// Deletes the oldest rows that may be dropped when there are too many, and counts those nobody was told of.
async fn drop_oldest<D: Dialect>(
    db: &mut Scope<'_, D>,
    standing: &mut Standing,
    limits: Limits,
) -> Result<(), LedgerError> {
    let Some(over) = standing.droppable.checked_sub(limits.droppable).filter(|over| *over > 0) else {
        return Ok(());
    };
    // A little more than is needed, so that not every commit has to.
    let gone = over.saturating_add(limits.droppable / 100);
    let cut = "SELECT sequence FROM outbox WHERE OWN(outbox) AND kept = 0 ORDER BY sequence LIMIT 1 OFFSET ?";
    let cut = db.number(cut, vec![Value::Int(whole("events", gone.saturating_sub(1))?)]).await?;
    let count = "SELECT COUNT(*), kind FROM outbox WHERE OWN(outbox) AND kept = 0 AND sequence <= ? AND sequence > ? \
        GROUP BY kind ORDER BY kind";
    let relayed = whole("event number", standing.relayed)?;
    let rows = db.rows(count, vec![Value::Int(cut), Value::Int(relayed)]).await?;
    let mut undelivered = Vec::new();
    for row in &rows {
        let cells = Cells::<D>::new(row, db.place(), "outbox");
        undelivered.push((cells.int(0)?, cells.smol(1)?));
    }
    for (events, kind) in undelivered {
        let update = "UPDATE outbox_dropped SET events = events + ? WHERE OWN(outbox_dropped) AND kind = ?";
        let values = vec![Value::Int(events), Value::text(kind.to_string())];
        if db.execute(update, values.clone()).await? == 0 {
            let insert = "INSERT INTO outbox_dropped (OWNER, events, kind) VALUES (OWNER(), ?, ?)";
            db.execute(insert, values).await?;
        }
    }
    let delete = "DELETE FROM outbox WHERE OWN(outbox) AND kept = 0 AND sequence <= ?";
    let deleted = db.execute(delete, vec![Value::Int(cut)]).await?;
    standing.droppable = standing.droppable.saturating_sub(deleted);
    Ok(())
}

pub(crate) async fn events_after<D: Dialect>(
    db: &mut Scope<'_, D>,
    sequence: u64,
    limit: u32,
) -> Result<Vec<OutboxRow>, LedgerError> {
    let sql = "SELECT sequence, kind, event_key, body FROM outbox WHERE OWN(outbox) AND sequence > ? \
        ORDER BY sequence LIMIT ?";
    let after = i64::try_from(sequence).unwrap_or(i64::MAX);
    let rows = db.rows(sql, vec![Value::Int(after), Value::Int(limit.into())]).await?;
    let row = |row| {
        let cells = Cells::<D>::new(row, db.place(), "outbox");
        Ok(OutboxRow {
            sequence: cells.number(0)?,
            kind: cells.parsed(1, Kind::named)?,
            key: cells.text(2)?.to_owned(),
            body: cells.text(3)?.to_owned(),
        })
    };
    rows.iter().map(row).collect()
}

pub(crate) async fn backlog<D: Dialect>(db: &mut Scope<'_, D>, known: u64) -> Result<Backlog, LedgerError> {
    let relayed = "SELECT relayed FROM outbox_state WHERE OWN(outbox_state)";
    let relayed = db.number(relayed, Vec::new()).await?.max(whole("event number", known)?);
    let waiting = "SELECT COUNT(*) FROM outbox WHERE OWN(outbox) AND sequence > ?";
    let waiting = db.number(waiting, vec![Value::Int(relayed)]).await?;
    let dropped = "SELECT events, kind FROM outbox_dropped WHERE OWN(outbox_dropped)";
    let rows = db.rows(dropped, Vec::new()).await?;
    let mut dropped = BTreeMap::new();
    for row in &rows {
        let cells = Cells::<D>::new(row, db.place(), "outbox_dropped");
        dropped.insert(cells.parsed(1, Kind::named)?, cells.number(0)?);
    }
    let number = |number| u64::try_from(number).unwrap_or(0);
    Ok(Backlog { relayed: number(relayed), waiting: number(waiting), dropped })
}

/// The order as it stands, for its events; none when it is not there.
pub(crate) async fn order<D: Dialect>(
    db: &mut Scope<'_, D>,
    intent: i64,
) -> Result<Option<Order>, LedgerError> {
    let sql = "SELECT seq, client_order_id, strategy, strategy_name, symbol, side, kind, price, quantity, purpose, \
        decided_at, state, attempt, filled_units, quantity_units, id FROM intents WHERE OWN(intents) AND id = ?";
    let Some(row) = db.row(sql, vec![Value::Int(intent)]).await? else { return Ok(None) };
    let cells = Cells::<D>::new(&row, db.place(), "intents");
    let quantity = cells.text(8)?;
    Ok(Some(Order {
        intent: cells.number(15)?,
        client_order_id: cells.text(1)?.to_owned(),
        strategy: map::strategy(cells.parsed(2, uid)?, cells.text(3)?),
        symbol: cells.text(4)?.to_owned(),
        side: cells.parsed(5, named)?,
        order_type: map::kind(cells.json::<OrderKind>(6)?).0,
        price: cells.optional_text(7)?.map(str::to_owned),
        quantity: quantity.to_owned(),
        filled_quantity: share(quantity, cells.int(13)?, cells.int(14)?).ok_or_else(|| cells.tampered())?,
        purpose: cells.parsed(9, named)?,
        state: cells.parsed(11, named)?,
        previous: None,
        attempt: cells.number(12)?,
        detail: None,
        decided_at: map::time(cells.time(10)?),
    }))
}

/// So many of the whole units that `text` is the decimal of, as a decimal.
fn share(text: &str, part: i64, whole: i64) -> Option<String> {
    use tradewind_core::money::{CASH_SCALE, Rounding, format_trimmed, mul_div, parse_fixed};
    let units = parse_fixed(text, CASH_SCALE).ok()?;
    let part = mul_div(units, part.into(), whole.into(), Rounding::Down).ok()?;
    Some(format_trimmed(part, CASH_SCALE))
}

/// The number of the signal's row.
pub(crate) async fn signal_id<D: Dialect>(
    db: &mut Scope<'_, D>,
    row: &crate::port::DecisionRow,
) -> Result<u64, LedgerError> {
    let sql = "SELECT MAX(id) FROM decisions \
        WHERE OWN(decisions) AND at = ? AND strategy = ? AND symbol = ? AND bar = ?";
    let values = vec![
        Value::Int(row.at.0),
        Value::text(row.strategy.to_string()),
        Value::text(row.symbol.to_string()),
        Value::Int(row.bar.0),
    ];
    Ok(u64::try_from(db.number(sql, values).await?).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_of_an_amount_is_exact() {
        assert_eq!(share("0.5", 20_000_000, 50_000_000).as_deref(), Some("0.2"));
        assert_eq!(share("0.00000003", 1, 3).as_deref(), Some("0.00000001"));
        assert_eq!(share("12", 0, 12).as_deref(), Some("0"));
        assert_eq!(share("12", 1, 0), None, "an order of nothing is none");
    }
}
