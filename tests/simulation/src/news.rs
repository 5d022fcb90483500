//! Halts that people make and resume, and how a worker hears of them.

use std::collections::BTreeMap;
use std::rc::Rc;

use smol_str::SmolStr;
use tradewind_core::engine::State;
use tradewind_core::event::{EventKind, HaltChange};
use tradewind_core::halt::{Halt, HaltAction, HaltOrigin, HaltScope};
use tradewind_core::name::Uid;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_worker::driver::{LastLook, News};

use crate::coverage::Fault;
use crate::plan::SEEN_WITHIN;
use crate::sim::Sim;

/// Halts that people made, those that were resumed included.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<Notice>);

#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) halt: Halt,
    /// When it was made, and from when on workers that are awake see it.
    pub(crate) made_at: Timestamp,
    seen_from: Timestamp,
    resumed_at: Option<Timestamp>,
}

impl Notices {
    /// Halts in force.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter().filter(|notice| notice.resumed_at.is_none())
    }
}

/// Somebody makes a halt, and resumes it later.
pub(crate) fn halt(sim: &Rc<Sim>) {
    let (now, number) = (sim.now(), sim.notices.borrow().0.len());
    let actions = [HaltAction::StopEntries, HaltAction::CancelEntries, HaltAction::Liquidate];
    let action = usize::try_from(sim.between(0, 2)).ok().and_then(|index| actions.get(index)).copied();
    let strategies = sim.plan.config.strategies.iter().map(|s| s.uid);
    let one = if sim.chance(500) { strategies.take(1).collect() } else { Vec::new() };
    let halt = Halt {
        name: smol_str::format_smolstr!("person.{number}"),
        scope: if one.is_empty() { HaltScope::Account } else { HaltScope::Strategies(one) },
        instruments: Vec::new(),
        action: action.unwrap_or_default(),
        origin: HaltOrigin::Manual,
        reason: "to be sure".to_owned(),
        requested_by: "a person".to_owned(),
        since: now,
    };
    sim.count(Fault::Halt);
    let seen_from = now.plus(Millis(sim.between(0, SEEN_WITHIN.0)));
    sim.notices.borrow_mut().0.push(Notice { halt, made_at: now, seen_from, resumed_at: None });
    sim.later(Millis(sim.between(5_000, 240_000)), move |sim| {
        if let Some(notice) = sim.notices.borrow_mut().0.get_mut(number) {
            notice.resumed_at = Some(sim.now());
        }
        sim.count(Fault::Resume);
    });
}

/// How a worker sees them.
pub(crate) struct Watch(pub(crate) Rc<Sim>);

impl LastLook for Watch {
    fn next(&mut self, state: &State, _: &BTreeMap<SmolStr, Uid>) -> Option<News> {
        let notices = self.0.notices.borrow();
        let now = self.0.now();
        let change = notices.0.iter().find_map(|notice| {
            let known = state.halts().iter().any(|halt| halt.name == notice.halt.name);
            match notice.resumed_at {
                None if !known && notice.seen_from <= now => Some(HaltChange::Set(notice.halt.clone())),
                Some(at) if known => Some(HaltChange::Cleared {
                    name: notice.halt.name.clone(),
                    by: "a person".to_owned(),
                    at,
                }),
                _ => None,
            }
        })?;
        Some(News { events: vec![EventKind::HaltChange(change)], published: Vec::new() })
    }
}
