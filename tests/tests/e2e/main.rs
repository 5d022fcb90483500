//! End to end: the chart, the operator and the workers in containers on a node, from `kubectl apply` to fills and to the
//! end of everything.
//!
//! The data are the packaged candles, twenty bars a second, and the averages of one and two bars cross every few bars:
//! a strategy that may enter does so several times a second, so that silence means something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod deletion;
mod desk;
mod failing;
mod images;
mod lifecycle;
mod node;
mod records;
mod release;
mod worker;

use tradewind_tests::rig::objects::{OPEN_POLICY, all};

/// A paper account on the packaged candles; further lines of its spec are indented by two spaces.
fn account_with(name: &str, more: &str) -> String {
    format!(
        r#"
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {{name: {name}}}
spec:
  venue: {{paper: {{quoteCurrency: USD, balances: [{{asset: USD, amount: "100000"}}]}}}}
  marketData: {{replay: {{dataSet: coinbase-1h, speed: {{times: {{factor: 72000}}}}}}}}
  riskPolicyRef: {{name: open}}
{more}
"#
    )
}

fn account(name: &str) -> String {
    account_with(name, "")
}

/// A strategy that enters and exits at nearly every turn of a symbol.
fn strategy(name: &str, account: &str, symbol: &str) -> String {
    format!(
        r#"
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {{name: {name}}}
spec:
  exchangeAccountRef: {{name: {account}}}
  capital: {{amount: "5000"}}
  instruments: [{{symbol: {symbol}}}]
  decision: {{bar: 1h}}
  signal: {{source: {{emaCross: {{fast: 1, slow: 2}}}}}}
  sizing: {{fixedPercent: {{percent: 1}}}}
  exits: {{stopLoss: {{fixedPercent: {{percent: 5}}}}}}
"#
    )
}

/// One account, `paper`, with one strategy, `trend`, on BTC-USD.
fn one_of_each() -> String {
    all(&[OPEN_POLICY, &account("paper"), &strategy("trend", "paper", "BTC-USD")])
}
