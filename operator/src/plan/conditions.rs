//! Conditions: written whole by their owner each time, and moved only when something changed.
//!
//! Pure. What it promises: `lastTransitionTime` stays while the status stays, the message fits the API's bound, and each
//! condition says which generation it is about. What programs such as kstatus read: `Ready` is the summary, while
//! `Reconciling` and `Stalled` are true only when something is amiss.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use tradewind_crds::common::cut;
use tradewind_crds::reasons::Reason;

/// Most bytes of a message: the API server takes 32768.
const MOST: usize = 32_000;

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told yet.
    Unknown,
}

impl Status {
    /// The word conditions carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Status {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Sets one condition of a list; `lastTransitionTime` moves only when the status does.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: impl Into<Status>,
    reason: Reason,
    message: impl Into<String>,
    generation: i64,
    now: Timestamp,
) {
    let old = get(conditions, type_).cloned();
    let condition = condition(old.as_ref(), type_, status.into(), (reason, message.into()), generation, now);
    match conditions.iter_mut().find(|known| known.type_ == type_) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// The conditions one manager writes in one pass: those set, and no other. Times are taken from what was there before.
#[derive(Debug)]
pub struct Conditions<'a> {
    before: &'a [Condition],
    generation: i64,
    now: Timestamp,
    set: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// None set yet; `before` is what the object carries, whoever wrote it.
    pub fn new(before: &'a [Condition], generation: i64, now: Timestamp) -> Self {
        Self { before, generation, now, set: Vec::new() }
    }

    /// Sets one.
    pub fn set(
        &mut self,
        type_: &str,
        status: impl Into<Status>,
        reason: Reason,
        message: impl Into<String>,
    ) -> &mut Self {
        let old = get(self.before, type_);
        let made = condition(old, type_, status.into(), (reason, message.into()), self.generation, self.now);
        self.set.retain(|known| known.type_ != type_);
        self.set.push(made);
        self
    }

    /// What was set.
    pub fn finish(self) -> Vec<Condition> {
        self.set
    }
}

fn condition(
    old: Option<&Condition>,
    type_: &str,
    status: Status,
    (reason, message): (Reason, String),
    generation: i64,
    now: Timestamp,
) -> Condition {
    let since = old.filter(|old| old.status == status.as_str()).map(|old| old.last_transition_time.clone());
    Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: cut(&message, MOST),
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or(Time(now)),
    }
}

/// The condition of that type.
pub fn get<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition is there with that status.
pub fn is(conditions: &[Condition], type_: &str, status: Status) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.status == status.as_str())
}

/// Whether the condition is there with that reason.
pub fn because(conditions: &[Condition], type_: &str, reason: Reason) -> bool {
    get(conditions, type_).is_some_and(|condition| condition.reason == reason.as_str())
}

#[cfg(test)]
mod tests {
    use tradewind_crds::reasons::condition::{HALTED, READY, STALLED};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_time_moves_with_the_status_alone() {
        let mut all = Vec::new();
        set(&mut all, READY, false, Reason::WorkerStarting, "starts", 1, at(10));
        set(&mut all, READY, false, Reason::NotGranted, "waits", 2, at(20));
        assert_eq!(all.len(), 1);
        let ready = get(&all, READY).unwrap();
        assert_eq!(
            (ready.last_transition_time.0, ready.reason.as_str(), ready.message.as_str()),
            (at(10), "NotGranted", "waits")
        );
        assert_eq!(ready.observed_generation, Some(2));
        set(&mut all, READY, true, Reason::Running, "runs", 2, at(30));
        assert_eq!(get(&all, READY).unwrap().last_transition_time.0, at(30));
        set(&mut all, READY, Status::Unknown, Reason::Progressing, "", 2, at(40));
        assert_eq!(get(&all, READY).unwrap().last_transition_time.0, at(40));
    }

    #[test]
    fn a_pass_writes_what_it_set_and_nothing_it_found() {
        let mut before = Vec::new();
        set(&mut before, HALTED, true, Reason::Halted, "", 1, at(5));
        set(&mut before, "DataFresh", true, Reason::Streaming, "by the worker", 1, at(5));
        let mut next = Conditions::new(&before, 3, at(9));
        next.set(HALTED, true, Reason::Halted, "still").set(STALLED, false, Reason::NotStalled, "");
        next.set(STALLED, true, Reason::InvalidSpec, "no");
        let next = next.finish();
        let seen: Vec<_> =
            next.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.last_transition_time.0)).collect();
        assert_eq!(seen, [(HALTED, "True", at(5)), (STALLED, "True", at(9))]);
        assert!(next.iter().all(|condition| condition.observed_generation == Some(3)));
    }

    #[test]
    fn a_message_too_long_for_the_api_is_cut_between_characters() {
        let mut all = Vec::new();
        set(&mut all, READY, false, Reason::InvalidSpec, "é".repeat(20_000), 1, at(1));
        let message = &all[0].message;
        assert!(message.len() <= 32_768 && message.ends_with("é…"), "{}", message.len());
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "lo…");
    }
}
