//! What people write in YAML and on the command line.

use tradewind_tests::books;
use tradewind_tests::desk::{BUSY, Desk, SYMBOLS, busy, packaged};
use tradewind_tests::process;

const BARS: usize = 40;
/// The part of a desk that is the strategy of SOL and ADA.
const OF_REVERSION: &str = "[{symbol: SOL-USD}, {symbol: ADA-USD}]";

/// `validate` names the problem and exits with 2.
fn validate(desk: &Desk, sentence: &str) {
    let ended = process::run(&["validate", "-f", desk.file().to_str().unwrap()]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.out.contains(sentence), "{sentence}\nis not in\n{}", ended.out);
    let last = ended.out.lines().next_back().unwrap();
    assert!(last.ends_with("problem found") || last.ends_with("problems found"), "{last}");
    assert_eq!(ended.err, "", "a problem is no error of the command");
}

/// A problem of one strategy: it does not run, and the run says so; the other strategy trades as always.
fn stops_one_strategy(changes: &[(&str, &str)], sentence: &str, other: &str) {
    let desk = Desk::new(&busy(changes), BARS);
    validate(&desk, sentence);
    let ended = desk.start("state").ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let told: Vec<&str> = ended.err.lines().filter(|line| line.contains(sentence)).collect();
    assert!(told.len() == 1 && told[0].contains("ERROR not run"), "{sentence}: {told:?}");
    let rows = books::decisions(&desk.state("state"));
    let symbols = rows.iter().filter(|row| row.strategy_name == other).count();
    assert_eq!(
        (rows.len(), symbols),
        (2 * BARS, 2 * BARS),
        "a decision for each bar of {other}, and no other"
    );
}

/// A problem of the account: nothing runs, and there is no ledger yet.
fn stops_everything(changes: &[(&str, &str)], sentence: &str) {
    let desk = Desk::new(&busy(changes), BARS);
    validate(&desk, sentence);
    let backtest = process::run(&["backtest", "-f", desk.file().to_str().unwrap()]);
    for ended in [desk.start("state").ended(), backtest] {
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
        assert!(ended.err.contains(sentence) && ended.err.starts_with("error: "), "{}", ended.err);
    }
    assert!(!desk.state("state").exists(), "a refused run leaves something behind");
    desk.write_yaml(BUSY);
    desk.complete("state");
}

#[test]
fn a_typo_in_a_field_stops_its_strategy_and_suggests_the_field() {
    let from = "instruments: [{symbol: BTC-USD}";
    stops_one_strategy(
        &[(from, "instrments: [{symbol: BTC-USD}")],
        "TradingStrategy default/trend: spec.instrments: there is no such field; did you mean instruments?",
        "reversion",
    );
}

#[test]
fn a_typo_in_a_kind_stops_everything_and_suggests_the_kind() {
    stops_everything(
        &[("kind: ExchangeAccount", "kind: ExchangeAcount")],
        "kind (ExchangeAcount): is none of ours; did you mean ExchangeAccount?",
    );
}

#[test]
fn an_unknown_field_stops_its_strategy_and_names_those_there_are() {
    stops_one_strategy(
        &[(
            "{stopLoss: {fixedPercent: {percent: 1}}}",
            "{stopLoss: {fixedPercent: {percent: 1}}, colour: red}",
        )],
        "TradingStrategy default/trend: spec.exits.colour: there is no such field; use one of protection, stopLoss",
        "reversion",
    );
}

#[test]
fn a_dangling_reference_to_a_policy_stops_everything() {
    stops_everything(
        &[("riskPolicyRef: {name: limits}", "riskPolicyRef: {name: limit}")],
        "ExchangeAccount default/paper: spec.riskPolicyRef.name (limit): there is no RiskPolicy default/limit; \
         did you mean limits?",
    );
}

#[test]
fn a_dangling_reference_to_an_account_stops_its_strategy() {
    let head = "metadata: {name: trend}\nspec:\n  exchangeAccountRef: ";
    stops_one_strategy(
        &[(&format!("{head}{{name: paper}}"), &format!("{head}{{name: papr}}"))],
        "TradingStrategy default/trend: spec.exchangeAccountRef.name (papr): there is no ExchangeAccount default/papr; \
         did you mean paper?",
        "reversion",
    );
}

#[test]
fn a_data_set_nobody_has_stops_everything() {
    stops_everything(&[("dataSet: candles", "dataSet: candels")], "data set \"candels\" was not found in ");
}

#[test]
fn capital_above_the_account_stops_the_strategy_that_came_last() {
    let tail = format!("\n  instruments: {OF_REVERSION}");
    stops_one_strategy(
        &[(&format!("\"200000\"}}{tail}"), &format!("\"200001\"}}{tail}"))],
        "TradingStrategy default/reversion: spec.capital.amount (200001): exceeds the 200000 still free on account \
         paper; lower it to 200000 or give the account more",
        "trend",
    );
}

#[test]
fn two_strategies_on_one_base_asset_stop_the_one_that_came_last() {
    stops_one_strategy(
        &[(OF_REVERSION, "[{symbol: BTC-USD}, {symbol: ADA-USD}]")],
        "TradingStrategy default/reversion: spec.instruments[0].symbol (BTC): base asset BTC is already granted to \
         strategy trend; remove the symbol from one of the two or use another account",
        "trend",
    );
}

#[test]
fn a_symbol_the_feed_lacks_stops_its_strategy() {
    stops_one_strategy(
        &[(OF_REVERSION, "[{symbol: DOGE-USD}, {symbol: ADA-USD}]")],
        "TradingStrategy default/reversion: spec.instruments[0].symbol (DOGE-USD): data set candles has no such \
         symbol; it has ADA-USD, BTC-USD, ETH-USD, SOL-USD",
        "trend",
    );
}

#[test]
fn a_bar_the_data_cannot_give_stops_its_strategy() {
    for bar in ["5m", "90m"] {
        let (from, to) = (format!("{OF_REVERSION}\n  decision: {{bar: "), "1h}");
        stops_one_strategy(
            &[(&format!("{from}{to}"), &format!("{from}{bar}}}"))],
            &format!(
                "TradingStrategy default/reversion: spec.decision.bar ({bar}): data set candles has bars of 1h, and \
                 this is no whole multiple of it; use 1h"
            ),
            "trend",
        );
    }
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let desk = Desk::new(&busy(&[("SOL-USD", "SOLUSD"), ("fast: 3, slow: 8", "fast: 8, slow: 3")]), BARS);
    validate(&desk, "spec.instruments[0].symbol (SOLUSD)");
    validate(&desk, "TradingStrategy default/trend: spec.signal.source.emaCross");
    // With no strategy left there is nothing to run.
    let ended = desk.start("state").ended();
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.err.contains("SOLUSD") && ended.err.contains("emaCross"), "{}", ended.err);
}

#[test]
fn files_that_are_missing_empty_or_no_yaml_are_named() {
    let desk = Desk::new(BUSY, BARS);
    for (name, text) in [("none.yaml", None), ("empty.yaml", Some("")), ("broken.yaml", Some("kind: [\n"))] {
        let path = desk.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        for command in ["validate", "backtest"] {
            let ended = process::run(&[command, "-f", path.to_str().unwrap()]);
            assert_eq!(ended.code, Some(2), "{command} {name}: {ended:?}");
            let said = format!("{}{}", ended.out, ended.err);
            assert!(said.contains(name) && !said.contains("panicked"), "{command} {name}: {said}");
        }
    }
}

#[test]
fn an_edit_between_two_starts_is_taken_over_and_a_bad_one_loses_nothing() {
    let desk = Desk::new(BUSY, BARS);
    desk.complete("state");
    let before = books::decisions(&desk.state("state"));
    for symbol in SYMBOLS {
        desk.write_rows(symbol, &packaged(symbol, 0, 2 * BARS));
    }
    desk.write_yaml(&busy(&[("riskPolicyRef: {name: limits}", "riskPolicyRef: {name: gone}")]));
    assert_eq!(desk.start("state").ended().code, Some(2));
    desk.write_yaml(BUSY);
    let summary = desk.complete("state");
    let after = books::decisions(&desk.state("state"));
    assert_eq!((before.len(), after.len()), (4 * BARS, 8 * BARS));
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(summary, Desk::new(BUSY, 2 * BARS).complete("alone"));
}

/// Stops that no candle reaches, and strategies that sell everything when they are deleted.
const SELLS_WHEN_DELETED: (&str, &str) = (
    "stopLoss: {fixedPercent: {percent: 1}}}",
    "stopLoss: {fixedPercent: {percent: 50}}}\n  deletionPolicy: Liquidate",
);

#[test]
fn a_slip_of_the_pen_between_two_starts_has_nothing_sold() {
    let desk = Desk::new(&busy(&[SELLS_WHEN_DELETED]), BARS);
    desk.complete("state");
    let next = || books::history(&desk.state("state")).next_intent;
    let before = next();
    let slips = [
        ("{fast: 3, slow: 8}", "{fast: 9, slow: 8}"),
        ("metadata: {name: trend}\nspec:\n", "metadata: {name: trend}\nspec:\n  capitol: all of it\n"),
        ("kind: TradingStrategy\nmetadata: {name: trend}", "kind: TradingStratgey\nmetadata: {name: trend}"),
        (
            "kind: TradingStrategy\nmetadata: {name: trend}",
            "kind: TradingStrategy\nmetadata: {name: reversion}",
        ),
        (
            "{name: trend}\nspec:\n  exchangeAccountRef: {name: paper}",
            "{name: trend}\nspec:\n  exchangeAccountRef: {name: papier}",
        ),
    ];
    for slip in slips {
        desk.write_yaml(&busy(&[SELLS_WHEN_DELETED, slip]));
        let ended = desk.start("state").ended();
        assert_eq!(ended.code, Some(0), "{slip:?}: {}", ended.err);
        let told = |line: &&str| line.contains("what it holds stays") && line.contains("strategy=trend");
        assert_eq!(ended.err.lines().filter(told).count(), 1, "{slip:?}: {}", ended.err);
        assert_eq!(next(), before, "{slip:?}");
    }
    // One that is really gone is sold, as it asks for.
    let all = busy(&[SELLS_WHEN_DELETED]);
    let rest: Vec<_> = all.split("---\n").filter(|document| !document.contains("name: trend")).collect();
    desk.write_yaml(&rest.join("---\n"));
    assert_eq!(desk.start("state").ended().code, Some(0));
    assert!(next() > before);
}

const HALT: &str = "---
apiVersion: tradewind.dev/v1alpha1
kind: TradingHalt
metadata: {name: a-look}
spec: {target: {account: {name: paper}}, reason: a look, requestedBy: a person}
";

#[test]
fn a_halt_that_nobody_can_read_any_more_stays_in_force() {
    let desk = Desk::new(&format!("{BUSY}{HALT}"), BARS);
    desk.complete("state");
    let halts = || books::history(&desk.state("state")).halts.len();
    assert_eq!(halts(), 1);
    for (from, to) in [
        ("kind: TradingHalt", "kind: TradingHlat"),
        ("metadata: {name: a-look}", "metadata: {}"),
        ("spec: {target", "spec: [{target"),
        ("reason: a look", "resaon: a look"),
    ] {
        desk.write_yaml(&format!("{BUSY}{}", HALT.replace(from, to)));
        let ended = desk.start("state").ended();
        assert_eq!(ended.code, Some(0), "{to}: {}", ended.err);
        assert!(halts() >= 1, "{to}: {}", ended.err);
    }
    desk.write_yaml(BUSY);
    assert_eq!(desk.start("state").ended().code, Some(0));
    assert_eq!(halts(), 0, "it is gone, and so resumed");
}
