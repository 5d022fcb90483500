use std::collections::BTreeMap;

use serde_json::json;
use tradewind_core::config::{DesiredState, InstrumentState, ResolvedStrategy, StrategyInstrument};
use tradewind_core::time::Millis;
use tradewind_crds::published::{PublishedAccount, PublishedStrategy, digest};

use super::*;

fn uid(number: u128) -> Uid {
    Uid(uuid::Uuid::from_u128(number))
}

/// A strategy of hourly bars on that symbol.
pub(crate) fn strategy(number: u128, name: &str, symbol: &str) -> ResolvedStrategy {
    serde_json::from_value(json!({
        "uid": uid(number), "namespace": "desk", "name": name, "generation": 3, "desiredState": "Trading",
        "mode": "Paper", "capital": "5000", "instruments": [], "bar": 3_600_000,
        "signal": {"emaCross": {"fast": 1, "slow": 2}},
        "sizing": {"fixedPercent": {"percent": 50_000}}, "stopLoss": null, "policy": null,
        "limits": tradewind_core::limits::Limits::defaults(), "breakers": [],
        "deletionPolicy": "CancelEntries",
    }))
    .map(|strategy: ResolvedStrategy| ResolvedStrategy {
        instruments: vec![StrategyInstrument {
            symbol: symbol.parse().unwrap(),
            state: InstrumentState::Active,
        }],
        ..strategy
    })
    .unwrap()
}

pub(crate) fn account() -> ResolvedAccount {
    serde_json::from_value(json!({
        "uid": uid(100), "namespace": "desk", "name": "paper", "quoteCurrency": "USD",
        "venue": {"paper": {
            "balances": [["USD", "10000"]],
            "fees": {"maker": 0, "taker": 0, "paidIn": "quote"},
            "slippage": 0, "latency": 0, "volumeShare": 1_000_000,
        }},
        "marketData": {"replay": {"data_set": "candles", "speed": "max"}},
        "policy": "desk", "limits": tradewind_core::limits::AccountLimits::defaults(), "breakers": [],
    }))
    .unwrap()
}

pub(crate) fn published(strategies: Vec<ResolvedStrategy>) -> Published {
    let entry = |(order, strategy): (usize, ResolvedStrategy)| {
        let order = u32::try_from(order).unwrap();
        (strategy.name.to_string(), PublishedStrategy { hash: digest(&strategy), strategy, order })
    };
    Published {
        account: PublishedAccount {
            generation: 4,
            hash: digest(&account()),
            operator_namespace: "tradewind".into(),
            account: account(),
        },
        strategies: strategies.into_iter().enumerate().map(entry).collect(),
    }
}

pub(crate) fn catalog() -> Catalog {
    let symbols = ["BTC-USD", "ETH-USD"].map(|symbol| symbol.parse().unwrap()).to_vec();
    Catalog { data_set: "candles".into(), bar: Millis(3_600_000), symbols }
}

fn composed(published: &Published, standing: Standing, before: Option<&Composed>) -> Composed {
    compose(
        published,
        &Circumstances {
            running: &account(),
            catalog: &catalog(),
            standing: &|_, _| standing,
            quarantined: &|_, _| false,
            broken: &BTreeMap::new(),
            before,
        },
    )
}

fn state_of(composed: &Composed) -> DesiredState {
    composed.config.strategies[0].desired_state
}

#[test]
fn strategies_run_in_the_order_of_their_grants_and_are_acknowledged_by_their_digest() {
    let two = published(vec![strategy(1, "zeta", "BTC-USD"), strategy(2, "alpha", "ETH-USD")]);
    let composed = composed(&two, Standing::Live, None);
    let names: Vec<_> = composed.config.strategies.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["zeta", "alpha"]);
    assert_eq!(composed.entries["alpha"].hash, two.strategies["alpha"].hash);
    assert_eq!((composed.entries["alpha"].generation, composed.account.0), (3, 4));
}

#[test]
fn a_strategy_whose_object_is_not_seen_or_is_being_deleted_makes_no_entries() {
    let one = published(vec![strategy(1, "trend", "BTC-USD")]);
    assert_eq!(state_of(&composed(&one, Standing::Live, None)), DesiredState::Trading);
    assert_eq!(state_of(&composed(&one, Standing::Deleting, None)), DesiredState::ExitOnly);
    assert_eq!(state_of(&composed(&one, Standing::Unseen, None)), DesiredState::ReferenceMissing);
    let mut stopped = strategy(1, "trend", "BTC-USD");
    stopped.desired_state = DesiredState::Stopped;
    let stopped = published(vec![stopped]);
    for standing in [Standing::Deleting, Standing::Unseen] {
        assert_eq!(state_of(&composed(&stopped, standing, None)), DesiredState::Stopped, "no looser");
    }
}

#[test]
fn what_the_market_data_lack_stops_that_strategy_alone_and_is_told() {
    let mut long = strategy(2, "odd-bar", "BTC-USD");
    long.bar = Millis(5_400_000);
    let all = vec![strategy(1, "doge", "DOGE-USD"), long, strategy(3, "trend", "BTC-USD")];
    let composed = composed(&published(all), Standing::Live, None);
    let states: Vec<_> = composed.config.strategies.iter().map(|s| s.desired_state).collect();
    assert_eq!(states, [DesiredState::Stopped, DesiredState::Stopped, DesiredState::Trading]);
    assert!(composed.config.strategies[0].instruments.is_empty());
    let why = |name: &str| composed.entries[name].unavailable.clone();
    assert_eq!(
        why("doge").as_deref(),
        Some("data set candles has no DOGE-USD; use some of BTC-USD, ETH-USD")
    );
    assert!(why("odd-bar").unwrap().contains("bars of 60 min"));
    assert_eq!(why("trend"), None);
}

#[test]
fn a_quarantined_strategy_is_not_evaluated_until_its_entry_changes() {
    let one = published(vec![strategy(1, "trend", "BTC-USD")]);
    let hash = one.strategies["trend"].hash.clone();
    let with = |published: &Published| {
        compose(
            published,
            &Circumstances {
                running: &account(),
                catalog: &catalog(),
                standing: &|_, _| Standing::Live,
                quarantined: &|strategy, entry| strategy == uid(1) && entry == hash,
                broken: &BTreeMap::new(),
                before: None,
            },
        )
    };
    assert_eq!(state_of(&with(&one)), DesiredState::Quarantined);
    let mut edited = strategy(1, "trend", "BTC-USD");
    edited.generation = 4;
    assert_eq!(state_of(&with(&published(vec![edited]))), DesiredState::Trading);
}

#[test]
fn an_entry_nobody_can_read_leaves_what_ran_without_entries_and_the_others_alone() {
    let both = published(vec![strategy(1, "trend", "BTC-USD"), strategy(2, "swing", "ETH-USD")]);
    let before = composed(&both, Standing::Live, None);
    let mut data = both.to_data();
    data.insert("strategy.trend.json".into(), "{".into());
    let Reading::Known(now, broken) = read(&data) else { panic!("the rest can be read") };
    assert_eq!(broken.keys().collect::<Vec<_>>(), ["trend"]);
    let after = compose(
        &now,
        &Circumstances {
            running: &account(),
            catalog: &catalog(),
            standing: &|_, _| Standing::Live,
            quarantined: &|_, _| false,
            broken: &broken,
            before: Some(&before),
        },
    );
    let states: BTreeMap<_, _> =
        after.config.strategies.iter().map(|s| (s.name.as_str(), s.desired_state)).collect();
    assert_eq!(states["trend"], DesiredState::ReferenceMissing);
    assert_eq!(states["swing"], DesiredState::Trading);
}

#[test]
fn an_entry_that_vanishes_is_no_deletion_while_the_strategy_is_there() {
    let both = published(vec![strategy(1, "trend", "BTC-USD"), strategy(2, "swing", "ETH-USD")]);
    let before = composed(&both, Standing::Live, None);
    let one = published(vec![strategy(2, "swing", "ETH-USD")]);
    let after = composed(&one, Standing::Live, Some(&before));
    let states: BTreeMap<_, _> =
        after.config.strategies.iter().map(|s| (s.name.as_str(), s.desired_state)).collect();
    assert_eq!(states["trend"], DesiredState::ReferenceMissing, "kept, without entries");
    assert_eq!(states["swing"], DesiredState::Trading);
    assert_eq!(after.entries["trend"], before.entries["trend"]);
    assert_eq!(composed(&one, Standing::Live, Some(&after)), after, "for as long as it takes");
    assert_eq!(composed(&both, Standing::Live, Some(&after)), before, "and back when the entry is");
    // Deleted, gone, or another of that name: it is taken out, and its deletionPolicy carried out.
    for standing in [Standing::Deleting, Standing::Unseen] {
        assert_eq!(composed(&one, standing, Some(&before)).config.strategies.len(), 1);
    }
    let anew = published(vec![strategy(9, "trend", "BTC-USD"), strategy(2, "swing", "ETH-USD")]);
    let uids: Vec<_> =
        composed(&anew, Standing::Live, Some(&before)).config.strategies.iter().map(|s| s.uid).collect();
    assert_eq!(uids, [uid(9), uid(2)]);
}

#[test]
fn venue_and_market_data_stay_those_of_the_start() {
    let mut changed = published(vec![]);
    changed.account.account.policy = "other".into();
    let tradewind_core::config::MarketDataConfig::Replay { data_set, .. } =
        &mut changed.account.account.market_data
    else {
        panic!("an account on a data set");
    };
    *data_set = "elsewhere".into();
    let composed = composed(&changed, Standing::Live, None);
    assert_eq!(composed.config.account.policy, "other");
    assert_eq!(composed.config.account.market_data, account().market_data);
}

#[test]
fn another_format_is_told_from_nonsense() {
    let mut data = published(vec![]).to_data();
    data.insert("format".into(), "2".into());
    assert!(matches!(read(&data), Reading::UnknownFormat(text) if text.contains("\"2\"")));
    let mut data = published(vec![]).to_data();
    data.remove("account.json");
    assert!(matches!(read(&data), Reading::Unusable(_)));
}

#[test]
fn a_mounted_config_map_is_read_without_the_kubelets_own_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("..2026_01_01")).unwrap();
    std::fs::write(dir.path().join("..data"), "x").unwrap();
    for (key, text) in published(vec![strategy(1, "trend", "BTC-USD")]).to_data() {
        std::fs::write(dir.path().join(key), text).unwrap();
    }
    let Reading::Known(read, broken) = read(&read_dir(dir.path()).unwrap()) else { panic!("not read") };
    assert_eq!(*read, published(vec![strategy(1, "trend", "BTC-USD")]));
    assert!(broken.is_empty());
    let missing = read_dir(&dir.path().join("nowhere")).unwrap_err();
    assert!(missing.to_string().contains("mount the account's ConfigMap"), "{missing}");
}
