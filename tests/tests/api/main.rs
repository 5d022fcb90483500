//! What people meet at a real API server: rules in their own words, columns, `kubectl explain` and `kubectl wait`, who
//! may do what, and what is said of every mistake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod access;
mod columns;
#[path = "../../../crds/tests/common/mod.rs"]
mod common;
mod mistakes;
mod outages;
mod refused;
mod rules;
mod words;
mod worker;

use tradewind_tests::rig::Rig;

/// The reason and message of an account's or a strategy's condition Ready, once the reason is that.
async fn not_ready(rig: &Rig, object: &str, reason: &str) -> String {
    let ready = ".status.conditions[?(@.type==\"Ready\")]";
    let path = format!("{ready}.status}}{{\" \"}}{{{ready}.reason}}{{\" \"}}{{{ready}.message");
    let start = format!("False {reason} ");
    let found = rig.wait_json(object, &path, 30, |found| found.starts_with(&start)).await;
    found[start.len()..].to_owned()
}

/// Waits until an account's or a strategy's condition Ready is true.
async fn ready(rig: &Rig, object: &str) {
    rig.wait_json(object, ".status.conditions[?(@.type==\"Ready\")].status", 60, |found| found == "True")
        .await;
}
