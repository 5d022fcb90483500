//! Fees, balances, what orders hold back, and refusals.

use std::collections::BTreeMap;

use tradewind_core::config::{FeeAsset, FeeConfig, PaperConfig};
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{BasisPoints, Cash, Percent, Quantity};
use tradewind_core::order::{OrderKind, OrderRef, OrderState, OrderUpdate, Side};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::paper::{Ended, SettingsError};
use tradewind_venues::{
    CancelOutcome, FillCursor, Lookup, PaperError, PaperVenue, PlaceOutcome, Venue, VenueError,
};

use crate::desk::{BTC, Desk, ETH, asset, cash, free_of_charge, id, minute, refusal, rules, symbol, usual};

/// 50 bps whoever makes or takes.
fn paying_in(paid_in: FeeAsset, balances: &[(&str, &str)]) -> PaperConfig {
    let rate = BasisPoints::parse("50").unwrap();
    PaperConfig {
        balances: balances.iter().map(|(a, b)| (asset(a), cash(b))).collect(),
        fees: FeeConfig { maker: rate, taker: rate, paid_in },
        ..free_of_charge()
    }
}

/// Buys 0.5 BTC at 100 and sells 0.2 at 110; the fees, and the balances left.
async fn round_trip(config: &PaperConfig, assets: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut desk = Desk::seen_at_100(config).await;
    desk.place(Side::Buy, OrderKind::Market, "0.5", minute(1)).await;
    desk.calm(BTC, 1, "100").await;
    desk.place(Side::Sell, OrderKind::Market, "0.2", minute(2)).await;
    desk.calm(BTC, 2, "110").await;
    let fills = desk.all_fills().await;
    let fees = fills.iter().map(|f| format!("{} {}", f.fee.amount, f.fee.asset)).collect();
    let mut left = Vec::new();
    for asset in assets {
        left.push(desk.balance(asset).await.0);
    }
    (fees, left)
}

#[tokio::test]
async fn a_fee_in_quote_comes_on_top_of_a_buy_and_off_a_sell() {
    let config = paying_in(FeeAsset::Quote, &[("USD", "1000")]);
    let (fees, left) = round_trip(&config, &["USD", "BTC"]).await;
    // 0.5 % of 50 and of 22; 1000 - 50.25 + 21.89.
    assert_eq!(fees, ["0.25 USD", "0.11 USD"]);
    assert_eq!(left, ["971.64", "0.3"]);
}

#[tokio::test]
async fn a_fee_in_what_is_received_makes_a_buy_smaller() {
    let config = paying_in(FeeAsset::Received, &[("USD", "1000")]);
    let (fees, left) = round_trip(&config, &["USD", "BTC"]).await;
    // 0.5 % of 0.5 BTC; 1000 - 50 + 21.89; 0.5 - 0.0025 - 0.2.
    assert_eq!(fees, ["0.0025 BTC", "0.11 USD"]);
    assert_eq!(left, ["971.89", "0.2975"]);
}

#[tokio::test]
async fn a_fee_in_a_third_asset_is_converted_at_its_price_and_falls_back_to_quote() {
    let bnb = FeeAsset::Other { asset: asset("BNB"), price: cash("3") };
    let config = paying_in(bnb, &[("USD", "1000"), ("BNB", "0.1")]);
    let (fees, left) = round_trip(&config, &["USD", "BTC", "BNB"]).await;
    // 0.25 / 3 = 0.08333…, up; the 0.01666… left do not cover 0.11 / 3.
    assert_eq!(fees, ["0.083333333333333334 BNB", "0.11 USD"]);
    assert_eq!(left, ["971.89", "0.3", "0.016666666666666666"]);
}

#[tokio::test]
async fn a_third_asset_that_is_the_quote_asset_is_the_quote_asset() {
    let config = paying_in(FeeAsset::Other { asset: asset("USD"), price: cash("2") }, &[("USD", "1000")]);
    assert_eq!(round_trip(&config, &["USD"]).await.0, ["0.25 USD", "0.11 USD"]);
}

#[tokio::test]
async fn a_fee_too_fine_for_18_decimals_is_rounded_up() {
    let rate = BasisPoints::parse("0.0001").unwrap();
    let mut config = free_of_charge();
    config.fees = FeeConfig { maker: rate, taker: rate, paid_in: FeeAsset::Quote };
    let fine = InstrumentRules::from_decimals(symbol("X-USD"), "0.000000001", "0.000000001", "0").unwrap();
    let mut venue = PaperVenue::in_memory(&config, &asset("USD"), std::slice::from_ref(&fine)).unwrap();
    let mut desk = Desk { venue, rules: vec![fine], next: 1 };
    let order = desk.place(Side::Buy, desk.limit("0.000000002"), "0.000000001", minute(1)).await;
    desk.run(BTC, 1, ["0.000000003", "0.000000003", "0.000000001", "0.000000001"], "1000").await;
    venue = desk.venue;
    // The notional is 2 units of 10^-18; a hundred-millionth of that is still one unit.
    let fills = venue.fills_since(&FillCursor::default()).await.unwrap().fills;
    assert_eq!((fills[0].client_order_id, fills[0].fee.amount), (order, Cash(1)));
}

#[tokio::test]
async fn a_market_buy_holds_back_its_worth_at_the_last_close_with_slippage_and_fee() {
    let mut desk = Desk::seen_at_100(&usual()).await;
    let order = desk.place(Side::Buy, OrderKind::Market, "10", minute(1)).await;
    // 10 * 100.02 = 1000.2, and 0.6 % of it 6.0012.
    assert_eq!(desk.balance("USD").await, ("10000".into(), "8993.7988".into()));
    assert_eq!(desk.cancel(order).await, CancelOutcome::Cancelled { executed: Quantity::ZERO });
    assert_eq!(desk.balance("USD").await, ("10000".into(), "10000".into()));
    // 10 000 / (100.02 * 1.006) = 99.3836…
    assert_eq!(desk.refused(Side::Buy, OrderKind::Market, "99.384", minute(1)).await, "INSUFFICIENT_FUNDS");
    desk.place(Side::Buy, OrderKind::Market, "99.383", minute(1)).await;
}

#[tokio::test]
async fn a_limit_buy_holds_back_its_price_and_the_dearer_fee() {
    let mut desk = Desk::new(&usual());
    desk.place(Side::Buy, desk.limit("50"), "2", minute(1)).await;
    // 100 and 0.6 % of it.
    assert_eq!(desk.balance("USD").await.1, "9899.4");
    desk.place(Side::Buy, desk.stop("200"), "1", minute(1)).await;
    // 200.04 and 0.6 % of it, 1.20024.
    assert_eq!(desk.balance("USD").await.1, "9698.15976");
}

#[tokio::test]
async fn a_resting_stop_holds_back_the_base_so_that_nothing_is_sold_twice() {
    let mut config = free_of_charge();
    config.balances.push((asset("BTC"), cash("1")));
    let mut desk = Desk::seen_at_100(&config).await;
    let stop = desk.place(Side::Sell, desk.stop("90"), "0.7", minute(1)).await;
    assert_eq!(desk.balance("BTC").await, ("1".into(), "0.3".into()));
    assert_eq!(desk.refused(Side::Sell, OrderKind::Market, "0.301", minute(1)).await, "INSUFFICIENT_FUNDS");
    desk.cancel(stop).await;
    desk.place(Side::Sell, OrderKind::Market, "1", minute(1)).await;
    assert_eq!(desk.refused(Side::Sell, OrderKind::Market, "0.001", minute(1)).await, "INSUFFICIENT_FUNDS");
}

#[tokio::test]
async fn a_buy_that_the_cash_no_longer_covers_fills_what_it_does_and_the_rest_expires() {
    let config = paying_in(FeeAsset::Quote, &[("USD", "1000")]);
    let mut desk = Desk::seen_at_100(&config).await;
    let order = desk.place(Side::Buy, OrderKind::Market, "9.9", minute(1)).await;
    let outcome = desk.calm(BTC, 1, "125").await;
    // 1000 / 1.005 / 125 = 7.9601…, down to 7.96: 995 and 4.975 of fee.
    assert_eq!(desk.texts(&outcome), ["7.96 at 125, fee 4.975 USD, Taker"]);
    assert_eq!(outcome.expired, [Ended { client_order_id: order, executed: Quantity(7960) }]);
    assert_eq!(desk.state(order).await, OrderState::Expired);
    assert_eq!(desk.balance("USD").await, ("0.025".into(), "0.025".into()));
    assert!(!desk.venue.has_orders(BTC));
}

#[tokio::test]
async fn a_buy_for_which_not_one_lot_is_left_expires_whole() {
    let mut desk = Desk::new(&paying_in(FeeAsset::Quote, &[("USD", "10.06")]));
    desk.calm(BTC, 0, "10").await;
    let order = desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    let outcome = desk.calm(BTC, 1, "1000000").await;
    assert!(outcome.fills.is_empty());
    assert_eq!(outcome.expired, [Ended { client_order_id: order, executed: Quantity::ZERO }]);
    assert_eq!(desk.balance("USD").await, ("10.06".into(), "10.06".into()));
}

#[tokio::test]
async fn a_buy_never_spends_what_another_order_holds_back() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    desk.place(Side::Buy, desk.limit("50"), "100", minute(1)).await; // holds back 5 000
    desk.place(Side::Buy, OrderKind::Market, "50", minute(1)).await; // holds back 5 000
    let outcome = desk.calm(BTC, 1, "125").await;
    assert_eq!(desk.texts(&outcome), ["40 at 125, fee 0 USD, Taker"]);
    assert_eq!(desk.balance("USD").await, ("5000".into(), "0".into()));
}

#[tokio::test]
async fn refusals_have_a_code_and_change_nothing() {
    let mut config = usual();
    config.balances.push((asset("BTC"), cash("1")));
    let mut desk = Desk::seen_at_100(&config).await;
    let before = desk.venue.book().clone();
    let market = OrderKind::Market;
    let table = [
        (Side::Buy, market, "0", "LOT_SIZE"),
        (Side::Sell, market, "-1", "LOT_SIZE"),
        (Side::Buy, desk.limit("0"), "1", "PRICE_FILTER"),
        (Side::Buy, desk.limit("-1"), "1", "PRICE_FILTER"),
        (Side::Sell, desk.stop("0"), "1", "PRICE_FILTER"),
        (Side::Buy, market, "0.099", "MIN_NOTIONAL"),
        (Side::Buy, desk.limit("9.99"), "1", "MIN_NOTIONAL"),
        (Side::Sell, market, "1.001", "INSUFFICIENT_FUNDS"),
        (Side::Buy, market, "9000000000000", "INSUFFICIENT_FUNDS"),
        (Side::Buy, desk.limit("90000000000000000"), "9000000000000000", "AMOUNT_TOO_LARGE"),
    ];
    for (side, kind, quantity, code) in table {
        assert_eq!(desk.refused(side, kind, quantity, minute(1)).await, code, "{side} {kind:?} {quantity}");
    }
    let mut off_symbol = desk.request(BTC, Side::Buy, market, "1");
    off_symbol.symbol = symbol("DOGE-USD");
    assert_eq!(refusal(desk.venue.place(&off_symbol, minute(1)).await), "UNKNOWN_SYMBOL");
    let mut late = desk.request(BTC, Side::Buy, market, "1");
    late.valid_until = minute(1);
    assert_eq!(refusal(desk.venue.place(&late, Timestamp(60_001)).await), "EXPIRED");
    let unseen = desk.request(ETH, Side::Buy, market, "1");
    assert_eq!(refusal(desk.venue.place(&unseen, minute(1)).await), "NO_REFERENCE_PRICE");
    assert_eq!(desk.venue.book(), &before);
    assert_eq!(desk.venue.lookup(&OrderRef::from(&late)).await, Lookup::NotFound);
    let outcome = desk.venue.place(&late, minute(1)).await;
    assert!(matches!(outcome, PlaceOutcome::Accepted { .. }), "in time to the millisecond: {outcome:?}");
}

#[tokio::test]
async fn quantities_and_prices_between_the_steps_are_refused() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    desk.calm(ETH, 0, "10").await;
    // ETH has a tick of 0.05: 10.01 is a price of its scale, but not of its tick.
    let price = desk.rules[1].parse_price("10.01").unwrap();
    let request = desk.request(ETH, Side::Buy, OrderKind::Limit { price }, "1");
    assert_eq!(refusal(desk.venue.place(&request, minute(1)).await), "PRICE_FILTER");
    let coarse = InstrumentRules::from_decimals(symbol("X-USD"), "1", "0.5", "0").unwrap();
    let venue =
        PaperVenue::in_memory(&free_of_charge(), &asset("USD"), std::slice::from_ref(&coarse)).unwrap();
    let mut desk = Desk { venue, rules: vec![coarse], next: 1 };
    desk.calm(BTC, 0, "10").await;
    assert_eq!(desk.refused(Side::Buy, OrderKind::Market, "0.7", minute(1)).await, "LOT_SIZE");
}

#[tokio::test]
async fn a_sell_below_the_minimum_is_taken_because_what_is_held_can_be_sold() {
    let mut config = free_of_charge();
    config.balances.push((asset("BTC"), cash("0.001")));
    let mut desk = Desk::seen_at_100(&config).await;
    desk.place(Side::Sell, OrderKind::Market, "0.001", minute(1)).await;
    assert_eq!(desk.calm(BTC, 1, "100").await.fills.len(), 1);
}

#[tokio::test]
async fn a_client_order_id_is_never_free_again() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    let request = desk.request(BTC, Side::Buy, OrderKind::Market, "1");
    let first = desk.venue.place(&request, minute(1)).await;
    assert_eq!(OrderUpdate::from(first), OrderUpdate::Accepted { venue_order_id: "PO1".into() });
    assert_eq!(refusal(desk.venue.place(&request, minute(1)).await), "DUPLICATE_CLIENT_ORDER_ID");
    desk.calm(BTC, 1, "100").await;
    assert_eq!(refusal(desk.venue.place(&request, minute(2)).await), "DUPLICATE_CLIENT_ORDER_ID");
    assert_eq!(desk.all_fills().await.len(), 1);
}

#[tokio::test]
async fn a_cancel_ends_what_is_open_and_tells_what_had_ended_before() {
    let mut desk = Desk::seen_at_100(&usual()).await;
    let order = desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    // A tenth of 5 is half of it.
    desk.run(BTC, 1, ["100", "100", "100", "100"], "5").await;
    assert_eq!(desk.cancel(order).await, CancelOutcome::Cancelled { executed: Quantity(500) });
    let found = desk.order(order).await;
    assert_eq!((found.state, found.filled.0), (OrderState::Cancelled, 500));
    assert_eq!(desk.cancel(order).await, CancelOutcome::AlreadyDone);
    assert!(desk.calm(BTC, 2, "100").await.is_empty());
    let filled = desk.place(Side::Sell, OrderKind::Market, "0.5", minute(3)).await;
    desk.calm(BTC, 3, "100").await;
    assert_eq!(desk.cancel(filled).await, CancelOutcome::AlreadyDone, "the fill was first");
    assert_eq!(desk.state(filled).await, OrderState::Filled);
    assert_eq!(desk.cancel(id(99)).await, CancelOutcome::NotFound);
}

#[tokio::test]
async fn a_cancel_between_plan_and_apply_makes_the_plan_void() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    let order = desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    let bar = desk.bar(BTC, 1, ["100", "100", "100", "100"], "9");
    let plan = desk.venue.plan_open(BTC, &bar, crate::desk::MINUTE).unwrap();
    assert_eq!(plan.outcome().fills.len(), 1);
    assert!(desk.all_fills().await.is_empty(), "a plan is not a deed");
    desk.cancel(order).await;
    let stale = desk.venue.apply(plan).await;
    assert!(matches!(stale, Err(PaperError::StalePlan { .. })), "{stale:?}");
    assert!(desk.phase(tradewind_venues::Phase::Open, BTC, &bar).await.is_empty());
    assert_eq!(desk.balance("USD").await, ("10000".into(), "10000".into()));
}

#[tokio::test]
async fn the_port_lists_open_orders_oldest_first_and_fills_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::stored(&folder.path().join("paper.db"), &free_of_charge()).await;
    desk.calm(BTC, 0, "100").await;
    let (one, other) = (desk.limit("50"), desk.limit("60"));
    let first = desk.place(Side::Buy, one, "1", minute(1)).await;
    let second = desk.place(Side::Buy, other, "1", minute(1)).await;
    let open: Vec<_> =
        desk.venue.open_orders().await.unwrap().orders.iter().map(|o| o.client_order_id).collect();
    assert_eq!(open, [first, second]);
    for n in 1..=1001 {
        desk.place(if n % 2 == 1 { Side::Buy } else { Side::Sell }, OrderKind::Market, "0.1", minute(n))
            .await;
        desk.calm(BTC, n, "100").await;
    }
    let page = desk.venue.fills_since(&FillCursor::default()).await.unwrap();
    assert_eq!((page.fills.len(), &page.next), (1000, &FillCursor::Sequence(1000)));
    let rest = desk.venue.fills_since(&page.next).await.unwrap();
    assert_eq!((rest.fills.len(), rest.fills[0].trade_id.0.as_str()), (1, "P1001"));
    let end = desk.venue.fills_since(&rest.next).await.unwrap();
    assert_eq!((end.fills.len(), end.next), (0, rest.next));
    let beyond = FillCursor::Sequence(u64::MAX);
    assert!(desk.venue.fills_since(&beyond).await.unwrap().fills.is_empty());
    let other = FillCursor::ByInstrument(BTreeMap::from([(symbol("BTC-USD"), 1)]));
    let refused = desk.venue.fills_since(&other).await;
    assert!(matches!(refused, Err(VenueError::Paper(PaperError::ForeignCursor))), "{refused:?}");
}

#[tokio::test]
async fn a_venue_in_memory_does_not_pass_over_trades_it_has_forgotten() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    for n in 1..=200 {
        let side = if n % 2 == 1 { Side::Buy } else { Side::Sell };
        desk.place(side, OrderKind::Market, "0.1", minute(n)).await;
        desk.calm(BTC, n, "100").await;
    }
    let latest = desk.venue.fills_since(&FillCursor::Sequence(190)).await.unwrap();
    assert_eq!((latest.fills.len(), latest.fills[0].trade_id.0.as_str()), (10, "P191"));
    let all = desk.venue.fills_since(&FillCursor::default()).await;
    let Err(VenueError::Paper(PaperError::Store(error))) = all else { panic!("{all:?}") };
    assert!(
        error.to_string().starts_with("the trades after number 0 are no longer all in memory"),
        "{error}"
    );
}

#[tokio::test]
async fn the_time_is_what_the_venue_was_told_last() {
    let mut desk = Desk::new(&free_of_charge());
    assert!(matches!(desk.venue.time().await, Err(VenueError::NoTime)));
    desk.calm(BTC, 3, "100").await;
    assert_eq!(desk.venue.time().await.unwrap(), minute(3));
    desk.place(Side::Buy, desk.limit("50"), "1", Timestamp(250_000)).await;
    assert_eq!(desk.venue.time().await.unwrap(), Timestamp(250_000));
}

#[test]
fn settings_that_cannot_hold_are_refused() {
    let make = |config: &PaperConfig| PaperVenue::in_memory(config, &asset("USD"), &rules()).map(drop);
    let broken = |change: fn(&mut PaperConfig)| {
        let mut config = usual();
        change(&mut config);
        match make(&config) {
            Err(PaperError::Settings(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(make(&usual()).is_ok());
    assert!(matches!(
        broken(|c| c.fees.taker = BasisPoints(-1)),
        SettingsError::Rate { field: "taker fee", .. }
    ));
    assert!(matches!(broken(|c| c.slippage = BasisPoints(100_000_001)), SettingsError::Rate { .. }));
    assert!(matches!(broken(|c| c.volume_share = Percent(1_000_001)), SettingsError::Rate { .. }));
    assert!(matches!(broken(|c| c.latency = Millis(-1)), SettingsError::Latency { .. }));
    assert!(matches!(broken(|c| c.balances[0].1 = Cash(-1)), SettingsError::Balance { .. }));
    assert!(matches!(
        broken(|c| c.balances.push(c.balances[0].clone())),
        SettingsError::DuplicateBalance { .. }
    ));
    let free = |c: &mut PaperConfig| c.fees.paid_in = FeeAsset::Other { asset: asset("BNB"), price: Cash(0) };
    assert!(matches!(broken(free), SettingsError::FeePrice { .. }));
    let twice = [rules()[0].clone(), rules()[0].clone()];
    let twice = PaperVenue::in_memory(&usual(), &asset("USD"), &twice);
    assert!(matches!(twice, Err(PaperError::Settings(SettingsError::DuplicateSymbol { .. }))));
}
