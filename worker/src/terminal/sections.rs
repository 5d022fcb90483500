//! The tables of the screen, from a snapshot: strategies, positions, last decisions, last fills.

use tradewind_core::config::DesiredState;
use tradewind_core::engine::{PositionView, StrategyView};
use tradewind_core::limits::Breaker;
use tradewind_core::money::Cash;
use tradewind_core::time::Timestamp;

use crate::snapshot::{DecisionSnapshot, Snapshot, TradeSnapshot};
use crate::text;

use super::figures::{money, percent, profit, signed_money};
use super::layout::{Field, Section, Tone, left, plain, right};

/// Fills shown at most: the newest.
const FILLS: usize = 12;
/// From this width on times have their year.
const WIDE: u16 = 100;

/// All sections, the most important first.
pub(super) fn all(snapshot: &Snapshot, width: u16) -> [Section; 4] {
    [strategies(snapshot), decisions(snapshot, width), positions(snapshot), fills(snapshot, width)]
}

fn strategies(snapshot: &Snapshot) -> Section {
    Section {
        columns: vec![
            left("STRATEGIES", 0),
            right("EQUITY", 0),
            right("PNL", 1),
            right("DRAWDOWN", 2),
            right("EXPOSURE", 4),
            right("POSITIONS", 3),
            left("HALTED BY", 0),
        ],
        rows: snapshot.strategies.iter().map(strategy).collect(),
        nothing: "there is none",
    }
}

fn strategy(view: &StrategyView) -> Vec<Field> {
    vec![
        plain(view.config.name.as_str()),
        plain(money(view.equity)),
        (profit(view.equity, view.capital), sign(view.equity.0.cmp(&view.capital.0))),
        drawdown(view),
        plain(percent(view.exposure.percent_of(view.equity))),
        plain(format!("{}/{}", view.positions.len(), view.config.limits.max_open_positions)),
        standing(view),
    ]
}

/// Drawdown beside the breaker it meets first; bad from four fifths of it on.
fn drawdown(view: &StrategyView) -> Field {
    let Some(breaker) = first_breaker(&view.config.breakers) else { return plain(percent(view.drawdown)) };
    let near = i128::from(view.drawdown.0) * 5 >= i128::from(breaker.drawdown.0) * 4;
    (
        format!("{} of {}", percent(view.drawdown), breaker.drawdown),
        if near { Tone::Bad } else { Tone::Plain },
    )
}

/// The breaker that trips first.
pub(super) fn first_breaker(breakers: &[Breaker]) -> Option<&Breaker> {
    breakers.iter().min_by_key(|breaker| breaker.drawdown)
}

fn standing(view: &StrategyView) -> Field {
    if !view.halts.is_empty() {
        // The full name is above; here the strategy's own name need not be said twice.
        let own = format!("strategy.{}.", view.config.name);
        let short = |name| str::strip_prefix(name, own.as_str()).unwrap_or(name);
        let names: Vec<&str> = view.halts.iter().map(|halt| short(halt.name.as_str())).collect();
        return (names.join(", "), Tone::Bad);
    }
    plain(match view.config.desired_state {
        _ if !view.present => "(removed)",
        DesiredState::Trading => "-",
        DesiredState::ExitOnly => "(ExitOnly)",
        DesiredState::Stopped => "(Stopped)",
        DesiredState::ReferenceMissing => "(ReferenceMissing)",
        DesiredState::Quarantined => "(Quarantined)",
    })
}

fn positions(snapshot: &Snapshot) -> Section {
    let held = snapshot.strategies.iter().flat_map(|s| s.positions.iter().map(move |p| position(s, p)));
    Section {
        columns: vec![
            left("POSITIONS", 0),
            left("STRATEGY", 0),
            right("QUANTITY", 0),
            right("AVERAGE", 3),
            right("MARK", 2),
            right("VALUE", 4),
            right("PNL", 0),
            right("STOP", 1),
        ],
        rows: held.collect(),
        nothing: "nothing is held",
    }
}

fn position(owner: &StrategyView, view: &PositionView) -> Vec<Field> {
    let rules = &view.rules;
    let share = super::figures::signed_percent(view.unrealized.percent_of(view.cost));
    vec![
        plain(rules.symbol.to_string()),
        plain(owner.config.name.as_str()),
        plain(rules.quantity_text(view.quantity)),
        plain(rules.price_text(view.average_price)),
        plain(rules.price_text(view.mark)),
        plain(money(view.value)),
        (format!("{} ({share})", signed_money(view.unrealized)), sign(view.unrealized.cmp(&Cash::ZERO))),
        plain(view.stop.map_or_else(|| "-".to_owned(), |stop| rules.price_text(stop))),
    ]
}

fn decisions(snapshot: &Snapshot, width: u16) -> Section {
    Section {
        columns: vec![
            left("DECISIONS", 1),
            left("STRATEGY", 0),
            left("SYMBOL", 0),
            left("SIGNAL", 0),
            left("OUTCOME", 0),
        ],
        rows: snapshot.last_decisions.iter().map(|decision| self::decision(decision, width)).collect(),
        nothing: "none yet",
    }
}

fn decision(decision: &DecisionSnapshot, width: u16) -> Vec<Field> {
    let signal = match (decision.side, decision.confidence) {
        // Whole percents, never rounded up over a limit.
        (Some(side), Some(confidence)) => format!("{side} {}%", confidence.0 / 10_000),
        (Some(side), None) => side.to_string(),
        (None, _) => "-".to_owned(),
    };
    let acted = matches!(decision.outcome, "Enter" | "Exit");
    vec![
        plain(time(decision.at, width)),
        plain(decision.strategy.as_str()),
        plain(decision.symbol.to_string()),
        plain(signal),
        (format!("{}: {}", decision.outcome, decision.detail), if acted { Tone::Good } else { Tone::Plain }),
    ]
}

fn fills(snapshot: &Snapshot, width: u16) -> Section {
    Section {
        columns: vec![
            left("FILLS", 0),
            left("STRATEGY", 1),
            left("SYMBOL", 0),
            left("SIDE", 0),
            right("QUANTITY", 0),
            right("PRICE", 0),
            right("NOTIONAL", 4),
            right("FEE", 5),
            right("REALIZED", 2),
            left("PURPOSE", 3),
        ],
        rows: snapshot.recent_trades.iter().take(FILLS).map(|trade| fill(trade, width)).collect(),
        nothing: "none yet",
    }
}

fn fill(trade: &TradeSnapshot, width: u16) -> Vec<Field> {
    let realized = trade.realized.map_or_else(|| plain("-"), |r| (signed_money(r), sign(r.cmp(&Cash::ZERO))));
    vec![
        plain(time(trade.at, width)),
        plain(trade.strategy.as_str()),
        plain(trade.symbol.to_string()),
        plain(trade.side.to_string()),
        plain(trade.quantity.as_str()),
        plain(trade.price.as_str()),
        plain(money(trade.notional)),
        plain(format!("{} {}", trade.fee.to_text(4), trade.fee_asset)),
        realized,
        plain(trade.purpose.to_string()),
    ]
}

fn sign(against_nothing: std::cmp::Ordering) -> Tone {
    match against_nothing {
        std::cmp::Ordering::Less => Tone::Bad,
        std::cmp::Ordering::Equal => Tone::Plain,
        std::cmp::Ordering::Greater => Tone::Good,
    }
}

/// `2024-05-01T13:00Z`, or `05-01 13:00` where room is scarce.
fn time(at: Timestamp, width: u16) -> String {
    let full = text::time(at);
    match full.get(5..16) {
        Some(short) if width < WIDE => short.replace('T', " "),
        _ => full,
    }
}
