//! `tradewind-worker ledger`: what people check, take away and bring back, with the worker as a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use tradewind_ledger::{LedgerReader, SqliteReader};
use tradewind_tests::desk::{Desk, busy};
use tradewind_tests::process::{Ended, Worker, run};
use tradewind_tests::{block_on, books};

/// Some ten milliseconds a bar: it stays for as long as a test looks at it.
const PACED: (&str, &str) = ("speed: {max: {}}", "speed: {times: {factor: 360000}}");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ledger(arguments: &[&str], state: &Path) -> Ended {
    run(&[&["ledger"], arguments, &["--data-dir", text(state)]].concat())
}

fn ok(arguments: &[&str], state: &Path) -> String {
    let ended = ledger(arguments, state);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

fn refused(arguments: &[&str], state: &Path) -> String {
    let ended = ledger(arguments, state);
    assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
    ended.last_words().to_owned()
}

fn stop(worker: Worker) {
    worker.signal(Signal::SIGTERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

fn entered(worker: &mut Worker) {
    worker.line("an entry", |line| line.contains("outcome=\"Enter\""));
}

#[test]
fn a_restored_ledger_starts_halted_says_what_to_do_and_trades_on_once_resumed() {
    let desk = Desk::new(&busy(&[PACED]), 6000);
    let (state, new) = (desk.state("state"), desk.state("new"));
    let backup = desk.path().join("backup.jsonl");
    let mut worker = desk.start("state");
    entered(&mut worker);
    let said = ok(&["backup", "--to", text(&backup)], &state);
    assert!(said.starts_with("saved "), "while the worker runs: {said}");
    stop(worker);
    ok(&["backup", "--to", text(&backup)], &state);
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let said = ok(&["restore", "--from", text(&backup)], &new);
    assert!(said.contains("halted by account.paper.ledger-unknown"), "{said}");
    assert!(said.contains("resume account.paper.ledger-unknown --data-dir"), "{said}");
    assert!(refused(&["restore", "--from", text(&backup)], &new).contains("there is a ledger already"));
    ok(&["verify"], &new);
    // The paper venue is a party of its own: it stayed.
    fs::copy(state.join("paper.db"), new.join("paper.db")).unwrap();
    let before = books::decisions(&state).len();
    let mut worker = desk.start("new");
    worker.line("a denial", |line| line.contains("outcome=\"Halted\""));
    let since = &books::decisions(&new)[before..];
    assert!(since.iter().all(|row| row.outcome != "Enter"), "entered while halted");
    let resume = ["resume", "account.paper.ledger-unknown", "--data-dir", text(&new), "--by", "a person"];
    let ended = run(&resume);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    entered(&mut worker);
    stop(worker);
    ok(&["verify"], &new);
    let last = block_on(async {
        let mut ledger = SqliteReader::open(&new.join("ledger.db")).await.unwrap();
        ledger.history().await.unwrap().next_intent
    });
    assert!(last > 1_000_000_000, "no number of an order that may have been lost is used again: {last}");
}

#[test]
fn verify_finds_missing_rows_by_a_head_that_was_kept() {
    let desk = Desk::new(&busy(&[]), 400);
    desk.complete("state");
    let state = desk.state("state");
    let said = ok(&["verify"], &state);
    let head = said.split_whitespace().find(|word| word.contains(':')).unwrap().to_owned();
    let said = ok(&["verify", "--head", &head], &state);
    assert!(said.contains("each as it was written"), "{said}");
    let backup = desk.path().join("backup.jsonl");
    ok(&["backup", "--to", text(&backup)], &state);
    let longer = format!("{}:{}", u64::MAX, "0".repeat(64));
    let said = refused(&["verify", "--head", &longer], &state);
    assert!(said.contains("never held"), "{said}");
    // Cut off at a line in the middle, a backup is none.
    let whole = fs::read_to_string(&backup).unwrap();
    fs::write(&backup, &whole[..whole.len() / 2]).unwrap();
    let said = refused(&["restore", "--from", text(&backup)], &desk.state("new"));
    assert!(said.contains("of the backup is not as it was written"), "{said}");
    assert!(!desk.state("new").join("ledger.db").exists());
}

#[test]
fn rows_are_exported_as_csv_and_json_lines() {
    let desk = Desk::new(&busy(&[]), 400);
    desk.complete("state");
    let state = desk.state("state");
    let fills = block_on(async {
        let mut ledger = SqliteReader::open(&state.join("ledger.db")).await.unwrap();
        ledger.trades(u32::MAX).await.unwrap()
    });
    let csv = ok(&["export", "--table", "fills"], &state);
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let price = names.iter().position(|name| *name == "price").unwrap();
    let prices: Vec<&str> = lines.map(|line| line.split(',').nth(price).unwrap()).collect();
    let expected: Vec<&str> = fills.iter().rev().map(|fill| fill.price.as_str()).collect();
    assert_eq!(prices, expected);
    let folder = desk.path().join("exported");
    ok(&["export", "--format", "jsonl", "--to", text(&folder)], &state);
    let rows = fs::read_to_string(folder.join("fills.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(first["price"], expected[0]);
    assert_eq!(rows.lines().count(), fills.len());
    assert!(folder.join("decisions.jsonl").exists() && folder.join("intents.jsonl").exists());
    let ended = ledger(&["export", "--table", "orders"], &state);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.last_words().contains("there is no table \"orders\"; the tables are intents, "),
        "{}",
        ended.err
    );
    assert_eq!(ledger(&["export"], &state).code, Some(2), "several tables need a folder");
}
