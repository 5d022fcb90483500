//! From files to something that can run: objects, their market data, and the resolved configuration.
//!
//! The one place where YAML, the data set and `resolve` meet; `run`, `backtest` and `validate` start here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use smol_str::SmolStr;
use tradewind_core::config::{Config, MarketDataConfig, ResolvedAccount, ResolvedStrategy};
use tradewind_core::engine::InstrumentSpec;
use tradewind_core::halt::Halt;
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::money::Cash;
use tradewind_core::name::{Asset, Symbol, Uid};
use tradewind_core::time::Millis;
use tradewind_crds::exchange_account::Venue;
use tradewind_crds::load::{self, Loaded};
use tradewind_crds::objects::{Key, Kind, Objects};
use tradewind_crds::problem::Problems;
use tradewind_crds::resolve::{
    Catalog, data_set, local_grants, resolve, resolve_account, unattached, validate,
};
use tradewind_crds::trading_strategy::TradingStrategy;

use crate::market_data::{Bounds, CandleReader, DataSet, MarketDataError, Merge, Source};

/// What messages call the market data of a venue itself.
pub const VENUE: &str = "of the venue";

/// Why nothing can be started.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// What people wrote cannot be run; every problem is listed.
    #[error("{0}")]
    Problems(Problems),
    /// The files name no account, or several.
    #[error("{0}")]
    Account(String),
    /// The data set is missing or broken.
    #[error(transparent)]
    MarketData(#[from] MarketDataError),
}

/// Everything a run needs, from files.
#[derive(Debug)]
pub struct Assembly {
    /// The account and its runnable strategies.
    pub config: Config,
    /// Halts the files declare.
    pub halts: Vec<Halt>,
    /// Problems of strategies that do not run.
    pub problems: Problems,
    /// Strategies that are in the files and cannot be run as they stand there.
    pub unresolved: BTreeSet<Uid>,
    /// Whether all that is in the files could be told what it is. Else what is missing may be there.
    pub whole: bool,
    /// Where bars come from.
    pub data: Market,
    /// Instruments of the feed: those the strategies name, in the data set's order; of a venue's own, all it offers.
    pub instruments: Vec<InstrumentSpec>,
}

/// Where the bars of an account come from.
#[derive(Debug, Clone)]
pub enum Market {
    /// A data set.
    Recorded(DataSet),
    /// The venue itself, which is asked for candles of that length.
    Venue {
        /// Length of the candles.
        bar: Millis,
    },
}

impl Market {
    /// What that configuration says; a data set is looked for in those folders.
    pub fn of(config: &MarketDataConfig, dirs: &[PathBuf]) -> Result<Self, MarketDataError> {
        match config {
            MarketDataConfig::Replay { data_set, .. } => DataSet::find(data_set, dirs).map(Self::Recorded),
            MarketDataConfig::Venue { bar } => Ok(Self::Venue { bar: *bar }),
        }
    }

    /// Length of the bars.
    pub fn bar(&self) -> Millis {
        match self {
            Self::Recorded(data) => data.bar(),
            Self::Venue { bar } => *bar,
        }
    }

    /// The data set, if it is one.
    pub fn recorded(&self) -> Option<&DataSet> {
        match self {
            Self::Recorded(data) => Some(data),
            Self::Venue { .. } => None,
        }
    }
}

/// What an account is assembled with beside its files.
#[derive(Debug)]
pub struct Offer {
    /// Where bars come from.
    pub data: Market,
    /// What can be traded, with the venue's rules.
    pub instruments: Vec<InstrumentRules>,
    /// Its money, where it is real; on paper the account says it itself.
    pub found: Option<Cash>,
}

/// The objects of the files and the account to trade on.
#[derive(Debug)]
pub struct Chosen {
    loaded: Loaded,
    key: Key,
}

impl Chosen {
    /// Reads the files.
    pub fn read(files: &[PathBuf], account: Option<&str>) -> Result<Self, AssemblyError> {
        let loaded = load::files(files);
        let key = choose_account(&loaded.objects, account, &loaded.problems)?;
        Ok(Self { loaded, key })
    }

    /// The account alone, for what must be known before its strategies can be resolved.
    pub fn account(&self) -> Result<ResolvedAccount, AssemblyError> {
        resolve_account(&self.loaded.objects, &self.key).map_err(AssemblyError::Problems)
    }

    /// Whether the account is on paper.
    pub fn is_paper(&self) -> bool {
        let account = self.loaded.objects.account(&self.key);
        account.is_some_and(|account| matches!(account.spec.venue, Venue::Paper(_)))
    }

    /// The data set the account replays; none if its bars are its venue's.
    pub fn recorded(&self, dirs: &[PathBuf]) -> Result<Option<DataSet>, AssemblyError> {
        let account = self.loaded.objects.account(&self.key);
        let Some(account) = account else {
            return Err(AssemblyError::Problems(self.loaded.problems.clone()));
        };
        data_set(account).map(|name| DataSet::find(name, dirs)).transpose().map_err(AssemblyError::from)
    }

    /// Resolves. With problems in the account nothing runs; a strategy's problems stop that strategy alone.
    pub fn assemble(self, offer: Offer) -> Result<Assembly, AssemblyError> {
        let Self { loaded: Loaded { objects, problems, unidentified }, key } = self;
        let Offer { data, instruments, found } = offer;
        let catalog = catalog_of(&data, &instruments);
        let grants = local_grants(&objects, &key, Some(&catalog), found);
        let resolution = resolve(&objects, &key, &grants, Some(&catalog));
        let mut all = objects.located(resolution.problems());
        all.extend(unattached(&objects));
        let strategies = resolution.runnable();
        let failed =
            resolution.strategies.iter().filter(|(_, resolved)| resolved.is_err()).map(|(uid, _)| *uid);
        let unread = objects.unreadable.iter().filter(|id| id.kind == Kind::TradingStrategy);
        let unread = unread.map(|id| Uid(load::uid(id.kind, &id.key)));
        let unresolved = failed.chain(unread).chain(astray(&objects)).collect();
        let Ok(account) = resolution.account else {
            all.extend(problems);
            return Err(AssemblyError::Problems(all));
        };
        all.extend(problems);
        if strategies.is_empty() && !all.is_empty() {
            return Err(AssemblyError::Problems(all));
        }
        let config = Config { account, strategies };
        let interval = data.bar();
        let rules = instruments.into_iter().filter(|rules| match data {
            Market::Recorded(_) => is_traded(&config, &rules.symbol),
            Market::Venue { .. } => true,
        });
        let instruments = rules.map(|rules| InstrumentSpec { rules, interval }).collect();
        let (halts, whole) = (resolution.halts, !unidentified);
        Ok(Assembly { config, halts, problems: all, unresolved, whole, data, instruments })
    }
}

/// Where data sets are looked for: the folders given, then `data` beside each file and below the present folder.
pub fn search_dirs(given: &[PathBuf], files: &[PathBuf]) -> Vec<PathBuf> {
    let mut dirs = given.to_vec();
    for file in files {
        let parent = if file.is_dir() { file.as_path() } else { file.parent().unwrap_or(Path::new(".")) };
        dirs.push(parent.join("data"));
    }
    dirs.push(PathBuf::from("examples/data"));
    dirs.dedup();
    dirs
}

impl Assembly {
    /// Loads and resolves an account on recorded bars. With problems in the account nothing runs; a strategy's problems
    /// stop that strategy alone.
    pub fn load(files: &[PathBuf], account: Option<&str>, dirs: &[PathBuf]) -> Result<Self, AssemblyError> {
        let chosen = Chosen::read(files, account)?;
        match chosen.recorded(dirs)? {
            Some(data) => Self::recorded(chosen, data),
            None => Err(AssemblyError::Account(format!(
                "account {} takes its bars from its venue, as they come; name an account that replays a data set",
                chosen.key.name
            ))),
        }
    }

    /// The account on the bars of that data set.
    pub fn recorded(chosen: Chosen, data: DataSet) -> Result<Self, AssemblyError> {
        let instruments = data.instruments().to_vec();
        chosen.assemble(Offer { data: Market::Recorded(data), instruments, found: None })
    }

    /// Adds instruments the ledger knows of but no strategy names any more: what was traded in them must be folded, and
    /// what is held of them must be priced.
    pub fn include(&mut self, symbols: &[Symbol]) -> Result<(), MarketDataError> {
        let Market::Recorded(data) = &self.data else { return Ok(()) };
        for symbol in symbols {
            data.rules(symbol)?;
        }
        let wanted = |rules: &&InstrumentRules| {
            symbols.contains(&rules.symbol) || self.instruments.iter().any(|i| i.rules.symbol == rules.symbol)
        };
        let interval = data.bar();
        let specs = data.instruments().iter().filter(wanted);
        self.instruments = specs.map(|rules| InstrumentSpec { rules: rules.clone(), interval }).collect();
        Ok(())
    }

    /// Of strategies that hold something and are not configured, those that are in the files all the same, or may be, go on
    /// without entries, as they last were: a slip of the pen must not have anything cancelled or sold. Returns their names.
    pub fn keep(&mut self, held: Vec<ResolvedStrategy>) -> Vec<SmolStr> {
        let stays = |strategy: &ResolvedStrategy| !self.whole || self.unresolved.contains(&strategy.uid);
        let kept: Vec<_> = held.into_iter().filter(stays).map(ResolvedStrategy::without_entries).collect();
        let names = kept.iter().map(|strategy| strategy.name.clone()).collect();
        let bases = |strategy: &ResolvedStrategy| -> BTreeSet<Asset> {
            strategy.instruments.iter().map(|listed| listed.symbol.base().clone()).collect()
        };
        let taken: BTreeSet<Asset> = kept.iter().flat_map(bases).collect();
        for strategy in &mut self.config.strategies {
            // An asset is one strategy's at a time.
            if !bases(strategy).is_disjoint(&taken) {
                *strategy = strategy.clone().without_entries();
            }
        }
        self.config.strategies.extend(kept);
        names
    }

    /// A feed of the instruments within bounds.
    pub fn merge(&self, bounds: Bounds) -> Result<Merge<CandleReader>, MarketDataError> {
        let (mut sources, mut failed) = (Vec::new(), Vec::new());
        let Market::Recorded(data) = &self.data else { return Ok(Merge::new(sources, bounds)) };
        for (index, spec) in self.instruments.iter().enumerate() {
            let Ok(index) = u16::try_from(index) else { continue };
            let (instrument, interval) = (InstrumentId(index), spec.interval);
            // A file that is not there is a set that is not whole; one that is broken ends its instrument alone.
            data.file(&spec.rules.symbol)?;
            match data.reader(&spec.rules.symbol) {
                Ok(bars) => sources.push(Source { instrument, interval, bars }),
                Err(error) => failed.push((instrument, error)),
            }
        }
        Ok(Merge::new(sources, bounds).with_failed(failed))
    }

    /// Where the bars come from, for people: the name of a data set, or the venue.
    pub fn data_set_name(&self) -> &str {
        match &self.config.account.market_data {
            MarketDataConfig::Replay { data_set, .. } => data_set,
            MarketDataConfig::Venue { .. } => self.config.account.venue.kind(),
        }
    }
}

/// Strategies that name an account which is in no file.
fn astray(objects: &Objects) -> impl Iterator<Item = Uid> {
    let accounts = objects.account_keys();
    let named = move |strategy: &&TradingStrategy| {
        let (namespace, name) = (Key::of(*strategy).namespace, &strategy.spec.exchange_account_ref.name);
        !accounts.contains(&Key::new(&namespace, &name.0))
    };
    objects
        .strategies
        .iter()
        .filter(named)
        .map(|strategy| Uid(load::uid(Kind::TradingStrategy, &Key::of(strategy))))
}

/// Every problem of every file, market data included.
pub fn problems_of(files: &[PathBuf], dirs: &[PathBuf]) -> (Objects, Problems, Vec<MarketDataError>) {
    let Loaded { objects, mut problems, .. } = load::files(files);
    let mut catalogs = BTreeMap::new();
    let mut errors = Vec::new();
    for account in &objects.accounts {
        let Some(name) = data_set(account).filter(|name| !catalogs.contains_key(*name)) else { continue };
        match DataSet::find(name, dirs) {
            Ok(data) => {
                let instruments = data.instruments().to_vec();
                catalogs.insert(name.to_owned(), catalog_of(&Market::Recorded(data), &instruments));
            }
            Err(error) => errors.push(error),
        }
    }
    problems.extend(objects.located(validate(&objects, &catalogs)));
    (objects, problems, errors)
}

fn choose_account(
    objects: &Objects,
    wanted: Option<&str>,
    problems: &Problems,
) -> Result<Key, AssemblyError> {
    let keys = objects.account_keys();
    let names = || keys.iter().map(|k| k.name.clone()).collect::<Vec<_>>().join(", ");
    let found: Vec<&Key> = keys.iter().filter(|key| wanted.is_none_or(|name| key.name == name)).collect();
    match (found.as_slice(), wanted) {
        ([key], _) => Ok((*key).clone()),
        ([], _) if !problems.is_empty() => Err(AssemblyError::Problems(problems.clone())),
        ([], None) => {
            Err(AssemblyError::Account("the files hold no ExchangeAccount; add one with -f".to_owned()))
        }
        ([], Some(name)) => Err(AssemblyError::Account(format!(
            "the files hold no ExchangeAccount {name}; choose one of: {}",
            names()
        ))),
        (_, _) => Err(AssemblyError::Account(format!(
            "the files hold several ExchangeAccounts; choose one with --account: {}",
            names()
        ))),
    }
}

/// What strategies can name.
pub(crate) fn catalog_of(data: &Market, instruments: &[InstrumentRules]) -> Catalog {
    let dir = data.recorded().and_then(|data| data.dir().file_name());
    let name = dir.map_or_else(|| VENUE.to_owned(), |name| name.to_string_lossy().into_owned());
    let symbols = instruments.iter().map(|rules| rules.symbol.clone()).collect();
    Catalog { data_set: name, bar: data.bar(), symbols }
}

fn is_traded(config: &Config, symbol: &Symbol) -> bool {
    config.strategies.iter().any(|s| s.instruments.iter().any(|listed| listed.symbol == *symbol))
}
