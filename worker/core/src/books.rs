//! Double entry: every amount that enters one book leaves another, asset by asset, so that nothing appears or vanishes.

use serde::{Deserialize, Serialize};

use crate::money::{Cash, MoneyError};
use crate::name::Asset;

/// Whose amounts they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Book {
    /// The world outside: other traders, the bank.
    External,
    /// What trading cost.
    Fees,
    /// On the account, granted to no strategy.
    Unallocated,
    /// A strategy's own sub-ledger, by its index.
    Strategy(usize),
}

/// How much more of an asset the venue holds than the books; negative is less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Of what.
    pub asset: Asset,
    /// How much.
    pub amount: Cash,
}

/// Where an asset stands in the books' list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetId(usize);

/// The books of one account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Books {
    assets: Vec<Asset>,
    /// One row a book, one column an asset.
    rows: Vec<Vec<Cash>>,
}

const FIXED_BOOKS: usize = 3;

impl Book {
    fn row(self) -> usize {
        match self {
            Self::External => 0,
            Self::Fees => 1,
            Self::Unallocated => 2,
            Self::Strategy(index) => FIXED_BOOKS + index,
        }
    }
}

impl Books {
    /// The column of that asset, made if it is new.
    pub fn asset(&mut self, asset: &Asset) -> AssetId {
        if let Some(index) = self.assets.iter().position(|known| known == asset) {
            return AssetId(index);
        }
        self.assets.push(asset.clone());
        AssetId(self.assets.len() - 1)
    }

    /// Moves an amount from one book to another; a negative amount moves the other way.
    pub fn post(&mut self, asset: AssetId, from: Book, to: Book, amount: Cash) -> Result<(), MoneyError> {
        let (taken, given) = (self.balance_of(asset, from), self.balance_of(asset, to));
        if from == to {
            return Ok(());
        }
        let (taken, given) = (taken.checked_sub(amount)?, given.checked_add(amount)?);
        *self.cell(asset, from) = taken;
        *self.cell(asset, to) = given;
        Ok(())
    }

    /// What a book holds of an asset.
    pub fn balance_of(&self, asset: AssetId, book: Book) -> Cash {
        self.rows.get(book.row()).and_then(|row| row.get(asset.0)).copied().unwrap_or_default()
    }

    /// What the account holds of each asset: unallocated and all strategies together.
    pub fn holdings(&self) -> impl Iterator<Item = (&Asset, Cash)> {
        self.assets.iter().enumerate().map(|(column, asset)| {
            let sum = self.rows.iter().skip(Book::Unallocated.row()).filter_map(|row| row.get(column));
            (asset, Cash(sum.fold(0_i128, |total, cash| total.saturating_add(cash.0))))
        })
    }

    /// Whether each asset sums to nothing over all books: the law of double entry.
    pub fn is_balanced(&self) -> bool {
        (0..self.assets.len()).all(|column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.fold(0_i128, |total, cash| total.wrapping_add(cash.0)) == 0
        })
    }

    #[inline]
    fn cell(&mut self, asset: AssetId, book: Book) -> &mut Cash {
        let (row, column) = (book.row(), asset.0);
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        #[expect(clippy::indexing_slicing, reason = "the row was made above")]
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize(column + 1, Cash::ZERO);
        }
        #[expect(clippy::indexing_slicing, reason = "the column was made above")]
        &mut cells[column]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_one_book_enters_another() {
        let mut books = Books::default();
        let usd = books.asset(&"USD".parse().unwrap());
        let btc = books.asset(&"BTC".parse().unwrap());
        books.post(usd, Book::External, Book::Unallocated, Cash(1000)).unwrap();
        books.post(usd, Book::Unallocated, Book::Strategy(1), Cash(600)).unwrap();
        books.post(usd, Book::Strategy(1), Book::External, Cash(500)).unwrap();
        books.post(btc, Book::External, Book::Strategy(1), Cash(7)).unwrap();
        books.post(usd, Book::Strategy(1), Book::Fees, Cash(3)).unwrap();
        assert!(books.is_balanced());
        assert_eq!(books.balance_of(usd, Book::Strategy(1)), Cash(97));
        assert_eq!(books.balance_of(usd, Book::Strategy(0)), Cash(0));
        let held: Vec<_> = books.holdings().map(|(a, c)| (a.to_string(), c.0)).collect();
        assert_eq!(held, [("USD".to_owned(), 497), ("BTC".to_owned(), 7)]);
    }

    #[test]
    fn an_overflow_posts_nothing() {
        let mut books = Books::default();
        let usd = books.asset(&"USD".parse().unwrap());
        books.post(usd, Book::External, Book::Unallocated, Cash(i128::MAX)).unwrap();
        assert!(books.post(usd, Book::External, Book::Unallocated, Cash(1)).is_err());
        assert!(books.is_balanced());
    }
}
