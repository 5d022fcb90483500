//! What `kubectl get` shows: fixed objects, with the status both programs would write, against the files in `golden/`.
//!
//! After a change that is meant, look at the difference and write them anew:
//! `UPDATE_GOLDEN=1 cargo test -p tradewind-tests --test api columns`.

use std::path::PathBuf;

use tradewind_tests::cluster::{Cluster, Namespace};

/// Most characters of a line that still fit a terminal beside other windows.
const WIDTH: usize = 120;
/// What stands for the time since something happened, which differs from run to run.
const AGO: &str = "5m";
/// Columns that show it.
const DATES: [&str; 4] = ["AGE", "SINCE", "LAST-TRADE", "LAST-SIGNAL"];

/// What people declare.
const WISHES: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: desk}
spec:
  order: {minNotional: "25"}
  strategy: {minConfidencePercent: 65, maxPositionPercent: 5, maxExposurePercent: 80, cooldown: 60m}
  account: {maxExposurePercent: 80}
---
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: careful}
spec:
  strategy: {maxPositionPercent: 2.5}
  breakers: [{name: daily, scope: Strategy, trip: {drawdown: {percent: 3}}, action: CancelEntries}]
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
spec:
  venue: {paper: {quoteCurrency: USD, balances: [{asset: USD, amount: "10000"}]}}
  marketData: {replay: {dataSet: coinbase-1h}}
  riskPolicyRef: {name: desk}
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper-eu}
spec:
  venue: {paper: {quoteCurrency: USD, balances: [{asset: USD, amount: "10000"}]}}
  marketData: {replay: {dataSet: coinbase-1h}}
  riskPolicyRef: {name: desk}
"#;

/// Wishes of the four strategies: name, desired state, policy.
const STRATEGIES: [(&str, &str, &str); 4] = [
    ("btc-trend", "Trading", ""),
    ("eth-reversion", "Trading", "  riskPolicyRef: {name: careful}\n"),
    ("sol-trend", "ExitOnly", ""),
    ("new", "Trading", ""),
];

/// Halts: name, target, action, reason, who.
const HALTS: [(&str, &str, &str, &str, &str); 3] = [
    (
        "strategy.eth-reversion.latched",
        "strategy: {name: eth-reversion}",
        "CancelEntries",
        "spec.halted was set by kubectl-patch at generation 3",
        "kubectl-patch",
    ),
    (
        "strategy.sol-trend.daily",
        "strategy: {name: sol-trend}",
        "CancelEntries",
        "drawdown 3.12% reached the 3% of breaker daily",
        "breaker daily",
    ),
    (
        "exchange-incident",
        "namespace: {}",
        "StopEntries",
        "coinbase reports degraded matching",
        "alice@example.com",
    ),
];

/// What the operator says of them.
const OPERATOR: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: btc-trend}
status:
  phase: Running
  conditions: [{type: Ready, status: "True", reason: Running, message: runs, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: eth-reversion}
status:
  phase: Halted
  conditions: [{type: Ready, status: "True", reason: Halted, message: halted, lastTransitionTime: "2020-01-01T00:00:00Z"}]
  halt: {active: true, action: CancelEntries, by: strategy.eth-reversion.latched (kubectl-patch)}
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: sol-trend}
status:
  phase: Degraded
  conditions: [{type: Ready, status: "False", reason: Stale, message: stale, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
status:
  phase: Running
  venue: Paper
  strategies: 2/3
  worker: {pod: paper-0, node: node0, ready: true, restarts: 1, image: "tradewind-worker:0.1.0"}
  conditions: [{type: Ready, status: "True", reason: Running, message: runs, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: desk}
status:
  bound: 2 accounts
  breakers: drawdown 15%
  conditions:
  - {type: Accepted, status: "True", reason: Valid, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}
  - {type: Breached, status: "False", reason: WithinLimits, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}
---
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: careful}
status:
  bound: 1 strategy
  breakers: daily 3%
  conditions:
  - {type: Accepted, status: "True", reason: Valid, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}
  - {type: Breached, status: "True", reason: BreakerTripped, message: late, lastTransitionTime: "2020-01-01T00:00:00Z"}
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingHalt
metadata: {name: strategy.eth-reversion.latched}
status:
  target: strategy eth-reversion
  affected: 1/1 strategy
  effectiveSince: "2020-01-01T00:00:00Z"
  conditions: [{type: Effective, status: "True", reason: InForce, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingHalt
metadata: {name: exchange-incident}
status:
  target: namespace desk (BTC-USD)
  affected: 2/3 strategies
  waitingFor: [sol-trend, eth-x]
  waiting: sol-trend, eth-x
  conditions: [{type: Effective, status: "False", reason: WaitingForWorkers, message: late, lastTransitionTime: "2020-01-01T00:00:00Z"}]
"#;

/// What the worker says of them.
const WORKER: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: btc-trend}
status:
  trading:
    {equity: 2571.86 USD, pnl24h: +1.8%, drawdown: 4.2%, exposure: 41%, positions: 3/10, signal: BUY BTC-USD 71%,
     lastTradeTime: "2020-01-01T00:00:00Z",
     lastSignal: {time: "2020-01-01T00:00:00Z", symbol: BTC-USD, side: Buy, confidencePercent: "71"}}
  conditions: [{type: DataFresh, status: "True", reason: Streaming, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: eth-reversion}
status:
  trading: {equity: 104071.86 USD, pnl24h: -12.4%, drawdown: 13.9%, exposure: 0%, positions: 0/10, signal: SELL ETH-USD 100%}
  conditions: [{type: DataFresh, status: "True", reason: Streaming, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: sol-trend}
status:
  trading: {equity: 5000.00 USD, pnl24h: +0.0%, drawdown: 0.0%, exposure: 0%, positions: 0/10}
  conditions: [{type: DataFresh, status: "False", reason: Stale, message: late, lastTransitionTime: "2020-01-01T00:00:00Z"}]
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
status:
  trading: {equity: 111643.72 USD, pnl24h: -11.5%, drawdown: 13.2%, exposure: 1%}
  conditions: [{type: DataFresh, status: "True", reason: Streaming, message: ok, lastTransitionTime: "2020-01-01T00:00:00Z"}]
"#;

fn wishes() -> String {
    let strategies = STRATEGIES.iter().map(|(name, desired, more)| {
        format!(
            "---\napiVersion: tradewind.dev/v1alpha1\nkind: TradingStrategy\nmetadata: {{name: {name}}}\nspec:\n  \
             desiredState: {desired}\n  exchangeAccountRef: {{name: paper}}\n  capital: {{amount: \"3000\"}}\n  \
             instruments: [{{symbol: BTC-USD}}]\n  decision: {{bar: 1h}}\n  \
             signal: {{source: {{emaCross: {{fast: 10, slow: 30}}}}}}\n  sizing: {{fixedPercent: {{percent: 5}}}}\n{more}"
        )
    });
    let halts = HALTS.iter().map(|(name, target, action, reason, who)| {
        format!(
            "---\napiVersion: tradewind.dev/v1alpha1\nkind: TradingHalt\nmetadata: {{name: {name}}}\nspec:\n  \
             target: {{{target}}}\n  action: {action}\n  reason: {reason}\n  requestedBy: {who}\n"
        )
    });
    WISHES.to_owned() + &strategies.chain(halts).collect::<String>()
}

async fn told() -> (Cluster, Namespace) {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let namespace = cluster.namespace().await;
    cluster.apply(namespace.name(), &wishes()).await;
    for (manager, statuses) in [("tradewind-operator", OPERATOR), ("tradewind-worker", WORKER)] {
        let manager = format!("--field-manager={manager}");
        let apply =
            ["apply", "--server-side", "--subresource=status", &manager, "-n", namespace.name(), "-f", "-"];
        cluster.kubectl_reading(&apply, statuses).await.success();
    }
    (cluster, namespace)
}

/// The tables of an answer with the times masked, laid out as kubectl does: columns three spaces apart.
fn masked(answer: &str) -> String {
    let tables = answer.trim_end().split("\n\n").map(|table| {
        let lines: Vec<&str> = table.lines().collect();
        let names: Vec<&str> = lines[0].split_whitespace().collect();
        let starts: Vec<usize> = names
            .iter()
            .scan(0, |from, name| {
                let start = lines[0][*from..].find(name).unwrap() + *from;
                *from = start + name.len();
                Some(start)
            })
            .collect();
        let rows: Vec<Vec<&str>> = lines
            .iter()
            .map(|line| {
                let ends = starts.iter().skip(1).copied().chain([line.len().max(starts[starts.len() - 1])]);
                let cells = starts
                    .iter()
                    .zip(ends)
                    .map(|(start, end)| line.get(*start..end.min(line.len())).unwrap_or_default().trim());
                let masked = cells.zip(&names).map(|(cell, name)| {
                    let age = DATES.contains(name) && cell.starts_with(|c: char| c.is_ascii_digit());
                    if age { AGO } else { cell }
                });
                masked.collect()
            })
            .collect();
        let widths: Vec<usize> =
            (0..names.len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap()).collect();
        let text = rows.iter().map(|row| {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            cells.join("   ").trim_end().to_owned() + "\n"
        });
        text.collect::<String>()
    });
    tables.collect::<Vec<_>>().join("\n")
}

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/columns").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "kubectl get shows something else than {}", path.display());
}

#[tokio::test]
async fn columns_are_those_of_the_golden_files_and_fit_a_terminal() {
    let (cluster, namespace) = told().await;
    for kind in ["tradingstrategies", "exchangeaccounts", "riskpolicies", "tradinghalts", "trading"] {
        for wide in [false, true] {
            let mut get = vec!["-n", namespace.name(), "get", kind];
            if wide {
                get.extend(["-o", "wide"]);
            }
            let shown = masked(&cluster.kubectl(&get).await.success());
            golden(&format!("{kind}{}", if wide { "-wide" } else { "" }), &shown);
            let longest = shown.lines().map(str::len).max().unwrap();
            // With its kind before each name `get trading` takes more.
            assert!(wide || kind == "trading" || longest <= WIDTH, "{kind}: {longest} characters\n{shown}");
        }
    }
}
