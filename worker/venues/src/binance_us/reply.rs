//! What the venue's answers say, read strictly: an answer that is cut off, lacks a field, or holds a number that does
//! not fit is an error, never half an answer.

use serde::Deserialize;
use smol_str::{SmolStr, format_smolstr};
use tradewind_core::instrument::{Bar, InstrumentRules};
use tradewind_core::money::{Cash, MoneyError, Price, Quantity};
use tradewind_core::name::Asset;
use tradewind_core::order::{ClientOrderId, Fee, Fill, Liquidity, OrderKind, OrderState, Side, TradeId};
use tradewind_core::time::{Millis, Timestamp};
use uuid::Uuid;

use super::rules::{SymbolRules, asset};
use crate::port::{AssetBalance, ExternalOrder, ExternalTrade, OrderSnapshot};

/// Why an answer cannot be relied on.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// No JSON of that shape.
    #[error("the answer is not what the venue's documentation says: {0}")]
    Shape(#[from] serde_json::Error),
    /// A number that is none, or does not fit.
    #[error("the answer's {field}: {source}")]
    Number {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        source: MoneyError,
    },
    /// A word that we do not know.
    #[error("the answer's {field} is {word:?}, which is not known here")]
    Word {
        /// Which field.
        field: &'static str,
        /// What it says.
        word: String,
    },
    /// Something that cannot be.
    #[error("the answer contradicts itself or the question: {what}")]
    Contradiction {
        /// What.
        what: &'static str,
    },
}

/// Reads a whole answer. Fields that nobody asks for must be text too: what is damaged there is damaged.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReplyError> {
    let no_text = |_| ReplyError::Contradiction { what: "bytes that are no text" };
    Ok(serde_json::from_str(std::str::from_utf8(body).map_err(no_text)?)?)
}

/// An answer that is no success: a code and words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ErrorBody {
    /// The venue's code, below zero.
    pub code: i64,
    /// Its words.
    pub msg: String,
}

impl ErrorBody {
    /// Reads one. A success never has these two fields, and a code is never zero or more.
    pub fn parse(body: &[u8]) -> Option<Self> {
        read::<Self>(body).ok().filter(|error| error.code < 0)
    }
}

/// What an accepted order is answered with, as far as it identifies the order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledgement {
    symbol: SmolStr,
    order_id: u64,
    client_order_id: SmolStr,
    transact_time: i64,
    #[serde(default)]
    status: Option<SmolStr>,
}

impl Acknowledgement {
    /// Reads the answer to placing the order of that id, and gives the venue's number of it.
    pub fn parse(body: &[u8], id: ClientOrderId, rules: &SymbolRules) -> Result<u64, ReplyError> {
        let answer: Self = read(body)?;
        let ours = answer.symbol == rules.venue_symbol && answer.client_order_id == id.to_string();
        if !ours || answer.order_id == 0 || answer.transact_time <= 0 {
            return Err(ReplyError::Contradiction { what: "it is about another order" });
        }
        if let Some(status) = &answer.status
            && state(status)? == OrderState::Rejected
        {
            return Err(ReplyError::Contradiction { what: "a refusal without a code" });
        }
        Ok(answer.order_id)
    }
}

/// An order as the venue tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    symbol: SmolStr,
    /// The venue's number of it.
    pub order_id: u64,
    client_order_id: SmolStr,
    /// The answer to a cancel calls the order's own id so; `clientOrderId` is then the cancel's.
    #[serde(default)]
    orig_client_order_id: Option<SmolStr>,
    price: SmolStr,
    orig_qty: SmolStr,
    executed_qty: SmolStr,
    status: SmolStr,
    time_in_force: SmolStr,
    #[serde(rename = "type")]
    kind: SmolStr,
    side: SmolStr,
    #[serde(default)]
    stop_price: Option<SmolStr>,
}

/// Whose an order is, by the shape of its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// An id of the shape of ours.
    Worker(ClientOrderId),
    /// Any other.
    External(SmolStr),
}

impl Owner {
    fn of(text: &str) -> Self {
        // Ours are written one way only; another spelling of the same number is not ours.
        match Uuid::parse_str(text) {
            Ok(id) if id.to_string() == text => Self::Worker(ClientOrderId(id)),
            _ => Self::External(text.into()),
        }
    }
}

/// One order.
pub fn order(body: &[u8]) -> Result<Order, ReplyError> {
    read(body)
}

/// A list of orders.
pub fn orders(body: &[u8]) -> Result<Vec<Order>, ReplyError> {
    read(body)
}

impl Order {
    /// Whose it is.
    pub fn owner(&self) -> Owner {
        Owner::of(self.orig_client_order_id.as_ref().unwrap_or(&self.client_order_id))
    }

    /// Whether the answer is about that order.
    pub fn is(&self, id: ClientOrderId, rules: &SymbolRules) -> bool {
        self.symbol == rules.venue_symbol && self.owner() == Owner::Worker(id) && self.order_id > 0
    }

    /// Where it stands.
    pub fn state(&self) -> Result<OrderState, ReplyError> {
        state(&self.status)
    }

    /// How much of it was executed.
    pub fn executed(&self, rules: &SymbolRules) -> Result<Quantity, ReplyError> {
        quantity_or_zero(&rules.rules, &self.executed_qty, "executedQty")
    }

    /// The order in our words, if its id has the shape of ours.
    pub fn snapshot(&self, rules: &SymbolRules) -> Result<Result<OrderSnapshot, ExternalOrder>, ReplyError> {
        let side = side(&self.side)?;
        let (symbol, venue_order_id) = (rules.rules.symbol.clone(), format_smolstr!("{}", self.order_id));
        let client_order_id = match self.owner() {
            Owner::Worker(id) => id,
            Owner::External(client_order_id) => {
                return Ok(Err(ExternalOrder { venue_order_id, client_order_id, symbol, side }));
            }
        };
        if self.symbol != rules.venue_symbol {
            return Err(ReplyError::Contradiction { what: "an order in another symbol" });
        }
        let quantity = quantity(&rules.rules, &self.orig_qty, "origQty")?;
        let filled = self.executed(rules)?;
        let state = self.state()?;
        let fits = match state {
            OrderState::Filled => filled == quantity,
            OrderState::Accepted | OrderState::PartiallyFilled => filled < quantity,
            _ => filled <= quantity,
        };
        if !fits {
            return Err(ReplyError::Contradiction { what: "its quantities do not fit its status" });
        }
        let kind = self.kind(&rules.rules)?;
        Ok(Ok(OrderSnapshot { client_order_id, venue_order_id, symbol, side, kind, quantity, filled, state }))
    }

    fn kind(&self, rules: &InstrumentRules) -> Result<OrderKind, ReplyError> {
        match self.kind.as_str() {
            "MARKET" => Ok(OrderKind::Market),
            "LIMIT" if self.time_in_force == "GTC" => {
                Ok(OrderKind::Limit { price: price(rules, &self.price, "price")? })
            }
            "LIMIT" if self.time_in_force == "IOC" => {
                Ok(OrderKind::ImmediateOrCancel { price: price(rules, &self.price, "price")? })
            }
            "STOP_LOSS_LIMIT" => {
                let trigger = self.stop_price.as_deref().unwrap_or_default();
                Ok(OrderKind::Stop { trigger: price(rules, trigger, "stopPrice")? })
            }
            _ => Err(unknown_word("type", &self.kind)),
        }
    }
}

fn state(status: &str) -> Result<OrderState, ReplyError> {
    match status {
        "NEW" => Ok(OrderState::Accepted),
        "PARTIALLY_FILLED" => Ok(OrderState::PartiallyFilled),
        "FILLED" => Ok(OrderState::Filled),
        "CANCELED" => Ok(OrderState::Cancelled),
        "EXPIRED" | "EXPIRED_IN_MATCH" => Ok(OrderState::Expired),
        "REJECTED" => Ok(OrderState::Rejected),
        _ => Err(unknown_word("status", status)),
    }
}

fn side(text: &str) -> Result<Side, ReplyError> {
    match text {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        _ => Err(unknown_word("side", text)),
    }
}

fn unknown_word(field: &'static str, word: &str) -> ReplyError {
    ReplyError::Word { field, word: word.chars().take(40).collect() }
}

fn price(rules: &InstrumentRules, text: &str, field: &'static str) -> Result<Price, ReplyError> {
    let price = rules.parse_price(text).map_err(|source| ReplyError::Number { field, source })?;
    positive(price.0).map(|()| price)
}

fn quantity(rules: &InstrumentRules, text: &str, field: &'static str) -> Result<Quantity, ReplyError> {
    let quantity = quantity_or_zero(rules, text, field)?;
    positive(quantity.0).map(|()| quantity)
}

fn quantity_or_zero(
    rules: &InstrumentRules,
    text: &str,
    field: &'static str,
) -> Result<Quantity, ReplyError> {
    let quantity = rules.parse_quantity(text).map_err(|source| ReplyError::Number { field, source })?;
    if quantity.0 < 0 {
        Err(ReplyError::Contradiction { what: "a quantity below zero" })
    } else {
        Ok(quantity)
    }
}

fn positive(units: i64) -> Result<(), ReplyError> {
    if units > 0 { Ok(()) } else { Err(ReplyError::Contradiction { what: "a price or quantity of nothing" }) }
}

fn amount(text: &str, field: &'static str) -> Result<Cash, ReplyError> {
    let amount = Cash::parse(text).map_err(|source| ReplyError::Number { field, source })?;
    if amount < Cash::ZERO {
        Err(ReplyError::Contradiction { what: "an amount below zero" })
    } else {
        Ok(amount)
    }
}

/// A trade of the account as the venue tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trade {
    symbol: SmolStr,
    /// Its number within the symbol.
    pub id: u64,
    /// The venue's number of its order.
    pub order_id: u64,
    price: SmolStr,
    qty: SmolStr,
    commission: SmolStr,
    commission_asset: SmolStr,
    time: i64,
    is_buyer: bool,
    is_maker: bool,
}

/// A list of trades, oldest first.
pub fn trades(body: &[u8]) -> Result<Vec<Trade>, ReplyError> {
    let trades: Vec<Trade> = read(body)?;
    if trades.windows(2).any(|pair| matches!(pair, [a, b] if a.id >= b.id)) {
        return Err(ReplyError::Contradiction { what: "trades that are not in the order of their numbers" });
    }
    Ok(trades)
}

impl Trade {
    /// Numbers are unique within a symbol only.
    fn trade_id(&self) -> TradeId {
        TradeId(format_smolstr!("{}-{}", self.symbol, self.id))
    }

    fn side(&self) -> Side {
        if self.is_buyer { Side::Buy } else { Side::Sell }
    }

    /// The trade as a fill of our order.
    pub fn fill(&self, client_order_id: ClientOrderId, rules: &SymbolRules) -> Result<Fill, ReplyError> {
        self.check(rules)?;
        let asset: Asset = asset(&self.commission_asset)
            .ok_or_else(|| unknown_word("commissionAsset", &self.commission_asset))?;
        Ok(Fill {
            trade_id: self.trade_id(),
            client_order_id,
            symbol: rules.rules.symbol.clone(),
            side: self.side(),
            price: price(&rules.rules, &self.price, "price")?,
            quantity: quantity(&rules.rules, &self.qty, "qty")?,
            fee: Fee { asset, amount: amount(&self.commission, "commission")? },
            liquidity: if self.is_maker { Liquidity::Maker } else { Liquidity::Taker },
            at: Timestamp(self.time),
        })
    }

    /// The trade as one of an order that is not ours.
    pub fn external(&self, rules: &SymbolRules) -> Result<ExternalTrade, ReplyError> {
        self.check(rules)?;
        Ok(ExternalTrade {
            trade_id: self.trade_id(),
            venue_order_id: format_smolstr!("{}", self.order_id),
            symbol: rules.rules.symbol.clone(),
            side: self.side(),
            price: price(&rules.rules, &self.price, "price")?,
            quantity: quantity(&rules.rules, &self.qty, "qty")?,
            at: Timestamp(self.time),
        })
    }

    fn check(&self, rules: &SymbolRules) -> Result<(), ReplyError> {
        if self.symbol == rules.venue_symbol && self.time > 0 {
            return Ok(());
        }
        Err(ReplyError::Contradiction { what: "a trade in another symbol, or without a time" })
    }
}

/// What the account may do and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whether it may trade at all.
    pub can_trade: bool,
    /// Whether it may pay out. It says nothing of what the key may do, which the venue does not tell.
    pub can_withdraw: bool,
    /// What it holds.
    pub balances: Vec<AssetBalance>,
}

/// The account's state. Assets with names that are not ours to hold are left out: nothing of ours is in them.
pub fn account(body: &[u8]) -> Result<Account, ReplyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        can_trade: bool,
        can_withdraw: bool,
        balances: Vec<Balance>,
    }
    #[derive(Deserialize)]
    struct Balance {
        asset: SmolStr,
        free: SmolStr,
        locked: SmolStr,
    }
    let answer: Answer = read(body)?;
    let mut balances = Vec::with_capacity(answer.balances.len());
    for balance in &answer.balances {
        let (free, locked) = (amount(&balance.free, "free")?, amount(&balance.locked, "locked")?);
        let total = free.checked_add(locked);
        let total = total.map_err(|source| ReplyError::Number { field: "free", source })?;
        balances.extend(asset(&balance.asset).map(|asset| AssetBalance { asset, total, free }));
    }
    Ok(Account { can_trade: answer.can_trade, can_withdraw: answer.can_withdraw, balances })
}

/// The venue's time.
pub fn server_time(body: &[u8]) -> Result<Timestamp, ReplyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        server_time: i64,
    }
    let answer: Answer = read(body)?;
    if answer.server_time <= 0 {
        return Err(ReplyError::Contradiction { what: "a time before 1970" });
    }
    Ok(Timestamp(answer.server_time))
}

/// Whether the venue is in maintenance, and its words for it.
pub fn maintenance(body: &[u8]) -> Result<Option<String>, ReplyError> {
    #[derive(Deserialize)]
    struct Answer {
        status: i64,
        #[serde(default)]
        msg: String,
    }
    let answer: Answer = read(body)?;
    Ok((answer.status != 0).then_some(answer.msg))
}

/// Open time, open, high, low, close, volume, close time, quote volume, trades, taker volumes and one unused field.
type Candle = (
    i64,
    SmolStr,
    SmolStr,
    SmolStr,
    SmolStr,
    SmolStr,
    i64,
    SmolStr,
    u64,
    SmolStr,
    SmolStr,
    serde::de::IgnoredAny,
);

/// Complete candles, oldest first: those whose time had passed at `venue_time`.
pub fn bars(
    body: &[u8],
    rules: &SymbolRules,
    interval: Millis,
    venue_time: Timestamp,
) -> Result<Vec<Bar>, ReplyError> {
    let candles: Vec<Candle> = read(body)?;
    let mut bars: Vec<Bar> = Vec::with_capacity(candles.len());
    for (open_time, open, high, low, close, volume, close_time, ..) in &candles {
        if venue_time.0 <= *close_time {
            break;
        }
        let texts = &rules.rules;
        let wrong = |source| ReplyError::Number { field: "volume", source };
        let bar = Bar {
            open_time: Timestamp(*open_time),
            open: price(texts, open, "open")?,
            high: price(texts, high, "high")?,
            low: price(texts, low, "low")?,
            close: price(texts, close, "close")?,
            volume: rules.floor_quantity(volume).map_err(wrong)?,
        };
        let ordered = bar.low <= bar.open.min(bar.close) && bar.open.max(bar.close) <= bar.high;
        let after = bars.last().is_none_or(|last| last.open_time < bar.open_time);
        let length = close_time.checked_sub(*open_time) == Some(interval.0 - 1);
        if !ordered || !after || !length || bar.volume.0 < 0 {
            return Err(ReplyError::Contradiction { what: "a candle that cannot be" });
        }
        bars.push(bar);
    }
    Ok(bars)
}

/// Best bid and ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// The best bid.
    pub bid: Price,
    /// The best ask.
    pub ask: Price,
}

impl Quote {
    /// Half-way between bid and ask, rounded down.
    pub fn mark(self) -> Price {
        Price(self.bid.0 + (self.ask.0 - self.bid.0) / 2)
    }
}

/// The best bid and ask of a symbol. A side without orders is told as zero and is an error: there is no fair price.
pub fn quote(body: &[u8], rules: &SymbolRules) -> Result<Quote, ReplyError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        symbol: SmolStr,
        bid_price: SmolStr,
        ask_price: SmolStr,
    }
    let answer: Answer = read(body)?;
    let bid = price(&rules.rules, &answer.bid_price, "bidPrice")?;
    let ask = price(&rules.rules, &answer.ask_price, "askPrice")?;
    if answer.symbol != rules.venue_symbol || bid > ask {
        return Err(ReplyError::Contradiction { what: "a crossed book, or another symbol" });
    }
    Ok(Quote { bid, ask })
}
