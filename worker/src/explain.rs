//! The decision trace for people: what each strategy decided at each bar, and why nothing was done.
//!
//! It only reads: rows come from a [`LedgerReader`], text goes to a writer. Runs of the same outcome are told once, with
//! their count and their last time, unless all is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{IntentId, Purpose};
use tradewind_core::time::Timestamp;
use tradewind_ledger::{DecisionFilter, DecisionRow, LedgerError, LedgerReader, TradeRow};

use crate::text;

/// Between columns.
const GAP: &str = "  ";
/// What there is not.
const NONE: &str = "-";
/// Fills asked for at first; ten times as many while they do not reach back far enough.
const FILLS_AT_FIRST: u32 = 1000;

/// How the trace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// A table with a summary, for people.
    #[default]
    Text,
    /// Every decision as one JSON object a line ([`DecisionRow`]), without a summary.
    Json,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExplainOptions {
    /// Every decision on a line of its own; runs are not folded.
    pub all: bool,
    /// In which form.
    pub format: Format,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The ledger cannot be read.
    #[error("the decisions cannot be read from the ledger")]
    Ledger {
        /// Why.
        #[from]
        source: LedgerError,
    },
    /// The text cannot be written.
    #[error("the decision trace cannot be written; check the disk it is redirected to")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A row cannot be written as JSON.
    #[error("a decision cannot be written as JSON; report this as a defect")]
    Json {
        /// Why.
        #[from]
        source: serde_json::Error,
    },
}

/// Writes the decisions that pass the filter, oldest first, and returns how many there were.
///
/// A reader that goes away (`| head`) ends the trace without an error.
pub async fn explain(
    reader: &mut impl LedgerReader,
    filter: &DecisionFilter,
    options: ExplainOptions,
    out: &mut dyn Write,
) -> Result<usize, ExplainError> {
    let mut rows = reader.decisions(filter).await?;
    rows.reverse();
    let text = match options.format {
        Format::Json => json_lines(&rows)?,
        Format::Text => {
            let fills = fills_since(reader, &rows).await?;
            render(&rows, &fills, filter, options.all)
        }
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(rows.len()),
        Err(source) => Err(ExplainError::Write { source }),
        Ok(()) => Ok(rows.len()),
    }
}

/// Fills, newest first, from the first decision on (and some before it).
async fn fills_since(
    reader: &mut impl LedgerReader,
    rows: &[DecisionRow],
) -> Result<Vec<TradeRow>, LedgerError> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let mut limit = FILLS_AT_FIRST;
    loop {
        let fills = reader.trades(limit).await?;
        let all = fills.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        let reaches = fills.last().is_some_and(|oldest| oldest.at < first.at);
        if all || reaches || limit == u32::MAX {
            return Ok(fills);
        }
        limit = limit.saturating_mul(10);
    }
}

/// One JSON object a line, as they come.
pub fn json_lines(rows: &[DecisionRow]) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(text)
}

/// The whole trace: a line a decision or run, then counts by outcome and the intents and fills they led to. `rows` are
/// oldest first; of `fills` those are told that belong to the entries or closed something since the first decision.
pub fn render(rows: &[DecisionRow], fills: &[TradeRow], filter: &DecisionFilter, all: bool) -> String {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return nothing(filter) };
    let heading = ["TIME", "STRATEGY", "SYMBOL", "CLOSE", "SIGNAL", "READINGS", "OUTCOME"].map(str::to_owned);
    let lines: Vec<[String; 7]> =
        std::iter::once(heading).chain(runs(rows, all).iter().map(|run| columns(run))).collect();
    let mut text = aligned(&lines);
    text.push(String::new());
    let (from, until) = (text::time(first.at), text::time(last.at));
    text.push(format!("{} from {from} to {until}", counted(rows.len(), "decision")));
    text.extend(by_outcome(rows).into_iter().map(|(outcome, count)| format!("  {outcome}: {count}")));
    text.push(consequences(rows, fills, filter, first.at));
    if usize::try_from(filter.limit).is_ok_and(|limit| rows.len() >= limit) {
        let limit = filter.limit;
        text.push(format!(
            "only the newest {limit} were read; narrow it with --strategy, --symbol or --since"
        ));
    }
    text.join("\n") + "\n"
}

fn nothing(filter: &DecisionFilter) -> String {
    let of = filter.strategy.as_ref().map(|name| format!(" of strategy {name}"));
    let within = filter.symbol.as_ref().map(|symbol| format!(" in {symbol}"));
    let since = filter.since.map(|since| format!(" since {}", text::time(since)));
    let which: String = [of, within, since].into_iter().flatten().collect();
    format!(
        "the ledger holds no decisions{which}; they are kept from the first bar on, and pruned when they are old\n"
    )
}

/// Decisions one after the other of a strategy in an instrument that came to the same.
#[derive(Debug, Clone, PartialEq)]
struct Run<'a> {
    first: &'a DecisionRow,
    last: &'a DecisionRow,
    count: usize,
}

/// Folds what repeats, in the order of the first of each run. What led to an order is never folded.
fn runs(rows: &[DecisionRow], all: bool) -> Vec<Run<'_>> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut latest: HashMap<(Uid, &Symbol), usize> = HashMap::new();
    for row in rows {
        let key = (row.strategy, &row.symbol);
        let same = latest
            .get(&key)
            .and_then(|index| runs.get_mut(*index))
            .filter(|run| !all && repeats(run.last, row));
        if let Some(run) = same {
            run.last = row;
            run.count += 1;
        } else {
            latest.insert(key, runs.len());
            runs.push(Run { first: row, last: row, count: 1 });
        }
    }
    runs
}

fn repeats(before: &DecisionRow, row: &DecisionRow) -> bool {
    let acted = matches!(row.outcome.as_str(), "Enter" | "Exit");
    !acted && (&before.outcome, &before.stage, before.side) == (&row.outcome, &row.stage, row.side)
}

/// A run's line: the time of its first decision, and all else as of its last.
fn columns(run: &Run<'_>) -> [String; 7] {
    let row = run.last;
    let signal = match (row.side, row.confidence) {
        (Some(side), Some(confidence)) => format!("{side} {confidence}"),
        (Some(side), None) => side.to_string(),
        (None, _) => NONE.to_owned(),
    };
    let times =
        if run.count > 1 { format!(" ×{} until {}", run.count, text::time(row.at)) } else { String::new() };
    let intent = row.intent.map(|id| format!(" (intent {})", id.0)).unwrap_or_default();
    let why = if row.detail.is_empty() { String::new() } else { format!(": {}", row.detail) };
    [
        text::time(run.first.at),
        row.strategy_name.to_string(),
        row.symbol.to_string(),
        row.close.to_string(),
        signal,
        readings(&row.readings),
        format!("{}{times}{intent}{why}", row.outcome),
    ]
}

/// `emaFast=63100.12 emaSlow=63001.5` from the JSON object of a row; other JSON as it is.
fn readings(json: &str) -> String {
    let values = match serde_json::from_str(json) {
        Ok(serde_json::Value::Object(values)) => values,
        Ok(serde_json::Value::Null) | Err(_) => return NONE.to_owned(),
        Ok(other) => return other.to_string(),
    };
    if values.is_empty() {
        return NONE.to_owned();
    }
    let value = |value: &serde_json::Value| value.as_f64().map_or_else(|| value.to_string(), number);
    values.iter().map(|(name, v)| format!("{name}={}", value(v))).collect::<Vec<_>>().join(" ")
}

/// About seven significant digits, without trailing zeros.
fn number(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 1000.0 => format!("{value:.2}"),
        size if size >= 1.0 => format!("{value:.4}"),
        _ => format!("{value:.8}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Outcomes with their counts, most frequent first, then by name.
fn by_outcome(rows: &[DecisionRow]) -> Vec<(&str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.outcome.as_str()).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    counts
}

/// The intents of the entries, and the fills: those of these intents, and those that closed something of the same
/// strategies and instruments since.
fn consequences(
    rows: &[DecisionRow],
    fills: &[TradeRow],
    filter: &DecisionFilter,
    since: Timestamp,
) -> String {
    let intents: BTreeSet<IntentId> = rows.iter().filter_map(|row| row.intent).collect();
    let wanted = |fill: &&TradeRow| {
        let ours = filter.strategy.as_ref().is_none_or(|name| *name == fill.strategy_name)
            && filter.symbol.as_ref().is_none_or(|symbol| *symbol == fill.symbol);
        let follows = if fill.purpose.is_entry() { intents.contains(&fill.intent) } else { fill.at >= since };
        ours && follows
    };
    let mut purposes: BTreeMap<Purpose, usize> = BTreeMap::new();
    for fill in fills.iter().filter(wanted) {
        *purposes.entry(fill.purpose).or_default() += 1;
    }
    let total: usize = purposes.values().sum();
    let parts =
        purposes.iter().map(|(purpose, count)| format!("{purpose} {count}")).collect::<Vec<_>>().join(", ");
    let parts = if parts.is_empty() { parts } else { format!(" ({parts})") };
    format!("{}, {}{parts}", counted(intents.len(), "entry intent"), counted(total, "fill"))
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Lines of columns side by side, the close to the right, nothing after the last.
fn aligned(lines: &[[String; 7]]) -> Vec<String> {
    const CLOSE: usize = 3;
    let mut widths = [0; 7];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let aligned = |line: &[String; 7]| {
        let cells = line.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            CLOSE => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    lines.iter().map(aligned).collect()
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
