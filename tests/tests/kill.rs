//! The worker killed at any moment, started again, and coming to the same end as one that was left alone: the same
//! summary, the same decisions and fills, no order sent twice, nothing lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::time::SystemTime;

use nix::sys::signal::Signal;
use tradewind_tests::books::Books;
use tradewind_tests::desk::{BUSY, Desk, summary};
use tradewind_tests::process::Worker;
use tradewind_tests::{Dice, until};

const BARS: usize = 400;

/// The same run without interruption: summary and books.
fn left_alone(desk: &Desk) -> (String, Books) {
    let summary = desk.complete("alone");
    let books = Books::of(&desk.file(), &desk.state("alone"));
    assert!(books.trades.len() > 100, "only {} fills: the test proves little", books.trades.len());
    (summary, books)
}

fn assert_same_end(desk: &Desk, alone: &(String, Books), state: &str, last: &str) {
    assert_eq!(last, alone.0, "the summary of the run that was interrupted differs");
    let books = Books::of(&desk.file(), &desk.state(state));
    books.assert_same(&alone.1, "the interrupted run");
}

/// Interrupts a run at moments that `moment` waits for, at most `most` times, then lets it come to its end.
fn interrupted(
    desk: &Desk,
    state: &str,
    most: usize,
    mut moment: impl FnMut(&mut Worker, usize) -> bool,
    mut interrupt: impl FnMut(Worker),
) -> (usize, String) {
    for times in 0..most {
        let mut worker = desk.start(state);
        if !moment(&mut worker, times) {
            let ended = worker.ended();
            assert_eq!(ended.code, Some(0), "{}", ended.err);
            return (times, summary(&ended.out));
        }
        interrupt(worker);
    }
    (most, desk.complete(state))
}

fn kill(worker: Worker) {
    let ended = worker.kill();
    assert!(ended.signal == Some(9) || ended.code == Some(0), "{ended:?}");
}

#[test]
fn killed_while_orders_and_fills_are_told_it_ends_as_if_it_had_not_been() {
    let desk = Desk::new(BUSY, BARS);
    let alone = left_alone(&desk);
    let mut dice = Dice::new(11);
    // Each word is logged between the engine's step and the commit or the sending that follows it; the addresses are
    // printed right before recovery.
    let words = [" intent ", " fill ", "outcome=\"Exit\"", " decision ", "portfolio http://"];
    let moment = |worker: &mut Worker, times: usize| {
        let word = words[times % words.len()];
        let mut left = if word.starts_with("portfolio") { 1 } else { 1 + dice.below(12) };
        let wanted = |line: &str| {
            left -= u64::from(line.contains(word));
            left == 0
        };
        worker.line_or_end(word, wanted).is_some()
    };
    let (times, last) = interrupted(&desk, "killed", 14, moment, kill);
    assert!(times >= 10, "killed only {times} times");
    assert_same_end(&desk, &alone, "killed", &last);
}

/// Changes whenever the file is written.
fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.len(), metadata.modified().unwrap()))
}

#[test]
fn killed_while_files_are_written_it_ends_as_if_it_had_not_been() {
    let desk = Desk::new(BUSY, BARS);
    let alone = left_alone(&desk);
    let mut dice = Dice::new(12);
    let state = desk.state("killed");
    // From the very first file on: in the middle of migrations, of the making of the paper book, of commits.
    let files = ["ledger.db.lock", "ledger.db-wal", "paper.db", "paper.db-wal"].map(|name| state.join(name));
    let moment = |worker: &mut Worker, times: usize| {
        let file = &files[if times < 4 { times } else { 1 + 2 * (times % 2) }];
        let mut left = if times < 4 { 1 } else { 1 + dice.below(40) };
        let mut last = stamp(file);
        until("a file to be written", || {
            let now = stamp(file);
            left -= u64::from(now != last);
            last = now;
            let ended = worker.so_far().out.contains("\ncompleted ");
            (ended || left == 0).then_some(!ended)
        })
    };
    let (times, last) = interrupted(&desk, "killed", 12, moment, kill);
    assert!(times >= 8, "killed only {times} times");
    assert_same_end(&desk, &alone, "killed", &last);
}

fn drains(signal: Signal) {
    let desk = Desk::new(BUSY, BARS);
    let alone = left_alone(&desk);
    let mut dice = Dice::new(13);
    let moment = |worker: &mut Worker, _: usize| {
        let mut left = 10 + dice.below(60);
        let wanted = |line: &str| {
            left = left.saturating_sub(u64::from(line.contains(" fill ")));
            left == 0
        };
        worker.line_or_end("a fill", wanted).is_some()
    };
    let interrupt = |worker: Worker| {
        worker.signal(signal);
        let ended = worker.ended();
        assert_eq!((ended.code, ended.signal), (Some(0), None), "{}", ended.err);
        let text = summary(&ended.out);
        // The data may have ended between the line and the signal.
        let said = text.starts_with("drained default/paper at ") || text == alone.0;
        assert!(said && text.contains("equity ") && text.contains("fills "), "{text}");
    };
    let (times, last) = interrupted(&desk, "drained", 3, moment, interrupt);
    assert_eq!(times, 3, "it came to its end too early");
    assert_same_end(&desk, &alone, "drained", &last);
}

#[test]
fn sigterm_drains_and_the_next_start_goes_on() {
    drains(Signal::SIGTERM);
}

#[test]
fn ctrl_c_drains_and_the_next_start_goes_on() {
    drains(Signal::SIGINT);
}

#[test]
fn started_again_after_its_end_it_says_the_same_and_does_nothing() {
    let desk = Desk::new(BUSY, BARS);
    let alone = left_alone(&desk);
    let again = desk.complete("alone");
    assert_same_end(&desk, &alone, "alone", &again);
}
