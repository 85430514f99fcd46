//! Runs the documented commands that need Kafka, in document order: configuration, topics, service, touchpoints, first
//! query.
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{bootstrap, topic, unique, until};
use super::documented_commands::{DocumentedCommand, commands, is_not_run, needs_kafka};

/// HTTP address in the documentation, replaced by the address of the service under test.
const DEFAULT: &str = "127.0.0.1:8080";

/// Writes the configuration of the README, adapted to the test broker. Returns environment variables that override the
/// other settings.
fn configure(directory: &Path) -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```yaml\n# lifecycle.yaml\n").expect("the README has a configuration");
    let (block, _) = block.split_once("```").expect("a block ends");
    let name = unique("documented");
    let text = block
        .replace("localhost:9092", bootstrap())
        .replace("touchpoints: touchpoints", &format!("touchpoints: {name}.in"));
    assert!(text.contains(bootstrap()) && text.contains(&name), "{text}");
    std::fs::write(directory.join("lifecycle.yaml"), text).unwrap();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/regulars.yaml"), directory.join("regulars.yaml"))
        .unwrap();
    // Tests share the broker, so all names must be unique to this test.
    let variable = |key: &str, value: String| (format!("LIFECYCLE_{key}"), value);
    vec![
        variable("TOPICS_TRANSITIONS", format!("{name}.out")),
        variable("TOPICS_REPLAY", format!("{name}.replay")),
        variable("TOPICS_CHANGELOG", format!("{name}.changelog")),
        variable("TOPICS_DEAD_LETTERS", format!("{name}.dead")),
        variable("KAFKA_GROUP_ID", name),
        variable("HTTP_LISTEN", "127.0.0.1:0".to_owned()),
        variable("LOG_FORMAT", "json".to_owned()),
    ]
}

fn shell(directory: &Path, variables: &[(String, String)], command: &str) -> Command {
    let binaries = Path::new(env!("CARGO_BIN_EXE_lifecycle")).parent().unwrap().display();
    let mut shell = Command::new("sh");
    shell
        .args(["-e", "-c", &format!("exec {command}")])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{binaries}:/usr/local/bin:/usr/bin:/bin"))
        .envs(variables.iter().cloned());
    shell
}

/// The running service; dropping it kills the process.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn start(mut command: Command) -> (Service, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(&line).ok()?;
        Some(line.get("http")?.as_str()?.to_owned())
    });
    // Keep reading: a full pipe would block the service.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (Service(child), address.expect("the service logs its HTTP address"))
}

/// Returns the body of a GET request if the status is 200.
fn curl(url: &str) -> Option<String> {
    let (address, path) = url.trim_start_matches("http://").split_once('/')?;
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    response.starts_with("HTTP/1.1 200").then(|| response.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()))?
}

#[test]
fn the_documented_commands_lead_from_the_configuration_to_the_first_query() {
    let directory = tempfile::tempdir().unwrap();
    let variables = configure(directory.path());
    let mut service: Option<(Service, String)> = None;
    let mut queries = 0;
    for DocumentedCommand { document, command } in commands() {
        if !needs_kafka(&command) || is_not_run(&command) {
            continue;
        }
        if command.starts_with("lifecycle run ") {
            if service.is_none() {
                service = Some(start(shell(directory.path(), &variables, &command)));
            }
            continue;
        }
        if command.starts_with("lifecycle ingest ") {
            let sources = format!("[{{name: web, topics: [{}]}}]", topic("source", 1));
            let variables = [&variables[..], &[("LIFECYCLE_SOURCES".to_owned(), sources)]].concat();
            drop(start(shell(directory.path(), &variables, &command)));
            continue;
        }
        if let Some(url) = command.split_whitespace().find(|word| word.starts_with("http://")) {
            let (_, address) = service.as_ref().expect("the documentation starts the service before it queries it");
            let answer = until(&format!("{document}: {command}"), || curl(&url.replace(DEFAULT, address)));
            let asked_for = url.rsplit('/').find(|part| *part != "forecast").unwrap();
            assert!(answer.contains(asked_for), "{document}: {command}: {answer}");
            queries += 1;
            continue;
        }
        // The documented load runs for a minute, which is too long for a test.
        let command = command.replace("--seconds 60", "--seconds 5").replace("localhost:9092", bootstrap());
        let output = shell(directory.path(), &variables, &command).output().unwrap();
        assert!(output.status.success(), "{document}: {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(service.is_some() && queries > 0, "the documentation starts the service and queries it");
}
