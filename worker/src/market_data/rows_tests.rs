use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const T0: i64 = 1_600_000_000_000;

fn rules(tick: &str, lot: &str) -> InstrumentRules {
    InstrumentRules::from_decimals("BTC-USD".parse().unwrap(), tick, lot, "0").unwrap()
}

fn row(ts: i64, numbers: [f64; 5]) -> Vec<u8> {
    let mut bytes = ts.to_le_bytes().to_vec();
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

fn reader(rows: &[Vec<u8>]) -> RowsReader<io::Cursor<Vec<u8>>> {
    RowsReader::new(io::Cursor::new(rows.concat()), Path::new("bars.bin"), &rules("0.01", "0.00000001"))
}

/// A sound row, then one with these numbers: what is said of it.
fn refused(ts: i64, numbers: [f64; 5]) -> String {
    let mut rows = reader(&[row(T0, [100.0, 110.0, 90.0, 105.0, 1.0]), row(ts, numbers)]);
    assert!(rows.next().unwrap().is_ok());
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(rows.next().is_none(), "a feed that has ended stays ended");
    error
}

#[test]
fn floats_become_the_units_of_their_decimals() {
    let mut rows = reader(&[row(1_713_484_800_000, [63514.84, 63519.1, 62681.13, 62737.68, 490.367_895_83])]);
    let wanted = Bar {
        open_time: Timestamp(1_713_484_800_000),
        open: Price(6_351_484),
        high: Price(6_351_910),
        low: Price(6_268_113),
        close: Price(6_273_768),
        volume: Quantity(49_036_789_583),
    };
    assert_eq!(rows.next().unwrap().unwrap(), wanted);
    assert!(rows.next().is_none());
    assert_eq!((rows.bars(), rows.off_tick()), (1, 0));
}

#[test]
fn prices_off_the_tick_go_to_the_nearest_and_are_counted() {
    let bytes = row(T0, [0.451_24, 0.451_26, 0.4510, 0.4510, 7.0]);
    let mut rows = RowsReader::new(io::Cursor::new(bytes), Path::new("bars.bin"), &rules("0.0005", "1"));
    let bar = rows.next().unwrap().unwrap();
    assert_eq!(
        [bar.open, bar.high, bar.low, bar.close],
        [Price(4510), Price(4515), Price(4510), Price(4510)]
    );
    assert_eq!(rows.off_tick(), 2);
}

#[test]
fn numbers_that_are_no_prices_are_refused_with_the_row() {
    let at = T0 + MINUTE;
    assert_eq!(
        refused(at, [100.0, 110.0, 90.0, f64::NAN, 1.0]),
        "bars.bin row 1 has close \"NaN\", which is no plain decimal number; correct the program that wrote it"
    );
    for (numbers, says) in [
        ([f64::INFINITY, 110.0, 90.0, 105.0, 1.0], "has open \"inf\""),
        ([100.0, 110.0, f64::NEG_INFINITY, 105.0, 1.0], "has low \"-inf\""),
        ([100.0, 110.0, 90.0, 105.0, f64::NAN], "has volume \"NaN\""),
        ([100.0, 110.0, 90.0, 105.0, f64::INFINITY], "has volume \"inf\""),
        ([100.0, 110.0, 90.0, 105.0, -0.5], "has volume -0.5; prices must"),
        ([100.0, 110.0, 0.0, 105.0, 1.0], "has low 0; prices must"),
        ([100.0, 110.0, -90.0, 105.0, 1.0], "has low -90; prices must"),
        ([100.0, 110.0, 0.004, 105.0, 1.0], "has low 0.004; prices must"),
        ([100.0, 110.0, 0.005, 105.0, 1.0], "has low 0.005; prices must"),
        ([100.0, 1e300, 90.0, 105.0, 1.0], "which is larger than any real one"),
        (
            [100.0, 104.0, 90.0, 105.0, 1.0],
            "has low 90 and high 104, which do not enclose open 100 and close 105",
        ),
        ([100.0, 110.0, 101.0, 105.0, 1.0], "which do not enclose open 100 and close 105"),
        ([100.0, 105_000.01, 90.0, 105.0, 1.0], "has a price of 105000.01 after a close of 105"),
        ([100.0, 110.0, 0.1, 105.0, 1.0], "has a price of 0.1 after a close of 105"),
    ] {
        let error = refused(at, numbers);
        assert!(error.contains(says) && error.contains("bars.bin row 1"), "{numbers:?}: {error}");
    }
}

#[test]
fn times_must_rise_and_be_milliseconds() {
    let numbers = [100.0, 110.0, 90.0, 105.0, 1.0];
    assert!(refused(T0, numbers).contains("has the same ts"));
    assert!(refused(T0 - MINUTE, numbers).contains("which is before the bar above it"));
    assert!(refused(T0 / 1000, numbers).contains("which is no time from 2000 to 2100"));
    assert!(refused(i64::MAX, numbers).contains("which is no time from 2000 to 2100"));
}

#[test]
fn a_huge_volume_becomes_the_largest_quantity() {
    let mut rows = reader(&[row(T0, [100.0, 110.0, 90.0, 105.0, 1e30])]);
    assert_eq!(rows.next().unwrap().unwrap().volume, Quantity(i64::MAX));
}

/// Gives seven bytes at a time.
struct Drip(io::Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(7);
        self.0.read(&mut buffer[..end])
    }
}

#[test]
fn rows_beyond_one_buffer_are_all_read_in_order() {
    let count = 5000;
    let bytes: Vec<u8> =
        (0..count).flat_map(|i| row(T0 + i * MINUTE, [100.0, 110.0, 90.0, 105.0, 1.0])).collect();
    let rows = RowsReader::new(Drip(io::Cursor::new(bytes)), Path::new("bars.bin"), &rules("0.01", "1"));
    let times: Vec<i64> = rows.map(|bar| bar.unwrap().open_time.0).collect();
    assert_eq!(times, (0..count).map(|i| T0 + i * MINUTE).collect::<Vec<_>>());
}

#[test]
fn a_file_of_broken_rows_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bars.bin");
    let rules = rules("0.01", "1");
    let whole = row(T0, [100.0, 110.0, 90.0, 105.0, 1.0]);
    std::fs::write(&path, [whole.clone(), vec![0; 47]].concat()).unwrap();
    let error = RowsReader::open(&path, &rules).unwrap_err().to_string();
    assert!(error.contains("has 95 bytes, which is not a whole number of 48-byte rows"), "{error}");
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(RowsReader::open(&path, &rules), Err(MarketDataError::Empty { .. })));
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(RowsReader::open(&path, &rules).unwrap().filter_map(Result::ok).count(), 1);
    let error = RowsReader::open(&dir.path().join("none"), &rules).unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
    // The same from a stream, whose size is not known before.
    let cut = [whole, vec![0; 47]].concat();
    let last = RowsReader::new(io::Cursor::new(cut), &path, &rules).last().unwrap();
    assert!(matches!(last, Err(MarketDataError::RowsSize { bytes: 95, .. })), "{last:?}");
}

proptest! {
    #[test]
    fn every_decimal_of_fifteen_digits_survives_its_float(units in 1_i64..1_000_000_000_000_000, scale in 0_u32..=9) {
        let tick = if scale == 0 { "1".to_owned() } else { format!("0.{:0>1$}", 1, scale as usize) };
        let rules = rules(&tick, "1");
        let float: f64 = rules.price_text(Price(units)).parse().unwrap();
        let mut rows = RowsReader::new(io::Cursor::new(row(T0, [float, float, float, float, 0.0])), Path::new("x"), &rules);
        prop_assert_eq!(rows.next().unwrap().unwrap().close, Price(units));
        prop_assert_eq!(rows.off_tick(), 0);
    }

    #[test]
    fn any_rows_give_sound_bars_or_one_error(rows in proptest::collection::vec((any::<i64>(), any::<[u64; 5]>()), 0..5)) {
        let bytes: Vec<u8> = rows.iter().flat_map(|(ts, bits)| row(*ts, bits.map(f64::from_bits))).collect();
        let mut errors = 0;
        for bar in RowsReader::new(io::Cursor::new(bytes), Path::new("x"), &rules("0.01", "1")) {
            match bar {
                Ok(bar) => prop_assert!(bar.low.0 > 0 && bar.low <= bar.open.min(bar.close) && bar.open.max(bar.close) <= bar.high),
                Err(_) => errors += 1,
            }
        }
        prop_assert!(errors <= 1);
    }
}
