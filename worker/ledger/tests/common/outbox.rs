//! What every ledger promises of its outbox. Each function gets an empty ledger opened as epoch 1.

use std::collections::BTreeMap;

use serde_json::json;
use tradewind_core::event::Record;
use tradewind_core::order::OrderState;
use tradewind_core::time::Timestamp;
use tradewind_ledger::outbox::{Event, Happened, Kind, Limits};
use tradewind_ledger::{Batch, Ledger, Outbox, OutboxOptions, OutboxRow};

use super::*;

use OrderState::{Accepted, Intended, PartiallyFilled, Sent};

/// 2025-01-02T03:04:05Z in microseconds.
const FIRST: u64 = 1_735_787_045_000_000;

pub(crate) fn bus(limits: Limits) -> OutboxOptions {
    OutboxOptions { account: "desk/paper".into(), now: Timestamp(1_735_787_045_000), limits }
}

async fn all<L: Outbox>(ledger: &mut L) -> Vec<OutboxRow> {
    ledger.events_after(0, 10_000).await.unwrap()
}

fn event(row: &OutboxRow) -> Event {
    let event: Event = serde_json::from_str(&row.body).unwrap();
    assert_eq!((event.sequence, &event.key, event.event.kind()), (row.sequence, &row.key, row.kind));
    event
}

/// An order from its decision to its first fill.
fn order(id: u64, epoch: u64) -> Vec<Record> {
    vec![
        Record::Intent(intent(id, epoch)),
        signing(id, epoch, 1),
        step(id, epoch, 1, Intended, Sent),
        step(id, epoch, 1, Sent, Accepted),
        booked(&format!("t-{id}"), id),
        step(id, epoch, 1, Accepted, PartiallyFilled),
    ]
}

pub(crate) async fn without_a_bus_nothing_waits<L: Ledger + Outbox>(mut ledger: L) {
    fill_up(&mut ledger).await;
    assert_eq!(all(&mut ledger).await, []);
    ledger.publish(None).await.unwrap();
    commit(&mut ledger, &[set("z")]).await.unwrap();
    assert_eq!(all(&mut ledger).await, []);
}

pub(crate) async fn what_happens_waits_in_the_order_it_happened<L: Ledger + Outbox>(mut ledger: L) {
    use Kind::{Decision, Equity, Fill, Halt, Order, Position, Signal};
    ledger.publish(Some(&bus(Limits::default()))).await.unwrap();
    let written = ledger.tap().written();
    let mut records = order(1, 1);
    records.extend([set("drawdown"), cleared("drawdown")]);
    let (rules, quiet) = (rules(), DecisionRow { side: None, ..decision(50, "trend", eth()) });
    let batch = Batch {
        records: &records,
        decisions: &[quiet, decision(60_000, "trend", btc())],
        equity: &[equity(70_000, None), equity(70_000, Some(strategy()))],
        rules: &rules,
        names: &[(strategy(), "trend".into())],
        ..Batch::default()
    };
    ledger.commit(&batch).await.unwrap();
    let rows = all(&mut ledger).await;
    let kinds: Vec<Kind> = rows.iter().map(|row| row.kind).collect();
    assert_eq!(
        kinds,
        [Order, Order, Order, Fill, Order, Halt, Halt, Decision, Signal, Decision, Equity, Equity, Position]
    );
    let numbers: Vec<u64> = rows.iter().map(|row| row.sequence).collect();
    assert_eq!(numbers, (FIRST + 1..=FIRST + 13).collect::<Vec<_>>());
    assert_eq!(*written.borrow(), FIRST + 13);
    let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let btc = "desk/paper/trend/BTC-USD";
    assert_eq!(keys[..5], [btc; 5]);
    assert_eq!(keys[5..8], ["desk/paper", "desk/paper", "desk/paper/trend/ETH-USD"]);
    assert_eq!(keys[8..], [btc, btc, "desk/paper", "desk/paper/trend", btc]);
    // The last state of the order, and what was traded.
    let order = serde_json::to_value(event(&rows[4])).unwrap();
    assert_eq!(
        order,
        json!({
            "id": format!("0051de55-{}", FIRST + 5), "sequence": FIRST + 5, "key": btc, "account": "desk/paper",
            "at": "1970-01-01T00:00:02.500Z",
            "event": {"order": {
                "intent": 1, "clientOrderId": intent(1, 1).client_order_id.to_string(),
                "strategy": {"uid": "00000000-0000-0000-0000-0000000000a1", "name": "trend"},
                "symbol": "BTC-USD", "side": "Buy", "type": "Limit", "price": "100.25", "quantity": "0.5",
                "filledQuantity": "0.2", "purpose": "Entry", "state": "PartiallyFilled", "previous": "Accepted",
                "attempt": 1, "detail": null, "decidedAt": "1970-01-01T00:00:02.000Z"
            }}
        })
    );
    let fill = serde_json::to_value(event(&rows[3])).unwrap();
    assert_eq!(fill["event"]["fill"]["price"], "100.1");
    assert_eq!(fill["event"]["fill"]["quantity"], "0.2");
    assert_eq!(fill["event"]["fill"]["fee"], "0.012");
    // 0.2 BTC at 100.10 and the fee.
    let Happened::Position(position) = event(&rows[12]).event else { panic!("a position") };
    assert_eq!((position.quantity.as_str(), position.cost.as_str()), ("0.2", "20.032"));
    let Happened::Signal(signal) = event(&rows[8]).event else { panic!("a signal") };
    assert_eq!((signal.confidence_percent.as_str(), signal.price.as_str()), ("62.5", "100.1"));
    // The second decision; in a database of many ledgers others have made some before.
    assert!(signal.signal_id >= 2);
    let Happened::Halt(halt) = event(&rows[5]).event else { panic!("a halt") };
    assert!(halt.in_force && halt.terms.is_some_and(|terms| terms.origin == "Breaker"));
}

pub(crate) async fn what_did_not_happen_is_not_told<L: Ledger + Outbox>(mut ledger: L) {
    ledger.publish(Some(&bus(Limits::default()))).await.unwrap();
    commit(&mut ledger, &order(1, 1)).await.unwrap();
    let before = all(&mut ledger).await;
    assert!(commit(&mut ledger, &[set("a"), step(1, 1, 1, Sent, Accepted)]).await.is_err());
    assert_eq!(all(&mut ledger).await, before, "a refused batch tells nothing");
    commit(&mut ledger, &[booked("t-1", 1)]).await.unwrap();
    assert_eq!(all(&mut ledger).await, before, "a fill told twice is told once");
    ledger.publish(None).await.unwrap();
    commit(&mut ledger, &[set("b")]).await.unwrap();
    assert_eq!(all(&mut ledger).await, before, "what waits when the bus is taken away goes on waiting");
    ledger.publish(Some(&bus(Limits::default()))).await.unwrap();
    commit(&mut ledger, &[set("c")]).await.unwrap();
    assert_eq!(all(&mut ledger).await.len(), before.len() + 1);
}

pub(crate) async fn orders_fills_and_halts_outlast_every_bound<L: Ledger + Outbox>(mut ledger: L) {
    ledger.publish(Some(&bus(Limits { droppable: 10, tail: 4 }))).await.unwrap();
    commit(&mut ledger, &order(1, 1)).await.unwrap();
    commit(&mut ledger, &[set("a")]).await.unwrap();
    let rules = rules();
    for at in 0..40 {
        let batch = Batch { decisions: &[decision(at, "trend", btc())], rules: &rules, ..Batch::default() };
        ledger.commit(&batch).await.unwrap();
    }
    let kept = |rows: &[OutboxRow]| rows.iter().filter(|row| row.kind.is_kept()).count();
    let rows = all(&mut ledger).await;
    // Four states of an order, a fill, a halt; ten of eighty signals and decisions, and none of one position.
    assert_eq!((kept(&rows), rows.len()), (6, 16));
    let dropped = BTreeMap::from([(Kind::Signal, 35), (Kind::Decision, 35), (Kind::Position, 1)]);
    let backlog = ledger.backlog(0).await.unwrap();
    assert_eq!((backlog.relayed, backlog.waiting, backlog.dropped), (0, 16, dropped.clone()));
    // What was delivered goes, but for the newest.
    ledger.tap().note_relayed(rows[13].sequence);
    commit(&mut ledger, &[cleared("a")]).await.unwrap();
    let left = all(&mut ledger).await;
    assert_eq!(left[..6], rows[10..]);
    assert_eq!(left.len(), 7);
    let backlog = ledger.backlog(0).await.unwrap();
    assert_eq!((backlog.relayed, backlog.waiting, backlog.dropped), (rows[13].sequence, 3, dropped.clone()));
    // Dropping what was delivered is no loss.
    for at in 100..105 {
        let batch = Batch { decisions: &[decision(at, "trend", btc())], rules: &rules, ..Batch::default() };
        ledger.tap().note_relayed(*ledger.tap().written().borrow());
        ledger.commit(&batch).await.unwrap();
    }
    assert_eq!(ledger.backlog(0).await.unwrap().dropped, dropped);
}

pub(crate) async fn events_are_read_page_by_page<L: Ledger + Outbox>(mut ledger: L) {
    ledger.publish(Some(&bus(Limits::default()))).await.unwrap();
    let names: Vec<String> = (0..70).map(|n| format!("h{n}")).collect();
    let records: Vec<Record> = names.iter().map(|name| set(name)).collect();
    commit(&mut ledger, &records).await.unwrap();
    let (mut after, mut read) = (0, Vec::new());
    while let page @ [_, ..] = ledger.events_after(after, 30).await.unwrap().as_slice() {
        after = page.last().unwrap().sequence;
        read.extend(page.iter().map(|row| match event(row).event {
            Happened::Halt(halt) => halt.name,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(read, names);
}
