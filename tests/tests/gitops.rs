//! The examples: those for Argo CD and Flux by the Lua under a real Lua 5.1 with the libraries Argo CD loads and by what
//! they promise, and each file of all examples on a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod manifests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use manifests::{files, named, read, text};
use mlua::serde::SerializeOptions;
use mlua::{Lua, LuaSerdeExt, StdLib, Table, Value as LuaValue};
use serde_json::Value;
use tradewind_core::time::Millis;
use tradewind_crds::load;
use tradewind_crds::resolve::{Catalog, validate};
use tradewind_tests::binary::root;
use tradewind_tests::cluster::{Cluster, patience, wait_for};

fn examples(folder: &str) -> PathBuf {
    root().join("examples").join(folder)
}

/// The folders of the kinds that Argo CD is told of.
fn customizations() -> Vec<PathBuf> {
    let group = examples("argocd/resource_customizations/tradewind.dev");
    let mut kinds: Vec<PathBuf> = fs::read_dir(group).unwrap().map(|entry| entry.unwrap().path()).collect();
    kinds.sort();
    kinds
}

/// What Argo CD runs a script in: base, table, package and a harmless os, nothing else; one second at most there, and
/// time stands still here, at the instant its own tests put in.
fn run(script: &Path, object: &Value) -> Value {
    let lua = Lua::new_with(StdLib::TABLE | StdLib::PACKAGE, mlua::LuaOptions::default()).unwrap();
    let os = lua.create_table().unwrap();
    let date = lua.create_function(|_, format: String| {
        assert_eq!(format, "!%Y-%m-%dT%XZ");
        Ok("0001-01-01T00:00:00Z")
    });
    os.set("date", date.unwrap()).unwrap();
    lua.globals().set("os", os).unwrap();
    let plain = SerializeOptions::new()
        .set_array_metatable(false)
        .serialize_none_to_null(false)
        .serialize_unit_to_null(false);
    lua.globals().set("obj", lua.to_value_with(object, plain).unwrap()).unwrap();
    let version: String = lua.globals().get("_VERSION").unwrap();
    assert_eq!(version, "Lua 5.1");
    assert!(lua.globals().get::<LuaValue>("string").unwrap().is_nil(), "Argo CD has no string library");
    let source = fs::read_to_string(script).unwrap();
    let result: Table = lua.load(source).eval().unwrap_or_else(|e| panic!("{}: {e}", script.display()));
    lua.from_value(LuaValue::Table(result)).unwrap()
}

fn one(path: &Path) -> Value {
    let mut all = read(path);
    assert_eq!(all.len(), 1, "{}", path.display());
    all.remove(0)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name} in {value}"))
}

#[test]
fn each_health_is_what_its_test_says() {
    let mut seen = BTreeSet::new();
    for kind in customizations() {
        let mut used = BTreeSet::new();
        for test in list(&one(&kind.join("health_test.yaml")), "tests") {
            let input = kind.join(text(test, "/inputPath"));
            let health = run(&kind.join("health.lua"), &one(&input));
            assert_eq!(health, test["healthStatus"], "{}", input.display());
            seen.insert(text(&health, "/status").to_owned());
            used.insert(input);
        }
        assert_eq!(
            used,
            files(&kind.join("testdata"), "yaml").into_iter().collect(),
            "a case nobody looks at"
        );
    }
    // Suspended would hold up every later sync.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["Degraded", "Healthy", "Progressing"]);
}

#[test]
fn each_action_is_offered_and_does_what_its_test_says() {
    for kind in customizations().into_iter().filter(|kind| kind.join("actions").exists()) {
        let actions = kind.join("actions");
        let tests = one(&actions.join("action_test.yaml"));
        let mut used = BTreeSet::new();
        let mut offered = BTreeSet::new();
        for test in list(&tests, "discoveryTests") {
            let input = actions.join(text(test, "/inputPath"));
            let found = run(&actions.join("discovery.lua"), &one(&input));
            let expected: BTreeMap<&str, &Value> =
                list(test, "result").iter().map(|action| (text(action, "/name"), action)).collect();
            let found = found.as_object().unwrap();
            assert_eq!(
                found.keys().map(String::as_str).collect::<Vec<_>>(),
                expected.keys().copied().collect::<Vec<_>>()
            );
            for (name, action) in found {
                let wanted = expected[name.as_str()];
                assert_eq!(action["disabled"], wanted["disabled"], "{name} for {}", input.display());
                assert_eq!(text(action, "/displayName"), text(wanted, "/displayName"), "{name}");
                offered.insert(name.clone());
            }
            used.insert(input);
        }
        let mut done = BTreeSet::new();
        for test in list(&tests, "actionTests") {
            let (input, output) =
                (actions.join(text(test, "/inputPath")), actions.join(text(test, "/expectedOutputPath")));
            let name = text(test, "/action");
            let found = run(&actions.join(name).join("action.lua"), &one(&input));
            assert_eq!(found, one(&output), "{name} on {}", input.display());
            done.insert(name.to_owned());
            used.extend([input, output]);
        }
        assert_eq!(done, offered, "an action without a test, or a test without an action");
        assert_eq!(
            used,
            files(&actions.join("testdata"), "yaml").into_iter().collect(),
            "a case nobody looks at"
        );
    }
}

#[test]
fn the_objects_of_the_lua_tests_are_such_as_the_definitions_allow() {
    // The status too: a field that is renamed must not leave the scripts behind. What is decoded here is what the
    // operator writes.
    let mut count = 0;
    for path in customizations().iter().flat_map(|kind| files(kind, "yaml")) {
        if path.file_name().unwrap().to_string_lossy().ends_with("_test.yaml") {
            continue;
        }
        let object = one(&path);
        let again = match text(&object, "/kind") {
            "TradingStrategy" => kept::<tradewind_crds::trading_strategy::TradingStrategy>(&object),
            "ExchangeAccount" => kept::<tradewind_crds::exchange_account::ExchangeAccount>(&object),
            "RiskPolicy" => kept::<tradewind_crds::risk_policy::RiskPolicy>(&object),
            other => panic!("{}: {other}", path.display()),
        };
        assert!(contains(&again, &object), "{}: {object} became {again}", path.display());
        count += 1;
    }
    assert!(count > 30);
}

/// The value as the type keeps it.
fn kept<T: serde::de::DeserializeOwned + serde::Serialize>(value: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(value.clone()).unwrap()).unwrap()
}

/// Whether all of `part` is in `whole`.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| contains(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(whole, part)| contains(whole, part))
        }
        // 55 and 55.0 are one number.
        (Value::Number(whole), Value::Number(part)) => whole.as_f64() == part.as_f64(),
        _ => whole == part,
    }
}

/// Objects of the desk that Git holds, by file.
fn desk(folder: &str) -> Vec<(PathBuf, Value)> {
    let files = files(&examples(folder), "yaml");
    let objects =
        files.into_iter().flat_map(|path| read(&path).into_iter().map(move |object| (path.clone(), object)));
    objects.filter(|(_, object)| text(object, "/apiVersion").starts_with("tradewind.dev/")).collect()
}

#[test]
fn what_git_holds_never_halts_or_resumes_and_is_valid() {
    for folder in ["argocd/desk", "flux/desk"] {
        let objects = desk(folder);
        let kinds: BTreeSet<&str> = objects.iter().map(|(_, object)| text(object, "/kind")).collect();
        assert_eq!(
            kinds.into_iter().collect::<Vec<_>>(),
            ["ExchangeAccount", "RiskPolicy", "TradingStrategy"]
        );
        for (path, object) in &objects {
            for field in ["halted", "resume"] {
                assert!(object["spec"].get(field).is_none(), "{} has {field}", path.display());
            }
        }
        let paths: Vec<PathBuf> = objects.into_iter().map(|(path, _)| path).collect();
        let loaded = load::files(&paths);
        assert!(loaded.problems.is_empty(), "{}", loaded.problems);
        let symbols = ["BTC-USD", "ETH-USD"].map(|symbol| symbol.parse().unwrap()).to_vec();
        let catalog = Catalog { data_set: "coinbase-1h".into(), bar: Millis(3_600_000), symbols };
        let problems = validate(&loaded.objects, &BTreeMap::from([("coinbase-1h".to_owned(), catalog)]));
        assert!(problems.is_empty(), "{problems}");
    }
}

#[test]
fn argo_applies_what_is_named_before_what_names_it_and_strategies_last() {
    let wave = |object: &Value| -> i32 {
        text(object, "/metadata/annotations/argocd.argoproj.io~1sync-wave").parse().unwrap()
    };
    let mut waves: Vec<(i32, String)> = read(&examples("argocd/applications.yaml"))
        .iter()
        .chain(desk("argocd/desk").iter().map(|(_, object)| object))
        .map(|object| (wave(object), format!("{} {}", named(object).0, named(object).1)))
        .collect();
    waves.sort();
    let order: Vec<&str> = waves.iter().map(|(_, what)| what.as_str()).collect();
    let expected = ["Application tradewind", "Application desk", "RiskPolicy desk", "ExchangeAccount paper"];
    assert_eq!(order, [&expected[..], &["TradingStrategy btc-trend"]].concat());
    let strategy =
        desk("argocd/desk").into_iter().find(|(_, o)| text(o, "/kind") == "TradingStrategy").unwrap().1;
    let options = text(&strategy, "/metadata/annotations/argocd.argoproj.io~1sync-options");
    assert_eq!(options, "Prune=confirm,Delete=confirm");
}

#[test]
fn every_path_that_argo_and_flux_are_given_is_there() {
    let mut paths = Vec::new();
    for object in read(&examples("argocd/applications.yaml")) {
        paths.push(text(&object, "/spec/source/path").to_owned());
    }
    for object in read(&examples("flux/tradewind.yaml")) {
        if text(&object, "/kind") == "Kustomization" {
            let path = text(&object, "/spec/path").strip_prefix("./").unwrap();
            paths.push(path.to_owned());
            let folder = root().join(path);
            let list = one(&folder.join("kustomization.yaml"));
            let resources: BTreeSet<PathBuf> = list["resources"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| folder.join(r.as_str().unwrap()))
                .collect();
            let others =
                files(&folder, "yaml").into_iter().filter(|path| !path.ends_with("kustomization.yaml"));
            assert_eq!(resources, others.collect(), "{path}");
        }
    }
    let release = one(&examples("flux/operator/release.yaml"));
    paths.push(text(&release, "/spec/chart/spec/chart").strip_prefix("./").unwrap().to_owned());
    assert_eq!(paths.len(), 5);
    for path in paths {
        assert!(root().join(&path).is_dir(), "{path}");
    }
}

/// Waits until the API server serves the definitions of our stubs and our own kinds.
async fn with_definitions() -> Cluster {
    let cluster = Cluster::own().await;
    cluster.apply_crds().await;
    for stub in files(&root().join("tests/gitops"), "yaml") {
        cluster.apply("default", &fs::read_to_string(&stub).unwrap()).await;
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f", stub.to_str().unwrap()];
        cluster.kubectl(&wait).await.success();
    }
    cluster
}

#[tokio::test]
async fn the_api_server_takes_every_file() {
    let cluster = with_definitions().await;
    let applied = files(&examples(""), "yaml").into_iter().filter(|path| {
        // Cases of the Lua tests, what the program kustomize reads, and the rules of the packaged candles are no objects
        // for a cluster.
        let part = |name: &str| path.components().any(|part| part.as_os_str() == name);
        !part("resource_customizations") && !part("data") && !path.ends_with("kustomization.yaml")
    });
    let applied: Vec<(PathBuf, Vec<Value>)> = applied.map(|path| (path.clone(), read(&path))).collect();
    assert!(applied.len() >= 15, "{} files", applied.len());
    let theirs = applied.iter().flat_map(|(_, objects)| objects).map(|o| text(o, "/metadata/namespace"));
    let namespaces: BTreeSet<&str> = theirs.chain(["trading"]).filter(|name| !name.is_empty()).collect();
    for namespace in namespaces {
        cluster.kubectl(&["create", "namespace", namespace]).await.success();
    }
    let strict =
        ["apply", "--server-side", "--validate=strict", "--force-conflicts", "-n", "trading", "-f", "-"];
    for (path, objects) in applied {
        let yaml = fs::read_to_string(&path).unwrap();
        // Files say themselves where they go, or go where Argo CD, Flux or a person puts them.
        let own = objects.iter().all(|object| !text(object, "/metadata/namespace").is_empty());
        let arguments: Vec<&str> =
            strict.into_iter().filter(|a| !own || !["-n", "trading"].contains(a)).collect();
        wait_for(&path.display().to_string(), patience(20), async || {
            let ran = cluster.kubectl_reading(&arguments, &yaml).await;
            if ran.ok { Ok(()) } else { Err(ran.err) }
        })
        .await;
    }
    let desk = examples("flux/desk");
    let kustomized = ["apply", "--validate=strict", "-n", "trading", "-k", desk.to_str().unwrap()];
    cluster.kubectl(&kustomized).await.success();
}
