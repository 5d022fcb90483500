//! What a running worker cannot take over without a new process.

use serde::Serialize;
use tradewind_core::config::{BusConfig, MarketDataConfig, VenueConfig};
use tradewind_core::name::Asset;
use tradewind_crds::exchange_account::{Ledger, Resources};
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
    resources: &'a Resources,
    halts_of: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarted_at: Option<&'a str>,
}

/// The digest of what needs a new process: quote currency, venue, market data, kind of ledger, bus, the account's own
/// resources, the operator's namespace, whose halts a worker watches, and the annotation by which a person asks for it.
///
/// Not the image and not the operator's defaults, so that an upgrade of the operator leaves workers alone; not limits
/// and strategies, which a running worker takes over; not the size of the ledger, which grows under it.
pub fn restart_hash(source: &Source<'_>) -> String {
    let Ledger::Sqlite(_) = source.ledger;
    let account = source.account;
    digest(&Covered {
        bus: account.bus.as_ref(),
        quote_currency: &account.quote_currency,
        venue: &account.venue,
        market_data: &account.market_data,
        ledger: "sqlite",
        resources: &source.worker.resources,
        halts_of: &source.settings.namespace,
        restarted_at: source.restarted_at,
    })
}
