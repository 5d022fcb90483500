//! Exits to their end: what no order can sell, and liquidations that take their time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::config::{Config, DeletionPolicy, ResolvedStrategy};
use tradewind_core::decision::Outcome;
use tradewind_core::denial::Denial;
use tradewind_core::event::{Effect, Effects, EventKind, Report};
use tradewind_core::money::{Percent, Quantity};
use tradewind_core::order::{OrderRequest, OrderUpdate};

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
    assert_eq!((denial(&effects), dust(&effects)), (Denial::NothingToSell, 0));
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
