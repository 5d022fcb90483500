use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tradewind_core::config::DesiredState;
use tradewind_crds::common::ObjectRef;
use tradewind_crds::objects::{Key, Kind, ObjectId};
use tradewind_crds::published::digest;
use tradewind_crds::trading_strategy as wire;

use super::super::fixture::*;
use super::*;

fn two() -> Objects {
    objects(&[strategy("alpha", 1, "BTC-USD"), strategy("beta", 2, "ETH-USD")])
}

fn deleted(strategy: &mut TradingStrategy) {
    strategy.metadata.deletion_timestamp = Some(Time(NOW));
}

fn granted(publication: &Publication) -> Vec<(String, String)> {
    let grants = publication.grant_status().into_iter();
    grants.map(|grant| (grant.name.0, grant.capital.0)).collect()
}

fn pairs<'a>(expected: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, capital)| ((*name).to_owned(), (*capital).to_owned())).collect()
}

#[test]
fn valid_strategies_are_granted_and_published_with_their_hashes() {
    let publication = next(&two(), None);
    assert_eq!(granted(&publication), pairs(&[("alpha", "1000"), ("beta", "1000")]));
    let (alpha, beta) = (parsed(&publication, "alpha"), parsed(&publication, "beta"));
    assert_eq!((alpha.order, beta.order), (0, 1), "oldest grant first");
    assert_eq!(alpha.hash, digest(&alpha.strategy));
    assert_eq!(publication.hashes["beta"], beta.hash);
    assert_eq!(alpha.strategy.desired_state, DesiredState::Trading);
    assert_eq!(publication.account.unwrap().operator_namespace, "tradewind-system");
    assert_eq!(publication.too_large, None);
}

#[test]
fn an_invalid_edit_leaves_the_entry_as_it_is_byte_for_byte() {
    let first = next(&two(), None);
    let second = next(&edited(&two(), "alpha", spoil), Some(&first));
    assert_eq!(text(&second, "alpha"), text(&first, "alpha"));
    assert_eq!(second.hashes, first.hashes);
    assert_eq!(second.grants, first.grants, "its capital and asset stay its own");
    let third = next(
        &edited(&two(), "alpha", |strategy| strategy.spec.capital.amount = "1500".into()),
        Some(&second),
    );
    assert_eq!(parsed(&third, "alpha").strategy.generation, 2, "a valid edit is taken over again");
}

#[test]
fn an_entry_of_another_writing_is_carried_over_as_it_was_written() {
    let first = next(&two(), None);
    let mut live = first.data.clone().unwrap();
    let spaced = text(&first, "alpha").unwrap().replace("\":", "\": ");
    live.insert("strategy.alpha.json".to_owned(), spaced.clone());
    let second = published(&edited(&two(), "alpha", spoil), Some(&first), Some(&live), None, MOST_BYTES);
    assert_eq!(text(&second, "alpha"), Some(spaced.as_str()));
}

#[test]
fn one_strategys_problem_touches_no_other() {
    let first = next(&two(), None);
    let second = next(&edited(&two(), "alpha", spoil), Some(&first));
    assert_eq!(text(&second, "beta"), text(&first, "beta"));
}

#[test]
fn a_strategy_that_was_never_valid_has_no_entry_and_no_grant() {
    let publication = next(&edited(&two(), "alpha", spoil), None);
    assert_eq!(text(&publication, "alpha"), None);
    assert_eq!(granted(&publication), pairs(&[("beta", "1000")]));
    assert!(text(&publication, "beta").is_some());
}

#[test]
fn an_account_that_was_never_valid_publishes_nothing() {
    let mut objects = two();
    objects.policies.clear();
    let publication = next(&objects, None);
    assert_eq!((publication.data, publication.account), (None, None));
    assert_eq!(publication.grants.granted, []);
}

#[test]
fn without_the_accounts_policy_nobody_enters_and_nothing_else_changes() {
    let first = next(&two(), None);
    let mut objects = two();
    objects.policies.clear();
    let second = next(&objects, Some(&first));
    for name in ["alpha", "beta"] {
        let (before, after) = (parsed(&first, name), parsed(&second, name));
        assert_eq!(after.strategy.desired_state, DesiredState::ReferenceMissing);
        assert_eq!(after.hash, digest(&after.strategy));
        assert_ne!(after.hash, before.hash, "the worker acknowledges the change");
        let back = ResolvedStrategy { desired_state: DesiredState::Trading, ..after.strategy };
        assert_eq!(back, before.strategy);
    }
    assert_eq!(second.data.as_ref().unwrap()["account.json"], first.data.as_ref().unwrap()["account.json"]);
    assert_eq!(second.grants, first.grants);
    let third = next(&objects, Some(&second));
    assert_eq!(third.data, second.data, "and stays so");
    assert_eq!(next(&two(), Some(&third)).data, first.data, "until the policy is back");
}

#[test]
fn a_strategy_spoilt_while_a_policy_was_missing_runs_as_it_was_last_valid_when_that_is_back() {
    let first = next(&two(), None);
    let spoilt = edited(&two(), "alpha", spoil);
    let mut without = spoilt.clone();
    without.policies.clear();
    let second = next(&without, Some(&first));
    assert_eq!(parsed(&second, "alpha").strategy.desired_state, DesiredState::ReferenceMissing);
    let third = next(&spoilt, Some(&second));
    assert_eq!(text(&third, "alpha"), text(&first, "alpha"));
    assert_eq!(next(&spoilt, Some(&third)).data, third.data, "and stays so");
}

#[test]
fn without_its_own_policy_one_strategy_makes_no_entries() {
    let first = next(&two(), None);
    let named =
        |strategy: &mut TradingStrategy| strategy.spec.risk_policy_ref = Some(ObjectRef::from("careful"));
    let second = next(&edited(&two(), "alpha", named), Some(&first));
    assert_eq!(parsed(&second, "alpha").strategy.desired_state, DesiredState::ReferenceMissing);
    assert_eq!(text(&second, "beta"), text(&first, "beta"));
}

#[test]
fn a_policy_that_cannot_be_read_is_an_invalid_edit_and_not_a_missing_one() {
    let first = next(&two(), None);
    let mut objects = two();
    objects.policies.clear();
    objects.unreadable.insert(ObjectId::new(Kind::RiskPolicy, Key::new("desk", "house")));
    assert_eq!(next(&objects, Some(&first)).data, first.data);
}

#[test]
fn a_stopped_strategy_stays_stopped_while_its_policy_is_missing() {
    let stopped = edited(&two(), "alpha", |strategy| {
        strategy.spec.desired_state = wire::DesiredState::Stopped;
    });
    let first = next(&stopped, None);
    let mut objects = stopped;
    objects.policies.clear();
    let second = next(&objects, Some(&first));
    assert_eq!(text(&second, "alpha"), text(&first, "alpha"));
}

#[test]
fn a_strategy_that_is_being_deleted_has_no_entry_and_keeps_its_grant_until_it_is_gone() {
    let first = next(&two(), None);
    let second = next(&edited(&two(), "alpha", deleted), Some(&first));
    assert_eq!(text(&second, "alpha"), None);
    assert_eq!(second.grants, first.grants);
    let third = next(&objects(&[strategy("beta", 2, "ETH-USD")]), Some(&second));
    assert_eq!(granted(&third), pairs(&[("beta", "1000")]));
    assert_eq!(parsed(&third, "beta").order, 0);
    assert_eq!(third.hashes["beta"], first.hashes["beta"], "its place is no part of what it runs");
}

#[test]
fn nothing_new_is_granted_to_what_is_being_deleted_or_on_an_account_that_is() {
    let alone = next(&edited(&two(), "alpha", deleted), None);
    assert_eq!(granted(&alone), pairs(&[("beta", "1000")]));
    let mut objects = two();
    objects.accounts[0].metadata.deletion_timestamp = Some(Time(NOW));
    assert_eq!(granted(&next(&objects, None)), []);
}

#[test]
fn another_strategy_of_the_name_inherits_no_entry() {
    let first = next(&two(), None);
    let mut again = strategy("alpha", 7, "BTC-USD");
    spoil(&mut again);
    let second = next(&objects(&[strategy("beta", 2, "ETH-USD"), again]), Some(&first));
    assert_eq!(text(&second, "alpha"), None);
}

#[test]
fn a_strategy_that_cannot_be_read_keeps_its_entry_and_its_grant() {
    let first = next(&two(), None);
    let greedy = edited(&objects(&[strategy("gamma", 3, "BTC-USD")]), "gamma", |strategy| {
        strategy.spec.capital.amount = "9500".into();
    });
    let mut objects = greedy;
    objects.strategies.insert(0, strategy("beta", 2, "ETH-USD"));
    objects.unreadable.insert(strategy_id("alpha"));
    let second = next(&objects, Some(&first));
    assert_eq!(text(&second, "alpha"), text(&first, "alpha"));
    assert_eq!(granted(&second), pairs(&[("alpha", "1000"), ("beta", "1000")]));
    assert_eq!(text(&second, "gamma"), None, "neither its capital nor its asset is free");
}

#[test]
fn a_claim_above_the_account_is_not_granted_and_a_raise_keeps_what_was() {
    let first = next(&two(), None);
    let raised = edited(&two(), "beta", |strategy| strategy.spec.capital.amount = "9500".into());
    let second = next(&raised, Some(&first));
    assert_eq!(granted(&second), pairs(&[("alpha", "1000"), ("beta", "1000")]));
    assert_eq!(text(&second, "beta"), text(&first, "beta"));
    assert_eq!(granted(&next(&raised, None)), pairs(&[("alpha", "1000")]), "9500 and 1000 are above 10000");
}

#[test]
fn a_recorded_grant_is_kept_although_an_older_claim_would_now_come_first() {
    let late = objects(&[strategy("beta", 2, "BTC-USD")]);
    let first = next(&late, None);
    let both = objects(&[strategy("alpha", 1, "BTC-USD"), strategy("beta", 2, "BTC-USD")]);
    let second = next(&both, Some(&first));
    assert_eq!(granted(&second), pairs(&[("beta", "1000")]));
    assert_eq!(text(&second, "alpha"), None);
}

#[test]
fn an_operator_that_died_after_recording_a_grant_grants_nothing_twice() {
    // The status was written and the ConfigMap was not: the next operator sees the grants and no entry.
    let first = next(&two(), None);
    let second = published(&two(), Some(&first), None, None, MOST_BYTES);
    assert_eq!((second.grants, second.data), (first.grants, first.data));
    // Also when an older strategy has come meanwhile that asks for the same asset.
    let late = next(&objects(&[strategy("beta", 2, "BTC-USD")]), None);
    let both = objects(&[strategy("alpha", 1, "BTC-USD"), strategy("beta", 2, "BTC-USD")]);
    let third = published(&both, Some(&late), None, None, MOST_BYTES);
    assert_eq!(granted(&third), pairs(&[("beta", "1000")]));
    assert_eq!((text(&third, "alpha"), parsed(&third, "beta").hash), (None, late.hashes["beta"].clone()));
}

#[test]
fn what_was_deleted_or_edited_by_hand_is_restored_from_memory() {
    let first = next(&two(), None);
    let memory = first.data.as_ref();
    let invalid = edited(&two(), "alpha", spoil);
    let without = published(&invalid, Some(&first), None, memory, MOST_BYTES);
    assert_eq!(without.data, first.data, "the ConfigMap was deleted");
    let mut live = first.data.clone().unwrap();
    let forged = text(&first, "alpha").unwrap().replace("\"Trading\"", "\"ExitOnly\"");
    assert_ne!(Some(forged.as_str()), text(&first, "alpha"));
    live.insert("strategy.alpha.json".to_owned(), forged);
    live.insert("strategy.mallory.json".to_owned(), text(&first, "beta").unwrap().to_owned());
    let repaired = published(&invalid, Some(&first), Some(&live), memory, MOST_BYTES);
    assert_eq!(repaired.data, first.data, "entries were edited and added");
    let ignorant = published(&invalid, Some(&first), Some(&live), None, MOST_BYTES);
    assert_eq!(text(&ignorant, "alpha"), None, "an entry no operator wrote is never carried over");
}

#[test]
fn nothing_of_an_earlier_account_of_the_name_is_carried_over() {
    let first = next(&two(), None);
    let mut objects = edited(&two(), "alpha", spoil);
    objects.accounts[0].metadata.uid = Some("99999999-0000-4000-8000-000000000000".to_owned());
    assert_eq!(text(&next(&objects, Some(&first)), "alpha"), None);
    objects.policies.clear();
    assert_eq!(next(&objects, Some(&first)).data, None);
}

#[test]
fn a_configuration_that_is_too_large_holds_new_entries_back_and_lets_stops_out() {
    let first = next(&objects(&[strategy("alpha", 1, "BTC-USD")]), None);
    let size: usize = first.data.iter().flatten().map(|(key, text)| key.len() + text.len()).sum();
    let before = (Some(&first), first.data.as_ref());
    let second = published(&two(), before.0, before.1, None, size + 10);
    assert!(second.too_large.is_some_and(|bytes| bytes > size + 10));
    assert_eq!(second.data, first.data, "what was published stays");
    assert_eq!(granted(&second), pairs(&[("alpha", "1000"), ("beta", "1000")]));
    let stopped = edited(&two(), "alpha", |strategy| {
        strategy.spec.desired_state = wire::DesiredState::Stopped;
        strategy.spec.capital.amount = "1200".into();
    });
    let third = published(&stopped, before.0, before.1, None, size + 10);
    let alpha = parsed(&third, "alpha").strategy;
    assert_eq!(alpha.desired_state, DesiredState::Stopped);
    assert_eq!(alpha.capital, parsed(&first, "alpha").strategy.capital, "of an edit only the desired state");
    assert_eq!(published(&two(), before.0, before.1, None, MOST_BYTES).too_large, None);
}

#[test]
fn the_operators_namespace_follows_the_operator_even_while_the_account_is_invalid() {
    let first = next(&two(), None);
    let mut objects = two();
    objects.policies.clear();
    let mut account = objects.accounts[0].clone();
    account.status.get_or_insert_default().grants = first.grant_status();
    let moved = publish(&Input {
        objects: &objects,
        account: &account,
        live: first.data.as_ref(),
        remembered: None,
        operator_namespace: "elsewhere",
        most_bytes: MOST_BYTES,
    });
    let moved = moved.account.unwrap();
    assert_eq!(moved.operator_namespace, "elsewhere");
    assert_eq!(moved.hash, first.account.unwrap().hash);
}
