//! What a ledger holds, read from the folder of its volume.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::{Connection, SqliteConnection};
use tradewind_ledger::{DecisionFilter, DecisionRow, LedgerReader, SqliteReader};

/// Every decision, oldest first.
pub(crate) async fn decisions(folder: &Path) -> Vec<DecisionRow> {
    let mut ledger = SqliteReader::open(&folder.join("ledger.db")).await.expect("a ledger");
    let all = DecisionFilter { limit: u32::MAX, ..DecisionFilter::default() };
    let mut rows = ledger.decisions(&all).await.expect("decisions");
    rows.reverse();
    rows
}

/// How many orders were decided on under each epoch.
pub(crate) async fn intents(folder: &Path) -> BTreeMap<i64, i64> {
    let mut ledger = open(&folder.join("ledger.db")).await;
    let rows = "SELECT epoch, COUNT(*) FROM intents GROUP BY epoch";
    let rows: Vec<(i64, i64)> = sqlx::query_as(rows).fetch_all(&mut ledger).await.unwrap();
    rows.into_iter().collect()
}

/// How many orders to buy the venue has taken.
pub(crate) async fn entries(folder: &Path) -> i64 {
    let mut venue = open(&folder.join("paper.db")).await;
    let count = "SELECT COUNT(*) FROM paper_orders WHERE side = 'Buy'";
    sqlx::query_scalar(count).fetch_one(&mut venue).await.unwrap()
}

/// The epoch of the last to open the ledger.
pub(crate) async fn epoch(folder: &Path) -> i64 {
    let mut ledger = open(&folder.join("ledger.db")).await;
    sqlx::query_scalar("SELECT epoch FROM chain_head").fetch_one(&mut ledger).await.unwrap()
}

/// The last to open the ledger.
pub(crate) async fn owner(folder: &Path) -> String {
    let mut ledger = open(&folder.join("ledger.db")).await;
    sqlx::query_scalar("SELECT owner FROM chain_head").fetch_one(&mut ledger).await.unwrap()
}

/// Panics unless the ledger is as it was written and the venue has each order and each fill of it once.
pub(crate) async fn assert_nothing_doubled(folder: &Path) {
    let mut ledger = SqliteReader::open(&folder.join("ledger.db")).await.expect("a ledger");
    ledger.verify().await.expect("the ledger is as written");
    let mut rows = open(&folder.join("ledger.db")).await;
    let mut venue = open(&folder.join("paper.db")).await;
    let count = "SELECT COUNT(*), COUNT(DISTINCT client_order_id) FROM paper_orders";
    let (orders, ids): (i64, i64) = sqlx::query_as(count).fetch_one(&mut venue).await.unwrap();
    assert_eq!(orders, ids, "the venue took an order twice");
    let count = "SELECT COUNT(*), COUNT(DISTINCT trade_id) FROM fills";
    let (fills, trades): (i64, i64) = sqlx::query_as(count).fetch_one(&mut rows).await.unwrap();
    assert!(fills > 0 && fills == trades, "{fills} fills of {trades} trades");
    // Bought and sold by turns: a doubled order would be two of one side in a row.
    let sides = "SELECT symbol, side FROM fills ORDER BY seq";
    let sides: Vec<(String, String)> = sqlx::query_as(sides).fetch_all(&mut rows).await.unwrap();
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, (symbol, side)) in sides.iter().enumerate() {
        let before = last.insert(symbol, side);
        assert_ne!(
            before,
            Some(side.as_str()),
            "two fills of one side in a row, {symbol}, the second the {index}th"
        );
    }
}

async fn open(file: &Path) -> SqliteConnection {
    let url = format!("sqlite://{}?mode=ro", file.display());
    SqliteConnection::connect(&url).await.unwrap_or_else(|e| panic!("{url}: {e}"))
}
