//! Figures that need more than one moment, or more than a snapshot: what a day brought, and what waits to be entered.
//!
//! The day is event time. Equity is kept at most each five minutes of it, so that 24 hours of an account of fifty
//! strategies take less than a megabyte whatever the bars are; with bars of five minutes and more the day is exact to the
//! bar. After a restart it begins at an end of a UTC day that the ledger knows, until 24 hours have been seen again.

use std::collections::{BTreeMap, VecDeque};

use tradewind_core::decision::StrategyId;
use tradewind_core::engine::{OrderView, State};
use tradewind_core::money::{Cash, Percent, Quantity};
use tradewind_core::name::Uid;
use tradewind_core::order::OrderKind;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::{EquityRow, LedgerError, LedgerReader};

/// The span the gain is told of.
const DAY: Millis = Millis(86_400_000);
/// Equity is kept at most so often.
const SLOT: i64 = 300_000;

/// What a strategy or the account is worth over the last day.
#[derive(Debug, Default)]
pub struct Figures {
    account: Trail,
    strategies: BTreeMap<Uid, Trail>,
    slot: Option<i64>,
}

/// The figures of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FiguresNow {
    /// Of the account.
    pub account: Figure,
    /// Of each strategy.
    pub strategies: BTreeMap<Uid, Figure>,
}

/// The figures of one moment of one strategy or the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figure {
    /// Gain over the last 24 hours, or since the beginning if that is later, of equity then; deposits and withdrawals
    /// are none. Absent while nothing is known of then.
    pub gain: Option<Percent>,
    /// Worth of open entries, as far as they are not filled.
    pub pending: Cash,
}

impl Figures {
    /// The figures of a worker that starts: the day as far as the ledger knows it.
    pub async fn recover(state: &State, ledger: &mut impl LedgerReader) -> Result<Self, LedgerError> {
        let mut figures = Self::default();
        let since = Timestamp(state.now().0.saturating_sub(2 * DAY.0));
        for (id, uid) in everyone(state) {
            let mut rows = Vec::new();
            // What a predecessor had was this one's before.
            for earlier in uid.iter().flat_map(|uid| state.predecessors_of(*uid)).rev() {
                rows.extend(ledger.equity(Some(earlier), since).await?);
            }
            rows.extend(ledger.equity(uid, since).await?);
            rows.sort_by_key(|row| row.at);
            let point =
                |row: EquityRow| Point { at: row.at, equity: row.equity, invested: state.invested_of(id) };
            figures.trail(uid).0.extend(rows.into_iter().map(point));
        }
        Ok(figures)
    }

    /// Takes in where everything stands; call it after each group of bars. Nearly always it does nothing.
    pub fn observe(&mut self, state: &State) {
        let now = state.now();
        let slot = now.0.div_euclid(SLOT);
        if self.slot.replace(slot) == Some(slot) {
            return;
        }
        for (id, uid) in everyone(state) {
            let point = Point { at: now, equity: state.equity_of(id), invested: state.invested_of(id) };
            self.succeed(state, uid);
            self.trail(uid).push(point);
        }
    }

    /// The figures as of now.
    pub fn now(&self, state: &State) -> FiguresNow {
        let orders = state.open_orders();
        let mut now = FiguresNow::default();
        for (id, uid) in everyone(state) {
            let point =
                Point { at: state.now(), equity: state.equity_of(id), invested: state.invested_of(id) };
            let trail = uid.map_or(Some(&self.account), |uid| self.strategies.get(&uid));
            let own = orders.iter().filter(|order| uid.is_none_or(|uid| order.intent.strategy == uid));
            let figure = Figure {
                gain: trail.and_then(|trail| trail.gain(&point)),
                pending: own
                    .fold(Cash::ZERO, |sum, order| Cash(sum.0.saturating_add(pending(state, order).0))),
            };
            match uid {
                None => now.account = figure,
                Some(uid) => drop(now.strategies.insert(uid, figure)),
            }
        }
        now
    }

    /// A strategy that took over goes on where its predecessor was.
    fn succeed(&mut self, state: &State, strategy: Option<Uid>) {
        let Some(uid) = strategy.filter(|uid| !self.strategies.contains_key(uid)) else { return };
        if let Some(trail) = state.predecessors_of(uid).first().and_then(|from| self.strategies.remove(from))
        {
            self.strategies.insert(uid, trail);
        }
    }

    fn trail(&mut self, strategy: Option<Uid>) -> &mut Trail {
        match strategy {
            None => &mut self.account,
            Some(uid) => self.strategies.entry(uid).or_default(),
        }
    }
}

/// The account and each strategy of the engine.
fn everyone(state: &State) -> impl Iterator<Item = (Option<StrategyId>, Option<Uid>)> {
    let strategies = (0..u16::MAX).map_while(|index| {
        let id = StrategyId(index);
        state.strategy_name(id).map(|(uid, _)| (Some(id), Some(uid)))
    });
    std::iter::once((None, None)).chain(strategies)
}

/// What an entry that is open would still cost.
fn pending(state: &State, order: &OrderView) -> Cash {
    let intent = &order.intent;
    if !intent.purpose.is_entry() {
        return Cash::ZERO;
    }
    let price = match intent.kind {
        OrderKind::Limit { price } | OrderKind::ImmediateOrCancel { price } => price,
        OrderKind::Market | OrderKind::Stop { .. } => intent.reference_price,
    };
    let left = Quantity(intent.quantity.0.saturating_sub(order.filled.0));
    let rules = (0..u16::MAX)
        .map_while(|index| state.rules(tradewind_core::instrument::InstrumentId(index)))
        .find(|rules| rules.symbol == intent.symbol);
    rules.and_then(|rules| rules.notional(price, left).ok()).unwrap_or_default()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    at: Timestamp,
    equity: Cash,
    invested: Cash,
}

/// Equity over the last day, oldest first; the first one may be older than a day, all others are younger.
#[derive(Debug, Default)]
struct Trail(VecDeque<Point>);

impl Trail {
    fn push(&mut self, point: Point) {
        self.0.push_back(point);
        let begin = Timestamp(point.at.0.saturating_sub(DAY.0));
        while self.0.get(1).is_some_and(|second| second.at <= begin) {
            self.0.pop_front();
        }
    }

    fn gain(&self, now: &Point) -> Option<Percent> {
        let begin = Timestamp(now.at.0.saturating_sub(DAY.0));
        let then = self.0.iter().take_while(|point| point.at <= begin).last().or(self.0.front())?;
        let made = |point: &Point| point.equity.0.saturating_sub(point.invested.0);
        let gain = Cash(made(now).saturating_sub(made(then)));
        (then.equity > Cash::ZERO).then(|| gain.percent_of(then.equity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn point(hours: i64, equity: &str, invested: &str) -> Point {
        let cash = |text| Cash::parse(text).unwrap();
        Point { at: Timestamp(hours * HOUR), equity: cash(equity), invested: cash(invested) }
    }

    #[test]
    fn the_gain_is_that_of_the_last_24_hours_and_of_a_younger_strategy_since_its_beginning() {
        let mut trail = Trail::default();
        assert_eq!(trail.gain(&point(0, "1000", "1000")), None);
        trail.push(point(0, "1000", "1000"));
        trail.push(point(1, "1100", "1000"));
        // 1100 to 1012: 88 less of 1100 are -8 %. Before, 12 more than 1000 are 1.2 %.
        assert_eq!(trail.gain(&point(24, "1012", "1000")), Some(Percent(12_000)));
        trail.push(point(24, "1012", "1000"));
        assert_eq!(trail.gain(&point(25, "1012", "1000")), Some(Percent(-80_000)));
        trail.push(point(25, "1012", "1000"));
        assert_eq!(trail.0.len(), 3, "what is older than the last day is forgotten but for its edge");
    }

    #[test]
    fn a_gap_begins_the_day_at_the_last_known_before_it() {
        let mut trail = Trail::default();
        for (hours, equity) in [(0, "100"), (10, "200"), (40, "220")] {
            trail.push(point(hours, equity, "100"));
        }
        // 24 hours before hour 40 is hour 16: what was known then is hour 10. 20 of 200 are 10 %.
        assert_eq!(trail.gain(&point(40, "220", "100")), Some(Percent(100_000)));
    }

    #[test]
    fn a_deposit_is_no_gain() {
        let mut trail = Trail::default();
        trail.push(point(0, "1000", "1000"));
        assert_eq!(trail.gain(&point(1, "1550", "1500")), Some(Percent(50_000)), "50 of 1000");
        let mut empty = Trail::default();
        empty.push(point(0, "0", "0"));
        assert_eq!(empty.gain(&point(1, "100", "100")), None, "there is no percentage of nothing");
    }
}
