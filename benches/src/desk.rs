//! A desk: the sixteen symbols of `examples/data/binance-2024h1-1h`, eight to each of two strategies, resting stops of
//! 5 %, every limit at its default. Beside it the bare reader: the same files unpacked and decoded, nothing done.

use std::path::{Path, PathBuf};

use tradewind_core::config::VenueConfig;
use tradewind_core::engine::State;
use tradewind_core::event::{Record, Report};
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::Millis;
use tradewind_ledger::{Ledger, MemoryLedger};
use tradewind_venues::paper::PaperVenue;
use tradewind_worker::assembly::Assembly;
use tradewind_worker::commands::{Sink, backtest::run_feed};
use tradewind_worker::driver::{Driver, Journal, Observer, Start, decision_row};
use tradewind_worker::feed::{Feed, Grouped};
use tradewind_worker::market_data::{Bounds, CandleReader};

use crate::measure::{self, Runs, per_second, rate, ratio};
use crate::{BenchError, Figure};

/// The configuration.
pub const FILE: &str = "benches/desk.yaml";
/// Where the data sets lie.
pub const MARKET_DATA: &str = "examples/data";
const RUNS: usize = 9;
const SECTION: &str = "desk";

/// The desk as the worker would read it; `root` is the root of the checkout.
pub fn assembly(root: &Path) -> Result<Assembly, BenchError> {
    let files: Vec<PathBuf> = vec![root.join(FILE)];
    Ok(Assembly::load(&files, None, &[root.join(MARKET_DATA)])?)
}

/// The desk's candles from their start.
pub fn feed(assembly: &Assembly) -> Result<Grouped<CandleReader>, BenchError> {
    Ok(Grouped::new(assembly.merge(Bounds::default())?, assembly.data.bar()))
}

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let assembly = assembly(Path::new("."))?;
    let (mut engine, mut reader) = (Runs::default(), Runs::default());
    let mut seen = String::new();
    for _ in 0..RUNS {
        let mut bars = feed(&assembly)?;
        let before = measure::cpu_now()?;
        let run = run_feed(&assembly.config, &assembly.instruments, &mut bars, Sink::new(None), |_| {});
        let outcome = Box::pin(run).await?;
        engine.push(per_second(outcome.bars, measure::cpu_now()? - before));
        let denied = outcome.gathered.account.as_ref().map_or(0, |account| account.denied);
        seen = format!("{} bars, {} fills, {denied} denied", outcome.bars, outcome.gathered.fills);

        let mut bars = feed(&assembly)?;
        let (read, seconds) = measure::cpu_seconds(|| count(&mut bars))?;
        reader.push(per_second(read, seconds));
        if read != outcome.bars || !bars.failures().is_empty() {
            return Err(BenchError::Wrong(format!(
                "the reader gave {read} bars, the backtest took {}",
                outcome.bars
            )));
        }
    }
    let speed = engine.median();
    Ok(vec![
        Figure::new(SECTION, "bars a CPU second", format!("{} (best {})", rate(speed), rate(engine.most())))
            .against(format!("reading alone: {}", rate(reader.median())), ratio(speed, reader.median())),
        Figure::new(SECTION, "what happens in a run", seen),
    ])
}

fn count(bars: &mut Grouped<CandleReader>) -> u64 {
    let (mut group, mut read) = (Vec::new(), 0_u64);
    while bars.next_group(&mut group) {
        read += group.len() as u64;
    }
    read
}

/// Watches nothing, or keeps decisions as the ledger has them.
#[derive(Debug, Default)]
pub struct Watch {
    /// Where decisions go, if anywhere.
    pub decisions: Option<Vec<tradewind_ledger::DecisionRow>>,
}

impl Observer for Watch {
    fn on_report(&mut self, state: &State, report: &Report) {
        if let (Some(rows), Report::Decision(decision)) = (&mut self.decisions, report) {
            rows.extend(decision_row(state, decision));
        }
    }

    fn on_record(&mut self, _: &State, _: &Record) {}
}

/// A driver of the desk as `run` makes it, recovered from its ledger if there is one.
pub async fn driver<L: Ledger>(
    assembly: &Assembly,
    ledger: Option<L>,
    venue: PaperVenue,
    watch: Watch,
) -> Result<Driver<L, PaperVenue, Watch>, BenchError> {
    let rules: Vec<_> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    let identity = LedgerIdentity { incarnation: Incarnation(0), epoch: Epoch(1) };
    let journal = if ledger.is_some() { Journal::keeping(rules) } else { Journal::forgetting() };
    let start = Start {
        config: assembly.config.clone(),
        instruments: assembly.instruments.clone(),
        identity: ledger.as_ref().map_or(identity, Ledger::identity),
        ledger,
        venue,
        lease: Millis(0),
        journal,
        observer: watch,
    };
    Ok(Driver::recover(start).await?)
}

/// Settles a driver and takes it through the first `groups` of the desk's bars.
pub async fn trade<L: Ledger>(
    assembly: &Assembly,
    driver: &mut Driver<L, PaperVenue, Watch>,
    groups: usize,
) -> Result<(), BenchError> {
    let (mut feed, mut group) = (feed(assembly)?, Vec::new());
    for index in 0..groups {
        if !feed.next_group(&mut group) {
            break;
        }
        if let Some((_, first)) = group.first().filter(|_| index == 0) {
            driver.settle(assembly.config.clone(), first.open_time).await?;
        }
        driver.on_bars(&group, assembly.data.bar()).await?;
    }
    Ok(())
}

/// The desk after that many groups of bars, in memory.
pub async fn traded(
    assembly: &Assembly,
    groups: usize,
    watch: Watch,
) -> Result<Driver<MemoryLedger, PaperVenue, Watch>, BenchError> {
    let VenueConfig::Paper(paper) = &assembly.config.account.venue else {
        return Err(BenchError::Wrong("the desk is not on paper".to_owned()));
    };
    let rules: Vec<_> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    let venue = PaperVenue::in_memory(paper, &assembly.config.account.quote_currency, &rules)?;
    let mut driver = driver(assembly, None, venue, watch).await?;
    trade(assembly, &mut driver, groups).await?;
    Ok(driver)
}
