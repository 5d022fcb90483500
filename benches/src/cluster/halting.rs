//! From the patch that sets `spec.halted` to the worker's gate, and to the last entry cancelled at the venue.
//!
//! Twenty strategies of one account, which order at every bar, four bars a second: eighty orders a second. Each halt is of
//! one of them, latched as ever, and resumed before the next. The gate is closed when the worker says `halted`: from then
//! on the engine denies entries. The reference is a bare watch of the same objects, opened here: nothing on this API
//! server sees it earlier.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::market::SYMBOLS;

use super::{Following, POD, follow, line_since, milliseconds, name_of, quantiles, time_of, trading};
use crate::measure::{Goal, Runs, ratio};
use crate::{BenchError, Figure};

const SECTION: &str = "halting";
const STRATEGIES: usize = 20;
const HALTS: usize = 200;
const BARS_A_SECOND: u32 = 4;

/// What the halts took, in milliseconds from before the patch was sent.
#[derive(Default)]
struct Took {
    gate: Runs,
    cancelled: Runs,
    answered: Runs,
    watched: Runs,
}

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let rig = trading(STRATEGIES, BARS_A_SECOND).await?;
    let watch = Watch::start(rig.api()).await?;
    let mut took = Took::default();
    for (run, symbol) in (0..HALTS).zip(SYMBOLS.iter().take(STRATEGIES).cycle()) {
        one(&rig, &watch, &name_of(run % STRATEGIES), symbol, &mut took).await?;
    }
    let goal = took.gate.percentile(99);
    Ok(vec![
        Figure::new(SECTION, "patch sent → gate closed", quantiles(&took.gate))
            .goal("p99 ≤ 50 ms", Goal::AtMost(50.0), goal)
            .against(
                format!("bare watch: {}", quantiles(&took.watched)),
                ratio(goal, took.watched.percentile(99)),
            ),
        Figure::new(SECTION, "patch sent → last entry cancelled at the venue", quantiles(&took.cancelled)),
        Figure::new(SECTION, "patch sent → answered by the API server", quantiles(&took.answered)),
        Figure::new(
            SECTION,
            "what was measured",
            format!(
                "{} halts of {STRATEGIES} strategies, in {} of them an entry was open",
                took.gate.len(),
                took.cancelled.len()
            ),
        ),
    ])
}

/// Halts one strategy, waits until it has denied an entry, and resumes it.
async fn one(rig: &Rig, watch: &Watch, name: &str, symbol: &str, took: &mut Took) -> Result<(), BenchError> {
    let strategies: Api<TradingStrategy> = rig.api();
    let from = rig.kubelet().log_length(POD);
    let sent = Timestamp::now();
    let halt = Patch::Merge(json!({"spec": {"halted": true}}));
    strategies.patch(name, &PatchParams::default(), &halt).await?;
    took.answered.push(milliseconds(sent, Timestamp::now()));

    let latch = format!("strategy.{name}.latched");
    let halted = |line: &str| line.contains(&format!("halted halt={latch} "));
    took.gate.push(milliseconds(sent, line_since(rig, from, "the gate", halted).await?.1));
    // Once it has denied an entry, all that was open when it was halted has been cancelled.
    let denied = |line: &str| {
        line.contains(&format!("decision strategy={name} ")) && line.contains("outcome=\"Halted\"")
    };
    line_since(rig, from, "a denied entry", denied).await?;
    let log = rig.kubelet().log_since(POD, from);
    let cancelled = log.lines().filter(|line| {
        line.contains(" cancelled intent=")
            && line.contains(&format!("symbol={symbol} "))
            && line.contains("purpose=Entry")
    });
    if let Some(at) = cancelled.filter_map(time_of).next_back() {
        took.cancelled.push(milliseconds(sent, at));
    }
    let seen = wait_for("the bare watch", patience(10), async || {
        watch.seen(name, sent).ok_or_else(|| "nothing".to_owned())
    })
    .await;
    took.watched.push(milliseconds(sent, seen));
    resume(rig, name, &latch, from).await
}

async fn resume(rig: &Rig, name: &str, latch: &str, from: usize) -> Result<(), BenchError> {
    let halts: Api<TradingHalt> = rig.api();
    let uid = wait_for("the latched halt", patience(10), async || match halts.get_opt(latch).await {
        Ok(Some(halt)) => halt.uid().ok_or_else(|| "no uid".to_owned()),
        Ok(None) => Err("none yet".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await;
    let spec = json!({"spec": {"halted": null, "resume": {"haltID": uid}}});
    let strategies: Api<TradingStrategy> = rig.api();
    strategies.patch(name, &PatchParams::default(), &Patch::Merge(spec)).await?;
    let resumed = |line: &str| line.contains(&format!("resumed halt={latch} "));
    line_since(rig, from, "the halt to be resumed", resumed).await?;
    // The next halt of this strategy is another one.
    wait_for("the halt's object to be gone", patience(10), async || match halts.get_opt(latch).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("still there".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await;
    let enters = |line: &str| {
        line.contains(&format!("decision strategy={name} ")) && line.contains("outcome=\"Enter\"")
    };
    let resumed_at = rig.kubelet().log_length(POD);
    line_since(rig, resumed_at, "an entry after the resume", enters).await.map(drop)
}

/// A watch of the strategies that does nothing but note when it saw which of them halted.
struct Watch {
    seen: Arc<Mutex<Vec<(String, Timestamp)>>>,
    _task: Following,
}

impl Watch {
    async fn start(strategies: Api<TradingStrategy>) -> Result<Self, BenchError> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let task = follow(strategies, move |strategy: &TradingStrategy| {
            if strategy.spec.halted == Some(true)
                && let Ok(mut notes) = notes.lock()
            {
                notes.push((strategy.name_any(), Timestamp::now()));
            }
        })
        .await?;
        Ok(Self { seen, _task: task })
    }

    /// When it first saw that strategy halted since a time.
    fn seen(&self, name: &str, since: Timestamp) -> Option<Timestamp> {
        let seen = self.seen.lock().ok()?;
        seen.iter().find(|(of, at)| of == name && *at >= since).map(|(_, at)| *at)
    }
}
