//! All statistics of one book: a strategy's, or the account's.

use std::collections::BTreeMap;

use serde::Serialize;
use tradewind_core::denial::Denial;
use tradewind_core::instrument::InstrumentId;
use tradewind_core::money::{Cash, Price};
use tradewind_core::time::Timestamp;

use super::StatisticsError;
use super::denials::Denials;
use super::equity::{EquityFigures, EquityTracker};
use super::hold::HoldTracker;
use super::ratios::{rounded, share};
use super::trades::{ClosedTrade, Execution, TradeTracker};

/// What came of a book. Money is exact; ratios are shares (0.05 is 5 %) of six decimals; what is not defined is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// Equity: return, growth, Sharpe, Sortino, drawdown.
    #[serde(flatten)]
    pub equity: EquityFigures,
    /// Profit and loss of all that was sold, fees taken off.
    pub realized_pnl: Cash,
    /// Round trips closed.
    pub trades: u64,
    /// Those that made money.
    pub wins: u64,
    /// Those that lost money.
    pub losses: u64,
    /// Wins / trades.
    pub win_rate: Option<f64>,
    /// Average win / average loss.
    pub payoff: Option<f64>,
    /// Sum of the wins / sum of the losses.
    pub profit_factor: Option<f64>,
    /// Fills.
    pub fills: u64,
    /// Value of all fees in the quote currency.
    pub fees: Cash,
    /// Bars seen.
    pub bars: u64,
    /// Bars at whose close a position was held / bars.
    pub exposure_time: Option<f64>,
    /// Signals that asked for a trade and were refused by us.
    pub denied: u64,
    /// Every reason why nothing was done, with its number of decisions.
    pub denials: BTreeMap<&'static str, u64>,
    /// The same money in the same instruments, and nothing done.
    pub buy_and_hold: EquityFigures,
}

/// Gathers the statistics of one book as a run goes.
#[derive(Debug, Clone)]
pub struct Book {
    equity: EquityTracker,
    trades: TradeTracker,
    denials: Denials,
    hold: HoldTracker,
    bars: u64,
    bars_held: u64,
}

impl Book {
    /// A book that starts with `initial` at `start` (the first bar's open time) and trades those instruments.
    pub fn new(start: Timestamp, initial: Cash, instruments: &[InstrumentId]) -> Self {
        Self {
            equity: EquityTracker::new(start, initial),
            trades: TradeTracker::default(),
            denials: Denials::default(),
            hold: HoldTracker::new(start, initial, instruments),
            bars: 0,
            bars_held: 0,
        }
    }

    /// Bars of the book's instruments closed at `at`, at those prices; `equity` and `holds` (any position at all) as they
    /// are after all of them. They are one sample of equity; none at all is no sample.
    #[inline]
    pub fn on_bars(
        &mut self,
        at: Timestamp,
        closes: impl Iterator<Item = (InstrumentId, Price)>,
        equity: Cash,
        holds: bool,
    ) -> Result<(), StatisticsError> {
        let mut bars = 0;
        let held = self.hold.on_closes(at, closes.inspect(|_| bars += 1));
        if bars > 0 {
            self.equity.push(at, equity);
        }
        self.bars += bars;
        self.bars_held += if holds { bars } else { 0 };
        held
    }

    /// A fill. Returns the round trip it closed, if it did.
    pub fn on_fill(
        &mut self,
        instrument: InstrumentId,
        execution: &Execution,
    ) -> Result<Option<ClosedTrade>, StatisticsError> {
        self.trades.on_fill(instrument, execution)
    }

    /// A decision that led to nothing.
    #[inline]
    pub fn on_denial(&mut self, denial: &Denial) {
        self.denials.count(denial);
    }

    /// What came of it so far.
    pub fn statistics(&self) -> Statistics {
        let trades = self.trades.figures();
        Statistics {
            equity: self.equity.figures(),
            realized_pnl: trades.realized_pnl,
            trades: trades.trades,
            wins: trades.wins,
            losses: trades.losses,
            win_rate: trades.win_rate.map(rounded),
            payoff: trades.payoff.map(rounded),
            profit_factor: trades.profit_factor.map(rounded),
            fills: trades.fills,
            fees: trades.fees,
            bars: self.bars,
            exposure_time: share(self.bars_held, self.bars).map(rounded),
            denied: self.denials.refused_signals(),
            denials: self.denials.by_reason(),
            buy_and_hold: self.hold.figures(),
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
pub(super) mod tests;
