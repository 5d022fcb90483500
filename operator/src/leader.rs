//! Which replica leads: a Lease in the operator's namespace, renewed each third of its duration.
//!
//! Promises: another's Lease is taken only after it was seen unchanged for its whole duration by the local clock, never
//! by comparing clocks; who cannot renew gives up after two thirds of the duration, a third before anybody else may
//! take over; on a shutdown the Lease is released. The Lease is advisory: what the leader writes is idempotent, so that
//! two leaders for a moment do no harm.
//!
//! Must not: use the client of the passes, or retry a request: a renewal that arrives late would be a lie.

mod decide;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::settings::Settings;
use decide::{Candidate, Record, Step};

/// Whether this replica leads. Cheap to copy and to ask.
#[derive(Debug, Clone)]
pub struct Claim {
    until: watch::Receiver<Option<Instant>>,
    /// What keeps a claim open that nobody campaigns for.
    _open: Option<Arc<watch::Sender<Option<Instant>>>>,
}

impl Claim {
    /// A claim that always holds: for tests and tools.
    pub fn always() -> Self {
        let far = Instant::now() + Duration::from_hours(24 * 365);
        let (sender, until) = watch::channel(Some(far));
        Self { until, _open: Some(Arc::new(sender)) }
    }

    /// Whether this replica leads now, by the local clock: also right after the process was paused. Nobody leads when
    /// the campaign has ended.
    pub fn leads(&self) -> bool {
        let open = self.until.has_changed().is_ok();
        open && self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this replica leads.
    pub async fn gained(&mut self) {
        while !self.leads() {
            if self.until.changed().await.is_err() {
                // Nobody will ever lead again: the task is gone, and the process about to end.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this replica does not lead any more.
    pub async fn lost(&mut self) {
        while self.leads() {
            let until = (*self.until.borrow()).unwrap_or_else(Instant::now);
            tokio::select! {
                () = tokio::time::sleep_until(until) => {}
                changed = self.until.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The API server refused, or was not reached.
    #[error("Lease {name}: {source}")]
    Api {
        /// Its name.
        name: String,
        /// What was said.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("Lease {name}: no answer within {} ms", patience.as_millis())]
    TimedOut {
        /// Its name.
        name: String,
        /// How long was waited.
        patience: Duration,
    },
}

/// Campaigns for the Lease until it is dropped.
pub struct Leader {
    api: Api<Lease>,
    name: String,
    identity: String,
    duration: Duration,
    candidate: Candidate,
    began: Instant,
    /// The Lease as we wrote it last: a renewal needs no read.
    written: Option<Lease>,
    until: watch::Sender<Option<Instant>>,
}

impl Leader {
    /// A candidate for the Lease of the settings, and the claim it will have. The client should be its own.
    pub fn new(client: Client, settings: &Settings) -> (Self, Claim) {
        let (sender, until) = watch::channel(None);
        let leader = Self {
            api: Api::namespaced(client, &settings.namespace),
            name: settings.leader.lease.clone(),
            identity: settings.pod_name.clone(),
            duration: settings.leader.duration,
            candidate: Candidate::new(&settings.pod_name),
            began: Instant::now(),
            written: None,
            until: sender,
        };
        (leader, Claim { until, _open: None })
    }

    /// Campaigns until `shutdown` ends, then releases the Lease. What comes of it is told by the claim.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let pause = self.round().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut shutdown => break,
            }
        }
        self.release().await;
    }

    /// One attempt; returns after how long the next is due.
    async fn round(&mut self) -> Duration {
        // What the renewal is worth counts from before it was sent.
        let begun = Instant::now();
        let held = match self.attempt().await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "the leader's Lease was not renewed");
                self.written = None;
                // Neither gained nor lost: what was held is held until it runs out.
                return self.duration / 15;
            }
        };
        let was = self.until.borrow().is_some();
        self.until.send_replace(held.then(|| begun + self.duration * 2 / 3));
        if was != held {
            tracing::info!(leads = held, identity = self.identity, "leadership changed");
        }
        self.duration / 3
    }

    /// Whether the Lease is ours after this attempt.
    async fn attempt(&mut self) -> Result<bool, LeaderError> {
        if let Some(lease) = self.written.take()
            && self.replace(lease, Step::Renew).await?
        {
            return Ok(true);
        }
        let found = self.request(|api, name| async move { api.get_opt(&name).await }).await?;
        let now = self.began.elapsed();
        let record = found.as_ref().map(Record::of);
        let step = self.candidate.decide(record.as_ref(), now);
        match (step, found) {
            (Step::Wait, _) => Ok(false),
            (_, None) => self.create().await,
            (step, Some(lease)) => self.replace(lease, step).await,
        }
    }

    async fn create(&mut self) -> Result<bool, LeaderError> {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(self.spec(None, Step::Take)),
        };
        let made = self
            .request(|api, _| async move { api.create(&PostParams::default(), &lease).await.map(Some) })
            .await;
        self.wrote(made)
    }

    /// Writes a Lease that was read or written before; false when somebody else wrote meanwhile.
    async fn replace(&mut self, mut lease: Lease, step: Step) -> Result<bool, LeaderError> {
        lease.spec = Some(self.spec(lease.spec.take(), step));
        lease.metadata.managed_fields = None;
        let written = self
            .request(
                |api, name| async move { api.replace(&name, &PostParams::default(), &lease).await.map(Some) },
            )
            .await;
        self.wrote(written)
    }

    fn wrote(&mut self, answer: Result<Option<Lease>, LeaderError>) -> Result<bool, LeaderError> {
        match answer {
            Ok(lease) => {
                self.written = lease;
                Ok(true)
            }
            // Somebody else wrote or deleted it: what it says now must be read.
            Err(LeaderError::Api { source, .. })
                if matches!(source.as_ref(), kube::Error::Api(status)
                    if status.is_conflict() || status.is_already_exists() || status.is_not_found()) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn spec(&self, found: Option<LeaseSpec>, step: Step) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        let found = found.unwrap_or_default();
        let taken = step == Step::Take;
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: if taken { Some(now.clone()) } else { found.acquire_time },
            renew_time: Some(now),
            lease_transitions: Some(found.lease_transitions.unwrap_or_default().saturating_add(taken.into())),
            ..LeaseSpec::default()
        }
    }

    /// Lets another replica take over at once.
    async fn release(mut self) {
        self.until.send_replace(None);
        let Ok(Some(mut lease)) = self.request(|api, name| async move { api.get_opt(&name).await }).await
        else {
            return;
        };
        if Record::of(&lease).holder.as_deref() != Some(&self.identity) {
            return;
        }
        lease.metadata.managed_fields = None;
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        let released = self
            .request(
                |api, name| async move { api.replace(&name, &PostParams::default(), &lease).await.map(Some) },
            )
            .await;
        match released {
            Ok(_) => tracing::info!("the leader's Lease is released"),
            Err(error) => tracing::warn!(%error, "the leader's Lease could not be released; it runs out"),
        }
    }

    /// One request with a time-out well below the margin.
    async fn request<F, A>(&mut self, send: F) -> Result<Option<Lease>, LeaderError>
    where
        F: FnOnce(Api<Lease>, String) -> A,
        A: Future<Output = Result<Option<Lease>, kube::Error>>,
    {
        let patience = self.duration / 6;
        let answer = tokio::time::timeout(patience, send(self.api.clone(), self.name.clone())).await;
        let name = self.name.clone();
        match answer {
            Ok(answer) => answer.map_err(|source| LeaderError::Api { name, source: Box::new(source) }),
            Err(_) => Err(LeaderError::TimedOut { name, patience }),
        }
    }
}

impl Record {
    fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: Duration::from_secs(seconds.unwrap_or_default()),
            version: format!(
                "{}/{}",
                lease.uid().unwrap_or_default(),
                lease.resource_version().unwrap_or_default()
            ),
        }
    }
}
