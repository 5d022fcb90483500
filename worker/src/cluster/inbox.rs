//! Where watches and answers wait for the loop, and where the loop takes them from: the edge around [`Desk`].

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll};

use smol_str::SmolStr;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tradewind_core::config::Config;
use tradewind_core::engine::State;
use tradewind_core::event::{EventKind, HaltChange};
use tradewind_core::name::Uid;
use tradewind_venues::histogram::Histogram;

use super::calls::Answer;
use super::desk::{Desk, Engine};
use super::halts::Call;
use super::lease::Claim;
use super::watch::Input;
use crate::driver::{LastLook, News};
use crate::measures::HaltTimes;

/// Who carries out requests; their answers come back by the channel.
pub type Make = Box<dyn Fn(Call)>;

/// The desk with its channels.
pub struct Inbox {
    /// What is known.
    pub desk: Desk,
    inputs: mpsc::Receiver<Input>,
    answers: mpsc::Receiver<(Call, Answer)>,
    make: Make,
    claim: watch::Receiver<Claim>,
    /// Whether the ledger was compared with what is on the Lease; before that nothing may leave.
    pub judged: bool,
    waiting: VecDeque<Waiting>,
    /// When the input was heard from which the next news follow; none when they follow from something else.
    heard: Option<Instant>,
    /// How long halts took from then until they were told to the engine, which holds them at once.
    pub halts: Histogram<HaltTimes>,
}

enum Waiting {
    Input(Input),
    Answer(Call, Answer),
}

impl Inbox {
    /// An inbox that is empty.
    pub fn new(
        desk: Desk,
        inputs: mpsc::Receiver<Input>,
        answers: mpsc::Receiver<(Call, Answer)>,
        make: Make,
        claim: watch::Receiver<Claim>,
    ) -> Self {
        Self {
            desk,
            inputs,
            answers,
            make,
            claim,
            judged: false,
            waiting: VecDeque::new(),
            heard: None,
            halts: Histogram::default(),
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.inputs.is_empty() && self.answers.is_empty()
    }

    /// Whether entries may be made by the Lease at that instant.
    pub fn lease_held(&self, now: Instant) -> bool {
        self.judged && self.claim.borrow().allows_entries(now)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.waiting.is_empty() {
            return Poll::Ready(());
        }
        if let Poll::Ready(Some(input)) = self.inputs.poll_recv(context) {
            self.waiting.push_back(Waiting::Input(input));
            return Poll::Ready(());
        }
        if let Poll::Ready(Some((call, answer))) = self.answers.poll_recv(context) {
            self.waiting.push_back(Waiting::Answer(call, answer));
            return Poll::Ready(());
        }
        Poll::Pending
    }

    fn take_one(&mut self, engine: &Engine<'_>, now: Instant) -> bool {
        let input = || self.inputs.try_recv().ok().map(Waiting::Input);
        let first = self.waiting.pop_front().or_else(input).or_else(|| {
            let (call, answer) = self.answers.try_recv().ok()?;
            Some(Waiting::Answer(call, answer))
        });
        self.heard = match &first {
            Some(Waiting::Input(input)) => Some(input.heard),
            _ => None,
        };
        match first {
            Some(Waiting::Input(input)) => self.desk.take(input),
            Some(Waiting::Answer(call, answer)) => self.desk.answer(&call, answer, engine, now),
            None => return false,
        }
        true
    }

    /// All that follows from one input comes before the next input, so that what is taken back a moment later was in
    /// force for that moment, and is latched.
    fn next(&mut self, state: &State, published: &BTreeMap<SmolStr, Uid>) -> Option<News> {
        let now = Instant::now();
        let engine = Engine { halts: state.halts(), published, block: state.entry_block(), now: state.now() };
        loop {
            let news = self.desk.next(&engine, self.lease_held(now), now);
            for call in self.desk.outgoing() {
                (self.make)(call);
            }
            if let Some(news) = news {
                self.log(&news, now);
                self.measure(&news);
                return Some(news);
            }
            if !self.take_one(&engine, now) {
                return None;
            }
        }
    }

    fn measure(&mut self, news: &News) {
        let Some(heard) = self.heard else { return };
        for _ in news.events.iter().filter(|kind| matches!(kind, EventKind::HaltChange(HaltChange::Set(_)))) {
            self.halts.observe_time(heard.elapsed());
        }
    }

    fn log(&self, news: &News, now: Instant) {
        for kind in &news.events {
            match kind {
                EventKind::EntryGate(Some(block)) => {
                    let watch = self.desk.blind(now).map(|which| which.to_string()).unwrap_or_default();
                    tracing::warn!(reason = %block, watch, "entries stopped; exits go on");
                }
                EventKind::EntryGate(None) => tracing::info!("entries possible"),
                _ => {}
            }
        }
    }
}

/// The inbox as the loop and the driver share it.
#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Inbox>>);

impl Shared {
    /// The configuration in force, once there is one.
    pub fn told(&self) -> Option<Config> {
        self.0.borrow().desk.told().map(|told| told.config.clone())
    }

    /// Waits until something came in.
    pub async fn ready(&self) {
        std::future::poll_fn(|context| self.0.borrow_mut().poll(context)).await;
    }
}

impl LastLook for Shared {
    fn next(&mut self, state: &State, published: &BTreeMap<SmolStr, Uid>) -> Option<News> {
        self.0.borrow_mut().next(state, published)
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
