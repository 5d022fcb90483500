//! Events as others read them: the contract in `docs/contracts/event.json` is generated from these types.
//!
//! Amounts, prices and quantities are exact decimal text, times RFC 3339 in UTC. A later version may add fields and kinds;
//! none is renamed, taken away or given another meaning.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tradewind_core::halt::HaltAction;
use tradewind_core::order::{Liquidity, OrderState, Purpose, Side};

/// One event of an account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Unique for ever, and the same each time the event is delivered.
    pub id: String,
    /// Rises from event to event of an account, with gaps. Whoever remembers the highest one of a stream that was
    /// processed drops each event that is not higher as a repeat.
    pub sequence: u64,
    /// What the event is about: `namespace/account`, then strategy and symbol where it is about one of them. Events of one
    /// key come in the order in which they happened.
    pub key: String,
    /// `namespace/name` of the account.
    pub account: String,
    /// When it happened, by the clock of the market data or the venue.
    pub at: String,
    /// What happened: exactly one of the variants.
    pub event: Happened,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Happened {
    /// A signal said buy or sell.
    Signal(Signal),
    /// A decision was made, also one that came to nothing.
    Decision(Decision),
    /// An order was decided or changed its state.
    Order(Order),
    /// An order was filled, wholly or in part.
    Fill(Fill),
    /// What a strategy holds of an instrument changed.
    Position(Position),
    /// A halt was made or resumed.
    Halt(Halt),
    /// Equity of a strategy or the account at the end of a UTC day.
    Equity(Equity),
}

/// A kind of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "camelCase")]
pub enum Kind {
    /// See [`Happened::Signal`].
    Signal,
    /// See [`Happened::Decision`].
    Decision,
    /// See [`Happened::Order`].
    Order,
    /// See [`Happened::Fill`].
    Fill,
    /// See [`Happened::Position`].
    Position,
    /// See [`Happened::Halt`].
    Halt,
    /// See [`Happened::Equity`].
    Equity,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Signal, Self::Decision, Self::Order, Self::Fill, Self::Position, Self::Halt, Self::Equity];

    /// Whether it waits for its delivery however long that takes. The others are dropped, oldest first and counted, when
    /// too many wait.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Order | Self::Fill | Self::Halt)
    }

    /// Whether it is about money and what is done with it, not about what led to it.
    pub fn is_of_orders(self) -> bool {
        matches!(self, Self::Order | Self::Fill | Self::Halt | Self::Position)
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| <&str>::from(kind) == name)
    }
}

impl Happened {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Signal(_) => Kind::Signal,
            Self::Decision(_) => Kind::Decision,
            Self::Order(_) => Kind::Order,
            Self::Fill(_) => Kind::Fill,
            Self::Position(_) => Kind::Position,
            Self::Halt(_) => Kind::Halt,
            Self::Equity(_) => Kind::Equity,
        }
    }
}

/// A strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrategyRef {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.name`.
    pub name: String,
}

/// The names of an enumeration of the engine, for the schema.
macro_rules! names {
    ($($name:expr),* $(,)?) => { [$(serde_json::to_value($name).unwrap_or_default()),*] };
}

fn states() -> Vec<serde_json::Value> {
    use strum::IntoEnumIterator;
    OrderState::iter().map(|state| serde_json::to_value(state).unwrap_or_default()).collect()
}

fn states_or_null() -> Vec<serde_json::Value> {
    let mut all = states();
    all.push(serde_json::Value::Null);
    all
}

fn purposes() -> Vec<serde_json::Value> {
    use strum::IntoEnumIterator;
    Purpose::iter().map(|purpose| serde_json::to_value(purpose).unwrap_or_default()).collect()
}

/// A signal that said buy or sell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// The row of the view `trading_signals` of the ledger.
    pub signal_id: u64,
    /// Whose it is.
    pub strategy: StrategyRef,
    /// In which instrument, such as BTC-USD.
    pub symbol: String,
    /// What it said.
    #[schemars(with = "String", extend("enum" = names![Side::Buy, Side::Sell]))]
    pub side: Side,
    /// How sure it was, 0 to 100, decimal text.
    pub confidence_percent: String,
    /// Close of the bar it was made at.
    pub price: String,
    /// Open time of that bar.
    pub bar: String,
    /// The indicators it rests on, by name; null for one that has no value yet.
    pub readings: BTreeMap<String, Option<f64>>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Who decided.
    pub strategy: StrategyRef,
    /// On which instrument.
    pub symbol: String,
    /// Open time of the bar.
    pub bar: String,
    /// Close of the bar.
    pub close: String,
    /// Quantity held.
    pub position: String,
    /// What the signal said; null when it said nothing.
    #[schemars(with = "Option<String>", extend("enum" = names![Side::Buy, Side::Sell, serde_json::Value::Null]))]
    pub side: Option<Side>,
    /// How sure it was, 0 to 100.
    pub confidence_percent: Option<String>,
    /// How far the decision came.
    pub stage: String,
    /// `Enter`, `Exit` or the reason why nothing was done.
    pub outcome: String,
    /// The same in one sentence, with values and limits.
    pub detail: String,
    /// The number of the order, for an entry.
    pub intent: Option<u64>,
}

/// How an order is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OrderType {
    /// At once, at the market's price.
    Market,
    /// At `price` or better, resting until then.
    Limit,
    /// At once, at `price` or better; the rest ends.
    ImmediateOrCancel,
    /// A market order once the price has reached `price`.
    Stop,
}

/// An order, as it stands after what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its number, unique in the account.
    pub intent: u64,
    /// What the venue knows it by.
    pub client_order_id: String,
    /// Whose it is.
    pub strategy: StrategyRef,
    /// In which instrument.
    pub symbol: String,
    /// Buy or sell.
    #[schemars(with = "String", extend("enum" = names![Side::Buy, Side::Sell]))]
    pub side: Side,
    /// How.
    #[serde(rename = "type")]
    pub order_type: OrderType,
    /// Limit or trigger; null for a market order.
    pub price: Option<String>,
    /// How much was asked for.
    pub quantity: String,
    /// How much of it is filled.
    pub filled_quantity: String,
    /// Why it was made.
    #[schemars(with = "String", extend("enum" = purposes()))]
    pub purpose: Purpose,
    /// Where it stands.
    #[schemars(with = "String", extend("enum" = states()))]
    pub state: OrderState,
    /// Where it stood before; null for one that was just decided.
    #[schemars(with = "Option<String>", extend("enum" = states_or_null()))]
    pub previous: Option<OrderState>,
    /// How often it was sent.
    pub attempt: u32,
    /// The venue's id or words, when it gave any.
    pub detail: Option<String>,
    /// When it was decided.
    pub decided_at: String,
}

/// A fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fill {
    /// The venue's id of it, unique within the instrument.
    pub trade_id: String,
    /// The number of the order.
    pub intent: u64,
    /// What the venue knows the order by.
    pub client_order_id: String,
    /// Whose it is.
    pub strategy: StrategyRef,
    /// In which instrument.
    pub symbol: String,
    /// Buy or sell.
    #[schemars(with = "String", extend("enum" = names![Side::Buy, Side::Sell]))]
    pub side: Side,
    /// At what price.
    pub price: String,
    /// How much.
    pub quantity: String,
    /// What it cost.
    pub fee: String,
    /// In which asset.
    pub fee_asset: String,
    /// Whether the order rested or took.
    #[schemars(with = "String", extend("enum" = names![Liquidity::Maker, Liquidity::Taker]))]
    pub liquidity: Liquidity,
    /// Why the order was made.
    #[schemars(with = "String", extend("enum" = purposes()))]
    pub purpose: Purpose,
}

/// What a strategy holds of an instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// Whose it is.
    pub strategy: StrategyRef,
    /// Of which instrument.
    pub symbol: String,
    /// How much, in the base asset.
    pub quantity: String,
    /// What that cost with its fees, in the quote asset, by average cost.
    pub cost: String,
}

/// A halt that was made or resumed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Halt {
    /// Its name in the account.
    pub name: String,
    /// Whether it holds from now on.
    pub in_force: bool,
    /// Who made or resumed it.
    pub by: String,
    /// What it is; null when it was resumed.
    pub terms: Option<HaltTerms>,
}

/// What a halt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HaltTerms {
    /// Uids of the strategies it reaches; null: all of the account.
    pub strategies: Option<Vec<String>>,
    /// Only these instruments; empty: all.
    pub instruments: Vec<String>,
    /// What it does.
    #[schemars(with = "String", extend("enum" = names![HaltAction::StopEntries, HaltAction::CancelEntries, HaltAction::Liquidate]))]
    pub action: HaltAction,
    /// Where it comes from: Manual, Latched, Breaker, `LedgerUnknown`, or one that comes later.
    pub origin: String,
    /// Why, in the words of whoever made it.
    pub reason: String,
}

/// Equity, in the account's quote currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Equity {
    /// Whose; null: the account's.
    pub strategy: Option<StrategyRef>,
    /// Cash and positions at their marks.
    pub equity: String,
    /// Cash alone.
    pub cash: String,
    /// What drawdown is measured from.
    pub reference: String,
    /// Positions at their marks.
    pub exposure: String,
}
