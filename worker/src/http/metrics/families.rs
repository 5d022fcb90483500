//! The metrics, one row each.

use smol_str::SmolStr;
use tradewind_core::config::Mode;
use tradewind_core::engine::StrategyView;
use tradewind_core::money::{Cash, Percent};

use super::{Family, Kind, Sample, Value};
use crate::http::strategies;
use crate::snapshot::Snapshot;

type Samples = Vec<Sample>;

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Family {
    Family { name, help, kind: Kind::Gauge, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Family {
    Family { name, help, kind: Kind::Counter, samples }
}

pub(super) const FAMILIES: &[Family] = &[
    gauge("build_info", "Always 1; the version of the worker.", |_| {
        vec![sample([("version", env!("CARGO_PKG_VERSION").to_owned())], 1_u64)]
    }),
    gauge("strategy_info", "Always 1; a strategy with its mode and account.", strategy_info),
    gauge("strategy_halted", "1 while a halt keeps the strategy from entering, else 0.", |s| {
        each_strategy(s, |view| !view.halts.is_empty())
    }),
    counter("halts_total", "Halts made, by where they came from.", |s| {
        s.totals
            .halts
            .iter()
            .map(|(source, count)| sample([("source", (*source).to_owned())], *count))
            .collect()
    }),
    gauge("worker_last_cycle_timestamp_seconds", "Event time of the worker's last step.", |s| plain(s.now)),
    gauge("market_data_last_timestamp_seconds", "Close time of the last bar of the instrument.", last_bars),
    counter("bars_total", "Bars processed by this process.", |s| plain(s.totals.bars)),
    counter("off_tick_prices_total", "Prices off the tick that were rounded as they came in.", |s| {
        plain(s.totals.off_tick)
    }),
    counter("skipped_rows_total", "Rows of market data skipped as unusable.", |s| {
        plain(s.totals.skipped_rows)
    }),
    counter("signals_total", "Signals that said buy or sell, by what came of them.", signals),
    counter(
        "decisions_total",
        "Decisions by how far they came; reason is the denial of those that came to nothing.",
        decisions,
    ),
    counter("orders_total", "Orders by the state they ended in.", orders),
    gauge("open_orders", "Orders whose story has not ended.", |s| plain(s.open_orders.len())),
    counter("fills_total", "Fills of orders.", |s| plain(s.totals.fills)),
    counter("fees_total", "Fees paid, in the quote currency's worth.", |s| money(s, s.totals.fees)),
    gauge("portfolio_equity", "Cash and positions of the account at their marks.", |s| {
        money(s, s.account.equity)
    }),
    gauge("portfolio_cash", "Quote cash of the account.", |s| money(s, s.account.cash)),
    gauge("portfolio_unrealized_pnl", "Worth of all positions less what they cost with fees.", unrealized),
    gauge("portfolio_realized_pnl", "Profit less loss of all sales, after fees.", |s| {
        let net = s.totals.realized_profit.checked_sub(s.totals.realized_loss);
        net.map(|net| money(s, net)).unwrap_or_default()
    }),
    counter("realized_profit_total", "Sum of the sales that made money, after fees.", |s| {
        money(s, s.totals.realized_profit)
    }),
    counter(
        "realized_loss_total",
        "Sum of the sales that lost money, after fees, as a positive number.",
        |s| money(s, s.totals.realized_loss),
    ),
    gauge("account_drawdown_ratio", "Drawdown of the account from its reference, 0 to 1.", |s| {
        plain(s.account.drawdown)
    }),
    gauge("account_exposure_ratio", "Worth of the account's positions over its equity.", |s| {
        plain(exposure(s.account.exposure, s.account.equity))
    }),
    gauge("portfolio_drawdown_ratio", "Drawdown of the strategy from its reference, 0 to 1.", |s| {
        each_strategy(s, |view| view.drawdown)
    }),
    gauge("portfolio_exposure_ratio", "Worth of the strategy's positions over its equity.", |s| {
        each_strategy(s, |view| exposure(view.exposure, view.equity))
    }),
    gauge("open_positions", "Positions the strategy holds.", |s| {
        each_strategy(s, |view| view.positions.len())
    }),
    gauge("portfolio_peak_equity", "Highest equity of the strategy ever.", |s| {
        let peak = |view: &StrategyView| {
            sample([("strategy", text(&view.config.name)), ("currency", text(&s.currency))], view.peak)
        };
        strategies::by_name(s).into_values().map(peak).collect()
    }),
    counter(
        "unprotected_position_seconds_total",
        "Seconds positions were without the stop order they should have had at the venue, position by position.",
        |s| each_strategy(s, |view| view.unprotected),
    ),
    counter("ledger_commits_total", "Commits to the ledger.", |s| plain(s.totals.ledger_commits)),
    counter("ledger_commit_seconds_total", "Seconds spent in commits to the ledger.", |s| {
        plain(s.totals.ledger_seconds)
    }),
];

fn sample<const N: usize>(labels: [(&'static str, String); N], value: impl Into<Value>) -> Sample {
    Sample { labels: labels.into(), value: value.into() }
}

fn text(label: &SmolStr) -> String {
    label.to_string()
}

/// One sample without labels.
fn plain(value: impl Into<Value>) -> Samples {
    vec![sample([], value)]
}

/// One sample in the quote currency.
fn money(snapshot: &Snapshot, amount: Cash) -> Samples {
    vec![sample([("currency", text(&snapshot.currency))], amount)]
}

fn each_strategy<V: Into<Value>>(snapshot: &Snapshot, value: fn(&StrategyView) -> V) -> Samples {
    let of = |view: &StrategyView| sample([("strategy", text(&view.config.name))], value(view));
    strategies::by_name(snapshot).into_values().map(of).collect()
}

/// What is held without equity to hold it is beyond any limit, not at zero.
fn exposure(held: Cash, equity: Cash) -> Value {
    if equity > Cash::ZERO {
        held.percent_of(equity).into()
    } else if held > Cash::ZERO {
        Value::Real(f64::INFINITY)
    } else {
        Percent(0).into()
    }
}

fn strategy_info(snapshot: &Snapshot) -> Samples {
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

fn last_bars(snapshot: &Snapshot) -> Samples {
    let last = snapshot.instruments.iter().filter_map(|instrument| {
        Some(sample([("symbol", instrument.symbol.to_string())], instrument.last_bar_close?))
    });
    last.collect()
}

fn unrealized(snapshot: &Snapshot) -> Samples {
    let mut held = snapshot.strategies.iter().flat_map(|view| &view.positions);
    let sum = held.try_fold(Cash::ZERO, |sum, position| sum.checked_add(position.unrealized));
    sum.map(|sum| money(snapshot, sum)).unwrap_or_default()
}

fn signals(snapshot: &Snapshot) -> Samples {
    let signals = snapshot.totals.signals.iter().map(|((symbol, side, outcome), count)| {
        let labels =
            [("symbol", text(symbol)), ("side", (*side).to_owned()), ("outcome", (*outcome).to_owned())];
        sample(labels, *count)
    });
    signals.collect()
}

fn decisions(snapshot: &Snapshot) -> Samples {
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

fn orders(snapshot: &Snapshot) -> Samples {
    let orders = snapshot.totals.orders.iter().map(|((symbol, side, kind, status), count)| {
        let labels = [
            ("venue", text(&snapshot.venue)),
            ("symbol", text(symbol)),
            ("side", (*side).to_owned()),
            ("type", (*kind).to_owned()),
            ("status", (*status).to_owned()),
        ];
        sample(labels, *count)
    });
    orders.collect()
}
