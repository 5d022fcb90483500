//! Clocks and averages. Everything in seconds.

use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};

use crate::BenchError;

/// A goal that is a number of things a second, or of seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// That much or more.
    AtLeast(f64),
    /// That much or less.
    AtMost(f64),
}

impl Goal {
    /// Whether a figure meets it.
    pub fn met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(goal) => figure >= goal,
            Self::AtMost(goal) => figure <= goal,
        }
    }
}

/// Several runs of one thing.
#[derive(Debug, Clone, Default)]
pub struct Runs(Vec<f64>);

impl Runs {
    /// One more.
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest; zero when there was none.
    pub fn least(&self) -> f64 {
        self.0.first().copied().unwrap_or(0.0)
    }

    /// The largest; zero when there was none.
    pub fn most(&self) -> f64 {
        self.0.last().copied().unwrap_or(0.0)
    }

    /// The one that this share of the others does not exceed, by nearest rank; zero when there was none.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent.min(100)).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    /// The middle one (the lower of two); zero when there was none.
    pub fn median(&self) -> f64 {
        self.0.get(self.0.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
    }
}

/// User and system seconds of this process while `work` ran, and what it gave.
pub fn cpu_seconds<T>(work: impl FnOnce() -> T) -> Result<(T, f64), BenchError> {
    let before = cpu_now()?;
    let result = work();
    Ok((result, cpu_now()? - before))
}

/// User and system seconds of this process so far.
#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
pub fn cpu_now() -> Result<f64, BenchError> {
    let usage = usage(UsageWho::RUSAGE_SELF)?;
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Seconds on the wall while `work` ran.
pub fn wall_seconds<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed().as_secs_f64())
}

/// What the system says of resources.
pub fn usage(who: UsageWho) -> Result<Usage, BenchError> {
    Ok(getrusage(who).map_err(std::io::Error::from)?)
}

/// That many in that many seconds, a second; zero when no time passed.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// One figure as a share of another; zero when there is no other.
pub fn ratio(figure: f64, reference: f64) -> f64 {
    if reference > 0.0 { figure / reference } else { 0.0 }
}

/// A rate in words: `8.13 M`, `48.2 k` or `870`.
pub fn rate(figure: f64) -> String {
    if figure >= 1e6 {
        format!("{:.2} M", figure / 1e6)
    } else if figure >= 1e4 {
        format!("{:.1} k", figure / 1e3)
    } else {
        format!("{figure:.0}")
    }
}

/// An empty folder for a measurement; it is removed with its handle. It lies where `TMPDIR` points to, which must be on
/// the disk that is meant.
pub fn scratch() -> Result<tempfile::TempDir, BenchError> {
    Ok(tempfile::Builder::new().prefix("tradewind-bench-").tempdir()?)
}

/// The worker built beside this program.
pub fn worker_binary() -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe()?;
    let worker = own.parent().unwrap_or(Path::new(".")).join("tradewind-worker");
    if worker.is_file() {
        Ok(worker)
    } else {
        let message =
            format!("{} is not there; build it: cargo build --release -p tradewind-worker", worker.display());
        Err(BenchError::Process(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_by_their_ends_and_their_middle() {
        let mut runs = Runs::default();
        assert!(runs.is_empty());
        for figure in [5.0, 1.0, 4.0, 2.0, 30.0] {
            runs.push(figure);
        }
        assert_eq!((runs.len(), runs.least(), runs.median(), runs.most()), (5, 1.0, 4.0, 30.0));
        let ranks = [0, 20, 21, 50, 99, 100].map(|percent| runs.percentile(percent).to_string());
        assert_eq!(ranks, ["1", "1", "2", "4", "30", "30"]);
    }

    #[test]
    fn a_goal_counts_as_met_at_its_very_value() {
        assert!(Goal::AtLeast(10.0).met(10.0) && !Goal::AtLeast(10.0).met(9.99));
        assert!(Goal::AtMost(2.0).met(2.0) && !Goal::AtMost(2.0).met(2.01));
    }

    #[test]
    fn rates_are_written_so_that_people_can_compare_them() {
        assert_eq!(["8.13 M", "48.2 k", "870"], [rate(8_130_000.0), rate(48_200.0), rate(870.0)].map(|s| s));
    }
}
