//! When a status is written. Pure: time is passed in.
//!
//! What a person or the operator acts on is written at once; trades at once, but no faster than people read; all other
//! figures at most each minute and only when something that is printed changed. At rest nothing is written.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tradewind_crds::exchange_account::AccountTrading;
use tradewind_crds::trading_strategy::StrategyTrading;

use super::Status;

/// Least time between two writes because of trades.
const TRADES_EVERY: Duration = Duration::from_secs(1);
/// Least time between two writes because of figures.
const FIGURES_EVERY: Duration = Duration::from_mins(1);
/// Pause after the first failed write; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after failed writes.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What of a status matters how much.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Importance {
    /// What is in force, and each condition's status and reason: written at once.
    pub at_once: serde_json::Value,
    /// Fills and open orders: written at once, but for a second between two.
    pub trades: serde_json::Value,
    /// What columns and messages print: written each minute.
    pub printed: serde_json::Value,
}

/// What printed figures a status has.
pub trait Printed {
    /// The strings and times that columns print.
    fn printed(&self) -> serde_json::Value;
}

impl Printed for StrategyTrading {
    fn printed(&self) -> serde_json::Value {
        serde_json::json!([
            self.equity,
            self.pnl_24h,
            self.drawdown,
            self.exposure,
            self.positions,
            self.signal,
            self.last_trade_time,
            self.last_signal.as_ref().map(|signal| &signal.time),
        ])
    }
}

impl Printed for AccountTrading {
    fn printed(&self) -> serde_json::Value {
        serde_json::json!([self.equity, self.pnl_24h, self.drawdown, self.exposure])
    }
}

impl Importance {
    /// Of a status and of the trades behind it.
    pub fn of<T: Printed>(status: &Status<T>, trades: impl Serialize) -> Self {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|c| serde_json::json!([c.type_, c.status, c.reason, c.observed_generation]))
            .collect();
        let messages: Vec<_> = status.conditions.iter().map(|c| &c.message).collect();
        Self {
            at_once: serde_json::json!([status.applied, conditions]),
            trades: serde_json::to_value(trades).unwrap_or_default(),
            printed: serde_json::json!([status.trading.as_ref().map(Printed::printed), messages]),
        }
    }
}

/// When the next write is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At once.
    Now,
    /// Not before then.
    At(Instant),
    /// Not at all as things are.
    Never,
}

/// The writes of one object.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    written: Option<(Importance, Instant)>,
    failures: u32,
    paused_until: Option<Instant>,
}

impl Pace {
    /// When it was last written.
    pub fn last(&self) -> Option<Instant> {
        self.written.as_ref().map(|(_, at)| *at)
    }

    /// Whether what matters at once is not as it was written.
    pub fn is_urgent(&self, next: &Importance) -> bool {
        self.written.as_ref().is_none_or(|(known, _)| known.at_once != next.at_once)
    }

    /// When it is tried again after a failure; at once when there was none.
    pub fn retry(&self, now: Instant) -> Due {
        match self.paused_until {
            Some(pause) if pause > now => Due::At(pause),
            _ => Due::Now,
        }
    }

    /// When this is to be written.
    pub fn due(&self, next: &Importance, now: Instant) -> Due {
        match (self.wanted(next, now), self.retry(now)) {
            (Due::Now, Due::At(pause)) => Due::At(pause),
            (Due::At(at), Due::At(pause)) => Due::At(at.max(pause)),
            (due, _) => due,
        }
    }

    fn wanted(&self, next: &Importance, now: Instant) -> Due {
        let Some((known, at)) = &self.written else { return Due::Now };
        let after = |span: Duration| if now >= *at + span { Due::Now } else { Due::At(*at + span) };
        if known.at_once != next.at_once {
            Due::Now
        } else if known.trades != next.trades {
            after(TRADES_EVERY)
        } else if known.printed != next.printed {
            after(FIGURES_EVERY)
        } else {
            Due::Never
        }
    }

    /// It was written, or need not be: the object is as it should be, or is gone.
    pub fn done(&mut self, what: Importance, now: Instant) {
        *self = Self { written: Some((what, now)), failures: 0, paused_until: None };
    }

    /// It could not be read or written. Tells whether it is the first time in a row.
    pub fn failed(&mut self, now: Instant) -> bool {
        let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        self.paused_until = Some(now + doubled.min(LONGEST_PAUSE));
        self.failures == 1
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn what(at_once: u32, trades: u32, printed: u32) -> Importance {
        Importance { at_once: json!(at_once), trades: json!(trades), printed: json!(printed) }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_kind_of_change_waits_as_long_as_it_may() {
        let start = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.due(&what(1, 1, 1), start), Due::Now, "the first");
        pace.done(what(1, 1, 1), start);
        let table = [
            ("nothing changed, however long", what(1, 1, 1), 3_600_000, Due::Never),
            ("a condition", what(2, 1, 1), 0, Due::Now),
            ("a trade, just after a write", what(1, 2, 1), 1, Due::At(start + millis(1_000))),
            ("a trade, a second later", what(1, 2, 2), 1_000, Due::Now),
            ("a figure", what(1, 1, 2), 59_999, Due::At(start + millis(60_000))),
            ("a figure, a minute later", what(1, 1, 2), 60_000, Due::Now),
            ("a condition beside figures", what(2, 2, 2), 1, Due::Now),
        ];
        for (case, next, elapsed, expected) in table {
            assert_eq!(pace.due(&next, start + millis(elapsed)), expected, "{case}");
        }
    }

    #[test]
    fn failures_are_paused_for_longer_each_time_up_to_a_minute_and_forgotten_by_a_success() {
        let start = Instant::now();
        let mut pace = Pace::default();
        let next = what(1, 1, 1);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            pace.failed(start);
            let until = start + Duration::from_secs(seconds);
            assert_eq!(pace.due(&next, start), Due::At(until));
            assert_eq!(pace.due(&next, until), Due::Now);
        }
        pace.done(next, start);
        assert_eq!(pace.due(&what(2, 1, 1), start), Due::Now);
        pace.failed(start);
        assert_eq!(pace.due(&what(2, 1, 1), start), Due::At(start + millis(1_000)));
        assert_eq!(pace.due(&what(1, 1, 1), start), Due::Never, "what is written needs no second attempt");
    }
}
