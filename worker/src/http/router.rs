//! Which path gives which answer, and how refusals look: JSON with one sentence in `error`.

use std::collections::btree_map::Keys;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::{Endpoint, metrics, portfolio, risk, signals};
use crate::snapshot::{Phase, Snapshot};

/// Longest piece of a request that is repeated in an answer.
const ECHO: usize = 60;

type Snapshots = watch::Receiver<Arc<Snapshot>>;
type Page = fn(&Arc<Snapshot>, &Parameters) -> Response;

/// What every endpoint answers beside its own pages.
const COMMON: [(&str, Page); 3] = [
    ("/livez", |_, _| Json(json!({"status": "alive"})).into_response()),
    ("/health", health),
    ("/metrics", scrape),
];

/// The endpoint as a router over the newest snapshot.
pub(super) fn of(endpoint: Endpoint, snapshots: Snapshots) -> Router {
    let pages = || pages(endpoint).iter().chain(&COMMON);
    let paths = pages().map(|(path, _)| *path).collect::<Vec<_>>().join(", ");
    let not_found = move |uri: Uri| {
        let path = cut(uri.path());
        let refusal = Refusal {
            status: StatusCode::NOT_FOUND,
            error: format!("there is no {path:?} at the {endpoint} endpoint; there are: {paths}"),
        };
        std::future::ready(refusal)
    };
    pages()
        .fold(Router::new(), |router, (path, page)| router.route(path, serve(*page)))
        .fallback(not_found)
        .method_not_allowed_fallback(|| std::future::ready(Refusal::not_get()))
        .with_state(snapshots)
}

/// The pages of one endpoint alone.
fn pages(endpoint: Endpoint) -> &'static [(&'static str, Page)] {
    match endpoint {
        Endpoint::Portfolio => &[
            ("/portfolio", |snapshot, query| reply(portfolio::portfolio(snapshot, query))),
            ("/trades/recent", |snapshot, query| reply(portfolio::recent_trades(snapshot, query))),
        ],
        Endpoint::Signals => &[
            ("/signals/latest", |snapshot, _| reply(Ok(signals::latest(snapshot)))),
            ("/signals/performance", |snapshot, _| reply(Ok(signals::performance(snapshot)))),
        ],
        Endpoint::Probes => &[],
        Endpoint::Risk => &[("/risk/metrics", |snapshot, _| reply(Ok(risk::risk(snapshot))))],
    }
}

fn serve(page: Page) -> MethodRouter<Snapshots> {
    get(move |State(snapshots): State<Snapshots>, uri: Uri| {
        let snapshot = Arc::clone(&snapshots.borrow());
        let answer = match Query::try_from_uri(&uri) {
            Ok(Query(pairs)) => page(&snapshot, &Parameters(pairs)),
            Err(_) => {
                Refusal::bad("the query cannot be read; write it like ?name=value".to_owned()).into_response()
            }
        };
        std::future::ready(answer)
    })
}

fn reply<T: Serialize>(answer: Result<T, Refusal>) -> Response {
    // What is shown is of now, and of nobody else's now.
    let fresh = [(header::CACHE_CONTROL, "no-store")];
    answer.map(|body| (fresh, Json(body))).into_response()
}

/// Ready when strategies see bars, or have seen all there are.
fn health(snapshot: &Arc<Snapshot>, _: &Parameters) -> Response {
    let phase: &'static str = snapshot.phase.into();
    let why = match snapshot.phase {
        Phase::Running | Phase::Completed => {
            return Json(json!({"status": "ready", "phase": phase})).into_response();
        }
        Phase::Recovering => {
            "the worker is reading its ledger and settling open orders; it trades once that is done"
        }
        Phase::Draining => "the worker was asked to stop and takes no more bars",
    };
    let body = json!({"status": "unready", "phase": phase, "error": why});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

fn scrape(snapshot: &Arc<Snapshot>, _: &Parameters) -> Response {
    match metrics::render(Arc::clone(snapshot)) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error: "the metrics could not be written; scrape again".to_owned(),
        }
        .into_response(),
    }
}

/// The query of a request, decoded.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<(String, String)>);

impl Parameters {
    /// The value of a parameter, if it is there; an error when it is there twice.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Refusal::bad(format!("{name} is given more than once; give it once")));
        }
        Ok(first)
    }
}

/// A request that is not answered, and why.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    fn bad(error: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error }
    }

    fn not_get() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            error: "this path is only read; ask for it with GET".to_owned(),
        }
    }

    /// `limit` is no number or out of its range.
    pub(super) fn bad_limit(text: &str, most: usize) -> Self {
        Self::bad(format!("limit is {:?}; give a whole number from 1 to {most}", cut(text)))
    }

    /// No strategy has that name.
    pub(super) fn unknown_strategy(name: &str, known: Keys<'_, &str, impl Sized>) -> Self {
        let known = known.copied().collect::<Vec<_>>().join(", ");
        let there_are = if known.is_empty() {
            "there is none on this account".to_owned()
        } else {
            format!("there are: {known}")
        };
        Self {
            status: StatusCode::NOT_FOUND,
            error: format!("there is no strategy {:?}; {there_are}", cut(name)),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error}))).into_response()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(ECHO).collect()
}
