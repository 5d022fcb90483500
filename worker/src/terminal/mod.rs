//! What a person sees while a worker runs: a live table on a terminal, plain lines elsewhere.
//!
//! Both are functions of a [`crate::snapshot::Snapshot`]; nothing here touches the engine, the ledger or a venue, and a
//! terminal that fails never stops trading.

pub mod live;
pub mod plain;

mod figures;
mod layout;
mod palette;
mod screen;
mod sections;

#[cfg(test)]
pub(crate) mod fixture;
