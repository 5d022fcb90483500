//! Statistics as a table for terminals.

use std::collections::BTreeMap;

use tradewind_core::money::Cash;
use tradewind_core::time::Timestamp;

use super::book::Statistics;
use super::equity::{EquityFigures, rfc3339};

/// Between columns.
const GAP: &str = "  ";
/// What is not defined.
const NONE: &str = "n/a";

/// A table with one column a book (name and statistics, the account first), each with what buying and holding would have
/// brought, then the reasons why nothing was done, most frequent in the first book on top, and a line a book with its
/// equity, fills and denied signals. Money has two decimals here.
pub fn render_table(books: &[(&str, &Statistics)]) -> String {
    let mut rows = vec![row(books, "", |name, _| name.to_owned())];
    rows.extend(equity_rows(books));
    rows.extend(trade_rows(books));
    rows.extend(denial_rows(books));
    let summaries = books.iter().map(|(name, s)| summary(name, s)).collect::<Vec<_>>().join("\n");
    format!("{}\n{summaries}\n", aligned(&rows))
}

fn summary(name: &str, s: &Statistics) -> String {
    let (equity, change) = (money(s.equity.final_equity), signed_percent(s.equity.total_return));
    let held = signed_percent(s.buy_and_hold.total_return);
    format!("{name}: equity {equity} ({change}, buy and hold {held}), fills {}, denied {}", s.fills, s.denied)
}

fn equity_rows(books: &[(&str, &Statistics)]) -> Vec<Vec<String>> {
    let figures = |label, value: fn(&EquityFigures) -> String| row(books, label, |_, s| value(&s.equity));
    let held = |label, value: fn(&EquityFigures) -> String| row(books, label, |_, s| value(&s.buy_and_hold));
    vec![
        figures("from", |e| minute(e.start)),
        figures("to", |e| minute(e.end)),
        figures("equity at start", |e| money(e.initial_equity)),
        figures("equity at end", |e| money(e.final_equity)),
        figures("return", |e| signed_percent(e.total_return)),
        held("  buy and hold", |e| signed_percent(e.total_return)),
        figures("CAGR", |e| signed_percent(e.cagr)),
        figures("Sharpe", |e| number(e.sharpe)),
        held("  buy and hold", |e| number(e.sharpe)),
        figures("Sortino", |e| number(e.sortino)),
        figures("max drawdown", |e| percent(e.max_drawdown)),
        held("  buy and hold", |e| percent(e.max_drawdown)),
        figures("  peak", |e| e.max_drawdown_dates.map_or_else(|| NONE.to_owned(), |d| minute(d.peak))),
        figures("  trough", |e| e.max_drawdown_dates.map_or_else(|| NONE.to_owned(), |d| minute(d.trough))),
        figures("  recovery", |e| {
            let not_yet = || "not yet".to_owned();
            e.max_drawdown_dates.map_or_else(|| NONE.to_owned(), |d| d.recovery.map_or_else(not_yet, minute))
        }),
    ]
}

fn trade_rows(books: &[(&str, &Statistics)]) -> Vec<Vec<String>> {
    let figures = |label, value: fn(&Statistics) -> String| row(books, label, |_, s| value(s));
    vec![
        figures("trades", |s| s.trades.to_string()),
        figures("win rate", |s| percent(s.win_rate)),
        figures("payoff", |s| number(s.payoff)),
        figures("profit factor", |s| number(s.profit_factor)),
        figures("realized PnL", |s| money(s.realized_pnl)),
        figures("fees", |s| money(s.fees)),
        figures("exposure time", |s| percent(s.exposure_time)),
        figures("fills", |s| s.fills.to_string()),
        figures("denied", |s| s.denied.to_string()),
    ]
}

/// Reasons by falling count in the first book that has them, then by name.
fn denial_rows(books: &[(&str, &Statistics)]) -> Vec<Vec<String>> {
    let mut order: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (_, s) in books {
        for (reason, count) in &s.denials {
            order.entry(reason).or_insert(*count);
        }
    }
    let mut reasons: Vec<_> = order.into_iter().collect();
    reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let mut rows = Vec::new();
    if !reasons.is_empty() {
        rows.push(vec!["nothing done because".to_owned()]);
    }
    for (reason, _) in reasons {
        let count = |_: &str, s: &Statistics| s.denials.get(reason).copied().unwrap_or(0).to_string();
        rows.push(row(books, &format!("  {reason}"), count));
    }
    rows
}

fn row(
    books: &[(&str, &Statistics)],
    label: &str,
    cell: impl Fn(&str, &Statistics) -> String,
) -> Vec<String> {
    [label.to_owned()].into_iter().chain(books.iter().map(|(name, s)| cell(name, s))).collect()
}

/// Labels to the left, values to the right; no blanks at the end of a line.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter(|row| row.len() > 1 || column == 0)
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        text.push('\n');
    }
    text
}

fn money(cash: Cash) -> String {
    cash.to_text(2)
}

fn minute(at: Timestamp) -> String {
    rfc3339(at).chars().take(16).collect::<String>().replace('T', " ")
}

#[expect(clippy::float_arithmetic, reason = "a ratio for people")]
fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| NONE.to_owned(), |share| format!("{:.2}%", share * 100.0))
}

#[expect(clippy::float_arithmetic, reason = "a ratio for people")]
fn signed_percent(share: Option<f64>) -> String {
    share.map_or_else(|| NONE.to_owned(), |share| format!("{:+.2}%", share * 100.0))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format!("{value:.2}"))
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
