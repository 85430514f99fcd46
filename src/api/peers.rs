//! Forwards requests to the other instances of the group, for customers that are not on this instance.
//!
//! Each member advertises its address in its Kafka client id, so the group coordinator knows all addresses. The
//! caller's token is sent only to these addresses. A request is forwarded to all instances at once, because the
//! partition of a customer depends on the producers' partitioner, which is unknown here. A forwarded request is not
//! forwarded again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::tls::SharedTls;

/// The header that marks a forwarded request: the address of the instance that forwarded it. Such a request is answered
/// from this instance only.
const ASKED_BY: HeaderName = HeaderName::from_static("lifecycle-asked-by");
/// The header of a response to a forwarded request: the address of the instance that answered it.
const ANSWERED_BY: HeaderName = HeaderName::from_static("lifecycle-answered-by");
/// How long the addresses are cached.
const ADDRESSES_TTL: Duration = Duration::from_secs(5);
/// Timeout for another instance; longer than the timeout for its workers.
const PEER_TIMEOUT: Duration = Duration::from_secs(4);
/// Maximum size of a response that is forwarded, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Maximum number of instances that a request is forwarded to.
const PEERS_MAX: usize = 256;

/// Looks up the addresses that the members of the group advertise. Blocks until the group coordinator has responded.
pub type FindAddresses = Box<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>;

/// The addresses of the other instances; `None` if they could not be looked up.
type Addresses = Option<Arc<[String]>>;

/// The other instances of the group.
pub struct Peers {
    own_address: String,
    /// If it is set, the other instances are asked over TLS.
    tls: Option<SharedTls>,
    find: Arc<FindAddresses>,
    cache: Mutex<Option<(Instant, Addresses)>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Peers").field("own_address", &self.own_address).finish_non_exhaustive()
    }
}

/// The combined result of forwarding a request to the other instances.
pub(super) enum PeerLookup {
    /// The response of the instance that has the customer.
    Found(Response),
    /// The id belongs to this customer, according to the instance that has the id.
    MergedInto(String),
    /// No other instance has the customer.
    NotFound,
    /// The instances at these addresses could not be reached or could not answer yet; empty if the addresses are
    /// unknown.
    Unavailable(Vec<String>),
}

impl Peers {
    /// Creates the peers of the instance that advertises `own_address`; `find` looks up the addresses of the group.
    /// With `tls`, the other instances are asked over TLS.
    #[must_use]
    pub fn new(own_address: String, tls: Option<SharedTls>, find: FindAddresses) -> Self {
        Self { own_address, tls, find: Arc::new(find), cache: Mutex::default() }
    }

    /// Forwards the path and the query of `uri` to every other instance.
    pub(super) async fn forward(&self, uri: &Uri, headers: &HeaderMap) -> PeerLookup {
        let Some(addresses) = self.addresses().await else { return PeerLookup::Unavailable(Vec::new()) };
        let mut answers = JoinSet::new();
        for address in addresses.iter().cloned() {
            let request = self.request(&address, uri, headers);
            let tls = self.tls.clone();
            answers.spawn(async move {
                let answer = match request {
                    Some(request) => {
                        timeout(PEER_TIMEOUT, connect_and_send(&address, tls, request)).await.ok().flatten()
                    }
                    None => None,
                };
                (address, answer)
            });
        }
        let mut unavailable = Vec::new();
        while let Some(Ok((address, answer))) = answers.join_next().await {
            match answer {
                // Returning drops the set, which cancels the remaining requests.
                Some((status @ (StatusCode::OK | StatusCode::GONE), content_type, body)) => {
                    return match merged_into(status, &body) {
                        Some(customer_id) => PeerLookup::MergedInto(customer_id),
                        None => PeerLookup::Found(relay(&address, status, content_type, body)),
                    };
                }
                Some((StatusCode::NOT_FOUND, ..)) => {}
                Some(_) | None => unavailable.push(address),
            }
        }
        if unavailable.is_empty() {
            return PeerLookup::NotFound;
        }
        unavailable.sort();
        PeerLookup::Unavailable(unavailable)
    }

    /// Whether another instance forwarded the request.
    pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
        headers.contains_key(ASKED_BY)
    }

    fn request(&self, address: &str, uri: &Uri, headers: &HeaderMap) -> Option<Request<Body>> {
        let mut request = Request::get(uri.path_and_query()?.as_str())
            .header(header::HOST, address)
            .header(ASKED_BY, &self.own_address)
            .header(header::CONNECTION, "close");
        if let Some(token) = headers.get(header::AUTHORIZATION) {
            request = request.header(header::AUTHORIZATION, token);
        }
        request.body(Body::empty()).ok()
    }

    /// Returns the addresses of the other instances; `None` if they cannot be looked up.
    async fn addresses(&self) -> Addresses {
        // The lock is held during the lookup, so that concurrent requests share it.
        let mut cache = self.cache.lock().await;
        if let Some((since, addresses)) = &*cache
            && since.elapsed() < ADDRESSES_TTL
        {
            return addresses.clone();
        }
        let find = Arc::clone(&self.find);
        let found = tokio::task::spawn_blocking(move || find()).await.ok()?;
        match found {
            Ok(mut addresses) => {
                addresses.retain(|address| *address != self.own_address && is_address(address));
                addresses.sort();
                addresses.dedup();
                addresses.truncate(PEERS_MAX);
                let addresses: Arc<[String]> = addresses.into();
                *cache = Some((Instant::now(), Some(Arc::clone(&addresses))));
                Some(addresses)
            }
            Err(problem) => {
                tracing::warn!(problem, "cannot look up the other instances of the group");
                // Keeps the previous addresses, which may still be valid, and caches them to limit the rate of lookups.
                let addresses = cache.take().and_then(|(_, addresses)| addresses);
                *cache = Some((Instant::now(), addresses.clone()));
                addresses
            }
        }
    }
}

/// Whether `text` is a host and a port: `10.0.0.5:8080`, `lifecycle-0.lifecycle:8080`, `[::1]:8080`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_name = |host: &str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    text.len() <= 255 && is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Status, media type and body of a response.
type Answer = (StatusCode, Option<HeaderValue>, Bytes);

/// Connects to `address` and sends a request; with `tls`, over TLS, and only if it has authorities to check the
/// certificate by. Returns `None` if there is no response.
async fn connect_and_send(address: &str, tls: Option<SharedTls>, request: Request<Body>) -> Option<Answer> {
    let stream = TcpStream::connect(address).await.ok()?;
    let Some(tls) = tls else { return send(stream, request).await };
    let host = address.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).ok()?;
    let stream = TlsConnector::from(tls.client()?).connect(name, stream).await.ok()?;
    send(stream, request).await
}

/// Sends a request. Returns `None` if there is no response.
async fn send(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, request: Request<Body>) -> Option<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let exchange = async {
        let answer = sender.send_request(request).await.ok()?;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await.ok()?;
        Some((parts.status, parts.headers.get(header::CONTENT_TYPE).cloned(), body))
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        answer = &mut exchange => answer,
        // The server closes the connection after its response, of which a part may still have to be read.
        _ = &mut connection => exchange.await,
    }
}

/// Returns the customer that the id of the request belongs to, if that is the response.
fn merged_into(status: StatusCode, body: &[u8]) -> Option<String> {
    if status != StatusCode::GONE {
        return None;
    }
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    problem["merged_into"].as_str().map(str::to_owned)
}

fn relay(address: &str, status: StatusCode, content_type: Option<HeaderValue>, body: Bytes) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    match content_type {
        Some(content_type) => _ = headers.insert(header::CONTENT_TYPE, content_type),
        None => _ = headers.remove(header::CONTENT_TYPE),
    }
    if let Ok(address) = HeaderValue::from_str(address) {
        headers.insert(ANSWERED_BY, address);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in ["10.0.0.5:8080", "lifecycle-0.lifecycle:80", "[::1]:8080", "localhost:1"] {
            assert!(is_address(text), "{text}");
        }
        let long = format!("{}:80", "a".repeat(300));
        for text in
            ["", "host", "host:", ":80", "host:0", "host:70000", "a b:80", "user@host:80", "host/x:80", "::1:80", &long]
        {
            assert!(!is_address(text), "{text}");
        }
    }
}
