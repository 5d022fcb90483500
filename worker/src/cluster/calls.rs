//! Requests about halts: made once each, answered to the loop, which decides anew what is still needed.
//!
//! A request that failed is not repeated here: by the time it could be, it may not be wanted any more.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tradewind_core::name::Uid;
use tradewind_crds::names::WORKER_MANAGER;
use tradewind_crds::objects::Key;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

use super::facts::StrategyFacts;
use super::halts::Call;

/// A request takes at most this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first pause after a failed request; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Requests under way at once.
const AT_ONCE: usize = 8;

/// What came of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The TradingHalt of that name as it is now, ours or one that was there; none when there is none.
    Halt(String, Option<Box<TradingHalt>>),
    /// The TradingHalt of that name and uid is gone.
    Deleted(String, Uid),
    /// The strategy of that name as it is now; none when there is none.
    Strategy(String, Option<Box<StrategyFacts>>),
    /// Nobody knows; the text says why.
    Failed(String),
}

/// Which requests are under way, and which wait after a failure. Pure.
#[derive(Debug, Default)]
pub struct Calls {
    known: BTreeMap<(u8, String), State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    under_way: bool,
    failures: u32,
    not_before: Option<Instant>,
}

impl Calls {
    /// Whether the request may be made now; if so it is under way from now on.
    pub fn begin(&mut self, call: &Call, now: Instant) -> bool {
        let under_way = self.known.values().filter(|state| state.under_way).count();
        let idle = State { under_way: false, failures: 0, not_before: None };
        let state = self.known.entry(call.subject()).or_insert(idle);
        if state.under_way || state.not_before.is_some_and(|at| now < at) || under_way >= AT_ONCE {
            return false;
        }
        state.under_way = true;
        true
    }

    /// The request was answered.
    pub fn end(&mut self, call: &Call, failed: bool, now: Instant) {
        if !failed {
            self.known.remove(&call.subject());
            return;
        }
        if let Some(state) = self.known.get_mut(&call.subject()) {
            let pause = PAUSE.saturating_mul(2_u32.saturating_pow(state.failures.min(8))).min(LONGEST_PAUSE);
            let failures = state.failures.saturating_add(1);
            *state = State { under_way: false, failures, not_before: Some(now + pause) };
        }
    }

    /// Whether the request was made and not answered yet.
    pub fn is_under_way(&self, call: &Call) -> bool {
        self.known.get(&call.subject()).is_some_and(|state| state.under_way)
    }

    /// How often the request has failed in a row.
    pub fn failures(&self, call: &Call) -> u32 {
        self.known.get(&call.subject()).map_or(0, |state| state.failures)
    }

    /// When the next of those that wait may be made again.
    pub fn next_attempt(&self) -> Option<Instant> {
        self.known.values().filter(|state| !state.under_way).filter_map(|state| state.not_before).min()
    }

    /// Forgets what is no longer asked for.
    pub fn keep(&mut self, wanted: &[Call]) {
        self.known
            .retain(|subject, state| state.under_way || wanted.iter().any(|call| call.subject() == *subject));
    }
}

/// Makes requests in tasks of their own.
pub struct Caller {
    halts: Api<TradingHalt>,
    strategies: Api<DynamicObject>,
    answers: mpsc::Sender<(Call, Answer)>,
}

impl Caller {
    /// For the halts and strategies of the account's namespace. `client` must not retry by itself.
    pub fn new(client: &Client, account: &Key, answers: mpsc::Sender<(Call, Answer)>) -> Self {
        let kind = ApiResource::erase::<TradingStrategy>(&());
        Self {
            halts: Api::namespaced(client.clone(), &account.namespace),
            strategies: Api::namespaced_with(client.clone(), &account.namespace, &kind),
            answers,
        }
    }

    /// Makes the request; its answer comes by the channel, always.
    pub fn make(&self, call: Call) {
        let (halts, strategies) = (self.halts.clone(), self.strategies.clone());
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let answer = match timeout(PATIENCE, ask(&halts, &strategies, &call)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => Answer::Failed(error.to_string()),
                Err(_) => Answer::Failed("the API server does not answer".to_owned()),
            };
            // Nobody listens any more when the worker stops.
            let _ = answers.send((call, answer)).await;
        });
    }
}

async fn ask(halts: &Api<TradingHalt>, strategies: &Api<DynamicObject>, call: &Call) -> kube::Result<Answer> {
    match call {
        Call::Create(halt) => {
            let name = halt.metadata.name.clone().unwrap_or_default();
            let params =
                PostParams { field_manager: Some(WORKER_MANAGER.to_owned()), ..PostParams::default() };
            match halts.create(&params, halt).await {
                Ok(made) => {
                    tracing::info!(halt = name, "TradingHalt made");
                    Ok(Answer::Halt(name, Some(Box::new(made))))
                }
                Err(kube::Error::Api(status)) if status.is_already_exists() => read(halts, &name).await,
                Err(error) => Err(error),
            }
        }
        Call::Delete { name, uid } => {
            let preconditions = Preconditions { uid: Some(uid.to_string()), resource_version: None };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            let gone = Answer::Deleted(name.clone(), *uid);
            match halts.delete(name, &params).await {
                Ok(_) => {
                    tracing::info!(halt = name, "TradingHalt deleted: it is resumed");
                    Ok(gone)
                }
                // Gone, or another one by now.
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(gone),
                Err(error) => Err(error),
            }
        }
        Call::ReadHalt { name } => read(halts, name).await,
        Call::ReadStrategy { name } => {
            let object = strategies.get_opt(name).await?;
            let facts = object.as_ref().and_then(StrategyFacts::read).map(Box::new);
            Ok(Answer::Strategy(name.clone(), facts))
        }
    }
}

async fn read(halts: &Api<TradingHalt>, name: &str) -> kube::Result<Answer> {
    let found = halts.get_opt(name).await?;
    Ok(Answer::Halt(name.to_owned(), found.map(Box::new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Call {
        Call::ReadHalt { name: name.to_owned() }
    }

    #[test]
    fn a_request_is_under_way_once_and_waits_ever_longer_after_failures() {
        let (mut calls, start) = (Calls::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert!(calls.begin(&read("a"), at(0)));
        assert!(!calls.begin(&read("a"), at(1)), "under way");
        assert!(calls.begin(&read("b"), at(1)), "another subject");
        calls.end(&read("a"), true, at(10));
        assert_eq!(calls.next_attempt(), Some(at(210)));
        assert!(!calls.begin(&read("a"), at(209)));
        assert!(calls.begin(&read("a"), at(210)));
        calls.end(&read("a"), true, at(220));
        assert!(!calls.begin(&read("a"), at(619)));
        assert!(calls.begin(&read("a"), at(620)));
        calls.end(&read("a"), false, at(700));
        assert!(calls.begin(&read("a"), at(700)), "a success forgets the failures");
    }

    #[test]
    fn no_more_than_eight_are_under_way() {
        let (mut calls, now) = (Calls::default(), Instant::now());
        let begun = (0..20).filter(|n| calls.begin(&read(&n.to_string()), now)).count();
        assert_eq!(begun, 8);
    }
}
