//! The engine at a venue whose requests are signed and whose answers lag: what waits, and for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::engine::State;
use tradewind_core::event::{Effect, Effects, EventKind, HaltChange, Record, Report};
use tradewind_core::external::External;
use tradewind_core::halt::{HaltAction, HaltOrigin, HaltScope};
use tradewind_core::money::{Cash, Price, Quantity};
use tradewind_core::order::{
    Attempt, ClientOrderId, Fee, Fill, IntentId, Liquidity, OrderRequest, OrderState, OrderUpdate, Purpose,
    Side, TradeId,
};
use tradewind_core::protocol::{Origin, VenueTerms};
use tradewind_core::time::{Millis, Timestamp};

/// Signed requests live 5 s, the clocks differ by 1 s at most, look-ups lag by 2 s.
const TERMS: VenueTerms =
    VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(1_000), query_lag: Millis(2_000) };
const LEASE: Millis = Millis(15_000);

/// A desk that was opened long ago, has seen its bars and decides to buy at the end of the fourth hour; the decision's
/// effects, and its time.
fn decided() -> (Desk, Effects, Timestamp) {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.state.set_terms(TERMS, Timestamp(0), LEASE);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    assert_eq!((intents(&effects).len(), signings(&effects).len()), (1, 1));
    let now = desk.now();
    (desk, effects, now)
}

fn update(
    desk: &mut Desk,
    start: Timestamp,
    ms: i64,
    request: &OrderRequest,
    update: OrderUpdate,
) -> Effects {
    later(desk, start, ms, EventKind::OrderUpdate { client_order_id: request.client_order_id, update })
}

fn durable(desk: &mut Desk, start: Timestamp, ms: i64, effects: &Effects) -> Effects {
    let intent = signings(effects)[0].intent;
    later(desk, start, ms, EventKind::Durable { intent })
}

#[test]
fn what_is_sent_is_what_was_made_durable() {
    let (mut desk, effects, start) = decided();
    let signing = signings(&effects).remove(0);
    let sent = requests(&durable(&mut desk, start, 20, &effects)).remove(0);
    assert_eq!((&sent, sent.signature), (&signing.request, signing.signature));
    assert_eq!((sent.attempt, signing.attempt), (Attempt(1), Attempt(1)));
    assert_eq!(
        (signing.signature.signed_at, signing.signature.valid_until),
        (start, start.plus(Millis(5_000)))
    );
}

#[test]
fn not_found_proves_nothing_before_signature_clock_and_lag_are_over() {
    let (mut desk, effects, start) = decided();
    let sent = requests(&durable(&mut desk, start, 0, &effects)).remove(0);
    update(&mut desk, start, 900, &sent, OrderUpdate::Unknown { message: "time-out".into() });
    let asked_at = start.plus(Millis(8_000));
    let effects = update(&mut desk, start, 8_000, &sent, OrderUpdate::NotFound { asked_at });
    assert!(effects.is_empty(), "no news, no complaint: {effects:?}");
    assert_eq!(desk.state.open_orders()[0].state, OrderState::Unknown);
    // 5 s of signature, 1 s of clock, 2 s of lag, and the first millisecond after.
    let asked_at = start.plus(Millis(8_001));
    let effects = update(&mut desk, start, 8_050, &sent, OrderUpdate::NotFound { asked_at });
    let again = requests(&durable(&mut desk, start, 8_060, &effects)).remove(0);
    assert_eq!((again.client_order_id, again.attempt), (sent.client_order_id, Attempt(2)));
    assert_eq!(again.signature.signed_at, start.plus(Millis(8_050)));
}

#[test]
fn a_signature_that_ran_out_during_the_commit_is_not_used() {
    let (mut desk, effects, start) = decided();
    let slow = durable(&mut desk, start, 5_001, &effects);
    assert!(requests(&slow).is_empty(), "{slow:?}");
    let sent = requests(&durable(&mut desk, start, 5_010, &slow)).remove(0);
    assert_eq!(
        sent.signature.signed_at,
        start.plus(Millis(5_001)),
        "signed anew, and durable before it left"
    );
}

#[test]
fn a_throttled_order_is_sent_when_the_budget_allows() {
    let (mut desk, effects, start) = decided();
    let sent = requests(&durable(&mut desk, start, 0, &effects)).remove(0);
    let throttled = OrderUpdate::Throttled { retry_at: start.plus(Millis(2_000)), message: "weight".into() };
    update(&mut desk, start, 1, &sent, throttled);
    assert!(requests(&later(&mut desk, start, 1_999, EventKind::Timer)).is_empty());
    let again = requests(&later(&mut desk, start, 2_000, EventKind::Timer)).remove(0);
    assert_eq!(again.hash(), sent.hash(), "the same bytes");
    assert!(requests(&later(&mut desk, start, 2_001, EventKind::Timer)).is_empty());
}

#[test]
fn a_successor_sends_nothing_until_its_predecessors_signatures_are_over() {
    let (mut desk, effects, start) = decided();
    desk.state.set_terms(TERMS, start, LEASE);
    assert!(requests(&durable(&mut desk, start, 0, &effects)).is_empty());
    assert!(requests(&later(&mut desk, start, 23_000, EventKind::Timer)).is_empty());
    // 15 s of Lease, 5 s, 1 s, 2 s and a millisecond; by then its own signature is over too.
    let effects = later(&mut desk, start, 23_001, EventKind::Timer);
    let sent = requests(&durable(&mut desk, start, 23_002, &effects));
    assert_eq!(sent.len(), 1);
    assert_eq!(desk.state.open_orders()[0].attempt, Attempt(1));
}

#[test]
fn an_order_of_ours_that_the_ledger_never_made_stops_entries_and_keeps_its_number() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    let lost = ClientOrderId::derive(identity().incarnation, strategy(1, &[]).uid, IntentId(3));
    let effects = desk.update(lost, OrderUpdate::Accepted { venue_order_id: "V".into() });
    let told =
        |e: &Effect| matches!(e, Effect::Report(Report::Foreign { origin: Origin::Lost(IntentId(3)), .. }));
    assert!(effects.iter().any(told), "{effects:?}");
    assert_eq!(desk.state.halts()[0].origin, HaltOrigin::LedgerUnknown);
    assert!(intents(&desk.bar(0, "110")).is_empty());
    // It rests there and is told again: that is no other halt.
    let again = desk.update(lost, OrderUpdate::Accepted { venue_order_id: "V".into() });
    assert!(records(&again).is_empty(), "{again:?}");
    let name = desk.state.halts()[0].name.clone();
    let at = desk.now();
    desk.tell(EventKind::HaltChange(HaltChange::Cleared { name, by: "a person".into(), at }));
    desk.bar(0, "90");
    assert_eq!(intents(&desk.bar(0, "130"))[0].id, IntentId(4));
}

#[test]
fn a_fill_of_an_order_made_after_the_copy_that_was_restored_stops_entries_and_is_kept() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    // Two orders, a copy; a third order; the copy is restored, and a restored ledger leaves numbers out.
    let mut known = history(&desk);
    (known.next_intent, known.left_out) = (1_000_000_003, std::iter::once(3..1_000_000_003).collect());
    desk.state = State::recover(&desk.config, desk.specs.clone(), identity(), &known).unwrap();
    let third = ClientOrderId::derive(identity().incarnation, strategy(1, &[]).uid, IntentId(3));
    let now = desk.now();
    let fill = Fill {
        trade_id: TradeId("T-1".into()),
        client_order_id: third,
        symbol: "BTC-USD".parse().unwrap(),
        side: Side::Buy,
        price: Price(10_000),
        quantity: Quantity(1_000),
        fee: Fee { asset: "USD".parse().unwrap(), amount: Cash::ZERO },
        liquidity: Liquidity::Taker,
        at: now,
    };
    for _ in 0..2 {
        let effects = desk.tell(EventKind::Fill(fill.clone()));
        let kept = records(&effects);
        assert!(
            kept.iter().any(|record| matches!(record, Record::External(External::Trade(trade)) if trade.trade_id == fill.trade_id)),
            "{effects:?}"
        );
    }
    assert_eq!(desk.state.halts()[0].origin, HaltOrigin::LedgerUnknown);
    assert!(intents(&desk.bar(0, "110")).is_empty());
    assert_eq!(desk.state.checkpoint().next_intent, 1_000_000_003, "nothing below is given again");
}

#[test]
fn the_number_of_a_lost_intent_stays_given_for_every_later_start() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    let lost = ClientOrderId::derive(identity().incarnation, strategy(1, &[]).uid, IntentId(3));
    desk.update(lost, OrderUpdate::Accepted { venue_order_id: "V".into() });
    // The rows know of no intent; the venue, whose fills are read further than that, tells of the lost one no more.
    let known = history(&desk);
    assert_eq!(known.next_intent, 1);
    desk.state = State::recover(&desk.config, desk.specs.clone(), identity(), &known).unwrap();
    let (name, at) = (desk.state.halts().first().map(|halt| halt.name.clone()), desk.now());
    let cleared = |name| HaltChange::Cleared { name, by: "a person".into(), at };
    if let Some(name) = name {
        desk.tell(EventKind::HaltChange(cleared(name)));
    }
    desk.warm(0);
    assert_eq!(intents(&desk.bar(0, "110"))[0].id, IntentId(4));
}

#[test]
fn a_cancel_is_repeated_while_its_order_stands() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    let halted = HaltChange::Set(halt("h", HaltScope::Account, HaltAction::CancelEntries));
    assert_eq!(cancels(&desk.tell(EventKind::HaltChange(halted))).len(), 1);
    let start = desk.now();
    // Its answer is lost: nothing is told.
    assert!(cancels(&later(&mut desk, start, 2_999, EventKind::Timer)).is_empty());
    assert_eq!(cancels(&later(&mut desk, start, 3_000, EventKind::Timer)), [sent.client_order_id]);
    assert!(cancels(&later(&mut desk, start, 5_999, EventKind::Timer)).is_empty());
    assert_eq!(cancels(&later(&mut desk, start, 6_000, EventKind::Timer)), [sent.client_order_id]);
    desk.update(sent.client_order_id, OrderUpdate::Cancelled { executed: Quantity(0) });
    assert!(cancels(&later(&mut desk, start, 60_000, EventKind::Timer)).is_empty());
}

#[test]
fn a_cancel_heard_before_the_fills_it_crossed_frees_nothing() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    desk.update(sent.client_order_id, OrderUpdate::Cancelled { executed: Quantity(1545) });
    assert!(desk.state.awaits_fills(), "1.545 are held and not heard of");
    let effects = desk.bar(0, "90");
    assert!(intents(&effects).is_empty() && cancels(&effects).is_empty(), "the sale waits: {effects:?}");
    let mut effects = Vec::new();
    for quantity in [1000, 545] {
        assert_eq!((desk.state.open_orders().len(), intents(&effects).len()), (1, 0));
        let fill = desk.a_fill(&sent, "110", Quantity(quantity));
        effects = desk.tell(EventKind::Fill(fill));
    }
    let sale = intents(&effects)[0];
    assert_eq!((sale.purpose, sale.quantity), (Purpose::SignalExit, Quantity(1545)));
}
