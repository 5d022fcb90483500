//! From a decision to its order's first byte on the wire: engine, ledger, signature and HTTP client of production before a
//! simulated Binance.US on this machine.
//!
//! Sixteen instruments go up and down by turns, so that each bar of each is an order. The clock starts when the engine
//! tells its decision, and stops when the request is read from the socket, by a relay in front of the exchange. In between
//! lie the intent and its signature made durable in SQLite with its full sync.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use smol_str::{SmolStr, format_smolstr};
use tradewind_core::config::{
    BinanceUsConfig, Config, DeletionPolicy, DesiredState, InstrumentState, LedgerConfig, MarketDataConfig,
    Mode, Protection, ResolvedAccount, ResolvedStrategy, SignalConfig, SizingConfig, StrategyInstrument,
    VenueConfig,
};
use tradewind_core::decision::Outcome;
use tradewind_core::engine::{InstrumentSpec, State};
use tradewind_core::event::{Record, Report};
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::limits::{AccountLimits, Limits};
use tradewind_core::money::{BasisPoints, Cash, Percent, Price, Quantity};
use tradewind_core::name::Symbol;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::{Ledger, SqliteLedger};
use tradewind_venue_simulator::dialect::Keys;
use tradewind_venue_simulator::exchange::{Exchange, Quote, Symbol as Listed};
use tradewind_venue_simulator::{Options, Simulator};
use tradewind_venues::binance_us::{BinanceUs, DEADLINE, Settings};
use tradewind_worker::driver::{Driver, Journal, Observer, Start};

use crate::measure::{self, Goal, Runs, per_second, rate};
use crate::{BenchError, Figure, desk, intents};

const SECTION: &str = "wire";
const INSTRUMENTS: i64 = 16;
/// Rounds of sixteen orders.
const ROUNDS: i64 = 64;
const BAR: Millis = Millis(60_000);
/// Prices in cents.
const LOW: i64 = 10_000;
const HIGH: i64 = 10_100;
/// The relay notes what begins so.
const ORDER: &[u8] = b"POST /api/v3/order";
/// Longest wait for a request that was answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let dir = measure::scratch()?;
    let simulator = simulator().await?;
    let (relay, arrived) = relay(simulator.address)?;
    let venue = connect(dir.path(), relay).await?;
    let (decided, decisions) = channel();
    let mut driver = driver(dir.path(), venue, Decided(decided)).await?;
    let mut took = Runs::default();
    let started = Instant::now();
    for round in 0..ROUNDS + 2 {
        driver.on_bars(&bars(driver.now(), round), BAR).await?;
        // As the worker's loop does between two bars: fills are taken in, and rows become durable.
        driver.take_in_fills().await?;
        driver.tick().await?;
        for decided_at in decisions.try_iter() {
            let at = arrived.recv_timeout(PATIENCE).map_err(|_| wrong("an order never left"))?;
            took.push(at.saturating_duration_since(decided_at).as_secs_f64() * 1e3);
        }
    }
    let speed = per_second(took.len() as u64, started.elapsed().as_secs_f64());
    let filled = simulator.world().desk.exchange.trades().len();
    driver.finish().await?;
    // Every bar from the third on is an order, and every order trades.
    let expected = usize::try_from(INSTRUMENTS * ROUNDS).unwrap_or_default();
    if (took.len(), filled) != (expected, expected) || arrived.try_recv().is_ok() {
        return Err(wrong(&format!("{} orders left and {filled} traded, not {expected}", took.len())));
    }
    let most = took.percentile(99);
    let measured = format!("{most:.2} ms (median {:.2} ms, worst {:.2} ms)", took.median(), took.most());
    Ok(vec![
        Figure::new(SECTION, "decision → first byte of its order, p99", measured).goal(
            "≤ 2 ms",
            Goal::AtMost(2.0),
            most,
        ),
        Figure::new(SECTION, "orders", format!("{expected}, one after the other, {} a second", rate(speed))),
    ])
}

fn wrong(what: &str) -> BenchError {
    BenchError::Wrong(what.to_owned())
}

/// Notes when the engine decides to trade.
struct Decided(Sender<Instant>);

impl Observer for Decided {
    fn on_report(&mut self, _: &State, report: &Report) {
        if let Report::Decision(decision) = report
            && !matches!(decision.outcome, Outcome::Nothing(_))
        {
            self.0.send(Instant::now()).ok();
        }
    }

    fn on_record(&mut self, _: &State, _: &Record) {}
}

fn name(index: i64) -> SmolStr {
    let letter = u8::try_from(index).map_or('Z', |index| char::from(b'A' + index));
    format_smolstr!("BENCH{letter}")
}

/// An exchange with room for every question.
async fn simulator() -> Result<Simulator, BenchError> {
    let much = Decimal::new(1_000_000, 0);
    let listed = (0..INSTRUMENTS).map(|index| {
        Listed::new(&name(index), "USD", Decimal::new(1, 2), Decimal::new(1, 5), Decimal::new(10, 0))
    });
    let mut exchange = Exchange::new(listed);
    exchange.behaviour.weight_limit = 1_000_000;
    exchange.behaviour.order_limit = 1_000_000;
    exchange.deposit("USD", much, 0);
    let quote = Quote {
        bid: Decimal::new(HIGH - 1, 2),
        ask: Decimal::new(HIGH + 1, 2),
        bid_quantity: much,
        ask_quantity: much,
    };
    for index in 0..INSTRUMENTS {
        let quoted = exchange.quote(&format!("{}USD", name(index)), quote, 0);
        quoted.map_err(|error| wrong(&format!("the simulated exchange: {error:?}")))?;
    }
    let keys = Keys { api_key: "benchKey".into(), secret: "benchSecret".into() };
    let started = Simulator::start(exchange, Options { port: 0, control_port: 0, keys }).await;
    started.map_err(|error| BenchError::Process(format!("the simulated exchange: {error}")))
}

/// Passes everything on to the exchange, and tells when an order came.
fn relay(exchange: SocketAddr) -> Result<(SocketAddr, Receiver<Instant>), BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let (arrived, arrivals) = channel();
    // Ends with the process: whoever listens is gone by then.
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(exchange) else { return };
            server.set_nodelay(true).ok();
            client.set_nodelay(true).ok();
            let (Ok(from), Ok(back)) = (client.try_clone(), server.try_clone()) else { return };
            let arrived = arrived.clone();
            std::thread::spawn(move || pass(from, server, Some(&arrived)));
            std::thread::spawn(move || pass(back, client, None));
        }
    });
    Ok((address, arrivals))
}

fn pass(mut from: TcpStream, mut to: TcpStream, orders: Option<&Sender<Instant>>) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let now = Instant::now();
        let Some(read) = bytes.get(..read) else { return };
        if let Some(orders) = orders.filter(|_| read.starts_with(ORDER)) {
            orders.send(now).ok();
        }
        if to.write_all(read).is_err() {
            return;
        }
    }
}

async fn connect(dir: &Path, address: SocketAddr) -> Result<BinanceUs, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Process(format!("the adapter: {error}"));
    let key_folder = dir.join("keys");
    std::fs::create_dir(&key_folder)?;
    for (file, text) in [("apiKey", "benchKey"), ("apiSecret", "benchSecret")] {
        std::fs::write(key_folder.join(file), text)?;
    }
    let endpoint = format!("http://{address}").parse().map_err(|error| failed(&error))?;
    let symbols = (0..INSTRUMENTS).filter_map(|index| symbol(index).ok()).collect();
    let settings = Settings { endpoint, key_folder, symbols, deadline: DEADLINE };
    let clock = Box::new(|| Timestamp(jiff::Timestamp::now().as_millisecond()));
    let mut venue = BinanceUs::new(settings, clock).map_err(|error| failed(&error))?;
    // Its question for maintenance is held back already.
    venue.read_rules().await.ok();
    // paces: a budget that was told a larger limit fills in its own time, a minute for all of it, of which a fifth is kept.
    tokio::time::sleep(Duration::from_secs(20)).await;
    venue.refresh().await.map_err(|error| failed(&error))?;
    Ok(venue)
}

fn symbol(index: i64) -> Result<Symbol, BenchError> {
    format!("{}-USD", name(index)).parse().map_err(|error| wrong(&format!("a symbol: {error}")))
}

/// Every instrument of the account down, down again, and then up and down by turns.
fn bars(now: Timestamp, round: i64) -> Vec<(InstrumentId, Bar)> {
    let close = match round {
        0 => LOW + 10,
        odd if odd % 2 == 1 => LOW,
        _ => HIGH,
    };
    // The close lies behind every bar before: time only has to rise.
    let open_time = Timestamp(now.0 - (ROUNDS + 4 - round) * BAR.0);
    let price = Price(close);
    let bar =
        Bar { open_time, open: price, high: price, low: price, close: price, volume: Quantity(100_000) };
    (0..INSTRUMENTS).filter_map(|index| Some((InstrumentId(u16::try_from(index).ok()?), bar))).collect()
}

async fn driver(
    dir: &Path,
    venue: BinanceUs,
    observer: Decided,
) -> Result<Driver<SqliteLedger, BinanceUs, Decided>, BenchError> {
    let assembly = desk::assembly(Path::new("."))?;
    let config = config(&assembly.config)?;
    let mut instruments = Vec::new();
    for index in 0..INSTRUMENTS {
        let rules = venue.rules(&symbol(index)?).map_err(|error| wrong(&error.to_string()))?;
        instruments.push(InstrumentSpec { rules: rules.rules.clone(), interval: BAR });
    }
    let rules = instruments.iter().map(|instrument| instrument.rules.clone()).collect();
    let ledger = SqliteLedger::open(&dir.join("ledger.db"), &intents::options(&assembly)).await?;
    let start = Start {
        config: config.clone(),
        instruments,
        identity: ledger.identity(),
        ledger: Some(ledger),
        venue,
        lease: Millis(0),
        journal: Journal::keeping(rules),
        observer,
    };
    let mut driver = Driver::recover(start).await?;
    let wait = driver.state.first_send().since(driver.now()).0;
    // paces: as the worker does at its start, until what a predecessor signed is over.
    tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0))).await;
    driver.settle(config, driver.now()).await?;
    Ok(driver)
}

/// One strategy with all instruments, and limits that let each of them be traded at every bar.
fn config(like: &Config) -> Result<Config, BenchError> {
    let account = ResolvedAccount {
        venue: VenueConfig::BinanceUs(BinanceUsConfig {
            endpoint: SmolStr::default(),
            credentials: "key".into(),
            fees: like.account.venue.fees().clone(),
            slippage: BasisPoints(0),
        }),
        quote_currency: "USD".parse().map_err(|error| wrong(&format!("a currency: {error}")))?,
        market_data: MarketDataConfig::Venue { bar: BAR },
        limits: AccountLimits { max_exposure: Percent::ONE_HUNDRED },
        breakers: Vec::new(),
        bus: None,
        ledger: LedgerConfig::Sqlite,
        ..like.account.clone()
    };
    let instruments: Result<Vec<_>, BenchError> = (0..INSTRUMENTS)
        .map(|index| Ok(StrategyInstrument { symbol: symbol(index)?, state: InstrumentState::Active }))
        .collect();
    let uid = like.strategies.first().map(|strategy| strategy.uid).ok_or_else(|| wrong("no strategy"))?;
    let strategy = ResolvedStrategy {
        uid,
        name: "turns".into(),
        generation: 1,
        desired_state: DesiredState::Trading,
        mode: Mode::Live,
        capital: Cash::parse("100000").map_err(|error| wrong(&error.to_string()))?,
        instruments: instruments?,
        bar: BAR,
        signal: SignalConfig::EmaCross { fast: 1, slow: 2 },
        sizing: SizingConfig::FixedPercent { percent: Percent(10_000) },
        stop_loss: None,
        protection: Protection::AtWorker,
        policy: None,
        limits: Limits {
            min_confidence: Percent(0),
            cooldown: Millis(0),
            max_trades_per_instrument_per_day: 1_000,
            max_exposure: Percent::ONE_HUNDRED,
            max_open_positions: 100,
            ..Limits::defaults()
        },
        breakers: Vec::new(),
        deletion_policy: DeletionPolicy::CancelEntries,
    };
    Ok(Config { account, strategies: vec![strategy] })
}
