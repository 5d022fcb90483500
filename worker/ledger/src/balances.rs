//! Balances per strategy and asset by double entry over transfers and fills.

use std::collections::{BTreeMap, BTreeSet};

use tradewind_core::event::{Succession, Transfer};
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, MoneyError};
use tradewind_core::name::{Asset, Symbol, Uid};
use tradewind_core::order::{Fee, Fill, Side};

use crate::port::BalanceRow;

type Key = (Option<Uid>, Asset);

/// What each strategy (none: unallocated) holds of each asset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Balances {
    amounts: BTreeMap<Key, Cash>,
    touched: BTreeSet<Key>,
    /// Who took over from whom, in order.
    successions: Vec<Succession>,
}

impl Balances {
    pub(crate) fn load(&mut self, row: BalanceRow) {
        self.amounts.insert((row.strategy, row.asset), row.amount);
    }

    /// What was the predecessor's is the successor's from now on, what is still to come under its uid included.
    pub(crate) fn succeed(&mut self, done: &Succession) -> Result<(), MoneyError> {
        let all = self.amounts.iter().filter(|((owner, _), _)| *owner == Some(done.from));
        let left: Vec<(Asset, Cash)> = all.map(|((_, asset), amount)| (asset.clone(), *amount)).collect();
        for (asset, amount) in left {
            self.add(Some(done.from), &asset, amount.checked_neg()?)?;
            self.add(Some(done.to), &asset, amount)?;
        }
        self.successions.push(*done);
        Ok(())
    }

    /// As [`Self::succeed`], for amounts that are loaded as they are.
    pub(crate) fn know(&mut self, successions: Vec<Succession>) {
        self.successions = successions;
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
        let (base, quote) = match side {
            Side::Buy => (base, quote.checked_neg()?),
            Side::Sell => (base.checked_neg()?, quote),
        };
        self.add(Some(strategy), symbol.base(), base)?;
        self.add(Some(strategy), symbol.quote(), quote)?;
        self.add(Some(strategy), &fee.asset, fee.amount.checked_neg()?)
    }

    fn add(&mut self, strategy: Option<Uid>, asset: &Asset, amount: Cash) -> Result<(), MoneyError> {
        let follow = |owner, done: &Succession| if done.from == owner { done.to } else { owner };
        let owner = strategy.map(|uid| self.successions.iter().fold(uid, follow));
        let key = (owner, asset.clone());
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
        let held = |(owner, _): &&Key| self.successions.iter().all(|done| Some(done.from) != *owner);
        self.amounts.keys().filter(held).map(|key| self.row(key.clone())).collect()
    }

    fn row(&self, key: Key) -> BalanceRow {
        let amount = self.amounts.get(&key).copied().unwrap_or_default();
        BalanceRow { strategy: key.0, asset: key.1, amount }
    }
}
