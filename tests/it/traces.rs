//! Traces a touchpoint from its producer to its transition, with a real OpenTelemetry Collector as the receiver.
//!
//! `LIFECYCLE_TRACE_FILE=spans.json` keeps what the collector has written, from which `scripts/draw-trace` draws the
//! picture of docs/tracing.md.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lifecycle_processor::http_client::{HttpClient, Options, Request};
use lifecycle_processor::runtime::WallClock;
use lifecycle_processor::wire::time::format_timestamp;
use lifecycle_processor::wire::trace_context::TraceContext;
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{self, NewRecord, until};
use crate::exactly_once::deployment::Deployment;

/// A running collector; it is killed when this value is dropped.
struct Collector {
    process: Child,
    endpoint: String,
    folder: TempDir,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.process.kill().expect("the collector is killed");
        self.process.wait().expect("the collector has ended");
    }
}

impl Collector {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/otel-collector");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("scripts/otel-collector can be run");
        let program = String::from_utf8(output.stdout).expect("a path");
        assert!(!program.trim().is_empty(), "scripts/otel-collector has built nothing; its output is above");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let (config, spans) = (folder.path().join("collector.yaml"), folder.path().join("spans.json"));
        let text = format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:{port}'}}}}}}}}\n\
             exporters: {{file: {{path: '{}', flush_interval: 100ms}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [file]}}}}}}\n",
            spans.display()
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let process = Command::new(program.trim())
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("the collector starts");
        Self { process, endpoint: format!("http://127.0.0.1:{port}"), folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("spans.json")
    }

    /// Exports the span of the producer of the touchpoints, as its own instrumentation would.
    fn export(&self, producer: TraceContext, topic: &str) {
        let (trace, span) = (format!("{:032x}", producer.trace_id), format!("{:016x}", producer.span_id));
        let at = format!("{}000000", WallClock::start().now().wall.as_millis());
        let body = serde_json::json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"spans": [{
                "traceId": trace, "spanId": span, "name": format!("send {topic}"), "kind": 4,
                "startTimeUnixNano": at, "endTimeUnixNano": at}]}]}]});
        let client = HttpClient::new(&Options { is_private_allowed: true, ..Options::default() }).expect("a client");
        let url = format!("{}/v1/traces", self.endpoint);
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        let body = body.to_string();
        let request = Request { method: "POST", url: &url, headers: &headers, body: Some(body.as_bytes()) };
        until("the collector takes the span of the producer", || {
            std::thread::sleep(Duration::from_millis(50));
            client.send(&request).ok().filter(|it| it.status == 200)
        });
    }

    /// Returns the spans that the collector has written, each with the name of its service.
    fn spans(&self) -> Vec<(String, Value)> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        // The last line may be incomplete.
        let requests = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut spans = Vec::new();
        for request in requests {
            for resource in array(&request["resourceSpans"]) {
                let service = attributes(&resource["resource"]).remove("service.name").unwrap_or_default();
                for scope in array(&resource["scopeSpans"]) {
                    spans.extend(array(&scope["spans"]).map(|it| (service.clone(), it.clone())));
                }
            }
        }
        spans
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Returns the attributes of a span or a resource as text.
fn attributes(value: &Value) -> BTreeMap<String, String> {
    let text = |it: &Value| it["stringValue"].as_str().or(it["intValue"].as_str()).unwrap_or_default().to_owned();
    array(&value["attributes"])
        .map(|it| (it["key"].as_str().unwrap_or_default().to_owned(), text(&it["value"])))
        .collect()
}

fn order(customer: &str, headers: &[(&str, &str)]) -> NewRecord {
    let at = format_timestamp(WallClock::start().now().wall);
    let text = format!(
        r#"{{"event_id":"e-{customer}","customer_id":"{customer}","type":"order_completed","occurred_at":"{at}","order_id":"o-{customer}","amount":1,"currency":"USD"}}"#
    );
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    NewRecord { headers, ..NewRecord::keyed(customer, &text) }
}

#[test]
fn a_touchpoint_is_traced_from_its_producer_to_its_transition_and_to_its_commit() {
    let collector = Collector::start();
    let producer = TraceContext::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect("valid");
    let unsampled = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let settings = format!("tracing: {{endpoint: '{}', sample_one_in: 0}}", collector.endpoint);
    let deployment = Deployment::new(1, &settings);
    collector.export(producer, &deployment.touchpoints);
    let traced = order("traced", &[("traceparent", &producer.to_string()), ("tracestate", "shop=1")]);
    let records = [traced, order("passed-on", &[("traceparent", unsampled)]), order("without", &[])];
    broker::produce(&deployment.touchpoints, &records);
    let instance = deployment.start("a");
    let transitions = until("the transitions are published", || {
        let found = broker::read_committed(&deployment.transitions);
        (found.len() == 3).then_some(found)
    });
    let header_of = |customer: &str, name: &str| {
        let record =
            transitions.iter().find(|it| it.key.as_deref() == Some(customer.as_bytes())).expect("a transition");
        let value = record.headers.iter().find(|(it, _)| it == name)?;
        Some(String::from_utf8(value.1.clone()).expect("text"))
    };
    assert_eq!(header_of("passed-on", "traceparent").as_deref(), Some(unsampled));
    assert_eq!(header_of("without", "traceparent"), None);
    assert_eq!(header_of("traced", "tracestate").as_deref(), Some("shop=1"));
    let sent = header_of("traced", "traceparent").and_then(|it| TraceContext::parse(it.as_bytes())).expect("a context");
    assert_eq!(sent.trace_id, producer.trace_id);

    let log = instance.stop();
    let spans = until("the collector has written the spans", || {
        std::thread::sleep(Duration::from_millis(50));
        let spans = collector.spans();
        (spans.len() >= 4).then_some(spans)
    });
    assert_eq!(spans.len(), 4, "the touchpoints that are not sampled have no spans: {spans:#?}; {log}");
    let named = |name: String| &spans.iter().find(|(_, it)| it["name"] == name.as_str()).expect("the span exists").1;
    let process = named(format!("process {}", deployment.touchpoints));
    assert_eq!(process["parentSpanId"], format!("{:016x}", producer.span_id));
    assert_eq!(process["traceId"], format!("{:032x}", producer.trace_id));
    assert_eq!(process["kind"], 5);
    let found = attributes(process);
    for (key, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", &deployment.touchpoints),
        ("messaging.destination.partition.id", "0"),
        ("messaging.consumer.group.name", &deployment.group),
        ("messaging.kafka.offset", "0"),
    ] {
        assert_eq!(found.get(key).map(String::as_str), Some(value), "{key}");
    }
    let published = spans.iter().map(|(_, it)| it).find(|it| it["spanId"] == format!("{:016x}", sent.span_id));
    let published = published.expect("the header names the span that sent the transition");
    assert_eq!(published["parentSpanId"], process["spanId"]);
    assert_eq!(published["kind"], 4);
    let commit = named(format!("commit {}", deployment.touchpoints));
    assert_eq!(commit["links"][0]["spanId"], process["spanId"]);
    assert_eq!(attributes(commit).get("messaging.operation.type").map(String::as_str), Some("settle"));
    assert!(spans.iter().filter(|(service, _)| service == "lifecycle").count() == 3, "{spans:#?}");
    if let Ok(path) = std::env::var("LIFECYCLE_TRACE_FILE") {
        std::fs::copy(collector.file(), Path::new(&path)).expect("the file is copied");
    }
}

#[test]
fn a_receiver_that_does_not_answer_delays_nothing_and_is_logged() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let deployment = Deployment::new(1, &format!("tracing: {{endpoint: 'http://127.0.0.1:{port}', sample_one_in: 1}}"));
    broker::produce(&deployment.touchpoints, &[order("c", &[])]);
    let instance = deployment.start("a");
    until("the transition is published", || {
        let found = broker::read_committed(&deployment.transitions);
        (found.len() == 1).then_some(())
    });
    let log = instance.stop();
    assert!(log.contains("spans dropped"), "{log}");
}
