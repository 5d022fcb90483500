//! The trading loop, the same for `run` and `cluster`: bars at their pace, and between them whatever comes in from
//! around.
//!
//! One task drives everything. What surrounds the loop ([`Around`]) is asked before each group of bars, so that commands,
//! halts and configuration come before data; it never touches the order in which things become durable.

mod connect;
mod doors;
mod end;
mod live;
mod start;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tradewind_core::config::Speed;
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::Ledger;

pub(crate) use connect::{Connected, connect};
pub(crate) use doors::Doors;
pub use end::in_time;
pub(crate) use live::Live;
pub(crate) use start::{
    Opening, Telling, Whose, open, random_incarnation, recall, recover, rewind, start_bus,
};

use crate::board::Board;
use crate::commands::CommandError;
use crate::driver::Driver;
use crate::feed::{Feed, Grouped};
use crate::ledger::AccountLedger;
use crate::market_data::{CandleReader, Pace};
use crate::snapshot::Snapshot;
use crate::venue::AccountVenue;

/// The ledger's file in the data directory.
pub const LEDGER_FILE: &str = "ledger.db";
/// The paper venue's own file in the data directory.
pub const PAPER_FILE: &str = "paper.db";
/// How often people are shown something new.
pub(crate) const SHOW_EVERY: Duration = Duration::from_millis(125);
/// Chunks deleted at the end of a day at the most; far more than a day of minute bars brings in.
const PRUNINGS_A_DAY: u32 = 64;

pub(crate) type Running = Driver<AccountLedger, AccountVenue, Board>;
/// Bars that close at one time.
pub(crate) type Group = Vec<(InstrumentId, Bar)>;

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The data has ended.
    Completed,
    /// Somebody asked for it.
    Drained,
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The pause is over.
    Over,
    /// Something came in, or the pause is longer than anybody waits at a stretch.
    Early,
    /// Somebody asked to stop.
    Stop,
}

/// What surrounds the loop.
pub(crate) trait Around {
    /// Whether bars may go on without a look around: nothing waits, and the last look is not long ago.
    fn is_idle(&mut self) -> bool;

    /// Waits until the pause is over or something comes in, and takes that in.
    async fn wait(&mut self, driver: &mut Running, pause: Duration) -> Result<Waited, CommandError>;

    /// Whether it is time to show something.
    fn is_due(&self) -> bool;

    /// Shows the present state if it is time to; true when somebody asked to stop.
    fn show(&mut self, driver: &Running) -> Result<bool, CommandError>;
}

/// How bars come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Length of the feed's bars.
    pub(crate) interval: Millis,
    /// How fast a replay is.
    pub(crate) speed: Speed,
    /// Days of event time after which decisions and equity are deleted.
    pub(crate) keep_days: u32,
}

/// Trades until the data ends or somebody asks to stop.
pub(crate) async fn trade(
    driver: &mut Running,
    feed: &mut Grouped<CandleReader>,
    first: Option<Group>,
    plan: &Plan,
    around: &mut impl Around,
) -> Result<Ended, CommandError> {
    let Plan { interval, speed, keep_days } = *plan;
    let (mut next, started) = (first, Instant::now());
    let pace = next.as_ref().and_then(|g| g.first()).map(|(_, bar)| Pace::new(speed, bar.open_time));
    let mut day = driver.state.now().day();
    while let Some(mut group) = next.take() {
        let due = group.first().map_or(Timestamp(0), |(_, bar)| bar.close_time(interval));
        loop {
            let elapsed = Millis::from(started.elapsed());
            let wait = pace.as_ref().map_or(Millis(0), |p| p.wait(due, elapsed));
            let pause = Duration::from_millis(u64::try_from(wait.0).unwrap_or(0));
            if pause.is_zero() && around.is_idle() {
                break;
            }
            match around.wait(driver, pause).await? {
                Waited::Over => break,
                Waited::Stop => return Ok(Ended::Drained),
                Waited::Early => {}
            }
            if around.show(driver)? {
                return Ok(Ended::Drained);
            }
        }
        let began = Instant::now();
        driver.on_bars(&group, interval).await?;
        if speed != Speed::Max {
            driver.flush().await?;
        }
        let totals = driver.observer.totals_mut();
        totals.measures.cycles.observe_time(began.elapsed());
        totals.bars += group.len() as u64;
        if driver.state.now().day() > day {
            day = driver.state.now().day();
            prune(driver, keep_days).await?;
        }
        if around.is_due() {
            report_quality(driver, feed);
        }
        if around.show(driver)? {
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

/// Tells rows that were skipped, gaps and feeds that ended since the last call, and counts them.
pub(crate) fn report_quality(driver: &mut Running, feed: &mut Grouped<CandleReader>) {
    for (id, error) in feed.failures() {
        let Some(symbol) = driver.state.rules(id).map(|rules| rules.symbol.clone()) else { continue };
        tracing::error!(%symbol, error = %error, "the feed ended early");
        driver.observer.totals_mut().broken_feeds.insert(symbol, error.to_string());
    }
    let Running { state, observer, .. } = driver;
    let totals = observer.totals_mut();
    (totals.off_tick, totals.skipped_rows) = (0, 0);
    for source in feed.merge_mut().sources_mut() {
        for skipped in source.bars.take_skips() {
            tracing::warn!(row = %skipped, "row skipped");
        }
        let quality = source.bars.quality();
        totals.off_tick += quality.off_tick;
        totals.skipped_rows += quality.skipped;
        if let Some(rules) = state.rules(source.instrument) {
            totals.gaps.insert(smol_str::format_smolstr!("{}", rules.symbol), quality.gaps);
        }
    }
}

/// Everything that is shown, as of now.
pub(crate) fn snapshot(driver: &Running) -> Arc<Snapshot> {
    let mut snapshot = driver.observer.snapshot(&driver.state);
    if let Some(shown) = Arc::get_mut(&mut snapshot) {
        let (ledger, venue) = driver.edges();
        shown.totals.measures.commits = driver.journal().commits.clone();
        shown.totals.ledger_failures = ledger.map_or(0, AccountLedger::failed_attempts);
        shown.totals.traffic = venue.traffic();
    }
    snapshot
}

/// Turns true on Ctrl-C or SIGTERM.
pub(crate) fn shutdown_signal() -> Result<watch::Receiver<bool>, CommandError> {
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
