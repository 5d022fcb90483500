//! The API server refuses the token: blind, then well again by itself when the file has another.

use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::process;
use tradewind_tests::rig::objects::strategy;

use super::{BARS, hold, is_flat, told, trading, uid_of};

#[tokio::test]
async fn a_worker_whose_token_is_refused_enters_nothing_sells_what_it_is_told_to_and_recovers() {
    let rig = trading().await;
    rig.apply(&strategy("keeper", "paper", "BBB-USD")).await;
    rig.assert_trading("paper", "keeper").await;
    hold(&rig, "keeper").await;
    let mark = rig.mark("paper", "trend").await;
    // A token is bound to the uid of its account: with that gone the API server answers 401, as to one that has expired.
    let before = uid_of(&rig, "serviceaccount/paper-worker").await;
    rig.kubectl(&["delete", "serviceaccount", "paper-worker"]).await.success();
    let path = ".metadata.uid";
    rig.wait_json("serviceaccount/paper-worker", path, 30, |uid| !uid.is_empty() && uid != before).await;
    let rows = rig.outcomes("paper", "trend", mark, "Blind", BARS).await;
    let first = rows.iter().position(|row| row.outcome == "Blind").unwrap();
    assert!(rows[first..].iter().all(|row| row.outcome != "Enter"), "it entered blind");

    // What a person in the pod asks for needs no API server.
    let data = rig.data_dir("paper");
    let mut arguments = vec!["halt", "--strategy", "keeper", "--action", "Liquidate", "--reason", "blind"];
    arguments.extend(["--data-dir", data.to_str().unwrap()]);
    let halted = process::run(&arguments);
    assert_eq!(halted.code, Some(0), "{halted:?}");
    wait_for("the keeper to be flat", patience(20), async || {
        let rows = rig.decisions("paper", "keeper").await;
        let last = rows.last().unwrap();
        if is_flat(last) { Ok(()) } else { Err(last.position.to_string()) }
    })
    .await;

    rig.kubelet().renew_token("paper-0").await;
    told(&rig, "exacct/paper", "Supervised", "Supervised", 120).await;
    rig.assert_trading("paper", "trend").await;
    // And what was halted meanwhile is told.
    rig.wait_json("tradinghalt/strategy.keeper.local", path, 30, |uid| !uid.is_empty()).await;
}

#[tokio::test]
async fn an_operator_whose_token_is_refused_leads_no_more_and_goes_on_with_a_new_one() {
    let rig = trading().await;
    rig.kubectl(&["delete", "serviceaccount", "tradewind-operator"]).await.success();
    rig.kubectl(&["create", "serviceaccount", "tradewind-operator"]).await.success();
    let operator = rig.operator.as_ref().unwrap();
    wait_for("the operator to give up leading", patience(60), async || {
        let page = operator.metrics();
        let leads =
            page.lines().find(|line| line.starts_with("tradewind_operator_leader")).unwrap_or_default();
        if leads.ends_with(" 0") { Ok(()) } else { Err(leads.to_owned()) }
    })
    .await;
    // Workers trade and obey meanwhile.
    rig.assert_trading("paper", "trend").await;
    rig.patch("trend", r#"{"desiredState":"Stopped"}"#).await.success();
    rig.renew_operator_token().await;
    let mark = rig.mark("paper", "trend").await;
    let generation = rig.wait_json("strat/trend", ".metadata.generation", 5, |text| !text.is_empty()).await;
    rig.wait_json("strat/trend", ".status.applied.generation", 120, |applied| applied == generation).await;
    rig.outcomes("paper", "trend", mark, "Stopped", 3).await;
}
