//! An exchange to test against, on this machine alone.
//!
//! It speaks the REST dialect of Binance.US over real HTTP, verifies every signature, matches orders against quotes that
//! a test sets, and keeps a journal of all that reached its engine: the ground truth that a worker's ledger is compared
//! with. On a control port it is told to fail: before or after the effect of the n-th request, in ten ways.
//!
//! It shares no code with the adapter, or an error made twice would prove itself right. What it promises is the published
//! shape of replies (`tests/shapes.rs` holds it to samples); what it must not do is be helpful: where the real exchange
//! answers late, forgets or contradicts itself, it can too.

pub mod control;
pub mod dialect;
pub mod exchange;
pub mod faults;
mod replies;
mod server;
mod sign;

pub use server::{Options, ServerError, Simulator};
