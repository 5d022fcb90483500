//! What is concluded from answers to an order: the published ones, and those that are broken in every way.

use proptest::prelude::*;
use tradewind_venues::binance_us::conclude;
use tradewind_venues::binance_us::outcome::{Class, decide};

use crate::desk::{id, ours, rules, sample};

fn class(status: u16, body: &[u8]) -> Class {
    decide(&conclude(status, body, id(), &rules("BTC-USDT")).0).class
}

#[test]
fn published_answers_are_what_they_say() {
    for accepted in ["order_ack", "order_ack_full", "order_ack_limit_new"] {
        assert_eq!(class(200, ours(accepted).as_bytes()), Class::Accepted, "{accepted}");
    }
    for (name, status, expected) in [
        ("order_reject", 400, Class::Rejected),
        ("order_reject_filter", 400, Class::Rejected),
        ("order_reject_duplicate", 400, Class::Unknown),
        ("error_rate_limited_http429", 429, Class::Throttled),
        ("error_timestamp", 400, Class::Throttled),
        ("error_unknown_execution", 400, Class::Unknown),
        ("error_unknown_execution", 504, Class::Unknown),
        ("error_unknown_order", 400, Class::Unknown),
    ] {
        assert_eq!(class(status, sample(name).as_bytes()), expected, "{name} with {status}");
    }
}

#[test]
fn an_acknowledgement_of_another_order_is_none() {
    let rules = rules("BTC-USDT");
    let conclude = |body: &str| conclude(200, body.as_bytes(), id(), &rules);
    let whole = ours("order_ack_full");
    assert_eq!(conclude(&whole).1, Some(418_822_001));
    assert_eq!(conclude(&sample("order_ack_full")).1, None, "the id of somebody else's order");
    assert_eq!(conclude(&whole.replace("BTCUSDT", "ETHUSD")).1, None);
    assert_eq!(conclude(&whole.replace("\"FILLED\"", "\"REJECTED\"")).1, None);
    assert_eq!(conclude(&whole.replace("\"FILLED\"", "\"PENDING_NEW\"")).1, None, "a status nobody knows");
}

#[test]
fn an_answer_cut_off_at_any_byte_decides_nothing() {
    for name in ["order_ack", "order_ack_full", "order_ack_limit_new"] {
        let whole = ours(name);
        for end in 0..whole.len() {
            assert_eq!(class(200, &whole.as_bytes()[..end]), Class::Unknown, "{name} cut at {end}");
        }
    }
    for name in ["order_reject", "order_reject_filter", "error_timestamp", "error_rate_limited_http429"] {
        let whole = sample(name);
        for end in 0..whole.len() {
            for status in [400, 429] {
                assert_eq!(class(status, &whole.as_bytes()[..end]), Class::Unknown, "{name} cut at {end}");
            }
        }
    }
}

#[test]
fn numbers_that_do_not_fit_decide_nothing() {
    let whole = ours("order_ack_full");
    for wrong in ["0", "-1", "1.5", "1e40", "18446744073709551616", "\"418822001\"", "null", "true", "[]"] {
        assert_eq!(
            class(200, whole.replace("418822001", wrong).as_bytes()),
            Class::Unknown,
            "orderId {wrong}"
        );
    }
    for wrong in ["0", "-1", "1.5", "9223372036854775808", "\"x\"", "null"] {
        let body = whole.replace("1767225601224", wrong);
        assert_eq!(class(200, body.as_bytes()), Class::Unknown, "transactTime {wrong}");
    }
    for wrong in ["0", "2010", "-2010.5", "-1e3", "-99999999999999999999", "\"-2010\"", "null"] {
        let body = sample("order_reject").replace("-2010", wrong);
        assert_eq!(class(400, body.as_bytes()), Class::Unknown, "code {wrong}");
    }
}

#[test]
fn a_field_told_twice_or_a_second_answer_behind_the_first_decides_nothing() {
    let twice = ours("order_ack").replace("\"orderId\"", "\"orderId\": 1,\n  \"orderId\"");
    assert_eq!(class(200, twice.as_bytes()), Class::Unknown);
    let two = format!("{}{}", ours("order_ack"), sample("order_reject"));
    assert_eq!(class(200, two.as_bytes()), Class::Unknown);
}

/// What identifies an order in its acknowledgement; what else it says may be damaged.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    symbol: String,
    order_id: u64,
    client_order_id: String,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn noise_is_never_an_acceptance_or_a_refusal(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(class(status, &body), Class::Unknown);
    }

    #[test]
    fn a_damaged_acknowledgement_is_accepted_only_for_the_same_order(at in 0_usize..400, byte in any::<u8>()) {
        let mut body = ours("order_ack_full").into_bytes();
        let at = at % body.len();
        body[at] = byte;
        let (seen, number) = conclude(200, &body, id(), &rules("BTC-USDT"));
        if decide(&seen).class == Class::Accepted {
            let told: Told = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(told.client_order_id, id().to_string());
            prop_assert_eq!((told.symbol.as_str(), Some(told.order_id)), ("BTCUSDT", number));
        } else {
            prop_assert_eq!(decide(&seen).class, Class::Unknown);
        }
    }

    #[test]
    fn a_code_that_is_not_listed_is_no_refusal(code in -9_999_i64..-2_027, status in 400_u16..500) {
        let body = format!(r#"{{"code":{code},"msg":"Some new words."}}"#);
        prop_assert_eq!(class(status, body.as_bytes()), Class::Unknown);
    }

    #[test]
    fn no_server_error_is_a_refusal(code in -3_000_i64..-1, status in 500_u16..600) {
        let body = format!(r#"{{"code":{code},"msg":"Account has insufficient balance for requested action."}}"#);
        prop_assert_eq!(class(status, body.as_bytes()), Class::Unknown);
    }
}
