//! Limits on the size of a request, on concurrent requests, and on the time to respond.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::problem::Problem;

/// Maximum length of path and query together, in bytes. The longest customer id fits even if every byte is
/// percent-encoded.
const URI_BYTES_MAX: usize = 8 << 10;
/// Maximum number of concurrent requests under `/v1`.
const REQUESTS_MAX: usize = 512;
/// Maximum time to respond; longer than the maximum `wait` of `/v1/transitions`.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Creates the permits for concurrent requests.
pub(super) fn request_permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(REQUESTS_MAX))
}

/// Rejects long URIs and requests with a body, and limits the time to respond.
pub(super) async fn check_request(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length > URI_BYTES_MAX {
        let detail = format!("path and query may have at most {URI_BYTES_MAX} bytes");
        return Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail).into_response();
    }
    let is_get_or_head = matches!(*request.method(), Method::GET | Method::HEAD);
    let headers = request.headers();
    let is_empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length.as_bytes() == b"0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    if is_get_or_head && !is_empty {
        let detail = "request bodies are not supported: send the request without a body".to_owned();
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-not-read", detail).into_response();
    }
    let Ok(response) = timeout(RESPONSE_TIMEOUT, next.run(request)).await else {
        let detail = format!("no response within {} s", RESPONSE_TIMEOUT.as_secs());
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response();
    };
    response
}

/// Limits the number of concurrent requests.
pub(super) async fn limit_concurrency(State(permits): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = permits.try_acquire() else {
        let detail = format!("{REQUESTS_MAX} requests are already in progress; retry later");
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail).into_response();
    };
    next.run(request).await
}
