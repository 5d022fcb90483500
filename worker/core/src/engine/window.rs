//! Decision bars out of shorter feed bars.

use crate::instrument::Bar;
use crate::money::Quantity;
use crate::time::{Millis, Timestamp};

/// Collects the feed's bars of one decision bar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    length: Millis,
    base: Millis,
    current: Option<Partial>,
    /// Start of the last window that was handed on.
    last: Option<Timestamp>,
    /// Feed bars missing since the last window that was complete in time.
    owed: u32,
}

#[derive(Debug, Clone, Copy)]
struct Partial {
    bar: Bar,
    seen: i64,
}

/// A decision bar that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Closed {
    pub(super) bar: Bar,
    /// Feed bars missing since the decision before.
    pub(super) missing: u32,
    /// Whole decision bars the signal has not seen before this one.
    pub(super) skipped: u32,
}

impl Window {
    /// None when the feed's bars are the decision bars.
    pub(super) fn new(length: Millis, base: Millis) -> Option<Self> {
        (length > base).then_some(Self { length, base, current: None, last: None, owed: 0 })
    }

    /// How long its decision bars are.
    pub(super) fn length(&self) -> Millis {
        self.length
    }

    /// First a bar that a gap cut off: as its end was not seen in time, nothing may be bought on it. Then the bar that this one
    /// completes.
    pub(super) fn push(&mut self, bar: &Bar) -> (Option<Closed>, Option<Closed>) {
        let start = Timestamp(bar.open_time.0 - bar.open_time.0.rem_euclid(self.length.0.max(1)));
        let mut cut_off = None;
        if self.current.is_some_and(|partial| partial.bar.open_time != start) {
            cut_off = self.current.take().map(|partial| self.close(&partial));
        }
        let partial = match self.current.take() {
            None => Partial { bar: Bar { open_time: start, ..*bar }, seen: 1 },
            Some(partial) => partial.with(bar),
        };
        let ends = bar.open_time.plus(self.base) >= start.plus(self.length);
        if ends {
            let complete = self.close(&partial);
            self.owed = 0;
            return (cut_off, Some(complete));
        }
        self.current = Some(partial);
        (cut_off, None)
    }

    fn close(&mut self, partial: &Partial) -> Closed {
        let expected = self.length.0 / self.base.0.max(1);
        let start = partial.bar.open_time;
        let windows = self.last.map_or(0, |last| start.since(last).0 / self.length.0.max(1) - 1).max(0);
        let skipped = u32::try_from(windows).unwrap_or(u32::MAX);
        // Before its first bar the feed has not begun, which is no gap.
        let inside = if self.last.is_none() { 0 } else { expected.saturating_sub(partial.seen).max(0) };
        let missing = windows.saturating_mul(expected).saturating_add(inside);
        self.owed = self.owed.saturating_add(u32::try_from(missing).unwrap_or(u32::MAX));
        self.last = Some(start);
        Closed { bar: partial.bar, missing: self.owed, skipped }
    }
}

impl Partial {
    fn with(self, next: &Bar) -> Self {
        let bar = Bar {
            open_time: self.bar.open_time,
            open: self.bar.open,
            high: self.bar.high.max(next.high),
            low: self.bar.low.min(next.low),
            close: next.close,
            volume: Quantity(self.bar.volume.0.saturating_add(next.volume.0)),
        };
        Self { bar, seen: self.seen + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Price;

    fn bar(minute: i64, prices: [i64; 4]) -> Bar {
        let [open, high, low, close] = prices.map(Price);
        Bar { open_time: Timestamp(minute * 60_000), open, high, low, close, volume: Quantity(2) }
    }

    fn window() -> Window {
        Window::new(Millis(180_000), Millis(60_000)).unwrap()
    }

    #[test]
    fn three_minutes_make_one_bar_of_three() {
        let mut window = window();
        assert_eq!(window.push(&bar(0, [10, 12, 9, 11])), (None, None));
        assert_eq!(window.push(&bar(1, [11, 15, 11, 14])), (None, None));
        let closed = window.push(&bar(2, [14, 14, 8, 9])).1.unwrap();
        let expected = Bar { volume: Quantity(6), ..bar(0, [10, 15, 8, 9]) };
        assert_eq!(closed, Closed { bar: expected, missing: 0, skipped: 0 });
    }

    fn fill(window: &mut Window, minutes: std::ops::Range<i64>) -> Option<Closed> {
        minutes.filter_map(|minute| window.push(&bar(minute, [10; 4])).1).last()
    }

    #[test]
    fn a_gap_inside_is_counted() {
        let mut window = window();
        fill(&mut window, 0..3);
        window.push(&bar(3, [10; 4]));
        let closed = window.push(&bar(5, [11; 4])).1.unwrap();
        assert_eq!((closed.missing, closed.skipped), (1, 0));
        assert_eq!(fill(&mut window, 6..9).unwrap().missing, 0, "the next one is whole again");
    }

    #[test]
    fn a_gap_across_the_end_feeds_the_bar_it_cut_off_and_is_told_at_the_next_decision() {
        let mut window = window();
        fill(&mut window, 0..3);
        window.push(&bar(3, [12; 4]));
        let (cut_off, complete) = window.push(&bar(6, [13; 4]));
        assert_eq!((cut_off.map(|c| c.bar.close), complete), (Some(Price(12)), None));
        assert_eq!(fill(&mut window, 7..9).map(|c| (c.missing, c.skipped)), Some((2, 0)));
    }

    #[test]
    fn whole_bars_that_are_missing_are_counted_wherever_the_feed_comes_back() {
        for back in [12, 13, 14] {
            let mut window = window();
            fill(&mut window, 0..3);
            let closed = fill(&mut window, back..15).unwrap();
            // Minutes 3 to `back` are missing; the bars of 3 to 12 were never seen at all.
            assert_eq!((i64::from(closed.missing), closed.skipped), (back - 3, 3), "{back}");
        }
    }

    #[test]
    fn bars_as_long_as_the_feeds_need_no_window() {
        assert!(Window::new(Millis(60_000), Millis(60_000)).is_none());
    }
}
