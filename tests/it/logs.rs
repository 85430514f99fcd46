//! What the service says of itself in a real run: the lines an operator waits for, and nothing of any customer.

use std::collections::BTreeSet;

use jiff::ToSpan;
use serde_json::Value;

use crate::broker::{self, ToWrite};
use crate::exactly_once::running::{Deployment, Instance, now};

/// Stands in every id, key and payload of these tests, and in nothing else.
const NEEDLE: &str = "needle";
const QUICK: &str = "clock: {lateness: 500ms}\nparameters: {orders_45d: {silent_after: seconds(2)}}";

fn touchpoint(number: usize) -> ToWrite {
    let occurred_at = now();
    ToWrite::keyed(
        &format!("needle-key-{number}"),
        &format!(
            r#"{{"event_id":"needle-event-{number}","customer_id":"needle-customer-{number}","type":"order_completed","occurred_at":"{occurred_at}","order_id":"needle-order-{number}","amount":10,"currency":"USD","properties":{{"note":"needle-property"}}}}"#
        ),
    )
}

/// Records that are no touchpoints, each for another reason.
fn rubbish() -> Vec<ToWrite> {
    let ahead = now() + 24.hours();
    let texts = [
        "needle, and no JSON".to_owned(),
        r#"{"needle":"#.to_owned(),
        r#"{"event_id":"needle-e","type":"order_completed","occurred_at":"2026-01-01T00:00:00Z"}"#.to_owned(),
        r#"{"event_id":"needle-e","customer_id":"needle-c","type":"order_completed","occurred_at":"needle"}"#
            .to_owned(),
        format!(r#"{{"event_id":"needle-e","customer_id":"needle-c","type":"needle-type","occurred_at":"{ahead}"}}"#),
        String::new(),
    ];
    texts.iter().map(|text| ToWrite::keyed("needle-key", text)).collect()
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
fn a_run_with_all_that_happens_tells_what_operators_need_and_nothing_of_customers() {
    let deployment = Deployment::new(4, &format!("workers: 2\nlog: {{format: json}}\n{QUICK}"));
    let a = deployment.start("a");
    broker::until("the first instance is ready", || a.metric("lifecycle_ready").filter(|&ready| ready == 1));
    broker::produce(&deployment.touchpoints, &(0..30).map(touchpoint).collect::<Vec<_>>());
    broker::produce(&deployment.touchpoints, &(0..5).map(touchpoint).collect::<Vec<_>>());
    broker::produce(&deployment.touchpoints, &rubbish());
    broker::until("everything is read", || (consumed(&a) >= 41).then_some(()));
    for path in ["/v1/customers/needle-customer-1", "/v1/customers/needle-nobody", "/needle", "/v1/models"] {
        assert!(a.get(path).is_some());
    }

    // Another producer of the same name: transactions of the first one are refused from now on.
    for worker in 0..2 {
        drop(broker::producer(Some(&format!("{}-a-{worker}", deployment.group))));
    }
    broker::produce(&deployment.touchpoints, &(30..60).map(touchpoint).collect::<Vec<_>>());
    broker::until("the batch is done again", || (consumed(&a) >= 71).then_some(()));
    let aborted = ["aborted", "renewed"].map(|result| format!("lifecycle_commits_total{{result=\"{result}\"}}"));
    assert!(aborted.iter().filter_map(|series| a.metric(series)).sum::<u64>() >= 1);
    let errors = a.scrape().expect("metrics are served");
    assert!(
        errors
            .lines()
            .any(|line| line.starts_with("lifecycle_kafka_errors_total{reaction=\"renew\"") && !line.ends_with(" 0")),
        "{errors}"
    );

    let b = deployment.start("b");
    broker::until("the second instance has partitions", || {
        b.metric("lifecycle_partitions_assigned").filter(|&assigned| assigned > 0)
    });
    broker::produce(&deployment.touchpoints, &(60..90).map(touchpoint).collect::<Vec<_>>());
    broker::until("everything is read", || (consumed(&a) + consumed(&b) >= 101).then_some(()));
    for instance in [&a, &b] {
        let page = instance.scrape().expect("metrics are served");
        assert!(!page.contains(NEEDLE), "{page}");
        assert!(!instance.title().contains(NEEDLE) && instance.title().contains("run"), "{}", instance.title());
    }
    let logs = [b.stop(), a.stop()];
    for log in &logs {
        assert!(!log.contains(NEEDLE), "{log}");
        let messages = messages(log);
        for expected in [
            "INFO lifecycle starts",
            "INFO models loaded",
            "INFO partitions gained; their customers are restored",
            "INFO partition restored",
            "INFO ready: every partition of this instance is worked on",
            "INFO signal: stops in order; a second one ends at once",
            "INFO worker has left the group",
            "INFO lifecycle has stopped in order",
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
    assert!(warned.iter().any(|line| line.contains("the outcome of a transaction has to be looked up")), "{warned:?}");
}

#[test]
fn an_instance_under_the_name_of_another_says_so_at_its_start() {
    const TOLD: &str = "the group has members of these names already members=a-0, a-1";
    let deployment = Deployment::new(1, &format!("workers: 2\n{QUICK}"));
    let a = deployment.start("a");
    broker::until("the first instance is ready", || a.metric("lifecycle_ready").filter(|&ready| ready == 1));
    assert!(!a.log().contains("of these names"), "{}", a.log());
    // Both write the same log.
    let twin = deployment.start("a");
    broker::until("the second instance warns", || twin.log().replace('"', "").contains(TOLD).then_some(()));
}

#[test]
fn at_warn_a_healthy_run_says_nothing_that_nobody_can_act_upon() {
    let deployment = Deployment::new(2, &format!("workers: 1\nlog: {{level: warn}}\n{QUICK}"));
    let instance = deployment.start("a");
    broker::produce(&deployment.touchpoints, &(0..20).map(touchpoint).collect::<Vec<_>>());
    broker::produce(&deployment.touchpoints, &rubbish());
    broker::until("everything is read", || (consumed(&instance) >= 26).then_some(()));
    let log = instance.stop();
    assert!(!log.contains(NEEDLE), "{log}");
    // The broker of these tests is alone, its topics are of its making, and the service is right to say so.
    let is_of_topics = |line: &&str| line.contains("it has one replica") || line.contains("max.message.bytes");
    let others: Vec<_> = log.lines().filter(|line| !is_of_topics(line)).collect();
    assert_eq!(others, Vec::<&str>::new(), "{log}");
}
