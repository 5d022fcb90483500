//! What a data directory holds, through the ledger's and the venue's own doors.

use std::path::Path;

use sqlx::{Connection, SqliteConnection};
use tradewind_core::config::VenueConfig;
use tradewind_core::money::Cash;
use tradewind_core::recovery::History;
use tradewind_core::time::Timestamp;
use tradewind_ledger::{DecisionFilter, DecisionRow, EquityRow, LedgerReader, SqliteReader, TradeRow};
use tradewind_venues::PaperVenue;
use tradewind_venues::port::{AssetBalance, FillCursor, Lookup, OrderRef, Venue};
use tradewind_worker::assembly::{Assembly, search_dirs};

use crate::block_on;

/// All that must come out the same whether a run was interrupted or not.
#[derive(Debug, Clone, PartialEq)]
pub struct Books {
    /// Every decision, oldest first.
    pub decisions: Vec<DecisionRow>,
    /// Every fill, oldest first.
    pub trades: Vec<TradeRow>,
    /// Daily equity of the account.
    pub equity: Vec<EquityRow>,
    /// What the venue says the account holds.
    pub balances: Vec<AssetBalance>,
    /// Orders the venue ever took.
    pub orders: i64,
}

impl Books {
    /// Reads ledger and venue of a data directory nobody uses, after checking that they are sound: the ledger's chain
    /// and projections, each order at the venue once, each fill of the venue in the ledger once.
    pub fn of(file: &Path, data_dir: &Path) -> Self {
        block_on(read(file, data_dir))
    }

    /// The outcomes of the decisions with how often they came.
    pub fn outcomes(&self) -> std::collections::BTreeMap<String, usize> {
        let mut counts = std::collections::BTreeMap::new();
        for row in &self.decisions {
            *counts.entry(row.outcome.to_string()).or_default() += 1;
        }
        counts
    }

    /// Panics where two differ, naming the first difference rather than everything.
    pub fn assert_same(&self, other: &Self, what: &str) {
        for (one, two) in self.trades.iter().zip(&other.trades) {
            assert_eq!(one, two, "{what}: a fill differs");
        }
        for (one, two) in self.decisions.iter().zip(&other.decisions) {
            assert_eq!(one, two, "{what}: a decision differs");
        }
        assert_eq!(self.trades.len(), other.trades.len(), "{what}: fills");
        assert_eq!(self.decisions.len(), other.decisions.len(), "{what}: decisions");
        assert_eq!(self.orders, other.orders, "{what}: orders at the venue");
        assert_eq!(self.balances, other.balances, "{what}: balances at the venue");
        assert_eq!(self.equity, other.equity, "{what}: equity");
    }
}

/// Every decision of a ledger, oldest first.
pub fn decisions(data_dir: &Path) -> Vec<DecisionRow> {
    block_on(async {
        let mut ledger = SqliteReader::open(&data_dir.join("ledger.db")).await.unwrap();
        let all = DecisionFilter { limit: u32::MAX, ..DecisionFilter::default() };
        let mut rows = ledger.decisions(&all).await.unwrap();
        rows.reverse();
        rows
    })
}

/// What the ledger of a data directory nobody uses goes on with, after checking that it is as it was written.
pub fn history(data_dir: &Path) -> History {
    block_on(async {
        let mut ledger = SqliteReader::open(&data_dir.join("ledger.db")).await.unwrap();
        ledger.verify().await.expect("the ledger is as written");
        ledger.history().await.unwrap()
    })
}

async fn read(file: &Path, data_dir: &Path) -> Books {
    let mut ledger = SqliteReader::open(&data_dir.join("ledger.db")).await.unwrap();
    ledger.verify().await.expect("the ledger is as written");
    let mut trades = ledger.trades(u32::MAX).await.unwrap();
    trades.reverse();
    let equity = ledger.equity(None, Timestamp(i64::MIN)).await.unwrap();
    let history = ledger.history().await.unwrap();

    let mut venue = open_venue(file, data_dir).await;
    let mut cursor = FillCursor::default();
    let mut told = Vec::new();
    loop {
        let page = venue.fills_since(&cursor).await.unwrap();
        told.extend(page.fills);
        if page.next == cursor {
            break;
        }
        cursor = page.next;
    }
    let booked: Vec<_> = history.fills.iter().map(|booked| booked.fill.clone()).collect();
    assert_eq!(booked, told, "each fill of the venue is in the ledger once, in its order");
    for fill in &booked {
        let order = OrderRef { client_order_id: fill.client_order_id, symbol: fill.symbol.clone() };
        let found = venue.lookup(&order).await;
        assert!(matches!(found, Lookup::Found(_)), "a fill without an order: {fill:?}");
    }
    let balances = venue.balances().await.unwrap();
    venue.close().await.unwrap();

    let url = format!("sqlite://{}?mode=ro", data_dir.join("paper.db").display());
    let mut paper = SqliteConnection::connect(&url).await.unwrap();
    let count = "SELECT COUNT(*), COUNT(DISTINCT client_order_id) FROM paper_orders";
    let (orders, ids): (i64, i64) = sqlx::query_as(count).fetch_one(&mut paper).await.unwrap();
    assert_eq!(orders, ids, "the venue took an order twice");
    paper.close().await.unwrap();
    let held: Cash = balances.iter().map(|balance| balance.total).fold(Cash::ZERO, |a, b| Cash(a.0 + b.0));
    assert!(held.0 > 0, "the account is empty");
    let decisions = {
        let all = DecisionFilter { limit: u32::MAX, ..DecisionFilter::default() };
        let mut rows = ledger.decisions(&all).await.unwrap();
        rows.reverse();
        rows
    };
    Books { decisions, trades, equity, balances, orders }
}

async fn open_venue(file: &Path, data_dir: &Path) -> PaperVenue {
    let files = [file.to_path_buf()];
    let assembly = Assembly::load(&files, None, &search_dirs(&[], &files)).unwrap();
    let account = &assembly.config.account;
    let VenueConfig::Paper(paper) = &account.venue else { panic!("a desk on paper") };
    let rules: Vec<_> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    PaperVenue::open(&data_dir.join("paper.db"), paper, &account.quote_currency, &rules).await.unwrap()
}
