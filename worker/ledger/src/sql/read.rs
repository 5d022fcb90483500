//! Reading rows back. A value that cannot be what was written is reported as tampered, never guessed.

use std::ops::Range;

use smol_str::SmolStr;
use tradewind_core::event::{Succession, Transfer};
use tradewind_core::halt::{Halt, HaltOrigin, HaltScope};
use tradewind_core::money::{Percent, Price, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{
    Attempt, Epoch, Fee, Fill, Incarnation, Intent, IntentId, OrderKind, OrderState, TradeId,
};
use tradewind_core::protocol::Signature;
use tradewind_core::recovery::{BookedFill, Checkpoint, History, LedgerIdentity, OpenOrder};
use tradewind_core::time::Timestamp;

use super::cells::Cells;
use super::{Dialect, Scope, in_one_moment, verify};
use crate::balances::{Balances, Position, PositionRow};
use crate::chain::{ChainHead, Value};
use crate::error::LedgerError;
use crate::port::{BalanceRow, DecisionFilter, DecisionRow, EquityRow, TradeRow};
use crate::rows::{self, named, uid};

/// Fills read at once: bounds the memory of a start.
pub(crate) const PAGE: i64 = 2_000;

/// The row of `ledger`.
pub(crate) struct LedgerRow {
    pub(crate) account: String,
    pub(crate) account_name: String,
    pub(crate) incarnation: Incarnation,
    pub(crate) created_at: i64,
}

/// The row of `chain_head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriterRow {
    pub(crate) head: ChainHead,
    pub(crate) epoch: Epoch,
    /// How many commits there were, those without a row of the chain included.
    pub(crate) commits: u64,
}

pub(crate) async fn ledger_row<D: Dialect>(db: &mut Scope<'_, D>) -> Result<LedgerRow, LedgerError> {
    let sql = "SELECT 1, account, account_name, incarnation, created_at FROM ledger WHERE OWN(ledger)";
    let row = single(db, sql, "ledger").await?;
    let cells = Cells::<D>::new(&row, db.place(), "ledger");
    Ok(LedgerRow {
        account: cells.text(1)?.to_owned(),
        account_name: cells.text(2)?.to_owned(),
        incarnation: Incarnation(cells.number(3)?),
        created_at: cells.int(4)?,
    })
}

const WRITER: &str = "SELECT seq, hash, epoch, commits FROM chain_head WHERE OWN(chain_head)";
const WRITER_LOCKED: &str =
    "SELECT seq, hash, epoch, commits FROM chain_head WHERE OWN(chain_head) FOR UPDATE";

pub(crate) async fn writer_row<D: Dialect>(db: &mut Scope<'_, D>) -> Result<WriterRow, LedgerError> {
    writer(db, WRITER).await
}

/// The same, once no other transaction writes it; none can until ours has ended.
pub(crate) async fn writer_row_locked<D: Dialect>(db: &mut Scope<'_, D>) -> Result<WriterRow, LedgerError> {
    writer(db, if D::REMOTE { WRITER_LOCKED } else { WRITER }).await
}

/// The last worker that opened it; empty before the first.
pub(crate) async fn opened_by<D: Dialect>(db: &mut Scope<'_, D>) -> Result<String, LedgerError> {
    let sql = "SELECT 1, owner FROM chain_head WHERE OWN(chain_head)";
    let row = single(db, sql, "chain_head").await?;
    Ok(Cells::<D>::new(&row, db.place(), "chain_head").text(1)?.to_owned())
}

async fn writer<D: Dialect>(db: &mut Scope<'_, D>, sql: &'static str) -> Result<WriterRow, LedgerError> {
    let row = single(db, sql, "chain_head").await?;
    let cells = Cells::<D>::new(&row, db.place(), "chain_head");
    Ok(WriterRow {
        head: ChainHead { seq: cells.number(0)?, hash: cells.hash(1)? },
        epoch: Epoch(cells.number(2)?),
        commits: cells.number(3)?,
    })
}

async fn single<D: Dialect>(
    db: &mut Scope<'_, D>,
    sql: &'static str,
    table: &'static str,
) -> Result<D::Row, LedgerError> {
    let row = db.row(sql, Vec::new()).await?;
    row.ok_or_else(|| LedgerError::Tampered { place: db.place().clone(), table, seq: 1 })
}

pub(crate) async fn identity<D: Dialect>(db: &mut Scope<'_, D>) -> Result<LedgerIdentity, LedgerError> {
    let incarnation = ledger_row(db).await?.incarnation;
    let epoch = writer_row(db).await?.epoch;
    Ok(LedgerIdentity { incarnation, epoch })
}

/// The number of the next order: beyond all there are, and beyond those a copy of the ledger leaves out.
pub(crate) const NEXT_INTENT: &str = "SELECT MAX(n) FROM (\
    SELECT COALESCE(MAX(id) + 1, 0) AS n FROM intents WHERE OWN(intents) \
    UNION ALL SELECT intents_from FROM chain_head WHERE OWN(chain_head)) AS numbers";

/// The account the ledger was made for: uid and name.
pub(crate) async fn account<D: Dialect>(db: &mut Scope<'_, D>) -> Result<(Uid, SmolStr), LedgerError> {
    let row = ledger_row(db).await?;
    let tampered = || LedgerError::Tampered { place: db.place().clone(), table: "ledger", seq: 1 };
    Ok((uid(&row.account).ok_or_else(tampered)?, row.account_name.into()))
}

pub(crate) async fn history<D: Dialect>(db: &mut Scope<'_, D>) -> Result<History, LedgerError> {
    // A reader beside a running worker sees one moment.
    in_one_moment!(db, |db| {
        verify::complete(db).await?;
        let next = db.number(NEXT_INTENT, Vec::new()).await?;
        History {
            next_intent: u64::try_from(next).unwrap_or(0),
            left_out: left_out(db, next).await?,
            open_orders: open_orders(db).await?,
            fills: fills(db).await?,
            transfers: transfers(db).await?,
            successions: successions(db).await?.into_iter().map(|(_, done)| done).collect(),
            halts: halts(db).await?,
            checkpoint: checkpoint(db).await?,
        }
    })
}

/// Numbers below `next` that no intent has: a commit that was lost had them, or they were left out when a copy of the ledger
/// was restored.
async fn left_out<D: Dialect>(db: &mut Scope<'_, D>, next: i64) -> Result<Vec<Range<u64>>, LedgerError> {
    let sql = "SELECT id, following FROM (SELECT id, COALESCE(LEAD(id) OVER (ORDER BY id), ?) AS following \
        FROM (SELECT 0 AS id UNION ALL SELECT id FROM intents WHERE OWN(intents)) AS numbers) AS pairs \
        WHERE following > id + 1 ORDER BY id";
    let rows = db.rows(sql, vec![Value::Int(next)]).await?;
    let gap = |row: &D::Row| {
        let cells = Cells::<D>::new(row, db.place(), "intents");
        Ok(cells.number::<u64>(0)?.saturating_add(1)..cells.number(1)?)
    };
    rows.iter().map(gap).collect()
}

async fn open_orders<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<OpenOrder>, LedgerError> {
    let sql = "SELECT i.seq, i.id, i.client_order_id, i.strategy, i.symbol, i.side, i.kind, i.quantity_units, \
        i.purpose, i.reference_price_units, i.decision_bar, i.decided_at, i.valid_until, i.epoch, i.attempt, i.state, \
        s.signed_at, s.valid_until FROM intents i LEFT JOIN signings s ON OWN(s) AND s.seq = \
        (SELECT MAX(n.seq) FROM signings n WHERE OWN(n) AND n.intent = i.id) WHERE OWN(i) \
        AND i.state IN ('Intended', 'Sent', 'Accepted', 'PartiallyFilled', 'Unknown') ORDER BY i.id";
    let rows = db.rows(sql, Vec::new()).await?;
    rows.iter().map(|row| open_order(&Cells::<D>::new(row, db.place(), "intents"))).collect()
}

fn open_order<D: Dialect>(cells: &Cells<'_, D>) -> Result<OpenOrder, LedgerError> {
    let signature = match (cells.optional_int(16)?, cells.optional_int(17)?) {
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
    FROM fills f JOIN intents i ON OWN(i) AND i.id = f.intent WHERE OWN(f) AND f.seq > ? ORDER BY f.seq LIMIT ?";

async fn fills<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<BookedFill>, LedgerError> {
    let mut fills = Vec::new();
    let mut after = 0;
    loop {
        let rows = db.rows(FILLS, vec![Value::Int(after), Value::Int(PAGE)]).await?;
        for row in &rows {
            let cells = Cells::<D>::new(row, db.place(), "fills");
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

fn fill<D: Dialect>(cells: &Cells<'_, D>) -> Result<(IntentId, Fill), LedgerError> {
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
pub(crate) async fn booked_fill<D: Dialect>(
    db: &mut Scope<'_, D>,
    sought: &Fill,
) -> Result<Option<(IntentId, Fill)>, LedgerError> {
    let sql = "SELECT seq, prev_hash, hash, intent, trade_id, client_order_id, symbol, side, price_units, price, \
        quantity_units, quantity, fee, fee_asset, liquidity, at FROM fills \
        WHERE OWN(fills) AND symbol = ? AND trade_id = ?";
    let values = vec![Value::text(sought.symbol.to_string()), Value::text(sought.trade_id.0.as_str())];
    let row = db.row(sql, values).await?;
    row.map(|row| fill(&Cells::<D>::new(&row, db.place(), "fills"))).transpose()
}

/// Where an order stands: its state and attempt; none when it is not there.
pub(crate) async fn stands<D: Dialect>(
    db: &mut Scope<'_, D>,
    intent: i64,
) -> Result<Option<(String, i64)>, LedgerError> {
    let sql = "SELECT seq, state, attempt FROM intents WHERE OWN(intents) AND id = ?";
    let row = db.row(sql, vec![Value::Int(intent)]).await?;
    let stands = |row| {
        let cells = Cells::<D>::new(row, db.place(), "intents");
        Ok((cells.text(1)?.to_owned(), cells.int(2)?))
    };
    row.as_ref().map(stands).transpose()
}

/// Whose order it is; none when it is not there.
pub(crate) async fn strategy_of<D: Dialect>(
    db: &mut Scope<'_, D>,
    intent: i64,
) -> Result<Option<Uid>, LedgerError> {
    let sql = "SELECT seq, strategy FROM intents WHERE OWN(intents) AND id = ?";
    let row = db.row(sql, vec![Value::Int(intent)]).await?;
    row.as_ref().map(|row| Cells::<D>::new(row, db.place(), "intents").parsed(1, uid)).transpose()
}

/// The name each strategy gave its last order under, oldest first.
pub(crate) async fn names<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<(Uid, SmolStr)>, LedgerError> {
    let sql = "SELECT seq, strategy, strategy_name FROM intents WHERE OWN(intents) AND seq IN \
        (SELECT MAX(seq) FROM intents WHERE OWN(intents) GROUP BY strategy) ORDER BY seq";
    let rows = db.rows(sql, Vec::new()).await?;
    let name = |row| {
        let cells = Cells::<D>::new(row, db.place(), "intents");
        Ok((cells.parsed(1, uid)?, cells.smol(2)?))
    };
    rows.iter().map(name).collect()
}

pub(crate) async fn transfers<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<Transfer>, LedgerError> {
    let sql = "SELECT seq, prev_hash, hash, asset, amount, strategy, at FROM transfers \
        WHERE OWN(transfers) ORDER BY seq";
    let rows = db.rows(sql, Vec::new()).await?;
    let transfer = |row| {
        let cells = Cells::<D>::new(row, db.place(), "transfers");
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

/// Who took over from whom, in order, each with the number of its row.
pub(crate) async fn successions<D: Dialect>(
    db: &mut Scope<'_, D>,
) -> Result<Vec<(i64, Succession)>, LedgerError> {
    let sql = "SELECT seq, prev_hash, hash, predecessor, successor, at FROM successions \
        WHERE OWN(successions) ORDER BY seq";
    let rows = db.rows(sql, Vec::new()).await?;
    let succession = |row| {
        let cells = Cells::<D>::new(row, db.place(), "successions");
        verify::intact(&cells, &rows::SUCCESSIONS)?;
        let done = Succession { from: cells.parsed(3, uid)?, to: cells.parsed(4, uid)?, at: cells.time(5)? };
        Ok((cells.int(0)?, done))
    };
    rows.iter().map(succession).collect()
}

pub(crate) async fn halts<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<Halt>, LedgerError> {
    let sql = "SELECT h.seq, h.prev_hash, h.hash, h.what, h.name, h.scope, h.instruments, h.action, h.origin, h.reason, \
        h.actor, h.at FROM halts h \
        JOIN (SELECT name, MAX(seq) AS seq FROM halts WHERE OWN(halts) GROUP BY name) newest \
        ON newest.seq = h.seq WHERE OWN(h) ORDER BY h.seq";
    let rows = db.rows(sql, Vec::new()).await?;
    let mut halts = Vec::new();
    for row in &rows {
        let cells = Cells::<D>::new(row, db.place(), "halts");
        verify::intact(&cells, &rows::HALTS)?;
        if cells.text(3)? == "Set" {
            halts.push(halt(&cells)?);
        }
    }
    Ok(halts)
}

fn halt<D: Dialect>(cells: &Cells<'_, D>) -> Result<Halt, LedgerError> {
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

pub(crate) async fn checkpoint<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Option<Checkpoint>, LedgerError> {
    let row = single(db, "SELECT 1, body, hash FROM checkpoint WHERE OWN(checkpoint)", "checkpoint").await?;
    let cells = Cells::<D>::new(&row, db.place(), "checkpoint");
    let (body, hash) = (cells.text(1)?, cells.text(2)?);
    if body.is_empty() && hash.is_empty() {
        return Ok(None);
    }
    if blake3::hash(body.as_bytes()) != cells.hash(2)? {
        return Err(cells.tampered());
    }
    cells.json(1).map(Some)
}

pub(crate) async fn balances<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<BalanceRow>, LedgerError> {
    // The first column stands in for a number: balances have none. What a predecessor had is its successor's.
    let sql = "SELECT 0, strategy, asset, amount FROM balances WHERE OWN(balances) AND strategy NOT IN \
        (SELECT predecessor FROM successions WHERE OWN(successions)) ORDER BY strategy, asset";
    let rows = db.rows(sql, Vec::new()).await?;
    let balance = |row| {
        let cells = Cells::<D>::new(row, db.place(), "balances");
        let asset = cells.parsed(2, |t| t.parse().ok())?;
        Ok(BalanceRow { strategy: cells.optional_uid(1)?, asset, amount: cells.cash(3)? })
    };
    rows.iter().map(balance).collect()
}

/// What each strategy holds of each instrument.
pub(crate) async fn positions<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Vec<PositionRow>, LedgerError> {
    let sql = "SELECT 0, strategy, symbol, quantity, cost FROM positions WHERE OWN(positions) AND strategy NOT IN \
        (SELECT predecessor FROM successions WHERE OWN(successions)) ORDER BY strategy, symbol";
    let rows = db.rows(sql, Vec::new()).await?;
    let position = |row| {
        let cells = Cells::<D>::new(row, db.place(), "positions");
        let held = Position { quantity: cells.cash(3)?, cost: cells.cash(4)? };
        Ok((cells.parsed(1, uid)?, cells.parsed(2, |t| t.parse().ok())?, held))
    };
    rows.iter().map(position).collect()
}

/// Balances and positions, as the next commit builds on them.
pub(crate) async fn holdings<D: Dialect>(db: &mut Scope<'_, D>) -> Result<Balances, LedgerError> {
    let mut held = Balances::default();
    for row in balances(db).await? {
        held.load(row);
    }
    for row in positions(db).await? {
        held.load_position(row);
    }
    held.know(successions(db).await?.into_iter().map(|(_, done)| done).collect());
    Ok(held)
}

pub(crate) async fn decisions<D: Dialect>(
    db: &mut Scope<'_, D>,
    filter: &DecisionFilter,
) -> Result<Vec<DecisionRow>, LedgerError> {
    let sql = "SELECT id, at, bar, strategy, strategy_name, symbol, side, confidence, close, position, readings, stage, \
        outcome, detail, intent FROM decisions \
        WHERE OWN(decisions) AND at >= ? AND (? = '' OR strategy_name = ?) AND (? = '' OR symbol = ?) ORDER BY at DESC, id DESC LIMIT ?";
    let strategy = filter.strategy.as_deref().unwrap_or_default();
    let symbol = filter.symbol.as_ref().map(ToString::to_string).unwrap_or_default();
    let values = vec![
        Value::Int(filter.since.map_or(i64::MIN, |since| since.0)),
        Value::text(strategy),
        Value::text(strategy),
        Value::text(symbol.as_str()),
        Value::text(symbol),
        Value::Int(i64::from(filter.limit)),
    ];
    let rows = db.rows(sql, values).await?;
    rows.iter().map(|row| decision(&Cells::<D>::new(row, db.place(), "decisions"))).collect()
}

fn decision<D: Dialect>(cells: &Cells<'_, D>) -> Result<DecisionRow, LedgerError> {
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

pub(crate) async fn trades<D: Dialect>(
    db: &mut Scope<'_, D>,
    limit: u32,
) -> Result<Vec<TradeRow>, LedgerError> {
    let sql = "SELECT f.seq, f.intent, f.trade_id, i.strategy, i.strategy_name, f.symbol, f.side, i.purpose, f.price, \
        f.quantity, f.fee, f.fee_asset, f.liquidity, f.at FROM fills f JOIN intents i ON OWN(i) AND i.id = f.intent \
        WHERE OWN(f) ORDER BY f.seq DESC LIMIT ?";
    let rows = db.rows(sql, vec![Value::Int(i64::from(limit))]).await?;
    let trade = |row| {
        let cells = Cells::<D>::new(row, db.place(), "fills");
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

pub(crate) async fn equity<D: Dialect>(
    db: &mut Scope<'_, D>,
    strategy: Option<Uid>,
    since: Timestamp,
) -> Result<Vec<EquityRow>, LedgerError> {
    let sql = "SELECT id, strategy, strategy_name, at, equity, cash, reference, exposure FROM equity \
        WHERE OWN(equity) AND at >= ? AND COALESCE(strategy, '') = ? ORDER BY at, id";
    let strategy = strategy.map(|uid| uid.to_string()).unwrap_or_default();
    let rows = db.rows(sql, vec![Value::Int(since.0), Value::text(strategy)]).await?;
    let point = |row| {
        let cells = Cells::<D>::new(row, db.place(), "equity");
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
