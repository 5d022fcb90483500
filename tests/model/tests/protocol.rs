//! Every order of events within bounds. `make model-check` walks further.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use stateright::{Checker, Expectation, HasDiscoveries, Model};
use tradewind_model::{Bounds, Protocol, walks};

/// Walks through a world in breadth, to its end: what must be true is, and what can be is reached.
fn walk(bounds: Bounds) -> usize {
    let checker = checker(bounds).spawn_bfs().join();
    tell(&checker);
    checker.assert_properties();
    checker.unique_state_count()
}

/// Walks through so many states of a world that is too large for more, depth first: long stories to their end.
fn walk_some(bounds: Bounds, states: usize) {
    let checker = checker(bounds).target_state_count(states).spawn_dfs().join();
    tell(&checker);
    let promises: Vec<&str> = Protocol { bounds }
        .properties()
        .iter()
        .filter(|property| property.expectation == Expectation::Always)
        .map(|property| property.name)
        .collect();
    let broken: Vec<_> =
        checker.discoveries().into_iter().filter(|(name, _)| promises.contains(name)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checker.state_count() >= states || checker.is_done(), "it ended early");
}

/// For whoever reads the output: how large the world is.
fn tell(checker: &impl Checker<Protocol>) {
    println!(
        "{} unique states of {}, depth {}",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
}

fn checker(bounds: Bounds) -> stateright::CheckerBuilder<Protocol> {
    Protocol { bounds }.checker().threads(2).finish_when(HasDiscoveries::AnyFailures)
}

#[test]
fn one_worker_and_a_wire_that_loses_and_delays() {
    walk(walks::WIRE);
}

#[test]
fn a_worker_that_is_killed_at_any_step() {
    walk(walks::KILLED);
}

#[test]
fn a_worker_that_is_paused_at_any_step_beside_its_successor() {
    assert!(walk(walks::PAUSED) >= 1_000_000, "a world that shrank proves less");
}

#[test]
fn a_ledger_that_loses_its_last_commit() {
    walk(walks::ROLLED_BACK);
}

#[test]
fn cancels_that_cross_fills_before_a_second_entry() {
    walk(walks::CANCELLED);
}

#[test]
fn partial_fills_cancels_and_sendings_held_back() {
    walk(walks::TRADED);
}

#[test]
fn halts_that_cross_entries_and_a_change_of_workers() {
    walk(walks::HALTED);
}

#[test]
fn nodes_with_ledgers_of_their_own_of_which_one_is_behind() {
    walk(walks::PARTED);
}

#[test]
fn a_node_with_an_older_ledger_that_comes_back() {
    walk_some(walks::RETURNED, 2_000_000);
}

#[test]
fn what_was_bought_is_sold_while_the_worker_changes() {
    walk_some(walks::SOLD, 2_000_000);
}

#[test]
fn all_of_it_at_once_as_far_as_a_minute_goes() {
    walk_some(walks::EVERYTHING, 2_000_000);
}
