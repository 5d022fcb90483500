use proptest::prelude::*;
use tradewind_core::money::{Price, Quantity};

use super::*;

const MINUTE: i64 = 60_000;

type Bars = std::vec::IntoIter<Result<Bar, MarketDataError>>;

fn bar(minute: i64) -> Bar {
    let price = Price(100);
    let open_time = Timestamp(minute * MINUTE);
    Bar { open_time, open: price, high: price, low: price, close: price, volume: Quantity(1) }
}

fn source(instrument: u16, interval: i64, minutes: &[i64]) -> Source<Bars> {
    let bars: Vec<_> = minutes.iter().map(|minute| Ok(bar(*minute))).collect();
    Source {
        instrument: InstrumentId(instrument),
        interval: Millis(interval * MINUTE),
        bars: bars.into_iter(),
    }
}

/// Instrument and open minute of each bar; -1 for an error.
fn order(merge: Merge<Bars>) -> Vec<(u16, i64)> {
    merge.map(|(id, bar)| (id.0, bar.map_or(-1, |bar| bar.open_time.0 / MINUTE))).collect()
}

#[test]
fn bars_come_by_close_time_then_instrument() {
    let merge = Merge::new(vec![source(2, 1, &[0, 1, 3]), source(0, 1, &[1, 2, 3])], Bounds::default());
    assert_eq!(order(merge), [(2, 0), (0, 1), (2, 1), (0, 2), (0, 3), (2, 3)]);
}

#[test]
fn a_long_bar_comes_when_it_is_complete_and_not_when_it_opens() {
    let merge = Merge::new(vec![source(0, 5, &[0, 5]), source(1, 1, &[0, 3, 4, 5])], Bounds::default());
    assert_eq!(order(merge), [(1, 0), (1, 3), (0, 0), (1, 4), (1, 5), (0, 5)]);
}

#[test]
fn from_is_included_and_to_is_not() {
    let bounds = Bounds { from: Some(Timestamp(MINUTE)), to: Some(Timestamp(3 * MINUTE)) };
    let merge = Merge::new(vec![source(0, 1, &[0, 1, 2, 3]), source(1, 1, &[0]), source(2, 1, &[3])], bounds);
    assert_eq!(order(merge), [(0, 1), (0, 2)]);
}

#[test]
fn a_restart_goes_on_at_the_next_bar_of_that_instrument() {
    let sources = || vec![source(0, 1, &[0, 1, 2]), source(1, 1, &[0, 1, 2])];
    let mut merge = Merge::new(sources(), Bounds::default());
    merge.skip_through(InstrumentId(1), Timestamp(MINUTE));
    assert_eq!(order(merge), [(0, 0), (0, 1), (0, 2), (1, 2)]);

    let mut merge = Merge::new(sources(), Bounds::default());
    assert_eq!(merge.next().unwrap().0, InstrumentId(0));
    merge.skip_through(InstrumentId(1), Timestamp(MINUTE));
    merge.skip_through(InstrumentId(0), Timestamp(0));
    assert_eq!(order(merge), [(0, 1), (0, 2), (1, 2)], "also when bars were read ahead");
}

#[test]
fn a_failing_instrument_tells_once_and_the_others_go_on() {
    let broken = |good: &[i64]| {
        let mut bars: Vec<_> = good.iter().map(|minute| Ok(bar(*minute))).collect();
        bars.push(Err(MarketDataError::Empty { path: "x.csv".into() }));
        bars.into_iter()
    };
    let lane = |id, bars| Source { instrument: InstrumentId(id), interval: Millis(MINUTE), bars };
    let merge = Merge::new(
        vec![lane(0, broken(&[])), source(1, 1, &[0, 1, 2]), lane(2, broken(&[0])), lane(3, broken(&[]))],
        Bounds::default(),
    );
    assert_eq!(order(merge), [(0, -1), (3, -1), (1, 0), (2, 0), (2, -1), (1, 1), (1, 2)]);
}

proptest! {
    #[test]
    fn the_merge_is_the_sorted_union(lanes in proptest::collection::vec(proptest::collection::btree_set(0_i64..50, 0..30), 0..6)) {
        let sources = lanes.iter().zip(0_u16..).map(|(lane, id)| source(id, 1, &lane.iter().copied().collect::<Vec<_>>()));
        let merged = order(Merge::new(sources.collect(), Bounds::default()));
        let mut wanted: Vec<(u16, i64)> =
            lanes.iter().zip(0_u16..).flat_map(|(lane, id)| lane.iter().map(move |minute| (id, *minute))).collect();
        wanted.sort_by_key(|(id, minute)| (*minute, *id));
        prop_assert_eq!(merged, wanted);
    }
}
