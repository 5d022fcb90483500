//! A desk: an account with two strategies on stretches of the packaged candles, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tempfile::TempDir;

use crate::binary::root;
use crate::process::{Worker, command, run_arguments};

/// The instruments of the packaged set that desks trade.
pub const SYMBOLS: [&str; 4] = ["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD"];
/// Length of a bar.
pub const HOUR_MS: i64 = 3_600_000;

/// An account and two strategies that trade often: short averages, near stops, a small share of the volume (so that
/// orders fill in parts), limits that deny now and then.
pub const BUSY: &str = r#"
apiVersion: tradewind.dev/v1alpha1
kind: RiskPolicy
metadata: {name: limits}
spec:
  order: {minNotional: "25"}
  strategy:
    minConfidencePercent: 20
    maxPositionPercent: 5
    maxExposurePercent: 80
    maxOpenPositions: 10
    cooldown: 120m
    maxTradesPerInstrumentPerDay: 2
  account: {maxExposurePercent: 80}
  breakers:
  - {name: drawdown, scope: Strategy, trip: {drawdown: {percent: 15, confirmFor: 10s}}, action: CancelEntries}
---
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
spec:
  venue:
    paper:
      quoteCurrency: USD
      balances: [{asset: USD, amount: "400000"}]
      fees: {makerBps: 10, takerBps: 20}
      slippageBps: 2
      latency: 150ms
      volumeSharePercent: 0.2
  marketData: {replay: {dataSet: candles, speed: {max: {}}}}
  riskPolicyRef: {name: limits}
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: trend}
spec:
  exchangeAccountRef: {name: paper}
  capital: {amount: "200000"}
  instruments: [{symbol: BTC-USD}, {symbol: ETH-USD}]
  decision: {bar: 1h}
  signal: {source: {emaCross: {fast: 3, slow: 8}}}
  sizing: {fixedPercent: {percent: 5}}
  exits: {stopLoss: {fixedPercent: {percent: 1}}}
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: reversion}
spec:
  exchangeAccountRef: {name: paper}
  capital: {amount: "200000"}
  instruments: [{symbol: SOL-USD}, {symbol: ADA-USD}]
  decision: {bar: 1h}
  signal: {source: {rsiReversion: {period: 7, oversold: 35, overbought: 65}}}
  sizing: {fixedPercent: {percent: 5}}
  exits: {stopLoss: {fixedPercent: {percent: 2}}}
"#;

/// [`BUSY`] with replacements, each of which must replace something.
pub fn busy(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(BUSY.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the desk has no {from:?}");
        text.replace(from, to)
    })
}

/// Rows of the packaged hourly candles, without their header.
pub fn packaged(symbol: &str, from: usize, count: usize) -> Vec<String> {
    let path = root().join("examples/data/coinbase-1h").join(format!("{symbol}_1h.csv.gz"));
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let rows: Vec<String> = text.lines().skip(1 + from).take(count).map(str::to_owned).collect();
    assert_eq!(rows.len(), count, "the packaged candles of {symbol} are shorter");
    rows
}

/// The open time of a row.
pub fn time_of(row: &str) -> i64 {
    row.split(',').next().unwrap().parse().unwrap()
}

/// A folder with YAML, candles and room for ledgers; gone when dropped.
#[derive(Debug)]
pub struct Desk {
    dir: TempDir,
}

impl Desk {
    /// That YAML on the first `bars` packaged bars of each instrument.
    pub fn new(yaml: &str, bars: usize) -> Self {
        let rows = SYMBOLS.map(|symbol| (symbol, packaged(symbol, 0, bars)));
        Self::with_rows(yaml, &BTreeMap::from(rows))
    }

    /// That YAML on those rows.
    pub fn with_rows(yaml: &str, rows: &BTreeMap<&str, Vec<String>>) -> Self {
        let desk = Self { dir: TempDir::new().unwrap() };
        fs::create_dir_all(desk.data_set()).unwrap();
        let rules = root().join("examples/data/coinbase-1h/instruments.yaml");
        fs::copy(rules, desk.data_set().join("instruments.yaml")).unwrap();
        for (symbol, rows) in rows {
            desk.write_rows(symbol, rows);
        }
        desk.write_yaml(yaml);
        desk
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its YAML.
    pub fn file(&self) -> PathBuf {
        self.path().join("desk.yaml")
    }

    /// The folder of its candles.
    pub fn data_set(&self) -> PathBuf {
        self.path().join("data/candles")
    }

    /// The file of an instrument's candles.
    pub fn candles(&self, symbol: &str) -> PathBuf {
        self.data_set().join(format!("{symbol}_1h.csv"))
    }

    /// A data directory for a worker.
    pub fn state(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Puts other YAML in place.
    pub fn write_yaml(&self, yaml: &str) {
        fs::write(self.file(), yaml).unwrap();
    }

    /// Puts other candles in place.
    pub fn write_rows(&self, symbol: &str, rows: &[String]) {
        let text = format!("ts,open,high,low,close,volume\n{}\n", rows.join("\n"));
        fs::write(self.candles(symbol), text).unwrap();
    }

    /// Starts a worker on a data directory of that name.
    pub fn start(&self, state: &str) -> Worker {
        Worker::spawn(&mut command(&run_arguments(&self.file(), &self.state(state))))
    }

    /// Runs a worker to the end of the data, which must go well, and returns its summary.
    pub fn complete(&self, state: &str) -> String {
        let ended = self.start(state).ended();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        summary(&ended.out)
    }
}

/// The summary at the end of what a run prints.
pub fn summary(out: &str) -> String {
    let from = out.rfind("\ncompleted ").or_else(|| out.rfind("\ndrained ")).unwrap_or_else(|| {
        panic!("no summary in {out}");
    });
    out[from + 1..].to_owned()
}
