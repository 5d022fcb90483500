//! Values counted in buckets, for metrics: in integers, so that the counts are exact and nothing here is a float.
//!
//! It lies below all that counts: an adapter counts its requests, the worker what is around them. Nothing decides by it.

use std::marker::PhantomData;
use std::time::Duration;

/// The buckets of a histogram.
pub trait Bounds {
    /// Upper bounds in millionths (microseconds, or parts of a ratio), rising. What is above the last is counted too.
    const UPPER: &'static [u64];
}

/// How many values fell into each bucket, and their sum.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram<B> {
    /// One for each bound and one for what is above; empty until there is a value.
    counts: Vec<u64>,
    sum: u64,
    bounds: PhantomData<B>,
}

impl<B: Bounds> Histogram<B> {
    /// Counts a value, in millionths.
    pub fn observe(&mut self, millionths: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; B::UPPER.len() + 1];
        }
        let bucket = B::UPPER.partition_point(|upper| *upper < millionths);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(millionths);
    }

    /// Counts how long something took.
    pub fn observe_time(&mut self, took: Duration) {
        self.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values, in millionths.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Each bucket with its upper bound and how many values fell into it and no lower one. The last has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let uppers = B::UPPER.iter().copied().map(Some).chain([None]);
        uppers.zip(self.counts.iter().copied().chain(std::iter::repeat(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Eq, Default)]
    struct Two;

    impl Bounds for Two {
        const UPPER: &'static [u64] = &[10, 1_000];
    }

    #[test]
    fn a_value_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::<Two>::default();
        let empty: Vec<_> = histogram.buckets().collect();
        assert_eq!(
            empty,
            [(Some(10), 0), (Some(1_000), 0), (None, 0)],
            "no value yet: every bucket is there"
        );
        for value in [0, 10, 11, 1_000, 1_001] {
            histogram.observe(value);
        }
        histogram.observe_time(Duration::from_micros(5));
        let counted: Vec<_> = histogram.buckets().collect();
        assert_eq!(counted, [(Some(10), 3), (Some(1_000), 2), (None, 1)], "a bound belongs to its bucket");
        assert_eq!((histogram.count(), histogram.sum()), (6, 2_027));
    }
}
