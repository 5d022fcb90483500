//! Bars, marks and time: what prices do to equity, stops and breakers.

use smol_str::SmolStr;

use crate::decision::StrategyId;
use crate::event::{Effect, Effects, EquityPoint, Report};
use crate::instrument::{Bar, InstrumentId};
use crate::limits::{Breaker, BreakerScope};
use crate::money::{Cash, Price};
use crate::order::Purpose;
use crate::portfolio::Mark;
use crate::time::{DAY_MS, Timestamp};

use super::fault;
use super::state::{Instrument, State};

impl State {
    pub(super) fn on_bar(&mut self, id: InstrumentId, bar: &Bar, effects: &mut Effects) {
        let Some(instrument) = self.instruments.get_mut(id.index()) else { return };
        let Some(missing) = instrument.advance(bar) else { return };
        let (held, watchers) = (instrument.held, instrument.watchers.len());
        // A division takes long: begun here, it has ended when a signal asks for it.
        let close = bar.close.to_f64(instrument.rules.price_scale);
        let mut watcher = instrument.watchers.first().copied();
        if !held {
            (instrument.mark, instrument.marked_at) = (bar.close, self.now);
        }
        if !self.day.is_some_and(|day| is_on(day, bar.open_time)) {
            self.close_day(bar.open_time, effects);
        }
        if held && !self.revalue_calmly(id, bar) {
            // A bar's low is one mark: it moves equity, guards and breakers before the close does.
            self.apply_mark(id, bar.low, effects);
            self.apply_mark(id, bar.close, effects);
        }
        let mut index = 0;
        while let Some((strategy, slot)) = watcher {
            self.on_slot_bar(strategy, slot, bar, close, missing, effects);
            index += 1;
            watcher = if index < watchers { self.watcher(id, index) } else { None };
        }
    }

    #[inline]
    fn watcher(&self, id: InstrumentId, index: usize) -> Option<(usize, usize)> {
        self.instruments.get(id.index())?.watchers.get(index).copied()
    }

    pub(super) fn on_warm_up(&mut self, id: InstrumentId, bar: &Bar) {
        let Some(instrument) = self.instruments.get_mut(id.index()) else { return };
        let missing = missing_bars(instrument.last_bar, bar, instrument.interval.0);
        instrument.last_bar = Some(bar.open_time);
        let watchers = instrument.watchers.clone();
        for (strategy, slot) in watchers {
            self.warm_slot(strategy, slot, bar, missing);
        }
    }

    pub(super) fn on_mark(&mut self, id: InstrumentId, price: Price, effects: &mut Effects) {
        if price.0 > 0 {
            self.apply_mark(id, price, effects);
        }
    }

    /// Time alone can confirm a breaker, bring back an exit or a stop that was rejected or denied, repeat a cancel, and end its
    /// patience with a position that has no stop.
    pub(super) fn on_timer(&mut self, effects: &mut Effects) {
        for strategy in 0..self.strategies.len() {
            self.observe_strategy(strategy, effects);
        }
        self.observe_account(effects);
        for (strategy, slot) in self.all_slots() {
            let now = self.now;
            if self.slot(strategy, slot).and_then(|held| held.exit).is_some_and(|exit| exit.may_go_on(now)) {
                self.retry_exit(strategy, slot, effects);
            }
            self.tend_protection(strategy, slot, effects);
        }
        self.repeat_cancels(effects);
    }

    /// Nearly every bar: takes low and close as marks if nothing comes of either, and is true. Else does nothing.
    fn revalue_calmly(&mut self, id: InstrumentId, bar: &Bar) -> bool {
        let account = self.account_equity();
        let Some(instrument) = self.instruments.get_mut(id.index()) else { return false };
        let &[(strategy, slot)] = instrument.watchers.as_slice() else { return false };
        let Some(owner) = self.strategies.get_mut(strategy) else { return false };
        let equity = owner.equity();
        let Some(held) = owner.slots.get_mut(slot) else { return false };
        if held.position.base.0 <= 0 || held.lacks_guard(bar.low) {
            return false;
        }
        let value = |price| held.position.usual_value(price);
        let (Some(low), Some(close)) = (value(bar.low), value(bar.close)) else { return false };
        let (fall, change) = (low.saturating_sub(held.value), close.saturating_sub(held.value));
        let stays_calm =
            |mark: &Mark, now: Cash| mark.is_calm(now.saturating_add(fall), now.saturating_add(change));
        if !stays_calm(&owner.mark, equity) || !stays_calm(&self.account_mark, account) {
            return false;
        }
        (instrument.mark, instrument.marked_at) = (bar.close, self.now);
        held.value = close;
        owner.value = owner.value.saturating_add(change);
        self.account_value = self.account_value.saturating_add(change);
        true
    }

    /// Values every position in the instrument at the new price, then looks at breakers and guards.
    #[inline]
    pub(super) fn apply_mark(&mut self, id: InstrumentId, price: Price, effects: &mut Effects) {
        let Some(instrument) = self.instruments.get_mut(id.index()) else { return };
        (instrument.mark, instrument.marked_at) = (price, self.now);
        if instrument.held {
            self.revalue_held(id, price, effects);
        }
    }

    fn revalue_held(&mut self, id: InstrumentId, price: Price, effects: &mut Effects) {
        let Some(instrument) = self.instruments.get(id.index()) else { return };
        let (mut calm, mut unguarded) = (true, false);
        for &(strategy, slot) in &instrument.watchers {
            let Some(owner) = self.strategies.get_mut(strategy) else { continue };
            let Some(held) = owner.slots.get_mut(slot).filter(|s| s.position.base != Cash::ZERO) else {
                continue;
            };
            match held.position.value(&instrument.rules, price) {
                Ok(value) => {
                    let change = value.saturating_sub(held.value);
                    held.value = value;
                    owner.value = owner.value.saturating_add(change);
                    self.account_value = self.account_value.saturating_add(change);
                }
                Err(error) => fault(effects, "valuing a position", &error),
            }
            unguarded |= held.lacks_guard(price);
            let equity = owner.equity();
            calm &= owner.mark.is_calm(equity, equity);
        }
        if !calm {
            self.observe_holders(id, effects);
        }
        if unguarded {
            self.sell_unguarded(id, price, effects);
        }
        self.observe_account(effects);
    }

    fn observe_holders(&mut self, id: InstrumentId, effects: &mut Effects) {
        let mut index = 0;
        while let Some((strategy, slot)) = self.watcher(id, index) {
            if self.slot(strategy, slot).is_some_and(|held| held.position.base != Cash::ZERO) {
                self.observe_strategy(strategy, effects);
            }
            index += 1;
        }
    }

    /// Brings the cached worth of one position up to its mark.
    pub(super) fn revalue(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(owner) = self.strategies.get_mut(strategy) else { return };
        let Some(held) = owner.slots.get_mut(slot) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        match held.position.value(&instrument.rules, instrument.mark) {
            Ok(value) => {
                let change = value.saturating_sub(held.value);
                held.value = value;
                owner.value = owner.value.saturating_add(change);
                self.account_value = self.account_value.saturating_add(change);
            }
            Err(error) => fault(effects, "valuing a position", &error),
        }
    }

    pub(super) fn observe_strategy(&mut self, index: usize, effects: &mut Effects) {
        let Some(strategy) = self.strategies.get_mut(index) else { return };
        let equity = strategy.equity();
        let mut tripped: Vec<SmolStr> = Vec::new();
        strategy.mark.observe(equity, self.now, own_breakers(&strategy.config.breakers), &mut tripped);
        for name in tripped {
            self.trip(Some(index), &name, effects);
        }
    }

    pub(super) fn observe_account(&mut self, effects: &mut Effects) {
        let equity = self.account_equity();
        let mut tripped: Vec<SmolStr> = Vec::new();
        let breakers = self.account.breakers.iter().filter(|b| b.scope == BreakerScope::Account);
        self.account_mark.observe(equity, self.now, breakers, &mut tripped);
        for name in tripped {
            self.trip(None, &name, effects);
        }
    }

    /// Sells what lies at or below its stop while no stop order of ours can do it.
    fn sell_unguarded(&mut self, id: InstrumentId, price: Price, effects: &mut Effects) {
        let Some(instrument) = self.instruments.get(id.index()) else { return };
        for (strategy, slot) in instrument.watchers.clone() {
            if self.slot(strategy, slot).is_some_and(|held| held.lacks_guard(price)) {
                self.begin_exit(strategy, slot, Purpose::StopGuard, effects);
            }
        }
    }

    /// At the first bar of a new UTC day, tells how the day before ended.
    fn close_day(&mut self, at: Timestamp, effects: &mut Effects) {
        let day = at.day();
        if self.day.is_some_and(|last| last < day) {
            self.report_equity(Timestamp(day.saturating_mul(DAY_MS)), effects);
        }
        self.day = self.day.max(Some(day));
    }

    /// Reports equity of the account and of each strategy as it stands, dated `at`.
    pub fn report_equity(&self, at: Timestamp, effects: &mut Effects) {
        let account = EquityPoint {
            strategy: None,
            at,
            equity: self.account_equity(),
            cash: self.account_cash,
            reference: self.account_mark.reference,
            exposure: self.account_value,
        };
        effects.push(Effect::Report(Report::Equity(account)));
        for (index, strategy) in self.strategies.iter().enumerate() {
            let Ok(id) = u16::try_from(index) else { continue };
            let point = EquityPoint {
                strategy: Some(StrategyId(id)),
                at,
                equity: strategy.equity(),
                cash: strategy.cash,
                reference: strategy.mark.reference,
                exposure: strategy.value,
            };
            effects.push(Effect::Report(Report::Equity(point)));
        }
    }
}

impl Instrument {
    /// Bars missing before this one; nothing for a bar already taken in.
    #[inline]
    fn advance(&mut self, bar: &Bar) -> Option<u32> {
        if self.last_bar.is_some_and(|last| bar.open_time <= last) {
            return None;
        }
        let missing = missing_bars(self.last_bar, bar, self.interval.0);
        self.last_bar = Some(bar.open_time);
        Some(missing)
    }
}

/// Whether that is a time of the day; spares the division that tells which day it is.
#[inline]
fn is_on(day: i64, at: Timestamp) -> bool {
    (0..DAY_MS).contains(&at.0.saturating_sub(day.saturating_mul(DAY_MS)))
}

fn own_breakers(breakers: &[Breaker]) -> impl Iterator<Item = &Breaker> {
    breakers.iter().filter(|b| b.scope == BreakerScope::Strategy)
}

fn missing_bars(last: Option<Timestamp>, bar: &Bar, interval: i64) -> u32 {
    let Some(last) = last else { return 0 };
    let since = bar.open_time.since(last).0;
    if since == interval {
        return 0;
    }
    let steps = since / interval.max(1);
    u32::try_from(steps.saturating_sub(1).max(0)).unwrap_or(u32::MAX)
}
