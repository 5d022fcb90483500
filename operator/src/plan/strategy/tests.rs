use serde_json::json;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::published;
use tradewind_crds::resolve;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::Phase;

use super::*;
use crate::plan::conditions;
use crate::plan::fixtures::{self, account, at, latch, uid};

const WORKS: WorkerSeen = WorkerSeen { account_stays: true, pod: true, stateful_set: true, ledger: true };

/// The strategy `btc` among what a test says of its namespace.
pub(super) struct World {
    pub(super) objects: Objects,
    worker: WorkerSeen,
}

impl World {
    pub(super) fn new() -> Self {
        let mut btc = fixtures::strategy("btc");
        btc.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
        Self { objects: fixtures::objects(vec![btc], vec![]), worker: WORKS }
    }

    /// With the worker running what the objects say now.
    pub(super) fn running() -> Self {
        let mut world = Self::new();
        world.take_over(&[]);
        world
    }

    pub(super) fn btc(&mut self) -> &mut TradingStrategy {
        &mut self.objects.strategies[0]
    }

    pub(super) fn account(&mut self) -> &mut ExchangeAccount {
        &mut self.objects.accounts[0]
    }

    pub(super) fn take_over(&mut self, halts: &[&str]) {
        let resolved = resolve::resolve_ungranted(&self.objects, &self.objects.strategies[0], None).unwrap();
        fixtures::applied(self.btc(), &published::digest(&resolved), halts);
    }

    pub(super) fn says(&mut self, type_: &str, status: bool, reason: Reason, message: &str) {
        let conditions = &mut self.btc().status.get_or_insert_default().conditions;
        conditions::set(conditions, type_, status, reason, message, 1, at(700));
    }

    fn halted(halts: Vec<TradingHalt>) -> Self {
        let mut world = Self::running();
        world.objects.halts = halts;
        world
    }

    pub(super) fn plan(&self) -> Plan {
        let observed = Observed {
            object: &self.objects.strategies[0],
            objects: &self.objects,
            everything: &|| self.objects.clone(),
            worker: self.worker,
        };
        plan(&observed, at(1_030))
    }
}

fn message(plan: &Plan, type_: &str) -> String {
    get(&plan.status.conditions, type_).unwrap().message.clone()
}

#[test]
fn all_problems_are_told_with_what_stays_in_force() {
    let mut world = World::running();
    let btc = world.btc();
    btc.metadata.generation = Some(4);
    btc.spec.instruments[0].symbol = "BTC-EUR".into();
    btc.spec.decision.bar = "0s".into();
    btc.spec.exchange_account_ref = "paper".into();
    let told = message(&world.plan(), condition::READY);
    assert!(told.contains("spec.instruments[0].symbol (BTC-EUR)"), "{told}");
    assert!(told.contains("spec.decision.bar (0s)"), "{told}");
    assert!(told.ends_with("generation 1 stays in force"), "{told}");
    assert!(!told.contains("TradingStrategy desk/btc"), "a condition need not name its own object: {told}");
}

#[test]
fn a_missing_account_is_told_with_the_one_that_was_meant() {
    let mut world = World::new();
    world.btc().spec.exchange_account_ref = "papr".into();
    let told = message(&world.plan(), condition::READY);
    assert!(told.contains("there is no ExchangeAccount desk/papr; did you mean paper?"), "{told}");
}

#[test]
fn a_refusal_names_the_rule_and_what_is_kept() {
    let mut world = World::running();
    world.btc().spec.capital.amount = "12000".into();
    let plan = world.plan();
    let told = message(&plan, condition::GRANTED);
    assert!(told.contains("exceeds the 10000 still free on account paper"), "{told}");
    assert!(told.contains("it keeps capital 5000 and the base assets BTC"), "{told}");
    assert_eq!(plan.status.phase, Some(Phase::Degraded), "what was granted goes on running");
}

#[test]
fn a_base_asset_belongs_to_the_older_strategy() {
    let mut world = World::new();
    let mut older = fixtures::strategy("older");
    older.metadata.creation_timestamp = Some(fixtures::time(400));
    world.objects.strategies.push(older);
    world.objects.strategies.reverse();
    fixtures::grant(&mut world.objects);
    world.objects.strategies.reverse();
    let told = message(&world.plan(), condition::GRANTED);
    assert!(told.contains("base asset BTC is already granted to strategy older"), "{told}");
}

#[test]
fn a_halt_not_yet_confirmed_is_halted_and_says_so() {
    let mut world = World::halted(vec![latch("btc")]);
    assert!(message(&world.plan(), condition::HALTED).ends_with("the worker has not confirmed it yet"));
    world.take_over(&["strategy.btc.latched"]);
    let plan = world.plan();
    let expected = format!(
        r#"halted by strategy.btc.latched (kubectl-patch: incident); resume with: kubectl patch strat btc -n desk --type=merge -p '{{"spec":{{"halted":null,"resume":{{"haltID":"{}"}}}}}}'"#,
        uid("strategy.btc.latched")
    );
    assert_eq!(message(&plan, condition::HALTED), expected);
    let halt = plan.status.halt.unwrap();
    assert!(halt.active && halt.sources[0].uid.is_some() && halt.sources[0].since.is_some());
}

#[test]
fn resume_names_one_halt_of_this_strategy_and_only_without_halted() {
    let resume = |halted: Option<bool>, id: &str| {
        let cluster = fixtures::halt("all", &json!({"cluster": {}}));
        let mut world = World::halted(vec![latch("btc"), latch("eth"), cluster]);
        world.btc().spec.halted = halted;
        world.btc().spec.resume = Some(serde_json::from_value(json!({"haltID": id})).unwrap());
        world.plan().resume
    };
    let own = uid("strategy.btc.latched");
    let expected = vec![(Key::new("desk", "strategy.btc.latched"), own.clone())];
    assert_eq!(resume(None, &own), expected);
    assert_eq!(resume(Some(false), &own), expected);
    assert_eq!(resume(Some(true), &own), vec![], "halted in the same breath");
    assert_eq!(resume(None, &uid("an older latch")), vec![], "an old value never matches again");
    assert_eq!(resume(None, &uid("all")), vec![], "not this strategy's own");
    assert_eq!(resume(None, &uid("strategy.eth.latched")), vec![], "another strategy's");
}

#[test]
fn of_two_sources_one_cleared_leaves_the_other() {
    let breaker = fixtures::halt("strategy.btc.daily", &json!({"strategy": {"name": "btc"}}));
    let mut world = World::halted(vec![latch("btc"), breaker.clone()]);
    let status = world.plan().status;
    assert_eq!(status.halt.as_ref().unwrap().sources.len(), 2);
    world.btc().status.get_or_insert_default().halt = status.halt;
    world.objects.halts = vec![breaker];
    let plan = world.plan();
    assert_eq!(plan.status.phase, Some(Phase::Halted));
    assert_eq!(plan.status.halt.unwrap().sources[0].name, "strategy.btc.daily");
    assert!(plan.notices.iter().all(|notice| notice.reason != Reason::NotHalted));
}

#[test]
fn a_strategy_made_again_under_a_halt_or_restored_without_status_is_halted() {
    let mut world = World::halted(vec![latch("btc")]);
    world.btc().metadata.uid = Some(uid("a new object"));
    world.btc().status = None;
    fixtures::grant(&mut world.objects);
    let plan = world.plan();
    assert_eq!(plan.status.phase, Some(Phase::Halted));
    assert!(is(&plan.status.conditions, condition::HALTED, Status::True));
}

#[test]
fn halted_without_a_latch_asks_for_one() {
    let mut world = World::running();
    assert!(!world.plan().relatch);
    world.btc().spec.halted = Some(true);
    assert!(world.plan().relatch);
    world.objects.halts = vec![latch("btc")];
    assert!(!world.plan().relatch);
}

#[test]
fn the_finalizer_is_set_first_and_taken_off_when_settled() {
    let mut world = World::running();
    world.btc().metadata.finalizers = None;
    assert_eq!(world.plan().finalizer, Finalizer::Add);
    let mut world = World::running();
    assert_eq!(world.plan().finalizer, Finalizer::Leave);
    world.btc().metadata.deletion_timestamp = Some(fixtures::time(1_000));
    let waits = world.plan();
    assert_eq!((waits.finalizer, waits.requeue), (Finalizer::Leave, Some(Duration::from_secs(5))));
    assert!(message(&waits, condition::READY).contains("at most 90 s more"));
    world.says(condition::SETTLED, true, Reason::Settled, "");
    let goes = world.plan();
    assert_eq!(goes.finalizer, Finalizer::Remove);
    assert!(goes.notices.iter().all(|notice| notice.reason != Reason::ReleasedUnsettled));
    world.btc().metadata.finalizers = Some(vec!["someone/else".to_owned()]);
    assert_eq!(
        world.plan().finalizer,
        Finalizer::Leave,
        "ours is off already; none is set on what is deleted"
    );
}

#[test]
fn a_release_without_the_worker_is_told() {
    let mut world = World::running();
    world.btc().metadata.deletion_timestamp = Some(fixtures::time(900));
    let plan = world.plan();
    assert_eq!(plan.finalizer, Finalizer::Remove, "130 s have passed");
    let told: Vec<_> = plan.notices.iter().map(|notice| (notice.warning, notice.reason)).collect();
    assert!(told.contains(&(true, Reason::ReleasedUnsettled)), "{told:?}");
}

#[test]
fn events_tell_what_changed_and_nothing_at_rest() {
    let reasons = |plan: &Plan| plan.notices.iter().map(|notice| notice.reason).collect::<Vec<_>>();
    let mut world = World::new();
    world.btc().status = Some(world.plan().status);
    world.take_over(&[]);
    let up = world.plan();
    assert_eq!(reasons(&up), [Reason::ConfigApplied]);
    let applied = world.btc().status.clone().unwrap().applied;
    world.btc().status = Some(TradingStrategyStatus { applied: applied.clone(), ..up.status });
    let rest = world.plan();
    assert_eq!(reasons(&rest), []);
    assert_eq!(rest.status.conditions, world.btc().status.clone().unwrap().conditions, "nothing to write");

    world.btc().spec.halted = Some(true);
    let halted = world.plan();
    assert_eq!(reasons(&halted), [], "its latch is told when it is made");
    world.btc().status = Some(TradingStrategyStatus { applied: applied.clone(), ..halted.status });
    world.objects.halts = vec![latch("btc")];
    let latched = world.plan();
    assert_eq!(reasons(&latched), [], "the field and its latch are one halt");
    world.btc().status = Some(TradingStrategyStatus { applied, ..latched.status });
    world.btc().spec.halted = None;
    world.objects.halts.clear();
    assert_eq!(reasons(&world.plan()), [Reason::NotHalted]);
    world.objects.halts = vec![fixtures::halt("all", &json!({"namespace": {}}))];
    let told = world.plan().notices;
    assert_eq!(told[0].reason, Reason::Halted);
    assert_eq!(told[0].related.as_ref().and_then(|halt| halt.name.as_deref()), Some("all"));
}

#[test]
fn a_ready_account_without_grants_leaves_the_strategy_undecided() {
    let mut world = World::new();
    world.objects.accounts[0] = account();
    let plan = world.plan();
    assert!(message(&plan, condition::READY).contains("has not yet decided"));
}
