//! The venue of the account this process trades: one of those there are, chosen once.
//!
//! It promises that the loop, the cluster and the commands know one type, whatever the account names. Must not decide
//! anything: each method is the venue's own.

use std::ops::Range;

use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::Price;
use tradewind_core::order::{OrderRef, OrderRequest};
use tradewind_core::recovery::FillCursor;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::binance_us::{BinanceUs, Traffic};
use tradewind_venues::{
    AssetBalance, CancelOutcome, DrivenVenue, FillPage, Lookup, OpenOrders, PaperVenue, Phase, PhaseOutcome,
    PlaceOutcome, Plan, Venue, VenueError, VenueTerms,
};

use crate::crash_points::{Point, through};

/// A venue.
pub enum AccountVenue {
    /// The simulated one, in this process.
    Paper(Box<PaperVenue>),
    /// Binance.US.
    BinanceUs(Box<BinanceUs>),
}

impl AccountVenue {
    /// What went over the wire, if it is an exchange.
    pub fn traffic(&self) -> Option<Traffic> {
        match self {
            Self::Paper(_) => None,
            Self::BinanceUs(venue) => Some(venue.traffic()),
        }
    }

    /// The exchange, if it is one.
    pub fn exchange(&mut self) -> Option<&mut BinanceUs> {
        match self {
            Self::Paper(_) => None,
            Self::BinanceUs(venue) => Some(venue),
        }
    }
}

/// The same call of whichever it is.
macro_rules! of_each {
    ($self:expr, $venue:ident => $call:expr) => {
        match $self {
            AccountVenue::Paper($venue) => $call,
            AccountVenue::BinanceUs($venue) => $call,
        }
    };
}

impl Venue for AccountVenue {
    fn terms(&self) -> VenueTerms {
        of_each!(self, venue => venue.terms())
    }

    async fn place(&mut self, request: &OrderRequest, now: Timestamp) -> PlaceOutcome {
        through(Point::place(request), async { of_each!(self, venue => venue.place(request, now).await) })
            .await
    }

    async fn cancel(&mut self, order: &OrderRef, now: Timestamp) -> CancelOutcome {
        through(Point::Cancel, async { of_each!(self, venue => venue.cancel(order, now).await) }).await
    }

    async fn lookup(&mut self, order: &OrderRef) -> Lookup {
        through(Point::Lookup, async { of_each!(self, venue => venue.lookup(order).await) }).await
    }

    async fn search(&mut self, order: &OrderRef, span: Range<Timestamp>) -> Lookup {
        through(Point::Lookup, async { of_each!(self, venue => venue.search(order, span).await) }).await
    }

    async fn open_orders(&mut self) -> Result<OpenOrders, VenueError> {
        through(Point::OpenOrders, async { of_each!(self, venue => venue.open_orders().await) }).await
    }

    async fn fills_since(&mut self, cursor: &FillCursor) -> Result<FillPage, VenueError> {
        through(Point::Fills, async { of_each!(self, venue => venue.fills_since(cursor).await) }).await
    }

    async fn balances(&mut self) -> Result<Vec<AssetBalance>, VenueError> {
        through(Point::Balances, async { of_each!(self, venue => venue.balances().await) }).await
    }

    async fn time(&mut self) -> Result<Timestamp, VenueError> {
        of_each!(self, venue => venue.time().await)
    }
}

impl DrivenVenue for AccountVenue {
    fn clock(&self) -> Option<Timestamp> {
        of_each!(self, venue => venue.clock())
    }

    fn place_at_once(&mut self, request: &OrderRequest, now: Timestamp) -> Option<PlaceOutcome> {
        of_each!(self, venue => DrivenVenue::place_at_once(venue.as_mut(), request, now))
    }

    fn quiet_bar(&mut self, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        of_each!(self, venue => DrivenVenue::quiet_bar(venue.as_mut(), instrument, bar, interval))
    }

    fn quiet(&mut self, phase: Phase, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        of_each!(self, venue => DrivenVenue::quiet(venue.as_mut(), phase, instrument, bar, interval))
    }

    fn plan(
        &self,
        phase: Phase,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<Option<Plan>, VenueError> {
        of_each!(self, venue => DrivenVenue::plan(venue.as_ref(), phase, instrument, bar, interval))
    }

    fn apply_at_once(&mut self, plan: &mut Plan) -> Option<PhaseOutcome> {
        of_each!(self, venue => DrivenVenue::apply_at_once(venue.as_mut(), plan))
    }

    async fn apply(&mut self, plan: Plan) -> Result<PhaseOutcome, VenueError> {
        through(Point::Book, async {
            of_each!(self, venue => DrivenVenue::apply(venue.as_mut(), plan).await)
        })
        .await
    }

    fn resume(&mut self, instrument: InstrumentId, last_bar: Timestamp, close: Price) {
        of_each!(self, venue => DrivenVenue::resume(venue.as_mut(), instrument, last_bar, close));
    }

    async fn close(self) -> Result<(), VenueError> {
        match self {
            Self::Paper(venue) => DrivenVenue::close(*venue).await,
            Self::BinanceUs(venue) => DrivenVenue::close(*venue).await,
        }
    }
}
