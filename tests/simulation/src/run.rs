//! One run, from its seed to its verdict.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tradewind_core::time::Millis;
use tradewind_worker::driver::DriverError;

use crate::broken::Broken;
use crate::bus;
use crate::check;
use crate::coverage::{Coverage, Fault};
use crate::drawdown;
use crate::exchange;
use crate::market::Market;
use crate::news;
use crate::plan::{BAR, BARS, Plan, REST};
use crate::sim::{Process, Sim, What};
use crate::worker;

/// The most processes that live at one time.
const AT_ONCE: usize = 6;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The first invariant that did not hold, if any.
    pub broken: Option<Broken>,
    /// What happened.
    pub coverage: Coverage,
    /// All that was told, where it was asked for.
    pub trace: Vec<String>,
}

impl Outcome {
    pub(crate) fn impossible() -> Self {
        let broken = Some(Broken::Reported("a plan that cannot be made".to_owned()));
        Self { broken, coverage: Coverage::default(), trace: Vec::new() }
    }
}

type Life = Pin<Box<dyn Future<Output = Result<(), DriverError>>>>;

/// The processes that live.
struct Hall {
    sim: Rc<Sim>,
    market: Rc<Market>,
    lives: BTreeMap<Process, Life>,
    /// The one that is started again when it ends.
    current: Process,
}

/// Runs a seed; with `trace`, keeps what happened in words.
pub fn run(seed: u64, trace: bool) -> Outcome {
    let Some(plan) = Plan::of(seed) else { return Outcome::impossible() };
    let sim = play(Sim::new(plan, trace));
    if sim.broken().is_none() {
        check::in_the_end(&sim);
    }
    let coverage = sim.coverage.borrow().clone();
    Outcome { broken: sim.broken(), coverage, trace: sim.trace() }
}

/// All of a run: its bars, and the time in which everything comes to rest.
pub(crate) fn play(sim: Rc<Sim>) -> Rc<Sim> {
    let market = Rc::new(Market::begin(&sim));
    for bar in 0..BARS {
        sim.later(Millis(bar * BAR.0 + 7_000), disturb);
    }
    sim.after(Millis(0), What::Start);
    let mut hall = Hall { sim: Rc::clone(&sim), market, lives: BTreeMap::new(), current: Process(0) };
    let end = sim.plan.begin.plus(Millis(BARS * BAR.0));
    hall.play(end);
    sim.calm_down();
    sim.exchange.borrow_mut().maintenance = false;
    hall.play(end.plus(REST));
    sim
}

/// What comes from outside, once in each bar.
fn disturb(sim: &Rc<Sim>) {
    bus::disturb(sim);
    sim.set_clock();
    drawdown::look(sim);
    if sim.strikes(sim.plan.odds.halt) {
        news::halt(sim);
    }
    if sim.strikes(sim.plan.odds.maintenance) {
        sim.count(Fault::Maintenance);
        sim.exchange.borrow_mut().maintenance = true;
        if sim.chance(500) {
            exchange::end_one(sim);
        }
        sim.later(Millis(sim.between(5_000, 90_000)), |sim| sim.exchange.borrow_mut().maintenance = false);
    }
}

impl Hall {
    fn play(&mut self, until: tradewind_core::time::Timestamp) {
        while self.sim.broken().is_none() {
            match self.sim.next(until) {
                Some(What::Do(act)) => act(&self.sim),
                Some(What::Wake(process)) => self.wake(process),
                Some(What::Kill(process)) => self.kill(process),
                Some(What::Start) => self.start(),
                None => return,
            }
        }
    }

    fn start(&mut self) {
        // Where processes often stand still and are often taken over, each would call up the next ones without end.
        if self.lives.contains_key(&self.current) && self.lives.len() >= AT_ONCE {
            return;
        }
        // Also one that was succeeded and has not noticed.
        let beside = !self.lives.is_empty();
        self.current = Process(self.current.0 + 1);
        self.sim.coverage.borrow_mut().starts += 1;
        self.sim.drawdowns.borrow_mut().disturb(self.sim.now());
        let (sim, market) = (Rc::clone(&self.sim), Rc::clone(&self.market));
        self.lives.insert(self.current, Box::pin(worker::live(sim, self.current, market, beside)));
        self.wake(self.current);
    }

    fn wake(&mut self, process: Process) {
        if let Some(until) = self.sim.paused_until(process) {
            return self.sim.after(until.since(self.sim.now()), What::Wake(process));
        }
        let Some(life) = self.lives.get_mut(&process) else { return };
        if let Poll::Ready(ended) = life.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            let why = ended.err().map(|error| format!("{error}")).unwrap_or_default();
            self.sim.say(|| format!("p{}: ends: {why}", process.0));
            self.end(process);
        }
    }

    fn kill(&mut self, process: Process) {
        if self.sim.is_calm() || !self.lives.contains_key(&process) {
            return;
        }
        self.sim.say(|| format!("p{}: is killed", process.0));
        if !self.sim.has_settled(process) {
            self.sim.count(Fault::CrashInRecovery);
        }
        self.end(process);
    }

    /// Whoever ends is started again, unless another has come in its place.
    fn end(&mut self, process: Process) {
        self.lives.remove(&process);
        if process == self.current {
            self.sim.after(Millis(self.sim.between(300, 4_000)), What::Start);
        }
    }
}
