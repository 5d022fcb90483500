use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::super::data_set::DataSet;
use super::*;

const HOUR: i64 = 3_600_000;
const T0: i64 = 1_713_484_800_000;
const HEADER: &str = "ts,open,high,low,close,volume\n";

fn rules() -> InstrumentRules {
    InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), "0.01", "0.00000001", "1").unwrap()
}

fn reader(text: &str) -> Result<CandleReader, MarketDataError> {
    let read = Box::new(io::Cursor::new(text.as_bytes().to_vec()));
    CandleReader::from_read(read, Path::new("BTC-USD_1h.csv"), &rules(), Millis(HOUR))
}

/// Reads everything: bars, skipped rows as text, and the error it ended with.
fn read_all(text: &str) -> (Vec<Bar>, Vec<String>, Option<String>) {
    drain(reader(text).unwrap())
}

fn drain(mut reader: CandleReader) -> (Vec<Bar>, Vec<String>, Option<String>) {
    let (mut bars, mut error) = (Vec::new(), None);
    for bar in reader.by_ref() {
        match bar {
            Ok(bar) => bars.push(bar),
            Err(e) => error = Some(e.to_string()),
        }
    }
    assert!(reader.next().is_none(), "a feed that has ended stays ended");
    let skips = reader.take_skips().iter().map(ToString::to_string).collect();
    (bars, skips, error)
}

/// A sound row, `hours` after the start.
fn row(hours: i64) -> String {
    format!("{},100,110,90,105,7.5\n", T0 + hours * HOUR)
}

/// A sound row, then `bad`, then a sound row two hours later: what the bad one is skipped for.
fn skipped(bad: &str) -> String {
    let (bars, skips, error) = read_all(&format!("{HEADER}{}{bad}\n{}", row(0), row(2)));
    assert_eq!(error, None, "{bad}");
    assert_eq!(bars.len(), 2, "{bad}: {skips:?}");
    assert_eq!(skips.len(), 1, "{bad}");
    skips[0].clone()
}

#[test]
fn a_row_becomes_a_bar_in_exact_units() {
    let (bars, skips, error) =
        read_all(&format!("{HEADER}1713484800000,63514.84,63519.1,62681.13,62737.68,490.36789583\n"));
    assert_eq!((skips.len(), error), (0, None));
    let wanted = Bar {
        open_time: Timestamp(1_713_484_800_000),
        open: Price(6_351_484),
        high: Price(6_351_910),
        low: Price(6_268_113),
        close: Price(6_273_768),
        volume: Quantity(49_036_789_583),
    };
    assert_eq!(bars, [wanted]);
}

#[test]
fn prices_off_the_tick_are_rounded_to_the_nearest_and_counted() {
    let mut reader = reader(&format!("{HEADER}{T0},100.004,110.005,90,105.00,1.999999999\n")).unwrap();
    let bar = reader.next().unwrap().unwrap();
    assert_eq!(
        (bar.open, bar.high, bar.low, bar.close),
        (Price(10_000), Price(11_001), Price(9000), Price(10_500))
    );
    // 1.999999999 coins are 199 999 999.9 units: down.
    assert_eq!(bar.volume, Quantity(199_999_999));
    assert_eq!(reader.quality(), Quality { bars: 1, skipped: 0, off_tick: 2, gaps: 0 });
}

#[test]
fn a_gap_is_counted_once_however_many_bars_are_missing() {
    let mut reader = reader(&format!("{HEADER}{}{}{}{}", row(0), row(1), row(3), row(28))).unwrap();
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 4);
    assert_eq!(reader.quality().gaps, 2);
}

#[test]
fn a_gap_is_left_as_it_is() {
    let (bars, skips, _) = read_all(&format!("{HEADER}{}{}{}", row(0), row(2), row(27)));
    let hours: Vec<i64> = bars.iter().map(|bar| (bar.open_time.0 - T0) / HOUR).collect();
    assert_eq!(hours, [0, 2, 27]);
    assert!(skips.is_empty());
}

#[test]
fn windows_line_ends_blanks_a_byte_order_mark_and_empty_lines_are_read() {
    let text =
        format!("\u{feff}TS, Open,high,low,close,volume\r\n\r\n{T0}, 100,110 ,90,105,7.5\r\n\n{}", row(1));
    let (bars, skips, error) = read_all(&text);
    assert_eq!((bars.len(), skips.len(), error), (2, 0, None));
}

#[test]
fn zero_negative_nan_and_exponent_prices_are_skipped_with_line_value_and_fix() {
    let at = T0 + HOUR;
    assert_eq!(
        skipped(&format!("{at},0,110,90,105,1")),
        "BTC-USD_1h.csv line 3 is skipped: it has open 0; prices must be at least one tick and volumes not below zero; \
         correct or delete the line"
    );
    for (bad, says) in [
        (format!("{at},100,110,-90,105,1"), "has low -90; prices must be"),
        (format!("{at},100,110,0.004,105,1"), "has low 0.004; prices must be"),
        (format!("{at},NaN,110,90,105,1"), "has open \"NaN\", which is no plain decimal number"),
        (format!("{at},100,inf,90,105,1"), "has high \"inf\", which is no plain"),
        (format!("{at},100,110,90,1.05e2,1"), "has close \"1.05e2\", which is no plain"),
        (format!("{at},100,110,90,,1"), "has close \"\", which is no plain"),
        (format!("{at},100,110,90,105,-1"), "has volume -1; prices must be"),
        (format!("{at},100,110,90,105,nan"), "has volume \"nan\", which is no plain"),
        (
            format!("{at},100,99999999999999999999,90,105,1"),
            "has high 99999999999999999999, which is larger than any",
        ),
        (format!("{at},100,110,90"), "has 4 columns instead of 6"),
        (format!("{at},100,110,90,105,1,1"), "has 7 columns instead of 6"),
        (
            format!("{at},100,104,90,105,1"),
            "has low 90 and high 104, which do not enclose open 100 and close 105",
        ),
        (format!("{at},100,110,100.01,105,1"), "do not enclose open 100 and close 105"),
    ] {
        let said = skipped(&bad);
        assert!(said.contains(says), "{bad}: {said}");
    }
}

#[test]
fn an_absurd_price_is_skipped_and_a_factor_of_a_thousand_is_not() {
    let at = T0 + HOUR;
    // The close before is 105: 105 000 is a factor of 1000, a cent more is absurd; the same downwards with 0.105.
    assert!(
        skipped(&format!("{at},105,105000.01,105,105,1"))
            .contains("has a price of 105000.01 after a close of 105")
    );
    assert!(skipped(&format!("{at},105,105,0.1,105,1")).contains("has a price of 0.1 after a close of 105"));
    let (bars, skips, _) = read_all(&format!("{HEADER}{}{at},105,105000,0.11,105,1\n", row(0)));
    assert_eq!((bars.len(), skips.len()), (2, 0));
}

/// That many good rows at about 100, from that hour on.
fn good(hours: std::ops::Range<i64>) -> String {
    hours.map(row).collect()
}

/// A row of one price, at any time.
fn flat(ts: i64, price: &str) -> String {
    format!("{ts},{price},{price},{price},{price},1\n")
}

#[test]
fn a_first_row_that_nothing_after_it_fits_ends_the_feed_and_is_told_alone() {
    // 0.01 to 100 is a factor of 10 000; 2099-12-31T00:00Z is after every other row.
    for (first, close, reason) in [
        (flat(T0, "0.01"), "0.01", "has a price of 110 after a close of 0.01"),
        (flat(4_102_358_400_000, "100"), "100", "which is before the bar above it (4102358400000)"),
    ] {
        let (bars, skips, error) = read_all(&format!("{HEADER}{first}{}", good(1..500)));
        assert_eq!((bars.len(), skips), (0, Vec::new()), "nothing is given out, and no good line is blamed");
        let error = error.unwrap();
        let ts = first.split(',').next().unwrap();
        let told =
            format!("BTC-USD_1h.csv line 2 (ts {ts}, close {close}) fits none of 9 rows after it (line 11 ");
        assert!(error.starts_with(&told), "{error}");
        assert!(error.contains(reason), "{error}");
        assert!(
            error.ends_with(
                "feed ends before it, correct or delete that line, or those rows if they are wrong"
            )
        );
    }
}

#[test]
fn a_row_in_the_middle_that_nothing_after_it_fits_ends_the_feed_before_it() {
    // 90 000 is within 1000 times of 105, and 90 is not within 1000 times of 90 001; 2099 may follow any time.
    for wrong in [flat(T0 + 5 * HOUR, "90001"), flat(4_102_358_400_000, "105")] {
        let (bars, skips, error) =
            read_all(&format!("{HEADER}{}bad\n{wrong}bad\n{}", good(0..5), good(6..100)));
        assert_eq!(bars.last().map(|bar| bar.open_time), Some(Timestamp(T0 + 4 * HOUR)));
        assert_eq!(skips.len(), 2, "what is wrong by itself is told still: {skips:?}");
        // A header, five rows, a bad one.
        let error = error.unwrap();
        assert!(error.starts_with("BTC-USD_1h.csv line 8 (ts "), "{error}");
        assert!(error.contains("fits none of 9 rows after it (line 18 has "), "{error}");
    }
}

#[test]
fn up_to_eight_absurd_rows_in_the_middle_are_skipped_one_by_one() {
    assert_eq!(MOST_AGAINST_A_BAR, 8);
    let absurd = |hours: std::ops::Range<i64>| -> String {
        hours.map(|hour| flat(T0 + hour * HOUR, "0.01")).collect()
    };
    let text =
        format!("{HEADER}{}{}{}{}{}", good(0..5), absurd(5..13), good(13..15), absurd(15..23), good(23..25));
    let (bars, skips, error) = read_all(&text);
    assert_eq!((bars.len(), skips.len(), error), (9, 16, None));
    assert!(
        skips[0].starts_with("BTC-USD_1h.csv line 7 is skipped: it has a price of 0.01 after a close of 105")
    );

    let (bars, _, error) = read_all(&format!("{HEADER}{}{}{}", good(0..5), absurd(5..14), good(14..99)));
    assert_eq!(bars.len(), 4, "who of both is wrong is not guessed");
    assert!(error.unwrap().contains("line 6 (ts "));
}

#[test]
fn rows_that_are_out_of_order_by_themselves_are_skipped_however_many() {
    // Two files one after the other that overlap by 20 rows.
    let (bars, skips, error) = read_all(&format!("{HEADER}{}{}", good(0..40), good(20..60)));
    assert_eq!((bars.len(), skips.len(), error), (60, 20, None));
}

#[test]
fn a_bar_that_few_rows_did_not_fit_is_given_out_at_the_end_or_before_an_error() {
    let wrong = flat(T0 + HOUR, "0.01");
    let (bars, skips, error) = read_all(&format!("{HEADER}{}{wrong}", row(0)));
    assert_eq!((bars.len(), skips.len(), error), (1, 1, None));
    let (bars, _, error) = read_all(&format!("{HEADER}{}{}{T0},1", row(0), row(1)));
    assert_eq!(bars.len(), 2);
    assert!(error.unwrap().contains("stops in the middle of line 4"));
}

#[test]
fn duplicate_unsorted_unaligned_and_impossible_times_are_skipped() {
    for (ts, says) in [
        (T0.to_string(), "has the same ts 1713484800000 as the bar before it".to_owned()),
        ((T0 - HOUR).to_string(), format!("has ts {}, which is before the bar above it ({T0})", T0 - HOUR)),
        (
            (T0 + HOUR + 1).to_string(),
            format!("has ts {}, which is not the start of a bar of 3600000 ms", T0 + HOUR + 1),
        ),
        (
            "1713488400".to_owned(),
            "has ts \"1713488400\", which is no time from 2000 to 2100 in whole Unix mill".to_owned(),
        ),
        ("-3600000".to_owned(), "which is no time from 2000".to_owned()),
        ("2024-04-19".to_owned(), "which is no time from 2000".to_owned()),
        ("99999999999999999999999".to_owned(), "which is no time from 2000".to_owned()),
    ] {
        let said = skipped(&format!("{ts},100,110,90,105,1"));
        assert!(said.contains(&says), "{ts}: {said}");
    }
}

#[test]
fn after_many_bad_rows_the_first_hundred_are_held_and_all_are_counted() {
    let mut text = format!("{HEADER}{}", row(0));
    for _ in 0..250 {
        text.push_str(&row(0));
    }
    let mut reader = reader(&format!("{text}{}", row(1))).unwrap();
    assert_eq!(reader.by_ref().filter_map(Result::ok).count(), 2);
    assert_eq!(reader.quality().skipped, 250);
    assert_eq!(reader.take_skips().len(), 100);
    assert!(reader.take_skips().is_empty(), "told once");
}

#[test]
fn an_empty_file_and_one_without_bars_are_errors() {
    assert!(reader("").unwrap_err().to_string().contains("BTC-USD_1h.csv is empty; put candles in it"));
    let (bars, _, error) = read_all(HEADER);
    assert!(bars.is_empty());
    assert!(error.unwrap().contains("BTC-USD_1h.csv is empty"));
    let (_, _, error) = read_all(&format!("{HEADER}1713484800,1,1,1,1,1\n1713488400,1,1,1,1,1\n"));
    let error = error.unwrap();
    assert!(error.contains("no usable bar in 2 rows (the first: has ts \"1713484800\""), "{error}");
}

#[test]
fn a_missing_header_is_an_error_that_shows_both() {
    for text in [row(0), "ts,open,low,high,close,volume\n".to_owned(), "ts,open,high,low,close\n".to_owned()]
    {
        let error = reader(&text).unwrap_err().to_string();
        assert!(error.contains("its first line must be \"ts,open,high,low,close,volume\""), "{error}");
        assert!(error.contains(&text[..12]), "{error}");
    }
}

#[test]
fn a_plain_file_that_stops_inside_a_row_is_truncated() {
    let last = row(1);
    let last = last.trim_end();
    // Without its line end the row counts; cut anywhere before the volume it does not.
    let (bars, _, error) = read_all(&format!("{HEADER}{}{last}", row(0)));
    assert_eq!((bars.len(), error), (2, None));
    let volume = last.rfind(',').unwrap();
    for cut in 1..=volume {
        let (bars, skips, error) = read_all(&format!("{HEADER}{}{}", row(0), &last[..cut]));
        assert_eq!((bars.len(), skips.len()), (1, 0), "{cut}");
        let error = error.unwrap();
        assert!(error.contains("stops in the middle of line 3"), "{error}");
    }
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let endless = io::repeat(b'1');
    let read = Box::new(io::Cursor::new(format!("{HEADER}{}", row(0)).into_bytes()).chain(endless));
    let reader = CandleReader::from_read(read, Path::new("x.csv"), &rules(), Millis(HOUR));
    // The guard may meet it while the header is read, for it sees a whole buffer at once.
    let error = match reader {
        Ok(reader) => drain(reader).2.unwrap(),
        Err(e) => e.to_string(),
    };
    assert!(error.contains("a line longer than 4096 bytes"), "{error}");
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn open_gz(bytes: &[u8]) -> Result<CandleReader, MarketDataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("BTC-USD_1h.csv.gz");
    std::fs::write(&path, bytes).unwrap();
    CandleReader::open(&path, &rules(), Millis(HOUR))
}

/// A year of bars with prices that vary, so that the packed file spans several buffers.
fn long_text() -> String {
    let mut text = HEADER.to_owned();
    let mut seed: u64 = 1;
    for hour in 0..20_000_i64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let cents = 6_000_000 + seed % 100_000;
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        writeln!(text, "{},{price},{price},{price},{price},1", T0 + hour * HOUR).unwrap();
    }
    text
}

#[test]
fn a_packed_file_is_read_and_several_members_count_as_one() {
    let halves = [gzip(&format!("{HEADER}{}", row(0))), gzip(&row(1))].concat();
    let (bars, skips, error) = drain(open_gz(&halves).unwrap());
    assert_eq!((bars.len(), skips.len(), error), (2, 0, None));
}

#[test]
fn a_packed_file_cut_or_corrupt_in_the_middle_gives_its_bars_then_an_error() {
    let whole = gzip(&long_text());
    let (bars, _, error) = drain(open_gz(&whole).unwrap());
    assert_eq!((bars.len(), error), (20_000, None));

    let (bars, _, error) = drain(open_gz(&whole[..whole.len() / 2]).unwrap());
    assert!(bars.len() > 1000 && bars.len() < 20_000, "{}", bars.len());
    let error = error.unwrap();
    assert!(error.contains("BTC-USD_1h.csv.gz is broken after line"), "{error}");
    assert!(error.contains("replace the file"), "{error}");

    let mut flipped = whole.clone();
    let checksum = flipped.len() - 8;
    flipped[checksum] ^= 1;
    assert!(drain(open_gz(&flipped).unwrap()).2.unwrap().contains("is broken after line"));

    assert!(open_gz(b"ts,open,high,low,close,volume\n").unwrap_err().to_string().contains("is broken"));
    // No bytes at all: neither gzip nor candles.
    assert!(matches!(open_gz(b""), Err(MarketDataError::Empty { .. } | MarketDataError::Corrupt { .. })));
}

#[test]
fn a_missing_file_is_named() {
    let error = CandleReader::open(Path::new("nowhere/BTC-USD_1h.csv"), &rules(), Millis(HOUR)).unwrap_err();
    assert!(error.to_string().starts_with("cannot read nowhere/BTC-USD_1h.csv: "), "{error}");
}

#[test]
fn the_packaged_candles_are_sound() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/coinbase-1h");
    let set = DataSet::open(&dir).unwrap();
    for rules in set.instruments() {
        let mut reader = set.reader(&rules.symbol).unwrap();
        let bars: Vec<Bar> = reader.by_ref().map(Result::unwrap).collect();
        assert_eq!(
            reader.quality(),
            Quality { bars: 12_720, skipped: 0, off_tick: 0, gaps: 0 },
            "{}",
            rules.symbol
        );
        if rules.symbol.to_string() == "BTC-USD" {
            let first = bars[0];
            assert_eq!(first.open_time, Timestamp(1_713_484_800_000));
            let texts = [first.open, first.high, first.low, first.close].map(|price| rules.price_text(price));
            assert_eq!(texts, ["63514.84", "63519.1", "62681.13", "62737.68"]);
            assert_eq!(rules.quantity_text(first.volume), "490.36789583");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_after_the_header_end_in_bars_skips_or_an_error_and_bars_are_sound(
        junk in proptest::collection::vec(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            (0_i64..20, "[0-9.,eEnN+-]{0,20}").prop_map(|(hour, tail)| format!("{},1{tail},9,1,2,3\n", T0 + hour * HOUR).into_bytes()),
            (0_i64..40).prop_map(|hour| row(hour).into_bytes()),
        ], 0..40)
    ) {
        let bytes = [HEADER.as_bytes().to_vec(), junk.concat()].concat();
        let read = Box::new(io::Cursor::new(bytes));
        let reader = CandleReader::from_read(read, Path::new("x.csv"), &rules(), Millis(HOUR));
        let mut previous = None;
        for bar in reader.into_iter().flatten().filter_map(Result::ok) {
            prop_assert!(bar.low.0 > 0 && bar.low <= bar.open.min(bar.close) && bar.open.max(bar.close) <= bar.high);
            prop_assert!(bar.volume.0 >= 0 && bar.open_time.0 % HOUR == 0);
            prop_assert!(previous.is_none_or(|time| time < bar.open_time));
            previous = Some(bar.open_time);
        }
    }
}
