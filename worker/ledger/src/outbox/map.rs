//! From the ledger's records and rows to events. Pure: the same rows make the same events.

use std::collections::BTreeMap;

use tradewind_core::event::HaltChange;
use tradewind_core::halt::HaltScope;
use tradewind_core::instrument::InstrumentRules;
use tradewind_core::money::Cash;
use tradewind_core::name::{Symbol, Uid};
use tradewind_core::order::{self as core, Intent, IntentId, OrderKind, Transition};
use tradewind_core::time::Timestamp;

use super::event::{
    Decision, Equity, Event, Fill, Halt, HaltTerms, Happened, Order, OrderType, Position, Signal, StrategyRef,
};
use super::{Account, OutboxRow};
use crate::error::LedgerError;
use crate::port::{DecisionRow, EquityRow};
use crate::rows::percent_text;

/// An event before it has its number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// What it is about within the account.
    about: Vec<String>,
    at: Timestamp,
    what: Happened,
}

impl Told {
    /// The row of the event with that number.
    pub(crate) fn row(self, account: &Account, sequence: u64) -> Result<OutboxRow, LedgerError> {
        let Self { about, at, what } = self;
        let kind = what.kind();
        let mut key = account.name.to_string();
        for part in about {
            key.push('/');
            key.push_str(&part);
        }
        let event = Event {
            id: account.event_id(sequence),
            sequence,
            key,
            account: account.name.to_string(),
            at: time(at),
            event: what,
        };
        let body = serde_json::to_string(&event)?;
        Ok(OutboxRow { sequence, kind, key: event.key, body })
    }
}

/// The order that was just decided.
pub(crate) fn intent(intent: &Intent, order: Order) -> Told {
    moved(order, intent.decided_at)
}

/// The order after the transition; as it is known otherwise.
pub(crate) fn transition(transition: &Transition, order: Order) -> Told {
    let order = Order {
        state: transition.to,
        previous: Some(transition.from),
        attempt: transition.attempt.0,
        detail: transition.detail.clone(),
        ..order
    };
    moved(order, transition.at)
}

fn moved(order: Order, at: Timestamp) -> Told {
    let about = vec![order.strategy.name.clone(), order.symbol.clone()];
    Told { about, at, what: Happened::Order(order) }
}

pub(crate) fn fill(fill: &core::Fill, order: Order, rules: &InstrumentRules) -> Told {
    let symbol = fill.symbol.to_string();
    Told {
        about: vec![order.strategy.name.clone(), symbol.clone()],
        at: fill.at,
        what: Happened::Fill(Fill {
            trade_id: fill.trade_id.0.to_string(),
            intent: order.intent,
            client_order_id: fill.client_order_id.to_string(),
            strategy: order.strategy,
            symbol,
            side: fill.side,
            price: rules.price_text(fill.price),
            quantity: rules.quantity_text(fill.quantity),
            fee: fill.fee.amount.to_string(),
            fee_asset: fill.fee.asset.to_string(),
            liquidity: fill.liquidity,
            purpose: order.purpose,
        }),
    }
}

pub(crate) fn position(
    owner: (Uid, &str),
    symbol: &Symbol,
    (quantity, cost): (Cash, Cash),
    at: Timestamp,
) -> Told {
    let symbol = symbol.to_string();
    Told {
        about: vec![owner.1.to_owned(), symbol.clone()],
        at,
        what: Happened::Position(Position {
            strategy: strategy(owner.0, owner.1),
            symbol,
            quantity: quantity.to_string(),
            cost: cost.to_string(),
        }),
    }
}

pub(crate) fn halt(change: &HaltChange) -> Told {
    let (name, by, at, terms) = match change {
        HaltChange::Set(halt) => {
            let terms = HaltTerms {
                strategies: match &halt.scope {
                    HaltScope::Account => None,
                    HaltScope::Strategies(uids) => Some(uids.iter().map(Uid::to_string).collect()),
                },
                instruments: halt.instruments.iter().map(Symbol::to_string).collect(),
                action: halt.action,
                origin: <&str>::from(&halt.origin).to_owned(),
                reason: halt.reason.clone(),
            };
            (&halt.name, &halt.requested_by, halt.since, Some(terms))
        }
        HaltChange::Cleared { name, by, at } => (name, by, *at, None),
    };
    let halt = Halt { name: name.to_string(), in_force: terms.is_some(), by: by.clone(), terms };
    // Of the account, whomever it reaches: making and resuming it must not overtake one another.
    Told { about: Vec::new(), at, what: Happened::Halt(halt) }
}

/// The signal of a decision, if it said anything.
pub(crate) fn signal(row: &DecisionRow, id: u64) -> Option<Told> {
    let signal = Signal {
        signal_id: id,
        strategy: strategy(row.strategy, &row.strategy_name),
        symbol: row.symbol.to_string(),
        side: row.side?,
        confidence_percent: row.confidence.map_or_else(|| "0".to_owned(), percent_text),
        price: row.close.to_string(),
        bar: time(row.bar),
        readings: serde_json::from_str::<BTreeMap<_, _>>(&row.readings).unwrap_or_default(),
    };
    Some(Told { about: about(row), at: row.at, what: Happened::Signal(signal) })
}

pub(crate) fn decision(row: &DecisionRow) -> Told {
    let decision = Decision {
        strategy: strategy(row.strategy, &row.strategy_name),
        symbol: row.symbol.to_string(),
        bar: time(row.bar),
        close: row.close.to_string(),
        position: row.position.to_string(),
        side: row.side,
        confidence_percent: row.confidence.map(percent_text),
        stage: row.stage.to_string(),
        outcome: row.outcome.to_string(),
        detail: row.detail.clone(),
        intent: row.intent.map(|IntentId(number)| number),
    };
    Told { about: about(row), at: row.at, what: Happened::Decision(decision) }
}

fn about(row: &DecisionRow) -> Vec<String> {
    vec![row.strategy_name.to_string(), row.symbol.to_string()]
}

pub(crate) fn equity(row: &EquityRow) -> Told {
    let owner = row.strategy.map(|uid| strategy(uid, &row.strategy_name));
    Told {
        about: owner.iter().map(|owner| owner.name.clone()).collect(),
        at: row.at,
        what: Happened::Equity(Equity {
            strategy: owner,
            equity: row.equity.to_string(),
            cash: row.cash.to_string(),
            reference: row.reference.to_string(),
            exposure: row.exposure.to_string(),
        }),
    }
}

pub(crate) fn strategy(uid: Uid, name: &str) -> StrategyRef {
    StrategyRef { uid: uid.to_string(), name: name.to_owned() }
}

/// The type of an order, and its price where it has one.
pub(crate) fn kind(kind: OrderKind) -> (OrderType, Option<tradewind_core::money::Price>) {
    match kind {
        OrderKind::Market => (OrderType::Market, None),
        OrderKind::Limit { price } => (OrderType::Limit, Some(price)),
        OrderKind::ImmediateOrCancel { price } => (OrderType::ImmediateOrCancel, Some(price)),
        OrderKind::Stop { trigger } => (OrderType::Stop, Some(trigger)),
    }
}

/// RFC 3339, to the millisecond.
pub(crate) fn time(at: Timestamp) -> String {
    let furthest = if at.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    format!("{:.3}", jiff::Timestamp::from_millisecond(at.0).unwrap_or(furthest))
}
