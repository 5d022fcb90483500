//! Several instruments' bars as one stream, in the order in which they became known.

use std::cmp::Reverse;
use std::collections::binary_heap::{BinaryHeap, PeekMut};

use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::time::{Millis, Timestamp};

use super::error::MarketDataError;

/// The stretch of time that is wanted, by the bars' open times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// The first open time; none is from the start.
    pub from: Option<Timestamp>,
    /// The first open time that is no longer wanted; none is to the end.
    pub to: Option<Timestamp>,
}

/// One instrument's bars: times strictly rising.
#[derive(Debug)]
pub struct Source<S> {
    /// Which instrument.
    pub instrument: InstrumentId,
    /// Length of its bars.
    pub interval: Millis,
    /// Where they come from.
    pub bars: S,
}

/// A merge of sources by close time, then instrument id. A source that fails tells its error once, right after its last
/// bar, and ends; the others go on. Costs a comparison or two a bar, and no memory but one bar a source.
#[derive(Debug)]
pub struct Merge<S> {
    lanes: Vec<Lane<S>>,
    /// Close time, instrument and lane of each lane's next bar, the earliest on top.
    next: BinaryHeap<Reverse<(Timestamp, InstrumentId, usize)>>,
    failed: Vec<(InstrumentId, MarketDataError)>,
    to: Timestamp,
    started: bool,
}

#[derive(Debug)]
struct Lane<S> {
    source: Source<S>,
    from: Timestamp,
    head: Option<Bar>,
}

impl<S: Iterator<Item = Result<Bar, MarketDataError>>> Merge<S> {
    /// A merge of those sources within those bounds. Nothing is read before the first bar is asked for.
    pub fn new(sources: Vec<Source<S>>, bounds: Bounds) -> Self {
        let from = bounds.from.unwrap_or(Timestamp(i64::MIN));
        let to = bounds.to.unwrap_or(Timestamp(i64::MAX));
        let next = BinaryHeap::with_capacity(sources.len());
        let lanes = sources.into_iter().map(|source| Lane { source, from, head: None }).collect();
        Self { lanes, next, failed: Vec::new(), to, started: false }
    }

    /// Instruments whose bars could not even be begun: each is told once, before the first bar.
    #[must_use]
    pub fn with_failed(mut self, failed: Vec<(InstrumentId, MarketDataError)>) -> Self {
        self.failed = failed;
        self
    }

    /// Leaves out that instrument's bars up to and including the one that opened at `last_open_time`: a restart goes on
    /// at the next bar.
    pub fn skip_through(&mut self, instrument: InstrumentId, last_open_time: Timestamp) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.source.instrument == instrument) {
            lane.from = lane.from.max(last_open_time.plus(Millis(1)));
        }
    }

    /// The sources, to ask what they have counted.
    pub fn sources(&self) -> impl Iterator<Item = &Source<S>> {
        self.lanes.iter().map(|lane| &lane.source)
    }

    /// The sources, to take what they have noted. Reading bars from one tears a gap.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut Source<S>> {
        self.lanes.iter_mut().map(|lane| &mut lane.source)
    }

    fn start(&mut self) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            match lane.advance(self.to) {
                Ok(Some(close)) => self.next.push(Reverse((close, lane.source.instrument, index))),
                Ok(None) => {}
                Err(e) => self.failed.push((lane.source.instrument, e)),
            }
        }
        self.failed.reverse();
        self.started = true;
    }
}

impl<S: Iterator<Item = Result<Bar, MarketDataError>>> Lane<S> {
    /// Reads the next wanted bar and returns its close time.
    fn advance(&mut self, to: Timestamp) -> Result<Option<Timestamp>, MarketDataError> {
        self.head = None;
        for bar in self.source.bars.by_ref() {
            let bar = bar?;
            if bar.open_time >= to {
                break;
            }
            if bar.open_time >= self.from {
                self.head = Some(bar);
                return Ok(Some(bar.close_time(self.source.interval)));
            }
        }
        Ok(None)
    }
}

impl<S: Iterator<Item = Result<Bar, MarketDataError>>> Iterator for Merge<S> {
    type Item = (InstrumentId, Result<Bar, MarketDataError>);

    fn next(&mut self) -> Option<Self::Item> {
        if !self.started {
            self.start();
        }
        loop {
            if let Some((instrument, error)) = self.failed.pop() {
                return Some((instrument, Err(error)));
            }
            let mut top = self.next.peek_mut()?;
            let Reverse((_, instrument, index)) = *top;
            let lane = self.lanes.get_mut(index)?;
            // A bar that was read before `skip_through` was called is left out here.
            let head = lane.head.filter(|bar| bar.open_time >= lane.from);
            match lane.advance(self.to) {
                Ok(Some(close)) => *top = Reverse((close, instrument, index)),
                Ok(None) => drop(PeekMut::pop(top)),
                Err(error) => {
                    PeekMut::pop(top);
                    self.failed.push((instrument, error));
                }
            }
            if let Some(bar) = head {
                return Some((instrument, Ok(bar)));
            }
        }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
