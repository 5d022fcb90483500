//! The venue beside the ledger: what is on the account that is not ours, and whether the amounts are the same.
//!
//! Both are told and recorded. Nothing is put right by trading, here or anywhere.

use tradewind_core::event::{EventKind, Record};
use tradewind_core::external::External;
use tradewind_ledger::Ledger;
use tradewind_venues::driven::DrivenVenue;
use tradewind_venues::port::ExternalOrder;

use super::{Driver, DriverError, Observer};

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// Compares the account with the ledger, as each start does.
    pub(super) async fn reconcile(&mut self) -> Result<(), DriverError> {
        let open = self.venue.open_orders().await?;
        self.note_external(open.external);
        self.compare_balances().await
    }

    /// Takes in fills, and compares the amount of each asset. Amounts read while fills came in prove nothing and are left to
    /// the next sweep.
    pub(super) async fn compare_balances(&mut self) -> Result<(), DriverError> {
        self.take_fills().await?;
        let balances = self.venue.balances().await?;
        let read = self.journal.fill_cursor.clone();
        self.take_fills().await?;
        if self.journal.fill_cursor == read {
            let held = balances.into_iter().map(|balance| (balance.asset, balance.total)).collect();
            self.handle(self.now(), EventKind::Balances(held)).await?;
        }
        self.act().await
    }

    /// Records the open orders that are not ours, each once while the worker runs and once in the ledger.
    pub(super) fn note_external(&mut self, orders: Vec<ExternalOrder>) {
        let seen_at = self.now();
        for order in orders {
            if self.external.insert((order.symbol.clone(), order.venue_order_id.clone())) {
                self.record(Record::External(External::Order { order, seen_at }));
            }
        }
    }

    /// A row that the engine has no part in.
    pub(super) fn record(&mut self, record: Record) {
        self.journal.touch();
        self.observer.on_record(&self.state, &record);
        self.journal.push_record(|| record);
    }
}
