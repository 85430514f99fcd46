//! Checks the sources: which topics their patterns match, and whether the records after the committed offsets still
//! exist.

use std::collections::BTreeSet;

use crate::config::{Config, SourceConfig};
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::admin;
use crate::kafka::cluster::inspector::{Inspector, LogOffsets};
use crate::kafka::{Cluster, CommittedOffset, Error};
use crate::service::options::ingest_group;

/// Maximum number of topics of a pattern that a finding names.
const TOPICS_NAMED_MAX: usize = 10;

/// A partition of a source: its committed offset, and the offsets that bound its log.
#[derive(Clone, Debug)]
pub(super) struct SourceOffsets {
    pub(super) committed: CommittedOffset,
    pub(super) log: LogOffsets,
}

/// Checks the topics of the sources. A query that fails is reported as unknown.
pub(super) fn checks(config: &Config, cluster: &Cluster) -> Result<Vec<Finding>, Error> {
    let mut checks = Vec::new();
    checks.extend(config.direct_source().map(|source| {
        let what = "the workers read it directly, so its records must have the customer id as key";
        Finding::passed("sources", format!("source {}", source.name), what)
    }));
    if config.rekeyed_sources().next().is_none() {
        return Ok(checks);
    }
    let group = ingest_group(config);
    let inspector = Inspector::new(cluster, &group)?;
    let mut topics: BTreeSet<String> =
        config.rekeyed_sources().flat_map(SourceConfig::named_topics).map(str::to_owned).collect();
    if config.rekeyed_sources().any(SourceConfig::has_patterns) {
        match admin::topic_names(cluster) {
            Ok(mut names) => {
                names.retain(|name| {
                    *name != config.topics.touchpoints && config.published_topics().all(|it| it != name)
                });
                for source in config.rekeyed_sources() {
                    for (pattern, matched) in source.matched(&names) {
                        checks.push(of_pattern(&source.name, pattern, &matched));
                        topics.extend(matched.into_iter().map(str::to_owned));
                    }
                }
            }
            Err(error) => checks.push(super::query_failed("sources", "topics", &error)),
        }
    }
    for topic in &topics {
        match offsets(&inspector, topic) {
            Ok(offsets) => checks.extend(findings(topic, &group, &offsets)),
            Err(error) => checks.push(super::query_failed("sources", topic, &error)),
        }
    }
    Ok(checks)
}

/// Returns the finding about the topics of a pattern. Kafka deletes the committed offsets of a topic with the topic, so
/// only the list of the others shows that one was deleted.
fn of_pattern(source: &str, pattern: &str, matched: &[&str]) -> Finding {
    let place = format!("source {source}");
    if matched.is_empty() {
        return Finding::new(
            Severity::Warning,
            "sources",
            place,
            format!("no topic matches `{pattern}`: it was deleted, has another name, or this principal may not see it"),
            "create the topic, correct the pattern or grant DESCRIBE; a new topic is read from its first record within a minute",
        );
    }
    let more = matched.len().saturating_sub(TOPICS_NAMED_MAX);
    let named = matched[..matched.len() - more].join(", ");
    let others = if more > 0 { format!(" and {more} more") } else { String::new() };
    Finding::passed("sources", place, format!("`{pattern}` matches {} topics: {named}{others}", matched.len()))
}

fn offsets(inspector: &Inspector, topic: &str) -> Result<Vec<SourceOffsets>, Error> {
    let partitions = inspector.replication(topic)?.map_or(0, |it| i32::try_from(it.len()).unwrap_or(i32::MAX));
    let committed = inspector.committed(topic, partitions)?.offsets;
    committed
        .into_iter()
        .map(|committed| Ok(SourceOffsets { log: inspector.range(topic, committed.partition)?, committed }))
        .collect()
}

/// Returns the findings about one topic of a source.
fn findings(topic: &str, group: &str, partitions: &[SourceOffsets]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut unread = 0;
    for SourceOffsets { committed, log } in partitions {
        let problem = |what: String| {
            let to_do =
                format!("set the offsets of the group {group} to where it should continue, while no process reads");
            Finding::new(
                Severity::Problem,
                "sources",
                format!("partition {} of {topic}", committed.partition),
                what,
                to_do,
            )
        };
        let next = committed.offset.unwrap_or(log.start);
        if next < log.start {
            findings.push(problem(format!(
                "the committed offset {next} is below the first offset {}: records were deleted before they were read",
                log.start
            )));
        } else if next > log.high_watermark {
            findings.push(problem(format!(
                "the committed offset {next} is past the end {}: the topic was recreated or lost records",
                log.high_watermark
            )));
        } else {
            unread += log.high_watermark - next;
        }
    }
    if findings.is_empty() && !partitions.is_empty() {
        let what = format!("the offsets of {} partitions exist, {unread} records are not read yet", partitions.len());
        findings.push(Finding::passed("sources", topic, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(offset: Option<i64>, start: i64, high_watermark: i64) -> SourceOffsets {
        let committed = CommittedOffset { partition: 3, offset, metadata: String::new() };
        SourceOffsets { committed, log: LogOffsets { start, last_stable: high_watermark, high_watermark } }
    }

    #[test]
    fn a_committed_offset_outside_of_the_log_is_a_problem() {
        for (offset, what) in [(4, "records were deleted before they were read"), (21, "the topic was recreated")] {
            let found = findings("orders", "group", &[partition(Some(offset), 5, 20), partition(None, 5, 20)]);
            assert_eq!(found.len(), 1);
            assert!(found[0].what.contains(what) && found[0].place == "partition 3 of orders", "{found:?}");
        }
    }

    #[test]
    fn a_pattern_without_topics_is_a_warning_and_others_name_their_topics() {
        let found = of_pattern("web", "web.*", &[]);
        assert_eq!((found.severity, &*found.place), (Severity::Warning, "source web"));
        assert!(found.what.starts_with("no topic matches `web.*`"), "{found:?}");
        let names: Vec<String> = (0..12).map(|number| format!("web.{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(of_pattern("web", "web.*", &names[..2]).what, "`web.*` matches 2 topics: web.0, web.1");
        assert!(of_pattern("web", "web.*", &names).what.ends_with("web.8, web.9 and 2 more"));
    }

    #[test]
    fn unread_records_are_counted() {
        let found = findings("orders", "group", &[partition(Some(7), 5, 20), partition(None, 5, 20)]);
        assert_eq!(found[0].what, "the offsets of 2 partitions exist, 28 records are not read yet");
        assert!(findings("orders", "group", &[]).is_empty(), "the topic check reports that it is missing");
    }
}
