//! What a worker holds and writes on a real API server: its Lease, its part of the statuses, its events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tradewind_core::config::{
    Config, FeeAsset, FeeConfig, LedgerConfig, MarketDataConfig, PaperConfig, ResolvedAccount, Speed,
    VenueConfig,
};
use tradewind_core::engine::State;
use tradewind_core::event::{Event, EventKind};
use tradewind_core::halt::EntryBlock;
use tradewind_core::limits::AccountLimits;
use tradewind_core::money::{BasisPoints, Percent};
use tradewind_core::name::Uid;
use tradewind_core::order::{Epoch, Incarnation};
use tradewind_core::recovery::LedgerIdentity;
use tradewind_core::time::{Millis, Timestamp};
use tradewind_crds::names;
use tradewind_crds::reasons::Reason;
use tradewind_tests::cluster::{Cluster, Namespace, patience, wait_for};
use tradewind_worker::board::Board;
use tradewind_worker::cluster::lease::{
    self, ApiStore, Claim, Found, Handle, Identity, LedgerFacts, copied_within, found_within,
};
use tradewind_worker::cluster::{events, report};
use tradewind_worker::snapshot::Phase;

const OBJECTS: &str = "
apiVersion: tradewind.dev/v1alpha1
kind: ExchangeAccount
metadata: {name: paper}
spec:
  venue: {paper: {quoteCurrency: USD, balances: [{asset: USD, amount: \"10000\"}]}}
  marketData: {replay: {dataSet: coinbase-1h}}
  riskPolicyRef: {name: desk}
---
apiVersion: tradewind.dev/v1alpha1
kind: TradingStrategy
metadata: {name: btc-trend}
spec:
  exchangeAccountRef: {name: paper}
  capital: {amount: \"5000\"}
  instruments: [{symbol: BTC-USD}]
  decision: {bar: 1h}
  signal: {source: {emaCross: {fast: 10, slow: 30}}}
  sizing: {fixedPercent: {percent: 5}}
";

fn uid(number: u128) -> Uid {
    Uid(format!("{number:08x}-0000-0000-0000-000000000000").parse().unwrap())
}

fn facts(epoch: u64, row: u64, trusted: bool) -> LedgerFacts {
    let head = format!("{row}:{}", "ab".repeat(32)).parse().unwrap();
    LedgerFacts {
        identity: LedgerIdentity { incarnation: Incarnation(0xfeed), epoch: Epoch(epoch) },
        head,
        trusted,
    }
}

/// A worker as far as its Lease goes.
struct Holder {
    facts: watch::Sender<LedgerFacts>,
    claim: watch::Receiver<Claim>,
    handle: Handle,
}

impl Holder {
    async fn start(cluster: &Cluster, namespace: &Namespace, holder: &str, told: LedgerFacts) -> Self {
        let file = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        let store = ApiStore::new(config, namespace.name(), &names::worker("paper")).unwrap();
        let identity = Identity {
            namespace: namespace.name().to_owned(),
            account: "paper".to_owned(),
            account_uid: uid(1),
            holder: holder.to_owned(),
        };
        let (facts, receiver) = watch::channel(told);
        let (claim, handle) = lease::start(store, identity, receiver);
        Self { facts, claim, handle }
    }

    async fn held(&mut self) {
        let held = self.claim.wait_for(|claim| claim.allows_entries(Instant::now()));
        tokio::time::timeout(patience(10), held).await.expect("the Lease in time").unwrap();
    }
}

async fn annotation(namespace: &Namespace, key: &str) -> Option<String> {
    let lease = namespace.api::<LeaseObject>().get("paper-worker").await.unwrap();
    lease.metadata.annotations.unwrap_or_default().get(key).cloned()
}

#[tokio::test]
async fn a_lease_is_held_copied_given_back_and_taken_over_with_what_the_last_one_wrote() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace().await;
    let mut first = Holder::start(&cluster, &namespace, "paper-0_a", facts(4, 7, false)).await;
    let found = found_within(&mut first.claim, patience(10)).await;
    assert_eq!(found, Some(Found::Nothing), "there was none");
    assert!(first.claim.borrow().allows_entries(Instant::now()));
    assert_eq!(annotation(&namespace, names::lease::HEAD).await, None, "not before the ledger is trusted");
    first.facts.send_replace(facts(4, 7, true));
    assert!(copied_within(&mut first.claim, patience(10)).await);
    assert_eq!(annotation(&namespace, names::lease::EPOCH).await.as_deref(), Some("4"));
    assert_eq!(annotation(&namespace, names::lease::INCARNATION).await.as_deref(), Some("0000feed"));

    let mut second = Holder::start(&cluster, &namespace, "paper-0_b", facts(5, 9, false)).await;
    let early = tokio::time::timeout(Duration::from_secs(3), second.held()).await;
    assert!(early.is_err(), "the first one holds it");
    first.facts.send_replace(facts(4, 9, true));
    first.handle.release().await;
    let given_back = Instant::now();
    let found = found_within(&mut second.claim, patience(5)).await;
    let Some(Found::Copy(copy)) = found else { panic!("{found:?}") };
    assert_eq!((copy.account, copy.identity.epoch, copy.head.seq), (uid(1), Epoch(4), 9));
    assert!(
        given_back.elapsed() < Duration::from_secs(10),
        "without waiting for the first one's time to run out"
    );
    let lease = namespace.api::<LeaseObject>().get("paper-worker").await.unwrap();
    assert_eq!(lease.metadata.labels.unwrap()[names::ACCOUNT_LABEL], "paper");
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
    second.handle.release().await;
}

#[tokio::test]
async fn without_an_api_server_entries_end_within_ten_seconds_and_come_back_with_it() {
    let cluster = Cluster::own().await;
    let namespace = cluster.namespace().await;
    let mut holder = Holder::start(&cluster, &namespace, "paper-0_a", facts(1, 1, true)).await;
    holder.held().await;
    cluster.pause_api_server().await;
    let paused = Instant::now();
    wait_for("the end of entries", patience(10), async || {
        if holder.claim.borrow().allows_entries(Instant::now()) { Err("entries".to_owned()) } else { Ok(()) }
    })
    .await;
    assert!(
        paused.elapsed() < Duration::from_secs(11),
        "{:?} after the API server fell silent",
        paused.elapsed()
    );
    cluster.start_api_server().await;
    holder.held().await;
    holder.handle.release().await;
}

/// An account without strategies that run: what is told of it needs no market.
fn state(account: Uid) -> State {
    let account = ResolvedAccount {
        uid: account,
        namespace: "desk".into(),
        name: "paper".into(),
        quote_currency: "USD".parse().unwrap(),
        venue: VenueConfig::Paper(PaperConfig {
            balances: Vec::new(),
            fees: FeeConfig { maker: BasisPoints(0), taker: BasisPoints(0), paid_in: FeeAsset::Quote },
            slippage: BasisPoints(0),
            latency: Millis(0),
            volume_share: Percent::ONE_HUNDRED,
        }),
        market_data: MarketDataConfig::Replay { data_set: "coinbase-1h".into(), speed: Speed::Max },
        policy: "desk".into(),
        limits: AccountLimits::defaults(),
        breakers: Vec::new(),
        bus: None,
        ledger: LedgerConfig::default(),
    };
    let identity = LedgerIdentity { incarnation: Incarnation(1), epoch: Epoch(1) };
    let mut state = State::new(account.clone(), Vec::new(), identity);
    let kind = EventKind::ConfigChange(Box::new(Config { account, strategies: Vec::new() }));
    state.step(&Event { now: Timestamp(0), kind }, &mut Vec::new());
    state
}

fn report_of(account: Uid, strategy: Uid, block: Option<EntryBlock>) -> report::Report {
    let state = state(account);
    let mut board = Board::new(Millis(3_600_000), 0, false);
    board.set_phase(Phase::Running);
    let applied = |hash: &str| Some(report::InForce { generation: 1, hash: hash.to_owned() });
    report::Report {
        snapshot: board.snapshot(&state),
        figures: report::Figures::default().now(&state),
        published: BTreeMap::new(),
        worker: report::WorkerInput { applied: applied("acc"), block, ..report::WorkerInput::default() },
        strategies: vec![report::StrategyInput {
            name: "btc-trend".into(),
            uid: strategy,
            applied: applied("abc"),
            unavailable: Some("the data set coinbase-1h has no BTC-USD".to_owned()),
            quarantined: None,
            settling: report::Settling::No,
        }],
    }
}

/// A namespace with an account and a strategy.
struct Desk {
    namespace: Namespace,
    cluster: Cluster,
    account: Uid,
    strategy: Uid,
}

impl Desk {
    async fn start() -> Self {
        let cluster = Cluster::shared().await;
        cluster.apply_crds().await;
        let namespace = cluster.namespace().await;
        cluster.apply(namespace.name(), OBJECTS).await;
        let mut desk = Self { namespace, cluster, account: uid(0), strategy: uid(0) };
        desk.account = desk.uid("exchangeaccount/paper").await;
        desk.strategy = desk.uid("tradingstrategy/btc-trend").await;
        desk
    }

    async fn object(&self, name: &str) -> Value {
        let arguments = ["-n", self.namespace.name(), "get", name, "-o", "json", "--show-managed-fields"];
        serde_json::from_str(&self.cluster.kubectl(&arguments).await.success()).unwrap()
    }

    async fn uid(&self, name: &str) -> Uid {
        Uid(self.object(name).await["metadata"]["uid"].as_str().unwrap().parse().unwrap())
    }

    fn writer(&self) -> (report::Writer, watch::Sender<Option<Arc<report::Report>>>) {
        let (reports, told) = watch::channel(None);
        let store = report::ApiStore::new(&self.cluster.client(), self.namespace.name());
        let target = report::Target { name: "paper".into(), uid: self.account };
        (report::Writer::start(store, target, told), reports)
    }

    /// Waits until the strategy has that condition with that reason, and returns the object.
    async fn told(&self, name: &str, type_: &str, reason: &str) -> Value {
        wait_for(reason, patience(10), async || {
            let object = self.object(name).await;
            let none = Vec::new();
            let conditions = object["status"]["conditions"].as_array().unwrap_or(&none);
            let found = conditions.iter().any(|c| c["type"] == type_ && c["reason"] == reason);
            if found { Ok(object) } else { Err(object["status"].to_string()) }
        })
        .await
    }
}

#[tokio::test]
async fn the_worker_writes_its_own_part_of_a_status_leaves_the_operators_and_at_rest_writes_nothing() {
    let desk = Desk::start().await;
    let api: Api<DynamicObject> = {
        let resource =
            kube::api::ApiResource::erase::<tradewind_crds::trading_strategy::TradingStrategy>(&());
        Api::namespaced_with(desk.cluster.client(), desk.namespace.name(), &resource)
    };
    let operators = json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
        "status": {"phase": "Pending", "conditions": [{
            "type": "Ready", "status": "False", "reason": "WorkerStarting", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    });
    let parameters = PatchParams::apply(names::OPERATOR_MANAGER).force();
    api.patch_status("btc-trend", &parameters, &Patch::Apply(&operators)).await.unwrap();

    let (writer, reports) = desk.writer();
    reports.send_replace(Some(Arc::new(report_of(desk.account, desk.strategy, None))));
    let strategy = desk.told("tradingstrategy/btc-trend", "DataFresh", "InstrumentUnavailable").await;
    assert_eq!(strategy["status"]["phase"], "Pending");
    assert!(strategy["status"]["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "Ready"));
    assert_eq!(strategy["status"]["applied"], json!({"generation": 1, "hash": "abc"}));
    let managers = strategy["metadata"]["managedFields"].as_array().unwrap();
    let ours = managers.iter().find(|m| m["manager"] == names::WORKER_MANAGER).unwrap();
    assert_eq!((&ours["operation"], &ours["subresource"]), (&json!("Apply"), &json!("status")));
    let account = desk.told("exchangeaccount/paper", "Supervised", "Supervised").await;
    assert_eq!(account["status"]["trading"]["equity"], "0.00 USD");

    let version = strategy["metadata"]["resourceVersion"].clone();
    for _ in 0..20 {
        reports.send_replace(Some(Arc::new(report_of(desk.account, desk.strategy, None))));
        tokio::task::yield_now().await;
    }
    reports.send_replace(Some(Arc::new(report_of(desk.account, desk.strategy, Some(EntryBlock::Blind)))));
    // Written after the twenty, so that they are behind us.
    let blind = desk.told("tradingstrategy/btc-trend", "Supervised", "Blind").await;
    let number = |version: &Value| version.as_str().unwrap().parse::<u64>().unwrap();
    assert!(number(&blind["metadata"]["resourceVersion"]) > number(&version));
    writer.finish().await;
    let after = desk.object("tradingstrategy/btc-trend").await["metadata"]["resourceVersion"].clone();
    assert_eq!(after, blind["metadata"]["resourceVersion"], "the end had nothing new to tell");
}

#[tokio::test]
async fn a_strategy_that_was_made_anew_under_the_name_is_not_told_of_the_one_before() {
    let desk = Desk::start().await;
    let (writer, reports) = desk.writer();
    reports.send_replace(Some(Arc::new(report_of(desk.account, uid(0xdead), None))));
    desk.told("exchangeaccount/paper", "Supervised", "Supervised").await;
    writer.finish().await;
    assert_eq!(desk.object("tradingstrategy/btc-trend").await["status"], Value::Null);
}

#[tokio::test]
async fn events_are_shown_by_describe_with_what_they_are_about() {
    let desk = Desk::start().await;
    let about = events::About {
        namespace: desk.namespace.name().to_owned(),
        account: "paper".to_owned(),
        account_uid: desk.account,
        pod: ("paper-0".to_owned(), uid(9).to_string()),
    };
    let (events, task) = events::Events::start(desk.cluster.client(), "paper-0");
    for _ in 0..2 {
        events.send(events::Note {
            type_: kube::runtime::events::EventType::Normal,
            reason: Reason::OrderFilled,
            action: "Enter",
            text: "BUY 0.1 BTC-USD at 60000.1, fee 3.6 USD (Entry)".to_owned(),
            regarding: about.strategy("btc-trend", desk.strategy),
            related: Some(about.pod()),
        });
    }
    drop(events);
    task.await.unwrap();
    let namespace = desk.namespace.name();
    let list = desk
        .cluster
        .kubectl(&["-n", namespace, "get", "events.v1.events.k8s.io", "-o", "json"])
        .await
        .success();
    let list: Value = serde_json::from_str(&list).unwrap();
    let [event] = list["items"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(
        (&event["reportingController"], &event["reportingInstance"]),
        (&json!("tradewind-worker"), &json!("paper-0"))
    );
    assert_eq!((&event["related"]["kind"], &event["series"]["count"]), (&json!("Pod"), &json!(2)));
    let described =
        desk.cluster.kubectl(&["-n", namespace, "describe", "tradingstrategy", "btc-trend"]).await.success();
    assert!(
        described.contains("OrderFilled") && described.contains("BUY 0.1 BTC-USD at 60000.1"),
        "{described}"
    );
}
