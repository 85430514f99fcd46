//! Checks the committed offsets against the offset ranges of the logs.
//!
//! Uses the same comparison as a worker that is assigned a partition, so the doctor predicts what would stop it.
//! Pure: evaluates offsets that the caller has fetched.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Severity};
use crate::kafka::CommittedOffset;
use crate::kafka::cluster::inspector::LogOffsets;
use crate::lifecycle::id::StableId;
use crate::runtime::{self, LogRanges, Mismatch, PartitionLog, Setup, StartingPoint};
use crate::wire::offset_metadata::OffsetMetadata;

const ABOUT: &str = "offsets";

/// One partition number: its committed offset, and the offset ranges of its touchpoint and changelog partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PartitionSnapshot {
    /// Committed offset of the group, with metadata.
    pub(super) committed: CommittedOffset,
    /// Offset range of the touchpoint partition.
    pub(super) input: LogOffsets,
    /// Offset range of the changelog partition.
    pub(super) changelog: LogOffsets,
    /// Offset range of the hand-over partition; `None` without identity resolution.
    pub(super) hand_overs: Option<LogOffsets>,
}

impl PartitionSnapshot {
    fn compare(&self, expected: Expected<'_>) -> Result<StartingPoint, Mismatch> {
        let Self { committed, input, changelog, hand_overs } = self;
        // The input is compared with its end, not its last stable offset: an open transaction of a producer must not
        // look like a topic that has lost records.
        let logs = LogRanges {
            input: (input.start, input.high_watermark),
            changelog: (changelog.start, changelog.last_stable),
            hand_overs: hand_overs.map(|hand_overs| (hand_overs.start, hand_overs.high_watermark)),
        };
        let setup = Setup { partitions: Some(expected.partitions), has_identity: expected.hand_overs.is_some() };
        runtime::find_starting_point(committed, logs, setup)
    }
}

/// The configuration that the committed offsets are compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expected<'a> {
    /// Name of the touchpoint topic.
    pub(super) topic: &'a str,
    /// Name of the changelog topic.
    pub(super) changelog: &'a str,
    /// Name of the topic of hand-overs; `None` without identity resolution.
    pub(super) hand_overs: Option<&'a str>,
    /// Partition count of the touchpoint topic.
    pub(super) partitions: i32,
    /// Hash of the configured models; `None` skips their comparison.
    pub(super) models: Option<StableId>,
}

/// Returns the problems that prevent the service from processing a partition, except shrunk logs (see `shrunk_logs`).
///
/// The log ranges must be older than the committed offsets: a running service advances both.
pub(super) fn mismatches(snapshots: &[PartitionSnapshot], expected: Expected<'_>) -> Vec<Finding> {
    let mismatches = snapshots.iter().filter_map(|snapshot| mismatch(snapshot, expected));
    mismatches.chain(earlier_hand_overs(snapshots, expected)).collect()
}

/// Returns a problem if the topic contains hand-overs before the first commit of the group, which would be applied. The
/// group commits the first offsets before it writes hand-overs.
fn earlier_hand_overs(snapshots: &[PartitionSnapshot], expected: Expected<'_>) -> Option<Finding> {
    let is_used = |snapshot: &PartitionSnapshot| snapshot.hand_overs.is_some_and(|it| it.start < it.high_watermark);
    // With a changelog, only the offsets are missing, and the hand-overs are those of this service.
    let is_new =
        |it: &PartitionSnapshot| it.committed.offset.is_none() && it.changelog.start == it.changelog.high_watermark;
    let is_new = snapshots.iter().all(is_new);
    let topic = expected.hand_overs.filter(|_| is_new && snapshots.iter().any(is_used))?;
    let what = "it contains hand-overs, but the group has no committed offset: they are those of an earlier run or of another \
                service, and would be applied again";
    let to_do = "name another topic in topics.hand_overs, or delete this one, if no other service uses it, and create it \
                 again with `lifecycle topics --create`";
    Some(Finding::new(Severity::Problem, ABOUT, topic, what, to_do))
}

fn mismatch(snapshot: &PartitionSnapshot, expected: Expected<'_>) -> Option<Finding> {
    let mismatch = snapshot.compare(expected).err().filter(|it| !matches!(it, Mismatch::InputShrunk { .. }))?;
    Some(problem(snapshot, &mismatch, expected))
}

/// Returns the logs that end before a committed offset.
///
/// The log ranges must be newer than the committed offsets: a broker that has just become leader may briefly report an
/// end offset that is too low.
pub(super) fn shrunk_logs(snapshots: &[PartitionSnapshot], expected: Expected<'_>) -> Vec<Finding> {
    let mut checks = Vec::new();
    for snapshot in snapshots {
        if let Err(mismatch @ Mismatch::InputShrunk { .. }) = snapshot.compare(expected) {
            checks.push(problem(snapshot, &mismatch, expected));
        }
        let (metadata, end) =
            (OffsetMetadata::decode(&snapshot.committed.metadata).ok().flatten(), snapshot.changelog.high_watermark);
        if let Some(metadata) = metadata.as_ref().filter(|it| it.changelog_end > end) {
            let mismatch = Mismatch::ChangelogShrunk { expected: metadata.changelog_end, end };
            checks.push(problem(snapshot, &mismatch, expected));
        }
        if let (Some(committed), Some(end)) =
            (metadata.and_then(|it| it.hand_overs), snapshot.hand_overs.map(|it| it.high_watermark))
            && committed > end
        {
            checks.push(problem(snapshot, &Mismatch::HandOversShrunk { committed, end }, expected));
        }
    }
    checks
}

fn problem(snapshot: &PartitionSnapshot, mismatch: &Mismatch, expected: Expected<'_>) -> Finding {
    let topic = match mismatch.log() {
        PartitionLog::Input => expected.topic,
        PartitionLog::Changelog => expected.changelog,
        PartitionLog::HandOvers => expected.hand_overs.unwrap_or_default(),
    };
    let place = format!("partition {} of {topic}", snapshot.committed.partition);
    mismatch.finding(place)
}

/// Summarizes committed offsets without problems: lag, offsets set by hand, changed models.
pub(super) fn summary(snapshots: &[PartitionSnapshot], expected: Expected<'_>) -> Vec<Finding> {
    let committed = || snapshots.iter().filter(|it| it.committed.offset.is_some());
    if committed().count() == 0 {
        let what = "nothing is committed yet: the service starts at the first touchpoint";
        return vec![Finding::passed(ABOUT, expected.topic, what)];
    }
    let mut checks = Vec::new();
    // Touchpoints behind an open transaction are acknowledged, so they count although they cannot be read yet.
    let lag: i64 =
        committed().map(|it| (it.input.high_watermark - it.committed.offset.unwrap_or_default()).max(0)).sum();
    let hidden: i64 = committed().map(|it| it.input.high_watermark - it.input.last_stable).sum();
    let hidden = if hidden > 0 { format!(", {hidden} of them behind an open transaction") } else { String::new() };
    let what = format!(
        "{} of {} partitions have a committed offset; lag: {lag} offsets{hidden}",
        committed().count(),
        snapshots.len()
    );
    checks.push(Finding::passed(ABOUT, expected.topic, what));
    let by_hand: Vec<i32> =
        committed().filter(|it| it.committed.metadata.is_empty()).map(|it| it.committed.partition).collect();
    if !by_hand.is_empty() {
        checks.push(Finding::new(
            Severity::Warning,
            ABOUT,
            expected.topic,
            format!("the offsets of partitions {by_hand:?} were set by hand"),
            "nothing, if this was intended: the whole changelog is restored. Touchpoints that are already applied count as duplicates; unread touchpoints before these offsets are skipped",
        ));
    }
    let metadata = |it: &PartitionSnapshot| OffsetMetadata::decode(&it.committed.metadata).ok().flatten();
    if let Some(models) = expected.models {
        let changed = committed().filter_map(metadata).filter(|it| it.models != models).count();
        if changed > 0 {
            let what = format!(
                "the models have changed since the last commit of {changed} partitions; the differences are published with mode `reconcile`"
            );
            checks.push(Finding::passed("models", expected.topic, what));
        }
        checks.extend(different_models(committed().filter_map(metadata), models, expected.topic));
    }
    checks
}

/// Returns a warning if two instances have committed with different models. Only the hash of the models is compared: an
/// edit does not have to change the version number.
///
/// An instance whose partitions were idle since its update still has commits of the earlier models, so two instances
/// differ only if they have no hash in common.
fn different_models(
    committed: impl Iterator<Item = OffsetMetadata>,
    configured: StableId,
    topic: &str,
) -> Option<Finding> {
    let mut instances = BTreeMap::<String, BTreeSet<String>>::new();
    for OffsetMetadata { models, member, .. } in committed {
        // A member is named after its instance and the number of its worker.
        let Some(member) = member else { continue };
        let instance = member.rsplit_once('-').map_or(member.as_str(), |(instance, _)| instance);
        instances.entry(instance.to_owned()).or_default().insert(format!("{:016x}", models.0));
    }
    let mut sets = instances.values();
    let first = sets.next()?;
    if sets.all(|hashes| !hashes.is_disjoint(first)) {
        return None;
    }
    let describe = |(instance, hashes): (&String, &BTreeSet<String>)| {
        format!("{instance} with {}", hashes.iter().map(String::as_str).collect::<Vec<_>>().join(" and "))
    };
    let found: Vec<String> = instances.iter().map(describe).collect();
    let what = format!(
        "instances have committed with different models, by hash: {}; this configuration has {:016x}",
        found.join(", "),
        configured.0
    );
    let to_do = "deploy the same model files and parameters to all instances: a customer is evaluated with the models of the \
                 instance that owns the partition";
    Some(Finding::new(Severity::Warning, "models", topic, what, to_do))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Clock;

    const EXPECTED: Expected<'_> = Expected {
        topic: "in",
        changelog: "log",
        hand_overs: Some("hand-overs"),
        partitions: 4,
        models: Some(StableId(1)),
    };

    fn metadata() -> OffsetMetadata {
        OffsetMetadata {
            changelog_start: 10,
            changelog_end: 20,
            clock: Clock::default(),
            models: StableId(1),
            partitions: Some(4),
            hand_overs: Some(35),
            last_hand_over: None,
            member: None,
        }
    }

    fn snapshot(metadata: &str) -> PartitionSnapshot {
        let range = |start, end| LogOffsets { start, last_stable: end, high_watermark: end };
        PartitionSnapshot {
            committed: CommittedOffset { partition: 3, offset: Some(7), metadata: metadata.to_owned() },
            input: range(5, 9),
            changelog: range(10, 20),
            hand_overs: Some(range(30, 40)),
        }
    }

    fn all(snapshot: &PartitionSnapshot) -> Vec<Finding> {
        let snapshots = std::slice::from_ref(snapshot);
        [mismatches(snapshots, EXPECTED), shrunk_logs(snapshots, EXPECTED)].concat()
    }

    #[test]
    fn instances_with_different_models_of_the_same_version_are_a_warning() {
        let by = |member: &str, models| OffsetMetadata {
            models: StableId(models),
            member: Some(member.to_owned()),
            ..metadata()
        };
        let found = |committed: Vec<OffsetMetadata>| different_models(committed.into_iter(), StableId(1), "in");
        let finding = found(vec![by("a-0", 1), by("a-1", 1), by("b-0", 2)]).expect("they differ");
        assert_eq!(finding.severity, Severity::Warning);
        let expected = "a with 0000000000000001, b with 0000000000000002; this configuration has 0000000000000001";
        assert!(finding.what.ends_with(expected), "{finding}");
        assert_eq!(found(vec![by("a-0", 1), by("b-0", 1)]), None);
        assert_eq!(found(vec![by("a-0", 1), by("b-0", 2), by("b-1", 1)]), None, "b was idle in one partition");
        assert_eq!(found(vec![by("a-0", 2), by("a-1", 1)]), None, "one instance after an edit");
    }

    #[test]
    fn an_offset_within_its_logs_has_no_problem() {
        let good = snapshot(&metadata().encode());
        assert_eq!(all(&good), []);
        let new = PartitionSnapshot {
            committed: CommittedOffset { partition: 3, offset: None, metadata: String::new() },
            ..good
        };
        let empty = LogOffsets { start: 20, last_stable: 20, high_watermark: 20 };
        assert_eq!(all(&PartitionSnapshot { changelog: empty, hand_overs: Some(empty), ..new }), []);
    }

    #[test]
    fn hand_overs_before_the_first_commit_of_the_group_are_a_problem() {
        let good = snapshot(&metadata().encode());
        let empty = LogOffsets { start: 20, last_stable: 20, high_watermark: 20 };
        let committed = CommittedOffset { partition: 2, offset: None, metadata: String::new() };
        let new = PartitionSnapshot { committed, changelog: empty, ..good.clone() };
        let found = mismatches(&[new.clone(), PartitionSnapshot { hand_overs: Some(empty), ..new.clone() }], EXPECTED);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].severity, found[0].place.as_str()), (Severity::Problem, "hand-overs"));
        assert!(found[0].to_do.contains("topics.hand_overs"), "{}", found[0]);
        assert_eq!(mismatches(&[new, good], EXPECTED), [], "another partition was committed, and wrote them");
    }

    #[test]
    fn a_state_with_identity_resolution_needs_it() {
        let off = Expected { hand_overs: None, ..EXPECTED };
        let with = PartitionSnapshot { hand_overs: None, ..snapshot(&metadata().encode()) };
        let found = mismatches(std::slice::from_ref(&with), off);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].to_do.contains("identity.enabled: true"), "{}", found[0]);
        let without = snapshot(&OffsetMetadata { hand_overs: None, ..metadata() }.encode());
        assert_eq!(mismatches(&[PartitionSnapshot { hand_overs: None, ..without }], off), []);
    }

    #[test]
    fn every_problem_says_what_where_and_what_to_do() {
        let good = snapshot(&metadata().encode());
        let with = |metadata: OffsetMetadata| snapshot(&metadata.encode());
        let committed =
            |offset, metadata: &str| CommittedOffset { partition: 3, offset, metadata: metadata.to_owned() };
        for (snapshot, what) in [
            (PartitionSnapshot { committed: committed(None, ""), ..good.clone() }, "has no committed offset"),
            (PartitionSnapshot { committed: committed(Some(4), ""), ..good.clone() }, "below the first offset 5"),
            (PartitionSnapshot { committed: committed(Some(10), ""), ..good.clone() }, "past the end 9"),
            (PartitionSnapshot { committed: committed(Some(7), "lifecycle=9"), ..good.clone() }, "newer release"),
            (PartitionSnapshot { committed: committed(Some(7), "spark"), ..good.clone() }, "not written by lifecycle"),
            (with(OffsetMetadata { partitions: Some(6), ..metadata() }), "has 4 partitions, but had 6"),
            (with(OffsetMetadata { changelog_start: 9, ..metadata() }), "records from 9 on are needed"),
            (with(OffsetMetadata { changelog_end: 21, ..metadata() }), "was committed up to 21"),
            (with(OffsetMetadata { hand_overs: Some(29), ..metadata() }), "below the first offset 30"),
            (with(OffsetMetadata { hand_overs: Some(41), ..metadata() }), "past the end 40"),
        ] {
            let checks = all(&snapshot);
            assert_eq!(checks.len(), 1, "{what}: {checks:?}");
            assert_eq!(checks[0].severity, Severity::Problem);
            assert!(checks[0].what.contains(what), "{what}: {}", checks[0].what);
            assert!(checks[0].place.starts_with("partition 3 of "), "{}", checks[0].place);
            assert!(!checks[0].to_do.is_empty());
        }
    }

    #[test]
    fn offsets_set_by_hand_and_changed_models_are_reported() {
        let by_hand = summary(&[snapshot("")], EXPECTED);
        assert!(by_hand.iter().any(|it| it.severity == Severity::Warning && it.what.contains("[3]")), "{by_hand:?}");
        let changed = summary(&[snapshot(&OffsetMetadata { models: StableId(2), ..metadata() }.encode())], EXPECTED);
        assert!(changed.iter().any(|it| it.about == "models"), "{changed:?}");
    }
}
