//! Checks topics against the requirements of the service: partitions, retention, message size and durability.
//!
//! It compares topic descriptions; reading them from the cluster is left to `admin`. A finding of severity `Error`
//! stops the service at start; a warning is only logged.

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity};

use super::admin::{TopicDescription, TopicSpec};

/// The size in bytes of the largest changelog record that the service writes, including the record batch overhead.
const CHANGELOG_RECORD_BYTES: i64 = 640 * 1024;

/// The names of the service's topics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topics {
    /// The topic of touchpoints.
    pub input: String,
    /// The changelog topic, with one partition for each input partition.
    pub changelog: String,
    /// The topic of hand-overs, with one partition for each input partition; `None` without identity resolution.
    pub hand_overs: Option<String>,
    /// The topic of dead letters.
    pub dead_letters: String,
    /// The other output topics: transitions, and transitions of replayed touchpoints.
    pub outputs: Vec<String>,
    /// The output topics that must be compacted: current stages.
    pub compacted: Vec<String>,
    /// The topics of the sources, which other programs write.
    pub sources: Vec<String>,
    /// Maximum size of a touchpoint in bytes.
    pub touchpoint_bytes_max: i64,
}

/// Collects the findings about one topic.
struct Findings<'a> {
    topic: &'a str,
    all: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, severity: Severity, what: impl Into<String>, to_do: impl Into<String>) {
        self.all.push(Finding::new(severity, "topics", self.topic, what, to_do));
    }
}

impl Topics {
    /// Returns all topic names without duplicates.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let own = [&self.input, &self.changelog, &self.dead_letters];
        let all =
            own.into_iter().chain(&self.hand_overs).chain(&self.outputs).chain(&self.compacted).chain(&self.sources);
        for name in all {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the specs for creating the topics, each with `partitions` partitions.
    #[must_use]
    pub fn specs(&self, partitions: i32, replication: Option<i32>) -> Vec<TopicSpec> {
        let spec = |name: &str, configs: &[(&str, &str)]| TopicSpec {
            name: name.to_owned(),
            partitions,
            replication,
            configs: configs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        self.names()
            .into_iter()
            .map(|name| {
                let mut spec = if name == self.changelog {
                    spec(name, &CHANGELOG_CONFIGS)
                } else if self.is_hand_overs(name) {
                    spec(name, &HAND_OVER_CONFIGS)
                } else if self.is_compacted(name) {
                    spec(name, &[("cleanup.policy", "compact")])
                } else {
                    spec(name, &[])
                };
                let has_touchpoints = name == self.input || name == self.dead_letters || self.is_hand_overs(name);
                if has_touchpoints && self.touchpoint_bytes_max > DEFAULT_BYTES_MAX {
                    spec.configs.push(("max.message.bytes".to_owned(), self.touchpoint_bytes_max.to_string()));
                }
                spec
            })
            .collect()
    }

    fn is_hand_overs(&self, name: &str) -> bool {
        self.hand_overs.as_deref() == Some(name)
    }

    fn is_compacted(&self, name: &str) -> bool {
        self.compacted.iter().any(|compacted| compacted == name)
    }

    /// Returns all problems with the topics, errors first. Topics missing in `existing` do not exist.
    pub(super) fn check(&self, existing: &BTreeMap<&str, &TopicDescription>) -> Vec<Finding> {
        let mut all = Vec::new();
        for name in self.names() {
            let mut findings = Findings { topic: name, all: &mut all };
            let is_source = self.sources.iter().any(|source| source == name);
            let Some(topic) = existing.get(name) else {
                let (what, to_do) = if is_source {
                    (
                        "the topic of a source does not exist",
                        "remove it from `sources` if it was deleted on purpose, otherwise create it, for example with \
                         `lifecycle topics --create`",
                    )
                } else {
                    ("the topic does not exist", "create it, for example with `lifecycle topics --create`")
                };
                findings.add(Severity::Problem, what, to_do);
                continue;
            };
            if is_source {
                check_input(topic, &mut findings);
                continue;
            }
            check_durability(topic, &mut findings);
            if name == self.changelog {
                check_changelog(topic, existing.get(self.input.as_str()).copied(), &mut findings);
            } else if self.is_hand_overs(name) {
                let input = existing.get(self.input.as_str()).copied();
                check_hand_overs(topic, input, self.touchpoint_bytes_max, &mut findings);
            } else if name == self.input {
                check_input(topic, &mut findings);
                if !self.sources.is_empty() {
                    self.check_written_touchpoints(topic, &mut findings);
                }
            } else if self.is_compacted(name) {
                check_compacted(topic, &mut findings);
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

    /// Checks that the topic accepts every touchpoint that the service writes to it from the sources.
    fn check_written_touchpoints(&self, topic: &TopicDescription, findings: &mut Findings<'_>) {
        let found = topic.configs.as_ref().and_then(|configs| number(configs, "max.message.bytes"));
        if let Some(found) = found.filter(|&found| found < self.touchpoint_bytes_max) {
            findings.add(
                Severity::Warning,
                format!(
                    "max.message.bytes is {found}, less than touchpoints.bytes_max ({})",
                    self.touchpoint_bytes_max
                ),
                "raise it, or lower touchpoints.bytes_max: a larger touchpoint of a source would stop the service",
            );
        }
    }
}

/// The value of `max.message.bytes` that a broker has by default allows records of this size.
const DEFAULT_BYTES_MAX: i64 = 1 << 20;

/// Neither retention nor compaction: only the service itself may delete changelog records.
const CHANGELOG_CONFIGS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];

fn check_changelog(topic: &TopicDescription, input: Option<&TopicDescription>, findings: &mut Findings<'_>) {
    let to_do = "each input partition needs a changelog partition with the same number: for a new service, recreate the changelog topic \
                 with as many partitions as the input; for a service that has run, partitions that were added cannot be removed again: \
                 it needs new topics and a new kafka.group_id, and reprocesses the touchpoints; change the number only with \
                 `lifecycle repartition`";
    check_partitions(topic, input, to_do, findings);
    let Some(configs) = &topic.configs else {
        let expected: Vec<String> = CHANGELOG_CONFIGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        findings.add(
            Severity::Warning,
            "its configs cannot be read",
            format!("grant DESCRIBE_CONFIGS on the topic, or verify that it has {}", expected.join(", ")),
        );
        return;
    };
    for (name, expected) in CHANGELOG_CONFIGS {
        let found = configs.get(name).map_or("unset", String::as_str);
        if found != expected {
            findings.add(
                Severity::Problem,
                format!("{name} is {found}"),
                format!("set {name}={expected}: any other value deletes customers that the service still needs"),
            );
        }
    }
    if number(configs, "max.message.bytes").is_some_and(|it| it < CHANGELOG_RECORD_BYTES) {
        findings.add(
            Severity::Problem,
            format!("max.message.bytes is {}", configs["max.message.bytes"]),
            format!(
                "set max.message.bytes to {CHANGELOG_RECORD_BYTES} or more, the maximum size of a changelog record"
            ),
        );
    }
}

/// A hand-over must be kept until it is read; then it is obsolete. It may contain the facts of a visitor.
const HAND_OVER_CONFIGS: [(&str, &str); 2] = [("cleanup.policy", "delete"), ("retention.ms", "604800000")];

/// Hand-overs should outlast an outage.
const RETENTION_MS_MIN: i64 = 86_400_000;

fn check_hand_overs(
    topic: &TopicDescription,
    input: Option<&TopicDescription>,
    touchpoint_bytes_max: i64,
    findings: &mut Findings<'_>,
) {
    let to_do = "recreate the topic with as many partitions as the input before identity.enabled is set";
    check_partitions(topic, input, to_do, findings);
    let to_do = "set cleanup.policy=delete: compaction removes all but the latest hand-over of an id, even unread ones";
    check_compaction(topic, Severity::Problem, to_do, findings);
    let Some(configs) = &topic.configs else {
        let expected: Vec<String> = HAND_OVER_CONFIGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        findings.add(
            Severity::Warning,
            "its configs cannot be read",
            format!("grant DESCRIBE_CONFIGS on the topic, or verify that it has {}", expected.join(", ")),
        );
        return;
    };
    // It may contain the facts of a visitor, or a touchpoint of the input.
    let of_input = input.and_then(|it| number(it.configs.as_ref()?, "max.message.bytes")).unwrap_or_default();
    let expected = of_input.max(touchpoint_bytes_max).max(CHANGELOG_RECORD_BYTES);
    if let Some(found) = number(configs, "max.message.bytes").filter(|&found| found < expected) {
        findings.add(
            Severity::Problem,
            format!("max.message.bytes is {found}"),
            format!(
                "set max.message.bytes to {expected} or more: the largest touchpoint (touchpoints.bytes_max) must fit as a hand-over"
            ),
        );
    }
    if let Some(found) = number(configs, "retention.ms").filter(|found| (0..RETENTION_MS_MIN).contains(found)) {
        findings.add(
            Severity::Warning,
            format!("retention.ms is {found}, less than a day"),
            "set retention.ms=604800000: the service does not start again after an outage that is longer, because \
             hand-overs were deleted before they were read",
        );
    }
}

fn check_input(topic: &TopicDescription, findings: &mut Findings<'_>) {
    let to_do =
        "set cleanup.policy=delete: compaction removes all but the latest touchpoint of a key, even unread ones";
    check_compaction(topic, Severity::Warning, to_do, findings);
}

fn check_output(topic: &TopicDescription, findings: &mut Findings<'_>) {
    let to_do = "set cleanup.policy=delete: compaction keeps only the last record of a customer, so lagging consumers miss \
                 transitions";
    check_compaction(topic, Severity::Warning, to_do, findings);
}

/// Checks that a topic has a partition for each partition of the input.
fn check_partitions(
    topic: &TopicDescription,
    input: Option<&TopicDescription>,
    to_do: &str,
    findings: &mut Findings<'_>,
) {
    if let Some(input) = input.filter(|it| it.partitions != topic.partitions) {
        let what = format!("it has {} partitions, but {} has {}", topic.partitions, input.name, input.partitions);
        findings.add(Severity::Problem, what, to_do);
    }
}

/// Checks that no record is removed because a later one has its key.
fn check_compaction(topic: &TopicDescription, severity: Severity, to_do: &str, findings: &mut Findings<'_>) {
    let policy = topic.configs.as_ref().and_then(|it| it.get("cleanup.policy"));
    if policy.is_some_and(|it| it.contains("compact")) {
        findings.add(severity, "its cleanup.policy includes compact", to_do);
    }
}

fn check_compacted(topic: &TopicDescription, findings: &mut Findings<'_>) {
    let policy = topic.configs.as_ref().and_then(|it| it.get("cleanup.policy"));
    if policy.is_some_and(|it| it != "compact") {
        findings.add(
            Severity::Warning,
            format!("cleanup.policy is {}", policy.map_or("unset", String::as_str)),
            "set cleanup.policy=compact: otherwise retention deletes the records of customers that do not change, or the topic \
             grows without limit",
        );
    }
}

fn check_dead_letters(topic: &TopicDescription, input: Option<&TopicDescription>, findings: &mut Findings<'_>) {
    let limit = |it: &TopicDescription| it.configs.as_ref().and_then(|it| number(it, "max.message.bytes"));
    let (Some(of_dead_letters), Some(of_input)) = (limit(topic), input.and_then(limit)) else { return };
    if of_dead_letters < of_input {
        findings.add(
            Severity::Warning,
            format!("max.message.bytes is {of_dead_letters}, less than the input's {of_input}"),
            "raise it to the input's value: a large bad record must fit as a dead letter",
        );
    }
}

fn check_durability(topic: &TopicDescription, findings: &mut Findings<'_>) {
    if topic.replication == 1 {
        findings.add(
            Severity::Warning,
            "it has one replica",
            "raise the replication factor to 3: otherwise the loss of one broker loses records",
        );
        if topic.configs.as_ref().and_then(|it| number(it, "min.insync.replicas")).is_none_or(|it| it <= 1) {
            return;
        }
    }
    let Some(configs) = &topic.configs else { return };
    if configs.get("unclean.leader.election.enable").is_some_and(|it| it == "true") {
        findings.add(
            Severity::Warning,
            "unclean.leader.election.enable is true",
            "set it to false: otherwise an out-of-sync replica may become leader, and the records it lacks are lost",
        );
    }
    let Some(in_sync) = number(configs, "min.insync.replicas") else { return };
    if in_sync > i64::from(topic.replication) {
        findings.add(
            Severity::Problem,
            format!("min.insync.replicas is {in_sync}, but the replication factor is {}", topic.replication),
            "lower it or add replicas: the topic currently rejects all writes",
        );
    } else if in_sync == i64::from(topic.replication) {
        findings.add(
            Severity::Warning,
            format!("min.insync.replicas is {in_sync}, equal to the replication factor"),
            "add a replica or lower it: otherwise the loss of one broker stops the service",
        );
    }
    if in_sync < 2 {
        findings.add(
            Severity::Warning,
            format!("min.insync.replicas is {in_sync}"),
            "set min.insync.replicas=2: otherwise records that only one broker has acknowledged are lost with it",
        );
    }
}

fn number(configs: &BTreeMap<String, String>, name: &str) -> Option<i64> {
    configs.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests;
