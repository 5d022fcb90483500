#![allow(clippy::needless_pass_by_value, reason = "a json! literal is passed as it is written")]

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::cache::Entry;
use super::*;

fn account(namespace: &str, name: &str, second: u32) -> ExchangeAccount {
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "ExchangeAccount",
        "metadata": metadata(namespace, name, second),
        "spec": {
            "venue": {"paper": {"quoteCurrency": "USD", "balances": [{"asset": "USD", "amount": "10"}]}},
            "marketData": {"replay": {"dataSet": "x", "speed": {"max": {}}}},
            "riskPolicyRef": {"name": "desk"},
        },
    }))
    .unwrap()
}

fn strategy(namespace: &str, name: &str, account: &str, second: u32) -> TradingStrategy {
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
        "metadata": metadata(namespace, name, second),
        "spec": {
            "exchangeAccountRef": {"name": account},
            "capital": {"amount": "5000"},
            "instruments": [{"symbol": "BTC-USD"}],
            "decision": {"bar": "1h"},
            "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
            "sizing": {"fixedPercent": {"percent": 5}},
        },
    }))
    .unwrap()
}

fn halt(namespace: &str, name: &str) -> TradingHalt {
    serde_json::from_value(json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingHalt",
        "metadata": metadata(namespace, name, 0),
        "spec": {"target": {"namespace": {}}, "reason": "a test"},
    }))
    .unwrap()
}

fn metadata(namespace: &str, name: &str, second: u32) -> Value {
    json!({
        "namespace": namespace, "name": name, "uid": format!("uid-of-{name}"),
        "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "tradewind.dev/let-go": "true"},
        "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}],
    })
}

fn put<K: Resource>(cache: &Cache<K>, object: K) {
    cache.put(&Key::of(&object), Entry::Readable(Arc::new(object)));
}

fn filled() -> Stores {
    let stores = Stores::new("system");
    put(&stores.accounts, account("desk", "paper", 0));
    put(&stores.accounts, account("desk", "other", 1));
    put(&stores.strategies, strategy("desk", "a", "paper", 9));
    put(&stores.strategies, strategy("desk", "b", "paper", 3));
    put(&stores.strategies, strategy("desk", "c", "other", 1));
    put(&stores.strategies, strategy("elsewhere", "d", "paper", 1));
    put(&stores.halts, halt("desk", "here"));
    put(&stores.halts, halt("system", "everywhere"));
    put(&stores.halts, halt("elsewhere", "there"));
    stores
}

fn names<K: Resource>(objects: &[K]) -> Vec<String> {
    objects.iter().map(ResourceExt::name_any).collect()
}

#[test]
fn an_account_is_resolved_with_its_own_strategies_oldest_first_and_the_halts_that_can_reach_it() {
    let objects = filled().objects_of(&Key::new("desk", "paper"));
    assert_eq!(names(&objects.accounts), ["paper"]);
    assert_eq!(names(&objects.strategies), ["b", "a"]);
    assert_eq!(names(&objects.halts), ["here", "everywhere"]);
    assert_eq!(objects.operator_namespace.as_deref(), Some("system"));
}

#[test]
fn a_worker_may_be_there_while_its_account_is_being_deleted_or_cannot_be_read() {
    let stores = filled();
    let with_worker = |stores: &Stores| stores.accounts_with_worker("desk");
    assert_eq!(with_worker(&stores), ["other", "paper"]);
    let mut going = account("desk", "paper", 0);
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    put(&stores.accounts, going);
    assert_eq!(with_worker(&stores), ["other"], "it has none any more");
    let pod: Pod =
        serde_json::from_value(json!({"metadata": {"namespace": "desk", "name": "paper-0"}})).unwrap();
    let key = Key::new("desk", "paper-0");
    stores.pods.put(&key, Entry::Readable(Arc::new(PodView::of(&pod))));
    assert_eq!(with_worker(&stores), ["other", "paper"], "it still settles");
    stores.pods.take(&key);
    let set = serde_json::from_value(json!({"namespace": "desk", "name": "paper"})).unwrap();
    let set = Child::of(ChildKind::StatefulSet, &set);
    let sets = stores.children.of_kind(ChildKind::StatefulSet);
    sets.put(&set.key, Entry::Readable(Arc::new(set.clone())));
    assert_eq!(with_worker(&stores), ["other", "paper"], "its pod is about to be made anew");
    sets.take(&set.key);
    stores.accounts.put(&Key::new("desk", "paper"), Entry::Unreadable("no venue".into()));
    assert_eq!(with_worker(&stores), ["other", "paper"], "its worker runs on");
}

#[test]
fn for_an_account_that_is_not_there_the_others_are_at_hand_to_be_named() {
    let objects = filled().objects_of(&Key::new("desk", "papr"));
    assert_eq!(names(&objects.accounts), ["paper", "other"]);
}

#[test]
fn a_namespace_is_seen_whole_and_halts_of_the_operators_namespace_once() {
    let stores = filled();
    assert_eq!(names(&stores.objects("desk").strategies), ["c", "b", "a"]);
    assert_eq!(names(&stores.objects("system").halts), ["everywhere"]);
}

#[test]
fn strategies_of_the_same_second_stand_by_name() {
    let stores = Stores::new("system");
    for name in ["z", "m", "a"] {
        put(&stores.strategies, strategy("desk", name, "paper", 5));
    }
    let found = stores.strategies_of(&Key::new("desk", "paper"));
    assert_eq!(found.iter().map(|s| s.name_any()).collect::<Vec<_>>(), ["a", "m", "z"]);
}

#[test]
fn what_cannot_be_read_is_known_by_name_where_it_can_reach() {
    let stores = filled();
    for namespace in ["desk", "system", "elsewhere"] {
        stores.halts.put(&Key::new(namespace, "broken"), Entry::Unreadable("no target".into()));
    }
    stores.strategies.put(&Key::new("desk", "a"), Entry::Unreadable("no spec".into()));
    let id = |kind, namespace, name| ObjectId::new(kind, Key::new(namespace, name));
    let objects = stores.objects_of(&Key::new("desk", "paper"));
    assert_eq!(
        objects.unreadable,
        BTreeSet::from([
            id(Kind::TradingStrategy, "desk", "a"),
            id(Kind::TradingHalt, "desk", "broken"),
            id(Kind::TradingHalt, "system", "broken"),
        ])
    );
    assert_eq!(names(&objects.strategies), ["b"]);
    assert!(stores.strategy(&Key::new("desk", "a")).is_none());
    assert!(stores.strategies.entry(&Key::new("desk", "a")).is_some());
}

#[test]
fn an_object_missing_from_a_complete_list_is_gone_only_from_the_namespace_that_was_listed() {
    let stores = filled();
    let seen = BTreeSet::from([Key::new("desk", "a")]);
    let gone = |namespace| -> Vec<String> {
        stores.strategies.missing(namespace, &seen).into_iter().map(|key| key.name).collect()
    };
    assert_eq!(gone(Some("desk")), ["b", "c"]);
    assert_eq!(gone(None), ["b", "c", "d"]);
}

#[test]
fn taken_out_is_gone_and_an_empty_namespace_takes_no_room() {
    let stores = filled();
    let key = Key::new("elsewhere", "d");
    assert!(stores.strategies.take(&key).is_some());
    assert!(stores.strategies.take(&key).is_none());
    assert_eq!(stores.strategies.len(), 3);
}

#[test]
fn kept_objects_have_no_managed_fields_and_no_second_copy_of_themselves() {
    let mut object = halt("desk", "here");
    lean::lean(&mut object);
    assert_eq!(object.metadata.managed_fields, None);
    assert_eq!(object.annotations().keys().collect::<Vec<_>>(), ["tradewind.dev/let-go"]);
}

fn child(meta: Value) -> Child {
    Child::of(ChildKind::StatefulSet, &serde_json::from_value(meta).unwrap())
}

#[test]
fn a_child_says_whose_it_is_and_who_applied_it() {
    let meta = |manager: &str, operation: &str, subresource: &str| {
        child(json!({
            "namespace": "desk", "name": "paper", "uid": "1", "generation": 4, "resourceVersion": "77",
            "labels": {"tradewind.dev/account": "paper", "x": "y"},
            "annotations": {"tradewind.dev/digest": "d", "deployment.kubernetes.io/revision": "3"},
            "managedFields": [{"manager": manager, "operation": operation, "subresource": subresource}],
        }))
    };
    let ours = meta("tradewind-operator", "Apply", "");
    assert!(ours.applied_by_us && !ours.owned && ours.deleted.is_none());
    assert_eq!(ours.account(), Some(Key::new("desk", "paper")));
    assert_eq!(ours.annotations.keys().collect::<Vec<_>>(), ["tradewind.dev/digest"]);
    assert!(!meta("tradewind-operator", "Update", "").applied_by_us);
    assert!(!meta("tradewind-operator", "Apply", "status").applied_by_us);
    assert!(!meta("kube-controller-manager", "Apply", "").applied_by_us);
}

#[test]
fn a_child_differs_by_generation_where_it_has_one_and_by_version_where_not() {
    let with = |generation: Value, version: &str| {
        child(
            json!({"namespace": "desk", "name": "paper", "uid": "1", "generation": generation, "resourceVersion": version}),
        )
    };
    assert!(!with(json!(4), "77").differs(&with(json!(4), "78")), "only its status changed");
    assert!(with(json!(4), "77").differs(&with(json!(5), "78")));
    assert!(with(Value::Null, "77").differs(&with(Value::Null, "78")));
    let labelled = child(
        json!({"namespace": "desk", "name": "paper", "uid": "1", "generation": 4, "labels": {"a": "b"}}),
    );
    assert!(labelled.differs(&with(json!(4), "77")), "its labels were stripped");
}

#[test]
fn the_children_of_an_account_are_those_with_its_label_in_its_namespace() {
    let stores = Stores::new("system");
    for (kind, namespace, name, account) in [
        (ChildKind::StatefulSet, "desk", "paper", "paper"),
        (ChildKind::Role, "desk", "paper-worker", "paper"),
        (ChildKind::Role, "desk", "other-worker", "other"),
        (ChildKind::Role, "elsewhere", "paper-worker", "paper"),
    ] {
        let meta =
            json!({"namespace": namespace, "name": name, "labels": {"tradewind.dev/account": account}});
        let child = Child::of(kind, &serde_json::from_value(meta).unwrap());
        stores.children.of_kind(kind).put(&child.key.clone(), Entry::Readable(Arc::new(child)));
    }
    let found = stores.children_of(&Key::new("desk", "paper"));
    let found: Vec<_> = found.iter().map(|child| (child.kind, child.key.name.as_str())).collect();
    assert_eq!(found, [(ChildKind::Role, "paper-worker"), (ChildKind::StatefulSet, "paper")]);
}

fn pod(status: Value) -> PodView {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "namespace": "desk", "name": "paper-0", "uid": "9",
            "labels": {"tradewind.dev/account": "paper", "tradewind.dev/account-uid": "7"},
            "annotations": {"tradewind.dev/restart-hash": "abc"},
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "worker", "image": "worker:1"}]},
        "status": status,
    }))
    .unwrap();
    PodView::of(&pod)
}

#[test]
fn a_pod_is_told_by_what_a_status_says_of_it() {
    let view = pod(json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [{
            "name": "worker", "image": "x", "imageID": "y", "ready": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }],
    }));
    assert_eq!(
        (view.node.as_deref(), view.phase.as_str(), view.ready, view.restarts),
        (Some("n1"), "Running", true, 2)
    );
    assert_eq!((view.restart_hash.as_deref(), view.image.as_deref()), (Some("abc"), Some("worker:1")));
    assert_eq!(
        (view.account_key(), view.account_uid.as_deref()),
        (Some(Key::new("desk", "paper")), Some("7"))
    );
    let ended = view.ended.unwrap();
    assert_eq!((ended.reason.as_str(), ended.exit_code), ("OOMKilled", 137));
    assert_eq!((view.waiting, view.unschedulable), (None, None));
}

#[test]
fn why_a_pod_does_not_run_is_kept_in_the_clusters_words() {
    let pulled = pod(json!({
        "phase": "Pending",
        "containerStatuses": [{
            "name": "worker", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        }],
    }));
    let words = pulled.waiting.unwrap();
    assert_eq!(
        (words.reason.as_str(), words.message.as_str(), pulled.ready),
        ("ImagePullBackOff", "no such image", false)
    );
    let waits = pod(json!({
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}],
    }));
    assert_eq!(waits.unschedulable.as_deref(), Some("0/1 nodes are available"));
    let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
    assert_eq!(evicted.reason.map(|words| words.reason).as_deref(), Some("Evicted"));
}

#[test]
fn a_node_is_silent_when_the_cluster_and_the_node_say_different_things_of_readiness() {
    // Conditions of a pod of Kubernetes v1.37.2: at work, not ready by its own account, 12 s after a power cut.
    for (ready, containers, silent) in
        [("True", "True", false), ("False", "False", false), ("False", "True", true)]
    {
        let view = pod(json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": containers}],
        }));
        assert_eq!(view.silent, silent, "Ready={ready} ContainersReady={containers}");
    }
}
