//! Extractors for the path parameters and the query of a request. Invalid values become a `Problem`.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The path parameters, deserialized.
pub(super) struct Path<T>(pub(super) T);

/// The query string, deserialized.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(axum::extract::Path(path)) = axum::extract::Path::from_request_parts(parts, state).await else {
            let detail = "the path is not valid UTF-8: write UTF-8, percent-encoded".to_owned();
            return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-path", detail));
        };
        Ok(Self(path))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            // The middleware in `parameters` has already rejected invalid queries with a more helpful message.
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", rejection.body_text())),
        }
    }
}
