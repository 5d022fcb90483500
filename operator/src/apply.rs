//! The children of an account to the API server, in a documented order, and what goes away.
//!
//! Server-side apply with the operator's field manager. An object that is there is applied with its uid, so that
//! another of its name is never changed; one that is not is applied with a version that no object has, so that what
//! appears in between is a conflict and not ours. A child is applied only when what it should be, or what is there, differs from the last time:
//! nothing is written at rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tradewind_crds::names;
use tradewind_crds::published::digest;

use crate::error::Error;
use crate::plan::account::config::Data;
use crate::plan::account::health::Claim;
use crate::plan::account::{Doomed, Observed, Plan, Refusal};
use crate::plan::children::{ChildId, Children, HaltReader};
use crate::stores::{Child, ChildKind};

/// A resourceVersion that no child ever has. The API server makes what is not there whatever version an apply names, and
/// refuses to change what has another: this is how an apply makes an object and never takes one over.
const NO_VERSION: &str = "1";

/// What was last applied and read, so that nothing is written, and little read, at rest.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    applied: HashMap<ChildId, Mark>,
    config_maps: HashMap<ChildId, (String, Data)>,
    claims: HashMap<ChildId, (String, Claim)>,
}

/// What a child was told to be, and how it was then.
#[derive(Debug, Clone, PartialEq)]
struct Mark {
    digest: String,
    child: Child,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock is held cannot leave a map half changed: each change is one call.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data of a ConfigMap as this operator applied or read it last, whatever stands there now.
    pub fn data(&self, id: &ChildId) -> Option<Data> {
        self.lock().config_maps.get(id).map(|(_, data)| data.clone())
    }

    /// The data of a ConfigMap, if it has not changed since it was read.
    pub fn data_at(&self, child: &Child, id: &ChildId) -> Option<Data> {
        let memory = self.lock();
        let (version, data) = memory.config_maps.get(id)?;
        (*version == child.resource_version).then(|| data.clone())
    }

    /// Remembers the data of a ConfigMap.
    pub fn keep_data(&self, id: &ChildId, version: String, data: Data) {
        self.lock().config_maps.insert(id.clone(), (version, data));
    }

    /// The state of a claim, if it has not changed since it was read.
    pub fn claim_at(&self, child: &Child, id: &ChildId) -> Option<Claim> {
        let memory = self.lock();
        let (version, claim) = memory.claims.get(id)?;
        (*version == child.resource_version).then(|| claim.clone())
    }

    /// Remembers the state of a claim.
    pub fn keep_claim(&self, id: &ChildId, version: String, claim: Claim) {
        self.lock().claims.insert(id.clone(), (version, claim));
    }

    /// Forgets children that are gone.
    pub fn forget(&self, ids: &[ChildId]) {
        let mut memory = self.lock();
        for id in ids {
            memory.applied.remove(id);
            memory.config_maps.remove(id);
            memory.claims.remove(id);
        }
    }

    /// The uid of a child, as it was last applied.
    pub fn uid_of(&self, id: &ChildId) -> Option<String> {
        Some(self.mark(id)?.child.uid)
    }

    fn mark(&self, id: &ChildId) -> Option<Mark> {
        self.lock().applied.get(id).cloned()
    }

    fn keep(&self, id: &ChildId, mark: Mark) {
        self.lock().applied.insert(id.clone(), mark);
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Children that were made.
    pub made: Vec<ChildId>,
    /// Children that others had changed or deleted and that were put right.
    pub repaired: Vec<ChildId>,
    /// Children the API server refused, in its words.
    pub refused: Vec<Refusal>,
    /// The first of these refusals, for the pass to end with, so that the next is tried after a pause.
    pub refusal: Option<Error>,
}

/// Applies children, replaces the pod, and removes what is to go.
///
/// The order: who the worker is and what it may do; then what it runs with (claim, configuration, network); then the
/// worker itself, which must find all of that; then the end of a pod that is outdated, so that its successor is made
/// from what was just applied. A refusal does not stop the others, but no worker is made after one. Any other failure
/// ends it: what is missing is done by the next pass.
pub async fn apply(
    client: &Client,
    memory: &Memory,
    observed: &Observed,
    plan: &Plan,
) -> (Outcome, Result<(), Error>) {
    let mut work = Work { client, memory, observed, plan, outcome: Outcome::default() };
    let result = work.run().await;
    (work.outcome, result)
}

struct Work<'a> {
    client: &'a Client,
    memory: &'a Memory,
    observed: &'a Observed,
    plan: &'a Plan,
    outcome: Outcome,
}

impl Work<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        if let Some(children) = &self.plan.children {
            self.children(children).await?;
        }
        for doomed in &self.plan.deletes {
            delete_child(self.client, doomed).await?;
        }
        // After a refusal the next pod could be made from the old template, and would have to go as well, without end.
        let replace = self.plan.replace_pod.as_ref().filter(|_| self.outcome.refused.is_empty());
        if let Some(uid) = replace {
            let namespace = self.observed.account.namespace().unwrap_or_default();
            let name = names::pod(&self.observed.account.name_any());
            delete::<Pod>(self.client, &namespace, &name, uid).await?;
        }
        if let Some(uid) = &self.plan.delete_lease {
            let namespace = self.observed.account.namespace().unwrap_or_default();
            let name = names::worker(&self.observed.account.name_any());
            delete::<Lease>(self.client, &namespace, &name, uid).await?;
        }
        Ok(())
    }

    async fn children(&mut self, children: &Children) -> Result<(), Error> {
        // Destructured without `..`, so that a child that is forgotten does not compile.
        let Children {
            service_account,
            role,
            role_binding,
            halt_reader,
            ledger_claim,
            config_map,
            network_policy,
            service,
            stateful_set,
        } = children;
        self.one(ChildKind::ServiceAccount, service_account).await?;
        self.one(ChildKind::Role, role).await?;
        self.one(ChildKind::RoleBinding, role_binding).await?;
        if let Some(HaltReader { role, binding }) = halt_reader {
            self.one(ChildKind::Role, role).await?;
            self.one(ChildKind::RoleBinding, binding).await?;
        }
        if let Some(ledger_claim) = ledger_claim {
            self.one(ChildKind::PersistentVolumeClaim, ledger_claim).await?;
        }
        self.config_map(config_map).await?;
        if let Some(network_policy) = network_policy {
            self.one(ChildKind::NetworkPolicy, network_policy).await?;
        }
        self.one(ChildKind::Service, service).await?;
        let worker = id(ChildKind::StatefulSet, stateful_set);
        if self.outcome.refused.is_empty() || self.observed.children.contains_key(&worker) {
            self.stateful_set(stateful_set).await?;
        }
        Ok(())
    }

    /// The worker, without what others put into its pod: an apply leaves alone what it does not name.
    async fn stateful_set(&mut self, wanted: &StatefulSet) -> Result<(), Error> {
        let Some(applied) = self.one(ChildKind::StatefulSet, wanted).await? else { return Ok(()) };
        if !others_wrote_spec(applied.meta()) {
            return Ok(());
        }
        let template = |set: &StatefulSet| set.spec.as_ref().map(|spec| json!(spec.template));
        let Some((live, wanted)) = template(&applied).zip(template(wanted)) else { return Ok(()) };
        let patch =
            json!({"metadata": {"uid": applied.uid()}, "spec": {"template": exactly(&wanted, &live)}});
        let id = id(ChildKind::StatefulSet, &applied);
        let pruned = self.prune::<StatefulSet>(&id, &patch).await?;
        if pruned != applied.resource_version() && !self.outcome.repaired.contains(&id) {
            self.outcome.repaired.push(id);
        }
        Ok(())
    }

    /// The configuration, without keys that somebody else put in: a worker would run them.
    async fn config_map(&mut self, wanted: &ConfigMap) -> Result<(), Error> {
        let Some(applied) = self.one(ChildKind::ConfigMap, wanted).await? else { return Ok(()) };
        let wanted = wanted.data.clone().unwrap_or_default();
        let id = id(ChildKind::ConfigMap, &applied);
        let live = applied.data.clone().unwrap_or_default();
        let strange: BTreeMap<_, _> = live
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .map(|key| (key.clone(), Value::Null))
            .collect();
        let version = if strange.is_empty() {
            applied.resource_version()
        } else {
            self.outcome.repaired.push(id.clone());
            let patch = json!({"metadata": {"uid": applied.uid()}, "data": strange});
            self.prune::<ConfigMap>(&id, &patch).await?
        };
        self.memory.keep_data(&id, version.unwrap_or_default(), wanted);
        Ok(())
    }

    /// One child; returns it when it was applied, none when nothing was to be done or it was refused.
    async fn one<K: Kind>(&mut self, kind: ChildKind, wanted: &K) -> Result<Option<K>, Error> {
        let id = id(kind, wanted);
        let live = self.observed.children.get(&id);
        if self.plan.withheld.contains(&id) || live.is_some_and(|live| live.deleted.is_some()) {
            return Ok(None);
        }
        let digest = digest(wanted);
        let mark = self.memory.mark(&id);
        let known = mark.as_ref().filter(|mark| mark.digest == digest);
        if let (Some(live), Some(known)) = (live, known)
            && !live.differs(&known.child)
        {
            return Ok(None);
        }
        let applied = match self.send(&id, wanted, live).await {
            Ok(applied) => applied,
            Err(error) => return self.refused(id, error).map(|()| None),
        };
        let child = Child::of(kind, applied.meta());
        match live {
            None if known.is_none() => self.outcome.made.push(id.clone()),
            Some(live) if known.is_none() || !put_right(live, &child) => {}
            _ => self.outcome.repaired.push(id.clone()),
        }
        let owned = child.owned;
        self.memory.keep(&id, Mark { digest, child });
        if owned {
            // An owner that is deleted would take the child with it.
            let patch = json!({"metadata": {"uid": applied.uid(), "ownerReferences": null}});
            self.prune::<K>(&id, &patch).await?;
        }
        Ok(Some(applied))
    }

    async fn send<K: Kind>(&self, id: &ChildId, wanted: &K, live: Option<&Child>) -> Result<K, Error> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &id.key.namespace);
        let mut wanted = wanted.clone();
        let mut params = PatchParams::apply(names::OPERATOR_MANAGER);
        if let Some(live) = live {
            wanted.meta_mut().uid = Some(live.uid.clone());
            params = params.force();
        } else {
            wanted.meta_mut().resource_version = Some(NO_VERSION.to_owned());
        }
        api.patch(&id.key.name, &params, &Patch::Apply(&wanted)).await.map_err(Error::api("apply", id))
    }

    /// Takes out what others put in. Returns the new resourceVersion.
    async fn prune<K: Kind>(&self, id: &ChildId, patch: &Value) -> Result<Option<String>, Error> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &id.key.namespace);
        let params =
            PatchParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PatchParams::default() };
        let pruned = api.patch_metadata(&id.key.name, &params, &Patch::Merge(patch)).await;
        Ok(pruned.map_err(Error::api("prune", id))?.resource_version())
    }

    /// Keeps a refusal for the status; any other error is handed on.
    fn refused(&mut self, id: ChildId, error: Error) -> Result<(), Error> {
        match error.status().filter(|status| matches!(status.code, 400 | 403 | 422)) {
            Some(status) => {
                self.outcome.refused.push(Refusal { id, words: status.message.clone() });
                self.outcome.refusal.get_or_insert(error);
                Ok(())
            }
            None => Err(error),
        }
    }
}

/// Whether somebody else has fields of the spec, so that more may stand there than was applied.
fn others_wrote_spec(meta: &ObjectMeta) -> bool {
    meta.managed_fields.iter().flatten().any(|entry| {
        let other = entry.manager.as_deref() != Some(names::OPERATOR_MANAGER);
        other && entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some())
    })
}

/// A merge patch that leaves of `live` what is wanted and no more; what the API server fills in it fills in again.
fn exactly(wanted: &Value, live: &Value) -> Value {
    let (Value::Object(wanted), Value::Object(live)) = (wanted, live) else { return wanted.clone() };
    let strange = live.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let null = Value::Null;
    let kept =
        wanted.iter().map(|(key, value)| (key.clone(), exactly(value, live.get(key).unwrap_or(&null))));
    kept.chain(strange).collect()
}

/// Whether an apply changed what was there. The cluster itself binds and resizes a claim at any time, so that another
/// version of one says nothing.
fn put_right(live: &Child, applied: &Child) -> bool {
    let claim = applied.kind == ChildKind::PersistentVolumeClaim;
    let version = applied.resource_version != live.resource_version;
    live.uid != applied.uid || live.labels != applied.labels || (version && !claim)
}

/// What our kinds and those of their children have in common.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Serialize
    + DeserializeOwned
    + std::fmt::Debug
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug
{
}

fn id<K: Kind>(kind: ChildKind, object: &K) -> ChildId {
    ChildId::new(kind, &object.namespace().unwrap_or_default(), object.name_any())
}

/// The metadata of what stands under a child's name, labelled or not.
pub async fn metadata(client: &Client, id: &ChildId) -> Result<Option<Child>, Error> {
    let ChildId { kind, key } = id;
    let (client, space, name) = (client.clone(), key.namespace.as_str(), key.name.as_str());
    let meta = match kind {
        ChildKind::ServiceAccount => meta::<ServiceAccount>(client, space, name).await,
        ChildKind::Role => meta::<Role>(client, space, name).await,
        ChildKind::RoleBinding => meta::<RoleBinding>(client, space, name).await,
        ChildKind::ConfigMap => meta::<ConfigMap>(client, space, name).await,
        ChildKind::PersistentVolumeClaim => meta::<PersistentVolumeClaim>(client, space, name).await,
        ChildKind::Service => meta::<Service>(client, space, name).await,
        ChildKind::NetworkPolicy => meta::<NetworkPolicy>(client, space, name).await,
        ChildKind::StatefulSet => meta::<StatefulSet>(client, space, name).await,
    };
    Ok(meta.map_err(Error::api("get", id))?.map(|meta| Child::of(*kind, &meta)))
}

async fn meta<K: Kind>(
    client: Client,
    namespace: &str,
    name: &str,
) -> Result<Option<ObjectMeta>, kube::Error> {
    let found = Api::<K>::namespaced(client, namespace).get_metadata_opt(name).await?;
    Ok(found.map(|object| object.metadata))
}

async fn delete_child(client: &Client, doomed: &Doomed) -> Result<(), Error> {
    let Doomed { id: ChildId { kind, key }, uid } = doomed;
    let (space, name) = (key.namespace.as_str(), key.name.as_str());
    match kind {
        ChildKind::ServiceAccount => delete::<ServiceAccount>(client, space, name, uid).await,
        ChildKind::Role => delete::<Role>(client, space, name, uid).await,
        ChildKind::RoleBinding => delete::<RoleBinding>(client, space, name, uid).await,
        ChildKind::ConfigMap => delete::<ConfigMap>(client, space, name, uid).await,
        ChildKind::PersistentVolumeClaim => delete::<PersistentVolumeClaim>(client, space, name, uid).await,
        ChildKind::Service => delete::<Service>(client, space, name, uid).await,
        ChildKind::NetworkPolicy => delete::<NetworkPolicy>(client, space, name, uid).await,
        ChildKind::StatefulSet => delete::<StatefulSet>(client, space, name, uid).await,
    }
}

/// Deletes the object of that uid, within its grace period; one that is gone, or another of the name, is left.
async fn delete<K: Kind>(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), Error> {
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => {
            let what = format!("{} {namespace}/{name}", K::kind(&()));
            if matches!(&error, kube::Error::Api(status) if status.is_conflict()) {
                // Another of the name, or one that somebody was just changing, which is still to go.
                let found = api.get_metadata_opt(name).await.map_err(Error::api("get", &what))?;
                if found.is_none_or(|found| found.metadata.uid.as_deref() != Some(uid)) {
                    return Ok(());
                }
            }
            Err(Error::api("delete", what)(error))
        }
    }
}

/// Adds our finalizer, if the object is still what was seen. Returns the new resourceVersion.
pub async fn add_finalizer<K: Kind>(client: &Client, object: &K) -> Result<Option<String>, Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(names::FINALIZER.to_owned());
    let meta = json!({
        "uid": object.uid(),
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
    });
    finalize(client, object, &meta).await
}

/// Removes our finalizer. An object that is gone is no error. To an object that is being deleted the API server lets
/// nobody add one, so that this cannot bring back what another has removed.
pub async fn remove_finalizer<K: Kind>(client: &Client, object: &K) -> Result<(), Error> {
    let finalizers: Vec<_> = object.finalizers().iter().filter(|name| *name != names::FINALIZER).collect();
    let meta = json!({"uid": object.uid(), "finalizers": finalizers});
    match finalize(client, object, &meta).await {
        Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => Ok(()),
        done => done.map(drop),
    }
}

async fn finalize<K: Kind>(client: &Client, object: &K, meta: &Value) -> Result<Option<String>, Error> {
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let params =
        PatchParams { field_manager: Some(names::OPERATOR_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = json!({"metadata": meta});
    let patched = api.patch_metadata(&object.name_any(), &params, &Patch::Merge(&patch)).await;
    let what = || format!("finalizers of {} {}", K::kind(&()), object.name_any());
    Ok(patched.map_err(|error| Error::api("patch", what())(error))?.resource_version())
}

#[cfg(test)]
#[path = "apply_refusal_tests.rs"]
mod refusal_tests;
#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
