//! The test cluster itself: what its users rely on, and that nothing of it stays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod remains;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use nix::sys::signal::Signal;
use tradewind_tests::cluster::{Cluster, Namespace, Options, Seen, patience, wait_for};

fn config_map(name: &str) -> ConfigMap {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

/// A pod of the idle image as the user the workers run as, with what strict pod security asks for.
fn idle(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {{runAsNonRoot: true, runAsUser: 65532, seccompProfile: {{type: RuntimeDefault}}}}
  {more}
  containers:
  - name: idle
    image: {}
    args: [write, /data/written, hello]
    securityContext: {{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {{drop: [ALL]}}}}
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {name}}}}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
",
        Cluster::IDLE_IMAGE
    )
}

/// A pod's phase, and whether it is ready.
async fn state(pods: &Api<Pod>, name: &str) -> Result<(String, bool), String> {
    let pod = pods.get(name).await.map_err(|e| e.to_string())?;
    let status = pod.status.unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    Ok((status.phase.unwrap_or_default(), ready))
}

async fn running(pods: &Api<Pod>, name: &str) {
    wait_for(&format!("pod {name} to run"), patience(20), async || match state(pods, name).await? {
        (_, true) => Ok(()),
        (phase, false) => Err(phase),
    })
    .await;
}

#[tokio::test]
async fn tests_of_a_run_share_one_control_plane_with_a_namespace_each() {
    let (one, other) = (Cluster::shared().await, Cluster::shared().await);
    assert_eq!(one.kubeconfig(), other.kubeconfig());
    let (first, second) = (one.namespace().await, other.namespace().await);
    first.api::<ConfigMap>().create(&PostParams::default(), &config_map("mine")).await.unwrap();
    let seen = second.api::<ConfigMap>().get_opt("mine").await.unwrap();
    assert!(seen.is_none());

    let name = first.name().to_owned();
    drop(first);
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(one.client());
    wait_for("a dropped namespace to go", patience(30), async || {
        match namespaces.get_opt(&name).await.map_err(|e| e.to_string())? {
            None => Ok(()),
            Some(left) => Err(format!("{:?}", left.status)),
        }
    })
    .await;
}

#[tokio::test]
async fn our_kinds_are_served() {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let namespace = cluster.namespace().await;
    let out = cluster.kubectl(&["get", "trading", "-n", namespace.name()]).await;
    let empty = format!("No resources found in {namespace} namespace.");
    assert_eq!((out.ok, out.out.as_str(), out.err.trim()), (true, "", empty.as_str()));
}

#[tokio::test]
async fn pod_security_and_admission_policies_are_enforced() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace_with(&[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    let pod = ["run", "root", "--image", Cluster::IDLE_IMAGE, "-n", namespace.name()];
    let refused = cluster.kubectl(&pod).await.failure();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");

    let policy = format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {namespace}}}
spec:
  matchConstraints: {{resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}]}}
  validations: [{{expression: \"object.metadata.name != 'bad'\", message: no such name}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {namespace}}}
spec: {{policyName: {namespace}, validationActions: [Deny], matchResources: {{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}}}
"
    );
    cluster.apply("default", &policy).await;
    let maps = namespace.api::<ConfigMap>();
    wait_for("the policy to hold", patience(20), async || {
        match maps.create(&PostParams { dry_run: true, ..PostParams::default() }, &config_map("bad")).await {
            Err(e) if e.to_string().contains("no such name") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    maps.create(&PostParams::default(), &config_map("good")).await.unwrap();
    let delete =
        format!("validatingadmissionpolicy/{namespace} validatingadmissionpolicybinding/{namespace}");
    let words: Vec<&str> = std::iter::once("delete").chain(delete.split(' ')).collect();
    cluster.kubectl(&words).await.success();
}

#[tokio::test]
async fn two_clusters_run_side_by_side_and_one_outlives_the_other() {
    let (one, other) = tokio::join!(Cluster::own(), Cluster::own());
    assert_ne!(one.kubeconfig(), other.kubeconfig());
    Api::default_namespaced(one.client())
        .create(&PostParams::default(), &config_map("only-here"))
        .await
        .unwrap();
    let there: Api<ConfigMap> = Api::default_namespaced(other.client());
    assert!(there.get_opt("only-here").await.unwrap().is_none());
    drop(one);
    assert!(there.get_opt("kube-root-ca.crt").await.unwrap().is_some());
}

#[tokio::test]
async fn the_api_server_can_be_stopped_killed_paused_and_started_again() {
    let cluster = Cluster::own().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();

    cluster.stop_api_server().await;
    assert!(maps.get("kept").await.is_err());
    cluster.start_api_server().await;
    maps.get("kept").await.unwrap();

    cluster.kill_api_server().await;
    assert!(maps.get("kept").await.is_err());
    cluster.start_api_server().await;
    maps.get("kept").await.unwrap();

    cluster.pause_api_server().await;
    let silent = tokio::time::timeout(Duration::from_millis(300), maps.get("kept")).await;
    assert!(silent.is_err(), "{silent:?}");
    cluster.start_api_server().await;
    maps.get("kept").await.unwrap();
}

#[tokio::test]
async fn an_audit_log_names_who_asked_for_what() {
    let cluster = Cluster::start(Options { audit: true, ..Options::default() }).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(cluster.client());
    maps.create(&PostParams::default(), &config_map("watched")).await.unwrap();
    // The line is written before the answer is sent.
    let log = fs::read_to_string(cluster.dir().join("log/audit.log")).unwrap();
    let said = ["\"verb\":\"create\"", "\"username\":\"admin\"", "\"name\":\"watched\""];
    let lines = log.lines().filter(|line| said.iter().all(|word| line.contains(word)));
    assert_eq!(lines.count(), 1);
}

#[tokio::test]
async fn a_cluster_somebody_names_is_used_and_never_damaged() {
    let own = Cluster::own().await;
    Api::default_namespaced(own.client()).create(&PostParams::default(), &config_map("there")).await.unwrap();
    let named = Cluster::named(own.kubeconfig()).await;
    Api::<ConfigMap>::default_namespaced(named.client()).get("there").await.unwrap();
    assert!(named.kubectl(&["get", "configmap", "there"]).await.ok);
    let refused = tokio::spawn(async move { named.stop_api_server().await }).await.unwrap_err();
    assert!(refused.is_panic());
    Api::<ConfigMap>::default_namespaced(own.client()).get("there").await.unwrap();
}

/// What a named namespace's claim is bound to, and the folder of it on this machine.
async fn volume_folder(cluster: &Cluster, namespace: &Namespace, claim: &str) -> PathBuf {
    let claim = namespace.api::<PersistentVolumeClaim>().get(claim).await.unwrap();
    cluster.dir().join("volumes").join(claim.spec.unwrap().volume_name.unwrap())
}

#[tokio::test]
async fn a_pod_writes_its_volume_as_an_ordinary_user_and_the_volume_goes_with_its_claim() {
    let cluster = Cluster::with_node().await;
    let namespace = cluster.namespace_with(&[("pod-security.kubernetes.io/enforce", "restricted")]).await;
    cluster.apply(namespace.name(), &idle("writer", "")).await;
    let pods = namespace.api::<Pod>();
    running(&pods, "writer").await;

    wait_for("what the pod says", patience(10), async || {
        let said = pods.logs("writer", &kube::api::LogParams::default()).await.map_err(|e| e.to_string())?;
        if said == "uid 65532 wrote /data/written\n" { Ok(()) } else { Err(said) }
    })
    .await;
    let folder = volume_folder(&cluster, &namespace, "writer").await;
    assert_eq!(fs::read_to_string(folder.join("written")).unwrap(), "hello");

    // A crash of its process: the kubelet starts it again, and the volume is still there.
    assert_eq!(cluster.signal_pod(namespace.name(), "writer", Signal::SIGKILL).await, 1);
    wait_for("the kubelet to start it again", patience(30), async || {
        let status = pods.get("writer").await.map_err(|e| e.to_string())?.status.unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let again = containers.iter().any(|c| c.restart_count == 1 && c.ready);
        if again { Ok(()) } else { Err(format!("{containers:?}")) }
    })
    .await;

    pods.delete("writer", &DeleteParams::default()).await.unwrap();
    namespace.api::<PersistentVolumeClaim>().delete("writer", &DeleteParams::default()).await.unwrap();
    wait_for("the volume to go", patience(20), async || {
        if folder.exists() { Err("there".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn an_image_can_be_brought_into_a_running_node() {
    let cluster = Cluster::with_node().await;
    let namespace = cluster.namespace().await;
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("other.tar");
    // The same program under another name: what is proven is that the node learns of the name.
    let root = unpacked_idle(cluster.kubectl_program().parent().unwrap(), folder.path());
    let name = format!("localhost/{namespace}:test");
    let status = Command::new(cluster.kubectl_program().with_file_name("controlplane"))
        .args(["image", "-name", &name, "-o"])
        .args([&archive, &root])
        .arg("/idle")
        .status();
    assert!(status.unwrap().success());
    cluster.load_image(&archive).await;
    cluster
        .kubectl(&["run", "other", "--image", &name, "--image-pull-policy=Never", "-n", namespace.name()])
        .await
        .success();
    running(&namespace.api::<Pod>(), "other").await;
}

/// The root folder of the idle image: the one layer of its archive.
fn unpacked_idle(bin: &Path, folder: &Path) -> PathBuf {
    let (layers, root) = (folder.join("layers"), folder.join("root"));
    fs::create_dir_all(&layers).unwrap();
    fs::create_dir_all(&root).unwrap();
    let unpack = |archive: &Path, into: &Path| {
        Command::new("tar")
            .arg("-xf")
            .arg(archive)
            .arg("-C")
            .arg(into)
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    assert!(unpack(&bin.join("images/idle.tar"), &layers));
    let blobs = fs::read_dir(layers.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let layer = blobs.max_by_key(|blob| blob.metadata().unwrap().len()).unwrap();
    assert!(unpack(&layer, &root));
    root
}

#[tokio::test]
async fn a_paused_pod_does_nothing_until_it_is_woken() {
    let cluster = Cluster::with_node().await;
    let namespace = cluster.namespace().await;
    cluster.apply(namespace.name(), &idle("sleeper", "")).await;
    running(&namespace.api::<Pod>(), "sleeper").await;
    cluster.signal_pod(namespace.name(), "sleeper", Signal::SIGSTOP).await;
    let processes = cluster.pod_processes(namespace.name(), "sleeper").await;
    let state = || fs::read_to_string(format!("/proc/{}/stat", processes[0])).unwrap();
    wait_for(
        "it to stop",
        patience(5),
        async || if state().contains(") T ") { Ok(()) } else { Err(state()) },
    )
    .await;
    cluster.signal_pod(namespace.name(), "sleeper", Signal::SIGCONT).await;
    wait_for(
        "it to go on",
        patience(5),
        async || if state().contains(") S ") { Ok(()) } else { Err(state()) },
    )
    .await;
}

#[tokio::test]
async fn a_dead_node_is_noticed_and_its_pod_is_not_replaced_while_it_may_run() {
    let options = Options { nodes: 2, give_up_nodes_quickly: true, ..Options::default() };
    let cluster = Cluster::start(options).await;
    let namespace = cluster.namespace().await;
    let set = "apiVersion: apps/v1
kind: StatefulSet
metadata: {name: one}
spec:
  serviceName: one
  selector: {matchLabels: {app: one}}
  template:
    metadata: {labels: {app: one}}
    spec:
      affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node1]}]}}]}}
      containers: [{name: idle, image: 'localhost/idle:test'}]
";
    cluster.apply(namespace.name(), set).await;
    let pods = namespace.api::<Pod>();
    running(&pods, "one-0").await;
    let before = pods.get("one-0").await.unwrap();
    assert_eq!(before.spec.unwrap().node_name.as_deref(), Some("node1"));

    cluster.kill_node(1).await;
    let nodes: Api<Node> = Api::all(cluster.client());
    given_up(&nodes, "node1").await;
    wait_for("its pod to be evicted", patience(30), async || {
        let pod = pods.get("one-0").await.map_err(|e| e.to_string())?;
        pod.metadata.deletion_timestamp.map(drop).ok_or_else(|| "not terminating".to_owned())
    })
    .await;
    assert!(node_ready(&nodes, "node0").await.is_ok());
    let all = pods.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].metadata.uid, before.metadata.uid);

    // The node comes back with what it had: only now is the pod known to be gone, and made anew.
    cluster.start_node(1).await;
    wait_for("the pod to be replaced", patience(30), async || {
        let pod = pods.get("one-0").await.map_err(|e| e.to_string())?;
        if pod.metadata.uid == before.metadata.uid { Err("the old one".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_cut_off_or_paused_falls_silent_and_comes_back() {
    let options = Options { nodes: 2, give_up_nodes_quickly: true, ..Options::default() };
    let cluster = Cluster::start(options).await;
    let nodes: Api<Node> = Api::all(cluster.client());
    cluster.pause_node(0).await;
    cluster.cut_node(1).await;
    for node in ["node0", "node1"] {
        given_up(&nodes, node).await;
    }
    cluster.start_node(0).await;
    cluster.rejoin_node(1).await;
    for node in ["node0", "node1"] {
        wait_for(&format!("{node} to come back"), patience(20), async || node_ready(&nodes, node).await)
            .await;
    }
}

async fn given_up(nodes: &Api<Node>, name: &str) {
    wait_for(&format!("{name} to be given up"), patience(30), async || match node_ready(nodes, name).await {
        Ok(()) => Err("Ready".to_owned()),
        Err(_) => Ok(()),
    })
    .await;
}

/// Ok when a node is ready, else what it is.
async fn node_ready(nodes: &Api<Node>, name: &str) -> Seen<()> {
    let node = nodes.get(name).await.map_err(|e| e.to_string())?;
    let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
    let ready = conditions.iter().find(|c| c.type_ == "Ready").map(|c| c.status.clone());
    if ready.as_deref() == Some("True") { Ok(()) } else { Err(format!("Ready={ready:?}")) }
}
