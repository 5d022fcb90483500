//! The rules of the schemas as a real API server holds them: the same objects, and the same words, as in process.

use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use serde_json::Value;
use tradewind_crds::objects::Kind;
use tradewind_tests::cluster::{Cluster, Namespace};

use crate::common::cases::{Case, cases};

const DRY_RUN: PostParams = PostParams { dry_run: true, field_manager: None };

fn api(cluster: &Cluster, namespace: &Namespace, case: &Case) -> Api<DynamicObject> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.to_string() == case.kind).unwrap();
    let kinds = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("tradewind.dev", "v1alpha1", case.kind),
        kind.plural(),
    );
    Api::namespaced_with(cluster.client(), namespace.name(), &kinds)
}

fn object(mut value: Value, namespace: &Namespace) -> DynamicObject {
    value["metadata"]["namespace"] = namespace.name().into();
    serde_json::from_value(value).unwrap()
}

/// What the API server says to a creation or a change; nothing when it takes it.
async fn said(
    api: &Api<DynamicObject>,
    object: DynamicObject,
    before: Option<&DynamicObject>,
) -> Option<String> {
    let answer = match before {
        None => api.create(&DRY_RUN, &object).await,
        Some(before) => {
            let mut object = object;
            object.metadata.name.clone_from(&before.metadata.name);
            object.metadata.resource_version.clone_from(&before.metadata.resource_version);
            let name = before.metadata.name.clone().unwrap();
            api.replace(&name, &DRY_RUN, &object).await
        }
    };
    match answer {
        Ok(_) => None,
        Err(kube::Error::Api(status)) if status.code == 422 => Some(status.message),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_api_server_takes_and_refuses_what_the_rules_say_in_their_words() {
    let cluster = Cluster::shared().await;
    cluster.apply_crds().await;
    let namespace = cluster.namespace().await;
    let mut faults = Vec::new();
    for (index, case) in cases().iter().enumerate() {
        let api = api(&cluster, &namespace, case);
        let before = match case.before() {
            None => None,
            Some(before) => {
                let mut before = object(before, &namespace);
                before.metadata.name = Some(format!("case-{index}"));
                Some(api.create(&PostParams::default(), &before).await.unwrap())
            }
        };
        if let Some(words) = said(&api, object(case.accepted(), &namespace), before.as_ref()).await {
            faults.push(format!("{}: refused although it keeps the rule: {words}", case.message));
        }
        for refused in case.refused() {
            let words = said(&api, object(refused.clone(), &namespace), before.as_ref()).await;
            if !words.as_ref().is_some_and(|words| words.contains(case.message)) {
                faults.push(format!("{}: {refused}: {words:?}", case.message));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
