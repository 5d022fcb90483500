//! The paper venue: orders matched against bars in virtual time, with fees, slippage, latency and partial fills.
//!
//! It promises that what it answered has happened: with a store, every change (an order taken or cancelled, the fills of
//! a phase with the balances and how far the instrument has come) is one durable transaction before the answer, and
//! nothing is written when nothing changed. In memory the same code serves backtests. It is told the time; it never
//! reads a clock, and it never decides anything. The matching convention is in [`matching`].

mod archive;
mod book;
mod ids;
pub mod matching;
mod order;
mod plan;
mod reject;
mod rows;
mod settings;
mod store;

use std::ops::Range;
use std::path::Path;

use tradewind_core::config::PaperConfig;
use tradewind_core::instrument::{Bar, InstrumentId, InstrumentRules};
use tradewind_core::money::{Cash, MoneyError, Price, Quantity};
use tradewind_core::name::Asset;
use tradewind_core::order::{ClientOrderId, OrderRequest};
use tradewind_core::time::{Millis, Timestamp};

use archive::Archive;
pub use book::Book;
pub use matching::Phase;
use order::Change;
pub use plan::{Ended, PhaseOutcome, Plan};
pub use reject::Rejection;
pub use settings::SettingsError;
pub use store::StoreError;

use crate::port::{
    AssetBalance, CancelOutcome, FillCursor, FillPage, Lookup, OpenOrders, OrderRef, OrderSnapshot,
    PlaceOutcome, Venue, VenueError, VenueTerms,
};

/// The most fills one answer of [`Venue::fills_since`] has.
pub const FILLS_PAGE: u32 = 1000;

/// Why the paper venue cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PaperError {
    /// Its settings contradict themselves.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An amount overflowed.
    #[error("the paper book cannot be computed exactly: {0}")]
    Money(#[from] MoneyError),
    /// A bar of an instrument it was not made with.
    #[error("the paper venue has no instrument {}; make it with the rules of all instruments", id.0)]
    UnknownInstrument {
        /// Which.
        id: InstrumentId,
    },
    /// Fills were asked for with the cursor of a venue of another kind.
    #[error(
        "the ledger belongs to an account of another venue; give this account a new ledger, or its venue back"
    )]
    ForeignCursor,
    /// The book has changed since the plan was made.
    #[error(
        "the plan was made at version {planned} of the paper book, which is now at {actual}; plan the phase again"
    )]
    StalePlan {
        /// The plan's version.
        planned: u64,
        /// The book's.
        actual: u64,
    },
}

/// The simulated venue.
#[derive(Debug)]
pub struct PaperVenue {
    book: Book,
    archive: Archive,
    created_with: Vec<(Asset, Cash)>,
    /// The latest time it was told.
    clock: Option<Timestamp>,
    /// A write began and did not end well: what is stored must be read again before anything else.
    in_doubt: bool,
}

impl PaperVenue {
    /// A venue that forgets everything when it is dropped, for backtests. Its futures are always ready.
    pub fn in_memory(
        config: &PaperConfig,
        quote: &Asset,
        rules: &[InstrumentRules],
    ) -> Result<Self, PaperError> {
        let book = Book::new(config, quote, rules)?;
        let (archive, created_with) = (Archive::in_memory(), config.balances.clone());
        Ok(Self { book, archive, created_with, clock: None, in_doubt: false })
    }

    /// The venue whose book is in that SQLite file; the file and the book are made when they are missing. Balances,
    /// orders and how far each instrument has come are the stored ones, whatever the settings say now; fees, slippage,
    /// latency and volume share are those of `config`.
    pub async fn open(
        path: &Path,
        config: &PaperConfig,
        quote: &Asset,
        rules: &[InstrumentRules],
    ) -> Result<Self, PaperError> {
        let template = Book::new(config, quote, rules)?;
        let (archive, book, created_with) = Archive::open(path, template, &config.balances).await?;
        Ok(Self { book, archive, created_with, clock: None, in_doubt: false })
    }

    /// Ends the connection to the store. Dropping does so too, but a moment later.
    pub async fn close(self) -> Result<(), PaperError> {
        self.archive.close().await.map_err(PaperError::from)
    }

    /// The starting balances the book was made with. If the settings name others now, the stored book is kept and these
    /// are not the settings' balances.
    pub fn created_with(&self) -> &[(Asset, Cash)] {
        &self.created_with
    }

    /// The state, for reading.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether an order of the instrument is open.
    #[inline]
    pub fn has_orders(&self, instrument: InstrumentId) -> bool {
        self.book.has_orders(instrument)
    }

    /// The cheap way through a bar: if no order would trade in that phase, notes that it has passed and is true. Else
    /// does nothing, is false, and the phase must be planned and applied.
    #[inline]
    pub fn quiet(&mut self, phase: Phase, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        let quiet = !self.in_doubt && self.book.quiet(phase, instrument, bar, interval);
        if quiet {
            self.clock = self.clock.max(Some(bar.open_time));
        }
        quiet
    }

    /// The cheap way through both phases of a bar; if it is false, each phase must be gone through by itself.
    #[inline]
    pub fn quiet_bar(&mut self, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        if !self.in_doubt && self.book.pass_idle(instrument, bar) {
            self.clock = self.clock.max(Some(bar.open_time));
            return true;
        }
        self.quiet_phases(instrument, bar, interval)
    }

    fn quiet_phases(&mut self, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        self.quiet(Phase::Open, instrument, bar, interval)
            && self.quiet(Phase::Range, instrument, bar, interval)
    }

    /// Tells a re-opened venue where the feed stands: the open time of the last bar that was processed, and its close.
    /// Bars in which nothing happened are not stored, so without this the last close may be an old one. A bar older
    /// than what the book knows changes nothing.
    pub fn resume(&mut self, instrument: InstrumentId, last_bar: Timestamp, close: Price) {
        self.book.resume(instrument, last_bar, close);
    }

    /// What the open of that bar would do. Must be asked before anything is decided from the bar.
    pub fn plan_open(
        &self,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<Plan, PaperError> {
        self.plan(Phase::Open, instrument, bar, interval)
    }

    /// What the range of that bar would do, after its open was applied. Market orders wait for the next open.
    pub fn plan_range(
        &self,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<Plan, PaperError> {
        self.plan(Phase::Range, instrument, bar, interval)
    }

    fn plan(&self, phase: Phase, id: InstrumentId, bar: &Bar, interval: Millis) -> Result<Plan, PaperError> {
        self.book.plan(phase, id, bar, interval).ok_or(PaperError::UnknownInstrument { id })
    }

    /// Makes a plan so, also one without fills. After an error of the store nobody knows whether it did: look the
    /// orders up and read the fills since the last cursor, as after a restart.
    pub async fn apply(&mut self, mut plan: Plan) -> Result<PhaseOutcome, PaperError> {
        if let Some(outcome) = self.apply_at_once(&mut plan) {
            return Ok(outcome);
        }
        self.settle_doubt().await?;
        let (planned, actual) = (plan.from_version, self.book.version());
        if planned != actual {
            return Err(PaperError::StalePlan { planned, actual });
        }
        self.clock = self.clock.max(Some(plan.bar.open_time));
        match plan.change {
            None => self.book.pass(plan.phase, plan.instrument, &plan.bar),
            Some(change) => self.commit(&change).await?,
        }
        Ok(plan.outcome)
    }

    /// As [`Self::apply`] where there is no store to wait for: what came of the plan. None, and nothing done, with a store
    /// or when the plan no longer fits; then [`Self::apply`] must be asked.
    pub fn apply_at_once(&mut self, plan: &mut Plan) -> Option<PhaseOutcome> {
        let Archive::Memory(memory) = &mut self.archive else { return None };
        if plan.from_version != self.book.version() {
            return None;
        }
        self.clock = self.clock.max(Some(plan.bar.open_time));
        match &plan.change {
            None => self.book.pass(plan.phase, plan.instrument, &plan.bar),
            Some(change) => {
                memory.keep(change);
                self.book.apply(change);
            }
        }
        Some(std::mem::take(&mut plan.outcome))
    }

    /// Plans and applies the open of a bar.
    pub async fn on_open(
        &mut self,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<PhaseOutcome, PaperError> {
        self.on_phase(Phase::Open, instrument, bar, interval).await
    }

    /// Plans and applies the range of a bar.
    pub async fn on_range(
        &mut self,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<PhaseOutcome, PaperError> {
        self.on_phase(Phase::Range, instrument, bar, interval).await
    }

    #[inline]
    async fn on_phase(
        &mut self,
        phase: Phase,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<PhaseOutcome, PaperError> {
        if self.quiet(phase, instrument, bar, interval) {
            return Ok(PhaseOutcome::default());
        }
        self.settle_doubt().await?;
        let plan = self.plan(phase, instrument, bar, interval)?;
        self.apply(plan).await
    }

    /// Makes a change durable, then visible. A future dropped half-way leaves the doubt standing.
    async fn commit(&mut self, change: &Change) -> Result<(), PaperError> {
        self.in_doubt = true;
        self.archive.write(&self.book, change).await?;
        self.book.apply(change);
        self.in_doubt = false;
        Ok(())
    }

    /// Reads the stored book again if nobody knows whether the last change became durable.
    #[inline]
    async fn settle_doubt(&mut self) -> Result<(), PaperError> {
        if self.in_doubt { self.read_again().await } else { Ok(()) }
    }

    async fn read_again(&mut self) -> Result<(), PaperError> {
        if let Some(mut stored) = self.archive.load().await? {
            stored.keep_later_marks(&self.book);
            self.book = stored;
        }
        self.in_doubt = false;
        Ok(())
    }

    fn tell(&mut self, now: Timestamp) {
        self.clock = self.clock.max(Some(now));
    }

    /// As [`Venue::place`] where there is no store to wait for; none, and nothing done, with one.
    pub fn place_at_once(&mut self, request: &OrderRequest, now: Timestamp) -> Option<PlaceOutcome> {
        let Archive::Memory(memory) = &mut self.archive else { return None };
        self.clock = self.clock.max(Some(now));
        let known = memory.knows(request.client_order_id);
        Some(match self.book.place(request, known, now) {
            Ok(change) => {
                memory.keep(&change);
                self.book.apply(&change);
                PlaceOutcome::Accepted { venue_order_id: book::venue_order_id(change.counters.orders) }
            }
            Err(refusal) => rejected(&refusal),
        })
    }

    async fn try_place(
        &mut self,
        request: &OrderRequest,
        now: Timestamp,
    ) -> Result<PlaceOutcome, PaperError> {
        self.settle_doubt().await?;
        let known = self.archive.knows(request.client_order_id).await?;
        match self.book.place(request, known, now) {
            Ok(change) => {
                let venue_order_id = book::venue_order_id(change.counters.orders);
                self.commit(&change).await?;
                Ok(PlaceOutcome::Accepted { venue_order_id })
            }
            Err(refusal) => Ok(rejected(&refusal)),
        }
    }

    async fn try_cancel(&mut self, id: ClientOrderId) -> Result<CancelOutcome, PaperError> {
        self.settle_doubt().await?;
        if let Some(change) = self.book.cancel(id)? {
            self.commit(&change).await?;
            let executed = change.orders.first().map_or(Quantity::ZERO, |ended| ended.filled);
            return Ok(CancelOutcome::Cancelled { executed });
        }
        let known = self.archive.knows(id).await?;
        Ok(if known { CancelOutcome::AlreadyDone } else { CancelOutcome::NotFound })
    }

    async fn try_lookup(&mut self, id: ClientOrderId) -> Result<Option<OrderSnapshot>, PaperError> {
        self.settle_doubt().await?;
        if let Some((_, order)) = self.book.find(id) {
            return Ok(self.book.snapshot(order));
        }
        let ended = self.archive.order(id, &self.book).await?;
        Ok(ended.and_then(|order| self.book.snapshot(&order)))
    }

    async fn try_fills(&mut self, cursor: &FillCursor) -> Result<FillPage, PaperError> {
        self.settle_doubt().await?;
        // A cursor by instrument is another venue's.
        let FillCursor::Sequence(number) = *cursor else { return Err(PaperError::ForeignCursor) };
        let trades = self.archive.trades_after(number, FILLS_PAGE, &mut self.book).await?;
        let next = FillCursor::Sequence(trades.last().map_or(number, |trade| trade.number));
        let fills = trades.iter().filter_map(|trade| self.book.fill(trade)).collect();
        Ok(FillPage { fills, external: Vec::new(), next })
    }
}

fn rejected(refusal: &Rejection) -> PlaceOutcome {
    PlaceOutcome::Rejected { code: refusal.code(), message: refusal.to_string() }
}

impl Venue for PaperVenue {
    fn terms(&self) -> VenueTerms {
        VenueTerms::default()
    }

    async fn place(&mut self, request: &OrderRequest, now: Timestamp) -> PlaceOutcome {
        if let Some(outcome) = self.place_at_once(request, now) {
            return outcome;
        }
        self.tell(now);
        let outcome = self.try_place(request, now).await;
        outcome.unwrap_or_else(|error| PlaceOutcome::Unknown { message: error.to_string() })
    }

    async fn cancel(&mut self, order: &OrderRef, now: Timestamp) -> CancelOutcome {
        self.tell(now);
        let outcome = self.try_cancel(order.client_order_id).await;
        outcome.unwrap_or_else(|error| CancelOutcome::Unknown { message: error.to_string() })
    }

    async fn lookup(&mut self, order: &OrderRef) -> Lookup {
        match self.try_lookup(order.client_order_id).await {
            Ok(Some(order)) => Lookup::Found(order),
            Ok(None) => Lookup::NotFound,
            Err(error) => Lookup::Unknown { message: error.to_string() },
        }
    }

    async fn search(&mut self, order: &OrderRef, _span: Range<Timestamp>) -> Lookup {
        // Its book is found by ids, and forgets none.
        self.lookup(order).await
    }

    async fn open_orders(&mut self) -> Result<OpenOrders, VenueError> {
        self.settle_doubt().await?;
        Ok(OpenOrders { orders: self.book.open_orders(), external: Vec::new() })
    }

    async fn fills_since(&mut self, cursor: &FillCursor) -> Result<FillPage, VenueError> {
        Ok(self.try_fills(cursor).await?)
    }

    async fn balances(&mut self) -> Result<Vec<AssetBalance>, VenueError> {
        self.settle_doubt().await?;
        Ok(self.book.balances().map_err(PaperError::from)?)
    }

    async fn time(&mut self) -> Result<Timestamp, VenueError> {
        self.clock.ok_or(VenueError::NoTime)
    }
}
