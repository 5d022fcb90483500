use serde_json::json;
use tradewind_core::config::DesiredState;
use tradewind_core::event::HaltChange;
use tradewind_core::halt::HaltScope;

use super::super::calls::Answer;
use super::super::config::tests::{catalog, published, strategy};
use super::super::halts::tests::{facts, halted, object, of_strategy, resuming, uid};
use super::super::sight::Which;
use super::super::watch::{Change, Input, Scope, Seen};
use super::*;

fn both() -> Published {
    published(vec![strategy(1, "trend", "BTC-USD"), strategy(2, "swing", "ETH-USD")])
}

/// A desk and an engine that does as it is told.
struct Rig {
    desk: Desk,
    start: Instant,
    clock: Instant,
    halts: Vec<Halt>,
    published: BTreeMap<SmolStr, Uid>,
    block: Option<EntryBlock>,
    configs: Vec<tradewind_core::config::Config>,
    /// Every halt that was set or (with a dash) cleared, in order.
    said: Vec<String>,
    calls: Vec<Call>,
    lease: bool,
}

impl Rig {
    fn new() -> Self {
        let scope = Scope { account: Key::new("desk", "paper"), operator_namespace: "tradewind".into() };
        let start = Instant::now();
        let desk = Desk::new(scope, both(), BTreeMap::new(), catalog(), Quarantine::default());
        Self {
            desk,
            start,
            clock: start,
            halts: Vec::new(),
            published: BTreeMap::new(),
            block: Some(EntryBlock::Blind),
            configs: Vec::new(),
            said: Vec::new(),
            calls: Vec::new(),
            lease: true,
        }
    }

    /// All lists are complete, nothing halts.
    fn seeing() -> Self {
        let mut rig = Self::new();
        rig.see(
            Which::Strategies,
            Seen::Strategies(Change::Listed(vec![facts(1, "trend"), facts(2, "swing")])),
        );
        rig.see(Which::Halts, Seen::Halts("desk".into(), Change::Listed(Vec::new())));
        rig.see(Which::OperatorHalts, Seen::Halts("tradewind".into(), Change::Listed(Vec::new())));
        assert_eq!(rig.block, Some(EntryBlock::Blind), "what is mounted may be an old copy");
        rig.see(Which::Configuration, Seen::Configuration(Change::Listed(vec![both().to_data()])));
        assert_eq!(rig.block, None);
        rig
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.clock = self.start + std::time::Duration::from_secs(seconds);
        self
    }

    fn see(&mut self, which: Which, seen: Seen) {
        self.desk.take(Input { which, at: self.clock, heard: self.clock, seen });
        self.settle();
    }

    fn strategy(&mut self, facts: StrategyFacts) {
        self.see(Which::Strategies, Seen::Strategies(Change::Applied(facts)));
    }

    fn halt(&mut self, change: Change<TradingHalt>) {
        let change = match change {
            Change::Listed(all) => Change::Listed(all.into_iter().map(HaltObject::of).collect()),
            Change::Applied(halt) => Change::Applied(HaltObject::of(halt)),
            Change::Deleted(halt) => Change::Deleted(HaltObject::of(halt)),
        };
        self.see(Which::Halts, Seen::Halts("desk".into(), change));
    }

    fn answer(&mut self, call: &Call, answer: Answer) {
        let (halts, published) = (self.halts.clone(), self.published.clone());
        let engine = Engine { halts: &halts, published: &published, block: self.block, now: Timestamp(900) };
        self.desk.answer(call, answer, &engine, self.clock);
        self.settle();
    }

    fn settle(&mut self) {
        for _ in 0..50 {
            let engine = Engine {
                halts: &self.halts,
                published: &self.published,
                block: self.block,
                now: Timestamp(900),
            };
            let news = self.desk.next(&engine, self.lease, self.clock);
            self.calls.extend(self.desk.outgoing());
            let Some(news) = news else { return };
            for kind in news.events {
                match kind {
                    EventKind::HaltChange(HaltChange::Set(halt)) => {
                        self.said.push(halt.name.to_string());
                        self.halts.retain(|known| known.name != halt.name);
                        self.halts.push(halt);
                    }
                    EventKind::HaltChange(HaltChange::Cleared { name, .. }) => {
                        self.said.push(format!("-{name}"));
                        self.halts.retain(|known| known.name != name);
                    }
                    EventKind::EntryGate(block) => self.block = block,
                    EventKind::ConfigChange(config) => self.configs.push(*config),
                    other => panic!("{other:?}"),
                }
            }
            for (name, object) in news.published {
                match object {
                    Some(uid) => drop(self.published.insert(name, uid)),
                    None => drop(self.published.remove(&name)),
                }
            }
        }
        panic!("the desk never comes to rest");
    }

    fn state_of(&self, name: &str) -> DesiredState {
        let config = self.configs.last().unwrap();
        config.strategies.iter().find(|s| s.name == name).unwrap().desired_state
    }
}

const LATCH: &str = "strategy.trend.latched";

/// As the worker makes it.
fn latch(number: u128) -> TradingHalt {
    let mut halt = object(number, "desk", LATCH, of_strategy("trend"));
    (halt.spec.reason, halt.spec.requested_by) = halted(facts(1, "trend")).member.halted_by;
    halt
}

#[test]
fn halted_and_reverted_in_one_breath_is_latched_because_each_event_is_taken_by_itself() {
    let mut rig = Rig::seeing();
    rig.strategy(halted(facts(1, "trend")));
    rig.strategy(facts(1, "trend"));
    assert_eq!(rig.said, [LATCH]);
    assert!(matches!(rig.calls.as_slice(), [Call::Create(_)]), "asked for once: {:?}", rig.calls);
    assert_eq!(rig.halts.len(), 1);
}

#[test]
fn blind_until_all_is_listed_and_again_when_a_watch_is_silent_for_fifteen_seconds() {
    let mut rig = Rig::new();
    rig.settle();
    assert_eq!(rig.block, Some(EntryBlock::Blind));
    let mut rig = Rig::seeing();
    rig.after(14).settle();
    assert_eq!(rig.block, None);
    rig.after(15).settle();
    assert_eq!(rig.block, Some(EntryBlock::Blind));
    for which in [Which::Strategies, Which::Halts, Which::OperatorHalts] {
        rig.see(which, Seen::Alive);
    }
    assert_eq!(rig.block, None);
    rig.lease = false;
    rig.settle();
    assert_eq!(rig.block, Some(EntryBlock::LeaseLost));
}

#[test]
fn entries_wait_for_the_strategys_own_object_and_end_with_its_deletion() {
    let mut rig = Rig::new();
    rig.settle();
    assert_eq!((rig.block, rig.state_of("trend")), (Some(EntryBlock::Blind), DesiredState::Trading));
    rig.see(Which::Strategies, Seen::Strategies(Change::Listed(vec![facts(2, "swing")])));
    assert_eq!(rig.state_of("trend"), DesiredState::ReferenceMissing, "before the gate can open");
    let mut rig = Rig::seeing();
    assert_eq!(rig.state_of("trend"), DesiredState::Trading);
    let deleting = StrategyFacts { deleting: true, ..facts(1, "trend") };
    rig.strategy(deleting.clone());
    assert_eq!(rig.state_of("trend"), DesiredState::ExitOnly);
    assert_eq!(rig.state_of("swing"), DesiredState::Trading);
    rig.see(Which::Strategies, Seen::Strategies(Change::Deleted(deleting)));
    assert_eq!(rig.state_of("trend"), DesiredState::ReferenceMissing);
    // Another of that name is another strategy: the entry is not yet its own.
    rig.strategy(facts(9, "trend"));
    assert_eq!(rig.state_of("trend"), DesiredState::ReferenceMissing);
}

#[test]
fn a_strategy_made_anew_under_its_latch_is_halted_before_it_can_run() {
    let mut rig = Rig::seeing();
    rig.halt(Change::Applied(latch(10)));
    rig.see(Which::Strategies, Seen::Strategies(Change::Deleted(facts(1, "trend"))));
    let again = published(vec![strategy(9, "trend", "BTC-USD")]).to_data();
    rig.see(Which::Configuration, Seen::Configuration(Change::Applied(again)));
    assert_eq!(rig.state_of("trend"), DesiredState::ReferenceMissing);
    rig.strategy(facts(9, "trend"));
    assert_eq!(rig.state_of("trend"), DesiredState::Trading);
    assert_eq!(rig.halts[0].scope, HaltScope::Strategies(vec![uid(1), uid(9)]));
}

#[test]
fn what_we_made_is_not_taken_for_gone_by_a_list_that_is_older() {
    let mut rig = Rig::seeing();
    rig.strategy(halted(facts(1, "trend")));
    rig.strategy(facts(1, "trend"));
    let create = rig.calls.remove(0);
    rig.answer(&create, Answer::Halt(LATCH.into(), Some(Box::new(latch(10)))));
    assert_eq!(rig.published.get(LATCH), Some(&uid(10)));
    rig.halt(Change::Listed(Vec::new()));
    assert_eq!(rig.said, [LATCH], "not resumed");
    let read = rig.calls.remove(0);
    assert_eq!(read, Call::ReadHalt { name: LATCH.into() });
    rig.answer(&read, Answer::Halt(LATCH.into(), None));
    assert_eq!(rig.said, [LATCH, "-strategy.trend.latched"], "really gone: it was resumed meanwhile");
}

#[test]
fn a_halt_resumed_while_it_was_being_made_is_not_set_again_but_deleted() {
    let mut rig = Rig::seeing();
    rig.strategy(halted(facts(1, "trend")));
    rig.strategy(facts(1, "trend"));
    let create = rig.calls.remove(0);
    // Resumed in the pod before the answer.
    rig.halts.clear();
    rig.answer(&create, Answer::Halt(LATCH.into(), Some(Box::new(latch(10)))));
    assert_eq!(rig.said, [LATCH]);
    assert_eq!(rig.calls, [Call::Delete { name: LATCH.into(), uid: uid(10) }]);
    let delete = rig.calls.remove(0);
    rig.answer(&delete, Answer::Deleted(LATCH.into(), uid(10)));
    // A late word of the one that is gone.
    rig.halt(Change::Applied(latch(10)));
    assert_eq!(rig.said, [LATCH]);
    assert!(rig.published.is_empty());
}

#[test]
fn a_halt_made_again_while_its_old_object_is_being_deleted_survives_that() {
    let mut rig = Rig::seeing();
    rig.halt(Change::Applied(latch(10)));
    rig.strategy(resuming(facts(1, "trend"), 10));
    let delete = rig.calls.remove(0);
    assert_eq!(delete, Call::Delete { name: LATCH.into(), uid: uid(10) });
    rig.strategy(resuming(halted(facts(1, "trend")), 10));
    rig.halt(Change::Deleted(latch(10)));
    rig.answer(&delete, Answer::Deleted(LATCH.into(), uid(10)));
    assert_eq!(rig.said, [LATCH, "-strategy.trend.latched", LATCH]);
    assert!(matches!(rig.calls.as_slice(), [Call::Create(_)]), "{:?}", rig.calls);
}

#[test]
fn a_latch_deleted_while_halted_is_made_anew_when_the_strategy_still_says_so() {
    for (now, anew) in [(halted(facts(1, "trend")), true), (facts(1, "trend"), false)] {
        let mut rig = Rig::seeing();
        rig.strategy(halted(facts(1, "trend")));
        let create = rig.calls.remove(0);
        rig.answer(&create, Answer::Halt(LATCH.into(), Some(Box::new(latch(10)))));
        rig.halt(Change::Applied(latch(10)));
        rig.halt(Change::Deleted(latch(10)));
        let read = rig.calls.remove(0);
        assert_eq!(read, Call::ReadStrategy { name: "trend".into() });
        rig.answer(&read, Answer::Strategy("trend".into(), Some(Box::new(now))));
        assert_eq!(rig.said.len(), if anew { 1 } else { 2 }, "{:?}", rig.said);
        assert_eq!(matches!(rig.calls.as_slice(), [Call::Create(_)]), anew, "{:?}", rig.calls);
    }
}

#[test]
fn a_failed_request_is_made_again_later_and_the_halt_holds_all_the_time() {
    let mut rig = Rig::seeing();
    rig.strategy(halted(facts(1, "trend")));
    let create = rig.calls.remove(0);
    rig.answer(&create, Answer::Failed("away".into()));
    assert!(rig.calls.is_empty());
    rig.after(1).settle();
    assert!(matches!(rig.calls.as_slice(), [Call::Create(_)]));
    assert_eq!(rig.halts.len(), 1);
}

#[test]
fn an_unknown_format_closes_the_gate_and_keeps_what_ran_until_a_known_one_comes() {
    let mut rig = Rig::seeing();
    let configs = rig.configs.len();
    let mut data = published(vec![]).to_data();
    data.insert("format".into(), "2".into());
    rig.see(Which::Configuration, Seen::Configuration(Change::Applied(data)));
    assert_eq!(rig.block, Some(EntryBlock::UnknownFormat));
    assert_eq!(rig.configs.len(), configs);
    let mut stopped = strategy(1, "trend", "BTC-USD");
    stopped.desired_state = DesiredState::Stopped;
    let known = published(vec![stopped]).to_data();
    rig.see(Which::Configuration, Seen::Configuration(Change::Applied(known)));
    assert_eq!(rig.block, None);
    assert_eq!(rig.state_of("trend"), DesiredState::Stopped);
}

#[test]
fn an_entry_that_is_gone_takes_the_strategy_out_only_when_its_object_goes_too() {
    let mut rig = Rig::seeing();
    let one = published(vec![strategy(2, "swing", "ETH-USD")]).to_data();
    rig.see(Which::Configuration, Seen::Configuration(Change::Applied(one)));
    assert_eq!(rig.state_of("trend"), DesiredState::ReferenceMissing, "no entry, no entries");
    rig.strategy(StrategyFacts { deleting: true, ..facts(1, "trend") });
    assert_eq!(rig.configs.last().unwrap().strategies.len(), 1);
}

#[test]
fn what_the_ledger_holds_stands_still_at_a_start_until_its_object_is_known_to_be_gone() {
    for (there, left) in [(true, 3), (false, 2)] {
        let mut rig = Rig::new();
        rig.desk.tell(rig.desk.compose());
        // The mounted copy is older than the strategy.
        let late = strategy(3, "late", "BTC-USD");
        rig.desk.remember([late.clone(), strategy(1, "trend", "BTC-USD")]);
        let told = |rig: &Rig| rig.desk.told().unwrap().config.strategies.clone();
        let states: Vec<_> = told(&rig).iter().map(|s| (s.name.to_string(), s.desired_state)).collect();
        assert_eq!(states.len(), 3, "what is published is not remembered twice: {states:?}");
        assert_eq!(states[2], ("late".to_owned(), DesiredState::Stopped));
        rig.settle();
        assert_eq!(told(&rig).len(), 3);
        let mut all = vec![facts(1, "trend"), facts(2, "swing")];
        all.extend(there.then(|| facts(3, "late")));
        rig.see(Which::Strategies, Seen::Strategies(Change::Listed(all)));
        assert_eq!(told(&rig).len(), left);
        let newer = published(vec![late]).to_data();
        rig.see(Which::Configuration, Seen::Configuration(Change::Applied(newer)));
        let state = if there { DesiredState::Trading } else { DesiredState::ReferenceMissing };
        assert_eq!(rig.state_of("late"), state);
    }
}

#[test]
fn an_operator_elsewhere_or_an_account_made_anew_ends_entries_until_a_new_process_looks_there() {
    type Edit = fn(&mut Published);
    let edits: [Edit; 2] =
        [|all| all.account.operator_namespace = "moved".into(), |all| all.account.account.uid = uid(101)];
    for edit in edits {
        let mut rig = Rig::seeing();
        let mut other = both();
        edit(&mut other);
        rig.see(Which::Configuration, Seen::Configuration(Change::Applied(other.to_data())));
        assert_eq!(rig.block, Some(EntryBlock::Blind));
        rig.see(Which::Configuration, Seen::Configuration(Change::Applied(both().to_data())));
        assert_eq!(rig.block, None);
    }
}

#[test]
fn a_config_map_that_is_gone_keeps_what_ran() {
    let mut rig = Rig::seeing();
    let configs = rig.configs.len();
    rig.see(Which::Configuration, Seen::Configuration(Change::Listed(Vec::new())));
    let deleted = Change::Deleted(BTreeMap::new());
    rig.see(Which::Configuration, Seen::Configuration(deleted));
    assert_eq!(rig.configs.len(), configs);
}

#[test]
fn an_account_halt_reaches_a_strategy_that_comes_later() {
    let mut rig = Rig::seeing();
    rig.halt(Change::Applied(object(10, "desk", "all", json!({"account": {"name": "paper"}}))));
    assert_eq!(rig.halts[0].scope, HaltScope::Account);
}
