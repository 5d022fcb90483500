//! Where the samples of a metric come from: the snapshot, and nothing else.

use std::collections::BTreeMap;

use smol_str::SmolStr;
use tradewind_core::config::Mode;
use tradewind_core::decision::Stage;
use tradewind_core::engine::{PositionView, StrategyView};
use tradewind_core::money::{Cash, Percent};
use tradewind_venues::binance_us::{Asked, Traffic};
use tradewind_venues::histogram::{Bounds, Histogram};

use super::{Sample, Value};
use crate::bus::BusFacts;
use crate::http::strategies;
use crate::measures::OrderKey;
use crate::snapshot::Snapshot;

pub(super) type Samples = Vec<Sample>;

pub(super) fn sample<const N: usize>(labels: [(&'static str, String); N], value: impl Into<Value>) -> Sample {
    Sample { labels: labels.into(), value: value.into() }
}

pub(super) fn text(label: &SmolStr) -> String {
    label.to_string()
}

/// One sample without labels.
pub(super) fn plain(value: impl Into<Value>) -> Samples {
    vec![sample([], value)]
}

/// One sample in the quote currency.
pub(super) fn money(snapshot: &Snapshot, amount: Cash) -> Samples {
    vec![sample([("currency", text(&snapshot.currency))], amount)]
}

pub(super) fn each_strategy<V: Into<Value>>(snapshot: &Snapshot, value: fn(&StrategyView) -> V) -> Samples {
    let of = |view: &StrategyView| sample([("strategy", text(&view.config.name))], value(view));
    strategies::by_name(snapshot).into_values().map(of).collect()
}

/// What is held without equity to hold it is beyond any limit, not at zero.
pub(super) fn exposure(held: Cash, equity: Cash) -> Value {
    if equity > Cash::ZERO {
        held.percent_of(equity).into()
    } else if held > Cash::ZERO {
        Value::Real(f64::INFINITY)
    } else {
        Percent(0).into()
    }
}

/// One sample where the account has a bus.
pub(super) fn bus(snapshot: &Snapshot, value: fn(&BusFacts) -> Value) -> Samples {
    snapshot.totals.bus.iter().map(|bus| sample([], value(bus))).collect()
}

pub(super) fn strategy_info(snapshot: &Snapshot) -> Samples {
    let info = |view: &StrategyView| {
        let mode = match view.config.mode {
            Mode::Paper => "Paper",
            Mode::Live => "Live",
        };
        let labels = [
            ("strategy", text(&view.config.name)),
            ("mode", mode.to_owned()),
            ("account", text(&snapshot.account_name)),
        ];
        sample(labels, 1_u64)
    };
    strategies::by_name(snapshot).into_values().map(info).collect()
}

pub(super) fn last_bars(snapshot: &Snapshot) -> Samples {
    let last = snapshot.instruments.iter().filter_map(|instrument| {
        let labels = [venue(snapshot), ("symbol", instrument.symbol.to_string())];
        Some(sample(labels, instrument.last_bar_close?))
    });
    last.collect()
}

pub(super) fn venue(snapshot: &Snapshot) -> (&'static str, String) {
    ("venue", text(&snapshot.venue))
}

/// One sample for each symbol.
pub(super) fn market<T>(
    snapshot: &Snapshot,
    of: &BTreeMap<SmolStr, T>,
    value: impl Fn(&T) -> Value,
) -> Samples {
    let each = of.iter().map(|(symbol, one)| sample([venue(snapshot), ("symbol", text(symbol))], value(one)));
    each.collect()
}

/// One sample for each symbol, side and kind of orders.
pub(super) fn of_orders<B: Bounds>(snapshot: &Snapshot, of: &BTreeMap<OrderKey, Histogram<B>>) -> Samples {
    let each = of.iter().map(|((symbol, side, kind), histogram)| {
        let labels = [
            venue(snapshot),
            ("symbol", text(symbol)),
            ("side", (*side).to_owned()),
            ("type", (*kind).to_owned()),
        ];
        sample(labels, histogram)
    });
    each.collect()
}

/// One sample for each position of each strategy.
pub(super) fn each_position(
    snapshot: &Snapshot,
    value: fn(&StrategyView, &PositionView) -> Value,
) -> Samples {
    let of = |view: &StrategyView| -> Samples {
        let each = view.positions.iter().map(|held| {
            let labels = [("strategy", text(&view.config.name)), ("symbol", held.rules.symbol.to_string())];
            sample(labels, value(view, held))
        });
        each.collect()
    };
    strategies::by_name(snapshot).into_values().flat_map(of).collect()
}

/// One sample for each instrument whose base asset ledger or venue has any of.
pub(super) fn mismatches(snapshot: &Snapshot) -> Samples {
    let each = snapshot.instruments.iter().filter_map(|instrument| {
        let base = instrument.symbol.base();
        let booked =
            snapshot.holdings.iter().find(|(asset, _)| asset == base).map_or(Cash::ZERO, |own| own.1);
        let differs = snapshot.balance_differences.iter().find(|found| found.asset == *base);
        let more = differs.map_or(Cash::ZERO, |found| found.amount);
        let larger = booked.max(booked.saturating_add(more));
        let apart = Cash(more.0.saturating_abs()).percent_of(larger);
        (larger > Cash::ZERO).then(|| sample([("symbol", instrument.symbol.to_string())], apart))
    });
    each.collect()
}

/// Denials of the stage of risk; the others have reasons of other kinds.
pub(super) fn rejections(snapshot: &Snapshot) -> Samples {
    let risk: &str = Stage::Risk.into();
    let denied = snapshot.totals.decisions.iter().filter(|((stage, _), _)| *stage == risk);
    denied.map(|((_, rule), count)| sample([("rule", (*rule).to_owned())], *count)).collect()
}

/// Samples where the venue is an exchange, with its name and the account's.
pub(super) fn exchange(snapshot: &Snapshot, samples: fn(&Traffic) -> Samples) -> Samples {
    let whose = || [venue(snapshot), ("account", text(&snapshot.account_name))];
    let labelled = |Sample { labels, value }: Sample| Sample {
        labels: whose().into_iter().chain(labels).collect(),
        value,
    };
    snapshot.totals.traffic.iter().flat_map(samples).map(labelled).collect()
}

/// Method and path, such as `POST /api/v3/order`.
pub(super) fn endpoint((method, path): Asked) -> String {
    format!("{method} {path}")
}

pub(super) fn requests(snapshot: &Snapshot) -> Samples {
    exchange(snapshot, |traffic| {
        let each = traffic.requests.answered.iter().map(|((asked, status), count)| {
            let code = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            sample([("endpoint", endpoint(*asked)), ("code", code)], *count)
        });
        each.collect()
    })
}

pub(super) fn unrealized(snapshot: &Snapshot) -> Samples {
    let mut held = snapshot.strategies.iter().flat_map(|view| &view.positions);
    let sum = held.try_fold(Cash::ZERO, |sum, position| sum.checked_add(position.unrealized));
    sum.map(|sum| money(snapshot, sum)).unwrap_or_default()
}

pub(super) fn signals(snapshot: &Snapshot) -> Samples {
    let signals = snapshot.totals.signals.iter().map(|((symbol, side, outcome), count)| {
        let labels =
            [("symbol", text(symbol)), ("side", (*side).to_owned()), ("outcome", (*outcome).to_owned())];
        sample(labels, *count)
    });
    signals.collect()
}

pub(super) fn decisions(snapshot: &Snapshot) -> Samples {
    let decisions = snapshot.totals.decisions.iter().map(|((stage, what), count)| {
        let (outcome, reason) = match *what {
            done @ ("Enter" | "Exit") => (done, ""),
            denial => ("Nothing", denial),
        };
        let labels =
            [("stage", (*stage).to_owned()), ("outcome", outcome.to_owned()), ("reason", reason.to_owned())];
        sample(labels, *count)
    });
    decisions.collect()
}

pub(super) fn orders(snapshot: &Snapshot) -> Samples {
    let orders = snapshot.totals.orders.iter().map(|((symbol, side, kind, status), count)| {
        let labels = [
            venue(snapshot),
            ("symbol", text(symbol)),
            ("side", (*side).to_owned()),
            ("type", (*kind).to_owned()),
            ("status", (*status).to_owned()),
        ];
        sample(labels, *count)
    });
    orders.collect()
}
