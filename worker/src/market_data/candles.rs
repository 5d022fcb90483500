//! Candles from CSV, plain or gzip, one row at a time.
//!
//! A bad row is skipped and told; a broken file ends the feed. The last line of a plain file may lack its line end: if
//! its columns are sound it counts (a number cut short could only be the volume, and a smaller volume fills less),
//! otherwise the file is truncated.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tradewind_core::instrument::{Bar, InstrumentRules};
use tradewind_core::money::{Price, Quantity};
use tradewind_core::time::{Millis, Timestamp};

use super::check::{BadBar, Field, check, is_plausible, later, shorten};
use super::decimal::{Decimal, NotDecimal};
use super::error::MarketDataError;

/// Skipped rows that are held for [`CandleReader::take_skips`]; further ones are counted only.
pub const MAX_SKIPS_HELD: usize = 100;

/// Longest line; a candle has about a hundred bytes.
const MAX_LINE: usize = 4096;
const BUFFER: usize = 64 * 1024;
const COLUMNS: [&str; 6] = ["ts", "open", "high", "low", "close", "volume"];

/// A row that was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1, the header included.
    pub line: u64,
    /// Why.
    pub reason: BadBar,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, reason } = self;
        write!(f, "{} line {line} is skipped: it {reason}; correct or delete the line", path.display())
    }
}

/// What has been read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quality {
    /// Bars given out.
    pub bars: u64,
    /// Rows skipped.
    pub skipped: u64,
    /// Prices (up to four a bar) that were rounded to the tick.
    pub off_tick: u64,
    /// Times that bars were missing before one.
    pub gaps: u64,
}

/// The bars of one instrument from a file, in memory that does not grow with it. After an error it is at its end.
pub struct CandleReader {
    path: PathBuf,
    rules: InstrumentRules,
    interval: Millis,
    rows: csv::Reader<LineGuard>,
    record: csv::ByteRecord,
    /// Open time and close of the last bar.
    previous: Option<(Timestamp, Price)>,
    quality: Quality,
    first_bad: Option<BadBar>,
    skips: Vec<Skipped>,
    done: bool,
}

impl fmt::Debug for CandleReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleReader")
            .field("path", &self.path)
            .field("quality", &self.quality)
            .finish_non_exhaustive()
    }
}

impl CandleReader {
    /// Opens a file of candles `interval` long; with the extension `gz` it is unpacked on the way. Reads and checks the
    /// header.
    pub fn open(path: &Path, rules: &InstrumentRules, interval: Millis) -> Result<Self, MarketDataError> {
        let file =
            File::open(path).map_err(|source| MarketDataError::Read { path: path.to_owned(), source })?;
        let packed = path.extension().is_some_and(|extension| extension == "gz");
        let read: Box<dyn Read + Send> = if packed {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(BUFFER, file)))
        } else {
            Box::new(file)
        };
        Self::from_read(read, path, rules, interval)
    }

    /// Candles as plain CSV from anywhere; `path` names them in messages.
    pub fn from_read(
        read: Box<dyn Read + Send>,
        path: &Path,
        rules: &InstrumentRules,
        interval: Millis,
    ) -> Result<Self, MarketDataError> {
        let rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(false)
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER)
            .from_reader(LineGuard { read, open_line: 0, ended: false });
        let mut reader = Self {
            path: path.to_owned(),
            rules: rules.clone(),
            interval,
            rows,
            record: csv::ByteRecord::new(),
            previous: None,
            quality: Quality::default(),
            first_bad: None,
            skips: Vec::new(),
            done: false,
        };
        reader.read_header()?;
        Ok(reader)
    }

    /// What has been read so far.
    pub fn quality(&self) -> Quality {
        self.quality
    }

    /// The rows skipped since the last call, at most [`MAX_SKIPS_HELD`]; [`Quality::skipped`] counts all.
    pub fn take_skips(&mut self) -> Vec<Skipped> {
        std::mem::take(&mut self.skips)
    }

    fn read_header(&mut self) -> Result<(), MarketDataError> {
        if !self.read_record()? {
            return Err(MarketDataError::Empty { path: self.path.clone() });
        }
        let same =
            |(found, wanted): (&[u8], &str)| found.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes());
        if self.record.len() == COLUMNS.len() && self.record.iter().zip(COLUMNS).all(same) {
            return Ok(());
        }
        let found = shorten(&self.record.iter().collect::<Vec<_>>().join(&b','));
        Err(MarketDataError::Header { path: self.path.clone(), found })
    }

    /// False at the end of the file.
    fn read_record(&mut self) -> Result<bool, MarketDataError> {
        self.rows.read_byte_record(&mut self.record).map_err(|e| {
            let source = match e.into_kind() {
                csv::ErrorKind::Io(source) => source,
                other => io::Error::new(io::ErrorKind::InvalidData, format!("{other:?}")),
            };
            MarketDataError::Corrupt { path: self.path.clone(), line: self.rows.position().line(), source }
        })
    }

    fn read_bar(&mut self) -> Result<Option<Bar>, MarketDataError> {
        while self.read_record()? {
            if self.record.iter().all(|column| column.trim_ascii().is_empty()) && self.record.len() == 1 {
                continue;
            }
            match self.bar_of_record() {
                Ok((bar, off_tick)) => {
                    self.quality.bars += 1;
                    self.quality.off_tick += off_tick;
                    let gap = |(before, _): (Timestamp, Price)| bar.open_time > before.plus(self.interval);
                    self.quality.gaps += u64::from(self.previous.is_some_and(gap));
                    self.previous = Some((bar.open_time, bar.close));
                    return Ok(Some(bar));
                }
                Err(reason) => self.skip(reason)?,
            }
        }
        match self.first_bad.take() {
            _ if self.quality.bars > 0 => Ok(None),
            Some(first) => {
                let (path, rows) = (self.path.clone(), self.quality.skipped);
                Err(MarketDataError::NoBars { path, rows, first: Box::new(first) })
            }
            None => Err(MarketDataError::Empty { path: self.path.clone() }),
        }
    }

    fn skip(&mut self, reason: BadBar) -> Result<(), MarketDataError> {
        let line = self.record.position().map_or(0, csv::Position::line);
        let path = self.path.clone();
        if self.rows.get_ref().ended_in_a_line() {
            return Err(MarketDataError::Truncated { path, line, reason: Box::new(reason) });
        }
        self.quality.skipped += 1;
        if self.first_bad.is_none() {
            self.first_bad = Some(reason.clone());
        }
        if self.skips.len() < MAX_SKIPS_HELD {
            self.skips.push(Skipped { path, line, reason });
        }
        Ok(())
    }

    /// The record as a bar, with the number of its prices that were off the tick.
    fn bar_of_record(&self) -> Result<(Bar, u64), BadBar> {
        let found = self.record.len();
        let mut columns = self.record.iter().map(<[u8]>::trim_ascii);
        let mut column =
            || columns.next().filter(|_| found == COLUMNS.len()).ok_or(BadBar::Columns { found });
        let open_time = self.time(column()?)?;
        let mut off_tick = 0;
        let mut price = |field| self.price(field, column()?, &mut off_tick);
        let (open, high) = (price(Field::Open)?, price(Field::High)?);
        let (low, close) = (price(Field::Low)?, price(Field::Close)?);
        let volume = self.volume(column()?)?;
        let bar = Bar { open_time, open, high, low, close, volume };
        check(&bar, self.previous, &self.rules)?;
        Ok((bar, off_tick))
    }

    fn time(&self, text: &[u8]) -> Result<Timestamp, BadBar> {
        let ms = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
        let ms = ms.filter(|ms| is_plausible(*ms)).ok_or_else(|| BadBar::Time { text: shorten(text) })?;
        let interval_ms = self.interval.0;
        if ms.checked_rem(interval_ms) != Some(0) {
            return Err(BadBar::NotAligned { ts: ms, interval_ms });
        }
        let time = Timestamp(ms);
        // First of all, so that a repeated row is told as such, whatever else is wrong with it.
        self.previous.map_or(Ok(()), |(previous, _)| later(time, previous))?;
        Ok(time)
    }

    fn price(&self, field: Field, text: &[u8], off_tick: &mut u64) -> Result<Price, BadBar> {
        let decimal = decimal(field, text)?;
        let not_positive = || BadBar::NotPositive { field, text: shorten(text) };
        if decimal.negative || decimal.is_zero() {
            return Err(not_positive());
        }
        let rounded =
            decimal.to_price(&self.rules).ok_or_else(|| BadBar::OutOfRange { field, text: shorten(text) })?;
        if rounded.price.0 == 0 {
            return Err(not_positive());
        }
        *off_tick += u64::from(rounded.off_tick);
        Ok(rounded.price)
    }

    fn volume(&self, text: &[u8]) -> Result<Quantity, BadBar> {
        let decimal = decimal(Field::Volume, text)?;
        if decimal.negative {
            return Err(BadBar::NotPositive { field: Field::Volume, text: shorten(text) });
        }
        Ok(decimal.to_volume(&self.rules))
    }
}

fn decimal(field: Field, text: &[u8]) -> Result<Decimal, BadBar> {
    Decimal::parse(text).map_err(|fault| match fault {
        NotDecimal::Shape => BadBar::NotDecimal { field, text: shorten(text) },
        NotDecimal::TooLong => BadBar::OutOfRange { field, text: shorten(text) },
    })
}

impl Iterator for CandleReader {
    type Item = Result<Bar, MarketDataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let result = self.read_bar();
        self.done = !matches!(result, Ok(Some(_)));
        result.transpose()
    }
}

/// Passes bytes on and refuses a line that has no end: a few kilobytes of gzip can hold gigabytes of it.
struct LineGuard {
    read: Box<dyn Read + Send>,
    /// Bytes after the last line end.
    open_line: usize,
    ended: bool,
}

impl LineGuard {
    /// Whether the end was met in the middle of a line. The CSV reader asks for more than it has only within a line, so
    /// while this is true its record is that line.
    fn ended_in_a_line(&self) -> bool {
        self.ended && self.open_line > 0
    }
}

impl Read for LineGuard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.read.read(buffer)?;
        self.ended = count == 0;
        for line in buffer.get(..count).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            self.open_line += line.len();
            if self.open_line > MAX_LINE {
                let message = format!("a line longer than {MAX_LINE} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            if line.ends_with(b"\n") {
                self.open_line = 0;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
#[path = "candles_tests.rs"]
mod tests;
