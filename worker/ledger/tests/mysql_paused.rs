//! A worker that stands still while it holds the rows of its ledger in a database.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use common::mariadb::Server;
use common::*;
use sqlx::Executor;
use sqlx::mysql::MySqlConnection;
use tradewind_core::event::Record;
use tradewind_ledger::{Batch, Ledger, LedgerError, LedgerReader, MysqlLedger};

async fn trade(ledger: &mut MysqlLedger, id: u64) -> Result<(), LedgerError> {
    let records = [Record::Intent(intent(id, ledger.identity().epoch.0)), booked(&id.to_string(), id)];
    let rules = rules();
    ledger.commit(&Batch { records: &records, rules: &rules, ..Batch::default() }).await.map(drop)
}

/// Whether somebody holds the end of the chain.
async fn is_held(watcher: &mut MySqlConnection) -> bool {
    let looked = watcher.execute("SELECT * FROM chain_head FOR UPDATE NOWAIT").await;
    looked.is_err_and(|error| error.to_string().contains("1205"))
}

#[tokio::test]
async fn a_worker_paused_in_the_midst_of_a_commit_keeps_nobody_from_taking_over() {
    let database = Server::shared().database().await;
    let (mut paused, mut watcher) = (database.open().await, database.by_hand().await);
    let mut trades = pin!(async {
        for id in 0.. {
            trade(&mut paused, id).await?;
        }
        Ok(())
    });
    // It goes on between two looks, and not once it is seen to hold the row.
    while !is_held(&mut watcher).await {
        let ended: Poll<Result<(), LedgerError>> = poll_fn(|cx| Poll::Ready(trades.as_mut().poll(cx))).await;
        assert!(ended.is_pending(), "{ended:?}");
    }
    let mut successor = database.open().await;
    let next = successor.history().await.unwrap().next_intent;
    trade(&mut successor, next).await.unwrap();

    let error = trades.await.unwrap_err();
    assert!(matches!(error, LedgerError::Fenced { .. }), "it wakes up: {error:?}");
    let history = successor.history().await.unwrap();
    assert_eq!((history.next_intent, history.fills.len() as u64), (next + 1, next + 1));
    successor.verify().await.unwrap();
}
