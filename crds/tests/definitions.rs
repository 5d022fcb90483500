//! The definitions people read with `kubectl explain`: complete, bounded, small, and the same as the generated files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tradewind_crds::manifest::{definition, file_name, yaml};
use tradewind_crds::objects::Kind;

/// Words that say what a number counts.
const UNITS: &[&str] = &[
    "percent",
    "basis points",
    "bars",
    "index points",
    "number of",
    "times as fast",
    "generation",
    "seconds",
];

/// What YAML 1.1, which kubectl reads, takes for a boolean or for nothing where it is not quoted.
const NOT_WORDS: &[&str] = &["y", "yes", "n", "no", "true", "false", "on", "off", "null", "~"];

struct Walk {
    faults: Vec<String>,
    properties: usize,
}

impl Walk {
    fn property(&mut self, path: &str, name: &str, schema: &Value, foreign: bool) {
        self.properties += 1;
        let text = schema["description"].as_str().unwrap_or_default();
        if text.len() < 20 {
            self.faults.push(format!("{path}: no description of 20 characters: {text:?}"));
        }
        let kind = schema["type"].as_str().unwrap_or_default();
        let choices = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for word in choices.chain([name]).filter(|word| NOT_WORDS.contains(&word.to_lowercase().as_str())) {
            self.faults.push(format!("{path}: {word} is no word where people do not quote it"));
        }
        let words = format!("{name} {text}").to_lowercase();
        if matches!(kind, "number" | "integer") && !UNITS.iter().any(|unit| words.contains(unit)) {
            self.faults.push(format!("{path}: a number without a unit: {text:?}"));
        }
        if schema.get("default").is_some() && !text.contains("Default: ") {
            self.faults.push(format!("{path}: an undocumented default: {text:?}"));
        }
        let bounded = match kind {
            "string" => {
                schema["maxLength"].is_u64() || schema["enum"].is_array() || schema["format"] == "date-time"
            }
            "array" => schema["maxItems"].is_u64(),
            "object" => schema["additionalProperties"].is_null() || schema["maxProperties"].is_u64(),
            _ => true,
        };
        if !bounded && !foreign {
            self.faults.push(format!("{path}: a {kind} without a bound"));
        }
        self.schema(path, schema, foreign);
    }

    fn schema(&mut self, path: &str, schema: &Value, foreign: bool) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            // Conditions are Kubernetes' own type; their strings have no bounds there.
            let foreign = foreign || name == "conditions";
            self.property(&format!("{path}.{name}"), name, property, foreign);
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                self.schema(path, &schema[inner], foreign);
            }
        }
    }
}

fn schema(kind: Kind) -> Value {
    serde_json::to_value(definition(kind)).unwrap()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        .clone()
}

#[test]
fn every_property_is_documented_has_units_and_bounds() {
    let mut walk = Walk { faults: Vec::new(), properties: 0 };
    for kind in Kind::ALL {
        let schema = schema(kind);
        for part in ["spec", "status"] {
            walk.property(&format!("{kind}.{part}"), part, &schema["properties"][part], false);
        }
    }
    assert!(walk.faults.is_empty(), "{}", walk.faults.join("\n"));
    assert!(walk.properties > 150, "the walk saw only {} properties", walk.properties);
}

#[test]
fn the_walk_finds_what_it_is_for() {
    let schema = serde_json::json!({"type": "object", "properties": {
        "a": {"type": "string", "description": "too short", "maxLength": 3},
        "b": {"type": "integer", "description": "A number that says nothing else at all."},
        "c": {"type": "string", "description": "A text whose value is filled in.", "default": "x", "maxLength": 3},
        "d": {"type": "string", "description": "A text as long as anybody likes it."},
    }});
    let mut walk = Walk { faults: Vec::new(), properties: 0 };
    walk.schema("", &schema, false);
    let found: Vec<&str> = walk.faults.iter().map(|fault| &fault[..3]).collect();
    assert_eq!(found, [".a:", ".b:", ".c:", ".d:"], "{:?}", walk.faults);
}

#[test]
fn definitions_are_small_enough_for_client_side_apply() {
    for kind in Kind::ALL {
        let json = serde_json::to_string(&definition(kind)).unwrap();
        assert!(json.len() < 262_144, "{kind}: {} bytes", json.len());
    }
}

#[test]
fn names_are_those_people_type() {
    let expected = [
        ("ExchangeAccount", "exacct"),
        ("TradingStrategy", "strat"),
        ("RiskPolicy", "riskpol"),
        ("TradingHalt", "thalt"),
    ];
    for (kind, (name, short)) in Kind::ALL.into_iter().zip(expected) {
        let spec = definition(kind).spec;
        assert_eq!(
            (spec.names.kind.as_str(), spec.group.as_str(), spec.scope.as_str()),
            (name, "tradewind.dev", "Namespaced")
        );
        assert_eq!(spec.names.short_names, Some(vec![short.to_owned()]));
        assert_eq!(spec.names.categories, Some(vec!["trading".to_owned()]));
        assert_eq!(spec.names.plural, kind.plural());
        let version = &spec.versions[0];
        assert_eq!((version.name.as_str(), version.served, version.storage), ("v1alpha1", true, true));
        assert!(version.subresources.as_ref().unwrap().status.is_some());
    }
}

/// The schema at a column's path, as far as it is fields and list items.
fn at<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.trim_start_matches('.').split('.').try_fold(schema, |schema, step| {
        let (name, list) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
        let property = schema["properties"].get(name)?;
        Some(if list { &property["items"] } else { property })
    })
}

#[test]
fn columns_and_selectable_fields_exist() {
    for kind in Kind::ALL {
        let root = schema(kind);
        let version = &definition(kind).spec.versions[0];
        for column in version.additional_printer_columns.iter().flatten() {
            // The filter of conditions holds dots of its own.
            let path = column.json_path.replace("[?(@.type==\"", "[").replace("\")]", "]");
            let known = path.starts_with(".metadata.") || at(&root, &path).is_some();
            assert!(known, "{kind}: column {} reads {}", column.name, column.json_path);
        }
        for field in version.selectable_fields.iter().flatten() {
            let kind_of = at(&root, &field.json_path).and_then(|s| s["type"].as_str());
            assert!(matches!(kind_of, Some("string" | "boolean" | "integer")), "{kind}: {}", field.json_path);
        }
        let plain = version
            .additional_printer_columns
            .iter()
            .flatten()
            .filter(|column| column.priority.unwrap_or(0) == 0);
        assert!(plain.count() <= 9, "{kind}: at most nine columns without -o wide");
    }
}

#[test]
fn the_generated_files_are_current() {
    for kind in Kind::ALL {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated").join(file_name(kind));
        let found = std::fs::read_to_string(&path).unwrap();
        assert_eq!(found, yaml(kind).unwrap(), "run `cargo run -p tradewind-crds --bin crdgen`");
    }
}

#[test]
fn crdgen_check_names_the_file_that_differs() {
    let dir = tempfile::tempdir().unwrap();
    let crdgen = |arguments: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_crdgen"))
            .args(arguments)
            .arg("--dir")
            .arg(dir.path())
            .output()
            .unwrap();
        (out.status.success(), String::from_utf8(out.stderr).unwrap())
    };
    assert!(crdgen(&[]).0);
    assert_eq!(crdgen(&["--check"]), (true, String::new()));
    std::fs::write(dir.path().join("riskpolicies.yaml"), "old").unwrap();
    let (success, message) = crdgen(&["--check"]);
    assert!(!success);
    assert!(message.contains("riskpolicies.yaml differs") && !message.contains("tradinghalts"), "{message}");
}
