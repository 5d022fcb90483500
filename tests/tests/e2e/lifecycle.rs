//! From apply to fills, halt, resume and edits; and the life of the chart around it.

use tradewind_tests::binary::root;
use tradewind_tests::cluster::{Cluster, patience, wait_for};

use crate::desk::Desk;
use crate::release::Release;
use crate::{images, one_of_each};

/// The block of shell in a page of the documentation whose text contains that.
fn documented(page: &str, contains: &str) -> String {
    let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
    let mut blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .find(|block| block.contains(contains))
        .unwrap_or_else(|| panic!("no block in {page} has {contains}"))
        .to_owned()
}

/// A row of a table that kubectl printed, by its columns.
fn column<'t>(table: &'t str, name: &str) -> &'t str {
    let (head, row) = table.split_once('\n').unwrap();
    // Columns are at least three spaces apart, and begin under their names.
    let start = head.find(name).unwrap_or_else(|| panic!("no column {name} in {head}"));
    row.get(start..).unwrap().split("   ").next().unwrap().trim()
}

#[tokio::test]
async fn an_applied_strategy_trades_halts_resumes_and_changes_without_a_restart() {
    let (desk, _release) = Desk::with_operator().await;
    desk.apply(&one_of_each()).await;
    desk.kubectl(&["wait", "exacct/paper", "strat/trend", "--for=condition=Ready", "--timeout=120s"])
        .await
        .success();
    desk.wait("strat/trend", ".status.trading.lastTradeTime", 60, |time| !time.is_empty()).await;
    let table = desk.kubectl(&["get", "strat", "trend", "-o", "wide"]).await.success();
    assert_eq!(column(&table, "PHASE"), "Running", "{table}");
    assert!(column(&table, "EQUITY").ends_with(" USD"), "{table}");
    assert!(!column(&table, "LAST-TRADE").is_empty(), "{table}");
    assert_eq!((column(&table, "HALTED-BY"), column(&table, "FRESH")), ("", "True"), "{table}");
    // Each fill is told at its own price.
    wait_for("an event for each of two fills", patience(30), async || {
        let events = desk.kubectl(&["events", "--for", "strat/trend"]).await.success();
        let buys = events.lines().filter(|line| line.contains("OrderFilled") && line.contains("BUY "));
        if buys.count() > 1 { Ok(()) } else { Err(events) }
    })
    .await;
    let before = desk.worker("paper").await.unwrap();

    desk.patch("strat/trend", r#"{"halted":true}"#).await;
    desk.kubectl(&["wait", "strat/trend", "--for=condition=Halted", "--timeout=60s"]).await.success();
    let uid = desk.wait("thalt/strategy.trend.latched", ".metadata.uid", 20, |uid| !uid.is_empty()).await;
    desk.wait("strat/trend", ".status.applied.halts", 20, |halts| halts.contains(&uid)).await;
    desk.wait(
        "thalt/strategy.trend.latched",
        ".status.conditions[?(@.type==\"Effective\")].status",
        20,
        |s| s == "True",
    )
    .await;
    let table = desk.kubectl(&["get", "strat", "trend", "-o", "wide"]).await.success();
    assert_eq!(column(&table, "PHASE"), "Halted", "{table}");
    assert!(column(&table, "HALTED-BY").contains("kubectl-patch"), "{table}");
    desk.denied("paper", "BTC-USD", "Halted", 20).await;

    let command = desk
        .wait("strat/trend", ".status.halt.sources[0].resumeCommand", 20, |text| text.contains(&uid))
        .await;
    desk.shell(&command).await;
    desk.phase("strat/trend", "Running").await;
    desk.trades_on("paper", "BTC-USD", 5).await;

    desk.patch("strat/trend", r#"{"sizing":{"fixedPercent":{"percent":2}}}"#).await;
    let generation = desk.json("strat/trend", ".metadata.generation").await.unwrap();
    desk.wait("strat/trend", ".status.applied.generation", 20, |applied| applied == generation).await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(desk.worker("paper").await.unwrap(), before, "nothing of this needs a restart");
    desk.close().await;
}

#[tokio::test]
async fn the_chart_is_upgraded_and_uninstalled_while_workers_trade_on() {
    let cluster = Cluster::own_with_node().await;
    images::load(&cluster).await;
    let operators = Desk::empty(&cluster).await;
    let release = Release::install(&cluster, operators.name(), &[]).await;
    let desk = Desk::empty(&cluster).await;
    desk.apply(&one_of_each()).await;
    desk.phase("strat/trend", "Running").await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    let before = desk.worker("paper").await.unwrap();
    let replica = async || operators.kubectl(&["get", "pods", "-o", "name"]).await.success();
    let replicas = replica().await;

    release.upgrade(&["operator.log=debug", "worker.log=debug"]).await;
    assert_ne!(replica().await, replicas, "the upgrade has made new operators");
    // The new operator leads: it publishes an edit.
    desk.patch("strat/trend", r#"{"sizing":{"fixedPercent":{"percent":2}}}"#).await;
    desk.wait("strat/trend", ".status.applied.generation", 60, |applied| applied == "2").await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(desk.worker("paper").await.unwrap(), before, "an upgrade interrupts no worker");

    release.uninstall().await;
    operators.gone("pods", 60).await;
    assert_eq!(
        desk.kubectl(&["get", "strat,exacct,riskpol", "-o", "name"]).await.success().lines().count(),
        3
    );
    desk.trades_on("paper", "BTC-USD", 5).await;
    desk.patch("strat/trend", r#"{"halted":true}"#).await;
    let uid = desk.wait("thalt/strategy.trend.latched", ".metadata.uid", 20, |uid| !uid.is_empty()).await;
    desk.wait("strat/trend", ".status.applied.halts", 20, |halts| halts.contains(&uid)).await;
    desk.denied("paper", "BTC-USD", "Halted", 20).await;
    assert_eq!(desk.worker("paper").await.unwrap(), before, "uninstalling interrupts no worker");

    // Without an operator a deletion waits, until the documented command releases it.
    desk.kubectl(&["delete", "strat,exacct,riskpol", "--all", "--wait=false"]).await.success();
    assert_eq!(
        desk.kubectl(&["get", "strat,exacct,riskpol", "-o", "name"]).await.success().lines().count(),
        3
    );
    desk.shell(&documented("uninstall.md", "\"finalizers\":null")).await;
    desk.gone("tradingstrategies,exchangeaccounts,riskpolicies", 10).await;
    desk.shell(&documented("uninstall.md", "kubectl delete statefulset")).await;
    desk.gone("pods,statefulsets,services,networkpolicies,roles,rolebindings,leases", 60).await;
    desk.shell(&documented("uninstall.md", "kubectl delete pvc")).await;
    desk.gone("persistentvolumeclaims", 30).await;
    let left = desk.kubectl(&["get", "configmaps,serviceaccounts", "-o", "name"]).await.success();
    assert_eq!(left, "configmap/kube-root-ca.crt\nserviceaccount/default\n", "nothing of ours is left");
}
