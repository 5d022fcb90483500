//! Over real HTTP: signatures, windows, limits, faults at the level of sockets, the control port. A plain client written
//! here; what the adapter does is not used.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tradewind_venue_simulator::dialect::Keys;
use tradewind_venue_simulator::exchange::{Exchange, Quote, Symbol};
use tradewind_venue_simulator::faults::{Fault, Strike};
use tradewind_venue_simulator::{Options, Simulator};

mod common;

const SECRET: &str = "a-secret";
const KEY: &str = "a-key";

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

async fn simulator() -> Simulator {
    let mut exchange = Exchange::new([Symbol::new("BTC", "USD", dec("0.01"), dec("0.001"), dec("10"))]);
    exchange.deposit("USD", dec("10000"), 0);
    let ten = dec("10");
    let quote = Quote { bid: dec("100"), ask: dec("100.1"), bid_quantity: ten, ask_quantity: ten };
    exchange.quote("BTCUSD", quote, 0).unwrap();
    let keys = Keys { api_key: KEY.into(), secret: SECRET.into() };
    Simulator::start(exchange, Options { port: 0, control_port: 0, keys }).await.unwrap()
}

fn clock() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Sends a request on a connection of its own; the whole answer as text, or how the connection ended.
async fn send(to: SocketAddr, method: &str, target: &str, body: &str) -> std::io::Result<String> {
    let text = format!(
        "{method} {target} HTTP/1.1\r\nhost: {to}\r\nx-mbx-apikey: {KEY}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(text.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    })
    .await
    .unwrap()
}

fn parsed(answer: &str) -> (u16, Value) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

fn market(id: &str, timestamp: i64, secret: &str) -> String {
    let query = format!(
        "symbol=BTCUSD&side=BUY&type=MARKET&quantity=1&newClientOrderId={id}&newOrderRespType=FULL&recvWindow=5000&timestamp={timestamp}"
    );
    format!("/api/v3/order?{}", common::signed(&query, secret))
}

async fn buy(simulator: &Simulator, id: &str) -> std::io::Result<String> {
    send(simulator.address, "POST", &market(id, clock(), SECRET), "").await
}

fn strike(simulator: &Simulator, fault: Fault) {
    let strike =
        Strike { method: Some("POST".into()), path: Some("/api/v3/order".into()), nth: 1, fault, times: 1 };
    simulator.world().plan.add(strike);
}

#[tokio::test]
async fn only_a_request_with_the_right_signature_and_time_reaches_the_engine() {
    let simulator = simulator().await;
    let now = clock();
    for (target, code) in [
        (market("a", now, "other"), -1022),
        (market("a", now - 6_000, SECRET), -1021),
        (market("a", now + 5_000, SECRET), -1021),
        (market("a", now, SECRET).replace("quantity=1", "quantity=2"), -1022),
        (market("a", now, SECRET).split("&signature").next().unwrap().to_owned(), -1102),
    ] {
        let (status, body) = parsed(&send(simulator.address, "POST", &target, "").await.unwrap());
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{target}: {body}");
    }
    assert!(simulator.world().desk.exchange.orders().is_empty());
    let (status, body) = parsed(&buy(&simulator, "a").await.unwrap());
    assert_eq!(
        (status, &body["status"], &body["fills"][0]["price"]),
        (200, &json!("FILLED"), &json!("100.10000000"))
    );
}

#[tokio::test]
async fn each_fault_has_or_has_not_its_effect_whatever_the_client_sees() {
    let faults = [
        (Fault::DropBefore, false),
        (Fault::DropAfter, true),
        (Fault::ResetBefore, false),
        (Fault::ResetAfter, true),
        (Fault::HalfBody, true),
        (Fault::WrongJson, true),
        (Fault::Html, false),
        (Fault::StatusBefore(503), false),
        (Fault::StatusAfter(502), true),
        (Fault::DelayBefore(50), true),
        (Fault::DelayAfter(50), true),
    ];
    let simulator = simulator().await;
    for (index, (fault, has_effect)) in faults.into_iter().enumerate() {
        strike(&simulator, fault);
        let id = format!("order-{index}");
        let seen = buy(&simulator, &id).await;
        let reached = simulator.world().desk.exchange.orders().iter().any(|o| o.client_order_id == id);
        assert_eq!(reached, has_effect, "{fault:?}");
        match (fault, seen) {
            (Fault::DropBefore | Fault::DropAfter, Ok(answer)) => assert_eq!(answer, ""),
            (Fault::ResetBefore | Fault::ResetAfter, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
            (Fault::HalfBody, Ok(answer)) => {
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                let whole = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap();
                assert!(body.len() < whole.parse().unwrap() && serde_json::from_str::<Value>(body).is_err());
            }
            (Fault::WrongJson, Ok(answer)) => assert!(parsed(&answer).1.get("orderId").is_none()),
            (Fault::Html, Ok(answer)) => assert!(answer.contains("200 OK") && answer.contains("<!doctype")),
            (Fault::StatusBefore(status) | Fault::StatusAfter(status), Ok(answer)) => {
                assert!(answer.contains(&format!("HTTP/1.1 {status}")), "{answer}");
            }
            (Fault::DelayBefore(_) | Fault::DelayAfter(_), Ok(answer)) => assert_eq!(parsed(&answer).0, 200),
            (fault, seen) => panic!("{fault:?}: {seen:?}"),
        }
    }
    assert_eq!(simulator.world().plan.struck(), 11);
    assert_eq!(simulator.world().requests["POST /api/v3/order"], 11, "each was sent once");
}

#[tokio::test]
async fn who_asks_too_much_is_told_then_banned() {
    let simulator = simulator().await;
    simulator.world().desk.exchange.behaviour.weight_limit = 2;
    let mut statuses = Vec::new();
    for _ in 0..14 {
        let answer = send(simulator.address, "GET", "/api/v3/time", "").await.unwrap();
        statuses.push(parsed(&answer).0);
        if *statuses.last().unwrap() != 200 {
            assert!(answer.contains("retry-after: ") || answer.contains("Retry-After: "), "{answer}");
        }
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert_eq!(statuses[2], 429);
    assert_eq!(statuses[13], 418);
}

#[tokio::test]
async fn the_control_port_moves_the_market_plans_faults_and_tells_the_truth() {
    let simulator = simulator().await;
    let control = simulator.control;
    let ask = async |method: &str, target: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        parsed(&send(control, method, target, &body).await.unwrap())
    };
    let quote =
        json!({"symbol": "BTCUSD", "bid": "90", "ask": "90.1", "bidQuantity": "5", "askQuantity": "5"});
    assert_eq!(ask("POST", "/quote", quote).await.0, 200);
    let fault = json!({"method": "POST", "path": "/api/v3/order", "nth": 1, "fault": "dropAfter"});
    assert_eq!(ask("POST", "/faults", fault).await.0, 200);
    assert_eq!(buy(&simulator, "a").await.unwrap(), "");
    let (_, journal) = ask("GET", "/journal?after=1", Value::Null).await;
    let facts: Vec<&str> = journal.as_array().unwrap().iter().map(|e| e["fact"].as_str().unwrap()).collect();
    assert_eq!(facts, ["accepted", "traded"]);
    assert_eq!((&journal[1]["price"], &journal[1]["clientOrderId"]), (&json!("90.1"), &json!("a")));
    assert_eq!(ask("PUT", "/behaviour", json!({"queryLagMs": 60_000})).await.0, 200);
    let query = format!(
        "/api/v3/order?{}",
        common::signed(&format!("symbol=BTCUSD&origClientOrderId=a&timestamp={}", clock()), SECRET)
    );
    let (status, body) = parsed(&send(simulator.address, "GET", &query, "").await.unwrap());
    assert_eq!((status, &body["code"]), (400, &json!(-2013)), "not seen yet");
    assert_eq!(ask("PUT", "/behaviour", json!({"queryLag": 1})).await.0, 400, "a misspelt word is told");
    let foreign = json!({"symbol": "BTCUSD", "clientOrderId": "by-hand", "side": "BUY", "quantity": "1"});
    assert_eq!(ask("POST", "/order", foreign).await.0, 200);
    assert_eq!(ask("GET", "/requests", Value::Null).await.1["POST /api/v3/order"], json!(1));
}
