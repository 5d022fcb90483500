//! What every ledger promises. Each function gets an empty ledger opened as epoch 1.

use tradewind_core::event::Record;
use tradewind_core::external::{External, ExternalOrder};
use tradewind_core::money::Cash;
use tradewind_core::money::Quantity;
use tradewind_core::order::{Attempt, IntentId, Liquidity, OrderState, Purpose, Side};
use tradewind_core::recovery::{BookedFill, History, OpenOrder};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{BalanceRow, Batch, ChainHead, DecisionFilter, Ledger, LedgerError, Pruned, TradeRow};

#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use super::outbox::*;
use super::*;

use OrderState::{Absent, Accepted, Filled, Intended, PartiallyFilled, Sent, Unknown};

/// Makes one test a promise for the ledger that `$make` opens, kept alive by what it returns beside it.
#[macro_export]
macro_rules! suite {
    ($make:path: $($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let (ledger, _kept) = $make().await;
            $crate::common::suite::$name(ledger).await;
        }
    )*};
    ($make:path) => {
        $crate::suite!($make:
            an_empty_ledger_has_an_empty_history, what_was_committed_comes_back,
            a_number_or_client_order_id_is_taken_once, a_transition_starts_where_the_order_stands,
            a_send_from_absent_is_one_attempt_more, a_signing_is_of_the_sending_that_comes_next,
            a_fill_told_twice_is_one_fill,
            a_trade_with_other_numbers_is_a_conflict, a_refused_record_takes_its_whole_batch_back,
            rows_of_another_epoch_are_refused, decisions_are_found_newest_first, trades_read_as_people_write_them,
            equity_is_kept_per_strategy_and_for_the_account, pruning_spares_what_money_rests_on,
            a_halt_is_in_force_until_it_is_cleared, balances_follow_transfers_and_fills,
            what_a_predecessor_has_and_gets_is_its_successors,
            what_is_not_ours_is_kept_once_and_counts_for_nothing,
            an_instrument_without_rules_is_refused, a_ledger_contains_every_end_it_had_and_no_other,
            without_a_bus_nothing_waits, what_happens_waits_in_the_order_it_happened,
            what_did_not_happen_is_not_told, orders_fills_and_halts_outlast_every_bound,
            events_are_read_page_by_page,
        );
    };
}

pub(crate) async fn an_empty_ledger_has_an_empty_history<L: Ledger>(mut ledger: L) {
    assert_eq!(ledger.identity(), identity(1));
    assert_eq!(ledger.history().await.unwrap(), History::default());
    assert_eq!(ledger.commit(&Batch::default()).await.unwrap().new_fills, 0);
    assert_eq!(ledger.history().await.unwrap(), History::default());
}

pub(crate) async fn what_was_committed_comes_back<L: Ledger>(mut ledger: L) {
    let records = [
        Record::Transfer(transfer("10000", None)),
        Record::Intent(intent(4, 1)),
        Record::Intent(intent(5, 1)),
        step(4, 1, 1, Intended, Sent),
        step(4, 1, 1, Sent, Accepted),
        booked("t-1", 4),
        step(4, 1, 1, Accepted, PartiallyFilled),
        step(5, 1, 1, Intended, Sent),
        booked("t-2", 5),
        step(5, 1, 1, Sent, Filled),
        Record::Intent(intent(6, 1)),
        set("strategy.trend.drawdown"),
        Record::Rebase { strategy: None, reference: Cash::parse("1").unwrap(), at: Timestamp(9) },
    ];
    let (rules, checkpoint) = (rules(), checkpoint(5_000));
    let batch = Batch { records: &records, rules: &rules, checkpoint: Some(&checkpoint), ..Batch::default() };
    assert_eq!(ledger.commit(&batch).await.unwrap().new_fills, 2);
    let of = |trade, id| BookedFill {
        intent: IntentId(id),
        strategy: strategy(),
        purpose: Purpose::Entry,
        fill: fill(trade, id),
    };
    let expected = History {
        next_intent: 7,
        left_out: std::iter::once(1..4).collect(),
        open_orders: vec![
            OpenOrder { intent: intent(4, 1), attempt: Attempt(1), state: PartiallyFilled, signature: None },
            OpenOrder { intent: intent(6, 1), attempt: Attempt(0), state: Intended, signature: None },
        ],
        fills: vec![of("t-1", 4), of("t-2", 5)],
        transfers: vec![transfer("10000", None)],
        successions: Vec::new(),
        halts: vec![halt("strategy.trend.drawdown")],
        checkpoint: Some(checkpoint.clone()),
    };
    assert_eq!(ledger.history().await.unwrap(), expected);
    ledger.commit(&Batch::default()).await.unwrap();
    assert_eq!(
        ledger.history().await.unwrap().checkpoint,
        Some(checkpoint),
        "no checkpoint leaves the one before"
    );
}

pub(crate) async fn a_number_or_client_order_id_is_taken_once<L: Ledger>(mut ledger: L) {
    commit(&mut ledger, &[Record::Intent(intent(1, 1))]).await.unwrap();
    let mut same_number = intent(1, 1);
    same_number.client_order_id = intent(2, 1).client_order_id;
    let mut same_client_order_id = intent(2, 1);
    same_client_order_id.client_order_id = intent(1, 1).client_order_id;
    for twin in [same_number, same_client_order_id] {
        let error = commit(&mut ledger, &[Record::Intent(twin)]).await.unwrap_err();
        assert!(matches!(error, LedgerError::Conflict { .. }), "{error:?}");
    }
    assert_eq!(ledger.history().await.unwrap().open_orders.len(), 1);
    commit(&mut ledger, &[Record::Intent(intent(2, 1))]).await.unwrap();
}

pub(crate) async fn a_transition_starts_where_the_order_stands<L: Ledger>(mut ledger: L) {
    let start = [Record::Intent(intent(1, 1)), step(1, 1, 1, Intended, Sent)];
    commit(&mut ledger, &start).await.unwrap();
    let wrong = [
        step(1, 1, 1, Intended, Sent),
        step(1, 1, 1, Accepted, Filled),
        step(1, 1, 2, Sent, Accepted),
        step(1, 1, 0, Sent, Accepted),
        step(9, 1, 1, Sent, Accepted),
    ];
    for record in wrong {
        let error = commit(&mut ledger, std::slice::from_ref(&record)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Conflict { .. }), "{record:?}: {error:?}");
    }
    let open = ledger.history().await.unwrap().open_orders;
    assert_eq!((open[0].state, open[0].attempt), (Sent, Attempt(1)));
    commit(&mut ledger, &[step(1, 1, 1, Sent, Accepted)]).await.unwrap();
}

pub(crate) async fn a_send_from_absent_is_one_attempt_more<L: Ledger>(mut ledger: L) {
    let lost = [
        Record::Intent(intent(1, 1)),
        step(1, 1, 1, Intended, Sent),
        step(1, 1, 1, Sent, Unknown),
        step(1, 1, 1, Unknown, Absent),
    ];
    commit(&mut ledger, &lost).await.unwrap();
    assert!(ledger.history().await.unwrap().open_orders.is_empty(), "absent is terminal");
    commit(&mut ledger, &[step(1, 1, 1, Absent, Intended), signing(1, 1, 2)]).await.unwrap();
    for attempt in [1, 3] {
        let error = commit(&mut ledger, &[step(1, 1, attempt, Intended, Sent)]).await.unwrap_err();
        assert!(matches!(error, LedgerError::Conflict { .. }), "attempt {attempt}: {error:?}");
    }
    commit(&mut ledger, &[step(1, 1, 2, Intended, Sent)]).await.unwrap();
    let open = ledger.history().await.unwrap().open_orders;
    assert_eq!((open[0].state, open[0].attempt), (Sent, Attempt(2)));
}

pub(crate) async fn a_signing_is_of_the_sending_that_comes_next<L: Ledger>(mut ledger: L) {
    commit(&mut ledger, &[Record::Intent(intent(1, 1)), signing(1, 1, 1)]).await.unwrap();
    let wrong = [signing(1, 1, 0), signing(1, 1, 2), signing(1, 2, 1), signing(9, 1, 1)];
    for record in wrong {
        let error = commit(&mut ledger, std::slice::from_ref(&record)).await.unwrap_err();
        assert!(matches!(error, LedgerError::Conflict { .. }), "{record:?}: {error:?}");
    }
    let open = ledger.history().await.unwrap().open_orders;
    let signature = Signature { signed_at: Timestamp(2_000), valid_until: Timestamp(7_000) };
    assert_eq!(open[0].signature, Some(signature));
    commit(&mut ledger, &[step(1, 1, 1, Intended, Sent)]).await.unwrap();
    let error = commit(&mut ledger, &[signing(1, 1, 2)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Conflict { .. }), "it may have arrived: {error:?}");
    assert_eq!(ledger.history().await.unwrap().open_orders[0].signature, Some(signature));
}

pub(crate) async fn a_fill_told_twice_is_one_fill<L: Ledger>(mut ledger: L) {
    let records = [Record::Intent(intent(1, 1)), booked("t", 1), booked("t", 1)];
    assert_eq!(commit(&mut ledger, &records).await.unwrap(), 1);
    assert_eq!(commit(&mut ledger, &[booked("t", 1)]).await.unwrap(), 0);
    let amounts = ledger.balances().await.unwrap().into_iter().map(|b| b.amount.to_string());
    assert_eq!(amounts.collect::<Vec<_>>(), ["0.2", "-20.032"], "bought 0.2 at 100.10 for a fee of 0.012");
    let mut elsewhere = fill("t", 1);
    elsewhere.symbol = eth();
    let elsewhere = Record::Fill { intent: IntentId(1), fill: elsewhere };
    assert_eq!(commit(&mut ledger, &[elsewhere]).await.unwrap(), 1, "venues may number trades per symbol");
    assert_eq!(ledger.history().await.unwrap().fills.len(), 2);
}

pub(crate) async fn a_trade_with_other_numbers_is_a_conflict<L: Ledger>(mut ledger: L) {
    commit(&mut ledger, &[Record::Intent(intent(1, 1)), booked("t", 1)]).await.unwrap();
    let mut other = fill("t", 1);
    other.quantity = Quantity(1);
    let other = Record::Fill { intent: IntentId(1), fill: other };
    for record in [other, booked("u", 2)] {
        let error = commit(&mut ledger, &[record]).await.unwrap_err();
        assert!(matches!(error, LedgerError::Conflict { .. }), "{error:?}");
    }
    assert_eq!(ledger.history().await.unwrap().fills.len(), 1);
}

pub(crate) async fn a_refused_record_takes_its_whole_batch_back<L: Ledger>(mut ledger: L) {
    let start = [Record::Intent(intent(1, 1)), set("kept"), Record::Transfer(transfer("7", None))];
    commit(&mut ledger, &start).await.unwrap();
    let before = ledger.history().await.unwrap();
    let balances = ledger.balances().await.unwrap();
    let records = [
        Record::Intent(intent(2, 1)),
        step(1, 1, 1, Intended, Sent),
        booked("t", 1),
        cleared("kept"),
        set("new"),
        Record::Transfer(transfer("1", None)),
        step(9, 1, 1, Sent, Accepted),
    ];
    let (rules, checkpoint) = (rules(), checkpoint(5_000));
    let batch = Batch {
        records: &records,
        decisions: &[decision(100_000, "trend", btc())],
        equity: &[equity(100_000, None)],
        checkpoint: Some(&checkpoint),
        rules: &rules,
        names: &[],
    };
    assert!(ledger.commit(&batch).await.is_err());
    assert_eq!(ledger.history().await.unwrap(), before);
    assert_eq!(ledger.balances().await.unwrap(), balances);
    assert!(ledger.decisions(&DecisionFilter::default()).await.unwrap().is_empty());
    assert!(ledger.equity(None, Timestamp(0)).await.unwrap().is_empty());
    let without_the_last = Batch { records: &records[..6], ..batch };
    assert_eq!(ledger.commit(&without_the_last).await.unwrap().new_fills, 1);
}

pub(crate) async fn rows_of_another_epoch_are_refused<L: Ledger>(mut ledger: L) {
    for epoch in [0, 2] {
        let error = commit(&mut ledger, &[Record::Intent(intent(1, epoch))]).await.unwrap_err();
        assert!(matches!(error, LedgerError::Conflict { .. }), "{error:?}");
    }
    commit(&mut ledger, &[Record::Intent(intent(1, 1))]).await.unwrap();
    let error = commit(&mut ledger, &[step(1, 0, 1, Intended, Sent)]).await.unwrap_err();
    assert!(matches!(error, LedgerError::Conflict { .. }), "{error:?}");
}

pub(crate) async fn decisions_are_found_newest_first<L: Ledger>(mut ledger: L) {
    let mut rows = Vec::new();
    // More than one bulk insert, and a rest.
    for minute in 1..=100 {
        rows.push(decision(minute * 60_000, "trend", btc()));
        rows.push(decision(minute * 60_000, "other", eth()));
    }
    ledger.commit(&Batch { decisions: &rows, ..Batch::default() }).await.unwrap();
    let all = DecisionFilter { limit: 500, ..DecisionFilter::default() };
    let mut newest_first = rows.clone();
    newest_first.reverse();
    assert_eq!(ledger.decisions(&all).await.unwrap(), newest_first);
    let some = DecisionFilter {
        strategy: Some("trend".into()),
        symbol: Some(btc()),
        since: Some(Timestamp(98 * 60_000)),
        limit: 2,
    };
    let found = ledger.decisions(&some).await.unwrap();
    let expected = [decision(6_000_000, "trend", btc()), decision(5_940_000, "trend", btc())];
    assert_eq!(found, expected);
    let none = DecisionFilter { strategy: Some("trend".into()), symbol: Some(eth()), ..all };
    assert!(ledger.decisions(&none).await.unwrap().is_empty());
}

pub(crate) async fn trades_read_as_people_write_them<L: Ledger>(mut ledger: L) {
    let records = [Record::Intent(intent(1, 1)), booked("t-1", 1), booked("t-2", 1)];
    commit(&mut ledger, &records).await.unwrap();
    let trades = ledger.trades(1).await.unwrap();
    let expected = TradeRow {
        intent: IntentId(1),
        trade_id: "t-2".into(),
        strategy: strategy(),
        strategy_name: "trend".into(),
        symbol: btc(),
        side: Side::Buy,
        purpose: Purpose::Entry,
        price: "100.1".into(),
        quantity: "0.2".into(),
        fee: Cash::parse("0.012").unwrap(),
        fee_asset: "USD".parse().unwrap(),
        liquidity: Liquidity::Taker,
        at: Timestamp(2_600),
    };
    assert_eq!(trades, [expected]);
}

pub(crate) async fn equity_is_kept_per_strategy_and_for_the_account<L: Ledger>(mut ledger: L) {
    let rows = [equity(1, None), equity(1, Some(strategy())), equity(2, None), equity(3, None)];
    ledger.commit(&Batch { equity: &rows, ..Batch::default() }).await.unwrap();
    assert_eq!(ledger.equity(None, Timestamp(2)).await.unwrap(), [equity(2, None), equity(3, None)]);
    assert_eq!(ledger.equity(Some(strategy()), Timestamp(0)).await.unwrap(), [equity(1, Some(strategy()))]);
}

pub(crate) async fn pruning_spares_what_money_rests_on<L: Ledger>(mut ledger: L) {
    let records = [
        Record::Transfer(transfer("100", None)),
        Record::Intent(intent(1, 1)),
        step(1, 1, 1, Intended, Sent),
        booked("t", 1),
        set("kept"),
    ];
    let (rules, checkpoint) = (rules(), checkpoint(5_000));
    let decisions = [decision(99, "trend", btc()), decision(100, "trend", btc())];
    let batch = Batch {
        records: &records,
        decisions: &decisions,
        equity: &[equity(99, None), equity(100, None)],
        checkpoint: Some(&checkpoint),
        rules: &rules,
        names: &[],
    };
    ledger.commit(&batch).await.unwrap();
    let before = ledger.history().await.unwrap();
    let pruned = ledger.prune(Timestamp(100)).await.unwrap();
    assert_eq!(pruned, Pruned { decisions: 1, equity: 1, more: false });
    assert_eq!(ledger.decisions(&DecisionFilter::default()).await.unwrap(), [decisions[1].clone()]);
    assert_eq!(ledger.equity(None, Timestamp(0)).await.unwrap(), [equity(100, None)]);
    ledger.prune(Timestamp(i64::MAX)).await.unwrap();
    let counted: u64 = ledger.outcomes().await.unwrap().iter().map(|o| o.count).sum();
    assert_eq!(counted, 2, "what was decided is still counted");
    assert_eq!(ledger.history().await.unwrap(), before);
    assert_eq!(ledger.trades(10).await.unwrap().len(), 1);
}

pub(crate) async fn a_halt_is_in_force_until_it_is_cleared<L: Ledger>(mut ledger: L) {
    commit(&mut ledger, &[set("a"), set("b")]).await.unwrap();
    assert_eq!(ledger.halts().await.unwrap(), [halt("a"), halt("b")]);
    commit(&mut ledger, &[cleared("a")]).await.unwrap();
    assert_eq!(ledger.halts().await.unwrap(), [halt("b")]);
    commit(&mut ledger, &[set("a"), cleared("never set")]).await.unwrap();
    assert_eq!(ledger.halts().await.unwrap(), [halt("b"), halt("a")]);
}

pub(crate) async fn balances_follow_transfers_and_fills<L: Ledger>(mut ledger: L) {
    let mut sale = fill("t-2", 1);
    sale.side = Side::Sell;
    sale.price = Price(20_000);
    sale.quantity = Quantity(5_000_000);
    sale.fee = Fee { asset: "BTC".parse().unwrap(), amount: Cash::parse("0.0001").unwrap() };
    let records = [
        Record::Transfer(transfer("1000", None)),
        Record::Transfer(transfer("400", Some(strategy()))),
        Record::Intent(intent(1, 1)),
        booked("t-1", 1),
        Record::Fill { intent: IntentId(1), fill: sale },
    ];
    commit(&mut ledger, &records[..3]).await.unwrap();
    commit(&mut ledger, &records[3..]).await.unwrap();
    let row = |strategy, asset: &str, amount| BalanceRow {
        strategy,
        asset: asset.parse().unwrap(),
        amount: Cash::parse(amount).unwrap(),
    };
    // Bought 0.2 at 100.10 with a fee of 0.012 USD: 400 - 20.02 - 0.012 = 379.968. Sold 0.05 at 200 with a fee of
    // 0.0001 BTC: + 10 = 389.968 USD, and 0.2 - 0.05 - 0.0001 = 0.1499 BTC.
    let expected = [
        row(None, "USD", "600"),
        row(Some(strategy()), "BTC", "0.1499"),
        row(Some(strategy()), "USD", "389.968"),
    ];
    assert_eq!(ledger.balances().await.unwrap(), expected);
}

pub(crate) async fn what_a_predecessor_has_and_gets_is_its_successors<L: Ledger>(mut ledger: L) {
    let done = succession();
    let records = [
        Record::Transfer(transfer("1000", None)),
        Record::Transfer(transfer("400", Some(done.from))),
        Record::Intent(intent(1, 1)),
        signing(1, 1, 1),
        booked("t-1", 1),
        Record::Succession(done),
        booked("t-2", 1),
    ];
    for record in records {
        // Each in a commit of its own: nothing but the ledger remembers what was before.
        commit(&mut ledger, &[record]).await.unwrap();
    }
    let row = |strategy, asset: &str, amount| BalanceRow {
        strategy,
        asset: asset.parse().unwrap(),
        amount: Cash::parse(amount).unwrap(),
    };
    // Twice 0.2 BTC at 100.10 with a fee of 0.012: 400 - 40.04 - 0.024.
    let expected =
        [row(None, "USD", "600"), row(Some(done.to), "BTC", "0.4"), row(Some(done.to), "USD", "359.936")];
    assert_eq!(ledger.balances().await.unwrap(), expected);
    let history = ledger.history().await.unwrap();
    assert_eq!(history.successions, [done]);
    // Signed at 2 s for 5 s: whoever has the order now must know until when the venue takes it.
    let signature = Signature { signed_at: Timestamp(2_000), valid_until: Timestamp(7_000) };
    assert_eq!(history.open_orders[0].signature, Some(signature));
    let bad = [Record::Succession(Succession { from: done.to, ..done }), booked("t-1", 2)];
    assert!(commit(&mut ledger, &bad).await.is_err());
    assert_eq!(ledger.history().await.unwrap().successions, [done], "a refused batch leaves none");
    assert_eq!(ledger.balances().await.unwrap(), expected);
}

pub(crate) async fn what_is_not_ours_is_kept_once_and_counts_for_nothing<L: Ledger>(mut ledger: L) {
    let order = ExternalOrder {
        venue_order_id: "x-1".into(),
        client_order_id: "web_1".into(),
        symbol: btc(),
        side: Side::Buy,
    };
    let seen = |at| Record::External(External::Order { order: order.clone(), seen_at: Timestamp(at) });
    commit(&mut ledger, &[external("x-1"), seen(1)]).await.unwrap();
    commit(&mut ledger, &[external("x-1"), seen(2), external("x-2")]).await.unwrap();
    assert_eq!(ledger.head().await.unwrap().seq, 3, "an order and a trade may have the same number");
    assert!(commit(&mut ledger, &[external("x-3"), booked("t", 7)]).await.is_err());
    commit(&mut ledger, &[external("x-3")]).await.unwrap();
    assert_eq!(ledger.head().await.unwrap().seq, 4, "what a refused batch took is taken again");
    assert_eq!(ledger.balances().await.unwrap(), []);
    assert_eq!(ledger.history().await.unwrap().fills, []);
}

pub(crate) async fn an_instrument_without_rules_is_refused<L: Ledger>(mut ledger: L) {
    let batch = Batch { records: &[Record::Intent(intent(1, 1))], ..Batch::default() };
    let error = ledger.commit(&batch).await.unwrap_err();
    assert!(matches!(error, LedgerError::UnknownInstrument { ref symbol } if *symbol == btc()), "{error:?}");
    assert_eq!(ledger.history().await.unwrap(), History::default());
}

pub(crate) async fn a_ledger_contains_every_end_it_had_and_no_other<L: Ledger>(mut ledger: L) {
    let mut ends = vec![ledger.head().await.unwrap()];
    for records in [vec![Record::Intent(intent(1, 1)), booked("t", 1)], vec![booked("t", 1)], vec![set("a")]]
    {
        commit(&mut ledger, &records).await.unwrap();
        ends.push(ledger.head().await.unwrap());
    }
    assert_eq!(
        ends.iter().map(|end| end.seq).collect::<Vec<_>>(),
        [0, 2, 2, 3],
        "a fill told twice is one row"
    );
    assert!(commit(&mut ledger, &[set("b"), booked("u", 2)]).await.is_err());
    assert_eq!(ledger.head().await.unwrap(), ends[3], "a refused batch leaves no row");
    for end in &ends {
        assert!(ledger.contains(end).await.unwrap(), "{end}");
    }
    let ChainHead { seq, hash } = ends[3];
    let strangers = [
        ChainHead { seq: seq + 1, hash },
        ChainHead { seq: seq - 1, hash },
        ChainHead { seq: 0, hash },
        ChainHead { seq, hash: ends[0].hash },
        ChainHead { seq: u64::MAX, hash },
    ];
    for stranger in strangers {
        assert!(!ledger.contains(&stranger).await.unwrap(), "{stranger}");
    }
}
