//! The chart, installed by helm as a person would.

use std::path::PathBuf;
use std::process::Output;

use tempfile::TempDir;
use tradewind_tests::binary::{root, tools};
use tradewind_tests::cluster::Cluster;

use super::images::TAG;

/// A release of the chart in a namespace; its name is the namespace's.
pub(crate) struct Release {
    cluster: Cluster,
    namespace: String,
    /// What helm keeps for itself.
    home: TempDir,
}

impl Release {
    /// Installs it with those values and returns when the operator is available.
    pub(crate) async fn install(cluster: &Cluster, namespace: &str, values: &[&str]) -> Self {
        let release = Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            home: TempDir::with_prefix("helm-").unwrap(),
        };
        release.upgrade(values).await;
        release
    }

    /// `helm upgrade --install` with those values, and the images of the tests.
    pub(crate) async fn upgrade(&self, values: &[&str]) -> String {
        let tag = format!("operator.image.tag={TAG},worker.image.tag={TAG}");
        let chart = root().join("charts/tradewind");
        let mut all = vec!["upgrade", "--install", &self.namespace, chart.to_str().unwrap(), "--set", &tag];
        all.extend(values.iter().flat_map(|value| ["--set", value]));
        all.extend(["--wait", "--timeout", "120s"]);
        self.helm(&all).await
    }

    /// `helm uninstall`, and returns when all it deletes is gone.
    pub(crate) async fn uninstall(&self) -> String {
        self.helm(&["uninstall", &self.namespace, "--wait", "--timeout", "120s"]).await
    }

    async fn helm(&self, arguments: &[&str]) -> String {
        let mut command = self.cluster.command(program());
        command.args(arguments).args(["--namespace", &self.namespace]).env("HOME", self.home.path());
        for name in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
            command.env(name, self.home.path().join(name));
        }
        let Output { status, stdout, stderr } =
            command.kill_on_drop(true).output().await.expect("helm starts");
        assert!(status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }
}

/// The helm that `scripts/setup` installs, else the machine's own.
fn program() -> PathBuf {
    let ours = tools().join("bin/helm");
    if ours.exists() { ours } else { "helm".into() }
}
