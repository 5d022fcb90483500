//! What the venue demands of orders: `exchangeInfo` to [`InstrumentRules`] and the bounds they have no place for.
//!
//! A symbol is known by its base and quote asset, never by splitting its name. A symbol that cannot be traded exactly,
//! or whose filters contradict themselves, is refused with the reason; it never gets rules that are almost right.

use std::collections::BTreeMap;

use serde::Deserialize;
use smol_str::SmolStr;
use tradewind_core::instrument::{InstrumentRules, RulesError};
use tradewind_core::money::{
    Cash, MoneyError, Price, Quantity, Rounding, div_round, format_trimmed, parse_fixed, pow10,
};
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::order::OrderKind;

/// The finest quantity or price a filter may have; the venue itself has 8 decimals.
const FINEST: u8 = 18;

/// Whether a symbol can be traded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trading {
    /// Status `TRADING`, and spot trading is allowed.
    Open,
    /// Any other status, also one that we do not know; as the venue calls it.
    Closed(SmolStr),
}

/// One symbol of the venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolRules {
    /// The venue's name of it, such as `BTCUSDT`.
    pub venue_symbol: SmolStr,
    /// Ours, with tick, lot and smallest notional. The lot is that of market orders where it is the coarser one.
    pub rules: InstrumentRules,
    /// Whether it can be traded now.
    pub trading: Trading,
    /// The order types it takes, as the venue calls them.
    pub order_types: Vec<SmolStr>,
    /// The lowest price, if there is a bound.
    pub min_price: Option<Price>,
    /// The highest price, if there is a bound.
    pub max_price: Option<Price>,
    /// The smallest quantity, if there is a bound.
    pub min_quantity: Option<Quantity>,
    /// The largest quantity, if there is a bound.
    pub max_quantity: Option<Quantity>,
    /// The largest quantity of a market order, if there is a bound of its own.
    pub max_market_quantity: Option<Quantity>,
}

/// Why a symbol of the venue cannot be traded by us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// The venue does not list it.
    #[error("the venue lists no symbol with base {} and quote {}; USD and USDT are different quotes there", .symbol.base(), .symbol.quote())]
    NotListed {
        /// Which.
        symbol: Symbol,
    },
    /// Its rules are of no use.
    #[error(transparent)]
    Rules(#[from] RulesError),
    /// A bound of a filter is no decimal number of the symbol's scale.
    #[error("{symbol}: {filter}: {source}")]
    Bound {
        /// Which.
        symbol: Symbol,
        /// The filter.
        filter: &'static str,
        /// What is wrong.
        source: MoneyError,
    },
    /// Market orders have a lot that is no multiple of the lot of all orders.
    #[error("{symbol}: market orders have the lot {market}, other orders {lot}, and neither fits the other")]
    Lots {
        /// Which.
        symbol: Symbol,
        /// Of all orders.
        lot: String,
        /// Of market orders.
        market: String,
    },
}

/// The answer to `exchangeInfo`, as far as we need it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeInfo {
    /// The venue's time, milliseconds since 1970.
    pub server_time: i64,
    /// What it allows us.
    #[serde(default)]
    pub rate_limits: Vec<RateLimit>,
    symbols: Vec<ListedSymbol>,
}

/// A limit on requests or orders.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// `REQUEST_WEIGHT`, `ORDERS` or `RAW_REQUESTS`.
    pub rate_limit_type: SmolStr,
    /// `SECOND`, `MINUTE`, `HOUR` or `DAY`.
    pub interval: SmolStr,
    /// How many of them.
    pub interval_num: u32,
    /// The most in that time.
    pub limit: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedSymbol {
    symbol: SmolStr,
    status: SmolStr,
    base_asset: SmolStr,
    base_asset_precision: u8,
    quote_asset: SmolStr,
    quote_asset_precision: u8,
    #[serde(default)]
    order_types: Vec<SmolStr>,
    is_spot_trading_allowed: bool,
    #[serde(default)]
    filters: Vec<Filter>,
}

/// The filters we keep to ourselves. The venue has more; an order that one of them stops is rejected by it.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "filterType", rename_all_fields = "camelCase")]
enum Filter {
    #[serde(rename = "PRICE_FILTER")]
    Price { min_price: SmolStr, max_price: SmolStr, tick_size: SmolStr },
    #[serde(rename = "LOT_SIZE")]
    Lot { min_qty: SmolStr, max_qty: SmolStr, step_size: SmolStr },
    #[serde(rename = "MARKET_LOT_SIZE")]
    MarketLot { min_qty: SmolStr, max_qty: SmolStr, step_size: SmolStr },
    #[serde(rename = "MIN_NOTIONAL", alias = "NOTIONAL")]
    Notional { min_notional: SmolStr },
    #[serde(other)]
    Other,
}

/// The filters of a symbol as texts; none where there is no such filter or it is switched off with a zero.
#[derive(Default)]
struct Filters {
    tick: Option<SmolStr>,
    min_price: Option<SmolStr>,
    max_price: Option<SmolStr>,
    lot: Option<SmolStr>,
    min_quantity: Option<SmolStr>,
    max_quantity: Option<SmolStr>,
    market_lot: Option<SmolStr>,
    min_market_quantity: Option<SmolStr>,
    max_market_quantity: Option<SmolStr>,
    min_notional: Option<SmolStr>,
}

/// A bound of zero is switched off.
fn bound(text: &SmolStr) -> Option<SmolStr> {
    let zero = parse_fixed(text, FINEST).is_ok_and(|units| units == 0);
    (!zero).then(|| text.clone())
}

impl Filters {
    fn of(listed: &ListedSymbol) -> Self {
        let mut all = Self::default();
        for filter in &listed.filters {
            match filter {
                Filter::Price { min_price, max_price, tick_size } => {
                    (all.min_price, all.max_price) = (bound(min_price), bound(max_price));
                    all.tick = bound(tick_size);
                }
                Filter::Lot { min_qty, max_qty, step_size } => {
                    (all.min_quantity, all.max_quantity) = (bound(min_qty), bound(max_qty));
                    all.lot = bound(step_size);
                }
                Filter::MarketLot { min_qty, max_qty, step_size } => {
                    (all.min_market_quantity, all.max_market_quantity) = (bound(min_qty), bound(max_qty));
                    all.market_lot = bound(step_size);
                }
                Filter::Notional { min_notional } => all.min_notional = bound(min_notional),
                Filter::Other => {}
            }
        }
        all
    }
}

impl ExchangeInfo {
    /// The symbols that are quoted in that asset and have names we can give them, in the venue's order.
    pub fn quoted_in(&self, quote: &Asset) -> Vec<Symbol> {
        let listed = self.symbols.iter().filter(|listed| listed.quote_asset == quote.as_str());
        listed.filter_map(|listed| format!("{}-{}", listed.base_asset, quote).parse().ok()).collect()
    }

    /// The rules of the symbols we want, or why one of them has none.
    pub fn rules(&self, wanted: &[Symbol]) -> BTreeMap<Symbol, Result<SymbolRules, SymbolError>> {
        let rules = wanted.iter().map(|symbol| {
            let listed = self.symbols.iter().find(|listed| {
                listed.base_asset == symbol.base().as_str()
                    && listed.quote_asset == symbol.quote().as_str()
                    // It goes into requests as it is.
                    && listed.symbol.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
            let rules = match listed {
                Some(listed) => listed.rules(symbol),
                None => Err(SymbolError::NotListed { symbol: symbol.clone() }),
            };
            (symbol.clone(), rules)
        });
        rules.collect()
    }
}

impl ListedSymbol {
    fn rules(&self, symbol: &Symbol) -> Result<SymbolRules, SymbolError> {
        let filters = Filters::of(self);
        // Without a filter any multiple of the asset's last decimal goes.
        let tick = filters.tick.clone().unwrap_or_else(|| last_decimal(self.quote_asset_precision));
        let lot = filters.lot.clone().unwrap_or_else(|| last_decimal(self.base_asset_precision));
        let lot = coarser(symbol, &lot, filters.market_lot.as_ref())?;
        let min_notional = filters.min_notional.as_deref().unwrap_or("0");
        let rules = InstrumentRules::from_decimals(symbol.clone(), &tick, &lot, min_notional)?;
        let price = |text: &Option<SmolStr>, rounding| scaled(text.as_ref(), rules.price_scale, rounding);
        let quantity =
            |text: &Option<SmolStr>, rounding| scaled(text.as_ref(), rules.quantity_scale, rounding);
        let wrong = |filter| {
            let symbol = symbol.clone();
            move |source| SymbolError::Bound { symbol, filter, source }
        };
        let min_quantity = quantity(&filters.min_quantity, Rounding::Up).map_err(wrong("LOT_SIZE"))?;
        let min_market =
            quantity(&filters.min_market_quantity, Rounding::Up).map_err(wrong("MARKET_LOT_SIZE"))?;
        Ok(SymbolRules {
            venue_symbol: self.symbol.clone(),
            trading: match (self.status.as_str(), self.is_spot_trading_allowed) {
                ("TRADING", true) => Trading::Open,
                ("TRADING", false) => Trading::Closed("SPOT_TRADING_NOT_ALLOWED".into()),
                _ => Trading::Closed(self.status.clone()),
            },
            order_types: self.order_types.clone(),
            min_price: price(&filters.min_price, Rounding::Up).map_err(wrong("PRICE_FILTER"))?.map(Price),
            max_price: price(&filters.max_price, Rounding::Down).map_err(wrong("PRICE_FILTER"))?.map(Price),
            min_quantity: min_quantity.max(min_market).map(Quantity),
            max_quantity: quantity(&filters.max_quantity, Rounding::Down)
                .map_err(wrong("LOT_SIZE"))?
                .map(Quantity),
            max_market_quantity: quantity(&filters.max_market_quantity, Rounding::Down)
                .map_err(wrong("MARKET_LOT_SIZE"))?
                .map(Quantity),
            rules,
        })
    }
}

/// One unit of that many decimals.
fn last_decimal(decimals: u8) -> SmolStr {
    format_trimmed(1, decimals.min(FINEST)).into()
}

/// The lot that fits market orders and all others.
fn coarser(symbol: &Symbol, lot: &SmolStr, market: Option<&SmolStr>) -> Result<SmolStr, SymbolError> {
    let Some(market) = market else { return Ok(lot.clone()) };
    let units = |text: &SmolStr, filter| {
        let wrong = |source| SymbolError::Bound { symbol: symbol.clone(), filter, source };
        parse_fixed(text, FINEST).map_err(wrong)
    };
    let (of_all, of_market) = (units(lot, "LOT_SIZE")?, units(market, "MARKET_LOT_SIZE")?);
    match (of_market.checked_rem(of_all), of_all.checked_rem(of_market)) {
        (Some(0), _) => Ok(market.clone()),
        (_, Some(0)) => Ok(lot.clone()),
        _ => {
            let (symbol, lot, market) = (symbol.clone(), lot.to_string(), market.to_string());
            Err(SymbolError::Lots { symbol, lot, market })
        }
    }
}

/// A bound in units of 10^-scale, rounded into the range it bounds.
fn scaled(text: Option<&SmolStr>, scale: u8, rounding: Rounding) -> Result<Option<i64>, MoneyError> {
    let Some(text) = text else { return Ok(None) };
    let fine = parse_fixed(text, FINEST)?;
    let unit = pow10(FINEST.saturating_sub(scale))?;
    let units = div_round(fine, unit, rounding)?;
    i64::try_from(units).map(Some).map_err(|_| MoneyError::TooLarge { text: text.to_string() })
}

/// Why an order breaks the venue's rules.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleBreach {
    /// No positive multiple of the lot.
    #[error("the quantity {quantity} is not a positive multiple of the lot {lot}")]
    Lot {
        /// What was ordered.
        quantity: String,
        /// The lot.
        lot: String,
    },
    /// Too little or too much.
    #[error("the quantity {quantity} is not within the venue's bounds")]
    Quantity {
        /// What was ordered.
        quantity: String,
    },
    /// No positive multiple of the tick, or too low or too high.
    #[error("the price {price} is not a multiple of the tick {tick} within the venue's bounds")]
    Price {
        /// What was given.
        price: String,
        /// The tick.
        tick: String,
    },
    /// A kind of order the symbol does not take.
    #[error("the venue takes no {order_type} orders in this symbol")]
    OrderType {
        /// Which, as the venue calls it.
        order_type: &'static str,
    },
}

impl SymbolRules {
    /// Whether the quantity is one the venue takes.
    pub fn check_quantity(&self, kind: OrderKind, quantity: Quantity) -> Result<(), RuleBreach> {
        let text = || self.rules.quantity_text(quantity);
        if quantity.0 <= 0 || self.rules.floor_lot(quantity) != quantity {
            return Err(RuleBreach::Lot { quantity: text(), lot: self.rules.quantity_text(self.rules.lot) });
        }
        let market = matches!(kind, OrderKind::Market).then_some(self.max_market_quantity).flatten();
        let most = [self.max_quantity, market].into_iter().flatten().min();
        let fits = self.min_quantity.is_none_or(|least| quantity >= least)
            && most.is_none_or(|most| quantity <= most);
        if fits { Ok(()) } else { Err(RuleBreach::Quantity { quantity: text() }) }
    }

    /// Whether the price is one the venue takes.
    pub fn check_price(&self, price: Price) -> Result<(), RuleBreach> {
        let fits = price.0 > 0
            && self.rules.round_tick(price, Rounding::Down) == price
            && self.min_price.is_none_or(|least| price >= least)
            && self.max_price.is_none_or(|most| price <= most);
        if fits {
            return Ok(());
        }
        let (price, tick) = (self.rules.price_text(price), self.rules.price_text(self.rules.tick));
        Err(RuleBreach::Price { price, tick })
    }

    /// Whether the symbol takes that type of order.
    pub fn check_type(&self, order_type: &'static str) -> Result<(), RuleBreach> {
        if self.order_types.iter().any(|listed| listed == order_type) {
            Ok(())
        } else {
            Err(RuleBreach::OrderType { order_type })
        }
    }

    /// A decimal text as an amount of the base asset in whole units, what is finer cut off. For volumes, which are no
    /// money of ours.
    pub fn floor_quantity(&self, text: &str) -> Result<Quantity, MoneyError> {
        self.rules.quantity_of_base(Cash::parse(text)?)
    }
}

/// The asset of that code; none when it is not one that we can hold.
pub(super) fn asset(text: &str) -> Option<Asset> {
    text.parse().ok()
}
