//! What a status can say about a worker's pod.

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt;
use tradewind_crds::names;
use tradewind_crds::objects::Key;

/// What a status can say about a worker's pod. The container is the pod's first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodView {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: what a replacement names.
    pub uid: String,
    /// The account it says it belongs to.
    pub account: Option<String>,
    /// The uid of that account.
    pub account_uid: Option<String>,
    /// The restart hash it was made with.
    pub restart_hash: Option<String>,
    /// The image that the operator asked for when it was made; none of one that an operator before this field made.
    pub wanted_image: Option<String>,
    /// Where it runs, once it is scheduled.
    pub node: Option<String>,
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: String,
    /// Whether it is ready: the worker has read its ledger and settled what was open.
    pub ready: bool,
    /// Whether its node has fallen silent: the node's own word that its containers are ready still stands, and the
    /// cluster has taken the pod's readiness away. A node that answers changes both at once.
    pub silent: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// How often its container was started anew.
    pub restarts: i32,
    /// The image of its container. An admission webhook may have put another in the place of the one asked for.
    pub image: Option<String>,
    /// Why its container waits, such as `ImagePullBackOff`, and the cluster's words.
    pub waiting: Option<Words>,
    /// How its container ended the last time: the reason, and exit code and message.
    pub ended: Option<Ended>,
    /// Why it cannot be scheduled.
    pub unschedulable: Option<String>,
    /// Why it was evicted, as the pod's own status says.
    pub reason: Option<Words>,
}

/// A reason and the cluster's words for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// In `CamelCase`.
    pub reason: String,
    /// A sentence; may be empty.
    pub message: String,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ended {
    /// Such as `Error`, `OOMKilled` or `Completed`.
    pub reason: String,
    /// Its exit code.
    pub exit_code: i32,
    /// What it left behind; may be empty.
    pub message: String,
}

impl PodView {
    /// The projection of a pod.
    pub fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let condition =
            |name: &str| status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == name);
        let is =
            |name: &str, status: &str| condition(name).is_some_and(|condition| condition.status == status);
        let container = status.and_then(|status| status.container_statuses.as_ref()?.first());
        let state = container.and_then(|container| container.state.as_ref());
        let last = container.and_then(|container| container.last_state.as_ref());
        let label = |name: &str| pod.labels().get(name).cloned();
        Self {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            account: label(names::ACCOUNT_LABEL),
            account_uid: label(names::ACCOUNT_UID_LABEL),
            restart_hash: pod.annotations().get(names::RESTART_HASH).cloned(),
            wanted_image: pod.annotations().get(names::WORKER_IMAGE).cloned(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            phase: status.and_then(|status| status.phase.clone()).unwrap_or_default(),
            ready: is("Ready", "True"),
            silent: is("Ready", "False") && is("ContainersReady", "True"),
            deleting: pod.metadata.deletion_timestamp.is_some(),
            restarts: container.map_or(0, |container| container.restart_count),
            image: pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone()),
            waiting: state.and_then(waiting),
            ended: state.and_then(ended).or_else(|| last.and_then(ended)),
            unschedulable: condition("PodScheduled")
                .filter(|scheduled| scheduled.status == "False")
                .map(|scheduled| scheduled.message.clone().unwrap_or_default()),
            reason: status.and_then(|status| {
                let message = status.message.clone().unwrap_or_default();
                status.reason.clone().map(|reason| Words { reason, message })
            }),
        }
    }

    /// The account it says it belongs to.
    pub fn account_key(&self) -> Option<Key> {
        self.account.as_ref().map(|name| Key::new(&self.namespace, name))
    }
}

fn waiting(state: &ContainerState) -> Option<Words> {
    let waiting = state.waiting.as_ref()?;
    Some(Words {
        reason: waiting.reason.clone().unwrap_or_default(),
        message: waiting.message.clone().unwrap_or_default(),
    })
}

fn ended(state: &ContainerState) -> Option<Ended> {
    let ended = state.terminated.as_ref()?;
    Some(Ended {
        reason: ended.reason.clone().unwrap_or_default(),
        exit_code: ended.exit_code,
        message: ended.message.clone().unwrap_or_default(),
    })
}
