//! What the venue holds beside what the ledger says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use proptest::prelude::*;
use tradewind_core::books::Difference;
use tradewind_core::denial::Denial;
use tradewind_core::engine::State;
use tradewind_core::event::{Effect, Effects, EventKind, HaltChange, Record, Report, Transfer};
use tradewind_core::external::External;
use tradewind_core::halt::{HaltAction, HaltOrigin};
use tradewind_core::money::{Cash, Quantity};
use tradewind_core::name::Asset;
use tradewind_core::order::{ClientOrderId, Fill, Incarnation, IntentId, OrderUpdate, Purpose, TradeId};

fn asset(text: &str) -> Asset {
    text.parse().unwrap()
}

/// The venue tells what is on the account.
fn sweep(desk: &mut Desk, held: &[(&str, &str)]) -> Effects {
    let held = held.iter().map(|(name, amount)| (asset(name), cash(amount))).collect();
    desk.tell(EventKind::Balances(held))
}

fn told(effects: &Effects) -> Vec<Vec<Difference>> {
    let told = |effect: &Effect| match effect {
        Effect::Report(Report::Balances(differences)) => Some(differences.clone()),
        _ => None,
    };
    effects.iter().filter_map(told).collect()
}

fn differs(name: &str, amount: &str) -> Difference {
    Difference { asset: asset(name), amount: cash(amount) }
}

fn transfers(effects: &Effects) -> Vec<Transfer> {
    let transfer = |record: &Record| if let Record::Transfer(t) = record { Some(t.clone()) } else { None };
    records(effects).into_iter().filter_map(transfer).collect()
}

fn one() -> Desk {
    let mut desk = Desk::new(vec![strategy(1, &["BTC-USD"])], &["BTC-USD"]);
    desk.warm(0);
    desk
}

fn resumed(desk: &mut Desk) -> Effects {
    let (name, at) = (desk.state.halts()[0].name.clone(), desk.now());
    desk.tell(EventKind::HaltChange(HaltChange::Cleared { name, by: "a person".into(), at }))
}

#[test]
fn a_difference_stops_entries_at_once_and_is_over_when_the_next_sweep_agrees() {
    let mut desk = one();
    assert!(sweep(&mut desk, &[("USD", "100000"), ("BTC", "0")]).is_empty(), "the same is no news");
    let effects = sweep(&mut desk, &[("USD", "99999.99")]);
    assert_eq!(told(&effects), [[differs("USD", "-0.01")]]);
    assert_eq!(denial(&desk.bar(0, "110")), Denial::BalancesDiffer);
    assert_eq!(told(&sweep(&mut desk, &[("USD", "100000")])), [[]]);
    assert!(desk.state.halts().is_empty());
    desk.bar(0, "90");
    assert_eq!(intents(&desk.bar(0, "120")).len(), 1);
}

#[test]
fn what_two_sweeps_find_halts_the_account_until_a_person_resumes_it() {
    let mut desk = one();
    let held = [("USD", "100500"), ("BTC", "0.25")];
    assert_eq!(told(&sweep(&mut desk, &held)), [[differs("USD", "500"), differs("BTC", "0.25")]]);
    assert!(desk.state.halts().is_empty());
    assert!(told(&sweep(&mut desk, &held)).is_empty(), "told once");
    let halt = desk.state.halts()[0].clone();
    assert_eq!(
        (halt.name.as_str(), halt.action, halt.origin),
        ("account.paper.balances-differ", HaltAction::StopEntries, HaltOrigin::BalancesDiffer)
    );
    assert!(halt.reason.contains("500 USD more, 0.25 BTC more"), "{}", halt.reason);
    let before = desk.state.account_view();
    // Agreeing again does not end it: somebody has to look.
    sweep(&mut desk, &[("USD", "100000")]);
    assert_eq!(denial(&desk.bar(0, "110")), Denial::Halted { action: HaltAction::StopEntries });
    sweep(&mut desk, &held);
    let booked = transfers(&resumed(&mut desk));
    let amounts: Vec<_> = booked.iter().map(|t| (t.asset.to_string(), t.amount, t.strategy)).collect();
    assert_eq!(amounts, [("USD".into(), cash("500"), None), ("BTC".into(), cash("0.25"), None)]);
    assert!(sweep(&mut desk, &held).is_empty());
    let after = desk.state.account_view();
    assert_eq!((after.cash, after.drawdown), (cash("100500"), before.drawdown), "no gain, no loss");
    assert!(desk.state.is_balanced());
}

#[test]
fn coins_that_somebody_took_are_not_sold_again() {
    let mut desk = one();
    let effects = desk.bar(0, "110");
    let entry = desk.durable(&effects).remove(0);
    desk.accept(&entry);
    desk.fill(&entry, "110");
    assert_eq!(entry.quantity, Quantity(4545));
    let held = [("USD", "99500.05"), ("BTC", "3")];
    sweep(&mut desk, &held);
    let effects = desk.bar(0, "90");
    assert_eq!(intents(&effects)[0].quantity, Quantity(3000), "exits go on, with what is there");
    // Accepted by a person, over a restart, the same.
    let mut desk = one();
    let effects = desk.bar(0, "110");
    let entry = desk.durable(&effects).remove(0);
    desk.accept(&entry);
    desk.fill(&entry, "110");
    sweep(&mut desk, &held);
    sweep(&mut desk, &held);
    resumed(&mut desk);
    let again = State::recover(&desk.config, desk.specs.clone(), identity(), &history(&desk)).unwrap();
    assert_eq!(again.strategy_views()[0].positions[0].quantity, Quantity(3000));
    let effects = desk.bar(0, "90");
    let exit = intents(&effects)[0];
    assert_eq!((exit.purpose, exit.quantity), (Purpose::SignalExit, Quantity(3000)));
}

#[test]
fn an_exit_goes_on_with_coins_that_were_only_hidden() {
    let mut desk = one();
    let effects = desk.bar(0, "110");
    let entry = desk.durable(&effects).remove(0);
    desk.accept(&entry);
    desk.fill(&entry, "110");
    sweep(&mut desk, &[("USD", "99500.05"), ("BTC", "3")]);
    let effects = desk.bar(0, "90");
    let exit = desk.durable(&effects).remove(0);
    desk.accept(&exit);
    assert!(intents(&desk.fill(&exit, "90")).is_empty(), "what seems not to be there is not sold");
    assert!(intents(&desk.tell(EventKind::Timer)).is_empty());
    sweep(&mut desk, &[("USD", "99770.05"), ("BTC", "1.545")]);
    let effects = desk.tell(EventKind::Timer);
    let rest = intents(&effects)[0];
    assert_eq!((rest.purpose, rest.quantity), (Purpose::SignalExit, Quantity(1545)));
}

#[test]
fn while_executions_may_not_be_heard_of_a_difference_proves_nothing() {
    let mut desk = one();
    let effects = desk.bar(0, "110");
    let entry = desk.durable(&effects).remove(0);
    let bought = [("USD", "99500.05"), ("BTC", "4.545")];
    assert!(sweep(&mut desk, &bought).is_empty(), "sent");
    desk.update(entry.client_order_id, OrderUpdate::Unknown { message: "time-out".into() });
    assert!(sweep(&mut desk, &bought).is_empty(), "unknown");
    desk.accept(&entry);
    desk.update(entry.client_order_id, OrderUpdate::Cancelled { executed: entry.quantity });
    assert!(sweep(&mut desk, &bought).is_empty(), "ended, and its fills are still to come");
    desk.fill(&entry, "110");
    assert!(sweep(&mut desk, &bought).is_empty(), "the same");
    assert!(desk.state.halts().is_empty());
}

#[test]
fn a_trade_under_an_id_of_another_ledger_is_recorded_and_not_counted() {
    let mut desk = one();
    let effects = desk.bar(0, "110");
    let sent = desk.durable(&effects).remove(0);
    let client_order_id = ClientOrderId::derive(Incarnation(99), uid(1), IntentId(1));
    let fill =
        Fill { client_order_id, trade_id: TradeId("X".into()), ..desk.a_fill(&sent, "110", Quantity(7)) };
    let effects = desk.tell(EventKind::Fill(fill));
    let external =
        |record: &&Record| matches!(record, Record::External(External::Trade(t)) if t.trade_id.0 == "X");
    assert_eq!(records(&effects).iter().filter(|r| external(r)).count(), 1, "{effects:?}");
    assert_eq!(desk.state.account_view().cash, cash("100000"));
    assert!(desk.state.halts().is_empty());
}

proptest! {
    /// Whatever moved, and however often: accepted, the books are the venue's, balanced, and drawdown is what it was.
    #[test]
    fn an_accepted_difference_makes_the_books_the_venues(
        moved in prop::collection::vec((0_usize..3, -90_000_i64..90_000), 1..6),
    ) {
        let mut desk = one();
        desk.enter(0);
        let names = ["USD", "BTC", "ETH"];
        let mut held = [cash("99500.05"), cash("4.545"), Cash::ZERO];
        for (which, units) in moved {
            // Hundredths of a dollar, hundred-thousandths of a coin; nobody owes the venue anything.
            let step = if which == 0 { 10_i128.pow(16) } else { 10_i128.pow(13) };
            held[which] = Cash((held[which].0 + i128::from(units) * step).max(0));
            let told: Vec<_> = names.iter().zip(held).map(|(name, amount)| (asset(name), amount)).collect();
            let before = desk.state.account_view();
            desk.tell(EventKind::Balances(told.clone()));
            desk.tell(EventKind::Balances(told.clone()));
            if !desk.state.halts().is_empty() {
                resumed(&mut desk);
            }
            prop_assert!(desk.tell(EventKind::Balances(told)).is_empty());
            prop_assert!(desk.state.is_balanced());
            prop_assert_eq!(desk.state.account_view().cash, held[0]);
            if before.drawdown.0 == 0 {
                prop_assert_eq!(desk.state.account_view().drawdown.0, 0);
            }
            let sellable = desk.state.strategy_views()[0].positions.first().map_or(0, |p| p.quantity.0);
            prop_assert!(i128::from(sellable) * 10_i128.pow(15) <= held[1].0, "never more than is there");
        }
    }
}
