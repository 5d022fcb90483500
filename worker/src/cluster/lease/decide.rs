//! What to do about a Lease, given how it was seen. Pure: no clock, no client.
//!
//! It never compares another machine's clock with ours: how long a Lease was seen unchanged is counted here.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;
use tradewind_core::name::Uid;
use tradewind_core::recovery::LedgerIdentity;

use super::copy::Found;

/// How long a Lease holds without being renewed. Others take it over only after they saw it unchanged for that long.
pub const DURATION: Duration = Duration::from_secs(15);
/// How often it is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(5);
/// How long after the start of the last renewal entries may be made: well before anybody may take the Lease over.
pub const ENTRIES_FOR: Duration = Duration::from_secs(10);
/// How long after a failure it is tried again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long one request may take: two of them and a pause fit between a missed renewal and the end of entries.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Who we are and what we have done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Our name as a holder; another process never has the same.
    pub holder: String,
    /// The account's uid.
    pub account: Uid,
    /// Our ledger, and our epoch.
    pub identity: LedgerIdentity,
    /// What was on the Lease when we first held it; none until then.
    pub found: Option<Found>,
}

/// A Lease as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Who holds it; empty when it was released.
    pub holder: String,
    /// How long it holds without being renewed, as its holder says.
    pub duration: Duration,
    /// The ledger it names.
    pub copy: Found,
}

impl Observed {
    /// Of an object; what is missing is taken for the worst.
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.as_ref();
        let seconds = spec.and_then(|s| s.lease_duration_seconds).and_then(|s| u64::try_from(s).ok());
        Self {
            holder: spec.and_then(|s| s.holder_identity.clone()).unwrap_or_default(),
            duration: seconds.map_or(DURATION, Duration::from_secs),
            copy: lease.metadata.annotations.as_ref().map_or(Found::Nothing, Found::read),
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// There is none: make it, held by us.
    Create,
    /// It is free or has run out: hold it.
    Take,
    /// It is ours: hold it longer.
    Renew,
    /// Another holds it.
    Wait,
    /// A later worker has taken the account over: nothing of ours may leave any more.
    StandDown,
}

/// What to do about a Lease that was seen unchanged for so long.
pub fn decide(observed: Option<&Observed>, own: &Own, unchanged: Duration) -> Action {
    let Some(observed) = observed else { return Action::Create };
    if observed.holder == own.holder {
        return Action::Renew;
    }
    if superseded(&observed.copy, own) {
        return Action::StandDown;
    }
    if is_free(observed, unchanged) { Action::Take } else { Action::Wait }
}

/// Whether it may be taken from whoever had it: it was given back, or has run out as far as can be seen here.
pub(super) fn is_free(observed: &Observed, unchanged: Duration) -> bool {
    observed.holder.is_empty() || unchanged >= observed.duration
}

/// Whether, since we held the Lease, another worker has written its ledger onto it: a later one on our ledger, or one on
/// another ledger that a person has let trade. What we found there ourselves is not later.
fn superseded(copy: &Found, own: &Own) -> bool {
    let (Found::Copy(copy), Some(found)) = (copy, &own.found) else { return false };
    let known = matches!(found, Found::Copy(before) if before == copy);
    let ours = copy.identity.incarnation == own.identity.incarnation && copy.account == own.account;
    !known && (!ours || copy.identity.epoch > own.identity.epoch)
}

/// A Lease as it was last seen, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Watched {
    version: String,
    since: Instant,
}

impl Watched {
    /// Takes in a reading. A version that differs in any way, also of a Lease made anew, starts the count again.
    pub(super) fn see(known: Option<Self>, lease: &Lease, now: Instant) -> Self {
        let meta = &lease.metadata;
        let version = format!(
            "{}/{}",
            meta.uid.as_deref().unwrap_or_default(),
            meta.resource_version.as_deref().unwrap_or_default()
        );
        match known {
            Some(known) if known.version == version => known,
            _ => Self { version, since: now },
        }
    }

    /// For how long it was seen like this.
    pub(super) fn unchanged(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use tradewind_core::order::{Epoch, Incarnation};

    use super::super::copy::LedgerCopy;
    use super::*;

    fn identity(incarnation: u32, epoch: u64) -> LedgerIdentity {
        LedgerIdentity { incarnation: Incarnation(incarnation), epoch: Epoch(epoch) }
    }

    fn copy(incarnation: u32, epoch: u64) -> Found {
        Found::Copy(LedgerCopy {
            account: Uid(uuid::Uuid::from_u128(1)),
            identity: identity(incarnation, epoch),
            head: format!("9:{}", "0".repeat(64)).parse().unwrap(),
        })
    }

    fn own(found: Option<Found>) -> Own {
        let account = Uid(uuid::Uuid::from_u128(1));
        Own { holder: "us".to_owned(), account, identity: identity(7, 5), found }
    }

    fn seen(holder: &str, copy: Found) -> Observed {
        Observed { holder: holder.to_owned(), duration: Duration::from_secs(15), copy }
    }

    #[test]
    fn what_is_done_follows_from_the_holder_and_from_how_long_it_was_silent() {
        let (short, whole) = (Duration::from_millis(14_999), Duration::from_secs(15));
        let nothing = Found::Nothing;
        let table = [
            ("there is none", None, short, Action::Create),
            ("ours", Some(seen("us", nothing.clone())), whole, Action::Renew),
            ("released", Some(seen("", nothing.clone())), Duration::ZERO, Action::Take),
            ("another's, first sight", Some(seen("them", nothing.clone())), Duration::ZERO, Action::Wait),
            ("another's, nearly run out", Some(seen("them", nothing.clone())), short, Action::Wait),
            ("another's, run out", Some(seen("them", nothing.clone())), whole, Action::Take),
            (
                "another's with a later epoch, before we held it",
                Some(seen("them", copy(7, 6))),
                short,
                Action::Wait,
            ),
            ("the same, run out", Some(seen("them", copy(7, 6))), whole, Action::Take),
        ];
        for (case, observed, unchanged, expected) in table {
            assert_eq!(decide(observed.as_ref(), &own(None), unchanged), expected, "{case}");
        }
    }

    #[test]
    fn a_holder_with_a_longer_duration_is_waited_for_as_long_as_it_says() {
        let mut patient = seen("them", Found::Nothing);
        patient.duration = Duration::from_mins(1);
        assert_eq!(decide(Some(&patient), &own(None), Duration::from_secs(59)), Action::Wait);
        assert_eq!(decide(Some(&patient), &own(None), Duration::from_mins(1)), Action::Take);
    }

    #[test]
    fn who_held_it_once_stands_down_for_a_later_worker_and_for_no_other() {
        let held = |found| own(Some(found));
        let table = [
            ("later epoch", held(copy(7, 4)), seen("them", copy(7, 6)), Action::StandDown),
            ("later epoch, already released", held(copy(7, 4)), seen("", copy(7, 6)), Action::StandDown),
            ("another ledger", held(copy(7, 4)), seen("them", copy(8, 1)), Action::StandDown),
            (
                "first one on the account, later epoch",
                held(Found::Nothing),
                seen("them", copy(7, 6)),
                Action::StandDown,
            ),
            ("our own copy", held(copy(7, 4)), seen("them", copy(7, 5)), Action::Wait),
            (
                "what we found, not yet trusted by us",
                held(copy(7, 9)),
                seen("them", copy(7, 9)),
                Action::Wait,
            ),
            ("the copy was taken away", held(copy(7, 4)), seen("them", Found::Nothing), Action::Wait),
            ("ours, whatever is on it", held(copy(7, 4)), seen("us", copy(7, 6)), Action::Renew),
        ];
        for (case, own, observed, expected) in table {
            assert_eq!(decide(Some(&observed), &own, Duration::ZERO), expected, "{case}");
        }
    }

    #[test]
    fn the_count_starts_again_with_every_change() {
        let lease = |uid: &str, version: &str| {
            let mut lease = Lease::default();
            lease.metadata.uid = Some(uid.to_owned());
            lease.metadata.resource_version = Some(version.to_owned());
            lease
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = Watched::see(None, &lease("a", "1"), at(0));
        let same = Watched::see(Some(first), &lease("a", "1"), at(14));
        assert_eq!(same.unchanged(at(15)), Duration::from_secs(15));
        let renewed = Watched::see(Some(same), &lease("a", "2"), at(16));
        assert_eq!(renewed.unchanged(at(20)), Duration::from_secs(4));
        let anew = Watched::see(Some(renewed), &lease("b", "2"), at(21));
        assert_eq!(anew.unchanged(at(21)), Duration::ZERO);
    }
}
