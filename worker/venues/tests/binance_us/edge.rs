//! The HTTP edge: each request leaves once, and whatever goes wrong on the way is known for what it is.

use std::fs;
use std::time::Duration;

use tradewind_venues::binance_us::{Credentials, MOST_BYTES, Traffic, signature};
use tradewind_venues::{CancelOutcome, Lookup, PlaceOutcome, Venue};

use crate::desk::{Desk, KEY, NOW, SECRET, id, market_buy, named, ours, sample};
use crate::server::{Act, Server};

async fn place(desk: &mut Desk) -> PlaceOutcome {
    let now = desk.time();
    desk.venue.place(&market_buy(), now).await
}

fn unknown(outcome: &PlaceOutcome) -> bool {
    matches!(outcome, PlaceOutcome::Unknown { .. })
}

#[tokio::test]
async fn an_order_travels_signed_and_without_a_body() {
    let mut desk = Desk::ready().await;
    desk.server.then(Act::json(200, ours("order_ack_full")));
    let outcome = place(&mut desk).await;
    assert_eq!(outcome, PlaceOutcome::Accepted { venue_order_id: "418822001".into() });
    let asked = desk.server.last();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/api/v3/order"));
    assert_eq!((asked.key.as_deref(), asked.body), (Some(KEY), 0));
    let (signed, sent) = asked.query.rsplit_once("&signature=").unwrap();
    let credentials = Credentials::parse(KEY, SECRET).unwrap();
    assert_eq!(sent, signature(&credentials.secret, signed));
    assert_eq!(asked.parameter("newClientOrderId"), Some(id().to_string().as_str()));
    assert_eq!(asked.parameter("timestamp"), Some(NOW.to_string().as_str()));
}

#[tokio::test]
async fn what_was_made_durable_is_what_is_sent() {
    let mut desk = Desk::ready().await;
    let now = desk.time();
    let exact = desk.venue.exact_order(&market_buy(), now, now).unwrap().unwrap();
    desk.now.set(NOW + 700);
    desk.server.then(Act::json(200, ours("order_ack_full")));
    // Sent later than it was signed.
    place(&mut desk).await;
    let asked = desk.server.last();
    assert_eq!(asked.query.rsplit_once("&signature=").unwrap().0, exact.query);
}

#[tokio::test]
async fn public_questions_carry_neither_key_nor_signature() {
    let desk = Desk::ready().await;
    let public = desk.server.asked().into_iter().filter(|asked| asked.path != "/sapi/v1/system/status");
    for asked in public {
        assert_eq!(asked.key, None, "{asked:?}");
        assert!(!asked.query.contains("signature"), "{asked:?}");
    }
}

/// On a new connection and on one that has served before: what is lost is not sent again.
#[tokio::test]
async fn a_lost_order_reached_the_venue_once_and_is_unknown() {
    for (name, act) in [
        ("no answer", Act::HangUp),
        ("half an answer", Act::Half(200, ours("order_ack_full").into_bytes())),
        ("half a refusal", Act::Half(400, sample("order_reject").into_bytes())),
        ("half a head", Act::Bytes(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())),
        ("no HTTP", Act::Bytes(b"220 mail.example.com ESMTP\r\n".to_vec())),
        ("a length that lies", Act::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n{}".to_vec())),
    ] {
        let mut desk = Desk::ready().await;
        for warm in [false, true] {
            if warm {
                desk.server.then(Act::json(200, ours("order_ack_full")));
                assert!(matches!(place(&mut desk).await, PlaceOutcome::Accepted { .. }));
            }
            let before = desk.server.count("POST");
            desk.server.then(act.clone());
            let outcome = place(&mut desk).await;
            assert!(unknown(&outcome), "{name}: {outcome:?}");
            assert_eq!(desk.server.count("POST") - before, 1, "{name}, warm: {warm}");
        }
        let Traffic { requests, left, skew } = desk.venue.traffic();
        let counted = |status| requests.answered.get(&(("POST", "/api/v3/order"), status)).copied();
        assert_eq!((counted(None), counted(Some(200))), (Some(2), Some(1)), "{name}");
        assert_eq!(requests.took[&("POST", "/api/v3/order")].count(), 3, "{name}");
        assert!(left.iter().all(|(_, left)| *left > 0) && skew.is_some(), "{name}: {left:?}, {skew:?}");
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_second_sending() {
    let mut desk = Desk::ready().await;
    for round in 0..20 {
        let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: ".to_vec();
        let body = ours("order_ack_full");
        answer.extend_from_slice(format!("{}\r\n\r\n{body}", body.len()).as_bytes());
        // Answers, and closes the connection that the next order may want to use.
        desk.server.then(Act::Bytes(answer));
        let outcome = place(&mut desk).await;
        assert!(desk.server.count("POST") <= round + 1);
        if !matches!(outcome, PlaceOutcome::Accepted { .. }) {
            assert!(unknown(&outcome), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn whoever_hangs_up_before_the_request_gets_it_at_most_once() {
    let mut desk = Desk::ready().await;
    desk.server.refuse_connections();
    let connections = desk.server.connections();
    let outcome = place(&mut desk).await;
    assert!(unknown(&outcome), "the connection stood, so nobody knows: {outcome:?}");
    assert_eq!((desk.server.count("POST"), desk.server.connections() - connections), (0, 1));
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let mut desk = Desk::ready().await;
    std::mem::replace(&mut desk.server, Server::start().await).stop().await;
    let outcome = place(&mut desk).await;
    let PlaceOutcome::Throttled { retry_at, message } = outcome else { panic!("{outcome:?}") };
    assert!(retry_at.0 > NOW && message.contains("no connection"), "{message}");
}

#[tokio::test]
async fn a_silent_venue_is_left_after_the_deadline() {
    let mut desk = Desk::with(&["BTC-USDT"], Duration::from_secs(2)).await;
    desk.venue.refresh().await.unwrap();
    desk.server.then(Act::Silence);
    let outcome = place(&mut desk).await;
    let PlaceOutcome::Unknown { message } = &outcome else { panic!("{outcome:?}") };
    assert!(message.contains("no answer in time"), "{message}");
    assert_eq!(desk.server.count("POST"), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut desk = Desk::ready().await;
    let target = format!("{}/api/v3/order", desk.server.url);
    desk.server.then(Act::Answer(307, vec![("location", target)], Vec::new()));
    assert!(unknown(&place(&mut desk).await));
    assert_eq!(desk.server.count("POST"), 1);
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let mut desk = Desk::ready().await;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MOST_BYTES + 1).into_bytes();
    answer.resize(answer.len() + MOST_BYTES + 1, b' ');
    desk.server.then(Act::Bytes(answer));
    let outcome = place(&mut desk).await;
    assert!(unknown(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn html_and_nothing_are_no_answers() {
    let html = "<html><head><title>502 Bad Gateway</title></head></html>";
    for (status, body) in
        [(200, html), (200, ""), (400, html), (400, ""), (403, html), (502, html), (503, "")]
    {
        let mut desk = Desk::ready().await;
        desk.server.then(Act::Answer(status, vec![("content-type", "text/html".into())], body.into()));
        assert!(unknown(&place(&mut desk).await), "{status} {body:?}");
        let mut desk = Desk::ready().await;
        for _ in 0..2 {
            desk.server.then(Act::Answer(status, Vec::new(), body.into()));
        }
        let looked_up = desk.venue.lookup(&named()).await;
        assert!(matches!(looked_up, Lookup::Unknown { .. }), "{status} {body:?}: {looked_up:?}");
        let now = desk.time();
        let cancelled = desk.venue.cancel(&named(), now).await;
        assert!(matches!(cancelled, CancelOutcome::Unknown { .. }), "{status} {body:?}: {cancelled:?}");
    }
}

#[tokio::test]
async fn a_changed_key_is_used_from_the_next_request_on_and_a_broken_one_is_not() {
    let mut desk = Desk::ready().await;
    let write = |name: &str, text: &str| {
        let file = desk.keys.path().join(name);
        fs::write(&file, text).unwrap();
        // File systems may count in seconds; the kubelet's link changes in any case.
        let later = std::time::SystemTime::now() + Duration::from_secs(5 + text.len() as u64);
        fs::File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
    };
    write("apiKey", "anotherKey");
    write("apiSecret", "anotherSecret");
    desk.server.then(Act::json(400, sample("error_unknown_order")));
    assert_eq!(desk.venue.lookup(&named()).await, Lookup::NotFound);
    let asked = desk.server.last();
    assert_eq!(asked.key.as_deref(), Some("anotherKey"));
    let (signed, sent) = asked.query.rsplit_once("&signature=").unwrap();
    let credentials = Credentials::parse("anotherKey", "anotherSecret").unwrap();
    assert_eq!(sent, signature(&credentials.secret, signed));
    assert!(desk.venue.key_problem().is_none());

    let write = |text: &str| fs::write(desk.keys.path().join("apiSecret"), text).unwrap();
    write("two words");
    desk.server.then(Act::json(400, sample("error_unknown_order")));
    assert_eq!(desk.venue.lookup(&named()).await, Lookup::NotFound);
    assert_eq!(desk.server.last().key.as_deref(), Some("anotherKey"));
    let problem = desk.venue.key_problem().unwrap().to_string();
    assert!(problem.contains("apiSecret") && !problem.contains("two words"), "{problem}");
}

#[tokio::test]
async fn neither_half_of_the_key_is_in_any_word_of_ours() {
    let mut desk = Desk::ready().await;
    let mut words = Vec::new();
    for act in [
        Act::HangUp,
        Act::json(401, r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}"#),
    ] {
        desk.server.then(act.clone());
        words.push(format!("{:?}", place(&mut desk).await));
        desk.server.then(act.clone());
        words.push(format!("{:?}", desk.venue.lookup(&named()).await));
        desk.server.then(act);
        words.push(format!("{:?}", desk.venue.balances().await));
    }
    for text in words {
        assert!(!text.contains(KEY) && !text.contains(SECRET) && !text.contains("signature="), "{text}");
    }
}
