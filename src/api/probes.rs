//! The endpoints for liveness, readiness and metrics, which need no token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// Maximum time since a worker's last heartbeat; longer than the longest blocking call to Kafka.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_mins(2);
/// The Prometheus text format.
pub(super) const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn livez(State(api): State<Arc<Api>>) -> Response {
    let since_heartbeat = api.status_registry.since_heartbeat();
    if since_heartbeat < HEARTBEAT_TIMEOUT {
        return "alive\n".into_response();
    }
    let detail = format!("a worker has sent no heartbeat for {} s", since_heartbeat.as_secs());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", detail).into_response()
}

pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    if api.status_registry.is_ready() {
        return "ready\n".into_response();
    }
    let detail = "partitions are not yet assigned or restored, the customers exceed state.max_bytes, or the schema \
                  registry of a source does not answer";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail.to_owned()).into_response()
}

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let mut text = api.metrics.render();
    if let Some(deliveries) = &api.deliveries {
        text.push_str(&deliveries.render_metrics());
    }
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
