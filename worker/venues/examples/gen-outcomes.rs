//! Writes `docs/venues/binance-us.md` with the table of outcomes; with `--check` only compares.

use std::path::Path;
use std::process::ExitCode;

use tradewind_venues::binance_us::{outcome, request};

/// What stands before the table. Constants are filled in, so that the page cannot say others.
const PAGE: &str = include_str!("binance-us.md");

fn page() -> String {
    let window = request::RECV_WINDOW.0 / 1000;
    PAGE.replace("{window}", &window.to_string())
        .replace("{lag}", &(tradewind_venues::binance_us::QUERY_LAG.0 / 1000).to_string())
        .replace("{skew}", &tradewind_venues::binance_us::MAX_ERROR.0.to_string())
        .replace("{offset}", &(tradewind_venues::binance_us::MAX_OFFSET.0 / 1000).to_string())
        .replace("{deadline}", &tradewind_venues::binance_us::DEADLINE.as_secs().to_string())
        .replace("{collar}", &(request::STOP_COLLAR.0 / 1_000_000).to_string())
        .replace("{table}", &outcome::markdown())
}

fn main() -> ExitCode {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/venues/binance-us.md");
    let wanted = page();
    let check = std::env::args().any(|arg| arg == "--check");
    if check && std::fs::read_to_string(&file).is_ok_and(|found| found == wanted) {
        return ExitCode::SUCCESS;
    }
    if check {
        println!("docs/venues/binance-us.md differs from its sources; run `make golden`");
        return ExitCode::FAILURE;
    }
    match std::fs::write(&file, wanted) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("docs/venues/binance-us.md cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
