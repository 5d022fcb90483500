//! Lines for pipes and log files: one fact a line, as `key=value`. Texts with blanks are quoted.

use tradewind_core::halt::{Halt, HaltOrigin};
use tradewind_core::time::{DAY_MS, Timestamp};

use crate::snapshot::{DecisionSnapshot, Snapshot, TradeSnapshot};
use crate::text;

use super::figures::{denied, difference, hundredths, money};

/// How the last UTC day ended, told when the next has begun. On the first day: how it stands.
///
/// Positions, fills and denied signals are as of now; `fills` and `denied` count from the beginning.
pub fn day_line(snapshot: &Snapshot) -> String {
    let (day, equity) = match snapshot.equity_yesterday {
        Some(equity) => (Timestamp(snapshot.now.0.saturating_sub(DAY_MS)), equity),
        None => (snapshot.now, snapshot.account.equity),
    };
    let invested = snapshot.account.invested;
    let profit = difference(equity, invested);
    let positions: usize = snapshot.strategies.iter().map(|strategy| strategy.positions.len()).sum();
    Line::of("day")
        .add("day", &text::day(day))
        .add("equity", &money(equity))
        .add("currency", &snapshot.currency)
        .add("pnl", &money(profit))
        .add("pnl_percent", &hundredths(profit.percent_of(invested)))
        .add("drawdown_percent", &hundredths(snapshot.account.drawdown))
        .add("positions", &positions.to_string())
        .add("fills", &snapshot.totals.fills.to_string())
        .add("denied", &denied(&snapshot.totals).to_string())
        .add("halts", &snapshot.halts.len().to_string())
        .0
}

/// A fill. `realized` is there for sales only.
pub fn trade_line(trade: &TradeSnapshot) -> String {
    let line = Line::of("fill")
        .add("at", &text::time(trade.at))
        .add("strategy", &trade.strategy)
        .add("symbol", &trade.symbol.to_string())
        .add("side", &trade.side.to_string())
        .add("purpose", &trade.purpose.to_string())
        .add("quantity", &trade.quantity)
        .add("price", &trade.price)
        .add("notional", &money(trade.notional))
        .add("fee", &trade.fee.to_string())
        .add("fee_asset", &trade.fee_asset);
    trade
        .realized
        .map_or(line.clone(), |realized| line.add("realized", &money(realized)))
        .add("trade", &trade.trade_id)
        .0
}

/// A decision and why it came out so. `signal` and `confidence_percent` are there when the signal said something.
pub fn decision_line(decision: &DecisionSnapshot) -> String {
    let mut line = Line::of("decision")
        .add("at", &text::time(decision.at))
        .add("strategy", &decision.strategy)
        .add("symbol", &decision.symbol.to_string())
        .add("close", &decision.close);
    if let Some(side) = decision.side {
        line = line.add("signal", &side.to_string());
    }
    if let Some(confidence) = decision.confidence {
        line = line.add("confidence_percent", &hundredths(confidence));
    }
    let stage: &str = decision.stage.into();
    line.add("stage", stage).add("outcome", decision.outcome).add("why", &decision.detail).0
}

/// A halt: whom it stops, who made it and why.
pub fn halt_line(halt: &Halt) -> String {
    let instruments: Vec<String> = halt.instruments.iter().map(ToString::to_string).collect();
    let instruments = if instruments.is_empty() { "all".to_owned() } else { instruments.join(",") };
    let origin: &str = (&halt.origin).into();
    let mut line = Line::of("halt")
        .add("at", &text::time(halt.since))
        .add("halt", &halt.name)
        .add("origin", origin)
        .add("action", &halt.action.to_string())
        .add("instruments", &instruments);
    if let HaltOrigin::Breaker { breaker } = &halt.origin {
        line = line.add("breaker", breaker);
    }
    line.add("reason", &halt.reason).add("by", &halt.requested_by).0
}

/// A line being written.
#[derive(Debug, Clone)]
struct Line(String);

impl Line {
    fn of(fact: &str) -> Self {
        Self(fact.to_owned())
    }

    /// Values that a reader could split, and those with control characters, are quoted and escaped.
    fn add(mut self, key: &str, value: &str) -> Self {
        let plain = |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\'));
        let quoted = value.is_empty() || !value.chars().all(plain);
        let value = if quoted { format!("{value:?}") } else { value.to_owned() };
        for part in [" ", key, "=", &value] {
            self.0.push_str(part);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_day_ends_with_its_equity_and_what_was_done() {
        let mut snapshot = fixture::snapshot();
        // Now is 2024-05-01T13:00Z; 10 050.00 - 10 000 = 50, 0.5 %.
        snapshot.equity_yesterday = Some(fixture::cash("10050"));
        assert_eq!(
            day_line(&snapshot),
            "day day=2024-04-30 equity=10050.00 currency=USD pnl=50.00 pnl_percent=0.50 drawdown_percent=1.20 \
             positions=2 fills=12 denied=40 halts=1"
        );
        snapshot.equity_yesterday = None;
        assert!(
            day_line(&snapshot).starts_with("day day=2024-05-01 equity=10123.45 currency=USD pnl=123.45")
        );
    }

    #[test]
    fn a_fill_is_told_with_price_fee_and_what_it_realized() {
        let snapshot = fixture::snapshot();
        assert_eq!(
            trade_line(&snapshot.recent_trades[0]),
            "fill at=2024-05-01T12:00Z strategy=btc-trend symbol=BTC-USD side=Sell purpose=StopLoss quantity=0.0039 \
             price=63000 notional=245.70 fee=1.4742 fee_asset=USD realized=-3.21 trade=t-2"
        );
        assert!(!trade_line(&snapshot.recent_trades[1]).contains("realized"), "a buy realizes nothing");
    }

    #[test]
    fn a_decision_says_why() {
        let snapshot = fixture::snapshot();
        assert_eq!(
            decision_line(&snapshot.last_decisions[0]),
            "decision at=2024-05-01T13:00Z strategy=btc-trend symbol=BTC-USD close=63123.45 signal=Buy \
             confidence_percent=62.00 stage=threshold outcome=BelowConfidence why=\"confidence 62% < 65%\""
        );
        let silent = decision_line(&snapshot.last_decisions[1]);
        assert!(!silent.contains("signal=") && !silent.contains("confidence_percent"), "{silent}");
    }

    #[test]
    fn a_halt_says_who_and_why_and_cannot_forge_a_line() {
        let mut halt = fixture::snapshot().halts.remove(0);
        assert_eq!(
            halt_line(&halt),
            "halt at=2024-05-01T11:00Z halt=strategy.eth-rsi.drawdown origin=Breaker action=CancelEntries \
             instruments=all breaker=drawdown reason=\"drawdown 15.2% has reached 15%\" by=breaker"
        );
        halt.reason = "x\nfill side=Buy\u{1b}[2J \"".into();
        assert!(halt_line(&halt).ends_with(r#"reason="x\nfill side=Buy\u{1b}[2J \"" by=breaker"#));
    }
}
