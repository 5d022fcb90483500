//! Writing status: server-side apply on the status subresource, our own fields only, and not at all when nothing differs.
//!
//! A manager that leaves a field out deletes it, so that every report carries the whole of what the operator owns. The
//! worker's fields and conditions are never sent.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tradewind_crds::names;
use tradewind_crds::objects::Key;

use crate::context::Context;
use crate::error::Error;

/// The part of a kind's status that the operator owns.
pub trait OwnStatus: Serialize {
    /// The kind.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug;
    /// The fields of `status` the operator owns, as they are called on the wire; `conditions` is not among them.
    const FIELDS: &'static [&'static str];
    /// The condition types the operator owns.
    const CONDITIONS: &'static [&'static str];
}

/// Writes the status unless it is already so; returns whether it was written. An object that is gone is no error.
pub async fn status<S: OwnStatus>(ctx: &Context, live: &S::Object, status: &S) -> Result<bool, Error> {
    let key = Key::of(live);
    let what = || format!("status of {} {key}", S::Object::kind(&()));
    let json = |source| Error::Json { what: what(), source };
    let wanted = serde_json::to_value(status).map_err(json)?;
    let found = serde_json::to_value(live).map_err(json)?;
    let nothing = Value::Null;
    if !differs(found.get("status").unwrap_or(&nothing), &wanted, S::FIELDS, S::CONDITIONS) {
        return Ok(false);
    }
    let api: Api<S::Object> = Api::namespaced(ctx.client.clone(), &key.namespace);
    // With the uid, so that the status of one object never lands on the next of its name.
    let document = json!({
        "apiVersion": S::Object::api_version(&()),
        "kind": S::Object::kind(&()),
        "metadata": {"uid": live.uid()},
        "status": wanted,
    });
    let params = PatchParams::apply(names::OPERATOR_MANAGER).force();
    match api.patch_status(&key.name, &params, &Patch::Apply(&document)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(refused)) if refused.is_not_found() => Ok(false),
        Err(error) => Err(Error::api("write", what())(error)),
    }
}

/// Whether what is there differs from what is wanted in a field or a condition that is ours.
fn differs(found: &Value, wanted: &Value, fields: &[&str], conditions: &[&str]) -> bool {
    // A field that is left out and one that is null say the same.
    let field = |status: &Value, name: &str| status.get(name).filter(|value| !value.is_null()).cloned();
    if fields.iter().any(|name| field(found, name) != field(wanted, name)) {
        return true;
    }
    let condition = |status: &Value, name: &str| {
        let all = status.get("conditions").and_then(Value::as_array)?;
        all.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some(name)).cloned()
    };
    conditions.iter().any(|name| condition(found, name) != condition(wanted, name))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Bytes;
    use axum::http::{Method, Uri};
    use clap::Parser as _;
    use tradewind_crds::trading_strategy::{Phase, TradingStrategyStatus};

    use super::*;
    use crate::leader::Claim;
    use crate::plan::fixtures::strategy;
    use crate::settings::{Args, Settings};

    const FIELDS: &[&str] = &["phase", "halt"];
    const CONDITIONS: &[&str] = &["Ready", "Halted"];

    fn condition(kind: &str, status: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "Running", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn differ(found: &Value, wanted: &Value) -> bool {
        differs(found, wanted, FIELDS, CONDITIONS)
    }

    #[test]
    fn what_is_already_so_is_not_written_whatever_the_worker_has_there() {
        let wanted = json!({"phase": "Running", "conditions": [condition("Ready", "True")]});
        let found = json!({
            "phase": "Running",
            "trading": {"equity": "1.00 USD"},
            "conditions": [condition("DataFresh", "False"), condition("Ready", "True")],
        });
        assert!(!differ(&found, &wanted));
    }

    #[test]
    fn a_field_or_condition_of_ours_that_differs_is_written() {
        let found = json!({"phase": "Running", "conditions": [condition("Ready", "True")]});
        assert!(differ(&found, &json!({"phase": "Halted", "conditions": [condition("Ready", "True")]})));
        assert!(differ(&found, &json!({"phase": "Running", "conditions": [condition("Ready", "False")]})));
        assert!(differ(&Value::Null, &json!({"phase": "Running"})), "an object without status");
    }

    #[test]
    fn what_we_no_longer_say_is_taken_away() {
        let found = json!({"phase": "Running", "halt": {"active": true}, "conditions": [condition("Halted", "True")]});
        assert!(differ(&found, &json!({"phase": "Running", "conditions": [condition("Halted", "True")]})));
        assert!(differ(&found, &json!({"phase": "Running", "halt": {"active": true}, "conditions": []})));
    }

    #[test]
    fn nothing_is_written_for_a_null() {
        assert!(!differ(&json!({"phase": "Running"}), &json!({"phase": "Running", "halt": null})));
    }

    type Asked = Arc<Mutex<Vec<(Method, Uri, Value)>>>;

    /// A context whose API server takes everything and notes it.
    fn noting() -> (Arc<Context>, Asked) {
        let asked = Asked::default();
        let notes = Arc::clone(&asked);
        let answer = async move |method: Method, uri: Uri, body: Bytes| {
            let sent = serde_json::from_slice(&body).unwrap_or_default();
            notes.lock().unwrap().push((method, uri, sent));
            serde_json::to_string(&strategy("btc")).unwrap()
        };
        let client = kube::Client::new(Router::new().fallback(answer), "default");
        let args =
            ["x", "--namespace", "tradewind-system", "--pod-name", "x-0", "--worker-image", "worker:1"];
        let settings = Settings::of(Args::try_parse_from(args).unwrap()).unwrap();
        (Context::new(client, settings, Claim::always()), asked)
    }

    #[tokio::test]
    async fn our_part_alone_is_written_under_our_own_name_and_not_again_while_it_stands() {
        let (ctx, asked) = noting();
        let mut live = strategy("btc");
        let wanted =
            TradingStrategyStatus { phase: Some(Phase::Running), ..TradingStrategyStatus::default() };
        assert!(status(&ctx, &live, &wanted).await.unwrap());
        let all = std::mem::take(&mut *asked.lock().unwrap());
        let [(method, uri, sent)] = all.as_slice() else { panic!("{all:?}") };
        let path = "/apis/tradewind.dev/v1alpha1/namespaces/desk/tradingstrategies/btc/status";
        assert_eq!((method, uri.path()), (&Method::PATCH, path));
        let query = uri.query().unwrap();
        assert!(query.contains("fieldManager=tradewind-operator") && query.contains("force=true"), "{query}");
        let expected = json!({
            "apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
            "metadata": {"uid": live.uid()}, "status": {"phase": "Running"},
        });
        assert_eq!(*sent, expected);

        live.status = Some(wanted.clone());
        assert!(!status(&ctx, &live, &wanted).await.unwrap());
        assert!(asked.lock().unwrap().is_empty(), "nothing is written at rest");
    }
}
