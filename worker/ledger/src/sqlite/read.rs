//! Reading rows back. A value that cannot be what was written is reported as tampered, never guessed.

use std::path::Path;

use blake3::Hash;
use smol_str::SmolStr;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Row, SqliteConnection};
use tradewind_core::event::{Succession, Transfer};
use tradewind_core::halt::{Halt, HaltOrigin, HaltScope};
use tradewind_core::money::{Cash, Percent, Price, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{
    Attempt, ClientOrderId, Epoch, Fee, Fill, Incarnation, Intent, IntentId, OrderKind, OrderState, TradeId,
};
use tradewind_core::protocol::Signature;
use tradewind_core::recovery::{BookedFill, Checkpoint, History, LedgerIdentity, OpenOrder};
use tradewind_core::time::Timestamp;

use super::{fault, verify};
use crate::chain::ChainHead;
use crate::error::LedgerError;
use crate::port::{BalanceRow, DecisionFilter, DecisionRow, EquityRow, TradeRow};
use crate::rows::{self, named, uid};

/// Fills read at once: bounds the memory of a start.
pub(super) const PAGE: i64 = 2_000;

/// A row being read; its first column is the number it is called by.
pub(super) struct Cells<'r> {
    row: &'r SqliteRow,
    path: &'r Path,
    table: &'static str,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: &'r SqliteRow, path: &'r Path, table: &'static str) -> Self {
        Self { row, path, table }
    }

    /// The error for a row that is not as written.
    pub(super) fn tampered(&self) -> LedgerError {
        let seq = self.row.try_get::<i64, _>(0).ok().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        LedgerError::Tampered { path: self.path.to_path_buf(), table: self.table, seq }
    }

    pub(super) fn int(&self, column: usize) -> Result<i64, LedgerError> {
        self.row.try_get(column).map_err(|_| self.tampered())
    }

    pub(super) fn optional_int(&self, column: usize) -> Result<Option<i64>, LedgerError> {
        self.row.try_get(column).map_err(|_| self.tampered())
    }

    pub(super) fn text(&self, column: usize) -> Result<&'r str, LedgerError> {
        self.row.try_get(column).map_err(|_| self.tampered())
    }

    pub(super) fn optional_text(&self, column: usize) -> Result<Option<&'r str>, LedgerError> {
        self.row.try_get(column).map_err(|_| self.tampered())
    }

    pub(super) fn smol(&self, column: usize) -> Result<SmolStr, LedgerError> {
        self.text(column).map(SmolStr::new)
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, LedgerError> {
        T::try_from(self.int(column)?).map_err(|_| self.tampered())
    }

    fn time(&self, column: usize) -> Result<Timestamp, LedgerError> {
        self.int(column).map(Timestamp)
    }

    /// A text read by `parse`.
    pub(super) fn parsed<T>(
        &self,
        column: usize,
        parse: impl FnOnce(&'r str) -> Option<T>,
    ) -> Result<T, LedgerError> {
        parse(self.text(column)?).ok_or_else(|| self.tampered())
    }

    pub(super) fn cash(&self, column: usize) -> Result<Cash, LedgerError> {
        self.parsed(column, |text| Cash::parse(text).ok())
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, LedgerError> {
        self.parsed(column, |text| serde_json::from_str(text).ok())
    }

    fn optional_uid(&self, column: usize) -> Result<Option<Uid>, LedgerError> {
        match self.optional_text(column)? {
            None | Some("") => Ok(None),
            Some(text) => uid(text).map(Some).ok_or_else(|| self.tampered()),
        }
    }

    fn client_order_id(&self, column: usize) -> Result<ClientOrderId, LedgerError> {
        self.parsed(column, |text| uid(text).map(|uid| ClientOrderId(uid.0)))
    }

    pub(super) fn hash(&self, column: usize) -> Result<Hash, LedgerError> {
        self.parsed(column, |text| Hash::from_hex(text).ok())
    }
}

/// The row of `ledger`.
pub(super) struct LedgerRow {
    pub(super) account: String,
    pub(super) account_name: String,
    pub(super) incarnation: Incarnation,
    pub(super) created_at: i64,
}

/// The row of `chain_head`.
pub(super) struct WriterRow {
    pub(super) head: ChainHead,
    pub(super) epoch: Epoch,
}

pub(super) async fn ledger_row(conn: &mut SqliteConnection, path: &Path) -> Result<LedgerRow, LedgerError> {
    let sql = "SELECT id, account, account_name, incarnation, created_at FROM ledger WHERE id = 1";
    let row = single(conn, path, sql, "ledger").await?;
    let cells = Cells::new(&row, path, "ledger");
    Ok(LedgerRow {
        account: cells.text(1)?.to_owned(),
        account_name: cells.text(2)?.to_owned(),
        incarnation: Incarnation(cells.number(3)?),
        created_at: cells.int(4)?,
    })
}

pub(super) async fn writer_row(conn: &mut SqliteConnection, path: &Path) -> Result<WriterRow, LedgerError> {
    let sql = "SELECT seq, hash, epoch FROM chain_head WHERE id = 1";
    let row = single(conn, path, sql, "chain_head").await?;
    let cells = Cells::new(&row, path, "chain_head");
    Ok(WriterRow {
        head: ChainHead { seq: cells.number(0)?, hash: cells.hash(1)? },
        epoch: Epoch(cells.number(2)?),
    })
}

async fn single(
    conn: &mut SqliteConnection,
    path: &Path,
    sql: &'static str,
    table: &'static str,
) -> Result<SqliteRow, LedgerError> {
    let row = sqlx::query(sql).fetch_optional(conn).await.map_err(|e| fault::sql(path, e))?;
    row.ok_or_else(|| LedgerError::Tampered { path: path.to_path_buf(), table, seq: 1 })
}

pub(super) async fn identity(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<LedgerIdentity, LedgerError> {
    let incarnation = ledger_row(conn, path).await?.incarnation;
    let epoch = writer_row(conn, path).await?.epoch;
    Ok(LedgerIdentity { incarnation, epoch })
}

pub(super) async fn history(conn: &mut SqliteConnection, path: &Path) -> Result<History, LedgerError> {
    // One transaction: a reader beside a running worker sees one moment.
    let sql = |e| fault::sql(path, e);
    let mut tx = conn.begin().await.map_err(sql)?;
    verify::complete(&mut tx, path).await?;
    let next: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(id) + 1, 0) FROM intents")
        .fetch_one(&mut *tx)
        .await
        .map_err(sql)?;
    let history = History {
        next_intent: u64::try_from(next).unwrap_or(0),
        open_orders: open_orders(&mut tx, path).await?,
        fills: fills(&mut tx, path).await?,
        transfers: transfers(&mut tx, path).await?,
        successions: successions(&mut tx, path).await?,
        halts: halts(&mut tx, path).await?,
        checkpoint: checkpoint(&mut tx, path).await?,
    };
    tx.commit().await.map_err(sql)?;
    Ok(history)
}

async fn open_orders(conn: &mut SqliteConnection, path: &Path) -> Result<Vec<OpenOrder>, LedgerError> {
    let sql = "SELECT i.seq, i.id, i.client_order_id, i.strategy, i.symbol, i.side, i.kind, i.quantity_units, \
        i.purpose, i.reference_price_units, i.decision_bar, i.decided_at, i.valid_until, i.epoch, i.attempt, i.state, \
        s.signed_at, s.valid_until FROM intents i \
        LEFT JOIN signings s ON s.seq = (SELECT MAX(n.seq) FROM signings n WHERE n.intent = i.id) \
        WHERE i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown') ORDER BY i.id";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    rows.iter().map(|row| open_order(&Cells::new(row, path, "intents"))).collect()
}

fn open_order(cells: &Cells<'_>) -> Result<OpenOrder, LedgerError> {
    let times = (cells.optional_int(16)?, cells.optional_int(17)?);
    let signature = match times {
        (Some(at), Some(until)) => {
            Some(Signature { signed_at: Timestamp(at), valid_until: Timestamp(until) })
        }
        // From before signings were kept.
        _ => None,
    };
    Ok(OpenOrder {
        intent: Intent {
            id: IntentId(cells.number(1)?),
            client_order_id: cells.client_order_id(2)?,
            strategy: cells.parsed(3, uid)?,
            symbol: cells.parsed(4, |t| t.parse().ok())?,
            side: cells.parsed(5, named)?,
            kind: cells.json::<OrderKind>(6)?,
            quantity: Quantity(cells.int(7)?),
            purpose: cells.parsed(8, named)?,
            reference_price: Price(cells.int(9)?),
            decision_bar: cells.time(10)?,
            decided_at: cells.time(11)?,
            valid_until: cells.time(12)?,
            epoch: Epoch(cells.number(13)?),
        },
        attempt: Attempt(cells.number(14)?),
        state: cells.parsed(15, |t| t.parse::<OrderState>().ok())?,
        signature,
    })
}

// The first columns are those of the table in the order they are hashed in.
const FILLS: &str = "SELECT f.seq, f.prev_hash, f.hash, f.intent, f.trade_id, f.client_order_id, f.symbol, f.side, \
    f.price_units, f.price, f.quantity_units, f.quantity, f.fee, f.fee_asset, f.liquidity, f.at, i.strategy, i.purpose \
    FROM fills f JOIN intents i ON i.id = f.intent WHERE f.seq > ? ORDER BY f.seq LIMIT ?";

async fn fills(conn: &mut SqliteConnection, path: &Path) -> Result<Vec<BookedFill>, LedgerError> {
    let mut fills = Vec::new();
    let mut after = 0;
    loop {
        let query = sqlx::query(FILLS).bind(after).bind(PAGE);
        let rows = query.fetch_all(&mut *conn).await.map_err(|e| fault::sql(path, e))?;
        for row in &rows {
            let cells = Cells::new(row, path, "fills");
            after = cells.int(0)?;
            verify::intact(&cells, &rows::FILLS)?;
            let (intent, fill) = fill(&cells)?;
            fills.push(BookedFill {
                intent,
                strategy: cells.parsed(16, uid)?,
                purpose: cells.parsed(17, named)?,
                fill,
            });
        }
        if rows.is_empty() {
            return Ok(fills);
        }
    }
}

fn fill(cells: &Cells<'_>) -> Result<(IntentId, Fill), LedgerError> {
    let fill = Fill {
        trade_id: TradeId(SmolStr::new(cells.text(4)?)),
        client_order_id: cells.client_order_id(5)?,
        symbol: cells.parsed(6, |t| t.parse().ok())?,
        side: cells.parsed(7, named)?,
        price: Price(cells.int(8)?),
        quantity: Quantity(cells.int(10)?),
        fee: Fee { amount: cells.cash(12)?, asset: cells.parsed(13, |t| t.parse().ok())? },
        liquidity: cells.parsed(14, named)?,
        at: cells.time(15)?,
    };
    Ok((IntentId(cells.number(3)?), fill))
}

/// The fill of the same trade, if it is there.
pub(super) async fn booked_fill(
    conn: &mut SqliteConnection,
    path: &Path,
    sought: &Fill,
) -> Result<Option<(IntentId, Fill)>, LedgerError> {
    let sql = "SELECT seq, prev_hash, hash, intent, trade_id, client_order_id, symbol, side, price_units, price, \
        quantity_units, quantity, fee, fee_asset, liquidity, at FROM fills WHERE symbol = ? AND trade_id = ?";
    let query = sqlx::query(sql).bind(sought.symbol.to_string()).bind(sought.trade_id.0.as_str());
    let row = query.fetch_optional(conn).await.map_err(|e| fault::sql(path, e))?;
    row.map(|row| fill(&Cells::new(&row, path, "fills"))).transpose()
}

pub(super) async fn transfers(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<Transfer>, LedgerError> {
    let sql = "SELECT seq, prev_hash, hash, asset, amount, strategy, at FROM transfers ORDER BY seq";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let transfer = |row| {
        let cells = Cells::new(row, path, "transfers");
        verify::intact(&cells, &rows::TRANSFERS)?;
        Ok(Transfer {
            asset: cells.parsed(3, |t| t.parse().ok())?,
            amount: cells.cash(4)?,
            strategy: cells.optional_uid(5)?,
            at: cells.time(6)?,
        })
    };
    rows.iter().map(transfer).collect()
}

/// Who took over from whom, in order.
pub(super) async fn successions(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<Succession>, LedgerError> {
    let sql = "SELECT seq, prev_hash, hash, predecessor, successor, at FROM successions ORDER BY seq";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let succession = |row| {
        let cells = Cells::new(row, path, "successions");
        verify::intact(&cells, &rows::SUCCESSIONS)?;
        Ok(Succession { from: cells.parsed(3, uid)?, to: cells.parsed(4, uid)?, at: cells.time(5)? })
    };
    rows.iter().map(succession).collect()
}

pub(super) async fn halts(conn: &mut SqliteConnection, path: &Path) -> Result<Vec<Halt>, LedgerError> {
    let sql = "SELECT h.seq, h.prev_hash, h.hash, h.what, h.name, h.scope, h.instruments, h.action, h.origin, h.reason, \
        h.actor, h.at FROM halts h JOIN (SELECT name, MAX(seq) AS seq FROM halts GROUP BY name) newest \
        ON newest.seq = h.seq ORDER BY h.seq";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let mut halts = Vec::new();
    for row in &rows {
        let cells = Cells::new(row, path, "halts");
        verify::intact(&cells, &rows::HALTS)?;
        if cells.text(3)? == "Set" {
            halts.push(halt(&cells)?);
        }
    }
    Ok(halts)
}

fn halt(cells: &Cells<'_>) -> Result<Halt, LedgerError> {
    Ok(Halt {
        name: cells.smol(4)?,
        scope: cells.json::<HaltScope>(5)?,
        instruments: cells.json(6)?,
        action: cells.parsed(7, named)?,
        origin: cells.json::<HaltOrigin>(8)?,
        reason: cells.text(9)?.to_owned(),
        requested_by: cells.text(10)?.to_owned(),
        since: cells.time(11)?,
    })
}

pub(super) async fn checkpoint(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Option<Checkpoint>, LedgerError> {
    let row = single(conn, path, "SELECT id, body, hash FROM checkpoint WHERE id = 1", "checkpoint").await?;
    let cells = Cells::new(&row, path, "checkpoint");
    let (body, hash) = (cells.text(1)?, cells.text(2)?);
    if body.is_empty() && hash.is_empty() {
        return Ok(None);
    }
    if blake3::hash(body.as_bytes()) != cells.hash(2)? {
        return Err(cells.tampered());
    }
    cells.json(1).map(Some)
}

pub(super) async fn balances(
    conn: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<BalanceRow>, LedgerError> {
    // The first column stands in for a number: balances have none. What a predecessor had is its successor's.
    let sql = "SELECT 0, strategy, asset, amount FROM balances \
        WHERE strategy NOT IN (SELECT predecessor FROM successions) ORDER BY strategy, asset";
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let balance = |row| {
        let cells = Cells::new(row, path, "balances");
        let asset = cells.parsed(2, |t| t.parse().ok())?;
        Ok(BalanceRow { strategy: cells.optional_uid(1)?, asset, amount: cells.cash(3)? })
    };
    rows.iter().map(balance).collect()
}

pub(super) async fn decisions(
    conn: &mut SqliteConnection,
    path: &Path,
    filter: &DecisionFilter,
) -> Result<Vec<DecisionRow>, LedgerError> {
    let sql = "SELECT id, at, bar, strategy, strategy_name, symbol, side, confidence, close, position, readings, stage, \
        outcome, detail, intent FROM decisions \
        WHERE at >= ? AND (? = '' OR strategy_name = ?) AND (? = '' OR symbol = ?) ORDER BY at DESC, id DESC LIMIT ?";
    let strategy = filter.strategy.as_deref().unwrap_or_default();
    let symbol = filter.symbol.as_ref().map(ToString::to_string).unwrap_or_default();
    let query = sqlx::query(sql)
        .bind(filter.since.map_or(i64::MIN, |since| since.0))
        .bind(strategy)
        .bind(strategy)
        .bind(symbol.as_str())
        .bind(symbol.as_str())
        .bind(i64::from(filter.limit));
    let rows = query.fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    rows.iter().map(|row| decision(&Cells::new(row, path, "decisions"))).collect()
}

fn decision(cells: &Cells<'_>) -> Result<DecisionRow, LedgerError> {
    let side = cells.optional_text(6)?.map(|text| named(text).ok_or_else(|| cells.tampered())).transpose()?;
    let confidence =
        cells.optional_text(7)?.map(|text| Percent::parse(text).map_err(|_| cells.tampered())).transpose()?;
    let intent = cells.optional_int(14)?.map(u64::try_from).transpose().map_err(|_| cells.tampered())?;
    Ok(DecisionRow {
        at: cells.time(1)?,
        bar: cells.time(2)?,
        strategy: cells.parsed(3, uid)?,
        strategy_name: cells.smol(4)?,
        symbol: cells.parsed(5, |t| t.parse().ok())?,
        side,
        confidence,
        close: cells.smol(8)?,
        position: cells.smol(9)?,
        readings: cells.text(10)?.to_owned(),
        stage: cells.smol(11)?,
        outcome: cells.smol(12)?,
        detail: cells.text(13)?.to_owned(),
        intent: intent.map(IntentId),
    })
}

pub(super) async fn trades(
    conn: &mut SqliteConnection,
    path: &Path,
    limit: u32,
) -> Result<Vec<TradeRow>, LedgerError> {
    let sql = "SELECT f.seq, f.intent, f.trade_id, i.strategy, i.strategy_name, f.symbol, f.side, i.purpose, f.price, \
        f.quantity, f.fee, f.fee_asset, f.liquidity, f.at FROM fills f JOIN intents i ON i.id = f.intent \
        ORDER BY f.seq DESC LIMIT ?";
    let rows =
        sqlx::query(sql).bind(i64::from(limit)).fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let trade = |row| {
        let cells = Cells::new(row, path, "fills");
        Ok(TradeRow {
            intent: IntentId(cells.number(1)?),
            trade_id: cells.smol(2)?,
            strategy: cells.parsed(3, uid)?,
            strategy_name: cells.smol(4)?,
            symbol: cells.parsed(5, |t| t.parse().ok())?,
            side: cells.parsed(6, named)?,
            purpose: cells.parsed(7, named)?,
            price: cells.smol(8)?,
            quantity: cells.smol(9)?,
            fee: cells.cash(10)?,
            fee_asset: cells.parsed(11, |t| t.parse().ok())?,
            liquidity: cells.parsed(12, named)?,
            at: cells.time(13)?,
        })
    };
    rows.iter().map(trade).collect()
}

pub(super) async fn equity(
    conn: &mut SqliteConnection,
    path: &Path,
    strategy: Option<Uid>,
    since: Timestamp,
) -> Result<Vec<EquityRow>, LedgerError> {
    let sql = "SELECT id, strategy, strategy_name, at, equity, cash, reference, exposure FROM equity \
        WHERE at >= ? AND COALESCE(strategy, '') = ? ORDER BY at, id";
    let strategy = strategy.map(|uid| uid.to_string()).unwrap_or_default();
    let query = sqlx::query(sql).bind(since.0).bind(strategy);
    let rows = query.fetch_all(conn).await.map_err(|e| fault::sql(path, e))?;
    let point = |row| {
        let cells = Cells::new(row, path, "equity");
        Ok(EquityRow {
            strategy: cells.optional_uid(1)?,
            strategy_name: cells.smol(2)?,
            at: cells.time(3)?,
            equity: cells.cash(4)?,
            cash: cells.cash(5)?,
            reference: cells.cash(6)?,
            exposure: cells.cash(7)?,
        })
    };
    rows.iter().map(point).collect()
}
