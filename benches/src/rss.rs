//! Memory of a worker while it replays: `run` on `examples/quickstart.yaml`, at full speed, from its start to its end.
//!
//! Looked at in `/proc/<pid>/status` all the while. What the system says after the end (`ru_maxrss` of the child) covers
//! also the last moments; it counts what this program held when it started the child, so it is used only when larger
//! than that.

use std::path::Path;

use nix::sys::resource::UsageWho;

use crate::measure::{self, Goal, Runs};
use crate::process::{Look, Running, status_mb};
use crate::{BenchError, Figure};

const FILE: &str = "examples/quickstart.yaml";
const MARKET_DATA: &str = "examples/data";
const RUNS: usize = 3;
const SECTION: &str = "rss";

/// What one run used, in MiB.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    peak: f64,
    last: f64,
    anonymous: f64,
}

/// Measures.
pub fn run() -> Result<Vec<Figure>, BenchError> {
    let worker = measure::worker_binary()?;
    let (mut peak, mut last, mut anonymous) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..RUNS {
        let used = one(&worker)?;
        peak.push(used.peak);
        last.push(used.last);
        anonymous.push(used.anonymous);
    }
    let worst = peak.most();
    Ok(vec![
        Figure::new(SECTION, "peak RSS, replaying the quickstart", format!("{worst:.1} MiB")).goal(
            "≤ 20 MB (19.1 MiB)",
            Goal::AtMost(20e6 / f64::from(1 << 20)),
            worst,
        ),
        Figure::new(SECTION, "RSS at the end of the data", format!("{:.1} MiB", last.most())),
        Figure::new(
            SECTION,
            "of it memory of its own (not the program's file)",
            format!("{:.1} MiB", anonymous.most()),
        ),
    ])
}

fn one(worker: &Path) -> Result<Used, BenchError> {
    let dir = measure::scratch()?;
    let running = Running::start(worker, Path::new(FILE), Path::new(MARKET_DATA), dir.path(), "max")?;
    let mut used = Used::default();
    while running.look() != Look::Ended {
        // A process that has ended has no memory, and keeps what was seen last.
        if let (Some(peak), Some(last)) = (running.status_mb("VmHWM"), running.status_mb("VmRSS")) {
            used = Used { peak, last, anonymous: running.status_mb("RssAnon").unwrap_or(used.anonymous) };
        }
    }
    let status = running.wait()?;
    if !status.success() || used.peak <= 0.0 {
        return Err(BenchError::Process(format!("the worker ended with {status} before it was looked at")));
    }
    let own = status_mb("self", "VmHWM").unwrap_or(f64::MAX);
    let of_child = children_mb()?;
    if of_child > own {
        used.peak = used.peak.max(of_child);
    }
    Ok(used)
}

#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
fn children_mb() -> Result<f64, BenchError> {
    Ok(measure::usage(UsageWho::RUSAGE_CHILDREN)?.max_rss() as f64 / 1024.0)
}
