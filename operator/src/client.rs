//! The two clients, and whether the custom resources are there.
//!
//! Neither client retries by itself: a pass over an object is repeated as a whole, with a pause that grows, and the
//! Lease must never be renewed late by a request that was begun long ago.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::USER_AGENT;
use kube::{Client, Config};
use tradewind_crds::objects::Kind;

/// Group and version of our kinds.
const API_VERSION: &str = "tradewind.dev/v1alpha1";
/// How we name ourselves to the API server; its audit log and its fairness go by it.
const AGENT: &str = concat!("tradewind-operator/", env!("CARGO_PKG_VERSION"));
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Neither a kubeconfig nor a pod's ServiceAccount.
    #[error(
        "there is no way to an API server: {0}; run in a pod with a ServiceAccount, or point KUBECONFIG at a cluster"
    )]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// The configuration cannot be used.
    #[error("the API server's address or credentials cannot be used: {0}")]
    Build(#[source] Box<kube::Error>),
}

/// Where the API server is: `KUBECONFIG`, or what a pod finds.
pub async fn config() -> Result<Config, ClientError> {
    let mut config = Config::infer().await.map_err(|error| ClientError::Config(Box::new(error)))?;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    config.headers.retain(|(name, _)| *name != USER_AGENT);
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    Ok(config)
}

/// A client with a connection of its own.
pub fn client(config: &Config) -> Result<Client, ClientError> {
    Client::try_from(config.clone()).map_err(|error| ClientError::Build(Box::new(error)))
}

/// Why the custom resources cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// Some are not there, or not yet established: discovery lists only those that are.
    #[error(
        "the cluster does not serve {} of {API_VERSION}; install the CustomResourceDefinitions (helm upgrade with \
         crds.enabled=true, or kubectl apply --server-side -f crds/generated); trying again",
        names.join(", ")
    )]
    Missing {
        /// Plural names.
        names: Vec<String>,
    },
    /// One is older than this operator.
    #[error(
        "{name} of {API_VERSION} has no status subresource; install the CustomResourceDefinitions of this version; \
         trying again"
    )]
    NoStatus {
        /// Plural name.
        name: String,
    },
    /// The API server did not answer.
    #[error("the API server cannot be asked for {API_VERSION}: {0}; trying again")]
    Unreachable(#[source] Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("the API server did not say within {} s whether it serves {API_VERSION}; trying again", .0.as_secs())]
    TimedOut(Duration),
}

/// Whether all four kinds are served, with status. Asked by discovery, which every client may.
pub async fn check_crds(client: &Client) -> Result<(), CrdError> {
    let patience = Duration::from_secs(10);
    let listed = tokio::time::timeout(patience, client.list_api_group_resources(API_VERSION)).await;
    let names: BTreeSet<String> = match listed.map_err(|_| CrdError::TimedOut(patience))? {
        Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
        // An unknown group is answered in plain text, which has no reason to go by.
        Err(kube::Error::Api(status)) if status.code == 404 => BTreeSet::new(),
        Err(error) => return Err(CrdError::Unreachable(Box::new(error))),
    };
    served(&names)
}

fn served(names: &BTreeSet<String>) -> Result<(), CrdError> {
    let plural = Kind::ALL.map(Kind::plural);
    let missing: Vec<String> =
        plural.iter().filter(|name| !names.contains(**name)).map(|name| (*name).to_owned()).collect();
    if !missing.is_empty() {
        return Err(CrdError::Missing { names: missing });
    }
    match plural.iter().find(|name| !names.contains(&format!("{name}/status"))) {
        Some(name) => Err(CrdError::NoStatus { name: (*name).to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> BTreeSet<String> {
        list.iter().flat_map(|name| [(*name).to_owned(), format!("{name}/status")]).collect()
    }

    #[test]
    fn missing_kinds_are_named_with_what_to_do() {
        let said = served(&names(&["exchangeaccounts", "riskpolicies"])).unwrap_err().to_string();
        assert!(said.contains("tradingstrategies, tradinghalts of tradewind.dev/v1alpha1"), "{said}");
        assert!(said.contains("kubectl apply --server-side"), "{said}");
    }

    #[test]
    fn kinds_without_status_are_refused() {
        let all = ["exchangeaccounts", "tradingstrategies", "riskpolicies", "tradinghalts"];
        assert!(served(&names(&all)).is_ok());
        let mut old = names(&all);
        old.remove("tradinghalts/status");
        assert!(matches!(served(&old), Err(CrdError::NoStatus { name }) if name == "tradinghalts"));
    }
}
