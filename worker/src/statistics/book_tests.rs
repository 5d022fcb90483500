use tradewind_core::order::Side;
use tradewind_core::time::Millis;

use super::super::trades::ExecutionFee;
use super::*;

/// 2024-04-19T00:00Z.
const START: Timestamp = Timestamp(1_713_484_800_000);
const HOUR: i64 = 3_600_000;
const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);

fn at(hours: i64) -> Timestamp {
    START.plus(Millis(hours * HOUR))
}

fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

/// Buys one coin at 100 and sells it at 120, a fee of 1 each; a refused signal; four bars, two of them held.
pub(in crate::statistics) fn small_book() -> Book {
    let mut book = Book::new(START, cash("1000"), &[BTC]);
    let trade = |hours, side, notional| Execution {
        at: at(hours),
        side,
        amount: cash("1"),
        notional: cash(notional),
        fee: ExecutionFee::Quote(cash("1")),
        lot: cash("0.01"),
    };
    book.on_denial(&Denial::NoSignal);
    book.on_denial(&Denial::BelowLot { size: cash("0.001"), lot: cash("0.01") });
    let bar = |book: &mut Book, hours, close, equity, holds| {
        book.on_bars(at(hours), [(BTC, Price(close))].into_iter(), cash(equity), holds).unwrap();
    };
    bar(&mut book, 1, 100, "1000", false);
    assert_eq!(book.on_fill(BTC, &trade(1, Side::Buy, "100")).unwrap(), None);
    bar(&mut book, 2, 90, "989", true);
    bar(&mut book, 3, 130, "1029", true);
    assert_eq!(book.on_fill(BTC, &trade(3, Side::Sell, "120")).unwrap().unwrap().pnl, cash("18"));
    bar(&mut book, 4, 110, "1018", false);
    book
}

#[test]
fn a_book_gathers_equity_trades_exposure_denials_and_holding() {
    let statistics = small_book().statistics();
    assert_eq!(statistics.equity.final_equity, cash("1018"));
    assert_eq!(statistics.equity.total_return, Some(0.018));
    // From 1000 to 989 is 1.1 %, from 1029 to 1018 is 1.07 %.
    assert_eq!(statistics.equity.max_drawdown, Some(0.011));
    assert_eq!((statistics.trades, statistics.wins, statistics.losses, statistics.fills), (1, 1, 0, 2));
    assert_eq!((statistics.realized_pnl, statistics.fees), (cash("18"), cash("2")));
    assert_eq!((statistics.bars, statistics.exposure_time), (4, Some(0.5)));
    assert_eq!(statistics.denied, 1);
    assert_eq!(statistics.denials, BTreeMap::from([("BelowLot", 1), ("NoSignal", 1)]));
    // Holding: 1000 at 100, at 110 in the end; from 1300 to 1100 is 15.3846 %.
    assert_eq!(statistics.buy_and_hold.final_equity, cash("1100"));
    assert_eq!(statistics.buy_and_hold.max_drawdown, Some(0.153_846));
}

#[test]
fn bars_that_close_together_are_one_sample_of_equity() {
    let mut book = Book::new(START, cash("1000"), &[BTC, ETH]);
    for (hours, btc, eth, equity) in [(1, 50, 50, "1100"), (2, 25, 100, "1200")] {
        let closes = [(BTC, Price(btc)), (ETH, Price(eth))];
        book.on_bars(at(hours), closes.into_iter(), cash(equity), true).unwrap();
    }
    // A group without a bar of the book says nothing of it.
    book.on_bars(at(3), std::iter::empty(), cash("900"), true).unwrap();
    let statistics = book.statistics();
    assert_eq!((statistics.equity.final_equity, statistics.bars), (cash("1200"), 4));
    // One coin halves and the other doubles: seen one by one, holding would have fallen to 750.
    let holding = statistics.buy_and_hold;
    assert_eq!((holding.final_equity, holding.max_drawdown), (cash("1250"), Some(0.0)));
}

#[test]
fn the_same_book_gives_the_same_bytes_with_money_as_strings_and_nulls_for_what_is_undefined() {
    let json = serde_json::to_string(&small_book().statistics()).unwrap();
    assert_eq!(json, serde_json::to_string(&small_book().statistics()).unwrap());
    assert!(json.starts_with(
        "{\"start\":\"2024-04-19T00:00:00Z\",\"end\":\"2024-04-19T04:00:00Z\",\"initialEquity\":\"1000\""
    ));
    assert!(
        json.contains(
            "\"realizedPnl\":\"18\",\"trades\":1,\"wins\":1,\"losses\":0,\"winRate\":1.0,\"payoff\":null,\
         \"profitFactor\":null,\"fills\":2,\"fees\":\"2\",\"bars\":4,\"exposureTime\":0.5,\"denied\":1,\
         \"denials\":{\"BelowLot\":1,\"NoSignal\":1},\"buyAndHold\":{\"start\""
        ),
        "{json}"
    );
}
