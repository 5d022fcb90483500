//! What goes over the socket.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tradewind_core::halt::{Halt, HaltAction};
use tradewind_core::name::Symbol;

/// Longest line of a command, its line feed included.
pub const MAX_COMMAND_BYTES: usize = 4096;

/// What a person asks of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Command {
    /// Stop entries.
    Halt(HaltCommand),
    /// Take a halt back.
    Resume(ResumeCommand),
    /// Tell which halts are in force.
    Status,
}

/// A halt to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HaltCommand {
    /// Whom it reaches.
    pub scope: Scope,
    /// Only these instruments; empty means all.
    #[serde(default)]
    pub instruments: Vec<Symbol>,
    /// What it does.
    pub action: HaltAction,
    /// Why, 1 to 1024 characters.
    pub reason: String,
    /// Who asks, 1 to 256 characters.
    pub by: String,
}

/// A halt to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResumeCommand {
    /// The halt's name.
    pub name: SmolStr,
    /// Who asks, 1 to 256 characters.
    pub by: String,
}

/// Whom a local halt reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// All strategies of the account.
    Account,
    /// The strategy of that name.
    Strategy(SmolStr),
}

/// The worker's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ControlReply {
    /// It is done, and durable.
    Done {
        /// One sentence for people.
        message: String,
        /// Halts in force now.
        halts: Vec<Halt>,
    },
    /// Nothing was done.
    Refused {
        /// Why, and what to do instead.
        message: String,
    },
}

/// A command on its way to the driver. Dropping `reply` unanswered tells the sender that the worker is stopping.
#[derive(Debug)]
pub struct ControlRequest {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<ControlReply>,
}
