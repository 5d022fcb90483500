//! The shared suite on the ledger in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use tradewind_ledger::MemoryLedger;

fn make() -> std::future::Ready<(MemoryLedger, ())> {
    std::future::ready((MemoryLedger::new(common::identity(1)), ()))
}

suite!(make);
