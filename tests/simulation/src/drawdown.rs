//! I4, the part about drawdown: a strategy that has lost too much by the venue's own book enters no more.
//!
//! Looked at once in each bar. A worker sees prices and fills a little later than they are, so that only twice the limit
//! counts, over several bars in which nobody had to start or stood still. A ledger that has lost something cannot know.

use std::collections::BTreeMap;
use std::rc::Rc;

use tradewind_core::halt::HaltOrigin;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::time::{Millis, Timestamp};

use crate::broken::Broken;
use crate::check;
use crate::plan::BAR;
use crate::sim::Sim;

/// Bars after which a breaker must have tripped.
const BARS: i64 = 4;

/// What is remembered of a strategy.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    highest: i128,
    /// Bars on end in which it was twice its limit below that.
    below: i64,
}

/// All strategies.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    of: BTreeMap<Uid, Mark>,
    /// When a process last had to start, or stood still.
    disturbed_at: Option<Timestamp>,
}

impl Marks {
    pub(crate) fn disturb(&mut self, now: Timestamp) {
        self.disturbed_at = Some(now);
    }
}

/// Once in each bar.
pub(crate) fn look(sim: &Rc<Sim>) {
    let equities = check::equities(sim);
    let mut marks = sim.drawdowns.borrow_mut();
    for strategy in &sim.plan.config.strategies {
        let Some(equity) = equities.get(&strategy.uid) else { continue };
        let limit = strategy.breakers.iter().map(|breaker| i128::from(breaker.drawdown.0)).min();
        let mark = marks.of.entry(strategy.uid).or_default();
        mark.highest = mark.highest.max(equity.0);
        let lost = (mark.highest - equity.0) * 1_000_000;
        let too_much = limit.is_some_and(|limit| lost > 2 * limit * mark.highest);
        mark.below = if too_much { mark.below + 1 } else { 0 };
    }
}

/// Before an entry is put into the book.
pub(crate) fn on_entry(sim: &Rc<Sim>, symbol: &Symbol) {
    let owner = sim.plan.config.strategies.iter().find(|s| s.instruments.iter().any(|i| i.symbol == *symbol));
    let Some(owner) = owner else { return };
    let quiet = Millis(BARS * BAR.0);
    let marks = sim.drawdowns.borrow();
    let disturbed = marks.disturbed_at.is_some_and(|at| sim.now().since(at) < quiet);
    let below = marks.of.get(&owner.uid).map_or(0, |mark| mark.below);
    if disturbed || below < BARS || sim.stores.borrow().lossy {
        return;
    }
    // What comes after the breaker's halt is judged as what comes after any.
    let tripped = sim.stores.borrow_mut().active().is_some_and(|kept| {
        let mut halts = kept.halts.values();
        halts.any(|(halt, _)| {
            matches!(halt.origin, HaltOrigin::Breaker { .. }) && halt.reaches(owner.uid, symbol)
        })
    });
    if !tripped {
        let words = format!("{} entered {below} bars after it had lost twice its limit", owner.name);
        sim.break_with(Broken::Exposure(words));
    }
}
