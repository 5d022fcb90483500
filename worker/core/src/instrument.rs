//! Instruments and bars: the rules a venue sets for a symbol, and the candles that price it.
//!
//! Conversions between decimals and units happen here, each with a named rounding. This module knows no venue.

use serde::{Deserialize, Serialize};

use crate::money::{
    CASH_SCALE, Cash, MAX_SCALE, MoneyError, Price, Quantity, Rounding, div_round, format_trimmed, mul_div,
    parse_fixed, pow10,
};
use crate::name::Symbol;
use crate::time::{Millis, Timestamp};

/// Where an instrument stands in the account's list; stable while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// As an index into a list of instruments.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Why instrument rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A number is no decimal or too large.
    #[error("{symbol}: {field}: {source}")]
    Number {
        /// The instrument.
        symbol: Symbol,
        /// `tick`, `lot` or `minNotional`.
        field: &'static str,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// Zero or negative.
    #[error("{symbol}: {field} must be greater than zero")]
    NotPositive {
        /// The instrument.
        symbol: Symbol,
        /// `tick` or `lot`.
        field: &'static str,
    },
    /// Product of price and quantity would not be exact.
    #[error("{symbol}: tick and lot have {digits} decimals together; at most {MAX_SCALE} are supported")]
    TooFine {
        /// The instrument.
        symbol: Symbol,
        /// Decimals of tick and lot together.
        digits: u8,
    },
}

/// What a venue demands of orders in one instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentRules {
    /// Our name of it.
    pub symbol: Symbol,
    /// Decimals of a [`Price`] unit.
    pub price_scale: u8,
    /// Decimals of a [`Quantity`] unit.
    pub quantity_scale: u8,
    /// Prices are whole multiples of this.
    pub tick: Price,
    /// Quantities are whole multiples of this.
    pub lot: Quantity,
    /// Smallest notional of an order, in the quote asset.
    pub min_notional: Cash,
    /// Units of cash in one price unit times one quantity unit.
    notional_unit: i128,
    /// Units of cash in one quantity unit of the base asset.
    base_unit: i128,
}

impl InstrumentRules {
    /// Builds rules from decimal texts: tick and lot greater than zero, minimum notional zero or more.
    pub fn from_decimals(
        symbol: Symbol,
        tick: &str,
        lot: &str,
        min_notional: &str,
    ) -> Result<Self, RulesError> {
        let number = |field, source| RulesError::Number { symbol: symbol.clone(), field, source };
        let price_scale = decimals_of(tick);
        let quantity_scale = decimals_of(lot);
        let digits = price_scale.saturating_add(quantity_scale);
        if digits > MAX_SCALE {
            return Err(RulesError::TooFine { symbol, digits });
        }
        let tick = fixed_i64(tick, price_scale).map_err(|e| number("tick", e))?;
        let lot = fixed_i64(lot, quantity_scale).map_err(|e| number("lot", e))?;
        let min_notional = Cash::parse(min_notional).map_err(|e| number("minNotional", e))?;
        let notional_unit = pow10(CASH_SCALE - digits).map_err(|e| number("tick", e))?;
        let base_unit = pow10(CASH_SCALE - quantity_scale).map_err(|e| number("lot", e))?;
        for (field, positive) in [("tick", tick > 0), ("lot", lot > 0), ("minNotional", min_notional.0 >= 0)]
        {
            if !positive {
                return Err(RulesError::NotPositive { symbol, field });
            }
        }
        let (tick, lot) = (Price(tick), Quantity(lot));
        Ok(Self { symbol, price_scale, quantity_scale, tick, lot, min_notional, notional_unit, base_unit })
    }

    /// Price times quantity, exact.
    #[inline]
    pub fn notional(&self, price: Price, quantity: Quantity) -> Result<Cash, MoneyError> {
        /// Below this no product with a notional unit (at most 10^18) overflows.
        const SAFE: i128 = 1 << 66;
        let product = i128::from(price.0) * i128::from(quantity.0);
        if (-SAFE..SAFE).contains(&product) {
            return Ok(Cash(product * self.notional_unit));
        }
        product.checked_mul(self.notional_unit).map(Cash).ok_or(MoneyError::Overflow { what: "a notional" })
    }

    /// Cash that a quantity is worth for each price unit, where it is of usual size.
    pub fn per_price_unit(&self, quantity: Quantity) -> Option<i64> {
        i128::from(quantity.0).checked_mul(self.notional_unit).and_then(|worth| i64::try_from(worth).ok())
    }

    /// The largest multiple of the lot that `cash` buys at `price` (rounded down: never more than intended).
    pub fn quantity_for(&self, cash: Cash, price: Price) -> Result<Quantity, MoneyError> {
        if price.0 <= 0 {
            return Err(MoneyError::DivisionByZero { what: "an order size" });
        }
        let per_unit = i128::from(price.0).checked_mul(self.notional_unit);
        let per_unit = per_unit.ok_or(MoneyError::Overflow { what: "an order size" })?;
        let units = div_round(cash.0, per_unit, Rounding::Down)?;
        let units = i64::try_from(units).map_err(|_| MoneyError::Overflow { what: "an order size" })?;
        Ok(self.floor_lot(Quantity(units.max(0))))
    }

    /// The base asset that `cash` buys at `price`, whatever the lot.
    pub fn base_for(&self, cash: Cash, price: Price, rounding: Rounding) -> Result<Cash, MoneyError> {
        mul_div(cash.0, pow10(self.price_scale)?, i128::from(price.0), rounding).map(Cash)
    }

    /// Down to a multiple of the lot. Saturates at the smallest quantity.
    pub fn floor_lot(&self, quantity: Quantity) -> Quantity {
        Quantity(quantity.0.saturating_sub(quantity.0.rem_euclid(self.lot.0.max(1))))
    }

    /// To a multiple of the tick; exact when it already is one. Saturates at the largest and the smallest price.
    pub fn round_tick(&self, price: Price, rounding: Rounding) -> Price {
        let tick = self.tick.0.max(1);
        let above_tick = price.0.rem_euclid(tick);
        if above_tick == 0 {
            return price;
        }
        match rounding {
            Rounding::Down => Price(price.0.saturating_sub(above_tick)),
            // Not from the tick below: that of the smallest price does not exist.
            Rounding::Up => Price(price.0.saturating_add(tick - above_tick)),
        }
    }

    /// The quantity as an amount of the base asset.
    pub fn base_amount(&self, quantity: Quantity) -> Result<Cash, MoneyError> {
        i128::from(quantity.0)
            .checked_mul(self.base_unit)
            .map(Cash)
            .ok_or(MoneyError::Overflow { what: "a base amount" })
    }

    /// An amount of the base asset in quantity units, rounded down: what is not there is never sold.
    pub fn quantity_of_base(&self, amount: Cash) -> Result<Quantity, MoneyError> {
        let units = div_round(amount.0, self.base_unit, Rounding::Down)?;
        i64::try_from(units).map(Quantity).map_err(|_| MoneyError::Overflow { what: "a quantity" })
    }

    /// The worth of an amount of base at a price, rounded down (what we own is never overstated).
    #[inline]
    pub fn value_of_base(&self, base: Cash, price: Price) -> Result<Cash, MoneyError> {
        mul_div(base.0, i128::from(price.0), pow10(self.price_scale)?, Rounding::Down).map(Cash)
    }

    /// Cash per unit of base, as a price rounded down to a unit.
    pub fn average_price(&self, cost: Cash, quantity: Quantity) -> Result<Price, MoneyError> {
        let units =
            mul_div(cost.0, 1, i128::from(quantity.0).saturating_mul(self.notional_unit), Rounding::Down)?;
        i64::try_from(units).map(Price).map_err(|_| MoneyError::Overflow { what: "an average price" })
    }

    /// A decimal price of this instrument; more decimals than the scale are an error.
    pub fn parse_price(&self, text: &str) -> Result<Price, MoneyError> {
        fixed_i64(text, self.price_scale).map(Price)
    }

    /// A decimal quantity of this instrument; more decimals than the scale are an error.
    pub fn parse_quantity(&self, text: &str) -> Result<Quantity, MoneyError> {
        fixed_i64(text, self.quantity_scale).map(Quantity)
    }

    /// The price as decimal text.
    pub fn price_text(&self, price: Price) -> String {
        format_trimmed(i128::from(price.0), self.price_scale)
    }

    /// The quantity as decimal text.
    pub fn quantity_text(&self, quantity: Quantity) -> String {
        format_trimmed(i128::from(quantity.0), self.quantity_scale)
    }
}

fn decimals_of(text: &str) -> u8 {
    let digits = text.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len());
    u8::try_from(digits).unwrap_or(u8::MAX)
}

fn fixed_i64(text: &str, scale: u8) -> Result<i64, MoneyError> {
    let units = parse_fixed(text, scale)?;
    i64::try_from(units).map_err(|_| MoneyError::TooLarge { text: text.chars().take(40).collect() })
}

/// A candle. Prices are positive and `low <= open, close <= high`; the feed guarantees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bar {
    /// Open time.
    pub open_time: Timestamp,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Traded amount of the base asset.
    pub volume: Quantity,
}

impl Bar {
    /// When the bar is complete.
    #[inline]
    pub fn close_time(&self, interval: Millis) -> Timestamp {
        self.open_time.plus(interval)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn btc() -> InstrumentRules {
        InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.00000001", "1").unwrap()
    }

    #[test]
    fn notional_is_exact() {
        let rules = btc();
        let price = rules.parse_price("63514.84").unwrap();
        let quantity = rules.parse_quantity("0.00787442").unwrap();
        // 63514.84 * 0.00787442 by hand.
        assert_eq!(rules.notional(price, quantity).unwrap().to_string(), "500.1425263928");
    }

    #[test]
    fn a_size_never_costs_more_than_the_cash_it_is_for() {
        let rules = btc();
        let cash = Cash::parse("250").unwrap();
        let quantity = rules.quantity_for(cash, rules.parse_price("63514.84").unwrap()).unwrap();
        // 250 / 63514.84 = 0.003936088…, cut after eight decimals.
        assert_eq!(rules.quantity_text(quantity), "0.00393608");
    }

    #[test]
    fn prices_are_rounded_to_the_tick_as_named() {
        let rules = InstrumentRules::from_decimals("ADA-USD".parse().unwrap(), "0.0005", "0.1", "1").unwrap();
        let price = rules.parse_price("0.4512").unwrap();
        assert_eq!(rules.price_text(rules.round_tick(price, Rounding::Down)), "0.451");
        assert_eq!(rules.price_text(rules.round_tick(price, Rounding::Up)), "0.4515");
        assert_eq!(rules.round_tick(Price(4510), Rounding::Up), Price(4510));
    }

    #[test]
    fn rules_that_cannot_be_exact_or_positive_are_refused() {
        let symbol: Symbol = "X-USD".parse().unwrap();
        let build = |tick, lot| InstrumentRules::from_decimals(symbol.clone(), tick, lot, "0");
        assert!(matches!(build("0.0000000001", "0.000000001"), Err(RulesError::TooFine { digits: 19, .. })));
        assert!(matches!(build("0", "1"), Err(RulesError::NotPositive { field: "tick", .. })));
        assert!(matches!(build("0.1", "-1"), Err(RulesError::NotPositive { field: "lot", .. })));
        assert!(matches!(build("abc", "1"), Err(RulesError::Number { field: "tick", .. })));
    }

    /// Any number, and often one of the first or last thousand.
    fn at_the_edges() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), i64::MIN..i64::MIN + 1000, i64::MAX - 1000..=i64::MAX, -1000_i64..1000]
    }

    proptest! {
        #[test]
        fn a_lot_is_taken_off_and_never_added_up_to_the_ends_of_the_range(
            units in at_the_edges(), lot in prop_oneof![1_i64..1000, Just(i64::MAX)],
        ) {
            let floored = InstrumentRules { lot: Quantity(lot), ..btc() }.floor_lot(Quantity(units)).0;
            let exact = i128::from(units).div_euclid(i128::from(lot)) * i128::from(lot);
            prop_assert_eq!(i128::from(floored), exact.max(i128::from(i64::MIN)));
        }

        #[test]
        fn a_price_goes_to_the_next_tick_as_named_up_to_the_ends_of_the_range(
            units in at_the_edges(), tick in prop_oneof![1_i64..1000, Just(i64::MAX)],
        ) {
            let rules = InstrumentRules { tick: Price(tick), ..btc() };
            let below = i128::from(units).div_euclid(i128::from(tick)) * i128::from(tick);
            let is_on_it = below == i128::from(units);
            let above = if is_on_it { below } else { below + i128::from(tick) };
            let kept = |price: i128| price.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
            prop_assert_eq!(i128::from(rules.round_tick(Price(units), Rounding::Down).0), kept(below));
            prop_assert_eq!(i128::from(rules.round_tick(Price(units), Rounding::Up).0), kept(above));
        }

        #[test]
        fn sized_orders_stay_within_the_cash_and_one_lot_of_it(cents in 1_i64..1_000_000_000, price in 1_i64..100_000_000) {
            let rules = btc();
            let cash = Cash(i128::from(cents) * 10_i128.pow(16));
            let quantity = rules.quantity_for(cash, Price(price)).unwrap();
            prop_assert!(rules.notional(Price(price), quantity).unwrap() <= cash);
            let one_more = Quantity(quantity.0 + rules.lot.0);
            prop_assert!(rules.notional(Price(price), one_more).unwrap() > cash);
        }
    }
}
