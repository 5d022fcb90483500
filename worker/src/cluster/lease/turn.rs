//! Waiting until nobody else holds the Lease, without taking it.

use tokio::time::Instant;

use super::decide::{Observed, RETRY_AFTER, Watched, is_free};
use super::store::Store;

/// Returns when the Lease is `holder`'s, nobody's, or was seen unchanged for as long as it lasts. As long as the API server
/// does not answer it cannot be known, and is waited for.
pub async fn until_free(store: &impl Store, holder: &str) {
    let mut watched: Option<Watched> = None;
    let mut told = false;
    loop {
        match store.read().await {
            Ok(None) => return,
            Ok(Some(lease)) => {
                let now = Instant::now();
                let seen = Watched::see(watched.take(), &lease, now);
                let observed = Observed::of(&lease);
                if observed.holder == holder || is_free(&observed, seen.unchanged(now)) {
                    return;
                }
                watched = Some(seen);
                told = told || {
                    tracing::info!(by = observed.holder, "lease held by another; the ledger is left to it");
                    true
                };
            }
            Err(error) => {
                told = told || {
                    tracing::warn!(%error, "it is not known who holds the lease; the ledger is left alone");
                    true
                };
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}
