//! Stands in for the kubelet: runs the program of each worker pod as a process of this machine.
//!
//! It keeps what the rest of Kubernetes relies on: a pod is bound to a node and becomes Ready by its own health page; a
//! process that ends is started again after a moment and counted; a deleted pod's process is asked to stop, and the pod
//! is gone only after its process. Volumes are folders that outlive the pod; the process has the rights of the pod's
//! service account and no more.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::access;
use super::operator::free_address;
use super::volumes::{ANSWER, Volumes};
use crate::binary;
use crate::cluster::Cluster;
use crate::http;
use crate::process::{Ended, Worker as Process};

/// Between two looks at the pods.
const PERIOD: Duration = Duration::from_millis(100);
/// From the end of a process to its next start.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The pods that run here, by name.
pub type Pods = BTreeMap<String, Running>;

/// One pod's process.
pub struct Running {
    /// The pod.
    pub uid: String,
    /// How often it was started anew.
    pub restarts: u32,
    /// The process; none between an end and the next start.
    pub process: Option<Process>,
    /// Where it tells of its health.
    pub health: SocketAddr,
    /// Where it serves the portfolio.
    pub portfolio: SocketAddr,
    /// What earlier processes of this pod said.
    pub past: Vec<Ended>,
    ready: bool,
    ended_at: Option<Instant>,
    stopping: bool,
}

/// What would be two workers at once, or the danger of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubles {
    /// The most processes that ran at one moment.
    pub most: usize,
    /// How often a pod's object was gone, or another's, while its process ran: a real node that is cut off would run on.
    pub orphans: usize,
}

/// Runs worker pods. Dropped, it kills their processes; what they were is left as it is, like a node without power.
pub struct Kubelet {
    pods: Arc<Mutex<Pods>>,
    doubles: Arc<Mutex<Doubles>>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
    cluster: Cluster,
    namespace: String,
    dir: PathBuf,
}

struct Here {
    cluster: Cluster,
    namespace: String,
    dir: PathBuf,
    name: String,
    pods: Arc<Mutex<Pods>>,
    doubles: Arc<Mutex<Doubles>>,
}

/// What a pod's process reaches the API server with.
fn kubeconfig(dir: &Path, pod: &str) -> PathBuf {
    dir.join(format!("{pod}.kubeconfig"))
}

impl Kubelet {
    /// Starts one for the worker pods of that namespace.
    pub(super) async fn start(cluster: &Cluster, namespace: &str, dir: &Path) -> Self {
        let pods = Arc::new(Mutex::new(Pods::new()));
        let doubles = Arc::new(Mutex::new(Doubles::default()));
        let (stop, stopped) = watch::channel(false);
        let (own, namespace, dir) = (cluster.clone(), namespace.to_owned(), dir.to_owned());
        let name = format!("rig-{namespace}");
        make_node(cluster, &name).await;
        let (shared, counted) = (Arc::clone(&pods), Arc::clone(&doubles));
        let here = (namespace.clone(), dir.clone());
        // On a thread of its own: a test may wait without yielding.
        let thread = std::thread::spawn(move || {
            crate::block_on(async move {
                let cluster = own.on_this_runtime().await;
                let (namespace, dir) = here;
                let node = Here { cluster, namespace, dir, name, pods: shared, doubles: counted };
                node.run(stopped).await;
            });
        });
        Self { pods, doubles, stop, thread: Some(thread), cluster: cluster.clone(), namespace, dir }
    }

    /// The pods and their processes. While held, nothing is started or stopped.
    pub fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().expect("nobody panics while holding it")
    }

    /// Whether there were ever two workers at once since the start.
    pub fn doubles(&self) -> Doubles {
        *self.doubles.lock().expect("nobody panics while holding it")
    }

    /// Sends a signal to a pod's process: `SIGKILL` is a crash, `SIGSTOP` a pause.
    ///
    /// # Panics
    /// When it has none.
    pub fn signal(&self, pod: &str, signal: Signal) {
        let pods = self.pods();
        let running = pods.get(pod).and_then(|running| running.process.as_ref());
        running.unwrap_or_else(|| panic!("pod {pod} has no process")).signal(signal);
    }

    /// Gives a pod's process another token, as a kubelet does before one expires.
    ///
    /// # Panics
    /// When it is not the worker of an account.
    pub async fn renew_token(&self, pod: &str) {
        let account = pod.strip_suffix("-0").expect("the worker of an account");
        let file = kubeconfig(&self.dir, pod);
        let service_account = tradewind_crds::names::worker(account);
        let renewed = access::renew_token(&self.cluster, &self.namespace, &service_account, &file).await;
        renewed.unwrap_or_else(|e| panic!("no token for {pod}: {e}"));
    }

    /// What a pod's processes have said in their logs since that many bytes.
    pub fn log_since(&self, pod: &str, mut from: usize) -> String {
        let mut pods = self.pods();
        let Some(running) = pods.get_mut(pod) else { return String::new() };
        let now = running.process.as_mut().map_or("", |process| process.so_far().err.as_str());
        let mut said = String::new();
        for part in running.past.iter().map(|ended| ended.err.as_str()).chain([now]) {
            let skipped = from.min(part.len());
            said.push_str(&part[skipped..]);
            from -= skipped;
        }
        said
    }

    /// How long the logs of a pod's processes are, in bytes.
    pub fn log_length(&self, pod: &str) -> usize {
        let mut pods = self.pods();
        let Some(running) = pods.get_mut(pod) else { return 0 };
        let past: usize = running.past.iter().map(|ended| ended.err.len()).sum();
        past + running.process.as_mut().map_or(0, |process| process.so_far().err.len())
    }

    /// Everything a pod's processes have said in their logs.
    pub fn log(&self, pod: &str) -> String {
        let mut pods = self.pods();
        let Some(running) = pods.get_mut(pod) else { return String::new() };
        let past: String = running.past.iter().map(|ended| ended.err.as_str()).collect();
        past + running.process.as_mut().map_or("", |process| process.so_far().err.as_str())
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        self.pods().clear();
    }
}

/// A node object, so that pods bound to it are stopped in good order and not removed at once.
async fn make_node(cluster: &Cluster, name: &str) {
    let node = Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Node::default()
    };
    let api: Api<Node> = Api::all(cluster.client());
    match api.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(error) => panic!("node {name} could not be made: {error}"),
    }
}

impl Here {
    async fn run(&self, mut stopped: watch::Receiver<bool>) {
        let mut known: Vec<Pod> = Vec::new();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                _ = ticks.tick() => {}
            }
            // An API server that does not answer is no news to a kubelet: what it knew goes on.
            let (api, workers) = (self.api(), ListParams::default().labels("tradewind.dev/component=worker"));
            if let Ok(Ok(list)) = tokio::time::timeout(ANSWER, api.list(&workers)).await {
                known = list.items;
                self.end_orphans(&known);
            }
            for pod in &known {
                self.sync(pod).await;
            }
        }
        let api: Api<Node> = Api::all(self.cluster.client());
        drop(api.delete(&self.name, &DeleteParams::default()).await);
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.cluster.client(), &self.namespace)
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().expect("nobody panics while holding it")
    }

    /// Ends what runs although its pod was removed by force, or is another's by now.
    fn end_orphans(&self, known: &[Pod]) {
        let mut pods = self.lock();
        let stays = |name: &str, running: &Running| {
            known.iter().any(|pod| pod.name_any() == name && pod.uid().as_deref() == Some(&running.uid))
        };
        let before = pods.len();
        pods.retain(|name, running| stays(name, running));
        self.doubles.lock().expect("nobody panics while holding it").orphans += before - pods.len();
    }

    async fn sync(&self, pod: &Pod) {
        let name = pod.name_any();
        let spec = pod.spec.as_ref().expect("a pod has a spec");
        match spec.node_name.as_deref() {
            None if pod.metadata.deletion_timestamp.is_none() => return self.bind(&name).await,
            Some(node) if node == self.name => {}
            _ => return,
        }
        let uid = pod.uid().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() {
            return self.stop(&name, &uid).await;
        }
        self.keep_running(pod, &name, &uid).await;
    }

    async fn bind(&self, name: &str) {
        let target = ObjectReference {
            kind: Some("Node".into()),
            name: Some(self.name.clone()),
            ..ObjectReference::default()
        };
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let binding = Binding { metadata, target };
        let (api, as_usual) = (self.api(), PostParams::default());
        // One that is bound already, or gone, shows at the next look.
        drop(api.create_subresource::<Binding, Value>("binding", name, &as_usual, &binding).await);
    }

    async fn stop(&self, name: &str, uid: &str) {
        let gone = {
            let mut pods = self.lock();
            match pods.get_mut(name) {
                None => true,
                Some(running) => {
                    if !std::mem::replace(&mut running.stopping, true)
                        && let Some(process) = &running.process
                    {
                        process.signal(Signal::SIGTERM);
                    }
                    running.collect();
                    running.process.is_none()
                }
            }
        };
        if gone {
            self.lock().remove(name);
            // Its token ends with the service account it was made for: the next pod gets one of its own.
            drop(std::fs::remove_file(kubeconfig(&self.dir, name)));
            let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
            let at_once = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(preconditions),
                ..DeleteParams::default()
            };
            drop(self.api().delete(name, &at_once).await);
        }
    }

    async fn keep_running(&self, pod: &Pod, name: &str, uid: &str) {
        let due = {
            let mut pods = self.lock();
            match pods.get_mut(name) {
                None => true,
                Some(running) => {
                    running.collect();
                    running.process.is_none() && running.ended_at.is_none_or(|at| at.elapsed() >= BACK_OFF)
                }
            }
        };
        if due {
            self.launch(pod, name, uid).await;
        }
        let report = {
            let mut pods = self.lock();
            let Some(running) = pods.get_mut(name) else { return };
            let ready =
                running.process.is_some() && matches!(http::try_get(running.health, "/health"), Ok((200, _)));
            let before = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref()?.first().cloned());
            let told = before.map(|status| Told {
                ready: status.ready,
                restarts: status.restart_count,
                alive: status.state.is_some_and(|state| state.running.is_some()),
            });
            running.ready = ready;
            let restarts = i32::try_from(running.restarts).unwrap_or(i32::MAX);
            let now = Told { ready, restarts, alive: running.process.is_some() };
            (told != Some(now)).then(|| (now, running.past.last().map_or(Value::Null, last_state)))
        };
        if let Some((now, last)) = report {
            self.report(pod, name, now, last).await;
        }
    }

    async fn launch(&self, pod: &Pod, name: &str, uid: &str) {
        let Some(mut command) = self.command(pod, name).await else { return };
        let (health, portfolio) = (free_address(), free_address());
        command.args([
            "--probes-address",
            &health.to_string(),
            "--portfolio-address",
            &portfolio.to_string(),
        ]);
        command.args(["--signals-address", "127.0.0.1:0", "--risk-address", "127.0.0.1:0"]);
        let process = Process::spawn(&mut command);
        let mut pods = self.lock();
        let running = pods.entry(name.to_owned()).or_insert_with(|| Running {
            uid: uid.to_owned(),
            restarts: 0,
            process: None,
            health,
            portfolio,
            past: Vec::new(),
            ready: false,
            ended_at: None,
            stopping: false,
        });
        if running.ended_at.take().is_some() {
            running.restarts += 1;
        }
        (running.health, running.portfolio) = (health, portfolio);
        running.process = Some(process);
        let running = pods.values().filter(|running| running.process.is_some()).count();
        let mut doubles = self.doubles.lock().expect("nobody panics while holding it");
        doubles.most = doubles.most.max(running);
    }

    /// The command of the pod's container with its volumes and addresses on this machine; none while a volume's source
    /// is missing.
    async fn command(&self, pod: &Pod, name: &str) -> Option<std::process::Command> {
        let spec = pod.spec.as_ref()?;
        let volumes = Volumes { cluster: &self.cluster, namespace: &self.namespace, dir: &self.dir };
        let mounted = volumes.of(pod).await?;
        let kubeconfig = kubeconfig(&self.dir, name);
        let service_account = spec.service_account_name.as_deref()?;
        if kubeconfig.exists() {
            // The account may have been made anew; without an API server the old token has to do.
            let renewed = access::renew_token(&self.cluster, &self.namespace, service_account, &kubeconfig);
            drop(tokio::time::timeout(ANSWER, renewed).await);
        } else {
            access::kubeconfig(&self.cluster, &self.namespace, service_account, &kubeconfig, None).await;
        }
        let container = spec.containers.first()?;
        let mut command = std::process::Command::new(binary::worker());
        command.args(
            container.args.iter().flatten().filter(|a| !a.contains("-address")).map(|a| mounted.local(a)),
        );
        command.arg("--pod-dir").arg(mounted.local("/tmp"));
        command.env("KUBECONFIG", kubeconfig).env("POD_NAME", name).env("POD_NAMESPACE", &self.namespace);
        command.env("POD_UID", pod.uid()?).env("NO_COLOR", "1").env_remove("KUBERNETES_SERVICE_HOST");
        for variable in container.env.iter().flatten() {
            if let Some(value) = &variable.value {
                command.env(&variable.name, mounted.local(value));
            }
        }
        Some(command)
    }

    async fn report(&self, pod: &Pod, name: &str, now: Told, last: Value) {
        let Told { ready, restarts, alive } = now;
        let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
        let (container, image) =
            container.map(|c| (c.name.clone(), c.image.clone().unwrap_or_default())).unwrap_or_default();
        // The one that does not hold is taken back: a patch of null removes.
        let state = if alive {
            json!({"running": {"startedAt": null}, "waiting": null})
        } else {
            let message = "back-off restarting failed container";
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": message}, "running": null})
        };
        let condition = if ready { "True" } else { "False" };
        let status = json!({"status": {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": [
                {"type": "Ready", "status": condition}, {"type": "ContainersReady", "status": condition},
                {"type": "Initialized", "status": "True"}, {"type": "PodScheduled", "status": "True"},
            ],
            "containerStatuses": [{
                "name": container, "image": image, "imageID": "", "ready": ready, "started": alive,
                "restartCount": restarts, "state": state, "lastState": last,
            }],
        }});
        let (api, as_usual, status) = (self.api(), PatchParams::default(), Patch::Strategic(status));
        drop(tokio::time::timeout(ANSWER, api.patch_status(name, &as_usual, &status)).await);
    }
}

/// What is told of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    ready: bool,
    restarts: i32,
    alive: bool,
}

/// How a container ended, with the end of its log, as `FallbackToLogsOnError` has it.
fn last_state(ended: &Ended) -> Value {
    const MOST: usize = 2048;
    let from = (ended.err.len().saturating_sub(MOST)..=ended.err.len())
        .find(|from| ended.err.is_char_boundary(*from));
    let code = ended.code.or(ended.signal.map(|signal| 128 + signal)).unwrap_or_default();
    json!({"terminated": {
        "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
        "message": if code == 0 { "" } else { &ended.err[from.unwrap_or_default()..] },
    }})
}

impl Running {
    /// Takes in that the process has ended by itself.
    fn collect(&mut self) {
        if let Some(ended) = self.process.as_mut().and_then(Process::try_ended) {
            self.past.push(ended);
            self.process = None;
            self.ended_at = Some(Instant::now());
        }
    }

    /// Whether it said that it is healthy when last asked.
    pub fn is_ready(&self) -> bool {
        self.ready
    }
}
