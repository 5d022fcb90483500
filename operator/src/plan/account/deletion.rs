//! How an account goes: it waits for its strategies, then its worker ends, then the rest is removed. The ledger stays.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tradewind_crds::names;
use tradewind_crds::objects::Key;
use tradewind_crds::reasons::Reason;
use tradewind_crds::trading_strategy::Phase;

use super::config::Publication;
use super::health::Verdict;
use super::{Doomed, Finalizer, Observed, Plan, child_ids, is_ours, status};
use crate::events::Notice;
use crate::plan::children::ChildId;
use crate::settings::Settings;
use crate::stores::ChildKind;

/// How long the end of the pod is waited for after its grace period, since a node that is lost may never confirm it; and
/// that of the StatefulSet, which a finalizer of somebody else may keep for ever.
const TIME_BOX: Duration = Duration::from_mins(5);
/// When to look again while the pod ends.
const AGAIN: Duration = Duration::from_secs(10);

/// How far the deletion of an account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// These strategies still name it.
    InUse(Vec<String>),
    /// Its worker is being ended.
    Ending,
    /// Its worker has ended; the rest is removed.
    Ended,
    /// Its worker was not seen to end in time, or somebody let it go; the rest is removed all the same.
    Released(String),
}

/// How far the deletion is; none while the account is not being deleted.
pub fn stage(observed: &Observed, now: Timestamp) -> Option<Stage> {
    observed.account.metadata.deletion_timestamp.as_ref()?;
    if observed.account.annotations().get(names::LET_GO).is_some_and(|value| value == "true") {
        return Some(Stage::Released("it was let go by annotation".to_owned()));
    }
    let key = Key::of(&observed.account);
    let named: Vec<_> = observed.objects.strategies_of(&key).map(ResourceExt::name_any).collect();
    if !named.is_empty() {
        return Some(Stage::InUse(named));
    }
    let late = |ends: Timestamp| now.duration_since(ends).unsigned_abs() >= TIME_BOX && now > ends;
    if let Some(pod) = &observed.pod {
        return Some(if observed.pod_ends.is_some_and(late) {
            Stage::Released(format!("its pod {} was not seen to end in time", pod.name))
        } else {
            Stage::Ending
        });
    }
    let worker = ChildId::new(ChildKind::StatefulSet, &key.namespace, names::stateful_set(&key.name));
    Some(match observed.children.get(&worker).filter(|child| is_ours(child, &key)) {
        None => Stage::Ended,
        Some(child) if child.deleted.is_some_and(late) => {
            Stage::Released(format!("its {worker} was not seen to go away in time"))
        }
        Some(_) => Stage::Ending,
    })
}

/// What an account that others name says.
pub fn in_use(by: &[String]) -> String {
    const MOST: usize = 12;
    let shown = by.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = by.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("it is being deleted and waits for the strategies that name it: {shown}{more}; delete them first")
}

/// The plan for one stage.
pub(super) fn plan(
    observed: &Observed,
    settings: &Settings,
    publication: &Publication,
    stage: &Stage,
    now: Timestamp,
) -> Plan {
    let key = Key::of(&observed.account);
    let worker = observed.pod.as_ref().map(|pod| pod.uid.clone());
    let all = doomed(observed, settings, &key);
    let ending = matches!(stage, Stage::Ending | Stage::InUse(_));
    let deletes = if ending {
        all.into_iter().filter(|doomed| doomed.id.kind == ChildKind::StatefulSet).collect()
    } else {
        all
    };
    let message = if ending { "its worker is being ended" } else { "what belongs to it is removed" };
    let verdict = Verdict::waiting(Reason::Deleting, Phase::Stopping, message);
    let mut notices = status::notices(observed, &verdict);
    if !ending {
        notices.extend(kept(observed, &key));
    }
    if let Stage::Released(why) = stage {
        let running = if observed.pod.is_some() { ", and its worker may still be running" } else { "" };
        let note = format!("{why}; it is released{running}");
        notices.push(Notice::warning(Reason::ReleasedUnsettled, "Release", note));
    }
    if !ending {
        notices.extend(held(observed, &deletes));
    }
    Plan {
        finalizer: if ending { Finalizer::Leave } else { Finalizer::Remove },
        record_grants: false,
        children: None,
        withheld: BTreeSet::new(),
        // The StatefulSet's pod goes with it, by the cluster's collector; asking by name does not wait for that.
        replace_pod: worker.filter(|_| observed.pod.as_ref().is_some_and(|pod| !pod.deleting)),
        deletes,
        delete_lease: observed.lease.clone().filter(|_| !ending),
        status: status::status(observed, publication, &verdict, now),
        verdict,
        notices,
        requeue: ending.then_some(AGAIN),
    }
}

/// What goes: what is ours, in the reverse of the order it is made in. Never the ledger's claim. Role and RoleBinding in
/// the operator's namespace go with the last worker of theirs.
fn doomed(observed: &Observed, settings: &Settings, account: &Key) -> Vec<Doomed> {
    let shared = names::halt_reader(&account.namespace);
    let mut ids = child_ids(account, settings);
    ids.reverse();
    ids.retain(|id| id.kind != ChildKind::PersistentVolumeClaim);
    if observed.accounts.iter().any(|name| *name != account.name) {
        ids.retain(|id| id.key.name != shared || id.key.namespace == account.namespace);
    }
    let ours = |id: ChildId| {
        let child = observed.children.get(&id).filter(|child| is_ours(child, account))?;
        Some(Doomed { id, uid: child.uid.clone() })
    };
    ids.into_iter().filter_map(ours).collect()
}

/// What will not go away although it is deleted, because of a finalizer of somebody else.
fn held(observed: &Observed, deletes: &[Doomed]) -> Option<Notice> {
    let held = deletes.iter().filter_map(|doomed| {
        let finalizers = &observed.children.get(&doomed.id)?.finalizers;
        (!finalizers.is_empty()).then(|| format!("{} by {}", doomed.id, finalizers.join(", ")))
    });
    let held: Vec<String> = held.collect();
    let note = format!(
        "finalizers of others keep what belonged to it: {}; an account of the same name is not served until they are gone",
        held.join("; ")
    );
    (!held.is_empty()).then(|| Notice::warning(Reason::ReleasedUnsettled, "Release", note))
}

/// That the ledger stays, and how to remove it.
fn kept(observed: &Observed, account: &Key) -> Option<Notice> {
    let name = names::ledger_claim(&account.name);
    let id = ChildId::new(ChildKind::PersistentVolumeClaim, &account.namespace, name.clone());
    let _ours = observed.children.get(&id).filter(|child| is_ours(child, account))?;
    let note = format!(
        "the ledger stays on claim {name} and is found again by an account of the same name; to remove it for good run: \
         kubectl delete pvc {name} -n {}",
        account.namespace
    );
    Some(Notice::normal(Reason::LedgerKept, "Delete", note))
}
