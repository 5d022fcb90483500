//! The cluster around the trading loop: watches, the Lease, commands in the pod, and what is shown.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use smol_str::SmolStr;
use tokio::sync::watch;
use tradewind_core::decision::StrategyId;
use tradewind_core::event::{EventKind, HaltChange};
use tradewind_core::halt::HaltOrigin;
use tradewind_core::time::Timestamp;
use tradewind_ledger::LedgerReader;

use super::config::Composed;
use super::crash::Suspects;
use super::inbox::Shared;
use super::lease::{Claim, LedgerAtStart, LedgerFacts, ledger_unknown_halt, verdict};
use super::report::{Figures, Report, WorkerInput, Writer};
use super::{outlook, start};
use crate::commands::{CommandError, control};
use crate::session::{self, Around, Doors, Running, SHOW_EVERY, Waited};
use crate::snapshot::Snapshot;

/// Bars go on at most this long without a look around: a halt that waits longer than this is late.
const BREATH: Duration = Duration::from_millis(2);

/// Whether the ledger is the account's, by what is on the Lease.
pub(crate) struct Trust {
    /// The ledger as it was opened.
    pub(crate) at_start: LedgerAtStart,
    /// The account it is opened for.
    pub(crate) account: tradewind_core::name::Uid,
    /// For whoever keeps the Lease.
    pub(crate) facts: watch::Sender<LedgerFacts>,
    /// What the Lease says.
    pub(crate) claim: watch::Receiver<Claim>,
}

pub(crate) struct Surroundings {
    pub(crate) inbox: Shared,
    pub(crate) doors: Doors,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) reports: watch::Sender<Option<Arc<Report>>>,
    /// Attempts to write a status that failed.
    pub(crate) status_failures: Arc<AtomicU64>,
    pub(crate) figures: Figures,
    pub(crate) trust: Trust,
    pub(crate) suspects: Suspects,
    pub(crate) data_dir: PathBuf,
    pub(crate) shown: Option<Instant>,
    pub(crate) looked: Instant,
    /// What was last logged and kept of the configuration.
    pub(crate) taken_over: Option<Composed>,
    /// How many strategies waited for their predecessor when last shown.
    pub(crate) heirs: usize,
    /// Why the ledger cannot be written any more.
    pub(crate) ledger_fault: Option<String>,
}

impl Around for Surroundings {
    fn is_idle(&mut self) -> bool {
        self.looked.elapsed() < BREATH
            && !*self.shutdown.borrow()
            && self.doors.is_idle()
            && self.inbox.0.borrow().is_empty()
    }

    async fn wait(&mut self, driver: &mut Running, pause: Duration) -> Result<Waited, CommandError> {
        self.look(driver).await?;
        let waited = tokio::select! {
            biased;
            _ = self.shutdown.wait_for(|stop| *stop) => return Ok(Waited::Stop),
            () = self.inbox.ready() => Waited::Early,
            Some(request) = self.doors.commands.recv() => {
                control::answer(driver, request).await?;
                Waited::Early
            }
            () = rest(pause.min(SHOW_EVERY)) => if pause <= SHOW_EVERY { Waited::Over } else { Waited::Early },
        };
        self.look(driver).await?;
        Ok(waited)
    }

    fn is_due(&self) -> bool {
        self.shown.is_none_or(|shown| shown.elapsed() >= SHOW_EVERY)
    }

    fn show(&mut self, driver: &Running) -> Result<bool, CommandError> {
        self.figures.observe(&driver.state);
        if self.is_due() {
            self.now(driver);
        }
        Ok(false)
    }
}

/// Lets other tasks run, for no longer than there is something to do when there is no pause.
async fn rest(pause: Duration) {
    if pause.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(pause).await;
    }
}

impl Surroundings {
    /// Takes in all that came, and tells those who keep the Lease.
    pub(crate) async fn look(&mut self, driver: &mut Running) -> Result<(), CommandError> {
        self.looked = Instant::now();
        if self.trust.claim.borrow().superseded {
            return Err(CommandError::Superseded);
        }
        self.judge(driver).await?;
        if driver.take_news().await? {
            self.take_over(driver);
        }
        self.pass_facts(driver).await
    }

    /// Compares the ledger with what was found on the Lease, once.
    pub(crate) async fn judge(&mut self, driver: &mut Running) -> Result<(), CommandError> {
        if self.inbox.0.borrow().judged {
            return Ok(());
        }
        let Some(found) = self.trust.claim.borrow().found.clone() else { return Ok(()) };
        let contains = match (&found, driver.ledger_mut()) {
            (super::lease::Found::Copy(copy), Some(ledger)) => ledger.contains(&copy.head).await?,
            _ => false,
        };
        match verdict(&found, self.trust.account, &self.trust.at_start, contains) {
            Ok(()) => {
                let at = &self.trust.at_start;
                tracing::info!(
                    epoch = at.identity.epoch.0,
                    rows = at.head.seq,
                    "the ledger is the account's own"
                );
            }
            Err(reason) => {
                let now = driver.now();
                let account = driver.state.account().name.clone();
                // The clock's, like that of any TradingHalt: the engine's has not begun on a new ledger.
                let since = Timestamp(jiff::Timestamp::now().as_millisecond());
                let halt = ledger_unknown_halt(&account, &reason, since);
                driver.handle(now, EventKind::HaltChange(HaltChange::Set(halt))).await?;
                driver.flush().await?;
            }
        }
        self.inbox.0.borrow_mut().judged = true;
        Ok(())
    }

    /// Tells the end of the ledger, and whether it may be copied onto the Lease.
    pub(crate) async fn pass_facts(&mut self, driver: &mut Running) -> Result<(), CommandError> {
        let unknown = ledger_unknown(driver);
        let trusted = self.inbox.0.borrow().judged && !unknown;
        let Some(ledger) = driver.ledger_mut() else { return Ok(()) };
        let head = ledger.head().await?;
        self.trust.facts.send_if_modified(|facts| {
            let changed = facts.head != head || facts.trusted != trusted;
            (facts.head, facts.trusted) = (head, trusted);
            changed
        });
        Ok(())
    }

    /// Whether the Lease has our ledger on it, or a person must say whether it is ours.
    pub(crate) fn knows_ledger(&self, driver: &Running) -> bool {
        let judged = self.inbox.0.borrow().judged;
        judged && (ledger_unknown(driver) || self.trust.claim.borrow().copied.is_some())
    }

    /// Takes up the figures of the last day from the ledger.
    pub(crate) async fn recall(&mut self, driver: &mut Running) -> Result<(), CommandError> {
        if let (state, Some(ledger)) = driver.state_and_ledger() {
            self.figures = Figures::recover(state, ledger).await?;
        }
        Ok(())
    }

    /// Logs and keeps what was taken over of the configuration.
    pub(crate) fn take_over(&mut self, driver: &Running) {
        let inbox = self.inbox.0.borrow();
        let Some(told) = inbox.desk.told() else { return };
        if self.taken_over.as_ref() == Some(told) {
            return;
        }
        log_changes(self.taken_over.as_ref(), told);
        let published = inbox.desk.published();
        start::save(published, &self.data_dir);
        self.taken_over = Some(told.clone());
        drop(inbox);
        self.suspect(driver);
    }

    /// Tells the hook of a panic who is who.
    fn suspect(&self, driver: &Running) {
        let inbox = self.inbox.0.borrow();
        let Some(told) = inbox.desk.told() else { return };
        let suspects = (0..u16::MAX).map_while(|id| {
            let (uid, name) = driver.state.strategy_name(StrategyId(id))?;
            let hash = told.entries.get(name).map(|entry| entry.hash.clone()).unwrap_or_default();
            Some((uid, SmolStr::from(name), hash))
        });
        if let Ok(mut known) = self.suspects.lock() {
            *known = suspects.collect();
        }
    }

    /// Closes what is open to people. What they see last is written when it went well, or the ledger's fault ended it.
    pub(crate) async fn farewell(mut self, driver: &Running, well: bool, writer: Writer) {
        if well || self.ledger_fault.is_some() {
            self.now(driver);
            writer.finish().await;
        }
        self.doors.close().await;
    }

    /// Shows the present state.
    pub(crate) fn now(&mut self, driver: &Running) {
        self.shown = Some(Instant::now());
        let heirs = driver.state.heirs();
        if self.heirs != heirs.len() {
            self.heirs = heirs.len();
            self.suspect(driver);
        }
        let mut snapshot = session::snapshot(driver);
        let inbox = self.inbox.0.borrow();
        if let Some(shown) = Arc::get_mut(&mut snapshot) {
            shown.totals.measures.halts = inbox.halts.clone();
            shown.totals.status_failures = Some(self.status_failures.load(Ordering::Relaxed));
        }
        let report = Report {
            snapshot: Arc::clone(&snapshot),
            figures: self.figures.now(&driver.state),
            published: driver.published().clone(),
            worker: WorkerInput {
                ledger_fault: self.ledger_fault.clone(),
                ..outlook::worker(&inbox.desk, driver.state.entry_block(), &heirs, &snapshot)
            },
            strategies: outlook::strategies(&inbox.desk, &snapshot),
        };
        self.snapshots.send_replace(snapshot);
        self.reports.send_replace(Some(Arc::new(report)));
    }
}

fn ledger_unknown(driver: &Running) -> bool {
    driver.state.halts().iter().any(|halt| halt.origin == HaltOrigin::LedgerUnknown)
}

/// One line for each strategy that came, changed or went.
fn log_changes(before: Option<&Composed>, told: &Composed) {
    for strategy in &told.config.strategies {
        let Some(entry) = told.entries.get(&strategy.name) else { continue };
        let known = before.and_then(|before| {
            let config = before.config.strategies.iter().find(|known| known.uid == strategy.uid)?;
            Some((config.desired_state, before.entries.get(&strategy.name)?))
        });
        let state = strategy.desired_state;
        let name = &strategy.name;
        let generation = entry.generation;
        match (&entry.unavailable, known) {
            (_, Some((before, same))) if before == state && same == entry => {}
            (Some(why), _) => {
                tracing::error!(strategy = %name, generation, why, "strategy does not run");
            }
            (None, _) => {
                tracing::info!(strategy = %name, generation, hash = entry.hash, ?state, "strategy taken over");
            }
        }
    }
    for (name, entry) in before.iter().flat_map(|before| &before.entries) {
        if told.entries.get(name).is_none_or(|now| now.uid != entry.uid) {
            tracing::info!(strategy = %name, "strategy taken out");
        }
    }
}
