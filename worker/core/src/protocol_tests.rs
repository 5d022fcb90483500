#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use uuid::Uuid;

use super::*;
use OrderInput as I;

/// Signed requests live 5 s, the clocks differ by 1 s at most, look-ups lag by 2 s.
const TERMS: VenueTerms =
    VenueTerms { signature_life: Millis(5_000), clock_skew: Millis(1_000), query_lag: Millis(2_000) };

fn signed(at: i64) -> Signature {
    TERMS.sign(Timestamp(at))
}

fn stages() -> Vec<Stage> {
    let signature = signed(0);
    vec![
        Stage::Intended { signature },
        Stage::Ready { signature },
        Stage::Orphaned { signature },
        Stage::Sent { signature },
        Stage::Accepted,
        Stage::PartiallyFilled,
        Stage::Ending { end: End::Cancelled, missing: Quantity(2) },
        Stage::Filled,
        Stage::Cancelled,
        Stage::Expired,
        Stage::Rejected,
        Stage::Denied,
        Stage::Unknown { not_found_from: TERMS.not_found_from(signature) },
        Stage::Absent,
    ]
}

fn inputs() -> Vec<OrderInput> {
    vec![
        I::Durable,
        I::Send { at: Timestamp(1) },
        I::Throttle,
        I::Withhold,
        I::Renew { signature: signed(20_000) },
        I::Accept,
        I::FillPart { quantity: Quantity(1) },
        I::FillRest,
        I::Cancel { missing: Quantity::ZERO },
        I::Cancel { missing: Quantity(3) },
        I::Expire { missing: Quantity::ZERO },
        I::Expire { missing: Quantity(3) },
        I::Lapse,
        I::Reject,
        I::Deny,
        I::LoseTrack,
        I::NotFound { asked_at: Timestamp(60_000) },
    ]
}

fn after(stage: Stage, input: OrderInput) -> Option<OrderState> {
    transition(stage, input, &TERMS).ok().map(Stage::state)
}

#[test]
fn a_terminal_order_never_opens_again_but_an_absent_one_may_be_signed_anew() {
    for from in stages().into_iter().filter(|s| s.state().is_terminal()) {
        for input in inputs() {
            match after(from, input) {
                Some(OrderState::Intended) => {
                    assert!(from == Stage::Absent && matches!(input, I::Renew { .. }), "{from:?} {input:?}");
                }
                Some(to) => assert!(to.is_terminal(), "{from:?} {input:?} {to}"),
                None => {}
            }
        }
    }
}

#[test]
fn an_order_is_sent_only_when_it_is_durable_and_within_its_signature() {
    for stage in stages() {
        let sent = after(stage, I::Send { at: Timestamp(5_000) });
        assert_eq!(sent.is_some(), matches!(stage, Stage::Ready { .. }), "{stage:?}");
    }
    let ready = Stage::Ready { signature: signed(0) };
    assert_eq!(after(ready, I::Send { at: Timestamp(5_001) }), None);
    assert_eq!(after(ready, I::Withhold), Some(OrderState::Absent));
    assert_eq!(after(Stage::Sent { signature: signed(0) }, I::Withhold), None, "it may have arrived");
}

#[test]
fn an_unknown_order_is_not_sent_before_it_is_proven_absent() {
    let unknown = transition(Stage::Sent { signature: signed(10_000) }, I::LoseTrack, &TERMS).unwrap();
    assert!(transition(unknown, I::Send { at: Timestamp(60_000) }, &TERMS).is_err());
    assert!(transition(unknown, I::Renew { signature: signed(60_000) }, &TERMS).is_err());
    // Signed at 10 s, taken until 15 s by the venue's clock, which may be 1 s behind; seen 2 s later.
    assert_eq!(after(unknown, I::NotFound { asked_at: Timestamp(18_000) }), None);
    assert_eq!(after(unknown, I::NotFound { asked_at: Timestamp(18_001) }), Some(OrderState::Absent));
    let sent = Stage::Sent { signature: signed(10_000) };
    assert_eq!(after(sent, I::NotFound { asked_at: Timestamp(60_000) }), None, "only after losing track");
    assert_eq!(after(Stage::Absent, I::Send { at: Timestamp(1) }), None, "signed anew and durable first");
}

#[test]
fn a_venue_within_the_process_needs_no_waiting() {
    let terms = VenueTerms::default();
    let signature = terms.sign(Timestamp(7));
    assert!(terms.may_send(signature, Timestamp(100)));
    assert_eq!(terms.not_found_from(signature), Timestamp(7));
    assert_eq!(terms.first_send(Timestamp(7), Millis(15_000)), Timestamp(7));
}

#[test]
fn a_successor_waits_out_the_lease_and_the_last_signature() {
    // 15 s of Lease, 5 s of signature, 1 s of clock, 2 s of lag, and the first millisecond after.
    assert_eq!(TERMS.first_send(Timestamp(100_000), Millis(15_000)), Timestamp(123_001));
}

#[test]
fn what_a_gone_worker_intended_can_only_be_lost_track_of() {
    let life = Life::recovered(OrderState::Intended, Attempt(0), signed(0), &TERMS);
    for input in inputs() {
        let mut copy = life;
        let legal = copy.apply(input, &TERMS).is_ok();
        assert_eq!(legal, input == I::LoseTrack, "{input:?}");
    }
}

#[test]
fn a_throttled_order_was_not_sent_and_may_be() {
    let mut life = Life::begin(signed(0));
    let steps =
        [I::Durable, I::Send { at: Timestamp(1) }, I::Throttle, I::Send { at: Timestamp(2) }, I::Accept];
    for input in steps {
        life.apply(input, &TERMS).unwrap();
    }
    assert_eq!((life.state(), life.attempt()), (OrderState::Accepted, Attempt(2)));
}

#[test]
fn a_fill_after_a_cancel_is_not_lost() {
    assert_eq!(after(Stage::Cancelled, I::FillRest), Some(OrderState::Filled));
    assert_eq!(after(Stage::Cancelled, I::FillPart { quantity: Quantity(1) }), Some(OrderState::Cancelled));
    assert_eq!(after(Stage::Filled, I::Cancel { missing: Quantity::ZERO }), None);
    assert_eq!(after(Stage::Rejected, I::FillPart { quantity: Quantity(1) }), None);
}

#[test]
fn an_order_that_ended_is_counted_until_all_that_was_executed_is_booked() {
    let mut life = Life::recovered(OrderState::Accepted, Attempt(1), signed(0), &TERMS);
    // Ten ordered, one booked, six executed when the cancel came.
    life.apply(I::Cancel { missing: Quantity(5) }, &TERMS).unwrap();
    assert_eq!((life.state(), life.is_ending()), (OrderState::PartiallyFilled, true));
    assert_eq!(life.at_risk(Quantity(10), Quantity(1)), Quantity(5), "not the four that are cancelled");
    life.apply(I::FillPart { quantity: Quantity(3) }, &TERMS).unwrap();
    assert_eq!(life.at_risk(Quantity(10), Quantity(4)), Quantity(2));
    // The end told again, by the look-up this time.
    life.apply(I::Cancel { missing: Quantity(2) }, &TERMS).unwrap();
    life.apply(I::FillPart { quantity: Quantity(2) }, &TERMS).unwrap();
    assert_eq!((life.state(), life.is_ending()), (OrderState::Cancelled, false));
    assert_eq!(life.at_risk(Quantity(10), Quantity(6)), Quantity::ZERO);
}

#[test]
fn an_order_of_unknown_outcome_counts_in_full() {
    let life = Life::recovered(OrderState::Unknown, Attempt(1), signed(0), &TERMS);
    assert_eq!(life.at_risk(Quantity(10), Quantity(4)), Quantity(6));
    let absent = Life::recovered(OrderState::Absent, Attempt(1), signed(0), &TERMS);
    assert_eq!(absent.at_risk(Quantity(10), Quantity(0)), Quantity::ZERO);
}

#[test]
fn only_the_writer_moves_an_order_and_only_from_where_it_stands() {
    let stand = Stand { epoch: Epoch(3), state: OrderState::Intended, attempt: Attempt(0) };
    let row = Transition {
        intent: IntentId(1),
        attempt: Attempt(1),
        epoch: Epoch(3),
        from: OrderState::Intended,
        to: OrderState::Sent,
        at: Timestamp(0),
        detail: None,
    };
    assert!(stand.admits(&row));
    assert!(!stand.admits(&Transition { epoch: Epoch(2), ..row.clone() }));
    assert!(!stand.admits(&Transition { attempt: Attempt(2), ..row.clone() }));
    assert!(!stand.admits(&Transition { attempt: Attempt(0), ..row.clone() }));
    assert!(!stand.admits(&Transition { from: OrderState::Absent, ..row }));
}

#[test]
fn an_order_with_our_tag_that_the_ledger_never_made_is_lost_not_external() {
    let (ours, strategy) = (Incarnation(7), Uid(Uuid::from_u128(1)));
    let of = |id| Origin::of(id, ours, &[strategy], 5, &[]);
    assert_eq!(of(ClientOrderId::derive(ours, strategy, IntentId(4))), Origin::Ended);
    assert_eq!(of(ClientOrderId::derive(ours, strategy, IntentId(6))), Origin::Lost(IntentId(6)));
    assert_eq!(of(ClientOrderId::derive(Incarnation(8), strategy, IntentId(4))), Origin::External);
}

#[test]
fn an_order_made_after_the_copy_that_was_restored_is_lost_and_found_at_once() {
    let (ours, strategy, far) = (Incarnation(7), Uid(Uuid::from_u128(1)), 1_000_000_000);
    let id = |number| ClientOrderId::derive(ours, strategy, IntentId(number));
    // Five orders, a copy, and after it was restored two more; then the same again.
    let (first, second) = (5..far + 5, far + 7..2 * far + 7);
    let of =
        |number| Origin::of(id(number), ours, &[strategy], 2 * far + 9, &[first.clone(), second.clone()]);
    for ended in [1, 4, far + 5, far + 6, 2 * far + 7, 2 * far + 8] {
        assert_eq!(of(ended), Origin::Ended, "{ended}");
    }
    for lost in [5, 6, 4_100, far + 7, 2 * far + 9] {
        assert_eq!(of(lost), Origin::Lost(IntentId(lost)), "{lost}");
    }
    // What no ledger came near is nobody's.
    assert_eq!(of(far / 2), Origin::External);
}
