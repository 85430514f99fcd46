//! Error responses as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// The media type of problem details.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// An error response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    merged_into: Option<String>,
}

/// An error response: problem details (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemBody {
    /// `urn:lifecycle:problem:` followed by the name of the problem, which does not change between releases.
    r#type: String,
    /// The standard phrase of the status.
    title: &'static str,
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The customer that the id of the request belongs to, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<String>,
}

impl Problem {
    /// Creates a problem; `kind` is its name, which does not change between releases.
    pub(super) const fn new(status: StatusCode, kind: &'static str, detail: String) -> Self {
        Self { status, kind, detail, merged_into: None }
    }

    /// Names the customer that the id of the request belongs to.
    pub(super) fn with_merged_into(self, customer_id: &str) -> Self {
        Self { merged_into: Some(customer_id.to_owned()), ..self }
    }

    /// Returns the body of the response.
    pub(super) fn body(&self) -> String {
        let body = ProblemBody {
            r#type: format!("urn:lifecycle:problem:{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            merged_into: self.merged_into.clone(),
        };
        serde_json::to_string(&body).expect("text can be written as JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let (name, value) = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "5"),
            StatusCode::TOO_MANY_REQUESTS => (header::RETRY_AFTER, "1"),
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer"),
            StatusCode::METHOD_NOT_ALLOWED => (header::ALLOW, "GET, HEAD"),
            _ => return response,
        };
        headers.insert(name, HeaderValue::from_static(value));
        response
    }
}
