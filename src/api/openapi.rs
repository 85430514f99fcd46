//! The `OpenAPI` 3.1 document, generated from the table of routes and the types of the responses.

use axum::http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::wire::touchpoint_json::ID_BYTES_MAX;

use super::problem::{self, ProblemBody};
use super::routes::{Access, ROUTES, Route};

/// A media type of a response, and its schema.
#[derive(Clone, Copy)]
pub(super) struct Content {
    media_type: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Content {
    /// Returns JSON content of the type `T`.
    pub(super) const fn json<T: JsonSchema>() -> Self {
        Self { media_type: "application/json", schema: |generator| generator.subschema_for::<T>() }
    }

    /// Returns text content of a media type.
    pub(super) const fn text(media_type: &'static str) -> Self {
        Self { media_type, schema: |generator| generator.subschema_for::<String>() }
    }

    /// Returns content that is any JSON object.
    pub(super) const fn object() -> Self {
        Self { media_type: "application/json", schema: |_| schemars::json_schema!({"type": "object"}) }
    }
}

/// Returns the schema of the query `T`.
pub(super) fn query<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>()
}

/// Returns the `OpenAPI` document.
#[must_use]
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let paths: Map<String, Value> = (ROUTES.iter())
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
    let authorized = if route.access == Access::Authorized { &authorized[..] } else { &[] };
    for status in route.problems.iter().chain(&always).chain(authorized) {
        responses.insert(status.as_u16().to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.description,
        "parameters": parameters(route),
        "responses": responses,
    });
    // `{}` makes the token optional, because a service without `http.token_file` requires none.
    if route.access == Access::Authorized {
        operation["security"] = json!([{ "token": [] }, {}]);
    }
    operation
}

/// Returns the parameters of a route: path parameters, then query parameters.
pub(super) fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX });
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    let query = route.query.map(|query| query().to_value()).unwrap_or_default();
    let required =
        |name: &str| query["required"].as_array().is_some_and(|names| names.iter().any(|required| required == name));
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        // An optional query parameter is omitted and never null.
        if let Some(kinds) = schema["type"].as_array() {
            schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        }
        parameters.push(json!({
            "name": name, "in": "query", "required": required(name), "description": description, "schema": schema,
        }));
    }
    parameters
}
