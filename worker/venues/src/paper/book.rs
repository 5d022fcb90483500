//! The paper book: balances, open orders and how far each instrument has come. In memory, in virtual time.
//!
//! It promises that every operation is two steps, a pure one that makes a [`Change`] and one that applies it, so that a
//! caller can make the change durable in between. It has no I/O, no clock and no randomness, and it never panics.
//! Ended orders and past trades are not kept here, so that its size does not grow with history.

use std::collections::BTreeMap;

use smallvec::{SmallVec, smallvec};
use smol_str::SmolStr;
use tradewind_core::config::PaperConfig;
use tradewind_core::instrument::{Bar, InstrumentId, InstrumentRules};
use tradewind_core::money::{Cash, MoneyError, Price, Quantity, Rounding};
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::order::{ClientOrderId, Fee, Fill, OrderKind, OrderRequest, OrderState, Side, TradeId};
use tradewind_core::time::{Millis, Timestamp};

use super::ids::{IdMap, numbered};
use super::matching::{Market, Phase, worse_by};
use super::order::{AssetIndex, Change, Counters, Holding, Marks, Order, Trade};
use super::reject::Rejection;
use super::settings::{Pair, Settings, SettingsError};
use crate::port::{AssetBalance, OrderSnapshot};

/// The state of the paper venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    pub(crate) settings: Settings,
    pub(crate) assets: Vec<Asset>,
    pub(crate) holdings: Vec<Holding>,
    pub(crate) instruments: Vec<Instrument>,
    by_symbol: BTreeMap<Symbol, InstrumentId>,
    open: IdMap<InstrumentId>,
    pub(crate) counters: Counters,
}

/// One instrument and its open orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instrument {
    pub(crate) rules: InstrumentRules,
    pub(crate) pair: Pair,
    pub(crate) marks: Marks,
    /// Oldest first.
    pub(crate) orders: Vec<Order>,
}

impl Book {
    /// A book with the starting balances and no orders. Rules are in the order of the instruments' ids.
    pub fn new(
        config: &PaperConfig,
        quote: &Asset,
        rules: &[InstrumentRules],
    ) -> Result<Self, SettingsError> {
        let mut assets = Vec::new();
        let mut holdings = Vec::new();
        for (asset, amount) in &config.balances {
            if amount.0 < 0 {
                return Err(SettingsError::Balance { asset: asset.clone(), amount: *amount });
            }
            if assets.contains(asset) {
                return Err(SettingsError::DuplicateBalance { asset: asset.clone() });
            }
            assets.push(asset.clone());
            holdings.push(Holding { total: *amount, reserved: Cash::ZERO });
        }
        let mut instruments = Vec::with_capacity(rules.len());
        let mut by_symbol = BTreeMap::new();
        for rules in rules {
            let symbol = &rules.symbol;
            let id = u16::try_from(instruments.len()).map(InstrumentId);
            let id = id.map_err(|_| SettingsError::TooManyInstruments { count: instruments.len() + 1 })?;
            if by_symbol.insert(symbol.clone(), id).is_some() {
                return Err(SettingsError::DuplicateSymbol { symbol: symbol.clone() });
            }
            let pair =
                Pair { base: index(&mut assets, symbol.base()), quote: index(&mut assets, symbol.quote()) };
            let (marks, orders) = (Marks::default(), Vec::new());
            instruments.push(Instrument { rules: rules.clone(), pair, marks, orders });
        }
        let settings = Settings::resolve(config, quote, |asset| index(&mut assets, asset))?;
        index(&mut assets, quote);
        holdings.resize(assets.len(), Holding::default());
        let (open, counters) = (IdMap::default(), Counters::default());
        Ok(Self { settings, assets, holdings, instruments, by_symbol, open, counters })
    }

    /// Whether an order of the instrument is open. False for an instrument the book does not have.
    #[inline]
    pub fn has_orders(&self, instrument: InstrumentId) -> bool {
        self.instruments.get(instrument.index()).is_some_and(|i| !i.orders.is_empty())
    }

    /// If no order would trade in that phase, notes that it has passed and is true; else does nothing and is false.
    #[inline]
    pub fn quiet(&mut self, phase: Phase, instrument: InstrumentId, bar: &Bar, interval: Millis) -> bool {
        let Some(instrument) = self.instruments.get_mut(instrument.index()) else { return false };
        let quiet = instrument.orders.is_empty() || instrument.rests(&self.settings, phase, bar, interval);
        if quiet {
            instrument.marks = instrument.marks.after(phase, bar, Quantity::ZERO);
        }
        quiet
    }

    /// If the instrument has no order and the bar is a new one, notes that both its phases have passed and is true.
    #[inline]
    pub(crate) fn pass_idle(&mut self, instrument: InstrumentId, bar: &Bar) -> bool {
        let Some(instrument) = self.instruments.get_mut(instrument.index()) else { return false };
        let idle = instrument.orders.is_empty() && !instrument.marks.passed(Phase::Open, bar);
        if idle {
            let (open, close) = (bar.open_time, Some(bar.close));
            instrument.marks = Marks { open, range: open, used: Quantity::ZERO, close };
        }
        idle
    }

    /// Takes over that bars up to `last_bar` were matched and closed at `close`, where the book knows of none later.
    pub(crate) fn resume(&mut self, instrument: InstrumentId, last_bar: Timestamp, close: Price) {
        let Some(instrument) = self.instruments.get_mut(instrument.index()) else { return };
        let marks = instrument.marks;
        if last_bar > marks.range && close.0 > 0 {
            let used = if marks.open > last_bar { marks.used } else { Quantity::ZERO };
            let open = marks.open.max(last_bar);
            instrument.marks = Marks { open, range: last_bar, used, close: Some(close) };
        }
    }

    /// What the account holds.
    pub fn balances(&self) -> Result<Vec<AssetBalance>, MoneyError> {
        let balance = |(asset, holding): (&Asset, &Holding)| {
            Ok(AssetBalance { asset: asset.clone(), total: holding.total, free: holding.free()? })
        };
        self.assets.iter().zip(&self.holdings).map(balance).collect()
    }

    /// All open orders, oldest first.
    pub fn open_orders(&self) -> Vec<OrderSnapshot> {
        let mut orders: Vec<_> = self.instruments.iter().flat_map(|i| &i.orders).collect();
        orders.sort_unstable_by_key(|order| order.number);
        orders.into_iter().filter_map(|order| self.snapshot(order)).collect()
    }

    /// The change that a new order makes, or why it is refused. `known` says that its id belongs to an ended order.
    pub(crate) fn place(
        &self,
        request: &OrderRequest,
        known: bool,
        now: Timestamp,
    ) -> Result<Change, Rejection> {
        let order = self.accept(request, known, now)?;
        let instrument = self.instrument(order.instrument).ok_or(Rejection::AmountTooLarge)?;
        let asset = instrument.funding(order.side);
        let mut holding = self.holding(asset);
        let free = holding.free().map_err(too_large)?;
        if free < order.reserved {
            let name = self.assets.get(asset.0).map(ToString::to_string).unwrap_or_default();
            let (needed, free) = (order.reserved.to_string(), free.to_string());
            return Err(Rejection::InsufficientFunds { asset: name, needed, free });
        }
        holding.reserved = holding.reserved.checked_add(order.reserved).map_err(too_large)?;
        let version = self.counters.version.saturating_add(1);
        Ok(Change {
            from_version: self.counters.version,
            counters: Counters { version, orders: order.number, ..self.counters },
            instrument: order.instrument,
            marks: instrument.marks,
            orders: smallvec![order],
            trades: SmallVec::new(),
            holdings: smallvec![(asset, holding)],
        })
    }

    /// The order as the venue would take it, with what it needs to hold back.
    fn accept(&self, request: &OrderRequest, known: bool, now: Timestamp) -> Result<Order, Rejection> {
        let id = request.client_order_id;
        if known || self.open.contains_key(&id) {
            return Err(Rejection::DuplicateClientOrderId { id: id.to_string() });
        }
        let unknown = || Rejection::UnknownSymbol { symbol: request.symbol.to_string() };
        let number = *self.by_symbol.get(&request.symbol).ok_or_else(unknown)?;
        let instrument = self.instrument(number).ok_or_else(unknown)?;
        if now > request.valid_until {
            return Err(Rejection::Expired { valid_until: request.valid_until.0, now: now.0 });
        }
        instrument.check_filters(request)?;
        let mut order = Order {
            number: self.counters.orders.saturating_add(1),
            client_order_id: id,
            instrument: number,
            side: request.side,
            kind: request.kind,
            quantity: request.quantity,
            filled: Quantity::ZERO,
            state: OrderState::Accepted,
            placed_at: now,
            bound: Price(0),
            reserved: Cash::ZERO,
            triggered: false,
        };
        if request.side == Side::Buy {
            order.bound = self.bound(instrument, request)?;
        }
        order.reserved = self.reserve(instrument, &order).map_err(too_large)?;
        Ok(order)
    }

    /// The price a buy is bounded by: its limit, or where it would trade now, slippage included.
    fn bound(&self, instrument: &Instrument, request: &OrderRequest) -> Result<Price, Rejection> {
        let rules = &instrument.rules;
        let reference = match request.kind {
            OrderKind::Limit { price } | OrderKind::ImmediateOrCancel { price } => price,
            OrderKind::Stop { trigger } => trigger,
            OrderKind::Market => {
                let none = || Rejection::NoReferencePrice { symbol: rules.symbol.to_string() };
                instrument.marks.close.ok_or_else(none)?
            }
        };
        let notional = rules.notional(reference, request.quantity).map_err(too_large)?;
        if notional < rules.min_notional {
            let (notional, minimum) = (notional.to_string(), rules.min_notional.to_string());
            return Err(Rejection::MinNotional { notional, minimum });
        }
        match request.kind {
            OrderKind::Limit { price } | OrderKind::ImmediateOrCancel { price } => Ok(price),
            OrderKind::Market | OrderKind::Stop { .. } => {
                worse_by(rules, reference, Side::Buy, self.settings.slippage).map_err(too_large)
            }
        }
    }

    /// What the rest of the order holds back: base for a sell, notional and fee at the bound for a buy.
    pub(crate) fn reserve(&self, instrument: &Instrument, order: &Order) -> Result<Cash, MoneyError> {
        let remaining = order.remaining();
        if order.side == Side::Sell {
            return instrument.rules.base_amount(remaining);
        }
        let fees = &self.settings.fees;
        let rate = match order.kind {
            OrderKind::Limit { .. } => fees.maker.max(fees.taker),
            OrderKind::Market | OrderKind::ImmediateOrCancel { .. } | OrderKind::Stop { .. } => fees.taker,
        };
        let notional = instrument.rules.notional(order.bound, remaining)?;
        notional.checked_add(notional.basis_points(fees.quote_rate_of_buys(rate), Rounding::Up)?)
    }

    /// The change that ends an open order; none when it is not open.
    pub(crate) fn cancel(&self, id: ClientOrderId) -> Result<Option<Change>, MoneyError> {
        let Some((instrument, order)) = self.find(id) else { return Ok(None) };
        let asset = instrument.funding(order.side);
        let mut holding = self.holding(asset);
        holding.reserved = holding.reserved.checked_sub(order.reserved)?;
        let ended = Order { state: OrderState::Cancelled, reserved: Cash::ZERO, ..*order };
        let version = self.counters.version.saturating_add(1);
        Ok(Some(Change {
            from_version: self.counters.version,
            counters: Counters { version, ..self.counters },
            instrument: order.instrument,
            marks: instrument.marks,
            orders: smallvec![ended],
            trades: SmallVec::new(),
            holdings: smallvec![(asset, holding)],
        }))
    }

    /// Makes the change so. It must have been made from this very state.
    pub(crate) fn apply(&mut self, change: &Change) {
        self.counters = change.counters;
        for (asset, holding) in &change.holdings {
            if let Some(slot) = self.holdings.get_mut(asset.0) {
                *slot = *holding;
            }
        }
        let Some(instrument) = self.instruments.get_mut(change.instrument.index()) else { return };
        instrument.marks = change.marks;
        for order in &change.orders {
            let place = instrument.orders.iter().position(|o| o.number == order.number);
            match (place, order.state.is_terminal()) {
                (Some(place), true) => {
                    instrument.orders.remove(place);
                    self.open.remove(&order.client_order_id);
                }
                (Some(place), false) => {
                    if let Some(slot) = instrument.orders.get_mut(place) {
                        *slot = *order;
                    }
                }
                (None, false) => {
                    instrument.orders.push(*order);
                    self.open.insert(order.client_order_id, change.instrument);
                }
                (None, true) => {}
            }
        }
    }

    /// Puts an order of the store back; orders come oldest first.
    pub(crate) fn restore(&mut self, order: Order) {
        if let Some(instrument) = self.instruments.get_mut(order.instrument.index()) {
            instrument.orders.push(order);
            self.open.insert(order.client_order_id, order.instrument);
        }
    }

    /// Keeps, instrument by instrument, the marks of `before` where they are later: marks of bars in which nothing
    /// happened are not stored.
    pub(crate) fn keep_later_marks(&mut self, before: &Self) {
        for (instrument, before) in self.instruments.iter_mut().zip(&before.instruments) {
            let (stored, known) = (instrument.marks, before.marks);
            if (stored.open, stored.range) < (known.open, known.range) {
                instrument.marks = known;
            }
        }
    }

    /// How many changes were made.
    pub(crate) fn version(&self) -> u64 {
        self.counters.version
    }

    pub(crate) fn instrument(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(id.index())
    }

    pub(crate) fn instrument_of(&self, symbol: &Symbol) -> Option<InstrumentId> {
        self.by_symbol.get(symbol).copied()
    }

    pub(crate) fn holding(&self, asset: AssetIndex) -> Holding {
        self.holdings.get(asset.0).copied().unwrap_or_default()
    }

    /// The number of the asset, which is added with nothing of it when it is new.
    pub(crate) fn asset_index(&mut self, asset: &Asset) -> AssetIndex {
        let found = index(&mut self.assets, asset);
        self.holdings.resize(self.assets.len(), Holding::default());
        found
    }

    pub(crate) fn find(&self, id: ClientOrderId) -> Option<(&Instrument, &Order)> {
        let instrument = self.instrument(*self.open.get(&id)?)?;
        let order = instrument.orders.iter().find(|order| order.client_order_id == id)?;
        Some((instrument, order))
    }

    /// The order as others see it.
    pub(crate) fn snapshot(&self, order: &Order) -> Option<OrderSnapshot> {
        let instrument = self.instrument(order.instrument)?;
        Some(OrderSnapshot {
            client_order_id: order.client_order_id,
            venue_order_id: venue_order_id(order.number),
            symbol: instrument.rules.symbol.clone(),
            side: order.side,
            kind: order.kind,
            quantity: order.quantity,
            filled: order.filled,
            state: order.state,
        })
    }

    /// The trade as others see it.
    pub(crate) fn fill(&self, trade: &Trade) -> Option<Fill> {
        let instrument = self.instrument(trade.instrument)?;
        Some(Fill {
            trade_id: TradeId(numbered("P", trade.number)),
            client_order_id: trade.client_order_id,
            symbol: instrument.rules.symbol.clone(),
            side: trade.side,
            price: trade.price,
            quantity: trade.quantity,
            fee: Fee { asset: self.assets.get(trade.fee_asset.0)?.clone(), amount: trade.fee },
            liquidity: trade.liquidity,
            at: trade.at,
        })
    }
}

impl Instrument {
    /// The bar as the orders of the instrument meet it.
    pub(crate) fn market<'a>(&'a self, settings: &Settings, bar: &'a Bar, interval: Millis) -> Market<'a> {
        let (slippage, latency) = (settings.slippage, settings.latency);
        Market { rules: &self.rules, bar, interval, slippage, latency }
    }

    /// Whether no order would trade in that phase.
    pub(crate) fn rests(&self, settings: &Settings, phase: Phase, bar: &Bar, interval: Millis) -> bool {
        let market = self.market(settings, bar, interval);
        let rests = |order| matches!(market.execution(phase, order), Ok(None));
        self.marks.passed(phase, bar) || self.orders.iter().all(rests)
    }

    /// What an order of that side pays with.
    pub(crate) fn funding(&self, side: Side) -> AssetIndex {
        match side {
            Side::Buy => self.pair.quote,
            Side::Sell => self.pair.base,
        }
    }

    fn check_filters(&self, request: &OrderRequest) -> Result<(), Rejection> {
        let rules = &self.rules;
        let quantity = request.quantity;
        if quantity.0 <= 0 || rules.floor_lot(quantity) != quantity {
            let (quantity, lot) = (rules.quantity_text(quantity), rules.quantity_text(rules.lot));
            return Err(Rejection::LotSize { quantity, lot });
        }
        match request.kind {
            OrderKind::Market => Ok(()),
            OrderKind::Limit { price }
            | OrderKind::ImmediateOrCancel { price }
            | OrderKind::Stop { trigger: price } => {
                if price.0 > 0 && rules.round_tick(price, Rounding::Down) == price {
                    return Ok(());
                }
                Err(Rejection::PriceFilter {
                    price: rules.price_text(price),
                    tick: rules.price_text(rules.tick),
                })
            }
        }
    }
}

impl Marks {
    /// Whether that phase of that bar has passed already.
    pub(crate) fn passed(&self, phase: Phase, bar: &Bar) -> bool {
        match phase {
            Phase::Open => bar.open_time <= self.open.max(self.range),
            Phase::Range => bar.open_time <= self.range,
        }
    }

    /// What our orders have traded in that bar so far.
    pub(crate) fn used_in(&self, bar: &Bar) -> Quantity {
        if bar.open_time == self.open.max(self.range) { self.used } else { Quantity::ZERO }
    }

    /// The marks after the phase, in which our orders traded `traded` more.
    pub(crate) fn after(self, phase: Phase, bar: &Bar, traded: Quantity) -> Self {
        if self.passed(phase, bar) {
            return self;
        }
        let used = Quantity(self.used_in(bar).0.saturating_add(traded.0));
        match phase {
            Phase::Open => Self { open: bar.open_time, used, ..self },
            Phase::Range => Self { range: bar.open_time, used, close: Some(bar.close), ..self },
        }
    }
}

/// The venue's id of an order.
pub(crate) fn venue_order_id(number: u64) -> SmolStr {
    numbered("PO", number)
}

fn index(assets: &mut Vec<Asset>, asset: &Asset) -> AssetIndex {
    let found = assets.iter().position(|a| a == asset);
    AssetIndex(found.unwrap_or_else(|| {
        assets.push(asset.clone());
        assets.len() - 1
    }))
}

/// Why the number did not fit does not matter to who sent the order.
fn too_large(_: MoneyError) -> Rejection {
    Rejection::AmountTooLarge
}
