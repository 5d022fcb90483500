//! One pass over a strategy: observe, plan, apply, report.
//!
//! What it applies is little: its finalizer, halts it resumes, and a latch that is missing. What is traded is published
//! by its account's pass.

use std::time::Duration;

use jiff::Timestamp;
use kube::Api;
use kube::ResourceExt;
use tradewind_crds::exchange_account::Ledger;
use tradewind_crds::latch as latches;
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::trading_strategy::TradingStrategy;

use crate::apply;
use crate::context::Context;
use crate::error::Error;
use crate::events::reference;
use crate::latch;
use crate::plan::account::Finalizer;
use crate::plan::strategy::{Observed, Plan, WorkerSeen, plan};
use crate::report;
use crate::stores::{ChildKind, Stores};

/// One pass; returns after how long the next is wanted if nothing happens before.
pub async fn reconcile(ctx: &Context, key: &Key) -> Result<Option<Duration>, Error> {
    let Some(strategy) = ctx.stores.strategy(key) else { return Ok(None) };
    let plan = planned(&ctx.stores, &strategy, Timestamp::now());
    if plan.finalizer == Finalizer::Add {
        apply::add_finalizer(&ctx.client, strategy.as_ref()).await?;
    }
    // What the latch has in hand, from the event itself, it does: it knows who asked.
    if !ctx.latch.is_at(key) {
        for (halt, uid) in &plan.resume {
            latch::clear(ctx, &strategy, halt, uid, "").await?;
        }
        if plan.relatch {
            relatch(ctx, &strategy).await?;
        }
    }
    report::status(ctx, strategy.as_ref(), &plan.status).await?;
    ctx.events.publish_all(&reference(strategy.as_ref()), plan.notices).await;
    if plan.finalizer == Finalizer::Remove {
        apply::remove_finalizer(&ctx.client, strategy.as_ref()).await?;
    }
    Ok(plan.requeue)
}

fn planned(stores: &Stores, strategy: &TradingStrategy, now: Timestamp) -> Plan {
    let account = Key::new(Key::of(strategy).namespace, &strategy.spec.exchange_account_ref.name.0);
    let objects = needed(stores, strategy, &account);
    let observed = Observed {
        object: strategy,
        objects: &objects,
        everything: &|| stores.objects_of(&account),
        worker: worker(stores, &account),
    };
    plan(&observed, now)
}

/// The few objects that say how a strategy stands as long as nothing is missing: it, its account, both policies and the
/// halts that can reach it. Copying all of a namespace for each strategy would cost as much as there are, squared.
fn needed(stores: &Stores, strategy: &TradingStrategy, account: &Key) -> Objects {
    let found = stores.account(account);
    let policy = |name: &str| stores.policy(&Key::new(&account.namespace, name));
    let inherited = found.as_ref().and_then(|account| policy(&account.spec.risk_policy_ref.name.0));
    let own = strategy.spec.risk_policy_ref.as_ref().and_then(|named| policy(&named.name.0));
    Objects {
        accounts: found.iter().map(|account| account.as_ref().clone()).collect(),
        strategies: vec![strategy.clone()],
        policies: inherited.iter().chain(&own).map(|policy| policy.as_ref().clone()).collect(),
        halts: stores.halts_for(&account.namespace).iter().map(|halt| halt.as_ref().clone()).collect(),
        unreadable: stores.unreadable(&account.namespace),
        operator_namespace: Some(stores.operator_namespace.clone()),
        ..Objects::default()
    }
}

/// What is there of the worker of an account.
fn worker(stores: &Stores, account: &Key) -> WorkerSeen {
    let child =
        |kind, name: String| stores.children.of_kind(kind).get(&Key::new(&account.namespace, name)).is_some();
    WorkerSeen {
        account_stays: stores
            .account(account)
            .is_some_and(|account| account.metadata.deletion_timestamp.is_none()),
        pod: stores.pod_of(account).is_some(),
        stateful_set: child(ChildKind::StatefulSet, names::stateful_set(&account.name)),
        ledger: child(ChildKind::PersistentVolumeClaim, names::ledger_claim(&account.name))
            || stores.account(account).is_some_and(|account| matches!(account.spec.ledger, Ledger::Mysql(_))),
    }
}

/// Makes a latch that is missing although `spec.halted` is true, after a look that misses nothing: what the stores have
/// may be older than a resumption.
async fn relatch(ctx: &Context, strategy: &TradingStrategy) -> Result<(), Error> {
    let key = Key::of(strategy);
    let api: Api<TradingStrategy> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let found = api.get_opt(&key.name).await.map_err(Error::api("get", format!("TradingStrategy {key}")))?;
    let Some(now) = found.filter(|now| now.uid() == strategy.uid() && now.spec.halted == Some(true)) else {
        return Ok(());
    };
    latch::create(ctx, &now, &latches::of(&now)).await.map(drop)
}
