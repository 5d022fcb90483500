//! A halt while something is down: operator, worker or API server.

use nix::sys::signal::Signal;
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, halt, strategy};

use super::{BARS, HALT, PACE, shown, trading, uid_of};

#[tokio::test]
async fn with_the_operator_dead_a_patch_halts_and_is_latched() {
    let mut rig = trading().await;
    rig.kill_operator();
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", HALT).await.success();
    rig.patch("trend", r#"{"halted":null}"#).await.success();
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    let latched = uid_of(&rig, "strategy.trend.latched").await;
    let mark = rig.mark("paper", "trend").await;
    rig.start_operator().await;
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    shown(&rig, true).await;
    // And with the operator dead a resume works as well.
    rig.kill_operator();
    rig.patch("trend", &format!(r#"{{"resume":{{"haltID":"{latched}"}}}}"#)).await.success();
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn a_patch_taken_back_while_the_worker_is_down_is_latched_by_the_operator() {
    let mut rig = trading().await;
    drop(rig.kubelet.take());
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", HALT).await.success();
    rig.patch("trend", r#"{"halted":null}"#).await.success();
    uid_of(&rig, "strategy.trend.latched").await;
    rig.start_kubelet().await;
    let rows = rig.outcomes("paper", "trend", mark, "Halted", BARS).await;
    assert!(rows.iter().all(|row| row.outcome != "Enter"), "it entered before it saw the halt");
}

#[tokio::test]
async fn a_halt_is_remembered_over_a_crash_of_the_worker() {
    let rig = trading().await;
    rig.apply(&halt("incident", "account: {name: paper}")).await;
    shown(&rig, true).await;
    rig.wait_json("strat/trend", ".status.applied.halts[0]", 20, |uid| !uid.is_empty()).await;
    let mark = rig.mark("paper", "trend").await;
    rig.kubelet().signal("paper-0", Signal::SIGKILL);
    let rows = rig.outcomes("paper", "trend", mark, "Halted", BARS).await;
    assert!(rows.iter().all(|row| row.outcome != "Enter"), "it entered after the crash");
}

#[tokio::test]
async fn a_halt_deleted_while_the_worker_was_down_is_resumed_when_it_is_back() {
    let mut rig = trading().await;
    rig.apply(&halt("incident", "account: {name: paper}")).await;
    rig.wait_json("strat/trend", ".status.applied.halts[0]", 20, |uid| !uid.is_empty()).await;
    drop(rig.kubelet.take());
    rig.kubectl(&["delete", "thalt", "incident"]).await.success();
    rig.start_kubelet().await;
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn a_worker_that_cannot_see_makes_no_entries_and_goes_on_when_it_sees_again() {
    let rig = Rig::on(Cluster::own().await).await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.assert_trading("paper", "trend").await;
    let mark = rig.mark("paper", "trend").await;
    rig.cluster().pause_api_server().await;
    let rows = rig.outcomes("paper", "trend", mark, "Blind", BARS).await;
    let first = rows.iter().position(|row| row.outcome == "Blind").unwrap();
    assert!(rows[first..].iter().all(|row| row.outcome != "Enter"), "it entered blind");
    rig.cluster().start_api_server().await;
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn a_worker_started_without_an_api_server_keeps_its_halts_and_guards_what_it_holds() {
    let rig = Rig::on(Cluster::own().await).await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.assert_trading("paper", "trend").await;
    rig.apply(&halt("incident", "account: {name: paper}")).await;
    rig.wait_json("strat/trend", ".status.applied.halts[0]", 20, |uid| !uid.is_empty()).await;
    rig.cluster().stop_api_server().await;
    let mark = rig.mark("paper", "trend").await;
    rig.kubelet().signal("paper-0", Signal::SIGKILL);
    let rows = wait_for("decisions after the restart", patience(60), async || {
        let rows = rig.decisions("paper", "trend").await;
        if rows.len() > mark.decisions() + BARS { Ok(rows) } else { Err(format!("{} decisions", rows.len())) }
    })
    .await;
    assert!(rows[mark.decisions()..].iter().all(|row| row.outcome != "Enter"), "it entered without seeing");
    assert!(rows[mark.decisions()..].iter().any(|row| row.outcome == "Halted"), "the ledger's halt holds");
    rig.cluster().start_api_server().await;
}
