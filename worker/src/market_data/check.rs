//! What makes a bar sound. One set of checks for text and binary rows.

use std::fmt;

use tradewind_core::instrument::{Bar, InstrumentRules};
use tradewind_core::money::Price;
use tradewind_core::time::Timestamp;

/// The largest factor by which a price may differ from the close before it; beyond it the feed is wrong.
pub const MAX_LEAP: i64 = 1000;

/// 2000-01-01T00:00Z.
const EARLIEST_MS: i64 = 946_684_800_000;
/// 2100-01-01T00:00Z.
const LATEST_MS: i64 = 4_102_444_800_000;

/// A column of a candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// First price.
    Open,
    /// Highest price.
    High,
    /// Lowest price.
    Low,
    /// Last price.
    Close,
    /// Traded amount.
    Volume,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::High => "high",
            Self::Low => "low",
            Self::Close => "close",
            Self::Volume => "volume",
        })
    }
}

/// Why a row is not a bar. Texts are the row's own, shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBar {
    /// Columns missing or too many.
    #[error("has {found} columns instead of 6 (ts,open,high,low,close,volume)")]
    Columns {
        /// Columns found.
        found: usize,
    },
    /// Not a time in milliseconds.
    #[error("has ts {text:?}, which is no time from 2000 to 2100 in whole Unix milliseconds")]
    Time {
        /// What is written there.
        text: String,
    },
    /// Not the open time of a bar.
    #[error("has ts {ts}, which is not the start of a bar of {interval_ms} ms")]
    NotAligned {
        /// What is written there.
        ts: i64,
        /// Length of a bar, in milliseconds.
        interval_ms: i64,
    },
    /// The bar before has the same time.
    #[error("has the same ts {ts} as the bar before it")]
    Duplicate {
        /// What is written there.
        ts: i64,
    },
    /// The bar before is later.
    #[error("has ts {ts}, which is before the bar above it ({previous})")]
    Unsorted {
        /// What is written there.
        ts: i64,
        /// The last good bar's.
        previous: i64,
    },
    /// Not a plain decimal.
    #[error("has {field} {text:?}, which is no plain decimal number")]
    NotDecimal {
        /// The column.
        field: Field,
        /// What is written there.
        text: String,
    },
    /// A price that is zero, negative or rounds to zero; a volume below zero.
    #[error("has {field} {text}; prices must be at least one tick and volumes not below zero")]
    NotPositive {
        /// The column.
        field: Field,
        /// What is written there.
        text: String,
    },
    /// It does not fit the instrument's units.
    #[error("has {field} {text}, which is larger than any real one")]
    OutOfRange {
        /// The column.
        field: Field,
        /// What is written there.
        text: String,
    },
    /// Low and high do not enclose open and close.
    #[error("has low {low} and high {high}, which do not enclose open {open} and close {close}")]
    NotEnclosed {
        /// First price.
        open: String,
        /// Highest price.
        high: String,
        /// Lowest price.
        low: String,
        /// Last price.
        close: String,
    },
    /// The price changed absurdly.
    #[error("has a price of {price} after a close of {previous}, a change of more than 1000 times")]
    Leap {
        /// The price.
        price: String,
        /// The close before it.
        previous: String,
    },
}

/// Whether `ms` can be the time of a bar.
#[inline]
pub(super) fn is_plausible(ms: i64) -> bool {
    (EARLIEST_MS..LATEST_MS).contains(&ms)
}

/// Whether `low <= open, close <= high`.
#[inline]
pub(super) fn is_enclosed(bar: &Bar) -> bool {
    bar.low <= bar.open && bar.low <= bar.close && bar.open <= bar.high && bar.close <= bar.high
}

/// Whether the bar may follow one that opened then and closed at that price: later, and its prices within [`MAX_LEAP`]
/// of that close.
#[inline]
pub(super) fn may_follow(bar: &Bar, (opened, close): (Timestamp, Price)) -> bool {
    bar.open_time > opened
        && bar.high.0 <= close.0.saturating_mul(MAX_LEAP)
        && bar.low.0.saturating_mul(MAX_LEAP) >= close.0
}

/// All checks on a bar whose numbers have been read, against open time and close of the bar before it.
pub(super) fn check(
    bar: &Bar,
    previous: Option<(Timestamp, Price)>,
    rules: &InstrumentRules,
) -> Result<(), BadBar> {
    if let Some((opened, _)) = previous {
        later(bar.open_time, opened)?;
    }
    if !is_enclosed(bar) {
        let text = |price| rules.price_text(price);
        let (open, high, low, close) = (text(bar.open), text(bar.high), text(bar.low), text(bar.close));
        return Err(BadBar::NotEnclosed { open, high, low, close });
    }
    match previous {
        Some((opened, close)) if !may_follow(bar, (opened, close)) => {
            let rose = bar.high.0 > close.0.saturating_mul(MAX_LEAP);
            let price = rules.price_text(if rose { bar.high } else { bar.low });
            Err(BadBar::Leap { price, previous: rules.price_text(close) })
        }
        _ => Ok(()),
    }
}

/// Times must rise strictly.
pub(super) fn later(ts: Timestamp, previous: Timestamp) -> Result<(), BadBar> {
    if ts == previous {
        return Err(BadBar::Duplicate { ts: ts.0 });
    }
    if ts < previous {
        return Err(BadBar::Unsorted { ts: ts.0, previous: previous.0 });
    }
    Ok(())
}

/// Junk in an error message helps nobody.
pub(super) fn shorten(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().take(40).collect()
}
