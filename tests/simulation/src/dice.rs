//! All chance of a run: numbers that follow from its seed alone.

use fastrand::Rng;

/// A stream of numbers.
#[derive(Debug)]
pub(crate) struct Dice(Rng);

impl Dice {
    /// The stream of that name in the run of that seed; streams of different names have nothing to do with each other.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // An odd constant without a pattern keeps neighbouring seeds apart.
        Self(Rng::with_seed(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03),
        ))
    }

    /// True that many times of a thousand.
    pub(crate) fn chance(&mut self, of_a_thousand: u32) -> bool {
        self.0.u32(0..1000) < of_a_thousand
    }

    /// A number from the first to the last, both included; the first if there is none between them.
    pub(crate) fn between(&mut self, first: i64, last: i64) -> i64 {
        if first >= last { first } else { self.0.i64(first..=last) }
    }

    /// One of them.
    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T], or: T) -> T {
        if all.is_empty() { or } else { all.get(self.0.usize(0..all.len())).copied().unwrap_or(or) }
    }
}
