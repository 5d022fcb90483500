//! A thousand edits by somebody who can write the file and knows where triggers and the end of the chain are: all are
//! found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::*;
use sqlx::{AssertSqlSafe, Connection, Executor, Row, SqliteConnection};
use tempfile::TempDir;
use tradewind_core::event::{Record, Succession};
use tradewind_core::name::Uid;
use tradewind_core::order::OrderState;
use tradewind_ledger::{ChainHead, LedgerReader, SqliteReader};
use uuid::Uuid;

use OrderState::{Accepted, Filled, Intended, Sent};

const EDITS: u64 = 1_000;
/// Rows of a commit.
const ROUND: usize = 11;
const TABLES: [&str; 9] = [
    "intents",
    "signings",
    "transitions",
    "fills",
    "halts",
    "transfers",
    "rebases",
    "successions",
    "externals",
];

/// Columns that no two rows of a table share.
const UNIQUE: [(&str, &str); 3] =
    [("fills", "trade_id"), ("successions", "predecessor"), ("externals", "venue_id")];

/// Chance from a number, the same on any machine (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// A closed ledger without triggers, and the end of its chain.
async fn victim(path: &Path) -> ChainHead {
    let mut ledger = open(path).await;
    for id in 1..=6 {
        let records = [
            Record::Transfer(transfer(&id.to_string(), None)),
            Record::Intent(intent(id, 1)),
            signing(id, 1, 1),
            step(id, 1, 1, Intended, Sent),
            step(id, 1, 1, Sent, Accepted),
            booked(&id.to_string(), id),
            step(id, 1, 1, Accepted, Filled),
            set("a"),
            // Strategies that had nothing.
            Record::Succession(Succession {
                from: Uid(Uuid::from_u128(0xb0 + u128::from(id))),
                to: Uid(Uuid::from_u128(0xc0)),
                at: tradewind_core::time::Timestamp(8),
            }),
            external(&id.to_string()),
            Record::Rebase {
                strategy: None,
                reference: transfer("7", None).amount,
                at: tradewind_core::time::Timestamp(9),
            },
        ];
        commit(&mut ledger, &records).await.unwrap();
    }
    let head = ledger.head().await.unwrap();
    ledger.close().await.unwrap();
    let mut conn = connect(path).await;
    let triggers = conn.fetch_all("SELECT name FROM sqlite_master WHERE type = 'trigger'").await.unwrap();
    for trigger in triggers {
        run(&mut conn, format!("DROP TRIGGER {}", trigger.get::<String, _>(0))).await;
    }
    conn.close().await.unwrap();
    head
}

async fn connect(path: &Path) -> SqliteConnection {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    run(
        &mut conn,
        "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY".to_owned(),
    )
    .await;
    conn
}

async fn run(conn: &mut SqliteConnection, sql: String) -> u64 {
    conn.execute(AssertSqlSafe(sql)).await.unwrap().rows_affected()
}

/// One edit; returns what it was, or nothing where chance found nothing to change.
async fn edit(
    conn: &mut SqliteConnection,
    head: &ChainHead,
    chance: &mut Chance,
) -> Option<(&'static str, String)> {
    let table = TABLES[chance.below(TABLES.len())];
    let numbers =
        conn.fetch_all(AssertSqlSafe(format!("SELECT seq FROM {table} ORDER BY seq"))).await.unwrap();
    let numbers: Vec<i64> = numbers.iter().map(|row| row.get(0)).collect();
    let seq = numbers[chance.below(numbers.len())];
    let other = numbers[chance.below(numbers.len())];
    let columns = conn
        .fetch_all(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")))
        .await
        .unwrap();
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    let free: Vec<&String> = columns.iter().filter(|name| !["seq", "id"].contains(&name.as_str())).collect();
    let (what, sql) = match chance.below(6) {
        // A value that was not there before, of the same kind or of another.
        0 | 1 => {
            let column = free[chance.below(free.len())];
            let forms = ["{c} || '0'", "'x'", "COALESCE({c}, 0) + 1", "NULL", "''"];
            let value = forms[chance.below(forms.len())].replace("{c}", column);
            let sql = format!(
                "UPDATE OR IGNORE {table} SET {column} = {value} WHERE seq = {seq} AND {column} IS NOT ({value})"
            );
            ("edit", sql)
        }
        2 => ("deletion", format!("DELETE FROM {table} WHERE seq = {seq}")),
        // A copy of a row behind the end, which is moved there.
        3 => {
            let (last, next) = (head.seq, head.seq + 1);
            let names = columns.join(", ");
            let copied = names.replace("seq", &next.to_string());
            let copied = if table == "intents" {
                copied.replacen(" id,", " id + 1000,", 1).replacen(
                    "client_order_id",
                    "client_order_id || 'x'",
                    1,
                )
            } else if let Some((_, unique)) = UNIQUE.iter().find(|(of, _)| *of == table) {
                copied.replacen(unique, &format!("{unique} || 'x'"), 1)
            } else {
                copied
            };
            let sql = format!(
                "INSERT INTO {table} ({names}) SELECT {copied} FROM {table} WHERE seq = {seq}; \
                 UPDATE chain_head SET seq = {next}, hash = (SELECT hash FROM {table} WHERE seq = {next}) WHERE seq = {last}"
            );
            ("insertion", sql)
        }
        4 if seq != other => {
            let sql = format!(
                "UPDATE {table} SET seq = -1 WHERE seq = {seq}; UPDATE {table} SET seq = {seq} WHERE seq = {other}; \
                 UPDATE {table} SET seq = {other} WHERE seq = -1"
            );
            ("reordering", sql)
        }
        5 => ("truncation", truncation(conn, head, chance).await),
        _ => return None,
    };
    (run(conn, sql.clone()).await > 0).then_some((what, sql))
}

/// All rows from one on are deleted, and everything that follows from them is made to fit.
async fn truncation(conn: &mut SqliteConnection, head: &ChainHead, chance: &mut Chance) -> String {
    let rounds = usize::try_from(head.seq).unwrap() / ROUND;
    // Whole rounds, so that no projection tells of it.
    let keep = chance.below(rounds) * ROUND;
    let mut hash = "''".to_owned();
    for table in TABLES {
        let found = conn
            .fetch_optional(AssertSqlSafe(format!("SELECT hash FROM {table} WHERE seq = {keep}")))
            .await
            .unwrap();
        if let Some(row) = found {
            hash = format!("'{}'", row.get::<String, _>(0));
        }
    }
    let deletions = TABLES.map(|table| format!("DELETE FROM {table} WHERE seq > {keep};")).concat();
    let kept = keep / ROUND;
    let usd = kept * (kept + 1) / 2;
    format!(
        "{deletions} UPDATE chain_head SET seq = {keep}, hash = {hash}; \
         UPDATE balances SET amount = '{usd}' WHERE strategy = ''; \
         UPDATE balances SET amount = '0.' || ({kept} * 2) WHERE asset = 'BTC'; \
         UPDATE positions SET quantity = '0.' || ({kept} * 2), cost = printf('%.3f', {kept} * 20.032); \
         UPDATE balances SET amount = '-' || printf('%.3f', {kept} * 20.032) WHERE strategy <> '' AND asset = 'USD'"
    )
}

#[tokio::test]
async fn a_thousand_random_edits_are_all_found() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("victim.db");
    let head = victim(&path).await;
    let whole = std::fs::read(&path).unwrap();
    let mut found: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let (mut chance, mut edits) = (Chance(5), 0);
    while edits < EDITS {
        std::fs::write(&path, &whole).unwrap();
        let mut conn = connect(&path).await;
        let done = edit(&mut conn, &head, &mut chance).await;
        conn.close().await.unwrap();
        let Some((what, sql)) = done else { continue };
        edits += 1;
        let mut reader = SqliteReader::open(&path).await.unwrap();
        let by_itself = reader.verify().await.is_err();
        let by_head = by_itself || !reader.contains(&head).await.unwrap();
        assert!(by_head, "not found: {sql}");
        let count = found.entry(what).or_default();
        count.0 += 1;
        count.1 += u32::from(!by_itself);
    }
    assert_eq!(found.len(), 5, "every kind of edit happened: {found:?}");
    for (what, (all, by_head_alone)) in found {
        let as_expected = (what == "truncation") == (by_head_alone > 0);
        assert!(all > 50 && as_expected, "{what}: {all} edits, {by_head_alone} found by the head alone");
    }
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
