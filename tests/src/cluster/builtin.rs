//! The cluster built from `tests/cluster`: where its binary is, how one is started, and how it ends.
//!
//! A cluster is one process, `controlplane up`, told to end when another one ends: the test for its own cluster, what
//! started the test for a shared one. It cleans up after itself also when it is killed.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};

use super::{patience, wait_for};
use crate::binary::tools;

/// What a cluster is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Nodes that run pods, `node0` on; at most four. More than none needs root on Linux and brings a scheduler.
    pub nodes: u8,
    /// Whether a silent node is given up quickly: `NotReady` after 12 s, its pods evicted 1 s later. Without it after 50 s
    /// and 5 min, as Kubernetes does by itself.
    pub give_up_nodes_quickly: bool,
    /// Whether the API server writes a line for each request it answers: see [`super::Cluster::dir`].
    pub audit: bool,
}

/// Environment variable that picks a release built by `scripts/cluster-build` other than the newest.
const VERSION: &str = "K8S_VERSION";

/// A running `controlplane up`.
#[derive(Debug)]
pub(super) struct Server {
    dir: PathBuf,
    kubeconfig: PathBuf,
    bin: PathBuf,
    /// The process to end on drop; none for a shared one, which outlives the test.
    own: Option<Child>,
}

impl Server {
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder of `controlplane` and `kubectl`.
    pub(super) fn bin(&self) -> &Path {
        &self.bin
    }

    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    fn at(dir: PathBuf, bin: PathBuf, own: Option<Child>) -> Self {
        Self { kubeconfig: dir.join("admin.kubeconfig"), dir, bin, own }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(child) = &mut self.own else { return };
        // It removes all it made before it ends; it takes a fraction of a second.
        let _ = kill(pid(child.id()), Signal::SIGTERM);
        drop(child.wait());
    }
}

/// The folder of all that belongs to test clusters: `.tools/cluster` of this checkout, or of the one that this is a copy of.
fn home() -> PathBuf {
    tools().join("cluster")
}

/// The folder of the built programs.
pub(super) fn installed() -> Result<PathBuf, String> {
    let version = std::env::var(VERSION).unwrap_or_default();
    let link = if version.is_empty() { "current" } else { &version };
    let bin = home().join(link);
    // The link's target: a build made meanwhile must not change a running cluster.
    match bin.canonicalize() {
        Ok(bin) if bin.join("controlplane").exists() => Ok(bin),
        _ if version.is_empty() => Err("the test cluster is not built: run scripts/setup".to_owned()),
        _ => Err(format!("Kubernetes {version} is not built: run {VERSION}={version} scripts/cluster-build")),
    }
}

/// What a cluster of those options needs and this machine lacks, in a sentence.
fn needs(options: Options) -> Result<PathBuf, String> {
    let bin = installed()?;
    if options.nodes > 0 {
        if fs::metadata("/proc/self").expect("Linux").uid() != 0 {
            return Err("a node needs root: run the tests as root, or name a cluster that has nodes in \
                        TRADEWIND_KUBECONFIG"
                .to_owned());
        }
        if !bin.join("runtime").exists() {
            return Err("the node's container runtime is missing: run scripts/setup".to_owned());
        }
    }
    Ok(bin)
}

/// Starts a cluster that ends when dropped, and at the latest with this process.
pub(super) async fn own(options: Options) -> Server {
    let bin = needs(options).unwrap_or_else(|sentence| panic!("{sentence}"));
    let dir = free_dir(&format!("{}-own", std::process::id()), |_| false);
    let child = spawn(&bin, &dir, options, std::process::id());
    // Owned from here on: it ends also when it does not become ready.
    let server = Server::at(dir, bin, Some(child));
    until_ready(&server).await;
    server
}

/// Joins the cluster of those options that this run shares, or starts it.
pub(super) async fn shared(options: Options) -> Server {
    let bin = needs(options).unwrap_or_else(|sentence| panic!("{sentence}"));
    let keeper = run_process();
    let kind = if options.nodes == 0 { "plain" } else { "node" };
    // One test starts it, the others wait for it.
    let lock = File::create(runs().join("lock")).expect("a lock file");
    let lock =
        tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await.unwrap().expect("a lock");
    let dir = free_dir(&format!("{keeper}-{kind}{}", std::env::var(VERSION).unwrap_or_default()), is_alive);
    let server = Server::at(dir, bin, None);
    if !is_alive(&server.dir) {
        // Nobody waits for this child: it outlives the test, and what then becomes its parent does.
        drop(spawn(&server.bin, &server.dir, options, keeper));
        until_ready(&server).await;
    }
    drop(lock);
    server
}

/// The first folder of that name which is wanted, or free. One that a dead cluster is just cleaning up is neither.
fn free_dir(name: &str, wanted: impl Fn(&Path) -> bool) -> PathBuf {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let first = if name.ends_with("-own") { TAKEN.fetch_add(1, Ordering::Relaxed) } else { 0 };
    let dirs = (first..).map(|n| runs().join(format!("{name}{n}")));
    dirs.into_iter().find(|dir| !dir.exists() || wanted(dir)).unwrap()
}

/// Where clusters of tests live while they run.
fn runs() -> PathBuf {
    let runs = home().join("run");
    fs::create_dir_all(&runs).expect("a folder for clusters");
    runs.canonicalize().unwrap()
}

/// The process whose end is the end of the run: nextest, or cargo. A test started by hand is a run of its own.
fn run_process() -> u32 {
    let by_a_runner = std::env::var_os("NEXTEST").is_some() || std::env::var_os("CARGO").is_some();
    let parent = u32::try_from(getppid().as_raw()).unwrap_or_default();
    if by_a_runner && parent > 1 { parent } else { std::process::id() }
}

fn spawn(bin: &Path, dir: &Path, options: Options, keeper: u32) -> Child {
    let said = said(dir);
    let output = File::create(&said).expect("a file for the cluster's output");
    let mut command = Command::new(bin.join("controlplane"));
    command.arg("up").arg("--dir").arg(dir).arg(format!("--while-pid={keeper}"));
    command.arg(format!("--nodes={}", options.nodes)).arg("--remove").arg(said);
    if options.give_up_nodes_quickly {
        command.args(["--node-grace=12s", "--eviction-after=1s"]);
    }
    if options.audit {
        command.arg("--audit");
    }
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    // A group of its own: what ends the test's group (a time limit, Ctrl-C) leaves it to clean up by itself.
    command.process_group(0).spawn().expect("the cluster's program starts")
}

/// The file that holds what the cluster of that folder said: beside it, because the folder goes when it fails.
fn said(dir: &Path) -> PathBuf {
    dir.with_extension("said")
}

async fn until_ready(server: &Server) {
    let (ready, said) = (server.dir.join("ready"), said(&server.dir));
    let started = wait_for("the cluster to start", patience(40), async || {
        if ready.exists() {
            return Ok(Ok(()));
        }
        let words = fs::read_to_string(&said).unwrap_or_default();
        // Its last line when it gives up.
        if words.contains("controlplane: the cluster has ended") { Ok(Err(words)) } else { Err(words) }
    });
    if let Err(words) = started.await {
        drop(fs::remove_file(&said));
        panic!("the cluster did not start: {words}");
    }
}

/// Whether the cluster of that folder is up: its process holds the lock on a file there.
fn is_alive(dir: &Path) -> bool {
    let Ok(file) = File::open(dir.join("up.lock")) else { return false };
    dir.join("ready").exists() && matches!(file.try_lock_shared(), Err(fs::TryLockError::WouldBlock))
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap())
}
