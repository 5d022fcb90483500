//! What became of an order: asked of the venue, for one that is doubtful by itself, for the others with each sweep.
//!
//! It promises that an order is taken for ended or lost only by the venue's own answers, and that one the venue does not
//! tell of keeps no other waiting. Must not send anything again: the engine decides that.

use std::ops::Range;

use tradewind_core::engine::OrderView;
use tradewind_core::order::{ClientOrderId, OrderKind, OrderRef, OrderState, OrderUpdate, Purpose};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::Ledger;
use tradewind_venues::driven::DrivenVenue;
use tradewind_venues::port::{Lookup, OrderSnapshot};

use super::{Driver, DriverError, Observer};

/// Orders are searched for from so long before they were signed until so long after: another worker may have signed them, by
/// another clock.
const MARGIN: Millis = Millis(60_000);
/// The longest span that venues tell of at once.
const LONGEST: Millis = Millis(24 * 60 * 60_000 - 1);
/// The code of a refusal that was looked up, not answered.
const REFUSED: &str = "REJECTED";

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// Takes in where the order stands at the venue. One that is not found by its id is searched for before that ends it,
    /// among all orders of when it was signed. Fills are read last: an order that filled and was forgotten between any two is
    /// known by them.
    pub(super) async fn look_up(&mut self, order: &OrderRef) -> Result<(), DriverError> {
        let (asked_at, id) = (self.now(), order.client_order_id);
        let answer = match self.venue.lookup(order).await {
            Lookup::NotFound => match self.searched_in(id, asked_at) {
                Some(span) => self.venue.search(order, span).await,
                None => Lookup::NotFound,
            },
            answer => answer,
        };
        self.take_fills().await?;
        match answer {
            Lookup::Found(snapshot) => self.take_snapshot(&snapshot),
            Lookup::NotFound => {
                if self.is_unknown(id) {
                    self.tell(id, OrderUpdate::NotFound { asked_at });
                    self.unsure |= self.is_unknown(id);
                } else {
                    self.miss(id, asked_at);
                }
            }
            Lookup::Unknown { message } => return Err(DriverError::Unsettled { order: id, message }),
        }
        Ok(())
    }

    /// When the venue can have taken an order, by any worker's clock, if "not found" would end it or begin to.
    fn searched_in(&self, id: ClientOrderId, asked_at: Timestamp) -> Option<Range<Timestamp>> {
        let order = self.state.open_orders().into_iter().find(|order| order.intent.client_order_id == id)?;
        match order.not_found_from {
            Some(from) if asked_at < from => return None,
            // One that is ending waits for its fills, whatever is found.
            None if order.is_ending || !order.state.is_at_the_venue() => return None,
            _ => {}
        }
        let first = order.signed_at.plus(Millis(-MARGIN.0));
        // Up to now: a ledger that has lost a commit may not know of the last signature, whatever it knows of the order.
        Some(first..asked_at.plus(MARGIN).min(first.plus(LONGEST)))
    }

    /// The venue does not know an order that it had accepted. One that is still missed when the lag is over has ended, and
    /// the venue has forgotten its id: what it traded was told by its fills. Else its instrument could never be sold.
    fn miss(&mut self, id: ClientOrderId, asked_at: Timestamp) {
        let mut open = self.state.open_orders();
        open.retain(|order| order.state.is_at_the_venue());
        self.missed.retain(|missed, _| open.iter().any(|order| order.intent.client_order_id == *missed));
        let Some(known) = open.into_iter().find(|order| order.intent.client_order_id == id) else { return };
        tracing::warn!(order = %id, "the venue does not know an order it had accepted");
        let first = *self.missed.entry(id).or_insert(asked_at);
        if asked_at >= first.plus(self.state.terms().query_lag) && !known.is_ending {
            self.missed.remove(&id);
            self.tell(id, OrderUpdate::Expired { executed: known.filled });
        }
    }

    fn is_unknown(&self, id: ClientOrderId) -> bool {
        let unknown = |o: &OrderView| o.intent.client_order_id == id && o.state == OrderState::Unknown;
        self.state.open_orders().iter().any(unknown)
    }

    /// Whether an order is asked for by itself, and not only with the next sweep.
    pub(super) fn is_doubtful(&self, order: &OrderView) -> bool {
        let id = order.intent.client_order_id;
        order.state == OrderState::Unknown
            || order.is_ending
            || self.missed.contains_key(&id)
            || self.is_overdue(order)
    }

    /// At an exchange: an order that trades at once, and whose end was not seen when all its fills must have shown. The venue
    /// may have ended it, and what it did not sell has no stop.
    fn is_overdue(&self, order: &OrderView) -> bool {
        let at_once = matches!(order.intent.kind, OrderKind::Market | OrderKind::ImmediateOrCancel { .. });
        let there = order.state.is_at_the_venue();
        // A stop that has begun to trade was set off.
        let set_off = order.state == OrderState::PartiallyFilled && order.intent.purpose == Purpose::StopLoss;
        let since = self.venue.clock().map(|now| now.since(order.intent.decided_at));
        (at_once && there || set_off) && since.is_some_and(|since| since > self.state.terms().query_lag)
    }

    /// Asks the venue for every order of unknown outcome, for those that should have ended, and for the fills of those that
    /// have ended with more than was told. Those it does not tell of stay so, and block their instrument, until it does.
    pub(super) async fn resolve_unknown(&mut self) -> Result<(), DriverError> {
        self.unsure = false;
        let asked = self.ask_for_unknown().await;
        // What was not asked for any more is asked for the next time.
        self.unsure |= asked.is_err();
        asked
    }

    async fn ask_for_unknown(&mut self) -> Result<(), DriverError> {
        for order in self.state.open_orders() {
            if !self.is_doubtful(&order) {
                continue;
            }
            self.look_up_or_doubt(&order).await?;
            self.act().await?;
        }
        Ok(())
    }

    /// Looks an order up. One that the venue does not tell of is asked for later; the others need not wait for it.
    pub(super) async fn look_up_or_doubt(&mut self, order: &OrderView) -> Result<(), DriverError> {
        match self.look_up(&OrderRef::from(&order.intent)).await {
            Err(DriverError::Unsettled { order, message }) => {
                tracing::warn!(%order, message, "outcome still unknown");
                self.unsure = true;
                Ok(())
            }
            answered => answered,
        }
    }

    fn take_snapshot(&mut self, snapshot: &OrderSnapshot) {
        let id = snapshot.client_order_id;
        let Some(known) = self.state.open_orders().into_iter().find(|o| o.intent.client_order_id == id)
        else {
            return;
        };
        self.missed.remove(&id);
        let in_doubt = matches!(known.state, OrderState::Sent | OrderState::Unknown);
        if in_doubt && snapshot.state == OrderState::Rejected && snapshot.filled.0 == 0 {
            let message = "it stands as refused at the venue".to_owned();
            return self.tell(id, OrderUpdate::Rejected { code: REFUSED.into(), message });
        }
        if in_doubt {
            let venue_order_id = snapshot.venue_order_id.clone();
            self.tell(id, OrderUpdate::Accepted { venue_order_id });
        }
        match snapshot.state {
            OrderState::Cancelled => self.tell(id, OrderUpdate::Cancelled { executed: snapshot.filled }),
            // One that was accepted and stands as refused has ended without our doing.
            OrderState::Expired | OrderState::Rejected => {
                self.tell(id, OrderUpdate::Expired { executed: snapshot.filled });
            }
            // How much it has filled is told by its fills.
            _ => {}
        }
        self.unsure |= self.state.awaits_fills();
    }
}
