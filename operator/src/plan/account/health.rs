//! How the worker is, in the words of a condition: from the pod, its claim and what the worker itself reports.
//!
//! Pure and total: for every state of the cluster there is one verdict. Only what the cluster says is repeated; nothing
//! is guessed.

use tradewind_crds::exchange_account::{ExchangeAccount, ExchangeAccountStatus, Ledger, Venue};
use tradewind_crds::names;
use tradewind_crds::objects::Key;
use tradewind_crds::reasons::Reason;
use tradewind_crds::reasons::condition::{DATA_FRESH, POSITIONS_RECONCILED, SUPERVISED};
use tradewind_crds::trading_strategy::Phase;

use crate::plan::children::CREDENTIALS;
use crate::plan::conditions::{self, Status, get};
use crate::stores::PodView;

/// Words of the kubelet for an image it cannot get.
const IMAGE: [&str; 5] =
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];

/// What is to be said of an account, in the conditions and in one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it does what its spec says.
    pub ready: Status,
    /// Why.
    pub reason: Reason,
    /// One sentence.
    pub message: String,
    /// Whether only a person can bring it forward.
    pub stalled: bool,
    /// The word for people.
    pub phase: Phase,
}

impl Verdict {
    /// Something is amiss that only a person can put right.
    pub fn stalled(reason: Reason, phase: Phase, message: impl Into<String>) -> Self {
        Self { ready: Status::False, reason, message: message.into(), stalled: true, phase }
    }

    /// Something is being brought about, or tried again.
    pub fn waiting(reason: Reason, phase: Phase, message: impl Into<String>) -> Self {
        Self { ready: Status::False, reason, message: message.into(), stalled: false, phase }
    }

    /// All is as it should be.
    pub fn ready(reason: Reason, phase: Phase, message: impl Into<String>) -> Self {
        Self { ready: Status::True, reason, message: message.into(), stalled: false, phase }
    }
}

/// The state of the ledger's claim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Pending, Bound or Lost.
    pub phase: String,
    /// The size it asks for.
    pub size: Option<String>,
    /// Its storage class; none means the cluster's default.
    pub storage_class: Option<String>,
}

/// What is known of the worker.
#[derive(Debug, Clone, Copy)]
pub struct Signs<'a> {
    /// The account, with what the worker reported last.
    pub account: &'a ExchangeAccount,
    /// Its pod.
    pub pod: Option<&'a PodView>,
    /// The claim of its ledger.
    pub claim: Option<&'a Claim>,
    /// Why the StatefulSet's controller makes no pod, in its words.
    pub no_pod: Option<&'a str>,
    /// The restart hash the pod should have.
    pub restart_hash: &'a str,
    /// The hash of the published account.
    pub hash: &'a str,
    /// Names of the halts that hold for the whole account.
    pub halts: &'a [String],
}

/// How the worker is.
pub fn verdict(signs: &Signs<'_>) -> Verdict {
    let Some(pod) = signs.pod else { return absent(signs) };
    troubled(signs, pod).or_else(|| reported(signs)).unwrap_or_else(|| running(signs))
}

fn absent(signs: &Signs<'_>) -> Verdict {
    if let Some(words) = signs.no_pod {
        let message = format!("the worker's pod was refused: {words}; it is tried again");
        return Verdict::waiting(Reason::ChildRefused, Phase::Degraded, message);
    }
    Verdict::waiting(Reason::WorkerStarting, Phase::Starting, "the worker's pod is about to be made")
}

/// What the pod shows to be wrong or not yet there.
fn troubled(signs: &Signs<'_>, pod: &PodView) -> Option<Verdict> {
    if pod.silent {
        return Some(lost_node(pod));
    }
    if pod.deleting || pod.restart_hash.as_deref() != Some(signs.restart_hash) {
        let message = format!("pod {} is being replaced; the next one starts when it has ended", pod.name);
        return Some(Verdict::waiting(Reason::WorkerReplacing, Phase::Starting, message));
    }
    if let Some(words) = &pod.unschedulable {
        return Some(pending(signs, pod, words));
    }
    if let Some(waiting) = &pod.waiting
        && IMAGE.contains(&waiting.reason.as_str())
    {
        let image = pod.image.as_deref().unwrap_or("of the worker");
        // The kubelet alternates between the failure and its back-off, which quotes it: the words stay the same.
        let words = waiting.message.rsplit("ErrImagePull: ").next().unwrap_or_default();
        let message = format!("image {image} cannot be pulled: {}", sentence(words));
        return Some(Verdict::waiting(Reason::ImageUnavailable, Phase::Degraded, message));
    }
    if let Some(failing) = failing(pod) {
        return Some(Verdict::waiting(Reason::WorkerFailing, Phase::Degraded, failing));
    }
    if pod.ready {
        return None;
    }
    let claim = signs.claim.filter(|claim| pod.node.is_none() && claim.phase != "Bound");
    if claim.is_some() {
        return Some(pending(signs, pod, "the volume of its ledger is not bound"));
    }
    let message = match pod.node.as_deref() {
        Some(node) => format!("pod {} starts on node {node}{}", pod.name, secret(signs.account, pod)),
        None => format!("pod {} waits for a node", pod.name),
    };
    Some(Verdict::waiting(Reason::WorkerStarting, Phase::Starting, message))
}

/// What a container that is not made yet may wait for: nobody but the kubelet knows what is in a Secret.
fn secret(account: &ExchangeAccount, pod: &PodView) -> String {
    if pod.waiting.as_ref().is_none_or(|waiting| waiting.reason != "ContainerCreating") {
        return String::new();
    }
    let mut needed = Vec::new();
    if let Venue::BinanceUs(venue) = &account.spec.venue {
        let ([key, secret], name) = (CREDENTIALS, &venue.credentials_secret_ref.name);
        needed.push(format!("Secret {name} has the entries {key} and {secret}"));
    }
    if let Ledger::Mysql(server) = &account.spec.ledger {
        needed.push(format!("Secret {} exists", server.credentials_secret_ref.name));
    }
    if needed.is_empty() {
        return String::new();
    }
    format!("; its container is made when {}", needed.join(" and "))
}

fn lost_node(pod: &PodView) -> Verdict {
    let node = pod.node.as_deref().unwrap_or("unknown");
    let message = format!(
        "node {node} of pod {} does not answer; no second worker is started, since the first may still trade: bring \
         the node back, or once its machine is off for certain run: kubectl delete node {node}",
        pod.name,
    );
    Verdict::stalled(Reason::NodeLost, Phase::Degraded, message)
}

fn pending(signs: &Signs<'_>, pod: &PodView, words: &str) -> Verdict {
    let claim = signs.claim.filter(|claim| claim.phase != "Bound").map(|claim| {
        let class = match &claim.storage_class {
            Some(class) => format!("storage class {class}"),
            None => "no storage class; give the cluster a default one".to_owned(),
        };
        let name = names::ledger_claim(&Key::of(signs.account).name);
        format!("; claim {name} is {} ({class})", claim.phase)
    });
    let message = format!("pod {} waits: {}{}", pod.name, sentence(words), claim.unwrap_or_default());
    Verdict::waiting(Reason::WorkerPending, Phase::Degraded, message)
}

/// How often a worker may be started anew before a start that is still under way counts as a failure.
const STARTS: i32 = 3;

/// Why the container does not stay up. One that waits for anything but its own start fails; so does one that was started
/// anew several times and is not ready.
fn failing(pod: &PodView) -> Option<String> {
    let waiting = pod
        .waiting
        .as_ref()
        .filter(|waiting| !matches!(waiting.reason.as_str(), "ContainerCreating" | "PodInitializing" | ""));
    let ended = pod.ended.as_ref().filter(|_| waiting.is_some() || !pod.ready);
    if waiting.is_none() && (ended.is_none() || pod.restarts < STARTS) {
        return pod.reason.as_ref().filter(|_| pod.phase == "Failed").map(|words| {
            format!("pod {} failed ({}): {}", pod.name, words.reason, sentence(&words.message))
        });
    }
    let how = match (ended, waiting) {
        (Some(ended), _) => {
            let words = if ended.message.is_empty() { "it left no words" } else { sentence(&ended.message) };
            format!("ended with {} (exit code {}): {words}", ended.reason, ended.exit_code)
        }
        (None, Some(waiting)) => {
            format!("cannot start ({}): {}", waiting.reason, sentence(&waiting.message))
        }
        (None, None) => "does not stay up".to_owned(),
    };
    Some(format!("the worker of pod {} was started anew {} times; it {how}", pod.name, pod.restarts))
}

/// What the worker says of itself: not yet this configuration, or that not all is well.
fn reported(signs: &Signs<'_>) -> Option<Verdict> {
    let status = signs.account.status.as_ref();
    let applied = status.and_then(|status| status.applied.as_ref());
    if applied.is_none_or(|applied| applied.hash != signs.hash) {
        let message = "the worker runs and has not yet taken the account's configuration over";
        return Some(Verdict::waiting(Reason::WorkerStarting, Phase::Starting, message));
    }
    let conditions = &status?.conditions;
    [POSITIONS_RECONCILED, SUPERVISED, DATA_FRESH].into_iter().find_map(|type_| {
        let condition = get(conditions, type_).filter(|condition| condition.status == "False")?;
        let reason = known(&condition.reason).filter(|reason| *reason != Reason::Completed)?;
        Some(Verdict::waiting(reason, Phase::Degraded, condition.message.clone()))
    })
}

fn running(signs: &Signs<'_>) -> Verdict {
    if !signs.halts.is_empty() {
        let message = format!("halted by {}; exits go on", signs.halts.join(", "));
        return Verdict::ready(Reason::Halted, Phase::Halted, message);
    }
    let empty = ExchangeAccountStatus::default();
    let status = signs.account.status.as_ref().unwrap_or(&empty);
    if conditions::because(&status.conditions, DATA_FRESH, Reason::Completed) {
        let message = "the data of the replay has ended; the worker idles";
        return Verdict::ready(Reason::Completed, Phase::Running, message);
    }
    let node = signs.pod.and_then(|pod| pod.node.as_deref()).unwrap_or("its node");
    Verdict::ready(Reason::Running, Phase::Running, format!("the worker runs on {node}"))
}

fn known(reason: &str) -> Option<Reason> {
    <Reason as strum::IntoEnumIterator>::iter().find(|known| known.as_str() == reason)
}

/// Words of the cluster as part of a sentence: on one line, without its stop, and not without end.
fn sentence(words: &str) -> &str {
    const MOST: usize = 512;
    let words = words.trim().trim_end_matches('.');
    let last = words.lines().next_back().unwrap_or_default().trim();
    let end = (0..=MOST.min(last.len())).rev().find(|end| last.is_char_boundary(*end)).unwrap_or_default();
    match last.get(..end).unwrap_or_default() {
        "" => "no more is said",
        words => words,
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
