//! `/metrics` as Prometheus sees it.

use std::collections::{BTreeMap, BTreeSet};

use tradewind_core::money::Cash;
use tradewind_worker::snapshot::Snapshot;

use crate::client::{get, serve};
use crate::snapshots::{busy, idle, strategy};
use crate::table::{complaints, documented, served};

async fn scrape(snapshot: Snapshot) -> String {
    let served = serve(snapshot).await;
    let answer = get(served.addresses.risk, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for address in [served.addresses.portfolio, served.addresses.signals] {
        assert_eq!(get(address, "/metrics").await.body, answer.body, "each port gives the same");
    }
    answer.body
}

#[tokio::test]
async fn promtool_has_nothing_to_say_of_a_scrape() {
    assert_eq!(complaints(&scrape(busy()).await), "");
    assert_eq!(complaints(&scrape(idle()).await), "");
    let sick = "# HELP bad_total x\n# TYPE bad_total gauge\nbad_total 1\n";
    assert!(complaints(sick).contains("bad_total"), "the check can fail");
}

#[tokio::test]
async fn how_a_bus_fares_is_told_where_there_is_one() {
    assert!(!scrape(idle()).await.contains("tradewind_bus_"));
    let text = scrape(busy()).await;
    for line in [
        "tradewind_bus_relaying 0",
        "tradewind_bus_events_total 12",
        "tradewind_redis_publish_failures_total 3",
        "tradewind_bus_waiting_events 5",
        "tradewind_bus_behind_seconds 0.0",
        "tradewind_bus_dropped_events_total{kind=\"decision\"} 9",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn each_metric_has_its_help() {
    let text = scrape(busy()).await;
    let help: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')).collect();
    assert!(help.len() > 50, "{help:?}");
    for (name, help) in help {
        assert!(name.starts_with("tradewind_"), "{name}");
        assert!(help.len() > 10 && help.ends_with('.'), "{name} has no help");
    }
}

#[tokio::test]
async fn names_types_and_labels_are_those_of_the_documentation() {
    let (served, documented) = (served(&scrape(busy()).await), documented("## Worker"));
    let gone: Vec<_> = documented.difference(&served).collect();
    let new: Vec<_> = served.difference(&documented).collect();
    assert!(gone.is_empty() && new.is_empty(), "only documented: {gone:#?}\nonly served: {new:#?}");
    assert!(served.len() > 50, "{}", served.len());
}

#[tokio::test]
async fn an_account_on_paper_and_without_a_cluster_tells_nothing_of_either() {
    let text = scrape(idle()).await;
    assert!(!text.contains("tradewind_exchange_") && !text.contains("tradewind_status_"), "{text}");
}

fn has_all(text: &str, expected: &[&str]) {
    let lines: BTreeSet<&str> = text.lines().collect();
    let missing: Vec<&&str> = expected.iter().filter(|line| !lines.contains(**line)).collect();
    assert!(missing.is_empty(), "missing {missing:#?} in\n{text}");
}

#[tokio::test]
async fn samples_are_in_base_units_and_labelled() {
    let text = scrape(busy()).await;
    let revision = option_env!("TRADEWIND_REVISION").unwrap_or("unknown");
    let version = env!("CARGO_PKG_VERSION");
    let version = format!("tradewind_build_info{{version=\"{version}\",revision=\"{revision}\"}} 1");
    let expected = [
        version.as_str(),
        r#"tradewind_strategy_info{strategy="trend",mode="Paper",account="default/paper"} 1"#,
        r#"tradewind_strategy_halted{strategy="swing"} 1"#,
        r#"tradewind_strategy_halted{strategy="trend"} 0"#,
        r#"tradewind_halts_total{source="Breaker",reason="drawdown"} 1"#,
        // 2024-03-01T12:00:00Z.
        "tradewind_worker_last_cycle_timestamp_seconds 1709294400.0",
        r#"tradewind_market_data_last_timestamp_seconds{venue="paper",symbol="BTC-USD"} 1709294400.0"#,
        "tradewind_off_tick_prices_total 5",
        "tradewind_skipped_rows_total 6",
        r#"tradewind_signals_total{symbol="BTC-USD",side="buy",outcome="Cooldown"} 2"#,
        r#"tradewind_decisions_total{stage="order",outcome="Enter",reason=""} 4"#,
        r#"tradewind_decisions_total{stage="risk",outcome="Nothing",reason="Cooldown"} 2"#,
        r#"tradewind_orders_total{venue="paper",symbol="BTC-USD",side="buy",type="market",status="Filled"} 4"#,
        r#"tradewind_risk_rejections_total{rule="Cooldown"} 2"#,
        "tradewind_open_orders 0",
        "tradewind_fills_total 7",
        r#"tradewind_fees_total{currency="USD"} 12.5"#,
        r#"tradewind_portfolio_equity{currency="USD"} 10250.3"#,
        r#"tradewind_portfolio_cash{currency="USD"} 8000.2"#,
        // 100.1 - 50.
        r#"tradewind_portfolio_unrealized_pnl{currency="USD"} 50.1"#,
        r#"tradewind_portfolio_realized_pnl{currency="USD"} 210.0"#,
        r#"tradewind_realized_profit_total{currency="USD"} 300.0"#,
        r#"tradewind_realized_loss_total{currency="USD"} 90.0"#,
        "tradewind_account_drawdown_ratio 0.023781",
        "tradewind_account_exposure_ratio 0.219515",
        r#"tradewind_portfolio_drawdown_ratio{strategy="trend"} 0.063636"#,
        r#"tradewind_portfolio_exposure_ratio{strategy="trend"} 0.313732"#,
        r#"tradewind_open_positions{strategy="swing"} 1"#,
        r#"tradewind_portfolio_peak_equity{strategy="swing",currency="USD"} 5500.0"#,
        // 1600.1 / 5100.2.
        r#"tradewind_position_size_ratio{strategy="trend",symbol="BTC-USD"} 0.313732"#,
        r#"tradewind_position_unprotected{strategy="trend",symbol="BTC-USD"} 0"#,
        // 0.005 of 0.025 are not there.
        r#"tradewind_position_mismatch_ratio{symbol="BTC-USD"} 0.2"#,
    ];
    has_all(&text, &expected);
}

#[tokio::test]
async fn what_is_measured_is_in_buckets_and_what_goes_over_the_wire_is_counted() {
    let expected = [
        r#"tradewind_halt_latency_seconds_bucket{le="0.01"} 1"#,
        "tradewind_halt_latency_seconds_count 1",
        "tradewind_worker_cycle_interval_seconds 3600.0",
        r#"tradewind_market_data_messages_total{venue="paper",channel="bars"} 1000"#,
        r#"tradewind_market_data_messages_total{venue="paper",channel="prices"} 8"#,
        r#"tradewind_market_data_gaps_total{venue="paper",symbol="BTC-USD"} 2"#,
        r#"tradewind_market_data_latency_seconds_sum{venue="paper",symbol="BTC-USD"} 1.5"#,
        r#"tradewind_order_submit_duration_seconds_bucket{le="0.1",venue="paper",symbol="BTC-USD",side="buy",type="market"} 0"#,
        r#"tradewind_order_submit_duration_seconds_bucket{le="0.25",venue="paper",symbol="BTC-USD",side="buy",type="market"} 1"#,
        r#"tradewind_order_fill_duration_seconds_sum{venue="paper",symbol="BTC-USD",side="buy",type="market"} 2.0"#,
        r#"tradewind_order_slippage_adverse_ratio_sum{venue="paper",symbol="BTC-USD",side="buy",type="market"} 0.0003"#,
        r#"tradewind_exchange_requests_total{venue="paper",account="default/paper",endpoint="GET /api/v3/time",code="200"} 5"#,
        r#"tradewind_exchange_requests_total{venue="paper",account="default/paper",endpoint="GET /api/v3/time",code="none"} 1"#,
        r#"tradewind_exchange_rate_limit_remaining{venue="paper",account="default/paper",bucket="weight"} 950"#,
        r#"tradewind_exchange_clock_skew_seconds{venue="paper",account="default/paper"} -0.25"#,
        "tradewind_ledger_write_failures_total 3",
        "tradewind_ledger_write_duration_seconds_sum 0.012",
        "tradewind_ledger_write_duration_seconds_count 2",
        "tradewind_status_patch_failures_total 1",
    ];
    has_all(&scrape(busy()).await, &expected);
}

#[tokio::test]
async fn exposure_without_equity_is_beyond_every_limit() {
    let mut snapshot = busy();
    snapshot.strategies[0].equity = Cash::ZERO;
    snapshot.strategies[1].equity = Cash(-1);
    let text = scrape(snapshot).await;
    for name in ["trend", "swing"] {
        let line = format!("tradewind_portfolio_exposure_ratio{{strategy=\"{name}\"}} inf");
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    assert_eq!(complaints(&text), "");
}

#[tokio::test]
async fn a_name_that_comes_twice_or_needs_quoting_does_not_break_the_scrape() {
    let mut snapshot = busy();
    let mut removed = strategy(3, "trend", ["1", "1", "0", "0", "0"], Vec::new());
    removed.present = false;
    snapshot.strategies.push(removed);
    snapshot.currency = "a\"b\\c\nd".into();
    let text = scrape(snapshot).await;
    assert_eq!(complaints(&text), "");
    assert_eq!(text.matches("tradewind_strategy_halted{strategy=\"trend\"}").count(), 1);
    assert!(text.contains(r#"tradewind_portfolio_cash{currency="a\"b\\c\nd"} 8000.2"#), "{text}");
}
