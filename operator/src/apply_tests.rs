//! Children on their way to a scripted API server: what is sent, under whose name, and what is not sent at all.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use clap::Parser as _;
use jiff::Timestamp;
use tradewind_crds::objects::Key;

use super::*;
use crate::plan::account::{child_ids, plan};
use crate::plan::fixtures::{at, objects, strategy};
use crate::settings::{Args, Settings};

/// A request that writes.
#[derive(Debug, Clone)]
struct Asked {
    what: String,
    query: String,
    body: Value,
}

/// Takes everything, and hands it back as it would then be.
#[derive(Default)]
struct Server {
    objects: BTreeMap<(String, String), Value>,
    asked: Vec<Asked>,
}

impl Server {
    fn answer(&mut self, method: &Method, uri: &Uri, body: &[u8]) -> (StatusCode, String) {
        let mut body: Value = serde_json::from_slice(body).unwrap();
        let parts: Vec<&str> = uri.path().rsplitn(3, '/').collect();
        let what = format!("{method} {}/{}", parts[1], parts[0]);
        let query = uri.query().unwrap_or_default().to_owned();
        self.asked.push(Asked { what, query, body: body.clone() });
        if method == Method::DELETE {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
            return (StatusCode::OK, status.to_string());
        }
        let kind = body["kind"].as_str().unwrap().to_owned();
        let there = self.objects.get(&(kind.clone(), parts[0].to_owned()));
        let version = |object: &Value| object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        if let Some((there, named)) = there.zip(version(&body))
            && version(there).as_ref() != Some(&named)
        {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict",
                "code": 409, "message": "the object has been modified"});
            return (StatusCode::CONFLICT, status.to_string());
        }
        if body["metadata"]["uid"].is_null() {
            body["metadata"]["uid"] = json!(format!("uid of {kind} {}", parts[0]));
        }
        body["metadata"]["resourceVersion"] = json!("7");
        self.objects.insert((kind, parts[0].to_owned()), body.clone());
        (StatusCode::OK, body.to_string())
    }
}

struct World {
    client: Client,
    server: Arc<Mutex<Server>>,
    memory: Memory,
    settings: Settings,
}

impl World {
    fn new() -> Self {
        let server = Arc::<Mutex<Server>>::default();
        let answer = |State(server): State<Arc<Mutex<Server>>>, method: Method, uri: Uri, body: Bytes| async move {
            server.lock().unwrap().answer(&method, &uri, &body)
        };
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        let args =
            ["x", "--namespace", "tradewind-system", "--pod-name", "x-0", "--worker-image", "worker:1"];
        Self {
            client: Client::new(router, "default"),
            server,
            memory: Memory::default(),
            settings: Settings::of(Args::try_parse_from(args).unwrap()).unwrap(),
        }
    }

    fn plan(&self, seen: &Observed) -> Plan {
        plan(seen, &self.settings, at(1_000))
    }

    /// Carries a plan out and returns what was asked for it.
    async fn apply(&self, seen: &Observed, plan: &Plan) -> (Outcome, Vec<Asked>) {
        let (outcome, result) = apply(&self.client, &self.memory, seen, plan).await;
        result.unwrap();
        (outcome, std::mem::take(&mut self.server.lock().unwrap().asked))
    }

    /// The children as the watches would have them now.
    fn children(&self) -> BTreeMap<ChildId, Child> {
        let server = self.server.lock().unwrap();
        let child = |id: ChildId| {
            let found = server.objects.get(&(id.kind.to_string(), id.key.name.clone()))?;
            let meta = serde_json::from_value(found["metadata"].clone()).unwrap();
            let child = Child::of(id.kind, &meta);
            Some((id, child))
        };
        child_ids(&Key::new("desk", "paper"), &self.settings).into_iter().filter_map(child).collect()
    }
}

/// An account with one strategy, whose children are not there yet.
fn observed() -> Observed {
    let objects = objects(vec![strategy("btc")], vec![]);
    Observed {
        account: objects.accounts[0].clone(),
        objects,
        children: BTreeMap::new(),
        pod: None,
        pod_ends: None::<Timestamp>,
        lease: None,
        claim: None,
        no_pod: None,
        data: None,
        remembered: None,
        accounts: vec!["paper".to_owned()],
    }
}

fn service() -> ChildId {
    ChildId::new(ChildKind::Service, "desk", names::worker("paper"))
}

#[tokio::test]
async fn what_is_not_there_is_made_without_force_and_only_if_nothing_appears_meanwhile() {
    let world = World::new();
    let seen = observed();
    let (outcome, asked) = world.apply(&seen, &world.plan(&seen)).await;
    let ids = child_ids(&Key::new("desk", "paper"), &world.settings);
    assert_eq!((asked.len(), outcome.made.len()), (ids.len(), ids.len()), "{asked:?}");
    for Asked { what, query, body } in asked {
        assert!(what.starts_with("PATCH "), "{what}");
        assert!(query.contains("fieldManager=tradewind-operator"), "{what}: {query}");
        assert!(!query.contains("force=true"), "{what}: {query}");
        assert_eq!(body["metadata"]["uid"], Value::Null, "{what}");
        assert_eq!(body["metadata"]["resourceVersion"], json!("1"), "{what}: no object has that one");
    }
}

#[tokio::test]
async fn an_object_made_between_our_look_and_our_apply_is_not_taken_over() {
    let world = World::new();
    let seen = observed();
    let foreign = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "paper-worker", "namespace": "desk", "uid": "theirs", "resourceVersion": "5"}});
    let id = ("ServiceAccount".to_owned(), "paper-worker".to_owned());
    world.server.lock().unwrap().objects.insert(id.clone(), foreign.clone());
    let (outcome, result) = apply(&world.client, &world.memory, &seen, &world.plan(&seen)).await;
    assert_eq!(result.unwrap_err().status().map(|status| status.code), Some(409), "and looked at again");
    assert_eq!(outcome.made, []);
    let server = world.server.lock().unwrap();
    assert_eq!((server.objects.get(&id), server.objects.len()), (Some(&foreign), 1), "no worker is made");
}

#[tokio::test]
async fn a_child_as_it_was_left_is_not_sent_again_and_one_that_others_changed_is_put_right_by_its_uid() {
    let world = World::new();
    let mut seen = observed();
    let next = world.plan(&seen);
    world.apply(&seen, &next).await;
    seen.children = world.children();
    let (_, asked) = world.apply(&seen, &next).await;
    assert!(asked.is_empty(), "nothing is written at rest: {asked:?}");

    let child = seen.children.get_mut(&service()).unwrap();
    child.resource_version = "8".to_owned();
    let uid = child.uid.clone();
    let (outcome, asked) = world.apply(&seen, &next).await;
    let [Asked { what, query, body }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(what, "PATCH services/paper-worker");
    assert!(query.contains("force=true"), "{query}");
    assert_eq!(body["metadata"]["uid"], json!(uid), "another of its name is not changed");
    assert_eq!(outcome.repaired, [service()]);
}

#[tokio::test]
async fn whatever_is_deleted_is_named_by_its_uid() {
    let world = World::new();
    let seen = observed();
    let doomed = Doomed { id: service(), uid: "s".to_owned() };
    let plan = Plan {
        children: None,
        deletes: vec![doomed],
        replace_pod: Some("p".to_owned()),
        delete_lease: Some("l".to_owned()),
        ..world.plan(&seen)
    };
    let (_, asked) = world.apply(&seen, &plan).await;
    let told: Vec<_> = asked
        .iter()
        .map(|asked| (asked.what.as_str(), asked.body["preconditions"]["uid"].as_str().unwrap_or("any")))
        .collect();
    let expected = [
        ("DELETE services/paper-worker", "s"),
        ("DELETE pods/paper-0", "p"),
        ("DELETE leases/paper-worker", "l"),
    ];
    assert_eq!(told, expected);
}
