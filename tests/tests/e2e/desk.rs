//! A namespace with accounts and strategies in it, and what people ask of it.
#![expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::{Api, Resource};
use tradewind_tests::cluster::{Cluster, Namespace, Ran, Seen, patience, wait_for};

use super::images;
use super::release::Release;

/// Every namespace of these tests takes only pods that ask for nothing.
const RESTRICTED: [(&str, &str); 1] = [("pod-security.kubernetes.io/enforce", "restricted")];

/// Values of an operator that looks after its own namespace alone and shares the cluster with others.
const ALONE: &str = "crds.enabled=false,rbac.userRoles=false,admission.enabled=false,admission.mutating=false,\
                     operator.replicas=1,operator.podDisruptionBudget.enabled=false";

/// A namespace of a test's own on a cluster. Dropped, it is deleted, and what still waits in it is released.
pub(crate) struct Desk {
    /// The cluster.
    pub(crate) cluster: Cluster,
    namespace: Namespace,
}

/// A worker's pod as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worker {
    /// Uid of the pod.
    pub(crate) uid: String,
    /// Restarts of its container.
    pub(crate) restarts: i32,
}

impl Desk {
    /// An empty one.
    pub(crate) async fn empty(cluster: &Cluster) -> Self {
        Self { cluster: cluster.clone(), namespace: cluster.namespace_with(&RESTRICTED).await }
    }

    /// One on the cluster that all tests share, with an operator of its own beside the workers.
    pub(crate) async fn with_operator() -> (Self, Release) {
        let cluster = Cluster::with_node().await;
        images::load(&cluster).await;
        cluster.apply_crds().await;
        let desk = Self::empty(&cluster).await;
        let release =
            Release::install(&cluster, desk.name(), &desk.alone().each_ref().map(String::as_str)).await;
        (desk, release)
    }

    /// Values of an operator for this namespace alone.
    pub(crate) fn alone(&self) -> [String; 2] {
        [ALONE.to_owned(), format!("watchNamespaces={{{}}}", self.name())]
    }

    /// Name of the namespace.
    pub(crate) fn name(&self) -> &str {
        self.namespace.name()
    }

    /// The objects of one kind in it.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        self.namespace.api()
    }

    /// Applies YAML as a person would.
    pub(crate) async fn apply(&self, yaml: &str) {
        self.cluster.apply(self.name(), yaml).await;
    }

    /// `kubectl -n NAMESPACE …`.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> Ran {
        let mut all = vec!["-n", self.name()];
        all.extend(arguments);
        self.cluster.kubectl(&all).await
    }

    /// Runs a line of shell as a person would paste it, with the kubectl and the cluster of the test.
    pub(crate) async fn shell(&self, line: &str) -> String {
        let folder = self.cluster.kubectl_program();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", folder.parent().unwrap().display());
        let mut command = self.cluster.command("bash");
        command.args(["-euo", "pipefail", "-c", line]).env("PATH", path).kill_on_drop(true);
        let ran = command.output().await.expect("a shell");
        let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{line}\n{out}{err}");
        out.into_owned()
    }

    /// A merge patch of a spec, as a frightened person writes it.
    pub(crate) async fn patch(&self, object: &str, spec: &str) {
        let patch = format!("{{\"spec\":{spec}}}");
        self.kubectl(&["patch", object, "--type=merge", "-p", &patch]).await.success();
    }

    /// The value of a JSON path of an object.
    pub(crate) async fn json(&self, object: &str, path: &str) -> Seen<String> {
        let ran = self.kubectl(&["get", object, "-o", &format!("jsonpath={{{path}}}")]).await;
        if ran.ok { Ok(ran.out) } else { Err(ran.err) }
    }

    /// Waits until the value of a JSON path of an object is one that is wanted.
    pub(crate) async fn wait(
        &self,
        object: &str,
        path: &str,
        seconds: u64,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        wait_for(&format!("{object} {path}"), patience(seconds), async || {
            let found = self.json(object, path).await?;
            if wanted(&found) { Ok(found) } else { Err(self.explained(object, &found).await) }
        })
        .await
    }

    /// A value with the conditions of its object, for people who read why a test failed.
    async fn explained(&self, object: &str, found: &str) -> String {
        let conditions = self.json(object, ".status.conditions[*]['type','status','reason','message']").await;
        format!("'{found}' ({})", conditions.unwrap_or_default())
    }

    /// Waits until an account or a strategy has that phase.
    pub(crate) async fn phase(&self, object: &str, phase: &str) {
        self.wait(object, ".status.phase", 60, |found| found == phase).await;
    }

    /// Waits until no object of those kinds is left.
    pub(crate) async fn gone(&self, kinds: &str, seconds: u64) {
        wait_for(&format!("no {kinds} to be left"), patience(seconds), async || {
            let ran = self.kubectl(&["get", kinds, "-o", "name"]).await;
            if ran.ok && ran.out.is_empty() { Ok(()) } else { Err(format!("{}{}", ran.out, ran.err)) }
        })
        .await;
    }

    /// The worker of an account.
    pub(crate) async fn worker(&self, account: &str) -> Seen<Worker> {
        let pod = self.api::<Pod>().get(&format!("{account}-0")).await.map_err(|e| e.to_string())?;
        let restarts = pod.status.unwrap_or_default().container_statuses.unwrap_or_default();
        Ok(Worker {
            uid: pod.metadata.uid.unwrap(),
            restarts: restarts.first().map_or(0, |c| c.restart_count),
        })
    }

    /// What a worker serves on a port, fetched through the API server.
    pub(crate) async fn serves(&self, account: &str, port: u16, path: &str) -> Seen<String> {
        let url = format!("/api/v1/namespaces/{}/services/{account}-worker:{port}/proxy{path}", self.name());
        let ran = self.cluster.kubectl(&["get", "--raw", &url]).await;
        if ran.ok { Ok(ran.out) } else { Err(ran.err) }
    }

    /// How often signals on a symbol have led to each outcome since the worker's process started.
    pub(crate) async fn outcomes(&self, account: &str, symbol: &str) -> Seen<BTreeMap<String, u64>> {
        let page = self.serves(account, 8080, "/metrics").await?;
        let mut counts = BTreeMap::new();
        let of_symbol = format!("tradewind_signals_total{{symbol=\"{symbol}\",");
        for line in page.lines().filter_map(|line| line.strip_prefix(&of_symbol)) {
            let (labels, count) = line.rsplit_once("} ").expect("a line of the page");
            let outcome = labels.split("outcome=\"").nth(1).unwrap().trim_end_matches('"');
            *counts.entry(outcome.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
        Ok(counts)
    }

    /// Waits until entries in a symbol go on being made: that many more than now.
    pub(crate) async fn trades_on(&self, account: &str, symbol: &str, more: u64) {
        let mut wanted = None;
        wait_for(&format!("{account} to enter {symbol}"), patience(60), async || {
            let counts = self.outcomes(account, symbol).await?;
            let entered = counts.get("Enter").copied().unwrap_or(0);
            let wanted = *wanted.get_or_insert(entered + more);
            if entered >= wanted { Ok(()) } else { Err(format!("{entered} of {wanted}: {counts:?}")) }
        })
        .await;
    }

    /// Waits until that many more signals were denied with one outcome; panics when there was an entry meanwhile.
    pub(crate) async fn denied(&self, account: &str, symbol: &str, outcome: &str, more: u64) {
        let mut first: Option<BTreeMap<String, u64>> = None;
        wait_for(&format!("{symbol} to be denied: {outcome}"), patience(60), async || {
            let counts = self.outcomes(account, symbol).await?;
            let first = first.get_or_insert_with(|| counts.clone());
            let count = |counts: &BTreeMap<String, u64>, outcome| counts.get(outcome).copied().unwrap_or(0);
            assert_eq!(count(&counts, "Enter"), count(first, "Enter"), "{symbol} was entered");
            let so_far = count(&counts, outcome) - count(first, outcome);
            if so_far >= more { Ok(()) } else { Err(format!("{so_far} of {more}: {counts:?}")) }
        })
        .await;
    }

    /// The folder of an account's ledger on this machine.
    pub(crate) async fn data_dir(&self, account: &str) -> PathBuf {
        let claim = self.api::<PersistentVolumeClaim>().get(&format!("{account}-ledger")).await.unwrap();
        self.cluster.dir().join("volumes").join(claim.spec.unwrap().volume_name.unwrap())
    }

    /// Deletes everything as a person would and waits until it is gone: also the proof that it ends.
    pub(crate) async fn close(self) {
        for kinds in ["tradingstrategies", "exchangeaccounts", "riskpolicies", "tradinghalts"] {
            self.kubectl(&["delete", kinds, "--all", "--timeout=120s"]).await.success();
        }
    }

    /// What was seen last, for people who read why a test failed.
    fn tell(&self) {
        let script = "kubectl get trading,pods -o wide; kubectl get events --sort-by=.metadata.creationTimestamp | tail -40
            for pod in $(kubectl get pods -o name); do echo \"--- $pod\"; kubectl logs --tail=40 \"$pod\"; done";
        eprintln!("{}", self.at_the_end(script));
    }

    /// Runs a script outside of the test's runtime, which may be at its end.
    fn at_the_end(&self, script: &str) -> String {
        let folder = self.cluster.kubectl_program();
        let path =
            format!("{}:{}", folder.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
        let aliased = format!(
            "kubectl() {{ command kubectl -n {} --request-timeout=10s \"$@\"; }}\n{script}",
            self.name()
        );
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &aliased]).env("PATH", path).env("KUBECONFIG", self.cluster.kubeconfig());
        let ran = shell.output();
        ran.map(|ran| String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        // The operator may be in this namespace and go before what waits for it. What is being deleted gets no new
        // finalizer.
        self.at_the_end(
            "kinds=tradingstrategies,exchangeaccounts,riskpolicies
             kubectl delete $kinds --all --wait=false
             for object in $(kubectl get $kinds -o name); do
               kubectl patch $object --type=merge -p '{\"metadata\":{\"finalizers\":null}}'
             done",
        );
    }
}
