//! Traces touchpoints: from the span of their producer, named in the header `traceparent`, to the transitions that they
//! cause, and to the commit that published both.
//!
//! A span is recorded if its producer's span is, or for a sample of the touchpoints without one. Spans are handed over
//! after their commit. Those of an aborted transaction are dropped, because its touchpoints are processed again.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use crate::kafka::{Record, RecordHeader};
use crate::lifecycle::time::Timestamp;
use crate::wire::span::{AttributeValue, Span, SpanKind};
use crate::wire::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

/// Maximum number of touchpoints that the span of a commit links; OpenTelemetry's limit.
const LINKS_MAX: usize = 128;

/// Records spans, and hands them over to an exporter.
#[derive(Debug)]
pub struct Tracer {
    /// Receives the spans of one commit. When it is full, they are dropped and counted, so that tracing never delays
    /// processing.
    pub spans: SyncSender<Vec<Span>>,
    /// Number of dropped spans.
    pub dropped: Arc<AtomicU64>,
    /// One in this many touchpoints without a trace context starts a trace; 0 for none.
    pub sample_one_in: usize,
    /// The topic of touchpoints.
    pub topic: Arc<str>,
    /// The consumer group.
    pub group: Arc<str>,
}

/// A touchpoint with a trace context, and the transitions that it caused.
#[derive(Debug)]
pub(super) struct TracedTouchpoint {
    /// The span of its processing. If it is not sampled, that of its producer, which is passed on.
    context: TraceContext,
    parent: Option<u64>,
    state: Option<Arc<str>>,
    partition: i32,
    offset: i64,
    started_at: Timestamp,
    /// The indices of its transitions in the effects of the batch.
    pub(super) transitions: Range<usize>,
    /// The spans of its transitions, with their topics.
    sent: Vec<(TraceContext, Arc<str>)>,
}

impl TracedTouchpoint {
    /// Calls `write` with the headers of a transition that this touchpoint caused, published to `topic`.
    pub(super) fn write_headers(&mut self, topic: &Arc<str>, mut write: impl FnMut(&str, &[u8])) {
        let mut context = self.context;
        if context.is_sampled {
            context.span_id = new_span_id();
            self.sent.push((context, Arc::clone(topic)));
        }
        write(TRACEPARENT, context.to_string().as_bytes());
        if let Some(state) = &self.state {
            write(TRACESTATE, state.as_bytes());
        }
    }
}

impl Tracer {
    /// Returns the trace context of a touchpoint whose processing starts at `now`; `None` if it has none, and is not
    /// in the sample.
    pub(super) fn begin(&self, record: &Record, now: Timestamp) -> Option<TracedTouchpoint> {
        let (partition, offset) = (record.partition, record.offset);
        let (context, parent) = match header(record, TRACEPARENT).and_then(TraceContext::parse) {
            Some(parent) if parent.is_sampled => {
                (TraceContext { span_id: new_span_id(), ..parent }, Some(parent.span_id))
            }
            Some(parent) => (parent, None),
            None if self.sample_one_in > 0 && fastrand::usize(..self.sample_one_in) == 0 => (new_trace(), None),
            None => return None,
        };
        let state = header(record, TRACESTATE).and_then(|it| std::str::from_utf8(it).ok()).map(Arc::from);
        Some(TracedTouchpoint {
            context,
            parent,
            state,
            partition,
            offset,
            started_at: now,
            transitions: 0..0,
            sent: Vec::new(),
        })
    }

    /// Hands over the spans of a commit of `consumed` records, which began at `began_at` and was finished at
    /// `committed_at`.
    pub(super) fn export(
        &self,
        touchpoints: Vec<TracedTouchpoint>,
        consumed: u64,
        began_at: Timestamp,
        committed_at: Timestamp,
    ) {
        let mut spans = Vec::new();
        let mut links = Vec::new();
        for touchpoint in touchpoints.into_iter().filter(|it| it.context.is_sampled) {
            links.push(touchpoint.context);
            self.add_spans(touchpoint, began_at, committed_at, &mut spans);
        }
        if links.is_empty() {
            return;
        }
        links.truncate(LINKS_MAX);
        let mut attributes = operation_attributes("commit", "settle", &self.topic);
        attributes.push(("messaging.consumer.group.name", AttributeValue::Text(Arc::clone(&self.group))));
        let consumed = i64::try_from(consumed).unwrap_or(i64::MAX);
        attributes.push(("messaging.batch.message_count", AttributeValue::Number(consumed)));
        spans.push(Span {
            context: new_trace(),
            parent: None,
            state: None,
            name: format!("commit {}", self.topic),
            kind: SpanKind::Client,
            started_at: began_at,
            ended_at: committed_at,
            attributes,
            links,
        });
        let count = spans.len() as u64;
        if self.spans.try_send(spans).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Adds the span of a touchpoint and those of its transitions.
    fn add_spans(&self, it: TracedTouchpoint, began_at: Timestamp, committed_at: Timestamp, spans: &mut Vec<Span>) {
        let mut attributes = operation_attributes("process", "process", &self.topic);
        attributes.push(("messaging.consumer.group.name", AttributeValue::Text(Arc::clone(&self.group))));
        let partition = AttributeValue::Text(it.partition.to_string().into());
        attributes.push(("messaging.destination.partition.id", partition));
        attributes.push(("messaging.kafka.offset", AttributeValue::Number(it.offset)));
        spans.push(Span {
            context: it.context,
            parent: it.parent,
            state: it.state.clone(),
            name: format!("process {}", self.topic),
            kind: SpanKind::Consumer,
            started_at: it.started_at,
            ended_at: committed_at,
            attributes,
            links: Vec::new(),
        });
        for (context, topic) in it.sent {
            spans.push(Span {
                context,
                parent: Some(it.context.span_id),
                state: it.state.clone(),
                name: format!("send {topic}"),
                kind: SpanKind::Producer,
                started_at: began_at,
                ended_at: committed_at,
                attributes: operation_attributes("send", "send", &topic),
                links: Vec::new(),
            });
        }
    }
}

/// Returns the attributes of an operation on a topic.
fn operation_attributes(
    operation: &str,
    operation_type: &str,
    topic: &Arc<str>,
) -> Vec<(&'static str, AttributeValue)> {
    let text = |text: &str| AttributeValue::Text(text.into());
    vec![
        ("messaging.system", text("kafka")),
        ("messaging.operation.name", text(operation)),
        ("messaging.operation.type", text(operation_type)),
        ("messaging.destination.name", AttributeValue::Text(Arc::clone(topic))),
    ]
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a [u8]> {
    let is_named = |it: &&RecordHeader| it.name.eq_ignore_ascii_case(name);
    record.headers.iter().rev().find(is_named)?.value.as_deref()
}

fn new_span_id() -> u64 {
    fastrand::u64(1..)
}

fn new_trace() -> TraceContext {
    TraceContext { trace_id: fastrand::u128(1..), span_id: new_span_id(), is_sampled: true }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn record(traceparent: Option<&str>) -> Record {
        let header = |text: &str| RecordHeader { name: "Traceparent".into(), value: Some(text.into()) };
        let headers = traceparent.map(header).into_iter().collect();
        Record { partition: 3, offset: 7, timestamp_ms: None, key: None, value: None, headers }
    }

    fn tracer(sample_one_in: usize) -> (Tracer, mpsc::Receiver<Vec<Span>>) {
        let (spans, exported) = mpsc::sync_channel(1);
        let (topic, group) = ("touchpoints".into(), "lifecycle".into());
        (Tracer { spans, dropped: Arc::default(), sample_one_in, topic, group }, exported)
    }

    fn transition_header(touchpoint: &mut TracedTouchpoint) -> TraceContext {
        let mut written = None;
        touchpoint.write_headers(&"transitions".into(), |name, value| {
            assert_eq!(name, TRACEPARENT);
            written = TraceContext::parse(value);
        });
        written.expect("a header")
    }

    #[test]
    fn the_spans_of_a_touchpoint_lead_from_its_producer_to_its_transitions() {
        let (tracer, exported) = tracer(0);
        let now = Timestamp::from_millis(1_000);
        let mut touchpoint = tracer.begin(&record(Some(SAMPLED)), now).unwrap();
        let sent = transition_header(&mut touchpoint);
        tracer.export(vec![touchpoint], 5, Timestamp::from_millis(1_010), Timestamp::from_millis(1_020));
        let spans = exported.recv().unwrap();
        let names: Vec<_> = spans.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["process touchpoints", "send transitions", "commit touchpoints"]);
        let parent = TraceContext::parse(SAMPLED.as_bytes()).unwrap();
        assert_eq!((spans[0].context.trace_id, spans[0].parent), (parent.trace_id, Some(parent.span_id)));
        assert_eq!((spans[1].context, spans[1].parent), (sent, Some(spans[0].context.span_id)));
        assert_eq!(spans[2].links, [spans[0].context]);
    }

    #[test]
    fn the_context_of_an_unsampled_producer_is_passed_on_without_spans() {
        let (tracer, exported) = tracer(1);
        let unsampled = SAMPLED.replace("-01", "-00");
        let mut touchpoint = tracer.begin(&record(Some(&unsampled)), Timestamp::MIN).unwrap();
        assert_eq!(transition_header(&mut touchpoint).to_string(), unsampled);
        tracer.export(vec![touchpoint], 1, Timestamp::MIN, Timestamp::MIN);
        assert!(exported.try_recv().is_err());
    }

    #[test]
    fn a_sample_of_the_touchpoints_without_a_context_starts_traces() {
        assert!(tracer(0).0.begin(&record(None), Timestamp::MIN).is_none());
        let sampled = tracer(1).0.begin(&record(Some("invalid")), Timestamp::MIN).unwrap();
        assert!(sampled.context.is_sampled && sampled.parent.is_none());
    }

    #[test]
    fn spans_that_the_exporter_does_not_take_are_dropped_and_counted() {
        let (tracer, _exported) = tracer(1);
        for _ in 0..3 {
            let touchpoint = tracer.begin(&record(None), Timestamp::MIN).unwrap();
            tracer.export(vec![touchpoint], 1, Timestamp::MIN, Timestamp::MIN);
        }
        assert_eq!(tracer.dropped.load(Ordering::Relaxed), 4, "two spans for each of the last two commits");
    }
}
