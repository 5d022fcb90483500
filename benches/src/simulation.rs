//! The simulation: seeds a second on one core, and how long positions had no stop at the venue under each kind of fault.

use std::time::Instant;

use tradewind_simulation::{Disturbance, Fault, run, unprotected};

use crate::measure::{self, Goal, Runs, per_second, rate};
use crate::{BenchError, Figure};

const SECTION: &str = "simulation";
const ROUNDS: u64 = 5;
/// Seeds of a round.
const SEEDS: u64 = 300;
/// Seeds for each kind of fault.
const FAULTY: u64 = 200;

/// Measures.
pub fn run_all() -> Result<Vec<Figure>, BenchError> {
    let mut speed = Runs::default();
    let mut crashes = 0;
    for round in 0..ROUNDS {
        let before = measure::cpu_now()?;
        for seed in round * SEEDS..(round + 1) * SEEDS {
            let outcome = run(seed, false);
            if let Some(broken) = outcome.broken {
                return Err(BenchError::Wrong(format!("seed {seed}: {broken}")));
            }
            crashes += outcome.coverage.times(Fault::Crash);
        }
        speed.push(per_second(SEEDS, measure::cpu_now()? - before));
    }
    let seeds = speed.median();
    let mut figures = vec![
        Figure::new(
            SECTION,
            "seeds a CPU second",
            format!("{} (best {}, worst {})", rate(seeds), rate(speed.most()), rate(speed.least())),
        )
        .goal("≥ 50", Goal::AtLeast(50.0), seeds),
        Figure::new(SECTION, "in them", format!("{crashes} crashes")),
    ];
    let started = Instant::now();
    for kind in Disturbance::all() {
        figures.push(bare(kind)?);
    }
    let seconds = started.elapsed().as_secs_f64();
    figures.push(Figure::new(SECTION, "runs of each kind", format!("{FAULTY}, {seconds:.0} s for all")));
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn bare(kind: Disturbance) -> Result<Figure, BenchError> {
    let found = unprotected(kind, 1, FAULTY)
        .map_err(|broken| BenchError::Wrong(format!("faults of the kind {kind:?}: {broken}")))?;
    let seconds = |span: tradewind_core::time::Millis| span.0 as f64 / 1e3;
    let (bare, held) = (seconds(found.bare), seconds(found.held));
    let share = 100.0 * measure::ratio(bare, held);
    Ok(Figure::new(
        SECTION,
        format!("unprotected position-seconds: {}", kind.to_string().to_lowercase()),
        format!("{bare:.0} of {held:.0} s held ({share:.2} %), longest {:.1} s", seconds(found.longest)),
    ))
}
