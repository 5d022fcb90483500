//! The ways in and out beside the bars: HTTP for readers, a socket for commands.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::commands::CommandError;
use crate::control::{ControlRequest, Server as ControlServer};
use crate::http;
use crate::snapshot::Snapshot;

/// Both, open.
pub(crate) struct Doors {
    pub(crate) commands: mpsc::Receiver<ControlRequest>,
    stop: Vec<oneshot::Sender<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    addresses: http::Addresses,
    probes: Option<SocketAddr>,
}

impl Doors {
    /// Opens them; `probes` is one more address for `/livez`, `/health` and `/metrics` alone.
    pub(crate) async fn open(
        wanted: &http::Addresses,
        probes: Option<SocketAddr>,
        data_dir: &Path,
        shown: watch::Receiver<Arc<Snapshot>>,
    ) -> Result<Self, CommandError> {
        let mut server = http::Server::bind(wanted, shown).await?;
        if let Some(address) = probes {
            server = server.with_probes(address).await?;
        }
        let (addresses, probes) = (server.addresses(), server.probes());
        let socket = ControlServer::bind(data_dir)?;
        let (sender, commands) = mpsc::channel(16);
        let (stop_http, http_stopped) = oneshot::channel::<()>();
        let (stop_socket, socket_stopped) = oneshot::channel::<()>();
        let http_task = tokio::spawn(async move { server.run(async { drop(http_stopped.await) }).await });
        let socket_task = tokio::spawn(async move {
            if let Err(error) = socket.run(sender, async { drop(socket_stopped.await) }).await {
                tracing::error!(%error, "commands are not taken any more");
            }
        });
        Ok(Self {
            commands,
            stop: vec![stop_http, stop_socket],
            tasks: vec![http_task, socket_task],
            addresses,
            probes,
        })
    }

    /// Where they are, for people.
    pub(crate) fn announce(&self, out: &mut dyn Write) -> Result<(), CommandError> {
        let http::Addresses { portfolio, signals, risk } = self.addresses;
        writeln!(
            out,
            "portfolio http://{portfolio}/portfolio  signals http://{signals}/signals/latest  risk http://{risk}/risk/metrics"
        )?;
        Ok(out.flush()?)
    }

    /// Where they are, for logs.
    pub(crate) fn log(&self) {
        let http::Addresses { portfolio, signals, risk } = self.addresses;
        let probes = self.probes.map(|address| address.to_string()).unwrap_or_default();
        tracing::info!(%portfolio, %signals, %risk, probes, "serving");
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.commands.is_empty()
    }

    pub(crate) async fn close(self) {
        drop(self.stop);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a server did not end well");
            }
        }
    }
}
