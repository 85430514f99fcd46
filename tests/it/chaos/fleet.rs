//! The instances, and a supervisor that starts again what ends without being told.

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

/// How long the supervisor waits before it starts an instance again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// How long a process may take until it hears signals.
const DEAF: Duration = Duration::from_secs(2);

/// What instances are told.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) group: String,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) replay: String,
    pub(super) dead_letters: String,
    pub(super) changelog: String,
    pub(super) clock_source: &'static str,
    pub(super) lateness: String,
    pub(super) models: Vec<String>,
    pub(super) is_static_member: bool,
}

/// What an instance is meant to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meant {
    /// Not to be.
    Absent,
    Running,
    Frozen,
    /// Told to stop.
    Stopping,
}

/// One instance, with the same name through all its processes.
pub(super) struct Instance {
    pub(super) name: &'static str,
    bootstrap: String,
    pub(super) meant: Meant,
    child: Option<Child>,
    started: Instant,
    http: Option<SocketAddr>,
    restart_at: Option<Instant>,
}

/// All instances.
pub(super) struct Fleet {
    settings: Settings,
    program: OsString,
    directory: PathBuf,
    pub(super) instances: Vec<Instance>,
    /// Ends that nobody asked for, by exit status and last words.
    pub(super) exits: BTreeMap<String, u32>,
    /// Ends that were asked for and came with a failure.
    pub(super) bad_stops: BTreeMap<String, u32>,
}

impl Fleet {
    /// No instance runs yet; each has the address at which it finds the brokers.
    pub(super) fn new(settings: Settings, directory: &Path, instances: Vec<(&'static str, String)>) -> Self {
        let instance = |(name, bootstrap)| Instance {
            name,
            bootstrap,
            meant: Meant::Absent,
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
            exits: BTreeMap::new(),
            bad_stops: BTreeMap::new(),
        }
    }

    /// The instances that are meant to be as `meant` says and are.
    pub(super) fn those(&self, meant: Meant) -> Vec<usize> {
        let is = |it: &Instance| it.meant == meant && (it.child.is_some() || meant == Meant::Absent);
        (0..self.instances.len()).filter(|&index| is(&self.instances[index])).collect()
    }

    /// Whether the instance can be told to stop in order.
    pub(super) fn hears(&self, index: usize) -> bool {
        self.instances[index].started.elapsed() >= DEAF
    }

    /// Starts an instance; `false` while its last process has not ended.
    pub(super) fn start(&mut self, index: usize) -> bool {
        if self.instances[index].child.is_some() {
            return false;
        }
        // Free a moment ago, and so in all likelihood a moment later.
        let http = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let name = self.instances[index].name;
        let log = File::options().create(true).append(true).open(self.log(name)).expect("the log is opened");
        let (settings, instance) = (&self.settings, &mut self.instances[index]);
        let text = format!(
            "kafka: {{bootstrap_servers: \"{}\", group_id: {}, instance_id: {name}, session_timeout: 6s, transaction_timeout: 10s, static_membership: {}}}\n\
             topics: {{touchpoints: {}, transitions: {}, replay: {}, changelog: {}, dead_letters: {}}}\n\
             models: [{}]\nclock: {{source: {}, lateness: {}}}\nworkers: 2\nstate: {{sweep_min_bytes: 64KiB}}\nhttp: {{listen: \"{http}\"}}\n",
            instance.bootstrap,
            settings.group,
            settings.is_static_member,
            settings.input,
            settings.output,
            settings.replay,
            settings.changelog,
            settings.dead_letters,
            settings.models.join(", "),
            settings.clock_source,
            settings.lateness,
        );
        let configuration = self.directory.join(format!("{name}.yaml"));
        fs::write(&configuration, text).expect("the configuration is written");
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&configuration).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        instance.http = Some(http);
        instance.child = Some(command.spawn().expect("the program starts"));
        instance.started = Instant::now();
        instance.meant = Meant::Running;
        instance.restart_at = None;
        true
    }

    /// Ends an instance as a power cut would.
    pub(super) fn kill(&mut self, index: usize) {
        let instance = &mut self.instances[index];
        if let Some(mut child) = instance.child.take() {
            child.kill().expect("the process is killed");
            child.wait().expect("the process has ended");
        }
        instance.meant = Meant::Absent;
    }

    /// Has the instance do or not do as `meant` says, by a signal.
    pub(super) fn signal(&mut self, index: usize, signal: &str, meant: Meant) {
        let instance = &mut self.instances[index];
        let Some(child) = &instance.child else { return };
        // A process that has just ended is seen to by the supervisor.
        drop(Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status());
        instance.meant = meant;
    }

    /// Sees to processes that have ended.
    pub(super) fn supervise(&mut self) {
        for index in 0..self.instances.len() {
            let instance = &mut self.instances[index];
            if let Some(status) = instance.child.as_mut().and_then(|it| it.try_wait().expect("a process can be asked"))
            {
                instance.child = None;
                let name = instance.name;
                let was_meant = std::mem::replace(&mut instance.meant, Meant::Absent);
                if was_meant != Meant::Stopping {
                    instance.restart_at = Some(Instant::now() + RESTART_AFTER);
                    *self.exits.entry(self.last_words(name, status)).or_default() += 1;
                } else if !status.success() {
                    *self.bad_stops.entry(self.last_words(name, status)).or_default() += 1;
                }
            }
            if self.instances[index].restart_at.is_some_and(|at| Instant::now() >= at) {
                self.start(index);
            }
        }
    }

    /// The customer as the instance that has it shows it; `None` while none does.
    pub(super) fn customer(&self, customer_id: &str) -> Option<Value> {
        self.those(Meant::Running).into_iter().find_map(|index| {
            let address = self.instances[index].http?;
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            let request =
                format!("GET /v1/customers/{customer_id} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let body = answer.strip_prefix("HTTP/1.1 200")?.split_once("\r\n\r\n")?.1;
            serde_json::from_str(body).ok()
        })
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    fn last_words(&self, name: &str, status: ExitStatus) -> String {
        let log = fs::read_to_string(self.log(name)).unwrap_or_default();
        let words = log.lines().last().unwrap_or_default().to_owned();
        eprintln!("chaos: {name} ended with {status}: {words}");
        format!("{status}: {words}")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        (0..self.instances.len()).for_each(|index| self.kill(index));
    }
}
