//! A worker whose ledger is in a database that refuses it, cannot be written, was edited, is away or stands still: it says so
//! in one sentence, trades nothing it cannot write down, and goes on where it was.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tradewind_tests::exchange::Venue;
use tradewind_tests::process::Ended;
use tradewind_tests::{block_on, until};
use tradewind_venue_simulator::exchange::Side;

use super::authority::Authority;
use super::mariadb::{Database, PASSWORD, Server};
use super::{bought_once_by, history, in_database, stop};

fn on(database: &Database) -> Venue {
    Venue::with_ledger(&in_database(database), Some(database.secret.path()))
}

/// It ended, with a sentence that has those words, and without telling the password.
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let last = ended.last_words();
    for word in words {
        assert!(last.starts_with("error: ") && last.contains(word), "{word}: {}", ended.err);
    }
    assert!(!ended.err.contains(PASSWORD) && !ended.out.contains(PASSWORD), "{}", ended.err);
}

/// A worker goes on, and what it bought is bought once.
fn assert_goes_on(venue: &Venue, database: &Database) {
    let mut worker = venue.worker();
    worker.line("the start", |line| line.contains("every order is settled"));
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    bought_once_by(venue, &history(database, "default/real"));
}

#[test]
fn a_wrong_password_is_refused_and_not_told() {
    let database = block_on(Server::shared().database());
    database.write_secret(&database.name, "correct horse, wrong stable");
    let venue = on(&database);
    let ended = venue.worker().ended();
    assert_refused(&ended, &["default/real", "username", "password"]);
    assert!(!ended.err.contains("wrong stable"), "{}", ended.err);
    assert_eq!(venue.order_requests(), 0);
    // The Secret is put right.
    database.write_secret(&database.name, PASSWORD);
    stop(venue.guarded());
}

#[test]
fn a_certificate_that_has_expired_is_not_believed() {
    let authority = Authority::new("desk");
    let (server, _files) = authority.server("127.0.0.1", 2021);
    let database = block_on(server.database());
    authority.trusted_by(&database);
    let ledger = in_database(&database).replace("tls: {plainText: {}}", "tls: {required: {}}");
    let venue = Venue::with_ledger(&ledger, Some(database.secret.path()));
    assert_refused(&venue.worker().ended(), &["default/real", "certificate"]);
    assert_eq!(venue.order_requests(), 0);
}

#[test]
fn a_server_that_turns_read_only_stops_the_worker_and_nothing_is_bought_twice() {
    let server = Arc::new(Server::start(&[]));
    let database = block_on(server.database());
    let venue = on(&database);
    let worker = venue.guarded();
    block_on(server.admin("SET GLOBAL read_only = 1"));
    assert_refused(&worker.ended(), &["default/real", "written"]);
    assert_refused(&venue.worker().ended(), &["default/real", "written"]);
    block_on(server.admin("SET GLOBAL read_only = 0"));
    assert_goes_on(&venue, &database);
}

#[test]
fn a_row_edited_by_hand_keeps_the_ledger_shut_and_is_named() {
    let database = block_on(Server::shared().database());
    let venue = on(&database);
    stop(venue.guarded());
    let sent = venue.order_requests();
    block_on(database.run(&["DROP TRIGGER fills_fixed", "UPDATE fills SET price_units = price_units + 1"]))
        .unwrap();
    assert_refused(&venue.worker().ended(), &["default/real", "fills"]);
    assert_eq!(venue.order_requests(), sent, "nothing is traded on it");
}

#[test]
fn a_server_that_is_away_at_the_start_is_waited_for() {
    let server = Arc::new(Server::start(&[]));
    let database = block_on(server.database());
    server.kill();
    let venue = on(&database);
    let mut worker = venue.worker();
    let begun = Instant::now();
    until("some of the time that it is waited for", || {
        assert!(worker.try_ended().is_none(), "{}", worker.so_far().err);
        (begun.elapsed() > Duration::from_secs(3)).then_some(())
    });
    server.restart();
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    bought_once_by(&venue, &history(&database, "default/real"));
}

/// Longer than any commit takes, and shorter than a worker waits for one.
const SLOW: Duration = Duration::from_secs(5);

#[test]
fn a_server_that_stands_still_for_five_seconds_at_the_order_delays_it_and_no_more() {
    let server = Arc::new(Server::start(&[]));
    let database = block_on(server.database());
    let venue = on(&database);
    let mut worker = venue.worker();
    venue.until_accepted(Side::Buy, &mut worker);
    server.signal("STOP");
    let stopped = Instant::now();
    let stops = venue.accepted(Side::Sell).len();
    until("longer than any commit takes", || {
        assert!(worker.try_ended().is_none(), "{}", worker.so_far().err);
        (stopped.elapsed() > SLOW).then_some(())
    });
    assert_eq!(venue.accepted(Side::Sell).len(), stops, "nothing leaves that is not durable");
    server.signal("CONT");
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    bought_once_by(&venue, &history(&database, "default/real"));
}
