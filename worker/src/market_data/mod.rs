//! Market data: recorded candles turned into bars the engine can trust, in the order in which they became known.
//!
//! Promises: decimals become integer units exactly, a price off the tick is rounded once, to the nearest tick, and
//! counted; a [`Bar`](tradewind_core::instrument::Bar) that leaves this module is sound (prices above zero,
//! `low <= open, close <= high`, times strictly rising, no leap of the price by more than a factor of 1000); memory
//! does not grow with the length of a file.
//!
//! Two kinds of fault are kept apart. A **bad row** of a candle file is skipped, counted and told as a fact
//! ([`Skipped`]), and the run goes on: what is left is a gap, and the engine makes no entries over gaps. A **broken
//! file** (corrupt or truncated, empty, without its header) ends that instrument's feed with a [`MarketDataError`];
//! other instruments go on. A file of binary rows is made by a program, so there a bad row is a broken file.
//!
//! Must not: read a clock, wait, fill gaps, or know of strategies, venues and the ledger.

mod candles;
mod check;
mod data_set;
mod decimal;
mod error;
mod interval;
mod merge;
mod pace;
mod rows;

pub use candles::{CandleReader, MAX_SKIPS_HELD, MOST_AGAINST_A_BAR, Quality, Skipped};
pub use check::{BadBar, Field, MAX_LEAP};
pub use data_set::{DataSet, INSTRUMENTS_FILE};
pub use error::MarketDataError;
pub use interval::parse_interval;
pub use merge::{Bounds, Merge, Source};
pub use pace::Pace;
pub use rows::{ROW_BYTES, RowsReader};
