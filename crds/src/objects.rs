//! A typed bag of the objects of all four kinds, from files or from a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::ResourceExt;
use tradewind_core::name::Uid;

use crate::exchange_account::ExchangeAccount;
use crate::problem::{Location, Problem, Problems};
use crate::risk_policy::RiskPolicy;
use crate::trading_halt::TradingHalt;
use crate::trading_strategy::TradingStrategy;

/// One of our kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A venue, its market data, ledger and policy.
    ExchangeAccount,
    /// What to trade and how.
    TradingStrategy,
    /// Limits and breakers.
    RiskPolicy,
    /// A halt.
    TradingHalt,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] =
        [Self::ExchangeAccount, Self::TradingStrategy, Self::RiskPolicy, Self::TradingHalt];

    /// The kind as objects name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExchangeAccount => "ExchangeAccount",
            Self::TradingStrategy => "TradingStrategy",
            Self::RiskPolicy => "RiskPolicy",
            Self::TradingHalt => "TradingHalt",
        }
    }

    /// The name of the kind in paths of the API.
    pub fn plural(self) -> &'static str {
        match self {
            Self::ExchangeAccount => "exchangeaccounts",
            Self::TradingStrategy => "tradingstrategies",
            Self::RiskPolicy => "riskpolicies",
            Self::TradingHalt => "tradinghalts",
        }
    }

    /// The kind of that name, exactly as objects name it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Namespace and name of an object whose kind is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl Key {
    /// The key of that namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object; the namespace is `default` where it has none.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_else(|| "default".to_owned()),
            name: object.name_any(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Kind, namespace and name of an object: `TradingStrategy default/btc`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
}

impl ObjectId {
    /// The id of that kind and key.
    pub fn new(kind: Kind, key: Key) -> Self {
        Self { kind, key }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// Where an object was read from, line by line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The file.
    pub file: String,
    /// The line of each field, by its path (`spec.instruments[0].symbol`); the object's first line by the empty path.
    pub lines: BTreeMap<String, u64>,
}

impl Source {
    /// The line of a field, or of the nearest field around it.
    pub fn locate(&self, field: &str) -> Option<Location> {
        let mut path = field;
        loop {
            if let Some(line) = self.lines.get(path) {
                return Some(Location { file: self.file.clone(), line: *line });
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind(['.', '[']).and_then(|end| path.get(..end)).unwrap_or_default();
        }
    }
}

/// All objects at hand. Within a kind they stand oldest first: in a cluster by age, from files in file order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Objects {
    /// The accounts.
    pub accounts: Vec<ExchangeAccount>,
    /// The strategies.
    pub strategies: Vec<TradingStrategy>,
    /// The policies.
    pub policies: Vec<RiskPolicy>,
    /// The halts.
    pub halts: Vec<TradingHalt>,
    /// Objects that exist but cannot be read. A halt among them halts its namespace; what refers to another is told
    /// so instead of that it does not exist.
    pub unreadable: BTreeSet<ObjectId>,
    /// Where objects were read from; empty in a cluster.
    pub sources: BTreeMap<ObjectId, Source>,
    /// The namespace in which a halt with target `cluster` reaches every namespace; elsewhere it reaches its own. None
    /// outside a cluster: then it reaches all objects.
    pub operator_namespace: Option<String>,
}

impl Objects {
    /// The account of that key.
    pub fn account(&self, key: &Key) -> Option<&ExchangeAccount> {
        self.accounts.iter().find(|account| Key::of(*account) == *key)
    }

    /// The policy of that key.
    pub fn policy(&self, key: &Key) -> Option<&RiskPolicy> {
        self.policies.iter().find(|policy| Key::of(*policy) == *key)
    }

    /// The keys of all accounts, in their order.
    pub fn account_keys(&self) -> Vec<Key> {
        self.accounts.iter().map(Key::of).collect()
    }

    /// The strategies that name the account, oldest first.
    pub fn strategies_of<'a>(&'a self, account: &'a Key) -> impl Iterator<Item = &'a TradingStrategy> {
        self.strategies.iter().filter(move |strategy| {
            let key = Key::of(*strategy);
            key.namespace == account.namespace && strategy.spec.exchange_account_ref.name.0 == account.name
        })
    }

    /// Gives each problem the file and line of the field it is about, where they are known.
    #[must_use]
    pub fn located(&self, mut problems: Problems) -> Problems {
        for problem in &mut problems.0 {
            self.locate(problem);
        }
        problems
    }

    fn locate(&self, problem: &mut Problem) {
        if problem.location.is_some() {
            return;
        }
        if let Some(id) = &problem.id {
            problem.location = self.sources.get(id).and_then(|source| source.locate(&problem.field));
        }
    }
}

/// The uid of an object as the engine holds it; none when it has none or it is no UUID.
pub fn uid_of(object: &impl ResourceExt) -> Option<Uid> {
    object.uid().and_then(|text| uuid::Uuid::parse_str(&text).ok()).map(Uid)
}
