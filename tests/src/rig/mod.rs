//! Operator and workers as processes of this machine, on a real API server: all of it but containers.
//!
//! A [`Rig`] has a namespace of its own in a cluster, the operator as a process that may do only what the chart lets it
//! do, and a stand-in for the kubelet that runs each worker pod's program as a process with the rights of the pod's
//! service account. So a test can kill, pause and cut off each of them by itself, and needs no root.
//!
//! What is not real here is the container: image, security context, mounts and probes are proven on the cluster with a
//! node.

mod access;
mod kubelet;
pub mod market;
pub mod objects;
mod operator;
mod proxy;
mod record;
mod volumes;

use std::path::{Path, PathBuf};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Resource};
use tempfile::TempDir;

pub use kubelet::{Doubles, Kubelet, Pods};
pub use operator::Operator;
pub use proxy::{Fault, Passed, Proxy, Thaw};
pub use record::Mark;

use crate::cluster::{Cluster, Namespace, Ran, Seen, patience, wait_for};

/// Operator, kubelet and a namespace on a cluster. Dropped, its processes are killed and the namespace is deleted.
pub struct Rig {
    /// The operator, while it runs.
    pub operator: Option<Operator>,
    /// What runs the workers, while it does.
    pub kubelet: Option<Kubelet>,
    namespace: Namespace,
    cluster: Cluster,
    dir: TempDir,
}

impl Rig {
    /// On the cluster that all tests of a run share.
    pub async fn start() -> Self {
        Self::on(Cluster::shared().await).await
    }

    /// On that cluster: definitions, rights, operator and kubelet.
    pub async fn on(cluster: Cluster) -> Self {
        let mut rig = Self::bare(cluster).await;
        rig.start_operator().await;
        rig.start_kubelet().await;
        rig
    }

    /// Definitions and rights, nothing running yet.
    pub async fn bare(cluster: Cluster) -> Self {
        cluster.apply_crds().await;
        let namespace = cluster.namespace().await;
        let dir = TempDir::with_prefix("rig-").expect("a temporary folder");
        market::install(dir.path());
        access::install(&cluster, namespace.name()).await;
        Self { operator: None, kubelet: None, namespace, cluster, dir }
    }

    /// Starts the operator, for its namespace alone, and returns when it is ready.
    pub async fn start_operator(&mut self) {
        let kubeconfig = self.dir.path().join("operator.kubeconfig");
        access::kubeconfig(&self.cluster, self.name(), access::OPERATOR, &kubeconfig, None).await;
        self.start_operator_with(&kubeconfig).await;
    }

    /// Gives the operator another token, as a kubelet does before one expires.
    ///
    /// # Panics
    /// When there is none to be had.
    pub async fn renew_operator_token(&self) {
        let kubeconfig = self.dir.path().join("operator.kubeconfig");
        let renewed = access::renew_token(&self.cluster, self.name(), access::OPERATOR, &kubeconfig).await;
        renewed.unwrap_or_else(|e| panic!("no token for the operator: {e}"));
    }

    /// As [`Self::start_operator`], with a kubeconfig of the test's own, such as one that leads through a proxy.
    pub async fn start_operator_with(&mut self, kubeconfig: &Path) {
        let operator = Operator::spawn(self.name(), kubeconfig);
        operator.ready().await;
        self.operator = Some(operator);
    }

    /// Starts the operator behind a proxy.
    pub async fn start_operator_behind(&mut self, proxy: &Proxy) {
        let kubeconfig = self.dir.path().join("operator-behind-proxy.kubeconfig");
        let url = proxy.url();
        access::kubeconfig(&self.cluster, self.name(), access::OPERATOR, &kubeconfig, Some(&url)).await;
        self.start_operator_with(&kubeconfig).await;
    }

    /// Kills the operator like a power cut.
    pub fn kill_operator(&mut self) {
        drop(self.operator.take());
    }

    /// Starts what runs the workers of the namespace.
    pub async fn start_kubelet(&mut self) {
        self.kubelet = Some(Kubelet::start(&self.cluster, self.name(), self.dir.path()).await);
    }

    /// The kubelet that runs.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn kubelet(&self) -> &Kubelet {
        self.kubelet.as_ref().expect("the kubelet runs")
    }

    /// Name of the namespace.
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A folder of the rig's own.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The objects of one kind in the namespace, with all rights.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.namespace.api()
    }

    /// Applies YAML as a person would, with all rights.
    pub async fn apply(&self, yaml: &str) {
        self.cluster.apply(self.name(), yaml).await;
    }

    /// `kubectl -n NAMESPACE …`, with all rights.
    pub async fn kubectl(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["-n", self.name()];
        all.extend(arguments);
        self.cluster.kubectl(&all).await
    }

    /// A merge patch of a strategy's spec, as a frightened person writes it.
    pub async fn patch(&self, strategy: &str, spec: &str) -> Ran {
        let patch = format!("{{\"spec\":{spec}}}");
        self.kubectl(&["patch", "tradingstrategy", strategy, "--type=merge", "-p", &patch]).await
    }

    /// Waits until the value of a JSON path of an object is one that is wanted.
    pub async fn wait_json(
        &self,
        object: &str,
        path: &str,
        seconds: u64,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        let output = format!("jsonpath={{{path}}}");
        let what = format!("{object} {path}");
        wait_for(&what, patience(seconds), async || {
            let ran = self.kubectl(&["get", object, "-o", &output]).await;
            let found: Seen<String> =
                if ran.ok && wanted(&ran.out) { Ok(ran.out) } else { Err(format!("{}{}", ran.out, ran.err)) };
            found
        })
        .await
    }

    /// What operator and workers said last, for people who read why a test failed.
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    fn tell(&mut self) {
        if let Some(operator) = &mut self.operator {
            eprintln!("--- operator\n{}", last_lines(&operator.said()));
        }
        if let Some(kubelet) = &self.kubelet {
            let names: Vec<String> = kubelet.pods().keys().cloned().collect();
            for name in names {
                eprintln!("--- {name}\n{}", last_lines(&kubelet.log(&name)));
            }
        }
    }

    /// Where workers find their data sets: a test may put one of its own there.
    pub fn data_sets(&self) -> PathBuf {
        market::data_sets(self.dir.path())
    }

    /// Where the ledger of an account lies.
    pub fn data_dir(&self, account: &str) -> PathBuf {
        volumes::data_dir(self.dir.path(), account)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        // The workers first: an operator would restart them, and neither outlives the namespace.
        drop(self.kubelet.take());
        drop(self.operator.take());
    }
}

/// Enough of a log to see what went wrong.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
