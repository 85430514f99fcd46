//! The other instances of the group: a customer that none of our partitions holds is asked for there.
//!
//! Addresses come from the group itself, in the names of its members, and the token that a caller bears is handed on to
//! those addresses alone. All of them are asked at once: which partition a customer is on is for the producers of touchpoints to
//! decide, and whoever holds the customer knows. A question that was handed on is not handed on again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A request that bears it was handed on by the instance that it names, and is answered without asking anybody.
const ASKED_BY: HeaderName = HeaderName::from_static("lifecycle-asked-by");
/// Which instance an answer comes from, where it is not the one that was asked.
const ANSWERED_BY: HeaderName = HeaderName::from_static("lifecycle-answered-by");
/// For how long the addresses found in the group are used.
const ADDRESSES_LAST: Duration = Duration::from_secs(5);
/// How long another instance may take: longer than its workers may.
const PATIENCE: Duration = Duration::from_secs(4);
/// The largest answer that is handed on.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// How many other instances are asked.
const PEERS_MAX: usize = 256;

/// Looks up the addresses that members of the group advertise. Blocks.
pub type FindAddresses = Box<dyn Fn() -> Result<Vec<String>, String> + Send + Sync>;

/// The addresses of the others; `None` when they could not be found out.
type Found = Option<Arc<[String]>>;

/// The other instances of the group.
pub struct Peers {
    own: String,
    find: Arc<FindAddresses>,
    known: Mutex<Option<(Instant, Found)>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Peers").field("own", &self.own).finish_non_exhaustive()
    }
}

/// What the others say together.
pub(super) enum Elsewhere {
    /// One of them has it.
    Answer(Response),
    /// None of them has it.
    Nothing,
    /// At least one of these could not be asked, or cannot tell yet.
    Silence(Vec<String>),
}

impl Peers {
    /// The group's other instances, as `find` finds them; `own` is what this one advertises.
    #[must_use]
    pub fn new(own: String, find: FindAddresses) -> Self {
        Self { own, find: Arc::new(find), known: Mutex::default() }
    }

    /// Asks every other instance what was asked here: the path and the query of `uri`.
    pub(super) async fn ask(&self, uri: &Uri, headers: &HeaderMap) -> Elsewhere {
        let Some(addresses) = self.addresses().await else { return Elsewhere::Silence(Vec::new()) };
        let mut answers = JoinSet::new();
        for address in addresses.iter().cloned() {
            let request = self.request(&address, uri, headers);
            answers.spawn(async move {
                let answer = match request {
                    Some(request) => timeout(PATIENCE, exchange(&address, request)).await.ok().flatten(),
                    None => None,
                };
                (address, answer)
            });
        }
        let mut silent = Vec::new();
        while let Some(Ok((address, answer))) = answers.join_next().await {
            match answer {
                // The others' answers are not waited for: dropping the set ends their questions.
                Some((StatusCode::OK, kind, body)) => return Elsewhere::Answer(hand_back(&address, kind, body)),
                Some((StatusCode::NOT_FOUND, ..)) => {}
                Some(_) | None => silent.push(address),
            }
        }
        if silent.is_empty() {
            return Elsewhere::Nothing;
        }
        silent.sort();
        Elsewhere::Silence(silent)
    }

    /// Whether the request was handed on already.
    pub(super) fn has_been_asked(headers: &HeaderMap) -> bool {
        headers.contains_key(ASKED_BY)
    }

    fn request(&self, address: &str, uri: &Uri, headers: &HeaderMap) -> Option<Request<Body>> {
        let mut request = Request::get(uri.path_and_query()?.as_str())
            .header(header::HOST, address)
            .header(ASKED_BY, &self.own)
            .header(header::CONNECTION, "close");
        if let Some(token) = headers.get(header::AUTHORIZATION) {
            request = request.header(header::AUTHORIZATION, token);
        }
        request.body(Body::empty()).ok()
    }

    /// The addresses of the others; `None` when they cannot be found out.
    async fn addresses(&self) -> Found {
        // Whoever comes while they are looked up waits for them.
        let mut known = self.known.lock().await;
        if let Some((since, addresses)) = &*known
            && since.elapsed() < ADDRESSES_LAST
        {
            return addresses.clone();
        }
        let find = Arc::clone(&self.find);
        let found = tokio::task::spawn_blocking(move || find()).await.ok()?;
        match found {
            Ok(mut addresses) => {
                addresses.retain(|address| *address != self.own && is_address(address));
                addresses.sort();
                addresses.dedup();
                addresses.truncate(PEERS_MAX);
                let addresses: Arc<[String]> = addresses.into();
                *known = Some((Instant::now(), Some(Arc::clone(&addresses))));
                Some(addresses)
            }
            Err(problem) => {
                tracing::warn!(problem, "the other instances of the group cannot be found");
                // Those of before may still be there; and whoever comes next need not ask again at once.
                let addresses = known.take().and_then(|(_, addresses)| addresses);
                *known = Some((Instant::now(), addresses.clone()));
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

/// Status, media type and body of the answer at `address`; `None` when there is none.
async fn exchange(address: &str, request: Request<Body>) -> Option<(StatusCode, Option<HeaderValue>, Bytes)> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let conversation = async {
        let answer = sender.send_request(request).await.ok()?;
        let (parts, body) = answer.into_parts();
        let body = to_bytes(Body::new(body), ANSWER_BYTES_MAX).await.ok()?;
        Some((parts.status, parts.headers.get(header::CONTENT_TYPE).cloned(), body))
    };
    tokio::pin!(conversation, connection);
    tokio::select! {
        answer = &mut conversation => answer,
        // The other side closes once it has answered; what it has sent by then is read all the same.
        _ = &mut connection => conversation.await,
    }
}

fn hand_back(address: &str, kind: Option<HeaderValue>, body: Bytes) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    match kind {
        Some(kind) => _ = headers.insert(header::CONTENT_TYPE, kind),
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
