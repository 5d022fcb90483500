//! From objects to halts in force, and back: what the engine must be told, which TradingHalts must be made or deleted.
//!
//! Pure: the same view gives the same plan. A plan is carried out and made again until it is empty, so that each rule
//! below can be read alone:
//! - what reaches the account holds; a halt in force never becomes looser (it sticks to what it once matched);
//! - a halt ends when the object that stands for it is gone from a complete list, when its strategy resumes it by uid, or
//!   when it was resumed here and then its object goes too;
//! - a halt without an object (a tripped breaker, a latch, an unknown ledger, a local one) gets one;
//! - a latch that is deleted while `spec.halted` is true is made anew only after the strategy was asked for again.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::core::ObjectMeta;
use smol_str::SmolStr;
use tradewind_core::event::HaltChange;
use tradewind_core::halt::{Halt, HaltScope};
use tradewind_core::name::Uid;
use tradewind_core::time::Timestamp;
use tradewind_crds::common::{ObjectName, ObjectRef, SymbolText};
use tradewind_crds::objects::{Key, Kind, ObjectId, Objects};
use tradewind_crds::resolve::halts::{Member, local_name, reaching, resumed};
use tradewind_crds::trading_halt::{Target, TradingHalt, TradingHaltSpec};

use super::facts::{HaltObject, StrategyFacts};
use crate::control::never_looser;

/// Longest reason of a TradingHalt, in characters.
const MAX_REASON: usize = 1024;
/// Longest `requestedBy` of a TradingHalt, in characters.
const MAX_BY: usize = 256;

/// Which lists are complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Synced {
    /// Strategies of the account.
    pub strategies: bool,
    /// Halts of the account's namespace.
    pub own: bool,
    /// Halts of the operator's namespace.
    pub operator: bool,
}

/// All that a plan is made from.
#[derive(Debug)]
pub struct View<'a> {
    /// Namespace and name of the account.
    pub account: &'a Key,
    /// The operator's namespace.
    pub operator_namespace: &'a str,
    /// The strategies by name.
    pub strategies: &'a BTreeMap<String, StrategyFacts>,
    /// The TradingHalts of both namespaces.
    pub halts: &'a BTreeMap<Key, HaltObject>,
    /// Which of these lists are complete.
    pub synced: Synced,
    /// Objects we know by the answer to our own request, and a later list does not have.
    pub doubted: &'a BTreeSet<Uid>,
    /// The engine's halts.
    pub in_force: &'a [Halt],
    /// Which of them has which object.
    pub published: &'a BTreeMap<SmolStr, Uid>,
    /// The engine's time.
    pub now: Timestamp,
}

/// A request to the API server.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Make this TradingHalt; if there is one of that name, tell that.
    Create(Box<TradingHalt>),
    /// Delete that TradingHalt of the account's namespace, if it still has that uid.
    Delete {
        /// Its name.
        name: String,
        /// Its uid.
        uid: Uid,
    },
    /// Read that TradingHalt of the account's namespace, from the store.
    ReadHalt {
        /// Its name.
        name: String,
    },
    /// Read that strategy, from the store.
    ReadStrategy {
        /// Its name.
        name: String,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// For the engine, in order.
    pub changes: Vec<HaltChange>,
    /// Which halts have which object from now on.
    pub published: Vec<(SmolStr, Option<Uid>)>,
    /// For the API server.
    pub calls: Vec<Call>,
}

/// What the view demands.
pub fn plan(view: &View<'_>) -> Plan {
    let members: Vec<Member> = view.strategies.values().map(|facts| facts.member.clone()).collect();
    let planner = Planner {
        desired: reaching(&objects(view), view.account, &members).0,
        objects: view
            .halts
            .values()
            .map(|o| (SmolStr::from(local_name(&o.key(), view.account)), o))
            .collect(),
        members,
        view,
    };
    let mut plan = Plan::default();
    for desired in &planner.desired {
        planner.hold(desired, &mut plan);
    }
    for known in view.in_force {
        if planner.desired.iter().all(|desired| desired.name != known.name) {
            planner.release(known, &mut plan);
        }
    }
    planner.tidy(&mut plan);
    plan
}

fn objects(view: &View<'_>) -> Objects {
    let mut objects =
        Objects { operator_namespace: Some(view.operator_namespace.to_owned()), ..Objects::default() };
    for halt in view.halts.values() {
        match halt {
            HaltObject::Readable(halt) => objects.halts.push(halt.as_ref().clone()),
            HaltObject::Unreadable { key, .. } => {
                objects.unreadable.insert(ObjectId::new(Kind::TradingHalt, key.clone()));
            }
        }
    }
    objects
}

struct Planner<'v> {
    view: &'v View<'v>,
    members: Vec<Member>,
    desired: Vec<Halt>,
    /// By the name halts have in the engine.
    objects: BTreeMap<SmolStr, &'v HaltObject>,
}

impl Planner<'_> {
    fn known(&self, name: &str) -> Option<&Halt> {
        self.view.in_force.iter().find(|halt| halt.name == name)
    }

    fn is_resumed(&self, object: &HaltObject) -> bool {
        match object {
            HaltObject::Readable(halt) => resumed(halt, self.view.account, &self.members),
            HaltObject::Unreadable { .. } => false,
        }
    }

    /// The uid of the object that stands for the halt of that name, unless its strategy has resumed it.
    fn standing(&self, name: &str) -> Option<Uid> {
        self.objects.get(name).filter(|object| !self.is_resumed(object)).and_then(|object| object.uid())
    }

    /// Whether the object of that name and uid is there, and its strategy has resumed it.
    fn is_spent(&self, name: &str, uid: Option<Uid>) -> bool {
        self.objects.get(name).is_some_and(|object| object.uid() == uid && self.is_resumed(object))
    }

    /// A halt that reaches us.
    fn hold(&self, desired: &Halt, plan: &mut Plan) {
        let name = &desired.name;
        let (known, published) = (self.known(name), self.view.published.get(name).copied());
        let set = |plan: &mut Plan, halt: Halt| plan.changes.push(HaltChange::Set(halt));
        let Some(uid) = self.standing(name) else {
            // By spec.halted alone.
            return match known {
                None => set(plan, desired.clone()),
                // Named in spec.resume, and so deleted: the halt goes on without it, whatever becomes of the field.
                Some(_) if published.is_some() && self.is_spent(name, published) => {
                    plan.published.push((name.clone(), None));
                }
                Some(known) => self.latch(known, published, plan),
            };
        };
        match (known, published) {
            // Resumed here: its object goes as well, if it is ours to delete.
            (None, Some(object)) if object == uid && self.is_of_ours(name) => {}
            (None, _) => {
                set(plan, desired.clone());
                plan.published.push((name.clone(), Some(uid)));
            }
            (Some(_), Some(object)) if object != uid => {
                plan.changes.push(self.cleared(name, "a new TradingHalt of that name"));
                set(plan, desired.clone());
                plan.published.push((name.clone(), Some(uid)));
            }
            (Some(known), published) => {
                if published.is_none() {
                    plan.published.push((name.clone(), Some(uid)));
                }
                // When it began is not news: an object's clock ticks in seconds, and later than ours.
                let halt = never_looser(desired.clone(), self.view.in_force);
                let halt = Halt { since: known.since, ..halt };
                if halt != *known {
                    set(plan, halt);
                }
            }
        }
    }

    /// A latch in force whose strategy still says `halted`.
    fn latch(&self, known: &Halt, published: Option<Uid>, plan: &mut Plan) {
        match published {
            None => self.create(known, plan),
            // Its object was deleted: only if the strategy still says so now is it made anew.
            Some(uid) if self.is_gone(&known.name, uid) => {
                let name = known.name.split('.').nth(1).unwrap_or_default().to_owned();
                plan.calls.push(Call::ReadStrategy { name });
            }
            Some(_) => {}
        }
    }

    /// A halt in force that does not reach us any more.
    fn release(&self, known: &Halt, plan: &mut Plan) {
        let name = &known.name;
        let Some(uid) = self.view.published.get(name).copied() else {
            match self.standing(name) {
                // Somebody has made one of that name that does not reach us: it stands for ours until it is deleted.
                Some(object) => plan.published.push((name.clone(), Some(object))),
                None => self.create(known, plan),
            }
            return;
        };
        let object = self.objects.get(name).filter(|object| object.uid() == Some(uid));
        if let Some(object) = object {
            if self.is_resumed(object) {
                let by = self.resumer(object);
                plan.changes.push(self.cleared(name, &by));
                // A breaker that trips anew before the object is gone is another halt: the same uid resumes it not.
                plan.published.push((name.clone(), None));
            }
        } else if self.is_gone(name, uid) {
            plan.changes.push(self.cleared(name, "deletion of its TradingHalt"));
            plan.published.push((name.clone(), None));
        }
    }

    /// Objects whose halt is over, and what is remembered of objects that are gone.
    fn tidy(&self, plan: &mut Plan) {
        for (name, object) in &self.objects {
            let Some(uid) = object.uid() else { continue };
            let over = self.known(name).is_none()
                && self.view.published.get(name) == Some(&uid)
                && self.is_of_ours(name);
            let key = object.key();
            if key.namespace != self.view.account.namespace {
                continue;
            }
            if self.view.doubted.contains(&uid) {
                plan.calls.push(Call::ReadHalt { name: key.name });
            } else if over || self.is_resumed(object) {
                plan.calls.push(Call::Delete { name: key.name, uid });
            }
        }
        for (name, uid) in self.view.published {
            if self.known(name).is_none() && self.is_gone(name, *uid) {
                plan.published.push((name.clone(), None));
            }
        }
    }

    /// Whether the object is known not to exist.
    fn is_gone(&self, name: &str, uid: Uid) -> bool {
        let synced = if name.contains('/') { self.view.synced.operator } else { self.view.synced.own };
        synced && self.objects.get(name).and_then(|object| object.uid()) != Some(uid)
    }

    /// Whether the object's target is this account or one strategy: the only ones that a resumption in the pod ends. Any
    /// other halts more than this account.
    fn is_of_ours(&self, name: &str) -> bool {
        let Some(HaltObject::Readable(halt)) = self.objects.get(name) else { return false };
        !name.contains('/') && matches!(halt.spec.target, Target::Strategy(_) | Target::Account(_))
    }

    fn create(&self, halt: &Halt, plan: &mut Plan) {
        // One of that name that is resumed is being deleted; the new one is made when it is gone.
        if !self.view.synced.own || self.objects.contains_key(&halt.name) {
            return;
        }
        if let Some(object) = object_of(halt, self.view.account) {
            plan.calls.push(Call::Create(Box::new(object)));
        }
    }

    fn cleared(&self, name: &SmolStr, by: &str) -> HaltChange {
        HaltChange::Cleared { name: name.clone(), by: by.to_owned(), at: self.view.now }
    }

    fn resumer(&self, object: &HaltObject) -> String {
        let HaltObject::Readable(halt) = object else { return "spec.resume".to_owned() };
        let Target::Strategy(target) = &halt.spec.target else { return "spec.resume".to_owned() };
        match self.view.strategies.get(&target.name.0).map(|facts| facts.resumed_by.as_str()) {
            None | Some("") => "spec.resume".to_owned(),
            Some(manager) => format!("spec.resume by {manager}"),
        }
    }
}

/// The TradingHalt that stands for a halt this worker has made; none for one whose name no such object has.
pub fn object_of(halt: &Halt, account: &Key) -> Option<TradingHalt> {
    let mut parts = halt.name.split('.');
    let target = match (parts.next(), parts.next(), parts.next(), &halt.scope) {
        (Some("strategy"), Some(name), Some(_), HaltScope::Strategies(_)) => {
            Target::Strategy(ObjectRef { name: ObjectName(name.to_owned()) })
        }
        (Some("account"), Some(name), Some(_), HaltScope::Account) if name == account.name => {
            Target::Account(ObjectRef { name: ObjectName(name.to_owned()) })
        }
        _ => return None,
    };
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let reason = if halt.reason.is_empty() { "no reason was given" } else { &halt.reason };
    Some(TradingHalt {
        metadata: ObjectMeta {
            name: Some(halt.name.to_string()),
            namespace: Some(account.namespace.clone()),
            ..ObjectMeta::default()
        },
        spec: TradingHaltSpec {
            target,
            instruments: halt.instruments.iter().map(|symbol| SymbolText(symbol.to_string())).collect(),
            action: halt.action.into(),
            reason: short(reason, MAX_REASON),
            requested_by: short(&halt.requested_by, MAX_BY),
        },
        status: None,
    })
}

impl Call {
    /// What it is about: calls about the same thing are not made twice at once.
    pub fn subject(&self) -> (u8, String) {
        match self {
            Self::Create(halt) => (0, halt.name_any()),
            Self::Delete { name, .. } => (1, name.clone()),
            Self::ReadHalt { name } => (2, name.clone()),
            Self::ReadStrategy { name } => (3, name.clone()),
        }
    }
}

#[cfg(test)]
#[path = "halts_tests.rs"]
pub(super) mod tests;
