//! Where statuses lie: the API server, read once at the start and written by server-side apply.

use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tradewind_core::name::Uid;
use tradewind_crds::exchange_account::ExchangeAccount;
use tradewind_crds::names::WORKER_MANAGER;
use tradewind_crds::trading_strategy::TradingStrategy;

/// How long one request may take; the client repeats none of those that the server refuses for a while by itself.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Which object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The ExchangeAccount.
    Account,
    /// A TradingStrategy.
    Strategy,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is written.
    Written,
    /// There is no such object any more, or another one has its name.
    Gone,
}

/// Why a status could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// No answer in time.
    #[error("the API server did not answer within {} s; the status is written later", .0.as_secs())]
    TimedOut(Duration),
    /// The API server refuses or cannot be reached.
    #[error("the API server refused or is away: {0}; the status is written later")]
    Api(#[source] Box<kube::Error>),
}

/// Reads and writes the statuses of one account and its strategies.
pub trait Store {
    /// The status of an object; none when it is gone, null when it has no status.
    fn read(
        &self,
        kind: Kind,
        name: &str,
        uid: Uid,
    ) -> impl Future<Output = Result<Option<Value>, StatusError>> + Send;

    /// Writes the worker's whole part of the status of an object.
    fn write(
        &self,
        kind: Kind,
        name: &str,
        uid: Uid,
        status: &Value,
    ) -> impl Future<Output = Result<Outcome, StatusError>> + Send;
}

/// The API server.
#[derive(Clone)]
pub struct ApiStore {
    accounts: Api<DynamicObject>,
    strategies: Api<DynamicObject>,
    resources: [ApiResource; 2],
}

impl ApiStore {
    /// In a namespace.
    pub fn new(client: &Client, namespace: &str) -> Self {
        // Undecoded: a strategy whose spec we cannot read has a status all the same.
        let resources =
            [ApiResource::erase::<ExchangeAccount>(&()), ApiResource::erase::<TradingStrategy>(&())];
        let [accounts, strategies] =
            resources.each_ref().map(|r| Api::namespaced_with(client.clone(), namespace, r));
        Self { accounts, strategies, resources }
    }

    fn of(&self, kind: Kind) -> (&Api<DynamicObject>, &ApiResource) {
        let [account, strategy] = &self.resources;
        match kind {
            Kind::Account => (&self.accounts, account),
            Kind::Strategy => (&self.strategies, strategy),
        }
    }
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<kube::Result<T>, StatusError> {
    tokio::time::timeout(REQUEST_TIMEOUT, request).await.map_err(|_| StatusError::TimedOut(REQUEST_TIMEOUT))
}

impl Store for ApiStore {
    async fn read(&self, kind: Kind, name: &str, uid: Uid) -> Result<Option<Value>, StatusError> {
        let (api, _) = self.of(kind);
        let found = within(api.get_opt(name)).await?.map_err(|e| StatusError::Api(Box::new(e)))?;
        let ours = found.filter(|object| object.metadata.uid.as_deref() == Some(&uid.to_string()));
        Ok(ours.map(|object| object.data.get("status").cloned().unwrap_or_default()))
    }

    async fn write(&self, kind: Kind, name: &str, uid: Uid, status: &Value) -> Result<Outcome, StatusError> {
        let (api, resource) = self.of(kind);
        let body = json!({"apiVersion": resource.api_version, "kind": resource.kind, "status": status});
        let parameters = PatchParams::apply(WORKER_MANAGER).force();
        match within(api.patch_status(name, &parameters, &Patch::Apply(&body))).await? {
            // The API server takes no uid as a condition here. An object that was made anew under the name a moment
            // ago has now been told of the one before; its own first report, which is due, puts that right.
            Ok(object) if object.metadata.uid.as_deref() != Some(&uid.to_string()) => Ok(Outcome::Gone),
            Ok(_) => Ok(Outcome::Written),
            Err(kube::Error::Api(s)) if s.is_not_found() => Ok(Outcome::Gone),
            Err(error) => Err(StatusError::Api(Box::new(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::Uri;

    use super::*;

    /// The status of `desk/trend` is written for the object of one uid, while one of another has the name.
    async fn written(ours: u128, there: u128) -> (Outcome, Uri, Value) {
        let uid = |number| Uid(uuid::Uuid::from_u128(number));
        let asked = Arc::<Mutex<Option<(Uri, Value)>>>::default();
        let notes = Arc::clone(&asked);
        let answer = async move |uri: Uri, body: String| {
            *notes.lock().unwrap() = Some((uri, serde_json::from_str(&body).unwrap()));
            let meta = json!({"namespace": "desk", "name": "trend", "uid": uid(there).to_string()});
            json!({"apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy", "metadata": meta})
                .to_string()
        };
        let store = ApiStore::new(&Client::new(Router::new().fallback(answer), "default"), "desk");
        let status = json!({"conditions": []});
        let outcome = store.write(Kind::Strategy, "trend", uid(ours), &status).await.unwrap();
        let (uri, sent) = asked.lock().unwrap().take().unwrap();
        (outcome, uri, sent)
    }

    #[tokio::test]
    async fn a_status_is_written_under_the_workers_own_name_and_nothing_beside_it() {
        let (outcome, uri, sent) = written(1, 1).await;
        assert_eq!(outcome, Outcome::Written);
        let path = "/apis/tradewind.dev/v1alpha1/namespaces/desk/tradingstrategies/trend/status";
        assert_eq!(uri.path(), path);
        let query = uri.query().unwrap();
        assert!(query.contains("fieldManager=tradewind-worker") && query.contains("force=true"), "{query}");
        let kind = json!({"apiVersion": "tradewind.dev/v1alpha1", "kind": "TradingStrategy",
            "status": {"conditions": []}});
        assert_eq!(sent, kind);
    }

    #[tokio::test]
    async fn another_object_of_the_name_is_not_ours() {
        assert_eq!(written(1, 2).await.0, Outcome::Gone);
    }
}
