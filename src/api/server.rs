//! Accepts connections: a bounded number, each for a bounded time.
//!
//! Rejects requests that are too slow or not valid HTTP, before they reach a route.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::authorization::ClientAddress;
use super::problem::Problem;
use super::tls::SharedTls;

/// Maximum number of open connections.
pub(super) const CONNECTIONS_MAX: usize = 1024;
/// Maximum time to receive the head of a request, including the idle time of a keep-alive connection before it.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of the head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// Maximum number of bytes that are buffered for a connection.
const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// Maximum lifetime of a connection; after it, the connection ends once its current response is written.
const CONNECTION_LIFETIME_MAX: Duration = Duration::from_mins(5);
/// Maximum time for the client to read the last response of a connection.
const FINAL_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Back-off after a connection could not be accepted.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum time to reject a connection.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum number of connections that are rejected with a response at once; further ones are closed without one.
const REJECTIONS_MAX: usize = 64;

/// The routers of the two listeners.
pub(super) struct Routers {
    pub(super) api: Router,
    /// Probes and metrics only.
    pub(super) probes: Router,
}

/// Serves until the future is dropped, over TLS if it is configured.
pub(super) async fn serve(listener: TcpListener, router: Router, tls: Option<SharedTls>) {
    let connection_permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let rejection_permits = Arc::new(Semaphore::new(REJECTIONS_MAX));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // The client has disconnected, or no file descriptors are left. Other connections are not affected.
                tracing::debug!(%error, "cannot accept connection");
                sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        if let Ok(permit) = Arc::clone(&connection_permits).try_acquire_owned() {
            let router = router.clone().layer(Extension(ClientAddress(address)));
            let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.server()));
            tokio::spawn(async move {
                match acceptor {
                    None => serve_connection(stream, router).await,
                    // A client that speaks no TLS, or not in time, is disconnected.
                    Some(acceptor) => {
                        if let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                            serve_connection(stream, router).await;
                        }
                    }
                }
                drop(permit);
            });
        } else if tls.is_some() {
            // A client that expects TLS could not read a rejection in plain text.
        } else if let Ok(permit) = Arc::clone(&rejection_permits).try_acquire_owned() {
            tokio::spawn(async move {
                drop(timeout(REJECTION_TIMEOUT, reject(stream)).await);
                drop(permit);
            });
        }
    }
}

async fn serve_connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let outcome = timeout(CONNECTION_LIFETIME_MAX, connection.as_mut()).await;
    if outcome.is_err() {
        connection.as_mut().graceful_shutdown();
        // A client that does not read the response is disconnected.
        drop(timeout(FINAL_RESPONSE_TIMEOUT, connection).await);
    }
}

/// Responds with 503 to any request on `stream`: there are too many connections.
async fn reject(stream: TcpStream) {
    let detail = format!("{CONNECTIONS_MAX} connections are already open; retry later");
    let body = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", detail).body();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let response = format!("{head}{body}");
    let mut request = [0; 1024];
    let mut is_response_sent = false;
    // A response this short is written in one call or not at all. The request is read first, because closing a socket
    // with unread bytes resets the connection, and the client would lose the response.
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut request) {
            Ok(0) => return,
            Ok(_) if !is_response_sent => {
                is_response_sent = true;
                // The client may have disconnected.
                drop(stream.try_write(response.as_bytes()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
