//! What a start has to go by: the published configuration, and how its market data and ledger are found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use smol_str::SmolStr;
use tradewind_core::config::Config;
use tradewind_core::engine::InstrumentSpec;
use tradewind_crds::problem::Problems;
use tradewind_crds::published::Published;
use tradewind_crds::resolve::Catalog;

use super::config::{ConfigError, Reading, read, read_dir};
use crate::assembly::{Assembly, Market, Offer, catalog_of};
use crate::market_data::DataSet;

/// The configuration last taken over, in the data directory.
const SAVED_FILE: &str = "configuration.json";

/// The configuration to start from.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) published: Published,
    pub(crate) broken: BTreeMap<SmolStr, String>,
    /// What is mounted now, when it is of a format nobody here knows: what was in force before stays in force.
    pub(crate) unknown: Option<BTreeMap<String, String>>,
}

/// Reads the mounted configuration. One that cannot be used leaves what was last taken over in force.
pub(crate) fn configuration(config_dir: &Path, data_dir: &Path) -> Result<Given, ConfigError> {
    let mounted = read_dir(config_dir)?;
    let (error, unknown) = match read(&mounted) {
        Reading::Known(published, broken) => {
            return Ok(Given { published: *published, broken, unknown: None });
        }
        Reading::UnknownFormat(error) => (error, true),
        Reading::Unusable(error) => (error, false),
    };
    let saved = std::fs::read_to_string(data_dir.join(SAVED_FILE)).ok();
    let saved = saved.and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(&text).ok());
    match saved.as_ref().map(read) {
        Some(Reading::Known(published, broken)) => {
            tracing::error!(error, "configuration not taken over; the one last in force is used");
            Ok(Given { published: *published, broken, unknown: unknown.then_some(mounted) })
        }
        _ => Err(ConfigError::Unusable { path: config_dir.to_path_buf(), error }),
    }
}

/// Keeps the configuration for a start without a better one.
pub(crate) fn save(published: &Published, data_dir: &Path) {
    let path = data_dir.join(SAVED_FILE);
    let new = path.with_extension("new");
    let text = serde_json::to_vec(&published.to_data()).unwrap_or_default();
    if let Err(error) = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)) {
        tracing::warn!(path = %path.display(), %error, "the configuration could not be kept for the next start");
    }
}

/// The market data of the account: all instruments that have candles, so that a strategy may come to any of them while
/// the worker runs.
pub(crate) fn recorded(data: DataSet) -> Offered {
    let interval = data.bar();
    let there = data.instruments().iter().filter(|rules| match data.file(&rules.symbol) {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(symbol = %rules.symbol, %error, "instrument left out");
            false
        }
    });
    let instruments: Vec<InstrumentSpec> =
        there.map(|rules| InstrumentSpec { rules: rules.clone(), interval }).collect();
    let rules: Vec<_> = instruments.iter().map(|spec| spec.rules.clone()).collect();
    let data = Market::Recorded(data);
    Offered { catalog: catalog_of(&data, &rules), data, instruments }
}

/// What an exchange offers.
pub(crate) fn offered(offer: Offer) -> Offered {
    let Offer { data, instruments, .. } = offer;
    let (interval, catalog) = (data.bar(), catalog_of(&data, &instruments));
    let specs = instruments.into_iter().map(|rules| InstrumentSpec { rules, interval });
    Offered { data, instruments: specs.collect(), catalog }
}

/// What an account can be traded in.
pub(crate) struct Offered {
    pub(crate) data: Market,
    pub(crate) instruments: Vec<InstrumentSpec>,
    pub(crate) catalog: Catalog,
}

/// All of it together, as the loop takes it.
pub(crate) fn assembly(config: Config, data: Market, instruments: Vec<InstrumentSpec>) -> Assembly {
    let (halts, problems, unresolved) = (Vec::new(), Problems::default(), BTreeSet::new());
    Assembly { config, halts, problems, unresolved, whole: true, data, instruments }
}
