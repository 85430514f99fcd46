//! The log of the service on a real broker: it contains the messages that an operator needs, and no customer data.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::ToSpan;
use serde_json::Value;

use crate::broker::{self, NewRecord};
use crate::cli::lifecycle;
use crate::exactly_once::deployment::{Deployment, Instance, now};

/// Contained in every id, key and payload of these tests, and in no log message.
const NEEDLE: &str = "needle";
/// Customers become at risk after two seconds without an order, by wall time.
const SHORT_SILENCE: &str = "clock: {lateness: 500ms}\nparameters: {orders_45d: {silent_after: seconds(2)}}";

fn touchpoint(number: usize) -> NewRecord {
    let occurred_at = now();
    NewRecord::keyed(
        &format!("needle-customer-{number}"),
        &format!(
            r#"{{"event_id":"needle-event-{number}","customer_id":"needle-customer-{number}","type":"order_completed","occurred_at":"{occurred_at}","order_id":"needle-order-{number}","amount":10,"currency":"USD","properties":{{"note":"needle-property"}}}}"#
        ),
    )
}

/// Returns invalid records, each with a different reason.
fn invalid_records() -> Vec<NewRecord> {
    let ahead = now() + 24.hours();
    let texts = [
        "needle, not JSON".to_owned(),
        r#"{"needle":"#.to_owned(),
        r#"{"event_id":"needle-e","type":"order_completed","occurred_at":"2026-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"event_id":"needle-e","customer_id":"needle-c","type":"order_completed","occurred_at":"needle"}"#
            .to_owned(),
        format!(r#"{{"event_id":"needle-e","customer_id":"needle-c","type":"needle-type","occurred_at":"{ahead}"}}"#),
        String::new(),
    ];
    texts.iter().map(|text| NewRecord::keyed("needle-c", text)).collect()
}

fn consumed(instance: &Instance) -> u64 {
    instance.metric("lifecycle_touchpoints_consumed_total").unwrap_or_default()
}

fn messages(log: &str) -> BTreeSet<String> {
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
        format!("{} {}", line["level"].as_str()?, line["message"].as_str()?).into()
    };
    log.lines().filter_map(message).collect()
}

#[test]
fn a_run_logs_the_expected_messages_and_no_customer_data() {
    let deployment = Deployment::new(4, &format!("workers: 2\nlog: {{format: json}}\n{SHORT_SILENCE}"));
    let a = deployment.start("a");
    broker::until("the first instance is ready", || a.metric("lifecycle_ready").filter(|&ready| ready == 1));
    broker::produce(&deployment.touchpoints, &(0..30).map(touchpoint).collect::<Vec<_>>());
    broker::produce(&deployment.touchpoints, &(0..5).map(touchpoint).collect::<Vec<_>>());
    broker::produce(&deployment.touchpoints, &invalid_records());
    broker::until("everything is consumed", || (consumed(&a) >= 41).then_some(()));
    for path in ["/v1/customers/needle-customer-1", "/v1/customers/needle-unknown", "/needle", "/v1/models"] {
        assert!(a.get(path).is_some());
    }

    // Another producer with the same transactional id fences the first one.
    for worker in 0..2 {
        drop(broker::producer(Some(&format!("{}-a-{worker}", deployment.group))));
    }
    broker::produce(&deployment.touchpoints, &(30..60).map(touchpoint).collect::<Vec<_>>());
    broker::until("the batch is processed again", || (consumed(&a) >= 71).then_some(()));
    let aborted = ["aborted", "unknown"].map(|result| format!("lifecycle_commits_total{{result=\"{result}\"}}"));
    assert!(aborted.iter().filter_map(|series| a.metric(series)).sum::<u64>() >= 1);
    let errors = a.scrape().expect("metrics are served");
    assert!(
        errors.lines().any(|line| line.starts_with("lifecycle_kafka_errors_total{reaction=\"reset_producer\"")
            && !line.ends_with(" 0")),
        "{errors}"
    );

    let b = deployment.start("b");
    broker::until("the second instance has partitions", || {
        b.metric("lifecycle_partitions_assigned").filter(|&assigned| assigned > 0)
    });
    broker::produce(&deployment.touchpoints, &(60..90).map(touchpoint).collect::<Vec<_>>());
    broker::until("everything is consumed", || (consumed(&a) + consumed(&b) >= 101).then_some(()));
    for instance in [&a, &b] {
        let page = instance.scrape().expect("metrics are served");
        assert!(!page.contains(NEEDLE), "{page}");
        assert!(
            !instance.command_line().contains(NEEDLE) && instance.command_line().contains("run"),
            "{}",
            instance.command_line()
        );
    }
    let logs = [b.stop(), a.stop()];
    for log in &logs {
        assert!(!log.contains(NEEDLE), "{log}");
        let messages = messages(log);
        for expected in [
            "INFO lifecycle starting",
            "INFO models loaded",
            "INFO partitions assigned, restoring state",
            "INFO partition restored",
            "INFO ready: all assigned partitions are being processed",
            "INFO shutting down gracefully; a second signal exits immediately",
            "INFO worker left the group",
            "INFO lifecycle stopped",
        ] {
            assert!(messages.contains(expected), "{expected} is missing in\n{log}");
        }
        assert!(
            log.lines().any(|line| line.contains(r#""span":{"name":"worker","worker":1}"#)
                || line.contains(r#""span":{"worker":1,"name":"worker"}"#)),
            "{log}"
        );
    }
    let warned: Vec<_> = messages(&logs[1]).into_iter().filter(|line| line.starts_with("WARN")).collect();
    assert!(
        warned.iter().any(|line| line.contains("transaction outcome unknown, checking committed offsets")),
        "{warned:?}"
    );
}

#[test]
fn an_instance_with_the_name_of_another_warns_at_its_start() {
    const WARNING: &str = "group already has members with these names members=a-0, a-1";
    let deployment = Deployment::new(1, &format!("workers: 2\n{SHORT_SILENCE}"));
    let a = deployment.start("a");
    broker::until("the first instance is ready", || a.metric("lifecycle_ready").filter(|&ready| ready == 1));
    assert!(!a.log().contains("members with these names"), "{}", a.log());
    // Both write to the same log file.
    let twin = deployment.start("a");
    broker::until("the second instance warns", || twin.log().replace('"', "").contains(WARNING).then_some(()));
}

#[test]
fn a_healthy_run_logs_no_warnings_except_topic_settings() {
    let deployment = Deployment::new(2, &format!("workers: 1\nlog: {{level: warn}}\n{SHORT_SILENCE}"));
    let instance = deployment.start("a");
    broker::produce(&deployment.touchpoints, &(0..20).map(touchpoint).collect::<Vec<_>>());
    broker::produce(&deployment.touchpoints, &invalid_records());
    broker::until("everything is consumed", || (consumed(&instance) >= 26).then_some(()));
    let log = instance.stop();
    assert!(!log.contains(NEEDLE), "{log}");
    // The test broker has a single replica and default limits; the service warns about both.
    let is_topic_warning = |line: &&str| line.contains("it has one replica") || line.contains("max.message.bytes");
    let others: Vec<_> = log.lines().filter(|line| !is_topic_warning(line)).collect();
    assert_eq!(others, Vec::<&str>::new(), "{log}");
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");

/// Calls `scripts/kafka` for the node with the data in `folder`, and returns what it prints.
fn node(call: &str, folder: &Path) -> String {
    let output = Command::new(SCRIPT).arg(call).arg(folder).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "scripts/kafka {call} failed; see its output above");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A service and its broker; both are killed when dropped.
struct Pair<'a>(Child, &'a Path);

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
        drop(Command::new(SCRIPT).arg("kill").arg(self.1).status());
    }
}

#[test]
fn the_end_of_an_outage_is_logged_once_for_all_clients() {
    const LOST: &str = "no broker is reachable, client keeps retrying";
    const REACHED: &str = "brokers are reachable again";
    let directory = tempfile::tempdir().expect("a folder");
    let broker = directory.path().join("broker");
    let address = node("start", &broker);
    let text = format!(
        "kafka: {{bootstrap_servers: '{address}', instance_id: a}}\nworkers: 2\nhttp: {{listen: '127.0.0.1:0'}}\n"
    );
    std::fs::write(directory.path().join("lifecycle.yaml"), text).expect("the configuration is written");
    let create = ["topics", "--create", "--partitions", "2", "--config", "lifecycle.yaml"];
    let created = lifecycle(directory.path(), &create, b"");
    let path = directory.path().join("log");
    let mut service = Command::new(env!("CARGO_BIN_EXE_lifecycle"));
    service.args(["run", "--config", "lifecycle.yaml"]).current_dir(directory.path());
    let service = service.stderr(std::fs::File::create(&path).expect("the log is created")).spawn();
    let pair = Pair(service.expect("the service starts"), &broker);
    assert_eq!(created.code, 0, "{}", created.errors);

    let log = || std::fs::read_to_string(&path).expect("the log");
    let wait_for = |message: &str| broker::until(message, || log().contains(message).then_some(()));
    wait_for("ready: all assigned partitions are being processed");
    assert!(!log().contains(LOST) && !log().contains(REACHED), "{}", log());
    _ = node("kill", &broker);
    wait_for(LOST);
    assert!(!log().contains(REACHED), "{}", log());
    assert_eq!(node("start", &broker), address);
    wait_for(REACHED);
    drop(pair);
    // Each worker has several clients, and all of them were cut off.
    let log = log();
    assert!((1..=log.matches(LOST).count()).contains(&log.matches(REACHED).count()), "{log}");
    assert!(log.rfind(REACHED) > log.rfind(LOST), "{log}");
}
