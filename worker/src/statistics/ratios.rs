//! Ratios of returns, as they are defined in the field, and the edge between exact money and floats.

#![expect(clippy::float_arithmetic, reason = "ratios are floats by nature; no money follows from them")]

use tradewind_core::money::Cash;
use tradewind_core::time::{DAY_MS, Millis};

/// Days in a year; crypto trades on all of them.
const YEAR_DAYS: f64 = 365.0;

/// A deviation below this is the error of floats, not risk.
const NO_DEVIATION: f64 = 1e-12;

/// Sharpe ratio of daily returns, risk-free rate 0: mean / sample standard deviation (n - 1) * sqrt(365). None for fewer
/// than two days, or when all returns are equal.
pub fn sharpe(daily_returns: &[f64]) -> Option<f64> {
    if daily_returns.len() < 2 {
        return None;
    }
    let count = count(daily_returns.len());
    let mean = daily_returns.iter().sum::<f64>() / count;
    let squares = daily_returns.iter().map(|r| (r - mean) * (r - mean)).sum::<f64>();
    annual(mean, (squares / (count - 1.0)).sqrt())
}

/// Sortino ratio of daily returns, target 0: mean / downside deviation * sqrt(365), where the downside deviation is the
/// root of the mean, over all days, of the squares of the negative returns. None for no days, or without a losing day.
pub fn sortino(daily_returns: &[f64]) -> Option<f64> {
    if daily_returns.is_empty() {
        return None;
    }
    let count = count(daily_returns.len());
    let mean = daily_returns.iter().sum::<f64>() / count;
    let squares = daily_returns.iter().map(|r| r.min(0.0) * r.min(0.0)).sum::<f64>();
    annual(mean, (squares / count).sqrt())
}

/// Compound annual growth rate: (last / first)^(365 / days) - 1. None for less than a day, or when money was never
/// there or nothing is left.
pub fn cagr(first: Cash, last: Cash, span: Millis) -> Option<f64> {
    if span.0 < DAY_MS || first.0 <= 0 || last.0 <= 0 {
        return None;
    }
    let days = millis(span) / millis(Millis(DAY_MS));
    let rate = (float(last) / float(first)).powf(YEAR_DAYS / days) - 1.0;
    rate.is_finite().then_some(rate)
}

fn annual(mean: f64, deviation: f64) -> Option<f64> {
    let ratio = mean / deviation * YEAR_DAYS.sqrt();
    (deviation > NO_DEVIATION && ratio.is_finite()).then_some(ratio)
}

/// The change from `first` to `last` as a share of `first`; the difference is taken exactly. None when `first` is not
/// positive.
pub(super) fn change(first: Cash, last: Cash) -> Option<f64> {
    if first.0 <= 0 {
        return None;
    }
    Some(float(Cash(last.0.checked_sub(first.0)?)) / float(first))
}

/// `part / whole` of two amounts; none when `whole` is zero.
pub(super) fn ratio(part: Cash, whole: Cash) -> Option<f64> {
    (whole.0 != 0).then(|| float(part) / float(whole))
}

/// `part / whole` of two counts; none when `whole` is zero.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

/// Six decimals: more is noise, and zero has no sign.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6 + 0.0
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than a float's digits")]
fn float(cash: Cash) -> f64 {
    cash.0 as f64
}

#[expect(clippy::cast_precision_loss, reason = "days far below 2^52")]
fn count(days: usize) -> f64 {
    days as f64
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of centuries are below 2^52")]
fn millis(span: Millis) -> f64 {
    span.0 as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(got: Option<f64>, wanted: f64) {
        let got = got.unwrap();
        assert!((got - wanted).abs() < 1e-6, "{got} instead of {wanted}");
    }

    #[test]
    fn sharpe_is_the_hand_computed_one() {
        // Returns 1 %, -2 %, 3 %, 2 %: mean 0.01; deviations 0, -0.03, 0.02, 0.01; squares 0 + 9e-4 + 4e-4 + 1e-4 =
        // 1.4e-3; / 3 = 4.6666667e-4; root 0.021602469; 0.01 / 0.021602469 = 0.46291005; * 19.10497317 = 8.84388412.
        close(sharpe(&[0.01, -0.02, 0.03, 0.02]), 8.843_884);
    }

    #[test]
    fn sortino_is_the_hand_computed_one() {
        // Same returns: downside squares 4e-4 over all four days = 1e-4; root 0.01; 0.01 / 0.01 = 1; * 19.10497317.
        close(sortino(&[0.01, -0.02, 0.03, 0.02]), 19.104_973);
    }

    #[test]
    fn ratios_without_a_meaning_are_none() {
        assert_eq!(sharpe(&[]), None);
        assert_eq!(sharpe(&[0.01]), None);
        assert_eq!(sharpe(&[0.01, 0.01, 0.01]), None, "no deviation");
        assert_eq!(sharpe(&[0.0, 0.0]), None);
        assert_eq!(sortino(&[]), None);
        assert_eq!(sortino(&[0.01, 0.0, 0.02]), None, "no losing day");
        let cash = |text| Cash::parse(text).unwrap();
        assert_eq!(cagr(cash("100"), cash("110"), Millis(DAY_MS - 1)), None);
        assert_eq!(cagr(cash("0"), cash("110"), Millis(DAY_MS)), None);
        assert_eq!(cagr(cash("100"), cash("-1"), Millis(DAY_MS)), None);
        assert_eq!(cagr(Cash(1), cash("1000000"), Millis(DAY_MS)), None, "infinite");
        assert_eq!(ratio(cash("1"), Cash::ZERO), None);
        assert_eq!(share(1, 0), None);
        assert_eq!(change(Cash::ZERO, cash("1")), None);
    }

    #[test]
    fn cagr_compounds() {
        let cash = |text| Cash::parse(text).unwrap();
        // Doubled in a year; 10 % in half a year (182.5 days) is 1.1^2 - 1; halved in two years is sqrt(0.5) - 1.
        close(cagr(cash("100"), cash("200"), Millis(365 * DAY_MS)), 1.0);
        close(cagr(cash("100"), cash("110"), Millis(365 * DAY_MS / 2)), 0.21);
        close(cagr(cash("100"), cash("50"), Millis(730 * DAY_MS)), -0.292_893_2);
    }

    #[test]
    fn rounding_keeps_six_decimals_and_no_negative_zero() {
        assert!((rounded(0.123_456_78) - 0.123_457).abs() < 1e-12);
        assert!(rounded(-0.000_000_1).is_sign_positive());
    }

    proptest! {
        #[test]
        fn no_series_of_returns_gives_nan_or_infinity(returns in proptest::collection::vec(-1.0_f64..10.0, 0..20)) {
            prop_assert!(sharpe(&returns).is_none_or(f64::is_finite));
            prop_assert!(sortino(&returns).is_none_or(f64::is_finite));
        }
    }
}
