//! The paper venue, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub, reason = "modules of one test binary")]

mod desk;
mod funds;
mod matching;
mod properties;
mod store;
