//! Output that cannot be written: a full disk, or a reader that goes away. No command panics, and the service goes on.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{bootstrap, unique, until};
use super::cli::lifecycle;

const TOUCHPOINT: &str = r#"{"event_id":"e1","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z","order_id":"o1","amount":3}"#;

/// Runs the binary with these outputs; returns the exit code, `None` after a signal.
fn run(directory: &Path, arguments: &[&str], stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lifecycle"));
    command.args(arguments).current_dir(directory).env_clear().stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    command.status().unwrap().code()
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Returns the write end of a pipe whose reader is closed.
fn closed_pipe() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

/// Creates the input files of the commands below.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("good.ndjson"), format!("{TOUCHPOINT}\n")).unwrap();
    fs::write(directory.path().join("bad.ndjson"), format!("no touchpoint\n{TOUCHPOINT}\n")).unwrap();
    fs::write(directory.path().join("bad.yaml"), "worker: 1\n").unwrap();
    let config = "kafka: {bootstrap_servers: '127.0.0.1:1', instance_id: a}\n";
    fs::write(directory.path().join("lifecycle.yaml"), config).unwrap();
    directory
}

#[test]
fn a_command_that_cannot_print_its_errors_still_ends_with_its_exit_code() {
    let directory = directory();
    for (arguments, code) in [
        (&["replay", "--summary", "good.ndjson"][..], 0),
        (&["replay", "bad.ndjson"], 1),
        (&["replay", "missing.ndjson"], 2),
        (&["explain", "--customer", "anna", "bad.ndjson"], 1),
        (&["explain", "--customer", "ben", "good.ndjson"], 1),
        (&["generate", "--touchpoints", "5"], 0),
        (&["generate", "--topic", "t"], 2),
        (&["config", "check", "--config", "bad.yaml"], 2),
        (&["config", "show", "--config", "bad.yaml"], 2),
        (&["doctor", "--config", "bad.yaml"], 2),
        (&["doctor", "--config", "lifecycle.yaml"], 3),
        (&["run", "--config", "bad.yaml"], 2),
        (&["check", "missing.yaml"], 2),
        (&["test", "missing.scenario"], 2),
        (&["graph", "missing.yaml"], 2),
        (&["eval", "1 +"], 1),
        (&["eval", "now", "--now", "yesterday"], 2),
        (&["top", "--url", "http://127.0.0.1:1"], 3),
        (&["demo", "--model", "missing.yaml"], 2),
        (&["topics", "--verify", "--config", "bad.yaml"], 2),
    ] {
        assert_eq!(run(directory.path(), arguments, Stdio::null(), full()), Some(code), "a full disk: {arguments:?}");
        let ended = run(directory.path(), arguments, Stdio::null(), closed_pipe());
        assert_eq!(ended, Some(code), "a closed pipe: {arguments:?}");
    }
}

#[test]
fn a_command_whose_reader_is_gone_ends_quietly_and_a_full_disk_is_an_error() {
    let directory = directory();
    fs::write(directory.path().join("lifecycle.yaml"), "kafka: {bootstrap_servers: a, instance_id: a}\n").unwrap();
    for arguments in [
        &["replay", "good.ndjson"][..],
        &["replay", "--output", "standings", "good.ndjson"],
        &["replay", "--compare", "retention", "retention", "good.ndjson"],
        &["explain", "--customer", "anna", "good.ndjson"],
        &["generate", "--touchpoints", "5000"],
        &["config", "show", "--config", "lifecycle.yaml"],
        &["config", "check", "--config", "lifecycle.yaml"],
        &["config", "reference"],
        &["check", "retention"],
        &["test", "retention"],
        &["graph", "retention"],
        &["schema", "models"],
        &["eval", "1 + 1"],
    ] {
        let errors = tempfile::NamedTempFile::new().unwrap();
        let code = run(directory.path(), arguments, closed_pipe(), errors.reopen().unwrap());
        let errors = fs::read_to_string(errors.path()).unwrap();
        assert_eq!((code, errors.contains("cannot be written")), (Some(0), false), "{arguments:?}: {errors}");
        let errors = tempfile::NamedTempFile::new().unwrap();
        let code = run(directory.path(), arguments, full(), errors.reopen().unwrap());
        let errors = fs::read_to_string(errors.path()).unwrap();
        assert_eq!((code, errors.matches("No space left").count()), (Some(2), 1), "{arguments:?}: {errors}");
    }
}

/// A file system of a few pages that is full; unmounted when dropped.
struct FullFileSystem {
    directory: tempfile::TempDir,
}

impl FullFileSystem {
    /// Returns `None` if this user may not mount one.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "lifecycle-test"]).arg(directory.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self { directory })
    }

    /// Opens the log, then fills the rest of the disk.
    fn open_log(&self) -> File {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut rest = File::create(self.directory.path().join("rest")).unwrap();
        while rest.write_all(&[b'x'; 4096]).is_ok() {}
        log
    }

    fn log(&self) -> std::path::PathBuf {
        self.directory.path().join("log")
    }

    fn free(&self) {
        fs::remove_file(self.directory.path().join("rest")).unwrap();
    }
}

impl Drop for FullFileSystem {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.directory.path()).status());
    }
}

/// A running service; killed when dropped.
struct Service {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Service {
    fn start(stderr: impl Into<Stdio>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = unique("lost-output");
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let text = format!(
            "kafka: {{bootstrap_servers: '{}', group_id: {name}, instance_id: a}}\n\
             topics: {{touchpoints: {name}.in, transitions: {name}.out, changelog: {name}.changelog, dead_letters: {name}.dead}}\n\
             workers: 1\nhttp: {{listen: '{address}'}}\nlog: {{format: json, level: debug}}\n",
            bootstrap()
        );
        fs::write(directory.path().join("lifecycle.yaml"), text).unwrap();
        let create = ["topics", "--create", "--partitions", "1", "--config", "lifecycle.yaml"];
        assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
        let child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config", "lifecycle.yaml"])
            .current_dir(directory.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, address, _directory: directory }
    }

    /// Returns the value of a metric; `None` while the service does not respond.
    fn metric(&mut self, name: &str) -> Option<u64> {
        assert_eq!(self.child.try_wait().unwrap(), None, "the service has stopped");
        let mut stream = TcpStream::connect(&self.address).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    fn wait_until_ready(&mut self) {
        until("the service is ready", || self.metric("lifecycle_ready").filter(|&ready| ready == 1));
    }

    /// Stops the service gracefully; returns the exit code.
    fn stop(mut self) -> Option<i32> {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_service_whose_log_has_no_reader_goes_on_and_counts_the_lost_lines() {
    let mut service = Service::start(closed_pipe());
    service.wait_until_ready();
    assert!(service.metric("lifecycle_log_lines_lost_total").unwrap() >= 2);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_service_whose_disk_is_full_goes_on_and_reports_the_lost_lines_once_it_can() {
    let Some(disk) = FullFileSystem::mount() else {
        // Mounting needs root; without it the lines are only counted.
        let mut service = Service::start(full());
        service.wait_until_ready();
        assert!(service.metric("lifecycle_log_lines_lost_total").unwrap() >= 2);
        return;
    };
    let mut service = Service::start(disk.open_log());
    service.wait_until_ready();
    let lost = service.metric("lifecycle_log_lines_lost_total").unwrap();
    disk.free();
    assert_eq!(service.stop(), Some(0));
    let log = fs::read_to_string(disk.log()).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let report = lines
        .iter()
        .find(|line| line["message"] == "log lines were lost, standard error could not be written")
        .unwrap_or_else(|| panic!("no report in {log}"));
    assert!(report["lines"].as_u64().unwrap() >= lost && lost >= 2, "{report}");
    assert!(lines.iter().any(|line| line["message"] == "lifecycle stopped"), "{log}");
}

#[test]
fn an_output_file_is_never_an_input_file() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/models/retention.yaml"), path("model.yaml")).unwrap();
    let config = "kafka: {bootstrap_servers: '127.0.0.1:1', instance_id: a}\nmodels: [./model.yaml]\n";
    fs::write(path("lifecycle.yaml"), config).unwrap();
    let inputs = ["bad.ndjson", "model.yaml", "lifecycle.yaml"];
    let before = inputs.map(|name| fs::read(path(name)).unwrap());
    for name in inputs {
        let (symbolic, hard) = (format!("symbolic-{name}"), format!("hard-{name}"));
        std::os::unix::fs::symlink(path(name), path(&symbolic)).unwrap();
        fs::hard_link(path(name), path(&hard)).unwrap();
        for output in [name, &symbolic, &hard] {
            let mut commands =
                vec![vec!["replay", "--config", "lifecycle.yaml", "--dead-letters", output, "bad.ndjson"]];
            if name != "bad.ndjson" {
                commands.push(vec!["graph", "--config", "lifecycle.yaml", "--output", output]);
            }
            if name == "model.yaml" {
                commands.push(vec!["generate", "--touchpoints", "5", "--model", "./model.yaml", "--output", output]);
            }
            for arguments in commands {
                let run = lifecycle(directory.path(), &arguments, b"");
                assert_eq!(run.code, 2, "{arguments:?}: {}", run.errors);
                assert!(run.errors.contains("it is the input file"), "{arguments:?}: {}", run.errors);
            }
        }
    }
    assert_eq!(inputs.map(|name| fs::read(path(name)).unwrap()), before);
}

#[test]
fn an_output_file_that_does_not_fit_on_the_disk_is_removed() {
    let directory = directory();
    let path = |name: &str| directory.path().join(name);
    let bad = "no touchpoint\n".repeat(20_000);
    fs::write(path("many.ndjson"), bad).unwrap();
    for command in [
        "graph --format svg --output out retention",
        "replay --model retention --dead-letters out many.ndjson",
        "generate --touchpoints 5000 --output out",
    ] {
        // A limit of the file size fails in the middle of a write, as a full disk does.
        let script = format!("trap '' XFSZ; ulimit -f 2; exec {} {command}", env!("CARGO_BIN_EXE_lifecycle"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {errors}");
        assert!(errors.contains("out") && errors.contains("cannot be written"), "{command}: {errors}");
        assert!(!path("out").exists(), "{command}");
    }
}
