//! A model of two workers, a ledger, the wire and a venue, for a model checker to walk through in every order.
//!
//! What is modelled is the surroundings: what may be late, lost, repeated, forgotten, killed or rolled back. What is *not*
//! modelled is the protocol: stages, waits, requests, the compare-and-set and the telling of lost orders are the functions
//! of [`tradewind_core::protocol`] and [`tradewind_core::order`] that the engine and the ledgers run. Workers here try
//! every input at every time; only those functions say no.
//!
//! A pause needs no action of its own: any worker may do nothing while time passes and others act.

mod actions;
mod venue;
pub mod walks;
mod worker;
mod world;

pub use actions::Action;
pub use world::{Bounds, Protocol, World};
