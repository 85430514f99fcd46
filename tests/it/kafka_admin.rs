//! Creates, describes and verifies topics on a real broker.

use lifecycle_processor::finding::Severity;
use lifecycle_processor::kafka::Cluster;
use lifecycle_processor::kafka::Reaction;
use lifecycle_processor::kafka::cluster::admin::{self, Creation, TopicSpec, Topics};

use crate::broker;

fn cluster() -> Cluster {
    Cluster { bootstrap_servers: broker::bootstrap().to_owned(), settings: Vec::new() }
}

fn topics() -> Topics {
    Topics {
        hand_overs: None,
        input: broker::unique("touchpoints"),
        changelog: broker::unique("changelog"),
        dead_letters: broker::unique("dead-letters"),
        outputs: vec![broker::unique("transitions"), broker::unique("replayed")],
        sources: Vec::new(),
        touchpoint_bytes_max: 1 << 20,
        compacted: vec![broker::unique("current-stages")],
    }
}

#[test]
fn topics_created_by_the_service_pass_its_check() {
    let topics = topics();
    let cluster = cluster();
    let missing = admin::verify(&cluster, &topics).unwrap();
    assert_eq!(missing.len(), 6, "{missing:?}");
    assert!(missing.iter().all(|it| it.severity == Severity::Problem && it.what == "the topic does not exist"));

    let specs = topics.specs(3, Some(1));
    let created = admin::create_topics(&cluster, &specs).unwrap();
    assert!(created.iter().all(|(_, creation)| *creation == Creation::Created), "{created:?}");
    let again = admin::create_topics(&cluster, &specs).unwrap();
    assert!(again.iter().all(|(_, creation)| *creation == Creation::Existed), "{again:?}");

    let findings = admin::verify(&cluster, &topics).unwrap();
    assert!(findings.iter().all(|it| it.what == "it has one replica"), "{findings:?}");

    let described = admin::describe_topics(&cluster, &[&topics.changelog, "missing-topic"]).unwrap();
    let changelog = described[0].as_ref().unwrap();
    assert_eq!((changelog.partitions, changelog.replication), (3, 1));
    let configs = changelog.configs.as_ref().unwrap();
    assert_eq!(configs["retention.ms"], "-1");
    assert_eq!(configs["cleanup.policy"], "delete");
    assert!(configs.contains_key("min.insync.replicas") && configs.contains_key("message.timestamp.type"));
    assert_eq!(described[1], None);
}

#[test]
fn a_changelog_with_wrong_configs_is_an_error_that_says_how_to_fix_it() {
    let cluster = cluster();
    let mut topics = topics();
    admin::create_topics(&cluster, &topics.specs(2, Some(1))).unwrap();
    // The broker of scripts/kafka keeps records without a limit of time, other brokers for 7 days.
    let configs = [("cleanup.policy", "compact"), ("retention.ms", "604800000")];
    topics.changelog = broker::topic_with("changelog", 3, &configs);
    let errors: Vec<String> = admin::verify(&cluster, &topics)
        .unwrap()
        .iter()
        .filter(|it| it.severity == Severity::Problem)
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert!(errors[0].contains("3 partitions") && errors[0].contains("has 2"), "{errors:?}");
    assert!(errors[1].contains("set cleanup.policy=delete"), "{errors:?}");
    assert!(errors[2].contains("set retention.ms=-1"), "{errors:?}");
}

#[test]
fn a_topic_that_the_cluster_rejects_is_a_fatal_error_with_the_reason() {
    let spec = TopicSpec { name: broker::unique("wide"), partitions: 1, replication: Some(7), configs: Vec::new() };
    let error = admin::create_topics(&cluster(), std::slice::from_ref(&spec)).unwrap_err();
    assert_eq!(error.reaction, Reaction::Fatal);
    assert!(error.what.contains(&spec.name) && error.what.contains("too few brokers"), "{error}");
}
