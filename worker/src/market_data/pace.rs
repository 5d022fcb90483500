//! How long to wait for the next bar of a replay. Pure: the caller measures the time that has passed.

use tradewind_core::config::Speed;
use tradewind_core::time::{Millis, Timestamp};

/// When recorded time is due in real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    speed: Speed,
    start: Timestamp,
}

impl Pace {
    /// A replay in which recorded time `start` happens at the moment the caller counts from.
    pub fn new(speed: Speed, start: Timestamp) -> Self {
        Self { speed, start }
    }

    /// How long to wait until recorded time `at` (for a bar, its close time), `elapsed` after the start. Zero when it is
    /// due; never negative. Rounded up to a whole millisecond, so that nothing is told before its time.
    pub fn wait(&self, at: Timestamp, elapsed: Millis) -> Millis {
        let Some(factor) = self.factor() else { return Millis(0) };
        let ahead = at.since(self.start).0.max(0);
        let due = ahead / factor + i64::from(ahead % factor != 0);
        Millis(due.saturating_sub(elapsed.0.max(0)).max(0))
    }

    /// The recorded time that has been reached `elapsed` after the start; None at [`Speed::Max`], where recorded time
    /// passes with the bars alone.
    pub fn market_time(&self, elapsed: Millis) -> Option<Timestamp> {
        let passed = elapsed.0.max(0).saturating_mul(self.factor()?);
        Some(self.start.plus(Millis(passed)))
    }

    fn factor(&self) -> Option<i64> {
        match self.speed {
            Speed::RealTime => Some(1),
            Speed::Times(factor) => Some(i64::from(factor.max(1))),
            Speed::Max => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp(1_713_484_800_000);
    const HOUR: i64 = 3_600_000;

    fn wait(speed: Speed, after: i64, elapsed: i64) -> i64 {
        Pace::new(speed, START).wait(START.plus(Millis(after)), Millis(elapsed)).0
    }

    #[test]
    fn an_hour_takes_an_hour_in_real_time_and_six_seconds_at_600_times() {
        assert_eq!(wait(Speed::RealTime, HOUR, 0), HOUR);
        assert_eq!(wait(Speed::RealTime, HOUR, 1_000_000), 2_600_000);
        assert_eq!(wait(Speed::Times(600), HOUR, 0), 6_000);
        assert_eq!(wait(Speed::Times(600), 10 * HOUR, 6_000), 54_000);
        assert_eq!(wait(Speed::Max, HOUR, 0), 0);
    }

    #[test]
    fn what_is_due_or_late_is_not_waited_for() {
        assert_eq!(wait(Speed::Times(600), HOUR, 6_000), 0);
        assert_eq!(wait(Speed::Times(600), HOUR, 9_000), 0);
        assert_eq!(wait(Speed::RealTime, -HOUR, 0), 0);
    }

    #[test]
    fn part_of_a_millisecond_is_waited_for_in_full() {
        assert_eq!(wait(Speed::Times(7), 1, 0), 1);
        assert_eq!(wait(Speed::Times(7), 15, 0), 3);
    }

    #[test]
    fn a_clock_that_steps_back_counts_as_the_start() {
        assert_eq!(wait(Speed::RealTime, HOUR, -5_000), HOUR);
        assert_eq!(Pace::new(Speed::RealTime, START).market_time(Millis(-5)), Some(START));
    }

    proptest! {
        #[test]
        fn after_the_wait_its_time_has_come(factor in 1_u32..100_000, after in 0_i64..100 * HOUR, elapsed in 0_i64..HOUR) {
            let pace = Pace::new(Speed::Times(factor), START);
            let at = START.plus(Millis(after));
            let wait = pace.wait(at, Millis(elapsed));
            prop_assert!(pace.market_time(Millis(elapsed + wait.0)).unwrap() >= at);
            if wait.0 > 0 {
                prop_assert!(pace.market_time(Millis(elapsed + wait.0 - 1)).unwrap() < at);
            }
        }
    }
}
