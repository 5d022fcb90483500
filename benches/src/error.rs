//! Why nothing could be measured.

use std::path::{Path, PathBuf};

use tradewind_ledger::LedgerError;
use tradewind_venues::paper::PaperError;
use tradewind_worker::assembly::AssemblyError;
use tradewind_worker::commands::CommandError;
use tradewind_worker::driver::DriverError;
use tradewind_worker::market_data::MarketDataError;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file could not be read or written.
    #[error("{path}: {source}; run this from the root of the checkout")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A system call failed.
    #[error("the system did not answer: {0}")]
    System(#[from] std::io::Error),
    /// A worker process did not do what it was asked to.
    #[error("{0}")]
    Process(String),
    /// What was computed is wrong; its speed means nothing.
    #[error("wrong result, so its speed means nothing: {0}")]
    Wrong(String),
    /// The page has not the form it must have.
    #[error("{0}")]
    Page(String),
    /// JSON could not be read or written.
    #[error("not the JSON that was expected: {0}")]
    Json(#[from] serde_json::Error),
    /// The API server refused or did not answer.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// What is measured failed.
    #[error(transparent)]
    Worker(Box<CommandError>),
}

/// Whatever part of the worker fails, it fails as a command does.
macro_rules! from_worker {
    ($($error:ty),+) => {
        $(impl From<$error> for BenchError {
            fn from(error: $error) -> Self {
                Self::Worker(Box::new(error.into()))
            }
        })+
    };
}

from_worker!(CommandError, AssemblyError, MarketDataError, DriverError, LedgerError, PaperError);

impl BenchError {
    /// For `map_err`: an error of that file.
    pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::File { path, source }
    }
}
