//! Deposits, withdrawals and capital: money that moves by other ways than trading, and never moves drawdown.

use crate::books::{AssetId, Book};
use crate::event::{Effect, Effects, Record, Transfer};
use crate::money::{Cash, MoneyError};
use crate::name::Asset;

use super::fault;
use super::state::State;

impl State {
    pub(super) fn on_transfer(&mut self, transfer: &Transfer, effects: &mut Effects) {
        match self.book_transfer(transfer) {
            Ok(()) => effects.push(Effect::Persist(Box::new(Record::Transfer(transfer.clone())))),
            Err(error) => fault(effects, "booking a transfer", &error),
        }
    }

    /// What is withdrawn beyond what belongs to no strategy was taken from one that holds it.
    fn note_withdrawn(&mut self, asset: &Asset, id: AssetId) {
        let short = self.books.balance_of(id, Book::Unallocated).0.saturating_neg().max(0);
        self.withdrawn.retain(|(of, _)| of != asset);
        if short > 0 {
            self.withdrawn.push((asset.clone(), Cash(short)));
        }
    }

    /// Folds a transfer into the books and the watermarks.
    pub(super) fn book_transfer(&mut self, transfer: &Transfer) -> Result<(), MoneyError> {
        let asset = self.books.asset(&transfer.asset);
        match transfer.strategy.and_then(|uid| self.strategy_of(uid)) {
            Some(index) => {
                self.books.post(asset, Book::Unallocated, Book::Strategy(index), transfer.amount)?;
                let Some(strategy) = self.strategies.get_mut(index) else { return Ok(()) };
                let before = strategy.equity();
                strategy.cash = strategy.cash.checked_add(transfer.amount)?;
                strategy.allocated = strategy.allocated.checked_add(transfer.amount)?;
                let after = strategy.equity();
                strategy.mark.transfer(before, after)
            }
            // Capital of a strategy that no longer exists stays with the account.
            None if transfer.strategy.is_some() => Ok(()),
            None => {
                let before = self.account_equity();
                self.books.post(asset, Book::External, Book::Unallocated, transfer.amount)?;
                if asset == self.quote {
                    self.account_cash = self.account_cash.checked_add(transfer.amount)?;
                }
                self.note_withdrawn(&transfer.asset, asset);
                let after = self.account_equity();
                self.invested = self.invested.checked_add(after.checked_sub(before)?)?;
                if after == before { Ok(()) } else { self.account_mark.transfer(before, after) }
            }
        }
    }
}
