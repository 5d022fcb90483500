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
use tradewind_worker::bus::Streams;

use super::bus::{bus_at, fills_told, told};
use super::mariadb::{Database, Server};
use super::redis_server::Redis;
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
/// Where there is a bus.
const PUBLISH: &str = "publish";
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
pub(super) fn on_the_desk(desk: &Desk, state: &str, user: Option<&Path>) -> Command {
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

/// One scenario: an exchange, a ledger, and at the points of the bus a bus.
struct Scene<'a> {
    venue: Venue,
    kept: Kept,
    bus: Option<(&'a Redis, usize)>,
    at: &'a str,
}

impl<'a> Scene<'a> {
    fn begin(at: &'a str, kept: Kept, buses: &'a Buses) -> Self {
        let venue = kept.venue();
        let bus = at.starts_with(PUBLISH).then(|| (&buses.redis, buses.next.fetch_add(1, Ordering::Relaxed)));
        if let Some((redis, database)) = bus {
            venue.tell(&bus_at(redis, database));
        }
        Self { venue, kept, bus, at }
    }
}

/// A bus for each scenario that needs one: the databases of one server.
struct Buses {
    redis: Redis,
    next: AtomicUsize,
}

impl Buses {
    fn start() -> Self {
        Self { redis: Redis::start(&[]), next: AtomicUsize::new(0) }
    }
}

/// Sells all there is, for whoever runs in that folder.
pub(super) fn liquidate(state: &Path, worker: &mut Worker) {
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

/// What is true of exchange, ledger and bus when all is over.
fn assert_settled(scene: &Scene<'_>, mut worker: Worker) {
    let Scene { venue, kept, bus, at } = scene;
    let trades = venue.trades(Side::Buy).len() + venue.trades(Side::Sell).len();
    if let Some((redis, database)) = bus {
        let key = Streams::of("default/real").orders;
        until(&format!("{at}: every fill to be told"), || {
            assert!(worker.try_ended().is_none(), "{at}: {}", worker.so_far().err);
            (fills_told(&told(redis, *database, &key)) >= trades).then_some(())
        });
        assert_eq!(fills_told(&told(redis, *database, &key)), trades, "{at}: each fill is told once");
    }
    worker.signal(Signal::SIGTERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{at}: {}", ended.err);
    let bought = venue.accepted(Side::Buy);
    assert!(bought.len() <= 1, "{at}: bought more than once: {bought:?}");
    assert!(is_flat(venue), "{at}: something is left");
    venue.assert_nothing_doubled(|_| true);
    let history = kept.history(venue);
    assert_eq!(history.fills.len(), trades, "{at}: each trade is booked once");
    assert!(history.open_orders.is_empty(), "{at}: {:?}", history.open_orders);
}

/// Killed at one point after the other, each time by a worker of its own; the next one brings it to its end.
fn killed_at(scene: &Scene<'_>) {
    let venue = &scene.venue;
    let mut points = scene.at.split(' ');
    let first = points.next().unwrap_or_default();
    assert_killed(&reach(venue, first).ended(), scene.at);
    for next in points {
        let again = Worker::spawn(venue.command(&venue.state()).env(VARIABLE, next));
        assert_killed(&again.ended(), scene.at);
    }
    let worker = finish(venue, &venue.state());
    assert_settled(scene, worker);
}

/// It stands still there, another does its work, and it goes on, not knowing of anything.
fn stopped_at(scene: &Scene<'_>) {
    let (venue, at) = (&scene.venue, scene.at);
    let mut points = at.rsplit(' ');
    let last = points.next().unwrap_or_default();
    if let Some(before) = points.next() {
        assert_killed(&reach(venue, before).ended(), at);
    }
    let zombie = reach(venue, last);
    // What it signed may be sent by it when it wakes; a successor waits until that is worth nothing.
    let state = venue.state().with_file_name("successor");
    let worker = finish(venue, &state);
    zombie.signal(Signal::SIGCONT);
    let ended = zombie.ended();
    assert_eq!(ended.code, Some(1), "{at}: it must notice that it was succeeded: {}", ended.err);
    assert!(ended.err.contains("was taken over"), "{at}: {}", ended.err);
    assert_settled(scene, worker);
}

/// What leaves an order behind that the next start asks for.
const LEFT_OPEN: &str = "protect:unanswered:1:kill";

/// All there are at an exchange, in each place.
fn everywhere(by: &str) -> Vec<String> {
    let points = AT_START.into_iter().chain(TRADING).chain([PUBLISH, LOOKUP]);
    points
        .flat_map(|point| PLACES.map(|place| format!("{point}:{place}:1:{by}")))
        .map(|at| if at.starts_with(LOOKUP) { format!("{LEFT_OPEN} {at}") } else { at })
        .collect()
}

/// At a point of trading, and then at one of the start after it, when the effect is there and its answer is not.
fn twice() -> Vec<String> {
    let again = ["open-orders", "fills", "balances", "commit-rest"];
    ["commit-intent", "commit-fill", "place", "protect"]
        .into_iter()
        .flat_map(|first| again.map(|then| format!("{first}:unanswered:1:kill {then}:unanswered:1:kill")))
        .collect()
}

/// Plays all of them, several at a time.
fn play(all: &[String], kept: impl Fn() -> Kept + Sync, scenario: impl Fn(&Scene<'_>) + Sync) {
    let (next, buses) = (AtomicUsize::new(0), Buses::start());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(at) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    scenario(&Scene::begin(at, kept(), &buses));
                }
            });
        }
    });
}

fn in_databases() -> impl Fn() -> Kept + Sync {
    let server = Server::shared();
    move || Kept::Database(block_on(Arc::clone(&server).database()))
}

#[test]
fn killed_at_each_point_at_an_exchange() {
    play(&everywhere("kill"), || Kept::File, killed_at);
}

#[test]
fn killed_at_each_point_at_an_exchange_with_the_ledger_in_a_database() {
    play(&everywhere("kill"), in_databases(), killed_at);
}

#[test]
fn killed_again_while_it_recovers() {
    play(&twice(), || Kept::File, killed_at);
}

#[test]
fn stopped_at_each_point_while_another_takes_over() {
    play(&everywhere("stop"), in_databases(), stopped_at);
}
