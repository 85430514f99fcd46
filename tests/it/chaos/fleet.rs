//! The instances of the service, with a supervisor that restarts those that exit unexpectedly.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::links::IDENTITY;

/// How long the supervisor waits before it restarts an instance.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// How long a process may take after its start to install its signal handlers.
const SIGNAL_HANDLER_SETUP: Duration = Duration::from_secs(2);

/// The configuration of the instances.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) group: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) replay: String,
    pub(crate) dead_letters: String,
    pub(crate) changelog: String,
    /// The topic of hand-overs, with identity resolution.
    pub(crate) hand_overs: Option<String>,
    pub(crate) clock_source: &'static str,
    pub(crate) lateness: String,
    pub(crate) models: Vec<String>,
    pub(crate) is_static_member: bool,
    /// Settings in `kafka` for the timeouts, each followed by a comma.
    pub(crate) timeouts: &'static str,
    pub(crate) workers: u32,
}

/// The state that the nemesis wants an instance to be in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DesiredState {
    Stopped,
    Running,
    /// Suspended with SIGSTOP.
    Suspended,
    /// Stopping after SIGTERM.
    Stopping,
}

/// One instance. Its name stays the same across restarts.
pub(crate) struct Instance {
    pub(crate) name: &'static str,
    bootstrap: String,
    pub(crate) desired: DesiredState,
    child: Option<Child>,
    started: Instant,
    http: Option<SocketAddr>,
    restart_at: Option<Instant>,
}

/// All instances, with their supervisor.
pub(crate) struct Fleet {
    settings: Settings,
    program: OsString,
    directory: PathBuf,
    pub(crate) instances: Vec<Instance>,
    /// Exits that the nemesis did not cause, counted by exit status and last log line.
    pub(crate) unexpected_exits: BTreeMap<String, u32>,
    /// Requested stops with a nonzero exit code, counted by exit status and last log line.
    pub(crate) failed_stops: BTreeMap<String, u32>,
}

impl Fleet {
    /// Creates a fleet without running instances from their names and bootstrap servers.
    pub(crate) fn new(settings: Settings, directory: &Path, instances: Vec<(&'static str, String)>) -> Self {
        let instance = |(name, bootstrap)| Instance {
            name,
            bootstrap,
            desired: DesiredState::Stopped,
            child: None,
            started: Instant::now(),
            http: None,
            restart_at: None,
        };
        Self {
            settings,
            program: env::var_os("LIFECYCLE_CHAOS_PROGRAM").unwrap_or(env!("CARGO_BIN_EXE_lifecycle").into()),
            directory: directory.to_owned(),
            instances: instances.into_iter().map(instance).collect(),
            unexpected_exits: BTreeMap::new(),
            failed_stops: BTreeMap::new(),
        }
    }

    /// Returns the indices of the instances whose desired state is `desired`. An instance whose process has exited
    /// counts only as stopped.
    pub(crate) fn in_state(&self, desired: DesiredState) -> Vec<usize> {
        let is = |it: &Instance| it.desired == desired && (it.child.is_some() || desired == DesiredState::Stopped);
        (0..self.instances.len()).filter(|&index| is(&self.instances[index])).collect()
    }

    /// Returns whether the instance has been running long enough to handle signals.
    pub(crate) fn accepts_signals(&self, index: usize) -> bool {
        self.instances[index].started.elapsed() >= SIGNAL_HANDLER_SETUP
    }

    /// Starts an instance. Returns `false` while its previous process is still running.
    pub(crate) fn start(&mut self, index: usize) -> bool {
        if self.instances[index].child.is_some() {
            return false;
        }
        // The port is free now, and very probably still is when the instance binds it.
        let http = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let name = self.instances[index].name;
        let log = File::options().create(true).append(true).open(self.log(name)).expect("the log is opened");
        let (settings, instance) = (&self.settings, &mut self.instances[index]);
        let identity = settings.hand_overs.as_ref().map_or("", |_| IDENTITY);
        let hand_overs = settings.hand_overs.as_ref().map_or(String::new(), |topic| format!(", hand_overs: {topic}"));
        let text = format!(
            "kafka: {{bootstrap_servers: \"{}\", group_id: {}, instance_id: {name}, {} static_membership: {}}}\n\
             topics: {{touchpoints: {}, transitions: {}, replay: {}, changelog: {}, dead_letters: {}{hand_overs}}}\n{identity}\
             models: [{}]\nclock: {{source: {}, lateness: {}}}\nworkers: {}\nstate: {{sweep_min_bytes: 64KiB}}\nhttp: {{listen: \"{http}\"}}\n",
            instance.bootstrap,
            settings.group,
            settings.timeouts,
            settings.is_static_member,
            settings.input,
            settings.output,
            settings.replay,
            settings.changelog,
            settings.dead_letters,
            settings.models.join(", "),
            settings.clock_source,
            settings.lateness,
            settings.workers,
        );
        let configuration = self.directory.join(format!("{name}.yaml"));
        fs::write(&configuration, text).expect("the configuration is written");
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&configuration).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        instance.http = Some(http);
        instance.child = Some(command.spawn().expect("the program starts"));
        instance.started = Instant::now();
        instance.desired = DesiredState::Running;
        instance.restart_at = None;
        true
    }

    /// Kills an instance with SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        if let Some(mut child) = instance.child.take() {
            child.kill().expect("the process is killed");
            child.wait().expect("the process has ended");
        }
        instance.desired = DesiredState::Stopped;
    }

    /// Sends a signal that brings the instance to the desired state.
    pub(crate) fn signal(&mut self, index: usize, signal: &str, desired: DesiredState) {
        let instance = &mut self.instances[index];
        let Some(child) = &instance.child else { return };
        // If the process has just exited, the signal fails and the supervisor handles the exit.
        drop(Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status());
        instance.desired = desired;
    }

    /// Counts the exits of processes, and restarts the instances that were not requested to stop.
    pub(crate) fn supervise(&mut self) {
        for index in 0..self.instances.len() {
            let instance = &mut self.instances[index];
            if let Some(status) =
                instance.child.as_mut().and_then(|it| it.try_wait().expect("the process status is readable"))
            {
                instance.child = None;
                let name = instance.name;
                let was_desired = std::mem::replace(&mut instance.desired, DesiredState::Stopped);
                if was_desired != DesiredState::Stopping {
                    instance.restart_at = Some(Instant::now() + RESTART_AFTER);
                    *self.unexpected_exits.entry(self.last_log_line(name, status)).or_default() += 1;
                } else if !status.success() {
                    *self.failed_stops.entry(self.last_log_line(name, status)).or_default() += 1;
                }
            }
            if self.instances[index].restart_at.is_some_and(|at| Instant::now() >= at) {
                self.start(index);
            }
        }
    }

    /// Returns the customer from the instance that owns it; `None` while no instance does.
    pub(crate) fn customer(&self, customer_id: &str) -> Option<Value> {
        self.in_state(DesiredState::Running).into_iter().find_map(|index| {
            let address = self.instances[index].http?;
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            let request =
                format!("GET /v1/customers/{customer_id} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).ok()?;
            let mut response = String::new();
            stream.read_to_string(&mut response).ok()?;
            let body = response.strip_prefix("HTTP/1.1 200")?.split_once("\r\n\r\n")?.1;
            serde_json::from_str(body).ok()
        })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    fn last_log_line(&self, name: &str, status: ExitStatus) -> String {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let line = log.lines().last().unwrap_or_default().to_owned();
        eprintln!("chaos: {name} exited with {status}: {line}");
        format!("{status}: {line}")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        (0..self.instances.len()).for_each(|index| self.kill(index));
    }
}
