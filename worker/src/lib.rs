//! The worker: feeds, ledger, venue and HTTP around the engine, and the commands people run it by.
//!
//! `run`, `backtest` and the reference job share one [`driver`], one [`feed`] shape and one engine; they differ in where
//! bars come from and what becomes of rows.

#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod assembly;
pub mod board;
pub mod bus;
pub mod cluster;
pub mod commands;
pub mod control;
pub mod crash_points;
pub mod driver;
pub mod explain;
pub mod feed;
pub mod held_log;
pub mod http;
pub mod ledger;
pub mod market_data;
pub mod measures;
pub mod screen;
pub mod session;
pub mod snapshot;
pub mod statistics;
pub mod summary;
pub mod terminal;
pub mod text;
pub mod venue;
