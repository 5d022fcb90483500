//! Everything a plan for an account is made from. Reads the stores, and asks the API server only for what they do not
//! hold and what has changed since it was asked last. Decides nothing, writes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names;
use tradewind_crds::objects::Key;

use crate::apply;
use crate::context::Context;
use crate::error::Error;
use crate::plan::account::config::Data;
use crate::plan::account::health::Claim;
use crate::plan::account::{Observed, child_ids, is_ours};
use crate::plan::children::ChildId;
use crate::stores::{Child, ChildKind};

/// Observes an account.
pub(super) async fn observe(ctx: &Context, key: &Key, account: &ExchangeAccount) -> Result<Observed, Error> {
    let children = children(ctx, key).await?;
    let pod = ctx.stores.pod_of(key).map(|pod| pod.as_ref().clone());
    let deleting = account.metadata.deletion_timestamp.is_some();
    let id = |kind, name| ChildId::new(kind, &key.namespace, name);
    let worker = id(ChildKind::StatefulSet, names::stateful_set(&key.name));
    let config_map = id(ChildKind::ConfigMap, names::config_map(&key.name));
    let claim = id(ChildKind::PersistentVolumeClaim, names::ledger_claim(&key.name));
    let ours = |id: &ChildId| children.get(id).filter(|child| is_ours(child, key));
    Ok(Observed {
        account: account.clone(),
        objects: ctx.stores.objects_of(key),
        pod_ends: if deleting && pod.is_some() { pod_ends(ctx, key).await? } else { None },
        lease: if deleting { lease(ctx, key).await? } else { None },
        no_pod: match (&pod, ours(&worker)) {
            (None, Some(_)) if !deleting => no_pod(ctx, key).await?,
            _ => None,
        },
        remembered: ctx.applied.data(&config_map),
        data: match ours(&config_map) {
            Some(child) => data(ctx, &config_map, child).await?,
            None => None,
        },
        claim: match ours(&claim) {
            Some(child) => self::claim(ctx, &claim, child).await?,
            None => None,
        },
        accounts: ctx.stores.accounts_with_worker(&key.namespace),
        children,
        pod,
    })
}

/// What stands under each child's name. One without our label is not in the stores: it is asked for, since it may be
/// ours with its label taken off, or somebody else's.
async fn children(ctx: &Context, key: &Key) -> Result<BTreeMap<ChildId, Child>, Error> {
    let mut all = BTreeMap::new();
    for id in child_ids(key, &ctx.settings) {
        let child = match ctx.stores.children.get(id.kind, &id.key) {
            Some(child) => Some(child.as_ref().clone()),
            None => apply::metadata(&ctx.client, &id).await?,
        };
        all.extend(child.map(|child| (id, child)));
    }
    Ok(all)
}

async fn data(ctx: &Context, id: &ChildId, child: &Child) -> Result<Option<Data>, Error> {
    if let Some(data) = ctx.applied.data_at(child, id) {
        return Ok(Some(data));
    }
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &id.key.namespace);
    let found = api.get_opt(&id.key.name).await.map_err(Error::api("get", id))?;
    Ok(found.map(|found| found.data.unwrap_or_default()))
}

async fn claim(ctx: &Context, id: &ChildId, child: &Child) -> Result<Option<Claim>, Error> {
    if let Some(claim) = ctx.applied.claim_at(child, id) {
        return Ok(Some(claim));
    }
    let api: Api<PersistentVolumeClaim> = Api::namespaced(ctx.client.clone(), &id.key.namespace);
    let Some(found) = api.get_opt(&id.key.name).await.map_err(Error::api("get", id))? else {
        return Ok(None);
    };
    let version = found.resource_version().unwrap_or_default();
    let spec = found.spec.unwrap_or_default();
    let requests = spec.resources.and_then(|resources| resources.requests).unwrap_or_default();
    let claim = Claim {
        phase: found.status.and_then(|status| status.phase).unwrap_or_default(),
        size: requests.get("storage").map(|size| size.0.clone()),
        storage_class: spec.storage_class_name,
    };
    ctx.applied.keep_claim(id, version, claim.clone());
    Ok(Some(claim))
}

/// Why the controller of the StatefulSet makes no pod: its last event. The object itself does not say.
async fn no_pod(ctx: &Context, key: &Key) -> Result<Option<String>, Error> {
    let api: Api<Event> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let name = names::stateful_set(&key.name);
    let fields = format!("involvedObject.kind=StatefulSet,involvedObject.name={name},reason=FailedCreate");
    let params = ListParams::default().fields(&fields);
    let found =
        api.list(&params).await.map_err(Error::api("list", format!("events of StatefulSet {key}")))?;
    let last = found.items.into_iter().max_by_key(|event| {
        let time = |event: &Event| event.last_timestamp.as_ref().map(|time| time.0);
        time(event).or_else(|| event.event_time.as_ref().map(|time| time.0))
    });
    Ok(last.and_then(|event| event.message))
}

/// When the grace period of the pod's deletion is over.
async fn pod_ends(ctx: &Context, key: &Key) -> Result<Option<Timestamp>, Error> {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let name = names::pod(&key.name);
    let found = api.get_metadata_opt(&name).await;
    let found = found.map_err(Error::api("get", format!("Pod {}/{name}", key.namespace)))?;
    Ok(found.and_then(|pod| pod.metadata.deletion_timestamp).map(|time| time.0))
}

/// The uid of the Lease, if a worker or the operator made it for this account.
async fn lease(ctx: &Context, key: &Key) -> Result<Option<String>, Error> {
    let api: Api<Lease> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let name = names::worker(&key.name);
    let found = api.get_metadata_opt(&name).await;
    let found = found.map_err(Error::api("get", format!("Lease {}/{name}", key.namespace)))?;
    let ours = found.filter(|lease| {
        let by_worker = lease
            .metadata
            .managed_fields
            .iter()
            .flatten()
            .any(|entry| entry.manager.as_deref() == Some(names::WORKER_MANAGER));
        by_worker || lease.labels().get(names::ACCOUNT_LABEL) == Some(&key.name)
    });
    Ok(ours.and_then(|lease| lease.metadata.uid))
}
