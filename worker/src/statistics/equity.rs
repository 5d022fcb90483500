//! Equity over time: return, growth, Sharpe, Sortino and the deepest fall, from samples as they come.

use serde::{Serialize, Serializer};
use tradewind_core::money::Cash;
use tradewind_core::time::{DAY_MS, Millis, Timestamp};

use super::ratios::{cagr, change, ratio, rounded, sharpe, sortino};

/// When the deepest fall began, was deepest, and was made good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawdownDates {
    /// The last sample at the peak before it.
    #[serde(serialize_with = "as_rfc3339")]
    pub peak: Timestamp,
    /// The first sample at its lowest.
    #[serde(serialize_with = "as_rfc3339")]
    pub trough: Timestamp,
    /// The first sample at the peak's equity or above after it; none when it was not reached again.
    #[serde(serialize_with = "as_rfc3339_or_null")]
    pub recovery: Option<Timestamp>,
}

/// What a series of equity amounts to. Ratios are shares (0.05 is 5 %).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EquityFigures {
    /// Of the run.
    #[serde(serialize_with = "as_rfc3339")]
    pub start: Timestamp,
    /// The last sample's time.
    #[serde(serialize_with = "as_rfc3339")]
    pub end: Timestamp,
    /// Equity at the start.
    pub initial_equity: Cash,
    /// Equity of the last sample.
    pub final_equity: Cash,
    /// Change of equity as a share of the initial one.
    pub total_return: Option<f64>,
    /// Compound annual growth rate over 365 days.
    pub cagr: Option<f64>,
    /// Of daily returns, a year of 365 days, risk-free rate 0.
    pub sharpe: Option<f64>,
    /// Of daily returns, a year of 365 days, target 0.
    pub sortino: Option<f64>,
    /// The deepest fall from a peak as a share of that peak; 0 when equity never fell.
    pub max_drawdown: Option<f64>,
    /// When that was; none when equity never fell.
    pub max_drawdown_dates: Option<DrawdownDates>,
}

/// Gathers equity as it comes; keeps one number a UTC day.
///
/// A UTC day's equity is its last sample; a sample at midnight is the end of the day before, because the bar that closes
/// then belongs to it. A day without samples ends as the day before it did. Times do not go back; a sample that does
/// counts as one of the current day.
#[derive(Debug, Clone)]
pub struct EquityTracker {
    start: Timestamp,
    end: Timestamp,
    initial: Cash,
    last: Cash,
    /// End of the current UTC day: a later sample begins another one.
    day_end: Timestamp,
    /// Equity at the end of each day that is over.
    days: Vec<Cash>,
    peak: Cash,
    peak_at: Timestamp,
    trough: Cash,
    trough_at: Timestamp,
    worst: Option<Fall>,
}

/// A fall and what it began from.
#[derive(Debug, Clone, Copy)]
struct Fall {
    share: f64,
    dates: DrawdownDates,
}

impl EquityTracker {
    /// A book that starts with `initial` at `start`.
    pub fn new(start: Timestamp, initial: Cash) -> Self {
        Self {
            start,
            end: start,
            initial,
            last: initial,
            day_end: end_of(start.day()),
            days: Vec::new(),
            peak: initial,
            peak_at: start,
            trough: initial,
            trough_at: start,
            worst: None,
        }
    }

    /// Equity at a time.
    #[inline]
    pub fn push(&mut self, at: Timestamp, equity: Cash) {
        if at > self.day_end {
            self.end_days(at);
        }
        self.end = self.end.max(at);
        self.last = equity;
        if equity >= self.peak {
            self.close_fall(Some(at));
            (self.peak, self.peak_at) = (equity, at);
            (self.trough, self.trough_at) = (equity, at);
        } else if equity < self.trough {
            (self.trough, self.trough_at) = (equity, at);
        }
    }

    /// Every day before that of `at` is over and ended as it stands.
    #[cold]
    fn end_days(&mut self, at: Timestamp) {
        let end = end_of(at.plus(Millis(-1)).day());
        while self.day_end < end {
            self.days.push(self.last);
            self.day_end = self.day_end.plus(Millis(DAY_MS));
        }
    }

    /// Equity of the last sample.
    pub fn last(&self) -> Cash {
        self.last
    }

    /// The returns of all UTC days, the current one up to its last sample. A day that began without money has none.
    pub fn daily_returns(&self) -> Vec<f64> {
        let ends = || self.days.iter().copied().chain([self.last]);
        let starts = [self.initial].into_iter().chain(ends());
        starts.zip(ends()).filter_map(|(before, after)| change(before, after)).collect()
    }

    /// What it amounts to up to the last sample.
    pub fn figures(&self) -> EquityFigures {
        let returns = self.daily_returns();
        let mut falls = self.clone();
        falls.close_fall(None);
        let span = self.end.since(self.start);
        EquityFigures {
            start: self.start,
            end: self.end,
            initial_equity: self.initial,
            final_equity: self.last,
            total_return: change(self.initial, self.last).map(rounded),
            cagr: cagr(self.initial, self.last, span).map(rounded),
            sharpe: sharpe(&returns).map(rounded),
            sortino: sortino(&returns).map(rounded),
            max_drawdown: (self.initial.0 > 0).then(|| rounded(falls.worst.map_or(0.0, |fall| fall.share))),
            max_drawdown_dates: falls.worst.map(|fall| fall.dates),
        }
    }

    /// Ends the fall from the current peak and keeps it if it is the deepest. Of two equally deep ones the first stays.
    #[inline]
    fn close_fall(&mut self, recovery: Option<Timestamp>) {
        if self.trough < self.peak {
            self.keep_fall(recovery);
        }
    }

    fn keep_fall(&mut self, recovery: Option<Timestamp>) {
        let depth = Cash(self.peak.0.saturating_sub(self.trough.0));
        let Some(share) = ratio(depth, self.peak).filter(|_| self.peak.0 > 0) else { return };
        if self.worst.is_none_or(|worst| share > worst.share) {
            let dates = DrawdownDates { peak: self.peak_at, trough: self.trough_at, recovery };
            self.worst = Some(Fall { share, dates });
        }
    }
}

/// When that UTC day ends.
fn end_of(day: i64) -> Timestamp {
    Timestamp(day.saturating_add(1).saturating_mul(DAY_MS))
}

/// RFC 3339 in UTC; a time out of the calendar as its milliseconds.
pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn as_rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

#[expect(clippy::ref_option, reason = "serde passes references")]
fn as_rfc3339_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(rfc3339).serialize(serializer)
}

#[cfg(test)]
#[expect(clippy::float_arithmetic, reason = "returns are floats by nature")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2024-04-19T00:00Z.
    const START: Timestamp = Timestamp(1_713_484_800_000);
    const HOUR: i64 = 3_600_000;

    fn at(hours: i64) -> Timestamp {
        START.plus(Millis(hours * HOUR))
    }

    fn track(initial: &str, samples: &[(i64, &str)]) -> EquityTracker {
        let mut tracker = EquityTracker::new(START, Cash::parse(initial).unwrap());
        for (hours, equity) in samples {
            tracker.push(at(*hours), Cash::parse(equity).unwrap());
        }
        tracker
    }

    fn assert_returns(tracker: &EquityTracker, wanted: &[f64]) {
        let got = tracker.daily_returns();
        assert_eq!(got.len(), wanted.len(), "{got:?}");
        assert!(got.iter().zip(wanted).all(|(got, wanted)| (got - wanted).abs() < 1e-15), "{got:?}");
    }

    #[test]
    fn a_utc_day_ends_with_the_sample_at_midnight() {
        let tracker = track(
            "1000",
            &[(1, "1005"), (24, "1010"), (25, "1015"), (48, "989.8"), (49, "989.9"), (60, "1019.494")],
        );
        assert_returns(&tracker, &[0.01, -0.02, 0.03]);
    }

    #[test]
    fn a_day_without_samples_ends_as_the_day_before() {
        let tracker = track("1000", &[(1, "1010"), (73, "1020.1")]);
        assert_returns(&tracker, &[0.01, 0.0, 0.0, 0.01]);
    }

    #[test]
    fn sharpe_and_sortino_follow_from_daily_equity() {
        // Ends of days 1010, 989.8, 1019.494, 1039.88388: returns 1 %, -2 %, 3 %, 2 %; worked out by hand in `ratios`.
        let tracker = track("1000", &[(12, "1010"), (36, "989.8"), (60, "1019.494"), (84, "1039.88388")]);
        let figures = tracker.figures();
        assert!((figures.sharpe.unwrap() - 8.843_884).abs() < 1e-6, "{figures:?}");
        assert!((figures.sortino.unwrap() - 19.104_973).abs() < 1e-6, "{figures:?}");
        assert!((figures.total_return.unwrap() - 0.039_884).abs() < 1e-6);
        assert_eq!((figures.start, figures.end), (START, at(84)));
    }

    #[test]
    fn the_deepest_fall_is_measured_from_its_own_peak_with_its_dates() {
        // From 1000: 1100 (peak), 1045 (-5 %), 1100, 1200 (peak, held for an hour), 960 (-20 %), 1000, 1200, 1100 (-8.3 %).
        let samples = [
            (1, "1100"),
            (2, "1045"),
            (3, "1100"),
            (4, "1200"),
            (5, "1200"),
            (6, "1100"),
            (7, "960"),
            (8, "1000"),
        ];
        let mut tracker = track("1000", &samples);
        let open = tracker.figures();
        assert_eq!(open.max_drawdown, Some(0.2));
        assert_eq!(
            open.max_drawdown_dates,
            Some(DrawdownDates { peak: at(5), trough: at(7), recovery: None })
        );
        tracker.push(at(9), Cash::parse("1200").unwrap());
        tracker.push(at(10), Cash::parse("1100").unwrap());
        let closed = tracker.figures();
        assert_eq!(closed.max_drawdown, Some(0.2));
        assert_eq!(
            closed.max_drawdown_dates,
            Some(DrawdownDates { peak: at(5), trough: at(7), recovery: Some(at(9)) })
        );
    }

    #[test]
    fn a_fall_at_once_is_measured_from_the_initial_equity() {
        let figures = track("1000", &[(1, "900"), (2, "950")]).figures();
        assert_eq!(figures.max_drawdown, Some(0.1));
        assert_eq!(
            figures.max_drawdown_dates,
            Some(DrawdownDates { peak: START, trough: at(1), recovery: None })
        );
    }

    #[test]
    fn without_samples_or_money_nothing_is_invented() {
        let none = track("1000", &[]).figures();
        assert_eq!((none.sharpe, none.sortino, none.cagr), (None, None, None));
        assert_eq!(
            (none.total_return, none.max_drawdown, none.max_drawdown_dates),
            (Some(0.0), Some(0.0), None)
        );
        let poor = track("0", &[(30, "0"), (60, "5")]).figures();
        assert_eq!((poor.total_return, poor.cagr, poor.max_drawdown), (None, None, None));
    }

    #[test]
    fn figures_are_written_as_decimal_strings_numbers_and_nulls_in_a_fixed_order() {
        let json = serde_json::to_string(&track("1000", &[(1, "900.5")]).figures()).unwrap();
        assert_eq!(
            json,
            "{\"start\":\"2024-04-19T00:00:00Z\",\"end\":\"2024-04-19T01:00:00Z\",\"initialEquity\":\"1000\",\
             \"finalEquity\":\"900.5\",\"totalReturn\":-0.0995,\"cagr\":null,\"sharpe\":null,\"sortino\":-19.104973,\
             \"maxDrawdown\":0.0995,\"maxDrawdownDates\":{\"peak\":\"2024-04-19T00:00:00Z\",\
             \"trough\":\"2024-04-19T01:00:00Z\",\"recovery\":null}}"
        );
    }

    proptest! {
        #[test]
        fn the_deepest_fall_is_that_of_a_plain_double_loop(equities in proptest::collection::vec(1_i32..1000, 0..60)) {
            let mut tracker = EquityTracker::new(START, Cash(500));
            for (equity, hour) in equities.iter().zip(1..) {
                tracker.push(at(hour), Cash(i128::from(*equity)));
            }
            let all: Vec<i32> = [500].into_iter().chain(equities).collect();
            let mut worst: f64 = 0.0;
            for (i, peak) in all.iter().enumerate() {
                for later in &all[i..] {
                    worst = worst.max(f64::from(peak - later) / f64::from(*peak));
                }
            }
            prop_assert!((tracker.figures().max_drawdown.unwrap() - worst).abs() < 1e-6);
        }

        #[test]
        fn memory_grows_by_a_day_and_not_by_a_sample(samples in 1_i64..2000) {
            let mut tracker = EquityTracker::new(START, Cash(500));
            for minute in 0..samples {
                tracker.push(START.plus(Millis(minute * 60_000)), Cash(500));
            }
            let days = ((samples - 1) * 60_000 - 1).max(0) / DAY_MS;
            prop_assert_eq!(i64::try_from(tracker.days.len()).unwrap(), days);
        }
    }
}
