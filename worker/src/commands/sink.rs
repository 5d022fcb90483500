//! The backtest's sink: statistics, a digest of every decision, and, when asked for, every decision in words.

use std::io::Write;

use tradewind_core::config::FeeAsset;
use tradewind_core::decision::{Decision, Outcome, StrategyId};
use tradewind_core::engine::State;
use tradewind_core::event::{Record, Report};
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::money::Cash;
use tradewind_core::order::Fill;
use tradewind_core::time::{Millis, Timestamp};
use xxhash_rust::xxh3::Xxh3;

use crate::driver::{Observer, decision_row};
use crate::statistics::{Book, Execution, Statistics, StatisticsError};

/// Bytes digested at once: enough to be fast, few enough to stay in the processor's nearest cache until then.
const DIGEST_BLOCK: usize = 4 * 1024;

/// Watches a backtest.
pub struct Sink {
    account: Option<Book>,
    strategies: Vec<StrategyBook>,
    /// The only strategy, while all that happens to it is all that happens to the account.
    lone: Option<StrategyId>,
    bytes: Vec<u8>,
    hasher: Xxh3,
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
    /// None for one that is alone: the account's book is its book.
    book: Option<Book>,
}

impl Sink {
    /// A sink that has seen nothing; `trace` gets every decision as a line of JSON.
    pub fn new(trace: Option<Box<dyn Write>>) -> Self {
        Self {
            account: None,
            strategies: Vec::new(),
            lone: None,
            bytes: Vec::with_capacity(DIGEST_BLOCK + 1024),
            hasher: Xxh3::new(),
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
        let views = state.strategy_views();
        let alone = views.len() == 1;
        for view in views {
            let traded = |id: &&InstrumentId| {
                let symbol = state.rules(**id).map(|r| &r.symbol);
                view.config.instruments.iter().any(|listed| Some(&listed.symbol) == symbol)
            };
            let own: Vec<InstrumentId> = all.iter().filter(traded).copied().collect();
            let equity = state.equity_of(Some(view.id));
            if alone && own == all && equity == state.equity_of(None) {
                self.lone = Some(view.id);
            }
            self.strategies.push(StrategyBook {
                id: view.id,
                name: view.config.name.to_string(),
                book: self.lone.is_none().then(|| Book::new(start, equity, &own)),
                instruments: own,
            });
        }
    }

    /// A group of bars, which close at one time, has been taken in.
    #[inline]
    pub fn on_bars(&mut self, state: &State, bars: &[(InstrumentId, Bar)], interval: Millis) {
        let (equity, holds) = (state.equity_of(None), state.holds(None));
        let alone = |id: StrategyId| state.equity_of(Some(id)) == equity && state.holds(Some(id)) == holds;
        if !self.lone.is_some_and(alone) {
            self.on_own_bars(state, bars, interval);
        }
        let (Some(account), Some((_, first))) = (&mut self.account, bars.first()) else { return };
        let closes = bars.iter().map(|(id, bar)| (*id, bar.close));
        note(&mut self.fault, account.on_bars(first.close_time(interval), closes, equity, holds));
    }

    /// The bars in the books of the strategies. What was one book with the account's goes on from there as two.
    #[inline(never)]
    fn on_own_bars(&mut self, state: &State, bars: &[(InstrumentId, Bar)], interval: Millis) {
        if self.lone.take().is_some() {
            for own in &mut self.strategies {
                own.book.clone_from(&self.account);
            }
        }
        let Some((_, first)) = bars.first() else { return };
        let at = first.close_time(interval);
        for own in &mut self.strategies {
            let Some(book) = &mut own.book else { continue };
            let (equity, holds) = (state.equity_of(Some(own.id)), state.holds(Some(own.id)));
            let mine = bars.iter().filter(|(id, _)| own.instruments.contains(id));
            let closes = mine.map(|(id, bar)| (*id, bar.close));
            note(&mut self.fault, book.on_bars(at, closes, equity, holds));
        }
    }

    fn on_fill(&mut self, state: &State, fill: &Fill) {
        self.fills += 1;
        let fee_price: Option<Cash> = match &state.account().venue.fees().paid_in {
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
        if let Some(own) = self.strategies.iter_mut().find(|own| own.instruments.contains(&id))
            && let Some(book) = &mut own.book
        {
            note(&mut self.fault, book.on_fill(id, &execution).map(drop));
        }
    }

    #[cold]
    fn digest_block(&mut self) {
        self.hasher.update(&self.bytes);
        self.bytes.clear();
    }

    /// The digest of every decision so far, and what came of the account and of each strategy.
    pub fn finish(mut self) -> Result<Gathered, super::CommandError> {
        self.hasher.update(&self.bytes);
        if let Some(error) = self.fault {
            return Err(error.into());
        }
        if let Some(error) = self.trace_error {
            return Err(error.into());
        }
        if let Some(mut trace) = self.trace {
            trace.flush()?;
        }
        let account = self.account.as_ref().map(Book::statistics);
        let strategies = self.strategies.iter().filter_map(|own| {
            let book = own.book.as_ref().or(self.account.as_ref())?;
            Some((own.name.clone(), book.statistics()))
        });
        Ok(Gathered {
            strategies: strategies.collect(),
            account,
            decisions: self.decisions,
            digest: format!("{:032x}", self.hasher.digest128()),
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
    /// XXH3 of the decisions' canonical bytes, 128 bits in hexadecimal digits.
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
            Report::Decision(decision) => self.on_decision(state, decision),
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
    #[inline]
    fn on_decision(&mut self, state: &State, decision: &Decision) {
        decision.encode(&mut self.bytes);
        self.decisions += 1;
        if self.bytes.len() >= DIGEST_BLOCK {
            self.digest_block();
        }
        if let Outcome::Nothing(denial) = &decision.outcome {
            if let Some(account) = &mut self.account {
                account.on_denial(denial);
            }
            if self.lone.is_none()
                && let Some(own) = self.strategies.get_mut(decision.strategy.index())
                && let Some(book) = &mut own.book
            {
                book.on_denial(denial);
            }
        }
        if self.trace.is_some() {
            self.trace_decision(state, decision);
        }
    }

    #[cold]
    fn trace_decision(&mut self, state: &State, decision: &Decision) {
        let (Some(trace), Some(row)) = (&mut self.trace, decision_row(state, decision)) else { return };
        let written = serde_json::to_writer(&mut *trace, &row).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|()| trace.write_all(b"\n")) {
            self.trace_error.get_or_insert(error);
        }
    }
}

#[inline]
fn note(fault: &mut Option<StatisticsError>, result: Result<(), StatisticsError>) {
    if let Err(error) = result {
        fault.get_or_insert(error);
    }
}
