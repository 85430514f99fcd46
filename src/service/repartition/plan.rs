//! Whether the customers can be moved: what the cluster says, and what speaks against it.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::admin::{TopicDescription, describe_topics};
use crate::kafka::cluster::inspector::{Inspector, LogOffsets};
use crate::kafka::{Cluster, CommittedOffset, Error, PartitionId};
use crate::partition::Clock;
use crate::runtime::{LogRanges, Mismatch, PartitionLog, Setup, StartingPoint, find_starting_point};
use crate::wire::offset_metadata::OffsetMetadata;

use super::{Original, OriginalPartition, Target};

/// What the cluster says about the old topics, the new ones and the group.
pub(super) struct Observed {
    group: String,
    /// The topics that the service writes.
    published: Vec<String>,
    members: usize,
    is_stable: bool,
    old: [(String, Option<TopicDescription>); 2],
    new: [(String, Option<TopicDescription>); 2],
    /// For each old partition: the committed offset, the touchpoints and the changelog.
    partitions: Vec<(CommittedOffset, LogOffsets, LogOffsets)>,
    /// The committed offsets of the new touchpoint topic.
    committed_new: Vec<CommittedOffset>,
    target: Target,
}

impl Observed {
    pub(super) fn query(
        config: &Config,
        target: &Target,
        inspector: &Inspector,
        cluster: &Cluster,
    ) -> Result<Self, Error> {
        let names = [&config.topics.touchpoints, &config.topics.changelog, &target.touchpoints, &target.changelog];
        let distinct: BTreeSet<&str> = names.iter().map(|name| name.as_str()).collect();
        let described = describe_topics(cluster, &distinct.into_iter().collect::<Vec<_>>())?;
        let [old, old_changelog, new, new_changelog] =
            names.map(|name| (name.clone(), described.iter().flatten().find(|topic| topic.name == *name).cloned()));
        let mut partitions = Vec::new();
        let mut is_stable = true;
        if let (Some(topic), Some(changelog)) = (&old.1, &old_changelog.1)
            && topic.partitions == changelog.partitions
        {
            let committed = inspector.committed(&topic.name, topic.partitions)?;
            is_stable = committed.is_stable;
            for offset in committed.offsets {
                let touchpoints = inspector.range(&topic.name, offset.partition)?;
                let log = inspector.range(&changelog.name, offset.partition)?;
                partitions.push((offset, touchpoints, log));
            }
        }
        let committed_new = match &new.1 {
            Some(topic) => inspector.committed(&topic.name, topic.partitions)?.offsets,
            None => Vec::new(),
        };
        Ok(Self {
            group: config.kafka.group_id.clone(),
            published: config.published_topics().map(str::to_owned).collect(),
            members: inspector.group(&old.0)?.members.len(),
            is_stable,
            old: [old, old_changelog],
            new: [new, new_changelog],
            partitions,
            committed_new,
            target: target.clone(),
        })
    }

    /// Whether an earlier run has committed the offsets of the new topic.
    pub(super) fn is_moved(&self) -> bool {
        self.target.touchpoints != self.old[0].0
            && !self.committed_new.is_empty()
            && self.committed_new.iter().all(|committed| committed.offset.is_some())
    }

    /// Returns what is moved, or every problem found.
    pub(super) fn original(&self) -> Result<Original, Vec<Finding>> {
        let mut problems = Vec::new();
        self.check_topics(&mut problems);
        if self.members > 0 {
            let what = format!("the group has {} members", self.members);
            problems.push(problem(
                "group",
                &self.group,
                &what,
                "stop every instance of the service; one that was killed leaves after kafka.session_timeout",
            ));
        }
        if !self.is_stable {
            let what = "a transaction of the service is still open";
            problems.push(problem(
                "group",
                &self.group,
                what,
                "wait until it has ended, at most kafka.transaction_timeout",
            ));
        }
        let mut ranges = Vec::new();
        let mut metadata: Vec<OffsetMetadata> = Vec::new();
        for (committed, touchpoints, changelog) in &self.partitions {
            match self.check_partition(committed, *touchpoints, *changelog) {
                Ok(Some(found)) => {
                    let (start, end) = (found.changelog_start, found.changelog_end);
                    ranges.push(OriginalPartition { partition: committed.partition, start, end });
                    metadata.push(found);
                }
                Ok(None) => {}
                Err(found) => problems.push(found),
            }
        }
        if metadata.iter().any(|found| found.models != metadata[0].models) {
            let what = "the partitions were committed with different models";
            let to_do = "start the service once with the models it should have, wait until all partitions have committed, \
                         then stop it";
            problems.push(problem("offsets", &self.group, what, to_do));
        }
        let Some(first) = metadata.first().filter(|_| problems.is_empty()) else {
            if problems.is_empty() {
                let what = "the service has not processed any touchpoint of this topic";
                let to_do = "set topics.touchpoints and topics.changelog to new topics, and start the service: there is nothing \
                             to move";
                problems.push(problem("offsets", &self.group, what, to_do));
            }
            return Err(problems);
        };
        let earliest = metadata.iter().filter_map(|found| found.clock.stream_time()).min();
        let committed = self.partitions.iter().map(|(committed, ..)| committed.clone()).collect();
        Ok(Original { committed, partitions: ranges, clock: Clock::at(earliest), models: first.models })
    }

    /// Checks that the customers can still be moved, and that what was `planned` is still everything: no partition was
    /// committed since.
    pub(super) fn check_unchanged(&self, planned: &Original) -> Result<(), Vec<Finding>> {
        let found = self.original()?;
        let planned = planned.committed.iter().map(Some).chain(std::iter::repeat(None));
        let pairs = found.committed.iter().zip(planned);
        let problems: Vec<_> = pairs
            .filter(|(committed, planned)| *planned != Some(committed))
            .map(|(committed, _)| {
                let place = format!("partition {} of {}", committed.partition, self.old[0].0);
                let what = "the service committed during the move, so the copy is not complete";
                let to_do = "stop every instance of the service, then run the command again: it copies what is missing";
                problem("offsets", &place, what, to_do)
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn check_topics(&self, problems: &mut Vec<Finding>) {
        for (name, topic) in &self.old {
            if topic.is_none() {
                problems.push(problem(
                    "topics",
                    name,
                    "the topic does not exist",
                    "run the command with the configuration of the service",
                ));
            }
        }
        let is_same = self.new[0].0 == self.new[1].0;
        for (name, _) in &self.new[usize::from(is_same)..] {
            let is_taken = self.old.iter().any(|(old, _)| old == name) || self.published.contains(name);
            if is_taken || is_same {
                let what = if is_taken { "it is one of the service's topics" } else { "both topics have this name" };
                problems.push(problem("topics", name, what, "choose new names for both topics"));
            }
        }
        if let [(_, Some(touchpoints)), (_, Some(changelog))] = &self.old
            && touchpoints.partitions != changelog.partitions
        {
            let what = format!(
                "it has {} partitions, but {} has {}",
                touchpoints.partitions, changelog.name, changelog.partitions
            );
            problems.push(problem(
                "topics",
                &touchpoints.name,
                &what,
                "run `lifecycle doctor`, which explains the state",
            ));
        }
        for (name, topic) in &self.new {
            if let Some(topic) = topic.as_ref().filter(|topic| topic.partitions != self.target.partitions) {
                let what = format!("it has {} partitions instead of {}", topic.partitions, self.target.partitions);
                problems.push(problem(
                    "topics",
                    name,
                    &what,
                    "choose another name, or delete the topic if it is empty",
                ));
            }
        }
        if !self.is_moved() && self.committed_new.iter().any(|committed| committed.offset.is_some()) {
            let what = "the group has committed offsets of some of its partitions";
            let to_do = "choose another name: a service may have read this topic";
            problems.push(problem("offsets", &self.target.touchpoints, what, to_do));
        }
    }

    /// Returns the metadata from which the partition would be restored; `None` if it has no state.
    fn check_partition(
        &self,
        committed: &CommittedOffset,
        touchpoints: LogOffsets,
        changelog: LogOffsets,
    ) -> Result<Option<OffsetMetadata>, Finding> {
        let place = format!("partition {} of {}", committed.partition, self.old[0].0);
        let logs = LogRanges {
            input: (touchpoints.start, touchpoints.high_watermark),
            changelog: (changelog.start, changelog.last_stable),
            hand_overs: None,
        };
        // A state with identity resolution is refused below.
        let setup = Setup { partitions: self.old[0].1.as_ref().map(|topic| topic.partitions), has_identity: true };
        let unread = |from: i64| {
            let count = touchpoints.high_watermark - from;
            (count > 0).then(|| {
                let what =
                    if count == 1 { "1 record is unread".to_owned() } else { format!("{count} records are unread") };
                let to_do =
                    "let every producer write to the new topic, run the service until its lag is 0, then stop it";
                problem("offsets", &place, &what, to_do)
            })
        };
        // An open transaction at the end of the changelog hides nothing that was committed with the offset.
        let changelog_end = changelog.high_watermark;
        match find_starting_point(committed, logs, setup) {
            Err(mismatch) => Err(mismatch.finding(self.place_of(&mismatch, committed.partition))),
            Ok(StartingPoint::Committed { metadata: Some(metadata), .. }) if metadata.changelog_end > changelog_end => {
                let mismatch = Mismatch::ChangelogShrunk { expected: metadata.changelog_end, end: changelog_end };
                Err(mismatch.finding(self.place_of(&mismatch, committed.partition)))
            }
            Ok(StartingPoint::Beginning) => unread(touchpoints.start).map_or(Ok(None), Err),
            Ok(StartingPoint::Committed { metadata: None, .. }) => {
                let what = "its committed offset was set by hand";
                Err(problem("offsets", &place, what, "start the service, wait until its lag is 0, then stop it"))
            }
            Ok(StartingPoint::Committed { metadata: Some(OffsetMetadata { hand_overs: Some(_), .. }), .. }) => {
                let what = "its state was written with identity resolution, which cannot be moved";
                let to_do = "give the service new topics, also for hand-overs, and a new kafka.group_id, and reprocess all \
                             touchpoints";
                Err(problem("offsets", &place, what, to_do))
            }
            Ok(StartingPoint::Committed { offset, metadata }) => unread(offset).map_or(Ok(metadata), Err),
        }
    }

    /// Names the partition of the log that `mismatch` is about.
    fn place_of(&self, mismatch: &Mismatch, partition: PartitionId) -> String {
        let (topic, _) = match mismatch.log() {
            PartitionLog::Input => &self.old[0],
            PartitionLog::Changelog | PartitionLog::HandOvers => &self.old[1],
        };
        format!("partition {partition} of {topic}")
    }
}

fn problem(about: &'static str, place: &str, what: &str, to_do: &str) -> Finding {
    Finding::new(Severity::Problem, about, place, what, to_do)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::id::StableId;

    fn range(start: i64, end: i64) -> LogOffsets {
        LogOffsets { start, last_stable: end, high_watermark: end }
    }

    /// The commit of a partition after 7 touchpoints, with a changelog of 10 to 20.
    fn committed(partition: PartitionId) -> CommittedOffset {
        let metadata = OffsetMetadata {
            changelog_start: 10,
            changelog_end: 20,
            clock: Clock::default(),
            models: StableId(1),
            partitions: Some(2),
            hand_overs: None,
            last_hand_over: None,
            member: None,
        };
        CommittedOffset { partition, offset: Some(7), metadata: metadata.encode() }
    }

    /// A stopped service with two partitions, the second without a commit.
    fn observed() -> Observed {
        let topic = |name: &str| {
            let found = TopicDescription { name: name.into(), partitions: 2, replication: 1, configs: None };
            (name.to_owned(), Some(found))
        };
        let new = CommittedOffset { partition: 1, offset: None, metadata: String::new() };
        Observed {
            group: "group".into(),
            published: Vec::new(),
            members: 0,
            is_stable: true,
            old: [topic("in"), topic("log")],
            new: [("in-2".into(), None), ("log-2".into(), None)],
            partitions: vec![(committed(0), range(0, 7), range(10, 20)), (new, range(0, 0), range(0, 0))],
            committed_new: Vec::new(),
            target: Target { touchpoints: "in-2".into(), changelog: "log-2".into(), partitions: 3 },
        }
    }

    fn texts(found: Result<impl Sized, Vec<Finding>>) -> Vec<String> {
        found.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_changelog_that_has_lost_its_end_is_not_moved() {
        let mut observed = observed();
        let original = observed.original().unwrap_or_else(|problems| panic!("{problems:?}"));
        let ranges: Vec<_> = original.partitions.iter().map(|it| (it.partition, it.start, it.end)).collect();
        assert_eq!(ranges, [(0, 10, 20)]);

        observed.partitions[0].2 = range(10, 19);
        let found = texts(observed.original());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("partition 0 of log"), "{found:?}");
        assert!(found[0].contains("it ends at offset 19, but was committed up to 20"), "{found:?}");
        assert_eq!(texts(observed.check_unchanged(&original)), found, "it may also lose its end during the move");
    }

    #[test]
    fn a_commit_during_the_move_is_found_in_every_partition() {
        let mut observed = observed();
        let original = observed.original().unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(texts(observed.check_unchanged(&original)), [""; 0]);

        // The first commit of a partition.
        observed.partitions[1].0 = committed(1);
        observed.partitions[1].1 = range(0, 7);
        observed.partitions[1].2 = range(10, 20);
        // A commit without touchpoints, of wake-ups that have fired.
        observed.partitions[0].2 = range(10, 25);
        observed.partitions[0].0.metadata = observed.partitions[0].0.metadata.replace("10..20", "10..25");
        let found = texts(observed.check_unchanged(&original));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("partition 0 of in") && found[1].contains("partition 1 of in"), "{found:?}");
        assert!(found[0].contains("the service committed during the move"), "{found:?}");
    }
}
