//! The worker at an exchange that behaves otherwise than one would like: it takes ids again, shows what it did late, has
//! another time than this machine, trades orders in parts, closes, and serves others on the same account.

use std::sync::atomic::{AtomicUsize, Ordering};

use rust_decimal::Decimal;
use tradewind_tests::exchange::{Venue, now};
use tradewind_tests::process::run;
use tradewind_tests::{books, until};
use tradewind_venue_simulator::exchange::{Dedupe, Kind, NewOrder, Side, TimeInForce};
use tradewind_venue_simulator::faults::Fault;

use super::crash_points::liquidate;
use super::{bought_once, stop};

/// Scenarios played at one time: they mostly wait.
const AT_ONCE: usize = 8;

/// No id was taken twice, and each trade of ours is booked once.
fn assert_sound(venue: &Venue, ours: impl Fn(&str) -> bool) {
    venue.assert_nothing_doubled(&ours);
    let trades = [venue.trades(Side::Buy), venue.trades(Side::Sell)].concat();
    let of_ours = trades.iter().filter(|trade| ours(&trade.client_order_id)).count();
    assert_eq!(books::history(&venue.state()).fills.len(), of_ours, "each trade is booked once");
}

#[test]
fn an_entry_without_an_answer_is_bought_once_whatever_the_exchange_does_with_ids_and_however_late_it_shows() {
    let losses = [Fault::DropAfter, Fault::StatusAfter(504), Fault::DelayBefore(4_300)];
    let dedupes = [Dedupe::ForEver, Dedupe::WhileOpen, Dedupe::Never];
    let all: Vec<_> = dedupes
        .into_iter()
        .flat_map(|dedupe| [0, 3_500].map(|lag| (dedupe, lag)))
        .flat_map(|(dedupe, lag)| losses.map(|loss| (dedupe, lag, loss)))
        .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((dedupe, lag, loss)) = all.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    let venue = Venue::start();
                    venue.world(|world| {
                        world.desk.exchange.behaviour.dedupe = dedupe;
                        world.desk.exchange.behaviour.query_lag_ms = lag;
                    });
                    venue.strike_order(loss);
                    stop(venue.guarded());
                    bought_once(&venue);
                }
            });
        }
    });
}

#[test]
fn whatever_comes_instead_of_an_answer_the_entry_is_bought_once() {
    let answers = [
        // It was placed.
        Fault::HalfBody,
        Fault::WrongJson,
        Fault::ResetAfter,
        // It was not, which is believed when its signature has run out.
        Fault::Html,
        Fault::ResetBefore,
    ];
    std::thread::scope(|scope| {
        for answer in answers {
            scope.spawn(move || {
                let venue = Venue::start();
                venue.strike_order(answer);
                stop(venue.guarded());
                bought_once(&venue);
            });
        }
    });
}

#[test]
fn an_entry_without_an_answer_is_found_and_guarded_before_a_worker_that_is_asked_to_stop_ends() {
    let venue = Venue::start();
    venue.world(|world| world.desk.exchange.behaviour.query_lag_ms = 2_000);
    venue.strike_order(Fault::DropAfter);
    let mut worker = venue.worker();
    venue.until_accepted(Side::Buy, &mut worker);
    stop(worker);
    bought_once(&venue);
}

#[test]
fn an_entry_that_is_not_found_by_its_id_is_found_among_all_orders_and_not_sent_again() {
    let venue = Venue::start();
    venue.world(|world| world.desk.exchange.behaviour.finds_by_client_id = false);
    venue.strike_order(Fault::DropAfter);
    stop(venue.guarded());
    bought_once(&venue);
}

#[test]
fn orders_are_signed_by_the_time_of_the_exchange() {
    // A signature of this machine's time would come from a future that it refuses, or have next to no life left.
    for offset in [-4_000, 4_500] {
        let venue = Venue::start();
        venue.world(|world| world.desk.exchange.behaviour.clock_offset_ms = offset);
        stop(venue.guarded());
        bought_once(&venue);
    }
}

#[test]
fn an_entry_that_fills_in_part_is_guarded_for_that_part_and_sold_order_after_order() {
    let venue = Venue::start();
    venue.world(|world| world.desk.exchange.behaviour.fill_percent = 40);
    let mut worker = venue.guarded();
    let (entry, guard) = (&venue.accepted(Side::Buy)[0], &venue.accepted(Side::Sell)[0]);
    let bought = venue.traded(Side::Buy);
    assert!(bought < entry.quantity, "{bought} of {}", entry.quantity);
    assert!(guard.quantity <= bought && guard.kind == Kind::StopLossLimit, "{guard:?}");

    liquidate(&venue.state(), &mut worker);
    // What is left is worth less than the smallest order, 10 USD.
    let left = || venue.traded(Side::Buy) - venue.traded(Side::Sell);
    until("all to be sold but dust", || {
        (left() * Decimal::new(110, 0) < Decimal::new(10, 0) && venue.open_orders() == 0).then_some(())
    });
    until("the end of the last order to be known", || {
        books::history(&venue.state()).open_orders.is_empty().then_some(())
    });
    stop(worker);
    assert_eq!(venue.accepted(Side::Buy).len(), 1, "the rest of the entry is not bought");
    assert_sound(&venue, |_| true);
}

#[test]
fn maintenance_takes_the_stop_away_and_the_position_is_not_left_without_one() {
    let venue = Venue::start();
    let worker = venue.guarded();
    venue.world(|world| world.desk.exchange.close(now()));
    assert_eq!(venue.open_orders(), 0);
    until("somebody to try to guard or to sell it", || (venue.order_requests() > 2).then_some(()));
    assert_eq!(venue.traded(Side::Sell), Decimal::ZERO, "the exchange is closed");
    venue.world(|world| world.desk.exchange.behaviour.maintenance = false);
    until("a stop, or the position to be sold", || {
        (venue.open_orders() == 1 || venue.traded(Side::Sell) > Decimal::ZERO).then_some(())
    });
    let log = stop(worker);
    assert!(log.contains("stop orders at the venue") && log.contains("Lost"), "it is said: {log}");
    assert_eq!(venue.accepted(Side::Buy).len(), 1);
    assert!(venue.traded(Side::Sell) <= venue.traded(Side::Buy));
    assert_sound(&venue, |_| true);
}

/// Bought on the same account by somebody else.
const THEIRS: &str = "bought-by-hand";

#[test]
fn what_somebody_else_buys_on_the_account_stops_entries_halts_it_and_is_never_sold() {
    let venue = Venue::start();
    let mut worker = venue.guarded();
    let order = NewOrder {
        symbol: "BTCUSD".into(),
        client_order_id: THEIRS.into(),
        side: Side::Buy,
        kind: Kind::Market,
        time_in_force: TimeInForce::Gtc,
        quantity: Decimal::new(5, 1),
        price: None,
        stop_price: None,
    };
    venue.world(|world| world.desk.exchange.place(order, now())).unwrap();
    worker.line("a sweep to find coins that are not in the books", |line| {
        line.contains("beyond what the ledger says")
    });
    until("a second one to find them again, and the halt", || {
        let halts = books::history(&venue.state()).halts;
        halts.iter().any(|halt| halt.name == "account.real.balances-differ").then_some(())
    });

    liquidate(&venue.state(), &mut worker);
    until("ours to be sold", || {
        (venue.open_orders() == 0 && !venue.trades(Side::Sell).is_empty()).then_some(())
    });
    stop(worker);
    let theirs: Decimal = Decimal::new(5, 1);
    let ours = venue.traded(Side::Buy) - theirs;
    let sold = venue.traded(Side::Sell);
    // A thousandth of what was bought is the exchange's fee.
    assert!(sold <= ours && sold > ours * Decimal::new(99, 2), "{sold} of {ours} that are ours");
    assert_sound(&venue, |id| id != THEIRS);
    let state = venue.state();
    let kept = run(&["ledger", "export", "--table", "externals", "--data-dir", state.to_str().unwrap()]);
    assert!(kept.out.contains(",Trade,"), "{}\n{}", kept.out, kept.err);
}
