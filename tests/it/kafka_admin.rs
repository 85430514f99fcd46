//! Topics against a real broker: made, described, found wanting.

use lifecycle_processor::kafka::Cluster;
use lifecycle_processor::kafka::Reaction;
use lifecycle_processor::kafka::admin::{self, Creation, Severity, TopicSpec, Topics};

use crate::broker;

fn cluster() -> Cluster {
    Cluster { bootstrap_servers: broker::bootstrap().to_owned(), settings: Vec::new() }
}

fn topics() -> Topics {
    Topics {
        input: broker::unique("touchpoints"),
        changelog: broker::unique("changelog"),
        dead_letters: broker::unique("dead-letters"),
        outputs: vec![broker::unique("transitions"), broker::unique("replayed")],
    }
}

#[test]
fn topics_made_by_the_service_are_what_it_needs() {
    let topics = topics();
    let cluster = cluster();
    let missing = admin::verify(&cluster, &topics).unwrap();
    assert_eq!(missing.len(), 5, "{missing:?}");
    assert!(missing.iter().all(|it| it.severity == Severity::Refusal && it.what == "the topic does not exist"));

    let specs = topics.specs(3, Some(1));
    let created = admin::create_topics(&cluster, &specs).unwrap();
    assert!(created.iter().all(|(_, creation)| *creation == Creation::Created), "{created:?}");
    let again = admin::create_topics(&cluster, &specs).unwrap();
    assert!(again.iter().all(|(_, creation)| *creation == Creation::Existed), "{again:?}");

    let findings = admin::verify(&cluster, &topics).unwrap();
    assert!(findings.iter().all(|it| it.what == "it has one replica"), "{findings:?}");

    let described = admin::describe_topics(&cluster, &[&topics.changelog, "there-is-none"]).unwrap();
    let changelog = described[0].as_ref().unwrap();
    assert_eq!((changelog.partitions, changelog.replication), (3, 1));
    let settings = changelog.settings.as_ref().unwrap();
    assert_eq!(settings["retention.ms"], "-1");
    assert_eq!(settings["cleanup.policy"], "delete");
    assert!(settings.contains_key("min.insync.replicas") && settings.contains_key("message.timestamp.type"));
    assert_eq!(described[1], None);
}

#[test]
fn a_changelog_made_by_hand_is_refused_with_what_to_do() {
    let cluster = cluster();
    let mut topics = topics();
    admin::create_topics(&cluster, &topics.specs(2, Some(1))).unwrap();
    topics.changelog = broker::topic_with("changelog", 3, &[("cleanup.policy", "compact")]);
    let refusals: Vec<String> = admin::verify(&cluster, &topics)
        .unwrap()
        .iter()
        .filter(|it| it.severity == Severity::Refusal)
        .map(ToString::to_string)
        .collect();
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(refusals[0].contains("3 partitions") && refusals[0].contains("has 2"), "{refusals:?}");
    assert!(refusals[1].contains("set cleanup.policy=delete"), "{refusals:?}");
    assert!(refusals[2].contains("set retention.ms=-1"), "{refusals:?}");
}

#[test]
fn a_topic_that_the_cluster_refuses_says_why() {
    let spec = TopicSpec { name: broker::unique("wide"), partitions: 1, replication: Some(7), settings: Vec::new() };
    let error = admin::create_topics(&cluster(), std::slice::from_ref(&spec)).unwrap_err();
    assert_eq!(error.reaction, Reaction::Fatal);
    assert!(error.message.contains(&spec.name) && error.message.contains("too few brokers"), "{error}");
}
