//! The journal: what reached the engine and what became of it, append-only. Nothing of it depends on what was answered.

use rust_decimal::Decimal;
use serde::Serialize;

use super::{NewOrder, Refusal, Trade};

/// One fact, numbered from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// When, by the exchange's clock.
    pub at: i64,
    /// What.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fact", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fact {
    /// Money came, or went.
    Deposit {
        /// Which asset.
        asset: String,
        /// How much.
        amount: Decimal,
    },
    /// An order was taken.
    Accepted {
        /// The exchange's id.
        order_id: u64,
        /// As it was sent.
        order: NewOrder,
    },
    /// An order was not taken.
    Refused {
        /// As it was sent.
        order: NewOrder,
        /// Why.
        why: Refusal,
    },
    /// Something traded.
    Traded(Trade),
    /// A stop went off.
    Triggered {
        /// The exchange's id.
        order_id: u64,
        /// The client's.
        client_order_id: String,
    },
    /// The owner ended an order.
    Cancelled {
        /// The exchange's id.
        order_id: u64,
        /// The client's.
        client_order_id: String,
    },
    /// The exchange ended an order.
    Expired {
        /// The exchange's id.
        order_id: u64,
        /// The client's.
        client_order_id: String,
    },
}
