//! Condition types, and the closed set of reasons that conditions and events carry.
//!
//! The comments are the documentation: `docs/conditions.md` is generated from them, and a test holds it to this file.

/// Types of conditions. The operator writes the first five, the worker the rest.
pub mod condition {
    /// The summary: the object does what its spec says. A strategy that is halted on purpose is ready.
    pub const READY: &str = "Ready";
    /// True while something is being brought about.
    pub const RECONCILING: &str = "Reconciling";
    /// True while only a person can bring it forward.
    pub const STALLED: &str = "Stalled";
    /// Whether the account has granted a strategy its capital and assets.
    pub const GRANTED: &str = "Granted";
    /// True while a halt holds.
    pub const HALTED: &str = "Halted";
    /// Of a policy: whether its limits can be used.
    pub const ACCEPTED: &str = "Accepted";
    /// Of a policy: whether one of its breakers has tripped and is not yet resumed.
    pub const BREACHED: &str = "Breached";
    /// Of a halt: whether each worker it reaches has it in force.
    pub const EFFECTIVE: &str = "Effective";
    /// Whether bars come in as they should.
    pub const DATA_FRESH: &str = "DataFresh";
    /// Whether the ledger's positions are the venue's.
    pub const POSITIONS_RECONCILED: &str = "PositionsReconciled";
    /// Whether each position that has a stop loss is guarded by one.
    pub const POSITIONS_PROTECTED: &str = "PositionsProtected";
    /// Of a strategy being deleted, by the worker: whether its deletionPolicy was carried out.
    pub const SETTLED: &str = "Settled";
    /// Whether the worker sees halts, holds its Lease and knows its configuration; while it does not, no entries.
    pub const SUPERVISED: &str = "Supervised";
    /// Of an account with a bus: whether events are told as they happen. Trading goes on either way.
    pub const BUS_RELAYING: &str = "BusRelaying";
    /// Of a strategy: true while its signal has ended the worker twice and is not evaluated any more.
    pub const QUARANTINED: &str = "Quarantined";
}

/// Why a condition is as it is, or why an event was written.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
    strum::EnumMessage,
    strum::IntoStaticStr,
)]
pub enum Reason {
    /// Runs as its spec says.
    Running,
    /// A halt holds: no entries, exits go on; the message names each halt and the command that resumes it.
    Halted,
    /// No halt holds.
    NotHalted,
    /// The spec says to exit only.
    ExitOnly,
    /// The spec says to stop: no signals; stops and breakers guard what is held.
    Stopped,
    /// The data of a replay has ended; the worker idles.
    Completed,
    /// The worker is being started, or has not yet taken this configuration over.
    WorkerStarting,
    /// The worker is being replaced, because its configuration changed in a way that needs a new process.
    WorkerReplacing,
    /// The worker does not stay up; the message says why, as far as Kubernetes tells.
    WorkerFailing,
    /// The worker's image cannot be pulled.
    ImageUnavailable,
    /// The worker's pod cannot be scheduled or its volume not be made; the message is the cluster's own.
    WorkerPending,
    /// The node of the worker's pod does not answer. No second worker is started before it is back or its Node object is
    /// deleted, because the first may still trade.
    NodeLost,
    /// The configuration of all strategies together is larger than a ConfigMap may be; what was published before stays.
    ConfigTooLarge,
    /// The account is gone and its ledger stays; the message says how to remove it.
    LedgerKept,
    /// The API server refused one of the worker's objects, such as by a quota; the message is its own.
    ChildRefused,
    /// An object of a name we need exists and is not ours; it is left alone. Rename or delete it.
    ForeignObject,
    /// The spec has problems; what was valid before stays in force.
    InvalidSpec,
    /// The account a strategy names does not exist: no entries.
    AccountNotFound,
    /// A policy that is named does not exist: no entries.
    PolicyNotFound,
    /// The account a strategy names is not ready.
    AccountNotReady,
    /// The capital or a base asset is not granted.
    NotGranted,
    /// Capital and base assets are granted.
    Granted,
    /// Nothing is being brought about.
    UpToDate,
    /// Something is being brought about.
    Progressing,
    /// Nothing stands in the way.
    NotStalled,
    /// It is being deleted and its deletionPolicy carried out.
    Deleting,
    /// It is being deleted but still named by others, which the message lists.
    InUse,
    /// Its deletionPolicy or its end was not confirmed in time, or it was let go by annotation; it was released all the
    /// same. Or finalizers of others keep what belonged to it.
    ReleasedUnsettled,
    /// The policy can be used.
    Valid,
    /// A breaker of the policy has tripped and is not resumed.
    BreakerTripped,
    /// No breaker of the policy is tripped.
    WithinLimits,
    /// Every worker the halt reaches has it in force.
    InForce,
    /// A worker the halt reaches has not acknowledged it yet.
    WaitingForWorkers,
    /// A strategy the halt reaches is halted by more TradingHalts than it can list, so that it cannot say whether this is
    /// one of them.
    TooManyHalts,
    /// The halt reaches no strategy at present; one that comes later is reached.
    NoTarget,
    /// A cluster halt outside the operator's namespace halts only its own namespace.
    OwnNamespaceOnly,
    /// A spec.halted was turned into a TradingHalt, which stays when the field goes away.
    HaltLatched,
    /// A halt was resumed by name.
    Resumed,
    /// Somebody took spec.halted back; the halt stays until it is resumed by name.
    RevertIgnored,
    /// spec.resume names no halt of this strategy that holds.
    ResumeIgnored,
    /// A child was changed or deleted by others and was put right.
    DriftRepaired,
    /// The worker was started or replaced.
    WorkerStarted,
    /// The configuration was taken over by the running worker.
    ConfigApplied,
    /// A position is being liquidated and not sold within 5 minutes: nobody buys near the mark, or the venue refuses. It
    /// goes on until all is sold.
    LiquidationOverdue,
    /// What is left of a position is dust: less than a lot, or worth less at the mark than the venue's smallest order, so
    /// that no order can sell it. It counts as nothing for all that waits until nothing is held.
    DustLeft,
    /// An order was sent.
    OrderSent,
    /// An order was filled.
    OrderFilled,
    /// The venue refused an order.
    OrderRejected,
    /// The worker did not send an order that the venue does not take.
    OrderDenied,
    /// Bars come in as they should.
    Streaming,
    /// The market data has no such instrument, or not this bar length; the strategy does not run.
    InstrumentUnavailable,
    /// The market data cannot be read, or the venue has told none for three minutes.
    DataUnavailable,
    /// Positions are those of the venue.
    InSync,
    /// The worker is still reading its ledger or asking the venue.
    Recovering,
    /// A deleted strategy of the same name has orders or sales under way; this one takes over what is left when they have
    /// ended, and makes no orders before.
    PredecessorUnsettled,
    /// What a deleted strategy of the same name had left on the account is this one's: positions, stops and money.
    TookOver,
    /// The ledger cannot be trusted until a person says so; no entries.
    LedgerUnknown,
    /// The venue holds other amounts than the ledger says: somebody deposited, withdrew or traded beside the worker. No
    /// entries; after two sweeps a halt, whose resumption books the difference as deposits and withdrawals.
    BalancesDiffer,
    /// An order or a trade on the account that the worker did not make: it is recorded, left alone and not counted.
    ExternalActivity,
    /// The ledger cannot be written or read; the worker ends and starts again from it, and nothing is traded meanwhile.
    LedgerUnavailable,
    /// What is held is guarded by its stops.
    StopsPlaced,
    /// What is held is guarded by the worker, as `exits.protection: AtWorker` asks: nothing sells while the worker does not
    /// run.
    GuardedByWorker,
    /// Something is held without the stop it should have. A stop order that could not be placed is tried again, the worker
    /// guards the position meanwhile, and after the policy's order.flattenUnprotectedAfter it is sold.
    StopMissing,
    /// A position was without its stop order for longer than the policy's order.flattenUnprotectedAfter and is sold.
    Flattened,
    /// The strategy holds nothing, or has no stop loss.
    NothingToProtect,
    /// The worker sees halts, holds its Lease and knows its configuration.
    Supervised,
    /// The worker does not see halts at present; no entries.
    Blind,
    /// The worker does not hold the account's Lease; no entries.
    LeaseLost,
    /// The configuration has a format this worker does not know; no entries.
    UnknownFormat,
    /// What the deletionPolicy asks for is done.
    Settled,
    /// What the deletionPolicy asks for is under way.
    Settling,
    /// The strategy's signal ended the worker twice; it is not evaluated until the spec changes.
    SignalCrashed,
    /// The strategy's signal is evaluated.
    NotQuarantined,
    /// Events are told to the bus as they happen.
    Relaying,
    /// The worker is connecting to the bus; events wait in the ledger.
    BusConnecting,
    /// The bus cannot be used at present; events wait in the ledger until it can. The message says why.
    BusUnavailable,
    /// The bus does not let the worker in or not do what it must; check user, password, rights and memory.
    BusRefused,
    /// Something else is kept under the name of a stream; rename or delete it.
    BusKeyTaken,
    /// A file of the Secret that the account's bus names is missing.
    BusCredentialsMissing,
}

impl Reason {
    /// The reason as conditions and events carry it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
