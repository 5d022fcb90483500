//! One pass over an account: observe, plan, apply, report.
//!
//! Nothing but the order of the steps is decided here. Grants are recorded before anything is published that relies on
//! them, so that an operator that dies in between finds them again and grants nothing twice; the write is refused when
//! the account was changed meanwhile.

mod observe;

use std::time::Duration;

use jiff::Timestamp;
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
    ctx.events.publish_all(&reference(&live), told(notices, &outcome)).await;
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

/// What is told of what was done.
fn told(mut notices: Vec<Notice>, outcome: &Outcome) -> Vec<Notice> {
    let made = outcome.made.iter().find(|id| id.kind == ChildKind::StatefulSet);
    if let Some(id) = made {
        notices.push(Notice::normal(Reason::WorkerStarted, "Start", format!("{id} was made")));
    }
    if !outcome.repaired.is_empty() {
        let ids: Vec<_> = outcome.repaired.iter().map(ChildId::to_string).collect();
        let note = format!("{} was changed or deleted by others and put right", ids.join(", "));
        notices.push(Notice::warning(Reason::DriftRepaired, "Repair", note));
    }
    notices
}
