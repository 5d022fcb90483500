//! The metrics, one row each.

use tradewind_core::engine::StrategyView;

use super::samples::{
    Samples, bus, decisions, each_position, each_strategy, endpoint, exchange, exposure, last_bars, market,
    mismatches, money, of_orders, orders, plain, rejections, requests, sample, signals, strategy_info, text,
    unrealized, venue,
};
use super::{Family, Kind};
use crate::bus::BusState;
use crate::http::strategies;
use crate::snapshot::Snapshot;

/// The commit the worker was built from, as its build was told.
const REVISION: &str = match option_env!("TRADEWIND_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

const fn gauge(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Family {
    Family { name, help, kind: Kind::Gauge, samples }
}

const fn counter(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Family {
    Family { name, help, kind: Kind::Counter, samples }
}

const fn histogram(name: &'static str, help: &'static str, samples: fn(&Snapshot) -> Samples) -> Family {
    Family { name, help, kind: Kind::Histogram, samples }
}

/// All of them, by what they are about.
pub(super) const FAMILIES: &[&[Family]] = &[WORKER, MARKET, DECIDED, ORDERS, MONEY, RISK, EDGES, BUS];

const WORKER: &[Family] = &[
    gauge("build_info", "Always 1; the version of the worker and the commit it was built from.", |_| {
        let labels = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("revision", REVISION.to_owned())];
        vec![sample(labels, 1_u64)]
    }),
    gauge("strategy_info", "Always 1; a strategy with its mode and account.", strategy_info),
    gauge("strategy_halted", "1 while a halt keeps the strategy from entering, else 0.", |s| {
        each_strategy(s, |view| !view.halts.is_empty())
    }),
    counter(
        "halts_total",
        "Halts made, by where they came from; reason is the name of the breaker that tripped.",
        |s| {
            let halts = s.totals.halts.iter().map(|((source, reason), count)| {
                sample([("source", (*source).to_owned()), ("reason", text(reason))], *count)
            });
            halts.collect()
        },
    ),
    histogram(
        "halt_latency_seconds",
        "How long halts took from when a watch of the worker heard of them until they were in force.",
        |s| plain(&s.totals.measures.halts),
    ),
    gauge("worker_last_cycle_timestamp_seconds", "Event time of the worker's last step.", |s| plain(s.now)),
    gauge("worker_cycle_interval_seconds", "How often a step is due, in event time.", |s| plain(s.cycle)),
    histogram("worker_cycle_duration_seconds", "How long the cycles of the worker took.", |s| {
        plain(&s.totals.measures.cycles)
    }),
];

const MARKET: &[Family] = &[
    gauge("market_data_last_timestamp_seconds", "Close time of the last bar of the instrument.", last_bars),
    counter("market_data_messages_total", "Bars and prices taken in by this process, by channel.", |s| {
        let channels = [("bars", s.totals.bars), ("prices", s.totals.marks)];
        let of = |(channel, count): (&str, u64)| sample([venue(s), ("channel", channel.to_owned())], count);
        channels.map(of).into()
    }),
    counter("market_data_gaps_total", "Times that bars were missing before one that came.", |s| {
        market(s, &s.totals.gaps, |count| (*count).into())
    }),
    histogram(
        "market_data_latency_seconds",
        "How long bars of an exchange took from their end until they were heard.",
        |s| market(s, &s.totals.measures.bar_delays, |delays| delays.into()),
    ),
    counter("off_tick_prices_total", "Prices off the tick that were rounded as they came in.", |s| {
        plain(s.totals.off_tick)
    }),
    counter("skipped_rows_total", "Rows of market data skipped as unusable.", |s| {
        plain(s.totals.skipped_rows)
    }),
];

const DECIDED: &[Family] = &[
    counter("signals_total", "Signals that said buy or sell, by what came of them.", signals),
    counter(
        "decisions_total",
        "Decisions by how far they came; reason is the denial of those that came to nothing.",
        decisions,
    ),
    counter("risk_rejections_total", "Entries denied by a rule of risk.", rejections),
];

const ORDERS: &[Family] = &[
    counter("orders_total", "Orders by the state they ended in.", orders),
    gauge("open_orders", "Orders whose story has not ended.", |s| plain(s.open_orders.len())),
    counter("fills_total", "Fills of orders.", |s| plain(s.totals.fills)),
    histogram(
        "order_submit_duration_seconds",
        "How long the venue took to answer an order, from its sending.",
        |s| of_orders(s, &s.totals.measures.submits),
    ),
    histogram(
        "order_fill_duration_seconds",
        "How long orders that trade at once took to fill whole, from their decision, in event time.",
        |s| of_orders(s, &s.totals.measures.fills),
    ),
    histogram(
        "order_slippage_adverse_ratio",
        "How much worse the prices of fills were than those decided on, 0 when better; of a stop, than its trigger.",
        |s| of_orders(s, &s.totals.measures.slippage),
    ),
    counter("fees_total", "Fees paid, in the quote currency's worth.", |s| money(s, s.totals.fees)),
];

const MONEY: &[Family] = &[
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
];

const RISK: &[Family] = &[
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
    gauge("position_size_ratio", "Worth of the strategy's position over its equity.", |s| {
        each_position(s, |view, held| exposure(held.value, view.equity))
    }),
    gauge("position_unprotected", "1 while a position lacks a stop order it should have, else 0.", |s| {
        each_position(s, |_, held| held.unprotected_since.is_some().into())
    }),
    gauge(
        "position_mismatch_ratio",
        "How far what the venue holds of a base asset is from what the ledger says, over the larger of the two.",
        mismatches,
    ),
    counter(
        "unprotected_position_seconds_total",
        "Seconds positions were without the stop order they should have had at the venue, position by position.",
        |s| each_strategy(s, |view| view.unprotected),
    ),
];

const EDGES: &[Family] = &[
    counter(
        "exchange_requests_total",
        "Requests to the exchange, by the HTTP status of the answer; code is none where no answer came.",
        requests,
    ),
    histogram(
        "exchange_request_duration_seconds",
        "How long requests to the exchange took, answered or not.",
        |s| {
            exchange(s, |traffic| {
                let took = traffic.requests.took.iter();
                took.map(|(asked, took)| sample([("endpoint", endpoint(*asked))], took)).collect()
            })
        },
    ),
    gauge(
        "exchange_rate_limit_remaining",
        "What may still be asked of the exchange without waiting, of our share of the limit.",
        |s| {
            exchange(s, |traffic| {
                let left = traffic.left.iter();
                left.map(|(bucket, left)| sample([("bucket", (*bucket).to_owned())], *left)).collect()
            })
        },
    ),
    gauge("exchange_clock_skew_seconds", "The exchange's clock less ours, as last measured.", |s| {
        exchange(s, |traffic| traffic.skew.iter().map(|skew| sample([], *skew)).collect())
    }),
    counter("ledger_write_failures_total", "Attempts to commit to the ledger that failed.", |s| {
        plain(s.totals.ledger_failures)
    }),
    histogram("ledger_write_duration_seconds", "How long commits to the ledger took.", |s| {
        plain(&s.totals.measures.commits)
    }),
    counter("status_patch_failures_total", "Attempts to write a status that failed.", |s| {
        s.totals.status_failures.into_iter().map(|count| sample([], count)).collect()
    }),
];

const BUS: &[Family] = &[
    gauge("bus_relaying", "1 while events are told to the bus as they happen, else 0.", |s| {
        bus(s, |bus| (bus.state == BusState::Relaying).into())
    }),
    counter("bus_events_total", "Events told to the bus by this process.", |s| {
        bus(s, |bus| bus.relayed.into())
    }),
    counter("redis_publish_failures_total", "Attempts to tell events that failed.", |s| {
        bus(s, |bus| bus.errors.into())
    }),
    gauge("bus_waiting_events", "Events that wait in the ledger for the bus.", |s| {
        bus(s, |bus| bus.waiting.into())
    }),
    gauge("bus_behind_seconds", "For how long not all events have been told; 0 when they are.", |s| {
        bus(s, |bus| bus.behind_since.map_or(0.0, |since| since.elapsed().as_secs_f64()).into())
    }),
    counter("bus_dropped_events_total", "Events dropped untold since the ledger began, by kind.", |s| {
        let dropped = s.totals.bus.iter().flat_map(|bus| &bus.dropped);
        dropped.map(|(kind, events)| sample([("kind", kind.to_string())], *events)).collect()
    }),
];
