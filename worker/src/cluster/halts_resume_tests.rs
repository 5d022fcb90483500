//! What `spec.resume` ends, and what it does not.

use serde_json::json;

use super::*;

#[test]
fn a_latch_is_resumed_by_its_uid_and_its_object_deleted() {
    let mut world = World::new();
    world.strategy(halted(facts(1, "trend")));
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.settle();
    let mut resume = resuming(facts(1, "trend"), 10);
    resume.resumed_by = "kubectl-patch".into();
    world.strategy(resume);
    let (said, calls) = world.settle();
    assert_eq!(said, ["-strategy.trend.latched by spec.resume by kubectl-patch"]);
    assert_eq!(calls, [Call::Delete { name: "strategy.trend.latched".into(), uid: uid(10) }]);
    world.drop_halt("desk", "strategy.trend.latched");
    assert_eq!(world.settle(), (vec![], vec![]));
    assert!(world.published.is_empty(), "{:?}", world.published);
}

#[test]
fn resuming_while_halted_is_true_resumes_nothing() {
    let mut world = World::new();
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.strategy(resuming(halted(facts(1, "trend")), 10));
    world.settle();
    assert_eq!(world.names(), ["strategy.trend.latched"]);
}

#[test]
fn a_breakers_halt_is_not_resumed_by_name_while_spec_halted_is_true() {
    let mut world = World::new();
    world.in_force.push(breaker(1, "trend"));
    world.put(object(10, "desk", "strategy.trend.drawdown", of_strategy("trend")));
    world.put(object(11, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.strategy(halted(facts(1, "trend")));
    world.settle();
    world.strategy(resuming(halted(facts(1, "trend")), 10));
    assert_eq!(world.settle(), (vec![], vec![]), "neither resumed nor deleted");
    assert_eq!(world.names(), ["strategy.trend.drawdown", "strategy.trend.latched"]);
    world.strategy(resuming(facts(1, "trend"), 10));
    assert_eq!(world.settle().0, ["-strategy.trend.drawdown by spec.resume"], "that halt alone");
}

#[test]
fn a_latch_named_while_halted_is_true_is_made_anew_so_that_a_revert_resumes_nothing() {
    let mut world = World::new();
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.strategy(halted(facts(1, "trend")));
    world.settle();
    world.strategy(resuming(halted(facts(1, "trend")), 10));
    let (said, calls) = world.settle();
    assert_eq!(calls, [Call::Delete { name: "strategy.trend.latched".into(), uid: uid(10) }]);
    assert!(said.is_empty(), "{said:?}");
    // The field is taken back when the old one is gone and the new one not yet made.
    world.drop_halt("desk", "strategy.trend.latched");
    world.strategy(resuming(facts(1, "trend"), 10));
    let (said, calls) = world.settle();
    assert!(said.is_empty(), "{said:?}");
    assert!(matches!(calls.as_slice(), [Call::Create(_)]), "{calls:?}");
    assert_eq!(world.names(), ["strategy.trend.latched"]);
}

#[test]
fn an_old_uid_and_a_uid_of_another_target_resume_nothing() {
    let mut world = World::new();
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.put(object(11, "desk", "all", json!({"account": {"name": "paper"}})));
    world.put(object(12, "desk", "other", of_strategy("swing")));
    world.settle();
    for value in [9, 11, 12] {
        world.strategy(resuming(facts(1, "trend"), value));
        assert_eq!(world.settle(), (vec![], vec![]), "haltID {value}");
    }
    assert_eq!(world.in_force.len(), 3);
}

#[test]
fn halting_again_after_a_resume_makes_a_new_latch_and_the_old_uid_does_not_resume_it() {
    let mut world = World::new();
    world.put(object(10, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.settle();
    world.strategy(resuming(facts(1, "trend"), 10));
    world.settle();
    // Halted again before the old object is gone.
    world.strategy(resuming(halted(facts(1, "trend")), 10));
    let (said, calls) = world.settle();
    assert_eq!(said, ["+strategy.trend.latched"]);
    assert_eq!(calls, [Call::Delete { name: "strategy.trend.latched".into(), uid: uid(10) }]);
    world.drop_halt("desk", "strategy.trend.latched");
    world.published.remove("strategy.trend.latched");
    let (_, calls) = world.settle();
    assert!(matches!(calls.as_slice(), [Call::Create(_)]), "{calls:?}");
    world.put(object(20, "desk", "strategy.trend.latched", of_strategy("trend")));
    world.strategy(resuming(facts(1, "trend"), 10));
    world.settle();
    assert_eq!(world.names(), ["strategy.trend.latched"]);
}
