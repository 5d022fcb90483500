//! Halts: who stops what, and what holds when several do. A halt means no entries; exits go on.

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use crate::config::ResolvedAccount;
use crate::name::{Symbol, Uid};
use crate::time::Timestamp;

/// What a halt does beside stopping entries, in rising severity.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
pub enum HaltAction {
    /// No new entries; entries already open stay.
    #[default]
    StopEntries,
    /// No new entries; open entries are cancelled.
    CancelEntries,
    /// As `CancelEntries`, and what is held is sold.
    Liquidate,
}

/// Whom a halt reaches within the account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HaltScope {
    /// All strategies, present and future.
    Account,
    /// The strategies listed.
    Strategies(Vec<Uid>),
}

/// Where a halt comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
pub enum HaltOrigin {
    /// A person, by object or command.
    Manual,
    /// `spec.halted` of the strategy, latched.
    Latched,
    /// A breaker of that name tripped.
    Breaker {
        /// The breaker's name in the policy.
        breaker: SmolStr,
    },
    /// The ledger cannot be trusted until a person says so.
    LedgerUnknown,
    /// The venue holds something else than the ledger says, and nobody has said why.
    BalancesDiffer,
}

/// One halt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Halt {
    /// Unique in the account, such as `strategy.btc-trend.drawdown`; names the halt when it is resumed.
    pub name: SmolStr,
    /// Whom it reaches.
    pub scope: HaltScope,
    /// Only these instruments; empty means all.
    pub instruments: Vec<Symbol>,
    /// What it does.
    pub action: HaltAction,
    /// Where it comes from.
    pub origin: HaltOrigin,
    /// Why, in the words of whoever made it.
    pub reason: String,
    /// Who made it.
    pub requested_by: String,
    /// When.
    pub since: Timestamp,
}

/// Why the worker itself lets no entry through for now. Unlike a halt nobody resumes it: it ends with its cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::Display)]
pub enum EntryBlock {
    /// Halts and strategies are not watched at present: a stop could go unseen.
    Blind,
    /// The account's Lease is not held for certain: another worker may trade.
    LeaseLost,
    /// The configuration was published in a format this worker does not know.
    UnknownFormat,
}

/// What the sources together mean for one strategy and instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveHalt<'a> {
    /// The severest action of them.
    pub action: HaltAction,
    /// Each source that reaches it, in the order given.
    pub sources: Vec<&'a Halt>,
}

impl Halt {
    /// Whether it reaches that strategy in that instrument.
    pub fn reaches(&self, strategy: Uid, symbol: &Symbol) -> bool {
        let strategy_hit = match &self.scope {
            HaltScope::Account => true,
            HaltScope::Strategies(uids) => uids.contains(&strategy),
        };
        strategy_hit && (self.instruments.is_empty() || self.instruments.contains(symbol))
    }
}

/// The name of the halt of an account of whose ledger nobody knows whether it is whole and the newest. A ledger in a database
/// goes by namespace and name of its account, the halt by the name.
pub fn ledger_unknown(account: &str) -> SmolStr {
    format_smolstr!("account.{}.ledger-unknown", ResolvedAccount::short_name(account))
}

/// The halt that holds for a strategy in an instrument: the OR of all sources, the severest action.
pub fn effective_halt<'a>(
    sources: impl IntoIterator<Item = &'a Halt>,
    strategy: Uid,
    symbol: &Symbol,
) -> Option<EffectiveHalt<'a>> {
    let sources: Vec<&Halt> = sources.into_iter().filter(|halt| halt.reaches(strategy, symbol)).collect();
    let action = sources.iter().map(|halt| halt.action).max()?;
    Some(EffectiveHalt { action, sources })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(name: &str, scope: HaltScope, action: HaltAction, instruments: &[&str]) -> Halt {
        Halt {
            name: name.into(),
            scope,
            instruments: instruments.iter().map(|s| s.parse().unwrap()).collect(),
            action,
            origin: HaltOrigin::Manual,
            reason: "test".into(),
            requested_by: "test".into(),
            since: Timestamp(0),
        }
    }

    #[test]
    fn any_source_halts_and_the_severest_action_holds() {
        let (one, two) = (Uid(uuid::Uuid::from_u128(1)), Uid(uuid::Uuid::from_u128(2)));
        let btc: Symbol = "BTC-USD".parse().unwrap();
        let eth: Symbol = "ETH-USD".parse().unwrap();
        let halts = [
            halt("a", HaltScope::Account, HaltAction::StopEntries, &["BTC-USD"]),
            halt("b", HaltScope::Strategies(vec![one]), HaltAction::Liquidate, &[]),
        ];
        let names = |strategy, symbol| {
            effective_halt(&halts, strategy, symbol)
                .map(|e| (e.action, e.sources.iter().map(|h| h.name.to_string()).collect::<Vec<_>>()))
        };
        assert_eq!(names(one, &btc), Some((HaltAction::Liquidate, vec!["a".into(), "b".into()])));
        assert_eq!(names(one, &eth), Some((HaltAction::Liquidate, vec!["b".into()])));
        assert_eq!(names(two, &btc), Some((HaltAction::StopEntries, vec!["a".into()])));
        assert_eq!(names(two, &eth), None);
    }
}
