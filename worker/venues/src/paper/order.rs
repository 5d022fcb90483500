//! The plain records of the paper book, in units and indices, and the change that carries the book from one state to
//! the next. A change is made whole or not at all; the store writes the same change that the book applies.

use smallvec::SmallVec;
use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::{Cash, MoneyError, Price, Quantity};
use tradewind_core::order::{ClientOrderId, Liquidity, OrderKind, OrderState, Side};
use tradewind_core::time::Timestamp;

/// An order the venue has or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// Rising by one; the venue's order id is made from it.
    pub(crate) number: u64,
    pub(crate) client_order_id: ClientOrderId,
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
    pub(crate) kind: OrderKind,
    pub(crate) quantity: Quantity,
    pub(crate) filled: Quantity,
    pub(crate) state: OrderState,
    pub(crate) placed_at: Timestamp,
    /// The price its cash is held back at; only buys have one.
    pub(crate) bound: Price,
    /// What it holds back: quote for a buy, base for a sell.
    pub(crate) reserved: Cash,
    /// A stop that was set off is a market order from then on.
    pub(crate) triggered: bool,
}

impl Order {
    pub(crate) fn remaining(&self) -> Quantity {
        Quantity(self.quantity.0.saturating_sub(self.filled.0))
    }
}

/// A trade of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trade {
    /// Rising by one; the trade id and the fill cursor are made from it.
    pub(crate) number: u64,
    pub(crate) client_order_id: ClientOrderId,
    pub(crate) instrument: InstrumentId,
    pub(crate) side: Side,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) fee_asset: AssetIndex,
    pub(crate) fee: Cash,
    pub(crate) liquidity: Liquidity,
    pub(crate) at: Timestamp,
}

/// Where an asset stands in the book's list; stable while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AssetIndex(pub(crate) usize);

/// What the account holds of one asset. `0 <= reserved <= total` always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Holding {
    pub(crate) total: Cash,
    pub(crate) reserved: Cash,
}

impl Holding {
    pub(crate) fn free(self) -> Result<Cash, MoneyError> {
        self.total.checked_sub(self.reserved)
    }
}

/// How far an instrument has come. Times before the first bar are the smallest there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Open time of the last bar whose open was matched.
    pub(crate) open: Timestamp,
    /// Open time of the last bar whose range was matched.
    pub(crate) range: Timestamp,
    /// What our orders traded in the bar of `open` or `range`, whichever is later.
    pub(crate) used: Quantity,
    /// Close of the last bar; none before the first.
    pub(crate) close: Option<Price>,
}

impl Default for Marks {
    fn default() -> Self {
        let never = Timestamp(i64::MIN);
        Self { open: never, range: never, used: Quantity::ZERO, close: None }
    }
}

/// Numbers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    /// Changes made to the book.
    pub(crate) version: u64,
    /// The last order's number.
    pub(crate) orders: u64,
    /// The last trade's number.
    pub(crate) trades: u64,
}

/// One change of the book. Nearly always it is of one order, and of two or three assets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The version it was made from.
    pub(crate) from_version: u64,
    pub(crate) counters: Counters,
    pub(crate) instrument: InstrumentId,
    pub(crate) marks: Marks,
    /// Orders as they are afterwards.
    pub(crate) orders: SmallVec<[Order; 1]>,
    pub(crate) trades: SmallVec<[Trade; 1]>,
    /// Holdings as they are afterwards, where they changed.
    pub(crate) holdings: SmallVec<[(AssetIndex, Holding); 3]>,
}
