//! Walks through worlds of the order protocol, deeper than the tests do: `tradewind-model [STATES [WORLD...]]`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};
use tradewind_model::{Protocol, walks};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let states = args.next().map_or(Ok(20_000_000), |text| text.parse::<usize>());
    let Ok(states) = states else {
        tell("usage: tradewind-model [STATES [WORLD...]]: STATES is a whole number of states a world");
        return ExitCode::from(2);
    };
    let chosen: Vec<String> = args.collect();
    let mut sound = true;
    for (name, bounds) in walks::ALL {
        if chosen.is_empty() || chosen.iter().any(|wanted| wanted == name) {
            sound &= walk(name, Protocol { bounds }, states);
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Depth first, so that long stories are walked to their end; false when something happened that must not.
fn walk(name: &str, model: Protocol, states: usize) -> bool {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let started = Instant::now();
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(states)
        .spawn_dfs()
        .join();
    let wrong: Vec<_> =
        checker.discoveries().into_iter().filter(|(property, _)| is_promise(&model, property)).collect();
    tell(&format!(
        "{name}: {} unique states, {} in all, depth {}, {:.1} s: {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        started.elapsed().as_secs_f64(),
        if wrong.is_empty() { "sound" } else { "BROKEN" }
    ));
    for (property, path) in &wrong {
        tell(&format!("not true: {property}"));
        for action in path.clone().into_actions() {
            tell(&format!("  {action:?}"));
        }
    }
    wrong.is_empty()
}

fn is_promise(model: &Protocol, name: &str) -> bool {
    let always = |p: &stateright::Property<Protocol>| p.expectation == stateright::Expectation::Always;
    model.properties().iter().any(|p| p.name == name && always(p))
}

fn tell(line: &str) {
    // A reader that has gone away needs no lines.
    writeln!(io::stdout(), "{line}").ok();
}
