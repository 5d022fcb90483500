//! What only the worker finds out, about its market data and its ledger: it is told where people look, nobody else is
//! touched, and nothing is lost.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sqlx::{Connection, SqliteConnection};
use tradewind_tests::cluster::{Cluster, patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{OPEN_POLICY, account, all, strategy};

use crate::{not_ready, ready};

const PACE: u32 = 20;
const MINUTE: i64 = 60_000;

#[tokio::test]
async fn a_data_set_nobody_has_stops_its_account_and_no_other_and_heals_by_an_edit() {
    let rig = Rig::start().await;
    let lost = account("lost", PACE).replace("dataSet: zigzag", "dataSet: nowhere");
    let (good, bad) = (strategy("trend", "paper", "AAA-USD"), strategy("blind", "lost", "BBB-USD"));
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &lost, &good, &bad])).await;
    let said = not_ready(&rig, "exacct/lost", "WorkerFailing").await;
    assert!(said.contains("data set \"nowhere\" was not found"), "{said}");
    not_ready(&rig, "strat/blind", "AccountNotReady").await;
    rig.assert_trading("paper", "trend").await;
    let found = r#"{"spec":{"marketData":{"replay":{"dataSet":"zigzag"}}}}"#;
    rig.kubectl(&["patch", "exacct", "lost", "--type=merge", "-p", found]).await.success();
    rig.assert_trading("lost", "blind").await;
    ready(&rig, "exacct/lost").await;
}

/// Rows of a data set whose closes go up and down by turns, without header.
fn rows() -> Vec<String> {
    let row = |bar: i64| {
        let (open, close) = if bar % 2 == 0 { ("100.00", "101.00") } else { ("101.00", "100.00") };
        format!("{},{open},101.00,100.00,{close},1000", 1_700_000_040_000 + bar * MINUTE)
    };
    (0..20_000).map(row).collect()
}

fn csv(rows: &[String]) -> String {
    format!("ts,open,high,low,close,volume\n{}\n", rows.join("\n"))
}

/// A data set that has a bit of everything that can be wrong, each in an instrument of its own.
fn write_broken(sets: &Path) {
    let set = sets.join("broken");
    fs::create_dir(&set).unwrap();
    let symbols = ["AAA-USD", "CUT-USD", "NIL-USD", "BAD-USD", "GAP-USD"];
    let rules = symbols.map(|symbol| {
        format!("- {{symbol: {symbol}, tick: \"0.01\", lot: \"0.0001\", minNotional: \"1\"}}\n")
    });
    let head = "quoteCurrency: USD\nbar: 1m\ninstruments:\n";
    fs::write(set.join("instruments.yaml"), head.to_owned() + &rules.concat()).unwrap();
    let write = |symbol: &str, text: &str| fs::write(set.join(format!("{symbol}_1m.csv")), text).unwrap();
    write("AAA-USD", &csv(&rows()));
    write("NIL-USD", "");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(csv(&rows()).as_bytes()).unwrap();
    let mut packed = packed.finish().unwrap();
    packed.truncate(packed.len() / 100);
    fs::write(set.join("CUT-USD_1m.csv.gz"), packed).unwrap();
    let mut bad = rows();
    let prices =
        ["0,0,0,0", "-5,9,-5,9", "NaN,NaN,NaN,NaN", "99999999999,99999999999,99999999999,99999999999"];
    for (place, prices) in prices.iter().enumerate() {
        let row = &mut bad[10 + 4 * place];
        *row = format!("{},{prices},1", row.split(',').next().unwrap());
    }
    bad.insert(30, bad[29].clone());
    bad.swap(40, 41);
    write("BAD-USD", &csv(&bad));
    let mut gaps = rows();
    // A bar, and further on two hours of them.
    gaps.drain(60..60 + 120);
    gaps.remove(20);
    write("GAP-USD", &csv(&gaps));
}

#[tokio::test]
async fn candles_that_cannot_be_used_are_told_by_whom_they_feed_and_the_others_trade_on() {
    let mut rig = Rig::bare(Cluster::shared().await).await;
    write_broken(&rig.data_sets());
    rig.start_operator().await;
    rig.start_kubelet().await;
    let account = account("paper", PACE).replace("dataSet: zigzag", "dataSet: broken");
    let strategies = ["AAA", "CUT", "NIL", "BAD", "GAP"]
        .map(|base| strategy(&base.to_lowercase(), "paper", &format!("{base}-USD")));
    rig.apply(&all(&[OPEN_POLICY, &account, &strategies.join("\n---\n")])).await;
    for (name, words) in
        [("cut", "CUT-USD_1m.csv.gz is broken after line"), ("nil", "NIL-USD_1m.csv is empty")]
    {
        let said = not_ready(&rig, &format!("strat/{name}"), "DataUnavailable").await;
        assert!(said.contains(words), "{words}: {said}");
    }
    wait_for("the gap in the decisions", patience(30), async || {
        let rows = rig.decisions("paper", "gap").await;
        let gap = rows.iter().find(|row| row.detail == "120 bars are missing before this one");
        match gap {
            Some(row) if row.outcome == "DataGap" => Ok(()),
            found => Err(format!("{found:?} in {} decisions", rows.len())),
        }
    })
    .await;
    for name in ["aaa", "bad", "gap"] {
        rig.assert_trading("paper", name).await;
        ready(&rig, &format!("strat/{name}")).await;
    }
    ready(&rig, "exacct/paper").await;
    let skipped = rig.kubelet().log("paper-0").matches("row skipped").count();
    // Four prices, a duplicate, and one of the two that are swapped.
    assert_eq!(skipped, 6, "{}", rig.kubelet().log("paper-0"));
    assert_eq!(rig.kubelet().pods()["paper-0"].restarts, 0, "the worker was restarted");
}

/// Runs statements on a ledger, as a person with a SQLite shell would.
async fn by_hand(file: &Path, statements: &[&'static str]) {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    for sql in statements {
        sqlx::query(*sql).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_ledger_that_cannot_be_trusted_ends_trading_says_why_and_goes_on_when_it_is_put_right() {
    let mut rig = Rig::start().await;
    rig.apply(&all(&[OPEN_POLICY, &account("paper", PACE), &strategy("trend", "paper", "AAA-USD")])).await;
    rig.assert_trading("paper", "trend").await;
    let file = rig.data_dir("paper").join("ledger.db");
    let newer: &[&str] =
        &["INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                            VALUES (42, 'from the future', TRUE, x'00', 0)"];
    let edited: &[&str] = &["DROP TRIGGER fills_fixed", "UPDATE fills SET price_units = 1"];
    for (statements, words) in
        [(newer, "run the newer version again"), (edited, "restore the file from a backup")]
    {
        // The node goes down, and while it is down somebody has a hand in the ledger.
        drop(rig.kubelet.take());
        let whole: Vec<(_, Vec<u8>)> = fs::read_dir(rig.data_dir("paper"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect();
        let mark = rig.mark("paper", "trend").await;
        by_hand(&file, statements).await;
        rig.start_kubelet().await;
        let said = not_ready(&rig, "exacct/paper", "WorkerFailing").await;
        assert!(said.contains(words), "{words}: {said}");
        not_ready(&rig, "strat/trend", "AccountNotReady").await;
        drop(rig.kubelet.take());
        for path in fs::read_dir(rig.data_dir("paper")).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_file() {
                fs::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in whole {
            fs::write(path, bytes).unwrap();
        }
        assert_eq!(rig.mark("paper", "trend").await, mark, "it has decided on a ledger it does not trust");
        rig.start_kubelet().await;
        rig.assert_trading("paper", "trend").await;
        ready(&rig, "exacct/paper").await;
        ready(&rig, "strat/trend").await;
    }
    let halts = rig.kubectl(&["get", "thalt", "-o", "name"]).await.success();
    assert_eq!(halts, "", "the ledger is the one that was there");
    wait_for("the account's condition about its ledger", patience(20), async || {
        let path = "jsonpath={.status.conditions[?(@.type==\"PositionsReconciled\")].reason}";
        let said = rig.kubectl(&["get", "exacct", "paper", "-o", path]).await.out;
        if said == "InSync" { Ok(()) } else { Err(said) }
    })
    .await;
}
