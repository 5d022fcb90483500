//! The HTTP endpoints over real sockets. Expected numbers are worked out by hand from `http/snapshots.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "http/client.rs"]
mod client;
#[path = "http/scrape.rs"]
mod scrape;
#[path = "http/snapshots.rs"]
mod snapshots;
#[path = "http/table.rs"]
mod table;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tradewind_core::money::{Cash, Percent};
use tradewind_core::order::Side;
use tradewind_worker::http::{Addresses, Server};
use tradewind_worker::snapshot::Phase;

use client::{Answer, DEADLINE, get, request, send, serve};
use snapshots::{busy, cash, idle, strategy, trade};

/// Compares the body with JSON written over several lines; spaces outside of strings do not count, digits do.
fn assert_body(answer: &Answer, expected: &str) {
    let expected: String = expected.lines().map(str::trim).collect();
    assert_eq!((answer.status, answer.body.as_str()), (200, expected.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

const BTC: &str = r#"{"symbol":"BTC-USD","strategy":"trend","quantity":0.025,"avg_price":60000,"current_price":64004,"market_value":1600.1,"pnl":100.1,"pnl_percent":6.6733,"stop_price":57000}"#;
const ADA: &str = r#"{"symbol":"ADA-USD","strategy":"swing","quantity":1000,"avg_price":0.7,"current_price":0.65,"market_value":650,"pnl":-50,"pnl_percent":-7.1429,"stop_price":null}"#;

#[tokio::test]
async fn the_portfolio_is_that_of_the_account() {
    let served = serve(busy()).await;
    // 10250.3 - 10000 = 250.3 = 2.503 % of 10000; 100.1 / 1500 = 6.6733…%; -50 / 700 = -7.14285…%, rounded down.
    let expected = format!(
        r#"{{"timestamp":"2024-03-01T12:00:00Z","account":"default/paper","strategy":null,"currency":"USD",
        "total_value":10250.3,"cash_balance":8000.2,"invested_value":2250.1,
        "total_pnl":250.3,"total_pnl_percent":2.503,"positions":[{BTC},{ADA}]}}"#
    );
    assert_body(&get(served.addresses.portfolio, "/portfolio").await, &expected);
}

#[tokio::test]
async fn the_portfolio_of_one_strategy_is_measured_by_its_capital() {
    let served = serve(busy()).await;
    let expected = format!(
        r#"{{"timestamp":"2024-03-01T12:00:00Z","account":"default/paper","strategy":"trend","currency":"USD",
        "total_value":5100.2,"cash_balance":3500.1,"invested_value":1600.1,
        "total_pnl":100.2,"total_pnl_percent":2.004,"positions":[{BTC}]}}"#
    );
    assert_body(&get(served.addresses.portfolio, "/portfolio?strategy=trend").await, &expected);
    assert_body(&get(served.addresses.portfolio, "/portfolio?strategy=tr%65nd").await, &expected);
}

#[tokio::test]
async fn an_unknown_strategy_is_told_which_exist() {
    let served = serve(busy()).await;
    let answer = get(served.addresses.portfolio, "/portfolio?strategy=Trend").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.error(), r#"there is no strategy "Trend"; there are: swing, trend"#);
    let answer = get(served.addresses.portfolio, "/portfolio?strategy=trend&strategy=swing").await;
    assert_eq!(
        (answer.status, answer.error().as_str()),
        (400, "strategy is given more than once; give it once")
    );
    let served = serve(idle()).await;
    let answer = get(served.addresses.portfolio, "/portfolio?strategy=x").await;
    assert_eq!(answer.error(), r#"there is no strategy "x"; there is none on this account"#);
}

#[tokio::test]
async fn a_strategy_that_exists_hides_a_removed_one_of_its_name() {
    let mut snapshot = busy();
    let mut removed = strategy(3, "trend", ["1", "1", "0", "0", "0"], Vec::new());
    removed.present = false;
    snapshot.strategies.insert(0, removed.clone());
    snapshot.strategies.push(removed);
    let served = serve(snapshot).await;
    let answer = get(served.addresses.portfolio, "/portfolio?strategy=trend").await;
    assert!(answer.body.contains(r#""total_value":5100.2,"#), "{}", answer.body);
}

#[tokio::test]
async fn money_comes_digit_for_digit() {
    let mut snapshot = busy();
    snapshot.account.cash = cash("0.1").checked_add(cash("0.2")).unwrap();
    snapshot.account.exposure = cash("12345678901234567890.123456789012345678");
    snapshot.account.equity = Cash(i128::MIN);
    let served = serve(snapshot).await;
    let body = get(served.addresses.portfolio, "/portfolio").await.body;
    assert!(body.contains(r#""cash_balance":0.3,"#), "{body}");
    assert!(body.contains(r#""invested_value":12345678901234567890.123456789012345678,"#), "{body}");
    assert!(body.contains(r#""total_value":-170141183460469231731.687303715884105728,"#), "{body}");
    assert!(
        body.contains(r#""total_pnl":null,"total_pnl_percent":null,"#),
        "a difference that does not fit: {body}"
    );
}

#[tokio::test]
async fn recent_trades_are_exact_and_newest_first() {
    let served = serve(busy()).await;
    let common = r#""price":60000.1,"quantity":0.025,"notional":1500.0025,"fee":0.900001500000000001,"fee_asset":"USD""#;
    let at = r#""timestamp":"2024-03-01T12:00:00Z","strategy":"trend","symbol":"BTC-USD""#;
    let expected = format!(
        r#"{{"currency":"USD","trades":[
        {{"trade_id":"t2",{at},"side":"Sell","purpose":"SignalExit",{common},"realized_pnl":-0.3}},
        {{"trade_id":"t1",{at},"side":"Buy","purpose":"Entry",{common},"realized_pnl":null}}]}}"#
    );
    assert_body(&get(served.addresses.portfolio, "/trades/recent").await, &expected);
}

#[tokio::test]
async fn the_limit_of_trades_holds_and_a_wrong_one_is_refused() {
    let mut snapshot = busy();
    snapshot.recent_trades = (0..200).map(|number| trade(number, Side::Buy, None)).collect();
    let served = serve(snapshot).await;
    let address = served.addresses.portfolio;
    for (query, expected) in [("", 50), ("?limit=1", 1), ("?limit=50", 50), ("?limit=200", 200)] {
        let answer = get(address, &format!("/trades/recent{query}")).await;
        assert_eq!(answer.body.matches("trade_id").count(), expected, "{query}");
        assert!(answer.body.contains(r#""trades":[{"trade_id":"t0","#), "the newest is first");
    }
    for wrong in ["0", "201", "-1", "abc", "", "1.5", "99999999999999999999", "%00", "%ff"] {
        let answer = get(address, &format!("/trades/recent?limit={wrong}")).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(
            answer.error().ends_with("; give a whole number from 1 to 200"),
            "{wrong}: {}",
            answer.error()
        );
    }
    assert_eq!(
        get(address, "/trades/recent?limit=201").await.error(),
        r#"limit is "201"; give a whole number from 1 to 200"#
    );
}

#[tokio::test]
async fn the_latest_signals_come_with_their_features() {
    let served = serve(busy()).await;
    // 72.5 % is 0.725; an indicator that is no number is null, never NaN.
    let expected = r#"{"signals":[{"symbol":"BTC-USD","strategy":"trend","signal":"Buy","confidence":0.725,
        "timestamp":"2024-03-01T12:00:00Z","close":64004,"features":{"emaFast":64000.5,"emaSlow":null},
        "stage":"risk","outcome":"Cooldown","detail":"last fill 30 min ago, cooldown 60 min"}]}"#;
    assert_body(&get(served.addresses.signals, "/signals/latest").await, expected);
}

#[tokio::test]
async fn the_performance_of_signals_is_counted_and_exact() {
    let served = serve(busy()).await;
    // Of all: 2 wins of 3 = 0.666666…; 300 / 90 = 3.333333…; 300 - 90 = 210.
    let expected = r#"{"currency":"USD","total":{"signals":{"Cooldown":2,"Enter":4},"entries":4,"fills":7,
        "trades":3,"wins":2,"losses":1,"win_rate":0.666666,"realized_profit":300,"realized_loss":90,
        "profit_factor":3.333333,"realized_pnl":210,"fees":12.5},"strategies":[
        {"strategy":"swing","signals":{},"entries":0,"fills":0,"trades":0,"wins":0,"losses":0,"win_rate":null,
        "realized_profit":0,"realized_loss":0,"profit_factor":null,
        "realized_pnl":210,"unrealized_pnl":-50,"fees":11.6,"open_positions":1},
        {"strategy":"trend","signals":{"Cooldown":2,"Enter":3},"entries":3,"fills":5,"trades":2,"wins":1,"losses":1,
        "win_rate":0.5,"realized_profit":90,"realized_loss":90,"profit_factor":1,
        "realized_pnl":0,"unrealized_pnl":100.1,"fees":0.9,"open_positions":1}]}"#;
    assert_body(&get(served.addresses.signals, "/signals/performance").await, expected);
    let served = serve(idle()).await;
    let body = get(served.addresses.signals, "/signals/performance").await.body;
    assert!(body.contains(r#""win_rate":null"#) && body.contains(r#""profit_factor":null"#), "{body}");
}

#[tokio::test]
async fn risk_stands_beside_its_limits_and_halts_say_how_to_resume() {
    let served = serve(busy()).await;
    // 2250.1 / 10250.3 = 21.95155…%; 650 / 5150.1 = 12.62111…%; 1600.1 / 5100.2 = 31.37327…%. The limits are the
    // defaults of a policy that says nothing.
    let common = r#""peak_equity":5500,"reference_equity":5500,"drawdown_percent":6.3636"#;
    let breaker =
        r#""breaker":"drawdown","drawdown_percent":15,"confirm_for_seconds":10,"action":"CancelEntries""#;
    let limits = r#""max_position_percent":5,"min_confidence_percent":65,"min_notional":25,"cooldown_seconds":3600,"unprotected_position_seconds":0,"flatten_unprotected_after_seconds":10,"max_trades_per_instrument_per_day":4"#;
    let expected = format!(
        r#"{{"timestamp":"2024-03-01T12:00:00Z","currency":"USD",
        "account":{{"account":"default/paper","equity":10250.3,"peak_equity":10600,"reference_equity":10500,
        "drawdown_percent":2.3781,"breakers":[{{{breaker},"tripped":false}}],
        "exposure":2250.1,"exposure_percent":21.9515,"max_exposure_percent":60,"open_positions":2,"open_orders":0}},
        "strategies":[
        {{"strategy":"swing","halted":true,"equity":5150.1,{common},"breakers":[{{{breaker},"tripped":true}}],
        "exposure":650,"exposure_percent":12.6211,"max_exposure_percent":80,
        "open_positions":1,"max_open_positions":10,"largest_position_percent":12.6211,{limits}}},
        {{"strategy":"trend","halted":false,"equity":5100.2,{common},"breakers":[{{{breaker},"tripped":false}}],
        "exposure":1600.1,"exposure_percent":31.3732,"max_exposure_percent":80,
        "open_positions":1,"max_open_positions":10,"largest_position_percent":31.3732,{limits}}}],
        "halts":[{{"halt":"strategy.swing.drawdown","source":"Breaker","action":"CancelEntries",
        "reason":"drawdown 15.2% >= 15%","requested_by":"breaker drawdown","since":"2024-03-01T12:00:00Z",
        "strategies":["swing"],"instruments":[],"resume":"tradewind-worker resume strategy.swing.drawdown"}}],
        "denials":[{{"stage":"risk","denial":"Cooldown","count":2}},
        {{"stage":"signal","denial":"NoSignal","count":991}}]}}"#
    );
    assert_body(&get(served.addresses.risk, "/risk/metrics").await, &expected);
}

#[tokio::test]
async fn health_follows_the_phase_and_liveness_does_not() {
    let served = serve(idle()).await;
    let phases = [
        (Phase::Recovering, 503, r#""phase":"Recovering""#),
        (Phase::Running, 200, r#""phase":"Running""#),
        (Phase::Completed, 200, r#""phase":"Completed""#),
        (Phase::Draining, 503, r#""phase":"Draining""#),
    ];
    for (phase, status, body) in phases {
        served.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).phase = phase);
        for address in all(&served.addresses) {
            let health = get(address, "/health").await;
            assert_eq!(health.status, status, "{phase}");
            assert!(health.body.contains(body), "{}", health.body);
            assert!(status == 200 || health.error().starts_with("the worker "), "{}", health.body);
            assert_eq!(get(address, "/livez").await.status, 200, "{phase}");
        }
    }
}

#[tokio::test]
async fn each_request_sees_the_newest_snapshot() {
    let served = serve(busy()).await;
    served.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).account.cash = cash("77.01"));
    let body = get(served.addresses.portfolio, "/portfolio").await.body;
    assert!(body.contains(r#""cash_balance":77.01,"#), "{body}");
    drop(served.snapshots);
    assert_eq!(get(served.addresses.portfolio, "/portfolio").await.body, body, "the last one stays");
}

#[tokio::test]
async fn an_unknown_path_is_told_which_exist() {
    let served = serve(busy()).await;
    let answer = get(served.addresses.portfolio, "/signals/latest?x=1").await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.error(),
        r#"there is no "/signals/latest" at the portfolio endpoint; there are: /portfolio, /trades/recent, /livez, /health, /metrics"#
    );
    for address in all(&served.addresses) {
        assert_eq!(get(address, "/").await.status, 404);
        assert_eq!(get(address, "/portfolio/").await.status, 404);
    }
}

#[tokio::test]
async fn only_reading_is_allowed() {
    let served = serve(busy()).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = request(method, served.addresses.portfolio, "/portfolio").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")), "{method}");
        assert_eq!(answer.error(), "this path is only read; ask for it with GET");
    }
    let head = request("HEAD", served.addresses.portfolio, "/portfolio").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn nonsense_is_refused_and_the_next_request_answered() {
    let served = serve(busy()).await;
    let address = served.addresses.portfolio;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let nonsense: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /portfolio HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n",
        b"GET /portfolio HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        long.as_bytes(),
    ];
    for bytes in nonsense {
        if let Some(answer) = send(address, bytes).await {
            assert!((400..500).contains(&answer.status), "{} {}", answer.status, bytes.escape_ascii());
        }
    }
    let targets =
        ["/portfolio?strategy=%ff%00%22", "/portfolio?%", "/%ff", "/portfolio?strategy=<script>", "*"];
    for target in targets {
        let answer = get(address, target).await;
        assert!(matches!(answer.status, 200 | 400 | 404), "{target} {}", answer.status);
    }
    let long = get(address, &format!("/portfolio?strategy={}", "a".repeat(5000))).await;
    assert!(long.error().len() < 200, "an answer does not grow with the question");
    assert_eq!(get(address, "/portfolio").await.status, 200);
}

#[tokio::test]
async fn amounts_at_the_ends_of_their_types_are_answered() {
    let mut snapshot = busy();
    for extreme in [Cash(i128::MIN), Cash(i128::MAX)] {
        let account = &mut snapshot.account;
        (account.equity, account.exposure, account.invested) = (extreme, Cash(i128::MAX), Cash(i128::MIN));
        account.drawdown = Percent(i64::MIN);
        snapshot.now.0 = i64::MAX;
        snapshot.totals.wins = u64::MAX;
        snapshot.totals.realized_profit = extreme;
        snapshot.totals.realized_loss = Cash(1);
        for view in &mut snapshot.strategies {
            (view.equity, view.capital, view.exposure) = (extreme, Cash(1), Cash(i128::MAX));
            view.positions[0].unrealized = extreme;
        }
        let served = serve(snapshot.clone()).await;
        let Addresses { portfolio, signals, risk } = served.addresses;
        let pages = [
            (portfolio, "/portfolio"),
            (portfolio, "/portfolio?strategy=trend"),
            (portfolio, "/trades/recent"),
            (signals, "/signals/latest"),
            (signals, "/signals/performance"),
            (risk, "/risk/metrics"),
            (risk, "/metrics"),
        ];
        for (address, target) in pages {
            assert_eq!(get(address, target).await.status, 200, "{target}");
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let (_snapshots, seen) = watch::channel(Arc::new(idle()));
    let addresses = Addresses { signals: address, ..Addresses::any_port() };
    let error = Server::bind(&addresses, seen.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the signals endpoint cannot listen on {address}: something else already listens there; choose another \
             address, such as --signals-address 127.0.0.1:0, which takes a free port"
        )
    );
    // 192.0.2.0/24 is reserved for documentation: no machine has an address in it.
    let addresses = Addresses { risk: "192.0.2.1:8047".parse().unwrap(), ..Addresses::any_port() };
    let error = Server::bind(&addresses, seen).await.unwrap_err().to_string();
    assert!(
        error.starts_with("the risk endpoint cannot listen on 192.0.2.1:8047: this machine has no"),
        "{error}"
    );
}

#[test]
fn by_default_only_this_machine_is_served_on_the_known_ports() {
    let shown = all(&Addresses::default()).map(|address| address.to_string());
    assert_eq!(shown, ["127.0.0.1:8024", "127.0.0.1:8025", "127.0.0.1:8047"]);
}

#[tokio::test]
async fn a_shutdown_closes_idle_connections_and_cuts_off_half_a_request() {
    let served = serve(busy()).await;
    let mut idle = TcpStream::connect(served.addresses.portfolio).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut first = [0_u8; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let mut half = TcpStream::connect(served.addresses.risk).await.unwrap();
    half.write_all(b"GET /livez HT").await.unwrap();
    served.stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, served.ended).await.expect("ends in time").unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(DEADLINE, idle.read_to_end(&mut rest)).await.expect("closed in time").unwrap();
    assert!(TcpStream::connect(served.addresses.portfolio).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_up_the_shutdown() {
    let served = serve(busy()).await;
    let mut asking = TcpStream::connect(served.addresses.risk).await.unwrap();
    let questions = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    // Asks on and on until the server, which cannot get rid of its answers, takes no more questions.
    let stuck = std::time::Duration::from_millis(300);
    while tokio::time::timeout(stuck, asking.write_all(&questions)).await.is_ok_and(|sent| sent.is_ok()) {}
    served.stop.send(()).unwrap();
    tokio::time::timeout(DEADLINE, served.ended).await.expect("ends in time").unwrap();
}

fn all(addresses: &Addresses) -> [SocketAddr; 3] {
    [addresses.portfolio, addresses.signals, addresses.risk]
}
