//! Why the paper venue refuses an order: a closed list, each with its code.

use smol_str::SmolStr;

/// A refusal. The order is not remembered; its client order id may be used again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Rejection {
    /// No such instrument.
    #[error("{symbol} is not traded here; use a symbol of the market data")]
    UnknownSymbol {
        /// What was asked for.
        symbol: String,
    },
    /// The id belongs to an order the venue has or had. Ids are never free again.
    #[error("client order id {id} belongs to an order that was accepted before; look that order up")]
    DuplicateClientOrderId {
        /// Which.
        id: String,
    },
    /// It came too late.
    #[error("the order was valid until {valid_until} ms and arrived at {now} ms; decide anew")]
    Expired {
        /// Its last moment, milliseconds since 1970.
        valid_until: i64,
        /// When it came, milliseconds since 1970.
        now: i64,
    },
    /// Not a positive multiple of the lot.
    #[error("the quantity {quantity} is not a positive multiple of the lot {lot}; round it down to the lot")]
    LotSize {
        /// What was ordered.
        quantity: String,
        /// The lot.
        lot: String,
    },
    /// Not a positive multiple of the tick.
    #[error("the price {price} is not a positive multiple of the tick {tick}; round it to the tick")]
    PriceFilter {
        /// What was given.
        price: String,
        /// The tick.
        tick: String,
    },
    /// No bar of the instrument was seen yet, so a market buy cannot be bounded.
    #[error("{symbol} has no price yet; wait for its first bar")]
    NoReferencePrice {
        /// Which.
        symbol: String,
    },
    /// A buy that is worth too little. Sells are exempt: what is held can always be sold.
    #[error("the order is worth {notional}, below the minimum of {minimum}; buy more or not at all")]
    MinNotional {
        /// Its worth at the reference price.
        notional: String,
        /// The instrument's minimum.
        minimum: String,
    },
    /// The free balance does not cover it.
    #[error(
        "the order needs {needed} {asset} and {free} are free; cancel orders that hold it back, or order less"
    )]
    InsufficientFunds {
        /// Of what.
        asset: String,
        /// With slippage and fee.
        needed: String,
        /// What is there and not held back.
        free: String,
    },
    /// A product that cannot be held exactly.
    #[error("the order's amounts are too large to be computed exactly; order less")]
    AmountTooLarge,
}

impl Rejection {
    /// The stable code.
    pub fn code(&self) -> SmolStr {
        SmolStr::new_static(self.into())
    }
}
