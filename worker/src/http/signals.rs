//! The signals endpoint: `/signals/latest` and `/signals/performance`.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tradewind_core::engine::StrategyView;
use tradewind_core::money::Cash;

use super::number::{Number, rfc3339};
use super::strategies;
use crate::snapshot::{DecisionSnapshot, Snapshot, StrategyTotals};

/// The last buy or sell of each strategy in each instrument.
#[derive(Debug, Serialize)]
pub(super) struct Latest<'a> {
    signals: Vec<LatestSignal<'a>>,
}

#[derive(Debug, Serialize)]
struct LatestSignal<'a> {
    symbol: String,
    strategy: &'a str,
    /// `Buy` or `Sell`.
    signal: Option<String>,
    /// 0 to 1.
    confidence: Option<Number>,
    timestamp: Option<String>,
    /// Close of the decision bar.
    close: Option<Number>,
    /// Indicators by name; null for one that is no number.
    #[serde(serialize_with = "as_map")]
    features: &'a [(&'static str, f64)],
    stage: &'static str,
    /// `Enter`, `Exit` or a denial code.
    outcome: &'static str,
    detail: &'a str,
}

/// What came of the signals. Amounts are in `currency`; rates are 0 to 1.
#[derive(Debug, Serialize)]
pub(super) struct Performance<'a> {
    currency: &'a str,
    total: Total,
    strategies: Vec<OfStrategy<'a>>,
}

#[derive(Debug, Serialize)]
struct Total {
    #[serde(flatten)]
    counted: Counted,
    realized_pnl: Option<Number>,
    fees: Number,
}

#[derive(Debug, Serialize)]
struct OfStrategy<'a> {
    strategy: &'a str,
    #[serde(flatten)]
    counted: Counted,
    realized_pnl: Number,
    unrealized_pnl: Option<Number>,
    fees: Number,
    open_positions: usize,
}

#[derive(Debug, Serialize)]
struct Counted {
    /// Signals that said buy or sell, by what came of them.
    signals: BTreeMap<&'static str, u64>,
    entries: u64,
    fills: u64,
    /// Sales that made or lost money.
    trades: u64,
    wins: u64,
    losses: u64,
    /// Wins of trades; null before the first.
    win_rate: Option<Number>,
    realized_profit: Number,
    /// As a positive number.
    realized_loss: Number,
    /// Realized profit over realized loss; null while nothing was lost.
    profit_factor: Option<Number>,
}

/// `/signals/latest`.
pub(super) fn latest(snapshot: &Snapshot) -> Latest<'_> {
    Latest { signals: snapshot.last_signals.iter().map(signal).collect() }
}

/// `/signals/performance`.
pub(super) fn performance(snapshot: &Snapshot) -> Performance<'_> {
    Performance {
        currency: &snapshot.currency,
        total: total(snapshot),
        strategies: strategies::by_name(snapshot)
            .into_values()
            .map(|view| of_strategy(snapshot, view))
            .collect(),
    }
}

fn signal(decision: &DecisionSnapshot) -> LatestSignal<'_> {
    LatestSignal {
        symbol: decision.symbol.to_string(),
        strategy: &decision.strategy,
        signal: decision.side.map(|side| side.to_string()),
        confidence: decision.confidence.map(Number::ratio_of),
        timestamp: rfc3339(decision.at),
        close: Number::text(&decision.close),
        features: &decision.readings,
        stage: decision.stage.into(),
        outcome: decision.outcome,
        detail: &decision.detail,
    }
}

fn total(snapshot: &Snapshot) -> Total {
    let totals = &snapshot.totals;
    let mut all = StrategyTotals {
        signals: BTreeMap::new(),
        fills: totals.fills,
        realized_profit: totals.realized_profit,
        realized_loss: totals.realized_loss,
        wins: totals.wins,
        losses: totals.losses,
    };
    for ((_, _, outcome), count) in &totals.signals {
        let sum = all.signals.entry(outcome).or_default();
        *sum = sum.saturating_add(*count);
    }
    Total {
        counted: counted(&all),
        realized_pnl: totals.realized_profit.checked_sub(totals.realized_loss).ok().map(Cash::into),
        fees: totals.fees.into(),
    }
}

fn of_strategy<'a>(snapshot: &Snapshot, view: &'a StrategyView) -> OfStrategy<'a> {
    let unrealized = view.positions.iter().try_fold(Cash::ZERO, |sum, held| sum.checked_add(held.unrealized));
    OfStrategy {
        strategy: &view.config.name,
        counted: snapshot
            .totals
            .strategies
            .get(&view.config.name)
            .map_or_else(|| counted(&StrategyTotals::default()), counted),
        realized_pnl: view.realized.into(),
        unrealized_pnl: unrealized.ok().map(Cash::into),
        fees: view.fees.into(),
        open_positions: view.positions.len(),
    }
}

fn counted(totals: &StrategyTotals) -> Counted {
    let trades = totals.wins.saturating_add(totals.losses);
    Counted {
        signals: totals.signals.clone(),
        entries: totals.signals.get("Enter").copied().unwrap_or_default(),
        fills: totals.fills,
        trades,
        wins: totals.wins,
        losses: totals.losses,
        win_rate: Number::ratio(totals.wins.into(), trades.into()),
        realized_profit: totals.realized_profit.into(),
        realized_loss: totals.realized_loss.into(),
        profit_factor: Number::ratio(totals.realized_profit.0, totals.realized_loss.0),
    }
}

fn as_map<S: Serializer>(readings: &[(&'static str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(readings.iter().copied())
}
