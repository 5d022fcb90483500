//! Whom a change concerns: from an object before and after to the objects that must be looked at.
//!
//! Either side of a reference that changes has the other looked at at once. What only the worker's figures change
//! (`status.trading`) concerns nobody here: it would be a pass for each strategy each minute.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};
use tokio::time::Instant;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Kind, ObjectId};
use tradewind_crds::risk_policy::RiskPolicy;
use tradewind_crds::trading_halt::{Target, TradingHalt};
use tradewind_crds::trading_strategy::TradingStrategy;

use crate::context::Context;
use crate::latch;
use crate::stores::cache::{Cache, Entry};
use crate::stores::{Child, PodView, Stores};

/// How long halts gather acknowledgements before they are looked at.
const GATHER: Duration = Duration::from_millis(100);

/// One of the four kinds, as the watches and triggers know it.
pub trait Concerns: Resource<DynamicType = ()> + Sized {
    /// Which.
    const KIND: Kind;

    /// Where the stores have it.
    fn cache(stores: &Stores) -> &Cache<Self>;

    /// The objects a change concerns. Naming one twice does no harm.
    fn concerns(stores: &Stores, change: &Change<'_, Self>) -> Vec<ObjectId>;

    /// Shown each state the watch delivers, before the stores have it.
    fn raw(_ctx: &Arc<Context>, _before: Option<&Self>, _now: &Self) {}
}

/// An object before and after.
pub struct Change<'a, K> {
    /// Its key.
    pub key: &'a Key,
    /// What it was; none when it was not there or could not be read.
    pub before: Option<&'a K>,
    /// What it is; none when it is gone or cannot be read.
    pub now: Option<&'a K>,
    /// Whether it could not or cannot be read, in which case everything may have changed.
    pub broken: bool,
}

impl<'a, K> Change<'a, K> {
    /// Whether a part of it differs; also when it came or went.
    fn differs<T: PartialEq>(&self, part: impl Fn(&'a K) -> T) -> bool {
        self.broken || self.before.map(&part) != self.now.map(&part)
    }

    /// Both states that can be read.
    fn states(&self) -> impl Iterator<Item = &'a K> {
        self.before.into_iter().chain(self.now)
    }
}

/// Has all looked at that a change of one of the four kinds concerns.
pub fn changed<K: Concerns>(ctx: &Context, key: &Key, before: Option<&Entry<K>>, now: Option<&Entry<K>>) {
    let broken = [before, now].into_iter().flatten().any(|entry| entry.readable().is_none());
    let state = |entry: Option<&'_ Entry<K>>| entry.and_then(Entry::readable).cloned();
    let (before, now) = (state(before), state(now));
    let change = Change { key, before: before.as_deref(), now: now.as_deref(), broken };
    let gather = Instant::now() + GATHER;
    for id in K::concerns(&ctx.stores, &change) {
        if id.kind == Kind::TradingHalt && (id.kind != K::KIND || id.key != *key) {
            ctx.queues.of(id.kind).push_at(id.key, gather);
        } else {
            ctx.queues.of(id.kind).push(id.key);
        }
    }
}

/// A child was changed, made or deleted.
pub fn child_changed(ctx: &Context, before: Option<&Child>, now: Option<&Child>) {
    let same = matches!((before, now), (Some(before), Some(now)) if !before.differs(now));
    if same {
        return;
    }
    for child in before.into_iter().chain(now) {
        if let Some(account) = child.account() {
            ctx.queues.of(Kind::ExchangeAccount).push(account);
        }
        // What lets the workers of a namespace read halts of the operator's belongs to all accounts there.
        if let Some(namespace) = child.key.name.strip_prefix(&names::halt_reader("")) {
            for account in ctx.stores.accounts.keys(Some(namespace)) {
                ctx.queues.of(Kind::ExchangeAccount).push(account);
            }
        }
    }
}

/// A worker's pod was changed, made or deleted.
pub fn pod_changed(ctx: &Context, before: Option<&PodView>, now: Option<&PodView>) {
    if before == now {
        return;
    }
    for account in before.into_iter().chain(now).filter_map(PodView::account_key) {
        ctx.queues.of(Kind::ExchangeAccount).push(account);
    }
}

fn ids(kind: Kind, keys: impl IntoIterator<Item = Key>) -> impl Iterator<Item = ObjectId> {
    keys.into_iter().map(move |key| ObjectId::new(kind, key))
}

fn strategies(objects: Vec<Arc<TradingStrategy>>) -> impl Iterator<Item = ObjectId> {
    ids(Kind::TradingStrategy, objects.into_iter().map(|object| Key::of(object.as_ref())))
}

fn accounts(objects: Vec<Arc<ExchangeAccount>>) -> impl Iterator<Item = ObjectId> {
    ids(Kind::ExchangeAccount, objects.into_iter().map(|object| Key::of(object.as_ref())))
}

/// What of the metadata somebody may have meant something by.
type Meta<'a> = (Option<&'a String>, Option<i64>, bool, Vec<&'a [String]>, Vec<(&'a String, &'a String)>);

fn meta<K: Resource>(object: &K) -> Meta<'_> {
    let meta = object.meta();
    let texts = meta.labels.iter().chain(meta.annotations.iter()).flatten().collect();
    let finalizers = meta.finalizers.iter().map(Vec::as_slice).collect();
    (meta.uid.as_ref(), meta.generation, meta.deletion_timestamp.is_some(), finalizers, texts)
}

/// Which object it is, of which spec, and whether it is to go.
fn identity<K: Resource>(object: &K) -> (Option<&String>, Option<i64>, bool) {
    let (uid, generation, deleting, ..) = meta(object);
    (uid, generation, deleting)
}

/// Conditions without their words.
fn verdicts(conditions: &[Condition]) -> Vec<(&String, &String, &String)> {
    conditions.iter().map(|one| (&one.type_, &one.status, &one.reason)).collect()
}

impl Concerns for ExchangeAccount {
    const KIND: Kind = Kind::ExchangeAccount;

    fn cache(stores: &Stores) -> &Cache<Self> {
        &stores.accounts
    }

    fn concerns(stores: &Stores, change: &Change<'_, Self>) -> Vec<ObjectId> {
        let (key, mut all) = (change.key, Vec::new());
        let own = |account: &'_ Self| {
            let mut status = account.status.clone().unwrap_or_default();
            // That its money is known at all lets it be granted.
            let known = status.trading.take().is_some_and(|trading| trading.portfolio.is_some());
            (status, known)
        };
        if change.differs(meta) || change.differs(own) {
            all.push(ObjectId::new(Self::KIND, key.clone()));
        }
        let state = |account: &'_ Self| {
            account.status.as_ref().map(|status| {
                let conditions: Vec<(String, String, String)> = verdicts(&status.conditions)
                    .into_iter()
                    .map(|(kind, status, reason)| (kind.clone(), status.clone(), reason.clone()))
                    .collect();
                (conditions, status.applied.as_ref().map(|applied| applied.hash.clone()))
            })
        };
        if change.differs(identity) || change.differs(state) {
            all.extend(strategies(stores.strategies_of(key)));
        } else {
            all.extend(regranted(stores, change));
        }
        if change.differs(|account| (identity(account), account.spec.risk_policy_ref.name.0.clone())) {
            let named = change.states().map(|account| &account.spec.risk_policy_ref.name.0);
            all.extend(ids(Kind::RiskPolicy, named.map(|name| Key::new(&key.namespace, name))));
        }
        if change.differs(ResourceExt::uid) {
            all.extend(halts_of(stores, &key.namespace, |target| match target {
                Target::Account(named) => named.name.0 == key.name,
                _ => false,
            }));
        }
        all
    }
}

/// The strategies whose grant came, went or changed.
fn regranted(stores: &Stores, change: &Change<'_, ExchangeAccount>) -> Vec<ObjectId> {
    let grants = |account: Option<&ExchangeAccount>| {
        account
            .and_then(|account| account.status.as_ref())
            .map(|status| status.grants.clone())
            .unwrap_or_default()
    };
    let (before, now) = (grants(change.before), grants(change.now));
    if before == now {
        return Vec::new();
    }
    let changed = |uid: &str| {
        let of = |grants: &[_]| {
            let found = |grant: &&tradewind_crds::exchange_account::GrantStatus| grant.uid.0 == uid;
            grants.iter().find(found).cloned()
        };
        of(&before) != of(&now)
    };
    let concerned = stores.strategies_of(change.key).into_iter();
    strategies(concerned.filter(|strategy| strategy.uid().is_some_and(|uid| changed(&uid))).collect())
        .collect()
}

/// The halts that can reach a namespace and whose target fits.
fn halts_of(stores: &Stores, namespace: &str, fits: impl Fn(&Target) -> bool) -> Vec<ObjectId> {
    let halts = stores.halts_for(namespace).into_iter();
    let keys = halts.filter(|halt| fits(&halt.spec.target)).map(|halt| Key::of(halt.as_ref()));
    ids(Kind::TradingHalt, keys).collect()
}

impl Concerns for TradingStrategy {
    const KIND: Kind = Kind::TradingStrategy;

    fn cache(stores: &Stores) -> &Cache<Self> {
        &stores.strategies
    }

    fn raw(ctx: &Arc<Context>, before: Option<&Self>, now: &Self) {
        latch::on_strategy(ctx, before, now);
    }

    fn concerns(stores: &Stores, change: &Change<'_, Self>) -> Vec<ObjectId> {
        let (key, mut all) = (change.key, Vec::new());
        let account = |strategy: &Self| Key::new(&key.namespace, &strategy.spec.exchange_account_ref.name.0);
        let own = |strategy: &'_ Self| {
            let mut status = strategy.status.clone().unwrap_or_default();
            status.trading = None;
            status
        };
        if change.differs(meta) || change.differs(own) {
            all.push(ObjectId::new(Self::KIND, key.clone()));
        }
        let state = |strategy: &'_ Self| {
            strategy.status.as_ref().map(|status| {
                let conditions = status.conditions.iter();
                let verdicts: Vec<(String, String, String)> = conditions
                    .map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()))
                    .collect();
                (verdicts, status.phase, status.applied.clone())
            })
        };
        if change.differs(identity) || change.differs(state) {
            all.extend(ids(Kind::ExchangeAccount, change.states().map(account)));
        }
        let policy =
            |strategy: &'_ Self| strategy.spec.risk_policy_ref.as_ref().map(|named| named.name.0.clone());
        if change.differs(|strategy| (identity(strategy), policy(strategy))) {
            let own = change.states().filter_map(policy).map(|name| Key::new(&key.namespace, name));
            let named = change.states().filter_map(|strategy| stores.account(&account(strategy)));
            let its = named.map(|named| Key::new(&key.namespace, &named.spec.risk_policy_ref.name.0));
            all.extend(ids(Kind::RiskPolicy, own.chain(its)));
        }
        let halted = |strategy: &'_ Self| {
            let status = strategy.status.as_ref();
            let applied =
                status.and_then(|status| status.applied.as_ref()).map(|applied| applied.halts.clone());
            (
                strategy.uid(),
                strategy.labels().clone(),
                applied,
                status.and_then(|status| status.halt.clone()),
            )
        };
        if change.differs(halted) {
            let accounts: Vec<Key> = change.states().map(account).collect();
            all.extend(halts_of(stores, &key.namespace, |target| match target {
                Target::Strategy(named) => named.name.0 == key.name,
                Target::Account(named) => accounts.iter().any(|account| account.name == named.name.0),
                Target::Selector(_) | Target::Namespace(_) | Target::Cluster(_) => true,
            }));
        }
        all
    }
}

impl Concerns for RiskPolicy {
    const KIND: Kind = Kind::RiskPolicy;

    fn cache(stores: &Stores) -> &Cache<Self> {
        &stores.policies
    }

    fn concerns(stores: &Stores, change: &Change<'_, Self>) -> Vec<ObjectId> {
        let (key, mut all) = (change.key, Vec::new());
        if change.differs(meta) || change.differs(|policy| policy.status.clone()) {
            all.push(ObjectId::new(Self::KIND, key.clone()));
        }
        if change.differs(identity) {
            let named = stores.accounts_naming(key);
            for account in &named {
                all.extend(strategies(stores.strategies_of(&Key::of(account.as_ref()))));
            }
            all.extend(accounts(named));
            let own = stores.strategies_naming(key);
            let of = own.iter().map(|s| Key::new(&key.namespace, &s.spec.exchange_account_ref.name.0));
            all.extend(ids(Kind::ExchangeAccount, of.collect::<Vec<_>>()));
            all.extend(strategies(own));
        }
        all
    }
}

impl Concerns for TradingHalt {
    const KIND: Kind = Kind::TradingHalt;

    fn cache(stores: &Stores) -> &Cache<Self> {
        &stores.halts
    }

    fn concerns(stores: &Stores, change: &Change<'_, Self>) -> Vec<ObjectId> {
        let (key, mut all) = (change.key, Vec::new());
        if change.differs(meta) || change.differs(|halt| halt.status.clone()) {
            all.push(ObjectId::new(Self::KIND, key.clone()));
        }
        if !change.differs(identity) {
            return all;
        }
        let own = key.namespace == stores.operator_namespace;
        if change.broken {
            all.extend(reached_by_all(stores, (!own).then_some(&key.namespace)));
        }
        for halt in change.states() {
            all.extend(reached(stores, key, halt, own));
        }
        all
    }
}

/// Every strategy and account of a namespace, or of all.
fn reached_by_all(stores: &Stores, namespace: Option<&String>) -> Vec<ObjectId> {
    let namespace = namespace.map(String::as_str);
    let strategies = ids(Kind::TradingStrategy, stores.strategies.keys(namespace));
    strategies.chain(ids(Kind::ExchangeAccount, stores.accounts.keys(namespace))).collect()
}

/// Whom a halt reaches, and the policies one of whose breakers it may be.
fn reached(stores: &Stores, key: &Key, halt: &TradingHalt, own: bool) -> Vec<ObjectId> {
    let policy = |name: &str| ObjectId::new(Kind::RiskPolicy, Key::new(&key.namespace, name));
    let of_account =
        |account: &Key| stores.account(account).map(|account| policy(&account.spec.risk_policy_ref.name.0));
    match &halt.spec.target {
        Target::Strategy(target) => {
            let target = Key::new(&key.namespace, &target.name.0);
            let strategy = stores.strategy(&target);
            let named =
                strategy.as_ref().and_then(|s| s.spec.risk_policy_ref.as_ref()).map(|p| policy(&p.name.0));
            let account = strategy.map(|s| Key::new(&key.namespace, &s.spec.exchange_account_ref.name.0));
            let its = account.as_ref().and_then(of_account);
            let direct = [ObjectId::new(Kind::TradingStrategy, target)];
            let account = account.map(|account| ObjectId::new(Kind::ExchangeAccount, account));
            direct.into_iter().chain(account).chain(named).chain(its).collect()
        }
        Target::Account(target) => {
            let target = Key::new(&key.namespace, &target.name.0);
            let policy = of_account(&target);
            let reached = strategies(stores.strategies_of(&target));
            reached.chain([ObjectId::new(Kind::ExchangeAccount, target)]).chain(policy).collect()
        }
        // Also those that no longer carry the labels: halts stick to what they once matched.
        Target::Selector(_) => {
            ids(Kind::TradingStrategy, stores.strategies.keys(Some(&key.namespace))).collect()
        }
        Target::Namespace(_) => reached_by_all(stores, Some(&key.namespace)),
        Target::Cluster(_) => reached_by_all(stores, (!own).then_some(&key.namespace)),
    }
}

#[cfg(test)]
#[path = "triggers_tests.rs"]
mod tests;
