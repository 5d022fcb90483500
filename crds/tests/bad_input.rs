//! What people get wrong in YAML: each is found, with one sentence that names object, field, value and fix.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;

use tradewind_core::time::Millis;
use tradewind_crds::load;
use tradewind_crds::resolve::{Catalog, validate};

const DESK: &str = "\
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: desk}
spec: {}
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
spec:
  venue: {paper: {quoteCurrency: USD, balances: [{asset: USD, amount: \"10000\"}]}}
  marketData: {replay: {dataSet: coinbase-1h}}
  riskPolicyRef: {name: desk}
";

const BTC: &str = "\
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: btc}
spec:
  exchangeAccountRef: {name: paper}
  capital: {amount: \"5000\"}
  instruments:
  - symbol: BTC-USD
  decision: {bar: 1h}
  signal: {source: {emaCross: {fast: 10, slow: 30}}}
  sizing: {fixedPercent: {percent: 5}}
";

fn catalogs() -> BTreeMap<String, Catalog> {
    let symbols = ["ADA-USD", "BTC-USD", "ETH-USD", "SOL-USD"].map(|symbol| symbol.parse().unwrap()).to_vec();
    let catalog = Catalog { data_set: "coinbase-1h".into(), bar: Millis(3_600_000), symbols };
    BTreeMap::from([("coinbase-1h".to_owned(), catalog)])
}

/// All problems of a desk and these documents, as people see them.
fn problems(documents: &[&str]) -> Vec<String> {
    let named = documents.iter().map(|text| ("f.yaml", *text));
    let loaded = load::texts([("desk.yaml", DESK)].into_iter().chain(named));
    let resolved = validate(&loaded.objects, &catalogs());
    loaded.problems.iter().chain(&resolved).map(ToString::to_string).collect()
}

fn change(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replace(from, to)
}

#[test]
fn good_documents_have_no_problem() {
    assert_eq!(problems(&[BTC]), [""; 0]);
}

/// What is written, what it is changed to, and what people are told.
type Case = (&'static str, &'static str, &'static [&'static str]);

/// Typos and unknown fields.
const TYPOS: &[Case] = &[
    (
        "instruments:",
        "instrments:",
        &[
            "f.yaml:7: TradingStrategy default/btc: spec.instrments: there is no such field; did you mean instruments?",
            "f.yaml:5: TradingStrategy default/btc: spec.instruments: is required; add it",
        ],
    ),
    (
        "fast: 10",
        "fast: 10, colour: red",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.signal.source.emaCross.colour: there is no such field; use one of fast, slow",
        ],
    ),
    (
        "kind: TradingStrategy",
        "kind: TradingStratgy",
        &["f.yaml:2: kind (TradingStratgy): is none of ours; did you mean TradingStrategy?"],
    ),
    (
        "v1alpha1",
        "v1",
        &[
            "f.yaml:1: TradingStrategy default/btc: apiVersion (tradewind.dev/v1): is not known; use tradewind.dev/v1alpha1",
        ],
    ),
    (
        "emaCross",
        "emaCros",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.signal.source.emaCros: there is no such field; did you mean emaCross?",
            "f.yaml:10: TradingStrategy default/btc: spec.signal.source (none): must have exactly one of emaCross, rsiReversion; add one",
        ],
    ),
    (
        "{fixedPercent: {percent: 5}}",
        "{fixedPercent: {percent: 5}, fixedQuantity: {quantities: [{symbol: BTC-USD, quantity: \"1\"}]}}",
        &[
            "f.yaml:11: TradingStrategy default/btc: spec.sizing (fixedPercent, fixedQuantity): must have exactly one of fixedPercent, fixedQuantity; keep one and remove the others",
        ],
    ),
];

/// Types, bounds, patterns.
const SHAPES: &[Case] = &[
    (
        "\"5000\"",
        "5000",
        &[
            "f.yaml:6: TradingStrategy default/btc: spec.capital.amount (5000): must be text; write it in quotes, like \"5000\"",
        ],
    ),
    (
        "\"5000\"",
        "\"5,000\"",
        &[
            "f.yaml:6: TradingStrategy default/btc: spec.capital.amount (5,000): must be a decimal number, zero or more; write it like \"12.5\"",
        ],
    ),
    (
        "\"5000\"",
        "\"-1\"",
        &[
            "f.yaml:6: TradingStrategy default/btc: spec.capital.amount (-1): must be a decimal number, zero or more; write it like \"12.5\"",
        ],
    ),
    (
        "\"5000\"",
        "\"0\"",
        &[
            "f.yaml:6: TradingStrategy default/btc: spec.capital.amount (0): capital.amount must be greater than zero; write the cash the strategy may use, such as \"5000\"",
        ],
    ),
    (
        "percent: 5",
        "percent: \"5\"",
        &[
            "f.yaml:11: TradingStrategy default/btc: spec.sizing.fixedPercent.percent (5): must be a number; write it without quotes, like 2.5",
        ],
    ),
    (
        "percent: 5",
        "percent: 101",
        &[
            "f.yaml:11: TradingStrategy default/btc: spec.sizing.fixedPercent.percent (101): must be at most 100; lower it",
        ],
    ),
    (
        "percent: 5",
        "percent: .nan",
        &[
            "f.yaml:11: TradingStrategy default/btc: spec.sizing.fixedPercent.percent (.nan): must be a number; write it without quotes, like 2.5",
        ],
    ),
    (
        "percent: 5",
        "percent: 5.00001",
        &[
            "f.yaml:11: TradingStrategy default/btc: spec.sizing.fixedPercent.percent: \"5.00001\" has more than 4 decimals; round it to 4",
        ],
    ),
    (
        "fast: 10",
        "fast: 10.5",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.signal.source.emaCross.fast (10.5): must be a whole number; remove the decimals",
        ],
    ),
    (
        "fast: 10",
        "fast: 30",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.signal.source.emaCross: fast must be less than slow; lower fast or raise slow",
        ],
    ),
    (
        "symbol: BTC-USD",
        "symbol: btc-usd",
        &[
            "f.yaml:8: TradingStrategy default/btc: spec.instruments[0].symbol (btc-usd): must be a symbol of base and quote asset; write it in capitals, like BTC-USD",
        ],
    ),
    (
        "- symbol: BTC-USD",
        "- symbol: BTC-USD\n  - symbol: BTC-USD",
        &[
            "f.yaml:9: TradingStrategy default/btc: spec.instruments[1] (BTC-USD): has a symbol that is listed already; remove one of the two",
        ],
    ),
    (
        "instruments:\n  - symbol: BTC-USD",
        "instruments: []",
        &[
            "f.yaml:7: TradingStrategy default/btc: spec.instruments (0 entries): must have at least 1; add what is missing",
        ],
    ),
    (
        "bar: 1h",
        "bar: hourly",
        &[
            "f.yaml:9: TradingStrategy default/btc: spec.decision.bar (hourly): must be a duration; write it like 150ms, 10s, 60m or 1h30m",
        ],
    ),
    (
        "name: btc",
        "name: Btc",
        &[
            "f.yaml:3: TradingStrategy default/Btc: metadata.name (Btc): must be a lower-case DNS name; write it like btc-trend",
        ],
    ),
    (
        "{bar: 1h}",
        "{bar: 1h}\n  desiredState: Tradin",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.desiredState (Tradin): must be one of Trading, ExitOnly, Stopped; did you mean Trading?",
        ],
    ),
];

/// References, money, market data.
const WORLD: &[Case] = &[
    (
        "{name: paper}",
        "{name: papr}",
        &[
            "f.yaml:5: TradingStrategy default/btc: spec.exchangeAccountRef.name (papr): there is no ExchangeAccount default/papr; did you mean paper?",
        ],
    ),
    (
        "{bar: 1h}",
        "{bar: 1h}\n  riskPolicyRef: {name: careful}",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.riskPolicyRef.name (careful): there is no RiskPolicy default/careful; create it or name one that exists (desk)",
        ],
    ),
    (
        "\"5000\"",
        "\"10000.01\"",
        &[
            "f.yaml:6: TradingStrategy default/btc: spec.capital.amount (10000.01): exceeds the 10000 still free on account paper; lower it to 10000 or give the account more",
        ],
    ),
    (
        "BTC-USD",
        "BTX-USD",
        &[
            "f.yaml:8: TradingStrategy default/btc: spec.instruments[0].symbol (BTX-USD): data set coinbase-1h has no such symbol; did you mean BTC-USD?",
        ],
    ),
    (
        "BTC-USD",
        "PEPE-USD",
        &[
            "f.yaml:8: TradingStrategy default/btc: spec.instruments[0].symbol (PEPE-USD): data set coinbase-1h has no such symbol; it has ADA-USD, BTC-USD, ETH-USD, SOL-USD",
        ],
    ),
    (
        "bar: 1h",
        "bar: 90m",
        &[
            "f.yaml:9: TradingStrategy default/btc: spec.decision.bar (90m): data set coinbase-1h has bars of 1h, and this is no whole multiple of it; use 1h",
        ],
    ),
    (
        "bar: 1h",
        "bar: 15m",
        &[
            "f.yaml:9: TradingStrategy default/btc: spec.decision.bar (15m): data set coinbase-1h has bars of 1h, and this is no whole multiple of it; use 1h",
        ],
    ),
    (
        "{bar: 1h}",
        "{bar: 1h}\n  mode: Live\n  exits: {stopLoss: {fixedPercent: {percent: 5}}}",
        &[
            "f.yaml:10: TradingStrategy default/btc: spec.mode (Live): account paper trades on paper and cannot trade live; set mode to Paper or name an account with a real venue and allowLive: true",
        ],
    ),
];

#[test]
fn one_wrong_line_gives_one_sentence() {
    for (from, to, expected) in [TYPOS, SHAPES, WORLD].into_iter().flatten() {
        assert_eq!(problems(&[&change(BTC, from, to)]), *expected, "{to}");
    }
}

#[test]
fn a_symbol_in_another_currency_names_the_right_one() {
    assert_eq!(
        problems(&[&change(BTC, "BTC-USD", "BTC-EUR")]),
        [
            "f.yaml:8: TradingStrategy default/btc: spec.instruments[0].symbol (BTC-EUR): is quoted in EUR, but account paper counts in USD; use BTC-USD or another account",
        ]
    );
}

#[test]
fn two_strategies_on_one_base_asset_or_beyond_the_capital_name_each_other() {
    let second = change(&change(BTC, "name: btc", "name: second"), "\"5000\"", "\"6000\"");
    assert_eq!(
        problems(&[BTC, &second]),
        [
            "f.yaml:8: TradingStrategy default/second: spec.instruments[0].symbol (BTC): base asset BTC is already granted to strategy btc; remove the symbol from one of the two or use another account",
            "f.yaml:6: TradingStrategy default/second: spec.capital.amount (6000): exceeds the 5000 still free on account paper; lower it to 5000 or give the account more",
        ]
    );
}

#[test]
fn all_problems_of_all_documents_come_at_once() {
    let first = change(&change(BTC, "fast: 10", "fast: 0"), "bar: 1h", "bar: 1d");
    let second = change(&change(BTC, "name: btc", "name: second"), "BTC-USD", "XXX-USD");
    let found = problems(&[&first, &second]);
    assert_eq!(found.len(), 3, "{found:#?}");
    for words in [
        "emaCross.fast (0): must be at least 1",
        "decision.bar (1d): must be a duration",
        "second: spec.instruments[0].symbol (XXX-USD)",
    ] {
        assert!(found.iter().any(|problem| problem.contains(words)), "{words}: {found:#?}");
    }
}

#[test]
fn what_cannot_be_read_is_told_apart_from_what_is_not_there() {
    let desk = change(DESK, "spec: {}", "spec: {strategy: {maxPositionPercent: 500}}");
    let loaded = load::texts([("desk.yaml", desk.as_str()), ("f.yaml", BTC)]);
    let found: Vec<String> = loaded
        .problems
        .iter()
        .chain(&validate(&loaded.objects, &catalogs()))
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            "desk.yaml:4: RiskPolicy default/desk: spec.strategy.maxPositionPercent (500): must be at most 100; lower it",
            "desk.yaml:12: ExchangeAccount default/paper: spec.riskPolicyRef.name (desk): RiskPolicy default/desk has problems of its own; put those right first",
            "f.yaml:5: TradingStrategy default/btc: spec.exchangeAccountRef.name (paper): ExchangeAccount default/paper has problems of its own; put those right first",
        ]
    );
}

#[test]
fn files_without_objects_and_broken_yaml_are_one_sentence_each() {
    let only = |text: &str| problems(&[text]);
    assert_eq!(
        only(""),
        [
            "f.yaml:1: the file holds no object; write a TradingStrategy, ExchangeAccount, RiskPolicy or TradingHalt"
        ]
    );
    assert_eq!(
        only("just words"),
        ["f.yaml:1: (just words): is no object; write apiVersion, kind, metadata and spec"]
    );
    let broken = only("kind: [a\nb: c");
    assert!(
        broken.len() == 1 && broken[0].starts_with("f.yaml:") && broken[0].contains("is not valid YAML: "),
        "{broken:?}"
    );
    assert!(!broken[0].contains('\n'), "one line: {broken:?}");
    let twice = only("kind: A\nkind: B\n");
    assert!(twice.len() == 1 && twice[0].contains("is not valid YAML: duplicate"), "{twice:?}");
    assert_eq!(
        only(&format!("{BTC}---\n{BTC}")),
        [
            "f.yaml:15: TradingStrategy default/btc: metadata.name (btc): another document has the same kind, namespace and name; rename or remove one of the two"
        ]
    );
}

#[test]
fn a_halt_that_names_nothing_is_told() {
    let halt = "apiVersion: tradewind.dev/v1alpha1\nkind: TradingHalt\nmetadata: {name: stop}\nspec: {target: {strategy: {name: btcc}}, reason: x}\n";
    assert_eq!(
        problems(&[BTC, halt]),
        [
            "f.yaml:4: TradingHalt default/stop: spec.target.strategy.name (btcc): there is no TradingStrategy default/btcc; did you mean btc?"
        ]
    );
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing.yaml");
    std::fs::write(dir.path().join("b.yaml"), DESK).unwrap();
    let loaded = load::files(&[missing.clone(), dir.path().to_owned()]);
    assert_eq!(loaded.objects.accounts.len(), 1, "a folder stands for the files in it");
    let found: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with(&format!("{}: cannot be read: ", missing.display())), "{found:?}");
}
