//! Signals: from bars to a side and a confidence.
//!
//! A signal sees closes one by one and never a later one. It is the only place of this crate where floats are computed
//! with: indicators are no money. Confidence is documented with each signal.

#![expect(clippy::float_arithmetic, reason = "indicators are floats by nature; no money is computed here")]

mod ema_cross;
mod rsi_reversion;
#[cfg(test)]
mod talib_tests;

use crate::config::{DesiredState, ResolvedStrategy, SignalConfig};
use crate::decision::{Readings, Signal};
use crate::denial::Denial;
use crate::money::{PERCENT_ONE, Percent};

use ema_cross::EmaCross;
use rsi_reversion::RsiReversion;

/// The state of one signal on one instrument.
#[derive(Debug, Clone)]
pub struct SignalState(Kind);

#[derive(Debug, Clone)]
enum Kind {
    EmaCross(Box<EmaCross>),
    RsiReversion(Box<RsiReversion>),
    Quarantined,
}

/// What a signal makes of the bars so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Buy or sell, or neither; a denial when the signal cannot tell yet.
    pub signal: Result<Option<Signal>, Denial>,
    /// The indicator values.
    pub readings: Readings,
}

impl SignalState {
    /// A signal that has seen nothing.
    pub fn new(config: SignalConfig) -> Self {
        Self(match config {
            SignalConfig::EmaCross { fast, slow } => Kind::EmaCross(Box::new(EmaCross::new(fast, slow))),
            SignalConfig::RsiReversion { period, oversold, overbought } => {
                Kind::RsiReversion(Box::new(RsiReversion::new(period, oversold, overbought)))
            }
        })
    }

    /// The signal of a strategy: one that sees nothing while it is quarantined.
    pub fn of(strategy: &ResolvedStrategy) -> Self {
        match strategy.desired_state {
            DesiredState::Quarantined => Self(Kind::Quarantined),
            _ => Self::new(strategy.signal),
        }
    }

    /// Takes in the close of the next bar and says what follows from all closes so far.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "the call of the one signal it is remains; this one would be another a bar"
    )]
    pub fn update(&mut self, close: f64) -> Evaluation {
        match &mut self.0 {
            Kind::EmaCross(signal) => signal.update(close),
            Kind::RsiReversion(signal) => signal.update(close),
            Kind::Quarantined => {
                Evaluation { signal: Err(Denial::Quarantined), readings: Readings::default() }
            }
        }
    }
}

/// Bars that may be missing in a row before a signal starts anew: past that, its averages describe another market.
pub fn tolerated_gap(config: SignalConfig) -> u32 {
    match config {
        SignalConfig::EmaCross { fast, .. } => fast,
        SignalConfig::RsiReversion { period, .. } => period,
    }
}

/// The names of a signal's readings, in their order.
pub fn reading_names(config: SignalConfig) -> &'static [&'static str] {
    match config {
        SignalConfig::EmaCross { .. } => &["emaFast", "emaSlow", "meanMove"],
        SignalConfig::RsiReversion { .. } => &["rsi"],
    }
}

/// A ratio of 0 to 1 as percent, cut to four decimals. What is no number is no confidence.
fn confidence(ratio: f64) -> Percent {
    #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
    let units = (ratio.clamp(0.0, 1.0) * PERCENT_ONE as f64).floor();
    if units.is_nan() {
        return Percent(0);
    }
    #[expect(clippy::cast_possible_truncation, reason = "0 to a million after the clamp")]
    Percent(units as i64)
}
