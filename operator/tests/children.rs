//! The children of an account as they go to the API server, byte for byte, against the files in `golden/`.
//!
//! After a change that is meant, look at the difference and write them anew: `UPDATE_GOLDEN=1 cargo test -p
//! tradewind-operator --test children`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Parser;
use k8s_openapi::api::core::v1::{PodSpec, SecurityContext};
use serde::Serialize;
use serde_json::Value;
use tradewind_core::config::ResolvedAccount;
use tradewind_core::limits::AccountLimits;
use tradewind_core::money::Percent;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::resolve::resolve_account;
use tradewind_operator::plan::children::{Children, HaltReader, Source, children, restart_hash};
use tradewind_operator::settings::{Args, Settings};

fn settings(more: &[&str]) -> Settings {
    let mut args = vec!["operator", "--namespace", "tradewind-system", "--pod-name", "op-0"];
    if !more.contains(&"--worker-image") {
        args.extend(["--worker-image", "tradewind-worker:0.1.0"]);
    }
    Settings::of(Args::parse_from(args.iter().chain(more))).unwrap()
}

/// Everything that can be said is said.
fn account() -> ExchangeAccount {
    let object = serde_json::json!({
        "apiVersion": "tradewind.dev/v1alpha1",
        "kind": "ExchangeAccount",
        "metadata": {
            "name": "paper",
            "namespace": "desk",
            "uid": "11111111-0000-4000-8000-000000000000",
            "labels": {"app.kubernetes.io/instance": "argo-tracks-this", "team": "rates"},
            "annotations": {"argocd.argoproj.io/tracking-id": "x"},
        },
        "spec": {
            "venue": {"paper": {"quoteCurrency": "USD", "balances": [{"asset": "USD", "amount": "10000"}]}},
            "marketData": {"replay": {"dataSet": "coinbase-1h"}},
            "riskPolicyRef": {"name": "house"},
            "ledger": {"sqlite": {"size": "2Gi", "storageClassName": "fast"}},
            "worker": {"resources": {"requests": {"memory": "96Mi"}}},
        },
    });
    serde_json::from_value(object).unwrap()
}

fn resolved(account: &ExchangeAccount) -> ResolvedAccount {
    let policy = serde_json::json!({
        "apiVersion": "tradewind.dev/v1alpha1",
        "kind": "RiskPolicy",
        "metadata": {"name": "house", "namespace": account.metadata.namespace},
        "spec": {},
    });
    let policies = vec![serde_json::from_value(policy).unwrap()];
    let objects = Objects { accounts: vec![account.clone()], policies, ..Objects::default() };
    resolve_account(&objects, &Key::of(account)).unwrap()
}

fn with<T>(account: &ExchangeAccount, settings: &Settings, use_it: impl Fn(&Source<'_>) -> T) -> T {
    let data = BTreeMap::from([
        ("account.json".to_owned(), "{}".to_owned()),
        ("format".to_owned(), "1".to_owned()),
        ("strategy.btc-trend.json".to_owned(), "{}".to_owned()),
    ]);
    use_it(&Source {
        key: &Key::of(account),
        uid: account.metadata.uid.as_deref().unwrap(),
        account: &resolved(account),
        ledger: &account.spec.ledger,
        worker: &account.spec.worker,
        restarted_at: account
            .metadata
            .annotations
            .as_ref()
            .unwrap()
            .get("tradewind.dev/restarted-at")
            .map(String::as_str),
        data: &data,
        ledger_size: None,
        halt_readers: &["desk-two".to_owned(), "paper".to_owned()],
        settings,
    })
}

fn made(settings: &Settings) -> Children {
    with(&account(), settings, children)
}

/// Compares, or writes when asked to.
fn golden(name: &str, object: &impl Serialize) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.yaml"));
    let text = serde_saphyr::to_string(&serde_json::to_value(object).unwrap()).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} differs from {}", path.display());
}

#[test]
fn a_bus_brings_its_secret_and_a_way_out_and_nothing_else() {
    let with_bus = |url: &str, secret: Option<&str>| {
        let mut bus = serde_json::json!({"redis": {"url": url}});
        if let Some(name) = secret {
            bus["redis"]["credentialsSecretRef"] = serde_json::json!({"name": name});
        }
        let mut account = account();
        account.spec.bus = Some(serde_json::from_value(bus).unwrap());
        with(&account, &settings(&[]), |source| {
            let children = children(source);
            let pod = children.stateful_set.spec.unwrap().template.spec.unwrap();
            (serde_json::to_value(pod).unwrap(), serde_json::to_value(children.network_policy).unwrap())
        })
    };
    let (pod, policy) = with_bus("redis://redis.cache.svc:6380/1", Some("redis"));
    assert_eq!(
        *pod["volumes"].as_array().unwrap().last().unwrap(),
        serde_json::json!({"name": "bus", "secret": {"secretName": "redis", "optional": true, "defaultMode": 0o440}})
    );
    let container = &pod["containers"][0];
    assert_eq!(
        *container["volumeMounts"].as_array().unwrap().last().unwrap(),
        serde_json::json!({"name": "bus", "mountPath": "/etc/tradewind/bus", "readOnly": true})
    );
    let args: Vec<&str> = container["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(args[args.len() - 2..], ["--bus-credentials", "/etc/tradewind/bus"]);
    let way_out = |policy: &Value| policy["spec"]["egress"].as_array().unwrap().last().unwrap().clone();
    let of_namespace = |name: &str, port: u16| {
        let labels = serde_json::json!({"kubernetes.io/metadata.name": name});
        serde_json::json!({"ports": [{"port": port, "protocol": "TCP"}],
            "to": [{"namespaceSelector": {"matchLabels": labels}}]})
    };
    assert_eq!(way_out(&policy), of_namespace("cache", 6380));
    assert_eq!(way_out(&with_bus("redis://redis", None).1), of_namespace("desk", 6379));
    assert_eq!(
        way_out(&with_bus("redis://r-0.redis.cache.svc.cluster.local", None).1),
        of_namespace("cache", 6379)
    );
    assert_eq!(
        way_out(&with_bus("redis://10.1.2.3:7000", None).1),
        serde_json::json!({"ports": [{"port": 7000, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]})
    );
    assert_eq!(
        way_out(&with_bus("redis://cache.example.com", None).1),
        serde_json::json!({"ports": [{"port": 6379, "protocol": "TCP"}]})
    );
    // Without a Secret nothing is mounted.
    let (pod, _) = with_bus("redis://redis", None);
    assert!(pod["volumes"].as_array().unwrap().iter().all(|volume| volume["name"] != "bus"));
    let args = pod["containers"][0]["args"].to_string();
    assert!(!args.contains("bus-credentials"), "{args}");
}

#[test]
fn another_bus_needs_a_new_process_and_none_changes_nothing() {
    let hash = |bus: Value| {
        let mut account = account();
        account.spec.bus = serde_json::from_value(bus).unwrap();
        with(&account, &settings(&[]), restart_hash)
    };
    let redis = |url: &str| serde_json::json!({"redis": {"url": url}});
    let none = with(&account(), &settings(&[]), restart_hash);
    assert_eq!(hash(Value::Null), none);
    assert_ne!(hash(redis("redis://a")), none);
    assert_ne!(hash(redis("redis://a")), hash(redis("redis://b")));
}

#[test]
fn each_child_is_as_it_was_reviewed() {
    // Taken apart without `..`, so that a new child needs a golden file.
    let Children {
        service_account,
        role,
        role_binding,
        halt_reader,
        ledger_claim,
        config_map,
        network_policy,
        service,
        stateful_set,
    } = made(&settings(&[
        "--extra-egress",
        "10.0.0.0/8:3306",
        "--api-server-cidrs",
        "10.96.0.1/32,192.0.2.0/24",
    ]));
    let HaltReader { role: halt_role, binding: halt_binding } = halt_reader.unwrap();
    golden("service-account", &service_account);
    golden("role", &role);
    golden("role-binding", &role_binding);
    golden("halt-role", &halt_role);
    golden("halt-role-binding", &halt_binding);
    golden("ledger-claim", &ledger_claim);
    golden("config-map", &config_map);
    golden("network-policy", &network_policy);
    golden("service", &service);
    golden("stateful-set", &stateful_set);
}

fn json<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).unwrap()
}

fn all(children: &Children) -> Vec<Value> {
    let shared = children.halt_reader.as_ref().unwrap();
    vec![
        json(&children.service_account),
        json(&children.role),
        json(&children.role_binding),
        json(&shared.role),
        json(&shared.binding),
        json(&children.ledger_claim),
        json(&children.config_map),
        json(&children.network_policy),
        json(&children.service),
        json(&children.stateful_set),
    ]
}

#[test]
fn children_carry_our_labels_only_and_have_no_owner() {
    for child in all(&made(&settings(&[]))) {
        let meta = &child["metadata"];
        let labels: Vec<&String> = meta["labels"].as_object().unwrap().keys().collect();
        assert!(labels.iter().all(|name| name.starts_with("tradewind.dev/")), "{child}");
        assert!(labels.iter().any(|name| *name == "tradewind.dev/component"), "{child}");
        assert!(meta.get("ownerReferences").is_none() && meta.get("finalizers").is_none(), "{child}");
    }
}

#[test]
fn the_pod_meets_the_restricted_pod_security_standard() {
    let set = made(&settings(&[])).stateful_set.spec.unwrap();
    let pod: PodSpec = set.template.spec.unwrap();
    let own = pod.security_context.unwrap();
    assert_eq!(
        (own.run_as_non_root, own.run_as_user, own.fs_group),
        (Some(true), Some(65_532), Some(65_532))
    );
    assert_eq!(own.seccomp_profile.unwrap().type_, "RuntimeDefault");
    assert_eq!((pod.host_network, pod.host_pid, pod.host_ipc), (None, None, None));
    for volume in pod.volumes.unwrap() {
        let kinds = [
            volume.config_map.is_some(),
            volume.empty_dir.is_some(),
            volume.persistent_volume_claim.is_some(),
            volume.projected.is_some(),
        ];
        assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{}", volume.name);
    }
    for container in pod.containers {
        let SecurityContext {
            allow_privilege_escalation,
            capabilities,
            privileged,
            read_only_root_filesystem,
            ..
        } = container.security_context.unwrap();
        assert_eq!(allow_privilege_escalation, Some(false));
        assert_eq!((privileged, read_only_root_filesystem), (Some(false), Some(true)));
        let capabilities = capabilities.unwrap();
        assert_eq!((capabilities.drop, capabilities.add), (Some(vec!["ALL".to_owned()]), None));
        assert!(container.ports.unwrap().iter().all(|port| port.host_port.is_none()));
    }
}

#[test]
fn there_is_one_worker_and_it_is_never_replaced_behind_the_operators_back() {
    let set = made(&settings(&[])).stateful_set.spec.unwrap();
    assert_eq!(set.replicas, Some(1));
    assert_eq!(set.update_strategy.unwrap().type_.as_deref(), Some("OnDelete"));
    assert_eq!(set.pod_management_policy.as_deref(), Some("OrderedReady"));
    assert_eq!(set.volume_claim_templates, None);
    assert!(
        !set.selector.match_labels.unwrap().contains_key("tradewind.dev/account-uid"),
        "it can never change"
    );
}

#[test]
fn the_worker_may_read_no_secret_and_change_no_spec() {
    let children = made(&settings(&[]));
    for rule in children.role.rules.unwrap() {
        let resources = rule.resources.unwrap();
        assert!(!resources.iter().any(|name| name.contains("secret") || name == "*"), "{resources:?}");
        assert!(!rule.verbs.iter().any(|verb| verb == "*"), "{resources:?}");
        let writes = rule.verbs.iter().any(|verb| ["update", "patch"].contains(&verb.as_str()));
        let spec = ["tradingstrategies", "exchangeaccounts", "riskpolicies", "tradinghalts", "configmaps"];
        assert!(!writes || !resources.iter().any(|name| spec.contains(&name.as_str())), "{resources:?}");
    }
}

#[test]
fn in_the_operators_own_namespace_nothing_more_is_needed_to_read_halts() {
    let mut account = account();
    account.metadata.namespace = Some("tradewind-system".to_owned());
    assert_eq!(with(&account, &settings(&[]), children).halt_reader, None);
}

#[test]
fn without_network_policies_there_is_none() {
    assert_eq!(made(&settings(&["--network-policies", "false"])).network_policy, None);
}

#[test]
fn what_an_account_does_not_say_is_the_operators_and_what_nobody_says_is_left_out() {
    let set = made(&settings(&["--worker-cpu-request", "70m", "--worker-cpu-limit", "2"])).stateful_set;
    let resources = set.spec.unwrap().template.spec.unwrap().containers[0].resources.clone().unwrap();
    let amount = |amounts: &Option<BTreeMap<String, _>>, name: &str| {
        amounts
            .as_ref()
            .unwrap()
            .get(name)
            .map(|quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity| quantity.0.clone())
    };
    assert_eq!(amount(&resources.requests, "memory").as_deref(), Some("96Mi"), "the account's own");
    assert_eq!(amount(&resources.requests, "cpu").as_deref(), Some("70m"));
    assert_eq!(amount(&resources.limits, "cpu").as_deref(), Some("2"));
    assert_eq!(amount(&resources.limits, "memory").as_deref(), Some("512Mi"));
}

/// The account at a real venue.
fn real(secret: &str) -> ExchangeAccount {
    let mut account = account();
    let mut spec = serde_json::to_value(&account.spec).unwrap();
    spec["venue"] = serde_json::json!({"binanceUs": {
        "credentialsSecretRef": {"name": secret}, "quoteCurrency": "USD"}});
    spec["marketData"] = serde_json::json!({"venue": {"bar": "1m"}});
    account.spec = serde_json::from_value(spec).unwrap();
    account
}

#[test]
fn the_key_of_a_real_venue_is_mounted_by_name_for_a_pod_that_waits_for_it() {
    let children = with(&real("binance-key"), &settings(&[]), children);
    let pod = children.stateful_set.spec.unwrap().template.spec.unwrap();
    let volume = pod.volumes.unwrap().into_iter().find(|volume| volume.name == "credentials").unwrap();
    let secret = volume.secret.unwrap();
    assert_eq!((secret.secret_name.as_deref(), secret.optional), (Some("binance-key"), Some(false)));
    let entries: Vec<_> = secret.items.unwrap().into_iter().map(|item| (item.key, item.path)).collect();
    assert_eq!(entries, ["apiKey", "apiSecret"].map(|name| (name.to_owned(), name.to_owned())));
    let container = &pod.containers[0];
    let mount = container.volume_mounts.as_ref().unwrap().iter().find(|mount| mount.name == "credentials");
    let mount = mount.unwrap();
    assert_eq!(mount.read_only, Some(true));
    let args = container.args.as_ref().unwrap();
    let flag = args.iter().position(|arg| arg == "--credentials").unwrap();
    assert_eq!(args[flag + 1], mount.mount_path);
    let env = container.env.as_ref().unwrap();
    assert!(
        !env.iter().any(|var| json(var).to_string().contains("secret")),
        "a key in the environment is a key in dumps"
    );
}

#[test]
fn a_worker_at_a_real_venue_may_reach_its_port_and_one_on_paper_may_not() {
    let ports = |account: &ExchangeAccount| -> Vec<i32> {
        let policy = with(account, &settings(&[]), children).network_policy.unwrap();
        let rules = policy.spec.unwrap().egress.unwrap();
        let ports = rules.into_iter().filter(|rule| rule.to.is_none()).flat_map(|rule| rule.ports.unwrap());
        ports
            .filter_map(|port| match port.port {
                Some(k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(number)) => Some(number),
                _ => None,
            })
            .collect()
    };
    let (paper, real) = (ports(&account()), ports(&real("binance-key")));
    assert_eq!(real, [paper, vec![443]].concat());
}

/// The account at a real venue, with its ledger in a database.
fn in_database(host: &str) -> ExchangeAccount {
    let mut account = real("binance-key");
    let mut spec = serde_json::to_value(&account.spec).unwrap();
    spec["ledger"] = serde_json::json!({"mysql": {
        "host": host, "database": "tradewind", "credentialsSecretRef": {"name": "ledger-user"}}});
    account.spec = serde_json::from_value(spec).unwrap();
    account
}

#[test]
fn a_ledger_in_a_database_needs_its_user_and_no_claim() {
    let made = with(&in_database("db.desk.svc"), &settings(&[]), children);
    assert_eq!(made.ledger_claim, None);
    let pod = made.stateful_set.spec.unwrap().template.spec.unwrap();
    let volumes = pod.volumes.unwrap();
    let find = |name: &str| volumes.iter().find(|volume| volume.name == name).unwrap();
    assert!(find("ledger").empty_dir.is_some());
    let secret = find("ledger-credentials").secret.as_ref().unwrap();
    assert_eq!((secret.secret_name.as_deref(), secret.optional), (Some("ledger-user"), Some(false)));
    assert_eq!(secret.items, None, "ca.crt is there or not");
    let args = pod.containers[0].args.as_ref().unwrap();
    let flag = args.iter().position(|arg| arg == "--ledger-credentials").unwrap();
    let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
    let mount = mounts.iter().find(|mount| mount.name == "ledger-credentials").unwrap();
    assert_eq!(args[flag + 1], mount.mount_path);
    let policy = json(&made.network_policy.unwrap());
    assert!(policy.to_string().contains("\"kubernetes.io/metadata.name\":\"desk\""), "{policy}");
    assert!(policy.to_string().contains("3306"), "{policy}");
}

#[test]
fn a_paper_book_is_a_file_and_keeps_its_claim() {
    let mut account = in_database("db.desk.svc");
    let paper = self::account();
    account.spec.venue = paper.spec.venue;
    account.spec.market_data = paper.spec.market_data;
    let made = with(&account, &settings(&[]), children);
    assert!(made.ledger_claim.is_some());
}

#[test]
fn another_database_needs_another_process() {
    let hash = |account: &ExchangeAccount| with(account, &settings(&[]), restart_hash);
    assert_ne!(hash(&in_database("db.desk.svc")), hash(&in_database("other.desk.svc")));
    assert_ne!(hash(&in_database("db.desk.svc")), hash(&real("binance-key")));
}

#[test]
fn another_secret_needs_another_pod() {
    let hash = |secret| with(&real(secret), &settings(&[]), restart_hash);
    assert_ne!(hash("binance-key"), hash("other-key"));
}

/// Whoever changes this value restarts every worker in the field when the operator is upgraded.
#[test]
fn the_restart_hash_of_an_account_stays_what_it_was_in_earlier_versions() {
    assert_eq!(
        with(&account(), &settings(&[]), restart_hash),
        include_str!("golden/restart-hash.txt").trim()
    );
}

#[test]
fn the_restart_hash_changes_with_what_needs_a_new_process_and_with_nothing_else() {
    let hash = |edit: &dyn Fn(&mut ExchangeAccount)| {
        let mut account = account();
        edit(&mut account);
        with(&account, &settings(&[]), restart_hash)
    };
    let before = hash(&|_| {});
    let spec = |path: &'static str, value: Value| {
        move |account: &mut ExchangeAccount| {
            let mut spec = serde_json::to_value(&account.spec).unwrap();
            *spec.pointer_mut(path).unwrap() = value.clone();
            account.spec = serde_json::from_value(spec).unwrap();
        }
    };
    assert_ne!(hash(&spec("/venue/paper/latency", serde_json::json!("1s"))), before);
    assert_ne!(hash(&spec("/venue/paper/balances/0/amount", serde_json::json!("20000"))), before);
    assert_ne!(hash(&spec("/marketData/replay/dataSet", serde_json::json!("coinbase-1m"))), before);
    assert_ne!(hash(&spec("/worker/resources/requests/memory", serde_json::json!("128Mi"))), before);
    let restart = |account: &mut ExchangeAccount| {
        let annotations = account.metadata.annotations.as_mut().unwrap();
        annotations.insert("tradewind.dev/restarted-at".to_owned(), "now".to_owned());
    };
    assert_ne!(hash(&restart), before);
    assert_eq!(
        hash(&spec("/ledger/sqlite/size", serde_json::json!("8Gi"))),
        before,
        "a volume grows under the worker"
    );
    let upgraded =
        settings(&["--worker-image", "w:2", "--worker-memory-limit", "1Gi", "--worker-log", "debug"]);
    assert_eq!(with(&account(), &upgraded, restart_hash), before);
    let limited = with(&account(), &settings(&[]), |source| {
        let limits = AccountLimits { max_exposure: Percent(400_000) };
        restart_hash(&Source { account: &ResolvedAccount { limits, ..source.account.clone() }, ..*source })
    });
    assert_eq!(limited, before, "a running worker takes limits over");
    let mut moved = settings(&[]);
    moved.namespace = "elsewhere".to_owned();
    assert_ne!(with(&account(), &moved, restart_hash), before, "a worker watches the halts of one namespace");
}
