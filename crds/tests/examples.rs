//! The examples hold what they promise: each alone and all together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use tradewind_core::time::Millis;
use tradewind_crds::load;
use tradewind_crds::objects::{Key, Kind};
use tradewind_crds::resolve::{Catalog, local_grants, resolve, validate};

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn catalog() -> Catalog {
    let symbols = ["ADA-USD", "BTC-USD", "ETH-USD", "SOL-USD"].map(|symbol| symbol.parse().unwrap()).to_vec();
    Catalog { data_set: "coinbase-1h".into(), bar: Millis(3_600_000), symbols }
}

fn assert_valid(paths: &[PathBuf]) -> load::Loaded {
    let loaded = load::files(paths);
    assert!(loaded.problems.is_empty(), "{}", loaded.problems);
    let problems = validate(&loaded.objects, &BTreeMap::from([("coinbase-1h".to_owned(), catalog())]));
    assert!(problems.is_empty(), "{problems}");
    loaded
}

#[test]
fn each_file_is_valid_alone_and_all_are_together() {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(examples()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    assert_eq!(files.len(), 5);
    for file in &files {
        assert_valid(std::slice::from_ref(file));
    }
    let all = assert_valid(&[examples()]).objects;
    let found = all.sources.keys().map(|id| id.kind).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(found.len(), Kind::ALL.len());
}

#[test]
fn the_readme_lists_every_file() {
    let readme = std::fs::read_to_string(examples().join("README.md")).unwrap();
    for entry in std::fs::read_dir(examples()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("]({name})")), "{name}");
    }
}

#[test]
fn the_quickstart_runs_two_strategies_on_the_whole_account() {
    let objects = assert_valid(&[examples().join("quickstart.yaml")]).objects;
    let key = Key::new("default", "paper");
    let grants = local_grants(&objects, &key, Some(&catalog()), None);
    let resolution = resolve(&objects, &key, &grants, Some(&catalog()));
    let strategies: Vec<(String, String)> =
        resolution.runnable().iter().map(|s| (s.name.to_string(), s.capital.to_string())).collect();
    assert_eq!(strategies, [("trend".into(), "5000".into()), ("reversion".into(), "5000".into())]);
    assert!(resolution.halts.is_empty());
}
