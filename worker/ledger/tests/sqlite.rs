//! The shared suite on SQLite, and what a file promises beyond it: it comes back, and so do its faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::*;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tradewind_core::event::Record;
use tradewind_core::money::Cash;
use tradewind_core::order::{Incarnation, OrderState};
use tradewind_core::recovery::History;
use tradewind_core::time::Timestamp;
use tradewind_ledger::outbox::Limits;
use tradewind_ledger::{
    Batch, DecisionFilter, Ledger, LedgerReader, Outbox, OutboxOptions, OutboxReader, SqliteLedger,
    SqliteReader,
};

use OrderState::{Intended, Sent};

async fn make() -> (SqliteLedger, TempDir) {
    let dir = TempDir::new().unwrap();
    (open(&dir.path().join("ledger.db")).await, dir)
}

suite!(make);

#[tokio::test]
async fn what_is_closed_or_dropped_comes_back_equal_under_the_next_epoch() {
    let (mut ledger, dir) = make().await;
    let path = dir.path().join("ledger.db");
    fill_up(&mut ledger).await;
    let (history, head) = (ledger.history().await.unwrap(), ledger.head().await.unwrap());
    ledger.close().await.unwrap();
    for epoch in 2..4 {
        let other = tradewind_ledger::SqliteOptions { incarnation: Incarnation(99), ..options() };
        let mut ledger = SqliteLedger::open(&path, &other).await.unwrap();
        assert_eq!(ledger.identity(), identity(epoch), "the incarnation is the first one's");
        assert_eq!(ledger.history().await.unwrap(), history);
        assert_eq!(ledger.head().await.unwrap(), head);
        assert_eq!(ledger.verify().await.unwrap(), head);
        drop(ledger);
    }
    assert_eq!(head.seq, 13, "one row a record");
}

#[tokio::test]
async fn a_commit_cut_off_before_its_end_leaves_nothing_and_the_next_one_works() {
    let (mut ledger, _dir) = make().await;
    let (mut cut, mut whole) = (0, 0);
    // After so many polls it is dropped; how far it has come by then is the machine's affair, but for the ends.
    for polls in [0, 1, 2, 4, u32::MAX].repeat(8) {
        let before = ledger.history().await.unwrap();
        let id = before.next_intent;
        let records = [Record::Intent(intent(id, 1)), step(id, 1, 1, Intended, Sent)];
        let rules = rules();
        let batch = Batch { records: &records, rules: &rules, ..Batch::default() };
        let finished = dropped_after(polls, ledger.commit(&batch)).await;
        let after = ledger.history().await.unwrap();
        match finished {
            Some(result) => {
                result.unwrap();
                whole += 1;
                assert_eq!(after.next_intent, id + 1);
            }
            // Cut off: all of it or nothing of it.
            None if after.next_intent == id => {
                cut += 1;
                assert_eq!(after, before);
            }
            None => assert_eq!(after.open_orders.last().unwrap().state, Sent),
        }
    }
    let id = ledger.history().await.unwrap().next_intent;
    commit(&mut ledger, &[Record::Intent(intent(id, 1))]).await.unwrap();
    ledger.verify().await.unwrap();
    assert!(cut >= 8 && whole >= 8, "{cut} cut off, {whole} whole");
}

#[tokio::test]
async fn a_commit_cut_off_anywhere_tells_what_it_did_and_nothing_else() {
    let (mut ledger, _dir) = make().await;
    ledger.publish(Some(&suite::bus(Limits::default()))).await.unwrap();
    let (mut did, mut did_not) = (0, 0);
    for polls in (0..40).chain([u32::MAX; 4]) {
        let next = ledger.history().await.unwrap().next_intent;
        let events = ledger.events_after(0, 10_000).await.unwrap().len();
        let records = [Record::Intent(intent(next, 1)), step(next, 1, 1, Intended, Sent)];
        let rules = rules();
        let batch = Batch { records: &records, rules: &rules, ..Batch::default() };
        dropped_after(polls, ledger.commit(&batch)).await;
        let done = ledger.history().await.unwrap().next_intent - next;
        let told = ledger.events_after(0, 10_000).await.unwrap().len() - events;
        assert_eq!(told, if done == 1 { 2 } else { 0 }, "after {polls} polls");
        *if done == 1 { &mut did } else { &mut did_not } += 1;
    }
    assert!(did >= 4 && did_not >= 1, "{did} did, {did_not} did not");
    let rows = ledger.events_after(0, 10_000).await.unwrap();
    assert!(rows.is_sorted_by(|a, b| a.sequence < b.sequence));
}

#[tokio::test]
async fn numbers_of_events_rise_across_every_opening() {
    let (mut ledger, dir) = make().await;
    let path = dir.path().join("ledger.db");
    let bus = suite::bus(Limits::default());
    ledger.publish(Some(&bus)).await.unwrap();
    commit(&mut ledger, &[set("a")]).await.unwrap();
    ledger.close().await.unwrap();
    // One who knows nothing of the bus, such as a command that halts.
    let mut ledger = open(&path).await;
    commit(&mut ledger, &[set("b")]).await.unwrap();
    ledger.close().await.unwrap();
    let mut ledger = open(&path).await;
    let later = OutboxOptions { now: Timestamp(bus.now.0 + 1), ..bus.clone() };
    ledger.publish(Some(&later)).await.unwrap();
    commit(&mut ledger, &[set("c")]).await.unwrap();
    // A clock that went back.
    ledger.publish(Some(&bus)).await.unwrap();
    commit(&mut ledger, &[set("d")]).await.unwrap();
    let rows = ledger.events_after(0, 100).await.unwrap();
    let first = u64::try_from(bus.now.0).unwrap() * 1_000;
    let numbers: Vec<u64> = rows.iter().map(|row| row.sequence - first).collect();
    assert_eq!(numbers, [1, 2, 1_001, 1_002]);
}

#[tokio::test]
async fn a_reader_reads_beside_the_writer_and_changes_nothing() {
    let (mut ledger, dir) = make().await;
    let path = dir.path().join("ledger.db");
    fill_up(&mut ledger).await;
    let mut reader = SqliteReader::open(&path).await.unwrap();
    assert_eq!(reader.history().await.unwrap(), ledger.history().await.unwrap());
    assert_eq!(reader.identity().await.unwrap(), identity(1));
    assert_eq!(reader.verify().await.unwrap(), ledger.head().await.unwrap());
    commit(&mut ledger, &[Record::Intent(intent(2, 1))]).await.unwrap();
    assert_eq!(reader.history().await.unwrap().next_intent, 3, "it sees what is committed later");
    assert_eq!(reader.decisions(&DecisionFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reader_finds_a_ledger_no_worker_runs_on() {
    let (mut ledger, dir) = make().await;
    fill_up(&mut ledger).await;
    let history = ledger.history().await.unwrap();
    ledger.close().await.unwrap();
    let mut reader = SqliteReader::open(&dir.path().join("ledger.db")).await.unwrap();
    assert_eq!(reader.history().await.unwrap(), history);
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new").join("ledger.db");
    let mut ledger = open(&path).await;
    fill_up(&mut ledger).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> =
        std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn pruning_is_bounded_and_goes_on_where_it_stopped() {
    let (mut ledger, _dir) = make().await;
    let rows: Vec<_> = (0..5_003).map(|at| decision(at, "trend", btc())).collect();
    ledger.commit(&Batch { decisions: &rows, ..Batch::default() }).await.unwrap();
    let first = ledger.prune(Timestamp(5_002)).await.unwrap();
    assert_eq!((first.decisions, first.more), (5_000, true));
    let second = ledger.prune(Timestamp(5_002)).await.unwrap();
    assert_eq!((second.decisions, second.more), (2, false));
    assert_eq!(ledger.decisions(&DecisionFilter::default()).await.unwrap(), [rows[5_002].clone()]);
}

#[tokio::test]
async fn a_late_fill_of_a_predecessor_is_its_successors_after_a_reopening_too() {
    let (mut ledger, dir) = make().await;
    let records = [
        Record::Transfer(transfer("400", Some(strategy()))),
        Record::Intent(intent(1, 1)),
        Record::Succession(succession()),
    ];
    commit(&mut ledger, &records).await.unwrap();
    ledger.close().await.unwrap();
    let mut ledger = open(&dir.path().join("ledger.db")).await;
    commit(&mut ledger, &[booked("t-1", 1)]).await.unwrap();
    ledger.verify().await.unwrap();
    let rows = ledger.balances().await.unwrap();
    let usd = rows.iter().find(|row| row.strategy == Some(succession().to) && row.asset.as_str() == "USD");
    // 400 less 0.2 at 100.10 and a fee of 0.012.
    assert_eq!(usd.unwrap().amount, Cash::parse("379.968").unwrap());
    assert!(rows.iter().all(|row| row.strategy != Some(strategy())), "{rows:?}");
}

#[tokio::test]
async fn migrations_run_again_change_nothing() {
    let (ledger, dir) = make().await;
    let path = dir.path().join("ledger.db");
    ledger.close().await.unwrap();
    let schema = schema(&path).await;
    open(&path).await.close().await.unwrap();
    assert_eq!(self::schema(&path).await, schema);
    let mut ledger = open(&path).await;
    assert_eq!(ledger.history().await.unwrap(), History::default());
}

#[tokio::test]
async fn an_opening_cut_off_anywhere_is_gone_on_with() {
    let whole = make().await;
    let all = schema(&whole.1.path().join("ledger.db")).await;
    let mut cut = 0;
    for polls in 0.. {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger.db");
        // What is under way when it is dropped is rolled back, as by the end of the process.
        let opened = dropped_after(polls, SqliteLedger::open(&path, &options())).await;
        let done = opened.is_some();
        drop(opened);
        let mut ledger = until_opened(&path).await;
        fill_up(&mut ledger).await;
        ledger.verify().await.unwrap();
        ledger.close().await.unwrap();
        assert_eq!(schema(&path).await, all, "cut off after {polls} polls");
        if done {
            break;
        }
        cut += 1;
    }
    assert!(cut >= 20, "cut off {cut} times");
}

/// The connection of one that was cut off may live a moment longer.
async fn until_opened(path: &std::path::Path) -> SqliteLedger {
    let end = std::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        match SqliteLedger::open(path, &options()).await {
            Ok(ledger) => return ledger,
            Err(error) => assert!(std::time::Instant::now() < end, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_first_opening_cut_off_after_the_migration_is_resumed() {
    let (ledger, dir) = make().await;
    let path = dir.path().join("ledger.db");
    ledger.close().await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    // As if the process had ended before the single rows were written.
    for sql in
        ["DROP TRIGGER ledger_kept", "DELETE FROM ledger", "DELETE FROM chain_head", "DELETE FROM checkpoint"]
    {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    let mut ledger = open(&path).await;
    fill_up(&mut ledger).await;
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn a_ledger_from_before_signings_goes_on() {
    let (mut ledger, dir) = make().await;
    let path = dir.path().join("ledger.db");
    commit(&mut ledger, &[Record::Intent(intent(1, 1)), step(1, 1, 1, Intended, Sent)]).await.unwrap();
    ledger.close().await.unwrap();
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    for sql in [
        "DROP TABLE signings",
        "DROP TABLE successions",
        "DELETE FROM _sqlx_migrations WHERE version IN (2, 3)",
    ] {
        sqlx::query(sql).execute(&mut conn).await.unwrap();
    }
    conn.close().await.unwrap();
    let mut ledger = open(&path).await;
    let open = ledger.history().await.unwrap().open_orders;
    assert_eq!((open[0].state, open[0].signature), (Sent, None));
    ledger.verify().await.unwrap();
    let epoch = ledger.identity().epoch.0;
    commit(&mut ledger, &[Record::Intent(intent(2, epoch)), signing(2, epoch, 1)]).await.unwrap();
    ledger.verify().await.unwrap();
}

async fn schema(path: &std::path::Path) -> Vec<(String, Option<String>)> {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let found = sqlx::query_as("SELECT name, sql FROM sqlite_master ORDER BY name")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    found
}
