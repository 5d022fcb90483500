//! What is measured on a real API server: operator and workers as processes of this machine, with the rights that the
//! chart gives them (`tradewind_tests::rig`), and for one figure a node with containers.
//!
//! Times are told by one clock, the machine's: programs write theirs into their logs, and what is asked for is noted
//! here. A figure that begins with a request begins before it is sent, so that it holds the API server's work too.

pub mod first_fill;
pub mod halting;
pub mod memory;
pub mod operator;
pub mod recovery;

use std::fmt::Debug;

use futures::TryStreamExt;
use jiff::Timestamp;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::market::SYMBOLS;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};

use crate::BenchError;
use crate::measure::Runs;

/// The account of all these figures.
const ACCOUNT: &str = "paper";
/// The pod of its worker.
const POD: &str = "paper-0";

/// Milliseconds from one time to another.
fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1e3
}

/// `p50 1.2 ms, p99 3.4 ms, worst 5.6 ms`.
fn quantiles(runs: &Runs) -> String {
    let [half, most] = [50, 99].map(|percent| runs.percentile(percent));
    format!("p50 {half:.1} ms, p99 {most:.1} ms, worst {:.1} ms", runs.most())
}

/// When a line of a log was written.
fn time_of(line: &str) -> Option<Timestamp> {
    line.split_whitespace().next()?.parse().ok()
}

/// A name for the n-th strategy.
fn name_of(index: usize) -> String {
    format!("s{index:02}")
}

/// A desk of so many strategies, each on an instrument of its own, at so many bars a second; returns when all of them
/// trade.
async fn trading(strategies: usize, bars_a_second: u32) -> Result<Rig, BenchError> {
    let rig = Rig::on(Cluster::own().await).await;
    let symbols = SYMBOLS.get(..strategies).ok_or_else(|| {
        BenchError::Process(format!("there are {} instruments for {strategies} strategies", SYMBOLS.len()))
    })?;
    let paper = account(ACCOUNT, bars_a_second);
    let traders: Vec<String> = (0..)
        .zip(symbols)
        .map(|(index, symbol)| {
            strategy(&name_of(index), ACCOUNT, symbol)
                .replace("amount: \"5000\"", &format!("amount: \"{}\"", 100_000 / strategies))
        })
        .collect();
    let documents: Vec<&str> =
        [OPEN_POLICY, &paper].into_iter().chain(traders.iter().map(String::as_str)).collect();
    rig.apply(&all(&documents)).await;
    for index in 0..strategies {
        rig.assert_trading(ACCOUNT, &name_of(index)).await;
    }
    Ok(rig)
}

/// Waits for the first line of the worker's log, from that byte on, for which `wanted` is true.
async fn line_since(
    rig: &Rig,
    from: usize,
    what: &str,
    wanted: impl Fn(&str) -> bool,
) -> Result<(String, Timestamp), BenchError> {
    let mut from = from;
    let line = wait_for(what, patience(30), async || {
        let log = rig.kubelet().log_since(POD, from);
        // The last line may still be in the writing; the others are looked at once, lest looking takes the machine's time.
        let whole = log.get(..log.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
        from += whole.len();
        let found = whole.lines().find(|line| wanted(line)).map(str::to_owned);
        found.ok_or_else(|| whole.lines().last().unwrap_or_default().to_owned())
    })
    .await;
    let at = time_of(&line).ok_or_else(|| BenchError::Process(format!("no time in the line: {line}")))?;
    Ok((line, at))
}

/// A watch that goes on until this is dropped.
type Following = JoinSet<()>;

/// Hands each object that is made or changed from now on to `note`. A watch that ended is opened anew where it ended.
async fn follow<K>(api: Api<K>, mut note: impl FnMut(&K) + Send + 'static) -> Result<Following, BenchError>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let version = api.list(&ListParams::default()).await?.metadata.resource_version;
    let mut following = JoinSet::new();
    following.spawn(async move {
        let mut version = version.unwrap_or_default();
        loop {
            // The longest a watch may last.
            let params = WatchParams::default().timeout(290);
            let Ok(stream) = api.watch(&params, &version).await else { continue };
            let mut stream = std::pin::pin!(stream);
            while let Ok(Some(event)) = stream.try_next().await {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
                version = object.resource_version().unwrap_or(version);
                note(&object);
            }
        }
    });
    Ok(following)
}
