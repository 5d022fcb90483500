#![allow(clippy::needless_pass_by_value, reason = "a json! literal is passed as it is written")]

use serde_json::{Value, json};

use super::*;

/// An account `paper` with policy `desk`, its strategies `a` (own policy `careful`) and `b`, an account `other` with `c`.
fn stores() -> Stores {
    let stores = Stores::new("system");
    for (name, policy) in [("paper", "desk"), ("other", "loose")] {
        put(&stores.accounts, account(name, policy, json!({})));
    }
    for (name, account, policy) in
        [("a", "paper", Some("careful")), ("b", "paper", None), ("c", "other", None)]
    {
        put(&stores.strategies, strategy(name, account, policy, json!({})));
    }
    stores
}

fn put<K: Resource>(cache: &Cache<K>, object: K) {
    cache.put(&Key::of(&object), Entry::Readable(Arc::new(object)));
}

fn metadata(namespace: &str, name: &str) -> Value {
    json!({"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 1})
}

fn account(name: &str, policy: &str, status: Value) -> ExchangeAccount {
    serde_json::from_value(json!({
        "metadata": metadata("desk", name),
        "spec": {
            "venue": {"paper": {"quoteCurrency": "USD", "balances": []}},
            "marketData": {"replay": {"dataSet": "x", "speed": {"max": {}}}},
            "riskPolicyRef": {"name": policy},
        },
        "status": status,
    }))
    .unwrap()
}

fn strategy(name: &str, account: &str, policy: Option<&str>, status: Value) -> TradingStrategy {
    let mut strategy: TradingStrategy = serde_json::from_value(json!({
        "metadata": metadata("desk", name),
        "spec": {
            "exchangeAccountRef": {"name": account},
            "capital": {"amount": "5000"},
            "instruments": [{"symbol": "BTC-USD"}],
            "decision": {"bar": "1h"},
            "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
            "sizing": {"fixedPercent": {"percent": 5}},
        },
        "status": status,
    }))
    .unwrap();
    strategy.spec.risk_policy_ref = policy.map(Into::into);
    strategy
}

fn policy(name: &str) -> RiskPolicy {
    serde_json::from_value(json!({"metadata": metadata("desk", name), "spec": {}})).unwrap()
}

fn halt(namespace: &str, target: Value) -> TradingHalt {
    serde_json::from_value(json!({
        "metadata": metadata(namespace, "h"),
        "spec": {"target": target, "reason": "a test"},
    }))
    .unwrap()
}

/// What a change concerns, as `Kind name`, sorted.
fn concerned<K: Concerns>(stores: &Stores, before: Option<&K>, now: Option<&K>) -> Vec<String> {
    let key = before.or(now).map(|object| Key::of(object)).unwrap();
    let change = Change { key: &key, before, now, broken: false };
    told(K::concerns(stores, &change))
}

fn told(ids: Vec<ObjectId>) -> Vec<String> {
    let mut all: Vec<String> = ids.iter().map(|id| format!("{} {}", id.kind, id.key.name)).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_new_strategy_concerns_itself_its_account_and_the_policies_it_is_bound_by() {
    let (stores, new) = (stores(), strategy("a", "paper", Some("careful"), json!({})));
    let expected = ["ExchangeAccount paper", "RiskPolicy careful", "RiskPolicy desk", "TradingStrategy a"];
    assert_eq!(concerned(&stores, None, Some(&new)), expected);
    assert_eq!(concerned(&stores, Some(&new), None), expected, "and so does one that is gone");
}

#[test]
fn figures_of_the_worker_concern_nobody() {
    let with = |equity: &str| strategy("a", "paper", None, json!({"trading": {"equity": equity}}));
    assert!(concerned(&stores(), Some(&with("1 USD")), Some(&with("2 USD"))).is_empty());
    let with = |equity: &str| account("paper", "desk", json!({"trading": {"equity": equity}}));
    assert!(concerned(&stores(), Some(&with("1 USD")), Some(&with("2 USD"))).is_empty());
}

#[test]
fn money_that_becomes_known_concerns_the_account_which_grants_it() {
    let with = |equity: &str| {
        let portfolio = json!({"currency": "USD", "equity": equity, "cash": equity, "peakEquity": equity,
            "realizedPnl": "0", "unrealizedPnl": "0"});
        account("paper", "desk", json!({"trading": {"equity": "1 USD", "portfolio": portfolio}}))
    };
    let unknown = account("paper", "desk", json!({"trading": {"equity": "1 USD"}}));
    assert_eq!(concerned(&stores(), Some(&unknown), Some(&with("5000"))), ["ExchangeAccount paper"]);
    assert!(concerned(&stores(), Some(&with("5000")), Some(&with("5001"))).is_empty());
}

#[test]
fn a_halt_that_is_acknowledged_concerns_that_halt() {
    let stores = stores();
    for (namespace, target) in
        [("desk", json!({"strategy": {"name": "a"}})), ("system", json!({"cluster": {}}))]
    {
        put(&stores.halts, halt(namespace, target));
    }
    let with = |halts: Value| {
        strategy("a", "paper", None, json!({"applied": {"generation": 1, "hash": "x", "halts": halts}}))
    };
    let ids = told(TradingStrategy::concerns(
        &stores,
        &Change {
            key: &Key::new("desk", "a"),
            before: Some(&with(json!([]))),
            now: Some(&with(json!(["0f5e7a3c-0000-4000-8000-000000000001"]))),
            broken: false,
        },
    ));
    assert!(ids.contains(&"TradingHalt h".to_owned()), "{ids:?}");
    assert!(ids.contains(&"TradingStrategy a".to_owned()), "{ids:?}");
    let other = strategy("b", "paper", None, json!({}));
    let ids = TradingStrategy::concerns(
        &stores,
        &Change { key: &Key::new("desk", "b"), before: None, now: Some(&other), broken: false },
    );
    let halts: Vec<&ObjectId> = ids.iter().filter(|id| id.kind == Kind::TradingHalt).collect();
    assert_eq!(halts.len(), 1, "the halt of strategy a is none of b's: {halts:?}");
    assert_eq!(halts[0].key.namespace, "system");
}

#[test]
fn a_grant_concerns_the_strategy_it_is_for_and_no_other() {
    let with = |grants: Value| account("paper", "desk", json!({"grants": grants}));
    let grant = json!([{"uid": "uid-b", "name": "b", "capital": "5000", "assets": ["BTC"]}]);
    assert_eq!(
        concerned(&stores(), Some(&with(json!([]))), Some(&with(grant))),
        ["ExchangeAccount paper", "TradingStrategy b"]
    );
}

#[test]
fn the_words_of_an_accounts_condition_concern_only_itself_and_its_verdict_all_its_strategies() {
    let with = |status: &str, message: &str| {
        let ready = json!({"type": "Ready", "status": status, "reason": "Running", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"});
        account("paper", "desk", json!({"conditions": [ready]}))
    };
    assert_eq!(
        concerned(&stores(), Some(&with("True", "1")), Some(&with("True", "2"))),
        ["ExchangeAccount paper"]
    );
    assert_eq!(
        concerned(&stores(), Some(&with("True", "1")), Some(&with("False", "1"))),
        ["ExchangeAccount paper", "TradingStrategy a", "TradingStrategy b"]
    );
}

#[test]
fn an_account_that_changes_its_policy_concerns_the_old_and_the_new() {
    let mut now = account("paper", "strict", json!({}));
    now.metadata.generation = Some(2);
    assert_eq!(
        concerned(&stores(), Some(&account("paper", "desk", json!({}))), Some(&now)),
        [
            "ExchangeAccount paper",
            "RiskPolicy desk",
            "RiskPolicy strict",
            "TradingStrategy a",
            "TradingStrategy b"
        ]
    );
}

#[test]
fn a_policy_concerns_who_names_it_and_the_strategies_of_accounts_that_do() {
    assert_eq!(
        concerned(&stores(), None, Some(&policy("desk"))),
        ["ExchangeAccount paper", "RiskPolicy desk", "TradingStrategy a", "TradingStrategy b"]
    );
    assert_eq!(
        concerned(&stores(), None, Some(&policy("careful"))),
        ["ExchangeAccount paper", "RiskPolicy careful", "TradingStrategy a"]
    );
}

#[test]
fn a_halt_concerns_whom_its_target_reaches() {
    let everything = [
        "ExchangeAccount other",
        "ExchangeAccount paper",
        "TradingHalt h",
        "TradingStrategy a",
        "TradingStrategy b",
        "TradingStrategy c",
    ];
    let cases: [(&str, Value, &[&str]); 7] = [
        (
            "desk",
            json!({"strategy": {"name": "a"}}),
            &[
                "ExchangeAccount paper",
                "RiskPolicy careful",
                "RiskPolicy desk",
                "TradingHalt h",
                "TradingStrategy a",
            ],
        ),
        (
            "desk",
            json!({"account": {"name": "paper"}}),
            &[
                "ExchangeAccount paper",
                "RiskPolicy desk",
                "TradingHalt h",
                "TradingStrategy a",
                "TradingStrategy b",
            ],
        ),
        (
            "desk",
            json!({"selector": {"matchLabels": {"x": "y"}}}),
            &["TradingHalt h", "TradingStrategy a", "TradingStrategy b", "TradingStrategy c"],
        ),
        ("desk", json!({"namespace": {}}), &everything),
        ("desk", json!({"cluster": {}}), &everything),
        ("system", json!({"cluster": {}}), &everything),
        ("elsewhere", json!({"cluster": {}}), &["TradingHalt h"]),
    ];
    for (namespace, target, expected) in cases {
        let halt = halt(namespace, target.clone());
        assert_eq!(concerned(&stores(), None, Some(&halt)), expected, "{target} made");
        assert_eq!(concerned(&stores(), Some(&halt), None), expected, "{target} deleted");
    }
}

#[test]
fn a_halt_that_cannot_be_read_concerns_its_namespace_and_in_the_operators_everything() {
    let concerns = |namespace: &str| {
        let key = Key::new(namespace, "h");
        told(TradingHalt::concerns(&stores(), &Change { key: &key, before: None, now: None, broken: true }))
    };
    assert_eq!(concerns("desk").len(), 6, "the halt, two accounts, three strategies");
    assert_eq!(concerns("system").len(), 6);
    assert_eq!(concerns("elsewhere"), ["TradingHalt h"]);
}

#[test]
fn the_status_of_a_halt_concerns_only_itself() {
    let before = halt("desk", json!({"namespace": {}}));
    let mut now = before.clone();
    now.status = Some(serde_json::from_value(json!({"affected": "1/2 strategies"})).unwrap());
    assert_eq!(concerned(&stores(), Some(&before), Some(&now)), ["TradingHalt h"]);
}
