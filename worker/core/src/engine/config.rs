//! Taking over a configuration: strategies come, change and go while the engine runs.

use crate::config::{Config, DeletionPolicy, DesiredState, InstrumentState, ResolvedStrategy};
use crate::event::{Effect, Effects, Report, Transfer};
use crate::instrument::{InstrumentId, InstrumentRules};
use crate::money::Cash;
use crate::order::Purpose;
use crate::portfolio::{Mark, Position};
use crate::signal::SignalState;
use crate::time::Millis;

use super::state::{Slot, State, Strategy};
use super::window::Window;

/// An instrument of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstrumentSpec {
    /// The venue's rules.
    pub rules: InstrumentRules,
    /// Length of the feed's bars.
    pub interval: Millis,
}

impl State {
    pub(super) fn on_config_change(&mut self, config: &Config, effects: &mut Effects) {
        self.account = config.account.clone();
        self.account_mark.ask_breakers_again();
        // A configuration from before a succession names the predecessor: it says nothing of the successor.
        let wanted: Vec<_> = config.strategies.iter().map(|wanted| self.heir_of(wanted.uid)).collect();
        for strategy in &mut self.strategies {
            strategy.present = wanted.contains(&strategy.config.uid);
        }
        self.heirs.clear();
        for wanted in &config.strategies {
            if self.must_wait(wanted) {
                self.heirs.push(wanted.clone());
            } else if !self.is_succeeded(wanted.uid) {
                self.take_over(wanted, effects);
            }
        }
        for index in 0..self.strategies.len() {
            self.apply_lifecycle(index, effects);
            self.apply_deletion(index, effects);
        }
        for (strategy, slot) in self.all_slots() {
            self.apply_halts_to(strategy, slot, effects);
            self.watch_protection(strategy, slot, effects);
        }
        self.rebase_resumed(effects);
    }

    /// Adds or updates a strategy without moving money; for recovery, where the rows tell of the money.
    pub(super) fn adopt(&mut self, wanted: &ResolvedStrategy) {
        self.upsert(wanted, &mut Vec::new());
    }

    /// A strategy that still holds something but is configured no more: its stops guard it, it makes no entries, and its
    /// deletion policy is applied when the configuration is taken over.
    pub(super) fn adopt_gone(&mut self, gone: &ResolvedStrategy) {
        if self.strategy_of(gone.uid).is_some() {
            return;
        }
        if let Some(index) = self.upsert(gone, &mut Vec::new())
            && let Some(strategy) = self.strategies.get_mut(index)
        {
            strategy.present = false;
        }
    }

    /// Has it run as configured; a difference in capital is moved.
    pub(super) fn take_over(&mut self, wanted: &ResolvedStrategy, effects: &mut Effects) {
        let Some(index) = self.upsert(wanted, effects) else { return };
        let Some(strategy) = self.strategies.get(index) else { return };
        let Ok(difference) = wanted.capital.checked_sub(strategy.allocated) else { return };
        if difference != Cash::ZERO {
            let asset = self.account.quote_currency.clone();
            let transfer = Transfer { asset, amount: difference, strategy: Some(wanted.uid), at: self.now };
            self.on_transfer(&transfer, effects);
        }
    }

    fn upsert(&mut self, wanted: &ResolvedStrategy, effects: &mut Effects) -> Option<usize> {
        let index = if let Some(index) = self.strategy_of(wanted.uid) {
            let strategy = self.strategies.get_mut(index)?;
            let quarantine = |config: &ResolvedStrategy| config.desired_state == DesiredState::Quarantined;
            let fresh_signal = strategy.config.signal != wanted.signal
                || strategy.config.bar != wanted.bar
                || quarantine(&strategy.config) != quarantine(wanted);
            strategy.config = wanted.clone();
            strategy.mark.ask_breakers_again();
            strategy.present = true;
            strategy.deletion_applied = false;
            if fresh_signal {
                for slot in &mut strategy.slots {
                    slot.signal = SignalState::of(wanted);
                }
            }
            index
        } else {
            self.strategies.push(Strategy {
                config: wanted.clone(),
                present: true,
                deletion_applied: false,
                slots: Vec::new(),
                cash: Cash::ZERO,
                allocated: Cash::ZERO,
                value: Cash::ZERO,
                mark: Mark::default(),
                unprotected: Millis(0),
            });
            self.strategies.len() - 1
        };
        self.update_slots(index, wanted, effects);
        Some(index)
    }

    fn update_slots(&mut self, index: usize, wanted: &ResolvedStrategy, effects: &mut Effects) {
        if let Some(strategy) = self.strategies.get_mut(index) {
            for slot in &mut strategy.slots {
                // What is no longer listed may be left, not entered.
                slot.state = InstrumentState::ExitOnly;
            }
        }
        for listed in &wanted.instruments {
            let Some(id) = self.instrument_of(&listed.symbol) else {
                let message = format!("{}: the feed has no instrument {}", wanted.name, listed.symbol);
                effects.push(Effect::Report(Report::MoneyFault { message }));
                continue;
            };
            self.list_slot(index, id, listed.state, wanted);
        }
    }

    fn list_slot(
        &mut self,
        index: usize,
        id: InstrumentId,
        state: InstrumentState,
        wanted: &ResolvedStrategy,
    ) {
        let Some(base) = self.instruments.get(id.index()).map(|i| i.interval) else { return };
        let Some(strategy) = self.strategies.get_mut(index) else { return };
        if let Some(slot) = strategy.slots.iter_mut().find(|s| s.instrument == id) {
            slot.state = state;
            let window = Window::new(wanted.bar, base);
            if window.map(|window| window.length()) != slot.window.map(|window| window.length()) {
                slot.window = window;
            }
            return;
        }
        strategy.slots.push(Slot {
            instrument: id,
            state,
            signal: SignalState::of(wanted),
            window: Window::new(wanted.bar, base),
            position: Position::default(),
            value: Cash::ZERO,
            fees: Cash::ZERO,
            last_fill: None,
            entries: (0, 0),
            last_entry: None,
            exit: None,
            guards: Vec::new(),
            bare: None,
            dust: false,
        });
        let slot = strategy.slots.len() - 1;
        if let Some(instrument) = self.instruments.get_mut(id.index()) {
            instrument.watchers.push((index, slot));
        }
    }

    /// A slot for what is held but no longer listed: exits only.
    pub(super) fn list_unlisted(&mut self, index: usize, id: InstrumentId) {
        if let Some(config) = self.strategies.get(index).map(|s| s.config.clone()) {
            self.list_slot(index, id, InstrumentState::ExitOnly, &config);
        }
    }

    /// What the deletion policy of a strategy that is gone demands. It makes no entries whatever the policy.
    fn apply_deletion(&mut self, index: usize, effects: &mut Effects) {
        let Some(strategy) = self.strategies.get_mut(index) else { return };
        if strategy.present || std::mem::replace(&mut strategy.deletion_applied, true) {
            return;
        }
        let (policy, slots) = (strategy.config.deletion_policy, strategy.slots.len());
        for slot in 0..slots {
            match policy {
                DeletionPolicy::Retain => {}
                DeletionPolicy::CancelEntries => self.cancel_entries(index, slot, effects),
                DeletionPolicy::Liquidate => {
                    self.cancel_entries(index, slot, effects);
                    self.begin_exit(index, slot, Purpose::Liquidation, effects);
                }
            }
        }
    }

    /// Entries of a strategy that may no longer enter are cancelled.
    pub(super) fn apply_lifecycle(&mut self, index: usize, effects: &mut Effects) {
        let Some(strategy) = self.strategies.get(index).filter(|s| s.present) else { return };
        let may_stay = |state| matches!(state, DesiredState::Trading | DesiredState::ReferenceMissing);
        let may_enter = may_stay(strategy.config.desired_state);
        let slots = strategy.slots.len();
        for slot in 0..slots {
            let active = self.slot(index, slot).is_some_and(|s| s.state == InstrumentState::Active);
            if !may_enter || !active {
                self.cancel_entries(index, slot, effects);
            }
        }
    }

    pub(super) fn all_slots(&self) -> Vec<(usize, usize)> {
        let slots =
            |(index, strategy): (usize, &Strategy)| (0..strategy.slots.len()).map(move |slot| (index, slot));
        self.strategies.iter().enumerate().flat_map(slots).collect()
    }
}
