//! The venue's clock, as far as we know it. A request is only signed with a time that the venue will find right.

use tradewind_core::time::{Millis, Timestamp};

/// The most an estimate may be wrong by; half the time its measuring took. Also what is told as
/// [`tradewind_core::protocol::VenueTerms::clock_skew`].
pub const MAX_ERROR: Millis = Millis(500);
/// The most our clock may differ from the venue's. The difference is corrected; more of it is a broken clock, and all
/// times we record would be wrong.
pub const MAX_OFFSET: Millis = Millis(5_000);
/// An estimate is renewed after this time.
pub(super) const REFRESH_AFTER: Millis = Millis(600_000);
/// An estimate older than this is none.
pub(super) const FORGET_AFTER: Millis = Millis(1_800_000);

/// Why no time can be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Never asked, or too long ago.
    #[error("the venue's clock is not known yet; nothing is signed before the venue has told its time")]
    Unknown,
    /// The answers took too long.
    #[error(
        "the venue's time is known to {} ms only, at most {} ms are allowed; its answers take too long", .error.0, MAX_ERROR.0
    )]
    Vague {
        /// How wrong it may be.
        error: Millis,
    },
    /// Ours, or theirs, is wrong.
    #[error(
        "this machine's clock differs from the venue's by {} ms, at most {} ms are allowed; set it, and keep it right with NTP", .offset.0, MAX_OFFSET.0
    )]
    TooFarOff {
        /// Venue's time less ours.
        offset: Millis,
    },
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    offset: Millis,
    error: Millis,
    at: Timestamp,
}

/// What is known of the venue's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct VenueClock {
    estimate: Option<Estimate>,
    /// The venue called a timestamp of ours wrong: the estimate is not to be used before it was renewed.
    doubted: bool,
}

impl VenueClock {
    /// Takes in an answer: when it was asked for and when it came, by our clock, and what it says. The venue read its
    /// clock at some time between.
    pub fn observe(&mut self, asked: Timestamp, answered: Timestamp, venue: Timestamp) {
        let round_trip = answered.since(asked).0;
        if round_trip < 0 {
            // Our clock was set back in between: nothing can be concluded.
            self.estimate = None;
            return;
        }
        let error = Millis(round_trip / 2 + round_trip % 2);
        let middle = asked.plus(Millis(round_trip / 2));
        self.estimate = Some(Estimate { offset: venue.since(middle), error, at: answered });
        self.doubted = false;
    }

    /// The venue's time less ours, as it was last measured.
    pub fn offset(&self) -> Option<Millis> {
        self.estimate.map(|estimate| estimate.offset)
    }

    /// The venue called a timestamp of ours wrong.
    pub fn doubt(&mut self) {
        self.doubted = true;
    }

    /// Whether the venue should be asked for its time.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.doubted
            || self.estimate.is_none_or(|estimate| {
                estimate.error > MAX_ERROR || !(0..REFRESH_AFTER.0).contains(&now.since(estimate.at).0)
            })
    }

    /// The venue's time when it is `now` here, to sign with.
    pub fn venue_time(&self, now: Timestamp) -> Result<Timestamp, ClockError> {
        self.venue_time_of(now, now)
    }

    /// The venue's time of when it was `at` here, as far as is known when it is `now`.
    pub fn venue_time_of(&self, at: Timestamp, now: Timestamp) -> Result<Timestamp, ClockError> {
        let estimate = self.estimate.filter(|_| !self.doubted).ok_or(ClockError::Unknown)?;
        let age = now.since(estimate.at).0;
        // An age below zero: our clock was set back since.
        if !(0..FORGET_AFTER.0).contains(&age) {
            return Err(ClockError::Unknown);
        }
        if estimate.error > MAX_ERROR {
            return Err(ClockError::Vague { error: estimate.error });
        }
        if estimate.offset.0.unsigned_abs() > MAX_OFFSET.0.unsigned_abs() {
            return Err(ClockError::TooFarOff { offset: estimate.offset });
        }
        Ok(at.plus(estimate.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(asked: i64, answered: i64, venue: i64) -> VenueClock {
        let mut clock = VenueClock::default();
        clock.observe(Timestamp(asked), Timestamp(answered), Timestamp(venue));
        clock
    }

    #[test]
    fn the_offset_is_taken_from_the_middle_of_the_round_trip() {
        // Asked at 1000, answered at 1100: the venue said 3050 at about 1050.
        let clock = asked(1_000, 1_100, 3_050);
        assert_eq!(clock.venue_time(Timestamp(1_200)), Ok(Timestamp(3_200)));
    }

    #[test]
    fn nothing_is_signed_without_a_good_estimate() {
        let unknown = Err(ClockError::Unknown);
        assert_eq!(VenueClock::default().venue_time(Timestamp(0)), unknown);
        assert_eq!(
            asked(0, 1_002, 501).venue_time(Timestamp(1_002)),
            Err(ClockError::Vague { error: Millis(501) })
        );
        assert!(asked(0, 1_000, 500).venue_time(Timestamp(1_000)).is_ok());
        for (venue, offset) in [(5_001, 5_001), (-5_001, -5_001)] {
            let refused = asked(0, 0, venue).venue_time(Timestamp(0));
            assert_eq!(refused, Err(ClockError::TooFarOff { offset: Millis(offset) }));
        }
        assert_eq!(asked(0, 0, 5_000).venue_time(Timestamp(0)), Ok(Timestamp(5_000)));

        let clock = asked(1_000, 1_000, 1_000);
        assert!(clock.venue_time(Timestamp(1_000 + FORGET_AFTER.0 - 1)).is_ok());
        assert_eq!(clock.venue_time(Timestamp(1_000 + FORGET_AFTER.0)), unknown);
        assert_eq!(clock.venue_time(Timestamp(999)), unknown, "our clock was set back");
        assert_eq!(asked(1_000, 999, 1_000).venue_time(Timestamp(1_000)), unknown);
    }

    #[test]
    fn a_doubted_clock_is_asked_again_before_anything_is_signed() {
        let mut clock = asked(0, 0, 0);
        assert!(!clock.is_due(Timestamp(REFRESH_AFTER.0 - 1)));
        assert!(clock.is_due(REFRESH_AFTER_AS_TIME));
        clock.doubt();
        assert!(clock.is_due(Timestamp(1)));
        assert_eq!(clock.venue_time(Timestamp(1)), Err(ClockError::Unknown));
        clock.observe(Timestamp(1), Timestamp(1), Timestamp(2_000));
        assert_eq!(clock.venue_time(Timestamp(1)), Ok(Timestamp(2_000)));
    }

    const REFRESH_AFTER_AS_TIME: Timestamp = Timestamp(REFRESH_AFTER.0);
}
