//! What operators see and do: metrics, `/v1/deliveries`, pause and resume, suppressed deliveries, a restart of the
//! broker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::receiver::{Answer, Receiver};
use super::{Deployment, key, log, produce, transition};
use crate::broker::{self, NewRecord, until};

/// Sends a request to the HTTP server of the deliverer, and returns status and body.
fn ask(address: &str, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .expect("an open connection");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    let status = text.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// Returns the address on which the deliverer says that it listens.
fn address(deployment: &Deployment) -> String {
    until("the deliverer logs its address", || {
        std::thread::sleep(Duration::from_millis(20));
        let log = log(deployment);
        let rest = log.split("http=").nth(1)?;
        Some(rest.split_whitespace().next()?.to_owned())
    })
}

fn state(address: &str) -> Value {
    let (status, body) = ask(address, "GET", "/v1/deliveries/shop");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn wait_for_state(address: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    until(what, || {
        std::thread::sleep(Duration::from_millis(50));
        Some(state(address)).filter(|it| condition(it))
    })
}

#[test]
fn state_and_metrics_show_what_happens_without_data_of_customers() {
    let receiver = Receiver::start(|received| Answer::status(if key(received).0 == "c0" { 400 } else { 200 }));
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/secret-path\"}}\n    allow_private_addresses: true\n    start: earliest\n    \
         filter: transition.sequence != 2\n    min_interval: 1h\n    paused: true\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    produce(&deployment.topic, 3, 3);
    let process = deployment.start();
    let address = address(&deployment);
    let paused = wait_for_state(&address, "all are read", |it| it["waiting"] == 3);
    assert_eq!(paused["state"], "paused");
    assert_eq!(receiver.count(), 0, "nothing is sent to a paused destination");
    assert_eq!(ask(&address, "POST", "/v1/deliveries/shop/resume").0, 202);
    let done = wait_for_state(&address, "all are done", |it| it["delivered"] == 2 && it["dead"] == 1);
    // Of three customers with three transitions each, the filter suppresses the second, the interval the third.
    assert_eq!((&done["suppressed"]["filter"], &done["suppressed"]["interval"]), (&3.into(), &3.into()), "{done}");
    assert_eq!(done["errors"][0]["kind"], "status 400", "{done}");
    assert_eq!(ask(&address, "POST", "/v1/deliveries/shop/pause").0, 202);
    wait_for_state(&address, "it is paused", |it| it["state"] == "paused");
    assert_eq!(ask(&address, "POST", "/v1/deliveries/none/pause").0, 404);
    assert_eq!(ask(&address, "GET", "/readyz").0, 200);
    let (_, metrics) = ask(&address, "GET", "/metrics");
    for line in [
        "lifecycle_delivered_total{destination=\"shop\"} 2",
        "lifecycle_delivery_dead_total{destination=\"shop\"} 1",
        "lifecycle_delivery_suppressed_total{destination=\"shop\",reason=\"interval\"} 3",
        "lifecycle_delivery_state{destination=\"shop\",state=\"paused\"} 1",
        "lifecycle_delivery_latency_seconds_count{destination=\"shop\"} 2",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    process.stop();
    for text in [log(&deployment), metrics, done.to_string()] {
        assert!(!text.contains("secret-path") && !text.contains("\"c0\"") && !text.contains("customer_id"), "{text}");
    }
}

#[test]
fn a_batch_is_sent_again_in_halves_until_the_transition_at_fault_is_alone() {
    // Refuses every batch that contains customer c5, as a tool does that validates a request as a whole.
    let receiver = Receiver::start(|received| {
        let has_fault = received.json().as_array().expect("a batch").iter().any(|event| event["subject"] == "c5");
        Answer::status(if has_fault { 400 } else { 200 })
    });
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/\", format: cloudevents_batch}}\n    allow_private_addresses: true\n    \
         start: earliest\n    linger: 1s\n    concurrency: 1\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    produce(&deployment.topic, 16, 1);
    let process = deployment.start();
    until("the transition at fault is a dead letter", || {
        std::thread::sleep(Duration::from_millis(50));
        (broker::read_committed(&deployment.dead_letters).len() == 1).then_some(())
    });
    process.stop();
    let accepted: usize = receiver.accepted().iter().map(|it| it.json().as_array().map_or(0, Vec::len)).sum();
    assert_eq!(accepted, 15, "all others are delivered once");
    assert_eq!(broker::read_committed(&deployment.dead_letters)[0].key.as_deref(), Some(&b"c5"[..]));
}

#[test]
fn records_that_are_no_transitions_are_dead_letters() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/\", body: {{id: \"${{transition.transition_id}}\"}}}}\n    \
         allow_private_addresses: true\n    start: earliest\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    let valid = transition("c1", 1).to_string();
    let tombstone = NewRecord { key: Some(b"c1".to_vec()), ..NewRecord::default() };
    broker::produce(
        &deployment.topic,
        &[NewRecord::keyed("c1", "not json"), NewRecord::keyed("c1", "{}"), tombstone, NewRecord::keyed("c1", &valid)],
    );
    let process = deployment.start();
    until("the valid one is delivered, and two are dead letters", || {
        std::thread::sleep(Duration::from_millis(50));
        (receiver.count() == 1 && broker::read_committed(&deployment.dead_letters).len() == 2).then_some(())
    });
    process.stop();
    assert_eq!(receiver.received()[0].json()["id"], transition("c1", 1)["transition_id"]);
}
