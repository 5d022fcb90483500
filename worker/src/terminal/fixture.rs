//! A snapshot made by hand, for tests: two strategies, one halted by its breaker, two positions.

use smol_str::SmolStr;
use tradewind_core::config::{
    DeletionPolicy, DesiredState, InstrumentState, Mode, Protection, ResolvedStrategy, SignalConfig,
    SizingConfig, StrategyInstrument,
};
use tradewind_core::decision::{Stage, StrategyId};
use tradewind_core::engine::{AccountView, PositionView, StrategyView};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::limits::{Breaker, Limits};
use tradewind_core::money::{Cash, Percent};
use tradewind_core::name::Uid;
use tradewind_core::order::{Purpose, Side};
use tradewind_core::time::{Millis, Timestamp};

use crate::snapshot::{DecisionSnapshot, Phase, Snapshot, Totals, TradeSnapshot};

/// 2024-05-01T13:00Z.
const NOW: i64 = 1_714_568_400_000;
const HOUR: i64 = 3_600_000;

pub(super) fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

fn config(number: u128, name: &str) -> ResolvedStrategy {
    ResolvedStrategy {
        uid: uid(number),
        name: name.into(),
        generation: 0,
        desired_state: DesiredState::Trading,
        mode: Mode::Paper,
        capital: cash("5000"),
        instruments: vec![StrategyInstrument {
            symbol: "BTC-USD".parse().unwrap(),
            state: InstrumentState::Active,
        }],
        bar: Millis(HOUR),
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

fn position(symbol: &str, stop: Option<&str>) -> PositionView {
    let rules = InstrumentRules::from_decimals(symbol.parse().unwrap(), "0.01", "0.0001", "1").unwrap();
    let price = |text| rules.parse_price(text).unwrap();
    PositionView {
        instrument: InstrumentId(0),
        quantity: rules.parse_quantity("0.0039").unwrap(),
        average_price: price("63000"),
        mark: price("63123.45"),
        value: cash("246.18"),
        unrealized: cash("0.48"),
        cost: cash("245.70"),
        stop: stop.map(price),
        unprotected_since: None,
        unsold_since: None,
        rules,
    }
}

fn strategy(number: u16, name: &str, equity: &str, drawdown: i64, position: PositionView) -> StrategyView {
    StrategyView {
        id: StrategyId(number),
        config: config(u128::from(number), name),
        present: true,
        capital: cash("5000"),
        equity: cash(equity),
        cash: cash("4700"),
        exposure: cash("246.18"),
        realized: Cash(0),
        fees: Cash(0),
        reference: cash("5000"),
        peak: cash("5000"),
        drawdown: Percent(drawdown),
        halts: vec![],
        unprotected: Millis(0),
        dust: Vec::new(),
        positions: vec![position],
    }
}

fn decision(
    name: &str,
    symbol: &str,
    side: Option<Side>,
    stage: Stage,
    words: (&'static str, &str),
) -> DecisionSnapshot {
    DecisionSnapshot {
        at: Timestamp(NOW),
        strategy: name.into(),
        symbol: symbol.parse().unwrap(),
        side,
        confidence: side.map(|_| Percent(620_000)),
        close: "63123.45".into(),
        readings: vec![("emaFast", 63_100.0)],
        stage,
        outcome: words.0,
        detail: words.1.to_owned(),
    }
}

fn trade(id: &str, side: Side, purpose: Purpose, realized: Option<&str>) -> TradeSnapshot {
    TradeSnapshot {
        trade_id: id.into(),
        at: Timestamp(NOW - HOUR),
        strategy: "btc-trend".into(),
        symbol: "BTC-USD".parse().unwrap(),
        side,
        purpose,
        price: "63000".into(),
        quantity: "0.0039".into(),
        notional: cash("245.7"),
        fee: cash("1.4742"),
        fee_asset: "USD".into(),
        realized: realized.map(cash),
    }
}

fn tripped() -> Halt {
    Halt {
        name: "strategy.eth-rsi.drawdown".into(),
        scope: HaltScope::Strategies(vec![uid(1)]),
        instruments: vec![],
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Breaker { breaker: "drawdown".into() },
        reason: "drawdown 15.2% has reached 15%".into(),
        requested_by: "breaker".into(),
        since: Timestamp(NOW - 2 * HOUR),
    }
}

pub(crate) fn snapshot() -> Snapshot {
    let halt = tripped();
    let mut halted = strategy(1, "eth-rsi", "4240", 152_000, position("ETH-USD", None));
    halted.halts = vec![halt.clone()];
    let held = strategy(0, "btc-trend", "5123.45", 12_000, position("BTC-USD", Some("59850")));
    let decisions =
        [(("threshold", "BelowConfidence"), 40), (("signal", "NoSignal"), 700), (("order", "Enter"), 6)];
    Snapshot {
        phase: Phase::Running,
        now: Timestamp(NOW),
        cycle: Millis(3_600_000),
        account_name: SmolStr::new_static("default/paper"),
        venue: "paper".into(),
        currency: "USD".into(),
        account: AccountView {
            equity: cash("10123.45"),
            cash: cash("9631.09"),
            exposure: cash("492.36"),
            invested: cash("10000"),
            reference: cash("10246"),
            peak: cash("10246"),
            drawdown: Percent(12_000),
        },
        account_limits: tradewind_core::limits::AccountLimits::defaults(),
        account_breakers: Vec::new(),
        equity_yesterday: None,
        strategies: vec![held, halted],
        instruments: vec![],
        open_orders: vec![],
        halts: vec![halt],
        holdings: Vec::new(),
        balance_differences: Vec::new(),
        last_decisions: vec![
            decision(
                "btc-trend",
                "BTC-USD",
                Some(Side::Buy),
                Stage::Threshold,
                ("BelowConfidence", "confidence 62% < 65%"),
            ),
            decision(
                "eth-rsi",
                "ETH-USD",
                None,
                Stage::Signal,
                ("NoSignal", "the signal says neither buy nor sell"),
            ),
        ],
        last_signals: vec![],
        recent_trades: vec![
            trade("t-2", Side::Sell, Purpose::StopLoss, Some("-3.21")),
            trade("t-1", Side::Buy, Purpose::Entry, None),
        ],
        totals: Totals { fills: 12, fees: cash("17.6904"), decisions: decisions.into(), ..Totals::default() },
    }
}
