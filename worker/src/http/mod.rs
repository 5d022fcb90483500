//! The worker's read-only HTTP endpoints: portfolio, signals and risk, each on a port of its own.
//!
//! Promises: every answer is a function of one [`Snapshot`] and of the request; money is written as JSON numbers digit for
//! digit; no request can panic, change anything or wait for the engine; no secret is known here, so none can leak.
//!
//! Must not: touch the engine or the ledger, compute with money in floats (metrics are no money), or read a clock.

mod metrics;
pub(crate) mod number;
mod portfolio;
mod risk;
mod router;
mod signals;
mod strategies;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// How long requests under way may take to end after the shutdown; what is slower is cut off.
const DRAIN: Duration = Duration::from_secs(2);

/// Where each endpoint listens. Port 0 picks a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// `/portfolio`, `/trades/recent`.
    pub portfolio: SocketAddr,
    /// `/signals/latest`, `/signals/performance`.
    pub signals: SocketAddr,
    /// `/risk/metrics`.
    pub risk: SocketAddr,
}

/// Loopback only, on ports 8024, 8025 and 8047.
impl Default for Addresses {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { portfolio: loopback(8024), signals: loopback(8025), risk: loopback(8047) }
    }
}

impl Addresses {
    /// Loopback, each endpoint on a free port.
    pub fn any_port() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { portfolio: any, signals: any, risk: any }
    }
}

/// Which of the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Endpoint {
    /// What is held and what it is worth.
    Portfolio,
    /// What the signals said and what came of it.
    Signals,
    /// Limits, breakers, halts and denials.
    Risk,
    /// Liveness, readiness and metrics alone.
    Probes,
}

/// Why the endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error(
        "the {endpoint} endpoint cannot listen on {address}: {}; choose another address, such as --{endpoint}-address \
         127.0.0.1:0, which takes a free port",
        why(source)
    )]
    Bind {
        /// Which endpoint.
        endpoint: Endpoint,
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

fn why(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "something else already listens there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "the system does not allow it".to_owned(),
        _ => source.to_string(),
    }
}

/// The three endpoints, bound and not yet served.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    portfolio: TcpListener,
    signals: TcpListener,
    risk: TcpListener,
    probes: Option<(TcpListener, SocketAddr)>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

impl Server {
    /// Binds all three addresses, or none: the first that cannot be bound is the error.
    pub async fn bind(
        addresses: &Addresses,
        snapshots: watch::Receiver<Arc<Snapshot>>,
    ) -> Result<Self, HttpError> {
        let (portfolio, at_portfolio) = listen(Endpoint::Portfolio, addresses.portfolio).await?;
        let (signals, at_signals) = listen(Endpoint::Signals, addresses.signals).await?;
        let (risk, at_risk) = listen(Endpoint::Risk, addresses.risk).await?;
        let addresses = Addresses { portfolio: at_portfolio, signals: at_signals, risk: at_risk };
        Ok(Self { addresses, portfolio, signals, risk, probes: None, snapshots })
    }

    /// One more address, for `/livez`, `/health` and `/metrics` alone: what a cluster asks.
    pub async fn with_probes(mut self, address: SocketAddr) -> Result<Self, HttpError> {
        self.probes = Some(listen(Endpoint::Probes, address).await?);
        Ok(self)
    }

    /// Where the probes are answered, if they have an address of their own.
    pub fn probes(&self) -> Option<SocketAddr> {
        self.probes.as_ref().map(|(_, address)| *address)
    }

    /// The addresses that are really listened on, with the ports that were picked.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown` ends; then takes no more connections and lets requests under way end, two seconds at
    /// the most. Connections run as tasks of the calling runtime.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(false);
        let serve = |listener, endpoint| {
            let mut stopping = stopping.clone();
            let router = router::of(endpoint, self.snapshots.clone());
            let stopped = async move {
                // An error means that the sender is gone, which is a shutdown too.
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            axum::serve(listener, router).with_graceful_shutdown(stopped).into_future()
        };
        let portfolio = serve(self.portfolio, Endpoint::Portfolio);
        let signals = serve(self.signals, Endpoint::Signals);
        let risk = serve(self.risk, Endpoint::Risk);
        let probes = self.probes.map(|(listener, _)| serve(listener, Endpoint::Probes));
        let probes = async {
            if let Some(probes) = probes {
                let _ = probes.await;
            }
        };
        let mut serving = pin!(async { tokio::join!(portfolio, signals, risk, probes) });
        tokio::select! {
            _ = &mut serving => return,
            () = shutdown => {}
        }
        stop.send_replace(true);
        if tokio::time::timeout(DRAIN, serving).await.is_err() {
            tracing::debug!("HTTP requests were still under way after {DRAIN:?} and are cut off");
        }
    }
}

async fn listen(endpoint: Endpoint, address: SocketAddr) -> Result<(TcpListener, SocketAddr), HttpError> {
    let failed = |source| HttpError::Bind { endpoint, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
