//! Two candidates and a Lease: an API server of one object, in memory and in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tradewind_operator::leader::{Claim, Leader};
use tradewind_operator::settings::{Args, Settings};

/// One Lease with optimistic locking, as the API server keeps it.
#[derive(Default)]
struct Server {
    lease: Option<Value>,
    version: u64,
    /// Requests are answered by an error.
    broken: bool,
    /// Writes are carried out and their answers lost.
    mute: bool,
    writes: u64,
}

type Shared = Arc<Mutex<Server>>;
type Answer = (StatusCode, Json<Value>);

fn refused(code: StatusCode, reason: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason,
        "code": code.as_u16(),
    });
    (code, Json(status))
}

async fn read(State(server): State<Shared>) -> Answer {
    let server = server.lock().unwrap();
    match &server.lease {
        _ if server.broken => refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        None => refused(StatusCode::NOT_FOUND, "NotFound"),
        Some(lease) => (StatusCode::OK, Json(lease.clone())),
    }
}

async fn write(State(shared): State<Shared>, Json(mut lease): Json<Value>) -> Answer {
    let mute = {
        let mut server = shared.lock().unwrap();
        if server.broken {
            return refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError");
        }
        let sent = lease["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let found = server.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        if sent != found.as_ref().and_then(Value::as_str).map(str::to_owned) {
            return refused(StatusCode::CONFLICT, if sent.is_none() { "AlreadyExists" } else { "Conflict" });
        }
        server.version += 1;
        server.writes += 1;
        lease["metadata"]["resourceVersion"] = json!(server.version.to_string());
        lease["metadata"]["uid"] = json!("one");
        server.lease = Some(lease.clone());
        server.mute
    };
    if mute {
        std::future::pending::<()>().await;
    }
    (StatusCode::OK, Json(lease))
}

fn client(server: &Shared) -> Client {
    let leases = "/apis/coordination.k8s.io/v1/namespaces/system/leases";
    let router = Router::new()
        .route(leases, post(write))
        .route(&format!("{leases}/tradewind-operator"), get(read).put(write))
        .with_state(Arc::clone(server));
    Client::new(router, "system")
}

struct Candidate {
    claim: Claim,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

fn candidate(server: &Shared, name: &str) -> Candidate {
    let args =
        ["op", "--namespace=system", "--worker-image=w", &format!("--pod-name={name}")].map(str::to_owned);
    let settings = Settings::of(Args::try_parse_from(args).unwrap()).unwrap();
    let (leader, claim) = Leader::new(client(server), &settings);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(leader.run(async { drop(stopped.await) }));
    Candidate { claim, stop: Some(stop), task }
}

impl Candidate {
    async fn leads(&mut self) -> Duration {
        let begun = Instant::now();
        tokio::time::timeout(Duration::from_mins(1), self.claim.gained()).await.expect("it never leads");
        begun.elapsed()
    }

    async fn loses(&mut self) -> Duration {
        let begun = Instant::now();
        tokio::time::timeout(Duration::from_mins(1), self.claim.lost()).await.expect("it leads on");
        begun.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_leads_and_the_second_waits_as_long_as_the_first_renews() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    assert!(first.leads().await < Duration::from_secs(1));
    let second = candidate(&server, "b");
    let mut lost = first.claim.clone();
    let waited = tokio::time::timeout(Duration::from_mins(2), lost.lost()).await;
    assert!(waited.is_err(), "the first lost its claim while it renewed");
    assert!(first.claim.leads() && !second.claim.leads());
    let writes = server.lock().unwrap().writes;
    assert!((20..=30).contains(&writes), "{writes} writes in two minutes, one each five seconds was meant");
}

#[tokio::test(start_paused = true)]
async fn who_ends_as_asked_hands_over_at_once() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.leads().await;
    let mut second = candidate(&server, "b");
    first.stop.take().unwrap().send(()).unwrap();
    assert!(second.leads().await <= Duration::from_secs(6));
    assert!(!first.claim.leads());
    assert_eq!(server.lock().unwrap().lease.as_ref().unwrap()["spec"]["leaseTransitions"], 2);
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_followed_after_the_duration_and_not_before() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.leads().await;
    first.task.abort();
    let mut second = candidate(&server, "b");
    let took = second.leads().await;
    assert!((15..=21).contains(&took.as_secs()), "took over after {took:?}");
    assert!(!first.claim.leads(), "a claim ends by itself before another begins");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_gives_up_before_another_may_take_over_and_comes_back() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.leads().await;
    server.lock().unwrap().broken = true;
    let took = first.loses().await;
    assert!(took <= Duration::from_secs(10), "gave up only after {took:?}");
    server.lock().unwrap().broken = false;
    assert!(first.leads().await <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_costs_nothing_but_a_read() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.leads().await;
    server.lock().unwrap().mute = true;
    let writes = server.lock().unwrap().writes;
    let mut claim = first.claim.clone();
    let lost = tokio::time::timeout(Duration::from_secs(8), claim.lost()).await;
    assert!(lost.is_err(), "one lost answer ended the claim");
    assert!(server.lock().unwrap().writes > writes);
    server.lock().unwrap().mute = false;
    first.leads().await;
    let lost = tokio::time::timeout(Duration::from_mins(1), claim.lost()).await;
    assert!(lost.is_err(), "it did not find its own Lease again");
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_by_force_ends_the_claim_at_the_next_renewal() {
    let server = Shared::default();
    let mut first = candidate(&server, "a");
    first.leads().await;
    {
        let mut server = server.lock().unwrap();
        server.version += 1;
        let version = server.version.to_string();
        let lease = server.lease.as_mut().unwrap();
        lease["metadata"]["resourceVersion"] = json!(version);
        lease["spec"]["holderIdentity"] = json!("z");
    }
    assert!(first.loses().await <= Duration::from_secs(5));
}
