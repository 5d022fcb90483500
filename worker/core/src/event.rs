//! What goes into the engine and what comes out of it. Both are data: they can be recorded, compared and replayed.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::books::Difference;
use crate::config::Config;
use crate::decision::{Decision, StrategyId};
use crate::external::External;
use crate::halt::{EntryBlock, Halt};
use crate::instrument::{Bar, InstrumentId};
use crate::money::{Cash, Price, Quantity};
use crate::name::{Asset, Uid};
use crate::order::{
    ClientOrderId, Fill, Intent, IntentId, OrderRef, OrderRequest, OrderUpdate, Signing, Transition,
};
use crate::protocol::{IllegalTransition, Origin};
use crate::time::Timestamp;

/// Something that happened, and when. The engine knows no other clock than `now`, which never goes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When the engine is told.
    pub now: Timestamp,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EventKind {
    /// A bar of the feed is complete. Its low and its close are marks too.
    Bar {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The bar.
        bar: Bar,
    },
    /// A bar from before the start: it fills the indicators and decides nothing.
    WarmUp {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The bar.
        bar: Bar,
    },
    /// The latest fair price between bars.
    Mark {
        /// Of which instrument.
        instrument: InstrumentId,
        /// The price.
        price: Price,
    },
    /// Time has passed.
    Timer,
    /// The intent, its latest signing and all before them are on stable storage.
    Durable {
        /// Which.
        intent: IntentId,
    },
    /// The venue said something of an order.
    OrderUpdate {
        /// Which.
        client_order_id: ClientOrderId,
        /// What.
        update: OrderUpdate,
    },
    /// The venue told a trade.
    Fill(Fill),
    /// A halt was made or resumed.
    HaltChange(HaltChange),
    /// From now on the worker lets no entry through, or (none) does again.
    EntryGate(Option<EntryBlock>),
    /// The account or its strategies changed.
    ConfigChange(Box<Config>),
    /// Cash came in or went out by other ways than trading.
    Transfer(Transfer),
    /// The venue told what the account holds of each asset, with all its fills told before.
    Balances(Vec<(Asset, Cash)>),
}

/// A halt made or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HaltChange {
    /// It holds from now on.
    Set(Halt),
    /// It is resumed. If a breaker made it, the drawdown reference starts again from the equity of now.
    Cleared {
        /// Its name.
        name: SmolStr,
        /// Who resumed it.
        by: String,
        /// When.
        at: Timestamp,
    },
}

/// Cash that moved by other ways than trading. Without a strategy it is a deposit (positive) into the account's
/// unallocated cash or a withdrawal (negative) from it; with one it moves from there to the strategy's own capital
/// (positive) or back (negative).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transfer {
    /// Of what.
    pub asset: Asset,
    /// How much; negative goes out.
    pub amount: Cash,
    /// The strategy whose capital it becomes or was; none for money that enters or leaves the account.
    pub strategy: Option<Uid>,
    /// When.
    pub at: Timestamp,
}

/// A strategy took over what one that is gone had left on the account under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Succession {
    /// Whose it was.
    pub from: Uid,
    /// Whose it is from then on.
    pub to: Uid,
    /// When.
    pub at: Timestamp,
}

/// A row of the ledger's append-only history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Record {
    /// An order was decided.
    Intent(Intent),
    /// A sending of an order is about to happen.
    Signing(Signing),
    /// An order changed its state.
    Transition(Transition),
    /// A fill was booked for an intent.
    Fill {
        /// Whose.
        intent: IntentId,
        /// The fill.
        fill: Fill,
    },
    /// A halt was made or resumed.
    Halt(HaltChange),
    /// Cash moved by other ways than trading.
    Transfer(Transfer),
    /// A strategy took over what its predecessor left.
    Succession(Succession),
    /// An order or a trade on the account that no worker of this ledger made.
    External(External),
    /// The drawdown reference was set anew by a resume.
    Rebase {
        /// Of which strategy; none is the account.
        strategy: Option<Uid>,
        /// The new reference.
        reference: Cash,
        /// When.
        at: Timestamp,
    },
}

/// Equity of a strategy or of the account at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EquityPoint {
    /// Whose; none is the account.
    pub strategy: Option<StrategyId>,
    /// When.
    pub at: Timestamp,
    /// Cash and positions at their marks, in the quote currency.
    pub equity: Cash,
    /// Cash alone.
    pub cash: Cash,
    /// The high-water mark drawdown is measured from.
    pub reference: Cash,
    /// Positions at their marks.
    pub exposure: Cash,
}

/// Facts for people; the engine does not depend on what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Report {
    /// A decision was made.
    Decision(Decision),
    /// The first bar of a new UTC day has come in: equity as it stood at the end of the day before.
    Equity(EquityPoint),
    /// An event did not fit the state of its order and was ignored.
    Illegal {
        /// The order.
        intent: IntentId,
        /// What did not fit.
        transition: IllegalTransition,
    },
    /// The venue told of an order or fill that is not ours, or that is no longer remembered.
    Foreign {
        /// Its client order id.
        client_order_id: ClientOrderId,
        /// Whose it is.
        origin: Origin,
    },
    /// What the venue holds and what the ledger says have come to differ, or (none) agree again.
    Balances(Vec<Difference>),
    /// A stop order that should rest at the venue came to nothing, or what followed.
    Protection {
        /// Whose position.
        strategy: StrategyId,
        /// Of what.
        instrument: InstrumentId,
        /// What happened.
        change: ProtectionChange,
    },
    /// A liquidation has not sold all within its deadline. It goes on.
    Unsold {
        /// Whose.
        strategy: StrategyId,
        /// Of what.
        instrument: InstrumentId,
        /// What is left.
        left: Quantity,
    },
    /// What is left of a position is dust: less than a lot, or worth less than the venue's smallest order.
    Dust {
        /// Whose.
        strategy: StrategyId,
        /// Of what.
        instrument: InstrumentId,
    },
    /// A computation of money failed; nothing was done on it.
    MoneyFault {
        /// In words.
        message: String,
    },
}

/// How a position stands that should have stop orders at the venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProtectionChange {
    /// A part of it has none; it is placed again, and the worker guards that part meanwhile.
    Lost,
    /// All of them rest.
    Restored,
    /// It was without for longer than the policy's `flattenUnprotectedAfter` and is sold.
    Flattened,
}

/// What the engine wants done, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Make this durable. For a signing, answer with [`EventKind::Durable`] once it is.
    Persist(Box<Record>),
    /// Send the order, once.
    Send(Box<OrderRequest>),
    /// Cancel the order; may be repeated freely.
    Cancel(OrderRef),
    /// Tell people.
    Report(Report),
}

/// The list effects are appended to. The driver reuses it from event to event.
pub type Effects = Vec<Effect>;
