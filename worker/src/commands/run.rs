//! `run`: trades on one machine, without a cluster: the same YAML, the same resolve, the same loop.
//!
//! One task drives everything; people's commands come before bars. It ends with a summary at the end of the data, or
//! drains on Ctrl-C and SIGTERM: what is known is durable, and the next start goes on at the next bar.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tradewind_core::config::{MarketDataConfig, ResolvedAccount, Speed};
use tradewind_core::event::{EventKind, HaltChange};
use tradewind_core::halt::HaltOrigin;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::{LedgerReader, SqliteOptions};

use super::{CommandError, control, validate};
use crate::assembly::{Assembly, Chosen, Market, search_dirs};
use crate::bus::Bus;
use crate::feed::Grouped;
use crate::http;
use crate::market_data::Bounds;
use crate::screen::Screen;
use crate::session::{
    self, Around, Connected, Doors, Ended, Live, Opening, Plan, Running, SHOW_EVERY, Telling, Waited, Whose,
    random_incarnation, report_quality, shutdown_signal,
};
pub use crate::session::{LEDGER_FILE, PAPER_FILE};
use crate::snapshot::{Phase, Snapshot};
use crate::summary;
use crate::terminal::live::can_draw;

/// Bars between two looks at commands while bars come as fast as they can.
const BREATH: u32 = 64;
/// Why `--speed` says nothing.
const NO_SPEED: &str = "--speed is for recorded bars; those of a venue come as they come";
/// The largest factor of a replay's speed, as in the API.
const MAX_FACTOR: u32 = 1_000_000;

/// What a run is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// YAML files, or folders of them, with the account, its policies, its strategies and halts.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The account to trade on, when the files hold several.
    #[arg(long)]
    pub account: Option<String>,
    /// Folder with data sets; may be repeated. Beside it, `data` next to each file is searched.
    #[arg(long, value_name = "DIR")]
    pub market_data: Vec<PathBuf>,
    /// Where the ledger lies. One account a folder; started again with the same one, the run goes on.
    #[arg(long, value_name = "DIR", default_value = ".tradewind/data")]
    pub data_dir: PathBuf,
    /// Days of event time after which decisions and equity are deleted; orders, fills and halts are kept for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 400)]
    pub keep_days: u32,
    /// How fast recorded time passes: realtime, max, or how many times as fast, such as 3600. Default: as the account
    /// says.
    #[arg(long, value_name = "SPEED", value_parser = speed)]
    pub speed: Option<Speed>,
    /// Folder with the files apiKey and apiSecret, for an account at a real venue. Nothing of them is ever logged.
    #[arg(long, value_name = "DIR", env = "TRADEWIND_CREDENTIALS")]
    pub credentials: Option<PathBuf>,
    /// Folder with the files username, password and, for a private authority, ca.crt, for a ledger in a database.
    #[arg(long, value_name = "DIR", env = "TRADEWIND_LEDGER_CREDENTIALS")]
    pub ledger_credentials: Option<PathBuf>,
    /// Plain lines even on a terminal.
    #[arg(long)]
    pub plain: bool,
    /// Folder with the files of the Secret that the account's bus names: password, and username and ca.crt where needed.
    #[arg(long, value_name = "DIR")]
    pub bus_credentials: Option<PathBuf>,
    /// Where `/portfolio` and `/trades/recent` are served; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8024")]
    pub portfolio_address: SocketAddr,
    /// Where `/signals/latest` and `/signals/performance` are served; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025")]
    pub signals_address: SocketAddr,
    /// Where `/risk/metrics` is served; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8047")]
    pub risk_address: SocketAddr,
}

impl Options {
    fn telling(&self) -> Telling<'_> {
        Telling {
            data_dir: &self.data_dir,
            ledger: self.ledger_credentials.as_deref(),
            bus: self.bus_credentials.clone(),
        }
    }

    fn addresses(&self) -> http::Addresses {
        http::Addresses {
            portfolio: self.portfolio_address,
            signals: self.signals_address,
            risk: self.risk_address,
        }
    }

    /// Whether a live table takes the terminal.
    pub fn has_live_table(&self) -> bool {
        let term = std::env::var("TERM").ok();
        !self.plain && std::io::stdout().is_terminal() && can_draw(term.as_deref())
    }

    fn screen(&self) -> Screen {
        let (no_color, term) = (std::env::var("NO_COLOR").ok(), std::env::var("TERM").ok());
        Screen::choose(self.has_live_table(), no_color.as_deref(), term.as_deref())
    }
}

/// The command.
pub async fn execute(options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let dirs = search_dirs(&options.market_data, &options.files);
    let chosen = Chosen::read(&options.files, options.account.as_deref())?;
    let mut shutdown = shutdown_signal()?;
    let recorded = chosen.recorded(&dirs)?;
    if recorded.is_none() && options.speed.is_some() {
        return Err(CommandError::Usage(NO_SPEED.to_owned()));
    }
    let (mut assembly, exchange) = match recorded {
        Some(data) if chosen.is_paper() => (Assembly::recorded(chosen, data)?, None),
        _ => {
            let account = chosen.account()?;
            let market = Market::of(&account.market_data, &dirs)?;
            let keys = options.credentials.as_ref();
            let found = session::connect(&account, &market, keys, None, &mut shutdown).await?;
            let Some(Connected { venue, offer }) = found else { return Ok(()) };
            (chosen.assemble(offer)?, Some(venue))
        }
    };
    validate::warn(&assembly.problems);

    let opening = Opening {
        data_dir: &options.data_dir,
        ledger: ledger_options(&assembly.config.account),
        credentials: options.ledger_credentials.as_deref(),
        whose: Whose::Ours,
        opened: &|_| (),
        exchange,
        // A lock on the file keeps two workers apart.
        lease: Millis(0),
    };
    let mut driver = Box::pin(session::open(&mut assembly, opening)).await?;
    let gone = driver.state.strategy_views().into_iter().filter(|view| !view.present);
    for strategy in assembly.keep(gone.map(|view| view.config).collect()) {
        tracing::error!(%strategy, "what it holds stays, with its stops, and nothing is bought until its problems are put right");
    }
    let bus = session::start_bus(&mut driver, options.telling())?;
    let (snapshots, shown) = watch::channel(driver.observer.snapshot(&driver.state));
    let doors = Doors::open(&options.addresses(), None, &options.data_dir, shown).await?;
    doors.announce(out)?;
    let mut local =
        Local { doors, shutdown, snapshots, screen: options.screen(), out, last: None, breath: 0 };
    let paper = assembly.config.account.venue.is_paper();
    let ended = match assembly.config.account.market_data {
        MarketDataConfig::Replay { speed, .. } if paper => {
            let speed = options.speed.unwrap_or(speed);
            replay(&mut driver, &assembly, speed, options.keep_days, &mut local).await?
        }
        _ => {
            let live = Live::begin(&mut driver, &assembly, options.speed, options.keep_days)?;
            live_until_stopped(&mut driver, &assembly, live, &mut local).await?
        }
    };
    local.now(&driver)?;
    let Local { doors, mut screen, out, .. } = local;
    screen.leave();
    doors.close().await;
    let word = if ended == Ended::Completed { "completed" } else { "drained" };
    Box::pin(end(driver, bus, word, out)).await
}

/// Ends it, and says what came of it.
async fn end(driver: Running, bus: Option<Bus>, word: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    let (state, board, ledger) = Box::pin(driver.finish()).await?;
    if let Some(bus) = bus {
        bus.stop().await;
    }
    if let Some(mut ledger) = ledger {
        let counts = (ledger.fill_counts().await?, ledger.outcomes().await?);
        ledger.close().await?;
        write!(out, "{}", summary::render(word, &board.snapshot(&state), &counts.0, &counts.1))?;
    }
    Ok(())
}

/// From recovery to the end of the data, or until somebody asks to stop.
async fn replay(
    driver: &mut Running,
    assembly: &Assembly,
    speed: Speed,
    keep_days: u32,
    local: &mut Local<'_>,
) -> Result<Ended, CommandError> {
    let mut feed = Grouped::new(assembly.merge(Bounds::default())?, assembly.data.bar());
    let first = session::recover(driver, assembly, &mut feed).await?;
    take_over_halts(driver, assembly).await?;
    driver.observer.set_phase(Phase::Running);
    local.now(driver)?;
    let plan = Plan { interval: assembly.data.bar(), speed, keep_days };
    let ended = session::trade(driver, &mut feed, first, &plan, local).await?;
    driver.observer.set_phase(if ended == Ended::Completed { Phase::Completed } else { Phase::Draining });
    driver.flush().await?;
    report_quality(driver, &mut feed);
    Ok(ended)
}

/// From recovery until somebody asks to stop, or recorded bars end.
async fn live_until_stopped(
    driver: &mut Running,
    assembly: &Assembly,
    mut live: Live,
    local: &mut Local<'_>,
) -> Result<Ended, CommandError> {
    local.now(driver)?;
    // Before anything can be entered.
    take_over_halts(driver, assembly).await?;
    let ended = if live.recover(driver, &|| assembly.config.clone(), local).await? {
        driver.observer.set_phase(Phase::Running);
        local.now(driver)?;
        live.trade(driver, local).await?
    } else {
        Ended::Drained
    };
    driver.observer.set_phase(Phase::Draining);
    live.drain(driver).await?;
    Ok(ended)
}

/// What `--speed` says. The factors are those an account may name.
fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "realtime" => Ok(Speed::RealTime),
        "max" => Ok(Speed::Max),
        factor => match factor.parse() {
            Ok(factor @ 1..=MAX_FACTOR) => Ok(Speed::Times(factor)),
            _ => Err(format!("write realtime, max, or a factor from 1 to {MAX_FACTOR}")),
        },
    }
}

fn ledger_options(account: &ResolvedAccount) -> SqliteOptions {
    SqliteOptions {
        account: account.uid,
        account_name: account.name.clone(),
        owner: format!("tradewind-worker run (pid {})", std::process::id()),
        now: Timestamp(jiff::Timestamp::now().as_millisecond()),
        incarnation: random_incarnation(),
        max_bytes: None,
    }
}

/// Whether the halt was made by `halt`, for all instruments (`….local`) or for some (`….local.btc-usd`).
fn is_local(name: &str) -> bool {
    name.split('.').any(|part| part == "local")
}

/// Halts in the files hold; those that stood in the files before and are gone are resumed, unless they may be in what nobody
/// can read. Local halts and those of breakers are resumed by name only.
async fn take_over_halts(driver: &mut Running, assembly: &Assembly) -> Result<(), CommandError> {
    let now = driver.now();
    let gone: Vec<_> = driver
        .state
        .halts()
        .iter()
        .filter(|h| h.origin == HaltOrigin::Manual && !is_local(&h.name))
        .filter(|h| !assembly.halts.iter().any(|kept| kept.name == h.name))
        .map(|h| h.name.clone())
        .collect();
    for name in gone {
        if !assembly.whole {
            tracing::error!(halt = %name, "stays in force: not all of the files can be read, and it may be in there");
            continue;
        }
        let by = "removal from the files".to_owned();
        driver.handle(now, EventKind::HaltChange(HaltChange::Cleared { name, by, at: now })).await?;
    }
    for halt in &assembly.halts {
        driver.handle(now, EventKind::HaltChange(HaltChange::Set(halt.clone()))).await?;
    }
    Ok(driver.flush().await?)
}

/// A run on one machine: a screen, a socket, and signals from the terminal.
struct Local<'o> {
    doors: Doors,
    shutdown: watch::Receiver<bool>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    screen: Screen,
    out: &'o mut dyn Write,
    last: Option<Instant>,
    breath: u32,
}

impl Around for Local<'_> {
    fn is_idle(&mut self) -> bool {
        let idle = self.breath < BREATH && !*self.shutdown.borrow() && self.doors.is_idle();
        self.breath = if idle { self.breath + 1 } else { 0 };
        idle
    }

    async fn wait(&mut self, driver: &mut Running, pause: Duration) -> Result<Waited, CommandError> {
        self.breath = 0;
        tokio::select! {
            biased;
            _ = self.shutdown.wait_for(|stop| *stop) => return Ok(Waited::Stop),
            Some(request) = self.doors.commands.recv() => control::answer(driver, request).await?,
            () = tokio::time::sleep(pause.min(SHOW_EVERY)) => {
                return Ok(if pause <= SHOW_EVERY { Waited::Over } else { Waited::Early });
            }
        }
        Ok(Waited::Early)
    }

    fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= SHOW_EVERY)
    }

    fn show(&mut self, driver: &Running) -> Result<bool, CommandError> {
        if !self.is_due() {
            return Ok(false);
        }
        self.now(driver)?;
        Ok(self.screen.wants_to_quit())
    }
}

impl Local<'_> {
    fn now(&mut self, driver: &Running) -> Result<(), CommandError> {
        self.last = Some(Instant::now());
        let snapshot = session::snapshot(driver);
        self.screen.show(&snapshot, self.out)?;
        self.snapshots.send_replace(snapshot);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Speed, is_local, speed};

    #[test]
    fn a_speed_is_a_word_or_a_factor_that_an_account_may_name() {
        assert_eq!(speed("realtime"), Ok(Speed::RealTime));
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("1"), Ok(Speed::Times(1)));
        assert_eq!(speed("1000000"), Ok(Speed::Times(1_000_000)));
        for wrong in ["0", "1000001", "-1", "2.5", "fast", ""] {
            assert!(speed(wrong).unwrap_err().contains("realtime, max, or a factor"), "{wrong}");
        }
    }

    #[test]
    fn a_local_halt_is_known_by_its_name_also_when_it_is_limited_to_instruments() {
        for name in ["account.paper.local", "strategy.trend.local", "strategy.trend.local.btc-usd.eth-usd"] {
            assert!(is_local(name), "{name}");
        }
        for name in ["strategy.trend.drawdown", "strategy.trend.latched", "exchange-incident", "localhost"] {
            assert!(!is_local(name), "{name}");
        }
    }
}
