//! TradingStrategy: from what was observed to its status, its finalizer, the halts it resumes and what to tell.
//!
//! Pure. The strategy itself is published by its account's pass; here it is only said how it stands. A strategy is ready
//! when the worker says that it runs what the spec says; one that is halted on purpose is ready too.

mod settle;
mod standing;

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::reach;
use tradewind_crds::reasons::{Reason, condition};
use tradewind_crds::trading_strategy::{TradingStrategy, TradingStrategyStatus};

pub use settle::{Settle, WorkerSeen};
pub use standing::{Found, Granted, Standing, phase};

use super::account::Finalizer;
use super::conditions::{Conditions, Status, get, is};
use super::sources::{MOST_LISTED, SPEC_HALTED, Source, Sources};
use crate::events::{Notice, reference};
use crate::report::OwnStatus;

/// How often a strategy that is being deleted is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What was observed of a strategy.
pub struct Observed<'a> {
    /// The strategy.
    pub object: &'a TradingStrategy,
    /// At least the strategy, its account, both policies, and the halts that can reach its namespace.
    pub objects: &'a Objects,
    /// All strategies of the account, and what its namespace has: asked for only when a grant or a reference is missing.
    pub everything: &'a dyn Fn() -> Objects,
    /// What is there of its worker.
    pub worker: WorkerSeen,
}

impl Observed<'_> {
    /// The account the strategy names.
    pub fn account_key(&self) -> Key {
        Key::new(Key::of(self.object).namespace, &self.object.spec.exchange_account_ref.name.0)
    }
}

/// What one pass does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The operator's part of the status.
    pub status: TradingStrategyStatus,
    /// The finalizer.
    pub finalizer: Finalizer,
    /// Halts that the strategy asks to resume: key and uid.
    pub resume: Vec<(Key, String)>,
    /// Whether `spec.halted` is true and no latch is known: one is made after a look that misses nothing.
    pub relatch: bool,
    /// What to tell.
    pub notices: Vec<Notice>,
    /// After how long it is looked at again if nothing happens.
    pub requeue: Option<Duration>,
}

impl OwnStatus for TradingStrategyStatus {
    type Object = TradingStrategy;
    const FIELDS: &'static [&'static str] = &["observedGeneration", "phase", "halt"];
    const CONDITIONS: &'static [&'static str] = &[
        condition::READY,
        condition::RECONCILING,
        condition::STALLED,
        condition::GRANTED,
        condition::HALTED,
    ];
}

/// Plans one pass.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let object = observed.object;
    let sources = Sources::of_strategy(observed.objects, object);
    let found = standing::find(observed);
    let deleting = object.metadata.deletion_timestamp.is_some();
    let has_finalizer = object.finalizers().iter().any(|name| name == names::FINALIZER);
    let settle = deleting.then(|| {
        let granted = match &found.granted {
            Granted::All(_) => true,
            Granted::Refused(_, own) | Granted::Undecided(own) | Granted::Unknown(own) => own.is_some(),
        };
        settle::settle(object, standing::is_settled(object), granted, observed.worker, now)
    });
    let (finalizer, requeue) = match &settle {
        None if has_finalizer => (Finalizer::Leave, None),
        None => (Finalizer::Add, None),
        // Its worker may vanish while it waits.
        Some(Settle::Wait(left, _)) => (Finalizer::Leave, has_finalizer.then_some((*left).min(LOOK_AGAIN))),
        Some(Settle::Release(..)) if has_finalizer => (Finalizer::Remove, None),
        Some(Settle::Release(..)) => (Finalizer::Leave, None),
    };
    let status = status(object, &found, &sources, settle.as_ref(), now);
    let mut notices = changes(object, &status, &sources, observed.objects);
    if let (Finalizer::Remove, Some(Settle::Release(Reason::ReleasedUnsettled, why))) = (finalizer, &settle) {
        notices.push(Notice::warning(Reason::ReleasedUnsettled, "Delete", why));
    }
    let halts = observed.objects.halts.iter();
    let resumed = halts.filter(|halt| reach::is_resumed(halt, object));
    Plan {
        finalizer,
        resume: resumed.map(|halt| (Key::of(halt), halt.uid().unwrap_or_default())).collect(),
        relatch: sources.0.iter().any(|source| source.listed.name == SPEC_HALTED),
        notices,
        requeue,
        status,
    }
}

fn status(
    object: &TradingStrategy,
    found: &Found,
    sources: &Sources,
    settle: Option<&Settle>,
    now: Timestamp,
) -> TradingStrategyStatus {
    let standing = &found.standing;
    let generation = object.metadata.generation.unwrap_or_default();
    let before = object.status.as_ref();
    let ran = before.is_some_and(|status| status.applied.is_some());
    let phase = phase(standing, ran, sources.cover(object), object.spec.desired_state);
    let deleting = match settle {
        Some(Settle::Wait(_, text) | Settle::Release(_, text)) => text.as_str(),
        None => "",
    };
    let (reason, message) = standing.reason(phase, deleting);
    let mut conditions =
        Conditions::new(before.map(|s| s.conditions.as_slice()).unwrap_or_default(), generation, now);
    conditions.set(condition::READY, standing.runs(), reason, message.clone());
    if standing.is_progressing() {
        let why = if reason == Reason::Deleting { reason } else { Reason::Progressing };
        conditions.set(condition::RECONCILING, true, why, message.clone());
    } else {
        conditions.set(condition::RECONCILING, false, Reason::UpToDate, "nothing is being brought about");
    }
    if standing.is_stalled() {
        conditions.set(condition::STALLED, true, reason, message);
    } else {
        conditions.set(condition::STALLED, false, Reason::NotStalled, "nothing stands in the way");
    }
    let (granted, reason, message) = standing::granted_condition(&found.granted);
    conditions.set(condition::GRANTED, granted, reason, message);
    conditions.set(condition::HALTED, sources.any(), sources.reason(), halted_message(object, sources));
    TradingStrategyStatus {
        observed_generation: Some(generation),
        phase: Some(phase),
        conditions: conditions.finish(),
        halt: Some(sources.status()),
        ..TradingStrategyStatus::default()
    }
}

/// Which halts hold, the commands that resume them, and whether the worker has yet to confirm one.
fn halted_message(object: &TradingStrategy, sources: &Sources) -> String {
    let applied = object.status.as_ref().and_then(|status| status.applied.as_ref());
    // A list that is full says nothing of those it has no room for.
    let waiting = applied
        .filter(|applied| applied.halts.len() < MOST_LISTED)
        .is_some_and(|applied| sources.uids().any(|uid| applied.halts.iter().all(|own| own.0 != uid)));
    let text = sources.message();
    if waiting { format!("{text}; the worker has not confirmed it yet") } else { text }
}

/// What changed since the last pass and is worth an event.
fn changes(
    object: &TradingStrategy,
    status: &TradingStrategyStatus,
    sources: &Sources,
    objects: &Objects,
) -> Vec<Notice> {
    let before = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let (old, new) = (get(before, condition::READY), get(&status.conditions, condition::READY));
    let mut notices = Vec::new();
    if let Some(new) = new
        && old.is_none_or(|old| old.reason != new.reason)
    {
        let reason = new.reason.parse().unwrap_or(Reason::Progressing);
        let ready = new.status == Status::True.as_str();
        let came = old.is_some_and(|old| old.reason == Reason::WorkerStarting.as_str());
        if ready && came {
            // One text for all generations: of a series of events only the first one's is kept.
            let text = "the worker has taken over the spec as it is now";
            notices.push(Notice::normal(Reason::ConfigApplied, "Publish", text));
        } else if !ready && !is(&status.conditions, condition::RECONCILING, Status::True) {
            notices.push(Notice::warning(reason, "Resolve", &new.message));
        }
    }
    notices.extend(halt_changes(object, sources, objects));
    notices
}

/// Halts that came, and that none holds any more.
fn halt_changes(object: &TradingStrategy, sources: &Sources, objects: &Objects) -> Vec<Notice> {
    let before = object.status.as_ref().and_then(|status| status.halt.as_ref());
    let latch = names::latch(&object.name_any());
    // `spec.halted` and its latch are one halt.
    let same =
        |a: &str, b: &str| a == b || (a == SPEC_HALTED && b == latch) || (a == latch && b == SPEC_HALTED);
    let known = |name: &str| before.is_some_and(|halt| halt.sources.iter().any(|old| same(&old.name, name)));
    // The field is told with its latch, by who made that.
    let field = |name: &str| name == SPEC_HALTED || (name == latch && object.spec.halted == Some(true));
    let new = |source: &&Source| !known(&source.listed.name) && !field(&source.listed.name);
    let come = sources.0.iter().filter(new).map(|source| {
        let one = Sources(vec![source.clone()]);
        let notice = Notice::warning(Reason::Halted, "Halt", one.message());
        let uid = source.listed.uid.as_ref().map(|uid| uid.0.as_str());
        match objects.halts.iter().find(|halt| uid.is_some() && halt.metadata.uid.as_deref() == uid) {
            Some(halt) => notice.related(reference(halt)),
            None => notice,
        }
    });
    let mut notices: Vec<Notice> = come.collect();
    if before.is_some_and(|halt| halt.active) && !sources.any() {
        notices.push(Notice::normal(Reason::NotHalted, "Resume", "no halt holds any more"));
    }
    notices
}

#[cfg(test)]
#[path = "strategy/situations.rs"]
mod situations;
#[cfg(test)]
#[path = "strategy/tests.rs"]
mod tests;
