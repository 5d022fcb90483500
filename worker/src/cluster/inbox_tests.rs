//! The inbox as the driver asks it, with a ledger that outlasts the process.

use tradewind_core::config::{Config, VenueConfig};
use tradewind_core::event::{Record, Report};
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_crds::objects::Key;
use tradewind_ledger::MemoryLedger;
use tradewind_venues::PaperVenue;

use super::super::config::tests::{account, catalog, published};
use super::super::crash::Quarantine;
use super::super::facts::{HaltObject, StrategyFacts};
use super::super::halts::tests::{facts, halted, object, of_strategy, uid};
use super::super::sight::Which;
use super::super::watch::{Change, Scope, Seen};
use super::*;
use crate::driver::{Driver, Journal, Observer, Start};

const LATCH: &str = "strategy.trend.latched";

struct Nobody;

impl Observer for Nobody {
    fn on_report(&mut self, _: &State, _: &Report) {}
    fn on_record(&mut self, _: &State, _: &Record) {}
}

fn identity() -> LedgerIdentity {
    LedgerIdentity { incarnation: Incarnation(7), epoch: Epoch(1) }
}

/// A worker without a strategy to run: halts do not ask for one.
struct Worker {
    driver: Driver<MemoryLedger, PaperVenue, Nobody>,
    inputs: mpsc::Sender<Input>,
    answers: mpsc::Sender<(Call, Answer)>,
    made: Rc<RefCell<Vec<Call>>>,
    inbox: Shared,
    _claims: watch::Sender<Claim>,
}

impl Worker {
    async fn start(ledger: MemoryLedger) -> Self {
        let config = Config { account: account(), strategies: Vec::new() };
        let VenueConfig::Paper(paper) = &config.account.venue else { panic!("a desk on paper") };
        let venue = PaperVenue::in_memory(paper, &config.account.quote_currency, &[]).unwrap();
        let start = Start {
            config: config.clone(),
            instruments: Vec::new(),
            ledger: Some(ledger),
            identity: identity(),
            venue,
            lease: Millis(0),
            journal: Journal::keeping(Vec::new()),
            observer: Nobody,
        };
        let mut driver = Driver::recover(start).await.unwrap();
        driver.settle(config, Timestamp(900)).await.unwrap();

        let scope = Scope { account: Key::new("desk", "paper"), operator_namespace: "desk".into() };
        let nothing = published(Vec::new());
        let desk = Desk::new(scope, nothing, BTreeMap::new(), catalog(), Quarantine::default());
        let (inputs, incoming) = mpsc::channel(16);
        let (answers, answered) = mpsc::channel(16);
        let (claims, claim) = watch::channel(Claim::default());
        let made = Rc::<RefCell<Vec<Call>>>::default();
        let notes = Rc::clone(&made);
        let note = Box::new(move |call| notes.borrow_mut().push(call));
        let inbox = Inbox::new(desk, incoming, answered, note, claim);
        let inbox = Shared(Rc::new(RefCell::new(inbox)));
        driver.look_at(Box::new(inbox.clone()));
        Self { driver, inputs, answers, made, inbox, _claims: claims }
    }

    /// Puts it where it waits until the driver looks.
    fn put(&self, which: Which, seen: Seen) {
        self.inputs.try_send(Input { which, at: Instant::now(), heard: Instant::now(), seen }).unwrap();
    }

    fn strategy(&self, facts: StrategyFacts) {
        self.put(Which::Strategies, Seen::Strategies(Change::Applied(facts)));
    }

    fn lists(&self, halts: Vec<HaltObject>) {
        self.put(Which::Strategies, Seen::Strategies(Change::Listed(vec![facts(1, "trend")])));
        self.put(Which::Halts, Seen::Halts("desk".into(), Change::Listed(halts)));
    }

    fn halts(&self) -> Vec<&str> {
        self.driver.state.halts().iter().map(|halt| halt.name.as_str()).collect()
    }

    /// How many halts were measured from when they were heard of.
    fn measured(&self) -> u64 {
        self.inbox.0.borrow().halts.count()
    }

    async fn end(self) -> MemoryLedger {
        self.driver.finish().await.unwrap().2.unwrap()
    }
}

#[tokio::test]
async fn a_halt_that_was_taken_back_before_anybody_looked_is_latched() {
    let mut worker = Worker::start(MemoryLedger::new(identity())).await;
    worker.lists(Vec::new());
    worker.strategy(halted(facts(1, "trend")));
    worker.strategy(facts(1, "trend"));
    worker.driver.take_news().await.unwrap();
    assert_eq!(worker.halts(), [LATCH]);
    let made = worker.made.borrow();
    assert!(matches!(made.as_slice(), [Call::Create(halt)] if halt.metadata.name.as_deref() == Some(LATCH)));
}

#[tokio::test]
async fn a_halt_is_measured_from_when_it_was_heard_of_and_once() {
    let mut worker = Worker::start(MemoryLedger::new(identity())).await;
    worker.lists(Vec::new());
    worker.driver.take_news().await.unwrap();
    assert_eq!(worker.measured(), 0);
    worker.strategy(halted(facts(1, "trend")));
    worker.driver.take_news().await.unwrap();
    worker.strategy(halted(facts(1, "trend")));
    worker.driver.take_news().await.unwrap();
    assert_eq!((worker.halts(), worker.measured()), (vec![LATCH], 1));
    let again = Worker::start(worker.end().await).await;
    assert_eq!((again.halts(), again.measured()), (vec![LATCH], 0), "what was in force is not heard of");
}

#[tokio::test]
async fn a_latch_and_the_object_that_stands_for_it_outlast_a_restart() {
    let mut worker = Worker::start(MemoryLedger::new(identity())).await;
    worker.lists(Vec::new());
    worker.strategy(halted(facts(1, "trend")));
    worker.driver.take_news().await.unwrap();
    let call = worker.made.borrow_mut().pop().unwrap();
    let latch = object(10, "desk", LATCH, of_strategy("trend"));
    let answer = Answer::Halt(LATCH.to_owned(), Some(Box::new(latch.clone())));
    worker.answers.try_send((call, answer)).unwrap();
    worker.driver.take_news().await.unwrap();
    let ledger = worker.end().await;

    // The object is still there: nothing is to be made.
    let mut worker = Worker::start(ledger).await;
    assert_eq!(worker.halts(), [LATCH]);
    assert_eq!(worker.driver.published().get(LATCH), Some(&uid(10)));
    worker.lists(vec![HaltObject::of(latch)]);
    worker.driver.take_news().await.unwrap();
    assert_eq!(worker.halts(), [LATCH]);
    assert!(worker.made.borrow().is_empty(), "{:?}", worker.made.borrow());
    let ledger = worker.end().await;

    // It was deleted while nobody ran: that resumes, and nothing is made anew.
    let mut worker = Worker::start(ledger).await;
    worker.lists(Vec::new());
    worker.driver.take_news().await.unwrap();
    assert!(worker.halts().is_empty(), "{:?}", worker.halts());
    assert!(worker.made.borrow().is_empty(), "{:?}", worker.made.borrow());
}
