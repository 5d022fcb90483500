//! Which halts hold for a strategy or an account, in words and as status.
//!
//! Pure. The effective halt is the OR of all sources and the severest action holds. A halt sticks to what it once
//! matched: a source that was listed, or that the worker has in force, stays listed while its object exists.

use std::collections::BTreeSet;

use kube::ResourceExt;
use tradewind_core::halt::HaltOrigin;
use tradewind_crds::common::{HaltAction, HaltSource, HaltStatus, SymbolText, UidText, cut};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::reach::{self, Subject, UNREADABLE};
use tradewind_crds::reasons::Reason;
use tradewind_crds::resolve::halts::{local_name, origin};
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

/// The name under which `spec.halted` is listed until it is latched.
pub const SPEC_HALTED: &str = "spec.halted";
/// Most sources that are listed, and most uids that a worker lists.
pub const MOST_LISTED: usize = 64;
/// Most sources that a message tells.
const MOST_TOLD: usize = 8;

/// One halt that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// As the status lists it.
    pub listed: HaltSource,
    /// Where it comes from.
    pub origin: HaltOrigin,
    /// Only these instruments; empty means all.
    pub instruments: Vec<SymbolText>,
}

/// All halts that hold, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources(pub Vec<Source>);

impl Sources {
    /// The halts that hold for a strategy.
    pub fn of_strategy(objects: &Objects, strategy: &TradingStrategy) -> Self {
        let key = Key::of(strategy);
        let operator = objects.operator_namespace.as_deref();
        let kept = kept(strategy);
        let holds = |halt: &&TradingHalt| {
            let matched = reach::reaches(halt, Subject::of(strategy), operator);
            let kept = || halt.uid().is_some_and(|uid| kept.contains(uid.as_str()));
            (matched || kept()) && reach::concerns(halt, strategy)
        };
        let held: Vec<&TradingHalt> = objects.halts.iter().filter(holds).collect();
        let mut all: Vec<Source> = held
            .iter()
            .map(|halt| {
                let command = if reach::is_own(halt, strategy) {
                    resume_command(&key, &halt.uid().unwrap_or_default())
                } else {
                    delete_command(&Key::of(*halt))
                };
                source(halt, &key, command)
            })
            .collect();
        if strategy.spec.halted == Some(true) && !held.iter().any(|halt| reach::is_latch(halt, strategy)) {
            all.push(not_latched());
        }
        all.extend(unreadable(objects, &key));
        Self(all)
    }

    /// The halts that hold for all of an account.
    pub fn of_account(objects: &Objects, account: &ExchangeAccount) -> Self {
        let key = Key::of(account);
        let operator = objects.operator_namespace.as_deref();
        let held = objects.halts.iter().filter(|halt| reach::reaches_account(halt, &key, operator));
        let mut all: Vec<Source> =
            held.map(|halt| source(halt, &key, delete_command(&Key::of(halt)))).collect();
        all.extend(unreadable(objects, &key));
        Self(all)
    }

    /// Whether any halt holds.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether each instrument the strategy lists is halted by one or another.
    pub fn cover(&self, strategy: &TradingStrategy) -> bool {
        let halted = |symbol: &SymbolText| {
            let by = |source: &Source| {
                let limited = &source.instruments;
                limited.is_empty() || limited.iter().any(|own| own == symbol || own.exact().is_err())
            };
            self.0.iter().any(by)
        };
        self.any() && strategy.spec.instruments.iter().all(|instrument| halted(&instrument.symbol))
    }

    /// As the status says it.
    pub fn status(&self) -> HaltStatus {
        let named = self.0.iter().map(|source| {
            let HaltSource { name, requested_by, .. } = &source.listed;
            if requested_by.is_empty() { name.clone() } else { format!("{name} ({requested_by})") }
        });
        HaltStatus {
            active: self.any(),
            action: self.0.iter().map(|source| source.listed.action).max_by_key(|action| severity(*action)),
            by: self.any().then(|| cut(&named.collect::<Vec<_>>().join(", "), 512)),
            sources: self.0.iter().take(MOST_LISTED).map(|source| source.listed.clone()).collect(),
        }
    }

    /// The reason of the condition Halted: the source that most needs a person's eye.
    pub fn reason(&self) -> Reason {
        let from = |wanted: fn(&HaltOrigin) -> bool| self.0.iter().any(|source| wanted(&source.origin));
        if !self.any() {
            Reason::NotHalted
        } else if from(|origin| matches!(origin, HaltOrigin::LedgerUnknown)) {
            Reason::LedgerUnknown
        } else if from(|origin| matches!(origin, HaltOrigin::BalancesDiffer)) {
            Reason::BalancesDiffer
        } else if from(|origin| matches!(origin, HaltOrigin::Breaker { .. })) {
            Reason::BreakerTripped
        } else {
            Reason::Halted
        }
    }

    /// Each halt with who, why, and the one command that resumes it.
    pub fn message(&self) -> String {
        let told = self.0.iter().take(MOST_TOLD).map(|source| {
            let HaltSource { name, requested_by, reason, resume_command, .. } = &source.listed;
            let (reason, who) = (cut(reason, 200), requested_by);
            let whence = if who.is_empty() { reason } else { format!("{who}: {reason}") };
            let whence = match source.instruments.as_slice() {
                [] => whence,
                only => format!("{whence}; only {}", symbols(only)),
            };
            let resume = if resume_command.is_empty() {
                "not latched yet".to_owned()
            } else {
                format!("resume with: {resume_command}")
            };
            format!("{name} ({whence}); {resume}")
        });
        let told = told.collect::<Vec<_>>().join("; and by ");
        match self.0.len() {
            0 => "no halt holds".to_owned(),
            count if count > MOST_TOLD => {
                format!("halted by {told}; and by {} more, see status.halt.sources", count - MOST_TOLD)
            }
            _ => format!("halted by {told}"),
        }
    }

    /// The uids of the halts that hold.
    pub fn uids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|source| source.listed.uid.as_ref()).map(|uid| uid.0.as_str())
    }
}

/// What resumes a halt whose target is that strategy.
pub fn resume_command(strategy: &Key, uid: &str) -> String {
    let Key { namespace, name } = strategy;
    let patch = format!(r#"{{"spec":{{"halted":null,"resume":{{"haltID":"{uid}"}}}}}}"#);
    format!("kubectl patch strat {name} -n {namespace} --type=merge -p '{patch}'")
}

/// What resumes any other halt.
pub fn delete_command(halt: &Key) -> String {
    format!("kubectl delete thalt {} -n {}", halt.name, halt.namespace)
}

/// The uids of halts that stick to the strategy: those it listed, and those its worker has in force.
fn kept(strategy: &TradingStrategy) -> BTreeSet<&str> {
    let Some(status) = &strategy.status else { return BTreeSet::new() };
    let listed = status.halt.iter().flat_map(|halt| &halt.sources).filter_map(|source| source.uid.as_ref());
    let applied = status.applied.iter().flat_map(|applied| &applied.halts);
    listed.chain(applied).map(|uid| uid.0.as_str()).collect()
}

fn source(halt: &TradingHalt, beside: &Key, resume_command: String) -> Source {
    let listed = HaltSource {
        name: local_name(&Key::of(halt), beside),
        uid: halt.uid().map(UidText),
        action: halt.spec.action,
        reason: halt.spec.reason.clone(),
        requested_by: halt.spec.requested_by.clone(),
        since: halt.creation_timestamp(),
        resume_command,
    };
    Source { listed, origin: origin(halt), instruments: halt.spec.instruments.clone() }
}

fn not_latched() -> Source {
    let listed = HaltSource {
        name: SPEC_HALTED.to_owned(),
        action: HaltAction::CancelEntries,
        reason: "spec.halted is true".to_owned(),
        ..HaltSource::default()
    };
    Source { listed, origin: HaltOrigin::Latched, instruments: Vec::new() }
}

fn unreadable<'a>(objects: &'a Objects, beside: &'a Key) -> impl Iterator<Item = Source> {
    reach::unreadable(objects, &beside.namespace).map(|id| {
        let listed = HaltSource {
            name: local_name(&id.key, beside),
            action: HaltAction::CancelEntries,
            reason: UNREADABLE.to_owned(),
            resume_command: delete_command(&id.key),
            ..HaltSource::default()
        };
        Source { listed, origin: HaltOrigin::Manual, instruments: Vec::new() }
    })
}

fn symbols(symbols: &[SymbolText]) -> String {
    let names: Vec<&str> = symbols.iter().map(|symbol| symbol.0.as_str()).collect();
    cut(&names.join(", "), 100)
}

fn severity(action: HaltAction) -> u8 {
    match action {
        HaltAction::StopEntries => 0,
        HaltAction::CancelEntries => 1,
        HaltAction::Liquidate => 2,
    }
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
