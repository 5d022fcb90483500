//! Planning a phase of a bar: which orders trade, at what, and the change of the book that follows, computed on a
//! scratch copy of the balances. Nothing here changes the book; a phase in which nothing trades allocates nothing.

use smallvec::SmallVec;
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::{BPS_ONE, BasisPoints, Cash, MoneyError, Price, Quantity, Rounding};
use tradewind_core::order::{ClientOrderId, Fill, OrderKind, OrderState, Side};
use tradewind_core::time::Millis;

use super::book::{Book, Instrument};
use super::matching::{Execution, Phase, volume_budget};
use super::order::{AssetIndex, Change, Counters, Holding, Order, Trade};
use super::settings::{Charge, Exchange};

/// What came of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PhaseOutcome {
    /// Trades, in order.
    pub fills: Vec<Fill>,
    /// Orders the venue ended by itself, after their last fill: the balance did not cover the rest.
    pub expired: Vec<Ended>,
}

/// An order that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub client_order_id: ClientOrderId,
    /// How much of it was executed in all.
    pub executed: Quantity,
}

impl PhaseOutcome {
    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.fills.is_empty() && self.expired.is_empty()
    }
}

/// What a phase would do, computed from one state of the book and good only for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(crate) from_version: u64,
    pub(crate) phase: Phase,
    pub(crate) instrument: InstrumentId,
    pub(crate) bar: Bar,
    /// None when nothing but the passing of the phase is to be noted.
    pub(crate) change: Option<Box<Change>>,
    pub(crate) outcome: PhaseOutcome,
}

impl Plan {
    /// Whether nothing would trade and no order would end.
    pub fn is_empty(&self) -> bool {
        self.outcome.is_empty()
    }

    /// The trades and ends it would make.
    pub fn outcome(&self) -> &PhaseOutcome {
        &self.outcome
    }
}

impl Book {
    /// What that phase of that bar would do; none when the book does not have the instrument. A phase that has passed
    /// does nothing again.
    pub fn plan(&self, phase: Phase, id: InstrumentId, bar: &Bar, interval: Millis) -> Option<Plan> {
        let instrument = self.instrument(id)?;
        let (from_version, outcome) = (self.counters.version, PhaseOutcome::default());
        let mut plan = Plan { from_version, phase, instrument: id, bar: *bar, change: None, outcome };
        let settings = &self.settings;
        if instrument.orders.is_empty() || instrument.marks.passed(phase, bar) {
            return Some(plan);
        }
        let market = instrument.market(settings, bar, interval);
        let share = volume_budget(&instrument.rules, bar, settings.volume_share);
        let budget = Quantity(share.0.saturating_sub(instrument.marks.used_in(bar).0).max(0));
        let mut draft = Draft::new(self, instrument, budget);
        for order in &instrument.orders {
            match market.execution(phase, order) {
                Ok(None) => {}
                Ok(Some(execution)) => draft.execute(*order, execution),
                // What has no exact price, or is beyond its limit, trades nothing.
                Err(_) => draft.expire(*order),
            }
        }
        if draft.orders.is_empty() {
            return Some(plan);
        }
        let marks = instrument.marks.after(phase, bar, Quantity(budget.0 - draft.budget.0));
        let counters = Counters { version: from_version.saturating_add(1), ..draft.counters };
        let mut holdings = draft.holdings;
        holdings.retain(|&mut (asset, holding)| holding != self.holding(asset));
        holdings.sort_unstable_by_key(|(asset, _)| asset.0);
        let (orders, trades) = (draft.orders, draft.trades);
        plan.outcome = PhaseOutcome {
            fills: trades.iter().filter_map(|trade| self.fill(trade)).collect(),
            expired: draft.expired,
        };
        let change = Change { from_version, counters, instrument: id, marks, orders, trades, holdings };
        plan.change = Some(Box::new(change));
        Some(plan)
    }

    /// Notes a phase in which nothing happened.
    pub(crate) fn pass(&mut self, phase: Phase, id: InstrumentId, bar: &Bar) {
        if let Some(instrument) = self.instruments.get_mut(id.index()) {
            instrument.marks = instrument.marks.after(phase, bar, Quantity::ZERO);
        }
    }
}

/// A stop that trades for the first time is set off by it, even if there is nothing to trade with.
fn sets_off(order: &Order) -> bool {
    matches!(order.kind, OrderKind::Stop { .. }) && !order.triggered
}

/// Whether what is left of the order stays.
fn rests(order: &Order) -> bool {
    !matches!(order.kind, OrderKind::ImmediateOrCancel { .. })
}

/// The phase as it unfolds, order by order.
struct Draft<'a> {
    book: &'a Book,
    instrument: &'a Instrument,
    /// What has changed; the book has the rest.
    holdings: SmallVec<[(AssetIndex, Holding); 3]>,
    budget: Quantity,
    counters: Counters,
    orders: SmallVec<[Order; 1]>,
    trades: SmallVec<[Trade; 1]>,
    expired: Vec<Ended>,
}

impl<'a> Draft<'a> {
    fn new(book: &'a Book, instrument: &'a Instrument, budget: Quantity) -> Self {
        let (holdings, counters) = (SmallVec::new(), book.counters);
        let (orders, trades, expired) = (SmallVec::new(), SmallVec::new(), Vec::new());
        Self { book, instrument, holdings, budget, counters, orders, trades, expired }
    }

    fn execute(&mut self, mut order: Order, execution: Execution) {
        let set_off = sets_off(&order);
        order.triggered |= set_off;
        let wanted = order.remaining().min(self.budget);
        if wanted.0 <= 0 {
            if !rests(&order) {
                self.expire(order);
            } else if set_off {
                self.orders.push(order);
            }
            return;
        }
        match self.settle(&mut order, &execution, wanted) {
            Ok(filled) if filled == wanted && (rests(&order) || order.remaining().0 == 0) => {
                self.orders.push(order);
            }
            Ok(_) | Err(_) => self.expire(order),
        }
    }

    /// Ends the order and frees what it held back.
    fn expire(&mut self, mut order: Order) {
        let asset = self.instrument.funding(order.side);
        let held = self.holding(asset);
        self.set(asset, Holding { reserved: held.reserved.saturating_sub(order.reserved), ..held });
        order.reserved = Cash::ZERO;
        order.state = OrderState::Expired;
        self.expired.push(Ended { client_order_id: order.client_order_id, executed: order.filled });
        self.orders.push(order);
    }

    /// Trades as much of `wanted` as the balance covers and says how much. On an error nothing is changed.
    fn settle(
        &mut self,
        order: &mut Order,
        execution: &Execution,
        wanted: Quantity,
    ) -> Result<Quantity, MoneyError> {
        let rate = self.book.settings.fees.rate(execution.liquidity);
        let Some((quantity, exchange, charge)) = self.affordable(order, execution.price, rate, wanted)?
        else {
            return Ok(Quantity::ZERO);
        };
        let mut next = *order;
        next.filled = order.filled.checked_add(quantity)?;
        next.state = if next.remaining().0 > 0 { OrderState::PartiallyFilled } else { OrderState::Filled };
        self.post(order, &mut next, &exchange, charge)?;
        *order = next;
        self.budget = self.budget.checked_sub(quantity)?;
        self.counters.trades = self.counters.trades.saturating_add(1);
        self.trades.push(Trade {
            number: self.counters.trades,
            client_order_id: order.client_order_id,
            instrument: order.instrument,
            side: order.side,
            price: execution.price,
            quantity,
            fee_asset: charge.asset,
            fee: charge.amount,
            liquidity: execution.liquidity,
            at: execution.at,
        });
        Ok(quantity)
    }

    /// The largest quantity up to `wanted`, in lots, whose cost the balance covers beside what other orders hold back.
    fn affordable(
        &self,
        order: &Order,
        price: Price,
        rate: BasisPoints,
        wanted: Quantity,
    ) -> Result<Option<(Quantity, Exchange, Charge)>, MoneyError> {
        let rules = &self.instrument.rules;
        let funds = self.holding(self.instrument.funding(order.side));
        let available = funds.free()?.checked_add(order.reserved)?;
        let mut quantity = wanted;
        let mut tries = 0;
        while quantity.0 > 0 {
            let exchange = self.exchange(order.side, price, quantity)?;
            let fees = &self.book.settings.fees;
            let charge = fees.charge(&exchange, rate, |asset| self.holding(asset))?;
            let in_quote =
                if charge.asset == self.instrument.pair.quote { charge.amount } else { Cash::ZERO };
            let needed = match order.side {
                Side::Buy => exchange.notional.checked_add(in_quote)?,
                Side::Sell => exchange.base,
            };
            if needed <= available {
                return Ok(Some((quantity, exchange, charge)));
            }
            // First what notional and fee allow; then, for the rounding of the fee, a lot less.
            quantity = if tries == 0 && order.side == Side::Buy {
                let whole = i128::from(BPS_ONE);
                let rate = i128::from(fees.quote_rate_of_buys(rate).0);
                let spend = available.mul_div(whole, whole + rate, Rounding::Down)?;
                rules.quantity_for(spend, price)?.min(rules.floor_lot(wanted))
            } else {
                Quantity(quantity.0.saturating_sub(rules.lot.0))
            };
            tries += 1;
            if tries > 3 {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn exchange(&self, side: Side, price: Price, quantity: Quantity) -> Result<Exchange, MoneyError> {
        let rules = &self.instrument.rules;
        let (base, notional) = (rules.base_amount(quantity)?, rules.notional(price, quantity)?);
        Ok(Exchange { side, pair: self.instrument.pair, base, notional })
    }

    /// Double entry: what one asset loses, less the fee, the other gains. All or nothing.
    fn post(
        &mut self,
        before: &Order,
        after: &mut Order,
        exchange: &Exchange,
        charge: Charge,
    ) -> Result<(), MoneyError> {
        let pair = exchange.pair;
        let (base, quote) = match exchange.side {
            Side::Buy => (exchange.base, exchange.notional.checked_neg()?),
            Side::Sell => (exchange.base.checked_neg()?, exchange.notional),
        };
        let legs = [(pair.base, base), (pair.quote, quote), (charge.asset, charge.amount.checked_neg()?)];
        let old = legs.map(|(asset, _)| self.holding(asset));
        let mut posted = Ok(());
        for (asset, amount) in legs {
            posted = posted.and_then(|()| self.add(asset, amount));
        }
        posted = posted.and_then(|()| self.hold_back(before, after));
        if posted.is_err() {
            for ((asset, _), holding) in legs.into_iter().zip(old) {
                self.set(asset, holding);
            }
        }
        posted
    }

    fn add(&mut self, asset: AssetIndex, amount: Cash) -> Result<(), MoneyError> {
        let holding = self.holding(asset);
        self.set(asset, Holding { total: holding.total.checked_add(amount)?, ..holding });
        Ok(())
    }

    /// Holds back for the rest of the order what it needs, or what is there when the price has run away from it.
    fn hold_back(&mut self, before: &Order, after: &mut Order) -> Result<(), MoneyError> {
        let asset = self.instrument.funding(before.side);
        let holding = self.holding(asset);
        let others = holding.reserved.checked_sub(before.reserved)?;
        let left = holding.total.checked_sub(others)?;
        after.reserved = self.book.reserve(self.instrument, after)?.min(left);
        self.set(asset, Holding { reserved: others.checked_add(after.reserved)?, ..holding });
        Ok(())
    }

    fn holding(&self, asset: AssetIndex) -> Holding {
        let changed = self.holdings.iter().find(|(known, _)| *known == asset);
        changed.map_or_else(|| self.book.holding(asset), |(_, holding)| *holding)
    }

    fn set(&mut self, asset: AssetIndex, holding: Holding) {
        match self.holdings.iter_mut().find(|(known, _)| *known == asset) {
            Some((_, known)) => *known = holding,
            None => self.holdings.push((asset, holding)),
        }
    }
}
