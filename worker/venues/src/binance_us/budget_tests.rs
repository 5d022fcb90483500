use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp(ms)
}

fn limit(kind: &str, interval: &str, number: u32, limit: u32) -> RateLimit {
    RateLimit { rate_limit_type: kind.into(), interval: interval.into(), interval_num: number, limit }
}

/// How many requests of weight 10 go through at that moment.
fn taken(budget: &mut Budget, now: Timestamp, need: Need) -> u32 {
    (0..10_000).find(|_| budget.take(now, 10, false, need).is_err()).unwrap()
}

#[test]
fn four_fifths_of_the_venues_limit_are_ours_and_a_fifth_of_that_is_kept() {
    let mut budget = Budget::default();
    // 80 % of 1200 are 960; 20 % of those, 192, are kept: 768 for what can wait.
    assert_eq!(taken(&mut budget, at(0), Need::Ordinary), 76);
    assert_eq!(taken(&mut budget, at(0), Need::Urgent), 20);
    let Err(Wait::Budget(until)) = budget.take(at(0), 10, false, Need::Urgent) else { panic!() };
    assert!(budget.take(at(until.0 - 1), 10, false, Need::Urgent).is_err());
    assert!(budget.take(until, 10, false, Need::Urgent).is_ok(), "at {until:?}");
}

#[test]
fn what_is_left_is_what_urgent_requests_may_take_and_nothing_during_a_ban() {
    let mut budget = Budget::default();
    assert_eq!(budget.left(at(0)), [("weight", 960), ("orders", 80)]);
    budget.take(at(0), 10, true, Need::Ordinary).unwrap();
    assert_eq!(budget.left(at(0)), [("weight", 950), ("orders", 79)]);
    assert_eq!(budget.left(at(60_000)), [("weight", 960), ("orders", 80)], "it has filled again");
    let ban = Usage { status: 418, retry_after: Some(30), used_weight: None };
    budget.observe(at(60_000), ban, None);
    assert_eq!(budget.left(at(60_001)), [("weight", 0), ("orders", 0)]);
    assert_eq!(budget.left(at(90_000)), [("weight", 960), ("orders", 80)]);
}

#[test]
fn it_fills_again_within_its_interval_and_never_beyond() {
    let mut budget = Budget::default();
    taken(&mut budget, at(0), Need::Urgent);
    assert_eq!(taken(&mut budget, at(30_000), Need::Urgent), 48);
    assert_eq!(taken(&mut budget, at(10_000_000), Need::Urgent), 96);
    assert_eq!(taken(&mut budget, at(0), Need::Urgent), 0, "a clock that goes back brings nothing");
}

#[test]
fn the_limits_are_those_the_venue_tells() {
    let mut budget = Budget::default();
    budget.set_limits(&[
        limit("REQUEST_WEIGHT", "MINUTE", 1, 600),
        limit("ORDERS", "SECOND", 10, 50),
        limit("ORDERS", "DAY", 1, 160_000),
        limit("RAW_REQUESTS", "MINUTE", 5, 1),
    ]);
    assert_eq!(taken(&mut budget, at(0), Need::Urgent), 48);
    let orders = |budget: &mut Budget, now| {
        (0..10_000).find(|_| budget.take(now, 0, true, Need::Urgent).is_err()).unwrap()
    };
    assert_eq!(orders(&mut budget, at(0)), 40);
    assert_eq!(orders(&mut budget, at(5_000)), 20);
    assert!(budget.take(at(5_000), 1, false, Need::Urgent).is_ok(), "too many orders stop orders alone");
}

#[test]
fn what_others_use_counts() {
    let mut budget = Budget::default();
    let usage = Usage { status: 200, retry_after: None, used_weight: Some(900) };
    budget.observe(at(0), usage, None);
    assert_eq!(taken(&mut budget, at(0), Need::Urgent), 6);
    budget.observe(at(0), Usage { used_weight: Some(5_000), ..usage }, None);
    assert_eq!(taken(&mut budget, at(0), Need::Urgent), 0);
    budget.observe(at(0), Usage { used_weight: Some(0), ..usage }, None);
    assert_eq!(taken(&mut budget, at(0), Need::Urgent), 0, "what we took is not given back by a word");
}

#[test]
fn a_silence_is_never_shortened() {
    let mut budget = Budget::default();
    let told = |status, seconds| Usage { status, retry_after: Some(seconds), used_weight: None };
    budget.observe(at(0), told(418, 600), None);
    budget.observe(at(1), told(429, 1), None);
    budget.observe(at(2), Usage { status: 200, ..Usage::default() }, None);
    assert_eq!(budget.silent_until(), Some(at(600_000)));
    assert_eq!(budget.take(at(599_999), 1, false, Need::Urgent), Err(Wait::Banned(at(600_000))));
    assert!(budget.take(at(600_000), 1, false, Need::Urgent).is_ok());
}

#[test]
fn the_end_of_a_ban_is_read_from_its_words_and_not_believed_beyond_three_days() {
    let error = |msg: &str| ErrorBody { code: -1003, msg: msg.to_owned() };
    let silence = |msg: &str| {
        let mut budget = Budget::default();
        let usage = Usage { status: 418, ..Usage::default() };
        budget.observe(at(1_767_225_600_000), usage, Some(&error(msg)));
        budget.silent_until().unwrap().0 - 1_767_225_600_000
    };
    assert_eq!(silence("IP banned until 1767225700000. Please use the websocket."), 100_000);
    assert_eq!(silence("IP banned until 9999999999999."), 3 * 86_400_000);
    assert_eq!(silence("IP banned for 5 minutes."), 120_000);
}
