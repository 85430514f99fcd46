//! Environment of the live test: a broker, a Prometheus with shortened rules, services and load generators. Dropping
//! the rig stops all of them, also when the test panics.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tempfile::TempDir;

use crate::alerts;
use crate::broker::TIMEOUT;
use crate::cli::lifecycle;
use crate::dashboards::picture::{Prometheus, Series};

/// How long the test waits for an alert, with a margin for a busy machine.
const ALERT_TIMEOUT: Duration = Duration::from_secs(90);

/// A child process that is killed on drop.
pub(super) struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("the process starts"))
    }

    pub(super) fn signal(&self, signal: &str) {
        let process = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().expect("kill can be run").success());
    }

    /// Sends SIGTERM and waits for the process to exit.
    pub(super) fn stop(mut self) {
        self.signal("-TERM");
        self.0.wait().expect("the process ends");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Kafka, Prometheus and the folder with their files.
pub(super) struct Rig {
    directory: TempDir,
    bootstrap: String,
    pub(super) prometheus: Prometheus,
    _server: Running,
    // The broker stops when its standard input is closed.
    _broker: Child,
}

/// Configuration file and HTTP address of a service.
#[derive(Clone)]
pub(super) struct Service {
    configuration: PathBuf,
    pub(super) address: String,
}

fn free_address() -> String {
    // The port is released here and could be taken before the service binds it; that is unlikely.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

impl Rig {
    pub(super) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let mut broker = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka"))
            .arg("hold")
            .arg(directory.path().join("kafka"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/kafka can be run");
        let mut bootstrap = String::new();
        let output = broker.stdout.take().expect("stdout is piped");
        BufReader::new(output).read_line(&mut bootstrap).expect("scripts/kafka writes a line");
        assert!(bootstrap.contains(':'), "no broker");
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("rules.yml"), super::short_rules::shorten(&alerts::text())).expect("the rules are written");
        std::fs::write(
            path("prometheus.yml"),
            "global: {scrape_interval: 1s, scrape_timeout: 900ms, evaluation_interval: 1s}\nrule_files: [rules.yml]\n\
             scrape_configs:\n- {job_name: any, honor_labels: true, file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]}\n",
        )
        .expect("the configuration is written");
        std::fs::write(path("targets.json"), "[]").expect("the targets are written");
        let address = free_address();
        let server = Running::start(
            Command::new(alerts::prometheus_folder().join("prometheus"))
                .arg(format!("--config.file={}", path("prometheus.yml").display()))
                .arg(format!("--storage.tsdb.path={}", path("data").display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--log.level=warn"),
        );
        let prometheus = Prometheus::new(&address);
        let bootstrap = bootstrap.trim().to_owned();
        let rig = Self { directory, bootstrap, prometheus, _server: server, _broker: broker };
        rig.wait("prometheus responds", || rig.prometheus.now().is_ok());
        rig
    }

    /// Writes the configuration of an instance of `group`. `more` is appended as YAML.
    pub(super) fn service(&self, group: &str, instance: &str, file: &str, more: &str) -> Service {
        let address = free_address();
        let text = format!(
            "kafka: {{bootstrap_servers: '{}', group_id: {group}, instance_id: {instance}, session_timeout: 12s, transaction_timeout: 6s}}\n\
             topics: {{touchpoints: {group}.in, transitions: {group}.out, changelog: {group}.changelog, dead_letters: {group}.dead}}\n\
             http: {{listen: '{address}'}}\n{more}\n",
            self.bootstrap
        );
        let configuration = self.directory.path().join(format!("{file}.yaml"));
        std::fs::write(&configuration, text).expect("the configuration is written");
        Service { configuration, address }
    }

    /// Creates the topics of a service.
    pub(super) fn create_topics(&self, service: &Service, partitions: u32) {
        let arguments = ["topics", "--create", "--partitions", &partitions.to_string(), "--config", service.path()];
        let run = lifecycle(self.directory.path(), &arguments, b"");
        assert_eq!(run.code, 0, "{}{}", run.output, run.errors);
    }

    /// Sets the scrape targets of Prometheus: services with their jobs.
    pub(super) fn scrape(&self, targets: &[(&Service, &str)]) {
        let target = |(service, job): &(&Service, &str)| {
            format!(r#"{{"targets":["{}"],"labels":{{"job":"{job}"}}}}"#, service.address)
        };
        let text = format!("[{}]", targets.iter().map(target).collect::<Vec<_>>().join(","));
        // Renaming is atomic, so Prometheus never reads an incomplete file.
        let path = self.directory.path().join("targets.json");
        std::fs::write(path.with_extension("new"), text).expect("the targets are written");
        std::fs::rename(path.with_extension("new"), path).expect("the targets are renamed");
    }

    /// Starts `lifecycle COMMAND` with the configuration of `service` and the arguments `more`. All processes append
    /// to one log file.
    pub(super) fn run(&self, command: &str, service: &Service, more: &[&str]) -> Running {
        let log = self.directory.path().join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log");
        Running::start(
            Command::new(env!("CARGO_BIN_EXE_lifecycle"))
                .args([command, "--config", service.path()])
                .args(more)
                .env_clear()
                .stdout(Stdio::null())
                .stderr(log),
        )
    }

    /// Produces one record per value.
    pub(super) fn send(&self, topic: &str, values: impl Iterator<Item = String>) {
        let mut config = ClientConfig::new();
        let producer: BaseProducer = config.set("bootstrap.servers", &self.bootstrap).create().expect("a producer");
        for value in values {
            producer.send(BaseRecord::to(topic).key("any").payload(&value)).expect("the queue has room");
        }
        producer.flush(TIMEOUT).expect("the broker acknowledges the records");
    }

    /// Suspends the broker process for this time, like a long pause of its machine.
    pub(super) fn freeze_broker(&self, length: Duration) {
        let process = std::fs::read_to_string(self.directory.path().join("kafka/pid")).expect("the broker's id");
        let signal = |signal| Command::new("kill").args([signal, process.trim()]).status().expect("kill can be run");
        assert!(signal("-STOP").success());
        std::thread::sleep(length);
        assert!(signal("-CONT").success());
    }

    /// Waits until `condition` holds. Panics after `ALERT_TIMEOUT`.
    pub(super) fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + ALERT_TIMEOUT;
        while !condition() {
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            assert!(
                Instant::now() < deadline,
                "timed out after {ALERT_TIMEOUT:?}: {what}; the log ends with {tail:#?}"
            );
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Evaluates an expression now and returns the largest value of its series.
    pub(super) fn value(&self, expression: &str) -> Option<f64> {
        let now = self.prometheus.now().ok()?;
        let series = self.prometheus.query(expression, now).expect("the expression is evaluated");
        series.iter().filter_map(Series::last).max_by(f64::total_cmp)
    }

    /// Returns the alerts that fired within the last `seconds` for `job`, a regular expression.
    pub(super) fn fired(&self, job: &str, seconds: u32) -> Vec<String> {
        let expression =
            format!("max by (alertname) (max_over_time(ALERTS{{alertstate=\"firing\", job=~\"{job}\"}}[{seconds}s]))");
        let now = self.prometheus.now().expect("prometheus responds");
        let found = self.prometheus.query(&expression, now).expect("the expression is evaluated");
        let mut names: Vec<String> =
            found.iter().filter_map(|series| series.labels.get("alertname").cloned()).collect();
        names.sort();
        names
    }

    /// Waits until each of these alerts has fired for `job`.
    pub(super) fn wait_for_alerts(&self, job: &str, names: &[&str]) {
        for name in names {
            self.wait(&format!("{name} fires for {job}"), || self.fired(job, 900).iter().any(|fired| fired == name));
        }
    }
}

impl Service {
    fn path(&self) -> &str {
        path_text(&self.configuration)
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
