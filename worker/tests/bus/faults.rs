//! Redis down, killed, flushed, slow, replaced, shared, and with something else at our key.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tradewind_core::config::RedisConfig;
use tradewind_ledger::{Outbox as _, OutboxReader as _};
use tradewind_worker::bus::{BusState, Place, Streams, Trouble};

use super::desk::{ACCOUNT, Desk, Reader, entries, plain};
use super::server::Redis;

fn is(trouble: Trouble) -> impl Fn(&tradewind_worker::bus::BusFacts) -> bool {
    move |facts| matches!(&facts.state, BusState::Failing(found, _) if *found == trouble)
}

#[tokio::test]
async fn what_happens_while_redis_is_down_is_told_when_it_comes() {
    let mut redis = Redis::stopped(&[]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    told.until("the bus fails", is(Trouble::Unreachable)).await;
    desk.trade(30).await;
    let rows = desk.events().await;
    // Decided, sent, filled, its state, a position, two halts; signal, decision, equity.
    assert_eq!(rows.len(), 30 * 10);
    let facts = told.until("what waits is counted", |facts| facts.waiting == 300).await;
    assert!(facts.errors > 0 && facts.behind_since.is_some());
    assert_eq!(desk.ledger.tap().relayed(), 0, "nothing is delivered before Redis has it");
    redis.restart();
    desk.all_is_told(&mut told, &redis).await;
    let facts = told.until("all is well", |facts| facts.state == BusState::Relaying).await;
    assert_eq!(facts.relayed, 300);
    told.stop().await;
}

#[tokio::test]
async fn a_redis_that_is_killed_and_comes_back_empty_gets_everything_again() {
    let mut redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    let mut reader = Reader::default();
    desk.trade(20).await;
    desk.all_is_told(&mut told, &redis).await;
    reader.read(&redis);
    redis.kill();
    desk.trade(20).await;
    told.until("the bus fails", is(Trouble::Unreachable)).await;
    redis.restart();
    desk.trade(5).await;
    desk.all_is_told(&mut told, &redis).await;
    reader.read(&redis);
    assert_eq!((reader.read.len(), reader.repeats), (450, 200), "the number of an event tells repeats apart");
    told.stop().await;
}

#[tokio::test]
async fn a_redis_that_keeps_its_data_gets_each_event_once_however_often_it_is_killed() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    for _ in 0..5 {
        desk.trade(20).await;
        // In the middle of what is being told.
        redis.kill();
        desk.trade(2).await;
        redis.restart();
    }
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
}

#[tokio::test]
async fn a_flushed_redis_gets_again_what_the_ledger_has_also_when_nothing_new_happens() {
    let redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    desk.trade(20).await;
    desk.all_is_told(&mut told, &redis).await;
    redis.ask::<String>("FLUSHALL");
    desk.all_is_told(&mut told, &redis).await;
    redis.ask::<String>("FLUSHALL");
    desk.trade(20).await;
    // One stream alone.
    redis.ask::<i64>(&format!("DEL {}", Streams::of(ACCOUNT).orders));
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_for_a_while_holds_up_nothing() {
    let redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    desk.trade(5).await;
    desk.all_is_told(&mut told, &redis).await;
    // Nothing at all is answered meanwhile, not even the command that would end it.
    redis.ask::<String>("CLIENT PAUSE 4000 ALL");
    desk.trade(20).await;
    told.until("the bus fails", is(Trouble::Unreachable)).await;
    desk.trade(20).await;
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
}

#[tokio::test]
async fn what_redis_has_not_confirmed_is_not_marked_as_told() {
    let redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    desk.trade(5).await;
    desk.all_is_told(&mut told, &redis).await;
    let before = desk.ledger.tap().relayed();
    // It answers what it is asked, but takes nothing.
    redis.ask::<String>("CLIENT PAUSE 600000 WRITE");
    desk.trade(20).await;
    told.until("the bus fails", is(Trouble::Unreachable)).await;
    assert_eq!(desk.ledger.tap().relayed(), before);
    redis.ask::<String>("CLIENT UNPAUSE");
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
}

#[tokio::test]
async fn something_else_at_our_key_is_named_and_what_waits_is_told_when_it_is_gone() {
    let redis = Redis::start(&[]);
    let key = Streams::of(ACCOUNT).signals;
    redis.ask::<String>(&format!("SET {key} mine"));
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    desk.trade(10).await;
    let facts = told.until("the key is taken", is(Trouble::KeyTaken)).await;
    let BusState::Failing(_, message) = facts.state else { panic!("{facts:?}") };
    assert!(message.contains(&key) && message.contains("rename or delete it"), "{message}");
    assert_eq!(redis.ask::<String>(&format!("GET {key}")), "mine", "what is not ours is left alone");
    redis.ask::<String>(&format!("RENAME {key} elsewhere"));
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
}

/// Forwards connections to a port that can be changed, as a Service does when another pod becomes the master.
fn forwarder(target: u16) -> (u16, Arc<AtomicU16>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (port, current) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU16::new(target)));
    let at = Arc::clone(&current);
    // It ends with the process.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, at.load(Ordering::SeqCst))) else {
                continue;
            };
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || {
                    std::io::copy(&mut from, &mut to).ok();
                    to.shutdown(std::net::Shutdown::Both).ok();
                });
            }
        }
    });
    (port, current)
}

#[tokio::test]
async fn a_replica_that_takes_over_gets_what_it_had_not_heard_of() {
    let mut first = Redis::start(&[]);
    let second = Redis::start(&["--replicaof", &format!("127.0.0.1 {}", first.port)]);
    let (port, target) = forwarder(first.port);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(port));
    desk.trade(10).await;
    desk.all_is_told(&mut told, &first).await;
    // The replica has all of it, and then hears no more of what the first is told.
    desk.all_is_told(&mut told, &second).await;
    second.ask::<String>("REPLICAOF NO ONE");
    desk.trade(10).await;
    desk.all_is_told(&mut told, &first).await;
    target.store(second.port, Ordering::SeqCst);
    first.kill();
    desk.trade(10).await;
    desk.all_is_told(&mut told, &second).await;
    told.stop().await;
}

#[tokio::test]
async fn a_replica_is_not_written_to_until_it_is_the_master() {
    let first = Redis::start(&[]);
    let replica = Redis::start(&["--replicaof", &format!("127.0.0.1 {}", first.port)]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(replica.port));
    desk.trade(10).await;
    told.until("a replica takes nothing", is(Trouble::Unreachable)).await;
    replica.ask::<String>("REPLICAOF NO ONE");
    desk.all_is_told(&mut told, &replica).await;
    told.stop().await;
}

#[tokio::test]
async fn two_that_tell_the_same_at_once_make_neither_a_gap_nor_a_repeat() {
    let redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    let (mut one, other) = (desk.bus(plain(redis.port)), desk.bus(plain(redis.port)));
    for _ in 0..20 {
        desk.trade(10).await;
    }
    desk.all_is_told(&mut one, &redis).await;
    other.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn what_is_left_is_told_when_the_worker_stops() {
    let redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    desk.trade(30).await;
    desk.bus(plain(redis.port)).stop().await;
    assert_eq!(entries(&redis).iter().map(Vec::len).sum::<usize>(), 300);
    // And nothing is told twice at the next start.
    let told = desk.bus(plain(redis.port));
    told.stop().await;
    assert_eq!(entries(&redis).iter().map(Vec::len).sum::<usize>(), 300);
    // A Redis nobody is at is given up.
    let redis = RedisConfig { port: super::server::free_port(), ..plain(0).redis };
    desk.bus(Place { redis, ..plain(0) }).stop().await;
    assert_eq!(desk.ledger.backlog(0).await.unwrap().dropped.len(), 0);
}
