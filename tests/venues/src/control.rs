//! The control port: what a test changes, and the ground truth it reads. JSON over HTTP, on loopback only.
//!
//! | request | does |
//! |---|---|
//! | `GET /journal?after=SEQ` | the facts after that number |
//! | `GET /requests` | how many requests came in, by method and path, those that faults kept from their effect included |
//! | `GET /behaviour`, `PUT /behaviour` | how the exchange behaves; fields that are left out keep their value |
//! | `POST /faults` | plans a strike ([`crate::faults::Strike`]) |
//! | `DELETE /faults` | forgets all that is planned |
//! | `POST /quote` | `{symbol, bid, ask, bidQuantity, askQuantity}`: the market moves |
//! | `POST /deposit` | `{asset, amount}`: money comes or goes |
//! | `POST /order` | places an order of the account's owner by other ways than ours |
//! | `POST /close`, `POST /open` | maintenance begins (all that is open expires) and ends |

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dialect::Desk;
use crate::exchange::{Kind, NewOrder, Quote, Side, TimeInForce};
use crate::faults::{Plan, Strike};

/// Everything that a test may change.
#[derive(Debug)]
pub struct World {
    /// The exchange with its dialect.
    pub desk: Desk,
    /// What goes wrong.
    pub plan: Plan,
    /// Requests by method and path.
    pub requests: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct QuoteOf {
    symbol: String,
    #[serde(flatten)]
    quote: Quote,
}

#[derive(Debug, Deserialize)]
struct Deposit {
    asset: String,
    amount: Decimal,
}

/// An order of somebody else who has the same account: a person, another program.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Foreign {
    symbol: String,
    client_order_id: String,
    side: Side,
    quantity: Decimal,
    price: Option<Decimal>,
}

impl From<Foreign> for NewOrder {
    fn from(foreign: Foreign) -> Self {
        let Foreign { symbol, client_order_id, side, quantity, price } = foreign;
        let kind = if price.is_some() { Kind::Limit } else { Kind::Market };
        let time_in_force = TimeInForce::Gtc;
        Self { symbol, client_order_id, side, kind, time_in_force, quantity, price, stop_price: None }
    }
}

/// Answers a request of the control port at that time of the machine's clock: status and body.
pub fn answer(
    world: &mut World,
    method: &str,
    path: &str,
    query: &str,
    body: &[u8],
    clock: i64,
) -> (u16, Value) {
    match route(world, method, path, query, body, clock) {
        Ok(value) => (200, value),
        Err((status, message)) => (status, json!({"error": message})),
    }
}

type Outcome = Result<Value, (u16, String)>;

fn route(world: &mut World, method: &str, path: &str, query: &str, body: &[u8], clock: i64) -> Outcome {
    let now = clock + world.desk.exchange.behaviour.clock_offset_ms;
    let exchange = &mut world.desk.exchange;
    let done = || json!({});
    match (method, path) {
        ("GET", "/journal") => {
            let after = query.strip_prefix("after=").and_then(|text| text.parse().ok()).unwrap_or(0_u64);
            let entries: Vec<_> = exchange.journal().iter().filter(|entry| entry.seq > after).collect();
            written(&entries)
        }
        ("GET", "/requests") => written(&world.requests),
        ("GET", "/behaviour") => written(&exchange.behaviour),
        ("PUT", "/behaviour") => {
            let mut known = serde_json::to_value(&exchange.behaviour).unwrap_or_default();
            let given: serde_json::Map<String, Value> = read(body)?;
            if let Value::Object(known) = &mut known {
                if let Some(unknown) = given.keys().find(|key| !known.contains_key(*key)) {
                    return Err((400, format!("there is no behaviour {unknown}")));
                }
                known.extend(given);
            }
            exchange.behaviour = serde_json::from_value(known).map_err(|error| (400, error.to_string()))?;
            Ok(done())
        }
        ("POST", "/faults") => {
            world.plan.add(read::<Strike>(body)?);
            Ok(done())
        }
        ("DELETE", "/faults") => {
            world.plan.clear();
            Ok(done())
        }
        ("POST", "/quote") => {
            let QuoteOf { symbol, quote } = read(body)?;
            exchange.quote(&symbol, quote, now).map_err(|why| (400, format!("{symbol}: {why:?}")))?;
            Ok(done())
        }
        ("POST", "/deposit") => {
            let Deposit { asset, amount } = read(body)?;
            exchange.deposit(&asset, amount, now);
            Ok(done())
        }
        ("POST", "/order") => {
            let order: Foreign = read(body)?;
            let placed = exchange.place(order.into(), now).map_err(|why| (400, format!("{why:?}")))?;
            Ok(json!({"orderId": placed}))
        }
        ("POST", "/close") => {
            exchange.close(now);
            Ok(done())
        }
        ("POST", "/open") => {
            exchange.behaviour.maintenance = false;
            Ok(done())
        }
        _ => Err((404, format!("{method} {path} is not known here"))),
    }
}

fn written<T: serde::Serialize>(value: &T) -> Outcome {
    serde_json::to_value(value).map_err(|error| (500, error.to_string()))
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}
