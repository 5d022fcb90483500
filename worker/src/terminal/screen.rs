//! The whole screen, from a snapshot. Pure: the same snapshot, size and palette give the same cells.

use ratatui::Frame;
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use tradewind_core::halt::Halt;

use crate::snapshot::{Phase, Snapshot};
use crate::text;

use super::figures::{denied, difference, money, percent, profit, signed_money};
use super::layout::{Section, share};
use super::palette::Palette;
use super::sections;

/// Draws everything: the account, its halts, the tables and the keys. What does not fit is left out, the least important
/// first.
pub fn render(frame: &mut Frame<'_>, snapshot: &Snapshot, palette: Palette) {
    let area = frame.area();
    let mut header = header(snapshot, usize::from(area.width));
    header.extend(halts(&snapshot.halts, usize::from(area.height / 6).max(1), palette));
    let mut rest = area;
    let keys = if area.height > 2 { bottom(&mut rest) } else { None };
    for line in header {
        let Some(row) = top(&mut rest, 1) else { return };
        frame.render_widget(line, row);
    }
    if let Some(row) = keys {
        frame.render_widget(Line::styled(keys_text(snapshot.phase), palette.faint()), row);
    }
    let _blank = top(&mut rest, 1);
    let sections = sections::all(snapshot, area.width);
    let wanted: Vec<u16> = sections.iter().map(Section::wanted).collect();
    for (section, lines) in sections.iter().zip(share(rest.height, &wanted)) {
        let Some(row) = top(&mut rest, lines) else { continue };
        let rows = if lines == section.wanted() { lines - 1 } else { lines };
        section.draw(frame, Rect { height: rows, ..row }, palette);
    }
}

/// What was drawn, as text without colours: what stays on the screen when the table is gone. The line of keys and blank
/// lines at the end are left out.
pub(super) fn picture(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y| {
        let cells = (area.left()..area.right()).filter_map(|x| buffer.cell((x, y))).map(Cell::symbol);
        cells.collect::<String>().trim_end().to_owned()
    };
    let lines: Vec<String> = (area.top()..area.bottom().saturating_sub(1)).map(line).collect();
    let mut text = lines.join("\n").trim_end().to_owned();
    text.push('\n');
    text
}

fn header(snapshot: &Snapshot, width: usize) -> Vec<Line<'static>> {
    let account = &snapshot.account;
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let plain = |text: String| Span::raw(text);
    let name = Span::styled(snapshot.account_name.to_string(), strong);
    let phase: &str = snapshot.phase.into();
    let now = text::time(snapshot.now);
    let mut lines =
        flow(vec![name, plain(format!("on {}", snapshot.venue)), plain(now), plain(phase.to_owned())], width);
    let equity = format!("equity {} {}", money(account.equity), snapshot.currency);
    let mut amounts = vec![
        Span::styled(equity, strong),
        Span::styled(format!("PnL {}", profit(account.equity, account.invested)), strong),
    ];
    if let Some(yesterday) = snapshot.equity_yesterday {
        amounts.push(plain(format!("today {}", signed_money(difference(account.equity, yesterday)))));
    }
    amounts.push(plain(format!("cash {}", money(account.cash))));
    let exposure = percent(account.exposure.percent_of(account.equity));
    amounts.push(plain(format!("exposure {} ({exposure})", money(account.exposure))));
    lines.extend(flow(amounts, width));
    let mut counts = vec![plain(format!("drawdown {}", percent(account.drawdown)))];
    counts.extend(nearest_breaker(snapshot).map(plain));
    counts.push(plain(format!("fills {}", snapshot.totals.fills)));
    counts.push(plain(format!("denied {}", denied(&snapshot.totals))));
    counts.push(plain(format!("open orders {}", snapshot.open_orders.len())));
    counts.push(plain(format!("fees {}", money(snapshot.totals.fees))));
    lines.extend(flow(counts, width));
    lines
}

/// The strategy that has come nearest to one of its breakers.
fn nearest_breaker(snapshot: &Snapshot) -> Option<String> {
    let falling = snapshot.strategies.iter().filter(|view| view.drawdown.0 > 0);
    let guarded = falling.filter_map(|view| Some((view, sections::first_breaker(&view.config.breakers)?)));
    let (view, breaker) = guarded.max_by(|(one, limit), (other, other_limit)| {
        let cross = |drawdown: i64, limit: i64| i128::from(drawdown) * i128::from(limit);
        cross(one.drawdown.0, other_limit.drawdown.0).cmp(&cross(other.drawdown.0, limit.drawdown.0))
    })?;
    let (name, limit) = (&view.config.name, breaker.drawdown);
    Some(format!("nearest breaker {name} {} of {limit}", percent(view.drawdown)))
}

fn halts(halts: &[Halt], most: usize, palette: Palette) -> Vec<Line<'static>> {
    let shown = if halts.len() > most { most.saturating_sub(1) } else { halts.len() };
    let text = |halt: &Halt| {
        let (name, action, reason, by) = (&halt.name, halt.action, &halt.reason, &halt.requested_by);
        format!("HALT {name} {action}: {reason} (by {by}, {})", text::time(halt.since))
    };
    let mut texts: Vec<String> = halts.iter().take(shown).map(text).collect();
    if shown < halts.len() {
        texts.push(format!("HALT {} {}", halts.len() - shown, if shown == 0 { "in force" } else { "more" }));
    }
    texts.into_iter().map(|text| Line::styled(text, palette.alarm())).collect()
}

fn keys_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Recovering | Phase::Running => {
            "q or Ctrl-C: drain and end (started again, it goes on at the next bar)"
        }
        Phase::Completed => "the data has ended; q or Ctrl-C: end",
        Phase::Draining => "draining: no new bars, what is open is written",
    }
}

/// Pieces side by side, on as many lines as they need.
fn flow(pieces: Vec<Span<'static>>, width: usize) -> Vec<Line<'static>> {
    const GAP: &str = "  ";
    let mut lines: Vec<Line<'static>> = Vec::new();
    for piece in pieces {
        match lines.last_mut() {
            Some(line) if line.width() + GAP.len() + piece.width() <= width => {
                line.push_span(Span::raw(GAP));
                line.push_span(piece);
            }
            _ => lines.push(Line::from(piece)),
        }
    }
    lines
}

/// Takes lines from the top.
fn top(rest: &mut Rect, lines: u16) -> Option<Rect> {
    if lines == 0 || rest.height < lines {
        return None;
    }
    let row = Rect { height: lines, ..*rest };
    *rest = Rect { y: rest.y + lines, height: rest.height - lines, ..*rest };
    Some(row)
}

/// Takes the last line.
fn bottom(rest: &mut Rect) -> Option<Rect> {
    let height = rest.height.checked_sub(1)?;
    let row = Rect { y: rest.y + height, height: 1, ..*rest };
    *rest = Rect { height, ..*rest };
    Some(row)
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
