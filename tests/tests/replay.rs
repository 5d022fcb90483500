//! What makes backtest, paper and live one thing: the same events give the same effects, byte for byte, also from a
//! state that was read back from the ledger; a restart after any commit changes nothing; nothing knows the future.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tradewind_core::engine::State;
use tradewind_core::event::{Effect, Event, EventKind, Record};
use tradewind_core::instrument::Bar;
use tradewind_core::money::Price;
use tradewind_core::order::{OrderUpdate, Purpose};
use tradewind_ledger::{Batch, Ledger, LedgerReader, SqliteReader};
use tradewind_tests::books::Books;
use tradewind_tests::desk::{BUSY, Desk, HOUR_MS, SYMBOLS, busy, packaged};
use tradewind_tests::inside::{Fails, Fault, Group, Inside, Watched, never};
use tradewind_tests::{Dice, block_on};
use tradewind_venues::PaperVenue;
use tradewind_worker::driver::{Driver, Observer};

/// Steps an engine through recorded events; the JSON of each effect, in order.
fn replayed(mut state: State, events: &[Event]) -> Vec<Effect> {
    let mut all = Vec::new();
    let mut effects = Vec::new();
    for event in events {
        state.step(event, &mut effects);
        all.append(&mut effects);
    }
    all
}

fn json(effects: &[Effect]) -> Vec<String> {
    effects.iter().map(|effect| serde_json::to_string(effect).unwrap()).collect()
}

/// Holds replayed effects against what was seen when the events were recorded: every report and record to the byte, and
/// every order sent or cancelled against the venue's answer to it.
fn assert_as_seen(effects: &[Effect], seen: &[String], events: &[Event]) {
    let told: Vec<String> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Report(report) => Some(serde_json::to_string(report).unwrap()),
            Effect::Persist(record) => Some(serde_json::to_string(record).unwrap()),
            Effect::Send(_) | Effect::Cancel(_) => None,
        })
        .collect();
    assert_eq!(told.len(), seen.len(), "reports and records");
    for (one, two) in told.iter().zip(seen) {
        assert_eq!(one, two);
    }
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send(request) => Some(request.client_order_id),
        _ => None,
    });
    let answered = events.iter().filter_map(|event| match &event.kind {
        EventKind::OrderUpdate { client_order_id, update } => matches!(
            update,
            OrderUpdate::Accepted { .. } | OrderUpdate::Rejected { .. } | OrderUpdate::Denied { .. }
        )
        .then_some(*client_order_id),
        _ => None,
    });
    assert_eq!(sent.collect::<Vec<_>>(), answered.collect::<Vec<_>>(), "orders sent");
    let cancels = effects.iter().filter(|effect| matches!(effect, Effect::Cancel(_))).count();
    let cancelled = events.iter().filter(|event| {
        matches!(&event.kind, EventKind::OrderUpdate { update: OrderUpdate::Cancelled { .. }, .. })
    });
    assert!(cancelled.count() <= cancels, "cancelled without being asked to");
}

async fn feed<L: Ledger, O: Observer>(
    driver: &mut Driver<L, PaperVenue, O>,
    inside: &Inside,
    groups: &[Group],
) {
    for group in groups {
        driver.on_bars(group, inside.interval).await.unwrap();
    }
}

fn count(effects: &[Effect], wanted: impl Fn(&Record) -> bool) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Persist(record) if wanted(record))).count()
}

#[test]
fn recorded_events_replayed_give_the_same_effects_byte_for_byte() {
    let desk = Desk::new(BUSY, 1200);
    let inside = Inside::load(&desk.file());
    let (events, seen) = block_on(async {
        let mut driver = inside.in_memory(Watched::default()).await;
        feed(&mut driver, &inside, &inside.groups).await;
        (driver.journal().events().to_vec(), driver.observer.0)
    });
    let fresh = || State::new(inside.config.account.clone(), inside.instruments.clone(), Inside::identity());
    let effects = replayed(fresh(), &events);
    assert_as_seen(&effects, &seen, &events);
    assert_eq!(json(&effects), json(&replayed(fresh(), &events)));
    let by = |purpose: Purpose| count(&effects, |r| matches!(r, Record::Intent(i) if i.purpose == purpose));
    let told = [Purpose::Entry, Purpose::SignalExit, Purpose::StopLoss].map(by);
    assert!(told.iter().all(|n| *n > 50), "too little happened: {told:?}");
    // Through text and back: the log may lie on a disk.
    let stored: Vec<Event> = events
        .iter()
        .map(|event| serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap())
        .collect();
    assert_eq!(json(&replayed(fresh(), &stored)), json(&effects));
}

#[test]
fn events_recorded_after_a_restart_replay_from_the_ledger() {
    let desk = Desk::new(BUSY, 500);
    let inside = Inside::load(&desk.file());
    let state = desk.state("state");
    let fault = Rc::new(RefCell::new(never()));
    block_on(async {
        for until in [120, 251, 377] {
            let mut driver = inside.open(&state, Watched::default(), &fault).await.unwrap();
            inside.go_on(&mut driver, Some(until)).await.unwrap();
            driver.finish().await.unwrap();
            let history =
                SqliteReader::open(&state.join("ledger.db")).await.unwrap().history().await.unwrap();
            let mut driver = inside.open(&state, Watched::default(), &fault).await.unwrap();
            let identity = driver.ledger_mut().unwrap().identity();
            inside.go_on(&mut driver, Some(until + 90)).await.unwrap();
            let events = driver.journal().events().to_vec();
            let recovered =
                State::recover(&inside.config, inside.instruments.clone(), identity, &history).unwrap();
            let effects = replayed(recovered, &events);
            assert_as_seen(&effects, &driver.observer.0, &events);
            assert!(count(&effects, |record| matches!(record, Record::Fill { .. })) > 10);
            driver.finish().await.unwrap();
        }
    });
}

/// A run without interruption, in a folder of its own.
fn left_alone(desk: &Desk, inside: &Inside) -> Books {
    assert_eq!(block_on(inside.to_the_end(&desk.state("alone"), never())), 1);
    Books::of(&desk.file(), &desk.state("alone"))
}

fn assert_same_end(desk: &Desk, inside: &Inside, alone: &Books, name: &str, fault: Fault) -> usize {
    let starts = block_on(inside.to_the_end(&desk.state(name), fault));
    Books::of(&desk.file(), &desk.state(name)).assert_same(alone, name);
    starts
}

#[test]
fn stopped_after_any_number_of_bars_it_goes_on_as_if_it_had_not_stopped() {
    let desk = Desk::new(BUSY, 200);
    let inside = Inside::load(&desk.file());
    let alone = left_alone(&desk, &inside);
    let fault = Rc::new(RefCell::new(never()));
    for bars in [1, 7, 8, 9, 100, 151, 199, 200] {
        let state = desk.state(&format!("stopped-{bars}"));
        block_on(async {
            for until in [Some(bars), None] {
                let mut driver = inside.open(&state, Watched::default(), &fault).await.unwrap();
                inside.go_on(&mut driver, until).await.unwrap();
                driver.finish().await.unwrap();
            }
        });
        Books::of(&desk.file(), &state).assert_same(&alone, &format!("stopped after {bars} bars"));
    }
}

/// Strikes at every `nth` commit from the `first` on, before it and after it in turn.
fn every(nth: usize, first: usize) -> Fault {
    let mut commits = 0;
    Box::new(move |_| {
        commits += 1;
        let (times, rest) = (commits / nth, commits % nth);
        let how = if times % 2 == 0 { Fails::Before } else { Fails::After };
        (rest == first).then_some(how)
    })
}

/// Crashes at so many places that every commit of the run is hit by one of them, before it or after it.
fn crash_everywhere(desk: &Desk) {
    let inside = Inside::load(&desk.file());
    let alone = left_alone(desk, &inside);
    assert!(alone.trades.len() > 40, "only {} fills: the test proves little", alone.trades.len());
    // A start needs some commits of its own to come further than the one before.
    for (nth, first) in [(5, 0), (5, 1), (5, 2), (5, 3), (5, 4), (8, 3), (13, 9)] {
        let name = format!("every-{nth}-from-{first}");
        let starts = assert_same_end(desk, &inside, &alone, &name, every(nth, first));
        assert!(starts > 5, "{name}: only {starts} starts");
    }
}

#[test]
fn a_crash_before_or_after_any_commit_changes_nothing() {
    crash_everywhere(&Desk::new(BUSY, 90));
}

#[test]
fn a_crash_beside_gaps_in_the_data_changes_nothing() {
    let mut dice = Dice::new(5);
    let missing: Vec<usize> = (0..30).map(|_| usize::try_from(dice.below(120)).unwrap()).collect();
    let rows = SYMBOLS.map(|symbol| {
        let rows = packaged(symbol, 0, 120).into_iter().enumerate();
        (symbol, rows.filter(|(index, _)| !missing.contains(index)).map(|(_, row)| row).collect())
    });
    let near = [("percent: 15, confirmFor: 10s", "percent: 0.8, confirmFor: 90m")];
    crash_everywhere(&Desk::with_rows(&busy(&near), &BTreeMap::from(rows)));
}

/// Hourly candles, each from the close before to its own; `None` is a bar that is missing, and the next opens anew.
fn hourly(closes: &[Option<u32>]) -> Vec<String> {
    let mut before = None;
    let mut rows = Vec::new();
    for (hour, close) in closes.iter().enumerate() {
        if let Some(close) = *close {
            let ts = 1_704_067_200_000 + i64::try_from(hour).unwrap() * HOUR_MS;
            let open: u32 = before.unwrap_or(close);
            rows.push(format!("{ts},{open},{},{},{close},100000", open.max(close), open.min(close)));
        }
        before = *close;
    }
    rows
}

#[test]
fn a_restart_within_a_gap_trips_no_breaker_that_the_bars_would_not_have_tripped() {
    // Rises and is bought, falls by a tenth for one bar, is not seen for six hours, and is back where it was: that the
    // drawdown lasted 90 minutes was never seen.
    let mut closes = vec![Some(1000); 12];
    closes.extend([1100, 1300, 1500, 1700, 1900, 2000, 1800].map(Some));
    let before_gap = closes.len();
    closes.extend([None; 6]);
    closes.extend([Some(2000); 6]);
    let flat: Vec<_> = closes.iter().map(|close| close.map(|_| 10)).collect();
    let yaml = busy(&[
        ("percent: 15, confirmFor: 10s", "percent: 4, confirmFor: 90m"),
        ("sizing: {fixedPercent: {percent: 5}}", "sizing: {fixedPercent: {percent: 60}}"),
        ("exits: {stopLoss: {fixedPercent: {percent: 1}}}", "exits: {}"),
        ("maxPositionPercent: 5", "maxPositionPercent: 70"),
        ("[{symbol: BTC-USD}, {symbol: ETH-USD}]", "[{symbol: BTC-USD}]"),
    ]);
    let rows = [("BTC-USD", &closes), ("SOL-USD", &flat), ("ADA-USD", &flat)];
    let desk = Desk::with_rows(&yaml, &rows.into_iter().map(|(s, closes)| (s, hourly(closes))).collect());
    let inside = Inside::load(&desk.file());
    let alone = left_alone(&desk, &inside);
    assert_eq!(alone.trades.len(), 1, "bought once and still held: {:?}", alone.trades);
    let fault = Rc::new(RefCell::new(never()));
    let state = desk.state("restarted");
    let halts = block_on(async {
        for until in [Some(before_gap), None] {
            let mut driver = inside.open(&state, Watched::default(), &fault).await.unwrap();
            inside.go_on(&mut driver, until).await.unwrap();
            driver.finish().await.unwrap();
        }
        SqliteReader::open(&state.join("ledger.db")).await.unwrap().halts().await.unwrap()
    });
    assert_eq!(halts, [], "a breaker has tripped");
    Books::of(&desk.file(), &state).assert_same(&alone, "restarted within the gap");
}

#[test]
fn a_crash_with_longer_decision_bars_and_fees_in_a_third_asset_changes_nothing() {
    let yaml = busy(&[
        ("decision: {bar: 1h}", "decision: {bar: 2h}"),
        (
            "[{asset: USD, amount: \"400000\"}]",
            "[{asset: USD, amount: \"400000\"}, {asset: BNB, amount: \"3\"}]",
        ),
        ("takerBps: 20}", "takerBps: 20, paidIn: {other: {asset: BNB, price: \"500\"}}}"),
    ]);
    crash_everywhere(&Desk::new(&yaml, 140));
}

/// Strikes at each commit whose batch has a record of that kind, but never twice in a row.
fn at(how: Fails, wanted: impl Fn(&Record) -> bool + 'static) -> Fault {
    let mut struck = false;
    Box::new(move |batch: &Batch<'_>| {
        struck = !struck && batch.records.iter().any(&wanted);
        struck.then_some(how)
    })
}

#[test]
fn a_crash_right_after_a_fill_changes_nothing() {
    let desk = Desk::new(BUSY, 150);
    let inside = Inside::load(&desk.file());
    let alone = left_alone(&desk, &inside);
    let is_fill = |record: &Record| matches!(record, Record::Fill { .. });
    // Before: the venue has traded and the ledger does not know. After: the ledger knows and nothing followed yet.
    for (name, how) in [("before", Fails::Before), ("after", Fails::After)] {
        let starts = assert_same_end(&desk, &inside, &alone, name, at(how, is_fill));
        assert!(starts > 20, "{name}: only {starts} starts");
    }
}

#[test]
fn a_crash_between_the_cancel_of_a_stop_and_the_sale_changes_nothing() {
    let desk = Desk::new(BUSY, 200);
    let inside = Inside::load(&desk.file());
    let alone = left_alone(&desk, &inside);
    // The sale is intended when the cancel of the stop is known: before that commit the venue has cancelled and nobody
    // remembers, after it the sale is durable and not sent.
    let is_sale = |record: &Record| matches!(record, Record::Intent(i) if i.purpose == Purpose::SignalExit);
    for (name, how) in [("before", Fails::Before), ("after", Fails::After)] {
        let starts = assert_same_end(&desk, &inside, &alone, name, at(how, is_sale));
        assert!(starts > 10, "{name}: only {starts} starts");
    }
}

/// A bar of other prices and volume, sound and near enough to be believed.
fn altered(bar: &Bar, dice: &mut Dice) -> Bar {
    let mut price =
        || Price(bar.close.0 / 2 + i64::try_from(dice.below(bar.close.0.unsigned_abs())).unwrap());
    let (open, close) = (price(), price());
    let (high, low) = (price().max(open).max(close), price().min(open).min(close));
    Bar { open, high, low, close, ..*bar }
}

/// What a run over those bars told, with how much of it had been told and taken in after each group.
struct Told {
    text: Vec<String>,
    events: Vec<Event>,
    ends: Vec<(usize, usize)>,
}

async fn told_by(inside: &Inside, groups: &[Group]) -> Told {
    let mut driver = inside.in_memory(Watched::default()).await;
    let mut ends = Vec::new();
    for group in groups {
        driver.on_bars(group, inside.interval).await.unwrap();
        ends.push((driver.observer.0.len(), driver.journal().events().len()));
    }
    Told { events: driver.journal().events().to_vec(), text: driver.observer.0, ends }
}

#[test]
fn what_happens_later_changes_nothing_of_what_was_done_before() {
    // With decisions on longer bars than the feed's too: these are the ones that could look ahead.
    for yaml in [BUSY.to_owned(), busy(&[("decision: {bar: 1h}", "decision: {bar: 4h}")])] {
        let desk = Desk::new(&yaml, 500);
        let inside = Inside::load(&desk.file());
        let real = block_on(told_by(&inside, &inside.groups));
        let mut dice = Dice::new(3);
        for t in [0, 8, 30, 99, 100, 101, 250, 498] {
            let mut groups = inside.groups.clone();
            for (_, bar) in groups[t + 1..].iter_mut().flatten() {
                *bar = altered(bar, &mut dice);
            }
            let other = block_on(told_by(&inside, &groups));
            assert_eq!(other.ends[..=t], real.ends[..=t], "after bar {t}");
            // Decisions, intents, fills; then what was sent, as the venue's answers.
            let (text, events) = real.ends[t];
            assert_eq!(other.text[..text], real.text[..text], "after bar {t}");
            assert_eq!(other.events[..events], real.events[..events], "after bar {t}");
            assert_ne!(other.text, real.text, "the altered bars had no effect at all");
        }
    }
}
