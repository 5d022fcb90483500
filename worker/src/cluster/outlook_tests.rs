use tradewind_core::config::DeletionPolicy;
use tradewind_core::decision::StrategyId;
use tradewind_core::engine::{DustView, PositionView};
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::money::{Cash, Percent, Price, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{
    Attempt, ClientOrderId, Epoch, Incarnation, Intent, IntentId, OrderKind, OrderState, Purpose, Side,
};
use tradewind_core::time::{Millis, Timestamp};

use super::super::config::tests::strategy;
use super::*;

fn view(policy: DeletionPolicy, positions: usize) -> StrategyView {
    let mut config = strategy(1, "trend", "BTC-USD");
    config.deletion_policy = policy;
    let rules = InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.0001", "1").unwrap();
    let position = PositionView {
        instrument: InstrumentId(0),
        rules,
        quantity: Quantity(1),
        average_price: Price(1),
        mark: Price(1),
        value: Cash(1),
        unrealized: Cash(0),
        cost: Cash(1),
        stop: None,
        unprotected_since: None,
        unsold_since: None,
    };
    StrategyView {
        id: StrategyId(0),
        config,
        present: false,
        capital: Cash(0),
        equity: Cash(0),
        cash: Cash(0),
        exposure: Cash(0),
        realized: Cash(0),
        fees: Cash(0),
        reference: Cash(0),
        peak: Cash(0),
        drawdown: Percent(0),
        halts: Vec::new(),
        unprotected: Millis(0),
        dust: Vec::new(),
        positions: vec![position; positions],
    }
}

fn order(purpose: Purpose) -> OrderView {
    let uid = Uid(uuid::Uuid::from_u128(1));
    let id = IntentId(1);
    OrderView {
        intent: Intent {
            id,
            client_order_id: ClientOrderId::derive(Incarnation(1), uid, id),
            strategy: uid,
            symbol: "BTC-USD".parse().unwrap(),
            side: Side::Buy,
            kind: OrderKind::Market,
            quantity: Quantity(1),
            purpose,
            reference_price: Price(1),
            decision_bar: Timestamp(0),
            decided_at: Timestamp(0),
            valid_until: Timestamp(0),
            epoch: Epoch(1),
        },
        state: OrderState::Accepted,
        attempt: Attempt(1),
        filled: Quantity(0),
        is_ending: false,
        signed_at: Timestamp(0),
        not_found_from: None,
    }
}

#[test]
fn a_deleted_strategy_is_settled_when_what_its_policy_asks_for_is_done() {
    use DeletionPolicy::{CancelEntries, Liquidate, Retain};
    let (entry, stop) = (Purpose::Entry, Purpose::StopLoss);
    let table: [(DeletionPolicy, usize, &[Purpose], bool); 8] = [
        (Retain, 1, &[entry, stop], true),
        (CancelEntries, 1, &[entry], false),
        (CancelEntries, 1, &[stop], true),
        (CancelEntries, 0, &[], true),
        (Liquidate, 1, &[], false),
        (Liquidate, 0, &[stop], false),
        (Liquidate, 0, &[entry], false),
        (Liquidate, 0, &[], true),
    ];
    for (policy, positions, purposes, done) in table {
        let orders: Vec<OrderView> = purposes.iter().map(|purpose| order(*purpose)).collect();
        let said = settling(None, Some(&view(policy, positions)), &orders);
        assert_eq!(said == Settling::Done(Vec::new()), done, "{policy:?} {positions} {purposes:?}: {said:?}");
    }
}

#[test]
fn the_accounts_data_are_gone_when_no_strategy_has_any() {
    let mut snapshot = crate::terminal::fixture::snapshot();
    let symbols: Vec<_> = snapshot
        .strategies
        .iter()
        .flat_map(|view| view.config.instruments.iter().map(|listed| listed.symbol.clone()))
        .collect();
    assert!(symbols.len() > 1);
    assert_eq!(feed(&snapshot), Feed::Streaming);
    for (index, symbol) in symbols.iter().enumerate() {
        snapshot.totals.broken_feeds.insert(symbol.clone(), "the file is cut".to_owned());
        let gone = symbols.iter().all(|symbol| snapshot.totals.broken_feeds.contains_key(symbol));
        assert_eq!(matches!(feed(&snapshot), Feed::Unavailable(_)), gone, "{index}: {symbol}");
    }
    snapshot.strategies.clear();
    assert_eq!(feed(&snapshot), Feed::Streaming, "nobody wants them");
}

#[test]
fn it_is_not_settled_before_it_was_taken_out_and_one_the_engine_never_knew_is() {
    let entry = Entry {
        uid: Uid(uuid::Uuid::from_u128(1)),
        generation: 1,
        hash: String::new(),
        unavailable: None,
        quarantined: false,
    };
    let view = view(DeletionPolicy::Retain, 0);
    assert_ne!(settling(Some(&entry), Some(&view), &[]), Settling::Done(Vec::new()));
    let present = StrategyView { present: true, ..view };
    assert_ne!(settling(None, Some(&present), &[]), Settling::Done(Vec::new()));
    let mut dusty = StrategyView { present: false, ..present };
    let symbol = "BTC-USD".parse().unwrap();
    dusty.dust.push(DustView { symbol, amount: Cash(400_000_000_000_000), value: Cash(1) });
    dusty.positions.clear();
    assert_eq!(settling(None, Some(&dusty), &[]), Settling::Done(vec!["0.0004 BTC".into()]));
    assert_eq!(settling(None, None, &[]), Settling::Done(Vec::new()));
}
