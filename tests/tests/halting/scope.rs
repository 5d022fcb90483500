//! Whom a halt reaches, and what it does to what is open.

use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::objects::{halt, strategy};

use super::{BARS, shown, trading};

#[tokio::test]
async fn each_target_reaches_its_strategies_and_no_others() {
    let rig = trading().await;
    rig.apply(&strategy("other", "paper", "BBB-USD")).await;
    rig.assert_trading("paper", "other").await;
    let targets = [
        ("strategy: {name: trend}", false),
        ("selector: {matchLabels: {desk: paper}}", true),
        ("account: {name: paper}", true),
        ("namespace: {}", true),
        // The operator's own namespace, so that it reaches everything the operator looks after.
        ("cluster: {}", true),
    ];
    for (target, reaches_other) in targets {
        let (mark, other) = (rig.mark("paper", "trend").await, rig.mark("paper", "other").await);
        rig.apply(&halt("incident", target)).await;
        rig.assert_stays_halted("paper", "trend", mark, BARS).await;
        if reaches_other {
            rig.assert_stays_halted("paper", "other", other, BARS).await;
        } else {
            rig.assert_trading("paper", "other").await;
        }
        let effective = ".status.conditions[?(@.type==\"Effective\")].status";
        rig.wait_json("thalt/incident", effective, 20, |status| status == "True").await;
        rig.kubectl(&["delete", "thalt", "incident"]).await.success();
        rig.assert_trading("paper", "trend").await;
        rig.assert_trading("paper", "other").await;
    }
}

#[tokio::test]
async fn a_halt_of_other_instruments_lets_this_one_trade() {
    let rig = trading().await;
    let yaml = halt("incident", "strategy: {name: trend}");
    rig.apply(&yaml.replace("reason:", "instruments: [BBB-USD], reason:")).await;
    rig.wait_json("strat/trend", ".status.applied.halts[0]", 20, |uid| !uid.is_empty()).await;
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn a_strategy_that_loses_the_label_a_halt_chose_it_by_stays_halted() {
    let rig = trading().await;
    let mark = rig.mark("paper", "trend").await;
    rig.apply(&halt("incident", "selector: {matchLabels: {desk: paper}}")).await;
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    let mark = rig.mark("paper", "trend").await;
    rig.kubectl(&["label", "strat", "trend", "desk-"]).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    shown(&rig, true).await;
    rig.kubectl(&["delete", "thalt", "incident"]).await.success();
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn liquidate_sells_what_is_held() {
    let rig = trading().await;
    let yaml = halt("incident", "strategy: {name: trend}");
    rig.apply(&yaml.replace("reason:", "action: Liquidate, reason:")).await;
    shown(&rig, true).await;
    wait_for("nothing to be held", patience(30), async || {
        let rows = rig.decisions("paper", "trend").await;
        let last = rows.last().map(|row| row.position.to_string()).unwrap_or_default();
        let flat = last.chars().all(|c| c == '0' || c == '.');
        if flat && rows.iter().rev().take(4).all(|row| row.outcome != "Enter") { Ok(()) } else { Err(last) }
    })
    .await;
}

#[tokio::test]
async fn a_tripped_breaker_is_a_halt_of_its_own_and_its_deletion_resumes() {
    let rig = trading().await;
    rig.apply(
        r"
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: tight}
spec: {breakers: [{name: first-loss, scope: Strategy, trip: {drawdown: {percent: 0.01, confirmFor: 0s}}, action: CancelEntries}]}
",
    )
    .await;
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", r#"{"riskPolicyRef":{"name":"tight"}}"#).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    let name = "tradinghalt/strategy.trend.first-loss";
    let reason = rig.wait_json(name, ".spec.reason", 20, |reason| !reason.is_empty()).await;
    assert!(reason.contains("drawdown"), "{reason}");
    let breached = ".status.conditions[?(@.type==\"Breached\")].status";
    rig.wait_json("riskpolicy/tight", breached, 20, |status| status == "True").await;
    // Resumed, it is measured from the equity of now: it trades until it has lost as much again.
    rig.patch("trend", r#"{"riskPolicyRef":null}"#).await.success();
    rig.kubectl(&["delete", "thalt", "strategy.trend.first-loss"]).await.success();
    rig.assert_trading("paper", "trend").await;
    shown(&rig, false).await;
}
