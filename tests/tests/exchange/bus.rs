//! The worker ended while it tells Redis of its events, in each place of that point: what was told is not told again under
//! another id, what was not is told by the next one, and all of it in order.

use std::collections::HashMap;
use std::time::Instant;

use tradewind_tests::desk::{Desk, busy};
use tradewind_tests::process::{Worker, command, run_arguments};
use tradewind_tests::{DEADLINE, books};
use tradewind_worker::bus::Streams;

use super::crash_points::{PLACES, VARIABLE, assert_killed};
use super::redis_server::Redis;

const BARS: usize = 500;

/// An entry of a stream: its id and its fields.
type Entry = (String, HashMap<String, String>);

fn told(redis: &Redis, key: &str) -> Vec<Entry> {
    redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut redis.admin()).unwrap()
}

/// `milliseconds-number` as two numbers.
fn order_of(entry: &Entry) -> (u64, u64) {
    let (time, number) = entry.0.split_once('-').unwrap();
    (time.parse().unwrap(), number.parse().unwrap())
}

#[test]
fn ended_while_it_tells_of_events_it_loses_and_repeats_none() {
    let redis = Redis::start(&[]);
    let bus = format!(
        "  bus: {{redis: {{url: \"redis://127.0.0.1:{}\", tls: {{plainText: {{}}}}}}}}\n  riskPolicyRef",
        redis.port
    );
    let desk = Desk::new(&busy(&[("  riskPolicyRef", &bus)]), BARS);
    let worker = || command(&run_arguments(&desk.file(), &desk.state("ended")));
    for place in PLACES {
        for times in [1, 3] {
            let at = format!("publish:{place}:{times}:kill");
            assert_killed(&Worker::spawn(worker().env(VARIABLE, &at)).ended(), &at);
        }
    }
    // Each run tells as many as it has time for.
    let key = Streams::of("default/paper").orders;
    let fills = || books::history(&desk.state("ended")).fills.len();
    let end = Instant::now() + DEADLINE;
    let entries = loop {
        let ended = Worker::spawn(&mut worker()).ended();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let entries = told(&redis, &key);
        let of_fills = entries.iter().filter(|(_, fields)| fields["kind"] == "fill").count();
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
