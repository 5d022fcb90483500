//! Round trips: what a position cost by its average, what it brought, and what the fees took.

use std::collections::BTreeMap;

use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::money::{Cash, Rounding};
use tradewind_core::order::{Fill, Side};
use tradewind_core::time::Timestamp;

use super::StatisticsError;
use super::ratios::{ratio, share};

/// The fee of a fill, by where it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionFee {
    /// Paid beside the trade, in the quote asset or a third one; its value in the quote currency.
    Quote(Cash),
    /// Taken from the base asset that was traded.
    Base {
        /// Amount of the base asset.
        amount: Cash,
        /// Its value in the quote currency.
        value: Cash,
    },
}

/// A fill in plain amounts: base in base, money in the quote currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// When.
    pub at: Timestamp,
    /// Buy or sell.
    pub side: Side,
    /// Traded amount of the base asset, before a fee in it.
    pub amount: Cash,
    /// Price times quantity.
    pub notional: Cash,
    /// What it cost.
    pub fee: ExecutionFee,
    /// One lot of the base asset: a position below it is closed, for it cannot be sold.
    pub lot: Cash,
}

impl Execution {
    /// The fill as an execution. `fee_price` is the price, in the quote currency, of a fee asset that is neither base nor
    /// quote; without it such a fee is an error.
    pub fn of(
        fill: &Fill,
        rules: &InstrumentRules,
        fee_price: Option<Cash>,
    ) -> Result<Self, StatisticsError> {
        const ONE: i128 = 1_000_000_000_000_000_000;
        let (asset, amount) = (&fill.fee.asset, fill.fee.amount);
        let fee = if asset == fill.symbol.quote() {
            ExecutionFee::Quote(amount)
        } else if asset == fill.symbol.base() {
            let price = rules.notional(fill.price, rules.quantity_of_base(Cash(ONE))?)?;
            ExecutionFee::Base { amount, value: amount.mul_div(price.0, ONE, Rounding::Up)? }
        } else {
            let missing =
                || StatisticsError::FeeWithoutPrice { symbol: fill.symbol.clone(), asset: asset.clone() };
            ExecutionFee::Quote(amount.mul_div(fee_price.ok_or_else(missing)?.0, ONE, Rounding::Up)?)
        };
        Ok(Self {
            at: fill.at,
            side: fill.side,
            amount: rules.base_amount(fill.quantity)?,
            notional: rules.notional(fill.price, fill.quantity)?,
            fee,
            lot: rules.base_amount(rules.lot)?,
        })
    }
}

/// A round trip: from nothing held to nothing held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedTrade {
    /// In which instrument.
    pub instrument: InstrumentId,
    /// Time of its first fill.
    pub entry: Timestamp,
    /// Time of its last fill.
    pub exit: Timestamp,
    /// What it brought less what it cost, all fees of it taken off.
    pub pnl: Cash,
}

/// What the round trips amount to.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TradeFigures {
    /// Round trips closed.
    pub trades: u64,
    /// Those that made money.
    pub wins: u64,
    /// Those that lost money; one that ended at exactly nothing is neither.
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
    /// Profit and loss of all that was sold, also of positions still open.
    pub realized_pnl: Cash,
}

/// Follows positions by average cost, fees included. Keeps open positions and sums, no history.
#[derive(Debug, Clone, Default)]
pub struct TradeTracker {
    open: BTreeMap<InstrumentId, Position>,
    trades: u64,
    wins: u64,
    losses: u64,
    gross_profit: Cash,
    gross_loss: Cash,
    fills: u64,
    fees: Cash,
    realized: Cash,
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// Amount of the base asset.
    amount: Cash,
    /// What that amount cost, fees included.
    cost: Cash,
    /// Of the round trip so far.
    pnl: Cash,
    entry: Option<Timestamp>,
}

impl TradeTracker {
    /// Books a fill and returns the round trip it closed, if it did. On an error nothing is booked.
    pub fn on_fill(
        &mut self,
        instrument: InstrumentId,
        execution: &Execution,
    ) -> Result<Option<ClosedTrade>, StatisticsError> {
        let mut position = self.open.get(&instrument).copied().unwrap_or_default();
        let fee = match execution.fee {
            ExecutionFee::Quote(value) | ExecutionFee::Base { value, .. } => value,
        };
        let fees = self.fees.checked_add(fee)?;
        let gain = match execution.side {
            Side::Buy => position.buy(execution)?,
            Side::Sell => position.sell(execution)?,
        };
        let realized = self.realized.checked_add(gain)?;
        let flat = execution.side == Side::Sell && position.amount < execution.lot;
        let closed = flat.then_some(ClosedTrade {
            instrument,
            entry: position.entry.unwrap_or(execution.at),
            exit: execution.at,
            pnl: position.pnl,
        });
        if let Some(trade) = closed {
            self.count(trade.pnl)?;
            position = Position { amount: position.amount, ..Position::default() };
        }
        (self.fees, self.realized) = (fees, realized);
        self.fills += 1;
        self.open.insert(instrument, position);
        Ok(closed)
    }

    /// What the round trips amount to so far.
    #[expect(clippy::float_arithmetic, reason = "a ratio of two means, not money")]
    pub fn figures(&self) -> TradeFigures {
        let mean = |sum, count| ratio(sum, Cash(i128::from(count)));
        let payoff = match (mean(self.gross_profit, self.wins), mean(self.gross_loss, self.losses)) {
            (Some(win), Some(loss)) => Some(win / loss),
            _ => None,
        };
        TradeFigures {
            trades: self.trades,
            wins: self.wins,
            losses: self.losses,
            win_rate: share(self.wins, self.trades),
            payoff,
            profit_factor: ratio(self.gross_profit, self.gross_loss),
            fills: self.fills,
            fees: self.fees,
            realized_pnl: self.realized,
        }
    }

    fn count(&mut self, pnl: Cash) -> Result<(), StatisticsError> {
        if pnl > Cash::ZERO {
            self.gross_profit = self.gross_profit.checked_add(pnl)?;
            self.wins += 1;
        } else if pnl < Cash::ZERO {
            self.gross_loss = self.gross_loss.checked_sub(pnl)?;
            self.losses += 1;
        }
        self.trades += 1;
        Ok(())
    }
}

impl Position {
    /// Returns the gain it realized: none.
    fn buy(&mut self, execution: &Execution) -> Result<Cash, StatisticsError> {
        let (received, cost) = match execution.fee {
            ExecutionFee::Quote(fee) => (execution.amount, execution.notional.checked_add(fee)?),
            ExecutionFee::Base { amount, .. } => (execution.amount.checked_sub(amount)?, execution.notional),
        };
        self.amount = self.amount.checked_add(received)?;
        self.cost = self.cost.checked_add(cost)?;
        self.entry = self.entry.or(Some(execution.at));
        Ok(Cash::ZERO)
    }

    /// Returns the gain it realized. What is left below a lot has no cost: it is lost with the round trip. More sold than
    /// was held cost nothing.
    fn sell(&mut self, execution: &Execution) -> Result<Cash, StatisticsError> {
        let (given, proceeds) = match execution.fee {
            ExecutionFee::Quote(fee) => (execution.amount, execution.notional.checked_sub(fee)?),
            ExecutionFee::Base { amount, .. } => (execution.amount.checked_add(amount)?, execution.notional),
        };
        let left = self.amount.checked_sub(given)?;
        let cost = if left < execution.lot {
            self.cost
        } else {
            self.cost.mul_div(given.0, self.amount.0, Rounding::Up)?
        };
        let gain = proceeds.checked_sub(cost)?;
        self.pnl = self.pnl.checked_add(gain)?;
        self.cost = self.cost.checked_sub(cost)?;
        self.amount = left.max(Cash::ZERO);
        Ok(gain)
    }
}

#[cfg(test)]
#[path = "trades_tests.rs"]
mod tests;
