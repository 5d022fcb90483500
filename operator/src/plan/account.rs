//! What should be for one account: its children, what is published, its worker's pod, its status.
//!
//! Pure: from [`Observed`] and the settings to a [`Plan`], with the clock passed in. Reads no store and writes nothing.
//! Nothing that is not ours is ever in a plan to be changed or deleted.

pub mod config;
pub mod deletion;
#[cfg(test)]
mod fixture;
pub mod health;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tradewind_crds::exchange_account::{ExchangeAccount, ExchangeAccountStatus};
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::reasons::Reason;
use tradewind_crds::trading_strategy::Phase;

use crate::events::Notice;
use crate::plan::children::{self, ChildId, Children, Source};
use crate::plan::conditions::Status;
use crate::plan::sources::Sources;
use crate::settings::Settings;
use crate::stores::{Child, ChildKind, PodView};
use config::{Data, Input, Publication};
use health::{Claim, Signs, Verdict};

/// How often an account is looked at when nothing happens.
const AT_REST: Duration = Duration::from_mins(10);
/// How often it is looked at while something is being waited for that no watch tells.
const WAITING: Duration = Duration::from_secs(15);

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The account.
    pub account: ExchangeAccount,
    /// It, its strategies, policies and halts.
    pub objects: Objects,
    /// What is there under the names of its children, ours or not.
    pub children: BTreeMap<ChildId, Child>,
    /// Its pod.
    pub pod: Option<PodView>,
    /// When the pod's deletion ends its grace period, if it is being deleted; asked for while the account is.
    pub pod_ends: Option<Timestamp>,
    /// The Lease of its worker, if that is ours; asked for while the account is being deleted.
    pub lease: Option<String>,
    /// The claim of its ledger.
    pub claim: Option<Claim>,
    /// Why the StatefulSet's controller makes no pod, in its words.
    pub no_pod: Option<String>,
    /// The data of its ConfigMap, if that is ours.
    pub data: Option<Data>,
    /// What this operator published last, if it knows.
    pub remembered: Option<Data>,
    /// The accounts of the namespace, this one or others, whose worker is there or to be there, by name.
    pub accounts: Vec<String>,
}

/// What to do with the account's finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finalizer {
    /// Leave it as it is.
    Leave,
    /// Add it, before anything else.
    Add,
    /// Remove it, after everything else.
    Remove,
}

/// A child that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// Which.
    pub id: ChildId,
    /// Its uid: another object of the name stays.
    pub uid: String,
}

/// What to do about an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What to do with the finalizer.
    pub finalizer: Finalizer,
    /// Whether the grants differ from those recorded: the status is then written before anything is published.
    pub record_grants: bool,
    /// The children as they should be; none while the account has never been valid, and while they are being removed.
    pub children: Option<Children>,
    /// Children that are not applied: what stands there is not ours, or the worker must not be made yet.
    pub withheld: BTreeSet<ChildId>,
    /// The uid of a pod that is to be replaced, after the StatefulSet was applied.
    pub replace_pod: Option<String>,
    /// What is to go, in this order.
    pub deletes: Vec<Doomed>,
    /// Whether the Lease is to go, by its uid.
    pub delete_lease: Option<String>,
    /// What is to be said.
    pub verdict: Verdict,
    /// The status, if everything succeeds.
    pub status: ExchangeAccountStatus,
    /// What is told.
    pub notices: Vec<Notice>,
    /// When to look again at the latest.
    pub requeue: Option<Duration>,
}

/// A child the API server refused, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub id: ChildId,
    /// Why.
    pub words: String,
}

/// Decides what to do.
pub fn plan(observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let publication = config::publish(&Input {
        objects: &observed.objects,
        account: &observed.account,
        live: observed.data.as_ref(),
        remembered: observed.remembered.as_ref(),
        operator_namespace: &settings.namespace,
        most_bytes: config::MOST_BYTES,
    });
    match deletion::stage(observed, now) {
        None => kept(observed, settings, &publication, None, now),
        Some(deletion::Stage::InUse(by)) => {
            let verdict = Verdict::waiting(Reason::InUse, Phase::Stopping, deletion::in_use(&by));
            kept(observed, settings, &publication, Some(verdict), now)
        }
        Some(stage) => deletion::plan(observed, settings, &publication, &stage, now),
    }
}

/// The status and notices once the API server refused some of the children. Of an account that is being deleted nothing
/// is said of it: a namespace that goes takes nothing new.
pub fn refused(
    observed: &Observed,
    plan: &Plan,
    refusals: &[Refusal],
    now: Timestamp,
) -> (ExchangeAccountStatus, Vec<Notice>) {
    if refusals.is_empty() || observed.account.metadata.deletion_timestamp.is_some() {
        return (plan.status.clone(), plan.notices.clone());
    }
    let words: Vec<_> = refusals.iter().map(|refusal| format!("{}: {}", refusal.id, refusal.words)).collect();
    let message = format!("the API server refused {}; it is tried again", words.join("; "));
    let verdict = Verdict::stalled(Reason::ChildRefused, Phase::Degraded, message);
    let status = status::restated(observed, &plan.status, &verdict, now);
    (status, status::notices(observed, &verdict))
}

/// The plan for an account that stays, or stays for now.
fn kept(
    observed: &Observed,
    settings: &Settings,
    publication: &Publication,
    instead: Option<Verdict>,
    now: Timestamp,
) -> Plan {
    let key = Key::of(&observed.account);
    let children = desired(observed, settings, publication);
    let withheld = withheld(observed, &key, settings);
    let hash = children.as_ref().and_then(|children| annotation(children, names::RESTART_HASH));
    let verdict = instead.unwrap_or_else(|| verdict(observed, publication, hash.as_deref(), &withheld));
    let set = ChildId::new(ChildKind::StatefulSet, &key.namespace, names::stateful_set(&key.name));
    let next = children.as_ref().filter(|_| !withheld.contains(&set));
    let replace = observed.pod.as_ref().zip(next.and_then(|next| outdated(observed, next, &verdict)));
    let mut notices = status::notices(observed, &verdict);
    if let Some((pod, why)) = replace {
        let note = format!("pod {} is replaced, because {why}", pod.name);
        notices.push(Notice::normal(Reason::WorkerReplacing, "Replace", note).related(status::of_pod(pod)));
    }
    Plan {
        finalizer: match observed.account.metadata.deletion_timestamp {
            None if !observed.account.finalizers().iter().any(|name| name == names::FINALIZER) => {
                Finalizer::Add
            }
            _ => Finalizer::Leave,
        },
        record_grants: status::recorded_grants(observed) != publication.grant_status(),
        withheld,
        replace_pod: replace.map(|(pod, _)| pod.uid.clone()),
        deletes: superfluous(observed, settings, &key),
        delete_lease: None,
        status: status::status(observed, publication, &verdict, now),
        notices,
        requeue: Some(if verdict.ready == Status::True { AT_REST } else { WAITING }),
        verdict,
        children,
    }
}

/// Why the pod must make way for one of the children's template; none when it need not. A pod that cannot run is also
/// replaced for another image, since the one it has may be what is wrong with it. Only what the operator itself asked for
/// is compared: what a webhook makes of it would differ again and again.
fn outdated(observed: &Observed, next: &Children, verdict: &Verdict) -> Option<&'static str> {
    let pod = observed.pod.as_ref().filter(|pod| !pod.deleting)?;
    let broken = matches!(verdict.reason, Reason::ImageUnavailable | Reason::WorkerFailing);
    if pod.restart_hash != annotation(next, names::RESTART_HASH) {
        Some("its configuration needs a new process")
    } else if broken && pod.wanted_image != annotation(next, names::WORKER_IMAGE) {
        Some("it does not run and there is another image")
    } else {
        None
    }
}

/// The children, once the account has been valid.
fn desired(observed: &Observed, settings: &Settings, publication: &Publication) -> Option<Children> {
    let account = &observed.account;
    let (published, data) = publication.account.as_ref().zip(publication.data.as_ref())?;
    Some(children::children(&Source {
        key: &Key::of(account),
        uid: account.metadata.uid.as_deref().unwrap_or_default(),
        account: &published.account,
        ledger: &account.spec.ledger,
        worker: &account.spec.worker,
        restarted_at: account.annotations().get(names::RESTARTED_AT).map(String::as_str),
        data,
        ledger_size: observed.claim.as_ref().and_then(|claim| claim.size.as_deref()),
        halt_readers: &observed.accounts,
        settings,
    }))
}

/// An annotation of the pod that is made next.
fn annotation(children: &Children, name: &str) -> Option<String> {
    let template = &children.stateful_set.spec.as_ref()?.template;
    template.metadata.as_ref()?.annotations.as_ref()?.get(name).cloned()
}

/// Whether what stands under a child's name is ours: it says so, or the operator has applied it. Role and RoleBinding in
/// the operator's namespace belong to no single account.
pub fn is_ours(child: &Child, account: &Key) -> bool {
    let label = |name: &str| child.labels.get(name).map(String::as_str);
    let own = child.key.namespace == account.namespace && label(names::ACCOUNT_LABEL) == Some(&account.name);
    let shared = child.key.name == names::halt_reader(&account.namespace)
        && label(names::COMPONENT_LABEL) == Some(names::COMPONENT_WORKER);
    own || shared || child.applied_by_us
}

/// The ids of all children, those in the operator's namespace among them.
pub fn child_ids(account: &Key, settings: &Settings) -> Vec<ChildId> {
    let shared = children::halt_reader_ids(&account.namespace, &settings.namespace);
    shared.into_iter().flatten().chain(children::ids(account)).collect()
}

/// What stands under a child's name and is not ours.
fn foreign<'a>(observed: &'a Observed, account: &Key) -> Vec<&'a ChildId> {
    let foreign = |(id, child): (&'a ChildId, &Child)| (!is_ours(child, account)).then_some(id);
    observed.children.iter().filter_map(foreign).collect()
}

/// Foreign objects are left alone. While there is one no worker is made, since it could run with what somebody else
/// wrote; a worker that runs goes on.
fn withheld(observed: &Observed, account: &Key, settings: &Settings) -> BTreeSet<ChildId> {
    let wanted: BTreeSet<ChildId> = child_ids(account, settings).into_iter().collect();
    let mut withheld: BTreeSet<ChildId> =
        foreign(observed, account).into_iter().filter(|id| wanted.contains(id)).cloned().collect();
    let set = ChildId::new(ChildKind::StatefulSet, &account.namespace, names::stateful_set(&account.name));
    if !withheld.is_empty() && !observed.children.contains_key(&set) {
        withheld.insert(set);
    }
    withheld
}

/// Children that are ours and not wanted any more.
fn superfluous(observed: &Observed, settings: &Settings, account: &Key) -> Vec<Doomed> {
    let id = ChildId::new(ChildKind::NetworkPolicy, &account.namespace, names::worker(&account.name));
    let child = observed.children.get(&id).filter(|child| is_ours(child, account));
    let gone = child.filter(|_| !settings.network.policies);
    gone.map(|child| Doomed { id, uid: child.uid.clone() }).into_iter().collect()
}

fn verdict(
    observed: &Observed,
    publication: &Publication,
    restart_hash: Option<&str>,
    withheld: &BTreeSet<ChildId>,
) -> Verdict {
    let key = Key::of(&observed.account);
    let phase = if observed.pod.is_some() { Phase::Degraded } else { Phase::Pending };
    if let Err(problems) = &publication.resolution.account {
        let policy = &observed.account.spec.risk_policy_ref.name.0;
        let words = config::words(problems);
        return if config::policy_missing(&observed.objects, &key.namespace, policy) {
            Verdict::waiting(Reason::PolicyNotFound, phase, words)
        } else {
            Verdict::stalled(Reason::InvalidSpec, phase, words)
        };
    }
    let foreign = foreign(observed, &key);
    if !foreign.is_empty() && !withheld.is_empty() {
        let ids: Vec<_> = foreign.iter().map(ToString::to_string).collect();
        let message = format!(
            "{} exists and was not made by the operator, so that it is left alone; delete it or rename the account",
            ids.join(", ")
        );
        return Verdict::stalled(Reason::ForeignObject, phase, message);
    }
    if let Some(size) = publication.too_large {
        let message = format!(
            "the configuration of all strategies has {size} bytes, more than the {} a ConfigMap may have; what was \
             published before stays: move strategies to another account",
            config::MOST_BYTES
        );
        return Verdict::stalled(Reason::ConfigTooLarge, phase, message);
    }
    if let Some(verdict) = leaving(observed, &key, phase) {
        return verdict;
    }
    let halts = halting(observed);
    let hash = publication.account.as_ref().map(|account| account.hash.as_str()).unwrap_or_default();
    health::verdict(&Signs {
        account: &observed.account,
        pod: observed.pod.as_ref(),
        claim: observed.claim.as_ref(),
        no_pod: observed.no_pod.as_deref(),
        restart_hash: restart_hash.unwrap_or_default(),
        hash,
        halts: &halts,
    })
}

/// Children that are being deleted and that a finalizer keeps, while there is no worker: none can be made before they are
/// gone.
fn leaving(observed: &Observed, account: &Key, phase: Phase) -> Option<Verdict> {
    let kept = observed.children.iter().filter(|(_, child)| {
        child.deleted.is_some() && !child.finalizers.is_empty() && is_ours(child, account)
    });
    let kept: Vec<_> = kept.map(|(id, child)| format!("{id} by {}", child.finalizers.join(", "))).collect();
    let message = format!(
        "what is being deleted is kept by finalizers of others, so that no worker can be made: {}",
        kept.join("; ")
    );
    let hinders = observed.pod.is_none() && !kept.is_empty();
    hinders.then(|| Verdict::waiting(Reason::WorkerPending, phase, message))
}

/// Names of the halts that hold for the whole account in all instruments.
fn halting(observed: &Observed) -> Vec<String> {
    let Sources(halts) = Sources::of_account(&observed.objects, &observed.account);
    halts.into_iter().filter(|halt| halt.instruments.is_empty()).map(|halt| halt.listed.name).collect()
}

#[cfg(test)]
#[path = "account/tests.rs"]
mod tests;
