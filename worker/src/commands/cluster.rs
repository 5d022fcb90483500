//! `cluster`: trades one account in a cluster, as the operator publishes it.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::CommandError;
use crate::cluster::worker;

/// What the worker of an account is told.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Name of the ExchangeAccount.
    #[arg(long, value_name = "NAME")]
    pub account: String,
    /// Namespace of the ExchangeAccount.
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: String,
    /// Where the ledger lies.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tradewind")]
    pub data_dir: PathBuf,
    /// A folder of the pod's own, which its containers share and no other pod sees.
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    pub pod_dir: PathBuf,
    /// Where the account's ConfigMap is mounted.
    #[arg(long, value_name = "DIR", default_value = "/etc/tradewind/config")]
    pub config_dir: PathBuf,
    /// Folder with data sets; may be repeated.
    #[arg(long, value_name = "DIR", default_value = "/usr/share/tradewind/data")]
    pub market_data: Vec<PathBuf>,
    /// Folder with the files apiKey and apiSecret, for an account at a real venue. Nothing of them is ever logged.
    #[arg(long, value_name = "DIR", env = "TRADEWIND_CREDENTIALS")]
    pub credentials: Option<PathBuf>,
    /// Folder with the files username, password and, for a private authority, ca.crt, for a ledger in a database.
    #[arg(long, value_name = "DIR", env = "TRADEWIND_LEDGER_CREDENTIALS")]
    pub ledger_credentials: Option<PathBuf>,
    /// Days of event time after which decisions and equity are deleted; orders, fills and halts are kept for ever.
    #[arg(long, value_name = "DAYS", default_value_t = 400)]
    pub keep_days: u32,
    /// Folder with the files of the Secret that the account's bus names.
    #[arg(long, value_name = "DIR")]
    pub bus_credentials: Option<PathBuf>,
    /// Name of the pod.
    #[arg(long, env = "POD_NAME", default_value = "worker")]
    pub pod_name: String,
    /// Uid of the pod.
    #[arg(long, env = "POD_UID", default_value = "")]
    pub pod_uid: String,
    /// Where `/portfolio` and `/trades/recent` are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8024")]
    pub portfolio_address: SocketAddr,
    /// Where `/signals/latest` and `/signals/performance` are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8025")]
    pub signals_address: SocketAddr,
    /// Where `/risk/metrics` is served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8047")]
    pub risk_address: SocketAddr,
    /// Where `/livez`, `/health` and `/metrics` are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub probes_address: SocketAddr,
}

/// The command.
pub async fn execute(options: &Options) -> Result<(), CommandError> {
    // The largest state machine there is; kept off the stack.
    Box::pin(worker::run(options)).await
}
