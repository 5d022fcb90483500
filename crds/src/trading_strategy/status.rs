//! What the operator and the worker report of a strategy. Each writes its own fields and conditions, and no other's.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
#![expect(clippy::doc_markdown, reason = "kubectl explain shows these comments, backticks and all")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Applied, AssetText, Decimal, HaltStatus, SymbolText};

/// What the operator and the worker see of the strategy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradingStrategyStatus {
    /// The metadata.generation this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people, derived from the conditions; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Ready, Reconciling, Stalled, Granted and Halted by the operator; DataFresh, PositionsReconciled,
    /// PositionsProtected, Supervised, Quarantined and Settled by the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Which halts hold and what they do together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltStatus>,
    /// What the worker has in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// What the worker reports, written when something happened and at most each 60 seconds otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trading: Option<StrategyTrading>,
}

/// Where a strategy stands, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Waits for its account, policy or grant.
    Pending,
    /// The worker does not run it yet.
    Starting,
    /// Trades.
    Running,
    /// Is meant to exit only.
    ExitOnly,
    /// A halt holds.
    Halted,
    /// Runs, but not all is well.
    Degraded,
    /// Is meant to be stopped.
    Stopped,
    /// Is being deleted.
    Stopping,
}

/// What the worker reports of a strategy. Strings are for people; exact numbers are decimal text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrategyTrading {
    /// Cash and positions at the mark, such as "2571.86 USD".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub equity: Option<String>,
    /// Change of equity over the last 24 hours, such as "+1.8%".
    #[serde(default, rename = "pnl24h", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pnl_24h: Option<String>,
    /// Loss from the reference of the drawdown breaker, such as "4.2%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub drawdown: Option<String>,
    /// Positions and open entries as part of equity, such as "41%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub exposure: Option<String>,
    /// Open positions of the most allowed, such as "3/10".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub positions: Option<String>,
    /// The last signal in short, such as "BUY BTC-USD 71%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub signal: Option<String>,
    /// When the worker took the last fill in, by the clock; a fill of a replay has a time of the past as well, which
    /// /trades/recent tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_trade_time: Option<Time>,
    /// The last signal in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_signal: Option<LastSignal>,
    /// What came of the last signal, and why nothing was traded if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision: Option<LastDecision>,
    /// The strategy's money, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portfolio: Option<Portfolio>,
    /// What it holds; at most 64 positions are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["symbol".into()]))]
    #[schemars(length(max = 64))]
    pub open_positions: Vec<OpenPosition>,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastSignal {
    /// When the signal was given, by the clock; the close of its bar, but in a replay.
    pub time: Time,
    /// The instrument it is for.
    pub symbol: SymbolText,
    /// Buy, Sell or Hold, as the source said.
    #[schemars(length(max = 16))]
    pub side: String,
    /// Confidence of the source in percent, as decimal text from 0 to 100.
    pub confidence_percent: Decimal,
}

/// What came of a signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastDecision {
    /// When it was decided, by the clock.
    pub time: Time,
    /// The instrument it is for.
    pub symbol: SymbolText,
    /// How far it came, such as Signal, Sizing or Risk.
    #[schemars(length(max = 64))]
    pub stage: String,
    /// What came of it, such as Ordered, Denied or Nothing.
    #[schemars(length(max = 64))]
    pub outcome: String,
    /// The first cause when nothing was done: one code of the closed list in docs/decisions.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// The same in words, with values and limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
}

/// Money, exact, in the account's quote currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Portfolio {
    /// The quote currency of the amounts.
    pub currency: AssetText,
    /// Cash and positions at the mark, as decimal text.
    #[schemars(length(max = 48))]
    pub equity: String,
    /// Cash, as decimal text.
    #[schemars(length(max = 48))]
    pub cash: String,
    /// Highest equity so far, as decimal text; deposits and withdrawals do not move drawdown.
    #[schemars(length(max = 48))]
    pub peak_equity: String,
    /// Profit or loss of closed positions after fees, as decimal text.
    #[schemars(length(max = 48))]
    pub realized_pnl: String,
    /// Profit or loss of open positions at the mark, as decimal text.
    #[schemars(length(max = 48))]
    pub unrealized_pnl: String,
}

/// One position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenPosition {
    /// The instrument held.
    pub symbol: SymbolText,
    /// Units of the base asset, as decimal text.
    pub quantity: Decimal,
    /// Average price of the entry fills in the quote asset, as decimal text.
    pub entry_price: Decimal,
    /// Latest fair price in the quote asset, as decimal text.
    pub mark_price: Decimal,
    /// Price of its stop in the quote asset, as decimal text; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<Decimal>,
}
