//! Events told to a real Redis on this machine: how many a second out of a full outbox, and how long after its commit the
//! events of an order are in Redis. The Redis is that of `scripts/setup`, which keeps nothing on disk here.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tradewind_core::config::RedisConfig;
use tradewind_core::event::Record;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::name::Uid;
use tradewind_core::order::{Attempt, IntentId, OrderState, Side, Transition};
use tradewind_ledger::outbox::Limits;
use tradewind_ledger::{Batch, Ledger, Outbox, OutboxOptions, SqliteLedger, SqliteReader};
use tradewind_worker::assembly::Assembly;
use tradewind_worker::bus::{Bus, Place, Timing};

use crate::intents::{intent, options};
use crate::measure::{self, Goal, Runs, per_second, rate};
use crate::{BenchError, Figure, desk};

/// Orders of a round; each makes two events.
const ORDERS: u64 = 10_000;
/// Orders of one commit of a round.
const TOGETHER: u64 = 100;
const ROUNDS: u64 = 3;
/// Orders whose events are followed one by one.
const FOLLOWED: u64 = 2_000;
const SECTION: &str = "bus";
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_mins(2);

/// A Redis for as long as it is measured.
struct Redis {
    port: u16,
    process: Child,
}

impl Redis {
    fn start(dir: &Path) -> Result<Self, BenchError> {
        let program = Path::new(".tools/bin/redis-server");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string(), "--dir"]).arg(dir);
        let process = command.stdout(Stdio::null()).spawn().map_err(BenchError::at(program))?;
        let redis = Self { port, process };
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > end {
                return Err(BenchError::Process("Redis does not start".to_owned()));
            }
            std::thread::yield_now();
        }
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let assembly = desk::assembly(Path::new("."))?;
    let dir = measure::scratch()?;
    let redis = Redis::start(dir.path())?;
    let path = dir.path().join("ledger.db");
    let options = options(&assembly);
    let mut ledger = SqliteLedger::open(&path, &options).await?;
    let outbox = OutboxOptions { account: "bench/desk".into(), now: options.now, limits: Limits::default() };
    ledger.publish(Some(&outbox)).await?;
    let tap = ledger.tap();
    let start = || {
        let (place, path) = (place(redis.port), path.clone());
        let open = async move || SqliteReader::open(&path).await;
        Bus::start(place, Arc::clone(&tap), open, Timing::default())
    };
    let (mut throughput, mut next) = (Runs::default(), 1);
    for _ in 0..ROUNDS {
        for _ in 0..ORDERS / TOGETHER {
            commit(&assembly, &mut ledger, next, TOGETHER).await?;
            next += TOGETHER;
        }
        let started = Instant::now();
        let bus = start()?;
        until_told(&tap, *tap.written().borrow()).await?;
        throughput.push(per_second(ORDERS * 2, started.elapsed().as_secs_f64()));
        bus.stop().await;
    }
    let bus = start()?;
    let mut lag = Runs::default();
    for _ in 0..FOLLOWED {
        commit(&assembly, &mut ledger, next, 1).await?;
        next += 1;
        let started = Instant::now();
        until_told(&tap, *tap.written().borrow()).await?;
        lag.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    bus.stop().await;
    ledger.close().await?;
    let (events, p99) = (throughput.median(), lag.percentile(99));
    let (least, most) = (rate(throughput.least()), rate(throughput.most()));
    Ok(vec![
        Figure::new(
            SECTION,
            "events a second from a full outbox",
            format!("{} (best {most}, worst {least})", rate(events)),
        )
        .goal("≥ 5000", Goal::AtLeast(5_000.0), events),
        Figure::new(
            SECTION,
            "from the commit of an order to its events in Redis, p99",
            format!("{p99:.2} ms (median {:.2} ms)", lag.median()),
        ),
    ])
}

async fn until_told(tap: &tradewind_ledger::Tap, sequence: u64) -> Result<(), BenchError> {
    let end = Instant::now() + DEADLINE;
    while tap.relayed() < sequence {
        if Instant::now() > end {
            return Err(BenchError::Wrong("events are not told".to_owned()));
        }
        // The bus has a thread of its own.
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn place(port: u16) -> Place {
    let redis = RedisConfig { host: "127.0.0.1".into(), port, database: 0, tls: false, credentials: None };
    Place { account: "bench/desk".into(), redis, credentials: None }
}

/// Orders that are decided and sent.
async fn commit(
    assembly: &Assembly,
    ledger: &mut SqliteLedger,
    from: u64,
    count: u64,
) -> Result<(), BenchError> {
    let rules: Vec<InstrumentRules> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    let names: Vec<(Uid, smol_str::SmolStr)> =
        assembly.config.strategies.iter().map(|s| (s.uid, s.name.clone())).collect();
    let (identity, at) = (ledger.identity(), options(assembly).now);
    let mut records = Vec::new();
    if let (Some(rules), Some((strategy, _))) = (rules.first(), names.first()) {
        for number in from..from + count {
            records.push(Record::Intent(intent(number, identity, *strategy, rules, Side::Buy, at)));
            records.push(Record::Transition(Transition {
                intent: IntentId(number),
                attempt: Attempt(1),
                epoch: identity.epoch,
                from: OrderState::Intended,
                to: OrderState::Sent,
                at,
                detail: None,
            }));
        }
    }
    ledger.commit(&Batch { records: &records, rules: &rules, names: &names, ..Batch::default() }).await?;
    Ok(())
}
