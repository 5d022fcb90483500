//! The chart without a cluster: what it renders to, what it refuses, and whom it lets do what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod manifests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use manifests::{documents, files, named, read, text, tool};
use serde_json::{Value, json};
use tempfile::TempDir;
use tradewind_core::time::Millis;
use tradewind_crds::load;
use tradewind_crds::resolve::{Catalog, validate};
use tradewind_tests::binary::root;

fn chart() -> PathBuf {
    root().join("charts/tradewind")
}

/// Runs helm with a home of its own and no cluster; its output, or what it complains of.
fn helm(arguments: &[&str]) -> Result<String, String> {
    let home = TempDir::new().unwrap();
    let mut command = tool("helm");
    command.args(arguments).env("HOME", home.path()).env("KUBECONFIG", home.path().join("none"));
    for name in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
        command.env(name, home.path().join(name));
    }
    let ran = command.output().unwrap();
    if ran.status.success() {
        Ok(String::from_utf8(ran.stdout).unwrap())
    } else {
        Err(String::from_utf8(ran.stderr).unwrap())
    }
}

fn template(arguments: &[&str]) -> Result<String, String> {
    let chart = chart();
    let mut all = vec!["template", "tradewind", chart.to_str().unwrap(), "-n", "system"];
    all.extend(arguments);
    helm(&all)
}

fn render(arguments: &[&str]) -> Vec<Value> {
    documents(&template(arguments).unwrap())
}

fn kinds<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| text(object, "/kind") == kind).collect()
}

fn one<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found: Vec<&Value> = kinds(objects, kind).into_iter().filter(|o| named(o).1 == name).collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

fn words(value: &Value) -> BTreeSet<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Whether rules allow a verb on a resource of our group.
fn allows(role: &Value, verb: &str, resource: &str) -> bool {
    role["rules"].as_array().unwrap().iter().any(|rule| {
        words(&rule["apiGroups"]).contains("tradewind.dev")
            && words(&rule["resources"]).contains(resource)
            && words(&rule["verbs"]).contains(verb)
    })
}

const MUTATING: &str = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy";

#[test]
fn every_set_of_values_renders_to_objects_of_distinct_names() {
    let sets = files(&chart().join("ci"), "yaml");
    assert!(sets.len() >= 2);
    for values in sets {
        let objects = render(&["--api-versions", MUTATING, "-f", values.to_str().unwrap()]);
        let name = |object: &Value| (named(object), text(object, "/metadata/namespace").to_owned());
        let names: BTreeSet<_> = objects.iter().map(name).collect();
        assert_eq!(names.len(), objects.len(), "{}", values.display());
        assert_eq!(kinds(&objects, "Deployment").len(), 1);
    }
}

#[test]
fn a_misspelt_value_is_refused_by_name() {
    for (value, wrong) in [
        ("operator.replica=3", "replica"),
        ("crd.keep=false", "crd"),
        ("worker.image.tagg=1", "tagg"),
        ("operator.resources.limits.memroy=1Gi", "memroy"),
        ("admission.enable=false", "enable"),
    ] {
        let refused = template(&["--set", value]).unwrap_err();
        assert!(
            refused.contains(&format!("'{wrong}'")) && refused.contains("not allowed"),
            "{value}: {refused}"
        );
    }
    for value in ["operator.replicas=many", "worker.image.pullPolicy=Sometimes", "apiServer.ports={0}"] {
        assert!(template(&["--set", value]).is_err(), "{value}");
    }
}

fn schema() -> Value {
    serde_json::from_str(&std::fs::read_to_string(chart().join("values.schema.json")).unwrap()).unwrap()
}

#[test]
fn only_what_the_api_server_checks_itself_is_open_in_the_schema() {
    fn walk(path: &str, schema: &Value, open: &mut Vec<String>) {
        if schema["type"] == "object" && schema["additionalProperties"] != false {
            // A map whose keys are the user's, such as labels, says what its values are.
            if !schema["additionalProperties"].is_object() {
                open.push(path.to_owned());
            }
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), inner, open);
        }
        if schema["items"].is_object() {
            walk(path, &schema["items"], open);
        }
    }
    let mut open = Vec::new();
    walk("", &schema(), &mut open);
    open.sort();
    let affinity =
        ["nodeAffinity", "podAffinity", "podAntiAffinity"].map(|k| format!(".operator.affinity.{k}"));
    assert_eq!(open, [&[".global".to_owned()], &affinity[..]].concat());
}

#[test]
fn every_value_has_a_default_and_every_default_is_in_the_schema() {
    /// Leaves of values and of the schema by their path; a map of the user's own is a leaf.
    fn values(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value.as_object().filter(|map| !map.is_empty()) {
            Some(map) => map.iter().for_each(|(name, inner)| values(&format!("{path}.{name}"), inner, found)),
            None => drop(found.insert(path.to_owned())),
        }
    }
    fn declared(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
        match schema["properties"].as_object() {
            Some(map) => {
                map.iter().for_each(|(name, inner)| declared(&format!("{path}.{name}"), inner, found));
            }
            None => drop(found.insert(path.to_owned())),
        }
    }
    let (mut have, mut may) = (BTreeSet::new(), BTreeSet::new());
    values("", &read(&chart().join("values.yaml"))[0], &mut have);
    declared("", &schema(), &mut may);
    // Left out on purpose: Helm's own, what has no sensible default, and what is empty.
    let optional = |path: &String| {
        [".global", ".operator.affinity.", ".operator.resources."].iter().any(|start| path.starts_with(start))
    };
    let without: Vec<&String> = may.difference(&have).filter(|path| !optional(path)).collect();
    assert!(without.is_empty(), "no default: {without:?}");
    have.remove(".operator.affinity");
    let unknown: Vec<&String> = have.difference(&may).collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:?}");
}

#[test]
fn the_definitions_are_those_that_are_generated_and_stay_unless_told_otherwise() {
    let generated: BTreeMap<String, Value> = tradewind_tests::cluster::generated_crds()
        .iter()
        .map(|path| (named(&read(path)[0]).1, read(path).remove(0)))
        .collect();
    assert_eq!(generated.len(), 4);
    let kept = render(&[]);
    let definitions = kinds(&kept, "CustomResourceDefinition");
    assert_eq!(definitions.len(), generated.len());
    for definition in definitions {
        assert_eq!(text(definition, "/metadata/annotations/helm.sh~1resource-policy"), "keep");
        assert_eq!(definition["spec"], generated[&named(definition).1]["spec"], "run scripts/copies");
    }
    for definition in kinds(&render(&["--set", "crds.keep=false"]), "CustomResourceDefinition") {
        assert!(definition.pointer("/metadata/annotations").is_none());
    }
    assert!(kinds(&render(&["--set", "crds.enabled=false"]), "CustomResourceDefinition").is_empty());
}

#[test]
fn what_repeats_other_files_is_what_it_repeats() {
    let ran = std::process::Command::new(root().join("scripts/copies")).arg("--check").output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn no_role_reaches_secrets_or_more_than_it_names() {
    for arguments in [&[][..], &["--set", "watchNamespaces={a,b},rbac.aggregateHalter=true"]] {
        let objects = render(arguments);
        let roles = [kinds(&objects, "ClusterRole"), kinds(&objects, "Role")].concat();
        assert!(roles.len() > 5);
        for role in roles {
            for rule in role["rules"].as_array().unwrap() {
                for resource in words(&rule["resources"]) {
                    assert!(!resource.contains("secret") && resource != "*", "{role}");
                }
                let refused = ["*", "escalate", "bind", "impersonate"];
                assert!(words(&rule["verbs"]).is_disjoint(&refused.into()), "{role}");
            }
        }
    }
}

#[test]
fn with_a_list_of_namespaces_the_operator_may_nothing_outside_them() {
    let rules = read(&chart().join("files/operator-rules.yaml")).remove(0);
    let everywhere = render(&[]);
    assert_eq!(one(&everywhere, "ClusterRole", "tradewind-operator")["rules"], rules["lookedAfter"]);
    assert_eq!(one(&everywhere, "Role", "tradewind-operator-own")["rules"], rules["ownNamespace"]);
    assert_eq!(text(one(&everywhere, "Role", "tradewind-operator-own"), "/metadata/namespace"), "system");

    let limited = render(&["--set", "watchNamespaces={desk,research}"]);
    assert!(kinds(&limited, "ClusterRoleBinding").is_empty());
    let bound = |object: &&Value| named(object).1 == "tradewind-operator";
    for kind in ["Role", "RoleBinding"] {
        let objects: Vec<&Value> = kinds(&limited, kind).into_iter().filter(bound).collect();
        let namespaces: Vec<&str> =
            objects.iter().map(|object| text(object, "/metadata/namespace")).collect();
        assert_eq!(namespaces, ["desk", "research"], "{kind}");
        for object in objects.iter().filter(|_| kind == "Role") {
            assert_eq!(object["rules"], rules["lookedAfter"]);
        }
    }
    for binding in kinds(&limited, "RoleBinding") {
        let subject =
            json!([{"kind": "ServiceAccount", "name": "tradewind-operator", "namespace": "system"}]);
        assert_eq!(binding["subjects"], subject);
    }
    let env = env(&limited);
    assert_eq!(env["TRADEWIND_NAMESPACES"], "desk,research");
    for policy in kinds(&limited, "ValidatingAdmissionPolicy") {
        let expression = text(policy, "/spec/matchConstraints/namespaceSelector/matchExpressions/0/key");
        let limited = named(policy).1 == "tradewind-resume";
        assert_eq!(expression == "kubernetes.io/metadata.name", limited, "{policy}");
    }
}

/// The plain environment of the operator's container.
fn env(objects: &[Value]) -> BTreeMap<String, String> {
    let deployment = kinds(objects, "Deployment")[0];
    let list = deployment.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    list.iter().map(|v| (text(v, "/name").to_owned(), text(v, "/value").to_owned())).collect()
}

#[test]
fn each_setting_of_the_operator_has_its_value_and_no_other_is_set() {
    let source = std::fs::read_to_string(root().join("operator/src/settings.rs")).unwrap();
    let known: BTreeSet<String> =
        source.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    assert!(known.len() > 10, "{known:?}");
    let set: BTreeSet<String> = env(&render(&[])).into_keys().collect();
    let unset: Vec<&String> = known.difference(&set).collect();
    // The port stands in the probes, the Service-less metrics and the NetworkPolicy: it is the chart's.
    assert_eq!(unset, ["TRADEWIND_HTTP_ADDRESS"]);
    assert!(set.is_subset(&known), "{set:?}");
}

#[test]
fn what_is_set_reaches_the_operator_as_it_reads_it() {
    let everything = chart().join("ci/everything-values.yaml");
    let env = env(&render(&["-f", everything.to_str().unwrap()]));
    for (name, value) in [
        ("TRADEWIND_WORKER_IMAGE", "registry.example.com/tradewind-worker:0.1.0"),
        ("TRADEWIND_WORKER_IMAGE_PULL_POLICY", "Always"),
        ("TRADEWIND_WORKER_IMAGE_PULL_SECRETS", "pull,other"),
        ("TRADEWIND_WORKER_CPU_LIMIT", "2"),
        ("TRADEWIND_WORKER_CPU_REQUEST", "100m"),
        ("TRADEWIND_WORKER_MEMORY_LIMIT", "1Gi"),
        ("TRADEWIND_WORKER_SERVICE_ACCOUNT_ANNOTATIONS", "example.com/role=worker,example.com/team=desk"),
        ("TRADEWIND_API_SERVER_CIDRS", "10.0.0.1/32,fd00::1/128"),
        ("TRADEWIND_API_SERVER_PORTS", "6443"),
        ("TRADEWIND_EXTRA_EGRESS", "10.0.0.0/8:3306"),
        ("TRADEWIND_LEADER_LEASE", "desk-operator"),
        ("TRADEWIND_NETWORK_POLICIES", "true"),
    ] {
        assert_eq!(env[name], value, "{name}");
    }
}

#[test]
fn the_operators_pod_keeps_to_the_restricted_standard() {
    let objects = render(&[]);
    let deployment = one(&objects, "Deployment", "tradewind-operator");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"], json!({"drop": ["ALL"]}));
    assert!(pod.get("volumes").is_none() && pod.get("hostNetwork").is_none());
    assert_eq!(text(container, "/livenessProbe/httpGet/path"), "/livez");
    assert_eq!(text(container, "/readinessProbe/httpGet/path"), "/readyz");
    assert_eq!(container["ports"][0]["containerPort"], 8080);
    let hosts = pod["topologySpreadConstraints"].as_array().unwrap();
    assert_eq!(hosts[0]["topologyKey"], "kubernetes.io/hostname");
    let budget = one(&objects, "PodDisruptionBudget", "tradewind-operator");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (name, value) in budget.pointer("/spec/selector/matchLabels").unwrap().as_object().unwrap() {
        assert_eq!(&labels[name], value);
    }
}

#[test]
fn people_get_no_more_than_their_role_says() {
    let objects = render(&[]);
    let role = |name: &str| one(&objects, "ClusterRole", &format!("tradewind-{name}"));
    let kinds_of_ours = ["exchangeaccounts", "tradingstrategies", "riskpolicies", "tradinghalts"];
    // Role, who may change what, and who may delete a halt.
    for (name, writes, creates_halts, deletes_halts) in [
        ("viewer", &[][..], false, false),
        ("trader", &["tradingstrategies"], true, false),
        ("halter", &[], true, false),
        ("resumer", &[], false, true),
        ("risk-officer", &["riskpolicies", "exchangeaccounts"], true, true),
    ] {
        let role = role(name);
        for kind in kinds_of_ours {
            let may = allows(role, "patch", kind);
            assert_eq!(may, writes.contains(&kind), "{name} patches {kind}");
            assert!(!allows(role, "patch", &format!("{kind}/status")), "{name}");
            assert_eq!(
                allows(role, "get", kind),
                name != "halter" || kind == "tradinghalts",
                "{name} reads {kind}"
            );
        }
        assert_eq!(allows(role, "create", "tradinghalts"), creates_halts, "{name}");
        assert_eq!(allows(role, "delete", "tradinghalts"), deletes_halts, "{name}");
    }
}

#[test]
fn money_is_in_no_standard_role() {
    let aggregated = |objects: &[Value]| -> Vec<(String, Vec<String>)> {
        let labels = |role: &Value| -> Vec<String> {
            let labels = role["metadata"]["labels"].as_object().unwrap().keys();
            labels.filter(|name| name.contains("aggregate-to-")).cloned().collect()
        };
        let all = kinds(objects, "ClusterRole").into_iter().map(|role| (named(role).1, labels(role)));
        all.filter(|(_, labels)| !labels.is_empty()).collect()
    };
    assert!(aggregated(&render(&[])).is_empty());
    let asked = aggregated(&render(&["--set", "rbac.aggregateHalter=true"]));
    let to = ["admin", "edit"].map(|role| format!("rbac.authorization.k8s.io/aggregate-to-{role}")).to_vec();
    // The halter reads halts only, in whose status there is no money.
    assert_eq!(asked, [("tradewind-halter".to_owned(), to)]);
}

#[test]
fn a_cluster_without_mutating_policies_gets_none_and_one_too_old_gets_nothing() {
    assert!(kinds(&render(&[]), "MutatingAdmissionPolicy").is_empty());
    let v1 = render(&["--api-versions", MUTATING]);
    let names: Vec<String> = kinds(&v1, "MutatingAdmissionPolicy").into_iter().map(|o| named(o).1).collect();
    assert_eq!(names, ["tradewind-hold"]);
    let beta = render(&["--api-versions", "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"]);
    let versions = kinds(&beta, "MutatingAdmissionPolicy");
    assert_eq!(text(versions[0], "/apiVersion"), "admissionregistration.k8s.io/v1beta1");
    let old = template(&["--kube-version", "1.32.9"]).unwrap_err();
    assert!(old.contains(">=1.33"), "{old}");
}

#[test]
fn the_notes_hold_a_strategy_of_ten_lines_that_is_valid() {
    let chart = chart();
    let notes =
        helm(&["install", "tradewind", chart.to_str().unwrap(), "-n", "system", "--dry-run=client"]).unwrap();
    let notes = notes.split("NOTES:").nth(1).expect("notes");
    let manifests: Vec<String> = notes
        .split("<<'END'\n")
        .skip(1)
        .map(|rest| rest.split("  END\n").next().unwrap())
        .map(|text| text.lines().map(|line| line.strip_prefix("  ").unwrap()).collect::<Vec<_>>().join("\n"))
        .collect();
    assert_eq!(manifests.len(), 2);
    let strategy: Vec<&str> = manifests[1].lines().collect();
    assert_eq!(strategy.len(), 10, "{strategy:?}");
    let loaded = load::texts(manifests.iter().map(|text| ("notes", text.as_str())));
    assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    let symbols = vec!["BTC-USD".parse().unwrap()];
    let catalog = Catalog { data_set: "coinbase-1h".into(), bar: Millis(3_600_000), symbols };
    let problems = validate(&loaded.objects, &BTreeMap::from([("coinbase-1h".to_owned(), catalog)]));
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(loaded.objects.strategies.len(), 1);
}
