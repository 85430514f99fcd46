//! Requests of the OpenTelemetry protocol (OTLP) that export spans: the part of `opentelemetry/proto` that is written.
//!
//! The messages are declared here instead of in `proto/`, because they are a contract of others. Field numbers are
//! those of version 1 of the protocol.

use prost::Message;

use super::span::{AttributeValue, Span, SpanKind};
use super::trace_context::TraceContext;

#[derive(Clone, PartialEq, Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
}

#[derive(Clone, PartialEq, Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// Returns the body of a request to `/v1/traces` with `spans` of a service with the attributes `resource`.
#[must_use]
pub fn export_request(resource: &[(&'static str, AttributeValue)], spans: &[Span]) -> Vec<u8> {
    let scope = Scope { name: "lifecycle".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = ScopeSpans { scope: Some(scope), spans: spans.iter().map(span_message).collect() };
    let resource = Resource { attributes: resource.iter().map(key_value).collect() };
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans: vec![spans] }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn span_message(span: &Span) -> SpanMessage {
    let nanoseconds = |at: crate::lifecycle::time::Timestamp| {
        u64::try_from(at.as_millis()).unwrap_or_default().saturating_mul(1_000_000)
    };
    let link = |it: &TraceContext| Link {
        trace_id: it.trace_id.to_be_bytes().to_vec(),
        span_id: it.span_id.to_be_bytes().to_vec(),
    };
    SpanMessage {
        trace_id: span.context.trace_id.to_be_bytes().to_vec(),
        span_id: span.context.span_id.to_be_bytes().to_vec(),
        trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(|it| it.to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: match span.kind {
            SpanKind::Client => 3,
            SpanKind::Producer => 4,
            SpanKind::Consumer => 5,
        },
        start_time_unix_nano: nanoseconds(span.started_at),
        end_time_unix_nano: nanoseconds(span.ended_at),
        attributes: span.attributes.iter().map(key_value).collect(),
        links: span.links.iter().map(link).collect(),
    }
}

fn key_value((key, value): &(&'static str, AttributeValue)) -> KeyValue {
    let value = match value {
        AttributeValue::Text(text) => Value::Text(text.to_string()),
        AttributeValue::Number(number) => Value::Number(*number),
    };
    KeyValue { key: (*key).to_owned(), value: Some(AnyValue { value: Some(value) }) }
}
