//! Objects in, what the engine runs or all problems out.
//!
//! Pure: no clock, no I/O; the same objects, grants and catalog give the same answer. All problems are reported at
//! once, each with object, field, value and fix, and one strategy's problem never touches another's. Used by the
//! operator, the worker, `validate` and the tests alike.

mod account;
mod check;
pub mod halts;
mod policy;
mod strategy;

pub use strategy::covered;

use std::collections::BTreeMap;

use tradewind_core::config::{ResolvedAccount, ResolvedStrategy};
use tradewind_core::halt::Halt;
use tradewind_core::money::Cash;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::Millis;

use crate::exchange_account::{ExchangeAccount, MarketData};
use crate::grants::{self, Grants};
use crate::objects::{Key, Kind, ObjectId, Objects, uid_of};
use crate::problem::{Problem, Problems};
use crate::risk_policy::RiskPolicy;
use crate::trading_strategy::TradingStrategy;

/// What the market data of an account offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Name of the data set.
    pub data_set: String,
    /// Length of its bars.
    pub bar: Millis,
    /// The symbols it has.
    pub symbols: Vec<Symbol>,
}

/// What came of an account and the strategies that name it.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// The account, or why it cannot be traded on.
    pub account: Result<ResolvedAccount, Problems>,
    /// Each strategy that names the account, or why it cannot run.
    pub strategies: BTreeMap<Uid, Result<ResolvedStrategy, Problems>>,
    /// The uids of the strategies, oldest first.
    pub order: Vec<Uid>,
    /// The halts that reach the account or its strategies.
    pub halts: Vec<Halt>,
    /// Halts and strategies that cannot do what they say; they stop nothing else.
    pub other_problems: Problems,
}

impl Resolution {
    /// The strategies that can run, oldest first.
    pub fn runnable(&self) -> Vec<ResolvedStrategy> {
        let ready = |uid: &Uid| self.strategies.get(uid).and_then(|resolved| resolved.as_ref().ok()).cloned();
        self.order.iter().filter_map(ready).collect()
    }

    /// All problems: of the account, of each strategy, of the halts.
    pub fn problems(&self) -> Problems {
        let mut all = Problems::default();
        if let Err(problems) = &self.account {
            all.extend(problems.clone());
        }
        for uid in &self.order {
            if let Some(Err(problems)) = self.strategies.get(uid) {
                all.extend(problems.clone());
            }
        }
        all.extend(self.other_problems.clone());
        all
    }
}

/// Resolves one account and every strategy that names it.
///
/// Without a catalog nothing is said about what the market data offers.
pub fn resolve(objects: &Objects, key: &Key, grants: &Grants, catalog: Option<&Catalog>) -> Resolution {
    let account = account(objects, key);
    let context = strategy::Context { objects, key, account: account.as_ref().ok(), catalog };
    let mut strategies = BTreeMap::new();
    let mut order = Vec::new();
    let mut members = Vec::new();
    let mut other_problems = Problems::default();
    for object in objects.strategies_of(key) {
        let id = ObjectId::new(Kind::TradingStrategy, Key::of(object));
        let Some(uid) = uid_of(object) else {
            other_problems.push(no_uid(&id));
            continue;
        };
        let resolved = strategy::resolve(&context, object, uid);
        let resolved = strategy::granted(&context, object, uid, resolved, grants);
        strategies.insert(uid, resolved.map_err(|problems| objects.located(problems)));
        order.push(uid);
        members.push(halts::Member::of(uid, object));
    }
    let (halts, halt_problems) = halts::reaching(objects, key, &members);
    other_problems.extend(halt_problems);
    Resolution {
        account: account.map(|account| account.resolved),
        strategies,
        order,
        halts,
        other_problems: objects.located(other_problems),
    }
}

/// Resolves the account alone.
pub fn resolve_account(objects: &Objects, key: &Key) -> Result<ResolvedAccount, Problems> {
    account(objects, key).map(|account| account.resolved)
}

fn account(objects: &Objects, key: &Key) -> Result<account::Account, Problems> {
    account::resolve(objects, key).map_err(|problems| objects.located(problems))
}

/// Resolves one strategy leaving its grant aside; all its problems at once. What of it is its account's or policy's is
/// told under the field that names them.
pub fn resolve_ungranted(
    objects: &Objects,
    strategy: &TradingStrategy,
    catalog: Option<&Catalog>,
) -> Result<ResolvedStrategy, Problems> {
    let id = ObjectId::new(Kind::TradingStrategy, Key::of(strategy));
    let key = Key::new(&id.key.namespace, &strategy.spec.exchange_account_ref.name.0);
    let uid = uid_of(strategy).ok_or_else(|| Problems::one(no_uid(&id)))?;
    let account = account(objects, &key).ok();
    let context = strategy::Context { objects, key: &key, account: account.as_ref(), catalog };
    strategy::resolve(&context, strategy, uid).map_err(|problems| objects.located(problems))
}

/// Whether a policy can be used as it is written; all its problems at once.
pub fn check_policy(object: &RiskPolicy) -> Result<(), Problems> {
    policy::read(object).map(drop)
}

/// The claims of an account's strategies, oldest first: what [`grants::grant`] decides on.
///
/// A strategy with problems of its own is told whether its claim would fit, but takes nothing from another.
pub fn claims(objects: &Objects, key: &Key, catalog: Option<&Catalog>) -> Vec<grants::Claim> {
    let account = account(objects, key).ok();
    let context = strategy::Context { objects, key, account: account.as_ref(), catalog };
    let claim = |object| {
        let uid = uid_of(object)?;
        let valid = strategy::resolve(&context, object, uid).is_ok();
        Some(strategy::claim(object, uid, valid))
    };
    objects.strategies_of(key).filter_map(claim).collect()
}

/// The grants of an account read from files: nothing was granted before, and file order stands for age. Of an account
/// with problems nothing is granted, and nothing is said of what would not fit. `found` is the money that was found at a
/// real venue.
pub fn local_grants(objects: &Objects, key: &Key, catalog: Option<&Catalog>, found: Option<Cash>) -> Grants {
    match resolve_account(objects, key) {
        Ok(account) => {
            let whole = grants::whole(&account, found);
            grants::grant(key, &Grants::default(), whole, &claims(objects, key, catalog))
        }
        Err(_) => Grants::default(),
    }
}

/// The data set an account replays; none if its bars are its venue's.
pub fn data_set(account: &ExchangeAccount) -> Option<&str> {
    match &account.spec.market_data {
        MarketData::Replay(replay) => Some(&replay.data_set),
        MarketData::Venue(_) => None,
    }
}

/// Every problem of a set of objects from files, each once: of all accounts, their strategies and halts, of policies
/// nobody uses yet, and of strategies and halts that name nothing. Catalogs are by the name of their data set; where
/// one is not given nothing is said about what the market data offers.
pub fn validate(objects: &Objects, catalogs: &BTreeMap<String, Catalog>) -> Problems {
    let mut all = Problems::default();
    for object in &objects.policies {
        if let Err(problems) = policy::read(object) {
            all.extend(problems);
        }
    }
    for object in &objects.accounts {
        let key = Key::of(object);
        let catalog = data_set(object).and_then(|name| catalogs.get(name));
        // What is at a real venue is not asked for here: money alone is no problem of what was written.
        let found = data_set(object).is_none().then_some(Cash(i128::MAX));
        let grants = local_grants(objects, &key, catalog, found);
        all.extend(resolve(objects, &key, &grants, catalog).problems());
    }
    all.extend(unattached(objects));
    let mut once: Vec<Problem> = Vec::new();
    for problem in objects.located(all) {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    Problems(once)
}

/// Problems of what belongs to no account there is, and so to no account's resolution: strategies that name another, and
/// halts that reach nothing.
pub fn unattached(objects: &Objects) -> Problems {
    let mut all = Problems::default();
    for object in &objects.strategies {
        let account = Key::new(Key::of(object).namespace, &object.spec.exchange_account_ref.name.0);
        if objects.account(&account).is_none() {
            let context = strategy::Context { objects, key: &account, account: None, catalog: None };
            if let Err(problems) =
                strategy::resolve(&context, object, uid_of(object).unwrap_or(Uid(uuid::Uuid::nil())))
            {
                all.extend(problems);
            }
        }
    }
    all.extend(halts::dangling(objects));
    objects.located(all)
}

fn no_uid(id: &ObjectId) -> Problem {
    Problem::new(id, "metadata.uid", "the object has no uid")
        .fix("read it from the API server or load it from a file")
}
