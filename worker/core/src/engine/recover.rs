//! Recovery: the state as it was at the last commit, folded from the ledger's rows by the code that made it.

use smallvec::SmallVec;

use crate::config::{Config, ResolvedStrategy};
use crate::money::{MoneyError, Quantity};
use crate::name::Symbol;
use crate::order::{Intent, IntentId, TradeId};
use crate::portfolio::Mark;
use crate::protocol::{Life, VenueTerms};
use crate::recovery::{
    BookedFill, Checkpoint, FillCursor, Guard, History, InstrumentMark, LedgerIdentity, OpenOrder, Watermark,
};
use crate::time::{Millis, Timestamp};

use super::config::InstrumentSpec;
use super::protection::{GuardPart, Shield};
use super::state::{Exit, Order, State, Strategy};
use super::succession::is_predecessor;

/// Why a ledger cannot be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// A sum of its rows does not fit.
    #[error("the ledger's rows cannot be summed up ({source}); restore it from a backup")]
    Money {
        /// What did not fit.
        #[from]
        source: MoneyError,
    },
    /// Rows for something the configuration no longer names.
    #[error(
        "the ledger holds {what} of {symbol}, which the market data no longer offers; put it back or start with a new data directory"
    )]
    UnknownInstrument {
        /// A position or an order.
        what: &'static str,
        /// Of which instrument.
        symbol: Symbol,
    },
    /// Debits and credits differ.
    #[error("the ledger's books do not balance; restore it from a backup")]
    Unbalanced,
}

impl State {
    /// The engine as of the ledger's last commit. Indicators are filled by `WarmUp` events next, then a `ConfigChange`
    /// takes over what was edited meanwhile.
    ///
    /// Open orders come back as they were last seen; the driver settles them with the venue before anything else.
    pub fn recover(
        config: &Config,
        instruments: Vec<InstrumentSpec>,
        identity: LedgerIdentity,
        history: &History,
    ) -> Result<Self, RecoverError> {
        Self::recover_at(config, instruments, identity, history, VenueTerms::default())
    }

    /// As [`Self::recover`], at a venue whose answers lag and whose requests are signed.
    pub fn recover_at(
        config: &Config,
        instruments: Vec<InstrumentSpec>,
        identity: LedgerIdentity,
        history: &History,
        terms: VenueTerms,
    ) -> Result<Self, RecoverError> {
        let mut state = Self::new(config.account.clone(), instruments, identity);
        state.terms = terms;
        let noted = history.checkpoint.as_ref().map_or(1, |checkpoint| checkpoint.next_intent);
        state.next_intent = history.next_intent.max(1);
        state.left_out.clone_from(&history.left_out);
        state.leave_out_to(noted);
        state.successions.clone_from(&history.successions);
        for wanted in &config.strategies {
            if !state.is_succeeded(wanted.uid) && !waits(wanted, config, history) {
                state.adopt(wanted);
            }
        }
        for gone in history.checkpoint.iter().flat_map(|c| &c.holding) {
            state.adopt_gone(gone);
        }
        for transfer in &history.transfers {
            state.book_transfer(transfer)?;
        }
        for booked in &history.fills {
            state.recover_fill(booked)?;
        }
        for open in &history.open_orders {
            state.recover_order(open, &history.fills)?;
        }
        state.halts.clone_from(&history.halts);
        state.extend_halts_to_heirs();
        if let Some(checkpoint) = &history.checkpoint {
            state.restore(checkpoint);
        }
        if state.is_balanced() { Ok(state) } else { Err(RecoverError::Unbalanced) }
    }

    fn recover_fill(&mut self, booked: &BookedFill) -> Result<(), RecoverError> {
        let symbol = &booked.fill.symbol;
        let Some(strategy) = self.strategy_of(booked.strategy) else {
            let unknown = || RecoverError::UnknownInstrument { what: "fills", symbol: symbol.clone() };
            self.instrument_of(symbol).ok_or_else(unknown)?;
            return Ok(self.book_fill_of_nobody(&booked.fill)?);
        };
        let slot = self.slot_of(strategy, symbol, "a position")?;
        self.book_fill(strategy, slot, booked.intent, booked.purpose, &booked.fill)?;
        Ok(())
    }

    fn recover_order(&mut self, open: &OpenOrder, fills: &[BookedFill]) -> Result<(), RecoverError> {
        let Some(strategy) = self.strategy_of(open.intent.strategy) else { return Ok(()) };
        let slot = self.slot_of(strategy, &open.intent.symbol, "an order")?;
        let own = || fills.iter().rev().filter(|b| b.intent == open.intent.id);
        let filled: i64 = own().map(|b| b.fill.quantity.0).sum();
        let trades: SmallVec<[TradeId; 1]> = own().map(|b| b.fill.trade_id.clone()).collect();
        let signature = open.signature.unwrap_or_else(|| self.terms.sign(open.intent.decided_at));
        self.orders.open.push(Order {
            intent: Intent { strategy: self.heir_of(open.intent.strategy), ..open.intent.clone() },
            strategy,
            slot,
            life: Life::recovered(open.state, open.attempt, signature, &self.terms),
            signed_at: signature.signed_at,
            retry_at: Timestamp(i64::MIN),
            filled: Quantity(filled),
            trades,
            cancelling: false,
        });
        Ok(())
    }

    fn slot_of(
        &mut self,
        strategy: usize,
        symbol: &Symbol,
        what: &'static str,
    ) -> Result<usize, RecoverError> {
        let unknown = || RecoverError::UnknownInstrument { what, symbol: symbol.clone() };
        let id = self.instrument_of(symbol).ok_or_else(unknown)?;
        let known = |s: &Strategy| s.slots.iter().position(|slot| slot.instrument == id);
        if let Some(slot) = self.strategies.get(strategy).and_then(known) {
            return Ok(slot);
        }
        // Held, but no longer listed: exits only.
        self.list_unlisted(strategy, id);
        self.strategies.get(strategy).and_then(known).ok_or_else(unknown)
    }

    fn restore(&mut self, checkpoint: &Checkpoint) {
        self.now = checkpoint.now;
        for known in &checkpoint.instruments {
            if let Some(id) = self.instrument_of(&known.symbol)
                && let Some(instrument) = self.instruments.get_mut(id.index())
            {
                instrument.mark = known.mark;
                self.day = self.day.max(known.last_bar.map(Timestamp::day));
            }
        }
        let mut ignored = Vec::new();
        for (strategy, slot) in self.all_slots() {
            self.revalue(strategy, slot, &mut ignored);
        }
        for watermark in &checkpoint.strategies {
            if let Some(index) = watermark.strategy.and_then(|uid| self.strategy_of(uid)) {
                self.restore_strategy(index, watermark);
                self.restore_protection(index, watermark);
            }
        }
        self.account_mark = mark_of(&checkpoint.account);
    }

    fn restore_strategy(&mut self, index: usize, watermark: &Watermark) {
        let places: Vec<_> = watermark.guards.iter().map(|g| self.instrument_of(&g.symbol)).collect();
        let exits: Vec<_> = watermark
            .exits
            .iter()
            .map(|exit| (self.instrument_of(&exit.0), exit.1, self.begun(watermark, &exit.0)))
            .collect();
        let Some(strategy) = self.strategies.get_mut(index) else { return };
        strategy.mark = mark_of(watermark);
        strategy.unprotected = watermark.unprotected;
        for (guard, id) in watermark.guards.iter().zip(places) {
            if let Some(slot) = strategy.slots.iter_mut().find(|s| Some(s.instrument) == id) {
                slot.guards.push(GuardPart {
                    stop: guard.stop,
                    quantity: guard.quantity,
                    order: guard.order,
                    shield: Shield::Missing,
                    passed: None,
                });
            }
        }
        for (id, purpose, begun) in exits {
            if let Some(slot) = strategy.slots.iter_mut().find(|s| Some(s.instrument) == id) {
                slot.exit = Some(Exit::begin(purpose, begun));
            }
        }
    }

    /// When an exit began; one of a ledger from before that was kept begins now.
    fn begun(&self, watermark: &Watermark, symbol: &Symbol) -> Timestamp {
        let own = watermark.exits_begun.iter().find(|(of, _)| of == symbol);
        own.map_or(self.now, |(_, begun)| *begun)
    }

    fn restore_protection(&mut self, strategy: usize, watermark: &Watermark) {
        let slots = self.strategies.get(strategy).map_or(0, |owner| owner.slots.len());
        for slot in 0..slots {
            let id = self.slot(strategy, slot).map(|held| held.instrument);
            let own = |(symbol, _): &&(Symbol, Timestamp)| self.instrument_of(symbol) == id;
            let since = watermark.bare.iter().find(own).map(|(_, since)| *since);
            self.recover_protection(strategy, slot, since);
        }
    }

    /// What the next commit must hold beside its rows.
    pub fn checkpoint(&self) -> Checkpoint {
        // A venue offers many that nobody trades: of those there is nothing to tell.
        let known = self.instruments.iter().filter(|i| i.last_bar.is_some() || i.mark.0 > 0);
        let instruments = known.map(|i| InstrumentMark {
            symbol: i.rules.symbol.clone(),
            last_bar: i.last_bar,
            mark: i.mark,
        });
        let strategies = self.strategies.iter().map(|s| Watermark {
            strategy: Some(s.config.uid),
            guards: self.guards_of(s),
            exits: self.exits_of(s, |exit| exit.purpose),
            exits_begun: self.exits_of(s, |exit| exit.begun),
            unprotected: s.unprotected,
            bare: self.bare_of(s),
            ..watermark_of(&s.mark)
        });
        Checkpoint {
            now: self.now,
            instruments: instruments.collect(),
            strategies: strategies.collect(),
            account: watermark_of(&self.account_mark),
            fill_cursor: FillCursor::default(),
            next_intent: self.next_intent,
            published: Vec::new(),
            holding: self.holding(),
        }
    }

    fn holding(&self) -> Vec<ResolvedStrategy> {
        let all = self.strategies.iter().enumerate();
        all.filter(|(index, _)| self.left_something(*index)).map(|(_, s)| s.config.clone()).collect()
    }

    fn guards_of(&self, strategy: &Strategy) -> Vec<Guard> {
        let mut guards = Vec::new();
        for slot in &strategy.slots {
            let Some(instrument) = self.instruments.get(slot.instrument.index()) else { continue };
            guards.extend(slot.guards.iter().map(|g| Guard {
                symbol: instrument.rules.symbol.clone(),
                stop: g.stop,
                order: g.order.filter(|id: &IntentId| self.is_open(*id)),
                quantity: g.quantity,
            }));
        }
        guards
    }

    fn bare_of(&self, strategy: &Strategy) -> Vec<(Symbol, Timestamp)> {
        let bare = strategy.slots.iter().filter_map(|slot| {
            let symbol = &self.instruments.get(slot.instrument.index())?.rules.symbol;
            slot.bare.map(|bare| (symbol.clone(), bare.since))
        });
        bare.collect()
    }

    fn exits_of<T>(&self, strategy: &Strategy, what: fn(Exit) -> T) -> Vec<(Symbol, T)> {
        let exits = strategy.slots.iter().filter_map(|slot| {
            let symbol = &self.instruments.get(slot.instrument.index())?.rules.symbol;
            slot.exit.map(|exit| (symbol.clone(), what(exit)))
        });
        exits.collect()
    }
}

/// Whether a strategy the ledger does not know yet has a predecessor in it: what becomes of it is decided when the
/// configuration is taken over.
fn waits(wanted: &ResolvedStrategy, config: &Config, history: &History) -> bool {
    let Some(checkpoint) = &history.checkpoint else { return false };
    let known = |uid| checkpoint.strategies.iter().any(|mark| mark.strategy == Some(uid));
    let configured = config.strategies.iter().filter(|other| known(other.uid));
    !known(wanted.uid)
        && checkpoint.holding.iter().chain(configured).any(|other| is_predecessor(other, wanted))
}

fn mark_of(watermark: &Watermark) -> Mark {
    let mut mark = Mark::starting_at(watermark.reference);
    mark.peak = watermark.peak;
    mark.breached_since.clone_from(&watermark.breached_since);
    mark.tripped.clone_from(&watermark.tripped);
    mark
}

fn watermark_of(mark: &Mark) -> Watermark {
    Watermark {
        strategy: None,
        reference: mark.reference,
        peak: mark.peak,
        breached_since: mark.breached_since.clone(),
        tripped: mark.tripped.clone(),
        guards: Vec::new(),
        exits: Vec::new(),
        exits_begun: Vec::new(),
        unprotected: Millis(0),
        bare: Vec::new(),
    }
}
