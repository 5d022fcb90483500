//! The port: what a worker asks of a ledger, and the rows it hands over. No SQL and no files here.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tradewind_core::event::Record;
use tradewind_core::halt::Halt;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, Percent};
use tradewind_core::name::{Asset, Symbol, Uid};
use tradewind_core::order::{IntentId, Liquidity, Purpose, Side};
use tradewind_core::recovery::{Checkpoint, History, LedgerIdentity};
use tradewind_core::time::Timestamp;

use crate::chain::ChainHead;
use crate::error::LedgerError;

/// All that becomes durable together. Empty slices are fine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Batch<'a> {
    /// Append-only rows, in the order they happened.
    pub records: &'a [Record],
    /// Decisions made since the last commit.
    pub decisions: &'a [DecisionRow],
    /// Equity since the last commit.
    pub equity: &'a [EquityRow],
    /// The engine's checkpoint after the records; none leaves the one before in place.
    pub checkpoint: Option<&'a Checkpoint>,
    /// Rules of every instrument of the account: units become the decimals people read by them.
    pub rules: &'a [InstrumentRules],
    /// Names of the strategies; one that is not listed goes by its uid.
    pub names: &'a [(Uid, SmolStr)],
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Fills that were not in the ledger before. A fill told twice is one fill.
    pub new_fills: usize,
}

/// A decision as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRow {
    /// Close time of the bar.
    pub at: Timestamp,
    /// Open time of the bar.
    pub bar: Timestamp,
    /// Who.
    pub strategy: Uid,
    /// Its name.
    pub strategy_name: SmolStr,
    /// In what.
    pub symbol: Symbol,
    /// What the signal said, if it said anything.
    pub side: Option<Side>,
    /// How sure it was.
    pub confidence: Option<Percent>,
    /// Close of the bar, decimal.
    pub close: SmolStr,
    /// Quantity held, decimal.
    pub position: SmolStr,
    /// Indicator values, JSON text.
    pub readings: String,
    /// How far it came.
    pub stage: SmolStr,
    /// `Enter`, `Exit` or a denial code.
    pub outcome: SmolStr,
    /// One sentence with values and limits.
    pub detail: String,
    /// The intent, for an entry.
    pub intent: Option<IntentId>,
}

/// Equity of a strategy or the account at one time, in the quote currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EquityRow {
    /// Whose; none is the account.
    pub strategy: Option<Uid>,
    /// Its name.
    pub strategy_name: SmolStr,
    /// When.
    pub at: Timestamp,
    /// Cash and positions at their marks.
    pub equity: Cash,
    /// Cash alone.
    pub cash: Cash,
    /// What drawdown is measured from.
    pub reference: Cash,
    /// Positions at their marks.
    pub exposure: Cash,
}

/// A fill as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TradeRow {
    /// The order it belongs to.
    pub intent: IntentId,
    /// The venue's id of it.
    pub trade_id: SmolStr,
    /// Whose.
    pub strategy: Uid,
    /// Its name.
    pub strategy_name: SmolStr,
    /// In what.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Why the order was made.
    pub purpose: Purpose,
    /// At what price, decimal.
    pub price: SmolStr,
    /// How much, decimal.
    pub quantity: SmolStr,
    /// What it cost.
    pub fee: Cash,
    /// In which asset.
    pub fee_asset: Asset,
    /// Maker or taker.
    pub liquidity: Liquidity,
    /// The venue's time of it.
    pub at: Timestamp,
}

/// What a strategy holds of one asset, by double entry over transfers and fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalanceRow {
    /// Whose; none is the account's unallocated cash.
    pub strategy: Option<Uid>,
    /// Of what.
    pub asset: Asset,
    /// How much.
    pub amount: Cash,
}

/// Which decisions to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionFilter {
    /// Of the strategy of that name.
    pub strategy: Option<SmolStr>,
    /// In that instrument.
    pub symbol: Option<Symbol>,
    /// Not older than this.
    pub since: Option<Timestamp>,
    /// At most that many, the newest.
    pub limit: u32,
}

impl Default for DecisionFilter {
    fn default() -> Self {
        Self { strategy: None, symbol: None, since: None, limit: 1000 }
    }
}

/// How often decisions of one strategy came to one end since the ledger began, pruned ones included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeCount {
    /// Name of the strategy.
    pub strategy_name: SmolStr,
    /// How far the decisions came.
    pub stage: SmolStr,
    /// `Enter`, `Exit` or a denial code.
    pub outcome: SmolStr,
    /// How many.
    pub count: u64,
}

/// What one call of [`Ledger::prune`] deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Decisions deleted.
    pub decisions: u64,
    /// Equity rows deleted.
    pub equity: u64,
    /// Whether older rows are left: call again.
    pub more: bool,
}

/// Reading a ledger.
#[expect(async_fn_in_trait, reason = "only dispatched statically; callers see the concrete futures")]
pub trait LedgerReader {
    /// All that is needed to go on where the last commit stopped, as of one moment. Decisions are not read.
    async fn history(&mut self) -> Result<History, LedgerError>;

    /// Decisions, newest first.
    async fn decisions(&mut self, filter: &DecisionFilter) -> Result<Vec<DecisionRow>, LedgerError>;

    /// How often decisions came to which end, by strategy, stage and outcome.
    async fn outcomes(&mut self) -> Result<Vec<OutcomeCount>, LedgerError>;

    /// How many fills there are, by strategy name.
    async fn fill_counts(&mut self) -> Result<Vec<(SmolStr, u64)>, LedgerError>;

    /// Instruments in which an order was ever decided: their rules are needed to fold the ledger.
    async fn symbols(&mut self) -> Result<Vec<Symbol>, LedgerError>;

    /// Fills, newest first.
    async fn trades(&mut self, limit: u32) -> Result<Vec<TradeRow>, LedgerError>;

    /// Equity of a strategy (none is the account) since a time, oldest first.
    async fn equity(
        &mut self,
        strategy: Option<Uid>,
        since: Timestamp,
    ) -> Result<Vec<EquityRow>, LedgerError>;

    /// Halts in force, in the order they were made.
    async fn halts(&mut self) -> Result<Vec<Halt>, LedgerError>;

    /// What each strategy holds of each asset, unallocated cash first.
    async fn balances(&mut self) -> Result<Vec<BalanceRow>, LedgerError>;

    /// The end of the hash chain as of the last commit.
    async fn head(&mut self) -> Result<ChainHead, LedgerError>;

    /// Whether the chain once ended there: whoever knows such an end knows this ledger, which may have grown since.
    async fn contains(&mut self, head: &ChainHead) -> Result<bool, LedgerError>;
}

/// Writing a ledger. There is one writer at a time; each opening for writing raises the epoch.
#[expect(async_fn_in_trait, reason = "only dispatched statically; callers see the concrete futures")]
pub trait Ledger: LedgerReader {
    /// Who the ledger is and which epoch this writer has.
    fn identity(&self) -> LedgerIdentity;

    /// Makes the batch durable, all or nothing.
    ///
    /// In the same transaction it is checked that no other writer has come ([`LedgerError::Fenced`]), that an
    /// intent's number and client order id are new, that a transition starts where its order stands (state and
    /// attempt; an order never sent stands at attempt zero, each send raises it by one), and that intents and
    /// transitions carry the writer's own epoch ([`LedgerError::Conflict`]). A fill that is already there is not
    /// booked again; one with the same trade id and other numbers is a conflict.
    async fn commit(&mut self, batch: &Batch<'_>) -> Result<Committed, LedgerError>;

    /// Deletes decisions and equity from before a time, a bounded number a call ([`Pruned::more`] tells to call
    /// again). All other rows are kept for ever.
    async fn prune(&mut self, before: Timestamp) -> Result<Pruned, LedgerError>;
}
