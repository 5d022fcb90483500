//! One pass over one object of each kind: observe, validate, plan, apply, report.

pub mod account;
pub mod halt;
pub mod policy;
pub mod strategy;
