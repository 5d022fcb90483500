//! Recorded bars for a desk whose orders go to an exchange of a test's own: its market is not asked for.
//!
//! They come at their pace, but none while an order is under way that trades at once or whose outcome is not known: what is
//! decided on a bar is decided knowing what is held. Decisions and orders have the time of the clock, not of the bars, for
//! that is what the exchange goes by.

use std::time::Instant;

use tradewind_core::config::Speed;
use tradewind_core::time::Millis;

use super::survived;
use crate::assembly::Assembly;
use crate::commands::CommandError;
use crate::feed::{Feed, Grouped};
use crate::market_data::{Bounds, CandleReader, Pace};
use crate::session::{Group, Running, report_quality, rewind};

/// Bars, and when the next is due.
pub(super) struct Recording {
    feed: Grouped<CandleReader>,
    next: Option<Group>,
    interval: Millis,
    pace: Option<Pace>,
    /// When the first bar was asked for.
    begun: Option<Instant>,
    /// That they have ended was told.
    end_told: bool,
}

impl Recording {
    /// The bars of the assembly behind those the ledger knows of; the indicators are filled with those.
    pub(super) fn open(
        driver: &mut Running,
        assembly: &Assembly,
        speed: Speed,
    ) -> Result<Self, CommandError> {
        let interval = assembly.data.bar();
        let mut feed = Grouped::new(assembly.merge(Bounds::default())?, interval);
        rewind(driver, assembly, &mut feed)?;
        let mut group = Vec::new();
        let next = feed.next_group(&mut group).then_some(group);
        let first = next.as_ref().and_then(|group| group.first());
        let pace = first.map(|(_, bar)| Pace::new(speed, bar.open_time));
        Ok(Self { feed, next, interval, pace, begun: None, end_told: false })
    }

    /// Whether the next bars are due.
    pub(super) fn is_due(&mut self) -> bool {
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let elapsed = Millis::from(begun.elapsed());
        let first = self.next.as_ref().and_then(|group| group.first());
        let due = first.map(|(_, bar)| bar.close_time(self.interval));
        due.zip(self.pace).is_some_and(|(due, pace)| pace.wait(due, elapsed).0 == 0)
    }

    /// Tells the next bar. One that could not be told, since the venue did not answer before it, is told the next time.
    pub(super) async fn tell(&mut self, driver: &mut Running) -> Result<(), CommandError> {
        let Some((id, bar)) = self.next.as_ref().and_then(|group| group.first()).copied() else {
            return Ok(());
        };
        let told = driver.on_bars(&[(id, bar)], self.interval).await;
        if driver.state.last_bar(id) >= Some(bar.open_time) {
            driver.observer.totals_mut().bars += 1;
            self.take_off();
        }
        survived(told)?;
        driver.flush().await?;
        report_quality(driver, &mut self.feed);
        Ok(())
    }

    /// The first bar has been told.
    fn take_off(&mut self) {
        let Some(mut group) = self.next.take() else { return };
        if group.len() > 1 {
            group.remove(0);
            self.next = Some(group);
        } else {
            self.next = self.feed.next_group(&mut group).then_some(group);
        }
    }

    /// True once, when the last bar was told.
    pub(super) fn has_just_ended(&mut self) -> bool {
        self.next.is_none() && !std::mem::replace(&mut self.end_told, self.next.is_none())
    }
}
