//! The task that writes statuses, against an API server in memory and with time that stands still unless it is waited for.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tradewind_core::money::Cash;
use tradewind_core::name::Uid;

use super::super::{Kind, Outcome, Report, StatusError, Store, Target, Writer};
use super::{MORNING, report, signal, snapshot, uid};
use crate::snapshot::StrategyTotals;

/// An API server in memory: what was written of whom, and what the next requests meet.
#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<Server>>);

#[derive(Default)]
struct Server {
    statuses: BTreeMap<String, Value>,
    gone: Vec<String>,
    writes: Vec<(String, Instant)>,
    attempts: u32,
    away: bool,
}

impl InMemory {
    fn writes_of(&self, name: &str) -> Vec<Instant> {
        let server = self.0.lock().unwrap();
        server.writes.iter().filter(|(who, _)| who == name).map(|(_, at)| *at).collect()
    }

    fn away(&self, away: bool) {
        self.0.lock().unwrap().away = away;
    }

    fn status(&self, name: &str) -> Value {
        self.0.lock().unwrap().statuses.get(name).cloned().unwrap_or_default()
    }
}

impl Store for InMemory {
    async fn read(&self, _: Kind, name: &str, _: Uid) -> Result<Option<Value>, StatusError> {
        let server = self.0.lock().unwrap();
        if server.away {
            return Err(StatusError::TimedOut(Duration::ZERO));
        }
        Ok((!server.gone.iter().any(|gone| gone == name))
            .then(|| server.statuses.get(name).cloned().unwrap_or_default()))
    }

    async fn write(&self, _: Kind, name: &str, _: Uid, status: &Value) -> Result<Outcome, StatusError> {
        let mut server = self.0.lock().unwrap();
        server.attempts += 1;
        if server.away {
            return Err(StatusError::TimedOut(Duration::ZERO));
        }
        if server.gone.iter().any(|gone| gone == name) {
            return Ok(Outcome::Gone);
        }
        server.writes.push((name.to_owned(), Instant::now()));
        server.statuses.insert(name.to_owned(), status.clone());
        Ok(Outcome::Written)
    }
}

fn writer(store: &InMemory) -> (Writer, watch::Sender<Option<Arc<Report>>>) {
    let (reports, told) = watch::channel(None);
    let target = Target { name: "paper".into(), uid: uid(1000) };
    (Writer::start(store.clone(), target, told), reports)
}

async fn pass(seconds: f64) {
    // paces: virtual time moves on, nobody waits.
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

fn with_equity(equity: &str) -> Report {
    let mut report = report();
    snapshot(&mut report).strategies[0].equity = Cash::parse(equity).unwrap();
    report
}

fn with_fills(fills: u64) -> Report {
    let mut report = with_equity(&fills.to_string());
    let own = StrategyTotals { fills, ..StrategyTotals::default() };
    snapshot(&mut report).totals.strategies.insert("btc-trend".into(), own);
    report
}

#[tokio::test(start_paused = true)]
async fn each_object_is_written_once_and_at_rest_no_more() {
    let store = InMemory::default();
    let (_writer, reports) = writer(&store);
    for _ in 0..100 {
        reports.send_replace(Some(Arc::new(report())));
        pass(60.0).await;
    }
    for name in ["paper", "btc-trend", "eth-rsi"] {
        assert_eq!(store.writes_of(name).len(), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn figures_are_told_each_minute_trades_each_second_and_a_halt_at_once() {
    let store = InMemory::default();
    let (_writer, reports) = writer(&store);
    let start = Instant::now();
    for tenth in 0..1_200 {
        reports.send_replace(Some(Arc::new(with_equity(&format!("{}", 5_000 + tenth)))));
        pass(0.1).await;
    }
    assert_eq!(store.writes_of("btc-trend").len(), 2, "two minutes of figures");
    assert_eq!(store.writes_of("eth-rsi").len(), 1);
    for tenth in 0..100 {
        reports.send_replace(Some(Arc::new(with_fills(tenth + 1))));
        pass(0.1).await;
    }
    let trades = store.writes_of("btc-trend").len() - 2;
    assert!((10..=11).contains(&trades), "{trades} writes in ten seconds of fills");
    let mut halted = with_fills(100);
    halted.published.remove("ops/freeze");
    let before = Instant::now();
    reports.send_replace(Some(Arc::new(halted)));
    pass(0.01).await;
    let last = store.writes_of("btc-trend").last().copied().unwrap();
    assert!(last >= before && start < before, "at once, though a trade was told a moment ago");
    assert_eq!(store.status("btc-trend")["applied"]["halts"], json!(null));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_is_asked_ever_more_rarely_and_told_everything_when_it_is_back() {
    let store = InMemory::default();
    let (writer, reports) = writer(&store);
    reports.send_replace(Some(Arc::new(with_equity("1"))));
    pass(1.0).await;
    store.away(true);
    let before = store.0.lock().unwrap().attempts;
    for second in 0..600_u64 {
        reports.send_replace(Some(Arc::new(with_fills(second + 1))));
        pass(1.0).await;
    }
    let attempts = store.0.lock().unwrap().attempts - before;
    // 1, 2, 4, 8, 16, 32 seconds and then each minute: about 15 of one strategy in ten minutes.
    assert!((10..=16).contains(&attempts), "{attempts} attempts");
    assert_eq!(writer.failures().load(Ordering::Relaxed), u64::from(attempts), "each is counted");
    store.away(false);
    pass(61.0).await;
    assert_eq!(store.status("btc-trend")["trading"]["equity"], "600.00 USD");
    assert_eq!(writer.failures().load(Ordering::Relaxed), u64::from(attempts), "and no other");
}

#[tokio::test(start_paused = true)]
async fn a_strategy_that_is_gone_is_no_fault_and_hinders_nobody() {
    let store = InMemory::default();
    store.0.lock().unwrap().gone.push("btc-trend".to_owned());
    let (_writer, reports) = writer(&store);
    let tell_all = async |fills: u64| {
        for more in 0..60 {
            reports.send_replace(Some(Arc::new(with_fills(fills + more))));
            pass(1.0).await;
        }
    };
    tell_all(1).await;
    assert_eq!(store.0.lock().unwrap().attempts, 2, "one for each object that is there");
    store.0.lock().unwrap().gone.push("eth-rsi".to_owned());
    let mut halted = with_fills(60);
    halted.published.clear();
    reports.send_replace(Some(Arc::new(halted)));
    pass(1.0).await;
    let attempts = store.0.lock().unwrap().attempts;
    tell_all(61).await;
    assert_eq!(store.0.lock().unwrap().attempts, attempts + 1, "the account's halt; the strategies are gone");
    assert_eq!(store.writes_of("eth-rsi").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_report_is_written_at_the_end_even_of_figures_alone() {
    let store = InMemory::default();
    let (writer, reports) = writer(&store);
    reports.send_replace(Some(Arc::new(with_equity("1"))));
    pass(1.0).await;
    reports.send_replace(Some(Arc::new(with_equity("2"))));
    writer.finish().await;
    assert_eq!(store.status("btc-trend")["trading"]["equity"], "2.00 USD");
    assert_eq!(store.writes_of("eth-rsi").len(), 1, "nothing new of it");
}

#[tokio::test(start_paused = true)]
async fn the_next_process_carries_on_what_the_one_before_has_written() {
    let store = InMemory::default();
    let (first_writer, reports) = writer(&store);
    let mut first = report();
    signal(&mut first);
    reports.send_replace(Some(Arc::new(first)));
    pass(1.0).await;
    first_writer.finish().await;
    let then = store.status("btc-trend");
    let mut foreign = then.clone();
    let operators = json!({
        "type": "Ready", "status": "True", "reason": "Running", "message": "", "lastTransitionTime": MORNING,
    });
    foreign["conditions"].as_array_mut().unwrap().push(operators);
    store.0.lock().unwrap().statuses.insert("btc-trend".to_owned(), foreign);
    let (_writer, reports) = writer(&store);
    reports.send_replace(Some(Arc::new(report())));
    pass(5.0).await;
    let now = store.status("btc-trend");
    assert_eq!(now["trading"]["signal"], "BUY BTC-USD 71%");
    assert_eq!(
        now["conditions"], then["conditions"],
        "times are kept, and the operator's condition is left to it"
    );
}
