//! Starting is recovering: there is no other way in.
//!
//! The state comes from the ledger, indicators from the bars before, and every order whose story has not ended is
//! settled with the venue before the first new bar.

use std::collections::BTreeSet;

use tradewind_core::config::Config;
use tradewind_core::engine::{InstrumentSpec, State};
use tradewind_core::event::{Event, EventKind, Transfer};
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::order::{ClientOrderId, Fill, OrderRef, OrderState, OrderUpdate};
use tradewind_core::protocol::Origin;
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::Ledger;
use tradewind_venues::driven::DrivenVenue;
use tradewind_venues::port::ExternalOrder;

use super::{Driver, DriverError, Journal, Observer};

/// What a start needs.
pub struct Start<L, V, O> {
    /// The configuration as it is now.
    pub config: Config,
    /// Instruments of the feed, in its order.
    pub instruments: Vec<InstrumentSpec>,
    /// The ledger; none forgets everything.
    pub ledger: Option<L>,
    /// Whose orders these are, when there is no ledger to say.
    pub identity: LedgerIdentity,
    /// The venue.
    pub venue: V,
    /// How long a predecessor may have believed in its Lease; zero where another excludes two workers. What it signed in
    /// that time is over before the first order is sent.
    pub lease: Millis,
    /// What becomes of rows.
    pub journal: Journal,
    /// Who watches.
    pub observer: O,
}

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// The engine as the ledger left it. Next come [`Self::warm_up`] with the bars it has seen, then [`Self::settle`].
    pub async fn recover(start: Start<L, V, O>) -> Result<Self, DriverError> {
        let Start { config, instruments, mut ledger, identity, venue, lease, mut journal, observer } = start;
        let (mut positions, mut fresh) = (vec![None; instruments.len()], true);
        let mut state = match &mut ledger {
            Some(ledger) => {
                let history = ledger.history().await?;
                fresh = history.transfers.is_empty();
                for known in history.checkpoint.iter().flat_map(|c| &c.instruments) {
                    let index = instruments.iter().position(|i| i.rules.symbol == known.symbol);
                    if let Some(place) = index.and_then(|index| positions.get_mut(index)) {
                        *place = known.last_bar;
                    }
                }
                journal.published =
                    history.checkpoint.iter().flat_map(|c| c.published.iter().cloned()).collect();
                journal.fill_cursor =
                    history.checkpoint.as_ref().map(|c| c.fill_cursor.clone()).unwrap_or_default();
                State::recover_at(&config, instruments, ledger.identity(), &history, venue.terms())?
            }
            None => State::new(config.account.clone(), instruments, identity),
        };
        if let Some(opened_at) = venue.clock() {
            state.set_terms(venue.terms(), opened_at, lease);
        }
        Ok(Self { positions, fresh, ..Self::new(state, ledger, venue, journal, observer) })
    }

    /// Open time of the last bar of each instrument that the ledger knows of.
    pub fn positions(&self) -> &[Option<Timestamp>] {
        &self.positions
    }

    /// A bar the engine had seen before it stopped: indicators only.
    pub fn warm_up(&mut self, instrument: InstrumentId, bar: &Bar) {
        let now = self.state.now();
        self.step(&Event { now, kind: EventKind::WarmUp { instrument, bar: *bar } });
        self.venue.resume(instrument, bar.open_time, bar.close);
    }

    /// Settles every order whose story has not ended, then takes over the configuration. Only after this is the worker
    /// ready for the next bar. `at` is when the story of a new ledger begins; one that has begun goes on at its own time,
    /// or a restart within a gap would confirm a breaker with prices of before the gap.
    ///
    /// At an exchange its parts are called one by one: [`Self::look_at_open`], from the time it returns on
    /// [`Self::settle_orders`], then the prices of now are told, then [`Self::take_over`].
    pub async fn settle(&mut self, config: Config, at: Timestamp) -> Result<(), DriverError> {
        self.settle_orders(at).await?;
        self.take_over(config, at).await
    }

    /// Looks at what is open at the venue, and returns from when on orders may be settled: nothing that a predecessor signed
    /// can arrive any more, and of what had ended before this look all trades show. An order that was at the venue and that a
    /// ledger has lost with a commit is seen here, or by its trades then.
    pub async fn look_at_open(&mut self) -> Result<Timestamp, DriverError> {
        if self.fresh {
            // Nothing was sent yet that could be lost.
            return Ok(self.state.first_send());
        }
        self.notice_open().await?;
        let shown = self.start_time(self.state.now()).plus(self.state.terms().query_lag);
        Ok(self.state.first_send().max(shown))
    }

    /// Settles every order whose story has not ended; of a new ledger, also books what the account holds. After
    /// [`DriverError::Unsettled`] or an error of the venue it may be called again: it goes on where it was.
    pub async fn settle_orders(&mut self, at: Timestamp) -> Result<(), DriverError> {
        let known = self.notice_lost().await?;
        self.lose_track();
        for fill in known {
            self.step_fill(&fill);
        }
        // What was just decided has not left.
        for order in self.state.open_orders().into_iter().filter(|o| o.state != OrderState::Intended) {
            self.look_up(&OrderRef::from(&order.intent)).await?;
            self.act().await?;
        }
        self.deposit_first_balances(self.start_time(at)).await
    }

    /// Takes over the configuration and goes on with what was interrupted.
    pub async fn take_over(&mut self, config: Config, at: Timestamp) -> Result<(), DriverError> {
        let now = self.start_time(at);
        self.handle(now, EventKind::ConfigChange(Box::new(config))).await?;
        // An exit that a restart interrupted goes on now, not at the next bar.
        self.handle(now, EventKind::Timer).await?;
        self.flush().await?;
        self.reconcile().await?;
        self.flush().await
    }

    fn start_time(&self, at: Timestamp) -> Timestamp {
        let begun = self.state.now() > Timestamp(i64::MIN);
        let known = if begun { self.state.now() } else { at };
        self.venue.clock().unwrap_or(known)
    }

    /// Tells what the venue has under ids that the ledger does not know, and returns the fills of those it does. That comes
    /// before all else: a fill may be answered by an intent, and that would get the number, and with it the id, of one that
    /// was lost with a commit and is at the venue.
    async fn notice_lost(&mut self) -> Result<Vec<Fill>, DriverError> {
        let open = self.notice_open().await?;
        let (fills, cursor) = self.read_fills().await?;
        let (known, others) = fills.into_iter().partition(|fill| open.contains(&fill.client_order_id));
        for fill in others {
            self.step_fill(&fill);
        }
        self.journal.fill_cursor = cursor;
        Ok(known)
    }

    /// Tells what the venue has open under ids that the ledger does not know; the ids of those it does.
    async fn notice_open(&mut self) -> Result<BTreeSet<ClientOrderId>, DriverError> {
        let there = self.venue.open_orders().await?;
        let open: BTreeSet<_> = self.state.open_orders().iter().map(|o| o.intent.client_order_id).collect();
        for order in there.orders.into_iter().filter(|order| !open.contains(&order.client_order_id)) {
            if matches!(self.state.origin_of(order.client_order_id), Origin::Lost(_)) {
                self.note_external(vec![ExternalOrder::from(&order)]);
            }
            let venue_order_id = order.venue_order_id;
            self.tell(order.client_order_id, OrderUpdate::Accepted { venue_order_id });
        }
        Ok(open)
    }

    /// An order that was on its way, or about to leave, may or may not have arrived.
    fn lose_track(&mut self) {
        for order in self.state.open_orders() {
            if matches!(order.state, OrderState::Intended | OrderState::Sent) {
                let message = "the worker was restarted before the venue's answer was known".to_owned();
                self.tell(order.intent.client_order_id, OrderUpdate::Unknown { message });
            }
        }
    }

    /// What the account holds when a ledger begins is a deposit.
    async fn deposit_first_balances(&mut self, now: Timestamp) -> Result<(), DriverError> {
        if !self.fresh {
            return Ok(());
        }
        let balances = self.venue.balances().await?;
        self.fresh = false;
        for balance in balances {
            if balance.total.0 != 0 {
                let transfer =
                    Transfer { asset: balance.asset, amount: balance.total, strategy: None, at: now };
                self.handle(now, EventKind::Transfer(transfer)).await?;
            }
        }
        Ok(())
    }
}
