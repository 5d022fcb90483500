//! Protection: each part of a position is sold at its stop, by an order that rests at the venue or by the worker, which
//! sells on marks.
//!
//! A stop that should rest and does not is never silent: it is told, the worker guards the part meanwhile, the stop is
//! placed again, the time without it is measured, and after the policy's `flattenUnprotectedAfter` the position is sold.
//! Must not sell what a stop may still sell: an exit ends it first.

use crate::config::Protection;
use crate::decision::StrategyId;
use crate::event::{Effect, Effects, ProtectionChange, Report};
use crate::instrument::InstrumentRules;
use crate::money::{Percent, Price, Quantity, Rounding};
use crate::order::{Fill, IntentId, OrderKind, Purpose, Side};
use crate::risk::{Draft, approve_exit};
use crate::time::{Millis, Timestamp};

use super::state::{Order, Orders, Pace, Slot, State, Strategy};

/// A part of a position that must be sold at its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GuardPart {
    pub(super) stop: Price,
    pub(super) quantity: Quantity,
    /// The stop order that was made for it and has not ended.
    pub(super) order: Option<IntentId>,
    pub(super) shield: Shield,
    /// Of when the first mark was at which its stop order rested though it had come to the stop.
    pub(super) passed: Option<Timestamp>,
}

/// Who sells a part of a position at its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shield {
    /// A stop order that rests at the venue.
    Resting,
    /// The worker, as the strategy's configuration acknowledges; or as the part is too small for an order of its own.
    Worker,
    /// The worker, and a stop order should: none is known to rest, or one rests that the market has passed.
    Missing,
}

/// A position of which some part has not the stop order it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bare {
    pub(super) since: Timestamp,
    /// Whether a stop order of it has come to nothing: people were told.
    pub(super) told: bool,
}

impl Slot {
    /// Whether part of the position must be sold at that price and no stop order is known to do it.
    #[inline]
    pub(super) fn lacks_guard(&self, price: Price) -> bool {
        let due = |guard: &GuardPart| price <= guard.stop && guard.shield != Shield::Resting;
        self.exit.is_none() && self.guards.iter().any(due)
    }

    /// Whether a stop order should rest and does not. A position that is being sold needs none.
    fn is_bare(&self) -> bool {
        let being_sold = self.exit.is_some_and(|exit| !matches!(exit.pace, Pace::Refused { .. }));
        !being_sold && self.guards.iter().any(|guard| guard.shield == Shield::Missing)
    }
}

impl GuardPart {
    /// Whether no order of the venue's smallest size could carry it.
    fn is_too_small(&self, rules: &InstrumentRules) -> bool {
        let notional = rules.notional(self.stop, self.quantity);
        self.quantity < rules.lot || notional.is_ok_and(|notional| notional < rules.min_notional)
    }

    fn is_reached_by(&self, mark: Price) -> bool {
        mark.0 > 0 && mark <= self.stop
    }

    fn shield(&self, orders: &Orders, protection: Protection, rules: &InstrumentRules) -> Shield {
        let own = |order: &&Order| Some(order.intent.id) == self.order;
        if orders.open.iter().find(own).is_some_and(Order::is_at_the_venue) {
            return Shield::Resting;
        }
        let alone = self.order.is_none() && self.is_too_small(rules);
        if alone || protection == Protection::AtWorker { Shield::Worker } else { Shield::Missing }
    }
}

impl Strategy {
    /// Position-seconds without the stop order that should have rested, in milliseconds.
    pub(super) fn unprotected(&self, now: Timestamp) -> Millis {
        let ongoing = self.slots.iter().filter_map(|slot| slot.bare).map(|bare| now.since(bare.since).0);
        Millis(ongoing.fold(self.unprotected.0, i64::saturating_add))
    }
}

impl State {
    /// Each entry fill gets a stop of its own, at the strategy's distance below its price. Parts that were too small for
    /// one go with it, at the higher of their stops.
    pub(super) fn protect(&mut self, strategy: usize, slot: usize, fill: &Fill, effects: &mut Effects) {
        let Some(owner) = self.strategies.get(strategy) else { return };
        let Some(distance) = owner.config.stop_loss else { return };
        let Some(held) = owner.slots.get(slot) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        let Some(stop) = below(fill.price, distance) else { return };
        // Up to the tick: a stop that is off goes off earlier, not later.
        let stop = instrument.rules.round_tick(stop, Rounding::Up);
        let guarded: i64 = held.guards.iter().map(|g| g.quantity.0).sum();
        let free = held.position.sellable().0.saturating_sub(guarded).max(0);
        // What was dust before can be sold along.
        let quantity = if held.dust { Quantity(free) } else { Quantity(fill.quantity.0.min(free)) };
        if quantity.0 <= 0 {
            return;
        }
        let at_venue = owner.config.protection == Protection::AtVenue;
        let part = GuardPart { stop, quantity, order: None, shield: Shield::Missing, passed: None };
        let exiting = held.exit.is_some();
        if let Some(held) = self.slot_mut(strategy, slot) {
            held.guards.push(part);
        }
        if at_venue && !exiting {
            self.place_stop(strategy, slot, effects);
        }
    }

    /// Makes one stop order for all parts that have none, at the highest of their stops, unless they are too small for it
    /// even together, or a sale is under way that may take them.
    fn place_stop(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let sells =
            |order: &Order| order.intent.side == Side::Sell && order.intent.purpose != Purpose::StopLoss;
        if self.orders.of_slot(strategy, slot).any(sells) {
            return;
        }
        let Some(held) = self.slot(strategy, slot) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        let alone = || held.guards.iter().filter(|guard| guard.order.is_none());
        let Some(stop) = alone().map(|guard| guard.stop).max() else { return };
        let quantity = Quantity(alone().map(|guard| guard.quantity.0).sum());
        let whole = GuardPart { stop, quantity, order: None, shield: Shield::Missing, passed: None };
        if whole.is_too_small(&instrument.rules) {
            return;
        }
        let draft = Draft {
            side: Side::Sell,
            kind: OrderKind::Stop { trigger: stop },
            quantity,
            purpose: Purpose::StopLoss,
            price: stop,
        };
        let Some(approved) = approve_exit(held.position.sellable(), draft) else { return };
        let order = self.intend(strategy, slot, approved, self.now, effects);
        if let Some(held) = self.slot_mut(strategy, slot) {
            held.guards.retain(|guard| guard.order.is_some());
            held.guards.push(GuardPart { order, ..whole });
        }
    }

    /// A sale takes from the guard of its own order first, then from the others in their order.
    pub(super) fn reduce_guards(&mut self, strategy: usize, slot: usize, id: IntentId, sold: Quantity) {
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        held.guards.sort_by_key(|guard| guard.order != Some(id));
        let mut left = sold.0;
        for guard in &mut held.guards {
            let taken = guard.quantity.0.min(left);
            guard.quantity.0 -= taken;
            left -= taken;
        }
        held.guards.retain(|guard| guard.quantity.0 > 0);
    }

    /// Looks anew at who guards the position, measures the time in which a stop order should rest and does not, and tells
    /// when one has come to nothing and when all rest again.
    pub(super) fn watch_protection(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        self.look_at_guards(strategy, slot);
        let now = self.now;
        let Some(owner) = self.strategies.get_mut(strategy) else { return };
        let Some(held) = owner.slots.get_mut(slot) else { return };
        let change = if held.is_bare() {
            let lost = held.guards.iter().any(|g| g.shield == Shield::Missing && g.order.is_none());
            let bare = held.bare.get_or_insert(Bare { since: now, told: false });
            let news = lost && !bare.told;
            bare.told |= lost;
            news.then_some(ProtectionChange::Lost)
        } else if let Some(bare) = held.bare.take() {
            let span = now.since(bare.since).0;
            owner.unprotected = Millis(owner.unprotected.0.saturating_add(span));
            let rest_again = bare.told && held.exit.is_none() && !held.guards.is_empty();
            rest_again.then_some(ProtectionChange::Restored)
        } else {
            None
        };
        if let Some(change) = change {
            self.report_protection(strategy, slot, change, effects);
        }
    }

    /// A stop that rests at the venue although the mark has come to it does not do its work: the market may have passed its
    /// limit. It has as long as a position may be without a stop; if a later mark says the same then, it counts for none. One
    /// mark alone, of a book that was empty for a moment or from before data went away, proves nothing.
    fn look_at_guards(&mut self, strategy: usize, slot: usize) {
        // A venue that is part of the process sets its stops off by itself.
        let remote = self.terms.query_lag > Millis(0);
        let Some(owner) = self.strategies.get_mut(strategy) else { return };
        let (protection, patience) = (owner.config.protection, owner.config.limits.flatten_unprotected_after);
        let Some(held) = owner.slots.get_mut(slot) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        for guard in &mut held.guards {
            let shield = guard.shield(&self.orders, protection, &instrument.rules);
            let marked_at = instrument.marked_at;
            let marked = remote && marked_at > Timestamp(i64::MIN);
            // One that has begun to sell does its work.
            let asleep =
                |order: &Order| Some(order.intent.id) == guard.order && order.filled == Quantity::ZERO;
            let passed = marked
                && shield == Shield::Resting
                && guard.is_reached_by(instrument.mark)
                && self.orders.open.iter().any(asleep);
            guard.passed = passed.then(|| guard.passed.unwrap_or(marked_at));
            let in_vain =
                guard.passed.is_some_and(|since| since < marked_at && marked_at.since(since) >= patience);
            guard.shield = if in_vain { Shield::Missing } else { shield };
        }
    }

    /// As after a restart: who guards is known by the orders, and since when a stop order is missing by the checkpoint.
    pub(super) fn recover_protection(&mut self, strategy: usize, slot: usize, since: Option<Timestamp>) {
        self.look_at_guards(strategy, slot);
        let since = since.unwrap_or(self.now);
        if let Some(held) = self.slot_mut(strategy, slot) {
            held.bare = held.is_bare().then_some(Bare { since, told: false });
        }
    }

    /// Places again what should rest at the venue, or sells a position that has been without for too long, or whose stop
    /// rests in vain.
    pub(super) fn tend_protection(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(held) = self.slot(strategy, slot) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        let passed = |guard: &GuardPart| guard.passed.is_some() || guard.is_reached_by(instrument.mark);
        if held.guards.iter().any(passed) {
            self.watch_protection(strategy, slot, effects);
        }
        let Some(owner) = self.strategies.get(strategy) else { return };
        let Some(held) = owner.slots.get(slot) else { return };
        let Some(bare) = held.bare.filter(|_| held.exit.is_none()) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        if held.lacks_guard(instrument.mark) {
            self.begin_exit(strategy, slot, Purpose::StopGuard, effects);
        } else if self.now.since(bare.since) >= owner.config.limits.flatten_unprotected_after {
            self.report_protection(strategy, slot, ProtectionChange::Flattened, effects);
            self.begin_exit(strategy, slot, Purpose::Flatten, effects);
        } else {
            self.place_stop(strategy, slot, effects);
        }
        self.watch_protection(strategy, slot, effects);
    }

    fn report_protection(
        &self,
        strategy: usize,
        slot: usize,
        change: ProtectionChange,
        effects: &mut Effects,
    ) {
        let Some(instrument) = self.slot(strategy, slot).map(|held| held.instrument) else { return };
        if let Ok(id) = u16::try_from(strategy) {
            let strategy = StrategyId(id);
            effects.push(Effect::Report(Report::Protection { strategy, instrument, change }));
        }
    }
}

/// That far below a price, rounded up to a price unit.
pub(super) fn below(price: Price, distance: Percent) -> Option<Price> {
    let kept = crate::money::PERCENT_ONE.checked_sub(distance.0)?;
    let units = crate::money::mul_div(
        i128::from(price.0),
        i128::from(kept),
        i128::from(crate::money::PERCENT_ONE),
        Rounding::Up,
    );
    i64::try_from(units.ok()?).ok().filter(|units| *units > 0).map(Price)
}
