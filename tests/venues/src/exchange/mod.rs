//! The exchange itself: accounts, orders, a matching engine, and the journal of what really happened.
//!
//! Pure: time comes with each call, in milliseconds since 1970 UTC; nothing is random. One account.

mod journal;
mod matching;
mod symbol;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use journal::{Entry, Fact};
pub use matching::{Kind, NewOrder, Refusal, Side, TimeInForce};
pub use symbol::{Quote, Symbol};

/// Which repeated client order ids are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dedupe {
    /// Any that was ever used.
    ForEver,
    /// Those of an order that is open: what the exchange documents.
    #[default]
    WhileOpen,
    /// None.
    Never,
}

/// Where an order stands, as the exchange spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// In the book, or waiting for its trigger.
    New,
    /// Part of it has traded.
    PartiallyFilled,
    /// All of it has traded.
    Filled,
    /// Cancelled by its owner.
    Canceled,
    /// Ended by the exchange.
    Expired,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The exchange's id.
    pub order_id: u64,
    /// The client's id.
    pub client_order_id: String,
    /// As it was sent.
    pub request: NewOrder,
    /// How much has traded.
    pub executed: Decimal,
    /// What that cost or brought, in the quote asset.
    pub executed_quote: Decimal,
    /// Where it stands.
    pub status: Status,
    /// Whether a stop has been triggered; true for all others.
    pub working: bool,
    /// When it was accepted.
    pub time: i64,
    /// When it changed last.
    pub update_time: i64,
    /// What it still holds back, of the asset it pays with.
    pub(crate) locked: Decimal,
}

impl Order {
    /// Whether it can still trade.
    pub fn is_open(&self) -> bool {
        matches!(self.status, Status::New | Status::PartiallyFilled)
    }

    /// What has not traded.
    pub fn rest(&self) -> Decimal {
        self.request.quantity - self.executed
    }
}

/// A trade of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trade {
    /// Its id.
    pub id: u64,
    /// The exchange's id of the order.
    pub order_id: u64,
    /// The client's id of the order.
    pub client_order_id: String,
    /// In what.
    pub symbol: String,
    /// Of which side the order was.
    pub side: Side,
    /// At what price.
    pub price: Decimal,
    /// How much of the base asset.
    pub quantity: Decimal,
    /// The fee.
    pub commission: Decimal,
    /// The asset it was taken in: the one that was received.
    pub commission_asset: String,
    /// Whether the order was resting.
    pub is_maker: bool,
    /// When.
    pub time: i64,
}

/// What an account has of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Can be used.
    pub free: Decimal,
    /// Held back by open orders.
    pub locked: Decimal,
}

/// How the exchange behaves; changed over the control port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Behaviour {
    /// Which repeated client order ids are refused.
    pub dedupe: Dedupe,
    /// Whether orders are found by the ids of clients. The history of orders tells of them all the same.
    pub finds_by_client_id: bool,
    /// How long after its acceptance an order, or a trade, is not seen by queries, in milliseconds.
    pub query_lag_ms: i64,
    /// Added to the machine's clock, in milliseconds.
    pub clock_offset_ms: i64,
    /// Of what a taking order finds, so many percent trade at once.
    pub fill_percent: u32,
    /// Whether trading is closed: orders and cancels are refused, symbols say BREAK.
    pub maintenance: bool,
    /// Commission of a resting order, as a share of what is received.
    pub maker_fee: Decimal,
    /// Commission of a taking order.
    pub taker_fee: Decimal,
    /// Weight that may be used in a minute.
    pub weight_limit: u32,
    /// Orders that may be sent in ten seconds.
    pub order_limit: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            dedupe: Dedupe::default(),
            finds_by_client_id: true,
            query_lag_ms: 0,
            clock_offset_ms: 0,
            fill_percent: 100,
            maintenance: false,
            maker_fee: Decimal::new(1, 3),
            taker_fee: Decimal::new(1, 3),
            weight_limit: 1_200,
            order_limit: 100,
        }
    }
}

/// The exchange.
#[derive(Debug, Default)]
pub struct Exchange {
    /// How it behaves.
    pub behaviour: Behaviour,
    pub(crate) symbols: BTreeMap<String, Symbol>,
    pub(crate) balances: BTreeMap<String, Balance>,
    pub(crate) orders: Vec<Order>,
    pub(crate) trades: Vec<Trade>,
    journal: Vec<Entry>,
}

impl Exchange {
    /// One with those symbols and no money.
    pub fn new(symbols: impl IntoIterator<Item = Symbol>) -> Self {
        let symbols = symbols.into_iter().map(|symbol| (symbol.name.clone(), symbol)).collect();
        Self { symbols, ..Self::default() }
    }

    /// Puts an amount onto the account, or takes it (negative), as a deposit does.
    pub fn deposit(&mut self, asset: &str, amount: Decimal, now: i64) {
        self.balances.entry(asset.to_owned()).or_default().free += amount;
        self.note(now, Fact::Deposit { asset: asset.to_owned(), amount });
    }

    /// What the account has, by asset.
    pub fn balances(&self) -> &BTreeMap<String, Balance> {
        &self.balances
    }

    /// All orders there ever were, oldest first.
    pub fn orders(&self) -> &[Order] {
        &self.orders
    }

    /// All trades there ever were, oldest first.
    pub fn trades(&self) -> &[Trade] {
        &self.trades
    }

    /// What has happened, oldest first: the ground truth.
    pub fn journal(&self) -> &[Entry] {
        &self.journal
    }

    /// The symbols.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.values()
    }

    /// A symbol.
    pub fn symbol(&self, name: &str) -> Option<&Symbol> {
        self.symbols.get(name)
    }

    /// The newest order that queries see at that time, by either id.
    pub fn find(&self, symbol: &str, id: Id<'_>, now: i64) -> Option<&Order> {
        self.seen(now).filter(|order| order.request.symbol == symbol).rfind(|order| id.is_of(order))
    }

    /// The orders that queries see at that time.
    pub fn seen(&self, now: i64) -> impl DoubleEndedIterator<Item = &Order> {
        let horizon = now - self.behaviour.query_lag_ms;
        self.orders.iter().filter(move |order| order.time <= horizon)
    }

    /// The trades of a symbol that queries see at that time.
    pub fn seen_trades<'a>(&'a self, symbol: &'a str, now: i64) -> impl Iterator<Item = &'a Trade> {
        let horizon = now - self.behaviour.query_lag_ms;
        self.trades.iter().filter(move |trade| trade.symbol == symbol && trade.time <= horizon)
    }

    pub(crate) fn note(&mut self, at: i64, fact: Fact) {
        let seq = self.journal.last().map_or(1, |last| last.seq + 1);
        self.journal.push(Entry { seq, at, fact });
    }
}

/// How an order is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id<'a> {
    /// By the exchange's id.
    Order(u64),
    /// By the client's.
    Client(&'a str),
}

impl Id<'_> {
    pub(crate) fn is_of(self, order: &Order) -> bool {
        match self {
            Self::Order(id) => order.order_id == id,
            Self::Client(id) => order.client_order_id == id,
        }
    }
}
