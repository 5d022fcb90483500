//! Events of the operator: a reason of the closed set, whom it regards, and what it is related to.
//!
//! Never fails a pass: an event that cannot be written is logged. Alike events within six minutes become one with a
//! count. Publish on transitions only, or an object at rest would be written about.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use tradewind_crds::names;
use tradewind_crds::reasons::Reason;

/// The most the API takes in a note.
const NOTE_BYTES: usize = 1_024;
/// How long an event may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// One event, for a plan to hold until it is published.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// Whether it is a warning.
    pub warning: bool,
    /// Why it is written.
    pub reason: Reason,
    /// What was done, in CamelCase, such as `Halt`.
    pub action: &'static str,
    /// A sentence; longer than 1 kB is cut.
    pub note: String,
    /// What else it is about, such as the TradingHalt of a strategy.
    pub related: Option<ObjectReference>,
}

impl Notice {
    /// Something that happened as it should.
    pub fn normal(reason: Reason, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: false, reason, action, note: note.into(), related: None }
    }

    /// Something a person should know of.
    pub fn warning(reason: Reason, action: &'static str, note: impl Into<String>) -> Self {
        Self { warning: true, ..Self::normal(reason, action, note) }
    }

    /// With what else it is about.
    #[must_use]
    pub fn related(mut self, object: ObjectReference) -> Self {
        self.related = Some(object);
        self
    }
}

/// Writes events.
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Writes events in the name of the operator, as this replica.
    pub fn new(client: Client, pod_name: &str) -> Self {
        let reporter =
            Reporter { controller: names::OPERATOR_MANAGER.to_owned(), instance: Some(pod_name.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Writes one event about an object.
    pub async fn publish(&self, regarding: &ObjectReference, notice: Notice) {
        let Notice { warning, reason, action, note, related } = notice;
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_string(),
            note: Some(cut(&note, NOTE_BYTES).to_owned()),
            action: action.to_owned(),
            secondary: related,
        };
        let written = tokio::time::timeout(PATIENCE, self.recorder.publish(&event, regarding)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%reason, note = event.note, %error, "an event could not be written");
            }
            Err(_) => {
                tracing::warn!(%reason, note = event.note, "an event was not written within {PATIENCE:?}");
            }
        }
    }

    /// Writes events about an object, one after the other.
    pub async fn publish_all(&self, regarding: &ObjectReference, notices: Vec<Notice>) {
        for notice in notices {
            self.publish(regarding, notice).await;
        }
    }
}

/// The reference of an object, by which an event names it.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: object.namespace(),
        name: Some(object.name_any()),
        uid: object.uid(),
        ..ObjectReference::default()
    }
}

/// The longest start of a text that has at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("abc", 1_024), "abc");
        assert_eq!(cut("abé", 3), "ab", "é takes two bytes");
        assert_eq!(cut("abé", 4), "abé");
    }
}
