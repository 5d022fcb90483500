//! Exits: what is in the way is cancelled, then what is held is sold; and dust, what no order can sell.
//!
//! A liquidation is a job that takes its time: slice after slice, each within a collar below the mark of its moment, until
//! all is sold, over restarts too. All other exits sell at the market at once.
//!
//! Must not sell while another order of the instrument is open: a resting stop or an order of unknown outcome may sell the
//! same coins.

use crate::decision::StrategyId;
use crate::event::{Effect, Effects, Report};
use crate::halt::{HaltAction, effective_halt};
use crate::instrument::InstrumentRules;
use crate::money::{Cash, Percent, Price, Quantity, Rounding};
use crate::order::{OrderKind, Purpose, Side};
use crate::risk::{Draft, approve_exit};
use crate::time::Millis;

use super::protection::below;
use super::state::{Exit, Instrument, Order, Pace, State};

/// How far below the mark a liquidation still sells. Wide enough for the moves of a minute, the age a mark may have, on a
/// bad day; narrow enough that an empty book is not sold into. The mark moves, and the collar with it.
const COLLAR: Percent = Percent(20_000);
/// The most, in the quote currency at the mark, that one order of a liquidation sells: what the books of the venues we
/// know take within the collar. Smaller positions are sold in one order.
const SLICE: Cash = Cash(10_000 * 10_i128.pow(18));
/// After that long people are told what a liquidation could not sell.
const DEADLINE: Millis = Millis(5 * 60_000);

impl State {
    /// What orders can sell of a position: what is really there of it, down to the lot, or nothing if that is worth less at
    /// the mark than the venue's smallest order.
    pub(super) fn sellable(&self, strategy: usize, slot: usize) -> Quantity {
        let Some(held) = self.slot(strategy, slot) else { return Quantity::ZERO };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return Quantity::ZERO };
        let missing = self.missing(instrument.rules.symbol.base());
        let whole = there_of(held.position.sellable(), held.position.base, missing, &instrument.rules);
        if instrument.is_too_small(whole) { Quantity::ZERO } else { whole }
    }

    /// Whether an order could sell the position if only the venue told of all its coins. It may be that it does not yet, so
    /// that the next sweep finds them there.
    fn lacks_coins(&self, strategy: usize, slot: usize) -> bool {
        let Some(held) = self.slot(strategy, slot) else { return false };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return false };
        let whole = held.position.sellable();
        let enough = whole > Quantity::ZERO && !instrument.is_too_small(whole);
        enough && self.swept_away(instrument.rules.symbol.base()) > Cash::ZERO
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
        let now = self.now;
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        if held.exit.is_some() {
            return;
        }
        held.exit = Some(Exit::begin(purpose, now));
        self.cancel_orders(strategy, slot, in_the_way, effects);
        self.progress_exit(strategy, slot, effects);
        self.watch_protection(strategy, slot, effects);
    }

    /// Goes on with an exit as soon as no other order of the slot is open.
    pub(super) fn progress_exit(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(held) = self.slot(strategy, slot) else { return };
        let Some(exit) = held.exit else { return };
        if exit.pace != Pace::Going || self.orders.of_slot(strategy, slot).next().is_some() {
            return;
        }
        let sellable = self.sellable(strategy, slot);
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        let (kind, quantity) = match exit.purpose {
            Purpose::Liquidation => slice(&instrument.rules, instrument.mark, sellable),
            _ => (OrderKind::Market, sellable),
        };
        let price = instrument.mark;
        let draft = Draft { side: Side::Sell, kind, quantity, purpose: exit.purpose, price };
        match approve_exit(sellable, draft) {
            Some(approved) => {
                self.intend(strategy, slot, approved, self.now, effects);
            }
            None if self.lacks_coins(strategy, slot) => {
                if let Some(exit) = self.slot_mut(strategy, slot).and_then(|held| held.exit.as_mut()) {
                    exit.pace = Pace::Paused;
                }
            }
            None => self.finish_exit(strategy, slot, effects),
        }
    }

    /// Goes on with an exit that was rejected or denied, that paused after a slice, or that a restart interrupted. Cancels may
    /// repeat freely.
    pub(super) fn retry_exit(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(exit) = self.slot_mut(strategy, slot).and_then(|s| s.exit.as_mut()) else { return };
        exit.pace = Pace::Going;
        self.cancel_orders(strategy, slot, in_the_way, effects);
        self.progress_exit(strategy, slot, effects);
        self.name_unsold(strategy, slot, effects);
    }

    /// A halt was resumed: a liquidation that nothing demands any more ends where it is, and stops are placed again.
    pub(super) fn end_liquidations(&mut self, effects: &mut Effects) {
        for (strategy, slot) in self.all_slots() {
            let Some(owner) = self.strategies.get(strategy).filter(|owner| owner.present) else { continue };
            let Some(held) = owner.slots.get(slot) else { continue };
            let Some(instrument) = self.instruments.get(held.instrument.index()) else { continue };
            let halt = effective_halt(&self.halts, owner.config.uid, &instrument.rules.symbol);
            let demanded = halt.is_some_and(|halt| halt.action == HaltAction::Liquidate);
            let liquidating = held.exit.is_some_and(|exit| exit.purpose == Purpose::Liquidation);
            if liquidating && !demanded {
                if let Some(held) = self.slot_mut(strategy, slot) {
                    held.exit = None;
                }
                self.watch_protection(strategy, slot, effects);
            }
        }
    }

    /// Tells once what a liquidation could not sell within its deadline. It goes on.
    fn name_unsold(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let now = self.now;
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        let (instrument, left) = (held.instrument, held.position.sellable());
        let Some(exit) = held.exit.as_mut().filter(|exit| exit.purpose == Purpose::Liquidation) else {
            return;
        };
        if exit.overdue || now.since(exit.begun) < DEADLINE {
            return;
        }
        exit.overdue = true;
        if let Ok(id) = u16::try_from(strategy) {
            let strategy = StrategyId(id);
            effects.push(Effect::Report(Report::Unsold { strategy, instrument, left }));
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

impl Instrument {
    /// Whether that much is worth less at the mark than the venue's smallest order.
    fn is_too_small(&self, quantity: Quantity) -> bool {
        let worth = self.rules.notional(self.mark, quantity);
        self.mark.0 > 0 && worth.is_ok_and(|worth| worth < self.rules.min_notional)
    }
}

/// What of a position is there when so much of its asset is not: down to the lot.
fn there_of(sellable: Quantity, base: Cash, missing: Cash, rules: &InstrumentRules) -> Quantity {
    if missing == Cash::ZERO {
        return sellable;
    }
    let there = rules.quantity_of_base(Cash(base.0.saturating_sub(missing.0).max(0)));
    there.map_or(Quantity::ZERO, |there| rules.floor_lot(there).min(sellable))
}

/// The next order of a liquidation: at most a slice, at once or not at all, no worse than the collar below the mark. A rest
/// that would be too small for an order of its own goes with it.
fn slice(rules: &InstrumentRules, mark: Price, sellable: Quantity) -> (OrderKind, Quantity) {
    let Some(worst) = below(mark, COLLAR) else { return (OrderKind::Market, sellable) };
    let price = rules.round_tick(worst, Rounding::Up);
    let part = rules.quantity_for(SLICE, mark).unwrap_or(sellable).min(sellable);
    let rest = Quantity(sellable.0.saturating_sub(part.0));
    let rest_too_small = rules.notional(price, rest).is_ok_and(|worth| worth < rules.min_notional);
    let part_too_small = rules.notional(price, part).is_ok_and(|worth| worth < rules.min_notional);
    let whole = part.0 <= 0 || rest_too_small || part_too_small;
    (OrderKind::ImmediateOrCancel { price }, if whole { sellable } else { part })
}

/// Orders that must be gone before what is held can be sold.
fn in_the_way(order: &Order) -> bool {
    matches!(order.intent.purpose, Purpose::Entry | Purpose::StopLoss)
}
