//! Orders: the intent that is durable before a byte leaves, the request made of it, and what is told of it. What may
//! happen to an order is in [`crate::protocol`].
//!
//! *Denied* means refused by us: mostly by a decision (see [`crate::denial`]), which makes no order, or else by the adapter
//! that was to send it; *rejected* means refused by the venue. An order whose outcome is not known is [`OrderState::Unknown`] and is never sent again before a look-up.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::{Cash, Price, Quantity};
use crate::name::{Asset, Symbol, Uid};
use crate::protocol::Signature;
use crate::time::Timestamp;

/// The number of an intent, unique in its ledger and rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentId(pub u64);

/// The first 32 bits of every client order id of a ledger; tells our orders from others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u32);

/// Counts the workers that ever owned a ledger; only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// How often the same intent was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempt(pub u32);

/// Our id of an order at the venue: a version-8 UUID, 36 characters, made from what the order is, never from time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientOrderId(pub Uuid);

impl ClientOrderId {
    /// The id of that intent in that ledger.
    pub fn derive(incarnation: Incarnation, strategy: Uid, intent: IntentId) -> Self {
        let mut text = [0_u8; 52];
        text[..28].copy_from_slice(b"tradewind client order id v1");
        text[28..44].copy_from_slice(strategy.0.as_bytes());
        text[44..].copy_from_slice(&intent.0.to_be_bytes());
        let digest = blake3::hash(&text);
        let mut bytes = [0_u8; 16];
        bytes[..4].copy_from_slice(&incarnation.0.to_be_bytes());
        bytes[4..].copy_from_slice(&digest.as_bytes()[..12]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The ledger it was made for.
    pub fn incarnation(self) -> Incarnation {
        let (tag, _, _, _) = self.0.as_fields();
        Incarnation(tag)
    }
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How a venue is told which order is meant. Some venues know our ids only within an instrument, so both travel together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRef {
    /// What the venue knows it by.
    pub client_order_id: ClientOrderId,
    /// In which instrument it was placed.
    pub symbol: Symbol,
}

impl From<&Intent> for OrderRef {
    fn from(intent: &Intent) -> Self {
        Self { client_order_id: intent.client_order_id, symbol: intent.symbol.clone() }
    }
}

impl From<&OrderRequest> for OrderRef {
    fn from(request: &OrderRequest) -> Self {
        Self { client_order_id: request.client_order_id, symbol: request.symbol.clone() }
    }
}

/// Buy or sell.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display,
)]
pub enum Side {
    /// Pay quote, receive base.
    Buy,
    /// Pay base, receive quote.
    Sell,
}

/// How an order is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderKind {
    /// At once, at the market's price.
    Market,
    /// At that price or better, resting until then.
    Limit {
        /// Worst acceptable price.
        price: Price,
    },
    /// At once, at that price or better; what cannot be filled so ends.
    ImmediateOrCancel {
        /// Worst acceptable price.
        price: Price,
    },
    /// A market order once the price has reached the trigger.
    Stop {
        /// The price that sets it off.
        trigger: Price,
    },
}

/// Why an order is made.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
pub enum Purpose {
    /// Adds risk.
    Entry,
    /// Reduces risk because the signal says so.
    SignalExit,
    /// Rests at the venue and reduces risk when the price falls to it.
    StopLoss,
    /// Reduces risk because the price fell to the stop while no stop order rested at the venue.
    StopGuard,
    /// Reduces risk because no stop order could be placed at the venue in time.
    Flatten,
    /// Reduces risk because a halt or a deletion demands it.
    Liquidation,
}

impl Purpose {
    /// Whether the order adds risk.
    pub fn is_entry(self) -> bool {
        self == Self::Entry
    }
}

/// An order we have decided on. It is durable before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Its number.
    pub id: IntentId,
    /// What the venue knows it by.
    pub client_order_id: ClientOrderId,
    /// Whose it is.
    pub strategy: Uid,
    /// In which instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How.
    pub kind: OrderKind,
    /// How much.
    pub quantity: Quantity,
    /// Why.
    pub purpose: Purpose,
    /// The price it was sized at.
    pub reference_price: Price,
    /// Open time of the decision bar it follows from; the event's time for orders that follow from no decision.
    pub decision_bar: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// An entry is not sent after this. The signature of a sending has an end of its own, which comes sooner.
    pub valid_until: Timestamp,
    /// The worker that decided it.
    pub epoch: Epoch,
}

/// The request as the venue gets it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRequest {
    /// The intent it comes from.
    pub intent: IntentId,
    /// Which sending of it this is.
    pub attempt: Attempt,
    /// What the venue knows it by.
    pub client_order_id: ClientOrderId,
    /// In which instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// How.
    pub kind: OrderKind,
    /// How much.
    pub quantity: Quantity,
    /// Not to be accepted after this.
    pub valid_until: Timestamp,
    /// The span in which the venue takes this sending.
    pub signature: Signature,
}

impl Intent {
    /// The request of one sending. It follows from what is durable alone, so it is the same whoever makes it.
    pub fn request(&self, attempt: Attempt, signature: Signature) -> OrderRequest {
        let life = self.valid_until.since(self.decided_at);
        // An exit does not grow stale: its request is as young as its signature.
        let exit_until = signature.signed_at.plus(life);
        OrderRequest {
            intent: self.id,
            attempt,
            client_order_id: self.client_order_id,
            symbol: self.symbol.clone(),
            side: self.side,
            kind: self.kind,
            quantity: self.quantity,
            valid_until: if self.purpose.is_entry() { self.valid_until } else { exit_until },
            signature,
        }
    }
}

/// Hash of a request: what was durable is what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHash(pub [u8; 32]);

impl fmt::Display for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl OrderRequest {
    /// blake3 over what the venue is asked for, in this order: a domain text, the client order id (16 bytes), length and
    /// text of the symbol, side, kind and its price, quantity, valid-until, signed-at and the signature's end. Numbers are
    /// big-endian. Which attempt it is stays out: the venue does not see it.
    pub fn hash(&self) -> RequestHash {
        let symbol = self.symbol.to_string();
        let (kind, price) = match self.kind {
            OrderKind::Market => (0_u8, 0),
            OrderKind::Limit { price } => (1, price.0),
            OrderKind::Stop { trigger } => (2, trigger.0),
            OrderKind::ImmediateOrCancel { price } => (3, price.0),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"tradewind order request v1");
        hasher.update(self.client_order_id.0.as_bytes());
        hasher.update(&u64::try_from(symbol.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(symbol.as_bytes());
        hasher.update(&[u8::from(self.side == Side::Sell), kind]);
        let times = [self.valid_until.0, self.signature.signed_at.0, self.signature.valid_until.0];
        for number in [price, self.quantity.0].into_iter().chain(times) {
            hasher.update(&number.to_be_bytes());
        }
        RequestHash(*hasher.finalize().as_bytes())
    }
}

/// That one sending of an intent is about to happen: durable before it does, as its intent is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// Whose.
    pub intent: IntentId,
    /// Which sending of it.
    pub attempt: Attempt,
    /// The worker that will send it.
    pub epoch: Epoch,
    /// The span in which the venue takes it.
    pub signature: Signature,
    /// What will be sent. A ledger keeps its hash; it is made there, because a backtest keeps none.
    pub request: OrderRequest,
}

/// Where an order stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
pub enum OrderState {
    /// Decided, not yet sent.
    Intended,
    /// On its way; the venue has not answered.
    Sent,
    /// The venue has it; nothing filled.
    Accepted,
    /// Partly filled, the rest still open.
    PartiallyFilled,
    /// Filled to the last unit.
    Filled,
    /// Ended by a cancel; what had filled stays.
    Cancelled,
    /// Ended by the venue or by age; what had filled stays.
    Expired,
    /// Refused by the venue.
    Rejected,
    /// Refused by us when it was to be sent, as an order that the venue does not take: it never left.
    Denied,
    /// Sent, and nobody knows what came of it.
    Unknown,
    /// The venue has proven not to have it.
    Absent,
}

impl OrderState {
    /// Whether the venue has the order, and may still execute it.
    pub fn is_at_the_venue(self) -> bool {
        matches!(self, Self::Accepted | Self::PartiallyFilled)
    }

    /// Whether nothing can happen to the order any more, but for late fills.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Intended | Self::Sent | Self::Accepted | Self::PartiallyFilled | Self::Unknown => false,
            Self::Filled | Self::Cancelled | Self::Expired | Self::Rejected | Self::Denied | Self::Absent => {
                true
            }
        }
    }
}

/// The venue's id of a trade; the key that makes a fill count once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TradeId(pub smol_str::SmolStr);

/// What a trade cost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fee {
    /// The asset it was taken in.
    pub asset: Asset,
    /// How much; never negative.
    pub amount: Cash,
}

/// Whether the order rested or took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Liquidity {
    /// It rested in the book.
    Maker,
    /// It took from the book.
    Taker,
}

/// A trade of one of our orders, as the venue tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// The venue's id of it.
    pub trade_id: TradeId,
    /// The order it belongs to.
    pub client_order_id: ClientOrderId,
    /// In which instrument.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// At what price.
    pub price: Price,
    /// How much.
    pub quantity: Quantity,
    /// What it cost.
    pub fee: Fee,
    /// Maker or taker.
    pub liquidity: Liquidity,
    /// The venue's time of it.
    pub at: Timestamp,
}

/// What the venue says of an order, beside its fills.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderUpdate {
    /// It has the order under that id of its own.
    Accepted {
        /// The venue's id.
        venue_order_id: smol_str::SmolStr,
    },
    /// It refused the order.
    Rejected {
        /// Its code, as listed in the adapter's outcome table.
        code: smol_str::SmolStr,
        /// Its words.
        message: String,
    },
    /// It cannot be sent as it is: nothing left the worker. Not the venue's word, but what its adapter knows of it.
    Denied {
        /// What the venue would not take.
        message: String,
    },
    /// It ended the order on our cancel.
    Cancelled {
        /// How much of it was executed in all, whether or not we have heard of it.
        executed: Quantity,
    },
    /// It ended the order by itself.
    Expired {
        /// How much of it was executed in all, whether or not we have heard of it.
        executed: Quantity,
    },
    /// No answer, or one that says nothing.
    Unknown {
        /// What was seen.
        message: String,
    },
    /// Nothing was sent, or the venue stopped it at its gate: it may be sent later, as it is.
    Throttled {
        /// Not worth trying before.
        retry_at: Timestamp,
        /// Why.
        message: String,
    },
    /// Asked by id, it does not have the order, and the fills read after that do not tell of it.
    NotFound {
        /// When it was asked.
        asked_at: Timestamp,
    },
}

/// A legal step of one order; append-only in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Whose.
    pub intent: IntentId,
    /// Which sending of it.
    pub attempt: Attempt,
    /// The worker that saw it.
    pub epoch: Epoch,
    /// From where.
    pub from: OrderState,
    /// To where.
    pub to: OrderState,
    /// When.
    pub at: Timestamp,
    /// The venue's id or words, when it gave any.
    pub detail: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_order_ids_carry_the_ledgers_tag_and_are_uuids_of_36_characters() {
        let strategy = Uid(Uuid::from_u128(7));
        let id = ClientOrderId::derive(Incarnation(0xdead_beef), strategy, IntentId(1));
        assert_eq!(id.to_string().len(), 36);
        assert!(id.to_string().starts_with("deadbeef-"));
        assert_eq!((id.0.get_version_num(), id.incarnation()), (8, Incarnation(0xdead_beef)));
        assert_eq!(id, ClientOrderId::derive(Incarnation(0xdead_beef), strategy, IntentId(1)));
        let mut ids: Vec<_> =
            (0..1000).map(|n| ClientOrderId::derive(Incarnation(1), strategy, IntentId(n))).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 1000);
    }
}
