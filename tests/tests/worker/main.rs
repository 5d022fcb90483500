//! What becomes of a worker when something it relies on is lost, old, refused or made anew, on a real API server.
//!
//! The data goes up and down by turns, so that a strategy that may enter does so at every second bar: silence means
//! something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod exchange;
mod ledger;
mod quarantine;
mod succession;
mod token;

use tradewind_ledger::DecisionRow;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy_with};
use tradewind_tests::rig::{Mark, Rig};

/// Bars a second of the account's data.
const PACE: u32 = 20;
/// Denied entries after which entries are taken to have stopped.
const BARS: usize = 15;
/// A stop far below every price of the data: it rests and never goes off.
const STOP: &str = "  exits: {stopLoss: {fixedPercent: {percent: 50}}}";

/// A rig with one account and a strategy with a stop that trades.
async fn trading() -> Rig {
    let rig = Rig::start().await;
    let trend = strategy_with("trend", "paper", "AAA-USD", STOP);
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &trend])).await;
    rig.assert_trading("paper", "trend").await;
    rig
}

fn is_flat(row: &DecisionRow) -> bool {
    row.position.chars().all(|c| c == '0' || c == '.')
}

/// Stops the strategy at a moment at which it holds something.
async fn hold(rig: &Rig, strategy: &str) {
    for _ in 0..20 {
        let mark = rig.mark("paper", strategy).await;
        rig.patch(strategy, r#"{"desiredState":"Stopped"}"#).await.success();
        // What was sent on the bar before is filled by the second one.
        let rows = rig.outcomes("paper", strategy, mark, "Stopped", 3).await;
        if !is_flat(rows.last().unwrap()) {
            return;
        }
        let mark = rig.mark("paper", strategy).await;
        rig.patch(strategy, r#"{"desiredState":"Trading"}"#).await.success();
        rig.outcomes("paper", strategy, mark, "Enter", 1).await;
    }
    panic!("twenty times it held nothing when it was stopped");
}

/// Lets it act on its signals again.
async fn let_go(rig: &Rig, strategy: &str) {
    rig.patch(strategy, r#"{"desiredState":"Trading"}"#).await.success();
}

async fn uid_of(rig: &Rig, object: &str) -> String {
    rig.wait_json(object, ".metadata.uid", 20, |uid| !uid.is_empty()).await
}

/// Waits until a condition has that reason.
async fn told(rig: &Rig, object: &str, condition: &str, reason: &str, seconds: u64) {
    let path = format!(".status.conditions[?(@.type==\"{condition}\")].reason");
    rig.wait_json(object, &path, seconds, |found| found == reason).await;
}

/// Nothing was entered since the mark, whatever the strategy has decided.
async fn assert_no_entry_since(rig: &Rig, strategy: &str, mark: Mark) {
    let rows = rig.decisions("paper", strategy).await;
    let entered = rows.iter().skip(mark.decisions()).find(|row| row.outcome == "Enter");
    assert!(entered.is_none(), "{strategy} entered: {entered:?}");
}
