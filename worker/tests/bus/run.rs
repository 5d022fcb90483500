//! The worker itself: a run on recorded data with a bus.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tradewind_ledger::{LedgerReader as _, OutboxReader as _, SqliteReader};
use tradewind_worker::bus::Streams;

use super::server::{DEADLINE, Redis, free_port};

struct Runs {
    dir: TempDir,
}

impl Runs {
    /// The quickstart with a bus at that port, or none.
    fn with(port: Option<u16>) -> Self {
        let dir = TempDir::new().unwrap();
        let text = std::fs::read_to_string(root().join("examples/quickstart.yaml")).unwrap();
        let bus = port.map(|port| {
            format!("  bus: {{redis: {{url: \"redis://127.0.0.1:{port}\", tls: {{plainText: {{}}}}}}}}\n")
        });
        let text = text.replace(
            "  riskPolicyRef: {name: desk}\n",
            &format!("  riskPolicyRef: {{name: desk}}\n{}", bus.unwrap_or_default()),
        );
        std::fs::write(dir.path().join("desk.yaml"), text).unwrap();
        Self { dir }
    }

    fn run(&self) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_tradewind-worker"))
            .args(["run", "--plain", "--speed", "max", "-f"])
            .arg(self.dir.path().join("desk.yaml"))
            .arg("--market-data")
            .arg(root().join("examples/data"))
            .arg("--data-dir")
            .arg(self.dir.path().join("data"))
            .args(["--portfolio-address", "127.0.0.1:0", "--signals-address", "127.0.0.1:0"])
            .args(["--risk-address", "127.0.0.1:0"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    async fn ledger(&self) -> SqliteReader {
        SqliteReader::open(&self.dir.path().join("data/ledger.db")).await.unwrap()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn a_run_tells_every_fill_also_when_redis_comes_only_after_it() {
    let port = free_port();
    let runs = Runs::with(Some(port));
    // Nobody is at the port: the run is as any other.
    let output = runs.run();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("events wait"), "{text}");
    let mut ledger = runs.ledger().await;
    let fills: u64 = ledger.fill_counts().await.unwrap().into_iter().map(|(_, count)| count).sum();
    assert!(fills > 0);
    let backlog = ledger.backlog(0).await.unwrap();
    assert!(backlog.waiting > 0 && backlog.relayed == 0, "{backlog:?}");
    drop(ledger);
    // The next runs, which have no bar left, tell them, each as many as it has time for.
    let redis = Redis::start_at(port);
    let key = Streams::of("default/paper").orders;
    let mut told: Vec<(String, HashMap<String, String>)> = Vec::new();
    let of = |told: &[(String, HashMap<String, String>)], kind: &str| {
        u64::try_from(told.iter().filter(|(_, fields)| fields["kind"] == kind).count()).unwrap()
    };
    let end = std::time::Instant::now() + DEADLINE;
    while of(&told, "fill") < fills {
        assert!(std::time::Instant::now() < end, "{} of {fills} fills", of(&told, "fill"));
        runs.run();
        told = redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(&mut redis.admin()).unwrap();
    }
    assert_eq!(of(&told, "fill"), fills);
    assert!(of(&told, "order") > fills && of(&told, "position") > 0);
}

#[tokio::test]
async fn a_bus_changes_nothing_of_what_is_traded() {
    let redis = Redis::start(&[]);
    let (with, without) = (Runs::with(Some(redis.port)), Runs::with(None));
    with.run();
    without.run();
    let (mut with, mut without) = (with.ledger().await, without.ledger().await);
    let mut trades = Vec::new();
    for ledger in [&mut with, &mut without] {
        trades.push(
            ledger
                .trades(u32::MAX)
                .await
                .unwrap()
                .into_iter()
                .map(|mut trade| {
                    // What the venue calls it follows from the tag of the ledger, which is chance.
                    trade.trade_id = "".into();
                    trade
                })
                .collect::<Vec<_>>(),
        );
    }
    assert!(!trades[0].is_empty());
    assert_eq!(trades[0], trades[1]);
    assert_eq!(with.outcomes().await.unwrap(), without.outcomes().await.unwrap());
    assert_eq!(without.events_after(0, 10).await.unwrap(), []);
}
