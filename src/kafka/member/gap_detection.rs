//! Detects partitions that no member owns although the group is stable.
//!
//! A cooperative rebalance takes two steps: a member gives partitions up, then rejoins, and the second step assigns
//! them. The coordinator gives a static member that comes back its last assignment without a rebalance. So if a static
//! member is killed between the two steps, the second one does not follow. Only a member that joins or leaves triggers
//! it, so one member leaves and rejoins: the one with the fewest partitions, or, if that one does not, the next.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use super::PartitionId;
use super::topic_reader::{QUERY_TIMEOUT, TopicReader};
use crate::kafka::cluster::group::{Group, describe_group_with};
use crate::kafka::error::Error;
use crate::kafka::settings::Options;

/// Time between two descriptions of the group.
const INTERVAL: Duration = Duration::from_secs(2);

/// A thread that describes the group regularly. It ends when this value is dropped.
pub(super) struct GapDetection {
    gaps: Receiver<BTreeSet<PartitionId>>,
    _stop: Sender<()>,
}

impl GapDetection {
    /// Starts to watch the group. A gap is reported once it has lasted for `patience`, which must exceed the time
    /// between the steps of a rebalance. `None` when no thread can be started.
    pub(super) fn start(options: &Options, patience: Duration) -> Option<Self> {
        let (report, gaps) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let options = options.clone();
        let started = thread::Builder::new().name("kafka-group-watch".to_owned()).spawn(move || {
            if let Err(error) = watch(&options, patience, &stopped, &report) {
                tracing::warn!(target: "kafka", call = error.call, code = %error.code, "cannot watch the group");
            }
        });
        started.ok().map(|_| Self { gaps, _stop: stop })
    }

    /// Returns partitions without an owner if this member should rejoin because of them.
    pub(super) fn take(&self) -> Option<BTreeSet<PartitionId>> {
        self.gaps.try_iter().last()
    }
}

fn watch(
    options: &Options,
    patience: Duration,
    stopped: &Receiver<()>,
    report: &Sender<BTreeSet<PartitionId>>,
) -> Result<(), Error> {
    let reader = TopicReader::new(&options.for_queries_with_isolation("read_uncommitted"), &options.input_topic)?;
    let mut gap = Gap::default();
    while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
        reader.discard_events();
        let unassigned = match describe(&reader, options) {
            Ok((group, partitions)) => {
                unassigned(&group, partitions).zip(group.rank_by_partitions(&options.member)).map(|(gap, rank)| {
                    let turn = u32::try_from(rank).unwrap_or(u32::MAX).saturating_add(1);
                    (gap, patience.saturating_mul(turn))
                })
            }
            Err(error) => {
                tracing::debug!(target: "kafka", call = error.call, code = %error.code, "cannot describe the group");
                None
            }
        };
        if let Some(partitions) = gap.observe(unassigned, Instant::now())
            && report.send(partitions).is_err()
        {
            break;
        }
    }
    Ok(())
}

/// Returns the group and the number of partitions of the input topic.
fn describe(reader: &TopicReader, options: &Options) -> Result<(Group, usize), Error> {
    let client = reader.client();
    let group = describe_group_with(client, &options.group_id, &options.input_topic)?;
    let metadata = client
        .fetch_metadata(Some(&options.input_topic), QUERY_TIMEOUT)
        .map_err(|error| Error::of_query("metadata", &error))?;
    Ok((group, metadata.topics().iter().map(|it| it.partitions().len()).sum()))
}

/// Returns the partitions that no member owns; `None` when the group is rebalancing, so that this is unknown.
fn unassigned(group: &Group, partitions: usize) -> Option<BTreeSet<PartitionId>> {
    if group.state != "Stable" {
        return None;
    }
    let mut unassigned: BTreeSet<PartitionId> = (0..PartitionId::try_from(partitions).ok()?).collect();
    for member in &group.members {
        for partition in member.partitions.as_ref()? {
            unassigned.remove(partition);
        }
    }
    Some(unassigned)
}

/// Partitions that had no owner in any description since an instant.
#[derive(Default, Debug)]
struct Gap {
    partitions: BTreeSet<PartitionId>,
    since: Option<Instant>,
}

impl Gap {
    /// Adds a description at `now`: the unassigned partitions, and how long they may stay so; `None` when unknown.
    /// Returns the gap once it has lasted that long.
    fn observe(
        &mut self,
        described: Option<(BTreeSet<PartitionId>, Duration)>,
        now: Instant,
    ) -> Option<BTreeSet<PartitionId>> {
        let Some((unassigned, patience)) = described else {
            *self = Self::default();
            return None;
        };
        self.partitions.retain(|it| unassigned.contains(it));
        if self.partitions.is_empty() {
            *self = Self { since: (!unassigned.is_empty()).then_some(now), partitions: unassigned };
        }
        self.since.is_some_and(|since| now - since >= patience).then(|| self.partitions.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::cluster::group::GroupMember;

    const PATIENCE: Duration = Duration::from_secs(8);

    fn group(state: &str, members: &[(&str, Option<Vec<PartitionId>>)]) -> Group {
        let member = |(client_id, partitions): &(&str, Option<Vec<PartitionId>>)| GroupMember {
            client_id: (*client_id).to_owned(),
            host: String::new(),
            partitions: partitions.clone(),
        };
        Group { state: state.to_owned(), protocol: String::new(), members: members.iter().map(member).collect() }
    }

    #[test]
    fn partitions_without_an_owner_are_those_that_no_member_of_a_stable_group_has() {
        let members = [("lifecycle-a-0", Some(vec![0, 3])), ("lifecycle-b-0", Some(vec![]))];
        assert_eq!(unassigned(&group("Stable", &members), 4), Some(BTreeSet::from([1, 2])));
        assert_eq!(unassigned(&group("PreparingRebalance", &members), 4), None);
        let unknown = [("lifecycle-a-0", Some(vec![0])), ("lifecycle-b-0", None)];
        assert_eq!(unassigned(&group("Stable", &unknown), 4), None, "the other member may own them");
    }

    #[test]
    fn a_gap_is_reported_when_the_same_partitions_had_no_owner_all_the_time() {
        let start = Instant::now();
        let mut gap = Gap::default();
        let mut observe = |seconds: u64, partitions: Option<&[PartitionId]>| {
            let described = partitions.map(|it| (it.iter().copied().collect(), PATIENCE));
            gap.observe(described, start + Duration::from_secs(seconds))
        };
        assert_eq!(observe(0, Some(&[1, 2])), None);
        assert_eq!(observe(7, Some(&[2, 3])), None);
        assert_eq!(observe(8, Some(&[2, 3])), Some(BTreeSet::from([2])), "partition 3 had an owner at first");
        assert_eq!(observe(9, Some(&[])), None);
        assert_eq!(observe(20, Some(&[2])), None, "it had an owner in between");
        assert_eq!(observe(27, None), None);
        assert_eq!(observe(28, Some(&[2])), None, "there was a rebalance in between");
        assert_eq!(observe(36, Some(&[2])), Some(BTreeSet::from([2])));
    }

    #[test]
    fn the_member_with_the_fewest_partitions_rejoins_first() {
        let members = [
            ("lifecycle-b-0", Some(vec![0])),
            ("other", Some(vec![])),
            ("lifecycle-a-0@10.0.0.5:8080", Some(vec![1])),
            ("lifecycle-c-0", Some(vec![])),
        ];
        let group = group("Stable", &members);
        let ranks: Vec<_> = ["c-0", "a-0", "b-0", "d-0"].iter().map(|it| group.rank_by_partitions(it)).collect();
        assert_eq!(ranks, [Some(0), Some(1), Some(2), None]);
    }
}
