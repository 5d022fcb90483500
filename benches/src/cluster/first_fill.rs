//! From `kubectl apply` to the first paper fill in the strategy's status, on a cluster with a node: images, kubelet,
//! containers, volume. The operator runs already, both images are on the node; needs root on Linux.
//!
//! The account replays hourly candles at ten bars a second and the strategy crosses averages of one and two bars, so that
//! a fill is due with nearly each bar: what is measured is the way there.

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, WatchEvent, WatchParams};
use tradewind_crds::trading_strategy::TradingStrategy;
use tradewind_tests::binary::root;
use tradewind_tests::cluster::{Cluster, Namespace, patience, wait_for};
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};

use super::milliseconds;
use crate::measure::{Runs, scratch, worker_binary};
use crate::{BenchError, Figure};

const SECTION: &str = "first-fill";
const RUNS: usize = 5;
const TAG: &str = "bench";

/// Measures.
pub async fn run() -> Result<Vec<Figure>, BenchError> {
    let cluster = Cluster::own_with_node().await;
    let dir = scratch()?;
    for (component, program) in [("operator", "tradewind-operator"), ("worker", "tradewind-worker")] {
        cluster.load_image(&packed(component, &worker_binary()?.with_file_name(program), dir.path())?).await;
    }
    let operators = cluster.namespace().await;
    install(&cluster, operators.name(), dir.path()).await?;
    let (mut fill, mut running) = (Runs::default(), Runs::default());
    for _ in 0..RUNS {
        let namespace = cluster.namespace().await;
        let (ran, filled) = one(&cluster, &namespace).await?;
        running.push(ran);
        fill.push(filled);
    }
    let told = |runs: &Runs| format!("median {:.2} s, worst {:.2} s", runs.median() / 1e3, runs.most() / 1e3);
    Ok(vec![
        Figure::new(
            SECTION,
            format!("kubectl apply → first paper fill in the status, {RUNS} times"),
            told(&fill),
        ),
        Figure::new(SECTION, "of it until the pod is ready", told(&running)),
    ])
}

/// Milliseconds until the worker's pod was ready, and until a fill was in the status.
async fn one(cluster: &Cluster, namespace: &Namespace) -> Result<(f64, f64), BenchError> {
    let trend = strategy("trend", "paper", "BTC-USD").replace("bar: 1m", "bar: 1h");
    // An hour a bar: sixty times as fast as with minutes.
    let paper = account("paper", 600).replace("dataSet: zigzag", "dataSet: coinbase-1h");
    let applied = Timestamp::now();
    cluster.apply(namespace.name(), &all(&[OPEN_POLICY, &paper, &trend])).await;
    let strategies: Api<TradingStrategy> = namespace.api();
    let filled = async {
        let mut version = strategies.list(&ListParams::default()).await?.metadata.resource_version;
        loop {
            let from = version.take().unwrap_or_default();
            let mut stream =
                std::pin::pin!(strategies.watch(&WatchParams::default().timeout(290), &from).await?);
            while let Some(event) = stream.try_next().await? {
                let (WatchEvent::Added(strategy) | WatchEvent::Modified(strategy)) = event else { continue };
                version.clone_from(&strategy.metadata.resource_version);
                let trading = strategy.status.and_then(|status| status.trading);
                if trading.is_some_and(|trading| trading.last_trade_time.is_some()) {
                    return Ok::<Timestamp, BenchError>(Timestamp::now());
                }
            }
        }
    };
    let pods: Api<Pod> = namespace.api();
    let ready = async {
        wait_for("the worker's pod to be ready", patience(60), async || {
            let pod = pods.get("paper-0").await.map_err(|error| error.to_string())?;
            let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
            if ready { Ok(Timestamp::now()) } else { Err("not ready".to_owned()) }
        })
        .await
    };
    let (filled, ready) = tokio::join!(tokio::time::timeout(patience(60), filled), ready);
    let filled =
        filled.map_err(|_| BenchError::Process("no fill came into the status in time".to_owned()))??;
    Ok((milliseconds(applied, ready), milliseconds(applied, filled)))
}

/// The image of a program that is built.
fn packed(component: &str, program: &Path, folder: &Path) -> Result<PathBuf, BenchError> {
    let script = root().join("scripts/image");
    let mut command = Command::new(&script);
    command.arg(component).arg("--binary").arg(program).arg("--out").arg(folder).args(["--tag", TAG]);
    let ran = command.output().map_err(BenchError::at(&script))?;
    if !ran.status.success() {
        return Err(BenchError::Process(String::from_utf8_lossy(&ran.stderr).into_owned()));
    }
    Ok(folder.join(format!("{component}.tar")))
}

async fn install(cluster: &Cluster, namespace: &str, home: &Path) -> Result<(), BenchError> {
    let helm = root().join(".tools/bin/helm");
    let chart = root().join("charts/tradewind");
    let mut command = cluster.command(&helm);
    command.args(["install", "tradewind"]).arg(chart).args(["--namespace", namespace, "--wait"]);
    command.args(["--set", &format!("operator.image.tag={TAG},worker.image.tag={TAG}")]).env("HOME", home);
    for name in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
        command.env(name, home.join(name));
    }
    let ran = command.output().await.map_err(BenchError::at(&helm))?;
    if ran.status.success() {
        Ok(())
    } else {
        Err(BenchError::Process(format!("helm: {}", String::from_utf8_lossy(&ran.stderr))))
    }
}
