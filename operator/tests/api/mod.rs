//! A scripted API server in memory: lists, watches, merge and apply patches, and faults on demand. It has no schema, no
//! field managers and no admission; what those do is proven on a real one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const OURS: &str = "tradewind.dev/v1alpha1";

/// The server; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(crate) struct Inner {
    version: u64,
    /// By resource, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    watchers: Vec<(String, UnboundedSender<Bytes>)>,
    /// How often each resource was watched.
    pub(crate) watched: BTreeMap<String, u32>,
    /// Method and path of each request that writes.
    pub(crate) writes: Vec<String>,
    /// Resources served by our group; none: the group is not there.
    pub(crate) served: Vec<String>,
    /// The code that writes are refused with.
    pub(crate) refuse: Option<u16>,
}

impl Api {
    /// A server with our four kinds.
    pub(crate) fn new() -> Self {
        let api = Self::default();
        let kinds = ["exchangeaccounts", "tradingstrategies", "riskpolicies", "tradinghalts"];
        api.lock().served =
            kinds.iter().flat_map(|kind| [(*kind).to_owned(), format!("{kind}/status")]).collect();
        api
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(Router::new().fallback(answer).with_state(self.clone()), "default")
    }

    /// Puts an object in, as somebody else would, and tells the watches.
    pub(crate) fn put(&self, resource: &str, object: Value) {
        self.lock().put(resource, object);
    }

    /// Takes an object out; `told` is whether the watches hear of it.
    pub(crate) fn remove(&self, resource: &str, namespace: &str, name: &str, told: bool) {
        let mut inner = self.lock();
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let gone = inner.objects.remove(&key).expect("no such object");
        inner.version += 1;
        if told {
            inner.tell(resource, "DELETED", &gone);
        }
    }

    /// Ends the watches of a resource as the API server does when it no longer knows the version.
    pub(crate) fn expire(&self, resource: &str) {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410,
            "reason": "Expired", "message": "too old"});
        self.lock().tell(resource, "ERROR", &gone);
        self.lock().watchers.retain(|(watched, _)| watched != resource);
    }

    /// The object, as it is now.
    pub(crate) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.lock().objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }
}

impl Inner {
    fn put(&mut self, resource: &str, mut object: Value) -> Value {
        self.version += 1;
        let version = self.version.to_string();
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = (resource.to_owned(), text("namespace"), text("name"));
        object["metadata"]["resourceVersion"] = json!(version);
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.version));
        }
        let known = self.objects.insert(key, object.clone()).is_some();
        self.tell(resource, if known { "MODIFIED" } else { "ADDED" }, &object);
        object
    }

    fn tell(&mut self, resource: &str, what: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": what, "object": object})));
        self.watchers.retain(|(watched, sender)| watched != resource || sender.send(line.clone()).is_ok());
    }
}

fn refused(code: u16, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": "as the test wants it"});
    reply(code, &status)
}

fn reply(code: u16, value: &Value) -> Response {
    (StatusCode::from_u16(code).unwrap(), value.to_string()).into_response()
}

/// Resource, namespace, name and subresource of a path; empty where it has none.
fn parse(path: &str) -> [String; 4] {
    let mut parts =
        path.trim_start_matches('/').split('/').skip(if path.starts_with("/api/") { 2 } else { 3 });
    let mut first = parts.next().unwrap_or_default();
    let mut namespace = "";
    if first == "namespaces" {
        namespace = parts.next().unwrap_or_default();
        first = parts.next().unwrap_or_default();
    }
    let (name, sub) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    [first, namespace, name, sub].map(str::to_owned)
}

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let [resource, namespace, name, sub] = parse(&path);
    let mut inner = api.lock();
    if path == format!("/apis/{OURS}") {
        return discovery(&inner);
    }
    if method == Method::GET {
        return match (name.is_empty(), query.contains("watch=true")) {
            (true, true) => watch(&mut inner, &resource),
            (true, false) => list(&inner, &resource, &namespace),
            (false, _) => {
                let found = inner.objects.get(&(resource, namespace, name));
                found.map_or_else(|| refused(404, "NotFound"), |object| reply(200, object))
            }
        };
    }
    inner.writes.push(format!("{method} {path}"));
    if let Some(code) = inner.refuse {
        return refused(code, "InternalError");
    }
    let mut sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    if method == Method::POST {
        sent["metadata"]["namespace"] = json!(namespace);
        return reply(201, &inner.put(&resource, sent));
    }
    let key = (resource.clone(), namespace, name);
    let Some(mut found) = inner.objects.get(&key).cloned() else { return refused(404, "NotFound") };
    if sub == "status" {
        found["status"] = sent["status"].take();
    } else {
        merge(&mut found, &sent);
    }
    reply(200, &inner.put(&resource, found))
}

fn merge(found: &mut Value, sent: &Value) {
    match (found, sent) {
        (Value::Object(found), Value::Object(sent)) => {
            for (name, value) in sent.iter().filter(|(name, _)| *name != "resourceVersion") {
                merge(found.entry(name).or_insert(Value::Null), value);
            }
        }
        (found, sent) => found.clone_from(sent),
    }
}

fn discovery(inner: &Inner) -> Response {
    if inner.served.is_empty() {
        return refused(404, "NotFound");
    }
    let resources = inner
        .served
        .iter()
        .map(|name| json!({"name": name, "singularName": "", "namespaced": true, "kind": "x", "verbs": []}));
    let resources: Vec<Value> = resources.collect();
    reply(200, &json!({"kind": "APIResourceList", "groupVersion": OURS, "resources": resources}))
}

fn list(inner: &Inner, resource: &str, namespace: &str) -> Response {
    let fits =
        |key: &(String, String, String)| key.0 == resource && (namespace.is_empty() || key.1 == namespace);
    let items: Vec<&Value> =
        inner.objects.iter().filter(|(key, _)| fits(key)).map(|(_, value)| value).collect();
    let meta = json!({"resourceVersion": inner.version.to_string()});
    reply(200, &json!({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items}))
}

/// Says nothing until something happens; it has to be given up by the client.
fn watch(inner: &mut Inner, resource: &str) -> Response {
    *inner.watched.entry(resource.to_owned()).or_default() += 1;
    let (sender, receiver) = unbounded_channel();
    inner.watchers.push((resource.to_owned(), sender));
    let next =
        |mut receiver: UnboundedReceiver<Bytes>| async { receiver.recv().await.map(|line| (line, receiver)) };
    let lines = futures::stream::unfold(receiver, next).map(Ok::<_, Infallible>);
    Body::from_stream(lines).into_response()
}
