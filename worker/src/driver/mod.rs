//! The driver: the thin edge around the engine that turns effects into commits, orders and reports.
//!
//! It promises the order in which things become real: what is pending in the ledger is durable before the venue's book
//! changes, an intent is durable before its order is sent, and each order is sent once. It decides nothing. It must not
//! read a clock for anything that reaches the engine: time comes with the bars, or from the venue it drives
//! ([`DrivenVenue::clock`]); it waits for no timer and opens no file.

mod journal;
mod live;
mod look_up;
mod market;
mod news;
mod reconcile;
mod start;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use smol_str::SmolStr;
use tradewind_core::engine::State;
use tradewind_core::event::{Effect, Effects, Event, EventKind, Record, Report};
use tradewind_core::external::{External, ExternalTrade};
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{ClientOrderId, Fill, IntentId, OrderRef, OrderRequest, OrderUpdate};
use tradewind_core::recovery::FillCursor;
use tradewind_core::time::Timestamp;
use tradewind_ledger::{Ledger, LedgerError};
use tradewind_venues::driven::DrivenVenue;
use tradewind_venues::port::{CancelOutcome, PlaceOutcome, VenueError};

pub use journal::{Journal, decision_row, outcome_words};
pub use news::{LastLook, News};
pub use start::Start;

/// Why the driver cannot go on. Nothing is lost by stopping: the next start goes on from the ledger.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The ledger refused or could not.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The venue could not answer.
    #[error(transparent)]
    Venue(#[from] VenueError),
    /// The ledger's rows do not make a state.
    #[error(transparent)]
    Recover(#[from] tradewind_core::engine::RecoverError),
    /// Somebody stopped waiting for a commit: whether it was made, the next start reads.
    #[error("a commit was given up before the ledger answered; the next start finds out what is durable")]
    CommitGivenUp,
    /// The venue does not answer what became of an order.
    #[error("the venue does not say what became of order {order}: {message}; start again when it answers")]
    Unsettled {
        /// The order.
        order: ClientOrderId,
        /// What was seen.
        message: String,
    },
}

/// Who wants to know what happens. Called after the engine's step, before anything becomes durable.
pub trait Observer {
    /// A fact for people.
    fn on_report(&mut self, state: &State, report: &Report);
    /// A row for the ledger.
    fn on_record(&mut self, state: &State, record: &Record);
    /// How long the venue took to answer an order that was sent to it, or was waited for.
    fn on_answer(&mut self, _request: &OrderRequest, _took: Duration) {}
}

/// The engine with what surrounds it. Without a ledger nothing is durable and every commit succeeds: backtests.
pub struct Driver<L, V, O> {
    /// The engine.
    pub state: State,
    /// Who watches.
    pub observer: O,
    pub(super) ledger: Option<L>,
    pub(super) venue: V,
    pub(super) journal: Journal,
    effects: Effects,
    actions: VecDeque<Action>,
    durable: VecDeque<IntentId>,
    positions: Vec<Option<Timestamp>>,
    /// Whether the ledger is new: then what the account holds is its first deposit.
    fresh: bool,
    /// A commit is under way; one that stays so was dropped.
    committing: bool,
    /// Whether the outcome of some order is not known.
    pub(super) unsure: bool,
    /// Bars of the present group that the engine has been told.
    pub(super) told: usize,
    /// Open orders that the venue did not know when it was asked, and since when.
    missed: BTreeMap<ClientOrderId, Timestamp>,
    /// When amounts that differed are looked at once more.
    pub(super) look_again: Option<Timestamp>,
    /// Open orders on the account that are not ours and were recorded.
    pub(super) external: BTreeSet<(Symbol, SmolStr)>,
    /// Who is asked what came in, right before anything is sent.
    pub(super) last_look: Option<Box<dyn LastLook>>,
}

#[derive(Debug)]
enum Action {
    Send(Box<OrderRequest>),
    Cancel(OrderRef),
}

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// A driver around an engine that is about to start.
    pub fn new(state: State, ledger: Option<L>, venue: V, journal: Journal, observer: O) -> Self {
        Self {
            state,
            observer,
            ledger,
            venue,
            journal,
            effects: Effects::new(),
            actions: VecDeque::new(),
            durable: VecDeque::new(),
            positions: Vec::new(),
            fresh: true,
            committing: false,
            unsure: false,
            told: 0,
            missed: BTreeMap::new(),
            look_again: None,
            external: BTreeSet::new(),
            last_look: None,
        }
    }

    /// The time it is: by our clock at an exchange, else the time of the last event.
    #[inline]
    pub fn now(&self) -> Timestamp {
        self.venue.clock().unwrap_or_else(|| self.state.now())
    }

    /// Takes in one event and does all that follows from it.
    pub async fn handle(&mut self, now: Timestamp, kind: EventKind) -> Result<(), DriverError> {
        self.step(&Event { now, kind });
        self.act().await
    }

    /// Steps the engine and sorts its effects; what needs the ledger or the venue waits for [`Self::act`].
    #[inline]
    pub(super) fn step(&mut self, event: &Event) {
        self.journal.record_event(event);
        self.state.step(event, &mut self.effects);
        self.take_effects();
    }

    /// Tells the engine a bar.
    #[inline]
    pub(super) fn step_bar(&mut self, now: Timestamp, instrument: InstrumentId, bar: &Bar) {
        if self.journal.is_recording() {
            let now = self.venue.clock().unwrap_or(now);
            return self.record_step(now, EventKind::Bar { instrument, bar: *bar });
        }
        self.journal.touch();
        self.state.step_bar(self.venue.clock().unwrap_or(now), instrument, bar, &mut self.effects);
        self.take_effects();
    }

    /// Tells the engine a fill.
    pub(super) fn step_fill(&mut self, fill: &Fill) {
        // An exchange dates it by its own clock.
        let clock = self.venue.clock();
        if self.journal.is_recording() || clock.is_some() {
            return self.record_step(clock.unwrap_or(fill.at), EventKind::Fill(fill.clone()));
        }
        self.journal.touch();
        self.state.step_fill(fill, &mut self.effects);
        self.take_effects();
    }

    #[cold]
    #[inline(never)]
    fn record_step(&mut self, now: Timestamp, kind: EventKind) {
        self.step(&Event { now, kind });
    }

    #[inline]
    fn take_effects(&mut self) {
        // Nearly every step ends in one report; it is not worth moving.
        if let [Effect::Report(report)] = self.effects.as_slice() {
            self.observer.on_report(&self.state, report);
            self.journal.push_report(&self.state, report);
            self.effects.clear();
        } else if !self.effects.is_empty() {
            self.sort_effects();
        }
    }

    #[inline(never)]
    fn sort_effects(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Report(report) => {
                    self.observer.on_report(&self.state, &report);
                    self.journal.push_report(&self.state, &report);
                }
                Effect::Persist(record) => {
                    if let Record::Signing(signing) = record.as_ref() {
                        self.durable.push_back(signing.intent);
                    }
                    self.observer.on_record(&self.state, &record);
                    self.journal.push_record(|| *record);
                }
                Effect::Send(request) => self.actions.push_back(Action::Send(request)),
                Effect::Cancel(order) => self.actions.push_back(Action::Cancel(order)),
            }
        }
        self.effects = effects;
    }

    /// Whether nothing waits for the ledger or the venue.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.durable.is_empty() && self.actions.is_empty()
    }

    /// Commits, sends and cancels until nothing is left to do. What was to be sent when it fails is not sent later, when it
    /// may have been settled and signed anew: the engine hears that it has not left.
    pub(super) async fn act(&mut self) -> Result<(), DriverError> {
        let acted = self.act_on_all().await;
        if acted.is_err() {
            self.hold_back();
        }
        acted
    }

    #[cold]
    fn hold_back(&mut self) {
        let retry_at = self.now();
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Send(request) => {
                    let message = "not sent: what came before it failed".to_owned();
                    self.tell(request.client_order_id, OrderUpdate::Throttled { retry_at, message });
                }
                cancel @ Action::Cancel(_) => self.actions.push_back(cancel),
            }
        }
    }

    async fn act_on_all(&mut self) -> Result<(), DriverError> {
        loop {
            if !self.durable.is_empty() {
                if !self.forget() {
                    self.flush().await?;
                }
                // Intents that the news or these steps make wait for a commit of their own.
                let committed = self.durable.len();
                self.hear();
                let now = self.now();
                for _ in 0..committed {
                    if let Some(intent) = self.durable.pop_front() {
                        self.step(&Event { now, kind: EventKind::Durable { intent } });
                    }
                }
                continue;
            }
            match self.actions.pop_front() {
                Some(Action::Send(request)) => {
                    let now = self.now();
                    let outcome = match self.venue.place_at_once(&request, now) {
                        Some(outcome) => outcome,
                        None => self.place(&request, now).await,
                    };
                    self.tell(request.client_order_id, outcome.into());
                }
                Some(Action::Cancel(order)) => {
                    if !self.forget() {
                        self.flush().await?;
                    }
                    self.cancel(&order).await?;
                }
                None => return Ok(()),
            }
        }
    }

    async fn place(&mut self, request: &OrderRequest, now: Timestamp) -> PlaceOutcome {
        let began = Instant::now();
        let outcome = self.venue.place(request, now).await;
        self.observer.on_answer(request, began.elapsed());
        outcome
    }

    async fn cancel(&mut self, order: &OrderRef) -> Result<(), DriverError> {
        let (now, id) = (self.now(), order.client_order_id);
        match self.venue.cancel(order, now).await {
            CancelOutcome::Cancelled { executed } => {
                self.tell(id, OrderUpdate::Cancelled { executed });
                if self.state.awaits_fills() {
                    self.take_fills().await?;
                    self.unsure |= self.state.awaits_fills();
                }
            }
            // Its fills and its end come from the venue.
            CancelOutcome::AlreadyDone | CancelOutcome::NotFound => self.look_up(order).await?,
            CancelOutcome::Unknown { message } => {
                tracing::warn!(order = %id, message, "cancel outcome unknown; it is repeated");
            }
        }
        Ok(())
    }

    pub(super) fn tell(&mut self, client_order_id: ClientOrderId, update: OrderUpdate) {
        self.unsure |= matches!(update, OrderUpdate::Unknown { .. });
        let now = self.now();
        self.step(&Event { now, kind: EventKind::OrderUpdate { client_order_id, update } });
    }

    /// Fills the venue has and we have not yet taken in.
    pub(super) async fn take_fills(&mut self) -> Result<(), DriverError> {
        loop {
            let page = self.venue.fills_since(&self.journal.fill_cursor).await?;
            for fill in page.fills {
                self.step_fill(&fill);
            }
            self.note_external_trades(page.external);
            if page.next == self.journal.fill_cursor {
                return Ok(());
            }
            self.journal.fill_cursor = page.next;
        }
    }

    /// The same fills, not yet taken in, and where they end.
    pub(super) async fn read_fills(&mut self) -> Result<(Vec<Fill>, FillCursor), DriverError> {
        let (mut fills, mut cursor) = (Vec::new(), self.journal.fill_cursor.clone());
        loop {
            let page = self.venue.fills_since(&cursor).await?;
            fills.extend(page.fills);
            self.note_external_trades(page.external);
            if page.next == cursor {
                return Ok((fills, cursor));
            }
            cursor = page.next;
        }
    }

    fn note_external_trades(&mut self, trades: Vec<ExternalTrade>) {
        for trade in trades {
            self.record(Record::External(External::Trade(trade)));
        }
    }

    /// Makes everything pending durable, with the engine's checkpoint.
    pub async fn flush(&mut self) -> Result<(), DriverError> {
        if self.forget() {
            return Ok(());
        }
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        // The same rows a second time would be booked twice, if the first time was heard.
        if self.committing {
            return Err(DriverError::CommitGivenUp);
        }
        self.committing = true;
        let committed = self.journal.commit(ledger, &self.state).await;
        self.committing = false;
        committed.map_err(DriverError::from)
    }

    /// Without a ledger there is nothing to wait for: forgets what is pending and is true. Else does nothing.
    pub(super) fn forget(&mut self) -> bool {
        if self.ledger.is_none() {
            self.journal.clear();
        }
        self.ledger.is_none()
    }

    /// Ends it: everything pending is durable and the files are closed.
    pub async fn finish(mut self) -> Result<(State, O, Option<L>), DriverError> {
        self.flush().await?;
        self.venue.close().await?;
        Ok((self.state, self.observer, self.ledger))
    }

    /// The ledger and the venue, for what they count.
    pub fn edges(&self) -> (Option<&L>, &V) {
        (self.ledger.as_ref(), &self.venue)
    }

    /// The ledger, to read from.
    pub fn ledger_mut(&mut self) -> Option<&mut L> {
        self.ledger.as_mut()
    }

    /// The engine, and the ledger to read from beside it.
    pub fn state_and_ledger(&mut self) -> (&State, Option<&mut L>) {
        (&self.state, self.ledger.as_mut())
    }

    /// The TradingHalt objects of halts in force, by name, as they were last made durable or set since.
    pub fn published(&self) -> &BTreeMap<SmolStr, Uid> {
        &self.journal.published
    }

    /// Remembers, from the next commit on, that the halt of that name has that object; none forgets it.
    pub fn set_published(&mut self, name: &str, object: Option<Uid>) {
        self.journal.touch();
        match object {
            Some(uid) => drop(self.journal.published.insert(name.into(), uid)),
            None => drop(self.journal.published.remove(name)),
        }
    }

    /// What was counted at the ledger's edge.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}
