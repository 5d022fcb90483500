//! Orders by the port: placed, cancelled, looked up; and what holds them back.

use tradewind_core::order::{OrderKind, OrderState, Side};
use tradewind_core::protocol::VenueTerms;
use tradewind_core::time::Millis;
use tradewind_core::time::Timestamp;
use tradewind_venues::{CancelOutcome, Lookup, PlaceOutcome, Venue};

use crate::desk::{Desk, NOW, id, market_buy, named, order, ours, price, quantity, sample};
use crate::server::Act;

async fn place(desk: &mut Desk) -> PlaceOutcome {
    let now = desk.time();
    desk.venue.place(&market_buy(), now).await
}

async fn cancel(desk: &mut Desk) -> CancelOutcome {
    let now = desk.time();
    desk.venue.cancel(&named(), now).await
}

/// The order of the sample, of which a part had filled.
fn ended() -> CancelOutcome {
    CancelOutcome::Cancelled { executed: quantity("0.0003") }
}

fn throttled(outcome: PlaceOutcome) -> (i64, String) {
    match outcome {
        PlaceOutcome::Throttled { retry_at, message } => (retry_at.0 - NOW, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_words() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(400, sample("order_reject")));
    let (code, message) = ("-2010".into(), "Account has insufficient balance for requested action.".into());
    assert_eq!(place(&mut desk).await, PlaceOutcome::Rejected { code, message });
}

#[tokio::test]
async fn an_order_that_breaks_a_rule_never_leaves() {
    let mut desk = Desk::ready().await;
    let now = desk.time();
    let too_much = order(Side::Buy, OrderKind::Market, "34");
    let outcome = desk.venue.place(&too_much, now).await;
    let PlaceOutcome::Denied { message } = outcome else { panic!("ours, not the venue's: {outcome:?}") };
    assert!(message.contains("34 is not within the venue's bounds"), "{message}");
    assert_eq!(desk.server.count("POST"), 0);
}

#[tokio::test]
async fn the_duplicate_of_an_open_order_is_looked_up_and_not_taken_for_a_refusal() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(400, sample("order_reject_duplicate")));
    let outcome = place(&mut desk).await;
    assert!(matches!(outcome, PlaceOutcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn an_order_is_searched_for_among_all_of_a_span_of_the_venues_time_and_a_full_page_proves_nothing() {
    let mut desk = Desk::ready().await;
    // This machine is three seconds behind.
    desk.now.set(desk.now.get() - 3_000);
    desk.venue.time().await.unwrap();
    let span = || Timestamp(7_000)..Timestamp(9_000);
    // Of two with one id the later one counts.
    let other = ours("order_query").replace("418822002", "418822001").replace("PARTIALLY_FILLED", "EXPIRED");
    desk.server.then(Act::json(200, format!("[{},{other}]", ours("order_query"))));
    let Lookup::Found(found) = desk.venue.search(&named(), span()).await else { panic!() };
    assert_eq!((found.venue_order_id.as_str(), found.state), ("418822002", OrderState::PartiallyFilled));
    let asked = desk.server.last();
    assert_eq!((asked.parameter("startTime"), asked.parameter("endTime")), (Some("10000"), Some("12000")));
    assert_eq!(asked.parameter("limit"), Some("1000"));

    desk.server.then(Act::json(200, "[]"));
    assert_eq!(desk.venue.search(&named(), span()).await, Lookup::NotFound);
    let theirs = |count| format!("[{}]", vec![sample("order_query"); count].join(","));
    desk.server.then(Act::json(200, theirs(999)));
    assert_eq!(desk.venue.search(&named(), span()).await, Lookup::NotFound);
    desk.server.then(Act::json(200, theirs(1000)));
    let full = desk.venue.search(&named(), span()).await;
    assert!(matches!(full, Lookup::Unknown { .. }), "{full:?}");
}

#[tokio::test]
async fn an_order_that_is_there_is_found_as_it_stands() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, ours("order_query")));
    let Lookup::Found(found) = desk.venue.lookup(&named()).await else { panic!() };
    assert_eq!(desk.server.last().parameter("origClientOrderId"), Some(id().to_string().as_str()));
    assert_eq!((found.client_order_id, found.venue_order_id.as_str()), (id(), "418822002"));
    assert_eq!((found.side, found.kind), (Side::Buy, OrderKind::Limit { price: price("97000") }));
    assert_eq!((found.quantity, found.filled), (quantity("0.0008"), quantity("0.0003")));
    assert_eq!(found.state, OrderState::PartiallyFilled);
}

#[tokio::test]
async fn states_are_the_documented_ones_and_no_others() {
    let mut desk = Desk::ready().await;
    let cases = [
        ("CANCELED", "0.00030000", Some(OrderState::Cancelled)),
        ("CANCELED", "0.00080000", Some(OrderState::Cancelled)),
        ("EXPIRED", "0.00000000", Some(OrderState::Expired)),
        ("EXPIRED", "0.00030000", Some(OrderState::Expired)),
        ("EXPIRED_IN_MATCH", "0.00030000", Some(OrderState::Expired)),
        ("FILLED", "0.00080000", Some(OrderState::Filled)),
        ("NEW", "0.00000000", Some(OrderState::Accepted)),
        ("REJECTED", "0.00000000", Some(OrderState::Rejected)),
        ("FILLED", "0.00030000", None),
        ("NEW", "0.00080000", None),
        ("NEW", "0.00080001", None),
        ("NEW", "-0.00010000", None),
        ("PENDING_NEW", "0.00000000", None),
        ("new", "0.00000000", None),
    ];
    for (status, executed, expected) in cases {
        let body = ours("order_query").replace("PARTIALLY_FILLED", status).replace("0.00030000", executed);
        desk.server.then(Act::json(200, body));
        let state = match desk.venue.lookup(&named()).await {
            Lookup::Found(found) => Some(found.state),
            Lookup::Unknown { .. } => None,
            Lookup::NotFound => panic!("{status} was taken for not found"),
        };
        assert_eq!(state, expected, "{status} with {executed} executed");
    }
}

#[tokio::test]
async fn a_look_up_with_numbers_that_do_not_fit_says_nothing() {
    let mut desk = Desk::ready().await;
    let whole = ours("order_query");
    let cases = [
        ("0.00080000", "99999999999999999999"),
        ("0.00080000", "0.000000001"),
        ("0.00080000", "1e-3"),
        ("0.00080000", "NaN"),
        ("0.00080000", ""),
        ("0.00080000", "0"),
        ("97000.00000000", "0.00000000"),
        ("97000.00000000", "97000.001"),
        ("97000.00000000", "-97000"),
        ("97000.00000000", "92233720368547758.08"),
        ("418822002", "-1"),
        ("418822002", "0"),
        ("BTCUSDT", "ETHUSD"),
        ("\"LIMIT\"", "\"OCO\""),
        ("\"BUY\"", "\"HOLD\""),
    ];
    for (from, to) in cases {
        assert!(whole.contains(from));
        desk.server.then(Act::json(200, whole.replace(from, to)));
        let looked_up = desk.venue.lookup(&named()).await;
        assert!(matches!(looked_up, Lookup::Unknown { .. }), "{from} -> {to}: {looked_up:?}");
    }
}

#[tokio::test]
async fn only_the_venues_own_words_are_not_found() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(400, sample("error_unknown_order")));
    assert_eq!(desk.venue.lookup(&named()).await, Lookup::NotFound);
    let archived = r#"{"code":-2026,"msg":"Order was canceled or expired with no executed qty over 90 days ago and has been archived."}"#;
    for (status, body) in [
        (404, sample("error_unknown_order")),
        (500, sample("error_unknown_order")),
        (200, sample("error_unknown_order")),
        (400, archived.to_owned()),
        (400, sample("error_unknown_execution")),
        (400, r#"{"code":-2013}"#.to_owned()),
    ] {
        desk.server.then(Act::json(status, body.clone()));
        let looked_up = desk.venue.lookup(&named()).await;
        assert!(matches!(looked_up, Lookup::Unknown { .. }), "{status} {body}: {looked_up:?}");
    }
}

#[tokio::test]
async fn a_cancel_is_believed_for_the_order_it_names() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, ours("cancel_ack")));
    assert_eq!(cancel(&mut desk).await, ended());
    assert_eq!(desk.server.last().method, "DELETE");
    for (status, body) in [
        (200, sample("cancel_ack")),
        (200, ours("cancel_ack").replace("CANCELED", "NEW")),
        (200, ours("cancel_ack").replace("BTCUSDT", "ETHUSD")),
        (400, sample("order_reject")),
        (504, r#"{"code":-2011,"msg":"Unknown order sent."}"#.to_owned()),
    ] {
        desk.server.then(Act::json(status, body.clone()));
        let outcome = cancel(&mut desk).await;
        assert!(matches!(outcome, CancelOutcome::Unknown { .. }), "{status} {body}: {outcome:?}");
    }
    // Filled, ended or never there: only a look-up tells.
    desk.server.then(Act::json(400, r#"{"code":-2011,"msg":"Unknown order sent."}"#));
    assert_eq!(cancel(&mut desk).await, CancelOutcome::AlreadyDone);
}

#[tokio::test]
async fn nothing_is_signed_while_the_venues_clock_is_not_known() {
    let mut desk = Desk::ready().await;
    let far = (NOW + 5_001).to_string();
    desk.server.always(
        "GET",
        "/api/v3/time",
        Act::json(200, sample("server_time").replace(&NOW.to_string(), &far)),
    );
    desk.server.then(Act::json(400, sample("error_timestamp")));
    let (wait, _) = throttled(place(&mut desk).await);
    assert!(wait > 0, "the timestamp was refused: it was not executed and may be sent again");
    let posts = desk.server.count("POST");
    let (_, message) = throttled(place(&mut desk).await);
    assert!(message.contains("differs from the venue's by 5001 ms"), "{message}");
    assert_eq!(desk.server.count("POST"), posts, "nothing more was sent");
}

#[tokio::test]
async fn a_refused_timestamp_makes_the_next_one_right() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(400, sample("error_timestamp")));
    throttled(place(&mut desk).await);
    let ahead = (NOW + 2_000).to_string();
    let time = sample("server_time").replace(&NOW.to_string(), &ahead);
    desk.server.always("GET", "/api/v3/time", Act::json(200, time));
    desk.server.always("POST", "/api/v3/order", Act::json(200, ours("order_ack")));
    assert!(matches!(place(&mut desk).await, PlaceOutcome::Accepted { .. }));
    assert_eq!(desk.server.last().parameter("timestamp"), Some(ahead.as_str()));
}

#[tokio::test]
async fn after_a_limit_or_a_ban_nothing_is_sent_until_its_end() {
    for (status, headers, body, pause) in [
        (429, vec![("retry-after", "7".to_owned())], sample("error_rate_limited_http429"), 7_000),
        (429, vec![], sample("error_rate_limited_http429"), 60_000),
        (418, vec![("retry-after", "300".to_owned())], sample("error_rate_limited_http429"), 300_000),
        (
            418,
            vec![],
            format!(
                r#"{{"code":-1003,"msg":"Way too much request weight used; IP banned until {}. Please use the websocket for live updates to avoid bans."}}"#,
                NOW + 400_000
            ),
            400_000,
        ),
        (418, vec![], r#"{"code":-1003,"msg":"Banned."}"#.to_owned(), 120_000),
    ] {
        let mut desk = Desk::ready().await;
        desk.server.then(Act::Answer(status, headers, body.into_bytes()));
        let (wait, _) = throttled(place(&mut desk).await);
        assert_eq!(wait, pause);
        let asked = desk.server.asked().len();
        desk.now.set(NOW + pause - 1);
        assert!(matches!(cancel(&mut desk).await, CancelOutcome::Unknown { .. }));
        assert!(matches!(desk.venue.lookup(&named()).await, Lookup::Unknown { .. }));
        assert!(matches!(place(&mut desk).await, PlaceOutcome::Throttled { .. }));
        assert_eq!(desk.server.asked().len(), asked, "silence is silence");
        desk.now.set(NOW + pause);
        desk.server.then(Act::json(200, ours("cancel_ack")));
        assert_eq!(cancel(&mut desk).await, ended());
    }
}

#[tokio::test]
async fn too_many_orders_stop_orders_alone() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(
        429,
        r#"{"code":-1015,"msg":"Too many new orders; current limit is 100 orders per 10 SECOND."}"#,
    ));
    throttled(place(&mut desk).await);
    let posts = desk.server.count("POST");
    throttled(place(&mut desk).await);
    assert_eq!(desk.server.count("POST"), posts);
    desk.server.then(Act::json(200, ours("cancel_ack")));
    assert_eq!(cancel(&mut desk).await, ended());
    desk.now.set(NOW + 10_000);
    desk.server.then(Act::json(200, ours("order_ack")));
    assert!(matches!(place(&mut desk).await, PlaceOutcome::Accepted { .. }));
}

#[tokio::test]
async fn what_others_use_of_the_address_is_ours_to_save() {
    let mut desk = Desk::ready().await;
    // 800 of the 960 that are ours are used: less than the reserve of 192 is left.
    let used = vec![("x-mbx-used-weight-1m", "800".to_owned())];
    desk.server.then(Act::Answer(400, used, sample("error_unknown_order").into_bytes()));
    assert_eq!(desk.venue.lookup(&named()).await, Lookup::NotFound);
    let (_, message) = throttled(place(&mut desk).await);
    assert!(message.contains("budget"), "{message}");
    desk.server.then(Act::json(200, ours("cancel_ack")));
    assert_eq!(cancel(&mut desk).await, ended(), "the reserve is for this");
    let now = desk.time();
    desk.server.then(Act::json(200, ours("order_ack")));
    let exit = order(Side::Sell, OrderKind::Market, "0.0012");
    assert!(matches!(desk.venue.place(&exit, now).await, PlaceOutcome::Accepted { .. }), "and for exits");
}

#[tokio::test]
async fn a_symbol_that_is_not_trading_gets_no_orders_but_cancels() {
    for status in ["HALT", "BREAK", "CANCEL_ONLY", "SOMETHING_NEW"] {
        let mut desk = Desk::new().await;
        let products = sample("products").replacen("\"TRADING\"", &format!("\"{status}\""), 1);
        desk.server.always("GET", "/api/v3/exchangeInfo", Act::json(200, products));
        desk.venue.refresh().await.unwrap();
        let (_, message) = throttled(place(&mut desk).await);
        assert!(message.contains(&format!("its status is {status}")), "{message}");
        desk.server.then(Act::json(200, ours("cancel_ack")));
        assert_eq!(cancel(&mut desk).await, ended());
        // Read again within the minute, it trades.
        desk.server.always("GET", "/api/v3/exchangeInfo", Act::json(200, sample("products")));
        desk.now.set(NOW + 60_000);
        desk.venue.refresh().await.unwrap();
        desk.server.then(Act::json(200, ours("order_ack")));
        assert!(matches!(place(&mut desk).await, PlaceOutcome::Accepted { .. }));
    }
}

#[tokio::test]
async fn a_venue_in_maintenance_gets_no_orders() {
    let mut desk = Desk::new().await;
    let status = r#"{"status":1,"msg":"system maintenance"}"#;
    desk.server.always("GET", "/sapi/v1/system/status", Act::json(200, status));
    desk.venue.refresh().await.unwrap();
    assert_eq!(desk.venue.maintenance(), Some("system maintenance"));
    let (_, message) = throttled(place(&mut desk).await);
    assert!(message.contains("in maintenance"), "{message}");
    assert_eq!(desk.server.count("POST"), 0);
}

#[tokio::test]
async fn the_terms_bound_the_doubt() {
    let terms = Desk::new().await.venue.terms();
    let expected =
        VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(500), query_lag: Millis(5_000) };
    assert_eq!(terms, expected);
}
