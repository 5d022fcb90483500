//! What the operator publishes for a worker: one ConfigMap an account, one entry a strategy.
//!
//! Text in, values out, and back; pure. An entry that cannot be read is an error of that entry alone: the strategy it is
//! for has no entry then, and makes no entries. Halts are never published here: the worker watches them itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tradewind_core::config::{ResolvedAccount, ResolvedStrategy};

use crate::exchange_account::GrantStatus;

/// The format written here. A worker that reads another one makes no entries and says so.
pub const FORMAT: &str = "1";

const FORMAT_KEY: &str = "format";
const ACCOUNT_KEY: &str = "account.json";
const STRATEGY_PREFIX: &str = "strategy.";
const STRATEGY_SUFFIX: &str = ".json";

/// The account as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedAccount {
    /// `metadata.generation` of the spec it was resolved from.
    pub generation: i64,
    /// Digest of `account`, see [`digest`].
    pub hash: String,
    /// The namespace in which a halt with target `cluster` reaches everything.
    pub operator_namespace: String,
    /// The account, as it was last valid.
    pub account: ResolvedAccount,
}

/// One strategy as it is published: its last valid configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedStrategy {
    /// Digest of `strategy`, see [`digest`]; what the worker acknowledges in `status.applied.hash`.
    pub hash: String,
    /// The strategy; its generation is that of the spec in force. Its desired state is `ReferenceMissing` while the
    /// account or a policy it names is missing.
    pub strategy: ResolvedStrategy,
    /// Its place among the account's grants; strategies run in that order, oldest grant first.
    pub order: u32,
}

/// Everything published for one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The account.
    pub account: PublishedAccount,
    /// Its strategies by name.
    pub strategies: BTreeMap<String, PublishedStrategy>,
}

/// Why a ConfigMap cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// Written by an operator of another time.
    #[error(
        "the configuration has format {found:?} and this program knows {FORMAT:?}; bring operator and worker to the same version"
    )]
    Format {
        /// What it says.
        found: String,
    },
    /// The account's entry is not there.
    #[error("the configuration has no {ACCOUNT_KEY}; the operator writes it when the account is valid")]
    NoAccount,
    /// An entry is not what it should be.
    #[error(
        "entry {key} of the configuration cannot be read: {source}; the operator writes it anew when it is deleted"
    )]
    Entry {
        /// Which.
        key: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// The digest of a value's JSON: what changes when anything in it does. 32 hexadecimal digits.
pub fn digest<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap_or_default();
    blake3::hash(&text).to_hex().chars().take(32).collect()
}

/// The key of a strategy's entry.
pub fn strategy_key(name: &str) -> String {
    format!("{STRATEGY_PREFIX}{name}{STRATEGY_SUFFIX}")
}

impl Published {
    /// The `data` of the ConfigMap.
    pub fn to_data(&self) -> BTreeMap<String, String> {
        let text = |value: serde_json::Result<String>| value.unwrap_or_default();
        let mut data = BTreeMap::from([
            (FORMAT_KEY.to_owned(), FORMAT.to_owned()),
            (ACCOUNT_KEY.to_owned(), text(serde_json::to_string(&self.account))),
        ]);
        for (name, strategy) in &self.strategies {
            data.insert(strategy_key(name), text(serde_json::to_string(strategy)));
        }
        data
    }

    /// Reads the `data` of a ConfigMap. The second part lists entries that cannot be read; they are left out.
    pub fn from_data(data: &BTreeMap<String, String>) -> Result<(Self, Vec<PublishedError>), PublishedError> {
        let found = data.get(FORMAT_KEY).cloned().unwrap_or_default();
        if found != FORMAT {
            return Err(PublishedError::Format { found });
        }
        let text = data.get(ACCOUNT_KEY).ok_or(PublishedError::NoAccount)?;
        let account = serde_json::from_str(text)
            .map_err(|source| PublishedError::Entry { key: ACCOUNT_KEY.to_owned(), source })?;
        let (mut strategies, mut broken) = (BTreeMap::new(), Vec::new());
        for (key, text) in data {
            let name = key.strip_prefix(STRATEGY_PREFIX).and_then(|rest| rest.strip_suffix(STRATEGY_SUFFIX));
            let Some(name) = name else { continue };
            match serde_json::from_str(text) {
                Ok(strategy) => drop(strategies.insert(name.to_owned(), strategy)),
                Err(source) => broken.push(PublishedError::Entry { key: key.clone(), source }),
            }
        }
        Ok((Self { account, strategies }, broken))
    }
}

/// The place of a strategy in the order of grants; last when it has none.
pub fn place(grants: &[GrantStatus], uid: &str) -> u32 {
    let place = grants.iter().position(|grant| grant.uid.0 == uid);
    place.and_then(|index| u32::try_from(index).ok()).unwrap_or(u32::MAX)
}
