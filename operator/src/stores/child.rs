//! The children of accounts: metadata only, which is enough to see that one was changed, deleted or is not ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tradewind_crds::names;
use tradewind_crds::objects::Key;

use super::cache::Cache;

/// The kinds an account's children have. The Lease is not among them: the worker renews it each few seconds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
pub enum ChildKind {
    /// Whom the worker is to the API server.
    ServiceAccount,
    /// What it may do there.
    Role,
    /// That it may.
    RoleBinding,
    /// What it runs.
    ConfigMap,
    /// Where its ledger lies.
    PersistentVolumeClaim,
    /// Its endpoints.
    Service,
    /// Whom it may talk to.
    NetworkPolicy,
    /// Its pod.
    StatefulSet,
}

impl ChildKind {
    /// Group and version of its API, as objects name it.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::ServiceAccount | Self::ConfigMap | Self::PersistentVolumeClaim | Self::Service => "v1",
            Self::Role | Self::RoleBinding => "rbac.authorization.k8s.io/v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
            Self::StatefulSet => "apps/v1",
        }
    }
}

/// The metadata of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace and name.
    pub key: Key,
    /// Its uid.
    pub uid: String,
    /// `metadata.generation`; of kinds that have none, none.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations of our domain.
    pub annotations: BTreeMap<String, String>,
    /// Since when it is being deleted.
    pub deleted: Option<Timestamp>,
    /// Its finalizers, none of which is ours: who keeps it from going away.
    pub finalizers: Vec<String>,
    /// Whether it has owner references, which ours never have.
    pub owned: bool,
    /// Whether the operator has applied it (an Apply entry of its manager in managedFields).
    pub applied_by_us: bool,
}

impl Child {
    /// The projection of an object's metadata.
    pub fn of(kind: ChildKind, meta: &ObjectMeta) -> Self {
        let ours = |name: &String| name.split('/').next().is_some_and(|domain| domain == "tradewind.dev");
        let annotations = meta.annotations.iter().flatten().filter(|(name, _)| ours(name));
        let applied = meta.managed_fields.iter().flatten().any(|entry| {
            entry.operation.as_deref() == Some("Apply")
                && entry.manager.as_deref() == Some(names::OPERATOR_MANAGER)
                && entry.subresource.as_deref().unwrap_or_default().is_empty()
        });
        Self {
            kind,
            key: Key::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default()),
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            resource_version: meta.resource_version.clone().unwrap_or_default(),
            labels: meta.labels.clone().unwrap_or_default(),
            annotations: annotations.map(|(name, value)| (name.clone(), value.clone())).collect(),
            deleted: meta.deletion_timestamp.as_ref().map(|time| time.0),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            owned: meta.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()),
            applied_by_us: applied,
        }
    }

    /// The account it says it belongs to, in its own namespace.
    pub fn account(&self) -> Option<Key> {
        self.labels.get(names::ACCOUNT_LABEL).map(|name| Key::new(&self.key.namespace, name))
    }

    /// Whether it differs in what somebody wrote: a status of its own controller does not count where the kind has a
    /// generation to tell.
    pub fn differs(&self, other: &Self) -> bool {
        let version = |child: &Self| match child.generation {
            Some(generation) => generation.to_string(),
            None => child.resource_version.clone(),
        };
        self.uid != other.uid
            || version(self) != version(other)
            || self.labels != other.labels
            || self.annotations != other.annotations
            || self.deleted.is_some() != other.deleted.is_some()
            || self.owned != other.owned
    }
}

/// The children of all accounts by kind.
#[derive(Debug, Default)]
pub struct Children {
    service_accounts: Cache<Child>,
    roles: Cache<Child>,
    role_bindings: Cache<Child>,
    config_maps: Cache<Child>,
    claims: Cache<Child>,
    services: Cache<Child>,
    network_policies: Cache<Child>,
    stateful_sets: Cache<Child>,
}

impl Children {
    /// The children of one kind.
    pub fn of_kind(&self, kind: ChildKind) -> &Cache<Child> {
        match kind {
            ChildKind::ServiceAccount => &self.service_accounts,
            ChildKind::Role => &self.roles,
            ChildKind::RoleBinding => &self.role_bindings,
            ChildKind::ConfigMap => &self.config_maps,
            ChildKind::PersistentVolumeClaim => &self.claims,
            ChildKind::Service => &self.services,
            ChildKind::NetworkPolicy => &self.network_policies,
            ChildKind::StatefulSet => &self.stateful_sets,
        }
    }

    /// The child of that kind and key, if it carries our component label.
    pub fn get(&self, kind: ChildKind, key: &Key) -> Option<Arc<Child>> {
        self.of_kind(kind).get(key)
    }

    /// The children that carry the account's label, in the order of [`ChildKind`].
    pub fn of_account(&self, account: &Key) -> Vec<Arc<Child>> {
        let belongs = |child: &Child| child.labels.get(names::ACCOUNT_LABEL) == Some(&account.name);
        let kinds = <ChildKind as strum::IntoEnumIterator>::iter();
        kinds.flat_map(|kind| self.of_kind(kind).in_namespace(&account.namespace, belongs)).collect()
    }
}
