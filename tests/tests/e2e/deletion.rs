//! Deleting what trades, in every way kubectl and namespaces have.

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::DeleteParams;
use tradewind_tests::cluster::{Cluster, patience, wait_for};

use crate::desk::Desk;
use crate::release::Release;
use crate::{images, one_of_each};

/// A cluster with an operator for all namespaces.
async fn cluster() -> (Cluster, Desk, Release) {
    let cluster = Cluster::own_with_node().await;
    images::load(&cluster).await;
    let operators = Desk::empty(&cluster).await;
    let release = Release::install(&cluster, operators.name(), &["operator.replicas=1"]).await;
    (cluster, operators, release)
}

async fn trading(cluster: &Cluster) -> Desk {
    let desk = Desk::empty(cluster).await;
    desk.apply(&one_of_each()).await;
    desk.phase("strat/trend", "Running").await;
    desk.trades_on("paper", "BTC-USD", 3).await;
    desk
}

/// Deletes everything at once with that propagation, and waits for the end of it.
async fn delete(desk: &Desk, cascade: &str) {
    let cascade_as = format!("--cascade={cascade}");
    let all = ["delete", "strat/trend", "exacct/paper", "riskpol/open", "--timeout=120s", &cascade_as];
    desk.kubectl(&all).await.success();
    let reasons = desk.kubectl(&["events", "--for", "strat/trend"]).await.success();
    assert!(!reasons.contains("ReleasedUnsettled"), "{cascade}: it was settled first\n{reasons}");
    desk.gone("statefulsets,pods,services,networkpolicies,roles,rolebindings,leases", 60).await;
    let left = desk.kubectl(&["get", "configmaps,serviceaccounts,pvc", "-o", "name"]).await.success();
    let mut left: Vec<&str> = left.lines().collect();
    left.sort_unstable();
    assert_eq!(
        left,
        ["configmap/kube-root-ca.crt", "persistentvolumeclaim/paper-ledger", "serviceaccount/default"],
        "{cascade}: only the ledger stays"
    );
}

#[tokio::test]
async fn what_is_deleted_is_settled_and_collected_whatever_the_propagation() {
    let (cluster, _operators, _release) = cluster().await;
    let desks = [trading(&cluster).await, trading(&cluster).await, trading(&cluster).await];
    let [background, foreground, orphan] = &desks;
    tokio::join!(
        delete(background, "background"),
        delete(foreground, "foreground"),
        delete(orphan, "orphan")
    );
}

#[tokio::test]
async fn a_namespace_that_is_deleted_with_all_that_trades_in_it_ends() {
    let (cluster, _operators, _release) = cluster().await;
    let (doomed, other) = (trading(&cluster).await, trading(&cluster).await);
    doomed.patch("strat/trend", r#"{"halted":true}"#).await;
    doomed.phase("strat/trend", "Halted").await;
    let before = other.worker("paper").await.unwrap();
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    namespaces.delete(doomed.name(), &DeleteParams::default()).await.unwrap();
    wait_for("the namespace to end", patience(60), async || {
        match namespaces.get_opt(doomed.name()).await.map_err(|e| e.to_string())? {
            None => Ok(()),
            Some(left) => Err(format!("{:?}", left.status.and_then(|status| status.conditions))),
        }
    })
    .await;
    other.trades_on("paper", "BTC-USD", 5).await;
    assert_eq!(other.worker("paper").await.unwrap(), before);
}
