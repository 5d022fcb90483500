//! The account's Lease: at most one worker makes entries, and the ledger it writes is known to the next.
//!
//! [`start`] keeps the Lease in a task of its own and tells by a [`Claim`] until when entries may be made; the instant is
//! the local monotonic clock's, and no other clock is asked. Losing the Lease never stops an exit, and nothing here waits
//! for the trading loop nor it for this. On the Lease lies a copy of which ledger its holder writes
//! ([`LedgerCopy`]), written after the ledger itself; [`verdict`] compares the two at a start.
//!
//! A pod that finds another worker's name in the ledger it had before leaves the ledger alone [`until_free`].
//!
//! How a start goes: open the ledger and note [`LedgerAtStart`]; [`start`] with facts that are not trusted; wait for
//! [`Claim::found`] ([`found_within`]); `verdict` with `ledger.contains(head)`. If the ledger is ours set
//! [`LedgerFacts::trusted`], else halt with [`ledger_unknown_halt`] and set it when that halt is resumed; until then the
//! copy on the Lease is left as it is. Without an answer of the API server the worker goes on with exits alone and judges
//! when the answer comes; a new and empty ledger, which has nothing to exit from, waits for [`Claim::copied`] before it
//! takes its first row.

mod copy;
mod decide;
mod keeper;
mod store;
#[cfg(test)]
mod tests;
mod turn;
mod verdict;

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tradewind_core::name::Uid;

pub use copy::{Found, LedgerCopy, LedgerFacts};
pub use decide::{
    Action, DURATION, ENTRIES_FOR, Observed, Own, RENEW_EVERY, REQUEST_TIMEOUT, RETRY_AFTER, decide,
};
pub use store::{ApiStore, LeaseError, Store};
pub use turn::{Taken, until_free};
pub use verdict::{LedgerAtStart, LedgerUnknownReason, ledger_unknown_halt, verdict};

use keeper::Keeper;

/// Whose Lease it is and who we are.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Namespace of the account.
    pub namespace: String,
    /// Name of the account.
    pub account: String,
    /// Uid of the account.
    pub account_uid: Uid,
    /// Our name as a holder, of pod name and uid: a container that is restarted in its pod goes on at once, another pod
    /// waits until the Lease has run out.
    pub holder: String,
}

/// What the worker may do by its Lease.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// Until when entries may be made, by the local monotonic clock; none while another holds the Lease or nobody does.
    pub held_until: Option<Instant>,
    /// What was on the Lease when this process first held it; none until then.
    pub found: Option<Found>,
    /// The copy this process last wrote onto the Lease.
    pub copied: Option<LedgerCopy>,
    /// A later worker has taken the account over: no entries any more, and no exits either, until this process ends.
    pub superseded: bool,
}

impl Claim {
    /// Whether entries may be made at that instant.
    pub fn allows_entries(&self, now: Instant) -> bool {
        !self.superseded && self.held_until.is_some_and(|until| now < until)
    }
}

/// The task that keeps the Lease. Dropped, it stops renewing and leaves the Lease to run out.
#[derive(Debug)]
pub struct Handle {
    release: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Gives the Lease back with the last copy of the ledger, so that the next worker need not wait. Takes a few seconds
    /// at most, whatever the API server does. Only after nothing of ours can leave any more.
    pub async fn release(self) {
        // A task that has ended has nothing to give back.
        let _ = self.release.send(());
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the task that kept the Lease did not end well");
        }
    }
}

/// Keeps the Lease from now on. `facts` are what is copied onto it, sent after each commit of the ledger.
pub fn start<S>(
    store: S,
    identity: Identity,
    facts: watch::Receiver<LedgerFacts>,
) -> (watch::Receiver<Claim>, Handle)
where
    S: Store + Send + Sync + 'static,
{
    let (claims, claim) = watch::channel(Claim::default());
    let (release, released) = oneshot::channel();
    let task = tokio::spawn(Keeper::new(store, identity, facts, claims).run(released));
    (claim, Handle { release, task })
}

/// Waits until the Lease was held once and tells what was on it; none when that took longer than `within` or the task
/// has ended.
pub async fn found_within(claim: &mut watch::Receiver<Claim>, within: Duration) -> Option<Found> {
    let held = claim.wait_for(|claim| claim.found.is_some());
    tokio::time::timeout(within, held).await.ok()?.ok()?.found.clone()
}

/// Waits until the copy of our ledger is on the Lease; false when that took longer than `within` or the task has ended.
pub async fn copied_within(claim: &mut watch::Receiver<Claim>, within: Duration) -> bool {
    let copied = claim.wait_for(|claim| claim.copied.is_some());
    matches!(tokio::time::timeout(within, copied).await, Ok(Ok(_)))
}
