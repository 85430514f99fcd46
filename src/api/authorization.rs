//! Authorization of requests under `/v1`: the bearer token, or, if none is configured, a loopback host name.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;

/// The bearer token that requests must send. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Minimum length in bytes; a shorter token would be easy to guess.
    const LENGTH_MIN: usize = 16;
    const LENGTH_MAX: usize = 4096;

    /// Reads the token from the file at `path`, without the white space around it.
    ///
    /// # Errors
    /// A message, if the file cannot be read or the token is too short or too long.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("http.token_file: {} cannot be read: {error}", path.display()))?;
        let token = text.trim();
        if !(Self::LENGTH_MIN..=Self::LENGTH_MAX).contains(&token.len()) {
            let (least, most) = (Self::LENGTH_MIN, Self::LENGTH_MAX);
            return Err(format!("http.token_file: {}: write a token of {least} to {most} characters", path.display()));
        }
        Ok(Self(token.to_owned()))
    }

    /// Compares in constant time, so that response times do not reveal how much of a guessed token is correct.
    fn matches(&self, text: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), text.as_bytes());
        let differences = own.iter().zip(other).fold(0, |differences, (own, other)| differences | (own ^ other));
        own.len() == other.len() && differences == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Rejects requests that are not authorized.
pub(super) async fn authorize(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match denial(api.token.as_ref(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

/// Returns why a request with these headers is not authorized.
pub(super) fn denial(token: Option<&Token>, headers: &HeaderMap) -> Option<Problem> {
    let Some(token) = token else {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // Prevents DNS rebinding, by which a web page could read customers through its visitor's browser.
        return (!is_loopback(host)).then(|| {
            let detail = "without a token, only requests to localhost are allowed: set http.token_file".to_owned();
            Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail)
        });
    };
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let presented = presented.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if presented.is_some_and(|(_, presented)| token.matches(presented.trim())) {
        return None;
    }
    let detail = "send `Authorization: Bearer` with the token of http.token_file".to_owned();
    Some(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn without_a_token_only_loopback_host_names_are_authorized() {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert_eq!(denial(None, &headers(header::HOST, host)), None, "{host}");
        }
        for host in ["evil.example:8080", "10.0.0.1:8080", "localhost.evil.example", ""] {
            assert!(denial(None, &headers(header::HOST, host)).is_some(), "{host}");
        }
    }

    #[test]
    fn with_a_token_only_requests_that_send_it_are_authorized() {
        let token = Token("0123456789abcdef".to_owned());
        let is_denied = |value: &str| denial(Some(&token), &headers(header::AUTHORIZATION, value)).is_some();
        assert!(!is_denied("Bearer 0123456789abcdef"));
        assert!(!is_denied("bearer 0123456789abcdef"));
        for value in ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "0123456789abcdef", "Basic 0123456789abcdef"]
        {
            assert!(is_denied(value), "{value}");
        }
        assert_eq!(format!("{token:?}"), "***");
    }
}
