//! The children of an account among hands that should not touch them: what is changed or deleted is put right, what is
//! not ours is left alone, and when all is as it should be nothing is written.
#![allow(clippy::similar_names)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use serde_json::{Value, json};
use tradewind_tests::cluster::{Cluster, Options, Seen, patience, wait_for};
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};
use tradewind_tests::rig::{Proxy, Rig};

/// What is promised, on any machine.
const RESTORED: Duration = Duration::from_secs(30);

/// A child of account `paper`, and a merge patch that does harm.
const CHILDREN: [(&str, &str, &str); 8] = [
    ("serviceaccount", "paper-worker", r#"{"automountServiceAccountToken":true}"#),
    ("role", "paper-worker", r#"{"rules":[{"apiGroups":[""],"resources":["secrets"],"verbs":["get"]}]}"#),
    ("rolebinding", "paper-worker", r#"{"subjects":[]}"#),
    ("configmap", "paper-config", r#"{"data":{"account.yaml":"{}","strategy.ghost.yaml":"{}"}}"#),
    ("pvc", "paper-ledger", r#"{"metadata":{"labels":{"tradewind.dev/account":"other"}}}"#),
    ("service", "paper-worker", r#"{"spec":{"selector":{"app":"else"}}}"#),
    ("networkpolicy", "paper-worker", r#"{"spec":{"egress":[{}],"ingress":[{}]}}"#),
    ("statefulset", "paper", r#"{"spec":{"replicas":3,"template":{"spec":{"hostNetwork":true}}}}"#),
];

/// What a person would compare: all but what the API server counts and stamps. And the uid.
async fn child(rig: &Rig, kind: &str, name: &str) -> Seen<(Value, String)> {
    let ran = rig.kubectl(&["get", kind, name, "-o", "json"]).await;
    if !ran.ok {
        return Err(ran.err);
    }
    let mut object: Value = serde_json::from_str(&ran.out).unwrap();
    let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Err("it is still being deleted".to_owned());
    }
    object.as_object_mut().unwrap().remove("status");
    for stamp in ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(stamp);
    }
    for address in ["clusterIP", "clusterIPs"] {
        if kind == "service" {
            object["spec"].as_object_mut().unwrap().remove(address);
        }
    }
    Ok((object, uid))
}

/// An operator, no kubelet: the children are there and nothing runs in them.
async fn children() -> Rig {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    rig.start_operator().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", 1), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.wait_json("configmap/paper-config", ".data", 30, |data| data.contains("trend")).await;
    rig.wait_json("exacct/paper", ".status.grants[0].name", 30, |name| name == "trend").await;
    rig.wait_json("pod/paper-0", ".metadata.uid", 30, |uid| !uid.is_empty()).await;
    rig
}

async fn restored(rig: &Rig, what: &str, kind: &str, name: &str, wanted: &Value) -> String {
    wait_for(&format!("{kind} {name}, {what}, to be as before"), RESTORED, async || {
        let (found, uid) = child(rig, kind, name).await?;
        if found == *wanted { Ok(uid) } else { Err(format!("{found}, not {wanted}")) }
    })
    .await
}

#[tokio::test]
async fn a_child_that_is_edited_is_put_right() {
    let rig = children().await;
    for (kind, name, harm) in CHILDREN {
        let (before, uid) = child(&rig, kind, name).await.unwrap();
        rig.kubectl(&["patch", kind, name, "--type=merge", "-p", harm]).await.success();
        assert_eq!(restored(&rig, "edited", kind, name, &before).await, uid, "{kind} was made anew");
    }
    let told = rig.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await.success();
    assert!(told.contains("DriftRepaired"), "{told}");
}

#[tokio::test]
async fn a_child_that_is_stripped_of_its_labels_gets_them_back() {
    let rig = children().await;
    for (kind, name, _) in CHILDREN {
        let (before, uid) = child(&rig, kind, name).await.unwrap();
        let strip = ["tradewind.dev/component-", "tradewind.dev/account-", "tradewind.dev/account-uid-"];
        rig.kubectl(&[&["label", kind, name], &strip[..]].concat()).await.success();
        assert_eq!(restored(&rig, "stripped", kind, name, &before).await, uid, "{kind} was made anew");
    }
}

#[tokio::test]
async fn a_child_that_is_given_an_owner_loses_it_again() {
    let rig = children().await;
    let owner = rig.wait_json("exacct/paper", ".metadata.uid", 20, |uid| !uid.is_empty()).await;
    for (kind, name, _) in CHILDREN {
        let (before, _) = child(&rig, kind, name).await.unwrap();
        let owners = json!({"metadata": {"ownerReferences": [{"apiVersion": "tradewind.dev/v1alpha1",
            "kind": "ExchangeAccount", "name": "paper", "uid": owner, "controller": true}]}});
        rig.kubectl(&["patch", kind, name, "--type=merge", "-p", &owners.to_string()]).await.success();
        restored(&rig, "given an owner", kind, name, &before).await;
    }
}

#[tokio::test]
async fn a_child_that_is_deleted_is_made_again() {
    let rig = children().await;
    for (kind, name, _) in CHILDREN {
        let (before, uid) = child(&rig, kind, name).await.unwrap();
        rig.kubectl(&["delete", kind, name, "--wait=false"]).await.success();
        assert_ne!(restored(&rig, "deleted", kind, name, &before).await, uid, "{kind} was not deleted");
    }
}

#[tokio::test]
async fn a_worker_trades_on_while_what_it_was_started_from_is_deleted_and_made_again() {
    let rig = Rig::start().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", 20), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.assert_trading("paper", "trend").await;
    let pod = rig.wait_json("pod/paper-0", ".metadata.uid", 20, |uid| !uid.is_empty()).await;
    for (kind, name) in
        [("configmap", "paper-config"), ("service", "paper-worker"), ("networkpolicy", "paper-worker")]
    {
        let (before, uid) = child(&rig, kind, name).await.unwrap();
        rig.kubectl(&["delete", kind, name]).await.success();
        assert_ne!(restored(&rig, "deleted", kind, name, &before).await, uid);
    }
    rig.assert_trading("paper", "trend").await;
    // What it may do is taken away and given back: it sees again by itself.
    for kind in ["rolebinding", "role"] {
        let (before, _) = child(&rig, kind, "paper-worker").await.unwrap();
        rig.kubectl(&["delete", kind, "paper-worker"]).await.success();
        restored(&rig, "deleted", kind, "paper-worker", &before).await;
    }
    rig.assert_trading("paper", "trend").await;
    assert_eq!(
        rig.wait_json("pod/paper-0", ".metadata.uid", 20, |uid| !uid.is_empty()).await,
        pod,
        "another pod"
    );
    assert_eq!(rig.kubelet().pods()["paper-0"].restarts, 0, "the worker was restarted");
}

/// Somebody else's object under the name of each child.
fn foreign(kind: &str, name: &str) -> String {
    let head = |version: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, labels: {{app: theirs}}}}\n")
    };
    match kind {
        "ServiceAccount" => head("v1"),
        "Role" => head("rbac.authorization.k8s.io/v1") + "rules: []\n",
        "RoleBinding" => {
            head("rbac.authorization.k8s.io/v1")
                + "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: theirs}\nsubjects: []\n"
        }
        "ConfigMap" => head("v1") + "data: {mine: value}\n",
        "PersistentVolumeClaim" => {
            head("v1")
                + "spec: {accessModes: [ReadWriteOnce], storageClassName: theirs, resources: {requests: {storage: 1Mi}}}\n"
        }
        "Service" => head("v1") + "spec: {ports: [{port: 80}], selector: {app: theirs}}\n",
        "NetworkPolicy" => {
            head("networking.k8s.io/v1") + "spec: {podSelector: {matchLabels: {app: theirs}}}\n"
        }
        _ => {
            head("apps/v1")
                + "spec: {replicas: 0, serviceName: theirs, selector: {matchLabels: {app: theirs}}, \
                   template: {metadata: {labels: {app: theirs}}, spec: {containers: [{name: a, image: theirs}]}}}\n"
        }
    }
}

const NAMES: [(&str, &str); 8] = [
    ("ServiceAccount", "-worker"),
    ("Role", "-worker"),
    ("RoleBinding", "-worker"),
    ("ConfigMap", "-config"),
    ("PersistentVolumeClaim", "-ledger"),
    ("Service", "-worker"),
    ("NetworkPolicy", "-worker"),
    ("StatefulSet", ""),
];

#[tokio::test]
async fn an_object_of_a_childs_name_that_is_not_ours_is_named_and_never_touched() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    rig.apply(OPEN_POLICY).await;
    let mut theirs = Vec::new();
    for (index, (kind, suffix)) in NAMES.into_iter().enumerate() {
        let name = format!("a{index}{suffix}");
        let create = ["-n", rig.name(), "create", "-f", "-"];
        rig.cluster().kubectl_reading(&create, &foreign(kind, &name)).await.success();
        let version =
            rig.wait_json(&format!("{kind}/{name}"), ".metadata", 20, |text| !text.is_empty()).await;
        theirs.push((index, kind, name, version));
    }
    rig.start_operator().await;
    let accounts: Vec<String> = (0..NAMES.len()).map(|index| account(&format!("a{index}"), 1)).collect();
    rig.apply(&all(&accounts.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let condition = ".status.conditions[?(@.type==\"Ready\")]";
    for (index, kind, name, before) in &theirs {
        let object = format!("exacct/a{index}");
        rig.wait_json(&object, &format!("{condition}.reason"), 30, |reason| reason == "ForeignObject").await;
        let said = rig.wait_json(&object, &format!("{condition}.message"), 30, |said| !said.is_empty()).await;
        assert!(said.contains(&format!("{kind} {}/{name}", rig.name())), "{said}");
        let now = rig.wait_json(&format!("{kind}/{name}"), ".metadata", 20, |text| !text.is_empty()).await;
        assert_eq!(now, *before, "{kind} {name} was touched");
        if *kind != "StatefulSet" {
            let worker = rig.kubectl(&["get", "statefulset", &format!("a{index}")]).await;
            assert!(worker.failure().contains("not found"), "a worker was made beside {kind} {name}");
        }
    }
    // It deletes them not even with the account, and takes their place once they are gone.
    rig.kubectl(&["delete", "exacct", "a3", "--timeout=60s"]).await.success();
    for (index, kind, name, before) in &theirs {
        if *index == 3 {
            let now =
                rig.wait_json(&format!("{kind}/{name}"), ".metadata", 20, |text| !text.is_empty()).await;
            assert_eq!(now, *before, "{kind} {name} was touched");
            continue;
        }
        rig.kubectl(&["delete", kind, name]).await.success();
        rig.wait_json(&format!("pod/a{index}-0"), ".metadata.uid", 40, |uid| !uid.is_empty()).await;
    }
}

/// An account whose data stands still for an hour.
fn still() -> String {
    let account = account("paper", 1).replace("dataSet: zigzag", "dataSet: coinbase-1h");
    account.replace("{times: {factor: 60}}", "{realTime: {}}")
}

fn at_rest() -> String {
    all(&[OPEN_POLICY, &still(), &strategy("trend", "paper", "BTC-USD").replace("bar: 1m", "bar: 1h")])
}

async fn running(rig: &Rig) {
    rig.wait_json("strat/trend", ".status.phase", 60, |phase| phase == "Running").await;
    rig.wait_json("riskpol/open", ".status.bound", 30, |bound| bound.contains("1 account")).await;
}

/// Passes over objects of all kinds so far.
fn passes(rig: &Rig) -> u64 {
    let metrics = rig.operator.as_ref().unwrap().metrics();
    let lines = metrics.lines().filter(|line| line.starts_with("tradewind_operator_reconciles_total"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn passes_over_what_is_as_it_should_be_write_nothing() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    let proxy = Proxy::start(rig.cluster()).await;
    rig.start_operator_behind(&proxy).await;
    rig.start_kubelet().await;
    rig.apply(&at_rest()).await;
    running(&rig).await;
    let mut before = proxy.writes();
    let mut same = 0;
    wait_for("the operator to have written everything", patience(30), async || {
        let now = proxy.writes();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        if same > 60 { Ok(()) } else { Err(format!("{now} writes")) }
    })
    .await;
    drop(proxy.take_passed());
    let seen = passes(&rig);
    for round in 0..10 {
        for object in ["exacct/paper", "strat/trend", "riskpol/open", "statefulset/paper", "pod/paper-0"] {
            rig.kubectl(&["annotate", object, &format!("example.com/noise={round}"), "--overwrite"])
                .await
                .success();
        }
    }
    // And all watches are opened anew, each half minute.
    let (mut opened, mut written) = (0, Vec::new());
    wait_for("thirty passes and all watches opened anew", patience(60), async || {
        let passed = proxy.take_passed();
        opened += passed.iter().filter(|passed| passed.watch).count();
        written.extend(passed.into_iter().filter(|passed| passed.method != "GET"));
        let passes = passes(&rig) - seen;
        // Four kinds of ours, pods and eight kinds of children.
        if passes >= 30 && opened >= 13 { Ok(()) } else { Err(format!("{passes} passes, {opened} watches")) }
    })
    .await;
    assert_eq!(proxy.writes(), before, "the operator wrote although nothing was to be done: {written:?}");
}

/// The API server's audit log, read on from where it was read to.
struct Audit {
    log: File,
    rest: String,
}

impl Audit {
    fn of(cluster: &Cluster) -> Self {
        Self { log: File::open(cluster.dir().join("log/audit.log")).unwrap(), rest: String::new() }
    }

    /// Who wrote what since the last call: user, what it calls itself, verb and object.
    fn writes(&mut self) -> Vec<(String, String)> {
        self.log.read_to_string(&mut self.rest).unwrap();
        let end = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let whole: String = self.rest.drain(..end).collect();
        let entries = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let written =
            entries.filter(|entry| !["get", "list", "watch"].contains(&entry["verb"].as_str().unwrap()));
        let told = written.map(|entry| {
            let object = &entry["objectRef"];
            let what = [
                &entry["verb"],
                &object["resource"],
                &object["name"],
                &object["subresource"],
                &entry["userAgent"],
            ];
            (text(&entry["user"]["username"]), what.map(text).join(" "))
        });
        told.collect()
    }
}

#[tokio::test]
async fn at_rest_the_api_server_sees_nothing_written_but_leases() {
    let cluster = Cluster::start(Options { audit: true, ..Options::default() }).await;
    let rig = Rig::on(cluster.clone()).await;
    rig.apply(&at_rest()).await;
    running(&rig).await;
    let [operator, worker] = ["tradewind-operator", "paper-worker"]
        .map(|name| format!("system:serviceaccount:{}:{name}", rig.name()));
    let mut audit = Audit::of(&cluster);
    let (mut led, mut held) = (0, 0);
    // What the start brings with it is written within moments; a report of the worker may follow a minute later.
    wait_for(
        "a minute, thirteen renewals of the worker's Lease, with no other write",
        patience(80),
        async || {
            for (user, what) in audit.writes() {
                if user != operator && user != worker {
                    continue;
                }
                if !what.starts_with("update leases ") && !what.starts_with("patch leases ") {
                    (led, held) = (0, 0);
                    return Err(format!("{user}: {what}"));
                }
                (led, held) = if user == worker { (led, held + 1) } else { (led + 1, held) };
            }
            if held >= 13 && led >= 5 {
                Ok(())
            } else {
                Err(format!("{led} and {held} renewals and nothing else"))
            }
        },
    )
    .await;
}
