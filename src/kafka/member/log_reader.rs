//! Reads several partitions of a topic at once, each from a given offset, without joining a group: the changelog, and
//! the topic of hand-overs.
//!
//! The caller decodes the records and chooses the offsets to start and end at.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset;

use super::topic_reader::TopicReader;
use super::{PartitionId, Record};
use crate::kafka::error::Error;
use crate::kafka::settings::Options;

/// A consumer of the partitions of a topic with manual assignment.
pub(super) struct LogReader {
    reader: TopicReader,
    open: BTreeSet<PartitionId>,
    calls: Calls,
}

/// The names of the calls of [`Member`](super::Member) that a reader serves, for its errors.
#[derive(Clone, Copy)]
struct Calls {
    range: &'static str,
    open: &'static str,
    read: &'static str,
    close: &'static str,
}

const CHANGELOG: Calls =
    Calls { range: "changelog_range", open: "open_changelog", read: "read_changelog", close: "close_changelog" };
const HAND_OVERS: Calls =
    Calls { range: "hand_over_range", open: "open_hand_overs", read: "read_hand_overs", close: "close_hand_overs" };

impl LogReader {
    /// Returns a reader of the changelog; `None` if the member has no changelog.
    pub(super) fn of_changelog(options: &Options) -> Result<Option<Self>, Error> {
        Self::new(options, options.changelog_topic.as_deref(), CHANGELOG)
    }

    /// Returns a reader of the topic of hand-overs; `None` if the member has none.
    pub(super) fn of_hand_overs(options: &Options) -> Result<Option<Self>, Error> {
        Self::new(options, options.hand_overs_topic.as_deref(), HAND_OVERS)
    }

    fn new(options: &Options, topic: Option<&str>, calls: Calls) -> Result<Option<Self>, Error> {
        let Some(topic) = topic else { return Ok(None) };
        let reader = TopicReader::new(&options.for_log_reader(), topic)?;
        Ok(Some(Self { reader, open: BTreeSet::new(), calls }))
    }

    pub(super) fn range(&self, partition: PartitionId) -> Result<(i64, i64), Error> {
        self.reader.range(self.calls.range, partition)
    }

    /// Starts reading `partition` at `offset`; an open partition restarts there.
    pub(super) fn open(&mut self, partition: PartitionId, offset: i64) -> Result<(), Error> {
        self.close(partition)?;
        let list = self.reader.list_at([(partition, Offset::Offset(offset))])?;
        self.reader
            .client()
            .incremental_assign(&list)
            .map_err(|error| Error::of_assignment(self.calls.open, &error))?;
        self.open.insert(partition);
        self.reader.positions.start(partition, offset);
        Ok(())
    }

    pub(super) fn close(&mut self, partition: PartitionId) -> Result<(), Error> {
        if self.open.contains(&partition) {
            self.reader
                .client()
                .incremental_unassign(&self.reader.list([partition]))
                .map_err(|error| Error::of_assignment(self.calls.close, &error))?;
            self.open.remove(&partition);
            self.reader.positions.stop(partition);
        }
        Ok(())
    }

    pub(super) fn read(&mut self, records_max: usize, timeout: Duration) -> Result<Vec<Record>, Error> {
        let polled = self.reader.read(self.calls.read, records_max, timeout)?;
        self.reader.check_progress(self.calls.read, &self.open.iter().copied().collect::<Vec<_>>())?;
        Ok(polled.records)
    }

    /// Removes and returns the errors from which the client recovers automatically.
    pub(super) fn take_transient_errors(&mut self) -> Vec<Error> {
        self.reader.take_transient_errors()
    }

    pub(super) fn has_read_to(&self, partition: PartitionId, end: i64) -> bool {
        self.reader.positions.has_read_to(partition, end)
    }

    pub(super) fn read_position(&self, partition: PartitionId) -> Option<i64> {
        self.reader.positions.read_position(partition)
    }
}
