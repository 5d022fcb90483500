//! ExchangeAccount: a venue, its market data, ledger and policy, and whether it may trade live. One account is one
//! worker.
//!
//! Wire types only: what they mean for the engine is decided in [`crate::resolve`].

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]

mod ledger;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::common::{AssetText, BpsNumber, Decimal, Empty, GoDuration, ObjectRef, PercentNumber};

pub use ledger::{Ledger, MysqlLedger, SqliteLedger};
pub use status::{AccountTrading, ExchangeAccountStatus, GrantStatus, WorkerStatus};

/// A venue, its market data, ledger and policy, and whether it may trade live.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "tradewind.dev",
    version = "v1alpha1",
    kind = "ExchangeAccount",
    plural = "exchangeaccounts",
    shortname = "exacct",
    category = "trading",
    namespaced,
    status = "ExchangeAccountStatus",
    derive = "PartialEq",
    doc = "An account on a venue: its market data, ledger and risk policy, and whether it may trade live. One account is one worker pod with one ledger; all strategies that name it run inside.",
    cel,
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$')")
        .message("metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the account"),
    selectable = ".spec.allowLive",
    selectable = ".spec.riskPolicyRef.name",
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "VENUE", type_ = "string", json_path = ".status.venue"),
    printcolumn(name = "LIVE", type_ = "boolean", json_path = ".spec.allowLive"),
    printcolumn(name = "STRATEGIES", type_ = "string", json_path = ".status.strategies"),
    printcolumn(name = "EQUITY", type_ = "string", json_path = ".status.trading.equity"),
    printcolumn(name = "PNL-24H", type_ = "string", json_path = ".status.trading.pnl24h"),
    printcolumn(name = "DRAWDOWN", type_ = "string", json_path = ".status.trading.drawdown"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "READY", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", priority = 1),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "HALTED-BY", type_ = "string", json_path = ".status.halt.by", priority = 1),
    printcolumn(name = "EXPOSURE", type_ = "string", json_path = ".status.trading.exposure", priority = 1),
    printcolumn(name = "POLICY", type_ = "string", json_path = ".spec.riskPolicyRef.name", priority = 1),
    printcolumn(name = "DATA", type_ = "string", json_path = ".spec.marketData.replay.dataSet", priority = 1),
    printcolumn(name = "FRESH", type_ = "string", json_path = ".status.conditions[?(@.type==\"DataFresh\")].status", priority = 1),
    printcolumn(name = "WORKER", type_ = "string", json_path = ".status.worker.pod", priority = 1),
    printcolumn(name = "NODE", type_ = "string", json_path = ".status.worker.node", priority = 1),
    printcolumn(name = "RESTARTS", type_ = "integer", json_path = ".status.worker.restarts", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.allowLive || !has(self.venue.paper)")
    .message("allowLive must be false on a paper venue, which has no real money; set allowLive to false or name a real venue"))]
#[x_kube(validation = Rule::new("!has(self.venue.paper) || has(self.marketData.replay)")
    .message("a paper venue has no market of its own and takes its bars from a data set; write marketData: {replay: {dataSet: …}}"))]
#[x_kube(validation = Rule::new("!has(self.venue.binanceUs) || !has(self.marketData.replay) || self.venue.binanceUs.endpoint.matches('^https?://(localhost|127([.][0-9]{1,3}){3}|\\\\[::1\\\\]|[-a-z0-9]+[.][-a-z0-9]+[.]svc([.]cluster[.]local)?)(:[0-9]{1,5})?/?$')")
    .message("recorded bars say nothing of what a real venue trades at now; write marketData: {venue: {}}, or name a simulator of the venue by an endpoint on the loopback address or by a Service of the cluster (NAME.NAMESPACE.svc)"))]
#[x_kube(validation = Rule::new("has(self.venue.paper) == has(oldSelf.venue.paper)")
    .message("the kind of venue is immutable, for the ledger holds what happened there; create a second account"))]
#[x_kube(validation = Rule::new("has(self.ledger.sqlite) == has(oldSelf.ledger.sqlite)")
    .message("the kind of ledger is immutable, for nothing moves what is in it; create a second account"))]
pub struct ExchangeAccountSpec {
    /// Where orders go: exactly one of the variants.
    pub venue: Venue,

    /// Where bars come from: exactly one of the variants.
    pub market_data: MarketData,

    /// The RiskPolicy whose limits and breakers hold for the account and each of its strategies, in the same
    /// namespace. While it is missing no entries are made.
    pub risk_policy_ref: ObjectRef,

    /// Whether strategies with mode Live may trade here; the second of the two keys that real money needs. Must be
    /// false on a paper venue. Default: false.
    #[serde(default)]
    pub allow_live: bool,

    /// Where orders, fills and decisions are kept: exactly one of the variants. Default: SQLite on a volume of 1Gi.
    #[serde(default)]
    pub ledger: Ledger,

    /// Where events of the account (signals, decisions, orders, fills, positions, halts, equity) are told to others: exactly
    /// one of the variants. Trading never waits for it; what cannot be told waits in the ledger. Default: nowhere. A
    /// change replaces the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<Bus>,

    /// The worker's pod. Default: no settings of its own.
    #[serde(default)]
    pub worker: Worker,
}

/// Where events are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Bus {
    /// Streams and channels of a Redis, version 7 or newer.
    Redis(Redis),
}

/// A Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redis {
    /// Where it is: redis://host:port/database, with a DNS name or an IPv4 address. Port and database may be left out: 6379
    /// and 0; the database is 0 to 9999. User and password belong into the Secret, never here.
    #[schemars(length(max = 300))]
    #[x_kube(validation = Rule::new("self.matches('^redis://[a-zA-Z0-9]([-a-zA-Z0-9.]{0,251}[a-zA-Z0-9])?(:[1-9][0-9]{0,4})?(/[0-9]{1,4})?$')")
        .message("bus.redis.url must be redis://host:port/database without user and password; put those into the Secret of credentialsSecretRef, and say with tls whether it is encrypted"))]
    pub url: String,
    /// The Secret, in the same namespace, with the keys password, username (if the user is not the default one) and
    /// ca.crt (if the certificate is not from a public authority). Mounted into the worker, which reads it again when it
    /// changes. Left out: no password, and certificates of public authorities. While the Secret is missing, events wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<ObjectRef>,
    /// Whether the connection is encrypted: exactly one of the variants. Default: required.
    #[serde(default)]
    pub tls: Tls,
}

/// Whether connections to another server are encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Tls {
    /// Always; the certificate must be valid and name the host.
    Required(Empty),
    /// Never: whoever sees the network between worker and server sees what is sent and the password. For a server on the
    /// same machine, or, of a bus, where the network encrypts by itself.
    PlainText(Empty),
}

impl Default for Tls {
    fn default() -> Self {
        Self::Required(Empty {})
    }
}

/// Where orders go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Venue {
    /// A simulated venue: orders fill against the market data, with fees, slippage, latency and partial fills.
    Paper(PaperVenue),
    /// Binance.US, with real money: strategies that trade here have mode Live.
    BinanceUs(BinanceUsVenue),
}

/// An account at Binance.US.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BinanceUsVenue {
    /// The Secret with the account's key, in the same namespace: entries apiKey and apiSecret, as the venue's key page
    /// shows them. The key needs the right to trade and no other. The pod waits for it; one that is changed is used from
    /// the next request on.
    pub credentials_secret_ref: ObjectRef,

    /// Scheme, host and port of the venue, at most 253 characters. http only to the loopback address or a Service of the
    /// cluster (NAME.NAMESPACE.svc), where a simulator of the venue may be. Immutable. Default: the venue itself, api.binance.us by https.
    #[serde(default = "default_endpoint")]
    #[schemars(length(max = 253), regex(pattern = r"^https?://[^/@?#\s]+/?$"))]
    #[x_kube(validation = Rule::new("self.startsWith('https://') || self.matches('^http://(localhost|127([.][0-9]{1,3}){3}|\\\\[::1\\\\]|[-a-z0-9]+[.][-a-z0-9]+[.]svc([.]cluster[.]local)?)(:[0-9]{1,5})?/?$')")
        .message("endpoint must be https, or http to the loopback address or a Service of the cluster; the key would travel unencrypted"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("endpoint is immutable, for the ledger holds what happened there; create a second account"))]
    pub endpoint: String,

    /// The currency that equity, capital and limits are counted in, such as USD or USDT, which are two currencies there.
    /// Immutable. It and every instrument's base asset are the account's own: nothing else may trade with them.
    #[x_kube(validation = Rule::new("self == oldSelf").message("quoteCurrency is immutable; create a second account in the other currency"))]
    pub quote_currency: AssetText,

    /// What each trade is expected to cost, for what an entry sets aside; what it really cost is in the fill. Default: 40
    /// basis points for makers and 60 for takers, paid in the quote asset.
    #[serde(default)]
    pub fees: Fees,

    /// Basis points a market order is expected to fill worse than the mark, 0 to 1000, at most four decimals, for what an
    /// entry sets aside. Default: 20.
    #[serde(default = "default_real_slippage")]
    #[schemars(range(min = 0, max = 1_000))]
    pub slippage_bps: BpsNumber,
}

fn default_endpoint() -> String {
    "https://api.binance.us".to_owned()
}

fn default_real_slippage() -> BpsNumber {
    BpsNumber(20.0)
}

/// The simulated venue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.balances.exists(b, b.asset == self.quoteCurrency)")
    .message("balances must hold the quote currency; add {asset: the quoteCurrency, amount: \"10000\"}"))]
#[x_kube(validation = Rule::new("!has(self.fees.paidIn.other) || self.fees.paidIn.other.asset != self.quoteCurrency")
    .message("fees.paidIn.other must not be the quote currency; write paidIn: {quote: {}}"))]
pub struct PaperVenue {
    /// The currency that equity, capital and limits are counted in, such as USD. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("quoteCurrency is immutable; create a second account in the other currency"))]
    pub quote_currency: AssetText,

    /// What the account holds at the start, 1 to 32 assets, one entry an asset; an asset not listed is zero. The
    /// capital of all strategies together stays within the quote currency's amount.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["asset".into()]))]
    #[schemars(length(min = 1, max = 32))]
    pub balances: Vec<Balance>,

    /// What each trade costs. Default: 40 basis points for makers and 60 for takers, paid in the quote asset.
    #[serde(default)]
    pub fees: Fees,

    /// Basis points a taker fills worse than the market, 0 to 1000, at most four decimals. Default: 2.
    #[serde(default = "default_slippage")]
    #[schemars(range(min = 0, max = 1_000))]
    pub slippage_bps: BpsNumber,

    /// Time from sending an order to its reaching the market, a duration from 0s to 1m. Default: 150ms.
    #[serde(default = "default_latency")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('1m')").message("latency must be at most 1m; use a value such as 150ms"))]
    pub latency: GoDuration,

    /// Percent of a bar's volume that the fills of all the account's orders in the instrument may take together, 0.01 to
    /// 100, at most four decimals; what is left of them waits for the next bar. Default: 10.
    #[serde(default = "default_volume_share")]
    #[schemars(range(min = 0.01, max = 100))]
    pub volume_share_percent: PercentNumber,
}

fn default_slippage() -> BpsNumber {
    BpsNumber(2.0)
}

fn default_latency() -> GoDuration {
    "150ms".into()
}

fn default_volume_share() -> PercentNumber {
    PercentNumber(10.0)
}

/// An amount of one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balance {
    /// Code of the asset in capitals, such as USD.
    pub asset: AssetText,
    /// Units of the asset as decimal text, zero or more, such as "10000".
    pub amount: Decimal,
}

/// What each trade costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fees {
    /// Basis points of the notional for orders that rested in the book, 0 to 1000, at most four decimals. Default: 40.
    #[serde(default = "default_maker")]
    #[schemars(range(min = 0, max = 1_000))]
    pub maker_bps: BpsNumber,
    /// Basis points of the notional for orders that took from the book, 0 to 1000, at most four decimals. Default: 60.
    #[serde(default = "default_taker")]
    #[schemars(range(min = 0, max = 1_000))]
    pub taker_bps: BpsNumber,
    /// The asset fees are taken in: exactly one of the variants. Default: quote.
    #[serde(default)]
    pub paid_in: PaidIn,
}

fn default_maker() -> BpsNumber {
    BpsNumber(40.0)
}

fn default_taker() -> BpsNumber {
    BpsNumber(60.0)
}

impl Default for Fees {
    fn default() -> Self {
        Self { maker_bps: default_maker(), taker_bps: default_taker(), paid_in: PaidIn::default() }
    }
}

/// The asset a fee is taken in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PaidIn {
    /// The quote asset of the traded instrument.
    Quote(Empty),
    /// What is received: the base asset of a buy, the quote asset of a sell.
    Received(Empty),
    /// A third asset at a fixed price; the quote asset once its balance is used up.
    Other(OtherFeeAsset),
}

impl Default for PaidIn {
    fn default() -> Self {
        Self::Quote(Empty {})
    }
}

/// A third asset that pays fees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OtherFeeAsset {
    /// Code of the asset in capitals, such as BNB; not the quote currency.
    pub asset: AssetText,
    /// Price of one unit in the account's quote currency as decimal text greater than zero, such as "300".
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("price must be greater than zero; write the asset's price in the quote currency, such as \"300\""))]
    pub price: Decimal,
}

/// Where bars come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MarketData {
    /// Recorded bars of a data set; for a paper venue, or a simulator of a real one on the loopback address or behind a
    /// Service of the cluster.
    Replay(Replay),
    /// Candles and prices of the venue itself, as they come; for a real venue.
    Venue(VenueData),
}

/// The venue's own market data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct VenueData {
    /// Length of the candles that are asked for: 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h or 24h. Each strategy's
    /// decision.bar is a whole multiple of it. Prices in between come at least each minute. Default: 1m.
    #[serde(default = "default_candle")]
    #[x_kube(validation = Rule::new("['1m', '3m', '5m', '15m', '30m', '1h', '2h', '4h', '6h', '8h', '12h', '24h'].exists(d, duration(d) == duration(self))")
        .message("marketData.venue.bar must be a candle the venue has; use 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h or 24h"))]
    pub bar: GoDuration,
}

fn default_candle() -> GoDuration {
    "1m".into()
}

/// Recorded bars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// Name of a packaged data set, or of a folder below the worker's market-data directory, such as coinbase-1h.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub data_set: String,
    /// How fast recorded time passes: exactly one of the variants. Default: realTime.
    #[serde(default)]
    pub speed: Speed,
}

/// How fast recorded time passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Speed {
    /// As fast as it did: a bar of 1h each hour.
    RealTime(Empty),
    /// That many times as fast.
    Times(Times),
    /// As fast as the machine can.
    Max(Empty),
}

impl Default for Speed {
    fn default() -> Self {
        Self::RealTime(Empty {})
    }
}

/// A multiple of real time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Times {
    /// How many times as fast as real time, 1 to 1000000; with 3600 a bar of 1h takes a second.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub factor: i32,
}

/// The worker's pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// What the worker's container asks for and may use at most. Default: what the operator is installed with.
    #[serde(default)]
    pub resources: Resources,
}

/// Requests and limits of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler sets aside. Left out: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<ResourceAmounts>,
    /// What the container may use at most; above its memory it is killed. Left out: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ResourceAmounts>,
}

/// Amounts of processor and memory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// Processor as a Kubernetes quantity, such as 100m for a tenth of a core. Left out: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuQuantity>,
    /// Memory as a Kubernetes quantity, such as 64Mi. Left out: the operator's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryQuantity>,
}

/// Processor as a Kubernetes quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuQuantity(pub String);

impl JsonSchema for CpuQuantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CpuQuantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^[0-9]{1,6}(\.[0-9]{1,3}|m)?$", "maxLength": 16})
    }
}

/// Memory as a Kubernetes quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryQuantity(pub String);

impl JsonSchema for MemoryQuantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MemoryQuantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[1-9][0-9]{0,11}(Ki|Mi|Gi|k|M|G)?$", "maxLength": 16})
    }
}
