//! Runs the consumers of `examples/consumers` against a topic with aborted and repeated transitions.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::{self, NewRecord};
use crate::cli::lifecycle;
use crate::contract_documents::tools;
use crate::deliver::receiver::{Answer, Received, Receiver};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Returns a topic as a service leaves it, and its transitions: some were written by an aborted transaction first, and
/// one was published by a second deployment.
fn topic() -> (String, Vec<Value>) {
    let run = lifecycle(ROOT.as_ref(), &["replay", "examples/touchpoints.ndjson"], b"");
    assert_eq!(run.code, 0, "{}", run.errors);
    let lines: Vec<&str> = run.output.lines().collect();
    let transitions: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect("a transition")).collect();
    assert!(transitions.len() > 10);
    let records: Vec<NewRecord> = lines
        .iter()
        .zip(&transitions)
        .map(|(line, transition)| {
            let text = |name: &str| transition[name].as_str().expect("a text").to_owned();
            let live = line.replace(r#""mode":"replay""#, r#""mode":"live""#);
            let headers = vec![("ce_id".to_owned(), text("transition_id").into_bytes())];
            NewRecord { headers, ..NewRecord::keyed(&text("customer_id"), &live) }
        })
        .collect();
    let topic = broker::topic("consumers", 3);
    broker::produce_aborted(&topic, &records[..5]);
    broker::produce_committed(&topic, &records);
    broker::produce_committed(&topic, &records[..3]);
    (topic, transitions)
}

fn ids(transitions: &[Value]) -> Vec<String> {
    let mut ids: Vec<String> =
        transitions.iter().filter_map(|it| it["transition_id"].as_str().map(str::to_owned)).collect();
    ids.sort();
    ids
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Asserts that the transitions of each customer in each model are in order.
fn assert_order(transitions: &[Value]) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for transition in transitions {
        let sequence = transition["sequence"].as_u64().expect("a number");
        let before = last.insert(format!("{} {}", transition["customer_id"], transition["model"]), sequence);
        assert!(before.is_none_or(|before| before < sequence), "{transition}");
    }
}

#[test]
fn the_python_consumer_stores_each_committed_transition_once() {
    let (topic, transitions) = topic();
    let directory = tempfile::tempdir().expect("a temporary folder");
    let consume = |group: &str| {
        output(
            Command::new(tools().join("python/bin/python"))
                .arg(format!("{ROOT}/examples/consumers/consumer.py"))
                .args(["--bootstrap", broker::bootstrap(), "--topic", &topic, "--group", group, "--exit-at-end"])
                .current_dir(directory.path()),
        )
    };
    let group = broker::unique("python");
    let printed = consume(&group);
    assert_eq!(printed.lines().count(), transitions.len(), "{printed}");
    // Neither a restart nor a group that starts again acts a second time.
    assert_eq!(consume(&group), "");
    assert_eq!(consume(&broker::unique("python")), "");
    let query = "import sqlite3; [print(row[0]) for row in sqlite3.connect('transitions.db')\
                 .execute('SELECT transition_id FROM transitions ORDER BY transition_id')]";
    let stored =
        output(Command::new(tools().join("python/bin/python")).args(["-c", query]).current_dir(directory.path()));
    assert_eq!(stored.lines().collect::<Vec<_>>(), ids(&transitions));
}

#[test]
fn the_java_consumer_prints_each_committed_transition_once_and_in_order() {
    let (topic, transitions) = topic();
    let cache = std::env::var("XDG_CACHE_HOME")
        .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").expect("a home folder")));
    let kafka =
        std::fs::read_dir(format!("{cache}/lifecycle")).expect("scripts/kafka has installed Kafka").find_map(|it| {
            let path = it.ok()?.path();
            path.file_name()?.to_str()?.starts_with("kafka-").then_some(path)
        });
    let libraries = format!("{}/libs/*", kafka.expect("scripts/kafka has installed Kafka").display());
    let printed = output(
        Command::new("java")
            .args(["-cp", &libraries, &format!("{ROOT}/examples/consumers/TransitionConsumer.java")])
            .args([broker::bootstrap(), &topic, &broker::unique("java"), "--exit-at-end"]),
    );
    let read: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line.split_once(' ').expect("an id").1).expect("a transition"))
        .collect();
    assert_order(&read);
    assert_eq!(ids(&read), ids(&transitions));
}

#[test]
fn kcat_prints_the_committed_transitions_and_no_others() {
    let (topic, transitions) = topic();
    let path = format!("{}:{}", tools().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let printed = output(
        Command::new(format!("{ROOT}/examples/consumers/kcat.sh"))
            .args([broker::bootstrap(), &topic])
            .env("PATH", path),
    );
    let read: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("a transition")).collect();
    // kcat does not deduplicate: the three of the second deployment are there twice.
    let mut expected = transitions.clone();
    expected.extend_from_slice(&transitions[..3]);
    assert_eq!(ids(&read), ids(&expected));
}

/// A Connect worker with sinks; ends when dropped.
struct ConnectWorker {
    process: Child,
    log: PathBuf,
}

impl ConnectWorker {
    /// Starts a worker in `directory` with sinks: their names and properties.
    fn start(directory: &Path, sinks: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(directory).expect("a folder of the test");
        let script = format!("{ROOT}/scripts/connect");
        // The first download takes longer than a test waits for records.
        output(Command::new(&script).arg("install"));
        let mut command = Command::new(&script);
        command.arg("run").args([broker::bootstrap()]).arg(directory);
        for (name, properties) in sinks {
            let file = directory.join(format!("{name}.properties"));
            let sink = format!("name={name}\nconsumer.override.auto.offset.reset=earliest\n{properties}");
            std::fs::write(&file, sink).expect("writable");
            command.arg(file);
        }
        let process = command.stdin(Stdio::piped()).spawn().expect("scripts/connect can be run");
        Self { process, log: directory.join("log") }
    }

    /// Waits until `is_complete`.
    fn wait_until(&self, mut is_complete: impl FnMut() -> bool) {
        // A virtual machine starts slowly on a busy machine.
        let deadline = Instant::now() + broker::TIMEOUT * 4;
        while !is_complete() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < deadline, "Connect has not written all records: {log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for ConnectWorker {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("the worker ends");
    }
}

/// Runs a Connect worker with file sinks of `recipes` (name, topic, further properties) until each has written the
/// expected number of lines, and returns the lines of each.
fn connect(recipes: &[(&str, &str, &str, usize)]) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| directory.path().join(name);
    let sink = |name: &str, topic: &str, properties: &str| {
        format!(
            "connector.class=org.apache.kafka.connect.file.FileStreamSinkConnector\ntopics={topic}\nfile={}\n{properties}",
            path(name).display()
        )
    };
    let sinks: Vec<_> =
        recipes.iter().map(|(name, topic, properties, _)| (*name, sink(name, topic, properties))).collect();
    let sinks: Vec<_> = sinks.iter().map(|(name, properties)| (*name, properties.as_str())).collect();
    let worker = ConnectWorker::start(directory.path(), &sinks);
    let lines = |name: &str| -> Vec<String> {
        std::fs::read_to_string(path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    worker.wait_until(|| recipes.iter().all(|(name, _, _, count)| lines(name).len() >= *count));
    drop(worker);
    recipes.iter().map(|(name, ..)| lines(name)).collect()
}

/// Returns a recipe in docs/consumers.md.
fn whole_recipe(heading: &str) -> &'static str {
    let rest = include_str!("../../docs/consumers.md").split_once(heading).expect("the recipe").1;
    rest.split_once("```properties\n").expect("properties").1.split("```").next().expect("an end")
}

/// Returns the properties of a recipe in docs/consumers.md that do not belong to its sink: converters, overrides and
/// transformations.
fn recipe(heading: &str) -> String {
    let is_general = |line: &&str| {
        ["consumer.override.", "key.converter=", "value.converter=", "transforms", "predicates"]
            .iter()
            .any(|prefix| line.starts_with(prefix))
    };
    whole_recipe(heading).lines().filter(is_general).collect::<Vec<_>>().join("\n")
}

#[test]
fn kafka_connect_writes_each_committed_transition_with_the_settings_of_the_recipes() {
    let (topic, transitions) = topic();
    let committed = transitions.len() + 3;
    let written =
        connect(&[("http", &topic, &recipe("**HTTP**"), committed), ("uncommitted", &topic, "", committed + 5)]);
    let read: Vec<Value> = written[0].iter().map(|line| serde_json::from_str(line).expect("a transition")).collect();
    let mut expected = transitions.clone();
    expected.extend_from_slice(&transitions[..3]);
    assert_eq!(ids(&read), ids(&expected));
    assert_eq!(written[1].len(), committed + 5, "without the override, Connect also writes aborted records");
}

#[test]
fn the_http_recipe_posts_each_committed_transition_in_order() {
    let (topic, transitions) = topic();
    let requests = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| {
        let fails = matches!(requests.fetch_add(1, Ordering::SeqCst), 1 | 4 | 5);
        Answer::status(if fails { 503 } else { 200 })
    });
    let directory = tempfile::tempdir().expect("a temporary folder");
    let recipe = whole_recipe("**HTTP**")
        .replace("topics=lifecycle.transitions", &format!("topics={topic}"))
        .replace("https://crm.example.com", &format!("http://{}", receiver.address))
        .replace("${file:/run/secrets/crm.properties:authorization}", "Bearer secret")
        .replace("delay=3000", "delay=100");
    let worker = ConnectWorker::start(&directory.path().join("connect"), &[("http", &recipe)]);
    worker.wait_until(|| receiver.accepted().len() >= transitions.len() + 3);
    drop(worker);
    let accepted = receiver.accepted();
    let mut expected = transitions.clone();
    expected.extend_from_slice(&transitions[..3]);
    let posted: Vec<_> = accepted.iter().map(Received::json).collect();
    assert_eq!(ids(&posted), ids(&expected));
    for request in &accepted {
        assert_eq!(request.path, "/transitions");
        assert_eq!(request.header("authorization"), "Bearer secret");
        assert_eq!(request.header("content-type"), "application/json");
    }
    // The order of each customer, whose transitions are in one partition.
    let of = |customer: &Value, all: &[Value]| -> Vec<Value> {
        all.iter().filter(|it| it["customer_id"] == *customer).map(|it| it["transition_id"].clone()).collect()
    };
    for transition in &transitions {
        let customer = &transition["customer_id"];
        assert_eq!(of(customer, &posted), of(customer, &expected));
    }
}

/// An S3 server; killed when dropped.
struct S3 {
    process: Child,
    address: SocketAddr,
}

impl S3 {
    /// Starts a server without buckets.
    fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let mut command = Command::new(tools().join("python/bin/moto_server"));
        command
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        Self { process: command.spawn().expect("moto_server can be run"), address }
    }

    /// Returns the number of objects in the bucket; none before it exists.
    fn count(&self, bucket: &str) -> usize {
        let Ok(mut stream) = TcpStream::connect(self.address) else { return 0 };
        let mut listing = String::new();
        let request = write!(stream, "GET /{bucket} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            .and_then(|()| stream.read_to_string(&mut listing));
        request.map_or(0, |_| listing.matches("<Key>").count())
    }

    /// Returns the name and the content of each object of the bucket.
    fn objects(&self, bucket: &str) -> Vec<(String, Value)> {
        let script = "import boto3, json, sys\n\
             client = boto3.client('s3', endpoint_url=sys.argv[1], region_name='eu-central-1', \
                 aws_access_key_id='key', aws_secret_access_key='secret')\n\
             found = client.list_objects_v2(Bucket=sys.argv[2]).get('Contents', [])\n\
             read = lambda name: json.load(client.get_object(Bucket=sys.argv[2], Key=name)['Body'])\n\
             print(json.dumps([[it['Key'], read(it['Key'])] for it in found]))";
        let url = format!("http://{}", self.address);
        let printed = output(Command::new(tools().join("python/bin/python")).args(["-c", script, &url, bucket]));
        serde_json::from_str(&printed).expect("JSON")
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.process.kill().expect("a child");
        self.process.wait().expect("a child");
    }
}

#[test]
fn the_s3_recipe_keeps_each_committed_transition_over_restarts() {
    let (topic, transitions) = topic();
    let server = S3::start();
    let directory = tempfile::tempdir().expect("a temporary folder");
    let recipe = whole_recipe("**S3**")
        .replace("topics=lifecycle.transitions,lifecycle.transitions.replay", &format!("topics={topic}"))
        .replace("${file:/run/secrets/s3.properties:", "${file:")
        .replace("${file:key}", "key")
        .replace("${file:secret}", "secret")
        .replace("delay=3000", "delay=100")
        .replace(
            "&accessKey",
            &format!(
                "&autoCreateBucket=true&overrideEndpoint=true&uriEndpointOverride=http://{}&accessKey",
                server.address
            ),
        );
    let mut expected = transitions.clone();
    expected.extend_from_slice(&transitions[..3]);
    for restart in 0..3 {
        let worker = ConnectWorker::start(&directory.path().join("connect"), &[("s3", &recipe)]);
        worker.wait_until(|| server.count("lifecycle") >= expected.len());
        drop(worker);
        if restart < 2 {
            let more = &transitions[restart * 4..restart * 4 + 4];
            let records =
                more.iter().map(|it| NewRecord::keyed(it["customer_id"].as_str().expect("an id"), &it.to_string()));
            broker::produce_aborted(&topic, &records.clone().collect::<Vec<_>>());
            broker::produce_committed(&topic, &records.collect::<Vec<_>>());
            expected.extend_from_slice(more);
        }
    }
    let objects = server.objects("lifecycle");
    assert!(objects.iter().all(|(name, _)| name.starts_with(&format!("{topic}/"))), "{objects:?}");
    assert_eq!(ids(&objects.into_iter().map(|(_, record)| record).collect::<Vec<_>>()), ids(&expected));
}

/// A `PostgreSQL` server; ends when dropped.
struct Postgres {
    process: Child,
    port: u16,
}

impl Postgres {
    /// Starts a server with its data in `directory`.
    fn start(directory: &Path) -> Self {
        // The server runs as another user if the test runs as root.
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).expect("a folder of the test");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new(format!("{ROOT}/scripts/postgres"));
        command.arg("run").arg(directory.join("postgres")).arg(port.to_string());
        let process = command.stdin(Stdio::piped()).spawn().expect("scripts/postgres can be run");
        let server = Self { process, port };
        broker::until("PostgreSQL", || server.query("select 1"));
        server
    }

    /// Returns the rows of a query; `None` if it fails.
    fn query(&self, query: &str) -> Option<Vec<String>> {
        let port = self.port.to_string();
        let output = Command::new(format!("{ROOT}/scripts/postgres")).args(["psql", &port, query]).output();
        let output = output.expect("scripts/postgres can be run");
        let rows = String::from_utf8(output.stdout).expect("text");
        output.status.success().then(|| rows.lines().map(str::to_owned).collect())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().expect("the server ends");
    }
}

#[test]
fn the_jdbc_recipe_keeps_a_row_of_each_customer_in_postgresql() {
    let is_installed = Command::new("sh").args(["-c", "command -v postgres || ls /usr/lib/postgresql/*/bin"]).output();
    if !is_installed.expect("a shell").status.success() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is missing");
        eprintln!("skipped: PostgreSQL is missing");
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(directory.path());
    let topic = broker::topic("current-stages", 1);
    let stages = |customer: &str, stage: &str| {
        NewRecord::keyed(customer, &format!(r#"{{"customer_id":"{customer}","stages":{{"retention":"{stage}"}}}}"#))
    };
    let removed = NewRecord { value: None, ..NewRecord::keyed("carl", "") };
    broker::produce_aborted(&topic, &[stages("dora", "active")]);
    broker::produce_committed(&topic, &[stages("anna", "active"), stages("bert", "active"), stages("carl", "active")]);
    broker::produce_committed(&topic, &[stages("anna", "dormant"), removed, stages("erik", "active")]);
    let recipe = whole_recipe("**JDBC**")
        .replace("topics=lifecycle.current-stages", &format!("topics={topic}"))
        .replace("db/crm", &format!("127.0.0.1:{}/postgres", server.port))
        .replace("connection.username=crm", "connection.username=postgres")
        .replace("${file:/run/secrets/crm.properties:password}", "none");
    let worker = ConnectWorker::start(&directory.path().join("connect"), &[("jdbc", &recipe)]);
    let query = "select customer_id, record::json #>> '{stages,retention}' from current_stages order by 1";
    let expected = ["anna|dormant", "bert|active", "carl|", "erik|active"];
    worker.wait_until(|| server.query(query).is_some_and(|rows| rows == expected));
}
