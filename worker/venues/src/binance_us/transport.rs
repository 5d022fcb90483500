//! HTTP to the venue: the one place where bytes leave.
//!
//! It promises that each call writes its request at most once: nothing is retried, redirected or replayed, also not on
//! a pooled connection that turns out to be dead. HTTP/1.1 only, for a request that an HTTP/2 server refused may be
//! replayed by intermediaries. Each call has a deadline, and an answer a largest size.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::ExposeSecret;

use super::budget::Usage;
use super::credentials::Credentials;
use super::endpoint::Endpoint;
use super::outcome::{Held, Lost, Seen};
use super::request::{ExactRequest, Security};

/// How long a call may take, from the first byte to the last: less than the life of its signature, so that whoever
/// waits for the one has waited for the other.
pub const DEADLINE: Duration = Duration::from_secs(4);
/// The largest answer that is read. The longest is `exchangeInfo`, of some megabytes.
pub const MOST_BYTES: usize = 16 << 20;
/// A connection that was idle for longer is not used again: the venue may be closing it at that moment, and then nobody
/// would know what became of the request.
const IDLE: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// What its headers say of our limits.
    pub usage: Usage,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// Not a byte of the request has left.
    NotSent(Held),
    /// It may have left.
    Lost(Lost),
}

impl From<NoAnswer> for Seen {
    fn from(no: NoAnswer) -> Self {
        match no {
            NoAnswer::NotSent(why) => Self::Held(why),
            NoAnswer::Lost(how) => Self::Lost(how),
        }
    }
}

/// A client of one venue, with connections of its own.
pub struct Transport {
    endpoint: Endpoint,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    deadline: Duration,
}

impl Transport {
    /// A client of that endpoint. It connects with the first call.
    pub fn new(endpoint: Endpoint) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(DEADLINE / 2));
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?;
        let connector = tls.https_or_http().enable_http1().wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(4)
            .build(connector);
        Ok(Self { endpoint, client, deadline: DEADLINE })
    }

    /// The same with another deadline, which is never longer than [`DEADLINE`].
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline: deadline.min(DEADLINE), ..self }
    }

    /// Where it sends to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends the request, once, and reads the whole answer.
    pub async fn send(&self, request: &ExactRequest, credentials: &Credentials) -> Result<Answer, NoAnswer> {
        let request = self.written(request, credentials).ok_or(NoAnswer::NotSent(Held::NotSendable))?;
        match tokio::time::timeout(self.deadline, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => Err(NoAnswer::Lost(Lost::Deadline)),
        }
    }

    fn written(&self, request: &ExactRequest, credentials: &Credentials) -> Option<Request<Empty<Bytes>>> {
        let method: &'static str = request.method.into();
        let signed = request.security == Security::Signed;
        let target = if signed { request.target(&credentials.secret) } else { request.public_target() };
        let mut builder = Request::builder().method(method).uri(self.endpoint.uri(&target)?);
        if signed {
            let mut key = HeaderValue::from_str(credentials.key.0.expose_secret()).ok()?;
            key.set_sensitive(true);
            builder = builder.header("x-mbx-apikey", key);
        }
        builder.body(Empty::new()).ok()
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Answer, NoAnswer> {
        let response = self.client.request(request).await.map_err(|error| {
            // Only the failure to connect proves that nothing was written.
            if error.is_connect() {
                NoAnswer::NotSent(Held::NoConnection)
            } else {
                NoAnswer::Lost(Lost::Connection)
            }
        })?;
        let (status, usage) = (response.status().as_u16(), usage(&response));
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await.map_err(|error| {
            NoAnswer::Lost(if error.is::<LengthLimitError>() { Lost::TooLong } else { Lost::Connection })
        })?;
        Ok(Answer { status, usage, body: body.to_bytes() })
    }
}

fn usage<B>(response: &Response<B>) -> Usage {
    let headers = response.headers();
    Usage {
        status: response.status().as_u16(),
        retry_after: number(headers, "retry-after"),
        used_weight: number(headers, "x-mbx-used-weight-1m"),
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}
