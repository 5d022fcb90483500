//! A series of minute bars from a seed: a random walk in whole cents that is drawn back to its start.
//!
//! Each bar opens at the close before it. The same seed gives the same bytes on every machine. The generator knows
//! nothing of the code it is made for.

use std::io::{BufWriter, Write};
use std::path::Path;

use crate::BenchError;

/// Milliseconds in a bar.
pub const MINUTE_MS: i64 = 60_000;
/// Open time of the first bar: 2024-01-01T00:00Z.
pub const START_MS: i64 = 1_704_067_200_000;
/// The price the walk starts at and is drawn back to: 60 000.00.
const START_CENTS: i64 = 6_000_000;
/// The largest step of a bar: 30.00.
const STEP_CENTS: u64 = 3_000;
/// The largest distance of high and low from the body: 5.00.
const WICK_CENTS: u64 = 500;
/// One part in that many of the distance to the start is taken back each bar.
const DRAW: i64 = 20_000;

/// The generator of Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators".
#[derive(Debug, Clone)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A whole number from 0 to `most`.
    fn upto(&mut self, most: u64) -> i64 {
        i64::try_from(self.next_bits() % (most + 1)).unwrap_or(0)
    }
}

/// One bar in whole cents and hundredths of a coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candle {
    /// Open time in milliseconds.
    pub ts_ms: i64,
    /// First price.
    pub open: i64,
    /// Highest price.
    pub high: i64,
    /// Lowest price.
    pub low: i64,
    /// Last price.
    pub close: i64,
    /// Traded amount.
    pub volume: i64,
}

impl Candle {
    /// The row of 48 bytes.
    pub fn to_bytes(self) -> [u8; 48] {
        let mut bytes = [0_u8; 48];
        let prices = [self.open, self.high, self.low, self.close, self.volume].map(hundredths);
        let words = std::iter::once(self.ts_ms.to_le_bytes()).chain(prices.map(f64::to_le_bytes));
        for (target, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *target = word;
        }
        bytes
    }
}

/// The float nearest to a number of hundredths: a quotient of two exact floats is rounded once.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn hundredths(units: i64) -> f64 {
    units as f64 / 100.0
}

/// The candles of a seed, without end.
#[derive(Debug, Clone)]
pub struct Series {
    random: SplitMix64,
    ts_ms: i64,
    price: i64,
}

impl Series {
    /// From the first bar.
    pub fn new(seed: u64) -> Self {
        Self { random: SplitMix64::new(seed), ts_ms: START_MS, price: START_CENTS }
    }
}

impl Iterator for Series {
    type Item = Candle;

    fn next(&mut self) -> Option<Candle> {
        let (ts_ms, open) = (self.ts_ms, self.price);
        let middle = i64::try_from(STEP_CENTS).unwrap_or(0);
        let step = self.random.upto(2 * STEP_CENTS) - middle + (START_CENTS - open) / DRAW;
        let close = (open + step).max(1_000);
        let high = open.max(close) + self.random.upto(WICK_CENTS);
        let low = open.min(close) - self.random.upto(WICK_CENTS);
        let volume = 100 + self.random.upto(9_900);
        (self.ts_ms, self.price) = (ts_ms + MINUTE_MS, close);
        Some(Candle { ts_ms, open, high, low, close, volume })
    }
}

/// Writes the first `bars` of a seed as rows.
pub fn write(path: &Path, bars: usize, seed: u64) -> Result<(), BenchError> {
    write_candles(path, Series::new(seed).take(bars))
}

/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// Writes candles as rows.
pub fn write_candles(path: &Path, candles: impl IntoIterator<Item = Candle>) -> Result<(), BenchError> {
    // Written in large pieces, the system also keeps it in large ones, and reads it faster.
    let file = std::fs::File::create(path).map_err(BenchError::at(path))?;
    let mut file = BufWriter::with_capacity(PIECE, file);
    for candle in candles {
        file.write_all(&candle.to_bytes())?;
    }
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_published_numbers() {
        // The reference implementation's first three outputs for seed 1234567.
        let mut random = SplitMix64::new(1_234_567);
        let first = [random.next_bits(), random.next_bits(), random.next_bits()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_bar_is_sound_and_opens_at_the_close_before_it() {
        let candles: Vec<Candle> = Series::new(7).take(50_000).collect();
        for (before, after) in candles.iter().zip(candles.iter().skip(1)) {
            assert_eq!((after.open, after.ts_ms), (before.close, before.ts_ms + MINUTE_MS));
        }
        for c in &candles {
            assert!(
                0 < c.low && c.low <= c.open.min(c.close) && c.open.max(c.close) <= c.high && c.volume >= 100,
                "{c:?}"
            );
        }
    }

    #[test]
    fn a_row_is_time_and_five_floats_little_endian() {
        let candle = Candle { ts_ms: 1, open: 150, high: 200, low: 100, close: 125, volume: 50 };
        let bytes = candle.to_bytes();
        assert_eq!(bytes[..8], [1, 0, 0, 0, 0, 0, 0, 0]);
        let floats: Vec<f64> =
            bytes[8..].chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect();
        assert_eq!(floats, [1.5, 2.0, 1.0, 1.25, 0.5]);
    }
}
