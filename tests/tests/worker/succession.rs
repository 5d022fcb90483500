//! A strategy that is deleted and made anew under its name goes on with what was left.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use tradewind_core::money::Cash;
use tradewind_ledger::{LedgerReader, SqliteReader};
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::rig::Rig;
use tradewind_tests::rig::objects::{halt, strategy, strategy_with};

use super::{BARS, STOP, assert_no_entry_since, hold, is_flat, let_go, told, trading, uid_of};

const STOPPED: &str = "  desiredState: Stopped\n  exits: {stopLoss: {fixedPercent: {percent: 50}}}";

/// What the ledger says a strategy has, by asset; nothing of what it has none.
async fn has(rig: &Rig, uid: &str) -> BTreeMap<String, Cash> {
    let mut ledger = SqliteReader::open(&rig.data_dir("paper").join("ledger.db")).await.unwrap();
    let rows = ledger.balances().await.unwrap().into_iter();
    let own = rows.filter(|row| row.strategy.is_some_and(|owner| owner.to_string() == uid));
    own.filter(|row| row.amount != Cash::ZERO).map(|row| (row.asset.to_string(), row.amount)).collect()
}

#[tokio::test]
async fn made_anew_it_has_the_position_the_stop_and_the_money_of_before_and_sells_what_was_bought() {
    let rig = trading().await;
    hold(&rig, "trend").await;
    let old = uid_of(&rig, "strat/trend").await;
    let before = has(&rig, &old).await;
    assert_eq!(before.keys().collect::<Vec<_>>(), ["AAA", "USD"]);
    let path = ".status.trading.portfolio.realizedPnl";
    let realized = rig.wait_json("strat/trend", path, 30, |text| !text.is_empty()).await;
    rig.kubectl(&["delete", "strat", "trend"]).await.success();
    assert_eq!(has(&rig, &old).await, before, "what it holds stays on the account");

    // A crash while nobody owns it, and one when somebody does again.
    rig.kubelet().signal("paper-0", Signal::SIGKILL);
    rig.apply(&strategy_with("trend", "paper", "AAA-USD", STOPPED)).await;
    let new = uid_of(&rig, "strat/trend").await;
    assert_ne!(new, old);
    wait_for("the successor to have what was left", patience(30), async || {
        let (left, taken) = (has(&rig, &old).await, has(&rig, &new).await);
        if left.is_empty() && taken == before { Ok(()) } else { Err(format!("{left:?} {taken:?}")) }
    })
    .await;
    let stop = ".status.trading.openPositions[0].stopPrice";
    rig.wait_json("strat/trend", stop, 30, |price| price.starts_with("50")).await;
    told(&rig, "strat/trend", "PositionsProtected", "StopsPlaced", 30).await;
    rig.wait_json("strat/trend", path, 30, |text| text == realized).await;
    let said = rig.kubectl(&["get", "events", "-o", "jsonpath={.items[*].reason}"]).await.success();
    assert!(said.contains("TookOver"), "{said}");
    let mark = rig.mark("paper", "trend").await;
    rig.kubelet().signal("paper-0", Signal::SIGKILL);
    let rows = rig.outcomes("paper", "trend", mark, "Stopped", BARS).await;
    assert!(rows.iter().all(|row| !is_flat(row)), "it held it all the time: {rows:?}");
    assert_eq!(has(&rig, &new).await, before, "once");

    let mark = rig.mark("paper", "trend").await;
    let_go(&rig, "trend").await;
    let rows = rig.outcomes("paper", "trend", mark, "Exit", 1).await;
    assert!(
        rows.iter().take_while(|row| row.outcome != "Exit").all(|row| row.outcome != "Enter"),
        "{rows:?}"
    );
    rig.assert_trading("paper", "trend").await;
}

#[tokio::test]
async fn made_anew_under_a_halt_it_is_born_halted_whether_the_halt_still_matches_it_or_not() {
    let rig = trading().await;
    rig.apply(&halt("incident", "selector: {matchLabels: {desk: paper}}")).await;
    told(&rig, "strat/trend", "Halted", "Halted", 30).await;
    rig.wait_json("strat/trend", ".status.applied.halts[0]", 20, |uid| !uid.is_empty()).await;
    let mark = rig.mark("paper", "trend").await;
    rig.kubectl(&["delete", "strat", "trend"]).await.success();
    // Without the label by which the halt chose it, and after a crash that forgets what nobody wrote down.
    rig.kubelet().signal("paper-0", Signal::SIGKILL);
    let anew = strategy_with("trend", "paper", "AAA-USD", STOP).replace("desk: paper", "desk: other");
    rig.apply(&anew).await;
    let born = rig.mark("paper", "trend").await;
    rig.outcomes("paper", "trend", born, "Halted", BARS).await;
    assert_no_entry_since(&rig, "trend", mark).await;
    rig.kubectl(&["delete", "thalt", "incident"]).await.success();
    rig.assert_trading("paper", "trend").await;

    // By name it needs no memory.
    rig.apply(&halt("by-name", "strategy: {name: trend}")).await;
    rig.wait_json("strat/trend", ".status.applied.halts[0]", 20, |uid| !uid.is_empty()).await;
    let mark = rig.mark("paper", "trend").await;
    rig.kubectl(&["delete", "strat", "trend"]).await.success();
    rig.apply(&strategy("trend", "paper", "AAA-USD")).await;
    let born = rig.mark("paper", "trend").await;
    rig.outcomes("paper", "trend", born, "Halted", BARS).await;
    assert_no_entry_since(&rig, "trend", mark).await;
}
