//! The worker ended, or stopped for a while, at each named point of its dealings with ledger and venue, in each of the
//! point's three places: nothing is doubled, nothing is lost, and whoever comes next brings it to its end.
//!
//! Rows that a transaction holds together (intent, its signing, audit, outbox) are one point: the commit.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nix::sys::signal::Signal;
use rust_decimal::Decimal;
use tradewind_core::recovery::{BookedFill, History};
use tradewind_tests::books::{self, Books};
use tradewind_tests::desk::{BUSY, Desk, busy, summary};
use tradewind_tests::exchange::Venue;
use tradewind_tests::process::{Ended, Worker, command, run, run_arguments};
use tradewind_tests::{DEADLINE, Dice, block_on, until};
use tradewind_venue_simulator::exchange::Side;

use super::mariadb::{Database, Server};
use super::{history, in_database};

/// What decides where a worker ends; known to programs that are built for tests only.
pub(super) const VARIABLE: &str = "TRADEWIND_CRASH_POINT";
/// Where within a point.
pub(super) const PLACES: [&str; 3] = ["before", "unanswered", "after"];
/// Points of each start.
const AT_START: [&str; 4] = ["history", "open-orders", "fills", "balances"];
/// A point of a start after an order was left open.
const LOOKUP: &str = "lookup";
/// Points while it trades.
const TRADING: [&str; 7] =
    ["commit-intent", "commit-fill", "commit-transition", "commit-rest", "place", "protect", "cancel"];
/// The simulated venue keeps its book itself.
const BOOK: &str = "book";
/// Scenarios at an exchange that are played at one time: they mostly wait.
const AT_ONCE: usize = 8;

/// Bars of the desk.
const BARS: usize = 500;

/// The exit by SIGKILL that the point itself made.
pub(super) fn assert_killed(ended: &Ended, at: &str) {
    assert_eq!(
        ended.signal,
        Some(9),
        "{at} was never reached; is the worker built with the feature crash-points? {}\n{}",
        ended.out,
        ended.err
    );
}

/// The worker of a desk whose ledger may be in a database.
fn on_the_desk(desk: &Desk, state: &str, user: Option<&Path>) -> Command {
    let mut command = command(&run_arguments(&desk.file(), &desk.state(state)));
    if let Some(user) = user {
        command.arg("--ledger-credentials").arg(user);
    }
    command
}

/// Ends one run at every point after another, and returns what it says at its end.
fn ended_everywhere(desk: &Desk, user: Option<&Path>) -> String {
    let mut dice = Dice::new(42);
    let end = |at: &str| {
        let mut command = on_the_desk(desk, "ended", user);
        assert_killed(&Worker::spawn(command.env(VARIABLE, at)).ended(), at);
    };
    for point in AT_START.iter().chain(&TRADING).chain([&BOOK]) {
        for place in PLACES {
            let often = TRADING.contains(point) && *point != "commit-rest";
            let times = if often { 1 + dice.below(3) } else { 1 };
            end(&format!("{point}:{place}:{times}:kill"));
        }
    }
    for place in PLACES {
        end("protect:unanswered:1:kill");
        end(&format!("{LOOKUP}:{place}:1:kill"));
    }
    let ended = Worker::spawn(&mut on_the_desk(desk, "ended", user)).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    summary(&ended.out)
}

#[test]
fn ended_at_each_point_a_run_comes_to_the_end_of_one_that_was_left_alone() {
    let desk = Desk::new(BUSY, BARS);
    let alone = (desk.complete("alone"), Books::of(&desk.file(), &desk.state("alone")));
    assert_eq!(ended_everywhere(&desk, None), alone.0, "the summary differs");
    Books::of(&desk.file(), &desk.state("ended")).assert_same(&alone.1, "the run that was ended everywhere");
}

#[test]
fn the_same_with_the_ledger_in_a_database() {
    let alone = Desk::new(BUSY, BARS);
    let (summary, fills) = (alone.complete("alone"), books::history(&alone.state("alone")).fills);
    // Ids bear the tag of their ledger.
    let traded = |fills: &[BookedFill]| -> Vec<_> {
        let of = |booked: &BookedFill| {
            let fill = &booked.fill;
            let fee = fill.fee.clone();
            (booked.intent, fill.symbol.clone(), fill.side, fill.price, fill.quantity, fee, fill.at)
        };
        fills.iter().map(of).collect()
    };
    let database = block_on(Server::shared().database());
    let account = ("  riskPolicyRef", format!("  ledger: {}\n  riskPolicyRef", in_database(&database)));
    let desk = Desk::new(&busy(&[(account.0, &account.1)]), BARS);
    assert_eq!(ended_everywhere(&desk, Some(database.secret.path())), summary, "the summary differs");
    assert_eq!(traded(&history(&database, "default/paper").fills), traded(&fills));
}

/// The ledger of one scenario at an exchange.
enum Kept {
    File,
    Database(Database),
}

impl Kept {
    fn venue(&self) -> Venue {
        match self {
            Self::File => Venue::start(),
            Self::Database(database) => {
                Venue::with_ledger(&in_database(database), Some(database.secret.path()))
            }
        }
    }

    fn history(&self, venue: &Venue) -> History {
        match self {
            Self::File => books::history(&venue.state()),
            Self::Database(database) => history(database, "default/real"),
        }
    }
}

/// Sells all there is, for whoever runs in that folder.
fn liquidate(state: &Path, worker: &mut Worker) {
    let state = state.to_str().unwrap();
    until("the halt to be taken", || {
        let asked =
            run(&["halt", "--action", "Liquidate", "--reason", "the end of the test", "--data-dir", state]);
        let gone = worker.is_stopped() || worker.try_ended().is_some();
        (gone || asked.code == Some(0)).then_some(())
    });
}

fn sum(venue: &Venue, side: Side) -> Decimal {
    venue.trades(side).iter().map(|trade| trade.quantity).sum()
}

/// Whether nothing rests at the exchange and nothing is held but dust: the fee of what was bought is taken of it.
fn is_flat(venue: &Venue) -> bool {
    let left = sum(venue, Side::Buy) - sum(venue, Side::Sell);
    (Decimal::ZERO..Decimal::new(2, 2)).contains(&left) && venue.open_orders() == 0
}

/// Trades until the point is reached, by itself or when all is sold. The worker, ended or stopped there.
fn reach(venue: &Venue, at: &str) -> Worker {
    let mut worker = Worker::spawn(venue.command(&venue.state()).env(VARIABLE, at));
    let there = |worker: &mut Worker| worker.is_stopped() || worker.try_ended().is_some();
    until(&format!("{at}, or what was bought to be guarded"), || {
        (there(&mut worker) || !venue.accepted(Side::Sell).is_empty()).then_some(())
    });
    if !there(&mut worker) {
        liquidate(&venue.state(), &mut worker);
        until(at, || there(&mut worker).then_some(()));
    }
    worker
}

/// Recovers in that folder and sells what there is.
fn finish(venue: &Venue, state: &Path) -> Worker {
    let mut worker = Worker::spawn(&mut venue.command(state));
    worker.line("the start", |line| line.contains("every order is settled"));
    liquidate(state, &mut worker);
    let end = Instant::now() + DEADLINE;
    until("all to be sold", || {
        let ended = worker.try_ended().is_some();
        let goes_on = !ended && Instant::now() < end;
        assert!(goes_on, "not all is sold; ended: {ended}\n{}", worker.so_far().err);
        is_flat(venue).then_some(())
    });
    worker
}

/// What is true of exchange and ledger when all is over.
fn assert_settled(venue: &Venue, kept: &Kept, worker: Worker, at: &str) {
    worker.signal(Signal::SIGTERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{at}: {}", ended.err);
    let bought = venue.accepted(Side::Buy);
    assert!(bought.len() <= 1, "{at}: bought more than once: {bought:?}");
    assert!(is_flat(venue), "{at}: something is left");
    let mut ids: Vec<_> = [Side::Buy, Side::Sell]
        .into_iter()
        .flat_map(|side| venue.accepted(side))
        .map(|order| order.client_order_id)
        .collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "{at}: an order was taken twice");
    let history = kept.history(venue);
    let trades = venue.trades(Side::Buy).len() + venue.trades(Side::Sell).len();
    assert_eq!(history.fills.len(), trades, "{at}: each trade is booked once");
    assert!(history.open_orders.is_empty(), "{at}: {:?}", history.open_orders);
}

fn killed_at(at: &str, kept: &Kept) {
    let venue = kept.venue();
    if at.starts_with(LOOKUP) {
        let before = "protect:unanswered:1:kill";
        assert_killed(&reach(&venue, before).ended(), before);
        let again = Worker::spawn(venue.command(&venue.state()).env(VARIABLE, at));
        assert_killed(&again.ended(), at);
    } else {
        assert_killed(&reach(&venue, at).ended(), at);
    }
    let worker = finish(&venue, &venue.state());
    assert_settled(&venue, kept, worker, at);
}

/// It stands still there, another does its work, and it goes on, not knowing of anything.
fn stopped_at(at: &str, kept: &Kept) {
    let venue = kept.venue();
    let zombie = reach(&venue, at);
    // What it signed may be sent by it when it wakes; a successor waits until that is worth nothing.
    let state = venue.state().with_file_name("successor");
    let worker = finish(&venue, &state);
    zombie.signal(Signal::SIGCONT);
    let ended = zombie.ended();
    assert_eq!(ended.code, Some(1), "{at}: it must notice that it was succeeded: {}", ended.err);
    assert!(ended.err.contains("was taken over"), "{at}: {}", ended.err);
    assert_settled(&venue, kept, worker, at);
}

/// All there are at an exchange.
fn points() -> Vec<&'static str> {
    AT_START.into_iter().chain(TRADING).chain([LOOKUP]).collect()
}

/// Plays all of them, several at a time.
fn play(points: &[&'static str], by: &'static str, scenario: impl Fn(&str) + Sync) {
    let all: Vec<String> =
        points.iter().flat_map(|point| PLACES.map(|place| format!("{point}:{place}:1:{by}"))).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(at) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    scenario(at);
                }
            });
        }
    });
}

#[test]
fn killed_at_each_point_at_an_exchange() {
    play(&points(), "kill", |at| killed_at(at, &Kept::File));
}

fn in_databases() -> impl Fn() -> Kept + Sync {
    let server = Server::shared();
    move || Kept::Database(block_on(Arc::clone(&server).database()))
}

#[test]
fn killed_at_each_point_at_an_exchange_with_the_ledger_in_a_database() {
    let kept = in_databases();
    play(&points(), "kill", |at| killed_at(at, &kept()));
}

#[test]
fn stopped_at_each_point_while_another_takes_over() {
    let kept = in_databases();
    play(&TRADING, "stop", |at| stopped_at(at, &kept()));
}
