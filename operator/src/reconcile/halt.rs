//! One pass over a halt: observe, plan, report. That it halts does not wait for this: workers see it themselves.

use std::time::Duration;

use jiff::Timestamp;
use tradewind_crds::objects::Key;
use tradewind_crds::trading_halt::Target;

use crate::context::Context;
use crate::error::Error;
use crate::events::reference;
use crate::plan::halt::{Observed, plan};
use crate::report;

/// One pass; returns after how long the next is wanted if nothing happens before.
pub async fn reconcile(ctx: &Context, key: &Key) -> Result<Option<Duration>, Error> {
    let Some(halt) = ctx.stores.halt(key) else { return Ok(None) };
    let everywhere =
        matches!(halt.spec.target, Target::Cluster(_)) && key.namespace == ctx.stores.operator_namespace;
    let strategies = if everywhere {
        ctx.stores.strategies.all()
    } else {
        ctx.stores.strategies.in_namespace(&key.namespace, |_| true)
    };
    let accounts: Vec<String> =
        ctx.stores.accounts.keys(Some(&key.namespace)).into_iter().map(|account| account.name).collect();
    let observed = Observed {
        object: &halt,
        strategies: &strategies,
        accounts: &accounts,
        operator_namespace: &ctx.stores.operator_namespace,
    };
    let plan = plan(&observed, Timestamp::now());
    report::status(ctx, halt.as_ref(), &plan.status).await?;
    ctx.events.publish_all(&reference(halt.as_ref()), plan.notices).await;
    Ok(None)
}
