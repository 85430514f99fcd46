//! Validates the query parameters of a request.
//!
//! Derived from the `OpenAPI` document: rejects parameters that it does not list, and values outside its limits.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::lifecycle::suggest::did_you_mean;

use super::problem::Problem;
use super::route::{self, Route};

/// Maximum number of characters of a value that an error message repeats.
const ECHOED_CHARACTERS_MAX: usize = 40;

/// The query parameters of a route.
#[derive(Debug)]
pub(super) struct Parameters(Vec<Parameter>);

#[derive(Debug)]
struct Parameter {
    name: String,
    parameter_type: ParameterType,
}

/// The allowed values of a parameter.
#[derive(Debug)]
enum ParameterType {
    String,
    Integer { min: u64, max: u64 },
    Enum(Vec<String>),
}

impl Parameters {
    /// Returns the query parameters of `route`, as in the `OpenAPI` document.
    pub(super) fn of(route: &Route) -> Self {
        let parameters = route::parameters(route).into_iter().filter(|parameter| parameter["in"] == "query");
        Self(parameters.map(|parameter| Parameter::of(&parameter)).collect())
    }

    /// Returns the first problem of a query, if it has one.
    fn problem(&self, query: &[(String, String)]) -> Option<String> {
        query.iter().enumerate().find_map(|(index, (name, value))| {
            let Some(parameter) = self.0.iter().find(|parameter| parameter.name == *name) else {
                return Some(self.unknown(name));
            };
            if query[..index].iter().any(|(earlier, _)| earlier == name) {
                return Some(format!("{name} is given more than once"));
            }
            let expected = parameter.parameter_type.expected(value)?;
            let given = excerpt(value);
            Some(format!("{name} is {given:?}: write {expected}"))
        })
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.0.iter().map(|parameter| parameter.name.as_str()).collect();
        let hint = did_you_mean(name, names.iter().copied()).unwrap_or_else(|| match &names[..] {
            [] => "this path takes no parameters".to_owned(),
            names => format!("this path takes {}", names.join(", ")),
        });
        format!("unknown parameter {:?}: {hint}", excerpt(name))
    }
}

impl Parameter {
    fn of(documented: &Value) -> Self {
        let schema = &documented["schema"];
        let name = documented["name"].as_str().expect("a parameter has a name").to_owned();
        let parameter_type = match (schema["enum"].as_array(), schema["type"].as_str()) {
            (Some(values), _) => {
                ParameterType::Enum(values.iter().filter_map(|value| Some(value.as_str()?.to_owned())).collect())
            }
            (None, Some("integer")) => ParameterType::Integer {
                min: schema["minimum"].as_u64().unwrap_or_default(),
                max: schema["maximum"].as_u64().expect("a number has a limit"),
            },
            (None, kind) => {
                assert_eq!(kind, Some("string"), "{name} has a type that is not supported here");
                ParameterType::String
            }
        };
        Self { name, parameter_type }
    }
}

impl ParameterType {
    /// Returns a description of the allowed values, if `value` is not one of them.
    fn expected(&self, value: &str) -> Option<String> {
        match self {
            Self::String => None,
            Self::Integer { min, max } => {
                let fits = value.parse().is_ok_and(|number| (*min..=*max).contains(&number));
                (!fits).then(|| format!("a whole number from {min} to {max}"))
            }
            Self::Enum(values) => (!values.iter().any(|known| known == value)).then(|| values.join(" or ")),
        }
    }
}

/// Returns the beginning of a value, which may be long.
fn excerpt(value: &str) -> String {
    value.chars().take(ECHOED_CHARACTERS_MAX).collect()
}

/// Rejects a request whose query does not match the `OpenAPI` document.
pub(super) async fn check_query(State(parameters): State<Arc<Parameters>>, request: Request, next: Next) -> Response {
    let detail = match Query::<Vec<(String, String)>>::try_from_uri(request.uri()) {
        Ok(Query(query)) => parameters.problem(&query),
        Err(_) => Some("the query cannot be parsed: write name=value pairs separated by &".to_owned()),
    };
    match detail {
        Some(detail) => Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail).into_response(),
        None => next.run(request).await,
    }
}
