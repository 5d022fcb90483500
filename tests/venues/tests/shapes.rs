//! Replies have the published shapes: each sample's keys, and the type of each value, are those of ours.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rust_decimal::Decimal;
use serde_json::Value;
use tradewind_venue_simulator::dialect::{Desk, Keys, Request};
use tradewind_venue_simulator::exchange::{Exchange, Quote, Symbol};

mod common;

const NOW: i64 = 1_767_225_600_123;

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

fn desk() -> Desk {
    let mut exchange = Exchange::new([Symbol::new("BTC", "USDT", dec("0.01"), dec("0.00001"), dec("1"))]);
    exchange.deposit("USDT", dec("10000"), 0);
    let one = dec("1");
    let quote = Quote { bid: dec("97012.43"), ask: dec("97012.44"), bid_quantity: one, ask_quantity: one };
    exchange.quote("BTCUSDT", quote, NOW).unwrap();
    Desk::new(exchange, Keys { api_key: "k".into(), secret: "s".into() })
}

fn ask(desk: &mut Desk, method: &str, path: &str, parameters: &str) -> (u16, Value) {
    let query = common::signed(&format!("{parameters}&timestamp={NOW}"), "s");
    let request = Request {
        method: method.into(),
        path: path.into(),
        query,
        api_key: Some("k".into()),
        ..Request::default()
    };
    let reply = desk.answer(&request, NOW);
    (reply.status, serde_json::from_str(&reply.body).unwrap())
}

/// Fails when a key of the sample is missing, or its value is of another type, down to the leaves.
fn assert_shape(sample: &Value, ours: &Value, place: &str) {
    match (sample, ours) {
        (Value::Object(sample), Value::Object(ours)) => {
            for (key, value) in sample {
                let ours = ours.get(key).unwrap_or_else(|| panic!("{place}.{key} is missing"));
                assert_shape(value, ours, &format!("{place}.{key}"));
            }
        }
        (Value::Array(sample), Value::Array(ours)) => {
            let Some(first) = sample.first() else { return };
            // Rows of mixed types are compared place by place, lists of one shape by their first.
            if sample.iter().all(Value::is_object) || sample.iter().all(Value::is_array) {
                assert_shape(first, ours.first().unwrap_or_else(|| panic!("{place} is empty")), place);
            } else {
                assert_eq!(sample.len(), ours.len(), "{place}");
                for (index, (sample, ours)) in sample.iter().zip(ours).enumerate() {
                    assert_shape(sample, ours, &format!("{place}[{index}]"));
                }
            }
        }
        (Value::String(sample), Value::String(ours)) => {
            let places =
                |text: &str| text.parse::<f64>().is_ok().then(|| text.split('.').nth(1).map(str::len));
            assert_eq!(places(sample), places(ours), "{place}: {sample} and {ours}");
        }
        (sample, ours) => {
            assert_eq!(
                std::mem::discriminant(sample),
                std::mem::discriminant(ours),
                "{place}: {sample} and {ours}"
            );
        }
    }
}

fn sample(name: &str) -> Value {
    let path = format!("{}/tests/samples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn replies_have_the_shapes_of_the_samples() {
    let mut desk = desk();
    let market =
        "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.0012&newClientOrderId=m1&newOrderRespType=FULL";
    let limit =
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.0008&price=97000&newClientOrderId=l1";
    for (name, method, path, parameters, status) in [
        ("order_ack_full", "POST", "/api/v3/order", market, 200),
        ("order_ack_limit_new", "POST", "/api/v3/order", limit, 200),
        ("order_query", "GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=l1", 200),
        ("cancel_ack", "DELETE", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=l1", 200),
        ("fill", "GET", "/api/v3/myTrades", "symbol=BTCUSDT", 200),
        ("balances", "GET", "/api/v3/account", "recvWindow=5000", 200),
        ("candles", "GET", "/api/v3/klines", "symbol=BTCUSDT&interval=5m", 200),
        ("server_time", "GET", "/api/v3/time", "", 200),
        ("error_unknown_order", "GET", "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=never", 400),
        ("order_reject_filter", "POST", "/api/v3/order", &market.replace("0.0012", "0.00001"), 400),
        ("order_reject_duplicate", "POST", "/api/v3/order", limit, 200),
        ("order_reject_duplicate", "POST", "/api/v3/order", limit, 400),
    ] {
        let (got, body) = ask(&mut desk, method, path, parameters);
        assert_eq!(got, status, "{name}: {body}");
        if status == 200 && name.starts_with("order_reject") {
            continue;
        }
        let sample = sample(name);
        assert_shape(&sample, &body, name);
        if let Some(code) = sample.get("code") {
            assert_eq!((code, &sample["msg"]), (&body["code"], &body["msg"]), "{name}");
        }
    }
}

#[test]
fn what_can_be_traded_has_the_shape_of_the_sample_but_for_filters_not_simulated() {
    let (_, ours) = ask(&mut desk(), "GET", "/api/v3/exchangeInfo", "");
    let mut sample = sample("products");
    let filters = |info: &Value| info["symbols"][0]["filters"].as_array().unwrap().clone();
    for filter in filters(&ours) {
        let theirs = filters(&sample).into_iter().find(|f| f["filterType"] == filter["filterType"]);
        assert_shape(&theirs.unwrap_or_else(|| panic!("{filter} is not in the sample")), &filter, "filter");
    }
    // Compared above; the list of kinds of order is as long as what is simulated.
    for key in ["filters", "orderTypes"] {
        sample["symbols"][0].as_object_mut().unwrap().remove(key);
    }
    assert_shape(&sample, &ours, "products");
}
