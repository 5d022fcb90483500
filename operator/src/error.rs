//! Why a pass over an object failed. What failed is tried again with a growing pause; nothing here ends the process.

use std::time::Duration;

/// Why a pass over an object failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the API server failed.
    #[error("{verb} {what}: {source}")]
    Api {
        /// What was tried, such as `apply`.
        verb: &'static str,
        /// On what, such as `StatefulSet default/paper`.
        what: String,
        /// What the API server, or the way there, said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The pass took too long; it is given up and begun anew.
    #[error("the pass took longer than {} s; is the API server slow or out of reach?", .0.as_secs())]
    TimedOut(Duration),
    /// The object has no uid or no namespace, which the API server gives to every one.
    #[error("{what} has no {field}; it was not read from an API server")]
    Incomplete {
        /// Kind, namespace and name.
        what: String,
        /// What it lacks.
        field: &'static str,
    },
    /// An object of the name that is needed is about to go; it is made anew then.
    #[error("{0} is being deleted; it is made anew when it is gone")]
    Going(String),
    /// What is to be written is no JSON.
    #[error("{what} cannot be written as JSON: {source}")]
    Json {
        /// What was to be written.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// For `map_err`: the request that failed.
    pub fn api(verb: &'static str, what: impl ToString) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { verb, what: what.to_string(), source: Box::new(source) }
    }

    /// The closed set of words that count errors in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.is_conflict() => "conflict",
                kube::Error::Api(status) if status.is_forbidden() => "forbidden",
                kube::Error::Api(status) if status.is_not_found() => "not-found",
                kube::Error::Api(status) if status.is_invalid() => "invalid",
                kube::Error::Api(status) if status.code == 429 => "throttled",
                kube::Error::Api(status) if status.code >= 500 => "server",
                kube::Error::Api(_) => "refused",
                _ => "unreachable",
            },
            Self::TimedOut(_) => "timeout",
            Self::Going(_) => "conflict",
            Self::Incomplete { .. } | Self::Json { .. } => "internal",
        }
    }

    /// The API server's answer, when it gave one.
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }
}
