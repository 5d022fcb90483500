//! What the book no longer holds: ended orders and past trades, in memory or in the store.

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
    /// Here; compact records, gone when the process is.
    Memory(Memory),
    /// In the file. The template is the empty book that stored state is read into.
    Sqlite(Box<Store>, Box<Book>),
}

/// The past, in memory: all that is asked of it is answered at once.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Where in `orders`.
    ended: IdMap<usize>,
    orders: Grown<Order>,
    /// Trade number n is at n - 1.
    trades: Grown<Trade>,
}

/// Elements of a [`Grown`] that lie together.
const BLOCK: usize = 512;

/// A list that only grows, in blocks: none of what it holds is ever moved to make room.
#[derive(Debug)]
struct Grown<T> {
    blocks: Vec<Vec<T>>,
    length: usize,
}

impl<T> Default for Grown<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), length: 0 }
    }
}

impl<T: Copy> Grown<T> {
    /// Appends an element; its index.
    fn push(&mut self, element: T) -> usize {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(element),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(element);
                self.blocks.push(block);
            }
        }
        self.length += 1;
        self.length - 1
    }

    fn get(&self, index: usize) -> Option<T> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK).copied()
    }

    /// All from that index on.
    fn starting_at(&self, index: usize) -> impl Iterator<Item = T> {
        self.blocks.iter().skip(index / BLOCK).flatten().skip(index % BLOCK).copied()
    }
}

impl Memory {
    /// Keeps what ended and traded.
    pub(crate) fn keep(&mut self, change: &Change) {
        for order in change.orders.iter().filter(|order| order.state.is_terminal()) {
            let place = self.orders.push(*order);
            self.ended.insert(order.client_order_id, place);
        }
        for trade in &change.trades {
            self.trades.push(*trade);
        }
    }

    /// Whether an order of that id has ended.
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
            Self::Memory(memory) => Ok(memory.ended.get(&id).and_then(|place| memory.orders.get(*place))),
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
                let skipped = usize::try_from(number).unwrap_or(usize::MAX);
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                Ok(memory.trades.starting_at(skipped).take(limit).collect())
            }
            Self::Sqlite(store, _) => store.trades_after(number, limit, book).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_several_blocks_is_found_at_its_place() {
        let mut grown = Grown::default();
        for element in 0..2 * BLOCK + 3 {
            assert_eq!(grown.push(element), element);
        }
        for index in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 2] {
            assert_eq!(grown.get(index), Some(index));
            assert_eq!(
                grown.starting_at(index).collect::<Vec<_>>(),
                (index..2 * BLOCK + 3).collect::<Vec<_>>()
            );
        }
        assert_eq!((grown.get(2 * BLOCK + 3), grown.starting_at(2 * BLOCK + 3).next()), (None, None));
        assert_eq!(grown.starting_at(usize::MAX).next(), None);
    }
}
