//! Replies in the published shapes: decimals as text of eight places, times in milliseconds, the exchange's spelling.

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::exchange::{Behaviour, Exchange, Kind, Order, Refusal, Symbol, Trade};

/// An answer before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }

    /// `{"code", "msg"}` with that status.
    pub(crate) fn error(status: u16, code: i32, message: &str) -> Self {
        Self { status, body: json!({"code": code, "msg": message}) }
    }

    pub(crate) fn refusal(why: Refusal) -> Self {
        match why {
            Refusal::NoSymbol => Self::error(400, -1121, "Invalid symbol."),
            Refusal::Filter(name) => Self::error(400, -1013, &format!("Filter failure: {name}")),
            Refusal::Funds => {
                Self::error(400, -2010, "Account has insufficient balance for requested action.")
            }
            Refusal::Duplicate => Self::error(400, -2010, "Duplicate order sent."),
            // Nobody quotes it: to a client the same as closed.
            Refusal::Closed | Refusal::NoMarket => Self::error(400, -2010, "Market is closed."),
            Refusal::WouldTrigger => Self::error(400, -2010, "Order would trigger immediately."),
            Refusal::NoOrder => Self::error(400, -2011, "Unknown order sent."),
        }
    }
}

/// A decimal as the exchange writes it.
pub(crate) fn text(value: Decimal) -> String {
    format!("{value:.8}")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Market => "MARKET",
        Kind::Limit => "LIMIT",
        Kind::StopLossLimit => "STOP_LOSS_LIMIT",
    }
}

/// What all replies about an order have.
fn common(order: &Order) -> Value {
    let request = &order.request;
    json!({
        "symbol": request.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "price": text(request.price.unwrap_or_default()),
        "origQty": text(request.quantity),
        "executedQty": text(order.executed),
        "cummulativeQuoteQty": text(order.executed_quote),
        "status": order.status,
        "timeInForce": request.time_in_force,
        "type": kind(request.kind),
        "side": request.side,
        "selfTradePreventionMode": "EXPIRE_MAKER",
    })
}

fn with(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// The short answer to a new order.
pub(crate) fn acknowledged(order: &Order) -> Value {
    json!({
        "symbol": order.request.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.update_time,
    })
}

/// The answer to a new order without its trades.
pub(crate) fn result(order: &Order) -> Value {
    let working = if order.working { order.time } else { -1 };
    with(common(order), json!({"transactTime": order.update_time, "workingTime": working}))
}

/// The full answer to a new order.
pub(crate) fn full(order: &Order, trades: &[&Trade]) -> Value {
    let fills: Vec<Value> = trades
        .iter()
        .map(|trade| {
            json!({
                "price": text(trade.price),
                "qty": text(trade.quantity),
                "commission": text(trade.commission),
                "commissionAsset": trade.commission_asset,
                "tradeId": trade.id,
            })
        })
        .collect();
    with(result(order), json!({"fills": fills}))
}

/// An order that was asked for.
pub(crate) fn queried(order: &Order) -> Value {
    let more = json!({
        "stopPrice": text(order.request.stop_price.unwrap_or_default()),
        "icebergQty": text(Decimal::ZERO),
        "time": order.time,
        "updateTime": order.update_time,
        "isWorking": order.working,
        "workingTime": if order.working { order.time } else { -1 },
        "origQuoteOrderQty": text(Decimal::ZERO),
    });
    with(common(order), more)
}

/// The answer to a cancel; `cancel_id` names the cancel itself.
pub(crate) fn cancelled(order: &Order, cancel_id: &str) -> Value {
    with(common(order), json!({"origClientOrderId": order.client_order_id, "clientOrderId": cancel_id}))
}

/// A trade that was asked for.
pub(crate) fn trade(trade: &Trade) -> Value {
    json!({
        "symbol": trade.symbol,
        "id": trade.id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": text(trade.price),
        "qty": text(trade.quantity),
        "quoteQty": text(trade.price * trade.quantity),
        "commission": text(trade.commission),
        "commissionAsset": trade.commission_asset,
        "time": trade.time,
        "isBuyer": trade.side == crate::exchange::Side::Buy,
        "isMaker": trade.is_maker,
        "isBestMatch": true,
    })
}

/// The account.
pub(crate) fn account(exchange: &Exchange, now: i64) -> Value {
    let Behaviour { maker_fee, taker_fee, maintenance, .. } = &exchange.behaviour;
    let points = |fee: Decimal| (fee * Decimal::from(10_000)).trunc().normalize().to_string();
    let points = |fee| points(fee).parse::<i64>().unwrap_or_default();
    let balances: Vec<Value> = exchange
        .balances()
        .iter()
        .map(|(asset, balance)| json!({"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}))
        .collect();
    json!({
        "makerCommission": points(*maker_fee),
        "takerCommission": points(*taker_fee),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {
            "maker": text(*maker_fee), "taker": text(*taker_fee),
            "buyer": text(Decimal::ZERO), "seller": text(Decimal::ZERO),
        },
        "canTrade": !maintenance,
        "canWithdraw": false,
        "canDeposit": true,
        "brokered": false,
        "requireSelfTradePrevention": false,
        "updateTime": now,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "tradeGroupId": -1,
    })
}

/// What can be traded, and how much may be asked.
pub(crate) fn exchange_info(exchange: &Exchange, wanted: Option<&[String]>, now: i64) -> Value {
    let Behaviour { weight_limit, order_limit, maintenance, .. } = &exchange.behaviour;
    let symbols: Vec<Value> = exchange
        .symbols()
        .filter(|symbol| wanted.is_none_or(|names| names.contains(&symbol.name)))
        .map(|known| symbol(known, *maintenance))
        .collect();
    json!({
        "timezone": "UTC",
        "serverTime": now,
        "rateLimits": [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight_limit},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": order_limit},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 6100},
        ],
        "exchangeFilters": [],
        "symbols": symbols,
    })
}

fn symbol(symbol: &Symbol, closed: bool) -> Value {
    json!({
        "symbol": symbol.name,
        "status": if closed { "BREAK" } else { "TRADING" },
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET", "STOP_LOSS_LIMIT"],
        "icebergAllowed": false,
        "ocoAllowed": false,
        "quoteOrderQtyMarketAllowed": false,
        "allowTrailingStop": false,
        "cancelReplaceAllowed": false,
        "isSpotTradingAllowed": true,
        "isMarginTradingAllowed": false,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": text(symbol.tick), "maxPrice": "1000000.00000000",
             "tickSize": text(symbol.tick)},
            {"filterType": "LOT_SIZE", "minQty": text(symbol.step), "maxQty": "9000.00000000",
             "stepSize": text(symbol.step)},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "9000.00000000",
             "stepSize": "0.00000000"},
            {"filterType": "NOTIONAL", "minNotional": text(symbol.min_notional), "applyMinToMarket": true,
             "maxNotional": "100000000.00000000", "applyMaxToMarket": false, "avgPriceMins": 5},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": ["SPOT"],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    })
}

/// The best prices.
pub(crate) fn book_ticker(symbol: &Symbol) -> Value {
    let market = symbol.market;
    let of =
        |pick: fn(&crate::exchange::Quote) -> Decimal| text(market.as_ref().map(pick).unwrap_or_default());
    json!({
        "symbol": symbol.name,
        "bidPrice": of(|m| m.bid), "bidQty": of(|m| m.bid_quantity),
        "askPrice": of(|m| m.ask), "askQty": of(|m| m.ask_quantity),
    })
}

/// Candles of the told prices between two times, oldest first; an interval in which nothing was told has none.
pub(crate) fn klines(symbol: &Symbol, interval: i64, from: i64, to: i64, limit: usize) -> Value {
    let mut candles: Vec<(i64, Decimal, Decimal, Decimal, Decimal, i64)> = Vec::new();
    for (at, price) in
        symbol.history.iter().filter(|(at, _)| (from..=to).contains(&(at - at.rem_euclid(interval))))
    {
        let open = at - at.rem_euclid(interval);
        match candles.last_mut().filter(|candle| candle.0 == open) {
            Some(candle) => {
                *candle = (open, candle.1, candle.2.max(*price), candle.3.min(*price), *price, candle.5 + 1);
            }
            None => candles.push((open, *price, *price, *price, *price, 1)),
        }
    }
    candles.truncate(limit);
    let rows = candles.into_iter().map(|(open, first, high, low, last, count)| {
        json!([
            open,
            text(first),
            text(high),
            text(low),
            text(last),
            text(Decimal::from(count)),
            open + interval - 1,
            text(last * Decimal::from(count)),
            count,
            text(Decimal::ZERO),
            text(Decimal::ZERO),
            "0",
        ])
    });
    Value::Array(rows.collect())
}
