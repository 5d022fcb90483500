//! What the worker reads of objects: of a strategy only what stops it or lets it go on, of a halt all of it.
//!
//! Strategies are read field by field from what the API server sends, so that one whose spec this worker does not
//! understand can still be halted. In doubt it is halted.

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::DeserializeGuard;
use serde_json::Value;
use tradewind_core::name::Uid;
use tradewind_core::time::Timestamp;
use tradewind_crds::objects::{Key, uid_of};
use tradewind_crds::resolve::halts::Member;
use tradewind_crds::trading_halt::TradingHalt;

/// A strategy of the account as its object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyFacts {
    /// What halts care for.
    pub member: Member,
    /// `metadata.generation`.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Who wrote `spec.resume`: its field manager; empty when nobody did.
    pub resumed_by: String,
}

impl StrategyFacts {
    /// The facts of an object; none when it has no uid, which no stored object lacks.
    pub fn read(object: &DynamicObject) -> Option<Self> {
        let spec = object.data.get("spec");
        let generation = object.metadata.generation.unwrap_or_default();
        let halted = match spec.and_then(|spec| spec.get("halted")) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(_) => true,
        };
        let resume = spec.and_then(|spec| spec.pointer("/resume/haltID")).and_then(Value::as_str);
        let by = manager_of(object, "f:halted");
        let who = if by.is_empty() { "somebody" } else { &by };
        let member = Member {
            uid: uid_of(object)?,
            name: object.name_any(),
            labels: object.labels().clone(),
            halted,
            halted_by: (format!("spec.halted was set by {who} at generation {generation}"), by.clone()),
            resume: resume.map(str::to_owned),
            since: made_at(object),
        };
        Some(Self {
            // Who set a field that is not set is nobody's business, and changes with every other edit.
            member: if halted { member } else { Member { halted_by: Default::default(), ..member } },
            generation,
            deleting: object.metadata.deletion_timestamp.is_some(),
            resumed_by: if resume.is_some() { manager_of(object, "f:resume") } else { String::new() },
        })
    }
}

/// A TradingHalt as it was read.
#[derive(Debug, Clone, PartialEq)]
pub enum HaltObject {
    /// All of it but its status and who wrote what.
    Readable(Box<TradingHalt>),
    /// One that this worker cannot read; it halts its namespace.
    Unreadable {
        /// Where it is.
        key: Key,
        /// Its uid.
        uid: Option<Uid>,
    },
}

impl HaltObject {
    /// From what the API server sent.
    pub fn read(object: DeserializeGuard<TradingHalt>) -> Self {
        match object.0 {
            Ok(halt) => Self::of(halt),
            Err(invalid) => {
                let meta = &invalid.metadata;
                let uid = meta.uid.as_deref().and_then(|text| uuid::Uuid::parse_str(text).ok()).map(Uid);
                let namespace = meta.namespace.clone().unwrap_or_default();
                let name = meta.name.clone().unwrap_or_default();
                tracing::error!(namespace, halt = name, error = %invalid.error, "a TradingHalt cannot be read");
                Self::Unreadable { key: Key::new(namespace, name), uid }
            }
        }
    }

    /// One that can be read.
    pub fn of(mut halt: TradingHalt) -> Self {
        halt.metadata.managed_fields = None;
        halt.metadata.annotations = None;
        halt.status = None;
        Self::Readable(Box::new(halt))
    }

    /// Where it is.
    pub fn key(&self) -> Key {
        match self {
            Self::Readable(halt) => Key::of(halt.as_ref()),
            Self::Unreadable { key, .. } => key.clone(),
        }
    }

    /// Its uid, if it has one that is one.
    pub fn uid(&self) -> Option<Uid> {
        match self {
            Self::Readable(halt) => uid_of(halt.as_ref()),
            Self::Unreadable { uid, .. } => *uid,
        }
    }
}

/// The field manager that owns a field of the spec; of several the one that wrote last.
fn manager_of(object: &DynamicObject, field: &str) -> String {
    let entries = object.metadata.managed_fields.iter().flatten();
    let owning = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
        entry.subresource.is_none() && fields.and_then(|spec| spec.get(field)).is_some()
    });
    let last = owning.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone()).unwrap_or_default()
}

fn made_at(object: &DynamicObject) -> Timestamp {
    object
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(Timestamp(0), |time| Timestamp(time.0.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(spec: &Value, fields: &Value) -> StrategyFacts {
        let object = json!({
            "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
            "metadata": {
                "name": "trend", "namespace": "desk", "generation": 7,
                "uid": "00000000-0000-0000-0000-000000000001",
                "labels": {"team": "a"},
                "managedFields": fields,
            },
            "spec": spec,
        });
        StrategyFacts::read(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn owner(manager: &str, time: &str, field: &str) -> Value {
        json!({"manager": manager, "operation": "Update", "time": time, "fieldsType": "FieldsV1",
               "fieldsV1": {"f:spec": {field: {}}}})
    }

    #[test]
    fn who_set_halted_is_the_manager_that_owns_the_field_last() {
        let fields = json!([
            owner("helm", "2026-01-01T00:00:00Z", "f:halted"),
            owner("kubectl-patch", "2026-01-02T00:00:00Z", "f:halted"),
            owner("argocd", "2026-01-03T00:00:00Z", "f:capital"),
        ]);
        let facts = read(&json!({"halted": true}), &fields);
        assert!(facts.member.halted);
        let reason = "spec.halted was set by kubectl-patch at generation 7";
        assert_eq!(facts.member.halted_by, (reason.to_owned(), "kubectl-patch".to_owned()));
    }

    #[test]
    fn a_spec_nobody_understands_can_still_be_halted_and_resumed() {
        let facts = read(&json!({"signal": 5, "halted": "yes"}), &json!([]));
        assert!(facts.member.halted, "in doubt it is halted");
        for not in [json!({}), json!({"halted": null}), json!({"halted": false})] {
            assert!(!read(&not, &json!([])).member.halted, "{not}");
        }
        let facts = read(&json!({"resume": {"haltID": "u1"}}), &json!([]));
        assert_eq!(facts.member.resume.as_deref(), Some("u1"));
    }

    #[test]
    fn a_halt_that_cannot_be_read_keeps_its_name_and_uid() {
        let object = json!({
            "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingHalt",
            "metadata": {"name": "odd", "namespace": "desk", "uid": "00000000-0000-0000-0000-000000000009"},
            "spec": {"target": {"planet": {}}, "reason": "x"},
        });
        let read = HaltObject::read(serde_json::from_value(object).unwrap());
        assert_eq!(read.key(), Key::new("desk", "odd"));
        assert_eq!(read.uid(), Some(Uid(uuid::Uuid::from_u128(9))));
        assert!(matches!(read, HaltObject::Unreadable { .. }));
    }
}
