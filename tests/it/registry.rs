//! A real schema registry for the tests, and records serialised by a real client of it.
//!
//! `scripts/registry` starts the registry on first use; it ends with the tests.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use prost::Message as _;
use serde_json::{Value, json};

use crate::broker;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/registry");

/// A running registry. It stops when it is dropped.
pub(crate) struct RunningRegistry {
    /// Address of the API.
    pub(crate) url: String,
    directory: PathBuf,
    script: Child,
}

/// An order that is serialised.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) buyer: String,
    pub(crate) placed_at_ms: i64,
    pub(crate) total: String,
}

impl RunningRegistry {
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("lifecycle-registry-").tempdir().expect("a folder").keep();
        let mut script = Command::new(SCRIPT)
            .arg("hold")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/registry can be run");
        let mut url = String::new();
        let output = script.stdout.take().expect("standard output is piped");
        BufReader::new(output).read_line(&mut url).expect("scripts/registry writes a line");
        assert!(url.starts_with("http://"), "scripts/registry did not start a registry; see its output above");
        Self { url: url.trim().to_owned(), directory, script }
    }

    /// Reads `count` records of `topic` in Confluent's wire format with Confluent's client for Python, and returns what
    /// `tests/data/read_transitions.py` prints of each. The records are the message of this name in this file, or JSON.
    pub(crate) fn read(&self, topic: &str, protobuf: Option<(&str, &str)>, count: usize) -> Vec<Value> {
        let directory = tempfile::tempdir().expect("a folder");
        let descriptors = directory.path().join("descriptors");
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/read_transitions.py");
        let mut command = Command::new(python());
        command.arg(program).args([broker::bootstrap(), topic, &self.url, &count.to_string()]);
        if let Some((message, file)) = protobuf {
            let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
            let compiled = protox::compile([file], [proto]).expect("the contracts compile");
            std::fs::write(&descriptors, compiled.encode_to_vec()).expect("writable");
            command.arg(&descriptors).arg(message);
        }
        let output = command.stderr(Stdio::inherit()).output().expect("Python runs");
        assert!(output.status.success(), "Python failed; see its output above");
        let lines = String::from_utf8(output.stdout).expect("text");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Registers a schema as the latest version of `subject`.
    pub(crate) fn register(&self, subject: &str, schema_type: &str, schema: &str) {
        let program = "import sys\nfrom confluent_kafka.schema_registry import Schema, SchemaRegistryClient\n\
                       client = SchemaRegistryClient({'url': sys.argv[1]})\n\
                       client.register_schema(sys.argv[2], Schema(sys.argv[4], sys.argv[3]))\n\
                       client.set_compatibility(sys.argv[2], level='BACKWARD')\n";
        let status = Command::new(python()).args(["-c", program, &self.url, subject, schema_type, schema]).status();
        assert!(status.expect("Python runs").success(), "Python failed; see its output above");
    }

    /// Freezes the registry: requests get no answer.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Continues a frozen registry.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = std::fs::read_to_string(self.directory.join("pid")).expect("the registry has a process");
        assert!(Command::new("kill").args([signal, process.trim()]).status().expect("kill runs").success());
    }

    /// Returns the values of the records of `orders` in `format`, as Confluent's client for Python writes them.
    pub(crate) fn serialise(&self, format: &str, orders: &[Order]) -> Vec<Vec<u8>> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/serialise_orders.py");
        let mut child = Command::new(python())
            .arg(program)
            .args([format, &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let lines = orders.iter().map(|order| {
            let Order { id, buyer, placed_at_ms, total } = order;
            format!("{}\n", json!({"id": id, "buyer": buyer, "placed_at": placed_at_ms, "total": total}))
        });
        let lines: String = lines.collect();
        child.stdin.take().expect("standard input is piped").write_all(lines.as_bytes()).expect("Python reads");
        let output = child.wait_with_output().expect("Python ends");
        assert!(output.status.success(), "Python failed; see its output above");
        let lines = String::from_utf8(output.stdout).expect("text");
        let values: Vec<_> = lines.lines().map(bytes).collect();
        assert_eq!(values.len(), orders.len());
        values
    }
}

impl Drop for RunningRegistry {
    fn drop(&mut self) {
        self.resume();
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}

/// Returns the path of a Python with Confluent's client.
fn python() -> String {
    let python = Command::new(SCRIPT).arg("python").stderr(Stdio::inherit()).output().expect("the script runs");
    String::from_utf8(python.stdout).expect("a path").trim().to_owned()
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}
