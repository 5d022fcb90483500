//! Recovery: the state folded from rows goes on exactly as the one that made them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use tradewind_core::config::{Config, DeletionPolicy};
use tradewind_core::decision::Outcome;
use tradewind_core::engine::{RecoverError, State};
use tradewind_core::event::{Effects, Event, EventKind, HaltChange, Record};
use tradewind_core::halt::{HaltAction, HaltScope};
use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::{Percent, Quantity};
use tradewind_core::order::{OrderUpdate, Purpose};

/// The engine as a restart makes it: from the rows, then warmed up with the bars it had seen.
fn restarted(desk: &Desk, config: &Config) -> Result<State, RecoverError> {
    let history = history(desk);
    let mut state = State::recover(config, specs(&["BTC-USD", "ETH-USD"]), identity(), &history)?;
    for event in &desk.events {
        if let EventKind::Bar { instrument, bar } = &event.kind {
            let kind = EventKind::WarmUp { instrument: *instrument, bar: *bar };
            state.step(&Event { now: state.now(), kind }, &mut Vec::new());
        }
    }
    Ok(state)
}

fn tell(state: &mut State, desk: &Desk, kind: EventKind) -> Effects {
    let mut effects = Vec::new();
    state.step(&Event { now: desk.now(), kind }, &mut effects);
    effects
}

fn desk() -> Desk {
    let mut first = strategy(1, &["BTC-USD"]);
    first.stop_loss = Some(Percent(50_000));
    first.breakers[0].drawdown = Percent(20_000);
    let second = strategy(2, &["ETH-USD"]);
    Desk::new(vec![first, second], &["BTC-USD", "ETH-USD"])
}

/// A day of trading with an entry, its stop, an exit, a second entry, a halt and a drawdown.
fn story(desk: &mut Desk, until: usize) {
    let mut told = 0;
    let mut bars: Vec<(&str, &str)> = vec![("100", "100"); 3];
    bars.extend([
        ("110", "100"),
        ("112", "90"),
        ("95", "120"),
        ("120", "119"),
        ("121", "118"),
        ("90", "60"),
        ("125", "61"),
    ]);
    for (btc, eth) in bars {
        let mut pending = desk.bars(&[(0, btc), (1, eth)]);
        while told < until {
            let sent = desk.durable(&pending);
            pending = Vec::new();
            for request in sent {
                told += 1;
                pending.extend(desk.accept(&request));
                if !matches!(request.kind, tradewind_core::order::OrderKind::Stop { .. }) {
                    pending.extend(
                        desk.fill(&request, if request.symbol.base().as_str() == "BTC" { btc } else { eth }),
                    );
                }
            }
            for id in cancels(&pending) {
                pending.extend(desk.update(id, OrderUpdate::Cancelled { executed: Quantity::ZERO }));
            }
            if intents(&pending).is_empty() {
                break;
            }
        }
    }
}

/// The first strategy of the desk, deleted and made anew under its name.
fn made_anew(desk: &Desk) -> Config {
    let mut config = desk.config.clone();
    config.strategies[0].uid = uid(11);
    config.strategies[0].capital = cash("9000");
    config
}

/// Bought, with its stop at the venue, then deleted.
fn left_behind() -> Desk {
    let mut desk = desk();
    let filled = desk.enter(0);
    for stop in desk.durable(&filled) {
        desk.accept(&stop);
    }
    let mut gone = desk.config.clone();
    gone.strategies.remove(0);
    desk.tell(EventKind::ConfigChange(Box::new(gone)));
    desk
}

#[test]
fn a_restart_before_after_and_in_the_middle_of_a_succession_ends_where_none_would_have() {
    let told = |state: &mut State, desk: &Desk, config: &Config| {
        tell(state, desk, EventKind::ConfigChange(Box::new(config.clone())))
    };
    let mut desk = left_behind();
    let config = made_anew(&desk);
    // Died before the configuration was taken over, or before what followed was durable.
    let mut early = restarted(&desk, &config).unwrap();
    let first = told(&mut early, &desk, &config);
    let expected = desk.tell(EventKind::ConfigChange(Box::new(config.clone())));
    assert_eq!(records(&first), records(&expected));
    assert!(matches!(records(&expected)[..], [Record::Succession(_), Record::Transfer(_)]), "{expected:?}");
    // Died when it was durable.
    let mut late = restarted(&desk, &config).unwrap();
    assert_eq!(told(&mut late, &desk, &config), [], "a second time nothing is left to do");
    for again in [early, late] {
        assert_eq!(again.account_view(), desk.state.account_view());
        let by_uid = |state: &State| {
            let mut views = state.strategy_views();
            views.sort_by_key(|view| view.config.uid);
            views
                .into_iter()
                .map(|view| (view.config, view.cash, view.equity, view.reference, view.positions))
                .collect::<Vec<_>>()
        };
        assert_eq!(by_uid(&again), by_uid(&desk.state));
        assert_eq!(again.open_orders(), desk.state.open_orders());
        assert!(again.is_balanced());
    }
}

#[test]
fn after_a_succession_an_old_configuration_that_names_the_predecessor_changes_nothing() {
    let mut desk = left_behind();
    let config = made_anew(&desk);
    desk.tell(EventKind::ConfigChange(Box::new(config)));
    let old = desk.config.clone();
    let mut again = restarted(&desk, &old).unwrap();
    let effects = tell(&mut again, &desk, EventKind::ConfigChange(Box::new(old)));
    assert_eq!(effects, [], "nothing cancelled, sold or allotted");
    let views = again.strategy_views();
    assert_eq!(views.iter().filter(|view| view.config.name == "s1").count(), 1);
    let heir = views.iter().find(|view| view.config.uid == uid(11)).unwrap();
    assert_eq!((heir.present, heir.positions.len()), (true, 1));
}

#[test]
fn the_recovered_state_goes_on_as_the_one_that_never_stopped() {
    for until in 0..9 {
        let mut desk = desk();
        story(&mut desk, until);
        let mut again = restarted(&desk, &desk.config.clone()).unwrap();
        assert_eq!(again.account_view(), desk.state.account_view(), "{until}");
        assert_eq!(again.strategy_views(), desk.state.strategy_views(), "{until}");
        assert_eq!(again.open_orders(), desk.state.open_orders(), "{until}");
        assert_eq!(again.checkpoint(), desk.state.checkpoint(), "{until}");
        for close in ["96", "130", "131", "80", "140"] {
            for instrument in [0, 1] {
                let expected = desk.bar(instrument, close);
                desk.hour -= 1;
                let event = desk.events.last().unwrap().clone();
                let mut found = Vec::new();
                again.step(&event, &mut found);
                assert_eq!(found, expected, "{until} {close} {instrument}");
            }
            desk.hour += 1;
        }
    }
}

#[test]
fn an_exit_that_was_started_goes_on_after_a_restart() {
    let mut desk = desk();
    let effects = desk.enter(0);
    let stop = desk.durable(&effects).remove(0);
    desk.accept(&stop);
    let effects = desk.bar(0, "90");
    assert!(matches!(decisions(&effects)[0].outcome, Outcome::Exit { .. }));
    assert_eq!(cancels(&effects), [stop.client_order_id]);
    // Stopped here: nobody knows whether the cancel arrived.
    let mut again = restarted(&desk, &desk.config.clone()).unwrap();
    let effects = tell(&mut again, &desk, EventKind::Timer);
    assert_eq!(cancels(&effects), [stop.client_order_id], "cancels may repeat");
    let id = stop.client_order_id;
    let effects = tell(
        &mut again,
        &desk,
        EventKind::OrderUpdate {
            client_order_id: id,
            update: OrderUpdate::Cancelled { executed: Quantity::ZERO },
        },
    );
    assert_eq!(intents(&effects)[0].purpose, Purpose::SignalExit);
}

#[test]
fn a_halt_and_a_tripped_breaker_outlast_a_restart() {
    let mut desk = desk();
    desk.enter(0);
    desk.tell(EventKind::HaltChange(HaltChange::Set(halt("h", HaltScope::Account, HaltAction::StopEntries))));
    desk.bar_with(0, "110", "60", "110");
    let names = |state: &State| state.halts().iter().map(|h| h.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&desk.state), ["h", "strategy.s1.drawdown"]);
    let again = restarted(&desk, &desk.config.clone()).unwrap();
    assert_eq!(names(&again), ["h", "strategy.s1.drawdown"]);
}

#[test]
fn a_breaker_resumed_while_nothing_ran_starts_from_the_equity_of_the_next_start() {
    let mut desk = desk();
    desk.enter(0);
    desk.bar_with(0, "110", "60", "100");
    let mut rows = history(&desk);
    rows.halts.clear();
    let mut again = State::recover(&desk.config, specs(&["BTC-USD", "ETH-USD"]), identity(), &rows).unwrap();
    let config = desk.config.clone();
    let effects = tell(&mut again, &desk, EventKind::ConfigChange(Box::new(config)));
    assert!(
        records(&effects)
            .iter()
            .any(|r| matches!(r, Record::Rebase { strategy: Some(s), .. } if *s == uid(1)))
    );
    assert_eq!(again.strategy_views()[0].drawdown, Percent(0));
}

#[test]
fn a_strategy_gone_at_the_next_start_keeps_its_guard_and_its_deletion_policy_is_carried_out() {
    for (policy, sold) in [(DeletionPolicy::Liquidate, true), (DeletionPolicy::Retain, false)] {
        let mut config = strategy(1, &["BTC-USD"]);
        config.deletion_policy = policy;
        let mut desk = Desk::new(vec![config], &["BTC-USD", "ETH-USD"]);
        desk.enter(0);
        let mut without = desk.config.clone();
        without.strategies.clear();
        let mut again = restarted(&desk, &without).unwrap();
        assert_eq!(
            again.account_view().equity,
            desk.state.account_view().equity,
            "what it holds is still worth it"
        );
        let effects = tell(&mut again, &desk, EventKind::ConfigChange(Box::new(without)));
        let purposes: Vec<_> = intents(&effects).iter().map(|i| i.purpose).collect();
        assert_eq!(purposes, if sold { vec![Purpose::Liquidation] } else { vec![] });
    }
}

#[test]
fn fills_in_an_instrument_the_feed_no_longer_has_are_never_forgotten() {
    let mut desk = desk();
    desk.enter(0);
    let rows = history(&desk);
    let mut config = desk.config.clone();
    config.strategies.clear();
    let error = State::recover(&config, specs(&["ETH-USD"]), identity(), &rows).unwrap_err();
    assert!(
        matches!(&error, RecoverError::UnknownInstrument { symbol, .. } if symbol.to_string() == "BTC-USD")
    );
    assert!(error.to_string().contains("put it back"), "{error}");
}

#[test]
fn a_replay_of_the_events_gives_the_same_effects_byte_for_byte() {
    let mut desk = desk();
    story(&mut desk, usize::MAX);
    let bytes = || {
        let mut state = State::new(desk.config.account.clone(), specs(&["BTC-USD", "ETH-USD"]), identity());
        let mut bytes = Vec::new();
        for event in &desk.events {
            let mut effects = Vec::new();
            state.step(event, &mut effects);
            serde_json::to_writer(&mut bytes, &effects).unwrap();
        }
        bytes
    };
    let (one, two) = (bytes(), bytes());
    assert_eq!(one, two);
    assert!(one.len() > 5_000, "{}", one.len());
    // The events themselves survive being written down.
    let text = serde_json::to_string(&desk.events).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), desk.events);
}

#[test]
fn the_mark_of_an_unheld_instrument_does_not_move_equity() {
    let mut desk = desk();
    desk.warm(0);
    let before = desk.state.account_view();
    desk.bar(0, "50");
    assert_eq!(desk.state.account_view(), before);
    assert_eq!(desk.state.mark(InstrumentId(0)).map(|p| p.0), Some(5000));
}
