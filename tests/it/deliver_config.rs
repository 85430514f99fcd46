//! Tests how the configuration of deliveries is read: text stays text, and mistakes are found before a delivery.

use std::path::Path;

use lifecycle_processor::config::deliver::DeliverConfig;
use lifecycle_processor::deliver::Destination;
use serde_json::{Value, json};

/// Parses a file with these destinations, indented by two.
fn parse(directory: &Path, destinations: &str) -> Result<DeliverConfig, String> {
    let text = format!("kafka: {{bootstrap_servers: 'localhost:9092'}}\ndestinations:\n{destinations}");
    DeliverConfig::parse(&text, &directory.join("deliver.yaml")).map_err(|error| error.to_string())
}

fn problems(destinations: &str) -> String {
    parse(Path::new(""), destinations).expect_err(destinations)
}

fn only(config: &DeliverConfig) -> &Destination {
    &config.destinations[0].destination
}

#[test]
fn text_of_deliveries_stays_text() {
    let text = "kafka: {bootstrap_servers: a, group_prefix: 1e3, client: {sasl.username: 000123}}\n\
                topics: [2024.10, 1_000]\ndead_letters: 0x1F\nlog: {level: off}\n\
                destinations:\n  shop:\n    webhook:\n      url: https://a.example/\n      headers: {X-Id: 007, X-Answer: no, X-Version: 1.10}\n\
                \x20     body: {limit: 5, is_test: true, id: '007'}\n";
    let config = DeliverConfig::parse(text, Path::new("deliver.yaml")).unwrap();
    assert_eq!((&*config.group_prefix, config.client["sasl.username"].expose()), ("1e3", "000123"));
    assert_eq!((&config.topics[..], &*config.dead_letters), (&["2024.10".to_owned(), "1_000".to_owned()][..], "0x1F"));
    assert_eq!(config.log.level, "off");
    let plan = &only(&config).requests[0];
    let roots = [&Value::Null, &Value::Null];
    let headers: Vec<_> = plan.headers.iter().map(|(name, value)| (&**name, value.render(&roots).unwrap())).collect();
    assert_eq!(headers, [("x-answer", json!("no")), ("x-id", json!("007")), ("x-version", json!("1.10"))]);
    // A body is JSON, so numbers and truth values keep their types.
    let body = format!("{:?}", plan.content);
    assert!(body.contains("Number(5)") && body.contains("Bool(true)") && body.contains("String(\"007\")"), "{body}");
}

#[test]
fn settings_of_a_preset_have_the_kind_of_their_default() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key"), "k").expect("a file");
    let mailchimp = |audience: &str| {
        format!(
            "  crm:\n    preset: mailchimp\n    settings: {{endpoint: 'https://us21.api.mailchimp.com', api_key_file: key, audience: {audience}}}\n"
        )
    };
    for audience in ["0012345678", "1234567e10", "yes", "1.10", "'007'"] {
        let config = parse(folder.path(), &mailchimp(audience)).unwrap();
        assert_eq!(only(&config).settings["audience"], json!(audience.trim_matches('\'')));
    }
    let braze = |value: &str| {
        format!(
            "  crm:\n    preset: braze\n    settings: {{endpoint: 'https://rest.iad-01.braze.com', api_key_file: key, update_existing_only: {value}}}\n"
        )
    };
    let config = parse(folder.path(), &braze("true")).unwrap();
    assert_eq!(only(&config).settings["update_existing_only"], json!(true));
    let problem = parse(folder.path(), &braze("yes")).unwrap_err();
    assert!(problem.contains("`destinations.crm.settings.update_existing_only`: write true or false"), "{problem}");
}

#[test]
fn a_destination_that_could_deliver_nothing_is_refused_with_its_place() {
    let webhook = |options: &str| format!("  shop:\n    webhook: {{url: 'https://a.example/'}}\n    {options}\n");
    let url = |url: &str| format!("  shop:\n    webhook:\n      url: {url}\n");
    let header = |header: &str| format!("  shop:\n    webhook: {{url: 'https://a.example/', headers: {{{header}}}}}\n");
    for (destinations, expected) in [
        (
            webhook("filter: transition.nme == 'a'"),
            "deliver.yaml:5:13: `destinations.shop.filter`: a transition has no field `nme`; did you mean `name`?",
        ),
        (webhook("filter: '1'"), "deliver.yaml:5:13: `destinations.shop.filter`"),
        (webhook("filter: transition.name"), "the filter fails for a sample transition: transition.name"),
        (webhook("filter: transition.name > 5"), "`destinations.shop.filter`"),
        (url("'https://${settings.host}/a'"), "`destinations.shop.webhook`"),
        (url("'https://${transition.customer_id}.a.example/'"), "the host of the URL is read from the transition"),
        (url("'${transition.attributes.url}'"), "the host of the URL is read from the transition"),
        (url("https:///a"), "`destinations.shop.webhook`: a URL"),
        (url("https://:443/a"), "`destinations.shop.webhook`: a URL"),
        (url("ftp://a.example/"), "`destinations.shop.webhook`: a URL does not start with https://"),
        (url("https://user:pass@a.example/"), "write them as credentials instead"),
        (
            url("'https://a.example/${transition.customerid}'"),
            "a transition has no field `customerid`; did you mean `customer_id`?",
        ),
        (header("'X Id': a"), "`x id` is not the name of a header"),
        (header("X-Id: \"a\\nb\""), "the value of the header `x-id` is not visible ASCII text"),
        (
            webhook("quiet_hours: {from: '21:00', to: '21:00', time_zone: UTC}"),
            "`destinations.shop.quiet_hours`: `from` and `to` are the same time",
        ),
        (webhook("retry: {first: 1h, max: 1m}"), "`destinations.shop.retry`: `first` is longer than `max`"),
        (webhook("tls: {ca_file: missing.pem}"), "`destinations.shop.tls`: missing.pem: cannot be read"),
    ] {
        let found = problems(&destinations);
        assert!(found.starts_with("deliver.yaml:") && found.contains(expected), "{expected}\n{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
        assert!(!found.contains("pass@"), "{found}");
    }
}

#[test]
fn what_a_sample_cannot_decide_is_accepted() {
    for filter in [
        "transition.attributes.score > 5",
        "int(transition.customer_id) > 10",
        "transition.because.values.x == 'a'",
        "transition.mode == 'live' && transition.to == 'at_risk'",
        "has(transition.merged_into)",
    ] {
        let destinations = format!(
            "  shop:\n    webhook: {{url: 'https://a.example/${{transition.customer_id}}'}}\n    filter: \"{filter}\"\n"
        );
        parse(Path::new(""), &destinations).unwrap_or_else(|problems| panic!("{filter}: {problems}"));
    }
}

#[test]
fn the_file_of_a_service_without_deliveries_is_named_as_such() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lifecycle.yaml");
    std::fs::write(&path, "kafka: {bootstrap_servers: a}\nmodels: [retention]\nworkers: 2\n").expect("a file");
    let found = DeliverConfig::load(&path).unwrap_err().to_string();
    assert!(found.contains("without a section `deliver`") && found.lines().count() == 1, "{found}");
}
