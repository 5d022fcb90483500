//! One pass over a policy: observe, plan, report, and its finalizer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tradewind_crds::objects::Key;
use tradewind_crds::trading_halt::TradingHalt;

use crate::apply;
use crate::context::Context;
use crate::error::Error;
use crate::events::reference;
use crate::plan::account::Finalizer;
use crate::plan::policy::{Observed, plan};
use crate::report;

/// One pass; returns after how long the next is wanted if nothing happens before.
pub async fn reconcile(ctx: &Context, key: &Key) -> Result<Option<Duration>, Error> {
    let Some(policy) = ctx.stores.policy(key) else { return Ok(None) };
    let accounts = ctx.stores.accounts_naming(key);
    let inheriting = accounts.iter().flat_map(|account| ctx.stores.strategies_of(&Key::of(account.as_ref())));
    let inheriting: Vec<_> = inheriting.collect();
    let halts: Vec<Arc<TradingHalt>> = ctx.stores.halts.in_namespace(&key.namespace, |_| true);
    let strategies = ctx.stores.strategies_naming(key);
    let observed = Observed {
        object: &policy,
        accounts: &accounts,
        strategies: &strategies,
        inheriting: &inheriting,
        halts: &halts,
    };
    let plan = plan(&observed, Timestamp::now());
    if plan.finalizer == Finalizer::Add {
        apply::add_finalizer(&ctx.client, policy.as_ref()).await?;
    }
    report::status(ctx, policy.as_ref(), &plan.status).await?;
    ctx.events.publish_all(&reference(policy.as_ref()), plan.notices).await;
    if plan.finalizer == Finalizer::Remove {
        apply::remove_finalizer(&ctx.client, policy.as_ref()).await?;
    }
    Ok(None)
}
