//! What of a cluster is on the machine, and that none of it stays, however the cluster ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kube::api::Api;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tradewind_tests::cluster::{Cluster, patience, wait_for};

use crate::{idle, running};

/// What of a cluster is on this machine beside its own folder, each by something that a later one does not share.
#[derive(Debug)]
struct Traces {
    dir: PathBuf,
    /// Number and time of start of each process.
    processes: Vec<(i32, String)>,
    /// Folders of its cgroups and of its network link, with what tells them from others of that name.
    folders: Vec<(PathBuf, u64)>,
}

/// Parent and time of start of a process, if there is one.
fn process(pid: i32) -> Option<(i32, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The fields after the name, which may hold anything: state, parent … time of start (field 22 of proc(5)).
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // One that has ended and waits for its parent is no trace.
    (fields[0] != "Z").then(|| (fields[1].parse().unwrap(), fields[19].to_owned()))
}

impl Traces {
    fn of(cluster: &Cluster) -> Self {
        let dir = cluster.dir().to_owned();
        let up = pid_of(&dir);
        let all: Vec<i32> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok())
            .collect();
        let below =
            |pid: i32| std::iter::successors(Some(pid), |p| process(*p).map(|p| p.0)).any(|p| p == up);
        let processes = all
            .into_iter()
            .filter(|pid| below(*pid))
            .filter_map(|pid| Some((pid, process(pid)?.1)))
            .collect();
        let mut folders = Vec::new();
        if let Ok(address) = fs::read_to_string(dir.join("host-address")) {
            let name = format!("tradewind{}", address.split('.').nth(2).unwrap());
            let cgroups = fs::read_dir("/sys/fs/cgroup").unwrap().map(|e| e.unwrap().path().join(&name));
            let link = Path::new("/sys/class/net").join(&name);
            let known =
                cgroups.chain([Path::new("/sys/fs/cgroup").join(&name), link]).filter(|path| path.exists());
            folders.extend(known.map(|path| (path.clone(), identity(&path))));
        }
        Self { dir, processes, folders }
    }

    /// What is still there.
    fn left(&self) -> Vec<String> {
        let alive =
            self.processes.iter().filter(|(pid, start)| process(*pid).is_some_and(|now| now.1 == *start));
        let alive =
            alive.map(|(pid, _)| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default());
        let folders = self.folders.iter().filter(|(path, id)| path.exists() && identity(path) == *id);
        let files =
            [self.dir.clone(), self.dir.with_extension("said")].into_iter().filter(|path| path.exists());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mounts = mounts
            .lines()
            .filter(|line| line.contains(self.dir.to_str().unwrap()))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let shown = |path: PathBuf| path.display().to_string();
        alive
            .chain(folders.map(|(path, _)| shown(path.clone())))
            .chain(files.map(shown))
            .chain(mounts)
            .collect()
    }

    async fn are_gone(&self) {
        wait_for("nothing to be left", patience(15), async || {
            let left = self.left();
            if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
        })
        .await;
    }
}

/// The link's number or the folder's.
fn identity(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let index = fs::read_to_string(path.join("ifindex")).ok();
    index.map_or_else(|| path.metadata().unwrap().ino(), |index| index.trim().parse().unwrap())
}

/// The process that all of the cluster in that folder hangs on.
fn pid_of(dir: &Path) -> i32 {
    fs::read_to_string(dir.join("pid")).unwrap().trim().parse().unwrap()
}

/// A cluster of one node on which a pod with a volume runs, and all there is of it.
async fn busy_cluster() -> (Cluster, Traces) {
    let cluster = Cluster::own_with_node().await;
    cluster.apply("default", &idle("busy", "")).await;
    running(&Api::default_namespaced(cluster.client()), "busy").await;
    let traces = Traces::of(&cluster);
    let programs = ["etcd", "kube-apiserver", "kubelet", "containerd", "/idle"];
    let lines = traces.left();
    assert!(programs.iter().all(|program| lines.iter().any(|line| line.contains(program))), "{lines:?}");
    assert!(traces.folders.len() > 1, "cgroups and a link: {traces:?}");
    (cluster, traces)
}

#[tokio::test]
async fn nothing_is_left_of_a_cluster_that_ends() {
    let (cluster, traces) = busy_cluster().await;
    drop(cluster);
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_left_of_a_cluster_that_is_killed() {
    let (cluster, traces) = busy_cluster().await;
    kill(Pid::from_raw(pid_of(cluster.dir())), Signal::SIGKILL).unwrap();
    traces.are_gone().await;
}

#[tokio::test]
async fn a_cluster_ends_with_the_process_it_is_for() {
    let cluster = Cluster::own().await;
    let program = cluster.kubectl_program().with_file_name("controlplane");
    let dir = cluster.dir().with_extension("kept");
    let mut keeper = Command::new("tail").args(["-f", "/dev/null"]).spawn().unwrap();
    let mut up = Command::new(program)
        .arg("up")
        .arg(format!("--while-pid={}", keeper.id()))
        .arg("--dir")
        .arg(&dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("it to be ready", patience(30), async || {
        if dir.join("ready").exists() { Ok(()) } else { Err(format!("{:?}", up.try_wait())) }
    })
    .await;
    keeper.kill().unwrap();
    keeper.wait().unwrap();
    wait_for("it to end", patience(15), async || match up.try_wait() {
        Ok(Some(status)) => {
            assert!(status.success() && !dir.exists());
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
}
