//! Prices: a walk that turns often, and its bars. The same for everybody who asks.

use std::rc::Rc;

use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::{Price, Quantity};
use tradewind_core::time::{Millis, Timestamp};

use crate::dice::Dice;
use crate::exchange;
use crate::plan::{BAR, BARS, Plan, SYMBOLS};
use crate::sim::Sim;

/// Prices in a bar.
const STEPS: i64 = 4;

/// All bars of a run, oldest first; those that close at one time are together.
#[derive(Debug)]
pub(crate) struct Market {
    groups: Vec<(Timestamp, Vec<(InstrumentId, Bar)>)>,
}

impl Market {
    /// Makes the market of a run and lets its prices happen.
    pub(crate) fn begin(sim: &Rc<Sim>) -> Self {
        let mut walks: Vec<Vec<Price>> = Vec::new();
        for (index, (_, first, _)) in SYMBOLS.iter().enumerate() {
            let walk = walk(&sim.plan, index as u64, *first);
            for (step, price) in (0..).zip(&walk) {
                let (delay, price) = (Millis(step_at(step)), *price);
                sim.later(delay, move |sim| exchange::move_price(sim, index, price));
            }
            walks.push(walk);
        }
        let groups = (0..BARS).map(|number| {
            let open_time = sim.plan.begin.plus(Millis(number * BAR.0));
            let of = |(index, walk): (usize, &Vec<Price>)| {
                let id = InstrumentId(u16::try_from(index).ok()?);
                Some((id, bar(walk, number, open_time)?))
            };
            (open_time.plus(BAR), walks.iter().enumerate().filter_map(of).collect())
        });
        Self { groups: groups.collect() }
    }

    /// Bars that have closed by then, from the one with that number on.
    pub(crate) fn closed(&self, now: Timestamp, from: usize) -> &[(Timestamp, Vec<(InstrumentId, Bar)>)] {
        let until = self.groups.iter().take_while(|(closed, _)| *closed <= now).count();
        self.groups.get(from..until).unwrap_or_default()
    }
}

fn step_at(step: i64) -> i64 {
    step * BAR.0 / STEPS
}

fn walk(plan: &Plan, index: u64, first: i64) -> Vec<Price> {
    let mut dice = Dice::new(plan.seed, 16 + index);
    let (mut price, mut walk) = (first, Vec::new());
    for _ in 0..BARS * STEPS {
        // 0.4 % either way, and back to where it began.
        let away = (first - price) / 12;
        price += first * dice.between(-40, 40) / 10_000 + away;
        walk.push(Price(price.max(first / 2)));
    }
    walk
}

fn bar(walk: &[Price], number: i64, open_time: Timestamp) -> Option<Bar> {
    let first = usize::try_from(number * STEPS).ok()?;
    let part = walk.get(first..first + usize::try_from(STEPS).ok()?)?;
    Some(Bar {
        open_time,
        open: *part.first()?,
        high: *part.iter().max()?,
        low: *part.iter().min()?,
        close: *part.last()?,
        volume: Quantity(1_000_000_000),
    })
}
