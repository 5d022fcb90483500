//! The task that keeps the Lease: reads, decides, writes, and tells the claim.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tradewind_crds::names;

use super::copy::{Found, LedgerCopy, LedgerFacts};
use super::decide::{
    Action, DURATION, ENTRIES_FOR, Observed, Own, RENEW_EVERY, RETRY_AFTER, Watched, decide,
};
use super::store::{LeaseError, Store};
use super::{Claim, Identity};

/// Attempts when somebody else wrote the Lease in between.
const ATTEMPTS: u32 = 2;

pub(super) struct Keeper<S> {
    store: S,
    identity: Identity,
    own: Own,
    facts: watch::Receiver<LedgerFacts>,
    claims: watch::Sender<Claim>,
    /// The Lease as we last wrote it; none when it must be read first.
    written: Option<Lease>,
    watched: Option<Watched>,
    /// Whether the facts were trusted when they were last looked at.
    trusted: bool,
    /// What was last logged, so that a fact is told once.
    told: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Held,
    Waiting,
    Failing,
}

impl<S: Store> Keeper<S> {
    pub(super) fn new(
        store: S,
        identity: Identity,
        facts: watch::Receiver<LedgerFacts>,
        claims: watch::Sender<Claim>,
    ) -> Self {
        let own = Own {
            holder: identity.holder.clone(),
            account: identity.account_uid,
            identity: facts.borrow().identity,
            found: None,
        };
        let (written, watched, told) = (None, None, Told::Nothing);
        Self { store, identity, own, facts, claims, written, watched, trusted: false, told }
    }

    pub(super) async fn run(mut self, mut released: oneshot::Receiver<()>) {
        loop {
            self.trusted = self.facts.borrow().trusted;
            // Not cut short by a release: a request whose answer is lost costs more than it takes.
            let pause = self.round().await;
            let settled = self.trusted || self.claims.borrow().superseded;
            tokio::select! {
                biased;
                release = &mut released => {
                    if release.is_ok() {
                        self.release().await;
                    }
                    return;
                }
                () = trust(&mut self.facts), if !settled => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One renewal, or an attempt at it. Returns how long until the next.
    async fn round(&mut self) -> Duration {
        if self.claims.borrow().superseded {
            return RENEW_EVERY;
        }
        for _ in 0..ATTEMPTS {
            match self.step().await {
                Ok(pause) => return pause,
                Err(LeaseError::Conflict) => {}
                Err(error) => {
                    if self.tell(Told::Failing) {
                        tracing::warn!(%error, "lease not renewed");
                    }
                    break;
                }
            }
        }
        RETRY_AFTER
    }

    async fn step(&mut self) -> Result<Duration, LeaseError> {
        let current = match self.written.take() {
            Some(lease) => Some(lease),
            None => self.store.read().await?,
        };
        let now = Instant::now();
        let unchanged = match &current {
            Some(lease) => {
                let watched = Watched::see(self.watched.take(), lease, now);
                self.watched.insert(watched).unchanged(now)
            }
            None => Duration::ZERO,
        };
        let observed = current.as_ref().map(Observed::of);
        match decide(observed.as_ref(), &self.own, unchanged) {
            Action::StandDown => {
                self.claims.send_modify(|claim| (claim.held_until, claim.superseded) = (None, true));
                let by = observed.map(|o| o.holder).unwrap_or_default();
                tracing::error!(
                    by,
                    "a later worker has taken the account over; this one sends nothing any more"
                );
                Ok(RENEW_EVERY)
            }
            Action::Wait => {
                self.claims.send_if_modified(|claim| claim.held_until.take().is_some());
                if self.tell(Told::Waiting) {
                    let by = observed.map(|o| o.holder).unwrap_or_default();
                    tracing::info!(by, "lease held by another; waiting until it is released or has run out");
                }
                Ok(RETRY_AFTER)
            }
            Action::Create | Action::Take | Action::Renew => {
                self.hold(current, observed).await?;
                Ok(RENEW_EVERY)
            }
        }
    }

    /// Writes the Lease as ours.
    async fn hold(&mut self, current: Option<Lease>, observed: Option<Observed>) -> Result<(), LeaseError> {
        let copy = self.copy();
        let taken = observed.as_ref().is_none_or(|o| o.holder != self.own.holder);
        let lease = self.lease(current.as_ref(), taken, copy.as_ref());
        // Counted from before the request: whoever reads the Lease counts from after it.
        let asked = Instant::now();
        let written = match &current {
            Some(_) => self.store.replace(&lease).await?,
            None => self.store.create(&lease).await?,
        };
        self.written = Some(written);
        let found = self.own.found.get_or_insert_with(|| observed.map_or(Found::Nothing, |o| o.copy)).clone();
        self.claims.send_modify(|claim| {
            claim.held_until = Some(asked + ENTRIES_FOR);
            claim.found = Some(found);
            if copy.is_some() {
                claim.copied = copy;
            }
        });
        if self.tell(Told::Held) {
            tracing::info!(
                lease = names::worker(&self.identity.account),
                holder = self.own.holder,
                "lease held"
            );
        }
        Ok(())
    }

    /// What may be copied onto the Lease; none while the ledger is not known to be ours.
    fn copy(&self) -> Option<LedgerCopy> {
        let facts = self.facts.borrow();
        let copy = || LedgerCopy { account: self.own.account, identity: facts.identity, head: facts.head };
        facts.trusted.then(copy)
    }

    /// The Lease as it is to be: held by us, what others put on it left as it is.
    fn lease(&self, current: Option<&Lease>, taken: bool, copy: Option<&LedgerCopy>) -> Lease {
        let mut lease = current.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(names::worker(&self.identity.account)),
                namespace: Some(self.identity.namespace.clone()),
                ..ObjectMeta::default()
            },
            spec: None,
        });
        lease.metadata.managed_fields = None;
        let labels = lease.metadata.labels.get_or_insert_default();
        for (key, value) in [
            (names::COMPONENT_LABEL, names::COMPONENT_WORKER.to_owned()),
            (names::ACCOUNT_LABEL, self.identity.account.clone()),
            (names::ACCOUNT_UID_LABEL, self.identity.account_uid.to_string()),
        ] {
            labels.insert(key.to_owned(), value);
        }
        write_copy(lease.metadata.annotations.get_or_insert_default(), copy);
        let now = MicroTime(jiff::Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if taken {
            let transitions = spec.lease_transitions.unwrap_or(0);
            spec.lease_transitions = Some(transitions.saturating_add(i32::from(current.is_some())));
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(self.own.holder.clone());
        spec.lease_duration_seconds = i32::try_from(DURATION.as_secs()).ok();
        spec.renew_time = Some(now);
        lease
    }

    /// Gives the Lease back, if it is ours.
    async fn release(&mut self) {
        self.claims.send_if_modified(|claim| claim.held_until.take().is_some());
        for _ in 0..ATTEMPTS {
            match self.give_back().await {
                Ok(()) => return,
                Err(LeaseError::Conflict) => {}
                Err(error) => {
                    tracing::warn!(%error, "lease not released; the next worker waits until it has run out");
                    return;
                }
            }
        }
    }

    async fn give_back(&mut self) -> Result<(), LeaseError> {
        let current = match self.written.take() {
            Some(lease) => Some(lease),
            None => self.store.read().await?,
        };
        let ours = |lease: &Lease| Observed::of(lease).holder == self.own.holder;
        let Some(mut lease) = current.filter(ours) else { return Ok(()) };
        lease.metadata.managed_fields = None;
        write_copy(lease.metadata.annotations.get_or_insert_default(), self.copy().as_ref());
        let transitions = lease.spec.as_ref().and_then(|spec| spec.lease_transitions);
        lease.spec = Some(LeaseSpec {
            lease_transitions: transitions,
            renew_time: Some(MicroTime(jiff::Timestamp::now())),
            ..LeaseSpec::default()
        });
        self.store.replace(&lease).await?;
        tracing::info!(lease = names::worker(&self.identity.account), "lease released");
        Ok(())
    }

    /// Whether this is news.
    fn tell(&mut self, what: Told) -> bool {
        let news = self.told != what;
        self.told = what;
        news
    }
}

fn write_copy(annotations: &mut BTreeMap<String, String>, copy: Option<&LedgerCopy>) {
    for (key, value) in copy.iter().flat_map(|copy| copy.annotations()) {
        annotations.insert(key.to_owned(), value);
    }
}

/// Waits until the ledger is trusted; for ever when nobody can say so any more.
async fn trust(facts: &mut watch::Receiver<LedgerFacts>) {
    if facts.wait_for(|facts| facts.trusted).await.is_err() {
        std::future::pending::<()>().await;
    }
}
