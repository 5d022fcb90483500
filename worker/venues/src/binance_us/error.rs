//! Why Binance.US could not be asked, or what is wrong with its answer.

use tradewind_core::name::Symbol;

use super::budget::Wait;
use super::clock::ClockError;
use super::credentials::CredentialsError;
use super::outcome::{Body, Seen};
use super::reply::ReplyError;
use super::rules::SymbolError;

/// Why there is no answer that can be relied on. Nothing of it says that an order does not exist.
#[derive(Debug, thiserror::Error)]
pub enum BinanceError {
    /// The key cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// No time to sign with.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A symbol that cannot be traded.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
    /// A symbol whose rules were not read.
    #[error("the venue's rules of {symbol} are not known; add it to the account's instruments")]
    NoRules {
        /// Which.
        symbol: Symbol,
    },
    /// Not now.
    #[error("{what} was not asked for: {wait}")]
    Wait {
        /// What.
        what: &'static str,
        /// Budget or ban, and until when.
        wait: Wait,
    },
    /// No answer, or one that is no success.
    #[error("{what} was not answered: {seen}")]
    NoAnswer {
        /// What.
        what: &'static str,
        /// What came instead.
        seen: Seen,
    },
    /// An answer that cannot be relied on.
    #[error("{what}: {source}")]
    Reply {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with the answer.
        source: ReplyError,
    },
    /// A candle length the venue does not have.
    #[error(
        "the venue has no candles of {milliseconds} ms; use 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h or 1d"
    )]
    Interval {
        /// What was asked for.
        milliseconds: i64,
    },
    /// Fills were asked for with the cursor of another venue.
    #[error(
        "the ledger belongs to an account of another venue; give this account a new ledger, or its venue back"
    )]
    ForeignCursor,
}

/// Codes that say: the signature is not valid, the key's format is not, or the key, the address it is used from or its
/// rights are not. <https://docs.binance.us/#error-codes>
const KEY_REFUSED: [i64; 3] = [-1022, -2014, -2015];

impl BinanceError {
    /// The venue's words, if it has said that it does not take the key as it is, which only a person can put right.
    pub fn refusal_of_the_key(&self) -> Option<&str> {
        match self {
            Self::NoAnswer { seen: Seen::Answer { body: Body::Error { code, message }, .. }, .. }
                if KEY_REFUSED.contains(code) =>
            {
                Some(message)
            }
            _ => None,
        }
    }
}
