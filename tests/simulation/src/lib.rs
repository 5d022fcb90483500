//! The simulation: the driver, the engine and the ledger's port as in production, before a venue, a wire and a clock that
//! are made up, in virtual time. Everything that happens in a run follows from its seed.
//!
//! It promises that a seed gives the same run on any machine, that what must hold is judged by the venue's own ledger,
//! and that what happened is counted. It must not share code with an adapter or the paper venue, wait for a clock, or let
//! chance come from anywhere but [`fastrand`] with the seed.

mod broken;
mod bus;
mod check;
mod coverage;
mod dice;
mod drawdown;
mod exchange;
mod market;
mod news;
mod plan;
mod port;
mod run;
mod seeds;
mod sim;
mod soak;
mod store;
mod unprotected;
mod worker;

pub use broken::Broken;
pub use coverage::{Coverage, Fault, STEPS};
pub use plan::Disturbance;
pub use run::{Outcome, run};
pub use seeds::{first_of_commit, keep, kept, replay_command};
pub use soak::{Report, soak};
pub use unprotected::{Unprotected, unprotected};
