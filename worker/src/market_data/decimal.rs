//! Decimal text to integer units, with at most one rounding.

use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Price, Quantity};

/// Digits (zeros in front aside) that are read; more belong to no price or volume.
const MAX_DIGITS: usize = 30;

/// A plain decimal as it was written: `digits / 10^decimals`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Below zero, `-0` aside.
    pub(super) negative: bool,
    digits: u128,
    decimals: u8,
}

/// Why text is no [`Decimal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotDecimal {
    /// Exponents, NaN, infinities, blanks and the like.
    Shape,
    /// More than 30 digits.
    TooLong,
}

/// A price at the tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rounded {
    pub(super) price: Price,
    /// It was not a multiple of the tick.
    pub(super) off_tick: bool,
}

impl Decimal {
    /// Reads `12`, `12.5`, `-0.5`; nothing else.
    pub(super) fn parse(text: &[u8]) -> Result<Self, NotDecimal> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut digits: u64 = 0;
        let mut wide: Option<u128> = None;
        let (mut seen, mut significant) = (0_usize, 0_usize);
        let mut decimals: Option<u8> = None;
        for &byte in rest {
            if byte == b'.' && decimals.is_none() && seen > 0 {
                decimals = Some(0);
                continue;
            }
            if !byte.is_ascii_digit() {
                return Err(NotDecimal::Shape);
            }
            seen += 1;
            let digit = byte - b'0';
            significant += usize::from(significant > 0 || digit > 0);
            if significant > MAX_DIGITS || seen > 2 * MAX_DIGITS {
                return Err(NotDecimal::TooLong);
            }
            if let Some(count) = decimals.as_mut() {
                *count += 1;
            }
            // 18 digits always fit in 64 bits, and most numbers are shorter.
            if significant <= 18 {
                digits = digits * 10 + u64::from(digit);
            } else {
                wide = Some(wide.unwrap_or(u128::from(digits)) * 10 + u128::from(digit));
            }
        }
        let ends_in_point = decimals == Some(0);
        if seen == 0 || ends_in_point {
            return Err(NotDecimal::Shape);
        }
        let digits = wide.unwrap_or(u128::from(digits));
        Ok(Self { negative: negative && digits > 0, digits, decimals: decimals.unwrap_or(0) }.trimmed())
    }

    /// Zero.
    pub(super) fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// Without zeros at the end of the fraction, so that `1.50000` needs no finer scale than `1.5`.
    fn trimmed(mut self) -> Self {
        while self.decimals > 0 && self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.decimals -= 1;
        }
        self
    }

    /// The nearest multiple of the tick (a tie goes up); one rounding, whatever the decimals. None when it does not fit.
    pub(super) fn to_price(self, rules: &InstrumentRules) -> Option<Rounded> {
        let tick = u128::try_from(rules.tick.0.max(1)).ok()?;
        let (value, step) = match rules.price_scale.checked_sub(self.decimals) {
            Some(finer) => (self.digits.checked_mul(pow10(finer)?)?, tick),
            None => (self.digits, tick.checked_mul(pow10(self.decimals - rules.price_scale)?)?),
        };
        let (mut ticks, rest) = if step == 1 { (value, 0) } else { (value / step, value % step) };
        if rest >= step - rest {
            ticks += 1;
        }
        let units = i64::try_from(ticks.checked_mul(tick)?).ok()?;
        Some(Rounded { price: Price(units), off_tick: rest != 0 })
    }

    /// In quantity units, rounded down; more than fits becomes the largest quantity, for a volume only bounds fills.
    pub(super) fn to_volume(self, rules: &InstrumentRules) -> Quantity {
        let units = match rules.quantity_scale.checked_sub(self.decimals) {
            Some(finer) => pow10(finer).and_then(|p| self.digits.checked_mul(p)),
            None => pow10(self.decimals - rules.quantity_scale).map(|p| self.digits / p).or(Some(0)),
        };
        Quantity(units.and_then(|u| i64::try_from(u).ok()).unwrap_or(i64::MAX))
    }
}

fn pow10(exponent: u8) -> Option<u128> {
    10_u128.checked_pow(u32::from(exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(tick: &str, lot: &str) -> InstrumentRules {
        InstrumentRules::from_decimals("X-USD".parse().unwrap(), tick, lot, "0").unwrap()
    }

    fn price(text: &str, tick: &str) -> (i64, bool) {
        let rounded = Decimal::parse(text.as_bytes()).unwrap().to_price(&rules(tick, "1")).unwrap();
        (rounded.price.0, rounded.off_tick)
    }

    #[test]
    fn a_price_on_the_tick_is_exact() {
        assert_eq!(price("63514.84", "0.01"), (6_351_484, false));
        assert_eq!(price("63514.8", "0.01"), (6_351_480, false));
        assert_eq!(price("63514", "0.01"), (6_351_400, false));
        assert_eq!(price("63514.840000000000000000", "0.01"), (6_351_484, false));
        assert_eq!(price("0.00001036", "0.00000001"), (1036, false));
        assert_eq!(price("000.5", "0.1"), (5, false));
    }

    #[test]
    fn a_price_off_the_tick_goes_to_the_nearest_in_one_rounding() {
        assert_eq!(price("1.004", "0.01"), (100, true));
        assert_eq!(price("1.005", "0.01"), (101, true));
        // Tick 0.0005: 0.45124 lies 0.00024 above 0.4510 and 0.00026 below 0.4515; 0.45125 is the tie.
        assert_eq!(price("0.45124", "0.0005"), (4510, true));
        assert_eq!(price("0.45125", "0.0005"), (4515, true));
        // Tick 0.0004: 0.45016 lies nearer to 0.4500. Rounded to four decimals first it would be 0.4502, a tie, and end
        // at 0.4504.
        assert_eq!(price("0.45016", "0.0004"), (4500, true));
        assert_eq!(price("7", "5"), (5, true));
        assert_eq!(price("0.004", "0.01"), (0, true));
    }

    #[test]
    fn a_volume_is_rounded_down_and_never_overflows() {
        let volume = |text: &str, lot| Decimal::parse(text.as_bytes()).unwrap().to_volume(&rules("1", lot)).0;
        assert_eq!(volume("490.36789583", "0.00000001"), 49_036_789_583);
        assert_eq!(volume("1.999", "0.01"), 199);
        assert_eq!(volume("0.00000000000000000000000001", "0.01"), 0);
        assert_eq!(volume("93646814073", "0.00000001"), i64::MAX);
    }

    #[test]
    fn text_that_is_no_plain_decimal_is_refused() {
        for text in [
            "", "-", ".", ".5", "5.", "1.2.3", "1e5", "1E5", "NaN", "nan", "inf", "-inf", "+1", " 1", "1_0",
            "0x1", "١",
        ] {
            assert_eq!(Decimal::parse(text.as_bytes()), Err(NotDecimal::Shape), "{text:?}");
        }
        assert_eq!(Decimal::parse("1".repeat(31).as_bytes()), Err(NotDecimal::TooLong));
        assert!(Decimal::parse(b"-0.01").unwrap().negative);
        assert!(!Decimal::parse(b"-0.00").unwrap().negative);
        let large = Decimal::parse("9".repeat(30).as_bytes()).unwrap();
        assert_eq!(large.to_price(&rules("0.01", "1")), None);
    }

    proptest! {
        #[test]
        fn any_price_of_the_scale_survives_as_it_is(units in 0_i64..=i64::MAX) {
            let rules = rules("0.000001", "1");
            let rounded = Decimal::parse(rules.price_text(Price(units)).as_bytes()).unwrap().to_price(&rules).unwrap();
            prop_assert_eq!(rounded, Rounded { price: Price(units), off_tick: false });
        }

        #[test]
        fn the_nearest_tick_is_never_more_than_half_a_tick_away(whole in 0_u32..1_000_000, fraction in 0_u32..1_000_000, tick in 1_i64..1000) {
            // Price in millionths, tick in thousandths: the distance is computed in millionths.
            let text = format!("{whole}.{fraction:06}");
            let tick_text = format!("0.{tick:03}");
            let rules = rules(&tick_text, "1");
            let rounded = Decimal::parse(text.as_bytes()).unwrap().to_price(&rules).unwrap();
            let wanted = i128::from(whole) * 1_000_000 + i128::from(fraction);
            let got = i128::from(rounded.price.0) * 10_i128.pow(6 - u32::from(rules.price_scale));
            let tick = i128::from(tick) * 1000;
            prop_assert_eq!(got % tick, 0);
            prop_assert!((got - wanted).abs() * 2 <= tick);
            prop_assert_eq!(rounded.off_tick, got != wanted);
        }
    }
}
