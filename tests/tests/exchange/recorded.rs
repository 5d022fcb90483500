//! Recorded bars at a simulated exchange: what is decided on them is traded there.

use std::path::Path;

use tradewind_tests::books;
use tradewind_tests::exchange::Venue;
use tradewind_tests::process::{Worker, run};
use tradewind_venue_simulator::exchange::{Kind, Side};

use super::bought_once;

/// Minutes at each price, in whole dollars: a rise that is bought, and a fall that is sold.
const PRICES: [(usize, u32); 3] = [(30, 100), (10, 110), (10, 90)];

/// A data set of BTC-USD as CSV, a year ago, by finer rules than the exchange's.
pub(crate) fn candles(prices: &[(usize, u32)]) -> String {
    let prices = prices.iter().flat_map(|(minutes, price)| std::iter::repeat_n(price, *minutes));
    let rows = prices.enumerate().map(|(minute, price)| {
        let open_time = 1_735_689_600_000 + minute as u64 * 60_000;
        format!("{open_time},{price},{price},{price},{price},1000\n")
    });
    std::iter::once("ts,open,high,low,close,volume\n".to_owned()).chain(rows).collect()
}

#[test]
fn recorded_bars_are_traded_at_a_simulated_exchange_order_after_order() {
    let venue = Venue::start();
    venue.record("1m", &candles(&PRICES));
    let ended = venue.worker().ended();
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("completed"), "{}", ended.out);

    let (bought, sold) = (venue.trades(Side::Buy), venue.trades(Side::Sell));
    assert_eq!((bought.len(), sold.len()), (1, 1), "{bought:?} {sold:?}");
    // 20 % of 5000 USD at the 110 that the bars tell of; a thousandth of the coins is the exchange's fee.
    let decimals = (rust_decimal::Decimal::new(90_909, 4), rust_decimal::Decimal::new(90_818, 4));
    assert_eq!((bought[0].quantity, sold[0].quantity), decimals);
    let sells: Vec<_> = venue.accepted(Side::Sell).iter().map(|order| order.kind).collect();
    assert_eq!(sells, [Kind::StopLossLimit, Kind::Market], "guarded, then sold");
    assert_eq!(venue.open_orders(), 0, "the stop was cancelled before");
    let ledger = books::history(&venue.state());
    assert_eq!(ledger.fills.len(), 2);
    assert!(ledger.open_orders.is_empty(), "{:?}", ledger.open_orders);

    // The data have been seen: the next start has nothing to decide on.
    let sent = venue.order_requests();
    let ended = venue.worker().ended();
    assert_eq!((ended.code, venue.order_requests()), (Some(0), sent), "{}", ended.err);
}

/// A command of the worker on that ledger, which must succeed.
fn ok(arguments: &[&str], state: &Path) -> String {
    let ended = run(&[arguments, &["--data-dir", state.to_str().unwrap()]].concat());
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

#[test]
fn what_was_ordered_after_the_backup_is_noticed_at_once_and_halts_the_restored_ledger_again() {
    let venue = Venue::start();
    // Nothing is traded, and a backup is made.
    venue.record("1m", &candles(&PRICES[..1]));
    assert_eq!(venue.worker().ended().code, Some(0));
    let (state, new) = (venue.state(), venue.state().with_file_name("new"));
    let backup = venue.state().with_file_name("backup.jsonl");
    ok(&["ledger", "backup", "--to", backup.to_str().unwrap()], &state);
    // After it a position is bought, and its stop rests at the exchange.
    venue.record("1m", &candles(&PRICES[..2]));
    assert_eq!(venue.worker().ended().code, Some(0));
    bought_once(&venue);

    ok(&["ledger", "restore", "--from", backup.to_str().unwrap()], &new);
    // Somebody resumes without having compared anything.
    let halt = "account.real.ledger-unknown";
    ok(&["resume", halt, "--by", "somebody in a hurry"], &new);
    assert!(books::history(&new).halts.is_empty());
    let sent = venue.order_requests();
    let ended = Worker::spawn(&mut venue.command(&new)).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let history = books::history(&new);
    let halts: Vec<_> = history.halts.iter().map(|halt| halt.name.as_str()).collect();
    assert!(halts.contains(&halt), "{halts:?}");
    assert_eq!(venue.order_requests(), sent, "nothing is entered beside what is not known");
    assert!(history.fills.is_empty(), "what the ledger does not know is not its position");
    let kept = ok(&["ledger", "export", "--table", "externals"], &new);
    assert!(kept.contains(",Order,") && kept.contains(",Trade,"), "{kept}");
}
