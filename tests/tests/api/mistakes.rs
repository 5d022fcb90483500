//! What kubectl takes and only the operator can judge, or the cluster refuses: it is told in a condition, in words that
//! name the thing, and nobody else is touched.

use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};

use crate::{not_ready, ready};

const PACE: u32 = 20;

/// A strategy with another capital than 5000.
fn with_capital(name: &str, symbol: &str, amount: &str) -> String {
    strategy(name, "paper", symbol).replace("\"5000\"", &format!("\"{amount}\""))
}

#[tokio::test]
async fn references_to_nothing_are_named_and_heal_when_it_comes() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    rig.start_operator().await;
    rig.apply(&strategy("trend", "papr", "AAA-USD")).await;
    let said = not_ready(&rig, "strat/trend", "AccountNotFound").await;
    assert!(said.contains("papr") && said.contains("no entries"), "{said}");
    rig.apply(&all(&[&account("paper", PACE), &account("papr", PACE)])).await;
    let said = not_ready(&rig, "exacct/paper", "PolicyNotFound").await;
    assert!(said.contains("open"), "{said}");
    let said = not_ready(&rig, "strat/trend", "PolicyNotFound").await;
    assert!(said.contains("no RiskPolicy open"), "{said}");
    rig.apply(OPEN_POLICY).await;
    // All that is wanted now is a node to run on.
    not_ready(&rig, "exacct/paper", "WorkerPending").await;
    not_ready(&rig, "exacct/papr", "WorkerPending").await;
    let said = not_ready(&rig, "strat/trend", "AccountNotReady").await;
    assert!(said.contains("claim papr-ledger is Pending"), "{said}");
    rig.kubectl(&[
        "patch",
        "strat",
        "trend",
        "--type=merge",
        "-p",
        r#"{"spec":{"riskPolicyRef":{"name":"carefull"}}}"#,
    ])
    .await
    .success();
    let said = not_ready(&rig, "strat/trend", "PolicyNotFound").await;
    assert!(said.contains("carefull"), "{said}");
}

#[tokio::test]
async fn an_edit_that_makes_no_sense_leaves_what_was_valid_in_force() {
    let rig = Rig::start().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.assert_trading("paper", "trend").await;
    let hash = rig.wait_json("strat/trend", ".status.applied.hash", 20, |hash| !hash.is_empty()).await;
    // The quote asset is not the account's: no schema can know.
    let wrong = r#"{"instruments":[{"symbol":"AAA-EUR"},{"symbol":"BBB-EUR"}]}"#;
    rig.patch("trend", wrong).await.success();
    let said = not_ready(&rig, "strat/trend", "InvalidSpec").await;
    for words in ["spec.instruments[0].symbol", "AAA-EUR", "spec.instruments[1].symbol", "stays in force"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(rig.wait_json("strat/trend", ".status.applied.hash", 5, |hash| !hash.is_empty()).await, hash);
    rig.assert_trading("paper", "trend").await;
    rig.patch("trend", r#"{"instruments":[{"symbol":"AAA-USD"}]}"#).await.success();
    ready(&rig, "strat/trend").await;
}

#[tokio::test]
async fn claims_above_the_account_wait_for_those_before_them_and_an_asset_belongs_to_one() {
    let rig = Rig::start().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &with_capital("first", "AAA-USD", "60000")]))
        .await;
    rig.assert_trading("paper", "first").await;
    rig.apply(&all(&[&with_capital("greedy", "BBB-USD", "40001"), &with_capital("same", "AAA-USD", "1000")]))
        .await;
    let said = not_ready(&rig, "strat/greedy", "NotGranted").await;
    for words in ["spec.capital.amount (40001)", "exceeds the", "free on account paper"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let said = not_ready(&rig, "strat/same", "NotGranted").await;
    assert!(said.contains("base asset AAA is already granted to strategy first"), "{said}");
    rig.assert_trading("paper", "first").await;
    ready(&rig, "strat/first").await;
    // Less is granted at once; what the first leaves is granted to who waited.
    rig.patch("greedy", r#"{"capital":{"amount":"40000"}}"#).await.success();
    rig.assert_trading("paper", "greedy").await;
    rig.kubectl(&["delete", "strat", "first", "--timeout=120s"]).await.success();
    rig.assert_trading("paper", "same").await;
}

#[tokio::test]
async fn a_symbol_or_a_bar_the_data_lacks_stops_its_strategy_and_no_other() {
    let rig = Rig::start().await;
    let (good, bad) = (strategy("trend", "paper", "AAA-USD"), strategy("doge", "paper", "DOGE-USD"));
    let odd = strategy("odd", "paper", "CCC-USD").replace("bar: 1m", "bar: 90s");
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &good, &bad, &odd])).await;
    let said = not_ready(&rig, "strat/doge", "InstrumentUnavailable").await;
    assert!(said.contains("DOGE-USD"), "{said}");
    let said = not_ready(&rig, "strat/odd", "InstrumentUnavailable").await;
    assert!(said.contains("bars of 1 min") && said.contains("no whole multiple"), "{said}");
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn a_storage_class_that_does_not_exist_is_named() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    rig.start_operator().await;
    let account = account("paper", 1) + "  ledger: {sqlite: {size: 1Gi, storageClassName: no-such-class}}\n";
    rig.apply(&all(&[OPEN_POLICY, &account])).await;
    let said = not_ready(&rig, "exacct/paper", "WorkerPending").await;
    assert!(said.contains("claim paper-ledger is Pending (storage class no-such-class)"), "{said}");
}

fn quota(what: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: tight}}\nspec: {{hard: {{{what}: \"1\"}}}}\n"
    )
}

/// Waits until the quota counts: before that it refuses everything.
async fn counted(rig: &Rig, what: &str) {
    rig.wait_json("resourcequota/tight", ".status.used", 30, |used| used.contains(what)).await;
}

#[tokio::test]
async fn a_quota_is_told_in_the_api_servers_words_and_stops_only_whom_it_hits() {
    for (what, child) in
        [("pods", "the worker's pod was refused"), ("persistentvolumeclaims", "PersistentVolumeClaim")]
    {
        let rig = Rig::start().await;
        rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD")]))
            .await;
        rig.assert_trading("paper", "trend").await;
        rig.apply(&quota(what)).await;
        counted(&rig, what).await;
        rig.apply(&all(&[&account("second", PACE), &strategy("other", "second", "BBB-USD")])).await;
        let said = not_ready(&rig, "exacct/second", "ChildRefused").await;
        for words in [child, "exceeded quota: tight", &format!("requested: {what}=1")] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let said = not_ready(&rig, "strat/other", "AccountNotReady").await;
        assert!(said.contains("exceeded quota"), "{said}");
        ready(&rig, "exacct/paper").await;
        rig.assert_trading("paper", "trend").await;
        rig.kubectl(&["delete", "resourcequota", "tight"]).await.success();
        rig.assert_trading("second", "other").await;
        ready(&rig, "exacct/second").await;
    }
}

#[tokio::test]
async fn a_halt_that_reaches_nobody_says_so() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    rig.start_operator().await;
    rig.apply(&tradewind_tests::rig::objects::halt("typo", "strategy: {name: trand}")).await;
    let path = ".status.conditions[?(@.type==\"Effective\")].message";
    let said = rig.wait_json("thalt/typo", path, 20, |said| !said.is_empty()).await;
    assert!(said.contains("no TradingStrategy") && said.contains("trand"), "{said}");
    let events = wait_for("an event about it", patience(20), async || {
        let told =
            rig.kubectl(&["events", "--for=tradinghalt/typo", "-o", "jsonpath={.items[*].reason}"]).await;
        if told.out.contains("NoTarget") { Ok(told.out) } else { Err(format!("{}{}", told.out, told.err)) }
    });
    events.await;
}
