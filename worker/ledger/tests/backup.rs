//! Backups: whole or refused, the same text from every database, and a restored ledger that can be traded on but starts
//! halted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeMap;

use common::mariadb::Server;
use common::*;
use tempfile::TempDir;
use tradewind_core::event::Record;
use tradewind_core::halt::{HaltAction, HaltOrigin, HaltScope};
use tradewind_core::order::{Incarnation, OrderState};
use tradewind_core::time::Timestamp;
use tradewind_ledger::outbox::Limits;
use tradewind_ledger::{
    Backup, DecisionFilter, Ledger, LedgerError, LedgerReader, MysqlLedger, MysqlReader, Outbox,
    OutboxReader, SqliteLedger, SqliteOptions, SqliteReader, Value, backup,
};

const NOW: Timestamp = Timestamp(1_735_800_000_000);
/// Orders after a restore have numbers that no order before it can have had.
const SKIPPED: u64 = 1_000_000_000;

async fn saved(path: &std::path::Path) -> Vec<u8> {
    let mut text = Vec::new();
    SqliteReader::open(path).await.unwrap().backup(&mut text).await.unwrap();
    text
}

/// What must hold of a restored ledger of [`fill_up`].
async fn assert_restored<L: Ledger>(mut restored: L, mut original: SqliteLedger) {
    assert_eq!(restored.identity().incarnation, TAG, "our orders are still known as ours");
    assert_eq!(restored.identity().epoch.0, original.identity().epoch.0 + 1, "it knows all epochs before");
    let head = original.head().await.unwrap();
    assert!(restored.contains(&head).await.unwrap(), "whoever knew the ledger knows it still");
    let (mut was, mut is) = (original.history().await.unwrap(), restored.history().await.unwrap());
    let halt = is.halts.pop().unwrap();
    assert_eq!(halt.name, "account.paper.ledger-unknown");
    assert_eq!((halt.scope, halt.action), (HaltScope::Account, HaltAction::CancelEntries));
    assert_eq!((halt.origin, halt.since), (HaltOrigin::LedgerUnknown, NOW));
    assert!(halt.reason.contains("compare positions and open orders with the venue's"), "{}", halt.reason);
    assert_eq!(is.next_intent, was.next_intent + SKIPPED);
    // What is made after the backup, and is at the venue, has one of the numbers that were left out.
    assert_eq!(is.left_out.last(), Some(&(was.next_intent..is.next_intent)));
    (was.next_intent, was.left_out) = (is.next_intent, is.left_out.clone());
    assert_eq!(is, was);
    let all = DecisionFilter::default();
    assert_eq!(restored.decisions(&all).await.unwrap(), original.decisions(&all).await.unwrap());
    let begin = Timestamp(0);
    assert_eq!(restored.equity(None, begin).await.unwrap(), original.equity(None, begin).await.unwrap());
    assert_eq!(restored.balances().await.unwrap(), original.balances().await.unwrap());
    assert_eq!(restored.outcomes().await.unwrap(), original.outcomes().await.unwrap());
    // Trading on: the open order is settled, a new one is made.
    let epoch = restored.identity().epoch.0;
    let records = [
        step(1, epoch, 1, OrderState::Unknown, OrderState::Filled),
        Record::Intent(intent(is.next_intent, epoch)),
        cleared("account.paper.ledger-unknown"),
    ];
    commit(&mut restored, &records).await.unwrap();
    let history = restored.history().await.unwrap();
    assert_eq!(history.next_intent, is.next_intent + 1);
    assert_eq!(history.left_out, is.left_out);
    assert_eq!(history.halts, was.halts);
}

#[tokio::test]
async fn a_restored_file_starts_halted_and_can_be_traded_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut original = open(&path).await;
    fill_up(&mut original).await;
    let copy = Backup::read(saved(&path).await.as_slice()).unwrap();
    assert_eq!((copy.account_name().as_str(), copy.head()), ("paper", original.head().await.unwrap()));
    let restored = dir.path().join("new/ledger.db");
    SqliteLedger::restore(&restored, copy, NOW).await.unwrap();
    SqliteReader::open(&restored).await.unwrap().verify().await.unwrap();
    let other = SqliteOptions { incarnation: Incarnation(9), ..options() };
    assert_restored(SqliteLedger::open(&restored, &other).await.unwrap(), original).await;
    SqliteReader::open(&restored).await.unwrap().verify().await.unwrap();
    let files: Vec<_> =
        std::fs::read_dir(restored.parent().unwrap()).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.iter().all(|file| !file.display().to_string().contains("restored")), "{files:?}");
}

#[tokio::test]
async fn a_ledger_moves_from_a_file_to_a_database_and_back() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut original = open(&path).await;
    fill_up(&mut original).await;
    let database = Server::shared().database().await;
    let text = saved(&path).await;
    MysqlLedger::restore(&database.mysql(), Backup::read(text.as_slice()).unwrap(), NOW).await.unwrap();
    let error = MysqlLedger::restore(&database.mysql(), Backup::read(text.as_slice()).unwrap(), NOW).await;
    assert!(matches!(error.unwrap_err(), LedgerError::Exists { .. }));
    let mut reader = MysqlReader::open(&database.mysql(), "paper").await.unwrap();
    reader.verify().await.unwrap();
    let (mut there, mut back) = (Vec::new(), Vec::new());
    reader.backup(&mut there).await.unwrap();
    let again = dir.path().join("again.db");
    SqliteLedger::restore(&again, Backup::read(there.as_slice()).unwrap(), NOW).await.unwrap();
    SqliteReader::open(&again).await.unwrap().backup(&mut back).await.unwrap();
    assert!(reader.contains(&original.head().await.unwrap()).await.unwrap());
    assert_restored(database.open().await, original).await;
}

#[tokio::test]
async fn a_backup_is_of_one_moment_while_a_worker_writes() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    for id in 0..20 {
        commit(&mut ledger, &[Record::Intent(intent(id, 1)), booked(&id.to_string(), id)]).await.unwrap();
    }
    let head = ledger.head().await.unwrap();
    let mut reader = MysqlReader::open(&database.mysql(), "paper").await.unwrap();
    // Whoever writes in the midst of it: another thread, as another process would.
    let (sender, receiver) = std::sync::mpsc::channel();
    let (told, written) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = database.options();
        runtime.block_on(async {
            receiver.recv().unwrap();
            let mut ledger = MysqlLedger::open(&options).await.unwrap();
            commit(&mut ledger, &[booked("late", 1)]).await.unwrap();
            told.send(()).unwrap();
        });
        database
    });
    let (mut fills, mut begun) = (0, false);
    let names: Vec<&str> = backup::tables().iter().map(|table| table.name).collect();
    let found = reader
        .export(&names, &mut |table, _| {
            fills += usize::from(table == "fills");
            if !std::mem::replace(&mut begun, true) {
                sender.send(()).unwrap();
                written.recv().unwrap();
            }
            Ok(())
        })
        .await
        .unwrap();
    // The server stays as long as this does.
    let _database = writer.join().unwrap();
    assert_eq!((found, fills), (head, 20), "what came later is not in it");
    assert_eq!(reader.history().await.unwrap().fills.len(), 21);
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    fill_up(&mut open(&path).await).await;
    let text = String::from_utf8(saved(&path).await).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for kept in 0..lines.len() {
        let error = Backup::read(lines[..kept].join("\n").as_bytes()).unwrap_err();
        let LedgerError::BadCopy { line } = error else { panic!("{error:?}") };
        assert_eq!(line, kept + 1, "cut after line {kept}");
    }
    let swapped = [&lines[..2], &[lines[3], lines[2]], &lines[4..]].concat().join("\n");
    let edited = text.replace("\"0.2\"", "\"0.3\"");
    let dropped = [&lines[..2], &lines[3..]].concat().join("\n");
    assert!(Backup::read(dropped.as_bytes()).is_err(), "a line in the middle is missing");
    Backup::read(swapped.as_bytes()).unwrap();
    assert_ne!(edited, text);
    let new = dir.path().join("new.db");
    let error = SqliteLedger::restore(&new, Backup::read(edited.as_bytes()).unwrap(), NOW).await.unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { .. }), "{error:?}");
    assert!(!new.exists() && !dir.path().join("new.db.restored").exists());
    let error = SqliteLedger::restore(&path, Backup::read(text.as_bytes()).unwrap(), NOW).await.unwrap_err();
    assert!(
        matches!(error, LedgerError::Exists { .. }),
        "a ledger that is there is never replaced: {error:?}"
    );
}

#[tokio::test]
async fn rows_are_told_with_their_columns() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    fill_up(&mut open(&path).await).await;
    let mut reader = SqliteReader::open(&path).await.unwrap();
    let mut rows: BTreeMap<String, Vec<Vec<Value<'static>>>> = BTreeMap::new();
    reader
        .export(&["fills", "balances"], &mut |table, values| {
            rows.entry(table.to_owned()).or_default().push(values.to_vec());
            Ok(())
        })
        .await
        .unwrap();
    let columns = &backup::tables().into_iter().find(|table| table.name == "fills").unwrap().columns;
    let fill = &rows["fills"][0];
    let cell = |name: &str| &fill[columns.iter().position(|column| *column == name).unwrap()];
    assert_eq!(cell("price"), &Value::Text("100.1".into()));
    assert_eq!(cell("quantity_units"), &Value::Int(20_000_000));
    let amounts = rows["balances"].iter().map(|row| row.last().unwrap().clone());
    // What the predecessor had is its successor's.
    let expected = ["600", "0", "0", "0.2", "379.968"].map(|amount| Value::Text(amount.into()));
    assert_eq!(amounts.collect::<Vec<_>>(), expected);
    let error = reader.export(&["fills"], &mut |_, _| Err(std::io::Error::other("full"))).await.unwrap_err();
    assert!(matches!(error, LedgerError::Copy { .. }), "{error:?}");
}

#[tokio::test]
async fn a_restored_ledger_tells_what_was_not_told_and_gives_no_number_again() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut original = open(&path).await;
    let bus = suite::bus(Limits::default());
    original.publish(Some(&bus)).await.unwrap();
    fill_up(&mut original).await;
    let waiting = original.events_after(0, 100).await.unwrap();
    assert!(!waiting.is_empty());
    let copy = Backup::read(saved(&path).await.as_slice()).unwrap();
    // What happens after the backup is told, and then lost.
    commit(&mut original, &[set("c"), set("d")]).await.unwrap();
    let lost = original.events_after(waiting.last().unwrap().sequence, 100).await.unwrap();
    let restored = dir.path().join("new/ledger.db");
    SqliteLedger::restore(&restored, copy, NOW).await.unwrap();
    let mut restored = SqliteReader::open(&restored).await.unwrap();
    let events = restored.events_after(0, 100).await.unwrap();
    assert_eq!(events[..waiting.len()], waiting);
    let [halt] = &events[waiting.len()..] else { panic!("{events:?}") };
    assert!(halt.body.contains("ledger-unknown"), "{halt:?}");
    assert!(halt.sequence > lost.last().unwrap().sequence, "{halt:?} is not after {lost:?}");
}
