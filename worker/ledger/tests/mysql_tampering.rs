//! The same thousand edits in a database: all are found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use common::mariadb::{Database, Server};
use common::tamper::{Asked, Chance, EDITS, Found, Hand, TABLES, edit, fill_for_edits};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use tradewind_ledger::{ChainHead, LedgerReader, MysqlReader};

impl Hand for MySqlConnection {
    // A value that does not fit is refused: made to fit, it might be the one that was there.
    const UPDATE: &str = "UPDATE";
    const DIFFERS: &str = "NOT ({a} <=> {b})";

    async fn run(&mut self, sql: String) -> Option<u64> {
        let done = self.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        done.ok().map(|done| done.rows_affected())
    }

    async fn ask<T: Asked>(&mut self, sql: String) -> Vec<T> {
        let rows = self.fetch_all(AssertSqlSafe(sql)).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn columns(&mut self, table: &str) -> Vec<String> {
        let sql = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = DATABASE()";
        self.ask(format!("{sql} AND table_name = '{table}' ORDER BY ordinal_position")).await
    }
}

/// Tables that edits change.
fn touched() -> impl Iterator<Item = &'static str> {
    TABLES.into_iter().chain(["chain_head", "balances", "positions"])
}

/// A ledger without triggers, of which a copy is kept, and the end of its chain.
async fn victim(database: &Database) -> (ChainHead, MySqlConnection) {
    let mut ledger = database.open().await;
    let head = fill_for_edits(&mut ledger).await;
    ledger.close().await.unwrap();
    let mut conn = database.by_hand().await;
    let triggers = "SELECT CAST(trigger_name AS CHAR) FROM information_schema.triggers WHERE trigger_schema = DATABASE()";
    for trigger in conn.ask::<String>(triggers.to_owned()).await {
        conn.run(format!("DROP TRIGGER {trigger}")).await.unwrap();
    }
    for table in touched() {
        conn.run(format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await.unwrap();
    }
    (head, conn)
}

#[tokio::test]
async fn a_thousand_random_edits_in_a_database_are_all_found() {
    // Whether an edit outlives the machine is not what is asked.
    let server = Arc::new(Server::start(&["--innodb-flush-log-at-trx-commit=0"]));
    let database = server.database().await;
    let (head, mut conn) = victim(&database).await;
    let name = database.options().account_name;
    let restore: Vec<String> = touched()
        .map(|table| format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}"))
        .collect();
    let restore = restore.join("; ");
    let (mut found, mut chance, mut edits) = (Found::default(), Chance(6), 0);
    while edits < EDITS {
        conn.run(restore.clone()).await.unwrap();
        let Some((what, sql)) = edit(&mut conn, &head, &mut chance).await else { continue };
        edits += 1;
        let mut reader = MysqlReader::open(&database.mysql(), &name).await.unwrap();
        let by_itself = reader.verify().await.is_err();
        assert!(by_itself || !reader.contains(&head).await.unwrap(), "not found: {sql}");
        found.count(what, by_itself);
    }
    found.assert_all_kinds();
    conn.run(restore).await.unwrap();
    let mut reader = MysqlReader::open(&database.mysql(), &name).await.unwrap();
    assert_eq!(reader.verify().await.unwrap(), head, "nobody's edits are none");
}
