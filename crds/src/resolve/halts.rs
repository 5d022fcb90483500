//! TradingHalt objects and `spec.halted` to the halts the engine knows: whom each reaches on one account.
//!
//! In doubt it halts: a halt that cannot be read halts its namespace, and one with an instrument that cannot be read
//! halts all instruments.

use std::collections::BTreeMap;

use kube::ResourceExt;
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::Timestamp;

use crate::common::{SymbolText, timestamp};
use crate::names::latch;
use crate::objects::{Key, Kind, ObjectId, Objects};
use crate::problem::{Problem, Problems, dangling as dangling_problem};
use crate::reach::{Subject, UNREADABLE, reaches, reaches_account, unreadable};
use crate::trading_halt::{Target, TradingHalt};
use crate::trading_strategy::TradingStrategy;

/// A strategy of the account, as far as halts care for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// Whether `spec.halted` is true.
    pub halted: bool,
    /// Why and by whom it is halted by that field, as far as known.
    pub halted_by: (String, String),
    /// `spec.resume.haltID`.
    pub resume: Option<String>,
    /// When it was made.
    pub since: Timestamp,
}

impl Member {
    /// The facts of that object, whose uid is known.
    pub fn of(uid: Uid, object: &TradingStrategy) -> Self {
        Self {
            uid,
            name: object.name_any(),
            labels: object.labels().clone(),
            halted: object.spec.halted == Some(true),
            halted_by: ("spec.halted is true".to_owned(), String::new()),
            resume: object.spec.resume.as_ref().map(|resume| resume.halt_id.0.clone()),
            since: since(object),
        }
    }
}

/// The halts among `objects` that reach the account or one of its strategies, those by `spec.halted` included, and what
/// is wrong with them. Of `objects` only the halts count, the unreadable ones and the operator's namespace.
pub fn reaching(objects: &Objects, account: &Key, members: &[Member]) -> (Vec<Halt>, Problems) {
    let mut problems = Problems::default();
    let mut halts: Vec<Halt> = objects
        .halts
        .iter()
        .filter(|object| !resumed(object, account, members))
        .filter_map(|object| {
            let scope = scope(objects, object, account, members)?;
            Some(halt(object, account, scope, &mut problems))
        })
        .collect();
    for member in members.iter().filter(|member| member.halted) {
        latched(member, &mut halts);
    }
    halts.extend(unreadable(objects, &account.namespace).map(|id| Halt {
        name: local_name(&id.key, account).into(),
        scope: HaltScope::Account,
        instruments: Vec::new(),
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Manual,
        reason: UNREADABLE.to_owned(),
        requested_by: String::new(),
        since: Timestamp::default(),
    }));
    (halts, problems)
}

/// Has `spec.halted` hold: by the halt that stands for it, or by one of its own. A halt that has the latch's name and
/// says less than the field (made by somebody else) is held for as much as the field says.
fn latched(member: &Member, halts: &mut Vec<Halt>) {
    let name = latch(&member.name);
    if let Some(found) = halts.iter_mut().find(|halt| halt.name == name) {
        found.instruments.clear();
        found.action = found.action.max(HaltAction::CancelEntries);
        if let HaltScope::Strategies(uids) = &mut found.scope
            && !uids.contains(&member.uid)
        {
            uids.push(member.uid);
        }
        return;
    }
    let (reason, requested_by) = member.halted_by.clone();
    halts.push(Halt {
        name: name.into(),
        scope: HaltScope::Strategies(vec![member.uid]),
        instruments: Vec::new(),
        action: HaltAction::CancelEntries,
        origin: HaltOrigin::Latched,
        reason,
        requested_by,
        since: member.since,
    });
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

/// Whether its own strategy names this halt, and no later one, to be resumed. While the strategy says `halted` nothing is
/// resumed. Its latch, if that is the one it names, is over all the same and another is made: taking `halted` back would
/// resume this one.
pub fn resumed(object: &TradingHalt, account: &Key, members: &[Member]) -> bool {
    let Target::Strategy(target) = &object.spec.target else { return false };
    let Some(uid) = object.uid() else { return false };
    let here = Key::of(object).namespace == account.namespace;
    let named = |m: &&Member| m.name == target.name.0 && m.resume.as_ref() == Some(&uid);
    let counts = |m: &Member| !m.halted || object.name_any() == latch(&m.name);
    here && members.iter().find(named).is_some_and(counts)
}

/// Whom it reaches on the account; none when nobody.
fn scope(objects: &Objects, object: &TradingHalt, account: &Key, members: &[Member]) -> Option<HaltScope> {
    let operator = objects.operator_namespace.as_deref();
    if reaches_account(object, account, operator) {
        return Some(HaltScope::Account);
    }
    let reached = members.iter().filter(|member| {
        let Member { name, labels, .. } = member;
        let subject = Subject { namespace: &account.namespace, name, account: &account.name, labels };
        reaches(object, subject, operator)
    });
    let uids: Vec<Uid> = reached.map(|member| member.uid).collect();
    if uids.is_empty() { None } else { Some(HaltScope::Strategies(uids)) }
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
pub fn local_name(halt: &Key, account: &Key) -> String {
    if halt.namespace == account.namespace { halt.name.clone() } else { halt.to_string() }
}

/// When the object was made; the start of time for files, which do not say.
fn since(object: &impl ResourceExt) -> Timestamp {
    object.meta().creation_timestamp.as_ref().map(timestamp).unwrap_or_default()
}

/// Where a halt comes from: the names `strategy.NAME.X` and `account.NAME.X` are those of latches, breakers, an unknown
/// ledger and the worker's own command (`local`), as long as the target is that strategy or account.
pub fn origin(object: &TradingHalt) -> HaltOrigin {
    let name = object.name_any();
    let prefix = match &object.spec.target {
        Target::Strategy(target) => format!("strategy.{}.", target.name),
        Target::Account(target) => format!("account.{}.", target.name),
        Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => return HaltOrigin::Manual,
    };
    match name.strip_prefix(&prefix) {
        None | Some("") => HaltOrigin::Manual,
        Some("latched") => HaltOrigin::Latched,
        Some(local) if local == "local" || local.starts_with("local.") => HaltOrigin::Manual,
        Some("ledger-unknown") => HaltOrigin::LedgerUnknown,
        Some("balances-differ") => HaltOrigin::BalancesDiffer,
        Some(breaker) => HaltOrigin::Breaker { breaker: breaker.into() },
    }
}
