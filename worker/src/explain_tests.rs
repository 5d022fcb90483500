use tradewind_core::money::{Cash, Percent};
use tradewind_core::order::{Epoch, Incarnation, Liquidity, Side};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_ledger::{Batch, Ledger, MemoryLedger};

use super::*;

/// 2024-05-01T00:00Z.
const START: i64 = 1_714_521_600_000;
const HOUR: i64 = 3_600_000;

fn decision(hour: i64, strategy: u128, symbol: &str, outcome: &str, detail: &str) -> DecisionRow {
    DecisionRow {
        at: Timestamp(START + hour * HOUR),
        bar: Timestamp(START + (hour - 1) * HOUR),
        strategy: Uid(uuid::Uuid::from_u128(strategy)),
        strategy_name: smol_str::format_smolstr!("s{strategy}"),
        symbol: symbol.parse().unwrap(),
        side: None,
        confidence: None,
        close: "63123.45".into(),
        position: "0".into(),
        readings: r#"{"emaFast":63100.125,"emaSlow":63001.5}"#.into(),
        stage: "signal".into(),
        outcome: outcome.into(),
        detail: detail.into(),
        intent: None,
    }
}

fn no_signal(hour: i64, strategy: u128, symbol: &str) -> DecisionRow {
    decision(hour, strategy, symbol, "NoSignal", "the signal says neither buy nor sell")
}

fn entry(hour: i64, strategy: u128, symbol: &str, intent: u64) -> DecisionRow {
    DecisionRow {
        side: Some(Side::Buy),
        confidence: Some(Percent(725_000)),
        intent: Some(IntentId(intent)),
        ..decision(hour, strategy, symbol, "Enter", "0.0039 BTC")
    }
}

fn fill(hour: i64, intent: u64, strategy: u128, purpose: Purpose) -> TradeRow {
    TradeRow {
        intent: IntentId(intent),
        trade_id: smol_str::format_smolstr!("t{hour}-{intent}"),
        strategy: Uid(uuid::Uuid::from_u128(strategy)),
        strategy_name: smol_str::format_smolstr!("s{strategy}"),
        symbol: "BTC-USD".parse().unwrap(),
        side: if purpose.is_entry() { Side::Buy } else { Side::Sell },
        purpose,
        price: "63123.45".into(),
        quantity: "0.0039".into(),
        fee: Cash(0),
        fee_asset: "USD".parse().unwrap(),
        liquidity: Liquidity::Taker,
        at: Timestamp(START + hour * HOUR),
    }
}

fn text(rows: &[DecisionRow], all: bool) -> String {
    render(rows, &[], &DecisionFilter::default(), all)
}

fn line_with<'a>(text: &'a str, word: &str) -> &'a str {
    text.lines().find(|line| line.contains(word)).unwrap()
}

#[test]
fn a_decision_is_one_line_with_inputs_outcome_and_reason() {
    let below = DecisionRow {
        side: Some(Side::Buy),
        confidence: Some(Percent(620_000)),
        ..decision(13, 1, "BTC-USD", "BelowConfidence", "confidence 62% < 65%")
    };
    let text = text(&[below], false);
    assert_eq!(
        line_with(&text, "BelowConfidence:"),
        "2024-05-01T13:00Z  s1        BTC-USD  63123.45  Buy 62%  emaFast=63100.12 emaSlow=63001.5  \
         BelowConfidence: confidence 62% < 65%"
    );
    assert!(text.contains("\n1 decision from 2024-05-01T13:00Z to 2024-05-01T13:00Z\n"));
}

#[test]
fn an_entry_names_its_intent() {
    let text = text(&[entry(2, 1, "BTC-USD", 17)], false);
    assert!(text.contains("Buy 72.5%"));
    assert!(text.contains("Enter (intent 17): 0.0039 BTC"));
}

#[test]
fn repeats_are_folded_with_count_and_last_time() {
    let rows: Vec<_> = (1..=37).map(|hour| no_signal(hour, 1, "BTC-USD")).collect();
    let folded = text(&rows, false);
    assert_eq!(folded.lines().filter(|line| line.contains("BTC-USD")).count(), 1);
    let line = line_with(&folded, "BTC-USD");
    assert!(line.starts_with("2024-05-01T01:00Z"), "{line}");
    assert!(line.contains("NoSignal ×37 until 2024-05-02T13:00Z: the signal says"), "{line}");
    assert_eq!(text(&rows, true).lines().filter(|line| line.contains("BTC-USD")).count(), 37);
}

#[test]
fn runs_of_other_strategies_and_instruments_do_not_break_a_run() {
    let mut rows = Vec::new();
    for hour in 1..=3 {
        rows.push(no_signal(hour, 1, "BTC-USD"));
        rows.push(no_signal(hour, 1, "ETH-USD"));
        rows.push(no_signal(hour, 2, "BTC-USD"));
    }
    let text = text(&rows, false);
    assert_eq!(text.lines().filter(|line| line.contains("×3")).count(), 3);
}

#[test]
fn another_outcome_or_side_ends_a_run_and_orders_are_never_folded() {
    let held = |hour, side| DecisionRow {
        side,
        ..decision(hour, 1, "BTC-USD", "Halted", "halted by h (StopEntries)")
    };
    let rows = [
        held(1, None),
        held(2, Some(Side::Buy)),
        held(3, Some(Side::Buy)),
        entry(4, 1, "BTC-USD", 1),
        entry(5, 1, "BTC-USD", 2),
        held(6, Some(Side::Buy)),
    ];
    let counts: Vec<_> = runs(&rows, false).iter().map(|run| run.count).collect();
    assert_eq!(counts, [1, 2, 1, 1, 1]);
}

#[test]
fn the_footer_counts_outcomes_intents_and_the_fills_they_led_to() {
    let rows = [no_signal(1, 1, "BTC-USD"), no_signal(2, 1, "BTC-USD"), entry(3, 1, "BTC-USD", 7)];
    let fills = [
        fill(9, 8, 1, Purpose::StopLoss),
        fill(5, 7, 1, Purpose::Entry),
        fill(4, 7, 1, Purpose::Entry),
        // Of an intent decided before the window, and an exit before it: not of these decisions.
        fill(2, 6, 1, Purpose::Entry),
        fill(0, 5, 1, Purpose::SignalExit),
        // Of another strategy.
        fill(6, 9, 2, Purpose::SignalExit),
    ];
    let filter = DecisionFilter { strategy: Some("s1".into()), ..DecisionFilter::default() };
    let text = render(&rows, &fills, &filter, false);
    assert!(
        text.ends_with("  NoSignal: 2\n  Enter: 1\n1 entry intent, 3 fills (Entry 2, StopLoss 1)\n"),
        "{text}"
    );
}

#[test]
fn a_window_cut_by_the_limit_says_so() {
    let rows = [no_signal(1, 1, "BTC-USD"), no_signal(2, 1, "BTC-USD")];
    let render = |limit| render(&rows, &[], &DecisionFilter { limit, ..DecisionFilter::default() }, false);
    assert!(render(2).contains("only the newest 2 were read"));
    assert!(!render(3).contains("were read"));
}

#[test]
fn no_decisions_are_said_in_a_sentence() {
    let filter = DecisionFilter {
        strategy: Some("s1".into()),
        symbol: Some("BTC-USD".parse().unwrap()),
        since: Some(Timestamp(START)),
        limit: 1000,
    };
    let text = render(&[], &[], &filter, false);
    assert!(
        text.starts_with("the ledger holds no decisions of strategy s1 in BTC-USD since 2024-05-01T00:00Z")
    );
}

#[test]
fn readings_are_rounded_for_people() {
    assert_eq!(readings(r#"{"rsi":28.123456}"#), "rsi=28.1235");
    assert_eq!(readings(r#"{"meanMove":0.000012345678}"#), "meanMove=0.00001235");
    assert_eq!(readings(r#"{"emaFast":100.0,"rsi":null}"#), "emaFast=100 rsi=null");
    for none in ["", "{}", "null", "not json"] {
        assert_eq!(readings(none), "-");
    }
}

async fn ledger(rows: &[DecisionRow]) -> MemoryLedger {
    let mut ledger = MemoryLedger::new(LedgerIdentity { incarnation: Incarnation(1), epoch: Epoch(1) });
    ledger.commit(&Batch { decisions: rows, ..Batch::default() }).await.unwrap();
    ledger
}

#[tokio::test]
async fn the_trace_comes_from_the_ledger_oldest_first_and_filtered() {
    let rows = [no_signal(1, 1, "BTC-USD"), entry(2, 1, "BTC-USD", 3), no_signal(2, 2, "ETH-USD")];
    let mut ledger = ledger(&rows).await;
    let filter = DecisionFilter { strategy: Some("s1".into()), ..DecisionFilter::default() };
    let mut out = Vec::new();
    let count = explain(&mut ledger, &filter, ExplainOptions::default(), &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(count, 2);
    assert!(text.find("NoSignal:").unwrap() < text.find("Enter (intent 3)").unwrap());
    assert!(!text.contains("ETH-USD"));
}

#[tokio::test]
async fn json_is_one_row_a_line_and_reads_back() {
    let rows = [no_signal(1, 1, "BTC-USD"), no_signal(2, 1, "BTC-USD"), entry(3, 1, "BTC-USD", 3)];
    let mut ledger = ledger(&rows).await;
    let options = ExplainOptions { all: false, format: Format::Json };
    let mut out = Vec::new();
    explain(&mut ledger, &DecisionFilter::default(), options, &mut out).await.unwrap();
    let text = String::from_utf8(out).unwrap();
    let read: Vec<DecisionRow> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read, rows);
}

/// Fails as told.
struct Broken(io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
    let mut ledger = ledger(&[no_signal(1, 1, "BTC-USD")]).await;
    let filter = DecisionFilter::default();
    let gone =
        explain(&mut ledger, &filter, ExplainOptions::default(), &mut Broken(io::ErrorKind::BrokenPipe))
            .await;
    assert_eq!(gone.unwrap(), 1);
    let full =
        explain(&mut ledger, &filter, ExplainOptions::default(), &mut Broken(io::ErrorKind::StorageFull))
            .await;
    assert!(matches!(full, Err(ExplainError::Write { .. })));
}
