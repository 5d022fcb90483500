//! How long nothing new can be entered after a crash: a worker killed, and a leading operator killed.
//!
//! A killed worker is started again by what stands in for the kubelet half a second after its end, at once on a node that
//! has not seen it crash before; that pause is part of the figure and stands beside it. The leader's Lease lasts 15 s, so
//! that a fail-over takes at least what is left of it.

use jiff::Timestamp;
use nix::sys::signal::Signal;
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::{Operator, Rig};

use super::{ACCOUNT, POD, line_since, milliseconds, name_of, time_of, trading};
use crate::measure::Runs;
use crate::{BenchError, Figure};

const SECTION: &str = "recovery";
const KILLS: usize = 10;
const FAIL_OVERS: usize = 3;

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let mut rig = trading(1, 10).await?;
    let (mut down, mut start) = (Runs::default(), Runs::default());
    for _ in 0..KILLS {
        let from = rig.kubelet().log_length(POD);
        let killed = Timestamp::now();
        rig.kubelet().signal(POD, Signal::SIGKILL);
        let (_, started) = line_since(&rig, from, "the next start", |l| l.contains("worker started")).await?;
        let (_, able) =
            line_since(&rig, from, "entries to be possible", |l| l.contains("entries possible")).await?;
        down.push(milliseconds(killed, able));
        start.push(milliseconds(started, able));
        rig.assert_trading(ACCOUNT, &name_of(0)).await;
    }
    let over = fail_overs(&mut rig).await?;
    let told = |runs: &Runs| format!("median {:.2} s, worst {:.2} s", runs.median() / 1e3, runs.most() / 1e3);
    Ok(vec![
        Figure::new(SECTION, format!("worker killed → entries possible, {KILLS} times"), told(&down)),
        Figure::new(SECTION, "of it from its first line on", told(&start)),
        Figure::new(SECTION, format!("leader killed → the other leads, {FAIL_OVERS} times"), told(&over)),
    ])
}

/// Kills the leader, each time with another replica waiting.
async fn fail_overs(rig: &mut Rig) -> Result<Runs, BenchError> {
    let kubeconfig = rig.dir().join("operator.kubeconfig");
    let mut leader =
        rig.operator.take().ok_or_else(|| BenchError::Process("the operator has ended".to_owned()))?;
    let mut took = Runs::default();
    for replica in 1..=FAIL_OVERS {
        let mut next = Operator::spawn_as(&format!("tradewind-operator-{replica}"), rig.name(), &kubeconfig);
        next.ready().await;
        let killed = Timestamp::now();
        // Killed like a power cut.
        drop(leader);
        let at = wait_for("the other to lead", patience(40), async || {
            let said = next.said();
            let line = said.lines().find(|line| line.contains("leadership changed leads=true"));
            line.and_then(time_of).ok_or_else(|| said.lines().last().unwrap_or_default().to_owned())
        })
        .await;
        took.push(milliseconds(killed, at));
        leader = next;
    }
    rig.operator = Some(leader);
    Ok(took)
}
