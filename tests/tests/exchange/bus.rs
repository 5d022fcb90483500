//! The worker ended while it tells Redis of its events, in each place of that point: what was told is not told again under
//! another id, what was not is told by the next one, and all of it in order.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use tradewind_core::recovery::History;
use tradewind_tests::desk::{Desk, busy};
use tradewind_tests::process::Worker;
use tradewind_tests::{DEADLINE, block_on, books};
use tradewind_worker::bus::Streams;

use super::crash_points::{PLACES, VARIABLE, assert_killed, on_the_desk};
use super::in_database;
use super::mariadb::Server;
use super::redis_server::Redis;

const BARS: usize = 500;

/// An entry of a stream: its id and its fields.
type Entry = (String, HashMap<String, String>);

/// A bus in that database of the server, as an account writes it.
pub(super) fn bus_at(redis: &Redis, database: usize) -> String {
    format!("{{redis: {{url: \"redis://127.0.0.1:{}/{database}\", tls: {{plainText: {{}}}}}}}}", redis.port)
}

/// What a stream in that database of the server holds.
pub(super) fn told(redis: &Redis, database: usize, key: &str) -> Vec<Entry> {
    let mut link = redis.admin();
    redis::cmd("SELECT").arg(database).exec(&mut link).unwrap();
    redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut link).unwrap()
}

/// How many of the entries are fills.
pub(super) fn fills_told(entries: &[Entry]) -> usize {
    entries.iter().filter(|(_, fields)| fields["kind"] == "fill").count()
}

/// `milliseconds-number` as two numbers.
fn order_of(entry: &Entry) -> (u64, u64) {
    let (time, number) = entry.0.split_once('-').unwrap();
    (time.parse().unwrap(), number.parse().unwrap())
}

/// The folder of the user of a ledger in a database is handed over with each start.
fn ended_while_it_tells(ledger: &str, user: Option<&Path>, history: impl Fn(&Desk) -> History) {
    let redis = Redis::start(&[]);
    let bus = format!("  bus: {}\n  ledger: {ledger}\n  riskPolicyRef", bus_at(&redis, 0));
    let desk = Desk::new(&busy(&[("  riskPolicyRef", &bus)]), BARS);
    let worker = || on_the_desk(&desk, "ended", user);
    for place in PLACES {
        for times in [1, 3] {
            let at = format!("publish:{place}:{times}:kill");
            assert_killed(&Worker::spawn(worker().env(VARIABLE, &at)).ended(), &at);
        }
    }
    // Each run tells as many as it has time for.
    let key = Streams::of("default/paper").orders;
    let fills = || history(&desk).fills.len();
    let end = Instant::now() + DEADLINE;
    let entries = loop {
        let ended = Worker::spawn(&mut worker()).ended();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let entries = told(&redis, 0, &key);
        let of_fills = fills_told(&entries);
        if of_fills >= fills() {
            assert_eq!(of_fills, fills(), "some are told twice");
            break entries;
        }
        assert!(Instant::now() < end, "{of_fills} of {} fills are told", fills());
    };
    assert!(fills() > 20, "{} fills prove little", fills());
    let ids: Vec<_> = entries.iter().map(order_of).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "not in order, or one twice: {ids:?}");
    let orders = entries.iter().filter(|(_, fields)| fields["kind"] == "order").count();
    assert!(orders > fills(), "{orders} steps of orders");
}

#[test]
fn ended_while_it_tells_of_events_it_loses_and_repeats_none() {
    ended_while_it_tells("{sqlite: {size: 1Gi}}", None, |desk| books::history(&desk.state("ended")));
}

#[test]
fn the_same_with_the_events_in_a_database() {
    let database = block_on(Server::shared().database());
    ended_while_it_tells(&in_database(&database), Some(database.secret.path()), |_| {
        super::history(&database, "default/paper")
    });
}
