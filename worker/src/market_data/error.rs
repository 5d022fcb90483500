//! Why market data cannot be used.

use std::io;
use std::path::PathBuf;

use tradewind_core::instrument::RulesError;
use tradewind_core::name::{Asset, Symbol};

use super::check::BadBar;
use super::data_set::INSTRUMENTS_FILE;

/// Why a data set, or one instrument's feed, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarketDataError {
    /// No search folder has a data set of that name.
    #[error("data set {name:?} was not found in {searched}; {hint}")]
    NoSuchSet {
        /// What was asked for.
        name: String,
        /// The folders that were searched.
        searched: String,
        /// The nearest name and all names there are.
        hint: String,
    },
    /// The name leads out of the search folders.
    #[error(
        "data set name {name:?} must be a folder below the market-data folder, without \"..\"; write it like \"coinbase-1h\""
    )]
    BadName {
        /// What was asked for.
        name: String,
    },
    /// A file cannot be opened or read.
    #[error("cannot read {}: {source}; check that it exists and may be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `instruments.yaml` is no YAML of the right shape.
    #[error("{}: {source}; write it as the packaged sets do: quoteCurrency, bar, instruments [symbol, tick, lot, minNotional]", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// `instruments.yaml` is larger than any real one.
    #[error("{} is larger than {limit} bytes; keep only the instruments of this set in it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Largest size read, in bytes.
        limit: u64,
    },
    /// The rules of an instrument cannot be used.
    #[error("{}: {source}; correct it in {INSTRUMENTS_FILE}", path.display())]
    Rules {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        #[source]
        source: RulesError,
    },
    /// The bar length is not one that divides a day.
    #[error("{}: bar {text:?} must divide a day evenly; write it like \"1m\", \"15m\", \"1h\" or \"1d\"", path.display())]
    BarLength {
        /// The file.
        path: PathBuf,
        /// What is written there.
        text: String,
    },
    /// An instrument is quoted in another currency than its set.
    #[error("{}: {symbol} is not quoted in {quote}; all instruments of a set share its quoteCurrency", path.display())]
    OtherQuote {
        /// The file.
        path: PathBuf,
        /// The instrument.
        symbol: Symbol,
        /// `quoteCurrency`.
        quote: Asset,
    },
    /// An instrument is listed twice.
    #[error("{}: {symbol} is listed twice; remove one of both", path.display())]
    ListedTwice {
        /// The file.
        path: PathBuf,
        /// The instrument.
        symbol: Symbol,
    },
    /// No instrument is listed.
    #[error("{} lists no instruments; list at least one", path.display())]
    NoInstruments {
        /// The file.
        path: PathBuf,
    },
    /// The data set does not have that symbol.
    #[error("data set {set} has no {symbol}; {hint}")]
    UnknownSymbol {
        /// The data set.
        set: String,
        /// What was asked for.
        symbol: Symbol,
        /// The nearest symbol and all there are.
        hint: String,
    },
    /// An instrument is listed and its candles are missing.
    #[error("{symbol} is listed in {INSTRUMENTS_FILE}, but neither {} nor the same name without .gz exists; add the file or remove the symbol", path.display())]
    NoCandles {
        /// The instrument.
        symbol: Symbol,
        /// The file that was looked for.
        path: PathBuf,
    },
    /// Nothing is in the file.
    #[error("{} is empty; put candles in it or remove the instrument", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The first line is not the header.
    #[error("{} starts with {found:?}; its first line must be \"ts,open,high,low,close,volume\"", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Its first line, shortened.
        found: String,
    },
    /// The file has rows, but none is usable.
    #[error("{} has no usable bar in {rows} rows (the first: {first}); correct the file", path.display())]
    NoBars {
        /// The file.
        path: PathBuf,
        /// Rows read.
        rows: u64,
        /// What is wrong with the first.
        first: Box<BadBar>,
    },
    /// A bar was taken for sound, and one row after the other does not fit it.
    #[error("{} line {line} (ts {ts}, close {close}) fits none of {rows} rows after it (line {last} {reason}); this instrument's feed ends before it, correct or delete that line, or those rows if they are wrong", path.display())]
    WrongBar {
        /// The file.
        path: PathBuf,
        /// The line of the bar.
        line: u64,
        /// Its open time, in Unix milliseconds.
        ts: i64,
        /// Its close.
        close: String,
        /// How many rows were refused for it, one after the other.
        rows: u32,
        /// The line of the last of them.
        last: u64,
        /// Why that one was refused.
        reason: Box<BadBar>,
    },
    /// Reading failed in the middle: corrupt gzip, a line without end, a disk error.
    #[error("{} is broken after line {line}: {source}; this instrument's feed ends here, replace the file", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The last line read.
        line: u64,
        /// What was found.
        #[source]
        source: io::Error,
    },
    /// The file stops in the middle of a line.
    #[error("{} stops in the middle of line {line}: {reason}; it was not written to its end, replace the file", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The last line.
        line: u64,
        /// What is wrong with it.
        reason: Box<BadBar>,
    },
    /// A file of binary rows does not consist of whole rows.
    #[error("{} has {bytes} bytes, which is not a whole number of 48-byte rows; it was not written to its end, replace the file", path.display())]
    RowsSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A binary row is not a bar.
    #[error("{} row {row} {reason}; correct the program that wrote it", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, counted from 0.
        row: u64,
        /// What is wrong with it.
        reason: Box<BadBar>,
    },
}
