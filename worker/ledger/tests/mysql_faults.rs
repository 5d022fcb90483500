//! What a ledger in a database does when the server, the network, the credentials or people fail it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::mariadb::{Database, PASSWORD, Server};
use common::proxy::{Cut, Proxy};
use common::*;
use sqlx::{Connection, Executor};
use tokio::task::LocalSet;
use tradewind_core::event::Record;
use tradewind_core::order::OrderState;
use tradewind_core::time::Timestamp;
use tradewind_ledger::mysql::{AppendOnly, SCHEMA, Tls};
use tradewind_ledger::{
    Batch, Committed, DecisionFilter, DecisionRow, Ledger, LedgerError, LedgerReader, MysqlLedger,
    MysqlOptions, MysqlReader, MysqlServer, Patience,
};

use OrderState::{Intended, Sent};

async fn refused(server: MysqlServer, database: &Database) -> LedgerError {
    MysqlLedger::open(&MysqlOptions { server, ..database.options() }).await.map(drop).unwrap_err()
}

/// One order with its fill and a decision: doubled, each of them would show.
async fn trade(ledger: &mut MysqlLedger, id: u64) -> Result<Committed, LedgerError> {
    let epoch = ledger.identity().epoch.0;
    let records = [Record::Intent(intent(id, epoch)), booked(&id.to_string(), id)];
    let (rules, rows) = (rules(), [decision(1, "trend", btc())]);
    ledger.commit(&Batch { records: &records, decisions: &rows, rules: &rules, ..Batch::default() }).await
}

/// That many trades are there, each once.
async fn assert_trades(ledger: &mut MysqlLedger, count: u64) {
    let history = ledger.history().await.unwrap();
    assert_eq!((history.next_intent, history.fills.len() as u64), (count, count));
    let all = DecisionFilter { limit: u32::MAX, ..DecisionFilter::default() };
    assert_eq!(ledger.decisions(&all).await.unwrap().len() as u64, count);
    let counted: u64 = ledger.outcomes().await.unwrap().iter().map(|outcome| outcome.count).sum();
    assert_eq!(counted, count);
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_looked_up_and_not_made_twice() {
    let database = Server::shared().database().await;
    let proxy = Proxy::to(database.server.port());
    let server = MysqlServer { port: proxy.port, ..database.mysql() };
    let mut ledger = MysqlLedger::open(&MysqlOptions { server, ..database.options() }).await.unwrap();
    let cuts = [Cut::None, Cut::Request, Cut::Answer, Cut::Answer, Cut::Request, Cut::None];
    for (id, cut) in (0..).zip(cuts) {
        proxy.cut_next(cut);
        assert_eq!(trade(&mut ledger, id).await.unwrap().new_fills, 1, "{cut:?}");
    }
    for cut in cuts {
        // A commit that adds no row to the chain could be taken for one that was not made.
        proxy.cut_next(cut);
        let rows = [decision(2, "other", btc())];
        ledger.commit(&Batch { decisions: &rows, ..Batch::default() }).await.unwrap();
    }
    assert_eq!(proxy.cuts(), 8);
    assert_eq!(ledger.failed_attempts(), 8, "each cut failed an attempt, and the next one made it good");
    let all = ledger.decisions(&DecisionFilter::default()).await.unwrap();
    assert_eq!(all.iter().filter(|row| row.strategy_name == "other").count(), cuts.len());
    assert_eq!(ledger.history().await.unwrap().fills.len(), cuts.len());
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_fenced_if_another_came_meanwhile() {
    let database = Server::shared().database().await;
    let proxy = Proxy::to(database.server.port());
    let server = MysqlServer { port: proxy.port, ..database.impatient() };
    let mut stale = MysqlLedger::open(&MysqlOptions { server, ..database.options() }).await.unwrap();
    trade(&mut stale, 0).await.unwrap();
    proxy.cut_next(Cut::Request);
    let error = trade(&mut stale, 1).await.unwrap_err();
    assert!(matches!(error, LedgerError::Unreachable { .. }), "{error:?}");
    let mut present = database.open().await;
    trade(&mut present, 1).await.unwrap();
    let error = trade(&mut stale, 1).await.unwrap_err();
    assert!(matches!(error, LedgerError::Fenced { .. }), "{error:?}");
    assert_trades(&mut present, 2).await;
}

#[tokio::test]
async fn what_was_given_up_is_found_by_the_next_commit() {
    let database = Server::shared().database().await;
    let proxy = Proxy::to(database.server.port());
    let server = MysqlServer { port: proxy.port, ..database.impatient() };
    let mut ledger = MysqlLedger::open(&MysqlOptions { server, ..database.options() }).await.unwrap();
    for (id, cut) in [(0, Cut::Answer), (1, Cut::Request)] {
        proxy.cut_next(cut);
        let error = trade(&mut ledger, id).await.unwrap_err();
        assert!(matches!(error, LedgerError::Unreachable { .. }), "{error:?}");
    }
    let next = ledger.history().await.unwrap().next_intent;
    assert_eq!(next, 1, "the answer was lost of the one, the request of the other");
    trade(&mut ledger, next).await.unwrap();
    assert_trades(&mut ledger, 2).await;
}

#[tokio::test]
async fn a_server_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    const KILLS: u32 = 6;
    let server = Arc::new(Server::start(&[]));
    let database = server.database().await;
    let mut ledger = database.open().await;
    let over = Arc::new(AtomicBool::new(false));
    let killer = {
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        std::thread::spawn(move || {
            for kill in 0..KILLS {
                // Some of it in the midst of starting up, some after a while.
                std::thread::park_timeout(Duration::from_millis(u64::from(kill % 3) * 60));
                server.kill();
                server.restart();
            }
            over.store(true, Ordering::SeqCst);
        })
    };
    let mut durable = 0;
    while !over.load(Ordering::SeqCst) || durable < 20 {
        assert_eq!(trade(&mut ledger, durable).await.unwrap().new_fills, 1);
        durable += 1;
    }
    killer.join().unwrap();
    assert_trades(&mut ledger, durable).await;
    ledger.close().await.unwrap();
    assert_trades(&mut database.open().await, durable).await;
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_named() {
    let server = Arc::new(Server::start(&[]));
    let database = server.database().await;
    server.kill();
    let error = refused(database.impatient(), &database).await;
    assert!(matches!(error, LedgerError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("ledger paper in 127.0.0.1:{}/test0", server.port())), "{text}");
    let local = LocalSet::new();
    let opening = local.spawn_local({
        let options = database.options();
        async move { MysqlLedger::open(&options).await.unwrap().identity() }
    });
    // One look, and nobody there: only then does it come back.
    local.run_until(tokio::task::yield_now()).await;
    server.restart();
    assert_eq!(local.run_until(opening).await.unwrap(), identity(1), "a patient one waits for it");
}

#[tokio::test]
async fn a_server_that_stands_still_is_given_up_in_time_and_what_it_did_is_found_out() {
    let server = Arc::new(Server::start(&[]));
    let database = server.database().await;
    let patience = Patience { attempt: Some(Duration::from_millis(300)), total: Duration::ZERO };
    let quick = MysqlServer { patience, ..database.mysql() };
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    let mut hurried = MysqlLedger::open(&MysqlOptions { server: quick, ..database.options() }).await.unwrap();
    trade(&mut hurried, 1).await.unwrap();
    server.signal("STOP");
    let error = trade(&mut hurried, 2).await.unwrap_err();
    assert!(matches!(error, LedgerError::Slow { .. }), "{error:?}");
    assert!(error.to_string().contains("did not answer within 300ms"), "{error}");
    let error = hurried.halts().await.unwrap_err();
    assert!(matches!(error, LedgerError::Slow { .. }), "{error:?}");
    server.signal("CONT");
    let mut ledger = database.open().await;
    let next = ledger.history().await.unwrap().next_intent;
    trade(&mut ledger, next).await.unwrap();
    assert_trades(&mut ledger, next + 1).await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_without_telling_it() {
    let database = Server::shared().database().await;
    database.write_secret(&database.name, "not the password");
    let error = refused(database.impatient(), &database).await;
    assert!(matches!(error, LedgerError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("check username and password in the Secret"), "{error}");
    assert!(!format!("{error:?}").contains("not the password"), "{error:?}");
    let absent = MysqlServer { credentials: PathBuf::from("/nonexistent"), ..database.mysql() };
    let error = refused(absent, &database).await;
    assert!(matches!(error, LedgerError::Io { .. }), "{error:?}");
}

#[tokio::test]
async fn a_password_that_is_changed_is_read_again() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    let name = &database.name;
    database.server.admin(format!("ALTER USER '{name}'@'127.0.0.1' IDENTIFIED BY 'the next one'")).await;
    let kill = format!("KILL USER '{name}'@'127.0.0.1'");
    database.server.admin(kill.clone()).await;
    database.write_secret(name, "the next one");
    trade(&mut ledger, 1).await.unwrap();
    // The Secret is late: until it comes, the server is asked again.
    database.server.admin(format!("ALTER USER '{name}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")).await;
    database.server.admin(kill).await;
    let local = LocalSet::new();
    let late = local.spawn_local(async move {
        trade(&mut ledger, 2).await.unwrap();
        ledger
    });
    local.run_until(tokio::task::yield_now()).await;
    database.write_secret(name, PASSWORD);
    assert_trades(&mut local.run_until(late).await.unwrap(), 3).await;
}

#[tokio::test]
async fn a_server_that_is_read_only_is_read_but_not_written() {
    let server = Arc::new(Server::start(&[]));
    let database = server.database().await;
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    server.admin("SET GLOBAL read_only = 1").await;
    for error in [trade(&mut ledger, 1).await.unwrap_err(), refused(database.mysql(), &database).await] {
        assert!(matches!(error, LedgerError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("make the server writable"), "{error}");
    }
    assert_eq!(ledger.history().await.unwrap().next_intent, 1);
    server.admin("SET GLOBAL read_only = 0").await;
    trade(&mut ledger, 1).await.unwrap();
    assert_trades(&mut ledger, 2).await;
}

#[tokio::test]
async fn a_full_table_space_refuses_whole_commits_and_keeps_what_was_there() {
    // All tables in one space, which must not grow.
    let space = "--innodb-data-file-path=ibdata1:3M:autoextend:max:24M";
    let server = Arc::new(Server::start(&["--innodb-file-per-table=0", space]));
    let database = server.database().await;
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    let readings = format!("{{\"fast\":\"{}\"}}", "9".repeat(4_000));
    let rows = vec![DecisionRow { readings, ..decision(1, "full", btc()) }; 64];
    let mut made = 0;
    let error = loop {
        match ledger.commit(&Batch { decisions: &rows, ..Batch::default() }).await {
            Ok(_) => made += rows.len(),
            Err(error) => break error,
        }
    };
    assert!(made > 0 && matches!(error, LedgerError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().contains("no room left"), "{error}");
    let all = DecisionFilter { strategy: Some("full".into()), limit: u32::MAX, ..DecisionFilter::default() };
    assert_eq!(ledger.decisions(&all).await.unwrap().len(), made, "all of a commit or nothing of it");
    let history = ledger.history().await.unwrap();
    assert_eq!((history.next_intent, history.fills.len()), (1, 1));
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn a_user_who_may_not_change_the_schema_works_once_it_is_there() {
    let database = Server::shared().database().await;
    let name = &database.name;
    let user = format!("'{name}w'@'127.0.0.1'");
    database.server.admin(format!("CREATE USER {user} IDENTIFIED BY '{PASSWORD}'")).await;
    let rights = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {user}");
    database.server.admin(rights).await;
    database.write_secret(&format!("{name}w"), PASSWORD);
    let error = refused(database.mysql(), &database).await;
    assert!(matches!(error, LedgerError::SchemaForbidden { .. }), "{error:?}");
    database.write_secret(name, PASSWORD);
    database.open().await;
    database.write_secret(&format!("{name}w"), PASSWORD);
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    ledger.prune(Timestamp(i64::MAX)).await.unwrap();
    ledger.verify().await.unwrap();
}

#[tokio::test]
async fn rows_held_by_others_are_waited_for_and_then_named() {
    let database = Server::shared().database().await;
    let server = database.impatient();
    let mut ledger = MysqlLedger::open(&MysqlOptions { server, ..database.options() }).await.unwrap();
    trade(&mut ledger, 0).await.unwrap();
    let mut other = database.by_hand().await;
    let mut held = other.begin().await.unwrap();
    held.execute("SELECT * FROM chain_head FOR UPDATE").await.unwrap();
    let error = trade(&mut ledger, 1).await.unwrap_err();
    assert!(matches!(error, LedgerError::Busy { .. }), "{error:?}");
    held.rollback().await.unwrap();
    trade(&mut ledger, 1).await.unwrap();
    assert_trades(&mut ledger, 2).await;
}

#[tokio::test]
async fn a_deadlock_is_tried_again_and_leaves_each_row_once() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    let mut other = database.by_hand().await;
    let mut held = other.begin().await.unwrap();
    // Much changed: the server ends the transaction that changed less, which is the ledger's.
    for _ in 0..50 {
        held.execute("UPDATE intents SET filled_units = filled_units + 1").await.unwrap();
    }
    let local = LocalSet::new();
    let sent = local.spawn_local(async move {
        let done = commit(&mut ledger, &[step(0, 1, 1, Intended, Sent)]).await;
        (done, ledger)
    });
    let waiting =
        "SELECT CAST(COUNT(*) AS SIGNED) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
    let mut watcher = database.by_hand().await;
    local
        .run_until(async {
            // Until the ledger holds the end of the chain and waits for the order. Not asked more often: the server shows
            // what it showed before to whoever asked within a tenth of a second.
            let mut ticks = tokio::time::interval(Duration::from_millis(250));
            let blocked = async {
                while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watcher).await.unwrap() == 0 {
                    ticks.tick().await;
                }
            };
            // The first tick is at once.
            tokio::time::timeout(Duration::from_mins(1), blocked)
                .await
                .expect("the ledger waits for the order");
            held.execute("UPDATE chain_head SET owner = owner").await.unwrap();
            held.rollback().await.unwrap();
        })
        .await;
    let (done, mut ledger) = local.run_until(sent).await.unwrap();
    done.unwrap();
    let open = ledger.history().await.unwrap().open_orders;
    assert_eq!((open[0].state, open[0].attempt.0), (Sent, 1));
    assert_trades(&mut ledger, 1).await;
}

#[tokio::test]
async fn a_commit_cut_off_before_its_end_leaves_all_or_nothing_and_the_next_one_works() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    let (mut cut, mut whole) = (0, 0);
    for polls in [0, 1, 3, 5, 7, 9, 11, u32::MAX].repeat(3) {
        let next = ledger.history().await.unwrap().next_intent;
        let finished = dropped_after(polls, trade(&mut ledger, next)).await;
        match finished {
            Some(result) => {
                result.unwrap();
                whole += 1;
            }
            None => cut += 1,
        }
    }
    let next = ledger.history().await.unwrap().next_intent;
    trade(&mut ledger, next).await.unwrap();
    assert_trades(&mut ledger, next + 1).await;
    assert!(cut >= 3 && whole >= 3, "{cut} cut off, {whole} whole");
}

#[tokio::test]
async fn a_newer_schema_is_refused_naming_both_versions() {
    let database = Server::shared().database().await;
    database.open().await;
    database.run(&["INSERT INTO schema_version (version) VALUES (42)"]).await.unwrap();
    let reader = MysqlReader::open(&database.mysql(), "paper").await.map(drop).unwrap_err();
    for error in [refused(database.mysql(), &database).await, reader] {
        assert!(matches!(error, LedgerError::NewerSchema { found: 42, supported: SCHEMA, .. }), "{error:?}");
        assert!(error.to_string().contains("schema 42"), "{error}");
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let database = Server::shared().database().await;
    database.run(&["CREATE TABLE intents (id INT)"]).await.unwrap();
    let error = refused(database.mysql(), &database).await;
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
    let nowhere = MysqlServer { database: "absent".to_owned(), ..database.impatient() };
    let error = refused(nowhere, &database).await;
    assert!(matches!(error, LedgerError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn rows_cannot_be_changed_or_deleted_where_there_are_triggers() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    fill_up(&mut ledger).await;
    assert_eq!(ledger.append_only().await.unwrap(), AppendOnly::Triggers);
    for table in [
        "intents",
        "signings",
        "transitions",
        "fills",
        "halts",
        "transfers",
        "rebases",
        "successions",
        "externals",
    ] {
        for sql in [format!("DELETE FROM {table}"), format!("UPDATE {table} SET hash = 'x'")] {
            let error = database.run(&[sql.leak()]).await.unwrap_err();
            assert!(error.to_string().contains("append-only"), "{table}: {error}");
        }
    }
    let error = database.run(&["UPDATE ledger SET incarnation = 1"]).await.unwrap_err();
    assert!(error.to_string().contains("fixed"), "{error}");
}

#[tokio::test]
async fn without_the_right_to_make_triggers_the_chain_alone_tells() {
    // With a binary log MariaDB asks for more than the rights of a database's owner.
    let server = Arc::new(Server::start(&["--log-bin=binlog", "--sync-binlog=0"]));
    let database = server.database().await;
    let mut ledger = database.open().await;
    fill_up(&mut ledger).await;
    assert_eq!(ledger.append_only().await.unwrap(), AppendOnly::ChainAlone);
    let error = ledger.check_durable().await.unwrap_err();
    assert!(matches!(error, LedgerError::NotDurable { .. }), "{error:?}");
    assert!(error.to_string().contains("its binary log is on with sync_binlog = 0"), "{error}");
    server.admin("SET GLOBAL sync_binlog = 1").await;
    ledger.check_durable().await.unwrap();
    database.run(&["DELETE FROM fills"]).await.unwrap();
    let error = ledger.verify().await.unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { table: "chain", seq: 6, .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_may_forget_a_commit_is_no_place_for_live_trading() {
    let server = Arc::new(Server::start(&[]));
    let database = server.database().await;
    let mut ledger = database.open().await;
    ledger.check_durable().await.unwrap();
    for flush in [0, 2] {
        server.admin(format!("SET GLOBAL innodb_flush_log_at_trx_commit = {flush}")).await;
        let error = ledger.check_durable().await.unwrap_err();
        let text = format!("its innodb_flush_log_at_trx_commit is {flush}");
        assert!(error.to_string().contains(&text), "{error}");
    }
}

#[tokio::test]
async fn a_row_changed_by_hand_is_named_and_the_ledger_stays_shut() {
    let cases: [(&[&'static str], &str, u64); 7] = [
        (&["DROP TRIGGER fills_fixed", "UPDATE fills SET price_units = 1"], "fills", 6),
        (&["DROP TRIGGER intents_fixed", "UPDATE intents SET side = 'Sell'"], "intents", 3),
        (&["DROP TRIGGER transfers_kept", "DELETE FROM transfers WHERE seq = 1"], "chain", 1),
        (&["DROP TRIGGER ledger_fixed", "UPDATE ledger SET incarnation = 1"], "transfers", 1),
        (&["UPDATE chain_head SET seq = 9"], "chain_head", 9),
        (&["UPDATE intents SET state = 'Filled'"], "intents", 3),
        (&["UPDATE checkpoint SET body = REPLACE(body, '7000', '7001')"], "checkpoint", 1),
    ];
    for (statements, table, seq) in cases {
        let database = Server::shared().database().await;
        fill_up(&mut database.open().await).await;
        database.run(statements).await.unwrap();
        let error = refused(database.mysql(), &database).await;
        let LedgerError::Tampered { table: found, seq: at, .. } = &error else {
            panic!("{statements:?}: {error:?}")
        };
        assert_eq!((*found, *at), (table, seq), "{statements:?}");
    }
}

#[tokio::test]
async fn a_head_changed_by_hand_under_a_worker_stops_it() {
    let database = Server::shared().database().await;
    let mut ledger = database.open().await;
    trade(&mut ledger, 0).await.unwrap();
    database.run(&["UPDATE chain_head SET commits = 7"]).await.unwrap();
    let error = trade(&mut ledger, 1).await.unwrap_err();
    assert!(matches!(error, LedgerError::Tampered { table: "chain_head", .. }), "{error:?}");
    assert_eq!(ledger.history().await.unwrap().next_intent, 1);
}

#[tokio::test]
async fn nothing_leaves_the_machine_in_plain_text() {
    let database = Server::shared().database().await;
    let elsewhere = MysqlServer { host: "db.example".to_owned(), ..database.impatient() };
    let error = refused(elsewhere, &database).await;
    assert!(matches!(error, LedgerError::PlainText { .. }), "{error:?}");
    let secure = MysqlServer { tls: Tls::Required, ..database.impatient() };
    let error = refused(secure, &database).await;
    assert!(matches!(error, LedgerError::Insecure { .. }), "a server without TLS: {error:?}");
}
