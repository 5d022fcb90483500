//! The decision: one for every bar, instrument and strategy.

use crate::config::{DesiredState, InstrumentState};
use crate::decision::{Decision, Outcome, Signal, StrategyId};
use crate::denial::Denial;
use crate::event::{Effect, Effects, Report};
use crate::halt::effective_halt;
use crate::instrument::Bar;
use crate::money::{Cash, Percent, Quantity};
use crate::order::{OrderKind, Purpose, Side};
use crate::risk::{self, Context, Draft};
use crate::signal::{Evaluation, SignalState, tolerated_gap};
use crate::sizing;
use crate::time::Timestamp;

use super::probe::NOBODY;
use super::state::{Slot, State};
use super::window::Closed;

impl State {
    /// One bar of the feed for one slot: decides when a decision bar is complete. `close` is the bar's, for the signal.
    #[inline]
    pub(super) fn on_slot_bar(
        &mut self,
        strategy: usize,
        slot: usize,
        bar: &Bar,
        close: f64,
        missing: u32,
        effects: &mut Effects,
    ) {
        let Some(owner) = self.strategies.get_mut(strategy) else { return };
        let Some(held) = owner.slots.get_mut(slot) else { return };
        if missing > 0 || held.exit.is_some() || held.window.is_some() || held.bare.is_some() {
            return self.on_uncommon_bar(strategy, slot, bar, missing, effects);
        }
        let id = u32::try_from(strategy).unwrap_or(NOBODY);
        let evaluation = self.probe.watch(id, || held.signal.update(close));
        if !matches!(evaluation.signal, Ok(None)) || owner.config.desired_state == DesiredState::Stopped {
            let closed = Closed { bar: *bar, missing, skipped: missing };
            return self.conclude(strategy, slot, &closed, &evaluation, effects);
        }
        // Nearly every bar: an unbroken feed, and a signal that says nothing.
        let position = held.position.sellable();
        let Ok(id) = u16::try_from(strategy) else { return };
        effects.push(Effect::Report(Report::Decision(Decision {
            at: self.now,
            bar: bar.open_time,
            strategy: StrategyId(id),
            instrument: held.instrument,
            close: bar.close,
            position,
            signal: None,
            readings: evaluation.readings,
            outcome: Outcome::Nothing(Denial::NoSignal),
        })));
    }

    /// A bar after a gap, during an exit, without a stop that should rest, or shorter than the strategy's decision bars.
    fn on_uncommon_bar(
        &mut self,
        strategy: usize,
        slot: usize,
        bar: &Bar,
        missing: u32,
        effects: &mut Effects,
    ) {
        if self.slot(strategy, slot).is_some_and(|s| s.exit.is_some()) {
            self.retry_exit(strategy, slot, effects);
        }
        self.tend_protection(strategy, slot, effects);
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        match &mut held.window {
            None => self.decide(strategy, slot, &Closed { bar: *bar, missing, skipped: missing }, effects),
            Some(window) => {
                let (cut_off, complete) = window.push(bar);
                if let Some(closed) = cut_off {
                    // Its end was not seen in time: nothing is bought on it.
                    let closed = Closed { missing: closed.missing.max(1), ..closed };
                    self.decide(strategy, slot, &closed, effects);
                }
                if let Some(closed) = complete {
                    self.decide(strategy, slot, &closed, effects);
                }
            }
        }
    }

    /// As [`Self::on_slot_bar`], for bars from before the start: indicators only.
    pub(super) fn warm_slot(&mut self, strategy: usize, slot: usize, bar: &Bar, missing: u32) {
        let Some(held) = self.slot_mut(strategy, slot) else { return };
        match &mut held.window {
            None => {
                let closed = Closed { bar: *bar, missing, skipped: missing };
                self.feed_signal(strategy, slot, &closed);
            }
            Some(window) => {
                let (cut_off, complete) = window.push(bar);
                for closed in cut_off.into_iter().chain(complete) {
                    self.feed_signal(strategy, slot, &closed);
                }
            }
        }
    }

    fn feed_signal(&mut self, strategy: usize, slot: usize, closed: &Closed) -> Option<Evaluation> {
        let owner = self.strategies.get_mut(strategy)?;
        let held = owner.slots.get_mut(slot)?;
        let scale = self.instruments.get(held.instrument.index())?.rules.price_scale;
        if closed.skipped > tolerated_gap(owner.config.signal) {
            held.signal = SignalState::of(&owner.config);
        }
        let id = u32::try_from(strategy).unwrap_or(NOBODY);
        Some(self.probe.watch(id, || held.signal.update(closed.bar.close.to_f64(scale))))
    }

    fn decide(&mut self, strategy: usize, slot: usize, closed: &Closed, effects: &mut Effects) {
        if let Some(evaluation) = self.feed_signal(strategy, slot, closed) {
            self.conclude(strategy, slot, closed, &evaluation, effects);
        }
    }

    /// From what the signal says to the decision.
    fn conclude(
        &mut self,
        strategy: usize,
        slot: usize,
        closed: &Closed,
        evaluation: &Evaluation,
        effects: &mut Effects,
    ) {
        let Some(held) = self.slot(strategy, slot) else { return };
        let (bar, missing) = (&closed.bar, closed.missing);
        let (instrument, position) = (held.instrument, self.sellable(strategy, slot));
        let outcome = self.outcome(strategy, slot, bar, missing, position, evaluation, effects);
        // A stopped strategy's signal feeds its averages and is not looked at.
        let looked_at = outcome != Outcome::Nothing(Denial::Stopped);
        let Ok(id) = u16::try_from(strategy) else { return };
        effects.push(Effect::Report(Report::Decision(Decision {
            at: self.now,
            bar: bar.open_time,
            strategy: StrategyId(id),
            instrument,
            close: bar.close,
            position,
            signal: evaluation.signal.ok().flatten().filter(|_| looked_at),
            readings: evaluation.readings,
            outcome,
        })));
    }

    #[expect(clippy::too_many_arguments, reason = "the inputs of the one decision, each used once")]
    fn outcome(
        &mut self,
        strategy: usize,
        slot: usize,
        bar: &Bar,
        missing: u32,
        position: Quantity,
        evaluation: &Evaluation,
        effects: &mut Effects,
    ) -> Outcome {
        if self.strategies.get(strategy).is_some_and(|s| s.config.desired_state == DesiredState::Stopped) {
            return Outcome::Nothing(Denial::Stopped);
        }
        let gap = (missing > 0).then_some(Denial::DataGap { missing });
        match evaluation.signal {
            Err(denial) => Outcome::Nothing(gap.unwrap_or(denial)),
            Ok(None) => Outcome::Nothing(gap.unwrap_or(Denial::NoSignal)),
            Ok(Some(signal)) if signal.side == Side::Sell => {
                self.exit_outcome(strategy, slot, position, effects)
            }
            Ok(Some(signal)) => {
                let exiting = self.slot(strategy, slot).is_some_and(|s| s.exit.is_some());
                let entered = match (exiting, gap) {
                    (true, _) => Err(Denial::ExitUnderWay),
                    (false, _) if position.0 > 0 => Err(Denial::AlreadyHolding),
                    (false, Some(gap)) => Err(gap),
                    (false, None) => self.enter(strategy, slot, bar, signal, effects),
                };
                entered.unwrap_or_else(Outcome::Nothing)
            }
        }
    }

    /// Exits go on over gaps, halts and limits: they only reduce risk.
    fn exit_outcome(
        &mut self,
        strategy: usize,
        slot: usize,
        position: Quantity,
        effects: &mut Effects,
    ) -> Outcome {
        if self.slot(strategy, slot).is_some_and(|s| s.exit.is_some()) {
            return Outcome::Nothing(Denial::ExitUnderWay);
        }
        let entering = self.orders.of_slot(strategy, slot).any(|o| o.intent.purpose.is_entry());
        if position.0 <= 0 && !entering {
            return Outcome::Nothing(Denial::NothingToSell);
        }
        self.begin_exit(strategy, slot, Purpose::SignalExit, effects);
        Outcome::Exit { quantity: position }
    }

    /// From a buy signal to an intent, or the first reason against it.
    fn enter(
        &mut self,
        strategy: usize,
        slot: usize,
        bar: &Bar,
        signal: Signal,
        effects: &mut Effects,
    ) -> Result<Outcome, Denial> {
        self.gate(strategy, slot)?;
        let owner = self.strategies.get(strategy).ok_or(Denial::Removed)?;
        risk::confidence(signal.confidence, &owner.config.limits)?;
        let held = owner.slots.get(slot).ok_or(Denial::Removed)?;
        let rules = &self.instruments.get(held.instrument.index()).ok_or(Denial::Removed)?.rules;
        let quantity = sizing::size(&owner.config.sizing, rules, owner.equity(), bar.close)?;
        let draft = Draft {
            side: Side::Buy,
            kind: OrderKind::Market,
            quantity,
            purpose: Purpose::Entry,
            price: bar.close,
        };
        let context = self.context(strategy, slot, signal.confidence)?;
        let approved = risk::approve_entry(&context, draft)?;
        let intent = self.intend(strategy, slot, approved, bar.open_time, effects).ok_or(Denial::Overflow)?;
        Ok(Outcome::Enter { intent, quantity })
    }

    /// Whether anybody forbids entries: lifecycle first, then halts. Asked again right before an entry is sent.
    pub(super) fn gate(&self, strategy: usize, slot: usize) -> Result<(), Denial> {
        let owner = self.strategies.get(strategy).ok_or(Denial::Removed)?;
        let held = owner.slots.get(slot).ok_or(Denial::Removed)?;
        if !owner.present {
            return Err(Denial::Removed);
        }
        match owner.config.desired_state {
            DesiredState::Trading => {}
            DesiredState::ExitOnly => return Err(Denial::ExitOnly),
            DesiredState::Stopped => return Err(Denial::Stopped),
            DesiredState::Quarantined => return Err(Denial::Quarantined),
            DesiredState::ReferenceMissing => return Err(Denial::ReferenceMissing),
        }
        if held.state == InstrumentState::ExitOnly {
            return Err(Denial::InstrumentExitOnly);
        }
        if self.halts.is_empty() {
            return self.blocked();
        }
        let symbol =
            self.instruments.get(held.instrument.index()).map(|i| &i.rules.symbol).ok_or(Denial::Removed)?;
        match effective_halt(&self.halts, owner.config.uid, symbol) {
            Some(halt) => Err(Denial::Halted { action: halt.action }),
            None => self.blocked(),
        }
    }

    /// What forbids entries and is no halt: it ends with its cause.
    fn blocked(&self) -> Result<(), Denial> {
        match self.block {
            Some(block) => Err(block.into()),
            None if self.balances_differ() => Err(Denial::BalancesDiffer),
            None => Ok(()),
        }
    }

    fn context(&self, strategy: usize, slot: usize, confidence: Percent) -> Result<Context<'_>, Denial> {
        let owner = self.strategies.get(strategy).ok_or(Denial::Removed)?;
        let held = owner.slots.get(slot).ok_or(Denial::Removed)?;
        let instrument = self.instruments.get(held.instrument.index()).ok_or(Denial::Removed)?;
        let own = self.claims(|o| o.strategy == strategy)?;
        let all = self.claims(|_| true)?;
        let add = |one: Cash, two: Cash| one.checked_add(two).map_err(|_| Denial::Overflow);
        let less = |one: Cash, two: Cash| one.checked_sub(two).map_err(|_| Denial::Overflow);
        let open_positions = owner.slots.iter().enumerate().filter(|(index, other)| {
            let entering = || self.orders.of_slot(strategy, *index).any(|o| o.intent.purpose.is_entry());
            let holds = other.position.base > Cash::ZERO && self.sellable(strategy, *index) > Quantity::ZERO;
            *index != slot && (holds || entering())
        });
        Ok(Context {
            limits: &owner.config.limits,
            account_limits: &self.account.limits,
            rules: &instrument.rules,
            confidence,
            in_flight: self.orders.of_slot(strategy, slot).next().map(|order| order.intent.id),
            since_last_fill: held.last_fill.map(|at| self.now.since(at)),
            entries_today: entries_today(held, self.now),
            open_positions: u32::try_from(open_positions.count()).unwrap_or(u32::MAX),
            equity: owner.equity(),
            // Dust would keep an entry of the largest size allowed out for ever.
            position_value: if self.is_dust(strategy, slot) { Cash::ZERO } else { held.value },
            exposure: add(owner.value, own.exposure)?,
            free_cash: less(owner.cash, own.cost)?,
            account_equity: self.account_equity(),
            account_exposure: add(self.account_value, all.exposure)?,
            account_free_cash: less(self.account_cash, all.cost)?,
            fee: self.dearest_fee(),
            slippage: self.slippage(),
        })
    }

    /// What open entries would take: orders in flight and of unknown outcome count as filled.
    fn claims(&self, mine: impl Fn(&super::state::Order) -> bool) -> Result<Claims, Denial> {
        let mut claims = Claims::default();
        for order in self.orders.open.iter().filter(|o| o.intent.purpose.is_entry() && mine(o)) {
            let held = self.slot(order.strategy, order.slot).ok_or(Denial::Overflow)?;
            let instrument = self.instruments.get(held.instrument.index()).ok_or(Denial::Overflow)?;
            let price = order.intent.reference_price.max(instrument.mark);
            let worth = instrument.rules.notional(price, order.remaining()).map_err(|_| Denial::Overflow)?;
            let (fee, slippage) = (self.dearest_fee(), self.slippage());
            let cost = risk::cost_bound(&instrument.rules, price, order.remaining(), fee, slippage)
                .map_err(|_| Denial::Overflow)?;
            claims.exposure = claims.exposure.checked_add(worth).map_err(|_| Denial::Overflow)?;
            claims.cost = claims.cost.checked_add(cost).map_err(|_| Denial::Overflow)?;
        }
        Ok(claims)
    }
}

#[derive(Default)]
struct Claims {
    exposure: Cash,
    cost: Cash,
}

fn entries_today(slot: &Slot, now: Timestamp) -> u32 {
    let (day, count) = slot.entries;
    if day == now.day() { count } else { 0 }
}
