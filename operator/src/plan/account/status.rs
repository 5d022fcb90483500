//! The account's status and events, from what was observed and the verdict on it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::ResourceExt;
use tradewind_crds::exchange_account::{ExchangeAccountStatus, GrantStatus, Venue, WorkerStatus};
use tradewind_crds::objects::Key;
use tradewind_crds::reasons::Reason;
use tradewind_crds::reasons::condition::{HALTED, READY, RECONCILING, STALLED};

use super::Observed;
use super::config::Publication;
use super::health::Verdict;
use crate::events::{Notice, reference_to};
use crate::plan::conditions::{Conditions, Status, get};
use crate::plan::sources::Sources;
use crate::stores::PodView;

/// The grants the status records.
pub(super) fn recorded_grants(observed: &Observed) -> Vec<GrantStatus> {
    observed.account.status.as_ref().map(|status| status.grants.clone()).unwrap_or_default()
}

/// The status: all of it that the operator owns, and nothing of the worker's.
pub(super) fn status(
    observed: &Observed,
    publication: &Publication,
    verdict: &Verdict,
    now: Timestamp,
) -> ExchangeAccountStatus {
    let account = &observed.account;
    let halt = Sources::of_account(&observed.objects, account).status();
    let venue = match &account.spec.venue {
        Venue::Paper(_) => "Paper",
        Venue::BinanceUs(_) => "BinanceUs",
    };
    let said = ExchangeAccountStatus {
        observed_generation: account.metadata.generation,
        venue: Some(venue.to_owned()),
        strategies: Some(running(observed, publication)),
        halt: halt.active.then_some(halt),
        grants: publication.grant_status(),
        worker: observed.pod.as_ref().map(worker),
        ..ExchangeAccountStatus::default()
    };
    restated(observed, &said, verdict, now)
}

/// The same status with another verdict.
pub(super) fn restated(
    observed: &Observed,
    status: &ExchangeAccountStatus,
    verdict: &Verdict,
    now: Timestamp,
) -> ExchangeAccountStatus {
    let before = observed.account.status.as_ref().map(|status| status.conditions.as_slice());
    let generation = observed.account.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::new(before.unwrap_or_default(), generation, now);
    conditions.set(READY, verdict.ready, verdict.reason, verdict.message.as_str());
    let progressing = verdict.ready != Status::True && !verdict.stalled;
    if progressing {
        conditions.set(RECONCILING, true, verdict.reason, verdict.message.as_str());
    } else {
        conditions.set(RECONCILING, false, Reason::UpToDate, "nothing is being brought about");
    }
    if verdict.stalled {
        conditions.set(STALLED, true, verdict.reason, verdict.message.as_str());
    } else {
        conditions.set(STALLED, false, Reason::NotStalled, "nothing waits for a person");
    }
    let halts = Sources::of_account(&observed.objects, &observed.account);
    conditions.set(HALTED, halts.any(), halts.reason(), halts.message());
    ExchangeAccountStatus { phase: Some(verdict.phase), conditions: conditions.finish(), ..status.clone() }
}

/// What is told when the verdict is another than the last.
pub(super) fn notices(observed: &Observed, verdict: &Verdict) -> Vec<Notice> {
    let conditions = observed.account.status.as_ref().map(|status| status.conditions.as_slice());
    let before = get(conditions.unwrap_or_default(), READY);
    let same = before.is_some_and(|before| {
        before.reason == verdict.reason.as_str() && before.status == verdict.ready.as_str()
    });
    if same {
        return Vec::new();
    }
    let calm = matches!(
        verdict.reason,
        Reason::WorkerStarting | Reason::WorkerReplacing | Reason::InUse | Reason::Deleting
    );
    let note = verdict.message.as_str();
    let notice = if verdict.ready == Status::True || calm {
        Notice::normal(verdict.reason, "Reconcile", note)
    } else {
        Notice::warning(verdict.reason, "Reconcile", note)
    };
    let related = observed.pod.as_ref().filter(|_| verdict.reason == Reason::WorkerReplacing).map(of_pod);
    vec![Notice { related, ..notice }]
}

/// A pod as an event names it.
pub(super) fn of_pod(pod: &PodView) -> ObjectReference {
    reference_to::<Pod>(&Key::new(&pod.namespace, &pod.name), &pod.uid)
}

/// Strategies whose published configuration the worker has in force, of all that name the account.
fn running(observed: &Observed, publication: &Publication) -> String {
    let key = Key::of(&observed.account);
    let ready = observed.pod.as_ref().is_some_and(|pod| pod.ready);
    let (mut running, mut all) = (0_usize, 0_usize);
    for strategy in observed.objects.strategies_of(&key) {
        all += 1;
        let applied = strategy.status.as_ref().and_then(|status| status.applied.as_ref());
        let published = publication.hashes.get(&strategy.name_any());
        let in_force = applied.zip(published).is_some_and(|(applied, hash)| applied.hash == *hash);
        running += usize::from(ready && in_force);
    }
    format!("{running}/{all}")
}

fn worker(pod: &PodView) -> WorkerStatus {
    WorkerStatus {
        pod: pod.name.clone(),
        node: pod.node.clone(),
        ready: pod.ready,
        restarts: pod.restarts,
        image: pod.image.clone().unwrap_or_default(),
    }
}
