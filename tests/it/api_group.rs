//! Tests of two instances of one consumer group on a real broker: each forwards requests for customers of the other.
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::broker::{NewRecord, bootstrap, produce, unique, until};
use super::cli::lifecycle;

const TOKEN: &str = "a-token-of-this-test-alone";
const CUSTOMERS: usize = 40;

/// Writes the configuration of the instance `name`, with `more` at its end; returns the file name and the HTTP address.
fn configure(directory: &Path, name: &str, group: &str, more: &str) -> (String, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let file = format!("{name}.yaml");
    let text = format!(
        "kafka: {{bootstrap_servers: '{}', group_id: {group}, instance_id: {name}}}\n\
         topics: {{touchpoints: {group}.in, transitions: {group}.out, changelog: {group}.changelog, \
         dead_letters: {group}.dead, hand_overs: {group}.hand-overs}}\nworkers: 1\nlog: {{level: warn}}\nclock: {{source: touchpoints}}\n\
         http: {{listen: '{free}', advertise: '{free}', token_file: token}}\n{more}",
        bootstrap()
    );
    std::fs::write(directory.join(&file), text).unwrap();
    (file, free)
}

struct Instance {
    child: Child,
    address: String,
}

impl Instance {
    /// Starts the service with a configuration from [`configure`].
    fn start(directory: &Path, (file, address): (String, String)) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_lifecycle"))
            .args(["run", "--config", &file])
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// Returns head and body of the response; `None` while the service does not listen.
    fn get(&self, path: &str, token: &str) -> Option<(String, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        Some((head.to_lowercase(), body.to_owned()))
    }

    fn json(&self, path: &str) -> Option<serde_json::Value> {
        let (head, body) = self.get(path, TOKEN)?;
        head.starts_with("http/1.1 200").then(|| serde_json::from_str(&body).unwrap())
    }

    /// Returns the partitions that the instance is processing.
    fn partitions(&self) -> Vec<i64> {
        let partitions = self.json("/v1/partitions").unwrap_or_default();
        let partitions = partitions["partitions"].as_array().cloned().unwrap_or_default();
        let running = partitions.iter().filter(|partition| partition["state"] == "running");
        running.filter_map(|partition| partition["partition"].as_i64()).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn every_instance_returns_every_customer_of_the_group() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), TOKEN).unwrap();
    let group = unique("api-group");
    let configured = ["a", "b"].map(|name| configure(directory.path(), name, &group, ""));
    let create = ["topics", "--create", "--partitions", "4", "--config", "a.yaml"];
    assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
    let touchpoint = |customer: usize| {
        let text = format!(
            r#"{{"event_id":"e{customer}","customer_id":"c{customer}","type":"page_viewed","occurred_at":"2026-01-01T08:00:00Z"}}"#
        );
        NewRecord::keyed(&format!("c{customer}"), &text)
    };
    produce(&format!("{group}.in"), &(0..CUSTOMERS).map(touchpoint).collect::<Vec<_>>());

    let instances = configured.map(|configured| Instance::start(directory.path(), configured));
    until("the partitions are balanced", || {
        let [first, second] = [instances[0].partitions(), instances[1].partitions()];
        (first.len() == 2 && second.len() == 2).then_some(())
    });
    let mut forwarded = 0;
    for customer in 0..CUSTOMERS {
        let path = format!("/v1/customers/c{customer}");
        let heads = [0, 1].map(|index: usize| {
            let (head, body) = until("the customer is known", || {
                instances[index].get(&path, TOKEN).filter(|(head, _)| head.starts_with("http/1.1 200"))
            });
            assert!(body.contains(&format!("\"customer_id\":\"c{customer}\"")), "{body}");
            head
        });
        // One instance owns the customer, and the other forwards the request.
        let other = |index: usize| format!("lifecycle-answered-by: {}", instances[1 - index].address);
        let is_forwarded: Vec<bool> = (0..2).map(|index| heads[index].contains(&other(index))).collect();
        assert_eq!(is_forwarded.iter().filter(|&&it| it).count(), 1, "c{customer}: {heads:?}");
        forwarded += usize::from(is_forwarded[0]);
    }
    assert!((1..CUSTOMERS).contains(&forwarded), "{forwarded} of {CUSTOMERS} requests were forwarded");
    // The list of a stage is the same from every instance, page by page.
    let stage =
        instances[0].json("/v1/customers/c0").unwrap()["models"].as_array().unwrap().iter().find_map(|standing| {
            Some((standing["model"].as_str()?.to_owned(), standing["stage"].as_str()?.to_owned()))
        });
    let (model, stage) = stage.unwrap();
    for (instance, config) in instances.iter().zip(["a.yaml", "b.yaml"]) {
        let path = format!("/v1/models/{model}/stages/{stage}/customers?limit=7");
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = until("the page is served", || instance.json(&format!("{path}{cursor}")));
            let customers = page["customers"].as_array().unwrap();
            assert!(customers.len() <= 7 && page["left_out"] == serde_json::json!([]), "{page}");
            found.extend(customers.iter().map(|customer| customer["customer_id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        found.sort();
        let mut expected: Vec<String> = (0..CUSTOMERS).map(|customer| format!("c{customer}")).collect();
        expected.sort();
        assert_eq!(found, expected);
        let url = format!("http://{}", instance.address);
        let arguments = ["customers", "--model", &model, "--stage", &stage, "--token-file", "token", "--url", &url];
        let run = lifecycle(directory.path(), &arguments, b"");
        assert_eq!((run.code, run.errors.as_str()), (0, ""));
        let mut listed: Vec<String> = run
            .output
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["customer_id"].as_str().unwrap().to_owned()
            })
            .collect();
        listed.sort();
        assert_eq!(listed, expected);
        let run = lifecycle(directory.path(), &[&arguments[..], &["--format", "csv", "--limit", "5"]].concat(), b"");
        assert_eq!((run.code, run.output.lines().count()), (0, 6), "{}", run.output);
        // Address and token come from the configuration of the instance.
        let arguments = ["customers", "--model", &model, "--stage", &stage, "--config", config];
        let configured = lifecycle(directory.path(), &arguments, b"");
        assert_eq!((configured.code, configured.output.lines().count()), (0, CUSTOMERS), "{}", configured.errors);
        let top = lifecycle(directory.path(), &["top", "--config", config, "--lines", "--seconds", "1"], b"");
        assert_eq!((top.code, top.errors.as_str()), (0, ""), "{}", top.output);
        let other = ["customers", "--model", &model, "--stage", "other", "--token-file", "token", "--url", &url];
        let run = lifecycle(directory.path(), &other, b"");
        assert!(run.code == 2 && run.errors.contains("has no stage other; it has"), "{}", run.errors);
    }
    let (head, body) = instances[0].get("/v1/customers/unknown", TOKEN).unwrap();
    assert!(head.starts_with("http/1.1 404") && body.contains("no instance has the customer"), "{head}{body}");
    let (head, _) = instances[0].get("/v1/customers/c1", "another-token-than-that-one").unwrap();
    assert!(head.starts_with("http/1.1 401"), "{head}");
}

#[test]
fn every_instance_names_the_customer_that_a_visitor_became() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), TOKEN).unwrap();
    let group = unique("api-group");
    let identity = "identity: {enabled: true}\n";
    let configured = ["a", "b"].map(|name| configure(directory.path(), name, &group, identity));
    let create = ["topics", "--create", "--partitions", "4", "--config", "a.yaml"];
    assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
    let ids = |number: usize| (format!("c{number}"), format!("visitor-{number}"));
    let touchpoints = |number: usize| {
        let (customer, visitor) = ids(number);
        let seen = format!(
            r#"{{"event_id":"s{number}","anonymous_id":"{visitor}","type":"page_viewed","occurred_at":"2026-01-01T08:00:00Z"}}"#
        );
        let link = format!(
            r#"{{"event_id":"l{number}","customer_id":"{customer}","anonymous_id":"{visitor}","type":"customer_identified","occurred_at":"2026-01-01T09:00:00Z"}}"#
        );
        [NewRecord::keyed(&visitor, &seen), NewRecord::keyed(&customer, &link)]
    };
    produce(&format!("{group}.in"), &(0..CUSTOMERS).flat_map(touchpoints).collect::<Vec<_>>());

    let instances = configured.map(|configured| Instance::start(directory.path(), configured));
    until("the partitions are balanced", || {
        let [first, second] = [instances[0].partitions(), instances[1].partitions()];
        (first.len() == 2 && second.len() == 2).then_some(())
    });
    let mut forwarded = 0;
    for number in 0..CUSTOMERS {
        let (customer, visitor) = ids(number);
        for index in 0..2 {
            // Whichever instances they are on, the id of the visitor is answered as the customer.
            let (head, found) = until("the facts of the visitor have arrived", || {
                let (head, body) = instances[index].get(&format!("/v1/customers/{visitor}"), TOKEN)?;
                let found: serde_json::Value = serde_json::from_str(&body).expect("JSON");
                (found["facts"]["first(any)"] == "2026-01-01T08:00:00Z" && found["aliases"] != serde_json::json!([]))
                    .then_some((head, found))
            });
            assert_eq!(found["customer_id"], customer.as_str(), "{found:#}");
            assert_eq!(found["aliases"], serde_json::json!([visitor]), "{found:#}");
            assert!(head.contains(&format!("content-location: /v1/customers/{customer}\r\n")), "{head}");
            let other = format!("lifecycle-answered-by: {}", instances[1 - index].address);
            forwarded += usize::from(head.contains(&other));
            let forecast = instances[index].json(&format!("/v1/customers/{visitor}/forecast?days=7"));
            assert_eq!(forecast.expect("a forecast")["customer_id"], customer.as_str());
        }
    }
    assert_eq!(forwarded, CUSTOMERS, "one instance has the customer, and the other forwards the request");
}
