//! Positions as a fold over fills, and the watermark drawdown is measured from.
//!
//! Nothing here knows prices of its own: marks come in as arguments, transfers never move drawdown.

use smol_str::SmolStr;

use crate::instrument::InstrumentRules;
use crate::limits::Breaker;
use crate::money::{Cash, MoneyError, PERCENT_ONE, Percent, Price, Quantity, Rounding};
use crate::order::{Fill, Side};
use crate::time::Timestamp;

/// What a strategy holds of one instrument, net of fees taken in the base asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Held, in the base asset; exact, fees taken in base already gone.
    pub base: Cash,
    /// What it cost with its fees, in the quote asset.
    pub cost: Cash,
    /// Profit and loss of what was sold, after fees.
    pub realized: Cash,
    /// What can be sold: `base` down to the lot.
    sellable: Quantity,
    /// Cash for each price unit, where that is a whole number of usual size: then a mark costs one product.
    per_price_unit: Option<i64>,
}

impl Position {
    /// What can be sold: the base held, down to the lot.
    #[inline]
    pub fn sellable(&self) -> Quantity {
        self.sellable
    }

    /// Folds one fill in. `base_fee` is what the fee took of the base asset, `quote_fee` the worth of the rest of it.
    pub fn apply(
        &mut self,
        fill: &Fill,
        rules: &InstrumentRules,
        base_fee: Cash,
        quote_fee: Cash,
    ) -> Result<(), MoneyError> {
        let notional = rules.notional(fill.price, fill.quantity)?;
        let traded = rules.base_amount(fill.quantity)?;
        match fill.side {
            Side::Buy => {
                self.base = self.base.checked_add(traded)?.checked_sub(base_fee)?;
                self.cost = self.cost.checked_add(notional)?.checked_add(quote_fee)?;
            }
            Side::Sell => {
                let gone = traded.checked_add(base_fee)?;
                let share = if gone >= self.base || self.base.0 <= 0 {
                    self.cost
                } else {
                    self.cost.mul_div(gone.0, self.base.0, Rounding::Up)?
                };
                self.base = self.base.checked_sub(gone)?;
                self.cost = self.cost.checked_sub(share)?;
                self.realized =
                    self.realized.checked_add(notional)?.checked_sub(quote_fee)?.checked_sub(share)?;
            }
        }
        let units = rules.quantity_of_base(self.base)?;
        let whole = rules.base_amount(units)? == self.base;
        self.per_price_unit = rules.per_price_unit(units).filter(|_| whole);
        self.sellable = rules.floor_lot(Quantity(units.0.max(0)));
        Ok(())
    }

    /// Worth at a price, in the quote asset.
    #[inline]
    pub fn value(&self, rules: &InstrumentRules, mark: Price) -> Result<Cash, MoneyError> {
        if self.base.0 == 0 {
            return Ok(Cash::ZERO);
        }
        match self.usual_value(mark) {
            Some(value) => Ok(value),
            None => rules.value_of_base(self.base, mark),
        }
    }

    /// As [`Self::value`] where it is one product; none for sizes out of the usual.
    #[inline]
    pub fn usual_value(&self, mark: Price) -> Option<Cash> {
        self.per_price_unit.map(|worth| Cash(i128::from(worth) * i128::from(mark.0)))
    }
}

/// Whether `lost` is at least that percentage of `reference`. What cannot be computed counts as reached: fail closed.
#[inline]
fn reaches(lost: i128, percent: Percent, reference: i128) -> bool {
    /// Below this no product with a percentage overflows; equity of 10^12 in quote units lies far below.
    const SAFE: i128 = 1 << 100;
    if (0..SAFE).contains(&lost) && (0..SAFE).contains(&reference) && (0..=PERCENT_ONE).contains(&percent.0) {
        return lost * i128::from(PERCENT_ONE) >= reference * i128::from(percent.0);
    }
    match (lost.checked_mul(i128::from(PERCENT_ONE)), reference.checked_mul(i128::from(percent.0))) {
        (Some(found), Some(limit)) => found >= limit,
        _ => true,
    }
}

/// The high-water mark and what its breakers have seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mark {
    /// What drawdown is measured from.
    pub reference: Cash,
    /// The highest equity; never rebased.
    pub peak: Cash,
    /// For each breaker that sees its line passed: since when.
    pub breached_since: Vec<(SmolStr, Timestamp)>,
    /// Breakers that tripped and were not resumed.
    pub tripped: Vec<SmolStr>,
    /// An equity at which no breaker sees its line passed, for this reference and these breakers: none does above it.
    calm: Option<Cash>,
}

impl Mark {
    /// Starts from that equity.
    pub fn starting_at(equity: Cash) -> Self {
        Self { reference: equity, peak: equity, ..Self::default() }
    }

    /// Drawdown of that equity from the reference, in percent, rounded up (against risk).
    pub fn drawdown(&self, equity: Cash) -> Percent {
        if equity >= self.reference || self.reference.0 <= 0 {
            return Percent(0);
        }
        let lost = Cash(self.reference.0.saturating_sub(equity.0));
        lost.mul_div(i128::from(PERCENT_ONE), self.reference.0, Rounding::Up)
            .ok()
            .and_then(|units| i64::try_from(units.0).ok())
            .map_or(Percent(i64::MAX), Percent)
    }

    /// Whether equity from `lowest` to `highest` is nothing new: below the reference, and no lower than one that no
    /// breaker minded.
    #[inline]
    pub fn is_calm(&self, lowest: Cash, highest: Cash) -> bool {
        self.calm.is_some_and(|calm| calm <= lowest) && highest < self.reference
    }

    /// The breakers have changed: what was calm to the old ones says nothing.
    pub fn ask_breakers_again(&mut self) {
        self.calm = None;
    }

    /// Takes in a new equity and appends the breakers that trip on it.
    pub fn observe<'b>(
        &mut self,
        equity: Cash,
        now: Timestamp,
        breakers: impl Iterator<Item = &'b Breaker>,
        tripped: &mut Vec<SmolStr>,
    ) {
        if equity >= self.reference {
            self.reference = equity;
            self.peak = self.peak.max(equity);
            self.breached_since.clear();
            self.calm = None;
            return;
        }
        // Below zero nothing is calm.
        let mut calm = Cash::ZERO;
        for breaker in breakers {
            self.observe_breaker(breaker, equity, now, tripped);
            calm = calm.max(self.lowest_above(breaker).unwrap_or(equity));
        }
        self.calm = self.breached_since.is_empty().then_some(calm);
    }

    /// The lowest equity that has not reached the breaker's line; none where that cannot be computed.
    fn lowest_above(&self, breaker: &Breaker) -> Option<Cash> {
        let line = self.reference.percent(breaker.drawdown, Rounding::Up).ok()?;
        self.reference.0.checked_sub(line.0)?.checked_add(1).map(Cash)
    }

    fn observe_breaker(
        &mut self,
        breaker: &Breaker,
        equity: Cash,
        now: Timestamp,
        tripped: &mut Vec<SmolStr>,
    ) {
        let lost = self.reference.0.saturating_sub(equity.0);
        let line_passed = reaches(lost, breaker.drawdown, self.reference.0);
        let since = self.breached_since.iter().position(|(name, _)| *name == breaker.name);
        if !line_passed {
            if let Some(index) = since {
                self.breached_since.remove(index);
            }
            return;
        }
        let since = if let Some((_, since)) = since.and_then(|index| self.breached_since.get(index)) {
            *since
        } else {
            self.breached_since.push((breaker.name.clone(), now));
            now
        };
        if now.since(since) >= breaker.confirm_for && !self.tripped.contains(&breaker.name) {
            self.tripped.push(breaker.name.clone());
            tripped.push(breaker.name.clone());
        }
    }

    /// Cash came in or went out: the reference moves so that drawdown does not. It is rounded down, lest a deposit trip a
    /// breaker that stands a hair below its line.
    pub fn transfer(&mut self, before: Cash, after: Cash) -> Result<(), MoneyError> {
        self.calm = None;
        for level in [&mut self.reference, &mut self.peak] {
            *level = if before.0 <= 0 || after.0 <= 0 {
                level.checked_add(after.checked_sub(before)?)?.max(after)
            } else {
                level.mul_div(after.0, before.0, Rounding::Down)?
            };
        }
        Ok(())
    }

    /// A resume: drawdown starts again from here; the reported peak stays.
    pub fn rebase(&mut self, breaker: &str, equity: Cash) {
        self.reference = equity;
        self.calm = None;
        self.breached_since.clear();
        self.tripped.retain(|name| name != breaker);
    }
}

#[cfg(test)]
#[path = "portfolio_tests.rs"]
mod tests;
