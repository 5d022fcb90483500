//! Halting on a real API server: whatever else writes to the objects, a halt holds until it is resumed by name.
//!
//! Each test runs operator and worker as processes. The data goes up and down by turns, so that a strategy that is not
//! halted enters at every second bar: silence means something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod gitops;
mod outage;
mod scope;
mod soak;
mod sources;

use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};

/// Bars a second of the account's data.
const PACE: u32 = 20;
/// Denied entries after which a halt is taken to hold.
const BARS: usize = 15;
const HALT: &str = r#"{"halted":true}"#;

/// A rig with one account and one strategy on it that trades.
async fn trading() -> Rig {
    let rig = Rig::start().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.assert_trading("paper", "trend").await;
    rig
}

/// The uid of a halt, once it is there.
async fn uid_of(rig: &Rig, halt: &str) -> String {
    rig.wait_json(&format!("tradinghalt/{halt}"), ".metadata.uid", 20, |uid| !uid.is_empty()).await
}

/// Waits until the strategy's condition Halted says so.
async fn shown(rig: &Rig, halted: bool) {
    let wanted = if halted { "True" } else { "False" };
    rig.wait_json("strat/trend", ".status.conditions[?(@.type==\"Halted\")].status", 30, |found| {
        found == wanted
    })
    .await;
}
