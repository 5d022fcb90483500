//! What the engine is told to do: the resolved account and its strategies, complete and free of contradictions.
//!
//! Only `resolve` in the `crds` crate makes these from what people write; the engine never sees an unresolved object.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::limits::{AccountLimits, Breaker, Limits};
use crate::money::{BasisPoints, Cash, Percent};
use crate::name::{Asset, Symbol, Uid};
use crate::time::Millis;

/// An exchange account, ready to be traded on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedAccount {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.namespace`.
    pub namespace: SmolStr,
    /// `metadata.name`.
    pub name: SmolStr,
    /// The currency equity, capital and limits are counted in.
    pub quote_currency: Asset,
    /// Where orders go.
    pub venue: VenueConfig,
    /// Where bars come from.
    pub market_data: MarketDataConfig,
    /// Name of the policy that gave the limits.
    pub policy: SmolStr,
    /// Limits over all strategies.
    pub limits: AccountLimits,
    /// Breakers on the account's equity.
    pub breakers: Vec<Breaker>,
    /// Where events are told; none: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusConfig>,
    /// Where its ledger is.
    #[serde(default, skip_serializing_if = "LedgerConfig::is_file")]
    pub ledger: LedgerConfig,
}

impl ResolvedAccount {
    /// Namespace and name: what it is called where accounts of all namespaces meet.
    pub fn full_name(&self) -> SmolStr {
        smol_str::format_smolstr!("{}/{}", self.namespace, self.name)
    }

    /// The name alone, also of what [`Self::full_name`] gives.
    pub fn short_name(name: &str) -> &str {
        name.rsplit('/').next().unwrap_or(name)
    }
}

/// Where events are told. The engine does not know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BusConfig {
    /// Streams of a Redis.
    Redis(RedisConfig),
}

/// A Redis. What it takes to be let in lies in files, not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisConfig {
    /// Name or address.
    pub host: SmolStr,
    /// Its port.
    pub port: u16,
    /// The number of its database.
    pub database: u16,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The Secret with what it takes to be let in; none: nothing is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<SmolStr>,
}

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LedgerConfig {
    /// In a SQLite file beside the worker.
    #[default]
    Sqlite,
    /// In a database that many accounts share.
    Mysql(MysqlConfig),
}

impl LedgerConfig {
    /// Whether it is a file of the worker's own.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::Sqlite)
    }
}

/// A MariaDB or MySQL database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MysqlConfig {
    /// Name or address of the server.
    pub host: SmolStr,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: SmolStr,
    /// Name of the Secret with user and password. What is in it never comes here.
    pub credentials: SmolStr,
    /// Whether connections are encrypted; they may go without on loopback only.
    pub tls: bool,
}

/// A venue and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VenueConfig {
    /// The simulated venue.
    Paper(PaperConfig),
    /// Binance.US.
    BinanceUs(BinanceUsConfig),
}

impl VenueConfig {
    /// What each trade costs there.
    pub fn fees(&self) -> &FeeConfig {
        match self {
            Self::Paper(paper) => &paper.fees,
            Self::BinanceUs(venue) => &venue.fees,
        }
    }

    /// How much worse than the mark a taker is expected to fill.
    pub fn slippage(&self) -> BasisPoints {
        match self {
            Self::Paper(paper) => paper.slippage,
            Self::BinanceUs(venue) => venue.slippage,
        }
    }

    /// The kind of venue, as people are told it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Paper(_) => "Paper",
            Self::BinanceUs(_) => "BinanceUs",
        }
    }

    /// Whether its money is simulated by the worker itself.
    pub fn is_paper(&self) -> bool {
        matches!(self, Self::Paper(_))
    }
}

/// An account at Binance.US.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BinanceUsConfig {
    /// Scheme, host and port of the venue; the adapter reads it.
    pub endpoint: SmolStr,
    /// Name of the Secret with the account's key. What is in it never comes here.
    pub credentials: SmolStr,
    /// What each trade is expected to cost. What a fill really cost is in the fill.
    pub fees: FeeConfig,
    /// How much worse than the mark a taker is expected to fill.
    pub slippage: BasisPoints,
}

/// The simulated venue's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaperConfig {
    /// What the account holds at the start; assets not listed are zero.
    pub balances: Vec<(Asset, Cash)>,
    /// What each trade costs.
    pub fees: FeeConfig,
    /// How much worse than the market a taker fills.
    pub slippage: BasisPoints,
    /// Time from sending an order to its reaching the market.
    pub latency: Millis,
    /// Largest share of a bar's volume that fills of all our orders in the instrument may take together; the rest waits
    /// for the next bar.
    pub volume_share: Percent,
}

/// Trading fees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeeConfig {
    /// For orders that rested in the book.
    pub maker: BasisPoints,
    /// For orders that took from it.
    pub taker: BasisPoints,
    /// The asset fees are taken in.
    pub paid_in: FeeAsset,
}

/// The asset a fee is taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FeeAsset {
    /// The quote asset of the traded instrument.
    Quote,
    /// What is received: the base asset of a buy, the quote asset of a sell.
    Received,
    /// A third asset at a fixed price in the quote currency; the quote asset once its balance is used up.
    Other {
        /// The asset.
        asset: Asset,
        /// Its price in the account's quote currency.
        price: Cash,
    },
}

/// Where bars come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MarketDataConfig {
    /// Recorded bars of a named data set.
    Replay {
        /// Name of the set, or of a folder below the market-data directory.
        data_set: SmolStr,
        /// How fast time passes.
        speed: Speed,
    },
    /// Candles and prices of the venue itself, as they come.
    Venue {
        /// Length of the candles.
        bar: Millis,
    },
}

/// How fast recorded time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Speed {
    /// As it did.
    RealTime,
    /// That many times as fast.
    Times(u32),
    /// As fast as the machine can.
    Max,
}

/// A strategy, ready to trade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedStrategy {
    /// `metadata.uid`.
    pub uid: Uid,
    /// `metadata.name`.
    pub name: SmolStr,
    /// `metadata.generation` of the spec this was resolved from; 0 for files.
    pub generation: i64,
    /// Whether it may enter.
    pub desired_state: DesiredState,
    /// Paper or live.
    pub mode: Mode,
    /// Cash it starts from, in the account's quote currency.
    pub capital: Cash,
    /// What it trades.
    pub instruments: Vec<StrategyInstrument>,
    /// Length of the bars it decides on.
    pub bar: Millis,
    /// How it decides.
    pub signal: SignalConfig,
    /// How much it buys.
    pub sizing: SizingConfig,
    /// How far below each entry fill its stop lies; none means no stop.
    pub stop_loss: Option<Percent>,
    /// Who sells at the stop.
    #[serde(default)]
    pub protection: Protection,
    /// Name of its own policy, if it names one.
    pub policy: Option<SmolStr>,
    /// The limits in force: the stricter of both policies.
    pub limits: Limits,
    /// Breakers on its own equity.
    pub breakers: Vec<Breaker>,
    /// What happens to its orders and positions when it is deleted.
    pub deletion_policy: DeletionPolicy,
}

/// Who sells a position at its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Protection {
    /// A stop order that rests at the venue; the worker where none can.
    #[default]
    AtVenue,
    /// The worker alone: nothing sells while it does not run.
    AtWorker,
}

/// What a strategy is meant to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DesiredState {
    /// Enter and exit.
    Trading,
    /// Exit only.
    ExitOnly,
    /// No signals; entries cancelled; stops and breakers guard what is held.
    Stopped,
    /// As `ExitOnly`, because the account or a policy it names is missing; open entries stay.
    ReferenceMissing,
    /// As `Stopped`, because evaluating its signal ended the worker before: the signal is not even fed.
    Quarantined,
}

impl DesiredState {
    /// No entries; what is stricter already stays.
    #[must_use]
    pub fn exits_only(self, instead: Self) -> Self {
        match self {
            Self::Trading | Self::ReferenceMissing => instead,
            stricter @ (Self::ExitOnly | Self::Stopped | Self::Quarantined) => stricter,
        }
    }
}

impl ResolvedStrategy {
    /// As it was, but without entries, since what it is now cannot be read.
    #[must_use]
    pub fn without_entries(mut self) -> Self {
        self.desired_state = self.desired_state.exits_only(DesiredState::ReferenceMissing);
        self
    }
}

/// Whether orders are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Simulated.
    Paper,
    /// Real money.
    Live,
}

/// One instrument of a strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StrategyInstrument {
    /// Which.
    pub symbol: Symbol,
    /// Whether it may be entered.
    pub state: InstrumentState,
}

/// Whether an instrument may be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum InstrumentState {
    /// Enter and exit.
    Active,
    /// Exit only.
    ExitOnly,
}

/// The source of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SignalConfig {
    /// Fast average crossing the slow one.
    EmaCross {
        /// Bars of the fast average.
        fast: u32,
        /// Bars of the slow average; greater than `fast`.
        slow: u32,
    },
    /// Wilder's relative strength index leaving its usual range.
    RsiReversion {
        /// Bars of the index.
        period: u32,
        /// At or below this it buys; 0 to 100.
        oversold: Percent,
        /// At or above this it sells; greater than `oversold`.
        overbought: Percent,
    },
}

/// How much an entry buys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SizingConfig {
    /// That part of the strategy's equity.
    FixedPercent {
        /// Of the strategy's own equity.
        percent: Percent,
    },
    /// That amount of the base asset.
    FixedQuantity {
        /// Decimal quantity for each symbol of the strategy.
        quantities: Vec<(Symbol, Cash)>,
    },
}

/// What happens to orders and positions of a deleted strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// All stays as it is.
    Retain,
    /// Entries are cancelled; what is held stays on the account.
    CancelEntries,
    /// Entries are cancelled and what is held is sold.
    Liquidate,
}

/// Everything the engine needs to know at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The account.
    pub account: ResolvedAccount,
    /// Its strategies in the order of their grants.
    pub strategies: Vec<ResolvedStrategy>,
}
