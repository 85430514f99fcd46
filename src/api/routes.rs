//! The table of routes, which the router, docs/http.md and the `OpenAPI` document share.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde_json::Value;

use super::openapi;
use super::parameters::{self, Parameters};
use super::probes::METRICS_TYPE;
use super::problem::Problem;
use super::route::{Access, Content, Route, query};
use super::server::Routers;
use super::tokens::Role;
use super::{
    Api, authorization, customers, deliveries, limits, models, overview, partitions, probes, refused_links,
    stage_customers, transitions,
};

const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;

/// All routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/livez",
        description: "200 while every worker sends heartbeats; on 503 a supervisor should restart the process.",
        id: "livez",
        access: Access::Probe,
        query: None,
        contents: &[Content::text("text/plain; charset=utf-8")],
        problems: &[StatusCode::SERVICE_UNAVAILABLE],
        get: || get(probes::livez),
    },
    Route {
        path: "/readyz",
        description: "200 once all partitions of this instance are restored and processed; stays 200 while the broker is unavailable.",
        id: "readyz",
        access: Access::Probe,
        query: None,
        contents: &[Content::text("text/plain; charset=utf-8")],
        problems: &[StatusCode::SERVICE_UNAVAILABLE],
        get: || get(probes::readyz),
    },
    Route {
        path: "/metrics",
        description: "Metrics in the Prometheus text format.",
        id: "metrics",
        access: Access::Probe,
        query: None,
        contents: &[Content::text(METRICS_TYPE)],
        problems: &[],
        get: || get(probes::metrics),
    },
    Route {
        path: "/openapi.json",
        description: "This API as an OpenAPI 3.1 document.",
        id: "openapi",
        access: Access::Public,
        query: None,
        contents: &[Content::object()],
        problems: &[],
        get: || get(async || Json(document())),
    },
    Route {
        path: "/v1/customers/{customer_id}",
        description: "A customer's committed state, by any of its ids: facts, standings and the conditions behind them, the next wake-up and what it will publish, the latest transitions in memory.",
        id: "customer",
        access: Access::Token(Role::Customers),
        query: None,
        contents: &[Content::json::<customers::Customer>()],
        problems: &[NOT_FOUND],
        get: || get(customers::customer),
    },
    Route {
        path: "/v1/customers/{customer_id}/forecast",
        description: "The transitions that will be published if no further touchpoint of the customer arrives, for the next `days` (default 1095).",
        id: "forecast",
        access: Access::Token(Role::Customers),
        query: Some(query::<customers::ForecastQuery>),
        contents: &[Content::json::<customers::Forecast>()],
        problems: &[NOT_FOUND],
        get: || get(customers::forecast),
    },
    Route {
        path: "/v1/links/refused",
        description: "The latest links that identity resolution refused on this instance, with the reason: at most `limit` (default \
                100) of the 1,000 in memory.",
        id: "refused_links",
        access: Access::Token(Role::Customers),
        query: Some(query::<refused_links::RefusedLinksQuery>),
        contents: &[Content::json::<refused_links::RefusedLinksPage<'_>>()],
        problems: &[],
        get: || get(refused_links::refused_links),
    },
    Route {
        path: "/v1/models",
        description: "The running models, with their stages and conditions.",
        id: "models",
        access: Access::Token(Role::Aggregates),
        query: None,
        contents: &[Content::json::<models::Models>()],
        problems: &[],
        get: || get(models::models),
    },
    Route {
        path: "/v1/models/{model}",
        description: "A model: definition, graph, and number of this instance's customers per stage. With `format` svg, mermaid or dot, only the graph, in the `language` en, ru, fi or uk.",
        id: "model",
        access: Access::Token(Role::Aggregates),
        query: Some(query::<models::ModelQuery>),
        contents: &[
            Content::json::<models::ModelResponse>(),
            Content::text("image/svg+xml"),
            Content::text("text/plain; charset=utf-8"),
        ],
        problems: &[NOT_FOUND],
        get: || get(models::model),
    },
    Route {
        path: "/v1/models/{model}/stages/{stage}/customers",
        description: "The customers in a stage, of all instances: at most `limit` (default 100), from a `cursor` on.",
        id: "stage_customers",
        access: Access::Token(Role::Customers),
        query: Some(query::<stage_customers::StageQuery>),
        contents: &[Content::json::<stage_customers::StageCustomers>()],
        problems: &[NOT_FOUND, StatusCode::GONE],
        get: || get(stage_customers::stage_customers),
    },
    Route {
        path: "/v1/overview",
        description: "The totals of this instance: touchpoints, transitions, lag, durations of commits, customers per stage, moves.",
        id: "overview",
        access: Access::Token(Role::Aggregates),
        query: None,
        contents: &[Content::json::<overview::Overview>()],
        problems: &[],
        get: || get(overview::overview),
    },
    Route {
        path: "/v1/partitions",
        description: "The partitions of this instance: worker, position, committed offset, lag, clock, customers, restore progress.",
        id: "partitions",
        access: Access::Token(Role::Aggregates),
        query: None,
        contents: &[Content::json::<partitions::Partitions>()],
        problems: &[],
        get: || get(partitions::partitions),
    },
    Route {
        path: "/v1/transitions",
        description: "The latest committed transitions of this instance, as published: at most `limit`, `after` a cursor, of one \
                `model`. Waits up to `wait` seconds if there is none yet.",
        id: "transitions",
        access: Access::Token(Role::Customers),
        query: Some(query::<transitions::TransitionsQuery>),
        contents: &[Content::json::<transitions::Transitions>()],
        problems: &[NOT_FOUND],
        get: || get(transitions::transitions),
    },
];

/// Returns the `OpenAPI` document of all routes.
#[must_use]
pub fn document() -> Value {
    openapi::document(ROUTES)
}

/// The metric label of requests that match no route.
const UNKNOWN_PATH: &str = "unknown";

/// Returns the routers with their middleware. With `has_probe_listener`, the router of the API does not contain the
/// probes and the metrics.
pub(super) fn routers(api: &Arc<Api>, has_probe_listener: bool) -> Routers {
    let router_for = |access: Access, get: fn(&Route) -> MethodRouter<Arc<Api>>| {
        let routes = ROUTES.iter().filter(|route| route.access == access);
        routes.fold(Router::new(), |router, route| router.route(route.path, get(route)))
    };
    let permits = limits::request_permits();
    let authorized = |role| {
        let router = router_for(Access::Token(role), |route| {
            let parameters = Arc::new(Parameters::of(route));
            (route.get)().route_layer(middleware::from_fn_with_state(parameters, parameters::check_query))
        });
        router
            .layer(middleware::from_fn_with_state(Arc::clone(&permits), limits::limit_concurrency))
            .layer(middleware::from_fn_with_state((Arc::clone(api), role), authorization::authorize))
    };
    let complete = |router: Router<Arc<Api>>| {
        router
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .layer(middleware::from_fn(limits::check_request))
            .layer(middleware::from_fn_with_state(Arc::clone(api), count_response))
            .with_state(Arc::clone(api))
    };
    api.metrics.init_routes(paths(api));
    let probes = || router_for(Access::Probe, |route| (route.get)());
    let mut router = router_for(Access::Public, |route| (route.get)())
        .merge(authorized(Role::Aggregates))
        .merge(authorized(Role::Customers));
    if let Some(deliveries) = &api.deliveries {
        router = router.merge(deliveries::router(deliveries));
    }
    if !has_probe_listener {
        router = router.merge(probes());
    }
    Routers { api: complete(router), probes: complete(probes()) }
}

/// Returns the paths that `api` serves.
fn paths(api: &Api) -> impl Iterator<Item = &'static str> {
    let deliveries = api.deliveries.iter().flat_map(|_| deliveries::PATHS);
    ROUTES.iter().map(|route| route.path).chain(deliveries)
}

/// Counts the response under the route's path template, because the actual path may contain a customer id.
async fn count_response(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let template = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = paths(&api).find(|path| Some(*path) == template.as_deref());
    let started = Instant::now();
    let response = next.run(request).await;
    api.metrics.observe_response(path.unwrap_or(UNKNOWN_PATH), response.status().as_u16(), started.elapsed());
    response
}

async fn unknown_path(State(api): State<Arc<Api>>) -> Problem {
    let paths: Vec<_> = paths(&api).collect();
    Problem::new(StatusCode::NOT_FOUND, "unknown-path", format!("unknown path; the paths are {}", paths.join(", ")))
}

async fn wrong_method() -> Response {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", "this path is read-only: use GET".to_owned())
        .into_response()
}
