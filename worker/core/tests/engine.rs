//! What the engine does with orders, fills, halts and limits, told event by event.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::config::{DesiredState, InstrumentState, ResolvedStrategy, SizingConfig};
use tradewind_core::decision::Outcome;
use tradewind_core::denial::Denial;
use tradewind_core::event::{Effect, EventKind, HaltChange, Record, Report, Transfer};
use tradewind_core::halt::{HaltAction, HaltOrigin, HaltScope};
use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::{Percent, Quantity};
use tradewind_core::order::{Attempt, OrderKind, OrderState, OrderUpdate, Purpose};
use tradewind_core::time::{Millis, Timestamp};

fn one() -> Desk {
    Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"])
}

fn with_stop() -> Desk {
    let mut config = strategy(1, &["BTC-USD"]);
    config.stop_loss = Some(Percent(50_000));
    Desk::new(vec![config], &["BTC-USD"])
}

#[test]
fn an_order_is_sent_only_after_its_intent_is_durable_and_only_once() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let intent = intents(&effects)[0].clone();
    assert!(requests(&effects).is_empty(), "nothing leaves before Durable");
    // 5 % of 10 000 at 110 is 4.5454…: 4.545 in lots of 0.001.
    assert_eq!((intent.quantity, intent.purpose), (Quantity(4545), Purpose::Entry));
    let sent = desk.durable(&effects);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].client_order_id, sent[0].attempt), (intent.client_order_id, Attempt(1)));
    assert!(
        requests(&desk.tell(EventKind::Durable { intent: intent.id })).is_empty(),
        "told twice, sent once"
    );
}

#[test]
fn every_bar_of_every_instrument_gives_each_strategy_one_decision() {
    let strategies = vec![strategy(1, &["BTC-USD", "ETH-USD"]), strategy(2, &["BTC-USD"])];
    let mut desk = Desk::new(strategies, &["BTC-USD", "ETH-USD", "SOL-USD"]);
    for close in ["100", "100", "100", "110", "90", "120"] {
        let effects = desk.bars(&[(0, close), (1, close), (2, close)]);
        let mut who: Vec<_> = decisions(&effects).iter().map(|d| (d.strategy.0, d.instrument.0)).collect();
        who.sort_unstable();
        assert_eq!(who, [(0, 0), (0, 1), (1, 0)]);
    }
}

#[test]
fn a_bar_told_twice_is_one_bar() {
    let mut desk = one();
    desk.warm(0);
    desk.bar(0, "110");
    desk.hour -= 1;
    let again = desk.bar(0, "110");
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn a_fill_told_twice_counts_once() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    let fill = desk.a_fill(&sent, "110", Quantity(4545));
    desk.tell(EventKind::Fill(fill.clone()));
    let cash_after = desk.state.account_view().cash;
    assert_eq!(cash_after, cash("99500.05"), "100 000 - 4.545 * 110");
    assert!(desk.tell(EventKind::Fill(fill)).is_empty());
    assert_eq!(desk.state.account_view().cash, cash_after);
    assert!(desk.state.is_balanced());
}

#[test]
fn a_fill_before_its_acceptance_and_after_its_cancel_is_booked() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    let early = desk.a_fill(&sent, "110", Quantity(1000));
    desk.tell(EventKind::Fill(early));
    desk.accept(&sent);
    desk.update(sent.client_order_id, OrderUpdate::Cancelled { executed: Quantity(1000) });
    let late = desk.a_fill(&sent, "110", Quantity(545));
    let effects = desk.tell(EventKind::Fill(late));
    assert!(records(&effects).iter().any(|r| matches!(r, Record::Fill { .. })));
    let view = &desk.state.strategy_views()[0];
    assert_eq!(view.positions[0].quantity, Quantity(1545));
    assert!(desk.state.open_orders().is_empty());
}

#[test]
fn a_halt_stops_entries_and_lets_exits_go_on() {
    let mut desk = one();
    desk.enter(0);
    let change = HaltChange::Set(halt("h", HaltScope::Account, HaltAction::StopEntries));
    let effects = desk.tell(EventKind::HaltChange(change));
    assert!(matches!(records(&effects)[..], [Record::Halt(HaltChange::Set(_))]));
    let effects = desk.bar(0, "90");
    assert!(matches!(decisions(&effects)[0].outcome, Outcome::Exit { quantity: Quantity(4545) }));
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    desk.fill(&sent, "90");
    let effects = desk.bar(0, "120");
    assert_eq!(denial(&effects), Denial::Halted { action: HaltAction::StopEntries });
    let cleared = HaltChange::Cleared { name: "h".into(), by: "a person".into(), at: Timestamp(0) };
    desk.tell(EventKind::HaltChange(cleared));
    desk.bar(0, "90");
    assert_eq!(intents(&desk.bar(0, "130")).len(), 1, "resumed");
}

#[test]
fn an_entry_that_becomes_durable_under_a_halt_is_not_sent() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    desk.tell(EventKind::HaltChange(HaltChange::Set(halt("h", HaltScope::Account, HaltAction::StopEntries))));
    let id = intents(&effects)[0].id;
    let effects = desk.tell(EventKind::Durable { intent: id });
    assert!(requests(&effects).is_empty());
    assert!(
        matches!(records(&effects)[..], [Record::Transition(t)] if t.to == OrderState::Expired && t.detail.as_deref() == Some("not sent: halted by h (StopEntries)"))
    );
}

#[test]
fn cancel_entries_cancels_entries_and_leaves_stops() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    let effects = desk.tell(EventKind::HaltChange(HaltChange::Set(halt(
        "h",
        HaltScope::Account,
        HaltAction::CancelEntries,
    ))));
    assert_eq!(cancels(&effects), [sent.client_order_id]);

    let mut desk = with_stop();
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    let effects = desk.tell(EventKind::HaltChange(HaltChange::Set(halt(
        "h",
        HaltScope::Account,
        HaltAction::CancelEntries,
    ))));
    assert!(cancels(&effects).is_empty());
}

#[test]
fn a_halt_that_finds_an_entry_on_its_way_cancels_it_when_it_arrives() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    let halted = HaltChange::Set(halt("h", HaltScope::Account, HaltAction::CancelEntries));
    assert!(cancels(&desk.tell(EventKind::HaltChange(halted))).is_empty());
    assert_eq!(cancels(&desk.accept(&sent)), [sent.client_order_id]);
}

#[test]
fn liquidate_cancels_the_stop_then_sells_what_is_held() {
    let mut desk = with_stop();
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    let liquidate = HaltChange::Set(halt("h", HaltScope::Strategies(vec![uid(1)]), HaltAction::Liquidate));
    let effects = desk.tell(EventKind::HaltChange(liquidate));
    assert_eq!(cancels(&effects), [stop.client_order_id]);
    assert!(intents(&effects).is_empty(), "the stop still holds the coins");
    let effects = desk.update(stop.client_order_id, OrderUpdate::Cancelled { executed: Quantity::ZERO });
    let exit = intents(&effects)[0];
    assert_eq!((exit.purpose, exit.quantity), (Purpose::Liquidation, Quantity(4545)));
}

#[test]
fn each_entry_fill_gets_a_stop_rounded_up_to_the_tick() {
    let mut desk = with_stop();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    let part = desk.a_fill(&sent, "109.97", Quantity(1000));
    let effects = desk.tell(EventKind::Fill(part));
    let stop = intents(&effects)[0];
    // 109.97 * 0.95 = 104.4715, up to the tick of 0.01.
    let trigger = rules("BTC-USD").parse_price("104.48").unwrap();
    assert_eq!(
        (stop.kind, stop.quantity, stop.purpose),
        (OrderKind::Stop { trigger }, Quantity(1000), Purpose::StopLoss)
    );
    let rest = desk.a_fill(&sent, "110", Quantity(3545));
    let effects = desk.tell(EventKind::Fill(rest));
    assert_eq!(intents(&effects)[0].quantity, Quantity(3545));
}

#[test]
fn a_stop_between_two_ticks_is_rounded_up() {
    let mut config = strategy(1, &["ADA-USD"]);
    config.stop_loss = Some(Percent(50_000));
    let mut desk = Desk::new(vec![config], &["ADA-USD"]);
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    // 109.95 * 0.95 = 104.4525, between the ticks 104.45 and 104.50.
    let effects = desk.fill(&sent, "109.95");
    let trigger = rules("ADA-USD").parse_price("104.50").unwrap();
    assert_eq!(intents(&effects)[0].kind, OrderKind::Stop { trigger });
}

#[test]
fn a_position_whose_stop_was_refused_is_guarded_by_marks_and_by_the_low_of_bars() {
    for on_mark in [true, false] {
        let mut desk = with_stop();
        let effects = desk.enter(0);
        let stop = desk.durable(&effects).remove(0);
        desk.update(stop.client_order_id, OrderUpdate::Rejected { code: "X".into(), message: "no".into() });
        // The stop lies at 104.50.
        let above = rules("BTC-USD").parse_price("104.51").unwrap();
        assert!(desk.tell(EventKind::Mark { instrument: InstrumentId(0), price: above }).is_empty());
        let effects = if on_mark {
            let at = rules("BTC-USD").parse_price("104.50").unwrap();
            desk.tell(EventKind::Mark { instrument: InstrumentId(0), price: at })
        } else {
            desk.bar_with(0, "112", "104.5", "111")
        };
        let exit = intents(&effects)[0];
        assert_eq!((exit.purpose, exit.quantity), (Purpose::StopGuard, Quantity(4545)), "on mark: {on_mark}");
    }
}

#[test]
fn a_resting_stop_is_left_to_the_venue() {
    let mut desk = with_stop();
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    let price = rules("BTC-USD").parse_price("90").unwrap();
    let effects = desk.tell(EventKind::Mark { instrument: InstrumentId(0), price });
    assert!(intents(&effects).is_empty(), "two sales of one position");
    assert!(cancels(&effects).is_empty(), "the stop sells sooner than we could");
    desk.fill(&stop, "104.50");
    assert!(desk.state.strategy_views()[0].positions.is_empty());
}

#[test]
fn an_unknown_order_blocks_its_instrument_and_is_sent_again_only_when_proven_absent() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    let effects = desk.update(sent.client_order_id, OrderUpdate::Unknown { message: "time-out".into() });
    assert!(requests(&effects).is_empty() && signings(&effects).is_empty());
    desk.bar(0, "90");
    assert_eq!(desk.state.open_orders()[0].state, OrderState::Unknown);
    let effects = desk.bar(0, "130");
    assert!(intents(&effects).is_empty(), "{:?}", decisions(&effects));
}

#[test]
fn an_absent_exit_is_sent_again_with_the_same_id_and_an_absent_entry_only_while_it_is_young() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    desk.update(sent.client_order_id, OrderUpdate::Unknown { message: "time-out".into() });
    let not_found = OrderUpdate::NotFound { asked_at: desk.now() };
    let effects = desk.update(sent.client_order_id, not_found.clone());
    assert!(requests(&effects).is_empty(), "the next attempt is durable before it leaves");
    let again = desk.durable(&effects);
    assert_eq!((again[0].client_order_id, again[0].attempt), (sent.client_order_id, Attempt(2)));
    desk.update(sent.client_order_id, OrderUpdate::Unknown { message: "time-out".into() });
    desk.hour += 2;
    let late = desk.update(sent.client_order_id, OrderUpdate::NotFound { asked_at: desk.now() });
    assert!(signings(&late).is_empty(), "older than its signal's life");
    assert!(desk.state.open_orders().is_empty());
}

#[test]
fn an_order_in_flight_counts_as_filled_for_every_strategy_of_the_account() {
    let mut first = strategy(1, &["BTC-USD"]);
    first.sizing = SizingConfig::FixedPercent { percent: Percent(1_000_000) };
    first.limits.max_position = Percent(1_000_000);
    first.limits.max_exposure = Percent(1_000_000);
    first.capital = cash("50000");
    let mut second = strategy(2, &["ETH-USD"]);
    second.sizing = first.sizing.clone();
    second.limits = first.limits.clone();
    second.capital = cash("50000");
    let mut desk = Desk::new(vec![first, second], &["BTC-USD", "ETH-USD"]);
    for _ in 0..3 {
        desk.bars(&[(0, "100"), (1, "100")]);
    }
    // The account of 100 000 allows 80 000: the first intent takes 50 000, nothing is filled yet.
    let effects = desk.bars(&[(0, "110"), (1, "110")]);
    assert_eq!(intents(&effects).len(), 1);
    let denied = decisions(&effects)[1].outcome;
    // 50 000 at 110 are 454.545 coins: 49 999.95 each.
    let (exposure, limit) = (cash("99999.9"), cash("80000"));
    assert_eq!(denied, Outcome::Nothing(Denial::MaxAccountExposure { exposure, limit }));
}

#[test]
fn the_drawdown_breaker_halts_and_its_resume_starts_from_the_equity_of_now() {
    let mut config = strategy(1, &["BTC-USD"]);
    config.sizing = SizingConfig::FixedPercent { percent: Percent(500_000) };
    config.limits.max_position = Percent(1_000_000);
    let mut desk = Desk::new(vec![config], &["BTC-USD"]);
    desk.enter(0);
    // 45.454 coins bought at 110. A drawdown of 15 % is 1 500: 33.0003 a coin.
    let effects = desk.bar_with(0, "110", "77", "109");
    assert!(desk.state.halts().is_empty(), "1499.98 lost is not 15 %: {effects:?}");
    let effects = desk.bar_with(0, "110", "76.99", "109");
    let name = desk.state.halts()[0].name.clone();
    assert_eq!(name, "strategy.s1.drawdown");
    assert!(
        matches!(&desk.state.halts()[0].origin, HaltOrigin::Breaker { breaker } if breaker == "drawdown")
    );
    assert!(records(&effects).iter().any(|r| matches!(r, Record::Halt(_))));
    let cleared = HaltChange::Cleared { name, by: "a person".into(), at: desk.now() };
    let effects = desk.tell(EventKind::HaltChange(cleared));
    let reference = cash("10000").checked_sub(cash("45.454")).unwrap();
    assert!(
        records(&effects)
            .iter()
            .any(|r| matches!(r, Record::Rebase { reference: found, .. } if *found == reference))
    );
    assert_eq!(desk.state.strategy_views()[0].drawdown, Percent(0));
}

#[test]
fn a_deposit_changes_equity_and_not_drawdown() {
    let mut desk = one();
    desk.enter(0);
    desk.bar(0, "105");
    let before = desk.state.strategy_views()[0].clone();
    let usd = || "USD".parse().unwrap();
    let capital = Transfer { asset: usd(), amount: cash("5000"), strategy: Some(uid(1)), at: desk.now() };
    desk.tell(EventKind::Transfer(capital));
    let after = desk.state.strategy_views()[0].clone();
    assert_eq!(after.equity, before.equity.checked_add(cash("5000")).unwrap());
    assert_eq!(after.drawdown, before.drawdown);
    let account = desk.state.account_view();
    desk.tell(EventKind::Transfer(Transfer {
        asset: usd(),
        amount: cash("900000"),
        strategy: None,
        at: desk.now(),
    }));
    assert_eq!(desk.state.account_view().drawdown, account.drawdown);
    assert!(desk.state.is_balanced());
}

#[test]
fn a_strategy_that_is_removed_makes_no_entries_and_still_exits() {
    let mut desk = one();
    desk.enter(0);
    let mut config = desk.config.clone();
    config.strategies.clear();
    desk.tell(EventKind::ConfigChange(Box::new(config)));
    assert!(matches!(decisions(&desk.bar(0, "90"))[0].outcome, Outcome::Exit { .. }));
    let effects = desk.bar(0, "130");
    assert!(matches!(denial(&effects), Denial::ExitUnderWay | Denial::Removed));
}

#[test]
fn lifecycle_states_forbid_entries_each_with_its_reason() {
    let cases: [(DesiredState, InstrumentState, Denial); 4] = [
        (DesiredState::ExitOnly, InstrumentState::Active, Denial::ExitOnly),
        (DesiredState::Stopped, InstrumentState::Active, Denial::Stopped),
        (DesiredState::ReferenceMissing, InstrumentState::Active, Denial::ReferenceMissing),
        (DesiredState::Trading, InstrumentState::ExitOnly, Denial::InstrumentExitOnly),
    ];
    for (desired, state, expected) in cases {
        let mut desk = one();
        desk.warm(0);
        let mut config = desk.config.clone();
        config.strategies[0].desired_state = desired;
        config.strategies[0].instruments[0].state = state;
        desk.tell(EventKind::ConfigChange(Box::new(config)));
        assert_eq!(denial(&desk.bar(0, "110")), expected);
    }
}

#[test]
fn a_symbol_that_is_no_longer_listed_is_exited_and_not_entered() {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD", "ETH-USD"])], &["BTC-USD", "ETH-USD"]);
    desk.enter(1);
    let mut config = desk.config.clone();
    config.strategies[0].instruments.pop();
    desk.tell(EventKind::ConfigChange(Box::new(config)));
    let effects = desk.bar(1, "90");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    desk.fill(&sent, "90");
    assert_eq!(denial(&desk.bar(1, "130")), Denial::InstrumentExitOnly);
}

#[test]
fn more_capital_is_a_transfer_and_the_rest_of_the_strategy_goes_on() {
    let mut desk = one();
    desk.enter(0);
    let mut config = desk.config.clone();
    config.strategies[0].capital = cash("12000");
    let effects = desk.tell(EventKind::ConfigChange(Box::new(config)));
    assert!(matches!(records(&effects)[..], [Record::Transfer(t)] if t.amount == cash("2000")));
    let view = &desk.state.strategy_views()[0];
    assert_eq!((view.capital, view.positions.len()), (cash("12000"), 1));
}

#[test]
fn entries_wait_for_an_unbroken_bar_after_a_gap_and_a_long_gap_starts_the_signal_anew() {
    let mut desk = one();
    desk.warm(0);
    desk.hour += 1;
    assert_eq!(denial(&desk.bar(0, "110")), Denial::DataGap { missing: 1 });
    desk.hour += 24;
    assert_eq!(denial(&desk.bar(0, "100")), Denial::DataGap { missing: 24 });
    assert_eq!(denial(&desk.bar(0, "120")), Denial::WarmingUp { bars: 2, needed: 3 });
}

#[test]
fn cooldown_and_trades_a_day_are_counted_from_fills() {
    let mut config = strategy(1, &["BTC-USD"]);
    config.limits.cooldown = Millis(3 * HOUR);
    config.limits.max_trades_per_instrument_per_day = 1;
    let mut desk = Desk::new(vec![config], &["BTC-USD"]);
    desk.enter(0);
    let effects = desk.bar(0, "90");
    let sent = desk.durable(&effects).remove(0);
    desk.accept(&sent);
    desk.fill(&sent, "90");
    let effects = desk.bar(0, "120");
    assert_eq!(denial(&effects), Denial::Cooldown { elapsed: Millis(HOUR), limit: Millis(3 * HOUR) });
    desk.bar(0, "80");
    desk.bar(0, "70");
    assert_eq!(denial(&desk.bar(0, "130")), Denial::MaxTradesPerDay { count: 1, limit: 1 });
    desk.hour = 24;
    desk.bar(0, "80");
    desk.bar(0, "80");
    desk.bar(0, "80");
    assert_eq!(intents(&desk.bar(0, "140")).len(), 1, "a new UTC day");
}

#[test]
fn fills_and_updates_of_orders_that_are_not_ours_are_reported_and_change_nothing() {
    let mut desk = one();
    desk.enter(0);
    let before = desk.state.account_view();
    let mut foreign = desk
        .events
        .iter()
        .find_map(|e| if let EventKind::Fill(f) = &e.kind { Some(f.clone()) } else { None });
    let mut fill = foreign.take().unwrap();
    fill.client_order_id = tradewind_core::order::ClientOrderId(uuid::Uuid::from_u128(99));
    let effects = desk.tell(EventKind::Fill(fill));
    assert!(matches!(effects[..], [Effect::Report(Report::Foreign { .. }), Effect::Persist(_)]));
    assert!(matches!(records(&effects)[..], [Record::External(_)]), "kept as what it is");
    assert_eq!(desk.state.account_view(), before);
}

#[test]
fn time_that_steps_back_is_time_standing_still() {
    let mut desk = one();
    desk.warm(0);
    desk.bar(0, "110");
    let before = desk.state.now();
    desk.hour -= 2;
    desk.tell(EventKind::Timer);
    assert_eq!(desk.state.now(), before);
}

#[test]
fn an_edited_decision_bar_holds_at_once() {
    let of = |hours| ResolvedStrategy { bar: Millis(hours * HOUR), ..strategy(1, &["BTC-USD"]) };
    let mut desk = Desk::new(vec![of(2)], &["BTC-USD"]);
    let decided = |desk: &mut Desk| (0..8).map(|_| decisions(&desk.bar(0, "100")).len()).sum::<usize>();
    assert_eq!(decided(&mut desk), 4);
    for (hours, decisions) in [(4, 2), (1, 8), (2, 4)] {
        desk.config.strategies = vec![of(hours)];
        let config = Box::new(desk.config.clone());
        desk.tell(EventKind::ConfigChange(config));
        assert_eq!(decided(&mut desk), decisions, "bars of {hours} h");
    }
}
