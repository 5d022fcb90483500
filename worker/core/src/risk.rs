//! Risk checks: a list of pure functions between a draft of an order and its intent.
//!
//! [`Checked`] can only be made here, so an order that was not checked cannot become an intent. What cannot be computed
//! is denied. Exits pass their own gate: they may only reduce what is held, and no limit stands in their way.

use crate::denial::Denial;
use crate::instrument::InstrumentRules;
use crate::limits::{AccountLimits, Limits};
use crate::money::{BasisPoints, Cash, MoneyError, Percent, Price, Quantity, Rounding};
use crate::order::{IntentId, OrderKind, Purpose, Side};
use crate::time::Millis;

/// An order that is not yet decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draft {
    /// Buy or sell.
    pub side: Side,
    /// How.
    pub kind: OrderKind,
    /// How much.
    pub quantity: Quantity,
    /// Why.
    pub purpose: Purpose,
    /// The price it was sized at.
    pub price: Price,
}

/// A value that passed the checks. Only this module can make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// What passed.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// All that the checks of an entry look at. Orders in flight count as filled.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Limits of the strategy.
    pub limits: &'a Limits,
    /// Limits of the account.
    pub account_limits: &'a AccountLimits,
    /// Rules of the instrument.
    pub rules: &'a InstrumentRules,
    /// Confidence of the signal.
    pub confidence: Percent,
    /// The first order in this instrument that is open or of unknown outcome.
    pub in_flight: Option<IntentId>,
    /// Time since the last fill in this instrument, if there was one.
    pub since_last_fill: Option<Millis>,
    /// Entries in this instrument on this UTC day.
    pub entries_today: u32,
    /// Other instruments of the strategy that are held or being entered.
    pub open_positions: u32,
    /// Equity of the strategy.
    pub equity: Cash,
    /// Worth of what is held of this instrument.
    pub position_value: Cash,
    /// Exposure of the strategy, this instrument included.
    pub exposure: Cash,
    /// Cash of the strategy that no open entry claims.
    pub free_cash: Cash,
    /// Equity of the account.
    pub account_equity: Cash,
    /// Exposure of all strategies.
    pub account_exposure: Cash,
    /// Quote cash of the account that no open entry claims.
    pub account_free_cash: Cash,
    /// Dearest fee of the venue.
    pub fee: BasisPoints,
    /// Slippage to reckon with.
    pub slippage: BasisPoints,
}

type Check = fn(&Context<'_>, &Draft) -> Result<(), Denial>;

/// The checks in the order of their precedence: the first that denies is the reason.
const ENTRY_CHECKS: [Check; 9] = [
    in_flight,
    cooldown,
    trades_per_day,
    open_positions,
    min_notional,
    max_position,
    max_exposure,
    max_account_exposure,
    funds,
];

/// Whether the signal is sure enough. Runs before sizing, as no size is owed to a weak signal.
pub fn confidence(found: Percent, limits: &Limits) -> Result<(), Denial> {
    if found < limits.min_confidence {
        return Err(Denial::BelowConfidence { confidence: found, limit: limits.min_confidence });
    }
    Ok(())
}

/// Passes an entry through all checks.
pub fn approve_entry(context: &Context<'_>, draft: Draft) -> Result<Checked<Draft>, Denial> {
    confidence(context.confidence, context.limits)?;
    ENTRY_CHECKS.iter().try_for_each(|check| check(context, &draft))?;
    Ok(Checked(draft))
}

/// Passes an exit that sells no more than is held; none otherwise.
pub fn approve_exit(sellable: Quantity, draft: Draft) -> Option<Checked<Draft>> {
    let reduces = draft.side == Side::Sell && draft.quantity.0 > 0 && draft.quantity <= sellable;
    (reduces && !draft.purpose.is_entry()).then_some(Checked(draft))
}

fn in_flight(context: &Context<'_>, _: &Draft) -> Result<(), Denial> {
    context.in_flight.map_or(Ok(()), |intent| Err(Denial::OrderInFlight { intent }))
}

fn cooldown(context: &Context<'_>, _: &Draft) -> Result<(), Denial> {
    let limit = context.limits.cooldown;
    match context.since_last_fill {
        Some(elapsed) if elapsed < limit => Err(Denial::Cooldown { elapsed, limit }),
        _ => Ok(()),
    }
}

fn trades_per_day(context: &Context<'_>, _: &Draft) -> Result<(), Denial> {
    let (count, limit) = (context.entries_today, context.limits.max_trades_per_instrument_per_day);
    if count >= limit { Err(Denial::MaxTradesPerDay { count, limit }) } else { Ok(()) }
}

fn open_positions(context: &Context<'_>, _: &Draft) -> Result<(), Denial> {
    let (count, limit) = (context.open_positions, context.limits.max_open_positions);
    if count >= limit { Err(Denial::MaxOpenPositions { count, limit }) } else { Ok(()) }
}

fn min_notional(context: &Context<'_>, draft: &Draft) -> Result<(), Denial> {
    let notional = notional(context, draft)?;
    let limit = context.limits.min_notional.max(context.rules.min_notional);
    if notional < limit { Err(Denial::BelowMinNotional { notional, limit }) } else { Ok(()) }
}

fn max_position(context: &Context<'_>, draft: &Draft) -> Result<(), Denial> {
    let notional = sum(context.position_value, notional(context, draft)?)?;
    let limit = share(context.equity, context.limits.max_position)?;
    if notional > limit { Err(Denial::MaxPosition { notional, limit }) } else { Ok(()) }
}

fn max_exposure(context: &Context<'_>, draft: &Draft) -> Result<(), Denial> {
    let exposure = sum(context.exposure, notional(context, draft)?)?;
    let limit = share(context.equity, context.limits.max_exposure)?;
    if exposure > limit { Err(Denial::MaxExposure { exposure, limit }) } else { Ok(()) }
}

fn max_account_exposure(context: &Context<'_>, draft: &Draft) -> Result<(), Denial> {
    let exposure = sum(context.account_exposure, notional(context, draft)?)?;
    let limit = share(context.account_equity, context.account_limits.max_exposure)?;
    if exposure > limit { Err(Denial::MaxAccountExposure { exposure, limit }) } else { Ok(()) }
}

fn funds(context: &Context<'_>, draft: &Draft) -> Result<(), Denial> {
    let needed = cost_bound(context.rules, draft.price, draft.quantity, context.fee, context.slippage);
    let needed = needed.map_err(|_| Denial::Overflow)?;
    let available = context.free_cash.min(context.account_free_cash);
    if needed > available { Err(Denial::InsufficientFunds { needed, available }) } else { Ok(()) }
}

/// What a buy may cost at the most: its notional with slippage, and the fee on that, each rounded up.
pub fn cost_bound(
    rules: &InstrumentRules,
    price: Price,
    quantity: Quantity,
    fee: BasisPoints,
    slippage: BasisPoints,
) -> Result<Cash, MoneyError> {
    let notional = rules.notional(price, quantity)?;
    let slipped = notional.checked_add(notional.basis_points(slippage, Rounding::Up)?)?;
    slipped.checked_add(slipped.basis_points(fee, Rounding::Up)?)
}

fn notional(context: &Context<'_>, draft: &Draft) -> Result<Cash, Denial> {
    context.rules.notional(draft.price, draft.quantity).map_err(|_| Denial::Overflow)
}

fn sum(one: Cash, two: Cash) -> Result<Cash, Denial> {
    one.checked_add(two).map_err(|_| Denial::Overflow)
}

/// A limit is rounded down: what is allowed is never more than what was written.
fn share(whole: Cash, percent: Percent) -> Result<Cash, Denial> {
    whole.percent(percent, Rounding::Down).map_err(|_| Denial::Overflow)
}

#[cfg(test)]
#[path = "risk_tests.rs"]
mod tests;
