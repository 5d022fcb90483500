//! A thousand edits by somebody who can write the file and knows where triggers and the end of the chain are: all are
//! found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::path::Path;

use common::tamper::{Asked, Chance, EDITS, Found, Hand, edit, fill_for_edits};
use common::*;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use tempfile::TempDir;
use tradewind_ledger::{ChainHead, LedgerReader, SqliteReader};

impl Hand for SqliteConnection {
    const UPDATE: &str = "UPDATE OR IGNORE";
    const DIFFERS: &str = "{a} IS NOT {b}";

    async fn run(&mut self, sql: String) -> Option<u64> {
        Some(self.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected())
    }

    async fn ask<T: Asked>(&mut self, sql: String) -> Vec<T> {
        let rows = self.fetch_all(AssertSqlSafe(sql)).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    async fn columns(&mut self, table: &str) -> Vec<String> {
        self.ask(format!("SELECT name FROM pragma_table_info('{table}')")).await
    }
}

/// A closed ledger without triggers, and the end of its chain.
async fn victim(path: &Path) -> ChainHead {
    let mut ledger = open(path).await;
    let head = fill_for_edits(&mut ledger).await;
    ledger.close().await.unwrap();
    let mut conn = connect(path).await;
    for trigger in
        conn.ask::<String>("SELECT name FROM sqlite_master WHERE type = 'trigger'".to_owned()).await
    {
        conn.run(format!("DROP TRIGGER {trigger}")).await;
    }
    conn.close().await.unwrap();
    head
}

async fn connect(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let fast = "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY";
    conn.run(fast.to_owned()).await;
    conn
}

#[tokio::test]
async fn a_thousand_random_edits_are_all_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("victim.db");
    let head = victim(&path).await;
    let whole = std::fs::read(&path).unwrap();
    let (mut found, mut chance, mut edits) = (Found::default(), Chance(5), 0);
    while edits < EDITS {
        std::fs::write(&path, &whole).unwrap();
        let mut conn = connect(&path).await;
        let done = edit(&mut conn, &head, &mut chance).await;
        conn.close().await.unwrap();
        let Some((what, sql)) = done else { continue };
        edits += 1;
        let mut reader = SqliteReader::open(&path).await.unwrap();
        let by_itself = reader.verify().await.is_err();
        assert!(by_itself || !reader.contains(&head).await.unwrap(), "not found: {sql}");
        found.count(what, by_itself);
    }
    found.assert_all_kinds();
}

#[tokio::test]
async fn a_ledger_nobody_edited_is_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("victim.db");
    let head = victim(&path).await;
    let mut reader = SqliteReader::open(&path).await.unwrap();
    assert_eq!(reader.verify().await.unwrap(), head);
    assert!(reader.contains(&head).await.unwrap());
}
