//! All rows of a ledger, out of it and into a new one. What is read is of one moment, also while a worker writes.

use std::sync::LazyLock;

use tradewind_core::event::{HaltChange, Record};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope, ledger_unknown};
use tradewind_core::time::Timestamp;

use super::commit::Writing;
use super::ledger::Cache;
use super::outbox::{DROPPED_COLUMNS, OUTBOX_COLUMNS, STATE_COLUMNS};
use super::{Dialect, Scope, commit, in_one_moment, outbox, read, verify};
use crate::balances::Balances;
use crate::chain::{ChainHead, Value};
use crate::error::LedgerError;
use crate::outbox::{Limits, least};
use crate::port::Batch;
use crate::rows::{CHAINED, DECISION_COLUMNS, EQUITY_COLUMNS, all_columns, insert_sql};

/// Rows read at once: bounds the memory.
const PAGE: i64 = 1_000;

/// A table as it is copied.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<&'static str>,
    select: String,
    insert: String,
    /// Whether rows have a rising number to go on by.
    paged: bool,
}

impl Copied {
    /// `key` is what rows are ordered by; a number is what a next page goes on from.
    fn new(name: &'static str, columns: Vec<&'static str>, key: Option<&str>) -> Self {
        let list = columns.join(", ");
        let select = match key {
            Some(key) => format!(
                "SELECT {key}, {list} FROM {name} WHERE OWN({name}) AND {key} > ? ORDER BY {key} LIMIT {PAGE}"
            ),
            None => format!("SELECT 0, {list} FROM {name} WHERE OWN({name}) ORDER BY {list}"),
        };
        let insert = insert_sql(name, &columns, 1);
        Self { name, columns, select, insert, paged: key.is_some() }
    }
}

/// Every table but the identity of the ledger, in an order in which rows can be inserted.
static TABLES: LazyLock<Vec<Copied>> = LazyLock::new(|| {
    let chained = CHAINED.iter().map(|table| {
        let mut columns = all_columns(table);
        if table.name == "intents" {
            columns.extend(["state", "attempt", "filled_units"]);
        }
        Copied::new(table.name, columns, Some("seq"))
    });
    let others = [
        Copied::new("decisions", DECISION_COLUMNS.to_vec(), Some("id")),
        Copied::new("equity", EQUITY_COLUMNS.to_vec(), Some("id")),
        Copied::new("outcomes", vec!["strategy_name", "stage", "outcome", "decisions"], None),
        Copied::new("balances", vec!["strategy", "asset", "amount"], None),
        Copied::new("positions", vec!["strategy", "symbol", "strategy_name", "quantity", "cost"], None),
        Copied::new("outbox", OUTBOX_COLUMNS.to_vec(), Some("sequence")),
        Copied::new("outbox_state", STATE_COLUMNS.to_vec(), None),
        Copied::new("outbox_dropped", DROPPED_COLUMNS.to_vec(), None),
        Copied::new("checkpoint", vec!["body", "hash"], None),
        Copied::new("chain_head", HEAD_COLUMNS.to_vec(), None),
    ];
    chained.chain(others).collect()
});

const HEAD_COLUMNS: [&str; 8] =
    ["seq", "hash", "epoch", "owner", "opened_at", "commits", "intents_from", "mock"];

/// The tables there are, with their columns.
pub(crate) fn tables() -> &'static [Copied] {
    &TABLES
}

/// Whether to go on.
pub(crate) type Told = Result<(), std::io::Error>;

/// Tells every row of the tables, table by table, oldest first; ends early when the listener fails. Returns the end of
/// the chain as of the same moment.
pub(crate) async fn rows<D: Dialect>(
    db: &mut Scope<'_, D>,
    wanted: &[&str],
    tell: &mut dyn FnMut(&str, Vec<Value<'static>>) -> Told,
) -> Result<(ChainHead, Told), LedgerError> {
    in_one_moment!(db, |db| {
        let head = read::writer_row(db).await?.head;
        let mut told = Ok(());
        for table in TABLES.iter().filter(|table| wanted.contains(&table.name)) {
            told = table_rows(db, table, tell).await?;
            if told.is_err() {
                break;
            }
        }
        (head, told)
    })
}

async fn table_rows<D: Dialect>(
    db: &mut Scope<'_, D>,
    table: &'static Copied,
    tell: &mut dyn FnMut(&str, Vec<Value<'static>>) -> Told,
) -> Result<Told, LedgerError> {
    let mut after = 0;
    loop {
        let key = if table.paged { vec![Value::Int(after)] } else { Vec::new() };
        let rows = db.rows(&table.select, key).await?;
        for row in &rows {
            let values = (1..=table.columns.len()).map(|column| value::<D>(row, column));
            let values = values.collect::<Result<_, _>>().map_err(|e| D::fault(db.place(), e))?;
            if let Err(error) = tell(table.name, values) {
                return Ok(Err(error));
            }
            after = D::int(row, 0).ok().flatten().unwrap_or_default();
        }
        if !table.paged || rows.is_empty() {
            return Ok(Ok(()));
        }
    }
}

fn value<D: Dialect>(row: &D::Row, column: usize) -> Result<Value<'static>, sqlx::Error> {
    if let Ok(number) = D::int(row, column) {
        return Ok(number.map_or(Value::Null, Value::Int));
    }
    Ok(Value::optional(D::text(row, column)?.map(str::to_owned)))
}

/// Numbers left out after a restore: more orders than any account makes between two backups.
const SKIPPED: i64 = 1_000_000_000;

/// Writes rows told by [`rows`] into an empty ledger, checks all of them and marks the ledger as a copy: it starts
/// halted until a person has compared it with the venue.
///
/// New orders get numbers far beyond the highest there is: the venue may know orders that were made after the copy, and
/// no two may share a client order id.
pub(crate) async fn insert_all<D: Dialect>(
    db: &mut Scope<'_, D>,
    rows: Vec<(String, Vec<Value<'static>>)>,
    now: Timestamp,
) -> Result<ChainHead, LedgerError> {
    for (name, values) in rows {
        let table = TABLES.iter().find(|table| table.name == name && table.columns.len() == values.len());
        let table = table.ok_or_else(|| LedgerError::Corrupt { place: db.place().clone() })?;
        db.execute(&table.insert, values).await?;
    }
    let head = verify::everything(db).await?;
    let next = db.number(read::NEXT_INTENT, Vec::new()).await?;
    let skip = "UPDATE chain_head SET intents_from = ? WHERE OWN(chain_head)";
    db.execute(skip, vec![Value::Int(next.saturating_add(SKIPPED))]).await?;
    mark(db, now).await?;
    Ok(head)
}

/// Sets the halt of a ledger of which nobody knows whether it is the newest.
async fn mark<D: Dialect>(db: &mut Scope<'_, D>, now: Timestamp) -> Result<(), LedgerError> {
    let (_, account) = read::account(db).await?;
    let writer = read::writer_row(db).await?;
    let identity = read::identity(db).await?;
    let halt = Halt {
        name: ledger_unknown(&account),
        scope: HaltScope::Account,
        instruments: Vec::new(),
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::LedgerUnknown,
        reason: format!(
            "the ledger was restored from a backup that ends with row {}: orders and fills after it are not in it; \
             compare positions and open orders with the venue's, then resume",
            writer.head.seq
        ),
        requested_by: "restore".to_owned(),
        since: now,
    };
    let records = [Record::Halt(HaltChange::Set(halt))];
    let batch = Batch { records: &records, ..Batch::default() };
    // Events after the copy may have been delivered: their numbers are not given again.
    let outbox = outbox::standing(db).await?.map(|mut standing| {
        standing.last = standing.last.max(least(now));
        standing
    });
    // A halt moves no money, so balances are not needed.
    let before = Cache { head: writer.head, commits: writer.commits, balances: Balances::default(), outbox };
    let writing = Writing { identity, batch: &batch, outbox: (0, Limits::default()) };
    commit::write_all(db, &writing, &before).await.map(drop)
}

/// The identity of a ledger, for a copy of it.
pub(crate) async fn identity<D: Dialect>(db: &mut Scope<'_, D>) -> Result<read::LedgerRow, LedgerError> {
    read::ledger_row(db).await
}
