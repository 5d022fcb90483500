//! The venue port, and the venues behind it.
//!
//! A venue is seen only through [`Venue`]: what cannot be asked through it is not known. [`paper`] simulates one; its
//! matching is also the backtest's. [`binance_us`] is a real one. Nothing here decides what to trade, retries an order or
//! reads a clock that it was not given.

#![deny(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

pub mod binance_us;
pub mod driven;
pub mod histogram;
pub mod paper;
pub mod port;

pub use driven::DrivenVenue;
pub use paper::{FILLS_PAGE, PaperError, PaperVenue, Phase, PhaseOutcome, Plan};
pub use port::{
    AssetBalance, CancelOutcome, ExternalOrder, ExternalTrade, FillCursor, FillPage, Lookup, OpenOrders,
    OrderRef, OrderSnapshot, PlaceOutcome, Venue, VenueError, VenueTerms,
};
