//! The operator: observe, validate, plan, apply, report.
//!
//! Watches the four kinds and what belongs to an account's worker, decides (in [`plan`], pure) what should be there,
//! brings it about by server-side apply and says in the status what it sees. Money is never touched here: trading and
//! exits go on without it.
//!
//! How an event becomes work: [`watch`] shows it to [`latch`], puts it into [`stores`], asks [`triggers`] which objects
//! it concerns, and puts those into a [`queue`]; [`controllers`] takes them out and calls [`reconcile`].

#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod apply;
pub mod backoff;
pub mod client;
pub mod context;
pub mod controllers;
pub mod error;
pub mod events;
pub mod http;
pub mod latch;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod queue;
pub mod rbac;
pub mod reconcile;
pub mod report;
pub mod run;
pub mod settings;
pub mod stores;
pub mod triggers;
pub mod watch;
