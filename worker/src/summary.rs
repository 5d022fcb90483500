//! The summary a run ends with, from the ledger: the same whether the run was interrupted or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use smol_str::SmolStr;
use tradewind_core::money::Cash;
use tradewind_ledger::{OutcomeCount, TradeRow};

use crate::snapshot::{Snapshot, TradeSnapshot};
use crate::text;

/// Reasons that are the market's or the signal's own quiet, not a refusal.
const QUIET: [&str; 6] =
    ["NoSignal", "WarmingUp", "AlreadyHolding", "NothingToSell", "ExitUnderWay", "Stopped"];

/// The summary as text: one line for the account, one for each strategy, then why nothing was traded.
pub fn render(
    word: &str,
    snapshot: &Snapshot,
    fills: &[(SmolStr, u64)],
    outcomes: &[OutcomeCount],
) -> String {
    let mut text = String::new();
    let account = &snapshot.account;
    let fills_of = |name: Option<&str>| -> u64 {
        fills.iter().filter(|(owner, _)| name.is_none_or(|n| n == owner)).map(|(_, count)| count).sum()
    };
    let _ = writeln!(
        text,
        "{word} {} at {}: equity {} {} ({}), fills {}, denied {}, drawdown {}",
        snapshot.account_name,
        text::time(snapshot.now),
        account.equity.to_text(2),
        snapshot.currency,
        gain(account.equity, account.invested),
        fills_of(None),
        denied(outcomes, None),
        percent_text(account.drawdown),
    );
    for strategy in &snapshot.strategies {
        let name = strategy.config.name.as_str();
        let _ = writeln!(
            text,
            "  {name}: equity {} ({}), fills {}, denied {}, positions {}, fees {}{}",
            strategy.equity.to_text(2),
            gain(strategy.equity, strategy.capital),
            fills_of(Some(name)),
            denied(outcomes, Some(name)),
            strategy.positions.len(),
            strategy.fees.to_text(2),
            halted(strategy),
        );
    }
    let reasons = reasons(outcomes);
    if !reasons.is_empty() {
        let _ = writeln!(text, "why nothing was traded: {reasons}");
    }
    text
}

fn halted(strategy: &tradewind_core::engine::StrategyView) -> String {
    let names: Vec<&str> = strategy.halts.iter().map(|h| h.name.as_str()).collect();
    if names.is_empty() { String::new() } else { format!(", halted by {}", names.join(" and ")) }
}

fn gain(equity: Cash, start: Cash) -> String {
    let gained = Cash(equity.0.saturating_sub(start.0));
    let percent = gained.percent_of(start);
    let sign = if percent.0 < 0 { "" } else { "+" };
    format!("{sign}{}", percent_text(percent))
}

/// Two decimals are what people read.
fn percent_text(percent: tradewind_core::money::Percent) -> String {
    let nudge = if percent.0 < 0 { -50 } else { 50 };
    let hundredths = percent.0.saturating_add(nudge) / 100;
    format!("{}%", tradewind_core::money::format_fixed(i128::from(hundredths), 2))
}

/// Signals that asked for a trade and were refused by us.
fn denied(outcomes: &[OutcomeCount], strategy: Option<&str>) -> u64 {
    let refusal = |o: &&OutcomeCount| {
        matches!(o.stage.as_str(), "halt" | "threshold" | "sizing" | "risk")
            && strategy.is_none_or(|s| s == o.strategy_name)
    };
    outcomes.iter().filter(refusal).map(|o| o.count).sum()
}

fn reasons(outcomes: &[OutcomeCount]) -> String {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for outcome in outcomes.iter().filter(|o| !matches!(o.outcome.as_str(), "Enter" | "Exit")) {
        *counts.entry(&outcome.outcome).or_default() += outcome.count;
    }
    // Refusals first: they are what somebody may want to change.
    let mut sorted: Vec<_> = counts.into_iter().collect();
    sorted.sort_by_key(|(code, count)| (QUIET.contains(code), std::cmp::Reverse(*count)));
    sorted.iter().map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>().join(", ")
}

/// Fills of the ledger as they are shown; what each realized is not known any more.
pub fn trade_snapshots(rows: Vec<TradeRow>) -> Vec<TradeSnapshot> {
    let shown = |row: TradeRow| {
        let product = |price: &str, quantity: &str| {
            let (price, quantity) = (Cash::parse(price).ok()?, Cash::parse(quantity).ok()?);
            price.mul_div(quantity.0, 10_i128.pow(18), tradewind_core::money::Rounding::Down).ok()
        };
        TradeSnapshot {
            trade_id: row.trade_id,
            at: row.at,
            strategy: row.strategy_name,
            symbol: row.symbol,
            side: row.side,
            purpose: row.purpose,
            notional: product(&row.price, &row.quantity).unwrap_or_default(),
            price: row.price,
            quantity: row.quantity,
            fee: row.fee,
            fee_asset: row.fee_asset.as_str().into(),
            realized: None,
        }
    };
    rows.into_iter().map(shown).collect()
}
