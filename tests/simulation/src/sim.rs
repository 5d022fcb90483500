//! Virtual time: a queue of what is due, and futures that wait in it.
//!
//! A run is one thread and one queue, so that its seed decides every order of events. Nothing here reads a clock.

use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tradewind_core::time::{Millis, Timestamp};

use crate::broken::Broken;
use crate::bus::Bus;
use crate::coverage::{Coverage, Fault};
use crate::dice::Dice;
use crate::drawdown::Marks;
use crate::exchange::Exchange;
use crate::news::Notices;
use crate::plan::Plan;
use crate::store::Stores;
use crate::unprotected::Stretches;

/// One process that was started; a restart is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Process(pub(crate) u32);

/// Something of the world around.
type Act = Box<dyn FnOnce(&Rc<Sim>)>;

/// What happens when it is due.
pub(crate) enum What {
    /// A process goes on.
    Wake(Process),
    /// A process ends at once.
    Kill(Process),
    /// A worker is started, and whoever ran before is no longer the one to be restarted.
    Start,
    /// Anything of the world around.
    Do(Act),
}

struct Due {
    at: Timestamp,
    number: u64,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// The world of one run, shared by all that lives in it.
pub(crate) struct Sim {
    pub(crate) plan: Plan,
    now: Cell<Timestamp>,
    queue: RefCell<BinaryHeap<Reverse<Due>>>,
    queued: Cell<u64>,
    /// Requests sent, and the latest of them that has arrived.
    requests: Cell<(u64, u64)>,
    dice: RefCell<Dice>,
    paused: RefCell<BTreeMap<Process, Timestamp>>,
    settled: RefCell<BTreeSet<Process>>,
    /// Whether faults have stopped, so that everything can come to rest.
    calm: Cell<bool>,
    pub(crate) drawdowns: RefCell<Marks>,
    /// By how much the clock of the machine was set in all. Its chance is a stream of its own.
    clock_set: Cell<Millis>,
    clock_dice: RefCell<Dice>,
    pub(crate) exchange: RefCell<Exchange>,
    pub(crate) stores: RefCell<Stores>,
    pub(crate) notices: RefCell<Notices>,
    pub(crate) bus: RefCell<Bus>,
    pub(crate) coverage: RefCell<Coverage>,
    /// How long positions had no stop, where that is asked.
    pub(crate) stretches: Option<RefCell<Stretches>>,
    broken: RefCell<Option<Broken>>,
    trace: Option<RefCell<Vec<String>>>,
}

impl Sim {
    /// The world of that plan before anything has happened; `trace` keeps what is told by [`Self::say`].
    pub(crate) fn new(plan: Plan, trace: bool) -> Rc<Self> {
        Rc::new(Self::begin(plan, trace))
    }

    /// As [`Self::new`], with an eye on positions without a stop.
    pub(crate) fn measuring(plan: Plan) -> Rc<Self> {
        Rc::new(Self { stretches: Some(RefCell::default()), ..Self::begin(plan, false) })
    }

    fn begin(plan: Plan, trace: bool) -> Self {
        Self {
            now: Cell::new(plan.begin),
            queue: RefCell::default(),
            queued: Cell::new(0),
            requests: Cell::new((0, 0)),
            dice: RefCell::new(Dice::new(plan.seed, 1)),
            paused: RefCell::default(),
            settled: RefCell::default(),
            calm: Cell::new(false),
            drawdowns: RefCell::default(),
            clock_set: Cell::new(Millis(0)),
            clock_dice: RefCell::new(Dice::new(plan.seed, 7)),
            exchange: RefCell::new(Exchange::new(&plan)),
            stores: RefCell::new(Stores::new()),
            notices: RefCell::default(),
            bus: RefCell::new(Bus::new(plan.seed)),
            coverage: RefCell::default(),
            stretches: None,
            broken: RefCell::default(),
            trace: trace.then(RefCell::default),
            plan,
        }
    }

    /// The time it is for everybody.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Lets it happen that much later.
    pub(crate) fn after(&self, delay: Millis, what: What) {
        let number = self.queued.get();
        self.queued.set(number + 1);
        let at = self.now().plus(Millis(delay.0.max(0)));
        self.queue.borrow_mut().push(Reverse(Due { at, number, what }));
    }

    /// As [`Self::after`], for what the world does by itself.
    pub(crate) fn later(&self, delay: Millis, act: impl FnOnce(&Rc<Self>) + 'static) {
        self.after(delay, What::Do(Box::new(act)));
    }

    /// The number of the next request that is sent.
    pub(crate) fn number_request(&self) -> u64 {
        let (sent, arrived) = self.requests.get();
        self.requests.set((sent + 1, arrived));
        sent + 1
    }

    /// A request reaches the venue, perhaps after one that was sent later.
    pub(crate) fn arrive(&self, number: u64) {
        let (sent, latest) = self.requests.get();
        self.requests.set((sent, latest.max(number)));
        if number < latest {
            self.count(Fault::Reordered);
        }
    }

    /// What is due next, if it is due by then; time goes on to it.
    pub(crate) fn next(&self, until: Timestamp) -> Option<What> {
        let mut queue = self.queue.borrow_mut();
        if queue.peek().is_none_or(|Reverse(due)| due.at > until) {
            return None;
        }
        let Reverse(due) = queue.pop()?;
        if let Some(stretches) = self.stretches.as_ref().filter(|_| due.at > self.now()) {
            stretches.borrow_mut().pass(&self.exchange.borrow(), due.at.since(self.now()));
        }
        self.now.set(self.now().max(due.at));
        Some(due.what)
    }

    /// A number by chance.
    pub(crate) fn between(&self, first: i64, last: i64) -> i64 {
        self.dice.borrow_mut().between(first, last)
    }

    /// True that many times of a thousand.
    pub(crate) fn chance(&self, of_a_thousand: u32) -> bool {
        self.dice.borrow_mut().chance(of_a_thousand)
    }

    /// Whether that fault happens now, so many times of a thousand; never once faults have stopped. It is not yet counted.
    pub(crate) fn strikes(&self, of_a_thousand: u32) -> bool {
        !self.calm.get() && self.chance(of_a_thousand)
    }

    /// Counts a fault that has happened.
    pub(crate) fn count(&self, fault: Fault) {
        self.coverage.borrow_mut().count(fault);
        self.say(|| format!("fault: {fault}"));
    }

    /// Sets the clock of the machine, if that fault happens now.
    pub(crate) fn set_clock(&self) {
        let mut dice = self.clock_dice.borrow_mut();
        if !self.calm.get() && dice.chance(self.plan.odds.clock_step / 5) {
            let by = dice.between(-12_000, 12_000);
            self.clock_set.set(Millis(self.clock_set.get().0 + by));
            drop(dice);
            self.count(Fault::ClockSet);
        }
    }

    /// By how much the clock of the machine has been set in all.
    pub(crate) fn clock_was_set(&self) -> Millis {
        self.clock_set.get()
    }

    /// From now on there are no faults.
    pub(crate) fn calm_down(&self) {
        self.calm.set(true);
        self.paused.borrow_mut().clear();
        self.say(|| "faults stop".to_owned());
    }

    /// Whether faults have stopped.
    pub(crate) fn is_calm(&self) -> bool {
        self.calm.get()
    }

    /// Keeps a process from going on for that long.
    pub(crate) fn pause(&self, process: Process, span: Millis) {
        self.paused.borrow_mut().insert(process, self.now().plus(span));
    }

    /// Until when a process stands still, if it does.
    pub(crate) fn paused_until(&self, process: Process) -> Option<Timestamp> {
        self.paused.borrow().get(&process).copied().filter(|until| *until > self.now())
    }

    /// A process has settled what its predecessor left.
    pub(crate) fn settle(&self, process: Process) {
        self.settled.borrow_mut().insert(process);
    }

    /// Whether it has.
    pub(crate) fn has_settled(&self, process: Process) -> bool {
        self.settled.borrow().contains(&process)
    }

    /// An invariant does not hold. The first one is kept.
    pub(crate) fn break_with(&self, broken: Broken) {
        self.say(|| format!("BROKEN: {broken}"));
        self.broken.borrow_mut().get_or_insert(broken);
    }

    /// What was broken, if anything was.
    pub(crate) fn broken(&self) -> Option<Broken> {
        self.broken.borrow().clone()
    }

    /// Tells what happened, to whoever reads the trace.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let since = self.now().since(self.plan.begin).0;
            trace.borrow_mut().push(format!("{:>6}.{:03} {}", since / 1000, since % 1000, line()));
        }
    }

    /// The lines told so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.trace.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }

    /// Waits that long.
    pub(crate) fn sleep(self: &Rc<Self>, process: Process, span: Millis) -> Wait<()> {
        Wait {
            sim: Rc::clone(self),
            process,
            until: self.now().plus(span),
            armed: false,
            slot: Slot::default(),
        }
    }

    /// Waits for an answer, that long at most; none when none came.
    pub(crate) fn answer<T>(self: &Rc<Self>, process: Process, slot: &Slot<T>, span: Millis) -> Wait<T> {
        Wait { sim: Rc::clone(self), process, until: self.now().plus(span), armed: false, slot: slot.clone() }
    }

    /// A place where a process may be killed or stand still. Twice in each call of ledger and venue: before anything of
    /// it, and when all of it is done.
    pub(crate) async fn stumble(self: &Rc<Self>, process: Process) {
        if self.strikes(self.plan.odds.crash) {
            self.count(Fault::Crash);
            self.after(Millis(0), What::Kill(process));
            // Killed before this ends.
            self.sleep(process, Millis(i64::MAX)).await;
        }
        if self.strikes(self.plan.odds.pause) {
            self.count(Fault::Pause);
            self.drawdowns.borrow_mut().disturb(self.now());
            let span = Millis(self.between(500, 40_000));
            self.pause(process, span);
            if self.chance(self.plan.odds.take_over) {
                self.count(Fault::TakeOver);
                self.after(Millis(self.between(0, span.0)), What::Start);
            }
            self.sleep(process, Millis(0)).await;
        }
    }
}

/// Where an answer is put.
pub(crate) struct Slot<T>(Rc<Cell<Option<T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Rc::new(Cell::new(None)))
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    /// Puts the answer there, for that process to find.
    pub(crate) fn fill(&self, sim: &Sim, process: Process, answer: T) {
        self.0.set(Some(answer));
        sim.after(Millis(0), What::Wake(process));
    }
}

/// Waiting for an answer or the end of a span.
pub(crate) struct Wait<T> {
    sim: Rc<Sim>,
    process: Process,
    until: Timestamp,
    armed: bool,
    slot: Slot<T>,
}

impl<T> Unpin for Wait<T> {}

impl<T> Future for Wait<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(answer) = self.slot.0.take() {
            return Poll::Ready(Some(answer));
        }
        if self.sim.paused_until(self.process).is_none() && self.sim.now() >= self.until {
            return Poll::Ready(None);
        }
        if !self.armed {
            self.armed = true;
            let span = self.until.since(self.sim.now());
            self.sim.after(span, What::Wake(self.process));
        }
        Poll::Pending
    }
}
