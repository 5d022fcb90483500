//! What a refusal of the API server keeps from happening.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use clap::Parser as _;

use super::*;
use crate::plan::account::plan;
use crate::plan::fixtures::{at, objects, strategy};
use crate::settings::{Args, Settings};

/// Applies the plan of an account whose pod must be replaced; the StatefulSet is refused with that code, if one is given.
async fn writes(refusal: Option<u16>) -> (Vec<String>, usize) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let notes = Arc::clone(&asked);
    let answer = async move |method: Method, uri: Uri, body: Bytes| {
        let what = uri.path().rsplitn(3, '/').take(2).collect::<Vec<_>>();
        notes.lock().unwrap().push(format!("{method} {}/{}", what[1], what[0]));
        if let Some(code) = refusal.filter(|_| what[1] == "statefulsets") {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": "Invalid", "message": "spec is immutable"});
            return (StatusCode::from_u16(code).unwrap(), status.to_string());
        }
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        object["metadata"]["uid"] = json!("u");
        object["metadata"]["resourceVersion"] = json!("1");
        (StatusCode::OK, object.to_string())
    };
    let client = Client::new(Router::new().fallback(answer), "default");
    let args = ["x", "--namespace", "tradewind-system", "--pod-name", "x-0", "--worker-image", "worker:1"];
    let settings = Settings::of(Args::try_parse_from(args).unwrap()).unwrap();
    let objects = objects(vec![strategy("btc")], vec![]);
    let seen = Observed {
        account: objects.accounts[0].clone(),
        objects,
        children: BTreeMap::new(),
        pod: None,
        pod_ends: None,
        lease: None,
        claim: None,
        no_pod: None,
        data: None,
        remembered: None,
        accounts: vec!["paper".to_owned()],
    };
    let plan = Plan { replace_pod: Some("p".to_owned()), ..plan(&seen, &settings, at(1_000)) };
    let (outcome, result) = apply(&client, &Memory::default(), &seen, &plan).await;
    result.unwrap();
    let asked = asked.lock().unwrap().clone();
    (asked, outcome.refused.len())
}

#[tokio::test]
async fn a_pod_is_replaced_only_when_the_next_is_made_of_what_was_applied() {
    let replaced = "DELETE pods/paper-0".to_owned();
    let (asked, refused) = Box::pin(writes(None)).await;
    assert_eq!((asked.last(), refused), (Some(&replaced), 0));
    for code in [403, 422] {
        let (asked, refused) = Box::pin(writes(Some(code))).await;
        assert_eq!(refused, 1);
        assert!(asked.contains(&"PATCH statefulsets/paper".to_owned()), "{asked:?}");
        assert!(!asked.contains(&replaced), "the worker that runs goes on: {asked:?}");
    }
}

/// Deletes the Service of uid `ours`; the API server says conflict, and then has one of that uid, or none.
async fn conflicting(uid: Option<&'static str>) -> Result<(), Error> {
    let answer = async move |method: Method| {
        let status = |code: u16| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": if code == 404 { "NotFound" } else { "Conflict" }, "message": "a test"});
            (StatusCode::from_u16(code).unwrap(), status.to_string())
        };
        match (method, uid) {
            (Method::DELETE, _) => status(409),
            (_, None) => status(404),
            (_, Some(uid)) => {
                let found = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"name": "paper-worker", "namespace": "desk", "uid": uid}});
                (StatusCode::OK, found.to_string())
            }
        }
    };
    let client = Client::new(Router::new().fallback(answer), "default");
    delete::<Service>(&client, "desk", "paper-worker", "ours").await
}

#[tokio::test]
async fn a_deletion_that_met_a_change_is_tried_again_and_one_that_met_another_object_is_over() {
    let refused = conflicting(Some("ours")).await.unwrap_err();
    assert_eq!(refused.reason(), "conflict", "{refused}");
    conflicting(Some("theirs")).await.unwrap();
    conflicting(None).await.unwrap();
}
