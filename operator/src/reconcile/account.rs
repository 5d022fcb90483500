//! One pass over an account: observe, plan, apply, report.
//!
//! Nothing but the order of the steps is decided here. Grants are recorded before anything is published that relies on
//! them, so that an operator that dies in between finds them again and grants nothing twice; the write is refused when
//! the account was changed meanwhile.

mod observe;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;
use tradewind_crds::exchange_account::{ExchangeAccount, ExchangeAccountStatus};
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Kind, ObjectId};
use tradewind_crds::reasons::Reason;
use tradewind_crds::reasons::condition::{HALTED, READY, RECONCILING, STALLED};

use crate::apply::{self, Outcome};
use crate::context::Context;
use crate::error::Error;
use crate::events::{Notice, reference};
use crate::plan::account::{self, Finalizer};
use crate::plan::children::ChildId;
use crate::report::{self, OwnStatus};
use crate::stores::ChildKind;
use observe::observe;

/// What the operator says of an account.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report<'a>(&'a ExchangeAccountStatus);

impl OwnStatus for Report<'_> {
    type Object = ExchangeAccount;
    const FIELDS: &'static [&'static str] =
        &["observedGeneration", "phase", "venue", "strategies", "halt", "grants", "worker"];
    const CONDITIONS: &'static [&'static str] = &[READY, RECONCILING, STALLED, HALTED];
}

/// One pass; returns after how long the next is wanted if nothing happens before.
pub async fn reconcile(ctx: &Context, key: &Key) -> Result<Option<Duration>, Error> {
    let Some(account) = ctx.stores.account(key) else {
        if !ctx.stores.accounts.keys(Some(&key.namespace)).contains(key) {
            ctx.applied.forget(&account::child_ids(key, &ctx.settings));
        }
        return Ok(None);
    };
    let observed = observe(ctx, key, &account).await?;
    let now = Timestamp::now();
    let plan = account::plan(&observed, &ctx.settings, now);
    let mut live = ExchangeAccount::clone(&account);
    if plan.finalizer == Finalizer::Add {
        live.metadata.resource_version = apply::add_finalizer(&ctx.client, &live).await?;
    }
    if plan.record_grants {
        live = record(ctx, &live, &plan.status).await?;
    }
    let (mut outcome, applied) = apply::apply(&ctx.client, &ctx.applied, &observed, &plan).await;
    let (status, notices) = account::refused(&observed, &plan, &outcome.refused, now);
    report::status(ctx, &live, &Report(&status)).await?;
    ctx.events.publish_all(&reference(&live), told(notices, &outcome, |id| ctx.applied.uid_of(id))).await;
    applied?;
    let deleting = live.metadata.deletion_timestamp.is_some();
    if let Some(refusal) = outcome.refusal.take().filter(|_| !deleting) {
        return Err(refusal);
    }
    if plan.finalizer == Finalizer::Remove {
        release(ctx, key, &live, &observed.accounts).await?;
    }
    Ok(plan.requeue)
}

/// Writes the status with the grants in it, unless the account was changed since it was read.
async fn record(
    ctx: &Context,
    live: &ExchangeAccount,
    status: &ExchangeAccountStatus,
) -> Result<ExchangeAccount, Error> {
    let key = Key::of(live);
    let document = json!({
        "apiVersion": ExchangeAccount::api_version(&()),
        "kind": ExchangeAccount::kind(&()),
        "metadata": {"uid": live.uid(), "resourceVersion": live.resource_version()},
        "status": status,
    });
    let api: Api<ExchangeAccount> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    api.patch_status(&key.name, &params, &Patch::Apply(&document))
        .await
        .map_err(Error::api("record", format!("grants of ExchangeAccount {key}")))
}

/// Lets the account go. What its namespace shares with others is theirs to bring up to date.
async fn release(ctx: &Context, key: &Key, live: &ExchangeAccount, others: &[String]) -> Result<(), Error> {
    apply::remove_finalizer(&ctx.client, live).await?;
    ctx.applied.forget(&account::child_ids(key, &ctx.settings));
    for other in others.iter().filter(|name| **name != key.name) {
        ctx.look_at(&ObjectId::new(Kind::ExchangeAccount, Key::new(&key.namespace, other)));
    }
    Ok(())
}

/// What is told of what was done, with the child it was done to; of several with the first.
fn told(
    mut notices: Vec<Notice>,
    outcome: &Outcome,
    uid: impl Fn(&ChildId) -> Option<String>,
) -> Vec<Notice> {
    let child = |id: &ChildId| ObjectReference {
        api_version: Some(id.kind.api_version().to_owned()),
        kind: Some(id.kind.to_string()),
        namespace: Some(id.key.namespace.clone()),
        name: Some(id.key.name.clone()),
        uid: uid(id),
        ..ObjectReference::default()
    };
    let made = outcome.made.iter().find(|id| id.kind == ChildKind::StatefulSet);
    if let Some(id) = made {
        let notice = Notice::normal(Reason::WorkerStarted, "Start", format!("{id} was made"));
        notices.push(notice.related(child(id)));
    }
    if let Some(first) = outcome.repaired.first() {
        let ids: Vec<_> = outcome.repaired.iter().map(ChildId::to_string).collect();
        let note = format!("{} was changed or deleted by others and put right", ids.join(", "));
        notices.push(Notice::warning(Reason::DriftRepaired, "Repair", note).related(child(first)));
    }
    notices
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
    use strum::IntoEnumIterator;

    use super::*;

    #[test]
    fn events_of_children_are_related_to_them() {
        let id = |kind| ChildId::new(kind, "desk", "paper".to_owned());
        let outcome = Outcome {
            made: vec![id(ChildKind::Role), id(ChildKind::StatefulSet)],
            repaired: vec![id(ChildKind::NetworkPolicy), id(ChildKind::ConfigMap)],
            ..Outcome::default()
        };
        let told = told(Vec::new(), &outcome, |id| Some(format!("uid of the {}", id.kind)));
        let related = told.iter().map(|notice| {
            let object = notice.related.as_ref().unwrap();
            let text = |part: &Option<String>| part.clone().unwrap();
            [text(&object.api_version), text(&object.kind), text(&object.name), text(&object.uid)].join(" ")
        });
        let related: Vec<String> = related.collect();
        let expected = [
            "apps/v1 StatefulSet paper uid of the StatefulSet",
            "networking.k8s.io/v1 NetworkPolicy paper uid of the NetworkPolicy",
        ];
        assert_eq!(related, expected);
        assert_eq!(told[1].reason, Reason::DriftRepaired);
        assert!(told[1].note.starts_with("NetworkPolicy desk/paper, ConfigMap desk/paper was changed"));
    }

    #[test]
    fn each_kind_of_child_has_the_version_its_own_type_has() {
        fn of<K: k8s_openapi::Resource>() -> (&'static str, &'static str) {
            (K::KIND, K::API_VERSION)
        }
        let known = [
            of::<ServiceAccount>(),
            of::<Role>(),
            of::<RoleBinding>(),
            of::<ConfigMap>(),
            of::<PersistentVolumeClaim>(),
            of::<Service>(),
            of::<NetworkPolicy>(),
            of::<k8s_openapi::api::apps::v1::StatefulSet>(),
        ];
        let ours: Vec<(&str, &str)> =
            ChildKind::iter().map(|kind| (kind.into(), kind.api_version())).collect();
        assert_eq!(ours, known);
    }
}
