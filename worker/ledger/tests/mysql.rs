//! The shared suite on MariaDB at both isolation levels, and what a database of many ledgers promises beyond it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::rc::Rc;

use common::mariadb::{Database, Server};
use common::*;
use sqlx::{Executor, Row};
use tokio::task::LocalSet;
use tradewind_core::event::Record;
use tradewind_core::name::Uid;
use tradewind_core::order::{Incarnation, OrderState};
use tradewind_core::recovery::History;
use tradewind_core::time::Timestamp;
use tradewind_ledger::mysql::{Isolation, SCHEMA, statements};
use tradewind_ledger::{
    Batch, DecisionFilter, Ledger, LedgerError, LedgerReader, MysqlLedger, MysqlOptions, MysqlReader,
    MysqlServer,
};
use uuid::Uuid;

use OrderState::{Intended, Sent};

/// A ledger beside one of another account that holds the same numbers.
async fn make(isolation: Isolation) -> (MysqlLedger, Database) {
    let database = Server::shared().database().await;
    let options = at(&database, isolation);
    fill_up(&mut MysqlLedger::open(&neighbour(&options)).await.unwrap()).await;
    (MysqlLedger::open(&options).await.unwrap(), database)
}

fn at(database: &Database, isolation: Isolation) -> MysqlOptions {
    let options = database.options();
    MysqlOptions { server: MysqlServer { isolation, ..options.server }, ..options }
}

fn neighbour(options: &MysqlOptions) -> MysqlOptions {
    MysqlOptions { account: Uid(Uuid::from_u128(2)), account_name: "other".into(), ..options.clone() }
}

mod read_committed {
    async fn make() -> (super::MysqlLedger, super::Database) {
        super::make(super::Isolation::ReadCommitted).await
    }
    crate::suite!(make);
}

mod repeatable_read {
    async fn make() -> (super::MysqlLedger, super::Database) {
        super::make(super::Isolation::RepeatableRead).await
    }
    crate::suite!(make);
}

#[tokio::test]
async fn what_is_closed_or_dropped_comes_back_equal_under_the_next_epoch() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    fill_up(&mut ledger).await;
    let (history, head) = (ledger.history().await.unwrap(), ledger.head().await.unwrap());
    ledger.close().await.unwrap();
    for epoch in 2..4 {
        let other = MysqlOptions { incarnation: Incarnation(99), ..database.options() };
        let mut ledger = MysqlLedger::open(&other).await.unwrap();
        assert_eq!(ledger.identity(), identity(epoch), "the incarnation is the first one's");
        assert_eq!(ledger.history().await.unwrap(), history);
        assert_eq!(ledger.head().await.unwrap(), head);
        assert_eq!(ledger.verify().await.unwrap(), head);
        drop(ledger);
    }
    assert_eq!(head.seq, 13, "one row a record");
}

#[tokio::test]
async fn a_chain_has_the_same_hashes_in_both_databases() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut file = open(&dir.path().join("ledger.db")).await;
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    fill_up(&mut file).await;
    fill_up(&mut ledger).await;
    assert_eq!(ledger.head().await.unwrap(), file.head().await.unwrap());
    assert_eq!(ledger.history().await.unwrap(), file.history().await.unwrap());
}

#[tokio::test]
async fn ledgers_of_one_database_do_not_meet() {
    let database = Server::shared().database().await;
    let options = database.options();
    let mut ours = MysqlLedger::open(&options).await.unwrap();
    let mut theirs = MysqlLedger::open(&neighbour(&options)).await.unwrap();
    fill_up(&mut theirs).await;
    let (history, head) = (theirs.history().await.unwrap(), theirs.head().await.unwrap());
    assert_eq!(ours.history().await.unwrap(), History::default());
    assert!(ours.decisions(&DecisionFilter::default()).await.unwrap().is_empty());
    assert!(ours.equity(None, Timestamp(0)).await.unwrap().is_empty());
    assert!(ours.trades(10).await.unwrap().is_empty() && ours.balances().await.unwrap().is_empty());
    assert!(ours.outcomes().await.unwrap().is_empty() && ours.fill_counts().await.unwrap().is_empty());
    assert!(ours.symbols().await.unwrap().is_empty() && !ours.contains(&head).await.unwrap());
    fill_up(&mut ours).await;
    commit(
        &mut ours,
        &[cleared("b"), booked("t-2", 1), step(1, 1, 1, OrderState::Unknown, OrderState::Filled)],
    )
    .await
    .unwrap();
    ours.prune(Timestamp(i64::MAX)).await.unwrap();
    assert_eq!(theirs.history().await.unwrap(), history);
    assert_eq!(theirs.decisions(&DecisionFilter::default()).await.unwrap().len(), 1);
    assert_eq!(theirs.equity(None, Timestamp(0)).await.unwrap().len(), 1);
    assert_eq!(theirs.verify().await.unwrap(), head);
    commit(&mut theirs, &[Record::Intent(intent(2, 1))]).await.unwrap();
    ours.verify().await.unwrap();
    assert_eq!((ours.identity(), theirs.identity()), (identity(1), identity(1)), "each has its own epoch");
}

#[tokio::test]
async fn a_ledger_of_another_account_is_refused_but_opened_by_those_who_say_so() {
    let database = Server::shared().database().await;
    fill_up(&mut database.open().await).await;
    let other = MysqlOptions { account: Uid(Uuid::from_u128(2)), ..database.options() };
    let error = MysqlLedger::open(&other).await.map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::OtherAccount { .. }), "{error:?}");
    assert!(error.to_string().contains("use another database"), "{error}");
    let mut ledger = MysqlLedger::open_any(&other, None).await.unwrap();
    assert_eq!(ledger.account().await.unwrap(), (options().account, "paper".into()));
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn who_had_the_ledger_before_does_not_take_it_from_one_who_came_since() {
    let database = Server::shared().database().await;
    let by = |owner: &str| MysqlOptions { owner: owner.to_owned(), ..database.options() };
    MysqlLedger::open_any(&by("one"), None).await.unwrap();
    MysqlLedger::visit(&by("a person")).await.unwrap();
    MysqlLedger::open_any(&by("one"), Some(TAG))
        .await
        .expect("a person's change makes nobody else its worker");
    let mut two = MysqlLedger::open(&by("two")).await.unwrap();
    for _ in 0..2 {
        let refused = MysqlLedger::open_any(&by("one"), Some(TAG)).await.map(drop).unwrap_err();
        assert!(matches!(&refused, LedgerError::OpenedSince { by, .. } if by == "two"), "{refused:?}");
    }
    commit(&mut two, &[Record::Intent(intent(1, 4))]).await.expect("it goes on as if nobody had asked");
}

#[tokio::test]
async fn a_stale_worker_can_commit_nothing_once_another_has_the_ledger() {
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
        let database = Server::shared().database().await;
        let options = at(&database, isolation);
        let mut stale = MysqlLedger::open(&options).await.unwrap();
        commit(&mut stale, &[Record::Intent(intent(1, 1))]).await.unwrap();
        let mut present = MysqlLedger::open(&options).await.unwrap();
        let error = commit(&mut stale, &[Record::Intent(intent(2, 1))]).await.unwrap_err();
        assert!(matches!(error, LedgerError::Fenced { .. }), "before the other has written: {error:?}");
        commit(&mut present, &[Record::Intent(intent(2, 2))]).await.unwrap();
        let batches: [&[Record]; 3] =
            [&[Record::Intent(intent(2, 1))], &[step(1, 1, 1, Intended, Sent)], &[]];
        for batch in batches {
            let error = commit(&mut stale, batch).await.unwrap_err();
            assert!(matches!(error, LedgerError::Fenced { .. }), "{batch:?}: {error:?}");
        }
        let error = stale.prune(Timestamp(9)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Fenced { .. }), "{error:?}");
        commit(&mut present, &[step(1, 2, 1, Intended, Sent)]).await.unwrap();
        present.verify().await.unwrap();
        assert_eq!(present.history().await.unwrap().next_intent, 3);
    }
}

/// 32 workers take one ledger over from each other again and again; whoever has it writes the next number.
async fn taken_over_by_many(isolation: Isolation) {
    const WORKERS: usize = 32;
    const ROUNDS: usize = 4;
    let database = Server::shared().database().await;
    let options = Rc::new(at(&database, isolation));
    let local = LocalSet::new();
    let worker = |options: Rc<MysqlOptions>| async move {
        let (mut durable, mut fenced) = (0, 0);
        for _ in 0..ROUNDS {
            let mut ledger = MysqlLedger::open(&options).await.unwrap();
            let epoch = ledger.identity().epoch.0;
            loop {
                let id = ledger.history().await.unwrap().next_intent;
                let rows = [decision(1, "trend", btc())];
                let (records, rules) =
                    ([Record::Intent(intent(id, epoch)), booked(&id.to_string(), id)], rules());
                let batch = Batch { records: &records, decisions: &rows, rules: &rules, ..Batch::default() };
                match ledger.commit(&batch).await {
                    Ok(done) => durable += done.new_fills,
                    Err(LedgerError::Fenced { .. }) => break fenced += 1,
                    Err(error) => panic!("{error:?}"),
                }
                if durable >= ROUNDS {
                    break;
                }
            }
        }
        (durable, fenced)
    };
    let workers: Vec<_> = (0..WORKERS).map(|_| local.spawn_local(worker(Rc::clone(&options)))).collect();
    let (mut durable, mut fenced) = (0, 0);
    local
        .run_until(async {
            for worker in workers {
                let (ours, theirs) = worker.await.unwrap();
                durable += ours;
                fenced += theirs;
            }
        })
        .await;
    let mut ledger = MysqlLedger::open(&options).await.unwrap();
    let history = ledger.history().await.unwrap();
    assert!(durable > 0 && fenced > 0, "{durable} durable, {fenced} fenced");
    assert_eq!(history.fills.len(), durable, "no lost and no doubled update");
    assert_eq!(history.next_intent, durable as u64);
    let decisions: u64 = ledger.outcomes().await.unwrap().iter().map(|outcome| outcome.count).sum();
    assert_eq!(decisions, durable as u64);
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn thirty_two_writers_of_one_ledger_lose_nothing_at_read_committed() {
    taken_over_by_many(Isolation::ReadCommitted).await;
}

#[tokio::test]
async fn thirty_two_writers_of_one_ledger_lose_nothing_at_repeatable_read() {
    taken_over_by_many(Isolation::RepeatableRead).await;
}

#[tokio::test]
async fn thirty_two_accounts_write_side_by_side() {
    let database = Server::shared().database().await;
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
        let options = at(&database, isolation);
        let local = LocalSet::new();
        let worker = |options: MysqlOptions| async move {
            let mut ledger = MysqlLedger::open(&options).await.unwrap();
            let epoch = ledger.identity().epoch.0;
            let first = ledger.history().await.unwrap().next_intent;
            for id in first..first + 5 {
                let trade = booked(&id.to_string(), id);
                commit(&mut ledger, &[Record::Intent(intent(id, epoch)), trade]).await.unwrap();
            }
            ledger.verify().await.unwrap();
            let history = ledger.history().await.unwrap();
            assert_eq!((history.next_intent, history.fills.len() as u64), (first + 5, first + 5));
        };
        let accounts = (0..32_u128).map(|account| MysqlOptions {
            account: Uid(Uuid::from_u128(account)),
            account_name: format!("account-{account}").into(),
            ..options.clone()
        });
        let workers: Vec<_> = accounts.map(|options| local.spawn_local(worker(options))).collect();
        local
            .run_until(async {
                for worker in workers {
                    worker.await.unwrap();
                }
            })
            .await;
    }
}

#[tokio::test]
async fn a_reader_reads_beside_the_writer_and_changes_nothing() {
    let database = Server::shared().database().await;
    let missing = MysqlReader::open(&database.mysql(), "paper").await.map(drop).unwrap_err();
    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing:?}");
    let mut ledger = database.open().await;
    fill_up(&mut ledger).await;
    let mut reader = MysqlReader::open(&database.mysql(), "paper").await.unwrap();
    assert_eq!(reader.history().await.unwrap(), ledger.history().await.unwrap());
    assert_eq!(reader.identity().await.unwrap(), identity(1));
    assert_eq!(reader.account().await.unwrap().1, "paper");
    assert_eq!(reader.verify().await.unwrap(), ledger.head().await.unwrap());
    commit(&mut ledger, &[Record::Intent(intent(2, 1))]).await.unwrap();
    assert_eq!(reader.history().await.unwrap().next_intent, 3, "it sees what is committed later");
    let missing = MysqlReader::open(&database.mysql(), "nobody").await.map(drop).unwrap_err();
    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing:?}");
}

#[tokio::test]
async fn a_migration_cut_off_after_any_statement_is_resumed() {
    // What is cut off is the worker, not the server: it need not wait for its disk.
    let server = std::sync::Arc::new(Server::start(&["--innodb-flush-log-at-trx-commit=0"]));
    let whole = server.database().await;
    whole.open().await;
    let all: Vec<&'static str> = (1..=SCHEMA).flat_map(statements).collect();
    assert!(all.len() > 20, "{}", all.len());
    for done in 1..=all.len() {
        let database = server.database().await;
        database.run(&all[..done]).await.unwrap();
        let mut ledger = database.open().await;
        fill_up(&mut ledger).await;
        ledger.verify().await.unwrap();
        if done % 8 == 0 || done == all.len() {
            assert_eq!(schema(&database).await, schema(&whole).await, "after {done} statements");
        }
    }
}

#[tokio::test]
async fn workers_that_start_at_the_same_time_on_an_empty_database_make_one_schema() {
    let database = Server::shared().database().await;
    let local = LocalSet::new();
    let workers: Vec<_> = (0..8_u128)
        .map(|account| {
            // Two of each name: they meet in the row of the ledger too.
            let account = account / 2;
            let options = MysqlOptions {
                account: Uid(Uuid::from_u128(account)),
                account_name: format!("account-{account}").into(),
                ..database.options()
            };
            local.spawn_local(async move { MysqlLedger::open(&options).await.unwrap().identity().epoch.0 })
        })
        .collect();
    let mut epochs = Vec::new();
    local
        .run_until(async {
            for worker in workers {
                epochs.push(worker.await.unwrap());
            }
        })
        .await;
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 1, 1, 1, 2, 2, 2, 2]);
}

/// All columns, keys, views and triggers.
async fn schema(database: &Database) -> Vec<String> {
    let mut conn = database.by_hand().await;
    let mut found = Vec::new();
    for sql in [
        "SELECT CONCAT_WS(' ', table_name, column_name, column_type, is_nullable, column_default, collation_name, extra) \
         FROM information_schema.columns WHERE table_schema = DATABASE()",
        "SELECT CONCAT_WS(' ', table_name, index_name, seq_in_index, column_name, non_unique) \
         FROM information_schema.statistics WHERE table_schema = DATABASE()",
        "SELECT CONCAT_WS(' ', trigger_name, action_statement) FROM information_schema.triggers \
         WHERE trigger_schema = DATABASE()",
        "SELECT CAST(table_name AS CHAR) FROM information_schema.views WHERE table_schema = DATABASE()",
    ] {
        let rows = conn.fetch_all(sql).await.unwrap();
        found.extend(rows.iter().map(|row| row.get::<String, _>(0)));
    }
    found.sort();
    found
}
