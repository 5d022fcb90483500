//! Statistics of a run: what came of it, beside holding the same instruments.
//!
//! Promises: money is exact, ratios are floats rounded to six decimals, and a ratio that is not defined (no loss to
//! divide by, one day of returns) is none, printed as `n/a` and `null`, never NaN. Memory grows by one number a UTC day
//! and not with the bars. The same input gives the same bytes.
//!
//! Feed one [`Book`] a strategy and one for the account; [`render_table`] puts them side by side.
//!
//! Must not: decide anything, read a clock, or be read by the engine.

mod book;
mod denials;
mod equity;
mod hold;
mod ratios;
mod render;
mod trades;

pub use book::{Book, Statistics};
pub use denials::Denials;
pub use equity::{DrawdownDates, EquityFigures, EquityTracker};
pub use hold::HoldTracker;
pub use ratios::{cagr, sharpe, sortino};
pub use render::render_table;
pub use trades::{ClosedTrade, Execution, ExecutionFee, TradeFigures, TradeTracker};

/// Why statistics cannot go on: an amount of money overflowed, or an input was missing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatisticsError {
    /// A computation of money failed.
    #[error("statistics: {0}")]
    Money(#[from] tradewind_core::money::MoneyError),
    /// A fee was taken in an asset whose price was not given.
    #[error("statistics: the fee of a fill in {symbol} was taken in {asset}, and no price of it was given")]
    FeeWithoutPrice {
        /// The instrument.
        symbol: tradewind_core::name::Symbol,
        /// The fee's asset.
        asset: tradewind_core::name::Asset,
    },
}
