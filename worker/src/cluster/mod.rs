//! The worker in a cluster: what it holds, watches and reports there.
//!
//! The trading loop is that of `run`; here is what surrounds it. Watches ([`watch`]) hand every event on as it came; the
//! [`desk`] makes of it, purely, what the engine must hear and what the API server is asked for; the [`lease`] says
//! until when entries may be made. Nothing of it is needed for an exit.

pub mod calls;
pub mod config;
pub mod crash;
pub mod desk;
pub mod events;
pub mod facts;
pub mod halts;
pub mod inbox;
pub mod lease;
mod opened;
pub mod outlook;
pub mod report;
pub mod sight;
pub(crate) mod start;
pub(crate) mod surroundings;
pub mod watch;
pub(crate) mod worker;
