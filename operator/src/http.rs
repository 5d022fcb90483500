//! `/livez`, `/readyz` and `/metrics`: served by every replica, leader or not.
//!
//! Alive means that the runtime still answers. Ready means that all watches have listed once, so that this replica could
//! lead at once; a replica that waits is ready too, or a rollout of two would never end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::context::Context;
use crate::metrics::{self, Metrics};

/// How long requests under way may take to end after the shutdown; what is slower is cut off.
const DRAIN: Duration = Duration::from_secs(2);

/// Why the endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("nothing can listen on {address}: {source}; choose another address with --http-address")]
pub struct HttpError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// The endpoints, bound and not yet served.
pub struct Server {
    listener: TcpListener,
    /// Where they really listen.
    pub address: SocketAddr,
}

impl Server {
    /// Binds the address; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, HttpError> {
        let wrong = |source| HttpError { address, source };
        let listener = TcpListener::bind(address).await.map_err(wrong)?;
        let address = listener.local_addr().map_err(wrong)?;
        Ok(Self { listener, address })
    }

    /// Serves until `shutdown` ends.
    pub async fn run(self, ctx: Arc<Context>, shutdown: impl Future<Output = ()>) {
        let stop = Arc::new(tokio::sync::Notify::new());
        let stopped = Arc::clone(&stop).notified_owned();
        let mut serving = std::pin::pin!(
            axum::serve(self.listener, router(ctx)).with_graceful_shutdown(stopped).into_future()
        );
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the HTTP endpoints have ended");
                }
                return;
            }
            () = shutdown => {}
        }
        stop.notify_waiters();
        // What is cut off was only reading.
        let _ = tokio::time::timeout(DRAIN, serving).await;
    }
}

/// The three paths.
pub fn router(ctx: Arc<Context>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(ctx)
}

async fn ready(State(ctx): State<Arc<Context>>) -> (StatusCode, &'static str) {
    if ctx.synced.is_complete() {
        (StatusCode::OK, if ctx.claim.leads() { "ok, leads\n" } else { "ok, waits to lead\n" })
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the watches have not yet listed everything; see the log\n")
    }
}

async fn scrape(State(ctx): State<Arc<Context>>) -> Response {
    match Metrics::render(&ctx) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
