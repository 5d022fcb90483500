//! The worker's driver in this process, on real ledger and venue, with a ledger that fails when told to.

use std::path::Path;

use tradewind_core::config::{Config, VenueConfig};
use tradewind_core::engine::{InstrumentSpec, State};
use tradewind_core::event::{Record, Report};
use tradewind_core::halt::Halt;
use tradewind_core::instrument::{Bar, InstrumentId};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::{History, LedgerIdentity};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_ledger::{
    BalanceRow, Batch, ChainHead, Committed, DecisionFilter, DecisionRow, EquityRow, Ledger, LedgerError,
    LedgerReader, OutcomeCount, Pruned, SqliteLedger, SqliteOptions, TradeRow,
};
use tradewind_venues::{PaperVenue, VenueError};
use tradewind_worker::assembly::{Assembly, search_dirs};
use tradewind_worker::driver::{Driver, DriverError, Journal, Observer, Start};
use tradewind_worker::feed::{Feed, Grouped};
use tradewind_worker::market_data::Bounds;

/// Bars that close at one time.
pub type Group = Vec<(InstrumentId, Bar)>;

/// What the reports and records of an engine look like, in order.
#[derive(Debug, Default)]
pub struct Watched(pub Vec<String>);

impl Observer for Watched {
    fn on_report(&mut self, _: &State, report: &Report) {
        self.0.push(serde_json::to_string(report).unwrap());
    }

    fn on_record(&mut self, _: &State, record: &Record) {
        self.0.push(serde_json::to_string(record).unwrap());
    }
}

/// When a commit fails, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fails {
    /// Nothing of it is durable.
    Before,
    /// It is durable, and nobody hears of it.
    After,
}

/// Looks at each batch and says whether it fails. It is asked once for each commit of the whole run, restarts included.
pub type Fault = Box<dyn FnMut(&Batch<'_>) -> Option<Fails>>;

/// A ledger that fails as its fault says; a driver must then be dropped, as after a crash.
pub struct Faulty {
    ledger: SqliteLedger,
    fault: std::rc::Rc<std::cell::RefCell<Fault>>,
}

/// What a run inside this process needs, from the files of a desk.
pub struct Inside {
    /// Configuration as resolved.
    pub config: Config,
    /// Instruments of the feed.
    pub instruments: Vec<InstrumentSpec>,
    /// Length of a bar.
    pub interval: Millis,
    /// All bars.
    pub groups: Vec<Group>,
}

impl Inside {
    /// From YAML and candles.
    pub fn load(file: &Path) -> Self {
        let files = [file.to_path_buf()];
        let assembly = Assembly::load(&files, None, &search_dirs(&[], &files)).unwrap();
        let interval = assembly.data.bar();
        let mut feed = Grouped::new(assembly.merge(Bounds::default()).unwrap(), interval);
        let (mut groups, mut group) = (Vec::new(), Vec::new());
        while feed.next_group(&mut group) {
            groups.push(group.clone());
        }
        assert!(feed.failures().is_empty(), "the candles of a test are sound");
        Self { config: assembly.config, instruments: assembly.instruments, interval, groups }
    }

    fn rules(&self) -> Vec<tradewind_core::instrument::InstrumentRules> {
        self.instruments.iter().map(|i| i.rules.clone()).collect()
    }

    /// Who the orders of a run without a ledger belong to.
    pub fn identity() -> LedgerIdentity {
        LedgerIdentity { incarnation: Incarnation(7), epoch: Epoch(1) }
    }

    /// An engine and a venue that forget everything, ready for the first bar.
    pub async fn in_memory<O: Observer>(&self, observer: O) -> Driver<SqliteLedger, PaperVenue, O> {
        let VenueConfig::Paper(paper) = &self.config.account.venue else { panic!("a desk on paper") };
        let quote = &self.config.account.quote_currency;
        let start = Start {
            config: self.config.clone(),
            instruments: self.instruments.clone(),
            ledger: None,
            identity: Self::identity(),
            venue: PaperVenue::in_memory(paper, quote, &self.rules()).unwrap(),
            lease: Millis(0),
            journal: Journal::forgetting().recording(),
            observer,
        };
        let mut driver = Driver::recover(start).await.unwrap();
        driver.settle(self.config.clone(), self.groups[0][0].1.open_time).await.unwrap();
        driver
    }

    /// Ledger and venue of a data directory, as a start finds them; nothing is settled yet.
    pub async fn open<O: Observer>(
        &self,
        data_dir: &Path,
        observer: O,
        fault: &std::rc::Rc<std::cell::RefCell<Fault>>,
    ) -> Result<Driver<Faulty, PaperVenue, O>, DriverError> {
        std::fs::create_dir_all(data_dir).unwrap();
        let account = &self.config.account;
        let options = SqliteOptions {
            account: account.uid,
            account_name: account.name.clone(),
            owner: "a test".to_owned(),
            now: Timestamp(0),
            incarnation: Incarnation(7),
            max_bytes: None,
        };
        let ledger = SqliteLedger::open(&data_dir.join("ledger.db"), &options).await?;
        let VenueConfig::Paper(paper) = &account.venue else { panic!("a desk on paper") };
        let path = data_dir.join("paper.db");
        let venue = PaperVenue::open(&path, paper, &account.quote_currency, &self.rules()).await;
        let venue = venue.map_err(VenueError::from)?;
        let start = Start {
            config: self.config.clone(),
            instruments: self.instruments.clone(),
            identity: ledger.identity(),
            ledger: Some(Faulty { ledger, fault: fault.clone() }),
            venue,
            lease: Millis(0),
            journal: Journal::keeping(self.rules()).recording(),
            observer,
        };
        Driver::recover(start).await
    }

    /// Goes on from where the ledger stands, to the end or to the first fault. As `run` does it: the bars seen before warm
    /// the indicators up, open orders are settled, then come the bars not yet seen.
    pub async fn go_on<O: Observer>(
        &self,
        driver: &mut Driver<Faulty, PaperVenue, O>,
        until: Option<usize>,
    ) -> Result<(), DriverError> {
        let seen = driver.positions().to_vec();
        let is_seen =
            |id: InstrumentId, bar: &Bar| seen[id.index()].is_some_and(|last| bar.open_time <= last);
        let groups = &self.groups[..until.unwrap_or(self.groups.len())];
        for (id, bar) in groups.iter().flatten().filter(|(id, bar)| is_seen(*id, bar)) {
            driver.warm_up(*id, bar);
        }
        let left = groups
            .iter()
            .map(|group| group.iter().filter(|(id, bar)| !is_seen(*id, bar)).copied().collect::<Group>());
        let mut left = left.filter(|group| !group.is_empty()).peekable();
        let start = left.peek().map_or(Timestamp(0), |group| group[0].1.open_time);
        driver.settle(self.config.clone(), start).await?;
        for group in left {
            driver.on_bars(&group, self.interval).await?;
        }
        driver.flush().await
    }

    /// Runs to the end of the data, starting anew after each fault. Returns how often it was started.
    pub async fn to_the_end(&self, data_dir: &Path, fault: Fault) -> usize {
        let fault = std::rc::Rc::new(std::cell::RefCell::new(fault));
        for starts in 1..10_000 {
            let started = self.open(data_dir, Watched::default(), &fault).await;
            let mut driver = started.unwrap_or_else(|error| panic!("start {starts}: {error}"));
            match self.go_on(&mut driver, None).await {
                Ok(()) => {
                    driver.finish().await.unwrap();
                    return starts;
                }
                Err(DriverError::Ledger(LedgerError::Fenced { .. })) => drop(driver),
                Err(error) => panic!("start {starts}: {error}"),
            }
        }
        panic!("it never comes to its end");
    }
}

/// No fault at all.
pub fn never() -> Fault {
    Box::new(|_| None)
}

/// What a driver is told when the fault strikes; it does not matter what, only that nobody else says it here.
fn struck() -> LedgerError {
    LedgerError::Fenced { ours: Epoch(0), theirs: Epoch(0) }
}

impl LedgerReader for Faulty {
    async fn history(&mut self) -> Result<History, LedgerError> {
        self.ledger.history().await
    }

    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError> {
        self.ledger.decisions(filter).await
    }

    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError> {
        self.ledger.outcomes().await
    }

    async fn fill_counts(&mut self) -> Result<Vec<(smol_str::SmolStr, u64)>, LedgerError> {
        self.ledger.fill_counts().await
    }

    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError> {
        self.ledger.trades(limit).await
    }

    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError> {
        self.ledger.equity(strategy, since).await
    }

    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError> {
        self.ledger.symbols().await
    }

    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError> {
        self.ledger.halts().await
    }

    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError> {
        self.ledger.balances().await
    }

    async fn head(&mut self) -> Result<ChainHead, LedgerError> {
        self.ledger.head().await
    }

    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError> {
        self.ledger.contains(head).await
    }
}

impl Ledger for Faulty {
    fn identity(&self) -> LedgerIdentity {
        self.ledger.identity()
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError> {
        let fails = (self.fault.borrow_mut())(batch);
        if fails == Some(Fails::Before) {
            return Err(struck());
        }
        let committed = self.ledger.commit(batch).await?;
        if fails == Some(Fails::After) { Err(struck()) } else { Ok(committed) }
    }

    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError> {
        self.ledger.prune(before).await
    }
}
