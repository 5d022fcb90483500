//! `spec.halted` to a TradingHalt, on the raw watch event; and halts resumed by name.
//!
//! Works on every replica, leader or not: what is written is idempotent, so that two do no harm and none misses. The
//! acts of one strategy are carried out one after the other, in the order of their events: a halt set again right after
//! a resumption finds the old latch gone. A latch is tried until it is there; nothing here waits in a watch.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use tradewind_crds::latch::TakenBack;
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Kind, ObjectId};
use tradewind_crds::reach;
use tradewind_crds::reasons::Reason;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

use crate::context::Context;
use crate::error::Error;
use crate::events::{Notice, reference, reference_to};
use crate::plan::latch::{Act, decide};
use crate::plan::sources::{delete_command, resume_command};
use crate::stores::lean::lean;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first pause before a latch is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often anything but a latch is tried: the pass over the strategy does it later.
const TRIES: u32 = 5;

/// What the latch remembers between events: the acts under way, by strategy.
#[derive(Debug, Default)]
pub struct Memory {
    waiting: Mutex<BTreeMap<Key, VecDeque<Job>>>,
}

/// An act, and the strategy as it was then.
#[derive(Debug)]
struct Job {
    strategy: TradingStrategy,
    act: Act,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, VecDeque<Job>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job behind the others of its strategy; true when there was none, so that somebody must begin.
    fn push(&self, key: &Key, job: Job) -> bool {
        let mut waiting = self.lock();
        let begins = !waiting.contains_key(key);
        waiting.entry(key.clone()).or_default().push_back(job);
        begins
    }

    /// Whether something is under way for a strategy.
    pub fn is_at(&self, key: &Key) -> bool {
        self.lock().contains_key(key)
    }

    /// The next job of a strategy; when there is none, the strategy is forgotten.
    fn next(&self, key: &Key) -> Option<Job> {
        let mut waiting = self.lock();
        let job = waiting.get_mut(key).and_then(VecDeque::pop_front);
        if job.is_none() {
            waiting.remove(key);
        }
        job
    }
}

/// Called with each state of each strategy that the watch delivers, before the stores have it and also with those that
/// are overwritten a moment later; `before` is what the stores had. On every replica, leader or not. `now` still has
/// its managedFields. Must not wait: what takes time is spawned.
pub fn on_strategy(ctx: &Arc<Context>, before: Option<&TradingStrategy>, now: &TradingStrategy) {
    let Some(act) = decide(before, now) else { return };
    let key = Key::of(now);
    let mut strategy = now.clone();
    lean(&mut strategy);
    if ctx.latch.push(&key, Job { strategy, act }) {
        tokio::spawn(work(Arc::clone(ctx), key));
    }
}

/// Carries out the jobs of one strategy until there are none.
async fn work(ctx: Arc<Context>, key: Key) {
    while let Some(job) = ctx.latch.next(&key) {
        let mut pause = FIRST_PAUSE;
        let mut tries = 0_u32;
        while let Err(error) = carry_out(&ctx, &job, tries > 0).await {
            tries = tries.saturating_add(1);
            let latches = matches!(job.act, Act::Latch { .. });
            if !latches && tries >= TRIES {
                tracing::warn!(strategy = %key, %error, "left to the next pass over the strategy");
                ctx.look_at(&ObjectId::new(Kind::TradingStrategy, key.clone()));
                break;
            }
            tracing::warn!(strategy = %key, %error, latches, "tried again in {pause:?}");
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
}

/// One try. `again` says that an earlier one failed, whose answer may have been lost.
async fn carry_out(ctx: &Context, job: &Job, again: bool) -> Result<(), Error> {
    let Job { strategy, act } = job;
    match act {
        Act::Latch { latch, became } => {
            let made = create(ctx, strategy, latch).await?;
            // Made by the worker a moment before, or by a try whose answer was lost: told all the same.
            let untold = (made == Made::ByWorker && *became) || (made == Made::There && again);
            if untold && ctx.claim.leads() {
                told(ctx, strategy, latch, None).await;
            }
            Ok(())
        }
        Act::Revert { by, resume } => revert(ctx, strategy, by.as_ref(), resume.as_deref()).await,
        Act::Resume { uid, by, halted } => resume(ctx, strategy, uid, by, *halted).await,
    }
}

/// What came of making a latch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    New,
    /// It was there: made by us before.
    There,
    /// It was there: made by the worker.
    ByWorker,
    /// Its name is taken by a halt that does not halt the strategy as the field does.
    Taken,
    /// The namespace is being deleted, and takes nothing new.
    NamespaceGoing,
}

/// Makes the latch of a strategy, unless it is there.
pub async fn create(ctx: &Context, strategy: &TradingStrategy, latch: &TradingHalt) -> Result<Made, Error> {
    let key = Key::of(latch);
    let what = || format!("TradingHalt {key}");
    let api: Api<TradingHalt> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let params =
        PostParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PostParams::default() };
    match within(api.create(&params, latch)).await? {
        Ok(made) => {
            tracing::info!(halt = %key, reason = made.spec.reason, "spec.halted is latched");
            told(ctx, strategy, &made, made.uid()).await;
            Ok(Made::New)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let found = within(api.get_opt(&key.name)).await?.map_err(Error::api("get", what()))?;
            standing_in(ctx, strategy, found, &key).await
        }
        Err(kube::Error::Api(status)) if going(&status) => Ok(Made::NamespaceGoing),
        Err(error) => Err(Error::api("create", what())(error)),
    }
}

/// Tells that a strategy was latched.
async fn told(ctx: &Context, strategy: &TradingStrategy, latch: &TradingHalt, uid: Option<String>) {
    let resume = match uid {
        Some(uid) => format!("resume with: {}", resume_command(&Key::of(strategy), &uid)),
        None => "its condition Halted has the command that resumes it".to_owned(),
    };
    let note = format!("{}; it stays halted when the field goes away; {resume}", latch.spec.reason);
    let notice = Notice::warning(Reason::HaltLatched, "Latch", note).related(reference(latch));
    ctx.events.publish(&reference(strategy), notice).await;
}

/// Whether the halt that has the latch's name does what the latch would.
async fn standing_in(
    ctx: &Context,
    strategy: &TradingStrategy,
    found: Option<TradingHalt>,
    key: &Key,
) -> Result<Made, Error> {
    match found {
        // Gone, or about to: the latch is tried again and made anew.
        None => Err(Error::Going(format!("TradingHalt {key}"))),
        Some(found) if found.metadata.deletion_timestamp.is_some() => {
            Err(Error::Going(format!("TradingHalt {key}")))
        }
        Some(found) if reach::is_spent(&found, strategy) => {
            delete(ctx, key, &found.uid().unwrap_or_default()).await?;
            Err(Error::Going(format!("TradingHalt {key}")))
        }
        Some(found) if reach::is_latch(&found, strategy) => {
            let by = |manager: &str| {
                found.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some(manager))
            };
            Ok(if by(names::WORKER_MANAGER) { Made::ByWorker } else { Made::There })
        }
        Some(found) => {
            let note = format!(
                "{key} has the latch's name and does not halt all of the strategy, so that spec.halted holds only while \
                 it is true; delete it: {}",
                delete_command(key)
            );
            let notice = Notice::warning(Reason::ForeignObject, "Latch", note).related(reference(&found));
            ctx.events.publish(&reference(strategy), notice).await;
            Ok(Made::Taken)
        }
    }
}

/// Whether the namespace is being deleted, or gone.
fn going(status: &kube::core::Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.is_not_found() || causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Deletes the halt of that uid; false when it was gone, or another has its name.
pub async fn delete(ctx: &Context, key: &Key, uid: &str) -> Result<bool, Error> {
    let api: Api<TradingHalt> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match within(api.delete(&key.name, &params)).await? {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(error) => Err(Error::api("delete", format!("TradingHalt {key}"))(error)),
    }
}

/// Deletes a halt that the strategy asks to resume, and tells it.
pub async fn clear(
    ctx: &Context,
    strategy: &TradingStrategy,
    halt: &Key,
    uid: &str,
    by: &str,
) -> Result<(), Error> {
    if delete(ctx, halt, uid).await? {
        tracing::info!(strategy = %Key::of(strategy), halt = %halt, by, "a halt was resumed by name");
        resumed(ctx, strategy, halt, uid, by).await;
    }
    Ok(())
}

/// Tells that a halt was resumed by name.
async fn resumed(ctx: &Context, strategy: &TradingStrategy, halt: &Key, uid: &str, by: &str) {
    let whom = if by.is_empty() { String::new() } else { format!(" by {by}") };
    let note = format!("{} was resumed{whom} through spec.resume", halt.name);
    let notice =
        Notice::normal(Reason::Resumed, "Resume", note).related(reference_to::<TradingHalt>(halt, uid));
    ctx.events.publish(&reference(strategy), notice).await;
}

/// Tells that a revert changed nothing, if there is a latch that it left.
async fn revert(
    ctx: &Context,
    strategy: &TradingStrategy,
    by: Option<&TakenBack>,
    resume: Option<&str>,
) -> Result<(), Error> {
    let key = Key::of(strategy);
    let api: Api<TradingHalt> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let name = names::latch(&key.name);
    let found = within(api.get_opt(&name)).await?;
    let found = found.map_err(Error::api("get", format!("TradingHalt {}/{name}", key.namespace)))?;
    let Some(latch) = found.filter(|latch| latch.metadata.uid.as_deref() != resume) else { return Ok(()) };
    if ctx.claim.leads() {
        // Whoever wrote last is the one only if that was not before there was anything to take back.
        let latched = latch.creation_timestamp();
        let able = |by: &&TakenBack| by.wrote.as_ref().is_none_or(|wrote| Some(wrote) >= latched.as_ref());
        let whom = by.filter(able).map_or("somebody", |taken| taken.by.as_str());
        let command = resume_command(&key, &latch.uid().unwrap_or_default());
        let note = format!("{whom} took spec.halted back; the strategy stays halted; resume with: {command}");
        let notice = Notice::warning(Reason::RevertIgnored, "Latch", note).related(reference(&latch));
        ctx.events.publish(&reference(strategy), notice).await;
    }
    Ok(())
}

/// Resumes the halt that is named, or tells why not.
async fn resume(
    ctx: &Context,
    strategy: &TradingStrategy,
    uid: &str,
    by: &str,
    halted: bool,
) -> Result<(), Error> {
    let key = Key::of(strategy);
    let api: Api<TradingHalt> = Api::namespaced(ctx.client.clone(), &key.namespace);
    // A list that misses nothing: the stores may not have a halt that the worker has just made.
    let listed = within(api.list(&ListParams::default())).await?;
    let halts = listed.map_err(Error::api("list", format!("TradingHalts of {}", key.namespace)))?.items;
    let named = halts.iter().find(|halt| halt.metadata.uid.as_deref() == Some(uid));
    let why = match named {
        Some(halt) if reach::is_own(halt, strategy) && !halted => {
            return clear(ctx, strategy, &Key::of(halt), uid, by).await;
        }
        Some(halt) if halted && reach::is_spent(halt, strategy) => {
            "spec.halted is true, so that its latch is made anew; take it back together with the uid that the condition \
             Halted names then"
                .to_owned()
        }
        Some(halt) if reach::is_own(halt, strategy) => {
            "spec.halted is true; take it back in the same patch: ".to_owned() + &resume_command(&key, uid)
        }
        Some(halt) => {
            let command = delete_command(&Key::of(halt));
            format!("the target of {} is not this strategy alone; resume with: {command}", halt.name_any())
        }
        None if halted => "spec.halted is true, and no halt of this uid holds".to_owned(),
        None => {
            // It held a moment ago: the worker was faster.
            if let Some(name) = listed_before(strategy, uid).filter(|_| ctx.claim.leads()) {
                resumed(ctx, strategy, &Key::new(&key.namespace, name), uid, by).await;
                return Ok(());
            }
            "no halt of this uid holds; it was resumed before, or never was".to_owned()
        }
    };
    if ctx.claim.leads() {
        let note = format!("spec.resume names {uid}: {why}");
        let notice = Notice::warning(Reason::ResumeIgnored, "Resume", note);
        let notice = match named {
            Some(halt) => notice.related(reference(halt)),
            None => notice,
        };
        ctx.events.publish(&reference(strategy), notice).await;
    }
    Ok(())
}

/// The name under which the strategy's status lists that halt.
fn listed_before<'a>(strategy: &'a TradingStrategy, uid: &str) -> Option<&'a str> {
    let halt = strategy.status.as_ref()?.halt.as_ref()?;
    let listed = halt.sources.iter().find(|source| source.uid.as_ref().is_some_and(|own| own.0 == uid))?;
    Some(listed.name.as_str())
}

/// A request within its time.
async fn within<T>(request: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, request).await.map_err(|_| Error::TimedOut(PATIENCE))
}

#[cfg(test)]
#[path = "latch_tests.rs"]
mod tests;
