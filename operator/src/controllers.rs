//! Takes objects out of the queues and has them looked at: only while this replica leads, so many at a time, each
//! within its time, each under a span that names it.
//!
//! An object whose pass failed is tried again with a pause that grows for that object alone; one that is well is looked
//! at again when something that concerns it changes, and now and then all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::Instrument;
use tradewind_crds::objects::{Key, Kind};

use crate::backoff::Backoff;
use crate::context::Context;
use crate::error::Error;
use crate::reconcile;

/// An object nothing happens to is looked at this often all the same. It costs no request when nothing is to be done.
const AT_REST: Duration = Duration::from_mins(10);

/// Works on all kinds whenever this replica leads, until `shutdown` ends; passes under way are then finished.
pub async fn run(ctx: Arc<Context>, shutdown: impl Future<Output = ()>) {
    let stop = tokio::sync::watch::Sender::new(false);
    let work = async {
        let mut claim = ctx.claim.clone();
        let stopped = || async {
            // An error means that the sender is gone, which is a shutdown too.
            let _ = stop.subscribe().wait_for(|stop| *stop).await;
        };
        loop {
            tokio::select! {
                () = stopped() => return,
                () = async { ctx.synced.complete().await; claim.gained().await } => {}
            }
            look_at_all(&ctx);
            tokio::select! {
                // Passes under way are dropped where they stand: somebody else may lead by now.
                () = claim.lost() => abandon(&ctx),
                () = lead(&ctx, &stopped) => return,
            }
        }
    };
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = shutdown => {}
    }
    stop.send_replace(true);
    work.await;
}

/// Works on all kinds until `stopped`.
async fn lead<F: Future<Output = ()>>(ctx: &Arc<Context>, stopped: &impl Fn() -> F) {
    futures::future::join_all(Kind::ALL.map(|kind| work_on(ctx, kind, stopped()))).await;
}

/// Has everything looked at: another replica may have left it half done.
fn look_at_all(ctx: &Context) {
    for kind in Kind::ALL {
        for key in keys(ctx, kind) {
            ctx.queues.of(kind).push(key);
        }
    }
}

fn abandon(ctx: &Context) {
    for kind in Kind::ALL {
        ctx.queues.of(kind).abandon();
    }
}

fn keys(ctx: &Context, kind: Kind) -> Vec<Key> {
    match kind {
        Kind::ExchangeAccount => ctx.stores.accounts.keys(None),
        Kind::TradingStrategy => ctx.stores.strategies.keys(None),
        Kind::RiskPolicy => ctx.stores.policies.keys(None),
        Kind::TradingHalt => ctx.stores.halts.keys(None),
    }
}

fn exists(ctx: &Context, kind: Kind, key: &Key) -> bool {
    match kind {
        Kind::ExchangeAccount => ctx.stores.accounts.entry(key).is_some(),
        Kind::TradingStrategy => ctx.stores.strategies.entry(key).is_some(),
        Kind::RiskPolicy => ctx.stores.policies.entry(key).is_some(),
        Kind::TradingHalt => ctx.stores.halts.entry(key).is_some(),
    }
}

/// Works on one kind until `stopped`, then finishes what is under way.
async fn work_on(ctx: &Arc<Context>, kind: Kind, stopped: impl Future<Output = ()>) {
    let queue = ctx.queues.of(kind);
    let (mut backoff, mut passes) = (Backoff::default(), FuturesUnordered::new());
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some((key, outcome)) = passes.next(), if !passes.is_empty() => {
                let again = next(ctx, kind, &key, &outcome, &mut backoff);
                queue.done(&key, again.map(|pause| Instant::now() + pause));
            }
            key = queue.next(), if passes.len() < ctx.settings.concurrency => {
                passes.push(Box::pin(pass(ctx, kind, key)));
            }
        }
    }
    while let Some((key, _)) = passes.next().await {
        queue.done(&key, None);
    }
}

/// After how long the object is looked at again if nothing happens before.
fn next(
    ctx: &Context,
    kind: Kind,
    key: &Key,
    outcome: &Result<Option<Duration>, Error>,
    backoff: &mut Backoff,
) -> Option<Duration> {
    match outcome {
        Ok(wanted) => {
            backoff.succeeded(key);
            exists(ctx, kind, key).then(|| wanted.unwrap_or(AT_REST))
        }
        Err(_) if !exists(ctx, kind, key) => {
            backoff.succeeded(key);
            None
        }
        Err(_) => Some(backoff.failed(key)),
    }
}

/// One pass over one object: within its time, under its span, counted.
async fn pass(ctx: &Arc<Context>, kind: Kind, key: Key) -> (Key, Result<Option<Duration>, Error>) {
    static PASSES: AtomicU64 = AtomicU64::new(0);
    let id = PASSES.fetch_add(1, Ordering::Relaxed);
    let span = tracing::info_span!("pass", %kind, object = %key, id);
    let begun = Instant::now();
    let patience = ctx.settings.reconcile_timeout;
    let work = async {
        let outcome = match tokio::time::timeout(patience, reconcile(ctx, kind, &key)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::TimedOut(patience)),
        };
        match &outcome {
            Ok(again) => tracing::debug!(?again, took = ?begun.elapsed(), "done"),
            Err(error) => tracing::warn!(%error, reason = error.reason(), "failed; it is tried again"),
        }
        outcome
    };
    let outcome = work.instrument(span).await;
    ctx.metrics.passed(kind, begun.elapsed(), outcome.as_ref().err().map(Error::reason));
    (key, outcome)
}

async fn reconcile(ctx: &Arc<Context>, kind: Kind, key: &Key) -> Result<Option<Duration>, Error> {
    match kind {
        Kind::ExchangeAccount => Box::pin(reconcile::account::reconcile(ctx, key)).await,
        Kind::TradingStrategy => Box::pin(reconcile::strategy::reconcile(ctx, key)).await,
        Kind::RiskPolicy => Box::pin(reconcile::policy::reconcile(ctx, key)).await,
        Kind::TradingHalt => Box::pin(reconcile::halt::reconcile(ctx, key)).await,
    }
}
