//! What a running worker cannot take over without a new process.

use serde::Serialize;
use tradewind_core::config::{BusConfig, LedgerConfig, MarketDataConfig, MysqlConfig, VenueConfig};
use tradewind_core::name::Asset;
use tradewind_crds::exchange_account::Resources;
use tradewind_crds::published::digest;

use super::Source;

/// Everything the hash covers. What is added here restarts every worker when the operator is upgraded: give it a default
/// that is left out of the JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Covered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<&'a BusConfig>,
    quote_currency: &'a Asset,
    venue: &'a VenueConfig,
    market_data: &'a MarketDataConfig,
    ledger: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a MysqlConfig>,
    resources: &'a Resources,
    halts_of: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarted_at: Option<&'a str>,
}

/// The digest of what needs a new process: quote currency, venue, market data, kind of ledger and its database, bus, the
/// account's own resources, the operator's namespace, whose halts a worker watches, and the annotation by which a person
/// asks for it.
///
/// Not the image and not the operator's defaults, so that an upgrade of the operator leaves workers alone; not limits
/// and strategies, which a running worker takes over; not the size of the ledger, which grows under it.
pub fn restart_hash(source: &Source<'_>) -> String {
    let account = source.account;
    let (ledger, database) = match &account.ledger {
        LedgerConfig::Sqlite => ("sqlite", None),
        LedgerConfig::Mysql(server) => ("mysql", Some(server)),
    };
    digest(&Covered {
        bus: account.bus.as_ref(),
        quote_currency: &account.quote_currency,
        venue: &account.venue,
        market_data: &account.market_data,
        ledger,
        database,
        resources: &source.worker.resources,
        halts_of: &source.settings.namespace,
        restarted_at: source.restarted_at,
    })
}
