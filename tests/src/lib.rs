//! What the cross-crate tests share: a desk of strategies on packaged candles in a folder of its own, the worker as a
//! process, what its ledger holds, and a driver whose ledger fails when told to.
//!
//! Nothing here waits by sleeping, leaves anything behind or ends a process it did not start. No other crate may depend
//! on this one, but for the benches, which measure on the same cluster and processes. What is here panics when something a test needs does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::missing_panics_doc, reason = "a panic is how a test fails")]

pub mod binary;
pub mod books;
pub mod cluster;
pub mod desk;
pub mod exchange;
pub mod http;
pub mod inside;
pub mod process;
pub mod rig;

use std::time::{Duration, Instant};

/// Longest wait for anything; far above what it takes, for machines that do much else.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// Looks again and again until there is something to return.
///
/// # Panics
/// When there is nothing within [`DEADLINE`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} for {what}");
        // Gives the processor to whom we wait for.
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Runs a future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// A small generator of numbers, the same on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Numbers that follow from that seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit` (`SplitMix64`).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }
}
