//! Moves the customers of a stopped service to topics with another number of partitions.
//!
//! A customer is in the partition that its id hashes to, so another number of partitions needs another changelog.
//! The entries of the old changelog are copied as they are, in order, to the partition that each customer has among the
//! new ones: facts, wake-ups and what was published are part of the entry. The committed offsets of the new touchpoint
//! topic are written last, after the copy has been compared with the original. Until then the service cannot use the
//! copy, and the old topics are never changed.
//!
//! With identity resolution, the hand-overs that are under way are copied in the same way.

mod copy;
mod digest;
mod hand_overs;
mod plan;

use crate::config::Config;
use crate::finding::Finding;
use crate::kafka::cluster::admin::{create_topics, describe_topics};
use crate::kafka::cluster::group::commit_offsets;
use crate::kafka::cluster::inspector::Inspector;
use crate::kafka::{Cluster, CommittedOffset, Error, PartitionId, PartitionOffset};
use crate::lifecycle::id::StableId;
use crate::partition::{Clock, StoredLayout};
use crate::wire::changelog::InputProgress;
use crate::wire::offset_metadata::{OffsetMetadata, RecordDigest, mark_moved};

use super::topics::cluster;
use plan::Observed;

/// The topics to move to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The new touchpoint topic.
    pub touchpoints: String,
    /// The new changelog topic.
    pub changelog: String,
    /// The new topic of hand-overs; `None` without identity resolution.
    pub hand_overs: Option<String>,
    /// The number of partitions of each.
    pub partitions: i32,
}

impl Target {
    /// Returns how far the new input is applied, for the records of the new changelog. With identity resolution, this
    /// also gives them the format that earlier releases refuse. The new topic of hand-overs contains those under way
    /// and nothing else, so its start is right also if an operator removes the metadata of the offsets.
    fn progress(&self) -> InputProgress {
        InputProgress { hand_overs_to: self.hand_overs.as_ref().map(|_| 0), ..InputProgress::default() }
    }
}

/// What to do after the checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Only check whether the customers can be moved.
    Check,
    /// Move them.
    Move,
}

/// Customers and a digest of their state. Equal for two changelogs with the same customers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    /// The number of customers.
    pub customers: u64,
    /// The sum of the hashes of the customers' latest entries; independent of their order.
    digest: u64,
}

/// How far the command has come, for its user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// A topic was created.
    Created(String),
    /// A partition of the old changelog is copied: this many entries in this run.
    Copied {
        /// The partition.
        partition: PartitionId,
        /// Entries of customers; a customer may have several.
        entries: u64,
    },
    /// The hand-overs that are under way, as many as this, are in the new topic.
    HandOversCopied(u64),
    /// A partition of the old or new changelog was read for the comparison.
    Compared {
        /// The topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
    },
}

/// How the command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// All checks passed, and nothing was changed.
    Possible,
    /// An earlier run has moved the customers.
    MovedBefore,
    /// The customers are moved.
    Moved(Contents),
}

/// Why the customers were not moved.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The checks found these problems.
    #[error("the customers cannot be moved now")]
    Refused(Vec<Finding>),
    /// The cluster does not answer, or denies a request.
    #[error(transparent)]
    Client(#[from] Error),
    /// A topic of changelogs or hand-overs does not exist.
    #[error("the topic {topic} does not exist: it was deleted, or not all brokers know it yet; run the command again")]
    Missing {
        /// The old or new topic.
        topic: String,
    },
    /// A record of a changelog or of hand-overs cannot be decoded.
    #[error("record {offset} of partition {partition} of {topic} cannot be read: {problem}")]
    Unreadable {
        /// The old or new topic.
        topic: String,
        /// The partition.
        partition: PartitionId,
        /// Offset of the record.
        offset: i64,
        /// The reason.
        problem: String,
    },
    /// A new topic is in use for something else.
    #[error("{topic} has records that are not of this command: choose another name for this topic")]
    Occupied {
        /// The new topic.
        topic: String,
    },
    /// The new topic of hand-overs has copies that would be applied a second time.
    #[error(
        "{topic} has hand-overs that the service has applied since an interrupted run copied them: choose another name for \
         this topic, or delete it; then run the command again"
    )]
    Outdated {
        /// The new topic of hand-overs.
        topic: String,
    },
    /// The new topic of hand-overs does not contain those that are under way.
    #[error(
        "{topic} has {copied} hand-overs and {original} are under way, or they differ; choose another name for this topic, or \
         delete it; then run the command again"
    )]
    HandOversDiffer {
        /// The new topic of hand-overs.
        topic: String,
        /// Hand-overs in it.
        copied: u64,
        /// Hand-overs that are under way in the old topic.
        original: u64,
    },
    /// The copy differs from the original.
    #[error(
        "the copy has {copied} customers and the original {original}, or their state differs; delete the new changelog \
         topic, then run the command again"
    )]
    Different {
        /// Customers in the new changelog.
        copied: u64,
        /// Customers in the old changelog.
        original: u64,
    },
}

/// What is moved: the parts of the old changelog that the committed offsets refer to.
struct Original {
    /// The committed offset of each old partition. Its metadata contains the range of the changelog, the clock and the
    /// models.
    committed: Vec<CommittedOffset>,
    partitions: Vec<OriginalPartition>,
    /// The earliest stream time of all partitions. With a later one, a touchpoint could be judged late that was not.
    clock: Clock,
    models: StableId,
}

impl Original {
    /// Returns the committed offsets with the mark that the customers were moved to the topic `to`.
    fn marked(&self, to: &str) -> Vec<(PartitionOffset, String)> {
        let marked = |it: &CommittedOffset| {
            let position = PartitionOffset { partition: it.partition, offset: it.offset? };
            Some((position, mark_moved(&it.metadata, to)))
        };
        self.committed.iter().filter_map(marked).collect()
    }
}

/// The part of one changelog partition that a restore would read.
#[derive(Clone, Copy)]
struct OriginalPartition {
    partition: PartitionId,
    start: i64,
    end: i64,
}

/// Checks whether the customers of the configured service can be moved to `target`, and moves them.
///
/// Continues where an earlier run was interrupted.
///
/// # Errors
/// See [`Failure`]. The old topics and the offsets of the old touchpoint topic are unchanged in any case.
pub fn repartition(
    config: &Config,
    target: &Target,
    action: Action,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, Failure> {
    let cluster = cluster(config);
    let inspector = Inspector::new(&cluster, &config.kafka.group_id)?;
    let observed = Observed::query(config, target, &inspector, &cluster)?;
    if observed.is_moved() {
        return Ok(Outcome::MovedBefore);
    }
    let original = observed.original().map_err(Failure::Refused)?;
    if action == Action::Check {
        return Ok(Outcome::Possible);
    }
    create_missing(config, &cluster, target, on_progress)?;
    let layout = copy::copy(config, target, &original, on_progress)?;
    let contents = compare(config, target, &original, on_progress)?;
    let first_hand_overs = hand_overs::copy(config, target, &original, on_progress)?;
    copy::write_layout(config, target, layout.as_ref())?;
    let offsets = first_offsets(target, &original, &first_hand_overs, &inspector)?;
    // The copy takes a while: an instance may have committed, a producer may have written, and the changelog may have
    // lost records. Nothing is done between this check and the commit, and while the group has members, the broker
    // rejects the commit.
    let observed = Observed::query(config, target, &inspector, &cluster)?;
    observed.check_unchanged(&original).map_err(Failure::Refused)?;
    // The old offsets are marked, so that the old configuration is refused from now on.
    let topics = [
        (target.touchpoints.as_str(), offsets.as_slice()),
        (&config.topics.touchpoints, &original.marked(&target.touchpoints)),
    ];
    commit_offsets(&cluster, &config.kafka.group_id, &topics)?;
    Ok(Outcome::Moved(contents))
}

fn create_missing(
    config: &Config,
    cluster: &Cluster,
    target: &Target,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<(), Failure> {
    let hand_overs = target.hand_overs.as_deref();
    let topics = super::topics::topics_to_move_to(config, &target.touchpoints, &target.changelog, hand_overs);
    let described = describe_topics(cluster, &topics.names())?;
    let specs: Vec<_> = topics
        .specs(target.partitions, None)
        .into_iter()
        .filter(|spec| described.iter().flatten().all(|topic| topic.name != spec.name))
        .collect();
    if !specs.is_empty() {
        for (name, _) in create_topics(cluster, &specs)? {
            on_progress(Progress::Created(name));
        }
    }
    Ok(())
}

/// Compares the new changelog with the old one.
fn compare(
    config: &Config,
    target: &Target,
    original: &Original,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<Contents, Failure> {
    let expected = digest::of_original(config, &config.topics.changelog, original, on_progress)?;
    let copied = digest::of_copy(config, target, on_progress)?;
    if copied == expected {
        Ok(copied)
    } else {
        Err(Failure::Different { copied: copied.customers, original: expected.customers })
    }
}

/// Returns the start of each new touchpoint partition, with the range of its changelog and the position after its first
/// hand-over as metadata.
fn first_offsets(
    target: &Target,
    original: &Original,
    first_hand_overs: &[RecordDigest],
    inspector: &Inspector,
) -> Result<Vec<(PartitionOffset, String)>, Error> {
    let first_offset = |partition| {
        let touchpoints = inspector.range(&target.touchpoints, partition)?;
        let changelog = inspector.range(&target.changelog, partition)?;
        let first_hand_over = usize::try_from(partition).ok().and_then(|index| first_hand_overs.get(index)).copied();
        let metadata = OffsetMetadata {
            changelog_start: changelog.start,
            changelog_end: changelog.last_stable,
            clock: original.clock,
            models: original.models,
            partitions: Some(target.partitions),
            hand_overs: first_hand_over.map(|first| first.offset + 1),
            last_hand_over: first_hand_over,
            member: None,
        };
        Ok((PartitionOffset { partition, offset: touchpoints.start }, metadata.encode()))
    };
    (0..target.partitions).map(first_offset).collect()
}

/// Returns the layout that says since when each fact is counted in all partitions: since the latest time of any.
fn merged(layouts: Vec<StoredLayout>) -> Option<StoredLayout> {
    layouts.into_iter().reduce(|mut merged, other| {
        for (id, since) in other.added {
            match merged.added.iter_mut().find(|(known, _)| *known == id) {
                Some((_, known)) => *known = since.max(*known),
                None => merged.added.push((id, since)),
            }
        }
        merged
    })
}
