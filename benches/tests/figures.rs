//! What the figures stand on is what it says it is: the desk trades, the large ledger holds what it must and recovers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};

use tradewind_benches::desk::{self, Watch};
use tradewind_benches::intents::options;
use tradewind_benches::{page, start};
use tradewind_ledger::{LedgerReader, SqliteLedger};
use tradewind_worker::commands::run::LEDGER_FILE;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn the_desk_is_sixteen_instruments_in_two_strategies_with_stops_and_default_limits() {
    let assembly = desk::assembly(&root()).unwrap();
    let shape: Vec<_> =
        assembly.config.strategies.iter().map(|s| (s.instruments.len(), s.stop_loss.is_some())).collect();
    assert_eq!((assembly.instruments.len(), shape), (16, vec![(8, true), (8, true)]));
    // The defaults as they are documented: 65 % confidence, ten positions, an hour, four a day.
    let limits = format!("{:?}", assembly.config.strategies[0].limits);
    for value in ["650000", "10", "3600000", "4"] {
        assert!(limits.contains(value), "{value} is not in {limits}");
    }
}

#[tokio::test]
async fn a_ledger_that_was_made_to_be_measured_holds_what_was_asked_for_and_recovers() {
    let assembly = desk::assembly(&root()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let size = Box::pin(start::build(&assembly, dir.path(), 500, 40)).await.unwrap();
    // On top come thirty days of 24 decisions in 16 instruments, and what they traded.
    assert_eq!(size.decisions, 500 + 30 * 24 * 16);
    assert!(size.fills > 40, "{size:?}");
    let mut ledger = SqliteLedger::open(&dir.path().join(LEDGER_FILE), &options(&assembly)).await.unwrap();
    ledger.verify().await.unwrap();
    let history = ledger.history().await.unwrap();
    assert_eq!(history.fills.len() as u64, size.fills);
    assert!(!history.open_orders.is_empty(), "no stop is resting, so nothing is settled at the start");
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn the_checkpoint_of_the_desk_names_every_instrument() {
    let assembly = desk::assembly(&root()).unwrap();
    let state = desk::traded(&assembly, 48, Watch::default()).await.unwrap().state;
    let checkpoint = state.checkpoint();
    assert_eq!(checkpoint.instruments.len(), 16);
    assert!(checkpoint.instruments.iter().all(|i| i.last_bar.is_some()));
}

#[test]
fn the_page_has_a_place_for_every_figure() {
    let text = std::fs::read_to_string(root().join("docs/benchmarks.md")).unwrap();
    let sections = [
        "reference",
        "desk",
        "intents",
        "bus",
        "start",
        "rss",
        "halting",
        "operator",
        "first-fill",
        "recovery",
        "worker",
    ];
    let figures = sections.map(|section| tradewind_benches::Figure::new(section, "a", "b"));
    page::rewrite(&text, &page::Facts::default(), &figures).unwrap();
}
