//! Runs `lifecycle run` as a process with a configuration file, which tests can stop, freeze and kill.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lifecycle_processor::runtime::WallClock;
use tempfile::TempDir;

use crate::broker::{self, ConsumedRecord};

/// Maximum time that a test waits for published records.
const READ_TIMEOUT: Duration = Duration::from_mins(3);

/// The topics, group and files of a service.
pub(crate) struct Deployment {
    pub(crate) touchpoints: String,
    pub(crate) transitions: String,
    pub(crate) replay: String,
    pub(crate) dead_letters: String,
    pub(crate) changelog: String,
    pub(crate) group: String,
    /// The topic of current stages, if it is written.
    pub(crate) current_stages: Option<String>,
    /// The topic of hand-overs, if visitors become customers.
    pub(crate) hand_overs: Option<String>,
    /// Path of the model.
    pub(crate) model: String,
    /// Settings in `kafka` for the timeouts.
    pub(crate) timeouts: &'static str,
    /// Additional lines of the configuration.
    settings: String,
    directory: TempDir,
}

/// A running process of a deployment.
pub(crate) struct Instance {
    child: Child,
    log: PathBuf,
    http: SocketAddr,
}

impl Deployment {
    /// Creates topics with `partitions` partitions for a service with the additional `settings`.
    pub(crate) fn new(partitions: i32, settings: &str) -> Self {
        Self {
            touchpoints: broker::topic_with("touchpoints", partitions, &[("max.message.bytes", "8388608")]),
            transitions: broker::topic("transitions", partitions),
            replay: broker::topic("transitions-replay", partitions),
            dead_letters: broker::topic("dead-letters", 1),
            changelog: broker::changelog_topic(partitions),
            group: broker::unique("lifecycle"),
            current_stages: None,
            hand_overs: None,
            model: concat!(env!("CARGO_MANIFEST_DIR"), "/examples/orders_45d.yaml").to_owned(),
            timeouts: "session_timeout: 6s, transaction_timeout: 6s",
            settings: settings.to_owned(),
            directory: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Runs `lifecycle doctor` with the configuration of the instance `name`, and returns its report.
    pub(crate) fn doctor(&self, name: &str) -> String {
        let configuration = self.directory.path().join(format!("{name}.yaml"));
        let configuration = configuration.to_str().expect("a path of text");
        let run = crate::cli::lifecycle(self.directory.path(), &["doctor", "--config", configuration], b"");
        format!("{}{}", run.output, run.errors)
    }

    /// Returns the deployment with other additional `settings`.
    pub(crate) fn with_settings(self, settings: &str) -> Self {
        Self { settings: settings.to_owned(), ..self }
    }

    /// Runs a command with the configuration of the instance `name`, which need not have been started.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> crate::cli::Run {
        let configuration = self.configuration(name, "127.0.0.1:0");
        let configuration = configuration.to_str().expect("a path of text");
        crate::cli::lifecycle(self.directory.path(), &[arguments, &["--config", configuration]].concat(), b"")
    }

    /// Writes the configuration of the instance `name` with the HTTP address `http`, and returns its path.
    pub(crate) fn configuration(&self, name: &str, http: &str) -> PathBuf {
        let configuration = self.directory.path().join(format!("{name}.yaml"));
        let current_stages =
            self.current_stages.as_ref().map_or(String::new(), |topic| format!(", current_stages: {topic}"));
        let hand_overs = self.hand_overs.as_ref().map_or(String::new(), |topic| format!(", hand_overs: {topic}"));
        let text = format!(
            "kafka: {{bootstrap_servers: \"{}\", group_id: {}, instance_id: {name}, {}}}\n\
             topics: {{touchpoints: {}, transitions: {}, replay: {}, changelog: {}, dead_letters: {}{current_stages}{hand_overs}}}\n\
             models: [\"{}\"]\nhttp: {{listen: \"{http}\"}}\n{}\n",
            broker::bootstrap(),
            self.group,
            self.timeouts,
            self.touchpoints,
            self.transitions,
            self.replay,
            self.changelog,
            self.dead_letters,
            self.model,
            self.settings,
        );
        fs::write(&configuration, text).expect("the configuration is written");
        configuration
    }

    /// Returns the deployment with another touchpoint topic.
    pub(crate) fn with_touchpoints(self, touchpoints: String) -> Self {
        Self { touchpoints, ..self }
    }

    /// Returns the deployment with another group.
    pub(crate) fn with_group(self, group: String) -> Self {
        Self { group, ..self }
    }

    /// Returns the deployment with another changelog topic.
    pub(crate) fn with_changelog(self, changelog: String) -> Self {
        Self { changelog, ..self }
    }

    /// Starts an instance with the instance id `name`.
    pub(crate) fn start(&self, name: &str) -> Instance {
        self.start_command(name, &["run"])
    }

    /// Starts a process of the service with the instance id `name`.
    pub(crate) fn start_command(&self, name: &str, command: &[&str]) -> Instance {
        // The listener is dropped before the service starts; another process is unlikely to take the port in between.
        let http = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let configuration = self.configuration(name, &http.to_string());
        let log = self.directory.path().join(format!("{name}.log"));
        let errors = File::options().create(true).append(true).open(&log).expect("the log is opened");
        let child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(command)
            .arg("--config")
            .arg(&configuration)
            // The program rejects unknown `LIFECYCLE_` variables, such as those for tests.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("the program starts");
        Instance { child, log, http }
    }
}

/// Returns wall time.
pub(crate) fn now() -> jiff::Timestamp {
    let millis = WallClock::start().now().wall.as_millis();
    jiff::Timestamp::from_millisecond(millis).expect("a time within the supported range")
}

/// Waits until `topics` together contain `count` committed records, and returns all of them.
pub(crate) fn wait_for_records(
    topics: &[&String],
    count: usize,
    instances: &mut [&mut Instance],
) -> Vec<ConsumedRecord> {
    let deadline = Instant::now() + READ_TIMEOUT;
    loop {
        let seen: Vec<ConsumedRecord> = topics.iter().flat_map(|topic| broker::read_committed(topic)).collect();
        if seen.len() >= count {
            return seen;
        }
        for instance in instances.iter_mut() {
            instance.assert_runs();
        }
        let logs: Vec<_> = instances.iter().map(|instance| instance.log()).collect();
        assert!(Instant::now() < deadline, "{} of {count} records received; {logs:?}", seen.len());
        std::thread::sleep(Duration::from_millis(300));
    }
}

impl Instance {
    /// Kills the process with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.assert_runs();
        self.child.kill().expect("the process is killed");
        self.child.wait().expect("the process has ended");
    }

    /// Freezes the process with SIGSTOP, so that it sends no heartbeats.
    pub(crate) fn freeze(&mut self) {
        self.signal("-STOP");
    }

    /// Continues a frozen process with SIGCONT.
    pub(crate) fn resume(&mut self) {
        self.signal("-CONT");
    }

    /// Returns the value of a series in a scrape; `None` if it is missing or not an integer.
    pub(crate) fn metric(&self, series: &str) -> Option<u64> {
        self.scrape()?.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Returns the metrics; `None` before HTTP is served.
    pub(crate) fn scrape(&self) -> Option<String> {
        self.get("/metrics")
    }

    /// Returns the address of its HTTP server.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Returns the body of the response for `path`; `None` while the service starts.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(READ_TIMEOUT)).expect("a timeout can be set");
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        (!head.starts_with("HTTP/1.1 503")).then(|| body.to_owned())
    }

    /// Returns the command line of the process, which every user of the system can see.
    pub(crate) fn command_line(&self) -> String {
        let line = fs::read(format!("/proc/{}/cmdline", self.child.id())).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ")
    }

    fn signal(&mut self, signal: &str) {
        self.assert_runs();
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().expect("kill can be run").success());
    }

    /// Stops the process with SIGTERM and returns its log.
    pub(crate) fn stop(mut self) -> String {
        self.signal("-TERM");
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                assert!(status.success(), "{status}; {}", self.log());
                return self.log();
            }
            assert!(Instant::now() < deadline, "the process does not stop; {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the process ends by itself and returns its exit code and its log.
    pub(crate) fn wait_for_exit(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                return (status.code(), self.log());
            }
            assert!(Instant::now() < deadline, "the process does not end; {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn assert_runs(&mut self) {
        let ended = self.child.try_wait().expect("the process can be waited for");
        assert!(ended.is_none(), "the process ended: {ended:?}; {}", self.log());
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Kill the process if the test has failed.
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
