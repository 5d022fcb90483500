//! Writes `docs/contracts/*.json`, the JSON Schemas of what is told to others; with `--check` only compares.

use std::path::Path;
use std::process::ExitCode;

use schemars::Schema;
use tradewind_ledger::outbox::Event;
use tradewind_worker::bus::ChannelSignal;

#[expect(clippy::print_stderr, reason = "a command's last words")]
fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    let contracts: [(&str, Schema); 2] = [
        ("event.json", schemars::schema_for!(Event)),
        ("trading-signal.json", schemars::schema_for!(ChannelSignal)),
    ];
    let mut same = true;
    for (name, schema) in contracts {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/contracts").join(name);
        let text = serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n";
        if check {
            if !std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
                eprintln!("docs/contracts/{name} differs from the code; run: make golden");
                same = false;
            }
        } else if let Err(error) = std::fs::write(&path, text) {
            eprintln!("docs/contracts/{name} could not be written: {error}");
            same = false;
        }
    }
    if same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
