//! The commands for models and touchpoints with the configuration of the service, and over a Kafka topic.
#![expect(clippy::unwrap_used, reason = "a failed setup fails the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::broker::{self, NewRecord, bootstrap, produce, produce_aborted, produce_committed};
use super::cli::lifecycle;

const TOUCHPOINTS: &str = r#"{"event_id":"e1","customer_id":"anna","type":"order_completed","occurred_at":"2026-01-01T08:00:00Z","order_id":"o1","amount":10,"currency":"EUR"}
{"event_id":"e2","customer_id":"ben","type":"order_completed","occurred_at":"2026-01-02T08:00:00Z","order_id":"o2","amount":20,"currency":"USD"}
{"event_id":"e3","customer_id":"ben","type":"page_viewed","occurred_at":"2026-02-20T08:00:00Z"}
"#;

/// Writes touchpoints and a configuration for EUR in which customers are at risk after 30 days.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("touchpoints.ndjson"), TOUCHPOINTS).unwrap();
    let text = "kafka: {bootstrap_servers: a, instance_id: a}\nmodels: [retention]\ncurrency: EUR\n\
                parameters: {retention: {risk_after: days(30)}}\n";
    fs::write(directory.path().join("lifecycle.yaml"), text).unwrap();
    directory
}

fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let run = lifecycle(directory, arguments, b"");
    (run.code, run.output, run.errors)
}

fn names(output: &str) -> Vec<(String, String)> {
    let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |line: &Value, field: &str| line[field].as_str().unwrap().to_owned();
    lines.map(|line| (text(&line, "model"), text(&line, "name"))).collect()
}

#[test]
fn models_parameters_and_currency_come_from_the_configuration() {
    let directory = directory();
    let path = directory.path();
    let (code, output, errors) =
        run(path, &["replay", "--summary", "--config", "lifecycle.yaml", "touchpoints.ndjson"]);
    assert_eq!(code, 0, "{errors}");
    let expected = ["became_active", "became_active", "at_risk_of_churn", "at_risk_of_churn"];
    assert_eq!(names(&output), expected.map(|name| ("retention".to_owned(), name.to_owned())));
    assert!(output.contains(r#""revenue":"10","currency":"EUR""#), "{output}");
    assert!(
        errors.contains("amounts that do not count as revenue, which is in EUR: 1 in USD; --currency sets it"),
        "{errors}"
    );
    // Options of the command line take precedence.
    let arguments = ["--config", "lifecycle.yaml", "--set", "retention.risk_after=days(90)", "--currency", "USD"];
    let (_, output, errors) = run(path, &[&["replay", "--summary"], &arguments[..], &["touchpoints.ndjson"]].concat());
    assert_eq!(names(&output).len(), 2, "{output}");
    assert!(errors.contains("which is in USD: 1 in EUR"), "{errors}");
    // A model named on the command line gets its parameters from the configuration; those of others do not matter.
    let both =
        fs::read_to_string(path.join("lifecycle.yaml")).unwrap().replace("[retention]", "[retention, ./own.yaml]");
    let own =
        include_str!("../../examples/regulars.yaml").replace("facts:", "parameters: {lapsed_after: days(60)}\nfacts:");
    fs::write(path.join("own.yaml"), own.replace("orders.last + days(60)", "orders.last + lapsed_after")).unwrap();
    let both = both.replace("days(30)}", "days(30)}, regulars: {lapsed_after: days(9)}");
    fs::write(path.join("both.yaml"), both).unwrap();
    let (code, output, errors) =
        run(path, &["replay", "--config", "both.yaml", "--model", "retention", "touchpoints.ndjson"]);
    assert_eq!((code, names(&output).len()), (0, 4), "{errors}");
    let named = ["replay", "--config", "lifecycle.yaml", "--model", "retention", "touchpoints.ndjson"];
    assert_eq!(names(&run(path, &named).1).len(), 4);
    let (code, output, errors) =
        run(path, &["explain", "--customer", "anna", "--config", "lifecycle.yaml", "touchpoints.ndjson"]);
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("2026-01-31 08:00  time passed\n      retention: at_risk_of_churn"), "{output}");
    assert!(output.contains("revenue 10 EUR"), "{output}");
    let compare = ["replay", "--compare", "retention", "retention", "--config", "lifecycle.yaml", "touchpoints.ndjson"];
    let (code, output, errors) = run(path, &compare);
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("at_risk"), "{output}");
    let (code, output, errors) = run(path, &["graph", "--config", "lifecycle.yaml"]);
    assert_eq!(code, 0, "{errors}");
    assert!(output.contains("30 d") && output.matches("flowchart").count() == 1, "{output}");
    let (code, output, errors) = run(path, &["check", "--config", "lifecycle.yaml"]);
    assert_eq!((code, output.as_str()), (0, "1 model without problems\n"), "{errors}");
    // The scenarios of the model expect its own parameters.
    let risk = |output: &str| output.matches("FAILED").count();
    let (code, output, errors) = run(path, &["test", "--config", "lifecycle.yaml", "retention"]);
    assert!(code == 1 && risk(&output) > 1, "{errors}{output}");
    let (code, output_of_all, errors) = run(path, &["test", "--config", "lifecycle.yaml"]);
    assert_eq!((code, &output_of_all), (1, &output), "the models of the configuration: {errors}");
    let own = ["test", "--config", "lifecycle.yaml", "--set", "retention.risk_after=days(90)", "retention"];
    let (_, output_of_own, errors) = run(path, &own);
    assert!(risk(&output_of_own) < risk(&output), "{errors}{output_of_own}");
}

#[test]
fn an_invalid_configuration_or_override_ends_every_command_with_2() {
    let directory = directory();
    let path = directory.path();
    fs::write(path.join("bad.yaml"), "workerz: 3\n").unwrap();
    for command in [
        &["replay", "touchpoints.ndjson"][..],
        &["explain", "--customer", "anna", "touchpoints.ndjson"],
        &["check", "retention"],
        &["graph", "retention"],
        &["test", "retention"],
        &["config", "check"],
        &["config", "show"],
        &["doctor"],
        &["run"],
        &["topics", "--verify"],
    ] {
        let (code, output, errors) = run(path, &[command, &["--config", "bad.yaml"]].concat());
        assert_eq!((code, output.as_str()), (2, ""), "{command:?}: {errors}");
        assert!(errors.contains("unknown key `workerz`: did you mean `workers`?"), "{command:?}: {errors}");
    }
    for command in [&["replay", "touchpoints.ndjson"][..], &["graph", "retention"], &["test", "retention"]] {
        let (code, _, errors) = run(path, &[command, &["--set", "retention.risk=days(3)"]].concat());
        assert!(code == 2 && errors.contains("has no parameter `risk`"), "{command:?}: {errors}");
    }
}

#[test]
fn every_model_that_cannot_be_read_is_named() {
    let directory = directory();
    let path = directory.path();
    fs::write(path.join("broken.yaml"), "model: broken\n").unwrap();
    let bad = ["--model", "retentoin", "--model", "./missing.yaml", "--model", "./broken.yaml"];
    let (code, _, errors) = run(path, &[&["replay"], &bad[..], &["touchpoints.ndjson"]].concat());
    assert_eq!(code, 2, "{errors}");
    for expected in ["did you mean `retention`?", "./missing.yaml: cannot be read", "broken.yaml:1:8"] {
        assert!(errors.contains(expected), "{expected} is missing in {errors}");
    }
    let text = "kafka: {bootstrap_servers: a, instance_id: a}\nmodels: [retentoin, ./missing.yaml, ./broken.yaml]\n";
    fs::write(path.join("lifecycle.yaml"), text).unwrap();
    let (code, _, errors) = run(path, &["config", "check", "--config", "lifecycle.yaml"]);
    assert!(code == 2 && errors.contains("missing.yaml: cannot be read") && errors.contains("`retention`"), "{errors}");
    let (code, _, errors) = run(path, &["check", "retentoin", "missing.yaml"]);
    assert!(code == 2 && errors.contains("`retentoin`") && errors.contains("`missing.yaml`"), "{errors}");
}

#[test]
fn a_topic_is_read_like_a_file_without_a_group_and_up_to_its_end() {
    let directory = directory();
    let path = directory.path();
    let topic = broker::topic("first-day", 3);
    let group = broker::unique("first-day-group");
    let text = format!(
        "kafka: {{bootstrap_servers: '{}', group_id: {group}, instance_id: a}}\nmodels: [retention]\ncurrency: EUR\n\
         topics: {{touchpoints: {topic}}}\n",
        bootstrap()
    );
    fs::write(path.join("topic.yaml"), text).unwrap();
    let records: Vec<NewRecord> = TOUCHPOINTS
        .lines()
        .map(|line| {
            let customer = serde_json::from_str::<Value>(line).unwrap()["customer_id"].as_str().unwrap().to_owned();
            NewRecord::keyed(&customer, line)
        })
        .collect();
    produce_committed(&topic, &records[..2]);
    let aborted = TOUCHPOINTS.lines().next().unwrap().replace("anna", "aborted").replace("e1", "e9");
    produce_aborted(&topic, &[NewRecord::keyed("aborted", &aborted)]);
    produce(&topic, &records[2..]);
    // The partition of a customer with wrong records; the last records of each partition are markers of transactions.
    produce(&topic, &[NewRecord::keyed("anna", "no touchpoint")]);
    produce_aborted(&topic, &(0..3).map(|partition| NewRecord::to(partition, &aborted)).collect::<Vec<_>>());

    let ids = |output: &str| -> BTreeSet<String> {
        let lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["transition_id"].as_str().unwrap().to_owned()).collect()
    };
    let (code, from_topic, errors) = run(path, &["replay", "--summary", "--config", "topic.yaml"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(&format!("{topic}/")) && errors.contains("not_json"), "{errors}");
    assert!(errors.contains("3 touchpoints: 3 applied") && errors.contains(" 1 invalid line\n"), "{errors}");
    let (_, from_file, _) = run(path, &["replay", "--config", "topic.yaml", "touchpoints.ndjson"]);
    assert_eq!(ids(&from_topic), ids(&from_file));
    assert_eq!(ids(&from_topic).len(), 2, "{from_topic}");

    // Without a configuration, with the same result.
    let arguments =
        ["--bootstrap-servers", bootstrap(), "--topic", &topic, "--model", "retention", "--currency", "EUR"];
    let dead_letters = ["--dead-letters", "bad.ndjson"];
    let (code, output, errors) = run(path, &[&["replay"], &arguments[..], &dead_letters].concat());
    assert_eq!((code, ids(&output)), (0, ids(&from_file)), "{errors}");
    let letter: Value = serde_json::from_str(&fs::read_to_string(path.join("bad.ndjson")).unwrap()).unwrap();
    assert_eq!((&letter["topic"], &letter["original"]), (&topic.as_str().into(), &"no touchpoint".into()));
    assert!(letter["offset"].is_u64() && letter["partition"].is_u64(), "{letter}");

    let explain = ["explain", "--customer", "ben", "--config", "topic.yaml"];
    let (code, output, errors) = run(path, &explain);
    assert!(output.contains("Timeline of ben") && output.contains("page_viewed"), "{code} {output}{errors}");
    let (code, _, errors) = run(path, &["explain", "--customer", "aborted", "--config", "topic.yaml"]);
    assert!(code == 1 && errors.contains("no touchpoint of the customer aborted found"), "{errors}");
    let (code, _, errors) = run(path, &["replay", "--config", "topic.yaml", "--topic", "no-such-topic"]);
    assert!(code == 3 && errors.contains("no-such-topic does not exist"), "{errors}");
    let (code, output, errors) =
        run(path, &["replay", "--compare", "retention", "retention", "--config", "topic.yaml"]);
    assert!(code == 1 && output.contains("3 touchpoints of 2 customers"), "{output}{errors}");

    let groups = broker::config().set("group.id", &group).create::<rdkafka::consumer::BaseConsumer>().unwrap();
    let found = rdkafka::consumer::Consumer::fetch_group_list(&groups, Some(&group), broker::TIMEOUT).unwrap();
    assert!(found.groups().iter().all(|it| it.members().is_empty() && it.state() != "Stable"), "the group has members");
}

#[test]
fn files_and_a_topic_exclude_each_other() {
    let directory = directory();
    for arguments in [
        &["replay"][..],
        &["replay", "--topic", "t", "touchpoints.ndjson"],
        &["replay", "--topic", "t"],
        &["replay", "--bootstrap-servers", "a", "--config", "lifecycle.yaml"],
    ] {
        let (code, _, errors) = run(directory.path(), arguments);
        assert_eq!(code, 2, "{arguments:?}: {errors}");
    }
}
