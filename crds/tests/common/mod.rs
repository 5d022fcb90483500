//! Objects for the tests: a valid one of each kind, and JSON merge patches to make it something else.

#![allow(dead_code, unreachable_pub)]

pub mod cases;

use serde_json::{Value, json};

pub const STRATEGY: &str = "TradingStrategy";
pub const ACCOUNT: &str = "ExchangeAccount";
pub const POLICY: &str = "RiskPolicy";
pub const HALT: &str = "TradingHalt";

/// A valid object of a kind.
pub fn valid(kind: &str) -> Value {
    let spec = match kind {
        STRATEGY => json!({
            "desiredState": "Trading", "mode": "Paper", "deletionPolicy": "CancelEntries",
            "exchangeAccountRef": {"name": "paper"},
            "capital": {"amount": "5000"},
            "instruments": [{"symbol": "BTC-USD", "state": "Active"}],
            "decision": {"bar": "1h"},
            "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
            "sizing": {"fixedPercent": {"percent": 5.0}},
            "exits": {"stopLoss": {"fixedPercent": {"percent": 5.0}}},
        }),
        ACCOUNT => json!({
            "venue": {"paper": {
                "quoteCurrency": "USD",
                "balances": [{"asset": "USD", "amount": "10000"}],
                "fees": {"makerBps": 40.0, "takerBps": 60.0, "paidIn": {"quote": {}}},
                "slippageBps": 2.0, "latency": "150ms", "volumeSharePercent": 10.0,
            }},
            "marketData": {"replay": {"dataSet": "coinbase-1h", "speed": {"max": {}}}},
            "riskPolicyRef": {"name": "desk"},
            "allowLive": false,
            "ledger": {"sqlite": {"size": "1Gi"}},
        }),
        POLICY => json!({
            "strategy": {"minConfidencePercent": 65.0, "maxPositionPercent": 5.0, "maxExposurePercent": 80.0, "cooldown": "60m"},
            "breakers": [{"name": "drawdown", "scope": "Strategy", "action": "CancelEntries",
                "trip": {"drawdown": {"percent": 15.0, "confirmFor": "10s"}}}],
        }),
        HALT => {
            json!({"target": {"strategy": {"name": "btc"}}, "action": "CancelEntries", "reason": "incident"})
        }
        other => panic!("no kind {other}"),
    };
    json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "btc", "namespace": "default"}, "spec": spec,
    })
}

/// RFC 7396: fields of `patch` replace those of `target`, null removes.
pub fn merge(target: &mut Value, patch: &Value) {
    let (Some(fields), true) = (patch.as_object(), target.is_object()) else {
        *target = patch.clone();
        return;
    };
    let map = target.as_object_mut().unwrap();
    for (name, value) in fields {
        if value.is_null() {
            map.remove(name);
        } else {
            merge(map.entry(name.clone()).or_insert(json!({})), value);
        }
    }
}

/// The valid object of a kind, patched.
pub fn patched(kind: &str, patch: &Value) -> Value {
    let mut object = valid(kind);
    merge(&mut object, patch);
    object
}
