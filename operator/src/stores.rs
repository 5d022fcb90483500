//! What the watches have seen: the four kinds, the children of accounts and the pods of workers.
//!
//! Lean on purpose: managedFields and `kubectl`'s last-applied copy are dropped, children are metadata only, of pods
//! only what a status can say is kept. A reader gets what is here now, never waits, and never asks the API server.

pub mod cache;
pub mod child;
pub mod lean;
pub mod pod;
pub mod synced;

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::{Resource, ResourceExt};
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Kind, ObjectId, Objects};
use tradewind_crds::risk_policy::RiskPolicy;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

use cache::Cache;
pub use child::{Child, ChildKind};
pub use pod::PodView;

/// What the watches have seen.
#[derive(Debug)]
pub struct Stores {
    /// The namespace in which a halt with target `cluster` reaches everything.
    pub operator_namespace: String,
    /// The accounts.
    pub accounts: Cache<ExchangeAccount>,
    /// The strategies.
    pub strategies: Cache<TradingStrategy>,
    /// The policies.
    pub policies: Cache<RiskPolicy>,
    /// The halts.
    pub halts: Cache<TradingHalt>,
    /// The children of accounts that carry our label, by kind.
    pub children: child::Children,
    /// The workers' pods.
    pub pods: Cache<PodView>,
}

impl Stores {
    /// Empty stores.
    pub fn new(operator_namespace: &str) -> Self {
        Self {
            operator_namespace: operator_namespace.to_owned(),
            accounts: Cache::default(),
            strategies: Cache::default(),
            policies: Cache::default(),
            halts: Cache::default(),
            children: child::Children::default(),
            pods: Cache::default(),
        }
    }

    /// The account of that key; none when there is none or it cannot be read.
    pub fn account(&self, key: &Key) -> Option<Arc<ExchangeAccount>> {
        self.accounts.get(key)
    }

    /// The accounts of a namespace whose worker is there or to be there, by name: those that stay, those that cannot be
    /// read, and those being deleted until their worker has ended. A worker that settles still has to see halts.
    pub fn accounts_with_worker(&self, namespace: &str) -> Vec<String> {
        let runs = |account: &ExchangeAccount| {
            let key = Key::of(account);
            let set = Key::new(&key.namespace, names::stateful_set(&key.name));
            account.metadata.deletion_timestamp.is_none()
                || self.pod_of(&key).is_some()
                || self.children.get(ChildKind::StatefulSet, &set).is_some()
        };
        let readable = self.accounts.in_namespace(namespace, runs);
        let unreadable = self.accounts.unreadable(namespace).into_iter().map(|key| key.name);
        let mut names: Vec<String> =
            readable.iter().map(|account| account.name_any()).chain(unreadable).collect();
        names.sort();
        names
    }

    /// The strategy of that key; none when there is none or it cannot be read.
    pub fn strategy(&self, key: &Key) -> Option<Arc<TradingStrategy>> {
        self.strategies.get(key)
    }

    /// The policy of that key; none when there is none or it cannot be read.
    pub fn policy(&self, key: &Key) -> Option<Arc<RiskPolicy>> {
        self.policies.get(key)
    }

    /// The halt of that key; none when there is none or it cannot be read.
    pub fn halt(&self, key: &Key) -> Option<Arc<TradingHalt>> {
        self.halts.get(key)
    }

    /// The strategies that name an account, oldest first; also those being deleted.
    pub fn strategies_of(&self, account: &Key) -> Vec<Arc<TradingStrategy>> {
        let names = |strategy: &TradingStrategy| strategy.spec.exchange_account_ref.name.0 == account.name;
        oldest_first(self.strategies.in_namespace(&account.namespace, names))
    }

    /// The accounts that name a policy, oldest first.
    pub fn accounts_naming(&self, policy: &Key) -> Vec<Arc<ExchangeAccount>> {
        let names = |account: &ExchangeAccount| account.spec.risk_policy_ref.name.0 == policy.name;
        oldest_first(self.accounts.in_namespace(&policy.namespace, names))
    }

    /// The strategies that name a policy of their own, oldest first.
    pub fn strategies_naming(&self, policy: &Key) -> Vec<Arc<TradingStrategy>> {
        let names = |strategy: &TradingStrategy| {
            strategy.spec.risk_policy_ref.as_ref().is_some_and(|named| named.name.0 == policy.name)
        };
        oldest_first(self.strategies.in_namespace(&policy.namespace, names))
    }

    /// The halts that can reach a namespace: its own and those of the operator's; oldest first.
    pub fn halts_for(&self, namespace: &str) -> Vec<Arc<TradingHalt>> {
        let mut halts = self.halts.in_namespace(namespace, |_| true);
        if namespace != self.operator_namespace {
            halts.extend(self.halts.in_namespace(&self.operator_namespace, |_| true));
        }
        oldest_first(halts)
    }

    /// The children of an account that carry its label: of all kinds that are watched, in the order of [`ChildKind`].
    pub fn children_of(&self, account: &Key) -> Vec<Arc<Child>> {
        self.children.of_account(account)
    }

    /// The pod of an account's worker.
    pub fn pod_of(&self, account: &Key) -> Option<Arc<PodView>> {
        self.pods.get(&Key::new(&account.namespace, names::pod(&account.name)))
    }

    /// The objects of a namespace whose body cannot be read, and the halts of the operator's namespace like that.
    pub fn unreadable(&self, namespace: &str) -> BTreeSet<ObjectId> {
        let mut all = BTreeSet::new();
        let mut add = |kind: Kind, keys: Vec<Key>| {
            all.extend(keys.into_iter().map(|key| ObjectId::new(kind, key)));
        };
        add(Kind::ExchangeAccount, self.accounts.unreadable(namespace));
        add(Kind::TradingStrategy, self.strategies.unreadable(namespace));
        add(Kind::RiskPolicy, self.policies.unreadable(namespace));
        add(Kind::TradingHalt, self.halts.unreadable(namespace));
        add(Kind::TradingHalt, self.halts.unreadable(&self.operator_namespace));
        all
    }

    /// All objects of a namespace, and the halts of the operator's; oldest first. Copies them all: for one account
    /// [`Stores::objects_of`] copies less.
    pub fn objects(&self, namespace: &str) -> Objects {
        let all = self.strategies.in_namespace(namespace, |_| true);
        Objects {
            accounts: owned(oldest_first(self.accounts.in_namespace(namespace, |_| true))),
            strategies: owned(oldest_first(all)),
            ..self.shared(namespace)
        }
    }

    /// What [`tradewind_crds::resolve::resolve`] needs for one account: it, its strategies, the policies of its
    /// namespace and the halts that can reach it. When there is no such account, the others of the namespace, so that
    /// a message can name what there is.
    pub fn objects_of(&self, account: &Key) -> Objects {
        let accounts = match self.account(account) {
            Some(account) => vec![account],
            None => oldest_first(self.accounts.in_namespace(&account.namespace, |_| true)),
        };
        Objects {
            accounts: owned(accounts),
            strategies: owned(self.strategies_of(account)),
            ..self.shared(&account.namespace)
        }
    }

    /// Policies and halts of a namespace, and what is common to all.
    fn shared(&self, namespace: &str) -> Objects {
        Objects {
            policies: owned(oldest_first(self.policies.in_namespace(namespace, |_| true))),
            halts: owned(self.halts_for(namespace)),
            unreadable: self.unreadable(namespace),
            operator_namespace: Some(self.operator_namespace.clone()),
            ..Objects::default()
        }
    }
}

fn owned<K: Clone>(objects: Vec<Arc<K>>) -> Vec<K> {
    objects.into_iter().map(Arc::unwrap_or_clone).collect()
}

/// By age; of the same second by name, so that every replica and every start has the same order.
fn oldest_first<K: Resource>(mut objects: Vec<Arc<K>>) -> Vec<Arc<K>> {
    objects.sort_by(|a, b| {
        let age = |object: &K| object.meta().creation_timestamp.as_ref().map(|time| time.0);
        (age(a), a.namespace(), a.name_any()).cmp(&(age(b), b.namespace(), b.name_any()))
    });
    objects
}

#[cfg(test)]
#[path = "stores/tests.rs"]
mod tests;
