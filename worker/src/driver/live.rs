//! What a market that goes on without us asks of the driver beside bars: time that passes, fills that come by themselves,
//! and an end that leaves no entry behind.
//!
//! Each step here can fail because the venue does not answer; then what it would have told is told by the next one.
//! Nothing waits for a timer here: the session says when.

use tradewind_core::event::EventKind;
use tradewind_core::order::OrderRef;
use tradewind_ledger::Ledger;
use tradewind_venues::driven::DrivenVenue;

use super::{Driver, DriverError, Observer};

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// The venue, to ask it what only its kind can tell.
    pub fn venue_mut(&mut self) -> &mut V {
        &mut self.venue
    }

    /// Time has passed: what waits for it goes on, and becomes durable if there is anything.
    pub async fn tick(&mut self) -> Result<(), DriverError> {
        self.handle(self.now(), EventKind::Timer).await?;
        self.flush_rows().await
    }

    /// Makes rows durable, if any wait.
    async fn flush_rows(&mut self) -> Result<(), DriverError> {
        if self.journal.has_rows() { self.flush().await } else { Ok(()) }
    }

    /// Whether some order's outcome is not known, or its end should have been seen by now.
    pub fn is_unsure(&self) -> bool {
        let doubtful = || self.state.open_orders().iter().any(|order| self.is_doubtful(order));
        self.unsure || self.venue.clock().is_some() && doubtful()
    }

    /// Asks for every order of unknown outcome.
    pub async fn settle_unknown(&mut self) -> Result<(), DriverError> {
        self.resolve_unknown().await?;
        self.act().await
    }

    /// Takes in the fills the venue has and we have not, and does what follows from them.
    pub async fn take_in_fills(&mut self) -> Result<(), DriverError> {
        self.take_fills().await?;
        self.act().await
    }

    /// Takes in what became of open orders: fills, and the end of those that ended at the venue without our doing; records
    /// what is not ours, and compares the amounts.
    pub async fn take_stock(&mut self) -> Result<(), DriverError> {
        let there = self.venue.open_orders().await?;
        self.take_in_fills().await?;
        for order in self.state.open_orders() {
            let id = order.intent.client_order_id;
            let open = order.state.is_at_the_venue();
            if open && !there.orders.iter().any(|known| known.client_order_id == id) {
                self.look_up_or_doubt(&order).await?;
                self.act().await?;
            }
        }
        self.note_external(there.external);
        self.compare_balances().await?;
        self.flush_rows().await
    }

    /// Cancels every entry that is open at the venue. What has not left stays in the ledger, and lapses there with its time.
    pub async fn cancel_entries(&mut self) -> Result<(), DriverError> {
        for order in self.state.open_orders() {
            let open = order.state.is_at_the_venue();
            if order.intent.purpose.is_entry() && open {
                match self.cancel(&OrderRef::from(&order.intent)).await {
                    // The others need not wait for one that the venue does not tell of.
                    Err(DriverError::Unsettled { order, message }) => {
                        tracing::warn!(%order, message, "the end of an entry is not known");
                        self.unsure = true;
                    }
                    done => done?,
                }
            }
        }
        self.act().await
    }
}
