//! TradingHalt: whom it reaches, and whether each of them has it in force.
//!
//! Pure. A halt is effective when every strategy that it reaches and that a worker runs lists its uid in
//! `status.applied.halts`. Strategies that no worker runs make no entries, and are not waited for. That list has a most; of
//! what a full one does not have nothing is claimed.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tradewind_crds::common::{KeyText, SymbolText, cut};
use tradewind_crds::objects::Key;
use tradewind_crds::problem::nearest;
use tradewind_crds::reach::{self, Subject};
use tradewind_crds::reasons::{Reason, condition};
use tradewind_crds::resolve::halts::local_name;
use tradewind_crds::trading_halt::{Target, TradingHalt, TradingHaltStatus};
use tradewind_crds::trading_strategy::TradingStrategy;

use super::conditions::{Conditions, Status, get, is};
use super::sources::MOST_LISTED;
use crate::events::Notice;
use crate::report::OwnStatus;

/// Most strategies that a message names.
const MOST_NAMED: usize = 8;

/// What was observed of a halt.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The halt.
    pub object: &'a TradingHalt,
    /// The strategies of the namespaces it can reach.
    pub strategies: &'a [Arc<TradingStrategy>],
    /// The names of the accounts of its namespace.
    pub accounts: &'a [String],
    /// The operator's namespace.
    pub operator_namespace: &'a str,
}

/// What one pass does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The status.
    pub status: TradingHaltStatus,
    /// What to tell.
    pub notices: Vec<Notice>,
}

impl OwnStatus for TradingHaltStatus {
    type Object = TradingHalt;
    const FIELDS: &'static [&'static str] =
        &["observedGeneration", "target", "affected", "effectiveSince", "waitingFor", "waiting"];
    const CONDITIONS: &'static [&'static str] = &[condition::EFFECTIVE];
}

/// The strategies a halt reaches.
#[derive(Debug, Default)]
struct Reached {
    /// That have it in force.
    in_force: usize,
    /// That a worker runs and that have not said so.
    waiting: Vec<String>,
    /// That a worker runs and whose list of halts is full, without this one.
    untold: Vec<String>,
    /// That no worker runs.
    idle: usize,
}

impl Reached {
    /// How many a worker runs.
    fn running(&self) -> usize {
        self.in_force + self.waiting.len() + self.untold.len()
    }
}

/// Plans one pass.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let halt = observed.object;
    let reached = reached(observed);
    let (status, reason, message) = effective(observed, &reached);
    let before = halt.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let generation = halt.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::new(before, generation, now);
    conditions.set(condition::EFFECTIVE, status, reason, &message);
    let conditions = conditions.finish();
    let since = get(&conditions, condition::EFFECTIVE).map(|found| found.last_transition_time.clone());
    let unlisted: Vec<String> = reached.waiting.iter().chain(&reached.untold).cloned().collect();
    let missing = reason == Reason::NoTarget && missing_target(observed).is_some();
    let notices = changes(before, &conditions, reason, missing, &message);
    let running = reached.running();
    Plan {
        status: TradingHaltStatus {
            observed_generation: Some(generation),
            target: Some(target_words(halt, observed.operator_namespace)),
            affected: Some(format!("{}/{}", reached.in_force, count(running, "strategy", "strategies"))),
            effective_since: since.filter(|_| status == Status::True),
            waiting: (!unlisted.is_empty()).then(|| named(&unlisted)),
            waiting_for: unlisted.into_iter().take(MOST_LISTED).map(KeyText).collect(),
            conditions,
        },
        notices,
    }
}

fn reached(observed: &Observed<'_>) -> Reached {
    let Observed { object: halt, strategies, operator_namespace, .. } = observed;
    let Some(uid) = halt.uid() else { return Reached::default() };
    let own = Key::of(*halt);
    let mut reached = Reached::default();
    for strategy in *strategies {
        let status = strategy.status.as_ref();
        let listed = || {
            let sources = status.and_then(|status| status.halt.as_ref()).map(|halt| halt.sources.as_slice());
            let mut uids = sources.unwrap_or_default().iter().filter_map(|source| source.uid.as_ref());
            uids.any(|own| own.0 == uid)
        };
        let matched = reach::reaches(halt, Subject::of(strategy), Some(operator_namespace)) || listed();
        if !matched || !reach::concerns(halt, strategy) {
            continue;
        }
        match status.and_then(|status| status.applied.as_ref()) {
            None => reached.idle += 1,
            Some(applied) if applied.halts.iter().any(|own| own.0 == uid) => reached.in_force += 1,
            Some(applied) => {
                let full = applied.halts.len() >= MOST_LISTED;
                let unlisted = if full { &mut reached.untold } else { &mut reached.waiting };
                unlisted.push(local_name(&Key::of(strategy.as_ref()), &own));
            }
        }
    }
    reached.waiting.sort();
    reached.untold.sort();
    reached
}

fn effective(observed: &Observed<'_>, reached: &Reached) -> (Status, Reason, String) {
    let halt = observed.object;
    let namespace = Key::of(halt).namespace;
    let narrowed = matches!(halt.spec.target, Target::Cluster(_))
        && !reach::is_everywhere(&namespace, Some(observed.operator_namespace));
    let note = if narrowed {
        format!(
            "; a cluster halt made outside namespace {} reaches only its own namespace {namespace}",
            observed.operator_namespace
        )
    } else {
        String::new()
    };
    let idle = match reached.idle {
        0 => String::new(),
        idle => format!("; {} not run by a worker and not waited for", are(idle)),
    };
    let running = reached.running();
    if running == 0 {
        let why = missing_target(observed).unwrap_or_else(|| {
            "it reaches no strategy that a worker runs at present; one that comes later is reached".to_owned()
        });
        return (Status::False, Reason::NoTarget, format!("{why}{idle}{note}"));
    }
    let reason = |usual| if narrowed { Reason::OwnNamespaceOnly } else { usual };
    let of_all = format!("{} of {}", reached.in_force, count(running, "strategy", "strategies"));
    if !reached.waiting.is_empty() {
        let message = format!(
            "{of_all} have it in force; waits for the workers of {}; is their account ready?{idle}{note}",
            named(&reached.waiting)
        );
        return (Status::False, reason(Reason::WaitingForWorkers), message);
    }
    if !reached.untold.is_empty() {
        let message = format!(
            "{of_all} are known to have it in force; {} are halted by {MOST_LISTED} others or more, and a strategy lists \
             no more than that; delete halts that are no longer needed{idle}{note}",
            named(&reached.untold)
        );
        return (Status::Unknown, reason(Reason::TooManyHalts), message);
    }
    let message = format!("{of_all} {} it in force{idle}{note}", if running == 1 { "has" } else { "have" });
    (Status::True, reason(Reason::InForce), message)
}

/// A few names, and how many more there are.
fn named(names: &[String]) -> String {
    let told: Vec<&str> = names.iter().take(MOST_NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(MOST_NAMED) {
        0 => told.join(", "),
        more => format!("{} and {more} more", told.join(", ")),
    }
}

/// The target by name does not exist: who made the halt should know.
fn missing_target(observed: &Observed<'_>) -> Option<String> {
    let namespace = Key::of(observed.object).namespace;
    let (kind, name, names) = match &observed.object.spec.target {
        Target::Strategy(target) => {
            let here = observed.strategies.iter().filter(|s| Key::of(s.as_ref()).namespace == namespace);
            ("TradingStrategy", &target.name.0, here.map(|strategy| strategy.name_any()).collect())
        }
        Target::Account(target) => ("ExchangeAccount", &target.name.0, observed.accounts.to_vec()),
        Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => return None,
    };
    let names: Vec<String> = names;
    if names.contains(name) {
        return None;
    }
    let meant = nearest(name, names.iter().map(String::as_str));
    let fix = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
    Some(format!("there is no {kind} {namespace}/{name}; one that comes later is reached{fix}"))
}

fn changes(
    before: &[Condition],
    now: &[Condition],
    reason: Reason,
    missing: bool,
    message: &str,
) -> Vec<Notice> {
    let old = get(before, condition::EFFECTIVE);
    let same = old.is_some_and(|old| old.reason == reason.as_str() && is(now, condition::EFFECTIVE, of(old)));
    match reason {
        _ if same => Vec::new(),
        Reason::NoTarget if missing => vec![Notice::warning(reason, "Halt", message)],
        Reason::InForce | Reason::OwnNamespaceOnly if is(now, condition::EFFECTIVE, Status::True) => {
            vec![Notice::normal(reason, "Halt", message)]
        }
        _ => Vec::new(),
    }
}

fn of(condition: &Condition) -> Status {
    [Status::True, Status::False]
        .into_iter()
        .find(|s| s.as_str() == condition.status)
        .unwrap_or(Status::Unknown)
}

/// Whom the halt reaches, in short.
pub fn target_words(halt: &TradingHalt, operator_namespace: &str) -> String {
    let namespace = Key::of(halt).namespace;
    let words = match &halt.spec.target {
        Target::Strategy(target) => format!("strategy {}", target.name),
        Target::Account(target) => format!("account {}", target.name),
        Target::Selector(selector) => {
            let labels = selector.match_labels.iter().map(|(name, value)| format!("{name}={}", value.0));
            format!("labels {}", labels.collect::<Vec<_>>().join(","))
        }
        Target::Namespace(_) => format!("namespace {namespace}"),
        Target::Cluster(_) if reach::is_everywhere(&namespace, Some(operator_namespace)) => {
            "cluster".to_owned()
        }
        Target::Cluster(_) => format!("namespace {namespace} only"),
    };
    let only = match halt.spec.instruments.as_slice() {
        [] => String::new(),
        some => {
            format!(" ({})", some.iter().map(|s: &SymbolText| s.0.as_str()).collect::<Vec<_>>().join(","))
        }
    };
    cut(&format!("{words}{only}"), 128)
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn are(number: usize) -> String {
    if number == 1 { "1 more is".to_owned() } else { format!("{number} more are") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::fixtures::{OPERATOR, applied, at, halt, strategy, time};

    struct World {
        halt: TradingHalt,
        strategies: Vec<TradingStrategy>,
    }

    impl World {
        fn new(target: &Value) -> Self {
            Self { halt: halt("h", target), strategies: Vec::new() }
        }

        /// With a strategy whose worker runs it and has those halts in force.
        fn with(mut self, name: &str, halts: &[&str]) -> Self {
            let mut made = strategy(name);
            applied(&mut made, "hash", halts);
            self.strategies.push(made);
            self
        }

        fn plan_at(&self, second: i64) -> Plan {
            let strategies: Vec<_> = self.strategies.iter().cloned().map(Arc::new).collect();
            let observed = Observed {
                object: &self.halt,
                strategies: &strategies,
                accounts: &["paper".to_owned()],
                operator_namespace: OPERATOR,
            };
            plan(&observed, at(second))
        }

        fn told(&self) -> (String, String, String) {
            let plan = self.plan_at(1_000);
            let found = get(&plan.status.conditions, condition::EFFECTIVE).unwrap();
            let state = format!("{}/{}", found.status, found.reason);
            (state, plan.status.affected.clone().unwrap(), found.message.clone())
        }
    }

    #[test]
    fn it_is_effective_when_each_strategy_it_reaches_lists_its_uid() {
        let all = json!({"namespace": {}});
        let world = World::new(&all).with("btc", &["h"]).with("eth", &["h", "other"]);
        let (state, affected, message) = world.told();
        assert_eq!((state.as_str(), affected.as_str()), ("True/InForce", "2/2 strategies"));
        assert_eq!(message, "2 of 2 strategies have it in force");
        let waits = World::new(&all).with("btc", &["h"]).with("eth", &["other"]).with("ada", &[]);
        let (state, affected, message) = waits.told();
        assert_eq!((state.as_str(), affected.as_str()), ("False/WaitingForWorkers", "1/3 strategies"));
        assert!(message.contains("waits for the workers of ada, eth;"), "{message}");
        let status = waits.plan_at(1_000).status;
        assert_eq!(status.waiting.as_deref(), Some("ada, eth"));
        let listed: Vec<_> = status.waiting_for.into_iter().map(|name| name.0).collect();
        assert_eq!(listed, ["ada", "eth"]);
        assert_eq!(world.plan_at(1_000).status.waiting, None);
        let one = World::new(&json!({"strategy": {"name": "eth"}})).with("btc", &[]).with("eth", &["h"]);
        assert_eq!(one.told().1, "1/1 strategy");
    }

    #[test]
    fn what_no_worker_runs_is_not_waited_for() {
        let mut world = World::new(&json!({"namespace": {}})).with("btc", &["h"]);
        world.strategies.push(strategy("pending"));
        let (state, affected, message) = world.told();
        assert_eq!((state.as_str(), affected.as_str()), ("True/InForce", "1/1 strategy"));
        assert!(message.ends_with("1 more is not run by a worker and not waited for"), "{message}");
    }

    #[test]
    fn since_when_is_the_moment_the_last_one_confirmed_and_is_kept() {
        let mut world = World::new(&json!({"namespace": {}})).with("btc", &[]);
        world.halt.status = Some(world.plan_at(1_000).status);
        assert_eq!(world.halt.status.as_ref().unwrap().effective_since, None);
        applied(&mut world.strategies[0], "hash", &["h"]);
        world.halt.status = Some(world.plan_at(1_005).status);
        let later = world.plan_at(2_000);
        assert_eq!(later.status.effective_since, Some(time(1_005)));
        assert_eq!(Some(later.status), world.halt.status, "nothing to write at rest");
        assert_eq!(later.notices, []);
        world = world.with("eth", &[]);
        assert_eq!(
            world.plan_at(2_000).status.effective_since,
            None,
            "one that came later has yet to confirm"
        );
    }

    #[test]
    fn a_halt_that_reaches_nobody_says_so_and_names_what_was_meant() {
        let (state, affected, message) =
            World::new(&json!({"strategy": {"name": "btx"}})).with("btc", &[]).told();
        assert_eq!((state.as_str(), affected.as_str()), ("False/NoTarget", "0/0 strategies"));
        assert!(
            message.contains("no TradingStrategy desk/btx") && message.contains("did you mean btc?"),
            "{message}"
        );
        let account = World::new(&json!({"account": {"name": "papr"}})).with("btc", &[]);
        assert!(account.told().2.contains("no ExchangeAccount desk/papr"));
        assert!(account.told().2.contains("did you mean paper?"));
        let selector = World::new(&json!({"selector": {"matchLabels": {"team": "a"}}})).with("btc", &[]);
        assert_eq!(selector.told().0, "False/NoTarget");
        assert_eq!(account.plan_at(1).notices[0].reason, Reason::NoTarget);
        assert_eq!(selector.plan_at(1).notices, [], "labels may come later; a name is more likely a mistake");
    }

    #[test]
    fn a_cluster_halt_outside_the_operators_namespace_says_that_it_is_narrower() {
        let here = World::new(&json!({"cluster": {}})).with("btc", &["h"]);
        let (state, _, message) = here.told();
        assert_eq!(state, "True/OwnNamespaceOnly");
        assert!(
            message.contains("outside namespace tradewind-system reaches only its own namespace desk"),
            "{message}"
        );
        assert_eq!(here.plan_at(1).status.target.as_deref(), Some("namespace desk only"));
        let mut everywhere = World::new(&json!({"cluster": {}})).with("btc", &["h"]).with("eth", &[]);
        everywhere.halt.metadata.namespace = Some(OPERATOR.to_owned());
        let (state, _, message) = everywhere.told();
        assert_eq!(state, "False/WaitingForWorkers");
        assert!(message.contains("desk/eth"), "another namespace is named: {message}");
        assert_eq!(everywhere.plan_at(1).status.target.as_deref(), Some("cluster"));
    }

    #[test]
    fn a_strategy_that_lost_its_label_is_still_counted() {
        let mut world = World::new(&json!({"selector": {"matchLabels": {"team": "a"}}})).with("btc", &[]);
        assert_eq!(world.told().0, "False/NoTarget");
        let source = tradewind_crds::common::HaltSource {
            name: "h".to_owned(),
            uid: world.halt.uid().map(tradewind_crds::common::UidText),
            ..Default::default()
        };
        let halt = tradewind_crds::common::HaltStatus { sources: vec![source], ..Default::default() };
        world.strategies[0].status.get_or_insert_default().halt = Some(halt);
        assert_eq!(world.told().0, "False/WaitingForWorkers");
    }

    #[test]
    fn instruments_narrow_whom_it_concerns_and_are_shown() {
        let mut world = World::new(&json!({"namespace": {}})).with("btc", &[]);
        world.halt.spec.instruments = vec!["ETH-USD".into()];
        assert_eq!(world.told().0, "False/NoTarget", "btc trades BTC-USD alone");
        assert_eq!(world.plan_at(1).status.target.as_deref(), Some("namespace desk (ETH-USD)"));
        world.halt.spec.instruments.push("BTC-USD".into());
        assert_eq!(world.told().0, "False/WaitingForWorkers");
        let words = |target| target_words(&halt("h", &target), OPERATOR);
        assert_eq!(words(json!({"strategy": {"name": "btc"}})), "strategy btc");
        assert_eq!(words(json!({"account": {"name": "paper"}})), "account paper");
        assert_eq!(words(json!({"selector": {"matchLabels": {"b": "2", "a": "1"}}})), "labels a=1,b=2");
    }

    #[test]
    fn of_a_strategy_that_lists_as_many_halts_as_it_can_nothing_is_claimed() {
        let full: Vec<String> = (0..64).map(|number| format!("h{number}")).collect();
        let full: Vec<&str> = full.iter().map(String::as_str).collect();
        let world = World::new(&json!({"namespace": {}})).with("a", &["h"]).with("b", &full);
        let (told, _, message) = world.told();
        assert_eq!(told, "Unknown/TooManyHalts");
        assert!(
            message.starts_with("1 of 2 strategies are known to have it in force; b are halted by 64 others"),
            "{message}"
        );
        assert_eq!(world.plan_at(1_000).status.effective_since, None);
        let fewer = World::new(&json!({"namespace": {}})).with("a", &["h"]).with("b", &full[1..]);
        assert_eq!(
            fewer.told().0,
            "False/WaitingForWorkers",
            "a list with room for it says that it is not there"
        );
        let among = World::new(&json!({"namespace": {}})).with("b", &[&full[1..], &["h"]].concat());
        assert_eq!(among.told().0, "True/InForce");
    }

    #[test]
    fn many_that_are_waited_for_are_listed_up_to_a_bound() {
        let mut world = World::new(&json!({"namespace": {}}));
        for number in 0..100 {
            world = world.with(&format!("s{number:03}"), &[]);
        }
        let plan = world.plan_at(1_000);
        assert_eq!(plan.status.waiting_for.len(), 64);
        assert!(world.told().2.contains("s007 and 92 more"), "{}", world.told().2);
    }
}
