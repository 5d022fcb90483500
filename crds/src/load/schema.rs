//! Checks a document against the schema of its kind as the API server would: types, required fields, unknown fields,
//! bounds, patterns, unions, keys of list-maps; and fills in the defaults.
//!
//! It knows exactly the keywords our schemas use; a test fails when one appears that it does not know.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Map, Value};

use super::yaml::{Content, Field, Node, join};
use crate::problem::{Location, Problem, list, suggest};

/// Keywords this module checks, and those that need no check.
#[cfg(test)]
pub(super) const KNOWN_KEYWORDS: &[&str] = &[
    "additionalProperties",
    "default",
    "enum",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    // Checked elsewhere or only informative.
    "description",
    "format",
    "nullable",
    "title",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
];

/// What is wrong in one document, so far.
pub(super) struct Faults<'a> {
    /// The file, for locations.
    pub file: &'a str,
    /// All found.
    pub problems: Vec<Problem>,
}

impl Faults<'_> {
    fn add(
        &mut self,
        path: &str,
        line: u64,
        value: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let location = Location { file: self.file.to_owned(), line };
        self.problems.push(Problem::of_file(location, path, message).value(value).fix(fix));
    }
}

/// The node as the API server would store it. What is wrong is added to `faults`; the value is only good if nothing is.
pub(super) fn check(schema: &Value, node: &Node, path: &str, faults: &mut Faults<'_>) -> Value {
    match (text_of(schema, "type"), &node.content) {
        ("", _) | ("boolean", Content::Bool(_)) => node.to_value(),
        ("object", Content::Map(fields)) => object(schema, node, fields, path, faults),
        ("array", Content::List(items)) => array(schema, node, items, path, faults),
        ("string", Content::Text(text)) => {
            string(schema, node, text, path, faults);
            node.to_value()
        }
        ("integer" | "number", Content::Number(_)) => number(schema, node, path, faults),
        (wanted, _) => {
            wrong_type(wanted, node, path, faults);
            Value::Null
        }
    }
}

fn wrong_type(wanted: &str, node: &Node, path: &str, faults: &mut Faults<'_>) {
    let shown = node.shown();
    let (message, fix) = match wanted {
        "object" => {
            ("must be a mapping of fields".to_owned(), "write its fields indented below it".to_owned())
        }
        "array" => ("must be a list".to_owned(), "start each entry with a dash".to_owned()),
        "string" => ("must be text".to_owned(), format!("write it in quotes, like \"{shown}\"")),
        "integer" => ("must be a whole number".to_owned(), "write it without quotes, like 10".to_owned()),
        "number" => ("must be a number".to_owned(), "write it without quotes, like 2.5".to_owned()),
        _ => ("must be true or false".to_owned(), "write true or false without quotes".to_owned()),
    };
    let fix = if wanted == "string" && shown.is_empty() { "write text in quotes".to_owned() } else { fix };
    faults.add(path, node.line, &shown, message, fix);
}

fn object(schema: &Value, node: &Node, fields: &[Field], path: &str, faults: &mut Faults<'_>) -> Value {
    let present: Vec<&Field> = fields.iter().filter(|field| field.node.content != Content::Null).collect();
    let mut out = Map::new();
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        count(schema, ("minProperties", "maxProperties"), present.len(), node, path, faults);
        for field in present {
            let path = join(path, &field.name);
            out.insert(field.name.clone(), check(values, &field.node, &path, faults));
        }
        return Value::Object(out);
    }
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    for field in fields {
        let path = join(path, &field.name);
        match properties.get(&field.name) {
            None => faults.add(&path, field.line, "", "there is no such field", suggest(&field.name, &names)),
            Some(_) if field.node.content == Content::Null => {}
            Some(property) => {
                out.insert(field.name.clone(), check(property, &field.node, &path, faults));
            }
        }
    }
    union(schema, node, &out, path, faults);
    for (name, property) in properties {
        if let (false, Some(default)) = (out.contains_key(name), property.get("default")) {
            out.insert(name.clone(), default.clone());
        }
    }
    for name in strings_of(schema, "required") {
        if !out.contains_key(name) {
            faults.add(&join(path, name), node.line, "", "is required", "add it");
        }
    }
    Value::Object(out)
}

/// Unions are externally tagged: each branch of `oneOf` requires one field.
fn union(schema: &Value, node: &Node, out: &Map<String, Value>, path: &str, faults: &mut Faults<'_>) {
    let Some(branches) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let variants: Vec<&str> = branches.iter().flat_map(|branch| strings_of(branch, "required")).collect();
    let written: Vec<&str> = variants.iter().copied().filter(|variant| out.contains_key(*variant)).collect();
    match (variants.as_slice(), written.as_slice()) {
        (_, [_]) => {}
        ([only], []) => faults.add(path, node.line, "", format!("must have {only}"), "add it"),
        (_, []) => {
            let message = format!("must have exactly one of {}", list(&variants));
            faults.add(path, node.line, "none", message, "add one");
        }
        (_, several) => {
            let message = format!("must have exactly one of {}", list(&variants));
            faults.add(path, node.line, &list(several), message, "keep one and remove the others");
        }
    }
}

fn array(schema: &Value, node: &Node, items: &[Node], path: &str, faults: &mut Faults<'_>) -> Value {
    count(schema, ("minItems", "maxItems"), items.len(), node, path, faults);
    let keys = strings_of(schema, "x-kubernetes-list-map-keys");
    let is_set = text_of(schema, "x-kubernetes-list-type") == "set";
    let mut seen = BTreeSet::new();
    let mut out = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let value = match schema.get("items") {
            Some(items) => check(items, item, &path, faults),
            None => item.to_value(),
        };
        let key = if is_set {
            Some(value.to_string())
        } else {
            keys.iter()
                .map(|key| value.get(*key).map(Value::to_string))
                .reduce(|a, b| Some(a? + " " + &b?))
                .flatten()
        };
        if let Some(key) = key
            && !seen.insert(key.clone())
        {
            let what = if is_set {
                "is listed twice".to_owned()
            } else {
                format!("has a {} that is listed already", list(&keys))
            };
            faults.add(&path, item.line, key.trim_matches('"'), what, "remove one of the two");
        }
        out.push(value);
    }
    Value::Array(out)
}

fn count(schema: &Value, bounds: (&str, &str), len: usize, node: &Node, path: &str, faults: &mut Faults<'_>) {
    let bound =
        |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    let shown = format!("{len} entries");
    match (bound(bounds.0), bound(bounds.1)) {
        (Some(least), _) if len < least => {
            faults.add(path, node.line, &shown, format!("must have at least {least}"), "add what is missing");
        }
        (_, Some(most)) if len > most => {
            faults.add(path, node.line, &shown, format!("must have at most {most}"), "remove some");
        }
        _ => {}
    }
}

fn string(schema: &Value, node: &Node, text: &str, path: &str, faults: &mut Faults<'_>) {
    if schema.get("enum").is_some() {
        let allowed = strings_of(schema, "enum");
        if !allowed.contains(&text) {
            faults.add(
                path,
                node.line,
                text,
                format!("must be one of {}", list(&allowed)),
                suggest(text, &allowed),
            );
        }
        return;
    }
    let length = text.chars().count();
    let bound =
        |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
    if let Some(least) = bound("minLength").filter(|least| length < *least) {
        faults.add(
            path,
            node.line,
            text,
            format!("must have at least {least} characters"),
            "write something",
        );
        return;
    }
    if let Some(most) = bound("maxLength").filter(|most| length > *most) {
        let message = format!("has {length} characters, more than the {most} allowed");
        faults.add(path, node.line, text, message, "shorten it");
        return;
    }
    let pattern = text_of(schema, "pattern");
    // Our own patterns: a test compiles each of them.
    let fits = pattern.is_empty() || Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
    if !fits {
        let (message, fix) = pattern_words(pattern);
        faults.add(path, node.line, text, message, fix);
    }
}

/// What a pattern asks for, in words.
fn pattern_words(pattern: &str) -> (String, String) {
    let known = crate::common::PATTERN_WORDS.iter().find(|(known, ..)| *known == pattern);
    match known {
        Some((_, message, fix)) => ((*message).to_owned(), (*fix).to_owned()),
        None => (format!("must match {pattern}"), "write it in that form".to_owned()),
    }
}

fn number(schema: &Value, node: &Node, path: &str, faults: &mut Faults<'_>) -> Value {
    let value = node.to_value();
    let shown = node.shown();
    let float = value.as_f64().unwrap_or_default();
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let out = if text_of(schema, "type") == "integer" {
        if value.as_i64().is_none() {
            faults.add(path, node.line, &shown, "must be a whole number", "remove the decimals");
            return Value::Null;
        }
        value
    } else {
        // The API server hands rules a double even where a person wrote 5.
        serde_json::Number::from_f64(float).map_or(Value::Null, Value::Number)
    };
    match (bound("minimum"), bound("maximum")) {
        (Some(least), _) if float < least => {
            faults.add(path, node.line, &shown, format!("must be at least {least}"), "raise it");
        }
        (_, Some(most)) if float > most => {
            faults.add(path, node.line, &shown, format!("must be at most {most}"), "lower it");
        }
        _ => {}
    }
    out
}

fn text_of<'a>(schema: &'a Value, keyword: &str) -> &'a str {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default()
}

fn strings_of<'a>(schema: &'a Value, keyword: &str) -> Vec<&'a str> {
    let values = schema.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Value::as_str).collect()
}
