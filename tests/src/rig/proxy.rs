//! A proxy between a program and the API server that does what networks and API servers do on a bad day.
//!
//! It counts the writes that pass (Leases and events aside, whose number depends on time) and strikes one of them: the
//! answer is lost, or the request is refused, or the test is told that the write was carried out, to kill the writer.
//! Watches can be frozen: what happens meanwhile arrives later and only in part, or is lost and has to be listed anew;
//! and who starts meanwhile can be told the past. Single objects are always read as they are.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
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

/// How a frozen watch goes on when it is thawed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thaw {
    /// With the last event of each object.
    LastOfEach,
    /// With nothing but the word that it is too old: all has to be listed anew.
    TooOld,
}

/// What watches do not show.
#[derive(Debug, Clone, Default)]
struct Frozen {
    plurals: Vec<String>,
    /// Lists are answered as of this resourceVersion.
    past: Option<String>,
    lost: bool,
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
    /// Whether it was a write that is counted.
    pub write: bool,
    /// What the API server (or a fault) answered.
    pub status: u16,
}

impl Passed {
    /// What was asked for: method and path.
    pub fn request(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A blow that is still to come.
struct Blow {
    request: String,
    /// How often that request passes before.
    spared: usize,
    fault: Fault,
}

#[derive(Default)]
struct Book {
    writes: usize,
    blow: Option<Blow>,
    struck: bool,
    passed: Vec<Passed>,
}

struct Shared {
    upstream: Client,
    book: Mutex<Book>,
    frozen: watch::Sender<Frozen>,
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
        let (end, ended) = watch::channel(false);
        let (tell, told) = std::sync::mpsc::channel();
        // Its client on a thread of its own as well: a test may wait without yielding.
        std::thread::spawn(move || {
            crate::block_on(async move {
                let upstream = ClientBuilder::try_from(config).expect("a client").build();
                let shared = Arc::new(Shared {
                    upstream,
                    book: Mutex::new(Book::default()),
                    frozen: watch::channel(Frozen::default()).0,
                    held: watch::channel(false).0,
                });
                let app = Router::new().fallback(pass).with_state(Arc::clone(&shared));
                let listener =
                    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
                let address = listener.local_addr().expect("its address");
                tell.send((shared, address)).expect("the test waits");
                let mut ended = ended;
                tokio::select! {
                    served = axum::serve(listener, app).into_future() => served.expect("it serves"),
                    _ = ended.wait_for(|end| *end) => {}
                }
            });
        });
        let (shared, address) = told.recv().expect("it listens");
        Self { shared, address, end }
    }

    /// Where programs find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Strikes the n-th of the writes from now on that are that request, counted from one.
    pub fn strike(&self, request: &str, nth: usize, fault: Fault) {
        let blow = Blow { request: request.to_owned(), spared: nth.saturating_sub(1), fault };
        let mut book = self.shared.book.lock().expect("nobody panics while holding it");
        (book.blow, book.struck) = (Some(blow), false);
    }

    /// Strikes no more.
    pub fn spare(&self) {
        let mut book = self.shared.book.lock().expect("nobody panics while holding it");
        (book.blow, book.struck) = (None, false);
    }

    /// Writes since the start.
    pub fn writes(&self) -> usize {
        self.shared.book.lock().expect("nobody panics while holding it").writes
    }

    /// Whether the fault has struck.
    pub fn has_struck(&self) -> bool {
        self.shared.book.lock().expect("nobody panics while holding it").struck
    }

    /// Waits until a held write has been carried out: the moment to kill.
    pub async fn held(&self) {
        let mut held = self.shared.held.subscribe();
        drop(held.wait_for(|held| *held).await);
    }

    /// Lets go of what is held.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Freezes the watches of those plurals.
    pub fn freeze(&self, plurals: &[&str]) {
        let plurals = plurals.iter().map(|plural| (*plural).to_owned()).collect();
        self.shared.frozen.send_replace(Frozen { plurals, ..Frozen::default() });
    }

    /// As [`Self::freeze`], and lists of them are answered as of that resourceVersion, as by an API server that lags
    /// behind.
    pub fn freeze_as_of(&self, plurals: &[&str], past: &str) {
        self.freeze(plurals);
        self.shared.frozen.send_modify(|frozen| frozen.past = Some(past.to_owned()));
    }

    /// Lets all watches go on.
    pub fn thaw(&self, how: Thaw) {
        let lost = how == Thaw::TooOld;
        self.shared.frozen.send_replace(Frozen { lost, ..Frozen::default() });
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
    let write = is_write(&parts.method, &path);
    let fault = write.then(|| shared.next_write(&format!("{} {path}", parts.method))).flatten();
    let passed = |status: StatusCode| Passed {
        method: parts.method.to_string(),
        path: path.clone(),
        watch,
        write,
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
    let plural = path.rsplit('/').next().unwrap_or_default().to_owned();
    let target = shared.as_of(&parts, watch, &plural);
    let mut upstream = axum::http::Request::builder().method(parts.method.clone()).uri(target);
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

/// What an API server says in a watch that starts before what it remembers.
const TOO_OLD: &[u8] = br#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}
"#;

/// The events of a watch, one line each; kept back while it is frozen.
fn events(shared: &Arc<Shared>, plural: String, body: kube::client::Body) -> Body {
    let mut frozen = shared.frozen.subscribe();
    let mut data = body.into_data_stream();
    let lines = async_stream(move |out| async move {
        let mut rest: Vec<u8> = Vec::new();
        let mut kept: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut was_frozen = false;
        loop {
            let (is_frozen, lost) = {
                let now = frozen.borrow_and_update();
                (now.plurals.contains(&plural), now.lost)
            };
            if was_frozen && !is_frozen && lost {
                drop(out.send(TOO_OLD.to_vec()).await);
                return;
            }
            was_frozen = is_frozen;
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
                if is_frozen {
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
    /// Where a request leads: a list of what is frozen into the past, if that was asked for.
    fn as_of(&self, parts: &Parts, watch: bool, plural: &str) -> String {
        let frozen = self.frozen.borrow();
        let query = parts.uri.query().unwrap_or_default();
        let list = parts.method == Method::GET && !watch && frozen.plurals.iter().any(|one| one == plural);
        match frozen.past.as_ref().filter(|_| list && !query.contains("continue=")) {
            Some(past) => {
                format!("{}?{query}&resourceVersion={past}&resourceVersionMatch=Exact", parts.uri.path())
            }
            None => parts.uri.to_string(),
        }
    }

    fn next_write(&self, request: &str) -> Option<Fault> {
        let mut book = self.book.lock().expect("nobody panics while holding it");
        book.writes += 1;
        let blow = book.blow.as_mut().filter(|blow| blow.request == request)?;
        if blow.spared > 0 {
            blow.spared -= 1;
            return None;
        }
        let fault = blow.fault;
        (book.blow, book.struck) = (None, true);
        Some(fault)
    }

    fn note(&self, passed: Passed) {
        self.book.lock().expect("nobody panics while holding it").passed.push(passed);
    }
}
