//! Deliveries inside the service: touchpoints in and webhooks out in one process, and destinations that fail do not
//! reach the transitions.
#![expect(clippy::unwrap_used, reason = "a failed setup step ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::receiver::{Answer, Received, Receiver};
use crate::broker::{NewRecord, bootstrap, produce, read_committed, unique, until};
use crate::cli::lifecycle;
use crate::run::ServiceProcess;

const CUSTOMERS: usize = 20;

/// Writes a configuration of the service with the section `deliver`, creates its topics, and writes touchpoints.
/// Returns the prefix of all names.
fn deploy(directory: &Path, deliver: &str) -> String {
    let name = unique("run-deliver");
    let text = format!(
        "kafka: {{bootstrap_servers: '{}', group_id: {name}, instance_id: a}}\n\
         topics: {{touchpoints: {name}.in, transitions: {name}.out, changelog: {name}.changelog, dead_letters: {name}.dead}}\n\
         workers: 1\nhttp: {{listen: '127.0.0.1:0'}}\nlog: {{format: json}}\nclock: {{source: touchpoints}}\n\
         publish: {{fresh_for: 36500d}}\ndeliver:\n  dead_letters: {name}.undelivered\n{}",
        bootstrap(),
        deliver.replace("NAME", &name),
    );
    std::fs::write(directory.join("lifecycle.yaml"), text).unwrap();
    let create = ["topics", "--create", "--partitions", "2", "--config", "lifecycle.yaml"];
    let created = lifecycle(directory, &create, b"");
    assert_eq!(created.code, 0, "{}{}", created.output, created.errors);
    let order = |customer: usize, month: usize| {
        let touchpoint = format!(
            r#"{{"event_id":"e{customer}-{month}","customer_id":"c{customer}","type":"order_completed","occurred_at":"2026-{month:02}-02T08:00:00Z","order_id":"o{customer}-{month}","amount":39.90,"currency":"USD"}}"#
        );
        NewRecord::keyed(&format!("c{customer}"), &touchpoint)
    };
    let orders: Vec<NewRecord> =
        (1..=9).step_by(4).flat_map(|month| (0..CUSTOMERS).map(move |customer| order(customer, month))).collect();
    produce(&format!("{name}.in"), &orders);
    name
}

fn webhook(name: &str, address: impl std::fmt::Display) -> String {
    format!(
        "    {name}:\n      webhook: {{url: 'http://{address}/{name}', format: transition}}\n      \
         allow_private_addresses: true\n      start: earliest\n"
    )
}

/// Waits until the service has processed all touchpoints, and returns its transitions.
fn published(service: &ServiceProcess, name: &str) -> Vec<Value> {
    let consumed = format!("\nlifecycle_touchpoints_consumed_total {}\n", CUSTOMERS * 3);
    until("all touchpoints are processed", || service.get("/metrics").filter(|page| page.contains(&consumed)));
    let records = read_committed(&format!("{name}.out"));
    assert!(records.len() > CUSTOMERS, "{} transitions", records.len());
    records.iter().map(|record| serde_json::from_str(&record.text()).unwrap()).collect()
}

fn state(service: &ServiceProcess, destination: &str) -> Option<Value> {
    let state: Value = serde_json::from_str(&service.get(&format!("/v1/deliveries/{destination}"))?).unwrap();
    Some(state)
}

/// Returns the ids of each customer, in order.
fn ids<'v>(transitions: impl IntoIterator<Item = &'v Value>) -> BTreeMap<String, Vec<String>> {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for transition in transitions {
        let text = |name: &str| transition[name].as_str().unwrap().to_owned();
        ids.entry(text("customer_id")).or_default().push(text("transition_id"));
    }
    ids
}

#[test]
fn touchpoints_become_webhooks_in_one_process_whatever_other_destinations_do() {
    let healthy = Receiver::start(|_| Answer::status(200));
    let failing = Receiver::start(|_| Answer::status(503));
    let directory = tempfile::tempdir().unwrap();
    // No server listens on port 1.
    let destinations =
        webhook("shop", healthy.address) + &webhook("failing", failing.address) + &webhook("absent", "127.0.0.1:1");
    let name = deploy(directory.path(), &format!("  destinations:\n{destinations}"));
    let check = lifecycle(directory.path(), &["config", "check", "--config", "lifecycle.yaml"], b"");
    assert_eq!(check.code, 0, "{}", check.errors);

    let service = ServiceProcess::start(directory.path());
    let published = published(&service, &name);
    until("all are delivered", || (healthy.count() >= published.len()).then_some(()));
    let received: Vec<Value> = healthy.received().iter().map(Received::json).collect();
    assert_eq!(ids(&received), ids(&published));
    let done = until("they are counted", || state(&service, "shop").filter(|it| it["delivered"] == published.len()));
    assert_eq!((&done["state"], &done["dead"]), (&"active".into(), &0.into()), "{done}");
    until("the others fail", || {
        let open = |name: &str| state(&service, name).is_some_and(|it| it["state"] == "open" && it["delivered"] == 0);
        (open("failing") && open("absent")).then_some(())
    });
    assert!(service.get("/readyz").is_some(), "destinations do not make the service unready");
    let metrics = service.get("/metrics").unwrap();
    let line = format!("lifecycle_delivered_total{{destination=\"shop\"}} {}\n", published.len());
    assert!(metrics.contains(&line) && metrics.contains("\nlifecycle_ready 1\n"), "{metrics}");
    let url = format!("http://{}", service.address);
    let pause = lifecycle(directory.path(), &["deliver", "pause", "shop", "--url", &url], b"");
    assert_eq!(pause.code, 0, "{}", pause.errors);
    until("it is paused", || state(&service, "shop").filter(|it| it["state"] == "paused"));
    // The port of `http.listen` is 0, so the address comes from --url, everything else from the configuration.
    let with_config = |name: &str, rest: &[&str]| {
        lifecycle(directory.path(), &[&["deliver", "resume", name, "--config", "lifecycle.yaml"], rest].concat(), b"")
    };
    let unknown = with_config("shp", &["--url", &url]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.errors.contains("no destination `shp`: did you mean `shop`?"), "{}", unknown.errors);
    let configured = with_config("shop", &[]);
    assert!(configured.errors.contains("http.listen has the port 0"), "{}", configured.errors);
    assert_eq!(with_config("shop", &["--url", &url]).code, 0);
    until("it is resumed", || state(&service, "shop").filter(|it| it["state"] == "active"));
    assert_eq!(service.stop(), Some(0));

    let service = ServiceProcess::start_with(directory.path(), &["--no-deliver"]);
    until("the service has started", || service.get("/v1/partitions"));
    assert!(service.get("/v1/deliveries").is_none());
    assert_eq!(service.stop(), Some(0));
    assert_eq!(healthy.count(), published.len(), "each was sent once");
}

#[test]
fn a_worker_that_fails_starts_again_beside_the_service() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let directory = tempfile::tempdir().unwrap();
    let destinations = webhook("shop", receiver.address);
    let name = deploy(directory.path(), &format!("  topics: [NAME.later, NAME.out]\n  destinations:\n{destinations}"));
    let service = ServiceProcess::start(directory.path());
    let failed = until("the worker fails", || state(&service, "shop").filter(|it| it["state"] == "failed"));
    let what = failed["errors"][0]["what"].as_str().unwrap();
    assert!(what.contains(&format!("{name}.later")), "{failed}");
    let published = published(&service, &name);
    assert!(service.get("/readyz").is_some());

    let text = std::fs::read_to_string(directory.path().join("lifecycle.yaml")).unwrap();
    let other = directory.path().join("other.yaml");
    std::fs::write(&other, text.replace(&format!("transitions: {name}.out"), &format!("transitions: {name}.later")))
        .unwrap();
    let create = ["topics", "--create", "--partitions", "1", "--config", "other.yaml"];
    assert_eq!(lifecycle(directory.path(), &create, b"").code, 0);
    until("all are delivered", || {
        let keys: BTreeSet<String> = receiver.received().iter().map(|it| it.header("webhook-id").to_owned()).collect();
        (keys.len() == published.len()).then_some(())
    });
    assert_eq!(service.stop(), Some(0));
}
