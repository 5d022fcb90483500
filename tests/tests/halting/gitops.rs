//! What Argo CD, Flux, Helm and people do to a strategy in Git's name must not resume it.

use serde_json::{Value, json};
use tradewind_crds::trading_strategy::TradingStrategy;
use tradewind_tests::binary::tools;
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{strategy, strategy_with};

use super::{BARS, HALT, shown, trading};

/// The strategy as Git has it, with `halted: false`.
fn in_git() -> String {
    strategy_with("trend", "paper", "AAA-USD", "  halted: false")
}

/// Halts by patch, lets somebody revert it, and asserts that it holds.
async fn holds_against(rig: &Rig, revert: impl AsyncFnOnce(&Rig)) {
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", HALT).await.success();
    revert(rig).await;
    let halted = rig.kubectl(&["get", "strat", "trend", "-o", "jsonpath={.spec.halted}"]).await.success();
    assert_ne!(halted, "true", "the revert did not revert, so that nothing is proven");
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    shown(rig, true).await;
}

#[tokio::test]
async fn a_three_way_apply_that_says_halted_false_does_not_resume() {
    let rig = trading().await;
    let file = rig.dir().join("git.yaml");
    std::fs::write(&file, in_git()).unwrap();
    let apply = ["apply", "-f", file.to_str().unwrap()];
    rig.kubectl(&apply).await.success();
    holds_against(&rig, async |rig| drop(rig.kubectl(&apply).await.success())).await;
}

#[tokio::test]
async fn a_replace_does_not_resume() {
    let rig = trading().await;
    let file = rig.dir().join("git.yaml");
    std::fs::write(&file, strategy("trend", "paper", "AAA-USD")).unwrap();
    holds_against(&rig, async |rig| {
        rig.kubectl(&["replace", "-f", file.to_str().unwrap()]).await.success();
    })
    .await;
}

#[tokio::test]
async fn a_server_side_apply_that_forces_conflicts_does_not_resume() {
    let rig = trading().await;
    let file = rig.dir().join("git.yaml");
    std::fs::write(&file, in_git()).unwrap();
    holds_against(&rig, async |rig| {
        let manager = "--field-manager=argocd-controller";
        let apply = ["apply", "--server-side", "--force-conflicts", manager, "-f", file.to_str().unwrap()];
        rig.kubectl(&apply).await.success();
    })
    .await;
}

/// Flux renames managers that begin with `kubectl` to its own, and its next apply then prunes what they set.
#[tokio::test]
async fn a_takeover_of_kubectls_fields_with_pruning_does_not_resume() {
    let rig = trading().await;
    holds_against(&rig, async |rig| {
        let api = rig.api::<TradingStrategy>();
        let object = api.get("trend").await.unwrap();
        let mut fields = serde_json::to_value(object.metadata.managed_fields.unwrap()).unwrap();
        for entry in fields.as_array_mut().unwrap() {
            let theirs =
                ["kubectl", "tests"].iter().any(|m| entry["manager"].as_str().unwrap().starts_with(m));
            if theirs && entry.get("subresource").is_none() {
                entry["manager"] = "kustomize-controller".into();
                entry["operation"] = "Apply".into();
            }
        }
        // Entries of one manager and operation are one entry.
        let entries = merged(&fields);
        let patch =
            json!([{"op": "replace", "path": "/metadata/managedFields", "value": entries}]).to_string();
        let manager = "--field-manager=kustomize-controller";
        rig.kubectl(&["patch", "strat", "trend", "--type=json", manager, "-p", &patch]).await.success();
        let file = rig.dir().join("git.yaml");
        std::fs::write(&file, strategy("trend", "paper", "AAA-USD")).unwrap();
        let apply = ["apply", "--server-side", "--force-conflicts", manager, "-f", file.to_str().unwrap()];
        rig.kubectl(&apply).await.success();
    })
    .await;
}

fn merged(fields: &Value) -> Value {
    let mut entries: Vec<Value> = Vec::new();
    for entry in fields.as_array().unwrap() {
        let same = |known: &&mut Value| {
            ["manager", "operation", "subresource"].iter().all(|key| known.get(key) == entry.get(key))
        };
        match entries.iter_mut().find(same) {
            Some(known) => union(&mut known["fieldsV1"], &entry["fieldsV1"]),
            None => entries.push(entry.clone()),
        }
    }
    Value::Array(entries)
}

fn union(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        for (key, value) in from {
            union(into.entry(key.clone()).or_insert_with(|| json!({})), value);
        }
    }
}

#[tokio::test]
async fn a_helm_upgrade_does_not_resume() {
    let rig = trading().await;
    rig.kubectl(&["delete", "strat", "trend"]).await.success();
    let chart = rig.dir().join("desk");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: desk\nversion: 0.1.0\n").unwrap();
    let template = in_git().replace(r#"amount: "5000""#, "amount: {{ .Values.capital | quote }}");
    std::fs::write(chart.join("templates/trend.yaml"), template).unwrap();
    // Helm 4 refuses to take a field over from another manager, unless it is told to.
    let helm = async |rig: &Rig, verb: &[&str], capital: &str| {
        let mut command = rig.cluster().command(tools().join("bin/helm"));
        command.args(verb).arg("desk").arg(&chart).args([
            "-n",
            rig.name(),
            "--set",
            &format!("capital={capital}"),
        ]);
        let ran = command.output().await.unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    helm(&rig, &["install"], "5000").await;
    rig.assert_trading("paper", "trend").await;
    let mark = rig.mark("paper", "trend").await;
    rig.patch("trend", HALT).await.success();
    helm(&rig, &["upgrade", "--force-conflicts"], "4000").await;
    rig.assert_stays_halted("paper", "trend", mark, BARS).await;
    shown(&rig, true).await;
}

#[tokio::test]
async fn a_strategy_deleted_and_made_anew_under_a_halt_is_born_halted() {
    let rig = trading().await;
    rig.patch("trend", HALT).await.success();
    shown(&rig, true).await;
    rig.kubectl(&["delete", "strat", "trend", "--timeout=60s"]).await.success();
    let mark = rig.mark("paper", "trend").await;
    rig.apply(&strategy("trend", "paper", "AAA-USD")).await;
    shown(&rig, true).await;
    let rows = rig.outcomes("paper", "trend", mark, "Halted", BARS).await;
    assert!(rows.iter().all(|row| row.outcome != "Enter"), "it entered before it was halted");
}

#[tokio::test]
async fn a_restore_without_status_is_born_halted() {
    let rig = trading().await;
    rig.patch("trend", HALT).await.success();
    shown(&rig, true).await;
    let text = rig.kubectl(&["get", "strat", "trend", "-o", "json"]).await.success();
    let mut backup: Value = serde_json::from_str(&text).unwrap();
    backup.as_object_mut().unwrap().remove("status");
    backup["metadata"] = json!({"name": "trend", "labels": backup["metadata"]["labels"]});
    backup["spec"].as_object_mut().unwrap().remove("halted");
    rig.kubectl(&["delete", "strat", "trend", "--timeout=60s"]).await.success();
    let mark = rig.mark("paper", "trend").await;
    rig.apply(&backup.to_string()).await;
    let rows = rig.outcomes("paper", "trend", mark, "Halted", BARS).await;
    assert!(rows.iter().all(|row| row.outcome != "Enter"), "it entered before it was halted");
}
