use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::super::fixture;
use super::*;

fn drawn(snapshot: &Snapshot, width: u16, height: u16, palette: Palette) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| render(frame, snapshot, palette)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(snapshot: &Snapshot, width: u16, height: u16) -> Vec<String> {
    let buffer = drawn(snapshot, width, height, Palette::COLORS);
    let line = |y| (0..width).filter_map(|x| buffer.cell((x, y))).map(Cell::symbol).collect::<String>();
    (0..height).map(line).collect()
}

/// Whether one line holds all the words, in that order.
fn has(lines: &[String], words: &[&str]) -> bool {
    lines.iter().any(|line| {
        let mut rest = line.as_str();
        words.iter().all(|word| {
            rest.find(word).is_some_and(|at| {
                rest = &rest[at + word.len()..];
                true
            })
        })
    })
}

#[track_caller]
fn assert_has(lines: &[String], words: &[&str]) {
    assert!(has(lines, words), "{words:?} not on one line of:\n{}", lines.join("\n"));
}

#[test]
fn a_wide_screen_shows_all_there_is() {
    let lines = lines(&fixture::snapshot(), 120, 40);
    assert_has(&lines, &["default/paper", "on paper", "2024-05-01T13:00Z", "Running"]);
    assert_has(
        &lines,
        &["equity 10123.45 USD", "PnL +123.45 (+1.23%)", "cash 9631.09", "exposure 492.36 (4.86%)"],
    );
    assert_has(&lines, &["drawdown 1.20%", "nearest breaker eth-rsi 15.20% of 15%", "fills 12", "denied 40"]);
    assert_has(
        &lines,
        &[
            "HALT strategy.eth-rsi.drawdown CancelEntries: drawdown 15.2% has reached 15%",
            "by breaker",
            "T11:00Z",
        ],
    );
    assert_has(&lines, &["STRATEGIES", "EQUITY", "PNL", "DRAWDOWN", "EXPOSURE", "POSITIONS", "HALTED BY"]);
    // 123.45 of 5000 are 2.469 %, 246.18 of 5123.45 are 4.80 %.
    assert_has(&lines, &["btc-trend", "5123.45", "+123.45 (+2.47%)", "1.20% of 15%", "4.80%", "1/10", "-"]);
    assert_has(&lines, &["eth-rsi", "4240.00", "-760.00 (-15.20%)", "15.20% of 15%", "1/10", "drawdown"]);
    assert_has(&lines, &["POSITIONS", "STRATEGY", "QUANTITY", "AVERAGE", "MARK", "VALUE", "PNL", "STOP"]);
    // 0.48 of 245.70 are 0.195 %.
    assert_has(
        &lines,
        &["BTC-USD", "btc-trend", "0.0039", "63000", "63123.45", "246.18", "+0.48 (+0.20%)", "59850"],
    );
    assert_has(
        &lines,
        &["2024-05-01T13:00Z", "btc-trend", "BTC-USD", "Buy 62%", "BelowConfidence: confidence 62% < 65%"],
    );
    assert_has(&lines, &["eth-rsi", "ETH-USD", "-", "NoSignal: the signal says neither buy nor sell"]);
    assert_has(
        &lines,
        &["2024-05-01T12:00Z", "btc-trend", "BTC-USD", "Sell", "0.0039", "63000", "-3.21", "StopLoss"],
    );
    assert_has(&lines[39..], &["q or Ctrl-C"]);
}

#[test]
fn a_small_screen_shows_what_matters_most() {
    let lines = lines(&fixture::snapshot(), 80, 24);
    assert_has(&lines, &["equity 10123.45 USD", "PnL +123.45 (+1.23%)"]);
    assert_has(&lines, &["HALT strategy.eth-rsi.drawdown CancelEntries: drawdown 15.2%"]);
    assert_has(&lines, &["btc-trend", "5123.45", "+123.45 (+2.47%)", "1.20% of 15%", "1/10"]);
    assert_has(&lines, &["eth-rsi", "4240.00", "15.20% of 15%", "1/10", "drawdown"]);
    assert_has(
        &lines,
        &["05-01 13:00", "btc-trend", "BTC-USD", "Buy 62%", "BelowConfidence: confidence 62% < 65%"],
    );
    assert_has(&lines, &["BTC-USD", "btc-trend", "0.0039", "+0.48 (+0.20%)", "59850"]);
    assert_has(&lines, &["Sell", "0.0039", "63000", "-3.21"]);
    assert_has(&lines[23..], &["q or Ctrl-C"]);
}

#[test]
fn no_size_is_too_small_and_nothing_is_needed() {
    let mut empty = fixture::snapshot();
    (empty.strategies, empty.halts, empty.last_decisions, empty.recent_trades) = Default::default();
    for snapshot in [&fixture::snapshot(), &empty] {
        for width in [1, 2, 7, 20, 300] {
            for height in [1, 2, 3, 5, 8, 60] {
                lines(snapshot, width, height);
            }
        }
    }
    assert_has(&lines(&fixture::snapshot(), 20, 5), &["default/paper"]);
    let empty = lines(&empty, 80, 24);
    assert_has(&empty, &["POSITIONS", "nothing is held"]);
    assert_has(&empty, &["DECISIONS", "none yet"]);
    assert!(!has(&empty, &["HALT"]));
}

#[test]
fn what_does_not_fit_is_counted() {
    let mut snapshot = fixture::snapshot();
    let decision = snapshot.last_decisions[0].clone();
    snapshot.last_decisions = vec![decision; 40];
    snapshot.halts = vec![snapshot.halts[0].clone(); 9];
    let lines = lines(&snapshot, 120, 30);
    // 30 / 6 lines for halts: four of them and a count.
    assert_eq!(lines.iter().filter(|line| line.starts_with("HALT strategy")).count(), 4);
    assert_has(&lines, &["HALT 5 more"]);
    let shown = lines.iter().filter(|line| line.contains("BelowConfidence")).count();
    assert_has(&lines, &[&format!("… {} more", 40 - shown)]);
}

#[test]
fn halts_are_red_where_there_are_colours_and_stand_out_where_there_are_none() {
    let of_halt = |palette| {
        let buffer = drawn(&fixture::snapshot(), 120, 40, palette);
        let found = (0..40).find(|y| buffer.cell((0, *y)).unwrap().symbol() == "H").unwrap();
        buffer.cell((0, found)).unwrap().style()
    };
    assert_eq!(of_halt(Palette::COLORS).fg, Some(Color::Red));
    let plain = drawn(&fixture::snapshot(), 120, 40, Palette::PLAIN);
    assert!(
        plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset),
        "no colours at all"
    );
    assert!(of_halt(Palette::PLAIN).add_modifier.contains(Modifier::REVERSED));
}

#[test]
fn escape_sequences_in_a_reason_do_not_reach_the_terminal() {
    let mut snapshot = fixture::snapshot();
    snapshot.halts[0].reason = "\u{1b}[2Jgone\n".into();
    let buffer = drawn(&snapshot, 120, 40, Palette::COLORS);
    assert!(buffer.content.iter().all(|cell| !cell.symbol().contains(char::is_control)));
}

#[test]
fn the_picture_that_stays_ends_with_the_last_table() {
    let buffer = drawn(&fixture::snapshot(), 120, 40, Palette::COLORS);
    let text = picture(&buffer);
    assert!(text.starts_with("default/paper  on paper  2024-05-01T13:00Z  Running\n"));
    assert!(text.ends_with("Entry\n"), "{text}");
    assert!(!text.contains("Ctrl-C"));
}
