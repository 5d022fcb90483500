//! What happens to a worker: killed, paused, replaced.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::objects::halt;

use crate::desk::Desk;
use crate::{one_of_each, records};

/// Longer than the Lease lasts, shorter than it takes the kubelet to give the container up; half of it is longer than a
/// watch lasts.
const PAUSE: Duration = Duration::from_secs(19);

/// A desk whose one strategy trades, and the folder of its ledger.
async fn trading() -> (Desk, crate::release::Release, PathBuf) {
    let (desk, release) = Desk::with_operator().await;
    desk.apply(&one_of_each()).await;
    desk.phase("strat/trend", "Running").await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    let folder = desk.data_dir("paper").await;
    (desk, release, folder)
}

#[tokio::test]
async fn a_killed_worker_is_started_again_goes_on_and_doubles_nothing() {
    let (desk, _release, folder) = trading().await;
    let before = desk.worker("paper").await.unwrap();
    let decided = records::decisions(&folder).await.len();
    assert_eq!(desk.cluster.signal_pod(desk.name(), "paper-0", Signal::SIGKILL).await, 1);
    wait_for("the kubelet to start it again", patience(60), async || {
        let now = desk.worker("paper").await?;
        if now.restarts > before.restarts { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    desk.phase("exacct/paper", "Running").await;
    assert_eq!(desk.worker("paper").await.unwrap().uid, before.uid, "the same pod");

    desk.patch("strat/trend", r#"{"desiredState":"Stopped"}"#).await;
    desk.wait("strat/trend", ".status.phase", 30, |phase| phase == "Stopped").await;
    records::assert_nothing_doubled(&folder).await;
    let rows = records::decisions(&folder).await;
    assert!(rows.len() > decided, "it went on where it was");
    let bars: Vec<_> = rows.iter().map(|row| row.bar).collect();
    let mut once = bars.clone();
    once.dedup();
    assert_eq!(bars, once, "each bar was decided on once");
    desk.close().await;
}

#[tokio::test]
async fn a_paused_worker_that_wakes_enters_nothing_before_it_knows_of_a_halt_made_meanwhile() {
    let (desk, _release, folder) = trading().await;
    desk.cluster.signal_pod(desk.name(), "paper-0", Signal::SIGSTOP).await;
    // What it had durable when it stopped; nothing is added while it sleeps.
    let (asleep, entries) = (records::decisions(&folder).await.len(), records::entries(&folder).await);
    // By half of the pause the server has ended all its watches, so that nothing of the halt waits in its sockets.
    // paces: the pause is what is tested.
    tokio::time::sleep(PAUSE / 2).await;
    desk.apply(&halt("incident", "account: {name: paper}")).await;
    // paces: the other half.
    tokio::time::sleep(PAUSE / 2).await;
    assert_eq!(records::decisions(&folder).await.len(), asleep);
    desk.cluster.signal_pod(desk.name(), "paper-0", Signal::SIGCONT).await;

    // The bars of the pause are all due at once; on many of them it would have entered.
    let rows = wait_for("it to be denied entries", patience(30), async || {
        let rows = records::decisions(&folder).await;
        let halted = rows[asleep..].iter().filter(|row| row.outcome == "Halted").count();
        if halted >= 30 { Ok(rows) } else { Err(format!("{halted} of {} decisions", rows.len() - asleep)) }
    })
    .await;
    let since: Vec<&str> = rows[asleep..].iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(records::entries(&folder).await, entries, "the venue has an entry more");
    // What was decided right before the pause is written when it is over, and not sent.
    assert!(!since[1..].contains(&"Enter"), "it decided to enter before it saw: {since:?}");
    let said = desk.kubectl(&["logs", "paper-0"]).await.success();
    assert!(said.contains("entries stopped; exits go on reason=Blind"), "{said}");
    desk.kubectl(&["delete", "thalt", "incident"]).await.success();
    desk.trades_on("paper", "BTC-USD", 5).await;
    desk.close().await;
}

#[tokio::test]
async fn an_account_edit_that_needs_a_restart_replaces_the_pod_after_the_old_is_gone() {
    let (desk, _release, folder) = trading().await;
    let before = desk.worker("paper").await.unwrap();
    let old = desk.cluster.pod_processes(desk.name(), "paper-0").await;
    assert_eq!((old.len(), records::epoch(&folder).await), (1, 1));

    desk.patch("exacct/paper", r#"{"worker":{"resources":{"requests":{"cpu":"60m"}}}}"#).await;
    let after = wait_for("another pod", patience(60), async || {
        let now = desk.worker("paper").await?;
        if now.uid == before.uid {
            return Err("the old one".to_owned());
        }
        // The name is free only when the kubelet has told that its processes are gone.
        assert!(!PathBuf::from(format!("/proc/{}", old[0])).exists(), "the old one runs beside the new one");
        Ok(now)
    })
    .await;
    desk.phase("exacct/paper", "Running").await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(records::epoch(&folder).await, 2, "opened once more, by the new one");
    let events = desk.kubectl(&["events", "--for", "exacct/paper"]).await.success();
    assert!(events.contains("WorkerReplacing"), "{events}");
    assert_eq!(desk.worker("paper").await.unwrap(), after, "replaced once");
    records::assert_nothing_doubled(&folder).await;
    desk.close().await;
}
