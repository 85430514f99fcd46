//! Takes connections, a bounded number, each for a bounded time.
//!
//! What is sent too slowly or is no HTTP is cut off here, before any route sees it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::problem::Problem;

/// How many connections may be open at once.
pub(super) const CONNECTIONS_MAX: usize = 1024;
/// How long the head of a request may take to come, also the first and the next of a connection that is kept open.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How many bytes the head of a request may have.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// How many bytes are read from a connection ahead of what is answered.
const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// After how long a connection ends once its answer is written: nobody holds one for ever.
const CONNECTION_LIFE: Duration = Duration::from_mins(5);
/// How long the last answer of a connection may take to be read.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it is waited after the system has refused to open one more connection.
const REFUSED_WAIT: Duration = Duration::from_millis(100);
/// How long the refusal of a connection may take to be written and read.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// How many connections may be refused in words at once; more are closed.
const REFUSALS_MAX: usize = 64;

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // A connection that broke before it was taken, or no more descriptors: the others go on.
                tracing::debug!(%error, "a connection could not be taken");
                sleep(REFUSED_WAIT).await;
                continue;
            }
        };
        if let Ok(place) = Arc::clone(&free).try_acquire_owned() {
            let router = router.clone();
            tokio::spawn(async move {
                converse(stream, router).await;
                drop(place);
            });
        } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
            tokio::spawn(async move {
                drop(timeout(REFUSAL_TIMEOUT, refuse(stream)).await);
                drop(place);
            });
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = timeout(CONNECTION_LIFE, connection.as_mut()).await;
    if ended.is_err() {
        connection.as_mut().graceful_shutdown();
        // Whoever does not read is cut off.
        drop(timeout(LAST_ANSWER_TIMEOUT, connection).await);
    }
}

/// Says that there are too many connections, whatever is asked.
async fn refuse(stream: TcpStream) {
    let detail = format!("{CONNECTIONS_MAX} connections are open already; ask again later");
    let body = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-connections", detail).body();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answer = format!("{head}{body}");
    let mut asked = [0; 1024];
    let mut is_answered = false;
    // What is as short as this is written at once or not at all. What was asked is read first: closed over bytes that nobody
    // has read, a connection is reset, and the answer is lost with it.
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut asked) {
            Ok(0) => return,
            Ok(_) if !is_answered => {
                is_answered = true;
                // The other side may be gone.
                drop(stream.try_write(answer.as_bytes()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
