//! Local control: halts and resumes for a running worker, over a Unix socket that only its owner can use.
//!
//! The socket `control.sock` lies beside the ledger. One JSON object a line goes in ([`Command`]), one comes out
//! ([`ControlReply`]). [`Server`] hands each command to the driver and waits for its word; nothing is decided here but
//! what a command means ([`halt_of`], [`resume_of`]). Malformed, long or slow input costs its sender the connection,
//! never the worker anything.

mod client;
mod error;
mod halts;
mod server;
mod socket;
mod wire;

pub use client::call;
pub use error::ControlError;
pub use halts::{Known, halt_of, never_looser, resume_of};
pub use server::Server;
pub use socket::SOCKET_FILE;
pub use wire::{Command, ControlReply, ControlRequest, HaltCommand, MAX_COMMAND_BYTES, ResumeCommand, Scope};

#[cfg(test)]
mod tests;
