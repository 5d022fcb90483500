//! What can go wrong between a command and a worker.

use std::path::PathBuf;
use std::time::Duration;

use smol_str::SmolStr;

/// Why a command did not come through, or cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another worker answers on the socket.
    #[error("{path}: another worker answers there; stop it, or run this one on another data directory")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else lies where the socket belongs.
    #[error("{path}: this is no socket and is left alone; move it away, then start the worker again")]
    NotASocket {
        /// What lies there.
        path: PathBuf,
    },
    /// The system cannot name the socket.
    #[error(
        "{path}: the path has more than {limit} bytes, too many for a socket; use a shorter data directory"
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// Most bytes the path of a socket may have.
        limit: usize,
    },
    /// The socket or its directory cannot be used.
    #[error(
        "{path}: the control socket cannot be used; use the account the worker runs as, on a working volume"
    )]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The command does not fit in a line.
    #[error(
        "the command has {bytes} bytes, at most {limit} are taken; give a shorter reason or fewer instruments"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The command cannot be written, or the answer not read.
    #[error("the worker and this program do not speak the same language; use the same version of both")]
    Json {
        /// Why.
        #[from]
        source: serde_json::Error,
    },
    /// The worker hung up.
    #[error(
        "{path}: the worker ended before it answered; start it again and look at its halts before you repeat this"
    )]
    HungUp {
        /// The socket.
        path: PathBuf,
    },
    /// The worker does not answer.
    #[error("{path}: the worker has not answered within {} s; look at its halts before you repeat this", .after.as_secs())]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// A text is missing, too long or not for a terminal.
    #[error("{what} must be 1 to {limit} characters without control characters; say it in a few words")]
    Text {
        /// Which text.
        what: &'static str,
        /// Most characters.
        limit: usize,
    },
    /// There is no such thing.
    #[error("no {what} is called {name:?}; {there_are}")]
    Unknown {
        /// Kind of thing.
        what: &'static str,
        /// What was asked for.
        name: SmolStr,
        /// What there is, nearest first.
        there_are: String,
    },
}
