//! Requests as they travel. Pure: the same order, time and rules give the same bytes, so that what will be sent can be
//! made durable before it is.
//!
//! All parameters go into the query string, for every method, and no body is sent: what is signed is what travels.
//! No value needs percent-encoding: they are decimals, our ids, and symbols of letters and digits.

use std::fmt::Write as _;
use std::ops::Range;

use ring::digest;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{BPS_ONE, BasisPoints, MoneyError, Price, Rounding, mul_div};
use tradewind_core::order::{ClientOrderId, OrderKind, OrderRequest, Side};
use tradewind_core::time::{Millis, Timestamp};

use super::credentials::ApiSecret;
use super::rules::{RuleBreach, SymbolRules};
use super::sign::{hex, signature};

/// How long after its timestamp the venue takes a signed request: the venue's default, and the smallest in common use.
pub const RECV_WINDOW: Millis = Millis(5_000);
/// How far below its trigger a protective sale may go, and how far above a purchase: the limit of a `STOP_LOSS_LIMIT`.
/// Wide, for one that does not fill protects nothing: the worker takes over then, after the policy's
/// `flattenUnprotectedAfter`.
pub const STOP_COLLAR: BasisPoints = BasisPoints(500 * 10_000);

/// HTTP methods the venue knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Places an order.
    Post,
    /// Cancels an order.
    Delete,
}

/// Whether a request carries the key and a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Neither.
    Public,
    /// Both.
    Signed,
}

/// A request in full, but for key and signature, which follow from the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExactRequest {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'static str,
    /// The parameters, encoded and in order, without the signature.
    pub query: String,
    /// Whether it is signed.
    pub security: Security,
    /// What it takes from the request budget.
    pub weight: u32,
}

/// The SHA-256 of a request: method, space, path, question mark and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestHash(pub [u8; 32]);

impl std::fmt::Display for RequestHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Why an order is not sent: the venue would refuse it, or it cannot be written. Nothing has left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSendable {
    /// Its time is over.
    #[error("the order was valid until {} ms and would be sent at {} ms; decide anew", .valid_until.0, .now.0)]
    Expired {
        /// Its last moment.
        valid_until: Timestamp,
        /// When it would be sent.
        now: Timestamp,
    },
    /// It breaks a rule of the venue.
    #[error("{0}; refresh the venue's rules and size the order by them")]
    Rules(#[from] RuleBreach),
    /// The limit of a stop cannot be computed.
    #[error("the limit of the stop order cannot be computed: {0}")]
    Money(#[from] MoneyError),
}

impl ExactRequest {
    fn new(method: Method, path: &'static str, weight: u32, query: String) -> Self {
        Self { method, path, query, security: Security::Public, weight }
    }

    /// With the venue's time it is signed at, and how long after that the venue takes it.
    fn signed(mut self, at: Timestamp, recv_window: Millis) -> Self {
        let separator = if self.query.is_empty() { "" } else { "&" };
        let _ = write!(self.query, "{separator}recvWindow={}&timestamp={}", recv_window.0, at.0);
        self.security = Security::Signed;
        self
    }

    /// What identifies the request: two requests with one hash ask for the same, at the same time.
    pub fn hash(&self) -> RequestHash {
        let mut context = digest::Context::new(&digest::SHA256);
        let method: &'static str = self.method.into();
        for part in [method, " ", self.path, "?", &self.query] {
            context.update(part.as_bytes());
        }
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        RequestHash(hash)
    }

    /// Path and query as they travel. The signature is the last parameter.
    pub fn target(&self, secret: &ApiSecret) -> String {
        match (self.security, self.query.is_empty()) {
            (Security::Public, true) => self.path.to_owned(),
            (Security::Public, false) => format!("{}?{}", self.path, self.query),
            (Security::Signed, _) => {
                format!("{}?{}&signature={}", self.path, self.query, signature(secret, &self.query))
            }
        }
    }

    /// Path and query of a request that is not signed.
    pub fn public_target(&self) -> String {
        if self.query.is_empty() { self.path.to_owned() } else { format!("{}?{}", self.path, self.query) }
    }
}

/// The order as the venue gets it, if it is `now` for the engine and signed at that time of the venue's.
///
/// The window begins when it is signed and ends with the order's own validity, where that is sooner: then the venue refuses it
/// when it comes late. It follows from what is durable, not from when it is sent.
pub fn place(
    order: &OrderRequest,
    now: Timestamp,
    signed_at: Timestamp,
    rules: &SymbolRules,
) -> Result<ExactRequest, NotSendable> {
    if order.valid_until.since(now).0 <= 0 {
        return Err(NotSendable::Expired { valid_until: order.valid_until, now });
    }
    rules.check_quantity(order.kind, order.quantity)?;
    let texts = &rules.rules;
    let mut query = format!("symbol={}&side={}", rules.venue_symbol, side(order.side));
    let quantity = texts.quantity_text(order.quantity);
    match order.kind {
        OrderKind::Market => {
            rules.check_type("MARKET")?;
            let _ = write!(query, "&type=MARKET&quantity={quantity}");
        }
        OrderKind::Limit { price } => {
            rules.check_type("LIMIT")?;
            rules.check_price(price)?;
            let price = texts.price_text(price);
            let _ = write!(query, "&type=LIMIT&timeInForce=GTC&quantity={quantity}&price={price}");
        }
        OrderKind::ImmediateOrCancel { price } => {
            rules.check_type("LIMIT")?;
            rules.check_price(price)?;
            let price = texts.price_text(price);
            let _ = write!(query, "&type=LIMIT&timeInForce=IOC&quantity={quantity}&price={price}");
        }
        OrderKind::Stop { trigger } => {
            rules.check_type("STOP_LOSS_LIMIT")?;
            let limit = stop_limit(texts, trigger, order.side)?;
            rules.check_price(trigger)?;
            rules.check_price(limit)?;
            let (limit, trigger) = (texts.price_text(limit), texts.price_text(trigger));
            let _ = write!(
                query,
                "&type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity={quantity}&price={limit}&stopPrice={trigger}"
            );
        }
    }
    let _ = write!(query, "&newClientOrderId={}&newOrderRespType=FULL", order.client_order_id);
    let window = RECV_WINDOW.min(order.valid_until.since(order.signature.signed_at));
    Ok(ExactRequest::new(Method::Post, "/api/v3/order", 1, query).signed(signed_at, window))
}

/// The worst price a stop order trades at once its trigger was reached: beyond it by the collar.
pub fn stop_limit(rules: &InstrumentRules, trigger: Price, of: Side) -> Result<Price, MoneyError> {
    let (sign, rounding) = match of {
        Side::Sell => (-1, Rounding::Down),
        Side::Buy => (1, Rounding::Up),
    };
    let factor = i128::from(BPS_ONE) + sign * i128::from(STOP_COLLAR.0);
    let units = mul_div(i128::from(trigger.0), factor, i128::from(BPS_ONE), rounding)?;
    let units = i64::try_from(units).map_err(|_| MoneyError::Overflow { what: "the limit of a stop" })?;
    Ok(rules.round_tick(Price(units), rounding).max(rules.tick))
}

/// Buy or sell, in the venue's words.
pub(super) fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Ends an order.
pub fn cancel(id: ClientOrderId, signed_at: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let query = format!("symbol={}&origClientOrderId={id}", rules.venue_symbol);
    ExactRequest::new(Method::Delete, "/api/v3/order", 1, query).signed(signed_at, RECV_WINDOW)
}

/// Asks for an order by our id.
pub fn look_up(id: ClientOrderId, signed_at: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let query = format!("symbol={}&origClientOrderId={id}", rules.venue_symbol);
    ExactRequest::new(Method::Get, "/api/v3/order", 2, query).signed(signed_at, RECV_WINDOW)
}

/// Asks for an order by the venue's id.
pub fn look_up_by_number(order_id: u64, signed_at: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let query = format!("symbol={}&orderId={order_id}", rules.venue_symbol);
    ExactRequest::new(Method::Get, "/api/v3/order", 2, query).signed(signed_at, RECV_WINDOW)
}

/// Asks for the open orders of one symbol.
pub fn open_orders(signed_at: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let query = format!("symbol={}", rules.venue_symbol);
    ExactRequest::new(Method::Get, "/api/v3/openOrders", 3, query).signed(signed_at, RECV_WINDOW)
}

/// The most orders one answer has.
pub const ORDERS_PAGE: usize = 1000;

/// Asks for the orders of one symbol that were made in that span of the venue's time, open and ended, oldest first.
pub fn all_orders(span: &Range<Timestamp>, signed_at: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let Range { start, end } = span;
    let symbol = &rules.venue_symbol;
    let query = format!("symbol={symbol}&startTime={}&endTime={}&limit={ORDERS_PAGE}", start.0, end.0);
    ExactRequest::new(Method::Get, "/api/v3/allOrders", 10, query).signed(signed_at, RECV_WINDOW)
}

/// Which trades are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trades {
    /// From that trade on, oldest first.
    From(u64),
    /// The latest one alone.
    Latest,
}

/// The most trades one answer has.
pub const TRADES_PAGE: usize = 1000;

/// Asks for trades of the account in one symbol.
pub fn my_trades(which: Trades, signed_at: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let symbol = &rules.venue_symbol;
    let query = match which {
        Trades::From(id) => format!("symbol={symbol}&limit={TRADES_PAGE}&fromId={id}"),
        Trades::Latest => format!("symbol={symbol}&limit=1"),
    };
    ExactRequest::new(Method::Get, "/api/v3/myTrades", 10, query).signed(signed_at, RECV_WINDOW)
}

/// Asks for the balances.
pub fn account(signed_at: Timestamp) -> ExactRequest {
    ExactRequest::new(Method::Get, "/api/v3/account", 10, String::new()).signed(signed_at, RECV_WINDOW)
}

/// Asks whether the venue is in maintenance.
pub fn system_status(signed_at: Timestamp) -> ExactRequest {
    ExactRequest::new(Method::Get, "/sapi/v1/system/status", 1, String::new()).signed(signed_at, RECV_WINDOW)
}

/// Asks for the venue's time.
pub fn time() -> ExactRequest {
    ExactRequest::new(Method::Get, "/api/v3/time", 1, String::new())
}

/// Asks for the rules of all symbols. Asked for by name, one that is not listed would fail them all.
pub fn exchange_info() -> ExactRequest {
    ExactRequest::new(Method::Get, "/api/v3/exchangeInfo", 10, String::new())
}

/// The most candles one answer has.
pub const CANDLES_PAGE: u32 = 1000;

/// Asks for candles that opened at that time or later, oldest first; the last one may still be open.
pub fn klines(interval: &str, from: Timestamp, rules: &SymbolRules) -> ExactRequest {
    let (symbol, from) = (&rules.venue_symbol, from.0);
    let query = format!("symbol={symbol}&interval={interval}&startTime={from}&limit={CANDLES_PAGE}");
    ExactRequest::new(Method::Get, "/api/v3/klines", 1, query)
}

/// Asks for the best bid and ask.
pub fn book_ticker(rules: &SymbolRules) -> ExactRequest {
    let query = format!("symbol={}", rules.venue_symbol);
    ExactRequest::new(Method::Get, "/api/v3/ticker/bookTicker", 1, query)
}
