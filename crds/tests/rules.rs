//! Each rule of the schemas: one accepted and two refused objects, in process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeSet;

use common::cases::cases;
use common::{ACCOUNT, POLICY, STRATEGY};
use serde_json::Value;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::manifest::definition;
use tradewind_crds::objects::Kind;
use tradewind_crds::risk_policy::RiskPolicy;
use tradewind_crds::trading_halt::TradingHalt;
use tradewind_crds::trading_strategy::TradingStrategy;

/// Messages of the rules the object breaks; with `before`, as a change of that object.
fn broken(kind: &str, object: Value, before: Option<Value>) -> Vec<String> {
    macro_rules! run {
        ($type:ty) => {{
            let object: $type = serde_json::from_value(object).unwrap();
            match before {
                Some(before) => object.validate_cel_update(&serde_json::from_value(before).unwrap()),
                None => object.validate_cel(),
            }
        }};
    }
    let result = match kind {
        STRATEGY => run!(TradingStrategy),
        ACCOUNT => run!(ExchangeAccount),
        POLICY => run!(RiskPolicy),
        _ => run!(TradingHalt),
    };
    result
        .err()
        .map(|errors| errors.as_slice().iter().map(|e| e.message.clone()).collect())
        .unwrap_or_default()
}

#[test]
fn each_rule_accepts_one_object_and_refuses_two() {
    for case in cases() {
        let before = case.before();
        let accepted = broken(case.kind, case.accepted(), before.clone());
        assert_eq!(accepted, Vec::<String>::new(), "{}", case.message);
        for refused in case.refused() {
            let messages = broken(case.kind, refused.clone(), before.clone());
            assert!(
                messages.iter().any(|m| m.starts_with(case.message)),
                "{}: {refused}: {messages:?}",
                case.message
            );
        }
    }
}

fn messages(schema: &Value, found: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert(rule["message"].as_str().expect("each rule has a message").to_owned());
    }
    match schema {
        Value::Object(fields) => fields.values().for_each(|value| messages(value, found)),
        Value::Array(items) => items.iter().for_each(|value| messages(value, found)),
        _ => {}
    }
}

#[test]
fn each_rule_of_the_definitions_is_tested_and_states_its_fix() {
    let mut found = BTreeSet::new();
    for kind in Kind::ALL {
        messages(&serde_json::to_value(definition(kind)).unwrap(), &mut found);
    }
    let cases = cases();
    for message in &found {
        assert!(message.contains("; "), "no fix in: {message}");
        assert!(cases.iter().any(|case| message.starts_with(case.message)), "no case for: {message}");
    }
    assert_eq!(found.len(), cases.len());
}
