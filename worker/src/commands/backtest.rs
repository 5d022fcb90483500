//! `backtest`: the same engine, venue model and gates as `run`, as fast as the machine can, with statistics at the end.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tradewind_core::config::{Config, VenueConfig};
use tradewind_core::engine::InstrumentSpec;
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::Millis;
use tradewind_ledger::MemoryLedger;
use tradewind_venues::paper::PaperVenue;

use super::sink::{Gathered, Sink};
use super::{CommandError, typed_time, validate};
use crate::assembly::{Assembly, search_dirs};
use crate::driver::{Driver, Journal, Start};
use crate::feed::{Feed, Grouped};
use crate::market_data::Bounds;
use crate::statistics::{Statistics, render_table};

/// What a backtest is told.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// YAML files, or folders of them, with the account, its policies and its strategies.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The account to trade on, when the files hold several.
    #[arg(long)]
    pub account: Option<String>,
    /// Folder with data sets; may be repeated. Beside it, `data` next to each file is searched.
    #[arg(long, value_name = "DIR")]
    pub market_data: Vec<PathBuf>,
    /// First bar's open time (2024-05-01 or RFC 3339); the start of the data if absent.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Open time of the first bar that is no longer taken; the end of the data if absent.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Writes every decision to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub decisions: Option<PathBuf>,
}

/// How a result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    /// A table for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// A backtest's result; two runs give the same bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BacktestResult {
    /// Account name.
    pub account: String,
    /// Data set.
    pub data_set: String,
    /// Bars taken in.
    pub bars: u64,
    /// Decisions made: one for each bar, instrument and strategy.
    pub decisions: u64,
    /// Digest of the decisions' canonical bytes: two runs that decide the same have the same one.
    pub decisions_digest: String,
    /// Prices that lay off the tick and were rounded.
    pub off_tick: u64,
    /// Rows of the data that were skipped as unusable.
    pub skipped_rows: u64,
    /// What went wrong without ending the run.
    pub warnings: Vec<String>,
    /// The account as a whole.
    pub total: Option<Statistics>,
    /// Each strategy.
    pub strategies: std::collections::BTreeMap<String, Statistics>,
}

/// What a run over a feed has given.
pub struct Outcome {
    /// What the sink gathered.
    pub gathered: Gathered,
    /// Bars taken in.
    pub bars: u64,
    /// What failed on the way.
    pub warnings: Vec<String>,
}

/// Why an account cannot be backtested.
const NO_PAPER: &str = "a backtest needs an account with a paper venue; name one";

/// Runs a whole feed through engine and venue, forgetting everything but the statistics.
pub async fn run_feed<F: Feed>(
    config: &Config,
    instruments: &[InstrumentSpec],
    feed: &mut F,
    sink: Sink,
    mut on_bars: impl FnMut(usize),
) -> Result<Outcome, CommandError> {
    let interval = instruments.first().map_or(Millis(0), |i| i.interval);
    let VenueConfig::Paper(paper) = &config.account.venue else {
        return Err(CommandError::Usage(NO_PAPER.to_owned()));
    };
    let rules: Vec<_> = instruments.iter().map(|i| i.rules.clone()).collect();
    let venue = PaperVenue::in_memory(paper, &config.account.quote_currency, &rules)?;
    let start: Start<MemoryLedger, PaperVenue, Sink> = Start {
        config: config.clone(),
        instruments: instruments.to_vec(),
        ledger: None,
        // No order leaves the process: one tag is as good as another, and two runs must give the same bytes.
        identity: LedgerIdentity { incarnation: Incarnation(0), epoch: Epoch(1) },
        venue,
        lease: Millis(0),
        journal: Journal::forgetting(),
        observer: sink,
    };
    let mut driver = Driver::recover(start).await?;
    let (mut group, mut bars, mut warnings) = (Vec::new(), 0_u64, Vec::new());
    while feed.next_group(&mut group) {
        if bars == 0
            && let Some((_, first)) = group.first()
        {
            driver.settle(config.clone(), first.open_time).await?;
            driver.observer.open(&driver.state, first.open_time, instruments.len());
        }
        if !driver.on_quiet_bars(&group, interval) {
            driver.finish_bars(&group, interval).await?;
        }
        driver.observer.on_bars(&driver.state, &group, interval);
        bars += group.len() as u64;
        on_bars(group.len());
    }
    for (id, error) in feed.failures() {
        let symbol = driver.state.rules(id).map(|r| r.symbol.to_string()).unwrap_or_default();
        warnings.push(format!("{symbol} ended early: {error}"));
    }
    let (_, sink, _) = driver.finish().await?;
    Ok(Outcome { gathered: sink.finish()?, bars, warnings })
}

/// The command.
pub async fn execute(options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let dirs = search_dirs(&options.market_data, &options.files);
    let assembly = Assembly::load(&options.files, options.account.as_deref(), &dirs)?;
    validate::warn(&assembly.problems);
    let bounds = Bounds {
        from: typed_time("--from", options.from.as_deref())?,
        to: typed_time("--to", options.to.as_deref())?,
    };
    let trace: Option<Box<dyn Write>> = match &options.decisions {
        Some(path) => Some(Box::new(BufWriter::new(create(path)?))),
        None => None,
    };
    let mut feed = Grouped::new(assembly.merge(bounds)?, assembly.data.bar());
    let progress = progress(&assembly, bounds, options.output)?;
    let run = run_feed(&assembly.config, &assembly.instruments, &mut feed, Sink::new(trace), |n| {
        progress.inc(n as u64);
    });
    let outcome = Box::pin(run).await?;
    progress.finish_and_clear();
    let result = result_of(&assembly, outcome, &mut feed);
    print(&result, options.output, out)
}

fn result_of(
    assembly: &Assembly,
    outcome: Outcome,
    feed: &mut Grouped<crate::market_data::CandleReader>,
) -> BacktestResult {
    let quality: Vec<_> = feed.merge_mut().sources().map(|s| s.bars.quality()).collect();
    let mut warnings = outcome.warnings;
    warnings.extend(outcome.gathered.money_faults);
    if outcome.bars == 0 {
        warnings.push("no bar lies between --from and --to".to_owned());
    }
    BacktestResult {
        account: assembly.config.account.name.to_string(),
        data_set: assembly.data_set_name().to_owned(),
        bars: outcome.bars,
        decisions: outcome.gathered.decisions,
        decisions_digest: outcome.gathered.digest,
        off_tick: quality.iter().map(|q| q.off_tick).sum(),
        skipped_rows: quality.iter().map(|q| q.skipped).sum(),
        warnings,
        total: outcome.gathered.account,
        strategies: outcome.gathered.strategies.into_iter().collect(),
    }
}

fn print(result: &BacktestResult, output: Output, out: &mut dyn Write) -> Result<(), CommandError> {
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, result).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        Output::Text => {
            writeln!(
                out,
                "account {} on {}: {} bars, {} decisions (digest {})",
                result.account,
                result.data_set,
                result.bars,
                result.decisions,
                result.decisions_digest.get(..16).unwrap_or_default(),
            )?;
            let strategies = result.strategies.iter().map(|(name, s)| (name.as_str(), s));
            let books: Vec<_> =
                result.total.iter().map(|s| (result.account.as_str(), s)).chain(strategies).collect();
            write!(out, "{}", render_table(&books))?;
            for warning in &result.warnings {
                writeln!(out, "warning: {warning}")?;
            }
        }
    }
    Ok(())
}

fn create(path: &PathBuf) -> Result<std::fs::File, CommandError> {
    std::fs::File::create(path).map_err(|source| CommandError::File { path: path.clone(), source })
}

/// A bar with rate and time left on a terminal; nothing elsewhere.
fn progress(assembly: &Assembly, bounds: Bounds, output: Output) -> Result<ProgressBar, CommandError> {
    if output == Output::Json || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    // Counting first costs one more reading of the files, and makes the time left true.
    let total = assembly.merge(bounds)?.filter(|(_, bar)| bar.is_ok()).count();
    let bar = ProgressBar::new(total as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} bars  {per_sec}  {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(100));
    Ok(bar)
}
