//! Exact decimals as JSON numbers, and exact ratios of money. No float is involved.

use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use tradewind_core::money::{
    CASH_SCALE, Cash, PERCENT_ONE, Percent, Rounding, format_trimmed, mul_div, parse_fixed,
};
use tradewind_core::time::{Millis, Timestamp};

/// Decimals a ratio is cut to.
const RATIO_SCALE: u8 = 6;

/// A decimal that serializes as a JSON number, digit for digit. Only `serde_json`'s writers keep the digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Units of 10^-scale.
    pub(super) fn fixed(units: i128, scale: u8) -> Self {
        Self(format_trimmed(units, scale))
    }

    /// Decimal text; none when it is no plain decimal.
    pub(crate) fn text(text: &str) -> Option<Self> {
        parse_fixed(text, CASH_SCALE).ok().map(|units| Self::fixed(units, CASH_SCALE))
    }

    /// A percentage as the ratio it stands for: 5 % is 0.05.
    pub(crate) fn ratio_of(percent: Percent) -> Self {
        Self::fixed(i128::from(percent.0), RATIO_SCALE)
    }

    /// `part` of `whole` as percent, rounded down to four decimals; none when `whole` is not positive.
    pub(super) fn percent_of(part: Cash, whole: Cash) -> Option<Self> {
        (whole > Cash::ZERO).then(|| part.percent_of(whole).into())
    }

    /// `part / whole`, rounded down to six decimals; none when `whole` is not positive.
    pub(super) fn ratio(part: i128, whole: i128) -> Option<Self> {
        let units = (whole > 0).then(|| mul_div(part, i128::from(PERCENT_ONE), whole, Rounding::Down))?;
        units.ok().map(|units| Self::fixed(units, RATIO_SCALE))
    }
}

impl From<Cash> for Number {
    fn from(cash: Cash) -> Self {
        Self::fixed(cash.0, CASH_SCALE)
    }
}

/// As a percentage: 5 % is 5.
impl From<Percent> for Number {
    fn from(percent: Percent) -> Self {
        Self::fixed(i128::from(percent.0), 4)
    }
}

/// As seconds.
impl From<Millis> for Number {
    fn from(span: Millis) -> Self {
        Self::fixed(i128::from(span.0), 3)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.clone()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// RFC 3339 in UTC; none for a time no calendar has.
pub(super) fn rfc3339(at: Timestamp) -> Option<String> {
    jiff::Timestamp::from_millisecond(at.0).ok().map(|at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(number: impl Serialize) -> String {
        serde_json::to_string(&number).unwrap()
    }

    #[test]
    fn a_sum_that_floats_get_wrong_is_written_exactly() {
        let sum = Cash::parse("0.1").unwrap().checked_add(Cash::parse("0.2").unwrap()).unwrap();
        assert_eq!(json(Number::from(sum)), "0.3");
        // Nineteen significant digits and more than an f64 or an i64 can hold.
        for exact in ["12345678901234567890.123456789012345678", "-0.000000000000000001", "9007199254740993"]
        {
            assert_eq!(json(Number::from(Cash::parse(exact).unwrap())), exact);
            assert_eq!(json(Number::text(exact)), exact);
        }
        assert_eq!(json(Number::from(Cash(i128::MIN))), "-170141183460469231731.687303715884105728");
    }

    #[test]
    fn what_is_no_decimal_is_null_and_never_reaches_the_json() {
        for junk in ["", "1e5", "NaN", "\"", "1,2", "0x10", "null", "[1]", "1}"] {
            assert_eq!(json(Number::text(junk)), "null", "{junk}");
        }
        assert_eq!(json(Number::text("007.50")), "7.5");
    }

    #[test]
    fn percents_ratios_and_spans_have_their_units() {
        assert_eq!(json(Number::from(Percent(25_000))), "2.5");
        assert_eq!(json(Number::ratio_of(Percent(725_000))), "0.725");
        assert_eq!(json(Number::from(Millis(90_500))), "90.5");
        assert_eq!(json(Number::ratio(2, 3)), "0.666666");
        assert_eq!(json(Number::ratio(1, 0)), "null");
        assert_eq!(json(Number::percent_of(Cash(-1), Cash(3))), "-33.3334");
        assert_eq!(json(Number::percent_of(Cash(1), Cash(0))), "null");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Timestamp(0)).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(Timestamp(1_709_164_800_250)).as_deref(), Some("2024-02-29T00:00:00.25Z"));
        assert_eq!(rfc3339(Timestamp(i64::MAX)), None);
    }
}
