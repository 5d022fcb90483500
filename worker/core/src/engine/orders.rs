//! Orders: from intent to the venue's last word. Nothing is sent before it is durable, and nothing is sent twice
//! without proof that the first sending did not arrive.

use smallvec::SmallVec;

use crate::event::{Effect, Effects, Record, Report};
use crate::money::Quantity;
use crate::order::{
    Attempt, ClientOrderId, Intent, IntentId, OrderInput, OrderKind, OrderRef, OrderRequest, OrderState,
    OrderUpdate, Purpose, Side, Transition, transition,
};
use crate::risk::{Checked, Draft, approve_exit};
use crate::time::Timestamp;

use super::state::{Exit, Order, State};

impl State {
    /// Makes an intent of a checked draft. It goes to the ledger; only [`crate::event::EventKind::Durable`] sends it.
    pub(super) fn intend(
        &mut self,
        strategy: usize,
        slot: usize,
        draft: Checked<Draft>,
        decision_bar: Timestamp,
        effects: &mut Effects,
    ) -> Option<IntentId> {
        let draft = draft.into_inner();
        let owner = self.strategies.get(strategy)?;
        let held = owner.slots.get(slot)?;
        let symbol = self.instruments.get(held.instrument.index())?.rules.symbol.clone();
        let id = IntentId(self.next_intent);
        let intent = Intent {
            id,
            client_order_id: ClientOrderId::derive(self.identity.incarnation, owner.config.uid, id),
            strategy: owner.config.uid,
            symbol,
            side: draft.side,
            kind: draft.kind,
            quantity: draft.quantity,
            purpose: draft.purpose,
            reference_price: draft.price,
            decision_bar,
            decided_at: self.now,
            valid_until: self.now.plus(owner.config.bar),
            epoch: self.identity.epoch,
        };
        self.next_intent = self.next_intent.saturating_add(1);
        effects.push(Effect::Persist(Box::new(Record::Intent(intent.clone()))));
        self.orders.open.push(Order {
            intent,
            strategy,
            slot,
            state: OrderState::Intended,
            attempt: Attempt(0),
            filled: Quantity::ZERO,
            trades: SmallVec::new(),
            cancelling: false,
        });
        Some(id)
    }

    /// The intent is on stable storage: send it, unless it is an entry that may no longer be made.
    pub(super) fn on_durable(&mut self, id: IntentId, effects: &mut Effects) {
        let Some(order) = self.orders.by_intent(id) else { return };
        if order.state == OrderState::Intended {
            self.send(id, effects);
        }
    }

    fn send(&mut self, id: IntentId, effects: &mut Effects) {
        let Some(order) = self.orders.by_intent(id) else { return };
        let (strategy, slot, entry) = (order.strategy, order.slot, order.intent.purpose.is_entry());
        let (valid_until, cancelling) = (order.intent.valid_until, order.cancelling);
        if entry {
            let refused = match self.gate(strategy, slot) {
                Err(denial) => Some(denial.to_string()),
                Ok(()) if self.now > valid_until => Some("its time had passed".to_owned()),
                Ok(()) => None,
            };
            if let Some(reason) = refused {
                self.let_lapse(id, &format!("not sent: {reason}"), effects);
                return;
            }
        }
        if cancelling {
            self.let_lapse(id, "not sent: cancelled before it was sent", effects);
            return;
        }
        self.advance(id, OrderInput::Send, None, effects);
        let now = self.now;
        if let Some(order) = self.orders.by_intent(id).filter(|o| o.state == OrderState::Sent) {
            let Intent { client_order_id, ref symbol, side, kind, quantity, valid_until, decided_at, .. } =
                order.intent;
            // An exit does not grow stale: its request is as young as its sending.
            let life = valid_until.since(decided_at);
            let valid_until = if entry { valid_until } else { now.plus(life) };
            effects.push(Effect::Send(Box::new(OrderRequest {
                intent: id,
                attempt: order.attempt,
                client_order_id,
                symbol: symbol.clone(),
                side,
                kind,
                quantity,
                valid_until,
            })));
        }
    }

    /// Ends an order that never left us, or that the venue has proven not to have.
    fn let_lapse(&mut self, id: IntentId, reason: &str, effects: &mut Effects) {
        let absent = self.orders.by_intent(id).is_some_and(|o| o.state == OrderState::Absent);
        if !absent {
            self.advance(id, OrderInput::Expire, Some(reason.to_owned()), effects);
        }
        self.after_end(id, effects);
    }

    pub(super) fn on_order_update(&mut self, id: ClientOrderId, update: &OrderUpdate, effects: &mut Effects) {
        let Some(order) = self.orders.by_client(id) else {
            effects.push(Effect::Report(Report::Foreign { client_order_id: id }));
            return;
        };
        let intent = order.intent.id;
        let (input, detail) = match update {
            OrderUpdate::Accepted { venue_order_id } => {
                (OrderInput::Accept, Some(venue_order_id.as_str().to_owned()))
            }
            OrderUpdate::Rejected { code, message } => {
                (OrderInput::Reject, Some(format!("{code}: {message}")))
            }
            OrderUpdate::Cancelled => (OrderInput::Cancel, None),
            OrderUpdate::Expired => (OrderInput::Expire, None),
            OrderUpdate::Unknown { message } => (OrderInput::LoseTrack, Some(message.clone())),
            OrderUpdate::NotFound => (OrderInput::NotFound, None),
        };
        // A fill can overtake the acceptance it belongs to; what is said late is no news.
        let late =
            matches!((order.state, input), (OrderState::Filled, OrderInput::Accept | OrderInput::Cancel));
        if late || !self.advance(intent, input, detail, effects) {
            return;
        }
        match self.orders.by_intent(intent).map(|o| o.state) {
            Some(OrderState::Absent) => self.send_again(intent, effects),
            Some(OrderState::Accepted | OrderState::PartiallyFilled) => {
                self.cancel_if_wanted(intent, effects);
            }
            Some(state) if state.is_terminal() => self.after_end(intent, effects),
            _ => {}
        }
    }

    /// The venue has proven not to have the order: the one case in which it is sent again.
    fn send_again(&mut self, id: IntentId, effects: &mut Effects) {
        self.send(id, effects);
        self.orders.settle(id);
    }

    fn cancel_if_wanted(&mut self, id: IntentId, effects: &mut Effects) {
        if let Some(order) = self.orders.by_intent(id).filter(|o| o.cancelling) {
            effects.push(Effect::Cancel(OrderRef::from(&order.intent)));
        }
    }

    /// Applies one input to one order; false when it is not legal, which is reported.
    pub(super) fn advance(
        &mut self,
        id: IntentId,
        input: OrderInput,
        detail: Option<String>,
        effects: &mut Effects,
    ) -> bool {
        let (at, epoch) = (self.now, self.identity.epoch);
        let Some(order) = self.orders.by_intent(id) else { return false };
        let from = order.state;
        match transition(from, input) {
            Ok(to) => {
                if input == OrderInput::Send {
                    order.attempt = Attempt(order.attempt.0.saturating_add(1));
                }
                order.state = to;
                let attempt = order.attempt;
                let row = Transition { intent: id, attempt, epoch, from, to, at, detail };
                effects.push(Effect::Persist(Box::new(Record::Transition(row))));
                true
            }
            Err(transition) => {
                effects.push(Effect::Report(Report::Illegal { intent: id, transition }));
                false
            }
        }
    }

    /// An order has ended: guards that relied on it stand alone, and an exit that waited for it goes on.
    pub(super) fn after_end(&mut self, id: IntentId, effects: &mut Effects) {
        let Some(order) = self.orders.by_intent(id) else { return };
        let (strategy, slot, purpose) = (order.strategy, order.slot, order.intent.purpose);
        let refused = order.state == OrderState::Rejected;
        self.orders.settle(id);
        if let Some(held) = self.slot_mut(strategy, slot) {
            for guard in held.guards.iter_mut().filter(|g| g.order == Some(id)) {
                guard.order = None;
            }
            let exit_refused = refused && !purpose.is_entry() && purpose != Purpose::StopLoss;
            if let (Some(exit), true) = (&mut held.exit, exit_refused) {
                exit.refused = true;
            }
        }
        self.progress_exit(strategy, slot, effects);
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
    }

    pub(super) fn cancel_entries(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        self.cancel_orders(strategy, slot, |order| order.intent.purpose.is_entry(), effects);
    }

    pub(super) fn cancel_orders(
        &mut self,
        strategy: usize,
        slot: usize,
        which: impl Fn(&Order) -> bool,
        effects: &mut Effects,
    ) {
        let mine = |o: &&mut Order| o.strategy == strategy && o.slot == slot;
        for order in self.orders.open.iter_mut().filter(mine).filter(|o| which(o)) {
            order.cancelling = true;
            // An order that has not left us lapses when it becomes durable; one on its way is cancelled when it arrives.
            if matches!(order.state, OrderState::Accepted | OrderState::PartiallyFilled) {
                effects.push(Effect::Cancel(OrderRef::from(&order.intent)));
            }
        }
    }

    /// Goes on with an exit as soon as no other order of the slot is open.
    pub(super) fn progress_exit(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(held) = self.slot(strategy, slot) else { return };
        let Some(exit) = held.exit else { return };
        if exit.refused || self.orders.of_slot(strategy, slot).next().is_some() {
            return;
        }
        let sellable = held.position.sellable();
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
            None => self.finish_exit(strategy, slot),
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

    pub(super) fn finish_exit(&mut self, strategy: usize, slot: usize) {
        if let Some(held) = self.slot_mut(strategy, slot) {
            held.exit = None;
            held.guards.clear();
        }
    }
}

/// Orders that must be gone before what is held can be sold.
fn in_the_way(order: &Order) -> bool {
    matches!(order.intent.purpose, Purpose::Entry | Purpose::StopLoss)
}
