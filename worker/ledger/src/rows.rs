//! The append-only tables and the values of their rows, in the order they are declared, hashed and bound.
//!
//! The one place that turns records into columns; no SQL dialect and no I/O.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use tradewind_core::event::{HaltChange, Succession, Transfer};
use tradewind_core::external::External;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::{Cash, PERCENT_ONE, Percent, format_trimmed};
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{Fill, Intent, IntentId, Liquidity, OrderKind, Side, Signing, Transition};
use tradewind_core::time::Timestamp;

use crate::chain::Value;
use crate::error::LedgerError;
use crate::port::{Batch, DecisionRow, EquityRow};

/// The two types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Int(&'static str),
    Text(&'static str),
}

use Column::{Int, Text};

impl Column {
    fn name(self) -> &'static str {
        match self {
            Int(name) | Text(name) => name,
        }
    }
}

/// A table of the chain: its name and its hashed columns.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// Inserts seq, `prev_hash`, hash and the columns.
    pub(crate) insert: LazyLock<String>,
    /// Reads the same of a range of seq.
    pub(crate) select: LazyLock<String>,
}

macro_rules! table {
    ($ident:ident, $name:literal, $columns:expr) => {
        pub(crate) static $ident: Table = Table {
            name: $name,
            columns: &$columns,
            insert: LazyLock::new(|| insert_sql($name, &all_columns(&$ident), 1)),
            select: LazyLock::new(|| {
                let columns = all_columns(&$ident).join(", ");
                format!("SELECT {columns} FROM {0} WHERE OWN({0}) AND seq BETWEEN ? AND ?", $name)
            }),
        };
    };
}

table!(
    INTENTS,
    "intents",
    [
        Int("id"),
        Text("client_order_id"),
        Text("strategy"),
        Text("strategy_name"),
        Text("symbol"),
        Text("side"),
        Text("kind"),
        Text("price"),
        Int("quantity_units"),
        Text("quantity"),
        Text("purpose"),
        Int("reference_price_units"),
        Text("reference_price"),
        Int("decision_bar"),
        Int("decided_at"),
        Int("valid_until"),
        Int("epoch"),
    ]
);
table!(
    TRANSITIONS,
    "transitions",
    [
        Int("intent"),
        Int("attempt"),
        Int("epoch"),
        Text("from_state"),
        Text("to_state"),
        Int("at"),
        Text("detail"),
    ]
);
table!(
    FILLS,
    "fills",
    [
        Int("intent"),
        Text("trade_id"),
        Text("client_order_id"),
        Text("symbol"),
        Text("side"),
        Int("price_units"),
        Text("price"),
        Int("quantity_units"),
        Text("quantity"),
        Text("fee"),
        Text("fee_asset"),
        Text("liquidity"),
        Int("at"),
    ]
);
table!(
    HALTS,
    "halts",
    [
        Text("what"),
        Text("name"),
        Text("scope"),
        Text("instruments"),
        Text("action"),
        Text("origin"),
        Text("reason"),
        Text("actor"),
        Int("at"),
    ]
);
table!(
    SIGNINGS,
    "signings",
    [Int("intent"), Int("attempt"), Int("epoch"), Int("signed_at"), Int("valid_until"), Text("request_hash"),]
);
table!(TRANSFERS, "transfers", [Text("asset"), Text("amount"), Text("strategy"), Int("at")]);
table!(REBASES, "rebases", [Text("strategy"), Text("reference"), Int("at")]);
table!(SUCCESSIONS, "successions", [Text("predecessor"), Text("successor"), Int("at")]);
table!(
    EXTERNALS,
    "externals",
    [
        Text("what"),
        Text("venue_id"),
        Text("order_id"),
        Text("symbol"),
        Text("side"),
        Text("price"),
        Text("quantity"),
        Int("at"),
    ]
);

/// All tables of the chain.
pub(crate) static CHAINED: [&Table; 9] =
    [&INTENTS, &SIGNINGS, &TRANSITIONS, &FILLS, &HALTS, &TRANSFERS, &REBASES, &SUCCESSIONS, &EXTERNALS];

pub(crate) const DECISION_COLUMNS: [&str; 14] = [
    "at",
    "bar",
    "strategy",
    "strategy_name",
    "symbol",
    "side",
    "confidence",
    "close",
    "position",
    "readings",
    "stage",
    "outcome",
    "detail",
    "intent",
];
pub(crate) const EQUITY_COLUMNS: [&str; 7] =
    ["strategy", "strategy_name", "at", "equity", "cash", "reference", "exposure"];

pub(crate) fn all_columns(table: &Table) -> Vec<&'static str> {
    ["seq", "prev_hash", "hash"].into_iter().chain(table.columns.iter().map(|c| c.name())).collect()
}

/// An insert of `rows` rows at once, of the ledger they belong to.
pub(crate) fn insert_sql(table: &str, columns: &[&str], rows: usize) -> String {
    let row = format!("(OWNER(), {})", vec!["?"; columns.len()].join(", "));
    format!("INSERT INTO {table} (OWNER, {}) VALUES {}", columns.join(", "), vec![row; rows].join(", "))
}

pub(crate) fn intent<'a>(intent: &'a Intent, batch: &Batch<'a>) -> Result<Vec<Value<'a>>, LedgerError> {
    let rules = rules_of(batch, &intent.symbol)?;
    let name = batch.names.iter().find(|(uid, _)| *uid == intent.strategy).map(|(_, name)| name.as_str());
    let price = match intent.kind {
        OrderKind::Market => None,
        OrderKind::Limit { price }
        | OrderKind::ImmediateOrCancel { price }
        | OrderKind::Stop { trigger: price } => Some(rules.price_text(price)),
    };
    Ok(vec![
        Value::Int(intent_number(intent.id)?),
        Value::text(intent.client_order_id.to_string()),
        Value::text(intent.strategy.to_string()),
        name.map_or_else(|| Value::text(intent.strategy.to_string()), |n| Value::Text(Cow::Borrowed(n))),
        Value::text(intent.symbol.to_string()),
        Value::Text(Cow::Borrowed(side_text(intent.side))),
        Value::text(serde_json::to_string(&intent.kind)?),
        Value::optional(price),
        Value::Int(intent.quantity.0),
        Value::text(rules.quantity_text(intent.quantity)),
        Value::Text(Cow::Borrowed(intent.purpose.into())),
        Value::Int(intent.reference_price.0),
        Value::text(rules.price_text(intent.reference_price)),
        Value::Int(intent.decision_bar.0),
        Value::Int(intent.decided_at.0),
        Value::Int(intent.valid_until.0),
        Value::Int(whole("epoch", intent.epoch.0)?),
    ])
}

pub(crate) fn signing(signing: &Signing) -> Result<Vec<Value<'static>>, LedgerError> {
    Ok(vec![
        Value::Int(intent_number(signing.intent)?),
        Value::Int(i64::from(signing.attempt.0)),
        Value::Int(whole("epoch", signing.epoch.0)?),
        Value::Int(signing.signature.signed_at.0),
        Value::Int(signing.signature.valid_until.0),
        Value::text(signing.request.hash().to_string()),
    ])
}

pub(crate) fn transition(transition: &Transition) -> Result<Vec<Value<'_>>, LedgerError> {
    Ok(vec![
        Value::Int(intent_number(transition.intent)?),
        Value::Int(i64::from(transition.attempt.0)),
        Value::Int(whole("epoch", transition.epoch.0)?),
        Value::Text(Cow::Borrowed(transition.from.into())),
        Value::Text(Cow::Borrowed(transition.to.into())),
        Value::Int(transition.at.0),
        transition.detail.as_deref().map_or(Value::Null, |d| Value::Text(Cow::Borrowed(d))),
    ])
}

pub(crate) fn fill<'a>(
    intent: IntentId,
    fill: &'a Fill,
    rules: &InstrumentRules,
) -> Result<Vec<Value<'a>>, LedgerError> {
    Ok(vec![
        Value::Int(intent_number(intent)?),
        Value::Text(Cow::Borrowed(&fill.trade_id.0)),
        Value::text(fill.client_order_id.to_string()),
        Value::text(fill.symbol.to_string()),
        Value::Text(Cow::Borrowed(side_text(fill.side))),
        Value::Int(fill.price.0),
        Value::text(rules.price_text(fill.price)),
        Value::Int(fill.quantity.0),
        Value::text(rules.quantity_text(fill.quantity)),
        Value::text(fill.fee.amount.to_string()),
        Value::Text(Cow::Borrowed(fill.fee.asset.as_str())),
        Value::Text(Cow::Borrowed(liquidity_text(fill.liquidity))),
        Value::Int(fill.at.0),
    ])
}

pub(crate) fn halt(change: &HaltChange) -> Result<Vec<Value<'_>>, LedgerError> {
    Ok(match change {
        HaltChange::Set(halt) => vec![
            Value::text("Set"),
            Value::Text(Cow::Borrowed(&halt.name)),
            Value::text(serde_json::to_string(&halt.scope)?),
            Value::text(serde_json::to_string(&halt.instruments)?),
            Value::text(halt.action.to_string()),
            Value::text(serde_json::to_string(&halt.origin)?),
            Value::Text(Cow::Borrowed(&halt.reason)),
            Value::Text(Cow::Borrowed(&halt.requested_by)),
            Value::Int(halt.since.0),
        ],
        HaltChange::Cleared { name, by, at } => vec![
            Value::text("Cleared"),
            Value::Text(Cow::Borrowed(name)),
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Text(Cow::Borrowed(by)),
            Value::Int(at.0),
        ],
    })
}

pub(crate) fn transfer(transfer: &Transfer) -> Vec<Value<'_>> {
    vec![
        Value::Text(Cow::Borrowed(transfer.asset.as_str())),
        Value::text(transfer.amount.to_string()),
        Value::optional(transfer.strategy.map(|uid| uid.to_string())),
        Value::Int(transfer.at.0),
    ]
}

pub(crate) fn rebase(strategy: Option<Uid>, reference: Cash, at: Timestamp) -> Vec<Value<'static>> {
    vec![
        Value::optional(strategy.map(|uid| uid.to_string())),
        Value::text(reference.to_string()),
        Value::Int(at.0),
    ]
}

pub(crate) fn succession(done: &Succession) -> Vec<Value<'static>> {
    vec![Value::text(done.from.to_string()), Value::text(done.to.to_string()), Value::Int(done.at.0)]
}

/// What it is and the venue's id of it: what tells it from all others of an instrument.
pub(crate) fn external_key(external: &External) -> (&'static str, &str, &Symbol) {
    match external {
        External::Order { order, .. } => ("Order", &order.venue_order_id, &order.symbol),
        External::Trade(trade) => ("Trade", &trade.trade_id.0, &trade.symbol),
    }
}

pub(crate) fn external<'a>(external: &'a External, batch: &Batch<'_>) -> Result<Vec<Value<'a>>, LedgerError> {
    let (what, id, symbol) = external_key(external);
    let (order, side, price, quantity, at) = match external {
        External::Order { order, seen_at } => (&order.client_order_id, order.side, None, None, *seen_at),
        External::Trade(trade) => {
            let rules = rules_of(batch, symbol)?;
            let (price, quantity) = (rules.price_text(trade.price), rules.quantity_text(trade.quantity));
            (&trade.venue_order_id, trade.side, Some(price), Some(quantity), trade.at)
        }
    };
    Ok(vec![
        Value::Text(Cow::Borrowed(what)),
        Value::Text(Cow::Borrowed(id)),
        Value::Text(Cow::Borrowed(order)),
        Value::text(symbol.to_string()),
        Value::Text(Cow::Borrowed(side_text(side))),
        Value::optional(price),
        Value::optional(quantity),
        Value::Int(at.0),
    ])
}

pub(crate) fn decision(row: &DecisionRow) -> Result<[Value<'_>; 14], LedgerError> {
    Ok([
        Value::Int(row.at.0),
        Value::Int(row.bar.0),
        Value::text(row.strategy.to_string()),
        Value::Text(Cow::Borrowed(&row.strategy_name)),
        Value::text(row.symbol.to_string()),
        row.side.map_or(Value::Null, |side| Value::Text(Cow::Borrowed(side_text(side)))),
        Value::optional(row.confidence.map(percent_text)),
        Value::Text(Cow::Borrowed(&row.close)),
        Value::Text(Cow::Borrowed(&row.position)),
        Value::Text(Cow::Borrowed(&row.readings)),
        Value::Text(Cow::Borrowed(&row.stage)),
        Value::Text(Cow::Borrowed(&row.outcome)),
        Value::Text(Cow::Borrowed(&row.detail)),
        row.intent.map(intent_number).transpose()?.map_or(Value::Null, Value::Int),
    ])
}

pub(crate) fn equity(row: &EquityRow) -> [Value<'_>; 7] {
    [
        Value::optional(row.strategy.map(|uid| uid.to_string())),
        Value::Text(Cow::Borrowed(&row.strategy_name)),
        Value::Int(row.at.0),
        Value::text(row.equity.to_string()),
        Value::text(row.cash.to_string()),
        Value::text(row.reference.to_string()),
        Value::text(row.exposure.to_string()),
    ]
}

pub(crate) fn rules_of<'a>(batch: &Batch<'a>, symbol: &Symbol) -> Result<&'a InstrumentRules, LedgerError> {
    batch
        .rules
        .iter()
        .find(|rules| rules.symbol == *symbol)
        .ok_or_else(|| LedgerError::UnknownInstrument { symbol: symbol.clone() })
}

pub(crate) fn intent_number(id: IntentId) -> Result<i64, LedgerError> {
    whole("intent number", id.0)
}

pub(crate) fn whole(what: &'static str, value: u64) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|_| LedgerError::TooLarge { what, value })
}

pub(crate) fn side_text(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}

fn liquidity_text(liquidity: Liquidity) -> &'static str {
    match liquidity {
        Liquidity::Maker => "Maker",
        Liquidity::Taker => "Taker",
    }
}

/// Percent without its sign: `62.5`.
pub(crate) fn percent_text(percent: Percent) -> String {
    // 100 % are 1 000 000 units: four decimals.
    const SCALE: u8 = 4;
    const { assert!(PERCENT_ONE == 1_000_000) };
    format_trimmed(i128::from(percent.0), SCALE)
}

/// Reads an enumeration by its name, or a name by its rule; none when the text is neither.
pub(crate) fn named<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    let deserializer: StrDeserializer<'de, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(deserializer).ok()
}

pub(crate) fn uid(text: &str) -> Option<Uid> {
    uuid::Uuid::try_parse(text).ok().map(Uid)
}
