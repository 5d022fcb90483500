//! What the worker shows: one value, copied out of the engine after each step that people could care about.
//!
//! The HTTP endpoints, the metrics, the live table and the plain lines are all functions of a [`Snapshot`]; none of them
//! touches the engine.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use tradewind_core::books::Difference;
use tradewind_core::decision::Stage;
use tradewind_core::engine::{AccountView, OrderView, StrategyView};
use tradewind_core::halt::Halt;
use tradewind_core::limits::{AccountLimits, Breaker};
use tradewind_core::money::{Cash, Percent, Price};
use tradewind_core::name::{Asset, Symbol};
use tradewind_core::order::{Purpose, Side};
use tradewind_core::time::{Millis, Timestamp};
use tradewind_venues::binance_us::Traffic;

use crate::bus::BusFacts;
use crate::measures::Measures;

/// Where the worker stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
pub enum Phase {
    /// Reading the ledger, settling open orders, warming up.
    Recovering,
    /// Bars are processed.
    Running,
    /// The data has ended; what is held is still shown.
    Completed,
    /// Asked to stop: no new bars, the rest is written.
    Draining,
}

/// Everything that is shown.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where the worker stands.
    pub phase: Phase,
    /// Event time of the last step.
    pub now: Timestamp,
    /// How often a step is due, in event time.
    pub cycle: Millis,
    /// `namespace/name` of the account.
    pub account_name: SmolStr,
    /// Venue kind, lower case, such as `paper`.
    pub venue: SmolStr,
    /// Quote currency of the account.
    pub currency: SmolStr,
    /// The account.
    pub account: AccountView,
    /// Limits over all strategies.
    pub account_limits: AccountLimits,
    /// Breakers on the account's equity.
    pub account_breakers: Vec<Breaker>,
    /// Equity of the account at the end of the last UTC day, if one has ended.
    pub equity_yesterday: Option<Cash>,
    /// The strategies, in the engine's order.
    pub strategies: Vec<StrategyView>,
    /// Feed position and mark of each instrument.
    pub instruments: Vec<InstrumentSnapshot>,
    /// Orders whose story has not ended.
    pub open_orders: Vec<OrderView>,
    /// Halts in force.
    pub halts: Vec<Halt>,
    /// What the ledger says the account holds of each asset.
    pub holdings: Vec<(Asset, Cash)>,
    /// Where the venue holds something else than the ledger says.
    pub balance_differences: Vec<Difference>,
    /// The last decision of each strategy in each instrument: the newest of each pair.
    pub last_decisions: Vec<DecisionSnapshot>,
    /// The last decision of each pair in which the signal said buy or sell.
    pub last_signals: Vec<DecisionSnapshot>,
    /// The newest fills, newest first, at most [`RECENT_TRADES`].
    pub recent_trades: Vec<TradeSnapshot>,
    /// Counters since this process began.
    pub totals: Totals,
}

/// Fills kept for `/trades/recent`.
pub const RECENT_TRADES: usize = 200;

/// One instrument of the feed.
#[derive(Debug, Clone)]
pub struct InstrumentSnapshot {
    /// Which.
    pub symbol: Symbol,
    /// Close time of its last bar.
    pub last_bar_close: Option<Timestamp>,
    /// The latest price, decimal.
    pub mark: SmolStr,
    /// The latest price in units of the instrument.
    pub mark_units: Price,
}

/// A decision in words.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionSnapshot {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub strategy: SmolStr,
    /// In what.
    pub symbol: Symbol,
    /// What the signal said.
    pub side: Option<Side>,
    /// How sure it was.
    pub confidence: Option<Percent>,
    /// Close of the decision bar, decimal.
    pub close: SmolStr,
    /// Indicator names and values.
    pub readings: Vec<(&'static str, f64)>,
    /// How far it came.
    pub stage: Stage,
    /// `Enter`, `Exit` or a denial code.
    pub outcome: &'static str,
    /// One sentence with values and limits.
    pub detail: String,
}

/// A fill in words. Amounts are in the quote currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeSnapshot {
    /// The venue's id.
    pub trade_id: SmolStr,
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub strategy: SmolStr,
    /// In what.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// Why.
    pub purpose: Purpose,
    /// Decimal price.
    pub price: SmolStr,
    /// Decimal quantity.
    pub quantity: SmolStr,
    /// Price times quantity.
    pub notional: Cash,
    /// What it cost.
    pub fee: Cash,
    /// In which asset.
    pub fee_asset: SmolStr,
    /// Profit or loss it realized, after fees; none for a buy.
    pub realized: Option<Cash>,
}

/// Counters since this process began, as counters of a process are read; the ledger has the whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    /// Bars processed by this process.
    pub bars: u64,
    /// Fills.
    pub fills: u64,
    /// Decisions by stage and outcome (`Enter`, `Exit` or a denial code).
    pub decisions: BTreeMap<(&'static str, &'static str), u64>,
    /// Signals that said buy or sell, by symbol, side and outcome.
    pub signals: BTreeMap<(SmolStr, &'static str, &'static str), u64>,
    /// Orders by symbol, side, kind and the state they ended in (`filled`, `cancelled`, `rejected`, …).
    pub orders: BTreeMap<(SmolStr, &'static str, &'static str, &'static str), u64>,
    /// What came of the signals of each strategy, by name.
    pub strategies: BTreeMap<SmolStr, StrategyTotals>,
    /// Fees in the quote currency's worth.
    pub fees: Cash,
    /// Sum of winning sales, after fees.
    pub realized_profit: Cash,
    /// Sum of losing sales, after fees, as a positive number.
    pub realized_loss: Cash,
    /// Winning sales.
    pub wins: u64,
    /// Losing sales.
    pub losses: u64,
    /// Halts made, by source (`Manual`, `Breaker`, …) and the breaker that made them, if one did.
    pub halts: BTreeMap<(&'static str, SmolStr), u64>,
    /// Prices that lay off the tick and were rounded at the edge.
    pub off_tick: u64,
    /// Rows of the feed that were skipped as unusable.
    pub skipped_rows: u64,
    /// Instruments whose feed ended because it could not be read on, and why, in one sentence.
    pub broken_feeds: BTreeMap<Symbol, String>,
    /// Times that bars were missing before one that came, by symbol.
    pub gaps: BTreeMap<SmolStr, u64>,
    /// Prices heard between bars.
    pub marks: u64,
    /// Attempts to commit that failed.
    pub ledger_failures: u64,
    /// Attempts to write a status that failed; none where there is no cluster.
    pub status_failures: Option<u64>,
    /// What went over the wire; none where the venue is no exchange.
    pub traffic: Option<Traffic>,
    /// What was measured.
    pub measures: Measures,
    /// How the bus fares; none when the account has none.
    pub bus: Option<BusFacts>,
}

/// Counters of one strategy, counted as those of [`Totals`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StrategyTotals {
    /// Signals that said buy or sell, by outcome.
    pub signals: BTreeMap<&'static str, u64>,
    /// Fills.
    pub fills: u64,
    /// Sum of winning sales, after fees.
    pub realized_profit: Cash,
    /// Sum of losing sales, after fees, as a positive number.
    pub realized_loss: Cash,
    /// Winning sales.
    pub wins: u64,
    /// Losing sales.
    pub losses: u64,
}
