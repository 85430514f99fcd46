//! The `OpenAPI` 3.1 document, generated from routes and the types of their responses.

use axum::http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem::{self, ProblemBody};
use super::route::{self, Access, Route};

/// Returns the `OpenAPI` document.
#[must_use]
pub(super) fn document(routes: &[Route]) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let paths: Map<String, Value> = (routes.iter())
        .map(|route| (route.path.to_owned(), json!({ "get": operation(route, &mut generator) })))
        .collect();
    let problem = generator.subschema_for::<ProblemBody>();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "lifecycle",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Probes, metrics, and queries about customers and models. Read-only; customers and transitions are \
                returned as committed.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "What is wrong and what to do.",
                    "content": { (problem::MEDIA_TYPE): { "schema": problem } },
                },
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The token in `http.token_file`, if it is configured." },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let content: Map<String, Value> = (route.contents.iter())
        .map(|content| (content.media_type.to_owned(), json!({ "schema": (content.schema)(generator) })))
        .collect();
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "The response.", "content": content }));
    let always = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::URI_TOO_LONG];
    let authorized = [
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let authorized = if matches!(route.access, Access::Token(_)) { &authorized[..] } else { &[] };
    for status in route.problems.iter().chain(&always).chain(authorized) {
        responses.insert(status.as_u16().to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.description,
        "parameters": route::parameters(route),
        "responses": responses,
    });
    // `{}` makes the token optional, because a service without `http.token_file` requires none.
    if matches!(route.access, Access::Token(_)) {
        operation["security"] = json!([{ "token": [] }, {}]);
    }
    operation
}
