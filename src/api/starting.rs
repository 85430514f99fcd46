//! What the HTTP server answers while the service starts: it is alive, but not ready.
//!
//! A service whose Kafka cluster does not answer waits before it has workers. A supervisor would restart a service that
//! answers nothing in this time.

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;

use super::problem::Problem;
use super::server::Routers;
use super::{Listeners, limits, serve_routers};

/// Serves until `stop` receives a message or its sender is dropped. Blocks the calling thread.
///
/// # Errors
/// When the socket or the async runtime fails.
pub fn serve(listeners: Listeners, stop: tokio::sync::oneshot::Receiver<()>) -> std::io::Result<()> {
    let complete = |router: Router| router.fallback(not_ready).layer(middleware::from_fn(limits::check_request));
    let probes = || Router::new().route("/livez", get(async || "alive\n"));
    let api = if listeners.probes.is_some() { Router::new() } else { probes() };
    serve_routers(listeners, Routers { api: complete(api), probes: complete(probes()) }, stop)
}

async fn not_ready() -> Problem {
    let detail = "the service is starting: it waits for Kafka, or checks its topics; see its log, and retry later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail.to_owned())
}
