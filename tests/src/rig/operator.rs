//! The operator as a process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::cluster::{patience, wait_for};
use crate::process::{Ended, Worker as Process};
use crate::{binary, http};

/// A running operator. Dropped, it is killed.
pub struct Operator {
    process: Process,
    address: SocketAddr,
}

impl Operator {
    /// Starts one for that namespace, which is also its own.
    pub fn spawn(namespace: &str, kubeconfig: &Path) -> Self {
        Self::spawn_as("tradewind-operator-0", namespace, kubeconfig)
    }

    /// As [`Self::spawn`], under another pod name: a second replica.
    pub fn spawn_as(pod: &str, namespace: &str, kubeconfig: &Path) -> Self {
        let address = free_address();
        let mut command = std::process::Command::new(binary::operator());
        command.env("KUBECONFIG", kubeconfig).env("POD_NAME", pod).env("POD_NAMESPACE", namespace);
        command.env("NO_COLOR", "1").env_remove("KUBERNETES_SERVICE_HOST");
        command.args(["--namespaces", namespace, "--worker-image", "localhost/tradewind-worker:rig"]);
        command.arg("--http-address").arg(address.to_string());
        Self { process: Process::spawn(&mut command), address }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&self) {
        wait_for("the operator to be ready", patience(20), async || {
            match http::try_get(self.address, "/readyz") {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{status}: {body}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its metrics page.
    pub fn metrics(&self) -> String {
        http::try_get(self.address, "/metrics").expect("the operator serves").1
    }

    /// Sends a signal: `SIGSTOP` pauses it, `SIGCONT` wakes it.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// What it has said.
    pub fn said(&mut self) -> String {
        self.process.so_far().err.clone()
    }

    /// Asks it to stop and waits for its end.
    pub fn stop(self) -> Ended {
        self.process.signal(Signal::SIGTERM);
        self.process.ended()
    }
}

/// An address of this machine that nobody uses now.
pub(super) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}
