//! RiskPolicy: whether it can be used, who uses it, and which of its breakers have tripped.
//!
//! Pure. A policy that is named by an account or a strategy is not let go of.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use tradewind_core::halt::HaltOrigin;
use tradewind_core::limits::Breaker;
use tradewind_crds::common::{KeyText, cut};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names;
use tradewind_crds::reasons::{Reason, condition};
use tradewind_crds::resolve;
use tradewind_crds::resolve::halts::origin;
use tradewind_crds::risk_policy::{BreakerScope, RiskPolicy, RiskPolicyStatus, Trip};
use tradewind_crds::trading_halt::{Target, TradingHalt};
use tradewind_crds::trading_strategy::TradingStrategy;

use super::account::Finalizer;
use super::conditions::{Conditions, get};
use super::sources::MOST_LISTED;
use crate::events::{Notice, reference};
use crate::report::OwnStatus;

/// Most users that a message names.
const MOST_NAMED: usize = 8;

/// What was observed of a policy.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The policy.
    pub object: &'a RiskPolicy,
    /// The accounts that name it.
    pub accounts: &'a [Arc<ExchangeAccount>],
    /// The strategies that name it as their own.
    pub strategies: &'a [Arc<TradingStrategy>],
    /// The strategies of those accounts.
    pub inheriting: &'a [Arc<TradingStrategy>],
    /// The halts of its namespace.
    pub halts: &'a [Arc<TradingHalt>],
}

/// What one pass does.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The status.
    pub status: RiskPolicyStatus,
    /// The finalizer.
    pub finalizer: Finalizer,
    /// What to tell.
    pub notices: Vec<Notice>,
}

impl OwnStatus for RiskPolicyStatus {
    type Object = RiskPolicy;
    const FIELDS: &'static [&'static str] = &["observedGeneration", "bound", "breakers", "breaches"];
    const CONDITIONS: &'static [&'static str] =
        &[condition::ACCEPTED, condition::BREACHED, condition::RECONCILING, condition::STALLED];
}

/// Plans one pass.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Plan {
    let policy = observed.object;
    let before = policy.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let generation = policy.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::new(before, generation, now);
    match resolve::check_policy(policy) {
        Ok(()) => {
            conditions.set(condition::ACCEPTED, true, Reason::Valid, "its limits and breakers can be used");
            conditions.set(condition::STALLED, false, Reason::NotStalled, "nothing stands in the way");
        }
        Err(problems) => {
            let told = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let told = format!("{told}; what was valid before stays in force");
            conditions.set(condition::ACCEPTED, false, Reason::InvalidSpec, &told);
            conditions.set(condition::STALLED, true, Reason::InvalidSpec, told);
        }
    }
    let breaches = breaches(observed);
    let (reason, told) = breached(&breaches);
    conditions.set(condition::BREACHED, !breaches.is_empty(), reason, told);
    let users = users(observed);
    let deleting = policy.metadata.deletion_timestamp.is_some();
    let (reason, told) = match (deleting, users.is_empty()) {
        (false, _) => (Reason::UpToDate, "nothing is being brought about".to_owned()),
        (true, true) => (Reason::Deleting, "nothing names it any more; it goes".to_owned()),
        (true, false) => (Reason::InUse, in_use(&users)),
    };
    conditions.set(condition::RECONCILING, deleting, reason, told);
    let conditions = conditions.finish();
    let finalizer = finalizer(policy, users.is_empty());
    let tripped = breaches.first().and_then(|halt| stopped(observed, halt));
    let mut notices = changes(before, &conditions, tripped.as_ref());
    if finalizer == Finalizer::Remove && !users.is_empty() {
        let told = format!("let go of by annotation {} although {}", names::LET_GO, in_use(&users));
        notices.push(Notice::warning(Reason::ReleasedUnsettled, "Delete", told));
    }
    Plan {
        status: RiskPolicyStatus {
            observed_generation: Some(generation),
            conditions,
            bound: Some(bound(observed)),
            breakers: Some(breakers(observed)),
            breaches: breaches.iter().take(MOST_LISTED).map(|halt| KeyText(halt.name_any())).collect(),
        },
        finalizer,
        notices,
    }
}

fn finalizer(policy: &RiskPolicy, unused: bool) -> Finalizer {
    let ours = policy.finalizers().iter().any(|name| name == names::FINALIZER);
    let let_go = policy.annotations().get(names::LET_GO).is_some_and(|value| value == "true");
    match (policy.metadata.deletion_timestamp.is_some(), ours) {
        (false, false) => Finalizer::Add,
        (true, true) if unused || let_go => Finalizer::Remove,
        _ => Finalizer::Leave,
    }
}

/// Whoever names it, being deleted or not.
fn users(observed: &Observed<'_>) -> Vec<String> {
    let accounts = observed.accounts.iter().map(|account| format!("ExchangeAccount {}", account.name_any()));
    let own = observed.strategies.iter().map(|strategy| format!("TradingStrategy {}", strategy.name_any()));
    accounts.chain(own).collect()
}

fn in_use(users: &[String]) -> String {
    let named = users.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = match users.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("it is still named by {named}{more}; have them name another policy, or delete them")
}

/// Accounts and strategies that its limits hold for.
fn bound(observed: &Observed<'_>) -> String {
    let limited = observed.strategies.iter().chain(observed.inheriting);
    let limited: std::collections::BTreeSet<String> = limited.map(|strategy| strategy.name_any()).collect();
    let count =
        |number: usize, one: &str, many: &str| format!("{number} {}", if number == 1 { one } else { many });
    format!(
        "{}, {}",
        count(observed.accounts.len(), "account", "accounts"),
        count(limited.len(), "strategy", "strategies")
    )
}

/// The breakers in short, with the one an account's policy has unless it is listed.
fn breakers(observed: &Observed<'_>) -> String {
    let listed = &observed.object.spec.breakers;
    let mut words: Vec<String> = listed
        .iter()
        .map(|breaker| {
            let Trip::Drawdown(trip) = &breaker.trip;
            let scope = if breaker.scope == BreakerScope::Account { " (account)" } else { "" };
            format!("{} {}%{scope}", breaker.name, trip.percent.0)
        })
        .collect();
    let default = Breaker::default_drawdown();
    if !observed.accounts.is_empty() && listed.iter().all(|own| own.name.0 != default.name.as_str()) {
        words.insert(0, format!("{} {} (default)", default.name, default.drawdown));
    }
    cut(&words.join(", "), 256)
}

/// The halts of its breakers that hold.
fn breaches<'a>(observed: &'a Observed<'_>) -> Vec<&'a TradingHalt> {
    let listed = |scope: BreakerScope, name: &str, account: bool| {
        let breakers = &observed.object.spec.breakers;
        let default = scope == BreakerScope::Strategy && account && name == Breaker::default_drawdown().name;
        let known = breakers.iter().any(|own| own.name.0 == name);
        breakers.iter().any(|own| own.name.0 == name && own.scope == scope) || (default && !known)
    };
    let ours = |halt: &&Arc<TradingHalt>| {
        let HaltOrigin::Breaker { breaker } = origin(halt) else { return false };
        match &halt.spec.target {
            Target::Account(target) => {
                let named = observed.accounts.iter().any(|account| account.name_any() == target.name.0);
                named && listed(BreakerScope::Account, &breaker, true)
            }
            Target::Strategy(target) => {
                let named = |all: &[Arc<TradingStrategy>]| all.iter().any(|s| s.name_any() == target.name.0);
                (named(observed.strategies) && listed(BreakerScope::Strategy, &breaker, false))
                    || (named(observed.inheriting) && listed(BreakerScope::Strategy, &breaker, true))
            }
            Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => false,
        }
    };
    observed.halts.iter().filter(ours).map(Arc::as_ref).collect()
}

/// Whom the halt of a breaker stops, as an event names it.
fn stopped(observed: &Observed<'_>, halt: &TradingHalt) -> Option<ObjectReference> {
    match &halt.spec.target {
        Target::Account(target) => {
            let account = observed.accounts.iter().find(|account| account.name_any() == target.name.0)?;
            Some(reference(account.as_ref()))
        }
        Target::Strategy(target) => {
            let mut limited = observed.strategies.iter().chain(observed.inheriting);
            Some(reference(limited.find(|strategy| strategy.name_any() == target.name.0)?.as_ref()))
        }
        Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => None,
    }
}

fn breached(breaches: &[&TradingHalt]) -> (Reason, String) {
    let Some(first) = breaches.first() else {
        return (Reason::WithinLimits, "no breaker of it has tripped".to_owned());
    };
    let named = breaches.iter().take(MOST_NAMED).map(|halt| halt.name_any()).collect::<Vec<_>>().join(", ");
    let more = match breaches.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let why = cut(&first.spec.reason, 200);
    (Reason::BreakerTripped, format!("tripped and not resumed: {named}{more}; the first says: {why}"))
}

/// What changed and is worth an event; a breaker that tripped with whom it stops.
fn changes(before: &[Condition], now: &[Condition], stopped: Option<&ObjectReference>) -> Vec<Notice> {
    let told = [
        (condition::ACCEPTED, Reason::InvalidSpec, "Resolve"),
        (condition::BREACHED, Reason::BreakerTripped, "Halt"),
        (condition::RECONCILING, Reason::InUse, "Delete"),
    ];
    let notices = told.into_iter().filter_map(|(type_, reason, action)| {
        let now = get(now, type_).filter(|now| now.reason == reason.as_str())?;
        let came = get(before, type_).is_none_or(|old| old.reason != now.reason);
        let related = stopped.filter(|_| reason == Reason::BreakerTripped).cloned();
        came.then(|| Notice { related, ..Notice::warning(reason, action, &now.message) })
    });
    notices.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::conditions::{Status, is};
    use crate::plan::fixtures::{account, at, halt, policy, strategy, time};

    /// Policy `risk`, which lists the breaker `daily`, and who names it.
    struct World {
        policy: RiskPolicy,
        accounts: Vec<Arc<ExchangeAccount>>,
        own: Vec<Arc<TradingStrategy>>,
        inheriting: Vec<Arc<TradingStrategy>>,
        halts: Vec<Arc<TradingHalt>>,
    }

    impl World {
        fn alone() -> Self {
            let mut policy = policy("risk");
            policy.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
            Self { policy, accounts: vec![], own: vec![], inheriting: vec![], halts: vec![] }
        }

        /// Named by account `paper` with strategies `btc` and `eth`.
        fn of_account() -> Self {
            let inheriting = ["btc", "eth"].map(|name| Arc::new(strategy(name))).to_vec();
            Self { accounts: vec![Arc::new(account())], inheriting, ..Self::alone() }
        }

        fn tripped(mut self, name: &str, target: &serde_json::Value) -> Self {
            self.halts.push(Arc::new(halt(name, target)));
            self
        }

        fn deleting(mut self) -> Self {
            self.policy.metadata.deletion_timestamp = Some(time(900));
            self
        }

        fn plan(&self) -> Plan {
            let observed = Observed {
                object: &self.policy,
                accounts: &self.accounts,
                strategies: &self.own,
                inheriting: &self.inheriting,
                halts: &self.halts,
            };
            plan(&observed, at(1_000))
        }

        fn breaches(&self) -> Vec<String> {
            self.plan().status.breaches.into_iter().map(|name| name.0).collect()
        }
    }

    fn of_strategy(name: &str) -> serde_json::Value {
        json!({"strategy": {"name": name}})
    }

    #[test]
    fn who_uses_it_is_counted() {
        let bound = |world: &World| world.plan().status.bound.unwrap();
        assert_eq!(bound(&World::alone()), "0 accounts, 0 strategies");
        let mut world = World::of_account();
        assert_eq!(bound(&world), "1 account, 2 strategies");
        world.own = vec![Arc::clone(&world.inheriting[0]), Arc::new(strategy("elsewhere"))];
        assert_eq!(bound(&world), "1 account, 3 strategies", "one that names it twice counts once");
    }

    #[test]
    fn breakers_are_told_with_the_default_of_an_account() {
        let told = |world: &World| world.plan().status.breakers.unwrap();
        assert_eq!(told(&World::alone()), "daily 7.5%");
        let mut world = World::of_account();
        assert_eq!(told(&world), "drawdown 15% (default), daily 7.5%");
        world.policy.spec.breakers[0].name = "drawdown".into();
        world.policy.spec.breakers[0].scope = BreakerScope::Account;
        assert_eq!(told(&world), "drawdown 7.5% (account)");
    }

    #[test]
    fn a_breaker_breaches_the_policy_it_is_of() {
        let none: [&str; 0] = [];
        let of_account = World::of_account;
        assert_eq!(
            of_account().tripped("strategy.btc.daily", &of_strategy("btc")).breaches(),
            ["strategy.btc.daily"]
        );
        assert_eq!(
            of_account().tripped("strategy.btc.drawdown", &of_strategy("btc")).breaches(),
            ["strategy.btc.drawdown"],
            "an account's policy has it unless it is listed"
        );
        assert_eq!(
            of_account().tripped("strategy.ada.daily", &of_strategy("ada")).breaches(),
            none,
            "another's"
        );
        assert_eq!(
            of_account().tripped("strategy.btc.weekly", &of_strategy("btc")).breaches(),
            none,
            "not listed"
        );
        assert_eq!(
            of_account().tripped("strategy.btc.latched", &of_strategy("btc")).breaches(),
            none,
            "no breaker"
        );
        assert_eq!(of_account().tripped("daily", &of_strategy("btc")).breaches(), none, "made by a person");
        let by_account = json!({"account": {"name": "paper"}});
        assert_eq!(
            of_account().tripped("account.paper.daily", &by_account).breaches(),
            none,
            "of scope Strategy"
        );
        let mut wide = of_account().tripped("account.paper.daily", &by_account);
        wide.policy.spec.breakers[0].scope = BreakerScope::Account;
        assert_eq!(wide.breaches(), ["account.paper.daily"]);
        assert_eq!(related(&wide.plan()), ["ExchangeAccount paper"]);
        let mut own = World::alone().tripped("strategy.btc.drawdown", &of_strategy("btc"));
        own.own = vec![Arc::new(strategy("btc"))];
        assert_eq!(own.breaches(), none, "a strategy's own policy has what it lists and no more");
    }

    /// What each event is related to.
    fn related(plan: &Plan) -> Vec<String> {
        let objects = plan.notices.iter().filter_map(|notice| notice.related.as_ref());
        let text = |part: &Option<String>| part.clone().unwrap();
        objects.map(|object| format!("{} {}", text(&object.kind), text(&object.name))).collect()
    }

    #[test]
    fn a_breach_is_a_condition_and_is_told_once() {
        let mut world = World::of_account().tripped("strategy.btc.daily", &of_strategy("btc"));
        let plan = world.plan();
        assert!(is(&plan.status.conditions, condition::BREACHED, Status::True));
        assert!(is(&plan.status.conditions, condition::ACCEPTED, Status::True));
        assert_eq!(plan.notices.iter().map(|n| n.reason).collect::<Vec<_>>(), [Reason::BreakerTripped]);
        assert_eq!(related(&plan), ["TradingStrategy btc"], "and with whom it stops");
        world.policy.status = Some(plan.status);
        let again = world.plan();
        assert_eq!((again.notices, Some(again.status)), (vec![], world.policy.status.clone()));
        world.halts.clear();
        assert!(is(&world.plan().status.conditions, condition::BREACHED, Status::False));
    }

    #[test]
    fn what_cannot_be_used_is_told_field_by_field() {
        let mut world = World::of_account();
        let Trip::Drawdown(trip) = &mut world.policy.spec.breakers[0].trip;
        trip.confirm_for = Some("soon".into());
        world.policy.spec.order = serde_json::from_value(json!({"minNotional": "a lot"})).unwrap();
        let plan = world.plan();
        let accepted = get(&plan.status.conditions, condition::ACCEPTED).unwrap();
        assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "InvalidSpec"));
        assert!(accepted.message.contains("spec.order.minNotional"), "{}", accepted.message);
        assert!(accepted.message.contains("breakers[0].trip.drawdown.confirmFor"), "{}", accepted.message);
        assert!(is(&plan.status.conditions, condition::STALLED, Status::True));
    }

    #[test]
    fn it_goes_when_nothing_names_it_and_says_who_does() {
        let mut fresh = World::alone();
        fresh.policy.metadata.finalizers = None;
        assert_eq!(fresh.plan().finalizer, Finalizer::Add);
        assert_eq!(World::of_account().plan().finalizer, Finalizer::Leave);
        assert_eq!(World::alone().deleting().plan().finalizer, Finalizer::Remove);
        let mut used = World::of_account().deleting();
        used.own = vec![Arc::new(strategy("btc"))];
        let plan = used.plan();
        assert_eq!(plan.finalizer, Finalizer::Leave);
        let told = get(&plan.status.conditions, condition::RECONCILING).unwrap();
        assert_eq!((told.status.as_str(), told.reason.as_str()), ("True", "InUse"));
        assert!(
            told.message.contains("named by ExchangeAccount paper, TradingStrategy btc;"),
            "{}",
            told.message
        );
        assert_eq!(plan.notices.iter().map(|n| n.reason).collect::<Vec<_>>(), [Reason::InUse]);
        used.policy.metadata.annotations = Some([(names::LET_GO.to_owned(), "true".to_owned())].into());
        let plan = used.plan();
        assert_eq!(plan.finalizer, Finalizer::Remove);
        assert!(plan.notices.iter().any(|notice| notice.reason == Reason::ReleasedUnsettled));
    }
}
