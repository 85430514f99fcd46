//! Whether the customers can be moved: what the cluster says, and what speaks against it.

use std::collections::BTreeSet;

use crate::config::Config;
use crate::finding::{Finding, Severity};
use crate::kafka::cluster::admin::{TopicDescription, describe_topics};
use crate::kafka::cluster::inspector::{Inspector, LogOffsets};
use crate::kafka::{Cluster, CommittedOffset, Error, PartitionId};
use crate::partition::Clock;
use crate::runtime::{LogRanges, Mismatch, PartitionLog, Setup, StartingPoint, find_starting_point};
use crate::service::last_hand_over::find_replaced;
use crate::wire::offset_metadata::OffsetMetadata;

use super::{Original, OriginalPartition, Target};

/// What the cluster says about the old topics, the new ones and the group.
pub(super) struct Observed {
    group: String,
    /// The topics that the service writes.
    published: Vec<String>,
    members: usize,
    is_stable: bool,
    /// The topics of touchpoints, changelog and, with identity resolution, hand-overs.
    old: Vec<(String, Option<TopicDescription>)>,
    /// The same of the target.
    new: Vec<(String, Option<TopicDescription>)>,
    /// The old partitions.
    partitions: Vec<ObservedPartition>,
    /// The committed offsets of the new touchpoint topic.
    committed_new: Vec<CommittedOffset>,
    target: Target,
}

/// One partition number of the old topics.
struct ObservedPartition {
    committed: CommittedOffset,
    touchpoints: LogOffsets,
    changelog: LogOffsets,
    /// `None` without identity resolution.
    hand_overs: Option<LogOffsets>,
    /// Set if the hand-over that was applied last is not in the topic any more.
    replaced: Option<Mismatch>,
}

impl Observed {
    pub(super) fn query(
        config: &Config,
        target: &Target,
        inspector: &Inspector,
        cluster: &Cluster,
    ) -> Result<Self, Error> {
        let topics = &config.topics;
        let own = config.identity.enabled.then_some(&topics.hand_overs);
        let old: Vec<&String> = [&topics.touchpoints, &topics.changelog].into_iter().chain(own).collect();
        let new: Vec<&String> =
            [&target.touchpoints, &target.changelog].into_iter().chain(&target.hand_overs).collect();
        let distinct: BTreeSet<&str> = old.iter().chain(&new).map(|name| name.as_str()).collect();
        let described = describe_topics(cluster, &distinct.into_iter().collect::<Vec<_>>())?;
        let describe = |name: &&String| {
            let found = described.iter().flatten().find(|topic| topic.name == **name).cloned();
            ((*name).clone(), found)
        };
        let (old, new): (Vec<_>, Vec<_>) = (old.iter().map(describe).collect(), new.iter().map(describe).collect());
        let mut partitions = Vec::new();
        let mut is_stable = true;
        let counts: BTreeSet<_> = old.iter().map(|(_, topic)| topic.as_ref().map(|topic| topic.partitions)).collect();
        // Otherwise the checks of the topics find a problem.
        if let (1, Some(Some(count))) = (counts.len(), counts.first()) {
            let committed = inspector.committed(&old[0].0, *count)?;
            is_stable = committed.is_stable;
            for committed in committed.offsets {
                let range = |(topic, _): &(String, _)| inspector.range(topic, committed.partition);
                let (touchpoints, changelog) = (range(&old[0])?, range(&old[1])?);
                let hand_overs = old.get(2).map(range).transpose()?;
                let replaced = match hand_overs {
                    Some(range) => find_replaced(inspector, &old[2].0, &committed, range)?,
                    None => None,
                };
                partitions.push(ObservedPartition { committed, touchpoints, changelog, hand_overs, replaced });
            }
        }
        let committed_new = match &new[0].1 {
            Some(topic) => inspector.committed(&topic.name, topic.partitions)?.offsets,
            None => Vec::new(),
        };
        Ok(Self {
            group: config.kafka.group_id.clone(),
            published: config.published_topics().map(str::to_owned).collect(),
            members: inspector.group(&topics.touchpoints)?.members.len(),
            is_stable,
            old,
            new,
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
        for observed in &self.partitions {
            match self.check_partition(observed) {
                Ok(Some(found)) => {
                    let (start, end) = (found.changelog_start, found.changelog_end);
                    ranges.push(OriginalPartition { partition: observed.committed.partition, start, end });
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
        let committed = self.partitions.iter().map(|observed| observed.committed.clone()).collect();
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
        match (self.old.get(2), self.new.get(2)) {
            (Some((name, _)), None) => {
                let what =
                    "identity resolution is on, and hand-overs that are under way in this topic are moved as well";
                problems.push(problem("topics", name, what, "name a new topic with --hand-overs"));
            }
            (None, Some((name, _))) => {
                let what = "identity.enabled is false, so there are no hand-overs";
                let to_do = "run the command with the configuration of the service, or without --hand-overs";
                problems.push(problem("topics", name, what, to_do));
            }
            _ => {}
        }
        for (index, (name, _)) in self.new.iter().enumerate() {
            let is_taken = self.old.iter().any(|(old, _)| old == name) || self.published.contains(name);
            let is_same = self.new[..index].iter().any(|(other, _)| other == name);
            if is_taken || is_same {
                let what = if is_taken { "it is one of the service's topics" } else { "two topics have this name" };
                problems.push(problem("topics", name, what, "choose new names for all topics"));
            }
        }
        if let [(_, Some(touchpoints)), others @ ..] = &self.old[..] {
            for other in others.iter().filter_map(|(_, other)| other.as_ref()) {
                if other.partitions != touchpoints.partitions {
                    let (count, name) = (touchpoints.partitions, &other.name);
                    let what = format!("it has {count} partitions, but {name} has {}", other.partitions);
                    let to_do = "run `lifecycle doctor`, which explains the state";
                    problems.push(problem("topics", &touchpoints.name, &what, to_do));
                }
            }
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
    fn check_partition(&self, observed: &ObservedPartition) -> Result<Option<OffsetMetadata>, Finding> {
        let ObservedPartition { committed, touchpoints, changelog, hand_overs, replaced } = observed;
        let place = format!("partition {} of {}", committed.partition, self.old[0].0);
        let logs = LogRanges {
            input: (touchpoints.start, touchpoints.high_watermark),
            changelog: (changelog.start, changelog.last_stable),
            hand_overs: hand_overs.map(|log| (log.start, log.high_watermark)),
        };
        let setup = Setup {
            partitions: self.old[0].1.as_ref().map(|topic| topic.partitions),
            has_identity: hand_overs.is_some(),
        };
        let refused = |mismatch: Mismatch| mismatch.finding(self.place_of(&mismatch, committed.partition));
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
        if let Some(mismatch) = replaced {
            return Err(refused(mismatch.clone()));
        }
        match find_starting_point(committed, logs, setup) {
            Err(mismatch) => Err(refused(mismatch)),
            Ok(StartingPoint::Committed { metadata: Some(metadata), .. }) if metadata.changelog_end > changelog_end => {
                Err(refused(Mismatch::ChangelogShrunk { expected: metadata.changelog_end, end: changelog_end }))
            }
            Ok(StartingPoint::Committed {
                metadata: Some(OffsetMetadata { hand_overs: Some(position), .. }), ..
            }) if hand_overs.is_some_and(|log| position > log.high_watermark) => {
                let end = hand_overs.map_or(0, |log| log.high_watermark);
                Err(refused(Mismatch::HandOversShrunk { committed: position, end }))
            }
            Ok(StartingPoint::Beginning) => unread(touchpoints.start).map_or(Ok(None), Err),
            Ok(StartingPoint::Committed { metadata: None, .. }) => {
                let what = "its committed offset was set by hand";
                Err(problem("offsets", &place, what, "start the service, wait until its lag is 0, then stop it"))
            }
            Ok(StartingPoint::Committed { offset, metadata }) => unread(offset).map_or(Ok(metadata), Err),
        }
    }

    /// Names the partition of the log that `mismatch` is about.
    fn place_of(&self, mismatch: &Mismatch, partition: PartitionId) -> String {
        let (topic, _) = match mismatch.log() {
            PartitionLog::Input => &self.old[0],
            PartitionLog::Changelog => &self.old[1],
            PartitionLog::HandOvers => &self.old[2],
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
            old: vec![topic("in"), topic("log")],
            new: vec![("in-2".into(), None), ("log-2".into(), None)],
            partitions: vec![
                partition(committed(0), range(0, 7), range(10, 20)),
                partition(new, range(0, 0), range(0, 0)),
            ],
            committed_new: Vec::new(),
            target: Target { touchpoints: "in-2".into(), changelog: "log-2".into(), hand_overs: None, partitions: 3 },
        }
    }

    fn partition(committed: CommittedOffset, touchpoints: LogOffsets, changelog: LogOffsets) -> ObservedPartition {
        ObservedPartition { committed, touchpoints, changelog, hand_overs: None, replaced: None }
    }

    /// The same with identity resolution: the first partition has applied hand-overs up to offset 5 of 9.
    fn observed_with_identity() -> Observed {
        let mut observed = observed();
        let old = observed.old[0].1.clone().map(|topic| TopicDescription { name: "moves".into(), ..topic });
        observed.old.push(("moves".into(), old));
        observed.new.push(("moves-2".into(), None));
        observed.target.hand_overs = Some("moves-2".into());
        for partition in &mut observed.partitions {
            partition.hand_overs = Some(range(0, 9));
        }
        observed.partitions[0].committed.metadata += " hand_overs=5";
        observed
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

        observed.partitions[0].changelog = range(10, 19);
        let found = texts(observed.original());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("partition 0 of log"), "{found:?}");
        assert!(found[0].contains("it ends at offset 19, but was committed up to 20"), "{found:?}");
        assert_eq!(texts(observed.check_unchanged(&original)), found, "it may also lose its end during the move");
    }

    #[test]
    fn hand_overs_are_moved_to_a_new_topic_with_the_state_that_they_belong_to() {
        let mut observed = observed_with_identity();
        let original = observed.original().unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(original.committed.len(), 2, "a partition without a commit may have hand-overs");

        // Applied during the move: they would be applied again.
        observed.partitions[0].committed.metadata = original.committed[0].metadata.replace("overs=5", "overs=6");
        let found = texts(observed.check_unchanged(&original));
        assert!(found.len() == 1 && found[0].contains("the service committed during the move"), "{found:?}");

        let only = |observed: &Observed, text: &str| {
            let found = texts(observed.original());
            assert!(found.len() == 1 && found[0].contains(text), "{text}: {found:?}");
        };
        observed.partitions[0].hand_overs = Some(range(7, 9));
        only(&observed, "partition 0 of moves: the position 6 is below the first offset 7");
        observed.partitions[0].hand_overs = Some(range(0, 5));
        only(&observed, "partition 0 of moves: the position 6 is past the end 5");
        observed.partitions[0].hand_overs = Some(range(0, 9));
        observed.partitions[0].replaced = Some(Mismatch::HandOversReplaced { offset: 5 });
        only(&observed, "partition 0 of moves: the record at offset 5 is not the hand-over that was read before");
        observed.partitions[0].replaced = None;

        observed.new[2].0 = "log-2".into();
        only(&observed, "two topics have this name");
        let new = observed.new.remove(2);
        observed.target.hand_overs = None;
        only(&observed, "name a new topic with --hand-overs");

        // With a configuration without identity resolution.
        observed.old.truncate(2);
        observed.partitions[0].hand_overs = None;
        only(&observed, "identity.enabled is false");
        observed.new.push(("moves-2".into(), new.1));
        let found = texts(observed.original());
        assert!(found.len() == 2 && found[0].contains("or without --hand-overs"), "{found:?}");
    }

    #[test]
    fn a_commit_during_the_move_is_found_in_every_partition() {
        let mut observed = observed();
        let original = observed.original().unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(texts(observed.check_unchanged(&original)), [""; 0]);

        // The first commit of a partition.
        observed.partitions[1] = partition(committed(1), range(0, 7), range(10, 20));
        // A commit without touchpoints, of wake-ups that have fired.
        observed.partitions[0].changelog = range(10, 25);
        let metadata = &mut observed.partitions[0].committed.metadata;
        *metadata = metadata.replace("10..20", "10..25");
        let found = texts(observed.check_unchanged(&original));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("partition 0 of in") && found[1].contains("partition 1 of in"), "{found:?}");
        assert!(found[0].contains("the service committed during the move"), "{found:?}");
    }
}
