//! The adapter of Binance.US, held to published signatures and answers, over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod answers;
mod cut;
mod desk;
mod edge;
mod orders;
mod page;
mod reading;
mod server;
mod signing;
