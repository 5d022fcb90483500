//! Runs the simulation: `tradewind-simulation SEEDS [FIRST]`, or `tradewind-simulation replay SEED`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use tradewind_simulation::{first_of_commit, keep, replay_command, run, soak};

const USAGE: &str = "usage: tradewind-simulation SEEDS [FIRST], or tradewind-simulation replay SEED: whole numbers; \
                     FIRST is the commit's own unless it is given";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<Option<u64>> = args.iter().map(|text| text.parse().ok()).collect();
    match (args.first().map(String::as_str), numbers.as_slice()) {
        (Some("replay"), [_, Some(seed)]) => replay(*seed),
        (_, [Some(seeds)]) => many(first_of_commit(), *seeds),
        (_, [Some(seeds), Some(first)]) => many(*first, *seeds),
        _ => {
            tell(USAGE);
            ExitCode::from(2)
        }
    }
}

fn replay(seed: u64) -> ExitCode {
    let outcome = run(seed, true);
    for line in &outcome.trace {
        tell(line);
    }
    if let Some(broken) = outcome.broken {
        tell(&format!("seed {seed}: {broken}"));
        return ExitCode::FAILURE;
    }
    tell(&format!("seed {seed}: all held"));
    ExitCode::SUCCESS
}

fn many(first: u64, seeds: u64) -> ExitCode {
    let started = Instant::now();
    let report = soak(first, seeds);
    for (what, times) in report.coverage.lines() {
        tell(&format!("{times:>10} {what}"));
    }
    let coverage = &report.coverage;
    tell(&format!(
        "{} seeds from {first} in {:.1} s: {} starts, {} intents, {} orders accepted, {} trades",
        report.runs,
        started.elapsed().as_secs_f64(),
        coverage.starts,
        coverage.intents,
        coverage.accepted,
        coverage.trades
    ));
    for (seed, broken) in &report.broken {
        tell(&format!("seed {seed}: {broken}\n  {}", replay_command(*seed)));
        if let Err(error) = keep(*seed, broken) {
            tell(&format!("  cannot be kept in tests/simulation/seeds.txt: {error}"));
        }
    }
    if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(line: &str) {
    // A reader that has gone away needs no lines.
    writeln!(io::stdout(), "{line}").ok();
}
