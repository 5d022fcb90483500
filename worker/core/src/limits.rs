//! Limits and breakers of the risk policies, and how two policies combine: the stricter holds, limit by limit.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::halt::HaltAction;
use crate::money::{Cash, Percent};
use crate::time::Millis;

/// The limits that hold for one strategy. Percentages are of the strategy's own equity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Smallest notional of an entry, in the account's quote currency.
    pub min_notional: Cash,
    /// How long a position may be without the stop order it should have at the venue before it is sold.
    #[serde(default = "default_flatten_unprotected_after")]
    pub flatten_unprotected_after: Millis,
    /// Smallest confidence of a signal that may enter.
    pub min_confidence: Percent,
    /// Largest notional of one position.
    pub max_position: Percent,
    /// Largest notional of all positions together.
    pub max_exposure: Percent,
    /// Most positions open at once.
    pub max_open_positions: u32,
    /// Time after the last fill in an instrument during which it is not entered again.
    pub cooldown: Millis,
    /// Most entries in one instrument in one UTC day.
    pub max_trades_per_instrument_per_day: u32,
}

/// Limits of which any may be absent; an absent limit adds nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialLimits {
    /// See [`Limits::min_notional`].
    pub min_notional: Option<Cash>,
    /// See [`Limits::flatten_unprotected_after`].
    pub flatten_unprotected_after: Option<Millis>,
    /// See [`Limits::min_confidence`].
    pub min_confidence: Option<Percent>,
    /// See [`Limits::max_position`].
    pub max_position: Option<Percent>,
    /// See [`Limits::max_exposure`].
    pub max_exposure: Option<Percent>,
    /// See [`Limits::max_open_positions`].
    pub max_open_positions: Option<u32>,
    /// See [`Limits::cooldown`].
    pub cooldown: Option<Millis>,
    /// See [`Limits::max_trades_per_instrument_per_day`].
    pub max_trades_per_instrument_per_day: Option<u32>,
}

fn default_flatten_unprotected_after() -> Millis {
    Millis(10_000)
}

impl Limits {
    /// The values an account's policy has where it is silent.
    pub fn defaults() -> Self {
        Self {
            min_notional: Cash(25 * 10_i128.pow(18)),
            flatten_unprotected_after: default_flatten_unprotected_after(),
            min_confidence: Percent(650_000),
            max_position: Percent(50_000),
            max_exposure: Percent(800_000),
            max_open_positions: 10,
            cooldown: Millis(60 * 60_000),
            max_trades_per_instrument_per_day: 4,
        }
    }

    /// The defaults, with what the account's policy says put in their place.
    #[must_use]
    pub fn filled(partial: &PartialLimits) -> Self {
        let defaults = Self::defaults();
        Self {
            min_notional: partial.min_notional.unwrap_or(defaults.min_notional),
            flatten_unprotected_after: partial
                .flatten_unprotected_after
                .unwrap_or(defaults.flatten_unprotected_after),
            min_confidence: partial.min_confidence.unwrap_or(defaults.min_confidence),
            max_position: partial.max_position.unwrap_or(defaults.max_position),
            max_exposure: partial.max_exposure.unwrap_or(defaults.max_exposure),
            max_open_positions: partial.max_open_positions.unwrap_or(defaults.max_open_positions),
            cooldown: partial.cooldown.unwrap_or(defaults.cooldown),
            max_trades_per_instrument_per_day: partial
                .max_trades_per_instrument_per_day
                .unwrap_or(defaults.max_trades_per_instrument_per_day),
        }
    }

    /// Each limit the stricter of the two: lower maximum, higher minimum, longer cooldown, less time
    /// without protection.
    #[must_use]
    pub fn tightened(self, other: &PartialLimits) -> Self {
        let lower = |own, theirs: Option<Percent>| theirs.map_or(own, |t| t.min(own));
        let fewer = |own, theirs: Option<u32>| theirs.map_or(own, |t| t.min(own));
        Self {
            min_notional: other.min_notional.map_or(self.min_notional, |t| t.max(self.min_notional)),
            flatten_unprotected_after: other
                .flatten_unprotected_after
                .map_or(self.flatten_unprotected_after, |t| t.min(self.flatten_unprotected_after)),
            min_confidence: other.min_confidence.map_or(self.min_confidence, |t| t.max(self.min_confidence)),
            max_position: lower(self.max_position, other.max_position),
            max_exposure: lower(self.max_exposure, other.max_exposure),
            max_open_positions: fewer(self.max_open_positions, other.max_open_positions),
            cooldown: other.cooldown.map_or(self.cooldown, |t| t.max(self.cooldown)),
            max_trades_per_instrument_per_day: fewer(
                self.max_trades_per_instrument_per_day,
                other.max_trades_per_instrument_per_day,
            ),
        }
    }
}

/// The limits over all strategies of an account. Percentages are of the account's equity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountLimits {
    /// Largest notional of all positions and open entries of all strategies together.
    pub max_exposure: Percent,
}

impl AccountLimits {
    /// The values an account's policy has where it is silent.
    pub fn defaults() -> Self {
        Self { max_exposure: Percent(800_000) }
    }
}

/// Whose equity a breaker watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BreakerScope {
    /// Each strategy's own.
    Strategy,
    /// The account's.
    Account,
}

/// A rule that halts by itself when losses pass a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Its name in the policy; part of the name of the halt it makes.
    pub name: SmolStr,
    /// Whose equity it watches.
    pub scope: BreakerScope,
    /// Drawdown from the reference at which it trips.
    pub drawdown: Percent,
    /// Event time the drawdown must last before it trips.
    pub confirm_for: Millis,
    /// What the halt does.
    pub action: HaltAction,
}

impl Breaker {
    /// The breaker every policy has unless it lists one of that name.
    pub fn default_drawdown() -> Self {
        Self {
            name: SmolStr::new_static("drawdown"),
            scope: BreakerScope::Strategy,
            drawdown: Percent(150_000),
            confirm_for: Millis(10_000),
            action: HaltAction::CancelEntries,
        }
    }

    /// Two breakers of one name: the lower percent, the shorter confirmation, the severer action.
    #[must_use]
    pub fn united(self, other: &Self) -> Self {
        Self {
            drawdown: self.drawdown.min(other.drawdown),
            confirm_for: self.confirm_for.min(other.confirm_for),
            action: self.action.max(other.action),
            ..self
        }
    }
}

/// Breakers of two policies united by name and scope, in the order they are first named.
pub fn unite_breakers(first: &[Breaker], second: &[Breaker]) -> Vec<Breaker> {
    let mut united: Vec<Breaker> = first.to_vec();
    for breaker in second {
        match united.iter_mut().find(|own| own.name == breaker.name && own.scope == breaker.scope) {
            Some(own) => *own = own.clone().united(breaker),
            None => united.push(breaker.clone()),
        }
    }
    united
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_of_two_policies_holds_limit_by_limit() {
        let strategy = PartialLimits {
            max_position: Some(Percent(100_000)),
            min_confidence: Some(Percent(700_000)),
            cooldown: Some(Millis(1)),
            flatten_unprotected_after: Some(Millis(2_000)),
            max_open_positions: Some(3),
            ..PartialLimits::default()
        };
        let limits = Limits::defaults().tightened(&strategy);
        assert_eq!(limits.max_position, Percent(50_000), "a looser maximum changes nothing");
        assert_eq!(limits.min_confidence, Percent(700_000));
        assert_eq!(limits.cooldown, Millis(3_600_000), "a shorter cooldown changes nothing");
        assert_eq!(limits.max_open_positions, 3);
        assert_eq!(limits.flatten_unprotected_after, Millis(2_000), "less time without a stop");
        assert_eq!(limits.max_exposure, Percent(800_000), "an absent limit adds nothing");
    }

    #[test]
    fn breakers_unite_by_name() {
        let own = Breaker::default_drawdown();
        let mut tighter = own.clone();
        tighter.drawdown = Percent(100_000);
        tighter.confirm_for = Millis(60_000);
        tighter.action = HaltAction::Liquidate;
        let mut other = own.clone();
        other.name = "second".into();
        let united = unite_breakers(&[own], &[tighter, other]);
        assert_eq!(united.len(), 2);
        assert_eq!(
            (united[0].drawdown, united[0].confirm_for, united[0].action),
            (Percent(100_000), Millis(10_000), HaltAction::Liquidate)
        );
    }
}
