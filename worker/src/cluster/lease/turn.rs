//! Waiting until nobody holds the Lease, without taking it.

use std::time::Duration;

use tokio::time::Instant;

use super::decide::{Observed, RETRY_AFTER, Watched, is_free};
use super::store::Store;

/// Why the Lease may not be free.
#[derive(Debug, thiserror::Error)]
pub enum Taken {
    /// Somebody holds it, perhaps an earlier process of the same pod.
    #[error("{0} holds the Lease")]
    By(String),
    /// Nobody knows.
    #[error("the API server does not say who holds the Lease")]
    Unheard,
}

/// Waits until the Lease is nobody's, or was seen unchanged for as long as it lasts, also when it names ourselves: whoever
/// has the ledger takes the Lease after it. Fails when that was not so `within` that time.
pub async fn until_free(store: &impl Store, within: Duration) -> Result<(), Taken> {
    let end = Instant::now() + within;
    let mut watched: Option<Watched> = None;
    loop {
        let taken = match store.read().await {
            Ok(None) => return Ok(()),
            Ok(Some(lease)) => {
                let now = Instant::now();
                let (seen, observed) = (Watched::see(watched.take(), &lease, now), Observed::of(&lease));
                if is_free(&observed, seen.unchanged(now)) {
                    return Ok(());
                }
                watched = Some(seen);
                Taken::By(observed.holder)
            }
            Err(_) => {
                // What was not seen may have changed: its holder heard nothing either.
                watched = None;
                Taken::Unheard
            }
        };
        if Instant::now() >= end {
            return Err(taken);
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}
