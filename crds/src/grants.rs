//! Who may use how much of an account: capital and base assets, decided in one place.
//!
//! A grant is kept by uid until its strategy is gone; the oldest claim comes first; the sum of all capital stays within
//! the account, and a base asset belongs to one strategy. Pure: the same claims give the same grants.

use std::collections::BTreeMap;

use tradewind_core::config::{ResolvedAccount, VenueConfig};
use tradewind_core::money::Cash;
use tradewind_core::name::{Asset, Uid};

use crate::common::{AssetText, ObjectName, UidText};
use crate::exchange_account::{ExchangeAccount, GrantStatus};
use crate::objects::{Key, ObjectId};
use crate::problem::{Problem, Problems};

/// What one strategy may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub uid: Uid,
    /// Its name, for messages.
    pub name: String,
    /// Cash, in the account's quote currency.
    pub capital: Cash,
    /// Base assets that it alone may trade.
    pub assets: Vec<Asset>,
}

/// All grants of an account, and why the others got none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Granted, oldest first.
    pub granted: Vec<Grant>,
    /// Claims, or raises of a claim, that could not be granted.
    pub refused: BTreeMap<Uid, Problems>,
}

/// What a strategy asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Whose.
    pub uid: Uid,
    /// The object, for messages.
    pub id: ObjectId,
    /// Cash it wants to use.
    pub capital: Cash,
    /// Base assets it wants to trade, each with the field that asks for it. Those it still holds belong here too.
    pub assets: Vec<(String, Asset)>,
    /// False while the strategy cannot run anyway: it is told what would be refused and gets nothing new.
    pub grantable: bool,
}

impl Grants {
    /// The grant of that strategy.
    pub fn of(&self, uid: Uid) -> Option<&Grant> {
        self.granted.iter().find(|grant| grant.uid == uid)
    }

    /// The grants as an account's status records them.
    pub fn to_status(&self) -> Vec<GrantStatus> {
        let status = |grant: &Grant| GrantStatus {
            uid: UidText(grant.uid.to_string()),
            name: ObjectName(grant.name.clone()),
            capital: grant.capital.into(),
            assets: grant.assets.iter().map(|asset| AssetText(asset.to_string())).collect(),
        };
        self.granted.iter().map(status).collect()
    }

    /// The grants an account's status records. Entries that cannot be read are left out: they are decided anew.
    pub fn from_status(status: &[GrantStatus]) -> Self {
        let grant = |entry: &GrantStatus| {
            Some(Grant {
                uid: Uid(uuid::Uuid::parse_str(&entry.uid.0).ok()?),
                name: entry.name.0.clone(),
                capital: entry.capital.exact().ok()?,
                assets: entry.assets.iter().filter_map(|asset| asset.exact().ok()).collect(),
            })
        };
        Self { granted: status.iter().filter_map(grant).collect(), refused: BTreeMap::new() }
    }
}

/// What may be granted in all: on paper the balance of the quote currency, at a real venue what is found there. None:
/// that is not known yet, and nothing is granted.
pub fn whole(account: &ResolvedAccount, found: Option<Cash>) -> Option<Cash> {
    let VenueConfig::Paper(paper) = &account.venue else { return found };
    paper.balances.iter().find(|(asset, _)| *asset == account.quote_currency).map(|(_, amount)| *amount)
}

/// The money the worker reports of an account: what its strategies and the account itself have, at the marks. None until
/// it has reported any, and when that is not in the account's currency.
pub fn reported(account: &ExchangeAccount) -> Option<Cash> {
    let portfolio = account.status.as_ref()?.trading.as_ref()?.portfolio.as_ref()?;
    Cash::parse(&portfolio.equity).ok()
}

/// Decides the grants of an account.
///
/// `whole` is what may be granted in all, none while it is not known; `claims` are oldest first. A claim that changed
/// and no longer fits keeps what was granted before.
pub fn grant(account: &Key, previous: &Grants, whole: Option<Cash>, claims: &[Claim]) -> Grants {
    let claimed = |grant: &&Grant| claims.iter().any(|claim| claim.uid == grant.uid);
    let mut grants = Grants {
        granted: previous.granted.iter().filter(claimed).cloned().collect(),
        refused: BTreeMap::new(),
    };
    for claim in claims {
        let mut problems = taken(&grants, claim);
        problems.extend(too_much(account, &grants, whole, claim));
        if !problems.is_empty() {
            grants.refused.insert(claim.uid, problems);
        } else if claim.grantable {
            grants.set(claim);
        }
    }
    grants
}

impl Grants {
    fn set(&mut self, claim: &Claim) {
        let mut assets: Vec<Asset> = claim.assets.iter().map(|(_, asset)| asset.clone()).collect();
        assets.sort();
        assets.dedup();
        let grant = Grant { uid: claim.uid, name: claim.id.key.name.clone(), capital: claim.capital, assets };
        match self.granted.iter_mut().find(|own| own.uid == claim.uid) {
            Some(own) => *own = grant,
            None => self.granted.push(grant),
        }
    }
}

/// A problem for each base asset that another strategy has.
fn taken(grants: &Grants, claim: &Claim) -> Problems {
    let mut problems = Problems::default();
    for (field, asset) in &claim.assets {
        let owner =
            grants.granted.iter().find(|grant| grant.uid != claim.uid && grant.assets.contains(asset));
        if let Some(owner) = owner {
            let message = format!("base asset {asset} is already granted to strategy {}", owner.name);
            let fix = "remove the symbol from one of the two or use another account";
            problems.push(Problem::new(&claim.id, field, message).value(asset).fix(fix));
        }
    }
    problems
}

/// A problem if the capital is more than is free.
fn too_much(account: &Key, grants: &Grants, whole: Option<Cash>, claim: &Claim) -> Problems {
    let own = grants.of(claim.uid).map_or(Cash::ZERO, |grant| grant.capital);
    if claim.capital <= own {
        return Problems::default();
    }
    let problem = |message: String, fix: String| {
        Problems::one(Problem::new(&claim.id, "spec.capital.amount", message).value(claim.capital).fix(fix))
    };
    let Some(whole) = whole else {
        let message = format!("the money of account {} is not known yet", account.name);
        return problem(message, "wait until the account is ready".to_owned());
    };
    let others = grants.granted.iter().filter(|grant| grant.uid != claim.uid);
    let used = others.fold(0_i128, |sum, grant| sum.saturating_add(grant.capital.0));
    let free = Cash(whole.0.saturating_sub(used).max(0));
    if claim.capital <= free {
        return Problems::default();
    }
    let message = format!("exceeds the {free} still free on account {}", account.name);
    let remedy = if free > Cash::ZERO {
        format!("lower it to {free} or give the account more")
    } else {
        "lower the capital of another strategy or give the account more".to_owned()
    };
    problem(message, remedy)
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
