//! Where the Lease lies: the API server, one request a call, none repeated.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client, Config};

use super::decide::REQUEST_TIMEOUT;

/// Why the Lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Somebody else wrote it in between.
    #[error("the Lease was changed by another in between; it is read again")]
    Conflict,
    /// No answer in time: it may have been written or not.
    #[error("the API server did not answer within {} s; entries stop when the Lease runs out", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The API server refuses or cannot be reached.
    #[error("the Lease cannot be read or written: {0}; entries stop when it runs out")]
    Api(#[source] Box<kube::Error>),
    /// No client can be made of the configuration.
    #[error("no client for the Lease can be made: {0}; check the kubeconfig or the pod's service account")]
    Client(#[source] Box<kube::Error>),
}

/// Reads and writes one Lease.
pub trait Store {
    /// The Lease; none when there is none.
    fn read(&self) -> impl Future<Output = Result<Option<Lease>, LeaseError>> + Send;

    /// Makes it; [`LeaseError::Conflict`] when there is one.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LeaseError>> + Send;

    /// Replaces it, if it still has the version given; else [`LeaseError::Conflict`].
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Lease, LeaseError>> + Send;
}

/// The Lease of an account in its namespace.
#[derive(Clone)]
pub struct ApiStore {
    api: Api<Lease>,
    name: String,
}

impl ApiStore {
    /// With a client of its own, made of the process's configuration: short time-outs and no retries, so that a slow API
    /// server costs one renewal and not all of them.
    pub fn new(mut config: Config, namespace: &str, name: &str) -> Result<Self, LeaseError> {
        config.default_retry = false;
        config.connect_timeout = Some(REQUEST_TIMEOUT);
        config.write_timeout = Some(REQUEST_TIMEOUT);
        let client = Client::try_from(config).map_err(|e| LeaseError::Client(Box::new(e)))?;
        Ok(Self { api: Api::namespaced(client, namespace), name: name.to_owned() })
    }

    async fn within<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
        match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
            Err(_) => Err(LeaseError::TimedOut(REQUEST_TIMEOUT)),
            Ok(Ok(value)) => Ok(value),
            // Gone, made or changed by another since it was read: the next step reads it again.
            Ok(Err(kube::Error::Api(s))) if s.is_conflict() || s.is_already_exists() || s.is_not_found() => {
                Err(LeaseError::Conflict)
            }
            Ok(Err(error)) => Err(LeaseError::Api(Box::new(error))),
        }
    }
}

impl Store for ApiStore {
    async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        self.within(self.api.get_opt(&self.name)).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.within(self.api.create(&PostParams::default(), lease)).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        self.within(self.api.replace(&self.name, &PostParams::default(), lease)).await
    }
}
