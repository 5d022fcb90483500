//! Succession: a strategy that is made anew under a name takes over what the one before left on the account.
//!
//! What is left (positions, stops, open orders, cash, the drawdown reference) changes hands in one step and one row of
//! the ledger, and only when nothing of it is under way any more: until then the heir waits and makes no orders. Must not
//! touch a strategy that still exists, nor one of the other mode.

use crate::config::ResolvedStrategy;
use crate::event::{Effect, Effects, Record, Succession};
use crate::halt::{Halt, HaltScope};
use crate::money::Cash;
use crate::name::Uid;

use super::state::{Order, Slot, State, Strategy};

/// A strategy that waits for what its predecessor leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeirView {
    /// Who waits.
    pub uid: Uid,
    /// For whom.
    pub predecessor: Uid,
    /// Whether that one still exists.
    pub present: bool,
    /// Orders of the predecessor that are on their way, being cancelled, or of unknown outcome.
    pub orders: usize,
    /// Positions of it that are being sold.
    pub exits: usize,
}

impl State {
    /// Who has today what that strategy had: itself, unless another took over from it.
    pub fn heir_of(&self, uid: Uid) -> Uid {
        self.successions.iter().fold(uid, |owner, done| if done.from == owner { done.to } else { owner })
    }

    /// Whose that was before, the latest first.
    pub fn predecessors_of(&self, uid: Uid) -> Vec<Uid> {
        let mut owner = uid;
        let earlier = self.successions.iter().rev().filter_map(|done| {
            let found = done.to == owner;
            if found {
                owner = done.from;
            }
            found.then_some(done.from)
        });
        earlier.collect()
    }

    /// Strategies that wait for what their predecessor leaves.
    pub fn heirs(&self) -> Vec<HeirView> {
        let view = |heir: &ResolvedStrategy| {
            let index = self.predecessor_of(heir)?;
            let predecessor = self.strategies.get(index)?;
            Some(HeirView {
                uid: heir.uid,
                predecessor: predecessor.config.uid,
                present: predecessor.present,
                orders: self.orders.open.iter().filter(|o| o.strategy == index && is_under_way(o)).count(),
                exits: predecessor.slots.iter().filter(|slot| slot.exit.is_some()).count(),
            })
        };
        self.heirs.iter().filter_map(view).collect()
    }

    /// Whether another took over from it: whatever still names it is older than that.
    pub(super) fn is_succeeded(&self, uid: Uid) -> bool {
        self.heir_of(uid) != uid
    }

    /// Whether it is new here, and one before it under its name is still there or has left something.
    pub(super) fn must_wait(&self, wanted: &ResolvedStrategy) -> bool {
        self.strategy_of(wanted.uid).is_none() && self.predecessor_of(wanted).is_some()
    }

    /// Has each heir take over whose predecessor has nothing under way any more. One whose predecessor ended with nothing
    /// begins with its own capital.
    #[inline]
    pub(super) fn hand_over_to_heirs(&mut self, effects: &mut Effects) {
        if !self.heirs.is_empty() {
            self.hand_over(effects);
        }
    }

    fn hand_over(&mut self, effects: &mut Effects) {
        for heir in std::mem::take(&mut self.heirs) {
            match self.predecessor_of(&heir) {
                Some(index) if self.is_unsettled(index) => {
                    self.heirs.push(heir);
                    continue;
                }
                Some(index) => self.succeed(index, heir.uid, effects),
                None => {}
            }
            self.take_over(&heir, effects);
            let Some(index) = self.strategy_of(heir.uid) else { continue };
            self.apply_lifecycle(index, effects);
            let slots = self.strategies.get(index).map_or(0, |strategy| strategy.slots.len());
            for slot in 0..slots {
                self.apply_halts_to(index, slot, effects);
            }
        }
    }

    /// What the strategy of that index was is from now on the heir's; the row says so to every later start.
    fn succeed(&mut self, index: usize, to: Uid, effects: &mut Effects) {
        let at = self.now;
        let Some(strategy) = self.strategies.get_mut(index) else { return };
        let from = std::mem::replace(&mut strategy.config.uid, to);
        for order in self.orders.open.iter_mut().chain(&mut self.orders.ended) {
            if order.strategy == index {
                order.intent.strategy = to;
            }
        }
        let done = Succession { from, to, at };
        self.successions.push(done);
        self.extend_halts_to_heirs();
        effects.push(Effect::Persist(Box::new(Record::Succession(done))));
    }

    /// A halt sticks to what it once matched, whoever has it now.
    pub(super) fn extend_halts_to_heirs(&mut self) {
        for done in &self.successions {
            for halt in &mut self.halts {
                if let HaltScope::Strategies(uids) = &mut halt.scope
                    && uids.contains(&done.from)
                    && !uids.contains(&done.to)
                {
                    uids.push(done.to);
                }
            }
        }
    }

    /// The last strategy before that one under its name, if it is still there or has left something.
    fn predecessor_of(&self, heir: &ResolvedStrategy) -> Option<usize> {
        let mut all = self.strategies.iter().enumerate().rev();
        let before = all.find(|(index, strategy)| {
            is_predecessor(&strategy.config, heir) && (strategy.present || self.left_something(*index))
        });
        before.map(|(index, _)| index)
    }

    /// Whether anything but money is on the account for it: a position, an order, a sale, or a halt of its own, which
    /// nobody must escape by deleting and making anew. Money alone is the account's again.
    pub(super) fn left_something(&self, index: usize) -> bool {
        let Some(strategy) = self.strategies.get(index) else { return false };
        let halted = |halt: &Halt| matches!(&halt.scope, HaltScope::Strategies(uids) if uids.contains(&strategy.config.uid));
        self.orders.open.iter().any(|order| order.strategy == index)
            || strategy.slots.iter().any(|slot| slot.exit.is_some() || slot.position.base != Cash::ZERO)
            || self.halts.iter().any(halted)
    }

    fn is_unsettled(&self, index: usize) -> bool {
        let exiting = |slot: &Slot| slot.exit.is_some();
        let busy = |strategy: &Strategy| strategy.present || strategy.slots.iter().any(exiting);
        self.orders.open.iter().any(|order| order.strategy == index && is_under_way(order))
            || self.strategies.get(index).is_some_and(busy)
    }
}

/// Whether `heir` follows `gone` under its name: the same name in the same mode, for what is paper is never sold for real.
pub(super) fn is_predecessor(gone: &ResolvedStrategy, heir: &ResolvedStrategy) -> bool {
    gone.uid != heir.uid && gone.name == heir.name && gone.mode == heir.mode
}

/// Whether what becomes of the order is not known yet. One that rests at the venue is no obstacle: a stop goes over with
/// the position it guards.
fn is_under_way(order: &Order) -> bool {
    order.cancelling || !order.is_at_the_venue()
}
