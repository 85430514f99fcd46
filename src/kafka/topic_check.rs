//! What the service needs of its topics, and what is wrong with those it finds. Pure: compares descriptions.

use std::collections::BTreeMap;
use std::fmt;

use super::admin::{TopicDescription, TopicSpec};

/// The largest changelog record that the service writes, with room for its frame.
const CHANGELOG_RECORD_BYTES: i64 = 640 * 1024;

/// The topics that the service works on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topics {
    /// Where touchpoints come from.
    pub input: String,
    /// The members' state, a partition for each of the input.
    pub changelog: String,
    /// Where records set aside go.
    pub dead_letters: String,
    /// Everything else that is written: transitions, and those of replayed history.
    pub outputs: Vec<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The service runs, but not as well as it should.
    Warning,
    /// The service must not start.
    Refusal,
}

/// Something wrong with a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which topic.
    pub topic: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub to_do: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.topic, self.what, self.to_do)
    }
}

/// Findings of one topic, as they are made.
struct Findings<'a> {
    topic: &'a str,
    all: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, what: impl Into<String>, to_do: impl Into<String>) {
        self.all.push(Finding { severity, topic: self.topic.to_owned(), what: what.into(), to_do: to_do.into() });
    }
}

impl Topics {
    /// All names, each once.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let all = [&self.input, &self.changelog, &self.dead_letters].into_iter().chain(&self.outputs);
        for name in all {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// The topics as they should be made, for an input of `partitions`.
    #[must_use]
    pub fn specs(&self, partitions: i32, replication: Option<i32>) -> Vec<TopicSpec> {
        let spec = |name: &str, settings: &[(&str, &str)]| TopicSpec {
            name: name.to_owned(),
            partitions,
            replication,
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        self.names()
            .into_iter()
            .map(|name| if name == self.changelog { spec(name, &CHANGELOG_SETTINGS) } else { spec(name, &[]) })
            .collect()
    }

    /// Everything that is wrong with the topics, of which `existing` are there; refusals first.
    pub(super) fn check(&self, existing: &BTreeMap<&str, &TopicDescription>) -> Vec<Finding> {
        let mut all = Vec::new();
        for name in self.names() {
            let mut findings = Findings { topic: name, all: &mut all };
            let Some(topic) = existing.get(name) else {
                findings.add(
                    Severity::Refusal,
                    "the topic does not exist",
                    "create it, or let `lifecycle topics --create` do it",
                );
                continue;
            };
            check_durability(topic, &mut findings);
            if name == self.changelog {
                check_changelog(topic, existing.get(self.input.as_str()).copied(), &mut findings);
            } else if name == self.input {
                check_input(topic, &mut findings);
            } else {
                check_output(topic, &mut findings);
            }
            if name == self.dead_letters {
                check_dead_letters(topic, existing.get(self.input.as_str()).copied(), &mut findings);
            }
        }
        all.sort_by_key(|it| std::cmp::Reverse(it.severity));
        all
    }
}

/// Neither retention nor compaction: the service deletes the changelog's head itself, and nothing else may.
const CHANGELOG_SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

fn check_changelog(topic: &TopicDescription, input: Option<&TopicDescription>, findings: &mut Findings<'_>) {
    if let Some(input) = input.filter(|it| it.partitions != topic.partitions) {
        findings.add(
            Severity::Refusal,
            format!("it has {} partitions, but {} has {}", topic.partitions, input.name, input.partitions),
            "customers are kept in the changelog partition of their input partition: give a new service a changelog topic with \
             as many partitions as the input; one that has run cannot change the number: give it new topics and a new \
             kafka.group_id, and let it read all touchpoints again",
        );
    }
    let Some(settings) = &topic.settings else {
        let expected: Vec<String> = CHANGELOG_SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        findings.add(
            Severity::Warning,
            "its settings cannot be seen",
            format!("grant DESCRIBE_CONFIGS on the topic, or make sure yourself of {}", expected.join(", ")),
        );
        return;
    };
    for (name, expected) in CHANGELOG_SETTINGS {
        let found = settings.get(name).map_or("unset", String::as_str);
        if found != expected {
            findings.add(
                Severity::Refusal,
                format!("{name} is {found}"),
                format!("set {name}={expected}: anything else deletes customers that the service still needs"),
            );
        }
    }
    if number(settings, "max.message.bytes").is_some_and(|it| it < CHANGELOG_RECORD_BYTES) {
        findings.add(
            Severity::Refusal,
            format!("max.message.bytes is {}", settings["max.message.bytes"]),
            format!("set max.message.bytes to {CHANGELOG_RECORD_BYTES} or more: a changelog record may have as many"),
        );
    }
}

fn check_input(topic: &TopicDescription, findings: &mut Findings<'_>) {
    let policy = topic.settings.as_ref().and_then(|it| it.get("cleanup.policy"));
    if policy.is_some_and(|it| it.contains("compact")) {
        findings.add(
            Severity::Warning,
            "cleanup.policy compacts it",
            "set cleanup.policy=delete: compaction removes touchpoints of customers that have newer ones, read or not",
        );
    }
}

fn check_output(topic: &TopicDescription, findings: &mut Findings<'_>) {
    let policy = topic.settings.as_ref().and_then(|it| it.get("cleanup.policy"));
    if policy.is_some_and(|it| it.contains("compact")) {
        findings.add(
            Severity::Warning,
            "cleanup.policy compacts it",
            "set cleanup.policy=delete: compaction keeps only a customer's last record, so readers that lag miss transitions",
        );
    }
}

fn check_dead_letters(topic: &TopicDescription, input: Option<&TopicDescription>, findings: &mut Findings<'_>) {
    let limit = |it: &TopicDescription| it.settings.as_ref().and_then(|it| number(it, "max.message.bytes"));
    let (Some(of_dead_letters), Some(of_input)) = (limit(topic), input.and_then(limit)) else { return };
    if of_dead_letters < of_input {
        findings.add(
            Severity::Warning,
            format!("max.message.bytes is {of_dead_letters}, less than the input's {of_input}"),
            "raise it to the input's: a large record that is set aside must fit",
        );
    }
}

fn check_durability(topic: &TopicDescription, findings: &mut Findings<'_>) {
    if topic.replication == 1 {
        findings.add(
            Severity::Warning,
            "it has one replica",
            "raise the replication factor to 3: the loss of one broker loses records",
        );
        if topic.settings.as_ref().and_then(|it| number(it, "min.insync.replicas")).is_none_or(|it| it <= 1) {
            return;
        }
    }
    let Some(settings) = &topic.settings else { return };
    if settings.get("unclean.leader.election.enable").is_some_and(|it| it == "true") {
        findings.add(
            Severity::Warning,
            "unclean.leader.election.enable is true",
            "set it to false: else a replica that lacks records may become the leader, and what it lacks is lost",
        );
    }
    let Some(in_sync) = number(settings, "min.insync.replicas") else { return };
    if in_sync > i64::from(topic.replication) {
        findings.add(
            Severity::Refusal,
            format!("min.insync.replicas is {in_sync}, and it has {} replicas", topic.replication),
            "lower it, or add replicas: as it is the topic takes no record",
        );
    } else if in_sync == i64::from(topic.replication) {
        findings.add(
            Severity::Warning,
            format!("min.insync.replicas is {in_sync}, as many as it has replicas"),
            "add a replica, or lower it: as it is the loss of one broker stops the service",
        );
    }
    if in_sync < 2 {
        findings.add(
            Severity::Warning,
            format!("min.insync.replicas is {in_sync}"),
            "set min.insync.replicas=2: what one broker alone has acknowledged is lost with it",
        );
    }
}

fn number(settings: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    settings.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics() -> Topics {
        Topics {
            input: "in".to_owned(),
            changelog: "log".to_owned(),
            dead_letters: "dead".to_owned(),
            outputs: vec!["out".to_owned(), "out".to_owned()],
        }
    }

    fn good(name: &str, settings: &[(&str, &str)]) -> TopicDescription {
        let defaults = [("cleanup.policy", "delete"), ("max.message.bytes", "1048588"), ("min.insync.replicas", "2")];
        let settings = defaults.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        TopicDescription { name: name.to_owned(), partitions: 8, replication: 3, settings: Some(settings.collect()) }
    }

    fn all_good() -> Vec<TopicDescription> {
        vec![good("in", &[]), good("log", &CHANGELOG_SETTINGS), good("dead", &[]), good("out", &[])]
    }

    fn check(described: &[TopicDescription]) -> Vec<Finding> {
        topics().check(&described.iter().map(|it| (it.name.as_str(), it)).collect())
    }

    #[test]
    fn topics_as_they_should_be_have_no_findings() {
        assert_eq!(check(&all_good()), []);
    }

    #[test]
    fn every_missing_topic_is_named_once() {
        let findings = check(&[]);
        let names: Vec<&str> = findings.iter().map(|it| it.topic.as_str()).collect();
        assert_eq!(names, ["in", "log", "dead", "out"]);
        assert!(findings.iter().all(|it| it.severity == Severity::Refusal));
        assert!(findings[0].to_string().contains("lifecycle topics --create"));
    }

    #[test]
    fn a_changelog_that_deletes_or_compacts_is_refused() {
        for setting in
            [("cleanup.policy", "compact,delete"), ("retention.ms", "604800000"), ("retention.bytes", "1000")]
        {
            let mut described = all_good();
            described[1].settings.as_mut().unwrap().insert(setting.0.to_owned(), setting.1.to_owned());
            let findings = check(&described);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!(findings[0].severity, Severity::Refusal);
            assert!(findings[0].to_string().contains(setting.0), "{}", findings[0]);
            assert!(findings[0].to_string().contains(setting.1), "{}", findings[0]);
        }
    }

    #[test]
    fn unequal_partitions_are_refused() {
        let mut described = all_good();
        described[1].partitions = 6;
        let findings = check(&described);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("6 partitions, but in has 8"), "{}", findings[0]);
    }

    #[test]
    fn settings_that_cannot_be_seen_are_a_warning() {
        let mut described = all_good();
        described[1].settings = None;
        let findings = check(&described);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Warning);
        assert!(findings[0].to_do.contains("retention.ms=-1"));
    }

    #[test]
    fn risks_to_durability_and_readers_are_warnings_after_refusals() {
        let mut described = all_good();
        described[0].replication = 1;
        described[2].settings.as_mut().unwrap().insert("max.message.bytes".to_owned(), "1000".to_owned());
        described[3].settings.as_mut().unwrap().insert("cleanup.policy".to_owned(), "compact".to_owned());
        described[3].settings.as_mut().unwrap().insert("min.insync.replicas".to_owned(), "1".to_owned());
        described[1].settings.as_mut().unwrap().insert("max.message.bytes".to_owned(), "500000".to_owned());
        let findings = check(&described);
        assert_eq!(findings.len(), 6, "{findings:?}");
        // One replica cannot be two in sync, so the first is refused.
        assert_eq!([findings[0].topic.as_str(), &findings[1].topic], ["in", "log"]);
        assert!(findings[..2].iter().all(|it| it.severity == Severity::Refusal));
        assert!(findings[2..].iter().all(|it| it.severity == Severity::Warning));
    }

    #[test]
    fn replicas_that_cannot_take_records_are_refused_and_those_that_lose_some_are_told() {
        let with = |replication, name: &str, value: &str| {
            let mut described = all_good();
            described[3].replication = replication;
            described[3].settings.as_mut().unwrap().insert(name.to_owned(), value.to_owned());
            let findings = check(&described);
            findings.into_iter().map(|it| (it.severity, it.what)).collect::<Vec<_>>()
        };
        assert_eq!(with(3, "min.insync.replicas", "4")[0].0, Severity::Refusal);
        assert_eq!(with(1, "min.insync.replicas", "2")[0].0, Severity::Refusal);
        assert!(with(3, "min.insync.replicas", "3")[0].1.contains("as many as it has replicas"));
        assert!(with(3, "unclean.leader.election.enable", "true")[0].1.contains("unclean.leader.election.enable"));
    }

    #[test]
    fn what_is_made_passes_the_check() {
        let specs = topics().specs(12, Some(3));
        assert_eq!(specs.len(), 4);
        let described: Vec<TopicDescription> = specs
            .iter()
            .map(|spec| {
                let settings: Vec<(&str, &str)> = spec.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
                TopicDescription { partitions: spec.partitions, ..good(&spec.name, &settings) }
            })
            .collect();
        assert_eq!(check(&described), []);
    }
}
