//! The packaged candles are what their `instruments.yaml` says: every listed file is there, every price on its tick,
//! every bar after the one before, and the licence lies beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

const HOUR_MS: i64 = 3_600_000;

/// A product of price and quantity must fit the engine's integers: the digits of both scales together.
const MOST_DIGITS: usize = 18;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DataSet {
    quote_currency: String,
    bar: String,
    instruments: Vec<Instrument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Instrument {
    symbol: String,
    tick: String,
    lot: String,
    min_notional: String,
}

fn sets() -> Vec<PathBuf> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/data");
    let mut sets: Vec<PathBuf> = fs::read_dir(data).unwrap().map(|e| e.unwrap().path()).collect();
    sets.retain(|path| path.is_dir());
    assert!(sets.len() >= 2, "examples/data holds {} sets", sets.len());
    sets
}

fn read_set(folder: &Path) -> DataSet {
    serde_saphyr::from_str(&fs::read_to_string(folder.join("instruments.yaml")).unwrap()).unwrap()
}

/// The decimals of a tick or lot, which is 1 or a decimal fraction of it: `0.001` has three.
fn decimals_of_step(step: &str) -> usize {
    let digits =
        step.strip_prefix("0.").map_or("", |fraction| fraction.strip_suffix('1').expect("a power of ten"));
    assert!(step == "1" || digits.chars().all(|c| c == '0'), "{step} is not a power of ten");
    if step == "1" { 0 } else { digits.len() + 1 }
}

/// The decimals a figure is written with, trailing zeros not counted.
fn decimals_of(figure: &str) -> usize {
    figure.split_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len())
}

#[test]
fn every_set_lists_exactly_its_files_and_carries_licence_and_page() {
    for folder in sets() {
        let set = read_set(&folder);
        let listed: BTreeSet<String> =
            set.instruments.iter().map(|i| format!("{}_{}.csv.gz", i.symbol, set.bar)).collect();
        let names = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let files: BTreeSet<String> = names.filter(|name| name.ends_with(".csv.gz")).collect();
        assert_eq!(listed, files, "{}", folder.display());
        let suffix = format!("-{}", set.quote_currency);
        assert!(set.instruments.iter().all(|i| i.symbol.ends_with(&suffix)), "{}", folder.display());
        for page in ["LICENSE.txt", "README.md"] {
            assert!(folder.join(page).is_file(), "{} is missing in {}", page, folder.display());
        }
    }
}

#[test]
fn the_scales_of_every_instrument_fit_the_engine() {
    for folder in sets() {
        for instrument in read_set(&folder).instruments {
            let digits = decimals_of_step(&instrument.tick) + decimals_of_step(&instrument.lot);
            assert!(digits <= MOST_DIGITS, "{}: {digits} digits", instrument.symbol);
            assert!(decimals_of(&instrument.min_notional) <= 2, "{}", instrument.symbol);
        }
    }
}

#[test]
fn every_price_is_on_its_tick_and_every_bar_an_hour_after_the_last() {
    for folder in sets() {
        for instrument in read_set(&folder).instruments {
            let path = folder.join(format!("{}_1h.csv.gz", instrument.symbol));
            let mut text = String::new();
            GzDecoder::new(fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
            let mut lines = text.lines();
            assert_eq!(lines.next(), Some("ts,open,high,low,close,volume"), "{}", path.display());
            check_bars(&instrument, lines);
        }
    }
}

fn check_bars<'a>(instrument: &Instrument, lines: impl Iterator<Item = &'a str>) {
    let tick = decimals_of_step(&instrument.tick);
    let mut last: Option<i64> = None;
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 6, "{}: {line}", instrument.symbol);
        let ts: i64 = fields[0].parse().unwrap();
        assert!(last.is_none_or(|last| ts == last + HOUR_MS), "{}: a gap before {ts}", instrument.symbol);
        last = Some(ts);
        for price in &fields[1..5] {
            assert!(decimals_of(price) <= tick, "{}: {price} at {ts} is off the tick", instrument.symbol);
        }
    }
    assert!(last.is_some(), "{} holds no bar", instrument.symbol);
}
