//! Authorization of requests under `/v1`: a bearer token with the role that the route requires, or, if no token is
//! configured, a loopback host name. Logs who reads data of customers, but not of which customer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Api;
use super::peers::Peers;
use super::problem::Problem;
use super::tokens::{Role, SharedTokens};

/// The address of the client of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientAddress(pub(super) SocketAddr);

/// The name of a reader without a token, which only a loopback address can be.
const LOCAL: &str = "local";

/// Marks a response that has no data of a customer: nothing new for a reader who follows the transitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoCustomerData;

/// Rejects requests that are not authorized for `role`. Logs each request for data of customers, unless the response
/// contains none.
pub(super) async fn authorize(State((api, role)): State<(Arc<Api>, Role)>, request: Request, next: Next) -> Response {
    let reader = match reader(api.tokens.as_ref(), request.headers(), role) {
        Ok(reader) => reader,
        Err(problem) => return problem.into_response(),
    };
    if role != Role::Customers {
        return next.run(request).await;
    }
    let client = request.extensions().get::<ClientAddress>().map(|it| it.0.ip().to_string()).unwrap_or_default();
    // The template of the path: the path itself contains a customer id.
    let path = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned()).unwrap_or_default();
    let is_forwarded = Peers::is_forwarded(request.headers());
    let response = next.run(request).await;
    if response.extensions().get::<NoCustomerData>().is_some() {
        return response;
    }
    let status = response.status().as_u16();
    tracing::info!(reader, client, path, status, is_forwarded, "customer data requested");
    response
}

/// Returns the name of the reader who sends `headers`, if it may read what `required` allows.
pub(super) fn reader(tokens: Option<&SharedTokens>, headers: &HeaderMap, required: Role) -> Result<String, Problem> {
    let Some(tokens) = tokens else {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        // Prevents DNS rebinding, by which a web page could read customers through its visitor's browser.
        return if is_loopback(host) {
            Ok(LOCAL.to_owned())
        } else {
            let detail = "without a token, only requests to localhost are allowed: set http.token_file".to_owned();
            Err(Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail))
        };
    };
    let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let presented = presented.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let tokens = tokens.get();
    match presented.and_then(|(_, presented)| tokens.find(presented.trim())) {
        Some((name, role)) if role >= required => Ok(name.to_owned()),
        Some((name, role)) => {
            let detail = format!(
                "the token `{name}` may read {}, and this path requires the role {}",
                role.as_str(),
                required.as_str()
            );
            Err(Problem::new(StatusCode::FORBIDDEN, "missing-role", detail))
        }
        None => {
            let detail = "send `Authorization: Bearer` with a token of http.token_file".to_owned();
            Err(Problem::new(StatusCode::UNAUTHORIZED, "no-token", detail))
        }
    }
}

/// Rejects a request that a web page of another site sends through its visitor's browser. Without a token nothing else
/// prevents it from changing something: a browser sends a simple POST without asking first.
pub(super) fn reject_foreign_page(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_foreign = text("sec-fetch-site").is_some_and(|site| site == "cross-site");
    let is_origin_foreign = text("origin").is_some_and(|origin| {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        !is_loopback(host)
    });
    if is_foreign || is_origin_foreign {
        let detail = "without a token, pages of other sites may not change anything: set http.token_file".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail));
    }
    Ok(())
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
    use crate::api::tokens::Tokens;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn pages_of_other_sites_may_not_change_anything() {
        let site = header::HeaderName::from_static("sec-fetch-site");
        for (name, value, is_allowed) in [
            (header::ORIGIN, "https://evil.example", false),
            (header::ORIGIN, "null", false),
            (header::ORIGIN, "http://localhost:8080", true),
            (site.clone(), "cross-site", false),
            (site, "none", true),
            (header::ACCEPT, "*/*", true),
        ] {
            assert_eq!(reject_foreign_page(&headers(name, value)).is_ok(), is_allowed, "{value}");
        }
    }

    #[test]
    fn without_a_token_only_loopback_host_names_are_authorized() {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert!(reader(None, &headers(header::HOST, host), Role::Customers).is_ok(), "{host}");
        }
        for host in ["evil.example:8080", "10.0.0.1:8080", "localhost.evil.example", ""] {
            assert!(reader(None, &headers(header::HOST, host), Role::Customers).is_err(), "{host}");
        }
    }

    #[test]
    fn a_request_needs_a_token_with_the_role_of_the_route() {
        let text = "dashboard aggregates aaaaaaaaaaaaaaaa\nsupport customers bbbbbbbbbbbbbbbb\n";
        let tokens = SharedTokens::new(Tokens::parse(text).unwrap());
        let outcome = |value: &str, role| {
            reader(Some(&tokens), &headers(header::AUTHORIZATION, value), role)
                .map_err(|problem| problem.into_response().status())
        };
        assert_eq!(outcome("Bearer aaaaaaaaaaaaaaaa", Role::Aggregates).as_deref(), Ok("dashboard"));
        assert_eq!(outcome("Bearer aaaaaaaaaaaaaaaa", Role::Customers), Err(StatusCode::FORBIDDEN));
        assert_eq!(outcome("bearer bbbbbbbbbbbbbbbb", Role::Aggregates).as_deref(), Ok("support"));
        assert_eq!(outcome("Bearer bbbbbbbbbbbbbbbb", Role::Customers).as_deref(), Ok("support"));
        for value in ["Bearer bbbbbbbbbbbbbbbB", "bbbbbbbbbbbbbbbb", "Basic bbbbbbbbbbbbbbbb", "Bearer"] {
            assert_eq!(outcome(value, Role::Customers), Err(StatusCode::UNAUTHORIZED), "{value}");
        }
    }
}
