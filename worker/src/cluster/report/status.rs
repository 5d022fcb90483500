//! The worker's part of a status: pure functions of a report and of what was last seen when.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde::Serialize;
use smol_str::SmolStr;
use tradewind_core::decision::Stage;
use tradewind_core::engine::{PositionView, StrategyView};
use tradewind_core::halt::{Halt, HaltScope};
use tradewind_core::money::{Cash, Percent, format_fixed, format_trimmed};
use tradewind_core::name::Uid;
use tradewind_core::order::Side;
use tradewind_crds::common::{Applied, AssetText, Decimal, SymbolText, UidText};
use tradewind_crds::exchange_account::AccountTrading;
use tradewind_crds::trading_strategy::{LastDecision, LastSignal, OpenPosition, Portfolio, StrategyTrading};

use super::conditions::{of_account, of_strategy, settled_conditions};
use super::{Figure, InForce, Report, StrategyInput};
use crate::snapshot::{DecisionSnapshot, Snapshot};

/// Halts and positions listed at most, as in the API.
const MAX_LISTED: usize = 64;
/// Longest message of a decision, as in the API.
const MAX_MESSAGE: usize = 512;

/// The worker's part of a status, its whole set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status<T> {
    /// What is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// What it is worth, holds and does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trading: Option<T>,
    /// The worker's own conditions.
    pub conditions: Vec<Condition>,
}

/// When the newest fill and signal of a strategy were seen, by the clock.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Seen {
    trade: Option<(SmolStr, Time)>,
    signal: Option<(DecisionSnapshot, Time)>,
}

impl Seen {
    /// Takes in a report. What is new is seen now; a fill of before this process began was seen when the status before
    /// says, or at its own time.
    pub fn observe(
        &mut self,
        snapshot: &Snapshot,
        strategy: &str,
        before: Option<&StrategyTrading>,
        now: Timestamp,
    ) {
        if let Some(trade) = snapshot.recent_trades.iter().find(|trade| trade.strategy == strategy)
            && self.trade.as_ref().is_none_or(|(id, _)| *id != trade.trade_id)
        {
            let of_ours = snapshot.totals.strategies.get(strategy).is_some_and(|own| own.fills > 0);
            let known = before.and_then(|trading| trading.last_trade_time.clone());
            let at = if of_ours { Time(now) } else { known.unwrap_or_else(|| time(trade.at, now)) };
            self.trade = Some((trade.trade_id.clone(), at));
        }
        let signals = snapshot.last_signals.iter().filter(|signal| signal.strategy == strategy);
        if let Some(signal) = signals.max_by_key(|signal| signal.at)
            && self
                .signal
                .as_ref()
                .is_none_or(|(known, _)| (known.at, &known.symbol) != (signal.at, &signal.symbol))
        {
            self.signal = Some((signal.clone(), Time(now)));
        }
    }
}

/// Event time as a time of the API; `now` if there is no such time.
fn time(at: tradewind_core::time::Timestamp, now: Timestamp) -> Time {
    Time(Timestamp::from_millisecond(at.0).unwrap_or(now))
}

/// Of a strategy. `before` is what the status said before: since when conditions hold, and the last signal of an earlier
/// process, which stands until there is a new one.
pub fn strategy_status(
    report: &Report,
    input: &StrategyInput,
    seen: &Seen,
    before: Option<&Status<StrategyTrading>>,
    now: Timestamp,
) -> Status<StrategyTrading> {
    let view = report.snapshot.strategies.iter().find(|view| view.config.uid == input.uid);
    let halts = reaching(report, |scope| match scope {
        HaltScope::Account => true,
        HaltScope::Strategies(uids) => uids.contains(&input.uid),
    });
    let figure = report.figures.strategies.get(&input.uid).copied().unwrap_or_default();
    let trading_before = before.and_then(|status| status.trading.as_ref());
    Status {
        applied: applied(input.applied.as_ref(), halts),
        trading: view.map(|view| trading(&report.snapshot, view, figure, seen, trading_before, now)),
        conditions: settled_conditions(
            before.map(|status| status.conditions.as_slice()).unwrap_or_default(),
            of_strategy(report, input, view),
            input.applied.as_ref().map(|applied| applied.generation),
            now,
        ),
    }
}

/// Of the account. `before` is what the status said before: since when conditions hold.
pub fn account_status(
    report: &Report,
    before: Option<&Status<AccountTrading>>,
    now: Timestamp,
) -> Status<AccountTrading> {
    let snapshot = &report.snapshot;
    let (account, figure) = (&snapshot.account, report.figures.account);
    let positions = || snapshot.strategies.iter().flat_map(|view| &view.positions);
    let sum = |amounts: &mut dyn Iterator<Item = Cash>| {
        Cash(amounts.fold(0_i128, |sum, amount| sum.saturating_add(amount.0)))
    };
    let applied_account = report.worker.applied.as_ref();
    let trading = AccountTrading {
        equity: Some(money(account.equity, &snapshot.currency)),
        pnl_24h: figure.gain.map(signed),
        drawdown: Some(tenths(account.drawdown)),
        exposure: Some(exposure(account.exposure, figure.pending, account.equity)),
        portfolio: Some(Portfolio {
            currency: AssetText(snapshot.currency.to_string()),
            equity: account.equity.to_string(),
            cash: account.cash.to_string(),
            peak_equity: account.peak.to_string(),
            realized_pnl: sum(&mut snapshot.strategies.iter().map(|view| view.realized)).to_string(),
            unrealized_pnl: sum(&mut positions().map(|held| held.unrealized)).to_string(),
        }),
    };
    Status {
        applied: applied(applied_account, reaching(report, |scope| *scope == HaltScope::Account)),
        trading: Some(trading),
        conditions: settled_conditions(
            before.map(|status| status.conditions.as_slice()).unwrap_or_default(),
            of_account(report),
            applied_account.map(|applied| applied.generation),
            now,
        ),
    }
}

fn applied(in_force: Option<&InForce>, halts: Vec<UidText>) -> Option<Applied> {
    in_force.map(|InForce { generation, hash }| Applied {
        generation: *generation,
        hash: hash.clone(),
        halts,
    })
}

/// Uids of the objects of the halts in force whose scope fits; whatever instruments they are limited to.
fn reaching(report: &Report, fits: impl Fn(&HaltScope) -> bool) -> Vec<UidText> {
    let uid = |halt: &Halt| report.published.get(&halt.name).map(|Uid(uid)| UidText(uid.to_string()));
    let halts = report.snapshot.halts.iter().filter(|halt| fits(&halt.scope));
    halts.filter_map(uid).take(MAX_LISTED).collect()
}

fn trading(
    snapshot: &Snapshot,
    view: &StrategyView,
    figure: Figure,
    seen: &Seen,
    before: Option<&StrategyTrading>,
    now: Timestamp,
) -> StrategyTrading {
    let unrealized = view.positions.iter().fold(0_i128, |sum, held| sum.saturating_add(held.unrealized.0));
    let (signal, last_signal, last_decision) = signal(snapshot, view, seen, before, now);
    StrategyTrading {
        equity: Some(money(view.equity, &snapshot.currency)),
        pnl_24h: figure.gain.map(signed),
        drawdown: Some(tenths(view.drawdown)),
        exposure: Some(exposure(view.exposure, figure.pending, view.equity)),
        positions: Some(format!("{}/{}", view.positions.len(), view.config.limits.max_open_positions)),
        signal,
        last_trade_time: seen.trade.as_ref().map(|(_, at)| at.clone()),
        last_signal,
        last_decision,
        portfolio: Some(Portfolio {
            currency: AssetText(snapshot.currency.to_string()),
            equity: view.equity.to_string(),
            cash: view.cash.to_string(),
            peak_equity: view.peak.to_string(),
            realized_pnl: view.realized.to_string(),
            unrealized_pnl: Cash(unrealized).to_string(),
        }),
        open_positions: view.positions.iter().take(MAX_LISTED).map(position).collect(),
    }
}

/// The last signal in short, in full, and what came of it. Without one: that of an earlier process, and if there was
/// none either, what came of the newest decision.
fn signal(
    snapshot: &Snapshot,
    view: &StrategyView,
    seen: &Seen,
    before: Option<&StrategyTrading>,
    now: Timestamp,
) -> (Option<String>, Option<LastSignal>, Option<LastDecision>) {
    if let Some((signal, at)) = &seen.signal
        && let (Some(side), Some(confidence)) = (signal.side, signal.confidence)
    {
        let word = match side {
            Side::Buy => "Buy",
            Side::Sell => "Sell",
        };
        let short = format!("{} {} {}", word.to_uppercase(), signal.symbol, whole(confidence));
        let full = LastSignal {
            time: at.clone(),
            symbol: SymbolText(signal.symbol.to_string()),
            side: word.to_owned(),
            confidence_percent: Decimal(format_trimmed(i128::from(confidence.0), 4)),
        };
        return (Some(short), Some(full), Some(decision(signal, at.clone())));
    }
    if let Some(StrategyTrading { signal: Some(short), last_signal, last_decision, .. }) = before {
        return (Some(short.clone()), last_signal.clone(), last_decision.clone());
    }
    let own = snapshot.last_decisions.iter().filter(|d| d.strategy == view.config.name);
    let newest = own.max_by_key(|decision| decision.at);
    // Unlike a signal it comes with each bar: its time moves no column and makes nobody write.
    (None, None, newest.map(|newest| decision(newest, Time(now))))
}

fn decision(decision: &DecisionSnapshot, time: Time) -> LastDecision {
    let outcome = match (decision.outcome, decision.stage) {
        ("Enter" | "Exit", _) => "Ordered",
        (_, Stage::Halt | Stage::Threshold | Stage::Sizing | Stage::Risk) => "Denied",
        (_, Stage::Data | Stage::Signal | Stage::Order) => "Nothing",
    };
    let denied = !matches!(decision.outcome, "Enter" | "Exit");
    LastDecision {
        time,
        symbol: SymbolText(decision.symbol.to_string()),
        stage: format!("{:?}", decision.stage),
        outcome: outcome.to_owned(),
        reason: denied.then(|| decision.outcome.to_owned()),
        message: Some(decision.detail.chars().take(MAX_MESSAGE).collect()),
    }
}

fn position(held: &PositionView) -> OpenPosition {
    let price = |price| Decimal(held.rules.price_text(price));
    OpenPosition {
        symbol: SymbolText(held.rules.symbol.to_string()),
        quantity: Decimal(held.rules.quantity_text(held.quantity)),
        entry_price: price(held.average_price),
        mark_price: price(held.mark),
        stop_price: held.stop.map(price),
    }
}

/// `2571.86 USD`.
fn money(amount: Cash, currency: &str) -> String {
    format!("{} {currency}", amount.to_text(2))
}

/// `4.2%`, rounded half away from zero.
fn tenths(percent: Percent) -> String {
    format!("{}%", format_fixed(i128::from(rounded(percent, 1_000)), 1))
}

/// `+1.8%`.
fn signed(percent: Percent) -> String {
    let sign = if rounded(percent, 1_000) < 0 { "" } else { "+" };
    format!("{sign}{}", tenths(percent))
}

/// `71%`.
fn whole(percent: Percent) -> String {
    format!("{}%", rounded(percent, 10_000))
}

fn rounded(percent: Percent, unit: i64) -> i64 {
    let half = if percent.0 < 0 { -unit / 2 } else { unit / 2 };
    percent.0.saturating_add(half) / unit
}

/// What is held and what waits to be entered, of equity; what is held without equity to hold it is beyond any figure.
fn exposure(held: Cash, pending: Cash, equity: Cash) -> String {
    let all = Cash(held.0.saturating_add(pending.0));
    if equity <= Cash::ZERO && all > Cash::ZERO { ">100%".to_owned() } else { whole(all.percent_of(equity)) }
}
