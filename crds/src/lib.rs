//! The four kinds people write, their rules, and `resolve`: objects in, the engine's configuration or all problems out.
//!
//! The types accept what the schema accepts; strictness (unknown fields, bounds) lives in [`load`] for files and in the
//! API server for a cluster. [`resolve`] and [`grants`] are pure: no clock, no I/O, the same objects give the same
//! answer. Nothing here trades.

#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod common;
pub mod exchange_account;
pub mod grants;
pub mod latch;
pub mod load;
pub mod manifest;
pub mod names;
pub mod objects;
pub mod problem;
pub mod published;
pub mod reach;
pub mod reasons;
pub mod resolve;
pub mod risk_policy;
pub mod trading_halt;
pub mod trading_strategy;

pub use tradewind_core::halt::{EffectiveHalt, effective_halt};
