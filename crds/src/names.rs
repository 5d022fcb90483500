//! The names operator and worker agree on: field managers, labels, annotations, and what belongs to an account.
//!
//! A name that two programs must write alike is written here and nowhere else.

/// Field manager of the operator. Not beginning with `kubectl`: Flux takes such managers' fields over and prunes them.
pub const OPERATOR_MANAGER: &str = "tradewind-operator";
/// Field manager of the workers.
pub const WORKER_MANAGER: &str = "tradewind-worker";

/// Kept on accounts, strategies and policies until what they hold is settled.
pub const FINALIZER: &str = "tradewind.dev/settle";
/// Annotation (`"true"`) that lets a deleted object go at once, settled or not.
pub const LET_GO: &str = "tradewind.dev/let-go";
/// Annotation of an account; a new value restarts its worker once.
pub const RESTARTED_AT: &str = "tradewind.dev/restarted-at";

/// Label of all children: which part they are; the value is [`COMPONENT_WORKER`].
pub const COMPONENT_LABEL: &str = "tradewind.dev/component";
/// The value of [`COMPONENT_LABEL`].
pub const COMPONENT_WORKER: &str = "worker";
/// Label of all children: the name of their account.
pub const ACCOUNT_LABEL: &str = "tradewind.dev/account";
/// Label of all children: the uid of their account.
pub const ACCOUNT_UID_LABEL: &str = "tradewind.dev/account-uid";
/// Annotation of the pod template: changes exactly when a running worker must be restarted to follow.
pub const RESTART_HASH: &str = "tradewind.dev/restart-hash";
/// Annotation of the pod template: the image the operator asks for. Others may have the pod run another, such as that of
/// a mirror.
pub const WORKER_IMAGE: &str = "tradewind.dev/worker-image";

/// Annotations of the account's Lease: which ledger its holder writes, copied after the ledger itself.
pub mod lease {
    /// Tag of the ledger's client order ids: eight hexadecimal digits.
    pub const INCARNATION: &str = "tradewind.dev/incarnation";
    /// How often the ledger was opened for writing, decimal.
    pub const EPOCH: &str = "tradewind.dev/epoch";
    /// The last row of the ledger's hash chain, as `number:hash`.
    pub const HEAD: &str = "tradewind.dev/audit-head";
    /// Uid of the account the ledger is written for.
    pub const ACCOUNT: &str = "tradewind.dev/account-uid";
}

/// Name of an account's StatefulSet: the account's own. A StatefulSet's name stands in a label of its pods with eleven
/// characters more, so that 52 is the most it can have.
pub fn stateful_set(account: &str) -> String {
    account.to_owned()
}

/// Name of an account's only pod.
pub fn pod(account: &str) -> String {
    format!("{account}-0")
}

/// Name of an account's ServiceAccount, Role, RoleBinding, Service, NetworkPolicy and Lease.
pub fn worker(account: &str) -> String {
    format!("{account}-worker")
}

/// Name of the ConfigMap that an account and its strategies are published in.
pub fn config_map(account: &str) -> String {
    format!("{account}-config")
}

/// Name of the claim an account's ledger lies on.
pub fn ledger_claim(account: &str) -> String {
    format!("{account}-ledger")
}

/// Name of the TradingHalt that latches `spec.halted` of a strategy.
pub fn latch(strategy: &str) -> String {
    format!("strategy.{strategy}.latched")
}

/// Name of the Role and RoleBinding, in the operator's namespace, by which all workers of a namespace read its halts.
pub fn halt_reader(namespace: &str) -> String {
    format!("tradewind-halts-{namespace}")
}
