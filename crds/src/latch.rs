//! `spec.halted` as a TradingHalt: what operator and worker write alike when they see the field true, and who set it.
//!
//! Pure. The latch carries no owner and no label, so that neither garbage collection nor a tool that prunes takes it away.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, Time};
use kube::ResourceExt;

use crate::common::{HaltAction, ObjectRef, cut};
use crate::names;
use crate::trading_halt::{Target, TradingHalt, TradingHaltSpec};
use crate::trading_strategy::TradingStrategy;

/// The TradingHalt that keeps a strategy halted when its `spec.halted` goes away.
///
/// The strategy should still have its managedFields; without them the latch does not say who.
pub fn of(strategy: &TradingStrategy) -> TradingHalt {
    let by = halted_by(&strategy.metadata).unwrap_or_default();
    let whom = if by.is_empty() { String::new() } else { format!(" by {by}") };
    let generation = strategy.metadata.generation.unwrap_or_default();
    let name = strategy.name_any();
    let spec = TradingHaltSpec {
        target: Target::Strategy(ObjectRef::from(name.as_str())),
        instruments: Vec::new(),
        action: HaltAction::CancelEntries,
        reason: format!("spec.halted was set{whom} at generation {generation}"),
        requested_by: by,
    };
    let mut latch = TradingHalt::new(&names::latch(&name), spec);
    latch.metadata.namespace = strategy.namespace();
    latch
}

/// The field manager that holds `spec.halted`; the latest when several do.
pub fn halted_by(meta: &ObjectMeta) -> Option<String> {
    latest(entries(meta).filter(|entry| holds(entry, &["f:spec", "f:halted"])))
}

/// The field manager that asks to resume; the latest when several do.
pub fn resumed_by(meta: &ObjectMeta) -> Option<String> {
    latest(entries(meta).filter(|entry| holds(entry, &["f:spec", "f:resume"])))
}

/// Who took `spec.halted` back, as far as can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The field manager.
    pub by: String,
    /// When it wrote last, if it is only taken to be the one because nobody else wrote later; none when it holds the
    /// field, and so certainly is.
    pub wrote: Option<Time>,
}

/// Who took `spec.halted` back: the manager that holds it, else, when the field is gone, whoever wrote last, operator
/// and workers aside, which never write it.
pub fn taken_back_by(meta: &ObjectMeta) -> Option<TakenBack> {
    if let Some(by) = halted_by(meta) {
        return Some(TakenBack { by, wrote: None });
    }
    let ours = [names::OPERATOR_MANAGER, names::WORKER_MANAGER];
    let others = entries(meta).filter(|entry| !ours.iter().any(|own| entry.manager.as_deref() == Some(own)));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    let by = cut(last.manager.as_ref()?, 256);
    last.time.clone().map(|time| TakenBack { by, wrote: Some(time) })
}

/// Who wrote the object itself, not its status.
fn entries(meta: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    meta.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none())
}

fn holds(entry: &ManagedFieldsEntry, path: &[&str]) -> bool {
    let root = entry.fields_v1.as_ref().map(|fields| &fields.0);
    path.iter().try_fold(root, |at, step| at.map(|at| at.get(step))).flatten().is_some()
}

fn latest<'a>(entries: impl Iterator<Item = &'a ManagedFieldsEntry>) -> Option<String> {
    entries
        .filter(|entry| entry.manager.is_some())
        .max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?
        .manager
        .as_ref()
        .map(|manager| cut(manager, 256))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meta(entries: &serde_json::Value) -> ObjectMeta {
        serde_json::from_value(
            json!({"name": "btc", "namespace": "desk", "generation": 7, "managedFields": entries}),
        )
        .unwrap()
    }

    fn entry(manager: &str, time: &str, fields: &serde_json::Value) -> serde_json::Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": "tradewind.dev/v1alpha1", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn whoever_holds_the_field_halted() {
        let halted = json!({"f:spec": {"f:halted": {}}});
        let meta = meta(&json!([
            entry("argocd-controller", "2026-01-01T00:00:09Z", &json!({"f:spec": {"f:capital": {}}})),
            entry("kubectl-patch", "2026-01-01T00:00:05Z", &halted),
            entry("kubectl-edit", "2026-01-01T00:00:01Z", &halted),
        ]));
        assert_eq!(halted_by(&meta), Some("kubectl-patch".to_owned()), "the later of the two");
        assert_eq!(resumed_by(&meta), None);
    }

    #[test]
    fn a_field_that_is_gone_was_taken_back_by_whoever_wrote_last() {
        let mut worker = entry("tradewind-worker", "2026-01-01T00:00:30Z", &json!({"f:status": {}}));
        worker["subresource"] = json!("status");
        let gone = json!([
            entry("kubectl-client-side-apply", "2026-01-01T00:00:05Z", &json!({"f:spec": {"f:capital": {}}})),
            entry("kustomize-controller", "2026-01-01T00:00:20Z", &json!({"f:spec": {"f:capital": {}}})),
            entry("tradewind-operator", "2026-01-01T00:00:25Z", &json!({"f:metadata": {}})),
            worker,
        ]);
        let found = taken_back_by(&meta(&gone)).unwrap();
        let time = found.wrote.map(|time| time.0.to_string());
        assert_eq!(
            (found.by.as_str(), time.as_deref()),
            ("kustomize-controller", Some("2026-01-01T00:00:20Z")),
            "the operator's finalizer is later, and no candidate"
        );
        let set_false = json!([
            entry("argocd-controller", "2026-01-01T00:00:05Z", &json!({"f:spec": {"f:halted": {}}})),
            entry("alice", "2026-01-01T00:00:20Z", &json!({"f:metadata": {}})),
        ]);
        let certain = TakenBack { by: "argocd-controller".to_owned(), wrote: None };
        assert_eq!(taken_back_by(&meta(&set_false)), Some(certain));
        assert_eq!(taken_back_by(&ObjectMeta::default()), None);
    }
}
