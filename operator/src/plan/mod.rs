//! What should be: from what was observed to children, status and events. Pure: no client, no clock.

pub mod account;
pub mod children;
pub mod conditions;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod halt;
pub mod latch;
pub mod policy;
pub mod sources;
pub mod strategy;
