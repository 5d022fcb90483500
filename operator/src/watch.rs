//! The watches: each event to the latch, into the stores, and to the queues of whom it concerns.
//!
//! Each watch lists by a quorum read, is opened anew each half minute, so that a connection that froze is noticed, and
//! comes back by itself with a pause that grows. While it is away the stores keep what they had. The worker's Lease is
//! not watched: it changes each few seconds, and nobody here needs it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::Api;
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use strum::IntoEnumIterator;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names;
use tradewind_crds::objects::Key;
use tradewind_crds::risk_policy::RiskPolicy;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

use crate::context::Context;
use crate::settings::Scope;
use crate::stores::cache::{Cache, Entry};
use crate::stores::lean::lean;
use crate::stores::{Child, ChildKind, PodView};
use crate::triggers::{self, Concerns};

/// Seconds until the API server ends a watch and it is opened anew; a connection that froze is given up 5 s later.
const REOPEN: u32 = 30;
/// Objects in one page of a list: a bound on the memory the start takes.
const PAGE: u32 = 200;

/// The pause between two tries of a watch that fails: from half a second to five, so that an API server that is back is
/// seen soon.
struct Pause(Duration);

impl Pause {
    const SHORTEST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(5);
}

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = pause.saturating_mul(2).min(Self::LONGEST);
        Some(pause)
    }
}

impl Backoff for Pause {
    fn reset(&mut self) {
        self.0 = Self::SHORTEST;
    }
}

/// Where the events of one watch go.
trait Sink: Send + Sync {
    /// What is watched.
    type Watched: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static;

    /// An object as it is now.
    fn apply(&self, ctx: &Arc<Context>, object: Self::Watched);
    /// An object that is gone.
    fn remove(&self, ctx: &Arc<Context>, key: &Key);
    /// What the stores have and a complete list of the namespace, or of all, had not.
    fn missing(&self, ctx: &Context, namespace: Option<&str>, seen: &BTreeSet<Key>) -> Vec<Key>;
}

/// One watch, to be polled forever.
pub type Watch = BoxFuture<'static, ()>;

/// All watches. None of them ever ends; whoever drops them stops watching.
pub fn all(ctx: &Arc<Context>) -> Vec<Watch> {
    let mut watches = Vec::new();
    let ours = watcher::Config::default();
    watches.extend(follow_scope(ctx, &ours, false, || Kinds::<ExchangeAccount>(PhantomData)));
    watches.extend(follow_scope(ctx, &ours, false, || Kinds::<TradingStrategy>(PhantomData)));
    watches.extend(follow_scope(ctx, &ours, false, || Kinds::<RiskPolicy>(PhantomData)));
    // Halts made in the operator's namespace reach everything, whether or not it is looked after otherwise.
    watches.extend(follow_scope(ctx, &ours, true, || Kinds::<TradingHalt>(PhantomData)));
    let label = format!("{}={}", names::COMPONENT_LABEL, names::COMPONENT_WORKER);
    let workers = watcher::Config::default().labels(&label);
    watches.extend(follow_scope(ctx, &workers, false, || Pods));
    for kind in ChildKind::iter() {
        watches.extend(follow_children(ctx, &workers, kind));
    }
    watches
}

fn follow_children(ctx: &Arc<Context>, config: &watcher::Config, kind: ChildKind) -> Vec<Watch> {
    fn follow<K>(ctx: &Arc<Context>, config: &watcher::Config, kind: ChildKind, own: bool) -> Vec<Watch>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
    {
        follow_scope(ctx, config, own, || Metadata::<K>(kind, PhantomData))
    }
    match kind {
        ChildKind::ServiceAccount => follow::<ServiceAccount>(ctx, config, kind, false),
        // The operator's namespace holds what lets workers read the halts there.
        ChildKind::Role => follow::<Role>(ctx, config, kind, true),
        ChildKind::RoleBinding => follow::<RoleBinding>(ctx, config, kind, true),
        ChildKind::ConfigMap => follow::<ConfigMap>(ctx, config, kind, false),
        ChildKind::PersistentVolumeClaim => follow::<PersistentVolumeClaim>(ctx, config, kind, false),
        ChildKind::Service => follow::<Service>(ctx, config, kind, false),
        ChildKind::NetworkPolicy => follow::<NetworkPolicy>(ctx, config, kind, false),
        ChildKind::StatefulSet => follow::<StatefulSet>(ctx, config, kind, false),
    }
}

/// One watch of all namespaces, or one of each that is looked after, with the operator's own where asked.
fn follow_scope<S: Sink + 'static>(
    ctx: &Arc<Context>,
    config: &watcher::Config,
    own_namespace: bool,
    sink: impl Fn() -> S,
) -> Vec<Watch> {
    let config = config.clone().timeout(REOPEN).page_size(PAGE);
    let one = |api: Api<S::Watched>, namespace: Option<String>| {
        ctx.synced.expect_one();
        follow(Arc::clone(ctx), api, config.clone(), namespace, sink()).boxed()
    };
    match &ctx.settings.scope {
        Scope::Cluster => vec![one(Api::all(ctx.client.clone()), None)],
        Scope::Namespaces(names) => {
            let mut names = names.clone();
            if own_namespace {
                names.insert(ctx.settings.namespace.clone());
            }
            let of = |name: String| one(Api::namespaced(ctx.client.clone(), &name), Some(name));
            names.into_iter().map(of).collect()
        }
    }
}

/// Follows one watch forever.
async fn follow<S: Sink>(
    ctx: Arc<Context>,
    api: Api<S::Watched>,
    config: watcher::Config,
    namespace: Option<String>,
    sink: S,
) {
    let kind = S::Watched::kind(&()).into_owned();
    let mut events = std::pin::pin!(watcher(api, config).backoff(Pause(Pause::SHORTEST)));
    // The keys of a list under way; what it does not name is gone.
    let mut listed: Option<BTreeSet<Key>> = None;
    let mut first = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed = Some(BTreeSet::new()),
            Ok(Event::InitApply(object)) => {
                if let Some(keys) = listed.as_mut() {
                    keys.insert(key_of(&object));
                }
                sink.apply(&ctx, object);
            }
            Ok(Event::InitDone) => {
                for key in sink.missing(&ctx, namespace.as_deref(), &listed.take().unwrap_or_default()) {
                    sink.remove(&ctx, &key);
                }
                if std::mem::take(&mut first) {
                    ctx.synced.one_done();
                }
            }
            Ok(Event::Apply(object)) => sink.apply(&ctx, object),
            Ok(Event::Delete(object)) => sink.remove(&ctx, &key_of(&object)),
            Err(error) => {
                ctx.metrics.watch_failed(&kind);
                let namespace = namespace.as_deref().unwrap_or("all namespaces");
                tracing::warn!(kind, namespace, %error, "a watch broke off and is opened anew");
            }
        }
    }
}

fn key_of(object: &impl ResourceExt) -> Key {
    Key::new(object.namespace().unwrap_or_default(), object.name_any())
}

/// The four kinds: an object that cannot be read takes none of the others with it.
struct Kinds<K>(PhantomData<K>);

impl<K> Sink for Kinds<K>
where
    K: Concerns
        + Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    type Watched = DeserializeGuard<K>;

    fn apply(&self, ctx: &Arc<Context>, object: Self::Watched) {
        let key = key_of(&object);
        let entry = match object.0 {
            Ok(mut object) => {
                let before = K::cache(&ctx.stores).get(&key);
                K::raw(ctx, before.as_deref(), &object);
                lean(&mut object);
                Entry::Readable(Arc::new(object))
            }
            Err(broken) => {
                tracing::warn!(kind = %K::KIND, object = %key, error = broken.error, "an object cannot be read");
                Entry::Unreadable(broken.error.into())
            }
        };
        let before = K::cache(&ctx.stores).put(&key, entry.clone());
        triggers::changed::<K>(ctx, &key, before.as_ref(), Some(&entry));
    }

    fn remove(&self, ctx: &Arc<Context>, key: &Key) {
        let before = K::cache(&ctx.stores).take(key);
        triggers::changed::<K>(ctx, key, before.as_ref(), None);
    }

    fn missing(&self, ctx: &Context, namespace: Option<&str>, seen: &BTreeSet<Key>) -> Vec<Key> {
        K::cache(&ctx.stores).missing(namespace, seen)
    }
}

/// Children: metadata only.
struct Metadata<K>(ChildKind, PhantomData<K>);

impl<K> Metadata<K> {
    fn cache<'a>(&self, ctx: &'a Context) -> &'a Cache<Child> {
        ctx.stores.children.of_kind(self.0)
    }
}

impl<K> Sink for Metadata<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Send + Sync + 'static,
{
    type Watched = PartialObjectMeta<K>;

    fn apply(&self, ctx: &Arc<Context>, object: Self::Watched) {
        let child = Arc::new(Child::of(self.0, &object.metadata));
        let before = self.cache(ctx).put(&child.key, Entry::Readable(Arc::clone(&child)));
        triggers::child_changed(
            ctx,
            before.as_ref().and_then(Entry::readable).map(Arc::as_ref),
            Some(&child),
        );
    }

    fn remove(&self, ctx: &Arc<Context>, key: &Key) {
        let before = self.cache(ctx).take(key);
        triggers::child_changed(ctx, before.as_ref().and_then(Entry::readable).map(Arc::as_ref), None);
    }

    fn missing(&self, ctx: &Context, namespace: Option<&str>, seen: &BTreeSet<Key>) -> Vec<Key> {
        self.cache(ctx).missing(namespace, seen)
    }
}

/// The workers' pods: what a status can say of them.
struct Pods;

impl Sink for Pods {
    type Watched = Pod;

    fn apply(&self, ctx: &Arc<Context>, object: Self::Watched) {
        let (key, pod) = (key_of(&object), Arc::new(PodView::of(&object)));
        let before = ctx.stores.pods.put(&key, Entry::Readable(Arc::clone(&pod)));
        triggers::pod_changed(ctx, before.as_ref().and_then(Entry::readable).map(Arc::as_ref), Some(&pod));
    }

    fn remove(&self, ctx: &Arc<Context>, key: &Key) {
        let before = ctx.stores.pods.take(key);
        triggers::pod_changed(ctx, before.as_ref().and_then(Entry::readable).map(Arc::as_ref), None);
    }

    fn missing(&self, ctx: &Context, namespace: Option<&str>, seen: &BTreeSet<Key>) -> Vec<Key> {
        ctx.stores.pods.missing(namespace, seen)
    }
}
