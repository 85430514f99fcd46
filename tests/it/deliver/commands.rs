//! The commands beside the delivery: check, test, presets, pause and resume, and errors of the configuration.

use super::receiver::{Answer, Receiver};
use super::{Deployment, transition};
use crate::broker;

#[test]
fn every_problem_of_a_configuration_is_reported_at_once_with_its_position() {
    let deployment = Deployment::new(
        1,
        "  Shop:\n    webhook: {url: \"http://example.com/\", format: xml}\n    retry: {first: soon}\n    conurrency: 3\n  \
         other:\n    webhook: {}\n    filter: transition.mode = 1\n",
    );
    let (code, output) = deployment.run(&["--config", "deliver.yaml"]);
    assert_eq!(code, 2, "{output}");
    for expected in [
        "name a destination with lower-case letters",
        "`destinations.Shop.webhook.format`: write standard_webhooks or",
        "`destinations.Shop.retry.first`: write a duration",
        "`destinations.Shop.conurrency`: unknown key: did you mean `concurrency`?",
        "a URL starts with http://",
        "`destinations.other.webhook`: write `url`",
        "`destinations.other.filter`",
    ] {
        assert!(output.contains(expected), "{expected}\n{output}");
    }
    assert!(output.lines().all(|line| line.contains("deliver.yaml:")), "{output}");
}

#[test]
fn dead_letters_have_a_topic_of_their_own() {
    let deployment = Deployment::new(1, "  shop:\n    webhook: {url: \"https://example.com/\"}\n");
    let config = std::fs::read_to_string(deployment.path("deliver.yaml")).expect("a file");
    deployment.write("deliver.yaml", &config.replace(&deployment.dead_letters, &deployment.topic));
    let (code, output) = deployment.run(&["--config", "deliver.yaml"]);
    assert!(code == 2 && output.contains("is one of `topics`: give dead letters a topic of their own"), "{output}");
    let twice = format!("topics: [{0}, {0}]", deployment.topic);
    deployment.write("deliver.yaml", &config.replace(&format!("topics: [{}]", deployment.topic), &twice));
    let (code, output) = deployment.run(&["--config", "deliver.yaml"]);
    assert!(code == 2 && output.contains("`topics[1]`: the topic is named twice"), "{output}");
}

#[test]
fn a_sample_is_shown_without_secrets_and_sent_on_demand() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let deployment = Deployment::new(
        1,
        &format!(
            "  shop:\n    webhook:\n      url: \"http://{}/hooks\"\n      bearer_file: token\n      signing_secret_files: [key]\n      \
             headers: {{x-customer: \"${{transition.customer_id}}\"}}\n    filter: transition.mode == \"live\"\n    \
             allow_private_addresses: true\n",
            receiver.address
        ),
    );
    deployment.write("token", "very-secret-token");
    deployment.write("key", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    deployment.write("sample.json", &transition("c7", 1).to_string());
    let arguments = ["test", "shop", "--config", "deliver.yaml", "--transition", "sample.json"];
    let (code, output) = deployment.run(&arguments);
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("filter: holds") && output.contains("webhook-signature: v1,"), "{output}");
    assert!(output.contains("x-customer: c7") && !output.contains("very-secret"), "{output}");
    assert_eq!(receiver.count(), 0, "nothing is sent without --send");
    let (code, output) = deployment.run(&[&arguments[..], &["--send"]].concat());
    assert!(code == 0 && output.contains("sent: delivered"), "{output}");
    let sent = receiver.received();
    assert_eq!(sent[0].header("authorization"), "Bearer very-secret-token");
    assert_eq!(sent[0].header("webhook-id"), transition("c7", 1)["transition_id"].as_str().expect("an id"));
    assert_eq!(sent[0].json()["type"], "lifecycle.stage.at_risk_of_churn");
}

#[test]
fn the_check_sends_no_customer() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/hooks/secret\"}}\n    allow_private_addresses: true\n",
        receiver.address
    );
    let deployment = Deployment::new(1, &config);
    let (code, output) = deployment.run(&["--config", "deliver.yaml", "--check"]);
    assert!(code == 0 && output.contains("ok       shop:") && output.contains("ok       kafka:"), "{code}: {output}");
    assert!(receiver.received().iter().all(|it| it.body.is_empty() && it.path == "/"), "{:?}", receiver.received());
}

#[test]
fn only_missing_topics_to_read_are_a_problem() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let config = format!(
        "  shop:\n    webhook: {{url: \"http://{}/hooks\"}}\n    allow_private_addresses: true\n",
        receiver.address
    );
    let topic = broker::topic("transitions", 1);
    let dead_letters = broker::unique("deliveries-dead");
    let check = |topic: &str| {
        let deployment = Deployment::on(broker::bootstrap(), topic, &dead_letters, &config);
        deployment.run(&["--config", "deliver.yaml", "--check"])
    };
    let (code, output) = check(&topic);
    assert!(code == 0 && output.contains(&format!("all topics exist but {dead_letters}")), "{code}: {output}");
    let missing = broker::unique("missing");
    let (code, output) = check(&missing);
    assert!(code == 1 && output.contains(&format!("topics do not exist: {missing};")), "{code}: {output}");
}
