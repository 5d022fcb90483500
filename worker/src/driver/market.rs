//! Bars on their way through the venue and the engine.

use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::order::OrderUpdate;
use tradewind_core::time::Millis;
use tradewind_ledger::Ledger;
use tradewind_venues::driven::DrivenVenue;
use tradewind_venues::paper::Phase;

use super::{Driver, DriverError, Observer};

/// Decisions that may wait for the next commit: they are worth less than a sync of the disk each.
const DECISIONS_A_COMMIT: usize = 512;

impl<L: Ledger, V: DrivenVenue, O: Observer> Driver<L, V, O> {
    /// The bars that close at one time, of one interval: first the venue trades on them, then the engine sees them.
    #[inline]
    pub async fn on_bars(
        &mut self,
        bars: &[(InstrumentId, Bar)],
        interval: Millis,
    ) -> Result<(), DriverError> {
        if self.on_quiet_bars(bars, interval) { Ok(()) } else { self.finish_bars(bars, interval).await }
    }

    /// As [`Self::on_bars`], as far as it goes without ledger and venue; false when [`Self::finish_bars`] must go on with
    /// the same bars.
    #[inline]
    pub fn on_quiet_bars(&mut self, bars: &[(InstrumentId, Bar)], interval: Millis) -> bool {
        // Several bars pass through the venue phase by phase before the engine sees any of them.
        let [(id, bar)] = bars else { return false };
        if self.unsure || !self.venue.quiet_bar(*id, bar, interval) {
            return false;
        }
        self.step_bar(bar.close_time(interval), *id, bar);
        let done = self.is_quiet() && self.journal.waiting() < DECISIONS_A_COMMIT;
        self.told = usize::from(!done);
        done
    }

    /// Does what [`Self::on_quiet_bars`] left to do.
    pub async fn finish_bars(
        &mut self,
        bars: &[(InstrumentId, Bar)],
        interval: Millis,
    ) -> Result<(), DriverError> {
        let mut told = std::mem::take(&mut self.told);
        if told == 0 {
            if self.unsure {
                self.resolve_unknown().await?;
            }
            self.trade_phases(bars, interval).await?;
        }
        self.act().await?;
        while let Some(rest) = bars.get(told..).filter(|rest| !rest.is_empty()) {
            told += self.tell_bars(rest, interval);
            self.act().await?;
        }
        if self.journal.waiting() >= DECISIONS_A_COMMIT {
            self.flush().await?;
        }
        Ok(())
    }

    async fn trade_phases(
        &mut self,
        bars: &[(InstrumentId, Bar)],
        interval: Millis,
    ) -> Result<(), DriverError> {
        for phase in [Phase::Open, Phase::Range] {
            for (id, bar) in bars {
                if !self.venue.quiet(phase, *id, bar, interval) {
                    self.trade(phase, *id, bar, interval).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells the engine bars until something waits to be done; returns how many were told.
    fn tell_bars(&mut self, bars: &[(InstrumentId, Bar)], interval: Millis) -> usize {
        for (index, (instrument, bar)) in bars.iter().enumerate() {
            self.step_bar(bar.close_time(interval), *instrument, bar);
            if !self.is_quiet() {
                return index + 1;
            }
        }
        bars.len()
    }

    /// One phase of one bar at the venue. What the engine has said so far is durable before the venue's book changes, so
    /// that after a crash the venue is never ahead by more than what its fills tell.
    async fn trade(
        &mut self,
        phase: Phase,
        id: InstrumentId,
        bar: &Bar,
        interval: Millis,
    ) -> Result<(), DriverError> {
        let Some(mut plan) = self.venue.plan(phase, id, bar, interval)? else { return Ok(()) };
        if !plan.is_empty() && !self.forget() {
            self.flush().await?;
        }
        let outcome = match self.venue.apply_at_once(&mut plan) {
            Some(outcome) => outcome,
            None => self.venue.apply(plan).await?,
        };
        for fill in &outcome.fills {
            self.journal.count_fill();
            self.step_fill(fill);
        }
        for order in outcome.expired {
            self.tell(order.client_order_id, OrderUpdate::Expired { executed: order.executed });
        }
        if self.is_quiet() { Ok(()) } else { self.act().await }
    }
}
