//! Writes `docs/conditions.md` from condition types and the closed set of reasons; with `--check` only compares.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use strum::{EnumMessage, IntoEnumIterator};
use tradewind_crds::reasons::Reason;

/// The comments of constants are not at hand in a program, so that they are read where they are written.
const SOURCE: &str = include_str!("../src/reasons.rs");

const HEAD: &str = "# Conditions and events\n\n\
    Programs read conditions, people the `PHASE` column and `kubectl describe`. Each condition carries the \
    `observedGeneration` it describes; `kubectl wait --for=condition=Ready` therefore waits for the spec just applied. \
    Reasons are a closed set: the same words stand in conditions, events and the `reason` label of metrics.\n\n\
    This page is generated from `crds/src/reasons.rs` by `make golden`; CI compares it.\n\n\
    | condition | meaning |\n|---|---|\n";

/// The condition types with their comments, in the order of the source.
fn conditions() -> Vec<(String, String)> {
    let (mut all, mut comment) = (Vec::new(), String::new());
    for line in SOURCE.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(text);
        } else {
            let value = line.strip_prefix("pub const ").and_then(|rest| rest.split('"').nth(1));
            if let Some(value) = value {
                all.push((value.to_owned(), comment.clone()));
            }
            comment.clear();
        }
    }
    all
}

fn page() -> String {
    let mut text = String::from(HEAD);
    for (condition, meaning) in conditions() {
        let _ = writeln!(text, "| `{condition}` | {meaning} |");
    }
    text.push_str("\n| reason | meaning |\n|---|---|\n");
    for reason in Reason::iter() {
        let meaning = reason.get_documentation().unwrap_or_default();
        let meaning = meaning.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "| `{reason}` | {meaning} |");
    }
    text
}

#[expect(clippy::print_stderr, reason = "a command's last words")]
fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conditions.md");
    let page = page();
    if std::env::args().any(|argument| argument == "--check") {
        let same = std::fs::read_to_string(&path).is_ok_and(|found| found == page);
        if !same {
            eprintln!("docs/conditions.md differs from the code; run: make golden");
        }
        return if same { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match std::fs::write(&path, page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docs/conditions.md could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}
