//! What the book no longer holds: ended orders and past trades, in memory or in the store.

use std::collections::VecDeque;
use std::path::Path;

use tradewind_core::money::Cash;
use tradewind_core::name::Asset;
use tradewind_core::order::ClientOrderId;

use super::book::Book;
use super::ids::IdMap;
use super::order::{Change, Order, Trade};
use super::store::{Store, StoreError};

/// Where the past is kept.
#[derive(Debug)]
pub(crate) enum Archive {
    /// Here, the latest of it; gone when the process is.
    Memory(Memory),
    /// In the file. The template is the empty book that stored state is read into.
    Sqlite(Box<Store>, Box<Book>),
}

/// Ended orders and trades that a venue in memory remembers. A backtest asks for the latest ones alone, and must not grow
/// with its data; a real venue forgets the ids of old orders too.
const REMEMBERED: usize = 128;

/// The latest past, in memory: all that is asked of it is answered at once.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The number in `orders` of each that is remembered.
    ended: IdMap<u64>,
    orders: Latest<Order>,
    /// Trade number n is number n - 1 here.
    trades: Latest<Trade>,
}

/// The latest elements of a list that only grows, by their numbers from 0 on.
#[derive(Debug)]
struct Latest<T> {
    elements: VecDeque<T>,
    forgotten: u64,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { elements: VecDeque::new(), forgotten: 0 }
    }
}

impl<T: Copy> Latest<T> {
    /// Appends an element; its number, and the element that is forgotten for it.
    fn push(&mut self, element: T) -> (u64, Option<T>) {
        let oldest = if self.elements.len() < REMEMBERED { None } else { self.elements.pop_front() };
        self.forgotten += u64::from(oldest.is_some());
        self.elements.push_back(element);
        (self.forgotten + self.elements.len() as u64 - 1, oldest)
    }

    fn get(&self, number: u64) -> Option<T> {
        let index = usize::try_from(number.checked_sub(self.forgotten)?).ok()?;
        self.elements.get(index).copied()
    }

    /// All from that number on; none when some of them are forgotten.
    fn starting_at(&self, number: u64) -> Option<impl Iterator<Item = T>> {
        let skipped = usize::try_from(number.checked_sub(self.forgotten)?).unwrap_or(usize::MAX);
        Some(self.elements.iter().skip(skipped).copied())
    }
}

impl Memory {
    /// Keeps what ended and traded.
    pub(crate) fn keep(&mut self, change: &Change) {
        for order in change.orders.iter().filter(|order| order.state.is_terminal()) {
            let (number, forgotten) = self.orders.push(*order);
            if let Some(forgotten) = forgotten {
                self.ended.remove(&forgotten.client_order_id);
            }
            self.ended.insert(order.client_order_id, number);
        }
        for trade in &change.trades {
            self.trades.push(*trade);
        }
    }

    /// Whether an order of that id has ended and is remembered.
    pub(crate) fn knows(&self, id: ClientOrderId) -> bool {
        self.ended.contains_key(&id)
    }
}

impl Archive {
    pub(crate) fn in_memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// Opens the store: the archive, the stored book and what it was made with.
    pub(crate) async fn open(
        path: &Path,
        template: Book,
        balances: &[(Asset, Cash)],
    ) -> Result<(Self, Book, Vec<(Asset, Cash)>), StoreError> {
        let mut store = Store::open(path, &template, balances).await?;
        let (book, created_with) = (store.load(&template).await?, store.created_with().await?);
        Ok((Self::Sqlite(Box::new(store), Box::new(template)), book, created_with))
    }

    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Sqlite(store, _) => store.close().await,
        }
    }

    /// Keeps what ended and traded; with a store, makes the whole change durable.
    pub(crate) async fn write(&mut self, book: &Book, change: &Change) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.keep(change);
                Ok(())
            }
            Self::Sqlite(store, _) => store.write(book, change).await,
        }
    }

    /// The stored book; none without a store.
    pub(crate) async fn load(&mut self) -> Result<Option<Book>, StoreError> {
        match self {
            Self::Memory(_) => Ok(None),
            Self::Sqlite(store, template) => store.load(template).await.map(Some),
        }
    }

    /// Whether an order of that id has ended (with a store: was ever accepted).
    pub(crate) async fn knows(&mut self, id: ClientOrderId) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.knows(id)),
            Self::Sqlite(store, _) => store.knows(id).await,
        }
    }

    /// The ended order of that id.
    pub(crate) async fn order(
        &mut self,
        id: ClientOrderId,
        book: &Book,
    ) -> Result<Option<Order>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.ended.get(&id).and_then(|number| memory.orders.get(*number))),
            Self::Sqlite(store, _) => store.order(id, book).await,
        }
    }

    /// At most `limit` trades after that number, oldest first.
    pub(crate) async fn trades_after(
        &mut self,
        number: u64,
        limit: u32,
        book: &mut Book,
    ) -> Result<Vec<Trade>, StoreError> {
        match self {
            Self::Memory(memory) => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let trades = memory.trades.starting_at(number);
                Ok(trades.ok_or(StoreError::Forgotten { number })?.take(limit).collect())
            }
            Self::Sqlite(store, _) => store.trades_after(number, limit, book).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_found_by_their_numbers_and_older_ones_are_not_passed_over() {
        let mut latest = Latest::default();
        let size = REMEMBERED as u64;
        for element in 0..size + 3 {
            let forgotten = element.checked_sub(size);
            assert_eq!(latest.push(element), (element, forgotten));
        }
        for number in [3, 4, size, size + 2] {
            assert_eq!(latest.get(number), Some(number));
            let rest: Vec<_> = latest.starting_at(number).unwrap().collect();
            assert_eq!(rest, (number..size + 3).collect::<Vec<_>>());
        }
        assert_eq!((latest.get(2), latest.get(size + 3)), (None, None));
        assert!(latest.starting_at(2).is_none(), "a part of them must not be taken for all");
        assert_eq!(latest.starting_at(u64::MAX).unwrap().next(), None);
    }
}
