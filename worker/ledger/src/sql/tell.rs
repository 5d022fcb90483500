//! Events of what a commit writes, where the account has a bus.

use tradewind_core::event::Record;
use tradewind_core::name::Uid;
use tradewind_core::time::Timestamp;

use super::commit::Writer;
use super::{Dialect, outbox, read};
use crate::error::LedgerError;
use crate::outbox::event::Order;
use crate::outbox::map::{self, Told};
use crate::port::Batch;

impl<D: Dialect> Writer<'_, '_, D> {
    pub(super) fn tell(&mut self, told: impl FnOnce() -> Told) {
        if let Some(all) = &mut self.told {
            all.push(told());
        }
    }

    /// Tells an event of an order that is in the ledger.
    pub(super) async fn tell_of_order(
        &mut self,
        id: i64,
        told: impl FnOnce(Order) -> Told,
    ) -> Result<(), LedgerError> {
        if self.told.is_some()
            && let Some(order) = outbox::order(self.db, id).await?
        {
            self.tell(|| told(order));
        }
        Ok(())
    }

    /// Tells the decisions of the batch, and the signals they follow from.
    pub(super) async fn tell_of_decisions(&mut self) -> Result<(), LedgerError> {
        let Some(mut told) = self.told.take() else { return Ok(()) };
        for row in self.batch.decisions {
            if row.side.is_some() {
                let id = outbox::signal_id(self.db, row).await?;
                told.extend(map::signal(row, id));
            }
            told.push(map::decision(row));
        }
        self.told = Some(told);
        Ok(())
    }

    pub(super) fn listed(&self, strategy: Uid) -> Option<String> {
        let name = self.batch.names.iter().find(|(uid, _)| *uid == strategy);
        name.map(|(_, name)| name.to_string())
    }

    /// As it is listed, else as it was called when it gave an order, else its uid.
    pub(super) async fn name_of(&mut self, strategy: Uid) -> Result<String, LedgerError> {
        if let Some(name) = self.listed(strategy) {
            return Ok(name);
        }
        let known = read::names(self.db).await?.into_iter().find(|(uid, _)| *uid == strategy);
        Ok(known.map_or_else(|| strategy.to_string(), |(_, name)| name.to_string()))
    }
}

/// When what is held changed last.
pub(super) fn last_move(batch: &Batch<'_>) -> Timestamp {
    let moves = batch.records.iter().filter_map(|record| match record {
        Record::Fill { fill, .. } => Some(fill.at),
        Record::Succession(done) => Some(done.at),
        _ => None,
    });
    moves.max().unwrap_or_default()
}
