//! What people see of the engine: plain values, copied out.

use crate::config::ResolvedStrategy;
use crate::decision::StrategyId;
use crate::halt::Halt;
use crate::instrument::{InstrumentId, InstrumentRules};
use crate::money::{Cash, Percent, Price, Quantity};
use crate::name::Symbol;
use crate::order::{Attempt, Intent, OrderState};
use crate::time::{Millis, Timestamp};

use super::state::{Order, State, Strategy};

/// The account as a whole. Amounts are in the quote currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountView {
    /// Cash and positions at their marks.
    pub equity: Cash,
    /// Quote cash.
    pub cash: Cash,
    /// Positions at their marks.
    pub exposure: Cash,
    /// What came in less what went out by other ways than trading.
    pub invested: Cash,
    /// What drawdown is measured from.
    pub reference: Cash,
    /// Highest equity ever.
    pub peak: Cash,
    /// From the reference.
    pub drawdown: Percent,
}

/// One strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyView {
    /// Its place in the engine.
    pub id: StrategyId,
    /// Its configuration in force.
    pub config: ResolvedStrategy,
    /// Whether it still exists.
    pub present: bool,
    /// Capital it was given.
    pub capital: Cash,
    /// Cash and positions at their marks.
    pub equity: Cash,
    /// Cash of its sub-ledger.
    pub cash: Cash,
    /// Positions at their marks.
    pub exposure: Cash,
    /// Profit and loss of what was sold.
    pub realized: Cash,
    /// Fees paid, in the quote currency's worth.
    pub fees: Cash,
    /// What drawdown is measured from.
    pub reference: Cash,
    /// Highest equity ever.
    pub peak: Cash,
    /// From the reference.
    pub drawdown: Percent,
    /// Halts that reach any of its instruments.
    pub halts: Vec<Halt>,
    /// Time its positions were without the stop order they should have had, position by position.
    pub unprotected: Millis,
    /// What it holds, dust left out.
    pub positions: Vec<PositionView>,
    /// What it holds and no order can sell.
    pub dust: Vec<DustView>,
}

/// A position that is not dust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionView {
    /// Of which instrument.
    pub instrument: InstrumentId,
    /// Its rules, for texts.
    pub rules: InstrumentRules,
    /// What could be sold.
    pub quantity: Quantity,
    /// Cost with fees over quantity.
    pub average_price: Price,
    /// The latest price.
    pub mark: Price,
    /// Worth at the mark.
    pub value: Cash,
    /// Worth less cost.
    pub unrealized: Cash,
    /// What it cost with fees.
    pub cost: Cash,
    /// Lowest stop that guards it, if any.
    pub stop: Option<Price>,
    /// Since when some part of it has not the stop order it should have at the venue; none while all have.
    pub unprotected_since: Option<Timestamp>,
    /// Since when it is being liquidated, if that takes longer than it should.
    pub unsold_since: Option<Timestamp>,
}

/// What is held of an instrument and no order can sell: less than a lot, or worth less than the venue's smallest order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DustView {
    /// Of which instrument.
    pub symbol: Symbol,
    /// How much of the base asset.
    pub amount: Cash,
    /// Worth at the mark.
    pub value: Cash,
}

/// An order whose story has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// What was decided.
    pub intent: Intent,
    /// Where it stands.
    pub state: OrderState,
    /// Which sending.
    pub attempt: Attempt,
    /// Filled so far.
    pub filled: Quantity,
    /// Whether it has ended at the venue, which executed more of it than has filled here: its fills must be read.
    pub is_ending: bool,
    /// When the last of its sendings was signed, by the clock of whoever signed it.
    pub signed_at: Timestamp,
    /// From when on the venue's "not found" counts, where nobody knows what came of it.
    pub not_found_from: Option<Timestamp>,
}

pub(super) fn order_view(order: &Order) -> OrderView {
    OrderView {
        intent: order.intent.clone(),
        state: order.state(),
        attempt: order.life.attempt(),
        filled: order.filled,
        is_ending: order.life.is_ending(),
        signed_at: order.signed_at,
        not_found_from: order.life.not_found_from(),
    }
}

impl State {
    /// The account as it stands.
    pub fn account_view(&self) -> AccountView {
        let equity = self.account_equity();
        AccountView {
            equity,
            cash: self.account_cash,
            exposure: self.account_value,
            invested: self.invested,
            reference: self.account_mark.reference,
            peak: self.account_mark.peak,
            drawdown: self.account_mark.drawdown(equity),
        }
    }

    /// Every strategy as it stands, in the engine's order.
    pub fn strategy_views(&self) -> Vec<StrategyView> {
        self.strategies.iter().enumerate().filter_map(|(index, s)| self.strategy_view(index, s)).collect()
    }

    fn strategy_view(&self, index: usize, strategy: &Strategy) -> Option<StrategyView> {
        let equity = strategy.equity();
        let sum = |of: fn(&super::state::Slot) -> Cash| {
            Cash(strategy.slots.iter().fold(0_i128, |total, slot| total.saturating_add(of(slot).0)))
        };
        let symbols = || strategy.slots.iter().filter_map(|s| self.instruments.get(s.instrument.index()));
        let reaches = |halt: &&Halt| symbols().any(|i| halt.reaches(strategy.config.uid, &i.rules.symbol));
        Some(StrategyView {
            id: StrategyId(u16::try_from(index).ok()?),
            config: strategy.config.clone(),
            present: strategy.present,
            capital: strategy.allocated,
            equity,
            cash: strategy.cash,
            exposure: strategy.value,
            realized: sum(|slot| slot.position.realized),
            fees: sum(|slot| slot.fees),
            reference: strategy.mark.reference,
            peak: strategy.mark.peak,
            drawdown: strategy.mark.drawdown(equity),
            halts: self.halts.iter().filter(reaches).cloned().collect(),
            unprotected: strategy.unprotected(self.now),
            positions: self.positions_of(index, strategy),
            dust: self.dust_of(index, strategy),
        })
    }

    fn dust_of(&self, index: usize, strategy: &Strategy) -> Vec<DustView> {
        let dust = strategy.slots.iter().enumerate().filter_map(|(place, slot)| {
            let symbol = &self.instruments.get(slot.instrument.index())?.rules.symbol;
            let (amount, value) = (slot.position.base, slot.value);
            self.is_dust(index, place).then(|| DustView { symbol: symbol.clone(), amount, value })
        });
        dust.collect()
    }

    fn positions_of(&self, index: usize, strategy: &Strategy) -> Vec<PositionView> {
        let positions = strategy.slots.iter().enumerate().filter_map(|(place, slot)| {
            let instrument = self.instruments.get(slot.instrument.index())?;
            let quantity = self.sellable(index, place);
            (quantity.0 > 0).then(|| PositionView {
                instrument: slot.instrument,
                rules: instrument.rules.clone(),
                quantity,
                average_price: instrument
                    .rules
                    .average_price(slot.position.cost, quantity)
                    .unwrap_or_default(),
                mark: instrument.mark,
                value: slot.value,
                unrealized: Cash(slot.value.0.saturating_sub(slot.position.cost.0)),
                cost: slot.position.cost,
                stop: slot.guards.iter().map(|g| g.stop).min(),
                unprotected_since: slot.bare.map(|bare| bare.since),
                unsold_since: slot.exit.filter(|exit| exit.overdue).map(|exit| exit.begun),
            })
        });
        positions.collect()
    }

    /// Whether some order has ended at the venue and fills of it are still to come.
    pub fn awaits_fills(&self) -> bool {
        self.orders.open.iter().any(|order| order.life.is_ending())
    }

    /// Orders whose story has not ended.
    pub fn open_orders(&self) -> Vec<OrderView> {
        self.orders.open.iter().map(order_view).collect()
    }

    /// Equity of a strategy, or of the account; costs nothing.
    #[inline]
    pub fn equity_of(&self, strategy: Option<StrategyId>) -> Cash {
        match strategy {
            None => self.account_equity(),
            Some(id) => self.strategies.get(id.index()).map_or(Cash::ZERO, Strategy::equity),
        }
    }

    /// Capital a strategy was given; of the account, what came in less what went out by other ways than trading. Costs
    /// nothing.
    #[inline]
    pub fn invested_of(&self, strategy: Option<StrategyId>) -> Cash {
        match strategy {
            None => self.invested,
            Some(id) => self.strategies.get(id.index()).map_or(Cash::ZERO, |s| s.allocated),
        }
    }

    /// Whether a strategy, or any, holds anything worth something.
    #[inline]
    pub fn holds(&self, strategy: Option<StrategyId>) -> bool {
        match strategy {
            None => self.account_value != Cash::ZERO,
            Some(id) => self.strategies.get(id.index()).is_some_and(|s| s.value != Cash::ZERO),
        }
    }
}
