//! What a request asks for, taken out of its path and its query; what does not fit is a problem.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The variable part of a path.
pub(super) struct Path<T>(pub(super) T);

/// The part after the question mark.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(axum::extract::Path(path)) = axum::extract::Path::from_request_parts(parts, state).await else {
            let detail = "the path holds bytes that are no text: write it in UTF-8, percent-encoded".to_owned();
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
            // What does not fit its contract was refused before, with what would: see `parameters`.
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", rejection.body_text())),
        }
    }
}
