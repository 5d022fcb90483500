//! What is served for Prometheus, against its documentation and its own checker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../../worker/tests/http/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Parser;
use kube::Client;
use serde_json::{Value, json};
use table::{complaints, documented, served};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::objects::{Key, Kind};
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;
use tradewind_operator::context::Context;
use tradewind_operator::leader::Claim;
use tradewind_operator::metrics::Metrics;
use tradewind_operator::settings::{Args, Settings};
use tradewind_operator::stores::cache::{Cache, Entry};

fn leading() -> Arc<Context> {
    let args = ["op", "--namespace=system", "--worker-image=w", "--pod-name=op-0"];
    let settings = Settings::of(Args::try_parse_from(args).unwrap()).unwrap();
    Context::new(Client::new(Router::new(), "default"), settings, Claim::always())
}

fn put<K: kube::Resource>(cache: &Cache<K>, object: K) {
    cache.put(&Key::of(&object), Entry::Readable(Arc::new(object)));
}

/// A strategy whose worker acknowledges halts of those uids, and what its status lists.
fn strategy(in_force: &[&str], listed: &[&str]) -> TradingStrategy {
    let source = |uid: &&str| json!({"name": "drill", "uid": uid, "action": "StopEntries"});
    let sources: Vec<_> = listed.iter().map(source).collect();
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
        "metadata": {"namespace": "desk", "name": "trend", "uid": "00000000-0000-0000-0000-000000000001"},
        "spec": {
            "exchangeAccountRef": {"name": "paper"}, "capital": {"amount": "5000"},
            "instruments": [{"symbol": "BTC-USD"}], "decision": {"bar": "1h"},
            "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
            "sizing": {"fixedPercent": {"percent": 5}},
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "reason": "Running", "message": "runs",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "halt": {"active": !listed.is_empty(), "sources": sources},
            "applied": {"generation": 1, "hash": "a", "halts": in_force},
        },
    }))
    .unwrap()
}

/// A halt of that name in the strategy's namespace.
fn halt(name: &str, target: &Value, instruments: &[&str]) -> TradingHalt {
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingHalt",
        "metadata": {"namespace": "desk", "name": name, "uid": name},
        "spec": {"target": target, "instruments": instruments, "action": "StopEntries", "reason": "a test",
            "requestedBy": ""},
    }))
    .unwrap()
}

fn account() -> ExchangeAccount {
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "ExchangeAccount",
        "metadata": {"namespace": "desk", "name": "paper"},
        "spec": {
            "venue": {"paper": {"quoteCurrency": "USD", "balances": [{"asset": "USD", "amount": "10000"}]}},
            "marketData": {"replay": {"dataSet": "coinbase-1h"}}, "riskPolicyRef": {"name": "desk"},
        },
    }))
    .unwrap()
}

/// As the text format writes it: there the names of counters end in `_total` from the start.
fn as_text(openmetrics: &str) -> String {
    let counters: BTreeSet<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let lines = openmetrics.lines().filter(|line| *line != "# EOF").map(|line| {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", word, name, rest] if counters.contains(name) => format!("# {word} {name}_total {rest}\n"),
            _ => format!("{line}\n"),
        }
    });
    lines.collect()
}

#[tokio::test]
async fn names_types_and_labels_are_those_of_the_documentation_and_promtool_has_nothing_to_say() {
    let ctx = leading();
    put(&ctx.stores.strategies, strategy(&[], &[]));
    put(&ctx.stores.accounts, account());
    ctx.metrics.passed(Kind::TradingHalt, Duration::from_millis(3), Some("Conflict"));
    ctx.metrics.watch_failed("Pod");
    let text = as_text(&Metrics::render(&ctx).unwrap());
    assert_eq!(complaints(&text), "");
    let (served, documented) = (served(&text), documented("## Operator"));
    let gone: Vec<_> = documented.difference(&served).collect();
    let new: Vec<_> = served.difference(&documented).collect();
    assert!(gone.is_empty() && new.is_empty(), "only documented: {gone:#?}\nonly served: {new:#?}");
}

#[tokio::test]
async fn a_halt_is_requested_by_whoever_reaches_the_strategy_and_in_force_when_its_worker_says_so() {
    let ctx = leading();
    let of = |name: &str| json!({"strategy": {"name": name}});
    put(&ctx.stores.halts, halt("strategy.trend.drawdown", &of("trend"), &[]));
    put(&ctx.stores.halts, halt("drill", &json!({"namespace": {}}), &[]));
    put(&ctx.stores.halts, halt("another", &json!({"namespace": {}}), &[]));
    put(&ctx.stores.halts, halt("strategy.swing.latched", &of("swing"), &[]));
    put(&ctx.stores.halts, halt("strategy.trend.ledger-unknown", &of("trend"), &["ETH-USD"]));
    let told = |strategy| {
        put(&ctx.stores.strategies, strategy);
        let text = Metrics::render(&ctx).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("tradewind_strategy_halt"));
        lines.map(|line| line.replace(r#"namespace="desk",strategy="trend""#, "")).collect::<Vec<_>>()
    };
    let requested = [
        r#"_requested{,source="Spec"} 0"#,
        r#"_requested{,source="Breaker"} 1"#,
        r#"_requested{,source="Manual"} 1"#,
    ];
    let with = |halted| [&[halted], requested.as_slice()].concat();
    assert_eq!(told(strategy(&[], &["drill"])), with("ed{} 0"), "asked for, and not acknowledged");
    assert_eq!(told(strategy(&["gone"], &["drill"])), with("ed{} 0"), "another one");
    assert_eq!(told(strategy(&["gone", "drill"], &["drill"])), with("ed{} 1"));
}
