//! Signatures and requests, byte for byte.

use serde_json::Value;
use tradewind_core::order::{OrderKind, OrderRequest, Side};
use tradewind_core::time::Timestamp;
use tradewind_venues::binance_us::request::{self, Trades};
use tradewind_venues::binance_us::{Credentials, signature};

use crate::desk::{NOW, id, order, price, rules};

fn vectors() -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all["vectors"].as_array().unwrap().clone()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}"))
}

#[test]
fn every_published_signature_is_made() {
    let mut checked = 0;
    for vector in vectors() {
        let credentials = Credentials::parse(text(&vector, "api_key"), text(&vector, "secret")).unwrap();
        let made = signature(&credentials.secret, text(&vector, "payload"));
        let must_not = vector["expect"] == "must NOT verify";
        assert_eq!(made == text(&vector, "signature_hex"), !must_not, "{}", text(&vector, "name"));
        checked += 1;
    }
    assert_eq!(checked, 16);
}

#[test]
fn the_signature_is_the_last_parameter_and_signs_all_before_it() {
    let vector = vectors().into_iter().find(|v| v["name"] == "empty_params_only_timestamp").unwrap();
    let credentials = Credentials::parse(text(&vector, "api_key"), text(&vector, "secret")).unwrap();
    let target = request::account(Timestamp(NOW)).target(&credentials.secret);
    let (signed, last) = target.strip_prefix("/api/v3/account?").unwrap().rsplit_once("&signature=").unwrap();
    assert_eq!(signed, "recvWindow=5000&timestamp=1767225600123");
    assert_eq!(last, signature(&credentials.secret, signed));
    assert_eq!(last.len(), 64);
}

/// What the documentation lists as required for each type (rest-api.md, "New order").
#[test]
fn an_order_becomes_the_documented_parameters() {
    let rules = rules("BTC-USDT");
    let end = format!("&newClientOrderId={}&newOrderRespType=FULL&recvWindow=5000&timestamp={NOW}", id());
    let query = |side, kind, quantity| {
        request::place(&order(side, kind, quantity), Timestamp(0), Timestamp(NOW), &rules).unwrap().query
    };
    let limit = OrderKind::Limit { price: price("64250.10") };
    assert_eq!(
        query(Side::Buy, OrderKind::Market, "0.0012"),
        format!("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.0012{end}")
    );
    assert_eq!(
        query(Side::Sell, limit, "0.00120"),
        format!("symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=0.0012&price=64250.1{end}")
    );
    let immediate = OrderKind::ImmediateOrCancel { price: price("64250.10") };
    assert_eq!(
        query(Side::Sell, immediate, "0.00120"),
        format!("symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=IOC&quantity=0.0012&price=64250.1{end}")
    );
    // 64250.10 less 5 % is 61037.595, rounded down to the tick for a sale.
    assert_eq!(
        query(Side::Sell, OrderKind::Stop { trigger: price("64250.10") }, "1"),
        format!(
            "symbol=BTCUSDT&side=SELL&type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=1&price=61037.59&stopPrice=64250.1{end}"
        )
    );
    // 64250.10 and 5 % is 67462.605, rounded up for a purchase.
    assert!(
        query(Side::Buy, OrderKind::Stop { trigger: price("64250.10") }, "1").contains("&price=67462.61&")
    );
}

#[test]
fn a_request_is_its_time_and_its_order_and_nothing_else() {
    let rules = rules("BTC-USDT");
    let made = |quantity: &str, now: i64, at: i64| {
        request::place(&order(Side::Buy, OrderKind::Market, quantity), Timestamp(now), Timestamp(at), &rules)
            .unwrap()
    };
    let first = made("0.0012", 0, NOW);
    assert_eq!(first, made("0.0012", 0, NOW));
    assert_eq!(first.hash(), made("0.0012", 1, NOW).hash(), "the engine's time is not in it");
    assert_ne!(first.hash(), made("0.0012", 0, NOW + 1).hash());
    assert_ne!(first.hash(), made("0.0013", 0, NOW).hash());
    assert_eq!(first.hash().to_string().len(), 64);
}

#[test]
fn the_window_ends_with_the_order() {
    let rules = rules("BTC-USDT");
    let mut order = order(Side::Buy, OrderKind::Market, "0.0012");
    let made = |order: &OrderRequest, now: i64| request::place(order, Timestamp(now), Timestamp(NOW), &rules);
    order.valid_until = Timestamp(NOW + 60_000);
    assert!(made(&order, NOW).unwrap().query.contains("&recvWindow=5000&"));
    // It is signed at NOW, whenever it is sent.
    order.valid_until = Timestamp(NOW + 2_500);
    for now in [NOW, NOW + 2_499] {
        assert!(made(&order, now).unwrap().query.contains("&recvWindow=2500&"), "at {now}");
    }
    let late = made(&order, NOW + 2_500).unwrap_err().to_string();
    assert!(late.contains(&format!("was valid until {} ms", NOW + 2_500)), "{late}");
}

#[test]
fn what_the_venue_would_refuse_is_not_sent() {
    let rules = rules("BTC-USDT");
    let refused = |kind, units: i64| {
        let mut order = order(Side::Buy, kind, "0.0012");
        order.quantity.0 = units;
        request::place(&order, Timestamp(0), Timestamp(NOW), &rules).unwrap_err().to_string()
    };
    let limit = |text| OrderKind::Limit { price: price(text) };
    for nothing in [0, -1] {
        assert!(refused(OrderKind::Market, nothing).contains("positive multiple of the lot 0.00001"));
    }
    // The sample's bounds: 9000 for all orders, 33.72918411 for market orders, 1000000 as the highest price.
    assert!(refused(limit("100"), 900_000_001).contains("9000.00001"));
    assert!(refused(OrderKind::Market, 3_372_919).contains("33.72919 is not within"));
    assert!(refused(limit("1000000.01"), 120).contains("1000000.01 is not a multiple of the tick 0.01"));
    let fits = |kind, units| {
        let mut order = order(Side::Buy, kind, "0.0012");
        order.quantity.0 = units;
        request::place(&order, Timestamp(0), Timestamp(NOW), &rules).is_ok()
    };
    assert!(fits(limit("1000000"), 900_000_000) && fits(OrderKind::Market, 3_372_918));
}

#[test]
fn questions_carry_the_documented_parameters_and_weights() {
    let (rules, at) = (rules("BTC-USDT"), Timestamp(NOW));
    let end = format!("&recvWindow=5000&timestamp={NOW}");
    let by_id = format!("symbol=BTCUSDT&origClientOrderId={}{end}", id());
    let cases = [
        (request::cancel(id(), at, &rules), "DELETE", "/api/v3/order", by_id.clone(), 1),
        (request::look_up(id(), at, &rules), "GET", "/api/v3/order", by_id, 2),
        (
            request::look_up_by_number(7, at, &rules),
            "GET",
            "/api/v3/order",
            format!("symbol=BTCUSDT&orderId=7{end}"),
            2,
        ),
        (request::open_orders(at, &rules), "GET", "/api/v3/openOrders", format!("symbol=BTCUSDT{end}"), 3),
        (
            request::all_orders(&(Timestamp(5)..Timestamp(9)), at, &rules),
            "GET",
            "/api/v3/allOrders",
            format!("symbol=BTCUSDT&startTime=5&endTime=9&limit=1000{end}"),
            10,
        ),
        (
            request::my_trades(Trades::From(28_457), at, &rules),
            "GET",
            "/api/v3/myTrades",
            format!("symbol=BTCUSDT&limit=1000&fromId=28457{end}"),
            10,
        ),
        (
            request::klines("1m", Timestamp(5), &rules),
            "GET",
            "/api/v3/klines",
            "symbol=BTCUSDT&interval=1m&startTime=5&limit=1000".to_owned(),
            1,
        ),
        (request::book_ticker(&rules), "GET", "/api/v3/ticker/bookTicker", "symbol=BTCUSDT".to_owned(), 1),
    ];
    for (made, method, path, query, weight) in cases {
        let name: &'static str = made.method.into();
        assert_eq!((name, made.path, made.query, made.weight), (method, path, query, weight));
    }
}
