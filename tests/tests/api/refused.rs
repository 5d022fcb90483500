//! What people write wrong and kubectl refuses at once: it names the field and, where it can, says what to write.

use tradewind_tests::cluster::Cluster;

const STRATEGY: &str = r#"apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: trend}
spec:
  exchangeAccountRef: {name: paper}
  capital: {amount: "5000"}
  instruments: [{symbol: BTC-USD}]
  decision: {bar: 1h}
  signal: {source: {emaCross: {fast: 10, slow: 30}}}
  sizing: {fixedPercent: {percent: 5}}
"#;
const ACCOUNT: &str = r#"apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
spec:
  venue: {paper: {quoteCurrency: USD, balances: [{asset: USD, amount: "10000"}]}}
  marketData: {replay: {dataSet: coinbase-1h}}
  riskPolicyRef: {name: open}
"#;
const POLICY: &str = r#"apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: open}
spec:
  order: {minNotional: "1"}
  strategy: {maxPositionPercent: 5}
"#;
const HALT: &str = r"apiVersion: tradewind.dev/v1alpha1
kind: TradingHalt
metadata: {name: incident}
spec: {target: {strategy: {name: trend}}, reason: a test}
";

/// A document, what is replaced in it by what, and what the refusal names.
const MISTAKES: &[(&str, &str, &str, &[&str])] = &[
    (STRATEGY, "kind: TradingStrategy", "kind: TradingStrategie", &["TradingStrategie"]),
    (STRATEGY, "v1alpha1", "v1alpha2", &["tradewind.dev/v1alpha2"]),
    (STRATEGY, "instruments:", "instrments:", &["unknown field \"spec.instrments\""]),
    (STRATEGY, "{fast: 10", "{fats: 10", &["unknown field \"spec.signal.source.emaCross.fats\""]),
    (STRATEGY, "  decision: {bar: 1h}\n", "", &["spec.decision: Required value"]),
    (STRATEGY, "\"5000\"", "5000", &["spec.capital.amount", "must be of type string"]),
    (STRATEGY, "\"5000\"", "\"5,000\"", &["spec.capital.amount", "5,000"]),
    (STRATEGY, "\"5000\"", "\"-1\"", &["spec.capital.amount", "-1"]),
    (STRATEGY, "\"5000\"", "\"0\"", &["capital.amount must be greater than zero"]),
    (STRATEGY, "BTC-USD", "btc-usd", &["spec.instruments[0].symbol", "btc-usd"]),
    (STRATEGY, "[{symbol: BTC-USD}]", "[]", &["spec.instruments", "at least 1 items"]),
    (
        STRATEGY,
        "[{symbol: BTC-USD}]",
        "[{symbol: BTC-USD}, {symbol: BTC-USD}]",
        &["spec.instruments[1]", "Duplicate value"],
    ),
    (STRATEGY, "bar: 1h", "bar: 1 hour", &["spec.decision.bar", "1 hour"]),
    (STRATEGY, "bar: 1h", "bar: 1d", &["spec.decision.bar", "1d"]),
    (STRATEGY, "bar: 1h", "bar: 3600", &["spec.decision.bar", "must be of type string"]),
    (
        STRATEGY,
        "percent: 5}}",
        "percent: 500}}",
        &["spec.sizing.fixedPercent.percent", "less than or equal to 100"],
    ),
    (
        STRATEGY,
        "percent: 5}}",
        "percent: five}}",
        &["spec.sizing.fixedPercent.percent", "must be of type number"],
    ),
    (
        STRATEGY,
        "fast: 10, slow: 30",
        "fast: 30, slow: 10",
        &["fast must be less than slow; lower fast or raise slow"],
    ),
    (STRATEGY, "{emaCross: {fast: 10, slow: 30}}", "{}", &["spec.signal.source"]),
    (
        STRATEGY,
        "{emaCross: {fast: 10, slow: 30}}",
        "{emaCross: {fast: 10, slow: 30}, rsiReversion: {period: 14, oversold: 30, overbought: 70}}",
        &["spec.signal.source"],
    ),
    (STRATEGY, "  capital:", "  mode: Demo\n  capital:", &["spec.mode", "Demo", "\"Paper\", \"Live\""]),
    (
        STRATEGY,
        "  capital:",
        "  mode: Live\n  capital:",
        &["a strategy with mode Live must have a stop loss"],
    ),
    (STRATEGY, "  capital:", "  resume: {haltID: latched}\n  capital:", &["spec.resume.haltID", "latched"]),
    (STRATEGY, "{name: trend}", "{name: Trend}", &["metadata.name", "Trend"]),
    (
        STRATEGY,
        "{name: trend}",
        "{name: a-name-that-is-longer-than-the-fifty-two-characters-allowed}",
        &["at most 52 characters"],
    ),
    (
        STRATEGY,
        "{name: paper}",
        "{name: a-name-that-is-longer-than-the-fifty-two-characters-allowed}",
        &["spec.exchangeAccountRef.name"],
    ),
    (ACCOUNT, "{asset: USD,", "{asset: EUR,", &["balances must hold the quote currency"]),
    (ACCOUNT, "\"10000\"", "\"1e4\"", &["spec.venue.paper.balances[0].amount", "1e4"]),
    (ACCOUNT, "quoteCurrency: USD", "quoteCurrency: usd", &["spec.venue.paper.quoteCurrency", "usd"]),
    (
        ACCOUNT,
        "  riskPolicyRef",
        "  allowLive: true\n  riskPolicyRef",
        &["allowLive must be false on a paper venue"],
    ),
    (
        ACCOUNT,
        "  riskPolicyRef",
        "  ledger: {sqlite: {size: big}}\n  riskPolicyRef",
        &["spec.ledger.sqlite.size", "big"],
    ),
    (ACCOUNT, "  riskPolicyRef: {name: open}\n", "", &["spec.riskPolicyRef: Required value"]),
    (POLICY, "maxPositionPercent: 5", "maxPositionPercent: 101", &["spec.strategy.maxPositionPercent"]),
    (
        POLICY,
        "maxPositionPercent: 5",
        "maxPositionPercent: \"5\"",
        &["maxPositionPercent", "must be of type number"],
    ),
    (POLICY, "maxPositionPercent: 5", "cooldown: 60", &["spec.strategy.cooldown", "must be of type string"]),
    (POLICY, "maxPositionPercent: 5", "maxPosition: 5", &["unknown field \"spec.strategy.maxPosition\""]),
    (HALT, "{strategy: {name: trend}}", "{}", &["spec.target"]),
    (HALT, "{strategy: {name: trend}}", "{strategy: {name: trend}, namespace: {}}", &["spec.target"]),
    (
        HALT,
        "{strategy: {name: trend}}",
        "{selector: {matchLabels: {}}}",
        &["spec.target.selector.matchLabels"],
    ),
    (HALT, ", reason: a test", "", &["spec.reason: Required value"]),
    (HALT, "reason: a test", "reason: a test, action: Stop", &["spec.action", "\"StopEntries\""]),
];

#[tokio::test]
async fn a_mistake_is_refused_with_the_name_of_the_field() {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let namespace = cluster.namespace().await;
    let apply = ["-n", namespace.name(), "apply", "-f", "-"];
    let mut faults = Vec::new();
    for (document, from, to, wanted) in MISTAKES {
        assert!(document.contains(from), "{from}");
        let ran = cluster.kubectl_reading(&apply, &document.replacen(from, to, 1)).await;
        if ran.ok || !wanted.iter().all(|words| ran.err.contains(words)) {
            faults.push(format!("{to}: {wanted:?}: {ran:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let left = cluster.kubectl(&["-n", namespace.name(), "get", "trading", "-o", "name"]).await.success();
    assert_eq!(left, "", "nothing of it was stored");
    // And without the mistakes they are taken.
    for document in [STRATEGY, ACCOUNT, POLICY, HALT] {
        cluster.kubectl_reading(&apply, document).await.success();
    }
}

#[tokio::test]
async fn yaml_that_is_none_is_refused() {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let namespace = cluster.namespace().await;
    for (document, wanted) in [
        ("kind: [\n", "error converting YAML"),
        (&STRATEGY.replace("  capital:", "\tcapital:"), "error converting YAML"),
    ] as [(&str, &str); 2]
    {
        let apply = ["-n", namespace.name(), "apply", "-f", "-"];
        let ran = cluster.kubectl_reading(&apply, document).await;
        let said = ran.failure();
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
