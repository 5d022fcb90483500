//! The children of an account: what the operator makes so that its worker can run.
//!
//! Pure: the same account gives the same objects, byte for byte. They carry our own labels only and no owner
//! references: a foreground delete of the account would otherwise end the worker before it settled, and a tool that
//! tracks what it made by labels would prune them. [`Children`] is taken apart without `..` wherever it is used, so that
//! a child that is forgotten does not compile.

mod access;
mod ledger;
mod network;
mod pod;
mod restart;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tradewind_core::config::ResolvedAccount;
use tradewind_crds::exchange_account::{Ledger, Worker};
use tradewind_crds::names;
use tradewind_crds::objects::Key;

use crate::settings::Settings;
use crate::stores::ChildKind;

pub(crate) use pod::CREDENTIALS;
pub use restart::restart_hash;

/// User and group of the worker; the image has no other.
pub const WORKER_UID: i64 = 65_532;
/// The port of `/livez`, `/health` and `/metrics`.
pub const HEALTH_PORT: u16 = 8_080;
/// Ports of the worker by name. A port the worker does not open yet is served by nobody.
pub const PORTS: [(&str, u16); 5] =
    [("bridge", 8_022), ("portfolio", 8_024), ("signals", 8_025), ("risk", 8_047), ("health", HEALTH_PORT)];

/// What the children of one account are made from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The account.
    pub key: &'a Key,
    /// `metadata.uid` of the account.
    pub uid: &'a str,
    /// The account as it is published: its last valid configuration.
    pub account: &'a ResolvedAccount,
    /// `spec.ledger`.
    pub ledger: &'a Ledger,
    /// `spec.worker`.
    pub worker: &'a Worker,
    /// The value of the annotation that restarts the worker.
    pub restarted_at: Option<&'a str>,
    /// The ConfigMap's data.
    pub data: &'a BTreeMap<String, String>,
    /// The size the ledger's claim has by now; it never shrinks.
    pub ledger_size: Option<&'a str>,
    /// Accounts of the namespace whose workers read halts in the operator's namespace, in their order.
    pub halt_readers: &'a [String],
    /// How the operator was started.
    pub settings: &'a Settings,
}

/// The children of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Children {
    /// Who the worker is.
    pub service_account: ServiceAccount,
    /// What the worker may do in its namespace.
    pub role: Role,
    /// That it may.
    pub role_binding: RoleBinding,
    /// That workers of this namespace may read halts in the operator's; none in the operator's own namespace.
    pub halt_reader: Option<HaltReader>,
    /// Where ledger and paper book lie. It outlives the account. None where neither is a file.
    pub ledger_claim: Option<PersistentVolumeClaim>,
    /// What the worker runs.
    pub config_map: ConfigMap,
    /// Whom the worker may reach, and who may reach it; none where the operator makes no policies.
    pub network_policy: Option<NetworkPolicy>,
    /// The worker's ports under one name.
    pub service: Service,
    /// The worker.
    pub stateful_set: StatefulSet,
}

/// Role and binding by which the workers of a namespace read the halts of the operator's.
#[derive(Debug, Clone, PartialEq)]
pub struct HaltReader {
    /// To read halts.
    pub role: Role,
    /// By the workers of one namespace.
    pub binding: RoleBinding,
}

/// Kind, namespace and name of a child.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace and name.
    pub key: Key,
}

impl ChildId {
    /// The id of that kind, namespace and name.
    pub fn new(kind: ChildKind, namespace: &str, name: String) -> Self {
        Self { kind, key: Key::new(namespace, name) }
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// The ids of an account's own children, in the order they are applied. The Lease, which the worker makes, is not among
/// them.
pub fn ids(account: &Key) -> [ChildId; 8] {
    let Key { namespace, name } = account;
    let worker = || names::worker(name);
    let id = |kind, name| ChildId::new(kind, namespace, name);
    [
        id(ChildKind::ServiceAccount, worker()),
        id(ChildKind::Role, worker()),
        id(ChildKind::RoleBinding, worker()),
        id(ChildKind::PersistentVolumeClaim, names::ledger_claim(name)),
        id(ChildKind::ConfigMap, names::config_map(name)),
        id(ChildKind::NetworkPolicy, worker()),
        id(ChildKind::Service, worker()),
        id(ChildKind::StatefulSet, names::stateful_set(name)),
    ]
}

/// The ids of Role and RoleBinding in the operator's namespace by which an account's worker reads halts; none in that
/// namespace itself, where the worker's own Role says so.
pub fn halt_reader_ids(namespace: &str, operator_namespace: &str) -> Option<[ChildId; 2]> {
    let id = |kind| ChildId::new(kind, operator_namespace, names::halt_reader(namespace));
    (namespace != operator_namespace).then(|| [id(ChildKind::Role), id(ChildKind::RoleBinding)])
}

/// The children of an account.
pub fn children(source: &Source<'_>) -> Children {
    let access = access::worker(source);
    Children {
        service_account: access.service_account,
        role: access.role,
        role_binding: access.role_binding,
        halt_reader: access::halt_reader(
            &source.key.namespace,
            &source.settings.namespace,
            source.halt_readers,
        ),
        ledger_claim: ledger::claim(source),
        config_map: ConfigMap {
            metadata: metadata(source, names::config_map(&source.key.name)),
            data: Some(source.data.clone()),
            ..ConfigMap::default()
        },
        network_policy: source.settings.network.policies.then(|| network::policy(source)),
        service: network::service(source),
        stateful_set: pod::stateful_set(source),
    }
}

/// Name, namespace and labels of a child, and nothing else.
fn metadata(source: &Source<'_>, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(source.key.namespace.clone()),
        labels: Some(labels(source)),
        ..ObjectMeta::default()
    }
}

/// The labels of all children.
fn labels(source: &Source<'_>) -> BTreeMap<String, String> {
    let mut labels = selector(&source.key.name);
    labels.insert(names::ACCOUNT_UID_LABEL.to_owned(), source.uid.to_owned());
    labels
}

/// The labels that find an account's pod. Without the uid: the selector of a StatefulSet can never change.
fn selector(account: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (names::COMPONENT_LABEL.to_owned(), names::COMPONENT_WORKER.to_owned()),
        (names::ACCOUNT_LABEL.to_owned(), account.to_owned()),
    ])
}
