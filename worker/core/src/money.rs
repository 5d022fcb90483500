//! Exact money: prices, quantities, cash, percents and basis points as checked integers.
//!
//! A [`Price`] and a [`Quantity`] count units of 10^-scale of their instrument (see
//! [`crate::instrument::InstrumentRules`]); [`Cash`] counts units of 10^-18 of one asset, wide enough that price times
//! quantity is always exact. Nothing here rounds silently: each rounding takes a [`Rounding`], and each overflow is an
//! error. No floating-point number is read or produced, but for [`Price::to_f64`], which feeds indicators only.

use std::fmt;

use ethnum::I256;
use serde::{Deserialize, Serialize};

/// Decimal digits of [`Cash`] after the point.
pub const CASH_SCALE: u8 = 18;
/// Largest sum of price digits and quantity digits of an instrument, so that their product is exact in [`Cash`].
pub const MAX_SCALE: u8 = 18;
/// [`Percent`] units in 100 %: four decimals of a percent.
pub const PERCENT_ONE: i64 = 1_000_000;
/// [`BasisPoints`] units in 100 %: four decimals of a basis point.
pub const BPS_ONE: i64 = 100_000_000;

/// What went wrong with a number that stands for money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a plain decimal number.
    #[error("{text:?} is not a decimal number; write it like \"12.5\"")]
    NotDecimal {
        /// What was given.
        text: String,
    },
    /// More decimals than the unit has.
    #[error("{text:?} has more than {scale} decimals; round it to {scale}")]
    TooPrecise {
        /// What was given.
        text: String,
        /// Decimals that are allowed.
        scale: u8,
    },
    /// The value does not fit.
    #[error("{text:?} is too large to be held exactly; use a smaller number")]
    TooLarge {
        /// What was given.
        text: String,
    },
    /// A sum or product does not fit.
    #[error("an amount of money overflowed while computing {what}; no order is made from it")]
    Overflow {
        /// The computation.
        what: &'static str,
    },
    /// Division by zero.
    #[error("division by zero while computing {what}; no order is made from it")]
    DivisionByZero {
        /// The computation.
        what: &'static str,
    },
}

/// How a result between two units is rounded. Always chosen against risk: sizes down, costs and reserves up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
}

/// A price of one unit of the base asset in the quote asset, in units of 10^-`price_scale` of its instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Price(pub i64);

/// An amount of the base asset, in units of 10^-`quantity_scale` of its instrument. Negative only in differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(pub i64);

/// An amount of one asset in units of 10^-18.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cash(pub i128);

/// A percentage in units of a ten-thousandth of a percent (5 % is 50 000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub i64);

/// Hundredths of a percent in units of a ten-thousandth of a basis point (10 bps are 100 000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BasisPoints(pub i64);

impl Price {
    /// The price as the float an indicator takes: the float nearest to the decimal, never used for money.
    #[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "indicator input, not money")]
    #[inline]
    pub fn to_f64(self, scale: u8) -> f64 {
        self.0 as f64 / pow10_f64(scale)
    }
}

#[inline]
fn pow10_f64(scale: u8) -> f64 {
    const POWERS: [f64; 19] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18,
    ];
    POWERS.get(usize::from(scale)).copied().unwrap_or(1e18)
}

impl Quantity {
    /// No quantity at all.
    pub const ZERO: Self = Self(0);

    /// Sum, or an overflow error.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow { what: "a quantity" })
    }

    /// Difference, or an overflow error.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow { what: "a quantity" })
    }
}

impl Cash {
    /// No cash at all.
    pub const ZERO: Self = Self(0);

    /// Reads a decimal of at most 18 decimals.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        parse_fixed(text, CASH_SCALE).map(Self)
    }

    /// Sum, or an overflow error.
    #[inline]
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow { what: "a sum of cash" })
    }

    /// Difference, or an overflow error.
    #[inline]
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow { what: "a difference of cash" })
    }

    /// Sum; the largest amount of that sign if it does not fit.
    #[inline]
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        match self.0.checked_add(other.0) {
            Some(sum) => Self(sum),
            None => Self::bound(other.0 > 0),
        }
    }

    /// Difference; the largest amount of that sign if it does not fit.
    #[inline]
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        match self.0.checked_sub(other.0) {
            Some(difference) => Self(difference),
            None => Self::bound(other.0 < 0),
        }
    }

    /// In a function of its own, lest every sum pay for what hardly ever happens.
    #[cold]
    fn bound(above: bool) -> Self {
        Self(if above { i128::MAX } else { i128::MIN })
    }

    /// The same amount with the other sign.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        self.0.checked_neg().map(Self).ok_or(MoneyError::Overflow { what: "a negation of cash" })
    }

    /// `self * numerator / denominator`, computed in 256 bits and rounded as told.
    pub fn mul_div(self, numerator: i128, denominator: i128, rounding: Rounding) -> Result<Self, MoneyError> {
        mul_div(self.0, numerator, denominator, rounding).map(Self)
    }

    /// That percentage of the amount.
    pub fn percent(self, percent: Percent, rounding: Rounding) -> Result<Self, MoneyError> {
        self.mul_div(i128::from(percent.0), i128::from(PERCENT_ONE), rounding)
    }

    /// That many basis points of the amount.
    pub fn basis_points(self, bps: BasisPoints, rounding: Rounding) -> Result<Self, MoneyError> {
        self.mul_div(i128::from(bps.0), i128::from(BPS_ONE), rounding)
    }

    /// Decimal text rounded half away from zero to `decimals`, for people; the exact text is [`fmt::Display`].
    pub fn to_text(self, decimals: u8) -> String {
        let unit = pow10(CASH_SCALE.saturating_sub(decimals)).unwrap_or(1);
        let half = unit / 2;
        let nudged = if self.0 < 0 { self.0.saturating_sub(half) } else { self.0.saturating_add(half) };
        format_fixed(nudged / unit, decimals)
    }

    /// This amount as percent of `whole`, rounded down; 0 when `whole` is not positive.
    pub fn percent_of(self, whole: Self) -> Percent {
        if whole.0 <= 0 {
            return Percent(0);
        }
        mul_div(self.0, i128::from(PERCENT_ONE), whole.0, Rounding::Down)
            .ok()
            .and_then(|units| i64::try_from(units).ok())
            .map_or(Percent(if self.0 < 0 { i64::MIN } else { i64::MAX }), Percent)
    }
}

impl Percent {
    /// 100 %.
    pub const ONE_HUNDRED: Self = Self(PERCENT_ONE);

    /// Reads a decimal of at most four decimals, `"2.5"` for 2.5 %.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        narrow(parse_fixed(text, 4)?, text).map(Self)
    }
}

impl BasisPoints {
    /// Reads a decimal of at most four decimals, `"2.5"` for 2.5 basis points.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        narrow(parse_fixed(text, 4)?, text).map(Self)
    }
}

/// `value * numerator / denominator` in 256 bits.
pub fn mul_div(
    value: i128,
    numerator: i128,
    denominator: i128,
    rounding: Rounding,
) -> Result<i128, MoneyError> {
    if denominator == 0 {
        return Err(MoneyError::DivisionByZero { what: "a ratio" });
    }
    if value == 0 || numerator == 0 {
        return Ok(0);
    }
    // A limit of 100 %, say: a product and a wide division for nothing.
    if numerator == denominator {
        return Ok(value);
    }
    if let Some(product) = value.checked_mul(numerator) {
        return div_round(product, denominator, rounding);
    }
    let product = I256::from(value) * I256::from(numerator);
    let divisor = I256::from(denominator);
    let quotient = product.div_euclid(divisor);
    let exact = product.rem_euclid(divisor) == 0;
    // Euclidean division rounds towards the sign of the divisor; bring it to floor first.
    let floor = if denominator < 0 && !exact { quotient - 1 } else { quotient };
    let result = if rounding == Rounding::Up && !exact { floor + 1 } else { floor };
    i128::try_from(result).map_err(|_| MoneyError::Overflow { what: "a ratio" })
}

/// `value / divisor`, rounded as told.
pub fn div_round(value: i128, divisor: i128, rounding: Rounding) -> Result<i128, MoneyError> {
    let quotient = value.checked_div(divisor).ok_or(MoneyError::DivisionByZero { what: "a ratio" })?;
    // A wide division costs far more than a product.
    let inexact = quotient.wrapping_mul(divisor) != value;
    let negative = (value < 0) != (divisor < 0);
    Ok(match rounding {
        Rounding::Down if inexact && negative => quotient - 1,
        Rounding::Up if inexact && !negative => quotient + 1,
        Rounding::Down | Rounding::Up => quotient,
    })
}

/// 10 to the `scale`.
pub fn pow10(scale: u8) -> Result<i128, MoneyError> {
    10_i128.checked_pow(u32::from(scale)).ok_or(MoneyError::Overflow { what: "a power of ten" })
}

/// Reads a plain decimal (`-12.50`) into units of 10^-scale. Trailing zeros beyond the scale are accepted.
pub fn parse_fixed(text: &str, scale: u8) -> Result<i128, MoneyError> {
    let not_decimal = || MoneyError::NotDecimal { text: shorten(text) };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || digits.ends_with('.') {
        return Err(not_decimal());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(scale) {
        return Err(MoneyError::TooPrecise { text: shorten(text), scale });
    }
    let too_large = || MoneyError::TooLarge { text: shorten(text) };
    let mut units: i128 = 0;
    let padding = usize::from(scale) - fraction.len();
    let zeros = std::iter::repeat_n(b'0', padding);
    for byte in whole.bytes().chain(fraction.bytes()).chain(zeros) {
        let digit = i128::from(byte - b'0');
        units = units.checked_mul(10).and_then(|u| u.checked_add(digit)).ok_or_else(too_large)?;
    }
    Ok(if negative { -units } else { units })
}

/// Writes units of 10^-scale as a plain decimal, without trailing zeros beyond the point's first.
pub fn format_fixed(units: i128, scale: u8) -> String {
    let digits = units.unsigned_abs().to_string();
    let width = usize::from(scale) + 1;
    let padded = format!("{digits:0>width$}");
    let (whole, fraction) = padded.split_at(padded.len() - usize::from(scale));
    let sign = if units < 0 { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// As [`format_fixed`], without trailing zeros.
pub fn format_trimmed(units: i128, scale: u8) -> String {
    let text = format_fixed(units, scale);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn narrow(units: i128, text: &str) -> Result<i64, MoneyError> {
    i64::try_from(units).map_err(|_| MoneyError::TooLarge { text: shorten(text) })
}

/// Long junk in an error message helps nobody.
fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

impl fmt::Display for Cash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_trimmed(self.0, CASH_SCALE))
    }
}

impl fmt::Debug for Cash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cash({self})")
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", format_trimmed(i128::from(self.0), 4))
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bps", format_trimmed(i128::from(self.0), 4))
    }
}

impl Serialize for Cash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "money_tests.rs"]
mod tests;
