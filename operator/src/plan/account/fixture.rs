//! Objects for the tests of this folder.

use clap::Parser;
use jiff::Timestamp;
use serde_json::{Value, json};
use tradewind_crds::common::Applied;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names;
use tradewind_crds::objects::{Key, Kind, ObjectId, Objects};
use tradewind_crds::published::{Published, PublishedStrategy};
use tradewind_crds::trading_strategy::TradingStrategy;

use super::config::{Data, Input, MOST_BYTES, Publication, publish};
use super::{Observed, Plan, plan};
use crate::plan::children::ChildId;
use crate::settings::{Args, Settings};
use crate::stores::{Child, ChildKind, PodView};

pub(super) const ACCOUNT_UID: &str = "11111111-0000-4000-8000-000000000000";
pub(super) const NOW: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Read as the API server would hand them out.
fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, uid: &str, spec: &Value) -> K {
    let object = json!({
        "apiVersion": "tradewind.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "desk", "uid": uid, "generation": 1},
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

pub(super) fn settings(more: &[&str]) -> Settings {
    let mut args = vec!["operator", "--namespace", "tradewind-system", "--pod-name", "op-0"];
    if !more.contains(&"--worker-image") {
        args.extend(["--worker-image", "worker:1"]);
    }
    Settings::of(Args::parse_from(args.iter().chain(more))).unwrap()
}

pub(super) fn account() -> ExchangeAccount {
    let spec = json!({
        "venue": {"paper": {"quoteCurrency": "USD", "balances": [{"asset": "USD", "amount": "10000"}]}},
        "marketData": {"replay": {"dataSet": "coinbase-1h"}},
        "riskPolicyRef": {"name": "house"},
    });
    object("ExchangeAccount", "paper", ACCOUNT_UID, &spec)
}

pub(super) fn uid(number: u32) -> String {
    format!("22222222-0000-4000-8000-{number:012}")
}

/// A valid strategy that asks for 1000 and the base asset of that symbol.
pub(super) fn strategy(name: &str, number: u32, symbol: &str) -> TradingStrategy {
    let spec = json!({
        "exchangeAccountRef": {"name": "paper"},
        "capital": {"amount": "1000"},
        "instruments": [{"symbol": symbol}],
        "decision": {"bar": "1h"},
        "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
        "sizing": {"fixedPercent": {"percent": 5}},
    });
    object("TradingStrategy", name, &uid(number), &spec)
}

/// The account `paper`, its policy, and these strategies, oldest first.
pub(super) fn objects(strategies: &[TradingStrategy]) -> Objects {
    Objects {
        accounts: vec![account()],
        strategies: strategies.to_vec(),
        policies: vec![object("RiskPolicy", "house", "33333333-0000-4000-8000-000000000000", &json!({}))],
        operator_namespace: Some("tradewind-system".to_owned()),
        ..Objects::default()
    }
}

pub(super) fn halt(name: &str, target: &Value) -> tradewind_crds::trading_halt::TradingHalt {
    let spec = json!({"target": target, "reason": "drill", "requestedBy": "ann"});
    object("TradingHalt", name, "44444444-0000-4000-8000-000000000000", &spec)
}

pub(super) fn strategy_id(name: &str) -> ObjectId {
    ObjectId::new(Kind::TradingStrategy, Key::new("desk", name))
}

/// The objects after people did something to one strategy.
pub(super) fn edited(objects: &Objects, name: &str, edit: impl Fn(&mut TradingStrategy)) -> Objects {
    let mut next = objects.clone();
    let strategy = next.strategies.iter_mut().find(|s| s.metadata.name.as_deref() == Some(name)).unwrap();
    strategy.metadata.generation = strategy.metadata.generation.map(|generation| generation + 1);
    edit(strategy);
    next
}

/// An edit that no strategy can run with: quoted in another currency.
pub(super) fn spoil(strategy: &mut TradingStrategy) {
    strategy.spec.instruments[0].symbol = "BTC-EUR".into();
}

/// What is published next, once what was published before is recorded and in the ConfigMap.
pub(super) fn next(objects: &Objects, before: Option<&Publication>) -> Publication {
    published(objects, before, before.and_then(|before| before.data.as_ref()), None, MOST_BYTES)
}

pub(super) fn published(
    objects: &Objects,
    before: Option<&Publication>,
    live: Option<&Data>,
    remembered: Option<&Data>,
    most_bytes: usize,
) -> Publication {
    let mut account = objects.accounts[0].clone();
    if let Some(before) = before {
        account.status.get_or_insert_default().grants = before.grant_status();
    }
    let operator_namespace = "tradewind-system";
    publish(&Input { objects, account: &account, live, remembered, operator_namespace, most_bytes })
}

/// A strategy's entry as text.
pub(super) fn text<'a>(publication: &'a Publication, name: &str) -> Option<&'a str> {
    publication.data.as_ref()?.get(&format!("strategy.{name}.json")).map(String::as_str)
}

/// A strategy's entry as a worker reads it.
pub(super) fn parsed(publication: &Publication, name: &str) -> PublishedStrategy {
    let (mut published, broken) = Published::from_data(publication.data.as_ref().unwrap()).unwrap();
    assert!(broken.is_empty(), "{broken:?}");
    published.strategies.remove(name).unwrap()
}

/// An account nothing was done about yet.
pub(super) fn observed(objects: Objects) -> Observed {
    Observed {
        account: objects.accounts[0].clone(),
        objects,
        children: std::collections::BTreeMap::new(),
        pod: None,
        pod_ends: None,
        lease: None,
        claim: None,
        no_pod: None,
        data: None,
        remembered: None,
        accounts: vec!["paper".to_owned()],
    }
}

/// A child as the stores would have it.
pub(super) fn child(id: &ChildId, ours: bool) -> Child {
    let labels = [(names::COMPONENT_LABEL, "worker"), (names::ACCOUNT_LABEL, "paper")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Child {
        kind: id.kind,
        key: id.key.clone(),
        uid: format!("uid of {id}"),
        generation: None,
        resource_version: "1".to_owned(),
        labels: if ours { labels.into() } else { std::collections::BTreeMap::new() },
        annotations: std::collections::BTreeMap::new(),
        deleted: None,
        finalizers: Vec::new(),
        owned: false,
        applied_by_us: ours,
    }
}

/// A pod that was made from that plan and is ready.
pub(super) fn pod(plan: &Plan) -> PodView {
    let set = plan.children.as_ref().unwrap().stateful_set.spec.clone().unwrap();
    let mut annotations = set.template.metadata.unwrap().annotations.unwrap();
    PodView {
        namespace: "desk".to_owned(),
        name: "paper-0".to_owned(),
        uid: "uid of the pod".to_owned(),
        restart_hash: annotations.remove(names::RESTART_HASH),
        wanted_image: annotations.remove(names::WORKER_IMAGE),
        node: Some("node-1".to_owned()),
        phase: "Running".to_owned(),
        ready: true,
        image: Some("worker:1".to_owned()),
        ..PodView::default()
    }
}

/// The cluster after a plan was carried out, and the worker has taken all of it over.
pub(super) fn carried_out(before: &Observed, plan: &Plan, settings: &Settings) -> Observed {
    let mut after = before.clone();
    after.account.status = Some(plan.status.clone());
    if let Some(children) = &plan.children {
        let ids = super::child_ids(&Key::of(&after.account), settings);
        after.children = ids.iter().map(|id| (id.clone(), child(id, true))).collect();
        after.data.clone_from(&children.config_map.data);
        after.pod = Some(pod(plan));
        acknowledge(&mut after);
    }
    if plan.finalizer == super::Finalizer::Add {
        after.account.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
    }
    after.objects.accounts = vec![after.account.clone()];
    after
}

/// The worker takes over what is published.
fn acknowledge(after: &mut Observed) {
    let (published, _) = Published::from_data(after.data.as_ref().unwrap()).unwrap();
    let applied = |generation, hash: &str| Applied { generation, hash: hash.to_owned(), halts: Vec::new() };
    after.account.status.get_or_insert_default().applied =
        Some(applied(published.account.generation, &published.account.hash));
    for strategy in &mut after.objects.strategies {
        if let Some(entry) = published.strategies.get(strategy.metadata.name.as_ref().unwrap()) {
            strategy.status.get_or_insert_default().applied =
                Some(applied(entry.strategy.generation, &entry.hash));
        }
    }
}

/// The account with these strategies, brought up and running.
pub(super) fn running(objects: Objects) -> Observed {
    let mut seen = observed(objects);
    for _ in 0..3 {
        let next = plan(&seen, &settings(&[]), NOW);
        seen = carried_out(&seen, &next, &settings(&[]));
    }
    seen
}

pub(super) fn id(kind: ChildKind, name: &str) -> ChildId {
    ChildId::new(kind, "desk", name.to_owned())
}
