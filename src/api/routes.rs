//! Which path leads where.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::problem::Problem;
use super::{Api, customers, guard, models, partitions, transitions};

/// Every route and what it answers: the table of docs/http.md.
pub const ROUTES: &[(&str, &str)] = &[
    ("/livez", "200 while every worker's loop comes round; a supervisor restarts what answers 503."),
    (
        "/readyz",
        "200 once all partitions of this instance are restored and worked on; stays so while the broker is away.",
    ),
    ("/metrics", "Metrics in the Prometheus text format."),
    (
        "/v1/customers/{customer_id}",
        "A customer as committed: facts, standings and why, the next wake-up and what it will publish, the latest transitions kept.",
    ),
    (
        "/v1/customers/{customer_id}/forecast",
        "What will be published, and when, if the customer stays silent: `days` ahead (1095 unless told).",
    ),
    ("/v1/models", "The models that run, with their stages and conditions."),
    (
        "/v1/models/{model}",
        "A model: definition, graph, customers of this instance in each stage; the graph alone with `format` svg, mermaid or dot.",
    ),
    ("/v1/partitions", "The partitions of this instance: worker, position, lag, clock, customers, restore."),
    (
        "/v1/transitions",
        "The latest committed transitions of this instance, as published: `limit` of them, those `after` a cursor, of a `model`; \
         `wait` seconds for the next.",
    ),
];

/// For how long a worker's loop may be silent: longer than the longest call to Kafka that may still return.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// How answers about paths that lead nowhere are counted.
const UNKNOWN_PATH: &str = "unknown";

pub(super) fn router(api: Arc<Api>) -> Router {
    let questions = Router::new()
        .route("/v1/customers/{customer_id}", get(customers::customer))
        .route("/v1/customers/{customer_id}/forecast", get(customers::forecast))
        .route("/v1/models", get(models::models))
        .route("/v1/models/{model}", get(models::model))
        .route("/v1/partitions", get(partitions::partitions))
        .route("/v1/transitions", get(transitions::transitions))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::admit));
    api.metrics.begin_routes(ROUTES.iter().map(|(path, _)| *path));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(questions)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), count))
        .with_state(api)
}

/// Counts the answer under the route's template: what was asked for may name a customer.
async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = ROUTES.iter().map(|(path, _)| *path).find(|path| Some(*path) == template.as_deref());
    let began = Instant::now();
    let response = next.run(request).await;
    api.metrics.answered(path.unwrap_or(UNKNOWN_PATH), response.status().as_u16(), began.elapsed());
    response
}

async fn livez(State(api): State<Arc<Api>>) -> Response {
    let silence = api.health.silence();
    if silence < SILENCE_MAX {
        return "alive\n".into_response();
    }
    let detail = format!("a worker's loop has been silent for {} s", silence.as_secs());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stuck", detail).into_response()
}

async fn readyz(State(api): State<Arc<Api>>) -> Response {
    if api.health.is_ready() {
        return "ready\n".into_response();
    }
    let detail = "partitions are still to be assigned or restored, or the customers fill state.max_bytes";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail.to_owned()).into_response()
}

async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let page = api.metrics.render(api.health.is_ready());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}

async fn unknown() -> Problem {
    let paths: Vec<_> = ROUTES.iter().map(|(path, _)| *path).collect();
    Problem::new(StatusCode::NOT_FOUND, "unknown-path", format!("the paths are {}", paths.join(", ")))
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "this path can only be read: use GET".to_owned())
}
