//! TradingHalt objects and `spec.halted` to the halts the engine knows: whom each reaches on one account.
//!
//! In doubt it halts: a halt that cannot be read halts its namespace, and one with an instrument that cannot be read
//! halts all instruments.

use kube::ResourceExt;
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::Timestamp;

use crate::common::{SymbolText, timestamp};
use crate::objects::{Key, Kind, ObjectId, Objects};
use crate::problem::{Problem, Problems, dangling as dangling_problem};
use crate::trading_halt::{Target, TradingHalt};
use crate::trading_strategy::TradingStrategy;

/// The halts that reach the account or one of its strategies, and what is wrong with them.
pub(super) fn reaching(
    objects: &Objects,
    account: &Key,
    members: &[(Uid, &TradingStrategy)],
) -> (Vec<Halt>, Problems) {
    let mut problems = Problems::default();
    let mut halts: Vec<Halt> = objects
        .halts
        .iter()
        .filter(|object| !resumed(object, members))
        .filter_map(|object| {
            let scope = scope(objects, object, account, members)?;
            Some(halt(object, account, scope, &mut problems))
        })
        .collect();
    for (uid, object) in members {
        let name = format!("strategy.{}.latched", object.name_any());
        if object.spec.halted == Some(true) && halts.iter().all(|halt| halt.name != name) {
            halts.push(Halt {
                name: name.into(),
                scope: HaltScope::Strategies(vec![*uid]),
                instruments: Vec::new(),
                action: HaltAction::CancelEntries,
                origin: HaltOrigin::Latched,
                reason: "spec.halted is true".to_owned(),
                requested_by: String::new(),
                since: since(*object),
            });
        }
    }
    let unreadable = objects.unreadable.iter().filter(|id| id.kind == Kind::TradingHalt);
    halts.extend(unreadable.filter(|id| reaches_namespace(objects, &id.key, account)).map(|id| {
        Halt {
            name: local_name(&id.key, account).into(),
            scope: HaltScope::Account,
            instruments: Vec::new(),
            action: HaltAction::CancelEntries,
            origin: HaltOrigin::Manual,
            reason:
                "the TradingHalt cannot be read, so that it halts its namespace; put it right or delete it"
                    .to_owned(),
            requested_by: String::new(),
            since: Timestamp::default(),
        }
    }));
    (halts, problems)
}

/// A halt that cannot be read reaches its namespace; in the operator's, everything.
fn reaches_namespace(objects: &Objects, halt: &Key, account: &Key) -> bool {
    halt.namespace == account.namespace || objects.operator_namespace.as_ref() == Some(&halt.namespace)
}

/// Halts whose target does not exist: a halt that stops nothing is worth knowing.
pub(super) fn dangling(objects: &Objects) -> Problems {
    let mut problems = Problems::default();
    for object in &objects.halts {
        let id = ObjectId::new(Kind::TradingHalt, Key::of(object));
        let (field, kind, name) = match &object.spec.target {
            Target::Strategy(target) => ("spec.target.strategy.name", Kind::TradingStrategy, &target.name.0),
            Target::Account(target) => ("spec.target.account.name", Kind::ExchangeAccount, &target.name.0),
            Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => continue,
        };
        let keys: Vec<Key> = match kind {
            Kind::TradingStrategy => objects.strategies.iter().map(Key::of).collect(),
            _ => objects.account_keys(),
        };
        let key = Key::new(&id.key.namespace, name);
        if !keys.contains(&key) {
            let names = keys.iter().filter(|k| k.namespace == key.namespace).map(|k| k.name.as_str());
            let unreadable = objects.unreadable.contains(&ObjectId::new(kind, key.clone()));
            problems.push(dangling_problem(&id, field, kind, &key, unreadable, &names.collect::<Vec<_>>()));
        }
    }
    problems
}

/// Whether its own strategy names this halt, and no later one, to be resumed. A strategy that says `halted` in the same
/// breath stays halted by that.
fn resumed(object: &TradingHalt, members: &[(Uid, &TradingStrategy)]) -> bool {
    let Target::Strategy(target) = &object.spec.target else { return false };
    let Some(uid) = object.uid() else { return false };
    members.iter().any(|(_, strategy)| {
        strategy.namespace() == object.namespace()
            && strategy.name_any() == target.name.0
            && strategy.spec.resume.as_ref().is_some_and(|resume| resume.halt_id.0 == uid)
    })
}

/// Whom it reaches on the account; none when nobody.
fn scope(
    objects: &Objects,
    object: &TradingHalt,
    account: &Key,
    members: &[(Uid, &TradingStrategy)],
) -> Option<HaltScope> {
    let key = Key::of(object);
    let here = key.namespace == account.namespace;
    let chosen = |fits: &dyn Fn(&TradingStrategy) -> bool| {
        let uids: Vec<Uid> = members.iter().filter(|(_, s)| here && fits(s)).map(|(uid, _)| *uid).collect();
        if uids.is_empty() { None } else { Some(HaltScope::Strategies(uids)) }
    };
    match &object.spec.target {
        Target::Strategy(target) => chosen(&|strategy| strategy.name_any() == target.name.0),
        Target::Selector(selector) => chosen(&|strategy| {
            selector.match_labels.iter().all(|(name, value)| strategy.labels().get(name) == Some(&value.0))
        }),
        Target::Account(target) => (here && target.name.0 == account.name).then_some(HaltScope::Account),
        Target::Namespace(_) => here.then_some(HaltScope::Account),
        Target::Cluster(_) => {
            let everywhere =
                objects.operator_namespace.as_ref().is_none_or(|operator| *operator == key.namespace);
            (here || everywhere).then_some(HaltScope::Account)
        }
    }
}

fn halt(object: &TradingHalt, account: &Key, scope: HaltScope, problems: &mut Problems) -> Halt {
    let id = ObjectId::new(Kind::TradingHalt, Key::of(object));
    let read = object.spec.instruments.iter().map(SymbolText::exact);
    let instruments: Vec<Symbol> = read.collect::<Result<_, _>>().unwrap_or_else(|error| {
        problems.push(
            Problem::new(&id, "spec.instruments", format!("{error}, so that all instruments are halted"))
                .fix("delete it and make one with known symbols"),
        );
        Vec::new()
    });
    Halt {
        name: local_name(&id.key, account).into(),
        scope,
        instruments,
        action: object.spec.action.into(),
        origin: origin(object),
        reason: object.spec.reason.clone(),
        requested_by: object.spec.requested_by.clone(),
        since: since(object),
    }
}

/// The name of a halt within an account: its own, with the namespace when that is another.
fn local_name(halt: &Key, account: &Key) -> String {
    if halt.namespace == account.namespace { halt.name.clone() } else { halt.to_string() }
}

/// When the object was made; the start of time for files, which do not say.
fn since(object: &impl ResourceExt) -> Timestamp {
    object.meta().creation_timestamp.as_ref().map(timestamp).unwrap_or_default()
}

/// Where a halt comes from: the names `strategy.NAME.X` and `account.NAME.X` are those of latches, breakers and an
/// unknown ledger, as long as the target is that strategy or account.
fn origin(object: &TradingHalt) -> HaltOrigin {
    let name = object.name_any();
    let prefix = match &object.spec.target {
        Target::Strategy(target) => format!("strategy.{}.", target.name),
        Target::Account(target) => format!("account.{}.", target.name),
        Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => return HaltOrigin::Manual,
    };
    match name.strip_prefix(&prefix) {
        None | Some("") => HaltOrigin::Manual,
        Some("latched") => HaltOrigin::Latched,
        Some("ledger-unknown") => HaltOrigin::LedgerUnknown,
        Some(breaker) => HaltOrigin::Breaker { breaker: breaker.into() },
    }
}
