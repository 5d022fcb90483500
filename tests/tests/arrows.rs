//! Who may depend on whom. The walls between the crates are what keeps the engine deterministic; here they are read
//! from cargo itself, so that no manifest can move one unseen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Every crate of the workspace and the workspace crates it may use in what it ships (normal and build dependencies).
const ARROWS: &[(&str, &[&str])] = &[
    ("tradewind-core", &[]),
    ("tradewind-crds", &["tradewind-core"]),
    ("tradewind-venues", &["tradewind-core"]),
    ("tradewind-ledger", &["tradewind-core"]),
    ("tradewind-worker", &["tradewind-core", "tradewind-crds", "tradewind-venues", "tradewind-ledger"]),
    ("tradewind-operator", &["tradewind-core", "tradewind-crds"]),
    // Shares nothing with what it tests, or an error made twice would prove itself right.
    ("tradewind-venue-simulator", &[]),
];

/// These ship nothing and may look at everything; nobody may depend on them, but for what is measured on what is tested.
const TOP: &[&str] = &["tradewind-tests", "tradewind-model", "tradewind-simulation", "tradewind-benches"];

/// The arrows among [`TOP`]: figures of a cluster are measured on the cluster and the processes of the tests, those of
/// faults in the simulation.
const WITHIN_TOP: &[(&str, &str)] =
    &[("tradewind-benches", "tradewind-tests"), ("tradewind-benches", "tradewind-simulation")];

/// What the engine must not reach, however far down: an executor, a cluster, a database, randomness, a wall clock.
const NOT_IN_CORE: &[&str] =
    &["tokio", "kube", "kube-client", "sqlx", "sqlx-core", "rand", "getrandom", "chrono", "jiff"];

/// TLS by anything but rustls with ring.
const OTHER_TLS: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];

fn manifest() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")
}

/// Each workspace crate with the workspace crates it declares as normal or build dependencies.
fn declared() -> BTreeMap<String, BTreeSet<String>> {
    let metadata =
        MetadataCommand::new().manifest_path(manifest()).no_deps().exec().expect("cargo metadata runs");
    let members: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let used = package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development);
            let used = used.map(|d| d.name.clone()).filter(|name| members.contains(name)).collect();
            (package.name.to_string(), used)
        })
        .collect()
}

/// The dependencies that are on no list of arrows, as `from -> to`.
fn forbidden(declared: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let allowed = |from: &str, to: &str| {
        if TOP.contains(&from) {
            return !TOP.contains(&to) || WITHIN_TOP.contains(&(from, to));
        }
        ARROWS.iter().any(|(name, targets)| *name == from && targets.contains(&to))
    };
    let edges = declared.iter().flat_map(|(from, used)| used.iter().map(move |to| (from, to)));
    edges.filter(|(from, to)| !allowed(from, to)).map(|(from, to)| format!("{from} -> {to}")).collect()
}

/// The names of all crates behind the normal and build dependencies of the selected packages, on every platform, with
/// the features that selection alone switches on.
fn reached(selection: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--manifest-path"])
        .arg(manifest())
        .args(["--edges", "normal,build", "--target", "all", "--prefix", "none", "--format", "{p}"])
        .args(selection)
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let found = forbidden(&declared());
    assert!(found.is_empty(), "not among the arrows of docs/architecture.md: {}", found.join(", "));
}

#[test]
fn every_crate_of_the_workspace_has_its_place_in_the_arrows() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(TOP.iter().copied()).collect();
    let declared = declared();
    let members: BTreeSet<&str> = declared.keys().map(String::as_str).collect();
    assert_eq!(members, known, "a new crate needs a line in ARROWS, a removed one must leave it");
}

#[test]
fn an_arrow_that_points_the_wrong_way_is_found() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let wrong = BTreeMap::from([
        edge("tradewind-core", "tradewind-ledger"),
        edge("tradewind-venues", "tradewind-ledger"),
        edge("tradewind-worker", "tradewind-tests"),
        edge("tradewind-tests", "tradewind-benches"),
        edge("tradewind-benches", "tradewind-tests"),
    ]);
    let expected = [
        "tradewind-core -> tradewind-ledger",
        "tradewind-tests -> tradewind-benches",
        "tradewind-venues -> tradewind-ledger",
        "tradewind-worker -> tradewind-tests",
    ];
    assert_eq!(forbidden(&wrong), expected);
}

#[test]
fn the_engine_reaches_no_executor_cluster_database_randomness_or_clock() {
    let reached = reached(&["--package", "tradewind-core"]);
    assert!(reached.contains("serde"), "cargo tree did not list the dependencies of the engine: {reached:?}");
    let found: Vec<&&str> = NOT_IN_CORE.iter().filter(|name| reached.contains(**name)).collect();
    assert!(
        found.is_empty(),
        "tradewind-core must not reach {found:?}: 'cargo tree -p tradewind-core -i <crate>' tells how"
    );
}

#[test]
fn the_graph_holds_one_tls_provider_at_most() {
    let reached = reached(&["--workspace"]);
    assert!(reached.contains("tradewind-worker"), "cargo tree did not list the workspace: {reached:?}");
    let found: Vec<&&str> = OTHER_TLS.iter().filter(|name| reached.contains(**name)).collect();
    assert!(found.is_empty(), "TLS is rustls with ring; {found:?} must not come in beside it");
}
