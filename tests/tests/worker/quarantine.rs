//! A strategy whose signal ends the process twice is not evaluated any more; the others go on.
//!
//! No signal of ours is known to crash, and none is made to for a test: the notes that a crash leaves behind are put
//! where the hook puts them. That the hook writes them when a signal panics is proven beside it.

use std::fmt::Write as _;
use std::fs;

use tradewind_tests::rig::objects::strategy;

use super::{BARS, assert_no_entry_since, hold, is_flat, let_go, told, trading, uid_of};

#[tokio::test]
async fn after_two_crashes_it_holds_what_it_holds_enters_nothing_and_an_edit_is_a_new_chance() {
    let mut rig = trading().await;
    rig.apply(&strategy("other", "paper", "BBB-USD")).await;
    rig.assert_trading("paper", "other").await;
    hold(&rig, "trend").await;
    let uid = uid_of(&rig, "strat/trend").await;
    let generation = rig.wait_json("strat/trend", ".metadata.generation", 5, |text| !text.is_empty()).await;
    rig.wait_json("strat/trend", ".status.applied.generation", 20, |applied| applied == generation).await;
    let hash = rig.wait_json("strat/trend", ".status.applied.hash", 20, |hash| !hash.is_empty()).await;
    drop(rig.kubelet.take());
    let mut notes = String::new();
    for _ in 0..2 {
        let (name, what) = ("trend", "index out of bounds");
        let note = serde_json::json!({"strategy": uid, "name": name, "hash": hash, "what": what});
        writeln!(notes, "{note}").unwrap();
    }
    fs::write(rig.data_dir("paper").join("crashes.jsonl"), notes).unwrap();
    let mark = rig.mark("paper", "trend").await;
    rig.start_kubelet().await;

    let path = ".status.conditions[?(@.type==\"Quarantined\")].status";
    rig.wait_json("strat/trend", path, 60, |status| status == "True").await;
    told(&rig, "strat/trend", "Quarantined", "SignalCrashed", 5).await;
    told(&rig, "strat/other", "Quarantined", "NotQuarantined", 5).await;
    rig.assert_trading("paper", "other").await;
    let rows = rig.outcomes("paper", "trend", mark, "Quarantined", BARS).await;
    assert!(rows.iter().all(|row| !is_flat(row)), "what it holds stays, with its stop: {rows:?}");
    told(&rig, "strat/trend", "PositionsProtected", "StopsPlaced", 20).await;
    assert_no_entry_since(&rig, "trend", mark).await;

    let_go(&rig, "trend").await;
    rig.assert_trading("paper", "trend").await;
    rig.wait_json("strat/trend", path, 30, |status| status == "False").await;
}
