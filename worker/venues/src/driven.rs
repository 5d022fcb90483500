//! A venue as the driver uses it: the port, and what sets a venue in this process apart from an exchange.
//!
//! It promises that an exchange need say nothing but its clock: every other method here has a body that does nothing.
//! Must not let a decision depend on which of the two a venue is.

use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::Price;
use tradewind_core::order::OrderRequest;
use tradewind_core::time::{Millis, Timestamp};

use crate::paper::{PaperVenue, Phase, PhaseOutcome, Plan};
use crate::port::{PlaceOutcome, Venue, VenueError};

/// A venue that can be driven.
///
/// The methods about bars are for one whose market is the feed's bars. The market of an exchange goes on without us, so
/// that a bar is over when it is told: nothing is left to happen at the venue.
#[expect(async_fn_in_trait, reason = "used on a current-thread runtime: no caller needs Send futures")]
pub trait DrivenVenue: Venue {
    /// The time it is, by our clock. None: the venue is in virtual time, which comes with the bars; its
    /// [`Venue::terms`] must be zero then, for nothing could be waited for.
    fn clock(&self) -> Option<Timestamp>;

    /// As [`Venue::place`] where there is nothing to wait for; none, and nothing done, where there is.
    #[inline]
    fn place_at_once(&mut self, _request: &OrderRequest, _now: Timestamp) -> Option<PlaceOutcome> {
        None
    }

    /// Whether nothing would trade in either phase of the bar; then they have passed. If it is false, nothing was done,
    /// and each phase must be gone through by itself.
    #[inline]
    fn quiet_bar(&mut self, _instrument: InstrumentId, _bar: &Bar, _interval: Millis) -> bool {
        true
    }

    /// As [`Self::quiet_bar`], of one phase.
    #[inline]
    fn quiet(&mut self, _phase: Phase, _instrument: InstrumentId, _bar: &Bar, _interval: Millis) -> bool {
        true
    }

    /// What that phase of that bar would do; none where no bar does anything.
    fn plan(
        &self,
        _phase: Phase,
        _instrument: InstrumentId,
        _bar: &Bar,
        _interval: Millis,
    ) -> Result<Option<Plan>, VenueError> {
        Ok(None)
    }

    /// Makes a plan so where there is no store to wait for; none, and nothing done, where there is.
    fn apply_at_once(&mut self, _plan: &mut Plan) -> Option<PhaseOutcome> {
        None
    }

    /// Makes a plan so.
    async fn apply(&mut self, _plan: Plan) -> Result<PhaseOutcome, VenueError> {
        Ok(PhaseOutcome::default())
    }

    /// Where the feed stands after a restart: the open time of the last bar that was taken in, and its close.
    fn resume(&mut self, _instrument: InstrumentId, _last_bar: Timestamp, _close: Price) {}

    /// Ends it.
    async fn close(self) -> Result<(), VenueError>
    where
        Self: Sized,
    {
        Ok(())
    }
}

impl DrivenVenue for PaperVenue {
    #[inline]
    fn clock(&self) -> Option<Timestamp> {
        None
    }

    #[inline]
    fn place_at_once(&mut self, request: &OrderRequest, now: Timestamp) -> Option<PlaceOutcome> {
        Self::place_at_once(self, request, now)
    }

    #[inline]
    fn quiet_bar(&mut self, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        Self::quiet_bar(self, instrument, bar, interval)
    }

    #[inline]
    fn quiet(&mut self, phase: Phase, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        Self::quiet(self, phase, instrument, bar, interval)
    }

    fn plan(
        &self,
        phase: Phase,
        instrument: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<Option<Plan>, VenueError> {
        let plan = match phase {
            Phase::Open => self.plan_open(instrument, bar, interval),
            Phase::Range => self.plan_range(instrument, bar, interval),
        };
        Ok(Some(plan?))
    }

    fn apply_at_once(&mut self, plan: &mut Plan) -> Option<PhaseOutcome> {
        Self::apply_at_once(self, plan)
    }

    async fn apply(&mut self, plan: Plan) -> Result<PhaseOutcome, VenueError> {
        Ok(Self::apply(self, plan).await?)
    }

    fn resume(&mut self, instrument: InstrumentId, last_bar: Timestamp, close: Price) {
        Self::resume(self, instrument, last_bar, close);
    }

    async fn close(self) -> Result<(), VenueError> {
        Ok(Self::close(self).await?)
    }
}
