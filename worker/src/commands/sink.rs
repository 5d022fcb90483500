//! The backtest's sink: statistics, a digest of every decision, and, when asked for, every decision in words.

use std::io::Write;

use tradewind_core::config::{FeeAsset, VenueConfig};
use tradewind_core::decision::{Outcome, StrategyId};
use tradewind_core::engine::State;
use tradewind_core::event::{Record, Report};
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::Cash;
use tradewind_core::order::Fill;
use tradewind_core::time::{Millis, Timestamp};

use crate::driver::{Observer, decision_row};
use crate::statistics::{Book, Execution, Statistics, StatisticsError};

/// Bytes gathered before they are digested.
const DIGEST_BUFFER: usize = 64 * 1024;

/// Watches a backtest.
pub struct Sink {
    account: Option<Book>,
    strategies: Vec<StrategyBook>,
    bytes: Vec<u8>,
    hasher: blake3::Hasher,
    /// Decisions digested.
    pub decisions: u64,
    /// Fills seen.
    pub fills: u64,
    /// The first thing that went wrong; statistics after it are not complete.
    fault: Option<StatisticsError>,
    trace: Option<Box<dyn Write>>,
    trace_error: Option<std::io::Error>,
    money_faults: Vec<String>,
}

struct StrategyBook {
    id: StrategyId,
    name: String,
    instruments: Vec<InstrumentId>,
    book: Book,
}

impl Sink {
    /// A sink that has seen nothing; `trace` gets every decision as a line of JSON.
    pub fn new(trace: Option<Box<dyn Write>>) -> Self {
        Self {
            account: None,
            strategies: Vec::new(),
            bytes: Vec::with_capacity(DIGEST_BUFFER + 1024),
            hasher: blake3::Hasher::new(),
            decisions: 0,
            fills: 0,
            fault: None,
            trace,
            trace_error: None,
            money_faults: Vec::new(),
        }
    }

    /// Opens the books at the first bar, with equity as it stands.
    pub fn open(&mut self, state: &State, start: Timestamp, instruments: usize) {
        let all: Vec<InstrumentId> =
            (0..instruments).filter_map(|i| u16::try_from(i).ok().map(InstrumentId)).collect();
        self.account = Some(Book::new(start, state.equity_of(None), &all));
        for view in state.strategy_views() {
            let traded = |id: &&InstrumentId| {
                let symbol = state.rules(**id).map(|r| &r.symbol);
                view.config.instruments.iter().any(|listed| Some(&listed.symbol) == symbol)
            };
            let own: Vec<InstrumentId> = all.iter().filter(traded).copied().collect();
            let book = Book::new(start, state.equity_of(Some(view.id)), &own);
            self.strategies.push(StrategyBook {
                id: view.id,
                name: view.config.name.to_string(),
                instruments: own,
                book,
            });
        }
    }

    /// A group of bars has been taken in.
    #[inline]
    pub fn on_bars(&mut self, state: &State, bars: &[(InstrumentId, Bar)], interval: Millis) {
        for (id, bar) in bars {
            let at = bar.close_time(interval);
            if let Some(book) = &mut self.account {
                let result = book.on_bar(*id, at, bar.close, state.equity_of(None), state.holds(None));
                note(&mut self.fault, result);
            }
            for own in self.strategies.iter_mut().filter(|own| own.instruments.contains(id)) {
                let (equity, holds) = (state.equity_of(Some(own.id)), state.holds(Some(own.id)));
                note(&mut self.fault, own.book.on_bar(*id, at, bar.close, equity, holds));
            }
        }
    }

    fn on_fill(&mut self, state: &State, fill: &Fill) {
        self.fills += 1;
        let VenueConfig::Paper(paper) = &state.account().venue;
        let fee_price: Option<Cash> = match &paper.fees.paid_in {
            FeeAsset::Other { asset, price } if *asset == fill.fee.asset => Some(*price),
            _ => None,
        };
        let ids = (0..u16::MAX).map(InstrumentId).map_while(|id| state.rules(id).map(|rules| (id, rules)));
        let Some((id, rules)) = ids.into_iter().find(|(_, rules)| rules.symbol == fill.symbol) else {
            return;
        };
        let execution = match Execution::of(fill, rules, fee_price) {
            Ok(execution) => execution,
            Err(error) => return note(&mut self.fault, Err(error)),
        };
        if let Some(book) = &mut self.account {
            note(&mut self.fault, book.on_fill(id, &execution).map(drop));
        }
        // One strategy alone trades a base asset of an account.
        if let Some(own) = self.strategies.iter_mut().find(|own| own.instruments.contains(&id)) {
            note(&mut self.fault, own.book.on_fill(id, &execution).map(drop));
        }
    }

    fn digest(&mut self) {
        self.hasher.update(&self.bytes);
        self.bytes.clear();
    }

    /// The digest of every decision so far, and what came of the account and of each strategy.
    pub fn finish(mut self) -> Result<Gathered, super::CommandError> {
        self.digest();
        if let Some(error) = self.fault {
            return Err(error.into());
        }
        if let Some(error) = self.trace_error {
            return Err(error.into());
        }
        if let Some(mut trace) = self.trace {
            trace.flush()?;
        }
        Ok(Gathered {
            account: self.account.as_ref().map(Book::statistics),
            strategies: self.strategies.iter().map(|own| (own.name.clone(), own.book.statistics())).collect(),
            decisions: self.decisions,
            digest: self.hasher.finalize().to_hex().to_string(),
            fills: self.fills,
            money_faults: self.money_faults,
        })
    }
}

/// What a sink has gathered.
#[derive(Debug)]
pub struct Gathered {
    /// The account; none when there was no bar.
    pub account: Option<Statistics>,
    /// Each strategy by name.
    pub strategies: Vec<(String, Statistics)>,
    /// Decisions made.
    pub decisions: u64,
    /// BLAKE3 of the decisions' canonical bytes.
    pub digest: String,
    /// Fills.
    pub fills: u64,
    /// Amounts that could not be computed; nothing was done on them.
    pub money_faults: Vec<String>,
}

impl Observer for Sink {
    #[inline]
    fn on_report(&mut self, state: &State, report: &Report) {
        match report {
            Report::Decision(decision) => {
                decision.encode(&mut self.bytes);
                self.decisions += 1;
                if self.bytes.len() >= DIGEST_BUFFER {
                    self.digest();
                }
                if let Outcome::Nothing(denial) = &decision.outcome {
                    if let Some(book) = &mut self.account {
                        book.on_denial(denial);
                    }
                    if let Some(own) = self.strategies.get_mut(decision.strategy.index()) {
                        own.book.on_denial(denial);
                    }
                }
                if self.trace.is_some() {
                    self.trace_decision(state, decision);
                }
            }
            Report::MoneyFault { message } => self.money_faults.push(message.clone()),
            _ => {}
        }
    }

    #[inline]
    fn on_record(&mut self, state: &State, record: &Record) {
        if let Record::Fill { fill, .. } = record {
            self.on_fill(state, fill);
        }
    }
}

impl Sink {
    fn trace_decision(&mut self, state: &State, decision: &tradewind_core::decision::Decision) {
        let (Some(trace), Some(row)) = (&mut self.trace, decision_row(state, decision)) else { return };
        let written = serde_json::to_writer(&mut *trace, &row).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|()| trace.write_all(b"\n")) {
            self.trace_error.get_or_insert(error);
        }
    }
}

fn note(fault: &mut Option<StatisticsError>, result: Result<(), StatisticsError>) {
    if let Err(error) = result {
        fault.get_or_insert(error);
    }
}
