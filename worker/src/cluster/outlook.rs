//! What the loop knows beside the engine and those who report must know: what is applied, left out, settled. Pure.

use tradewind_core::config::DeletionPolicy;
use tradewind_core::engine::{HeirView, OrderView, StrategyView};
use tradewind_core::halt::EntryBlock;

use super::config::Entry;
use super::desk::Desk;
use super::facts::StrategyFacts;
use super::report::{Feed, InForce, Settling, StrategyInput, WorkerInput};
use crate::snapshot::Snapshot;

/// Each strategy object that names the account.
pub fn strategies(desk: &Desk, snapshot: &Snapshot) -> Vec<StrategyInput> {
    desk.strategies().values().map(|facts| strategy(desk, facts, snapshot)).collect()
}

fn strategy(desk: &Desk, facts: &StrategyFacts, snapshot: &Snapshot) -> StrategyInput {
    let (name, uid) = (facts.member.name.as_str(), facts.member.uid);
    let entry = desk.told().and_then(|told| told.entries.get(name)).filter(|entry| entry.uid == uid);
    let view = snapshot.strategies.iter().find(|view| view.config.uid == uid);
    StrategyInput {
        name: name.into(),
        uid,
        applied: entry.map(|e| InForce { generation: e.generation, hash: e.hash.clone() }),
        unavailable: entry.and_then(|e| e.unavailable.clone()),
        quarantined: entry.filter(|e| e.quarantined).map(|_| {
            "evaluating its signal ended the worker twice; it is not evaluated until the spec changes"
                .to_owned()
        }),
        settling: if facts.deleting { settling(entry, view, &snapshot.open_orders) } else { Settling::No },
    }
}

/// What the worker knows of itself; `block` is why it lets no entry through, `heirs` wait for what others have left.
pub fn worker(
    desk: &Desk,
    block: Option<EntryBlock>,
    heirs: &[HeirView],
    snapshot: &Snapshot,
) -> WorkerInput {
    let applied = desk.told().map(|t| InForce { generation: t.account.0, hash: t.account.1.clone() });
    let waiting = heirs.iter().map(|heir| (heir.uid, waits(heir))).collect();
    WorkerInput { applied, block, waiting, feed: feed(snapshot), ..WorkerInput::default() }
}

fn waits(heir: &HeirView) -> String {
    let HeirView { predecessor, present, orders, exits, .. } = heir;
    if *present {
        return format!("waits until the strategy of its name before it (uid {predecessor}) is taken out");
    }
    format!(
        "waits for the deleted strategy of its name (uid {predecessor}): {orders} orders are not settled, {exits} \
         positions are being sold"
    )
}

/// A broken feed is told by the strategies it feeds; the account's data are gone when no strategy has any.
fn feed(snapshot: &Snapshot) -> Feed {
    let broken = &snapshot.totals.broken_feeds;
    let mut instruments = snapshot.strategies.iter().flat_map(|view| &view.config.instruments).peekable();
    let wanted = instruments.peek().is_some();
    match broken.values().next() {
        Some(why) if wanted && instruments.all(|listed| broken.contains_key(&listed.symbol)) => {
            Feed::Unavailable(format!("no strategy has data any more: {why}"))
        }
        _ => Feed::Streaming,
    }
}

/// How far the deletion of a strategy is. One the engine does not know has nothing to settle.
pub fn settling(entry: Option<&Entry>, view: Option<&StrategyView>, open_orders: &[OrderView]) -> Settling {
    if entry.is_some() {
        return Settling::UnderWay("no entries any more; the operator has not taken it out yet".to_owned());
    }
    let Some(view) = view else { return Settling::Done(Vec::new()) };
    if view.present {
        return Settling::UnderWay("the worker is taking it out".to_owned());
    }
    let own = open_orders.iter().filter(|order| order.intent.strategy == view.config.uid);
    let (entries, exits): (Vec<_>, Vec<_>) = own.partition(|order| order.intent.purpose.is_entry());
    let held = view.positions.len();
    let left = match view.config.deletion_policy {
        DeletionPolicy::Retain => String::new(),
        DeletionPolicy::CancelEntries if entries.is_empty() => String::new(),
        DeletionPolicy::Liquidate if entries.is_empty() && exits.is_empty() && held == 0 => String::new(),
        DeletionPolicy::CancelEntries => format!("{} open entries are being cancelled", entries.len()),
        DeletionPolicy::Liquidate => format!(
            "{held} positions are being sold, {} orders are open",
            entries.len().saturating_add(exits.len())
        ),
    };
    if !left.is_empty() {
        return Settling::UnderWay(left);
    }
    let dust = view.dust.iter().map(|dust| format!("{} {}", dust.amount, dust.symbol.base()));
    Settling::Done(dust.collect())
}

#[cfg(test)]
#[path = "outlook_tests.rs"]
mod tests;
