//! The bus against a real Redis: whatever befalls Redis, trading goes on, and everything is told once it is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod contract;
mod desk;
mod faults;
mod run;
mod schema;
mod secrets;
mod server;
