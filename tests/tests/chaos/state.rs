//! The state of a namespace, without what differs from run to run by nature.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use regex::Regex;
use serde_json::{Value, json};
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::Rig;

const OURS: (&str, &str) = ("tradewind.dev", "v1alpha1");
const CORE: (&str, &str) = ("", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");

/// What is compared: group, version, kind, plural. Events depend on time.
const KINDS: [((&str, &str), &str, &str); 14] = [
    (OURS, "TradingStrategy", "tradingstrategies"),
    (OURS, "ExchangeAccount", "exchangeaccounts"),
    (OURS, "RiskPolicy", "riskpolicies"),
    (OURS, "TradingHalt", "tradinghalts"),
    (CORE, "ServiceAccount", "serviceaccounts"),
    (RBAC, "Role", "roles"),
    (RBAC, "RoleBinding", "rolebindings"),
    (CORE, "ConfigMap", "configmaps"),
    (CORE, "PersistentVolumeClaim", "persistentvolumeclaims"),
    (("apps", "v1"), "StatefulSet", "statefulsets"),
    (CORE, "Service", "services"),
    (("networking.k8s.io", "v1"), "NetworkPolicy", "networkpolicies"),
    (CORE, "Pod", "pods"),
    (("coordination.k8s.io", "v1"), "Lease", "leases"),
];

/// Looks in a row at which a namespace is the same before it is taken to stay so: more than a second of them.
const SETTLED: u32 = 30;

/// Objects by kind and name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct State(BTreeMap<String, Value>);

impl State {
    /// As it is now.
    pub(crate) async fn of(rig: &Rig) -> Self {
        let mut all = BTreeMap::new();
        for ((group, version), kind, plural) in KINDS {
            let resource =
                ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
            let api: Api<DynamicObject> = Api::namespaced_with(rig.cluster().client(), rig.name(), &resource);
            for object in api.list(&ListParams::default()).await.expect("the API server lists").items {
                let name = object.metadata.name.clone().unwrap_or_default();
                // What every namespace has from the start.
                if name != "default" && name != "kube-root-ca.crt" {
                    let object = serde_json::to_value(&object).unwrap();
                    all.insert(format!("{kind} {name}"), masked(object, kind, rig.name()));
                }
            }
        }
        Self(all)
    }

    /// As it is once it has stayed the same for a while.
    pub(crate) async fn settled(rig: &Rig) -> Self {
        let (mut last, mut same) = (Self::of(rig).await, 0);
        wait_for("a namespace that stays as it is", patience(40), async || {
            let now = Self::of(rig).await;
            let changed = now.compare(&last);
            same = if changed.is_ok() { same + 1 } else { 0 };
            last = now;
            if same >= SETTLED { Ok(()) } else { Err(format!("the same {same} times in a row: {changed:?}")) }
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

    /// A part of an object that is there, such as `/status/phase`; null when there is none.
    pub(crate) fn part(&self, object: &str, pointer: &str) -> &Value {
        self.0.get(object).and_then(|object| object.pointer(pointer)).unwrap_or(&Value::Null)
    }

    /// What is said of the strategies and accounts, for people who read why a test failed.
    pub(crate) fn told(&self) -> String {
        let ours =
            self.0.iter().filter(|(name, _)| name.starts_with("Trading") || name.starts_with("Exchange"));
        let told = ours.map(|(name, object)| {
            let status = &object["status"];
            format!("{name}: {} {} {}", status["phase"], status["applied"], status["conditions"])
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// How many objects there are of a kind.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.0.keys().filter(|name| name.split(' ').next() == Some(kind)).count()
    }
}

fn difference(path: &str, found: &Value, wanted: &Value) -> String {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            let keys = found.keys().chain(wanted.keys());
            let null = Value::Null;
            let part =
                |object: &serde_json::Map<String, Value>, key| object.get(key).unwrap_or(&null).clone();
            let differing = keys
                .filter(|key| found.get(*key) != wanted.get(*key))
                .map(|key| difference(&format!("{path}.{key}"), &part(found, key), &part(wanted, key)));
            differing.take(1).collect()
        }
        (Value::Array(found), Value::Array(wanted)) if found.len() == wanted.len() => {
            let pairs = found.iter().zip(wanted).enumerate().filter(|(_, (found, wanted))| found != wanted);
            let differing =
                pairs.map(|(index, (found, wanted))| difference(&format!("{path}[{index}]"), found, wanted));
            differing.take(1).collect()
        }
        _ => format!("{path} is {found} and should be {wanted}"),
    }
}

/// What differs from run to run in texts.
static MASKS: LazyLock<[(Regex, &str); 5]> = LazyLock::new(|| {
    [
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
        ("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "TIME"),
        ("\\b[0-9a-f]{32}\\b", "DIGEST"),
        // Each journey changes the spec, so that a halt names another one each time.
        ("at generation [0-9]+", "at generation N"),
        // In what is published, a text; that it is the one in force is told by the status.
        (r#"\\"generation\\":[0-9]+"#, r#"\"generation\":0"#),
    ]
    .map(|(pattern, name)| (Regex::new(pattern).unwrap(), name))
});

/// An object without what the API server counts and stamps, without times, and with no name that is this run's alone.
fn masked(mut object: Value, kind: &str, namespace: &str) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    let generation = metadata.get("generation").and_then(Value::as_i64).unwrap_or_default();
    for volatile in
        ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "deletionTimestamp"]
    {
        metadata.remove(volatile);
    }
    for texts in ["annotations", "labels"] {
        let Some(texts) = metadata.get_mut(texts).and_then(Value::as_object_mut) else { continue };
        texts.remove("kubectl.kubernetes.io/last-applied-configuration");
        texts.remove(super::NOISE);
        // It is made from the uid of the account.
        texts.remove("controller-revision-hash");
    }
    match kind {
        "StatefulSet" | "PersistentVolumeClaim" => drop(object.as_object_mut().unwrap().remove("status")),
        "Pod" => {
            let ready = &object["status"]["containerStatuses"][0]["ready"];
            object = json!({"ready": ready, "labels": object["metadata"]["labels"]});
        }
        "Lease" => object = json!({}),
        "Service" => {
            for address in ["clusterIP", "clusterIPs"] {
                object["spec"].as_object_mut().unwrap().remove(address);
            }
        }
        _ => {}
    }
    // Whoever comes first has its conditions first.
    if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
        conditions.sort_by_key(|condition| condition["type"].to_string());
    }
    // The figures are the worker's, and change as it trades; that they are there is not.
    if let Some(trading) = object.pointer_mut("/status/trading") {
        *trading = "told".into();
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for texts in ["annotations", "labels"] {
            if metadata.get(texts).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                metadata.remove(texts);
            }
        }
    }
    generations(&mut object, generation);
    let text = object.to_string().replace(namespace, "NAMESPACE");
    let text = MASKS.iter().fold(text, |text, (mask, name)| mask.replace_all(&text, *name).into_owned());
    serde_json::from_str(&text).unwrap()
}

/// Which generation a status speaks of: the one that is, or how many before.
fn generations(value: &mut Value, now: i64) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_i64() {
                    Some(then) if name == "observedGeneration" || name == "generation" => {
                        *value =
                            if then == now { "now".into() } else { format!("{} before", now - then).into() };
                    }
                    _ => generations(value, now),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| generations(value, now)),
        _ => {}
    }
}
