//! What is really sent, against the contracts that are published, and the sample reader against what is really sent.

use std::path::{Path, PathBuf};
use std::process::Command;

use redis::ConnectionLike as _;
use serde_json::Value;
use tempfile::TempDir;
use tradewind_ledger::outbox::Kind;

use super::desk::{ACCOUNT, Desk, entries, plain};
use super::schema::Contract;
use super::server::{DEADLINE, Redis};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn contract(name: &str) -> Contract {
    Contract::new(&std::fs::read_to_string(root().join("docs/contracts").join(name)).unwrap())
}

fn assert_keeps(contract: &Contract, text: &str) {
    let problems = contract.problems(&serde_json::from_str(text).unwrap());
    assert!(problems.is_empty(), "{text}: {problems:#?}");
}

#[tokio::test]
async fn every_kind_of_event_is_sent_as_its_contract_says() {
    let redis = Redis::start(&[]);
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    desk.trade(3).await;
    desk.all_is_told(&mut told, &redis).await;
    told.stop().await;
    let contract = contract("event.json");
    let kinds: std::collections::BTreeSet<Kind> = desk.events().await.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, Kind::ALL.into_iter().collect(), "a kind nobody sent proves nothing");
    for (_, text) in entries(&redis).into_iter().flatten() {
        assert_keeps(&contract, &text);
    }
    // It does refuse.
    let (_, text) = entries(&redis)[0][0].clone();
    for (field, value) in
        [("sequence", Value::from("1")), ("more", Value::from(1)), ("event", Value::from("order"))]
    {
        let mut wrong: Value = serde_json::from_str(&text).unwrap();
        wrong[field] = value;
        assert!(!contract.problems(&wrong).is_empty(), "{field}");
    }
}

#[tokio::test]
async fn subscribers_of_the_channels_hear_each_signal_once_as_its_contract_says() {
    let redis = Redis::start(&[]);
    let mut conn = redis.admin();
    conn.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut subscriber = conn.as_pubsub();
    subscriber.subscribe(&["trading_signals", "trading_signals_BTC-USD"]).unwrap();
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    desk.trade(3).await;
    desk.all_is_told(&mut told, &redis).await;
    // What a flushed Redis gets again is not published again.
    redis.ask::<String>("FLUSHALL");
    desk.all_is_told(&mut told, &redis).await;
    redis.ask::<i64>("PUBLISH trading_signals end");
    let contract = contract("trading-signal.json");
    let mut heard = Vec::new();
    loop {
        let message = subscriber.get_message().unwrap();
        let text: String = message.get_payload().unwrap();
        if text == "end" {
            break;
        }
        assert_keeps(&contract, &text);
        let signal: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&signal["symbol"], &signal["signal_type"], &signal["source"]),
            (&"BTC-USD".into(), &"BUY".into(), &"btc-trend".into())
        );
        heard.push((message.get_channel_name().to_owned(), signal["signal_id"].as_u64().unwrap()));
    }
    let all = "trading_signals".to_owned();
    let own = "trading_signals_BTC-USD".to_owned();
    let expected: Vec<_> = (1..=3).flat_map(|id| [(all.clone(), id), (own.clone(), id)]).collect();
    assert_eq!(heard, expected);
    drop(subscriber);
    assert!(conn.check_connection());
    told.stop().await;
}

#[tokio::test]
async fn the_sample_reader_prints_each_event_once_whatever_redis_has_lost() {
    let redis = Redis::start(&[]);
    let state = TempDir::new().unwrap();
    let mut desk = Desk::new().await;
    let mut told = desk.bus(plain(redis.port));
    let read = || {
        let output = Command::new("python3")
            .arg(root().join("examples/bus/read-events.py"))
            .args(["--account", ACCOUNT, "--port", &redis.port.to_string(), "--host", "127.0.0.1", "--state"])
            .arg(state.path().join("last.json"))
            .output()
            .expect("python3 is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["sequence"].as_u64().unwrap())
            .collect()
    };
    desk.trade(20).await;
    desk.all_is_told(&mut told, &redis).await;
    let mut printed: Vec<u64> = read();
    redis.ask::<String>("FLUSHALL");
    desk.trade(15).await;
    desk.all_is_told(&mut told, &redis).await;
    printed.extend(read());
    assert_eq!(read(), [] as [u64; 0]);
    printed.sort_unstable();
    let all: Vec<u64> = desk.events().await.iter().map(|row| row.sequence).collect();
    assert_eq!(printed, all);
    told.stop().await;
}
