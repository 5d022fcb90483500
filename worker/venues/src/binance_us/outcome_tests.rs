use strum::IntoEnumIterator;

use super::*;

/// Something that the row fits.
fn example(pattern: &Pattern) -> Seen {
    match *pattern {
        Pattern::Held(why) => Seen::Held(why),
        Pattern::Lost(how) => Seen::Lost(how),
        Pattern::Answer(Statuses(from, to), bodies) => {
            let body = match bodies {
                Bodies::Acknowledgement => Body::Acknowledgement,
                Bodies::Code(code) => Body::Error { code, message: "In other words.".to_owned() },
                Bodies::Words(code, words) => {
                    Body::Error { code, message: format!("{} And more.", words.to_uppercase()) }
                }
                Bodies::AnyError => Body::Error { code: -9_999, message: String::new() },
                Bodies::Other => Body::Other,
            };
            // The last of a span: the first may belong to a row of its own.
            Seen::Answer { status: if bodies == Bodies::Other { to.max(from) } else { from }, body }
        }
    }
}

#[test]
fn every_row_decides_something() {
    assert!(TABLE.len() >= 40);
    for row in TABLE {
        let seen = example(&row.pattern);
        assert_eq!(decide(&seen), row, "a row above decides {seen:?}");
    }
}

#[test]
fn refusals_are_listed_with_status_and_code() {
    for row in TABLE.iter().filter(|row| row.class == Class::Rejected) {
        match row.pattern {
            Pattern::Answer(Statuses(from, to), bodies) => {
                assert!((400..=401).contains(&from) && (400..=401).contains(&to), "{row:?}");
                assert!(matches!(bodies, Bodies::Code(_) | Bodies::Words(..)), "{row:?}");
            }
            // Denied is ours, Rejected is the venue's.
            Pattern::Held(_) | Pattern::Lost(_) => panic!("{row:?}"),
        }
    }
}

#[test]
fn what_was_held_back_or_lost_is_all_listed() {
    for why in Held::iter() {
        assert_ne!(decide(&Seen::Held(why)), &REST_OF_ALL, "{why}");
        assert_ne!(decide(&Seen::Held(why)).class, Class::Unknown, "not a byte has left: {why}");
    }
    for how in Lost::iter() {
        assert_ne!(decide(&Seen::Lost(how)), &REST_OF_ALL, "{how}");
        assert_eq!(decide(&Seen::Lost(how)).class, Class::Unknown, "{how}");
    }
}

#[test]
fn whatever_is_seen_something_is_concluded_and_a_stranger_is_unknown() {
    for status in 0..=999 {
        for code in [-1, -1_112, -1_125, -2_016, -2_026, -9_000] {
            let body = Body::Error { code, message: "Market is closed.".to_owned() };
            assert_eq!(decide(&Seen::Answer { status, body }).class, Class::Unknown, "{status} {code}");
        }
        let class = decide(&Seen::Answer { status, body: Body::Acknowledgement }).class;
        assert_eq!(class == Class::Accepted, status == 200, "{status}");
        assert_eq!(decide(&Seen::Answer { status, body: Body::Other }).class, Class::Unknown, "{status}");
    }
}

#[test]
fn words_decide_by_their_beginning() {
    let class = |message: &str| {
        let body = Body::Error { code: -2010, message: message.to_owned() };
        decide(&Seen::Answer { status: 400, body }).class
    };
    assert_eq!(class("Account has insufficient balance for requested action."), Class::Rejected);
    assert_eq!(class("MARKET IS CLOSED."), Class::Rejected);
    assert_eq!(class("Duplicate order sent."), Class::Unknown);
    for other in ["", "Market", "The market is closed.", "Märkt is closed.", "NEW_ORDER_REJECTED"] {
        assert_eq!(class(other), Class::Unknown, "{other}");
    }
}
