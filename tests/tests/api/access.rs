//! Who may do what, asked of a real API server with the rights the chart gives: each verb on each resource, and what is
//! not listed here is refused.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use tradewind_tests::binary::{root, tools};
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all};

const VERBS: [&str; 12] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
    "bind",
    "escalate",
    "*",
];

/// Everything somebody could want, as `group/resource/subresource`.
const RESOURCES: [&str; 38] = [
    "tradewind.dev/exchangeaccounts",
    "tradewind.dev/exchangeaccounts/status",
    "tradewind.dev/tradingstrategies",
    "tradewind.dev/tradingstrategies/status",
    "tradewind.dev/riskpolicies",
    "tradewind.dev/riskpolicies/status",
    "tradewind.dev/tradinghalts",
    "tradewind.dev/tradinghalts/status",
    "/secrets",
    "/configmaps",
    "/pods",
    "/pods/exec",
    "/pods/log",
    "/pods/eviction",
    "/pods/ephemeralcontainers",
    "/services",
    "/serviceaccounts",
    "/serviceaccounts/token",
    "/persistentvolumeclaims",
    "/persistentvolumes",
    "/events",
    "/namespaces",
    "/nodes",
    "/nodes/proxy",
    "/*",
    "apps/statefulsets",
    "apps/statefulsets/scale",
    "apps/deployments",
    "batch/jobs",
    "networking.k8s.io/networkpolicies",
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/rolebindings",
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/clusterrolebindings",
    "coordination.k8s.io/leases",
    "events.k8s.io/events",
    "apiextensions.k8s.io/customresourcedefinitions",
    "admissionregistration.k8s.io/validatingadmissionpolicies",
];

/// Resources separated by spaces, and the verbs on each.
type Rights = &'static [(&'static str, &'static str)];

const READ: &str = "get list watch";
const CHILD: &str = "get list watch create patch delete";
const WRITE: &str = "create update patch delete deletecollection";

const OPERATOR: Rights = &[
    (
        "tradewind.dev/exchangeaccounts tradewind.dev/tradingstrategies tradewind.dev/riskpolicies",
        "get list watch patch",
    ),
    (
        "tradewind.dev/exchangeaccounts/status tradewind.dev/tradingstrategies/status tradewind.dev/riskpolicies/status tradewind.dev/tradinghalts/status",
        "patch",
    ),
    ("tradewind.dev/tradinghalts", "get list watch create delete"),
    ("/serviceaccounts /services /configmaps apps/statefulsets networking.k8s.io/networkpolicies", CHILD),
    ("rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/rolebindings", CHILD),
    // A ledger outlives its account: it is nobody's to delete but a person's.
    ("/persistentvolumeclaims", "get list watch create patch"),
    ("/pods", "get list watch delete"),
    ("coordination.k8s.io/leases", "get create update patch delete"),
    ("events.k8s.io/events", "create patch"),
    ("/events", "list"),
];
/// On any name; what it may on names of its own account's objects is [`WORKER_OWN`].
const WORKER: Rights = &[
    ("tradewind.dev/tradingstrategies", READ),
    ("tradewind.dev/tradingstrategies/status", "patch"),
    ("tradewind.dev/tradinghalts", "get list watch create delete"),
    ("coordination.k8s.io/leases", "create"),
    ("events.k8s.io/events", "create patch"),
];
const READ_ALL: (&str, &str) = (
    "tradewind.dev/exchangeaccounts tradewind.dev/tradingstrategies tradewind.dev/riskpolicies tradewind.dev/tradinghalts /events events.k8s.io/events",
    READ,
);
const VIEWER: Rights = &[READ_ALL];
const TRADER: Rights =
    &[READ_ALL, ("tradewind.dev/tradingstrategies", WRITE), ("tradewind.dev/tradinghalts", "create")];
const HALTER: Rights = &[("tradewind.dev/tradinghalts", "get list watch create")];
const RESUMER: Rights = &[READ_ALL, ("tradewind.dev/tradinghalts", "delete deletecollection")];
const RISK_OFFICER: Rights = &[
    READ_ALL,
    ("tradewind.dev/riskpolicies tradewind.dev/exchangeaccounts", WRITE),
    ("tradewind.dev/tradinghalts", "create delete deletecollection"),
];

/// What the worker of account `paper` may do to objects of those names.
const WORKER_OWN: [(&str, &str, &str); 4] = [
    ("/configmaps", "paper-config", READ),
    ("tradewind.dev/exchangeaccounts", "paper", "get"),
    ("tradewind.dev/exchangeaccounts/status", "paper", "patch"),
    ("coordination.k8s.io/leases", "paper-worker", "get update patch delete"),
];

/// Somebody, in a namespace (empty: in all of the cluster).
#[derive(Clone, Copy)]
struct Who<'a> {
    cluster: &'a Cluster,
    user: &'a str,
    namespace: &'a str,
}

impl Who<'_> {
    /// Whether they may do that.
    async fn may(self, verb: &str, resource: &str, name: &str) -> bool {
        let (group, resource) = resource.split_once('/').unwrap();
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = ResourceAttributes {
            namespace: Some(self.namespace.to_owned()),
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(self.user.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.cluster.client());
        let reviewed = api.create(&PostParams::default(), &review).await.unwrap();
        reviewed.status.unwrap().allowed
    }

    /// Everything they may do to objects of that name.
    async fn rights(self, name: &str) -> BTreeSet<String> {
        let asked = RESOURCES.iter().flat_map(|resource| VERBS.map(|verb| (verb, *resource)));
        let answers = stream::iter(asked).map(async |(verb, resource)| {
            self.may(verb, resource, name).await.then(|| format!("{verb} {resource}"))
        });
        answers.buffer_unordered(16).filter_map(async |right| right).collect().await
    }

    /// Asserts that they may do just that, whatever the object is called.
    async fn has(self, rights: Rights) {
        let wanted: BTreeSet<String> = rights
            .iter()
            .flat_map(|(resources, verbs)| {
                resources
                    .split(' ')
                    .flat_map(|resource| verbs.split(' ').map(move |verb| format!("{verb} {resource}")))
            })
            .collect();
        // Bindings are in force a moment after they are made.
        let what = format!("the rights of {} in {:?}", self.user, self.namespace);
        wait_for(&what, patience(20), async || {
            let found = self.rights("any").await;
            let (more, less): (Vec<_>, Vec<_>) =
                (found.difference(&wanted).collect(), wanted.difference(&found).collect());
            if found == wanted { Ok(()) } else { Err(format!("may also {more:?}, may not {less:?}")) }
        })
        .await;
    }
}

/// What the chart makes of its rights with those values, applied.
async fn install(cluster: &Cluster, release: &str, namespace: &str, values: &[&str]) {
    let mut command = cluster.command(tools().join("bin/helm"));
    command.args(["template", release]).arg(root().join("charts/tradewind")).args(["--namespace", namespace]);
    command.args(["--set", "crds.enabled=false,admission.enabled=false,admission.mutating=false"]);
    for value in values {
        command.args(["--set", value]);
    }
    let rendered = command.output().await.expect("helm runs");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    let rendered = String::from_utf8(rendered.stdout).unwrap();
    let rights = |text: &&str| {
        let kind = text.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_default();
        kind == "ServiceAccount" || kind.contains("Role")
    };
    let rights: Vec<&str> = rendered.split("\n---\n").filter(rights).collect();
    cluster.apply(namespace, &rights.join("\n---\n")).await;
}

#[tokio::test]
async fn everybody_may_do_what_is_theirs_and_nothing_else() {
    let cluster = Cluster::own().await;
    let mut rig = Rig::bare(cluster.clone()).await;
    rig.start_operator().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", 1), &account("other", 1)])).await;
    install(&cluster, "people", rig.name(), &["rbac.create=false", "fullnameOverride=people"]).await;
    for role in ["viewer", "trader", "halter", "resumer", "risk-officer"] {
        let (role, user) = (format!("--clusterrole=people-{role}"), format!("--user={role}"));
        rig.kubectl(&["create", "rolebinding", &role[14..], &role, &user]).await.success();
    }
    rig.kubectl(&["create", "rolebinding", "views", "--clusterrole=view", "--user=views"]).await.success();
    rig.wait_json("statefulset/other", ".metadata.uid", 30, |uid| !uid.is_empty()).await;
    rig.wait_json("statefulset/paper", ".metadata.uid", 30, |uid| !uid.is_empty()).await;

    let operator = format!("system:serviceaccount:{}:tradewind-operator", rig.name());
    let worker = format!("system:serviceaccount:{}:paper-worker", rig.name());
    let default = format!("system:serviceaccount:{}:default", rig.name());
    let people: [(&str, Rights); 8] = [
        (&operator, OPERATOR),
        (&worker, WORKER),
        (&default, &[]),
        ("viewer", VIEWER),
        ("trader", TRADER),
        ("halter", HALTER),
        ("resumer", RESUMER),
        ("risk-officer", RISK_OFFICER),
    ];
    for (user, rights) in people {
        let who = |namespace| Who { cluster: &cluster, user, namespace };
        who(rig.name()).has(rights).await;
        // And nothing where they were given nothing.
        who("default").has(&[]).await;
    }
    let worker = Who { cluster: &cluster, user: &worker, namespace: rig.name() };
    let any = worker.rights("any").await;
    for (resource, name, verbs) in WORKER_OWN {
        let found = worker.rights(name).await;
        let more: BTreeSet<String> = found
            .difference(&any)
            .filter(|right| right.ends_with(&format!(" {resource}")))
            .cloned()
            .collect();
        let wanted = verbs.split(' ').map(|verb| format!("{verb} {resource}"));
        assert_eq!(more, wanted.collect(), "{name}");
    }
    for name in ["other", "other-config", "other-worker", "tradewind-operator"] {
        assert_eq!(worker.rights(name).await, any, "the worker of paper may do more to {name}");
    }
    // Money is in the status: the standard role to view a namespace does not show it.
    let views = Who { cluster: &cluster, user: "views", namespace: rig.name() };
    assert!(views.may("get", "/configmaps", "any").await, "the binding is in force");
    assert!(!views.may("get", "tradewind.dev/tradingstrategies", "any").await);
    assert!(!views.may("get", "tradewind.dev/exchangeaccounts", "any").await);
}

#[tokio::test]
async fn an_operator_of_all_namespaces_has_the_same_rights_in_each_and_no_other() {
    let cluster = Cluster::own().await;
    cluster.kubectl(&["create", "namespace", "system"]).await.success();
    install(&cluster, "tradewind", "system", &["rbac.userRoles=false", "fullnameOverride=tradewind"]).await;
    let user = "system:serviceaccount:system:tradewind-operator";
    for namespace in ["default", "system", ""] {
        Who { cluster: &cluster, user, namespace }.has(OPERATOR).await;
    }
}
