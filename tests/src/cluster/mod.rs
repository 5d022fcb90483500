//! A real Kubernetes for a test, by one call: API server, controllers, and where pods must run, nodes with containers.
//!
//! | call | what | ends |
//! |---|---|---|
//! | [`Cluster::shared`] | the control plane all tests of a run share, each in its own [`Namespace`]; no node | with the run |
//! | [`Cluster::with_node`] | the same with a node that runs pods (root on Linux) | with the run |
//! | [`Cluster::own`] | one for this test alone, to stop and damage | when dropped |
//! | [`Cluster::own_with_node`] | one for this test alone, with a node | when dropped |
//! | [`Cluster::start`] | as [`Options`] say: two nodes, nodes that are given up quickly, an audit log | when dropped |
//!
//! Where it comes from: `TRADEWIND_KUBECONFIG`, a file that names a cluster of yours, serves the two shared calls; the
//! current context of kubectl is never used. Otherwise, and always for a cluster of one's own, it is the one built from
//! `tests/cluster` (`scripts/setup cluster`); `K8S_VERSION` picks a release other than the newest. A test that cannot
//! have a cluster fails with a sentence that says what to run; it is never skipped.
//!
//! A run is what started the test process: `cargo nextest` or `cargo test`. When that process ends, however it ends,
//! the shared clusters end by themselves and leave no process, mount, network link, cgroup or file.
//!
//! What is cluster-wide (custom resource definitions, cluster roles, admission policies) is shared by all tests of a
//! run: add to it under names of your own, never change or remove what another test may use. Network policies are
//! stored, not enforced. There is no cluster DNS, no route out of a node, and no image registry: see
//! [`Cluster::load_image`].

mod builtin;
mod commands;
mod damage;
mod namespace;
mod wait;

pub use builtin::Options;
pub use commands::Ran;
pub use namespace::Namespace;
pub use wait::{Seen, patience, wait_for};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use builtin::Server;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::binary::root;

/// The variable that names a kubeconfig file of a cluster to use for the shared calls.
pub const KUBECONFIG: &str = "TRADEWIND_KUBECONFIG";

/// A command that brings an image archive into the cluster of [`KUBECONFIG`]; the archive's path is added to it.
pub const LOAD_IMAGE: &str = "TRADEWIND_LOAD_IMAGE";

/// A running cluster and a client with all rights. Cloning is cheap; the last clone of a cluster of one's own ends it.
///
/// The client lives on the runtime it was made on: get a cluster in each test, do not keep one in a static.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    home: Arc<Home>,
}

/// Where a cluster comes from.
#[derive(Debug)]
enum Home {
    /// The user's, named by [`KUBECONFIG`].
    Named { kubeconfig: PathBuf },
    /// The built-in one, this test's or shared.
    BuiltIn(Server),
}

impl Cluster {
    /// The control plane that all tests of this run share: no node, no scheduler, so pods stay Pending. No root needed.
    pub async fn shared() -> Self {
        Self::of_the_run(Options::default()).await
    }

    /// The cluster with one node (`node0`) that all tests of this run share.
    pub async fn with_node() -> Self {
        Self::of_the_run(Options { nodes: 1, ..Options::default() }).await
    }

    /// A control plane of this test's own.
    pub async fn own() -> Self {
        Self::start(Options::default()).await
    }

    /// A cluster of this test's own with one node (`node0`).
    pub async fn own_with_node() -> Self {
        Self::start(Options { nodes: 1, ..Options::default() }).await
    }

    /// A cluster of this test's own, always the built-in one.
    pub async fn start(options: Options) -> Self {
        Self::connect(Home::BuiltIn(builtin::own(options).await)).await
    }

    /// The cluster that a kubeconfig file names, as for [`KUBECONFIG`]. It is not ours: nothing of it is stopped.
    pub async fn named(kubeconfig: &Path) -> Self {
        Self::connect(Home::Named { kubeconfig: kubeconfig.to_owned() }).await
    }

    async fn of_the_run(options: Options) -> Self {
        match std::env::var_os(KUBECONFIG).filter(|path| !path.is_empty()) {
            Some(path) => Self::named(Path::new(&path)).await,
            None => Self::connect(Home::BuiltIn(builtin::shared(options).await)).await,
        }
    }

    async fn connect(home: Home) -> Self {
        let client = client(home.kubeconfig()).await;
        Self { client, home: Arc::new(home) }
    }

    /// The kubeconfig file, for processes that a test starts. Its user may do everything.
    pub fn kubeconfig(&self) -> &Path {
        self.home.kubeconfig()
    }

    /// The same cluster for another runtime than the one it was asked for on: a client lives on one.
    #[must_use]
    pub async fn on_this_runtime(&self) -> Self {
        Self { client: client(self.kubeconfig()).await, home: Arc::clone(&self.home) }
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A new empty namespace with a name of its own, deleted when dropped.
    pub async fn namespace(&self) -> Namespace {
        Namespace::create(self, &[]).await
    }

    /// As [`Self::namespace`], with labels: pod security is enforced by
    /// `("pod-security.kubernetes.io/enforce", "restricted")`.
    pub async fn namespace_with(&self, labels: &[(&str, &str)]) -> Namespace {
        Namespace::create(self, labels).await
    }

    /// The address at which pods, and the API server, reach a server that this test runs on `0.0.0.0`. Built-in
    /// clusters with a node only.
    pub fn host_address(&self) -> String {
        let text = std::fs::read_to_string(self.server().dir().join("host-address"));
        text.expect("a cluster with a node, which alone has an address for the host").trim().to_owned()
    }

    /// Its folder: `log/<component>.log` of each component, and with [`Options::audit`] `log/audit.log` (a JSON object
    /// a line for each request answered). Built-in clusters only.
    pub fn dir(&self) -> &Path {
        self.server().dir()
    }

    fn server(&self) -> &Server {
        match &*self.home {
            Home::BuiltIn(server) => server,
            Home::Named { .. } => panic!(
                "this needs the built-in cluster, but {KUBECONFIG} names one: unset it, or use a cluster of the test's own"
            ),
        }
    }
}

impl Home {
    fn kubeconfig(&self) -> &Path {
        match self {
            Self::Named { kubeconfig } => kubeconfig,
            Self::BuiltIn(server) => server.kubeconfig(),
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("home", &self.home).finish_non_exhaustive()
    }
}

/// A client by that kubeconfig file alone: neither `KUBECONFIG` nor the home directory is asked.
pub async fn client(kubeconfig: &Path) -> Client {
    let file = Kubeconfig::read_from(kubeconfig)
        .unwrap_or_else(|e| panic!("{} is not a readable kubeconfig: {e}", kubeconfig.display()));
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options).await;
    let config = config.unwrap_or_else(|e| panic!("{} names no usable cluster: {e}", kubeconfig.display()));
    Client::try_from(config).expect("a client from a kubeconfig that was read")
}

/// The files of `crds/generated`, in order of name.
pub fn generated_crds() -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join("crds/generated")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    files
}
