//! The commands of `tradewind-worker`, one file each, and how they end.

pub mod backtest;
pub mod cluster;
pub mod control;
pub mod explain;
pub mod ledger;
pub mod place;
pub mod reference_job;
pub mod run;
mod sink;
pub mod validate;

use std::path::PathBuf;

use tradewind_core::time::Timestamp;
use tradewind_ledger::LedgerError;

pub use sink::Sink;

use crate::assembly::AssemblyError;
use crate::driver::DriverError;
use crate::market_data::MarketDataError;
use crate::text::parse_time;

/// Why a command failed. The exit code is 2 when what people wrote is at fault, 1 otherwise.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing could be started.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The run could not go on.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The ledger could not be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The paper venue could not be opened.
    #[error(transparent)]
    Paper(#[from] tradewind_venues::paper::PaperError),
    /// The venue could not be asked.
    #[error(transparent)]
    Venue(#[from] tradewind_venues::VenueError),
    /// The account's endpoint is none.
    #[error(transparent)]
    Endpoint(tradewind_venues::binance_us::EndpointError),
    /// A real venue without a key.
    #[error(
        "the account is at a real venue and needs its key; name the folder with the files apiKey and apiSecret by --credentials or TRADEWIND_CREDENTIALS"
    )]
    NoCredentials,
    /// The venue does not take the key.
    #[error(
        "the venue refuses the key: {words} Put the entries apiKey and apiSecret of its Secret right, give the key the rights to read and to trade, and name this machine's address where it names addresses"
    )]
    KeyRefused {
        /// The venue's words.
        words: String,
    },
    /// The venue does not answer a worker that starts.
    #[error(
        "the venue has not answered for {seconds} s: {source}; this worker ends, and its next start asks again"
    )]
    VenueAway {
        /// How long it was asked.
        seconds: u64,
        /// What came instead of the last answer.
        source: Box<CommandError>,
    },
    /// A ledger in a database without user and password.
    #[error(
        "the account's ledger is in a database and needs a user; name the folder with the files username and password by --ledger-credentials or TRADEWIND_LEDGER_CREDENTIALS"
    )]
    NoLedgerCredentials,
    /// The machine's clock was set while a worker at a real venue ran.
    #[error(
        "this machine's clock was set, or the machine slept, by {milliseconds} ms; the worker ends, and its next start takes the new time; keep the clock right with NTP"
    )]
    ClockSet {
        /// By how much; below zero: back.
        milliseconds: i64,
    },
    /// Recorded bars for a venue that is not one of a test's own.
    #[error(
        "{endpoint} is not traded on recorded bars, which say nothing of what it trades at now; write marketData: {{venue: {{}}}}, or name a simulator by an endpoint on the loopback address or by a Service of the cluster"
    )]
    RecordedAtVenue {
        /// Where the venue is.
        endpoint: String,
    },
    /// Somebody asked to stop, and what was under way did not end.
    #[error(
        "not ended {seconds} s after being asked to stop: ledger, venue, bus or API server do not answer; the next start settles what was under way"
    )]
    EndedLate {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The data could not be read.
    #[error(transparent)]
    MarketData(#[from] MarketDataError),
    /// An amount overflowed in the statistics.
    #[error(transparent)]
    Statistics(#[from] crate::statistics::StatisticsError),
    /// A file could not be written or read.
    #[error("{path}: {source}; check that the folder exists and may be written")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Output could not be written.
    #[error("the output could not be written: {0}")]
    Output(#[from] std::io::Error),
    /// Wrong use.
    #[error("{0}")]
    Usage(String),
    /// The HTTP endpoints could not be opened.
    #[error(transparent)]
    Http(#[from] crate::http::HttpError),
    /// The control socket failed.
    #[error(transparent)]
    Control(#[from] crate::control::ControlError),
    /// The decision trace could not be written.
    #[error(transparent)]
    Explain(#[from] crate::explain::ExplainError),
    /// There is no configuration to start from.
    #[error(transparent)]
    Published(#[from] crate::cluster::config::ConfigError),
    /// No client for the API server can be made.
    #[error(
        "no client for the API server can be made: {0}; check the kubeconfig or the pod's service account"
    )]
    Client(#[source] Box<kube::Error>),
    /// The process does not know where the API server is.
    #[error("the API server is not known: {0}; run it in a pod with a service account, or set KUBECONFIG")]
    NoCluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The Lease cannot be kept.
    #[error(transparent)]
    Lease(#[from] crate::cluster::lease::LeaseError),
    /// Another worker goes on with the account.
    #[error(
        "a later worker has taken the account over; this one ends, and its next start finds out how things stand"
    )]
    Superseded,
    /// Another worker has opened the ledger since, and may still live.
    #[error(
        "the ledger was opened by {by} since this pod had it, and {standing}: this worker leaves it alone, and its next start looks again; delete this pod if another has taken its place"
    )]
    LeftAlone {
        /// Who has opened it.
        by: String,
        /// Why that one may live.
        standing: crate::cluster::lease::Taken,
    },
    /// The ledger is whole but does not reach as far as it once did.
    #[error(
        "the ledger ends with {found} and never held {known}: rows at its end are missing, or it is another ledger; \
         find out who had access, and restore a backup that holds that row"
    )]
    HeadMissing {
        /// The end it was known to hold.
        known: tradewind_ledger::ChainHead,
        /// Its end.
        found: tradewind_ledger::ChainHead,
    },
    /// Rows could not be put into words.
    #[error("rows could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CommandError {
    /// What an exchange answered, or did not.
    pub(crate) fn exchange(error: tradewind_venues::binance_us::BinanceError) -> Self {
        Self::Venue(error.into())
    }

    /// What is wrong with the ledger, if that ended the run. One that was taken over is another worker's to tell of.
    pub(crate) fn ledger_fault(&self) -> Option<&LedgerError> {
        match self {
            Self::Driver(DriverError::Ledger(error)) | Self::Ledger(error) => Some(error),
            _ => None,
        }
        .filter(|error| !matches!(error, LedgerError::Fenced { .. }))
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Assembly(_)
            | Self::Usage(_)
            | Self::Endpoint(_)
            | Self::NoCredentials
            | Self::NoLedgerCredentials => 2,
            _ => 1,
        }
    }
}

/// A time typed after a flag.
fn typed_time(flag: &str, text: Option<&str>) -> Result<Option<Timestamp>, CommandError> {
    let wrong = |typed: &str| {
        CommandError::Usage(format!(
            "{flag} {typed:?} is no time; write it like 2024-05-01 or 2024-05-01T13:00:00Z"
        ))
    };
    text.map(|typed| parse_time(typed).ok_or_else(|| wrong(typed))).transpose()
}
