//! Events of the operator: a reason of the closed set, whom it regards, and what it is related to.
//!
//! Never fails a pass: an event that cannot be written is logged. Events that say the same of the same object within six
//! minutes become one with a count; another text is another event. Publish on transitions only, or an object at rest
//! would be written about.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use tradewind_crds::names;
use tradewind_crds::objects::Key;
use tradewind_crds::reasons::Reason;

/// The most the API takes in a note.
const NOTE_BYTES: usize = 1_024;
/// How long an event may take to be written.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most texts whose events are counted together. When there are more, counting begins anew.
const MOST_TEXTS: usize = 256;

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
    client: Client,
    reporter: Reporter,
    /// One for each text: a recorder counts what has the same reason, and would keep the first text for all of it.
    recorders: Mutex<HashMap<String, Recorder>>,
}

impl Events {
    /// Writes events in the name of the operator, as this replica.
    pub fn new(client: Client, pod_name: &str) -> Self {
        let reporter =
            Reporter { controller: names::OPERATOR_MANAGER.to_owned(), instance: Some(pod_name.to_owned()) };
        Self { client, reporter, recorders: Mutex::default() }
    }

    fn recorder(&self, text: &str) -> Recorder {
        let mut recorders = self.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = recorders.get(text) {
            return known.clone();
        }
        if recorders.len() >= MOST_TEXTS {
            recorders.clear();
        }
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        recorders.insert(text.to_owned(), recorder.clone());
        recorder
    }

    /// Writes one event about an object.
    pub async fn publish(&self, regarding: &ObjectReference, notice: Notice) {
        let Notice { warning, reason, action, note, related } = notice;
        let note = cut(&note, NOTE_BYTES).to_owned();
        let recorder = self.recorder(&note);
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_string(),
            note: Some(note),
            action: action.to_owned(),
            secondary: related,
        };
        let written = tokio::time::timeout(PATIENCE, recorder.publish(&event, regarding)).await;
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

/// The reference of an object of which only name and uid are known, or were.
pub fn reference_to<K: Resource<DynamicType = ()>>(key: &Key, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: Some(key.namespace.clone()),
        name: Some(key.name.clone()),
        uid: Some(uid.to_owned()),
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
    use std::sync::Arc;

    use axum::Router;
    use axum::http::Method;

    use super::*;

    #[tokio::test]
    async fn only_events_that_say_the_same_are_counted_as_one() {
        let asked = Arc::<Mutex<Vec<(Method, String)>>>::default();
        let notes = Arc::clone(&asked);
        let answer = async move |method: Method, body: String| {
            let event: serde_json::Value = serde_json::from_str(&body).unwrap();
            notes.lock().unwrap().push((method, event["note"].as_str().unwrap().to_owned()));
            body
        };
        let client = Client::new(Router::new().fallback(answer), "desk");
        let events = Events::new(client, "operator-0");
        let about = ObjectReference {
            name: Some("btc".into()),
            namespace: Some("desk".into()),
            ..Default::default()
        };
        for note in ["drill holds", "the drawdown breaker holds", "drill holds"] {
            events.publish(&about, Notice::warning(Reason::Halted, "Halt", note)).await;
        }
        for number in 0..2 * MOST_TEXTS {
            events.recorder(&number.to_string());
        }
        assert!(events.recorders.lock().unwrap().len() <= MOST_TEXTS, "and no more is remembered");
        let asked = asked.lock().unwrap().clone();
        let of = |method: Method, note: &str| (method, note.to_owned());
        let expected = [
            of(Method::POST, "drill holds"),
            of(Method::POST, "the drawdown breaker holds"),
            of(Method::PATCH, "drill holds"),
        ];
        assert_eq!(asked, expected);
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("abc", 1_024), "abc");
        assert_eq!(cut("abé", 3), "ab", "é takes two bytes");
        assert_eq!(cut("abé", 4), "abé");
    }
}
