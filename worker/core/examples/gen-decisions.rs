//! Writes `docs/decisions.md` from the closed set of denials; with `--check` only compares.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use strum::{EnumMessage, IntoEnumIterator};
use tradewind_core::decision::Stage;
use tradewind_core::denial::Denial;

fn page() -> String {
    let mut text = String::from(
        "# Decisions\n\n\
         Every bar of every instrument gives each strategy exactly one decision. It ends in an order (`Enter`, `Exit`), \
         or in the first reason against one. The same code is the reason in the ledger and in `explain`, the `reason` \
         label of `tradewind_decisions_total`, and the key in a backtest's `denials`.\n\n\
         This page is generated from `worker/core/src/denial.rs` by `make golden`; CI compares it.\n\n\
         | outcome | meaning |\n|---|---|\n\
         | `Enter` | An intent to buy was made; it is sent once it is durable. |\n\
         | `Exit` | The sale of the position was started: its stop is cancelled first, then what is held is sold. Where nothing is held yet, the entry that is open was called off. |\n\n\
         Reasons, in the order of the stages a decision goes through. Exits pass the stages halt, threshold, sizing and \
         risk unasked.\n\n\
         | stage | reason | meaning |\n|---|---|---|\n",
    );
    for stage in Stage::iter() {
        for denial in Denial::iter().filter(|denial| denial.stage() == stage) {
            let meaning = denial.get_documentation().unwrap_or_default();
            let _ = writeln!(text, "| {stage} | `{}` | {meaning} |", denial.code());
        }
    }
    text
}

#[expect(clippy::print_stderr, reason = "a command's last words")]
fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/decisions.md");
    let page = page();
    if std::env::args().any(|argument| argument == "--check") {
        let same = std::fs::read_to_string(&path).is_ok_and(|found| found == page);
        if !same {
            eprintln!("docs/decisions.md differs from the code; run: make golden");
        }
        return if same { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match std::fs::write(&path, page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docs/decisions.md could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}
