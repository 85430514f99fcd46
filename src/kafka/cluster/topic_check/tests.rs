//! Tests of the topic checks.

use super::*;

fn topics() -> Topics {
    Topics {
        hand_overs: None,
        input: "in".to_owned(),
        changelog: "log".to_owned(),
        dead_letters: "dead".to_owned(),
        outputs: vec!["out".to_owned(), "out".to_owned()],
        compacted: vec!["current".to_owned()],
        sources: Vec::new(),
        touchpoint_bytes_max: 1 << 20,
    }
}

fn valid(name: &str, configs: &[(&str, &str)]) -> TopicDescription {
    let defaults = [("cleanup.policy", "delete"), ("max.message.bytes", "1048588"), ("min.insync.replicas", "2")];
    let configs = defaults.iter().chain(configs).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    TopicDescription { name: name.to_owned(), partitions: 8, replication: 3, configs: Some(configs.collect()) }
}

fn all_valid() -> Vec<TopicDescription> {
    vec![
        valid("in", &[]),
        valid("log", &CHANGELOG_CONFIGS),
        valid("dead", &[]),
        valid("out", &[]),
        valid("current", &[("cleanup.policy", "compact")]),
    ]
}

fn check(described: &[TopicDescription]) -> Vec<Finding> {
    topics().check(&described.iter().map(|it| (it.name.as_str(), it)).collect())
}

#[test]
fn correct_topics_have_no_findings() {
    assert_eq!(check(&all_valid()), []);
}

#[test]
fn every_missing_topic_is_reported_once() {
    let findings = check(&[]);
    let names: Vec<&str> = findings.iter().map(|it| it.place.as_str()).collect();
    assert_eq!(names, ["in", "log", "dead", "out", "current"]);
    assert!(findings.iter().all(|it| it.severity == Severity::Problem));
    assert!(findings[0].to_string().contains("lifecycle topics --create"));
}

#[test]
fn a_changelog_with_retention_or_compaction_is_an_error() {
    for setting in [("cleanup.policy", "compact,delete"), ("retention.ms", "604800000"), ("retention.bytes", "1000")] {
        let mut described = all_valid();
        described[1].configs.as_mut().unwrap().insert(setting.0.to_owned(), setting.1.to_owned());
        let findings = check(&described);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].severity, Severity::Problem);
        assert!(findings[0].to_string().contains(setting.0), "{}", findings[0]);
        assert!(findings[0].to_string().contains(setting.1), "{}", findings[0]);
    }
}

#[test]
fn different_partition_counts_are_an_error() {
    let mut described = all_valid();
    described[1].partitions = 6;
    let findings = check(&described);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].what.contains("6 partitions, but in has 8"), "{}", findings[0]);
    assert!(findings[0].to_string().contains("cannot be removed again"), "{}", findings[0]);
}

#[test]
fn unreadable_configs_are_a_warning() {
    let mut described = all_valid();
    described[1].configs = None;
    let findings = check(&described);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].severity, Severity::Warning);
    assert!(findings[0].to_do.contains("retention.ms=-1"));
}

#[test]
fn risks_to_durability_and_consumers_are_warnings_after_errors() {
    let mut described = all_valid();
    described[0].replication = 1;
    described[2].configs.as_mut().unwrap().insert("max.message.bytes".to_owned(), "1000".to_owned());
    described[3].configs.as_mut().unwrap().insert("cleanup.policy".to_owned(), "compact".to_owned());
    described[3].configs.as_mut().unwrap().insert("min.insync.replicas".to_owned(), "1".to_owned());
    described[1].configs.as_mut().unwrap().insert("max.message.bytes".to_owned(), "500000".to_owned());
    let findings = check(&described);
    assert_eq!(findings.len(), 6, "{findings:?}");
    // One replica cannot satisfy min.insync.replicas=2, so the first finding is an error.
    assert_eq!([findings[0].place.as_str(), &findings[1].place], ["in", "log"]);
    assert!(findings[..2].iter().all(|it| it.severity == Severity::Problem));
    assert!(findings[2..].iter().all(|it| it.severity == Severity::Warning));
}

#[test]
fn unwritable_replication_is_an_error_and_lossy_replication_a_warning() {
    let with = |replication, name: &str, value: &str| {
        let mut described = all_valid();
        described[3].replication = replication;
        described[3].configs.as_mut().unwrap().insert(name.to_owned(), value.to_owned());
        let findings = check(&described);
        findings.into_iter().map(|it| (it.severity, it.what)).collect::<Vec<_>>()
    };
    assert_eq!(with(3, "min.insync.replicas", "4")[0].0, Severity::Problem);
    assert_eq!(with(1, "min.insync.replicas", "2")[0].0, Severity::Problem);
    assert!(with(3, "min.insync.replicas", "3")[0].1.contains("equal to the replication factor"));
    assert!(with(3, "unclean.leader.election.enable", "true")[0].1.contains("unclean.leader.election.enable"));
}

#[test]
fn created_topics_pass_the_check() {
    let specs = topics().specs(12, Some(3));
    assert_eq!(specs.len(), 5);
    let described: Vec<TopicDescription> = specs
        .iter()
        .map(|spec| {
            let configs: Vec<(&str, &str)> = spec.configs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            TopicDescription { partitions: spec.partitions, ..valid(&spec.name, &configs) }
        })
        .collect();
    assert_eq!(check(&described), []);
}

#[test]
fn topics_that_the_service_writes_touchpoints_to_fit_the_largest() {
    let topics = Topics { hand_overs: Some("hand-overs".to_owned()), touchpoint_bytes_max: 4 << 20, ..topics() };
    let described: Vec<TopicDescription> = topics
        .specs(8, Some(3))
        .iter()
        .map(|spec| {
            let configs: Vec<(&str, &str)> = spec.configs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            valid(&spec.name, &configs)
        })
        .collect();
    let by_name = |described: &[TopicDescription], topics: &Topics| {
        let findings = topics.check(&described.iter().map(|it| (it.name.as_str(), it)).collect());
        findings.into_iter().map(|it| (it.severity, it.place)).collect::<Vec<_>>()
    };
    assert_eq!(by_name(&described, &topics), []);
    let default: Vec<_> = described.iter().map(|it| valid(&it.name, &[])).collect();
    let small: Vec<_> = default.into_iter().filter(|it| ["in", "hand-overs"].contains(&it.name.as_str())).collect();
    let mut described: Vec<_> = described.into_iter().filter(|it| small.iter().all(|s| s.name != it.name)).collect();
    described.extend(small);
    assert_eq!(by_name(&described, &topics), [(Severity::Problem, "hand-overs".to_owned())]);
    let with_source = Topics { sources: vec!["source".to_owned()], ..topics };
    described.push(valid("source", &[]));
    let expected = [(Severity::Problem, "hand-overs".to_owned()), (Severity::Warning, "in".to_owned())];
    assert_eq!(by_name(&described, &with_source), expected);
}

#[test]
fn hand_overs_need_the_partitions_of_the_input_and_no_compaction() {
    let topics = Topics { hand_overs: Some("hand-overs".to_owned()), ..topics() };
    let check = |hand_overs: TopicDescription| {
        let mut described = all_valid();
        described.push(hand_overs);
        topics.check(&described.iter().map(|it| (it.name.as_str(), it)).collect())
    };
    let spec = topics.specs(8, Some(3)).into_iter().find(|spec| spec.name == "hand-overs").expect("a spec");
    let configs: Vec<(&str, &str)> = spec.configs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let created = valid("hand-overs", &configs);
    assert_eq!(check(created.clone()), []);
    let small = valid("hand-overs", &[("max.message.bytes", "1000")]);
    let fewer = TopicDescription { partitions: 6, ..created };
    // The input has 1048588.
    let smaller = valid("hand-overs", &[("max.message.bytes", "1048587")]);
    for wrong in [fewer, small, smaller, valid("hand-overs", &[("cleanup.policy", "compact,delete")])] {
        let findings = check(wrong);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Problem), "{findings:?}");
    }
    let hour = valid("hand-overs", &[("retention.ms", "3600000")]);
    let unreadable = TopicDescription { configs: None, ..valid("hand-overs", &[]) };
    for (doubtful, found) in [(hour, "retention.ms is 3600000"), (unreadable, "configs cannot be read")] {
        let findings = check(doubtful);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Warning), "{findings:?}");
        assert!(findings[0].what.contains(found), "{}", findings[0]);
    }
    assert_eq!(check(valid("hand-overs", &[("retention.ms", "-1")])), []);
}

#[test]
fn current_stages_must_be_compacted_only() {
    for policy in ["delete", "compact,delete"] {
        let mut described = all_valid();
        described[4].configs.as_mut().unwrap().insert("cleanup.policy".to_owned(), policy.to_owned());
        let findings = check(&described);
        assert_eq!((findings.len(), findings[0].severity), (1, Severity::Warning));
        assert!(findings[0].to_do.contains("cleanup.policy=compact"), "{}", findings[0].to_do);
    }
}
