//! The feed: bars in groups that close at one time.
//!
//! Bars of one time reach the venue and the engine together, so that no instrument's bar is decided on before another's
//! trades of the same time are known.

use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::time::{Millis, Timestamp};

use crate::market_data::{MarketDataError, Merge};

/// Bars in groups, each of one close time, times rising.
pub trait Feed {
    /// Puts the next group into `group`; false at the end. What fails ends that instrument's bars and is kept for
    /// [`Feed::failures`].
    fn next_group(&mut self, group: &mut Vec<(InstrumentId, Bar)>) -> bool;

    /// What failed since the last call.
    fn failures(&mut self) -> Vec<(InstrumentId, MarketDataError)>;
}

/// A merge of several instruments as groups.
#[derive(Debug)]
pub struct Grouped<S> {
    merge: Merge<S>,
    interval: Millis,
    ahead: Option<(InstrumentId, Bar)>,
    failed: Vec<(InstrumentId, MarketDataError)>,
}

impl<S: Iterator<Item = Result<Bar, MarketDataError>>> Grouped<S> {
    /// Groups of that merge, whose bars all have that length.
    pub fn new(merge: Merge<S>, interval: Millis) -> Self {
        Self { merge, interval, ahead: None, failed: Vec::new() }
    }

    /// The merge behind it.
    pub fn merge_mut(&mut self) -> &mut Merge<S> {
        &mut self.merge
    }

    fn pull(&mut self) -> Option<(InstrumentId, Bar)> {
        if let Some(bar) = self.ahead.take() {
            return Some(bar);
        }
        loop {
            match self.merge.next()? {
                (id, Ok(bar)) => return Some((id, bar)),
                (id, Err(error)) => self.failed.push((id, error)),
            }
        }
    }
}

impl<S: Iterator<Item = Result<Bar, MarketDataError>>> Feed for Grouped<S> {
    fn next_group(&mut self, group: &mut Vec<(InstrumentId, Bar)>) -> bool {
        group.clear();
        let Some(first) = self.pull() else { return false };
        let closes_at: Timestamp = first.1.close_time(self.interval);
        group.push(first);
        while let Some(next) = self.pull() {
            if next.1.close_time(self.interval) != closes_at {
                self.ahead = Some(next);
                break;
            }
            group.push(next);
        }
        true
    }

    fn failures(&mut self) -> Vec<(InstrumentId, MarketDataError)> {
        std::mem::take(&mut self.failed)
    }
}

/// One instrument's bars as groups of one.
#[derive(Debug)]
pub struct Single<S> {
    instrument: InstrumentId,
    bars: S,
    failed: Option<MarketDataError>,
}

impl<S> Single<S> {
    /// The bars of that instrument.
    pub fn new(instrument: InstrumentId, bars: S) -> Self {
        Self { instrument, bars, failed: None }
    }

    /// Where they come from, to ask what was counted.
    pub fn source(&self) -> &S {
        &self.bars
    }
}

impl<S: Iterator<Item = Result<Bar, MarketDataError>>> Feed for Single<S> {
    #[inline]
    fn next_group(&mut self, group: &mut Vec<(InstrumentId, Bar)>) -> bool {
        group.clear();
        match self.bars.next() {
            Some(Ok(bar)) => {
                group.push((self.instrument, bar));
                true
            }
            Some(Err(error)) => {
                self.failed = Some(error);
                false
            }
            None => false,
        }
    }

    fn failures(&mut self) -> Vec<(InstrumentId, MarketDataError)> {
        self.failed.take().map(|error| (self.instrument, error)).into_iter().collect()
    }
}
