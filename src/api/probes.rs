//! Probes and metrics: asked often, by machines, without a token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// For how long a worker's loop may be silent: longer than the longest call to Kafka that may still return.
const SILENCE_MAX: Duration = Duration::from_mins(2);
/// The Prometheus text format.
pub(super) const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn livez(State(api): State<Arc<Api>>) -> Response {
    let silence = api.health.silence();
    if silence < SILENCE_MAX {
        return "alive\n".into_response();
    }
    let detail = format!("a worker's loop has been silent for {} s", silence.as_secs());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", detail).into_response()
}

pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    if api.health.is_ready() {
        return "ready\n".into_response();
    }
    let detail = "partitions are still to be assigned or restored, or the customers fill state.max_bytes";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail.to_owned()).into_response()
}

pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let page = api.metrics.render(api.health.is_ready());
    ([(header::CONTENT_TYPE, METRICS_TYPE)], page).into_response()
}
