//! The reference job comes to what a plain loop comes to, to the last digit, and decides the same bytes twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use rust_decimal::Decimal;
use tradewind_benches::plain::{self, Expected};
use tradewind_benches::series::{self, Candle, MINUTE_MS, START_MS};
use tradewind_worker::commands::reference_job::{JobResult, run};

async fn job(path: &Path) -> JobResult {
    run(path).await.unwrap()
}

/// Candles that open at the close before them, from their closes in cents.
fn candles(closes: &[i64]) -> Vec<Candle> {
    let opens = std::iter::once(closes[0]).chain(closes.iter().copied());
    let times = (0..).map(|i| START_MS + i * MINUTE_MS);
    let bars = times.zip(opens.zip(closes));
    bars.map(|(ts_ms, (open, &close))| {
        let (high, low) = (open.max(close), open.min(close));
        Candle { ts_ms, open, high, low, close, volume: 1_000 }
    })
    .collect()
}

fn assert_equal(job: &JobResult, expected: &Expected) {
    assert_eq!((job.bars, job.decisions, job.fills), (expected.bars, expected.bars, expected.fills));
    assert_eq!(job.equity.parse::<Decimal>().unwrap(), expected.equity);
}

#[tokio::test]
async fn the_job_is_equal_to_a_plain_loop_and_decides_the_same_bytes_twice() {
    let dir = tempfile::tempdir().unwrap();
    for seed in [1, 2, 3] {
        let path = dir.path().join(format!("{seed}.rows"));
        series::write(&path, 12_000, seed).unwrap();
        let expected = plain::integers(&path).unwrap();
        assert!(expected.fills > 300, "a series in which little happens proves little: {expected:?}");
        let (first, second) = (job(&path).await, job(&path).await);
        assert_equal(&first, &expected);
        assert_eq!(first.decisions_digest, second.decisions_digest);
        assert_eq!(plain::decimals(&path).unwrap(), expected, "integers and decimals are the same loop");
    }
}

#[tokio::test]
async fn other_bars_give_another_digest() {
    let dir = tempfile::tempdir().unwrap();
    let digest = async |seed| {
        let path = dir.path().join(format!("{seed}.rows"));
        series::write(&path, 100, seed).unwrap();
        job(&path).await.decisions_digest
    };
    assert_ne!(digest(1).await, digest(2).await);
}

/// By hand: flat at 100 for 40 bars, then up to 101 (the fast average leads: buy at the next open, 101), then down to 50
/// (it trails: sell at the next open, 50). 1 000 000 - 10.10 - 0.0101 + 5.00 - 0.0050 = 999 994.8849.
#[tokio::test]
async fn one_round_trip_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("by-hand.rows");
    let closes: Vec<i64> = [vec![10_000; 40], vec![10_100, 10_100, 5_000, 5_000, 5_000]].concat();
    series::write_candles(&path, candles(&closes)).unwrap();
    for expected in [plain::integers(&path).unwrap(), plain::decimals(&path).unwrap()] {
        assert_eq!((expected.bars, expected.fills), (45, 2));
        assert_eq!(expected.equity, "999994.8849".parse().unwrap());
        assert_equal(&job(&path).await, &expected);
    }
}

/// A cross at bar index 30 is acted on, one at 29 is not, not even later.
#[tokio::test]
async fn the_first_signal_is_that_of_bar_index_30() {
    let dir = tempfile::tempdir().unwrap();
    for (flat, fills) in [(29, 0), (30, 1)] {
        let path = dir.path().join(format!("{flat}.rows"));
        // The first bar after the flat ones has the index `flat`.
        let closes: Vec<i64> = [vec![10_000; flat], vec![10_100; 40]].concat();
        series::write_candles(&path, candles(&closes)).unwrap();
        assert_eq!(plain::integers(&path).unwrap().fills, fills, "plain loop, {flat} flat bars");
        assert_eq!(job(&path).await.fills, fills, "job, {flat} flat bars");
    }
}

#[test]
fn a_file_that_ends_within_a_row_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.rows");
    std::fs::write(&path, [0_u8; 100]).unwrap();
    assert!(plain::integers(&path).unwrap_err().to_string().contains("ends within a row"));
}
