//! Snapshots built by hand: two strategies that hold one position each, and a worker that has seen nothing.

use std::collections::BTreeMap;

use tradewind_core::books::Difference;
use tradewind_core::config::{
    DeletionPolicy, DesiredState, InstrumentState, Mode, Protection, ResolvedStrategy, SignalConfig,
    SizingConfig, StrategyInstrument,
};
use tradewind_core::decision::{Stage, StrategyId};
use tradewind_core::engine::{AccountView, PositionView, StrategyView};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::limits::{AccountLimits, Breaker, BreakerScope, Limits};
use tradewind_core::money::{Cash, Percent};
use tradewind_core::name::Uid;
use tradewind_core::order::{Purpose, Side};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::outbox::Kind;
use tradewind_venues::binance_us::{Requests, Traffic};
use tradewind_worker::bus::{BusFacts, BusState, Trouble};
use tradewind_worker::measures::{Measures, OrderKey};
use tradewind_worker::snapshot::{
    DecisionSnapshot, InstrumentSnapshot, Phase, Snapshot, StrategyTotals, Totals, TradeSnapshot,
};

/// 2024-03-01T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp(1_709_294_400_000);

pub(crate) fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

/// A position: symbol, tick, lot, quantity, average price, mark, value, cost, unrealized, stop.
fn position(words: [&str; 10]) -> PositionView {
    let [symbol, tick, lot, quantity, average, mark, value, cost, unrealized, stop] = words;
    let rules = InstrumentRules::from_decimals(symbol.parse().unwrap(), tick, lot, "1").unwrap();
    PositionView {
        instrument: InstrumentId(0),
        quantity: rules.parse_quantity(quantity).unwrap(),
        average_price: rules.parse_price(average).unwrap(),
        mark: rules.parse_price(mark).unwrap(),
        value: cash(value),
        unrealized: cash(unrealized),
        cost: cash(cost),
        stop: (!stop.is_empty()).then(|| rules.parse_price(stop).unwrap()),
        unprotected_since: None,
        unsold_since: None,
        rules,
    }
}

fn config(number: u16, name: &str, symbol: &str) -> ResolvedStrategy {
    ResolvedStrategy {
        uid: Uid(uuid::Uuid::from_u128(number.into())),
        name: name.into(),
        generation: 0,
        desired_state: DesiredState::Trading,
        mode: Mode::Paper,
        capital: cash("5000"),
        instruments: vec![StrategyInstrument {
            symbol: symbol.parse().unwrap(),
            state: InstrumentState::Active,
        }],
        bar: Millis(3_600_000),
        signal: SignalConfig::EmaCross { fast: 10, slow: 30 },
        sizing: SizingConfig::FixedPercent { percent: Percent(50_000) },
        stop_loss: None,
        protection: Protection::AtVenue,
        policy: None,
        limits: Limits::defaults(),
        breakers: vec![Breaker::default_drawdown()],
        deletion_policy: DeletionPolicy::CancelEntries,
    }
}

/// A strategy with 5000 of capital and a reference and peak of 5500: its equity, cash, exposure, realized and fees.
pub(crate) fn strategy(
    number: u16,
    name: &str,
    amounts: [&str; 5],
    positions: Vec<PositionView>,
) -> StrategyView {
    let [equity, money, exposure, realized, fees] = amounts.map(cash);
    let symbol = positions.first().map_or("BTC-USD".to_owned(), |held| held.rules.symbol.to_string());
    StrategyView {
        id: StrategyId(number),
        config: config(number, name, &symbol),
        present: true,
        capital: cash("5000"),
        equity,
        cash: money,
        exposure,
        realized,
        fees,
        reference: cash("5500"),
        peak: cash("5500"),
        drawdown: Percent(63_636),
        halts: Vec::new(),
        unprotected: Millis(0),
        dust: Vec::new(),
        positions,
    }
}

pub(crate) fn tripped() -> Halt {
    Halt {
        name: "strategy.swing.drawdown".into(),
        scope: HaltScope::Strategies(vec![Uid(uuid::Uuid::from_u128(2))]),
        instruments: Vec::new(),
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Breaker { breaker: "drawdown".into() },
        reason: "drawdown 15.2% >= 15%".into(),
        requested_by: "breaker drawdown".into(),
        since: NOON,
    }
}

pub(crate) fn trade(number: usize, side: Side, realized: Option<&str>) -> TradeSnapshot {
    TradeSnapshot {
        trade_id: smol_str::format_smolstr!("t{number}"),
        at: NOON,
        strategy: "trend".into(),
        symbol: "BTC-USD".parse().unwrap(),
        side,
        purpose: if side == Side::Buy { Purpose::Entry } else { Purpose::SignalExit },
        price: "60000.10".into(),
        quantity: "0.025".into(),
        notional: cash("1500.0025"),
        fee: cash("0.900001500000000001"),
        fee_asset: "USD".into(),
        realized: realized.map(cash),
    }
}

fn decision(readings: Vec<(&'static str, f64)>) -> DecisionSnapshot {
    DecisionSnapshot {
        at: NOON,
        strategy: "trend".into(),
        symbol: "BTC-USD".parse().unwrap(),
        side: Some(Side::Buy),
        confidence: Some(Percent(725_000)),
        close: "64004.00".into(),
        readings,
        stage: Stage::Risk,
        outcome: "Cooldown",
        detail: "last fill 30 min ago, cooldown 60 min".into(),
    }
}

fn measures() -> Measures {
    let mut measures = Measures::default();
    measures.cycles.observe(20_000);
    measures.halts.observe(4_000);
    measures.commits.observe(5_000);
    measures.commits.observe(7_000);
    let key: OrderKey = ("BTC-USD".into(), "buy", "market");
    measures.submits.entry(key.clone()).or_default().observe(120_000);
    measures.fills.entry(key.clone()).or_default().observe(2_000_000);
    measures.slippage.entry(key).or_default().observe(300);
    measures.bar_delays.entry("BTC-USD".into()).or_default().observe(1_500_000);
    measures
}

fn traffic() -> Traffic {
    let time = ("GET", "/api/v3/time");
    let mut requests = Requests::default();
    requests.answered.insert((time, Some(200)), 5);
    requests.answered.insert((time, None), 1);
    requests.took.entry(time).or_default().observe(30_000);
    Traffic { requests, left: vec![("weight", 950), ("orders", 80)], skew: Some(Millis(-250)) }
}

fn totals() -> Totals {
    Totals {
        bars: 1000,
        fills: 7,
        decisions: BTreeMap::from([
            (("order", "Enter"), 4),
            (("order", "Exit"), 3),
            (("risk", "Cooldown"), 2),
            (("signal", "NoSignal"), 991),
        ]),
        signals: BTreeMap::from([
            (("ADA-USD".into(), "buy", "Enter"), 1),
            (("BTC-USD".into(), "buy", "Cooldown"), 2),
            (("BTC-USD".into(), "buy", "Enter"), 3),
        ]),
        orders: BTreeMap::from([(("BTC-USD".into(), "buy", "market", "Filled"), 4)]),
        strategies: BTreeMap::from([(
            "trend".into(),
            StrategyTotals {
                signals: BTreeMap::from([("Cooldown", 2), ("Enter", 3)]),
                fills: 5,
                realized_profit: cash("90"),
                realized_loss: cash("90"),
                wins: 1,
                losses: 1,
            },
        )]),
        fees: cash("12.5"),
        realized_profit: cash("300"),
        realized_loss: cash("90"),
        wins: 2,
        losses: 1,
        halts: BTreeMap::from([(("Breaker", "drawdown".into()), 1)]),
        off_tick: 5,
        skipped_rows: 6,
        broken_feeds: BTreeMap::new(),
        gaps: BTreeMap::from([("BTC-USD".into(), 2)]),
        marks: 8,
        ledger_failures: 3,
        status_failures: Some(1),
        traffic: Some(traffic()),
        measures: measures(),
        bus: Some(BusFacts {
            state: BusState::Failing(Trouble::Unreachable, "Redis is away".to_owned()),
            relayed: 12,
            errors: 3,
            waiting: 5,
            dropped: BTreeMap::from([(Kind::Decision, 9)]),
            behind_since: None,
        }),
    }
}

/// Two strategies at work, one of them halted by its breaker.
pub(crate) fn busy() -> Snapshot {
    let btc = ["BTC-USD", "0.01", "0.001", "0.025", "60000", "64004", "1600.1", "1500", "100.1", "57000"];
    let ada = ["ADA-USD", "0.0001", "0.1", "1000", "0.7", "0.65", "650", "700", "-50", ""];
    let trend = strategy(1, "trend", ["5100.2", "3500.1", "1600.1", "0", "0.9"], vec![position(btc)]);
    let mut swing = strategy(2, "swing", ["5150.1", "4500.1", "650", "210", "11.6"], vec![position(ada)]);
    swing.halts = vec![tripped()];
    Snapshot {
        phase: Phase::Running,
        now: NOON,
        cycle: Millis(3_600_000),
        account_name: "default/paper".into(),
        venue: "paper".into(),
        currency: "USD".into(),
        account: AccountView {
            equity: cash("10250.3"),
            cash: cash("8000.2"),
            exposure: cash("2250.1"),
            invested: cash("10000"),
            reference: cash("10500"),
            peak: cash("10600"),
            drawdown: Percent(23_781),
        },
        account_limits: AccountLimits { max_exposure: Percent(600_000) },
        account_breakers: vec![Breaker { scope: BreakerScope::Account, ..Breaker::default_drawdown() }],
        equity_yesterday: None,
        strategies: vec![trend, swing],
        instruments: vec![InstrumentSnapshot {
            symbol: "BTC-USD".parse().unwrap(),
            last_bar_close: Some(NOON),
            mark: "64004".into(),
            mark_units: tradewind_core::money::Price(6_400_400),
        }],
        open_orders: Vec::new(),
        halts: vec![tripped()],
        holdings: vec![("USD".parse().unwrap(), cash("8000.2")), ("BTC".parse().unwrap(), cash("0.025"))],
        balance_differences: vec![Difference { asset: "BTC".parse().unwrap(), amount: cash("-0.005") }],
        last_decisions: Vec::new(),
        last_signals: vec![decision(vec![("emaFast", 64_000.5), ("emaSlow", f64::NAN)])],
        recent_trades: vec![trade(2, Side::Sell, Some("-0.30")), trade(1, Side::Buy, None)],
        totals: totals(),
    }
}

/// A worker that has just begun: nothing granted, nothing seen.
pub(crate) fn idle() -> Snapshot {
    let zero = AccountView {
        equity: Cash::ZERO,
        cash: Cash::ZERO,
        exposure: Cash::ZERO,
        invested: Cash::ZERO,
        reference: Cash::ZERO,
        peak: Cash::ZERO,
        drawdown: Percent(0),
    };
    Snapshot {
        phase: Phase::Recovering,
        now: Timestamp(0),
        account: zero,
        strategies: Vec::new(),
        instruments: Vec::new(),
        halts: Vec::new(),
        holdings: Vec::new(),
        balance_differences: Vec::new(),
        last_signals: Vec::new(),
        recent_trades: Vec::new(),
        totals: Totals::default(),
        ..busy()
    }
}
