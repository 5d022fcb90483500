//! Seeds that failed once, and two thousand that nobody has run before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use tradewind_core::time::Millis;
use tradewind_simulation::{
    Disturbance, first_of_commit, keep, kept, replay_command, run, soak, unprotected,
};

/// Runs, so many at least of each commit.
const SEEDS: u64 = 2_000;
/// How often each fault and each step must have occurred in them.
const LEAST: u64 = 20;
/// Lines of the trace that are printed of a seed that fails.
const LAST: usize = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// The end of a failing seed's story, and how to see all of it.
fn tell(seed: u64) -> String {
    let outcome = run(seed, true);
    let from = outcome.trace.len().saturating_sub(LAST);
    format!("{}\nreplay it: {}", outcome.trace[from..].join("\n"), replay_command(seed))
}

#[test]
fn seeds_that_failed_once_hold() {
    for seed in kept().unwrap() {
        if let Some(broken) = run(seed, false).broken {
            panic!("seed {seed}: {broken}\n{}", tell(seed));
        }
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    let (one, two) = (run(7, true), run(7, true));
    assert!(one.trace.len() > 100, "nothing happened: {:?}", one.trace);
    assert_eq!(one.trace, two.trace);
    assert_ne!(one.trace, run(8, true).trace);
}

#[test]
fn fresh_seeds_hold_and_everything_happens_in_them() {
    let first = number("TRADEWIND_FIRST_SEED").unwrap_or_else(first_of_commit);
    let report = soak(first, SEEDS);
    for (what, times) in report.coverage.lines() {
        println!("{times:>10} {what}");
    }
    if let Some((seed, broken)) = report.broken.first() {
        for (seed, broken) in &report.broken {
            keep(*seed, broken).ok();
        }
        panic!("{} seeds fail; seed {seed}: {broken}\n{}", report.broken.len(), tell(*seed));
    }
    assert_eq!(report.runs, SEEDS);
    let rare = report.coverage.rarer_than(LEAST);
    assert!(rare.is_empty(), "fewer than {LEAST} times in {SEEDS} seeds from {first}: {rare:?}");
    let intents = report.coverage.intents / SEEDS;
    assert!(intents >= 50, "{intents} intents a run prove less");
}

/// Until what was traded must show, until it is asked for, until the venue's not knowing an order is believed, and some
/// turns of the loop between: five, three, five and three seconds, and a few.
const BARE: Millis = Millis(20_000);

#[test]
fn no_position_is_long_without_a_stop_while_the_venue_answers() {
    for kind in [Disturbance::Nothing, Disturbance::LaggingQueries, Disturbance::HeldBackOrders] {
        let found = unprotected(kind, 1, 100).unwrap();
        assert!(found.held > Millis(100_000_000), "{kind}: too little was held: {found:?}");
        assert!(found.longest <= BARE, "{kind}: {found:?}");
    }
}
