//! `lifecycle topics` and `lifecycle run` on a real broker, as an operator uses them.
#![expect(clippy::unwrap_used, reason = "a failed setup step ends the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{ConsumedRecord, NewRecord, bootstrap, produce, read_committed, unique, until};
use super::cli::lifecycle;

const TOUCHPOINTS: &str = r#"{"event_id":"e1","customer_id":"anna","type":"ad_clicked","occurred_at":"2026-01-01T08:00:00Z"}
{"event_id":"e2","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-02T08:00:00Z","order_id":"o1","amount":39.90,"currency":"USD"}
{"event_id":"e3","customer_id":"anna","type":"order_completed","occurred_at":"2026-06-01T08:00:00Z","order_id":"o3","amount":0.10,"currency":"USD"}
"#;

/// Writes a configuration with unique names and returns their common prefix.
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

/// A running service; killed when dropped.
pub(crate) struct ServiceProcess {
    child: Child,
    pub(crate) address: String,
}

impl ServiceProcess {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    pub(crate) fn start_with(directory: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config", "lifecycle.yaml"])
            .args(options)
            .current_dir(directory)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            Some(line.get("http")?.as_str()?.to_owned())
        });
        // Drain the pipe: the service would block if it were full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address: address.expect("the service logs its HTTP address") }
    }

    /// Returns a response, with its head.
    fn answer(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        Some(response)
    }

    /// Returns the body of a response with status 200.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let response = self.answer(path)?;
        response
            .starts_with("HTTP/1.1 200")
            .then(|| response.split_once("\r\n\r\n").map_or(response.clone(), |(_, body)| body.to_owned()))
    }

    /// Stops the service gracefully; returns the exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for ServiceProcess {
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
fn missing_topics_are_reported_created_and_verified() {
    let directory = tempfile::tempdir().unwrap();
    let name = configure(directory.path());
    let run = lifecycle(directory.path(), &["topics", "--verify", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 1, "{}", run.errors);
    assert!(run.output.contains(&format!("{name}.changelog: ")), "{}", run.output);
    let run = lifecycle(directory.path(), &["run", "--config", "lifecycle.yaml"], b"");
    assert_eq!(run.code, 3, "{}", run.errors);
    assert!(run.errors.contains("run `lifecycle doctor` for details"), "{}", run.errors);

    let create = ["topics", "--create", "--partitions", "2", "--config", "lifecycle.yaml"];
    let run = lifecycle(directory.path(), &create, b"");
    assert_eq!(run.code, 0, "{}{}", run.output, run.errors);
    assert!(run.output.contains(&format!("{name}.out: created\n")), "{}", run.output);
    let run = lifecycle(directory.path(), &create, b"");
    assert!(run.output.contains(&format!("{name}.out: already exists\n")), "{}", run.output);
}

#[test]
fn a_custom_model_runs_from_its_file_alone() {
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
    // One payment of nils arrives later than the lateness, so its transitions depend on when it is read.
    let in_time = |line: &&str| !line.contains(r#""customer_id":"nils""#);
    // With one partition, the key has no effect.
    let records: Vec<_> = touchpoints.lines().filter(in_time).map(|line| NewRecord::keyed("any", line)).collect();
    produce(&format!("{name}.in"), &records);

    let expected = std::fs::read_to_string(format!("{EXAMPLES}/subscription.transitions.ndjson")).unwrap();
    let mut expected = ids(expected.lines().filter(in_time).map(str::to_owned));
    assert!(expected.len() > 10, "three of four customers are left");
    let service = ServiceProcess::start(directory.path());
    let mut published = until("everything is published", || {
        let published = read_committed(&format!("{name}.out.replay"));
        (published.len() >= expected.len()).then(|| ids(published.iter().map(ConsumedRecord::text)))
    });
    assert_eq!(service.stop(), Some(0));
    // Wake-ups of silent customers may interleave with touchpoints of others.
    published.sort();
    expected.sort();
    assert_eq!(published, expected);
}

#[test]
fn the_service_publishes_the_same_transitions_as_replay() {
    let directory = tempfile::tempdir().unwrap();
    let name = configure(directory.path());
    let create = ["topics", "--create", "--partitions", "2", "--config", "lifecycle.yaml"];
    assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
    let records: Vec<_> = TOUCHPOINTS.lines().map(|line| NewRecord::keyed("anna", line)).collect();
    produce(&format!("{name}.in"), &records);
    produce(&format!("{name}.in"), &[NewRecord::keyed("anna", "not a touchpoint")]);

    let service = ServiceProcess::start(directory.path());
    let metrics = until("the records are counted", || {
        service.get("/metrics").filter(|page| page.contains("\nlifecycle_touchpoints_consumed_total 4\n"))
    });
    assert!(!metrics.contains("lifecycle_commit_duration_seconds_count 0\n"), "{metrics}");
    assert!(metrics.contains("lifecycle_dead_letters_total{reason=\"not_json\"} 1\n"), "{metrics}");
    until("the gauges are updated", || {
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
    // All transitions are older than `publish.fresh_for`.
    let published = read_committed(&format!("{name}.out.replay"));
    assert_eq!(ids(published.iter().map(ConsumedRecord::text)), ids(replayed.output.lines().map(str::to_owned)));
    assert_eq!(read_committed(&format!("{name}.out")), []);
    assert_eq!(read_committed(&format!("{name}.dead")).len(), 1);
}

/// Writes a configuration whose broker does not exist.
fn configure_without_broker(directory: &Path) {
    // No broker listens on this port.
    let text = "kafka: {bootstrap_servers: '127.0.0.1:1', group_id: g, instance_id: a}\ntopics: {touchpoints: in}\n\
                log: {format: json}\nhttp: {listen: '127.0.0.1:0'}\n";
    std::fs::write(directory.join("lifecycle.yaml"), text).unwrap();
}

#[test]
fn a_service_without_a_cluster_is_alive_but_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    configure_without_broker(directory.path());
    let service = ServiceProcess::start(directory.path());
    assert_eq!(service.get("/livez").as_deref(), Some("alive\n"));
    for path in ["/readyz", "/metrics", "/v1/models"] {
        let answer = service.answer(path).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("problem:not-ready"), "{path}: {answer}");
    }
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_stop_before_the_cluster_answers_is_graceful() {
    let directory = tempfile::tempdir().unwrap();
    configure_without_broker(directory.path());
    let mut child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
        .args(["run", "--config", "lifecycle.yaml"])
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("cannot read topic metadata, will retry")));
    let mut service = ServiceProcess { child, address: String::new() };
    assert!(Command::new("kill").args(["-TERM", &service.child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(service.child.wait().unwrap().code(), Some(0), "{rest:?}");
}
