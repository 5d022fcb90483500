//! Watches, stores, queues and leadership around the passes, against a scripted API server and in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod api;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::Api;
use axum::http::Request;
use clap::Parser;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::LocalSet;
use tokio::time::Instant;
use tradewind_crds::objects::Key;
use tradewind_operator::context::Context;
use tradewind_operator::leader::{Claim, Leader};
use tradewind_operator::settings::{Args, Settings};
use tradewind_operator::{client, controllers, http, watch};

fn settings(more: &[&str]) -> Settings {
    let args = ["op", "--namespace=system", "--worker-image=w", "--pod-name=op-0"];
    Settings::of(Args::try_parse_from(args.iter().chain(more)).unwrap()).unwrap()
}

/// A halt that reaches nobody: its pass writes its status, and nothing else.
fn halt(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingHalt",
        "metadata": {"namespace": namespace, "name": name, "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"target": {"strategy": {"name": "nobody"}}, "instruments": [], "action": "StopEntries",
            "reason": "a test", "requestedBy": ""},
    })
}

/// Runs watches and passes around `test`.
async fn around<T>(ctx: &Arc<Context>, test: impl Future<Output = T>) -> T {
    let local = LocalSet::new();
    for one in watch::all(ctx) {
        local.spawn_local(one);
    }
    local.spawn_local(controllers::run(Arc::clone(ctx), std::future::pending()));
    local.run_until(test).await
}

/// Waits, in virtual time, until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within ten minutes");
        // paces: between two looks, in virtual time.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn leading(api: &Api, more: &[&str]) -> Arc<Context> {
    Context::new(api.client(), settings(more), Claim::always())
}

fn says(api: &Api, namespace: &str, name: &str) -> bool {
    api.get("tradinghalts", namespace, name).is_some_and(|halt| halt["status"]["conditions"].is_array())
}

#[tokio::test(start_paused = true)]
async fn what_is_there_and_what_comes_later_is_looked_at_and_then_nothing_is_written() {
    let api = Api::new();
    api.put("tradinghalts", halt("desk", "early"));
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("the first halt", || says(&api, "desk", "early")).await;
        assert!(ctx.synced.is_complete());
        api.put("tradinghalts", halt("desk", "late"));
        until("the second halt", || says(&api, "desk", "late")).await;
        // paces: virtual time moves on, nobody waits.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let writes = api.lock().writes.len();
        // paces: virtual time moves on, nobody waits.
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(api.lock().writes.len(), writes, "{:?}", api.lock().writes);
    })
    .await;
}

/// A strategy of an account that is not there.
fn strategy(halted: Option<bool>) -> Value {
    json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
        "metadata": {"namespace": "desk", "name": "btc", "uid": "00000000-0000-4000-8000-00000000abcd",
            "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["tradewind.dev/settle"]},
        "spec": {
            "exchangeAccountRef": {"name": "paper"}, "capital": {"amount": "1000"},
            "instruments": [{"symbol": "BTC-USD"}], "decision": {"bar": "1h"},
            "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
            "sizing": {"fixedPercent": {"percent": 5}}, "halted": halted,
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_halt_that_the_next_event_takes_back_is_latched() {
    let api = Api::new();
    api.put("tradingstrategies", strategy(None));
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("the strategy", || ctx.stores.strategy(&Key::new("desk", "btc")).is_some()).await;
        api.put("tradingstrategies", strategy(Some(true)));
        api.put("tradingstrategies", strategy(Some(false)));
        let latch = || api.get("tradinghalts", "desk", "strategy.btc.latched").is_some();
        until("the latch", latch).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_takes_no_other_with_it() {
    let api = Api::new();
    let mut broken = halt("desk", "broken");
    broken["spec"] = json!({"target": 7});
    api.put("tradinghalts", broken.clone());
    api.put("tradinghalts", halt("desk", "good"));
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("the good halt", || says(&api, "desk", "good")).await;
        broken["metadata"]["name"] = json!("broken-later");
        api.put("tradinghalts", broken);
        api.put("tradinghalts", halt("desk", "good-later"));
        until("the later halt", || says(&api, "desk", "good-later")).await;
        let unreadable: Vec<String> =
            ctx.stores.halts.unreadable("desk").into_iter().map(|key| key.name).collect();
        assert_eq!(unreadable, ["broken", "broken-later"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_while_a_watch_was_away_is_gone_after_the_next_list() {
    let api = Api::new();
    api.put("tradinghalts", halt("desk", "stays"));
    api.put("tradinghalts", halt("desk", "goes"));
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("both", || ctx.stores.halts.len() == 2).await;
        api.remove("tradinghalts", "desk", "goes", false);
        api.expire("tradinghalts");
        until("one is gone", || ctx.stores.halts.len() == 1).await;
        assert!(ctx.stores.halt(&Key::new("desk", "stays")).is_some());
        api.remove("tradinghalts", "desk", "stays", true);
        until("the other is gone", || ctx.stores.halts.is_empty()).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_froze_is_opened_anew_within_a_minute() {
    let api = Api::new();
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("the first watch", || api.lock().watched.contains_key("tradingstrategies")).await;
        let begun = Instant::now();
        until("the second watch", || api.lock().watched["tradingstrategies"] >= 2).await;
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_fails_is_tried_again_ever_less_often_until_it_succeeds() {
    let api = Api::new();
    api.put("tradinghalts", halt("desk", "h"));
    api.lock().refuse = Some(500);
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("the first try", || !api.lock().writes.is_empty()).await;
        // paces: virtual time moves on, nobody waits.
        tokio::time::sleep(Duration::from_mins(2)).await;
        // At 0, 1, 3, 7, 15, 31, 63 and 127 seconds and up to a tenth later.
        let tries = api.lock().writes.len();
        assert!((6..=8).contains(&tries), "{tries} tries in two minutes: {:?}", api.lock().writes);
        api.lock().refuse = None;
        until("the status", || says(&api, "desk", "h")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_sees_everything_and_writes_nothing() {
    let api = Api::new();
    api.put("tradinghalts", halt("desk", "h"));
    let settings = settings(&[]);
    // Never run, so that its claim is never gained.
    let (_leader, claim) = Leader::new(api.client(), &settings);
    let ctx = Context::new(api.client(), settings, claim);
    around(&ctx, async {
        until("the list", || ctx.synced.is_complete()).await;
        assert_eq!(ctx.stores.halts.len(), 1);
        // paces: virtual time moves on, nobody waits.
        tokio::time::sleep(Duration::from_mins(5)).await;
        assert!(api.lock().writes.is_empty(), "{:?}", api.lock().writes);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_a_list_of_namespaces_the_halts_of_the_operators_own_are_seen_all_the_same() {
    let api = Api::new();
    let ctx = leading(&api, &["--namespaces=desk"]);
    around(&ctx, async {
        until("the list", || ctx.synced.is_complete()).await;
        let watched = api.lock().watched.clone();
        assert_eq!((watched["tradinghalts"], watched["tradingstrategies"], watched["roles"]), (2, 1, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn missing_custom_resources_are_said_and_waited_for() {
    let api = Api::new();
    let served = std::mem::take(&mut api.lock().served);
    let said = client::check_crds(&api.client()).await.unwrap_err().to_string();
    assert!(
        said.starts_with("the cluster does not serve exchangeaccounts, tradingstrategies, riskpolicies"),
        "{said}"
    );
    api.lock().served = served;
    client::check_crds(&api.client()).await.unwrap();
}

/// The text an endpoint of the operator answers, or the code it refuses with.
async fn endpoint(ctx: &Arc<Context>, path: &str) -> Result<String, u16> {
    let client = Client::new(http::router(Arc::clone(ctx)), "default");
    match client.request_text(Request::get(path).body(Vec::new()).unwrap()).await {
        Ok(text) => Ok(text),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(error) => panic!("{path}: {error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_alive_at_once_and_ready_when_everything_was_listed_leader_or_not() {
    let api = Api::new();
    let ctx = leading(&api, &[]);
    assert_eq!(endpoint(&ctx, "/livez").await.unwrap(), "ok\n");
    assert_eq!(endpoint(&ctx, "/readyz").await, Err(503));
    around(&ctx, async {
        until("the lists", || ctx.synced.is_complete()).await;
        assert_eq!(endpoint(&ctx, "/readyz").await.unwrap(), "ok, leads\n");
    })
    .await;
    let settings = settings(&[]);
    let (_leader, claim) = Leader::new(api.client(), &settings);
    let ctx = Context::new(api.client(), settings, claim);
    around(&ctx, async {
        until("the lists", || ctx.synced.is_complete()).await;
        assert_eq!(endpoint(&ctx, "/readyz").await.unwrap(), "ok, waits to lead\n");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn metrics_count_passes_and_tell_each_strategy() {
    let api = Api::new();
    api.put("tradinghalts", halt("desk", "h"));
    api.put("tradingstrategies", halted_strategy());
    let ctx = leading(&api, &[]);
    around(&ctx, async {
        until("the halt", || says(&api, "desk", "h")).await;
        let text = endpoint(&ctx, "/metrics").await.unwrap();
        for line in [
            "# TYPE tradewind_operator_reconciles counter",
            "tradewind_operator_leader 1",
            "tradewind_operator_synced 1",
            "tradewind_strategy_info{namespace=\"desk\",strategy=\"trend\",mode=\"Paper\",account=\"paper\"} 1",
            "tradewind_strategy_halt_requested{namespace=\"desk\",strategy=\"trend\",source=\"Spec\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        let last = "tradewind_operator_last_reconcile_timestamp_seconds{kind=\"TradingHalt\"} ";
        let last = text.lines().find_map(|line| line.strip_prefix(last)).expect("no time of the last pass");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((0.0..600.0).contains(&(now - last.parse::<f64>().unwrap())), "{last} at {now}");
        let passes = "tradewind_operator_reconciles_total{kind=\"TradingHalt\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(passes)).expect("no passes over halts");
        assert!(count.parse::<u32>().unwrap() >= 1, "{count}");
    })
    .await;
}

fn halted_strategy() -> Value {
    json!({
        "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
        "metadata": {"namespace": "desk", "name": "trend", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "exchangeAccountRef": {"name": "paper"}, "capital": {"amount": "5000"},
            "instruments": [{"symbol": "BTC-USD"}], "decision": {"bar": "1h"},
            "signal": {"source": {"emaCross": {"fast": 10, "slow": 30}}},
            "sizing": {"fixedPercent": {"percent": 5}}, "halted": true,
        },
    })
}
