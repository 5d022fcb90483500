//! What people would apply: a policy, a paper account and strategies on the packaged candles.

/// A policy with limits out of the way, so that only what a test is about stops a strategy.
pub const OPEN_POLICY: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: open}
spec:
  order: {minNotional: "1"}
  strategy: {minConfidencePercent: 0, maxPositionPercent: 100, maxExposurePercent: 100, maxOpenPositions: 64, cooldown: 0s, maxTradesPerInstrumentPerDay: 10000}
  account: {maxExposurePercent: 100}
  breakers: [{name: drawdown, scope: Strategy, trip: {drawdown: {percent: 99, confirmFor: 0s}}, action: StopEntries}]
"#;

/// A paper account on [`super::market::ZIGZAG`], with so many bars of a minute a second.
pub fn account(name: &str, bars_a_second: u32) -> String {
    let factor = bars_a_second * 60;
    format!(
        r#"
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {{name: {name}}}
spec:
  venue: {{paper: {{quoteCurrency: USD, balances: [{{asset: USD, amount: "100000"}}]}}}}
  marketData: {{replay: {{dataSet: zigzag, speed: {{times: {{factor: {factor}}}}}}}}}
  riskPolicyRef: {{name: open}}
"#
    )
}

/// A strategy that orders at every bar of the zigzag: averages of one and two bars cross at each turn.
pub fn strategy(name: &str, account: &str, symbol: &str) -> String {
    strategy_with(name, account, symbol, "")
}

/// As [`strategy`], with more lines of spec, each indented by two spaces.
pub fn strategy_with(name: &str, account: &str, symbol: &str, more: &str) -> String {
    format!(
        r#"
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {{name: {name}, labels: {{desk: {account}}}}}
spec:
  exchangeAccountRef: {{name: {account}}}
  capital: {{amount: "5000"}}
  instruments: [{{symbol: {symbol}}}]
  decision: {{bar: 1m}}
  signal: {{source: {{emaCross: {{fast: 1, slow: 2}}}}}}
  sizing: {{fixedPercent: {{percent: 1}}}}
{more}
"#
    )
}

/// A halt of that target, such as `strategy: {name: trend}`.
pub fn halt(name: &str, target: &str) -> String {
    format!(
        r"
apiVersion: tradewind.dev/v1alpha1
kind: TradingHalt
metadata: {{name: {name}}}
spec: {{target: {{{target}}}, reason: a test, requestedBy: tests}}
"
    )
}

/// Several documents as one stream.
pub fn all(documents: &[&str]) -> String {
    documents.join("\n---\n")
}
