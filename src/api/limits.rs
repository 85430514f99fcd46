//! What a request may look like, how many may be asked at once, and how long an answer may take.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::problem::Problem;

/// How many bytes path and query together may have: any customer id, every byte of it escaped, and room for the rest.
const URI_BYTES_MAX: usize = 8 << 10;
/// How many questions under `/v1` may be open at once.
const QUESTIONS_MAX: usize = 512;
/// How long an answer may take: longer than anything that is waited for on purpose.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How many more questions may be asked.
pub(super) fn free_questions() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(QUESTIONS_MAX))
}

/// Refuses what no route would read.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if length > URI_BYTES_MAX {
        let detail = format!("path and query may have {URI_BYTES_MAX} bytes");
        return Problem::new(StatusCode::URI_TOO_LONG, "uri-too-long", detail).into_response();
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let headers = request.headers();
    let is_empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length.as_bytes() == b"0")
        && !headers.contains_key(header::TRANSFER_ENCODING);
    if is_read && !is_empty {
        let detail = "nothing is read beside path, query and headers: send no body".to_owned();
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-not-read", detail).into_response();
    }
    let Ok(response) = timeout(ANSWER_TIMEOUT, next.run(request)).await else {
        let detail = format!("there was no answer within {} s", ANSWER_TIMEOUT.as_secs());
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response();
    };
    response
}

/// Lets a bounded number of questions through at once.
pub(super) async fn queue(State(free): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    let Ok(_place) = free.try_acquire() else {
        let detail = format!("{QUESTIONS_MAX} questions are being answered already; ask again later");
        return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-questions", detail).into_response();
    };
    next.run(request).await
}
