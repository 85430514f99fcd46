//! Tests of the configuration: the file, overrides from the environment, and all problems with their locations.

use std::path::Path;

use lifecycle_processor::config::deliver::DeliverConfig;
use lifecycle_processor::config::{Config, KEYS, reference};
use lifecycle_processor::runtime::ClockSource;

const MINIMAL: &str = "kafka: {bootstrap_servers: 'localhost:9092', instance_id: a}\n";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Config::parse(text, Path::new("lifecycle.yaml"), variables).map_err(|error| error.to_string())
}

fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    parse(text, variables).expect_err("the configuration is invalid")
}

#[test]
fn only_the_bootstrap_servers_are_required() {
    let config = parse(MINIMAL, &[]).unwrap();
    assert_eq!(config.topics.replay, "lifecycle.transitions.replay");
    assert_eq!(config.clock.source, ClockSource::Wall);
    assert_eq!(config.touchpoints.bytes_max, 1 << 20);
    assert!(config.models.is_empty());
    assert!(
        problems("", &[])
            .contains("`kafka.bootstrap_servers` is missing: set it, or LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS")
    );
}

#[test]
fn deliveries_read_the_topic_of_the_service_by_default() {
    let text =
        "kafka: {bootstrap_servers: 'localhost:9092'}\ndestinations: {shop: {webhook: {url: 'https://a.example/'}}}\n";
    let deliveries = DeliverConfig::parse(text, Path::new("deliver.yaml")).unwrap();
    let service = parse(MINIMAL, &[]).unwrap();
    assert_eq!(deliveries.topics, [service.topics.transitions]);
    assert_ne!(deliveries.dead_letters, service.topics.dead_letters);
}

#[test]
fn the_service_delivers_with_its_own_connection_topic_and_address() {
    let section = "deliver:\n  destinations:\n    shop: {webhook: {url: 'https://a.example/'}}\n";
    let text = format!("{MINIMAL}{section}");
    let config = parse(&text, &[]).unwrap();
    let deliveries = config.deliveries().unwrap().unwrap();
    assert_eq!((deliveries.bootstrap_servers.as_str(), deliveries.listen), ("localhost:9092", config.http.listen));
    assert_eq!(
        (deliveries.topics.clone(), deliveries.group_of("shop")),
        (vec![config.topics.transitions.clone()], "lifecycle-deliver-shop".to_owned())
    );
    assert!(parse(MINIMAL, &[]).unwrap().deliveries().unwrap().is_none());
    let variable = "{destinations: {shop: {webhook: {url: 'https://a.example/'}}}}";
    let config = parse(MINIMAL, &[("LIFECYCLE_DELIVER", variable)]).unwrap();
    assert_eq!(config.deliveries().unwrap().unwrap().destinations.len(), 1);
}

#[test]
fn problems_of_deliveries_have_their_place_in_the_file_of_the_service() {
    let section =
        "deliver:\n  dead_leters: x\n  dead_letters: lifecycle.changelog\n  destinations: {shop: {webhook: {}}}\n";
    let found = problems(&format!("{MINIMAL}{section}"), &[]);
    let expected = [
        "lifecycle.yaml:4:17: `deliver.dead_letters`: `lifecycle.changelog` is already used by topics.changelog: give each \
         its own topic",
        "lifecycle.yaml:3:16: `deliver.dead_leters`: unknown key: did you mean `dead_letters`?",
    ];
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
    assert!(problems(&format!("{MINIMAL}deliver: {{topics: a}}\n"), &[]).contains("`deliver.destinations`: missing"));
    let route = "publish: {routes: [{topic: lost, model: retention}]}\n";
    let section = "deliver: {dead_letters: lost, destinations: {shop: {webhook: {url: 'https://a.example/'}}}}\n";
    assert!(problems(&format!("{MINIMAL}{route}{section}"), &[]).contains("a topic of publish.routes"));
    // Destinations and their secrets are read when they are needed: most commands do not.
    let section = "deliver:\n  destinations:\n    shop: {webhook: {url_file: missing}}\n";
    let config = parse(&format!("{MINIMAL}{section}"), &[]).unwrap();
    let found = config.deliveries().unwrap_err().to_string();
    assert!(found.starts_with("lifecycle.yaml:4:") && found.contains("missing cannot be read"), "{found}");
}

#[test]
fn the_environment_alone_is_enough_and_overrides_the_file() {
    let config = parse("", &[("LIFECYCLE_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"), ("UNRELATED", "x")]).unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "kafka:9092");
    let config = parse(MINIMAL, &[("LIFECYCLE_WORKERS", "3"), ("LIFECYCLE_MODELS", "retention, ./mine.yaml")]).unwrap();
    assert_eq!(config.workers, 3);
    assert_eq!(config.models, ["retention", "./mine.yaml"]);
}

#[test]
fn all_problems_are_reported_at_once_with_their_locations() {
    let text = format!("{MINIMAL}workers: none\nclock:\n  lateness: soon\n  latenes: 1m\n");
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
fn invalid_yaml_is_rejected_with_line_and_column() {
    let problems = problems("kafka:\n  bootstrap_servers: [a\nworkers: 1\n", &[]);
    assert!(problems.starts_with("lifecycle.yaml:"), "{problems}");
    let problems = problems_of_a_duplicate_key();
    assert!(problems.contains("lifecycle.yaml:2:1"), "{problems}");
}

fn problems_of_a_duplicate_key() -> String {
    problems("workers: 1\nworkers: 2\n", &[])
}

#[test]
fn client_settings_that_the_service_sets_are_rejected_with_the_reason() {
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
    assert!(problems.contains("a secret must not be written in this file"), "{problems}");
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
fn certificate_files_are_relative_to_the_configuration_file() {
    let text = "kafka: {bootstrap_servers: a, instance_id: a, client: {ssl.ca.location: certificates/ca.pem, \
                ssl.key.location: /etc/key.pem, ssl.keystore.location: store.p12}}";
    let config = Config::parse(text, Path::new("/etc/lifecycle/lifecycle.yaml"), []).unwrap();
    assert_eq!(config.kafka.client["ssl.ca.location"].expose(), "/etc/lifecycle/certificates/ca.pem");
    assert_eq!(config.kafka.client["ssl.key.location"].expose(), "/etc/key.pem");
    assert_eq!(config.kafka.client["ssl.keystore.location"].expose(), "/etc/lifecycle/store.p12");
    let probe = "kafka: {bootstrap_servers: a, instance_id: a, client: {ssl.ca.location: probe}}";
    let config = Config::parse(probe, Path::new("/etc/lifecycle/lifecycle.yaml"), []).unwrap();
    assert_eq!(config.kafka.client["ssl.ca.location"].expose(), "probe");
}

#[test]
fn parameters_of_models_are_overrides() {
    let config = parse(&format!("{MINIMAL}parameters: {{retention: {{risk_after: days(60)}}}}\n"), &[]).unwrap();
    let parameter = &config.parameters[0];
    assert_eq!((&*parameter.model, &*parameter.parameter, &*parameter.value), ("retention", "risk_after", "days(60)"));
}

#[test]
fn topics_must_differ_except_for_replayed_transitions() {
    let text = format!("{MINIMAL}topics: {{transitions: t, changelog: t}}\n");
    assert!(problems(&text, &[]).contains("`t` is already used by topics.transitions"));
    assert!(parse(&format!("{MINIMAL}topics: {{transitions: t, replay: t}}\n"), &[]).is_ok());
    assert!(problems(&format!("{MINIMAL}topics: {{touchpoints: a b}}\n"), &[]).contains("write a topic name"));
}

#[test]
fn attributes_are_checked_with_the_models_and_every_problem_is_underlined() {
    let attributes = |text: &str| {
        let config = parse(&format!("{MINIMAL}models: [retention]\npublish: {{attributes: {text}}}\n"), &[]).unwrap();
        config.model_choice().load(false).map(|models| models.attributes.len()).map_err(|error| error.to_string())
    };
    assert_eq!(
        attributes(
            r#"{scale: 'latest(feedback_given, "scale")', orders: orders.count, recent: 'count_within(order_completed, days(90))'}"#
        ),
        Ok(3)
    );
    let problems = attributes(
        r#"{scale: 'latest(feedback_given, "scael")', orders: order.count, country: '"DE"', a-b: orders.count}"#,
    );
    let problems = problems.unwrap_err();
    for expected in [
        "publish.attributes:1:31",
        "did you mean `scale`?",
        "publish.attributes:2:9",
        "attribute `country` reads no fact",
        "`a-b` cannot be the name of an attribute",
    ] {
        assert!(problems.contains(expected), "{expected} is missing in\n{problems}");
    }
    let many: Vec<String> = (0..33).map(|number| format!("a{number}: orders.count")).collect();
    assert_eq!(attributes(&format!("{{{}}}", many[..32].join(", "))), Ok(32));
    assert!(attributes(&format!("{{{}}}", many.join(", "))).unwrap_err().contains("more than 32 attributes"));
    for text in ["[orders]", "{orders: [a]}"] {
        let found = problems_of_attributes(text);
        assert!(found.contains("`publish.attributes`: write a mapping of names to expressions"), "{found}");
    }
}

fn problems_of_attributes(text: &str) -> String {
    problems(&format!("{MINIMAL}publish: {{attributes: {text}}}\n"), &[])
}

#[test]
fn the_wire_format_of_confluent_needs_a_registry() {
    let found = problems(&format!("{MINIMAL}publish: {{framing: confluent}}\n"), &[]);
    assert!(found.contains("`publish.framing`: set registry.url"), "{found}");
}

#[test]
fn a_source_may_have_a_registry_of_its_own() {
    let source = |registry: &str| {
        format!(
            "{MINIMAL}registry: {{url: 'http://shared:8081'}}\nsources:\n  - {{name: a, topics: [a], format: avro, framing: confluent}}\n  \
             - {{name: b, topics: [b], format: avro, framing: confluent, registry: {registry}}}\n"
        )
    };
    let config = parse(&source("{url: 'https://other:8081', username: me, password_file: secret}"), &[]).unwrap();
    let registry = config.sources[1].registry.as_ref().unwrap();
    assert_eq!(registry.url.as_deref(), Some("https://other:8081"));
    assert!(registry.password_file.as_ref().unwrap().ends_with("secret") && config.sources[0].registry.is_none());
    let error = config.translators().unwrap_err().to_string();
    assert!(error.starts_with("sources: `b`: secret cannot be read"), "{error}");
    let found = problems(&source("{usernam: me}"), &[]);
    assert!(found.contains("`sources[1].registry`: `url` is missing: set it"), "{found}");
    assert!(found.contains("unknown key `usernam`: did you mean `username`?"), "{found}");
    let found = problems(&source("https://other:8081"), &[]);
    assert!(found.contains("write a mapping, such as {url: \"https://registry:8081\"}"), "{found}");
}

#[test]
fn an_address_other_than_loopback_requires_a_token() {
    let listen = "http: {listen: '0.0.0.0:8080'}\n";
    assert!(problems(&format!("{MINIMAL}{listen}"), &[]).contains("set http.token_file"));
    assert!(parse(&format!("{MINIMAL}{listen}"), &[("LIFECYCLE_HTTP_TOKEN_FILE", "/run/token")]).is_ok());
}

#[test]
fn effective_values_are_shown_with_their_origin() {
    let shown = parse(&format!("{MINIMAL}workers: 2\n"), &[("LIFECYCLE_CURRENCY", "EUR")]).unwrap().show();
    let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
    assert!(line("workers: 2 ").ends_with("# line 2"), "{shown}");
    assert!(line("currency: EUR ").ends_with("# LIFECYCLE_CURRENCY"), "{shown}");
    assert!(line("clock.lateness: 1m ").ends_with("# default"), "{shown}");
}

#[test]
fn the_document_contains_the_table_of_all_keys() {
    let document = include_str!("../../docs/configuration.md");
    let table: Vec<_> = document.lines().filter(|line| line.starts_with('|')).collect();
    let expected = reference();
    assert_eq!(
        table,
        expected.lines().collect::<Vec<_>>(),
        "replace the table with the output of `lifecycle config reference`"
    );
    assert_eq!(table.len(), KEYS.len() + 2);
}

#[test]
fn every_key_can_be_set_from_the_environment() {
    let sample = |path: &str| match path {
        "kafka.bootstrap_servers" => "kafka:9092",
        "kafka.static_membership" | "publish.subject" | "identity.enabled" => "true",
        "kafka.session_timeout" | "kafka.transaction_timeout" => "45s",
        "kafka.client" => "",
        "models" => "retention",
        "sources" => "[{name: web, topics: [web.events]}]",
        "deliver" => "{destinations: {shop: {webhook: {url: 'https://shop.example/'}}}}",
        "registry.url" => "https://registry:8081",
        "parameters" => "{retention: {risk_after: days(60)}}",
        "currency" => "EUR",
        "publish.format" => "protobuf",
        "publish.framing" => "confluent",
        "publish.because" => "condition",
        "publish.cloudevents" => "minimal",
        "publish.routes" => "[{topic: risk, kind: stage}]",
        "publish.attributes" => "{orders: orders.count}",
        "clock.source" => "touchpoints",
        "commit.interval" => "250ms",
        "identity.link_on" => "any",
        "identity.blocked" => "[kiosk]",
        "state.forget_after" | "identity.stub_lifetime" => "400d",
        "workers" => "3",
        "http.listen" | "http.advertise" => "127.0.0.1:9090",
        "http.probes_listen" => "127.0.0.1:9091",
        "log.format" => "json",
        "log.level" => "warn",
        "tracing.endpoint" => "http://127.0.0.1:4318",
        "tracing.sample_one_in" => "10",
        other if key_syntax(other) == "duration" => "2m",
        other if key_syntax(other) == "size" => "32MiB",
        _ => "a-name",
    };
    let mut variables: Vec<_> = KEYS
        .iter()
        .filter(|key| key.path != "kafka.client")
        .map(|key| (key.variable(), sample(key.path).to_owned()))
        .collect();
    for (variable, value) in &mut variables {
        // All topics must differ.
        if variable.starts_with("LIFECYCLE_TOPICS_") {
            value.push_str(&variable.to_lowercase());
        }
    }
    variables.push(("LIFECYCLE_KAFKA_CLIENT_CLIENT_RACK".to_owned(), "r1".to_owned()));
    let config = Config::parse("", Path::new("lifecycle.yaml"), variables.clone()).unwrap();
    let shown = config.show();
    for (variable, _) in variables.iter().filter(|(variable, _)| !variable.contains("PARAMETERS")) {
        assert!(shown.contains(variable) || variable.contains("CLIENT"), "{variable} is missing in\n{shown}");
    }
    assert_eq!(config.kafka.client["client.rack"].expose(), "r1");
    assert_eq!(&*config.parameters[0].value, "days(60)");
    assert_eq!((config.workers, config.state.max_bytes), (3, 32 << 20));
}

fn key_syntax(path: &str) -> &'static str {
    KEYS.iter().find(|key| key.path == path).map_or("", |key| key.syntax)
}

#[test]
fn parameters_that_are_not_a_mapping_are_rejected_with_their_location() {
    let expected = "`parameters`: write a mapping of mappings, such as {retention: {risk_after: days(60)}}";
    for (text, variables) in [
        ("parameters: 5\n", vec![]),
        ("parameters: {retention: 5}\n", vec![]),
        ("", vec![("LIFECYCLE_PARAMETERS", "retention=5")]),
    ] {
        let problems = problems(&format!("{MINIMAL}{text}"), &variables);
        assert!(problems.contains(expected), "{problems}");
        assert!(
            problems.starts_with(if text.is_empty() { "LIFECYCLE_PARAMETERS" } else { "lifecycle.yaml:2:" }),
            "{problems}"
        );
    }
}

#[test]
fn a_value_in_place_of_a_mapping_is_rejected() {
    let problems = problems("kafka: 5\nclock: [wall]\nworkerz: 4\n", &[]);
    let expected = [
        "lifecycle.yaml:1:8: `kafka`: write a mapping of keys, such as `bootstrap_servers`",
        "lifecycle.yaml:2:8: `clock`: write a mapping of keys, such as `source`",
        "lifecycle.yaml:3:10: unknown key `workerz`: did you mean `workers`?",
    ];
    assert_eq!(problems.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn invalid_values_are_rejected_with_what_is_expected() {
    for (text, expected) in [
        ("state: {max_bytes: 5}", "`state.max_bytes`: write a size from 1MiB to 16TiB"),
        ("state: {max_bytes: lots}", "`state.max_bytes`: write a size, such as 512KiB"),
        ("touchpoints: {bytes_max: 10}", "`touchpoints.bytes_max`: write a size from 1KiB to 64MiB"),
        ("workers: 0", "`workers`: write a whole number from 1 to 256"),
        ("commit: {interval: 0s}", "`commit.interval`: write a duration from 5ms to 5s"),
        ("clock: {lateness: 900d}", "`clock.lateness`: write a duration from 0s to 30d"),
        ("clock: {max_ahead: -1s}", "`clock.max_ahead`: write a duration"),
        ("publish: {fresh_for: 0s}", "`publish.fresh_for`: write a duration from 1s"),
        ("shutdown: {deadline: 0s}", "`shutdown.deadline`: write a duration from 1s to 1h"),
        ("http: {listen: 8080}", "`http.listen`: write an address and a port"),
        ("http: {listen: 'localhost:8080'}", "`http.listen`: write an address and a port"),
        ("http: {listen: '127.0.0.1:99999'}", "`http.listen`: write an address and a port"),
        ("log: {format: xml}", "`log.format`: write text or json"),
    ] {
        let problems = problems(&format!("{MINIMAL}{text}\n"), &[]);
        assert!(problems.contains(expected), "{text}: {problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
    for servers in ["kafka:port", "kafka:9092,,", "a b:9092", "kafka:0", ":9092"] {
        let problems = problems(&format!("kafka: {{bootstrap_servers: '{servers}', instance_id: a}}"), &[]);
        assert!(problems.contains("write hosts and ports separated by commas"), "{servers}: {problems}");
    }
    for servers in ["kafka", "kafka:9092, other:9093", "[::1]:9092", "[::1]", "SASL_SSL://kafka:9093"] {
        assert!(parse(&format!("kafka: {{bootstrap_servers: '{servers}', instance_id: a}}"), &[]).is_ok(), "{servers}");
    }
}

#[test]
fn text_that_looks_like_a_number_or_a_boolean_stays_text() {
    let text = "\
kafka:
  bootstrap_servers: a
  group_id: 12e3
  instance_id: 007
  client: {sasl.username: 000123, client.rack: 01, 0x1F: no}
topics: {touchpoints: 2024.10, transitions: 1_000, changelog: 123456789012345678901234567890, dead_letters: .5}
parameters: {1.10: {010: 1.50}, yes: {no: +3}}
models: [1.10, yes]
publish: {source: 1.0}
";
    let config = parse(text, &[]).unwrap();
    assert_eq!((&*config.kafka.group_id, &*config.kafka.instance_id), ("12e3", "007"));
    let client: Vec<_> = config.kafka.client.iter().map(|(name, value)| (&**name, value.expose())).collect();
    assert_eq!(client, [("0x1F", "no"), ("client.rack", "01"), ("sasl.username", "000123")]);
    let topics = config.topics;
    assert_eq!((&*topics.touchpoints, &*topics.transitions), ("2024.10", "1_000"));
    assert_eq!((&*topics.changelog, &*topics.dead_letters), ("123456789012345678901234567890", ".5"));
    let overrides: Vec<_> = config.parameters.iter().map(|it| (&*it.model, &*it.parameter, &*it.value)).collect();
    assert_eq!(overrides, [("1.10", "010", "1.50"), ("yes", "no", "+3")]);
    assert_eq!(config.models, ["1.10", "yes"]);
    assert_eq!(config.publish.source, "1.0");
    // Every other form that some YAML parser converts: numbers with a base, in groups or in base 60, dates, booleans.
    for text in [
        "1_000",
        "0x1F",
        "0o17",
        "0b101",
        "017",
        "1e3",
        "1E+3",
        "+7",
        "-0",
        "1.",
        "190:20:30",
        "1:30",
        "2024-01-31",
        "2024-01-31T09:00:00Z",
        "on",
        "off",
        "Off",
        "y",
        "n",
        "Y",
        "No",
        "TRUE",
        "False",
        "nan",
        ".inf",
        "-.INF",
        "!!str 007",
        "!!str no",
        "=",
        "<<",
    ] {
        let expected = text.trim_start_matches("!!str ");
        let file = format!(
            "kafka: {{bootstrap_servers: a, instance_id: a, client: {{client.rack: {text}}}}}\nparameters: {{a: {{b: {text}}}}}\n\
             models: [{text}]\nlog: {{level: {text}}}\n"
        );
        let config = parse(&file, &[]).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        assert_eq!(config.kafka.client["client.rack"].expose(), expected);
        assert_eq!(
            (&*config.parameters[0].value, &*config.models[0], &*config.log.level),
            (expected, expected, expected)
        );
    }
    // A key without a value counts as not set, and a list with such an item is rejected.
    for text in ["~", "null", "Null", ""] {
        let config = parse(&format!("kafka: {{bootstrap_servers: a, instance_id: a, group_id: {text}}}"), &[]).unwrap();
        assert_eq!(config.kafka.group_id, "lifecycle", "{text}");
    }
    assert!(problems(&format!("{MINIMAL}models: [retention, ~]\n"), &[]).contains("write a list of names"));
    // The value of an anchor is the text at its definition.
    let config = parse("kafka: {bootstrap_servers: é, group_id: &a 0010, instance_id: *a}", &[]).unwrap();
    assert_eq!((&*config.kafka.group_id, &*config.kafka.instance_id), ("0010", "0010"));
}

#[test]
fn a_syntax_error_is_the_only_problem_reported() {
    for text in
        ["kafka:\n  bootstrap_servers: [a\nworkers: 1\n", "kafka: {bootstrap_servers: a\n", "workers: 1\nworkers: 2\n"]
    {
        let problems = problems(text, &[]);
        assert_eq!(problems.lines().count(), 1, "{problems}");
        assert!(!problems.contains("is missing"), "{problems}");
    }
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_not_configuration() {
    let service = [
        ("LIFECYCLE_SERVICE_HOST", "10.96.3.7"),
        ("LIFECYCLE_SERVICE_PORT", "8080"),
        ("LIFECYCLE_SERVICE_PORT_HTTP", "8080"),
        ("LIFECYCLE_PORT", "tcp://10.96.3.7:8080"),
        ("LIFECYCLE_PORT_8080_TCP", "tcp://10.96.3.7:8080"),
        ("LIFECYCLE_PORT_8080_TCP_PROTO", "tcp"),
        ("LIFECYCLE_PORT_8080_TCP_PORT", "8080"),
        ("LIFECYCLE_PORT_8080_TCP_ADDR", "10.96.3.7"),
        ("LIFECYCLE_HEADLESS_HTTP_SERVICE_HOST", "fd00::7"),
        ("LIFECYCLE_HEADLESS_HTTP_PORT_53_UDP", "udp://[fd00::7]:53"),
        ("LIFECYCLE_KAFKA_CLIENT_SERVICE_HOST", "10.96.3.8"),
        ("LIFECYCLE_KAFKA_CLIENT_PORT", "tcp://10.96.3.8:9092"),
        ("LIFECYCLE_WORKERS_SERVICE_PORT_METRICS_V2", "9090"),
        ("LIFECYCLE_HTTP_PORT_8080_TCP", "tcp://[fd00::9]:8080"),
        ("LIFECYCLE_TOPICS_PORT_132_SCTP_ADDR", "fd00::9"),
        ("LIFECYCLE_LOG_LEVEL_SERVICE_PORT_HTTPS", "443"),
    ];
    let config = parse(MINIMAL, &service).unwrap();
    assert!(config.kafka.client.is_empty(), "{:?}", config.kafka.client);
    for (name, value) in [("LIFECYCLE_PORT", "8080"), ("LIFECYCLE_WORKERS_PORT_X_TCP", "1"), ("LIFECYCLE_SERVICE", "a")]
    {
        assert!(problems(MINIMAL, &[(name, value)]).contains("unknown environment variable"), "{name}");
    }
}

#[test]
fn the_names_of_other_programs_for_a_key_are_answered_with_ours() {
    for (text, expected) in [
        ("brokers: kafka", "unknown key `brokers`: did you mean `kafka.bootstrap_servers`?"),
        ("kafka.brokers: kafka", "`kafka.brokers`: did you mean `kafka.bootstrap_servers`?"),
        ("bootstrap.servers: kafka", "`bootstrap.servers`: did you mean `kafka.bootstrap_servers`?"),
        ("group_id: a", "`group_id`: did you mean `kafka.group_id`?"),
        ("lateness: 5m", "`lateness`: did you mean `clock.lateness`?"),
        ("security.protocol: ssl", "`security.protocol`: settings of the Kafka client go under `kafka.client`"),
        ("kafka.sasl.username: a", "`kafka.sasl.username`: settings of the Kafka client go under `kafka.client`"),
        ("ssl: {ca.location: a}", "`ssl.ca.location`: settings of the Kafka client go under `kafka.client`"),
    ] {
        let problems = problems(&format!("{MINIMAL}{text}\n"), &[]);
        assert!(problems.contains(expected), "{text}: {problems}");
    }
}

#[test]
fn numbers_that_are_too_large_for_a_double_stay_text() {
    let text = "kafka: {bootstrap_servers: 'localhost:9092', instance_id: 12e9999, group_id: .inf}\n\
                topics: {touchpoints: 1e400, transitions: -1e400, changelog: .NaN}\n";
    let config = parse(text, &[]).unwrap();
    assert_eq!((&*config.kafka.instance_id, &*config.kafka.group_id), ("12e9999", ".inf"));
    let topics = config.topics;
    assert_eq!((&*topics.touchpoints, &*topics.transitions, &*topics.changelog), ("1e400", "-1e400", ".NaN"));
    assert!(problems(&format!("{MINIMAL}workers: 1e400\n"), &[]).contains("write a whole number"));
}

#[test]
fn an_empty_secret_file_and_the_address_of_a_web_server_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("password"), "\n").unwrap();
    let text = "kafka: {bootstrap_servers: a, instance_id: a, client: {sasl.password: 'file:password'}}";
    let error = Config::parse(text, &directory.path().join("lifecycle.yaml"), []).unwrap_err().to_string();
    assert!(error.contains("password is empty: write the value into it"), "{error}");
    for servers in ["http://kafka:9092", "https://kafka", "kafka:9092,tcp://other:9092"] {
        let text = format!("kafka: {{bootstrap_servers: '{servers}', instance_id: a}}");
        assert!(problems(&text, &[]).contains("write hosts and ports"), "{servers}");
    }
    for servers in ["SASL_SSL://kafka:9092", "ssl://[::1]:9092", "kafka, other:9093"] {
        assert!(parse(&format!("kafka: {{bootstrap_servers: '{servers}', instance_id: a}}"), &[]).is_ok(), "{servers}");
    }
}

#[test]
fn a_source_reads_nothing_that_the_service_publishes() {
    let sources = "sources: [{name: web, topics: [web, risk, lifecycle.transitions]}]\n";
    let found = problems(&format!("{MINIMAL}{sources}publish: {{routes: [{{topic: risk, kind: stage}}]}}\n"), &[]);
    assert!(found.contains("reads `lifecycle.transitions`, which is topics.transitions"), "{found}");
    let sources = "sources: [{name: web, topics: [web, risk]}]\n";
    let found = problems(&format!("{MINIMAL}{sources}publish: {{routes: [{{topic: risk, kind: stage}}]}}\n"), &[]);
    assert_eq!(found, "lifecycle.yaml: `sources`: `web` reads `risk`, a topic of publish.routes: remove it");
}

#[test]
fn settings_of_a_source_are_texts_for_its_mapping() {
    let source = |mapping: &str, settings: &str| {
        format!("{MINIMAL}sources: [{{name: web, topics: [web], mapping: {mapping}, settings: {settings}}}]\n")
    };
    for text in ["\"2024.10\"", "2024.10", "007", "no", "1e3"] {
        let config = parse(&source("cloudevents", &format!("{{type_prefix: {text}}}")), &[]).unwrap();
        assert_eq!(config.sources[0].settings["type_prefix"], text.trim_matches('"'));
        assert!(config.translators().is_ok(), "{text}");
    }
    let config = parse(&source("segment", "{anonymous_customers: 'true'}"), &[]).unwrap();
    assert!(config.translators().is_ok());
    let config = parse(&source("segment", "{anonymous_customers: yes}"), &[]).unwrap();
    let found = config.translators().unwrap_err().to_string();
    assert!(found.contains("the setting `anonymous_customers`: write true or false"), "{found}");
}

#[test]
fn empty_lists_and_settings_without_effect_are_rejected() {
    for (text, variables, expected) in [
        ("", &[("LIFECYCLE_MODELS", "")][..], "LIFECYCLE_MODELS: `models`: write names and files"),
        ("", &[("LIFECYCLE_MODELS", " , ")], "LIFECYCLE_MODELS: `models`: write names and files"),
        ("sources: [{name: web, topics: []}]\n", &[], "lifecycle.yaml:2:11: `sources[0].topics`: write at least one"),
        (
            "sources: [{name: web, topics: [web], settings: {currency: EUR}}]\n",
            &[],
            "lifecycle.yaml:2:11: `sources[0].settings`: these are settings of a mapping: set `mapping` as well",
        ),
        (
            "",
            &[("LIFECYCLE_SOURCES", "[{name: web, topic: web}]")],
            "LIFECYCLE_SOURCES:1:2: `sources[0]`: `topics` is missing: set it",
        ),
        (
            "",
            &[("LIFECYCLE_PUBLISH_ROUTES", "[{topic: churn}]")],
            "LIFECYCLE_PUBLISH_ROUTES:1:2: `publish.routes`: write at least one of",
        ),
        (
            "http: {listen: '127.0.0.1:8080', probes_listen: '127.0.0.1:8080'}\n",
            &[],
            "lifecycle.yaml:2: `http.probes_listen`: `127.0.0.1:8080` is already http.listen: write another port",
        ),
    ] {
        let found = problems(&format!("{MINIMAL}{text}"), variables);
        assert!(found.starts_with(expected), "{expected}\n{found}");
    }
    assert!(parse(&format!("{MINIMAL}http: {{listen: '127.0.0.1:0', probes_listen: '127.0.0.1:0'}}\n"), &[]).is_ok());
    let found = problems("kafka: localhost:9092\n", &[]);
    assert_eq!(found, "lifecycle.yaml:1:8: `kafka`: write a mapping of keys, such as `bootstrap_servers`");
}

#[test]
fn an_invalid_schema_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("order.avsc"), "{").unwrap();
    let text = format!("{MINIMAL}sources: [{{name: web, topics: [web], format: avro, schema: order.avsc}}]\n");
    let config = Config::parse(&text, &folder.path().join("lifecycle.yaml"), []).unwrap();
    let found = config.translators().unwrap_err().to_string();
    assert!(found.contains("order.avsc: not a valid Avro schema"), "{found}");
}
