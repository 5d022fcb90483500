//! The worker as a process at an exchange that loses requests and answers: it trades, no order is doubled, and none is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use nix::sys::signal::Signal;
use tradewind_core::name::Uid;
use tradewind_core::order::{Incarnation, OrderState};
use tradewind_core::recovery::History;
use tradewind_core::time::Timestamp;
use tradewind_ledger::{LedgerReader, MysqlReader, SqliteOptions};
use tradewind_tests::exchange::Venue;
use tradewind_tests::http::get;
use tradewind_tests::process::{Worker, run};
use tradewind_tests::{block_on, books, until};
use tradewind_venue_simulator::exchange::{Kind, Side};
use tradewind_venue_simulator::faults::{Fault, Strike};

#[path = "../../../worker/ledger/tests/common/authority.rs"]
mod authority;
mod bus;
mod crash_points;
mod database_killed;
mod database_refused;
mod manners;
#[path = "../../../worker/ledger/tests/common/mariadb.rs"]
#[allow(dead_code, unreachable_pub, reason = "the ledger's own tests use the rest")]
mod mariadb;
mod recorded;
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

/// Ends it by SIGTERM, in good order, and so in time: after fifteen seconds it ends by itself with another code. Its whole
/// log.
fn stop(worker: Worker) -> String {
    worker.signal(Signal::SIGTERM);
    let ended = worker.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    ended.err
}

/// What was bought is bought once, is guarded by one stop for all of it, and is the ledger's.
fn bought_once(venue: &Venue) {
    bought_once_by(venue, &books::history(&venue.state()));
}

fn bought_once_by(venue: &Venue, ledger: &History) {
    let bought: rust_decimal::Decimal = venue.trades(Side::Buy).iter().map(|trade| trade.quantity).sum();
    let buys = venue.accepted(Side::Buy);
    assert_eq!(buys.len(), 1, "{buys:?}");
    assert_eq!(buys[0].kind, Kind::Market);
    assert_eq!(bought, buys[0].quantity);
    let stops = venue.accepted(Side::Sell);
    assert_eq!(stops.len(), 1, "{stops:?}");
    assert_eq!(stops[0].kind, Kind::StopLossLimit);
    assert_eq!(ledger.fills.len(), venue.trades(Side::Buy).len());
    let open: Vec<_> = ledger.open_orders.iter().map(|order| (order.state, order.intent.id.0)).collect();
    assert_eq!(open, [(OrderState::Accepted, 2)], "the stop rests");
}

/// What a worker at an exchange serves beside what any worker serves.
const MEASURED: [&str; 9] = [
    "worker_cycle_interval_seconds 1.0",
    "worker_cycle_duration_seconds_count ",
    "market_data_messages_total{venue=\"binance_us\",channel=\"bars\"} ",
    "market_data_latency_seconds_count{venue=\"binance_us\",symbol=\"",
    "order_submit_duration_seconds_count{venue=\"binance_us\",",
    "exchange_requests_total{venue=\"binance_us\",account=\"default/real\",endpoint=\"POST /api/v3/order\",code=\"200\"} ",
    "exchange_request_duration_seconds_count{venue=\"binance_us\",account=\"default/real\",endpoint=\"POST /api/v3/order\"} ",
    "exchange_rate_limit_remaining{venue=\"binance_us\",account=\"default/real\",bucket=\"weight\"} ",
    "exchange_clock_skew_seconds{venue=\"binance_us\",account=\"default/real\"} ",
];

#[test]
fn what_goes_over_the_wire_is_told_to_prometheus() {
    let venue = Venue::start();
    let mut worker = venue.worker();
    let risk = worker.addresses().risk;
    venue.until_accepted(Side::Buy, &mut worker);
    venue.until_accepted(Side::Sell, &mut worker);
    let mut served = String::new();
    until("all of it", || {
        served = get(risk, "/metrics").1;
        MEASURED.iter().all(|name| served.contains(&format!("\ntradewind_{name}"))).then_some(())
    });
    assert!(!served.contains("simulatedSecret") && !served.contains("simulatedKey"), "{served}");
    stop(worker);
}

#[test]
fn a_rise_is_bought_and_guarded_and_a_restart_goes_on_without_a_word_more() {
    let venue = Venue::start();
    let mut worker = venue.worker();
    venue.until_accepted(Side::Buy, &mut worker);
    venue.until_accepted(Side::Sell, &mut worker);
    let log = stop(worker);
    assert!(!log.contains("simulatedSecret") && !log.contains("simulatedKey"), "{log}");
    bought_once(&venue);
    let sent = venue.order_requests();

    let mut worker = venue.worker();
    worker.line("the start", |line| line.contains("every order is settled"));
    stop(worker);
    assert_eq!(venue.order_requests(), sent, "nothing is sent anew");
    bought_once(&venue);
}

#[test]
fn an_order_whose_answer_was_lost_is_adopted() {
    let venue = Venue::start();
    venue.strike_order(Fault::DropAfter);
    let mut worker = venue.worker();
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    bought_once(&venue);
}

#[test]
fn an_order_that_never_arrived_is_sent_again_under_its_id_once_that_is_certain() {
    let venue = Venue::start();
    venue.strike_order(Fault::StatusBefore(503));
    let mut worker = venue.worker();
    let order = venue.until_accepted(Side::Buy, &mut worker);
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    bought_once(&venue);
    assert_eq!(venue.order_requests(), 3, "the lost one, the same again, and its stop");
    assert!(!order.client_order_id.is_empty());
}

/// A worker is killed while the exchange has its order and has not answered; the next one goes on. Its whole log.
fn killed_with_an_order_under_way(venue: &Venue) -> String {
    venue.strike_order(Fault::DelayAfter(60_000));
    let mut worker = venue.worker();
    venue.until_accepted(Side::Buy, &mut worker);
    worker.kill();

    let mut worker = venue.worker();
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker)
}

#[test]
fn an_order_under_way_when_the_worker_is_killed_is_adopted_by_the_next() {
    let venue = Venue::start();
    killed_with_an_order_under_way(&venue);
    bought_once(&venue);
}

#[test]
fn a_venue_that_does_not_answer_keeps_nobody_from_ending_in_time() {
    let venue = Venue::start();
    let mut worker = venue.worker();
    venue.until_accepted(Side::Sell, &mut worker);
    for (method, path) in
        [("GET", "/api/v3/myTrades"), ("GET", "/api/v3/openOrders"), ("GET", "/api/v3/klines")]
    {
        venue.strike(method, path, Fault::DelayAfter(60_000), 1_000);
    }
    stop(worker);
    bought_once(&venue);
}

#[test]
fn a_key_that_is_missing_is_named_without_its_value() {
    let venue = Venue::start();
    std::fs::remove_file(venue.keys().join("apiSecret")).unwrap();
    let ended = venue.worker().ended();
    assert_ne!(ended.code, Some(0));
    assert!(ended.err.contains("no entry \"apiSecret\""), "{}", ended.err);
    assert!(!ended.err.contains("simulatedKey"), "{}", ended.err);
    until("nothing was sent", || (venue.order_requests() == 0).then_some(()));
}

#[test]
fn a_key_that_the_exchange_refuses_ends_the_start_with_what_to_do_and_without_its_value() {
    for (entry, said) in
        [("apiSecret", "Signature for this request is not valid."), ("apiKey", "Invalid API-key")]
    {
        let venue = Venue::start();
        std::fs::write(venue.keys().join(entry), "anotherOne").unwrap();
        let ended = venue.worker().ended();
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        let last = ended.last_words();
        assert!(last.contains("the venue refuses the key") && last.contains(said), "{last}");
        assert!(!ended.err.contains("anotherOne") && !ended.err.contains("simulated"), "{}", ended.err);
        assert_eq!(venue.order_requests(), 0);
    }
}

#[test]
fn a_worker_is_not_ready_before_balances_are_compared() {
    let venue = Venue::start();
    // The first two are read by the first words with the exchange, and for the first deposit.
    let away = Strike {
        method: Some("GET".into()),
        path: Some("/api/v3/account".into()),
        nth: 3,
        fault: Fault::StatusBefore(503),
        times: 3,
    };
    venue.world(|world| world.plan.add(away));
    let mut worker = venue.worker();
    worker.line("the start", |line| line.contains("recovered: every order is settled"));
    let asked = venue.world(|world| world.requests["GET /api/v3/account"]);
    assert!(asked >= 6, "asked {asked} times: not compared yet");
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    bought_once(&venue);
}

/// A ledger in that database, as an account writes it.
fn in_database(database: &mariadb::Database) -> String {
    let (port, name) = (database.server.port(), &database.name);
    format!(
        "{{mysql: {{host: 127.0.0.1, port: {port}, database: {name}, credentialsSecretRef: {{name: ledger}}, tls: {{plainText: {{}}}}}}}}"
    )
}

/// What the ledger of an account in a database goes on with, after checking that it is as it was written.
fn history(database: &mariadb::Database, account: &str) -> History {
    block_on(async {
        let mut ledger = MysqlReader::open(&database.mysql(), account).await.unwrap();
        ledger.verify().await.expect("the ledger is as written");
        ledger.history().await.unwrap()
    })
}

#[test]
fn a_ledger_in_a_database_is_traded_on_killed_and_gone_on_with() {
    let database = block_on(mariadb::Server::shared().database());
    let venue = Venue::with_ledger(&in_database(&database), Some(database.secret.path()));
    let log = killed_with_an_order_under_way(&venue);
    assert!(!log.contains(mariadb::PASSWORD), "{log}");
    bought_once_by(&venue, &history(&database, "default/real"));
    assert!(!venue.state().join("ledger.db").exists(), "there is one ledger");

    // Without a worker it is asked, halted and resumed as one in a file is.
    let at = format!("127.0.0.1:{}/{}", database.server.port(), database.name);
    let user = database.secret.path().to_str().unwrap();
    let place = ["--mysql", &at, "--credentials", user, "--plain-text", "--ledger", "default/real"];
    let command = |arguments: &[&str]| {
        let ended = run(&[arguments, &place].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
        ended.out
    };
    assert!(command(&["explain", "--strategy", "rise"]).contains("Enter"), "why it bought");
    let said = command(&["halt", "--reason", "a look at it", "--by", "a person"]);
    assert!(said.contains("resume it with: tradewind-worker resume account.real."), "{said}");
    assert!(said.contains(&place.join(" ")), "{said}");
    let halts = history(&database, "default/real").halts;
    assert_eq!(halts.len(), 1, "{halts:?}");
    command(&["resume", &halts[0].name, "--by", "a person"]);
    assert!(history(&database, "default/real").halts.is_empty());
}

#[test]
fn a_ledger_in_a_database_is_checked_saved_and_restored_into_another_which_starts_halted() {
    let database = block_on(mariadb::Server::shared().database());
    let venue = Venue::with_ledger(&in_database(&database), Some(database.secret.path()));
    let mut worker = venue.worker();
    venue.until_accepted(Side::Sell, &mut worker);
    stop(worker);
    let sent = venue.order_requests();
    let command = |of: &mariadb::Database, arguments: &[&str]| {
        let at = format!("127.0.0.1:{}/{}", of.server.port(), of.name);
        let place = ["--mysql", &at, "--credentials", of.secret.path().to_str().unwrap(), "--plain-text"];
        let ended = run(&[&["ledger"], arguments, &place].concat());
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
        ended.out
    };
    let which = ["--ledger", "default/real"];
    let fills = history(&database, "default/real").fills.len();
    assert!(command(&database, &[&["verify"][..], &which].concat()).contains("each as it was written"));
    let exported = command(&database, &[&["export", "--table", "fills"][..], &which].concat());
    assert_eq!(exported.lines().count(), 1 + fills, "{exported}");
    let file = venue.state().with_file_name("saved.jsonl");
    let file = file.to_str().unwrap();
    command(&database, &[&["backup", "--to", file][..], &which].concat());

    let other = block_on(std::sync::Arc::clone(&database.server).database());
    command(&other, &["restore", "--from", file]);
    let restored = history(&other, "default/real");
    assert_eq!((restored.fills.len(), restored.open_orders.len()), (fills, 1));
    let halts: Vec<_> = restored.halts.iter().map(|halt| halt.name.as_str()).collect();
    assert_eq!(halts, ["account.real.ledger-unknown"]);
    // A worker on it reconciles, and stays halted.
    let mut worker = Worker::spawn(&mut venue.moved_to(&in_database(&other), other.secret.path()));
    worker.line("the start", |line| line.contains("every order is settled"));
    stop(worker);
    assert_eq!(venue.order_requests(), sent, "nothing is sent anew");
    assert_eq!(history(&other, "default/real").halts.len(), 1);
}

#[test]
fn real_money_is_not_traded_on_a_database_that_may_forget_commits() {
    let server = std::sync::Arc::new(mariadb::Server::start(&["--innodb-flush-log-at-trx-commit=2"]));
    let database = block_on(server.database());
    let venue = Venue::with_ledger(&in_database(&database), Some(database.secret.path()));
    let ended = venue.worker().ended();
    assert_ne!(ended.code, Some(0));
    assert!(ended.err.contains("innodb_flush_log_at_trx_commit is 2"), "{}", ended.err);
    assert_eq!(venue.order_requests(), 0);
}
