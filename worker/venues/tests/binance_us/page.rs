//! The documentation says what the code does.

use tradewind_venues::binance_us::outcome::{TABLE, markdown};

#[test]
fn the_documented_table_is_the_table() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/venues/binance-us.md");
    let page = std::fs::read_to_string(file).unwrap();
    assert!(page.contains(&markdown()), "docs/venues/binance-us.md is old; run `make golden`");
    let rows = page.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 6).count();
    assert!(rows >= TABLE.len() && TABLE.len() >= 40, "{rows} rows of {}", TABLE.len());
}
