//! The port every venue is used through, in the shape real exchanges have.
//!
//! It promises to tell three things apart: the venue said yes, the venue said no, and nobody knows. An implementation
//! sends each request once; it never retries an order and never turns a failed call into "not found".

use std::ops::Range;

use smol_str::{SmolStr, format_smolstr};
pub use tradewind_core::external::{ExternalOrder, ExternalTrade};
use tradewind_core::money::{Cash, Quantity};
use tradewind_core::name::{Asset, Symbol};
pub use tradewind_core::order::OrderRef;
use tradewind_core::order::{ClientOrderId, Fill, OrderKind, OrderRequest, OrderState, OrderUpdate, Side};
pub use tradewind_core::protocol::VenueTerms;
pub use tradewind_core::recovery::FillCursor;
use tradewind_core::time::Timestamp;

/// What came of sending an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceOutcome {
    /// The venue has it.
    Accepted {
        /// The venue's id of it.
        venue_order_id: SmolStr,
    },
    /// The venue refused it, with a code that is listed as a refusal.
    Rejected {
        /// The venue's code.
        code: SmolStr,
        /// The venue's words.
        message: String,
    },
    /// It was not sent and cannot be as it is: the venue takes no such order.
    Denied {
        /// What it would not take.
        message: String,
    },
    /// Nothing was executed: it was not sent, because the request budget is used up, the venue has banned us for a while
    /// or its clock is not known well enough to sign; or the venue stopped it at its gate, with a code that is listed as
    /// that. It may be sent later as it is.
    Throttled {
        /// Not worth trying before.
        retry_at: Timestamp,
        /// Why.
        message: String,
    },
    /// No answer, or one that says nothing. The order must be looked up before anything else is done with it.
    Unknown {
        /// What was seen.
        message: String,
    },
}

impl From<PlaceOutcome> for OrderUpdate {
    fn from(outcome: PlaceOutcome) -> Self {
        match outcome {
            PlaceOutcome::Accepted { venue_order_id } => Self::Accepted { venue_order_id },
            PlaceOutcome::Rejected { code, message } => Self::Rejected { code, message },
            PlaceOutcome::Denied { message } => Self::Denied { message },
            PlaceOutcome::Throttled { retry_at, message } => Self::Throttled { retry_at, message },
            PlaceOutcome::Unknown { message } => Self::Unknown { message },
        }
    }
}

/// What came of a cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelOutcome {
    /// The order is ended; what had filled stays.
    Cancelled {
        /// How much of it was executed in all. A venue whose answer does not say answers [`Self::AlreadyDone`].
        executed: Quantity,
    },
    /// The order has ended, now or before, and how is not said: look it up and read its fills.
    AlreadyDone,
    /// The venue answered that it has no such order.
    NotFound,
    /// Nobody knows; a cancel may be repeated freely.
    Unknown {
        /// What was seen.
        message: String,
    },
}

/// What the venue knows of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// It has it, or had it.
    Found(OrderSnapshot),
    /// The venue answered, and does not have it.
    NotFound,
    /// The venue did not answer in a way that can be relied on.
    Unknown {
        /// What was seen.
        message: String,
    },
}

/// An order as the venue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSnapshot {
    /// Our id of it.
    pub client_order_id: ClientOrderId,
    /// The venue's id of it.
    pub venue_order_id: SmolStr,
    /// In which instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How.
    pub kind: OrderKind,
    /// How much was ordered.
    pub quantity: Quantity,
    /// How much of it has filled.
    pub filled: Quantity,
    /// Where it stands: accepted, partly filled, filled, cancelled, expired or rejected.
    pub state: OrderState,
}

impl From<&OrderSnapshot> for ExternalOrder {
    /// An order that the account has and the ledger does not.
    fn from(order: &OrderSnapshot) -> Self {
        Self {
            venue_order_id: order.venue_order_id.clone(),
            client_order_id: format_smolstr!("{}", order.client_order_id),
            symbol: order.symbol.clone(),
            side: order.side,
        }
    }
}

/// One page of an account's trades.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FillPage {
    /// Trades of orders whose ids have the shape of ours, oldest first within an instrument.
    pub fills: Vec<Fill>,
    /// Trades of orders that cannot be ours.
    pub external: Vec<ExternalTrade>,
    /// Where the next page begins. The cursor that was asked with: there is no more.
    pub next: FillCursor,
}

/// The orders that are open at the venue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenOrders {
    /// Orders whose ids have the shape of ours, oldest first.
    pub orders: Vec<OrderSnapshot>,
    /// Orders that cannot be ours.
    pub external: Vec<ExternalOrder>,
}

/// What an account holds of one asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetBalance {
    /// Which.
    pub asset: Asset,
    /// All of it.
    pub total: Cash,
    /// The part that open orders do not hold back.
    pub free: Cash,
}

/// Why a venue could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum VenueError {
    /// The paper venue's book cannot be read or written.
    #[error("the paper venue cannot answer: {0}")]
    Paper(#[from] crate::paper::PaperError),
    /// Binance.US cannot be asked, or its answer not be relied on.
    #[error(transparent)]
    Binance(#[from] crate::binance_us::BinanceError),
    /// A venue in virtual time does not know the time before somebody told it.
    #[error("the paper venue does not know the time yet; feed it a bar or an order first")]
    NoTime,
}

/// An exchange, or something that behaves like one.
///
/// Used with static dispatch on one thread; every answer is complete before it is returned, so what was answered has
/// happened at the venue.
#[expect(async_fn_in_trait, reason = "used on a current-thread runtime: no caller needs Send futures")]
pub trait Venue {
    /// What bounds the doubt about an order of unknown outcome here.
    fn terms(&self) -> VenueTerms;

    /// Sends an order, once. `now` is the time it is sent at.
    async fn place(&mut self, request: &OrderRequest, now: Timestamp) -> PlaceOutcome;

    /// Ends an order. May be repeated freely.
    async fn cancel(&mut self, order: &OrderRef, now: Timestamp) -> CancelOutcome;

    /// Asks for one order, open or ended. [`Lookup::NotFound`] only when the venue answered so.
    async fn lookup(&mut self, order: &OrderRef) -> Lookup;

    /// Looks for an order that was not found by its id among all orders of its instrument of that span, open or ended. Asked
    /// before "not found" ends an order: an index of ids may be late, or forget.
    async fn search(&mut self, order: &OrderRef, span: Range<Timestamp>) -> Lookup;

    /// All orders that are open.
    async fn open_orders(&mut self) -> Result<OpenOrders, VenueError>;

    /// Trades after the cursor. One page: ask again from [`FillPage::next`] until it no longer moves. Trades may be told
    /// again, never left out.
    async fn fills_since(&mut self, cursor: &FillCursor) -> Result<FillPage, VenueError>;

    /// What the account holds, assets without a balance included.
    async fn balances(&mut self) -> Result<Vec<AssetBalance>, VenueError>;

    /// The venue's time.
    async fn time(&mut self) -> Result<Timestamp, VenueError>;
}
