//! Statuses of a snapshot made by hand.

mod writing;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tradewind_core::decision::Stage;
use tradewind_core::engine::OrderView;
use tradewind_core::halt::{EntryBlock, Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::money::{Cash, Percent, Price, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{
    Attempt, ClientOrderId, Epoch, Incarnation, Intent, IntentId, OrderKind, OrderState, Purpose, Side,
};
use tradewind_crds::exchange_account::ExchangeAccountStatus;
use tradewind_crds::trading_strategy::{StrategyTrading, TradingStrategyStatus};

use super::*;
use crate::snapshot::{DecisionSnapshot, Phase, StrategyTotals};
use crate::terminal::fixture;

fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

fn clock(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const MORNING: &str = "2026-03-01T08:00:00Z";
const LATER: &str = "2026-03-01T09:30:00Z";

fn input(number: u128, name: &str) -> StrategyInput {
    StrategyInput {
        name: name.into(),
        uid: uid(number),
        applied: Some(InForce { generation: 3, hash: "abc".to_owned() }),
        unavailable: None,
        quarantined: None,
        settling: Settling::No,
    }
}

/// btc-trend (uid 0) holds BTC with a stop, eth-rsi (uid 1) ETH without one and is halted by its breaker.
fn report() -> Report {
    let mut snapshot = fixture::snapshot();
    for view in &mut snapshot.strategies {
        view.config.stop_loss = Some(Percent(50_000));
    }
    let account = Halt {
        name: "ops/freeze".into(),
        scope: HaltScope::Account,
        instruments: vec!["ETH-USD".parse().unwrap()],
        action: HaltAction::StopEntries,
        origin: HaltOrigin::Manual,
        reason: "maintenance".to_owned(),
        requested_by: "ops".to_owned(),
        since: tradewind_core::time::Timestamp(0),
    };
    snapshot.halts.push(account);
    let figure = Figure { gain: Some(Percent(18_499)), pending: Cash::parse("500").unwrap() };
    Report {
        snapshot: Arc::new(snapshot),
        figures: FiguresNow {
            account: Figure { gain: Some(Percent(-499)), pending: Cash::parse("500").unwrap() },
            strategies: BTreeMap::from([(uid(0), figure)]),
        },
        published: BTreeMap::from([
            ("strategy.eth-rsi.drawdown".into(), uid(71)),
            ("ops/freeze".into(), uid(72)),
        ]),
        worker: WorkerInput {
            applied: Some(InForce { generation: 2, hash: "acc".to_owned() }),
            ..WorkerInput::default()
        },
        strategies: vec![input(0, "btc-trend"), input(1, "eth-rsi")],
    }
}

fn snapshot(report: &mut Report) -> &mut Snapshot {
    Arc::get_mut(&mut report.snapshot).unwrap()
}

fn signal(report: &mut Report) -> DecisionSnapshot {
    let mut signal = snapshot(report).last_decisions[0].clone();
    signal.confidence = Some(Percent(714_996));
    signal.stage = Stage::Risk;
    (signal.outcome, signal.detail) = ("MaxExposure", "exposure 81% > 80%".to_owned());
    snapshot(report).last_signals.push(signal.clone());
    signal
}

fn status_of(
    report: &Report,
    index: usize,
    before: Option<&Status<StrategyTrading>>,
) -> Status<StrategyTrading> {
    let input = &report.strategies[index];
    let mut seen = Seen::default();
    let trading = before.and_then(|status| status.trading.as_ref());
    seen.observe(&report.snapshot, &input.name, trading, clock(MORNING));
    strategy_status(report, input, &seen, before, clock(MORNING))
}

fn condition(conditions: &Value, type_: &str) -> (String, String) {
    let found = conditions.as_array().unwrap().iter().find(|c| c["type"] == type_).unwrap();
    (found["status"].as_str().unwrap().to_owned(), found["reason"].as_str().unwrap().to_owned())
}

fn conditions<T: serde::Serialize>(status: &Status<T>) -> BTreeMap<String, (String, String)> {
    let value = serde_json::to_value(status).unwrap();
    let types: Vec<String> = status.conditions.iter().map(|c| c.type_.clone()).collect();
    types.into_iter().map(|type_| (type_.clone(), condition(&value["conditions"], &type_))).collect()
}

fn expect(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[test]
fn a_strategy_tells_what_it_is_worth_holds_and_was_told_by_its_signal() {
    let mut report = report();
    signal(&mut report);
    let status = serde_json::to_value(status_of(&report, 0, None)).unwrap();
    // 246.18 held and 500 to be entered of 5123.45 are 14.6 %.
    let expected = json!({
        "equity": "5123.45 USD", "pnl24h": "+1.8%", "drawdown": "1.2%", "exposure": "15%", "positions": "1/10",
        "signal": "BUY BTC-USD 71%",
        "lastTradeTime": "2024-05-01T12:00:00Z",
        "lastSignal": {
            "time": MORNING, "symbol": "BTC-USD", "side": "Buy", "confidencePercent": "71.4996",
        },
        "lastDecision": {
            "time": MORNING, "symbol": "BTC-USD", "stage": "Risk", "outcome": "Denied", "reason": "MaxExposure",
            "message": "exposure 81% > 80%",
        },
        "portfolio": {
            "currency": "USD", "equity": "5123.45", "cash": "4700", "peakEquity": "5000", "realizedPnl": "0",
            "unrealizedPnl": "0.48",
        },
        "openPositions": [{
            "symbol": "BTC-USD", "quantity": "0.0039", "entryPrice": "63000", "markPrice": "63123.45",
            "stopPrice": "59850",
        }],
    });
    assert_eq!(status["trading"], expected);
    assert_eq!(status["applied"], json!({"generation": 3, "hash": "abc", "halts": [uid(72)]}));
    let fresh = &status["conditions"][0];
    assert_eq!(fresh["type"], "DataFresh");
    assert_eq!((&fresh["lastTransitionTime"], &fresh["observedGeneration"]), (&json!(MORNING), &json!(3)));
    let _: TradingStrategyStatus = serde_json::from_value(status).unwrap();
}

#[test]
fn the_account_tells_the_sum_of_its_strategies() {
    let report = report();
    let status = serde_json::to_value(account_status(&report, None, clock(MORNING))).unwrap();
    // 492.36 held and 500 to be entered of 10123.45 are 9.8 %; -0.0499 % are 0.0 % to one decimal.
    let expected = json!({
        "equity": "10123.45 USD", "pnl24h": "+0.0%", "drawdown": "1.2%", "exposure": "10%",
        "portfolio": {
            "currency": "USD", "equity": "10123.45", "cash": "9631.09", "peakEquity": "10246", "realizedPnl": "0",
            "unrealizedPnl": "0.96",
        },
    });
    assert_eq!(status["trading"], expected);
    assert_eq!(status["applied"], json!({"generation": 2, "hash": "acc", "halts": [uid(72)]}));
    assert_eq!(condition(&status["conditions"], "PositionsProtected"), expect("False", "StopMissing"));
    let _: ExchangeAccountStatus = serde_json::from_value(status).unwrap();
}

#[test]
fn a_strategy_lists_every_published_halt_that_reaches_it_run_or_not_and_whatever_its_instruments() {
    let mut report = report();
    let halts = |report: &Report, index: usize| {
        let applied = status_of(report, index, None).applied.unwrap();
        applied.halts.into_iter().map(|uid| uid.0).collect::<Vec<_>>()
    };
    let both = vec![uid(71).to_string(), uid(72).to_string()];
    assert_eq!(halts(&report, 1), both);
    snapshot(&mut report).strategies.clear();
    assert_eq!(halts(&report, 1), both, "one that does not run is halted all the same");
    report.published.remove("ops/freeze");
    assert_eq!(halts(&report, 1), [uid(71).to_string()], "what has no object yet has no uid");
}

#[test]
fn a_file_that_is_broken_is_told_by_whom_it_feeds_and_by_no_other() {
    for (symbol, wanted) in
        [("BTC-USD", expect("False", "DataUnavailable")), ("DOGE-USD", expect("True", "Streaming"))]
    {
        let mut report = report();
        snapshot(&mut report).totals.broken_feeds.insert(symbol.parse().unwrap(), "it is cut".to_owned());
        let status = serde_json::to_value(status_of(&report, 0, None)).unwrap();
        assert_eq!(condition(&status["conditions"], "DataFresh"), wanted, "{symbol}");
    }
}

#[test]
fn conditions_say_what_is_wrong_and_why() {
    type Change = fn(&mut Report);
    let of_strategy: [(&str, Change, (&str, &str, &str)); 15] = [
        ("all well", |_| {}, ("DataFresh", "True", "Streaming")),
        ("recovering", |r| snapshot(r).phase = Phase::Recovering, ("DataFresh", "Unknown", "Recovering")),
        ("the end of the data", |r| snapshot(r).phase = Phase::Completed, ("DataFresh", "True", "Completed")),
        (
            "no data",
            |r| r.worker.feed = Feed::Unavailable("x".into()),
            ("DataFresh", "False", "DataUnavailable"),
        ),
        (
            "not in the data set",
            |r| r.strategies[0].unavailable = Some("x".into()),
            ("DataFresh", "False", "InstrumentUnavailable"),
        ),
        ("in sync", |_| {}, ("PositionsReconciled", "True", "InSync")),
        (
            "ledger not known",
            |r| snapshot(r).halts[1].origin = HaltOrigin::LedgerUnknown,
            ("PositionsReconciled", "False", "LedgerUnknown"),
        ),
        (
            "ledger not writable",
            |r| r.worker.ledger_fault = Some("x".into()),
            ("PositionsReconciled", "False", "LedgerUnavailable"),
        ),
        (
            "an order of unknown outcome",
            |r| snapshot(r).open_orders.push(order(0, OrderState::Unknown)),
            ("PositionsReconciled", "Unknown", "Recovering"),
        ),
        (
            "another strategy's order of unknown outcome",
            |r| snapshot(r).open_orders.push(order(1, OrderState::Unknown)),
            ("PositionsReconciled", "True", "InSync"),
        ),
        ("guarded", |_| {}, ("PositionsProtected", "True", "StopsPlaced")),
        (
            "no stop wanted",
            |r| snapshot(r).strategies[0].config.stop_loss = None,
            ("PositionsProtected", "True", "NothingToProtect"),
        ),
        ("watched", |_| {}, ("Supervised", "True", "Supervised")),
        ("no lease", |r| r.worker.block = Some(EntryBlock::LeaseLost), ("Supervised", "False", "LeaseLost")),
        (
            "crashed twice",
            |r| r.strategies[0].quarantined = Some("x".into()),
            ("Quarantined", "True", "SignalCrashed"),
        ),
    ];
    for (case, change, (type_, status, reason)) in of_strategy {
        let mut report = report();
        change(&mut report);
        let found = conditions(&status_of(&report, 0, None));
        assert_eq!(found.get(type_), Some(&expect(status, reason)), "{case}");
        assert!(!found.contains_key("Settled"), "{case}: only one that is being deleted settles");
    }
}

#[test]
fn what_is_held_without_its_stop_is_told_and_so_is_how_far_a_deletion_is() {
    let mut report = report();
    assert_eq!(
        conditions(&status_of(&report, 1, None))["PositionsProtected"],
        expect("False", "StopMissing")
    );
    for (settling, status) in
        [(Settling::UnderWay("two orders are open".into()), "False"), (Settling::Done(Vec::new()), "True")]
    {
        report.strategies[0].settling = settling;
        assert_eq!(conditions(&status_of(&report, 0, None))["Settled"].0, status);
    }
}

#[test]
fn who_guards_what_is_held_is_told() {
    let mut bare = report();
    snapshot(&mut bare).strategies[0].positions[0].unprotected_since =
        Some(tradewind_core::time::Timestamp(0));
    let mut at_worker = report();
    snapshot(&mut at_worker).strategies[0].config.protection = tradewind_core::config::Protection::AtWorker;
    for (report, status, reason) in [(bare, "False", "StopMissing"), (at_worker, "True", "GuardedByWorker")] {
        let found = conditions(&status_of(&report, 0, None));
        assert_eq!(found["PositionsProtected"], expect(status, reason));
    }
}

fn order(strategy: u128, state: OrderState) -> OrderView {
    let at = tradewind_core::time::Timestamp(0);
    OrderView {
        intent: Intent {
            id: IntentId(4),
            client_order_id: ClientOrderId::derive(Incarnation(1), uid(strategy), IntentId(4)),
            strategy: uid(strategy),
            symbol: "BTC-USD".parse().unwrap(),
            side: Side::Buy,
            kind: OrderKind::Market,
            quantity: Quantity(1),
            purpose: Purpose::Entry,
            reference_price: Price(1),
            decision_bar: at,
            decided_at: at,
            valid_until: at,
            epoch: Epoch(1),
        },
        state,
        attempt: Attempt(1),
        filled: Quantity(0),
        is_ending: false,
        signed_at: tradewind_core::time::Timestamp(0),
        not_found_from: None,
    }
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let mut report = report();
    let first = status_of(&report, 0, None);
    snapshot(&mut report).phase = Phase::Completed;
    report.worker.block = Some(EntryBlock::Blind);
    let mut seen = Seen::default();
    seen.observe(&report.snapshot, "btc-trend", None, clock(LATER));
    let second = strategy_status(&report, &report.strategies[0], &seen, Some(&first), clock(LATER));
    let time = |type_: &str| {
        let found = second.conditions.iter().find(|c| c.type_ == type_).unwrap();
        (found.reason.clone(), found.last_transition_time.0)
    };
    assert_eq!(
        time("DataFresh"),
        ("Completed".to_owned(), clock(MORNING)),
        "another reason, the same status"
    );
    assert_eq!(time("Supervised"), ("Blind".to_owned(), clock(LATER)));
}

#[test]
fn what_happens_is_told_by_the_clock_and_what_an_earlier_process_told_stands() {
    let mut report = report();
    let mut seen = Seen::default();
    seen.observe(&report.snapshot, "btc-trend", None, clock(MORNING));
    let told = |report: &Report, seen: &Seen, before: Option<&Status<StrategyTrading>>| {
        strategy_status(report, &report.strategies[0], seen, before, clock(LATER)).trading.unwrap()
    };
    let at = |trading: &StrategyTrading| trading.last_trade_time.as_ref().map(|time| time.0);
    assert_eq!(
        at(&told(&report, &seen, None)),
        Some(clock("2024-05-01T12:00:00Z")),
        "from the ledger: its own time"
    );

    snapshot(&mut report).recent_trades[0].trade_id = "t-3".into();
    let own = StrategyTotals { fills: 1, ..StrategyTotals::default() };
    snapshot(&mut report).totals.strategies.insert("btc-trend".into(), own);
    signal(&mut report);
    seen.observe(&report.snapshot, "btc-trend", None, clock(LATER));
    let traded = strategy_status(&report, &report.strategies[0], &seen, None, clock(LATER));
    assert_eq!(at(traded.trading.as_ref().unwrap()), Some(clock(LATER)));

    // The next process knows the trade from the ledger and no signal yet.
    snapshot(&mut report).totals.strategies.clear();
    snapshot(&mut report).last_signals.clear();
    let mut next = Seen::default();
    next.observe(&report.snapshot, "btc-trend", traded.trading.as_ref(), clock("2026-03-02T00:00:00Z"));
    let after = told(&report, &next, Some(&traded));
    assert_eq!(at(&after), Some(clock(LATER)));
    assert_eq!(after.signal.as_deref(), Some("BUY BTC-USD 71%"));
    assert_eq!(after.last_signal, traded.trading.unwrap().last_signal);
}

#[test]
fn what_is_held_without_equity_is_beyond_any_percentage() {
    let mut report = report();
    snapshot(&mut report).strategies[0].equity = Cash::parse("-3").unwrap();
    let trading = status_of(&report, 0, None).trading.unwrap();
    assert_eq!((trading.exposure.as_deref(), trading.equity.as_deref()), (Some(">100%"), Some("-3.00 USD")));
}
