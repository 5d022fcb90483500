use proptest::prelude::*;
use tradewind_core::money::{Price, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::{ClientOrderId, Fee, Incarnation, IntentId, Liquidity, TradeId};

use super::*;

const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);

fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

/// `amount` coins for `notional`, with a fee in quote.
fn execution(at: i64, side: Side, amount: &str, notional: &str, fee: &str) -> Execution {
    let fee = ExecutionFee::Quote(cash(fee));
    Execution {
        at: Timestamp(at),
        side,
        amount: cash(amount),
        notional: cash(notional),
        fee,
        lot: cash("0.01"),
    }
}

#[test]
fn a_round_trip_is_proceeds_less_cost_less_both_fees() {
    let mut tracker = TradeTracker::default();
    assert_eq!(tracker.on_fill(BTC, &execution(1, Side::Buy, "2", "200", "1")).unwrap(), None);
    let trade = tracker.on_fill(BTC, &execution(5, Side::Sell, "2", "230", "2")).unwrap().unwrap();
    // 230 - 2 - 200 - 1.
    assert_eq!(
        trade,
        ClosedTrade { instrument: BTC, entry: Timestamp(1), exit: Timestamp(5), pnl: cash("27") }
    );
    let figures = tracker.figures();
    assert_eq!((figures.fills, figures.fees, figures.realized_pnl), (2, cash("3"), cash("27")));
}

#[test]
fn partial_fills_are_one_trade_at_the_average_cost() {
    let mut tracker = TradeTracker::default();
    tracker.on_fill(BTC, &execution(1, Side::Buy, "1", "100", "1")).unwrap();
    tracker.on_fill(BTC, &execution(2, Side::Buy, "3", "340", "3")).unwrap();
    // Average cost 444 / 4 = 111 a coin; one coin sold for 120 less 1 brings 8, and the trade goes on.
    assert_eq!(tracker.on_fill(BTC, &execution(3, Side::Sell, "1", "120", "1")).unwrap(), None);
    assert_eq!(tracker.figures().realized_pnl, cash("8"));
    assert_eq!(tracker.figures().trades, 0);
    // Three coins for 300 less 3 lose 297 - 333 = -36: the trade lost 28.
    let trade = tracker.on_fill(BTC, &execution(9, Side::Sell, "3", "300", "3")).unwrap().unwrap();
    assert_eq!((trade.entry, trade.exit, trade.pnl), (Timestamp(1), Timestamp(9), cash("-28")));
    assert_eq!((tracker.figures().trades, tracker.figures().fills), (1, 4));
}

#[test]
fn win_rate_payoff_and_profit_factor_are_the_hand_computed_ones() {
    let mut tracker = TradeTracker::default();
    // PnL +30, -10, 0, +10, -5.
    for (at, proceeds) in [(0, "130"), (10, "90"), (20, "100"), (30, "110"), (40, "95")] {
        let instrument = if at % 20 == 0 { BTC } else { ETH };
        tracker.on_fill(instrument, &execution(at, Side::Buy, "1", "100", "0")).unwrap();
        tracker.on_fill(instrument, &execution(at + 1, Side::Sell, "1", proceeds, "0")).unwrap();
    }
    let figures = tracker.figures();
    assert_eq!((figures.trades, figures.wins, figures.losses), (5, 2, 2));
    assert_eq!(figures.win_rate, Some(0.4));
    // Average win 20, average loss 7.5; 40 won, 15 lost.
    assert!((figures.payoff.unwrap() - 20.0 / 7.5).abs() < 1e-12);
    assert!((figures.profit_factor.unwrap() - 40.0 / 15.0).abs() < 1e-12);
}

#[test]
fn ratios_without_trades_wins_or_losses_are_none() {
    let mut tracker = TradeTracker::default();
    let none = tracker.figures();
    assert_eq!((none.win_rate, none.payoff, none.profit_factor), (None, None, None));
    tracker.on_fill(BTC, &execution(0, Side::Buy, "1", "100", "0")).unwrap();
    tracker.on_fill(BTC, &execution(1, Side::Sell, "1", "110", "0")).unwrap();
    let won = tracker.figures();
    assert_eq!((won.win_rate, won.payoff, won.profit_factor), (Some(1.0), None, None));
}

#[test]
fn a_fee_in_the_base_asset_is_neither_lost_nor_counted_twice() {
    let mut tracker = TradeTracker::default();
    let fee = ExecutionFee::Base { amount: cash("0.0025"), value: cash("0.25") };
    let mut buy = execution(1, Side::Buy, "1", "100", "0");
    buy.fee = fee;
    tracker.on_fill(BTC, &buy).unwrap();
    // 0.9975 are held; 0.99 (whole lots) are sold for 120; the rest is below a lot and closes the trade.
    let trade = tracker.on_fill(BTC, &execution(2, Side::Sell, "0.99", "120", "0")).unwrap().unwrap();
    assert_eq!(trade.pnl, cash("20"));
    assert_eq!(tracker.figures().fees, cash("0.25"));
    // The rest costs nothing and is sold with the next trade: 1.0075 for 110, bought for 100.
    tracker.on_fill(BTC, &execution(3, Side::Buy, "1", "100", "0")).unwrap();
    let trade = tracker.on_fill(BTC, &execution(4, Side::Sell, "1.0075", "110", "0")).unwrap().unwrap();
    assert_eq!((trade.entry, trade.pnl), (Timestamp(3), cash("10")));
}

#[test]
fn an_amount_that_overflows_is_an_error_and_books_nothing() {
    let mut tracker = TradeTracker::default();
    let huge = Execution { notional: Cash(i128::MAX), ..execution(1, Side::Buy, "1", "1", "1") };
    assert!(matches!(tracker.on_fill(BTC, &huge), Err(StatisticsError::Money(_))));
    assert_eq!(tracker.figures(), TradeFigures::default());
}

fn fill(fee_asset: &str, fee: &str) -> (Fill, InstrumentRules) {
    let rules = InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.0001", "1").unwrap();
    let strategy = Uid(uuid::Uuid::nil());
    let fill = Fill {
        trade_id: TradeId("t1".into()),
        client_order_id: ClientOrderId::derive(Incarnation(1), strategy, IntentId(1)),
        symbol: rules.symbol.clone(),
        side: Side::Buy,
        price: Price(5_000_050),
        quantity: Quantity(1000),
        fee: Fee { asset: fee_asset.parse().unwrap(), amount: cash(fee) },
        liquidity: Liquidity::Taker,
        at: Timestamp(7),
    };
    (fill, rules)
}

#[test]
fn a_fill_is_valued_by_the_asset_of_its_fee() {
    // 0.1 coins at 50 000.50 are 5000.05.
    let (in_quote, rules) = fill("USD", "3");
    let execution = Execution::of(&in_quote, &rules, None).unwrap();
    assert_eq!((execution.amount, execution.notional), (cash("0.1"), cash("5000.05")));
    assert_eq!((execution.fee, execution.lot), (ExecutionFee::Quote(cash("3")), cash("0.0001")));

    let (in_base, rules) = fill("BTC", "0.0001");
    let fee = Execution::of(&in_base, &rules, None).unwrap().fee;
    assert_eq!(fee, ExecutionFee::Base { amount: cash("0.0001"), value: cash("5.00005") });

    let (in_third, rules) = fill("BNB", "0.01");
    let fee = Execution::of(&in_third, &rules, Some(cash("600"))).unwrap().fee;
    assert_eq!(fee, ExecutionFee::Quote(cash("6")));
    let error = Execution::of(&in_third, &rules, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "statistics: the fee of a fill in BTC-USD was taken in BNB, and no price of it was given"
    );
}

proptest! {
    #[test]
    fn a_closed_book_has_realized_what_went_through_its_cash(
        fills in proptest::collection::vec((any::<bool>(), 1_i128..1000, 1_i128..1_000_000, 0_i128..1000), 1..40)
    ) {
        let mut tracker = TradeTracker::default();
        let (mut held, mut flow, mut closed) = (0, 0, 0);
        let sell_all = (false, i128::MAX, 500_000, 3);
        for (at, (buy, amount, notional, fee)) in fills.into_iter().chain([sell_all]).enumerate() {
            let amount = if buy { amount } else { amount.min(held) };
            if amount == 0 {
                continue;
            }
            held += if buy { amount } else { -amount };
            flow += if buy { -notional - fee } else { notional - fee };
            let side = if buy { Side::Buy } else { Side::Sell };
            let at = Timestamp(i64::try_from(at).unwrap());
            let fee = ExecutionFee::Quote(Cash(fee));
            let execution = Execution { at, side, amount: Cash(amount), notional: Cash(notional), fee, lot: Cash(1) };
            if let Some(trade) = tracker.on_fill(BTC, &execution).unwrap() {
                closed += trade.pnl.0;
            }
        }
        prop_assert_eq!(held, 0);
        prop_assert_eq!(closed, flow);
        prop_assert_eq!(tracker.figures().realized_pnl, Cash(flow));
    }
}
