//! Balances per strategy and asset by double entry over transfers and fills, and the positions the fills make.

use std::collections::{BTreeMap, BTreeSet};

use tradewind_core::event::Transfer;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, MoneyError, Rounding};
use tradewind_core::name::{Asset, Symbol, Uid};
use tradewind_core::order::{Fee, Fill, Side};

use crate::port::BalanceRow;

type Key = (Option<Uid>, Asset);

/// What each strategy (none: unallocated) holds of each asset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Balances {
    amounts: BTreeMap<Key, Cash>,
    touched: BTreeSet<Key>,
    positions: BTreeMap<(Uid, Symbol), Position>,
    moved: BTreeSet<(Uid, Symbol)>,
}

/// What a strategy holds of an instrument, and what that cost in the quote asset with its fees, by average cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) quantity: Cash,
    pub(crate) cost: Cash,
}

impl Position {
    /// Folds a trade in. Fees in a third asset are not in the cost: nothing here knows what they are worth.
    fn apply(
        &mut self,
        symbol: &Symbol,
        side: Side,
        (base, quote): (Cash, Cash),
        fee: &Fee,
    ) -> Result<(), MoneyError> {
        let of = |asset: &Asset| if fee.asset == *asset { fee.amount } else { Cash::ZERO };
        let (base_fee, quote_fee) = (of(symbol.base()), of(symbol.quote()));
        match side {
            Side::Buy => {
                self.quantity = self.quantity.checked_add(base)?.checked_sub(base_fee)?;
                self.cost = self.cost.checked_add(quote)?.checked_add(quote_fee)?;
            }
            Side::Sell => {
                let gone = base.checked_add(base_fee)?;
                let share = if gone >= self.quantity || self.quantity.0 <= 0 {
                    self.cost
                } else {
                    self.cost.mul_div(gone.0, self.quantity.0, Rounding::Up)?
                };
                self.quantity = self.quantity.checked_sub(gone)?;
                self.cost = self.cost.checked_sub(share)?;
            }
        }
        Ok(())
    }
}

/// A position as it is kept: whose, of what.
pub(crate) type PositionRow = (Uid, Symbol, Position);

impl Balances {
    pub(crate) fn load(&mut self, row: BalanceRow) {
        self.amounts.insert((row.strategy, row.asset), row.amount);
    }

    pub(crate) fn load_position(&mut self, (strategy, symbol, position): PositionRow) {
        self.positions.insert((strategy, symbol), position);
    }

    pub(crate) fn transfer(&mut self, transfer: &Transfer) -> Result<(), MoneyError> {
        if transfer.strategy.is_some() {
            self.add(None, &transfer.asset, transfer.amount.checked_neg()?)?;
        }
        self.add(transfer.strategy, &transfer.asset, transfer.amount)
    }

    pub(crate) fn fill(
        &mut self,
        strategy: Uid,
        fill: &Fill,
        rules: &InstrumentRules,
    ) -> Result<(), MoneyError> {
        let base = rules.base_amount(fill.quantity)?;
        let quote = rules.notional(fill.price, fill.quantity)?;
        self.post(strategy, &fill.symbol, fill.side, (base, quote), &fill.fee)
    }

    /// A trade of that much base against that much quote.
    pub(crate) fn post(
        &mut self,
        strategy: Uid,
        symbol: &Symbol,
        side: Side,
        (base, quote): (Cash, Cash),
        fee: &Fee,
    ) -> Result<(), MoneyError> {
        let key = (strategy, symbol.clone());
        self.positions.entry(key.clone()).or_default().apply(symbol, side, (base, quote), fee)?;
        self.moved.insert(key);
        let (base, quote) = match side {
            Side::Buy => (base, quote.checked_neg()?),
            Side::Sell => (base.checked_neg()?, quote),
        };
        self.add(Some(strategy), symbol.base(), base)?;
        self.add(Some(strategy), symbol.quote(), quote)?;
        self.add(Some(strategy), &fee.asset, fee.amount.checked_neg()?)
    }

    fn add(&mut self, strategy: Option<Uid>, asset: &Asset, amount: Cash) -> Result<(), MoneyError> {
        let key = (strategy, asset.clone());
        let held = self.amounts.entry(key.clone()).or_default();
        *held = held.checked_add(amount)?;
        self.touched.insert(key);
        Ok(())
    }

    /// The balances changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<BalanceRow> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().map(|key| self.row(key)).collect()
    }

    pub(crate) fn rows(&self) -> Vec<BalanceRow> {
        self.amounts.keys().map(|key| self.row(key.clone())).collect()
    }

    /// The positions changed since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<PositionRow> {
        let moved = std::mem::take(&mut self.moved);
        let held = |key: &(Uid, Symbol)| self.positions.get(key).copied().unwrap_or_default();
        moved.into_iter().map(|key| (key.0, key.1.clone(), held(&key))).collect()
    }

    pub(crate) fn position_rows(&self) -> Vec<PositionRow> {
        self.positions.iter().map(|((strategy, symbol), held)| (*strategy, symbol.clone(), *held)).collect()
    }

    fn row(&self, key: Key) -> BalanceRow {
        let amount = self.amounts.get(&key).copied().unwrap_or_default();
        BalanceRow { strategy: key.0, asset: key.1, amount }
    }
}
