//! The state of a namespace, without what differs from run to run by nature.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::Rig;

/// What is compared; Leases and events depend on time.
const KINDS: &str = "tradingstrategies,exchangeaccounts,riskpolicies,tradinghalts,serviceaccounts,roles,rolebindings,\
    configmaps,persistentvolumeclaims,statefulsets,services,networkpolicies,pods";

/// Objects by kind and name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State(BTreeMap<String, Value>);

impl State {
    /// As it is now.
    pub(crate) async fn of(rig: &Rig) -> Self {
        let text = rig.kubectl(&["get", KINDS, "-o", "json"]).await.success();
        let list: Value = serde_json::from_str(&text).unwrap();
        let objects = list["items"].as_array().unwrap().iter().map(|object| {
            let name = format!(
                "{} {}",
                object["kind"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            );
            (name, masked(object.clone(), rig.name()))
        });
        // What every namespace has from the start.
        let own = |name: &String| !name.ends_with(" default") && !name.ends_with(" kube-root-ca.crt");
        Self(objects.filter(|(name, _)| own(name)).collect())
    }

    /// As it is once it has stayed the same for a while.
    pub(crate) async fn settled(rig: &Rig) -> Self {
        let (mut last, mut same) = (Self::of(rig).await, 0);
        wait_for("a namespace that stays as it is", patience(40), async || {
            let now = Self::of(rig).await;
            same = if now == last { same + 1 } else { 0 };
            last = now;
            if same >= 20 { Ok(()) } else { Err(format!("the same {same} times in a row")) }
        })
        .await;
        last
    }

    /// Whether both are the same; else the first difference.
    pub(crate) fn compare(&self, wanted: &Self) -> Result<(), String> {
        for (name, object) in &wanted.0 {
            match self.0.get(name) {
                None => return Err(format!("{name} is missing")),
                Some(found) if found != object => {
                    return Err(format!("{name}: {}", difference("", found, object)));
                }
                Some(_) => {}
            }
        }
        match self.0.keys().find(|name| !wanted.0.contains_key(*name)) {
            Some(more) => Err(format!("{more} should not be there")),
            None => Ok(()),
        }
    }
}

fn difference(path: &str, found: &Value, wanted: &Value) -> String {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            let keys = found.keys().chain(wanted.keys());
            let differing = keys.filter(|key| found.get(*key) != wanted.get(*key)).map(|key| {
                let null = Value::Null;
                difference(
                    &format!("{path}.{key}"),
                    found.get(key).unwrap_or(&null),
                    wanted.get(key).unwrap_or(&null),
                )
            });
            differing.take(1).collect()
        }
        _ => format!("{path} is {found} and should be {wanted}"),
    }
}

fn masked(mut object: Value, namespace: &str) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    for volatile in
        ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp"]
    {
        metadata.remove(volatile);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations
            .retain(|key, _| !key.starts_with("kubectl.kubernetes.io") && !key.starts_with("deployment"));
    }
    let kind = object["kind"].as_str().unwrap().to_owned();
    match kind.as_str() {
        "StatefulSet" | "PersistentVolumeClaim" => drop(object.as_object_mut().unwrap().remove("status")),
        "Pod" => {
            let status = object["status"]["containerStatuses"][0]["ready"].clone();
            object = serde_json::json!({"ready": status, "labels": object["metadata"]["labels"]});
        }
        "Service" => drop(object["spec"].as_object_mut().unwrap().remove("clusterIP")),
        _ => {}
    }
    if kind == "Service" {
        object["spec"].as_object_mut().unwrap().remove("clusterIPs");
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("worker");
        if let Some(trading) = status.get_mut("trading").and_then(Value::as_object_mut) {
            trading.retain(|key, _| !key.starts_with("last") && key != "signal");
        }
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("resume");
    }
    let text = object.to_string().replace(namespace, "NAMESPACE");
    let masks = [
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
        ("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "TIME"),
        ("\\b[0-9a-f]{32}\\b", "DIGEST"),
    ];
    let text = masks.iter().fold(text, |text, (pattern, name)| {
        Regex::new(pattern).unwrap().replace_all(&text, *name).into_owned()
    });
    serde_json::from_str(&text).unwrap()
}
