//! The task against a Lease in memory, with time that stands still unless it is waited for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::sync::watch;
use tokio::time::Instant;
use tradewind_core::name::Uid;
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_crds::names::lease::{EPOCH, HEAD};

use super::*;

/// What the next requests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Fine,
    /// Nothing is heard and nothing arrives.
    Away,
    /// Writes arrive, their answers do not.
    AnswerLost,
}

struct Server {
    lease: Option<Lease>,
    version: u64,
    weather: Weather,
    writes: u64,
}

/// A Lease in memory with the API server's rule on versions.
#[derive(Clone)]
struct InMemory(Arc<Mutex<Server>>);

impl InMemory {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Server { lease: None, version: 0, weather: Weather::Fine, writes: 0 })))
    }

    fn weather(&self, weather: Weather) {
        self.0.lock().unwrap().weather = weather;
    }

    fn holder(&self) -> String {
        self.0.lock().unwrap().lease.as_ref().map_or_else(String::new, |lease| Observed::of(lease).holder)
    }

    fn annotation(&self, key: &str) -> Option<String> {
        self.0.lock().unwrap().lease.as_ref()?.metadata.annotations.as_ref()?.get(key).cloned()
    }

    /// The times on the Lease, as somebody whose clock is so many seconds off would have written them.
    fn shift_times(&self, seconds: i64) {
        let mut server = self.0.lock().unwrap();
        let spec = server.lease.as_mut().unwrap().spec.as_mut().unwrap();
        for time in [&mut spec.renew_time, &mut spec.acquire_time].into_iter().flatten() {
            time.0 += jiff::SignedDuration::from_secs(seconds);
        }
    }

    fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }

    async fn lost() -> LeaseError {
        // paces: virtual time moves on, nobody waits.
        tokio::time::sleep(REQUEST_TIMEOUT).await;
        LeaseError::TimedOut(REQUEST_TIMEOUT)
    }

    async fn write(&self, lease: &Lease, anew: bool) -> Result<Lease, LeaseError> {
        let weather = self.0.lock().unwrap().weather;
        if weather == Weather::Away {
            return Err(Self::lost().await);
        }
        let written = {
            let mut server = self.0.lock().unwrap();
            let known = server.lease.as_ref().and_then(|l| l.metadata.resource_version.clone());
            if anew != known.is_none() || (!anew && known != lease.metadata.resource_version) {
                return Err(LeaseError::Conflict);
            }
            server.version += 1;
            server.writes += 1;
            let mut lease = lease.clone();
            lease.metadata.resource_version = Some(server.version.to_string());
            server.lease = Some(lease.clone());
            lease
        };
        if weather == Weather::AnswerLost { Err(Self::lost().await) } else { Ok(written) }
    }
}

impl Store for InMemory {
    async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        let weather = self.0.lock().unwrap().weather;
        if weather == Weather::Away {
            return Err(Self::lost().await);
        }
        Ok(self.0.lock().unwrap().lease.clone())
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.write(lease, true).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.write(lease, false).await
    }
}

/// A worker as far as its Lease goes.
struct Worker {
    facts: watch::Sender<LedgerFacts>,
    claim: watch::Receiver<Claim>,
    handle: Handle,
}

fn facts(epoch: u64, row: u64, trusted: bool) -> LedgerFacts {
    let head = format!("{row}:{}", "ab".repeat(32)).parse().unwrap();
    LedgerFacts {
        identity: LedgerIdentity { incarnation: Incarnation(7), epoch: Epoch(epoch) },
        head,
        trusted,
    }
}

impl Worker {
    fn start(store: &InMemory, holder: &str, epoch: u64, trusted: bool) -> Self {
        let (facts, told) = watch::channel(facts(epoch, 1, trusted));
        let identity = Identity {
            namespace: "desk".to_owned(),
            account: "paper".to_owned(),
            account_uid: Uid(uuid::Uuid::from_u128(1)),
            holder: holder.to_owned(),
        };
        let (claim, handle) = start(store.clone(), identity, told);
        Self { facts, claim, handle }
    }

    async fn held(&mut self) {
        self.claim.wait_for(|claim| claim.allows_entries(Instant::now())).await.unwrap();
    }

    fn allows_entries(&self) -> bool {
        self.claim.borrow().allows_entries(Instant::now())
    }
}

async fn pass(seconds: f64) {
    // paces: virtual time moves on, nobody waits.
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_held_at_once_and_renewed_each_five_seconds() {
    let store = InMemory::new();
    let mut worker = Worker::start(&store, "a", 1, true);
    worker.held().await;
    assert_eq!((store.holder().as_str(), store.writes()), ("a", 1));
    assert_eq!(store.annotation(HEAD), Some(format!("1:{}", "ab".repeat(32))));
    pass(60.0).await;
    assert!(worker.allows_entries());
    assert!((12..=13).contains(&store.writes()), "{} writes in a minute", store.writes());
}

#[tokio::test(start_paused = true)]
async fn entries_end_ten_seconds_after_the_last_renewal_and_come_back_with_the_next() {
    let store = InMemory::new();
    let mut worker = Worker::start(&store, "a", 1, true);
    worker.held().await;
    store.weather(Weather::Away);
    pass(9.9).await;
    assert!(worker.allows_entries());
    pass(0.2).await;
    assert!(!worker.allows_entries(), "well before another may take it over");
    pass(120.0).await;
    store.weather(Weather::Fine);
    pass(3.1).await;
    assert!(worker.allows_entries(), "a new attempt each second");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_does_not_count_and_is_repeated() {
    let store = InMemory::new();
    let mut worker = Worker::start(&store, "a", 1, true);
    worker.held().await;
    store.weather(Weather::AnswerLost);
    pass(10.1).await;
    assert!(!worker.allows_entries());
    assert_eq!(store.holder(), "a");
    store.weather(Weather::Fine);
    pass(3.1).await;
    assert!(worker.allows_entries());
}

#[tokio::test(start_paused = true)]
async fn another_worker_waits_until_the_lease_has_run_out_by_its_own_clock() {
    let store = InMemory::new();
    let mut first = Worker::start(&store, "a", 1, true);
    first.held().await;
    let Worker { handle, .. } = first;
    let second = Worker::start(&store, "b", 2, true);
    pass(31.0).await;
    assert!(!second.allows_entries(), "the first one renews");
    drop(handle);
    // Renewed at 30 s at the latest; seen unchanged since then.
    pass(14.0).await;
    assert!(!second.allows_entries());
    pass(3.0).await;
    assert!(second.allows_entries());
    assert_eq!(store.annotation(EPOCH).as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_keeps_its_copy_and_is_taken_within_a_second() {
    let store = InMemory::new();
    let mut first = Worker::start(&store, "a", 1, true);
    first.held().await;
    let mut second = Worker::start(&store, "b", 2, false);
    first.facts.send_replace(facts(1, 44, true));
    first.handle.release().await;
    assert!(!first.claim.borrow().allows_entries(Instant::now()));
    let head = format!("44:{}", "ab".repeat(32));
    assert_eq!(store.annotation(HEAD), Some(head.clone()), "the last commit");
    let started = Instant::now();
    let found = found_within(&mut second.claim, Duration::from_secs(5)).await;
    assert!(started.elapsed() <= Duration::from_secs(1));
    assert!(matches!(found, Some(Found::Copy(copy)) if copy.head.to_string() == head));
}

#[tokio::test(start_paused = true)]
async fn the_copy_is_left_as_it_is_until_the_ledger_is_trusted_and_then_written_at_once() {
    let store = InMemory::new();
    let mut first = Worker::start(&store, "a", 9, true);
    first.held().await;
    first.handle.release().await;
    let mut second = Worker::start(&store, "b", 3, false);
    second.held().await;
    pass(60.0).await;
    assert_eq!(store.annotation(EPOCH).as_deref(), Some("9"), "evidence");
    assert!(!second.claim.borrow().superseded, "what was found is not a later worker");
    second.facts.send_replace(facts(3, 2, true));
    let started = Instant::now();
    assert!(copied_within(&mut second.claim, Duration::from_secs(5)).await);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(store.annotation(EPOCH).as_deref(), Some("3"));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_slept_stands_down_for_good_when_a_later_one_has_written() {
    let store = InMemory::new();
    let mut first = Worker::start(&store, "a", 1, true);
    first.held().await;
    // The first one hears nothing for long enough; the second one comes by another way.
    let second_store = InMemory(Arc::new(Mutex::new(Server {
        lease: store.0.lock().unwrap().lease.clone(),
        version: 100,
        weather: Weather::Fine,
        writes: 0,
    })));
    store.weather(Weather::Away);
    let mut second = Worker::start(&second_store, "b", 2, true);
    second.held().await;
    assert!(!first.allows_entries());
    store.0.lock().unwrap().lease.clone_from(&second_store.0.lock().unwrap().lease);
    store.weather(Weather::Fine);
    first.claim.wait_for(|claim| claim.superseded).await.unwrap();
    pass(120.0).await;
    assert!(!first.allows_entries());
    assert_eq!(store.holder(), "b", "it never takes it back");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_is_restarted_in_its_pod_goes_on_at_once() {
    let store = InMemory::new();
    let mut first = Worker::start(&store, "a", 1, true);
    first.held().await;
    drop(first);
    let mut again = Worker::start(&store, "a", 2, true);
    let started = Instant::now();
    again.held().await;
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_made_again() {
    let store = InMemory::new();
    let mut worker = Worker::start(&store, "a", 1, true);
    worker.held().await;
    store.0.lock().unwrap().lease = None;
    pass(6.0).await;
    assert_eq!(store.holder(), "a");
    assert!(worker.allows_entries());
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_neither_shortens_nor_lengthens_a_lease() {
    const DAY: i64 = 86_400;
    for seconds in [-3_650 * DAY, -DAY, -15, 0, 15, DAY, 3_650 * DAY] {
        let store = InMemory::new();
        let mut first = Worker::start(&store, "a", 1, true);
        first.held().await;
        // It is killed; its clock had been that far off.
        drop(first.handle);
        store.shift_times(seconds);
        let seen = Instant::now();
        let mut second = Worker::start(&store, "b", 2, true);
        second.held().await;
        let waited = seen.elapsed();
        let once_more = DURATION + RETRY_AFTER;
        assert!(waited >= DURATION && waited <= once_more, "{seconds} s off: {waited:?}");
    }
}

/// Seconds of virtual time until nobody holds the Lease; none when that took too long.
async fn seconds_until_free(store: &InMemory) -> Option<f64> {
    let began = Instant::now();
    until_free(store, Duration::from_mins(1)).await.ok().map(|()| began.elapsed().as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_ledger_is_left_to_whoever_renews_the_lease() {
    let store = InMemory::new();
    assert!(seconds_until_free(&store).await.is_some_and(|waited| waited < 0.1), "there is none");
    let mut worker = Worker::start(&store, "b", 1, true);
    worker.held().await;
    let refused = until_free(&store, Duration::from_mins(1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "b holds the Lease");
    // Whether it is renewed, nobody can know who hears nothing.
    store.weather(Weather::Away);
    let refused = until_free(&store, Duration::from_mins(1)).await.unwrap_err();
    assert!(matches!(refused, Taken::Unheard), "{refused}");
    store.weather(Weather::Fine);
    worker.held().await;
    drop(worker);
    let waited = seconds_until_free(&store).await.unwrap();
    assert!((15.0..=21.0).contains(&waited), "seen unchanged for as long as it lasts: {waited}");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_not_taken_for_a_lease_that_nobody_renews() {
    let store = InMemory::new();
    let mut worker = Worker::start(&store, "b", 1, true);
    worker.held().await;
    let outage = async {
        pass(2.0).await;
        store.weather(Weather::Away);
        pass(20.0).await;
        store.weather(Weather::Fine);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        free = until_free(&store, Duration::from_mins(1)) => assert!(free.is_err(), "its holder lives"),
        () = outage => {}
    }
    worker.held().await;
}
