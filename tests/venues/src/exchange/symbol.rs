//! A symbol: its assets, its filters, and the market as it stands.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::matching::Refusal;
use super::{Kind, NewOrder};

/// The best prices and how much there is at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// What buyers pay.
    pub bid: Decimal,
    /// What sellers take.
    pub ask: Decimal,
    /// How much of the base asset buyers want.
    pub bid_quantity: Decimal,
    /// How much of the base asset sellers have.
    pub ask_quantity: Decimal,
}

/// A symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name, such as `BTCUSD`.
    pub name: String,
    /// Base asset.
    pub base: String,
    /// Quote asset.
    pub quote: String,
    /// Prices are whole multiples of it.
    pub tick: Decimal,
    /// Quantities are whole multiples of it, and not less.
    pub step: Decimal,
    /// Smallest price times quantity.
    pub min_notional: Decimal,
    /// The market now; none before it was told.
    pub market: Option<Quote>,
    /// What was traded at, a row a time it was told: for candles.
    pub history: Vec<(i64, Decimal)>,
}

impl Symbol {
    /// A symbol of two assets whose market is not yet known.
    pub fn new(base: &str, quote: &str, tick: Decimal, step: Decimal, min_notional: Decimal) -> Self {
        Self {
            name: format!("{base}{quote}"),
            base: base.to_owned(),
            quote: quote.to_owned(),
            tick,
            step,
            min_notional,
            market: None,
            history: Vec::new(),
        }
    }

    /// What the filters say to an order.
    pub(super) fn check(&self, order: &NewOrder) -> Result<(), Refusal> {
        let off = |value: Decimal, unit: Decimal| value <= Decimal::ZERO || value % unit != Decimal::ZERO;
        let prices = [order.price, order.stop_price];
        if prices.into_iter().flatten().any(|price| off(price, self.tick)) {
            return Err(Refusal::Filter("PRICE_FILTER"));
        }
        if off(order.quantity, self.step) {
            return Err(Refusal::Filter("LOT_SIZE"));
        }
        let reference = match order.kind {
            Kind::Market => self.market.map(|market| (market.bid + market.ask) / Decimal::TWO),
            Kind::Limit | Kind::StopLossLimit => order.price,
        };
        let notional = reference.and_then(|price| price.checked_mul(order.quantity));
        match notional {
            Some(notional) if notional < self.min_notional => Err(Refusal::Filter("NOTIONAL")),
            None if reference.is_some() => Err(Refusal::Filter("NOTIONAL")),
            _ => Ok(()),
        }
    }
}
