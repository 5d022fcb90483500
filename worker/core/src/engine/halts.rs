//! Halts: set, applied to what is open, and resumed; breakers make theirs here.

use smol_str::SmolStr;

use crate::denial::Denial;
use crate::event::{Effect, Effects, HaltChange, Record};
use crate::halt::{Halt, HaltAction, HaltOrigin, HaltScope, effective_halt};
use crate::money::{Cash, Quantity};
use crate::name::{Symbol, Uid};
use crate::order::Purpose;

use super::state::State;

impl State {
    pub(super) fn on_halt_change(&mut self, change: &HaltChange, effects: &mut Effects) {
        match change {
            HaltChange::Set(halt) => self.set_halt(halt, effects),
            HaltChange::Cleared { name, .. } => self.clear_halt(name, change, effects),
        }
    }

    /// Halts in force, in the order they were made.
    pub fn halts(&self) -> &[Halt] {
        &self.halts
    }

    /// A denial as one sentence. One by a halt names the first halt that demands what it says, and counts the others that
    /// do: a denial itself holds no name, lest each decision carry one.
    pub fn denial_text(&self, strategy: Uid, symbol: &Symbol, denial: &Denial) -> String {
        let Denial::Halted { action } = denial else { return denial.to_string() };
        let mut demanding =
            self.halts.iter().filter(|halt| halt.action == *action && halt.reaches(strategy, symbol));
        let Some(Halt { name, .. }) = demanding.next() else { return denial.to_string() };
        match demanding.count() {
            0 => format!("halted by {name} ({action})"),
            others => format!("halted by {name} and {others} more ({action})"),
        }
    }

    /// As [`Self::denial_text`], for a slot.
    pub(super) fn slot_denial_text(&self, strategy: usize, slot: usize, denial: &Denial) -> String {
        let named = || {
            let owner = self.strategies.get(strategy)?;
            let rules = self.rules(owner.slots.get(slot)?.instrument)?;
            Some(self.denial_text(owner.config.uid, &rules.symbol, denial))
        };
        named().unwrap_or_else(|| denial.to_string())
    }

    fn set_halt(&mut self, halt: &Halt, effects: &mut Effects) {
        // The same halt told again is no news; a changed one replaces the old.
        if self.halts.contains(halt) {
            return;
        }
        self.halts.retain(|known| known.name != halt.name);
        self.halts.push(halt.clone());
        effects.push(Effect::Persist(Box::new(Record::Halt(HaltChange::Set(halt.clone())))));
        for (strategy, slot) in self.all_slots() {
            self.apply_halts_to(strategy, slot, effects);
        }
    }

    /// What the halts in force demand of open orders and positions.
    pub(super) fn apply_halts_to(&mut self, strategy: usize, slot: usize, effects: &mut Effects) {
        let Some(owner) = self.strategies.get(strategy) else { return };
        let Some(held) = owner.slots.get(slot) else { return };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return };
        let halt = effective_halt(&self.halts, owner.config.uid, &instrument.rules.symbol);
        match halt.map(|h| h.action) {
            None | Some(HaltAction::StopEntries) => {}
            Some(HaltAction::CancelEntries) => self.cancel_entries(strategy, slot, effects),
            Some(HaltAction::Liquidate) => {
                self.cancel_entries(strategy, slot, effects);
                let open = self.orders.of_slot(strategy, slot).next().is_some();
                if open || self.sellable(strategy, slot) > Quantity::ZERO {
                    self.begin_exit(strategy, slot, Purpose::Liquidation, effects);
                }
            }
        }
    }

    fn clear_halt(&mut self, name: &SmolStr, change: &HaltChange, effects: &mut Effects) {
        let Some(index) = self.halts.iter().position(|h| h.name == *name) else { return };
        let halt = self.halts.remove(index);
        effects.push(Effect::Persist(Box::new(Record::Halt(change.clone()))));
        if let HaltOrigin::Breaker { breaker } = &halt.origin {
            self.rebase(&halt.scope, breaker, effects);
        }
        if halt.action == HaltAction::Liquidate {
            self.end_liquidations(effects);
        }
        if halt.origin == HaltOrigin::BalancesDiffer {
            self.accept_balances(effects);
        }
    }

    /// After a breaker's resume drawdown is measured from the equity of now; otherwise it would trip again at once.
    fn rebase(&mut self, scope: &HaltScope, breaker: &str, effects: &mut Effects) {
        match scope {
            HaltScope::Account => {
                let reference = self.account_equity();
                self.account_mark.rebase(breaker, reference);
                self.persist_rebase(None, reference, effects);
            }
            HaltScope::Strategies(uids) => {
                for uid in uids {
                    let Some(index) = self.strategy_of(*uid) else { continue };
                    let Some(strategy) = self.strategies.get_mut(index) else { continue };
                    let reference = strategy.equity();
                    strategy.mark.rebase(breaker, reference);
                    self.persist_rebase(Some(*uid), reference, effects);
                }
            }
        }
    }

    /// Breakers whose halt was resumed while the engine did not run: drawdown starts again from the equity of now.
    pub(super) fn rebase_resumed(&mut self, effects: &mut Effects) {
        let in_force = |prefix: &str, owner: &str, breaker: &SmolStr| {
            let name = smol_str::format_smolstr!("{prefix}.{owner}.{breaker}");
            self.halts.iter().any(|halt| halt.name == name)
        };
        let mut resumed = Vec::new();
        for strategy in &self.strategies {
            let gone =
                strategy.mark.tripped.iter().filter(|b| !in_force("strategy", &strategy.config.name, b));
            resumed.extend(gone.map(|b| (HaltScope::Strategies(vec![strategy.config.uid]), b.clone())));
        }
        let gone = self.account_mark.tripped.iter().filter(|b| !in_force("account", &self.account.name, b));
        resumed.extend(gone.map(|b| (HaltScope::Account, b.clone())));
        for (scope, breaker) in resumed {
            self.rebase(&scope, &breaker, effects);
        }
    }

    fn persist_rebase(&self, strategy: Option<Uid>, reference: Cash, effects: &mut Effects) {
        effects.push(Effect::Persist(Box::new(Record::Rebase { strategy, reference, at: self.now })));
    }

    /// A breaker has tripped: it becomes a halt that only a person resumes.
    pub(super) fn trip(&mut self, strategy: Option<usize>, breaker: &SmolStr, effects: &mut Effects) {
        let owner = strategy.and_then(|index| self.strategies.get(index));
        let (prefix, name, scope, breakers, mark, equity) = if let Some(s) = owner {
            let scope = HaltScope::Strategies(vec![s.config.uid]);
            ("strategy", &s.config.name, scope, &s.config.breakers, &s.mark, s.equity())
        } else {
            let (account, equity) = (&self.account, self.account_equity());
            ("account", &account.name, HaltScope::Account, &account.breakers, &self.account_mark, equity)
        };
        let Some(rule) = breakers.iter().find(|b| b.name == *breaker) else { return };
        let reason = format!(
            "drawdown {} has reached {}: equity {} from a reference of {}",
            mark.drawdown(equity),
            rule.drawdown,
            equity.to_text(2),
            mark.reference.to_text(2),
        );
        let halt = Halt {
            name: smol_str::format_smolstr!("{prefix}.{name}.{breaker}"),
            scope,
            instruments: Vec::new(),
            action: rule.action,
            origin: HaltOrigin::Breaker { breaker: breaker.clone() },
            reason,
            requested_by: "breaker".to_owned(),
            since: self.now,
        };
        self.set_halt(&halt, effects);
    }
}
