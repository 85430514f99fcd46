//! Who may ask about customers: whoever bears the token, or, without one, programs on this machine.

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

/// What a request must bear. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A shorter token is no protection.
    const LENGTH_MIN: usize = 16;
    const LENGTH_MAX: usize = 4096;

    /// The token in the file at `path`, white space around it left out.
    ///
    /// # Errors
    /// A sentence: the file cannot be read, the token is too short.
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

    /// Takes as long for every text of one length, so that answers do not tell how much of it is right.
    fn is(&self, text: &str) -> bool {
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

/// Lets a request through that may ask.
pub(super) async fn admit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match refusal(api.token.as_ref(), request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(token: Option<&Token>, headers: &HeaderMap) -> Option<Problem> {
    let Some(token) = token else {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // A web page whose name points here must not read customers through its visitor's browser.
        return (!names_this_machine(host)).then(|| {
            let detail = "without a token only requests to localhost are answered: set http.token_file".to_owned();
            Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail)
        });
    };
    let borne = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let borne = borne.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    if borne.is_some_and(|(_, borne)| token.is(borne.trim())) {
        return None;
    }
    let detail = "send `Authorization: Bearer` with the token of http.token_file".to_owned();
    Some(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail))
}

fn names_this_machine(host: &str) -> bool {
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
    fn without_a_token_the_host_must_be_this_machine() {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert_eq!(refusal(None, &headers(header::HOST, host)), None, "{host}");
        }
        for host in ["evil.example:8080", "10.0.0.1:8080", "localhost.evil.example", ""] {
            assert!(refusal(None, &headers(header::HOST, host)).is_some(), "{host}");
        }
    }

    #[test]
    fn with_a_token_only_its_bearer_is_let_through() {
        let token = Token("0123456789abcdef".to_owned());
        let refused = |value: &str| refusal(Some(&token), &headers(header::AUTHORIZATION, value)).is_some();
        assert!(!refused("Bearer 0123456789abcdef"));
        assert!(!refused("bearer 0123456789abcdef"));
        for value in ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "0123456789abcdef", "Basic 0123456789abcdef"]
        {
            assert!(refused(value), "{value}");
        }
        assert_eq!(format!("{token:?}"), "***");
    }
}
