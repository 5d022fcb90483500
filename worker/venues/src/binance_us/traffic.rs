//! What went over the wire, for metrics: requests by endpoint and answer, and how long each took.

use std::collections::BTreeMap;
use std::time::Duration;

use super::budget::Budget;
use super::clock::VenueClock;
use super::request::ExactRequest;
use super::transport::{Answer, NoAnswer};
use crate::histogram::{Bounds, Histogram};
use tradewind_core::time::{Millis, Timestamp};

/// From 10 ms to 10 s: a call has four seconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestTimes;

impl Bounds for RequestTimes {
    const UPPER: &'static [u64] =
        &[10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];
}

/// Method and path of a request.
pub type Asked = (&'static str, &'static str);

/// Requests since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests {
    /// How many, by the HTTP status of the answer; none where none came.
    pub answered: BTreeMap<(Asked, Option<u16>), u64>,
    /// How long they took, with or without an answer.
    pub took: BTreeMap<Asked, Histogram<RequestTimes>>,
}

impl Requests {
    /// One more. One that was never written, or to no connection, is a request without an answer.
    pub(super) fn count(
        &mut self,
        request: &ExactRequest,
        answer: &Result<Answer, NoAnswer>,
        took: Duration,
    ) {
        let asked = (request.method.into(), request.path);
        let status = answer.as_ref().ok().map(|answer| answer.status);
        *self.answered.entry((asked, status)).or_default() += 1;
        self.took.entry(asked).or_default().observe_time(took);
    }
}

/// The traffic with the venue as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Requests since the start.
    pub requests: Requests,
    /// What may still be asked now without waiting, in whole units of our share of each limit.
    pub left: Vec<(&'static str, u64)>,
    /// The venue's clock less ours; none while it is not known.
    pub skew: Option<Millis>,
}

impl Traffic {
    pub(super) fn of(requests: &Requests, budget: &Budget, clock: &VenueClock, now: Timestamp) -> Self {
        Self { requests: requests.clone(), left: budget.left(now).to_vec(), skew: clock.offset() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Usage;
    use super::super::outcome::Lost;
    use super::super::request;
    use super::*;

    #[test]
    fn requests_are_counted_by_endpoint_and_answer() {
        let mut requests = Requests::default();
        let took = Duration::from_millis(30);
        let answer = |status| Ok(Answer { status, usage: Usage::default(), body: bytes::Bytes::new() });
        for answer in [answer(200), answer(200), answer(429), Err(NoAnswer::Lost(Lost::Deadline))] {
            requests.count(&request::time(), &answer, took);
        }
        let time = ("GET", "/api/v3/time");
        let expected = [((time, None), 1), ((time, Some(200)), 2), ((time, Some(429)), 1)];
        assert_eq!(requests.answered, BTreeMap::from(expected));
        let times = &requests.took[&time];
        assert_eq!((times.count(), times.sum()), (4, 120_000));
    }
}
