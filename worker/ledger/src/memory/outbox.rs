//! The outbox of a ledger in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use tradewind_core::event::Record;
use tradewind_core::money::Quantity;
use tradewind_core::name::Uid;
use tradewind_core::time::Timestamp;

use super::{Kept, MemoryLedger};
use crate::balances::Balances;
use crate::conflict::not_there;
use crate::error::LedgerError;
use crate::outbox::event::Order;
use crate::outbox::map::{self, Told};
use crate::outbox::{
    Account, Backlog, Kind, Limits, Outbox, OutboxOptions, OutboxReader, OutboxRow, Tap, least,
};
use crate::port::Batch;
use crate::rows::rules_of;

/// Events that wait, and what is known of them.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryOutbox {
    /// None when the account has no bus.
    account: Option<Account>,
    limits: Limits,
    last: u64,
    relayed: u64,
    rows: BTreeMap<u64, OutboxRow>,
    dropped: BTreeMap<Kind, u64>,
    /// Decisions ever made: the number of the last one.
    decisions: u64,
    /// What strategies hold, as far as events told of it.
    held: Balances,
    tap: Arc<Tap>,
}

impl MemoryOutbox {
    /// Whoever opens the ledger has a tap of his own.
    pub(super) fn reopen(&mut self) {
        self.tap = Arc::default();
    }

    fn take(&mut self, told: Vec<Told>) -> Result<(), LedgerError> {
        let Some(account) = &self.account else { return Ok(()) };
        for told in told {
            self.last = self.last.saturating_add(1);
            self.rows.insert(self.last, told.row(account, self.last)?);
        }
        self.relayed = self.relayed.max(self.tap.relayed().min(self.last));
        self.trim();
        self.drop_oldest();
        self.tap.note_written(self.last);
        Ok(())
    }

    fn trim(&mut self) {
        let tail = usize::try_from(self.limits.tail).unwrap_or(usize::MAX);
        if self.rows.len() <= tail {
            return;
        }
        let newest = self.rows.range(..=self.relayed).rev().nth(tail).map(|(sequence, _)| *sequence);
        if let Some(newest) = newest {
            self.rows.retain(|sequence, _| *sequence > newest);
        }
    }

    fn drop_oldest(&mut self) {
        let limit = usize::try_from(self.limits.droppable).unwrap_or(usize::MAX);
        if self.rows.len() <= limit {
            return;
        }
        let droppable: Vec<(u64, Kind)> = self
            .rows
            .values()
            .filter(|row| !row.kind.is_kept())
            .map(|row| (row.sequence, row.kind))
            .collect();
        let Some(over) = droppable.len().checked_sub(limit).filter(|over| *over > 0) else { return };
        for (sequence, kind) in droppable.into_iter().take(over.saturating_add(limit / 100)) {
            self.rows.remove(&sequence);
            if sequence > self.relayed {
                *self.dropped.entry(kind).or_default() += 1;
            }
        }
    }
}

impl MemoryLedger {
    /// Events of what the batch has done, once it has.
    pub(super) fn tell(
        &mut self,
        batch: &Batch<'_>,
        orders: Vec<Told>,
        taken: &[&Record],
    ) -> Result<(), LedgerError> {
        let first = self.outbox.decisions.saturating_add(1);
        self.outbox.decisions =
            self.outbox.decisions.saturating_add(u64::try_from(batch.decisions.len()).unwrap_or(u64::MAX));
        if self.outbox.account.is_none() {
            return Ok(());
        }
        let mut told = orders;
        for (id, row) in (first..).zip(batch.decisions) {
            told.extend(map::signal(row, id));
            told.push(map::decision(row));
        }
        told.extend(batch.equity.iter().map(map::equity));
        told.extend(self.positions(batch, taken)?);
        self.outbox.take(told)
    }

    /// The event of a record that was just taken in.
    pub(super) fn told(&self, record: &Record, batch: &Batch<'_>) -> Result<Option<Told>, LedgerError> {
        if self.outbox.account.is_none() {
            return Ok(None);
        }
        Ok(match record {
            Record::Intent(intent) => {
                self.intents.get(&intent.id).map(|kept| map::intent(intent, self.order(kept, batch)))
            }
            Record::Transition(step) => {
                self.intents.get(&step.intent).map(|kept| map::transition(step, self.order(kept, batch)))
            }
            Record::Fill { intent, fill } => {
                let rules = rules_of(batch, &fill.symbol)?;
                self.intents.get(intent).map(|kept| map::fill(fill, self.order(kept, batch), rules))
            }
            Record::Halt(change) => Some(map::halt(change)),
            Record::Signing(_)
            | Record::Transfer(_)
            | Record::Succession(_)
            | Record::External(_)
            | Record::Rebase { .. } => None,
        })
    }

    fn order(&self, kept: &Kept, batch: &Batch<'_>) -> Order {
        let intent = &kept.intent;
        let known = batch.rules.iter().chain(&self.rules).find(|rules| rules.symbol == intent.symbol);
        let (order_type, price) = map::kind(intent.kind);
        let booked = self.fills.iter().filter(|booked| booked.intent == intent.id);
        let filled = booked.fold(0_i64, |sum, booked| sum.saturating_add(booked.fill.quantity.0));
        let quantity = |units| known.map(|rules| rules.quantity_text(units)).unwrap_or_default();
        Order {
            intent: intent.id.0,
            client_order_id: intent.client_order_id.to_string(),
            strategy: map::strategy(intent.strategy, &kept.name),
            symbol: intent.symbol.to_string(),
            side: intent.side,
            order_type,
            price: price.and_then(|price| known.map(|rules| rules.price_text(price))),
            quantity: quantity(intent.quantity),
            filled_quantity: quantity(Quantity(filled)),
            purpose: intent.purpose,
            state: kept.state,
            previous: None,
            attempt: kept.attempt.0,
            detail: None,
            decided_at: map::time(intent.decided_at),
        }
    }

    /// Positions that the records have changed.
    fn positions(&mut self, batch: &Batch<'_>, taken: &[&Record]) -> Result<Vec<Told>, LedgerError> {
        let mut at = Timestamp::default();
        for record in taken {
            match record {
                Record::Fill { intent, fill } => {
                    let kept = self.intents.get(intent).ok_or_else(|| not_there(*intent))?;
                    let rules = rules_of(batch, &fill.symbol)?;
                    self.outbox.held.fill(kept.intent.strategy, fill, rules)?;
                    at = at.max(fill.at);
                }
                Record::Succession(done) => {
                    self.outbox.held.succeed(done)?;
                    at = at.max(done.at);
                }
                _ => {}
            }
        }
        let moved = self.outbox.held.take_moved();
        let told = moved.into_iter().map(|(strategy, symbol, held)| {
            let name = self.name_of(strategy, batch);
            map::position((strategy, &name), &symbol, (held.quantity, held.cost), at)
        });
        Ok(told.collect())
    }

    fn name_of(&self, strategy: Uid, batch: &Batch<'_>) -> String {
        let listed = batch.names.iter().find(|(uid, _)| *uid == strategy).map(|(_, name)| name);
        let known = || self.intents.values().rev().find(|kept| kept.intent.strategy == strategy);
        let name = listed.or_else(|| known().map(|kept| &kept.name));
        name.map_or_else(|| strategy.to_string(), ToString::to_string)
    }
}

impl OutboxReader for MemoryLedger {
    async fn events_after(&mut self, sequence: u64, limit: u32) -> Result<Vec<OutboxRow>, LedgerError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = self.outbox.rows.range(sequence.saturating_add(1)..).take(limit);
        Ok(after.map(|(_, row)| row.clone()).collect())
    }

    async fn backlog(&mut self, known: u64) -> Result<Backlog, LedgerError> {
        let relayed = self.outbox.relayed.max(known);
        let waiting = self.outbox.rows.range(relayed.saturating_add(1)..).count();
        Ok(Backlog {
            relayed,
            waiting: u64::try_from(waiting).unwrap_or(u64::MAX),
            dropped: self.outbox.dropped.clone(),
        })
    }
}

impl Outbox for MemoryLedger {
    async fn publish(&mut self, options: Option<&OutboxOptions>) -> Result<(), LedgerError> {
        let incarnation = self.identity.incarnation;
        self.outbox.account = options.map(|options| Account { name: options.account.clone(), incarnation });
        if let Some(options) = options {
            self.outbox.limits = options.limits;
            self.outbox.last = self.outbox.last.max(least(options.now));
            let mut held = Balances::default();
            held.know(self.successions.clone());
            for booked in &self.fills {
                held.fill(booked.strategy, &booked.fill, self.rules(&booked.fill.symbol)?)?;
            }
            held.take_moved();
            self.outbox.held = held;
        }
        Ok(())
    }

    fn tap(&self) -> Arc<Tap> {
        Arc::clone(&self.outbox.tap)
    }
}
