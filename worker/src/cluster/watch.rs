//! The watches: each a task that lists, then follows, and hands on every event as it came, in order.
//!
//! Why not kube's own watcher: it does not tell when a watch was opened anew without news, and that is what being able to
//! see is judged by. Lists are quorum reads. A watch is cut by the server after eight seconds and given up here after
//! ten, so that a dead connection is noticed before the worker counts as blind.
//!
//! News that was read late is no sign of life: a process that was paused finds in its sockets what was sent before. So
//! only an answer counts, as of the moment it was asked for; and after a time without one everything is listed anew, so
//! that what happened meanwhile is known together with being able to see.

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::core::{DeserializeGuard, Resource};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tradewind_crds::names;
use tradewind_crds::objects::Key;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

use super::facts::{HaltObject, StrategyFacts};
use super::sight::{SEEN_WITHIN, Which};

/// After this the server ends a watch.
const WATCH_SECONDS: u32 = 8;
/// After this a watch that the server has not ended is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// A list, or the opening of a watch, takes at most this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Objects a page of a list.
const PAGE: u32 = 500;
/// The first pause after a failure; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
/// Short against the time after which the worker is blind.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Inputs that wait to be taken in; a watch that cannot hand on waits, and is not seen alive.
pub const QUEUE: usize = 1024;

/// A change of objects.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<T> {
    /// All there are.
    Listed(Vec<T>),
    /// One was made or changed.
    Applied(T),
    /// One is gone.
    Deleted(T),
}

/// What a watch delivers.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// The `data` of the account's ConfigMap.
    Configuration(Change<std::collections::BTreeMap<String, String>>),
    /// Strategies of the account.
    Strategies(Change<StrategyFacts>),
    /// Halts of that namespace.
    Halts(String, Change<HaltObject>),
    /// Nothing but that it is alive.
    Alive,
}

/// One input of the loop.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// From which watch.
    pub which: Which,
    /// As of when the watch is known to be alive, by the local monotonic clock: when its list or its last opening was asked
    /// for.
    pub at: Instant,
    /// When it was heard.
    pub heard: Instant,
    /// What.
    pub seen: Seen,
}

/// What is to be watched.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Namespace and name of the account.
    pub account: Key,
    /// The operator's namespace.
    pub operator_namespace: String,
}

impl Scope {
    /// The watches that are needed to see.
    pub fn needed(&self) -> Vec<Which> {
        let mut needed = vec![Which::Strategies, Which::Halts];
        if self.operator_namespace != self.account.namespace {
            needed.push(Which::OperatorHalts);
        }
        needed
    }
}

/// Starts all watches. They end when the set is dropped.
pub fn start(client: &Client, scope: &Scope, inputs: &mpsc::Sender<Input>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Key { namespace, name } = &scope.account;
    let out = |which| Out { which, inputs: inputs.clone() };

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let fields = format!("metadata.name={}", names::config_map(name));
    let data = |map: ConfigMap| Some(map.data.unwrap_or_default());
    tasks.spawn(keep(maps, Some(fields), data, Seen::Configuration, out(Which::Configuration)));

    let kind = ApiResource::erase::<TradingStrategy>(&());
    let strategies: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
    let fields = format!("spec.exchangeAccountRef.name={name}");
    let read = |object: DynamicObject| StrategyFacts::read(&object);
    tasks.spawn(keep(strategies, Some(fields), read, Seen::Strategies, out(Which::Strategies)));

    let mut halts = |namespace: &str, which| {
        let api: Api<DeserializeGuard<TradingHalt>> = Api::namespaced(client.clone(), namespace);
        let namespace = namespace.to_owned();
        let wrap = move |change| Seen::Halts(namespace.clone(), change);
        tasks.spawn(keep(api, None, |object| Some(HaltObject::read(object)), wrap, out(which)));
    };
    halts(namespace, Which::Halts);
    if scope.operator_namespace != *namespace {
        halts(&scope.operator_namespace, Which::OperatorHalts);
    }
    tasks
}

/// Where a watch hands on what it got.
struct Out {
    which: Which,
    inputs: mpsc::Sender<Input>,
}

impl Out {
    /// False when nobody listens any more.
    async fn send(&self, at: Instant, seen: Seen) -> bool {
        let input = Input { which: self.which, at, heard: Instant::now(), seen };
        self.inputs.send(input).await.is_ok()
    }
}

/// Why a watch is not followed any more.
enum Broken {
    /// Its place in the history is lost, or too long ago: list anew.
    Expired,
    /// Nobody listens.
    Unheard,
}

/// Lists and follows for ever.
async fn keep<K, T>(
    api: Api<K>,
    fields: Option<String>,
    read: impl Fn(K) -> Option<T> + Send,
    wrap: impl Fn(Change<T>) -> Seen + Send,
    out: Out,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    T: Send,
{
    let mut pause = Pause::default();
    loop {
        let asked = Instant::now();
        match timeout(PATIENCE, list(&api, fields.as_deref())).await {
            Ok(Ok((objects, version))) => {
                pause.reset();
                let listed = objects.into_iter().filter_map(&read).collect();
                if !out.send(asked, wrap(Change::Listed(listed))).await {
                    return;
                }
                let mut watched = Watched { api: &api, fields: fields.as_deref(), version, alive: asked };
                if let Broken::Unheard = watched.follow(&read, &wrap, &out).await {
                    return;
                }
            }
            Ok(Err(error)) => pause.after(out.which, &error.to_string()).await,
            Err(_) => pause.after(out.which, "the API server does not answer").await,
        }
    }
}

/// All objects as of now, by a quorum read, and the place in the history they are of.
async fn list<K>(api: &Api<K>, fields: Option<&str>) -> kube::Result<(Vec<K>, String)>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut params = ListParams { field_selector: fields.map(str::to_owned), ..ListParams::default() };
    params.limit = Some(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = api.list(&params).await?;
        objects.extend(page.items);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok((objects, page.metadata.resource_version.unwrap_or_default()));
        }
    }
}

/// A watch and its place in the history.
struct Watched<'a, K> {
    api: &'a Api<K>,
    fields: Option<&'a str>,
    version: String,
    /// When the last answer was asked for.
    alive: Instant,
}

impl<'a, K> Watched<'a, K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Opens it where it was left. Without words when that place is lost.
    async fn open(
        &self,
        params: &WatchParams,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<K>>> + use<'a, K>, Option<String>> {
        match timeout(PATIENCE, self.api.watch(params, &self.version)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => Err(None),
            Ok(Err(error)) => Err(Some(error.to_string())),
            Err(_) => Err(Some("the API server does not answer".to_owned())),
        }
    }

    async fn follow<T>(
        &mut self,
        read: &(impl Fn(K) -> Option<T> + Send),
        wrap: &(impl Fn(Change<T>) -> Seen + Send),
        out: &Out,
    ) -> Broken
    where
        T: Send,
    {
        let params = WatchParams {
            field_selector: self.fields.map(str::to_owned),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            ..WatchParams::default()
        };
        let mut pause = Pause::default();
        loop {
            let opened = Instant::now();
            let stream = match self.open(&params).await {
                Ok(stream) => stream,
                Err(None) => return Broken::Expired,
                Err(Some(error)) => {
                    pause.after(out.which, &error).await;
                    continue;
                }
            };
            if opened.saturating_duration_since(self.alive) >= SEEN_WITHIN {
                return Broken::Expired;
            }
            self.alive = opened;
            if !out.send(opened, Seen::Alive).await {
                return Broken::Unheard;
            }
            let mut stream = pin!(stream);
            let ended = loop {
                let change = match timeout_at(opened + SILENCE, stream.next()).await {
                    Err(_) | Ok(None) => break None,
                    Ok(Some(Err(error))) => break Some(error.to_string()),
                    Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => {
                        if goes_back(&self.version, &mark.metadata.resource_version) {
                            return Broken::Expired;
                        }
                        self.version = mark.metadata.resource_version;
                        None
                    }
                    Ok(Some(Ok(WatchEvent::Error(status)))) if status.code == 410 => return Broken::Expired,
                    Ok(Some(Ok(WatchEvent::Error(status)))) => break Some(status.to_string()),
                    Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                        self.version = object.resource_version().unwrap_or_default();
                        read(object).map(Change::Applied)
                    }
                    Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                        self.version = object.resource_version().unwrap_or_default();
                        read(object).map(Change::Deleted)
                    }
                };
                if !out.send(opened, change.map_or(Seen::Alive, wrap)).await {
                    return Broken::Unheard;
                }
            };
            match ended {
                // Ended in its time: go on at once.
                None if opened.elapsed() >= Duration::from_secs(1) => pause.reset(),
                None => pause.after(out.which, "the watch was ended at once").await,
                Some(error) => pause.after(out.which, &error).await,
            }
        }
    }
}

/// Whether the history goes back, as after the restoration of a backup: what happened since then was not told.
fn goes_back(from: &str, to: &str) -> bool {
    from.parse::<u64>().ok().zip(to.parse::<u64>().ok()).is_some_and(|(from, to)| to < from)
}

/// Ever longer pauses between failures; each run of failures is told once.
#[derive(Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    fn reset(&mut self) {
        self.failures = 0;
    }

    async fn after(&mut self, which: Which, error: &str) {
        if self.failures == 0 {
            tracing::warn!(watch = %which, error, "watch failed; trying again");
        } else {
            tracing::debug!(watch = %which, error, failures = self.failures, "watch failed again");
        }
        let doubled = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(8)));
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(doubled.min(LONGEST_PAUSE)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::extract::Request;
    use serde_json::json;
    use tokio::sync::Mutex;

    use super::*;

    #[test]
    fn a_history_that_goes_back_is_listed_anew_and_one_nobody_can_compare_is_followed() {
        assert!(goes_back("1200", "900"));
        assert!(!goes_back("900", "900") && !goes_back("900", "1200"));
        assert!(!goes_back("", "900") && !goes_back("a1200", "900"));
    }

    /// An API server with one ConfigMap, whose watches say what the test sends, and what it was asked, in one word each.
    fn server(said: mpsc::Receiver<String>) -> (Client, mpsc::UnboundedReceiver<&'static str>) {
        let (requests, asked) = mpsc::unbounded_channel();
        let said = Arc::new(Mutex::new(said));
        let answer = move |request: Request| {
            let (requests, said) = (requests.clone(), Arc::clone(&said));
            async move {
                let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
                requests.send(if is_watch { "watch" } else { "list" }).unwrap();
                if !is_watch {
                    let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "5"},
                        "items": [{"metadata": {"name": "paper-config", "resourceVersion": "5"}}]});
                    return Body::from(list.to_string());
                }
                // An empty text ends the watch.
                Body::from_stream(futures::stream::unfold(said, |said| async move {
                    let text = said.lock().await.recv().await.filter(|text| !text.is_empty())?;
                    Some((Ok::<_, std::io::Error>(text), said))
                }))
            }
        };
        (Client::new(Router::new().fallback(answer), "desk"), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_paused_process_finds_in_its_sockets_is_no_sign_of_life_and_all_is_listed_anew() {
        let (say, said) = mpsc::channel(8);
        let (client, mut asked) = server(said);
        let (inputs, mut incoming) = mpsc::channel(QUEUE);
        let maps: Api<ConfigMap> = Api::namespaced(client, "desk");
        let data = |map: ConfigMap| Some(map.data.unwrap_or_default());
        let out = Out { which: Which::Configuration, inputs };
        let start = Instant::now();
        let watching = tokio::spawn(keep(maps, None, data, Seen::Configuration, out));
        let listed = |input: &Input| matches!(input.seen, Seen::Configuration(Change::Listed(_)));
        assert!(listed(&incoming.recv().await.unwrap()));
        assert_eq!(incoming.recv().await.unwrap().seen, Seen::Alive);

        // Sent before the pause or during it, read after it.
        let event = json!({"type": "MODIFIED", "object": {"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "paper-config", "resourceVersion": "6"}}});
        say.send(format!("{event}\n")).await.unwrap();
        say.send(String::new()).await.unwrap();
        tokio::time::advance(Duration::from_secs(18)).await;
        let mut late = Vec::new();
        let anew = loop {
            let input = incoming.recv().await.unwrap();
            if listed(&input) {
                break input;
            }
            late.push(input);
        };
        assert!(late.iter().all(|input| input.at < start + Duration::from_secs(1)), "{late:?}");
        assert!(anew.at >= start + Duration::from_secs(18), "{anew:?}");
        let requests: Vec<&str> = std::iter::from_fn(|| asked.try_recv().ok()).collect();
        assert_eq!(requests[..4], ["list", "watch", "watch", "list"]);
        watching.abort();
    }
}
