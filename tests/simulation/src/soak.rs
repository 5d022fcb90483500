//! Many runs, on all cores, and what came of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::broken::Broken;
use crate::coverage::Coverage;
use crate::run::run;

/// Failing seeds after which no more are run.
const ENOUGH: usize = 8;

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Report {
    /// How many were run to their end.
    pub runs: u64,
    /// What happened in all of them.
    pub coverage: Coverage,
    /// Seeds in which something did not hold, by rising number.
    pub broken: Vec<(u64, Broken)>,
}

/// Runs that many seeds from the first one on.
pub fn soak(first: u64, seeds: u64) -> Report {
    let (next, report) = (AtomicU64::new(0), Mutex::new(Report::default()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(first, seeds, &next, &report));
        }
    });
    let mut report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.broken.sort_by_key(|(seed, _)| *seed);
    report
}

fn work(first: u64, seeds: u64, next: &AtomicU64, report: &Mutex<Report>) {
    let mut own = Report::default();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= seeds || own.broken.len() >= ENOUGH {
            break;
        }
        let seed = first.wrapping_add(index);
        let outcome = run(seed, false);
        own.runs += 1;
        own.coverage.add(&outcome.coverage);
        own.broken.extend(outcome.broken.map(|broken| (seed, broken)));
    }
    let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
    report.runs += own.runs;
    report.coverage.add(&own.coverage);
    report.broken.append(&mut own.broken);
}
