//! What a test may do to a cluster of its own, and to single pods: stop, cut off, pause, kill, bring back.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::process::Command;

use super::commands::run;
use super::{Cluster, Home, LOAD_IMAGE};

impl Cluster {
    /// Stops the API server: what it is answering it answers, then its watches end and connections are refused. All
    /// else goes on.
    pub async fn stop_api_server(&self) {
        self.control(&["stop", "kube-apiserver"]).await;
    }

    /// Kills the API server like a power cut.
    pub async fn kill_api_server(&self) {
        self.control(&["kill", "kube-apiserver"]).await;
    }

    /// Stops the API server's process where it is: connections stay open and nothing is answered.
    pub async fn pause_api_server(&self) {
        self.control(&["pause", "kube-apiserver"]).await;
    }

    /// Starts the API server again, or lets a paused one go on, and returns when it is ready. Address, certificates and
    /// objects are the same as before.
    pub async fn start_api_server(&self) {
        self.control(&["start", "kube-apiserver"]).await;
    }

    /// Ends a node as a power cut would: its kubelet, containers and network are gone at once, its volumes stay, and
    /// the Node object learns of it only by silence.
    pub async fn kill_node(&self, node: usize) {
        self.control(&["kill", &Self::node_name(node)]).await;
    }

    /// Boots a node that was killed (or lets a paused one go on), with the volumes it had.
    pub async fn start_node(&self, node: usize) {
        self.control(&["start", &Self::node_name(node)]).await;
    }

    /// Stops every process of a node where it is: clocks go on, nothing runs. [`Self::start_node`] wakes it.
    pub async fn pause_node(&self, node: usize) {
        self.control(&["pause", &Self::node_name(node)]).await;
    }

    /// Pulls a node's network plug: its pods run on, unseen and seeing nobody.
    pub async fn cut_node(&self, node: usize) {
        self.control(&["cut", &Self::node_name(node)]).await;
    }

    /// Plugs a node's network in again.
    pub async fn rejoin_node(&self, node: usize) {
        self.control(&["rejoin", &Self::node_name(node)]).await;
    }

    /// The name of the Node object of node 0, 1 …
    pub fn node_name(node: usize) -> String {
        format!("node{node}")
    }

    /// Brings an OCI image archive into every node under the name it carries; pods then name it with
    /// `imagePullPolicy: Never` or `IfNotPresent`. The same archive is brought in once.
    ///
    /// For a cluster named by `TRADEWIND_KUBECONFIG`, the command of `TRADEWIND_LOAD_IMAGE` does it
    /// (`kind load image-archive`).
    pub async fn load_image(&self, archive: &Path) {
        let archive = archive
            .canonicalize()
            .unwrap_or_else(|e| panic!("{} is no image archive: {e}", archive.display()));
        let text = archive.to_str().expect("the archive's path is text");
        match &*self.home {
            Home::BuiltIn(_) => self.control(&["load", text]).await,
            Home::Named { .. } => {
                let load = std::env::var(LOAD_IMAGE).unwrap_or_else(|_| {
                    panic!("set {LOAD_IMAGE} to the command that brings an image archive into your cluster, as in 'kind load image-archive'")
                });
                let mut words = load.split_whitespace();
                let mut command = Command::new(words.next().expect("a command in the variable"));
                run(command.args(words).arg(text), "").await.success();
            }
        }
    }

    /// The archive of `localhost/idle:test`, loaded into every node from the start: a program that does nothing until
    /// SIGTERM. Arguments `write FILE TEXT` make it write that file first.
    pub const IDLE_IMAGE: &str = "localhost/idle:test";

    /// The processes of a pod's containers, as this machine numbers them; the pod must run on a built-in node.
    pub async fn pod_processes(&self, namespace: &str, pod: &str) -> Vec<Pid> {
        self.server();
        let object = Api::<Pod>::namespaced(self.client(), namespace).get(pod).await;
        let object = object.unwrap_or_else(|e| panic!("pod {namespace}/{pod}: {e}"));
        processes_of(&object.metadata.uid.expect("an object that is stored has a uid"))
    }

    /// The processes of the pod of that uid, also when no object tells of it any more.
    pub fn processes_of(&self, uid: &str) -> Vec<Pid> {
        self.server();
        processes_of(uid)
    }

    /// Sends a signal to every process of a pod's containers: `SIGSTOP` pauses it, `SIGCONT` wakes it, `SIGKILL` is a
    /// crash. Returns how many there were.
    pub async fn signal_pod(&self, namespace: &str, pod: &str, signal: Signal) -> usize {
        let processes = self.pod_processes(namespace, pod).await;
        for pid in &processes {
            // One that has ended meanwhile needs no signal.
            let _ = nix::sys::signal::kill(*pid, signal);
        }
        processes.len()
    }

    async fn control(&self, words: &[&str]) {
        let server = self.server();
        assert!(
            server.is_own() || words.first() == Some(&"load"),
            "other tests use the shared cluster: {words:?} needs one of the test's own"
        );
        let mut command = Command::new(server.bin().join("controlplane"));
        run(command.arg("ctl").arg("--dir").arg(server.dir()).args(words), "").await.success();
    }
}

/// The processes whose cgroup carries a pod's uid, but for the sandbox process that holds the pod's namespaces.
fn processes_of(uid: &str) -> Vec<Pid> {
    // The cgroup of a guaranteed pod has the uid as it is; systemd's spelling has underscores.
    let spellings = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
    let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ours = pids.filter(|pid| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let cgroup = read("cgroup");
        spellings.iter().any(|uid| cgroup.contains(uid)) && !read("cmdline").starts_with("/idle\0sandbox")
    });
    ours.map(Pid::from_raw).collect()
}
