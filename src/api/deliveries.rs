//! The routes of deliveries: the state of each destination, pause and resume. `lifecycle deliver` serves them with
//! probes and metrics of its own, `lifecycle run` with those of the service.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::authorization::{reader, reject_foreign_page};
use super::probes::METRICS_TYPE;
use super::problem::Problem;
use super::server::Routers;
use super::tokens::{Role, SharedTokens};
use super::{Listeners, serve_routers};
use crate::deliver::{DestinationHandle, Statuses};
use crate::lifecycle::time::Timestamp;
use crate::telemetry::deliveries::{DeliverySnapshot, render};
use crate::wire::time::format_timestamp;

/// The state that the routes share.
#[derive(Debug)]
pub struct Deliveries {
    /// The destinations.
    pub statuses: Statuses,
    /// The tokens of which requests under `/v1` must send one with the role `customers`; `None` requires a loopback
    /// host name instead.
    pub tokens: Option<SharedTokens>,
}

/// The paths of the routes.
pub(super) const PATHS: [&str; 4] = [
    "/v1/deliveries",
    "/v1/deliveries/{destination}",
    "/v1/deliveries/{destination}/pause",
    "/v1/deliveries/{destination}/resume",
];

/// Serves until `stop` receives a message or its sender is dropped. Blocks the calling thread.
///
/// # Errors
/// When the socket or the async runtime fails.
pub fn serve(
    listeners: Listeners,
    deliveries: &Arc<Deliveries>,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let probes = || {
        Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
    };
    let complete = |router: Router<Arc<Deliveries>>| {
        let unknown = async || not_found("no such path: see docs/deliver.md".to_owned());
        router.fallback(unknown).with_state(Arc::clone(deliveries))
    };
    let api = if listeners.probes.is_some() { Router::new() } else { probes() };
    let routers = Routers { api: complete(api.merge(routes(deliveries))), probes: complete(probes()) };
    serve_routers(listeners, routers, stop)
}

/// Returns the routes, which need a token if one is configured.
fn routes(deliveries: &Arc<Deliveries>) -> Router<Arc<Deliveries>> {
    let [all, destination, pause_path, resume_path] = PATHS;
    Router::new()
        .route(all, get(list))
        .route(destination, get(one))
        .route(pause_path, post(pause))
        .route(resume_path, post(resume))
        .layer(middleware::from_fn_with_state(Arc::clone(deliveries), authorize))
}

/// Returns the routes, to be served beside those of the service.
pub(super) fn router<S: Clone + Send + Sync + 'static>(deliveries: &Arc<Deliveries>) -> Router<S> {
    routes(deliveries).with_state(Arc::clone(deliveries))
}

impl Deliveries {
    /// Returns the metrics of all destinations in the Prometheus text format.
    pub(super) fn render_metrics(&self) -> String {
        let snapshots: Vec<DeliverySnapshot> = self.statuses.iter().map(|status| status.snapshot()).collect();
        render(&snapshots)
    }
}

async fn authorize(State(deliveries): State<Arc<Deliveries>>, request: Request, next: Next) -> Response {
    let tokens = deliveries.tokens.as_ref();
    let is_change = request.method() != Method::GET && request.method() != Method::HEAD;
    if is_change
        && tokens.is_none()
        && let Err(problem) = reject_foreign_page(request.headers())
    {
        return problem.into_response();
    }
    match reader(tokens, request.headers(), Role::Customers) {
        Err(problem) => problem.into_response(),
        Ok(_) => next.run(request).await,
    }
}

async fn readyz(State(deliveries): State<Arc<Deliveries>>) -> Response {
    if deliveries.statuses.iter().all(|status| status.snapshot().is_ready) {
        return "ready\n".into_response();
    }
    let detail = "a destination has not joined its consumer group yet".to_owned();
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail).into_response()
}

async fn metrics(State(deliveries): State<Arc<Deliveries>>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], deliveries.render_metrics()).into_response()
}

async fn list(State(deliveries): State<Arc<Deliveries>>) -> Json<Value> {
    let all: Vec<Value> = deliveries.statuses.iter().map(|status| describe(&status.snapshot())).collect();
    Json(json!({"destinations": all}))
}

async fn one(State(deliveries): State<Arc<Deliveries>>, Path(name): Path<String>) -> Response {
    with(&deliveries, &name, |status| Json(describe(&status.snapshot())).into_response())
}

async fn pause(State(deliveries): State<Arc<Deliveries>>, Path(name): Path<String>) -> Response {
    with(&deliveries, &name, |status| {
        status.pause();
        tracing::info!(destination = status.snapshot().destination, "destination paused");
        StatusCode::ACCEPTED.into_response()
    })
}

async fn resume(State(deliveries): State<Arc<Deliveries>>, Path(name): Path<String>) -> Response {
    with(&deliveries, &name, |status| {
        status.resume();
        tracing::info!(destination = status.snapshot().destination, "destination resumed");
        StatusCode::ACCEPTED.into_response()
    })
}

fn with(deliveries: &Deliveries, name: &str, act: impl FnOnce(&DestinationHandle) -> Response) -> Response {
    match deliveries.statuses.iter().find(|status| status.snapshot().destination == name) {
        Some(status) => act(status),
        None => not_found("no such destination: GET /v1/deliveries lists them".to_owned()),
    }
}

fn not_found(detail: String) -> Response {
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail).into_response()
}

fn describe(snapshot: &DeliverySnapshot) -> Value {
    let errors: Vec<Value> = (snapshot.errors.iter().rev())
        .map(|error| {
            let at = format_timestamp(Timestamp::from_millis(error.at_ms));
            json!({"at": at, "kind": error.kind, "what": error.what})
        })
        .collect();
    let partitions: Vec<Value> = (snapshot.partitions.iter())
        .map(|(partition, position)| json!({"partition": partition, "position": position}))
        .collect();
    json!({
        "destination": snapshot.destination,
        "state": snapshot.state,
        "delivered": snapshot.delivered,
        "retried": snapshot.retried,
        "dead": snapshot.dead,
        "suppressed": snapshot.suppressed,
        "attempts": snapshot.attempts,
        "waiting": snapshot.waiting,
        "in_flight": snapshot.in_flight,
        "oldest_age_seconds": snapshot.oldest_age.as_secs_f64(),
        "lag_records": snapshot.lag,
        "partitions": partitions,
        "errors": errors,
    })
}
