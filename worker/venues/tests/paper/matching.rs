//! The matching convention, by tables computed by hand.

use crate::desk::{BTC, Desk, MINUTE, cash, free_of_charge, minute, usual};
use tradewind_core::config::PaperConfig;
use tradewind_core::money::{BasisPoints, Percent, Quantity};
use tradewind_core::order::{Liquidity, OrderKind, OrderState, Side};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::Phase;
use tradewind_venues::paper::Ended;

fn slipping(bps: &str) -> PaperConfig {
    PaperConfig { slippage: BasisPoints::parse(bps).unwrap(), ..free_of_charge() }
}

/// With one BTC to sell.
fn long(config: PaperConfig) -> PaperConfig {
    let mut config = config;
    config.balances.push((crate::desk::asset("BTC"), cash("10")));
    config
}

#[tokio::test]
async fn a_market_order_fills_at_the_next_open_worse_by_slippage_and_later_by_latency() {
    let mut desk = Desk::seen_at_100(&usual()).await;
    desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    let outcome = desk.run(BTC, 1, ["101", "105", "99", "104"], "1000").await;
    // 101 * 1.0002 = 101.0202, up to 101.03; 0.6 % of that is 0.60618.
    assert_eq!(desk.texts(&outcome), ["1 at 101.03, fee 0.60618 USD, Taker"]);
    assert_eq!(outcome.fills[0].at, Timestamp(60_150));
    // 10 000 - 101.03 - 0.60618
    assert_eq!(desk.balance("USD").await, ("9898.36382".into(), "9898.36382".into()));
    assert_eq!(desk.balance("BTC").await.0, "1");
}

#[tokio::test]
async fn slippage_is_rounded_to_the_tick_against_us_and_no_price_is_below_a_tick() {
    // (open, slippage in bps, side, price)
    let table = [
        ("100", "2", Side::Buy, "100.02"),
        ("100.01", "2", Side::Buy, "100.04"),
        ("100", "2", Side::Sell, "99.98"),
        ("100.01", "2", Side::Sell, "99.98"),
        ("100.01", "0", Side::Buy, "100.01"),
        ("100.01", "0", Side::Sell, "100.01"),
        ("0.01", "5000", Side::Sell, "0.01"),
        ("100", "10000", Side::Sell, "0.01"),
        ("0.01", "1", Side::Buy, "0.02"),
    ];
    for (open, bps, side, price) in table {
        let mut desk = Desk::new(&long(slipping(bps)));
        desk.calm(BTC, 0, "100").await;
        desk.place(side, OrderKind::Market, "1", minute(1)).await;
        let outcome = desk.calm(BTC, 1, open).await;
        assert_eq!(desk.texts(&outcome), [format!("1 at {price}, fee 0 USD, Taker")], "{open} {bps} {side}");
    }
}

#[tokio::test]
async fn a_market_order_waits_for_the_bar_in_which_it_reaches_the_market() {
    let latency = Millis(90_000);
    let mut desk = Desk::seen_at_100(&PaperConfig { latency, ..free_of_charge() }).await;
    desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    assert!(desk.calm(BTC, 1, "100").await.is_empty(), "it arrives in minute 2");
    let outcome = desk.calm(BTC, 2, "101").await;
    assert_eq!((outcome.fills[0].price.0, outcome.fills[0].at), (10_100, Timestamp(150_000)));
}

#[tokio::test]
async fn a_market_order_that_waited_through_a_gap_fills_when_the_next_bar_opens() {
    let mut desk = Desk::seen_at_100(&usual()).await;
    desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    let outcome = desk.calm(BTC, 9, "100").await;
    assert_eq!(outcome.fills[0].at, minute(9));
}

#[tokio::test]
async fn a_bar_that_ended_before_an_order_was_placed_never_fills_it() {
    for latency in [0, 150] {
        let mut desk = Desk::new(&long(PaperConfig { latency: Millis(latency), ..free_of_charge() }));
        desk.calm(BTC, 0, "100").await;
        desk.place(Side::Buy, OrderKind::Market, "1", minute(2)).await;
        desk.place(Side::Sell, desk.stop("99"), "1", minute(2)).await;
        desk.place(Side::Buy, desk.limit("99"), "1", minute(2)).await;
        let outcome = desk.run(BTC, 1, ["98", "98", "90", "98"], "1000").await;
        assert!(outcome.is_empty(), "latency {latency}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_stop_fills_at_the_worse_of_open_and_trigger() {
    // side, trigger, bar, price without slippage (none: does not fill), in which phase
    let table = [
        (Side::Sell, "95", ["100", "101", "94", "96"], Some(("95", Phase::Range))),
        (Side::Sell, "95", ["100", "101", "95", "96"], Some(("95", Phase::Range))),
        (Side::Sell, "95", ["100", "101", "95.01", "96"], None),
        (Side::Sell, "95", ["93", "97", "92", "96"], Some(("93", Phase::Open))),
        (Side::Sell, "95", ["95", "97", "95", "96"], Some(("95", Phase::Open))),
        (Side::Buy, "105", ["100", "106", "99", "104"], Some(("105", Phase::Range))),
        (Side::Buy, "105", ["100", "104.99", "99", "104"], None),
        (Side::Buy, "105", ["107", "108", "106", "107"], Some(("107", Phase::Open))),
    ];
    for (side, trigger, prices, expected) in table {
        let mut desk = Desk::new(&long(free_of_charge()));
        desk.calm(BTC, 0, "100").await;
        desk.place(side, desk.stop(trigger), "1", minute(1)).await;
        let bar = desk.bar(BTC, 1, prices, "1000");
        let at_open = desk.phase(Phase::Open, BTC, &bar).await;
        let in_range = desk.phase(Phase::Range, BTC, &bar).await;
        let line = |price| vec![format!("1 at {price}, fee 0 USD, Taker")];
        let (open, range) = match expected {
            None => (vec![], vec![]),
            Some((price, Phase::Open)) => (line(price), vec![]),
            Some((price, Phase::Range)) => (vec![], line(price)),
        };
        assert_eq!(
            (desk.texts(&at_open), desk.texts(&in_range)),
            (open, range),
            "{side} {trigger} {prices:?}"
        );
    }
}

#[tokio::test]
async fn a_stop_slips_from_its_trigger_and_is_stamped_inside_its_bar() {
    let mut desk = Desk::new(&long(usual()));
    desk.place(Side::Sell, desk.stop("95"), "1", minute(1)).await;
    let outcome = desk.run(BTC, 1, ["100", "100", "90", "91"], "1000").await;
    // 95 * 0.9998 = 94.981, down to 94.98; 0.6 % of that is 0.56988.
    assert_eq!(desk.texts(&outcome), ["1 at 94.98, fee 0.56988 USD, Taker"]);
    assert_eq!(outcome.fills[0].at, Timestamp(119_999));
}

#[tokio::test]
async fn a_stop_guards_the_very_bar_its_entry_filled_in() {
    // The stop lies above, at and below the open of the bar it is placed in.
    for (trigger, price) in [("101", "100"), ("100", "100"), ("98", "98")] {
        let mut desk = Desk::seen_at_100(&free_of_charge()).await;
        desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
        let bar = desk.bar(BTC, 1, ["100", "103", "97", "99"], "1000");
        let entry = desk.phase(Phase::Open, BTC, &bar).await;
        let stop = desk.place(Side::Sell, desk.stop(trigger), "1", entry.fills[0].at).await;
        let outcome = desk.phase(Phase::Range, BTC, &bar).await;
        assert_eq!(desk.texts(&outcome), [format!("1 at {price}, fee 0 USD, Taker")], "{trigger}");
        assert!(outcome.fills[0].at >= entry.fills[0].at);
        assert_eq!(desk.state(stop).await, OrderState::Filled);
    }
}

#[tokio::test]
async fn a_stop_with_latency_is_live_at_once() {
    let mut desk = Desk::new(&long(PaperConfig { latency: Millis(3_600_000), ..free_of_charge() }));
    desk.place(Side::Sell, desk.stop("95"), "1", minute(1)).await;
    assert_eq!(desk.run(BTC, 1, ["100", "100", "94", "96"], "1000").await.fills.len(), 1);
}

#[tokio::test]
async fn a_stop_set_off_in_a_bar_without_volume_sells_at_the_next_open_even_if_the_price_is_back() {
    let mut desk = Desk::new(&long(free_of_charge()));
    let stop = desk.place(Side::Sell, desk.stop("95"), "1", minute(1)).await;
    assert!(desk.run(BTC, 1, ["100", "100", "94", "99"], "0").await.is_empty());
    assert_eq!(desk.state(stop).await, OrderState::Accepted);
    let outcome = desk.calm(BTC, 2, "120").await;
    assert_eq!(desk.texts(&outcome), ["1 at 120, fee 0 USD, Taker"]);
}

#[tokio::test]
async fn a_limit_fills_only_when_the_price_goes_through_it() {
    // side, limit, bar, expected price and liquidity; the order arrives with the bar's open
    let table = [
        (Side::Buy, "95", ["100", "101", "95", "96"], None),
        (Side::Buy, "95", ["100", "101", "94.99", "96"], Some(("95", Liquidity::Maker))),
        (Side::Buy, "95", ["94", "96", "93", "96"], Some(("94", Liquidity::Taker))),
        (Side::Buy, "95", ["95", "96", "95", "96"], None),
        (Side::Sell, "105", ["100", "105", "99", "101"], None),
        (Side::Sell, "105", ["100", "105.01", "99", "101"], Some(("105", Liquidity::Maker))),
        (Side::Sell, "105", ["106", "107", "104", "105"], Some(("106", Liquidity::Taker))),
    ];
    for (side, limit, prices, expected) in table {
        let mut desk = Desk::new(&long(free_of_charge()));
        desk.place(side, desk.limit(limit), "1", minute(1)).await;
        let outcome = desk.run(BTC, 1, prices, "1000").await;
        let expected = expected.map(|(price, liquidity)| format!("1 at {price}, fee 0 USD, {liquidity:?}"));
        assert_eq!(desk.texts(&outcome), Vec::from_iter(expected), "{side} {limit} {prices:?}");
    }
}

#[tokio::test]
async fn a_resting_limit_is_filled_as_maker_at_a_better_open() {
    let mut desk = Desk::new(&usual());
    desk.place(Side::Buy, desk.limit("95"), "1", minute(1)).await;
    assert!(desk.calm(BTC, 1, "100").await.is_empty());
    let outcome = desk.run(BTC, 2, ["94", "96", "93", "96"], "1000").await;
    // 0.4 % of 94.
    assert_eq!(desk.texts(&outcome), ["1 at 94, fee 0.376 USD, Maker"]);
    assert_eq!(outcome.fills[0].at, minute(2));
}

#[tokio::test]
async fn a_marketable_limit_slips_but_never_beyond_its_price() {
    for (limit, price, fee) in [("95", "94.02", "0.56412"), ("94.01", "94.01", "0.56406")] {
        let mut desk = Desk::new(&usual());
        desk.place(Side::Buy, desk.limit(limit), "1", minute(1)).await;
        let outcome = desk.run(BTC, 1, ["94", "96", "93", "96"], "1000").await;
        // 94 * 1.0002 = 94.0188, up to 94.02; 0.6 % of 94.02 and of 94.01.
        assert_eq!(desk.texts(&outcome), [format!("1 at {price}, fee {fee} USD, Taker")]);
        assert_eq!(outcome.fills[0].at, Timestamp(60_150));
    }
}

#[tokio::test]
async fn an_order_takes_its_share_of_the_volume_and_the_rest_waits_for_the_next_bar() {
    let config = PaperConfig { volume_share: Percent::parse("10").unwrap(), ..free_of_charge() };
    let mut desk = Desk::seen_at_100(&config).await;
    let order = desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    // 10 % of 4.567 is 0.4567, down to the lot 0.456.
    let first = desk.run(BTC, 1, ["100", "101", "99", "100"], "4.567").await;
    assert_eq!(desk.texts(&first), ["0.456 at 100, fee 0 USD, Taker"]);
    assert_eq!(desk.state(order).await, OrderState::PartiallyFilled);
    // The reserve of the rest: 0.544 * 100.
    assert_eq!(desk.balance("USD").await, ("9954.4".into(), "9900".into()));
    assert!(desk.run(BTC, 2, ["90", "90", "90", "90"], "0").await.is_empty(), "no volume, no trade");
    assert!(desk.run(BTC, 3, ["90", "90", "90", "90"], "0.009").await.is_empty(), "less than a lot");
    let last = desk.run(BTC, 4, ["101", "101", "101", "101"], "100").await;
    assert_eq!(desk.texts(&last), ["0.544 at 101, fee 0 USD, Taker"]);
    assert_eq!(last.fills[0].at, minute(4));
    assert_eq!(desk.state(order).await, OrderState::Filled);
    assert_eq!(desk.order(order).await.filled.0, 1000);
}

#[tokio::test]
async fn orders_share_the_volume_of_a_bar_in_the_order_they_were_placed_in_over_both_phases() {
    let config = PaperConfig { volume_share: Percent::parse("50").unwrap(), ..free_of_charge() };
    let mut desk = Desk::new(&long(config));
    desk.calm(BTC, 0, "100").await;
    desk.place(Side::Sell, desk.stop("98"), "2", minute(1)).await;
    desk.place(Side::Buy, OrderKind::Market, "3", minute(1)).await;
    desk.place(Side::Sell, desk.stop("99"), "2", minute(1)).await;
    // Half of 9 is 4.5: the market order takes 3 at the open, the older stop has 1.5 left, the younger none.
    let outcome = desk.run(BTC, 1, ["100", "100", "97", "97"], "9").await;
    assert_eq!(desk.texts(&outcome), ["3 at 100, fee 0 USD, Taker", "1.5 at 98, fee 0 USD, Taker"]);
    let outcome = desk.run(BTC, 2, ["99.5", "99.5", "99.5", "99.5"], "100").await;
    assert_eq!(desk.texts(&outcome), ["0.5 at 99.5, fee 0 USD, Taker", "2 at 99.5, fee 0 USD, Taker"]);
}

#[tokio::test]
async fn a_share_of_nothing_fills_nothing() {
    let mut desk = Desk::seen_at_100(&PaperConfig { volume_share: Percent(0), ..free_of_charge() }).await;
    desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    assert!(desk.calm(BTC, 1, "100").await.is_empty());
}

#[tokio::test]
async fn each_phase_of_a_bar_happens_once() {
    let config = PaperConfig { volume_share: Percent::parse("10").unwrap(), ..free_of_charge() };
    let mut desk = Desk::new(&long(config));
    desk.calm(BTC, 0, "100").await;
    desk.place(Side::Buy, OrderKind::Market, "5", minute(1)).await;
    desk.place(Side::Sell, desk.stop("95"), "5", minute(1)).await;
    let bar = desk.bar(BTC, 1, ["100", "100", "90", "90"], "30");
    assert_eq!(desk.phase(Phase::Open, BTC, &bar).await.fills.len(), 1);
    assert!(desk.phase(Phase::Open, BTC, &bar).await.is_empty());
    // Half of nothing: the open took all 3 of the share; the stop is set off but cannot trade.
    assert!(desk.phase(Phase::Range, BTC, &bar).await.is_empty());
    let before = desk.venue.book().clone();
    assert!(desk.phase(Phase::Range, BTC, &bar).await.is_empty());
    assert!(desk.phase(Phase::Open, BTC, &bar).await.is_empty());
    let earlier = desk.bar(BTC, 0, ["80", "80", "80", "80"], "1000");
    assert!(desk.phase(Phase::Open, BTC, &earlier).await.is_empty(), "an earlier bar has passed too");
    assert_eq!(desk.venue.book(), &before);
}

#[tokio::test]
async fn an_open_that_comes_after_its_range_has_passed() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    let bar = desk.bar(BTC, 1, ["100", "100", "90", "90"], "30");
    desk.phase(Phase::Range, BTC, &bar).await;
    desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    assert!(desk.phase(Phase::Open, BTC, &bar).await.is_empty());
}

#[tokio::test]
async fn a_bar_in_which_nothing_would_trade_passes_quietly_and_counts_as_passed() {
    let mut desk = Desk::seen_at_100(&free_of_charge()).await;
    let bar = desk.bar(BTC, 1, ["100", "100", "90", "90"], "30");
    assert!(!desk.venue.has_orders(BTC));
    assert!(desk.venue.quiet(Phase::Open, BTC, &bar, MINUTE));
    let order = desk.place(Side::Buy, OrderKind::Market, "1", minute(1)).await;
    assert!(desk.venue.has_orders(BTC));
    assert!(
        desk.phase(Phase::Open, BTC, &bar).await.is_empty(),
        "the open passed quietly before the order came"
    );
    assert!(desk.venue.quiet(Phase::Range, BTC, &bar, MINUTE), "a market order waits for an open");
    let next = desk.bar(BTC, 2, ["91"; 4], "30");
    assert!(!desk.venue.quiet(Phase::Open, BTC, &next, MINUTE), "it would fill");
    assert_eq!(desk.state(order).await, OrderState::Accepted);
    assert_eq!(desk.phase(Phase::Open, BTC, &next).await.fills.len(), 1);
    let none = tradewind_core::instrument::InstrumentId(9);
    assert!(!desk.venue.quiet(Phase::Open, none, &bar, MINUTE) && !desk.venue.has_orders(none));
    assert!(desk.venue.on_open(none, &bar, MINUTE).await.is_err());
}

#[tokio::test]
async fn an_immediate_or_cancel_order_trades_at_the_next_open_within_its_limit_or_not_at_all() {
    // (side, limit, open, slippage in bps, what it trades at)
    let table = [
        (Side::Buy, "101", "101", "0", Some("101")),
        (Side::Buy, "101", "100.99", "2", Some("101")),
        (Side::Buy, "101", "100", "2", Some("100.02")),
        (Side::Buy, "101", "101.01", "0", None),
        (Side::Sell, "99", "99", "2", Some("99")),
        (Side::Sell, "99", "100", "2", Some("99.98")),
        (Side::Sell, "99", "98.99", "0", None),
    ];
    for (side, limit, open, bps, price) in table {
        let mut desk = Desk::new(&long(slipping(bps)));
        desk.calm(BTC, 0, "100").await;
        let OrderKind::Limit { price: bound } = desk.limit(limit) else { panic!() };
        let order = desk.place(side, OrderKind::ImmediateOrCancel { price: bound }, "1", minute(1)).await;
        let outcome = desk.calm(BTC, 1, open).await;
        let texts: Vec<_> = price.iter().map(|price| format!("1 at {price}, fee 0 USD, Taker")).collect();
        assert_eq!(desk.texts(&outcome), texts, "{side} {limit} {open}");
        let expected = if price.is_some() { OrderState::Filled } else { OrderState::Expired };
        assert_eq!(desk.state(order).await, expected);
        let unfilled = Ended { client_order_id: order, executed: Quantity::ZERO };
        assert_eq!(outcome.expired, if price.is_some() { vec![] } else { vec![unfilled] });
        let (total, free) = desk.balance("USD").await;
        assert_eq!(total, free, "nothing is held back for an order that has ended");
    }
}

#[tokio::test]
async fn what_an_immediate_or_cancel_order_cannot_fill_at_once_ends() {
    for (volume, filled) in [("15", "1.5"), ("0", "0")] {
        let mut desk = Desk::seen_at_100(&usual()).await;
        let OrderKind::Limit { price } = desk.limit("105") else { panic!() };
        let order = desk.place(Side::Buy, OrderKind::ImmediateOrCancel { price }, "2", minute(1)).await;
        // A tenth of the volume is ours at most.
        let outcome = desk.run(BTC, 1, ["100", "100", "100", "100"], volume).await;
        let ended = desk.order(order).await;
        assert_eq!(outcome.expired, [Ended { client_order_id: order, executed: ended.filled }]);
        assert_eq!(
            (ended.state, desk.rules[0].quantity_text(ended.filled)),
            (OrderState::Expired, filled.into())
        );
        let (total, free) = desk.balance("USD").await;
        assert_eq!(total, free);
        assert!(desk.run(BTC, 2, ["100", "100", "100", "100"], "1000").await.is_empty());
    }
}
