//! A finished span, with the names of OpenTelemetry's messaging conventions. `otlp` encodes it.

use std::sync::Arc;

use crate::lifecycle::time::Timestamp;

use super::trace_context::TraceContext;

/// The part that a span has in the exchange of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanKind {
    /// Sends messages.
    Producer,
    /// Processes messages.
    Consumer,
    /// Requests something of another system, here of the brokers.
    Client,
}

/// The value of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttributeValue {
    /// A text.
    Text(Arc<str>),
    /// A number.
    Number(i64),
}

/// A finished span.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its trace and its id.
    pub context: TraceContext,
    /// The id of its parent in the same trace; `None` for a root.
    pub parent: Option<u64>,
    /// The value of `tracestate`.
    pub state: Option<Arc<str>>,
    /// Operation and topic: `process touchpoints`.
    pub name: String,
    /// Its part in the exchange of messages.
    pub kind: SpanKind,
    /// Wall time of its start.
    pub started_at: Timestamp,
    /// Wall time of its end.
    pub ended_at: Timestamp,
    /// Names and values.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Spans of other traces that it belongs to.
    pub links: Vec<TraceContext>,
}
