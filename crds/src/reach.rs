//! Whom a TradingHalt reaches, by its target alone: the one place that operator and worker ask.
//!
//! Pure. What a halt once matched it keeps (`status.halt.sources`, the worker's ledger); that is not decided here.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::common::HaltAction;
use crate::names;
use crate::objects::{Key, Kind, ObjectId, Objects};
use crate::trading_halt::{Target, TradingHalt};
use crate::trading_strategy::TradingStrategy;

/// Why a halt that cannot be read halts.
pub const UNREADABLE: &str =
    "the TradingHalt cannot be read, so that it halts its namespace; put it right or delete it";

/// A strategy, as far as a target asks for it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The account it names.
    pub account: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

impl<'a> Subject<'a> {
    /// What targets ask of that strategy.
    pub fn of(strategy: &'a TradingStrategy) -> Self {
        Self {
            namespace: strategy.metadata.namespace.as_deref().unwrap_or("default"),
            name: strategy.metadata.name.as_deref().unwrap_or_default(),
            account: &strategy.spec.exchange_account_ref.name.0,
            labels: strategy.labels(),
        }
    }
}

/// Whether the halt's target is that strategy at present, whatever instruments it is limited to.
///
/// `operator_namespace` is where a halt with target `cluster` reaches everything; none outside a cluster.
pub fn reaches(halt: &TradingHalt, subject: Subject<'_>, operator_namespace: Option<&str>) -> bool {
    let namespace = Key::of(halt).namespace;
    let here = namespace == subject.namespace;
    match &halt.spec.target {
        Target::Strategy(target) => here && target.name.0 == subject.name,
        Target::Selector(selector) => {
            let carries = |(name, value): (&String, &crate::trading_halt::LabelValue)| {
                subject.labels.get(name) == Some(&value.0)
            };
            here && selector.match_labels.iter().all(carries)
        }
        Target::Account(target) => here && target.name.0 == subject.account,
        Target::Namespace(_) => here,
        Target::Cluster(_) => here || is_everywhere(&namespace, operator_namespace),
    }
}

/// Whether the halt's target is the whole account: its strategies of now and of later.
pub fn reaches_account(halt: &TradingHalt, account: &Key, operator_namespace: Option<&str>) -> bool {
    let namespace = Key::of(halt).namespace;
    let here = namespace == account.namespace;
    match &halt.spec.target {
        Target::Strategy(_) | Target::Selector(_) => false,
        Target::Account(target) => here && target.name.0 == account.name,
        Target::Namespace(_) => here,
        Target::Cluster(_) => here || is_everywhere(&namespace, operator_namespace),
    }
}

/// Whether a halt with target `cluster` in that namespace reaches every namespace.
pub fn is_everywhere(namespace: &str, operator_namespace: Option<&str>) -> bool {
    operator_namespace.is_none_or(|operator| operator == namespace)
}

/// Whether the halt's target is that one strategy by name: the halts that `spec.resume` of the strategy may name.
pub fn is_own(halt: &TradingHalt, strategy: &TradingStrategy) -> bool {
    matches!(halt.spec.target, Target::Strategy(_)) && reaches(halt, Subject::of(strategy), None)
}

/// Whether the strategy asks for this halt to be resumed, and does not say `halted` in the same breath.
pub fn is_resumed(halt: &TradingHalt, strategy: &TradingStrategy) -> bool {
    let named = strategy.spec.resume.as_ref().map(|resume| resume.halt_id.0.as_str());
    strategy.spec.halted != Some(true)
        && named.is_some()
        && named == halt.metadata.uid.as_deref()
        && is_own(halt, strategy)
}

/// Whether the halt has the name of the strategy's latch, and the strategy names it to be resumed while it says
/// `halted`. Such a latch is to be made anew: taking `halted` back would resume it.
pub fn is_spent(halt: &TradingHalt, strategy: &TradingStrategy) -> bool {
    let named = strategy.spec.resume.as_ref().map(|resume| resume.halt_id.0.as_str());
    strategy.spec.halted == Some(true)
        && named.is_some()
        && named == halt.metadata.uid.as_deref()
        && is_own(halt, strategy)
        && halt.name_any() == names::latch(&strategy.name_any())
}

/// Whether the halt stands for `spec.halted` of the strategy: its own, under the latch's name, no weaker, and not spent.
pub fn is_latch(halt: &TradingHalt, strategy: &TradingStrategy) -> bool {
    is_own(halt, strategy)
        && !is_spent(halt, strategy)
        && halt.name_any() == names::latch(&strategy.name_any())
        && halt.spec.instruments.is_empty()
        && halt.spec.action != HaltAction::StopEntries
}

/// Whether the halt concerns an instrument the strategy lists; one that cannot be read stands for all of them.
pub fn concerns(halt: &TradingHalt, strategy: &TradingStrategy) -> bool {
    let limited = &halt.spec.instruments;
    limited.is_empty()
        || limited.iter().any(|symbol| {
            symbol.exact().is_err() || strategy.spec.instruments.iter().any(|own| own.symbol == *symbol)
        })
}

/// The halts that cannot be read and so halt that namespace; one in the operator's halts everything.
pub fn unreadable<'a>(objects: &'a Objects, namespace: &'a str) -> impl Iterator<Item = &'a ObjectId> {
    objects.unreadable.iter().filter(move |id| {
        id.kind == Kind::TradingHalt
            && (id.key.namespace == namespace
                || objects.operator_namespace.as_ref() == Some(&id.key.namespace))
    })
}
