//! The message bus: tells others what happened on the account, from the outbox of its ledger.
//!
//! It runs on a thread of its own and shares with trading no more than a read-only connection to the ledger and two
//! numbers: nothing that befalls Redis can hold up or change what is traded. It never writes to the ledger.

mod channel;
mod credentials;
mod error;
mod link;
mod relay;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;
use tokio::sync::{oneshot, watch};
use tradewind_core::config::{BusConfig, RedisConfig, ResolvedAccount};
use tradewind_ledger::{LedgerError, OutboxReader, Tap};

pub use channel::{CHANNEL, ChannelSignal};
pub use error::{BusError, Trouble};
pub use link::{Ends, EventStreams, Streams};
pub use relay::{BusFacts, BusState, Relay, Timing};

/// The events that are left are still told for so long when the worker stops.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Where to tell events, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `namespace/name` of the account.
    pub account: SmolStr,
    /// The Redis.
    pub redis: RedisConfig,
    /// The folder with the files of its Secret.
    pub credentials: Option<PathBuf>,
}

impl Place {
    /// The bus of an account; none if it has none.
    pub fn of(account: &ResolvedAccount, credentials: Option<PathBuf>) -> Option<Self> {
        let BusConfig::Redis(redis) = account.bus.clone()?;
        Some(Self { account: account.full_name(), redis, credentials })
    }
}

/// A bus that runs.
#[derive(Debug)]
pub struct Bus {
    facts: watch::Receiver<BusFacts>,
    stop: watch::Sender<bool>,
    done: oneshot::Receiver<()>,
}

impl Bus {
    /// Starts to tell events; `open` makes a connection to read the ledger by.
    pub fn start<R, O>(place: Place, tap: Arc<Tap>, open: O, timing: Timing) -> std::io::Result<Self>
    where
        R: OutboxReader,
        O: AsyncFn() -> Result<R, LedgerError> + Send + 'static,
    {
        let (sender, facts) = watch::channel(BusFacts::default());
        let (stop, stopped) = watch::channel(false);
        let (finished, done) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("bus".to_owned()).spawn(move || {
            let mut relay = Relay::new(place, tap, open, sender, timing);
            let mut late = stopped.clone();
            runtime.block_on(async {
                tokio::select! {
                    () = relay.run(stopped) => {}
                    () = too_late(&mut late) => tracing::warn!("some events are still to be told; the next start tells them"),
                }
            });
            drop(finished);
        })?;
        Ok(Self { facts, stop, done })
    }

    /// What it does and how it fares.
    pub fn facts(&self) -> watch::Receiver<BusFacts> {
        self.facts.clone()
    }

    /// Tells what is left, for a few seconds, and ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // It ends by being dropped.
        drop(self.done.await);
    }
}

async fn too_late(stopped: &mut watch::Receiver<bool>) {
    drop(stopped.wait_for(|stop| *stop).await);
    tokio::time::sleep(LAST_WORDS).await;
}
