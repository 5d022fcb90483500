//! What is read: rules, balances, open orders, trades, candles, quotes.

use std::collections::BTreeMap;

use tradewind_core::money::Cash;
use tradewind_core::order::{Liquidity, OrderState, Side};
use tradewind_core::recovery::FillCursor;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::binance_us::rules::{ExchangeInfo, Trading};
use tradewind_venues::binance_us::{MarketNews, MarketPoll};
use tradewind_venues::{Venue, VenueError};

use crate::desk::{Desk, NOW, id, ours, price, quantity, rules, sample, symbol};
use crate::server::Act;

const MINUTE: Millis = Millis(60_000);

#[test]
fn rules_are_those_of_the_sample() {
    let btc = rules("BTC-USDT");
    assert_eq!((btc.venue_symbol.as_str(), &btc.trading), ("BTCUSDT", &Trading::Open));
    assert_eq!(
        (btc.rules.price_text(btc.rules.tick), btc.rules.quantity_text(btc.rules.lot)),
        ("0.01".into(), "0.00001".into())
    );
    assert_eq!(btc.rules.min_notional, Cash::parse("1").unwrap());
    assert_eq!(btc.min_quantity, Some(quantity("0.00001")));
    // 33.72918411 of the sample, down to the lot's decimals.
    assert_eq!(btc.max_market_quantity, Some(quantity("33.72918")));
    assert_eq!(rules("OLD-USDT").trading, Trading::Closed("BREAK".into()));
    assert_eq!(rules("ETH-USD").venue_symbol, "ETHUSD");
}

fn told(change: impl Fn(&str) -> String) -> Result<tradewind_venues::binance_us::rules::SymbolRules, String> {
    let info: ExchangeInfo = serde_json::from_str(&change(&sample("products"))).map_err(|e| e.to_string())?;
    let wanted = symbol("BTC-USDT");
    info.rules(std::slice::from_ref(&wanted)).remove(&wanted).unwrap().map_err(|error| error.to_string())
}

#[test]
fn either_filter_of_the_smallest_worth_counts_and_a_missing_one_is_none() {
    let old = told(|all| {
        all.replace("\"NOTIONAL\"", "\"MIN_NOTIONAL\"")
            .replace("\"minNotional\": \"1.00000000\"", "\"minNotional\": \"10.5\"")
    });
    assert_eq!(old.unwrap().rules.min_notional, Cash::parse("10.5").unwrap());
    let none = told(|all| all.replace("\"NOTIONAL\"", "\"SOMETHING_NEW\"")).unwrap();
    assert_eq!(none.rules.min_notional, Cash::ZERO);
}

#[test]
fn a_filter_that_is_switched_off_leaves_the_assets_last_decimal() {
    let off =
        told(|all| all.replacen("\"tickSize\": \"0.01000000\"", "\"tickSize\": \"0.00000000\"", 1)).unwrap();
    assert_eq!(off.rules.price_text(off.rules.tick), "0.00000001");
}

#[test]
fn the_coarser_lot_of_market_orders_is_the_lot() {
    let step = |text: &str| {
        let text = format!("\"stepSize\": \"{text}\"");
        told(|all| all.replacen("\"stepSize\": \"0.00000000\"", &text, 1))
    };
    let lot = |text| step(text).map(|rules| rules.rules.quantity_text(rules.rules.lot));
    assert_eq!(lot("0.00100000").unwrap(), "0.001");
    assert_eq!(lot("0.00000100").unwrap(), "0.00001");
    assert!(lot("0.00001500").unwrap_err().contains("neither fits the other"));
}

#[test]
fn rules_that_are_no_rules_are_refused() {
    let tick = |text: &str| {
        let text = format!("\"tickSize\": \"{text}\"");
        told(|all| all.replacen("\"tickSize\": \"0.01000000\"", &text, 1))
    };
    for wrong in ["-0.01", "1e-2", "abc", "0.00000000000000000001", "99999999999999999999999"] {
        assert!(tick(wrong).is_err(), "{wrong}");
    }
    let hostile = told(|all| all.replacen("\"symbol\": \"BTCUSDT\"", "\"symbol\": \"BTCUSDT&side=SELL\"", 1));
    assert!(hostile.unwrap_err().contains("lists no symbol"), "a name that would change the request");
    let missing: ExchangeInfo = serde_json::from_str(&sample("products")).unwrap();
    let wanted = symbol("BTC-USD");
    let error =
        missing.rules(std::slice::from_ref(&wanted)).remove(&wanted).unwrap().unwrap_err().to_string();
    assert!(error.contains("base BTC and quote USD"), "{error}");
}

#[tokio::test]
async fn one_bad_symbol_leaves_the_others_tradable() {
    let mut desk = Desk::with(&["BTC-USDT", "BTC-USD"], std::time::Duration::from_secs(4)).await;
    desk.venue.refresh().await.unwrap();
    assert!(desk.venue.rules(&symbol("BTC-USDT")).is_ok());
    assert!(desk.venue.rules(&symbol("BTC-USD")).is_err());
    assert!(desk.venue.rules(&symbol("ETH-USD")).unwrap_err().to_string().contains("not known"));
}

#[tokio::test]
async fn balances_are_free_and_locked_together() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, sample("balances")));
    let balances = desk.venue.balances().await.unwrap();
    let told: Vec<_> = balances.iter().map(|b| format!("{} {} {}", b.asset, b.total, b.free)).collect();
    // 4120.77190044 + 77.60992000 by hand.
    assert_eq!(told, ["USDT 4198.38182044 4120.77190044", "BTC 0.01842211 0.01842211", "BNB 0 0"]);
}

#[tokio::test]
async fn balances_that_cannot_be_are_an_error() {
    let mut desk = Desk::ready().await;
    for (from, to) in [
        ("4120.77190044", "-1"),
        ("4120.77190044", "1e9"),
        ("4120.77190044", "0.0000000000000000001"),
        ("\"free\": \"4120.77190044\"", "\"free\": 4120.77"),
        ("\"balances\"", "\"other\""),
        ("4120.77190044", "999999999999999999999999999"),
    ] {
        desk.server.then(Act::json(200, sample("balances").replace(from, to)));
        let error = desk.venue.balances().await;
        assert!(matches!(error, Err(VenueError::Binance(_))), "{from} -> {to}: {error:?}");
    }
}

#[tokio::test]
async fn open_orders_are_ours_and_others() {
    let mut desk = Desk::ready().await;
    let list =
        format!("[{},{}]", sample("order_query").replace("418822002", "418822099"), ours("order_query"));
    desk.server.then(Act::json(200, list));
    let open = desk.venue.open_orders().await.unwrap();
    assert_eq!(open.orders.len(), 1);
    assert_eq!((open.orders[0].client_order_id, open.orders[0].state), (id(), OrderState::PartiallyFilled));
    let external = &open.external[0];
    assert_eq!(
        (external.venue_order_id.as_str(), external.client_order_id.as_str()),
        ("418822099", "cte-01JZX0Q8-8")
    );
}

fn cursor(last: u64) -> FillCursor {
    FillCursor::ByInstrument(BTreeMap::from([(symbol("BTC-USDT"), last)]))
}

#[tokio::test]
async fn a_new_ledger_begins_after_the_latest_trade() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, sample("fill")));
    let page = desk.venue.fills_since(&FillCursor::default()).await.unwrap();
    assert_eq!((page.fills.len(), page.external.len(), &page.next), (0, 0, &cursor(30_112_001)));
    assert_eq!(desk.server.last().parameter("limit"), Some("1"));
    desk.server.then(Act::json(200, "[]"));
    let page = desk.venue.fills_since(&page.next).await.unwrap();
    assert_eq!(page.next, cursor(30_112_001), "no more");
    assert_eq!(desk.server.last().parameter("fromId"), Some("30112002"));
    desk.server.then(Act::json(200, "[]"));
    let page = desk.venue.fills_since(&FillCursor::default()).await.unwrap();
    assert_eq!(page.next, cursor(0), "an account that never traded");
}

#[tokio::test]
async fn trades_are_fills_of_the_orders_they_belong_to() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, sample("fill")));
    // Whose order it is has to be asked for once.
    desk.server.then(Act::json(200, ours("order_query").replace("418822002", "418822001")));
    let page = desk.venue.fills_since(&cursor(30_112_000)).await.unwrap();
    let fill = &page.fills[0];
    assert_eq!((fill.trade_id.0.as_str(), fill.client_order_id), ("BTCUSDT-30112001", id()));
    assert_eq!((fill.side, fill.price, fill.quantity), (Side::Buy, price("97012.44"), quantity("0.001")));
    assert_eq!((fill.fee.asset.as_str(), fill.fee.amount), ("BTC", Cash::parse("0.000001").unwrap()));
    assert_eq!((fill.liquidity, fill.at), (Liquidity::Taker, Timestamp(1_767_225_601_224)));
    assert_eq!(page.next, cursor(30_112_001));
    let asked = desk.server.asked().len();
    desk.server.then(Act::json(200, sample("fill")));
    let again = desk.venue.fills_since(&cursor(30_112_000)).await.unwrap();
    assert_eq!((&again, desk.server.asked().len()), (&page, asked + 1));
}

#[tokio::test]
async fn trades_of_others_are_told_apart_and_no_trade_is_skipped_for_an_error() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, sample("fill")));
    desk.server.then(Act::json(400, sample("error_unknown_order")));
    assert!(desk.venue.fills_since(&cursor(30_112_000)).await.is_err(), "whose it is was not told");
    desk.server.then(Act::json(200, sample("fill")));
    desk.server.then(Act::json(200, sample("order_query").replace("418822002", "418822001")));
    let page = desk.venue.fills_since(&cursor(30_112_000)).await.unwrap();
    assert_eq!((page.fills.len(), page.external.len()), (0, 1));
    assert_eq!(page.external[0].trade_id.0, "BTCUSDT-30112001");
}

#[tokio::test]
async fn trades_that_cannot_be_are_an_error() {
    let mut desk = Desk::ready().await;
    desk.server.always(
        "GET",
        "/api/v3/order",
        Act::json(200, ours("order_query").replace("418822002", "418822001")),
    );
    for (from, to) in [
        ("97012.44000000", "97012.44000001"),
        ("97012.44000000", "0"),
        ("\"0.00100000\"", "\"0.000000001\""),
        ("\"0.00100000\"", "\"-0.001\""),
        ("\"0.00000100\"", "\"-0.00000100\""),
        ("\"commissionAsset\": \"BTC\"", "\"commissionAsset\": \"b t c\""),
        ("\"symbol\": \"BTCUSDT\"", "\"symbol\": \"ETHUSD\""),
        ("1767225601224", "-5"),
        ("\"isBuyer\": true,", ""),
        ("30112001", "1e30"),
    ] {
        desk.server.then(Act::json(200, sample("fill").replace(from, to)));
        let error = desk.venue.fills_since(&cursor(30_112_000)).await;
        assert!(matches!(error, Err(VenueError::Binance(_))), "{from} -> {to}: {error:?}");
    }
    let swapped = format!("[{0},{0}]", sample("fill").trim_start_matches('[').trim_end_matches(']'));
    desk.server.then(Act::json(200, swapped));
    assert!(desk.venue.fills_since(&cursor(30_112_000)).await.is_err(), "a trade told twice in one answer");
    let other = desk.venue.fills_since(&FillCursor::Sequence(5)).await.unwrap_err().to_string();
    assert!(other.contains("another venue"), "{other}");
}

#[tokio::test]
async fn candles_are_complete_ones_only() {
    let mut desk = Desk::ready().await;
    let five = Millis(5 * MINUTE.0);
    // The first candle of the sample ends at …5899999, the second at …6199999.
    for (now, complete) in [(1_767_225_899_999, 0), (1_767_225_900_000, 1), (1_767_226_200_000, 2)] {
        desk.server.always("GET", "/api/v3/time", Act::json(200, format!(r#"{{"serverTime":{now}}}"#)));
        desk.now.set(now);
        desk.venue.time().await.unwrap();
        desk.server.then(Act::json(200, sample("candles")));
        let bars = desk.venue.bars(&symbol("BTC-USDT"), five, Timestamp(1_767_225_600_000)).await.unwrap();
        assert_eq!(bars.len(), complete, "at {now}");
        if let Some(bar) = bars.first() {
            assert_eq!(
                (bar.open_time, bar.close_time(five)),
                (Timestamp(1_767_225_600_000), Timestamp(1_767_225_900_000))
            );
            assert_eq!((bar.open, bar.high), (price("96990"), price("97020.5")));
            assert_eq!(
                (bar.low, bar.close, bar.volume),
                (price("96950.77"), price("97012.44"), quantity("21.99"))
            );
        }
    }
    assert_eq!(desk.server.last().parameter("interval"), Some("5m"));
    let odd = desk.venue.bars(&symbol("BTC-USDT"), Millis(7), Timestamp(0)).await.unwrap_err().to_string();
    assert!(odd.contains("no candles of 7 ms"), "{odd}");
}

#[tokio::test]
async fn candles_that_cannot_be_are_an_error() {
    let mut desk = Desk::ready().await;
    desk.now.set(1_767_226_200_000);
    desk.server.always("GET", "/api/v3/time", Act::json(200, r#"{"serverTime":1767226200000}"#));
    desk.venue.time().await.unwrap();
    for (from, to) in [
        ("97020.50000000", "97000.00000000"),
        ("96950.77000000", "0.00000000"),
        ("96950.77000000", "-5"),
        ("97012.44000000", "97012.441"),
        ("1767225899999", "1767225899998"),
        ("1767225900000", "1767225600000"),
        ("21.99000000", "-1"),
        ("812", "812.5"),
    ] {
        desk.server.then(Act::json(200, sample("candles").replace(from, to)));
        let bars = desk.venue.bars(&symbol("BTC-USDT"), Millis(5 * MINUTE.0), Timestamp(0)).await;
        assert!(bars.is_err(), "{from} -> {to}: {bars:?}");
    }
}

#[tokio::test]
async fn the_mark_lies_between_bid_and_ask() {
    let mut desk = Desk::ready().await;
    let book = |bid: &str, ask: &str| {
        format!(
            r#"{{"symbol":"BTCUSDT","bidPrice":"{bid}","bidQty":"1.0","askPrice":"{ask}","askQty":"2.0"}}"#
        )
    };
    desk.server.then(Act::json(200, book("97012.43000000", "97012.46000000")));
    let quote = desk.venue.quote(&symbol("BTC-USDT")).await.unwrap();
    assert_eq!(quote.mark(), price("97012.44"));
    for (bid, ask) in [("97013", "97012"), ("0.00000000", "97012"), ("97012", "0.00000000")] {
        desk.server.then(Act::json(200, book(bid, ask)));
        assert!(desk.venue.quote(&symbol("BTC-USDT")).await.is_err(), "{bid} {ask}");
    }
}

#[tokio::test]
async fn the_time_is_the_venues() {
    let mut desk = Desk::new().await;
    assert_eq!(desk.venue.time().await.unwrap(), Timestamp(NOW));
    for wrong in ["-1", "0", "1e30", "\"now\"", "null"] {
        let body = format!(r#"{{"serverTime":{wrong}}}"#);
        desk.server.always("GET", "/api/v3/time", Act::json(200, body));
        assert!(desk.venue.time().await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn every_complete_candle_is_told_once_with_the_price_of_now() {
    let mut desk = Desk::ready().await;
    let five = Millis(5 * MINUTE.0);
    let book = r#"{"symbol":"BTCUSDT","bidPrice":"97000","bidQty":"1","askPrice":"97002","askQty":"1"}"#;
    desk.server.always("GET", "/api/v3/klines", Act::json(200, sample("candles")));
    desk.server.always("GET", "/api/v3/ticker/bookTicker", Act::json(200, book));
    let first = Timestamp(1_767_225_600_000);
    let mut poll = MarketPoll::new(five, BTreeMap::from([(symbol("BTC-USDT"), first)]));
    let mut told = Vec::new();
    for now in [1_767_225_700_000, 1_767_225_901_000, 1_767_225_950_000, 1_767_226_201_000, 1_767_226_202_000]
    {
        desk.server.always("GET", "/api/v3/time", Act::json(200, format!(r#"{{"serverTime":{now}}}"#)));
        desk.now.set(now);
        desk.venue.time().await.unwrap();
        let (_, news) = poll.ask(&mut desk.venue).await.remove(0);
        let news = news.unwrap();
        assert_eq!(
            news.last(),
            Some(&MarketNews::Mark { symbol: symbol("BTC-USDT"), price: price("97001") })
        );
        told.extend(news.iter().filter_map(|news| match news {
            MarketNews::Bar { bar, .. } => Some((now, bar.open_time.0)),
            MarketNews::Mark { .. } => None,
        }));
    }
    assert_eq!(told, [(1_767_225_901_000, 1_767_225_600_000), (1_767_226_201_000, 1_767_225_900_000)]);
}

#[tokio::test]
async fn what_the_market_does_not_answer_is_asked_for_again() {
    let mut desk = Desk::ready().await;
    desk.now.set(1_767_225_901_000);
    desk.server.always("GET", "/api/v3/time", Act::json(200, r#"{"serverTime":1767225901000}"#));
    desk.venue.time().await.unwrap();
    let five = Millis(5 * MINUTE.0);
    let mut poll =
        MarketPoll::new(five, BTreeMap::from([(symbol("BTC-USDT"), Timestamp(1_767_225_600_000))]));
    desk.server.then(Act::json(200, sample("candles")));
    desk.server.then(Act::HangUp);
    assert!(poll.ask(&mut desk.venue).await.remove(0).1.is_err());
    let book = r#"{"symbol":"BTCUSDT","bidPrice":"97000","bidQty":"1","askPrice":"97002","askQty":"1"}"#;
    desk.server.then(Act::json(200, sample("candles")));
    desk.server.then(Act::json(200, book));
    assert_eq!(poll.ask(&mut desk.venue).await.remove(0).1.unwrap().len(), 2, "the candle is not lost");
}

#[test]
fn the_market_is_asked_when_a_candle_is_complete_and_at_least_each_minute() {
    let poll = MarketPoll::new(Millis(5 * MINUTE.0), BTreeMap::from([(symbol("BTC-USDT"), Timestamp(0))]));
    assert_eq!(poll.due(Timestamp(0)), Timestamp(60_000));
    assert_eq!(poll.due(Timestamp(290_000)), Timestamp(301_000));
    assert_eq!(poll.due(Timestamp(400_000)), Timestamp(400_000));
}
