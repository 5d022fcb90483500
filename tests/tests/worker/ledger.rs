//! Ledgers that are not for certain the account's own: each starts halted, says which it is, sells and guards what it
//! knows of, and trades again when a person has deleted that halt.

use std::fs;
use std::path::Path;

use sqlx::{Connection, SqliteConnection};
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;
use tradewind_ledger::{SqliteLedger, SqliteOptions, SqliteReader};
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy_with};
use tradewind_tests::rig::{Mark, Rig};

use super::{BARS, PACE, STOP, assert_no_entry_since, hold, let_go, told, trading};

const HALT: &str = "tradinghalt/account.paper.ledger-unknown";

/// The worker has started on that ledger: halted, with that in the message, everywhere people look.
async fn assert_unknown(rig: &Rig, since: Mark, message: &str) {
    rig.wait_json(HALT, ".spec.reason", 60, |reason| reason.contains(message)).await;
    rig.wait_json(HALT, ".spec.target.account.name", 5, |name| name == "paper").await;
    told(rig, "exacct/paper", "PositionsReconciled", "LedgerUnknown", 30).await;
    told(rig, "strat/trend", "Halted", "LedgerUnknown", 30).await;
    rig.outcomes("paper", "trend", since, "Halted", BARS).await;
    assert_no_entry_since(rig, "trend", since).await;
}

/// Deleting the halt is the person's word that the ledger may be gone on with; it holds from then on.
async fn assert_resumes(rig: &mut Rig) {
    rig.kubectl(&["delete", HALT]).await.success();
    rig.assert_trading("paper", "trend").await;
    told(rig, "exacct/paper", "PositionsReconciled", "InSync", 30).await;
    drop(rig.kubelet.take());
    rig.start_kubelet().await;
    rig.assert_trading("paper", "trend").await;
    let left = rig.kubectl(&["get", "thalt", "-o", "name"]).await.success();
    assert_eq!(left, "", "it was said once and holds");
}

/// What was sold since: a position that the ledger knows of is left, halt or not.
async fn assert_exits(rig: &Rig, since: Mark) {
    rig.outcomes("paper", "trend", since, "Exit", 1).await;
    assert_no_entry_since(rig, "trend", since).await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // Sockets of the process that was killed are no part of a backup.
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn a_lost_volume_starts_halted() {
    let mut rig = trading().await;
    drop(rig.kubelet.take());
    fs::remove_dir_all(rig.data_dir("paper")).unwrap();
    let mark = rig.mark("paper", "trend").await;
    rig.start_kubelet().await;
    assert_unknown(&rig, mark, "a new and empty one").await;
    assert_resumes(&mut rig).await;
}

#[tokio::test]
async fn an_older_ledger_starts_halted_and_sells_what_it_knows_of() {
    let mut rig = trading().await;
    hold(&rig, "trend").await;
    let path = ".metadata.annotations.tradewind\\.dev/epoch";
    let epoch = rig.wait_json("lease/paper-worker", path, 20, |epoch| !epoch.is_empty()).await;
    drop(rig.kubelet.take());
    let (volume, backup) = (rig.data_dir("paper"), rig.dir().join("backup"));
    copy(&volume, &backup);
    rig.start_kubelet().await;
    let_go(&rig, "trend").await;
    rig.assert_trading("paper", "trend").await;
    rig.wait_json("lease/paper-worker", path, 20, |later| !later.is_empty() && later != epoch).await;
    drop(rig.kubelet.take());
    fs::remove_dir_all(&volume).unwrap();
    copy(&backup, &volume);
    let mark = rig.mark("paper", "trend").await;
    rig.start_kubelet().await;
    assert_unknown(&rig, mark, "it is an old copy, such as a backup").await;
    assert_exits(&rig, mark).await;
    assert_resumes(&mut rig).await;
}

#[tokio::test]
async fn a_lease_deleted_while_no_worker_ran_starts_halted_and_sells_what_is_held() {
    let mut rig = trading().await;
    hold(&rig, "trend").await;
    drop(rig.kubelet.take());
    rig.kubectl(&["delete", "lease", "paper-worker"]).await.success();
    let mark = rig.mark("paper", "trend").await;
    rig.start_kubelet().await;
    told(&rig, "exacct/paper", "PositionsReconciled", "LedgerUnknown", 60).await;
    let_go(&rig, "trend").await;
    assert_unknown(&rig, mark, "the account's Lease knows of none").await;
    assert_exits(&rig, mark).await;
    assert_resumes(&mut rig).await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_is_told_before_the_worker_ends_and_gone_on_with_after() {
    let rig = trading().await;
    let file = rig.data_dir("paper").join("ledger.db");
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let holding = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    told(&rig, "exacct/paper", "PositionsReconciled", "LedgerUnavailable", 60).await;
    let message = ".status.conditions[?(@.type==\"PositionsReconciled\")].message";
    rig.wait_json("exacct/paper", message, 5, |text| text.contains("the ledger is in use by")).await;
    holding.rollback().await.unwrap();
    told(&rig, "exacct/paper", "PositionsReconciled", "InSync", 60).await;
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn an_account_made_anew_over_the_ledger_that_was_kept_starts_halted() {
    let mut rig = trading().await;
    rig.kubectl(&["delete", "strat", "trend"]).await.success();
    rig.kubectl(&["delete", "exacct", "paper"]).await.success();
    let mark = rig.mark("paper", "trend").await;
    assert!(mark.decisions() > 0, "the ledger was kept");
    let trend = strategy_with("trend", "paper", "AAA-USD", STOP);
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &trend])).await;
    assert_unknown(&rig, mark, "the account was made anew and the volume kept").await;
    assert_resumes(&mut rig).await;
}

/// The epoch of the last to open the ledger, and who that was.
async fn opened(path: &Path) -> (i64, String) {
    let url = format!("sqlite://{}?mode=ro", path.display());
    let mut ledger = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_as("SELECT epoch, owner FROM chain_head").fetch_one(&mut ledger).await.unwrap()
}

#[tokio::test]
async fn a_ledger_that_another_has_opened_since_is_left_to_it_as_long_as_the_lease_is_renewed() {
    let mut rig = trading().await;
    drop(rig.kubelet.take());
    let path = rig.data_dir("paper").join("ledger.db");
    let (account, account_name) = SqliteReader::open(&path).await.unwrap().account().await.unwrap();
    let options = SqliteOptions {
        account,
        account_name,
        owner: "another worker".to_owned(),
        now: Timestamp(0),
        incarnation: Incarnation(0),
        max_bytes: None,
    };
    SqliteLedger::open_any(&path, &options, None).await.unwrap().close().await.unwrap();
    let before = opened(&path).await;
    rig.start_kubelet().await;
    let words = "this worker leaves it alone";
    wait_for("the worker to give up", patience(90), async || {
        rig.kubectl(&["annotate", "lease/paper-worker", "renewed=again", "--overwrite"]).await.success();
        rig.kubectl(&["annotate", "lease/paper-worker", "renewed-"]).await.success();
        let log = rig.kubelet().log("paper-0");
        if log.contains(words) { Ok(()) } else { Err(log) }
    })
    .await;
    assert_eq!(opened(&path).await, before);
    let log = rig.kubelet().log("paper-0");
    assert!(log.contains("opened by another worker since this pod had it, and paper-0_"), "{log}");
    // Nobody renews it any more.
    rig.assert_trading("paper", "trend").await;
    assert!(rig.kubelet().log("paper-0").contains("nobody holds the Lease; the ledger is opened"));
}
