//! What feeds bring.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tradewind_ledger::DecisionRow;
use tradewind_tests::books;
use tradewind_tests::desk::{BUSY, Desk, HOUR_MS, SYMBOLS, packaged, time_of};
use tradewind_tests::process::{self, Ended};

const BARS: usize = 200;
const BTC: &str = "BTC-USD";

/// A desk whose rows of BTC are changed by hand.
fn desk_with(change: impl FnOnce(&mut Vec<String>)) -> Desk {
    let mut rows = BTreeMap::from(SYMBOLS.map(|symbol| (symbol, packaged(symbol, 0, BARS))));
    change(rows.get_mut(BTC).unwrap());
    Desk::with_rows(BUSY, &rows)
}

fn completed(desk: &Desk) -> (Ended, Vec<DecisionRow>) {
    let ended = desk.start("state").ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("\ncompleted default/paper at "), "{}", ended.out);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    (ended, books::decisions(&desk.state("state")))
}

fn of<'a>(rows: &'a [DecisionRow], symbol: &str) -> Vec<&'a DecisionRow> {
    rows.iter().filter(|row| row.symbol.to_string() == symbol).collect()
}

/// What was decided on in a symbol, without the numbers of intents, which all instruments share.
fn outcomes(rows: &[DecisionRow], symbol: &str) -> Vec<String> {
    let shown = |row: &&DecisionRow| format!("{} {} {} {}", row.bar.0, row.close, row.position, row.outcome);
    of(rows, symbol).iter().map(shown).collect()
}

/// The run went on, and the strategy that does not trade BTC has noticed nothing.
fn assert_others_untouched(rows: &[DecisionRow]) {
    let sound = Desk::new(BUSY, BARS);
    let (_, expected) = completed(&sound);
    for symbol in ["SOL-USD", "ADA-USD"] {
        assert_eq!(outcomes(rows, symbol), outcomes(&expected, symbol), "{symbol}");
    }
    assert_eq!(of(rows, "ETH-USD").len(), BARS);
}

fn warnings(ended: &Ended) -> Vec<&str> {
    let skipped = ended.err.lines().filter(|line| line.contains("WARN row skipped"));
    skipped.map(|line| line.split_once("BTC-USD_1h.csv ").unwrap().1).collect()
}

#[test]
fn a_gap_of_one_bar_is_told_and_nothing_is_entered_over_it() {
    let full = packaged(BTC, 0, BARS);
    let is_missing = |index: usize| index % 5 == 4;
    let desk = desk_with(|rows| {
        let kept = std::mem::take(rows).into_iter().enumerate().filter(|(index, _)| !is_missing(*index));
        *rows = kept.map(|(_, row)| row).collect();
    });
    let (_, rows) = completed(&desk);
    let btc = of(&rows, BTC);
    assert_eq!(btc.len(), BARS - BARS / 5);
    let after_gap = |row: &&&DecisionRow| {
        let index = full.iter().position(|r| time_of(r) == row.bar.0).unwrap();
        index > 0 && is_missing(index - 1)
    };
    let (over, not_over): (Vec<&DecisionRow>, Vec<&DecisionRow>) =
        btc.iter().copied().partition(|row| after_gap(&row));
    assert_eq!(over.len(), BARS / 5 - 1);
    assert!(over.iter().all(|row| row.outcome != "Enter"), "entered over a gap");
    let told: Vec<_> = over.iter().filter(|row| row.outcome == "DataGap").collect();
    assert!(told.len() > 20, "only {} of {} gaps are told", told.len(), over.len());
    assert!(told.iter().all(|row| row.detail.contains("missing before this one") && row.stage == "data"));
    // A buy signal that came over a gap is lost, and said to be.
    assert!(
        told.iter().any(|row| row.side == Some(tradewind_core::order::Side::Buy)),
        "no gap has cost an entry"
    );
    assert!(not_over.iter().any(|row| row.outcome == "Enter"), "nothing is entered at all");
    assert_others_untouched(&rows);
}

#[test]
fn a_gap_of_a_day_is_told_and_indicators_begin_anew() {
    let desk = desk_with(|rows| drop(rows.drain(100..124)));
    let (_, rows) = completed(&desk);
    let first = time_of(&packaged(BTC, 124, 1)[0]);
    let after: Vec<&DecisionRow> = of(&rows, BTC).into_iter().filter(|row| row.bar.0 >= first).collect();
    assert_eq!(after[0].outcome, "DataGap");
    assert_eq!(after[0].detail, "24 bars are missing before this one");
    // emaCross {3, 8} says nothing before its bar of index 8, counted from the gap.
    assert!(
        after[1..8].iter().all(|row| row.outcome == "WarmingUp"),
        "{:?}",
        outcomes(&rows, BTC)[100..110].to_vec()
    );
    assert_ne!(after[8].outcome, "WarmingUp");
    assert!(after[8..].iter().any(|row| row.outcome == "Enter"), "the run goes on");
    assert_others_untouched(&rows);
}

#[test]
fn duplicate_and_unsorted_candles_are_skipped_and_told() {
    let desk = desk_with(|rows| {
        rows.insert(50, rows[49].clone());
        rows.swap(100, 101);
    });
    let (ended, rows) = completed(&desk);
    let (duplicate, late) = (time_of(&packaged(BTC, 49, 1)[0]), time_of(&packaged(BTC, 99, 1)[0]));
    assert_eq!(
        warnings(&ended),
        [
            // Lines count from 1, the header included.
            format!(
                "line 52 is skipped: it has the same ts {duplicate} as the bar before it; correct or delete the line"
            ),
            format!(
                "line 103 is skipped: it has ts {late}, which is before the bar above it ({}); correct or delete the line",
                late + HOUR_MS
            ),
        ]
    );
    // The duplicate leaves nothing missing, the swapped pair leaves a gap of one bar.
    let gaps: Vec<_> =
        of(&rows, BTC).into_iter().filter(|row| row.detail == "1 bar is missing before this one").collect();
    assert!(gaps.len() <= 1 && of(&rows, BTC).len() == BARS - 1);
    let times: Vec<i64> = of(&rows, BTC).iter().map(|row| row.bar.0).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "event time has gone back");
    assert_others_untouched(&rows);
}

#[test]
fn impossible_prices_are_skipped_told_and_counted() {
    let bad = [
        ("0,0,0,0,1", "it has open 0; prices must be at least one tick and volumes not below zero"),
        ("-5,9,-5,9,1", "it has open -5; prices must be at least one tick and volumes not below zero"),
        ("NaN,NaN,NaN,NaN,1", "it has open \"NaN\", which is no plain decimal number"),
        ("9e99,9e99,9e99,9e99,1", "it has open \"9e99\", which is no plain decimal number"),
        ("99999999999,99999999999,99999999999,99999999999,1", "a change of more than 1000 times"),
        ("64000,63000,64000,64000,1", "which do not enclose open 64000 and close 64000"),
        ("64000,64000,64000,64000,-1", "it has volume -1; prices must be at least one tick"),
    ];
    let desk = desk_with(|rows| {
        for (place, (text, _)) in bad.iter().enumerate() {
            let row = &mut rows[20 + 10 * place];
            *row = format!("{},{text}", time_of(row));
        }
    });
    let (ended, rows) = completed(&desk);
    let told = warnings(&ended);
    assert_eq!(told.len(), bad.len(), "{told:?}");
    for (line, (_, sentence)) in told.iter().zip(bad) {
        assert!(
            line.contains(sentence) && line.ends_with("correct or delete the line"),
            "{line}\n{sentence}"
        );
    }
    let btc = of(&rows, BTC);
    assert_eq!(btc.len(), BARS - bad.len());
    let near = |row: &&DecisionRow| {
        row.close.parse::<f64>().is_ok_and(|close| (50_000.0..70_000.0).contains(&close))
    };
    assert!(btc.iter().all(near), "an impossible price has come through");
    assert_others_untouched(&rows);
    let backtest = process::run(&["backtest", "-f", desk.file().to_str().unwrap(), "--output", "json"]);
    let result: serde_json::Value = serde_json::from_str(&backtest.out).unwrap();
    assert_eq!(result["skippedRows"], bad.len());
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_corrupt_gzip_ends_its_instrument_early_and_the_others_go_on() {
    let packed = |desk: &Desk| {
        let text = std::fs::read_to_string(desk.candles(BTC)).unwrap();
        std::fs::remove_file(desk.candles(BTC)).unwrap();
        gzip(&text)
    };
    for (case, bars) in [("cut", 1..BARS), ("another checksum", BARS..BARS + 1)] {
        let desk = desk_with(|_| ());
        let mut bytes = packed(&desk);
        let half = bytes.len() / 2;
        match case {
            "cut" => bytes.truncate(half),
            // The last eight bytes are a checksum and a length.
            _ => bytes[2 * half - 6] ^= 0xff,
        }
        std::fs::write(desk.data_set().join("BTC-USD_1h.csv.gz"), bytes).unwrap();
        let (ended, rows) = completed(&desk);
        let told: Vec<&str> =
            ended.err.lines().filter(|line| line.contains("ERROR the feed ended early")).collect();
        assert_eq!(told.len(), 1, "{}", ended.err);
        let sentence = "this instrument's feed ends here, replace the file";
        assert!(
            told[0].contains("BTC-USD_1h.csv.gz is broken after line ") && told[0].ends_with(sentence),
            "{told:?}"
        );
        assert!(bars.contains(&of(&rows, BTC).len()), "{case}: {} bars", of(&rows, BTC).len());
        assert_others_untouched(&rows);
    }
}

#[test]
fn a_file_without_a_bar_ends_its_instrument_and_the_others_go_on() {
    for (text, sentence) in [
        ("", "BTC-USD_1h.csv is empty; put candles in it or remove the instrument"),
        (
            "ts,open,high,low,close,volume\n",
            "BTC-USD_1h.csv is empty; put candles in it or remove the instrument",
        ),
        (
            "time,price\n1,2\n",
            "starts with \"time,price\"; its first line must be \"ts,open,high,low,close,volume\"",
        ),
    ] {
        let desk = desk_with(|_| ());
        std::fs::write(desk.candles(BTC), text).unwrap();
        let (ended, rows) = completed(&desk);
        assert!(ended.err.contains(sentence), "{}", ended.err);
        assert_eq!(of(&rows, BTC).len(), 0);
        assert_others_untouched(&rows);
    }
}

#[test]
fn a_row_that_those_after_it_contradict_ends_its_instrument_and_nothing_is_decided_on_it() {
    // Places count from 0, lines from 1 with a header.
    for (place, time, price) in [(0, None, "0.01"), (60, Some(4_102_358_400_000), "63000")] {
        let desk = desk_with(|rows| {
            let row = &mut rows[place];
            let time = time.unwrap_or_else(|| time_of(row));
            *row = format!("{time},{price},{price},{price},{price},1");
        });
        let (ended, rows) = completed(&desk);
        let told: Vec<&str> =
            ended.err.lines().filter(|line| line.contains("ERROR the feed ended early")).collect();
        assert_eq!(told.len(), 1, "{}", ended.err);
        let sentence = format!("BTC-USD_1h.csv line {} (ts ", place + 2);
        assert!(told[0].contains(&sentence) && told[0].contains(&format!(", close {price}) ")), "{told:?}");
        assert!(told[0].contains("correct or delete that line"), "{told:?}");
        assert_eq!(warnings(&ended), Vec::<&str>::new(), "a good line is blamed");
        assert_eq!(of(&rows, BTC).len(), place);
        assert_others_untouched(&rows);
    }
}
