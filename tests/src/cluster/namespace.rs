//! A namespace of a test's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as Object, ServiceAccount};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};
use kube::{Client, Resource};

use super::{Cluster, patience, wait_for};

/// How long a dropped namespace may hold up its test.
const FAREWELL: Duration = Duration::from_secs(5);

/// A namespace that is deleted, with all in it, when dropped; nobody waits until it is gone.
pub struct Namespace {
    name: String,
    client: Client,
    kubeconfig: PathBuf,
}

impl Namespace {
    pub(super) async fn create(cluster: &Cluster, labels: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Unique among the tests of this machine by the process, and on a cluster of yours by the time.
        let micros = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() % 1_000_000_000;
        let name = format!("t{micros}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let labels: BTreeMap<String, String> =
            labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let object = Object {
            metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..ObjectMeta::default() },
            ..Object::default()
        };
        let client = cluster.client();
        let created = Api::<Object>::all(client.clone()).create(&PostParams::default(), &object).await;
        created.unwrap_or_else(|e| panic!("namespace {name} could not be created: {e}"));
        let made = Self { name, client, kubeconfig: cluster.kubeconfig().to_owned() };
        made.ready().await;
        made
    }

    /// No pod can be created before these two exist.
    async fn ready(&self) {
        wait_for(
            "a new namespace's default service account and root certificate",
            patience(10),
            async || {
                let account = self.api::<ServiceAccount>().get("default").await;
                let root = self.api::<ConfigMap>().get("kube-root-ca.crt").await;
                account.map_err(|e| e.to_string())?;
                root.map_err(|e| e.to_string()).map(drop)
            },
        )
        .await;
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The objects of one kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let (name, kubeconfig) = (self.name.clone(), self.kubeconfig.clone());
        // The test's runtime may be at its end: this one is of its own, on a thread of its own.
        let farewell = std::thread::spawn(move || {
            crate::block_on(async {
                let delete = async {
                    let api = Api::<Object>::all(super::client(&kubeconfig).await);
                    // A cluster that was damaged, or has ended, takes its namespaces with it.
                    drop(api.delete(&name, &DeleteParams::default()).await);
                };
                drop(tokio::time::timeout(FAREWELL, delete).await);
            });
        });
        drop(farewell.join());
    }
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Namespace").field(&self.name).finish()
    }
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}
