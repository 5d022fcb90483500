//! The adapter against an exchange that shares no code with it, over real HTTP.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use tempfile::TempDir;
use tradewind_core::money::Quantity;
use tradewind_core::name::Symbol;
use tradewind_core::order::{
    Attempt, ClientOrderId, Fill, IntentId, OrderKind, OrderRef, OrderRequest, OrderState, Side,
};
use tradewind_core::time::Timestamp;
use tradewind_venue_simulator::dialect::Keys;
use tradewind_venue_simulator::exchange::{Exchange, Quote, Symbol as Listed};
use tradewind_venue_simulator::faults::{Fault, Strike};
use tradewind_venue_simulator::{Options, Simulator};
use tradewind_venues::binance_us::{BinanceUs, Settings};
use tradewind_venues::{CancelOutcome, FillCursor, Lookup, OrderSnapshot, PlaceOutcome, Venue};
use uuid::Uuid;

const KEY: &str = "contractKey";
const SECRET: &str = "contractSecret";

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

fn btc() -> Symbol {
    "BTC-USD".parse().unwrap()
}

struct Desk {
    simulator: Simulator,
    venue: BinanceUs,
    cursor: FillCursor,
    next: u64,
    _keys: TempDir,
}

impl Desk {
    /// 10 000 USD and one BTC, a market of 100 to 100.1 with ten on each side.
    async fn new() -> Self {
        let mut exchange = Exchange::new([Listed::new("BTC", "USD", dec("0.01"), dec("0.001"), dec("10"))]);
        exchange.deposit("USD", dec("10000"), 0);
        exchange.deposit("BTC", dec("1"), 0);
        let keys = Keys { api_key: KEY.into(), secret: SECRET.into() };
        let options = Options { port: 0, control_port: 0, keys };
        let simulator = Simulator::start(exchange, options).await.unwrap();
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("apiKey"), KEY).unwrap();
        std::fs::write(keys.path().join("apiSecret"), SECRET).unwrap();
        let settings = Settings {
            endpoint: simulator.url().parse().unwrap(),
            key_folder: keys.path().to_owned(),
            symbols: vec![btc()],
            deadline: Duration::from_secs(4),
        };
        let mut venue = BinanceUs::new(settings, Box::new(now)).unwrap();
        venue.refresh().await.unwrap();
        let mut desk = Self { simulator, venue, cursor: FillCursor::default(), next: 1, _keys: keys };
        desk.market("100", "100.1");
        assert!(desk.fills().await.is_empty());
        desk
    }

    fn market(&self, bid: &str, ask: &str) {
        let ten = dec("10");
        let quote = Quote { bid: dec(bid), ask: dec(ask), bid_quantity: ten, ask_quantity: ten };
        self.simulator.world().desk.exchange.quote("BTCUSD", quote, now().0).unwrap();
    }

    fn order(&mut self, side: Side, kind: OrderKind, quantity: &str) -> OrderRequest {
        self.next += 1;
        OrderRequest {
            intent: IntentId(self.next),
            attempt: Attempt(1),
            client_order_id: ClientOrderId(Uuid::from_u128(u128::from(self.next))),
            symbol: btc(),
            side,
            kind,
            quantity: self.venue.rules(&btc()).unwrap().rules.parse_quantity(quantity).unwrap(),
            valid_until: Timestamp(i64::MAX),
            signature: self.venue.terms().sign(now()),
        }
    }

    fn price(&self, text: &str) -> tradewind_core::money::Price {
        self.venue.rules(&btc()).unwrap().rules.parse_price(text).unwrap()
    }

    async fn place(&mut self, order: &OrderRequest) -> PlaceOutcome {
        self.venue.place(order, now()).await
    }

    async fn accepted(&mut self, side: Side, kind: OrderKind, quantity: &str) -> OrderRequest {
        let order = self.order(side, kind, quantity);
        let outcome = self.place(&order).await;
        assert!(matches!(outcome, PlaceOutcome::Accepted { .. }), "{outcome:?}");
        order
    }

    async fn found(&mut self, order: &OrderRequest) -> OrderSnapshot {
        match self.venue.lookup(&OrderRef::from(order)).await {
            Lookup::Found(found) => found,
            other => panic!("{other:?}"),
        }
    }

    async fn fills(&mut self) -> Vec<Fill> {
        let mut all = Vec::new();
        loop {
            let page = self.venue.fills_since(&self.cursor).await.unwrap();
            all.extend(page.fills);
            assert!(page.external.is_empty());
            if page.next == self.cursor {
                return all;
            }
            self.cursor = page.next;
        }
    }

    fn strike(&self, fault: Fault) {
        let (method, path) = (Some("POST".into()), Some("/api/v3/order".into()));
        self.simulator.world().plan.add(Strike { method, path, nth: 1, fault, times: 1 });
    }

    fn orders_at_the_venue(&self) -> usize {
        self.simulator.world().desk.exchange.orders().len()
    }
}

#[tokio::test]
async fn a_market_order_fills_and_its_trades_are_told_once() {
    let mut desk = Desk::new().await;
    let order = desk.accepted(Side::Buy, OrderKind::Market, "2").await;
    let found = desk.found(&order).await;
    assert_eq!(
        (found.state, found.filled, found.kind),
        (OrderState::Filled, order.quantity, OrderKind::Market)
    );
    let fills = desk.fills().await;
    let filled: i64 = fills.iter().map(|fill| fill.quantity.0).sum();
    assert_eq!(filled, order.quantity.0);
    assert!(
        fills
            .iter()
            .all(|fill| fill.client_order_id == order.client_order_id && fill.fee.asset.as_str() == "BTC")
    );
    assert!(desk.fills().await.is_empty());
    for balance in desk.venue.balances().await.unwrap() {
        let world = desk.simulator.world();
        let truth = &world.desk.exchange.balances()[balance.asset.as_str()];
        let (free, total) =
            (truth.free.normalize().to_string(), (truth.free + truth.locked).normalize().to_string());
        assert_eq!((balance.free.to_string(), balance.total.to_string()), (free, total), "{}", balance.asset);
    }
}

#[tokio::test]
async fn a_resting_order_is_listed_and_cancelled_once() {
    let mut desk = Desk::new().await;
    let limit = OrderKind::Limit { price: desk.price("90") };
    let order = desk.accepted(Side::Buy, limit, "1").await;
    let open = desk.venue.open_orders().await.unwrap();
    assert_eq!((open.orders.len(), open.external.len()), (1, 0));
    assert_eq!((open.orders[0].client_order_id, open.orders[0].kind), (order.client_order_id, limit));
    let named = OrderRef::from(&order);
    assert_eq!(desk.venue.cancel(&named, now()).await, CancelOutcome::Cancelled { executed: Quantity::ZERO });
    assert_eq!(desk.venue.cancel(&named, now()).await, CancelOutcome::AlreadyDone);
    assert_eq!(desk.found(&order).await.state, OrderState::Cancelled);
    assert!(desk.venue.open_orders().await.unwrap().orders.is_empty());
}

#[tokio::test]
async fn a_stop_rests_until_its_trigger_and_an_immediate_order_does_not_rest() {
    let mut desk = Desk::new().await;
    let trigger = desk.price("95");
    let stop = desk.accepted(Side::Sell, OrderKind::Stop { trigger }, "1").await;
    let found = desk.found(&stop).await;
    assert_eq!((found.state, found.kind), (OrderState::Accepted, OrderKind::Stop { trigger }));
    let immediate = OrderKind::ImmediateOrCancel { price: desk.price("99") };
    let order = desk.accepted(Side::Buy, immediate, "1").await;
    let found = desk.found(&order).await;
    assert_eq!((found.state, found.filled.0, found.kind), (OrderState::Expired, 0, immediate));
    desk.market("94", "94.1");
    assert_eq!(desk.found(&stop).await.state, OrderState::Filled);
    assert_eq!(desk.fills().await.len(), 1);
}

#[tokio::test]
async fn an_order_that_arrived_without_an_answer_is_unknown_and_found() {
    for fault in
        [Fault::DropAfter, Fault::ResetAfter, Fault::HalfBody, Fault::WrongJson, Fault::StatusAfter(504)]
    {
        let mut desk = Desk::new().await;
        desk.strike(fault);
        let order = desk.order(Side::Buy, OrderKind::Market, "1");
        let outcome = desk.place(&order).await;
        assert!(matches!(outcome, PlaceOutcome::Unknown { .. }), "{fault:?}: {outcome:?}");
        assert_eq!(desk.found(&order).await.state, OrderState::Filled, "{fault:?}");
        assert_eq!(desk.orders_at_the_venue(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn an_order_that_never_arrived_is_unknown_and_not_there() {
    for fault in [Fault::DropBefore, Fault::ResetBefore, Fault::Html, Fault::StatusBefore(502)] {
        let mut desk = Desk::new().await;
        desk.strike(fault);
        let order = desk.order(Side::Buy, OrderKind::Market, "1");
        let outcome = desk.place(&order).await;
        assert!(matches!(outcome, PlaceOutcome::Unknown { .. }), "{fault:?}: {outcome:?}");
        assert_eq!(desk.venue.lookup(&OrderRef::from(&order)).await, Lookup::NotFound, "{fault:?}");
        assert_eq!(desk.orders_at_the_venue(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn an_order_beyond_the_balance_is_a_refusal() {
    let mut desk = Desk::new().await;
    let order = desk.order(Side::Buy, OrderKind::Limit { price: desk.price("99") }, "1000");
    let outcome = desk.place(&order).await;
    let PlaceOutcome::Rejected { code, message } = outcome else { panic!("{outcome:?}") };
    assert_eq!(code, "-2010");
    assert!(message.contains("insufficient balance"), "{message}");
}
