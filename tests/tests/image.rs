//! The image archives of `scripts/image`: what is in them, who they run as, and that packing twice gives one result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tradewind_tests::binary::{root, trial_worker, worker};

/// Packs a worker; no build of its own.
fn pack(arguments: &[&str]) {
    let mut command = Command::new(root().join("scripts/image"));
    let ran = command.args(["worker", "--binary"]).arg(trial_worker()).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// The files of a tar by name, read by the system's own tar.
fn unpack(archive: &Path, into: &Path) {
    let ran = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(into).status().unwrap();
    assert!(ran.success(), "{}", archive.display());
}

/// Name, mode and owner of everything in a tar.
fn listed(archive: &Path) -> BTreeMap<String, (String, String)> {
    let ran = Command::new("tar").args(["--numeric-owner", "-tvf"]).arg(archive).output().unwrap();
    let lines = String::from_utf8(ran.stdout).unwrap();
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        (words.last().unwrap().trim_end_matches('/').to_owned(), (mode, owner))
    };
    lines.lines().map(entry).collect()
}

fn blob(folder: &Path, descriptor: &Value) -> std::path::PathBuf {
    folder.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_image_runs_as_nobody_and_holds_the_program_its_libraries_and_the_candles_alone() {
    let folder = TempDir::new().unwrap();
    pack(&["--out", folder.path().to_str().unwrap(), "--tag", "test"]);
    let oci = folder.path().join("oci");
    fs::create_dir(&oci).unwrap();
    unpack(&folder.path().join("worker.tar"), &oci);
    assert_eq!(json(&oci.join("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
    let entry = &json(&oci.join("index.json"))["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "localhost/tradewind-worker:test");
    let manifest = json(&blob(&oci, entry));
    let config = json(&blob(&oci, &manifest["config"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/tradewind-worker"]));
    assert_eq!(config["rootfs"]["diff_ids"], json!([manifest["layers"][0]["digest"]]));

    for descriptor in [&manifest["config"], &manifest["layers"][0], entry] {
        let path = blob(&oci, descriptor);
        assert_eq!(fs::metadata(&path).unwrap().len(), descriptor["size"].as_u64().unwrap());
        let sum = Command::new("sha256sum").arg(&path).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let digest = descriptor["digest"].as_str().unwrap();
        assert_eq!(sum.split_whitespace().next(), digest.strip_prefix("sha256:"));
    }

    let layer = listed(&blob(&oci, &manifest["layers"][0]));
    let programs: Vec<&str> = layer.keys().map(String::as_str).filter(|n| n.contains("bin/")).collect();
    assert_eq!(programs, ["usr/bin/tradewind-worker"], "no shell, no package manager");
    assert!(layer.contains_key("usr/share/tradewind/data/coinbase-1h/BTC-USD_1h.csv.gz"));
    assert!(layer.contains_key("var/lib/tradewind") && layer.contains_key("tmp"), "places to mount on");
    for (name, (mode, owner)) in &layer {
        assert_eq!(owner, "0/0", "{name}");
        assert!(
            !mode[5..].contains('w') && !mode.contains('s'),
            "{name} {mode}: only root may write, none is setuid"
        );
    }
}

#[test]
fn packing_twice_gives_the_same_bytes() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for folder in [&one, &two] {
        pack(&["--out", folder.path().to_str().unwrap()]);
    }
    let read = |folder: &TempDir| fs::read(folder.path().join("worker.tar")).unwrap();
    assert!(read(&one) == read(&two), "the archives differ");
}

#[test]
fn the_program_starts_with_nothing_but_what_is_in_the_image() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("root");
    pack(&["--root", place.to_str().unwrap()]);
    // Its own loader, told to look for libraries in the image only.
    let loader = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"].map(|name| place.join(name));
    let loader = loader.iter().find(|path| path.exists()).expect("a loader");
    let library =
        |entry: walk::Entry| entry.file_name().to_string_lossy().starts_with("libc.so").then(|| entry.path());
    let libraries = walk::find(&place, &library).expect("libc").parent().unwrap().to_owned();
    let program = place.join("usr/bin/tradewind-worker");
    let ran = Command::new(loader)
        .args(["--inhibit-cache", "--library-path"])
        .arg(&libraries)
        .arg(&program)
        .arg("--version")
        .env_clear()
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(String::from_utf8(ran.stdout).unwrap().starts_with("tradewind-worker "));
}

#[test]
fn what_cannot_be_packed_is_said_in_a_sentence() {
    let says = |arguments: &[&str]| {
        let ran = Command::new(root().join("scripts/image")).args(arguments).output().unwrap();
        assert!(!ran.status.success());
        String::from_utf8(ran.stderr).unwrap()
    };
    assert!(says(&["worker", "--binary", "/nowhere/worker"]).contains("there is no program /nowhere/worker"));
    assert!(says(&["--binary", "/nowhere/worker"]).contains("go with one component"));
}

mod walk {
    use std::path::{Path, PathBuf};

    pub(crate) type Entry = std::fs::DirEntry;

    /// The first entry below a folder for which `look` has something to say.
    pub(crate) fn find(folder: &Path, look: &dyn Fn(Entry) -> Option<PathBuf>) -> Option<PathBuf> {
        std::fs::read_dir(folder).unwrap().find_map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path();
            if path.is_dir() { find(&path, look) } else { look(entry) }
        })
    }
}

#[test]
fn what_is_shipped_knows_no_point_at_which_a_test_could_end_it() {
    let name = b"TRADEWIND_CRASH_POINT";
    let has = |program: &Path| fs::read(program).unwrap().windows(name.len()).any(|bytes| bytes == name);
    assert!(!has(trial_worker()));
    assert!(has(worker()), "this test would not notice");
}
