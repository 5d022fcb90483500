//! An account at a server on this machine, with a clock that stands still.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use tradewind_core::money::{Price, Quantity};
use tradewind_core::name::Symbol;
use tradewind_core::order::{Attempt, ClientOrderId, IntentId, OrderKind, OrderRef, OrderRequest, Side};
use tradewind_core::protocol::Signature;
use tradewind_core::time::Timestamp;
use tradewind_venues::binance_us::rules::{ExchangeInfo, SymbolRules};
use tradewind_venues::binance_us::{BinanceUs, Settings};
use uuid::Uuid;

use crate::server::{Act, Server};

pub const KEY: &str = "testApiKeyBinanceUS0000000000000000000000000000000000000000000001";
pub const SECRET: &str = "testSecretBinanceUS000000000000000000000000000000000000000000002";
/// The time of the samples.
pub const NOW: i64 = 1_767_225_600_123;

pub fn sample(name: &str) -> String {
    let file = format!("{}/tests/binance_us/samples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().to_owned()
}

pub fn id() -> ClientOrderId {
    ClientOrderId(Uuid::from_u128(0x0123_4567_89ab_8def_8123_4567_89ab_cdef))
}

/// A sample about an order, with our id in place of the one it has.
pub fn ours(name: &str) -> String {
    let text = sample(name);
    ["cte-01JZX0Q8-7_b", "cte-01JZX0Q8-8", "cte-01JZX0Q8-9"]
        .iter()
        .fold(text, |text, theirs| text.replace(theirs, &id().to_string()))
}

pub fn symbol(text: &str) -> Symbol {
    text.parse().unwrap()
}

pub fn rules(of: &str) -> SymbolRules {
    let info: ExchangeInfo = serde_json::from_str(&sample("products")).unwrap();
    info.rules(&[symbol(of)]).remove(&symbol(of)).unwrap().unwrap()
}

pub fn order(side: Side, kind: OrderKind, quantity: &str) -> OrderRequest {
    OrderRequest {
        intent: IntentId(1),
        attempt: Attempt(1),
        client_order_id: id(),
        symbol: symbol("BTC-USDT"),
        side,
        kind,
        quantity: self::quantity(quantity),
        valid_until: Timestamp(i64::MAX),
        signature: Signature { signed_at: Timestamp(NOW), valid_until: Timestamp(NOW + 5_000) },
    }
}

pub fn quantity(text: &str) -> Quantity {
    rules("BTC-USDT").rules.parse_quantity(text).unwrap()
}

pub fn price(text: &str) -> Price {
    rules("BTC-USDT").rules.parse_price(text).unwrap()
}

pub fn market_buy() -> OrderRequest {
    order(Side::Buy, OrderKind::Market, "0.0012")
}

pub fn named() -> OrderRef {
    OrderRef { client_order_id: id(), symbol: symbol("BTC-USDT") }
}

/// An account, its server and its clock.
pub struct Desk {
    pub server: Server,
    pub venue: BinanceUs,
    pub now: Rc<Cell<i64>>,
    pub keys: TempDir,
}

impl Desk {
    /// An account that has asked the venue nothing yet. The usual questions have their usual answers.
    pub async fn new() -> Self {
        Self::with(&["BTC-USDT"], Duration::from_secs(4)).await
    }

    pub async fn with(symbols: &[&str], deadline: Duration) -> Self {
        let server = Server::start().await;
        server.always("GET", "/api/v3/time", Act::json(200, sample("server_time")));
        server.always("GET", "/api/v3/exchangeInfo", Act::json(200, sample("products")));
        let normal = r#"{"status":0,"msg":"normal"}"#;
        server.always("GET", "/sapi/v1/system/status", Act::json(200, normal));
        let keys = tempfile::tempdir().unwrap();
        fs::write(keys.path().join("apiKey"), KEY).unwrap();
        fs::write(keys.path().join("apiSecret"), format!("{SECRET}\n")).unwrap();
        let now = Rc::new(Cell::new(NOW));
        let settings = Settings {
            endpoint: server.url.parse().unwrap(),
            key_folder: keys.path().to_owned(),
            symbols: symbols.iter().map(|text| symbol(text)).collect(),
            deadline,
        };
        let clock = now.clone();
        let venue = BinanceUs::new(settings, Box::new(move || Timestamp(clock.get()))).unwrap();
        Self { server, venue, now, keys }
    }

    /// One that knows the venue's time and rules.
    pub async fn ready() -> Self {
        let mut desk = Self::new().await;
        desk.venue.refresh().await.unwrap();
        desk
    }

    pub fn time(&self) -> Timestamp {
        Timestamp(self.now.get())
    }
}
