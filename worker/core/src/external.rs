//! What is on the account and no worker of this ledger did: recorded, told, never counted and never touched.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::money::{Price, Quantity};
use crate::name::Symbol;
use crate::order::{Side, TradeId};
use crate::time::Timestamp;

/// A trade of an order that was not placed by a worker of this ledger. It is never counted as ours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalTrade {
    /// The venue's id of it.
    pub trade_id: TradeId,
    /// An id of its order: the venue's, or its owner's if that has the shape of ours.
    pub venue_order_id: SmolStr,
    /// In which instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// At what price.
    pub price: Price,
    /// How much.
    pub quantity: Quantity,
    /// The venue's time of it.
    pub at: Timestamp,
}

/// An open order that was not placed by a worker of this ledger. It is never touched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalOrder {
    /// The venue's id of it.
    pub venue_order_id: SmolStr,
    /// The id its owner gave it.
    pub client_order_id: SmolStr,
    /// In which instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
}

/// Something on the account that no worker of this ledger did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum External {
    /// An open order.
    Order {
        /// The order.
        order: ExternalOrder,
        /// When it was first seen.
        seen_at: Timestamp,
    },
    /// A trade.
    Trade(ExternalTrade),
}
