//! What people write, turned into what the engine runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{ACCOUNT, HALT, POLICY, STRATEGY, patched};
use serde_json::{Value, json};
use tradewind_core::config::{
    DeletionPolicy, DesiredState, FeeAsset, MarketDataConfig, Mode, Protection, SignalConfig, SizingConfig,
    Speed, VenueConfig,
};
use tradewind_core::halt::{HaltAction, HaltOrigin, HaltScope};
use tradewind_core::limits::BreakerScope;
use tradewind_core::money::{BasisPoints, Cash, Percent};
use tradewind_core::name::Uid;
use tradewind_core::time::Millis;
use tradewind_crds::objects::{Key, Kind, ObjectId, Objects};
use tradewind_crds::resolve::{Resolution, local_grants, resolve};

fn key() -> Key {
    Key::new("default", "paper")
}

/// Objects of these kinds and patches, with names and uids.
fn objects(list: &[(&str, &str, Value)]) -> Objects {
    let mut objects = Objects::default();
    for (number, (kind, name, patch)) in list.iter().enumerate() {
        let mut object = patched(kind, patch);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(uid(number).to_string());
        match *kind {
            STRATEGY => objects.strategies.push(serde_json::from_value(object).unwrap()),
            ACCOUNT => objects.accounts.push(serde_json::from_value(object).unwrap()),
            POLICY => objects.policies.push(serde_json::from_value(object).unwrap()),
            _ => objects.halts.push(serde_json::from_value(object).unwrap()),
        }
    }
    objects
}

fn uid(number: usize) -> Uid {
    Uid(uuid::Uuid::from_u128(number as u128))
}

/// A desk with one strategy: policy 0, account 1, strategy 2; then what else is given.
fn desk(policy: Value, strategy: Value, more: &[(&'static str, &'static str, Value)]) -> Objects {
    let mut list = vec![(POLICY, "desk", policy), (ACCOUNT, "paper", json!({})), (STRATEGY, "btc", strategy)];
    list.extend(more.iter().cloned());
    objects(&list)
}

fn run(objects: &Objects) -> Resolution {
    resolve(objects, &key(), &local_grants(objects, &key(), None, None), None)
}

fn cash(text: &str) -> Cash {
    Cash::parse(text).unwrap()
}

#[test]
fn an_account_is_resolved_exactly() {
    let account = json!({"spec": {"venue": {"paper": {"balances": [{"asset": "USD", "amount": "10000.01"}, {"asset": "BNB", "amount": "2"}],
        "fees": {"makerBps": 0.1, "takerBps": 12.3456, "paidIn": {"quote": null, "other": {"asset": "BNB", "price": "300.5"}}}}},
        "marketData": {"replay": {"speed": {"max": null, "times": {"factor": 600}}}}}});
    let objects = objects(&[
        (POLICY, "desk", json!({"spec": {"account": {"maxExposurePercent": 60.5}}})),
        (ACCOUNT, "paper", account),
    ]);
    let account = run(&objects).account.unwrap();
    assert_eq!(
        (account.uid, account.namespace.as_str(), account.name.as_str()),
        (uid(1), "default", "paper")
    );
    assert_eq!((account.policy.as_str(), account.limits.max_exposure), ("desk", Percent(605_000)));
    assert_eq!(
        account.market_data,
        MarketDataConfig::Replay { data_set: "coinbase-1h".into(), speed: Speed::Times(600) }
    );
    let VenueConfig::Paper(paper) = account.venue else { panic!("a desk on paper") };
    assert_eq!(
        paper.balances,
        [("USD".parse().unwrap(), cash("10000.01")), ("BNB".parse().unwrap(), cash("2"))]
    );
    assert_eq!((paper.fees.maker, paper.fees.taker), (BasisPoints(1_000), BasisPoints(123_456)));
    assert_eq!(paper.fees.paid_in, FeeAsset::Other { asset: "BNB".parse().unwrap(), price: cash("300.5") });
    assert_eq!(
        (paper.slippage, paper.latency, paper.volume_share),
        (BasisPoints(20_000), Millis(150), Percent(100_000))
    );
}

#[test]
fn a_strategy_is_resolved_exactly() {
    let strategy = json!({"metadata": {"generation": 7}, "spec": {"desiredState": "ExitOnly", "deletionPolicy": "Liquidate",
        "signal": {"source": {"emaCross": null, "rsiReversion": {"period": 14, "oversold": 30.5, "overbought": 70.0}}},
        "sizing": {"fixedPercent": null, "fixedQuantity": {"quantities": [{"symbol": "BTC-USD", "quantity": "0.015"}]}},
        "decision": {"bar": "1h30m"}}});
    let resolution = run(&desk(json!({}), strategy, &[]));
    let strategy = resolution.strategies[&uid(2)].as_ref().unwrap();
    assert_eq!((strategy.uid, strategy.name.as_str(), strategy.generation), (uid(2), "btc", 7));
    assert_eq!(
        (strategy.desired_state, strategy.mode, strategy.deletion_policy),
        (DesiredState::ExitOnly, Mode::Paper, DeletionPolicy::Liquidate)
    );
    assert_eq!((strategy.capital, strategy.bar), (cash("5000"), Millis(5_400_000)));
    assert_eq!(
        strategy.signal,
        SignalConfig::RsiReversion { period: 14, oversold: Percent(305_000), overbought: Percent(700_000) }
    );
    assert_eq!(
        strategy.sizing,
        SizingConfig::FixedQuantity { quantities: vec![("BTC-USD".parse().unwrap(), cash("0.015"))] }
    );
    assert_eq!((strategy.stop_loss, &strategy.policy), (Some(Percent(50_000)), &None));
    assert_eq!(resolution.runnable().len(), 1);
}

#[test]
fn a_silent_account_policy_has_the_published_defaults() {
    let resolution = run(&desk(json!({"spec": {"strategy": null, "breakers": null}}), json!({}), &[]));
    let strategy = resolution.strategies[&uid(2)].as_ref().unwrap();
    let limits = &strategy.limits;
    assert_eq!((limits.min_notional, limits.min_confidence), (cash("25"), Percent(650_000)));
    assert_eq!(
        (limits.flatten_unprotected_after, strategy.protection),
        (Millis(10_000), Protection::AtVenue)
    );
    assert_eq!((limits.max_position, limits.max_exposure), (Percent(50_000), Percent(800_000)));
    assert_eq!(
        (limits.max_open_positions, limits.cooldown, limits.max_trades_per_instrument_per_day),
        (10, Millis(3_600_000), 4)
    );
    let breaker = &strategy.breakers[0];
    assert_eq!(
        (breaker.name.as_str(), breaker.scope, breaker.action),
        ("drawdown", BreakerScope::Strategy, HaltAction::CancelEntries)
    );
    assert_eq!((breaker.drawdown, breaker.confirm_for), (Percent(150_000), Millis(10_000)));
    let account = resolution.account.unwrap();
    assert_eq!((account.limits.max_exposure, account.breakers.len()), (Percent(800_000), 0));
}

#[test]
fn a_strategys_policy_only_tightens_and_adds_nothing_where_it_is_silent() {
    let breaker = |name: &str, scope: &str, percent: f64| {
        json!({"name": name, "scope": scope, "action": "Liquidate",
        "trip": {"drawdown": {"percent": percent}}})
    };
    let own = json!({"spec": {"strategy": {"minConfidencePercent": 50.0, "maxPositionPercent": 2.5, "maxExposurePercent": null, "cooldown": "2h"},
        "account": {"maxExposurePercent": 1.0},
        "breakers": [breaker("drawdown", "Strategy", 20.0), breaker("own", "Strategy", 5.0), breaker("wide", "Account", 5.0)]}});
    let desk_policy = json!({"spec": {"breakers": [breaker("drawdown", "Strategy", 10.0), breaker("all", "Account", 30.0)]}});
    let resolution =
        run(&desk(desk_policy, json!({"spec": {"riskPolicyRef": {"name": "own"}}}), &[(POLICY, "own", own)]));
    let strategy = resolution.strategies[&uid(2)].as_ref().unwrap();
    assert_eq!(strategy.policy.as_deref(), Some("own"));
    assert_eq!(strategy.limits.min_confidence, Percent(650_000), "a lower minimum loosens and is ignored");
    assert_eq!(
        (strategy.limits.max_position, strategy.limits.cooldown),
        (Percent(25_000), Millis(7_200_000))
    );
    assert_eq!(strategy.limits.max_exposure, Percent(800_000));
    let breakers: Vec<_> =
        strategy.breakers.iter().map(|b| (b.name.as_str(), b.drawdown, b.confirm_for)).collect();
    assert_eq!(
        breakers,
        [("drawdown", Percent(100_000), Millis(10_000)), ("own", Percent(50_000), Millis(10_000))]
    );
    let account = resolution.account.unwrap();
    assert_eq!(
        account.breakers.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(),
        ["all"],
        "only the account's own"
    );
    assert_eq!(
        account.limits.max_exposure,
        Percent(800_000),
        "a strategy's policy does not speak for the account"
    );
}

#[test]
fn one_strategys_problem_never_touches_anothers() {
    let eth = json!({"spec": {"instruments": [{"symbol": "ETH-USD", "state": "Active"}], "riskPolicyRef": {"name": "gone"}}});
    let sol = json!({"spec": {"instruments": [{"symbol": "SOL-USD", "state": "Active"}]}});
    let resolution = run(&desk(json!({}), json!({}), &[(STRATEGY, "eth", eth), (STRATEGY, "sol", sol)]));
    assert!(resolution.account.is_ok());
    assert_eq!(resolution.strategies[&uid(3)].as_ref().unwrap_err().len(), 1);
    // 5000 + 5000 are the whole: the invalid one in between took nothing.
    assert_eq!(resolution.runnable().iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["btc", "sol"]);
}

#[test]
fn without_a_grant_nothing_runs() {
    let objects = desk(json!({}), json!({}), &[]);
    let resolution = resolve(&objects, &key(), &tradewind_crds::grants::Grants::default(), None);
    assert_eq!(
        resolution.strategies[&uid(2)].as_ref().unwrap_err().to_string(),
        "TradingStrategy default/btc: spec.capital.amount (5000): account paper has not granted this capital and these assets yet; wait until it has, or lower the capital"
    );
}

#[test]
fn a_missing_account_and_a_missing_policy_are_named() {
    let mut objects = desk(json!({}), json!({}), &[]);
    objects.policies.clear();
    assert_eq!(
        run(&objects).account.unwrap_err().to_string(),
        "ExchangeAccount default/paper: spec.riskPolicyRef.name (desk): there is no RiskPolicy default/desk; create it or name one that exists"
    );
    objects.accounts.clear();
    let resolution = run(&objects);
    assert_eq!(
        resolution.account.unwrap_err().to_string(),
        "ExchangeAccount default/paper: there is no such account; create it"
    );
    assert_eq!(resolution.strategies.len(), 1);
}

/// Names, scopes and origins of the halts of a desk with strategies `btc` (2) and `eth` (3).
fn halts(
    more: &[(&'static str, &'static str, Value)],
    strategy: Value,
) -> Vec<(String, HaltScope, HaltOrigin)> {
    let eth = json!({"metadata": {"labels": {"risk": "high"}}, "spec": {"instruments": [{"symbol": "ETH-USD", "state": "Active"}]}});
    let mut list = vec![(STRATEGY, "eth", eth)];
    list.extend(more.iter().cloned());
    let halts = run(&desk(json!({}), strategy, &list)).halts;
    halts.into_iter().map(|halt| (halt.name.to_string(), halt.scope, halt.origin)).collect()
}

fn target(target: &Value) -> Value {
    let mut spec = json!({"spec": {"target": {"strategy": null}}});
    common::merge(&mut spec["spec"]["target"], target);
    spec
}

#[test]
fn each_target_reaches_whom_it_names() {
    let one = |halt: Value| halts(&[(HALT, "stop", halt)], json!({}));
    let reaches = |scope: HaltScope| vec![("stop".to_owned(), scope, HaltOrigin::Manual)];
    assert_eq!(
        one(target(&json!({"strategy": {"name": "eth"}}))),
        reaches(HaltScope::Strategies(vec![uid(3)]))
    );
    assert_eq!(
        one(target(&json!({"selector": {"matchLabels": {"risk": "high"}}}))),
        reaches(HaltScope::Strategies(vec![uid(3)]))
    );
    assert_eq!(one(target(&json!({"selector": {"matchLabels": {"risk": "low"}}}))), []);
    assert_eq!(one(target(&json!({"account": {"name": "paper"}}))), reaches(HaltScope::Account));
    assert_eq!(one(target(&json!({"account": {"name": "other"}}))), []);
    assert_eq!(one(target(&json!({"namespace": {}}))), reaches(HaltScope::Account));
    assert_eq!(one(target(&json!({"cluster": {}}))), reaches(HaltScope::Account));
}

#[test]
fn a_cluster_halt_reaches_other_namespaces_only_from_the_operators() {
    let mut halt = target(&json!({"cluster": {}}));
    halt["metadata"] = json!({"namespace": "tradewind-system"});
    let mut objects = desk(json!({}), json!({}), &[(HALT, "stop", halt)]);
    objects.operator_namespace = Some("tradewind-system".into());
    let names = |objects: &Objects| run(objects).halts.iter().map(|h| h.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&objects), ["tradewind-system/stop"]);
    objects.operator_namespace = Some("elsewhere".into());
    assert_eq!(names(&objects), [""; 0]);
}

#[test]
fn the_name_tells_where_a_halt_comes_from_when_the_target_agrees() {
    let btc = json!({});
    let account = target(&json!({"account": {"name": "paper"}}));
    let found = halts(
        &[
            (HALT, "strategy.btc.latched", btc.clone()),
            (HALT, "strategy.btc.drawdown", btc.clone()),
            (HALT, "strategy.eth.drawdown", btc),
            (HALT, "account.paper.ledger-unknown", account.clone()),
            (HALT, "account.paper.drawdown", account),
        ],
        json!({}),
    );
    let origins: Vec<HaltOrigin> = found.into_iter().map(|(_, _, origin)| origin).collect();
    let breaker = || HaltOrigin::Breaker { breaker: "drawdown".into() };
    assert_eq!(
        origins,
        [HaltOrigin::Latched, breaker(), HaltOrigin::Manual, HaltOrigin::LedgerUnknown, breaker()]
    );
}

#[test]
fn halted_in_the_spec_is_a_halt_and_resume_clears_only_the_halt_it_names() {
    let halted = json!({"spec": {"halted": true}});
    assert_eq!(
        halts(&[], halted.clone()),
        [("strategy.btc.latched".to_owned(), HaltScope::Strategies(vec![uid(2)]), HaltOrigin::Latched)]
    );
    assert_eq!(
        halts(&[(HALT, "strategy.btc.latched", json!({}))], halted).len(),
        1,
        "latched once, not twice"
    );
    let weak = json!({"spec": {"instruments": ["ETH-USD"], "action": "StopEntries"}});
    let objects = desk(json!({}), json!({"spec": {"halted": true}}), &[(HALT, "strategy.btc.latched", weak)]);
    let held = &run(&objects).halts[0];
    assert!(held.instruments.is_empty(), "one that took its name does not weaken it");
    assert_eq!(held.action, HaltAction::CancelEntries);
    assert_eq!(halts(&[], json!({"spec": {"halted": false}})), []);
    // Halt 4 is that of btc, halt 5 that of eth.
    let both = [(HALT, "mine", json!({})), (HALT, "theirs", target(&json!({"strategy": {"name": "eth"}})))];
    let resume = |number: usize| json!({"spec": {"resume": {"haltID": uid(number).to_string()}}});
    let names = |strategy| halts(&both, strategy).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(names(resume(4)), ["theirs"]);
    assert_eq!(names(resume(5)), ["mine", "theirs"], "a halt of another strategy is not its to resume");
    assert_eq!(names(resume(9)), ["mine", "theirs"]);
}

#[test]
fn a_halt_that_cannot_be_read_halts_its_namespace() {
    let mut objects = desk(json!({}), json!({}), &[]);
    objects.unreadable.insert(ObjectId::new(Kind::TradingHalt, Key::new("default", "broken")));
    objects.unreadable.insert(ObjectId::new(Kind::TradingHalt, Key::new("elsewhere", "broken")));
    let halts = run(&objects).halts;
    assert_eq!(halts.len(), 1);
    assert_eq!((halts[0].name.as_str(), &halts[0].scope), ("broken", &HaltScope::Account));
}

#[test]
fn a_halt_with_an_unreadable_instrument_halts_all_of_them() {
    let halt = json!({"spec": {"instruments": ["BTC-USD", "BTC-BTC"]}});
    let resolution = run(&desk(json!({}), json!({}), &[(HALT, "stop", halt)]));
    assert!(resolution.halts[0].instruments.is_empty());
    assert_eq!(resolution.other_problems.len(), 1);
}

fn at_real_venue(allow_live: bool) -> Value {
    let mut account = common::cases::real(&json!({}));
    common::merge(&mut account, &json!({"spec": {"allowLive": allow_live}}));
    account
}

/// Problems of a strategy of that mode on that account, granted or not.
fn problems_on(account: Value, mode: &str) -> String {
    let strategy = json!({"spec": {"mode": mode}});
    let objects =
        objects(&[(POLICY, "desk", json!({})), (ACCOUNT, "paper", account), (STRATEGY, "btc", strategy)]);
    let grants = local_grants(&objects, &key(), None, Some(cash("5000")));
    resolve(&objects, &key(), &grants, None).problems().to_string()
}

#[test]
fn real_money_needs_both_its_keys_and_paper_money_a_paper_venue() {
    assert_eq!(problems_on(at_real_venue(true), "Live"), "");
    assert!(problems_on(at_real_venue(false), "Live").contains("does not allow live trading"));
    assert!(problems_on(at_real_venue(true), "Paper").contains("trades with real money"));
    assert!(problems_on(json!({}), "Live").contains("trades on paper and cannot trade live"));
}

#[test]
fn an_account_at_a_real_venue_is_resolved_exactly() {
    let object =
        common::cases::real(&json!({"endpoint": "http://simulator.desk.svc:8080/", "slippageBps": 12.5}));
    let objects = objects(&[(POLICY, "desk", json!({})), (ACCOUNT, "paper", object)]);
    let account = run(&objects).account.unwrap();
    assert_eq!(account.market_data, MarketDataConfig::Venue { bar: Millis(60_000) });
    let VenueConfig::BinanceUs(venue) = account.venue else { panic!("a real venue") };
    assert_eq!(
        (venue.endpoint.as_str(), venue.credentials.as_str()),
        ("http://simulator.desk.svc:8080", "binance-key")
    );
    assert_eq!(venue.slippage, BasisPoints(125_000));
    assert_eq!((venue.fees.maker, venue.fees.taker), (BasisPoints(400_000), BasisPoints(600_000)));
}

#[test]
fn at_a_real_venue_nothing_is_granted_before_its_money_is_known() {
    let objects = objects(&[
        (POLICY, "desk", json!({})),
        (ACCOUNT, "paper", at_real_venue(true)),
        (STRATEGY, "btc", json!({"spec": {"mode": "Live"}})),
    ]);
    let problems = |found| {
        let grants = local_grants(&objects, &key(), None, found);
        resolve(&objects, &key(), &grants, None).problems().to_string()
    };
    assert!(problems(None).contains("the money of account paper is not known yet"));
    assert!(problems(Some(cash("4999"))).contains("exceeds the 4999 still free"));
    assert_eq!(problems(Some(cash("5000"))), "");
}
