//! What waits to become durable, and how it is put into words.

use std::collections::BTreeMap;
use std::time::Instant;

use smol_str::SmolStr;
use tradewind_core::decision::{Decision, Outcome};
use tradewind_core::engine::State;
use tradewind_core::event::{EquityPoint, Event, Record, Report};
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::Quantity;
use tradewind_core::name::Uid;
use tradewind_core::signal::reading_names;
use tradewind_ledger::{Batch, DecisionRow, EquityRow, Ledger, LedgerError};
use tradewind_venues::histogram::Histogram;
use tradewind_venues::port::FillCursor;

use crate::measures::CommitTimes;

/// Rows that wait for the next commit.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whether rows are kept at all; a backtest has no ledger to put them in.
    keep: bool,
    records: Vec<Record>,
    decisions: Vec<DecisionRow>,
    equity: Vec<EquityRow>,
    rules: Vec<InstrumentRules>,
    names: Vec<(Uid, SmolStr)>,
    /// Whether anything happened since the last commit that a restart must know of, be it only a bar.
    dirty: bool,
    /// How far the venue's fills were taken in.
    pub(super) fill_cursor: FillCursor,
    /// TradingHalt objects of the halts in force, by name.
    pub(super) published: BTreeMap<SmolStr, Uid>,
    /// Every event, when a test asks for them.
    events: Option<Vec<Event>>,
    /// Commits made, by the time they took.
    pub commits: Histogram<CommitTimes>,
}

impl Journal {
    /// Keeps rows for a ledger of these instruments.
    pub fn keeping(rules: Vec<InstrumentRules>) -> Self {
        Self { keep: true, rules, ..Self::default() }
    }

    /// Keeps nothing.
    pub fn forgetting() -> Self {
        Self::default()
    }

    /// Notes that the next trade of a venue that numbers them in one row was taken in.
    #[inline]
    pub(super) fn count_fill(&mut self) {
        if let FillCursor::Sequence(number) = &mut self.fill_cursor {
            *number += 1;
        }
    }

    /// Also keeps every event the engine is told, for replays.
    #[must_use]
    pub fn recording(self) -> Self {
        Self { events: Some(Vec::new()), ..self }
    }

    /// The events recorded so far.
    pub fn events(&self) -> &[Event] {
        self.events.as_deref().unwrap_or_default()
    }

    #[inline]
    pub(super) fn record_event(&mut self, event: &Event) {
        self.dirty = true;
        if let Some(events) = &mut self.events {
            events.push(event.clone());
        }
    }

    /// Whether every event is kept.
    #[inline]
    pub(super) fn is_recording(&self) -> bool {
        self.events.is_some()
    }

    /// Something happened that a restart must know of.
    #[inline]
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Whether rows wait: the passing of time alone is not worth a commit.
    pub(super) fn has_rows(&self) -> bool {
        !(self.records.is_empty() && self.decisions.is_empty() && self.equity.is_empty())
    }

    /// Decisions that wait.
    pub(super) fn waiting(&self) -> usize {
        self.decisions.len()
    }

    #[inline]
    pub(super) fn push_record(&mut self, record: impl FnOnce() -> Record) {
        if self.keep {
            self.records.push(record());
        }
    }

    #[inline]
    pub(super) fn push_report(&mut self, state: &State, report: &Report) {
        if self.keep {
            self.keep_report(state, report);
        }
    }

    fn keep_report(&mut self, state: &State, report: &Report) {
        match report {
            Report::Decision(decision) => self.decisions.extend(decision_row(state, decision)),
            Report::Equity(point) => self.equity.extend(equity_row(state, point)),
            _ => {}
        }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.decisions.clear();
        self.equity.clear();
        self.dirty = false;
    }

    pub(super) async fn commit<L: Ledger>(
        &mut self,
        ledger: &mut L,
        state: &State,
    ) -> Result<(), LedgerError> {
        if !self.dirty {
            return Ok(());
        }
        let started = Instant::now();
        let mut checkpoint = state.checkpoint();
        checkpoint.fill_cursor = self.fill_cursor.clone();
        checkpoint.published = self.published.iter().map(|(name, uid)| (name.clone(), *uid)).collect();
        self.name_strategies(state);
        let batch = Batch {
            records: &self.records,
            decisions: &self.decisions,
            equity: &self.equity,
            checkpoint: Some(&checkpoint),
            rules: &self.rules,
            names: &self.names,
        };
        ledger.commit(&batch).await?;
        self.clear();
        self.commits.observe_time(started.elapsed());
        Ok(())
    }

    fn name_strategies(&mut self, state: &State) {
        let mut views = 0;
        while let Some((uid, name)) = u16::try_from(views)
            .ok()
            .and_then(|id| state.strategy_name(tradewind_core::decision::StrategyId(id)))
        {
            match self.names.get_mut(views) {
                // Another has taken over from it.
                Some(known) => known.0 = uid,
                None => self.names.push((uid, name.into())),
            }
            views += 1;
        }
    }
}

/// A decision in the words of the ledger; none when the engine does not know who made it.
pub fn decision_row(state: &State, decision: &Decision) -> Option<DecisionRow> {
    let (strategy, name) = state.strategy_name(decision.strategy)?;
    let rules = state.rules(decision.instrument)?;
    let config = state.strategy_config(decision.strategy)?;
    let (outcome, detail, intent) = outcome_words(state, strategy, rules, &decision.outcome);
    Some(DecisionRow {
        at: decision.at,
        bar: decision.bar,
        strategy,
        strategy_name: name.into(),
        symbol: rules.symbol.clone(),
        side: decision.signal.map(|s| s.side),
        confidence: decision.signal.map(|s| s.confidence),
        close: rules.price_text(decision.close).into(),
        position: rules.quantity_text(decision.position).into(),
        readings: readings_json(reading_names(config.signal), decision),
        stage: SmolStr::new_static(decision.stage().into()),
        outcome: SmolStr::new_static(outcome),
        detail,
        intent,
    })
}

/// The code of an outcome, one sentence on it, and its intent. `state` is as it was when it came out.
pub fn outcome_words(
    state: &State,
    strategy: Uid,
    rules: &InstrumentRules,
    outcome: &Outcome,
) -> (&'static str, String, Option<tradewind_core::order::IntentId>) {
    match outcome {
        Outcome::Enter { intent, quantity } => {
            let text = format!("buy {} {}", rules.quantity_text(*quantity), rules.symbol.base());
            ("Enter", text, Some(*intent))
        }
        Outcome::Exit { quantity: Quantity(0) } => {
            ("Exit", "call off the entry that is open".to_owned(), None)
        }
        Outcome::Exit { quantity } => {
            let text = format!("sell {} {}", rules.quantity_text(*quantity), rules.symbol.base());
            ("Exit", text, None)
        }
        Outcome::Nothing(denial) => (denial.code(), state.denial_text(strategy, &rules.symbol, denial), None),
    }
}

fn readings_json(names: &[&str], decision: &Decision) -> String {
    let pairs = names.iter().zip(decision.readings.0).map(|(name, value)| {
        if value.is_finite() { format!("\"{name}\":{value}") } else { format!("\"{name}\":null") }
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

fn equity_row(state: &State, point: &EquityPoint) -> Option<EquityRow> {
    let (strategy, strategy_name) = match point.strategy {
        None => (None, state.account().name.clone()),
        Some(id) => {
            let (uid, name) = state.strategy_name(id)?;
            (Some(uid), name.into())
        }
    };
    Some(EquityRow {
        strategy,
        strategy_name,
        at: point.at,
        equity: point.equity,
        cash: point.cash,
        reference: point.reference,
        exposure: point.exposure,
    })
}
