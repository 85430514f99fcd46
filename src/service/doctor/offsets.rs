//! Committed positions against what the logs hold: everything that would stop the service or lose something. Pure: compares what
//! the cluster said, as a worker does when it takes a partition up.

use crate::kafka::CommittedOffset;
use crate::kafka::inspect::LogRange;
use crate::lifecycle::id::StableId;
use crate::runtime::{self, Found, Log, Logs, Mismatch};
use crate::wire::offset_metadata::OffsetMetadata;

use super::check::{Check, Verdict};

const ABOUT: &str = "offsets";

/// A partition of the touchpoints: what is committed for it, and how far its logs reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Position {
    /// What the group has committed.
    pub(super) committed: CommittedOffset,
    /// The touchpoints.
    pub(super) input: LogRange,
    /// The customers.
    pub(super) changelog: LogRange,
}

impl Position {
    fn compare(&self, expected: Expected<'_>) -> Result<Found, Mismatch> {
        let Self { committed, input, changelog } = self;
        // A touchpoint within an open transaction is no sign of a topic that is shorter than it was.
        let logs = Logs { input: (input.start, input.end), changelog: (changelog.start, changelog.stable_end) };
        runtime::compare(committed, logs, Some(expected.partitions))
    }
}

/// What the service is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expected<'a> {
    /// The topic of touchpoints.
    pub(super) topic: &'a str,
    /// The topic of the changelog.
    pub(super) changelog: &'a str,
    /// How many partitions the topic of touchpoints has.
    pub(super) partitions: i32,
    /// The hash of the configured models; `None` leaves them out.
    pub(super) models: Option<StableId>,
}

/// Everything that keeps the service from going on, partition by partition. The ranges must have been asked for before the offsets:
/// a service at work moves both.
pub(super) fn refusals(positions: &[Position], expected: Expected<'_>) -> Vec<Check> {
    positions.iter().filter_map(|position| refusal(position, expected)).collect()
}

fn refusal(position: &Position, expected: Expected<'_>) -> Option<Check> {
    let mismatch = position.compare(expected).err().filter(|it| !matches!(it, Mismatch::InputShrunk { .. }))?;
    Some(refused(position, &mismatch, expected))
}

/// The refusals that a broker which has just become leader may feign: ends that lie before what was committed.
pub(super) fn shrunk(positions: &[Position], expected: Expected<'_>) -> Vec<Check> {
    let mut checks = Vec::new();
    for position in positions {
        if let Err(mismatch @ Mismatch::InputShrunk { .. }) = position.compare(expected) {
            checks.push(refused(position, &mismatch, expected));
        }
        let (metadata, end) =
            (OffsetMetadata::decode(&position.committed.metadata).ok().flatten(), position.changelog.end);
        if let Some(metadata) = metadata.filter(|it| it.changelog_end > end) {
            let mismatch = Mismatch::ChangelogShrunk { expected: metadata.changelog_end, end };
            checks.push(refused(position, &mismatch, expected));
        }
    }
    checks
}

fn refused(position: &Position, mismatch: &Mismatch, expected: Expected<'_>) -> Check {
    let topic = match mismatch.log() {
        Log::Input => expected.topic,
        Log::Changelog => expected.changelog,
    };
    let place = format!("partition {} of {topic}", position.committed.partition);
    Check::new(Verdict::Problem, ABOUT, place, mismatch.to_string(), mismatch.to_do())
}

/// What is worth knowing of positions that are in order.
pub(super) fn summary(positions: &[Position], expected: Expected<'_>) -> Vec<Check> {
    let committed = || positions.iter().filter(|it| it.committed.offset.is_some());
    if committed().count() == 0 {
        let what = "nothing is committed yet: the service begins with the first touchpoint";
        return vec![Check::passed(ABOUT, expected.topic, what)];
    }
    let mut checks = Vec::new();
    let lag: i64 = committed().map(|it| (it.input.stable_end - it.committed.offset.unwrap_or_default()).max(0)).sum();
    let what = format!(
        "{} of {} partitions have a position, {lag} records or markers lie behind it",
        committed().count(),
        positions.len()
    );
    checks.push(Check::passed(ABOUT, expected.topic, what));
    let by_hand: Vec<i32> =
        committed().filter(|it| it.committed.metadata.is_empty()).map(|it| it.committed.partition).collect();
    if !by_hand.is_empty() {
        checks.push(Check::new(
            Verdict::Warning,
            ABOUT,
            expected.topic,
            format!("the offsets of the partitions {by_hand:?} were set by hand"),
            "nothing, when that was meant: the whole changelog is restored, and touchpoints are read again from there",
        ));
    }
    let metadata = |it: &Position| OffsetMetadata::decode(&it.committed.metadata).ok().flatten();
    if let Some(models) = expected.models {
        let changed = committed().filter_map(metadata).filter(|it| it.models != models).count();
        if changed > 0 {
            let what = format!(
                "the models have changed since {changed} partitions were last committed; what differs is published with mode `reconcile`"
            );
            checks.push(Check::passed("models", expected.topic, what));
        }
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Clock;

    const EXPECTED: Expected<'_> = Expected { topic: "in", changelog: "log", partitions: 4, models: Some(StableId(1)) };

    fn metadata() -> OffsetMetadata {
        OffsetMetadata {
            changelog_start: 10,
            changelog_end: 20,
            clock: Clock::default(),
            models: StableId(1),
            partitions: Some(4),
            by: None,
        }
    }

    fn position(metadata: &str) -> Position {
        let range = |start, end| LogRange { start, stable_end: end, end };
        Position {
            committed: CommittedOffset { partition: 3, offset: Some(7), metadata: metadata.to_owned() },
            input: range(5, 9),
            changelog: range(10, 20),
        }
    }

    fn all(position: &Position) -> Vec<Check> {
        let positions = std::slice::from_ref(position);
        [refusals(positions, EXPECTED), shrunk(positions, EXPECTED)].concat()
    }

    #[test]
    fn a_position_within_its_logs_is_good() {
        let good = position(&metadata().encode());
        assert_eq!(all(&good), []);
        let new =
            Position { committed: CommittedOffset { partition: 3, offset: None, metadata: String::new() }, ..good };
        let empty = LogRange { start: 20, stable_end: 20, end: 20 };
        assert_eq!(all(&Position { changelog: empty, ..new }), []);
    }

    #[test]
    fn every_refusal_says_what_where_and_what_to_do() {
        let good = position(&metadata().encode());
        let with = |metadata: OffsetMetadata| position(&metadata.encode());
        let committed =
            |offset, metadata: &str| CommittedOffset { partition: 3, offset, metadata: metadata.to_owned() };
        for (position, what) in [
            (Position { committed: committed(None, ""), ..good.clone() }, "has no committed offset"),
            (Position { committed: committed(Some(4), ""), ..good.clone() }, "below the first offset 5"),
            (Position { committed: committed(Some(10), ""), ..good.clone() }, "past the end 9"),
            (Position { committed: committed(Some(7), "lifecycle=9"), ..good.clone() }, "newer release"),
            (Position { committed: committed(Some(7), "spark"), ..good.clone() }, "not written by lifecycle"),
            (with(OffsetMetadata { partitions: Some(6), ..metadata() }), "has 4 partitions, but had 6"),
            (with(OffsetMetadata { changelog_start: 9, ..metadata() }), "records from 9 on are needed"),
            (with(OffsetMetadata { changelog_end: 21, ..metadata() }), "was committed up to 21"),
        ] {
            let checks = all(&position);
            assert_eq!(checks.len(), 1, "{what}: {checks:?}");
            assert_eq!(checks[0].verdict, Verdict::Problem);
            assert!(checks[0].what.contains(what), "{what}: {}", checks[0].what);
            assert!(checks[0].place.starts_with("partition 3 of "), "{}", checks[0].place);
            assert!(!checks[0].to_do.is_empty());
        }
    }

    #[test]
    fn offsets_set_by_hand_and_other_models_are_told() {
        let by_hand = summary(&[position("")], EXPECTED);
        assert!(by_hand.iter().any(|it| it.verdict == Verdict::Warning && it.what.contains("[3]")), "{by_hand:?}");
        let changed = summary(&[position(&OffsetMetadata { models: StableId(2), ..metadata() }.encode())], EXPECTED);
        assert!(changed.iter().any(|it| it.about == "models"), "{changed:?}");
    }
}
