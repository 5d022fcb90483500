//! `/metrics` as Prometheus sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tradewind_core::money::Cash;
use tradewind_worker::snapshot::Snapshot;

use crate::client::{get, serve};
use crate::snapshots::{busy, idle, strategy};

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

fn promtool() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin/promtool");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join("promtool")).chain([own]);
    places
        .find(|place| place.is_file())
        .expect("promtool is neither on the PATH nor in .tools/bin: run scripts/setup")
}

/// What promtool has to say of a scrape; nothing when all is well.
fn complaints(text: &str) -> String {
    let mut command = Command::new(promtool());
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
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
        "tradewind_bus_failures_total 3",
        "tradewind_bus_waiting_events 5",
        "tradewind_bus_behind_seconds 0.0",
        "tradewind_bus_dropped_events_total{kind=\"decision\"} 9",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn each_metric_has_its_help_and_its_type() {
    let text = scrape(busy()).await;
    let about = |word: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (help, kinds) = (about("# HELP "), about("# TYPE "));
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> = samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        assert!(name.starts_with("tradewind_"), "{name}");
        assert!(
            help.get(name).is_some_and(|help| help.len() > 10 && help.ends_with('.')),
            "{name} has no help"
        );
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert_eq!(kinds.get(name).map(String::as_str), Some(kind), "{name}");
    }
}

#[tokio::test]
async fn samples_are_in_base_units_and_labelled() {
    let text = scrape(busy()).await;
    let version = concat!("tradewind_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
    let expected = [
        version,
        r#"tradewind_strategy_info{strategy="trend",mode="Paper",account="default/paper"} 1"#,
        r#"tradewind_strategy_halted{strategy="swing"} 1"#,
        r#"tradewind_strategy_halted{strategy="trend"} 0"#,
        r#"tradewind_halts_total{source="Breaker"} 1"#,
        // 2024-03-01T12:00:00Z.
        "tradewind_worker_last_cycle_timestamp_seconds 1709294400.0",
        r#"tradewind_market_data_last_timestamp_seconds{symbol="BTC-USD"} 1709294400.0"#,
        "tradewind_bars_total 1000",
        "tradewind_off_tick_prices_total 5",
        "tradewind_skipped_rows_total 6",
        r#"tradewind_signals_total{symbol="BTC-USD",side="buy",outcome="Cooldown"} 2"#,
        r#"tradewind_decisions_total{stage="order",outcome="Enter",reason=""} 4"#,
        r#"tradewind_decisions_total{stage="risk",outcome="Nothing",reason="Cooldown"} 2"#,
        r#"tradewind_orders_total{venue="paper",symbol="BTC-USD",side="buy",type="market",status="Filled"} 4"#,
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
        "tradewind_ledger_commits_total 40",
        "tradewind_ledger_commit_seconds_total 0.25",
    ];
    let lines: BTreeSet<&str> = text.lines().collect();
    let missing: Vec<&str> = expected.into_iter().filter(|line| !lines.contains(line)).collect();
    assert!(missing.is_empty(), "missing {missing:#?} in\n{text}");
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
