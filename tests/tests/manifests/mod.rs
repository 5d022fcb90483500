//! YAML as values, and the programs that read charts.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tradewind_tests::binary::tools;

/// The objects of a text of YAML documents.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|e| panic!("not YAML: {e}\n{text}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// The objects of a file.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    documents(&std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
}

/// The first text at that pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The kind and name of an object.
pub(crate) fn named(object: &Value) -> (String, String) {
    (text(object, "/kind").to_owned(), text(object, "/metadata/name").to_owned())
}

/// All files below a folder with that ending, in order.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A program that `scripts/setup` installs.
pub(crate) fn tool(name: &str) -> Command {
    let path = tools().join("bin").join(name);
    let program = if path.exists() { path } else { PathBuf::from(name) };
    let found = Command::new(&program).arg("version").output();
    assert!(found.is_ok(), "{name} is missing: run scripts/setup");
    Command::new(program)
}
