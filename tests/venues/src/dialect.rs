//! The dialect of Binance.US: paths, parameters, signatures, time windows, weights, codes.
//!
//! Sources: the exchange's API documentation (`rest-api.md` of 2023-09, `errors.md` of 2023-03). A request goes in as
//! text and comes out as a status, headers and a body; nothing here knows of sockets.

use std::collections::{BTreeMap, VecDeque};

use rust_decimal::Decimal;
use serde_json::Value;

use crate::exchange::{Exchange, Id, Kind, NewOrder, Side, TimeInForce};
use crate::replies::{self, Answer};
use crate::sign;

/// A request as it came in.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query string, as it was sent.
    pub query: String,
    /// Body, as it was sent.
    pub body: String,
    /// The header `X-MBX-APIKEY`.
    pub api_key: Option<String>,
}

/// A reply before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status.
    pub status: u16,
    /// Headers beside the content type.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: String,
}

/// The keys of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What comes in the header.
    pub api_key: String,
    /// What is signed with.
    pub secret: String,
}

/// Uses of a limit, each with its time and weight.
#[derive(Debug, Default)]
struct Used(VecDeque<(i64, u32)>);

impl Used {
    /// Adds one; the sum of the last `window` milliseconds.
    fn add(&mut self, now: i64, weight: u32, window: i64) -> u32 {
        self.0.push_back((now, weight));
        while self.0.front().is_some_and(|(at, _)| *at <= now - window) {
            self.0.pop_front();
        }
        self.0.iter().map(|(_, weight)| weight).sum()
    }
}

/// Everything behind the port: the exchange and who may use it how often.
#[derive(Debug)]
pub struct Desk {
    /// The exchange.
    pub exchange: Exchange,
    keys: Keys,
    weight: Used,
    orders: Used,
    banned_until: i64,
    over: u32,
}

const MINUTE: i64 = 60_000;
const TEN_SECONDS: i64 = 10_000;
/// After so many requests beyond the limit the address is banned for two minutes.
const PATIENCE: u32 = 10;
const BAN: i64 = 120_000;
/// A window when the request does not say.
const WINDOW: i64 = 5_000;
const WIDEST: i64 = 60_000;
/// A request may be that much ahead.
const AHEAD: i64 = 1_000;

impl Desk {
    /// One for that account.
    pub fn new(exchange: Exchange, keys: Keys) -> Self {
        Self {
            exchange,
            keys,
            weight: Used::default(),
            orders: Used::default(),
            banned_until: i64::MIN,
            over: 0,
        }
    }

    /// Answers a request; `clock` is the machine's time, to which the exchange adds its own offset.
    pub fn answer(&mut self, request: &Request, clock: i64) -> Reply {
        let now = clock + self.exchange.behaviour.clock_offset_ms;
        let mut headers = Vec::new();
        let answer = self.limited(request, now, &mut headers);
        Reply { status: answer.status, headers, body: answer.body.to_string() }
    }

    fn limited(&mut self, request: &Request, now: i64, headers: &mut Vec<(String, String)>) -> Answer {
        if now < self.banned_until {
            headers.push(("Retry-After".into(), ((self.banned_until - now) / 1000 + 1).to_string()));
            let message = format!("Way too much request weight used; IP banned until {}.", self.banned_until);
            return Answer::error(418, -1003, &message);
        }
        let used = self.weight.add(now, weight(request), MINUTE);
        headers.push(("X-MBX-USED-WEIGHT-1M".into(), used.to_string()));
        let limit = self.exchange.behaviour.weight_limit;
        if used > limit {
            self.over += 1;
            if self.over > PATIENCE {
                (self.banned_until, self.over) = (now + BAN, 0);
            }
            headers.push(("Retry-After".into(), "60".into()));
            let message = format!(
                "Too much request weight used; current limit is {limit} request weight per 1 MINUTE."
            );
            return Answer::error(429, -1003, &message);
        }
        self.over = 0;
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/api/v3/ping" | "/api/v3/time" | "/api/v3/exchangeInfo" | "/api/v3/klines") => {
                self.public(request, now)
            }
            ("GET", "/api/v3/ticker/bookTicker" | "/api/v3/ticker/price") => self.public(request, now),
            _ => match self.signed(request, now) {
                Ok(parameters) => self.private(request, &parameters, now, headers),
                Err(answer) => answer,
            },
        }
    }

    fn public(&self, request: &Request, now: i64) -> Answer {
        let parameters = Parameters::read(&request.query);
        let symbol = || {
            let name = parameters.get("symbol").unwrap_or_default();
            self.exchange.symbol(name).ok_or_else(|| Answer::error(400, -1121, "Invalid symbol."))
        };
        match request.path.as_str() {
            "/api/v3/ping" => Answer::ok(Value::Object(serde_json::Map::new())),
            "/api/v3/time" => Answer::ok(serde_json::json!({"serverTime": now})),
            "/api/v3/exchangeInfo" => {
                let wanted = parameters.symbols();
                if wanted.iter().flatten().any(|name| self.exchange.symbol(name).is_none()) {
                    return Answer::error(400, -1121, "Invalid symbol.");
                }
                Answer::ok(replies::exchange_info(&self.exchange, wanted.as_deref(), now))
            }
            "/api/v3/ticker/bookTicker" => match symbol() {
                Ok(symbol) => Answer::ok(replies::book_ticker(symbol)),
                Err(answer) => answer,
            },
            "/api/v3/ticker/price" => match symbol() {
                Ok(symbol) => {
                    let last = symbol.history.last().map(|(_, price)| *price).unwrap_or_default();
                    Answer::ok(serde_json::json!({"symbol": symbol.name, "price": replies::text(last)}))
                }
                Err(answer) => answer,
            },
            _ => match (symbol(), parameters.interval()) {
                (Ok(symbol), Some(interval)) => {
                    let from = parameters.number("startTime").unwrap_or(i64::MIN);
                    let to = parameters.number("endTime").unwrap_or(now);
                    let limit = parameters.number("limit").and_then(|n| usize::try_from(n).ok());
                    Answer::ok(replies::klines(symbol, interval, from, to, limit.unwrap_or(500).min(1000)))
                }
                (Err(answer), _) => answer,
                (_, None) => Answer::error(400, -1120, "Invalid interval."),
            },
        }
    }

    /// The parameters of a request that has the right key, signature and time.
    fn signed(&self, request: &Request, now: i64) -> Result<Parameters, Answer> {
        match &request.api_key {
            None => return Err(Answer::error(401, -2014, "API-key format invalid.")),
            Some(key) if *key != self.keys.api_key => {
                return Err(Answer::error(401, -2015, "Invalid API-key, IP, or permissions for action."));
            }
            Some(_) => {}
        }
        let (query, in_query) = sign::split_signature(&request.query);
        let (body, in_body) = sign::split_signature(&request.body);
        let Some(given) = in_query.or(in_body) else {
            return Err(Answer::error(
                400,
                -1102,
                "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.",
            ));
        };
        if !sign::is_signed(&self.keys.secret, &format!("{query}{body}"), &given) {
            return Err(Answer::error(400, -1022, "Signature for this request is not valid."));
        }
        // What stands in both counts as in the query.
        let mut parameters = Parameters::read(&body);
        parameters.0.extend(Parameters::read(&query).0);
        let window = parameters.number("recvWindow").unwrap_or(WINDOW);
        if !(0..=WIDEST).contains(&window) {
            return Err(Answer::error(400, -1131, "recvWindow must be less than 60000"));
        }
        let Some(timestamp) = parameters.number("timestamp") else {
            return Err(Answer::error(
                400,
                -1102,
                "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
            ));
        };
        if timestamp >= now + AHEAD {
            let message = "Timestamp for this request was 1000ms ahead of the server's time.";
            return Err(Answer::error(400, -1021, message));
        }
        if now - timestamp > window {
            return Err(Answer::error(
                400,
                -1021,
                "Timestamp for this request is outside of the recvWindow.",
            ));
        }
        Ok(parameters)
    }

    fn private(
        &mut self,
        request: &Request,
        parameters: &Parameters,
        now: i64,
        headers: &mut Vec<(String, String)>,
    ) -> Answer {
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/api/v3/order") => self.place(parameters, now, headers),
            ("POST", "/api/v3/order/test") => match new_order(parameters) {
                Ok(_) => Answer::ok(Value::Object(serde_json::Map::new())),
                Err(answer) => answer,
            },
            ("GET", "/api/v3/order") => self.query(parameters, now),
            ("DELETE", "/api/v3/order") => self.cancel(parameters, now),
            ("GET", "/api/v3/openOrders") => self.list(parameters, now, true),
            ("GET", "/api/v3/allOrders") => self.list(parameters, now, false),
            ("GET", "/api/v3/myTrades") => self.trades(parameters, now),
            ("GET", "/api/v3/account") => Answer::ok(replies::account(&self.exchange, now)),
            _ => Answer::error(404, -1000, "There is no such endpoint."),
        }
    }

    fn place(&mut self, parameters: &Parameters, now: i64, headers: &mut Vec<(String, String)>) -> Answer {
        let used = self.orders.add(now, 1, TEN_SECONDS);
        let limit = self.exchange.behaviour.order_limit;
        if used > limit {
            let message = format!("Too many new orders; current limit is {limit} orders per 10 SECOND.");
            return Answer::error(429, -1015, &message);
        }
        let order = match new_order(parameters) {
            Ok(order) => order,
            Err(answer) => return answer,
        };
        let placed = match self.exchange.place(order, now) {
            Ok(id) => id,
            Err(why) => return Answer::refusal(why),
        };
        headers.push(("X-MBX-ORDER-COUNT-10S".into(), used.to_string()));
        let Some(order) = self.exchange.orders().iter().find(|order| order.order_id == placed) else {
            return Answer::error(500, -1000, "An unknown error occurred while processing the request.");
        };
        let trades: Vec<_> = self.exchange.trades().iter().filter(|trade| trade.order_id == placed).collect();
        let usual = if order.request.kind == Kind::StopLossLimit { "ACK" } else { "FULL" };
        Answer::ok(match parameters.get("newOrderRespType").unwrap_or(usual) {
            "ACK" => replies::acknowledged(order),
            "RESULT" => replies::result(order),
            _ => replies::full(order, &trades),
        })
    }

    fn query(&self, parameters: &Parameters, now: i64) -> Answer {
        let (Some(symbol), Some(id)) = (parameters.get("symbol"), parameters.id()) else {
            return missing("origClientOrderId");
        };
        let listed = matches!(id, Id::Order(_)) || self.exchange.behaviour.finds_by_client_id;
        match self.exchange.find(symbol, id, now) {
            Some(order) if listed => Answer::ok(replies::queried(order)),
            _ => Answer::error(400, -2013, "Order does not exist."),
        }
    }

    fn cancel(&mut self, parameters: &Parameters, now: i64) -> Answer {
        let (Some(symbol), Some(id)) = (parameters.get("symbol"), parameters.id()) else {
            return missing("origClientOrderId");
        };
        match self.exchange.cancel(symbol, id, now) {
            Ok(order) => {
                let own = parameters
                    .get("newClientOrderId")
                    .map_or_else(|| format!("cancel{}", order.order_id), str::to_owned);
                Answer::ok(replies::cancelled(&order, &own))
            }
            Err(why) => Answer::refusal(why),
        }
    }

    fn list(&self, parameters: &Parameters, now: i64, open: bool) -> Answer {
        let symbol = parameters.get("symbol");
        if symbol.is_none() && !open {
            return missing("symbol");
        }
        let first = parameters.number("orderId").and_then(|id| u64::try_from(id).ok()).unwrap_or(0);
        let from = parameters.number("startTime").unwrap_or(i64::MIN);
        let to = parameters.number("endTime").unwrap_or(i64::MAX);
        let limit = parameters.limit();
        let orders = self.exchange.seen(now).filter(|order| {
            symbol.is_none_or(|symbol| order.request.symbol == symbol)
                && (!open || order.is_open())
                && order.order_id >= first
                && (from..=to).contains(&order.time)
        });
        Answer::ok(Value::Array(orders.take(limit).map(replies::queried).collect()))
    }

    fn trades(&self, parameters: &Parameters, now: i64) -> Answer {
        let Some(symbol) = parameters.get("symbol") else { return missing("symbol") };
        let number = |name| parameters.number(name).and_then(|id| u64::try_from(id).ok());
        let (from_id, order_id) = (number("fromId").unwrap_or(0), number("orderId"));
        let from = parameters.number("startTime").unwrap_or(i64::MIN);
        let all: Vec<_> = self
            .exchange
            .seen_trades(symbol, now)
            .filter(|trade| {
                trade.id >= from_id && trade.time >= from && order_id.is_none_or(|id| trade.order_id == id)
            })
            .collect();
        // Without a place to begin at, the newest.
        let begins = parameters.get("fromId").is_some() || parameters.get("startTime").is_some();
        let skip = if begins { 0 } else { all.len().saturating_sub(parameters.limit()) };
        let page = all.into_iter().skip(skip).take(parameters.limit());
        Answer::ok(Value::Array(page.map(replies::trade).collect()))
    }
}

fn missing(name: &str) -> Answer {
    let message = format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
    Answer::error(400, -1102, &message)
}

/// What a request weighs.
fn weight(request: &Request) -> u32 {
    let has_symbol = request.query.contains("symbol=");
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/api/v3/exchangeInfo" | "/api/v3/account" | "/api/v3/myTrades" | "/api/v3/allOrders") => 10,
        ("GET", "/api/v3/order") => 2,
        ("GET", "/api/v3/openOrders") => {
            if has_symbol {
                3
            } else {
                40
            }
        }
        _ => 1,
    }
}

/// Parameters by name, decoded.
#[derive(Debug, Default)]
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn read(text: &str) -> Self {
        let pairs = text.split('&').filter_map(|part| part.split_once('='));
        Self(pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.get(name)?.parse().ok()
    }

    fn limit(&self) -> usize {
        let given = self.number("limit").and_then(|n| usize::try_from(n).ok());
        given.unwrap_or(500).min(1000)
    }

    fn id(&self) -> Option<Id<'_>> {
        let by_order = self.number("orderId").and_then(|id| u64::try_from(id).ok()).map(Id::Order);
        by_order.or_else(|| self.get("origClientOrderId").map(Id::Client))
    }

    /// The symbols asked for; none is all.
    fn symbols(&self) -> Option<Vec<String>> {
        match (self.get("symbol"), self.get("symbols")) {
            (Some(one), _) => Some(vec![one.to_owned()]),
            (None, Some(list)) => serde_json::from_str(list).ok(),
            (None, None) => None,
        }
    }

    fn interval(&self) -> Option<i64> {
        let (count, unit) = self.get("interval")?.split_at_checked(self.get("interval")?.len() - 1)?;
        let unit = match unit {
            "m" => MINUTE,
            "h" => 60 * MINUTE,
            "d" => 1_440 * MINUTE,
            _ => return None,
        };
        let known = ["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d"];
        known.contains(&self.get("interval")?).then(|| count.parse::<i64>().ok().map(|n| n * unit))?
    }
}

/// Percent-decoded, as far as it is text.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: Option<Vec<u8>> = (0..2).map(|_| rest.next()).collect();
            let code =
                digits.and_then(|d| String::from_utf8(d).ok()).and_then(|d| u8::from_str_radix(&d, 16).ok());
            bytes.push(code.unwrap_or(b'%'));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The order that those parameters make.
fn new_order(parameters: &Parameters) -> Result<NewOrder, Answer> {
    let text = |name: &'static str| parameters.get(name).ok_or_else(|| missing(name));
    let decimal = |name: &'static str| {
        let value = text(name)?;
        Decimal::from_str_exact(value).map_err(|_| {
            Answer::error(400, -1100, &format!("Illegal characters found in parameter '{name}'."))
        })
    };
    let word = |name: &'static str| {
        Answer::error(
            400,
            -1106,
            &format!("Parameter '{name}' sent when not required, or of no known value."),
        )
    };
    let side = match text("side")? {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(Answer::error(400, -1117, "Invalid side.")),
    };
    let kind = match text("type")? {
        "MARKET" => Kind::Market,
        "LIMIT" => Kind::Limit,
        "STOP_LOSS_LIMIT" => Kind::StopLossLimit,
        _ => return Err(Answer::error(400, -1116, "Invalid orderType.")),
    };
    let time_in_force = match (kind, parameters.get("timeInForce")) {
        (Kind::Market, None) | (Kind::Limit | Kind::StopLossLimit, Some("GTC")) => TimeInForce::Gtc,
        (Kind::Market, Some(_)) => return Err(word("timeInForce")),
        (_, Some("IOC")) => TimeInForce::Ioc,
        (_, Some("FOK")) => TimeInForce::Fok,
        (_, None) => return Err(missing("timeInForce")),
        _ => return Err(Answer::error(400, -1115, "Invalid timeInForce.")),
    };
    let price = if kind == Kind::Market { None } else { Some(decimal("price")?) };
    let stop_price = if kind == Kind::StopLossLimit { Some(decimal("stopPrice")?) } else { None };
    let client_order_id = text("newClientOrderId")?.to_owned();
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if client_order_id.len() > 36 || !client_order_id.chars().all(allowed) {
        let message = "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_]{1,36}$'.";
        return Err(Answer::error(400, -1100, message));
    }
    Ok(NewOrder {
        symbol: text("symbol")?.to_owned(),
        client_order_id,
        side,
        kind,
        time_in_force,
        quantity: decimal("quantity")?,
        price,
        stop_price,
    })
}
