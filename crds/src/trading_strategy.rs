//! TradingStrategy: what to trade on which account, by which signal, sized how, with which exits.
//!
//! Wire types only: what they mean for the engine is decided in [`crate::resolve`].

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
#![expect(clippy::doc_markdown, reason = "kubectl explain shows these comments, backticks and all")]

mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Decimal, GoDuration, ObjectRef, PercentNumber, SymbolText, UidText};

pub use status::{
    LastDecision, LastSignal, OpenPosition, Phase, Portfolio, StrategyTrading, TradingStrategyStatus,
};

/// What to trade on which account, by which signal, sized how, with which exits.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "tradewind.dev",
    version = "v1alpha1",
    kind = "TradingStrategy",
    plural = "tradingstrategies",
    shortname = "strat",
    category = "trading",
    namespaced,
    status = "TradingStrategyStatus",
    derive = "PartialEq",
    doc = "A trading strategy: what to trade on which account, by which signal, sized how, with which exits. It runs inside the worker of its account and is added, changed and removed without a restart.",
    cel,
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$')")
        .message("metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the strategy"),
    selectable = ".spec.mode",
    selectable = ".spec.desiredState",
    selectable = ".spec.exchangeAccountRef.name",
    selectable = ".spec.riskPolicyRef.name",
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "MODE", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "ACCOUNT", type_ = "string", json_path = ".spec.exchangeAccountRef.name"),
    printcolumn(name = "POSITIONS", type_ = "string", json_path = ".status.trading.positions"),
    printcolumn(name = "EQUITY", type_ = "string", json_path = ".status.trading.equity"),
    printcolumn(name = "PNL-24H", type_ = "string", json_path = ".status.trading.pnl24h"),
    printcolumn(name = "DRAWDOWN", type_ = "string", json_path = ".status.trading.drawdown"),
    printcolumn(name = "SIGNAL", type_ = "string", json_path = ".status.trading.signal"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "READY", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", priority = 1),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "DESIRED", type_ = "string", json_path = ".spec.desiredState", priority = 1),
    printcolumn(name = "HALTED-BY", type_ = "string", json_path = ".status.halt.by", priority = 1),
    printcolumn(name = "EXPOSURE", type_ = "string", json_path = ".status.trading.exposure", priority = 1),
    printcolumn(name = "LAST-TRADE", type_ = "date", json_path = ".status.trading.lastTradeTime", priority = 1),
    printcolumn(name = "LAST-SIGNAL", type_ = "date", json_path = ".status.trading.lastSignal.time", priority = 1),
    printcolumn(name = "FRESH", type_ = "string", json_path = ".status.conditions[?(@.type==\"DataFresh\")].status", priority = 1),
    printcolumn(name = "POLICY", type_ = "string", json_path = ".spec.riskPolicyRef.name", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode != 'Live' || (has(self.exits) && has(self.exits.stopLoss))")
    .message("a strategy with mode Live must have a stop loss; add exits.stopLoss or set mode to Paper"))]
#[x_kube(validation = Rule::new("!has(self.sizing.fixedQuantity) || (self.instruments.all(i, self.sizing.fixedQuantity.quantities.exists(q, q.symbol == i.symbol)) && self.sizing.fixedQuantity.quantities.all(q, self.instruments.exists(i, i.symbol == q.symbol)))")
    .message("sizing.fixedQuantity must list exactly the symbols of instruments; add the missing quantities and remove the others"))]
pub struct TradingStrategySpec {
    /// What the strategy is meant to do; belongs in Git. Trading enters and exits. ExitOnly makes no entries, exits
    /// work. Stopped also cancels open entries and evaluates no signals; stops and breakers still guard what is held.
    /// Default: Trading.
    #[serde(default)]
    pub desired_state: DesiredState,

    /// Paper trades simulated money, Live real money. Immutable. Live also needs allowLive on an account with a real
    /// venue, and a stop loss. Default: Paper.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("mode is immutable; create a second strategy with the other mode"))]
    pub mode: Mode,

    /// The ExchangeAccount the strategy trades on, in the same namespace. Immutable. While it is missing no entries
    /// are made.
    #[x_kube(validation = Rule::new("self.name == oldSelf.name").message("exchangeAccountRef is immutable; create a second strategy on the other account"))]
    pub exchange_account_ref: ObjectRef,

    /// A RiskPolicy of its own, in the same namespace. It can only tighten: limit by limit the stricter of it and the
    /// account's policy holds. Left out: the account's policy alone. While it is missing no entries are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_policy_ref: Option<ObjectRef>,

    /// The part of the account's money the strategy may use.
    pub capital: Capital,

    /// What it trades, 1 to 64 instruments, one entry a symbol. A base asset belongs to one strategy of an account. A
    /// symbol taken off the list is ExitOnly until nothing is held of it.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["symbol".into()]))]
    #[schemars(length(min = 1, max = 64))]
    pub instruments: Vec<Instrument>,

    /// When it decides: once at the close of each bar.
    pub decision: Decision,

    /// How it decides: where its buys and sells come from.
    pub signal: Signal,

    /// How much an entry buys: exactly one of the variants.
    pub sizing: Sizing,

    /// How positions are left beside the signal's own sells. Left out: only the signal sells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exits: Option<Exits>,

    /// What happens when the strategy is deleted. Retain leaves all orders and positions. CancelEntries cancels open
    /// entries; what is held stays on the account, its stop active. Liquidate also sells what is held. Default:
    /// CancelEntries.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// True halts the strategy at once; it stays halted when the field goes away, until the halt is resumed by name.
    /// For people in a hurry, never in Git. Left out: not halted by this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<bool>,

    /// Resumes one halt of this strategy. For people, never in Git. Left out: nothing is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
}

/// What a strategy is meant to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    /// Enter and exit.
    #[default]
    Trading,
    /// Exit only.
    ExitOnly,
    /// No signals; entries cancelled; stops and breakers guard what is held.
    Stopped,
}

/// Whether the money is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Simulated.
    #[default]
    Paper,
    /// Real money.
    Live,
}

/// The strategy's own money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capital {
    /// Cash the strategy starts from, in the account's quote currency, as decimal text greater than zero. More than
    /// is free on the account is refused: the sum over its strategies stays within the account.
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("capital.amount must be greater than zero; write the cash the strategy may use, such as \"5000\""))]
    pub amount: Decimal,
}

/// One instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Instrument {
    /// Base and quote asset in capitals, such as BTC-USD. The quote asset is the account's quote currency, and the
    /// market data has the symbol.
    pub symbol: SymbolText,
    /// Active enters and exits, ExitOnly only exits. Default: Active.
    #[serde(default)]
    pub state: InstrumentState,
}

/// Whether an instrument may be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum InstrumentState {
    /// Enter and exit.
    #[default]
    Active,
    /// Exit only.
    ExitOnly,
}

/// When a strategy decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Length of the bars it decides on, a duration such as 1h, from 1s to 24h; one decision at the close of each. A
    /// whole multiple of the bars the market data has. Stops and breakers do not wait for it.
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("decision.bar must be from 1s to 24h; use a length such as 1h"))]
    pub bar: GoDuration,
}

/// How a strategy decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Where signals come from: exactly one of the variants.
    pub source: SignalSource,
}

/// Where signals come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SignalSource {
    /// Buys when the fast exponential average of the closes crosses above the slow one, sells when it crosses below.
    /// No signal before as many bars as the slow average has; earlier crosses are not acted on later. Confidence is
    /// z/(1+z), z being how many mean one-bar moves the close lies beyond the slow average: two moves are 66.7 percent.
    EmaCross(EmaCross),
    /// Buys when Wilder's relative strength index is at or below oversold, sells when it is at or above overbought.
    /// Confidence is 50 percent at the line and rises evenly to 100 percent at 0 or 100 index points.
    RsiReversion(RsiReversion),
}

/// Two exponential averages that cross.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.fast < self.slow").message("fast must be less than slow; lower fast or raise slow"))]
pub struct EmaCross {
    /// Bars of the fast average, 1 to 10000, less than slow; the newest close weighs 2/(fast+1).
    #[schemars(range(min = 1, max = 10_000))]
    pub fast: i32,
    /// Bars of the slow average, 2 to 10000; the newest close weighs 2/(slow+1).
    #[schemars(range(min = 2, max = 10_000))]
    pub slow: i32,
}

/// Wilder's relative strength index leaving its usual range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.oversold < self.overbought").message("oversold must be less than overbought; lower oversold or raise overbought"))]
pub struct RsiReversion {
    /// Bars of the index, 2 to 10000.
    #[schemars(range(min = 2, max = 10_000))]
    pub period: i32,
    /// Index points (0 to 100) at or below which it buys, less than overbought; at most four decimals.
    #[schemars(range(min = 0, max = 100))]
    pub oversold: PercentNumber,
    /// Index points (0 to 100) at or above which it sells; at most four decimals.
    #[schemars(range(min = 0, max = 100))]
    pub overbought: PercentNumber,
}

/// How much an entry buys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Sizing {
    /// A part of the strategy's own equity.
    FixedPercent(FixedPercent),
    /// A fixed amount of the base asset for each instrument.
    FixedQuantity(FixedQuantity),
}

/// A part of something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FixedPercent {
    /// Percent of the strategy's own equity, 0.01 to 100, at most four decimals. An entry that would pass a limit of
    /// the policy is denied, not shrunk.
    #[schemars(range(min = 0.01, max = 100))]
    pub percent: PercentNumber,
}

/// A fixed amount for each instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FixedQuantity {
    /// One quantity a symbol, exactly the symbols of instruments.
    #[x_kube(merge_strategy = ListMerge::Map(vec!["symbol".into()]))]
    #[schemars(length(min = 1, max = 64))]
    pub quantities: Vec<SymbolQuantity>,
}

/// What one entry in one instrument buys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SymbolQuantity {
    /// The instrument, as in instruments.
    pub symbol: SymbolText,
    /// Units of the base asset as decimal text greater than zero, such as "0.1"; rounded down to the venue's lot.
    #[x_kube(validation = Rule::new("double(self) > 0.0").message("quantity must be greater than zero; write units of the base asset, such as \"0.1\""))]
    pub quantity: Decimal,
}

/// How positions are left beside the signal's own sells.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.protection) || has(self.stopLoss)")
    .message("exits.protection says who sells at the stop loss; add exits.stopLoss or remove protection"))]
pub struct Exits {
    /// Sells a position that loses too much: exactly one of the variants. Left out: no stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<StopLoss>,

    /// Who sells at the stop. AtVenue: a stop order that rests at the venue; when it cannot be placed, it is tried again,
    /// the worker sells on marks meanwhile, and after the policy's order.flattenUnprotectedAfter the position is sold.
    /// AtWorker: the worker alone, on marks; choosing it acknowledges that nothing sells while the worker does not run.
    /// Left out: AtVenue. An edit holds for the stops of later fills; stop orders that rest stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
}

/// Who sells a position at its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Protection {
    /// A stop order that rests at the venue.
    #[default]
    AtVenue,
    /// The worker, on marks.
    AtWorker,
}

/// Where the stop of a position lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StopLoss {
    /// A fixed distance below the price of each entry fill.
    FixedPercent(StopDistance),
}

/// How far below the entry the stop lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StopDistance {
    /// Percent below the price of the entry fill, 0.01 to 99, at most four decimals. When a mark reaches it the
    /// position is sold at once, at the worse of the stop and the market, whatever halts hold.
    #[schemars(range(min = 0.01, max = 99))]
    pub percent: PercentNumber,
}

/// What happens to orders and positions of a deleted strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// All stays as it is.
    Retain,
    /// Entries are cancelled; what is held stays on the account.
    #[default]
    CancelEntries,
    /// Entries are cancelled and what is held is sold.
    Liquidate,
}

/// Which halt is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resume {
    /// Uid of the TradingHalt to resume, as status.halt.sources lists it. Only a halt whose target is this strategy;
    /// an old value never matches a later halt.
    #[serde(rename = "haltID")]
    pub halt_id: UidText,
}
