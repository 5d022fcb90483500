use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tradewind_core::event::HaltChange;
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::name::Uid;
use tradewind_core::time::Timestamp;
use tradewind_crds::objects::Key;
use tradewind_crds::resolve::halts::Member;
use tradewind_crds::trading_halt::{Target, TradingHalt};

use super::*;

#[path = "halts_resume_tests.rs"]
mod resume;

pub(crate) fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

pub(crate) fn facts(number: u128, name: &str) -> StrategyFacts {
    StrategyFacts {
        member: Member {
            uid: uid(number),
            name: name.to_owned(),
            labels: BTreeMap::new(),
            halted: false,
            halted_by: (String::new(), String::new()),
            resume: None,
            since: Timestamp(1),
        },
        generation: 1,
        deleting: false,
        resumed_by: String::new(),
    }
}

pub(crate) fn halted(mut facts: StrategyFacts) -> StrategyFacts {
    facts.member.halted = true;
    facts.member.halted_by = ("spec.halted was set by kubectl at generation 2".into(), "kubectl".into());
    facts
}

pub(crate) fn resuming(mut facts: StrategyFacts, halt: u128) -> StrategyFacts {
    facts.member.resume = Some(uid(halt).to_string());
    facts
}

#[expect(clippy::needless_pass_by_value, reason = "made in place by its callers")]
pub(crate) fn object(number: u128, namespace: &str, name: &str, target: serde_json::Value) -> TradingHalt {
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingHalt",
        "metadata": {"name": name, "namespace": namespace, "uid": uid(number).to_string(),
                     "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"target": target, "action": "CancelEntries", "reason": "incident", "requestedBy": "ann"},
    }))
    .unwrap()
}

pub(crate) fn of_strategy(name: &str) -> serde_json::Value {
    json!({"strategy": {"name": name}})
}

pub(crate) fn breaker(strategy: u128, name: &str) -> Halt {
    Halt {
        name: format!("strategy.{name}.drawdown").into(),
        scope: HaltScope::Strategies(vec![uid(strategy)]),
        instruments: Vec::new(),
        action: HaltAction::Liquidate,
        origin: HaltOrigin::Breaker { breaker: "drawdown".into() },
        reason: "drawdown 15% has reached 15%".into(),
        requested_by: "breaker".into(),
        since: Timestamp(500),
    }
}

/// An account `desk/paper` with strategies `trend` (1) and `swing` (2), everything listed; plans are carried out.
struct World {
    account: Key,
    strategies: BTreeMap<String, StrategyFacts>,
    halts: BTreeMap<Key, HaltObject>,
    synced: Synced,
    doubted: BTreeSet<Uid>,
    in_force: Vec<Halt>,
    published: BTreeMap<SmolStr, Uid>,
}

impl World {
    fn new() -> Self {
        let strategies = [(1, "trend"), (2, "swing")].map(|(n, name)| (name.to_owned(), facts(n, name)));
        Self {
            account: Key::new("desk", "paper"),
            strategies: strategies.into(),
            halts: BTreeMap::new(),
            synced: Synced { strategies: true, own: true, operator: true },
            doubted: BTreeSet::new(),
            in_force: Vec::new(),
            published: BTreeMap::new(),
        }
    }

    fn put(&mut self, halt: TradingHalt) {
        let halt = HaltObject::of(halt);
        self.halts.insert(halt.key(), halt);
    }

    fn drop_halt(&mut self, namespace: &str, name: &str) {
        self.halts.remove(&Key::new(namespace, name)).unwrap();
    }

    fn strategy(&mut self, facts: StrategyFacts) {
        self.strategies.insert(facts.member.name.clone(), facts);
    }

    /// Plans and carries out until nothing changes; what was changed, in short, and the last calls.
    fn settle(&mut self) -> (Vec<String>, Vec<Call>) {
        let mut said = Vec::new();
        for _ in 0..10 {
            let Plan { changes, published, calls } = plan(&View {
                account: &self.account,
                operator_namespace: "tradewind",
                strategies: &self.strategies,
                halts: &self.halts,
                synced: self.synced,
                doubted: &self.doubted,
                in_force: &self.in_force,
                published: &self.published,
                now: Timestamp(900),
            });
            if changes.is_empty() && published.is_empty() {
                return (said, calls);
            }
            for change in changes {
                match change {
                    HaltChange::Set(halt) => {
                        said.push(format!("+{}", halt.name));
                        self.in_force.retain(|known| known.name != halt.name);
                        self.in_force.push(halt);
                    }
                    HaltChange::Cleared { name, by, .. } => {
                        said.push(format!("-{name} by {by}"));
                        self.in_force.retain(|known| known.name != name);
                    }
                }
            }
            for (name, object) in published {
                match object {
                    Some(uid) => drop(self.published.insert(name, uid)),
                    None => drop(self.published.remove(&name)),
                }
            }
        }
        panic!("plans never come to an end: {said:?}");
    }

    fn names(&self) -> Vec<&str> {
        self.in_force.iter().map(|halt| halt.name.as_str()).collect()
    }
}

fn reads_strategy(calls: &[Call]) -> bool {
    calls == [Call::ReadStrategy { name: "trend".into() }]
}

#[test]
fn spec_halted_holds_at_once_and_a_revert_a_moment_later_takes_nothing_back() {
    let mut world = World::new();
    world.strategy(halted(facts(1, "trend")));
    let (said, calls) = world.settle();
    assert_eq!(said, ["+strategy.trend.latched"]);
    let [Call::Create(made)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(made.metadata.name.as_deref(), Some("strategy.trend.latched"));
    assert_eq!(made.metadata.namespace.as_deref(), Some("desk"));
    assert!(matches!(&made.spec.target, Target::Strategy(target) if target.name.0 == "trend"));
    assert_eq!(made.spec.action, tradewind_crds::common::HaltAction::CancelEntries);
    assert_eq!(made.spec.reason, "spec.halted was set by kubectl at generation 2");
    assert_eq!(made.spec.requested_by, "kubectl");
    assert_eq!(made.metadata.labels, None);
    assert_eq!(made.metadata.owner_references, None);

    world.strategy(facts(1, "trend"));
    let (said, calls) = world.settle();
    assert!(said.is_empty(), "{said:?}");
    assert!(matches!(calls.as_slice(), [Call::Create(_)]), "still to be made: {calls:?}");
    // Its object comes, by whomever it was made.
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.settle();
    assert_eq!(world.published.get("strategy.trend.latched"), Some(&uid(10)));
    assert_eq!(world.settle(), (vec![], vec![]));
    assert_eq!(world.names(), ["strategy.trend.latched"]);
    assert_eq!(world.in_force[0].origin, HaltOrigin::Latched);
}

#[test]
fn of_two_sources_one_cleared_leaves_the_other() {
    let mut world = World::new();
    world.strategy(halted(facts(1, "trend")));
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.put(object(11, "desk", "incident", json!({"namespace": {}})));
    world.settle();
    world.strategy(facts(1, "trend"));
    world.drop_halt("desk", "strategy.trend.latched");
    let (said, _) = world.settle();
    assert_eq!(said, ["-strategy.trend.latched by deletion of its TradingHalt"]);
    assert_eq!(world.names(), ["incident"]);
}

#[test]
fn a_latch_deleted_while_halted_is_true_holds_and_is_made_anew_only_after_asking_again() {
    let mut world = World::new();
    world.strategy(halted(facts(1, "trend")));
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.settle();
    world.drop_halt("desk", "strategy.trend.latched");
    let (said, calls) = world.settle();
    assert!(said.is_empty() && reads_strategy(&calls), "{said:?} {calls:?}");
    // The answer: it is not halted any more; what was seen of it was old.
    world.strategy(facts(1, "trend"));
    let (said, calls) = world.settle();
    assert_eq!(said, ["-strategy.trend.latched by deletion of its TradingHalt"]);
    assert!(calls.is_empty());
}

#[test]
fn a_breaker_is_published_once_and_only_its_object_resumes_it() {
    let mut world = World::new();
    world.in_force.push(breaker(1, "trend"));
    let (said, calls) = world.settle();
    assert!(said.is_empty());
    let [Call::Create(made)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(made.spec.action, tradewind_crds::common::HaltAction::Liquidate);
    assert_eq!(made.spec.requested_by, "breaker");
    world.put(object(10, "desk", "strategy.trend.drawdown", of_strategy("trend")));
    world.settle();
    assert_eq!(world.settle(), (vec![], vec![]), "nothing more to be made");
    assert_eq!(world.in_force[0].origin, HaltOrigin::Breaker { breaker: "drawdown".into() });
    assert_eq!(world.in_force[0].action, HaltAction::Liquidate, "the object says less and loosens nothing");
    world.drop_halt("desk", "strategy.trend.drawdown");
    assert_eq!(world.settle().0, ["-strategy.trend.drawdown by deletion of its TradingHalt"]);
}

#[test]
fn an_object_deleted_while_the_worker_was_down_is_resumed_when_the_list_is_complete_and_not_before() {
    let mut world = World::new();
    world.in_force.push(breaker(1, "trend"));
    world.published.insert("strategy.trend.drawdown".into(), uid(10));
    world.synced.own = false;
    assert_eq!(world.settle(), (vec![], vec![]));
    world.synced.own = true;
    assert_eq!(world.settle().0, ["-strategy.trend.drawdown by deletion of its TradingHalt"]);
    assert!(world.published.is_empty());
}

#[test]
fn a_name_reused_with_a_new_uid_is_a_resume_and_a_new_halt() {
    let mut world = World::new();
    world.in_force.push(breaker(1, "trend"));
    world.published.insert("strategy.trend.drawdown".into(), uid(10));
    world.put(object(11, "desk", "strategy.trend.drawdown", of_strategy("trend")));
    let (said, _) = world.settle();
    let by = "-strategy.trend.drawdown by a new TradingHalt of that name";
    assert_eq!(said, [by, "+strategy.trend.drawdown"]);
    assert_eq!(world.published.get("strategy.trend.drawdown"), Some(&uid(11)));
    assert_eq!(world.in_force[0].action, HaltAction::CancelEntries, "nothing is left of the old one");
}

#[test]
fn a_strategy_made_anew_under_a_halt_is_born_halted() {
    let mut world = World::new();
    world.put(object(10, "desk", "incident", of_strategy("trend")));
    world.settle();
    world.strategies.remove("trend");
    assert_eq!(world.settle(), (vec![], vec![]), "it sticks while nobody is there");
    world.strategy(facts(7, "trend"));
    world.settle();
    assert_eq!(world.in_force[0].scope, HaltScope::Strategies(vec![uid(1), uid(7)]));
}

#[test]
fn a_strategy_that_loses_the_label_a_halt_selects_by_stays_halted() {
    let mut world = World::new();
    let mut labelled = facts(1, "trend");
    labelled.member.labels.insert("team".into(), "a".into());
    world.strategy(labelled);
    world.put(object(10, "desk", "team-a", json!({"selector": {"matchLabels": {"team": "a"}}})));
    world.settle();
    world.strategy(facts(1, "trend"));
    assert_eq!(world.settle(), (vec![], vec![]));
    // Another that takes the label on is reached as well.
    let mut other = facts(2, "swing");
    other.member.labels.insert("team".into(), "a".into());
    world.strategy(other);
    world.settle();
    assert_eq!(world.in_force[0].scope, HaltScope::Strategies(vec![uid(1), uid(2)]));
    world.drop_halt("desk", "team-a");
    assert_eq!(world.settle().0, ["-team-a by deletion of its TradingHalt"]);
}

#[test]
fn what_was_resumed_in_the_pod_is_deleted_and_does_not_come_back() {
    let mut world = World::new();
    world.put(object(10, "desk", "account.paper.local", json!({"account": {"name": "paper"}})));
    world.settle();
    world.in_force.clear();
    let (said, calls) = world.settle();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(calls, [Call::Delete { name: "account.paper.local".into(), uid: uid(10) }]);
    world.drop_halt("desk", "account.paper.local");
    world.settle();
    assert!(world.published.is_empty());
}

#[test]
fn a_halt_that_reaches_beyond_the_account_cannot_be_resumed_from_the_pod() {
    for target in [json!({"namespace": {}}), json!({"selector": {"matchLabels": {"team": "a"}}})] {
        let mut world = World::new();
        let mut labelled = facts(1, "trend");
        labelled.member.labels.insert("team".into(), "a".into());
        world.strategy(labelled);
        world.put(object(10, "desk", "incident", target));
        world.settle();
        world.in_force.clear();
        assert_eq!(world.settle(), (vec!["+incident".to_owned()], vec![]), "others are halted by it too");
    }
}

#[test]
fn a_breaker_that_trips_again_before_its_resumed_object_is_gone_is_another_halt() {
    let mut world = World::new();
    world.in_force.push(breaker(1, "trend"));
    world.put(object(10, "desk", "strategy.trend.drawdown", of_strategy("trend")));
    world.settle();
    world.strategy(resuming(facts(1, "trend"), 10));
    assert_eq!(world.settle().0, ["-strategy.trend.drawdown by spec.resume"]);
    world.in_force.push(breaker(1, "trend"));
    let (said, calls) = world.settle();
    let delete = Call::Delete { name: "strategy.trend.drawdown".into(), uid: uid(10) };
    assert_eq!((said, calls), (vec![], vec![delete]), "the old uid does not resume it");
    world.drop_halt("desk", "strategy.trend.drawdown");
    let (_, calls) = world.settle();
    assert!(matches!(calls.as_slice(), [Call::Create(_)]), "{calls:?}");
    world.put(object(11, "desk", "strategy.trend.drawdown", of_strategy("trend")));
    world.settle();
    assert_eq!(world.names(), ["strategy.trend.drawdown"]);
}

#[test]
fn an_object_of_anothers_with_the_name_of_a_breaker_stands_for_it_and_nothing_is_asked_for_again() {
    let mut world = World::new();
    world.in_force.push(breaker(1, "trend"));
    world.put(object(10, "desk", "strategy.trend.drawdown", of_strategy("nobody")));
    assert_eq!(world.settle(), (vec![], vec![]));
    assert_eq!(world.names(), ["strategy.trend.drawdown"]);
    world.drop_halt("desk", "strategy.trend.drawdown");
    assert_eq!(world.settle().0, ["-strategy.trend.drawdown by deletion of its TradingHalt"]);
}

#[test]
fn spec_halted_is_not_weakened_by_a_halt_that_took_the_latchs_name() {
    let mut world = World::new();
    let mut weak = object(10, "desk", "strategy.trend.latched", of_strategy("trend"));
    weak.spec.instruments = vec!["ETH-USD".into()];
    weak.spec.action = tradewind_crds::common::HaltAction::StopEntries;
    world.put(weak);
    world.settle();
    assert_eq!(world.in_force[0].instruments.len(), 1);
    world.strategy(halted(facts(1, "trend")));
    world.settle();
    let held = |world: &World| (world.in_force[0].instruments.len(), world.in_force[0].action);
    assert_eq!(held(&world), (0, HaltAction::CancelEntries));
    world.strategy(facts(1, "trend"));
    world.settle();
    assert_eq!(held(&world), (0, HaltAction::CancelEntries), "taken back, it sticks");
}

#[test]
fn a_halt_of_the_operators_namespace_cannot_be_resumed_from_the_pod() {
    let mut world = World::new();
    world.put(object(10, "tradewind", "all", json!({"cluster": {}})));
    assert_eq!(world.settle().0, ["+tradewind/all"]);
    world.in_force.clear();
    assert_eq!(world.settle(), (vec!["+tradewind/all".to_owned()], vec![]));
}

#[test]
fn a_cluster_halt_of_a_strange_namespace_reaches_nobody_here_and_one_of_ours_does() {
    let mut world = World::new();
    world.put(object(10, "desk", "all", json!({"cluster": {}})));
    assert_eq!(world.settle().0, ["+all"]);
    let mut world = World::new();
    world.put(object(10, "tradewind", "theirs", json!({"namespace": {}})));
    assert_eq!(world.settle(), (vec![], vec![]));
}

#[test]
fn a_halt_nobody_can_read_halts_the_account_until_it_is_deleted() {
    for (namespace, name) in [("desk", "odd"), ("tradewind", "tradewind/odd")] {
        let mut world = World::new();
        let key = Key::new(namespace, "odd");
        let object = HaltObject::Unreadable { key: key.clone(), uid: Some(uid(10)) };
        world.halts.insert(key, object);
        assert_eq!(world.settle().0, [format!("+{name}")]);
        assert_eq!(world.in_force[0].scope, HaltScope::Account);
        world.drop_halt(namespace, "odd");
        assert_eq!(world.settle().0, [format!("-{name} by deletion of its TradingHalt")]);
    }
}

#[test]
fn an_object_nobody_is_sure_of_is_asked_for_and_not_taken_for_gone() {
    let mut world = World::new();
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.settle();
    world.doubted.insert(uid(10));
    assert_eq!(world.settle(), (vec![], vec![Call::ReadHalt { name: "strategy.trend.latched".into() }]));
    assert_eq!(world.in_force.len(), 1);
}

#[test]
fn halts_without_a_name_of_ours_get_no_object() {
    let account = Key::new("desk", "paper");
    for name in ["incident", "strategy.trend", "account.other.drawdown", "tradewind/all"] {
        let halt = Halt { name: name.into(), scope: HaltScope::Account, ..breaker(1, "trend") };
        assert_eq!(object_of(&halt, &account), None, "{name}");
    }
    let local = Halt { name: "strategy.trend.local.btc-usd".into(), ..breaker(1, "trend") };
    assert!(object_of(&local, &account).is_some());
}
