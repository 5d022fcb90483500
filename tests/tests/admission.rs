//! The chart on a real API server: it is taken as it is, and its policies hold: who may resume, who signs a halt, and
//! that a halt taken back before anyone saw it still holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod manifests;

use manifests::{documents, named, text, tool};
use serde_json::{Value, json};
use tradewind_tests::binary::root;
use tradewind_tests::cluster::{Cluster, Namespace, Ran, patience, wait_for};

const LATCH: &str = "6f1c9a4e-0b7d-4c58-9e0a-3d2f1b8c7a60";
const OTHER: &str = "1b0f6f5e-8d7c-4a2b-b3c1-2e4d6f8a9c01";

/// What the operator lists while there is no latch.
const SPEC_HALTED: &str = "spec.halted";

const STRATEGY: &str = "
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: btc-trend}
spec:
  exchangeAccountRef: {name: paper}
  capital: {amount: \"5000\"}
  instruments: [{symbol: BTC-USD}]
  decision: {bar: 1h}
  signal: {source: {emaCross: {fast: 10, slow: 30}}}
  sizing: {fixedPercent: {percent: 5}}
";

/// A cluster of its own, since admission policies are everybody's, with the chart on it and no operator running.
struct Desk {
    // First, so that it is dropped while its cluster is there.
    namespace: Namespace,
    cluster: Cluster,
}

async fn ran(command: &mut tokio::process::Command) -> Ran {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { ok: output.status.success(), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Desk {
    async fn start() -> Self {
        let cluster = Cluster::own().await;
        let namespace = cluster.namespace().await;
        let desk = Self { namespace, cluster };
        desk.helm(&["install", "tradewind", "CHART", "-n", "system", "--create-namespace"]).await.success();
        wait_for("the new kinds", patience(20), async || {
            let ran = desk.kubectl("", &["apply", "-f", "-"], STRATEGY).await;
            if ran.ok { Ok(()) } else { Err(ran.err) }
        })
        .await;
        desk.bind("nobody-resumes", "trader").await;
        desk
    }

    async fn helm(&self, arguments: &[&str]) -> Ran {
        let chart = root().join("charts/tradewind");
        let mut command = self.cluster.command(tool("helm").get_program());
        for argument in arguments {
            command.arg(if *argument == "CHART" { chart.to_str().unwrap() } else { argument });
        }
        ran(&mut command).await
    }

    /// A command as a person types it, with the cluster's kubectl.
    async fn shell(&self, script: &str) -> Ran {
        let kubectl = self.cluster.kubectl_program();
        let path = format!("{}:{}", kubectl.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = self.cluster.command("sh");
        ran(command.args(["-euc", script]).env("PATH", path)).await
    }

    /// `kubectl` in the namespace, as that user; as the administrator when empty.
    async fn kubectl(&self, user: &str, arguments: &[&str], input: &str) -> Ran {
        let user = format!("--as={user}");
        let mut all = vec!["-n", self.namespace.name()];
        if user != "--as=" {
            all.push(&user);
        }
        all.extend(arguments);
        self.cluster.kubectl_reading(&all, input).await
    }

    async fn bind(&self, user: &str, role: &str) {
        let (role, name) = (format!("--clusterrole=tradewind-{role}"), format!("{user}-{role}"));
        let user = format!("--user={user}");
        self.kubectl("", &["create", "rolebinding", &name, &role, &user], "").await.success();
    }

    async fn patch(&self, user: &str, patch: &Value) -> Ran {
        let patch = patch.to_string();
        self.kubectl(user, &["patch", "strat", "btc-trend", "--type=merge", "-p", &patch], "").await
    }

    async fn strategy(&self) -> Value {
        let json = self.kubectl("", &["get", "strat", "btc-trend", "-o", "json"], "").await.success();
        serde_json::from_str(&json).unwrap()
    }

    async fn halted(&self) -> bool {
        self.strategy().await.pointer("/spec/halted") == Some(&json!(true))
    }

    /// Halts by patch, once the policies are in force: the API server takes them up a moment after they are made.
    async fn halt(&self) {
        self.patch("", &json!({"spec": {"halted": true}})).await.success();
    }

    async fn policies_in_force(&self) {
        wait_for("the admission policies", patience(20), async || {
            self.patch("", &json!({"spec": {"halted": true}})).await.success();
            // Refused, for the first seconds of an API server.
            let taken_back = self.patch("", &json!({"spec": {"halted": null}})).await;
            if !taken_back.ok {
                return Err(taken_back.err);
            }
            if self.halted().await { Ok(()) } else { Err("halted could be taken back".to_owned()) }
        })
        .await;
        wait_for("the resume policy", patience(20), async || {
            let dry = ["create", "-f", "-", "--dry-run=server"];
            let ran = self
                .kubectl("nobody-resumes", &dry, &format!("{STRATEGY}  resume: {{haltID: {OTHER}}}\n"))
                .await;
            if ran.err.contains("ValidatingAdmissionPolicy") { Ok(()) } else { Err(ran.err) }
        })
        .await;
    }

    /// What the operator reports, as far as the policy asks: which generation, and which latch.
    async fn report(&self, generation: i64, latches: &[&str]) {
        let latch = |uid: &&str| match *uid {
            SPEC_HALTED => json!({"name": SPEC_HALTED, "action": "CancelEntries"}),
            uid => json!({"name": "strategy.btc-trend.latched", "uid": uid, "action": "CancelEntries"}),
        };
        let sources: Vec<Value> = latches.iter().map(latch).collect();
        self.status(&json!({"observedGeneration": generation, "halt": {"active": true, "sources": sources}}))
            .await;
    }

    async fn status(&self, status: &Value) {
        let patch = json!({"status": status}).to_string();
        let arguments = ["patch", "strat", "btc-trend", "--subresource=status", "--type=merge", "-p", &patch];
        self.kubectl("", &arguments, "").await.success();
    }

    async fn generation(&self) -> i64 {
        self.strategy().await["metadata"]["generation"].as_i64().unwrap()
    }

    async fn make_halt(&self, user: &str, name: &str, requested_by: &str) -> Ran {
        self.make_halt_of(user, name, requested_by, &json!({"namespace": {}})).await
    }

    async fn make_halt_of(&self, user: &str, name: &str, requested_by: &str, target: &Value) -> Ran {
        let halt = json!({
            "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingHalt", "metadata": {"name": name},
            "spec": {"target": target, "reason": "test", "requestedBy": requested_by},
        });
        self.kubectl(user, &["create", "-f", "-"], &halt.to_string()).await
    }
}

#[tokio::test]
async fn a_halt_taken_back_before_anyone_saw_it_still_holds_whichever_tool_takes_it_back() {
    let desk = Desk::start().await;
    desk.policies_in_force().await;

    let with_false = format!("{STRATEGY}  halted: false\n");
    let server_side =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-"];
    // The tool, and what it sends.
    for (arguments, input) in [
        (&["patch", "strat", "btc-trend", "--type=merge", "-p", r#"{"spec":{"halted":false}}"#][..], ""),
        (&["patch", "strat", "btc-trend", "--type=merge", "-p", r#"{"spec":{"halted":null}}"#], ""),
        (
            &[
                "patch",
                "strat",
                "btc-trend",
                "--type=json",
                "-p",
                r#"[{"op":"remove","path":"/spec/halted"}]"#,
            ],
            "",
        ),
        (&["replace", "-f", "-"], STRATEGY),
        (&["apply", "-f", "-"], with_false.as_str()),
        (&server_side, with_false.as_str()),
        (&server_side, STRATEGY),
    ] {
        desk.halt().await;
        assert!(desk.halted().await);
        desk.kubectl("", arguments, input).await.success();
        assert!(desk.halted().await, "{arguments:?} took it back");
    }

    // Not by a report of an earlier generation, nor by one that has no latch yet.
    let generation = desk.generation().await;
    desk.report(generation - 1, &[LATCH]).await;
    desk.patch("", &json!({"spec": {"halted": false}})).await.success();
    assert!(desk.halted().await, "a report of an earlier generation counted");
    for sources in [&[SPEC_HALTED][..], &[LATCH, SPEC_HALTED]] {
        desk.report(generation, sources).await;
        desk.patch("", &json!({"spec": {"halted": false}})).await.success();
        assert!(desk.halted().await, "{sources:?}: a halt that is not latched counted");
    }

    // Once it is latched, the field is free: the latch halts.
    desk.report(generation, &[LATCH]).await;
    desk.patch("", &json!({"spec": {"halted": false}})).await.success();
    assert!(!desk.halted().await, "a latched halt can be taken back");
    // And the report of that time says nothing about the next halt.
    desk.halt().await;
    desk.patch("", &json!({"spec": {"halted": null}})).await.success();
    assert!(desk.halted().await, "an old report counted for a new halt");

    a_latch_that_is_being_resumed_does_not_let_go_of_a_new_halt(&desk).await;
    with_the_operator_away_a_halt_that_the_worker_reports_can_be_resumed_by_name(&desk).await;
}

async fn a_latch_that_is_being_resumed_does_not_let_go_of_a_new_halt(desk: &Desk) {
    desk.report(desk.generation().await, &[LATCH]).await;
    desk.patch("", &json!({"spec": {"halted": null, "resume": {"haltID": LATCH}}})).await.success();
    assert!(!desk.halted().await);

    desk.halt().await;
    desk.report(desk.generation().await, &[LATCH]).await;
    desk.patch("", &json!({"spec": {"halted": null}})).await.success();
    assert!(desk.halted().await, "the latch is about to be deleted");
    desk.report(desk.generation().await, &[OTHER]).await;
    desk.patch("", &json!({"spec": {"halted": null}})).await.success();
    assert!(!desk.halted().await);
}

async fn with_the_operator_away_a_halt_that_the_worker_reports_can_be_resumed_by_name(desk: &Desk) {
    const NEW: &str = "0d4a2c9e-5f1b-4e7a-9c3d-7b6e5a4f3c21";
    desk.halt().await;
    desk.status(&json!({"applied": {"generation": 1, "hash": "0", "halts": [NEW]}})).await;
    desk.patch("", &json!({"spec": {"halted": null, "resume": {"haltID": OTHER}}})).await.success();
    assert!(desk.halted().await, "that name is no halt in force");
    desk.patch("", &json!({"spec": {"halted": null, "resume": {"haltID": NEW}}})).await.success();
    assert!(!desk.halted().await);
}

#[tokio::test]
async fn people_resume_and_sign_halts_as_their_roles_let_them() {
    let desk = Desk::start().await;
    desk.policies_in_force().await;
    only_those_who_may_delete_halts_may_resume(&desk).await;
    a_halt_is_signed_by_who_made_it_or_by_nobody(&desk).await;
    a_worker_makes_halts_of_its_own_account_alone(&desk).await;
}

async fn only_those_who_may_delete_halts_may_resume(desk: &Desk) {
    desk.bind("tom", "trader").await;
    desk.bind("ria", "trader").await;
    desk.bind("ria", "resumer").await;

    let resume = json!({"spec": {"resume": {"haltID": LATCH}}});
    let refused = desk.patch("tom", &resume).await.failure();
    assert!(refused.contains("ask for the role tradewind-resumer"), "{refused}");
    desk.patch("tom", &json!({"spec": {"desiredState": "ExitOnly"}})).await.success();
    desk.patch("ria", &resume).await.success();
    // What is there may stay and may go.
    desk.patch("tom", &json!({"spec": {"desiredState": "Trading"}})).await.success();
    desk.patch("tom", &json!({"spec": {"resume": null}})).await.success();
    let born = STRATEGY.replace("btc-trend", "eth-trend") + &format!("  resume: {{haltID: {LATCH}}}\n");
    desk.kubectl("tom", &["create", "-f", "-"], &born).await.failure();
    desk.kubectl("ria", &["create", "-f", "-"], &born).await.success();
}

async fn a_halt_is_signed_by_who_made_it_or_by_nobody(desk: &Desk) {
    desk.bind("tom", "halter").await;
    let operator = "system:serviceaccount:system:tradewind-operator";
    desk.make_halt("tom", "unsigned", "").await.success();
    desk.make_halt("tom", "signed", "tom").await.success();
    for name in ["forged", "strategy.btc-trend.latched"] {
        let refused = desk.make_halt("tom", name, "ria").await.failure();
        assert!(refused.contains("spec.requestedBy must be your own name, tom"), "{refused}");
    }
    // Latches carry the name of whoever set the field.
    desk.make_halt(operator, "strategy.btc-trend.latched", "kubectl-patch").await.success();

    let table = "jsonpath={range .items[*]}{.metadata.name}={.spec.requestedBy}{\"\\n\"}{end}";
    let listed = desk.kubectl("tom", &["get", "thalt", "-o", table], "").await.success();
    let expected = ["signed=tom", "strategy.btc-trend.latched=kubectl-patch", "unsigned="];
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

/// A service account that may make halts; its rights as a worker come from the operator, who does not run here.
async fn halter(desk: &Desk, name: &str, of_account: Option<&str>) -> String {
    let user = format!("system:serviceaccount:{}:{name}", desk.namespace.name());
    let user_flag = format!("--user={user}");
    let binding = ["create", "rolebinding", name, "--clusterrole=tradewind-halter", &user_flag];
    desk.kubectl("", &binding, "").await.success();
    if let Some(account) = of_account {
        let named = format!("--resource-name={account}");
        let resource = "--resource=exchangeaccounts.tradewind.dev/status";
        desk.kubectl("", &["create", "role", name, "--verb=patch", resource, &named], "").await.success();
        let (binding, role) = (format!("{name}-reports"), format!("--role={name}"));
        desk.kubectl("", &["create", "rolebinding", &binding, &role, &user_flag], "").await.success();
    }
    user
}

async fn a_worker_makes_halts_of_its_own_account_alone(desk: &Desk) {
    let (own, other) =
        (halter(desk, "paper-worker", Some("paper")).await, halter(desk, "live-worker", Some("live")).await);
    let false_worker = halter(desk, "fake-worker", None).await;
    let account = |name: &str| json!({"account": {"name": name}});
    let strategy = json!({"strategy": {"name": "btc-trend"}});
    let (latch, drawdown) = ("strategy.btc-trend.latched", "account.paper.drawdown");

    // One that is only called like a worker signs as itself or not at all.
    for (name, target) in [(latch, &strategy), ("account.fake.drawdown", &account("fake"))] {
        let refused = desk.make_halt_of(&false_worker, name, "kubectl-patch", target).await.failure();
        assert!(refused.contains("spec.requestedBy must be your own name"), "{refused}");
    }
    desk.make_halt(&false_worker, "by-hand", &false_worker).await.success();
    // A worker of another account, although the strategy's latch would have the right name.
    wait_for("the policy about workers", patience(20), async || {
        let refused = desk.make_halt_of(&other, "strategy.btc-trend.daily", "breaker", &strategy).await;
        let told =
            "strategy btc-trend trades on account paper, and the worker of account live makes no halts of it";
        let known = !refused.ok && refused.err.contains(told);
        if refused.ok {
            desk.kubectl("", &["delete", "thalt", "strategy.btc-trend.daily"], "").await.success();
        }
        if known { Ok(()) } else { Err(refused.err) }
    })
    .await;
    // And none makes any other halt, whoever signs it.
    for (user, name, target) in [
        (&other, drawdown, account("paper")),
        (&own, "by-hand", json!({"namespace": {}})),
        (&own, "strategy.other.latched", strategy.clone()),
        (&own, "account.live.drawdown", account("paper")),
    ] {
        let refused = desk.make_halt_of(user, name, "", &target).await.failure();
        assert!(refused.contains("makes halts of that account and its strategies alone"), "{refused}");
    }
    desk.make_halt_of(&own, drawdown, "breaker", &account("paper")).await.success();
    desk.kubectl("", &["delete", "thalt", latch, "--ignore-not-found"], "").await.success();
    desk.make_halt_of(&own, latch, "kubectl-patch", &strategy).await.success();
}

/// The first command below that heading of docs/uninstall.md.
fn documented(heading: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/uninstall.md")).unwrap();
    let part = page.split(&format!("## {heading}\n")).nth(1).unwrap().to_owned();
    part.split("```sh\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn uninstalling_leaves_definitions_and_strategies_and_takes_all_else() {
    let desk = Desk::start().await;
    let operator = "system:serviceaccount:system:tradewind-operator";
    let can = async |verb: &str, what: &str| {
        let ran = desk.kubectl(operator, &["auth", "can-i", verb, what], "").await;
        ran.out.trim() == "yes"
    };
    assert!(can("patch", "tradingstrategies.tradewind.dev/status").await);
    assert!(can("create", "statefulsets.apps").await);
    for verb in ["get", "list", "watch", "create", "patch", "delete"] {
        assert!(!can(verb, "secrets").await, "{verb} secrets");
    }
    assert!(!can("delete", "persistentvolumeclaims").await);

    let objects = documents(&desk.helm(&["get", "manifest", "tradewind", "-n", "system"]).await.success());
    assert!(
        objects.iter().any(|object| text(object, "/kind") == "MutatingAdmissionPolicy"),
        "newest Kubernetes has it"
    );
    desk.helm(&["upgrade", "tradewind", "CHART", "-n", "system", "--set", "watchNamespaces={system}"])
        .await
        .success();
    assert!(!can("create", "statefulsets.apps").await, "the namespace is no longer looked after");
    // As the operator leaves it.
    let finalizer = json!({"metadata": {"finalizers": [tradewind_crds::names::FINALIZER]}});
    desk.patch("", &finalizer).await.success();
    desk.helm(&["uninstall", "tradewind", "-n", "system"]).await.success();

    desk.kubectl("", &["get", "strat", "btc-trend"], "").await.success();
    desk.kubectl("", &["delete", "strat", "btc-trend", "--wait=false"], "").await.success();
    desk.kubectl("", &["get", "strat", "btc-trend"], "").await.success();
    desk.shell(&documented("Releasing what waits")).await.success();
    desk.kubectl("", &["get", "strat", "btc-trend"], "").await.failure();
    for object in &objects {
        let (kind, name) = named(object);
        let found = desk
            .cluster
            .kubectl(&["get", &kind, &name, "-n", "system", "--ignore-not-found", "-o", "name"])
            .await;
        let stays = kind == "CustomResourceDefinition";
        assert_eq!(found.success().trim().is_empty(), !stays, "{kind} {name}");
    }
}
