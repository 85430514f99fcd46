//! Tests of the HTTP API as clients use it: probes, metrics, models, customers, forwarding, and rejected requests.
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, JoinHandle};

use lifecycle_processor::api::{self, Api, Listeners, Peers, ROUTES, Route, SharedTokens, WorkerChannels};
use lifecycle_processor::config::ModelChoice;
use lifecycle_processor::lifecycle::id::StageIndex;
use lifecycle_processor::lifecycle::money::Currency;
use lifecycle_processor::lifecycle::time::{Duration, Timestamp};
use lifecycle_processor::lifecycle::touchpoint::FactOptions;
use lifecycle_processor::partition::{Effects, Input, Partition};
use lifecycle_processor::runtime::{CustomerAnswer, Query, RecentTransitions, RefusedLinks, StageAnswer, StageRequest};
use lifecycle_processor::service::http_tokens;
use lifecycle_processor::telemetry::metrics::Metrics;
use lifecycle_processor::telemetry::report::{Report, TransitionGroup};
use lifecycle_processor::telemetry::snapshot::{PartitionStatus, Status, WorkerSnapshot};
use lifecycle_processor::telemetry::status_registry::StatusRegistry;
use lifecycle_processor::wire::touchpoint_json::{Scratch, TouchpointDecoder, TouchpointOptions};

const TOUCHPOINT: &str = r#"{"event_id":"e1","customer_id":"anna/1","type":"order_completed","occurred_at":"2026-01-02T08:00:00Z","order_id":"o1","amount":39.90,"currency":"USD"}"#;

/// 2026-06-01T00:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_780_272_000_000);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) status_registry: Arc<StatusRegistry>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    queries: Option<Receiver<Query>>,
}

impl Server {
    pub(crate) fn start(tokens: Option<SharedTokens>) -> Self {
        Self::with_peers(TcpListener::bind("127.0.0.1:0").unwrap(), None, tokens)
    }

    /// Starts a server that forwards requests to `peers`.
    fn with_peers(listener: TcpListener, peers: Option<Peers>, tokens: Option<SharedTokens>) -> Self {
        Self::with_listeners(Listeners { api: listener, tls: None, probes: None }, peers, tokens)
    }

    /// Starts a server on `listeners`.
    pub(crate) fn with_listeners(listeners: Listeners, peers: Option<Peers>, tokens: Option<SharedTokens>) -> Self {
        let models = Arc::new(ModelChoice::of(&["retention".to_owned()]).load(false).unwrap());
        let status_registry = Arc::new(StatusRegistry::new(1));
        let (workers, queries) = WorkerChannels::new(1, std::time::Duration::from_secs(30));
        let api = Api {
            metrics: Arc::new(Metrics::new(&models, 1 << 30, None, Arc::clone(&status_registry))),
            models,
            currency: Currency::parse("USD").unwrap(),
            lateness: FactOptions::default().lateness,
            fresh_for: Duration::from_days(1),
            started_at: NOW,
            recent: Arc::new(RecentTransitions::new(1 << 20, Duration::from_days(1), NOW)),
            refused_links: Arc::<RefusedLinks>::default(),
            status_registry: Arc::clone(&status_registry),
            workers,
            peers,
            tokens,
            deliveries: None,
        };
        let address = listeners.api.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = thread::spawn(move || api::serve(listeners, api, stopped).unwrap());
        Self { address, status_registry, stop: Some(stop), thread: Some(thread), queries: queries.into_iter().next() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address))
    }

    pub(crate) fn request(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Answers every query with the result that no partition has the customer.
    pub(crate) fn answer_queries_with_unknown(&mut self) {
        let queries = self.queries.take().unwrap();
        thread::spawn(move || {
            for query in queries {
                match query {
                    Query::Customer { answer, .. } => answer(CustomerAnswer::Unknown),
                    Query::Stage { answer, .. } => answer(StageAnswer::NotAssigned { partitions: Some(1) }),
                }
            }
        });
    }

    /// Answers every query from a real partition that has processed one touchpoint.
    pub(crate) fn answer_queries(&mut self) {
        let queries = self.queries.take().unwrap();
        thread::spawn(move || {
            let models = Arc::new(ModelChoice::of(&["retention".to_owned()]).load(false).unwrap());
            let mut partition = Partition::new(Arc::clone(&models), FactOptions::default());
            let decoder = TouchpointDecoder::new(&models.vocabulary, TouchpointOptions { bytes_max: 1 << 20 });
            let mut scratch = Scratch::default();
            let touchpoint = decoder.decode(TOUCHPOINT.as_bytes(), &mut scratch).unwrap();
            partition.apply(Input::Touchpoint(&touchpoint), &mut Effects::default());
            partition.write_batches(0);
            partition.commit();
            while let Ok(query) = queries.recv() {
                match query {
                    Query::Customer { customer_id, answer } => {
                        let found = partition.snapshot(&customer_id);
                        answer(found.map_or(CustomerAnswer::Unknown, |customer| CustomerAnswer::Found {
                            partition: 7,
                            customer: Box::new(customer),
                        }));
                    }
                    Query::Stage { request, answer } if request.partition == 7 => {
                        let StageRequest { model, stage, cursor, customers_max, .. } = request;
                        let page = partition.stage_page(model, stage, cursor, customers_max);
                        answer(page.map_or(StageAnswer::CursorExpired, |page| StageAnswer::Page {
                            page,
                            partitions: Some(8),
                        }));
                    }
                    Query::Stage { answer, .. } => answer(StageAnswer::NotAssigned { partitions: Some(8) }),
                }
            }
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

#[test]
fn the_service_is_live_immediately_and_ready_once_partitions_are_processed() {
    let server = Server::start(None);
    assert_eq!(server.get("/livez").status, 200);
    let answer = server.get("/readyz");
    assert_eq!((answer.status, &answer.json()["status"]), (503, &503.into()));
    assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    server.status_registry.publish(0, snapshot(vec![status(3, Vec::new())]));
    assert_eq!(server.get("/readyz").status, 200);
    let restoring = PartitionStatus { is_running: false, ..status(3, Vec::new()) };
    server.status_registry.publish(0, snapshot(vec![restoring]));
    assert_eq!(server.get("/readyz").status, 503);
}

#[test]
fn metrics_are_prometheus_text() {
    let answer = Server::start(None).get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    assert!(answer.body.contains("\nlifecycle_touchpoints_consumed_total 0\n"), "{}", answer.body);
    assert!(answer.body.contains("lifecycle_customers{model=\"retention\",stage=\"active\"} 0\n"), "{}", answer.body);
}

#[test]
fn models_are_listed_with_their_stages_and_conditions() {
    let answer = Server::start(None).get("/v1/models").json();
    let model = &answer["models"][0];
    assert_eq!(model["model"], "retention");
    assert_eq!(model["journey"], serde_json::json!(["active", "at_risk"]));
    let stages: Vec<_> = model["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].clone()).collect();
    assert_eq!(stages, ["active", "at_risk", "churned"]);
    assert!(model["stages"][0]["when"].as_str().unwrap().contains("orders.count"), "{model}");
    // Conditions are tested in reverse order of the journey here.
    assert_eq!((&model["stages"][0]["tested"], &model["stages"][2]["tested"]), (&3.into(), &1.into()));
    assert_eq!(model["parameters"][0]["parameter"], "risk_after");
    let churned = model["transitions"].as_array().unwrap().iter().find(|named| named["name"] == "churned").unwrap();
    assert_eq!(churned["to"], serde_json::json!(["churned"]));
}

#[test]
fn a_model_is_returned_with_its_graph_and_the_customers_in_its_stages() {
    let server = Server::start(None);
    let before = server.get("/v1/models/retention").json();
    assert_eq!(before["customers_as_of"], serde_json::Value::Null);
    // In order of evaluation: churned, at_risk, active; then no stage.
    let (first, second) = (status(3, vec![vec![1, 2, 30, 4]]), status(5, vec![vec![0, 0, 100, 0]]));
    server.status_registry.publish(0, snapshot(vec![first, second]));
    let model = server.get("/v1/models/retention").json();
    let stage = |stage: &str, customers: u64| serde_json::json!({"stage": stage, "customers": customers});
    let no_stage = serde_json::json!({"stage": null, "customers": 4});
    assert_eq!(
        model["customers"],
        serde_json::json!([stage("active", 130), stage("at_risk", 2), stage("churned", 1), no_stage])
    );
    assert_eq!(model["customers_as_of"], "2026-06-01T00:00:00Z");
    assert_eq!(model["graph"]["nodes"][1]["stage"], "at_risk");
    let edges = model["graph"]["edges"].as_array().unwrap();
    assert!(edges.iter().any(|edge| edge["to"] == serde_json::json!(["at_risk"])), "{edges:?}");
    for (format, kind, part) in
        [("svg", "image/svg+xml", "<svg"), ("mermaid", "text/plain", "flowchart"), ("dot", "text/plain", "digraph")]
    {
        let answer = server.get(&format!("/v1/models/retention?format={format}&language=ru"));
        assert!(answer.body.contains(part) && answer.head.contains(kind), "{}{}", answer.head, answer.body);
    }
    let answer = server.get("/v1/models/loyalty");
    assert_eq!((answer.status, &answer.json()["type"]), (404, &"urn:lifecycle:problem:unknown-model".into()));
    let answer = server.get("/v1/models/retention?format=pdf");
    assert_eq!((answer.status, &answer.json()["type"]), (400, &"urn:lifecycle:problem:bad-query".into()));
}

#[test]
fn partitions_are_returned_as_the_workers_reported_them() {
    let server = Server::start(None);
    let answer = server.get("/v1/partitions").json();
    assert_eq!((&answer["partitions"], &answer["is_ready"]), (&serde_json::json!([]), &false.into()));
    assert_eq!(answer["workers"][0]["seen_at"], serde_json::Value::Null);
    let restoring = PartitionStatus { is_running: false, ..status(1, vec![vec![0, 0, 0, 0]]) };
    server.status_registry.publish(0, snapshot(vec![status(3, vec![vec![1, 2, 30, 4]]), restoring]));
    let answer = server.get("/v1/partitions").json();
    let partitions = answer["partitions"].as_array().unwrap();
    assert_eq!((&partitions[0]["partition"], &partitions[0]["state"]), (&1.into(), &"restoring".into()));
    assert_eq!((&partitions[1]["partition"], &partitions[1]["state"]), (&3.into(), &"running".into()));
    assert_eq!((&partitions[1]["position"], &partitions[1]["committed_offset"]), (&100.into(), &90.into()));
    assert_eq!(partitions[1]["lag_records"], 7);
    assert_eq!(partitions[1]["reached"], "2026-05-31T23:59:00Z");
    assert_eq!(answer["workers"][0]["partitions"], serde_json::json!([3, 1]));
}

#[test]
fn the_overview_sums_the_partitions_and_names_the_stages() {
    let server = Server::start(None);
    let answer = server.get("/v1/overview").json();
    assert_eq!(
        (&answer["touchpoints"], &answer["is_ready"], &answer["clock"]),
        (&0.into(), &false.into(), &serde_json::Value::Null)
    );
    let mut of_worker = snapshot(vec![status(1, vec![vec![1, 2, 30, 4]]), status(3, vec![vec![1, 0, 0, 0]])]);
    let report = &mut of_worker.report;
    report.tally.consumed = 9;
    let group = TransitionGroup { model: 0, kind: "stage", cause: "time", mode: "live" };
    report.transitions.insert(group, [("churned".into(), 4), ("returned".into(), 1)].into());
    report.moves.insert((0, None, Some(StageIndex(0))), 4);
    report.measured.commit_duration.observe(0.02);
    server.status_registry.publish(0, of_worker);
    let answer = server.get("/v1/overview").json();
    assert_eq!((&answer["is_ready"], &answer["started_at"]), (&true.into(), &"2026-06-01T00:00:00Z".into()));
    assert_eq!((&answer["touchpoints"], &answer["transitions"]), (&9.into(), &5.into()));
    assert_eq!((&answer["lag_records"], &answer["customers"]), (&14.into(), &74.into()));
    assert_eq!(answer["clock"], "2026-05-31T23:58:00Z");
    let model = &answer["models"][0];
    assert_eq!(model["model"], "retention");
    assert_eq!(model["stages"][0], serde_json::json!({"stage": "churned", "customers": 2}));
    assert_eq!(model["stages"][3], serde_json::json!({"stage": null, "customers": 4}));
    assert_eq!(model["moves"], serde_json::json!([{"from": null, "to": "churned", "count": 4}]));
    let commits = answer["commits"].as_array().unwrap();
    assert_eq!(commits.iter().find(|it| it["seconds"] == 0.01).unwrap()["count"], 0);
    assert_eq!(commits.last().unwrap(), &serde_json::json!({"seconds": null, "count": 1}));
}

pub(crate) fn snapshot(partitions: Vec<PartitionStatus>) -> WorkerSnapshot {
    let report = Report { assigned: partitions.len() as u64, ..Report::default() };
    WorkerSnapshot { at: NOW, status: Status { partitions, ..Status::default() }, report, direct: None }
}

pub(crate) fn status(partition: i32, stage_counts: Vec<Vec<u64>>) -> PartitionStatus {
    PartitionStatus {
        partition,
        is_running: true,
        restore: None,
        position: 100,
        committed_offset: Some(90),
        last_stable_offset: None,
        high_watermark: None,
        lag_records: Some(7),
        customers: 37,
        stubs: 0,
        oldest_hand_over: None,
        bytes: 10_000,
        wake_ups: 30,
        stream_time: Some(NOW),
        committed_stream_time: Some(NOW - Duration::from_millis(60_000)),
        watermark: Some(NOW - Duration::from_millis(120_000)),
        current_time: None,
        next_wake_up: None,
        stage_counts,
    }
}

#[test]
fn a_customer_is_returned_with_facts_standing_and_next_wake_up() {
    let mut server = Server::start(None);
    server.answer_queries();
    let answer = server.get("/v1/customers/anna%2F1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let customer = answer.json();
    assert_eq!((&customer["customer_id"], &customer["partition"]), (&"anna/1".into(), &7.into()));
    assert_eq!((&customer["orders"]["count"], &customer["orders"]["revenue"]), (&1.into(), &"39.9".into()));
    assert_eq!(customer["models"][0]["stage"], "active");
    assert_eq!(customer["models"][0]["since"], "2026-01-02T08:00:00Z");
    assert_eq!(customer["next_wake_up"], "2026-04-02T08:00:00Z");
    assert_eq!(customer["facts"]["orders.count"], 1, "{customer}");
    let because = &customer["models"][0]["because"];
    assert_eq!((&because["condition"], &because["values"]["orders.count"]), (&"orders.count >= 1".into(), &1.into()));
    let next = customer["next_wake_up_publishes"].as_array().unwrap();
    let [next] = &next[..] else { panic!("{next:?}") };
    assert_eq!((&next["name"], &next["to"]), (&"at_risk_of_churn".into(), &"at_risk".into()));
    assert_eq!((&next["occurred_at"], &next["sequence"]), (&"2026-04-02T08:00:00Z".into(), &2.into()));
    assert_eq!(next["words"], "at_risk_of_churn (active to at_risk, forward)");
    assert_eq!(next["reason"][0], "caused by time");
    let forecast = server.get("/v1/customers/anna%2F1/forecast").json();
    let names: Vec<_> =
        forecast["transitions"].as_array().unwrap().iter().map(|transition| transition["name"].clone()).collect();
    assert_eq!((names, &forecast["is_complete"]), (vec!["at_risk_of_churn".into(), "churned".into()], &true.into()));
    assert_eq!(forecast["transitions"][0]["transition_id"], next["transition_id"]);
    for days in ["0", "3651", "x"] {
        let answer = server.get(&format!("/v1/customers/anna%2F1/forecast?days={days}"));
        assert_eq!((answer.status, &answer.json()["type"]), (400, &"urn:lifecycle:problem:bad-query".into()), "{days}");
    }
    let answer = server.get("/v1/customers/unknown");
    assert_eq!((answer.status, &answer.json()["type"]), (503, &"urn:lifecycle:problem:no-partitions".into()));
    server.status_registry.publish(0, snapshot(vec![status(7, Vec::new())]));
    let answer = server.get("/v1/customers/unknown");
    assert_eq!((answer.status, &answer.json()["type"]), (404, &"urn:lifecycle:problem:unknown-customer".into()));
}

#[test]
fn a_query_to_a_stopped_worker_fails() {
    let mut server = Server::start(None);
    drop(server.queries.take());
    let answer = server.get("/v1/customers/anna");
    assert_eq!((answer.status, &answer.json()["type"]), (503, &"urn:lifecycle:problem:busy".into()));
}

#[test]
fn without_a_token_other_host_names_are_rejected() {
    let server = Server::start(None);
    let request = "GET /v1/models HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    assert_eq!(server.request(request).status, 403);
    assert_eq!(server.request(&request.replace("/v1/models", "/livez")).status, 200);
}

#[test]
fn with_a_token_requests_need_it_and_probes_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    let server = Server::start(Some(SharedTokens::new(http_tokens(&path).unwrap())));
    let answer = server.get("/v1/models");
    assert_eq!(answer.status, 401);
    assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    let request = "GET /v1/models HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nAuthorization: Bearer ";
    assert_eq!(server.request(&format!("{request}0123456789abcdef0123456789abcdef\r\n\r\n")).status, 200);
    assert_eq!(server.request(&format!("{request}0123456789abcdef0123456789abcdee\r\n\r\n")).status, 401);
    assert_eq!(server.get("/metrics").status, 200);
    std::fs::write(&path, "short").unwrap();
    assert!(http_tokens(&path).unwrap_err().contains("16 to 4096 characters"));
}

#[test]
fn unknown_paths_and_methods_return_problems() {
    let server = Server::start(None);
    let answer = server.get("/v2");
    assert_eq!(answer.status, 404);
    for Route { path, .. } in ROUTES {
        assert!(answer.json()["detail"].as_str().unwrap().contains(path), "{}", answer.body);
    }
    let request =
        format!("POST /livez HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", server.address);
    assert_eq!(server.request(&request).json()["type"], "urn:lifecycle:problem:wrong-method");
}

#[test]
fn an_invalid_query_for_transitions_is_rejected_with_the_reason() {
    let server = Server::start(None);
    let answer = server.get("/v1/transitions?model=loyalty");
    assert_eq!((answer.status, &answer.json()["type"]), (404, &"urn:lifecycle:problem:unknown-model".into()));
    let answer = server.get("/v1/transitions?after=12&model=retention").json();
    assert_eq!((&answer["transitions"], &answer["missed"]), (&serde_json::json!([]), &0.into()));
    for (query, expected) in [
        ("limit=0", "limit is \"0\": write a whole number from 1 to 1000"),
        ("limit=1001", "limit is \"1001\": write a whole number from 1 to 1000"),
        ("wait=21", "wait is \"21\": write a whole number from 0 to 20"),
        ("after=x", "after is \"x\": write a whole number from 0 to 9007199254740991"),
        ("after=-1", "after is \"-1\": write a whole number from 0 to 9007199254740991"),
        ("after=", "after is \"\": write a whole number from 0 to 9007199254740991"),
        ("after=9007199254740992", "after is \"9007199254740992\": write a whole number from 0 to 9007199254740991"),
        ("limit=1&wait=1&limit=1", "limit is given more than once"),
        ("limti=1", "unknown parameter \"limti\": did you mean `limit`?"),
        ("sort=asc", "unknown parameter \"sort\": this path takes after, limit, model, wait"),
    ] {
        let answer = server.get(&format!("/v1/transitions?{query}"));
        assert_eq!((answer.status, &answer.json()["detail"]), (400, &expected.into()), "{query}");
        assert_eq!(answer.json()["type"], "urn:lifecycle:problem:bad-query", "{query}");
    }
}

#[test]
fn every_path_under_v1_rejects_unknown_parameters() {
    let mut server = Server::start(None);
    server.answer_queries();
    let mut rejected = 0;
    for Route { path, .. } in ROUTES {
        let path = path.replace("{customer_id}", "anna%2F1").replace("{model}", "retention");
        let answer = server.get(&format!("{path}?verbose=1"));
        if path.starts_with("/v1/") {
            assert_eq!(
                (answer.status, &answer.json()["type"]),
                (400, &"urn:lifecycle:problem:bad-query".into()),
                "{path}"
            );
            assert!(answer.body.contains("unknown parameter"), "{path}: {}", answer.body);
            rejected += 1;
        } else {
            assert_ne!(answer.status, 400, "{path}");
        }
    }
    assert!(rejected >= 6, "{rejected}");
    let answer = server.get("/v1/partitions?all=1").json();
    assert_eq!(answer["detail"], "unknown parameter \"all\": this path takes no parameters");
    let answer = server.get("/v1/models/retention?format=pdf").json();
    assert_eq!(answer["detail"], "format is \"pdf\": write json or svg or mermaid or dot");
    // The response repeats only the beginning of a long value.
    let answer = server.get(&format!("/v1/models/retention?format={}", "x".repeat(4_000)));
    assert!(answer.status == 400 && answer.body.len() < 400, "{}", answer.body);
}

#[test]
fn a_forecast_starts_at_the_current_time_of_the_customers_partition() {
    let mut server = Server::start(None);
    server.answer_queries();
    let until = |server: &Server| {
        let forecast = server.get("/v1/customers/anna%2F1/forecast?days=100").json();
        (forecast["until"].as_str().unwrap().to_owned(), forecast["transitions"].as_array().unwrap().len())
    };
    // The customer's clock counts while the time of the partition is unknown.
    assert_eq!(until(&server), ("2026-04-12T08:00:00Z".to_owned(), 1));
    let at = |now: Timestamp| PartitionStatus { current_time: Some(now), ..status(7, vec![vec![0; 4]]) };
    let other = PartitionStatus { partition: 3, ..at(NOW + Duration::from_days(900)) };
    server.status_registry.publish(0, snapshot(vec![other.clone(), at(NOW)]));
    assert_eq!(until(&server), ("2026-09-09T00:00:00Z".to_owned(), 2));
    // The time of a partition trails by the lateness, so the customer's clock may be later.
    server.status_registry.publish(0, snapshot(vec![other, at(NOW - Duration::from_days(300))]));
    assert_eq!(until(&server), ("2026-04-12T08:00:00Z".to_owned(), 1));
}

#[test]
fn bodies_and_invalid_or_oversized_requests_are_rejected() {
    let server = Server::start(None);
    let request = |line: &str, fields: &str| {
        let host = format!("Host: {}\r\nConnection: close\r\n", server.address);
        server.request(&format!("{line} HTTP/1.1\r\n{host}{fields}\r\n"))
    };
    let answer = request("GET /livez", "Content-Length: 5\r\n");
    assert_eq!((answer.status, &answer.json()["type"]), (413, &"urn:lifecycle:problem:body-not-read".into()));
    let answer = request("GET /livez", "Transfer-Encoding: chunked\r\n");
    assert_eq!(answer.status, 413);
    let answer = request(&format!("GET /v1/customers/{}", "a".repeat(9_000)), "");
    assert_eq!((answer.status, &answer.json()["type"]), (414, &"urn:lifecycle:problem:uri-too-long".into()));
    let answer = request(&format!("GET /v1/customers/{}", "a".repeat(2_000)), "");
    assert_eq!((answer.status, &answer.json()["type"]), (404, &"urn:lifecycle:problem:unknown-customer".into()));
    let answer = request("GET /v1/customers/%FF", "");
    assert_eq!((answer.status, &answer.json()["type"]), (400, &"urn:lifecycle:problem:bad-path".into()));
    let answer = request("DELETE /v1/customers/anna", "");
    assert_eq!((answer.status, &answer.json()["status"]), (405, &405.into()));
    assert!(answer.head.contains("allow: get"), "{}", answer.head);
    // An oversized head is rejected before any route sees it.
    let answer = request("GET /livez", &format!("X-Large: {}\r\n", "a".repeat(40_000)));
    assert_eq!(answer.status, 431);
}

#[test]
fn the_number_of_connections_is_limited() {
    let server = Server::start(None);
    let open: Vec<_> = (0..1024).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    // Connections are accepted in order, so all of these are open before the next one is accepted.
    let answer = server.get("/livez");
    assert_eq!((answer.status, &answer.json()["type"]), (503, &"urn:lifecycle:problem:too-many-connections".into()));
    drop(open);
    super::broker::until("connections are accepted again", || (server.get("/livez").status == 200).then_some(()));
}

#[test]
fn the_number_of_concurrent_requests_is_limited() {
    let server = Server::start(None);
    // No worker answers these.
    let path = "GET /v1/customers/anna HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ask = |_| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(path.as_bytes()).unwrap();
        stream
    };
    let open: Vec<_> = (0..512).map(ask).collect();
    let answer = server.get("/v1/models");
    assert_eq!((answer.status, &answer.json()["type"]), (429, &"urn:lifecycle:problem:too-many-requests".into()));
    assert!(answer.head.contains("retry-after: 1"), "{}", answer.head);
    assert_eq!(server.get("/livez").status, 200);
    drop(open);
}

/// Starts two servers of one group. Only the second one has the customer.
fn start_two_instances(tokens: Option<&SharedTokens>) -> (Server, Server) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses: Vec<String> = listeners.iter().map(|listener| listener.local_addr().unwrap().to_string()).collect();
    let [mut first, mut second] = listeners.map(|listener| {
        let (own, all) = (listener.local_addr().unwrap().to_string(), addresses.clone());
        Server::with_peers(listener, Some(Peers::new(own, None, Box::new(move || Ok(all.clone())))), tokens.cloned())
    });
    first.answer_queries_with_unknown();
    second.answer_queries();
    (first, second)
}

#[test]
fn a_request_for_a_customer_of_another_instance_is_forwarded() {
    let (first, second) = start_two_instances(None);
    let answer = first.get("/v1/customers/anna%2F1");
    assert_eq!((answer.status, &answer.json()["customer_id"]), (200, &"anna/1".into()), "{}", answer.body);
    assert!(answer.head.contains(&format!("lifecycle-answered-by: {}", second.address)), "{}", answer.head);
    assert_eq!(answer.json()["models"], second.get("/v1/customers/anna%2F1").json()["models"]);
    let answer = first.get("/v1/customers/anna%2F1/forecast?days=10").json();
    assert_eq!(answer["customer_id"], "anna/1", "{answer}");
    for server in [&first, &second] {
        let answer = server.get("/v1/customers/unknown");
        assert_eq!((answer.status, &answer.json()["type"]), (404, &"urn:lifecycle:problem:unknown-customer".into()));
    }
    // A forwarded request is not forwarded again.
    let forwarded =
        "GET /v1/customers/anna%2F1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nLifecycle-Asked-By: x\r\n\r\n";
    assert_eq!((first.request(forwarded).status, second.request(forwarded).status), (404, 200));
}

#[test]
fn customers_of_a_stage_are_listed_and_mistakes_are_named() {
    let mut server = Server::start(None);
    server.answer_queries();
    let path = "/v1/models/retention/stages/active/customers";
    let answer = server.get(path);
    assert_eq!((answer.status, &answer.json()["type"]), (503, &"urn:lifecycle:problem:no-partitions".into()));
    server.status_registry.publish(0, snapshot(vec![status(7, Vec::new())]));
    let answer = server.get(path).json();
    let customer = &answer["customers"][0];
    assert_eq!((&customer["customer_id"], &customer["partition"]), (&"anna/1".into(), &7.into()), "{answer}");
    assert_eq!(customer["since"], "2026-01-02T08:00:00Z");
    assert_eq!((&customer["orders"]["count"], &customer["orders"]["revenue"]), (&1.into(), &"39.9".into()));
    assert_eq!(answer["customers"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&answer["next"], &answer["left_out"]),
        (&serde_json::Value::Null, &serde_json::json!([0, 1, 2, 3, 4, 5, 6]))
    );
    let answer = server.get("/v1/models/retention/stages/churned/customers").json();
    assert_eq!(answer["customers"], serde_json::json!([]), "{answer}");
    for (path, status, problem) in [
        ("/v1/models/other/stages/active/customers", 404, "unknown-model"),
        ("/v1/models/retention/stages/other/customers", 404, "unknown-stage"),
        ("/v1/models/retention/stages/active/customers?limit=0", 400, "bad-query"),
        ("/v1/models/retention/stages/active/customers?limit=1001", 400, "bad-query"),
        ("/v1/models/retention/stages/active/customers?cursor=next", 404, "unknown-cursor"),
        ("/v1/models/retention/stages/active/customers?cursor=7.9.1", 410, "cursor-expired"),
    ] {
        let answer = server.get(path);
        let found = answer.json()["type"].as_str().unwrap().to_owned();
        assert_eq!((answer.status, found), (status, format!("urn:lifecycle:problem:{problem}")), "{path}");
    }
}

#[test]
fn unreachable_instances_are_named() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let all = vec![gone.clone(), "no address".to_owned()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peers = Peers::new(listener.local_addr().unwrap().to_string(), None, Box::new(move || Ok(all.clone())));
    let mut server = Server::with_peers(listener, Some(peers), None);
    server.answer_queries_with_unknown();
    let answer = server.get("/v1/customers/anna");
    assert_eq!((answer.status, &answer.json()["type"]), (503, &"urn:lifecycle:problem:elsewhere".into()));
    assert!(
        answer.json()["detail"].as_str().unwrap().contains(&format!("did not respond: {gone};")),
        "{}",
        answer.body
    );
}

#[test]
fn the_callers_token_is_forwarded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
    let (first, _second) = start_two_instances(Some(&SharedTokens::new(http_tokens(&path).unwrap())));
    let request = "GET /v1/customers/anna%2F1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ";
    assert_eq!(first.request(&format!("{request}0123456789abcdef0123456789abcdef\r\n\r\n")).status, 200);
    assert_eq!(first.request(&format!("{request}another\r\n\r\n")).status, 401);
}
