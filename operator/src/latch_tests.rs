//! The client edge against a scripted API server: what is asked of it, in which order, and what is told.

use std::collections::VecDeque;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::Json;
use clap::Parser as _;
use serde_json::{Value, json};
use tradewind_crds::objects::Objects;

use super::*;
use crate::leader::Claim;
use crate::plan::fixtures::{halt, objects, strategy, uid};
use crate::reconcile;
use crate::settings::{Args, Settings};
use crate::stores::cache::Entry;

const HALTS: &str = "/apis/tradewind.dev/v1alpha1/namespaces/desk/tradinghalts";
const STRATEGIES: &str = "/apis/tradewind.dev/v1alpha1/namespaces/desk/tradingstrategies";

/// What the API server has, and what it is told to do wrong.
#[derive(Default)]
struct Server {
    halts: BTreeMap<String, Value>,
    strategy: Option<TradingStrategy>,
    made: u32,
    /// Answers to the next creations: refused before anything is done, or lost after.
    creations: VecDeque<Fault>,
    asked: Vec<String>,
    /// Reason, note and what it is related to, of each event.
    told: Vec<(String, String, String)>,
}

enum Fault {
    Refused(u16, &'static str),
    Lost,
    Terminating,
}

fn failure(code: u16, reason: &str) -> (StatusCode, Json<Value>) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
        "message": format!("scripted {reason}")});
    (StatusCode::from_u16(code).unwrap(), Json(status))
}

fn fine(value: Value) -> (StatusCode, Json<Value>) {
    (StatusCode::OK, Json(value))
}

impl Server {
    fn put(&mut self, halt: &TradingHalt, manager: &str) {
        let mut value = serde_json::to_value(halt).unwrap();
        value["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Update"}]);
        self.halts.insert(halt.name_any(), value);
    }

    fn answer(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> (StatusCode, Json<Value>) {
        let path = uri.path();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if path.ends_with("/events") {
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let related = body["related"]["name"].as_str().unwrap_or_default().to_owned();
            self.told.push((text("reason"), text("note"), related));
            return fine(body);
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        self.asked.push(format!("{method} {name}"));
        match (method.as_str(), path) {
            ("POST", HALTS) => self.create(uri, body),
            ("GET", HALTS) => {
                let items: Vec<_> = self.halts.values().collect();
                fine(
                    json!({"kind": "TradingHaltList", "apiVersion": "tradewind.dev/v1alpha1", "metadata": {},
                    "items": items}),
                )
            }
            ("GET", _) if path.starts_with(STRATEGIES) => match &self.strategy {
                Some(strategy) => fine(serde_json::to_value(strategy).unwrap()),
                None => failure(404, "NotFound"),
            },
            ("PATCH", _) if path.ends_with("/status") => fine(serde_json::to_value(&self.strategy).unwrap()),
            ("GET", _) => {
                self.halts.get(&name).map_or_else(|| failure(404, "NotFound"), |halt| fine(halt.clone()))
            }
            ("DELETE", _) => {
                let wanted = body["preconditions"]["uid"].as_str().unwrap_or_default();
                match self.halts.get(&name) {
                    None => failure(404, "NotFound"),
                    Some(halt) if halt["metadata"]["uid"] != wanted => failure(409, "Conflict"),
                    Some(_) => fine(self.halts.remove(&name).unwrap()),
                }
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn create(&mut self, uri: &Uri, mut body: Value) -> (StatusCode, Json<Value>) {
        let fault = self.creations.pop_front();
        match fault {
            Some(Fault::Refused(code, reason)) => return failure(code, reason),
            Some(Fault::Terminating) => {
                let mut answer = failure(403, "Forbidden");
                answer.1["details"] =
                    json!({"causes": [{"reason": "NamespaceTerminating", "message": "going"}]});
                return answer;
            }
            Some(Fault::Lost) | None => {}
        }
        let name = body["metadata"]["name"].as_str().unwrap().to_owned();
        if self.halts.contains_key(&name) {
            return failure(409, "AlreadyExists");
        }
        self.made += 1;
        body["metadata"]["uid"] = json!(uid(&format!("made {}", self.made)));
        let manager = uri.query().and_then(|query| query.split("fieldManager=").nth(1)).unwrap_or_default();
        body["metadata"]["managedFields"] = json!([{"manager": manager, "operation": "Update"}]);
        self.halts.insert(name, body.clone());
        if fault.is_some() { failure(504, "Timeout") } else { fine(body) }
    }
}

struct World {
    ctx: Arc<Context>,
    server: Arc<Mutex<Server>>,
}

impl World {
    async fn start() -> Self {
        let server = Arc::<Mutex<Server>>::default();
        let answer = |State(server): State<Arc<Mutex<Server>>>, method: Method, uri: Uri, body: Bytes| async move {
            server.lock().unwrap().answer(&method, &uri, &body)
        };
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        let client = kube::Client::try_from(config).unwrap();
        let args =
            ["x", "--namespace", "tradewind-system", "--pod-name", "x-0", "--worker-image", "worker:1"];
        let settings = Settings::of(Args::try_parse_from(args).unwrap()).unwrap();
        Self { ctx: Context::new(client, settings, Claim::always()), server }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Server) -> T) -> T {
        f(&mut self.server.lock().unwrap())
    }

    /// Shows the latch two states of a strategy, and waits until it has done what they ask for.
    async fn shows(&self, states: &[&TradingStrategy]) {
        for pair in states.windows(2) {
            on_strategy(&self.ctx, Some(pair[0]), pair[1]);
        }
        let key = Key::of(states[0]);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.ctx.latch.is_at(&key) {
            assert!(Instant::now() < deadline, "still at it: {:?}", self.with(|server| server.asked.clone()));
            // paces: between two looks at what another task does.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn halts(&self) -> Vec<(String, String)> {
        self.with(|server| {
            let pair = |(name, halt): (&String, &Value)| {
                (name.clone(), halt["metadata"]["uid"].as_str().unwrap().to_owned())
            };
            server.halts.iter().map(pair).collect()
        })
    }

    fn told(&self) -> Vec<String> {
        self.with(|server| server.told.iter().map(|(reason, ..)| reason.clone()).collect())
    }

    fn note(&self, reason: &str) -> String {
        self.with(|server| server.told.iter().find(|(r, ..)| r == reason).unwrap().1.clone())
    }

    /// The halt that an event of that reason is related to; empty if none.
    fn related(&self, reason: &str) -> String {
        self.with(|server| server.told.iter().find(|(r, ..)| r == reason).unwrap().2.clone())
    }
}

fn by(manager: &str, mut strategy: TradingStrategy) -> TradingStrategy {
    let fields = json!([{"manager": manager, "operation": "Update", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:halted": {}, "f:resume": {}}}}]);
    strategy.metadata.managed_fields = Some(serde_json::from_value(fields).unwrap());
    strategy
}

fn state(halted: Option<bool>, resume: Option<&str>) -> TradingStrategy {
    let mut strategy = strategy("btc");
    strategy.spec.halted = halted;
    strategy.spec.resume = resume.map(|id| serde_json::from_value(json!({"haltID": id})).unwrap());
    strategy
}

const LATCH: &str = "strategy.btc.latched";

#[tokio::test]
async fn a_patch_reverted_at_once_is_latched_and_the_revert_is_told_by_name() {
    let world = World::start().await;
    let set = by("kubectl-patch", state(Some(true), None));
    let back = by("argocd-controller", state(Some(false), None));
    world.shows(&[&state(None, None), &set, &back]).await;
    assert_eq!(world.halts(), [(LATCH.to_owned(), uid("made 1"))]);
    assert_eq!(world.told(), ["HaltLatched", "RevertIgnored"]);
    assert!(world.note("HaltLatched").starts_with("spec.halted was set by kubectl-patch at generation 1;"));
    let told = world.note("RevertIgnored");
    assert!(told.starts_with("argocd-controller took spec.halted back; the strategy stays halted"), "{told}");
    assert!(told.contains(&uid("made 1")), "the command that resumes it: {told}");
}

#[tokio::test]
async fn whoever_wrote_before_there_was_a_latch_did_not_take_it_back() {
    let entries = |time: &str| {
        let entry = json!([{"manager": "kustomize-controller", "operation": "Apply", "time": time,
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:capital": {}}}}]);
        Some(serde_json::from_value(entry).unwrap())
    };
    // The latch of the fixtures is made 500 s after the epoch.
    for (time, whom) in
        [("1970-01-01T00:08:19Z", "somebody "), ("1970-01-01T00:08:20Z", "kustomize-controller ")]
    {
        let world = World::start().await;
        let made = halt(LATCH, &json!({"strategy": {"name": "btc"}}));
        world.with(|server| server.put(&made, names::OPERATOR_MANAGER));
        let mut back = state(None, None);
        back.metadata.managed_fields = entries(time);
        world.shows(&[&state(Some(true), None), &back]).await;
        let told = world.note("RevertIgnored");
        assert!(told.starts_with(whom), "{told}");
    }
}

#[tokio::test]
async fn a_latch_is_tried_until_it_is_there() {
    let world = World::start().await;
    world.with(|server| {
        // More often than anything else is tried.
        server.creations.extend((1..TRIES).map(|_| Fault::Refused(500, "InternalError")));
        server.creations.extend([Fault::Refused(429, "TooManyRequests"), Fault::Lost]);
    });
    world.shows(&[&state(None, None), &state(Some(true), None)]).await;
    assert_eq!(world.halts(), [(LATCH.to_owned(), uid("made 1"))], "one, although its answer was lost");
    let asked = world.with(|server| server.asked.clone());
    assert_eq!(asked.iter().filter(|asked| *asked == "POST tradinghalts").count(), 7, "{asked:?}");
    assert_eq!(world.told(), ["HaltLatched"]);
}

#[tokio::test]
async fn a_latch_the_worker_made_first_is_left_and_told_once() {
    let world = World::start().await;
    let made = halt(LATCH, &json!({"strategy": {"name": "btc"}}));
    world.with(|server| server.put(&made, names::WORKER_MANAGER));
    world.shows(&[&state(None, None), &state(Some(true), None)]).await;
    assert_eq!(world.halts(), [(LATCH.to_owned(), uid(LATCH))]);
    assert_eq!(world.told(), ["HaltLatched"]);
}

#[tokio::test]
async fn a_weaker_halt_of_the_latchs_name_is_told() {
    let world = World::start().await;
    let mut weaker = halt(LATCH, &json!({"strategy": {"name": "btc"}}));
    weaker.spec.instruments = vec!["ETH-USD".into()];
    world.with(|server| server.put(&weaker, "kubectl-create"));
    world.shows(&[&state(None, None), &state(Some(true), None)]).await;
    assert_eq!(world.told(), ["ForeignObject"]);
    let told = world.note("ForeignObject");
    assert!(told.contains("kubectl delete thalt strategy.btc.latched -n desk"), "{told}");
}

#[tokio::test]
async fn in_a_namespace_that_goes_away_nothing_is_tried_again() {
    let world = World::start().await;
    world.with(|server| server.creations.push_back(Fault::Terminating));
    world.shows(&[&state(None, None), &state(Some(true), None)]).await;
    assert_eq!(world.with(|server| server.asked.clone()), ["POST tradinghalts"]);
}

#[tokio::test]
async fn of_two_halts_the_one_that_is_named_is_resumed() {
    let world = World::start().await;
    let own = json!({"strategy": {"name": "btc"}});
    world.with(|server| {
        server.put(&halt(LATCH, &own), names::OPERATOR_MANAGER);
        server.put(&halt("strategy.btc.daily", &own), names::WORKER_MANAGER);
    });
    let asks = by("kubectl-patch", state(None, Some(&uid(LATCH))));
    world.shows(&[&state(Some(true), None), &asks]).await;
    assert_eq!(world.halts(), [("strategy.btc.daily".to_owned(), uid("strategy.btc.daily"))]);
    assert_eq!(world.told(), ["Resumed"]);
    assert_eq!(
        world.note("Resumed"),
        "strategy.btc.latched was resumed by kubectl-patch through spec.resume"
    );
    assert_eq!(world.related("Resumed"), LATCH, "though it is gone");
}

#[tokio::test]
async fn what_may_not_be_resumed_by_name_stays_and_it_is_told_why() {
    let own = json!({"strategy": {"name": "btc"}});
    let cases = [
        (None, "an older latch", "", "no halt of this uid holds"),
        (None, "all", "all", "resume with: kubectl delete thalt all -n desk"),
        (
            Some(true),
            "strategy.btc.daily",
            "strategy.btc.daily",
            "spec.halted is true; take it back in the same patch: kubectl patch strat btc",
        ),
        (Some(true), LATCH, LATCH, "spec.halted is true, so that its latch is made anew"),
    ];
    for (halted, named, related, why) in cases {
        let world = World::start().await;
        world.with(|server| {
            server.put(&halt(LATCH, &own), names::OPERATOR_MANAGER);
            server.put(&halt("strategy.btc.daily", &own), names::WORKER_MANAGER);
            server.put(&halt("all", &json!({"namespace": {}})), "kubectl-create");
        });
        world.shows(&[&state(halted, None), &state(halted, Some(&uid(named)))]).await;
        assert_eq!(world.halts().len(), 3, "{why}");
        assert_eq!(world.related("ResumeIgnored"), related, "{why}");
        assert_eq!(world.told(), ["ResumeIgnored"], "{why}");
        let told = world.note("ResumeIgnored");
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test]
async fn a_halt_the_worker_has_resumed_first_is_told_as_resumed() {
    let world = World::start().await;
    let mut asks = state(None, Some(&uid(LATCH)));
    let held = halt(LATCH, &json!({"strategy": {"name": "btc"}}));
    let all = objects(vec![asks.clone()], vec![held]);
    let listed = crate::plan::sources::Sources::of_strategy(&all, &asks).status();
    asks.status.get_or_insert_default().halt = Some(listed);
    world.shows(&[&state(None, None), &asks]).await;
    assert_eq!((world.told(), world.related("Resumed").as_str()), (vec!["Resumed".to_owned()], LATCH));
}

#[tokio::test]
async fn a_latch_that_is_named_when_the_field_is_set_is_made_anew_so_that_a_revert_resumes_nothing() {
    let world = World::start().await;
    world.with(|server| {
        server.put(&halt(LATCH, &json!({"strategy": {"name": "btc"}})), names::OPERATOR_MANAGER);
    });
    let named = uid(LATCH);
    world.shows(&[&state(None, Some(&named)), &state(Some(true), Some(&named))]).await;
    assert_eq!(world.halts(), [(LATCH.to_owned(), uid("made 1"))], "the old one would go with the field");
}

#[tokio::test]
async fn halted_again_right_after_a_resumption_is_a_new_latch() {
    let world = World::start().await;
    world.with(|server| {
        server.put(&halt(LATCH, &json!({"strategy": {"name": "btc"}})), names::OPERATOR_MANAGER);
    });
    let (old, named) = (state(Some(true), None), uid(LATCH));
    world.shows(&[&old, &state(None, Some(&named)), &state(Some(true), Some(&named))]).await;
    assert_eq!(world.halts(), [(LATCH.to_owned(), uid("made 1"))]);
    assert_eq!(world.told(), ["Resumed", "HaltLatched"]);
}

/// A strategy in the stores that says `halted`, while no latch is known.
fn stored(world: &World, all: &Objects) -> Key {
    let object = all.strategies[0].clone();
    let key = Key::of(&object);
    let mut live = object.clone();
    live.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
    world.ctx.stores.strategies.put(&key, Entry::Readable(Arc::new(live)));
    let account = all.accounts[0].clone();
    world.ctx.stores.accounts.put(&Key::of(&account), Entry::Readable(Arc::new(account)));
    key
}

#[tokio::test]
async fn a_latch_that_was_deleted_under_a_true_field_comes_back_only_if_it_still_is() {
    for (really, expected) in [(Some(true), 1), (Some(false), 0), (None, 0)] {
        let world = World::start().await;
        let all = objects(vec![state(Some(true), None)], vec![]);
        let key = stored(&world, &all);
        world.with(|server| server.strategy = Some(state(really, None)));
        reconcile::strategy::reconcile(&world.ctx, &key).await.unwrap();
        assert_eq!(world.halts().len(), expected, "the API server says {really:?}");
        let asked = world.with(|server| server.asked.clone());
        assert_eq!(asked[0], "GET btc", "looked at before anything is made: {asked:?}");
    }
}

#[tokio::test]
async fn a_resumption_nobody_saw_happen_is_carried_out_by_the_next_pass() {
    let world = World::start().await;
    let held = halt(LATCH, &json!({"strategy": {"name": "btc"}}));
    let all = objects(vec![state(None, Some(&uid(LATCH)))], vec![]);
    let key = stored(&world, &all);
    world.with(|server| {
        server.put(&held, names::OPERATOR_MANAGER);
        server.strategy = Some(all.strategies[0].clone());
    });
    world.ctx.stores.halts.put(&Key::of(&held), Entry::Readable(Arc::new(held)));
    reconcile::strategy::reconcile(&world.ctx, &key).await.unwrap();
    assert_eq!(world.halts(), []);
}
