//! The worker's own gate: what it lets through while it cannot see halts or does not hold its Lease.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{Desk, decisions, denial, halt, intents, strategy, uid};
use tradewind_core::config::DesiredState;
use tradewind_core::decision::Outcome;
use tradewind_core::denial::Denial;
use tradewind_core::event::{EventKind, HaltChange};
use tradewind_core::halt::{EntryBlock, HaltAction, HaltScope};

fn put(desk: &mut Desk, state: DesiredState) {
    let mut config = desk.config.clone();
    config.strategies[0].desired_state = state;
    desk.tell(EventKind::ConfigChange(Box::new(config)));
}

fn one() -> Desk {
    Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"])
}

#[test]
fn a_closed_gate_denies_entries_by_its_cause_and_ends_with_it() {
    let causes = [
        (EntryBlock::Blind, Denial::Blind),
        (EntryBlock::LeaseLost, Denial::LeaseLost),
        (EntryBlock::UnknownFormat, Denial::UnknownFormat),
    ];
    for (block, expected) in causes {
        let mut desk = one();
        desk.warm(0);
        desk.tell(EventKind::EntryGate(Some(block)));
        assert_eq!(denial(&desk.bar(0, "110")), expected);
        desk.tell(EventKind::EntryGate(None));
        desk.bar(0, "90");
        assert_eq!(intents(&desk.bar(0, "130")).len(), 1, "open again after {block}");
    }
}

#[test]
fn exits_pass_a_closed_gate() {
    let mut desk = one();
    desk.enter(0);
    desk.tell(EventKind::EntryGate(Some(EntryBlock::Blind)));
    let effects = desk.bar(0, "90");
    assert!(matches!(decisions(&effects)[0].outcome, Outcome::Exit { .. }));
    assert_eq!(desk.durable(&effects).len(), 1, "the exit is sent");
}

#[test]
fn an_entry_that_becomes_durable_behind_a_closed_gate_is_not_sent() {
    let mut desk = one();
    desk.warm(0);
    let effects = desk.bar(0, "110");
    assert_eq!(intents(&effects).len(), 1);
    desk.tell(EventKind::EntryGate(Some(EntryBlock::LeaseLost)));
    assert!(desk.durable(&effects).is_empty());
}

#[test]
fn a_quarantined_strategy_feeds_no_signal_and_starts_cold_when_it_is_let_out() {
    let mut desk = one();
    desk.warm(0);
    put(&mut desk, DesiredState::Quarantined);
    assert_eq!(denial(&desk.bar(0, "110")), Denial::Quarantined);
    put(&mut desk, DesiredState::Trading);
    assert!(matches!(denial(&desk.bar(0, "130")), Denial::WarmingUp { bars: 1, .. }));
}

#[test]
fn a_denial_by_a_halt_names_the_first_that_demands_the_severest_action() {
    let mut desk = one();
    desk.warm(0);
    let btc = "BTC-USD".parse().unwrap();
    let set = |desk: &mut Desk, name, number, action| {
        let scope = HaltScope::Strategies(vec![uid(number)]);
        desk.tell(EventKind::HaltChange(HaltChange::Set(halt(name, scope, action))));
    };
    set(&mut desk, "mild", 1, HaltAction::StopEntries);
    set(&mut desk, "another's", 2, HaltAction::CancelEntries);
    set(&mut desk, "severe", 1, HaltAction::CancelEntries);
    let denied = denial(&desk.bar(0, "110"));
    assert_eq!(denied, Denial::Halted { action: HaltAction::CancelEntries });
    let text = |desk: &Desk| desk.state.denial_text(uid(1), &btc, &denied);
    assert_eq!(text(&desk), "halted by severe (CancelEntries)");
    set(&mut desk, "severe too", 1, HaltAction::CancelEntries);
    assert_eq!(text(&desk), "halted by severe and 1 more (CancelEntries)");
}
