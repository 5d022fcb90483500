//! How long positions lie at the venue without the stop that they should have there, by the venue's own book.
//!
//! A position counts from the moment a part of it is worth an order; it is unprotected while the sells that are open there,
//! stops or not, sell less of it, by more than what an order is worth.

use std::collections::BTreeMap;

use tradewind_core::money::{Cash, Quantity};
use tradewind_core::name::Symbol;
use tradewind_core::order::Side;
use tradewind_core::time::Millis;

use crate::broken::Broken;
use crate::exchange::Exchange;
use crate::plan::{Disturbance, Plan};
use crate::run::play;
use crate::sim::Sim;

/// How long positions were held, and how long without a stop; times of several positions add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unprotected {
    /// Positions held.
    pub held: Millis,
    /// Of it without a stop.
    pub bare: Millis,
    /// The longest time that one position had none.
    pub longest: Millis,
}

impl Unprotected {
    fn add(&mut self, other: Self) {
        self.held.0 += other.held.0;
        self.bare.0 += other.bare.0;
        self.longest = self.longest.max(other.longest);
    }
}

/// What was seen in a run so far.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    total: Unprotected,
    /// How long each position has had no stop.
    bare: BTreeMap<Symbol, Millis>,
    held: BTreeMap<Symbol, i128>,
    trades: usize,
}

impl Stretches {
    /// Time passes, and nothing happens at the venue meanwhile.
    pub(crate) fn pass(&mut self, exchange: &Exchange, span: Millis) {
        self.count_trades(exchange);
        for rules in exchange.instruments() {
            let symbol = &rules.symbol;
            let held = self.held.get(symbol).copied().unwrap_or(0);
            let counts = |amount: i128| {
                let worth = rules.value_of_base(Cash(amount), exchange.price(symbol));
                worth.is_ok_and(|worth| worth.0 > 2 * rules.min_notional.0)
            };
            let sells = exchange
                .orders
                .iter()
                .filter(|order| order.is_open() && order.side == Side::Sell && order.symbol == *symbol);
            let covered = rules.base_amount(Quantity(sells.map(|order| order.rest().0).sum()));
            let covered = covered.unwrap_or_default().0;
            if !counts(held) {
                self.bare.remove(symbol);
                continue;
            }
            self.total.held.0 += span.0;
            if counts(held - covered) {
                self.total.bare.0 += span.0;
                let so_far = self.bare.entry(symbol.clone()).or_default();
                so_far.0 += span.0;
                self.total.longest = self.total.longest.max(*so_far);
            } else {
                self.bare.remove(symbol);
            }
        }
    }

    fn count_trades(&mut self, exchange: &Exchange) {
        for trade in exchange.trades.iter().skip(self.trades) {
            let fill = &trade.fill;
            let Some((_, rules)) = exchange.rules_of(&fill.symbol) else { continue };
            let held = self.held.entry(fill.symbol.clone()).or_default();
            let amount = rules.base_amount(fill.quantity).unwrap_or_default().0;
            *held += if fill.side == Side::Buy { amount } else { -amount };
            if fill.fee.asset == *fill.symbol.base() {
                *held -= fill.fee.amount.0;
            }
        }
        self.trades = exchange.trades.len();
    }
}

/// Runs seeds with faults of one kind, and tells how long positions had no stop. The first broken invariant ends it.
pub fn unprotected(kind: Disturbance, first: u64, seeds: u64) -> Result<Unprotected, Broken> {
    let mut total = Unprotected::default();
    for seed in first..first.saturating_add(seeds) {
        let Some(plan) = Plan::disturbed_by(seed, kind) else { continue };
        let sim = play(Sim::measuring(plan));
        if let Some(broken) = sim.broken() {
            return Err(broken);
        }
        if let Some(stretches) = &sim.stretches {
            total.add(stretches.borrow().total);
        }
    }
    Ok(total)
}
