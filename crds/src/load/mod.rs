//! The strict file loader: YAML documents in, typed objects and all problems out.
//!
//! What it accepts the API server accepts too: unknown fields, types, bounds, patterns and the rules of the schemas are
//! checked here as there. Objects from files get the namespace `default` where they name none, generation 0, and as uid
//! the `UUIDv5` of kind, namespace and name, so that the same files mean the same objects. Only [`files`] does I/O.

mod schema;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::common::{GROUP, VERSION};
use crate::manifest;
use crate::objects::{Key, Kind, ObjectId, Objects, Source};
use crate::problem::{Location, Problem, Problems, suggest};
use schema::Faults;
use yaml::{Content, Node};

/// The namespace of our `UUIDv5`s: the `UUIDv5` of our group in the namespace of DNS names.
const UID_NAMESPACE: Uuid = Uuid::from_u128(0x6d55_1689_3266_5b51_9a0b_ed54_497f_3a45);

/// What came of loading: what could be read, and everything that is wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// The objects without a problem; the others are in [`Objects::unreadable`].
    pub objects: Objects,
    /// All problems of all documents.
    pub problems: Problems,
    /// Whether there is something nobody can tell what it is: a file that cannot be read or holds nothing, a document that is
    /// no YAML, of no kind of ours, without a name, or with the name of another. Then an object that is missing may be in there.
    pub unidentified: bool,
}

/// Loads documents from texts, each with the name its problems are reported under.
pub fn texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Loaded {
    let mut loader = Loader { validator: Validator::new(), loaded: Loaded::default() };
    for (file, text) in texts {
        loader.text(file, text);
    }
    loader.loaded
}

/// Loads files; a folder stands for the `.yaml` and `.yml` files in it, by name. A file that cannot be read is a
/// problem like any other.
pub fn files(paths: &[PathBuf]) -> Loaded {
    let mut read = Vec::new();
    let mut unread = Problems::default();
    for path in paths {
        for file in expand(path) {
            match std::fs::read_to_string(&file) {
                Ok(text) => read.push((file.display().to_string(), text)),
                Err(error) => unread.push(
                    Problem { object: file.display().to_string(), ..Problem::default() }.unread(&error),
                ),
            }
        }
    }
    let mut loaded = texts(read.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    loaded.unidentified |= !unread.is_empty();
    loaded.problems.0.splice(0..0, unread);
    loaded
}

impl Problem {
    fn unread(self, error: &std::io::Error) -> Self {
        Self {
            message: format!("cannot be read: {error}"),
            fix: "name a YAML file that exists".to_owned(),
            ..self
        }
    }
}

fn expand(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"))
        .collect();
    files.sort();
    files
}

/// The uid of an object from a file.
pub fn uid(kind: Kind, key: &Key) -> Uuid {
    let name = format!("{kind}/{}/{}", key.namespace, key.name);
    Uuid::new_v5(&UID_NAMESPACE, name.as_bytes())
}

struct Loader {
    validator: Validator,
    loaded: Loaded,
}

/// What a kind is checked with.
struct Rules {
    schema: Value,
    cel: CompiledSchema,
}

static RULES: LazyLock<BTreeMap<Kind, Rules>> = LazyLock::new(|| {
    Kind::ALL
        .into_iter()
        .map(|kind| {
            let schema = document_schema(kind);
            let cel = compile_schema(&schema);
            (kind, Rules { schema, cel })
        })
        .collect()
});

/// The schema of a whole document: that of the definition, with the fields every object has. A status in a file is
/// not read, as in the API server.
fn document_schema(kind: Kind) -> Value {
    let definition = serde_json::to_value(manifest::definition(kind)).unwrap_or_default();
    let mut schema =
        definition.pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        properties.insert("metadata".to_owned(), metadata_schema());
        properties.insert("status".to_owned(), json!({}));
    }
    schema
}

/// The fields of metadata a file may have. Those that only a cluster sets are read and dropped, so that an exported
/// object can be used as it is.
fn metadata_schema() -> Value {
    let label = r"^(|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$";
    let mut properties = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": crate::common::DNS_NAME},
        "namespace": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": crate::common::DNS_LABEL},
        "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63, "pattern": label}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    });
    let dropped = [
        "creationTimestamp",
        "deletionTimestamp",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    if let Some(map) = properties.as_object_mut() {
        map.extend(dropped.map(|name| (name.to_owned(), json!({}))));
    }
    json!({"type": "object", "required": ["name"], "properties": properties})
}

impl Loader {
    fn text(&mut self, file: &str, text: &str) {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            underscored_numbers_as_strings: true,
            non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::AsString,
            with_snippet: false,
        };
        let mut reader = Cursor::new(text.as_bytes());
        let mut documents = 0_usize;
        for document in serde_saphyr::read_with_options::<_, Node>(&mut reader, options) {
            documents += 1;
            match document {
                Ok(node) => self.document(file, &node),
                Err(error) => self.syntax(file, &error),
            }
        }
        if documents == 0 {
            self.loaded.unidentified = true;
            let location = Location { file: file.to_owned(), line: 1 };
            let problem = Problem::of_file(location, "", "the file holds no object");
            self.loaded
                .problems
                .push(problem.fix("write a TradingStrategy, ExchangeAccount, RiskPolicy or TradingHalt"));
        }
    }

    fn syntax(&mut self, file: &str, error: &serde_saphyr::Error) {
        let line = error.location().map_or(1, |location| location.line());
        let message = format!("is not valid YAML: {}", error.to_string().replace('\n', " "));
        let problem = Problem::of_file(Location { file: file.to_owned(), line }, "", message);
        self.loaded.problems.push(problem.fix("put the syntax right"));
        self.loaded.unidentified = true;
    }

    fn document(&mut self, file: &str, node: &Node) {
        let mut faults = Faults { file, problems: Vec::new() };
        let kind = kind_of(node, &mut faults);
        let Some(kind) = kind else {
            self.loaded.problems.0.extend(faults.problems);
            self.loaded.unidentified = true;
            return;
        };
        let Some(rules) = RULES.get(&kind) else { return };
        let mut value = schema::check(&rules.schema, node, "", &mut faults);
        let key = key_of(node);
        let id = key.map(|key| ObjectId::new(kind, key));
        let source = Source { file: file.to_owned(), lines: node.lines() };
        if faults.problems.is_empty() {
            faults.problems = self.broken_rules(rules, &value, &source);
        }
        let Some(id) = id else {
            self.loaded.unidentified = true;
            let object = format!("{kind} without a name");
            self.refuse(None, faults.problems, &object);
            return;
        };
        if self.loaded.objects.sources.contains_key(&id) {
            let problem =
                Problem::new(&id, "metadata.name", "another document has the same kind, namespace and name")
                    .value(&id.key.name)
                    .fix("rename or remove one of the two")
                    .at(source.locate("metadata.name"));
            faults.problems.push(problem);
            self.loaded.unidentified = true;
            self.refuse(None, faults.problems, &id.to_string());
            return;
        }
        self.loaded.objects.sources.insert(id.clone(), source);
        if faults.problems.is_empty() {
            set_metadata(&mut value, &id);
            if let Err(error) = self.keep(kind, value) {
                faults.problems.push(Problem::new(&id, "", format!("cannot be read: {error}")));
            }
        }
        if !faults.problems.is_empty() {
            self.refuse(Some(&id), faults.problems, &id.to_string());
        }
    }

    /// The rules of the schema that the document breaks.
    fn broken_rules(&self, rules: &Rules, value: &Value, source: &Source) -> Vec<Problem> {
        let Err(errors) = self.validator.validate_compiled(&rules.cel, value, None) else {
            return Vec::new();
        };
        let problem = |error: &kube::core::cel::ValidationError| {
            let message = match error.kind {
                ErrorKind::ValidationFailure => error.message.clone(),
                _ => format!("the rule {:?} cannot be evaluated: {}", error.rule, error.message),
            };
            let (message, fix) = message.split_once("; ").unwrap_or((&message, ""));
            let pointer = format!("/{}", error.field_path.replace(['.', '['], "/").replace(']', ""));
            let shown = match value.pointer(&pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Object(_) | Value::Array(_)) | None => String::new(),
                Some(other) => other.to_string(),
            };
            let location = source.locate(&error.field_path);
            let problem = Problem {
                field: error.field_path.clone(),
                message: message.to_owned(),
                ..Problem::default()
            };
            problem.value(shown).fix(fix).at(location)
        };
        errors.as_slice().iter().map(problem).collect()
    }

    fn refuse(&mut self, id: Option<&ObjectId>, problems: Vec<Problem>, object: &str) {
        for mut problem in problems {
            object.clone_into(&mut problem.object);
            problem.id = id.cloned();
            self.loaded.problems.push(problem);
        }
        if let Some(id) = id {
            self.loaded.objects.unreadable.insert(id.clone());
        }
    }

    fn keep(&mut self, kind: Kind, value: Value) -> Result<(), serde_json::Error> {
        fn read<T: DeserializeOwned>(value: Value, into: &mut Vec<T>) -> Result<(), serde_json::Error> {
            into.push(serde_json::from_value(value)?);
            Ok(())
        }
        let objects = &mut self.loaded.objects;
        match kind {
            Kind::ExchangeAccount => read(value, &mut objects.accounts),
            Kind::TradingStrategy => read(value, &mut objects.strategies),
            Kind::RiskPolicy => read(value, &mut objects.policies),
            Kind::TradingHalt => read(value, &mut objects.halts),
        }
    }
}

/// The kind of a document, if it is one of ours in our version.
fn kind_of(node: &Node, faults: &mut Faults<'_>) -> Option<Kind> {
    let mut fault = |field: &str, line: u64, value: &str, message: String, fix: String| {
        let location = Location { file: faults.file.to_owned(), line };
        faults.problems.push(Problem::of_file(location, field, message).value(value).fix(fix));
    };
    if !matches!(node.content, Content::Map(_)) {
        let message = "is no object".to_owned();
        fault("", node.line, &node.shown(), message, "write apiVersion, kind, metadata and spec".to_owned());
        return None;
    }
    let wanted = format!("{GROUP}/{VERSION}");
    let version = node.get("apiVersion");
    match version.map(|version| (version.line, version.shown())) {
        Some((_, text)) if text == wanted => {}
        Some((line, text)) => {
            fault("apiVersion", line, &text, "is not known".to_owned(), format!("use {wanted}"));
        }
        None => {
            fault("apiVersion", node.line, "", "is required".to_owned(), format!("add apiVersion: {wanted}"));
        }
    }
    let kinds = Kind::ALL.map(Kind::as_str);
    let Some(found) = node.get("kind") else {
        fault("kind", node.line, "", "is required".to_owned(), format!("add one of {}", kinds.join(", ")));
        return None;
    };
    let kind = found.text().and_then(Kind::parse);
    if kind.is_none() {
        let text = found.shown();
        fault("kind", found.line, &text, "is none of ours".to_owned(), suggest(&text, &kinds));
    }
    kind
}

fn key_of(node: &Node) -> Option<Key> {
    let metadata = node.get("metadata")?;
    let name = metadata.get("name")?.text()?;
    let namespace = metadata.get("namespace").and_then(Node::text).unwrap_or("default");
    Some(Key::new(namespace, name))
}

/// Metadata as a file object has it: nothing that only a cluster knows.
fn set_metadata(value: &mut Value, id: &ObjectId) {
    let Some(object) = value.as_object_mut() else { return };
    object.remove("status");
    let mut metadata = Map::new();
    let written = object.get("metadata");
    for field in ["labels", "annotations"] {
        if let Some(map) = written.and_then(|metadata| metadata.get(field)) {
            metadata.insert(field.to_owned(), map.clone());
        }
    }
    metadata.insert("name".to_owned(), id.key.name.clone().into());
    metadata.insert("namespace".to_owned(), id.key.namespace.clone().into());
    metadata.insert("uid".to_owned(), uid(id.kind, &id.key).to_string().into());
    metadata.insert("generation".to_owned(), 0.into());
    object.insert("metadata".to_owned(), Value::Object(metadata));
}
