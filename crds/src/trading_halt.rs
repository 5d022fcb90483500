//! TradingHalt: a halt as an object of its own. Its existence halts, its deletion resumes.
//!
//! Wire types only: whom a halt reaches is decided in [`crate::resolve`].

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
#![expect(clippy::doc_markdown, reason = "kubectl explain shows these comments, backticks and all")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Empty, HaltAction, KeyText, ObjectRef, SymbolText};

/// A halt: whom it reaches, what it does, and why.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "tradewind.dev",
    version = "v1alpha1",
    kind = "TradingHalt",
    plural = "tradinghalts",
    shortname = "thalt",
    category = "trading",
    namespaced,
    status = "TradingHaltStatus",
    derive = "PartialEq",
    doc = "A halt. While the object exists its target makes no entries; exits and stops go on. Deleting it resumes. Never kept in Git, or Git would undo it. A tripped breaker is a TradingHalt too.",
    cel,
    validation = Rule::new("size(self.metadata.name) <= 120")
        .message("metadata.name must have at most 120 characters; shorten it"),
    selectable = ".spec.action",
    printcolumn(name = "TARGET", type_ = "string", json_path = ".status.target"),
    printcolumn(name = "ACTION", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "EFFECTIVE", type_ = "string", json_path = ".status.conditions[?(@.type==\"Effective\")].status"),
    printcolumn(name = "BY", type_ = "string", json_path = ".spec.requestedBy"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "AFFECTED", type_ = "string", json_path = ".status.affected", priority = 1),
    printcolumn(name = "SINCE", type_ = "date", json_path = ".status.effectiveSince", priority = 1),
    printcolumn(name = "WAITING", type_ = "string", json_path = ".status.waiting", priority = 1),
    printcolumn(name = "REASON", type_ = "string", json_path = ".spec.reason", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("the spec of a TradingHalt is immutable; create a second halt, then delete this one"))]
pub struct TradingHaltSpec {
    /// Whom it reaches: exactly one of the variants.
    pub target: Target,

    /// Only these instruments, at most 64, such as BTC-USD. Default: empty, which means all.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 64))]
    pub instruments: Vec<SymbolText>,

    /// What it does: StopEntries makes no entries, CancelEntries also cancels open ones, Liquidate also sells what is
    /// held. Of several halts the severest holds. Default: CancelEntries.
    #[serde(default)]
    pub action: HaltAction,

    /// Why, in a few words, 1 to 1024 characters; shown wherever the halt is.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,

    /// Who asked for it, at most 256 characters. Default: empty.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub requested_by: String,
}

/// Whom a halt reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// One strategy of this namespace.
    Strategy(ObjectRef),
    /// All strategies of this namespace that carry the labels.
    Selector(Selector),
    /// All strategies of one account of this namespace.
    Account(ObjectRef),
    /// All strategies of this namespace.
    Namespace(Empty),
    /// All strategies of the cluster, when made in the operator's namespace; elsewhere all of its own namespace.
    Cluster(Empty),
}

/// Strategies by their labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels a strategy must carry, all of them, with these values; 1 to 8.
    #[schemars(length(min = 1, max = 8))]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8))]
    pub match_labels: BTreeMap<String, LabelValue>,
}

/// The value of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelValue(pub String);

impl JsonSchema for LabelValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LabelValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": r"^(|[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$", "maxLength": 63})
    }
}

/// What the operator sees of the halt.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TradingHaltStatus {
    /// The metadata.generation this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Effective: whether each worker it reaches has it in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// Whom it reaches, in short, such as "strategy btc-trend".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub target: Option<String>,
    /// How many of the strategies it reaches have it in force, such as "2/2 strategies". Strategies that no worker
    /// runs do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub affected: Option<String>,
    /// When each strategy it reaches had it in force; absent while one has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_since: Option<Time>,
    /// The strategies it reaches whose worker has not yet said that it is in force, by name, with the namespace where
    /// that is another; at most 64 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 64))]
    pub waiting_for: Vec<KeyText>,
    /// The first of waitingFor as text, and how many more there are, such as "btc-trend, eth-trend"; absent when there are
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub waiting: Option<String>,
}
