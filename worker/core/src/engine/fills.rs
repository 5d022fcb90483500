//! Fills: each trade id counts once, in whatever order trades are told; positions are their fold.

use crate::books::Book;
use crate::config::FeeAsset;
use crate::event::{Effect, Effects, Record};
use crate::instrument::InstrumentId;
use crate::money::{Cash, MoneyError, Rounding};
use crate::order::{Fill, IntentId, OrderState, Purpose, Side};
use crate::protocol::OrderInput;

use super::fault;
use super::state::State;

/// What a fee took, sorted by what it was taken from.
#[derive(Debug, Clone, Copy, Default)]
struct FeeParts {
    /// Of the base asset.
    base: Cash,
    /// The rest, in the quote asset's worth.
    quote: Cash,
}

impl State {
    pub(super) fn on_fill(&mut self, fill: &Fill, effects: &mut Effects) {
        let Some(order) = self.orders.by_client(fill.client_order_id) else {
            return self.on_foreign_fill(fill, effects);
        };
        if order.trades.contains(&fill.trade_id) {
            return;
        }
        let (id, strategy, slot, purpose) =
            (order.intent.id, order.strategy, order.slot, order.intent.purpose);
        let filled = order.filled.checked_add(fill.quantity);
        let input = match filled {
            Ok(filled) if filled >= order.intent.quantity => OrderInput::FillRest,
            _ => OrderInput::FillPart { quantity: fill.quantity },
        };
        order.trades.push(fill.trade_id.clone());
        order.filled = filled.unwrap_or(order.intent.quantity);
        effects.push(Effect::Persist(Box::new(Record::Fill { intent: id, fill: fill.clone() })));
        if let Err(error) = self.book_fill(strategy, slot, id, purpose, fill) {
            fault(effects, "booking a fill", &error);
        }
        self.revalue(strategy, slot, effects);
        let legal = self.advance(id, input, None, effects);
        self.after_fill(strategy, slot, id, fill, effects);
        if legal && self.orders.by_intent(id).is_some_and(|o| o.state().is_terminal()) {
            self.after_end(id, effects);
        }
        self.watch_protection(strategy, slot, effects);
        self.observe_strategy(strategy, effects);
        self.observe_account(effects);
    }

    /// Folds a fill into position, cash and books; the same for live fills and for those of the ledger.
    pub(super) fn book_fill(
        &mut self,
        strategy: usize,
        slot: usize,
        intent: IntentId,
        purpose: Purpose,
        fill: &Fill,
    ) -> Result<(), MoneyError> {
        let parts = self.fee_parts(fill)?;
        let Some(owner) = self.strategies.get_mut(strategy) else { return Ok(()) };
        let Some(held) = owner.slots.get_mut(slot) else { return Ok(()) };
        let Some(instrument) = self.instruments.get(held.instrument.index()) else { return Ok(()) };
        let notional = instrument.rules.notional(fill.price, fill.quantity)?;
        held.position.apply(fill, &instrument.rules, parts.base, parts.quote)?;
        let base_fee_worth = instrument.rules.value_of_base(parts.base, fill.price)?;
        held.fees = held.fees.checked_add(parts.quote)?.checked_add(base_fee_worth)?;
        held.last_fill = held.last_fill.max(Some(fill.at));
        if purpose.is_entry() && held.last_entry != Some(intent) {
            let (day, count) = held.entries;
            held.entries =
                if day == fill.at.day() { (day, count.saturating_add(1)) } else { (fill.at.day(), 1) };
            held.last_entry = Some(intent);
        }
        let received = match fill.side {
            Side::Buy => notional.checked_neg()?,
            Side::Sell => notional,
        };
        owner.cash = owner.cash.checked_add(received)?.checked_sub(parts.quote)?;
        let id = held.instrument;
        let traded = instrument.rules.base_amount(fill.quantity)?;
        self.note_held(id);
        self.post_fill(Book::Strategy(strategy), fill, (traded, received), parts)
    }

    fn note_held(&mut self, id: InstrumentId) {
        let holds = |&(strategy, slot): &(usize, usize)| {
            self.slot(strategy, slot).is_some_and(|s| s.position.base != Cash::ZERO)
        };
        let held = self.instruments.get(id.index()).is_some_and(|i| i.watchers.iter().any(holds));
        if let Some(instrument) = self.instruments.get_mut(id.index()) {
            instrument.held = held;
        }
    }

    /// A fill of a strategy that is gone and holds nothing: its cash is the account's.
    pub(super) fn book_fill_of_nobody(&mut self, fill: &Fill) -> Result<(), MoneyError> {
        let parts = self.fee_parts(fill)?;
        let Some(id) = self.instrument_of(&fill.symbol) else { return Ok(()) };
        let Some(instrument) = self.instruments.get(id.index()) else { return Ok(()) };
        let notional = instrument.rules.notional(fill.price, fill.quantity)?;
        let received = match fill.side {
            Side::Buy => notional.checked_neg()?,
            Side::Sell => notional,
        };
        let traded = instrument.rules.base_amount(fill.quantity)?;
        self.post_fill(Book::Unallocated, fill, (traded, received), parts)
    }

    /// The double entry of a fill: base and quote change hands with the world, the fee goes to the fees.
    fn post_fill(
        &mut self,
        own: Book,
        fill: &Fill,
        (traded, received): (Cash, Cash),
        parts: FeeParts,
    ) -> Result<(), MoneyError> {
        let base = self.books.asset(fill.symbol.base());
        let (from, to) = match fill.side {
            Side::Buy => (Book::External, own),
            Side::Sell => (own, Book::External),
        };
        self.books.post(base, from, to, traded)?;
        self.books.post(self.quote, Book::External, own, received)?;
        self.account_cash = self.account_cash.checked_add(received)?;
        let asset = self.books.asset(&fill.fee.asset);
        if asset == self.quote {
            self.account_cash = self.account_cash.checked_sub(fill.fee.amount)?;
            return self.books.post(asset, own, Book::Fees, fill.fee.amount);
        }
        if asset == base {
            return self.books.post(asset, own, Book::Fees, fill.fee.amount);
        }
        // A third asset is the account's: the strategy pays the account for it in quote.
        self.books.post(asset, Book::Unallocated, Book::Fees, fill.fee.amount)?;
        self.books.post(self.quote, own, Book::Unallocated, parts.quote)
    }

    fn fee_parts(&self, fill: &Fill) -> Result<FeeParts, MoneyError> {
        let amount = fill.fee.amount;
        if fill.fee.asset == *fill.symbol.base() {
            return Ok(FeeParts { base: amount, quote: Cash::ZERO });
        }
        match &self.fees().paid_in {
            FeeAsset::Other { asset, price } if *asset == fill.fee.asset => {
                let quote = amount.mul_div(price.0, 10_i128.pow(18), Rounding::Up)?;
                Ok(FeeParts { base: Cash::ZERO, quote })
            }
            _ => Ok(FeeParts { base: Cash::ZERO, quote: amount }),
        }
    }

    fn after_fill(&mut self, strategy: usize, slot: usize, id: IntentId, fill: &Fill, effects: &mut Effects) {
        match fill.side {
            Side::Buy => self.protect(strategy, slot, fill, effects),
            Side::Sell => self.reduce_guards(strategy, slot, id, fill.quantity),
        }
        let Some(held) = self.slot(strategy, slot) else { return };
        if fill.side == Side::Sell && held.position.sellable().0 <= 0 {
            self.cancel_orders(strategy, slot, |o| o.intent.side == Side::Sell && o.intent.id != id, effects);
            self.finish_exit(strategy, slot, effects);
        }
    }

    /// Whether the order is one whose end frees the slot.
    pub(super) fn is_open(&self, id: IntentId) -> bool {
        self.orders.open.iter().any(|o| o.intent.id == id && o.state() != OrderState::Absent)
    }
}
