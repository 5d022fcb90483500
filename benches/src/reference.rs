//! The reference job: how many minute bars the production backtest takes in a CPU second, and that it takes them right.
//!
//! The job runs as `tradewind-worker reference-job`, each time in a fresh process. Its fills and its equity must be those
//! of the plain loop and its decisions the same bytes in every run, or there is no figure. The two plain loops run in
//! between, so that all three see the same machine.

use std::path::Path;

use rust_decimal::Decimal;

use crate::measure::{self, Goal, Runs, per_second, rate, ratio};
use crate::plain::{self, Expected};
use tradewind_worker::commands::reference_job::JobResult as Job;

use crate::process;
use crate::{BenchError, Figure, series};

/// Bars of the job.
pub const BARS: usize = 500_000;
/// Bars of the short job that the cost of a bar is compared with.
pub const FEW_BARS: usize = 25_000;
/// Seed of the series.
pub const SEED: u64 = 20_240_101;
/// Runs of the job.
const RUNS: usize = 9;
/// Short runs between two long ones; they take next to no time and vary more.
const SHORT_RUNS: usize = 3;
const SECTION: &str = "reference";

/// Whether a job came to what it must come to; the words say where it did not.
pub fn check(job: &Job, expected: &Expected) -> Result<(), BenchError> {
    let equity: Option<Decimal> = job.equity.parse().ok();
    let same = job.bars == expected.bars
        && job.decisions == expected.bars
        && job.fills == expected.fills
        && equity == Some(expected.equity);
    if same {
        return Ok(());
    }
    Err(BenchError::Wrong(format!(
        "the job made {} bars, {} decisions, {} fills and an equity of {}; the plain loop {} bars, {} fills and {}",
        job.bars, job.decisions, job.fills, job.equity, expected.bars, expected.fills, expected.equity
    )))
}

/// Whether two runs made the same decisions.
fn check_same(first: &str, job: &Job) -> Result<(), BenchError> {
    if job.decisions_digest == first {
        return Ok(());
    }
    let words = format!("two runs made other decisions: digest {first} and {}", job.decisions_digest);
    Err(BenchError::Wrong(words))
}

#[derive(Default)]
struct Measured {
    long: Runs,
    long_cost: Runs,
    short_cost: Runs,
    integers: Runs,
    decimals: Runs,
    rss: Runs,
}

/// Measures.
pub fn run() -> Result<Vec<Figure>, BenchError> {
    let worker = measure::worker_binary()?;
    let dir = measure::scratch()?;
    let (long, short) = (dir.path().join("long.rows"), dir.path().join("short.rows"));
    series::write(&long, BARS, SEED)?;
    series::write(&short, FEW_BARS, SEED)?;
    let (expected, expected_short) = (plain::integers(&long)?, plain::integers(&short)?);
    let first = process::reference_job(&worker, &long)?.decisions_digest;
    let mut measured = Measured::default();
    for _ in 0..RUNS {
        let job = process::reference_job(&worker, &long)?;
        check(&job, &expected)?;
        check_same(&first, &job)?;
        measured.long.push(job.bars_per_cpu_s);
        measured.long_cost.push(1.0 / job.bars_per_cpu_s);
        measured.rss.push(job.rss_peak_mb);
        for _ in 0..SHORT_RUNS {
            let job = process::reference_job(&worker, &short)?;
            check(&job, &expected_short)?;
            measured.short_cost.push(1.0 / job.bars_per_cpu_s);
        }
        measured.integers.push(loop_rate(&long, &expected, plain::integers)?);
        measured.decimals.push(loop_rate(&long, &expected, plain::decimals)?);
    }
    Ok(figures(&measured, &expected, &first))
}

fn loop_rate(
    file: &Path,
    expected: &Expected,
    job: fn(&Path) -> Result<Expected, BenchError>,
) -> Result<f64, BenchError> {
    let (result, seconds) = measure::cpu_seconds(|| job(file))?;
    let result = result?;
    if result == *expected {
        Ok(per_second(result.bars, seconds))
    } else {
        Err(BenchError::Wrong(format!("the plain loops differ: {result:?} and {expected:?}")))
    }
}

fn figures(measured: &Measured, expected: &Expected, digest: &str) -> Vec<Figure> {
    let speed = measured.long.median();
    let best = rate(measured.long.most());
    let growth = ratio(measured.long_cost.least(), measured.short_cost.least());
    let nanoseconds = |runs: &Runs| format!("{:.1} ns", runs.least() * 1e9);
    let beside = |name: &str, runs: &Runs| format!("{name}: {}", rate(runs.median()));
    let equal = format!("{} fills, equity {}", expected.fills, expected.equity);
    let of = |bars: usize| format!("{} 000 bars", bars / 1_000);
    vec![
        Figure::new(
            SECTION,
            format!("bars a CPU second, {}", of(BARS)),
            format!("{} (best {best})", rate(speed)),
        )
        .goal("≥ 10 M", Goal::AtLeast(10e6), speed)
        .against(
            beside("plain loop, integers", &measured.integers),
            ratio(speed, measured.integers.median()),
        ),
        Figure::new(SECTION, "the same against decimals", format!("{} (best {best})", rate(speed))).against(
            beside("plain loop, decimals", &measured.decimals),
            ratio(speed, measured.decimals.median()),
        ),
        Figure::new(SECTION, format!("cost of a bar, {}", of(BARS)), nanoseconds(&measured.long_cost))
            .goal("≤ 1.2 × that of few", Goal::AtMost(1.2), growth)
            .against(format!("{}: {}", of(FEW_BARS), nanoseconds(&measured.short_cost)), growth),
        Figure::new(SECTION, "equal to the plain loop, every run", equal),
        Figure::new(SECTION, "decisions, the same bytes every run", format!("digest {digest:.16}…")),
        Figure::new(SECTION, "peak RSS", format!("{:.1} MiB", measured.rss.most())),
    ]
}
