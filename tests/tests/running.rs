//! A worker while it runs: its endpoints, and halts made and resumed through its socket or without it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;
use tradewind_ledger::{LedgerReader, SqliteReader};
use tradewind_tests::books::{self, Books};
use tradewind_tests::desk::{BUSY, Desk, SYMBOLS, busy, packaged, summary};
use tradewind_tests::http::{get, json};
use tradewind_tests::process::{Ended, Worker, run};
use tradewind_tests::{block_on, until};

/// Some ten milliseconds a bar: it stays for as long as a test looks at it.
const PACED: (&str, &str) = ("speed: {max: {}}", "speed: {times: {factor: 360000}}");
/// An hour a bar: nothing happens but what a test asks for.
const STANDING: (&str, &str) = ("speed: {max: {}}", "speed: {realTime: {}}");

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn ask(desk: &Desk, arguments: &[&str]) -> Ended {
    let state = desk.state("state");
    run(&[arguments, &["--data-dir", text(&state), "--by", "a person"]].concat())
}

fn ok(desk: &Desk, arguments: &[&str]) -> String {
    let ended = ask(desk, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

fn stop(worker: Worker) -> String {
    worker.signal(Signal::SIGTERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    summary(&ended.out)
}

fn outcome(worker: &mut Worker, outcome: &str) {
    let word = format!("outcome=\"{outcome}\"");
    worker.line(outcome, |line| line.contains(&word));
}

/// Names of the halts in force, from the ledger.
fn halts(desk: &Desk) -> Vec<String> {
    block_on(async {
        let mut ledger = SqliteReader::open(&desk.state("state").join("ledger.db")).await.unwrap();
        ledger.halts().await.unwrap().into_iter().map(|halt| halt.name.to_string()).collect()
    })
}

#[test]
fn a_halt_of_a_running_worker_stops_entries_survives_a_restart_and_is_resumed() {
    let desk = Desk::new(&busy(&[PACED]), 6000);
    let mut worker = desk.start("state");
    let served = worker.addresses();
    outcome(&mut worker, "Enter");
    let socket = std::fs::symlink_metadata(desk.state("state").join("control.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!(socket.permissions().mode() & 0o777, 0o600, "others could halt");

    let said = ok(&desk, &["halt", "--reason", "exchange incident"]);
    assert!(said.starts_with("halted: account.paper.local (CancelEntries)"), "{said}");
    assert_eq!(halts(&desk), ["account.paper.local"], "a halt is durable when it is answered");
    let decided = books::decisions(&desk.state("state")).len();
    let risk = until("the halt to be shown", || {
        let risk = json(served.risk, "/risk/metrics");
        (risk["halts"] != Value::Array(Vec::new())).then_some(risk)
    });
    let shown = &risk["halts"][0];
    assert_eq!((&shown["halt"], &shown["source"]), (&"account.paper.local".into(), &"Manual".into()));
    assert_eq!((&shown["reason"], &shown["requested_by"]), (&"exchange incident".into(), &"a person".into()));
    assert_eq!(risk["strategies"].as_array().unwrap().iter().filter(|s| s["halted"] == true).count(), 2);
    outcome(&mut worker, "Halted");
    let last = stop(worker);
    assert_eq!(last.matches("halted by account.paper.local").count(), 2, "{last}");
    assert!(last.contains("Halted "), "{last}");

    let mut worker = desk.start("state");
    let served = worker.addresses();
    until("the halt to be shown", || {
        (json(served.risk, "/risk/metrics")["halts"][0]["halt"] == "account.paper.local").then_some(())
    });
    outcome(&mut worker, "Halted");
    let halted = books::decisions(&desk.state("state"));
    assert!(halted[decided..].iter().all(|row| row.outcome != "Enter"), "entered while halted");

    let said = ok(&desk, &["resume", "account.paper.local"]);
    assert!(said.starts_with("resumed: account.paper.local"), "{said}");
    assert_eq!(halts(&desk), [""; 0]);
    outcome(&mut worker, "Enter");
    until("the halt to be gone", || {
        (json(served.risk, "/risk/metrics")["halts"] == Value::Array(Vec::new())).then_some(())
    });
    assert!(!stop(worker).contains("halted by"));
    Books::of(&desk.file(), &desk.state("state"));
}

#[test]
fn a_halt_of_one_strategy_leaves_the_other_alone_and_only_its_name_resumes_it() {
    let desk = Desk::new(&busy(&[PACED]), 6000);
    let mut worker = desk.start("state");
    worker.addresses();
    ok(&desk, &["halt", "--strategy", "trend", "--reason", "test", "--action", "Liquidate"]);
    let of = |strategy: &'static str, outcome: &'static str| {
        move |line: &str| {
            line.contains(&format!("strategy={strategy} "))
                && line.contains(&format!("outcome=\"{outcome}\""))
        }
    };
    worker.line("trend to be denied", of("trend", "Halted"));
    worker.line("reversion to enter", of("reversion", "Enter"));
    for (arguments, sentence) in [
        (
            ["resume", "trend"].as_slice(),
            "no halt in force is called \"trend\"; there are: strategy.trend.local",
        ),
        (
            &["halt", "--reason", "x", "--strategy", "trnd"],
            "no strategy is called \"trnd\"; there are: trend, reversion",
        ),
        (
            &["halt", "--reason", "x", "--symbol", "BTC-EUR"],
            "no instrument of this account is called \"BTC-EUR\"",
        ),
        (&["halt", "--reason", ""], "the reason must be 1 to 1024 characters"),
    ] {
        let ended = ask(&desk, arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.last_words().contains(sentence), "{arguments:?}: {}", ended.err);
    }
    ok(&desk, &["resume", "strategy.trend.local"]);
    worker.line("trend to enter", of("trend", "Enter"));
    stop(worker);
    let rows = books::decisions(&desk.state("state"));
    let first = rows.iter().position(|row| row.outcome == "Halted").unwrap();
    assert_eq!(rows[first].strategy_name, "trend");
    assert!(rows.iter().all(|row| row.outcome != "Halted" || row.strategy_name == "trend"));
}

#[test]
fn without_a_worker_a_halt_waits_in_the_ledger_for_the_next_start() {
    let desk = Desk::new(BUSY, 60);
    desk.complete("state");
    let said = ok(&desk, &["halt", "--strategy", "trend", "--reason", "maintenance"]);
    assert!(said.contains("no worker is running: it holds from its next start"), "{said}");
    let before = books::decisions(&desk.state("state")).len();
    for symbol in SYMBOLS {
        desk.write_rows(symbol, &packaged(symbol, 0, 260));
    }
    let last = desk.complete("state");
    assert_eq!(last.matches("halted by strategy.trend.local").count(), 1, "{last}");
    let rows = books::decisions(&desk.state("state"));
    let entered = |name: &str| {
        rows[before..].iter().filter(|r| r.strategy_name == name && r.outcome == "Enter").count()
    };
    assert_eq!(entered("trend"), 0);
    assert!(entered("reversion") > 0);

    let said = ok(&desk, &["resume", "strategy.trend.local"]);
    assert!(said.starts_with("resumed: strategy.trend.local"), "{said}");
    for symbol in SYMBOLS {
        desk.write_rows(symbol, &packaged(symbol, 0, 460));
    }
    let last = desk.complete("state");
    assert!(!last.contains("halted by"), "{last}");
    let after = books::decisions(&desk.state("state"));
    assert!(after[rows.len()..].iter().any(|row| row.strategy_name == "trend" && row.outcome == "Enter"));
    let nothing = ask(&desk, &["resume", "strategy.trend.local"]);
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.last_words().contains("no halt in force is called \"strategy.trend.local\"; there is none")
    );
}

#[test]
fn without_a_worker_a_strategy_of_any_namespace_that_holds_nothing_is_halted_by_its_name() {
    // So few bars that it only warms up.
    let desk = Desk::new(&busy(&[("metadata: {name: ", "metadata: {namespace: desk, name: ")]), 6);
    desk.complete("state");
    let said = ok(&desk, &["halt", "--strategy", "trend", "--reason", "a look at it"]);
    assert!(said.contains("halted: strategy.trend.local"), "{said}");
    let ended = ask(&desk, &["halt", "--strategy", "nobody", "--reason", "a typo"]);
    assert!(ended.code != Some(0) && ended.err.contains("nobody"), "{}", ended.err);
}

#[test]
fn a_tripped_breaker_halts_until_it_is_resumed_and_then_measures_from_there() {
    let desk = Desk::new(&busy(&[("percent: 15, confirmFor: 10s", "percent: 0.5, confirmFor: 10s")]), 400);
    let last = desk.complete("state");
    let name = "strategy.trend.drawdown";
    assert!(last.contains(&format!("halted by {name}")), "{last}");
    let rows = books::decisions(&desk.state("state"));
    let tripped =
        rows.iter().position(|row| row.outcome == "Halted" && row.strategy_name == "trend").unwrap();
    let later = || rows[tripped..].iter().filter(|row| row.strategy_name == "trend");
    assert!(later().all(|row| row.outcome != "Enter"));
    assert!(later().any(|row| row.outcome == "Halted"));

    // A restart resumes nothing.
    for symbol in SYMBOLS {
        desk.write_rows(symbol, &packaged(symbol, 0, 420));
    }
    desk.write_yaml(&desk_yaml_standing());
    let mut worker = desk.start("state");
    let served = worker.addresses();
    let trend = |risk: &Value| {
        risk["strategies"].as_array().unwrap().iter().find(|s| s["strategy"] == "trend").cloned()
    };
    let before = until("the strategies", || trend(&json(served.risk, "/risk/metrics")));
    assert_eq!(
        (&before["halted"], &before["breakers"][0]["tripped"]),
        (&true.into(), &true.into()),
        "{before}"
    );
    assert!(before["drawdown_percent"].as_f64().unwrap() >= 0.5, "{before}");

    let said = ok(&desk, &["resume", name]);
    assert!(said.starts_with(&format!("resumed: {name}")), "{said}");
    let after =
        until("the resume", || trend(&json(served.risk, "/risk/metrics")).filter(|t| t["halted"] == false));
    assert_eq!(after["breakers"][0]["tripped"], false);
    assert_eq!(after["drawdown_percent"], 0.0, "{after}");
    assert_eq!(after["reference_equity"], after["equity"], "drawdown is measured from the equity of now");
    assert_eq!(after["peak_equity"], before["peak_equity"], "the reported peak stays");
    assert!(!stop(worker).contains(&format!("halted by {name}")));
    assert!(!halts(&desk).contains(&name.to_owned()), "it has tripped again at once");
}

fn desk_yaml_standing() -> String {
    busy(&[("percent: 15, confirmFor: 10s", "percent: 0.5, confirmFor: 10s"), STANDING])
}

fn numbers(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value[name].is_number(), "{name} is no number in {value}");
    }
}

fn texts(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value[name].as_str().is_some_and(|text| !text.is_empty()), "{name} is no text in {value}");
    }
}

/// What a worker that has traded has measured, beside its fills: those with labels appear with the first value.
const MEASURED: [&str; 6] = [
    "fills_total ",
    "worker_cycle_duration_seconds_count ",
    "ledger_write_duration_seconds_count ",
    "order_submit_duration_seconds_count{venue=\"paper\",",
    "order_fill_duration_seconds_count{venue=\"paper\",",
    "order_slippage_adverse_ratio_count{venue=\"paper\",",
];

#[test]
fn the_endpoints_of_a_running_worker_answer_with_the_documented_fields() {
    let desk = Desk::new(&busy(&[PACED]), 6000);
    let mut worker = desk.start("state");
    let served = worker.addresses();
    let portfolio = until("a position", || {
        let portfolio = json(served.portfolio, "/portfolio");
        portfolio["positions"][0].is_object().then_some(portfolio)
    });
    let totals = ["total_value", "cash_balance", "invested_value", "total_pnl", "total_pnl_percent"];
    numbers(&portfolio, &totals);
    let amount = |name: &str| portfolio[name].as_f64().unwrap();
    assert!(
        (amount("total_value") - amount("cash_balance") - amount("invested_value")).abs() < 0.01,
        "{portfolio}"
    );
    assert!((amount("total_value") - 400_000.0 - amount("total_pnl")).abs() < 0.01, "{portfolio}");
    let position = &portfolio["positions"][0];
    texts(position, &["symbol"]);
    numbers(position, &["quantity", "avg_price", "current_price", "market_value", "pnl", "pnl_percent"]);
    let worth = position["quantity"].as_f64().unwrap() * position["current_price"].as_f64().unwrap();
    assert!((worth - position["market_value"].as_f64().unwrap()).abs() < 0.01, "{position}");
    numbers(&json(served.portfolio, "/portfolio?strategy=trend"), &totals);
    assert_eq!(get(served.portfolio, "/portfolio?strategy=nobody").0, 404);

    let trades = until("three trades", || {
        let trades = json(served.portfolio, "/trades/recent?limit=3");
        (trades["trades"].as_array().unwrap().len() == 3).then_some(trades)
    });
    texts(
        &trades["trades"][0],
        &["trade_id", "timestamp", "strategy", "symbol", "side", "purpose", "fee_asset"],
    );
    numbers(&trades["trades"][0], &["price", "quantity", "notional", "fee"]);

    let signal = until("a signal", || {
        let signal = json(served.signals, "/signals/latest")["signals"][0].clone();
        signal.is_object().then_some(signal)
    });
    texts(&signal, &["symbol", "signal", "timestamp"]);
    numbers(&signal, &["confidence"]);
    assert!(signal["features"].as_object().is_some_and(|features| !features.is_empty()), "{signal}");
    let performance = json(served.signals, "/signals/performance");
    assert!(performance["total"]["fills"].as_u64().unwrap() >= 3, "{performance}");

    let risk = json(served.risk, "/risk/metrics");
    numbers(&risk["account"], &["equity", "peak_equity", "reference_equity", "drawdown_percent", "exposure"]);
    assert_eq!(risk["strategies"].as_array().unwrap().len(), 2);
    for address in [served.portfolio, served.signals, served.risk] {
        assert_eq!(get(address, "/livez").0, 200);
        assert_eq!(get(address, "/health").0, 200);
        let (status, metrics) = get(address, "/metrics");
        let missing = MEASURED.iter().find(|name| !metrics.contains(&format!("\ntradewind_{name}")));
        assert!(status == 200 && missing.is_none(), "{missing:?} is not in {metrics}");
        assert_eq!(get(address, "/nothing").0, 404);
    }
    stop(worker);
}

#[test]
fn bad_rows_are_told_and_counted_while_the_worker_runs() {
    let desk = Desk::new(&busy(&[PACED]), 6000);
    let mut rows = packaged("BTC-USD", 0, 6000);
    rows[3] = "1713495600000,0,0,0,0,0".to_owned();
    desk.write_rows("BTC-USD", &rows);
    let mut worker = desk.start("state");
    let served = worker.addresses();
    worker.line("the bad row", |line| {
        line.contains("WARN row skipped") && line.contains("BTC-USD_1h.csv line 5 ")
    });
    until("the count", || {
        get(served.risk, "/metrics").1.contains("\ntradewind_skipped_rows_total 1\n").then_some(())
    });
    stop(worker);
}
