//! Several halts at once, and which of them a resume ends.

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tradewind_crds::trading_strategy::TradingStrategy;
use tradewind_tests::rig::objects::halt;

use super::{BARS, HALT, shown, trading, uid_of};

#[tokio::test]
async fn without_a_halt_an_entry_is_made_on_every_second_bar() {
    let rig = trading().await;
    let mark = rig.mark("paper", "trend").await;
    let rows = rig.outcomes("paper", "trend", mark, "Enter", 20).await;
    let wanted: Vec<&str> = rows.iter().map(|row| row.outcome.as_str()).collect();
    assert!(
        wanted.chunks(2).filter(|pair| pair.len() == 2).all(|pair| pair.contains(&"Enter")),
        "{wanted:?}"
    );
}

#[tokio::test]
async fn a_patch_taken_back_at_once_halts_all_the_same() {
    let rig = trading().await;
    let mark = rig.mark("paper", "trend").await;
    let api = rig.api::<TradingStrategy>();
    let params = PatchParams { field_manager: Some("kubectl-patch".into()), ..PatchParams::default() };
    for halted in [json!(true), json!(null)] {
        let patch = Patch::Merge(json!({"spec": {"halted": halted}}));
        api.patch("trend", &params, &patch).await.unwrap();
    }
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    shown(&rig, true).await;
    let said = rig.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await.success();
    assert!(said.contains("RevertIgnored") && said.contains("HaltLatched"), "{said}");
}

#[tokio::test]
async fn a_resume_by_its_halts_uid_lets_entries_through_again() {
    let rig = trading().await;
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", HALT).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    let uid = uid_of(&rig, "strategy.trend.latched").await;
    let path = ".status.halt.sources[0].resumeCommand";
    let command = rig.wait_json("strat/trend", path, 20, |command| command.contains(&uid)).await;
    // The command that people are shown is the one that works.
    let words = command.strip_prefix("kubectl ").expect("a kubectl command");
    let words: Vec<String> = words.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    rig.cluster().kubectl(&words).await.success();
    rig.assert_trading("paper", "trend").await;
    shown(&rig, false).await;
    let left = rig.kubectl(&["get", "thalt", "-o", "name"]).await.success();
    assert_eq!(left, "", "the halt is gone");
}

#[tokio::test]
async fn a_halt_that_is_deleted_while_halted_is_still_true_comes_back() {
    let rig = trading().await;
    rig.patch("trend", HALT).await.success();
    let first = uid_of(&rig, "strategy.trend.latched").await;
    shown(&rig, true).await;
    let mark = rig.mark("paper", "trend").await;
    rig.kubectl(&["delete", "thalt", "strategy.trend.latched"]).await.success();
    let path = ".metadata.uid";
    rig.wait_json("tradinghalt/strategy.trend.latched", path, 20, |uid| !uid.is_empty() && uid != first)
        .await;
    let rows = rig.outcomes("paper", "trend", mark, "Halted", BARS).await;
    assert!(rows.iter().all(|row| row.outcome != "Enter"), "it entered between two halts");
}

#[tokio::test]
async fn of_two_sources_each_is_cleared_by_itself() {
    let rig = trading().await;
    rig.patch("trend", HALT).await.success();
    rig.apply(&halt("incident", "namespace: {}")).await;
    let latched = uid_of(&rig, "strategy.trend.latched").await;
    shown(&rig, true).await;
    let mark = rig.mark("paper", "trend").await;
    let resume = format!(r#"{{"halted":null,"resume":{{"haltID":"{latched}"}}}}"#);
    rig.patch("trend", &resume).await.success();
    rig.wait_json("strat/trend", ".status.halt.sources[*].name", 20, |names| names == "incident").await;
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    rig.kubectl(&["delete", "thalt", "incident"]).await.success();
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn an_old_halts_uid_resumes_no_later_halt() {
    let rig = trading().await;
    rig.patch("trend", HALT).await.success();
    let old = uid_of(&rig, "strategy.trend.latched").await;
    let resume = format!(r#"{{"halted":null,"resume":{{"haltID":"{old}"}}}}"#);
    rig.patch("trend", &resume).await.success();
    rig.assert_trading("paper", "trend").await;
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", HALT).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", &resume).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    shown(&rig, true).await;
}

#[tokio::test]
async fn another_strategys_halt_is_not_resumed_by_its_uid() {
    let rig = trading().await;
    rig.apply(&halt("incident", "account: {name: paper}")).await;
    let uid = uid_of(&rig, "incident").await;
    shown(&rig, true).await;
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", &format!(r#"{{"resume":{{"haltID":"{uid}"}}}}"#)).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    rig.kubectl(&["get", "thalt", "incident"]).await.success();
}
