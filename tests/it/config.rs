//! The configuration: the file, the environment over it, and every problem with its place.

use std::path::Path;

use lifecycle_processor::config::{ClockSource, Config, KEYS, reference};

const SMALLEST: &str = "kafka: {bootstrap_servers: 'localhost:9092', instance_id: a}\n";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Config::parse(text, Path::new("lifecycle.yaml"), variables).map_err(|refused| refused.to_string())
}

fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    parse(text, variables).expect_err("the configuration is refused")
}

#[test]
fn the_bootstrap_servers_are_all_that_has_to_be_set() {
    let config = parse(SMALLEST, &[]).unwrap();
    assert_eq!(config.topics.replay, "lifecycle.transitions.replay");
    assert_eq!(config.clock.source, ClockSource::Wall);
    assert_eq!(config.touchpoint_bytes_max, 1 << 20);
    assert!(config.models.names.is_empty());
    assert!(
        problems("", &[])
            .contains("`kafka.bootstrap_servers` is missing: set it, or LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS")
    );
}

#[test]
fn the_environment_alone_is_enough_and_overrides_the_file() {
    let config = parse("", &[("LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"), ("UNRELATED", "x")]).unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "kafka:9092");
    let config =
        parse(SMALLEST, &[("LIFECYCLE_WORKERS", "3"), ("LIFECYCLE_MODELS", "retention, ./mine.yaml")]).unwrap();
    assert_eq!(config.workers, 3);
    assert_eq!(config.models.names, ["retention", "./mine.yaml"]);
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let text = format!("{SMALLEST}workers: none\nclock:\n  lateness: soon\n  latenes: 1m\n");
    let problems = problems(&text, &[("LIFECYCLE_CURRENCY", "euro"), ("LIFECYCLE_WORKER", "1")]);
    let expected = [
        "LIFECYCLE_CURRENCY: `currency`: write three capital letters, such as EUR",
        "lifecycle.yaml:4: `clock.lateness`: write a duration, such as 100ms, 30s, 15m, 24h or 7d",
        "lifecycle.yaml:2: `workers`: write a whole number from 1 to 256",
        "lifecycle.yaml:5:12: unknown key `clock.latenes`: did you mean `clock.lateness`?",
        "LIFECYCLE_WORKER: unknown environment variable: did you mean `LIFECYCLE_WORKERS`?",
    ];
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn text_that_is_no_yaml_is_refused_with_line_and_column() {
    let problems = problems("kafka:\n  bootstrap_servers: [a\nworkers: 1\n", &[]);
    assert!(problems.starts_with("lifecycle.yaml:"), "{problems}");
    let problems = problems_of_twice();
    assert!(problems.contains("lifecycle.yaml:2:1"), "{problems}");
}

fn problems_of_twice() -> String {
    problems("workers: 1\nworkers: 2\n", &[])
}

#[test]
fn settings_of_the_client_that_the_service_owns_are_refused_with_the_reason() {
    let text =
        "kafka:\n  bootstrap_servers: a\n  client:\n    isolation.level: read_uncommitted\n    client.rack: r1\n";
    let problems = problems(text, &[("LIFECYCLE_KAFKA_CLIENT_ENABLE_IDEMPOTENCE", "false")]);
    assert!(
        problems.contains(
            "lifecycle.yaml:4:22: `kafka.client.isolation.level`: isolation.level is set by the service: reading"
        ),
        "{problems}"
    );
    assert!(
        problems.contains("`kafka.client.enable.idempotence`: enable.idempotence is set by the service: transactions"),
        "{problems}"
    );
}

#[test]
fn secrets_come_from_files_or_the_environment_and_are_never_shown() {
    let problems = problems("kafka: {bootstrap_servers: a, client: {sasl.password: hunter2}}", &[]);
    assert!(problems.contains("a secret does not belong in this file"), "{problems}");
    assert!(problems.contains("LIFECYCLE_KAFKA_CLIENT_SASL_PASSWORD") && !problems.contains("hunter2"), "{problems}");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("password"), "hunter2\n").unwrap();
    let path = directory.path().join("lifecycle.yaml");
    let text = "kafka: {bootstrap_servers: a, client: {sasl.password: 'file:password', sasl.username: anna}}";
    let variables = [("LIFECYCLE_KAFKA_CLIENT_SSL_KEY_PEM".to_owned(), "hunter3".to_owned())];
    let config = Config::parse(text, &path, variables).unwrap();
    assert_eq!(config.kafka.client["sasl.password"].expose(), "hunter2");
    assert_eq!(config.kafka.client["ssl.key.pem"].expose(), "hunter3");
    for shown in [config.show(), format!("{config:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("anna"), "{shown}");
    }
}

#[test]
fn a_secret_file_that_is_missing_is_named() {
    let problems = problems("kafka: {bootstrap_servers: a, client: {sasl.password: 'file:/nowhere/at/all'}}", &[]);
    assert!(problems.contains("/nowhere/at/all cannot be read"), "{problems}");
}

#[test]
fn parameters_of_models_are_overrides() {
    let config = parse(&format!("{SMALLEST}parameters: {{retention: {{risk_after: days(60)}}}}\n"), &[]).unwrap();
    let parameter = &config.models.overrides[0];
    assert_eq!((&*parameter.model, &*parameter.parameter, &*parameter.value), ("retention", "risk_after", "days(60)"));
}

#[test]
fn one_topic_cannot_be_two_except_for_old_news() {
    let text = format!("{SMALLEST}topics: {{transitions: t, changelog: t}}\n");
    assert!(problems(&text, &[]).contains("`t` is topics.transitions already"));
    assert!(parse(&format!("{SMALLEST}topics: {{transitions: t, replay: t}}\n"), &[]).is_ok());
    assert!(problems(&format!("{SMALLEST}topics: {{touchpoints: a b}}\n"), &[]).contains("write a topic name"));
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let listen = "http: {listen: '0.0.0.0:8080'}\n";
    assert!(problems(&format!("{SMALLEST}{listen}"), &[]).contains("set http.token_file"));
    assert!(parse(&format!("{SMALLEST}{listen}"), &[("LIFECYCLE_HTTP_TOKEN_FILE", "/run/token")]).is_ok());
}

#[test]
fn what_holds_is_shown_with_who_set_it() {
    let shown = parse(&format!("{SMALLEST}workers: 2\n"), &[("LIFECYCLE_CURRENCY", "EUR")]).unwrap().show();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("workers: 2 ").ends_with("# line 2"), "{shown}");
    assert!(line("currency: EUR ").ends_with("# LIFECYCLE_CURRENCY"), "{shown}");
    assert!(line("clock.lateness: 1m ").ends_with("# default"), "{shown}");
}

#[test]
fn the_document_holds_the_table_of_all_keys() {
    let document = include_str!("../../docs/configuration.md");
    let table: Vec<_> = document.lines().filter(|line| line.starts_with('|')).collect();
    let expected = reference();
    assert_eq!(table, expected.lines().collect::<Vec<_>>(), "put the output of `lifecycle config reference` there");
    assert_eq!(table.len(), KEYS.len() + 2);
}
