//! `run`: trades on one machine, without a cluster: the same YAML, the same resolve, the same loop.
//!
//! One task drives everything; people's commands come before bars. It ends with a summary at the end of the data, or
//! drains on Ctrl-C and SIGTERM: what is known is durable, and the next start goes on at the next bar.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tradewind_core::config::{MarketDataConfig, Speed, VenueConfig};
use tradewind_core::event::{EventKind, HaltChange};
use tradewind_core::halt::HaltOrigin;
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::order::Incarnation;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::{Ledger, LedgerReader, SqliteLedger, SqliteOptions};
use tradewind_venues::paper::PaperVenue;

use super::{CommandError, control, validate};
use crate::assembly::{Assembly, search_dirs};
use crate::board::Board;
use crate::control::{ControlRequest, Server as ControlServer};
use crate::driver::{Driver, Journal, Start};
use crate::feed::{Feed, Grouped};
use crate::http;
use crate::market_data::{Bounds, CandleReader, Pace};
use crate::screen::Screen;
use crate::snapshot::{Phase, Snapshot};
use crate::summary;

/// The ledger's file in the data directory.
pub const LEDGER_FILE: &str = "ledger.db";
/// The paper venue's own file in the data directory.
pub const PAPER_FILE: &str = "paper.db";
/// How often people are shown something new.
const SHOW_EVERY: Duration = Duration::from_millis(125);
/// Chunks deleted at the end of a day at the most; far more than a day of minute bars brings in.
const PRUNINGS_A_DAY: u32 = 64;
/// Bars between two looks at commands while bars come as fast as they can.
const BREATH: u32 = 64;

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
    /// Plain lines even on a terminal.
    #[arg(long)]
    pub plain: bool,
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

type Running = Driver<SqliteLedger, Board>;

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Completed,
    Drained,
}

/// The command.
pub async fn execute(options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let dirs = search_dirs(&options.market_data, &options.files);
    let mut assembly = Assembly::load(&options.files, options.account.as_deref(), &dirs)?;
    validate::warn(&assembly.problems);
    let mut shutdown = shutdown_signal()?;

    let mut driver = open(&mut assembly, &options.data_dir).await?;
    let (snapshots, shown) = watch::channel(driver.observer.snapshot(&driver.state));
    let mut doors = Doors::open(options, shown).await?;
    doors.announce(out)?;
    let (no_color, term) = (std::env::var("NO_COLOR").ok(), std::env::var("TERM").ok());
    let mut screen = Screen::choose(
        !options.plain && std::io::stdout().is_terminal(),
        no_color.as_deref(),
        term.as_deref(),
    );

    let mut feed = Grouped::new(assembly.merge(Bounds::default())?, assembly.data.bar());
    let first = recover(&mut driver, &assembly, &mut feed).await?;
    driver.observer.set_phase(Phase::Running);
    let mut show = Show { snapshots, screen: &mut screen, last: None };
    show.now(&driver, out)?;

    let ended =
        trade(&mut driver, &assembly, &mut feed, first, &mut doors, &mut shutdown, &mut show, options, out)
            .await?;
    driver.observer.set_phase(if ended == Ended::Completed { Phase::Completed } else { Phase::Draining });
    driver.flush().await?;
    report_quality(&mut driver, &mut feed);
    show.now(&driver, out)?;
    screen.leave();
    doors.close().await;
    let word = if ended == Ended::Completed { "completed" } else { "drained" };
    let (state, board, ledger) = driver.finish().await?;
    if let Some(mut ledger) = ledger {
        let counts = (ledger.fill_counts().await?, ledger.outcomes().await?);
        ledger.close().await?;
        write!(out, "{}", summary::render(word, &board.snapshot(&state), &counts.0, &counts.1))?;
    }
    Ok(())
}

/// Opens ledger and venue; a second worker on the same ledger is refused here.
async fn open(assembly: &mut Assembly, data_dir: &Path) -> Result<Running, CommandError> {
    let file = |source| CommandError::File { path: data_dir.to_path_buf(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(file)?;
    let account = assembly.config.account.clone();
    let options = SqliteOptions {
        account: account.uid,
        account_name: account.name.clone(),
        owner: format!("tradewind-worker run (pid {})", std::process::id()),
        now: Timestamp(jiff::Timestamp::now().as_millisecond()),
        incarnation: random_incarnation(),
        max_bytes: None,
    };
    let mut ledger = SqliteLedger::open(&data_dir.join(LEDGER_FILE), &options).await?;
    assembly.include(&ledger.symbols().await?)?;
    let VenueConfig::Paper(paper) = &account.venue;
    let rules: Vec<_> = assembly.instruments.iter().map(|i| i.rules.clone()).collect();
    let venue = PaperVenue::open(&data_dir.join(PAPER_FILE), paper, &account.quote_currency, &rules).await?;
    if venue.created_with() != paper.balances.as_slice() {
        tracing::warn!(
            "the paper account keeps the balances it was created with; use a new --data-dir to start over"
        );
    }
    let interval = assembly.data.bar();
    let instruments = u16::try_from(assembly.instruments.len()).unwrap_or(u16::MAX);
    let identity = ledger.identity();
    let start = Start {
        config: assembly.config.clone(),
        instruments: assembly.instruments.clone(),
        ledger: Some(ledger),
        identity,
        venue,
        journal: Journal::keeping(rules),
        observer: Board::new(interval, instruments, true),
    };
    Ok(Driver::recover(start).await?)
}

/// Warms the indicators up with the bars seen before, settles open orders and takes over configuration and halts.
/// Returns the first new group of bars, if there is one.
async fn recover(
    driver: &mut Running,
    assembly: &Assembly,
    feed: &mut Grouped<CandleReader>,
) -> Result<Option<Vec<(InstrumentId, Bar)>>, CommandError> {
    let positions = driver.positions().to_vec();
    if positions.iter().any(Option::is_some) {
        for (id, bar) in assembly.merge(Bounds::default())? {
            let Ok(bar) = bar else { continue };
            let seen = positions.get(id.index()).copied().flatten();
            if seen.is_some_and(|last| bar.open_time <= last) {
                driver.warm_up(id, &bar);
            }
        }
        for (id, last) in positions.iter().enumerate() {
            if let (Ok(id), Some(last)) = (u16::try_from(id), last) {
                feed.merge_mut().skip_through(InstrumentId(id), *last);
            }
        }
    }
    let mut group = Vec::new();
    let more = feed.next_group(&mut group);
    let start = group.first().map_or(Timestamp(0), |(_, bar)| bar.open_time);
    let state = &driver.state;
    driver.observer.know_orders(state);
    if let Some(ledger) = driver.ledger_mut() {
        let trades = ledger.trades(u32::try_from(crate::snapshot::RECENT_TRADES).unwrap_or(u32::MAX)).await?;
        driver.observer.know_trades(summary::trade_snapshots(trades));
    }
    driver.settle(assembly.config.clone(), start).await?;
    take_over_halts(driver, assembly).await?;
    Ok(more.then_some(group))
}

/// Whether the halt was made by `halt`, for all instruments (`….local`) or for some (`….local.btc-usd`).
fn is_local(name: &str) -> bool {
    name.split('.').any(|part| part == "local")
}

/// Halts in the files hold; those that stood in the files before and are gone are resumed. Local halts and those of
/// breakers are resumed by name only.
async fn take_over_halts(driver: &mut Running, assembly: &Assembly) -> Result<(), CommandError> {
    let now = driver.state.now();
    let gone: Vec<_> = driver
        .state
        .halts()
        .iter()
        .filter(|h| h.origin == HaltOrigin::Manual && !is_local(&h.name))
        .filter(|h| !assembly.halts.iter().any(|kept| kept.name == h.name))
        .map(|h| h.name.clone())
        .collect();
    for name in gone {
        let by = "removal from the files".to_owned();
        driver.handle(now, EventKind::HaltChange(HaltChange::Cleared { name, by, at: now })).await?;
    }
    for halt in &assembly.halts {
        driver.handle(now, EventKind::HaltChange(HaltChange::Set(halt.clone()))).await?;
    }
    Ok(driver.flush().await?)
}

#[expect(
    clippy::too_many_arguments,
    reason = "the one loop: everything it waits for and everything it feeds"
)]
async fn trade(
    driver: &mut Running,
    assembly: &Assembly,
    feed: &mut Grouped<CandleReader>,
    mut next: Option<Vec<(InstrumentId, Bar)>>,
    doors: &mut Doors,
    shutdown: &mut watch::Receiver<bool>,
    show: &mut Show<'_>,
    options: &Options,
    out: &mut dyn Write,
) -> Result<Ended, CommandError> {
    let interval = assembly.data.bar();
    let MarketDataConfig::Replay { speed, .. } = assembly.config.account.market_data;
    let started = Instant::now();
    let pace = next.as_ref().and_then(|g| g.first()).map(|(_, bar)| Pace::new(speed, bar.open_time));
    let (mut breath, mut day) = (0_u32, driver.state.now().day());
    while let Some(mut group) = next.take() {
        let due = group.first().map_or(Timestamp(0), |(_, bar)| bar.close_time(interval));
        loop {
            let elapsed = Millis(i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX));
            let wait = pace.as_ref().map_or(Millis(0), |p| p.wait(due, elapsed));
            let pause = Duration::from_millis(u64::try_from(wait.0).unwrap_or(0));
            if pause.is_zero() && breath < BREATH && !*shutdown.borrow() && doors.is_idle() {
                breath += 1;
                break;
            }
            breath = 0;
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return Ok(Ended::Drained),
                Some(request) = doors.commands.recv() => control::answer(driver, request).await?,
                () = tokio::time::sleep(pause.min(SHOW_EVERY)) => if pause <= SHOW_EVERY { break },
            }
            if show.due(driver, out)? {
                return Ok(Ended::Drained);
            }
        }
        driver.on_bars(&group, interval).await?;
        if speed != Speed::Max {
            driver.flush().await?;
        }
        driver.observer.totals_mut().bars += group.len() as u64;
        if driver.state.now().day() > day {
            day = driver.state.now().day();
            prune(driver, options.keep_days).await?;
        }
        if show.is_due() {
            report_quality(driver, feed);
        }
        if show.due(driver, out)? {
            return Ok(Ended::Drained);
        }
        next = feed.next_group(&mut group).then_some(group);
    }
    Ok(Ended::Completed)
}

/// Deletes decisions and equity that are older than they need be kept; never orders, fills or halts.
async fn prune(driver: &mut Running, keep_days: u32) -> Result<(), CommandError> {
    let before =
        Timestamp(driver.state.now().0.saturating_sub(i64::from(keep_days).saturating_mul(86_400_000)));
    if let Some(ledger) = driver.ledger_mut() {
        for _ in 0..PRUNINGS_A_DAY {
            let pruned = ledger.prune(before).await?;
            tracing::debug!(decisions = pruned.decisions, equity = pruned.equity, "pruned");
            if !pruned.more {
                break;
            }
        }
    }
    Ok(())
}

/// Tells rows that were skipped and feeds that ended since the last call, and counts them.
fn report_quality(driver: &mut Running, feed: &mut Grouped<CandleReader>) {
    for (id, error) in feed.failures() {
        let symbol = driver.state.rules(id).map(|r| r.symbol.to_string()).unwrap_or_default();
        tracing::error!(symbol, error = %error, "the feed ended early");
    }
    let totals = driver.observer.totals_mut();
    (totals.off_tick, totals.skipped_rows) = (0, 0);
    for source in feed.merge_mut().sources_mut() {
        for skipped in source.bars.take_skips() {
            tracing::warn!(row = %skipped, "row skipped");
        }
        let quality = source.bars.quality();
        totals.off_tick += quality.off_tick;
        totals.skipped_rows += quality.skipped;
    }
}

/// What people see, at a pace people can read.
struct Show<'s> {
    snapshots: watch::Sender<Arc<Snapshot>>,
    screen: &'s mut Screen,
    last: Option<Instant>,
}

impl Show<'_> {
    fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= SHOW_EVERY)
    }

    /// Shows the present state if it is time to; true when somebody pressed quit.
    fn due(&mut self, driver: &Running, out: &mut dyn Write) -> Result<bool, CommandError> {
        if !self.is_due() {
            return Ok(false);
        }
        self.now(driver, out)?;
        Ok(self.screen.wants_to_quit())
    }

    fn now(&mut self, driver: &Running, out: &mut dyn Write) -> Result<(), CommandError> {
        self.last = Some(Instant::now());
        let mut snapshot = driver.observer.snapshot(&driver.state);
        if let Some(shown) = Arc::get_mut(&mut snapshot) {
            shown.totals.ledger_commits = driver.journal().commits;
            shown.totals.ledger_seconds = driver.journal().commit_time.as_secs_f64();
        }
        self.screen.show(&snapshot, out)?;
        self.snapshots.send_replace(snapshot);
        Ok(())
    }
}

/// The ways in and out beside the bars: HTTP for readers, a socket for commands.
struct Doors {
    commands: mpsc::Receiver<ControlRequest>,
    stop: Vec<oneshot::Sender<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    addresses: http::Addresses,
}

impl Doors {
    async fn open(options: &Options, shown: watch::Receiver<Arc<Snapshot>>) -> Result<Self, CommandError> {
        let wanted = http::Addresses {
            portfolio: options.portfolio_address,
            signals: options.signals_address,
            risk: options.risk_address,
        };
        let server = http::Server::bind(&wanted, shown).await?;
        let addresses = server.addresses();
        let socket = ControlServer::bind(&options.data_dir)?;
        let (sender, commands) = mpsc::channel(16);
        let (stop_http, http_stopped) = oneshot::channel::<()>();
        let (stop_socket, socket_stopped) = oneshot::channel::<()>();
        let http_task = tokio::spawn(async move { server.run(async { drop(http_stopped.await) }).await });
        let socket_task = tokio::spawn(async move {
            if let Err(error) = socket.run(sender, async { drop(socket_stopped.await) }).await {
                tracing::error!(%error, "commands are not taken any more");
            }
        });
        Ok(Self {
            commands,
            stop: vec![stop_http, stop_socket],
            tasks: vec![http_task, socket_task],
            addresses,
        })
    }

    fn announce(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        let http::Addresses { portfolio, signals, risk } = self.addresses;
        writeln!(
            out,
            "portfolio http://{portfolio}/portfolio  signals http://{signals}/signals/latest  risk http://{risk}/risk/metrics"
        )?;
        Ok(out.flush()?)
    }

    fn is_idle(&self) -> bool {
        self.commands.is_empty()
    }

    async fn close(self) {
        drop(self.stop);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a server did not end well");
            }
        }
    }
}

/// Turns true on Ctrl-C or SIGTERM.
fn shutdown_signal() -> Result<watch::Receiver<bool>, CommandError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        sender.send_replace(true);
    });
    Ok(receiver)
}

/// The tag of a new ledger's orders; chance, because two ledgers of one account must not share it.
fn random_incarnation() -> Incarnation {
    let (tag, _, _, _) = uuid::Uuid::new_v4().as_fields();
    Incarnation(tag)
}

#[cfg(test)]
mod tests {
    use super::is_local;

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
