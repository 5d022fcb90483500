//! Where the venue is. Keys travel there, so plain HTTP is for what stays on the machine or in the cluster.

use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};

/// The venue itself.
pub const DEFAULT_ENDPOINT: &str = "https://api.binance.us";

/// Why an endpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No URL.
    #[error("{text:?} is no URL of a venue; write it like {DEFAULT_ENDPOINT:?}")]
    NotAUrl {
        /// What was given.
        text: String,
    },
    /// More than scheme, host and port.
    #[error("{text:?} must be scheme and host, with a port if need be, and nothing else")]
    TooMuch {
        /// What was given.
        text: String,
    },
    /// Plain HTTP to somewhere else.
    #[error(
        "{text:?} would send the key unencrypted to another machine; use https, or http to the loopback address or a Service of the cluster (NAME.NAMESPACE.svc)"
    )]
    Unencrypted {
        /// What was given.
        text: String,
    },
}

/// Scheme, host and port of a venue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    authority: Authority,
    scheme: Scheme,
}

impl Endpoint {
    /// Whether it is on this machine or in this cluster, so that what trades there trades for nobody.
    pub fn is_local(&self) -> bool {
        is_local(self.authority.host())
    }

    /// Scheme and authority, as they are given.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The URI of that path and query.
    pub(super) fn uri(&self, target: &str) -> Option<Uri> {
        let builder = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        builder.path_and_query(target).build().ok()
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(80).collect::<String>();
        let parts = text.parse::<Uri>().map(Uri::into_parts);
        let Ok(parts) = parts else { return Err(EndpointError::NotAUrl { text: shown() }) };
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(EndpointError::NotAUrl { text: shown() });
        };
        // A user name here would be a password in a place that is not secret.
        let bare = parts.path_and_query.is_none_or(|path| path == "/");
        if !bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(EndpointError::TooMuch {
                text: text.split('@').next_back().unwrap_or("").to_owned(),
            });
        }
        match scheme.as_str() {
            "https" => {}
            "http" if is_local(authority.host()) => {}
            "http" => return Err(EndpointError::Unencrypted { text: shown() }),
            _ => return Err(EndpointError::NotAUrl { text: shown() }),
        }
        Ok(Self { authority, scheme })
    }
}

fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match address {
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Ok(IpAddr::V6(address)) => address.is_loopback(),
        Err(_) => host == "localhost" || is_service(host),
    }
}

/// `NAME.NAMESPACE.svc`, also with the cluster's usual domain.
fn is_service(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let short = host.strip_suffix(".cluster.local").unwrap_or(host);
    let mut labels = short.split('.');
    matches!(
        (labels.next(), labels.next(), labels.next(), labels.next()),
        (Some(name), Some(namespace), Some("svc"), None) if label(name) && label(namespace)
    )
}
