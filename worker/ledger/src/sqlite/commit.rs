//! One commit: rows, projections and the new end of the chain in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Connection, Sqlite, SqliteConnection};
use tradewind_core::event::Record;
use tradewind_core::order::{Fill, IntentId, Signing, Transition};
use tradewind_core::recovery::{Checkpoint, LedgerIdentity};

use super::{Cache, SqliteLedger, SqliteReader, fault, read};
use crate::balances::Balances;
use crate::chain::{ChainHead, Value, link};
use crate::conflict::{
    already_there, check_epoch, is_next_sending, not_there, not_to_be_sent, other_numbers, stands_at,
    stands_elsewhere,
};
use crate::error::LedgerError;
use crate::port::{Batch, Committed, LedgerReader};
use crate::rows::{self, DECISION_COLUMNS, EQUITY_COLUMNS, Table, insert_sql, intent_number, whole};

/// Rows of one insert of many. Statements are prepared once for each size.
const BULK: usize = 64;

/// The inserts of rows that come in numbers.
#[derive(Debug)]
pub(super) struct BulkSql {
    decisions: Arc<str>,
    decision: Arc<str>,
    equity: Arc<str>,
}

impl Default for BulkSql {
    fn default() -> Self {
        Self {
            decisions: insert_sql("decisions", &DECISION_COLUMNS, BULK).into(),
            decision: insert_sql("decisions", &DECISION_COLUMNS, 1).into(),
            equity: insert_sql("equity", &EQUITY_COLUMNS, 1).into(),
        }
    }
}

impl SqliteLedger {
    pub(super) async fn write(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        // Taken, not borrowed: if this future is dropped half-way, the next commit reads the head again.
        let before = match self.cache.take() {
            Some(cache) => cache,
            None => load(&mut self.db).await?,
        };
        let path = &self.db.path;
        let moves_money = batch
            .records
            .iter()
            .any(|r| matches!(r, Record::Fill { .. } | Record::Transfer(_) | Record::Succession(_)));
        let mut tx = match self.db.conn.begin_with("BEGIN IMMEDIATE").await {
            Ok(tx) => tx,
            Err(error) => {
                self.cache = Some(before);
                return Err(fault::sql(path, error));
            }
        };
        let mut writer = Writer {
            conn: &mut tx,
            path,
            identity: self.identity,
            batch,
            head: before.head,
            balances: moves_money.then(|| before.balances.clone()),
        };
        let written = writer.all(&self.sql, before.head).await;
        let (head, balances) = (writer.head, writer.balances);
        match written {
            Ok(done) => {
                tx.commit().await.map_err(|e| fault::sql(path, e))?;
                let balances = balances.unwrap_or(before.balances);
                self.cache = Some(Cache { head, balances });
                Ok(done)
            }
            Err(error) => {
                let error = fenced_first(error, &mut tx, path, self.identity).await;
                tx.rollback().await.map_err(|e| fault::sql(path, e))?;
                self.cache = Some(before);
                Err(error)
            }
        }
    }
}

/// What the next commit needs to know of the ones before.
pub(super) async fn load(db: &mut SqliteReader) -> Result<Cache, LedgerError> {
    let head = db.head().await?;
    let mut balances = Balances::default();
    for row in read::balances(&mut db.conn, &db.path).await? {
        balances.load(row);
    }
    balances.know(read::successions(&mut db.conn, &db.path).await?);
    Ok(Cache { head, balances })
}

/// Rows that another worker has written in the meantime look like conflicts; the cause is the take-over.
async fn fenced_first(
    error: LedgerError,
    conn: &mut SqliteConnection,
    path: &std::path::Path,
    identity: LedgerIdentity,
) -> LedgerError {
    if !matches!(error, LedgerError::Conflict { .. }) {
        return error;
    }
    match read::writer_row(conn, path).await {
        Ok(row) if row.epoch != identity.epoch => {
            LedgerError::Fenced { ours: identity.epoch, theirs: row.epoch }
        }
        _ => error,
    }
}

/// The state of one commit.
struct Writer<'a> {
    conn: &'a mut SqliteConnection,
    path: &'a std::path::Path,
    identity: LedgerIdentity,
    batch: &'a Batch<'a>,
    head: ChainHead,
    /// A copy to change; none when the batch moves no money.
    balances: Option<Balances>,
}

impl Writer<'_> {
    async fn all(&mut self, sql: &BulkSql, before: ChainHead) -> Result<Committed, LedgerError> {
        let mut new_fills = 0;
        let batch = self.batch;
        for record in batch.records {
            new_fills += usize::from(self.record(record).await?);
        }
        self.decisions(sql).await?;
        for row in batch.equity {
            self.execute(rows::equity(row).into_iter().fold(statement(&sql.equity), bind)).await?;
        }
        if let Some(checkpoint) = batch.checkpoint {
            self.checkpoint(checkpoint).await?;
        }
        self.store_balances().await?;
        self.advance(before).await?;
        Ok(Committed { new_fills })
    }

    /// Writes one record; true for a fill that is new.
    async fn record(&mut self, record: &Record) -> Result<bool, LedgerError> {
        match record {
            Record::Intent(intent) => {
                check_epoch(intent.id, intent.epoch, self.identity)?;
                let values = rows::intent(intent, self.batch)?;
                self.append(&rows::INTENTS, values).await.map_err(|error| match error {
                    LedgerError::Sql { source, .. }
                        if source
                            .as_database_error()
                            .is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
                    {
                        already_there(intent)
                    }
                    other => other,
                })?;
            }
            Record::Signing(signing) => self.signing(signing).await?,
            Record::Transition(transition) => self.transition(transition).await?,
            Record::Fill { intent, fill } => return self.fill(*intent, fill).await,
            Record::Halt(change) => self.append(&rows::HALTS, rows::halt(change)?).await?,
            Record::Transfer(transfer) => {
                if let Some(balances) = &mut self.balances {
                    balances.transfer(transfer)?;
                }
                self.append(&rows::TRANSFERS, rows::transfer(transfer)).await?;
            }
            Record::Succession(done) => {
                if let Some(balances) = &mut self.balances {
                    balances.succeed(done)?;
                }
                self.append(&rows::SUCCESSIONS, rows::succession(done)).await?;
            }
            Record::Rebase { strategy, reference, at } => {
                self.append(&rows::REBASES, rows::rebase(*strategy, *reference, *at)).await?;
            }
        }
        Ok(false)
    }

    async fn signing(&mut self, signing: &Signing) -> Result<(), LedgerError> {
        check_epoch(signing.intent, signing.epoch, self.identity)?;
        let id = intent_number(signing.intent)?;
        let found: Option<(String, i64)> = sqlx::query_as("SELECT state, attempt FROM intents WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.conn)
            .await
            .map_err(|e| fault::sql(self.path, e))?;
        let (state, attempt) = found
            .and_then(|(state, attempt)| Some((state.parse().ok()?, attempt)))
            .ok_or_else(|| not_there(signing.intent))?;
        if !is_next_sending(signing, state, attempt) {
            return Err(not_to_be_sent(signing, state, attempt));
        }
        self.append(&rows::SIGNINGS, rows::signing(signing)?).await
    }

    /// The compare-and-set of an order's state, and its row. The same rule as
    /// [`tradewind_core::protocol::Stand::admits`], as one statement.
    async fn transition(&mut self, transition: &Transition) -> Result<(), LedgerError> {
        check_epoch(transition.intent, transition.epoch, self.identity)?;
        let id = intent_number(transition.intent)?;
        let attempt = i64::from(transition.attempt.0);
        let stands_at = stands_at(transition);
        let from: &'static str = transition.from.into();
        let to: &'static str = transition.to.into();
        let update = "UPDATE intents SET state = ?, attempt = ? WHERE id = ? AND state = ? AND attempt = ?";
        let query = sqlx::query(update).bind(to).bind(attempt).bind(id).bind(from).bind(stands_at);
        if self.execute(query).await? != 1 {
            let found: Option<(String, i64)> =
                sqlx::query_as("SELECT state, attempt FROM intents WHERE id = ?")
                    .bind(id)
                    .fetch_optional(&mut *self.conn)
                    .await
                    .map_err(|e| fault::sql(self.path, e))?;
            let stands = found.map(|(state, attempt)| stands_elsewhere(transition, &state, attempt));
            return Err(stands.unwrap_or_else(|| not_there(transition.intent)));
        }
        self.append(&rows::TRANSITIONS, rows::transition(transition)?).await
    }

    async fn fill(&mut self, intent: IntentId, fill: &Fill) -> Result<bool, LedgerError> {
        let rules = rows::rules_of(self.batch, &fill.symbol)?;
        if let Some(booked) = read::booked_fill(self.conn, self.path, fill).await? {
            return if booked == (intent, fill.clone()) {
                Ok(false)
            } else {
                Err(other_numbers(intent, fill))
            };
        }
        let id = intent_number(intent)?;
        let strategy: Option<String> = sqlx::query_scalar("SELECT strategy FROM intents WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.conn)
            .await
            .map_err(|e| fault::sql(self.path, e))?;
        let strategy = strategy.and_then(|text| rows::uid(&text)).ok_or_else(|| not_there(intent))?;
        if let Some(balances) = &mut self.balances {
            balances.fill(strategy, fill, rules)?;
        }
        self.append(&rows::FILLS, rows::fill(intent, fill, rules)?).await?;
        let add = "UPDATE intents SET filled_units = filled_units + ? WHERE id = ?";
        self.execute(sqlx::query(add).bind(fill.quantity.0).bind(id)).await?;
        Ok(true)
    }

    async fn decisions(&mut self, sql: &BulkSql) -> Result<(), LedgerError> {
        let (bulks, rest) = self.batch.decisions.as_chunks::<BULK>();
        for bulk in bulks {
            let mut query = statement(&sql.decisions);
            for row in bulk {
                query = rows::decision(row)?.into_iter().fold(query, bind);
            }
            self.execute(query).await?;
        }
        for row in rest {
            self.execute(rows::decision(row)?.into_iter().fold(statement(&sql.decision), bind)).await?;
        }
        self.count_outcomes().await
    }

    async fn count_outcomes(&mut self) -> Result<(), LedgerError> {
        let mut counts: BTreeMap<(&str, &str, &str), i64> = BTreeMap::new();
        for row in self.batch.decisions {
            let key = (row.strategy_name.as_str(), row.stage.as_str(), row.outcome.as_str());
            *counts.entry(key).or_default() += 1;
        }
        for ((name, stage, outcome), count) in counts {
            let update = "UPDATE outcomes SET decisions = decisions + ? \
                WHERE strategy_name = ? AND stage = ? AND outcome = ?";
            let update = sqlx::query(update).bind(count).bind(name).bind(stage).bind(outcome);
            if self.execute(update).await? == 0 {
                let insert =
                    "INSERT INTO outcomes (strategy_name, stage, outcome, decisions) VALUES (?, ?, ?, ?)";
                self.execute(sqlx::query(insert).bind(name).bind(stage).bind(outcome).bind(count)).await?;
            }
        }
        Ok(())
    }

    async fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        let body = serde_json::to_string(checkpoint)?;
        let hash = blake3::hash(body.as_bytes()).to_hex().to_string();
        let update =
            sqlx::query("UPDATE checkpoint SET body = ?, hash = ? WHERE id = 1").bind(body).bind(hash);
        self.execute(update).await.map(drop)
    }

    async fn store_balances(&mut self) -> Result<(), LedgerError> {
        let changed = self.balances.as_mut().map(Balances::take_changed).unwrap_or_default();
        for row in changed {
            let strategy = row.strategy.map(|uid| uid.to_string()).unwrap_or_default();
            let (asset, amount) = (row.asset.as_str(), row.amount.to_string());
            let update = "UPDATE balances SET amount = ? WHERE strategy = ? AND asset = ?";
            let update = sqlx::query(update).bind(amount.as_str()).bind(strategy.as_str()).bind(asset);
            if self.execute(update).await? == 0 {
                let insert = "INSERT INTO balances (strategy, asset, amount) VALUES (?, ?, ?)";
                self.execute(sqlx::query(insert).bind(strategy).bind(asset).bind(amount)).await?;
            }
        }
        Ok(())
    }

    /// Appends a row to the chain.
    async fn append(&mut self, table: &'static Table, values: Vec<Value<'_>>) -> Result<(), LedgerError> {
        let seq = self.head.seq.saturating_add(1);
        let number = whole("row number", seq)?;
        let hash = link(&self.head.hash, number, table.name, &values);
        let query = sqlx::query(table.insert.as_str())
            .bind(number)
            .bind(self.head.hash.to_hex().to_string())
            .bind(hash.to_hex().to_string());
        self.execute(values.into_iter().fold(query, bind)).await?;
        self.head = ChainHead { seq, hash };
        Ok(())
    }

    /// Moves the end of the chain, if it and the epoch are still what they were after our last commit.
    async fn advance(&mut self, before: ChainHead) -> Result<(), LedgerError> {
        let epoch = whole("epoch", self.identity.epoch.0)?;
        let update =
            "UPDATE chain_head SET seq = ?, hash = ? WHERE id = 1 AND epoch = ? AND seq = ? AND hash = ?";
        let query = sqlx::query(update)
            .bind(whole("row number", self.head.seq)?)
            .bind(self.head.hash.to_hex().to_string())
            .bind(epoch)
            .bind(whole("row number", before.seq)?)
            .bind(before.hash.to_hex().to_string());
        if self.execute(query).await? == 1 {
            return Ok(());
        }
        let found = read::writer_row(self.conn, self.path).await?;
        if found.epoch == self.identity.epoch {
            let path = self.path.to_path_buf();
            return Err(LedgerError::Tampered { path, table: "chain_head", seq: found.head.seq });
        }
        Err(LedgerError::Fenced { ours: self.identity.epoch, theirs: found.epoch })
    }

    async fn execute(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, LedgerError> {
        let done = query.execute(&mut *self.conn).await.map_err(|e| fault::sql(self.path, e))?;
        Ok(done.rows_affected())
    }
}

fn statement<'q>(sql: &Arc<str>) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(sql)))
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    value: Value<'_>,
) -> Query<'q, Sqlite, SqliteArguments> {
    match value {
        Value::Null => query.bind(None::<String>),
        Value::Int(number) => query.bind(number),
        Value::Text(text) => query.bind(text.into_owned()),
    }
}
