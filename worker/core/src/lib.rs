//! The domain and the deterministic engine.
//!
//! [`engine::State::step`] takes one event and appends its effects: the same events give the same effects, byte for byte,
//! on any machine. There is no clock, no randomness, no I/O, no async and no Kubernetes in this crate; time, ids and
//! outcomes come in as events, and what is to be done goes out as effects.

#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod books;
pub mod config;
pub mod decision;
pub mod denial;
pub mod engine;
pub mod event;
pub mod external;
pub mod halt;
pub mod instrument;
pub mod limits;
pub mod money;
pub mod name;
pub mod order;
pub mod portfolio;
pub mod protocol;
pub mod recovery;
pub mod risk;
pub mod signal;
pub mod sizing;
pub mod time;
