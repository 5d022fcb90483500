//! Stops that should rest at the venue and do not: placed again, guarded by the worker, measured, and sold in the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::config::{Config, Protection, ResolvedStrategy};
use tradewind_core::engine::State;
use tradewind_core::event::{Effect, Effects, Event, EventKind, ProtectionChange, Report};
use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::{Percent, Quantity};
use tradewind_core::order::{OrderKind, OrderRequest, OrderUpdate, Purpose};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::time::{Millis, Timestamp};

fn with_stop(protection: Protection) -> ResolvedStrategy {
    ResolvedStrategy { stop_loss: Some(Percent(50_000)), protection, ..strategy(1, &["BTC-USD"]) }
}

fn desk(protection: Protection) -> Desk {
    Desk::new(vec![with_stop(protection)], &["BTC-USD"])
}

/// A position of 4.545 bought at 110 whose stop, at 104.50, was just sent; the time it is.
fn entered() -> (Desk, OrderRequest, Timestamp) {
    let mut desk = desk(Protection::AtVenue);
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    assert_eq!(stop.kind, OrderKind::Stop { trigger: rules("BTC-USD").parse_price("104.50").unwrap() });
    let now = desk.now();
    (desk, stop, now)
}

/// The same, and the venue refused the stop.
fn refused() -> (Desk, OrderRequest, Timestamp) {
    let (mut desk, stop, now) = entered();
    let effects = desk.update(stop.client_order_id, refusal());
    assert_eq!(changes(&effects), [ProtectionChange::Lost]);
    (desk, stop, now)
}

fn refusal() -> OrderUpdate {
    OrderUpdate::Rejected { code: "MAX_NUM_ALGO_ORDERS".into(), message: "too many stops".into() }
}

fn mark(price: &str) -> EventKind {
    EventKind::Mark { instrument: InstrumentId(0), price: rules("BTC-USD").parse_price(price).unwrap() }
}

fn changes(effects: &Effects) -> Vec<ProtectionChange> {
    let change = |effect: &Effect| match effect {
        Effect::Report(Report::Protection { change, .. }) => Some(*change),
        _ => None,
    };
    effects.iter().filter_map(change).collect()
}

fn purposes(effects: &Effects) -> Vec<(Purpose, Quantity)> {
    intents(effects).into_iter().map(|intent| (intent.purpose, intent.quantity)).collect()
}

fn unprotected(desk: &Desk) -> Millis {
    desk.state.strategy_views()[0].unprotected
}

/// Makes durable and sends what was decided, and has the venue accept it, all at that time.
fn placed(desk: &mut Desk, start: Timestamp, ms: i64, effects: &Effects) -> Effects {
    let intent = signings(effects)[0].intent;
    let sent = requests(&later(desk, start, ms, EventKind::Durable { intent })).remove(0);
    let update = OrderUpdate::Accepted { venue_order_id: "V".into() };
    later(desk, start, ms, EventKind::OrderUpdate { client_order_id: sent.client_order_id, update })
}

#[test]
fn a_refused_stop_is_placed_again_and_the_time_without_it_is_measured() {
    let (mut desk, _, start) = refused();
    assert_eq!(desk.state.strategy_views()[0].positions[0].unprotected_since, Some(start));
    let again = later(&mut desk, start, 4_000, EventKind::Timer);
    assert_eq!(purposes(&again), [(Purpose::StopLoss, Quantity(4545))]);
    assert_eq!(changes(&placed(&mut desk, start, 4_500, &again)), [ProtectionChange::Restored]);
    later(&mut desk, start, 60_000, EventKind::Timer);
    assert_eq!(unprotected(&desk), Millis(4_500), "and no longer");
    assert_eq!(desk.state.strategy_views()[0].positions[0].unprotected_since, None);
}

#[test]
fn a_stop_that_is_on_its_way_is_measured_and_not_made_twice() {
    let (mut desk, stop, start) = entered();
    assert!(intents(&later(&mut desk, start, 900, EventKind::Timer)).is_empty());
    let update = OrderUpdate::Accepted { venue_order_id: "V".into() };
    let event = EventKind::OrderUpdate { client_order_id: stop.client_order_id, update };
    assert!(changes(&later(&mut desk, start, 1_000, event)).is_empty(), "nobody was told it was missing");
    assert_eq!(unprotected(&desk), Millis(1_000));
}

#[test]
fn the_worker_sells_on_marks_while_no_stop_rests() {
    let (mut desk, _, start) = refused();
    assert!(intents(&later(&mut desk, start, 100, mark("104.51"))).is_empty());
    let sold = later(&mut desk, start, 200, mark("104.50"));
    assert_eq!(purposes(&sold), [(Purpose::StopGuard, Quantity(4545))]);
}

#[test]
fn a_position_that_stays_without_its_stop_is_sold() {
    let (mut desk, _, start) = refused();
    for ms in [3_000, 6_000, 9_999] {
        let again = later(&mut desk, start, ms, EventKind::Timer);
        assert_eq!(purposes(&again), [(Purpose::StopLoss, Quantity(4545))]);
        let intent = signings(&again)[0].intent;
        let sent = requests(&later(&mut desk, start, ms, EventKind::Durable { intent })).remove(0);
        let event = EventKind::OrderUpdate { client_order_id: sent.client_order_id, update: refusal() };
        assert!(changes(&later(&mut desk, start, ms, event)).is_empty(), "told once");
    }
    let sold = later(&mut desk, start, 10_000, EventKind::Timer);
    assert_eq!(changes(&sold), [ProtectionChange::Flattened]);
    assert_eq!(purposes(&sold), [(Purpose::Flatten, Quantity(4545))]);
    assert_eq!(unprotected(&desk), Millis(10_000));
}

#[test]
fn a_stop_of_unknown_outcome_is_not_trusted_and_is_looked_up_before_anything_is_sold() {
    let (mut desk, stop, start) = entered();
    desk.update(stop.client_order_id, OrderUpdate::Unknown { message: "time-out".into() });
    let effects = later(&mut desk, start, 500, mark("100"));
    assert!(intents(&effects).is_empty(), "it may rest and sell the same coins");
    let found = OrderUpdate::Accepted { venue_order_id: "V".into() };
    let event = EventKind::OrderUpdate { client_order_id: stop.client_order_id, update: found };
    assert_eq!(cancels(&later(&mut desk, start, 600, event)), [stop.client_order_id]);
    let gone = OrderUpdate::Cancelled { executed: Quantity(1_000) };
    let event = EventKind::OrderUpdate { client_order_id: stop.client_order_id, update: gone };
    assert!(intents(&later(&mut desk, start, 700, event)).is_empty(), "a part was sold and is not heard of");
    let part = desk.a_fill(&stop, "104", Quantity(1_000));
    let effects = later(&mut desk, start, 800, EventKind::Fill(part));
    assert_eq!(purposes(&effects), [(Purpose::StopGuard, Quantity(3_545))]);
}

#[test]
fn a_strategy_that_acknowledges_it_has_no_stop_orders_and_is_never_flattened() {
    let mut desk = desk(Protection::AtWorker);
    let effects = desk.enter(0);
    assert!(intents(&effects).is_empty(), "no order at the venue");
    let start = desk.now();
    for ms in [5_000, 10_000, 60_000] {
        let effects = later(&mut desk, start, ms, EventKind::Timer);
        assert!(changes(&effects).is_empty() && intents(&effects).is_empty());
    }
    assert_eq!(unprotected(&desk), Millis(0));
    let sold = later(&mut desk, start, 61_000, mark("104.50"));
    assert_eq!(purposes(&sold), [(Purpose::StopGuard, Quantity(4545))]);
}

#[test]
fn an_edit_to_the_venue_places_stops_for_what_is_held() {
    let mut desk = desk(Protection::AtWorker);
    desk.enter(0);
    let start = desk.now();
    let config = Config { strategies: vec![with_stop(Protection::AtVenue)], ..desk.config.clone() };
    later(&mut desk, start, 0, EventKind::ConfigChange(Box::new(config)));
    let effects = later(&mut desk, start, 10, EventKind::Timer);
    assert_eq!(purposes(&effects), [(Purpose::StopLoss, Quantity(4545))]);
}

#[test]
fn a_part_too_small_for_a_stop_order_is_guarded_by_the_worker_until_the_next_part_takes_it_along() {
    let mut desk = desk(Protection::AtVenue);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let entry = desk.durable(&effects).remove(0);
    desk.accept(&entry);
    // 0.009 at a stop of 104.50 are 0.94, below the venue's least of 1.
    let small = desk.a_fill(&entry, "110", Quantity(9));
    let effects = desk.tell(EventKind::Fill(small));
    assert!(intents(&effects).is_empty() && changes(&effects).is_empty());
    assert_eq!(unprotected(&desk), Millis(0));
    let more = desk.a_fill(&entry, "109", Quantity(1_000));
    let effects = desk.tell(EventKind::Fill(more));
    let stop = intents(&effects)[0];
    assert_eq!((stop.quantity, stop.purpose), (Quantity(1_009), Purpose::StopLoss));
    let higher = rules("BTC-USD").parse_price("104.50").unwrap();
    assert_eq!(stop.kind, OrderKind::Stop { trigger: higher }, "of two stops the one that goes off earlier");
}

#[test]
fn a_restart_does_not_begin_the_patience_anew() {
    let (mut desk, _, start) = refused();
    later(&mut desk, start, 4_000, mark("111"));
    let mut again = State::recover(&desk.config, desk.specs.clone(), identity(), &history(&desk)).unwrap();
    assert_eq!(again.strategy_views()[0].positions[0].unprotected_since, Some(start));
    let mut effects = Vec::new();
    again.step(&Event { now: start.plus(Millis(10_000)), kind: EventKind::Timer }, &mut effects);
    assert_eq!(purposes(&effects), [(Purpose::Flatten, Quantity(4545))]);
}

#[test]
fn a_stop_that_rests_though_the_market_has_passed_it_is_taken_over_by_the_worker() {
    let (mut desk, stop, start) = entered();
    let terms =
        VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(500), query_lag: Millis(5_000) };
    desk.state.set_terms(terms, Timestamp(0), Millis(0));
    desk.accept(&stop);
    assert!(later(&mut desk, start, 1_000, mark("95")).is_empty(), "it may be filling");
    assert!(later(&mut desk, start, 60_000, EventKind::Timer).is_empty(), "one mark proves nothing");
    // Above the stop it has nothing to do.
    later(&mut desk, start, 61_000, mark("104.51"));
    later(&mut desk, start, 62_000, EventKind::Timer);
    later(&mut desk, start, 63_000, mark("95"));
    assert!(later(&mut desk, start, 64_000, EventKind::Timer).is_empty());
    later(&mut desk, start, 72_000, mark("95"));
    assert!(later(&mut desk, start, 72_500, EventKind::Timer).is_empty(), "nine seconds apart");
    later(&mut desk, start, 73_000, mark("95"));
    let effects = later(&mut desk, start, 73_500, EventKind::Timer);
    assert_eq!(cancels(&effects), [stop.client_order_id]);
    let ended = OrderUpdate::Cancelled { executed: Quantity(0) };
    let kind = EventKind::OrderUpdate { client_order_id: stop.client_order_id, update: ended };
    let effects = later(&mut desk, start, 74_000, kind);
    assert_eq!(purposes(&effects), [(Purpose::StopGuard, stop.quantity)]);
}
