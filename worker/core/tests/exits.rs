//! Exits to their end: what no order can sell, and liquidations that take their time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::config::{Config, DeletionPolicy, ResolvedStrategy, SizingConfig};
use tradewind_core::decision::Outcome;
use tradewind_core::denial::Denial;
use tradewind_core::engine::State;
use tradewind_core::event::{Effect, Effects, Event, EventKind, HaltChange, Report};
use tradewind_core::halt::{HaltAction, HaltScope};
use tradewind_core::instrument::InstrumentId;
use tradewind_core::limits::Limits;
use tradewind_core::money::{Percent, Quantity};
use tradewind_core::order::{OrderKind, OrderRequest, OrderUpdate, Purpose};
use tradewind_core::time::Millis;

fn with_stop() -> ResolvedStrategy {
    ResolvedStrategy { stop_loss: Some(Percent(50_000)), ..strategy(1, &["BTC-USD"]) }
}

/// How often dust was told.
fn dust(effects: &Effects) -> usize {
    effects.iter().filter(|e| matches!(e, Effect::Report(Report::Dust { .. }))).count()
}

/// A stop that sold all but 0.009, worth 0.94 at 104.50 where the venue's smallest order is worth 1, and then expired.
fn left_with_dust(desk: &mut Desk) -> Effects {
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    desk.bar(0, "104.50");
    let sold = Quantity(stop.quantity.0 - 9);
    let fill = desk.a_fill(&stop, "104.50", sold);
    let effects = desk.tell(EventKind::Fill(fill));
    assert_eq!(dust(&effects), 0, "the stop may still sell it");
    desk.update(stop.client_order_id, OrderUpdate::Expired { executed: sold })
}

fn sale(desk: &mut Desk, effects: &Effects) -> OrderRequest {
    let request = desk.durable(effects).remove(0);
    desk.accept(&request);
    request
}

#[test]
fn what_no_order_can_sell_is_told_once_and_counts_as_nothing() {
    let mut desk = Desk::new(vec![with_stop()], &["BTC-USD"]);
    let effects = left_with_dust(&mut desk);
    assert_eq!((dust(&effects), intents(&effects).len()), (1, 0), "{effects:?}");
    let view = &desk.state.strategy_views()[0];
    assert!(view.positions.is_empty());
    assert_eq!((view.dust.len(), view.dust[0].amount), (1, cash("0.009")));
    let effects = desk.bar(0, "90");
    assert_eq!((intents(&effects).len(), dust(&effects)), (0, 0), "told once");
    // The next entry is free to come, and its stop covers what was dust.
    let effects = desk.bar(0, "108");
    assert!(matches!(decisions(&effects)[0].outcome, Outcome::Enter { .. }), "{effects:?}");
    let entry = sale(&mut desk, &effects);
    let effects = desk.fill(&entry, "108");
    assert_eq!(intents(&effects)[0].quantity, Quantity(entry.quantity.0 + 9));
    assert!(desk.state.strategy_views()[0].dust.is_empty());
}

#[test]
fn a_deletion_that_liquidates_is_done_with_dust() {
    let liquidate = ResolvedStrategy { deletion_policy: DeletionPolicy::Liquidate, ..with_stop() };
    let mut desk = Desk::new(vec![liquidate], &["BTC-USD"]);
    left_with_dust(&mut desk);
    let gone = Config { strategies: Vec::new(), ..desk.config.clone() };
    let effects = desk.tell(EventKind::ConfigChange(Box::new(gone)));
    assert!(intents(&effects).is_empty(), "no order could sell it: {effects:?}");
    let view = &desk.state.strategy_views()[0];
    assert!(view.positions.is_empty() && desk.state.open_orders().is_empty());
}

#[test]
fn an_exit_whose_rest_the_venue_would_refuse_ends() {
    let mut desk = Desk::new(vec![with_stop()], &["BTC-USD"]);
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    desk.bar(0, "109");
    let effects = desk.bar(0, "90");
    assert_eq!(cancels(&effects), [stop.client_order_id]);
    let effects = desk.update(stop.client_order_id, OrderUpdate::Cancelled { executed: Quantity(0) });
    let exit = sale(&mut desk, &effects);
    let sold = Quantity(exit.quantity.0 - 5);
    let fill = desk.a_fill(&exit, "90", sold);
    desk.tell(EventKind::Fill(fill));
    let effects = desk.update(exit.client_order_id, OrderUpdate::Expired { executed: sold });
    assert_eq!((dust(&effects), intents(&effects).len()), (1, 0), "0.005 at 90 are 0.45");
    assert!(desk.state.checkpoint().strategies[0].exits.is_empty(), "nothing goes on");
}

/// A position of 300 at 110, worth 33 000; what a Liquidate says to it.
fn large() -> (Desk, Effects) {
    let capital = cash("90000");
    let sizing = SizingConfig::FixedPercent { percent: Percent(366_700) };
    let limits = Limits { max_position: Percent(900_000), ..strategy(1, &[]).limits };
    let mut desk = Desk::new(
        vec![ResolvedStrategy { capital, sizing, limits, ..strategy(1, &["BTC-USD"]) }],
        &["BTC-USD"],
    );
    desk.enter(0);
    let effects = desk.tell(EventKind::HaltChange(HaltChange::Set(halt(
        "h",
        HaltScope::Account,
        HaltAction::Liquidate,
    ))));
    (desk, effects)
}

fn held(desk: &Desk) -> Quantity {
    desk.state.strategy_views()[0].positions.first().map_or(Quantity(0), |position| position.quantity)
}

#[test]
fn a_liquidation_sells_slice_after_slice_within_the_collar() {
    let (mut desk, mut effects) = large();
    let whole = held(&desk);
    let mut sold = Vec::new();
    while held(&desk).0 > 0 {
        let order = sale(&mut desk, &effects);
        // 2 % below 110.
        let price = rules("BTC-USD").parse_price("107.80").unwrap();
        assert_eq!(order.kind, OrderKind::ImmediateOrCancel { price });
        let again = desk.fill(&order, "110");
        assert!(intents(&again).is_empty(), "the book gets time");
        sold.push(order.quantity);
        effects = desk.tell(EventKind::Timer);
    }
    // 10 000 / 110 = 90.909…, down to the lot.
    assert_eq!(sold[..3], [Quantity(90_909); 3]);
    assert_eq!((sold.len(), sold.iter().map(|q| q.0).sum::<i64>()), (4, whole.0));
    assert!(intents(&effects).is_empty() && desk.state.checkpoint().strategies[0].exits.is_empty());
}

#[test]
fn a_slice_that_finds_no_buyer_follows_the_mark_and_what_is_left_is_named_after_the_deadline() {
    let (mut desk, mut effects) = large();
    let start = desk.now();
    let (mut told, mut prices) = (Vec::new(), Vec::new());
    for (minute, mark) in ["110", "100", "90", "80", "70", "60", "50"].into_iter().enumerate() {
        let ms = i64::try_from(minute).unwrap() * 60_000;
        let intent = signings(&effects)[0].intent;
        let sent = requests(&later(&mut desk, start, ms, EventKind::Durable { intent })).remove(0);
        let OrderKind::ImmediateOrCancel { price } = sent.kind else { panic!("{sent:?}") };
        prices.push(rules("BTC-USD").price_text(price));
        let id = sent.client_order_id;
        let none = OrderUpdate::Expired { executed: Quantity(0) };
        let event = EventKind::OrderUpdate { client_order_id: id, update: none };
        assert!(intents(&later(&mut desk, start, ms, event)).is_empty(), "not in a loop");
        let price = rules("BTC-USD").parse_price(mark).unwrap();
        later(&mut desk, start, ms, EventKind::Mark { instrument: InstrumentId(0), price });
        effects = later(&mut desk, start, ms + 60_000, EventKind::Timer);
        told.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Report(Report::Unsold { left, .. }) => Some((minute + 1, *left)),
            _ => None,
        }));
    }
    assert_eq!(prices, ["107.8", "107.8", "98", "88.2", "78.4", "68.6", "58.8"]);
    assert_eq!(told, [(5, held(&desk))], "once, after five minutes");
    assert_eq!(desk.state.strategy_views()[0].positions[0].unsold_since, Some(start));
}

#[test]
fn a_liquidation_goes_on_after_a_restart_and_keeps_its_deadline() {
    let (mut desk, effects) = large();
    let start = desk.now();
    let order = sale(&mut desk, &effects);
    desk.fill(&order, "110");
    let left = held(&desk);
    let price = rules("BTC-USD").parse_price("110").unwrap();
    later(&mut desk, start, 60_000, EventKind::Mark { instrument: InstrumentId(0), price });
    let mut again = State::recover(&desk.config, desk.specs.clone(), identity(), &history(&desk)).unwrap();
    let mut effects = Vec::new();
    again.step(&Event { now: start.plus(Millis(300_000)), kind: EventKind::Timer }, &mut effects);
    let unsold = |e: &Effect| matches!(e, Effect::Report(Report::Unsold { left: told, .. }) if *told == left);
    assert!(effects.iter().any(unsold), "{effects:?}");
    let next = intents(&effects)[0];
    assert_eq!((next.purpose, next.quantity), (Purpose::Liquidation, Quantity(90_909)));
    // Told again, the halt begins nothing anew.
    let halt = halt("h", HaltScope::Account, HaltAction::Liquidate);
    let mut effects = Vec::new();
    again.step(
        &Event { now: start.plus(Millis(300_000)), kind: EventKind::HaltChange(HaltChange::Set(halt)) },
        &mut effects,
    );
    assert!(intents(&effects).is_empty());
}

#[test]
fn a_resumed_halt_ends_its_liquidation_and_what_is_left_gets_its_stop_again() {
    let mut desk = Desk::new(vec![with_stop()], &["BTC-USD"]);
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    let halt = halt("h", HaltScope::Account, HaltAction::Liquidate);
    desk.tell(EventKind::HaltChange(HaltChange::Set(halt)));
    let none = Quantity(0);
    let effects = desk.update(stop.client_order_id, OrderUpdate::Cancelled { executed: none });
    let slice = sale(&mut desk, &effects);
    let part = desk.a_fill(&slice, "110", Quantity(1_000));
    desk.tell(EventKind::Fill(part));
    let at = desk.now();
    let cleared = HaltChange::Cleared { name: "h".into(), by: "a person".into(), at };
    assert!(intents(&desk.tell(EventKind::HaltChange(cleared))).is_empty(), "the slice is still out");
    assert!(intents(&desk.tell(EventKind::Timer)).is_empty(), "it and a stop would sell the same coins");
    desk.update(slice.client_order_id, OrderUpdate::Expired { executed: Quantity(1_000) });
    let effects = desk.tell(EventKind::Timer);
    let again = intents(&effects)[0];
    assert_eq!((again.purpose, again.quantity), (Purpose::StopLoss, Quantity(3_545)));
}

#[test]
fn an_exit_that_is_refused_is_tried_again_on_the_next_bar_and_not_in_a_loop() {
    let by_the_venue = OrderUpdate::Rejected { code: "X".into(), message: "no".into() };
    let by_us = OrderUpdate::Denied { message: "no".into() };
    for refusal in [by_the_venue, by_us] {
        let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
        desk.warm(0);
        desk.enter(0);
        let effects = desk.bar(0, "90");
        let sent = desk.durable(&effects).remove(0);
        assert!(intents(&desk.update(sent.client_order_id, refusal)).is_empty());
        let effects = desk.bar(0, "89");
        assert_eq!(intents(&effects)[0].purpose, Purpose::SignalExit);
    }
}

#[test]
fn a_sell_signal_that_calls_an_open_entry_off_is_told_as_what_was_done() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    // Nothing of it is filled yet.
    let effects = desk.bar(0, "90");
    assert_eq!(cancels(&effects), [sent.client_order_id]);
    assert_eq!(decisions(&effects)[0].outcome, Outcome::Exit { quantity: Quantity(0) });
}

const HOURS: i64 = 3_600_000;

/// A strategy that decides on two hours of an hourly feed, after three such bars at 100.
fn of_two_hours() -> Desk {
    let mut desk = Desk::new(
        vec![ResolvedStrategy { bar: Millis(2 * HOURS), ..strategy(1, &["BTC-USD"]) }],
        &["BTC-USD"],
    );
    for _ in 0..6 {
        desk.bar(0, "100");
    }
    desk
}

/// The first hour of a decision bar, then one bar of the next: the second hour is missing.
fn cut_off(desk: &mut Desk, close: &str) -> Effects {
    assert!(decisions(&desk.bar(0, close)).is_empty());
    desk.hour += 1;
    desk.bar(0, close)
}

#[test]
fn a_decision_bar_whose_end_is_missing_sells_and_buys_nothing() {
    let mut desk = of_two_hours();
    let effects = cut_off(&mut desk, "110");
    assert_eq!(denial(&effects), Denial::DataGap { missing: 1 });
    assert!(intents(&effects).is_empty());

    let mut desk = of_two_hours();
    desk.bar(0, "110");
    let effects = desk.bar(0, "110");
    let entry = sale(&mut desk, &effects);
    desk.fill(&entry, "110");
    let effects = cut_off(&mut desk, "90");
    assert_eq!(decisions(&effects).len(), 1);
    assert_eq!(decisions(&effects)[0].outcome, Outcome::Exit { quantity: entry.quantity });
    assert_eq!(intents(&effects)[0].purpose, Purpose::SignalExit);
}
