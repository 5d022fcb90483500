use std::collections::BTreeSet;

use tradewind_core::name::Uid;

use super::*;
use crate::common::GoDuration;
use crate::exchange_account::{Fees, PaidIn, Speed, Venue};
use crate::objects::uid_of;

/// Every keyword of a schema and of those inside it.
fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
    let Some(fields) = schema.as_object() else { return };
    for (keyword, value) in fields {
        found.insert(keyword.clone());
        match keyword.as_str() {
            "properties" => {
                value.as_object().unwrap().values().for_each(|property| keywords(property, found));
            }
            "items" | "additionalProperties" => keywords(value, found),
            "oneOf" => value.as_array().unwrap().iter().for_each(|branch| keywords(branch, found)),
            _ => {}
        }
    }
}

#[test]
fn the_loader_knows_every_keyword_of_the_schemas() {
    let mut found = BTreeSet::new();
    for rules in RULES.values() {
        keywords(&rules.schema, &mut found);
        assert!(!rules.cel.has_errors());
    }
    let known: BTreeSet<String> = schema::KNOWN_KEYWORDS.iter().map(ToString::to_string).collect();
    assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// What the API server's limits on the cost of rules would say, as far as it can be told without one.
fn cost_warnings(schema: &Value, found: &mut Vec<String>) {
    let compiled = compile_schema(schema);
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let rule = rule["rule"].as_str().unwrap();
        let warnings = kube::core::cel::estimate_rule_cost(rule, &compiled);
        found.extend(warnings.iter().map(|warning| format!("{rule}: {warning:?}")));
    }
    for inner in schema["properties"].as_object().into_iter().flat_map(Map::values) {
        cost_warnings(inner, found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            cost_warnings(&schema[inner], found);
        }
    }
}

#[test]
fn rules_walk_only_what_is_bounded() {
    let mut found = Vec::new();
    RULES.values().for_each(|rules| cost_warnings(&rules.schema, &mut found));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_pattern_of_the_schemas_compiles() {
    fn patterns(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("pattern").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| patterns(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| patterns(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    RULES.values().for_each(|rules| patterns(&rules.schema, &mut found));
    assert!(found.len() > 20);
    for pattern in found {
        assert!(regex::Regex::new(&pattern).is_ok(), "{pattern}");
    }
}

#[test]
fn uids_from_files_are_stable() {
    // Computed with Python: uuid5(uuid5(NAMESPACE_DNS, "tradewind.dev"), "TradingStrategy/default/trend").
    let expected = Uuid::parse_str("31629fa1-dc92-589e-b9ce-9eb0fd3eebe1").unwrap();
    assert_eq!(uid(Kind::TradingStrategy, &Key::new("default", "trend")), expected);
}

const ACCOUNT: &str = "\
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata:
  name: paper
  uid: from-some-cluster
  resourceVersion: '7'
spec:
  venue: {paper: {quoteCurrency: USD, balances: [{asset: USD, amount: '1'}]}}
  marketData: {replay: {dataSet: x}}
  riskPolicyRef: {name: desk}
status: {whatever: true}
";

#[test]
fn objects_from_files_get_namespace_uid_generation_and_defaults() {
    let loaded = texts([("a.yaml", ACCOUNT)]);
    assert_eq!(loaded.problems, Problems::default());
    let account = &loaded.objects.accounts[0];
    assert_eq!(account.metadata.namespace.as_deref(), Some("default"));
    assert_eq!(account.metadata.generation, Some(0));
    assert_eq!(account.metadata.resource_version, None);
    let key = Key::new("default", "paper");
    assert_eq!(uid_of(account), Some(Uid(uid(Kind::ExchangeAccount, &key))));
    assert_eq!(account.status, None, "a status in a file is not read");
    let Venue::Paper(paper) = &account.spec.venue else { panic!("a desk on paper") };
    assert_eq!((paper.slippage_bps.0, paper.volume_share_percent.0), (2.0, 10.0));
    assert_eq!(paper.latency, GoDuration::from("150ms"));
    assert_eq!(paper.fees, Fees::default());
    assert_eq!(paper.fees.paid_in, PaidIn::default());
    let crate::exchange_account::MarketData::Replay(replay) = &account.spec.market_data else {
        panic!("a replay")
    };
    assert_eq!(replay.speed, Speed::default());
    let source = &loaded.objects.sources[&ObjectId::new(Kind::ExchangeAccount, key)];
    assert_eq!(source.lines["spec.marketData"], 9);
    assert_eq!(source.locate("spec.riskPolicyRef.name").unwrap().line, 10);
    assert_eq!(source.locate("spec.worker.resources").unwrap().line, 7, "the nearest field around it");
}

#[test]
fn a_null_field_is_a_field_left_out() {
    let text =
        ACCOUNT.replace("riskPolicyRef: {name: desk}", "riskPolicyRef: {name: desk}\n  allowLive: null");
    assert_eq!(texts([("a.yaml", text.as_str())]).problems, Problems::default());
    let text = ACCOUNT.replace("{name: desk}", "null");
    let problems = texts([("a.yaml", text.as_str())]).problems;
    assert_eq!(
        problems.to_string(),
        "a.yaml:8: ExchangeAccount default/paper: spec.riskPolicyRef: is required; add it"
    );
}

#[test]
fn one_document_in_error_does_not_hide_the_next() {
    let text = format!("kind: Nonsense\n---\n{ACCOUNT}---\n[1, 2]\n");
    let loaded = texts([("a.yaml", text.as_str())]);
    assert_eq!(loaded.objects.accounts.len(), 1);
    let lines: Vec<u64> = loaded.problems.iter().map(|p| p.location.as_ref().unwrap().line).collect();
    assert_eq!(lines, [1, 1, 15], "{}", loaded.problems);
}

#[test]
fn words_that_only_old_yaml_takes_for_booleans_are_refused() {
    let text = ACCOUNT.replace("{name: desk}", "{name: desk}\n  allowLive: yes");
    let problems = texts([("a.yaml", text.as_str())]).problems;
    assert_eq!(
        problems.to_string(),
        "a.yaml:11: ExchangeAccount default/paper: spec.allowLive (yes): must be true or false; write true or false without quotes"
    );
}
