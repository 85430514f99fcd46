//! The HTTP server of `lifecycle deliver`: probes, metrics, the state of each destination, pause and resume.

use std::net::TcpListener;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::authorization::reader;
use super::probes::METRICS_TYPE;
use super::problem::Problem;
use super::server;
use super::tokens::{Role, SharedTokens};
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

/// Serves until `stop` receives a message or its sender is dropped. Blocks the calling thread.
///
/// # Errors
/// When the socket or the async runtime fails.
pub fn serve(
    listener: TcpListener,
    deliveries: Arc<Deliveries>,
    stop: tokio::sync::oneshot::Receiver<()>,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            () = server::serve(listener, router(deliveries), None) => Ok(()),
            _ = stop => Ok(()),
        }
    })
}

fn router(deliveries: Arc<Deliveries>) -> Router {
    let authorized = Router::new()
        .route("/v1/deliveries", get(list))
        .route("/v1/deliveries/{destination}", get(one))
        .route("/v1/deliveries/{destination}/pause", post(pause))
        .route("/v1/deliveries/{destination}/resume", post(resume))
        .layer(middleware::from_fn_with_state(Arc::clone(&deliveries), authorize));
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(authorized)
        .fallback(async || not_found("no such path: see docs/deliver.md".to_owned()))
        .with_state(deliveries)
}

async fn authorize(State(deliveries): State<Arc<Deliveries>>, request: Request, next: Next) -> Response {
    match reader(deliveries.tokens.as_ref(), request.headers(), Role::Customers) {
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
    let snapshots: Vec<DeliverySnapshot> = deliveries.statuses.iter().map(|status| status.snapshot()).collect();
    ([(header::CONTENT_TYPE, METRICS_TYPE)], render(&snapshots)).into_response()
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
