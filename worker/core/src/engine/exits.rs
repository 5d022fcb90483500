//! Exits: what is in the way is cancelled, then what is held is sold; and dust, what no order can sell.
//!
//! Must not sell while another order of the instrument is open: a resting stop or an order of unknown outcome may sell the
//! same coins.

use crate::decision::StrategyId;
use crate::event::{Effect, Effects, Report};
use crate::money::{Cash, Quantity};
use crate::order::{OrderKind, Purpose, Side};
use crate::risk::{Draft, approve_exit};

use super::state::{Exit, Order, State};

impl State {
    /// What orders can sell of a position: all of it down to the lot, or nothing if that is worth less at the mark than the
    /// venue's smallest order.
    pub(super) fn sellable(&self, strategy: usize, slot: usize) -> Quantity {
        let Some(held) = self.slot(strategy, slot) else { return Quantity::ZERO };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return Quantity::ZERO };
        let whole = held.position.sellable();
        let worth = instrument.rules.notional(instrument.mark, whole);
        let too_small = worth.is_ok_and(|worth| worth < instrument.rules.min_notional);
        if instrument.mark.0 > 0 && too_small { Quantity::ZERO } else { whole }
    }

    /// Whether something is held and no order can sell it.
    pub(super) fn is_dust(&self, strategy: usize, slot: usize) -> bool {
        let holds = self.slot(strategy, slot).is_some_and(|held| held.position.base > Cash::ZERO);
        holds && self.sellable(strategy, slot) == Quantity::ZERO
    }

    /// Tells once that what is left of a position is dust. Nothing has to sell it any more: its guards go.
    pub(super) fn note_dust(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(held) = self.slot(strategy, slot) else { return };
        if held.position.base <= Cash::ZERO && !held.dust {
            return;
        }
        let open = held.exit.is_some() || self.orders.of_slot(strategy, slot).any(Order::may_fill);
        let dust = !open && self.is_dust(strategy, slot);
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        let news = dust && !held.dust;
        held.dust = dust;
        if dust {
            held.guards.clear();
        }
        let instrument = held.instrument;
        if news && let Ok(id) = u16::try_from(strategy) {
            effects.push(Effect::Report(Report::Dust { strategy: StrategyId(id), instrument }));
        }
    }

    /// Starts to sell what is held: open orders are cancelled first, as a resting stop holds the base asset.
    pub(super) fn begin_exit(
        &mut self,
        strategy: usize,
        slot: usize,
        purpose: Purpose,
        effects: &mut Effects,
    ) {
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        if held.exit.is_some() {
            return;
        }
        held.exit = Some(Exit { purpose, refused: false });
        self.cancel_orders(strategy, slot, in_the_way, effects);
        self.progress_exit(strategy, slot, effects);
        self.watch_protection(strategy, slot, effects);
    }

    /// Goes on with an exit as soon as no other order of the slot is open.
    pub(super) fn progress_exit(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(held) = self.slot(strategy, slot) else { return };
        let Some(exit) = held.exit else { return };
        if exit.refused || self.orders.of_slot(strategy, slot).next().is_some() {
            return;
        }
        let sellable = self.sellable(strategy, slot);
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        let draft = Draft {
            side: Side::Sell,
            kind: OrderKind::Market,
            quantity: sellable,
            purpose: exit.purpose,
            price: instrument.mark,
        };
        match approve_exit(sellable, draft) {
            Some(approved) => {
                self.intend(strategy, slot, approved, self.now, effects);
            }
            None => self.finish_exit(strategy, slot, effects),
        }
    }

    /// Tries an exit again that the venue refused, or that a restart interrupted. Cancels may repeat freely.
    pub(super) fn retry_exit(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        if let Some(exit) = self.slot_mut(strategy, slot).and_then(|s| s.exit.as_mut()) {
            exit.refused = false;
            self.cancel_orders(strategy, slot, in_the_way, effects);
            self.progress_exit(strategy, slot, effects);
        }
    }

    pub(super) fn finish_exit(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        if let Some(held) = self.slot_mut(strategy, slot) {
            held.exit = None;
            held.guards.clear();
        }
        self.note_dust(strategy, slot, effects);
    }
}

/// Orders that must be gone before what is held can be sold.
fn in_the_way(order: &Order) -> bool {
    matches!(order.intent.purpose, Purpose::Entry | Purpose::StopLoss)
}
