//! The simulated exchange does what the real one documents. Expected numbers are worked out by hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use rust_decimal::Decimal;
use tradewind_venue_simulator::exchange::{
    Dedupe, Exchange, Fact, Id, Kind, NewOrder, Quote, Refusal, Side, Status, Symbol, TimeInForce,
};

fn dec(text: &str) -> Decimal {
    Decimal::from_str_exact(text).unwrap()
}

/// BTC at 100.00 to 100.10, ten coins on each side, and 10 000 USD on the account.
fn exchange() -> Exchange {
    let mut exchange = Exchange::new([Symbol::new("BTC", "USD", dec("0.01"), dec("0.001"), dec("10"))]);
    exchange.deposit("USD", dec("10000"), 0);
    exchange.quote("BTCUSD", quote("100.00", "100.10", "10"), 0).unwrap();
    exchange
}

fn quote(bid: &str, ask: &str, quantity: &str) -> Quote {
    Quote { bid: dec(bid), ask: dec(ask), bid_quantity: dec(quantity), ask_quantity: dec(quantity) }
}

fn order(id: &str, side: Side, quantity: &str) -> NewOrder {
    NewOrder {
        symbol: "BTCUSD".into(),
        client_order_id: id.into(),
        side,
        kind: Kind::Market,
        time_in_force: TimeInForce::Gtc,
        quantity: dec(quantity),
        price: None,
        stop_price: None,
    }
}

fn limit(id: &str, side: Side, quantity: &str, price: &str) -> NewOrder {
    NewOrder { kind: Kind::Limit, price: Some(dec(price)), ..order(id, side, quantity) }
}

fn has(exchange: &Exchange, asset: &str) -> (Decimal, Decimal) {
    let balance = exchange.balances()[asset];
    (balance.free, balance.locked)
}

#[test]
fn a_market_buy_pays_the_ask_and_its_fee_in_what_it_receives() {
    let mut exchange = exchange();
    exchange.place(order("a", Side::Buy, "2"), 1).unwrap();
    // 2 × 100.10 = 200.20; 0.1 % of 2 coins.
    assert_eq!(has(&exchange, "USD"), (dec("9799.80"), dec("0")));
    assert_eq!(has(&exchange, "BTC"), (dec("1.998"), dec("0")));
    let trade = &exchange.trades()[0];
    assert_eq!((trade.price, trade.quantity, trade.is_maker), (dec("100.10"), dec("2"), false));
    assert_eq!((trade.commission, trade.commission_asset.as_str()), (dec("0.002"), "BTC"));
}

#[test]
fn what_the_market_does_not_have_expires_and_the_journal_has_every_step() {
    let mut exchange = exchange();
    exchange.quote("BTCUSD", quote("100.00", "100.10", "0.5"), 1).unwrap();
    exchange.place(order("a", Side::Buy, "2"), 2).unwrap();
    let order = &exchange.orders()[0];
    assert_eq!((order.status, order.executed), (Status::Expired, dec("0.5")));
    assert_eq!(has(&exchange, "USD"), (dec("9949.95"), dec("0")), "nothing stays locked");
    let facts: Vec<&Fact> = exchange.journal().iter().map(|entry| &entry.fact).skip(1).collect();
    assert!(matches!(facts[..], [Fact::Accepted { .. }, Fact::Traded(_), Fact::Expired { .. }]), "{facts:?}");
    let numbers: Vec<u64> = exchange.journal().iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[test]
fn a_limit_order_holds_money_back_rests_and_trades_at_its_own_price_as_a_maker() {
    let mut exchange = exchange();
    exchange.place(limit("a", Side::Buy, "3", "99.00"), 1).unwrap();
    assert_eq!(has(&exchange, "USD"), (dec("9703"), dec("297")));
    exchange.quote("BTCUSD", quote("98.80", "98.90", "1"), 2).unwrap();
    let order = &exchange.orders()[0];
    assert_eq!((order.status, order.executed), (Status::PartiallyFilled, dec("1")));
    assert_eq!(exchange.trades()[0].price, dec("99.00"));
    assert!(exchange.trades()[0].is_maker);
    exchange.cancel("BTCUSD", Id::Client("a"), 3).unwrap();
    assert_eq!(has(&exchange, "USD"), (dec("9901"), dec("0")));
    assert_eq!(exchange.cancel("BTCUSD", Id::Client("a"), 4), Err(Refusal::NoOrder));
}

#[test]
fn a_stop_waits_for_its_trigger_and_one_that_would_go_off_is_refused() {
    let mut exchange = exchange();
    exchange.place(order("a", Side::Buy, "2"), 1).unwrap();
    let stop = |id: &str, trigger: &str, price: &str| NewOrder {
        kind: Kind::StopLossLimit,
        stop_price: Some(dec(trigger)),
        ..limit(id, Side::Sell, "1.5", price)
    };
    assert_eq!(exchange.place(stop("s0", "100.00", "99.00"), 2), Err(Refusal::WouldTrigger));
    exchange.place(stop("s1", "95.00", "94.00"), 3).unwrap();
    assert_eq!(has(&exchange, "BTC"), (dec("0.498"), dec("1.5")), "what it would sell is held back");
    exchange.quote("BTCUSD", quote("95.01", "95.11", "10"), 4).unwrap();
    assert_eq!(exchange.orders()[1].status, Status::New);
    exchange.quote("BTCUSD", quote("94.90", "95.00", "10"), 5).unwrap();
    assert_eq!(exchange.orders()[1].status, Status::Filled);
    assert_eq!(exchange.trades()[1].price, dec("94.90"), "a triggered stop takes the bid");
}

#[test]
fn a_stop_whose_limit_the_market_has_passed_rests_untraded() {
    let mut exchange = exchange();
    exchange.place(order("a", Side::Buy, "2"), 1).unwrap();
    let stop = NewOrder {
        kind: Kind::StopLossLimit,
        stop_price: Some(dec("95.00")),
        ..limit("s", Side::Sell, "1.5", "94.00")
    };
    exchange.place(stop, 2).unwrap();
    exchange.quote("BTCUSD", quote("90.00", "90.10", "10"), 3).unwrap();
    assert_eq!((exchange.orders()[1].status, exchange.orders()[1].working), (Status::New, true));
    exchange.quote("BTCUSD", quote("94.50", "94.60", "10"), 4).unwrap();
    assert_eq!((exchange.orders()[1].status, exchange.trades()[1].price), (Status::Filled, dec("94.00")));
}

#[test]
fn a_repeated_id_is_taken_once_the_first_order_has_ended_unless_told_otherwise() {
    let mut exchange = exchange();
    exchange.place(order("a", Side::Buy, "1"), 1).unwrap();
    // As the exchange documents: the first has filled, so the id is free again. A blind resend executes twice.
    exchange.place(order("a", Side::Buy, "1"), 2).unwrap();
    assert_eq!(exchange.trades().len(), 2);
    exchange.place(limit("b", Side::Buy, "1", "99.00"), 3).unwrap();
    assert_eq!(exchange.place(limit("b", Side::Buy, "1", "99.00"), 4), Err(Refusal::Duplicate));
    exchange.behaviour.dedupe = Dedupe::ForEver;
    assert_eq!(exchange.place(order("a", Side::Buy, "1"), 5), Err(Refusal::Duplicate));
    exchange.behaviour.dedupe = Dedupe::Never;
    exchange.place(limit("b", Side::Buy, "1", "99.00"), 6).unwrap();
}

#[test]
fn queries_lag_and_the_engine_does_not() {
    let mut exchange = exchange();
    exchange.behaviour.query_lag_ms = 500;
    exchange.place(order("a", Side::Buy, "1"), 1_000).unwrap();
    assert!(exchange.find("BTCUSD", Id::Client("a"), 1_499).is_none());
    assert_eq!(exchange.seen_trades("BTCUSD", 1_499).count(), 0);
    assert!(exchange.find("BTCUSD", Id::Client("a"), 1_500).is_some());
    assert_eq!(exchange.seen_trades("BTCUSD", 1_500).count(), 1);
}

#[test]
fn filters_funds_and_maintenance_refuse() {
    let mut exchange = exchange();
    let refused = |exchange: &mut Exchange, order| exchange.place(order, 1).unwrap_err();
    assert_eq!(refused(&mut exchange, order("a", Side::Buy, "0.0005")), Refusal::Filter("LOT_SIZE"));
    assert_eq!(refused(&mut exchange, order("a", Side::Buy, "0.05")), Refusal::Filter("NOTIONAL"));
    assert_eq!(refused(&mut exchange, limit("a", Side::Buy, "1", "99.001")), Refusal::Filter("PRICE_FILTER"));
    assert_eq!(refused(&mut exchange, order("a", Side::Sell, "1")), Refusal::Funds);
    assert_eq!(refused(&mut exchange, order("a", Side::Buy, "100")), Refusal::Funds);
    exchange.place(limit("b", Side::Buy, "1", "99.00"), 2).unwrap();
    exchange.close(3);
    assert_eq!(exchange.orders()[0].status, Status::Expired);
    assert_eq!(refused(&mut exchange, order("c", Side::Buy, "1")), Refusal::Closed);
}
