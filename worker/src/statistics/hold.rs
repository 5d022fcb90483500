//! Buy and hold: the same money in the same instruments, and nothing done.

use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::{Cash, MoneyError, Price};
use tradewind_core::time::Timestamp;

use super::StatisticsError;
use super::equity::{EquityFigures, EquityTracker};

/// The initial equity, split equally over the instruments, each share bought at its instrument's first close and held;
/// no fees, any fraction. A share whose instrument has no close yet is cash, and so is what does not divide by its first
/// close (fewer units of 10^-18 than the price has units). No division a bar.
#[derive(Debug, Clone)]
pub struct HoldTracker {
    shares: Vec<Share>,
    total: Cash,
    equity: EquityTracker,
}

#[cold]
fn too_large() -> StatisticsError {
    StatisticsError::Money(MoneyError::Overflow { what: "buy and hold" })
}

#[derive(Debug, Clone, Copy)]
struct Share {
    instrument: InstrumentId,
    value: Cash,
    bought: Option<Bought>,
}

/// A share as whole cash units per price unit, and the cash that did not divide.
#[derive(Debug, Clone, Copy)]
struct Bought {
    per_price_unit: i128,
    /// The same where it fits: nearly always it does, and a product of two such numbers is one instruction.
    narrow: Option<i64>,
    rest: i128,
}

impl Bought {
    /// `price` is above zero.
    #[cold]
    fn new(value: Cash, price: i64) -> Self {
        let price = i128::from(price);
        let per_price_unit = value.0 / price;
        Self { per_price_unit, narrow: i64::try_from(per_price_unit).ok(), rest: value.0 % price }
    }

    #[inline]
    fn at(self, price: i64) -> Option<Cash> {
        let product = match self.narrow {
            Some(narrow) => Some(i128::from(narrow) * i128::from(price)),
            None => self.per_price_unit.checked_mul(i128::from(price)),
        };
        product.and_then(|value| value.checked_add(self.rest)).map(Cash)
    }
}

impl HoldTracker {
    /// Nothing bought yet. What does not divide by the number of instruments goes to the first.
    pub fn new(start: Timestamp, initial: Cash, instruments: &[InstrumentId]) -> Self {
        let count = i128::try_from(instruments.len()).unwrap_or(i128::MAX).max(1);
        let (each, rest) = (initial.0 / count, initial.0 % count);
        let mut shares: Vec<Share> = instruments
            .iter()
            .map(|&instrument| Share { instrument, value: Cash(each), bought: None })
            .collect();
        if let Some(first) = shares.first_mut() {
            first.value = Cash(each + rest);
        }
        Self { shares, total: initial, equity: EquityTracker::new(start, initial) }
    }

    /// Closes of one time: one sample. Instruments others than those held are ignored.
    #[inline]
    pub fn on_closes(
        &mut self,
        at: Timestamp,
        closes: impl Iterator<Item = (InstrumentId, Price)>,
    ) -> Result<(), StatisticsError> {
        let mut changed = false;
        for (instrument, close) in closes.filter(|(_, close)| close.0 > 0) {
            let Some(share) = self.shares.iter_mut().find(|share| share.instrument == instrument) else {
                continue;
            };
            let bought = match share.bought {
                Some(bought) => bought,
                None => *share.bought.insert(Bought::new(share.value, close.0)),
            };
            let Some(value) = bought.at(close.0) else { return Err(too_large()) };
            let rest = self.total.0.checked_sub(share.value.0);
            let Some(total) = rest.and_then(|rest| rest.checked_add(value.0)) else {
                return Err(too_large());
            };
            (share.value, self.total) = (value, Cash(total));
            changed = true;
        }
        if changed {
            self.equity.push(at, self.total);
        }
        Ok(())
    }

    /// What it amounts to up to the last close.
    pub fn figures(&self) -> EquityFigures {
        self.equity.figures()
    }
}

#[cfg(test)]
mod tests {
    use tradewind_core::time::Millis;

    use super::super::equity::DrawdownDates;
    use super::*;

    const START: Timestamp = Timestamp(1_713_484_800_000);
    const HOUR: i64 = 3_600_000;
    const A: InstrumentId = InstrumentId(3);
    const B: InstrumentId = InstrumentId(7);

    fn at(hours: i64) -> Timestamp {
        START.plus(Millis(hours * HOUR))
    }

    fn hold(closes: &[(InstrumentId, i64, i64)]) -> EquityFigures {
        let mut hold = HoldTracker::new(START, Cash::parse("1000").unwrap(), &[A, B]);
        for group in closes.chunk_by(|one, two| one.1 == two.1) {
            let hours = group[0].1;
            let prices = group.iter().map(|(instrument, _, close)| (*instrument, Price(*close)));
            hold.on_closes(at(hours), prices).unwrap();
        }
        hold.figures()
    }

    #[test]
    fn half_of_the_money_follows_each_instrument() {
        // 500 at 200 becomes 500 * 260 / 200 = 650; 500 at 8 becomes 500 * 6 / 8 = 375: 1025 together.
        let figures = hold(&[(A, 1, 200), (B, 1, 8), (A, 2, 260), (B, 2, 6)]);
        assert_eq!(figures.initial_equity.to_string(), "1000");
        assert_eq!(figures.final_equity.to_string(), "1025");
        assert_eq!(figures.total_return, Some(0.025));
        assert_eq!((figures.start, figures.end), (START, at(2)));
    }

    #[test]
    fn prices_of_one_time_are_one_sample() {
        // A doubles and B halves in the same hour: 1000, 1250. Seen one by one, B first, it would have been 750.
        let figures = hold(&[(B, 1, 8), (A, 1, 200), (B, 2, 4), (A, 2, 400)]);
        assert_eq!(figures.final_equity.to_string(), "1250");
        assert_eq!((figures.max_drawdown, figures.max_drawdown_dates), (Some(0.0), None));
    }

    #[test]
    fn the_deepest_fall_of_holding_is_measured() {
        // A alone moves: 500 + 500, 500 + 1000, 500 + 250, 500 + 500: from 1500 to 750 is one half.
        let figures = hold(&[(A, 1, 200), (A, 2, 400), (A, 3, 100), (A, 4, 200), (B, 4, 9)]);
        assert_eq!(figures.max_drawdown, Some(0.5));
        assert_eq!(
            figures.max_drawdown_dates,
            Some(DrawdownDates { peak: at(2), trough: at(3), recovery: None })
        );
    }

    #[test]
    fn an_instrument_that_starts_late_is_cash_until_then_and_strangers_are_ignored() {
        let figures = hold(&[(A, 1, 300), (InstrumentId(9), 2, 1), (A, 5, 300), (B, 6, 8), (B, 7, 16)]);
        assert_eq!(figures.final_equity.to_string(), "1500");
    }

    #[test]
    fn a_share_that_does_not_divide_by_the_price_loses_nothing() {
        let figures = hold(&[(A, 1, 7), (B, 1, 3), (A, 2, 7), (B, 2, 3)]);
        assert_eq!(figures.final_equity.to_string(), "1000");
    }
}
