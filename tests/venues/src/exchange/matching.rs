//! Orders in, trades out.
//!
//! A taking order trades at the quote, as much as there is; what is left of a market or immediate order expires. A resting
//! order trades at its own price when the market comes to it. A stop to sell goes off when the bid falls to it, a stop to
//! buy when the ask rises to it.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Dedupe, Exchange, Fact, Id, Order, Quote, Status, Trade};

/// Buy or sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Side {
    /// Pays quote, receives base.
    Buy,
    /// Pays base, receives quote.
    Sell,
}

/// What kind of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// At once, at any price.
    Market,
    /// At a price or better.
    Limit,
    /// A limit order once the price has come to its trigger.
    StopLossLimit,
}

/// How long an order is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// What does not trade at once expires.
    Ioc,
    /// Trades at once as a whole, or not at all.
    Fok,
}

/// An order as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOrder {
    /// In what.
    pub symbol: String,
    /// The client's id.
    pub client_order_id: String,
    /// Buy or sell.
    pub side: Side,
    /// What kind.
    pub kind: Kind,
    /// How long it is good.
    pub time_in_force: TimeInForce,
    /// How much of the base asset.
    pub quantity: Decimal,
    /// The worst price; none for market orders.
    pub price: Option<Decimal>,
    /// The trigger of a stop.
    pub stop_price: Option<Decimal>,
}

/// Why an order, or a cancel, was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// There is no such symbol.
    NoSymbol,
    /// A filter of the symbol.
    Filter(&'static str),
    /// Not enough money.
    Funds,
    /// Its client order id is taken.
    Duplicate,
    /// Trading is closed.
    Closed,
    /// A stop that would go off at once.
    WouldTrigger,
    /// There is no such order to cancel.
    NoOrder,
    /// Nobody quotes this symbol.
    NoMarket,
}

impl Exchange {
    /// Takes an order or refuses it; what trades at once has traded when this returns. The exchange's id.
    pub fn place(&mut self, order: NewOrder, now: i64) -> Result<u64, Refusal> {
        match self.check(&order) {
            Ok(locked) => Ok(self.accept(order, locked, now)),
            Err(why) => {
                self.note(now, Fact::Refused { order, why });
                Err(why)
            }
        }
    }

    /// What the order must hold back of the asset it pays with.
    fn check(&self, order: &NewOrder) -> Result<Decimal, Refusal> {
        if self.behaviour.maintenance {
            return Err(Refusal::Closed);
        }
        let symbol = self.symbols.get(&order.symbol).ok_or(Refusal::NoSymbol)?;
        symbol.check(order)?;
        let market = symbol.market.ok_or(Refusal::NoMarket)?;
        let mut same = self.orders.iter().filter(|known| known.client_order_id == order.client_order_id);
        let taken = match self.behaviour.dedupe {
            Dedupe::ForEver => same.next().is_some(),
            Dedupe::WhileOpen => same.any(Order::is_open),
            Dedupe::Never => false,
        };
        if taken {
            return Err(Refusal::Duplicate);
        }
        if order.kind == Kind::StopLossLimit
            && order.stop_price.is_none_or(|stop| goes_off(order.side, stop, market))
        {
            return Err(Refusal::WouldTrigger);
        }
        let (asset, needed) = match order.side {
            Side::Sell => (&symbol.base, Some(order.quantity)),
            Side::Buy => (&symbol.quote, order.quantity.checked_mul(order.price.unwrap_or(market.ask))),
        };
        let free = self.balances.get(asset).copied().unwrap_or_default().free;
        needed.filter(|needed| *needed <= free).ok_or(Refusal::Funds)
    }

    fn accept(&mut self, order: NewOrder, locked: Decimal, now: i64) -> u64 {
        let order_id = self.orders.last().map_or(418_822_001, |last| last.order_id + 1);
        self.note(now, Fact::Accepted { order_id, order: order.clone() });
        self.lock(&order.symbol, order.side, locked);
        self.orders.push(Order {
            order_id,
            client_order_id: order.client_order_id.clone(),
            working: order.kind != Kind::StopLossLimit,
            request: order,
            executed: Decimal::ZERO,
            executed_quote: Decimal::ZERO,
            status: Status::New,
            time: now,
            update_time: now,
            locked,
        });
        let index = self.orders.len() - 1;
        self.take(index, now);
        order_id
    }

    /// Trades an order against the quote, as one that takes, and ends what may not rest.
    fn take(&mut self, index: usize, now: i64) {
        let Some(order) = self.orders.get(index).filter(|order| order.working) else { return };
        let Some(market) = self.symbols.get(&order.request.symbol).and_then(|symbol| symbol.market) else {
            return;
        };
        let step = self.symbols.get(&order.request.symbol).map_or(Decimal::ONE, |symbol| symbol.step);
        let (price, there) = match order.request.side {
            Side::Buy => (market.ask, market.ask_quantity),
            Side::Sell => (market.bid, market.bid_quantity),
        };
        let crosses = order.request.price.is_none_or(|limit| match order.request.side {
            Side::Buy => limit >= price,
            Side::Sell => limit <= price,
        });
        let share = Decimal::new(i64::from(self.behaviour.fill_percent.min(100)), 2);
        let wanted = (order.rest() * share).min(there);
        let quantity = if crosses { wanted - wanted % step } else { Decimal::ZERO };
        let rests = order.request.kind != Kind::Market && order.request.time_in_force == TimeInForce::Gtc;
        let whole = order.request.time_in_force != TimeInForce::Fok || quantity == order.rest();
        if quantity > Decimal::ZERO && whole {
            self.trade(index, price, quantity, false, now);
        }
        if !rests && self.orders.get(index).is_some_and(Order::is_open) {
            self.end(index, Status::Expired, now);
        }
    }

    fn trade(&mut self, index: usize, price: Decimal, quantity: Decimal, is_maker: bool, now: i64) {
        let id = self.trades.last().map_or(30_112_001, |last| last.id + 1);
        let fee = if is_maker { self.behaviour.maker_fee } else { self.behaviour.taker_fee };
        let Some(order) = self.orders.get_mut(index) else { return };
        let (symbol_name, side) = (order.request.symbol.clone(), order.request.side);
        let Some(symbol) = self.symbols.get_mut(&symbol_name) else { return };
        let value = price * quantity;
        let (paid_asset, paid, got_asset, got) = match side {
            Side::Buy => (&symbol.quote, value, &symbol.base, quantity),
            Side::Sell => (&symbol.base, quantity, &symbol.quote, value),
        };
        let commission = (got * fee).round_dp(8);
        let commission_asset = got_asset.clone();
        order.executed += quantity;
        order.executed_quote += value;
        order.status = if order.rest() == Decimal::ZERO { Status::Filled } else { Status::PartiallyFilled };
        order.update_time = now;
        let from_lock = paid.min(order.locked);
        order.locked -= from_lock;
        let paid_with = self.balances.entry(paid_asset.clone()).or_default();
        paid_with.locked -= from_lock;
        paid_with.free -= paid - from_lock;
        self.balances.entry(got_asset.clone()).or_default().free += got - commission;
        if let Some(market) = &mut symbol.market {
            match side {
                Side::Buy => market.ask_quantity -= quantity.min(market.ask_quantity),
                Side::Sell => market.bid_quantity -= quantity.min(market.bid_quantity),
            }
        }
        let trade = Trade {
            id,
            order_id: order.order_id,
            client_order_id: order.client_order_id.clone(),
            symbol: symbol_name,
            side,
            price,
            quantity,
            commission,
            commission_asset,
            is_maker,
            time: now,
        };
        let filled = order.status == Status::Filled;
        self.trades.push(trade.clone());
        self.note(now, Fact::Traded(trade));
        if filled {
            self.unlock(index);
        }
    }

    /// Ends an order; what it held back is free again.
    fn end(&mut self, index: usize, status: Status, now: i64) {
        let Some(order) = self.orders.get_mut(index) else { return };
        (order.status, order.update_time) = (status, now);
        let (order_id, client_order_id) = (order.order_id, order.client_order_id.clone());
        self.unlock(index);
        let fact = match status {
            Status::Canceled => Fact::Cancelled { order_id, client_order_id },
            _ => Fact::Expired { order_id, client_order_id },
        };
        self.note(now, fact);
    }

    fn lock(&mut self, symbol: &str, side: Side, amount: Decimal) {
        let Some(symbol) = self.symbols.get(symbol) else { return };
        let asset = if side == Side::Buy { &symbol.quote } else { &symbol.base };
        let balance = self.balances.entry(asset.clone()).or_default();
        balance.free -= amount;
        balance.locked += amount;
    }

    fn unlock(&mut self, index: usize) {
        let Some(order) = self.orders.get_mut(index) else { return };
        let (symbol, side) = (order.request.symbol.clone(), order.request.side);
        let held = std::mem::take(&mut order.locked);
        self.lock(&symbol, side, -held);
    }

    /// Ends an open order of that id. The order.
    pub fn cancel(&mut self, symbol: &str, id: Id<'_>, now: i64) -> Result<Order, Refusal> {
        if self.behaviour.maintenance {
            return Err(Refusal::Closed);
        }
        let open = |order: &Order| order.request.symbol == symbol && order.is_open() && id.is_of(order);
        let index = self.orders.iter().position(open).ok_or(Refusal::NoOrder)?;
        self.end(index, Status::Canceled, now);
        self.orders.get(index).cloned().ok_or(Refusal::NoOrder)
    }

    /// The market moves: stops go off, and what rests trades.
    pub fn quote(&mut self, symbol: &str, quote: Quote, now: i64) -> Result<(), Refusal> {
        let known = self.symbols.get_mut(symbol).ok_or(Refusal::NoSymbol)?;
        known.market = Some(quote);
        known.history.push((now, (quote.bid + quote.ask) / Decimal::TWO));
        for index in 0..self.orders.len() {
            let Some(order) =
                self.orders.get_mut(index).filter(|o| o.is_open() && o.request.symbol == symbol)
            else {
                continue;
            };
            if !order.working
                && order.request.stop_price.is_some_and(|stop| goes_off(order.request.side, stop, quote))
            {
                order.working = true;
                let (order_id, client_order_id) = (order.order_id, order.client_order_id.clone());
                self.note(now, Fact::Triggered { order_id, client_order_id });
                self.take(index, now);
            } else if order.working {
                self.meet(index, now);
            }
        }
        Ok(())
    }

    /// Trades a resting order at its own price when the market has come to it.
    fn meet(&mut self, index: usize, now: i64) {
        let Some(order) = self.orders.get(index) else { return };
        let Some(symbol) = self.symbols.get(&order.request.symbol) else { return };
        let (Some(market), Some(limit)) = (symbol.market, order.request.price) else { return };
        let (met, there) = match order.request.side {
            Side::Buy => (market.ask <= limit, market.ask_quantity),
            Side::Sell => (market.bid >= limit, market.bid_quantity),
        };
        let quantity = order.rest().min(there);
        let quantity = quantity - quantity % symbol.step;
        if met && quantity > Decimal::ZERO {
            self.trade(index, limit, quantity, true, now);
        }
    }

    /// Trading closes: everything open expires, as the exchange does for maintenance.
    pub fn close(&mut self, now: i64) {
        self.behaviour.maintenance = true;
        for index in 0..self.orders.len() {
            if self.orders.get(index).is_some_and(Order::is_open) {
                self.end(index, Status::Expired, now);
            }
        }
    }
}

fn goes_off(side: Side, stop: Decimal, market: Quote) -> bool {
    match side {
        Side::Sell => market.bid <= stop,
        Side::Buy => market.ask >= stop,
    }
}
