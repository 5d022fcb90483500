//! What kubectl says by itself: explain, wait, field selectors, and the name of a typo.

use tradewind_tests::cluster::Cluster;
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};

/// A field, and what people must find in its explanation: its unit, default, range, and what happens at the limit.
const EXPLAINED: &[(&str, &[&str])] = &[
    ("tradingstrategy", &["what to trade on which account", "without a restart"]),
    (
        "tradingstrategy.spec.capital",
        &["account's quote currency", "greater than zero", "is refused", "-required-"],
    ),
    ("tradingstrategy.spec.mode", &["Paper", "Live", "Immutable", "Default: Paper"]),
    ("tradingstrategy.spec.desiredState", &["ExitOnly", "Stopped", "Default: Trading"]),
    ("tradingstrategy.spec.deletionPolicy", &["Retain", "Liquidate", "Default: CancelEntries"]),
    ("tradingstrategy.spec.decision.bar", &["from 1s to 24h", "such as 1h"]),
    (
        "tradingstrategy.spec.sizing.fixedPercent.percent",
        &["own equity", "0.01 to 100", "denied, not shrunk"],
    ),
    (
        "tradingstrategy.spec.exits.stopLoss.fixedPercent.percent",
        &["Percent below", "0.01 to 99", "whatever halts hold"],
    ),
    ("tradingstrategy.spec.halted", &["True halts", "never in Git"]),
    ("tradingstrategy.spec.resume", &["one halt", "haltID"]),
    (
        "exchangeaccount.spec.venue.paper",
        &["0s to 1m", "Default: 150ms", "Default: 40 basis points", "waits for the next bar"],
    ),
    (
        "exchangeaccount.spec.venue.paper.fees.takerBps",
        &["Basis points of the notional", "0 to 1000", "Default: 60"],
    ),
    ("exchangeaccount.spec.ledger.sqlite.size", &["Default: 1Gi"]),
    ("exchangeaccount.spec.allowLive", &["Default: false"]),
    ("riskpolicy.spec.order.minNotional", &["quote currency", "is denied", "25"]),
    (
        "riskpolicy.spec.strategy.maxPositionPercent",
        &["percent of the strategy's equity", "0.01 to 100", "denied", "policy: 5"],
    ),
    ("riskpolicy.spec.strategy.cooldown", &["0s to 720h", "denied", "60m"]),
    ("riskpolicy.spec.breakers", &["at most 16", "15 percent", "10s"]),
    ("tradinghalt.spec.action", &["StopEntries", "Liquidate", "Default: CancelEntries"]),
    ("tradinghalt.spec.instruments", &["at most 64", "empty, which means all"]),
    ("tradingstrategy.status.trading.pnl24h", &["24 hours", "+1.8%"]),
];

#[tokio::test]
async fn explain_tells_unit_default_range_and_what_happens_at_the_limit() {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let mut faults = Vec::new();
    for (field, wanted) in EXPLAINED {
        let said = cluster.kubectl(&["explain", field, "--recursive=false"]).await.success();
        // It is wrapped for the terminal.
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let missing: Vec<_> = wanted.iter().filter(|words| !said.contains(**words)).collect();
        if !missing.is_empty() {
            faults.push(format!("{field} lacks {missing:?}: {said}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn wait_returns_when_it_trades_and_does_not_hang_on_a_halt() {
    let rig = Rig::start().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", 20), &strategy("trend", "paper", "AAA-USD")])).await;
    for (object, condition) in [
        ("exacct/paper", "--for=condition=Ready"),
        ("strat/trend", "--for=condition=Ready"),
        ("strat/trend", "--for=jsonpath={.status.phase}=Running"),
        ("riskpol/open", "--for=condition=Accepted"),
    ] {
        rig.kubectl(&["wait", object, condition, "--timeout=120s"]).await.success();
    }
    rig.patch("trend", r#"{"halted":true}"#).await.success();
    rig.kubectl(&["wait", "strat/trend", "--for=jsonpath={.status.phase}=Halted", "--timeout=60s"])
        .await
        .success();
    rig.kubectl(&["wait", "strat/trend", "--for=condition=Ready", "--timeout=60s"]).await.success();
    rig.kubectl(&["wait", "thalt/strategy.trend.latched", "--for=condition=Effective", "--timeout=60s"])
        .await
        .success();
}

#[tokio::test]
async fn strategies_and_halts_are_found_by_their_fields() {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let namespace = cluster.namespace().await;
    let halt = tradewind_tests::rig::objects::halt("incident", "namespace: {}");
    let stopped = strategy("stopped", "other", "BBB-USD")
        + "  desiredState: Stopped\n  riskPolicyRef: {name: careful}\n";
    cluster.apply(namespace.name(), &all(&[&strategy("trend", "paper", "AAA-USD"), &stopped, &halt])).await;
    for (kind, selector, wanted) in [
        ("strat", "spec.mode=Paper", "stopped trend"),
        ("strat", "spec.mode=Live", ""),
        ("strat", "spec.mode!=Live,spec.desiredState=Trading", "trend"),
        ("strat", "spec.exchangeAccountRef.name=other", "stopped"),
        ("strat", "spec.riskPolicyRef.name=careful", "stopped"),
        ("thalt", "spec.action=CancelEntries", "incident"),
        ("thalt", "spec.action=Liquidate", ""),
    ] {
        let names = "jsonpath={.items[*].metadata.name}";
        let arguments = ["-n", namespace.name(), "get", kind, "--field-selector", selector, "-o", names];
        assert_eq!(cluster.kubectl(&arguments).await.success(), wanted, "{kind} {selector}");
    }
}
