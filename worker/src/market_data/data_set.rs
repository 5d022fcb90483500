//! A data set: a folder with `instruments.yaml` and one file of candles an instrument.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use smol_str::SmolStr;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::time::Millis;

use super::candles::CandleReader;
use super::error::MarketDataError;
use super::interval::parse_interval;

/// The file that makes a folder a data set.
pub const INSTRUMENTS_FILE: &str = "instruments.yaml";

/// Largest `instruments.yaml` that is read, in bytes: some ten thousand instruments.
const MAX_INSTRUMENTS_BYTES: u64 = 1 << 20;

/// Similarity (0 to 1) from which another name is suggested.
const NEAR: f64 = 0.5;

/// The text of `instruments.yaml`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstrumentsFile {
    quote_currency: Asset,
    bar: SmolStr,
    instruments: Vec<InstrumentEntry>,
}

/// One instrument in it. Decimals are texts, so that none passes through a float.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InstrumentEntry {
    symbol: Symbol,
    tick: String,
    lot: String,
    min_notional: String,
}

/// A folder of candles and the rules of its instruments. Opening reads `instruments.yaml` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSet {
    dir: PathBuf,
    quote_currency: Asset,
    bar: Millis,
    bar_text: SmolStr,
    instruments: Vec<InstrumentRules>,
}

impl DataSet {
    /// Reads `instruments.yaml` in `dir`. Errors name the file and the fix.
    pub fn open(dir: &Path) -> Result<Self, MarketDataError> {
        let path = dir.join(INSTRUMENTS_FILE);
        let text = read_small(&path)?;
        let file: InstrumentsFile = serde_saphyr::from_str(&text)
            .map_err(|e| MarketDataError::Yaml { path: path.clone(), source: Box::new(e) })?;
        let Some(bar) = parse_interval(&file.bar) else {
            return Err(MarketDataError::BarLength { path, text: file.bar.chars().take(40).collect() });
        };
        let instruments = rules_of(&path, &file)?;
        Ok(Self {
            dir: dir.to_owned(),
            quote_currency: file.quote_currency,
            bar,
            bar_text: file.bar,
            instruments,
        })
    }

    /// Opens the set called `name`: the folder `<dir>/<name>` of the first of `search_dirs` that has one. The error
    /// lists the sets there are and suggests the nearest name.
    pub fn find(name: &str, search_dirs: &[PathBuf]) -> Result<Self, MarketDataError> {
        let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(MarketDataError::BadName { name: name.chars().take(80).collect() });
        }
        match search_dirs.iter().map(|dir| dir.join(name)).find(|dir| dir.is_dir()) {
            Some(dir) => Self::open(&dir),
            None => Err(MarketDataError::NoSuchSet {
                name: name.chars().take(80).collect(),
                searched: searched(search_dirs),
                hint: hint(name, &sets_in(search_dirs)),
            }),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The currency all instruments are quoted in.
    pub fn quote_currency(&self) -> &Asset {
        &self.quote_currency
    }

    /// Length of a bar.
    pub fn bar(&self) -> Millis {
        self.bar
    }

    /// Length of a bar as it is written in file names, such as `1h`.
    pub fn bar_text(&self) -> &str {
        &self.bar_text
    }

    /// The instruments, in the order of the file.
    pub fn instruments(&self) -> &[InstrumentRules] {
        &self.instruments
    }

    /// The same candles of those instruments alone that are also traded elsewhere, read by the rules of there.
    #[must_use]
    pub fn traded_by(self, rules: &[InstrumentRules]) -> Self {
        let there = |symbol: &Symbol| rules.iter().find(|rules| rules.symbol == *symbol).cloned();
        let with_candles = |rules: &&InstrumentRules| self.file(&rules.symbol).is_ok();
        let both = self.instruments.iter().filter(with_candles);
        let instruments = both.filter_map(|rules| there(&rules.symbol)).collect();
        Self { instruments, ..self }
    }

    /// The rules of one instrument. The error lists the symbols there are and suggests the nearest.
    pub fn rules(&self, symbol: &Symbol) -> Result<&InstrumentRules, MarketDataError> {
        self.instruments.iter().find(|rules| rules.symbol == *symbol).ok_or_else(|| {
            let symbols: BTreeSet<String> =
                self.instruments.iter().map(|rules| rules.symbol.to_string()).collect();
            MarketDataError::UnknownSymbol {
                set: self.dir.display().to_string(),
                symbol: symbol.clone(),
                hint: hint(&symbol.to_string(), &symbols),
            }
        })
    }

    /// The file with that instrument's candles: `<SYMBOL>_<bar>.csv.gz`, else the same without `.gz`.
    pub fn file(&self, symbol: &Symbol) -> Result<PathBuf, MarketDataError> {
        let rules = self.rules(symbol)?;
        let packed = self.dir.join(format!("{}_{}.csv.gz", rules.symbol, self.bar_text));
        let plain = packed.with_extension("");
        if packed.is_file() {
            Ok(packed)
        } else if plain.is_file() {
            Ok(plain)
        } else {
            Err(MarketDataError::NoCandles { symbol: symbol.clone(), path: packed })
        }
    }

    /// Opens that instrument's candles from their start.
    pub fn reader(&self, symbol: &Symbol) -> Result<CandleReader, MarketDataError> {
        CandleReader::open(&self.file(symbol)?, self.rules(symbol)?, self.bar)
    }
}

fn rules_of(path: &Path, file: &InstrumentsFile) -> Result<Vec<InstrumentRules>, MarketDataError> {
    let path = || path.to_owned();
    if file.instruments.is_empty() {
        return Err(MarketDataError::NoInstruments { path: path() });
    }
    let mut seen = BTreeSet::new();
    let mut instruments = Vec::with_capacity(file.instruments.len());
    for entry in &file.instruments {
        let symbol = entry.symbol.clone();
        if *symbol.quote() != file.quote_currency {
            return Err(MarketDataError::OtherQuote {
                path: path(),
                symbol,
                quote: file.quote_currency.clone(),
            });
        }
        if !seen.insert(symbol.clone()) {
            return Err(MarketDataError::ListedTwice { path: path(), symbol });
        }
        let rules = InstrumentRules::from_decimals(symbol, &entry.tick, &entry.lot, &entry.min_notional);
        instruments.push(rules.map_err(|source| MarketDataError::Rules { path: path(), source })?);
    }
    Ok(instruments)
}

fn read_small(path: &Path) -> Result<String, MarketDataError> {
    let failed = |source: io::Error| MarketDataError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_INSTRUMENTS_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_INSTRUMENTS_BYTES) {
        return Err(MarketDataError::TooLarge { path: path.to_owned(), limit: MAX_INSTRUMENTS_BYTES });
    }
    Ok(text)
}

/// The names of all data sets directly below those folders; a folder that cannot be read has none.
fn sets_in(dirs: &[PathBuf]) -> BTreeSet<String> {
    dirs.iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join(INSTRUMENTS_FILE).is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn searched(dirs: &[PathBuf]) -> String {
    let names: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    if names.is_empty() { "no folder at all".to_owned() } else { names.join(", ") }
}

fn hint(wanted: &str, names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return format!("there is none; a data set is a folder with {INSTRUMENTS_FILE}");
    }
    let list = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let nearest = names
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(wanted, name), name))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, name)) => format!("did you mean {name}? There are: {list}"),
        None => format!("there are: {list}"),
    }
}

#[cfg(test)]
#[path = "data_set_tests.rs"]
mod tests;
