//! `lifecycle topics` and `lifecycle run` against a real broker, as an operator meets them.
#![expect(clippy::unwrap_used, reason = "what cannot be made ends the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{Seen, ToWrite, bootstrap, produce, read_committed, unique, until};
use super::cli::lifecycle;

const TOUCHPOINTS: &str = r#"{"event_id":"e1","customer_id":"anna","type":"ad_clicked","occurred_at":"2026-01-01T08:00:00Z"}
{"event_id":"e2","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-02T08:00:00Z","order_id":"o1","amount":39.90,"currency":"USD"}
{"event_id":"e3","customer_id":"anna","type":"order_completed","occurred_at":"2026-06-01T08:00:00Z","order_id":"o3","amount":0.10,"currency":"USD"}
"#;

/// A configuration with names of its own: the topic of transitions, and the file.
fn configure(directory: &Path) -> String {
    let name = unique("run");
    let text = format!(
        "kafka: {{bootstrap_servers: '{}', group_id: {name}, instance_id: a}}\n\
         topics: {{touchpoints: {name}.in, transitions: {name}.out, changelog: {name}.changelog, dead_letters: {name}.dead}}\n\
         workers: 1\nhttp: {{listen: '127.0.0.1:0'}}\nlog: {{format: json}}\nclock: {{source: touchpoints}}\n",
        bootstrap()
    );
    std::fs::write(directory.join("lifecycle.yaml"), text).unwrap();
    name
}

pub(crate) struct Running {
    child: Child,
    address: String,
}

impl Running {
    pub(crate) fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config", "lifecycle.yaml"])
            .current_dir(directory)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line.get("http")?.as_str()?.to_owned())
        });
        // A pipe that nobody reads would stop the service once it is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address: address.expect("the service says where it serves HTTP") }
    }

    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer
            .starts_with("HTTP/1.1 200")
            .then(|| answer.split_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned()))
    }

    /// Asks for a stop in order; returns the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn ids(lines: impl Iterator<Item = String>) -> Vec<String> {
    let id = |line: String| {
        let transition: serde_json::Value = serde_json::from_str(&line).expect("a transition is JSON");
        transition["transition_id"].as_str().expect("a transition has an id").to_owned()
    };
    lines.map(id).collect()
}

#[test]
fn topics_that_are_missing_are_told_made_and_found_good() {
    let directory = tempfile::tempdir().unwrap();
    let name = configure(directory.path());
    let run = lifecycle(directory.path(), &["topics", "--verify", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 1, "{}", run.errors);
    assert!(run.output.contains(&format!("{name}.changelog: ")), "{}", run.output);
    let run = lifecycle(directory.path(), &["run", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 3, "{}", run.errors);
    assert!(run.errors.contains("`lifecycle doctor` tells all of it"), "{}", run.errors);

    let create = ["topics", "--create", "--partitions", "2", "--config", "lifecycle.yaml"];
    let run = lifecycle(directory.path(), &create, b"");
    assert_eq!(run.code, 0, "{}{}", run.output, run.errors);
    assert!(run.output.contains(&format!("{name}.out: created\n")), "{}", run.output);
    let run = lifecycle(directory.path(), &create, b"");
    assert!(run.output.contains(&format!("{name}.out: there already\n")), "{}", run.output);
}

#[test]
fn a_model_of_ones_own_runs_without_a_line_of_rust() {
    const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let directory = tempfile::tempdir().unwrap();
    let name = configure(directory.path());
    let file = directory.path().join("lifecycle.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let own = format!("clock: {{source: touchpoints, lateness: 0s}}\nmodels: ['{EXAMPLES}/subscription.yaml']");
    std::fs::write(&file, text.replace("clock: {source: touchpoints}", &own)).unwrap();
    let create = ["topics", "--create", "--partitions", "1", "--config", "lifecycle.yaml"];
    assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
    let touchpoints = std::fs::read_to_string(format!("{EXAMPLES}/subscription.ndjson")).unwrap();
    // One payment of nils is reported later than the lateness: what had been published by then depends on when it is read.
    let in_time = |line: &&str| !line.contains(r#""customer_id":"nils""#);
    // One partition: the key does not matter.
    let records: Vec<_> = touchpoints.lines().filter(in_time).map(|line| ToWrite::keyed("any", line)).collect();
    produce(&format!("{name}.in"), &records);

    let expected = std::fs::read_to_string(format!("{EXAMPLES}/subscription.transitions.ndjson")).unwrap();
    let mut expected = ids(expected.lines().filter(in_time).map(str::to_owned));
    assert!(expected.len() > 10, "three of four customers are left");
    let service = Running::start(directory.path());
    let mut published = until("everything is published", || {
        let published = read_committed(&format!("{name}.out.replay"));
        (published.len() >= expected.len()).then(|| ids(published.iter().map(Seen::text)))
    });
    assert_eq!(service.stop(), Some(0));
    // Wake-ups of silent customers may come between touchpoints of others.
    published.sort();
    expected.sort();
    assert_eq!(published, expected);
}

#[test]
fn what_the_service_publishes_is_what_a_replay_of_the_same_touchpoints_says() {
    let directory = tempfile::tempdir().unwrap();
    let name = configure(directory.path());
    let create = ["topics", "--create", "--partitions", "2", "--config", "lifecycle.yaml"];
    assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
    let records: Vec<_> = TOUCHPOINTS.lines().map(|line| ToWrite::keyed("anna", line)).collect();
    produce(&format!("{name}.in"), &records);
    produce(&format!("{name}.in"), &[ToWrite::keyed("anna", "no touchpoint")]);

    let service = Running::start(directory.path());
    let metrics = until("the records are counted", || {
        service.get("/metrics").filter(|page| page.contains("\nlifecycle_touchpoints_consumed_total 4\n"))
    });
    assert!(!metrics.contains("lifecycle_commit_duration_seconds_count 0\n"), "{metrics}");
    assert!(metrics.contains("lifecycle_dead_letters_total{reason=\"not_json\"} 1\n"), "{metrics}");
    until("the gauges follow", || {
        service.get("/metrics").filter(|page| {
            page.contains("lifecycle_customers{model=\"loyalty_ladder\",stage=\"regular_customer\"} 1\n")
                && page.contains("lifecycle_lag_records{partition=\"0\"} 0\n")
                && page.contains("lifecycle_ready 1\n")
        })
    });
    assert!(service.get("/readyz").is_some());
    let customer = service.get("/v1/customers/anna").expect("the customer is known");
    assert!(customer.contains("\"regular_customer\""), "{customer}");
    assert_eq!(service.stop(), Some(0));

    let replayed = lifecycle(directory.path(), &["replay", "-"], TOUCHPOINTS.as_bytes());
    // All of it is older than `publish.fresh_for`.
    let published = read_committed(&format!("{name}.out.replay"));
    assert_eq!(ids(published.iter().map(Seen::text)), ids(replayed.output.lines().map(str::to_owned)));
    assert_eq!(read_committed(&format!("{name}.out")), []);
    assert_eq!(read_committed(&format!("{name}.dead")).len(), 1);
}

#[test]
fn a_stop_that_comes_before_the_cluster_has_answered_is_in_order() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let text = "kafka: {bootstrap_servers: '127.0.0.1:1', group_id: g, instance_id: a}\ntopics: {touchpoints: in}\n\
                http: {listen: '127.0.0.1:0'}\n";
    std::fs::write(directory.path().join("lifecycle.yaml"), text).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(["run", "--config", "lifecycle.yaml"])
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("the cluster does not answer")));
    let mut service = Running { child, address: String::new() };
    assert!(Command::new("kill").args(["-TERM", &service.child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(service.child.wait().unwrap().code(), Some(0), "{rest:?}");
}
