//! Deliveries on a real Kafka to a real HTTP server: nothing is lost, the order of each customer is kept, and what is
//! repeated has the same key.

mod commands;
mod crashes;
mod destinations;
mod libraries;
mod operations;
pub(crate) mod receiver;
mod service;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::broker::{self, NewRecord};
use receiver::{Received, Receiver};

/// Returns the transition number `sequence` of a customer.
pub(crate) fn transition(customer: &str, sequence: u64) -> Value {
    let id =
        uuid::Uuid::from_u128(u128::from(xxhash_rust::xxh3::xxh3_64(customer.as_bytes())) << 64 | u128::from(sequence));
    json!({
        "transition_id": id.hyphenated().to_string(),
        "customer_id": customer,
        "model": "retention",
        "model_version": 1,
        "kind": "stage",
        "name": "at_risk_of_churn",
        "from": "active",
        "to": "at_risk",
        "direction": "backward",
        "sequence": sequence,
        "occurred_at": "2026-03-01T10:30:00Z",
        "detected_at": "2026-03-01T10:30:01Z",
        "late": false,
        "mode": "live",
        "orders": {"count": 3, "revenue": "120.5", "currency": "EUR"},
    })
}

/// Writes `count` transitions of each customer, in turn.
pub(crate) fn produce(topic: &str, customers: u64, count: u64) {
    broker::produce(topic, &records(customers, count));
}

/// Returns the records of `count` transitions of each customer, in turn.
fn records(customers: u64, count: u64) -> Vec<NewRecord> {
    (1..=count)
        .flat_map(|sequence| (0..customers).map(move |customer| (format!("c{customer}"), sequence)))
        .map(|(customer, sequence)| NewRecord::keyed(&customer, &transition(&customer, sequence).to_string()))
        .collect()
}

/// A folder with the configuration of a deliverer.
pub(crate) struct Deployment {
    folder: tempfile::TempDir,
    pub(crate) topic: String,
    pub(crate) dead_letters: String,
    prefix: String,
    bootstrap: String,
}

impl Deployment {
    /// Creates the topics. `destinations` is the YAML under `destinations`, indented by two.
    pub(crate) fn new(partitions: i32, destinations: &str) -> Self {
        let (topic, dead_letters) = (broker::topic("transitions", partitions), broker::topic("deliveries-dead", 1));
        Self::on(broker::bootstrap(), &topic, &dead_letters, destinations)
    }

    /// Creates a deployment on another cluster, whose topics exist.
    fn on(bootstrap: &str, topic: &str, dead_letters: &str, destinations: &str) -> Self {
        let deployment = Self {
            folder: tempfile::tempdir().expect("a folder"),
            topic: topic.to_owned(),
            dead_letters: dead_letters.to_owned(),
            prefix: broker::unique("deliver"),
            bootstrap: bootstrap.to_owned(),
        };
        deployment.write("deliver.yaml", &deployment.config(destinations));
        deployment
    }

    fn config(&self, destinations: &str) -> String {
        let Self { topic, dead_letters, prefix, bootstrap, .. } = self;
        format!(
            "kafka: {{bootstrap_servers: \"{bootstrap}\", group_prefix: {prefix}, session_timeout: 6s}}\n\
             topics: [{topic}]\ndead_letters: {dead_letters}\nhttp: {{listen: \"127.0.0.1:0\"}}\n\
             destinations:\n{destinations}"
        )
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn start(&self) -> Deliverer {
        Deliverer::start(&self.path("deliver.yaml"))
    }

    /// Runs `lifecycle deliver` with arguments, and returns exit code and output.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .arg("deliver")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }
}

/// A running `lifecycle deliver`; killed when it is dropped.
pub(crate) struct Deliverer(Child);

impl Deliverer {
    /// Starts it with a configuration, whose log is beside it.
    pub(crate) fn start(config: &Path) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(config.with_extension("log"));
        let child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["deliver", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log file"))
            .spawn();
        Self(child.expect("the binary runs"))
    }

    /// Ends the process with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("the process is killed");
        self.0.wait().expect("the process ends");
    }

    /// Ends the process with SIGTERM, and asserts that it succeeds.
    pub(crate) fn stop(mut self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        let status = self.0.wait().expect("the process ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Returns the log of all processes of a deployment.
pub(crate) fn log(deployment: &Deployment) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(deployment.path("deliver.log")) {
        file.read_to_string(&mut text).expect("a log in UTF-8");
    }
    text
}

/// Returns the customer and the sequence of a delivered transition.
fn key(received: &Received) -> (String, u64) {
    let body = received.json();
    let data = if body["data"].is_object() { &body["data"] } else { &body };
    let sequence = data["sequence"].as_u64().expect("a sequence");
    (data["customer_id"].as_str().expect("a customer").to_owned(), sequence)
}

/// Asserts that each of `count` transitions of each customer was accepted, first ones in order, repetitions with the
/// same key. Returns the number of repetitions.
pub(crate) fn assert_complete(receiver: &Receiver, customers: u64, count: u64) -> usize {
    let mut delivered: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut ids: BTreeMap<(String, u64), String> = BTreeMap::new();
    let mut repeated = 0;
    for received in receiver.accepted() {
        let (customer, sequence) = key(&received);
        let id = received.header("webhook-id").to_owned();
        match ids.insert((customer.clone(), sequence), id.clone()) {
            Some(before) => {
                assert_eq!(before, id, "a repetition has another key");
                repeated += 1;
            }
            None => delivered.entry(customer).or_default().push(sequence),
        }
    }
    let expected: Vec<u64> = (1..=count).collect();
    let mut problems = String::new();
    for customer in 0..customers {
        let sequences = delivered.remove(&format!("c{customer}")).unwrap_or_default();
        if sequences != expected {
            writeln!(problems, "c{customer}: {sequences:?}").expect("memory");
        }
    }
    assert!(problems.is_empty(), "not all were delivered in order:\n{problems}");
    repeated
}
