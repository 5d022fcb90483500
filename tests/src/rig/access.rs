//! Who may do what: the rights the chart gives, and kubeconfig files that have no more.

use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use serde_json::json;

use crate::binary::{root, tools};
use crate::cluster::Cluster;

/// The operator's service account, as the chart names it.
pub(super) const OPERATOR: &str = "tradewind-operator";

/// Installs what the chart gives an operator of that one namespace: its service account and its rights.
pub(super) async fn install(cluster: &Cluster, namespace: &str) {
    let helm = tools().join("bin/helm");
    assert!(helm.exists(), "helm is missing: run 'scripts/setup'");
    let chart = root().join("charts/tradewind");
    let mut command = cluster.command(helm);
    command.args(["template", "rig"]).arg(chart).args(["--namespace", namespace]);
    command.args([
        "--set",
        "crds.enabled=false",
        "--set",
        "admission.enabled=false",
        "--set",
        "admission.mutating=false",
    ]);
    command.args(["--set", "rbac.userRoles=false", "--set", "fullnameOverride=tradewind"]);
    command.arg("--set").arg(format!("watchNamespaces={{{namespace}}}"));
    let rendered = command.output().await.expect("helm runs");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let rendered = String::from_utf8(rendered.stdout).expect("text");
    let wanted = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    let documents = rendered.split("\n---\n").filter(|text| {
        text.lines().any(|line| line.strip_prefix("kind: ").is_some_and(|kind| wanted.contains(&kind.trim())))
    });
    let yaml: Vec<&str> = documents.collect();
    assert!(!yaml.is_empty(), "the chart renders no rights:\n{rendered}");
    cluster.apply(namespace, &yaml.join("\n---\n")).await;
}

/// Writes a kubeconfig with a token of a service account in a file beside it; `server` leads through another address.
pub(super) async fn kubeconfig(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    file: &Path,
    server: Option<&str>,
) {
    let granted = renew_token(cluster, namespace, account, file).await;
    granted.unwrap_or_else(|e| panic!("no token for {namespace}/{account}: {e}"));
    let admin = Kubeconfig::read_from(cluster.kubeconfig()).expect("the cluster's kubeconfig");
    let mut named = serde_json::to_value(&admin.clusters).expect("clusters");
    if let Some(server) = server {
        named[0]["cluster"] = json!({"server": server});
    }
    let name = named[0]["name"].clone();
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "rig", "clusters": named,
        "contexts": [{"name": "rig", "context": {"cluster": name, "user": "rig", "namespace": namespace}}],
        "users": [{"name": "rig", "user": {"tokenFile": token_file(file)}}],
    });
    std::fs::write(file, text.to_string()).expect("the rig's folder");
}

/// Puts a new token where the kubeconfig of that file has its own, as a kubelet does in good time.
pub(super) async fn renew_token(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    kubeconfig: &Path,
) -> Result<(), kube::Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(7_200), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let granted = accounts.create_token_request(account, &PostParams::default(), &request).await?;
    let token = granted.status.expect("a token").token;
    let (place, new) = (token_file(kubeconfig), kubeconfig.with_extension("token.new"));
    std::fs::write(&new, token).expect("the rig's folder");
    std::fs::rename(&new, place).expect("the rig's folder");
    Ok(())
}

fn token_file(kubeconfig: &Path) -> PathBuf {
    kubeconfig.with_extension("token")
}
