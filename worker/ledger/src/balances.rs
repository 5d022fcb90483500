//! Balances per strategy and asset by double entry over transfers and fills, and the positions the fills make.

use std::collections::{BTreeMap, BTreeSet};

use tradewind_core::event::{Succession, Transfer};
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
    /// Who took over from whom, in order.
    successions: Vec<Succession>,
}

/// What a strategy holds of an instrument, and what that cost in the quote asset with its fees, by average cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) quantity: Cash,
    pub(crate) cost: Cash,
}

impl Position {
    /// Takes another one over, at what it cost.
    fn join(&mut self, other: Self) -> Result<(), MoneyError> {
        self.quantity = self.quantity.checked_add(other.quantity)?;
        self.cost = self.cost.checked_add(other.cost)?;
        Ok(())
    }

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

    /// What was the predecessor's is the successor's from now on, what is still to come under its uid included.
    pub(crate) fn succeed(&mut self, done: &Succession) -> Result<(), MoneyError> {
        let all = self.amounts.iter().filter(|((owner, _), _)| *owner == Some(done.from));
        let left: Vec<(Asset, Cash)> = all.map(|((_, asset), amount)| (asset.clone(), *amount)).collect();
        for (asset, amount) in left {
            self.add(Some(done.from), &asset, amount.checked_neg()?)?;
            self.add(Some(done.to), &asset, amount)?;
        }
        let all = self.positions.keys().filter(|(owner, _)| *owner == done.from);
        let left: Vec<Symbol> = all.map(|(_, symbol)| symbol.clone()).collect();
        for symbol in left {
            let (from, to) = ((done.from, symbol.clone()), (done.to, symbol));
            let position = self.positions.insert(from.clone(), Position::default()).unwrap_or_default();
            self.positions.entry(to.clone()).or_default().join(position)?;
            self.moved.extend([from, to]);
        }
        self.successions.push(*done);
        Ok(())
    }

    /// As [`Self::succeed`], for what is loaded as it is.
    pub(crate) fn know(&mut self, successions: Vec<Succession>) {
        self.successions = successions;
    }

    /// Who has now what was that strategy's.
    pub(crate) fn owner(&self, strategy: Uid) -> Uid {
        let follow = |owner, done: &Succession| if done.from == owner { done.to } else { owner };
        self.successions.iter().fold(strategy, follow)
    }

    /// Whether all that was that strategy's is another's.
    fn is_succeeded(&self, strategy: Uid) -> bool {
        self.successions.iter().any(|done| done.from == strategy)
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
        let key = (self.owner(strategy), symbol.clone());
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
        let key = (strategy.map(|uid| self.owner(uid)), asset.clone());
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

    /// All of them; what a predecessor has left to its successor is no row.
    pub(crate) fn rows(&self) -> Vec<BalanceRow> {
        let held = |(owner, _): &&Key| owner.is_none_or(|uid| !self.is_succeeded(uid));
        self.amounts.keys().filter(held).map(|key| self.row(key.clone())).collect()
    }

    /// The positions changed since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<PositionRow> {
        let moved = std::mem::take(&mut self.moved);
        let held = |key: &(Uid, Symbol)| self.positions.get(key).copied().unwrap_or_default();
        moved.into_iter().map(|key| (key.0, key.1.clone(), held(&key))).collect()
    }

    /// All of them; what a predecessor has left to its successor is no row.
    pub(crate) fn position_rows(&self) -> Vec<PositionRow> {
        let held = self.positions.iter().filter(|((strategy, _), _)| !self.is_succeeded(*strategy));
        held.map(|((strategy, symbol), held)| (*strategy, symbol.clone(), *held)).collect()
    }

    fn row(&self, key: Key) -> BalanceRow {
        let amount = self.amounts.get(&key).copied().unwrap_or_default();
        BalanceRow { strategy: key.0, asset: key.1, amount }
    }
}
