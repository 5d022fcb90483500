//! The operator with 10 to 5 000 strategies on 50 accounts: memory, from a change to the published configuration, and
//! what it asks of the API server at rest.
//!
//! A real API server without nodes: workers' pods stay pending, so that all that is asked and written is the operator's.
//! Requests are counted by a proxy between the two.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tradewind_crds::published::Published;
use tradewind_crds::trading_strategy::TradingStrategy;
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};
use tradewind_tests::rig::{Passed, Proxy, Rig};

use super::{Following, follow, milliseconds, quantiles};
use crate::measure::{Goal, Runs};
use crate::process::status_mb;
use crate::{BenchError, Figure};

const SECTION: &str = "operator";
const ACCOUNTS: usize = 50;
const SIZES: [usize; 4] = [10, 100, 1_000, 5_000];
/// Changes of one strategy each, one after the other.
const EDITS: usize = 100;
/// How long is watched what happens at rest.
const REST: Duration = Duration::from_mins(1);
/// Without a write for that long, everything has been done.
const QUIET: Duration = Duration::from_secs(5);
/// Strategies that are created at the same time.
const AT_ONCE: usize = 8;
/// The largest operator that is idle, and with a thousand strategies: megabytes of a million bytes, as people count.
const GOALS_MB: [(usize, f64); 2] = [(0, 20.0), (1_000, 60.0)];

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let mut rig = Rig::bare(Cluster::own().await).await;
    let proxy = Proxy::start(rig.cluster()).await;
    rig.start_operator_behind(&proxy).await;
    quiet(&proxy).await;
    let mut figures = vec![memory("idle, no object", 0, rss(&rig)?)];
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| account(&account_of(n), 1)).collect();
    let documents: Vec<&str> = [OPEN_POLICY].into_iter().chain(accounts.iter().map(String::as_str)).collect();
    rig.apply(&all(&documents)).await;
    let published = PublishedAt::start(rig.api()).await?;
    let mut there = 0;
    for size in SIZES {
        let began = Instant::now();
        create(&rig, there..size).await?;
        there = size;
        wait_for(&format!("{size} published strategies"), patience(600), async || {
            let count = published.count();
            if count == size { Ok(()) } else { Err(format!("{count}")) }
        })
        .await;
        let all_after = began.elapsed();
        quiet(&proxy).await;
        let edits = edit(&rig, &published, size).await?;
        quiet(&proxy).await;
        figures.push(memory(&format!("{size} strategies, at rest"), size, rss(&rig)?));
        figures.push(Figure::new(
            SECTION,
            format!("{size} strategies, one changed → published, {} times", edits.len()),
            quantiles(&edits),
        ));
        figures.push(Figure::new(
            SECTION,
            format!("{size} strategies, first of the new ones applied → all published"),
            format!("{:.1} s", all_after.as_secs_f64()),
        ));
        figures.push(at_rest(&proxy, size).await);
        rig.kill_operator();
        rig.start_operator_behind(&proxy).await;
        quiet(&proxy).await;
        figures.push(memory(&format!("{size} strategies, just started"), size, rss(&rig)?));
    }
    Ok(figures)
}

fn account_of(index: usize) -> String {
    format!("a{index:02}")
}

fn strategy_of(index: usize) -> String {
    format!("s{index:04}")
}

fn memory(what: &str, size: usize, mib: f64) -> Figure {
    let figure = Figure::new(SECTION, format!("RSS, {what}"), format!("{mib:.1} MiB"));
    match GOALS_MB.iter().find(|(of, _)| *of == size) {
        Some((_, goal)) => {
            let goal_mib = goal * 1e6 / f64::from(1 << 20);
            figure.goal(&format!("< {goal:.0} MB ({goal_mib:.1} MiB)"), Goal::AtMost(goal_mib), mib)
        }
        None => figure,
    }
}

fn rss(rig: &Rig) -> Result<f64, BenchError> {
    let pid = rig.operator.as_ref().map(|operator| operator.pid().to_string()).unwrap_or_default();
    status_mb(&pid, "VmRSS").ok_or_else(|| BenchError::Process("the operator has ended".to_owned()))
}

/// Waits until nothing was written for a while.
async fn quiet(proxy: &Proxy) {
    let (mut writes, mut since) = (proxy.writes(), Instant::now());
    wait_for("the operator to come to rest", patience(300), async || {
        let now = proxy.writes();
        if now != writes {
            (writes, since) = (now, Instant::now());
        }
        if since.elapsed() >= QUIET { Ok(()) } else { Err(format!("{now} writes")) }
    })
    .await;
}

async fn create(rig: &Rig, range: std::ops::Range<usize>) -> Result<(), BenchError> {
    let api: Api<TradingStrategy> = rig.api();
    let created = futures::stream::iter(range).map(|index| {
        let api = &api;
        async move {
            // One strategy a base asset.
            let symbol = format!("C{:03}-USD", index / ACCOUNTS);
            let yaml = strategy(&strategy_of(index), &account_of(index % ACCOUNTS), &symbol)
                .replace("amount: \"5000\"", "amount: \"500\"");
            let object: TradingStrategy =
                serde_saphyr::from_str(&yaml).map_err(|error| BenchError::Process(error.to_string()))?;
            api.create(&PostParams::default(), &object).await?;
            Ok::<(), BenchError>(())
        }
    });
    created.buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await.map(drop)
}

/// Changes one strategy after the other, spread over all there are, and waits each time until the change is published.
async fn edit(rig: &Rig, published: &PublishedAt, size: usize) -> Result<Runs, BenchError> {
    let api: Api<TradingStrategy> = rig.api();
    let mut took = Runs::default();
    for edit in 0..EDITS {
        let name = strategy_of(edit * 37 % size);
        // No edit is like the one before.
        let percent = 1 + (edit + size) % 89;
        let patch = Patch::Merge(json!({"spec": {"sizing": {"fixedPercent": {"percent": percent}}}}));
        let sent = Timestamp::now();
        let generation = api.patch(&name, &PatchParams::default(), &patch).await?.metadata.generation;
        let at = wait_for(&format!("{name} to be published"), patience(30), async || {
            published.at(&name, generation.unwrap_or_default()).ok_or_else(|| "not yet".to_owned())
        })
        .await;
        took.push(milliseconds(sent, at));
    }
    Ok(took)
}

/// Requests and writes while nothing happens; the goal is that nothing is written but Leases.
async fn at_rest(proxy: &Proxy, size: usize) -> Figure {
    drop(proxy.take_passed());
    // paces: what happens in a minute without cause is what is measured.
    tokio::time::sleep(REST).await;
    let passed = proxy.take_passed();
    let lease = |passed: &&Passed| passed.path.contains("/leases/");
    let wrote = |passed: &&Passed| passed.method != "GET";
    let leases = passed.iter().filter(lease).count();
    let watches = passed.iter().filter(|passed| passed.watch).count();
    let writes = passed.iter().filter(wrote).filter(|passed| !lease(passed)).count();
    let others = passed.len() - leases - watches - writes;
    Figure::new(
        SECTION,
        format!("{size} strategies, a minute at rest"),
        format!("{leases} Lease requests, {watches} watches opened anew, {others} other reads, {writes} other writes"),
    )
    .goal("no writes but Leases", Goal::AtMost(0.0), f64::from(u32::try_from(writes).unwrap_or(u32::MAX)))
}

/// When which generation of which strategy was first seen in a ConfigMap.
struct PublishedAt {
    seen: Arc<Mutex<BTreeMap<String, (i64, Timestamp)>>>,
    _task: Following,
}

impl PublishedAt {
    async fn start(maps: Api<ConfigMap>) -> Result<Self, BenchError> {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let notes = Arc::clone(&seen);
        let task = follow(maps, move |map| note(&notes, map)).await?;
        Ok(Self { seen, _task: task })
    }

    fn count(&self) -> usize {
        self.seen.lock().map_or(0, |seen| seen.len())
    }

    fn at(&self, name: &str, generation: i64) -> Option<Timestamp> {
        let seen = self.seen.lock().ok()?;
        seen.get(name).filter(|(of, _)| *of >= generation).map(|(_, at)| *at)
    }
}

fn note(notes: &Mutex<BTreeMap<String, (i64, Timestamp)>>, map: &ConfigMap) {
    let now = Timestamp::now();
    let Some(Ok((published, _))) = map.data.as_ref().map(Published::from_data) else { return };
    let Ok(mut notes) = notes.lock() else { return };
    for (name, entry) in published.strategies {
        let generation = entry.strategy.generation;
        let known = notes.entry(name).or_insert((generation, now));
        if generation > known.0 {
            *known = (generation, now);
        }
    }
}
