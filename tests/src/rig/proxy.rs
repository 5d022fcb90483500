//! A proxy between a program and the API server that does what networks and API servers do on a bad day.
//!
//! It counts the writes that pass (Leases and events aside, whose number depends on time) and strikes at the n-th: the
//! answer is lost, or the request is refused, or the test is told that the write was carried out, to kill the writer.
//! Watches can be frozen and made to lose what happened in between. Reads pass untouched.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cluster::Cluster;

/// Largest body of a request.
const LARGEST: usize = 4 << 20;

/// What befalls a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out, and its answer never arrives: the connection ends.
    LoseAnswer,
    /// It is not carried out and refused with that status, once.
    Refuse(u16),
    /// It is carried out, its answer held back until the test has killed whoever waits for it.
    Hold,
}

/// One request that passed.
#[derive(Debug, Clone)]
pub struct Passed {
    /// `GET`, `PATCH` …
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Whether it was a watch.
    pub watch: bool,
    /// What the API server (or a fault) answered.
    pub status: u16,
}

#[derive(Default)]
struct Book {
    writes: usize,
    strike: Option<(usize, Fault)>,
    struck: bool,
    passed: Vec<Passed>,
}

struct Shared {
    upstream: Client,
    book: Mutex<Book>,
    /// Plurals whose watches are frozen; while one is, its events are kept back and on thawing only the last of each
    /// object is passed on.
    frozen: watch::Sender<Vec<String>>,
    held: watch::Sender<bool>,
}

/// A running proxy. Dropped, it ends.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    end: watch::Sender<bool>,
}

impl Proxy {
    /// Starts one before that cluster's API server. Who comes through it brings a token of its own.
    pub async fn start(cluster: &Cluster) -> Self {
        let mut file = Kubeconfig::read_from(cluster.kubeconfig()).expect("the cluster's kubeconfig");
        for user in &mut file.auth_infos {
            user.auth_info = None;
        }
        let options = KubeConfigOptions::default();
        let mut config = kube::Config::from_custom_kubeconfig(file, &options).await.expect("a cluster");
        config.default_retry = false;
        let upstream = ClientBuilder::try_from(config).expect("a client").build();
        let shared = Arc::new(Shared {
            upstream,
            book: Mutex::new(Book::default()),
            frozen: watch::channel(Vec::new()).0,
            held: watch::channel(false).0,
        });
        let (end, ended) = watch::channel(false);
        let (tell, told) = std::sync::mpsc::channel();
        let app = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        std::thread::spawn(move || {
            crate::block_on(async move {
                let listener =
                    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
                tell.send(listener.local_addr().expect("its address")).expect("the test waits");
                let mut ended = ended;
                tokio::select! {
                    served = axum::serve(listener, app).into_future() => served.expect("it serves"),
                    _ = ended.wait_for(|end| *end) => {}
                }
            });
        });
        let address = told.recv().expect("it listens");
        Self { shared, address, end }
    }

    /// Where programs find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Strikes at the n-th write from now on, counted from one.
    pub fn strike(&self, nth: usize, fault: Fault) {
        let mut book = self.shared.book.lock().expect("nobody panics while holding it");
        (book.writes, book.strike, book.struck) = (0, Some((nth, fault)), false);
    }

    /// Writes since the start, or since the last [`Self::strike`].
    pub fn writes(&self) -> usize {
        self.shared.book.lock().expect("nobody panics while holding it").writes
    }

    /// Whether the fault has struck.
    pub fn has_struck(&self) -> bool {
        self.shared.book.lock().expect("nobody panics while holding it").struck
    }

    /// Waits until a held write has been carried out: the moment to kill.
    pub async fn held(&self, patience: Duration) -> bool {
        let mut held = self.shared.held.subscribe();
        tokio::time::timeout(patience, held.wait_for(|held| *held)).await.is_ok()
    }

    /// Lets go of what is held.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Freezes the watches of those plurals; an empty list thaws all.
    pub fn freeze(&self, plurals: &[&str]) {
        self.shared.frozen.send_replace(plurals.iter().map(|plural| (*plural).to_owned()).collect());
    }

    /// What has passed, and forgets it.
    pub fn take_passed(&self) -> Vec<Passed> {
        std::mem::take(&mut self.shared.book.lock().expect("nobody panics while holding it").passed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.held.send_replace(false);
        self.end.send_replace(true);
    }
}

/// Whether a request changes what the tests compare.
fn is_write(method: &Method, path: &str) -> bool {
    let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    changes && !["/leases", "/events", "/selfsubjectaccessreviews"].iter().any(|part| path.contains(part))
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let watch =
        parts.uri.query().is_some_and(|query| query.contains("watch=true") || query.contains("watch=1"));
    let fault = is_write(&parts.method, &path).then(|| shared.next_write()).flatten();
    let passed = |status: StatusCode| Passed {
        method: parts.method.to_string(),
        path: path.clone(),
        watch,
        status: status.as_u16(),
    };
    if let Some(Fault::Refuse(status)) = fault {
        let status = StatusCode::from_u16(status).expect("a status");
        shared.note(passed(status));
        return refusal(status);
    }
    let Ok(bytes) = to_bytes(body, LARGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let mut upstream = axum::http::Request::builder().method(parts.method.clone()).uri(parts.uri.clone());
    if let Some(headers) = upstream.headers_mut() {
        *headers = forwarded(&parts.headers);
    }
    let upstream = upstream.body(kube::client::Body::from(bytes.to_vec())).expect("a request");
    let answer = match shared.upstream.send(upstream).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    shared.note(passed(answer.status()));
    match fault {
        Some(Fault::LoseAnswer) => return cut_off(),
        Some(Fault::Hold) => {
            shared.held.send_replace(true);
            let mut held = shared.held.subscribe();
            drop(held.wait_for(|held| !*held).await);
            return cut_off();
        }
        _ => {}
    }
    let (mut head, body) = answer.into_parts();
    for hop in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONNECTION] {
        head.headers.remove(hop);
    }
    let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
    let body = if watch { events(&shared, plural, body) } else { Body::new(body) };
    Response::from_parts(head, body)
}

fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for hop in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION, header::ACCEPT_ENCODING] {
        headers.remove(hop);
    }
    headers
}

/// A connection that ends in the middle of an answer.
fn cut_off() -> Response {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut off")) });
    Response::new(Body::from_stream(broken))
}

/// What an API server says when it does not want to.
fn refusal(status: StatusCode) -> Response {
    let reason = match status.as_u16() {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body: Value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "refused by a test", "reason": reason, "code": status.as_u16()});
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The events of a watch, one line each; kept back while frozen, and then only the last of each object.
fn events(shared: &Arc<Shared>, plural: String, body: kube::client::Body) -> Body {
    let mut frozen = shared.frozen.subscribe();
    let mut data = body.into_data_stream();
    let lines = async_stream(move |out| async move {
        let mut rest: Vec<u8> = Vec::new();
        let mut kept: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        loop {
            let is_frozen = frozen.borrow_and_update().contains(&plural);
            if !is_frozen {
                for line in std::mem::take(&mut kept).into_values() {
                    if out.send(line).await.is_err() {
                        return;
                    }
                }
            }
            let chunk = tokio::select! {
                changed = frozen.changed() => { if changed.is_err() { return; } continue }
                chunk = data.next() => chunk,
            };
            let Some(Ok(chunk)) = chunk else { return };
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                if frozen.borrow().contains(&plural) {
                    kept.insert(object_of(&line), line);
                } else if out.send(line).await.is_err() {
                    return;
                }
            }
        }
    });
    Body::from_stream(lines)
}

/// A stream of what a task sends.
fn async_stream<F, T>(task: F) -> impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> + use<F, T>
where
    F: FnOnce(tokio::sync::mpsc::Sender<Vec<u8>>) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(task(sender));
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|line| (Ok(line), receiver))
    })
}

/// The uid of the object of an event; bookmarks and errors share one place.
fn object_of(line: &[u8]) -> String {
    let event: Value = serde_json::from_slice(line).unwrap_or_default();
    event["object"]["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

impl Shared {
    fn next_write(&self) -> Option<Fault> {
        let mut book = self.book.lock().expect("nobody panics while holding it");
        book.writes += 1;
        let now = book.writes;
        let due = book.strike.filter(|(nth, _)| *nth == now && !book.struck)?;
        book.struck = true;
        Some(due.1)
    }

    fn note(&self, passed: Passed) {
        self.book.lock().expect("nobody panics while holding it").passed.push(passed);
    }
}
