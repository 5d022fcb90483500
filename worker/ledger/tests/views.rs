//! The names by which readers of the system before know the tables, with values worked out by hand, in both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::mariadb::Server;
use common::*;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use tempfile::TempDir;
use tradewind_core::event::Record;
use tradewind_core::money::{Cash, Price, Quantity};
use tradewind_core::order::{Intent, IntentId, OrderKind, OrderState, Purpose, Side};
use tradewind_ledger::{Batch, DecisionRow, EquityRow, Ledger, SqlLedger, SqliteReader};

use OrderState::{
    Absent, Accepted, Cancelled, Denied, Filled, Intended, PartiallyFilled, Rejected, Sent, Unknown,
};

/// Sells 0.2 BTC when the price has fallen to 95.
fn stop(id: u64) -> Intent {
    Intent {
        side: Side::Sell,
        kind: OrderKind::Stop { trigger: Price(9_500) },
        quantity: Quantity(20_000_000),
        purpose: Purpose::StopLoss,
        ..intent(id, 1)
    }
}

/// The other ends of an order: filled, cancelled with and without a fill, rejected, absent, denied. Nothing is held of them.
fn other_ends() -> Vec<Record> {
    let mut records = Vec::new();
    for (id, end) in [(3, Filled), (4, Cancelled), (5, Cancelled), (6, Rejected)] {
        records.push(Record::Intent(Intent {
            side: Side::Sell,
            purpose: Purpose::SignalExit,
            ..intent(id, 1)
        }));
        records.push(step(id, 1, 1, Intended, Sent));
        if id < 5 {
            // Neither bought nor sold in sum.
            let mut there = fill(&format!("a-{id}"), id);
            there.symbol = eth();
            there.quantity = Quantity(1);
            there.fee.amount = Cash::ZERO;
            let back = tradewind_core::order::Fill {
                trade_id: tradewind_core::order::TradeId(format!("b-{id}").into()),
                side: Side::Sell,
                ..there.clone()
            };
            records.extend([there, back].map(|fill| Record::Fill { intent: IntentId(id), fill }));
        }
        records.push(step(id, 1, 1, Sent, end));
    }
    records.extend([
        Record::Intent(intent(7, 1)),
        step(7, 1, 1, Intended, Sent),
        step(7, 1, 1, Sent, Unknown),
        step(7, 1, 1, Unknown, Absent),
        Record::Intent(intent(8, 1)),
        step(8, 1, 1, Intended, Sent),
        step(8, 1, 1, Sent, Denied),
    ]);
    records
}

/// Bought 0.2 of 0.5 BTC at 100.10 for a fee of 0.012 USD; a stop guards it; the price is 100.11.
async fn trade<D: tradewind_ledger::Dialect>(ledger: &mut SqlLedger<D>) {
    let mut records = vec![
        Record::Transfer(transfer("5012.5", Some(strategy()))),
        Record::Intent(intent(1, 1)),
        step(1, 1, 1, Intended, Sent),
        booked("t-1", 1),
        step(1, 1, 1, Sent, PartiallyFilled),
        Record::Intent(stop(2)),
        step(2, 1, 1, Intended, Sent),
        step(2, 1, 1, Sent, Accepted),
    ];
    records.extend(other_ends());
    let denied = |at, outcome: &str| DecisionRow { outcome: outcome.into(), ..decision(at, "trend", btc()) };
    let silent = DecisionRow { side: None, ..denied(4_000, "NoSignal") };
    let decisions = [
        DecisionRow {
            intent: Some(IntentId(1)),
            outcome: "Enter".into(),
            detail: "fast crossed slow".into(),
            ..decision(2_000, "trend", btc())
        },
        denied(3_000, "MaxExposure"),
        denied(3_500, "AlreadyHolding"),
        silent,
        denied(5_000, "BelowConfidence"),
    ];
    let worth =
        |at, amount| EquityRow { equity: Cash::parse(amount).unwrap(), ..equity(at, Some(strategy())) };
    let batch = Batch {
        records: &records,
        decisions: &decisions,
        equity: &[worth(1_000, "5012.5"), worth(9_000, "1")],
        checkpoint: Some(&checkpoint(7_000)),
        rules: &rules(),
        names: &[(strategy(), "trend".into())],
    };
    ledger.commit(&batch).await.unwrap();
    ledger.note_paper(true).await.unwrap();
    ledger.verify().await.unwrap();
}

/// What a database answers: each row of texts, numbers as people would round them.
trait Asks {
    async fn ask(&mut self, sql: &str) -> Vec<Vec<String>>;
}

macro_rules! asks {
    ($conn:ty) => {
        impl Asks for $conn {
            async fn ask(&mut self, sql: &str) -> Vec<Vec<String>> {
                let rows = self.fetch_all(AssertSqlSafe(sql.to_owned())).await.unwrap();
                let cell = |row: &_, column| {
                    let row: &<<Self as Connection>::Database as sqlx::Database>::Row = row;
                    row.try_get::<Option<String>, _>(column).map(Option::unwrap_or_default).unwrap_or_else(
                        |_| {
                            let number = row.try_get_unchecked::<f64, _>(column).unwrap();
                            format!("{}", (number * 1e9).round() / 1e9)
                        },
                    )
                };
                rows.iter().map(|row| (0..row.len()).map(|column| cell(row, column)).collect()).collect()
            }
        }
    };
}
asks!(SqliteConnection);
asks!(sqlx::MySqlConnection);

async fn assert_recommendations(conn: &mut impl Asks) {
    let recommendations = "SELECT id, signal_type, CAST(amount_usd AS DOUBLE), CAST(confidence AS DOUBLE), reasoning, \
        execution_status, CAST(entry_price AS DOUBLE), CAST(stop_loss AS DOUBLE), take_profit, \
        CAST(position_size_percent AS DOUBLE), CAST(amount_crypto AS DOUBLE), CAST(is_mock AS DOUBLE), \
        SUBSTR(created_at, 1, 23), SUBSTR(updated_at, 1, 23), SUBSTR(executed_at, 1, 23), \
        llm_validation, llm_confidence, llm_reasoning \
        FROM trade_recommendations WHERE symbol = 'BTC-USD' ORDER BY id";
    let found = conn.ask(recommendations).await;
    // 0.5 BTC at 100.25 are 50.125 USD, one percent of 5012.5.
    let entry =
        ["1", "BUY", "50.125", "0.625", "fast crossed slow", "PENDING", "100.25", "95", "", "1", "0.5", "1"];
    let times = ["1970-01-01 00:00:02.000", "1970-01-01 00:00:02.500", "1970-01-01 00:00:02.600"];
    assert_eq!(found[0], [&entry[..], &times[..], &["", "", ""][..]].concat());
    let ends: Vec<_> = found.iter().map(|row| (row[0].as_str(), row[5].as_str())).collect();
    let expected = [
        ("1", "PENDING"),
        ("3", "EXECUTED"),
        ("4", "EXECUTED"),
        ("5", "CANCELLED"),
        ("6", "REJECTED"),
        ("7", "FAILED"),
        ("8", "REJECTED"),
        ("denied-2", "LIMIT_EXCEEDED"),
        ("denied-3", "DUPLICATE"),
    ];
    assert_eq!(ends, expected, "a stop belongs to its entry, and not every denial is a limit");
    assert_eq!(found[7][2..6], ["", "0.625", "confidence 62.5% < 65%", "LIMIT_EXCEEDED"]);
}

async fn assert_views(conn: &mut impl Asks) {
    assert_recommendations(conn).await;
    let signals = "SELECT account, symbol, signal_type, CAST(confidence AS DOUBLE), CAST(price AS DOUBLE), features_used, \
        source, model_version, SUBSTR(created_at, 1, 23) FROM trading_signals ORDER BY created_at";
    let found = conn.ask(signals).await;
    assert_eq!(found.len(), 4, "a signal that says nothing is none: {found:?}");
    let expected = [
        "paper",
        "BTC-USD",
        "BUY",
        "0.625",
        "100.1",
        "{\"fast\":1.5}",
        "trend",
        "",
        "1970-01-01 00:00:02.000",
    ];
    assert_eq!(found[0], expected);

    let trades = "SELECT account, trade_id, strategy, symbol, side, CAST(quantity AS DOUBLE), CAST(price AS DOUBLE), \
        CAST(fee AS DOUBLE), fee_currency, CAST(is_maker AS DOUBLE), SUBSTR(executed_at, 1, 23) FROM live_trades ORDER BY id";
    let found = conn.ask(trades).await;
    let expected = [
        "paper",
        "t-1",
        "trend",
        "BTC-USD",
        "BUY",
        "0.2",
        "100.1",
        "0.012",
        "USD",
        "0",
        "1970-01-01 00:00:02.600",
    ];
    assert_eq!((found.len(), &found[0]), (5, &expected.map(str::to_owned).to_vec()));

    let positions = "SELECT account, strategy, symbol, CAST(total_quantity AS DOUBLE), CAST(available_quantity AS DOUBLE), \
        CAST(locked_quantity AS DOUBLE), CAST(average_cost AS DOUBLE), CAST(current_price AS DOUBLE), \
        CAST(unrealized_pnl AS DOUBLE) FROM portfolio_positions";
    // 0.2 at 100.10 and the fee cost 20.032, which is 100.16 each; at 100.11 they are worth 20.022. The stop holds all.
    let expected = ["paper", "trend", "BTC-USD", "0.2", "0", "0.2", "100.16", "100.11", "-0.01"];
    assert_eq!(conn.ask(positions).await, [expected]);
}

#[tokio::test]
async fn readers_of_the_system_before_find_their_tables_in_sqlite() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    trade(&mut open(&path).await).await;
    assert_views(&mut SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap())
        .await;
}

#[tokio::test]
async fn readers_of_the_system_before_find_their_tables_in_mariadb() {
    let database = Server::shared().database().await;
    trade(&mut database.open().await).await;
    assert_views(&mut database.by_hand().await).await;
}

/// The strategy is made anew while it holds 0.2 BTC and a stop rests; of the entry another 0.2 come late.
async fn succeed<D: tradewind_ledger::Dialect>(ledger: &mut SqlLedger<D>) {
    let done = succession();
    let names = [(strategy(), "trend".into()), (done.to, "trend".into())];
    let rules = rules();
    for records in [
        vec![Record::Intent(intent(1, 1)), booked("t-1", 1), Record::Intent(stop(2))],
        vec![Record::Succession(done)],
        vec![booked("t-2", 1)],
    ] {
        let batch = Batch { records: &records, rules: &rules, names: &names, ..Batch::default() };
        ledger.commit(&batch).await.unwrap();
    }
    ledger.verify().await.unwrap();
}

async fn assert_succeeded(conn: &mut impl Asks) {
    let positions = "SELECT strategy, symbol, CAST(total_quantity AS DOUBLE), CAST(locked_quantity AS DOUBLE), \
        CAST(average_cost AS DOUBLE) FROM portfolio_positions";
    assert_eq!(conn.ask(positions).await, [["trend", "BTC-USD", "0.4", "0.2", "100.16"]]);
}

#[tokio::test]
async fn a_position_taken_over_is_one_position_in_sqlite() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut ledger = open(&path).await;
    succeed(&mut ledger).await;
    ledger.close().await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    assert_succeeded(&mut conn).await;
    // As if it were of a version that kept no positions.
    conn.execute("DELETE FROM positions").await.unwrap();
    open(&path).await.verify().await.unwrap();
    assert_succeeded(&mut conn).await;
}

#[tokio::test]
async fn a_position_taken_over_is_one_position_in_mariadb() {
    let database = Server::shared().database().await;
    succeed(&mut database.open().await).await;
    let mut conn = database.by_hand().await;
    assert_succeeded(&mut conn).await;
}

#[tokio::test]
async fn a_ledger_of_the_first_schema_gets_its_positions_when_it_is_opened() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut ledger = open(&path).await;
    trade(&mut ledger).await;
    ledger.close().await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    // What later migrations made is taken back.
    for sql in [
        "DROP VIEW trading_signals",
        "DROP VIEW trade_recommendations",
        "DROP VIEW live_trades",
        "DROP VIEW portfolio_positions",
        "DROP TABLE positions",
        "DROP TABLE successions",
        "DROP TABLE externals",
        "DROP TABLE signings",
        "DROP TABLE outbox",
        "DROP TABLE outbox_state",
        "DROP TABLE outbox_dropped",
        "DROP INDEX decisions_by_intent",
        "ALTER TABLE chain_head DROP COLUMN commits",
        "ALTER TABLE chain_head DROP COLUMN intents_from",
        "ALTER TABLE chain_head DROP COLUMN mock",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
    ] {
        conn.execute(sql).await.unwrap();
    }
    conn.close().await.unwrap();
    let mut ledger = open(&path).await;
    ledger.verify().await.unwrap();
    commit(&mut ledger, &[set("later")]).await.unwrap();
    ledger.note_paper(true).await.unwrap();
    SqliteReader::open(&path).await.unwrap().verify().await.unwrap();
    assert_views(&mut SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap())
        .await;
}

#[tokio::test]
async fn a_price_of_nothing_is_no_price() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut ledger = open(&path).await;
    commit(&mut ledger, &[Record::Intent(intent(1, 1)), booked("t", 1)]).await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let found = conn.ask("SELECT symbol, current_price, unrealized_pnl FROM portfolio_positions").await;
    assert_eq!(found, [["BTC-USD", "", ""]], "before the first checkpoint nothing is known of prices");
}
