//! An account at an exchange in a cluster, with its ledger in a database and its events on a bus: what people apply trades,
//! is told, survives its worker, is sold out by a halt, and lets go.

use std::path::Path;

use nix::sys::signal::Signal;
use rust_decimal::Decimal;
use tradewind_core::name::Uid;
use tradewind_core::order::Incarnation;
use tradewind_core::time::Timestamp;
use tradewind_ledger::{LedgerReader, MysqlReader, SqliteOptions};
use tradewind_tests::cluster::{patience, wait_for};
use tradewind_tests::exchange::Venue;
use tradewind_tests::rig::Rig;
use tradewind_venue_simulator::exchange::{Kind, Side};
use tradewind_worker::bus::Streams;

use super::told;
use mariadb::Server;
use redis_server::Redis;

#[path = "../../../worker/ledger/tests/common/mariadb.rs"]
#[allow(dead_code, unreachable_pub, reason = "the ledger's own tests use the rest")]
mod mariadb;
#[path = "../../../worker/tests/bus/server.rs"]
#[allow(dead_code, reason = "the bus's own tests use the rest")]
mod redis_server;

/// What the databases of the ledger's own tests are opened with.
const TAG: Incarnation = Incarnation(7);

fn options() -> SqliteOptions {
    SqliteOptions {
        account: Uid(uuid::Uuid::nil()),
        account_name: "nobody".into(),
        owner: "a test".to_owned(),
        now: Timestamp(0),
        incarnation: TAG,
        max_bytes: None,
    }
}

const LIQUIDATE: &str = r"
apiVersion: tradewind.dev/v1alpha1
kind: TradingHalt
metadata: {name: sell-it}
spec: {target: {strategy: {name: rise}}, action: Liquidate, reason: a test, requestedBy: tests}
";

/// A Secret with the files of a folder, as people make one.
async fn secret(rig: &Rig, name: &str, folder: &Path) {
    let from = format!("--from-file={}", folder.display());
    rig.kubectl(&["create", "secret", "generic", name, &from]).await.success();
}

/// Waits until something holds at the exchange; meanwhile its market goes on.
async fn at_the_exchange(what: &str, seconds: u64, mut look: impl FnMut() -> Result<(), String>) {
    wait_for(what, patience(seconds), async || look()).await;
}

async fn positions(rig: &Rig, wanted: &str) {
    rig.wait_json("strat/rise", ".status.trading.positions", 60, |found| found == wanted).await;
}

/// How many fills are told on the bus.
fn fills_told(redis: &Redis, account: &str) -> usize {
    type Entry = (String, std::collections::HashMap<String, String>);
    let entries: Vec<Entry> = redis::cmd("XRANGE")
        .arg(Streams::of(account).orders)
        .arg("-")
        .arg("+")
        .query(&mut redis.admin())
        .unwrap();
    entries.iter().filter(|(_, fields)| fields["kind"] == "fill").count()
}

/// The account with its Secrets, in that database and on that bus; its strategy runs, and has sent nothing.
async fn applied(database: &mariadb::Database, redis: &Redis) -> (Venue, Rig) {
    let (port, name) = (database.server.port(), &database.name);
    let ledger = format!(
        "{{mysql: {{host: 127.0.0.1, port: {port}, database: {name}, credentialsSecretRef: {{name: ledger}}, \
         tls: {{plainText: {{}}}}}}}}"
    );
    let venue = Venue::before_the_rise(&ledger, None);
    venue.tell(&format!(
        "{{redis: {{url: \"redis://127.0.0.1:{}/0\", tls: {{plainText: {{}}}}}}}}",
        redis.port
    ));
    let rig = Rig::start().await;
    rig.apply(&std::fs::read_to_string(venue.file()).unwrap()).await;
    // The pod waits for what people forgot, and what is on the account nobody knows before it runs.
    told(&rig, "strat/rise", "Ready", "NotGranted", 60).await;
    secret(&rig, "ledger", database.secret.path()).await;
    // A secret that is not the key's is told, and put right.
    let key = std::fs::read(venue.keys().join("apiSecret")).unwrap();
    std::fs::write(venue.keys().join("apiSecret"), "anotherOne").unwrap();
    secret(&rig, "key", &venue.keys()).await;
    told(&rig, "exacct/real", "Ready", "WorkerFailing", 60).await;
    let message = ".status.conditions[?(@.type==\"Ready\")].message";
    rig.wait_json("exacct/real", message, 5, |words| words.contains("the venue refuses the key: Signature"))
        .await;
    rig.kubectl(&["delete", "secret", "key"]).await.success();
    std::fs::write(venue.keys().join("apiSecret"), key).unwrap();
    secret(&rig, "key", &venue.keys()).await;
    rig.wait_json("strat/rise", ".status.phase", 120, |phase| phase == "Running").await;
    // What it is about to trade is asked for at once, not when it would be the next minute's turn.
    at_the_exchange("its newest candle to be asked for", 10, || {
        let asked = venue.world(|world| world.requests.get("GET /api/v3/ticker/bookTicker").copied());
        if asked >= Some(2) { Ok(()) } else { Err(format!("{asked:?}")) }
    })
    .await;
    assert_eq!(venue.order_requests(), 0);
    (venue, rig)
}

/// The price rises: bought once, guarded by one stop, and told so. How much.
async fn bought(venue: &Venue, rig: &Rig) -> Decimal {
    venue.rise();
    at_the_exchange("the buy and its stop", 120, || {
        let stops = venue.accepted(Side::Sell);
        if stops.len() == 1 { Ok(()) } else { Err(format!("{stops:?}")) }
    })
    .await;
    assert_eq!(venue.accepted(Side::Buy).len(), 1);
    assert_eq!(venue.accepted(Side::Sell)[0].kind, Kind::StopLossLimit);
    positions(rig, "1/10").await;
    told(rig, "strat/rise", "PositionsProtected", "StopsPlaced", 30).await;
    told(rig, "exacct/real", "PositionsReconciled", "InSync", 60).await;
    venue.traded(Side::Buy)
}

/// The worker is killed, and the next one sends nothing.
async fn killed(venue: &Venue, rig: &Rig) {
    let sent = venue.order_requests();
    rig.kubelet().signal("real-0", Signal::SIGKILL);
    let status = ".status.containerStatuses[0]";
    rig.wait_json("pod/real-0", &format!("{status}.restartCount"), 30, |count| count == "1").await;
    rig.wait_json("pod/real-0", &format!("{status}.ready"), 60, |ready| ready == "true").await;
    rig.wait_json("strat/rise", ".status.phase", 60, |phase| phase == "Running").await;
    assert_eq!((venue.order_requests(), venue.open_orders()), (sent, 1), "it goes on without a word more");
}

/// A halt sells all of it that there is: the fee of a tenth of a percent was paid in coins, and the lot is of five places.
async fn sold_out(venue: &Venue, rig: &Rig, bought: Decimal) {
    let there = (bought * Decimal::new(999, 3)).trunc_with_scale(5);
    rig.apply(LIQUIDATE).await;
    at_the_exchange("all to be sold", 60, || {
        let (sold, open) = (venue.traded(Side::Sell), venue.open_orders());
        if sold == there && open == 0 { Ok(()) } else { Err(format!("sold {sold} of {there}, {open} open")) }
    })
    .await;
    positions(rig, "0/10").await;
    told(rig, "strat/rise", "Halted", "Halted", 30).await;
}

#[tokio::test]
async fn an_account_at_an_exchange_trades_survives_its_worker_is_sold_out_and_lets_go() {
    let (database, redis) = (Server::shared().database().await, Redis::start(&[]));
    let (venue, rig) = applied(&database, &redis).await;
    let quantity = bought(&venue, &rig).await;
    killed(&venue, &rig).await;
    sold_out(&venue, &rig, quantity).await;

    let account = format!("{}/real", rig.name());
    let trades = venue.trades(Side::Buy).len() + venue.trades(Side::Sell).len();
    wait_for("each fill to be told once", patience(30), async || {
        let told = fills_told(&redis, &account);
        if told == trades { Ok(()) } else { Err(format!("{told} of {trades}")) }
    })
    .await;
    rig.kubectl(&["delete", "strat/rise", "exacct/real", "--wait=false"]).await.success();
    wait_for("both to be gone", patience(60), async || {
        let left = rig.kubectl(&["get", "strat,exacct,pod", "-o", "name"]).await;
        if left.ok && left.out.is_empty() { Ok(()) } else { Err(format!("{}{}", left.out, left.err)) }
    })
    .await;
    let mut ledger = MysqlReader::open(&database.mysql(), &account).await.unwrap();
    ledger.verify().await.expect("the ledger is as written");
    let history = ledger.history().await.unwrap();
    assert_eq!(history.fills.len(), trades);
    assert!(history.open_orders.is_empty(), "none is left behind: {:?}", history.open_orders);
}
