//! RiskPolicy: limits and breakers.
//!
//! No limit has a default in the schema: `resolve` fills them for an account's policy only, so that a strategy's
//! policy adds nothing where it is silent.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
#![expect(clippy::doc_markdown, reason = "kubectl explain shows these comments, backticks and all")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Decimal, GoDuration, HaltAction, KeyText, PercentNumber};

/// Breaker names that halts of other origins use.
pub const RESERVED_BREAKER_NAMES: [&str; 3] = ["latched", "ledger-unknown", "balances-differ"];

/// Limits and breakers.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[kube(
    group = "tradewind.dev",
    version = "v1alpha1",
    kind = "RiskPolicy",
    plural = "riskpolicies",
    shortname = "riskpol",
    category = "trading",
    namespaced,
    status = "RiskPolicyStatus",
    derive = "PartialEq",
    doc = "Limits on what may be traded and breakers that halt by themselves. Each account names one; a strategy may name another, which can only tighten. An entry that would pass a limit is denied and the reason is recorded; exits are never limited.",
    cel,
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$')")
        .message("metadata.name must be a lower-case DNS label of at most 52 characters that starts with a letter; rename the policy"),
    printcolumn(name = "MIN-CONF%", type_ = "number", json_path = ".spec.strategy.minConfidencePercent"),
    printcolumn(name = "MAX-POS%", type_ = "number", json_path = ".spec.strategy.maxPositionPercent"),
    printcolumn(name = "MAX-EXPOSURE%", type_ = "number", json_path = ".spec.strategy.maxExposurePercent"),
    printcolumn(name = "BREAKERS", type_ = "string", json_path = ".status.breakers"),
    printcolumn(name = "BOUND", type_ = "string", json_path = ".status.bound"),
    printcolumn(name = "BREACHED", type_ = "string", json_path = ".status.conditions[?(@.type==\"Breached\")].status"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "ACCOUNT-EXPOSURE%", type_ = "number", json_path = ".spec.account.maxExposurePercent", priority = 1),
    printcolumn(name = "MIN-NOTIONAL", type_ = "string", json_path = ".spec.order.minNotional", priority = 1),
    printcolumn(name = "COOLDOWN", type_ = "string", json_path = ".spec.strategy.cooldown", priority = 1),
    printcolumn(name = "ACCEPTED", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct RiskPolicySpec {
    /// Limits on each order. Left out: an account's policy has the values named below, a strategy's policy adds
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderLimits>,

    /// Limits on each strategy. Left out: an account's policy has the values named below, a strategy's policy adds
    /// nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<StrategyLimits>,

    /// Limits on all strategies of an account together. They hold only where the policy is an account's; in the
    /// policy of a strategy they add nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountLimits>,

    /// Rules that halt by themselves when losses pass a line, at most 16, one entry a name. A tripped breaker stays
    /// tripped until its halt is resumed, whatever the policy says later. An account's policy that lists no breaker
    /// named drawdown has one: scope Strategy, 15 percent, confirmed for 10s, CancelEntries. Breakers of an account's
    /// and a strategy's policy unite by name: the lower percent, the shorter confirmation, the severer action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 16))]
    pub breakers: Vec<Breaker>,
}

/// Limits on each order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderLimits {
    /// Smallest notional of an entry, in the account's quote currency, as decimal text, zero or more; a smaller entry
    /// is denied. Left out in an account's policy: 25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_notional: Option<Decimal>,

    /// How long a position of a strategy with exits.protection AtVenue may be without the stop order it should have at
    /// the venue, a duration from 0s to 10m, in the time of the market data; then it is sold at the market. Until then the
    /// stop is tried again and the worker sells on marks. So long may marks also be at or below a stop order that still
    /// rests, before the worker sells instead. Left out in an account's policy: 10s. Of two policies the shorter holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('10m')").message("flattenUnprotectedAfter must be at most 10m; use a value such as 10s"))]
    pub flatten_unprotected_after: Option<GoDuration>,
}

/// Limits on each strategy. Percentages are of the strategy's own equity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.maxPositionPercent) || !has(self.maxExposurePercent) || self.maxPositionPercent <= self.maxExposurePercent")
    .message("maxPositionPercent must not be above maxExposurePercent, or no position could reach it; lower maxPositionPercent or raise maxExposurePercent"))]
pub struct StrategyLimits {
    /// Smallest confidence of a signal that may enter, in percent, 0 to 100, at most four decimals; a less confident
    /// signal is denied. Left out in an account's policy: 65.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub min_confidence_percent: Option<PercentNumber>,

    /// Largest notional of one position, in percent of the strategy's equity, 0.01 to 100, at most four decimals; an
    /// entry that would pass it is denied. Left out in an account's policy: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100))]
    pub max_position_percent: Option<PercentNumber>,

    /// Largest notional of all positions and open entries of a strategy together, in percent of its equity, 0.01 to
    /// 100, at most four decimals; an entry that would pass it is denied. Left out in an account's policy: 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100))]
    pub max_exposure_percent: Option<PercentNumber>,

    /// Largest number of positions a strategy has open at once, 1 to 1000; a further entry is denied. Left out in an
    /// account's policy: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_open_positions: Option<i32>,

    /// Time after the last fill in an instrument during which it is not entered again, a duration from 0s to 720h; an
    /// earlier entry is denied. Left out in an account's policy: 60m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('720h')").message("cooldown must be at most 720h; use a value such as 60m"))]
    pub cooldown: Option<GoDuration>,

    /// Largest number of entries in one instrument in one UTC day, 1 to 10000; a further entry is denied. Left out in
    /// an account's policy: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_trades_per_instrument_per_day: Option<i32>,
}

/// Limits on all strategies of an account together. Percentages are of the account's equity.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountLimits {
    /// Largest notional of all positions and open entries of all strategies together, in percent of the account's
    /// equity, 0.01 to 100, at most four decimals; an entry that would pass it is denied. Left out: 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100))]
    pub max_exposure_percent: Option<PercentNumber>,
}

/// A rule that halts by itself when losses pass a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Name of the breaker, a DNS label of at most 52 characters; the halt it makes is named after it. Not latched,
    /// ledger-unknown or balances-differ, which other halts are named.
    #[x_kube(validation = Rule::new("!(self in ['latched', 'ledger-unknown', 'balances-differ'])").message("a breaker must not be named latched, ledger-unknown or balances-differ, which other halts are named; choose another name"))]
    pub name: crate::common::ObjectName,
    /// Whose equity it watches: Strategy each strategy's own, halting that strategy; Account the account's, halting
    /// all of them. An Account breaker holds only where the policy is an account's.
    pub scope: BreakerScope,
    /// When it trips: exactly one of the variants.
    pub trip: Trip,
    /// What its halt does: StopEntries makes no entries, CancelEntries also cancels open ones, Liquidate also sells
    /// what is held.
    pub action: HaltAction,
}

/// Whose equity a breaker watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BreakerScope {
    /// Each strategy's own.
    Strategy,
    /// The account's.
    Account,
}

/// When a breaker trips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Trip {
    /// Equity has fallen too far below its high-water mark.
    Drawdown(DrawdownTrip),
}

/// A fall of equity below its high-water mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrawdownTrip {
    /// Fall below the high-water mark at which it trips, in percent, 0.01 to 100, at most four decimals. Deposits and
    /// withdrawals do not count.
    #[schemars(range(min = 0.01, max = 100))]
    pub percent: PercentNumber,
    /// Time the fall must last before it trips, a duration from 0s to 24h, in the time of the market data; a bar's low
    /// is one mark. Left out: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) <= duration('24h')").message("confirmFor must be at most 24h; use a value such as 10s"))]
    pub confirm_for: Option<GoDuration>,
}

/// What the operator sees of the policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RiskPolicyStatus {
    /// The metadata.generation this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Accepted: whether the policy can be used as it is written. Breached: whether one of its breakers has tripped
    /// and is not resumed. Reconciling and Stalled as everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Who uses it, such as "1 account, 2 strategies".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub bound: Option<String>,
    /// Its breakers in short, such as "drawdown 15%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub breakers: Option<String>,
    /// The halts of its breakers that hold, by name; at most 64 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 64))]
    pub breaches: Vec<KeyText>,
}
