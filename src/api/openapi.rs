//! The `OpenAPI` 3.1 document, made from the table of routes and from the types that are answered with.

use axum::http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::wire::touchpoint_json::ID_BYTES_MAX;

use super::problem::{self, ProblemBody};
use super::routes::{Access, ROUTES, Route};

/// One form that an answer may have.
#[derive(Clone, Copy)]
pub(super) struct Content {
    media_type: &'static str,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Content {
    /// JSON of the type `T`.
    pub(super) const fn json<T: JsonSchema>() -> Self {
        Self { media_type: "application/json", schema: |generator| generator.subschema_for::<T>() }
    }

    /// Text of a media type.
    pub(super) const fn text(media_type: &'static str) -> Self {
        Self { media_type, schema: |generator| generator.subschema_for::<String>() }
    }

    /// Any JSON object.
    pub(super) const fn object() -> Self {
        Self { media_type: "application/json", schema: |_| schemars::json_schema!({"type": "object"}) }
    }
}

/// The schema of the query `T`.
pub(super) fn query<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>()
}

/// The document.
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
            "description": "Probes, metrics, and questions about customers and models. Nothing can be changed; what is told of \
                customers and transitions is committed.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "What is wrong, and what to do.",
                    "content": { (problem::MEDIA_TYPE): { "schema": problem } },
                },
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The token of `http.token_file`, where one is set." },
            },
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let content: Map<String, Value> = (route.contents.iter())
        .map(|content| (content.media_type.to_owned(), json!({ "schema": (content.schema)(generator) })))
        .collect();
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "The answer.", "content": content }));
    let everywhere = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::URI_TOO_LONG];
    let questions = [
        StatusCode::BAD_REQUEST,
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let questions = if route.access == Access::Token { &questions[..] } else { &[] };
    for status in route.problems.iter().chain(&everywhere).chain(questions) {
        responses.insert(status.as_u16().to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.about,
        "parameters": parameters(route),
        "responses": responses,
    });
    // Without a token file none is asked for.
    if route.access == Access::Token {
        operation["security"] = json!([{ "token": [] }, {}]);
    }
    operation
}

/// What a request may name: parts of the path, then parameters of the query.
pub(super) fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX });
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    let query = route.query.map(|query| query().to_value()).unwrap_or_default();
    let required = |name: &str| query["required"].as_array().is_some_and(|names| names.iter().any(|of| of == name));
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        let mut schema = schema.clone();
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        // A parameter that is left out is left out, and never null.
        if let Some(kinds) = schema["type"].as_array() {
            schema["type"] = kinds.iter().find(|kind| *kind != "null").cloned().unwrap_or_default();
        }
        parameters.push(json!({
            "name": name, "in": "query", "required": required(name), "description": about, "schema": schema,
        }));
    }
    parameters
}
