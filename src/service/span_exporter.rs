//! Exports spans to an OTLP receiver over HTTP, such as an OpenTelemetry Collector.
//!
//! One thread collects the spans of the commits and sends them about once a second. A request that fails is not
//! repeated: its spans are dropped, and a log line says how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http_client::{HttpClient, Options, Request};
use crate::runtime::Tracer;
use crate::wire::otlp::export_request;
use crate::wire::span::{AttributeValue, Span};

use super::TracingOptions;

/// Number of commits whose spans wait for the exporter.
const QUEUE_COMMITS: usize = 64;
/// Number of spans at which a request is sent at once.
const SPANS_MAX: usize = 4096;
/// Maximum time that a span waits for others.
const INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of a request; also the maximum delay of a shutdown.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Minimum time between two log lines about dropped spans.
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Starts the exporter. It ends when the tracer has been dropped and the last spans were sent.
///
/// # Errors
/// If the client or the thread cannot be created.
pub(super) fn start(options: TracingOptions) -> Result<(Tracer, JoinHandle<()>), String> {
    let client = Options { timeout: TIMEOUT, is_private_allowed: true, idle_connections_max: 1, ..Options::default() };
    let client = HttpClient::new(&client).map_err(|error| format!("cannot create the client of traces: {error}"))?;
    let (spans, received) = mpsc::sync_channel(QUEUE_COMMITS);
    let dropped = Arc::<AtomicU64>::default();
    let tracer = Tracer {
        spans,
        dropped: Arc::clone(&dropped),
        sample_one_in: options.sample_one_in,
        topic: options.topic,
        group: options.group,
    };
    let text = |text: &str| AttributeValue::Text(text.into());
    let resource = vec![
        ("service.name", text("lifecycle")),
        ("service.version", text(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", AttributeValue::Text(options.instance)),
    ];
    let url = format!("{}/v1/traces", options.endpoint.trim_end_matches('/'));
    let spawned = thread::Builder::new()
        .name("span-exporter".to_owned())
        .spawn(move || export_all(&received, &client, &url, &resource, &dropped));
    spawned.map(|thread| (tracer, thread)).map_err(|error| format!("cannot create thread span-exporter: {error}"))
}

fn export_all(
    received: &Receiver<Vec<Span>>,
    client: &HttpClient,
    url: &str,
    resource: &[(&'static str, AttributeValue)],
    dropped: &AtomicU64,
) {
    let mut logged_at: Option<Instant> = None;
    while let Some(spans) = collect(received) {
        let body = export_request(resource, &spans);
        let headers = [("content-type".to_owned(), "application/x-protobuf".to_owned())];
        let sent = client.send(&Request { method: "POST", url, headers: &headers, body: Some(&body) });
        let problem = match sent {
            Ok(response) if (200..300).contains(&response.status) => None,
            Ok(response) => Some(format!("the receiver answered with status {}", response.status)),
            Err(error) => Some(error.to_string()),
        };
        if problem.is_some() {
            dropped.fetch_add(spans.len() as u64, Ordering::Relaxed);
        }
        let may_log = logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if may_log && dropped.load(Ordering::Relaxed) > 0 {
            logged_at = Some(Instant::now());
            let spans = dropped.swap(0, Ordering::Relaxed);
            let problem = problem.as_deref().unwrap_or("the receiver is too slow");
            tracing::warn!(spans, problem, "spans dropped");
        }
    }
}

/// Returns the spans of the next second; `None` when there will be no more.
fn collect(received: &Receiver<Vec<Span>>) -> Option<Vec<Span>> {
    let mut spans = received.recv().ok()?;
    let deadline = Instant::now() + INTERVAL;
    while spans.len() < SPANS_MAX {
        match received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(more) => spans.extend(more),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    Some(spans)
}
