//! House rules that a compiler does not check: short files, nothing left for later, no test that waits by sleeping,
//! no example a reader cannot find.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 500;

/// A test that paces the outside world (never: waits for a result) says why behind this marker, on its line or above.
const PACES: &str = "// paces:";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One source file: its path from the root, and its lines.
struct Source {
    path: String,
    lines: Vec<String>,
}

/// All Rust sources of the workspace but generated ones.
fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let skipped = name.starts_with('.') || name == "generated" || name == "target";
                if !skipped {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
                found.push(Source { path: relative(&root, &path), lines });
            }
        }
    }
    assert!(
        found.iter().any(|s| s.path.ends_with("tests/hygiene.rs")),
        "the walk did not find this very file"
    );
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/")
}

/// `file:line` of each line that breaks a rule.
fn breaches(sources: &[Source], breaks: impl Fn(&Source, usize) -> bool) -> Vec<String> {
    let broken = |s: &Source| {
        let lines = (0..s.lines.len()).filter(|i| breaks(s, *i));
        lines.map(|i| format!("{}:{}", s.path, i + 1)).collect::<Vec<_>>()
    };
    sources.iter().flat_map(broken).collect()
}

/// A thing that must be done later, or a test that is switched off. Written in two halves, so as not to find itself.
fn left_for_later(source: &Source, index: usize) -> bool {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore")];
    marks.iter().any(|mark| source.lines[index].contains(mark))
}

/// A sleep in test code: a file under `tests/` or `benches/` or named `…tests.rs`, or below `#[cfg(test)]`.
fn sleeps_in_a_test(source: &Source, index: usize) -> bool {
    let calls = [concat!("thread::", "sleep("), concat!("time::", "sleep(")];
    if !calls.iter().any(|call| source.lines[index].contains(call)) {
        return false;
    }
    let folder = source.path.split('/').any(|part| matches!(part, "tests" | "benches"));
    let test_file = folder || source.path.ends_with("tests.rs");
    let in_test =
        test_file || source.lines[..index].iter().any(|l| l.trim_start().starts_with("#[cfg(test)]"));
    let marked =
        source.lines[index].contains(PACES) || (index > 0 && source.lines[index - 1].contains(PACES));
    in_test && !marked
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    let long: Vec<String> = sources()
        .iter()
        .map(|s| (s.lines.len(), &s.path))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path} ({lines})"))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines, split them: {}", long.join(", "));
}

#[test]
fn nothing_is_left_for_later_and_no_test_is_switched_off() {
    let found = breaches(&sources(), left_for_later);
    assert!(found.is_empty(), "finish or remove: {}", found.join(", "));
}

#[test]
fn no_test_waits_by_sleeping() {
    let found = breaches(&sources(), sleeps_in_a_test);
    assert!(found.is_empty(), "wait for a condition with a deadline instead: {}", found.join(", "));
}

/// The engine's own sources: what is outside comes to it as an event. Its examples and tests may read and write files.
fn reaches_outside(source: &Source, index: usize) -> bool {
    let doors =
        ["SystemTime", "Instant::now", "std::env", "std::fs", "std::net", "std::process", "std::thread"];
    source.path.starts_with("worker/core/src/") && doors.iter().any(|door| source.lines[index].contains(door))
}

#[test]
fn the_engine_asks_no_clock_and_touches_nothing_outside() {
    let found = breaches(&sources(), reaches_outside);
    assert!(found.is_empty(), "pass it in with the event: {}", found.join(", "));
}

#[test]
fn a_breach_is_found_where_it_is() {
    let source = |path: &str, lines: &[&str]| Source {
        path: path.to_owned(),
        lines: lines.iter().map(|&l| l.to_owned()).collect(),
    };
    let sleep = concat!("std::thread::", "sleep(a)");
    let marked = format!("{PACES} the venue sends ten a second");
    let files = [
        source("worker/src/a.rs", &[sleep, "#[cfg(test)]", sleep, &marked, sleep]),
        source("worker/tests/b.rs", &[sleep, concat!("#[", "ignore]"), concat!("todo", "!()")]),
        source("worker/src/a_tests.rs", &[sleep]),
        source("worker/core/src/c.rs", &["let now = SystemTime::now();"]),
    ];
    assert_eq!(
        breaches(&files, sleeps_in_a_test),
        ["worker/src/a.rs:3", "worker/tests/b.rs:1", "worker/src/a_tests.rs:1"]
    );
    assert_eq!(breaches(&files, left_for_later), ["worker/tests/b.rs:2", "worker/tests/b.rs:3"]);
    assert_eq!(breaches(&files, reaches_outside), ["worker/core/src/c.rs:1"]);
}

#[test]
fn every_example_is_mentioned_where_a_reader_looks() {
    let root = root();
    let pages = ["README.md", "examples/README.md"]
        .map(|page| fs::read_to_string(root.join(page)).unwrap_or_default());
    let names = fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples = names.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    let examples: Vec<String> =
        examples.map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert!(!examples.is_empty(), "examples/ holds no YAML");
    let unmentioned: Vec<&String> =
        examples.iter().filter(|name| !pages.iter().any(|p| p.contains(*name))).collect();
    assert!(unmentioned.is_empty(), "neither README.md nor examples/README.md mentions {unmentioned:?}");
}
