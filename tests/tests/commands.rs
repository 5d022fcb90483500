//! The commands people use, as they use them: backtest, explain, help, the quickstart's summary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use tradewind_ledger::DecisionRow;
use tradewind_tests::binary::root;
use tradewind_tests::books::{self, Books};
use tradewind_tests::desk::{BUSY, Desk, busy};
use tradewind_tests::process::{Worker, command, run, run_arguments};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A command that goes well; its output.
fn ok(arguments: &[&str]) -> String {
    let ended = run(arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

/// The number behind a word of a summary, such as `fills 12` or `equity 400473.21`.
fn number(text: &str, word: &str) -> f64 {
    let (_, rest) = text.split_once(&format!("{word} ")).unwrap_or_else(|| panic!("no {word:?} in {text}"));
    let digits: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.' || *c == '-').collect();
    digits.parse().unwrap_or_else(|_| panic!("no number behind {word:?} in {text}"))
}

#[test]
fn two_backtests_give_the_same_bytes() {
    let desk = Desk::new(BUSY, 600);
    let file = desk.file();
    let backtest = |output: &str, name: &str| {
        let decisions = desk.path().join(name);
        let arguments = ["backtest", "-f", text(&file), "--output", output, "--decisions", text(&decisions)];
        (ok(&arguments), std::fs::read(decisions).unwrap())
    };
    for output in ["text", "json"] {
        let (one, two) = (backtest(output, "one"), backtest(output, "two"));
        assert!(one.0.len() > 500 && one.1.len() > 100_000, "{output}: there is too little to compare");
        assert_eq!(one.0, two.0, "{output}");
        assert!(one.1 == two.1, "the decisions differ");
    }
}

#[test]
fn a_backtest_and_a_run_of_the_same_files_come_to_the_same() {
    let desk = Desk::new(BUSY, 600);
    let file = desk.file();
    let path = desk.path().join("decisions");
    let out = ok(&["backtest", "-f", text(&file), "--output", "json", "--decisions", text(&path)]);
    let result: serde_json::Value = serde_json::from_str(&out).unwrap();
    let summary = desk.complete("state");
    let books = Books::of(&file, &desk.state("state"));

    let lines = std::fs::read_to_string(path).unwrap();
    let decided: Vec<DecisionRow> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(decided.len() == books.decisions.len() && decided.len() == 4 * 600, "{}", decided.len());
    for (one, two) in decided.iter().zip(&books.decisions) {
        assert_eq!(one, two, "a decision differs");
    }
    let figures = |name: Option<&str>| match name {
        None => &result["total"],
        Some(name) => &result["strategies"][name],
    };
    let line =
        |start: &str| summary.lines().find(|line| line.trim_start().starts_with(start)).unwrap().to_owned();
    for (name, start) in
        [(None, "completed "), (Some("trend"), "trend: "), (Some("reversion"), "reversion: ")]
    {
        let (figures, line) = (figures(name), line(start));
        let equity: f64 = figures["finalEquity"].as_str().unwrap().parse().unwrap();
        assert!((number(&line, "equity") - equity).abs() <= 0.01, "{line}\n{figures}");
        assert_eq!(Some(number(&line, "fills")), figures["fills"].as_f64(), "{line}");
        assert_eq!(Some(number(&line, "denied")), figures["denied"].as_f64(), "{line}");
    }
    assert_eq!(result["total"]["fills"], books.trades.len());
}

#[test]
fn from_and_to_bound_a_backtest_by_open_times() {
    let desk = Desk::new(BUSY, 200);
    let file = desk.file();
    let backtest = |bounds: &[&str]| -> serde_json::Value {
        let arguments = ["backtest", "-f", text(&file), "--output", "json"];
        serde_json::from_str(&ok(&[&arguments, bounds].concat())).unwrap()
    };
    // The candles begin at 2024-04-19T00:00Z; four instruments.
    let part = backtest(&["--from", "2024-04-20", "--to", "2024-04-21T06:00:00Z"]);
    assert_eq!(part["bars"], 4 * 30);
    assert_eq!(part["total"]["start"], "2024-04-20T00:00:00Z");
    assert_eq!(part["total"]["end"], "2024-04-21T06:00:00Z");
    assert_eq!(backtest(&["--from", "2024-04-20"])["bars"], 4 * 176);
    assert_eq!(backtest(&["--to", "2024-04-20"])["bars"], 4 * 24);
    let none = backtest(&["--from", "2030-01-01"]);
    assert_eq!(
        (&none["bars"], &none["warnings"][0]),
        (&0.into(), &"no bar lies between --from and --to".into())
    );
    let wrong = run(&["backtest", "-f", text(&file), "--from", "yesterday"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("--from \"yesterday\" is no time; write it like 2024-05-01"), "{}", wrong.err);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let desk = Desk::new(BUSY, 600);
    desk.complete("state");
    let state = desk.state("state");
    let file = desk.file();
    for arguments in [
        vec!["backtest", "-f", text(&file)],
        vec!["backtest", "-f", text(&file), "--output", "json"],
        vec!["explain", "--data-dir", text(&state), "--all"],
    ] {
        let prepared = command(&arguments);
        let mut piped = std::process::Command::new("sh");
        piped.args(["-c", "\"$@\" | head -n 1", "sh"]).arg(prepared.get_program()).args(prepared.get_args());
        let ended = Worker::spawn(&mut piped).ended();
        assert_eq!(ended.out.lines().count(), 1, "{arguments:?}: {}", ended.out);
        assert!(
            !ended.err.contains("error") && !ended.err.contains("panicked"),
            "{arguments:?}: {}",
            ended.err
        );
    }
}

#[test]
fn explain_folds_what_repeats_and_counts_every_decision() {
    let desk = Desk::new(BUSY, 200);
    desk.complete("state");
    let state = desk.state("state");
    let rows = books::decisions(&state);
    let explain = |more: &[&str]| ok(&[&["explain", "--data-dir", text(&state)], more].concat());
    let folded = explain(&[]);
    // Lines of decisions begin with their time; a fold tells how many it stands for.
    let dated = |text: &str| {
        text.lines().filter(|line| line.starts_with("2024-")).map(str::to_owned).collect::<Vec<_>>()
    };
    let stands_for = |line: &String| {
        line.split_once(" ×").map_or(1, |(_, rest)| rest.split(' ').next().unwrap().parse::<usize>().unwrap())
    };
    let lines = dated(&folded);
    assert!(lines.len() < rows.len() / 2, "{} lines for {} decisions", lines.len(), rows.len());
    assert_eq!(lines.iter().map(stands_for).sum::<usize>(), rows.len());
    assert!(folded.contains("\n800 decisions from 2024-04-19T01:00Z to "), "{folded}");
    assert_eq!(dated(&explain(&["--all"])).len(), rows.len());
    let acted = |line: &&String| line.contains("Enter") || line.contains("Exit");
    let entries = rows.iter().filter(|row| row.outcome == "Enter" || row.outcome == "Exit").count();
    let alone =
        lines.iter().filter(acted).filter(|line| stands_for(line) == 1 && !line.contains("ExitUnderWay"));
    assert_eq!(alone.count(), entries, "what led to an order is never folded");
}

#[test]
fn explain_filters_by_strategy_symbol_time_and_number() {
    let desk = Desk::new(BUSY, 200);
    desk.complete("state");
    let state = desk.state("state");
    let rows = books::decisions(&state);
    let explained = |more: &[&str]| -> Vec<DecisionRow> {
        let out = ok(&[&["explain", "--output", "json", "--data-dir", text(&state)], more].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let expected = |keep: &dyn Fn(&DecisionRow) -> bool| {
        rows.iter().filter(|row| keep(row)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(explained(&[]), rows);
    assert_eq!(explained(&["--strategy", "trend"]), expected(&|row| row.strategy_name == "trend"));
    assert_eq!(explained(&["--symbol", "ADA-USD"]), expected(&|row| row.symbol.to_string() == "ADA-USD"));
    // 2024-04-25T00:00Z
    assert_eq!(explained(&["--since", "2024-04-25"]), expected(&|row| row.at.0 >= 1_714_003_200_000));
    assert_eq!(explained(&["--limit", "7"]), rows[rows.len() - 7..]);
    let none = ok(&["explain", "--data-dir", text(&state), "--strategy", "nobody"]);
    assert!(none.contains("the ledger holds no decisions of strategy nobody"), "{none}");
    let missing = run(&["explain", "--data-dir", text(&desk.state("none"))]);
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.last_words().contains("ledger.db: there is no ledger; start the worker once"),
        "{}",
        missing.err
    );
}

#[test]
fn the_quickstarts_summary_tells_equity_fills_and_denied() {
    let yaml = std::fs::read_to_string(root().join("examples/quickstart.yaml")).unwrap();
    assert!(yaml.contains("dataSet: coinbase-1h"), "the quickstart runs on the packaged candles");
    let desk = Desk::new(&yaml.replace("dataSet: coinbase-1h", "dataSet: candles"), 1500);
    let (file, state) = (desk.file(), desk.state("state"));
    // Its own pace is for people to watch; the option overrides it, as for `make quickstart`.
    let ended = Worker::spawn(command(&run_arguments(&file, &state)).args(["--speed", "max"])).ended();
    let summary = tradewind_tests::desk::summary(&ended.out);
    let first = summary.lines().next().unwrap();
    assert!(number(first, "equity") > 5_000.0 && number(first, "equity") < 20_000.0, "{first}");
    assert!(number(first, "fills") > 20.0, "{first}");
    assert!(number(first, "denied") > 5.0, "{first}");
    for name in ["trend", "reversion"] {
        let line = summary.lines().find(|line| line.starts_with(&format!("  {name}: "))).unwrap();
        assert!(number(line, "fills") > 0.0 && number(line, "denied") > 0.0, "{line}");
    }
    let reasons = summary.lines().last().unwrap();
    assert!(
        reasons.starts_with("why nothing was traded: ") && reasons.contains("BelowConfidence "),
        "{reasons}"
    );
}

#[test]
fn what_is_old_is_pruned_and_the_summary_still_counts_it() {
    let desk = Desk::new(BUSY, 300);
    let whole = desk.complete("whole");
    let (file, state) = (desk.file(), desk.state("pruned"));
    let mut worker = command(&run_arguments(&file, &state));
    let ended = Worker::spawn(worker.args(["--keep-days", "3"])).ended();
    assert_eq!(tradewind_tests::desk::summary(&ended.out), whole);
    let (all, kept) = (Books::of(&file, &desk.state("whole")), Books::of(&file, &state));
    assert_eq!(kept.trades, all.trades, "fills are never pruned");
    // Three days of four instruments' hours, and the day that has begun.
    assert!((288..=384).contains(&kept.decisions.len()), "{} decisions are left", kept.decisions.len());
    assert_eq!(kept.decisions[..], all.decisions[all.decisions.len() - kept.decisions.len()..]);
}

#[test]
fn every_command_explains_itself() {
    let whole = ok(&["--help"]);
    let commands = ["run", "backtest", "validate", "explain", "halt", "resume", "reference-job"];
    for name in commands {
        assert!(whole.contains(&format!("  {name} ")), "--help does not list {name}");
        let help = ok(&[name, "--help"]);
        assert!(help.contains("Usage: tradewind-worker ") && help.lines().count() > 8, "{name}: {help}");
        // Each option says what it does, beside or below its name.
        let lines: Vec<&str> = help.lines().collect();
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.trim_start().starts_with("--"))
        {
            let beside = line.trim_start().split("  ").count() > 1;
            let below = lines.get(index + 1).is_some_and(|next| next.starts_with("          "));
            assert!(beside || below, "{name}: {line:?} is not explained");
        }
    }
    for wrong in
        [vec![], vec!["fly"], vec!["run"], vec!["resume"], vec!["halt", "--action", "Panic", "--reason", "x"]]
    {
        let ended = run(&wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {ended:?}");
        assert!(ended.err.contains("Usage: ") || ended.err.contains("--help"), "{wrong:?}: {}", ended.err);
    }
}

#[test]
fn one_account_of_several_is_chosen_by_name() {
    let second = BUSY.split("---").nth(1).unwrap().replace("{name: paper}", "{name: second}");
    let desk = Desk::new(&format!("{}---{second}", busy(&[])), 30);
    let ended = desk.start("state").ended();
    assert_eq!(ended.code, Some(2));
    let sentence = "the files hold several ExchangeAccounts; choose one with --account: paper, second";
    assert!(ended.last_words().contains(sentence), "{}", ended.err);
    let (file, state) = (desk.file(), desk.state("state"));
    let mut chosen = command(&run_arguments(&file, &state));
    let ended = Worker::spawn(chosen.args(["--account", "paper"])).ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("completed default/paper at "), "{}", ended.out);
}
