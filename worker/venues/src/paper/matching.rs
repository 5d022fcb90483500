//! The matching convention: at what price and when an order trades in a bar. Pure functions of one order and one bar.
//!
//! The same for backtest and paper. A bar has two phases: its open, and its range (everything after the open).
//!
//! - A **market** order trades at the open of the first bar it is shown whose end lies after the time it reaches the
//!   market (sending time plus latency), worse by the slippage, as taker.
//! - A **stop** is live from the moment it is placed, without latency, also in the bar it was placed in. It is set off by
//!   `low <= trigger` (sell) or `high >= trigger` (buy) and trades at the worse of open and trigger, worse by the
//!   slippage, as taker. Once set off it is a market order.
//! - A **limit** order trades when the price goes *through* it (`low < price` for a buy, `high > price` for a sell): a
//!   touch leaves us last in the queue, so it does not count. If the open is already through it, it trades at the open:
//!   as maker when it rested before the bar, else as taker, worse by the slippage but never worse than its limit.
//! - An **immediate-or-cancel** order trades where a market order would, never worse than its limit. If the price is
//!   beyond its limit there, or for what is left after that, it ends.
//!
//! Slippage is rounded to the tick against us, and no price is ever below one tick.

use tradewind_core::instrument::{Bar, InstrumentRules};
use tradewind_core::money::{
    BPS_ONE, BasisPoints, MoneyError, PERCENT_ONE, Percent, Price, Quantity, Rounding, mul_div,
};
use tradewind_core::order::{Liquidity, OrderKind, Side};
use tradewind_core::time::{Millis, Timestamp};

use super::order::Order;

/// A part of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its first price. Orders placed before it may trade at it.
    Open,
    /// All after its first price, its low and high.
    Range,
}

/// What an order would trade at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) price: Price,
    pub(crate) liquidity: Liquidity,
    pub(crate) at: Timestamp,
}

/// Why an order ends instead of trading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Its price cannot be computed exactly.
    NoPrice,
    /// The market was beyond its limit when it came, and it does not rest.
    BeyondItsLimit,
}

impl From<MoneyError> for Ends {
    fn from(_: MoneyError) -> Self {
        Self::NoPrice
    }
}

/// One bar of one instrument, and how the venue treats orders in it.
pub(crate) struct Market<'a> {
    pub(crate) rules: &'a InstrumentRules,
    pub(crate) bar: &'a Bar,
    pub(crate) interval: Millis,
    pub(crate) slippage: BasisPoints,
    pub(crate) latency: Millis,
}

impl Market<'_> {
    /// What the order trades at in that phase; none when it does not.
    pub(crate) fn execution(&self, phase: Phase, order: &Order) -> Result<Option<Execution>, Ends> {
        let execution = match order.kind {
            OrderKind::Market => self.market(phase, order),
            OrderKind::Stop { .. } if order.triggered => self.market(phase, order),
            OrderKind::Stop { trigger } => self.stop(phase, order, trigger),
            OrderKind::Limit { price } => self.limit(phase, order, price),
            OrderKind::ImmediateOrCancel { price } => return self.immediate(phase, order, price),
        };
        Ok(execution?)
    }

    /// As a market order with a limit.
    fn immediate(&self, phase: Phase, order: &Order, limit: Price) -> Result<Option<Execution>, Ends> {
        let Some(execution) = self.market(phase, order)? else { return Ok(None) };
        let (price, open) = (execution.price, self.bar.open);
        let (within, price) = match order.side {
            Side::Buy => (open <= limit, price.min(limit)),
            Side::Sell => (open >= limit, price.max(limit)),
        };
        if within { Ok(Some(Execution { price, ..execution })) } else { Err(Ends::BeyondItsLimit) }
    }

    fn market(&self, phase: Phase, order: &Order) -> Result<Option<Execution>, MoneyError> {
        if phase == Phase::Range || self.live_at(order) >= self.bar.close_time(self.interval) {
            return Ok(None);
        }
        let price = self.worse(self.bar.open, order.side)?;
        let at = self.bar.open_time.max(self.live_at(order));
        Ok(Some(Execution { price, liquidity: Liquidity::Taker, at }))
    }

    fn stop(&self, phase: Phase, order: &Order, trigger: Price) -> Result<Option<Execution>, MoneyError> {
        if order.placed_at >= self.bar.close_time(self.interval) {
            return Ok(None);
        }
        let extreme = match (phase, order.side) {
            (Phase::Open, _) => self.bar.open,
            (Phase::Range, Side::Sell) => self.bar.low,
            (Phase::Range, Side::Buy) => self.bar.high,
        };
        let (reached, from) = match order.side {
            Side::Sell => (extreme <= trigger, self.bar.open.min(trigger)),
            Side::Buy => (extreme >= trigger, self.bar.open.max(trigger)),
        };
        if !reached {
            return Ok(None);
        }
        let price = self.worse(from, order.side)?;
        Ok(Some(Execution { price, liquidity: Liquidity::Taker, at: self.time(phase, order) }))
    }

    fn limit(&self, phase: Phase, order: &Order, limit: Price) -> Result<Option<Execution>, MoneyError> {
        if self.live_at(order) >= self.bar.close_time(self.interval) {
            return Ok(None);
        }
        let beyond = |price: Price| match order.side {
            Side::Buy => price < limit,
            Side::Sell => price > limit,
        };
        let at = self.time(phase, order);
        if beyond(self.bar.open) {
            if self.live_at(order) < self.bar.open_time {
                return Ok(Some(Execution { price: self.bar.open, liquidity: Liquidity::Maker, at }));
            }
            let slipped = self.worse(self.bar.open, order.side)?;
            let price = if order.side == Side::Buy { slipped.min(limit) } else { slipped.max(limit) };
            let at = at.max(self.live_at(order));
            return Ok(Some(Execution { price, liquidity: Liquidity::Taker, at }));
        }
        let extreme = if order.side == Side::Buy { self.bar.low } else { self.bar.high };
        let through = phase == Phase::Range && beyond(extreme);
        Ok(through.then_some(Execution { price: limit, liquidity: Liquidity::Maker, at }))
    }

    /// When the order reaches the market; a stop that was set off is there already.
    fn live_at(&self, order: &Order) -> Timestamp {
        if order.triggered { order.placed_at } else { order.placed_at.plus(self.latency) }
    }

    /// The time of a trade of a resting order. Nobody knows when within the bar its range was traded, so a trade in it
    /// is stamped with the bar's last millisecond: not before anything that led to it, and not in the next bar.
    fn time(&self, phase: Phase, order: &Order) -> Timestamp {
        let open = self.bar.open_time;
        let in_bar = match phase {
            Phase::Open => open,
            Phase::Range => open.max(self.bar.close_time(self.interval).plus(Millis(-1))),
        };
        in_bar.max(order.placed_at)
    }

    fn worse(&self, price: Price, side: Side) -> Result<Price, MoneyError> {
        worse_by(self.rules, price, side, self.slippage)
    }
}

/// The price, worse for us by the slippage, on the tick and at least one tick.
pub(crate) fn worse_by(
    rules: &InstrumentRules,
    price: Price,
    side: Side,
    slippage: BasisPoints,
) -> Result<Price, MoneyError> {
    let (sign, rounding) = match side {
        Side::Buy => (1, Rounding::Up),
        Side::Sell => (-1, Rounding::Down),
    };
    let mut units = price.0;
    if slippage.0 != 0 {
        let factor = i128::from(BPS_ONE) + sign * i128::from(slippage.0);
        let slipped = mul_div(i128::from(price.0), factor, i128::from(BPS_ONE), rounding)?;
        let overflow = |_| MoneyError::Overflow { what: "a price with slippage" };
        units = i64::try_from(slipped).map_err(overflow)?;
    }
    Ok(rules.round_tick(Price(units), rounding).max(rules.tick))
}

/// How much our orders may trade in one bar together: the share of its volume, rounded down to the lot.
pub(crate) fn volume_budget(rules: &InstrumentRules, bar: &Bar, share: Percent) -> Quantity {
    let units = i128::from(bar.volume.0.max(0)) * i128::from(share.0) / i128::from(PERCENT_ONE);
    rules.floor_lot(Quantity(i64::try_from(units).unwrap_or(i64::MAX)))
}
