//! What is published for an account's worker: grants, and of each strategy its last valid configuration.
//!
//! Pure. One strategy's problem never touches another's: an edit that is not valid leaves the entry as it is, byte for
//! byte. An entry that goes away makes the worker carry out the strategy's deletionPolicy, so that one goes only when
//! its strategy is deleted or is another of the same name.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use tradewind_core::config::{DesiredState, ResolvedStrategy};
use tradewind_core::name::Uid;
use tradewind_crds::exchange_account::{ExchangeAccount, GrantStatus};
use tradewind_crds::grants::{self, Claim, Grants};
use tradewind_crds::objects::{Key, Kind, ObjectId, Objects, uid_of};
use tradewind_crds::problem::Problems;
use tradewind_crds::published::{Published, PublishedAccount, PublishedStrategy, digest, strategy_key};
use tradewind_crds::resolve::{Resolution, claims, resolve};
use tradewind_crds::trading_strategy::{self as wire, TradingStrategy};

/// Most bytes of a ConfigMap's data that are published: the API server takes 1 MiB of the whole object.
pub const MOST_BYTES: usize = 900 * 1024;

/// The `data` of a ConfigMap.
pub type Data = BTreeMap<String, String>;

/// What the next configuration is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// All objects that matter to the account.
    pub objects: &'a Objects,
    /// The account.
    pub account: &'a ExchangeAccount,
    /// What the ConfigMap holds now; none when there is none.
    pub live: Option<&'a Data>,
    /// What this operator published last, if it knows: a ConfigMap that was deleted or edited by hand is restored from it.
    pub remembered: Option<&'a Data>,
    /// The operator's namespace.
    pub operator_namespace: &'a str,
    /// Most bytes that are published.
    pub most_bytes: usize,
}

/// The next configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// What the objects mean, with the grants below.
    pub resolution: Resolution,
    /// Who may use how much of the account.
    pub grants: Grants,
    /// The account in force; none when it has never been valid.
    pub account: Option<PublishedAccount>,
    /// The ConfigMap's data; none when the account has never been valid.
    pub data: Option<Data>,
    /// The hash of each strategy's entry, by the strategy's name.
    pub hashes: BTreeMap<String, String>,
    /// How many bytes the configuration would have, if that is too many; new and changed entries are then held back.
    pub too_large: Option<usize>,
}

impl Publication {
    /// The grants as the status records them.
    pub fn grant_status(&self) -> Vec<GrantStatus> {
        self.grants.to_status()
    }
}

/// Decides grants and configuration.
pub fn publish(input: &Input<'_>) -> Publication {
    let key = Key::of(input.account);
    let recorded = input.account.status.as_ref().map(|status| status.grants.as_slice()).unwrap_or_default();
    let before = Grants::from_status(recorded);
    let grants = decide(input, &key, &before);
    let resolution = resolve(input.objects, &key, &grants, None);
    let last = Last::read(input);
    let account = account(input, &resolution, &last);
    let mut publication = Publication {
        resolution,
        grants,
        account: None,
        data: None,
        hashes: BTreeMap::new(),
        too_large: None,
    };
    let Some((account, account_data)) = account else { return publication };
    let whole = entries(input, &publication, &last, false);
    let size = bytes(&account_data, &whole);
    let entries = if size > input.most_bytes {
        publication.too_large = Some(size);
        entries(input, &publication, &last, true)
    } else {
        whole
    };
    let mut data = account_data;
    for (name, entry) in entries {
        publication.hashes.insert(name.clone(), entry.hash);
        data.insert(strategy_key(&name), entry.text);
    }
    publication.account = Some(account);
    publication.data = Some(data);
    publication
}

/// Whether the policy that an object of this namespace names does not exist. One that cannot be read exists.
pub fn policy_missing(objects: &Objects, namespace: &str, policy: &str) -> bool {
    let key = Key::new(namespace, policy);
    objects.policy(&key).is_none() && !objects.unreadable.contains(&ObjectId::new(Kind::RiskPolicy, key))
}

/// The grants: those recorded, and what still fits of what is claimed. Of an account with problems nothing new is granted;
/// nor to a strategy that is being deleted, or on an account that is.
fn decide(input: &Input<'_>, key: &Key, before: &Grants) -> Grants {
    let deleting: BTreeSet<Uid> = input
        .objects
        .strategies_of(key)
        .filter(|strategy| strategy.metadata.deletion_timestamp.is_some())
        .filter_map(uid_of)
        .collect();
    let closed = input.account.metadata.deletion_timestamp.is_some();
    let mut claims = claims(input.objects, key, None);
    for claim in &mut claims {
        claim.grantable &= !closed && !deleting.contains(&claim.uid);
    }
    claims.extend(unreadable(input.objects, key, before));
    let whole = tradewind_crds::resolve::resolve_account(input.objects, key).ok();
    let found = grants::reported(input.account);
    let whole = whole.as_ref().and_then(|account| grants::whole(account, found));
    grants::grant(key, before, whole, &claims)
}

/// Claims of strategies that hold a grant but cannot be read at present: they keep it, since they still run.
fn unreadable(objects: &Objects, key: &Key, before: &Grants) -> Vec<Claim> {
    let held = before.granted.iter().filter_map(|grant| {
        let id = ObjectId::new(Kind::TradingStrategy, Key::new(&key.namespace, &grant.name));
        objects.unreadable.contains(&id).then(|| Claim {
            uid: grant.uid,
            id,
            capital: grant.capital,
            assets: grant.assets.iter().map(|asset| (String::new(), asset.clone())).collect(),
            grantable: false,
        })
    });
    held.collect()
}

/// What was published last, as far as it can be trusted.
struct Last {
    account: Option<(PublishedAccount, String)>,
    strategies: BTreeMap<String, (PublishedStrategy, String)>,
}

impl Last {
    /// Entry by entry what the ConfigMap holds, and what this operator remembers where that was tampered with: an entry
    /// whose hash is not that of its content was not written by an operator. Nothing of an earlier account of the name.
    fn read(input: &Input<'_>) -> Self {
        let mut last = Self { account: None, strategies: BTreeMap::new() };
        for data in [input.remembered, input.live].into_iter().flatten() {
            let Ok((published, _)) = Published::from_data(data) else { continue };
            if Some(published.account.account.uid) != uid_of(input.account) {
                continue;
            }
            let text = |key: &str| data.get(key).cloned().unwrap_or_default();
            if published.account.hash == digest(&published.account.account) {
                last.account = Some((published.account, text("account.json")));
            }
            for (name, entry) in published.strategies {
                if entry.hash == digest(&entry.strategy) {
                    let text = text(&strategy_key(&name));
                    last.strategies.insert(name, (entry, text));
                }
            }
        }
        last
    }
}

/// The account's part: as it is now, or as it was last valid.
fn account(input: &Input<'_>, resolution: &Resolution, last: &Last) -> Option<(PublishedAccount, Data)> {
    let operator_namespace = input.operator_namespace.to_owned();
    let account = match (&resolution.account, &last.account) {
        (Ok(account), _) => PublishedAccount {
            generation: input.account.metadata.generation.unwrap_or_default(),
            hash: digest(account),
            operator_namespace,
            account: account.clone(),
        },
        (Err(_), Some((account, text))) if account.operator_namespace == operator_namespace => {
            let mut data = Published { account: account.clone(), strategies: BTreeMap::new() }.to_data();
            data.insert("account.json".to_owned(), text.clone());
            return Some((account.clone(), data));
        }
        (Err(_), Some((account, _))) => PublishedAccount { operator_namespace, ..account.clone() },
        (Err(_), None) => return None,
    };
    let data = Published { account: account.clone(), strategies: BTreeMap::new() }.to_data();
    Some((account, data))
}

/// An entry as it is written.
struct Entry {
    hash: String,
    text: String,
}

/// The entries by strategy. With `hold` nothing new goes out, and of an edit only the desired state.
fn entries(input: &Input<'_>, publication: &Publication, last: &Last, hold: bool) -> BTreeMap<String, Entry> {
    let key = Key::of(input.account);
    let mut all = BTreeMap::new();
    for strategy in input.objects.strategies_of(&key) {
        if strategy.metadata.deletion_timestamp.is_none()
            && let Some(entry) = entry(input, publication, last, strategy, hold)
        {
            all.insert(strategy.name_any(), entry);
        }
    }
    for id in &input.objects.unreadable {
        if id.kind == Kind::TradingStrategy
            && id.key.namespace == key.namespace
            && let Some((entry, text)) = last.strategies.get(&id.key.name)
        {
            let carried = Entry { hash: entry.hash.clone(), text: text.clone() };
            all.entry(id.key.name.clone()).or_insert(carried);
        }
    }
    all
}

fn entry(
    input: &Input<'_>,
    publication: &Publication,
    last: &Last,
    strategy: &TradingStrategy,
    hold: bool,
) -> Option<Entry> {
    let uid = uid_of(strategy)?;
    let known = last.strategies.get(&strategy.name_any()).filter(|(entry, _)| entry.strategy.uid == uid);
    let resolved = publication.resolution.strategies.get(&uid).and_then(|resolved| resolved.as_ref().ok());
    match (resolved, known) {
        (Some(resolved), known) if !hold || known.is_some_and(|(entry, _)| entry.strategy == *resolved) => {
            Some(fresh(publication, resolved))
        }
        (_, None) => None,
        (resolved, Some((entry, text))) => {
            let last = entry.strategy.desired_state;
            let desired_state = if references_missing(input, strategy) {
                missing(last)
            } else {
                resolved.map_or_else(|| found_again(last, publication, strategy), |now| now.desired_state)
            };
            if desired_state == last {
                return Some(Entry { hash: entry.hash.clone(), text: text.clone() });
            }
            Some(fresh(publication, &ResolvedStrategy { desired_state, ..entry.strategy.clone() }))
        }
    }
}

fn fresh(publication: &Publication, strategy: &ResolvedStrategy) -> Entry {
    let place = publication.grants.granted.iter().position(|grant| grant.uid == strategy.uid);
    let order = place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX);
    let entry = PublishedStrategy { hash: digest(strategy), strategy: strategy.clone(), order };
    Entry { text: serde_json::to_string(&entry).unwrap_or_default(), hash: entry.hash }
}

/// What a strategy does while something it names is missing. One that was stopped stays so, which is less.
fn missing(last: DesiredState) -> DesiredState {
    match last {
        DesiredState::Stopped | DesiredState::Quarantined => last,
        DesiredState::Trading | DesiredState::ExitOnly | DesiredState::ReferenceMissing => {
            DesiredState::ReferenceMissing
        }
    }
}

/// What a strategy that is not valid does once nothing that it names is missing any more: what its spec says, since the
/// entry says no longer what it did before. While the account itself has problems it waits for that too.
fn found_again(last: DesiredState, publication: &Publication, strategy: &TradingStrategy) -> DesiredState {
    if last != DesiredState::ReferenceMissing || publication.resolution.account.is_err() {
        return last;
    }
    match strategy.spec.desired_state {
        wire::DesiredState::Trading => DesiredState::Trading,
        wire::DesiredState::ExitOnly => DesiredState::ExitOnly,
        wire::DesiredState::Stopped => DesiredState::Stopped,
    }
}

/// Whether the account's policy or the strategy's own does not exist.
fn references_missing(input: &Input<'_>, strategy: &TradingStrategy) -> bool {
    let namespace = Key::of(input.account).namespace;
    let accounts = &input.account.spec.risk_policy_ref.name.0;
    let own = strategy.spec.risk_policy_ref.as_ref().map(|policy| &policy.name.0);
    std::iter::once(accounts).chain(own).any(|policy| policy_missing(input.objects, &namespace, policy))
}

fn bytes(account: &Data, entries: &BTreeMap<String, Entry>) -> usize {
    let account: usize = account.iter().map(|(key, text)| key.len() + text.len()).sum();
    let entries = entries.iter().map(|(name, entry)| strategy_key(name).len() + entry.text.len());
    account + entries.sum::<usize>()
}

/// The account's problems as one text.
pub fn words(problems: &Problems) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
