//! Checking that the ledger is what was written: the chain of hashes, and the projections against the rows they follow
//! from. At opening the end of it, on demand all of it.

use std::collections::BTreeMap;
use std::path::Path;

use blake3::Hash;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, SqliteConnection};
use tradewind_core::money::{CASH_SCALE, Rounding, pow10};
use tradewind_core::name::Symbol;
use tradewind_core::order::Fee;

use super::read::{self, Cells, WriterRow};
use super::{Balances, fault};
use crate::chain::{ChainHead, Value, genesis, link};
use crate::error::LedgerError;
use crate::rows::{CHAINED, Column, Table, named, uid, whole};

/// Rows checked at each opening.
const TAIL: i64 = 256;
/// Rows checked at once: bounds the memory.
const PAGE: i64 = 1_024;

/// Checks everything.
pub(super) async fn all(conn: &mut SqliteConnection, path: &Path) -> Result<ChainHead, LedgerError> {
    let mut tx = conn.begin().await.map_err(|e| fault::sql(path, e))?;
    let writer = read::writer_row(&mut tx, path).await?;
    let last = whole("row number", writer.head.seq)?;
    walk(&mut tx, path, 1, last, writer.head.hash).await?;
    projections(&mut tx, path, 0).await?;
    balances(&mut tx, path).await?;
    read::checkpoint(&mut tx, path).await?;
    tx.commit().await.map_err(|e| fault::sql(path, e))?;
    Ok(writer.head)
}

/// Checks the last rows, and all orders that are open.
pub(super) async fn tail(conn: &mut SqliteConnection, path: &Path) -> Result<WriterRow, LedgerError> {
    let writer = read::writer_row(conn, path).await?;
    let last = whole("row number", writer.head.seq)?;
    let first = (last - TAIL + 1).max(1);
    walk(conn, path, first, last, writer.head.hash).await?;
    projections(conn, path, first).await?;
    read::checkpoint(conn, path).await?;
    Ok(writer)
}

/// Whether the chain once ended with that row: the row is there, with that hash.
pub(super) async fn contains(
    conn: &mut SqliteConnection,
    path: &Path,
    head: &ChainHead,
) -> Result<bool, LedgerError> {
    // A number no column can hold is no row's.
    let Ok(seq) = i64::try_from(head.seq) else { return Ok(false) };
    if seq == 0 {
        return Ok(origin(conn, path).await? == head.hash);
    }
    let found = page(conn, path, seq, seq).await?;
    Ok(found.get(&seq).is_some_and(|row| row.hash == head.hash))
}

/// Checks that a row is as it was written, by its own hash. Its columns: seq, `prev_hash`, hash and those of the table.
pub(super) fn intact(cells: &Cells<'_>, table: &Table) -> Result<(), LedgerError> {
    let hash = link(&cells.hash(1)?, cells.int(0)?, table.name, &values(cells, table)?);
    if hash == cells.hash(2)? { Ok(()) } else { Err(cells.tampered()) }
}

/// Checks that no row of the chain is missing, without reading them; if one is, looks for it.
pub(super) async fn complete(conn: &mut SqliteConnection, path: &Path) -> Result<(), LedgerError> {
    let sql = "SELECT (SELECT COUNT(*) FROM intents) + (SELECT COUNT(*) FROM transitions) + \
        (SELECT COUNT(*) FROM fills) + (SELECT COUNT(*) FROM halts) + (SELECT COUNT(*) FROM transfers) + \
        (SELECT COUNT(*) FROM rebases) + (SELECT COUNT(*) FROM signings) + (SELECT COUNT(*) FROM successions)";
    let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut *conn).await.map_err(|e| fault::sql(path, e))?;
    let writer = read::writer_row(conn, path).await?;
    let last = whole("row number", writer.head.seq)?;
    if rows == last { Ok(()) } else { walk(conn, path, 1, last, writer.head.hash).await }
}

/// A row of the chain as it stands in its table.
struct Linked {
    table: &'static Table,
    previous: Hash,
    hash: Hash,
    values: Vec<Value<'static>>,
}

/// Walks the chain from `first` to `last`, where its hash must be `end`.
async fn walk(
    conn: &mut SqliteConnection,
    path: &Path,
    first: i64,
    last: i64,
    end: Hash,
) -> Result<(), LedgerError> {
    let tampered = |table, seq| {
        let seq = u64::try_from(seq).unwrap_or(0);
        LedgerError::Tampered { path: path.to_path_buf(), table, seq }
    };
    let mut before = if first == 1 { Some(origin(conn, path).await?) } else { None };
    let mut low = first;
    while low <= last {
        let high = last.min(low + PAGE - 1);
        let mut rows = page(conn, path, low, high).await?;
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
    let beyond = page(conn, path, last + 1, i64::MAX).await?;
    beyond.first_key_value().map_or(Ok(()), |(seq, row)| Err(tampered(row.table.name, *seq)))
}

async fn origin(conn: &mut SqliteConnection, path: &Path) -> Result<Hash, LedgerError> {
    let row = read::ledger_row(conn, path).await?;
    Ok(genesis(&row.account, &row.account_name, i64::from(row.incarnation.0), row.created_at))
}

async fn page(
    conn: &mut SqliteConnection,
    path: &Path,
    low: i64,
    high: i64,
) -> Result<BTreeMap<i64, Linked>, LedgerError> {
    let mut found = BTreeMap::new();
    for table in CHAINED {
        let query = sqlx::query(table.select.as_str()).bind(low).bind(high);
        for row in query.fetch_all(&mut *conn).await.map_err(|e| fault::sql(path, e))? {
            let cells = Cells::new(&row, path, table.name);
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

fn values(cells: &Cells<'_>, table: &Table) -> Result<Vec<Value<'static>>, LedgerError> {
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

const WRONG_STATE: &str = "SELECT i.seq FROM intents i \
    LEFT JOIN transitions t ON t.seq = (SELECT MAX(n.seq) FROM transitions n WHERE n.intent = i.id) \
    WHERE i.id IN (SELECT id FROM intents WHERE seq >= ? UNION SELECT id FROM intents WHERE state IN \
        ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown')) \
    AND (i.state <> COALESCE(t.to_state, 'Intended') OR i.attempt <> COALESCE(t.attempt, 0)) ORDER BY i.seq LIMIT 1";
const WRONG_FILLED: &str = "SELECT i.seq FROM intents i \
    WHERE i.id IN (SELECT id FROM intents WHERE seq >= ? UNION SELECT id FROM intents WHERE state IN \
        ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown')) \
    AND i.filled_units <> COALESCE((SELECT SUM(f.quantity_units) FROM fills f WHERE f.intent = i.id), 0) \
    ORDER BY i.seq LIMIT 1";

/// Checks the projected columns of the orders from row `first` on and of all open ones.
async fn projections(conn: &mut SqliteConnection, path: &Path, first: i64) -> Result<(), LedgerError> {
    for sql in [WRONG_STATE, WRONG_FILLED] {
        let wrong: Option<SqliteRow> =
            sqlx::query(sql).bind(first).fetch_optional(&mut *conn).await.map_err(|e| fault::sql(path, e))?;
        if let Some(row) = wrong {
            return Err(Cells::new(&row, path, "intents").tampered());
        }
    }
    Ok(())
}

const POSTINGS: &str = "SELECT f.seq, i.strategy, f.symbol, f.side, f.price, f.quantity, f.fee, f.fee_asset FROM fills f \
    JOIN intents i ON i.id = f.intent WHERE f.seq > ? ORDER BY f.seq LIMIT ?";

/// Checks that the balances are the fold of transfers and fills, each for who has it now.
async fn balances(conn: &mut SqliteConnection, path: &Path) -> Result<(), LedgerError> {
    let mut folded = Balances::default();
    folded.know(read::successions(conn, path).await?);
    for transfer in read::transfers(conn, path).await? {
        folded.transfer(&transfer)?;
    }
    let mut after = 0;
    loop {
        let query = sqlx::query(POSTINGS).bind(after).bind(read::PAGE);
        let rows = query.fetch_all(&mut *conn).await.map_err(|e| fault::sql(path, e))?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let cells = Cells::new(row, path, "fills");
            after = cells.int(0)?;
            let symbol: Symbol = cells.parsed(2, |t| t.parse().ok())?;
            let (price, base) = (cells.cash(4)?, cells.cash(5)?);
            // Exact: the decimals of a price and a quantity of one instrument are at most 18 together.
            let quote = price.mul_div(base.0, pow10(CASH_SCALE)?, Rounding::Down)?;
            let fee = Fee { amount: cells.cash(6)?, asset: cells.parsed(7, |t| t.parse().ok())? };
            folded.post(cells.parsed(1, uid)?, &symbol, cells.parsed(3, named)?, (base, quote), &fee)?;
        }
    }
    if folded.rows() == read::balances(conn, path).await? {
        return Ok(());
    }
    Err(LedgerError::Tampered { path: path.to_path_buf(), table: "balances", seq: 0 })
}
