//! Workers that do not come up: the account says so, others are not touched.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use nix::sys::signal::Signal;
use tradewind_tests::rig::objects::all;

use crate::desk::Desk;
use crate::{account, one_of_each, strategy};

/// The reason of an account's condition Ready.
const REASON: &str = ".status.conditions[?(@.type==\"Ready\")].reason";

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_and_disturbs_no_other_account() {
    let (desk, release) = Desk::with_operator().await;
    desk.apply(&one_of_each()).await;
    desk.phase("strat/trend", "Running").await;
    let before = desk.worker("paper").await.unwrap();

    let [alone, namespace] = desk.alone();
    release.upgrade(&[&alone, &namespace, "worker.image.repository=localhost/no-such-worker"]).await;
    desk.apply(&all(&[&account("second"), &strategy("waiting", "second", "BTC-USD")])).await;
    desk.wait("exacct/second", REASON, 60, |reason| reason == "ImageUnavailable").await;
    desk.wait("exacct/second", ".status.phase", 10, |phase| phase == "Degraded").await;
    let message =
        desk.json("exacct/second", ".status.conditions[?(@.type==\"Ready\")].message").await.unwrap();
    assert!(message.contains("localhost/no-such-worker"), "{message}");
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(
        desk.worker("paper").await.unwrap(),
        before,
        "the first account goes on with the image it has"
    );

    // Put right, it comes up without a further hand.
    release.upgrade(&[&alone, &namespace]).await;
    desk.phase("strat/waiting", "Running").await;
    assert_eq!(desk.worker("paper").await.unwrap(), before);
    desk.close().await;
}

#[tokio::test]
async fn a_worker_that_crashes_again_and_again_is_told_backs_off_and_disturbs_no_other_account() {
    let (desk, _release) = Desk::with_operator().await;
    desk.apply(&all(&[&one_of_each(), &account("second"), &strategy("other", "second", "BTC-USD")])).await;
    for strategy in ["strat/trend", "strat/other"] {
        desk.phase(strategy, "Running").await;
    }
    let before = desk.worker("paper").await.unwrap();

    // A ledger that the worker may not open: it ends at each start.
    let ledger = desk.data_dir("second").await.join("ledger.db");
    let owner = fs::metadata(&ledger).unwrap();
    chown(&ledger, Some(0), Some(0)).unwrap();
    desk.cluster.signal_pod(desk.name(), "second-0", Signal::SIGKILL).await;
    desk.wait("exacct/second", REASON, 60, |reason| reason == "WorkerFailing").await;
    desk.wait("exacct/second", ".status.phase", 10, |phase| phase == "Degraded").await;
    let waits = ".status.containerStatuses[0].state.waiting.reason";
    desk.wait("pod/second-0", waits, 60, |reason| reason == "CrashLoopBackOff").await;
    let message =
        desk.json("exacct/second", ".status.conditions[?(@.type==\"Ready\")].message").await.unwrap();
    assert!(message.contains("ledger.db"), "its last words: {message}");
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(desk.worker("paper").await.unwrap(), before, "the other account goes on");

    // Put right, it comes up at the kubelet's next try.
    chown(&ledger, Some(owner.uid()), Some(owner.gid())).unwrap();
    desk.phase("strat/other", "Running").await;
    desk.close().await;
}
