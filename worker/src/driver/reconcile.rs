//! The venue beside the ledger: what is on the account that is not ours, and whether the amounts are the same.
//!
//! Both are told and recorded. Nothing is put right by trading, here or anywhere.

use tradewind_core::event::{EventKind, Record};
use tradewind_core::external::External;
use tradewind_core::money::Cash;
use tradewind_core::name::Asset;
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

    /// Takes in fills, and compares the amount of each asset.
    pub(super) async fn compare_balances(&mut self) -> Result<(), DriverError> {
        if let Some(held) = self.read_balances().await? {
            self.handle(self.now(), EventKind::Balances(held)).await?;
            let differs = !self.state.balance_differences().is_empty();
            self.look_again = differs.then(|| self.now().plus(self.state.terms().query_lag));
        }
        self.act().await
    }

    /// Looks once more at amounts that differed, when trades that were hidden by the venue's lag must have shown: until then
    /// nothing is entered, and what seems not to be there is not sold. If they still differ, the next sweep says so.
    pub async fn look_again(&mut self) -> Result<(), DriverError> {
        if self.look_again.take_if(|at| self.venue.clock().is_some_and(|now| now > *at)).is_none() {
            return Ok(());
        }
        if let Some(held) = self.read_balances().await?.filter(|held| self.state.agrees_with(held)) {
            self.handle(self.now(), EventKind::Balances(held)).await?;
        }
        self.act().await
    }

    /// The account's amounts, with the fills they hold taken in. None: fills came in meanwhile, so that they prove nothing.
    async fn read_balances(&mut self) -> Result<Option<Vec<(Asset, Cash)>>, DriverError> {
        self.take_fills().await?;
        let balances = self.venue.balances().await?;
        let read = self.journal.fill_cursor.clone();
        self.take_fills().await?;
        let held = balances.into_iter().map(|balance| (balance.asset, balance.total));
        Ok((self.journal.fill_cursor == read).then(|| held.collect()))
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
