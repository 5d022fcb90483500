//! What the operator relies on so that it never takes over what somebody else made: on a real API server an apply that
//! names a version no object has makes what is not there, and is refused when something is there by then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use serde_json::{Value, json};
use tradewind_tests::cluster::{Cluster, Namespace};

/// The operator's manager, and the version it names (`operator/src/apply.rs`).
const MANAGER: &str = "--field-manager=tradewind-operator";
const NO_VERSION: &str = "1";

/// One of each kind of child.
fn children() -> Vec<Value> {
    let selector = json!({"app": "x"});
    let role_ref = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"});
    let template =
        json!({"metadata": {"labels": selector}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
    let set = json!({"replicas": 0, "serviceName": "x", "selector": {"matchLabels": selector}, "template": template});
    let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount"}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": []}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "roleRef": role_ref}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": claim}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}}),
        json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}}),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": set}),
    ]
}

async fn write(cluster: &Cluster, space: &Namespace, verb: &[&str], object: &Value) -> Result<(), String> {
    let arguments = [&["-n", space.name()], verb, &["-f", "-"]].concat();
    let ran = cluster.kubectl_reading(&arguments, &object.to_string()).await;
    if ran.ok { Ok(()) } else { Err(ran.err) }
}

#[tokio::test]
async fn an_apply_that_names_no_objects_version_makes_and_never_takes_over() {
    let cluster = Cluster::shared().await;
    let space = cluster.namespace().await;
    for mut object in children() {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let apply = ["apply", "--server-side", MANAGER];
        object["metadata"] = json!({"name": "new", "resourceVersion": NO_VERSION});
        write(&cluster, &space, &apply, &object).await.unwrap();
        // The very same again: it is there now.
        let refused = write(&cluster, &space, &apply, &object).await.unwrap_err();
        assert!(refused.contains("the object has been modified"), "{kind}: {refused}");

        object["metadata"] = json!({"name": "foreign"});
        write(&cluster, &space, &["create"], &object).await.unwrap();
        // Of most kinds ours would change nothing that is theirs, and so would not even be a conflict between managers.
        object["metadata"] = json!({"name": "foreign", "labels": {"tradewind.dev/component": "worker"}, "resourceVersion": NO_VERSION});
        let refused = write(&cluster, &space, &apply, &object).await.unwrap_err();
        let told = ["the object has been modified", "Apply failed with"];
        assert!(told.iter().any(|told| refused.contains(told)), "{kind}: {refused}");
        let get = ["get", &kind, "foreign", "-n", space.name(), "-o", "jsonpath={.metadata.labels}"];
        assert_eq!(cluster.kubectl(&get).await.success(), "", "{kind} was taken over");
    }
}
