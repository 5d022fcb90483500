//! The copy on the Lease: which ledger its holder writes. Text in, values out, and back; pure.

use std::collections::BTreeMap;

use tradewind_core::name::Uid;
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_crds::names::lease;
use tradewind_ledger::ChainHead;

/// What the worker knows of its ledger, and whether it may be copied onto the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFacts {
    /// Which ledger, and the epoch of this worker.
    pub identity: LedgerIdentity,
    /// The end of its hash chain, as of the last commit.
    pub head: ChainHead,
    /// Whether the ledger is known to be the account's: by [`super::verdict`], or because a person has resumed the halt.
    /// Until then the copy on the Lease is evidence, and is left as it is.
    pub trusted: bool,
}

/// The ledger a Lease speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerCopy {
    /// The account it was written for.
    pub account: Uid,
    /// Which ledger, and the epoch of its writer.
    pub identity: LedgerIdentity,
    /// The end of its hash chain at that time; it may have grown since.
    pub head: ChainHead,
}

/// What is on a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// No copy: no ledger was ever written under it.
    Nothing,
    /// A copy.
    Copy(LedgerCopy),
    /// Something that is no copy: its annotations, for people.
    Unreadable(String),
}

impl LedgerCopy {
    /// As annotations.
    pub(super) fn annotations(&self) -> [(&'static str, String); 4] {
        [
            (lease::ACCOUNT, self.account.to_string()),
            (lease::INCARNATION, format!("{:08x}", self.identity.incarnation.0)),
            (lease::EPOCH, self.identity.epoch.0.to_string()),
            (lease::HEAD, self.head.to_string()),
        ]
    }
}

impl Found {
    /// Reads the annotations of a Lease; a Lease without annotations has no copy.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let [account, incarnation, epoch, head] =
            [lease::ACCOUNT, lease::INCARNATION, lease::EPOCH, lease::HEAD].map(|key| annotations.get(key));
        if [account, incarnation, epoch, head].iter().all(Option::is_none) {
            return Self::Nothing;
        }
        let read = || {
            Some(LedgerCopy {
                account: Uid(account?.parse().ok()?),
                identity: LedgerIdentity {
                    incarnation: Incarnation(u32::from_str_radix(incarnation?, 16).ok()?),
                    epoch: Epoch(epoch?.parse().ok()?),
                },
                head: head?.parse().ok()?,
            })
        };
        read().map_or_else(
            || {
                let said = [account, incarnation, epoch, head].map(|text| text.map_or("-", String::as_str));
                Self::Unreadable(said.join(" ").chars().take(200).collect())
            },
            Self::Copy,
        )
    }
}
