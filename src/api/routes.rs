//! Which path leads where: the one table behind the router, docs/http.md and the `OpenAPI` document.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use schemars::Schema;

use super::openapi::{self, Content};
use super::parameters::{self, Parameters};
use super::probes::METRICS_TYPE;
use super::problem::Problem;
use super::{Api, customers, guard, limits, models, partitions, probes, transitions};

/// A path that can be read.
pub struct Route {
    /// With its variable parts in braces.
    pub path: &'static str,
    /// What it answers.
    pub about: &'static str,
    pub(super) id: &'static str,
    pub(super) access: Access,
    pub(super) query: Option<fn() -> Schema>,
    pub(super) contents: &'static [Content],
    /// Beside those that may come of any question.
    pub(super) problems: &'static [StatusCode],
    get: fn() -> MethodRouter<Arc<Api>>,
}

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Whoever reaches the address.
    Anybody,
    /// Whoever bears the token; without one, programs on this machine.
    Token,
}

const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;

/// Every route.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/livez",
        about: "200 while every worker's loop comes round; a supervisor restarts what answers 503.",
        id: "livez",
        access: Access::Anybody,
        query: None,
        contents: &[Content::text("text/plain; charset=utf-8")],
        problems: &[StatusCode::SERVICE_UNAVAILABLE],
        get: || get(probes::livez),
    },
    Route {
        path: "/readyz",
        about: "200 once all partitions of this instance are restored and worked on; stays so while the broker is away.",
        id: "readyz",
        access: Access::Anybody,
        query: None,
        contents: &[Content::text("text/plain; charset=utf-8")],
        problems: &[StatusCode::SERVICE_UNAVAILABLE],
        get: || get(probes::readyz),
    },
    Route {
        path: "/metrics",
        about: "Metrics in the Prometheus text format.",
        id: "metrics",
        access: Access::Anybody,
        query: None,
        contents: &[Content::text(METRICS_TYPE)],
        problems: &[],
        get: || get(probes::metrics),
    },
    Route {
        path: "/openapi.json",
        about: "All of this as an OpenAPI 3.1 document.",
        id: "openapi",
        access: Access::Anybody,
        query: None,
        contents: &[Content::object()],
        problems: &[],
        get: || get(async || Json(openapi::document())),
    },
    Route {
        path: "/v1/customers/{customer_id}",
        about: "A customer as committed: facts, standings and why, the next wake-up and what it will publish, the latest transitions kept.",
        id: "customer",
        access: Access::Token,
        query: None,
        contents: &[Content::json::<customers::Customer>()],
        problems: &[NOT_FOUND],
        get: || get(customers::customer),
    },
    Route {
        path: "/v1/customers/{customer_id}/forecast",
        about: "What will be published, and when, if the customer stays silent: `days` ahead (1095 unless told).",
        id: "forecast",
        access: Access::Token,
        query: Some(openapi::query::<customers::ForecastQuery>),
        contents: &[Content::json::<customers::Forecast>()],
        problems: &[NOT_FOUND],
        get: || get(customers::forecast),
    },
    Route {
        path: "/v1/models",
        about: "The models that run, with their stages and conditions.",
        id: "models",
        access: Access::Token,
        query: None,
        contents: &[Content::json::<models::Models>()],
        problems: &[],
        get: || get(models::models),
    },
    Route {
        path: "/v1/models/{model}",
        about: "A model: definition, graph, customers of this instance in each stage; the graph alone with `format` svg, mermaid or dot, in the `language` en, ru, fi or uk.",
        id: "model",
        access: Access::Token,
        query: Some(openapi::query::<models::ModelQuery>),
        contents: &[
            Content::json::<models::ModelAnswer>(),
            Content::text("image/svg+xml"),
            Content::text("text/plain; charset=utf-8"),
        ],
        problems: &[NOT_FOUND],
        get: || get(models::model),
    },
    Route {
        path: "/v1/partitions",
        about: "The partitions of this instance: worker, position, lag, clock, customers, restore.",
        id: "partitions",
        access: Access::Token,
        query: None,
        contents: &[Content::json::<partitions::Partitions>()],
        problems: &[],
        get: || get(partitions::partitions),
    },
    Route {
        path: "/v1/transitions",
        about: "The latest committed transitions of this instance, as published: `limit` of them, those `after` a cursor, of a \
                `model`; `wait` seconds for the next.",
        id: "transitions",
        access: Access::Token,
        query: Some(openapi::query::<transitions::TransitionsQuery>),
        contents: &[Content::json::<transitions::Transitions>()],
        problems: &[NOT_FOUND],
        get: || get(transitions::transitions),
    },
];

/// How answers about paths that lead nowhere are counted.
const UNKNOWN_PATH: &str = "unknown";

pub(super) fn router(api: Arc<Api>) -> Router {
    let of = |access: Access, get: fn(&Route) -> MethodRouter<Arc<Api>>| {
        let routes = ROUTES.iter().filter(|route| route.access == access);
        routes.fold(Router::new(), |router, route| router.route(route.path, get(route)))
    };
    let questions = of(Access::Token, |route| {
        let parameters = Arc::new(Parameters::of(route));
        (route.get)().route_layer(middleware::from_fn_with_state(parameters, parameters::check))
    });
    let questions = questions
        .layer(middleware::from_fn_with_state(limits::free_questions(), limits::queue))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::admit));
    api.metrics.begin_routes(ROUTES.iter().map(|route| route.path));
    of(Access::Anybody, |route| (route.get)())
        .merge(questions)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(limits::check))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), count))
        .with_state(api)
}

/// Counts the answer under the route's template: what was asked for may name a customer.
async fn count(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = ROUTES.iter().map(|route| route.path).find(|path| Some(*path) == template.as_deref());
    let began = Instant::now();
    let response = next.run(request).await;
    api.metrics.answered(path.unwrap_or(UNKNOWN_PATH), response.status().as_u16(), began.elapsed());
    response
}

async fn unknown() -> Problem {
    let paths: Vec<_> = ROUTES.iter().map(|route| route.path).collect();
    Problem::new(StatusCode::NOT_FOUND, "unknown-path", format!("the paths are {}", paths.join(", ")))
}

async fn wrong_method() -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "this path can only be read: use GET".to_owned())
        .into_response()
}
