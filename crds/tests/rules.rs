//! Each rule of the schemas: one accepted and two refused objects, in process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeSet;

use common::{ACCOUNT, HALT, POLICY, STRATEGY, patched};
use serde_json::{Value, json};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::manifest::definition;
use tradewind_crds::objects::Kind;
use tradewind_crds::risk_policy::RiskPolicy;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

/// One rule: the start of its message, and patches of the valid object.
struct Case {
    kind: &'static str,
    message: &'static str,
    accepted: Value,
    refused: [Value; 2],
    /// For rules on changes: patches of the object as it was.
    before: Value,
}

/// Messages of the rules the object breaks; with `before`, as a change of that object.
fn broken(kind: &str, object: Value, before: Option<Value>) -> Vec<String> {
    macro_rules! run {
        ($type:ty) => {{
            let object: $type = serde_json::from_value(object).unwrap();
            match before {
                Some(before) => object.validate_cel_update(&serde_json::from_value(before).unwrap()),
                None => object.validate_cel(),
            }
        }};
    }
    let result = match kind {
        STRATEGY => run!(TradingStrategy),
        ACCOUNT => run!(ExchangeAccount),
        POLICY => run!(RiskPolicy),
        _ => run!(TradingHalt),
    };
    result
        .err()
        .map(|errors| errors.as_slice().iter().map(|e| e.message.clone()).collect())
        .unwrap_or_default()
}

fn create(kind: &'static str, message: &'static str, accepted: Value, refused: [Value; 2]) -> Case {
    Case { kind, message, accepted, refused, before: Value::Null }
}

fn change(
    kind: &'static str,
    message: &'static str,
    before: Value,
    accepted: Value,
    refused: [Value; 2],
) -> Case {
    Case { kind, message, accepted, refused, before }
}

fn name(kind: &'static str, message: &'static str) -> Case {
    let named = |name: &str| json!({"metadata": {"name": name}});
    // 52 characters are the most.
    create(kind, message, named(&"a".repeat(52)), [named(&"a".repeat(53)), named("1btc")])
}

fn strategy_cases() -> Vec<Case> {
    let spec = |spec: Value| json!({"spec": spec});
    let ema = |fast: i32, slow: i32| {
        spec(json!({"signal": {"source": {"emaCross": {"fast": fast, "slow": slow}}}}))
    };
    let rsi = |oversold: f64, overbought: f64| {
        spec(json!({"signal": {"source": {"emaCross": null,
            "rsiReversion": {"period": 14, "oversold": oversold, "overbought": overbought}}}}))
    };
    let quantities = |symbols: &[&str]| {
        let list: Vec<Value> = symbols.iter().map(|s| json!({"symbol": s, "quantity": "0.1"})).collect();
        spec(json!({"sizing": {"fixedPercent": null, "fixedQuantity": {"quantities": list}}}))
    };
    let quantity = |text: &str| {
        spec(json!({"sizing": {"fixedPercent": null,
            "fixedQuantity": {"quantities": [{"symbol": "BTC-USD", "quantity": text}]}}}))
    };
    let capital = |amount: &str| spec(json!({"capital": {"amount": amount}}));
    let bar = |bar: &str| spec(json!({"decision": {"bar": bar}}));
    let live = |exits: Value| spec(json!({"mode": "Live", "exits": exits}));
    let account = |name: &str| spec(json!({"exchangeAccountRef": {"name": name}}));
    let mode = |mode: &str| spec(json!({"mode": mode}));
    vec![
        name(
            STRATEGY,
            "metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the strategy",
        ),
        create(STRATEGY, "fast must be less than slow", ema(10, 30), [ema(30, 30), ema(31, 30)]),
        create(STRATEGY, "oversold must be less", rsi(30.0, 70.0), [rsi(70.0, 70.0), rsi(70.5, 70.0)]),
        create(
            STRATEGY,
            "sizing.fixedQuantity must list",
            quantities(&["BTC-USD"]),
            [quantities(&["BTC-USD", "ETH-USD"]), quantities(&["ETH-USD"])],
        ),
        create(
            STRATEGY,
            "quantity must be greater",
            quantity("0.00000001"),
            [quantity("0"), quantity("0.000")],
        ),
        create(STRATEGY, "capital.amount must be greater", capital("0.01"), [capital("0"), capital("0.00")]),
        create(STRATEGY, "decision.bar must be from 1s to 24h", bar("24h"), [bar("25h"), bar("999ms")]),
        create(
            STRATEGY,
            "a strategy with mode Live must have a stop loss",
            live(json!({})),
            [live(Value::Null), live(json!({"stopLoss": null}))],
        ),
        change(STRATEGY, "mode is immutable", json!({}), mode("Paper"), [mode("Live"), live(json!({}))]),
        change(
            STRATEGY,
            "exchangeAccountRef is immutable",
            json!({}),
            account("paper"),
            [account("other"), account("paper2")],
        ),
    ]
}

fn account_cases() -> Vec<Case> {
    let paper = |paper: Value| json!({"spec": {"venue": {"paper": paper}}});
    let balances = |assets: &[&str]| {
        let list: Vec<Value> = assets.iter().map(|a| json!({"asset": a, "amount": "1"})).collect();
        paper(json!({"balances": list}))
    };
    let other = |asset: &str, price: &str| {
        paper(json!({"fees": {"paidIn": {"quote": null, "other": {"asset": asset, "price": price}}}}))
    };
    let latency = |text: &str| paper(json!({"latency": text}));
    let euro = paper(json!({"quoteCurrency": "EUR", "balances": [{"asset": "EUR", "amount": "1"}]}));
    let both = paper(json!({"quoteCurrency": "BTC", "balances": [{"asset": "BTC", "amount": "1"}]}));
    vec![
        name(
            ACCOUNT,
            "metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the account",
        ),
        create(
            ACCOUNT,
            "allowLive must be false on a paper venue",
            json!({}),
            [
                json!({"spec": {"allowLive": true}}),
                json!({"spec": {"allowLive": true, "venue": {"paper": {"latency": "0s"}}}}),
            ],
        ),
        create(
            ACCOUNT,
            "balances must hold the quote currency",
            balances(&["BTC", "USD"]),
            [balances(&["BTC"]), balances(&["EUR", "USDT"])],
        ),
        create(
            ACCOUNT,
            "fees.paidIn.other must not be the quote currency",
            other("BNB", "300"),
            [other("USD", "1"), other("USD", "300")],
        ),
        create(
            ACCOUNT,
            "price must be greater than zero",
            other("BNB", "0.1"),
            [other("BNB", "0"), other("BNB", "0.0")],
        ),
        create(ACCOUNT, "latency must be at most 1m", latency("1m"), [latency("61s"), latency("1h")]),
        change(ACCOUNT, "quoteCurrency is immutable", json!({}), balances(&["USD", "BTC"]), [euro, both]),
    ]
}

fn ledger_cases() -> Vec<Case> {
    let sqlite = |sqlite: Value| json!({"spec": {"ledger": {"sqlite": sqlite}}});
    let size = |size: &str| sqlite(json!({"size": size}));
    let class = |class: &str| sqlite(json!({"storageClassName": class}));
    vec![
        change(
            ACCOUNT,
            "ledger.sqlite.size must not shrink",
            json!({}),
            size("2Gi"),
            [size("512Mi"), size("1023Mi")],
        ),
        change(
            ACCOUNT,
            "ledger.sqlite.storageClassName is immutable",
            class("fast"),
            class("fast"),
            [class("slow"), sqlite(json!({"storageClassName": null}))],
        ),
    ]
}

fn policy_and_halt_cases() -> Vec<Case> {
    let strategy = |strategy: Value| json!({"spec": {"strategy": strategy}});
    let position = |position: f64, exposure: f64| {
        strategy(json!({"maxPositionPercent": position, "maxExposurePercent": exposure}))
    };
    let cooldown = |text: &str| strategy(json!({"cooldown": text}));
    let breaker = |name: &str, confirm: &str| {
        json!({"spec": {"breakers": [{"name": name, "scope": "Account", "action": "Liquidate",
            "trip": {"drawdown": {"percent": 10.0, "confirmFor": confirm}}}]}})
    };
    let halt_name = |length: usize| json!({"metadata": {"name": "a".repeat(length)}});
    vec![
        name(
            POLICY,
            "metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the policy",
        ),
        create(
            POLICY,
            "maxPositionPercent must not be above",
            position(80.0, 80.0),
            [position(80.5, 80.0), position(90.0, 5.0)],
        ),
        create(
            POLICY,
            "cooldown must be at most 720h",
            cooldown("720h"),
            [cooldown("721h"), cooldown("720h1ms")],
        ),
        create(
            POLICY,
            "confirmFor must be at most 24h",
            breaker("x", "24h"),
            [breaker("x", "25h"), breaker("x", "24h1s")],
        ),
        create(
            POLICY,
            "a breaker must not be named",
            breaker("latch", "1s"),
            [breaker("latched", "1s"), breaker("ledger-unknown", "1s")],
        ),
        create(HALT, "metadata.name must have at most 120", halt_name(120), [halt_name(121), halt_name(253)]),
        change(
            HALT,
            "the spec of a TradingHalt is immutable",
            json!({}),
            json!({"metadata": {"labels": {"a": "b"}}}),
            [json!({"spec": {"action": "StopEntries"}}), json!({"spec": {"reason": "other"}})],
        ),
    ]
}

fn cases() -> Vec<Case> {
    strategy_cases()
        .into_iter()
        .chain(account_cases())
        .chain(ledger_cases())
        .chain(policy_and_halt_cases())
        .collect()
}

#[test]
fn each_rule_accepts_one_object_and_refuses_two() {
    for case in cases() {
        let before = (!case.before.is_null()).then(|| patched(case.kind, &case.before));
        // A removed field is removed from the object as it was, too.
        let object = |patch: &Value| {
            let mut object = before.clone().unwrap_or_else(|| common::valid(case.kind));
            common::merge(&mut object, patch);
            object
        };
        let accepted = broken(case.kind, object(&case.accepted), before.clone());
        assert_eq!(accepted, Vec::<String>::new(), "{}", case.message);
        for refused in &case.refused {
            let messages = broken(case.kind, object(refused), before.clone());
            assert!(
                messages.iter().any(|m| m.starts_with(case.message)),
                "{}: {refused}: {messages:?}",
                case.message
            );
        }
    }
}

fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert(rule["message"].as_str().expect("each rule has a message").to_owned());
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| messages(value, found)),
        Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
        _ => {}
    }
}

#[test]
fn each_rule_of_the_definitions_is_tested_and_states_its_fix() {
    let mut found = BTreeSet::new();
    for kind in Kind::ALL {
        messages(&serde_json::to_value(definition(kind)).unwrap(), &mut found);
    }
    let cases = cases();
    for message in &found {
        assert!(message.contains("; "), "no fix in: {message}");
        assert!(cases.iter().any(|case| message.starts_with(case.message)), "no case for: {message}");
    }
    assert_eq!(found.len(), cases.len());
}
