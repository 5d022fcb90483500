//! A strategy that is deleted and made anew under its name: what it left is its successor's, once, and not too early.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::config::{Config, DeletionPolicy, Mode, ResolvedStrategy};
use tradewind_core::denial::Denial;
use tradewind_core::engine::StrategyView;
use tradewind_core::event::{Effects, EventKind, HaltChange, Record, Succession};
use tradewind_core::halt::{HaltAction, HaltOrigin, HaltScope};
use tradewind_core::limits::Limits;
use tradewind_core::money::{Percent, Quantity};
use tradewind_core::order::{ClientOrderId, IntentId, OrderRequest, OrderUpdate};
use tradewind_core::time::Millis;

fn first() -> ResolvedStrategy {
    ResolvedStrategy { stop_loss: Some(Percent(50_000)), ..strategy(1, &["BTC-USD"]) }
}

/// The same under its name, as another object.
fn second() -> ResolvedStrategy {
    ResolvedStrategy { uid: uid(2), ..first() }
}

fn desk(first: ResolvedStrategy) -> Desk {
    Desk::new(vec![first], &["BTC-USD", "ETH-USD"])
}

fn configure(desk: &mut Desk, strategies: Vec<ResolvedStrategy>) -> Effects {
    let config = Config { account: desk.config.account.clone(), strategies };
    desk.tell(EventKind::ConfigChange(Box::new(config)))
}

/// Buys at 110 with a stop at the venue 5 % below; returns the stop.
fn bought(desk: &mut Desk) -> OrderRequest {
    let filled = desk.enter(0);
    let stops = desk.durable(&filled);
    desk.accept(&stops[0]);
    stops[0].clone()
}

fn view(desk: &Desk, number: u128) -> StrategyView {
    desk.state.strategy_views().into_iter().find(|view| view.config.uid == uid(number)).expect("it is there")
}

fn successions(effects: &Effects) -> Vec<&Record> {
    records(effects).into_iter().filter(|record| matches!(record, Record::Succession(_))).collect()
}

#[test]
fn position_stop_cash_and_reference_are_the_successors_and_the_stop_sells_for_it() {
    let mut desk = desk(first());
    let stop = bought(&mut desk);
    // 5 % of 10000 at 110 are 4.545; at 120 the equity is 10045.45, and so is the reference.
    desk.bar(0, "120");
    let before = view(&desk, 1);
    assert_eq!((before.equity, before.reference), (cash("10045.45"), cash("10045.45")));
    configure(&mut desk, Vec::new());
    assert!(!view(&desk, 1).present);
    let effects = configure(&mut desk, vec![second()]);
    let done = Succession { from: uid(1), to: uid(2), at: desk.now() };
    assert_eq!(records(&effects), [&Record::Succession(done)]);
    let after = view(&desk, 2);
    assert_eq!(desk.state.strategy_views().len(), 1);
    assert!(after.present);
    assert_eq!(
        StrategyView { config: before.config.clone(), ..after.clone() },
        before,
        "all but the object is as it was"
    );
    assert_eq!(after.positions[0].stop, Some(rules("BTC-USD").parse_price("104.5").unwrap()));
    assert_eq!(configure(&mut desk, vec![second()]), [], "once");

    // The stop that rests at the venue was the predecessor's order; its fill is the successor's.
    let sold = desk.fill(&stop, "104.5");
    assert!(sold.iter().all(|effect| !format!("{effect:?}").contains("Foreign")), "{sold:?}");
    let flat = view(&desk, 2);
    // 4.545 sold 5.50 below what they cost: 10000 - 24.9975.
    assert_eq!((flat.positions.len(), flat.equity), (0, cash("9975.0025")));
    assert!(desk.state.is_balanced());
}

#[test]
fn a_difference_of_capital_is_moved_as_by_an_edit_and_moves_no_drawdown() {
    let mut desk = desk(first());
    bought(&mut desk);
    desk.bar(0, "109");
    let before = view(&desk, 1);
    configure(&mut desk, Vec::new());
    let effects = configure(&mut desk, vec![ResolvedStrategy { capital: cash("5000"), ..second() }]);
    let moved = records(&effects).iter().any(|record| {
        matches!(record, Record::Transfer(t) if t.strategy == Some(uid(2)) && t.amount == cash("-5000"))
    });
    assert!(moved, "{effects:?}");
    let after = view(&desk, 2);
    assert_eq!((after.capital, after.positions.len()), (cash("5000"), 1));
    assert_eq!(after.cash, before.cash.checked_sub(cash("5000")).unwrap());
    assert!(before.drawdown > Percent(0));
    assert_eq!(after.drawdown, before.drawdown);
}

#[test]
fn while_it_still_exists_nothing_is_taken_over_and_the_new_one_waits() {
    let mut desk = desk(first());
    bought(&mut desk);
    let effects = configure(&mut desk, vec![first(), second()]);
    assert_eq!(records(&effects), Vec::<&Record>::new());
    assert_eq!(desk.state.strategy_views().len(), 1);
    let waiting = desk.state.heirs();
    assert_eq!((waiting[0].uid, waiting[0].predecessor, waiting[0].present), (uid(2), uid(1), true));
    assert_eq!(successions(&configure(&mut desk, vec![second()])).len(), 1);
    assert_eq!(desk.state.heirs(), []);
}

#[test]
fn an_order_whose_end_is_not_known_is_waited_for() {
    // Else the position, whose stop nobody knows of, would be sold.
    let limits = Limits { flatten_unprotected_after: Millis(i64::MAX), ..first().limits };
    let mut desk = desk(ResolvedStrategy { limits, ..first() });
    desk.warm(0);
    let entry = desk.bar(0, "110");
    let request = desk.durable(&entry)[0].clone();
    desk.accept(&request);
    let part = desk.a_fill(&request, "110", Quantity(1_000));
    let filled = desk.tell(EventKind::Fill(part));
    let stop = desk.durable(&filled)[0].clone();
    desk.update(stop.client_order_id, OrderUpdate::Unknown { message: "no answer".into() });
    let gone = configure(&mut desk, Vec::new());
    assert_eq!(cancels(&gone), [request.client_order_id]);

    assert_eq!(successions(&configure(&mut desk, vec![second()])), Vec::<&Record>::new());
    assert_eq!(desk.state.heirs()[0].orders, 2, "the entry that is being cancelled and the unknown stop");
    assert!(intents(&desk.bar(0, "112")).is_empty());
    assert_eq!(
        desk.update(request.client_order_id, OrderUpdate::Cancelled { executed: Quantity(1_000) }).len(),
        1,
        "one is left"
    );
    let found = desk.accept(&stop);
    assert_eq!(successions(&found).len(), 1, "{found:?}");
    assert_eq!(view(&desk, 2).positions[0].quantity, Quantity(1_000));
}

#[test]
fn an_order_of_the_predecessor_that_the_ledger_lost_is_noticed_after_the_succession() {
    let mut desk = desk(first());
    bought(&mut desk);
    configure(&mut desk, Vec::new());
    configure(&mut desk, vec![second()]);
    // Its id was made of the predecessor's uid.
    let lost = ClientOrderId::derive(identity().incarnation, uid(1), IntentId(9));
    desk.update(lost, OrderUpdate::Accepted { venue_order_id: "V".into() });
    assert_eq!(desk.state.halts()[0].origin, HaltOrigin::LedgerUnknown);
    assert_eq!(desk.state.checkpoint().holding.len(), 1, "what is held stays the successor's");
}

#[test]
fn a_deletion_policy_is_carried_out_before_and_what_it_sold_is_not_there_to_be_taken_over() {
    let liquidate = ResolvedStrategy { deletion_policy: DeletionPolicy::Liquidate, ..first() };
    let mut desk = desk(liquidate);
    let stop = bought(&mut desk);
    // Replaced in one change: the worker did not run in between.
    let effects = configure(&mut desk, vec![second()]);
    assert_eq!(cancels(&effects), [stop.client_order_id]);
    assert_eq!(desk.state.heirs()[0].exits, 1);
    let cancelled = desk.update(stop.client_order_id, OrderUpdate::Cancelled { executed: Quantity::ZERO });
    let sale = desk.durable(&cancelled)[0].clone();
    desk.accept(&sale);
    assert_eq!(desk.state.heirs().len(), 1);
    let sold = desk.fill(&sale, "100");
    assert_eq!(successions(&sold), Vec::<&Record>::new());
    let fresh = view(&desk, 2);
    assert_eq!(
        (fresh.cash, fresh.reference),
        (cash("10000"), cash("10000")),
        "it begins with its own capital"
    );
    assert!(desk.state.is_balanced());
}

#[test]
fn one_that_held_nothing_leaves_nothing_and_the_other_mode_takes_nothing() {
    let mut desk = desk(first());
    configure(&mut desk, Vec::new());
    assert_eq!(successions(&configure(&mut desk, vec![second()])), Vec::<&Record>::new());
    assert_eq!(view(&desk, 2).cash, cash("10000"));

    let mut desk = self::desk(first());
    bought(&mut desk);
    configure(&mut desk, Vec::new());
    let live = ResolvedStrategy { mode: Mode::Live, ..second() };
    assert_eq!(successions(&configure(&mut desk, vec![live])), Vec::<&Record>::new());
    assert_eq!((view(&desk, 1).positions.len(), view(&desk, 2).positions.len()), (1, 0));
}

#[test]
fn deleting_and_making_anew_escapes_no_halt_and_no_loss_under_it() {
    let mut desk = desk(first());
    let stop = bought(&mut desk);
    desk.fill(&stop, "104.5");
    let lost = view(&desk, 1);
    let scope = HaltScope::Strategies(vec![uid(1)]);
    desk.tell(EventKind::HaltChange(HaltChange::Set(halt("by-label", scope, HaltAction::StopEntries))));
    configure(&mut desk, Vec::new());
    assert_eq!(desk.state.checkpoint().holding.len(), 1, "a restart knows it still");
    configure(&mut desk, vec![second()]);
    let heir = view(&desk, 2);
    assert_eq!((heir.halts.len(), heir.equity), (1, lost.equity));
    assert_eq!((heir.reference, heir.drawdown), (lost.reference, lost.drawdown));
    desk.bar(0, "90");
    assert_eq!(denial(&desk.bar(0, "110")), Denial::Halted { action: HaltAction::StopEntries });
}

#[test]
fn a_halt_of_the_predecessor_holds_for_the_successor_from_its_first_moment() {
    let mut desk = desk(first());
    let stop = bought(&mut desk);
    let scope = HaltScope::Strategies(vec![uid(1)]);
    desk.tell(EventKind::HaltChange(HaltChange::Set(halt("stop-it", scope, HaltAction::StopEntries))));
    configure(&mut desk, Vec::new());
    configure(&mut desk, vec![second()]);
    assert_eq!(view(&desk, 2).halts.len(), 1);
    desk.fill(&stop, "104.5");
    desk.bar(0, "90");
    assert_eq!(denial(&desk.bar(0, "110")), Denial::Halted { action: HaltAction::StopEntries });
    desk.tell(EventKind::HaltChange(HaltChange::Cleared {
        name: "stop-it".into(),
        by: "a person".into(),
        at: desk.now(),
    }));
    desk.bar(0, "90");
    assert_eq!(intents(&desk.bar(0, "110")).len(), 1, "resumed, it enters");
}
