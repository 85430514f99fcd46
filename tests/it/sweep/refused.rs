//! A broker that refuses to delete from the changelog: it costs room, and nothing else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::touchpoint;
use crate::broker::{self, ToWrite, until};
use crate::kafka_doctor::Clinic;
use crate::kafka_doctor::rights::Guarded;
use crate::run::Running;

const CUSTOMERS: usize = 300;
const ROUNDS_MAX: usize = 20;

fn count(service: &Running, series: &str) -> Option<u64> {
    service.get("/metrics")?.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn truncations(service: &Running, result: &str) -> u64 {
    let series = format!("lifecycle_changelog_truncations_total{{result=\"{result}\"}}");
    until("the metrics are served", || count(service, &series))
}

/// A day on which every customer orders. Returns once all of it is committed.
fn live_a_day(broker: &Guarded, clinic: &Clinic, service: &Running, round: usize) {
    let records: Vec<ToWrite> =
        (0..CUSTOMERS).map(|it| touchpoint(&format!("c-{it}"), "order_completed", round)).collect();
    let before = count(service, "lifecycle_touchpoints_consumed_total").unwrap_or_default();
    broker::produce_at(&broker.address, &clinic.topic("in"), &records);
    until("the day is committed", || {
        (count(service, "lifecycle_touchpoints_consumed_total")? >= before + CUSTOMERS as u64).then_some(())
    });
}

/// What every tenth customer's record holds, as the service tells it.
fn customers(service: &Running) -> BTreeMap<usize, Vec<Value>> {
    let ask = |number: usize| {
        let body = until("the customer is shown", || service.get(&format!("/v1/customers/c-{number}")));
        let json: Value = serde_json::from_str(&body).expect("a customer is JSON");
        let kept = ["clock", "facts", "orders", "models", "next_wake_up"].map(|field| json[field].clone());
        assert!(kept.iter().all(|it| !it.is_null()), "{json}");
        kept.to_vec()
    };
    (0..CUSTOMERS).step_by(10).map(|number| (number, ask(number))).collect()
}

#[test]
fn a_changelog_that_may_not_be_cut_takes_room_and_does_no_other_harm() {
    let broker = Guarded::start();
    let clinic = Clinic::empty(&broker.address);
    clinic.configure("session_timeout: 6s, transaction_timeout: 10s");
    clinic.create_topics();
    let file = clinic.path().join("lifecycle.yaml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    let more = "clock: {source: touchpoints}\nstate: {sweep_min_bytes: 64KiB}\n";
    std::fs::write(&file, text + more).expect("the configuration is written");
    let changelog = clinic.topic("changelog");
    let log_start = || broker::range_at(&broker.address, &changelog, 0).0;
    broker.deny("Delete", &["--topic", &changelog]);

    let service = Running::start(clinic.path());
    let mut day = 0;
    while truncations(&service, "failed") == 0 {
        assert!(day < ROUNDS_MAX, "no sweep has come to its end in {ROUNDS_MAX} days");
        live_a_day(&broker, &clinic, &service, day);
        day += 1;
    }
    let published = |service: &Running| {
        let page = service.get("/metrics").expect("the metrics are served");
        let of = |line: &&str| line.starts_with("lifecycle_transitions_total{");
        let number = |line: &str| line.rsplit(' ').next().and_then(|it| it.parse::<u64>().ok()).expect("a number");
        page.lines().filter(of).map(number).sum::<u64>()
    };
    let before = published(&service);
    for _ in 0..3 {
        live_a_day(&broker, &clinic, &service, day);
        day += 1;
    }
    assert!(published(&service) > before, "it goes on publishing");
    assert!(service.get("/readyz").is_some(), "it is ready");
    assert_eq!((truncations(&service, "done"), log_start()), (0, 0));
    let shown = customers(&service);
    assert_eq!(service.stop(), Some(0));

    // The next owner restores from the part of the log that counts, and is refused in its turn.
    let service = Running::start(clinic.path());
    assert_eq!(customers(&service), shown);
    until("it has tried", || (truncations(&service, "failed") > 0).then_some(()));
    live_a_day(&broker, &clinic, &service, day);
    assert!(service.get("/readyz").is_some(), "it is ready");
    assert_eq!(log_start(), 0);
    let shown = customers(&service);
    assert_eq!(service.stop(), Some(0));

    broker.give_back("Delete", &["--topic", &changelog]);
    let service = Running::start(clinic.path());
    until("the log is cut", || (truncations(&service, "done") > 0 && log_start() > 0).then_some(()));
    assert_eq!(customers(&service), shown);
    assert_eq!(service.stop(), Some(0));
    let service = Running::start(clinic.path());
    assert_eq!(customers(&service), shown, "what is left of the log is all that is needed");
    assert_eq!(service.stop(), Some(0));
}
