//! Candles from CSV, plain or gzip, one row at a time.
//!
//! A bad row is skipped and told; a broken file ends the feed. So does a bar that many rows after it do not fit: it is the
//! wrong one then, not they. A bar is therefore given out only when another may follow it. The last line of a plain file may lack its line end: if
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

/// Rows in a row that are skipped for nothing but the bar before them. Feeds that hiccup print a few absurd rows; where one
/// more disagrees, it is the bar they are compared with that is absurd, and skipping on would blame every good line of the
/// file.
pub const MOST_AGAINST_A_BAR: u32 = 8;

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
    /// The last sound bar, not yet given out.
    held: Option<Held>,
    /// Open time of the bar given out last.
    given: Option<Timestamp>,
    /// Rows since the held bar that were refused for it.
    against: u32,
    /// Told after the last bar.
    end: Option<MarketDataError>,
    quality: Quality,
    first_bad: Option<BadBar>,
    skips: Vec<Skipped>,
    done: bool,
}

/// A bar that rows after it may yet prove wrong.
struct Held {
    bar: Bar,
    off_tick: u64,
    line: u64,
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
            held: None,
            given: None,
            against: 0,
            end: None,
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
                    self.against = 0;
                    let held = Held { bar, off_tick, line: self.line() };
                    if let Some(bar) = self.give_out(Some(held)) {
                        return Ok(Some(bar));
                    }
                }
                Err(reason) => self.skip(reason)?,
            }
        }
        match self.first_bad.take() {
            _ if self.held.is_some() || self.quality.bars > 0 => Ok(None),
            Some(first) => {
                let (path, rows) = (self.path.clone(), self.quality.skipped);
                Err(MarketDataError::NoBars { path, rows, first: Box::new(first) })
            }
            None => Err(MarketDataError::Empty { path: self.path.clone() }),
        }
    }

    /// The held bar, with the next one in its place.
    fn give_out(&mut self, next: Option<Held>) -> Option<Bar> {
        let Held { bar, off_tick, .. } = std::mem::replace(&mut self.held, next)?;
        self.quality.bars += 1;
        self.quality.off_tick += off_tick;
        let gap = self.given.is_some_and(|before| bar.open_time > before.plus(self.interval));
        self.quality.gaps += u64::from(gap);
        self.given = Some(bar.open_time);
        Some(bar)
    }

    /// The line of the record.
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn skip(&mut self, reason: BadBar) -> Result<(), MarketDataError> {
        let line = self.line();
        let path = self.path.clone();
        if self.rows.get_ref().ended_in_a_line() {
            return Err(MarketDataError::Truncated { path, line, reason: Box::new(reason) });
        }
        self.quality.skipped += 1;
        self.against += u32::from(self.is_against_the_bar(&reason));
        if self.against > MOST_AGAINST_A_BAR
            && let Some(held) = self.held.take()
        {
            return Err(self.wrong_bar(&held, reason));
        }
        if self.first_bad.is_none() {
            self.first_bad = Some(reason.clone());
        }
        if self.skips.len() < MAX_SKIPS_HELD {
            self.skips.push(Skipped { path, line, reason });
        }
        Ok(())
    }

    /// Whether the row is refused for the held bar alone. One that is no later than the bar before that one either is out
    /// of order by itself, as where two files overlap.
    fn is_against_the_bar(&self, reason: &BadBar) -> bool {
        match reason {
            BadBar::Leap { .. } => true,
            BadBar::Unsorted { ts, .. } => self.given.is_none_or(|given| *ts > given.0),
            _ => false,
        }
    }

    /// The held bar is never given out, and the rows refused for it are not told as wrong.
    #[cold]
    fn wrong_bar(&mut self, held: &Held, reason: BadBar) -> MarketDataError {
        let refused = |skip: &Skipped| matches!(skip.reason, BadBar::Leap { .. } | BadBar::Unsorted { .. });
        self.skips.retain(|skip| skip.line < held.line || !refused(skip));
        MarketDataError::WrongBar {
            path: self.path.clone(),
            line: held.line,
            ts: held.bar.open_time.0,
            close: self.rules.price_text(held.bar.close),
            rows: self.against,
            last: self.line(),
            reason: Box::new(reason),
        }
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
        let previous = self.held.as_ref().map(|held| (held.bar.open_time, held.bar.close));
        check(&bar, previous, &self.rules)?;
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
        self.held.as_ref().map_or(Ok(()), |held| later(time, held.bar.open_time))?;
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
        if let Some(error) = self.end.take() {
            return Some(Err(error));
        }
        if self.done {
            return None;
        }
        match self.read_bar() {
            Ok(Some(bar)) => return Some(Ok(bar)),
            Ok(None) => {}
            Err(error) => self.end = Some(error),
        }
        self.done = true;
        match self.give_out(None) {
            Some(bar) => Some(Ok(bar)),
            None => self.end.take().map(Err),
        }
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
