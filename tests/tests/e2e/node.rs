//! A node that dies, and one that is cut off with its worker running on.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use tradewind_tests::cluster::{Cluster, Options, patience, wait_for};
use tradewind_tests::rig::objects::{OPEN_POLICY, all};

use crate::desk::Desk;
use crate::release::Release;
use crate::{account_with, images, records, strategy};

/// A ledger on a volume that every node reaches.
const NETWORK: &str = "  ledger: {sqlite: {size: 1Gi, storageClassName: network}}";

/// Two nodes, the operator on the first, and a worker that trades on the second.
async fn two_nodes() -> (Cluster, Desk, Release) {
    let cluster =
        Cluster::start(Options { nodes: 2, give_up_nodes_quickly: true, ..Options::default() }).await;
    images::load(&cluster).await;
    cluster.apply_crds().await;
    let desk = Desk::empty(&cluster).await;
    cluster.kubectl(&["cordon", "node1"]).await.success();
    let [alone, namespace] = desk.alone();
    let release = Release::install(&cluster, desk.name(), &[&alone, &namespace]).await;
    cluster.kubectl(&["uncordon", "node1"]).await.success();
    cluster.kubectl(&["cordon", "node0"]).await.success();
    desk.apply(&all(&[OPEN_POLICY, &account_with("paper", NETWORK), &strategy("trend", "paper", "BTC-USD")]))
        .await;
    desk.phase("strat/trend", "Running").await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(desk.json("pod/paper-0", ".spec.nodeName").await.unwrap(), "node1");
    cluster.kubectl(&["uncordon", "node0"]).await.success();
    (cluster, desk, release)
}

/// Panics when there is any other worker than the one of that uid.
async fn only(desk: &Desk, uid: &str) {
    let workers = ListParams::default().labels("tradewind.dev/component=worker");
    let pods = desk.api::<Pod>().list(&workers).await.unwrap().items;
    let uids: Vec<&str> = pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
    assert_eq!(uids, [uid], "no second worker");
}

#[tokio::test]
async fn a_worker_on_a_dead_node_is_replaced_only_when_the_node_is_gone() {
    let (cluster, desk, _release) = two_nodes().await;
    let before = desk.worker("paper").await.unwrap();
    let folder = desk.data_dir("paper").await;
    cluster.kill_node(1).await;
    desk.wait("pod/paper-0", ".metadata.deletionTimestamp", 60, |time| !time.is_empty()).await;
    desk.wait("exacct/paper", ".status.conditions[?(@.type==\"Ready\")].reason", 30, |reason| {
        reason == "NodeLost"
    })
    .await;
    only(&desk, &before.uid).await;
    assert_eq!(records::epoch(&folder).await, 1, "nobody else has opened the ledger");

    // A person says that the node will not come back.
    cluster.kubectl(&["delete", "node", "node1"]).await.success();
    wait_for("a worker on the other node", patience(120), async || {
        let now = desk.worker("paper").await?;
        if now.uid == before.uid { Err("the old one".to_owned()) } else { Ok(()) }
    })
    .await;
    desk.phase("strat/trend", "Running").await;
    desk.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(desk.json("pod/paper-0", ".spec.nodeName").await.unwrap(), "node0");
    records::assert_nothing_doubled(&folder).await;
}

#[tokio::test]
async fn a_worker_whose_pod_was_deleted_by_force_makes_no_new_intent_durable() {
    let (cluster, desk, _release) = two_nodes().await;
    let folder = desk.data_dir("paper").await;
    let before = desk.worker("paper").await.unwrap();
    let old = cluster.pod_processes(desk.name(), "paper-0").await[0];
    cluster.cut_node(1).await;
    cluster.kubectl(&["cordon", "node1"]).await.success();
    // It runs on, sees nothing, and enters nothing.
    wait_for("the worker that is cut off to be blind", patience(60), async || {
        let last = records::decisions(&folder).await.pop().expect("a decision");
        let blind = ["Blind", "LeaseLost"].contains(&last.outcome.as_str());
        if blind { Ok(()) } else { Err(last.outcome.to_string()) }
    })
    .await;
    assert!(alive(old), "only its network is gone");

    // What nobody should do; and a file system on which locks reach no further than one node.
    std::fs::remove_file(folder.join("ledger.db.lock")).unwrap();
    desk.kubectl(&["delete", "pod", "paper-0", "--force", "--grace-period=0"]).await.success();
    wait_for("a second worker to have opened the ledger", patience(60), async || {
        let epoch = records::epoch(&folder).await;
        if epoch > 1 { Ok(()) } else { Err(format!("epoch {epoch}")) }
    })
    .await;
    let stale = records::intents(&folder).await[&1];
    let after = desk.worker("paper").await.unwrap();
    assert_ne!(after.uid, before.uid);
    // Nor does a lock keep the stale one away when its kubelet, which has heard nothing, starts its container again.
    std::fs::remove_file(folder.join("ledger.db.lock")).unwrap();
    wait_for("the stale one to end by itself", patience(30), async || {
        if alive(old) { Err("it runs".to_owned()) } else { Ok(()) }
    })
    .await;
    wait_for("the stale one to be started again", patience(30), async || {
        if cluster.processes_of(&before.uid).is_empty() { Err("it is not".to_owned()) } else { Ok(()) }
    })
    .await;
    desk.phase("strat/trend", "Running").await;
    wait_for("the new one to trade", patience(60), async || {
        let intents = records::intents(&folder).await;
        let new: i64 = intents.iter().filter(|(epoch, _)| **epoch > 1).map(|(_, count)| count).sum();
        if new > 10 { Ok(()) } else { Err(format!("{intents:?}")) }
    })
    .await;
    assert_eq!(records::intents(&folder).await[&1], stale, "nothing more under the first epoch");
    let owner = records::owner(&folder).await;
    assert!(owner.contains(&after.uid), "it has not been taken back: {owner}");
    records::assert_nothing_doubled(&folder).await;
}

fn alive(process: nix::unistd::Pid) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}
