//! RiskPolicy to limits and breakers. Where it is silent it stays silent: who fills the gaps decides its caller.

use smol_str::SmolStr;
use tradewind_core::limits::{Breaker, BreakerScope, PartialLimits};
use tradewind_core::money::Percent;
use tradewind_core::time::Millis;

use super::check::Check;
use crate::common::{Decimal, GoDuration, PercentNumber};
use crate::objects::{Key, Kind, ObjectId};
use crate::problem::Problems;
use crate::risk_policy::{self as wire, RiskPolicy, Trip};

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    /// Its name.
    pub name: SmolStr,
    /// The limits it sets.
    pub limits: PartialLimits,
    /// The account-wide exposure it sets.
    pub account_exposure: Option<Percent>,
    /// The breakers it lists.
    pub breakers: Vec<Breaker>,
}

/// Reads a policy; all of its problems at once.
pub(super) fn read(object: &RiskPolicy) -> Result<Policy, Problems> {
    let id = ObjectId::new(Kind::RiskPolicy, Key::of(object));
    let mut check = Check::new(&id);
    let limits = limits(object, &mut check);
    let exposure = object.spec.account.as_ref().and_then(|account| account.max_exposure_percent);
    let account_exposure =
        check.take_if("spec.account.maxExposurePercent", exposure.map(PercentNumber::exact));
    let breakers = object.spec.breakers.iter().enumerate();
    let breakers = breakers.filter_map(|(index, wire)| breaker(index, wire, &mut check)).collect();
    let policy = Policy { name: id.key.name.as_str().into(), limits, account_exposure, breakers };
    check.finish(Some(policy))
}

fn limits(object: &RiskPolicy, check: &mut Check<'_>) -> PartialLimits {
    let order = object.spec.order.clone().unwrap_or_default();
    let wire = object.spec.strategy.clone().unwrap_or_default();
    let min_notional = order.min_notional.as_ref().map(Decimal::exact);
    let flatten = order.flatten_unprotected_after.as_ref().map(GoDuration::exact);
    let cooldown = wire.cooldown.as_ref().map(GoDuration::exact);
    PartialLimits {
        min_notional: check.take_if("spec.order.minNotional", min_notional),
        flatten_unprotected_after: check.take_if("spec.order.flattenUnprotectedAfter", flatten),
        min_confidence: check.take_if(
            "spec.strategy.minConfidencePercent",
            wire.min_confidence_percent.map(PercentNumber::exact),
        ),
        max_position: check
            .take_if("spec.strategy.maxPositionPercent", wire.max_position_percent.map(PercentNumber::exact)),
        max_exposure: check
            .take_if("spec.strategy.maxExposurePercent", wire.max_exposure_percent.map(PercentNumber::exact)),
        max_open_positions: check
            .take_if("spec.strategy.maxOpenPositions", wire.max_open_positions.map(u32::try_from)),
        cooldown: check.take_if("spec.strategy.cooldown", cooldown),
        max_trades_per_instrument_per_day: check.take_if(
            "spec.strategy.maxTradesPerInstrumentPerDay",
            wire.max_trades_per_instrument_per_day.map(u32::try_from),
        ),
    }
}

fn breaker(index: usize, wire: &wire::Breaker, check: &mut Check<'_>) -> Option<Breaker> {
    let Trip::Drawdown(trip) = &wire.trip;
    let field = |name: &str| format!("spec.breakers[{index}].trip.drawdown.{name}");
    let drawdown = check.take(&field("percent"), trip.percent.exact());
    let confirm_for = match &trip.confirm_for {
        Some(duration) => check.take(&field("confirmFor"), duration.exact()),
        None => Some(default_confirmation()),
    };
    Some(Breaker {
        name: wire.name.0.as_str().into(),
        scope: match wire.scope {
            wire::BreakerScope::Strategy => BreakerScope::Strategy,
            wire::BreakerScope::Account => BreakerScope::Account,
        },
        drawdown: drawdown?,
        confirm_for: confirm_for?,
        action: wire.action.into(),
    })
}

fn default_confirmation() -> Millis {
    Breaker::default_drawdown().confirm_for
}

/// The breakers an account's policy means: those it lists, and `drawdown` unless it is listed.
pub(super) fn account_breakers(policy: &Policy) -> Vec<Breaker> {
    let default = Breaker::default_drawdown();
    let mut breakers = policy.breakers.clone();
    if breakers.iter().all(|breaker| breaker.name != default.name) {
        breakers.insert(0, default);
    }
    breakers
}

/// Those of one scope.
pub(super) fn of_scope(breakers: &[Breaker], scope: BreakerScope) -> Vec<Breaker> {
    breakers.iter().filter(|breaker| breaker.scope == scope).cloned().collect()
}
