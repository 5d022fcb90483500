//! The task that writes statuses: the newest report, one object after the other, what matters most first.
//!
//! Trading never waits for it: it is told the newest report and asks for nothing. Between two writes it looks whether
//! there is a newer report, so that a halt is acknowledged before old figures are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::de::DeserializeOwned;
use serde_json::Value;
use smol_str::SmolStr;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tradewind_core::name::Uid;
use tradewind_crds::exchange_account::AccountTrading;
use tradewind_crds::reasons::condition;
use tradewind_crds::trading_strategy::StrategyTrading;

use super::status::{Seen, Status, account_status, strategy_status};
use super::store::{Kind, Outcome, Store};
use super::throttle::{Due, Importance, Pace};
use super::{Report, StrategyInput};

/// How long the last writes may take when the worker ends.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// The worker's own condition types.
const OWN: [&str; 6] = [
    condition::DATA_FRESH,
    condition::POSITIONS_RECONCILED,
    condition::POSITIONS_PROTECTED,
    condition::SUPERVISED,
    condition::QUARANTINED,
    condition::SETTLED,
];

/// The account that is reported on.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name.
    pub name: SmolStr,
    /// Its uid.
    pub uid: Uid,
}

/// The running task. Dropped, it ends without a last write.
#[derive(Debug)]
pub struct Writer {
    finish: oneshot::Sender<()>,
    task: JoinHandle<()>,
    failures: Arc<AtomicU64>,
}

impl Writer {
    /// Writes the newest report from now on.
    pub fn start<S>(store: S, target: Target, reports: watch::Receiver<Option<Arc<Report>>>) -> Self
    where
        S: Store + Send + Sync + 'static,
    {
        let (finish, finished) = oneshot::channel();
        let failures = Arc::<AtomicU64>::default();
        let desk = Desk {
            store,
            target,
            clock: Timestamp::now,
            account: Slot::default(),
            strategies: BTreeMap::new(),
            failures: Arc::clone(&failures),
        };
        Self { finish, task: tokio::spawn(desk.run(reports, finished)), failures }
    }

    /// Counts the attempts to write that failed.
    pub fn failures(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.failures)
    }

    /// Writes what is left of the last report, for five seconds at most, and ends.
    pub async fn finish(self) {
        // A task that has ended has nothing left to write.
        let _ = self.finish.send(());
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the task that wrote statuses did not end well");
        }
    }
}

/// One object: what was written of it and when.
#[derive(Debug)]
struct Slot<T> {
    name: SmolStr,
    pace: Pace,
    seen: Seen,
    /// The status as it was last written, at first as it was found.
    before: Option<Status<T>>,
    loaded: bool,
    /// Whether there is no such object any more: a uid never comes back.
    gone: bool,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            name: SmolStr::default(),
            pace: Pace::default(),
            seen: Seen::default(),
            before: None,
            loaded: false,
            gone: false,
        }
    }
}

/// A write to be made.
#[derive(Debug)]
struct Planned {
    /// None is the account.
    strategy: Option<Uid>,
    status: Any,
    importance: Importance,
    /// Whether it was never written, or what matters at once has changed.
    urgent: bool,
    last: Option<Instant>,
}

#[derive(Debug)]
enum Any {
    Account(Box<Status<AccountTrading>>),
    Strategy(Box<Status<StrategyTrading>>),
}

struct Desk<S> {
    store: S,
    target: Target,
    clock: fn() -> Timestamp,
    account: Slot<AccountTrading>,
    strategies: BTreeMap<Uid, Slot<StrategyTrading>>,
    failures: Arc<AtomicU64>,
}

impl<S: Store> Desk<S> {
    async fn run(
        mut self,
        mut reports: watch::Receiver<Option<Arc<Report>>>,
        mut finished: oneshot::Receiver<()>,
    ) {
        loop {
            let report = reports.borrow_and_update().clone();
            let next = async {
                let wake = match &report {
                    Some(report) => self.pass(report, &reports).await,
                    None => None,
                };
                wait_for_news(&mut reports, wake).await;
            };
            // A write that is cut short here is made again by the last ones.
            tokio::select! {
                biased;
                finish = &mut finished => {
                    if finish.is_ok() {
                        self.end(&reports).await;
                    }
                    return;
                }
                () = next => {}
            }
        }
    }

    /// The last writes.
    async fn end(&mut self, reports: &watch::Receiver<Option<Arc<Report>>>) {
        let report = reports.borrow().clone();
        let Some(report) = report else { return };
        if tokio::time::timeout(FINISH_WITHIN, self.write_all(&report)).await.is_err() {
            tracing::warn!("the last status was not written in time");
        }
    }

    /// Writes what is due, until there is a newer report. Returns when the next write is due.
    async fn pass(
        &mut self,
        report: &Report,
        reports: &watch::Receiver<Option<Arc<Report>>>,
    ) -> Option<Instant> {
        self.take_in(report).await;
        let (planned, mut wake) = self.plan(report, Instant::now());
        for write in planned {
            if reports.has_changed().unwrap_or(false) {
                break;
            }
            if let Some(retry) = self.write(write).await {
                wake = Some(wake.map_or(retry, |wake| wake.min(retry)));
            }
        }
        wake
    }

    /// Writes whatever differs from what was written last.
    async fn write_all(&mut self, report: &Report) {
        self.take_in(report).await;
        let far = Instant::now() + Duration::from_hours(1);
        for write in self.plan(report, far).0 {
            self.write(write).await;
        }
    }

    /// Knows the objects of the report, reads those that are new and forgets those that are gone.
    async fn take_in(&mut self, report: &Report) {
        self.strategies.retain(|uid, _| report.strategies.iter().any(|input| input.uid == *uid));
        let now = Instant::now();
        if !self.account.loaded && self.account.pace.retry(now) == Due::Now {
            self.account.name = self.target.name.clone();
            load(&self.store, Kind::Account, self.target.uid, &mut self.account).await;
        }
        for StrategyInput { uid, name, .. } in &report.strategies {
            let slot = self.strategies.entry(*uid).or_default();
            if !slot.loaded && slot.pace.retry(now) == Due::Now {
                slot.name.clone_from(name);
                load(&self.store, Kind::Strategy, *uid, slot).await;
            }
        }
    }

    /// What is to be written now, what matters most and was written longest ago first; and when the next is due.
    fn plan(&mut self, report: &Report, now: Instant) -> (Vec<Planned>, Option<Instant>) {
        let (clock, mut planned, mut wake) = ((self.clock)(), Vec::new(), None::<Instant>);
        let mut add = |pace: &Pace, loaded: bool, strategy, status, importance: Importance| match if loaded {
            pace.due(&importance, now)
        } else {
            pace.retry(now)
        } {
            Due::Now if loaded => {
                let (urgent, last) = (pace.is_urgent(&importance), pace.last());
                planned.push(Planned { strategy, status, importance, urgent, last });
            }
            Due::Now => wake = Some(now),
            Due::At(at) => wake = Some(wake.map_or(at, |wake| wake.min(at))),
            Due::Never => {}
        };
        for input in &report.strategies {
            let Some(slot) = self.strategies.get_mut(&input.uid).filter(|slot| !slot.gone) else { continue };
            let before = slot.before.as_ref();
            let trading = before.and_then(|status| status.trading.as_ref());
            slot.seen.observe(&report.snapshot, &input.name, trading, clock);
            let status = strategy_status(report, input, &slot.seen, before, clock);
            let importance = Importance::of(&status, trades(report, Some(input)));
            add(&slot.pace, slot.loaded, Some(input.uid), Any::Strategy(Box::new(status)), importance);
        }
        if self.account.gone {
            return (planned, wake);
        }
        let status = account_status(report, self.account.before.as_ref(), clock);
        let importance = Importance::of(&status, trades(report, None));
        add(&self.account.pace, self.account.loaded, None, Any::Account(Box::new(status)), importance);
        planned.sort_by_key(|write| (!write.urgent, write.last));
        (planned, wake)
    }

    /// Writes one. Returns when it is tried again, if it failed.
    async fn write(&mut self, write: Planned) -> Option<Instant> {
        let Planned { strategy, status, importance, .. } = write;
        let written = match (strategy, status) {
            (None, Any::Account(status)) => {
                send(&self.store, Kind::Account, self.target.uid, &mut self.account, *status, importance)
                    .await
            }
            (Some(uid), Any::Strategy(status)) => {
                let slot = self.strategies.get_mut(&uid)?;
                send(&self.store, Kind::Strategy, uid, slot, *status, importance).await
            }
            _ => Ok(()),
        };
        let Err(retry) = written else { return None };
        self.failures.fetch_add(1, Ordering::Relaxed);
        match retry {
            Due::At(at) => Some(at),
            Due::Now | Due::Never => None,
        }
    }
}

/// Waits for a newer report, or until it is time to write; for ever when neither will come.
async fn wait_for_news(reports: &mut watch::Receiver<Option<Arc<Report>>>, wake: Option<Instant>) {
    let due = async {
        match wake {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let changed = async {
        if reports.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = changed => {}
        () = due => {}
    }
}

/// What is traded: it is news when it changes.
fn trades(report: &Report, strategy: Option<&StrategyInput>) -> Value {
    let snapshot = &report.snapshot;
    let fills = match strategy {
        None => snapshot.totals.fills,
        Some(input) => snapshot.totals.strategies.get(&input.name).map_or(0, |own| own.fills),
    };
    let own = snapshot
        .open_orders
        .iter()
        .filter(|order| strategy.is_none_or(|input| order.intent.strategy == input.uid));
    let orders: Vec<_> = own.map(|order| (order.intent.id, order.state.to_string())).collect();
    serde_json::json!([fills, orders])
}

/// Reads what the worker before has written, so that what still holds is not written again.
async fn load<S: Store, T: DeserializeOwned>(store: &S, kind: Kind, uid: Uid, slot: &mut Slot<T>) {
    let now = Instant::now();
    match store.read(kind, &slot.name, uid).await {
        Ok(status) => {
            slot.loaded = true;
            slot.pace = Pace::default();
            slot.gone = status.is_none();
            slot.before = status.as_ref().map(own_part);
        }
        Err(error) => {
            if slot.pace.failed(now) {
                tracing::warn!(object = %slot.name, %error, "status not read");
            }
        }
    }
}

/// The worker's part of a status; what cannot be read is written anew.
fn own_part<T: DeserializeOwned>(status: &Value) -> Status<T> {
    let part = |key: &str| status.get(key).cloned().unwrap_or_default();
    let mut conditions: Vec<Condition> = serde_json::from_value(part("conditions")).unwrap_or_default();
    conditions.retain(|condition| OWN.contains(&condition.type_.as_str()));
    Status {
        applied: serde_json::from_value(part("applied")).unwrap_or_default(),
        trading: serde_json::from_value(part("trading")).unwrap_or_default(),
        conditions,
    }
}

/// Writes a status. The error is when it is tried again.
async fn send<S: Store, T: serde::Serialize>(
    store: &S,
    kind: Kind,
    uid: Uid,
    slot: &mut Slot<T>,
    status: Status<T>,
    importance: Importance,
) -> Result<(), Due> {
    let body = serde_json::to_value(&status).unwrap_or_default();
    let outcome = store.write(kind, &slot.name, uid, &body).await;
    let now = Instant::now();
    match outcome {
        Ok(outcome) => {
            slot.gone = outcome == Outcome::Gone;
            slot.pace.done(importance, now);
            slot.before = Some(status);
            Ok(())
        }
        Err(error) => {
            if slot.pace.failed(now) {
                tracing::warn!(object = %slot.name, %error, "status not written");
            }
            Err(slot.pace.retry(now))
        }
    }
}
