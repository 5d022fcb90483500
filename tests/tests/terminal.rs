//! A run on a terminal, which script(1) makes: the live table has it, and what went wrong is told when it is gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::process::Command;

use tradewind_tests::desk::{Desk, busy};
use tradewind_tests::process::{Ended, Worker, command, run_arguments};

/// What the command prints on a terminal of that name.
fn on_a_terminal(desk: &Desk, term: &str) -> Ended {
    let (file, state) = (desk.file(), desk.state(term));
    let arguments: Vec<&str> =
        run_arguments(&file, &state).into_iter().filter(|word| *word != "--plain").collect();
    let program = command(&[]).get_program().to_str().unwrap().to_owned();
    let line = format!("stty rows 50 cols 160; exec {program} {}", arguments.join(" "));
    let there = Command::new("script").arg("--version").output();
    there.expect("script is missing: install Debian's package bsdutils");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    Worker::spawn(script.env("TERM", term).env("NO_COLOR", "1").env_remove("TRADEWIND_LOG")).ended()
}

#[test]
fn what_went_wrong_is_told_when_the_live_table_is_gone() {
    let desk = Desk::new(&busy(&[("emaCross: {fast: 3, slow: 8}", "emaCross: {fast: 8, slow: 3}")]), 200);
    let ended = on_a_terminal(&desk, "xterm");
    assert_eq!(ended.code, Some(0), "{}", ended.out);
    let table = ended.out.find("reversion").expect("the table was there");
    let gone = ended.out.rfind("\u{1b}[?1049l").expect("the terminal was given back");
    let said = ended.out.rfind("not run").unwrap_or_else(|| panic!("nothing is said: {}", ended.out));
    assert!(table < gone && gone < said, "{}", ended.out);
    assert!(ended.out[said..].contains("trend") && ended.out[said..].contains("slow"), "{}", ended.out);
}

#[test]
fn a_terminal_that_takes_no_table_gets_plain_lines_and_the_log() {
    let desk = Desk::new(&busy(&[]), 200);
    let ended = on_a_terminal(&desk, "dumb");
    assert_eq!(ended.code, Some(0), "{}", ended.out);
    assert!(!ended.out.contains("\u{1b}[?1049"), "{}", ended.out);
    for words in ["day day=", "INFO", "completed default/paper"] {
        assert!(ended.out.contains(words), "{words}: {}", ended.out);
    }
}
