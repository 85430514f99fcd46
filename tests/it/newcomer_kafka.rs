//! Somebody new runs the service against a Kafka of their own, command by command as the documents say: configuration, topics,
//! service, touchpoints, first look-up.
#![expect(clippy::unwrap_used, reason = "what cannot be made ends the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{bootstrap, unique, until};
use super::newcomer::{Told, commands, needs_kafka};

/// The address that the documents speak of.
const DEFAULT: &str = "127.0.0.1:8080";

/// The configuration of the README, for the broker of the tests.
fn configure(directory: &Path) -> Vec<(String, String)> {
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```yaml\n# lifecycle.yaml\n").expect("the README has a configuration");
    let (block, _) = block.split_once("```").expect("a block ends");
    let name = unique("newcomer");
    let text = block
        .replace("localhost:9092", bootstrap())
        .replace("touchpoints: touchpoints", &format!("touchpoints: {name}.in"));
    assert!(text.contains(bootstrap()) && text.contains(&name), "{text}");
    std::fs::write(directory.join("lifecycle.yaml"), text).unwrap();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/regulars.yaml"), directory.join("regulars.yaml"))
        .unwrap();
    // Tests share the broker: all other names are this test's own, too.
    let own = |key: &str, value: String| (format!("LIFECYCLE_{key}"), value);
    vec![
        own("TOPICS_TRANSITIONS", format!("{name}.out")),
        own("TOPICS_REPLAY", format!("{name}.replay")),
        own("TOPICS_CHANGELOG", format!("{name}.changelog")),
        own("TOPICS_DEAD_LETTERS", format!("{name}.dead")),
        own("KAFKA_GROUP_ID", name),
        own("HTTP_LISTEN", "127.0.0.1:0".to_owned()),
        own("LOG_FORMAT", "json".to_owned()),
    ]
}

fn shell(directory: &Path, variables: &[(String, String)], command: &str) -> Command {
    let home = Path::new(env!("CARGO_BIN_EXE_lifecycle")).parent().unwrap().display();
    let mut shell = Command::new("sh");
    shell
        .args(["-e", "-c", &format!("exec {command}")])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{home}:/usr/local/bin:/usr/bin:/bin"))
        .envs(variables.iter().cloned());
    shell
}

/// The service, ended with this value.
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
    // A pipe that nobody reads would stop the service once it is full.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (Service(child), address.expect("the service says where it serves HTTP"))
}

/// What `curl URL` prints, where it prints a good answer.
fn curl(url: &str) -> Option<String> {
    let (address, path) = url.trim_start_matches("http://").split_once('/')?;
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then(|| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()))?
}

#[test]
fn a_newcomer_gets_from_the_configuration_to_the_first_look_up() {
    let directory = tempfile::tempdir().unwrap();
    let variables = configure(directory.path());
    let mut service: Option<(Service, String)> = None;
    let mut looked_up = 0;
    for Told { document, command } in commands().into_iter().filter(|told| needs_kafka(&told.command)) {
        if command.starts_with("lifecycle run ") {
            if service.is_none() {
                service = Some(start(shell(directory.path(), &variables, &command)));
            }
            continue;
        }
        if let Some(url) = command.split_whitespace().find(|word| word.starts_with("http://")) {
            let (_, address) = service.as_ref().expect("the documents start the service before they ask it");
            let answer = until(&format!("{document}: {command}"), || curl(&url.replace(DEFAULT, address)));
            let asked_for = url.rsplit('/').find(|part| *part != "forecast").unwrap();
            assert!(answer.contains(asked_for), "{document}: {command}: {answer}");
            looked_up += 1;
            continue;
        }
        // A load goes on for as long as the documents say; here for less.
        let command = command.replace("--seconds 60", "--seconds 5").replace("localhost:9092", bootstrap());
        let output = shell(directory.path(), &variables, &command).output().unwrap();
        assert!(output.status.success(), "{document}: {command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(service.is_some() && looked_up > 0, "the documents start the service and ask it");
}
