//! The risk endpoint: `/risk/metrics`. How far everything is from its limit, what is halted, and why entries were denied.

use serde::Serialize;
use tradewind_core::engine::StrategyView;
use tradewind_core::halt::{Halt, HaltOrigin, HaltScope};
use tradewind_core::limits::Breaker;

use super::number::{Number, rfc3339};
use super::strategies;
use crate::snapshot::Snapshot;

/// Amounts are in `currency`, percents are percents (5 is 5 %), spans are seconds.
#[derive(Debug, Serialize)]
pub(super) struct Risk<'a> {
    timestamp: Option<String>,
    currency: &'a str,
    account: Account<'a>,
    strategies: Vec<OfStrategy<'a>>,
    halts: Vec<HaltInForce<'a>>,
    denials: Vec<Denied>,
}

#[derive(Debug, Serialize)]
struct Account<'a> {
    #[serde(rename = "account")]
    name: &'a str,
    equity: Number,
    peak_equity: Number,
    /// What drawdown is measured from: the peak, or equity at the last resume of a breaker.
    reference_equity: Number,
    drawdown_percent: Number,
    breakers: Vec<BreakerLimit<'a>>,
    exposure: Number,
    /// Of equity; null when there is none.
    exposure_percent: Option<Number>,
    max_exposure_percent: Number,
    open_positions: usize,
    open_orders: usize,
}

#[derive(Debug, Serialize)]
struct OfStrategy<'a> {
    strategy: &'a str,
    halted: bool,
    equity: Number,
    peak_equity: Number,
    reference_equity: Number,
    drawdown_percent: Number,
    breakers: Vec<BreakerLimit<'a>>,
    exposure: Number,
    exposure_percent: Option<Number>,
    max_exposure_percent: Number,
    open_positions: usize,
    max_open_positions: u32,
    /// The largest of its positions, of its equity.
    largest_position_percent: Option<Number>,
    max_position_percent: Number,
    min_confidence_percent: Number,
    min_notional: Number,
    cooldown_seconds: Number,
    /// Position-seconds without the stop order there should have been at the venue.
    unprotected_position_seconds: Number,
    flatten_unprotected_after_seconds: Number,
    max_trades_per_instrument_per_day: u32,
}

#[derive(Debug, Serialize)]
struct BreakerLimit<'a> {
    breaker: &'a str,
    /// At this it trips.
    drawdown_percent: Number,
    confirm_for_seconds: Number,
    action: String,
    tripped: bool,
}

#[derive(Debug, Serialize)]
struct HaltInForce<'a> {
    halt: &'a str,
    source: &'static str,
    action: String,
    reason: &'a str,
    requested_by: &'a str,
    since: Option<String>,
    /// Those it reaches.
    strategies: Vec<&'a str>,
    /// Only these; all when empty.
    instruments: Vec<String>,
    /// The command that resumes it.
    resume: String,
}

#[derive(Debug, Serialize)]
struct Denied {
    stage: &'static str,
    denial: &'static str,
    count: u64,
}

/// `/risk/metrics`.
pub(super) fn risk(snapshot: &Snapshot) -> Risk<'_> {
    Risk {
        timestamp: rfc3339(snapshot.now),
        currency: &snapshot.currency,
        account: account(snapshot),
        strategies: strategies::by_name(snapshot).into_values().map(of_strategy).collect(),
        halts: snapshot.halts.iter().map(|halt| in_force(snapshot, halt)).collect(),
        denials: denials(snapshot),
    }
}

fn account(snapshot: &Snapshot) -> Account<'_> {
    let account = &snapshot.account;
    Account {
        name: &snapshot.account_name,
        equity: account.equity.into(),
        peak_equity: account.peak.into(),
        reference_equity: account.reference.into(),
        drawdown_percent: account.drawdown.into(),
        breakers: snapshot
            .account_breakers
            .iter()
            .map(|breaker| breaker_limit(&snapshot.halts, true, breaker))
            .collect(),
        exposure: account.exposure.into(),
        exposure_percent: Number::percent_of(account.exposure, account.equity),
        max_exposure_percent: snapshot.account_limits.max_exposure.into(),
        open_positions: snapshot.strategies.iter().map(|view| view.positions.len()).sum(),
        open_orders: snapshot.open_orders.len(),
    }
}

fn of_strategy(view: &StrategyView) -> OfStrategy<'_> {
    let limits = &view.config.limits;
    let largest = view.positions.iter().map(|held| held.value).max().unwrap_or_default();
    OfStrategy {
        strategy: &view.config.name,
        halted: !view.halts.is_empty(),
        equity: view.equity.into(),
        peak_equity: view.peak.into(),
        reference_equity: view.reference.into(),
        drawdown_percent: view.drawdown.into(),
        breakers: view
            .config
            .breakers
            .iter()
            .map(|breaker| breaker_limit(&view.halts, false, breaker))
            .collect(),
        exposure: view.exposure.into(),
        exposure_percent: Number::percent_of(view.exposure, view.equity),
        max_exposure_percent: limits.max_exposure.into(),
        open_positions: view.positions.len(),
        max_open_positions: limits.max_open_positions,
        largest_position_percent: Number::percent_of(largest, view.equity),
        max_position_percent: limits.max_position.into(),
        min_confidence_percent: limits.min_confidence.into(),
        min_notional: limits.min_notional.into(),
        cooldown_seconds: limits.cooldown.into(),
        unprotected_position_seconds: view.unprotected.into(),
        flatten_unprotected_after_seconds: limits.flatten_unprotected_after.into(),
        max_trades_per_instrument_per_day: limits.max_trades_per_instrument_per_day,
    }
}

/// A breaker with whether it has tripped: a halt of its name and reach is in force. The account and a strategy may each
/// have a breaker of one name.
fn breaker_limit<'a>(halts: &[Halt], account_wide: bool, breaker: &'a Breaker) -> BreakerLimit<'a> {
    let its_own = |halt: &Halt| {
        let made_by = matches!(&halt.origin, HaltOrigin::Breaker { breaker: name } if *name == breaker.name);
        made_by && matches!(halt.scope, HaltScope::Account) == account_wide
    };
    BreakerLimit {
        breaker: &breaker.name,
        drawdown_percent: breaker.drawdown.into(),
        confirm_for_seconds: breaker.confirm_for.into(),
        action: breaker.action.to_string(),
        tripped: halts.iter().any(its_own),
    }
}

fn in_force<'a>(snapshot: &'a Snapshot, halt: &'a Halt) -> HaltInForce<'a> {
    let reached = |view: &&StrategyView| view.halts.iter().any(|reaching| reaching.name == halt.name);
    HaltInForce {
        halt: &halt.name,
        source: (&halt.origin).into(),
        action: halt.action.to_string(),
        reason: &halt.reason,
        requested_by: &halt.requested_by,
        since: rfc3339(halt.since),
        strategies: strategies::by_name(snapshot)
            .into_values()
            .filter(reached)
            .map(|v| v.config.name.as_str())
            .collect(),
        instruments: halt.instruments.iter().map(ToString::to_string).collect(),
        resume: format!("tradewind-worker resume {}", halt.name),
    }
}

/// What was decided and came to nothing. Entries and exits are no denials.
fn denials(snapshot: &Snapshot) -> Vec<Denied> {
    let denied =
        snapshot.totals.decisions.iter().filter(|((_, outcome), _)| !matches!(*outcome, "Enter" | "Exit"));
    denied.map(|((stage, denial), count)| Denied { stage, denial, count: *count }).collect()
}
