//! The averages and the index beside values that TA-Lib itself computed of real closes; how is in the head of that file.

use super::ema_cross::EmaCross;
use super::rsi_reversion::RsiReversion;
use crate::money::Percent;

const VALUES: &str = include_str!("../../tests/talib/btc-usd-1h.csv");

/// A close, and what TA-Lib makes of the closes up to it: EMA of 10, EMA of 30, RSI of 14. NaN: no value yet.
fn rows() -> Vec<[f64; 4]> {
    let row = |line: &str| {
        let numbers: Vec<f64> = line.split(',').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    };
    VALUES.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// Whether ours differs from TA-Lib's by no more than a billionth of it.
fn is_close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs()
}

#[test]
fn averages_are_those_of_ta_lib_seeded_by_the_first_close() {
    let mut cross = EmaCross::new(10, 30);
    let mut compared = (0, 0);
    for (index, [close, ema10, ema30, _]) in rows().into_iter().enumerate() {
        let [fast, slow, _] = cross.update(close).readings.0;
        if !ema10.is_nan() {
            assert!(is_close(fast, ema10), "row {index}: {fast} {ema10}");
            compared.0 += 1;
        }
        if !ema30.is_nan() {
            assert!(is_close(slow, ema30), "row {index}: {slow} {ema30}");
            compared.1 += 1;
        }
    }
    // Of 300 closes, TA-Lib gives no value before it has seen a whole period.
    assert_eq!(compared, (291, 271));
}

#[test]
fn the_index_is_that_of_ta_lib_from_its_first_value_on() {
    let mut rsi = RsiReversion::new(14, Percent(300_000), Percent(700_000));
    let mut compared = 0;
    for (index, [close, _, _, rsi14]) in rows().into_iter().enumerate() {
        let evaluation = rsi.update(close);
        assert_eq!(evaluation.signal.is_err(), rsi14.is_nan(), "row {index}");
        if !rsi14.is_nan() {
            let ours = evaluation.readings.0[0];
            assert!(is_close(ours, rsi14), "row {index}: {ours} {rsi14}");
            compared += 1;
        }
    }
    // The first value needs 15 closes.
    assert_eq!(compared, 286);
}
