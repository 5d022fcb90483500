//! Checking that the ledger is what was written: the chain of hashes, and the projections against the rows they follow
//! from. At opening the end of it, on demand all of it.

use std::collections::BTreeMap;

use blake3::Hash;
use tradewind_core::money::{CASH_SCALE, Rounding, pow10};
use tradewind_core::name::Symbol;
use tradewind_core::order::Fee;

use super::cells::Cells;
use super::read::{self, WriterRow};
use super::{Dialect, Scope, in_one_moment};
use crate::balances::Balances;
use crate::chain::{ChainHead, Value, genesis, link};
use crate::error::LedgerError;
use crate::rows::{CHAINED, Column, Table, named, uid, whole};

/// Rows checked at each opening.
const TAIL: i64 = 256;
/// Rows checked at once: bounds the memory.
const PAGE: i64 = 1_024;

/// Checks everything, as of one moment.
pub(crate) async fn all<D: Dialect>(db: &mut Scope<'_, D>) -> Result<ChainHead, LedgerError> {
    in_one_moment!(db, |db| everything(db).await?)
}

/// Checks everything, within a transaction.
pub(crate) async fn everything<D: Dialect>(db: &mut Scope<'_, D>) -> Result<ChainHead, LedgerError> {
    let writer = read::writer_row(db).await?;
    let last = whole("row number", writer.head.seq)?;
    walk(db, 1, last, writer.head.hash).await?;
    projections(db, 0).await?;
    balances(db).await?;
    read::checkpoint(db).await?;
    Ok(writer.head)
}

/// Checks the last rows, and all orders that are open.
pub(crate) async fn tail<D: Dialect>(db: &mut Scope<'_, D>) -> Result<WriterRow, LedgerError> {
    let writer = read::writer_row(db).await?;
    let last = whole("row number", writer.head.seq)?;
    let first = (last - TAIL + 1).max(1);
    walk(db, first, last, writer.head.hash).await?;
    projections(db, first).await?;
    read::checkpoint(db).await?;
    Ok(writer)
}

/// Whether the chain once ended with that row: the row is there, with that hash.
pub(crate) async fn contains<D: Dialect>(
    db: &mut Scope<'_, D>,
    head: &ChainHead,
) -> Result<bool, LedgerError> {
    // A number no column can hold is no row's.
    let Ok(seq) = i64::try_from(head.seq) else { return Ok(false) };
    if seq == 0 {
        return Ok(origin(db).await? == head.hash);
    }
    let found = page(db, seq, seq).await?;
    Ok(found.get(&seq).is_some_and(|row| row.hash == head.hash))
}

/// Checks that a row is as it was written, by its own hash. Its columns: seq, `prev_hash`, hash and those of the table.
pub(crate) fn intact<D: Dialect>(cells: &Cells<'_, D>, table: &Table) -> Result<(), LedgerError> {
    let hash = link(&cells.hash(1)?, cells.int(0)?, table.name, &values(cells, table)?);
    if hash == cells.hash(2)? { Ok(()) } else { Err(cells.tampered()) }
}

/// Checks that no row of the chain is missing, without reading them; if one is, looks for it.
pub(crate) async fn complete<D: Dialect>(db: &mut Scope<'_, D>) -> Result<(), LedgerError> {
    let sql = "SELECT (SELECT COUNT(*) FROM intents WHERE OWN(intents)) + \
        (SELECT COUNT(*) FROM transitions WHERE OWN(transitions)) + (SELECT COUNT(*) FROM fills WHERE OWN(fills)) + \
        (SELECT COUNT(*) FROM halts WHERE OWN(halts)) + (SELECT COUNT(*) FROM transfers WHERE OWN(transfers)) + \
        (SELECT COUNT(*) FROM rebases WHERE OWN(rebases)) + \
        (SELECT COUNT(*) FROM successions WHERE OWN(successions)) + \
        (SELECT COUNT(*) FROM signings WHERE OWN(signings)) + \
        (SELECT COUNT(*) FROM externals WHERE OWN(externals))";
    let rows = db.number(sql, Vec::new()).await?;
    let writer = read::writer_row(db).await?;
    let last = whole("row number", writer.head.seq)?;
    if rows == last { Ok(()) } else { walk(db, 1, last, writer.head.hash).await }
}

/// A row of the chain as it stands in its table.
struct Linked {
    table: &'static Table,
    previous: Hash,
    hash: Hash,
    values: Vec<Value<'static>>,
}

/// Walks the chain from `first` to `last`, where its hash must be `end`.
async fn walk<D: Dialect>(
    db: &mut Scope<'_, D>,
    first: i64,
    last: i64,
    end: Hash,
) -> Result<(), LedgerError> {
    let place = db.place().clone();
    let tampered = |table, seq| {
        let seq = u64::try_from(seq).unwrap_or(0);
        LedgerError::Tampered { place: place.clone(), table, seq }
    };
    let mut before = if first == 1 { Some(origin(db).await?) } else { None };
    let mut low = first;
    while low <= last {
        let high = last.min(low + PAGE - 1);
        let mut rows = page(db, low, high).await?;
        for seq in low..=high {
            let row = rows.remove(&seq).ok_or_else(|| tampered("chain", seq))?;
            let follows = before.is_none_or(|hash| hash == row.previous);
            let hash = link(&row.previous, seq, row.table.name, &row.values);
            if !follows || hash != row.hash {
                return Err(tampered(row.table.name, seq));
            }
            before = Some(hash);
        }
        low = high + 1;
    }
    if before.is_some_and(|hash| hash != end) {
        return Err(tampered("chain_head", last));
    }
    let beyond = page(db, last + 1, i64::MAX).await?;
    beyond.first_key_value().map_or(Ok(()), |(seq, row)| Err(tampered(row.table.name, *seq)))
}

async fn origin<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Hash, LedgerError> {
    let row = read::ledger_row(db).await?;
    Ok(genesis(&row.account, &row.account_name, i64::from(row.incarnation.0), row.created_at))
}

async fn page<D: Dialect>(
    db: &mut Scope<'_, D>,
    low: i64,
    high: i64,
) -> Result<BTreeMap<i64, Linked>, LedgerError> {
    let mut found = BTreeMap::new();
    for table in CHAINED {
        for row in db.rows(table.select.as_str(), vec![Value::Int(low), Value::Int(high)]).await? {
            let cells = Cells::<D>::new(&row, db.place(), table.name);
            let linked = Linked {
                table,
                previous: cells.hash(1)?,
                hash: cells.hash(2)?,
                values: values(&cells, table)?,
            };
            if found.insert(cells.int(0)?, linked).is_some() {
                return Err(cells.tampered());
            }
        }
    }
    Ok(found)
}

fn values<D: Dialect>(cells: &Cells<'_, D>, table: &Table) -> Result<Vec<Value<'static>>, LedgerError> {
    // After seq, prev_hash and hash.
    let columns = table.columns.iter().zip(3..);
    let value = |(column, index): (&Column, usize)| {
        Ok(match column {
            Column::Int(_) => cells.optional_int(index)?.map_or(Value::Null, Value::Int),
            Column::Text(_) => Value::optional(cells.optional_text(index)?.map(str::to_owned)),
        })
    };
    columns.map(value).collect()
}

// The orders of a range and all open ones, found by index. What an order must be is not stored with it.
const WRONG_STATE: &str = "SELECT i.seq FROM intents i \
    LEFT JOIN transitions t ON OWN(t) AND t.seq = \
        (SELECT MAX(n.seq) FROM transitions n WHERE OWN(n) AND n.intent = i.id) \
    WHERE OWN(i) AND (i.seq >= ? OR i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown')) \
    AND (i.state <> COALESCE(t.to_state, 'Intended') OR i.attempt <> COALESCE(t.attempt, 0)) ORDER BY i.seq LIMIT 1";
const WRONG_FILLED: &str = "SELECT i.seq FROM intents i \
    WHERE OWN(i) AND (i.seq >= ? OR i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown')) \
    AND i.filled_units <> \
        COALESCE((SELECT SUM(f.quantity_units) FROM fills f WHERE OWN(f) AND f.intent = i.id), 0) \
    ORDER BY i.seq LIMIT 1";

/// Checks the projected columns of the orders from row `first` on and of all open ones.
async fn projections<D: Dialect>(db: &mut Scope<'_, D>, first: i64) -> Result<(), LedgerError> {
    for sql in [WRONG_STATE, WRONG_FILLED] {
        if let Some(row) = db.row(sql, vec![Value::Int(first)]).await? {
            return Err(Cells::<D>::new(&row, db.place(), "intents").tampered());
        }
    }
    Ok(())
}

const POSTINGS: &str = "SELECT f.seq, i.strategy, f.symbol, f.side, f.price, f.quantity, f.fee, f.fee_asset FROM fills f \
    JOIN intents i ON OWN(i) AND i.id = f.intent WHERE OWN(f) AND f.seq > ? ORDER BY f.seq LIMIT ?";

/// Checks that balances and positions are the fold of transfers and fills, each for who has it now.
async fn balances<D: Dialect>(db: &mut Scope<'_, D>) -> Result<(), LedgerError> {
    let folded = fold(db).await?;
    let tampered = |table| LedgerError::Tampered { place: db.place().clone(), table, seq: 0 };
    let (no_balances, no_positions) = (tampered("balances"), tampered("positions"));
    if folded.rows() != read::balances(db).await? {
        return Err(no_balances);
    }
    if folded.position_rows() != read::positions(db).await? {
        return Err(no_positions);
    }
    Ok(())
}

/// The fold of transfers, fills and successions.
pub(crate) async fn fold<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Balances, LedgerError> {
    let mut folded = Balances::default();
    for transfer in read::transfers(db).await? {
        folded.transfer(&transfer)?;
    }
    // Each where it stands between the fills: what a sale takes of the cost depends on what is held by then.
    let mut successions = read::successions(db).await?.into_iter().peekable();
    let mut after = 0;
    loop {
        let rows = db.rows(POSTINGS, vec![Value::Int(after), Value::Int(read::PAGE)]).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let cells = Cells::<D>::new(row, db.place(), "fills");
            after = cells.int(0)?;
            while let Some((_, done)) = successions.next_if(|(seq, _)| *seq < after) {
                folded.succeed(&done)?;
            }
            let symbol: Symbol = cells.parsed(2, |t| t.parse().ok())?;
            let (price, base) = (cells.cash(4)?, cells.cash(5)?);
            // Exact: the decimals of a price and a quantity of one instrument are at most 18 together.
            let quote = price.mul_div(base.0, pow10(CASH_SCALE)?, Rounding::Down)?;
            let fee = Fee { amount: cells.cash(6)?, asset: cells.parsed(7, |t| t.parse().ok())? };
            folded.post(cells.parsed(1, uid)?, &symbol, cells.parsed(3, named)?, (base, quote), &fee)?;
        }
    }
    for (_, done) in successions {
        folded.succeed(&done)?;
    }
    Ok(folded)
}
