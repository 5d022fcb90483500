//! Whether the ledger at hand is the one the account's last worker wrote. Pure.
//!
//! A ledger that is not may lack orders that were sent: it must never be traded on before a person has looked.

use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope, ledger_unknown};
use tradewind_core::name::Uid;
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::Timestamp;
use tradewind_ledger::ChainHead;

use super::copy::{Found, LedgerCopy};

/// The ledger as it was opened, before anything was written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerAtStart {
    /// The account it was made for.
    pub made_for: Uid,
    /// Which ledger, and the epoch this worker has raised it to.
    pub identity: LedgerIdentity,
    /// The end of its hash chain; row zero says that nothing was ever written to it.
    pub head: ChainHead,
}

impl LedgerAtStart {
    /// Whether nothing was ever written to it.
    pub fn is_new(&self) -> bool {
        self.head.seq == 0
    }
}

/// Why a ledger is not known to be the account's. Each message says what was found and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerUnknownReason {
    /// The Lease has no copy, yet the ledger has rows.
    #[error(
        "the ledger holds {rows} rows, but the account's Lease knows of none: the Lease was deleted, or the volume \
         comes from another account or cluster; compare positions and open orders with the venue's, then resume"
    )]
    NoCopy {
        /// Rows of the ledger.
        rows: u64,
    },
    /// The ledger was made for an account of another uid.
    #[error(
        "the ledger was made for an account with uid {made_for} and this account has uid {account}: the account was \
         made anew and the volume kept; compare positions and open orders with the venue's, then resume"
    )]
    OtherAccount {
        /// Uid of the account it was made for.
        made_for: Uid,
        /// Uid of the account it is opened for.
        account: Uid,
    },
    /// Another ledger than the last worker's.
    #[error(
        "the last worker wrote ledger {theirs:08x} and this is ledger {ours:08x}{}: orders of the lost one may be open; \
         bring its volume back, or compare positions and open orders with the venue's, then resume",
        if *.new { ", a new and empty one" } else { "" }
    )]
    OtherIncarnation {
        /// On the Lease.
        theirs: u32,
        /// Of the ledger.
        ours: u32,
        /// Whether the ledger is new.
        new: bool,
    },
    /// The same ledger as it was earlier.
    #[error(
        "the last worker was number {theirs} on this ledger, which knows of {ours} only: it is an old copy, such as a \
         backup; bring the newer one back, or compare positions and open orders with the venue's, then resume"
    )]
    Older {
        /// Epoch on the Lease.
        theirs: u64,
        /// Epochs of the ledger before this worker opened it.
        ours: u64,
    },
    /// The row the last worker had written is not there.
    #[error(
        "the last worker had written row {theirs} and the ledger, which ends with row {ours}, does not hold it: it is \
         an old or a forked copy; bring the newer one back, or compare positions and open orders with the venue's, \
         then resume"
    )]
    MissingHead {
        /// Row on the Lease.
        theirs: u64,
        /// Last row of the ledger.
        ours: u64,
    },
    /// The copy cannot be read.
    #[error(
        "the account's Lease names its ledger as {said:?}, which cannot be read: somebody has edited it; compare \
         positions and open orders with the venue's, then resume"
    )]
    Unreadable {
        /// What it says.
        said: String,
    },
}

/// Whether the ledger is the one the Lease knows. `contains_head` is whether it holds the copy's head; it does not
/// matter where there is no copy.
pub fn verdict(
    found: &Found,
    account: Uid,
    ledger: &LedgerAtStart,
    contains_head: bool,
) -> Result<(), LedgerUnknownReason> {
    let copy = match found {
        Found::Copy(copy) => copy,
        Found::Nothing => return without_copy(account, ledger),
        Found::Unreadable(said) => return Err(LedgerUnknownReason::Unreadable { said: said.clone() }),
    };
    if copy.account != account {
        // The Lease of an account that was deleted: it knows nothing of this one.
        return without_copy(account, ledger);
    }
    known(copy, ledger, contains_head)
}

fn without_copy(account: Uid, ledger: &LedgerAtStart) -> Result<(), LedgerUnknownReason> {
    if ledger.is_new() {
        Ok(())
    } else if ledger.made_for == account {
        Err(LedgerUnknownReason::NoCopy { rows: ledger.head.seq })
    } else {
        Err(LedgerUnknownReason::OtherAccount { made_for: ledger.made_for, account })
    }
}

fn known(copy: &LedgerCopy, ledger: &LedgerAtStart, contains_head: bool) -> Result<(), LedgerUnknownReason> {
    let (theirs, ours) = (copy.identity, ledger.identity);
    if theirs.incarnation != ours.incarnation {
        return Err(LedgerUnknownReason::OtherIncarnation {
            theirs: theirs.incarnation.0,
            ours: ours.incarnation.0,
            new: ledger.is_new(),
        });
    }
    // Opening it has raised the epoch by one: an equal one means that the copy's writer is missing in it.
    let before = ours.epoch.0.saturating_sub(1);
    if before < theirs.epoch.0 {
        return Err(LedgerUnknownReason::Older { theirs: theirs.epoch.0, ours: before });
    }
    if !contains_head {
        return Err(LedgerUnknownReason::MissingHead { theirs: copy.head.seq, ours: ledger.head.seq });
    }
    Ok(())
}

/// The halt an unknown ledger means: no entries on the account until a person resumes it by name.
pub fn ledger_unknown_halt(account: &str, reason: &LedgerUnknownReason, since: Timestamp) -> Halt {
    Halt {
        name: ledger_unknown(account),
        scope: HaltScope::Account,
        instruments: Vec::new(),
        action: HaltAction::StopEntries,
        origin: HaltOrigin::LedgerUnknown,
        reason: reason.to_string(),
        requested_by: tradewind_crds::names::WORKER_MANAGER.to_owned(),
        since,
    }
}

#[cfg(test)]
mod tests {
    use tradewind_core::order::{Epoch, Incarnation};

    use super::*;

    fn uid(number: u128) -> Uid {
        Uid(uuid::Uuid::from_u128(number))
    }

    fn head(seq: u64) -> ChainHead {
        format!("{seq}:{}", "0".repeat(64)).parse().unwrap()
    }

    fn identity(incarnation: u32, epoch: u64) -> LedgerIdentity {
        LedgerIdentity { incarnation: Incarnation(incarnation), epoch: Epoch(epoch) }
    }

    #[test]
    fn a_ledger_is_ours_exactly_when_it_is_the_one_the_lease_knows_or_both_are_new() {
        // Account 1. On the Lease: account, incarnation, epoch, head. The ledger: made for, incarnation, epoch now, rows;
        // does it hold the head? Then what is wrong with it.
        type Copy = Option<(u128, u32, u64, u64)>;
        type Row = (&'static str, Copy, (u128, u32, u64, u64), bool, Option<&'static str>);
        let table: [Row; 15] = [
            ("first start", None, (1, 7, 1, 0), false, None),
            ("second start, nothing written yet", None, (1, 7, 2, 0), false, None),
            ("ordinary restart", Some((1, 7, 3, 20)), (1, 7, 4, 20), true, None),
            ("the ledger is ahead", Some((1, 7, 3, 20)), (1, 7, 4, 25), true, None),
            ("restarts without a Lease in between", Some((1, 7, 3, 20)), (1, 7, 9, 20), true, None),
            ("taken over after a resume", Some((1, 7, 3, 20)), (2, 7, 4, 20), true, None),
            ("an earlier account's Lease, a new volume", Some((2, 7, 3, 20)), (1, 8, 1, 0), false, None),
            ("Lease deleted, or another cluster", None, (1, 7, 4, 20), false, Some("knows of none")),
            ("account made anew", None, (2, 7, 4, 20), false, Some("made anew")),
            ("account made anew, Lease kept", Some((2, 7, 3, 20)), (2, 7, 4, 20), true, Some("made anew")),
            ("volume lost", Some((1, 7, 3, 20)), (1, 8, 1, 0), false, Some("a new and empty one")),
            ("another volume", Some((1, 7, 3, 20)), (1, 8, 9, 40), true, Some("00000008: orders")),
            ("old backup", Some((1, 7, 3, 20)), (1, 7, 3, 15), false, Some("knows of 2 only")),
            ("old backup, opened often", Some((1, 7, 3, 20)), (1, 7, 9, 15), false, Some("ends with row 15")),
            ("forked", Some((1, 7, 3, 20)), (1, 7, 4, 60), false, Some("forked")),
        ];
        for (case, copy, (made_for, incarnation, epoch, rows), contains, wrong) in table {
            let found = copy.map_or(Found::Nothing, |(account, incarnation, epoch, row)| {
                let (account, identity) = (uid(account), identity(incarnation, epoch));
                Found::Copy(LedgerCopy { account, identity, head: head(row) })
            });
            let ledger = LedgerAtStart {
                made_for: uid(made_for),
                identity: identity(incarnation, epoch),
                head: head(rows),
            };
            let said = verdict(&found, uid(1), &ledger, contains).map_err(|reason| reason.to_string());
            match (said, wrong) {
                (Ok(()), None) => {}
                (Err(said), Some(part)) => assert!(said.contains(part), "{case}: {said}"),
                (said, _) => panic!("{case}: {said:?}"),
            }
        }
    }

    #[test]
    fn a_copy_that_cannot_be_read_is_no_excuse_even_for_a_new_ledger() {
        let ledger = LedgerAtStart { made_for: uid(1), identity: identity(7, 1), head: head(0) };
        let said = verdict(&Found::Unreadable("x".to_owned()), uid(1), &ledger, true);
        assert!(matches!(said, Err(LedgerUnknownReason::Unreadable { .. })), "{said:?}");
    }

    #[test]
    fn every_reason_fits_a_halt() {
        let reason = LedgerUnknownReason::MissingHead { theirs: u64::MAX, ours: u64::MAX };
        let halt = ledger_unknown_halt("desk", &reason, Timestamp(5));
        assert_eq!(halt.name, "account.desk.ledger-unknown");
        assert_eq!((halt.scope, halt.action), (HaltScope::Account, HaltAction::StopEntries));
        assert!(halt.reason.len() <= 1024);
    }
}
