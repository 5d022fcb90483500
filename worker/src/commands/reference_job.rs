//! `reference-job`: the backtest of `reference-job.yaml` on a file of binary rows, and what it cost.
//!
//! It is the production backtest, not a second engine: the YAML goes through `resolve`, the rows through the feed, the
//! orders through the paper venue, every decision into the sink and its digest.

use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use tradewind_core::config::Config;
use tradewind_core::engine::InstrumentSpec;
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::name::Symbol;
use tradewind_core::time::Millis;
use tradewind_crds::load::texts;
use tradewind_crds::resolve::{Catalog, local_grants, resolve};

use super::backtest::run_feed;
use super::sink::Sink;
use super::{AssemblyError, CommandError};
use crate::feed::Single;
use crate::market_data::RowsReader;

const YAML: &str = include_str!("reference-job.yaml");
const MINUTE: Millis = Millis(60_000);

/// Which file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Little-endian rows of 48 bytes: i64 open time in ms UTC, then f64 open, high, low, close, volume; minute bars.
    pub file: PathBuf,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobResult {
    /// Bars taken in.
    pub bars: u64,
    /// Fills made.
    pub fills: u64,
    /// Equity of the account at the end, in the quote currency.
    pub equity: String,
    /// Decisions made.
    pub decisions: u64,
    /// Digest of the decisions' canonical bytes: two runs that decide the same have the same one.
    pub decisions_digest: String,
    /// CPU seconds of the process, user and system, from the first row decoded to the last effect.
    pub cpu_s: f64,
    /// Bars a CPU second.
    pub bars_per_cpu_s: f64,
    /// Largest resident set of the process.
    pub rss_peak_mb: f64,
}

/// The job's configuration: `reference-job.yaml` resolved for one minute series in BTC-USD.
pub fn config() -> Result<(Config, Vec<InstrumentSpec>), CommandError> {
    let loaded = texts([("reference-job.yaml", YAML)]);
    let usage = |problem: String| CommandError::Usage(problem);
    let symbol: Symbol =
        "BTC-USD".parse().map_err(|e: tradewind_core::name::NameError| usage(e.to_string()))?;
    // As fine as prices come, so that what the file says is not rounded.
    let rules = InstrumentRules::from_decimals(symbol.clone(), "0.00000001", "0.00000001", "0");
    let rules = rules.map_err(|e| usage(e.to_string()))?;
    let catalog = Catalog { data_set: "rows".to_owned(), bar: MINUTE, symbols: vec![symbol] };
    let keys = loaded.objects.account_keys();
    let key = keys.first().ok_or_else(|| usage("reference-job.yaml holds no account".to_owned()))?;
    let grants = local_grants(&loaded.objects, key, Some(&catalog), None);
    let resolution = resolve(&loaded.objects, key, &grants, Some(&catalog));
    let mut problems = resolution.problems();
    problems.extend(loaded.problems);
    if !problems.is_empty() {
        return Err(AssemblyError::Problems(problems).into());
    }
    let strategies = resolution.runnable();
    let account = resolution.account.map_err(AssemblyError::Problems)?;
    Ok((Config { account, strategies }, vec![InstrumentSpec { rules, interval: MINUTE }]))
}

/// Runs it over a file.
pub async fn run(file: &Path) -> Result<JobResult, CommandError> {
    let (config, instruments) = config()?;
    let rules = instruments.first().map(|i| i.rules.clone());
    let rules =
        rules.ok_or_else(|| CommandError::Usage("reference-job.yaml names no instrument".to_owned()))?;
    let mut feed = Single::new(InstrumentId(0), RowsReader::open(file, &rules)?);
    let before = cpu_seconds()?;
    let run = run_feed(&config, &instruments, &mut feed, Sink::new(None), |_| {});
    let outcome = Box::pin(run).await?;
    #[expect(clippy::float_arithmetic, reason = "seconds for people")]
    let cpu_s = cpu_seconds()? - before;
    if let Some(warning) = outcome.warnings.into_iter().chain(outcome.gathered.money_faults).next() {
        return Err(CommandError::Usage(warning));
    }
    let equity = outcome.gathered.account.as_ref().map(|s| s.equity.final_equity).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "a rate for people")]
    let bars_per_cpu_s = if cpu_s > 0.0 { outcome.bars as f64 / cpu_s } else { 0.0 };
    Ok(JobResult {
        bars: outcome.bars,
        fills: outcome.gathered.fills,
        equity: equity.to_string(),
        decisions: outcome.gathered.decisions,
        decisions_digest: outcome.gathered.digest,
        cpu_s,
        bars_per_cpu_s,
        rss_peak_mb: rss_peak_mb()?,
    })
}

/// The command.
pub async fn execute(options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let result = run(&options.file).await?;
    serde_json::to_writer(&mut *out, &result)?;
    writeln!(out)?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "seconds for people")]
fn cpu_seconds() -> Result<f64, CommandError> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(std::io::Error::from)?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The process's own high-water mark; that of `getrusage` can be the parent's, carried over by exec.
#[expect(clippy::float_arithmetic, reason = "megabytes for people")]
fn rss_peak_mb() -> Result<f64, CommandError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    let missing = || CommandError::Usage("/proc/self/status tells no VmHWM; the job needs Linux".to_owned());
    kilobytes.map(|kb| kb / 1024.0).ok_or_else(missing)
}
