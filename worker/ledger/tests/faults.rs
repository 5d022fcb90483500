//! What must not happen to a ledger, and what is said when it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::*;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tradewind_core::event::Record;
use tradewind_core::name::Uid;
use tradewind_core::order::{Epoch, Incarnation, OrderState};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{Batch, Ledger, LedgerError, LedgerReader, SqliteLedger, SqliteOptions, SqliteReader};
use uuid::Uuid;

use OrderState::{Intended, Sent};

fn ledger_in(dir: &TempDir) -> PathBuf {
    dir.path().join("ledger.db")
}

async fn refused(path: &Path, options: &SqliteOptions) -> LedgerError {
    SqliteLedger::open(path, options).await.map(drop).unwrap_err()
}

/// Runs statements on the file, as a person with a SQLite shell would.
async fn by_hand(path: &Path, statements: &[&'static str]) -> Result<(), sqlx::Error> {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await?;
    for sql in statements {
        sqlx::query(*sql).execute(&mut conn).await?;
    }
    conn.close().await
}

/// A closed ledger of one sent order with a fill: rows 1 intent, 2 transition, 3 fill, 4 halt, 5 transfer.
async fn closed(path: &Path) {
    let mut ledger = open(path).await;
    let records = [
        Record::Intent(intent(1, 1)),
        step(1, 1, 1, Intended, Sent),
        booked("t", 1),
        set("a"),
        Record::Transfer(transfer("5", None)),
    ];
    let (rules, checkpoint) = (rules(), checkpoint(7_000));
    let batch = Batch { records: &records, rules: &rules, checkpoint: Some(&checkpoint), ..Batch::default() };
    Ledger::commit(&mut ledger, &batch).await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_second_worker_is_refused_and_told_who_the_first_is() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    let first = open(&path).await;
    let error = refused(&path, &options()).await;
    assert!(matches!(error, LedgerError::Locked { .. }), "{error:?}");
    let text = error.to_string();
    let pid = format!("worker of paper (process {})", std::process::id());
    assert!(text.contains(&pid) && text.contains("since 2025-01-02T03:04:05Z"), "{text}");
    first.close().await.unwrap();
    assert_eq!(Ledger::identity(&open(&path).await), identity(2), "a refusal raises no epoch");
}

#[tokio::test]
async fn a_stale_worker_can_commit_nothing_once_another_has_the_ledger() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    let mut stale = open(&path).await;
    commit(&mut stale, &[Record::Intent(intent(1, 1))]).await.unwrap();
    // Round the lock: a removed lock file is a different file to the next worker.
    std::fs::remove_file(dir.path().join("ledger.db.lock")).unwrap();
    let mut present = open(&path).await;
    let error = commit(&mut stale, &[Record::Intent(intent(2, 1))]).await.unwrap_err();
    let text = "before the other has written anything";
    assert!(matches!(error, LedgerError::Fenced { ours: Epoch(1), theirs: Epoch(2) }), "{text}: {error:?}");
    commit(&mut present, &[Record::Intent(intent(2, 2))]).await.unwrap();
    let batches: [&[Record]; 4] = [
        &[Record::Intent(intent(2, 1))],
        &[Record::Intent(intent(3, 1))],
        &[step(1, 1, 1, Intended, Sent)],
        &[],
    ];
    for batch in batches {
        let error = commit(&mut stale, batch).await.unwrap_err();
        assert!(
            matches!(error, LedgerError::Fenced { ours: Epoch(1), theirs: Epoch(2) }),
            "{batch:?}: {error:?}"
        );
    }
    assert_eq!((stale.failed_attempts(), present.failed_attempts()), (5, 0), "each commit that failed");
    let error = Ledger::prune(&mut stale, Timestamp(9)).await.unwrap_err();
    assert!(matches!(error, LedgerError::Fenced { .. }), "{error:?}");
    commit(&mut present, &[step(1, 2, 1, Intended, Sent)]).await.unwrap();
    present.verify().await.unwrap();
    assert_eq!(present.history().await.unwrap().next_intent, 3);
}

#[tokio::test]
async fn a_newer_schema_is_refused_naming_both_versions() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    closed(&path).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (42, 'from the future', TRUE, x'00', 0)";
    by_hand(&path, &[newer]).await.unwrap();
    for error in [refused(&path, &options()).await, SqliteReader::open(&path).await.map(drop).unwrap_err()] {
        assert!(matches!(error, LedgerError::NewerSchema { found: 42, supported: 7, .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("schema 42") && text.contains("up to 7") && text.contains("ledger.db"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_ledger_of_another_account_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    closed(&path).await;
    let other = SqliteOptions { account: Uid(Uuid::from_u128(2)), account_name: "live".into(), ..options() };
    let error = refused(&path, &other).await;
    assert!(matches!(error, LedgerError::OtherAccount { .. }), "{error:?}");
    assert!(error.to_string().contains("paper (") && error.to_string().contains("live ("), "{error}");
}

#[tokio::test]
async fn a_ledger_of_another_account_is_opened_by_those_who_say_so_and_tells_whose_it_is() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    closed(&path).await;
    let other = SqliteOptions { account: Uid(Uuid::from_u128(2)), ..options() };
    let mut ledger = SqliteLedger::open_any(&path, &other, None).await.unwrap();
    assert_eq!(ledger.account().await.unwrap(), (options().account, "paper".into()));
    assert_eq!(Ledger::identity(&ledger), identity(2), "it is opened as any other");
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn who_had_the_ledger_before_does_not_take_it_from_one_who_came_since() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    let by = |owner: &str| SqliteOptions { owner: owner.to_owned(), ..options() };
    SqliteLedger::open_any(&path, &by("one"), None).await.unwrap().close().await.unwrap();
    // A person's change makes nobody else its worker.
    SqliteLedger::visit(&path, &by("a person")).await.unwrap().close().await.unwrap();
    let again = SqliteLedger::open_any(&path, &by("one"), Some(TAG)).await.unwrap();
    assert_eq!(Ledger::identity(&again), identity(3));
    again.close().await.unwrap();
    SqliteLedger::open(&path, &by("two")).await.unwrap().close().await.unwrap();
    SqliteLedger::visit(&path, &by("a person")).await.unwrap().close().await.unwrap();
    for _ in 0..2 {
        let refused = SqliteLedger::open_any(&path, &by("one"), Some(TAG)).await.map(drop).unwrap_err();
        assert!(matches!(&refused, LedgerError::OpenedSince { by, .. } if by == "two"), "{refused:?}");
    }
    let two = SqliteLedger::open_any(&path, &by("two"), Some(TAG)).await.unwrap();
    assert_eq!(Ledger::identity(&two), identity(6), "asking has changed nothing");
    two.close().await.unwrap();
    // Of another ledger in its place it is judged elsewhere whether it may be traded on.
    SqliteLedger::open_any(&path, &by("one"), Some(Incarnation(8))).await.unwrap();
}

#[tokio::test]
async fn rows_cannot_be_changed_or_deleted_by_accident() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    closed(&path).await;
    for table in ["intents", "transitions", "fills", "halts", "transfers"] {
        for sql in [format!("DELETE FROM {table}"), format!("UPDATE {table} SET hash = 'x'")] {
            let error = by_hand(&path, &[sql.leak()]).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{table}: {error}");
        }
    }
    let identity = by_hand(&path, &["UPDATE ledger SET incarnation = 1"]).await.unwrap_err();
    assert!(identity.to_string().contains("fixed"), "{identity}");
}

#[tokio::test]
async fn a_row_changed_by_hand_is_named_and_the_ledger_stays_shut() {
    let cases: [(&[&'static str], &str, u64); 12] = [
        (&["DROP TRIGGER fills_fixed", "UPDATE fills SET price_units = 1"], "fills", 3),
        (&["DROP TRIGGER fills_fixed", "UPDATE fills SET price = '1'"], "fills", 3),
        (&["DROP TRIGGER fills_fixed", "UPDATE fills SET quantity_units = 'many'"], "fills", 3),
        (&["DROP TRIGGER intents_fixed", "UPDATE intents SET side = 'Sell'"], "intents", 1),
        (&["DROP TRIGGER transitions_fixed", "UPDATE transitions SET detail = 'x'"], "transitions", 2),
        (&["DROP TRIGGER halts_kept", "DELETE FROM halts"], "chain", 4),
        (&["DROP TRIGGER transfers_kept", "DELETE FROM transfers"], "chain", 5),
        (&["DROP TRIGGER ledger_fixed", "UPDATE ledger SET incarnation = 1"], "intents", 1),
        (&["UPDATE chain_head SET seq = 4"], "chain_head", 4),
        (&["UPDATE intents SET state = 'Filled'"], "intents", 1),
        (&["UPDATE intents SET filled_units = 0"], "intents", 1),
        (&["UPDATE checkpoint SET body = REPLACE(body, '7000', '7001')"], "checkpoint", 1),
    ];
    for (statements, table, seq) in cases {
        let dir = TempDir::new().unwrap();
        let path = ledger_in(&dir);
        closed(&path).await;
        by_hand(&path, statements).await.unwrap();
        let error = refused(&path, &options()).await;
        let LedgerError::Tampered { table: found, seq: at, .. } = &error else {
            panic!("{statements:?}: {error:?}")
        };
        assert_eq!((*found, *at), (table, seq), "{statements:?}");
        let mut reader = SqliteReader::open(&path).await.unwrap();
        let found = reader.verify().await.unwrap_err();
        assert_eq!(found.to_string(), error.to_string(), "{statements:?}");
    }
}

#[tokio::test]
async fn a_change_far_back_in_the_chain_is_found_by_verify() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    let mut ledger = open(&path).await;
    let many: Vec<_> = (1..=1_500).map(|n| Record::Transfer(transfer(&n.to_string(), None))).collect();
    commit(&mut ledger, &many).await.unwrap();
    ledger.close().await.unwrap();
    by_hand(&path, &["DROP TRIGGER transfers_fixed", "UPDATE transfers SET amount = '9' WHERE seq = 700"])
        .await
        .unwrap();
    let mut ledger = open(&path).await;
    let error = ledger.verify().await.unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { table: "transfers", seq: 700, .. }), "{error:?}");
}

#[tokio::test]
async fn balances_changed_by_hand_are_found_by_verify() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    closed(&path).await;
    by_hand(&path, &["UPDATE balances SET amount = '1000000' WHERE asset = 'BTC'"]).await.unwrap();
    let error = SqliteReader::open(&path).await.unwrap().verify().await.unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { table: "balances", .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_ledger_or_damaged_is_refused() {
    let dir = TempDir::new().unwrap();
    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, "timestamp,open,high,low,close\n".repeat(1_000)).unwrap();
    let foreign = dir.path().join("foreign.db");
    std::fs::write(&foreign, "").unwrap();
    by_hand(&foreign, &["CREATE TABLE customers (id INTEGER)"]).await.unwrap();
    let cut = dir.path().join("cut.db");
    closed(&cut).await;
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    for path in [garbage, foreign, cut] {
        let error = refused(&path, &options()).await;
        assert!(matches!(error, LedgerError::Corrupt { .. }), "{}: {error:?}", path.display());
        assert!(error.to_string().contains("restore it from a backup"), "{error}");
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_a_ledger_is_named() {
    let dir = TempDir::new().unwrap();
    let error = refused(dir.path(), &options()).await;
    assert!(matches!(error, LedgerError::Io { .. }), "{error:?}");
    let missing = dir.path().join("none.db");
    let error = SqliteReader::open(&missing).await.map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Missing { .. }), "{error:?}");
    assert!(!missing.exists(), "a reader makes no file");
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing_half_written() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    let full = SqliteOptions { max_bytes: Some(300 * 1024), ..options() };
    let mut ledger = SqliteLedger::open(&path, &full).await.unwrap();
    let rules = rules();
    let rows: Vec<_> = (0..200).map(|at| decision(at, "trend", btc())).collect();
    let mut durable = 0;
    let error = loop {
        let records = [Record::Intent(intent(durable, 1))];
        let batch = Batch { records: &records, decisions: &rows, rules: &rules, ..Batch::default() };
        match Ledger::commit(&mut ledger, &batch).await {
            Ok(_) => durable += 1,
            Err(error) => break error,
        }
        assert!(durable < 1_000, "the limit has no effect");
    };
    assert!(matches!(error, LedgerError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("ledger.db: no room left"), "{error}");
    assert!(durable > 0);
    assert_eq!(ledger.history().await.unwrap().next_intent, durable, "the refused batch left nothing");
    ledger.verify().await.unwrap();
    ledger.close().await.unwrap();
    let mut ledger = open(&path).await;
    assert_eq!(ledger.history().await.unwrap().next_intent, durable);
    let enough_room = [Record::Intent(intent(durable, 2))];
    commit(&mut ledger, &enough_room).await.unwrap();
}

/// Permissions do not bind root, so this test runs itself again as nobody where it is root.
#[test]
fn a_ledger_that_cannot_be_written_is_refused_but_can_be_read() {
    const CHILD: &str = "LEDGER_READ_ONLY_CHILD";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(dir) = std::env::var_os(CHILD) {
        return runtime.block_on(read_only_child(Path::new(&dir)));
    }
    let dir = TempDir::new().unwrap();
    let ledgers = dir.path().join("ledgers");
    let path = ledgers.join("ledger.db");
    runtime.block_on(closed(&path));
    let root = std::fs::metadata(dir.path()).unwrap().uid() == 0;
    std::fs::remove_file(ledgers.join("ledger.db.lock")).unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let test = dir.path().join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &test).unwrap();
    mode(&test, 0o555);
    mode(&path, 0o444);
    mode(&ledgers, 0o555);
    mode(dir.path(), 0o755);
    let mut child = Command::new(&test);
    child
        .args(["--exact", "a_ledger_that_cannot_be_written_is_refused_but_can_be_read"])
        .env(CHILD, &ledgers);
    if root {
        child.uid(65_534).gid(65_534);
    }
    let output = child.current_dir("/").output().unwrap();
    mode(&ledgers, 0o755);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn read_only_child(ledgers: &Path) {
    let path = ledgers.join("ledger.db");
    for path in [&path, &ledgers.join("new.db"), &ledgers.join("new").join("ledger.db")] {
        let error = refused(path, &options()).await;
        assert!(matches!(error, LedgerError::ReadOnly { .. }), "{}: {error:?}", path.display());
        assert!(error.to_string().contains("give the worker write permission"), "{error}");
    }
    let mut reader = SqliteReader::open(&path).await.unwrap();
    assert_eq!(reader.history().await.unwrap().fills.len(), 1);
}

#[tokio::test]
async fn a_file_another_program_writes_to_is_said_to_be_locked() {
    let dir = TempDir::new().unwrap();
    let path = ledger_in(&dir);
    let mut ledger = open(&path).await;
    let mut other = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let holding = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = commit(&mut ledger, &[Record::Intent(intent(1, 1))]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Locked { .. }), "{error:?}");
    holding.rollback().await.unwrap();
    commit(&mut ledger, &[Record::Intent(intent(1, 1))]).await.unwrap();
}
