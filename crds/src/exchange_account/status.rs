//! What is reported of an account. The operator owns all but `applied`, `trading` and the worker's conditions.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]
#![expect(clippy::doc_markdown, reason = "kubectl explain shows these comments, backticks and all")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{Applied, AssetText, Decimal, HaltStatus, ObjectName, UidText};
use crate::trading_strategy::{Phase, Portfolio};

/// What the operator and the worker see of the account.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeAccountStatus {
    /// The metadata.generation this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people, derived from the conditions; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Ready, Reconciling, Stalled and Halted by the operator; DataFresh, PositionsReconciled, PositionsProtected,
    /// Supervised and, with a bus, BusRelaying by the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The kind of venue, such as Paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub venue: Option<String>,
    /// Running strategies of all that name the account, such as "2/3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub strategies: Option<String>,
    /// Which halts hold for the whole account and what they do together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltStatus>,
    /// Which strategy may use how much cash and which base assets; oldest first, kept until released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    #[schemars(length(max = 1024))]
    pub grants: Vec<GrantStatus>,
    /// The worker's pod; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerStatus>,
    /// What the worker has in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// What the worker reports, written when something happened and at most each 60 seconds otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trading: Option<AccountTrading>,
}

/// The worker's pod, as the cluster tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Name of the worker's pod.
    #[schemars(length(max = 63))]
    pub pod: String,
    /// Node the pod runs on; absent while it is not scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// Whether the worker answers that it is ready.
    pub ready: bool,
    /// Number of times its container was restarted since the pod was made.
    pub restarts: i32,
    /// The image the pod runs; an upgrade of the operator reaches it when the pod is next replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub image: String,
}

/// What one strategy may use of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantStatus {
    /// Uid of the strategy that holds the grant.
    pub uid: UidText,
    /// Name of the strategy, for people.
    pub name: ObjectName,
    /// Cash it may use, in the account's quote currency, as decimal text.
    pub capital: Decimal,
    /// Base assets that it alone may trade on the account.
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 128))]
    pub assets: Vec<AssetText>,
}

/// What the worker reports of the account. Strings are for people; exact numbers are decimal text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountTrading {
    /// Cash and positions at the mark, such as "10071.86 USD".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub equity: Option<String>,
    /// Change of equity over the last 24 hours, such as "+1.8%".
    #[serde(default, rename = "pnl24h", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pnl_24h: Option<String>,
    /// Loss from the reference of the account's breakers, such as "4.2%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub drawdown: Option<String>,
    /// Positions and open entries of all strategies as part of equity, such as "41%".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub exposure: Option<String>,
    /// The account's money, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portfolio: Option<Portfolio>,
}
