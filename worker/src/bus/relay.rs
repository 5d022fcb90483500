//! From the outbox to Redis: in order, at least once, for as long as it takes.
//!
//! How far events are told is read from Redis itself, again before each batch. So a Redis that was flushed, or failed over
//! to a replica that lacks the newest entries, gets again what the ledger still has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tradewind_ledger::outbox::Kind;
use tradewind_ledger::{LedgerError, OutboxReader, OutboxRow, Tap};

use super::Place;
use super::credentials::Credentials;
use super::error::{BusError, Trouble};
use super::link::{Ends, EventStreams, Link};
use crate::crash_points::{Point, through};

/// Events of one batch.
const BATCH: u32 = 256;

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Redis may take so long to answer.
    pub answer: Duration,
    /// Redis and the Secret are looked at anew at least so often.
    pub look: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(5),
            look: Duration::from_secs(5),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// How it fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BusState {
    /// It has not connected yet.
    #[default]
    Starting,
    /// Events are told as they happen.
    Relaying,
    /// They cannot be told at present.
    Failing(Trouble, String),
}

/// What people are shown of the bus.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BusFacts {
    /// How it fares.
    pub state: BusState,
    /// Events told by this process.
    pub relayed: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// Events that wait, as of the last look.
    pub waiting: u64,
    /// Events that were dropped untold since the ledger began, as of the last look.
    pub dropped: BTreeMap<Kind, u64>,
    /// Since when not all events are told; none when all are.
    pub behind_since: Option<Instant>,
}

/// What relays. `open` makes a connection to read the ledger by.
pub struct Relay<R, O> {
    place: Place,
    tap: Arc<Tap>,
    open: O,
    facts: watch::Sender<BusFacts>,
    timing: Timing,
    reader: Option<R>,
    /// All events up to here are in their streams.
    told: u64,
    /// Where the streams ended when that was so.
    ends: Ends,
    /// Signals up to here were published.
    published: u64,
}

/// Why there is nothing to do for now.
enum Idle {
    /// All is told.
    Done,
    /// Somebody else added to the streams in between.
    Again,
}

impl<R: OutboxReader, O: AsyncFn() -> Result<R, LedgerError>> Relay<R, O> {
    /// A relay that has not begun.
    pub fn new(place: Place, tap: Arc<Tap>, open: O, facts: watch::Sender<BusFacts>, timing: Timing) -> Self {
        let (told, published) = (0, 0);
        Self { place, tap, open, facts, timing, reader: None, told, ends: Ends::default(), published }
    }

    /// Tells events until it is asked to stop, and then what is left.
    pub(super) async fn run(&mut self, mut stop: watch::Receiver<bool>) {
        let mut pause = self.timing.first_pause;
        loop {
            let ended = self.session(&mut stop).await;
            if let Err(error) = &ended
                && !self.fail(error).await
            {
                pause = self.timing.longest_pause.min(pause * 2);
            } else {
                pause = self.timing.first_pause;
            }
            if is_asked(&stop) {
                return;
            }
            if ended.is_err() {
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }

    /// Notes the failure; true when it is the first after a success.
    async fn fail(&mut self, error: &BusError) -> bool {
        let (trouble, message) = (error.trouble(), error.to_string());
        let was = self.facts.borrow().state.clone();
        if was != BusState::Failing(trouble, message.clone()) {
            tracing::warn!(account = %self.place.account, error = %error, "events wait");
        }
        if matches!(error, BusError::Ledger(_)) {
            self.reader = None;
        }
        self.facts.send_modify(|facts| {
            facts.errors += 1;
            facts.state = BusState::Failing(trouble, message);
        });
        // What waits is counted also while nothing can be told.
        if let Err(error) = self.look().await {
            tracing::debug!(%error, "the outbox cannot be read");
            self.reader = None;
        }
        was == BusState::Relaying
    }

    /// One connection, until it breaks, the Secret changes, or the end.
    async fn session(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), BusError> {
        let folder = self.place.credentials.clone();
        let credentials = Credentials::read(&self.place.redis, folder.as_deref())?;
        let mut link = Link::connect(&self.place, &credentials, self.timing.answer).await?;
        let mut written = self.tap.written();
        loop {
            written.borrow_and_update();
            let last = is_asked(stop);
            self.tell(&mut link).await?;
            self.look().await?;
            if last {
                return Ok(());
            }
            tokio::select! {
                _ = written.changed() => {}
                () = tokio::time::sleep(self.timing.look) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            if Credentials::read(&self.place.redis, folder.as_deref())? != credentials {
                tracing::info!(account = %self.place.account, "the bus's Secret has changed; connecting anew");
                return Ok(());
            }
        }
    }

    /// Tells all there is to tell.
    pub async fn tell(&mut self, streams: &mut impl EventStreams) -> Result<(), BusError> {
        while let Idle::Again = self.pass(streams).await? {}
        Ok(())
    }

    async fn pass(&mut self, link: &mut impl EventStreams) -> Result<Idle, BusError> {
        loop {
            let ends = link.ends().await?;
            self.compare(ends);
            let Some(page) = self.next_page().await? else {
                self.running();
                return Ok(Idle::Done);
            };
            self.behind();
            let missing: Vec<&OutboxRow> =
                page.iter().filter(|row| row.sequence > self.ends.of(row.kind)).collect();
            if !missing.is_empty() && !through(Point::Publish, link.add(&missing, self.published)).await? {
                return Ok(Idle::Again);
            }
            let count = u64::try_from(missing.len()).unwrap_or(0);
            for row in missing {
                self.ends.advance(row);
            }
            if let Some(last) = page.last() {
                self.told = last.sequence;
                self.published = self.published.max(last.sequence);
                self.tap.note_relayed(last.sequence);
            }
            self.facts.send_modify(|facts| facts.relayed = facts.relayed.saturating_add(count));
        }
    }

    /// Begins anew where a stream has lost what it had.
    fn compare(&mut self, ends: Ends) {
        for (had, has) in [(self.ends.orders, ends.orders), (self.ends.signals, ends.signals)] {
            if has < had {
                tracing::warn!(
                    account = %self.place.account, had, has,
                    "Redis has lost events; those the ledger still has are told again"
                );
                self.told = self.told.min(has);
            }
        }
        self.ends = ends;
    }

    /// The next events after what is told; none when there are none.
    async fn next_page(&mut self) -> Result<Option<Vec<OutboxRow>>, BusError> {
        let told = self.told;
        let page = self.reader().await?.events_after(told, BATCH).await?;
        Ok((!page.is_empty()).then_some(page))
    }

    async fn reader(&mut self) -> Result<&mut R, BusError> {
        let reader = if let Some(reader) = self.reader.take() {
            reader
        } else {
            let mut reader = (self.open)().await?;
            // Signals that a worker before this one published are not published again, whatever Redis has lost.
            self.published = self.published.max(reader.backlog(0).await?.relayed);
            reader
        };
        Ok(self.reader.insert(reader))
    }

    /// Counts what waits.
    async fn look(&mut self) -> Result<(), BusError> {
        let told = self.told;
        let backlog = self.reader().await?.backlog(told).await?;
        self.facts.send_if_modified(|facts| {
            let behind = (backlog.waiting > 0).then(|| facts.behind_since.unwrap_or_else(Instant::now));
            let changed = facts.waiting != backlog.waiting
                || facts.dropped != backlog.dropped
                || facts.behind_since != behind;
            (facts.waiting, facts.dropped, facts.behind_since) = (backlog.waiting, backlog.dropped, behind);
            changed
        });
        Ok(())
    }

    fn behind(&self) {
        self.facts.send_if_modified(|facts| {
            let new = facts.behind_since.is_none();
            facts.behind_since.get_or_insert_with(Instant::now);
            new
        });
    }

    fn running(&self) {
        self.facts.send_if_modified(|facts| {
            let new = facts.state != BusState::Relaying;
            if new {
                tracing::info!(account = %self.place.account, "events are told as they happen");
                facts.state = BusState::Relaying;
            }
            new
        });
    }
}

/// Whether to stop: somebody said so, or nobody is there any more to say it.
fn is_asked(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
