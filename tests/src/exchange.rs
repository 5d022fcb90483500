//! A simulated exchange on loopback, with a market that never stands still, and a desk that trades on it.
//!
//! Its candles rise once, at a time that is chosen so that a worker started now finds the rise in the newest of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use tempfile::TempDir;
use tradewind_venue_simulator::control::World;
use tradewind_venue_simulator::dialect::Keys;
use tradewind_venue_simulator::exchange::{Exchange, Fact, NewOrder, Quote, Side, Symbol, Trade};
use tradewind_venue_simulator::faults::{Fault, Strike};
use tradewind_venue_simulator::{Options, Simulator};

use crate::process::{Worker, command, run_arguments};
use crate::until;

const MINUTE: i64 = 60_000;
/// Candles of the past: far more than the signal needs.
const PAST: i64 = 30;
/// The price of before, in cents.
const BEFORE: i64 = 10_000;
/// The price after the rise, in cents.
const AFTER: i64 = 11_000;
const NEW_ORDER: &str = "POST /api/v3/order";
/// Longer than a rise takes to come again.
const PATIENCE: Duration = Duration::from_mins(4);
const KEY: &str = "simulatedKey";
const SECRET: &str = "simulatedSecret";

/// One strategy that buys at the rise, with a stop of 5 %, on an account with 10 000 USD.
const DESK: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: limits}
spec:
  order: {minNotional: "25"}
  strategy: {minConfidencePercent: 0, maxPositionPercent: 50, maxExposurePercent: 80, cooldown: 1h}
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: real}
spec:
  venue: {binanceUs: {credentialsSecretRef: {name: key}, endpoint: "URL", quoteCurrency: USD}}
  marketData: {venue: {bar: 1m}}
  riskPolicyRef: {name: limits}
  allowLive: true
  ledger: LEDGER
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: rise}
spec:
  mode: Live
  exchangeAccountRef: {name: real}
  capital: {amount: "5000"}
  instruments: [{symbol: BTC-USD}]
  decision: {bar: 1m}
  signal: {source: {emaCross: {fast: 2, slow: 5}}}
  sizing: {fixedPercent: {percent: 20}}
  exits: {stopLoss: {fixedPercent: {percent: 5}}}
"#;

/// The exchange, its market, and the folder of the desk. Dropped, all of it ends.
#[derive(Debug)]
pub struct Venue {
    simulator: Option<Arc<Simulator>>,
    /// The price of now, in cents.
    price: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// The folder of the ledger's user, where it is in a database.
    user: Option<PathBuf>,
    dir: TempDir,
}

/// The time of this machine, in milliseconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn quote(cents: i64) -> Quote {
    let (bid, ask) = (Decimal::new(cents - 1, 2), Decimal::new(cents + 1, 2));
    let much = Decimal::new(1_000, 0);
    Quote { bid, ask, bid_quantity: much, ask_quantity: much }
}

/// A rise that nobody was there for in its minute comes again: the price falls for a minute, and rises in the next.
#[derive(Clone, Copy)]
struct Again {
    /// The minute, since 1970, whose candle was the last to rise; none before the first.
    rose: Option<i64>,
    /// The minute in which it fell again.
    fell: Option<i64>,
}

impl Again {
    fn look(&mut self, price: &AtomicI64) {
        let minute = now() / MINUTE;
        match (price.load(Ordering::Relaxed), *self) {
            (AFTER, Self { rose: None, .. }) => self.rose = Some(minute),
            // It is the newest candle in the minute after it.
            (AFTER, Self { rose: Some(rose), .. }) if minute > rose + 1 => {
                price.store(BEFORE, Ordering::Relaxed);
                *self = Self { rose: None, fell: Some(minute) };
            }
            (BEFORE, Self { fell: Some(fell), .. }) if minute > fell => {
                price.store(AFTER, Ordering::Relaxed);
                *self = Self { rose: Some(minute), fell: None };
            }
            _ => {}
        }
    }
}

impl Venue {
    /// An exchange whose price rose in the last whole minute, and a desk with its ledger in a file.
    pub fn start() -> Self {
        Self::with_ledger("{sqlite: {size: 1Gi}}", None)
    }

    /// As [`Self::start`], with that ledger, and the folder of its user.
    pub fn with_ledger(ledger: &str, user: Option<&Path>) -> Self {
        // A start takes some seconds, and is to find the rise in the newest candle.
        until("room in this minute", || (now() % MINUTE < 35_000).then_some(()));
        Self::at(AFTER, ledger, user)
    }

    /// As [`Self::with_ledger`], with a price that has not risen yet; [`Self::rise`] lets it.
    pub fn before_the_rise(ledger: &str, user: Option<&Path>) -> Self {
        Self::at(BEFORE, ledger, user)
    }

    /// Lets the price rise. A strategy buys when the candle of this minute has closed; at the latest two minutes after that.
    pub fn rise(&self) {
        self.set_price(AFTER);
    }

    /// An exchange whose price stood still until the last whole minute, and has been that since.
    fn at(cents: i64, ledger: &str, user: Option<&Path>) -> Self {
        let mut exchange = Exchange::new([Symbol::new(
            "BTC",
            "USD",
            Decimal::new(1, 2),
            Decimal::new(1, 5),
            Decimal::new(10, 0),
        )]);
        exchange.deposit("USD", Decimal::new(10_000, 0), 0);
        let this_minute = now() / MINUTE * MINUTE;
        for ago in (1..=PAST).rev() {
            let then = if ago == 1 { cents } else { BEFORE };
            exchange.quote("BTCUSD", quote(then), this_minute - ago * MINUTE).unwrap();
        }
        exchange.quote("BTCUSD", quote(cents), now()).unwrap();
        let (simulator, serving) = serve(exchange);
        let (price, stop) = (Arc::new(AtomicI64::new(cents)), Arc::new(AtomicBool::new(false)));
        let moving = {
            let (simulator, price, stop) = (Arc::clone(&simulator), Arc::clone(&price), Arc::clone(&stop));
            let risen = (cents == AFTER).then_some(this_minute / MINUTE - 1);
            let mut again = Again { rose: risen, fell: None };
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut world = simulator.world();
                    if !world.requests.contains_key(NEW_ORDER) {
                        again.look(&price);
                    }
                    let quote = quote(price.load(Ordering::Relaxed));
                    world.desk.exchange.quote("BTCUSD", quote, now()).unwrap();
                    drop(world);
                    std::thread::park_timeout(Duration::from_millis(200));
                }
            })
        };
        let venue = Self {
            simulator: Some(simulator),
            price,
            stop,
            threads: vec![moving, serving],
            user: user.map(Path::to_path_buf),
            dir: TempDir::new().unwrap(),
        };
        venue.write_desk(ledger);
        venue
    }

    fn simulator(&self) -> &Simulator {
        self.simulator.as_ref().unwrap()
    }

    fn write_desk(&self, ledger: &str) {
        let desk = DESK.replace("URL", &self.simulator().url()).replace("LEDGER", ledger);
        fs::write(self.file(), desk).unwrap();
        fs::create_dir(self.keys()).unwrap();
        fs::write(self.keys().join("apiKey"), KEY).unwrap();
        fs::write(self.keys().join("apiSecret"), SECRET).unwrap();
    }

    /// Has the desk trade on recorded bars of that length, as fast as it can, instead of the exchange's own.
    pub fn record(&self, bar: &str, candles: &str) {
        let data = self.dir.path().join("data/recorded");
        fs::create_dir_all(&data).unwrap();
        let rules = "{symbol: BTC-USD, tick: '0.001', lot: '0.0000001', minNotional: '1'}";
        let instruments = format!("quoteCurrency: USD\nbar: {bar}\ninstruments:\n- {rules}\n");
        fs::write(data.join("instruments.yaml"), instruments).unwrap();
        fs::write(data.join(format!("BTC-USD_{bar}.csv")), candles).unwrap();
        let desk = fs::read_to_string(self.file()).unwrap();
        let recorded = "{replay: {dataSet: recorded, speed: {max: {}}}}";
        fs::write(self.file(), desk.replace("{venue: {bar: 1m}}", recorded)).unwrap();
    }

    /// Has what happens told on that bus.
    pub fn tell(&self, bus: &str) {
        let desk = fs::read_to_string(self.file()).unwrap();
        fs::write(
            self.file(),
            desk.replace("  allowLive: true", &format!("  allowLive: true\n  bus: {bus}")),
        )
        .unwrap();
    }

    /// A worker on it whose ledger is that one, with the folder of its user; not yet started.
    pub fn moved_to(&self, ledger: &str, user: &Path) -> Command {
        let desk = fs::read_to_string(self.file()).unwrap();
        let (before, old) = desk.split_once("  ledger: ").unwrap();
        let after = old.split_once('\n').unwrap().1;
        let file = self.dir.path().join("moved.yaml");
        fs::write(&file, format!("{before}  ledger: {ledger}\n{after}")).unwrap();
        let state = self.state().with_file_name("moved");
        let mut command = command(&run_arguments(&file, &state));
        command.arg("--ledger-credentials").arg(user).arg("--credentials").arg(self.keys());
        command
    }

    /// Lets the desk enter again right after an exit, as often as it likes.
    pub fn trade_often(&self) {
        let desk = fs::read_to_string(self.file()).unwrap();
        let often = "cooldown: 0s, maxTradesPerInstrumentPerDay: 100";
        fs::write(self.file(), desk.replace("cooldown: 1h", often)).unwrap();
    }

    /// Its YAML.
    pub fn file(&self) -> PathBuf {
        self.dir.path().join("desk.yaml")
    }

    /// The folder of the key.
    pub fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    /// The worker's data directory.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Starts a worker on it.
    pub fn worker(&self) -> Worker {
        Worker::spawn(&mut self.command(&self.state()))
    }

    /// A worker on it with that data directory, not yet started.
    pub fn command(&self, state: &Path) -> Command {
        let mut command = command(&run_arguments(&self.file(), state));
        if let Some(user) = &self.user {
            command.arg("--ledger-credentials").arg(user);
        }
        command.arg("--credentials").arg(self.keys());
        command
    }

    /// Has something befall the next request for a new order.
    pub fn strike_order(&self, fault: Fault) {
        self.strike("POST", "/api/v3/order", fault, 1);
    }

    /// Has something befall so many requests of a kind.
    pub fn strike(&self, method: &str, path: &str, fault: Fault, times: u64) {
        let strike = Strike { method: Some(method.into()), path: Some(path.into()), nth: 1, fault, times };
        self.world(|world| world.plan.add(strike));
    }

    /// Sets the price, in cents.
    pub fn set_price(&self, cents: i64) {
        self.price.store(cents, Ordering::Relaxed);
    }

    /// Looks at the exchange, or changes it.
    pub fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.simulator().world())
    }

    fn facts<T>(&self, pick: impl Fn(&Fact) -> Option<T>) -> Vec<T> {
        self.world(|world| {
            world.desk.exchange.journal().iter().filter_map(|entry| pick(&entry.fact)).collect()
        })
    }

    /// Orders of that side that the exchange took.
    pub fn accepted(&self, side: Side) -> Vec<NewOrder> {
        self.facts(|fact| match fact {
            Fact::Accepted { order, .. } if order.side == side => Some(order.clone()),
            _ => None,
        })
    }

    /// How many orders rest there.
    pub fn open_orders(&self) -> usize {
        self.world(|world| world.desk.exchange.orders().iter().filter(|order| order.is_open()).count())
    }

    /// A worker that has bought, with its stop placed.
    pub fn guarded(&self) -> Worker {
        let mut worker = self.worker();
        self.until_accepted(Side::Sell, &mut worker);
        worker
    }

    /// Panics if an id was taken twice, of those that are `ours`.
    pub fn assert_nothing_doubled(&self, ours: impl Fn(&str) -> bool) {
        let orders = [self.accepted(Side::Buy), self.accepted(Side::Sell)].concat();
        let orders: Vec<_> = orders.into_iter().filter(|order| ours(&order.client_order_id)).collect();
        let ids: BTreeSet<_> = orders.iter().map(|order| &order.client_order_id).collect();
        assert_eq!(ids.len(), orders.len(), "an order is doubled: {orders:?}");
    }

    /// How much was traded.
    pub fn traded(&self, side: Side) -> Decimal {
        self.trades(side).iter().map(|trade| trade.quantity).sum()
    }

    /// What was traded.
    pub fn trades(&self, side: Side) -> Vec<Trade> {
        self.facts(|fact| match fact {
            Fact::Traded(trade) if trade.side == side => Some(trade.clone()),
            _ => None,
        })
    }

    /// How many requests for a new order came in.
    pub fn order_requests(&self) -> u64 {
        self.world(|world| world.requests.get(NEW_ORDER).copied().unwrap_or(0))
    }

    /// Waits for an order of that side to be taken.
    pub fn until_accepted(&self, side: Side, worker: &mut Worker) -> NewOrder {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = worker.try_ended() {
                panic!("the worker ended: {}\n{}", ended.out, ended.err);
            }
            if let Some(order) = self.accepted(side).into_iter().next() {
                return order;
            }
            let late = Instant::now() >= end;
            assert!(!late, "waited {PATIENCE:?} for {side:?} at the exchange: {}", worker.so_far().err);
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

impl Drop for Venue {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.simulator = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

/// Runs the simulator on a thread of its own until everybody has let go of it but that thread.
fn serve(exchange: Exchange) -> (Arc<Simulator>, JoinHandle<()>) {
    let (sender, started) = channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let keys = Keys { api_key: KEY.into(), secret: SECRET.into() };
            let options = Options { port: 0, control_port: 0, keys };
            let simulator = Arc::new(Simulator::start(exchange, options).await.unwrap());
            let held = Arc::downgrade(&simulator);
            sender.send(simulator).unwrap();
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            while held.strong_count() > 0 {
                tick.tick().await;
            }
        });
    });
    (started.recv().unwrap(), thread)
}
