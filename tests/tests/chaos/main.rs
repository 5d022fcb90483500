//! The operator among faults: whatever befalls one of its writes or watches, the end is that of an undisturbed run.
//!
//! For each workload an undisturbed run tells the end state and how many writes lead to it. Then, for the n-th write:
//! the operator is killed right after it, its answer is lost, or it is refused once; and watches stand still and lose
//! what happened in between. A sample runs by default; `TRADEWIND_CHAOS=all` runs every n (`make chaos`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod state;
mod workload;

use std::time::Instant;

use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::{Fault, Proxy, Rig};

use state::State;
use workload::Workload;

/// Requests of the operator a second that no fault may make it pass for long.
const HOT: u64 = 40;

/// What is done to the n-th write.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Lose,
    Refuse(u16),
}

const BLOWS: [Blow; 5] = [Blow::Kill, Blow::Lose, Blow::Refuse(409), Blow::Refuse(429), Blow::Refuse(500)];

/// A rig whose operator talks through a proxy, in the state before the workload.
async fn prepared(workload: Workload) -> (Rig, Proxy) {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    let proxy = Proxy::start(rig.cluster()).await;
    rig.start_operator_behind(&proxy).await;
    rig.start_kubelet().await;
    workload.prepare(&rig).await;
    (rig, proxy)
}

/// The end of an undisturbed run, and the writes that led to it.
async fn undisturbed(workload: Workload) -> (State, usize) {
    let (rig, proxy) = prepared(workload).await;
    let before = proxy.writes();
    workload.act(&rig).await;
    workload.done(&rig).await;
    let state = State::settled(&rig).await;
    (state, proxy.writes() - before)
}

/// Which writes are struck: all of them, or a few that differ from blow to blow.
fn chosen(writes: usize, blow: usize) -> Vec<usize> {
    if std::env::var("TRADEWIND_CHAOS").is_ok_and(|which| which == "all") {
        return (1..=writes).collect();
    }
    let mut chosen = vec![1 + blow % writes.max(1)];
    if writes > BLOWS.len() {
        chosen.push(writes - blow);
    }
    chosen
}

async fn strikes(workload: Workload) {
    let (wanted, writes) = undisturbed(workload).await;
    assert!(writes > 0, "{workload:?} makes no write, so that nothing can be struck");
    for (index, blow) in BLOWS.into_iter().enumerate() {
        for nth in chosen(writes, index) {
            let (mut rig, proxy) = prepared(workload).await;
            let started = Instant::now();
            drop(proxy.take_passed());
            proxy.strike(
                nth,
                match blow {
                    Blow::Kill => Fault::Hold,
                    Blow::Lose => Fault::LoseAnswer,
                    Blow::Refuse(status) => Fault::Refuse(status),
                },
            );
            workload.act(&rig).await;
            if matches!(blow, Blow::Kill) && proxy.held(patience(20)).await {
                rig.kill_operator();
                proxy.release();
                rig.start_operator_behind(&proxy).await;
            }
            workload.done(&rig).await;
            let what = format!("{workload:?}, {blow:?} at write {nth} of {writes}: the undisturbed end");
            wait_for(&what, patience(40), async || State::of(&rig).await.compare(&wanted)).await;
            let requests = proxy.take_passed().len() as u64;
            let allowed = HOT * started.elapsed().as_secs() + 200;
            assert!(requests <= allowed, "{what}: {requests} requests, {allowed} allowed");
            assert!(rig.kubelet().pods().len() <= 1, "{what}: two workers");
        }
    }
}

async fn standstill(workload: Workload) {
    let (wanted, _) = undisturbed(workload).await;
    let (rig, proxy) = prepared(workload).await;
    proxy.freeze(&["tradingstrategies", "tradinghalts", "exchangeaccounts", "riskpolicies"]);
    workload.act(&rig).await;
    // Something else happens meanwhile whose events come late and only in part.
    rig.kubectl(&["annotate", "exacct", "paper", "noise=1", "--overwrite"]).await;
    rig.kubectl(&["annotate", "exacct", "paper", "noise-"]).await;
    proxy.freeze(&[]);
    workload.done(&rig).await;
    let what = format!("{workload:?}, watches that stood still: the undisturbed end");
    wait_for(&what, patience(40), async || State::of(&rig).await.compare(&wanted)).await;
}

macro_rules! workloads {
    ($($name:ident => $workload:expr),* $(,)?) => {$(
        mod $name {
            use super::*;

            #[tokio::test]
            async fn ends_the_same_whatever_befalls_a_write() {
                strikes($workload).await;
            }

            #[tokio::test]
            async fn ends_the_same_after_watches_stood_still() {
                standstill($workload).await;
            }
        }
    )*};
}

workloads! {
    create => Workload::Create,
    change => Workload::Change,
    halt => Workload::Halt,
    resume => Workload::Resume,
    tighten => Workload::Tighten,
    delete => Workload::Delete,
}
