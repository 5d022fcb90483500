use serde_json::json;
use tradewind_crds::objects::{Kind, ObjectId};

use super::*;
use crate::plan::fixtures::{OPERATOR, account, applied, halt, latch, objects, strategy, uid};

fn names(sources: &Sources) -> Vec<&str> {
    sources.0.iter().map(|source| source.listed.name.as_str()).collect()
}

fn of(strategy: &TradingStrategy, halts: Vec<TradingHalt>) -> Sources {
    Sources::of_strategy(&objects(vec![strategy.clone()], halts), strategy)
}

#[test]
fn targets_reach_whom_they_name() {
    let mut btc = strategy("btc");
    btc.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let elsewhere = |name: &str, target, namespace: &str| {
        let mut made = halt(name, &target);
        made.metadata.namespace = Some(namespace.to_owned());
        made
    };
    let halts = vec![
        halt("own", &json!({"strategy": {"name": "btc"}})),
        halt("others", &json!({"strategy": {"name": "eth"}})),
        halt("team", &json!({"selector": {"matchLabels": {"team": "a"}}})),
        halt("both-labels", &json!({"selector": {"matchLabels": {"team": "a", "tier": "1"}}})),
        halt("account", &json!({"account": {"name": "paper"}})),
        halt("account-2", &json!({"account": {"name": "other"}})),
        halt("all-here", &json!({"namespace": {}})),
        halt("cluster-from-here", &json!({"cluster": {}})),
        elsewhere("neighbour", json!({"namespace": {}}), "desk-2"),
        elsewhere("neighbour-cluster", json!({"cluster": {}}), "desk-2"),
        elsewhere("everything", json!({"cluster": {}}), OPERATOR),
        elsewhere("system", json!({"namespace": {}}), OPERATOR),
    ];
    let reached = of(&btc, halts.clone());
    assert_eq!(
        names(&reached),
        ["own", "team", "account", "all-here", "cluster-from-here", "tradewind-system/everything"]
    );
    let whole = Sources::of_account(&objects(vec![], halts), &account());
    assert_eq!(names(&whole), ["account", "all-here", "cluster-from-here", "tradewind-system/everything"]);
}

#[test]
fn each_halt_has_the_one_command_that_resumes_it() {
    let mut everything = halt("stop-all", &json!({"cluster": {}}));
    everything.metadata.namespace = Some(OPERATOR.to_owned());
    let sources = of(&strategy("btc"), vec![latch("btc"), everything]);
    let commands: Vec<_> = sources.0.iter().map(|source| source.listed.resume_command.clone()).collect();
    let uid = uid("strategy.btc.latched");
    assert_eq!(
        commands[0],
        format!(
            r#"kubectl patch strat btc -n desk --type=merge -p '{{"spec":{{"halted":null,"resume":{{"haltID":"{uid}"}}}}}}'"#
        )
    );
    assert_eq!(commands[1], "kubectl delete thalt stop-all -n tradewind-system");
    let message = sources.message();
    assert_eq!(
        message,
        format!(
            "halted by strategy.btc.latched (kubectl-patch: incident); resume with: {}; and by \
             tradewind-system/stop-all (alice: incident); resume with: {}",
            commands[0], commands[1]
        )
    );
    let status = sources.status();
    assert_eq!(
        status.by.as_deref(),
        Some("strategy.btc.latched (kubectl-patch), tradewind-system/stop-all (alice)")
    );
}

#[test]
fn the_field_halts_before_it_is_latched_and_is_not_listed_twice_after() {
    let mut btc = strategy("btc");
    btc.spec.halted = Some(true);
    assert_eq!(names(&of(&btc, vec![])), [SPEC_HALTED]);
    assert!(of(&btc, vec![]).message().contains("not latched yet"));
    assert_eq!(names(&of(&btc, vec![latch("btc")])), ["strategy.btc.latched"]);
    let mut weaker = latch("btc");
    weaker.spec.instruments = vec!["BTC-USD".into()];
    assert_eq!(names(&of(&btc, vec![weaker])), ["strategy.btc.latched", SPEC_HALTED], "no stand-in");
    btc.spec.halted = Some(false);
    assert!(!of(&btc, vec![]).any());
    assert_eq!(names(&of(&btc, vec![latch("btc")])), ["strategy.btc.latched"], "a revert resumes nothing");
}

#[test]
fn a_halt_sticks_to_what_it_once_matched() {
    let team = halt("team", &json!({"selector": {"matchLabels": {"team": "a"}}}));
    let mut btc = strategy("btc");
    btc.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let listed = of(&btc, vec![team.clone()]).status();
    btc.metadata.labels = None;
    assert!(!of(&btc, vec![team.clone()]).any(), "it was never matched");
    btc.status.get_or_insert_default().halt = Some(listed);
    assert_eq!(names(&of(&btc, vec![team.clone()])), ["team"], "it was listed");
    assert!(!of(&btc, vec![]).any(), "the object is gone");

    let mut restored = strategy("btc");
    applied(&mut restored, "hash", &["team"]);
    assert_eq!(names(&of(&restored, vec![team])), ["team"], "the worker has it in force");
}

#[test]
fn a_halt_of_some_instruments_is_listed_where_it_matters_and_covers_what_it_says() {
    let mut limited = halt("eth", &json!({"namespace": {}}));
    limited.spec.instruments = vec!["ETH-USD".into()];
    let btc = strategy("btc");
    assert!(!of(&btc, vec![limited.clone()]).any(), "the strategy does not trade it");
    let mut both = strategy("both");
    both.spec.instruments.push(serde_json::from_value(json!({"symbol": "ETH-USD"})).unwrap());
    let sources = of(&both, vec![limited.clone()]);
    assert!(sources.any() && !sources.cover(&both));
    assert!(sources.message().contains("only ETH-USD"), "{}", sources.message());
    let mut rest = halt("btc", &json!({"namespace": {}}));
    rest.spec.instruments = vec!["BTC-USD".into()];
    assert!(of(&both, vec![limited, rest]).cover(&both));
    assert!(!of(&both, vec![]).cover(&both));
}

#[test]
fn the_severest_action_holds_and_the_gravest_origin_is_the_reason() {
    let mut mild = halt("mild", &json!({"namespace": {}}));
    mild.spec.action = HaltAction::StopEntries;
    let mut hard = halt("hard", &json!({"namespace": {}}));
    hard.spec.action = HaltAction::Liquidate;
    let btc = strategy("btc");
    let action = |halts| of(&btc, halts).status().action;
    assert_eq!(action(vec![hard, mild.clone()]), Some(HaltAction::Liquidate));
    assert_eq!(action(vec![mild.clone()]), Some(HaltAction::StopEntries));
    assert_eq!(action(vec![]), None);
    let breaker = halt("strategy.btc.daily", &json!({"strategy": {"name": "btc"}}));
    let unknown = halt("account.paper.ledger-unknown", &json!({"account": {"name": "paper"}}));
    let differ = halt("account.paper.balances-differ", &json!({"account": {"name": "paper"}}));
    let reason = |halts| of(&btc, halts).reason();
    assert_eq!(reason(vec![breaker.clone(), differ.clone()]), Reason::BalancesDiffer);
    assert_eq!(reason(vec![differ, unknown.clone()]), Reason::LedgerUnknown);
    assert_eq!(reason(vec![mild.clone()]), Reason::Halted);
    assert_eq!(reason(vec![mild.clone(), breaker.clone()]), Reason::BreakerTripped);
    assert_eq!(reason(vec![mild, breaker, unknown]), Reason::LedgerUnknown);
    assert_eq!(reason(vec![]), Reason::NotHalted);
}

#[test]
fn a_halt_that_cannot_be_read_halts_its_namespace_and_in_the_operators_everything() {
    let btc = strategy("btc");
    for (namespace, expected) in
        [("desk", vec!["odd"]), ("desk-2", vec![]), (OPERATOR, vec!["tradewind-system/odd"])]
    {
        let mut objects = objects(vec![btc.clone()], vec![]);
        objects.unreadable.insert(ObjectId::new(Kind::TradingHalt, Key::new(namespace, "odd")));
        let sources = Sources::of_strategy(&objects, &btc);
        assert_eq!(names(&sources), expected, "{namespace}");
        if sources.any() {
            let command = format!("kubectl delete thalt odd -n {namespace}");
            assert!(sources.message().contains(&command), "{}", sources.message());
        }
    }
}

#[test]
fn many_halts_are_all_counted_and_only_some_are_told() {
    let halts = (0..70).map(|n| halt(&format!("h{n}"), &json!({"namespace": {}}))).collect();
    let sources = of(&strategy("btc"), halts);
    let status = sources.status();
    assert_eq!(status.sources.len(), 64);
    assert!(status.by.is_some_and(|by| by.len() <= 512));
    assert!(sources.message().contains("and by 62 more"), "{}", sources.message());
}
