//! A principal without the permission to delete changelog records: the changelog takes more disk space, and processing
//! continues unchanged.

use std::collections::BTreeMap;

use serde_json::Value;

use super::touchpoint;
use crate::broker::{self, NewRecord, until};
use crate::kafka_doctor::ServiceFixture;
use crate::kafka_doctor::permissions::AclBroker;
use crate::run::ServiceProcess;

const CUSTOMERS: usize = 300;
const ROUNDS_MAX: usize = 20;

fn count(service: &ServiceProcess, series: &str) -> Option<u64> {
    service.get("/metrics")?.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn truncations(service: &ServiceProcess, result: &str) -> u64 {
    let series = format!("lifecycle_changelog_truncations_total{{result=\"{result}\"}}");
    until("the metrics are served", || count(service, &series))
}

/// Writes an order of every customer and waits until all of them are committed.
fn process_day(broker: &AclBroker, fixture: &ServiceFixture, service: &ServiceProcess, round: usize) {
    let records: Vec<NewRecord> =
        (0..CUSTOMERS).map(|it| touchpoint(&format!("c-{it}"), "order_completed", round)).collect();
    let before = count(service, "lifecycle_touchpoints_consumed_total").unwrap_or_default();
    broker::produce_at(&broker.address, &fixture.topic("in"), &records);
    until("the day is committed", || {
        (count(service, "lifecycle_touchpoints_consumed_total")? >= before + CUSTOMERS as u64).then_some(())
    });
}

/// Returns the state of every tenth customer, as served over HTTP.
fn customers(service: &ServiceProcess) -> BTreeMap<usize, Vec<Value>> {
    let query = |number: usize| {
        let body = until("the customer is returned", || service.get(&format!("/v1/customers/c-{number}")));
        let json: Value = serde_json::from_str(&body).expect("a customer is JSON");
        let fields = ["clock", "facts", "orders", "models", "next_wake_up"].map(|field| json[field].clone());
        assert!(fields.iter().all(|it| !it.is_null()), "{json}");
        fields.to_vec()
    };
    (0..CUSTOMERS).step_by(10).map(|number| (number, query(number))).collect()
}

#[test]
fn a_denied_truncation_only_costs_disk_space() {
    let broker = AclBroker::start();
    let fixture = ServiceFixture::empty(&broker.address);
    fixture.configure("session_timeout: 6s, transaction_timeout: 10s");
    fixture.create_topics();
    let file = fixture.path().join("lifecycle.yaml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let more = "clock: {source: touchpoints}\nstate: {sweep_min_bytes: 64KiB}\n";
    std::fs::write(&file, text + more).expect("the configuration is written");
    let changelog = fixture.topic("changelog");
    let log_start = || broker::range_at(&broker.address, &changelog, 0).0;
    broker.deny("Delete", &["--topic", &changelog]);

    let service = ServiceProcess::start(fixture.path());
    let mut day = 0;
    while truncations(&service, "failed") == 0 {
        assert!(day < ROUNDS_MAX, "no sweep has finished within {ROUNDS_MAX} days");
        process_day(&broker, &fixture, &service, day);
        day += 1;
    }
    let published = |service: &ServiceProcess| {
        let page = service.get("/metrics").expect("the metrics are served");
        let of = |line: &&str| line.starts_with("lifecycle_transitions_total{");
        let number = |line: &str| line.rsplit(' ').next().and_then(|it| it.parse::<u64>().ok()).expect("a number");
        page.lines().filter(of).map(number).sum::<u64>()
    };
    let before = published(&service);
    for _ in 0..3 {
        process_day(&broker, &fixture, &service, day);
        day += 1;
    }
    assert!(published(&service) > before, "it still publishes");
    assert!(service.get("/readyz").is_some(), "it is ready");
    assert_eq!((truncations(&service, "done"), log_start()), (0, 0));
    let customers_before = customers(&service);
    assert_eq!(service.stop(), Some(0));

    // The next owner restores only the part of the changelog that it needs, and its truncation is denied too.
    let service = ServiceProcess::start(fixture.path());
    assert_eq!(customers(&service), customers_before);
    until("it has tried to truncate", || (truncations(&service, "failed") > 0).then_some(()));
    process_day(&broker, &fixture, &service, day);
    assert!(service.get("/readyz").is_some(), "it is ready");
    assert_eq!(log_start(), 0);
    let customers_before = customers(&service);
    assert_eq!(service.stop(), Some(0));

    broker.remove_denial("Delete", &["--topic", &changelog]);
    let service = ServiceProcess::start(fixture.path());
    until("the log is truncated", || (truncations(&service, "done") > 0 && log_start() > 0).then_some(()));
    assert_eq!(customers(&service), customers_before);
    assert_eq!(service.stop(), Some(0));
    let service = ServiceProcess::start(fixture.path());
    assert_eq!(customers(&service), customers_before, "the remaining log is sufficient");
    assert_eq!(service.stop(), Some(0));
}
