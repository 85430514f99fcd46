//! What may follow the question mark of a path, and the refusal of everything else.
//!
//! Made from the contract that `/openapi.json` tells: what it does not name is refused, and so is what lies outside its limits.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::lifecycle::condition::nearest;

use super::openapi;
use super::problem::Problem;
use super::routes::Route;

/// How much of a value is repeated to whoever gave it.
const REPEATED_CHARACTERS_MAX: usize = 40;

/// The query parameters of a path.
#[derive(Debug)]
pub(super) struct Parameters(Vec<Parameter>);

#[derive(Debug)]
struct Parameter {
    name: String,
    form: Form,
}

/// What a value looks like.
#[derive(Debug)]
enum Form {
    Text,
    Whole { least: u64, most: u64 },
    OneOf(Vec<String>),
}

impl Parameters {
    /// Those of `route`, as its contract has them.
    pub(super) fn of(route: &Route) -> Self {
        let parameters = openapi::parameters(route).into_iter().filter(|parameter| parameter["in"] == "query");
        Self(parameters.map(|parameter| Parameter::of(&parameter)).collect())
    }

    /// What is wrong with a query, if anything is.
    fn refusal(&self, query: &[(String, String)]) -> Option<String> {
        query.iter().enumerate().find_map(|(place, (name, value))| {
            let Some(parameter) = self.0.iter().find(|parameter| parameter.name == *name) else {
                return Some(self.unknown(name));
            };
            if query[..place].iter().any(|(earlier, _)| earlier == name) {
                return Some(format!("{name} stands more than once"));
            }
            let wanted = parameter.form.wanted(value)?;
            let given = repeated(value);
            Some(format!("{name} is {given:?}: write {wanted}"))
        })
    }

    fn unknown(&self, name: &str) -> String {
        let names: Vec<&str> = self.0.iter().map(|parameter| parameter.name.as_str()).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(like) => format!("did you mean {like}?"),
            None if names.is_empty() => "this path takes none".to_owned(),
            None => format!("this path takes {}", names.join(", ")),
        };
        format!("there is no parameter {:?}: {hint}", repeated(name))
    }
}

impl Parameter {
    fn of(contract: &Value) -> Self {
        let schema = &contract["schema"];
        let name = contract["name"].as_str().expect("a parameter has a name").to_owned();
        let form = match (schema["enum"].as_array(), schema["type"].as_str()) {
            (Some(values), _) => {
                Form::OneOf(values.iter().filter_map(|value| Some(value.as_str()?.to_owned())).collect())
            }
            (None, Some("integer")) => Form::Whole {
                least: schema["minimum"].as_u64().unwrap_or_default(),
                most: schema["maximum"].as_u64().expect("a number has a limit"),
            },
            (None, kind) => {
                assert_eq!(kind, Some("string"), "{name} has another form than those that are checked here");
                Form::Text
            }
        };
        Self { name, form }
    }
}

impl Form {
    /// What is wanted, where `value` is something else.
    fn wanted(&self, value: &str) -> Option<String> {
        match self {
            Self::Text => None,
            Self::Whole { least, most } => {
                let fits = value.parse().is_ok_and(|number| (*least..=*most).contains(&number));
                (!fits).then(|| format!("a whole number from {least} to {most}"))
            }
            Self::OneOf(values) => (!values.iter().any(|known| known == value)).then(|| values.join(" or ")),
        }
    }
}

/// The beginning of what was given, which may be long.
fn repeated(given: &str) -> String {
    given.chars().take(REPEATED_CHARACTERS_MAX).collect()
}

/// Refuses a request whose query is not as the contract has it.
pub(super) async fn check(State(parameters): State<Arc<Parameters>>, request: Request, next: Next) -> Response {
    let detail = match Query::<Vec<(String, String)>>::try_from_uri(request.uri()) {
        Ok(Query(query)) => parameters.refusal(&query),
        Err(_) => Some("the query cannot be read: write name=value, and & between two of them".to_owned()),
    };
    match detail {
        Some(detail) => Problem::new(StatusCode::BAD_REQUEST, "bad-query", detail).into_response(),
        None => next.run(request).await,
    }
}
