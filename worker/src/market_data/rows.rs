//! Bars from binary rows: little-endian `i64` open time in Unix milliseconds, then `f64` open, high, low, close and
//! volume; 48 bytes a row, nothing else in the file.
//!
//! The floats are the nearest ones to decimals; each becomes the nearest tick (a tie goes to the even one) or quantity unit,
//! and counts as off the tick when it differs from it by more than a billionth. Rows come from a program, so one that is not
//! a bar ends the feed. Open times must rise, and need not be multiples of the bar.
//!
//! This is the one place where money is read from floats, and it is exact: a float is off its decimal by at most one part in
//! 2^53, the factor from prices to ticks and their product by as much again. Prices of 2^50 ticks or more are refused, and
//! below that it is less than half a tick together, so that a decimal on a tick becomes that tick.

#![expect(clippy::float_arithmetic, reason = "floats become ticks here, exactly, as said above")]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tradewind_core::instrument::{Bar, InstrumentRules};
use tradewind_core::money::{Price, Quantity};
use tradewind_core::time::Timestamp;

use super::check::{BadBar, Field, check, is_plausible, may_follow};
use super::error::MarketDataError;

/// Bytes in a row.
pub const ROW_BYTES: usize = 48;

/// Rows read at once: large enough that reading costs little, small enough for the processor's cache.
const BLOCK_ROWS: usize = 1024;
/// Ticks up to which a float (rounded once itself, then multiplied) is certain to be nearest to its own decimal.
const MAX_TICKS: i64 = 1 << 50;
/// What a volume may be short of a whole unit, as floats are: far more than they are up to 10^12 units.
const SHORT: f64 = 0.001;
/// 2^52, above which a float has no fraction.
const SHIFT: f64 = 4_503_599_627_370_496.0;
/// The bits of a float that hold its fraction.
const SHIFT_MASK: u64 = (1 << 52) - 1;
/// A relative difference from the tick that is no longer a float's error.
const OFF_TICK: f64 = 1e-9;

/// The bars of one instrument from binary rows, read and checked in blocks. Allocates nothing a row. After an error it
/// is at its end.
#[derive(Debug)]
pub struct RowsReader<R> {
    read: R,
    path: PathBuf,
    rules: InstrumentRules,
    scales: Scales,
    bytes: Box<[[u8; ROW_BYTES]]>,
    /// The present block, and how many of it were given out.
    bars: Vec<Bar>,
    at: usize,
    /// What is wrong with the row after the block.
    refused: Option<MarketDataError>,
    /// Rows before the block.
    row: u64,
    previous: Option<(Timestamp, Price)>,
    off_tick: u64,
    done: bool,
}

/// Factors from a float to units.
#[derive(Debug, Clone, Copy)]
struct Scales {
    ticks: f64,
    tick_units: i64,
    max_ticks: f64,
    quantity: f64,
}

/// A row's numbers before they are turned into units.
#[derive(Debug, Clone, Copy)]
struct Row {
    ts: i64,
    prices: [f64; 4],
    volume: f64,
}

impl RowsReader<File> {
    /// Opens a file of rows; one whose size is not a whole number of rows is refused.
    pub fn open(path: &Path, rules: &InstrumentRules) -> Result<Self, MarketDataError> {
        let failed = |source| MarketDataError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        if bytes == 0 {
            return Err(MarketDataError::Empty { path: path.to_owned() });
        }
        if bytes % 48 != 0 {
            return Err(MarketDataError::RowsSize { path: path.to_owned(), bytes });
        }
        Ok(Self::new(file, path, rules))
    }
}

impl<R: Read> RowsReader<R> {
    /// Rows from anywhere; `path` names them in messages. `read` needs no buffer of its own.
    pub fn new(read: R, path: &Path, rules: &InstrumentRules) -> Self {
        let bytes = vec![[0; ROW_BYTES]; BLOCK_ROWS].into_boxed_slice();
        let (scales, rules, path) = (Scales::of(rules), rules.clone(), path.to_owned());
        Self {
            read,
            path,
            rules,
            scales,
            bytes,
            bars: Vec::with_capacity(BLOCK_ROWS),
            at: 0,
            refused: None,
            row: 0,
            previous: None,
            off_tick: 0,
            done: false,
        }
    }

    /// Prices (up to four a bar) of the rows read so far that were rounded to the tick.
    pub fn off_tick(&self) -> u64 {
        self.off_tick
    }

    /// Bars given out.
    pub fn bars(&self) -> u64 {
        self.row + self.at as u64
    }

    /// Reads the next block; false at the end.
    fn next_block(&mut self) -> Result<bool, MarketDataError> {
        self.row = self.bars();
        self.at = 0;
        self.bars.clear();
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let filled = self.fill()?;
        for bytes in self.bytes.get(..filled).unwrap_or_default() {
            let Some(row) = Row::decode(bytes) else { break };
            let sound = self.scales.bar(&row, &mut self.off_tick);
            let sound = sound.filter(|bar| self.previous.is_none_or(|previous| may_follow(bar, previous)));
            let Some(bar) = sound else {
                self.refused = Some(self.refuse(&row));
                break;
            };
            self.previous = Some((bar.open_time, bar.close));
            self.bars.push(bar);
        }
        match self.refused.take_if(|_| self.bars.is_empty()) {
            Some(error) => Err(error),
            None => Ok(filled > 0),
        }
    }

    /// Fills the buffer as far as the rows go; how many there are.
    fn fill(&mut self) -> Result<usize, MarketDataError> {
        let bytes = self.bytes.as_flattened_mut();
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(MarketDataError::Corrupt { path: self.path.clone(), line: self.row, source });
                }
            }
        }
        if filled % ROW_BYTES != 0 {
            let bytes = self.row * 48 + u64::try_from(filled).unwrap_or(u64::MAX);
            return Err(MarketDataError::RowsSize { path: self.path.clone(), bytes });
        }
        Ok(filled / ROW_BYTES)
    }

    #[cold]
    fn refuse(&self, row: &Row) -> MarketDataError {
        let reason = Box::new(self.reason(row));
        MarketDataError::Row { path: self.path.clone(), row: self.row + self.bars.len() as u64, reason }
    }

    fn reason(&self, row: &Row) -> BadBar {
        if !is_plausible(row.ts) {
            return BadBar::Time { text: row.ts.to_string() };
        }
        for (field, value) in [Field::Open, Field::High, Field::Low, Field::Close].into_iter().zip(row.prices)
        {
            if let Some(reason) = bad_number(field, value, value * self.scales.ticks > 0.5) {
                return reason;
            }
            if value * self.scales.ticks >= self.scales.max_ticks {
                return BadBar::OutOfRange { field, text: value.to_string() };
            }
        }
        if let Some(reason) = bad_number(Field::Volume, row.volume, row.volume >= 0.0) {
            return reason;
        }
        let bar = self.scales.units(row, &mut 0);
        let not_enclosed = || {
            let [open, high, low, close] = row.prices.map(|price| price.to_string());
            BadBar::NotEnclosed { open, high, low, close }
        };
        check(&bar, self.previous, &self.rules).err().unwrap_or_else(not_enclosed)
    }
}

fn bad_number(field: Field, value: f64, positive: bool) -> Option<BadBar> {
    let text = value.to_string();
    if !value.is_finite() {
        return Some(BadBar::NotDecimal { field, text });
    }
    (!positive).then_some(BadBar::NotPositive { field, text })
}

impl Row {
    #[inline]
    fn decode(bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let &[ts, open, high, low, close, volume] = words else { return None };
        let prices = [open, high, low, close].map(f64::from_le_bytes);
        Some(Self { ts: i64::from_le_bytes(ts), prices, volume: f64::from_le_bytes(volume) })
    }
}

impl Scales {
    #[expect(clippy::cast_precision_loss, reason = "10^18 at most, and a tick that fits its own scale")]
    fn of(rules: &InstrumentRules) -> Self {
        let power = |scale: u8| 10_f64.powi(i32::from(scale));
        let tick_units = rules.tick.0.max(1);
        Self {
            ticks: power(rules.price_scale) / tick_units as f64,
            tick_units,
            max_ticks: MAX_TICKS.min(i64::MAX / tick_units) as f64,
            quantity: power(rules.quantity_scale),
        }
    }

    /// The row as a bar, or none when a number is not finite, not positive, too large or out of order. Each comparison
    /// is written so that NaN fails it.
    #[inline]
    fn bar(&self, row: &Row, off_tick: &mut u64) -> Option<Bar> {
        let [open, high, low, close] = row.prices;
        let sound = low <= open
            && low <= close
            && open <= high
            && close <= high
            && low * self.ticks > 0.5
            && high * self.ticks < self.max_ticks
            && row.volume >= 0.0
            && row.volume <= f64::MAX
            && is_plausible(row.ts);
        sound.then(|| self.units(row, off_tick))
    }

    /// For prices below 2^50 ticks.
    #[inline]
    fn units(&self, row: &Row, off_tick: &mut u64) -> Bar {
        let mut off = 0;
        let [open, high, low, close] = row.prices.map(|price| {
            let exact = price * self.ticks;
            // Added to 2^52 a smaller number is rounded to the nearest whole one, which is then the low bits.
            let shifted = exact + SHIFT;
            let ticks = (shifted.to_bits() & SHIFT_MASK).cast_signed();
            off += u64::from((exact - (shifted - SHIFT)).abs() > OFF_TICK * exact);
            Price(ticks.wrapping_mul(self.tick_units))
        });
        *off_tick += off;
        Bar { open_time: Timestamp(row.ts), open, high, low, close, volume: self.volume(row.volume) }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "saturates: a volume only bounds fills")]
    fn volume(&self, volume: f64) -> Quantity {
        // Rounded down, as fills are bounded by it, but for what the float is short of a whole unit.
        Quantity((volume * self.quantity + SHORT) as i64)
    }
}

impl<R: Read> Iterator for RowsReader<R> {
    type Item = Result<Bar, MarketDataError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(bar) = self.bars.get(self.at) {
                self.at += 1;
                return Some(Ok(*bar));
            }
            if self.done {
                return None;
            }
            match self.next_block() {
                Ok(more) => self.done = !more,
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
