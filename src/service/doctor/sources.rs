//! Checks the offsets of the sources: whether the records after the committed offset still exist.

use crate::config::{Config, SourceConfig};
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::inspector::{Inspector, LogOffsets};
use crate::kafka::{Cluster, CommittedOffset, Error};
use crate::service::options::ingest_group;

/// A partition of a source: its committed offset, and the offsets that bound its log.
#[derive(Clone, Debug)]
pub(super) struct SourceOffsets {
    pub(super) committed: CommittedOffset,
    pub(super) log: LogOffsets,
}

/// Checks the topics of the sources that have no pattern. A query that fails is reported as unknown.
pub(super) fn checks(config: &Config, cluster: &Cluster) -> Result<Vec<Finding>, Error> {
    let mut checks = Vec::new();
    if config.sources.is_empty() {
        return Ok(checks);
    }
    let group = ingest_group(config);
    let inspector = Inspector::new(cluster, &group)?;
    for topic in config.sources.iter().flat_map(SourceConfig::named_topics) {
        match offsets(&inspector, topic) {
            Ok(offsets) => checks.extend(findings(topic, &group, &offsets)),
            Err(error) => checks.push(super::query_failed("sources", topic, &error)),
        }
    }
    Ok(checks)
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
    fn unread_records_are_counted() {
        let found = findings("orders", "group", &[partition(Some(7), 5, 20), partition(None, 5, 20)]);
        assert_eq!(found[0].what, "the offsets of 2 partitions exist, 28 records are not read yet");
        assert!(findings("orders", "group", &[]).is_empty(), "the topic check reports that it is missing");
    }
}
