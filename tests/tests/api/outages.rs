//! When the cluster itself is not as it should be: no definitions, no API server, a token that does not count.

use std::time::Duration;

use serde_json::Value;
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::http;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};
use tradewind_tests::rig::{Operator, Rig};

use crate::ready;

const PACE: u32 = 20;

fn everything() -> String {
    let slow = strategy("slow", "paper", "BBB-USD").replace("bar: 1m", "bar: 61m");
    all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD"), &slow])
}

/// Waits until the operator has said all of that.
async fn says(operator: &mut Operator, words: &[&str]) {
    wait_for(&format!("the operator to say {words:?}"), patience(20), async || {
        let said = operator.said();
        if words.iter().all(|words| said.contains(words)) { Ok(()) } else { Err(said) }
    })
    .await;
}

/// Asserts that it does not call itself ready.
async fn is_not_ready(operator: &Operator) {
    let ready = tokio::time::timeout(Duration::from_millis(500), operator.ready()).await;
    assert!(ready.is_err(), "it says that it is ready");
}

#[tokio::test]
async fn without_its_kinds_the_operator_says_so_and_goes_on_when_they_come() {
    let cluster = Cluster::own().await;
    let mut rig = Rig::bare(cluster.clone()).await;
    rig.start_operator().await;
    rig.kill_operator();
    let kinds = ["tradingstrategies", "exchangeaccounts", "riskpolicies", "tradinghalts"]
        .map(|kind| format!("{kind}.tradewind.dev"));
    let mut delete = vec!["delete", "crd"];
    delete.extend(kinds.iter().map(String::as_str));
    cluster.kubectl(&delete).await.success();

    let mut operator = Operator::spawn(rig.name(), &rig.dir().join("operator.kubeconfig"));
    says(
        &mut operator,
        &["does not serve", "tradingstrategies", "tradinghalts", "install the CustomResourceDefinitions"],
    )
    .await;
    is_not_ready(&operator).await;
    cluster.apply_crds().await;
    operator.ready().await;
    assert!(operator.said().matches("does not serve").count() <= 4, "it says the same again and again");
    rig.operator = Some(operator);
    rig.start_kubelet().await;
    rig.apply(&everything()).await;
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn a_token_that_does_not_count_is_said_and_the_operator_is_not_ready() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    rig.start_operator().await;
    rig.kill_operator();
    let text = std::fs::read_to_string(rig.dir().join("operator.kubeconfig")).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    file["users"][0]["user"]["token"] = "expired".into();
    let path = rig.dir().join("expired.kubeconfig");
    std::fs::write(&path, file.to_string()).unwrap();
    let mut operator = Operator::spawn(rig.name(), &path);
    says(&mut operator, &["Unauthorized"]).await;
    is_not_ready(&operator).await;
}

#[tokio::test]
async fn a_minute_without_an_api_server_ends_entries_not_exits_and_all_converges_after_it() {
    let rig = Rig::on(Cluster::own().await).await;
    rig.apply(&everything()).await;
    rig.assert_trading("paper", "trend").await;
    ready(&rig, "strat/slow").await;
    let address = rig.kubelet().pods()["paper-0"].portfolio;
    let uid = rig.kubelet().pods()["paper-0"].uid.clone();
    rig.cluster().stop_api_server().await;
    let mark = rig.mark("paper", "trend").await;
    // A minute at this pace.
    let wanted = mark.decisions() + 60 * usize::try_from(PACE).unwrap();
    let rows = wait_for("a minute of decisions", patience(90), async || {
        let rows = rig.decisions("paper", "trend").await;
        if rows.len() >= wanted { Ok(rows) } else { Err(format!("{} of {wanted} decisions", rows.len())) }
    })
    .await;
    let since = &rows[mark.decisions()..];
    let blind = since
        .iter()
        .position(|row| row.outcome == "Blind" || row.outcome == "LeaseLost")
        .expect("it noticed");
    assert!(since[..blind].iter().any(|row| row.outcome == "Exit"), "no exit while the API server was away");
    assert!(since[blind..].iter().all(|row| row.outcome != "Enter"), "it entered unseeing");
    // What was decided right before the gate closed was not sent: the last decision on record may be an entry.
    let portfolio = http::json(address, "/portfolio");
    assert_eq!(portfolio["positions"], serde_json::json!([]), "{portfolio}");

    rig.cluster().start_api_server().await;
    rig.assert_trading("paper", "trend").await;
    for object in ["exacct/paper", "strat/trend", "strat/slow"] {
        ready(&rig, object).await;
    }
    rig.patch("slow", r#"{"desiredState":"Stopped"}"#).await.success();
    rig.wait_json("strat/slow", ".status.phase", 30, |phase| phase == "Stopped").await;
    let pods = rig.kubelet().pods();
    assert_eq!((pods["paper-0"].restarts, &pods["paper-0"].uid), (0, &uid), "the worker was restarted");
}
