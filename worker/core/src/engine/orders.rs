//! Orders: from intent to the venue's last word. Nothing is sent before it is durable, and nothing is sent twice
//! without proof that the first sending did not arrive.

use smallvec::SmallVec;

use crate::event::{Effect, Effects, Record, Report};
use crate::money::Quantity;
use crate::order::{
    Attempt, ClientOrderId, Intent, IntentId, OrderRef, OrderState, OrderUpdate, Purpose, Signing, Transition,
};
use crate::protocol::{Life, OrderInput, Stage, Step, transition};
use crate::risk::{Checked, Draft};
use crate::time::{Millis, Timestamp};

use super::state::{Order, State};

/// A cancel is repeated after this while its order still stands.
const CANCEL_AGAIN: Millis = Millis(3_000);

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
            life: Life::begin(self.terms.sign(self.now)),
            signed_at: self.now,
            retry_at: Timestamp(i64::MIN),
            filled: Quantity::ZERO,
            trades: SmallVec::new(),
            cancelling: false,
        });
        self.persist_signing(id, effects);
        Some(id)
    }

    /// The sending that is about to happen becomes durable before it does: whoever finds the row later knows when the
    /// request can no longer be executed.
    fn persist_signing(&mut self, id: IntentId, effects: &mut Effects) {
        let epoch = self.identity.epoch;
        let Some(order) = self.orders.by_intent(id) else { return };
        let Some(signature) = order.life.stage().signature() else { return };
        let attempt = next(order.life.attempt());
        let request = order.intent.request(attempt, signature);
        let signing = Signing { intent: id, attempt, epoch, signature, request };
        effects.push(Effect::Persist(Box::new(Record::Signing(signing))));
    }

    /// The intent and its signing are on stable storage: send it, unless it is an entry that may no longer be made.
    pub(super) fn on_durable(&mut self, id: IntentId, effects: &mut Effects) {
        let terms = self.terms;
        let Some(order) = self.orders.by_intent(id) else { return };
        if order.life.apply(OrderInput::Durable, &terms).is_ok() {
            self.send(id, effects);
        }
    }

    /// Sends what could not be sent when it became durable: the venue's budget was used up, or what a predecessor signed
    /// was not yet over. Asked again and again by `Timer`.
    pub(super) fn send_waiting(&mut self, effects: &mut Effects) {
        let is_ready = |order: &&Order| matches!(order.life.stage(), Stage::Ready { .. });
        let waiting: Vec<IntentId> = self.orders.open.iter().filter(is_ready).map(|o| o.intent.id).collect();
        for id in waiting {
            self.send(id, effects);
        }
    }

    fn send(&mut self, id: IntentId, effects: &mut Effects) {
        let Some(order) = self.orders.by_intent(id) else { return };
        let (strategy, slot, entry) = (order.strategy, order.slot, order.intent.purpose.is_entry());
        let (valid_until, cancelling, retry_at) =
            (order.intent.valid_until, order.cancelling, order.retry_at);
        let signature = order.life.stage().signature();
        if entry {
            let refused = match self.gate(strategy, slot) {
                Err(denial) => Some(self.slot_denial_text(strategy, slot, &denial)),
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
        if self.now < self.first_send.max(retry_at) {
            return;
        }
        if signature.is_none_or(|signature| !self.terms.may_send(signature, self.now)) {
            let reason = "its signature ran out before it was sent".to_owned();
            self.advance(id, OrderInput::Withhold, Some(reason), effects);
            self.renew(id, effects);
            return;
        }
        self.advance(id, OrderInput::Send { at: self.now }, None, effects);
        if let Some(order) = self.orders.by_intent(id)
            && let Stage::Sent { signature } = order.life.stage()
        {
            let request = order.intent.request(order.life.attempt(), signature);
            effects.push(Effect::Send(Box::new(request)));
        }
    }

    /// An order that is proven absent is signed anew as the next attempt, unless it is an entry that may no longer be
    /// made. That is durable before it is sent.
    fn renew(&mut self, id: IntentId, effects: &mut Effects) {
        let Some(order) = self.orders.by_intent(id) else { return };
        let (strategy, slot, entry) = (order.strategy, order.slot, order.intent.purpose.is_entry());
        let (valid_until, cancelling) = (order.intent.valid_until, order.cancelling);
        let barred = entry && (self.now > valid_until || self.gate(strategy, slot).is_err());
        if barred || cancelling {
            return self.after_end(id, effects);
        }
        let signature = self.terms.sign(self.now);
        if self.advance(id, OrderInput::Renew { signature }, None, effects) {
            if let Some(order) = self.orders.by_intent(id) {
                order.signed_at = signature.signed_at;
            }
            self.persist_signing(id, effects);
        }
    }

    /// Ends an order that never left us.
    fn let_lapse(&mut self, id: IntentId, reason: &str, effects: &mut Effects) {
        self.advance(id, OrderInput::Lapse, Some(reason.to_owned()), effects);
        self.after_end(id, effects);
    }

    pub(super) fn on_order_update(&mut self, id: ClientOrderId, update: &OrderUpdate, effects: &mut Effects) {
        let terms = self.terms;
        let Some(order) = self.orders.by_client(id) else {
            self.on_foreign(id, effects);
            return;
        };
        let (intent, strategy, slot) = (order.intent.id, order.strategy, order.slot);
        let booked = order.filled;
        let missing = |executed: &Quantity| Quantity(executed.0.saturating_sub(booked.0).max(0));
        let (input, detail) = match update {
            OrderUpdate::Accepted { venue_order_id } => {
                (OrderInput::Accept, Some(venue_order_id.as_str().to_owned()))
            }
            OrderUpdate::Rejected { code, message } => {
                (OrderInput::Reject, Some(format!("{code}: {message}")))
            }
            OrderUpdate::Denied { message } => (OrderInput::Deny, Some(format!("not sent: {message}"))),
            OrderUpdate::Cancelled { executed } => (OrderInput::Cancel { missing: missing(executed) }, None),
            OrderUpdate::Expired { executed } => (OrderInput::Expire { missing: missing(executed) }, None),
            OrderUpdate::Unknown { message } => (OrderInput::LoseTrack, Some(message.clone())),
            OrderUpdate::Throttled { retry_at, message } => {
                order.retry_at = *retry_at;
                (OrderInput::Throttle, Some(message.clone()))
            }
            OrderUpdate::NotFound { asked_at } => (OrderInput::NotFound { asked_at: *asked_at }, None),
        };
        // A fill can overtake the acceptance it belongs to; what is said late is no news.
        let late = matches!(
            (order.state(), input),
            (OrderState::Filled, OrderInput::Accept | OrderInput::Cancel { .. })
        );
        // "Not found" that proves nothing yet, or that a fill has overtaken, is none either: it is asked again.
        let early = matches!(input, OrderInput::NotFound { .. })
            && transition(order.life.stage(), input, &terms).is_err();
        if late || early || !self.advance(intent, input, detail, effects) {
            return;
        }
        match self.orders.by_intent(intent).map(|o| o.state()) {
            Some(OrderState::Absent) => self.renew(intent, effects),
            Some(OrderState::Accepted | OrderState::PartiallyFilled) => {
                self.cancel_if_wanted(intent, effects);
            }
            Some(state) if state.is_terminal() => self.after_end(intent, effects),
            _ => {}
        }
        self.watch_protection(strategy, slot, effects);
    }

    fn cancel_if_wanted(&mut self, id: IntentId, effects: &mut Effects) {
        let now = self.now;
        if let Some(order) = self.orders.by_intent(id).filter(|o| o.cancelling && o.is_at_the_venue()) {
            order.cancel(now, effects);
        }
    }

    /// Cancels once more what should be gone: the venue may not have heard of it, or its answer was lost.
    pub(super) fn repeat_cancels(&mut self, effects: &mut Effects) {
        let now = self.now;
        let due = |order: &&mut Order| order.cancelling && order.is_at_the_venue() && now >= order.retry_at;
        self.orders.open.iter_mut().filter(due).for_each(|order| order.cancel(now, effects));
    }

    /// Applies one input to one order; false when it is not legal, which is reported.
    pub(super) fn advance(
        &mut self,
        id: IntentId,
        input: OrderInput,
        detail: Option<String>,
        effects: &mut Effects,
    ) -> bool {
        let (at, epoch, terms) = (self.now, self.identity.epoch, self.terms);
        let Some(order) = self.orders.by_intent(id) else { return false };
        match order.life.apply(input, &terms) {
            Ok(step) => {
                if let Some(Step { attempt, from, to }) = step {
                    let row = Transition { intent: id, attempt, epoch, from, to, at, detail };
                    effects.push(Effect::Persist(Box::new(Record::Transition(row))));
                }
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
        let refused = matches!(order.state(), OrderState::Rejected | OrderState::Denied);
        let now = self.now;
        self.orders.settle(id);
        if let Some(held) = self.slot_mut(strategy, slot) {
            for guard in held.guards.iter_mut().filter(|g| g.order == Some(id)) {
                guard.order = None;
            }
            let of_the_exit = !purpose.is_entry() && purpose != Purpose::StopLoss;
            if let (Some(exit), true) = (&mut held.exit, of_the_exit) {
                exit.after_order(refused, now);
            }
        }
        self.progress_exit(strategy, slot, effects);
        self.note_dust(strategy, slot, effects);
        self.watch_protection(strategy, slot, effects);
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
        let now = self.now;
        let mine = |o: &&mut Order| o.strategy == strategy && o.slot == slot;
        for order in self.orders.open.iter_mut().filter(mine).filter(|o| which(o)) {
            order.cancelling = true;
            // An order that has not left us lapses when it becomes durable, or with the next `Timer` if it is and waits;
            // one on its way is cancelled when it arrives.
            if order.is_at_the_venue() {
                order.cancel(now, effects);
            }
        }
    }
}

impl Order {
    fn cancel(&mut self, now: Timestamp, effects: &mut Effects) {
        self.retry_at = now.plus(CANCEL_AGAIN);
        effects.push(Effect::Cancel(OrderRef::from(&self.intent)));
    }
}

fn next(attempt: Attempt) -> Attempt {
    Attempt(attempt.0.saturating_add(1))
}
