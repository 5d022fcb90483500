//! A worker whose ledger is in a database that is killed after every order it sends, or that stands still.

use std::sync::Arc;

use nix::sys::signal::Signal;
use tradewind_tests::exchange::Venue;
use tradewind_tests::{block_on, until};
use tradewind_venue_simulator::exchange::Side;

use super::{bought_once_by, history, in_database, mariadb, recorded, stop};

/// Rises that are bought and falls that are sold.
const ROUNDS: usize = 3;
/// Of each round, an entry, its stop and an exit: the database is killed at each but the last.
const LEAST: usize = 3 * ROUNDS - 2;

#[test]
fn a_database_killed_at_every_order_costs_no_order_and_no_fill() {
    let server = Arc::new(mariadb::Server::start(&[]));
    let database = block_on(server.database());
    let venue = Venue::with_ledger(&in_database(&database), Some(database.secret.path()));
    let rounds = std::iter::repeat_n([(10, 110), (10, 90)], ROUNDS).flatten();
    let prices: Vec<_> = std::iter::once((30, 100)).chain(rounds).collect();
    venue.record("1m", &recorded::candles(&prices));
    venue.trade_often();

    let mut worker = venue.worker();
    let mut kills = 0;
    let ended = loop {
        let sent = venue.order_requests();
        let ended = until("another order, or the end", || match worker.try_ended() {
            Some(ended) => Some(Some(ended)),
            None => (venue.order_requests() != sent).then_some(None),
        });
        if let Some(ended) = ended {
            break ended;
        }
        server.kill();
        server.restart();
        kills += 1;
    };
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("completed"), "{}", ended.out);
    assert!(kills >= LEAST, "killed {kills} times");

    venue.assert_nothing_doubled(|_| true);
    let (bought, sold) = (venue.trades(Side::Buy), venue.trades(Side::Sell));
    assert_eq!((bought.len(), sold.len()), (ROUNDS, ROUNDS), "every rise is bought once and sold once");
    assert_eq!(venue.open_orders(), 0);
    let ledger = history(&database, "default/real");
    assert_eq!(ledger.fills.len(), bought.len() + sold.len(), "each trade is booked once");
    assert!(ledger.open_orders.is_empty(), "{:?}", ledger.open_orders);
}

#[test]
fn a_database_that_stands_still_keeps_nobody_from_ending_in_time() {
    let server = Arc::new(mariadb::Server::start(&[]));
    let database = block_on(server.database());
    let venue = Venue::with_ledger(&in_database(&database), Some(database.secret.path()));
    let mut worker = venue.worker();
    venue.until_accepted(Side::Sell, &mut worker);
    server.signal("STOP");
    worker.signal(Signal::SIGTERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(1), "what is not known to be durable is no good end: {}", ended.err);
    assert!(ended.last_words().contains("the next start"), "{}", ended.err);
    server.signal("CONT");
    let mut worker = venue.worker();
    worker.line("the start", |line| line.contains("every order is settled"));
    stop(worker);
    bought_once_by(&venue, &history(&database, "default/real"));
}
