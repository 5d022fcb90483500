//! The portfolio endpoint: `/portfolio` and `/trades/recent`.

use serde::Serialize;
use tradewind_core::engine::{PositionView, StrategyView};
use tradewind_core::money::{Cash, Price};

use super::number::{Number, rfc3339};
use super::router::{Parameters, Refusal};
use super::strategies;
use crate::snapshot::{RECENT_TRADES, Snapshot, TradeSnapshot};

/// Trades given when `limit` is left out.
const DEFAULT_TRADES: usize = 50;

/// What is held and what it is worth. Amounts are in `currency`, percents are percents (5 is 5 %).
#[derive(Debug, Serialize)]
pub(super) struct Portfolio<'a> {
    timestamp: Option<String>,
    account: &'a str,
    strategy: Option<&'a str>,
    currency: &'a str,
    /// Cash and positions at their marks.
    total_value: Number,
    cash_balance: Number,
    /// Positions at their marks.
    invested_value: Number,
    /// Total value less what was paid in (of a strategy: less its capital).
    total_pnl: Option<Number>,
    /// Of what was paid in; null when that is nothing.
    total_pnl_percent: Option<Number>,
    positions: Vec<Position<'a>>,
}

#[derive(Debug, Serialize)]
struct Position<'a> {
    symbol: String,
    strategy: &'a str,
    quantity: Number,
    /// With fees.
    avg_price: Number,
    current_price: Number,
    market_value: Number,
    /// Market value less what it cost with fees.
    pnl: Number,
    pnl_percent: Option<Number>,
    /// The lowest stop that guards it; null without one.
    stop_price: Option<Number>,
}

/// The newest fills, newest first. Amounts are in `currency`.
#[derive(Debug, Serialize)]
pub(super) struct Trades<'a> {
    currency: &'a str,
    trades: Vec<Trade<'a>>,
}

#[derive(Debug, Serialize)]
struct Trade<'a> {
    #[serde(rename = "trade_id")]
    id: &'a str,
    timestamp: Option<String>,
    strategy: &'a str,
    symbol: String,
    side: String,
    /// Why: `Entry`, `SignalExit`, `StopLoss` …
    purpose: &'static str,
    price: Option<Number>,
    quantity: Option<Number>,
    notional: Number,
    /// In `fee_asset`.
    fee: Number,
    fee_asset: &'a str,
    /// Profit and loss it realized, after fees; null for a buy.
    realized_pnl: Option<Number>,
}

/// `/portfolio`: of the account, or of the strategy that `?strategy=` names.
pub(super) fn portfolio<'a>(
    snapshot: &'a Snapshot,
    parameters: &Parameters,
) -> Result<Portfolio<'a>, Refusal> {
    let Some(name) = parameters.get("strategy")? else { return Ok(of_account(snapshot)) };
    let named = strategies::by_name(snapshot);
    named
        .get(name)
        .map(|view| of_strategy(snapshot, view))
        .ok_or_else(|| Refusal::unknown_strategy(name, named.keys()))
}

/// `/trades/recent`: the newest `?limit=` trades, 50 unless told, at most [`RECENT_TRADES`].
pub(super) fn recent_trades<'a>(
    snapshot: &'a Snapshot,
    parameters: &Parameters,
) -> Result<Trades<'a>, Refusal> {
    let limit = match parameters.get("limit")? {
        None => DEFAULT_TRADES,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=RECENT_TRADES).contains(limit))
            .ok_or_else(|| Refusal::bad_limit(text, RECENT_TRADES))?,
    };
    let trades = snapshot.recent_trades.iter().take(limit).map(trade).collect();
    Ok(Trades { currency: &snapshot.currency, trades })
}

fn of_account(snapshot: &Snapshot) -> Portfolio<'_> {
    let account = &snapshot.account;
    let total_pnl = account.equity.checked_sub(account.invested).ok();
    Portfolio {
        timestamp: rfc3339(snapshot.now),
        account: &snapshot.account_name,
        strategy: None,
        currency: &snapshot.currency,
        total_value: account.equity.into(),
        cash_balance: account.cash.into(),
        invested_value: account.exposure.into(),
        total_pnl: total_pnl.map(Number::from),
        total_pnl_percent: total_pnl.and_then(|pnl| Number::percent_of(pnl, account.invested)),
        positions: snapshot.strategies.iter().flat_map(positions).collect(),
    }
}

fn of_strategy<'a>(snapshot: &'a Snapshot, view: &'a StrategyView) -> Portfolio<'a> {
    let total_pnl = view.equity.checked_sub(view.capital).ok();
    Portfolio {
        timestamp: rfc3339(snapshot.now),
        account: &snapshot.account_name,
        strategy: Some(&view.config.name),
        currency: &snapshot.currency,
        total_value: view.equity.into(),
        cash_balance: view.cash.into(),
        invested_value: view.exposure.into(),
        total_pnl: total_pnl.map(Number::from),
        total_pnl_percent: total_pnl.and_then(|pnl| Number::percent_of(pnl, view.capital)),
        positions: positions(view).collect(),
    }
}

fn positions(view: &StrategyView) -> impl Iterator<Item = Position<'_>> {
    view.positions.iter().map(|held| position(&view.config.name, held))
}

fn position<'a>(strategy: &'a str, held: &PositionView) -> Position<'a> {
    let price = |price: Price| Number::fixed(i128::from(price.0), held.rules.price_scale);
    Position {
        symbol: held.rules.symbol.to_string(),
        strategy,
        quantity: Number::fixed(i128::from(held.quantity.0), held.rules.quantity_scale),
        avg_price: price(held.average_price),
        current_price: price(held.mark),
        market_value: held.value.into(),
        pnl: held.unrealized.into(),
        pnl_percent: Number::percent_of(held.unrealized, held.cost),
        stop_price: held.stop.map(price),
    }
}

fn trade(trade: &TradeSnapshot) -> Trade<'_> {
    Trade {
        id: &trade.trade_id,
        timestamp: rfc3339(trade.at),
        strategy: &trade.strategy,
        symbol: trade.symbol.to_string(),
        side: trade.side.to_string(),
        purpose: trade.purpose.into(),
        price: Number::text(&trade.price),
        quantity: Number::text(&trade.quantity),
        notional: trade.notional.into(),
        fee: trade.fee.into(),
        fee_asset: &trade.fee_asset,
        realized_pnl: trade.realized.map(Cash::into),
    }
}
