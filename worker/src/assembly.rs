//! From files to something that can run: objects, their market data, and the resolved configuration.
//!
//! The one place where YAML, the data set and `resolve` meet; `run`, `backtest` and `validate` start here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tradewind_core::config::{Config, MarketDataConfig};
use tradewind_core::engine::InstrumentSpec;
use tradewind_core::halt::Halt;
use tradewind_core::instrument::{InstrumentId, InstrumentRules};
use tradewind_core::name::Symbol;
use tradewind_crds::load::{self, Loaded};
use tradewind_crds::objects::{Key, Objects};
use tradewind_crds::problem::Problems;
use tradewind_crds::resolve::{Catalog, data_set, local_grants, resolve, unattached, validate};

use crate::market_data::{Bounds, CandleReader, DataSet, MarketDataError, Merge, Source};

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
    /// The data set.
    pub data: DataSet,
    /// Instruments of the feed: those the strategies name, in the data set's order.
    pub instruments: Vec<InstrumentSpec>,
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
    /// Loads and resolves. With problems in the account nothing runs; a strategy's problems stop that strategy alone.
    pub fn load(files: &[PathBuf], account: Option<&str>, dirs: &[PathBuf]) -> Result<Self, AssemblyError> {
        let Loaded { objects, problems } = load::files(files);
        let key = choose_account(&objects, account, &problems)?;
        let data = match objects.account(&key).map(data_set) {
            Some(name) => DataSet::find(name, dirs)?,
            None => return Err(AssemblyError::Problems(problems)),
        };
        let catalog = catalog_of(&data);
        let grants = local_grants(&objects, &key, Some(&catalog));
        let resolution = resolve(&objects, &key, &grants, Some(&catalog));
        let mut all = objects.located(resolution.problems());
        all.extend(unattached(&objects));
        let strategies = resolution.runnable();
        let Ok(account) = resolution.account else {
            all.extend(problems);
            return Err(AssemblyError::Problems(all));
        };
        all.extend(problems);
        if strategies.is_empty() && !all.is_empty() {
            return Err(AssemblyError::Problems(all));
        }
        let config = Config { account, strategies };
        let instruments = instruments_of(&config, &data);
        Ok(Self { config, halts: resolution.halts, problems: all, data, instruments })
    }

    /// Adds instruments the ledger knows of but no strategy names any more: what was traded in them must be folded, and
    /// what is held of them must be priced.
    pub fn include(&mut self, symbols: &[Symbol]) -> Result<(), MarketDataError> {
        for symbol in symbols {
            self.data.rules(symbol)?;
        }
        let wanted = |rules: &&InstrumentRules| {
            symbols.contains(&rules.symbol) || self.instruments.iter().any(|i| i.rules.symbol == rules.symbol)
        };
        let interval = self.data.bar();
        let specs = self.data.instruments().iter().filter(wanted);
        self.instruments = specs.map(|rules| InstrumentSpec { rules: rules.clone(), interval }).collect();
        Ok(())
    }

    /// A feed of the instruments within bounds.
    pub fn merge(&self, bounds: Bounds) -> Result<Merge<CandleReader>, MarketDataError> {
        let (mut sources, mut failed) = (Vec::new(), Vec::new());
        for (index, spec) in self.instruments.iter().enumerate() {
            let Ok(index) = u16::try_from(index) else { continue };
            let (instrument, interval) = (InstrumentId(index), spec.interval);
            // A file that is not there is a set that is not whole; one that is broken ends its instrument alone.
            self.data.file(&spec.rules.symbol)?;
            match self.data.reader(&spec.rules.symbol) {
                Ok(bars) => sources.push(Source { instrument, interval, bars }),
                Err(error) => failed.push((instrument, error)),
            }
        }
        Ok(Merge::new(sources, bounds).with_failed(failed))
    }

    /// Name of the data set, as the account has it.
    pub fn data_set_name(&self) -> &str {
        let MarketDataConfig::Replay { data_set, .. } = &self.config.account.market_data;
        data_set
    }
}

/// Every problem of every file, market data included.
pub fn problems_of(files: &[PathBuf], dirs: &[PathBuf]) -> (Objects, Problems, Vec<MarketDataError>) {
    let Loaded { objects, mut problems } = load::files(files);
    let mut catalogs = BTreeMap::new();
    let mut errors = Vec::new();
    for account in &objects.accounts {
        let name = data_set(account);
        if catalogs.contains_key(name) {
            continue;
        }
        match DataSet::find(name, dirs) {
            Ok(data) => {
                catalogs.insert(name.to_owned(), catalog_of(&data));
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

fn catalog_of(data: &DataSet) -> Catalog {
    let name = data.dir().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let symbols: Vec<Symbol> = data.instruments().iter().map(|rules| rules.symbol.clone()).collect();
    Catalog { data_set: name, bar: data.bar(), symbols }
}

fn instruments_of(config: &Config, data: &DataSet) -> Vec<InstrumentSpec> {
    let traded = |symbol: &Symbol| {
        config.strategies.iter().any(|s| s.instruments.iter().any(|listed| listed.symbol == *symbol))
    };
    let rules = data.instruments().iter().filter(|rules| traded(&rules.symbol));
    rules.map(|rules| InstrumentSpec { rules: rules.clone(), interval: data.bar() }).collect()
}
