//! Objects for the tests of plans: a valid one of each kind, as the API server would hand it out.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde_json::{Value, json};
use tradewind_crds::common::{Applied, UidText};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::grants::{self, Grants};
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::reasons::{Reason, condition};
use tradewind_crds::resolve;
use tradewind_crds::risk_policy::RiskPolicy;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

use super::conditions;

/// The namespace of the operator.
pub(crate) const OPERATOR: &str = "tradewind-system";

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn time(second: i64) -> Time {
    Time(at(second))
}

/// A uid of its own for each name.
pub(crate) fn uid(name: &str) -> String {
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

fn made<K: Resource>(mut object: K, name: &str) -> K {
    let meta = object.meta_mut();
    *meta = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("desk".to_owned()),
        uid: Some(uid(name)),
        generation: Some(1),
        creation_timestamp: Some(time(500)),
        ..ObjectMeta::default()
    };
    object
}

fn read<K: serde::de::DeserializeOwned>(kind: &str, spec: &Value) -> K {
    let object = json!({"apiVersion": "tradewind.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

/// A strategy on account `paper` that trades BTC-USD with 5000 of its money.
pub(crate) fn strategy(name: &str) -> TradingStrategy {
    let spec = json!({
        "exchangeAccountRef": {"name": "paper"},
        "capital": {"amount": "5000"},
        "instruments": [{"symbol": "BTC-USD"}],
        "decision": {"bar": "1h"},
        "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
        "sizing": {"fixedPercent": {"percent": 5.0}},
    });
    made(read("TradingStrategy", &spec), name)
}

/// The account `paper` with 10000 USD under policy `risk`; its worker is up.
pub(crate) fn account() -> ExchangeAccount {
    let spec = json!({
        "venue": {"paper": {"quoteCurrency": "USD", "balances": [{"asset": "USD", "amount": "10000"}]}},
        "marketData": {"replay": {"dataSet": "coinbase-1h"}},
        "riskPolicyRef": {"name": "risk"},
    });
    let mut account = made(read::<ExchangeAccount>("ExchangeAccount", &spec), "paper");
    ready(&mut account, true, Reason::Running, "");
    account
}

/// The account's condition Ready.
pub(crate) fn ready(account: &mut ExchangeAccount, ready: bool, reason: Reason, message: &str) {
    let status = account.status.get_or_insert_default();
    conditions::set(&mut status.conditions, condition::READY, ready, reason, message, 1, at(600));
}

/// A policy that lists one breaker, `daily`.
pub(crate) fn policy(name: &str) -> RiskPolicy {
    let spec = json!({"breakers": [{"name": "daily", "scope": "Strategy", "action": "CancelEntries",
        "trip": {"drawdown": {"percent": 7.5}}}]});
    made(read("RiskPolicy", &spec), name)
}

/// A halt with that target.
pub(crate) fn halt(name: &str, target: &Value) -> TradingHalt {
    let spec =
        json!({"target": target, "action": "CancelEntries", "reason": "incident", "requestedBy": "alice"});
    made(read("TradingHalt", &spec), name)
}

/// The latch of a strategy, made by a patch of `kubectl-patch`.
pub(crate) fn latch(strategy: &str) -> TradingHalt {
    let mut latch = halt(&format!("strategy.{strategy}.latched"), &json!({"strategy": {"name": strategy}}));
    latch.spec.requested_by = "kubectl-patch".to_owned();
    latch
}

/// Everything of namespace `desk`, the strategies granted oldest first.
pub(crate) fn objects(strategies: Vec<TradingStrategy>, halts: Vec<TradingHalt>) -> Objects {
    let mut objects = Objects {
        accounts: vec![account()],
        strategies,
        policies: vec![policy("risk")],
        halts,
        operator_namespace: Some(OPERATOR.to_owned()),
        ..Objects::default()
    };
    grant(&mut objects);
    objects
}

/// Records in the account's status what it grants.
pub(crate) fn grant(objects: &mut Objects) {
    let key = Key::new("desk", "paper");
    let account = resolve::resolve_account(objects, &key).unwrap();
    let claims = resolve::claims(objects, &key, None);
    let granted = grants::grant(&key, &Grants::default(), grants::whole(&account, None), &claims);
    objects.accounts[0].status.get_or_insert_default().grants = granted.to_status();
}

/// Has the worker say what it has in force.
pub(crate) fn applied(strategy: &mut TradingStrategy, hash: &str, halts: &[&str]) {
    let generation = strategy.metadata.generation.unwrap_or_default();
    let halts = halts.iter().map(|name| UidText(uid(name))).collect();
    let applied = Applied { generation, hash: hash.to_owned(), halts };
    strategy.status.get_or_insert_default().applied = Some(applied);
}
