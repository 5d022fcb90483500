//! One commit: rows, projections and the new end of the chain in one transaction, and what is done when its answer is
//! lost.
//!
//! What a commit writes follows from the end of the chain it found, and is only made durable if that is still the end.
//! So a commit whose answer did not come is looked up, never simply repeated: under the lock of the end of the chain,
//! which the lost transaction holds until it is over, the end is either the old one (nothing was written) or the new
//! one (all was).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use tradewind_core::event::Record;
use tradewind_core::external::External;
use tradewind_core::order::{Fill, IntentId, OrderState, Signing, Transition};
use tradewind_core::recovery::{Checkpoint, LedgerIdentity};

use super::ledger::{Cache, SqlLedger};
use super::read::WriterRow;
use super::tell::last_move;
use super::{Dialect, Scope, outbox, read};
use crate::balances::Balances;
use crate::chain::{ChainHead, Value, link};
use crate::conflict::{
    already_there, check_epoch, is_next_sending, not_there, not_to_be_sent, other_numbers, stands_at,
    stands_elsewhere,
};
use crate::error::LedgerError;
use crate::outbox::map::{self, Told};
use crate::outbox::{Limits, Standing};
use crate::port::{Batch, Committed};
use crate::rows::{self, DECISION_COLUMNS, EQUITY_COLUMNS, Table, insert_sql, intent_number, whole};

/// Rows of one insert of many. Statements are prepared once for each size.
const BULK: usize = 64;

static INSERT_DECISIONS: LazyLock<String> =
    LazyLock::new(|| insert_sql("decisions", &DECISION_COLUMNS, BULK));
static INSERT_DECISION: LazyLock<String> = LazyLock::new(|| insert_sql("decisions", &DECISION_COLUMNS, 1));
static INSERT_EQUITY: LazyLock<String> = LazyLock::new(|| insert_sql("equity", &EQUITY_COLUMNS, 1));

/// What a transaction wrote, told apart from whether it was made durable.
pub(crate) struct Written {
    head: ChainHead,
    commits: u64,
    /// None: as they were before.
    balances: Option<Balances>,
    outbox: Option<Standing>,
    done: Committed,
}

impl<D: Dialect> SqlLedger<D> {
    pub(crate) async fn write(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        // Taken, not borrowed: if this future is dropped half-way, the next commit reads the end of the chain again.
        let mut before = self.cache.take();
        let mut trial = self.db.trial();
        let mut doubt = None;
        loop {
            let writing =
                Writing { identity: self.identity, batch, outbox: (self.tap.relayed(), self.limits) };
            let tried = self
                .db
                .attempt(async |db: &mut Scope<'_, D>| transact(db, &writing, &mut before, &mut doubt).await);
            let tried = tried.await;
            self.failed_attempts += u64::from(tried.is_err());
            match tried {
                Ok(done) => {
                    let unchanged = before.map(|cache| cache.balances).unwrap_or_default();
                    self.cache = doubt.map(|Written { head, commits, balances, outbox, .. }| Cache {
                        head,
                        commits,
                        balances: balances.unwrap_or(unchanged),
                        outbox,
                    });
                    let outbox = self.cache.as_ref().and_then(|cache| cache.outbox.as_ref());
                    if let Some(outbox) = outbox {
                        self.tap.note_written(outbox.last);
                    }
                    return Ok(done);
                }
                Err(error) if error.is_passing() && trial.goes_on().await => {}
                Err(error) => {
                    if doubt.is_none() {
                        self.cache = before;
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// What is written, by whom.
#[derive(Clone, Copy)]
pub(crate) struct Writing<'a> {
    pub(crate) identity: LedgerIdentity,
    pub(crate) batch: &'a Batch<'a>,
    /// How far events are delivered, and how many are kept.
    pub(crate) outbox: (u64, Limits),
}

/// One transaction. `doubt` is what an earlier one, whose answer was lost, would have written, and afterwards what this
/// one would have or has.
async fn transact<D: Dialect>(
    db: &mut Scope<'_, D>,
    writing: &Writing<'_>,
    before: &mut Option<Cache>,
    doubt: &mut Option<Written>,
) -> Result<Committed, LedgerError> {
    let identity = writing.identity;
    let context = &mut *db.context;
    let mut tx = D::begin_alone(db.conn, context).await.map_err(|e| D::fault(&context.place, e))?;
    let mut scope = Scope::<D> { conn: &mut tx, context };
    let written = match found(&mut scope, identity, before, doubt).await {
        Ok(Found::Made(done)) => {
            // Dropped, it would keep the lock until the next statement, which may be long in coming.
            tx.rollback().await.map_err(|e| D::fault(&context.place, e))?;
            return Ok(done);
        }
        Ok(Found::End(end)) => write_all(&mut scope, writing, end).await,
        Err(error) => Err(error),
    };
    match written {
        Ok(written) => {
            let done = written.done;
            *doubt = Some(written);
            tx.commit().await.map_err(|e| D::fault(&context.place, e))?;
            Ok(done)
        }
        Err(error) => {
            let error = true_cause(error, &mut scope, identity, before.as_ref()).await;
            tx.rollback().await.map_err(|e| D::fault(&context.place, e))?;
            Err(error)
        }
    }
}

/// What the end of the chain says before anything is written.
enum Found<'c> {
    /// The commit in doubt was made.
    Made(Committed),
    /// This is what to build on.
    End(&'c Cache),
}

/// Looks at the end of the chain, where that is not known: it is known from the last commit, unless its answer was lost.
async fn found<'c, D: Dialect>(
    db: &mut Scope<'_, D>,
    identity: LedgerIdentity,
    before: &'c mut Option<Cache>,
    doubt: &mut Option<Written>,
) -> Result<Found<'c>, LedgerError> {
    if doubt.is_none()
        && let Some(end) = before
    {
        return Ok(Found::End(end));
    }
    let WriterRow { head, epoch, commits } = read::writer_row_locked(db).await?;
    if epoch != identity.epoch {
        return Err(LedgerError::Fenced { ours: identity.epoch, theirs: epoch });
    }
    if let Some(written) = doubt.as_ref().filter(|w| (w.head, w.commits) == (head, commits)) {
        return Ok(Found::Made(written.done));
    }
    // The lock was waited for: the transaction in doubt is over, and did not come to be.
    *doubt = None;
    if before.is_none() {
        let (balances, outbox) = (read::holdings(db).await?, outbox::standing(db).await?);
        return Ok(Found::End(before.insert(Cache { head, commits, balances, outbox })));
    }
    before.as_ref().map(Found::End).ok_or(LedgerError::Fenced { ours: identity.epoch, theirs: epoch })
}

pub(crate) async fn write_all<D: Dialect>(
    db: &mut Scope<'_, D>,
    writing: &Writing<'_>,
    before: &Cache,
) -> Result<Written, LedgerError> {
    let Writing { identity, batch, outbox: terms } = *writing;
    let moves_money = batch
        .records
        .iter()
        .any(|r| matches!(r, Record::Fill { .. } | Record::Transfer(_) | Record::Succession(_)));
    let balances = moves_money.then(|| before.balances.clone());
    let told = before.outbox.as_ref().map(|_| Vec::new());
    let mut writer = Writer { db, identity, batch, head: before.head, untouched: Vec::new(), balances, told };
    let done = writer.all().await?;
    let mut outbox = before.outbox.clone();
    if let (Some(standing), Some(told)) = (&mut outbox, writer.told.take()) {
        outbox::write(writer.db, standing, told, terms).await?;
    }
    writer.advance(before).await?;
    let (head, balances) = (writer.head, writer.balances);
    Ok(Written { head, commits: before.commits.saturating_add(1), balances, outbox, done })
}

/// Rows that somebody else has written in the meantime meet ours as conflicts; the cause is that he has written.
async fn true_cause<D: Dialect>(
    error: LedgerError,
    db: &mut Scope<'_, D>,
    identity: LedgerIdentity,
    before: Option<&Cache>,
) -> LedgerError {
    if !matches!(error, LedgerError::Conflict { .. }) && !error.is_unique_violation() {
        return error;
    }
    match (read::writer_row(db).await, before) {
        (Ok(row), _) if row.epoch != identity.epoch => {
            LedgerError::Fenced { ours: identity.epoch, theirs: row.epoch }
        }
        (Ok(row), Some(known)) if (row.head, row.commits) != (known.head, known.commits) => {
            changed_by_hand(db, row.head)
        }
        _ => error,
    }
}

/// The end of the chain was moved by no worker.
fn changed_by_hand<D: Dialect>(db: &Scope<'_, D>, head: ChainHead) -> LedgerError {
    LedgerError::Tampered { place: db.place().clone(), table: "chain_head", seq: head.seq }
}

/// The state of one commit.
pub(super) struct Writer<'a, 'd, D: Dialect> {
    pub(super) db: &'a mut Scope<'d, D>,
    identity: LedgerIdentity,
    pub(super) batch: &'a Batch<'a>,
    head: ChainHead,
    /// Orders as this commit has made them: mostly what it signs too, which saves asking for their state.
    untouched: Vec<IntentId>,
    /// A copy to change; none when the batch moves no money.
    balances: Option<Balances>,
    /// Events so far; none when the account has no bus.
    pub(super) told: Option<Vec<Told>>,
}

impl<D: Dialect> Writer<'_, '_, D> {
    async fn all(&mut self) -> Result<Committed, LedgerError> {
        let mut new_fills = 0;
        let batch = self.batch;
        for record in batch.records {
            new_fills += usize::from(self.record(record).await?);
        }
        self.decisions().await?;
        for row in batch.equity {
            self.db.execute(&INSERT_EQUITY, rows::equity(row).into()).await?;
            self.tell(|| map::equity(row));
        }
        if let Some(checkpoint) = batch.checkpoint {
            self.checkpoint(checkpoint).await?;
        }
        self.store_balances().await?;
        self.store_positions().await?;
        Ok(Committed { new_fills })
    }

    /// Writes one record; true for a fill that is new.
    async fn record(&mut self, record: &Record) -> Result<bool, LedgerError> {
        match record {
            Record::Intent(intent) => {
                check_epoch(intent.id, intent.epoch, self.identity)?;
                let values = rows::intent(intent, self.batch)?;
                self.append(&rows::INTENTS, values).await.map_err(|error| {
                    if error.is_unique_violation() { already_there(intent) } else { error }
                })?;
                self.untouched.push(intent.id);
                self.tell_of_order(intent_number(intent.id)?, |order| map::intent(intent, order)).await?;
            }
            Record::Signing(signing) => self.signing(signing).await?,
            Record::Transition(transition) => self.transition(transition).await?,
            Record::Fill { intent, fill } => return self.fill(*intent, fill).await,
            Record::Halt(change) => {
                self.append(&rows::HALTS, rows::halt(change)?).await?;
                self.tell(|| map::halt(change));
            }
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
            Record::External(external) => self.external(external).await?,
            Record::Rebase { strategy, reference, at } => {
                self.append(&rows::REBASES, rows::rebase(*strategy, *reference, *at)).await?;
            }
        }
        Ok(false)
    }

    /// What is seen again is no new row.
    async fn external(&mut self, external: &External) -> Result<(), LedgerError> {
        let (what, id, symbol) = rows::external_key(external);
        let sql = "SELECT COUNT(*) FROM externals \
            WHERE OWN(externals) AND what = ? AND symbol = ? AND venue_id = ?";
        let key = [what.to_owned(), symbol.to_string(), id.to_owned()].map(Value::text);
        if self.db.number(sql, key.into()).await? > 0 {
            return Ok(());
        }
        self.append(&rows::EXTERNALS, rows::external(external, self.batch)?).await
    }

    async fn signing(&mut self, signing: &Signing) -> Result<(), LedgerError> {
        check_epoch(signing.intent, signing.epoch, self.identity)?;
        let (state, attempt) = if self.untouched.contains(&signing.intent) {
            (OrderState::Intended, 0)
        } else {
            let found = read::stands(self.db, intent_number(signing.intent)?).await?;
            let parsed = found.and_then(|(state, attempt)| Some((state.parse().ok()?, attempt)));
            parsed.ok_or_else(|| not_there(signing.intent))?
        };
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
        let update = "UPDATE intents SET state = ?, attempt = ? \
            WHERE OWN(intents) AND id = ? AND state = ? AND attempt = ?";
        let values = vec![
            Value::text(to),
            Value::Int(attempt),
            Value::Int(id),
            Value::text(from),
            Value::Int(stands_at),
        ];
        if self.db.execute(update, values).await? != 1 {
            let found = read::stands(self.db, id).await?;
            let stands = found.map(|(state, attempt)| stands_elsewhere(transition, &state, attempt));
            return Err(stands.unwrap_or_else(|| not_there(transition.intent)));
        }
        self.untouched.retain(|made| *made != transition.intent);
        self.append(&rows::TRANSITIONS, rows::transition(transition)?).await?;
        self.tell_of_order(id, |order| map::transition(transition, order)).await
    }

    async fn fill(&mut self, intent: IntentId, fill: &Fill) -> Result<bool, LedgerError> {
        let rules = rows::rules_of(self.batch, &fill.symbol)?;
        if let Some(booked) = read::booked_fill(self.db, fill).await? {
            return if booked == (intent, fill.clone()) {
                Ok(false)
            } else {
                Err(other_numbers(intent, fill))
            };
        }
        let id = intent_number(intent)?;
        let strategy = read::strategy_of(self.db, id).await?.ok_or_else(|| not_there(intent))?;
        if let Some(balances) = &mut self.balances {
            balances.fill(strategy, fill, rules)?;
        }
        self.append(&rows::FILLS, rows::fill(intent, fill, rules)?).await?;
        let add = "UPDATE intents SET filled_units = filled_units + ? WHERE OWN(intents) AND id = ?";
        self.db.execute(add, vec![Value::Int(fill.quantity.0), Value::Int(id)]).await?;
        self.tell_of_order(id, |order| map::fill(fill, order, rules)).await?;
        Ok(true)
    }

    async fn decisions(&mut self) -> Result<(), LedgerError> {
        let (bulks, rest) = self.batch.decisions.as_chunks::<BULK>();
        for bulk in bulks {
            let mut values = Vec::with_capacity(BULK * DECISION_COLUMNS.len());
            for row in bulk {
                values.extend(rows::decision(row)?);
            }
            self.db.execute(&INSERT_DECISIONS, values).await?;
        }
        for row in rest {
            self.db.execute(&INSERT_DECISION, rows::decision(row)?.into()).await?;
        }
        self.tell_of_decisions().await?;
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
                WHERE OWN(outcomes) AND strategy_name = ? AND stage = ? AND outcome = ?";
            let insert = "INSERT INTO outcomes (OWNER, decisions, strategy_name, stage, outcome) \
                VALUES (OWNER(), ?, ?, ?, ?)";
            let key = [name, stage, outcome].map(|text| Value::Text(Cow::Borrowed(text)));
            self.update_or_insert((update, insert), [Value::Int(count)].into_iter().chain(key).collect())
                .await?;
        }
        Ok(())
    }

    /// Updates a row, or inserts it where there is none; both take the same values in the same order.
    async fn update_or_insert(
        &mut self,
        (update, insert): (&'static str, &'static str),
        values: Vec<Value<'_>>,
    ) -> Result<(), LedgerError> {
        if self.db.execute(update, values.clone()).await? == 0 {
            self.db.execute(insert, values).await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        let body = serde_json::to_string(checkpoint)?;
        let hash = blake3::hash(body.as_bytes()).to_hex().to_string();
        let update = "UPDATE checkpoint SET body = ?, hash = ? WHERE OWN(checkpoint)";
        self.db.execute(update, vec![Value::text(body), Value::text(hash)]).await.map(drop)
    }

    /// Positions that fills have changed; a strategy that is not listed goes by its uid.
    async fn store_positions(&mut self) -> Result<(), LedgerError> {
        let moved = self.balances.as_mut().map(Balances::take_moved).unwrap_or_default();
        for (strategy, symbol, held) in moved {
            if self.told.is_some() {
                let (name, at) = (self.name_of(strategy).await?, last_move(self.batch));
                self.tell(|| map::position((strategy, &name), &symbol, (held.quantity, held.cost), at));
            }
            let update = "UPDATE positions SET quantity = ?, cost = ? \
                WHERE OWN(positions) AND strategy = ? AND symbol = ?";
            let key = [strategy.to_string(), symbol.to_string()];
            let amounts = [held.quantity.to_string(), held.cost.to_string()];
            let values = amounts.into_iter().chain(key).map(Value::text).collect::<Vec<_>>();
            if self.db.execute(update, values.clone()).await? == 0 {
                let insert = "INSERT INTO positions (OWNER, quantity, cost, strategy, symbol, strategy_name) \
                    VALUES (OWNER(), ?, ?, ?, ?, ?)";
                let name = self.listed(strategy).unwrap_or_else(|| strategy.to_string());
                let values = values.into_iter().chain([Value::text(name)]).collect();
                self.db.execute(insert, values).await?;
            }
        }
        Ok(())
    }

    async fn store_balances(&mut self) -> Result<(), LedgerError> {
        let changed = self.balances.as_mut().map(Balances::take_changed).unwrap_or_default();
        for row in changed {
            let update = "UPDATE balances SET amount = ? WHERE OWN(balances) AND strategy = ? AND asset = ?";
            let insert = "INSERT INTO balances (OWNER, amount, strategy, asset) VALUES (OWNER(), ?, ?, ?)";
            let strategy = row.strategy.map(|uid| uid.to_string()).unwrap_or_default();
            let values = [row.amount.to_string(), strategy, row.asset.to_string()].map(Value::text);
            self.update_or_insert((update, insert), values.into()).await?;
        }
        Ok(())
    }

    /// Appends a row to the chain.
    async fn append(&mut self, table: &'static Table, values: Vec<Value<'_>>) -> Result<(), LedgerError> {
        let seq = self.head.seq.saturating_add(1);
        let number = whole("row number", seq)?;
        let hash = link(&self.head.hash, number, table.name, &values);
        let link = [
            Value::Int(number),
            Value::text(self.head.hash.to_hex().to_string()),
            Value::text(hash.to_hex().to_string()),
        ];
        self.db.execute(table.insert.as_str(), link.into_iter().chain(values).collect()).await?;
        self.head = ChainHead { seq, hash };
        Ok(())
    }

    /// Moves the end of the chain, if it and the epoch are still what they were after our last commit.
    async fn advance(&mut self, before: &Cache) -> Result<(), LedgerError> {
        let update = "UPDATE chain_head SET seq = ?, hash = ?, commits = commits + 1 \
            WHERE OWN(chain_head) AND epoch = ? AND seq = ? AND hash = ? AND commits = ?";
        let values = vec![
            Value::Int(whole("row number", self.head.seq)?),
            Value::text(self.head.hash.to_hex().to_string()),
            Value::Int(whole("epoch", self.identity.epoch.0)?),
            Value::Int(whole("row number", before.head.seq)?),
            Value::text(before.head.hash.to_hex().to_string()),
            Value::Int(whole("commits", before.commits)?),
        ];
        if self.db.execute(update, values).await? == 1 {
            return Ok(());
        }
        let found = read::writer_row(self.db).await?;
        if found.epoch == self.identity.epoch {
            return Err(changed_by_hand(self.db, found.head));
        }
        Err(LedgerError::Fenced { ours: self.identity.epoch, theirs: found.epoch })
    }
}
