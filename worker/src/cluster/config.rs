//! From what the operator publishes to what the engine runs.
//!
//! Pure but for [`read_dir`]. What cannot be read keeps what ran: a format that is not known closes the entry gate, an
//! entry that cannot be read or whose instruments the market data lacks makes no entries, and none of it touches another
//! strategy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use smol_str::SmolStr;
use tradewind_core::config::{Config, DesiredState, ResolvedAccount, ResolvedStrategy};
use tradewind_core::name::Uid;
use tradewind_crds::published::{Published, PublishedError, PublishedStrategy};
use tradewind_crds::resolve::Catalog;

/// Most bytes of one entry that are read; the API server stores no ConfigMap larger than this.
const MAX_ENTRY_BYTES: u64 = 1 << 20;

/// Why there is no configuration at all to start from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The folder is not there or cannot be read.
    #[error(
        "{path}: the published configuration cannot be read: {source}; mount the account's ConfigMap there"
    )]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It says nothing to start from, and nothing was in force before.
    #[error("{path}: {error}")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: String,
    },
}

/// The `data` of a mounted ConfigMap: one file a key.
pub fn read_dir(dir: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ConfigError::Read { path, source }
    };
    let mut data = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        // The kubelet's own folders of an atomic update.
        if name.starts_with('.') || !path.is_file() {
            continue;
        }
        let size = std::fs::metadata(&path).map_err(failed(&path))?.len();
        if size > MAX_ENTRY_BYTES {
            let large = std::io::Error::other(format!("it has {size} bytes, more than any ConfigMap"));
            return Err(failed(&path)(large));
        }
        data.insert(name.to_owned(), std::fs::read_to_string(&path).map_err(failed(&path))?);
    }
    Ok(data)
}

/// What a published configuration turned out to be.
#[derive(Debug)]
pub enum Reading {
    /// It can be used, but for the strategies named with what is wrong with them.
    Known(Box<Published>, BTreeMap<SmolStr, String>),
    /// Another program version wrote it.
    UnknownFormat(String),
    /// It says nothing that could be used.
    Unusable(String),
}

/// Reads the `data` of a ConfigMap.
pub fn read(data: &BTreeMap<String, String>) -> Reading {
    match Published::from_data(data) {
        Ok((published, broken)) => {
            let named = |error: PublishedError| {
                let PublishedError::Entry { key, .. } = &error else { return None };
                let name = key.strip_prefix("strategy.")?.strip_suffix(".json")?;
                Some((SmolStr::from(name), error.to_string()))
            };
            Reading::Known(Box::new(published), broken.into_iter().filter_map(named).collect())
        }
        Err(error @ PublishedError::Format { .. }) => Reading::UnknownFormat(error.to_string()),
        Err(error) => Reading::Unusable(error.to_string()),
    }
}

/// What is known of a strategy's object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is watched: a halt of it would be seen.
    Live,
    /// It is being deleted.
    Deleting,
    /// It was not seen (yet): whether it is halted is not known.
    Unseen,
}

/// One published strategy as it was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its uid.
    pub uid: Uid,
    /// The generation of the spec its entry was made of.
    pub generation: i64,
    /// The entry's digest.
    pub hash: String,
    /// Why it does not run: what the market data does not offer.
    pub unavailable: Option<String>,
    /// Whether its signal is not evaluated because it crashed the worker.
    pub quarantined: bool,
}

/// What the engine runs, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// For the engine.
    pub config: Config,
    /// The entries by name.
    pub entries: BTreeMap<SmolStr, Entry>,
    /// Generation and digest of the account's entry.
    pub account: (i64, String),
}

/// What [`compose`] goes by beside the published configuration.
pub struct Circumstances<'a> {
    /// The account as this process was started with it: venue and market data change with a restart alone.
    pub running: &'a ResolvedAccount,
    /// What the market data offers.
    pub catalog: &'a Catalog,
    /// What is known of each strategy's object.
    pub standing: &'a dyn Fn(&str, Uid) -> Standing,
    /// Whether the signal of that strategy with that digest crashed the worker too often.
    pub quarantined: &'a dyn Fn(Uid, &str) -> bool,
    /// Entries that cannot be read.
    pub broken: &'a BTreeMap<SmolStr, String>,
    /// What ran before, if anything did.
    pub before: Option<&'a Composed>,
}

/// The configuration to run.
pub fn compose(published: &Published, around: &Circumstances<'_>) -> Composed {
    let mut ordered: Vec<(&String, &PublishedStrategy)> = published.strategies.iter().collect();
    ordered.sort_by_key(|(name, entry)| (entry.order, *name));
    let (mut strategies, mut entries) = (Vec::new(), BTreeMap::new());
    for (name, entry) in ordered {
        let unavailable = lacking(&entry.strategy, around.catalog);
        let quarantined = (around.quarantined)(entry.strategy.uid, &entry.hash);
        let mut strategy = entry.strategy.clone();
        strategy.desired_state = match (around.standing)(name, strategy.uid) {
            _ if unavailable.is_some() => DesiredState::Stopped,
            _ if quarantined => DesiredState::Quarantined,
            Standing::Deleting => strategy.desired_state.exits_only(DesiredState::ExitOnly),
            Standing::Unseen => strategy.desired_state.exits_only(DesiredState::ReferenceMissing),
            Standing::Live => strategy.desired_state,
        };
        if unavailable.is_some() {
            // What it holds in instruments there are stays guarded.
            strategy.instruments.retain(|listed| around.catalog.symbols.contains(&listed.symbol));
            strategy.bar = around.catalog.bar;
        }
        let (uid, generation, hash) = (strategy.uid, strategy.generation, entry.hash.clone());
        entries.insert(SmolStr::from(name), Entry { uid, generation, hash, unavailable, quarantined });
        strategies.push(strategy);
    }
    keep(published, &mut strategies, &mut entries, around);
    let account = account(&published.account.account, around.running);
    Composed {
        config: Config { account, strategies },
        entries,
        account: (published.account.generation, published.account.hash.clone()),
    }
}

/// What ran and has no entry that can be read goes on without entries: one whose entry is broken, and one whose entry is
/// gone although its object is there and not being deleted. An entry goes with its strategy; one that is missing for any
/// other reason (a ConfigMap made anew by hand, an old copy mounted at a start) must not have anything cancelled or sold.
fn keep(
    published: &Published,
    strategies: &mut Vec<ResolvedStrategy>,
    entries: &mut BTreeMap<SmolStr, Entry>,
    around: &Circumstances<'_>,
) {
    let Some(before) = around.before else { return };
    for known in &before.config.strategies {
        let (name, uid) = (&known.name, known.uid);
        let stays = || around.broken.contains_key(name) || (around.standing)(name, uid) == Standing::Live;
        if published.strategies.contains_key(name.as_str()) || !stays() {
            continue;
        }
        strategies.push(known.clone().without_entries());
        if let Some(entry) = before.entries.get(name).filter(|entry| entry.uid == uid) {
            entries.insert(name.clone(), entry.clone());
        }
    }
}

/// The account as published, but for what needs a new process.
fn account(published: &ResolvedAccount, running: &ResolvedAccount) -> ResolvedAccount {
    ResolvedAccount {
        policy: published.policy.clone(),
        limits: published.limits.clone(),
        breakers: published.breakers.clone(),
        ..running.clone()
    }
}

/// What the market data does not offer of what the strategy needs.
fn lacking(strategy: &ResolvedStrategy, catalog: &Catalog) -> Option<String> {
    let missing: Vec<String> = strategy
        .instruments
        .iter()
        .filter(|listed| !catalog.symbols.contains(&listed.symbol))
        .map(|listed| listed.symbol.to_string())
        .collect();
    let set = &catalog.data_set;
    if !missing.is_empty() {
        let there: Vec<String> = catalog.symbols.iter().map(ToString::to_string).collect();
        return Some(format!(
            "data set {set} has no {}; use some of {}",
            missing.join(", "),
            there.join(", ")
        ));
    }
    if strategy.bar.0 <= 0 || strategy.bar.0.checked_rem(catalog.bar.0) != Some(0) {
        let minutes = catalog.bar.0 / 60_000;
        return Some(format!(
            "data set {set} has bars of {minutes} min, and decision.bar is no whole multiple of it; use one that is"
        ));
    }
    None
}

#[cfg(test)]
#[path = "config_tests.rs"]
pub(super) mod tests;
