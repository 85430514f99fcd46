//! A row of the table of routes, and its parameters and responses as documented.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::MethodRouter;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::wire::touchpoint_json::ID_BYTES_MAX;

use super::Api;
use super::tokens::Role;

/// A route. All routes support only GET and HEAD.
pub struct Route {
    /// The path, with variable parts in braces.
    pub path: &'static str,
    /// What the response contains.
    pub description: &'static str,
    pub(super) id: &'static str,
    pub(super) access: Access,
    pub(super) query: Option<fn() -> Schema>,
    pub(super) contents: &'static [Content],
    /// Problem statuses of this route, in addition to the common ones.
    pub(super) problems: &'static [StatusCode],
    pub(super) get: fn() -> MethodRouter<Arc<Api>>,
}

/// Which requests a route accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// All requests.
    Public,
    /// All requests, on a listener of their own if one is configured.
    Probe,
    /// Requests with a token that has the role; if no token is configured, requests to a loopback host name.
    Token(Role),
}

/// A media type of a response, and its schema.
#[derive(Clone, Copy)]
pub(super) struct Content {
    pub(super) media_type: &'static str,
    pub(super) schema: fn(&mut SchemaGenerator) -> Schema,
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
