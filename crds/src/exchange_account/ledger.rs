//! Where an account keeps its ledger.
//!
//! Wire types only, as in the module above.

#![expect(unreachable_pub, reason = "KubeSchema repeats each type inside a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tls;
use crate::common::ObjectRef;

/// Where orders, fills and decisions are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Ledger {
    /// A SQLite file on a volume of the worker's own.
    Sqlite(SqliteLedger),
    /// A MariaDB or MySQL database, which many accounts may share. MySQL 8 is untested.
    Mysql(MysqlLedger),
}

/// A database for ledgers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.tls.plainText) || self.host in ['localhost', '127.0.0.1', '::1']")
    .message("ledger.mysql.tls may be plainText on loopback only; write tls: {required: {}}"))]
pub struct MysqlLedger {
    /// Name or address of the server, at most 253 characters. The worker goes where it leads with its next start.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$|^::1$")
    )]
    pub host: String,
    /// Port number of the server, 1 to 65535. Default: 3306.
    #[serde(default = "default_mysql_port")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i32,
    /// The database, at most 64 characters. Empty at first, it holds ledgers and nothing else.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_$-]+$"))]
    pub database: String,
    /// The Secret with the entries username, password and, where the server's certificate is not from a public authority,
    /// ca.crt, in the same namespace. The pod waits for it; what is in it is read anew with each connection.
    pub credentials_secret_ref: ObjectRef,
    /// Whether connections are encrypted: exactly one of the variants; plainText on loopback only. Default: required.
    #[serde(default)]
    pub tls: Tls,
}

fn default_mysql_port() -> i32 {
    3306
}

impl Default for Ledger {
    fn default() -> Self {
        Self::Sqlite(SqliteLedger::default())
    }
}

/// The volume of a SQLite ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
    .message("ledger.sqlite.storageClassName is immutable; create a second account to keep its ledger elsewhere"))]
pub struct SqliteLedger {
    /// Size of the volume as a Kubernetes quantity, such as 1Gi; may grow, never shrink. A full volume stops entries.
    /// Default: 1Gi.
    #[serde(default = "default_ledger_size")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$"))]
    #[x_kube(validation = Rule::new("quantity(self).compareTo(quantity(oldSelf)) >= 0").message("ledger.sqlite.size must not shrink; keep the old size or a larger one"))]
    pub size: String,
    /// Storage class of the volume. Immutable. Left out: the cluster's default class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

fn default_ledger_size() -> String {
    "1Gi".to_owned()
}

impl Default for SqliteLedger {
    fn default() -> Self {
        Self { size: default_ledger_size(), storage_class_name: None }
    }
}
